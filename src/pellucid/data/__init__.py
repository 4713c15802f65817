"""Data sets as Cases, and splits."""
