"""RISE: its masks, its two estimators, its scale, its error."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from contract.families import FAMILIES, explain
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.core.target import ClassScore, Score
from pellucid.engine import Engine, Problem
from pellucid.errors import UsageError
from pellucid.explain.perturbation.rise import Rise, default_grid
from pellucid.explain.perturbation.soft_masks import SoftMasks
from reference import masks as slow

F = FAMILIES["picture"]
K = 2


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("shape", "grid"), [((9, 7), (3, 2)), ((5, 4, 6), (2, 1, 3)), ((6, 6), (6, 6))])
def test_masks_are_interpolated_linearly(shape, grid) -> None:
    masks = SoftMasks.draw(5, shape, grid, 0.5, generator())
    made = masks(torch.tensor([4, 1]), torch.zeros(1, dtype=torch.float64))
    assert made.shape == (2, *shape)
    for row, i in zip(made, (4, 1)):
        literal = slow.soft_mask(masks.cells[i].double().numpy(), masks.shift[i].tolist(), shape)
        assert np.allclose(row.numpy(), literal, atol=1e-6)
        assert float(row.std()) > 0


def test_a_mask_is_the_same_up_to_the_border() -> None:
    """Mean p, variance p (1 − p) (2/3)² in corners as in the middle: a border is not tested less, nor more."""
    masks = SoftMasks.draw(40_000, (12, 12), (4, 4), 0.3, generator())
    made = masks(torch.arange(40_000), torch.zeros(1))
    assert float((made.mean(0) - 0.3).abs().max()) < 0.01
    variance = made.var(0) / (0.3 * 0.7)
    assert float((variance - 4 / 9).abs().max()) < 0.02


def literal(family: str, method: Rise, seed: int) -> None:
    f = FAMILIES[family]
    net, (case,) = f.module().double(), f.cases(1)
    ((name, x),) = ((k, v.double()) for k, v in case.inputs.items())
    ((a,),) = explain(method, f.predictor(net), [case], [ClassScore(K)], precision="float64", seed=seed)
    problem = Problem(Engine(f.predictor(net), precision="float64"), [case], [ClassScore(K)], seed=seed)
    shape = tuple(x.shape[1:])
    grid = method.grid if isinstance(method.grid, tuple) else (method.grid,) * len(shape)
    drawn = SoftMasks.draw(method.samples, shape, grid, method.p, problem.generator(0, f"rise {name}"))
    masks = [slow.soft_mask(c.numpy().astype(float), s.tolist(), shape) for c, s in zip(drawn.cells, drawn.shift)]

    def run(v: np.ndarray) -> float:
        with torch.no_grad():
            return float(net(torch.as_tensor(v)[None])[0, K])

    fill = np.broadcast_to(x.numpy().mean(tuple(range(1, x.ndim)), keepdims=True), x.shape)
    scores = slow.scores(run, x.numpy(), fill, masks)
    wanted = (slow.centred if method.centred else slow.original)(scores, masks, method.p)
    assert np.allclose(a.maps[name].numpy(), wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max())
    assert a.cost.forwards == method.samples + 1


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("p", [0.5, 0.2])
def test_both_estimators_are_their_literal_twins(centred: bool, p: float) -> None:
    literal("picture", Rise(samples=30, grid=3, p=p, centred=centred, force=True), 3)


def test_three_dimensions() -> None:
    literal("volume", Rise(samples=20, grid=(2, 3, 2), force=True), 1)


class Sum(nn.Module):
    """``Σ w x`` over a picture, plus 3 times the first column of a table."""

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        w = torch.zeros_like(x[0])
        w[0, :16, :16] = 1 / 16
        return ((x * w).flatten(1).sum(1) + 3 * t[:, 0])[:, None] + 100


def sums(**options: object) -> tuple:
    p = Predictor(Sum().eval(), inputs=["x", "t"], task="regression")
    case = Case(id="1", inputs={"x": torch.ones(1, 32, 32), "t": torch.ones(2)})
    return p, case, explain(Rise(fill="zero", **options), p, [case], [Score(0)])[0][0]  # type: ignore[arg-type]


def test_a_cell_and_a_column_stand_on_one_scale() -> None:
    """A cell of 4² pixels of 1/16 is worth 1 in the middle of a patch of 4² cells, a column of worth 3 is 3."""
    _, _, a = sums(samples=20_000, grid=8)
    error = 6 * a.notes["standard_error"]
    assert a.maps["t"].tolist() == pytest.approx([3, 0], abs=error)
    assert float(a.maps["x"][8, 8]) == pytest.approx(1, abs=error)
    assert float(a.maps["x"][28, 28]) == pytest.approx(0, abs=error)
    assert error < 0.3


def test_the_two_estimators_are_one_map_and_the_centred_one_has_less_noise() -> None:
    """On average, original = mean score + (1 − p) · centred."""
    _, _, a = sums(samples=4000, grid=8, p=0.4)
    _, _, b = sums(samples=4000, grid=8, p=0.4, centred=False)
    mean_score = 100 + 0.4 * (16 + 3)
    error = 6 * b.notes["standard_error"]
    assert float((b.maps["x"] - mean_score - 0.6 * a.maps["x"]).abs().max()) < error
    assert b.notes["standard_error"] > 5 * a.notes["standard_error"]  # the score's size adds noise to it
    assert a.flags == ()


def test_the_standard_error_is_the_spread_over_seeds() -> None:
    p, cases = F.predictor(), F.cases(1)
    runs = [explain(Rise(samples=400, force=True), p, cases, [ClassScore(K)], seed=s)[0][0] for s in range(40)]
    spread = torch.stack([a.maps["x"] for a in runs]).var(0).mean() ** 0.5
    said = sum(a.notes["standard_error"] ** 2 for a in runs) ** 0.5 / 40**0.5
    assert said == pytest.approx(float(spread), rel=0.2)


def test_few_masks_are_said_to_be_few() -> None:
    a = explain(Rise(samples=8, force=True), F.predictor(), F.cases(1), [ClassScore(K)])[0][0]
    assert "uncertain" in a.flags
    assert a.notes["relative_error"] > 0.5
    usual = explain("rise", F.predictor(), F.cases(1), [ClassScore(K)])[0][0]
    assert usual.notes["relative_error"] < a.notes["relative_error"]


def test_the_default_grid() -> None:
    assert default_grid((224, 224), None) == (7, 7)
    assert default_grid((224, 448), (1.0, 1.0)) == (4, 7)
    assert default_grid((30, 512, 512), (5.0, 0.7, 0.7)) == (2, 4, 4)
    assert default_grid((16, 16), None) == (4, 4)


def test_masks_never_lie_in_memory_all_at_once() -> None:
    masks = SoftMasks.draw(2000, (512, 512), (7, 7), 0.5, generator())
    assert masks.cells.numel() * masks.cells.element_size() == 2000 * 81
    assert masks.cells.dtype == torch.bool


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"p": 0.0}, "p=0.0: give a probability between 0 and 1, both excluded"),
        ({"p": 1.0}, "p=1.0: give a probability"),
        ({"p": float("nan")}, "p=nan: give a probability"),
        ({"samples": 3}, "samples=3: give 4 or more"),
        ({"grid": 0}, "grid=0: give 1 cell or more"),
        ({"grid": 17}, r"grid \(17, 17\) is finer than input 'x' \(16, 16\); give at most 16 cells along an axis"),
        ({"grid": (2, 2, 2)}, r"grid=\(2, 2, 2\) has 3 axes, input 'x' has 2"),
        ({"grid": 7, "samples": 255}, "case c0: 255 masks for 64 cells are too few.*give samples=256 or more, a coarser grid"),
        ({"fill": float("nan")}, "fill value nan: give a finite number"),
        ({"fill": "blurr"}, "unknown fill 'blurr'; did you mean 'blur'"),
    ],
)
def test_bad_options(options: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        explain(Rise(**options), F.predictor(), F.cases(1), F.targets)
