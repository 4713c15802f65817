"""Cases from a folder: a file or a DICOM folder per case, and a sub-folder per class if there are labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from pellucid.core.case import Case
from pellucid.data.case_list import CaseList, collect
from pellucid.data.masks import turned_like
from pellucid.data.pictures import Pictures, as_mask, full_size, resized, with_channels
from pellucid.data.registry import DATASETS
from pellucid.errors import InputError, UsageError
from pellucid.io.files import extension, stem
from pellucid.io.reader import SUFFIXES


@DATASETS.register("folder")
def load_folder(
    root: str | Path,
    *,
    images: str | Path | None = None,
    classes: Sequence[str] | bool | None = None,
    masks: Mapping[str, str] | None = None,
    name: str = "image",
    size: int | Sequence[int] | None = None,
    channels: int | None = None,
    orientation: str | None = None,
    limit: int | None = None,
) -> CaseList:
    """Cases from a folder; one that fails is noted in ``.failed`` and does not stop the others.

    Args:
        root: the data set's folder.
        images: its sub-folder with the cases; ``root`` itself if None. Each picture, and each sub-folder (a DICOM
            series), is a case, its id the name without suffix.
        classes: names of the sub-folders that are classes, in order; True takes all, sorted. No labels if None.
        masks: region name to the folder (in ``root``) of its masks, files of the case's name with any suffix.
        name: of the input.
        size: pixels along each spatial axis, or one length for all; as stored if None.
        channels: 1 (grey) or 3; as stored if None.
        orientation: of volumes, such as ``"RAS"``.
        limit: keep the first cases only.

    Raises:
        InputError: no such folder, nothing in it, an id that occurs twice, or no case that can be read.
    """
    root = Path(root)
    top = root if images is None else root / images
    if not top.is_dir():
        raise InputError(f"{top}: no such folder; check the path")
    found: list[tuple[str, tuple[Path, int | None]]] = []
    labels = _classes(top, classes)
    for truth, folder in enumerate(labels) if labels is not None else [(None, ".")]:
        if not (top / folder).is_dir():
            raise InputError(f"{top}: no sub-folder for the class {folder!r}")
        found += [(stem(p), (p, truth)) for p in sorted((top / folder).iterdir()) if _is_case(p)]
    by_stem = {region: _files_by_stem(root / folder) for region, folder in (masks or {}).items()}

    with Pictures(root) as pictures:

        def make(id: str, item: tuple[Path, int | None]) -> Case:
            path, truth = item
            image = with_channels(pictures.read(str(path.relative_to(root)), orientation=orientation), channels)
            small = resized(image, full_size(size, len(image.spatial)))
            regions = {}
            for region, files in by_stem.items():
                if id in files:
                    drawn = pictures.read(str(files[id].relative_to(root)), scale=False)
                    drawn = resized(turned_like(drawn, image), full_size(size, len(drawn.spatial)), labels=True)
                    regions[region] = torch.from_numpy(as_mask(drawn, what=f"mask {region!r}"))
            return small.to_case(id=id, name=name, truth=truth, regions=regions)

        return collect(found[:limit], make, source=str(top))


def _classes(top: Path, classes: Sequence[str] | bool | None) -> list[str] | None:
    if classes is None or classes is False:
        return None
    if isinstance(classes, str):
        raise UsageError(f"classes={classes!r}: give a list of sub-folders, or true for all of them")
    if classes is not True:
        return [str(c) for c in classes]
    names = sorted(p.name for p in top.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not names:
        raise InputError(f"{top}: classes are asked for, but there are no sub-folders")
    return names


def _is_case(path: Path) -> bool:
    if path.name.startswith("."):
        return False
    return path.is_dir() or extension(path) in SUFFIXES or (path.is_file() and extension(path) == "")


def _files_by_stem(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of masks; check masks=…")
    return {stem(p): p for p in sorted(folder.iterdir()) if _is_case(p)}
