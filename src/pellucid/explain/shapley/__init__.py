"""Methods that share the output out between features as a game does."""
