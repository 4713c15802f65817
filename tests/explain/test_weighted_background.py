"""Backgrounds with weights: a weight is a number of copies; KernelSHAP and DeepSHAP beside SHAP and closed forms."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from contract.families import FAMILIES, explain, gap
from game_models import ORGANS, Parts, Standardised, Sum, Twists, predictor, study
from peers import peer
from pellucid.core.background import Background, described, weights_of
from pellucid.core.case import Case
from pellucid.core.fill import Fill
from pellucid.core.predictor import Predictor
from pellucid.core.target import Score
from pellucid.engine import Engine, Problem
from pellucid.errors import UsageError
from pellucid.explain.gradient.expected_gradients import ExpectedGradients
from pellucid.explain.shapley.gradient_shap import GradientShap
from pellucid.explain.shapley.kernel_shap import KernelShap

F = FAMILIES["picture"]
WEIGHTS = (1, 3, 2)


def usual() -> list[Case]:
    return F.cases(5)[2:]


def copies() -> list[Case]:
    return [c for c, n in zip(usual(), WEIGHTS) for _ in range(n)]


def maps(method: object, background: object, **options: object) -> list:
    return [a for row in explain(method, F.predictor(), F.cases(2), F.targets, background=background, **options) for a in row]  # type: ignore[arg-type]


@pytest.mark.parametrize(("method", "tolerance"), [
    ("deepshap", 1e-5), (ExpectedGradients(n_steps=64), 0.02), (ExpectedGradients(most=648), 0.06),
    (KernelShap(fill="background", groups="cubes", segments=4), 1e-5), (KernelShap(fill="cohort", groups="cubes", segments=4), 1e-5),
])  # fmt: skip
def test_a_weight_is_a_number_of_copies(method: object, tolerance: float) -> None:
    weighted, repeated, alike = maps(method, Background(usual(), WEIGHTS)), maps(method, copies()), maps(method, usual())
    for a, b, c in zip(weighted, repeated, alike):
        assert gap(a, b) < tolerance
        assert gap(a, c) > 2 * tolerance  # the weights matter
        assert a.notes["expected"] == pytest.approx(b.notes["expected"], rel=1e-4, abs=1e-6)


def test_alike_weights_are_a_plain_list() -> None:
    for method in ("deepshap", "gradient_shap", "expected_gradients"):
        for a, b in zip(maps(method, Background(usual(), [2, 2, 2])), maps(method, usual())):
            assert torch.equal(a.maps["x"], b.maps["x"])


def test_gradient_shap_draws_baselines_by_weight() -> None:
    """A linear model has a map for each baseline drawn; over many draws their share is the weight."""
    p = Predictor(nn.Sequential(nn.Flatten(), nn.Linear(4, 1)).eval(), inputs=["x"], task="regression")
    case = Case(id="p", inputs={"x": torch.zeros(1, 2, 2)})
    rows = [Case(id=f"b{i}", inputs={"x": torch.full((1, 2, 2), float(i == 1))}) for i in range(3)]
    ((a,),) = explain(GradientShap(samples=4000), p, [case], [Score(0)], background=Background(rows, WEIGHTS))
    weight = p.module[1].weight.detach().view(1, 2, 2)
    torch.testing.assert_close(a.maps["x"], -0.5 * weight, rtol=0.06, atol=0)  # 3 of 6; sd 0.8 %


def linear(values: Tensor) -> Predictor:
    net = nn.Sequential(nn.Flatten(), nn.Linear(values.numel(), 1)).eval()
    with torch.no_grad():
        net[1].weight.copy_(values.view(1, -1))
    return Predictor(net, inputs=["x"], task="regression")


def test_a_linear_model_in_closed_form() -> None:
    """``w ∘ (x − E x')``, E by the weights."""
    g = torch.Generator().manual_seed(1)
    w, x = torch.randn(9, generator=g), torch.randn(1, 3, 3, generator=g)
    rows = [Case(id=f"b{i}", inputs={"x": torch.randn(1, 3, 3, generator=g)}) for i in range(3)]
    share = torch.tensor(WEIGHTS) / 6
    wanted = w.view(1, 3, 3) * (x - sum(s * c.inputs["x"] for s, c in zip(share, rows)))
    for method in ("deepshap", "expected_gradients", KernelShap(fill="background", groups="blocks", side=1)):
        ((a,),) = explain(method, linear(w), [Case(id="p", inputs={"x": x})], [Score(0)], background=Background(rows, WEIGHTS))
        torch.testing.assert_close(a.maps["x"].view(1, 3, 3), wanted, rtol=1e-4, atol=1e-5)


def test_kernel_shap_over_a_background_is_shaps_where_all_coalitions_are_asked() -> None:
    """Interventional values: four organs of a picture and three columns, each replaced by a background case's own."""
    shap = peer("shap")
    function = Twists(7).double()
    rows = [study(seed=i) for i in (5, 6, 7)]
    background = Background(rows, WEIGHTS)
    ((a, b),) = explain(
        KernelShap(groups="organs", fill="background", samples=126), predictor(Twists(7)), [study()], [Score(0), Score(1)],
        background=background, precision="float64",
    )  # fmt: skip

    def value(z: np.ndarray) -> np.ndarray:
        """Of the game whose background rows are 0, 1, 2 in every feature and whose case is 3."""
        kinds = torch.as_tensor(z).long()
        cases = [*rows, study()]
        image, table = torch.zeros(len(kinds), 1, 8, 8), torch.zeros(len(kinds), 3)
        labels = ORGANS.unique(return_inverse=True)[1]
        for k, c in enumerate(cases):
            at = kinds == k
            image = torch.where(at[:, :4][:, labels][:, None], c.inputs["image"], image)
            table = torch.where(at[:, 4:], c.inputs["table"], table)
        inner = Parts(ORGANS, function).double()
        return Standardised(inner, 0.25)(image.double(), table.double() - 0.25).detach().numpy()

    data = np.repeat(np.arange(3)[:, None], 7, 1).astype(float)
    explainer = shap.KernelExplainer(value, np.repeat(data, WEIGHTS, 0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = np.asarray(explainer.shap_values(np.full((1, 7), 3.0), nsamples=300, l1_reg=False, silent=True))[0]
    labels = ORGANS.unique(return_inverse=True)[1]
    for t, m in enumerate((a, b)):
        found = [float(m.maps["image"][labels == i].sum()) for i in range(4)] + m.maps["table"].tolist()
        np.testing.assert_allclose(found, theirs[:, t], rtol=1e-4, atol=1e-5)
    assert (a.notes["evaluations"], a.notes["baselines"]) == (126, 3)
    assert (a.cost.forwards, a.cost.backwards) == (1 + 3 + 126 * 3, 0)  # f(x), R for nobody, R for each coalition


def test_the_order_of_chunks_does_not_matter_for_a_background_of_several_cases() -> None:
    function = Sum(7)
    method = KernelShap(groups="organs", fill="background", samples=60)
    found = [
        explain(method, predictor(function), [study(seed=s) for s in (0, 1)], [Score(0), Score(1)], chunk=chunk,
                background=Background([study(seed=i) for i in (5, 6, 7)], WEIGHTS))
        for chunk in (None, 7)
    ]  # fmt: skip
    for one, other in zip(*found):
        for a, b in zip(one, other):
            torch.testing.assert_close(a.maps["image"], b.maps["image"], rtol=1e-4, atol=1e-5)
            assert a.cost.forwards == b.cost.forwards == 1 + 3 + 60 * 3


def test_deepshap_beside_shap_with_as_many_copies() -> None:
    shap = peer("shap")
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 5), nn.ReLU(), nn.Linear(5, 2)).eval()
    g = torch.Generator().manual_seed(2)
    x, rows = torch.randn(6, generator=g), torch.randn(3, 6, generator=g)
    p = Predictor(net, inputs=["t"], task="regression")
    background = Background([Case(id=f"b{i}", inputs={"t": r}) for i, r in enumerate(rows)], WEIGHTS)
    ((a, b),) = explain("deepshap", p, [Case(id="p", inputs={"t": x})], [Score(0), Score(1)], background=background)
    theirs = shap.DeepExplainer(net, rows.repeat_interleave(torch.tensor(WEIGHTS), 0)).shap_values(x[None])[0]
    for t, m in enumerate((a, b)):
        np.testing.assert_allclose(m.maps["t"].numpy(), theirs[:, t], rtol=1e-4, atol=1e-6)


def test_what_a_map_says_of_its_background() -> None:
    how = {"size": 40, "asked": 1000, "thinned_to": 3, "by": "kmeans", "seed": 0}
    for method in ("deepshap", KernelShap(fill="background", groups="cubes", segments=4), KernelShap(fill="cohort", groups="cubes", segments=4)):
        (a, *_) = maps(method, Background(usual(), WEIGHTS, how))
        assert a.provenance["background"] == {**how, "cases": 3, "weighted": True}
        assert not any(c.id in str(a.provenance) for c in usual())
    assert "background" not in maps("saliency", usual())[0].provenance  # it does not look at them
    assert maps("deepshap", usual())[0].provenance["background"] == {"cases": 3, "weighted": False}


def test_bad_backgrounds() -> None:
    with pytest.raises(UsageError, match="2 weights for 3 cases; give one for each"):
        Background(usual(), [1, 2])
    for wrong in ([1, 0, 1], [1, -1, 1], [1, float("nan"), 1]):
        with pytest.raises(UsageError, match="a weight is not positive; leave the case out"):
            Background(usual(), wrong)
    with pytest.raises(UsageError, match="fill 'background' wants background cases, and there are none"):
        maps(KernelShap(fill="background"), [])
    with pytest.raises(UsageError, match="fill 'background' puts each background case in turn: kernel_shap"):
        Problem(Engine(F.predictor()), F.cases(1), F.targets, background=usual()).fill(Fill(kind="background"))


def test_a_background_is_a_list_of_cases() -> None:
    b = Background(usual(), WEIGHTS)
    assert [c.id for c in b] == [c.id for c in usual()]
    assert (len(b), b[1].id, [c.id for c in b[:2]]) == (3, usual()[1].id, [c.id for c in usual()[:2]])
    assert b.map(lambda c: c.replace(id=c.id + "'"))[0].id == usual()[0].id + "'"
    assert weights_of(b).tolist() == pytest.approx([1 / 6, 1 / 2, 1 / 3])
    assert weights_of(usual()) is None
    assert described([]) == {"cases": 0, "weighted": False}
