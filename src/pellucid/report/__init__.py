"""Figures and the HTML report. They read a run folder, never a model."""

from pellucid.core.attribution import SERVICES
from pellucid.report.experiment import write_experiment_figures
from pellucid.report.figures import plot
from pellucid.report.html import build_report
from pellucid.report.search import write_search_figures

SERVICES["plot"] = plot

__all__ = ["build_report", "plot", "write_experiment_figures", "write_search_figures"]
