"""The mask of SegX made worse: measures against SegX itself, means by Dice, and the analysis in a run."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from rich.console import Console

import pages
from pellucid.core.attribution import Attribution
from pellucid.core.case import Case
from pellucid.errors import UsageError
from pellucid.evaluate.certainty.segu import SegU
from pellucid.evaluate.cohort.quality import ALL, COLUMNS, by_mask_dice
from pellucid.evaluate.maths import spearman
from pellucid.evaluate.shared.levels import levels
from pellucid.refine.degrade import degrade, mask_dice
from pellucid.refine.mask import widened
from pellucid.refine.segx import SegX, segx
from pellucid.study.analysis import as_analysis
from pellucid.study.demo import demo_recipe
from pellucid.study.mask_quality import MEASURES, measured, seen_through, support_of
from pellucid.study.recipe import Recipe
from pellucid.study.run import run_recipe
from pellucid.study.store import Run

# -- one map ---------------------------------------------------------------------------------------------------------


def a_map(*shape: int, seed: int = 0) -> Attribution:
    maps = torch.randn(1, *shape, generator=torch.Generator().manual_seed(seed))
    return Attribution(maps={"x": maps}, method="cam", case_id="c", score=0.0, image_axes=len(shape),
                       target={"kind": "class", "k": 0, "index": 0, "label": "a"})  # fmt: skip


def a_mask(*shape: int) -> torch.Tensor:
    mask = torch.zeros(shape, dtype=torch.bool)
    mask[tuple(slice(n // 5, n - n // 4) for n in shape)] = True
    return mask


@pytest.mark.parametrize("within", ["mask", "image"])
@pytest.mark.parametrize("shape", [(24, 30), (10, 12, 14)])
def test_measures_are_those_of_the_maps_that_segx_makes(within, shape):
    a, mask = a_map(*shape), a_mask(*shape)
    region = torch.roll(mask, 3, 0)
    support = support_of(a, shape)
    was = seen_through(support, mask, top=0.05, within=within)
    before = segx(a, mask, within=within)
    for d in degrade(mask, "dilation", steps=2) + degrade(mask, "dropout", steps=2):
        found = measured(support, was, seen_through(support, d.mask, top=0.05, within=within), top=0.05, region=region)
        s = segx(a, d.mask, within=within)
        b0, b = before.refinement["top"]["x"], s.refinement["top"]["x"]
        assert found["top_iou"] == pytest.approx(int((b & b0).sum()) / int((b | b0).sum()))
        assert found["top_kept"] == pytest.approx(int((b & b0).sum()) / int(b0.sum()))
        assert found["discarded_mass"] == pytest.approx(s.refinement["discarded_mass"])
        either = mask | d.mask
        ours, theirs = (m.spatial("x").double().clamp(min=0)[either] for m in (s, before))
        assert found["spearman"] == pytest.approx(spearman(ours, theirs))
        assert found["segu"] == pytest.approx(SegU(top=0.05).value(levels(support, d.mask)))
        left = s.spatial("x").double().clamp(min=0)
        assert found["mass_accuracy"] == pytest.approx(float(left[region].sum() / left.sum()))
        assert 0 <= found["dice"] <= 1 and found["pointing_game"] in (0, 1)


def test_the_mask_as_it_was_agrees_with_itself_and_an_empty_one_has_no_numbers():
    a, mask = a_map(20, 20), a_mask(20, 20)
    support = support_of(a, (20, 20))
    was = seen_through(support, mask, top=0.05, within="mask")
    same = measured(support, was, was, top=0.05, region=None)
    assert same["top_iou"] == same["top_kept"] == 1 and same["spearman"] == pytest.approx(1)
    assert math.isnan(same["dice"]) and math.isnan(same["pointing_game"])
    nothing = seen_through(support, torch.zeros_like(mask), top=0.05, within="mask")
    assert all(math.isnan(v) for v in measured(support, was, nothing, top=0.05, region=mask).values())
    assert support_of(a, (21, 20)) is None and support_of(a.replace(maps={"x": -torch.ones(20, 20)}), (20, 20)) is None


# -- many ------------------------------------------------------------------------------------------------------------


def rows(n=12, slope=0.5, **changes):
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {"case": f"c{i:02}", "group": f"g{i // 2}", "method": "cam", "kind": kind, "mask_dice": d, "measure": "top_iou",
         "value": 1 - slope * (1 - d) + rng.normal(0, 0.01)} | changes
        for i in range(n) for kind in ("erosion", "shift") for d in (0.5, 0.8, 0.82)
    )  # fmt: skip


def test_means_by_dice_are_over_cases_with_patients_drawn():
    table = rows()
    found = by_mask_dice(table, n_boot=50, seed=2)
    assert list(found.columns) == COLUMNS and set(found["kind"]) == {ALL, "erosion", "shift"}
    one = found[(found.kind == ALL) & (found.dice.round(2) == 0.8)].iloc[0]
    own = table[table.mask_dice >= 0.75]
    cases = own.groupby(["group", "case"])["value"].mean()
    assert one["mean"] == pytest.approx(cases.mean()) and one["mean_dice"] == pytest.approx(0.81)
    assert (one.n, one.groups, one.dice_from, one.dice_to) == (12, 6, pytest.approx(0.75), pytest.approx(0.85))
    names = sorted(table.group.unique())
    drawn = [np.mean(np.concatenate([cases[g].to_numpy() for g, k in zip(names, counts) for _ in range(k)]))
             for counts in np.random.default_rng(2).multinomial(6, [1 / 6] * 6, 50)]  # fmt: skip
    assert (one.low, one.high) == pytest.approx(np.quantile(drawn, [0.025, 0.975]))
    few = by_mask_dice(table[table.group.isin(["g0", "g1"])])
    assert few["low"].isna().all() and few["note"].str.contains("2 patients: too few").all()


def test_the_mask_as_it_was_stays_out_of_the_bins_of_worse_ones_and_nan_out_of_all():
    table = pd.concat([rows(), rows(kind="none", value=1.0, mask_dice=0.8), rows(value=math.nan)])
    found = by_mask_dice(table, n_boot=20)
    plain = by_mask_dice(rows(), n_boot=20)
    pd.testing.assert_frame_equal(found[found.kind == ALL].reset_index(drop=True), plain[plain.kind == ALL].reset_index(drop=True))
    assert (found[found.kind == "none"]["mean"] == 1).all()
    assert not len(by_mask_dice(rows(value=math.nan))) and list(by_mask_dice(rows(value=math.nan)).columns) == COLUMNS
    with pytest.raises(UsageError, match="no column 'mask_dice'"):
        by_mask_dice(rows().drop(columns="mask_dice"))


@pytest.mark.parametrize("options", [
    {"steps": 0}, {"draws": 0}, {"step": -1}, {"kinds": ["blur"]}, {"kinds": ["weaker"]}, {"weaker": {"tusk": "a"}},
    {"weaker": [{"task": "a", "load": "b"}]}, {"shape": 3},
])  # fmt: skip
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(UsageError, match="segmentation_quality"):
        as_analysis({"segmentation_quality": options})


# -- a run -----------------------------------------------------------------------------------------------------------


def recipe(**analysis) -> Recipe:
    plain = demo_recipe("classification", quick=True).model_dump(mode="json")
    work = plain["tasks"][0]
    work["explain"] |= {"methods": ["saliency", "random"], "most": 6, "background": 0}
    work["train"]["epochs"] = 1
    work["evaluate"] |= {"metrics": ["mass_accuracy", {"segu": {"region": "body"}}], "checks": "cheap", "findings": False}
    work["data"]["split"] = "outline"
    work["data"]["options"]["n"] = 36
    work |= {"regions": [], "segment": {"body": {"task": "outline"}}, "refine": [{"segx": {"mask": "body"}}],
             "analysis": {"segmentation_quality": analysis}}  # fmt: skip
    outline = {
        "name": "outline", "data": work["data"] | {"truth_region": "anatomy", "split": None},
        "model": {"network": "unet", "inputs": ["ct"], "task": "segmentation", "classes": ["body"],
                  "options": {"spatial_dims": 2, "in_channels": 1, "classes": 1, "channels": [4, 8]}},
        "train": {"epochs": 1, "batch_size": 4, "lr": 0.02},
    }  # fmt: skip
    return Recipe.model_validate(plain | {"tasks": [outline, work]})


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Run:
    wanted = {"steps": 2, "draws": 1, "weaker": {"task": "outline"}, "truth": "anatomy"}
    return run_recipe(recipe(**wanted), tmp_path_factory.mktemp("q") / "run", quiet=True, console=Console(quiet=True), final={})


def test_a_run_makes_the_mask_worse_and_measures_it(done: Run):
    table = done.table("segmentation_quality", "classification")
    assert set(table["kind"]) == {"none", "erosion", "dilation", "shift", "dropout", "threshold", "weaker"}
    assert set(table["method"]) == {"saliency", "random"} and set(table["measure"]) == set(MEASURES)
    assert set(table["case"]) == set(done.cases("classification")) and table["group"].str.startswith("patient").all()
    as_it_was = table[table["kind"] == "none"].pivot_table(index=["case", "method"], columns="measure", values="value")
    assert (as_it_was["top_iou"] == 1).all()
    # The same segmenter once more is no weaker: its mask is the one that was used.
    same = table[table["kind"] == "weaker"].pivot_table(index=["case", "method"], columns="measure", values="value")
    pd.testing.assert_frame_equal(as_it_was, same)
    case = done.cases("classification")[0]
    own, truth = done.case("classification", case).region("body"), done.case("classification", case).region("anatomy")
    first = table[(table.case == case) & (table.kind == "none")].iloc[0]
    assert first.mask_dice == pytest.approx(mask_dice(own, truth)) and first.reference == "anatomy"
    segu = table[(table.kind == "none") & (table.measure == "segu")].set_index(["case", "method"])["value"]
    scores = done.table("scores", "classification")
    theirs = scores[(scores.metric == "segu") & scores.method.isin(["saliency", "random"])].set_index(["case", "method"])["value"]
    pd.testing.assert_series_equal(segu.sort_index(), theirs.sort_index())
    maps = [a for a in done.attributions("classification", case) if a.method == "segx(saliency)"]
    hidden = table[(table.case == case) & (table.method == "saliency") & (table.kind == "none") & (table.measure == "discarded_mass")]
    assert hidden["value"].item() == pytest.approx(maps[0].refinement["discarded_mass"])


def test_its_tables_have_the_columns_of_the_page(done: Run):
    (said,) = pages.tables(pages.section("docs/reference-run-folder.md", "Tables"))
    columns = {pages.code(row["table"])[0]: pages.code(row["columns"]) for row in said}
    for name in ("segmentation_quality", "segmentation_quality_summary", "refined", "detector"):
        table = done.table(name, "classification")
        assert len(table) and ["task", *columns[f"{name}.parquet"]] == list(table.columns), name


def test_it_looks_at_the_recipes_segx_or_at_the_mask_that_is_named():
    def looked_at(refine, **options):
        analysis = as_analysis({"segmentation_quality": options})
        return analysis._segx(SimpleNamespace(task="t", work=SimpleNamespace(refine=refine)))

    with pytest.raises(UsageError, match="no segx under 'refine'; name the mask"):
        looked_at([])
    two = [{"segx": {"mask": "lungs", "margin": 3.0}}, {"segx": {"mask": "lesion", "top": 0.1, "label": "own"}}]
    assert (looked_at(two).mask, looked_at(two).margin) == ("lungs", 3.0)
    other = looked_at(two, mask="lesion", within="image")
    assert (other.mask, other.top, other.within) == ("lesion", 0.1, "image")
    assert looked_at([], mask="heart", top=0.2).top == 0.2


def test_a_mask_that_is_cut_elsewhere_has_the_margin_too():
    p = torch.zeros(1, 24, 24)
    p[:, 8:16, 8:16] = 0.9
    case = Case(id="p", inputs={"image": torch.zeros(1, 24, 24)}, regions={"lesion": p > 0.5})
    asked, how = as_analysis({"segmentation_quality": {"kinds": ["threshold"], "seed": 0}}), SegX(mask="lesion", margin=3)
    whole = widened(p[0] > 0.5, 3, None)
    cut = asked._worse(SimpleNamespace(), case, whole, p[0], [], how)
    assert all(d.mask.equal(whole) for d in cut if d.amount < 0.9) and any(d.amount < 0.9 for d in cut)
