"""What a recipe leaves out of its model, taken from the cases: the inputs, and the sizes of a fusion network."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from pellucid.core.case import Case
from pellucid.errors import InputError
from pellucid.nets import NETWORKS
from pellucid.study.recipe import Model


def resolved(model: Model, cases: Sequence[Case]) -> Model:
    """The model with its inputs, the names of their columns, and what a network for any inputs is built for.

    What the recipe gives stays. Inputs are all that the cases have, in their order; ``inputs``, ``spatial_dims`` and
    ``classes`` are filled in among the options of networks that take any number of inputs.

    Args:
        model: of the recipe.
        cases: of the task; the first one is looked at.

    Raises:
        InputError: there is no case, or it has no such input.
    """
    open_ = model.network is not None and "inputs" in inspect.signature(NETWORKS[model.network]).parameters
    if model.inputs and not open_:
        return model
    if not cases:
        raise InputError("model: inputs are left out, and there is no case to take them from; name them")
    case = cases[0]
    names = model.inputs or list(case.inputs)
    for name in names:
        if name not in case.inputs:
            raise InputError(
                f"case {case.id}: the model wants input {name!r}, the case has {', '.join(map(repr, case.inputs))}"
            )
    changes: dict[str, Any] = {"inputs": names}
    known = case.meta.get("features", {})
    changes["features"] = {n: list(known[n]) for n in names if n in known and n in case.tables} | model.features
    if open_:
        changes["options"] = _sizes(model, case, names) | model.options
    return model.model_copy(update=changes)


def _sizes(model: Model, case: Case, names: Sequence[str]) -> dict[str, Any]:
    values = [case.inputs[n] for n in names]
    sizes: dict[str, Any] = {
        "inputs": [
            {"kind": "table", "features": len(v)} if v.ndim == 1 else {"kind": "image", "in_channels": len(v)}
            for v in values
        ],
        "classes": len(model.classes) or (case.truth.numel() if isinstance(case.truth, Tensor) else 1),
    }
    axes = [v.ndim - 1 for v in values if v.ndim > 1]
    return sizes | ({"spatial_dims": axes[0]} if axes else {})
