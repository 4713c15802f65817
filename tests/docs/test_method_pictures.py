"""Every registered method has its picture, its page shows it, and the pictures can be made again from the same numbers."""

import importlib
import io
import re
import sys

import numpy as np
import pytest
from PIL import Image

from pages import DOCS, ROOT, text_of
from pellucid.core.explainer import EXPLAINERS

PICTURES = DOCS / "pictures"
LIMIT = 60 * 1024


@pytest.fixture(scope="module")
def script():
    before = set(sys.modules)
    sys.path.insert(0, str(ROOT / "examples"))
    try:
        yield importlib.import_module("method_pictures")
    finally:
        sys.path.remove(str(ROOT / "examples"))
        for name in set(sys.modules) - before:
            if name.startswith(("method_", "toy_models")):
                del sys.modules[name]


def test_every_method_has_its_picture_and_every_picture_its_method():
    others = {name for page in DOCS.glob("explanation-*.md") for name in re.findall(r"\(pictures/(\w+)\.png\)", page.read_text("utf-8"))}
    assert {p.stem for p in PICTURES.glob("*.png")} - others == set(EXPLAINERS)


def test_the_script_draws_every_method(script):
    assert set(script.PICTURES) == set(EXPLAINERS)


@pytest.mark.parametrize("name", sorted(EXPLAINERS))
def test_a_page_of_its_family_shows_it(name):
    family = EXPLAINERS[name].family
    shown = f"](pictures/{name}.png)"
    pages = [p.name for p in DOCS.glob("methods-*.md") if shown in p.read_text(encoding="utf-8")]
    assert pages, f"docs/methods-{family}.md does not show pictures/{name}.png"
    assert shown in text_of(f"docs/methods-{family}.md"), f"shown on {pages}, but not on the page of its family"


def test_pages_show_no_picture_that_is_not_there():
    for page in DOCS.glob("*.md"):
        for name in re.findall(r"!\[[^\]]+\]\((pictures/[^)]+)\)", page.read_text(encoding="utf-8")):
            assert (DOCS / name).is_file(), f"{page.name}: {name}"


@pytest.mark.parametrize("name", sorted(EXPLAINERS))
def test_a_picture_is_small_and_wide_enough(name):
    data = (PICTURES / f"{name}.png").read_bytes()
    assert len(data) < LIMIT
    picture = Image.open(io.BytesIO(data))
    assert picture.mode == "P"  # a palette
    assert picture.width >= 1000  # sharp at 700 pixels on a fine screen
    assert 250 < picture.height < 600


@pytest.mark.parametrize("name", sorted(EXPLAINERS))
def test_the_numbers_bear_out_what_a_picture_says(script, name):
    halves = script.PICTURES[name]()
    assert script.untrue(halves) == []
    for half in halves:
        assert len(half.shown) >= 2
        assert all(np.isfinite(s.values).all() for s in half.shown)
        assert any(s.values.std() > 0 for s in half.shown if not s.grey)
        assert half.truth.any()
        assert not half.truth.all()
        assert half.text.endswith(".")


# One that is drawn at random, one that is signed, one on another grid; all of them by `make pictures`.
@pytest.mark.parametrize("name", ["vargrad", "lrp", "grad_cam", "attention"])
def test_a_picture_is_made_again_from_the_same_numbers(script, name):
    first, second = script.PICTURES[name](), script.PICTURES[name]()
    for one, two in zip(first, second, strict=True):
        assert one.text == two.text
        assert [s.title for s in one.shown] == [s.title for s in two.shown]
        for a, b in zip(one.shown, two.shown, strict=True):
            np.testing.assert_array_equal(a.values, b.values)


def test_a_sentence_that_the_numbers_do_not_bear_out_is_told(script, monkeypatch, tmp_path, capsys):
    from dataclasses import replace

    left, right = script.PICTURES["edge"]()
    assert script.untrue((left, replace(right, fact=False))) == [right.text]
    monkeypatch.setitem(script.PICTURES, "edge", lambda: (left, replace(right, fact=False)))
    with pytest.raises(SystemExit, match=r"edge: The model counts discs"):
        script.main(["--only", "edge", "--out", str(tmp_path)])


def test_the_script_writes_what_is_asked_for_and_nothing_else(script, tmp_path):
    script.main(["--only", "random", "--out", str(tmp_path)])
    assert [p.name for p in tmp_path.iterdir()] == ["random.png"]
    again, kept = (np.asarray(Image.open(f / "random.png").convert("L"), float) for f in (tmp_path, PICTURES))
    assert again.shape == kept.shape


def test_an_unknown_name_is_refused(script, tmp_path):
    with pytest.raises(SystemExit, match="no picture of 'salience'"):
        script.main(["--only", "salience", "--out", str(tmp_path)])
    assert list(tmp_path.iterdir()) == []
