"""A study with readers: blinded forms of a run's maps, and what the answers say, from the run folder alone."""

from pellucid.readers.form import study_form
from pellucid.readers.read import study_read

__all__ = ["study_form", "study_read"]
