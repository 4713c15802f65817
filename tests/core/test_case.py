"""A case holds together, or says what does not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pellucid.core.case import Case, check_unique
from pellucid.errors import InputError, PellucidError

CT = torch.zeros(1, 8, 6)


def test_inputs_become_float32_tensors_on_the_cpu() -> None:
    case = Case(id=7, inputs={"ct": np.zeros((1, 8, 6), np.uint8), "ehr": np.array([1, 2], np.int64)})  # type: ignore[arg-type]
    assert case.id == case.group == "7"
    assert {v.dtype for v in case.inputs.values()} == {torch.float32}
    assert (case.images, case.tables, case.spatial) == (("ct",), ("ehr",), (8, 6))
    assert Case(id="t", inputs={"ehr": [1.0]}).spatial == ()


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "case p1: no inputs; give at least one picture or table"),
        ({"ct": torch.zeros(8, 6)}, r"case p1: input 'ct' has shape \(8, 6\); a picture needs its channel axis first.*value\[None\]"),
        ({"ct": torch.tensor(1.0)}, r"case p1: input 'ct' has shape \(\); a picture is \(C, \*spatial\), a table \(F,\)"),
        ({"ct": torch.zeros(1, 0, 4)}, r"case p1: input 'ct' has shape \(1, 0, 4\)"),
        ({"ct": torch.tensor([1.0, float("nan"), float("inf")])}, "case p1: input 'ct' has 2 values that are NaN or infinite; replace"),
        ({"ct": torch.zeros(1, 4, 4, dtype=torch.complex64)}, "case p1: input 'ct' is complex; take its magnitude"),
        ({"ct": np.array(["a", "b"])}, "case p1: input 'ct' is not an array of numbers"),
        ({"ct": [[1.0], [1.0, 2.0]]}, "case p1: input 'ct' is not an array of numbers"),
    ],
)
def test_inputs_that_cannot_be_used(inputs: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Case(id="p1", inputs=inputs)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (torch.zeros(4, 6), r"case p1: mask 'lesion' is \(4, 6\), the image is \(8, 6\); resample it"),
        (torch.full((8, 6), 0.5), r"case p1: mask 'lesion' has fractional values; threshold it first \(mask > 0.5\)"),
        (torch.full((8, 6), float("nan")), "case p1: mask 'lesion' is not finite"),
        (torch.zeros(3, 8, 6), r"case p1: mask 'lesion' is \(3, 8, 6\), the image is \(8, 6\)"),
    ],
)
def test_masks_that_do_not_fit(mask: torch.Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Case(id="p1", inputs={"ct": CT}, regions={"lesion": mask})


def test_regions() -> None:
    labels = torch.zeros(8, 6, dtype=torch.int16)
    labels[:2], labels[2:4] = 1, 5
    case = Case(id="p1", inputs={"ct": CT}, regions={"organs": labels, "whole": torch.ones(1, 8, 6), "sure": labels == 5})
    assert int(case.region("organs").sum()) == 24
    assert int(case.region("organs", 5).sum()) == int(case.region("sure").sum()) == 12
    assert case.region("whole").shape == (8, 6)
    with pytest.raises(InputError, match=r"case p1: no region 'lesion' \(it has: organs, whole, sure\); pass it in Case\(regions=…\)"):
        case.region("lesion")


@pytest.mark.parametrize(
    ("truth", "wanted"), [(None, None), (True, 1), (np.int64(2), 2), (0.25, 0.25), (np.float32(0.5), 0.5), (torch.tensor(3), 3)]
)
def test_truth_of_one_value(truth: object, wanted: object) -> None:
    assert Case(id="p1", inputs={"ct": CT}, truth=truth).truth == wanted


def test_truth_of_many_values() -> None:
    assert Case(id="p1", inputs={"ct": CT}, truth=[0, 1, 1]).truth.tolist() == [0, 1, 1]
    mask = Case(id="p1", inputs={"ct": CT}, truth=np.ones((8, 6), bool)).truth
    assert mask.dtype == torch.int64
    assert int(mask.sum()) == 48


@pytest.mark.parametrize(
    ("truth", "message"),
    [
        (float("nan"), r"case p1: truth is nan; leave it out \(None\)"),
        ([1.0, float("nan")], "case p1: truth has NaN among its labels"),
        (np.zeros((4, 4)), r"case p1: mask 'truth' is \(4, 4\), the image is \(8, 6\)"),
    ],
)
def test_truth_that_cannot_be_used(truth: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Case(id="p1", inputs={"ct": CT}, truth=truth)


@pytest.mark.parametrize("spacing", [(1.0,), (1.0, 1.0, 1.0), (1.0, 0.0), (1.0, float("nan")), (-1.0, 1.0)])
def test_spacing_has_one_positive_length_for_each_axis(spacing: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match=r"case p1: spacing .* does not fit 2 spatial axes; give one positive number of millimetres"):
        Case(id="p1", inputs={"ct": CT}, spacing=spacing)


def test_a_volume_takes_its_spacing_from_its_affine() -> None:
    affine = np.diag([2.0, -1.5, 3.0, 1.0])
    case = Case(id="p1", inputs={"ct": torch.zeros(1, 4, 5, 6)}, affine=affine)
    assert case.spacing == (2.0, 1.5, 3.0)
    assert case.geometry is not None
    assert case.geometry.orientation == "RPS"
    with pytest.raises(InputError, match=r"case p1: the geometry is that of a \(4, 5, 6\) volume, the input is \(4, 5, 5\)"):
        Case(id="p1", inputs={"ct": torch.zeros(1, 4, 5, 5)}, geometry=case.geometry)


def test_replace_checks_again_and_leaves_the_first_alone() -> None:
    case = Case(id="p1", inputs={"ct": CT}, truth=1)
    assert case.replace(truth=0).truth == 0
    assert case.truth == 1
    with pytest.raises(InputError):
        case.replace(inputs={})


def test_ids_are_unique() -> None:
    cases = [Case(id=i, inputs={"ct": CT}) for i in ("a", "b", "a")]
    with pytest.raises(InputError, match="case a: the id occurs twice"):
        check_unique(cases)
    check_unique(cases[:2])


def test_errors_say_what_the_command_line_returns() -> None:
    from pellucid.errors import ModelError, UsageError, nearest, unknown

    assert (UsageError("").exit_status, InputError("").exit_status, ModelError("").exit_status) == (2, 3, 3)
    assert all(issubclass(e, PellucidError) for e in (UsageError, InputError, ModelError))
    assert issubclass(UsageError, ValueError)
    assert nearest("x", []) == "known: none"
    assert str(unknown("method", "oclusion", ["occlusion", "edge"])) == "unknown method 'oclusion'; did you mean 'occlusion'?"
    assert str(unknown("method", "zzz", ["b", "a"])) == "unknown method 'zzz'; known: a, b"


def test_a_missing_input_is_named_and_its_place_is_held_by_zeros() -> None:
    case = Case(id="p1", inputs={"ct": CT + 1, "ehr": torch.zeros(3), "t1": CT}, missing=("t1", "ehr"))
    assert case.missing == ("ehr", "t1")  # in the order of the inputs
    assert case.replace(truth=1).missing == ("ehr", "t1")
    assert Case(id="p1", inputs={"ct": CT}).missing == ()


@pytest.mark.parametrize(
    ("inputs", "missing", "message"),
    [
        ({"ct": CT}, ("t1",), r"case p1: input 't1' is said to be missing, and there is none of this name \(ct\); put zeros"),
        ({"ct": CT, "t1": CT + 1}, ("t1",), "case p1: input 't1' is said to be missing, and has values; give zeros"),
        ({"ct": CT, "t1": CT}, ("t1", "ct"), r"case p1: all its inputs are missing \(t1, ct\); leave the case out"),
    ],
)
def test_missing_inputs_that_cannot_be(inputs: dict, missing: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Case(id="p1", inputs=inputs, missing=missing)


def test_a_picture_is_checked_without_another_of_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a hundred thousand pictures the memory of the booleans that told what is finite would not come back."""
    seen, real = [], torch.isfinite
    monkeypatch.setattr(torch, "isfinite", lambda x: seen.append(x.numel()) or real(x))
    Case(id="p", inputs={"ct": torch.rand(1, 32, 32)})
    assert set(seen) == {1}, "the extremes alone"
    with pytest.raises(InputError, match="has 2 values that are NaN or infinite"):
        Case(id="p", inputs={"ct": torch.tensor([[[0.0, float("nan"), float("-inf")]]])})
