"""The figures of a cohort and the numbers behind them, in a folder: PNG, SVG and CSV of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pellucid.aggregate.cohort.change import what_changes
from pellucid.aggregate.cohort.clusters import Clusters, clusters
from pellucid.aggregate.cohort.context import context_share
from pellucid.aggregate.cohort.cube import BACKGROUND, Cube, cube
from pellucid.aggregate.cohort.distribution import box_numbers, histograms
from pellucid.aggregate.cohort.graph import importance_graph
from pellucid.aggregate.cohort.matrix import matrix, overlaps, square
from pellucid.aggregate.cohort.patient import one_case
from pellucid.aggregate.wide import to_wide
from pellucid.errors import InputError, UsageError, unknown
from pellucid.io.files import atomic
from pellucid.report.cohort_boxes import box_plots, case_bars, pair_histograms
from pellucid.report.cohort_change import LEVEL, change_figure, context_figure
from pellucid.report.cohort_graph import importance_figure
from pellucid.report.cohort_matrix import mass_matrix, tree_figure
from pellucid.report.cohort_style import by_system
from pellucid.report.style import write_figure

PAIRS = 4  # classes of the histograms, where none are named
RULES = {"top": "the 5 largest sources of each class", "mass": "the largest sources up to a mass of 0.35 together"}


@dataclass
class Written:
    """What was written of one cohort.

    Attributes:
        folder: where.
        files: figures and tables.
        notes: what could not be drawn, and why.
        facts: the numbers of the summary.
    """

    folder: Path
    files: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def put(self, name: str, frame: pd.DataFrame, figure: Figure | None = None) -> None:
        """A table, and the figure that shows it, under one name."""
        base = self.folder / name
        if figure is not None:
            self.files += write_figure(figure, base, colours=None)  # a palette would tint pale cells
        path = base.with_name(f"{base.name}.csv")
        with atomic(path) as temporary:
            frame.to_csv(temporary, index=False)
        self.files.append(path)


def write_cohort(
    table: pd.DataFrame, folder: Path, *, classes: Sequence[str] = (), patient: str | None = None,
    rule: Literal["top", "mass"] = "top", wide: bool = False, systems: Mapping[str, str] | None = None, seed: int = 0,
    progress: Callable[[str], None] = lambda _: None,
) -> Written:  # fmt: skip
    """Draw a cohort's region table.

    Written are ``mass`` (the matrix), ``graph``, ``clusters``, ``context``, ``histograms`` and ``boxes/CLASS``, each as
    PNG, SVG and CSV; ``overlap.csv`` (Dice and IoU); of a patient that is asked for ``patient/CASE-CLASS``.

    Args:
        table: long, of one method and one label map, with the measure ``mass``.
        folder: to write to; made if it is not there.
        classes: whose box plots, histograms and patient's bars are drawn; by default all, and for the histograms the
            four with most evidence in their own region. The other figures show all classes.
        patient: a case, or a patient (``group``) all of whose cases are drawn. No other figure or table but ``wide``
            names a case.
        rule: which arrows the graph has.
        wide: also write ``wide.csv``, the table of Agg²Exp.
        systems: class to system of the body, for colours.
        seed: of the bootstrap.
        progress: told the name of each part.

    Raises:
        InputError: the table has no mass.
        UsageError: a class or a patient that is not there.
    """
    values = cube(table)
    for name in classes:
        if name not in values.targets:
            raise unknown("class", name, values.targets)
    shown = [] if patient is None else _cases_of(values, patient)
    done = Written(folder)
    progress("matrix")
    means = matrix(values, seed=seed)
    masses = square(means)
    front = [t for t in values.targets if t != BACKGROUND]
    tree = _try(done, lambda: clusters(means))
    order = [tree.names[i] for i in tree.order] if tree else by_system(front, systems)
    own = {t: float(masses.loc[t, t]) for t in front if t in masses.columns}  # type: ignore[arg-type]
    done.put("mass", means, mass_matrix(masses, order=order, systems=systems))
    if tree:
        done.put("clusters", _distances(tree), tree_figure(tree, systems=systems))
        done.notes += [f"clusters: {t} is left out, not all its masses are known" for t in tree.left_out]
    progress("graph")
    edges = _try(done, lambda: importance_graph(means, rule=rule))
    if edges is not None:
        done.put("graph", edges, importance_figure(edges, own=own, rule=RULES[rule], systems=systems))
    progress("context")
    context = _try(done, lambda: context_share(values, seed=seed))
    if context is not None:
        done.put("context", context, context_figure(context, systems=systems))
    overlap = overlaps(table, seed=seed)
    if len(overlap):
        done.put("overlap", overlap)
    progress("histograms")
    pairs = [c for c in classes if c in values.regions] or sorted(own, key=lambda t: -np.nan_to_num(own[t]))[:PAIRS]
    counts = _try(done, lambda: histograms(values, pairs)) if pairs else None
    if counts is not None:
        done.put("histograms", counts, pair_histograms(counts))
    names = _file_names(values.targets)
    for target in classes or front:
        progress(f"boxes: {target}")
        numbers = _try(done, lambda t=target: box_numbers(values, t))  # type: ignore[misc]
        if numbers is not None:
            hidden = _left_out(masses, target)
            done.put(f"boxes/{names[target]}", numbers, box_plots(numbers, left_out=hidden, systems=systems))
    _patient(done, values, shown, classes or front, masses, systems, progress)
    if wide:
        done.put("wide", to_wide(table))
    done.facts = _facts(values, masses, tree, overlap)
    return done


def write_change(
    done: Written, table: pd.DataFrame, against: pd.DataFrame, names: tuple[str, str], *,
    systems: Mapping[str, str] | None = None, seed: int = 0,
) -> None:  # fmt: skip
    """Draw what changes from ``against`` to ``table``: ``change`` with intervals, ``change-matrix`` with all cells.

    Raises:
        UsageError, InputError: of :func:`~pellucid.aggregate.cohort.change.what_changes`.
    """
    found = what_changes(cube(against), cube(table), seed=seed)
    gaps = square(found, column="difference")
    sure = square(found.assign(sure=found["p_holm"] < LEVEL), column="sure")
    title = f"Mean mass of {names[1]} less that of {names[0]}, in percentage points"
    done.put("change", found.assign(cohort_a=names[0], cohort_b=names[1]),
             change_figure(found, names=names, systems=systems))  # fmt: skip
    order = by_system([t for t in gaps.index if t != BACKGROUND], systems)
    shown = mass_matrix(gaps, order=order, title=title, signed=True, marked=sure, systems=systems,
                        marks=f"framed: Holm's p < {LEVEL}")  # fmt: skip
    done.put("change-matrix", gaps.reset_index(), shown)
    done.facts["change"] = {
        "from": names[0], "to": names[1], "cells": len(found), "tested": int(found["p"].notna().sum()),
        "p_holm_below_0.05": int((found["p_holm"] < LEVEL).sum()),
    }  # fmt: skip


def _patient(
    done: Written, values: Cube, cases: Sequence[str], classes: Iterable[str], masses: pd.DataFrame,
    systems: Mapping[str, str] | None, progress: Callable[[str], None],
) -> None:  # fmt: skip
    names, files = _file_names(values.targets), _file_names(values.cases)
    for case in cases:
        for target in classes:
            progress(f"{case}: {target}")
            numbers = _try(done, lambda c=case, t=target: one_case(values, c, t))  # type: ignore[misc]
            if numbers is not None:
                done.put(f"patient/{files[case]}-{names[target]}", numbers,
                         case_bars(numbers, left_out=_left_out(masses, target), systems=systems))  # fmt: skip


def _cases_of(values: Cube, patient: str) -> list[str]:
    cases = [c for c, g in zip(values.cases, values.groups) if patient in (c, values.patients[g])]
    if not cases:
        raise UsageError(f"no case or patient {patient!r} in the region table; give the name of either")
    return cases


def _try(done: Written, make: Callable[[], Any]) -> Any:
    """What can be made; what cannot leaves its reason."""
    try:
        return make()
    except InputError as error:
        done.notes.append(str(error))
        return None


def _left_out(masses: pd.DataFrame, target: str) -> str:
    if BACKGROUND not in masses.columns:
        return ""
    return f"background, in the mean {masses[BACKGROUND][target]:.3f}, is not drawn"


def _distances(tree: Clusters) -> pd.DataFrame:
    names = [tree.names[i] for i in tree.order]
    return pd.DataFrame(tree.distances[np.ix_(tree.order, tree.order)], columns=names).assign(target=names)[
        ["target", *names]
    ]


def _facts(values: Cube, masses: pd.DataFrame, tree: Clusters | None, overlap: pd.DataFrame) -> dict[str, Any]:
    dice = overlap[(overlap["measure"] == "dice") & (overlap["target"] == "foreground")] if len(overlap) else overlap
    absent = ~np.isfinite(values.values).any(axis=2)
    return {
        "cases": len(values.cases), "patients": len(values.patients), "targets": len(values.targets),
        "regions": len(values.regions),
        "foreground_dice": _number(dice["mean"].iloc[0]) if len(dice) else None,
        "cophenetic_correlation": _number(tree.cophenetic) if tree else None,
        "own_mass": {str(t): _number(masses.loc[t, t]) for t in masses.index if t in masses.columns},
        "cases_without": {t: int(n) for t, n in zip(values.targets, absent.sum(0)) if n},
    }  # fmt: skip


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def _file_names(names: Sequence[str]) -> dict[str, str]:
    """Names as files: blanks become underscores, unless two names would then be the same file."""
    plain = [quote(n.replace(" ", "_"), safe="") for n in names]
    return dict(zip(names, plain if len(set(plain)) == len(plain) else [quote(n, safe="") for n in names]))
