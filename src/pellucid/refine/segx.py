"""SegX: a map seen through the mask of a segmentation, and what that mask hides.

``S = A ∘ M``, with A a map and M a mask, by design one that a segmentation model predicted; the salient places are
those strictly above the ``1 − top`` percentile of S. Masking can make a wrong model look right, so beside S there
always are the unmasked map and the discarded mass ``1 − Σ(A⁺∘M) / ΣA⁺``. Source: zhang2025segx.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from pellucid.core.attribution import Attribution
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.core.refiner import Refiner
from pellucid.core.registry import build, tuples
from pellucid.core.verdict import Thresholds, Verdict, not_tested
from pellucid.engine.engine import Engine
from pellucid.errors import InputError, UsageError
from pellucid.refine.checks import REMADE, masked_checks, whole_checks
from pellucid.refine.mask import Value, as_mask, check_options, widened
from pellucid.refine.masking import hidden, magnitude, salient, through
from pellucid.refine.predicted import predicted_region


@dataclass(frozen=True, kw_only=True)
class SegX(Refiner):
    """Keep of a map what lies in a region, and say what that hides.

    Attributes:
        mask: name of the case's region, predicted (``segment`` in a recipe) or given.
        top: share of the pixels that are called salient.
        within: of the mask's pixels, or of the whole ``"image"``, as published: then a mask smaller than ``top`` of the
            picture is salient all over, and the ranking is lost.
        margin: millimetres (pixels where the case has no spacing) by which the mask reaches farther, or less far if
            negative.
        soft: weigh by the probability of the region, where a model predicted it, in place of a mask.
        value: the label, or labels, of a label map that are the region.
        compatible: the published code to the last bit: ``within="image"``, negative values ranked as they are, the
            mean magnitude of maps that have channels, an empty mask gives an empty map, and no flags.
    """

    name = "segx"
    source = "zhang2025segx"
    mask: str = "lesion"
    top: float = 0.05
    within: Literal["mask", "image"] = "mask"
    margin: float = 0.0
    soft: bool = False
    value: int | tuple[int, ...] | None = None
    compatible: bool = False

    def __post_init__(self) -> None:
        """Check the options."""
        check_options(
            top=self.top, within=self.within, margin=self.margin, soft=self.soft, compatible=self.compatible
        )

    def refine(
        self, maps: Sequence[Attribution], case: Case, *, soft: Mapping[str, Tensor] | None = None,
        limits: Thresholds | None = None,
    ) -> list[Attribution]:  # fmt: skip
        """The maps as seen through the case's region.

        Raises:
            InputError: the case has no such region, no probabilities of it, or no map is on its grid.
        """
        given = soft or {}
        if self.soft and self.mask not in given:
            raise InputError(
                f"case {case.id}: no probabilities of region {self.mask!r}; soft needs one that a model predicts "
                f"(segment: {{{self.mask}: …}} in the recipe)"
            )
        source = given[self.mask] if self.soft else self._region(case)
        extra = {"region": self.mask, "predicted": self.mask in given}
        return [masked(a, _prepared(source, a, self), self, limits=limits, extra=extra) for a in maps]

    def _region(self, case: Case) -> Tensor:
        case.region(self.mask)  # says which regions there are
        return case.regions[self.mask]

    @classmethod
    def again(cls, made: Sequence[Attribution], like: Attribution) -> list[Attribution]:
        """The same mask over maps that were made again."""
        assert like.refinement is not None
        plain: Mapping[str, Any] = like.refinement["options"]
        how = build(cls, "refiner", cls.name, tuples(plain))
        extra = {k: like.refinement[k] for k in ("region", "predicted") if k in like.refinement}
        return [masked(a, like.refinement["mask"], how, extra=extra) for a in made]


def segx(
    a: Attribution, mask: Any, *, top: float = 0.05, within: Literal["mask", "image"] = "mask", margin: float = 0.0,
    soft: bool = False, value: Value = None, compatible: bool = False, case: Case | None = None,
    thresholds: Thresholds | None = None, label: str | None = None,
) -> Attribution:  # fmt: skip
    """A map as seen through a mask; see :class:`SegX` for the options.

    Args:
        a: the map; it stays as it is.
        mask: ``(*spatial)`` bool, two values, a label map (with ``value``) or probabilities (inside above 0.5, or as
            weights with ``soft``); or, with ``case``, the name of its region, or a segmentation Predictor.
        top, within, margin, soft, compatible: of SegX.
        value: the label, or labels, that are inside; of a Predictor its class.
        case: that was explained, where the mask is to be taken from it.
        thresholds: of the verdicts.
        label: what the map is called in place of ``segx``.

    Returns:
        The masked map, called ``segx(method)``, with ``discarded_mass``, ``mask``, ``top``, ``unmasked``,
        ``mask_share`` and ``flags`` in ``refinement``, and the verdict ``inside``.

    Raises:
        UsageError: an option that makes no sense, or a Predictor or a name without a case.
        InputError: the mask does not fit the map.

    Example:
        >>> a = Attribution(maps={"x": torch.tensor([[1.0, 3.0], [0.0, 4.0]])}, method="grad_cam", case_id="1",
        ...                 score=0.0, target={"kind": "class", "k": 0, "index": 0, "label": "b"})
        >>> s = segx(a, torch.tensor([[True, True], [False, False]]))
        >>> s.maps["x"].tolist(), s.refinement["discarded_mass"]
        ([[1.0, 3.0], [0.0, 0.0]], 0.5)
    """
    name = mask if isinstance(mask, str) else "mask"
    chosen = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
    # A Predictor has picked its class already when the mask is read.
    kept = None if isinstance(mask, Predictor) else chosen
    how = SegX(
        mask=name, top=top, within=within, margin=margin, soft=soft, value=kept, compatible=compatible, label=label
    )
    extra: dict[str, Any] = {}
    if isinstance(mask, str | Predictor):
        if case is None or case.id != a.case_id:
            raise UsageError(f"give the case that was explained, case={a.case_id}: the mask is to be made from it")
        if isinstance(mask, Predictor):
            hard, p = predicted_region(Engine(mask), case, label=chosen)  # type: ignore[arg-type]
            mask, extra = p if soft else hard, {"predicted": True}
        else:
            return how.refine([a], case, limits=thresholds)[0]
    return masked(a, _prepared(mask, a, how), how, limits=thresholds, extra=extra)


def masked(
    a: Attribution, mask: Tensor, how: SegX, *, limits: Thresholds | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Attribution:  # fmt: skip
    """The map through a mask that is ready: ``(*spatial)``, bool or float32 weights.

    Raises:
        InputError: no map is on the mask's grid.
    """
    names = _on_grid(a, tuple(mask.shape))
    hard = mask if mask.dtype == torch.bool else mask > 0.5
    seen = bool(hard.any()) or how.compatible  # else the unmasked map comes back
    maps = {n: m.clone() for n, m in a.maps.items()}
    for n in names if seen else ():
        maps[n] = through(magnitude(maps[n], a.image_axes) if how.compatible else maps[n], mask)
    s = a.replace(maps=maps, method=how.called(a.method), signed=any(bool((m < 0).any()) for m in maps.values()))
    inside = hard if how.within == "mask" and not how.compatible and seen else torch.ones_like(hard)
    top = {}
    for n in names:
        # Where little speaks for the target, what speaks against it is not salient; the published code ranks it too.
        ranked = s.spatial(n) if how.compatible else s.spatial(n).double().clamp(min=0)
        top[n] = salient(ranked, inside, how.top)
    mass = _shares({n: a.spatial(n).double().clamp(min=0) for n in names}, mask, seen=seen)
    size = _shares({n: a.spatial(n).double().abs() for n in names}, mask, seen=seen)
    share = float(hard.double().mean())
    checks: Mapping[str, Verdict]
    if seen and bool(hard.any()):
        checks = masked_checks(a, hard, names, mass[0], limits or Thresholds())
    else:
        said = "The mask is empty: " + ("so is the map." if seen else "the unmasked map is shown.")
        checks = {**whole_checks(a, maps, limits or Thresholds()), "inside": not_tested("inside", said)}
    words = {"not_finite": "finite", "empty": "not_empty", "flat": "not_flat", "hides_evidence": "inside"}
    own = [w for w, name in words.items() if checks[name].status in ("warn", "fail")]
    own = [w for w in own if not (w == "empty" and "empty_target" in a.flags)]
    own += ["empty_mask"] if not hard.any() else []
    own += ["mask_everywhere"] if bool((mask >= 1).all()) else []
    own += ["ranking_lost"] if how.within == "image" and 0 < share < how.top else []
    own = [] if how.compatible else own
    found: dict[str, Any] = {
        "refiner": how.name, "options": how.describe(), "of": a.method, **(extra or {}), "mask": mask,
        "unmasked": dict(a.maps), "top": top,
        "discarded_mass": mass[0], "discarded_mass_by_input": mass[1],
        "discarded_magnitude": size[0], "discarded_magnitude_by_input": size[1],
        "mask_share": share, "margin_unit": "mm" if a.spacing else "pixels",
        "untouched": [n for n in a.maps if n not in names], "flags": own,
    }  # fmt: skip
    if a.refinement is not None:
        found["before"] = a.refinement
    notes = {k: v for k, v in a.notes.items() if k != "completeness_error"}  # of the whole map
    kept = tuple(f for f in a.flags if f not in (*REMADE, *own))
    return s.replace(checks=checks, flags=(*kept, *own), notes=notes, refinement=found)


def _prepared(source: Any, a: Attribution, how: SegX) -> Tensor:
    mask = as_mask(source, where=f"case {a.case_id}", soft=how.soft, value=how.value)
    _on_grid(a, tuple(mask.shape))
    return mask if how.soft else widened(mask, how.margin, a.spacing)


def _on_grid(a: Attribution, grid: tuple[int, ...]) -> list[str]:
    names = [n for n in a.images if tuple(a.spatial(n).shape) == grid]
    if not names:
        sizes = ", ".join(f"{n!r} {tuple(a.spatial(n).shape)}" for n in a.images) or "of tables alone"
        raise InputError(
            f"case {a.case_id}: the mask is {grid}, the maps of {a.method} are {sizes}; resample the mask to the "
            "picture's grid (nearest neighbour)"
        )
    return names


def _shares(parts: Mapping[str, Tensor], mask: Tensor, *, seen: bool) -> tuple[float, dict[str, float]]:
    """What the mask hides of all maps and of each; NaN where nothing was masked."""
    if not seen:
        return math.nan, dict.fromkeys(parts, math.nan)
    return hidden(list(parts.values()), mask), {n: hidden([m], mask) for n, m in parts.items()}
