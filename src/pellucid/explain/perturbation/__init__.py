"""Methods that take parts of the input away."""
