"""What a masked map has shown about itself."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from pellucid.core.attribution import Attribution
from pellucid.core.verdict import Thresholds, Verdict, cheap_checks, inside_check, not_tested

REMADE = ("not_finite", "empty", "flat", "unstable", "not_sane", "not_better")  # flags of verdicts on the whole map


def masked_checks(
    a: Attribution, mask: Tensor, names: list[str], discarded: float, limits: Thresholds
) -> dict[str, Verdict]:
    """The cheap verdicts of a masked map and ``inside``.

    ``not_empty`` and ``not_flat`` look at what lies in the mask: zeros outside are the mask's, not the map's.
    ``finite`` looks at the whole map, so that a mask cannot hide a fault.

    Args:
        a: the map before it was masked.
        mask: bool ``(*spatial)``, with at least one pixel inside.
        names: of the maps that were masked.
        discarded: share of the evidence that the mask hides.
        limits: the thresholds.
    """
    seen = {n: m[..., mask] if n in names else m for n, m in a.maps.items()}
    checks = whole_checks(a, seen, limits)
    empty, flat = checks["not_empty"], checks["not_flat"]
    if empty.status == "fail" and any(bool(m.any()) for m in a.maps.values()):
        said = "The map is zero in the mask: everything that the method marked lies outside."
        checks["not_empty"] = replace(empty, sentence=said)
    if flat.status == "warn":
        said = f"In the mask the map is nearly the same everywhere (spread {flat.value:.1%} of its maximum): "
        checks["not_flat"] = replace(flat, sentence=said + "what is seen is the mask.")
    if mask.all():
        checks["inside"] = not_tested("inside", "The mask is the whole picture: it hides nothing.")
    else:
        checks["inside"] = inside_check(discarded, float(mask.double().mean()), limits.inside)
    return checks


def whole_checks(a: Attribution, seen: dict[str, Tensor], limits: Thresholds) -> dict[str, Verdict]:
    """The cheap verdicts on ``seen``; what is dear was tested of the unmasked map at most."""
    checks, whole = (
        cheap_checks(maps, complete=False, total=None, expected=None, flags=a.flags, limits=limits)
        for maps in (seen, a.maps)
    )
    checks["finite"] = whole["finite"]
    checks["complete"] = not_tested("complete", "A masked map leaves out what lies outside, so it does not add up.")
    said = "Asked of the masked map by a run with 'checks: full' alone."
    dear = {name: not_tested(name, said) for name in ("stable", "sane", "better")}
    return {**checks, **dear}
