"""LIME: the regression that it says it is, and how well that fits."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from captum._utils.models.linear_model import SkLearnLinearModel
from captum.attr import LimeBase
from sklearn.linear_model import Ridge

from contract.families import FAMILIES, explain
from game_models import ORGANS, Twists, predictor, study
from pellucid.core.case import Case
from pellucid.core.fill import Fill
from pellucid.core.predictor import Predictor
from pellucid.core.region import partition
from pellucid.core.target import Score
from pellucid.engine import Engine, Game, Problem
from pellucid.errors import UsageError
from pellucid.explain.perturbation.lime import Lime, explained

T = [Score(0), Score(1)]


def design(players: int, count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Coalitions and the changes of a twisted model on them."""
    sets = torch.rand(count, players, generator=torch.Generator().manual_seed(seed)) < 0.5
    net = Twists(players).double()
    return sets, net(sets.double()) - net(torch.ones(1, players).double())


def whole(sets: torch.Tensor, change: torch.Tensor, lime: Lime) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The design with the case itself in front, and the weights written out."""
    z = np.vstack([np.ones(sets.shape[1]), sets.numpy()])
    y = np.vstack([np.zeros(change.shape[1]), change.numpy()])
    cosine = z.sum(1) / np.sqrt(np.maximum(z.sum(1), 1e-300) * z.shape[1])
    return z, y, np.exp(-((1 - cosine) ** 2) / (2 * lime.kernel_width**2))


@pytest.mark.parametrize("alpha", [0.0, 1.0, 30.0])
def test_the_surrogate_is_scikit_learns_ridge(alpha: float) -> None:
    lime = Lime(alpha=alpha, kernel_width=0.4)
    sets, change = design(9, 80)
    got, weight, values = lime.surrogate(sets, change)
    z, y, w = whole(sets, change, lime)
    np.testing.assert_allclose(weight, w, rtol=1e-12)
    for t in range(2):
        ridge = Ridge(alpha=alpha).fit(z, y[:, t], sample_weight=w)
        np.testing.assert_allclose(got.values[1:, t], ridge.coef_, rtol=1e-8)
        assert float(explained(got.residual, values, weight)[t]) == pytest.approx(ridge.score(z, y[:, t], w))


def test_held_out_is_what_refitting_without_the_row_predicts() -> None:
    lime = Lime()
    sets, change = design(6, 40)
    got, _, _ = lime.surrogate(sets, change)
    z, y, w = whole(sets, change, lime)
    for i in range(len(z)):
        others = np.arange(len(z)) != i
        ridge = Ridge(alpha=lime.alpha).fit(z[others], y[others], sample_weight=w[others])
        np.testing.assert_allclose(got.held_out[i], y[i] - ridge.predict(z[i : i + 1])[0], rtol=1e-8)


def test_captums_lime_on_the_same_coalitions() -> None:
    lime = Lime(alpha=0.7)
    sets, change = design(8, 60)
    got, _, _ = lime.surrogate(sets, change)
    z, _, w = whole(sets, change, lime)
    rows, net = iter(z), Twists(8).double()
    weight = {tuple(r): v for r, v in zip(z, w)}
    captum = LimeBase(
        lambda x: net(x)[:, 0],
        SkLearnLinearModel("linear_model.Ridge", alpha=0.7),
        similarity_func=lambda _x, _p, sample, **_: weight[tuple(sample[0].tolist())],
        perturb_func=lambda _x, **_: torch.from_numpy(next(rows))[None],
        perturb_interpretable_space=True,
        from_interp_rep_transform=lambda sample, _x, **_: sample,
        to_interp_rep_transform=None,
    )
    theirs = captum.attribute(torch.ones(1, 8, dtype=torch.float64), n_samples=len(z))
    torch.testing.assert_close(theirs[0].double(), got.values[1:, 0], rtol=1e-4, atol=1e-5)  # Captum fits in float32


class Linear(torch.nn.Module):
    """A weight for every pixel and column."""

    def __init__(self) -> None:
        super().__init__()
        g = torch.Generator().manual_seed(3)
        self.register_buffer("image", torch.randn(2, 64, generator=g))
        self.register_buffer("table", torch.randn(2, 3, generator=g))

    def forward(self, image: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
        return image.flatten(1) @ self.image.T + table @ self.table.T + 5


@pytest.mark.parametrize("groups", ["organs", "superpixels", "cubes"])
def test_a_linear_model_is_found_as_alpha_goes_to_zero(groups: str) -> None:
    """The coefficient of a feature is the sum of its weights times what it has over the fill."""
    case, module = study(), Linear()
    normalise = {"table": (torch.full((3,), 0.25), torch.ones(3))}
    p = Predictor(module.eval(), inputs=["image", "table"], task="regression", normalise=normalise)
    rows = {alpha: explain(Lime(groups=groups, segments=12, alpha=alpha, fill=0.5), p, [case], T, precision="float64")[0] for alpha in (0.0, 1e-3, 10.0)}
    parts = partition(case, ("image", "table"), groups, segments=12)
    for t in range(2):
        pixel = module.image[t].view(8, 8) * (case.inputs["image"][0] - 0.5)
        column = module.table[t] * (case.inputs["table"] - 0.25)
        for alpha, tolerance in ((0.0, 1e-5), (1e-3, 1e-3)):
            a = rows[alpha][t]
            for i in parts.labels["image"].unique().tolist():
                where = parts.labels["image"] == i
                assert float(a.maps["image"][where].sum()) == pytest.approx(float(pixel[where].sum()), rel=tolerance, abs=tolerance)
            torch.testing.assert_close(a.maps["table"], column, rtol=tolerance, atol=tolerance)
            assert a.notes["r2"] == pytest.approx(1, abs=1e-5)
            assert a.notes["r2_held_out"] == pytest.approx(1, abs=1e-5)
            assert "surrogate_does_not_fit" not in a.flags
        shrunk = [float(sum(m.abs().sum() for m in rows[alpha][t].maps.values())) for alpha in (10.0, 0.0)]
        assert shrunk[0] < 0.9 * shrunk[1]


class Product(torch.nn.Module):
    """Nothing adds up here: the product of the signs of the cells, and beside it their sum."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = torch.nn.functional.avg_pool2d(x, 2).flatten(1)
        return torch.stack([(1 - 2 * z).prod(1), z.sum(1)], 1)


def test_a_surrogate_that_does_not_fit_is_named() -> None:
    case = Case(id="1", inputs={"x": torch.ones(1, 8, 8)})
    p = Predictor(Product().eval(), inputs=["x"], task="regression")
    ((parity, total),) = explain(Lime(groups="cubes", segments=16, fill="zero"), p, [case], T)
    assert "surrogate_does_not_fit" in parity.flags
    assert parity.notes["r2_held_out"] < parity.notes["r2"]
    assert parity.notes["r2_held_out"] < 0.1
    assert "surrogate_does_not_fit" not in total.flags


def test_few_features_are_enumerated() -> None:
    f = FAMILIES["picture_and_table"]
    rows = [explain(Lime(groups="modality"), f.predictor(), f.cases(1), f.targets, seed=s)[0][0] for s in (0, 1)]
    assert rows[0].notes["evaluations"] == 3
    assert rows[0].notes["standard_error_max"] == 0
    assert all(torch.equal(rows[0].maps[k], rows[1].maps[k]) for k in rows[0].maps)


def test_the_standard_error_is_the_error() -> None:
    """Against the coefficients of all coalitions, over seeds."""
    lime, players = Lime(alpha=0.0), 10
    everything = (torch.arange(2**players)[:, None] >> torch.arange(players)) % 2 == 1
    net = Twists(players).double()
    base = net(torch.ones(1, players).double())
    exact = lime.surrogate(everything, net(everything.double()) - base)[0].values[1:]
    found, said = [], []
    for seed in range(80):
        sets, change = design(players, 6 * players, seed)
        got, weight, _ = lime.surrogate(sets, change)
        found.append(got.values[1:] - exact)
        said.append(got.error(torch.zeros_like(weight))[1:])
    ratio = torch.stack(found).square().mean().sqrt() / torch.stack(said).square().mean().sqrt()
    assert float(ratio) == pytest.approx(1, abs=0.15)


def test_organs_and_columns_are_on_one_scale() -> None:
    """The sum over an organ's pixels and the value of a column are coefficients of one regression on all coalitions."""
    case, p = study(), predictor(Twists(7))
    lime = Lime(groups="organs", samples=127, alpha=0.5)
    ((a, _),) = explain(lime, p, [case], T, precision="float64")
    game = Game.of(Problem(Engine(p, precision="float64"), [case], T), by="organs", fill=Fill(kind="mean"))
    z = np.array(list(product([False, True], repeat=7)))
    y = game.value([torch.from_numpy(z)])[0][:, 0].numpy()
    weight = np.exp(-((1 - np.sqrt(z.mean(1))) ** 2) / (2 * 0.25**2))
    ridge = Ridge(alpha=0.5).fit(z.astype(float), y, sample_weight=weight)
    sums = [float(a.maps["image"][organ == ORGANS].sum()) for organ in (0, 3, 7, 9)]
    np.testing.assert_allclose([*sums, *a.maps["table"].tolist()], ridge.coef_, rtol=1e-5)
    assert a.notes["features"] == 7
    assert a.notes["standard_error"] == 0


def test_too_few_samples_are_refused_or_flagged() -> None:
    f = FAMILIES["picture"]
    few = {"groups": "cubes", "segments": 16, "samples": 50}
    with pytest.raises(UsageError, match=r"case c0: samples=50 is too few for lime over 16 features: it needs 64 or more \(96 by default\)"):
        explain(Lime(**few), f.predictor(), f.cases(1), f.targets)
    ((a, _),) = explain(Lime(**few, force=True), f.predictor(), f.cases(1), f.targets)
    assert "too_few_samples" in a.flags
    ((b, _),) = explain(Lime(**(few | {"samples": 64})), f.predictor(), f.cases(1), f.targets)
    assert "too_few_samples" not in b.flags


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": -1.0}, "alpha=-1.0: give 0 or more"),
        ({"kernel_width": 0.0}, "kernel_width=0.0: give a positive distance"),
        ({"samples": 0}, "samples=0: give 1 or more"),
        ({"segments": -3}, "segments=-3: give 1 or more"),
        ({"compactness": float("nan")}, "compactness=nan: give a positive share"),
    ],
)
def test_options_out_of_range(options: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Lime(**options)
