"""What did another tool record?"""
