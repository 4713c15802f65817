"""Does the map fall on what is clinically meant, so that the prediction can be relied on?"""
