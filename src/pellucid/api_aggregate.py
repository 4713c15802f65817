"""The public function of region tables."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import pandas as pd

from pellucid.aggregate.case_table import CaseTable, Way, case_table
from pellucid.core.attribution import Attribution
from pellucid.core.case import Case
from pellucid.core.explainer import Explainer
from pellucid.core.missing import with_missing
from pellucid.core.predictor import Predictor
from pellucid.engine.engine import Engine
from pellucid.engine.problem import Problem
from pellucid.explain.make import as_explainer, judged

COLUMNS = ("case", "target", "target_index", "method", "of", "region", "measure", "value")


def aggregate(
    predictor: Predictor,
    case: Case,
    *,
    regions: Any = "predicted",
    method: str | Explainer = "smoothgrad",
    targets: Any = "all",
    join: Mapping[str, Sequence[str]] | None = None,
    names: Any = None,
    measures: Literal["all", "signed"] = "all",
    way: Way = "auto",
    keep: Collection[Any] = (),
    seed: int = 0,
    background: Sequence[Case] = (),
    device: str = "auto",
    precision: Any = "float32",
    memory: int | None = None,
    chunk: int | None = None,
    overlap: Literal["exact", "sum"] = "exact",
    **options: Any,
) -> pd.DataFrame | tuple[pd.DataFrame, list[Attribution]]:
    """How much of what speaks for each class lies in which region, of one case.

    Of a segmentation, ``saliency``, ``input_x_gradient``, ``smoothgrad`` and ``integrated_gradients`` with ``n_steps``
    make no map of the whole volume: gradients come slab by slab, from the same passes for all classes, are added up and
    dropped, so that memory does not grow with the number of classes. Other methods make their maps first.

    Args:
        predictor: the model.
        case: what the model sees.
        regions: ``"predicted"``, ``"truth"`` (classes of a segmentation), a region of the case, a file (NIfTI label
            map, DICOM segmentation) brought to the case's grid by nearest neighbour, ``{"file": …, "names": …,
            "of": …}``, or a list of such.
        method: a registered name or an Explainer.
        targets: ``"all"`` classes, or what :func:`pellucid.explain` takes, one or a list.
        join: regions made of others, which stay: ``{"lungs": ["right lung", "left lung"]}``.
        names: label value to region name, or a JSON file, for label maps that bring none.
        measures: ``"signed"``: the signed sums and means alone, of ``saliency`` with ``keep_sign=True`` and
            ``input_x_gradient``, by forward mode where there are fewer regions than classes.
        way: of signed sums: ``"forward"`` or ``"reverse"`` mode, whichever takes fewer passes by default.
        keep: classes whose maps are returned as well. Their score takes one more pass through the windows that hold
            some of the class.
        seed: of everything random in the method.
        background: cases that stand for a usual input, for methods that compare with a cohort.
        device, precision, memory, chunk, overlap: of the :class:`~pellucid.engine.Engine`.
        **options: of the method, such as ``samples=20``.

    Returns:
        A long table, ``case``, ``target``, ``target_index``, ``method``, ``of`` (which label map), ``region``,
        ``measure``, ``value``; what is measured over the whole picture has the region ``"*"``. Measures:
        docs/howto-aggregate.md. ``table.attrs`` holds ``cost`` and ``flags``. With ``keep`` also the Attributions of
        those classes.

    Raises:
        UsageError: unknown method, option, target, class or region name.
        InputError: the case does not fit the model, or a label map does not fit the case.

    Example:
        >>> import torch, pellucid as pc
        >>> net = torch.nn.Conv2d(1, 2, 3, padding=1).eval()
        >>> p = pc.Predictor(net, inputs=["ct"], task="segmentation", classes=["background", "heart"])
        >>> case = pc.Case(id="1", inputs={"ct": torch.rand(1, 8, 8)})
        >>> table = pc.aggregate(p, case, method="saliency")
        >>> sorted(table["region"].unique())
        ['*', 'background', 'heart']
    """
    engine = Engine(
        predictor, device=device, precision=precision, memory=memory, chunk=chunk, overlap=overlap
    )
    made, kept = aggregated(
        engine, case, as_explainer(method, options), regions=regions, targets=targets, join=join, names=names,
        measures=measures, way=way, keep=keep, seed=seed, background=background,
    )  # fmt: skip
    table = pd.DataFrame(made.rows, columns=list(COLUMNS))
    table.attrs = {"cost": made.cost.as_dict(), "flags": {k: list(v) for k, v in made.flags.items()}}
    return (table, kept) if keep else table


def aggregated(
    engine: Engine, case: Case, explainer: Explainer, *, seed: int = 0, background: Sequence[Case] = (), **asked: Any
) -> tuple[CaseTable, list[Attribution]]:
    """The table of one case, and the kept maps as Attributions; ``asked`` as in :func:`aggregate`."""
    made = case_table(engine, case, explainer, seed=seed, background=background, **asked)
    if made.kept is None:
        return made, []
    targets, bound, result = made.kept
    problem = Problem(engine, [case], targets, seed=seed, background=background, frozen=[bound])
    maps = judged(problem, explainer, result, problem.scores, [made.cost])[0]
    return made, [with_missing(a, case, engine.predictor, tables=explainer.tables) for a in maps]


__all__ = ["aggregate"]
