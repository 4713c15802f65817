"""SegX against its literal twin and in closed form; what it says of itself; masks of all kinds."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

import pellucid as pc
from metric_worlds import attribution, of
from pellucid.core.attribution import Attribution
from pellucid.core.case import Case
from pellucid.core.verdict import Verdict
from pellucid.errors import InputError, UsageError
from pellucid.evaluate.run import as_metric
from pellucid.io.maps import load_maps
from pellucid.refine.make import as_refiner
from pellucid.refine.mask import as_mask, widened
from reference import segx as literal

SHAPES = [(16, 13), (7, 8, 6)]


def case_of(shape, *, spacing=None, images=("x",), channels=2, seed=0) -> Case:
    g = torch.Generator().manual_seed(seed)
    return Case(
        id="c", inputs={n: torch.randn(channels, *shape, generator=g) for n in images}, spacing=spacing,
        regions={"lesion": torch.rand(shape, generator=g) < 0.3},
    )  # fmt: skip


def made(case: Case, *, channels=True, seed=1, **more) -> Attribution:
    g = torch.Generator().manual_seed(seed)
    maps = {n: torch.randn(v.shape if channels else v.shape[1:], generator=g) for n, v in case.inputs.items()}
    return attribution(case, maps).replace(spacing=case.spacing, **more)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("within", ["mask", "image"])
@pytest.mark.parametrize("top", [0.05, 0.3])
def test_equals_its_twin(shape, within, top):
    case = case_of(shape)
    a, mask = made(case), case.regions["lesion"]
    s = pc.segx(a, mask, top=top, within=within)
    m = mask.numpy()
    np.testing.assert_array_equal(s.maps["x"].numpy(), literal.masked(a.maps["x"].numpy(), m))
    np.testing.assert_array_equal(s.refinement["top"]["x"].numpy(), literal.salient(s.spatial("x").numpy(), m, top, within))
    assert s.refinement["discarded_mass"] == pytest.approx(literal.discarded(a.spatial("x").numpy(), m))
    assert s.refinement["discarded_magnitude"] == pytest.approx(literal.discarded(a.spatial("x").abs().numpy(), m))
    assert s.refinement["mask_share"] == pytest.approx(m.mean())
    assert s.method == "segx(made)" and s.refinement["of"] == "made"


@pytest.mark.parametrize("shape", SHAPES)
def test_a_soft_mask_weighs(shape):
    case = case_of(shape)
    a, p = made(case), torch.rand(shape, generator=torch.Generator().manual_seed(2))
    s = pc.segx(a, p, soft=True)
    np.testing.assert_allclose(s.maps["x"].numpy(), literal.masked(a.maps["x"].numpy(), p.numpy()), rtol=1e-6)
    assert s.refinement["discarded_mass"] == pytest.approx(literal.discarded(a.spatial("x").numpy(), p.numpy()))
    np.testing.assert_array_equal(
        s.refinement["top"]["x"].numpy(), literal.salient(s.spatial("x").double().numpy(), p.numpy() > 0.5, 0.05, "mask")
    )
    hard = pc.segx(a, p)
    assert torch.equal(hard.refinement["mask"], p > 0.5)


@pytest.mark.parametrize("margin", [-2.0, -1.2, 0.9, 1.2, 2.0])
@pytest.mark.parametrize(("shape", "spacing"), [((12, 11), (0.6, 1.0)), ((6, 8, 7), (2.0, 0.6, 1.2))])
def test_a_margin_is_measured_in_millimetres(shape, spacing, margin):
    mask = torch.zeros(shape, dtype=torch.bool)
    mask[tuple(slice(2, n - 3) for n in shape)] = True
    mask[(0,) * len(shape)] = True
    expected = literal.moved(mask.numpy(), margin, spacing)
    np.testing.assert_array_equal(widened(mask, margin, spacing).numpy(), expected)
    s = pc.segx(made(case_of(shape, spacing=spacing)), mask, margin=margin)
    np.testing.assert_array_equal(s.refinement["mask"].numpy(), expected)
    assert s.refinement["margin_unit"] == "mm"
    assert s.refinement["options"]["margin"] == margin


def test_a_margin_is_in_pixels_where_no_spacing_is_known():
    mask = torch.zeros(9, 9, dtype=torch.bool)
    mask[4, 4] = True
    s = pc.segx(made(case_of((9, 9))), mask, margin=1)
    assert int(s.refinement["mask"].sum()) == 5
    assert s.refinement["margin_unit"] == "pixels"


def test_the_published_code_to_the_last_bit():
    for seed in range(4):
        case = case_of((24, 24), channels=3, seed=seed)
        for channels, share in ((False, 0.3), (True, 0.3), (True, 0.02), (False, 0.0), (True, 1.0)):
            a = made(case, channels=channels, seed=seed)
            mask = torch.rand(24, 24, generator=torch.Generator().manual_seed(seed)) < share
            s = pc.segx(a, mask, compatible=True)
            raw, top = literal.published(a.maps["x"].numpy(), mask.numpy())
            np.testing.assert_array_equal(s.maps["x"].numpy(), raw)
            assert s.maps["x"].numpy().dtype == raw.dtype
            np.testing.assert_array_equal(s.refinement["top"]["x"].int().numpy(), top)
            assert s.flags == () and s.refinement["flags"] == []


def test_a_linear_model_in_closed_form():
    """input × gradient of w·x is w∘x: what is left is its part in the mask, and the numbers follow."""
    g = torch.Generator().manual_seed(4)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 1, bias=False)).eval()
    x, mask = torch.randn(1, 8, 8, generator=g), torch.zeros(8, 8, dtype=torch.bool)
    mask[2:6, 1:5] = True
    predictor = pc.Predictor(net, inputs=["x"], task="regression")
    a = pc.explain(predictor, Case(id="c", inputs={"x": x}, spacing=(2.0, 2.0)), method="input_x_gradient")
    before = a.maps["x"].clone()
    s = pc.segx(a, mask)
    product = (net[1].weight.detach().view(1, 8, 8) * x)[0]
    torch.testing.assert_close(s.maps["x"][0], product * mask)
    positive = product.clamp(min=0)
    assert s.refinement["discarded_mass"] == pytest.approx(1 - float(positive[mask].sum() / positive.sum()), rel=1e-5)
    assert torch.equal(a.maps["x"], before) and a.refinement is None
    assert torch.equal(s.refinement["unmasked"]["x"], before)
    assert (s.target, s.score, s.provenance, s.cost) == (a.target, a.score, a.provenance, a.cost)
    assert s.spacing == (2.0, 2.0)
    assert s.checks["complete"].status == "not tested"


class Sum(nn.Module):
    def forward(self, x, y):
        return (x + y).mean((2, 3))


def test_the_discarded_mass_is_what_mass_in_mask_leaves():
    case = case_of((10, 12), images=("x", "y"))
    predictor = pc.Predictor(Sum().eval(), inputs=["x", "y"], task="classification", classes=["a", "b"])
    a = made(case)
    s = pc.segx(a, "lesion", case=case)
    metric = [as_metric("mass_in_mask")]
    whole = of(predictor, case, [a]).view(0).scores(metric)["mass_in_mask"].value
    assert s.refinement["discarded_mass"] == pytest.approx(1 - whole, abs=1e-12)
    by = s.refinement["discarded_mass_by_input"]
    assert set(by) == {"x", "y"} and min(by.values()) <= s.refinement["discarded_mass"] <= max(by.values())


def test_inputs_on_another_grid_and_tables_stay_and_are_said():
    case = Case(id="c", inputs={"x": torch.randn(1, 8, 8), "small": torch.randn(1, 4, 4), "ehr": torch.randn(3)},
                regions={"lesion": torch.eye(8) > 0})  # fmt: skip
    a = made(case)
    s = pc.segx(a, case.regions["lesion"])
    assert s.refinement["untouched"] == ["small", "ehr"]
    assert all(torch.equal(s.maps[n], a.maps[n]) for n in ("small", "ehr"))
    assert not torch.equal(s.maps["x"], a.maps["x"])
    assert list(s.refinement["top"]) == ["x"]


def test_the_ranking_of_a_small_mask_is_lost_in_the_image_and_kept_in_the_mask():
    a = made(case_of((20, 20), channels=1)).replace(maps={"x": torch.rand(1, 20, 20) + 0.1})
    mask = torch.zeros(20, 20, dtype=torch.bool)
    mask[:4, :4] = True  # 4 % of the picture
    image, inside = pc.segx(a, mask, within="image"), pc.segx(a, mask)
    assert "ranking_lost" in image.flags and torch.equal(image.refinement["top"]["x"], mask)
    assert "ranking_lost" not in inside.flags and int(inside.refinement["top"]["x"].sum()) == 1


def test_evidence_against_is_never_salient():
    a = made(case_of((10, 10))).replace(maps={"x": -torch.rand(1, 10, 10)})
    s = pc.segx(a, torch.eye(10) > 0)
    assert not s.refinement["top"]["x"].any()
    assert math.isnan(s.refinement["discarded_mass"])
    assert s.checks["inside"].status == "not tested"
    assert s.refinement["discarded_magnitude"] > 0


def test_a_mask_that_is_the_whole_picture_is_said():
    s = pc.segx(made(case_of((8, 8))), torch.ones(8, 8, dtype=torch.bool))
    assert "mask_everywhere" in s.flags
    assert s.refinement["discarded_mass"] == pytest.approx(0)
    assert s.checks["inside"].status == "not tested"


@pytest.mark.parametrize(("kept", "status"), [(0.9, "pass"), (0.4, "warn"), (0.1, "fail")])
def test_the_verdict_inside(kept, status):
    m = torch.zeros(10, 10)
    m[0, 0], m[9, 9], m[0, 1] = kept * 0.75, 1 - kept, kept * 0.25
    mask = torch.zeros(10, 10, dtype=torch.bool)
    mask[:3] = True
    s = pc.segx(made(case_of((10, 10))).replace(maps={"x": m}), mask)
    verdict = s.checks["inside"]
    assert verdict.status == status
    assert verdict.value == pytest.approx(1 - kept, abs=1e-6)
    assert verdict.threshold == 0.5
    assert f"hides {100 * (1 - kept):.0f} % of the evidence" in verdict.sentence and "30 % of the picture" in verdict.sentence
    assert ("hides_evidence" in s.flags) == (status != "pass")
    strict = pc.segx(made(case_of((10, 10))).replace(maps={"x": m}), mask, thresholds=pc.Thresholds(inside=0.05))
    assert strict.checks["inside"].status != "pass"


def test_verdicts_of_the_masked_map_look_into_the_mask():
    case = case_of((10, 10))
    mask = torch.zeros(10, 10, dtype=torch.bool)
    mask[:3] = True
    outside = torch.zeros(10, 10)
    outside[7] = 1.0
    nothing = pc.segx(made(case).replace(maps={"x": outside}), mask)
    assert nothing.checks["not_empty"].status == "fail" and "empty" in nothing.flags
    assert "outside" in nothing.checks["not_empty"].sentence
    assert nothing.checks["inside"].status == "fail"
    flat = pc.segx(made(case).replace(maps={"x": torch.full((10, 10), 2.0)}), mask)
    assert flat.checks["not_flat"].status == "warn" and "flat" in flat.flags  # its only edges are those of the mask
    assert not flat.refinement["top"]["x"].any()
    zero = pc.segx(made(case).replace(maps={"x": torch.zeros(10, 10)}), mask)
    assert zero.checks["not_empty"].sentence.endswith("found no effect.")
    assert zero.checks["inside"].status == "not tested"


def test_a_mask_does_not_hide_that_a_map_is_not_finite():
    m = torch.rand(10, 10)
    m[9, 9] = math.nan
    mask = torch.zeros(10, 10, dtype=torch.bool)
    mask[:3] = True
    s = pc.segx(made(case_of((10, 10))).replace(maps={"x": m}), mask)
    assert torch.isfinite(s.maps["x"]).all()
    assert s.checks["finite"].status == "fail" and "not_finite" in s.flags
    assert math.isnan(s.refinement["discarded_mass"])


def test_verdicts_and_flags_of_the_whole_map_are_not_those_of_the_masked_one():
    stable = Verdict("stable", "fail", "It changes.", 0.1, 0.95)
    a = made(case_of((8, 8)), checks={"stable": stable}, flags=("unstable", "random_model", "incomplete"),
             notes={"nodes": 24, "completeness_error": 0.2})  # fmt: skip
    s = pc.segx(a, torch.eye(8) > 0)
    assert s.checks["stable"].status == "not tested"
    assert "unstable" not in s.flags and {"random_model", "incomplete"} <= set(s.flags)
    assert s.notes == {"nodes": 24}


def test_masks_of_many_kinds_mean_the_same():
    case, inside = case_of((9, 7)), torch.rand(9, 7) < 0.5
    a = made(case)
    expected = pc.segx(a, inside).maps["x"]
    organs = torch.where(inside, torch.randint(1, 3, (9, 7)), 0)
    for mask, more in (
        (inside.numpy(), {}), (inside.int(), {}), (inside.double(), {}), (inside[None], {}),
        (inside.to(torch.uint8) * 255, {}), (inside.float() * 255, {}), (organs, {"value": (1, 2)}),
        (inside.float() * 0.8 + 0.1, {}),
    ):  # fmt: skip
        assert torch.equal(pc.segx(a, mask, **more).maps["x"], expected)
    one = pc.segx(a, organs, value=2)
    assert torch.equal(one.refinement["mask"], organs == 2)


class Threshold(nn.Module):
    """A segmentation: bright places are the lesion."""

    def forward(self, x):
        return 8 * (x[:, :1] - 0.5)


def test_the_mask_of_a_segmentation_model():
    x = torch.rand(1, 12, 12, generator=torch.Generator().manual_seed(0))
    case = Case(id="c", inputs={"x": x}, regions={"organs": (x[0] > 0.3).long() + (x[0] > 0.7).long()})
    model = pc.Predictor(Threshold().eval(), inputs=["x"], task="segmentation", classes=["lesion"])
    a = made(case)
    assert torch.equal(pc.segx(a, model, case=case).refinement["mask"], x[0] > 0.5)
    soft = pc.segx(a, model, case=case, soft=True)
    torch.testing.assert_close(soft.refinement["mask"], (8 * (x[0] - 0.5)).sigmoid())
    assert torch.equal(pc.segx(a, "organs", case=case, value=2).refinement["mask"], x[0] > 0.7)
    with pytest.raises(UsageError, match="case=c"):
        pc.segx(a, model)
    with pytest.raises(UsageError, match="not segmentation"):
        pc.segx(a, pc.Predictor(Threshold().eval(), inputs=["x"], task="regression"), case=case)


def test_the_refiner_takes_the_case_s_regions_and_probabilities():
    case = case_of((10, 10))
    a, p = made(case), torch.rand(10, 10)
    (s,) = as_refiner("segx").refine([a], case)
    assert torch.equal(s.maps["x"], pc.segx(a, case.regions["lesion"]).maps["x"])
    assert s.refinement["region"] == "lesion" and s.refinement["predicted"] is False
    (s,) = as_refiner({"segx": {"soft": True, "label": "weighed"}}).refine([a], case, soft={"lesion": p})
    assert s.method == "weighed(made)" and s.refinement["predicted"] is True
    assert torch.equal(s.refinement["mask"], p)
    with pytest.raises(InputError, match="no probabilities of region 'lesion'"):
        as_refiner({"segx": {"soft": True}}).refine([a], case)
    with pytest.raises(InputError, match="no region 'lungs'"):
        as_refiner({"segx": {"mask": "lungs"}}).refine([a], case)
    assert not as_refiner("segx").takes(s)
    assert as_refiner({"segx": {"of": ["made"]}}).takes(a)


@pytest.mark.parametrize(("mask", "says"), [
    (torch.zeros(5, 5, dtype=torch.bool), r"mask is \(5, 5\).*'x' \(8, 8\).*resample"),
    (torch.arange(64).view(8, 8), "64 values.*value="),
    (torch.full((8, 8), math.nan), "NaN"),
    (torch.linspace(-3, 3, 64).view(8, 8), "64 values"),
    ([["a"]], "not an array of numbers"),
])  # fmt: skip
def test_bad_masks_are_told_what_to_do(mask, says):
    with pytest.raises(InputError, match=f"case c: .*{says}"):
        pc.segx(made(case_of((8, 8))), mask, margin=1)


@pytest.mark.parametrize(("options", "says"), [
    ({"top": 0}, "top=0"), ({"top": 1.0}, "top=1.0"), ({"within": "lesion"}, "'mask' or 'image'"),
    ({"margin": math.inf}, "margin"), ({"margin": 2, "soft": True}, "no edge to move"),
    ({"compatible": True, "soft": True}, "published code"), ({"compatible": True, "margin": 1}, "published code"),
])  # fmt: skip
def test_options_that_make_no_sense_are_refused(options, says):
    with pytest.raises(UsageError, match=says):
        pc.segx(made(case_of((8, 8))), torch.eye(8) > 0, **options)
    with pytest.raises(UsageError, match="top"):
        as_refiner({"segx": {"topp": 0.1}})


def test_a_map_of_tables_alone_has_nothing_to_mask():
    case = Case(id="c", inputs={"ehr": torch.randn(4)})
    with pytest.raises(InputError, match="of tables alone"):
        pc.segx(made(case), torch.eye(8) > 0)


def test_as_mask_keeps_what_it_is_given():
    mask = torch.eye(4) > 0
    assert torch.equal(as_mask(mask, where="case c"), mask)
    assert as_mask(mask, where="case c", soft=True).dtype == torch.float32


def test_a_file_of_a_masked_map_says_what_the_mask_hides(tmp_path):
    case = case_of((8, 8))
    s = pc.segx(made(case), "lesion", case=case)
    (path,) = s.save(tmp_path / f"{s.method}.npz")
    back = load_maps(path)
    assert back.method == "segx(made)" and torch.equal(back.maps["x"], s.maps["x"])
    said = back.provenance["refinement"]
    assert said["discarded_mass"] == s.refinement["discarded_mass"] and said["region"] == "lesion"
    assert said["options"]["top"] == 0.05 and not {"mask", "top", "unmasked"} & set(said)


def test_a_label_is_looked_for_by_its_number_whatever_the_type_of_the_mask():
    labels = torch.tensor([[0, 1], [2, 255]])
    assert not as_mask(labels > 0, where="case p", value=2).any()  # of a bool mask every label was "true"
    assert as_mask(labels > 0, where="case p", value=1).equal(labels > 0)
    assert not as_mask(labels.to(torch.uint8), where="case p", value=-1).any()
    for kind in (torch.uint8, torch.int16, torch.float32):
        assert as_mask(labels.to(kind), where="case p", value=(2, 255)).equal(labels > 1)
