"""Chunks fit in memory, halve when it runs out, and never change the result."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from contract.families import FAMILIES, explain, gap
from pellucid.core.target import ClassScore
from pellucid.engine import Engine, Problem
from pellucid.engine.memory import Footprint, footprint, is_out_of_memory
from pellucid.errors import ModelError
from pellucid.explain.make import as_explainer, attributions

TARGETS = [ClassScore(0), ClassScore(2)]


class Cramped(nn.Module):
    """Runs out of memory above so many rows; notes how many rows each call had."""

    def __init__(self, inner: nn.Module, rows: int) -> None:
        super().__init__()
        self.inner, self.rows, self.seen = inner, rows, _Seen()

    def forward(self, *inputs: Tensor) -> Tensor:
        self.seen.append(len(inputs[0]))
        if len(inputs[0]) > self.rows:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return self.inner(*inputs)


class _Seen(list):
    def __deepcopy__(self, _memo: object) -> _Seen:
        return self


@pytest.mark.parametrize("rows", [2, 3, 7])
@pytest.mark.parametrize("method", ["occlusion", "smoothgrad", "integrated_gradients", "gradient_shap", "deeplift", "grad_cam"])
def test_halves_until_it_fits(method: str, rows: int) -> None:
    f = FAMILIES["picture"]
    module = f.module()
    cramped = Cramped(module, rows).eval()
    right = explain(method, f.predictor(module), f.cases(), TARGETS)
    rows_got = explain(method, f.predictor(cramped), f.cases(), TARGETS)
    for x, y in zip(right, rows_got):
        for a, b in zip(x, y):
            assert gap(a, b, rounding=1e-6) < 1e-5
            assert a.cost.forwards == b.cost.forwards, "a chunk that failed is not counted twice"
    passed = [n for n in cramped.seen if n <= rows]
    failed = [n for n in cramped.seen if n > rows]
    assert passed
    assert len(failed) <= 7, "once halved, the smaller chunk is kept"


def test_memory_that_runs_out_after_the_backward_pass_adds_nothing_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    f = FAMILIES["two_pictures"]
    right = explain("smoothgrad", f.predictor(), f.cases(), TARGETS)
    real, failures = torch.Tensor.new_zeros, []

    def scarce(self: Tensor, *args: object, **kwargs: object) -> Tensor:
        if len(failures) < 2 and self.ndim >= 4 and len(self) > 4:
            failures.append(1)
            if len(failures) == 2:  # the sums of the first input are there, those of the second are not
                raise torch.OutOfMemoryError("out of memory")
        return real(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(torch.Tensor, "new_zeros", scarce)
    engine = Engine(f.predictor())
    engine._per_item[next(iter([(_shape(f), True, False)]))] = 1  # straight to a large first chunk
    rows = attributions(Problem(engine, f.cases(), TARGETS), as_explainer("smoothgrad"))
    assert len(failures) == 2
    for x, y in zip(right, rows):
        assert max(gap(a, b) for a, b in zip(x, y)) < 1e-5


def _shape(f) -> tuple:
    return tuple((k, s) for k, s in f.shapes.items())


def test_one_input_that_does_not_fit_is_a_clear_error() -> None:
    f = FAMILIES["picture"]
    with pytest.raises(ModelError, match=r"one input does not fit in the memory of cpu; use smaller inputs or precision='bf16'"):
        explain("saliency", f.predictor(Cramped(f.module(), 0).eval()), f.cases(), TARGETS)


def test_memory_errors_are_told_from_others() -> None:
    assert is_out_of_memory(torch.OutOfMemoryError("x"))
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"))
    assert not is_out_of_memory(RuntimeError("shapes do not match"))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_a_budget_bounds_the_rows() -> None:
    """The chunk is the budget over one input's footprint, which is measured, not guessed."""
    f = FAMILIES["picture"]
    module = f.module()
    with footprint(module) as seen, torch.no_grad():
        module(torch.zeros(1, 2, 16, 16))
    # two 4×16×16 maps, one 6×8×8 map twice, the pooled 6 and the head's 3: leaves only
    assert seen.largest == 4 * 16 * 16 * 4
    assert seen.total >= (2 * 4 * 256 + 2 * 6 * 64 + 3) * 4
    per_item = seen.per_item(graph=False)
    roomy = Cramped(module, 10**9).eval()
    explain("occlusion", f.predictor(roomy), f.cases(), TARGETS, memory=10 * per_item)
    assert max(roomy.seen) == 10
    roomy.seen.clear()
    explain("occlusion", f.predictor(roomy), f.cases(), TARGETS, memory=1)
    assert max(roomy.seen) == 1
    roomy.seen.clear()
    explain("occlusion", f.predictor(roomy), f.cases(), TARGETS, chunk=6)
    assert max(roomy.seen) == 6


def test_a_backward_pass_needs_more_than_a_forward_pass() -> None:
    assert Footprint(total=100, largest=20).per_item(graph=True) == 200
    assert Footprint(total=100, largest=20).per_item(graph=False) == 80


def test_the_hooks_that_measure_come_off_even_after_an_error() -> None:
    module = FAMILIES["picture"].module()
    with pytest.raises(RuntimeError), footprint(module):
        module(torch.zeros(1, 3, 16, 16))
    assert all(not m._forward_hooks for m in module.modules())
