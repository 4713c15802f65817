"""Pellucid shows what a medical imaging model looked at, and measures whether that picture can be believed."""

from pellucid.aggregate.tables import load_region_table
from pellucid.api import datasets, evaluate, explain, explain_many, layers, methods, metrics, networks
from pellucid.api_aggregate import aggregate
from pellucid.core.attribution import Attribution
from pellucid.core.background import Background
from pellucid.core.case import Case
from pellucid.core.fill import Fill
from pellucid.core.predictor import Predictor
from pellucid.core.target import ClassScore, RegionScore, Score
from pellucid.core.verdict import Thresholds
from pellucid.core.windows import windows
from pellucid.data import load_dataset, split
from pellucid.data.background import background
from pellucid.engine import Engine
from pellucid.errors import InputError, ModelError, PellucidError, UsageError
from pellucid.io import read
from pellucid.nets import load_predictor, save_predictor
from pellucid.refine.ensemble import ensemble
from pellucid.refine.segx import segx
from pellucid.report import build_report
from pellucid.study.store import load_run

__version__ = "0.1.0"

__all__ = [
    "Attribution",
    "Background",
    "Case",
    "ClassScore",
    "Engine",
    "Fill",
    "InputError",
    "ModelError",
    "PellucidError",
    "Predictor",
    "RegionScore",
    "Score",
    "Thresholds",
    "UsageError",
    "aggregate",
    "background",
    "build_report",
    "datasets",
    "ensemble",
    "evaluate",
    "explain",
    "explain_many",
    "layers",
    "load_dataset",
    "load_predictor",
    "load_region_table",
    "load_run",
    "methods",
    "metrics",
    "networks",
    "read",
    "save_predictor",
    "segx",
    "split",
    "windows",
]
