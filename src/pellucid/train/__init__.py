"""Training, and how good the trained model is."""

from pellucid.train.calibration import fit_temperature
from pellucid.train.fit import Trained, fit
from pellucid.train.paired import Paired, Spread, compare_folds, spread_of_folds
from pellucid.train.performance import performance
from pellucid.train.reliability import calibration_measures
from pellucid.train.thresholds import best_thresholds, threshold_table

__all__ = [
    "Paired", "Spread", "Trained", "best_thresholds", "calibration_measures", "compare_folds", "fit", "fit_temperature",
    "performance", "spread_of_folds", "threshold_table",
]  # fmt: skip
