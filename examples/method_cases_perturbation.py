"""Pictures of the methods of this family."""
