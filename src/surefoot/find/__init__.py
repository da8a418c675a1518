"""Which learning rate?"""
