"""Forms show maps and nothing that says whose they are or how they were made."""

import base64
import json
import re
import struct

import numpy as np
import pytest
import torch

import readers_world as world
from pellucid.core.attribution import Attribution
from pellucid.errors import UsageError
from pellucid.readers import study_form
from pellucid.readers.items import ITEMS
from pellucid.readers.page import Page, page
from pellucid.readers.pictures import map_of, stage_of
from pellucid.readers.plan import names_of, order
from report import run_folder
from report.run_folder import HOSTILE, METHODS


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A study whose pictures are drawn, of one case."""
    folder = tmp_path_factory.mktemp("drawn")
    world.run(folder / "run", n=2)
    return study_form(folder / "run", cases=1, readers=2, repeat=0.34, seed=1)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Four patients; the model says something of the first one only."""
    made = world.run(tmp_path_factory.mktemp("forms") / "run", n=4, methods=("grad_cam", "random"))
    case = made.case(world.TASK, "classification-0")
    made.put_maps(world.TASK, case, made.attributions(world.TASK, case.id), torch.tensor([0.2, 0.8]))
    return made


def content(path):
    page = path.read_text(encoding="utf-8")
    return json.loads(re.search(r'<script type="application/json" id="content">(.*?)</script>', page, re.S)[1])


def entries(made):
    return json.loads(made.key.read_text())["entries"]


def test_a_form_names_no_case_no_patient_no_method_and_no_file(drawn):
    for form in drawn.forms:
        said = re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "", form.read_text(encoding="utf-8")).lower()
        for name in (*METHODS, "grad-cam", "gradcam", "classification-0", "classification-1", "secret-patient", "zarr",
                     str(drawn.forms[0].parents[3]).lower()):  # fmt: skip
            assert name.lower() not in said, name
        assert "http" not in said.replace('http-equiv="content-security-policy"', "")


def test_its_pictures_are_png_without_metadata(drawn):
    pictures = content(drawn.forms[0])["pictures"]
    assert len(pictures) == 1 + drawn.maps == 4
    for uri in pictures:
        data = base64.b64decode(uri.removeprefix("data:image/png;base64,"))
        assert data[:8] == b"\x89PNG\r\n\x1a\n"
        place, chunks = 8, set()
        while place < len(data):
            length, kind = struct.unpack(">I4s", data[place : place + 8])
            chunks.add(kind)
            place += 12 + length
        assert chunks <= {b"IHDR", b"PLTE", b"IDAT", b"IEND"}


def test_the_form_may_load_and_send_nothing(drawn):
    page = drawn.forms[0].read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    assert policy.startswith("default-src 'none'") and "connect-src" not in policy
    assert "src=" not in page and "href=" not in page.replace("link.href =", "")


def test_the_flags_and_the_unit_of_a_map_are_not_drawn(drawn, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("pellucid.readers.pictures.map_tile", lambda stage, a, *, unit: seen.append((a, unit)))
    monkeypatch.setattr("pellucid.readers.pictures._uri", lambda figure, colours: "")
    flagged = Attribution(maps={}, method="grad_cam", case_id="a", target={"index": 0}, score=1.0, flags=("not_better",))
    map_of(None, flagged)
    assert seen[0][0].flags == () and seen[0][1] == ""


def test_everything_is_asked_of_every_map_and_controls_are_among_them(run, monkeypatch):
    made = world.form(run.folder, monkeypatch, readers=2, methods=["grad_cam"], cases=3)
    assert {e["method"] for e in entries(made)} == {"grad_cam", "random"}
    assert made.maps == 6 and made.cases == 3 and len({e["group"] for e in entries(made)}) == 3
    page = content(made.forms[0])
    assert page["items"] == [{"name": i.name, "statement": i.statement} for i in ITEMS]
    assert len(page["pages"]) == made.pages == 6 + round(0.25 * 6)


def test_readers_see_the_same_maps_in_their_own_order_under_their_own_ids(run, monkeypatch):
    made = world.form(run.folder, monkeypatch, readers=3)
    found = entries(made)
    assert len({e["map"] for e in found}) == len(found)
    first = {r: [(e["case"], e["method"]) for e in found if e["reader"] == r and not e["again"]] for r in (1, 2, 3)}
    assert len({tuple(v) for v in first.values()}) == 3
    assert len({frozenset(v) for v in first.values()}) == 1
    for reader, form in enumerate(made.forms, 1):
        mine = sorted((e for e in found if e["reader"] == reader), key=lambda e: e["place"])
        assert [p["map"] for p in content(form)["pages"]] == [e["map"] for e in mine]


def test_the_same_seed_gives_the_same_study_and_none_gives_another_each_time(run, monkeypatch):
    one, two = (world.form(run.folder, monkeypatch) for _ in range(2))
    assert (one.study, entries(one)) == (two.study, entries(two))
    fresh = [world.form(run.folder, monkeypatch, seed=None).seed for _ in range(2)]
    assert fresh[0] != fresh[1]


@pytest.mark.parametrize(("n", "repeat"), [(1, 0.5), (2, 0.5), (9, 0.5), (40, 0.15), (40, 0.0)])
def test_a_map_comes_again_only_after_a_third_of_the_maps(n, repeat):
    steps = order(n, repeat=repeat, generator=np.random.default_rng(n))
    firsts = [w for w, again in steps if not again]
    repeats = [w for w, again in steps if again]
    assert sorted(firsts) == list(range(n)) and len(set(repeats)) == len(repeats) == min(round(repeat * n), max(1, 2 * n // 3 - 1))
    for which in repeats:
        a, b = steps.index((which, False)), steps.index((which, True))
        assert sum(not again for _, again in steps[a + 1 : b]) >= n // 3


def test_prediction_and_truth_are_shown_only_when_asked_for(run, monkeypatch):
    stages = []
    monkeypatch.setattr("pellucid.readers.form.picture_of", lambda stage: stages.append(stage) or "data:x")
    monkeypatch.setattr("pellucid.readers.form.map_of", lambda stage, a: "data:y")
    hidden = study_form(run.folder, readers=1, seed=1)
    assert all(not p["prediction"] for p in content(hidden.forms[0])["pages"]) and not any(s.marks for s in stages)
    shown = study_form(run.folder, readers=1, seed=1, show_prediction=True, show_truth=True)
    said = {e["case"]: p["prediction"] for e, p in zip(entries(shown), content(shown.forms[0])["pages"])}
    assert said["classification-0"] == "malignant" and said["classification-1"] == ""
    assert set(stages[-1].marks) == {"lesion"}
    assert shown.study != hidden.study


def test_a_label_cannot_end_the_script():
    text = page([Page("0" * 8, HOSTILE + "</script>", "", "data:a", "data:b")], study="0" * 12, reader=1)
    assert "<script>alert" not in text and text.count("</script>") == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [({"cases": 0}, "--cases is 0"), ({"readers": 0}, "--readers is 0"), ({"readers": 100}, "1 to 99"),
     ({"repeat": 0.6}, "--repeat is 0.6"), ({"seed": -1}, "--seed is -1"),
     ({"methods": ["grad_cm"]}, "did you mean 'grad_cam'"), ({"task": "classificaton"}, "did you mean 'classification'")],
)  # fmt: skip
def test_what_no_study_can_be_made_of_is_refused(run, monkeypatch, options, said):
    with pytest.raises(UsageError, match=re.escape(said)):
        world.form(run.folder, monkeypatch, **options)


def test_the_planes_of_a_volume_are_the_same_for_all_of_its_maps(tmp_path):
    run = run_folder.build(tmp_path, "volume", bare=True)
    case = run_folder.cases("volume", n=1)[0]
    peak = torch.zeros(1, *case.spatial)
    peak[0, 4, 5, 2] = 1.0
    made = [a.replace(maps={"ct": 100 * torch.rand(peak.shape) if a.method == "random" else peak})
            for a in run_folder.maps("volume", case) if a.method in ("saliency", "grad_cam", "random")]  # fmt: skip
    run.put_maps("volume", case, made)
    assert stage_of(run, "volume", made, truth=False, prediction=False).at == (4, 5, 2)
    shown = stage_of(run, "volume", made, truth=True, prediction=False)
    assert shown.at == (3, 3, 2) and list(shown.marks) == ["true: the volume"]


def test_a_run_without_maps_or_with_several_tasks_is_refused(tmp_path, monkeypatch):
    run_folder.build(tmp_path / "one", world.TASK, bare=True)
    with pytest.raises(UsageError, match="no maps of pictures to show; run its stage explain"):
        world.form(tmp_path / "one", monkeypatch)
    run_folder.build(tmp_path / "two", world.TASK, "regression", bare=True)
    with pytest.raises(UsageError, match="classification, regression; name one task with --task"):
        world.form(tmp_path / "two", monkeypatch)


def test_names_with_commas_in_brackets_stay_whole():
    assert names_of(["a, segx(b, top=0.1)", "c"]) == ["a", "segx(b, top=0.1)", "c"]
