"""How is it walked?"""
