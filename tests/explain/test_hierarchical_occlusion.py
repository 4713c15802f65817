"""Hierarchical occlusion: the seed's recursion, models whose answer is known on paper, budgets, and what it misses."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from contract.families import FAMILIES, explain
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.core.target import ClassScore, Score
from pellucid.errors import InputError, UsageError
from pellucid.explain.make import as_explainer
from pellucid.explain.perturbation.hierarchical_occlusion import HierarchicalOcclusion
from pellucid.explain.perturbation.occlusion import Occlusion
from pellucid.explain.perturbation.pyramid import Pyramid, default_levels
from reference import hierarchical as slow

SMALL = {"levels": ((8, 2), (4, 1), (2, 1)), "min_window": 2}


def case(*shape: int, seed: int = 0, **inputs: Tensor) -> Case:
    x = torch.rand(shape, generator=torch.Generator().manual_seed(seed))
    return Case(id=f"p{seed}", inputs={"x": x, **inputs})


class Counts(nn.Module):
    """Counts the inputs that it is shown, in copies of itself too."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []

    def __deepcopy__(self, memo: object) -> Counts:
        return self


class Linear(Counts):
    """``y_k = Σ w_k x`` over the picture."""

    def __init__(self, *weights: Tensor) -> None:
        super().__init__()
        self.w = torch.stack(weights)

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(len(x))
        return torch.einsum("bc...,kc...->bk", x, self.w.to(x))


def scored(net: nn.Module, *inputs: str) -> Predictor:
    return Predictor(net.eval(), inputs=list(inputs) or ["x"], task="regression")


def one(net: nn.Module, c: Case, *, target: int = 0, **options: object):
    return explain(HierarchicalOcclusion(**options), scored(net), [c], [Score(target)], precision="float64")[0][0]


def test_the_default_levels_are_the_seeds_at_224() -> None:
    assert default_levels((224, 224), 7) == [((w,) * 2, (s,) * 2) for w, s in ((112, 28), (56, 14), (28, 7), (14, 3), (7, 1))]
    assert [w for w, _ in default_levels((16, 64, 96), 7)] == [(8, 32, 48), (8, 16, 24), (8, 8, 12)]
    assert default_levels((6, 10), 7) == [((3, 5), (1, 1))]


def test_dense_occlusion_of_the_seed_takes_47524() -> None:
    (finest,) = Pyramid.over({"x": torch.zeros(1, 1, 224, 224)}, None, 7).finest
    assert len(finest) == 218**2 == 47524


@pytest.mark.parametrize(("shape", "levels", "seed"), [((1, 20, 17), ((10, 2), (5, 1), (2, 1)), 0), ((2, 14, 14), ((7, 3), (3, 2)), 3), ((1, 7, 9, 8), ((4, 2), (2, 1)), 1)])
def test_flip_is_the_seeds_recursion(shape, levels, seed) -> None:
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(shape)), 2)).double().eval()
    c = case(*shape, seed=seed)
    x = c.inputs["x"].double()
    with torch.no_grad():  # near the border between the two classes, so that some windows flip the label
        out = net(x[None])[0]
        net[1].bias[0] -= out[0] - out[1] - 0.15

    def label(v: np.ndarray) -> int:
        with torch.no_grad():
            return int(net(torch.as_tensor(v)[None]).argmax())

    fill = {0: 1.0, 1: 0.0}
    wanted, tried = slow.seed(label, x.numpy(), np.full(shape, fill[label(x.numpy())]), list(levels))
    p = Predictor(net, inputs=["x"], task="classification", classes=["healthy", "affected"])
    method = HierarchicalOcclusion(levels=levels, min_window=1, score="flip", combine="sum", budget=None, fill=fill)
    ((a,),) = explain(method, p, [c], [ClassScore()], precision="float64")
    assert 0 < wanted.max() <= len(levels)
    assert len(slow.corners(shape[1:], levels[0])) < tried
    np.testing.assert_array_equal(a.maps["x"].numpy(), wanted)
    assert a.notes["evaluations"] == tried == a.cost.forwards - 1
    assert a.notes["predicted_class"] == 0
    assert a.provenance["parameters"]["fill"]["by_predicted_class"]["1"] == {"kind": "constant", "value": 0.0}


def spread(weights: Tensor, x: Tensor, sizes: tuple[int, int]) -> Tensor:
    """Mean drop of all windows over a pixel, by hand, with fill 0."""
    side, _ = sizes
    total, count = torch.zeros_like(x), torch.zeros_like(x)
    for corner in slow.corners(tuple(x.shape), sizes):
        box = tuple(slice(c, c + side) for c in corner)
        total[box] += (weights * x)[box].sum()
        count[box] += 1
    return total / count


def test_an_additive_model_gives_the_sums_of_its_weights_at_every_level() -> None:
    """Everything is subdivided: the map is the mean over the levels of what linear algebra says."""
    c = case(1, 12, 12)
    x = c.inputs["x"][0].double()
    w = torch.randn(12, 12, generator=torch.Generator().manual_seed(1)).double()
    levels = ((6, 2), (3, 1))
    a = one(Linear(w[None]), c, levels=levels, min_window=1, threshold=0.0, budget=None, fill="zero")
    wanted = (spread(w, x, levels[0]) * 9 / 36 + spread(w, x, levels[1])) / 2
    torch.testing.assert_close(a.maps["x"].double(), wanted, rtol=1e-5, atol=1e-6)
    assert a.notes["evaluations"] == 16 + 100
    assert a.notes["dense_evaluations"] == 100
    dense = explain(Occlusion(window=3, stride=1, fill="zero"), scored(Linear(w[None])), [c], [Score(0)], precision="float64")[0][0]
    alone = one(Linear(w[None]), c, levels=levels[1:], min_window=1, budget=None, fill="zero")
    torch.testing.assert_close(alone.maps["x"], dense.maps["x"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("combine", ["sum", "mean"])
def test_the_largest_effect_over_a_pixel_level_by_level(combine: str) -> None:
    """One bright pixel: each level's windows over it have the same drop."""
    c = Case(id="1", inputs={"x": torch.zeros(1, 16, 16).index_fill(1, torch.tensor([5]), 1.0)})
    w = torch.zeros(1, 16, 16)
    w[0, 5, 9] = 2.0
    a = one(Linear(w), c, fill="zero", combine=combine, budget=None, **SMALL)
    assert float(a.maps["x"].max()) == pytest.approx({"sum": 6.0, "mean": 2.0}[combine])
    assert float(a.maps["x"][5, 9]) == float(a.maps["x"].max())
    assert float(a.maps["x"].min()) == 0


def test_what_cancels_in_a_coarse_window_is_missed_unless_both_signs_are_followed() -> None:
    """A small positive effect beside a larger negative one: every coarse window over both raises the score."""
    x, w = torch.ones(1, 16, 16), torch.zeros(1, 16, 16)
    w[0, 6, 6], w[0, 6, 7] = 1.0, -3.0
    c = Case(id="1", inputs={"x": x})
    levels = {"levels": ((8, 8), (2, 1), (1, 1)), "min_window": 1, "fill": "zero", "budget": None}
    missed = one(Linear(w), c, sign="for", **levels)
    assert "no_effect" in missed.flags
    assert float(missed.maps["x"].abs().max()) == 0
    found = one(Linear(w), c, sign="both", **levels)
    assert float(found.maps["x"][6, 6]) > 0 > float(found.maps["x"][6, 7])
    w[0, 6, 7] = -1.0  # what cancels exactly inside every coarse window is missed by either
    for sign in ("for", "both"):
        a = one(Linear(w), c, sign=sign, **levels)
        assert "no_effect" in a.flags
    dense = one(Linear(w), c, levels=((1, 1),), min_window=1, fill="zero", budget=None)
    assert float(dense.maps["x"][6, 6]) == pytest.approx(1.0)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 999), budget=st.floats(0.001, 1.5), threshold=st.floats(0, 1), sign=st.sampled_from(["for", "both"]),
    top_k=st.one_of(st.none(), st.integers(1, 9)),
)  # fmt: skip
def test_the_budget_is_never_exceeded(seed, budget, threshold, sign, top_k) -> None:
    net = Linear(torch.randn(1, 15, 13, generator=torch.Generator().manual_seed(seed)))
    a = one(net, case(1, 15, 13, seed=seed), budget=budget, threshold=threshold, sign=sign, top_k=top_k, **SMALL)
    dense, first = 14 * 12, 5 * 4
    assert a.notes["dense_evaluations"] == dense
    assert a.notes["evaluations"] <= max(first, int(budget * dense))
    assert a.notes["evaluations"] >= first
    assert sum(net.seen) - 1 == a.notes["evaluations"] == a.cost.forwards - 1
    assert (a.notes["left_out"] > 0) <= (a.notes["evaluations"] <= budget * dense or first > budget * dense)


def test_each_target_has_the_map_that_it_gets_alone_and_shared_windows_run_once() -> None:
    weights = [torch.zeros(1, 16, 16) for _ in range(2)]
    weights[0][0, 3, 3], weights[1][0, 12, 11] = 1.0, 1.0
    net, c = Linear(*weights), Case(id="1", inputs={"x": torch.ones(1, 16, 16)})
    method = HierarchicalOcclusion(fill="zero", budget=None, **SMALL)
    (both,) = explain(method, scored(net), [c], [Score(0), Score(1)])
    alone = [explain(method, scored(net), [c], [Score(k)])[0][0] for k in (0, 1)]
    for a, b in zip(both, alone):
        assert torch.equal(a.maps["x"], b.maps["x"])
        assert a.notes["evaluations"] == b.notes["evaluations"] == b.cost.forwards - 1
    each = [a.notes["evaluations"] for a in both]
    assert max(each) < both[0].cost.forwards - 1 <= sum(each) - 25  # the 25 windows of the first level, and more


def test_a_batch_equals_its_cases_where_windows_are_subdivided() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 5), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 20 * 20, 2)).eval()
    p, cases = scored(net), [case(1, 24, 24, seed=i) for i in range(3)]
    method = HierarchicalOcclusion(levels=((12, 3), (6, 2), (3, 1)), min_window=3, budget=0.4)
    for c, row in zip(cases, explain(method, p, cases, [Score(0), Score(1)])):
        for a, b in zip(row, explain(method, p, [c], [Score(0), Score(1)])[0]):
            torch.testing.assert_close(a.maps["x"], b.maps["x"], rtol=1e-4, atol=1e-6)
            assert a.notes == b.notes
            assert a.notes["evaluations"] > 25


class Together(nn.Module):
    """A pixel of each of two pictures, and a column."""

    def forward(self, x: Tensor, y: Tensor, t: Tensor) -> Tensor:
        return (2 * x[:, 0, 5, 5] + y[:, 0, 2, 3] + 3 * t[:, 1])[:, None]


def test_every_input_has_a_pyramid_of_its_own_and_a_column_is_a_leaf() -> None:
    c = Case(id="1", inputs={"x": torch.ones(1, 32, 32), "y": torch.ones(1, 16, 8), "t": torch.ones(3)})
    method = HierarchicalOcclusion(fill="zero", budget=None, min_window=4)
    ((a,),) = explain(method, scored(Together(), "x", "y", "t"), [c], [Score(0)])
    assert a.maps["t"].tolist() == [0.0, 3.0, 0.0]
    assert divmod(int(a.maps["x"].argmax()), 32) in {(r, k) for r in range(2, 9) for k in range(2, 9)}
    assert float(a.maps["x"][5, 5]) > 0 < float(a.maps["y"][2, 3])
    assert a.notes["dense_evaluations"] == 29**2 + 13 * 5 + 3


def test_windows_touch_the_region() -> None:
    mask = torch.zeros(16, 16, dtype=torch.bool)
    mask[:3, :3] = True
    c = Case(id="1", inputs={"x": torch.ones(1, 16, 16)}, regions={"leg": mask})
    net = Linear(torch.ones(1, 16, 16))
    a = one(net, c, fill="zero", region="leg", threshold=0.0, budget=None, **SMALL)
    assert float(a.maps["x"][10:].abs().max()) == float(a.maps["x"][:, 10:].abs().max()) == 0
    assert float(a.maps["x"][0, 0]) > 0
    assert a.notes["dense_evaluations"] == 9  # windows of two pixels that start at 0, 1 or 2
    assert a.notes["evaluations"] == 4 + 9 + 9
    nothing = one(net, c.replace(regions={"leg": ~mask & mask}), fill="zero", region="leg", **SMALL)
    assert nothing.notes["evaluations"] == 0
    assert "no_effect" in nothing.flags


def test_nothing_flips_a_confident_decision() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(256, 1))
    with torch.no_grad():
        net[1].bias.fill_(100.0)
    p = Predictor(net.eval(), inputs=["x"], task="classification", classes=["affected"])
    ((a,),) = explain(HierarchicalOcclusion(score="flip", fill={0: 1.0, "affected": 0.0}), p, [case(1, 16, 16)], [ClassScore(0)])
    assert a.flags[:1] == ("no_effect",)
    assert a.notes["evaluations"] == 25
    assert a.notes["predicted_class"] == 1
    assert float(a.maps["x"].abs().max()) == 0


def test_top_k_subdivides_the_largest() -> None:
    w = torch.zeros(1, 16, 16)
    w[0, 2, 2], w[0, 13, 13] = 1.0, 0.9
    c = Case(id="1", inputs={"x": torch.ones(1, 16, 16)})
    a = one(Linear(w), c, fill="zero", levels=((8, 8), (4, 4)), min_window=4, threshold=0.0, top_k=1, budget=None)
    assert a.notes["evaluations"] == 4 + 4
    assert float(a.maps["x"][2, 2]) > 4 * float(a.maps["x"][13, 13]) > 0


def test_the_options_are_plain_in_the_provenance() -> None:
    a = one(Linear(torch.ones(1, 16, 16)), case(1, 16, 16), levels=[[[8, 4], 2], [4, 1]], min_window=4)
    assert json.loads(json.dumps(a.provenance["parameters"]))["levels"] == [[[8, 4], 2], [4, 1]]


def test_a_map_is_made_again_from_its_provenance() -> None:
    fill = {0: 1.0, "1": {"kind": "blur", "sigma": 2.0}, "k2": "zero"}
    first = HierarchicalOcclusion(fill=fill, levels=[(8, [4, 4])], min_window=4)
    family = FAMILIES["picture"]
    a = explain(first, family.predictor(), family.cases(1), family.targets)[0][0]
    again = as_explainer(a.method, json.loads(json.dumps(a.provenance["parameters"])))
    b = explain(again, family.predictor(), family.cases(1), family.targets)[0][0]
    assert torch.equal(a.maps["x"], b.maps["x"])
    assert again.describe() == first.describe()


THREE = FAMILIES["picture"]
SEGMENTS, REGRESSES = FAMILIES["segmentation"], FAMILIES["regression"]
WRONG = [
    ("smaller than the least", THREE, {"levels": [(6, 2)]}, UsageError, r"window \(6, 6\) is smaller than min_window=7; give larger windows, or another min_window"),
    ("larger than the picture", THREE, {"levels": [(17, 2)]}, UsageError, r"window \(17, 17\) is larger than input 'x' \(16, 16\)"),
    ("stride over the window", THREE, {"levels": [(8, 9)]}, UsageError, r"stride \(9, 9\) is larger than the window \(8, 8\)"),
    ("stride of nothing", THREE, {"levels": [(8, 0)]}, UsageError, r"stride \(0, 0\): give 1 pixel or more"),
    ("no shrinking", THREE, {"levels": [(8, 2), (8, 1)]}, UsageError, r"windows \(8, 8\) follow windows \(8, 8\); each level needs smaller ones"),
    ("axes", THREE, {"levels": [((8, 8, 8), 1)]}, UsageError, "has 3 axes, the input has 2"),
    ("not pairs", THREE, {"levels": [8, 4]}, UsageError, r"levels=\[8, 4\]: give pairs of a window and a stride"),
    ("no levels", THREE, {"levels": []}, UsageError, r"levels=\[\]: give pairs"),
    ("budget", THREE, {"budget": 0}, UsageError, "budget=0: give a positive share of the evaluations of dense occlusion, or None"),
    ("threshold", THREE, {"threshold": 1.5}, UsageError, "threshold=1.5: give a share of the largest"),
    ("combine", THREE, {"combine": "summ"}, UsageError, "combine='summ': choose 'density' or 'sum' or 'mean'"),
    ("region", THREE, {"region": "leg"}, InputError, "case c0.*'leg'"),
    ("three classes", THREE, {"score": "flip"}, UsageError, "decision between two classes changes; this model has 3 classes: use score='drop'"),
    ("a score", REGRESSES, {"score": "flip"}, UsageError, "this model does regression: use score='drop'"),
    ("a segmentation", SEGMENTS, {"score": "flip"}, UsageError, "this model does segmentation: use score='drop'"),
    ("fill by class of a score", REGRESSES, {"fill": {0: 1.0}}, UsageError, "one for each class is for a classification; this model does regression"),
    ("fill of no class", THREE, {"fill": {"k9": 1.0}}, UsageError, "fill: unknown class 'k9'; known: k0, k1, k2"),
    ("no fill for the class", THREE, {"fill": {"k2": 0.0}}, UsageError, r"case c0: it is predicted as 'k1' \(class 1\), for which fill has nothing; give a fill for every class"),
]  # fmt: skip


@pytest.mark.parametrize(("family", "options", "kind", "said"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_bad_input(family, options, kind, said) -> None:
    with pytest.raises(kind, match=said) as caught:
        explain(HierarchicalOcclusion(**options), family.predictor(), family.cases(1), family.targets)
    assert "\n" not in str(caught.value)


def test_two_labels_that_do_not_exclude_each_other_have_no_flip() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(256, 2)).eval()
    p = Predictor(net, inputs=["x"], task="classification", classes=["a", "b"], activation="sigmoid")
    with pytest.raises(UsageError, match="two labels are independent of each other"):
        explain(HierarchicalOcclusion(score="flip"), p, [case(1, 16, 16)], [ClassScore(0)])


def test_a_region_on_another_grid() -> None:
    c = Case(id="p9", inputs={"x": torch.ones(1, 32, 32), "y": torch.ones(1, 16, 8), "t": torch.ones(3)}, regions={"leg": torch.ones(32, 32, dtype=torch.bool)})
    with pytest.raises(UsageError, match=r"case p9: region 'leg' is \(32, 32\), input 'y' is \(16, 8\); resample"):
        explain(HierarchicalOcclusion(region="leg"), scored(Together(), "x", "y", "t"), [c], [Score(0)])
