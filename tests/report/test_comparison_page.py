"""The comparison and the findings on the page: numbers, sentences and pictures follow from the tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pellucid.report import build_report
from pellucid.report.agreements import agreement_panel
from pellucid.report.compared import aggregated_panels, ranking_panels
from pellucid.report.detectors import detector_panel
from pellucid.report.findings import box_of, findings, inside
from pellucid.report.panels import trade_panel
from pellucid.report.reading import reading
from pellucid.report.score_tables import score_tables
from pellucid.report.scrambled import layers_panel
from pellucid.report.strata import strata_panels
from report.run_folder import METHODS, build, compare_tables, comparison
from report.test_report_page import Page

TASK = "classification"
CASES = ("classification-0", "classification-2")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    made = build(tmp_path_factory.mktemp("run"), TASK)
    compare_tables(made, TASK, cases=CASES)
    return made


@pytest.fixture(scope="module")
def page(run):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pellucid.report.gallery.MOST", 1)
        patch.setattr("pellucid.report.gallery.LEAST", 1)
        return Page(build_report(run.folder).read_text())


def test_the_page_stays_well_formed_and_every_picture_has_words(page):
    assert page.wrong == []
    assert page.open == []
    images = [a["alt"] for tag, a in page.tags if tag == "img"]
    for begins in ("Mean ranks in faithfulness", "Places in faithfulness", "Passes against mean rank", "Mean rank correlation",
                   "Similarity of the map by scrambled layer", "Means by lesion size", "Share of errors", "Frame around"):  # fmt: skip
        assert any(a.startswith(begins) for a in images), begins
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))


def test_what_matters_first_and_the_rest_folded(page):
    words = page.words
    start = words.index("Run of")
    order = [words.index(t, start) for t in ("Which maps to trust", "What stands out", "How the methods compare", "Methods and measures")]
    assert order == sorted(order)
    assert sum(tag == "details" for tag, _ in page.tags) > 8
    assert not any("open" in a for tag, a in page.tags if tag == "details")


def test_mean_ranks(run):
    panels = ranking_panels(run, TASK)
    assert [p["title"] for p in panels] == ["Mean ranks: faithfulness", "Mean ranks: all questions", "Mean ranks: plausibility"]
    first = panels[0]
    assert first["line"] == "best mean rank saliency (1.25), not told from integrated_gradients (12 patients, Friedman p 0.004)."
    assert first["table"]["rows"][1]["cells"] == [{"text": "2", "small": ""}, {"text": "2.25", "small": "[2.00, 2.50]"}]
    assert first["notes"] == ["2 of 14 patients left out: not all methods are defined."]
    assert "edge 5.25. Critical difference 1.10." in first["picture"]["alt"]


def test_no_difference_is_said(tmp_path, run):
    table = run.table("ranking", TASK)
    other = build(tmp_path, TASK, bare=True)
    other.put_table("ranking", TASK, table.assign(p=0.4, cliques="1"))
    assert "no two methods are told apart (12 patients, Friedman p 0.400)" in ranking_panels(other, TASK)[0]["line"]
    other.put_table("ranking", TASK, table.assign(mean_rank=np.nan, p=np.nan, cd=np.nan, cliques="", n=0, note="none"))
    assert ranking_panels(other, TASK)[0]["line"] == "no ranks (0 patients)."


def test_places_over_choices(run):
    first = aggregated_panels(run, TASK)[0]
    assert first["line"] == (
        "first saliency, first in 100 % of the choices (2 measures, 3 choices tried, mean Kendall’s τ with all of them 0.765)."
    )
    assert [c["text"] for c in first["table"]["rows"][1]["cells"]] == ["2", "2.50", "0 %"]
    assert first["table"]["rows"][1]["cells"][0]["small"] == "1 to 3"


def test_cost_and_front(run):
    panel = trade_panel(run, TASK, METHODS)
    assert panel["metric"] == "mean rank in faithfulness"
    assert panel["front"] == "saliency, integrated_gradients"
    assert "grad_cam 200 passes 3.50" in panel["alt"]


def test_front_without_its_table_follows_from_the_comparison(tmp_path):
    other = build(tmp_path, TASK)
    panel = trade_panel(other, TASK, METHODS)
    assert panel["metric"] == "deletion auc"
    assert panel["front"] == "saliency"  # the least passes and the least area: beats all


def test_agreement(run, tmp_path):
    panel = agreement_panel(run, TASK)[0]
    assert panel["line"] == "most alike grad_cam and saliency (ρ 0.753); least grad_cam and integrated_gradients (-0.250)."
    other = build(tmp_path, TASK, bare=True)
    rows = [{"case": c, "group": c, "target_index": t, "a": "x", "b": "y", "rho": r}
            for c, t, r in (("1", 0, 0.2), ("1", 1, 0.4), ("2", 0, 0.9))]  # fmt: skip
    other.put_table("agreement", TASK, pd.DataFrame(rows))
    assert "(ρ 0.600)" in agreement_panel(other, TASK)[0]["line"]  # cases weigh the same, whatever their targets
    other.put_table("agreement", TASK, pd.DataFrame(rows).assign(rho=np.nan))
    assert agreement_panel(other, TASK)[0]["line"] == "no two methods could be compared."


def test_layers(run):
    (panel,) = layers_panel(run, TASK, METHODS)
    assert panel["line"] == "0 of 3 methods keep a similarity above 0.5 to the end."
    assert "mprt, saliency: 0.980 to 0.380" in panel["picture"]["alt"]
    assert "random logit" not in panel["picture"]["alt"]


def test_strata_say_what_differs_and_what_has_too_few(run):
    panels = strata_panels(run, TASK, METHODS)
    assert [p["title"] for p in panels] == ["By lesion size", "Not compared: site"]
    size = panels[0]
    assert size["line"] == "3 of 6 differ; 3 more do, but so does the random map."
    assert size["points"][0] == (
        "insertion auc of saliency: 0.600 [0.500, 0.700] in large (10 to 40 px), 0.200 [0.100, 0.300] in small (3 to 9 px)."
    )
    assert not any("pointing game" in p for p in size["points"])
    assert not any("share" in p for p in size["points"])
    assert not any(" of edge:" in p for p in size["points"])
    assert panels[1]["picture"] is None


def test_strata_that_overlap_do_not_differ(run, tmp_path):
    other = build(tmp_path, TASK)
    other.put_table("strata", TASK, run.table("strata", TASK).assign(low=0.1, high=0.9))
    assert strata_panels(other, TASK, METHODS)[0]["line"] == "0 of 6 differ."


def test_detector(run):
    (panel,) = detector_panel(run, TASK, METHODS)
    assert panel["line"].startswith("only 4 predictions were wrong: too few to say.")
    table = run.table("detector", TASK)
    run.put_table("detector", TASK, table.assign(wrong=5))
    (panel,) = detector_panel(run, TASK, METHODS)
    run.put_table("detector", TASK, table)
    assert panel["line"].startswith("best AUROC 0.812 [0.600, 0.950] (segu, saliency); 2 of 3 are better than chance, 0 would")
    assert "wrong in 5 of 12 predictions" in panel["notes"][0]
    assert panel["table"]["head"] == ["AUROC", "segu", "pointing game"]
    assert panel["table"]["rows"][2]["cells"][0] == {"text": "0.712", "small": "[0.500, 0.950]"}
    assert "segu, saliency: 0.250 at half" in panel["picture"]["alt"]


def test_detector_without_errors_says_why(run, tmp_path):
    other = build(tmp_path, TASK)
    note = "no wrong prediction"
    other.put_table("detector", TASK, run.table("detector", TASK).assign(auroc=np.nan, low=np.nan, high=np.nan, note=note))
    (panel,) = detector_panel(other, TASK, METHODS)
    assert (panel["line"], panel["picture"], panel["table"]) == ("no wrong prediction.", None, None)


def test_findings_name_cases_and_show_the_place(run, page):
    (found,) = findings(run, TASK, METHODS)
    assert found["cases"] == list(CASES)
    assert found["share"] == "2 of 3 cases"
    assert "upper left corner on the map of saliency over case classification-0, classification-2" in found["picture"]["alt"]
    assert "Cases: classification-0, classification-2." in page.words.replace(" .", ".")
    assert "The maps point there <script>" in page.words


def test_nothing_found_is_a_quiet_line(tmp_path):
    other = build(tmp_path, TASK, bare=True)
    compare_tables(other, TASK)  # the judgement is there to stand under
    other.put_table("comparison", TASK, comparison(TASK))
    row = {"kind": "none", "title": "t", "sentence": "None was found.", "zone": "", "box": "", "methods": "", "cases": "",
           "n": 0, "of": 3, "note": ""}  # fmt: skip
    other.put_table("findings", TASK, pd.DataFrame([row]))
    (found,) = findings(other, TASK, METHODS)
    assert (found["found"], found["cases"], found["picture"]) == (False, [], None)
    words = Page(build_report(other.folder).read_text()).words
    assert "None was found." in words
    assert words.count("What stands out") == 1  # in "How to read" alone: no section of its own


@pytest.mark.parametrize(("text", "box"), [
    ("0:4,2:9", ((0, 4), (2, 9))), ("1:2, 3:4, 5:6", ((1, 2), (3, 4), (5, 6))), ("", None), (None, None), ("4:2,0:1", None),
    ("0:4", None), (float("nan"), None), ("a:b,c:d", None),
])  # fmt: skip
def test_boxes(text, box):
    assert box_of(text) == box


def test_a_box_beyond_the_picture_or_of_other_axes_is_empty():
    assert inside((4, 4), ((0, 2), (1, 3))).sum() == 4
    assert not inside((4, 4), ((6, 8), (6, 8))).any()
    assert not inside((4, 4, 4), ((0, 2), (1, 3))).any()


def test_a_finding_in_a_volume_is_drawn_in_its_planes(tmp_path):
    other = build(tmp_path, "volume")
    compare_tables(other, "volume", cases=("volume-1",))
    other.put_table("findings", "volume", other.table("findings", "volume").assign(box="1:4,2:5,1:3"))
    (found,) = findings(other, "volume", METHODS)
    assert found["picture"]["uri"].startswith("data:image/png")


def test_each_piece_is_explained_where_it_is(run, tmp_path, page):
    assert len(reading(run)) == 8
    assert reading(build(tmp_path, TASK, bare=True)) == []
    for limit in ("A control can be first in stability", "with so many comparisons", "a threshold chosen here", "A mark that wanders"):
        assert limit in page.words
    assert "A bar joins methods that these patients do not tell apart" in page.words


def test_forty_measures_go_into_tables_that_fit_with_the_questions_apart(tmp_path):
    other = build(tmp_path, TASK, bare=True)
    questions = ("faithfulness", "plausibility", "certainty", "stability", "sanity", "axiom", "complexity", "modality", "cost")
    metrics = {f"measure_{q}_{i}": {"question": q, "direction": "higher"} for q in questions for i in range(9 if q == "faithfulness" else 4)}
    frame = comparison(TASK)  # and no maps: they have tests of their own
    frame = frame[frame["metric"] == "insertion_auc"]
    other.update(metrics=metrics)
    other.put_table("comparison", TASK, pd.concat([frame.assign(metric=m) for m in metrics], ignore_index=True))
    groups = score_tables(other, TASK, METHODS)
    assert [g["title"].split(":")[0] for g in groups] == [
        "Faithfulness", "Plausibility", "Certainty", "Stability", "Sanity", "Axioms", "Complexity", "Modalities", "Cost",
    ]  # fmt: skip
    assert [g["main"] for g in groups] == [True, True] + [False] * 7
    assert [len(t["columns"]) for t in groups[0]["tables"]] == [7, 2]
    found = Page(build_report(other.folder).read_text())
    assert found.wrong == []
    assert "6 more deciding measures of faithfulness count towards the verdict" in found.words
    assert all(f"measure {q} 3" in found.words for q in questions)


def test_thirty_five_methods_one_method_and_nothing_known(tmp_path):
    many = (*(f"method_{i}" for i in range(33)), "random", "edge")
    for k, methods in enumerate((many, ("saliency",), METHODS)):
        other = build(tmp_path / str(k), TASK, bare=True)
        compare_tables(other, TASK, methods)
        if methods == METHODS:
            for name in ("ranking", "aggregated", "pareto", "agreement", "strata", "details", "detector", "risk_coverage"):
                table = other.table(name, TASK)
                numbers = [c for c in table.select_dtypes("number") if c not in ("n", "groups", "position", "metrics", "choices")]
                other.put_table(name, TASK, table.assign(**dict.fromkeys(numbers, np.nan)))
        found = Page(build_report(other.folder).read_text())
        assert found.wrong == []
        assert "nan" not in found.words.lower().split()
