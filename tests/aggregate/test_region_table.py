"""Region tables: the twin, closed forms, what is undefined."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from metric_worlds import attribution
from pellucid.aggregate.regions import region_table
from pellucid.core.case import Case
from pellucid.errors import InputError
from reference import metric_literal as literal


def measured(maps, regions):
    shape = next(iter(regions.values())).shape
    case = Case(id="r", inputs={k: torch.zeros(1, *shape) for k in maps})
    rows = region_table(attribution(case, maps), regions)
    return {(r["region"], r["measure"]): r["value"] for r in rows}


@pytest.mark.parametrize("shape", [(6, 7), (4, 5, 3)])
def test_equals_its_twin(shape):
    rng = np.random.default_rng(0)
    maps = {"a": torch.from_numpy(rng.normal(size=(2, *shape))), "b": torch.from_numpy(rng.normal(size=shape))}
    regions = {n: torch.from_numpy(rng.random(shape) < 0.4) for n in ("x", "y")}
    found = measured(maps, regions)
    summed = [maps["a"].float().sum(0).double().numpy(), maps["b"].float().double().numpy()]
    for name, mask in regions.items():
        for measure, value in literal.region_sums(summed, mask.numpy()).items():
            assert found[name, measure] == pytest.approx(value)
        signed = (summed[0] + summed[1])[mask.numpy()]
        assert found[name, "signed_mean"] == pytest.approx(signed.mean())
        assert found[name, "signed_var"] == pytest.approx(signed.var())


def test_a_flat_map_is_enriched_nowhere_and_masses_of_a_partition_add_up():
    left = torch.zeros(6, 8, dtype=torch.bool)
    left[:, :2] = True
    found = measured({"a": torch.ones(6, 8)}, {"left": left, "right": ~left})
    assert found["left", "enrichment"] == pytest.approx(1) == found["right", "enrichment"]
    assert found["left", "mass"] == pytest.approx(0.25) == found["left", "share"]
    assert found["left", "mass"] + found["right", "mass"] == pytest.approx(1)


def test_signs_go_to_tables_of_their_own():
    m = torch.tensor([[2.0, -1.0], [-3.0, 0.0]])
    top = torch.tensor([[1, 1], [0, 0]])
    found = measured({"a": m}, {"top": top})
    assert found["top", "mass"] == pytest.approx(3 / 6)
    assert found["top", "positive_mass"] == 1 and found["top", "negative_mass"] == pytest.approx(1 / 4)
    assert found["top", "positive_mean"] == 1 and found["top", "signed_mean"] == 0.5


def test_several_pictures_do_not_cancel():
    mask = torch.tensor([[True, False]])
    found = measured({"a": torch.tensor([[1.0, 1.0]]), "b": torch.tensor([[-1.0, 1.0]])}, {"r": mask})
    assert found["r", "mass"] == pytest.approx(0.5) and found["r", "signed_mean"] == 0


def test_nothing_to_divide_by_is_nan_not_zero():
    empty, mask = torch.zeros(2, 2), torch.tensor([[1, 0], [0, 0]])
    found = measured({"a": -torch.ones(2, 2)}, {"empty": empty, "r": mask})
    for measure in ("mass", "mean", "enrichment", "signed_mean", "signed_var", "positive_mass"):
        assert math.isnan(found["empty", measure])
    assert found["empty", "share"] == 0
    assert math.isnan(found["r", "positive_mass"]) and math.isnan(found["r", "positive_enrichment"])
    assert found["r", "positive_mean"] == 0 and found["r", "negative_mass"] == pytest.approx(0.25)


def test_other_grids_and_tables_are_refused():
    case = Case(id="p17", inputs={"ct": torch.zeros(1, 4, 4)})
    a = attribution(case, {"ct": torch.ones(1, 4, 4)})
    with pytest.raises(InputError, match=r"case p17: mask 'lung' is \(8, 8\), the map of 'ct' is \(4, 4\)"):
        region_table(a, {"lung": torch.ones(8, 8)})
    with pytest.raises(InputError, match="made no map of an image"):
        region_table(attribution(case, {"tab": torch.ones(3)}), {"lung": torch.ones(4, 4)})
    assert region_table(a, {}) == []
