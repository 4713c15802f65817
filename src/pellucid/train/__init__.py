"""Training, and how good the trained model is."""

from pellucid.train.fit import Trained, fit
from pellucid.train.performance import performance
from pellucid.train.thresholds import best_thresholds

__all__ = ["Trained", "best_thresholds", "fit", "performance"]
