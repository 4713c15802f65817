"""What is explained in each case, and whether the model is right about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.core.target import as_target
from pellucid.study.context import Context
from pellucid.study.recipe import ABOVE

COLUMNS = [
    "case", "group", "target_index", "target", "probability", "threshold", "rule", "truth", "outcome", "explained",
]  # fmt: skip


def asked(
    predictor: Predictor, targets: Sequence[Any], cases: Sequence[Case], outputs: Sequence[Tensor]
) -> list[tuple[list[Any], list[int]]]:
    """The cases of a batch by what is explained in them: ``(targets, places)``.

    ``"above_threshold"`` stands for every class whose probability exceeds its threshold, the most probable first,
    without those that another target names already. A case without any is left out, if nothing else is asked.
    """
    if ABOVE not in targets:
        return [(list(targets), list(range(len(cases))))]
    found: dict[tuple[Any, ...], tuple[list[Any], list[int]]] = {}
    plain = [t for t in targets if t != ABOVE]
    for place, (case, output) in enumerate(zip(cases, outputs)):
        named = {as_target(t, predictor).bind(predictor, output, case).index for t in plain}
        p = predictor.probabilities(output[None].double())[0]
        classes = [k for k in p.argsort(descending=True).tolist() if above(predictor, p, k) and k not in named]
        if plain or classes:
            found.setdefault(tuple(classes), ([*plain, *classes], []))[1].append(place)
    return list(found.values())


def above(predictor: Predictor, probabilities: Tensor, k: int) -> bool:
    """Whether class ``k`` is above its threshold; never, where validation gave it none (NaN)."""
    return bool(probabilities[k] > predictor.thresholds[k])


def outcomes(context: Context, cases: Sequence[Case]) -> pd.DataFrame:
    """One row per explained case and class: is the class said to be there, and is it?

    ``outcome`` is TP, FP, FN or TN, or missing where the truth is unknown or validation gave no threshold. A class is
    said to be there by ``rule``: its ``threshold`` (independent labels, and where ``above_threshold`` was asked for),
    else the arg max. ``explained``: whether there is a map of it.
    """
    p = context.predictor
    if p.task != "classification":
        return pd.DataFrame(columns=COLUMNS)
    by_threshold = p.activation == "sigmoid" or ABOVE in context.explain.targets
    rows = []
    for case in cases:
        stored = context.run.prediction(context.task, case.id)
        if stored is None:
            continue
        values = stored.double()
        mapped = context.run.explained(context.task, case.id)
        for k, value in enumerate(values.tolist()):
            said = above(p, values, k) if by_threshold else int(values.argmax()) == k
            truth = _truth(case, k, len(values))
            decided = truth is not None and not (by_threshold and np.isnan(p.thresholds[k]))
            outcome = ("T" if said == truth else "F") + ("P" if said else "N") if decided else None
            rows.append(
                {
                    "case": case.id, "group": case.group, "target_index": k, "target": p.class_name(k),
                    "probability": value, "threshold": p.thresholds[k] if by_threshold else np.nan,
                    "rule": "threshold" if by_threshold else "arg max",
                    "truth": np.nan if truth is None else float(truth), "outcome": outcome, "explained": k in mapped,
                }
            )  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS)


def _truth(case: Case, k: int, classes: int) -> bool | None:
    if case.truth is None or isinstance(case.truth, str):
        return None
    truth = torch.as_tensor(case.truth).reshape(-1)
    if len(truth) == classes and (classes > 1 or isinstance(case.truth, Tensor)):
        return bool(truth[k])
    if len(truth) != 1:
        return None
    return bool(truth[0]) if classes == 1 else int(truth[0]) == k
