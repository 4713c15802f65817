"""Partition SHAP: the twin, SHAP itself, closed forms, what decides on the order of splitting."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from contract.families import FAMILIES, explain
from pellucid.core.case import Case
from pellucid.core.fill import blur
from pellucid.core.predictor import Predictor
from pellucid.core.target import ClassScore, RegionScore, Score
from pellucid.errors import UsageError
from pellucid.explain.shapley import owen as ours
from pellucid.explain.shapley.halving import Block, everything
from pellucid.explain.shapley.partition_shap import PartitionShap
from reference import owen as slow

F = FAMILIES["picture"]
EXACT = 10**6


class Tangled(nn.Module):
    """Few inputs, everything interacts, three outputs; a table may come along."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.body = nn.Sequential(nn.Linear(inputs, 16), nn.Tanh(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3))

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.body(2 * torch.cat([x.flatten(1) for x in inputs], 1))


def tangled(**shapes: tuple[int, ...]) -> tuple[Predictor, Case]:
    size = sum(int(np.prod(s)) for s in shapes.values())
    net = Tangled(size).double().eval()
    p = Predictor(net, inputs=list(shapes), task="classification", classes=list("abc"))
    g = torch.Generator().manual_seed(2)
    return p, Case(id="1", inputs={k: torch.randn(s, generator=g) for k, s in shapes.items()})


def run(p: Predictor, case: Case, targets=None, **options):
    return explain(PartitionShap(**options), p, [case], targets or [ClassScore(1)], precision="float64")[0]


def game(p: Predictor, case: Case):
    """``v(S)`` over the pixels (all channels at once) and columns of all inputs, in their order; zero is absent."""
    cells = [(k, i) for k, x in case.inputs.items() for i in np.ndindex(*(x.shape[1:] if x.ndim > 1 else x.shape))]

    def v(present: frozenset) -> np.ndarray:
        made = {k: torch.zeros(x.shape, dtype=torch.float64) for k, x in case.inputs.items()}
        for number in present:
            k, i = cells[number]
            made[k][(..., *i)] = case.inputs[k].double()[(..., *i)]
        with torch.no_grad():
            return p.module(*[x[None] for x in made.values()])[0].numpy()

    return v, cells


def tree_of(block: Block, cells: list, spacing=None):
    halves = block.halves(spacing)
    if halves is None:
        ((name, sides),) = block.boxes
        return cells.index((name, tuple(start for start, _ in sides)))
    return tuple(tree_of(h, cells, spacing) for h in halves)


def hierarchy(case: Case, cells: list, spacing=None):
    return tree_of(everything({k: tuple(x.shape[1:] if x.ndim > 1 else x.shape) for k, x in case.inputs.items()}), cells, spacing)


@pytest.mark.parametrize(
    "shapes", [{"x": (1, 2, 3)}, {"x": (2, 2, 2), "t": (3,)}, {"t": (2,), "x": (1, 2, 1), "y": (1, 1, 2)}], ids=str
)
def test_fully_split_it_is_the_owen_value_of_all_orders(shapes: dict) -> None:
    p, case = tangled(**shapes)
    v, cells = game(p, case)
    tree = hierarchy(case, cells)
    wanted = slow.by_orders(lambda s: float(v(s)[1]), tree)
    again = slow.by_recursion(lambda s: float(v(s)[1]), tree)
    (a,) = run(p, case, evaluations=EXACT, fill="zero")
    for number, (name, place) in enumerate(cells):
        assert again[number] == pytest.approx(wanted[number], abs=1e-9)
        assert float(a.maps[name][place]) == pytest.approx(wanted[number], rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("splits", [1, 7, 40, 85])
@pytest.mark.parametrize("spacing", [None, (1.0, 3.0)])
def test_stopped_at_a_budget_it_is_the_literal_best_first(splits: int, spacing) -> None:
    p, case = tangled(x=(1, 4, 4))
    case = case.replace(spacing=spacing)
    v, cells = game(p, case)
    wanted, asked = slow.best_first(v, hierarchy(case, cells, spacing), splits, ours.AT_ONCE)
    (a,) = run(p, case, evaluations=2 + 2 * splits, fill="zero", force=True)
    for number, (name, place) in enumerate(cells):
        assert float(a.maps[name][place]) == pytest.approx(float(wanted[number][1]), rel=1e-5, abs=1e-6)
    assert a.cost.forwards == asked == 2 + 2 * splits
    assert a.notes["splits"] == splits


def clustering(tree, leaves: int) -> np.ndarray:
    """A hierarchy as SHAP wants it: of each inner node the children, a distance and the number of leaves; root last."""
    rows: list[list[float]] = []

    def add(node) -> tuple[int, int]:
        if isinstance(node, int):
            return node, 1
        (a, n), (b, m) = add(node[0]), add(node[1])
        rows.append([a, b, 0, n + m])
        return leaves + len(rows) - 1, n + m

    add(tree)
    return np.array(rows, dtype=float)


@pytest.mark.parametrize(
    ("shape", "evaluations", "own_tree"),
    [((1, 4, 4), 172, False), ((1, 4, 4), 60, False), ((2, 4, 4), EXACT, False), ((1, 3, 5), EXACT, True), ((1, 3, 5), 90, True)],
)
def test_shap_itself(shape: tuple[int, ...], evaluations: int, own_tree: bool) -> None:
    """SHAP's PartitionExplainer on its hierarchy of an image, or given ours: where a side is odd, SHAP 0.51 numbers the
    pixels from the end, so that its larger halves come first. It goes on to the single channels; we add them up.
    """
    shap = pytest.importorskip("shap")
    p, case = tangled(x=shape)
    x = case.inputs["x"].double()
    base = blur(x[None], 1.0)[0]

    def model(pictures: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return p.module(torch.as_tensor(pictures).movedim(-1, 1)).numpy()

    masker = shap.maskers.Image(base.movedim(0, -1).numpy())
    if own_tree:
        _, cells = game(p, case)
        masker.clustering = clustering(hierarchy(case, cells), len(cells))
    theirs = shap.explainers.PartitionExplainer(model, masker)(
        x.movedim(0, -1).numpy()[None], max_evals=min(evaluations, 10**5), batch_size=2 * ours.AT_ONCE, silent=True
    )
    maps = run(p, case, [ClassScore(k) for k in range(3)], evaluations=evaluations, fill={"kind": "blur", "sigma": 1.0}, force=True)
    for k, a in enumerate(maps):
        wanted = theirs.values[0, ..., k].sum(-1)
        assert np.abs(wanted).max() > 0.01
        assert np.abs(a.maps["x"].numpy() - wanted).max() < 1e-4 * np.abs(wanted).max()


class Additive(nn.Module):
    """``Σ w x + Σ t²``."""

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        w = torch.arange(x[0].numel()).view_as(x[0]).to(x)
        return ((w * x).flatten(1).sum(1) + (t**2).sum(1))[:, None]


@pytest.mark.parametrize("shape", [(2, 4, 3), (1, 2, 3, 2)])
def test_additive_model(shape: tuple[int, ...]) -> None:
    p = Predictor(Additive().eval(), inputs=["x", "t"], task="regression")
    case = Case(id="1", inputs={"x": torch.randn(shape), "t": torch.tensor([1.0, -2.0, 3.0])})
    (a,) = run(p, case, [Score(0)], evaluations=EXACT, fill="zero")
    w = torch.arange(case.inputs["x"].numel()).view(shape)
    torch.testing.assert_close(a.maps["x"], (w * case.inputs["x"]).sum(0), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(a.maps["t"], torch.tensor([1.0, 4.0, 9.0]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("evaluations", [4, 10, 34, 172, 173, 500])
@pytest.mark.parametrize("family", ["picture_and_table", "two_pictures", "volume", "segmentation"])
def test_it_adds_up_at_any_budget_and_never_exceeds_it(family: str, evaluations: int) -> None:
    f = FAMILIES[family]
    for row in explain(PartitionShap(evaluations=evaluations, force=True), f.predictor(), f.cases(2), f.targets):
        for a in row:
            assert a.checks["complete"].status == "pass"
            assert sum(float(m.double().sum()) for m in a.maps.values()) == pytest.approx(a.notes["expected"], rel=1e-4, abs=1e-5)
            assert a.cost.forwards == 2 + 2 * a.notes["splits"] == evaluations - evaluations % 2


def test_fully_split_it_stops() -> None:
    """A tree of 4² leaves has 1 + 4 + 16 + 64 states with children."""
    p, case = tangled(x=(1, 4, 4))
    (a,) = run(p, case, evaluations=EXACT)
    assert a.cost.forwards == 2 + 2 * 85
    assert a.notes["blocks"] == 16


def test_it_splits_where_the_output_changes() -> None:
    """One pixel of 16² counts: 1 + 2 + … + 128 splits lead down to it, where all blocks would take 21,845."""

    class Pixel(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([x[:, 0, 2, 3], x[:, 0, 0, 0] * 0], 1)

    p = Predictor(Pixel().eval(), inputs=["x"], task="classification", classes=["a", "b"])
    (a,) = run(p, Case(id="1", inputs={"x": torch.ones(1, 16, 16)}), [ClassScore(0)], fill="zero", evaluations=2 + 2 * 300)
    wanted = torch.zeros(16, 16)
    wanted[2, 3] = 1
    torch.testing.assert_close(a.maps["x"], wanted)


def test_a_map_does_not_depend_on_what_else_is_asked_for() -> None:
    for name in ("picture", "segmentation"):
        f = FAMILIES[name]
        targets = [type(f.targets[0])(k) for k in range(3)]
        (many,) = explain("partition_shap", f.predictor(), f.cases(1), targets)
        for t, a in zip(targets, many):
            ((alone,),) = explain("partition_shap", f.predictor(), f.cases(1), [t])
            assert torch.allclose(a.maps["x"], alone.maps["x"], atol=1e-6 * float(a.maps["x"].abs().max()))


def test_a_segmentation_looks_at_each_class_where_it_is_predicted() -> None:
    from pellucid.core.target import Objective
    from pellucid.explain.shapley.guide import Guided

    f = FAMILIES["segmentation"]
    p, cases = f.predictor(), f.cases(2)
    clean, changed = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    guided = Guided(Objective(p, cases, [RegionScore(0, region="image")]))
    assert not guided.ready
    guided.bind(clean, torch.tensor([0, 1]))
    assert guided.ready
    got = guided(changed, torch.tensor([1, 0]))
    assert got.shape == (2, 4)
    for row, b in enumerate((1, 0)):
        for k in range(3):
            where = clean[b].argmax(0) == k
            wanted = float(changed[row, k][where].mean()) if where.any() else 0.0
            assert float(got[row, 1 + k]) == pytest.approx(wanted, abs=1e-6)


def test_the_hierarchy() -> None:
    root = everything({"t": (3,), "ct": (2, 4, 4), "pet": (4, 4, 4)})
    pictures, table = root.halves()
    assert [n for n, _ in pictures.boxes] == ["ct", "pet"]
    assert [n for n, _ in table.boxes] == ["t"]
    assert table.halves()[0].boxes == (("t", ((0, 1),)),)
    ct, _ = pictures.halves()
    assert ct.halves()[0].boxes == (("ct", ((0, 2), (0, 2), (0, 4))),)
    assert ct.halves((5.0, 1.0, 1.0))[1].boxes == (("ct", ((1, 2), (0, 4), (0, 4))),)
    seen: set = set()
    todo = [root]
    while todo:
        block = todo.pop()
        halves = block.halves()
        if halves is None:
            ((name, sides),) = block.boxes
            seen |= {(name, *i) for i in product(*(range(*s) for s in sides))}
            assert block.size == 1
        else:
            assert halves[0].size + halves[1].size == block.size
            todo += halves
    assert len(seen) == 3 + 32 + 64


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"evaluations": 3, "force": True}, "evaluations=3: give 4 or more, for one split"),
        ({"evaluations": 100}, "evaluations=100 split a picture into a few large blocks; give 172 or more, or force=True"),
        ({"fill": float("inf")}, "fill value inf: give a finite number"),
        ({"fill": "blurr"}, "unknown fill 'blurr'; did you mean 'blur'"),
    ],
)
def test_bad_options(options: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        PartitionShap(**options)
