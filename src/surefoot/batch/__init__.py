"""How many samples per step?"""
