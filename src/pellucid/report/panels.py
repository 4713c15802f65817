"""The charts of one task, made from the run's tables, each with a text for those who cannot see it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from pellucid.report.charts import MODEL, Bar, learning_curve, score_scatter, shares, training_phases
from pellucid.report.judge import base, deciding, is_control, question_of
from pellucid.report.numbers import is_number, number
from pellucid.report.score_tables import is_share
from pellucid.report.style import data_uri
from pellucid.report.tables import cost_rows
from pellucid.report.trade import Point, cost_scatter, dominated, front
from pellucid.study.store import Run


def _picture(figure: Figure, alt: str) -> dict[str, str]:
    return {"uri": data_uri(figure, colours=64), "alt": alt}


def curve_panel(run: Run, task: str) -> dict[str, str] | None:
    """Losses and validation metric by epoch; None if nothing was trained."""
    history = run.table("history", task)
    if not len(history):
        return None
    last = history.iloc[-1]
    said = f"Learning curve over {len(history)} epochs; last losses: training {number(last.get('train_loss'))}"
    if is_number(last.get("val_loss")):
        said += f", validation {number(last['val_loss'])}"
    phases = training_phases(history)
    if phases:
        said += ". Trained: " + "; ".join(f"from epoch {epoch} on {', '.join(names)}" for epoch, names in phases)
    return _picture(learning_curve(history), said)


def scatter_panel(run: Run, task: str) -> dict[str, str] | None:
    """Predicted against true scores of the cases that were not validation; None where there are no scores."""
    model = run.recipe(task)["model"]
    table = run.table("predictions", task)
    if model["task"] != "regression" or not len(table):
        return None
    own = table[(table["part"] != "val") & (table["class"] == table["class"].iloc[0])]
    if not len(own):
        return None
    figure = score_scatter(own["truth"].astype(float).tolist(), own["value"].tolist(), name=str(own["class"].iloc[0]))
    return _picture(figure, f"Predicted against true {own['class'].iloc[0]} of {len(own)} held-out cases")


def shares_panel(run: Run, task: str, order: Sequence[str]) -> dict[str, str] | None:
    """How much each input counts, by the maps and by the model; None for a single input."""
    table = run.table("comparison", task)
    if not len(table):
        return None
    metrics = run.info.get("metrics", {})
    own = table[[is_share(str(m), metrics) for m in table["metric"]]]
    by_map = own[own["metric"].astype(str).str.startswith("attribution_share")]
    by_model = own[~own["metric"].astype(str).str.startswith("attribution_share")]
    panels: dict[str, list[Bar]] = {}
    inputs = [i for i in run.recipe(task)["model"]["inputs"] if own["metric"].astype(str).str.endswith(f"[{i}]").any()]
    labels = list(dict.fromkeys(base(str(m)) for m in by_model["metric"]))
    for name in inputs:
        bars = [_bar(m, by_map[(by_map["method"] == m) & by_map["metric"].str.endswith(f"[{name}]")]) for m in order]
        for label in labels:  # these ask the model, not the map: alike for all methods
            same = by_model[by_model["metric"].str.startswith(label) & by_model["metric"].str.endswith(f"[{name}]")]
            told = same[same["mean"].notna()].head(1)
            bars.append(_bar(MODEL + label.replace("_", " "), told, apart=True))
        panels[name] = bars
    if not panels:
        return None
    said = "; ".join(f"{k}: " + ", ".join(f"{b.name} {number(b.value)}" for b in v) for k, v in panels.items())
    return _picture(shares(panels), "Shares of the inputs. " + said)


def _bar(name: str, rows: Any, *, apart: bool = False) -> Bar:
    if not len(rows):
        return Bar(name, float("nan"), apart=apart or is_control(name))
    r = rows.iloc[0]
    low, high = (float(r[k]) if is_number(r[k]) else None for k in ("low", "high"))
    return Bar(name, float(r["mean"]), low, high, apart or is_control(name))


def trade_panel(run: Run, task: str, order: Sequence[str]) -> dict[str, str] | None:
    """Passes against faithfulness, with the front; None where either is missing.

    Faithfulness is the mean rank over its measures where there are several, else the one measure.
    """
    comparison, table = run.table("comparison", task), run.table("pareto", task)
    measures = faithful(comparison, run.info.get("metrics", {}))
    if not measures:
        return None
    metric, direction = measures[0]
    if len(table) and len(measures) > 1 and "faithfulness" in set(table["metric"]):
        metric, direction = "faithfulness", "lower"
    own = {str(r["method"]): r for r in table.to_dict("records") if r["metric"] == metric}
    means = {str(r["method"]): r for r in comparison.to_dict("records") if r["metric"] == metric}
    if not own:
        passes = {str(row["method"]): float(row["passes"]) for row in cost_rows(run, task, order)}
        own = {m: {"cost": passes[m], "value": means[m]["mean"]} for m in means if m in passes}
    own = {m: r for m, r in own.items() if is_number(r["cost"]) and is_number(r["value"])}
    known = {m: (float(r["cost"]), float(r["value"])) for m, r in own.items()}
    points = [
        Point(
            m, *known[m], *_ends(means.get(m)), control=is_control(m),
            dominated=bool(own[m].get("dominated", dominated(m, known, higher=direction != "lower"))),
        )
        for m in order if m in known
    ]  # fmt: skip
    if not points:
        return None
    best = ", ".join(p.name for p in front(points, higher=direction != "lower")) or "none"
    name = "mean rank in faithfulness" if metric == "faithfulness" else metric.replace("_", " ")
    said = ", ".join(f"{p.name} {number(p.cost)} passes {number(p.value)}" for p in points)
    figure = cost_scatter(points, metric=name, direction=direction)
    return _picture(figure, f"Passes against {name}: {said}. Beaten by none: {best}.") | {"front": best, "metric": name}


def _ends(row: Any) -> tuple[float | None, float | None]:
    """The interval of a row, if it has one."""
    both = row is not None and is_number(row["low"]) and is_number(row["high"])
    return (float(row["low"]), float(row["high"])) if both else (None, None)


def faithful(comparison: Any, metrics: dict[str, Any]) -> list[tuple[str, str]]:
    """Faithfulness measures of a comparison with their direction, in its order, those that decide first."""
    if not len(comparison):
        return []
    first = comparison.drop_duplicates("metric")
    found = [
        (str(r["metric"]), str(r["direction"]))
        for r in first.to_dict("records")
        if question_of(str(r["metric"]), metrics) == "faithfulness" and r["direction"] != "none"
    ]
    first_of_all = deciding([name for name, _ in found], metrics)
    return sorted(found, key=lambda pair: pair[0] not in first_of_all)
