"""A case that lacks an input is explained as the network is that has the stand-in built in: by every method."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import pellucid as pc
from contract.families import CONVOLUTIONAL, FAMILIES, METHODS, Family, small
from fusion_nets import fusion_network
from pellucid.core.attribution import Attribution
from pellucid.core.case import Case
from pellucid.core.metric import METRICS
from pellucid.core.missing import FLAG
from pellucid.core.predictor import Predictor
from pellucid.core.target import ClassScore
from pellucid.explain import EXPLAINERS

SHAPES = {"t1": (1, 16, 16), "t2": (2, 12, 12), "table": (5,)}
MEAN = {"t1": (torch.tensor([0.3]), torch.tensor([1.5])), "t2": (torch.tensor([-0.2, 0.4]), torch.tensor([1.0, 2.0])),
        "table": (torch.linspace(-1, 1, 5), torch.full((5,), 2.0))}  # fmt: skip


class Plugged(nn.Module):
    """A network whose second picture is what it is given for all cases: the twin of a case that lacks it."""

    def __init__(self, network: nn.Module, stand_in: Tensor, at: int) -> None:
        super().__init__()
        self.network, self.at = network, at
        self.register_buffer("stand_in", stand_in)

    def forward(self, *others: Tensor) -> Tensor:
        value = self.stand_in.expand(len(others[0]), *self.stand_in.shape)
        return self.network(*others[: self.at], value, *others[self.at :])


FAMILY = Family(
    "three", SHAPES, "classification", 3, (ClassScore(0), ClassScore(2)), offers=CONVOLUTIONAL,
    make=lambda f: fusion_network(f.shapes),
)  # fmt: skip


def predictors(missing: str, family: Family = FAMILY) -> tuple[Predictor, Predictor]:
    """The predictor of all inputs, and its twin without the missing one."""
    names = list(family.shapes)
    known = {n: MEAN[n] for n in names}
    net = family.module()
    zeros = torch.zeros(family.shapes[missing])  # the mean, as the network is shown it
    shared = {"task": "classification", "classes": ["a", "b", "c"]}
    twin = Plugged(net, zeros, names.index(missing)).eval()
    rest = [n for n in names if n != missing]
    return (
        Predictor(net, inputs=names, normalise=known, **shared),
        Predictor(twin, inputs=rest, normalise={n: known[n] for n in rest}, **shared),
    )


def cases(missing: str, family: Family = FAMILY, count: int = 2) -> list[Case]:
    return [
        c.replace(inputs={**c.inputs, missing: torch.zeros(family.shapes[missing])}, missing=(missing,))
        for c in family.cases(count)
    ]  # fmt: skip


def same(a: Attribution, b: Attribution) -> None:
    assert a.score == pytest.approx(b.score, rel=1e-5, abs=1e-6)
    assert set(b.maps) <= set(a.maps)
    for name, m in b.maps.items():
        torch.testing.assert_close(a.maps[name], m, rtol=1e-4, atol=1e-5 * (1 + float(m.abs().max())))


@pytest.mark.parametrize("method", [m for m in METHODS if FAMILY.runs(m)])
def test_zero_there_and_elsewhere_as_if_the_stand_in_were_built_in(method: str) -> None:
    missing = "table" if method == "saliency" else "t2"
    whole, twin = predictors(missing)
    background = [*FAMILY.cases(3)[:1], *cases(missing, count=2)[1:]]  # one of them lacks the same
    given = {"methods": [small(method)], "targets": [ClassScore(0), ClassScore(2)], "seed": 3, "background": background}
    found = pc.explain_many(whole, cases(missing), **given)
    rest = [c.replace(inputs={k: v for k, v in c.inputs.items() if k != missing}, missing=()) for c in background]
    alone = [c.replace(inputs={k: v for k, v in c.inputs.items() if k != missing}, missing=()) for c in cases(missing)]
    wanted = pc.explain_many(twin, alone, **{**given, "background": rest})
    assert len(found) == len(wanted) == 4
    for a, b in zip(found, wanted):
        same(a, b)
        assert FLAG in a.flags
        assert a.notes["missing"] == [missing]
        assert FLAG not in b.flags
        if missing != "table" or EXPLAINERS[method].tables:
            assert not a.maps[missing].any()
            assert a.maps[missing].shape in (SHAPES[missing], SHAPES[missing][1:])
        assert {n: v.status for n, v in a.checks.items()} == {n: v.status for n, v in b.checks.items()}
        assert a.cost.forwards == b.cost.forwards
        assert a.cost.backwards == b.cost.backwards


@pytest.mark.parametrize("method", [m for m in METHODS if FAMILIES["fused_tokens"].runs(m)])
def test_tokens_of_a_missing_input_are_no_tokens_of_the_others(method: str) -> None:
    family = FAMILIES["fused_tokens"]
    names, known = list(family.shapes), {"image": MEAN["t1"], "table": MEAN["table"]}
    p = Predictor(family.module(), inputs=names, normalise=known, task="classification", classes=["a", "b", "c"])
    zeros = {"table": torch.zeros(5)}
    given, lacking = family.cases(1)[0], family.cases(1)[0]
    given = given.replace(inputs={**given.inputs, "table": MEAN["table"][0]})
    lacking = lacking.replace(inputs={**lacking.inputs, **zeros}, missing=("table",))
    if "several_inputs" in EXPLAINERS[method].needs:
        with pytest.raises(pc.PellucidError, match="input"):
            pc.explain(p, lacking, method=small(method), target=1)
        return
    a, b = (pc.explain(p, c, method=small(method), target=1, seed=1) for c in (lacking, given))
    assert a.score == pytest.approx(b.score, abs=1e-6)
    assert not a.maps.get("table", torch.zeros(1)).any()
    if EXPLAINERS[method].family == "attention" or method in ("saliency", "input_x_gradient"):
        torch.testing.assert_close(a.maps["image"], b.maps["image"], rtol=1e-3, atol=1e-5)


def test_every_metric_judges_what_is_there() -> None:
    missing = "t2"
    whole, twin = predictors(missing)
    region = torch.zeros(16, 16, dtype=torch.bool)
    region[4:9, 3:8] = True
    (case,) = [c.replace(regions={"lesion": region}, truth=0) for c in cases(missing, count=1)]
    alone = case.replace(inputs={k: v for k, v in case.inputs.items() if k != missing}, missing=())
    a, b = (pc.explain(p, c, method="saliency", target=0) for p, c in ((whole, case), (twin, alone)))
    names = [n for n, m in METRICS.items() if m.question != "sanity" and n != "seconds"]
    found, wanted = (
        pc.evaluate(p, c, m, metrics=names, steps=4) for p, c, m in ((whole, case, a), (twin, alone, b))
    )
    assert "attribution_share[t2]" not in found
    assert found["attribution_share[t1]"] + found["attribution_share[table]"] == pytest.approx(1)
    for name, value in wanted.items():
        assert found[name] == pytest.approx(value, rel=1e-4, abs=1e-6, nan_ok=True), name
    assert sum(v == v for v in found.values()) > len(found) // 2


def test_an_ensemble_is_of_what_is_there() -> None:
    missing = "t2"
    whole, twin = predictors(missing)
    (case,) = cases(missing, count=1)
    alone = case.replace(inputs={k: v for k, v in case.inputs.items() if k != missing}, missing=())
    methods = ["saliency", "input_x_gradient", "grad_cam"]
    both = [
        pc.ensemble(pc.explain_many(p, [c], methods=methods, targets=[0]), combine="borda")
        for p, c in ((whole, case), (twin, alone))
    ]  # fmt: skip
    same(*both)
    a, b = both
    assert not a.maps[missing].any()
    assert list(a.maps) == list(SHAPES)
    assert FLAG in a.flags
    assert a.notes["missing"] == [missing]
    assert a.refinement["n_by_input"] == {**b.refinement["n_by_input"], missing: 0}
    assert not a.refinement["votes"][missing].any()
