"""Readers whose behaviour is known give the numbers that they must give; files from strangers are checked."""

import json
import re

import numpy as np
import pandas as pd
import pytest

import readers_world as world
from pellucid.errors import InputError, UsageError
from pellucid.readers import study_read
from pellucid.readers.items import NAMES

METRIC = "pointing_game"


@pytest.fixture(scope="module", autouse=True)
def patched():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pellucid.readers.read.build_report", lambda folder: folder / "report.html")
        yield patch


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return world.run(tmp_path_factory.mktemp("read") / "run")


@pytest.fixture(scope="module")
def made(run, patched):
    return world.form(run.folder, patched)


def read(run, files, **options):
    return study_read(run.folder, files, **({"n_boot": 150} | options))


def noisy(seed, spread=0.7):
    generator = np.random.default_rng(seed)
    return lambda entry, item: np.clip(round(world.truthful(entry, item) + generator.normal(0, spread)), 1, 5)


def value(table, measure, reader=""):
    own = table[(table["measure"] == measure) & (table["reader"] == reader) & (table["item"] == "relevance")]
    return own.iloc[0]


def test_readers_who_rate_what_is_planted_find_it(run, made, tmp_path):
    found = read(run, world.answers(made, tmp_path, noisy(0))).tables
    means = found["readers"].set_index(["item", "method"])
    for item in NAMES:
        best, middle, chance = (means.loc[(item, m)] for m in ("grad_cam", "saliency", "random"))
        assert best["low"] > middle["high"] > middle["low"] > chance["high"] - 0.3
        assert best["n"] == 24 and best["maps"] == best["groups"] == 8 and best["readers"] == 3
        assert [best[f"rated_{v}"] for v in range(1, 6)] == np.histogram(ratings(found, item, "grad_cam"), range(1, 7))[0].tolist()
        assert best["mean"] == pytest.approx(ratings(found, item, "grad_cam").mean())
    pairs = found["readers_pairs"]
    assert set(zip(pairs["a"], pairs["b"])) == {("grad_cam", "saliency"), ("grad_cam", "random"), ("saliency", "random")}
    assert (pairs[pairs["a"] == "grad_cam"]["word"] == "a higher").all() and (pairs["drawn"] == "patients and readers").all()
    metrics = found["readers_metrics"].set_index(["item", "metric"])
    assert metrics.loc[("relevance", METRIC), "rho"] > 0.8 and metrics.loc[("relevance", METRIC), "p"] < 0.05
    assert metrics.loc[("relevance", "deletion_auc"), "rho"] == pytest.approx(-metrics.loc[("relevance", METRIC), "rho"])
    assert (metrics["n"] == 16).all()  # without the control


def ratings(found, item, method):
    own = found["readers_ratings"]
    return own[(own["method"] == method) & ~own["again"]][item].to_numpy()


def test_equal_readers_agree_and_so_do_their_repeats(run, made, tmp_path):
    table = read(run, world.answers(made, tmp_path, world.truthful)).tables["readers_agreement"]
    for measure, reader in (("alpha", ""), ("icc_2_1", ""), ("icc_2_k", ""), ("exact", "1"), ("exact", "all"), ("kappa", "all")):
        row = value(table, measure, reader)
        assert row["value"] == pytest.approx(1.0), measure
    assert value(table, "alpha")["low"] == value(table, "alpha")["high"] == pytest.approx(1.0)


def test_random_readers_agree_with_nobody(run, made, tmp_path):
    generator = np.random.default_rng(3)
    found = read(run, world.answers(made, tmp_path, lambda entry, item: generator.integers(1, 6))).tables
    row = value(found["readers_agreement"], "alpha")
    assert abs(row["value"]) < 0.3 and row["low"] < 0.1  # how often the interval holds 0: test_readers_statistics.py
    pairs = found["readers_pairs"]
    assert (pairs["word"] == "not told apart").mean() > 0.8
    assert (found["readers_metrics"]["p"] > 0.05).all()


def test_the_order_of_the_key_and_of_the_answers_does_not_matter(run, made, tmp_path):
    files = world.answers(made, tmp_path, noisy(1))
    first = read(run, files).tables
    key = json.loads(made.key.read_text())
    shuffled = tmp_path / "key.json"
    shuffled.write_text(json.dumps(key | {"entries": key["entries"][::-1]}))
    for path in files:
        content = json.loads(path.read_text())
        path.write_text(json.dumps(content | {"answers": content["answers"][::-1]}))
    second = read(run, files[::-1], key=shuffled).tables
    for name, table in first.items():
        pd.testing.assert_frame_equal(table, second[name])


def test_one_reader_alone_and_constant_ratings_are_said(run, made, tmp_path):
    found = read(run, world.answers(made, tmp_path, lambda entry, item: 3, readers=[2]))
    assert found.unfinished == ("reader 1: no file", "reader 3: no file")
    table = found.tables["readers_agreement"]
    assert np.isnan(value(table, "alpha")["value"]) and value(table, "alpha")["note"].startswith("one reader only")
    assert np.isnan(value(table, "kappa", "2")["value"]) and "all ratings are the same" in value(table, "kappa", "2")["note"]
    assert set(found.tables["readers"]["drawn"]) == {"patients"}
    metrics = found.tables["readers_metrics"]
    assert metrics["rho"].isna().all() and (metrics["note"] == "the ratings are all the same: no correlation").all()
    for table in found.tables.values():  # whatever is missing has its reason
        for column in {"value", "rho", "mean"} & set(table):
            assert (table[table[column].isna()]["note"] != "").all()
    both = read(run, world.answers(made, tmp_path, lambda entry, item: 3)).tables["readers_agreement"]
    assert "all ratings are the same" in value(both, "icc_2_1")["note"] and "the same" in value(both, "alpha")["note"]


def test_unfinished_answers_are_kept_and_said(run, made, tmp_path):
    def rate(entry, item):
        return None if entry["reader"] == 1 and (item == "coherence" or entry["method"] == "saliency") else 4

    found = read(run, world.answers(made, tmp_path, rate))
    kept = sum(e["reader"] == 1 and e["method"] != "saliency" for e in json.loads(made.key.read_text())["entries"])
    assert found.unfinished == (f"reader 1: {3 * kept} of {4 * made.pages} ratings given",)
    means = found.tables["readers"].set_index(["item", "method"])
    assert means.loc[("relevance", "saliency"), ["n", "missing", "readers"]].tolist() == [16, 8, 2]
    assert means.loc[("coherence", "grad_cam"), ["n", "missing"]].tolist() == [16, 8]
    assert value(found.tables["readers_agreement"], "icc_2_1")["maps"] == 16  # rated by all
    assert set(found.tables["readers"]["unfinished"]) == set(found.unfinished)


def test_tables_are_in_the_run_and_as_csv(run, made, tmp_path):
    found = read(run, world.answers(made, tmp_path, noisy(2)), out=tmp_path / "csv")
    for name, table in found.tables.items():
        assert len(run.table(name, world.TASK)) == len(table) == len(pd.read_csv(tmp_path / "csv" / f"{name}.csv"))
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False))["study"] == made.study


def test_few_patients_have_no_test_and_no_interval_of_agreement(tmp_path, patched):
    small = world.run(tmp_path / "run", n=3, methods=("grad_cam", "random"))
    found = read(small, world.answers(world.form(small.folder, patched), tmp_path, noisy(4, 1.2))).tables
    row = value(found["readers_agreement"], "alpha")
    assert np.isfinite(row["value"]) and np.isnan(row["low"]) and row["note"] == "fewer than 5 patients: no interval"
    known = found["readers_metrics"].query("rho == rho")
    assert known["p"].isna().all() and known["note"].str.startswith(("3 patients: too few for a test", "undefined in most draws")).all()
    assert "3 patients: too few for a test" in set(known["note"])


def change(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.fixture
def files(made, tmp_path):
    return world.answers(made, tmp_path, world.truthful)


def refused(run, files, said, kind=InputError, **options):
    with pytest.raises(kind, match=said) as caught:
        read(run, files, **options)
    return str(caught.value)


def test_a_file_that_is_none_is_refused_with_its_name(run, files, tmp_path):
    for text, said in (("not json", "Invalid JSON"), ("[1]", "object"), ("{}", "format: Field required"), ("", "Invalid JSON")):
        files[0].write_text(text)
        assert str(files[0]) in refused(run, files[:1], re.escape(said))
    files[0].write_bytes(b"\xff\xfe\x00broken")
    refused(run, files[:1], "is no file of a reader's answers")
    refused(run, [tmp_path / "nowhere.json"], "no such file")
    refused(run, [], "no answers to read", UsageError)


def test_a_file_that_is_too_large_is_not_read(run, files, monkeypatch):
    monkeypatch.setattr("pellucid.readers.answers.LARGEST", 100)
    refused(run, files, "larger than 100 bytes")


@pytest.mark.parametrize(
    ("rating", "said"), [(6, "answers.0.ratings.relevance: Input should be less than or equal to 5"), (0, "greater than or equal"),
                         (3.5, "valid integer"), ("3", "valid integer"), (True, "valid integer"), (None, "valid integer")],
)  # fmt: skip
def test_a_rating_out_of_range_is_refused_and_the_place_said(run, files, rating, said):
    content = json.loads(files[0].read_text())
    content["answers"][0]["ratings"]["relevance"] = rating
    change(files[0], answers=content["answers"])
    refused(run, files, re.escape(said))


def test_an_unknown_item_key_or_long_comment_is_refused(run, files):
    rows = json.loads(files[0].read_text())["answers"]
    for changed, said in (({"ratings": {"beauty": 3}}, "no item 'beauty'; known: relevance"), ({"extra": 1}, "Extra inputs"),
                          ({"comment": "x" * 2001}, "at most 2000")):  # fmt: skip
        change(files[0], answers=[rows[0] | changed])
        refused(run, files, said)


def test_another_studys_answers_and_keys_are_refused(run, made, files, tmp_path, patched):
    other = world.form(run.folder, patched, seed=6)
    strange = world.answers(other, tmp_path, world.truthful, name="other")
    refused(run, [files[0], strange[1]], "read one study at a time")
    refused(run, files, f"key of study {other.study}, the answers are of study {made.study}", key=other.key)
    change(files[0], study="0" * 12)
    assert made.study in refused(run, files[:1], "no key of study 000000000000", UsageError)


def test_unknown_maps_maps_of_another_reader_and_maps_twice_are_refused(run, files):
    rows = [json.loads(f.read_text())["answers"] for f in files]
    for changed, said in (([rows[0][0] | {"map": "ffffffff"}], "has no map ffffffff"), (rows[1], "was shown to reader 2"),
                          ([rows[0][0], rows[0][0]], "is there twice"), ([], "no map is rated")):  # fmt: skip
        change(files[0], answers=changed)
        refused(run, files[:1], said)


def test_two_files_of_one_reader_are_refused(run, files):
    assert str(files[0]) in refused(run, [files[0], files[0]], "both of reader 1")


def test_a_run_whose_maps_have_changed_is_refused(tmp_path, patched):
    small = world.run(tmp_path / "run", n=2, methods=("grad_cam", "random"))
    files = world.answers(world.form(small.folder, patched), tmp_path, world.truthful)
    case = small.case(world.TASK, "classification-0")
    small.put_maps(world.TASK, case, [a.replace(maps={k: v + 1 for k, v in a.maps.items()})
                                      for a in small.attributions(world.TASK, case.id)])  # fmt: skip
    refused(small, files, "are not those that the readers saw")


def test_a_damaged_key_is_refused(run, made, files, tmp_path):
    broken = tmp_path / "key.json"
    broken.write_text(made.key.read_text()[:200])
    refused(run, files, "is no key of a readers' study", key=broken)
