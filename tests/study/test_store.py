"""The run folder keeps what it is given, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from pellucid.core.attribution import Attribution
from pellucid.core.case import Case
from pellucid.core.cost import Cost
from pellucid.core.verdict import Verdict
from pellucid.errors import InputError, UsageError
from pellucid.refine.segx import segx
from pellucid.study.stages.explain import verdict_rows
from pellucid.study.store import Run

AFFINE = np.array([[0, -0.9, 0.1, 10.0], [0.8, 0, 0, -20], [0, 0.1, 3.0, 5], [0, 0, 0, 1]])


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.create(tmp_path / "run", {"name": "x", "recipe": {"tasks": [{"name": "t"}, {"name": "u"}]}})


def attribution(case: Case, method: str = "saliency", *, index: int = 1) -> Attribution:
    return Attribution(
        maps={"ct": torch.randn(1, 4, 5, 6), "a/b": torch.randn(3)}, method=method, case_id=case.id,
        target={"kind": "class", "k": index, "on": "logit", "index": index, "label": "malignant"}, score=1.25,
        checks={"finite": Verdict("finite", "pass", "fine", 1.0, 1.0),
                "stable": Verdict("stable", "not tested", "not asked for")},
        flags=("flat",), provenance={"method": method, "parameters": {"window": (2, 3)}, "seed": 7},
        cost=Cost(3, 2, 0.5, None), notes={"nodes": 24}, spacing=case.spacing, geometry=case.geometry, image_axes=3,
    )  # fmt: skip


def volume(name: str = "p/1 ä") -> Case:
    return Case(
        id=name, inputs={"ct": torch.randn(1, 4, 5, 6), "a/b": torch.randn(3)},
        regions={"lesion": torch.rand(4, 5, 6) > 0.5, "organs": torch.randint(0, 4, (4, 5, 6))},
        truth=torch.randint(0, 2, (4, 5, 6)), affine=AFFINE, group="secret", meta={"window": (-100, 200), "age": 70},
    )  # fmt: skip


def test_case_and_maps_come_back_as_they_were(run: Run) -> None:
    case = volume()
    maps = [attribution(case), attribution(case, "random")]
    run.put_maps("t", case, maps, torch.tensor([0.2, 0.8]))
    run.put_part("verdicts", "t", case.id, verdict_rows(maps))
    run.merge("verdicts", "t")
    assert run.cases("t") == [case.id]
    back = run.case("t", case.id)
    for name, value in case.inputs.items():
        assert torch.equal(back.inputs[name], value)
    assert torch.equal(back.regions["organs"], case.regions["organs"])
    assert back.regions["lesion"].dtype == torch.bool
    assert torch.equal(back.truth, case.truth)
    assert back.spacing == pytest.approx(case.spacing)
    assert np.allclose(back.geometry.source_affine, AFFINE)
    assert back.missing == ()
    assert "age" not in back.meta  # facts about the patient stay in the table
    assert tuple(back.meta["window"]) == (-100, 200)
    assert list(back.inputs) == list(case.inputs)
    assert list(back.regions) == list(case.regions)
    for a, b in zip(maps, run.attributions("t", case.id)):
        assert list(a.maps) == list(b.maps)
        assert torch.equal(a.maps["ct"], b.maps["ct"])
        assert torch.equal(a.maps["a/b"], b.maps["a/b"])
        assert (b.method, b.score, b.flags, b.notes["nodes"]) == (a.method, a.score, a.flags, 24)
        assert b.checks == a.checks
        assert b.cost == a.cost
        assert b.provenance["parameters"] == {"window": [2, 3]}
    assert torch.equal(run.prediction("t", case.id), torch.tensor([0.2, 0.8]))


def test_a_refined_map_comes_back_with_what_it_was_made_from(run: Run) -> None:
    case = volume("c")
    base, other = attribution(case), attribution(case, "random")
    mask = case.regions["lesion"]
    masked = segx(base, mask, margin=0.5)
    empty = segx(other, torch.zeros_like(mask), label="of nothing")
    alone = segx(attribution(case, "edge"), torch.rand(4, 5, 6), soft=True)  # what it was made from is not in the run
    run.put_maps("t", case, [base, other, masked, empty, alone])
    back = run.attributions("t", "c")
    assert [a.method for a in back] == ["saliency", "random", "segx(saliency)", "of nothing(random)", "segx(edge)"]
    assert back[0].refinement is None
    for a, b in zip((masked, empty, alone), back[2:]):
        assert _equal(a.refinement, b.refinement)
        assert _equal(a.maps, b.maps)
        assert a.flags == b.flags
    group = run._group("t", "c")
    assert len(list(group["refined/2"].array_keys())) == 2  # mask and top; the unmasked maps are those of place 0
    assert len(list(group["refined/4"].array_keys())) == 4
    run.put_maps("t", case, back)
    assert all(_equal(a.refinement, b.refinement) for a, b in zip(back, run.attributions("t", "c")))


def _equal(a: object, b: object) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(_equal(a[k], b[k]) for k in a)
    return a == b or (a != a and b != b)  # NaN


def test_writing_a_case_again_replaces_it(run: Run) -> None:
    case = volume("c")
    run.put_maps("t", case, [attribution(case), attribution(case, "edge")])
    run.put_maps("t", case, [attribution(case)])
    assert [a.method for a in run.attributions("t", "c")] == ["saliency"]


def test_tables_keep_the_rows_of_other_tasks(run: Run) -> None:
    run.put_table("scores", "t", pd.DataFrame({"case": ["a"], "value": [1.0]}))
    run.put_table("scores", "u", pd.DataFrame({"case": ["b"], "value": [2.0]}))
    run.put_table("scores", "t", pd.DataFrame({"case": ["c"], "value": [3.0]}))
    assert sorted(run.table("scores")["case"]) == ["b", "c"]
    assert run.table("scores", "u")["value"].tolist() == [2.0]
    assert run.table("history").empty


def test_parts_are_merged_once_however_often(run: Run) -> None:
    for item, value in (("a", 1.0), ("b", 2.0), ("a", 5.0)):
        run.put_part("scores", "t", item, pd.DataFrame({"case": [item], "value": [value]}))
    run.merge("scores", "t")
    run.merge("scores", "t")
    assert sorted(run.table("scores")["value"]) == [2.0, 5.0]


def test_a_write_that_fails_leaves_the_old_table(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.put_table("scores", "t", pd.DataFrame({"case": ["a"], "value": [1.0]}))

    def full(_self: pd.DataFrame, path: Path, **_: object) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_parquet", full)
    with pytest.raises(InputError, match="No space left"):
        run.put_table("scores", "t", pd.DataFrame({"case": ["b"], "value": [2.0]}))
    monkeypatch.undo()
    assert run.table("scores")["case"].tolist() == ["a"]
    assert not [p for p in run.folder.iterdir() if p.name.startswith(".")]


def test_ledger(run: Run) -> None:
    run.ledger.record("t", "explain", "a", "done", seconds=1.0)
    run.ledger.record("t", "explain", "b", "failed", error="NaN")
    run.ledger.record("t", "explain", "b", "done")
    assert run.ledger.state("t", "explain", "b") == "done"
    assert run.ledger.state("t", "explain") is None
    run.ledger.forget("t", "explain")
    assert run.ledger.rows().empty


def test_what_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no run\.json"):
        Run(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(InputError, match="damaged"):
        Run(tmp_path)
    (tmp_path / "run.json").write_text('{"format": 99}')
    with pytest.raises(InputError, match="format 99"):
        Run(tmp_path)


def test_unknown_case(run: Run) -> None:
    with pytest.raises(UsageError, match="no maps of case 'zz'"):
        run.case("t", "zz")


def test_the_verdicts_are_read_once_for_all_cases_and_anew_when_they_change(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = [volume(f"p{i}") for i in range(3)]
    for case in cases:
        maps = [attribution(case), attribution(case, index=0)]
        run.put_maps("t", case, maps)
        run.put_part("verdicts", "t", case.id, verdict_rows(maps))
    run.merge("verdicts", "t")
    reads: list[str] = []
    real = pd.read_parquet

    def counted(path: Path) -> pd.DataFrame:
        reads.append(path.name)
        return real(path)

    monkeypatch.setattr(pd, "read_parquet", counted)
    assert [len(run.attributions("t", c.id)[0].checks) for c in cases] == [2, 2, 2]
    assert reads == ["verdicts.parquet"]
    assert [run.explained("t", c.id) for c in cases] == [{0, 1}] * 3
    assert torch.equal(run.regions("t", "p0")["lesion"], cases[0].regions["lesion"])
    assert reads == ["verdicts.parquet"]
    run.put_table("verdicts", "t", verdict_rows([attribution(cases[0])]).head(1))
    assert [len(run.attributions("t", c.id)[0].checks) for c in cases] == [1, 0, 0]


def test_what_a_case_lacks_comes_back(run: Run) -> None:
    case = volume()
    case = case.replace(inputs={**case.inputs, "a/b": torch.zeros(3)}, missing=("a/b",))
    run.put_maps("t", case, [attribution(case)])
    assert run.case("t", case.id).missing == ("a/b",)
