"""What several metrics read: the passes that are run once for all of them."""
