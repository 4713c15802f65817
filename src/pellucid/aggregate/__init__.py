"""From maps to numbers by region."""
