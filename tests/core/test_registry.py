"""Names, options and their near misses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest

from pellucid.core.explainer import EXPLAINERS, Explainer, Result
from pellucid.core.fill import Fill
from pellucid.core.registry import Registry, build
from pellucid.errors import UsageError
from pellucid.explain.make import as_explainer


def test_names_are_taken_once() -> None:
    registry: Registry[type] = Registry("thing", "pellucid.explain")
    registry.add("one", int)
    registry.add("one", int)
    with pytest.raises(UsageError, match="two things are called 'one'; rename one"):
        registry.add("one", str)
    registry.register("two")(str)
    assert list(registry) == ["one", "two"]
    assert len(registry) == 2
    assert "two" in registry
    assert dict(registry.items()) == {"one": int, "two": str}
    with pytest.raises(UsageError, match="unknown thing 'twoo'; did you mean 'two'"):
        registry["twoo"]


def test_a_method_registers_itself_and_every_method_describes_itself() -> None:
    for name, cls in EXPLAINERS.items():
        assert cls.name == name
        assert cls.family in ("gradient", "cam", "perturbation", "shapley", "attention", "control")
        assert cls.source, f"{name} names its source"
        assert (cls.__doc__ or "").strip().splitlines()[0]
        assert "Budget" in (cls.__doc__ or ""), f"{name} says what it costs"
        described = cls().describe()
        assert as_explainer(name, described) == cls(), "provenance is enough to make the method again"


def test_a_new_method_is_one_class() -> None:
    try:

        @dataclass(frozen=True, kw_only=True)
        class Mine(Explainer):
            """The gradient, doubled."""

            name: ClassVar[str] = "mine_for_this_test"
            family: ClassVar[str] = "gradient"
            times: float = 2.0

            def attribute(self, problem) -> Result:
                return Result({k: self.times * g for k, g in problem.gradient.sums.items()})

        assert "mine_for_this_test" in EXPLAINERS
        assert as_explainer("mine_for_this_test", {"times": 3.0}) == Mine(times=3.0)
    finally:
        EXPLAINERS._entries.pop("mine_for_this_test", None)


def test_the_ways_to_name_a_method() -> None:
    wanted = EXPLAINERS["occlusion"](window=4, fill="mean")  # type: ignore[call-arg]
    assert wanted.fill == Fill(kind="mean")  # type: ignore[attr-defined]
    for method, options in (
        ("occlusion", {"window": 4}), ({"occlusion": {"window": 4}}, {}), (("occlusion", {"window": 4}), {}), (wanted, {}),
    ):  # fmt: skip
        assert as_explainer(method, options) == wanted
    assert as_explainer({"edge": None}) == EXPLAINERS["edge"]()


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("oclusion", {}, "unknown method 'oclusion'; did you mean 'occlusion'"),
        ("gradcam", {}, "unknown method 'gradcam'; did you mean 'grad_cam'"),
        ("occlusion", {"windw": 3}, "method 'occlusion' has no option 'windw'; did you mean 'window'"),
        ("saliency", {"n_steps": 3}, "method 'saliency' has no option 'n_steps'; known: keep_sign"),
        ("occlusion", {"window": "16"}, "method 'occlusion' with .*window.* an option is of the wrong type"),
        ("occlusion", {"window": 0}, "window=0: give 1 pixel or more"),
        ("occlusion", {"fill": "blurr"}, "unknown fill 'blurr'; did you mean 'blur'"),
        ("integrated_gradients", {"rule": "simpson"}, "unknown rule 'simpson'; choose midpoint"),
        ("integrated_gradients", {"rule": "trapezoid", "n_steps": 1}, "the trapezoid rule needs both ends"),
        ("integrated_gradients", {"n_steps": 0}, "n_steps=0: give 1 or more"),
        ("integrated_gradients", {"tolerance": 0}, "tolerance=0: give a positive share"),
        ("smoothgrad", {"samples": 0}, "samples=0: give 1 or more"),
        ("smoothgrad", {"noise": -1}, "noise=-1: give a positive share"),
        ("gradient_shap", {"noise": -1}, "noise=-1: give a share"),
        ("grad_cam", {"sign": "both"}, "sign='both': choose 'positive' or 'signed'"),
        ("feature_ablation", {"side": 0}, "side=0: .*give 1 pixel or more"),
        (3, {}, "method 3: give a name, an Explainer"),
        ({"a": {}, "b": {}}, {}, "a method with options is one name and its options"),
    ],
)
def test_wrong_methods_and_options(method, options, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        as_explainer(method, options)


def test_options_beside_an_explainer_are_refused() -> None:
    with pytest.raises(UsageError, match="method is already a Saliency object; give its options to it: keep_sign"):
        as_explainer(EXPLAINERS["saliency"](), {"keep_sign": True})


def test_a_class_that_refuses_its_options_is_heard() -> None:
    @dataclass
    class Thing:
        size: int

    assert build(Thing, "thing", "x", {"size": 3}) == Thing(3)
    with pytest.raises(UsageError, match="thing 'x' has no option 'sice'; did you mean 'size'"):
        build(Thing, "thing", "x", {"sice": 3})
