"""Make the cases of a task, and register each task as a data set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pellucid.core.case import Case
from pellucid.data.registry import DATASETS
from pellucid.data.synthetic import classification, dermoscopy, regression, segmentation, volume
from pellucid.errors import UsageError, unknown

_CASE: dict[str, Callable[..., Case]] = {
    "classification": classification.case,
    "regression": regression.case,
    "segmentation": segmentation.case,
    "volume": volume.case,
    "dermoscopy": dermoscopy.case,
}
_SIZE = {"classification": 224, "regression": 224, "segmentation": 224, "volume": 64, "dermoscopy": 224}


def make(
    task: str,
    *,
    n: int = 300,
    seed: int = 42,
    size: int | None = None,
    confounder: bool | float = False,
    plant: bool = True,
    start: int = 0,
    table_signal: float = 1.0,
    truth: str = "label",
    outliers: int = 0,
) -> list[Case]:
    """Cases with a known answer.

    Case ``i`` depends on the seed and on ``i`` alone: asking for more cases changes none of the first.

    Args:
        task: ``"classification"``, ``"regression"``, ``"segmentation"``, ``"volume"`` or ``"dermoscopy"``.
        n: how many cases.
        seed: of all chance.
        size: pixels along a side, 224 by default; for a volume along its longest axis, 64 by default.
        confounder: a token in a corner that gives the truth away. True: in every case; a number: the probability
            that it agrees with the truth (in a classification 0.5, in a regression 0 tells nothing). Its place is
            the region ``"confounder"``, in the cases that do not show it too. In dermoscopy it is the ruler.
        plant: False leaves out the signal alone: same patients, same noise, same masks of where it would be.
        start: number of the first case.
        table_signal: how much of the workshop's difference between the classes the table keeps (classification
            only). With all of it the table alone tells the classes apart, and no model has to look at the picture.
        truth: of dermoscopy: ``"label"`` (benign or malignant) or ``"mask"`` (of the lesion).
        outliers: of volumes: so many of the cases, the last ones, have most of one lung consolidated, which
            ``meta["planted"]``
            says.

    Raises:
        UsageError: unknown task, or an option out of range.

    Example:
        >>> [c.truth for c in make("classification", n=4, size=48)]
        [1, 0, 1, 0]
    """
    if task not in _CASE:
        raise unknown("synthetic task", task, _CASE)
    size = _SIZE[task] if size is None else size
    if size < 16:
        raise UsageError(f"size {size}: below 16 pixels nothing can be drawn; give 16 or more")
    if n < 1 or start < 0 or seed < 0:
        raise UsageError(f"n={n}, start={start}, seed={seed}: give n of 1 or more, start and seed of 0 or more")
    agreement = None if confounder is False else float(confounder)
    if agreement is not None and not 0 <= agreement <= 1:
        raise UsageError(f"confounder={confounder}: give True, False or a probability from 0 to 1")
    if not 0 <= table_signal <= 1 or (table_signal < 1 and task != "classification"):
        raise UsageError(f"table_signal={table_signal}: give a share from 0 to 1, to a classification")
    if truth not in ("label", "mask") or (truth == "mask" and task != "dermoscopy"):
        raise UsageError(f"truth={truth!r}: give 'label', or to dermoscopy 'mask'")
    if not 0 <= outliers <= n or (outliers and task != "volume"):
        raise UsageError(f"outliers={outliers}: give 0 to {n}, the number of cases, to volumes")
    one = _CASE[task]
    more: dict[str, Any] = {"table_signal": table_signal} if task == "classification" else {}
    more |= {"segmentation": truth == "mask"} if task == "dermoscopy" else {}
    last = start + n - outliers
    given: dict[str, Any] = {"size": size, "confounder": agreement, "plant": plant, **more}
    if not outliers:
        return [one(seed, i, **given) for i in range(start, start + n)]
    return [one(seed, i, outlier=i >= last, **given) for i in range(start, start + n)]


@DATASETS.register("synthetic_classification")
def synthetic_classification(
    *, n: int = 300, seed: int = 42, size: int = 224, confounder: bool | float = False, plant: bool = True,
    table_signal: float = 1.0,
) -> list[Case]:  # fmt: skip
    """Lung CT and 12 clinical features: benign or malignant nodule."""
    return make(
        "classification", n=n, seed=seed, size=size, confounder=confounder, plant=plant, table_signal=table_signal
    )


@DATASETS.register("synthetic_regression")
def synthetic_regression(
    *, n: int = 300, seed: int = 42, size: int = 224, confounder: bool | float = False, plant: bool = True
) -> list[Case]:
    """Brain T1 and T2: a score that grows with the disease around the ventricles."""
    return make("regression", n=n, seed=seed, size=size, confounder=confounder, plant=plant)


@DATASETS.register("synthetic_segmentation")
def synthetic_segmentation(
    *, n: int = 300, seed: int = 42, size: int = 224, plant: bool = True
) -> list[Case]:
    """Brain FLAIR and contrast-enhanced T1: the mask of a tumour."""
    return make("segmentation", n=n, seed=seed, size=size, plant=plant)


@DATASETS.register("synthetic_volume")
def synthetic_volume(*, n: int = 40, seed: int = 42, size: int = 64, outliers: int = 0) -> list[Case]:
    """CT volumes in HU with the labels of eight organs, anisotropic and oblique; the last may be outliers."""
    return make("volume", n=n, seed=seed, size=size, outliers=outliers)


@DATASETS.register("synthetic_dermoscopy")
def synthetic_dermoscopy(
    *, n: int = 300, seed: int = 42, size: int = 224, confounder: bool | float = False, plant: bool = True,
    truth: str = "label",
) -> list[Case]:  # fmt: skip
    """Skin lesions, benign or malignant, with hairs, rulers and dark frames, and the masks of all of them."""
    return make("dermoscopy", n=n, seed=seed, size=size, confounder=confounder, plant=plant, truth=truth)
