"""The nouns, one a file."""
