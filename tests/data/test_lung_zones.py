"""Six zones of a lung mask: thirds of each lung's own height, the patient's right at the left of the picture."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pellucid.core.case import Case
from pellucid.data import zones
from pellucid.data.zones import LUNG_ZONES, lung_zones, with_zones
from pellucid.errors import UsageError

NAMES = [f"{s} {t}" for s in ("right", "left") for t in ("upper", "middle", "lower")]


def both() -> np.ndarray:
    """A lung of 12 rows at the left of the picture, one of 18 at the right."""
    mask = np.zeros((24, 24), bool)
    mask[3:15, 2:9] = True
    mask[2:20, 14:21] = True
    return mask


def test_each_lung_is_cut_into_thirds_of_its_own_height() -> None:
    found = lung_zones(both())
    assert list(found) == NAMES
    assert [int(z.sum()) for z in found.values()] == [28, 28, 28, 42, 42, 42]
    assert np.array_equal(np.flatnonzero(found["right middle"].any(1)), np.arange(7, 11))
    assert np.array_equal(np.flatnonzero(found["left lower"].any(1)), np.arange(14, 20))
    assert found["right upper"][:, :12].sum() == 28  # the patient's right is at the left of the picture
    assert np.array_equal(sum(z.astype(int) for z in found.values()), both().astype(int))  # apart, and together the mask
    other = lung_zones(both(), mirrored=True)
    assert np.array_equal(other["left upper"], found["right upper"])


def test_lungs_that_touch_are_cut_where_they_are_narrowest() -> None:
    mask = both()
    mask[8:10, 9:14] = True
    found = lung_zones(mask)
    right = sum(found[n].astype(int) for n in NAMES[:3])
    assert np.array_equal(right[:, :9], both()[:, :9])
    assert not right[:, 14:].any()
    assert sum(int(z.sum()) for z in found.values()) == mask.sum()


@pytest.mark.parametrize(("side", "other"), [("right", "left"), ("left", "right")])
def test_one_lung_alone_has_three_zones_and_small_pieces_go_to_it(side: str, other: str) -> None:
    mask = both()
    mask[:, slice(12, 24) if side == "right" else slice(0, 12)] = False
    mask[21, 4 if side == "right" else 18] = True
    found = lung_zones(mask)
    assert [found[f"{other} {t}"].sum() for t in ("upper", "middle", "lower")] == [0, 0, 0]
    assert sum(int(z.sum()) for z in found.values()) == mask.sum()


def test_a_pair_of_lungs_off_the_middle_are_still_two() -> None:
    found = lung_zones(np.pad(both(), ((0, 0), (0, 40))))
    assert [int(z.sum()) for z in found.values()] == [28, 28, 28, 42, 42, 42]


def test_an_empty_mask_has_empty_zones_and_a_volume_is_refused() -> None:
    assert not any(z.any() for z in lung_zones(np.zeros((8, 8))).values())
    with pytest.raises(UsageError, match=r"the mask has shape \(2, 8, 8\); give that of a frontal picture"):
        lung_zones(np.zeros((2, 8, 8)))


def test_a_case_gets_them_of_its_own_lungs_or_of_estimated_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setitem(zones.ZONES, "lungs_classical", lambda x: seen.append(1) or both()[::-1].copy())
    x = torch.rand(1, 24, 24)
    own = with_zones(Case(id="a", inputs={"x": x}, regions={"lungs": torch.as_tensor(both())}), [LUNG_ZONES])
    assert own.region("zone right upper").sum() == 28
    assert not seen
    made = with_zones(Case(id="a", inputs={"x": x}), ["lungs_classical", LUNG_ZONES, "border"])
    assert [len(seen), made.region("zone left upper").any(1).nonzero().min()] == [1, 4]  # estimated once
    assert set(made.regions) == {"lungs_classical", "border", *(f"zone {n}" for n in NAMES)}
    turned = with_zones(Case(id="a", inputs={"x": x}, meta={"mirrored": True}), [LUNG_ZONES])
    assert torch.equal(turned.region("zone left upper"), made.region("zone right upper"))
    with pytest.raises(UsageError, match="lung_zones_classical"):
        with_zones(own, ["lung_zones"])
