"""The structures of TotalSegmentator's data set, and classes made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from pellucid.errors import UsageError, nearest

_LOBES = ("upper_lobe_left", "lower_lobe_left", "upper_lobe_right", "middle_lobe_right", "lower_lobe_right")
_SPINE = ("S1", *(f"L{k}" for k in range(5, 0, -1)), *(f"T{k}" for k in range(12, 0, -1)),
          *(f"C{k}" for k in range(7, 0, -1)))  # fmt: skip


def _sides(*names: str, first: str = "left") -> tuple[str, ...]:
    sides = ("left", "right") if first == "left" else ("right", "left")
    return tuple(f"{name}_{side}" for name in names for side in sides)


STRUCTURES: tuple[str, ...] = (
    "spleen", *_sides("kidney", first="right"), "gallbladder", "liver", "stomach", "pancreas",
    *_sides("adrenal_gland", first="right"), *(f"lung_{lobe}" for lobe in _LOBES), "esophagus", "trachea",
    "thyroid_gland", "small_bowel", "duodenum", "colon", "urinary_bladder", "prostate", *_sides("kidney_cyst"),
    "sacrum", *(f"vertebrae_{level}" for level in _SPINE), "heart", "aorta", "pulmonary_vein", "brachiocephalic_trunk",
    *_sides("subclavian_artery", "common_carotid_artery", first="right"), *_sides("brachiocephalic_vein"),
    "atrial_appendage_left", "superior_vena_cava", "inferior_vena_cava", "portal_vein_and_splenic_vein",
    *_sides("iliac_artery", "iliac_vena", "humerus", "scapula", "clavicula", "femur", "hip"), "spinal_cord",
    *_sides("gluteus_maximus", "gluteus_medius", "gluteus_minimus", "autochthon", "iliopsoas"), "brain", "skull",
    *(f"rib_{side}_{k}" for side in ("left", "right") for k in range(1, 13)), "sternum", "costal_cartilages",
)  # fmt: skip
"""The 117 structures of version 2, in the order of TotalSegmentator's own label numbers, from 1."""

AGG2EXP: dict[str, tuple[str, ...]] = {
    "aorta": ("aorta",), **{f"lung_{lobe}": (f"lung_{lobe}",) for lobe in _LOBES}, "trachea": ("trachea",),
    "heart": ("heart",), "pulmonary_vein": ("pulmonary_vein",), "thyroid_gland": ("thyroid_gland",),
    "ribs": ("rib_*",), "vertebraes": ("vertebrae_*",), "autochthon_left": ("autochthon_left",),
    "autochthon_right": ("autochthon_right",), "sternum": ("sternum",), "costal_cartilages": ("costal_cartilages",),
}  # fmt: skip
"""The sixteen classes of Agg²Exp beside the background, with its names, in its order."""

BACKGROUND = "background"
PRESETS: dict[str, dict[str, tuple[str, ...]]] = {"agg2exp": AGG2EXP, "all": {s: (s,) for s in STRUCTURES}}


def classes_of(
    classes: str | Sequence[str], join: Mapping[str, str | Sequence[str]] | None, there: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """Class to the structures that make it, in the order of the labels from 1.

    Args:
        classes: the name of a preset, or names: of structures, or of ``join``. A leading ``background``, which is
            always label 0, may be named or not.
        join: class to its structures; in their names ``*`` stands for anything that the data have.
        there: structures that the data have; those of version 2 if none are known.

    Raises:
        UsageError: a class or structure that there is not, one that is named twice, or no class.
    """
    joined = {str(k): (v,) if isinstance(v, str) else tuple(str(s) for s in v) for k, v in (join or {}).items()}
    if isinstance(classes, str):
        if classes not in PRESETS:
            presets = " or ".join(map(repr, PRESETS))
            raise UsageError(f"totalsegmentator: classes={classes!r}; give {presets}, or a list of structures")
        joined = PRESETS[classes] | joined
        names = list(PRESETS[classes])
    else:
        names = [str(c) for c in classes]
    names = names[1:] if names and names[0] == BACKGROUND else names
    if not names:
        raise UsageError("totalsegmentator: no classes; give a list of structures")
    double = next((n for n in names if names.count(n) > 1), None)
    if double is not None or BACKGROUND in names:
        raise UsageError(f"totalsegmentator: the class {double or BACKGROUND!r} is named twice, or out of its place")
    unused = next((k for k in joined if k not in names), None)
    if unused is not None:
        raise UsageError(f"totalsegmentator: join has {unused!r}, which is no class; {nearest(unused, names)}")
    known = sorted({*there, *STRUCTURES})
    found: dict[str, tuple[str, ...]] = {}
    for name in names:
        parts: list[str] = []
        for pattern in joined.get(name, (name,)):
            fitting = [pattern] if pattern in known else [s for s in there or known if fnmatchcase(s, pattern)]
            if not fitting:
                raise UsageError(f"totalsegmentator: no structure {pattern!r}; {nearest(pattern, known)}")
            parts += [s for s in fitting if s not in parts]
        found[name] = tuple(parts)
    owner: dict[str, str] = {}
    for name, some in found.items():
        for s in some:
            if s in owner:
                raise UsageError(f"totalsegmentator: {s!r} is in the classes {owner[s]!r} and {name!r}; keep one")
            owner[s] = name
    return found
