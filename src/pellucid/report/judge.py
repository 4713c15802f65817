"""Which maps to trust: one plain verdict per method, from its checks and its comparison with the controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from pellucid.core.refiner import as_refined, base_of, is_refined

Word = Literal["trust", "with care", "do not rely on", "not judged", "control"]
ORDER: tuple[Word, ...] = ("trust", "with care", "not judged", "do not rely on", "control")
CONTROLS = ("random", "edge")
RANKED = ("faithfulness", "plausibility")  # questions whose ranks make the order within a verdict
# Faithfulness measures that make the verdict: pixels taken away and brought back, imputed, and random sets of them. The
# others are variants of these, or tell good maps apart badly (docs/explanation-meta-evaluation.md): more of them would
# only make it likelier that one is worse than chance by chance.
DECIDING = ("deletion_auc", "insertion_auc", "aopc", "road", "faithfulness_correlation")
MOST_FAIL = 0.5  # of the maps that were tested: from here on a check counts against the method
FEW_FAIL = 0.1  # up to here a failure is an exception
FEW = 8  # cases: with fewer, "not shown to be better than chance" is no finding
FEWEST = 5  # cases: with fewer, nothing earns trust
RULE = (
    "“Trust” needs three things: every check that was tested (but “better”, which asks one case at a time what the "
    "comparison asks over all of them) passes in at least "
    f"{100 * (1 - FEW_FAIL):.0f} % of the maps (a warning counts as a pass); the maps were shown to change when the "
    "model’s weights are scrambled; and at least one of the deciding faithfulness measures ("
    + ", ".join(n.replace("_", " ") for n in DECIDING)
    + "; all there are, where none of these was taken), over "
    f"{FEWEST} cases or more, is better than that of a random map, and none worse, with an interval that excludes "
    "zero, and in those measures it ranks above the edges of the picture. “Do not rely on”: in at least "
    f"{100 * MOST_FAIL:.0f} % of the cases the maps are empty, not finite, or stay as they are when the model is "
    "scrambled (this last unless it is better than both the random map and the edges, as above); or a faithfulness "
    f"measure is worse than random and none better; or over {FEW} cases or more none is better. “Not judged”: neither "
    "scrambled weights nor faithfulness were looked at. Everything else is “with care”. "
    "A refined map (such as “segx(…)”, seen through a mask) is compared with a random map and with edges that were "
    "refined in the same way. Within a verdict the order is that of the mean rank in the measures of faithfulness and "
    "plausibility."
)
_SAYS = {
    "finite": "hold values that are not finite",
    "not_empty": "are zero everywhere",
    "not_flat": "are nearly the same everywhere",
    "complete": "do not add up to the change in output",
    "stable": "change under small noise",
    "sane": "hardly change when the model’s weights are scrambled",
    "better": "are no more faithful than a random map",
    "inside": "have most of their evidence hidden by the mask",
}


@dataclass(frozen=True)
class Judgement:
    """What is said of a method.

    Attributes:
        method: its name.
        word: the verdict.
        why: sentences that give the reasons, the gravest first.
        rank: mean rank in the measures of faithfulness and plausibility, 1 the best; None if there are none.
        better: faithfulness measures that are better than random.
        worse: those that are worse.
        undecided: those whose difference from random may be zero.
        untested: those without an interval.
    """

    method: str
    word: Word
    why: tuple[str, ...]
    rank: float | None
    better: tuple[str, ...] = ()
    worse: tuple[str, ...] = ()
    undecided: tuple[str, ...] = ()
    untested: tuple[str, ...] = ()


def judge(
    verdicts: pd.DataFrame, comparison: pd.DataFrame, metrics: Mapping[str, Mapping[str, Any]]
) -> list[Judgement]:
    """One judgement per method in the order of trust, controls last; the rule is :data:`RULE`.

    Args:
        verdicts: of one task: ``method``, ``check``, ``status``.
        comparison: of one task: ``metric``, ``method``, ``rank``, ``n``, ``difference_low``, ``difference_high``,
            ``direction``.
        metrics: what ``run.json`` says of each metric; its ``question`` picks faithfulness.
    """
    names: list[str] = []
    for table in (comparison, verdicts):
        if "method" in table:
            names += [str(m) for m in table["method"] if str(m) not in names]
    found = [_one(name, verdicts, comparison, metrics) for name in dict.fromkeys(names)]
    return sorted(found, key=lambda j: (ORDER.index(j.word), j.rank is None, j.rank or 0.0, j.method))


def question_of(metric: str, metrics: Mapping[str, Mapping[str, Any]]) -> str:
    """The question of a metric, named as in the tables (``name``, ``name[input]``, ``name(option=…)``)."""
    return str(metrics.get(base(metric), {}).get("question", ""))


def deciding(names: Sequence[str], metrics: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The faithfulness measures that make the verdict: those of :data:`DECIDING`, or all if there are none of them."""
    faithful = [n for n in names if question_of(n, metrics) == "faithfulness"]
    return [n for n in faithful if base(n) in DECIDING] or faithful


def is_control(method: str) -> bool:
    """Whether a method knows nothing of the model, refined or not."""
    return base_of(method) in CONTROLS


def base(metric: str) -> str:
    """The registered name in a table's ``name(option=…)[input]``."""
    return metric.split("[", maxsplit=1)[0].split("(", maxsplit=1)[0]


def compared(rows: pd.DataFrame) -> dict[str, list[str]]:
    """Names of the measures in which a method is better than, worse than, or not told from the random map."""
    found: dict[str, list[str]] = {"better": [], "worse": [], "undecided": [], "untested": []}
    for r in rows.to_dict("records"):
        sign = {"higher": 1, "lower": -1}.get(r.get("direction", "none"), 0)
        low, high = r.get("difference_low"), r.get("difference_high")
        if not sign:
            continue
        if low is None or high is None or pd.isna(low) or pd.isna(high):
            kind = "untested"
        elif low <= 0 <= high:
            kind = "undecided"
        else:
            kind = "better" if (low > 0) == (sign > 0) else "worse"
        found[kind].append(str(r["metric"]))
    return found


def _one(
    name: str, verdicts: pd.DataFrame, comparison: pd.DataFrame, metrics: Mapping[str, Mapping[str, Any]]
) -> Judgement:
    rows = comparison[comparison["method"] == name] if len(comparison) else comparison
    told = rows[[question_of(str(m), metrics) in RANKED for m in rows["metric"]]] if len(rows) else rows
    ranks = told["rank"].dropna() if "rank" in told else pd.Series(dtype=float)
    rank = float(ranks.mean()) if len(ranks) else None
    if is_control(name):
        seen = "Knows nothing of the model: what any map has to beat."
        refined = "Knows nothing of the model, and was refined as they were: what refined maps have to beat."
        return Judgement(name, "control", (refined if is_refined(name) else seen,), rank)
    names = deciding([str(m) for m in rows["metric"]], metrics) if len(rows) else []
    faithful = rows[rows["metric"].isin(names)] if len(rows) else rows
    how = compared(faithful)
    failing = _failing(verdicts, name)
    grave: list[str] = []
    light: list[str] = []
    beats_edge = _beats_edge(faithful, comparison, how["better"], as_refined(name, "edge"))
    chance = "a random map" + (" that was refined alike" if is_refined(name) else "")
    for check in ("sane", "not_empty", "finite"):
        faithful_all_the_same = check == "sane" and beats_edge and not how["worse"]
        if failing.get(check, (0, 0.0))[1] >= MOST_FAIL and not faithful_all_the_same:
            grave.append(_share(check, failing[check]))
    if how["worse"]:
        disagree = ": the measures disagree" if how["better"] else ""
        (light if how["better"] else grave).append(f"Worse than {chance} in {_list(how['worse'])}{disagree}.")
    cases = int(faithful["n"].max()) if len(faithful) and "n" in faithful else 0
    decided = how["better"] or how["worse"]
    if how["undecided"] and not decided and not how["untested"]:
        text = f"No faithfulness measure tells it from {chance}"
        if cases >= FEW:
            grave.append(text + ".")
        else:
            light.append(f"{text} (only {cases} cases).")
    elif not decided:
        light.append(
            f"It was not compared with {chance}."
            if not how["undecided"]
            else f"Not every faithfulness measure could be compared with {chance}."
        )
    for check, value in failing.items():
        if check == "better":  # case by case; the comparison over all cases above says more
            continue
        sentence = _share(check, value)
        if value[1] > FEW_FAIL and sentence not in grave:
            light.append(sentence)
    if how["better"] and beats_edge is False:
        light.append("Not better than the edges of the picture in the same measures.")
    if decided and cases < FEWEST:
        light.append(f"Only {cases} case{'s' if cases != 1 else ''}: too few for trust.")
    if "sane" not in failing:
        light.append("Whether it depends on the model’s weights was not tested.")
    good = [f"Better than {chance} in {_list(how['better'])}."] if how["better"] else []
    word: Word = "do not rely on" if grave else "with care" if light else "trust"
    if "sane" not in failing and not decided and not how["undecided"]:
        word = "do not rely on" if grave else "not judged"
    if not light and not grave:
        good.append("Its maps pass the checks that were tested and change when the model is scrambled.")
    return Judgement(
        name,
        word,
        (*grave, *light, *good),
        rank,
        tuple(how["better"]),
        tuple(how["worse"]),
        tuple(how["undecided"]),
        tuple(how["untested"]),
    )


def _beats_edge(faithful: pd.DataFrame, comparison: pd.DataFrame, measures: list[str], edge: str) -> bool | None:
    """Whether a method ranks above the edge detector in all these measures; None without an edge detector.

    A map that copies the picture does as well as its edges; so beating them shows that it holds more.
    """
    edges = comparison[comparison["method"] == edge] if len(comparison) else comparison
    if not measures or not len(edges):
        return None
    theirs = edges.set_index("metric")["rank"]
    mine = faithful.set_index("metric")["rank"]
    return bool(all(m in theirs.index and mine[m] < theirs[m] for m in measures))


def _failing(verdicts: pd.DataFrame, method: str) -> dict[str, tuple[int, float, int]]:
    """Check to (maps that fail, their share, maps tested), for the checks that were tested."""
    if not len(verdicts):
        return {}
    rows = verdicts[(verdicts["method"] == method) & (verdicts["status"] != "not tested")]
    return {
        str(check): (int((part["status"] == "fail").sum()), float((part["status"] == "fail").mean()), len(part))
        for check, part in rows.groupby("check", sort=False)
    }


def _share(check: str, value: tuple[Any, ...]) -> str:
    return f"{value[0]} of {value[2]} maps {_SAYS.get(check, f'fail the check “{check}”')}."


def _list(names: list[str], most: int = 4) -> str:
    said = ", ".join(n.replace("_", " ") for n in names[:most])
    return said + (f" and {len(names) - most} more" if len(names) > most else "")
