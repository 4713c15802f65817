"""Does the map keep to the rules that its kind should keep to?"""
