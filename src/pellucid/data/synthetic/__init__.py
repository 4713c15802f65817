"""Data with a known answer: three tasks in 2-D, a volume, and the mask of the planted signal with every case."""

from pellucid.data.synthetic.classification import CLASSES
from pellucid.data.synthetic.features import FEATURES
from pellucid.data.synthetic.make import make
from pellucid.data.synthetic.parts import TASKS
from pellucid.data.synthetic.volume import ORGANS

__all__ = ["CLASSES", "FEATURES", "ORGANS", "TASKS", "make"]
