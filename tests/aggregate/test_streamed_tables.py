"""Streamed region tables: the literal twin, the passes, forward mode, kept maps, and what cannot be answered."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import pellucid as pc
from pellucid.aggregate.regions import region_table
from pellucid.aggregate.wide import to_wide
from pellucid.core.explainer import EXPLAINERS
from pellucid.engine import Problem
from pellucid.engine.windows import Plan
from pellucid.errors import InputError, UsageError
from pellucid.explain.gradient.integrated_gradients import quadrature
from reference import region_tables as literal
from small_unet import SmallUNet

CLASSES = ["background", "heart", "right lung", "left lung", "never"]
SHAPE = (11, 9, 8)
WINDOWS = pc.windows((8, 6, 6), overlap=0.25)


def predictor(windows=WINDOWS, classes=CLASSES, net=None):
    net = (net or SmallUNet(len(classes), never=True)).eval()
    return pc.Predictor(net, inputs=["ct"], task="segmentation", classes=classes, windows=windows)


def case(shape=SHAPE, **more):
    g = torch.Generator().manual_seed(3)
    truth = torch.randint(0, 4, shape, generator=g)
    return pc.Case(id="p1", inputs={"ct": torch.rand(1, *shape, generator=g)}, truth=truth, **more)


def labels_of(p, c):
    engine = pc.Engine(p)
    return engine.label_map(engine.stack([c])).numpy()


def values(table, of="predicted"):
    rows = table[table["of"] == of]
    return {(r.target_index, r.region, r.measure): r.value for r in rows.itertuples()}


def windows_of(p, shape=SHAPE):
    return Plan.of(p.windows, shape, device=torch.device("cpu"), dtype=torch.float32)


@pytest.mark.parametrize("method", ["input_x_gradient", "smoothgrad", "integrated_gradients"])
def test_the_streamed_table_is_that_of_stored_maps(method):
    """The twin: all maps of all classes, through the whole stitching by autograd, read voxel by voxel."""
    p, c = predictor(), case()
    x, net = c.inputs["ct"][None], p.module
    labels = labels_of(p, c)
    assert set(np.unique(labels)) == {0, 1, 2, 3}
    given, times = {}, torch.ones_like(x)
    if method == "smoothgrad":
        given, points = {"samples": 3, "seed": 5}, literal.noisy_points(x, "p1", 5, 3, 0.1, "ct")
    elif method == "integrated_gradients":
        nodes, weights = quadrature("midpoint", 3)
        given, points = {"n_steps": 3}, [(float(w), float(a) * x) for a, w in zip(nodes, weights)]
        times = x
    else:
        points, times = [(1.0, x)], x
    maps = literal.class_maps(net, x, torch.from_numpy(labels), p.windows, points)
    maps = [m * times[0].double().numpy() for m in maps]
    masks = {n: labels == k for k, n in enumerate(CLASSES)} | {"lungs": (labels == 2) | (labels == 3)}
    wanted = literal.table(maps, masks)
    table = pc.aggregate(p, c, method=method, join={"lungs": ["right lung", "left lung"]}, **given)
    found = values(table)
    compared = 0
    for key, value in wanted.items():
        if key[0] == CLASSES.index("never"):
            assert key[2] == "share" or np.isnan(found[key])
            continue
        scale = max(abs(v) for k, v in wanted.items() if k[2] == key[2])
        assert found[key] == pytest.approx(value, rel=1e-6, abs=1e-6 * scale), key
        compared += 1
    assert compared > 4 * 5 * 13


@pytest.mark.parametrize(("shape", "roi", "padding"), [
    ((5, 9, 4), (8, 6, 6), "constant"), ((5, 9, 4), (8, 6, 6), "replicate"), ((17, 6), (8, 8), "reflect"),
])  # fmt: skip
def test_volumes_smaller_than_the_window_and_pictures(shape, roi, padding):
    conv = nn.Conv3d if len(shape) == 3 else nn.Conv2d
    torch.manual_seed(0)
    net = nn.Sequential(conv(1, 4, 3, padding=1), nn.Tanh(), conv(4, 3, 3, padding=1)).eval()
    classes = ["background", "heart", "lung"]
    p = predictor(pc.windows(roi, overlap=0.5, padding=padding), classes, net)
    c, k = pc.Case(id="p1", inputs={"ct": torch.randn(1, *shape, generator=torch.Generator().manual_seed(1))}), 1
    labels = labels_of(p, c)
    for method, options in (("saliency", {}), ("smoothgrad", {"samples": 2})):
        found = values(pc.aggregate(p, c, method=method, **options))
        masks = {n: torch.from_numpy(labels == i) for i, n in enumerate(classes)}
        for row in region_table(pc.explain(p, c, method, target=k, **options), masks):
            mine = found[k, row["region"], row["measure"]]
            assert mine == pytest.approx(row["value"], rel=1e-4, abs=1e-7, nan_ok=True), row


def test_passes_are_two_per_window_and_one_vjp_for_each_class_that_it_holds():
    p, c = predictor(), case()
    plan, labels = windows_of(p), labels_of(p, c)
    held = sum(len(np.unique(labels[w.volume])) for row in plan.rows for w in row.windows)
    assert plan.count > 1 and held < len(CLASSES) * plan.count
    cost = pc.aggregate(p, c, method="saliency", regions=["predicted", "truth"]).attrs["cost"]
    assert (cost["forwards"], cost["backwards"]) == (2 * plan.count, held)
    cost = pc.aggregate(p, c, method="smoothgrad", samples=3).attrs["cost"]
    assert (cost["forwards"], cost["backwards"]) == (4 * plan.count, 3 * held)


def test_a_volume_without_windows_goes_through_whole():
    p, c = predictor(None), case((8, 6, 6))
    table = pc.aggregate(p, c, method="saliency")
    present = len(np.unique(labels_of(p, c)))
    assert (table.attrs["cost"]["forwards"], table.attrs["cost"]["backwards"]) == (2, present)


@pytest.mark.parametrize(("method", "options"), [
    ("saliency", {}), ("smoothgrad", {"samples": 2}), ("integrated_gradients", {"n_steps": 2, "rule": "trapezoid"}),
    ("vargrad", {"samples": 2}), ("feature_ablation", {"groups": "blocks", "side": 6}),
    ("kernel_shap", {"groups": "modality"}), ("occlusion", {"window": 8, "stride": 8}), ("random", {}),
])  # fmt: skip
def test_every_way_gives_what_the_map_itself_gives(method, options):
    """Slab by slab, painted or whole: the table of the stored Attribution, over overlapping regions of the case."""
    g = torch.Generator().manual_seed(1)
    boxes = {n: torch.rand(SHAPE, generator=g) < 0.3 for n in ("one", "two")}
    p, c = predictor(), case(regions=boxes)
    table = pc.aggregate(p, c, method=method, targets=["heart", "background"], regions=["one", "two"], **options)
    for k in (1, 0):
        a = pc.explain(p, c, method, target=k, **options)
        for region, mask in boxes.items():
            found = values(table, region)
            for row in region_table(a, {region: mask}):
                mine = found[k, region, row["measure"]]
                assert mine == pytest.approx(row["value"], rel=1e-4, abs=1e-7, nan_ok=True), row


def test_kept_maps_are_the_methods_own_and_no_other_is_kept():
    p, c = predictor(), case()
    for method, options in (("smoothgrad", {"samples": 2}), ("feature_ablation", {"groups": "blocks", "side": 6})):
        table, kept = pc.aggregate(p, c, method=method, keep=["heart"], **options)
        assert [a.target["index"] for a in kept] == [1]
        own = pc.explain(p, c, method, target=1, **options)
        assert kept[0].maps["ct"].shape == own.maps["ct"].shape
        torch.testing.assert_close(kept[0].maps["ct"], own.maps["ct"], rtol=1e-5, atol=1e-6)
        assert kept[0].score == pytest.approx(own.score, rel=1e-5)
        assert kept[0].target == own.target and kept[0].flags == own.flags
        assert kept[0].provenance["parameters"] == own.provenance["parameters"]
        assert len(table) == len(pc.aggregate(p, c, method=method, **options))


@pytest.mark.parametrize("method", ["saliency", "input_x_gradient"])
def test_signed_sums_by_forward_mode_are_those_by_gradients(method):
    p, c = predictor(), case(regions={"box": torch.ones(SHAPE, dtype=torch.bool)})
    more = {"keep_sign": True} if method == "saliency" else {}
    tables = {
        way: pc.aggregate(p, c, method=method, measures="signed", way=way, **more) for way in ("forward", "reverse")
    }
    a, b = (values(tables[w]) for w in ("forward", "reverse"))
    assert a.keys() == b.keys() and {k[2] for k in a} >= {"signed_sum", "signed_mean"}
    top = max(abs(v) for k, v in b.items() if k[2] == "signed_sum" and v == v)
    for key, value in b.items():
        size = top if key[2] == "signed_sum" else abs(value)
        assert a[key] == pytest.approx(value, abs=1e-5 * size + 1e-9, nan_ok=True), key
    plan, labels = windows_of(p), labels_of(p, c)
    held = sum(len(np.unique(labels[w.volume])) for row in plan.rows for w in row.windows)
    forward, reverse = (tables[w].attrs["cost"] for w in ("forward", "reverse"))
    # One pass for each window that a region reaches into; a region is a class here.
    assert (forward["forwards"], forward["backwards"]) == (plan.count + held, 0)
    assert (reverse["forwards"], reverse["backwards"]) == (2 * plan.count, held)
    auto = pc.aggregate(p, c, method=method, measures="signed", regions="box", **more)
    assert auto.attrs["cost"]["backwards"] == 0  # one region, four classes: one jvp
    auto = pc.aggregate(p, c, method=method, measures="signed", targets="heart", **more)
    assert auto.attrs["cost"]["backwards"] > 0  # four regions, one class: one vjp


def test_a_class_that_is_never_predicted_has_its_rows_without_numbers():
    p, c = predictor(), case()
    table = pc.aggregate(p, c, method="saliency")
    never = table[table["target"] == "never"]
    one = table[table["target"] == "heart"]
    assert table.attrs["flags"] == {"never": ["empty_target"]}
    row = never[never["measure"] == "never_predicted"]
    assert row["value"].tolist() == [1.0] and row["region"].tolist() == ["*"]
    assert not (one["measure"] == "never_predicted").any()
    shared = set(zip(one["region"], one["measure"]))
    assert shared <= set(zip(never["region"], never["measure"]))
    blank = never[~never["measure"].isin(["share", "never_predicted", "voxels", "dice", "iou"])]
    assert blank["value"].isna().all() and len(blank) > 50
    empty_region = one[(one["region"] == "never") & (one["measure"] != "share")]
    assert empty_region["value"].isna().all()


def test_dice_iou_and_voxels_of_every_class():
    p, c = predictor(), case()
    found, labels, truth = values(pc.aggregate(p, c, method="saliency")), labels_of(p, c), c.truth.numpy()
    for k in range(len(CLASSES)):
        a, b = labels == k, truth == k
        assert found[k, "*", "voxels"] == a.sum()
        if (a | b).any():
            assert found[k, "*", "dice"] == pytest.approx(2 * (a & b).sum() / (a.sum() + b.sum()))
            assert found[k, "*", "iou"] == pytest.approx((a & b).sum() / (a | b).sum())
        else:
            assert np.isnan(found[k, "*", "dice"]) and np.isnan(found[k, "*", "iou"])


def test_a_model_of_one_channel_has_one_region():
    net = nn.Conv3d(1, 1, 3, padding=1)
    p = pc.Predictor(net.eval(), inputs=["ct"], task="segmentation", classes=["lesion"], thresholds=[0.5])
    g = torch.Generator().manual_seed(0)
    c = pc.Case(id="p1", inputs={"ct": torch.randn(1, 6, 6, 6, generator=g)})
    table = pc.aggregate(p, c, method="saliency")
    assert set(table["region"]) == {"*", "lesion"} and set(table["target"]) == {"lesion"}
    found = values(table)
    assert 0 < found[0, "lesion", "share"] < 1
    assert found[0, "*", "voxels"] == found[0, "lesion", "share"] * 216


def test_a_classifier_is_aggregated_over_regions_of_the_case():
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 2)).eval()
    p = pc.Predictor(net, inputs=["x"], task="classification", classes=["a", "b"])
    box = torch.zeros(8, 8, dtype=torch.bool)
    box[2:5, 2:5] = True
    c = pc.Case(id="p1", inputs={"x": torch.rand(1, 8, 8)}, regions={"box": box}, truth=1)
    found = values(pc.aggregate(p, c, method="saliency", regions="box"), "box")
    weight = net[1].weight[1].detach().abs().reshape(8, 8)
    assert found[1, "box", "mass"] == pytest.approx(float(weight[box].sum() / weight.sum()), rel=1e-5)
    with pytest.raises(UsageError, match="this model does classification"):
        pc.aggregate(p, c, method="saliency")


def test_targets_of_other_kinds_are_aggregated_too():
    p, c = predictor(), case(regions={"box": torch.rand(SHAPE, generator=torch.Generator().manual_seed(2)) < 0.4})
    asked = [
        pc.RegionScore(1, region="truth", reduce="mean"), pc.RegionScore(1, region="box"),
        pc.RegionScore(1, region="image"), pc.RegionScore("predicted", region="predicted"),
    ]  # fmt: skip
    table = pc.aggregate(p, c, method="saliency", targets=asked, regions="box")
    for t, label in zip(asked, table["target"].unique()):
        rows = region_table(pc.explain(p, c, "saliency", target=t), {"box": c.region("box")})
        mine = table[table["target"] == label].set_index(["region", "measure"])["value"]
        for row in rows:
            assert mine["box", row["measure"]] == pytest.approx(row["value"], rel=1e-4, nan_ok=True), (label, row)
    bent = pc.aggregate(p, c, method="saliency", targets=[pc.RegionScore(1, on="probability")], regions="box")
    own = region_table(pc.explain(p, c, "saliency", target=pc.RegionScore(1, on="probability")), {"box": c.region("box")})
    mine = bent.set_index(["region", "measure"])["value"]
    for row in own:
        assert mine["box", row["measure"]] == pytest.approx(row["value"], rel=1e-4, nan_ok=True)


def test_the_wide_table_has_the_published_columns():
    p, c = predictor(), case()
    wide = to_wide(pc.aggregate(p, c, method="saliency"))
    k = len(CLASSES)
    assert wide.shape == (1, 1 + k * (2 * k + 2) + 2 * k)
    assert list(wide.columns[:3]) == [
        "patient", "background_explanation_in_background_mass", "background_explanation_in_background_mean",
    ]  # fmt: skip


@pytest.mark.parametrize(("asked", "error", "words"), [
    ({"targets": ["heartt"]}, UsageError, "did you mean 'heart'"),
    ({"targets": []}, UsageError, "name at least one class"),
    ({"targets": ["heart", 1]}, UsageError, "asked for twice"),
    ({"regions": "organs"}, InputError, "case p1: no region 'organs'"),
    ({"regions": []}, UsageError, "name at least one label map"),
    ({"regions": ["truth", "truth"]}, UsageError, "two label maps are called 'truth'"),
    ({"join": {"lungs": ["rigt lung"]}}, UsageError, "did you mean 'right lung'"),
    ({"join": {"heart": ["left lung"]}}, UsageError, "is the name of a region"),
    ({"keep": ["liver"]}, UsageError, "unknown class 'liver'"),
    ({"targets": "heart", "keep": ["left lung"]}, UsageError, "none of the targets"),
    ({"measures": "signed"}, UsageError, "use saliency with keep_sign=True"),
    ({"samplez": 3}, UsageError, "samplez"),
    ({"overlap": "twice"}, UsageError, "overlap"),
])  # fmt: skip
def test_what_makes_no_sense_is_said(asked, error, words):
    with pytest.raises(error, match=words):
        pc.aggregate(predictor(), case(), method=asked.pop("method", "smoothgrad"), **asked)


def test_every_method_that_streams_gives_its_own_map():
    """All that is registered: what `linear` makes plane by plane is what `attribute` makes as a whole."""
    p, c = predictor(), case()
    engine = pc.Engine(p)
    streams = []
    for name, kind in EXPLAINERS.items():
        problem = Problem(engine, [c], [pc.RegionScore(1)])
        if kind().linear(problem) is None:
            continue
        streams.append(name)
        _, [kept] = pc.aggregate(p, c, method=kind(), targets=[1], keep=[1])
        own = pc.explain(p, c, kind(), target=1)
        torch.testing.assert_close(kept.maps["ct"], own.maps["ct"], rtol=1e-4, atol=1e-6)
    assert {"saliency", "input_x_gradient", "smoothgrad"} <= set(streams)
