"""The page: well-formed, self-contained, true to the tables, safe, and honest about what is missing."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser

import pytest
from PIL import Image

from pellucid.errors import InputError
from pellucid.report import build_report
from report.run_folder import HOSTILE, METHODS, build, comparison

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Tags balanced, attributes, text."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.wrong, self.tags, self.text, self.scripts = [], [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append((tag, self.getpos()))

    def handle_data(self, data):
        (self.scripts if self.open and self.open[-1] in ("script", "style") else self.text).append(data)

    @property
    def words(self):
        return re.sub(r"\s+", " ", " ".join(self.text))


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    run = build(tmp_path_factory.mktemp("run"), "classification", "regression", "segmentation", "volume")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pellucid.report.gallery.MOST", 2)
        return Page(build_report(run.folder).read_text())


def test_it_is_well_formed_and_has_one_title(page):
    assert page.wrong == []
    assert page.open == []
    assert sum(tag == "h1" for tag, _ in page.tags) == 1
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    for tag, a in page.tags:
        if tag == "a":
            assert a["href"].startswith("#")
            assert a["href"][1:] in ids


def test_it_needs_nothing_from_elsewhere(page):
    for tag, a in page.tags:
        assert tag not in ("link", "iframe", "object")
        for key in ("src", "href"):
            if key in a:
                assert a[key].startswith(("data:image/png;base64,", "#")), (tag, a[key][:60])
    assert not any("http://" in s or "https://" in s or "@import" in s or "url(" in s for s in page.scripts)


def test_every_figure_is_a_picture_with_words(page):
    images = [a for tag, a in page.tags if tag == "img"]
    assert len(images) > 4 * len(METHODS)
    for a in images:
        assert len(a["alt"]) > 15
        with Image.open(io.BytesIO(base64.b64decode(a["src"].split(",", 1)[1]))) as picture:
            assert picture.format == "PNG"
            assert min(picture.size) > 60
    tiles = [a["alt"] for a in images if a["alt"].startswith("Map of")]
    assert any("Flags: incomplete" in t for t in tiles)
    assert any("Flags: flat" in t for t in tiles)
    assert any("±" in t for t in tiles)


@pytest.fixture
def undrawn(monkeypatch):
    """Figures are made and not painted, where what is asked is in the page's words."""
    dot = io.BytesIO()
    Image.new("RGB", (1, 1)).save(dot, "PNG")
    monkeypatch.setattr("pellucid.report.style.png", lambda figure, **_: dot.getvalue())


def test_table_heads_have_a_scope(page):
    assert all(a.get("scope") in ("col", "row") for tag, a in page.tags if tag == "th")


def test_numbers_are_those_of_the_tables(page):
    frame = comparison("segmentation")
    for r in frame[frame["direction"] != "none"].dropna(subset=["mean"]).itertuples():
        assert f"{r.mean:.3f}" in page.words
        assert f"[{r.low:.3f}, {r.high:.3f}]" in page.words
    assert "-0.432" in page.words
    assert "[-0.300, -0.100]" in page.words  # the difference of the deletion
    for text in ("0.876", f"[{0.8765 - 0.1:.3f}, {0.8765 + 0.05:.3f}]", "0.765", "0.911", "0.458", "5.43", "p 0.032 against edge"):
        assert text in page.words


def test_what_has_no_number_says_why(page):
    assert "one class only" in page.words
    assert "undefined in every case" in page.words
    assert "pointing game, grad_cam: undefined for 3 map(s): the map is flat" in page.words
    assert "nan" not in page.words.lower().split()


def test_failures_limits_and_provenance_are_there(page):
    for text in (
        "case broken-1: the file is empty; send it again", "Split by patient: no patient is in more than one part.",
        "Plausibility is not faithfulness", "made by a program", "abc123", "them2021", "who2020", "What deletion_auc is.",
    ):  # fmt: skip
        assert text in page.words


def test_the_gallery_tells_truth_and_prediction(page):
    assert "truth benign, predicted malignant (probability 0.700): wrong" in page.words
    assert "truth malignant, predicted malignant (probability 0.700): right" in page.words
    assert "true 0.100, predicted severity 0.250" in page.words
    assert "Dice of everything labelled 0.750" in page.words  # four rows of which three overlap


@pytest.mark.usefixtures("undrawn")
def test_a_patient_shared_between_parts_is_called_out(tmp_path):
    run = build(tmp_path, "regression")
    run.put_table("data", "regression", run.table("data", "regression").assign(group="one"))
    assert "1 patients are in more than one part" in Page(build_report(tmp_path).read_text()).words


def test_no_patient_data(page):
    everything = page.words + " ".join(str(a) for _, a in page.tags)
    assert "secret-patient" not in everything
    assert not re.search(r"\bage\b", page.words)


def test_hostile_case_ids_stay_text(tmp_path, monkeypatch):
    monkeypatch.setattr("pellucid.report.gallery.MOST", 2)
    run = build(tmp_path, "segmentation", first_id=HOSTILE)
    text = build_report(run.folder).read_text()
    found = Page(text)
    assert HOSTILE in found.words
    assert any(HOSTILE in a.get("alt", "") for _, a in found.tags)
    assert "<script>alert" not in text
    assert sum(tag == "script" for tag, _ in found.tags) == 1
    assert found.wrong == []


def test_stages_that_were_not_run_are_said_to_be_missing(tmp_path):
    run = build(tmp_path, "classification", bare=True)
    found = Page(build_report(run.folder).read_text())
    assert found.wrong == []
    assert not [1 for tag, _ in found.tags if tag == "img"]
    assert found.words.count("Not run:") == 7
    assert "Nothing was explained yet." in found.words


@pytest.mark.parametrize("table", ["data", "performance", "history", "verdicts", "scores", "comparison", "regions", "costs",
                                   "predictions", "maps.zarr"])  # fmt: skip
@pytest.mark.usefixtures("undrawn")
def test_any_one_stage_may_be_missing(tmp_path, table, monkeypatch):
    monkeypatch.setattr("pellucid.report.gallery.MOST", 1)
    run = build(tmp_path, "classification")
    if table == "maps.zarr":
        (run.folder / table).rename(run.folder / "elsewhere")
    else:
        (run.folder / f"{table}.parquet").unlink()
    found = Page(build_report(run.folder).read_text())
    assert found.wrong == []
    assert "The classification" in found.words


def test_the_page_is_the_same_twice_and_whole_or_not_at_all(tmp_path, monkeypatch):
    monkeypatch.setattr("pellucid.report.gallery.MOST", 1)
    run = build(tmp_path, "segmentation")
    first = build_report(run.folder).read_bytes()
    assert build_report(run.folder).read_bytes() == first
    monkeypatch.setattr("pellucid.report.html.limits", lambda run: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        build_report(run.folder)
    assert (run.folder / "report.html").read_bytes() == first
    assert not list(run.folder.glob(".report*"))


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no run\.json"):
        build_report(tmp_path)


def test_the_order_is_that_of_trust(page):
    first = page.words.index("Which maps to trust", page.words.index("Run of"))
    rows = page.words[first : page.words.index("The regression", first)]
    expected = [f"{m} {w}" for m, w in (
        ("integrated_gradients", "✓ trust"), ("saliency", "◐ with care"), ("grad_cam", "✕ do not rely on"),
        ("random", "○ control"), ("edge", "○ control"),
    )]  # fmt: skip
    places = [rows.index(text) for text in expected]
    assert places == sorted(places)
