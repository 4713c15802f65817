"""What a folded piece of the page is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from pellucid.report.numbers import DASH, is_number, number
from pellucid.report.style import data_uri

Panel = dict[str, Any]


def panel(title: str, line: str, **parts: Any) -> Panel:
    """A piece of the page: title, what it says in one line, and a picture, a table, notes, all where there are any."""
    lists: dict[str, list[Any]] = {"points": [], "notes": [], "more": [], "parts": []}
    return {"title": title, "line": line, "picture": None, "table": None} | lists | parts


def picture(figure: Figure, alt: str, *, colours: int = 64) -> dict[str, str]:
    """A figure for the page with its text for those who cannot see it."""
    return {"uri": data_uri(figure, colours=colours), "alt": alt}


def count(n: Any, noun: str) -> str:
    """``1 case``, ``3 cases``."""
    return f"{number(int(n)) if is_number(n) else DASH} {noun}" + ("" if n == 1 else "s")


def listed(names: Sequence[str], most: int = 5) -> str:
    """Names, the first few and how many more."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
