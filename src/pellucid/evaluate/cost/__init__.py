"""What does the map cost?"""
