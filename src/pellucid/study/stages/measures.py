"""What a run keeps of a classifier beside its performance: curves, confusion, and whether it is as good for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from torch import Tensor

from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.errors import nearest
from pellucid.evaluate.cohort.strata import FEW, levels
from pellucid.study.context import LOG, Context
from pellucid.study.stages.answers import Answers
from pellucid.train.asked import asked
from pellucid.train.bias import bias_table
from pellucid.train.confusion import confusion
from pellucid.train.curves import curves

Levels = Mapping[str, Sequence[str | None]]
TABLES = ("roc", "pr", "confusion", "bias")


def classifier_tables(
    p: Predictor, truth: Answers, output: Answers, strata: Levels, *, groups: Sequence[str], min_positives: int,
    seed: int,
) -> dict[str, pd.DataFrame]:  # fmt: skip
    """The tables ``roc``, ``pr``, ``confusion`` and, where there are strata, ``bias`` of some cases.

    None for a model that gives no probabilities of classes.
    """
    if p.task != "classification" or p.activation == "identity":
        return {}
    assert isinstance(truth, Tensor)
    assert isinstance(output, Tensor)
    questions = asked(
        truth, output, activation=p.activation, classes=p.classes, thresholds=p.thresholds, temperature=p.temperature
    )
    drawn: dict[str, Any] = {"groups": groups, "min_positives": min_positives, "seed": seed}
    roc, pr = curves(questions, **drawn)
    exclusive = p.activation == "softmax"
    cells = confusion(questions, truth, output, exclusive=exclusive, classes=p.classes, **drawn)
    found = {"roc": roc, "pr": pr, "confusion": cells}
    return found | ({"bias": bias_table(questions, strata, **drawn)} if strata else {})


def strata_of(context: Context, part: str, cases: Sequence[Case]) -> dict[str, list[str | None]]:
    """Stratum to the level of each case, of those that the recipe names: ages in bands, few values as they are.

    What cannot be divided (no case has it, all have the same, too many texts) is left out, and it is said why; a
    column of ``train.strata`` with one value is kept as it is.
    """
    work = context.work
    old = list(work.train.strata) if work.train else []
    names = list(dict.fromkeys([*old, *work.evaluate.strata]))
    facts = pd.DataFrame({"case": [c.id for c in cases]} | {f"meta_{n}": [c.meta.get(n) for c in cases] for n in names})
    divided = levels(facts)
    found: dict[str, list[str | None]] = {}
    for name in names:
        if name in divided:
            of = divided[name]
            found[name] = [None if pd.isna(of[c.id]) else str(of[c.id]) for c in cases]
            continue
        values = {str(c.meta[name]) for c in cases if c.meta.get(name) is not None}
        if name in old and len(values) < FEW:
            found[name] = [None if c.meta.get(name) is None else str(c.meta[name]) for c in cases]
            continue
        known = list(dict.fromkeys(k for c in cases for k in c.meta))
        why = (
            f"no case has it; {nearest(name, known)}" if not values
            else "all have the same" if len(values) == 1 else f"{len(values)} values that are no numbers"
        )  # fmt: skip
        note = f"{context.task}: {part!r} is not divided by {name!r}: {why}"
        LOG.warning(note)
        context.console.print(f"[yellow]{note}[/]", highlight=False)
    return found
