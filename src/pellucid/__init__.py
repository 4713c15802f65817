"""Pellucid shows what a medical imaging model looked at, and measures whether that picture can be believed."""

__version__ = "0.1.0"
