"""The label maps that a table is asked for, of one case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from pellucid.aggregate.label_files import label_names, read_labels
from pellucid.aggregate.labels import LabelMap, class_names, of_case, of_labels, of_truth
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.errors import InputError, UsageError, nearest

OWN = ("predicted", "truth")
FILE_KEYS = ("file", "names", "of")


def label_maps(
    predictor: Predictor,
    case: Case,
    regions: Any,
    *,
    predicted: Tensor | None,
    names: Any = None,
    join: Mapping[str, Sequence[str]] | None = None,
) -> list[LabelMap]:
    """The label maps, each with the joined regions that its own regions make up.

    Args:
        predictor: whose classes name the labels of its prediction and of the truth.
        case: whose grid they are on.
        regions: ``"predicted"``, ``"truth"``, a region of the case, a file, ``{"file": …, "names": …, "of": …}``, a
            LabelMap, or a list of such.
        predicted: the predicted label map ``(*spatial)`` of a segmentation.
        names: value to name, or a JSON file, for regions of the case and files that bring none.
        join: new region to the regions that it is made of; with several label maps each takes those that it has all
            members of.

    Raises:
        UsageError: nothing of that kind, two label maps of one name, or a member of ``join`` that no label map has.
        InputError: the case has no such region, or a file does not fit.
    """
    many = list(regions) if isinstance(regions, Sequence) and not isinstance(regions, str) else [regions]
    if not many:
        raise UsageError("regions: name at least one label map, such as 'predicted'")
    given = None if names is None else label_names(names)
    found = [_one(predictor, case, r, predicted, given) for r in many]
    called = [m.of for m in found]
    twice = [n for n in called if called.count(n) > 1]
    if twice:
        raise UsageError(f"regions: two label maps are called {twice[0]!r}; give one another name with 'of'")
    if not join:
        return found
    if len(found) == 1:
        return [found[0].joined(join)]
    known = {r for m in found for r in m.regions}
    for name, members in join.items():
        if not any(set(members) <= set(m.regions) for m in found):
            missing = next((m for m in members if m not in known), None)
            raise UsageError(
                f"join: {name!r} is to hold {missing!r}, which is no region; {nearest(missing, known)}"
                if missing is not None
                else f"join: no label map has all members of {name!r}"
            )
    return [m.joined({k: v for k, v in join.items() if set(v) <= set(m.regions)}) for m in found]


def _one(
    predictor: Predictor, case: Case, asked: Any, predicted: Tensor | None, names: dict[int, str] | None
) -> LabelMap:
    if isinstance(asked, LabelMap):
        if tuple(asked.parts.shape) != case.spatial:
            raise InputError(
                f"case {case.id}: label map {asked.of!r} is {tuple(asked.parts.shape)}, the image is {case.spatial}; "
                "resample it to the image's grid (nearest neighbour)"
            )
        return asked
    if isinstance(asked, Mapping):
        for key in asked:
            if key not in FILE_KEYS:
                raise UsageError(f"regions: unknown key {key!r}; {nearest(str(key), FILE_KEYS)}")
        if "file" not in asked:
            raise UsageError("regions: a label map from a file is {'file': path, 'names': …, 'of': …}")
        own = asked.get("names", names)
        return read_labels(asked["file"], case, names=own, of=asked.get("of"))
    if isinstance(asked, Path):
        return read_labels(asked, case, names=names)
    if not isinstance(asked, str):
        raise UsageError(f"regions: {asked!r}; give 'predicted', 'truth', a region of the case or a file")
    if asked == "predicted":
        if predicted is None:
            raise UsageError(
                f"regions='predicted' are those of a segmentation, this model does {predictor.task}; name a region of "
                "the case, or a file"
            )
        return of_labels("predicted", predicted, class_names(predictor))
    if asked == "truth" and (isinstance(case.truth, Tensor) or "truth" not in case.regions):
        return of_truth(predictor, case)
    if asked not in case.regions and (Path(asked).is_file() or Path(asked).is_dir()):
        return read_labels(asked, case, names=names)
    return of_case(predictor, case, asked, names)
