"""How steep may a step be?"""
