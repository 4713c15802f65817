"""The methods, one a file. Giving an Explainer a name registers it."""

from pellucid.core.explainer import EXPLAINERS, Explainer, Result

__all__ = ["EXPLAINERS", "Explainer", "Result"]
