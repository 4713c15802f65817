"""What a model is shown in the place of an input that a case lacks."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import pellucid as pc
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.engine import Engine
from pellucid.engine.problem import Problem
from pellucid.errors import InputError, UsageError

MEAN = {"a": (torch.tensor([2.0]), torch.tensor([4.0])), "t": (torch.tensor([1.0, -1.0]), torch.tensor([1.0, 2.0]))}


class Sum(nn.Module):
    """The sum of the picture, and the table: linear, so that every answer can be worked out by hand."""

    def forward(self, a: Tensor, t: Tensor) -> Tensor:
        return torch.cat([a.flatten(1).sum(1, keepdim=True), t], dim=1)


class Labels(nn.Module):
    """A segmentation: the first picture plus ten times the second, place by place."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.cat([a + 10 * b, -a], dim=1)


def predictor(**more: object) -> Predictor:
    return Predictor(Sum().eval(), inputs=["a", "t"], task="regression", **{"normalise": MEAN, **more})


def case(name: str, *missing: str) -> Case:
    g = torch.Generator().manual_seed(int(name))
    inputs = {"a": torch.rand(1, 3, 3, generator=g), "t": torch.rand(2, generator=g)}
    return Case(id=name, inputs={k: 0 * v if k in missing else v for k, v in inputs.items()}, missing=missing)


def test_the_mean_is_shown_as_zero() -> None:
    engine = Engine(predictor())
    (out,) = engine.outputs([case("1", "a")])
    own = case("1").inputs["t"]
    assert out.tolist() == pytest.approx([0, float(own[0] - 1), float(own[1] + 1) / 2])
    assert torch.equal(engine.stack([case("1", "a")])["a"], torch.full((1, 1, 3, 3), 2.0))


def test_a_mixed_batch_equals_its_cases_one_by_one() -> None:
    mixed = [case("1"), case("2", "a"), case("3", "t"), case("4", "a")]
    together = Engine(predictor()).predict(mixed)
    for c, row in zip(mixed, together):
        assert torch.equal(Engine(predictor()).predict([c])[0], row)
    maps = pc.explain_many(predictor(), mixed, methods=["input_x_gradient", "integrated_gradients"], targets=[0])
    for c in mixed:
        alone = pc.explain_many(predictor(), [c], methods=["input_x_gradient", "integrated_gradients"], targets=[0])
        for a, b in zip([a for a in maps if a.case_id == c.id], alone):
            assert a.method == b.method
            assert list(a.maps) == ["a", "t"]
            assert all(torch.equal(a.maps[n], b.maps[n]) for n in a.maps)


def test_differences_are_complete_over_the_inputs_that_are_there() -> None:
    c = case("5", "a")
    a = pc.explain(predictor(), c, method="integrated_gradients", target=1)
    assert a.checks["complete"].status == "pass"
    assert float(a.maps["t"].sum()) == pytest.approx(a.notes["expected"], abs=1e-5)
    assert not a.maps["a"].any()


def test_without_a_stand_in_the_case_is_refused() -> None:
    bare = Predictor(Sum().eval(), inputs=["a", "t"], task="regression", normalise={"t": MEAN["t"]})
    for call in (lambda: Engine(bare).predict([case("1", "a")]), lambda: pc.explain(bare, case("1", "a"), target=0)):
        with pytest.raises(UsageError, match=r"no stand-in for the input 'a', which is missing: neither a mean .*learnt"):
            call()
    pc.explain(bare, case("1", "t"), target=0)


def test_what_cannot_be_explained_together_or_at_all() -> None:
    engine = Engine(predictor())
    with pytest.raises(InputError, match="case 2 lacks nothing, case 1 lacks 'a'; explain these cases one by one"):
        Problem(engine, [case("1", "a"), case("2")], [])
    only_t = Predictor(nn.Identity().eval(), inputs=["t"], task="regression", normalise={"t": MEAN["t"]})
    with pytest.raises(UsageError, match=r"case 1 has none of the inputs of Identity \(t\); leave it out"):
        pc.explain(only_t, case("1", "t"), target=0)


def test_an_input_that_the_model_does_not_take_may_be_missing() -> None:
    only_t = Predictor(nn.Identity().eval(), inputs=["t"], task="regression")
    a = pc.explain(only_t, case("1", "a"), target=0)
    assert "missing_input" not in a.flags


def test_in_windows_too() -> None:
    p = Predictor(
        Labels().eval(), inputs=["a", "b"], task="segmentation", classes=["other", "thing"],
        normalise={n: (torch.tensor([0.5]), torch.tensor([2.0])) for n in "ab"}, windows={"roi": (4, 4)},
    )  # fmt: skip
    x = torch.rand(1, 7, 9, generator=torch.Generator().manual_seed(0))
    lacking = Case(id="w", inputs={"a": x, "b": torch.zeros_like(x)}, missing=("b",))
    filled = Case(id="w", inputs={"a": x, "b": torch.full_like(x, 0.5)})
    target = pc.RegionScore(0, region="image")
    a, b = (pc.explain(p, c, method="saliency", target=target) for c in (lacking, filled))
    assert torch.equal(a.maps["a"], b.maps["a"])
    assert not a.maps["b"].any()
    assert b.maps["b"].any()
    one, two = (pc.aggregate(p, c, method="saliency") for c in (lacking, filled))
    assert set(one["region"]) == set(two["region"]) != set()
