"""A recipe says what to do, the stages do it, a run folder keeps what came out."""
