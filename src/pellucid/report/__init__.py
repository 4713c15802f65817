"""Figures and the HTML report. They read a run folder, never a model."""

from pellucid.core.attribution import SERVICES
from pellucid.report.figures import plot
from pellucid.report.html import build_report

SERVICES["plot"] = plot

__all__ = ["build_report", "plot"]
