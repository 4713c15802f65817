"""Methods that read a model's attention."""
