"""The same model on shifted pictures: what it is shown, and so what it says, is as before."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pellucid.core.background import Background
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.engine.engine import Engine
from pellucid.evaluate.undefined import Undefined

if TYPE_CHECKING:
    from pellucid.evaluate.evidence import Evidence


def shifted(evidence: Evidence, share: float) -> tuple[Engine, Case, Sequence[Case]]:
    """An engine, the case and the background, with ``share`` times its range added to each picture.

    The model's normalisation takes the shift away again, so that the user's module, its layers and their names stay.

    Raises:
        Undefined: no picture.
    """

    def make() -> tuple[Engine, Case, Sequence[Case]]:
        images = evidence.scorer.images
        if not images:
            raise Undefined("the model sees tables only: there are no pictures to shift")
        by: dict[str, float] = {}
        for name in images:
            extent = float(evidence.problem.scale(name))
            by[name] = share * (extent if extent > 0 else 1.0)
        engine = evidence.engine.like(shift_predictor(evidence.engine.predictor, by))
        usual = evidence.background
        usual = usual if isinstance(usual, Background) else Background(usual)
        return engine, shift_case(evidence.case, by), usual.map(lambda c: shift_case(c, by))

    return evidence.once(("shifted", share), make)


def shift_predictor(predictor: Predictor, by: dict[str, float]) -> Predictor:
    """The predictor around the same module, with a number taken from each of the named inputs first."""
    other = copy.copy(predictor)
    known: dict[str, tuple[Tensor, Tensor]] = {name: (torch.zeros(1), torch.ones(1)) for name in by}
    known |= predictor.normalise
    other.normalise = {k: (mean + by[k], sd) if k in by else (mean, sd) for k, (mean, sd) in known.items()}
    return other


def shift_case(case: Case, by: dict[str, float]) -> Case:
    """The case with a number added to each of the named inputs that it has."""
    return case.replace(
        inputs={k: v + by[k] if k in by and k not in case.missing else v for k, v in case.inputs.items()}
    )
