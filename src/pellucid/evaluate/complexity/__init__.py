"""How many places does the map point at?"""
