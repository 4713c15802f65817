"""What is held during the gradient of a volume in windows, counted tensor by tensor; and what is said when it is too much."""

from __future__ import annotations

import weakref

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pellucid.core.target import RegionScore
from pellucid.engine import Engine, Problem
from pellucid.engine.seeds import BoundSeeds
from pellucid.errors import ModelError
from windowed import case, network, predictor

WIDE = 64


class Live(TorchDispatchMode):
    """The most bytes of storage that were alive at once, of tensors made inside; ``given`` were there before."""

    def __init__(self, given: list[torch.Tensor]) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.known = {t.untyped_storage()._cdata for t in given}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for value in tree_leaves(out):
            if isinstance(value, torch.Tensor):
                storage = value.untyped_storage()
                if (key := storage._cdata) not in self.known:
                    self.known.add(key)
                    self.now += storage.nbytes()
                    self.peak = max(self.peak, self.now)
                    weakref.finalize(storage, self._gone, key, storage.nbytes())
        return out

    def _gone(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.now -= size


def slab_peak(length: int, classes: int) -> int:
    """Live bytes while all classes' gradients pass by, beside the volume, Σ w and the regions themselves."""
    p = predictor(2, classes, module=network(2, classes, width=WIDE), roi=(16, 16))
    engine = Engine(p, chunk=1)
    problem = Problem(engine, [case(length, 24)], [RegionScore(k) for k in range(classes)])
    problem.bind()
    bound = problem.objective.bound[0]
    assert all(b.weight.dtype == torch.bool and bool(b.weight.any()) for b in bound)
    volume = problem.inputs["x"]
    with Live([volume, engine.plan(problem.clean.shape).total, *(b.weight for b in bound)]) as live:
        for slab in engine.slabs(problem.inputs, BoundSeeds(bound)):
            del slab
    return live.peak


def test_slabs_hold_one_windows_graph_whatever_the_volume() -> None:
    few, many, long = slab_peak(40, 2), slab_peak(40, 20), slab_peak(160, 20)
    layer = 16**2 * 4 * WIDE  # bytes of one hidden layer of one window
    assert few > 3 * layer  # the network's graph is what counts: three layers are kept for it
    assert long < 1.01 * many  # nothing grows with the volume
    assert many - few < 18 * 4 * (3 * 16**2 + 4 * 16 * 24)  # a class: its logits, and some open planes of one number
    assert many < 1.5 * few


class Greedy(nn.Module):
    """Runs out of memory above a size of its input, and takes even sizes alone."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most, self.net = most, network(3)

    def forward(self, x):
        if x[0].numel() > self.most:
            raise torch.OutOfMemoryError("out of memory")
        if x.shape[2] % 2:
            raise RuntimeError("sizes must be even")
        return self.net(x)


@pytest.mark.parametrize("gradient", [False, True])
def test_a_window_that_does_not_fit_says_which_would(gradient: bool) -> None:
    p = predictor(3, module=Greedy(6**3).eval(), roi=(12, 12, 12))
    problem = Problem(Engine(p), [case(14, 12, 12)], [RegionScore(1)])
    with pytest.raises(ModelError, match=r"one window of \(12, 12, 12\).*does not fit.*; roi=\(6, 6, 6\) ran: give pc.windows"):
        _ = problem.gradient if gradient else problem.scores
    assert Problem(Engine(predictor(3, module=Greedy(6**3).eval())), [case(8, 6, 6)], [RegionScore(1)]).gradient
    # two thirds and three quarters are too large, a third is odd: found by trying
    p = predictor(3, module=Greedy(5**3).eval(), roi=(12, 12, 12))
    with pytest.raises(ModelError, match=r"roi=\(4, 4, 4\) ran"):
        Engine(p).predict([case(14, 12, 12)])
    p = predictor(3, module=Greedy(0).eval(), roi=(12, 12, 12))
    with pytest.raises(ModelError, match=r"nor does any smaller one that was tried; use precision='bf16'"):
        Engine(p).predict([case(14, 12, 12)])


def test_memory_that_runs_out_in_a_chunk_makes_it_smaller() -> None:
    class OneAtATime(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = network(3)

        def forward(self, x):
            if len(x) > 2:
                raise torch.OutOfMemoryError("out of memory")
            return self.net(x)

    c, free, tight = case(9, 8, 7), predictor(3), predictor(3, module=OneAtATime().eval())
    targets = [RegionScore(1), RegionScore(2)]
    wanted = Problem(Engine(free), [c], targets).gradient
    found = Problem(Engine(tight), [c], targets).gradient
    torch.testing.assert_close(found.sums["x"], wanted.sums["x"], rtol=1e-5, atol=1e-6)
