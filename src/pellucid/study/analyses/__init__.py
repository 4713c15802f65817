"""Questions put to a cohort, one a file."""
