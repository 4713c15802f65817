"""MSFI and the agreement of the shares: against literal twins, by hand, and what they make of bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from metric_worlds import ROWS, Counted, attribution, evidence, of, world
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.errors import UsageError
from pellucid.evaluate.modality.msfi import msfi
from pellucid.evaluate.run import as_metric
from pellucid.evaluate.undefined import Undefined
from reference import metric_modality as literal

NAMES = ("t1", "t2", "ehr")


class Known(nn.Module):
    """``3 · mean(t1) + 1 · mean(t2) + 0.5 · sum(ehr) + cross · mean(t1) mean(t2)``."""

    def __init__(self, cross: float = 0.0, second: float = 1.0) -> None:
        super().__init__()
        self.cross, self.second = cross, second

    def forward(self, t1, t2, ehr):
        a, b = t1.mean((1, 2, 3)), t2.mean((1, 2, 3))
        return (3 * a + self.second * b + 0.5 * ehr.sum(1) + self.cross * a * b)[:, None]


def known(cross: float = 0.0, second: float = 1.0, shape=(8, 8), regions=None):
    """A regression on two pictures and a table; filled with zero, its Shapley values are 3, 1 and 1.5 without cross."""
    lesion = torch.zeros(shape, dtype=torch.bool)
    lesion[tuple(slice(2, 4) for _ in shape)] = True
    case = Case(
        id="k", inputs={"t1": torch.ones(1, *shape), "t2": torch.ones(1, *shape), "ehr": torch.ones(3)},
        regions={"lesion": lesion} if regions is None else regions,
    )  # fmt: skip
    return Predictor(Counted(Known(cross, second)).eval(), inputs=list(NAMES), task="regression"), case


def scored(maps, *metrics, case=None, **options):
    predictor, own = known(**options)
    case = case or own
    a = attribution(case, maps, kind="score")
    found = of(predictor, case, [a], fill="zero").view(0).scores([as_metric(m) for m in metrics])
    return next(iter(found.values())) if len(found) == 1 else found


def drawn(seed: int, shape=(8, 8)):
    g = torch.Generator().manual_seed(seed)
    return {"t1": torch.randn(1, *shape, generator=g), "t2": torch.randn(1, *shape, generator=g),
            "ehr": torch.randn(3, generator=g)}  # fmt: skip


@pytest.mark.parametrize("where", ["regression 2 pictures", "segmentation 2 pictures", "classification 2-D + table"])
def test_equal_their_twins(where):
    e = evidence(where)
    case, names = world(where).case, e.engine.predictor.inputs
    values = e.modalities(0).values

    def value(there):
        return float(values[sum(1 << i for i, n in enumerate(names) if n in there)])

    worth = literal.shapley(names, value)
    drops = {n: value(frozenset(names)) - value(frozenset(names) - {n}) for n in names}
    mask = case.regions["lesion"].numpy()
    for place, a in enumerate(e.maps):
        pictures = {n: a.spatial(n).double().numpy() for n in case.images}
        found = e.view(place).scores([as_metric(m) for m in ("msfi", {"modality_agreement": {"of": "ablation"}})])
        weights = {n: abs(v) for n, v in worth.items()} if e.engine.predictor.task == "regression" else worth
        twin = literal.msfi(pictures, dict.fromkeys(pictures, mask), weights)
        assert found["msfi"].value == pytest.approx(twin, rel=1e-6)
        sizes = {n: float(m.abs().mean()) for n, m in a.maps.items()}
        assert found["modality_agreement"].value == pytest.approx(literal.agreement(sizes, drops), rel=1e-5)
        (shapley,) = e.view(place).scores([as_metric("modality_agreement")]).values()
        assert shapley.value == pytest.approx(literal.agreement(sizes, worth), rel=1e-5)
        (sums,) = e.view(place).scores([as_metric({"modality_agreement": {"form": "sum"}})]).values()
        whole = {n: float(m.abs().sum()) for n, m in a.maps.items()}
        assert sums.value == pytest.approx(literal.agreement(whole, worth), rel=1e-5)


def test_a_map_in_the_region_scores_one_and_a_flat_one_the_region_s_share():
    lesion = known()[1].regions["lesion"]
    inside = {"t1": lesion.float()[None], "t2": lesion.float()[None], "ehr": torch.ones(3)}
    assert scored(inside, "msfi").value == pytest.approx(1)
    flat = {"t1": torch.ones(1, 8, 8), "t2": torch.ones(1, 8, 8), "ehr": torch.ones(3)}
    assert scored(flat, "msfi").value == pytest.approx(4 / 64)
    random = [scored({k: v.abs() for k, v in drawn(i).items()}, "msfi").value for i in range(60)]
    assert np.mean(random) == pytest.approx(4 / 64, abs=0.01)


def test_the_picture_that_matters_more_weighs_more():
    """φ is 3 and 1: right in t1 only gives 3/4, right in t2 only 1/4."""
    lesion = known()[1].regions["lesion"].float()[None]
    for right, expected in (("t1", 0.75), ("t2", 0.25)):
        maps = {n: lesion if n == right else 1 - lesion for n in ("t1", "t2")} | {"ehr": torch.ones(3)}
        assert scored(maps, "msfi").value == pytest.approx(expected)
    # A picture without positive evidence has none in the region; in a regression the sign of φ says nothing.
    maps = {"t1": lesion, "t2": 1 - lesion, "ehr": torch.ones(3)}
    assert scored(maps | {"t1": -lesion}, "msfi").value == 0
    assert scored(maps, "msfi", second=-1.0).value == pytest.approx(0.75)
    # A picture that speaks against the answer weighs nothing.
    pair = {n: (lesion if n == "t1" else 1 - lesion)[0] for n in ("t1", "t2")}
    assert msfi(pair, dict.fromkeys(pair, lesion[0].bool()), {"t1": 3.0, "t2": -1.0}) == pytest.approx(1)
    # Interactions are shared out: φ becomes 3 + 2 and 1 + 2.
    assert scored(maps, "msfi", cross=4.0).value == pytest.approx(5 / 8)


def test_each_picture_may_have_a_region_of_its_own():
    left, right = torch.zeros(8, 8, dtype=torch.bool), torch.zeros(8, 8, dtype=torch.bool)
    left[:, :2], right[:, 6:] = True, True
    maps = {"t1": left.float()[None], "t2": right.float()[None], "ehr": torch.ones(3)}
    own = {"lesion:t1": left, "lesion:t2": right}
    assert scored(maps, "msfi", regions=own).value == pytest.approx(1)
    assert scored(maps, "msfi", regions={"lesion": left}).value == pytest.approx(0.75)
    assert scored(maps, "msfi", regions={"lesion": left, "lesion:t2": right}).value == pytest.approx(1)
    other = {"oedema": right, "lesion": left}
    assert scored(maps, {"msfi": {"region": "oedema"}}, regions=other).value == pytest.approx(0.25)
    half = scored(maps, "msfi", regions={"lesion:t1": left})
    assert math.isnan(half.value) and "no region 'lesion'" in half.reason


def test_agreement_by_hand():
    """The model's shares are 3, 1 and 1.5 of 5.5."""
    exact = {"t1": torch.full((1, 8, 8), 3.0), "t2": torch.ones(1, 8, 8), "ehr": torch.full((3,), -1.5)}
    assert scored(exact, "modality_agreement").value == pytest.approx(1, abs=1e-6)
    only = {"t1": torch.zeros(1, 8, 8), "t2": torch.ones(1, 8, 8), "ehr": torch.zeros(3)}
    assert scored(only, "modality_agreement").value == pytest.approx(1 / 5.5, abs=1e-6)
    assert scored(only, "modality_agreement", second=0.0).value == pytest.approx(0, abs=1e-6)
    assert scored(exact, "modality_agreement").value > scored(drawn(3), "modality_agreement").value


def test_passes_are_those_of_the_shares():
    predictor, case = known()
    e = of(predictor, case, [attribution(case, drawn(i), kind="score") for i in range(3)], fill="zero")
    ROWS["seen"] = 0
    for place in range(3):
        e.view(place).scores([as_metric(m) for m in ("msfi", "modality_agreement", "shapley_share", "ablation_share")])
    assert ROWS["seen"] == 2**3


def test_in_three_dimensions():
    shape = (6, 7, 5)
    maps, mask = drawn(4, shape), torch.rand(shape, generator=torch.Generator().manual_seed(1)) < 0.3
    a, m = ({n: v.squeeze(0).double().numpy() for n, v in maps.items() if v.ndim > 1}, mask.numpy())
    got = msfi({n: v[0] for n, v in maps.items() if v.ndim > 1}, {"t1": mask, "t2": mask}, {"t1": 2.0, "t2": 0.5})
    assert got == pytest.approx(literal.msfi(a, {"t1": m, "t2": m}, {"t1": 2.0, "t2": 0.5}))


def test_what_cannot_be_said_is_said():
    maps = drawn(5)
    for change, word in (
        ({"t1": torch.full((1, 8, 8), math.nan)}, "NaN"),
        ({"t1": -torch.ones(1, 8, 8), "t2": -torch.ones(1, 8, 8)}, "no positive value"),
    ):
        s = scored(maps | change, "msfi")
        assert math.isnan(s.value) and word in s.reason
    missing = scored({k: v for k, v in maps.items() if k != "t2"}, "msfi")
    assert math.isnan(missing.value) and "no map for 't2'" in missing.reason
    for metric in ("msfi", "modality_agreement"):
        assert math.isfinite(scored(maps, metric).value)
    nothing = scored({k: torch.zeros_like(v) for k, v in maps.items()}, "modality_agreement")
    assert math.isnan(nothing.value) and nothing.reason
    with pytest.raises(Undefined, match="no picture speaks"):
        msfi({"t1": torch.ones(2, 2)}, {"t1": torch.eye(2).bool()}, {"t1": -1.0})
    with pytest.raises(UsageError, match="did you mean 'shapley'"):
        as_metric({"modality_agreement": {"of": "shaply"}})
    with pytest.raises(UsageError, match="sum"):
        as_metric({"modality_agreement": {"form": "summ"}})
