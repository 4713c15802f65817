"""Does the map stay when the input hardly changes?"""
