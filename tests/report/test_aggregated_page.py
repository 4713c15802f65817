"""The sections of an aggregated table and of its outliers: true to the tables, and plain about what they cannot say."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from cohort_runs import ODD, TARGETS, aggregate, context_of, long_table
from pellucid.report import build_report
from pellucid.report.aggregated import aggregated_panels
from pellucid.report.outliers import outlier_panels
from pellucid.study.analysis import as_analysis
from report.run_folder import HOSTILE, build
from report.test_report_page import Page

SEEN = "volume-2"  # the odd case has maps in this run


def with_tables(folder, table, *, trees=20, **options):
    run = aggregate(build(folder / "run", "volume"), table=table)
    as_analysis({"outliers": {"trees": trees, **options}}).run(context_of(folder, run))
    return run


@pytest.fixture(scope="module")
def table():
    return long_table().assign(case=lambda t: t["case"].replace(ODD, SEEN))


@pytest.fixture(scope="module")
def run(tmp_path_factory, table):
    return with_tables(tmp_path_factory.mktemp("aggregated"), table)


@pytest.fixture(scope="module")
def page(run):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pellucid.report.gallery.MOST", 2)
        return Page(build_report(run.folder).read_text())


def test_the_page_has_both_sections_and_is_sound(page):
    assert page.wrong == [] and page.open == []
    assert "Where the evidence for each class lies (smoothgrad, regions: predicted)" in page.words
    assert "Outliers: cases whose evidence lies elsewhere (smoothgrad, regions: predicted)" in page.words
    assert "secret-patient" not in page.words
    assert not re.search(r"\b(nan|None|NaN)\b", page.words.split("Where the evidence for each")[1].split("Gallery")[0])


def test_a_link_leads_to_the_odd_cases_maps(page):
    ids = {a["id"] for _, a in page.tags if "id" in a}
    links = [a["href"][1:] for tag, a in page.tags if tag == "a" and "-case-" in a.get("href", "")]
    assert links and set(links) <= ids
    assert "in the gallery" in page.words and "not stored" in page.words


def test_class_table_is_the_mean_over_cases(run, table):
    (card,) = aggregated_panels(run, "volume", {})
    row = next(r for r in card["table"]["rows"] if r["name"] == "heart")
    texts = [c["text"] for c in row["cells"]]

    def mean(region, measure):
        own = table[(table["target"] == "heart") & (table["region"] == region) & (table["measure"] == measure)]
        return own["value"].mean()

    assert card["table"]["head"][:4] == ["class", "cases", "in its own region", "background"]
    assert texts[0] == "24" and texts[1] == f"{100 * mean('heart', 'mass'):.0f} %"
    assert row["cells"][1]["why"].startswith(f"× {mean('heart', 'enrichment'):.2f} [")
    others = {r: mean(r, "mass") for r in TARGETS if r not in ("heart", "background")}
    assert texts[3].startswith(max(others, key=others.get))
    rich = {r: mean(r, "enrichment") for r in others}
    assert texts[4].startswith(max(rich, key=rich.get))
    assert texts[5] == f"{mean('*', 'dice'):.3f}"
    left = next(r for r in card["table"]["rows"] if r["name"] == "left lung")
    assert left["cells"][0]["text"] == "23"


def test_sentences_say_what_was_measured(run, table):
    (card,) = aggregated_panels(run, "volume", {})
    said = " ".join(card["points"])
    assert "Never predicted, and so without numbers there: left lung in 1 of 24." in said
    assert "which fills 55 % of the volume" in said
    mean = table.groupby(["target", "region", "measure"])["value"].mean().unstack()
    pairs = [(m["mass"], m["share"]) for (t, r), m in mean.iterrows() if t != r and r != "*"]
    rho = pd.DataFrame(pairs).rank().corr().iloc[0, 1]
    assert f"Over {len(pairs)} pairs of a class and another region, mean mass and the region’s size have a rank correlation of {rho:.2f}" in said
    assert "of one method, smoothgrad" in card["notes"][0] and "the model’s own prediction" in card["notes"][0]


def test_folds_are_context_graph_and_tree(run):
    (card,) = aggregated_panels(run, "volume", {})
    assert [f["title"] for f in card["folds"]] == ["Enrichment", "Context share", "Importance graph", "Classes that the model sees together"]
    assert all(f["picture"]["uri"].startswith("data:image/png") for f in card["folds"])
    assert "cophenetic correlation 0." in card["folds"][3]["line"]


def test_the_odd_case_is_first_and_its_reason_is_in_words(run):
    (card,) = outlier_panels(run, "volume", {SEEN: "place"})
    first = card["cases"][0]
    assert first["case"] == SEEN and first["target"] == "heart" and first["why"].startswith("spine 0.55 (median 0.0")
    assert first["link"] == "place" and first["maps"] == "in the gallery"
    assert card["points"][0].startswith(f"The lowest score of all is that of {SEEN} for heart: spine 0.55")
    scores = [float(c["score"].replace("−", "-")) for c in card["cases"]]
    assert scores == sorted(scores)
    tests = dict(card["more"])["What goes with being an outlier"]
    assert len(tests["rows"]) == len(TARGETS) and "Holm" in str(tests["rows"])


@pytest.fixture
def unfolded(monkeypatch):
    """Without the pictures below the matrix, which take the most time."""
    for name in ("enrichment_fold", "context_fold", "graph_fold", "tree_fold"):
        monkeypatch.setattr(f"pellucid.report.aggregated.{name}", lambda *_: [])


def test_of_another_cohort_the_new_cases_are_listed_and_ranked_among_themselves(tmp_path, table):
    run = with_tables(tmp_path, table, train="train", targets=["heart", "spine"])
    (card,) = outlier_panels(run, "volume", {})
    assert card["line"].startswith("12 cases scored for 2 classes by forests grown on other cases (12);")
    assert {c["part"] for c in card["cases"]} == {"test"}
    (odd,) = (c for c in card["cases"] if c["case"] == SEEN)
    assert odd["target"] == "heart" and odd["why"].startswith("spine 0.55")
    first = card["cases"][0]
    own = run.table("outliers", "volume")
    new = own[~own["trained"]]
    lowest = new.loc[new["score"].idxmin()]
    assert (first["case"], first["target"]) == (lowest["case"], lowest["target"])
    places = new.groupby("target")["score"].rank()
    assert f"has the lowest score in {int((places[new['case'] == lowest['case']] == 1).sum())} of 2 classes" in card["points"][0]


def test_the_verdict_on_the_method_stands_before_its_numbers(run):
    (judged,) = aggregated_panels(run, "volume", {"smoothgrad": "do not rely on"})
    assert judged["points"][0] == "Verdict on the maps of smoothgrad: do not rely on. The table is as good as its maps."
    (card,) = aggregated_panels(run, "volume", {"saliency": "trust"})
    assert card["points"][0].startswith("The maps of smoothgrad were not judged in this run")


def test_a_run_that_explains_nothing_but_sums_in_windows(tmp_path, table, monkeypatch, unfolded):
    monkeypatch.setattr("pellucid.report.html.gallery", lambda *_: [])
    run = aggregate(build(tmp_path / "run", "volume", bare=True), table=table)
    info = run.info["recipe"]
    info["tasks"][0] |= {
        "explain": None, "aggregate": {"cases": ["test"], "methods": [{"smoothgrad": {"samples": 4}}], "targets": "all",
                                       "regions": ["predicted", {"file": "x.nii.gz", "of": "radiologist"}]},
    }  # fmt: skip
    info["tasks"][0]["model"]["windows"] = {"roi": [8, 8, 4], "overlap": 0.5}
    run.update(recipe=info)
    page = Page(build_report(run.folder).read_text())
    assert "No map was judged in this run: the recipe has no section “explain”." in page.words
    assert "24 cases summed over regions." in page.words
    assert "8 × 8 × 4 voxels, overlapping by 50 %, gaussian blending" in page.words
    assert "all classes by smoothgrad, regions: predicted, radiologist (cases: test)" in page.words
    assert "no region was hidden" in page.words and page.wrong == []


def test_every_method_and_label_map_has_its_card(tmp_path, table, unfolded):
    both = pd.concat([table, table.assign(of="truth"), table.assign(method="saliency")])
    run = aggregate(build(tmp_path / "run", "volume"), table=both)
    cards = aggregated_panels(run, "volume", {})
    assert {re.search(r"\((.*), regions: (.*)\)", c["title"]).groups() for c in cards} == {
        ("smoothgrad", "predicted"), ("smoothgrad", "truth"), ("saliency", "predicted")}  # fmt: skip
    truth = next(c for c in cards if "truth" in c["title"])
    assert "Regions come from the true segmentation." in truth["notes"][0]


def test_a_region_of_any_name_is_only_text(tmp_path, table, monkeypatch, unfolded):
    monkeypatch.setattr("pellucid.report.html.gallery", lambda *_: [])
    names = {"spine": HOSTILE}
    run = with_tables(tmp_path, table.replace({"target": names, "region": names}), trees=2, targets=["heart", HOSTILE])
    text = build_report(run.folder).read_text()
    assert "<script>alert(1)" not in text and Page(text).wrong == []


def test_few_cases_have_neither_intervals_nor_outliers_and_it_says_so(tmp_path, unfolded):
    few = long_table(4, odd=None)
    run = with_tables(tmp_path, few)
    (card,) = aggregated_panels(run, "volume", {})
    assert all(c["small"] == "" for r in card["table"]["rows"] for c in r["cells"])
    (outliers,) = outlier_panels(run, "volume", {})
    assert outliers["cases"] == [] and outliers["picture"] is None
    assert "4 training cases, fewer than 10: no forest was grown" in outliers["line"]


def test_nothing_is_shown_where_nothing_was_aggregated(tmp_path):
    run = build(tmp_path / "run", "volume")
    assert aggregated_panels(run, "volume", {}) == [] and outlier_panels(run, "volume", {}) == []


def test_one_class_and_masses_alone_are_enough(tmp_path):
    one = long_table(12, odd=None).query("target == 'heart' and measure == 'mass' and region != 'background'")
    run = aggregate(build(tmp_path / "run", "volume"), table=one)
    (card,) = aggregated_panels(run, "volume", {})
    assert card["table"]["head"] == ["class", "cases", "in its own region", "largest other source"]
    assert "Classes that the model sees together" not in [f["title"] for f in card["folds"]]
    assert np.isfinite(float(card["table"]["rows"][0]["cells"][1]["text"].rstrip(" %")))
