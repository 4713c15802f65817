"""Does the model react to what the map points at?"""
