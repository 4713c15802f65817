"""Does the map point at what a person has marked?"""
