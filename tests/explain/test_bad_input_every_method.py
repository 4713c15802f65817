"""What a user can get wrong with any method: one clear sentence, whatever is registered."""

from __future__ import annotations

import dataclasses
import typing
import warnings

import pytest
import torch
from torch import nn

from contract.families import FAMILIES, METHODS, explain
from pellucid.core.case import Case
from pellucid.core.explainer import EXPLAINERS
from pellucid.core.predictor import Predictor
from pellucid.core.target import ClassScore, RegionScore
from pellucid.errors import InputError, ModelError, PellucidError, UsageError
from pellucid.explain.make import as_explainer

FITS = {m: next(f for f in FAMILIES.values() if f.runs(m)) for m in METHODS}
FIELDS = [(m, f) for m in METHODS for f in dataclasses.fields(EXPLAINERS[m])]
every = pytest.mark.parametrize("method", METHODS)


class Wrapped(nn.Module):
    """A good model whose answer comes in a wrapping."""

    def __init__(self, inner: nn.Module, wrap) -> None:
        super().__init__()
        self.inner, self.wrap = inner, wrap

    def forward(self, *inputs):
        return self.wrap(self.inner(*inputs))


def one_sentence(call, kind: type[PellucidError], match: str) -> None:
    with pytest.raises(kind, match=match) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) > 20


@every
@pytest.mark.parametrize(("wrap", "said"), [(lambda z: (z, z), "a tuple"), (lambda z: {"logits": z}, "a dict"), (lambda z: None, "a NoneType")])
def test_a_model_that_returns_no_tensor(method: str, wrap, said: str) -> None:
    f = FITS[method]
    p = f.predictor(Wrapped(f.module(), wrap).eval())
    one_sentence(lambda: explain(method, p, f.cases(1), f.targets), ModelError, rf"Wrapped returned {said}, not a tensor; say which part")


@every
def test_a_part_of_what_the_model_returns(method: str) -> None:
    f = FITS[method]
    if "linear_head" in EXPLAINERS[method].needs:
        pytest.skip("the head has to be the model's last step")
    p = f.predictor(Wrapped(f.module(), lambda z: {"aux": None, "logits": z}).eval())
    p.output = "logits"
    ((a, *_),) = explain(method, p, f.cases(1), f.targets)
    ((b, *_),) = explain(method, f.predictor(), f.cases(1), f.targets)
    for name, m in a.maps.items():
        torch.testing.assert_close(m, b.maps[name], rtol=1e-4, atol=1e-5 * max(1e-9, float(m.abs().max())))


@every
def test_a_scripted_module_is_explained_as_the_plain_one_or_refused(method: str) -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    ).eval()
    task, target = "classification", ClassScore(0)
    if task not in EXPLAINERS[method].tasks:
        plain, task, target = plain[:2].append(nn.Conv2d(4, 3, 1)).eval(), "segmentation", RegionScore(0, region="image")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        scripted = torch.jit.script(plain)
    cases = FAMILIES["picture"].cases(1)
    ours, theirs = (Predictor(m, inputs=["x"], task=task, classes=list("abc")) for m in (plain, scripted))
    needs = EXPLAINERS[method].needs
    if {"layer", "linear_head"} & set(needs):
        one_sentence(lambda: explain(method, theirs, cases, [target]), UsageError, "scripted or traced .*plain nn.Module")
        return
    if {"attention", "several_inputs"} & set(needs):
        one_sentence(lambda: explain(method, theirs, cases, [target]), UsageError, "attention|several inputs")
        return
    ((a,),) = explain(method, ours, cases, [target])
    try:
        ((b,),) = explain(method, theirs, cases, [target])
    except UsageError as error:
        assert "scripted or traced (torch.jit)" in str(error)  # noqa: PT017
        assert "gradient" in needs
        return
    torch.testing.assert_close(a.maps["x"], b.maps["x"], rtol=1e-3, atol=1e-5 * float(a.maps["x"].abs().max()))


@every
def test_an_input_by_another_name(method: str) -> None:
    f = FITS[method]
    case = f.cases(1)[0]
    other = Case(id="p17", inputs={f"{k}2": v for k, v in case.inputs.items()}, spacing=case.spacing)
    one_sentence(lambda: explain(method, f.predictor(), [other], f.targets), InputError, "case p17: the model wants input .* did you mean")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
@every
def test_cuda_where_there_is_none(method: str) -> None:
    f = FITS[method]
    one_sentence(lambda: explain(method, f.predictor(), f.cases(1), f.targets, device="cuda"), UsageError, "PyTorch sees no GPU; use device='cpu'")


@every
def test_an_option_that_does_not_exist(method: str) -> None:
    one_sentence(lambda: as_explainer(method, {"sampels": 3}), UsageError, f"method '{method}' has no option 'sampels'")
    one_sentence(lambda: as_explainer(method[:-1] + "q"), UsageError, f"unknown method.*'{method}'")


def hints(method: str) -> dict[str, object]:
    return typing.get_type_hints(EXPLAINERS[method])


NUMBERS = [
    (m, f.name)
    for m, f in FIELDS
    if {int, float} & {hints(m)[f.name], *typing.get_args(hints(m)[f.name])}
    and (m, f.name) not in {("attention", "layer"), ("cross_attention", "layer")}  # −1 is the last one
]


@pytest.mark.parametrize(("method", "option"), NUMBERS)
@pytest.mark.parametrize("value", [-1, float("nan")])
def test_a_number_that_cannot_be(method: str, option: str, value: float) -> None:
    """No option of ours is a negative number or NaN."""
    f = FITS[method]
    one_sentence(lambda: explain(as_explainer(method, {option: value}), f.predictor(), f.cases(1), f.targets), UsageError, option)


@pytest.mark.parametrize(("method", "option"), [(m, f.name) for m, f in FIELDS if f.name in ("fill", "baseline")])
@pytest.mark.parametrize(
    ("value", "said"),
    [("meen", "unknown fill 'meen'; did you mean 'mean'"), (float("nan"), "fill value nan: give a finite number"), ([1], r"fill \[1\]: give one of")],
)
def test_a_fill_that_cannot_be(method: str, option: str, value: object, said: str) -> None:
    one_sentence(lambda: as_explainer(method, {option: value}), UsageError, said)


@pytest.mark.parametrize("method", [m for m, f in FIELDS if f.name == "layer" and {"layer", "linear_head"} & set(EXPLAINERS[m].needs)])
def test_a_layer_that_cannot_be(method: str) -> None:
    f = FITS[method]
    name = next(iter(f.shapes))
    for layer, said in (
        (f"parts.{name}.secnd", rf"no layer 'parts.{name}.secnd' with a spatial map; did you mean 'parts.{name}.second'"),
        ("head", r"layer 'head' has no spatial map"),
    ):
        one_sentence(lambda layer=layer: explain(as_explainer(method, {"layer": layer}), f.predictor(), f.cases(1), f.targets), UsageError, said)
