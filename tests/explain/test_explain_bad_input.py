"""What a user can get wrong when explaining: one clear sentence of the right kind."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from contract.families import FAMILIES, explain
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.core.target import ClassScore, RegionScore, Score
from pellucid.engine import Engine
from pellucid.errors import InputError, ModelError, PellucidError, UsageError
from pellucid.explain.perturbation.feature_ablation import FeatureAblation
from pellucid.explain.perturbation.occlusion import Occlusion

F = FAMILIES["picture"]
BOTH = FAMILIES["picture_and_table"]


class Returns(nn.Module):
    """A model that returns what it should not."""

    def __init__(self, change: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.inner, self.change = F.module(), change

    def forward(self, x: Tensor) -> object:
        return self.change(self.inner(x))


def returning(change: Callable[[Tensor], object], **options: object) -> Predictor:
    return Predictor(Returns(change).eval(), **{"inputs": ["x"], "task": "classification", "classes": list("abc"), **options})  # type: ignore[arg-type]


def picture(**inputs: Tensor) -> Case:
    return Case(id="p17", inputs=inputs or {"x": torch.zeros(2, 16, 16)})


WRONG: list[tuple[str, type[PellucidError], str, Callable[[], object]]] = [
    ("class by number", UsageError, "class 7: the model has 3 classes, numbered from 0", lambda: explain("saliency", F.predictor(), F.cases(1), [ClassScore(7)])),
    ("class by name", UsageError, "unknown class 'k11'; did you mean 'k1'", lambda: explain("saliency", F.predictor(), F.cases(1), [ClassScore("k11")])),
    ("target of another task", UsageError, "RegionScore explains a segmentation, this model does classification; use ClassScore", lambda: explain("saliency", F.predictor(), F.cases(1), [RegionScore(0)])),
    ("score that is not there", UsageError, r"Score\(2\): the model has 2 outputs", lambda: explain("saliency", FAMILIES["regression"].predictor(), FAMILIES["regression"].cases(1), [Score(2)])),
    ("no target", UsageError, "no target: give at least one", lambda: explain("saliency", F.predictor(), F.cases(1), [])),
    ("window", UsageError, r"window \(17, 17\) is larger than input 'x' \(16, 16\); give at most 16", lambda: explain(Occlusion(window=17), F.predictor(), F.cases(1), F.targets)),
    ("window axes", UsageError, r"window=\(2, 2, 2\) has 3 axes, the input has 2", lambda: explain(Occlusion(window=(2, 2, 2)), F.predictor(), F.cases(1), F.targets)),
    ("stride", UsageError, r"stride \(5, 5\) is larger than the window \(3, 3\): pixels would be left out", lambda: explain(Occlusion(window=3, stride=5), F.predictor(), F.cases(1), F.targets)),
    ("groups", UsageError, "case c0: groups 'organs' is neither 'superpixels', .*'modality' nor one of its regions", lambda: explain(FeatureAblation(groups="organs"), F.predictor(), F.cases(1), F.targets)),
    ("modality name", InputError, "case p17: the model wants input 'x', the case has 'ct'", lambda: explain("saliency", F.predictor(), [picture(ct=torch.zeros(2, 16, 16))], F.targets)),
    ("missing table", InputError, "case p17: the model wants input 'table', the case has 'image'", lambda: explain("saliency", BOTH.predictor(), [picture(image=torch.zeros(1, 16, 16))], F.targets)),
    ("columns", InputError, "case p17: input 'table' has 4 channels, the model was given statistics for 5", lambda: explain("saliency", BOTH.predictor(), [picture(image=torch.zeros(1, 16, 16), table=torch.zeros(4))], F.targets)),
    ("channels", ModelError, r"Fusion failed on inputs x \(3, 16, 16\): .*expected input.* to have 2 channels, but got 3", lambda: explain("saliency", F.predictor(), [picture(x=torch.zeros(3, 16, 16))], F.targets)),
    ("axes", ModelError, r"Fusion failed on inputs x \(2, 4, 16, 16\)", lambda: explain("saliency", F.predictor(), [picture(x=torch.zeros(2, 4, 16, 16))], F.targets)),
    ("shapes in one batch", InputError, "input 'x' has different shapes in one batch.*one by one", lambda: explain("saliency", F.predictor(), [*F.cases(1), picture(x=torch.zeros(2, 8, 8))], F.targets)),
    ("background of another shape", InputError, r"background case p17: input 'x' is \(2, 8, 8\), that of case c0 is \(2, 16, 16\); resample", lambda: explain("gradient_shap", F.predictor(), F.cases(1), F.targets, background=[*F.cases(1), picture(x=torch.zeros(2, 8, 8))])),
    ("tuple", ModelError, r"Returns returned a tuple, not a tensor; say which part with Predictor\(output=…\) \(an index\)", lambda: explain("saliency", returning(lambda z: (z, z)), F.cases(1), F.targets)),
    ("dict", ModelError, r"Returns returned a dict, not a tensor; .*\(keys \['logits'\]\)", lambda: explain("saliency", returning(lambda z: {"logits": z}), F.cases(1), F.targets)),
    ("no such part", ModelError, "Returns returns no output 'logit': dict", lambda: explain("saliency", returning(lambda z: {"logits": z}, output="logit"), F.cases(1), F.targets)),
    ("NaN", ModelError, "Returns returned NaN or infinite values for 1 of 1 inputs", lambda: explain("saliency", returning(lambda z: z / 0), F.cases(1), F.targets)),
    ("class count", UsageError, r"Returns has 2 outputs, but 3 classes were named \(a, b, c\); name one per output", lambda: explain("saliency", returning(lambda z: z[:, :2]), F.cases(1), F.targets)),
    ("batch lost", ModelError, r"Returns returned \(3,\) for 1 inputs; a classification returns \(B, K\)", lambda: explain("saliency", returning(lambda z: z[0]), F.cases(1), F.targets)),
    ("map for a class", ModelError, r"Returns returned \(1, 3, 1, 1\) for 1 inputs; a classification returns \(B, K\)", lambda: explain("saliency", returning(lambda z: z[..., None, None]), F.cases(1), F.targets)),
    ("class for a map", ModelError, r"Returns returned \(1, 3\) for 1 inputs; a segmentation returns \(B, K, \*spatial\)", lambda: explain("saliency", returning(lambda z: z, task="segmentation"), F.cases(1), [RegionScore(0)])),
    ("tables only", UsageError, "grad_cam needs an input with spatial axes; this model has tables only", lambda: explain("grad_cam", Predictor(nn.Linear(4, 2).eval(), inputs=["t"], task="classification", classes=["a", "b"]), [picture(t=torch.zeros(4))], [ClassScore(0)])),
    ("a module that holds a lock", ModelError, "Linear cannot be copied .*lock.*; take off it what", lambda: Engine(Predictor(_locked(), inputs=["t"], task="regression"))),
]  # fmt: skip


def _locked() -> nn.Module:
    module = nn.Linear(2, 1).eval()
    module.lock = threading.Lock()  # type: ignore[assignment]
    return module


@pytest.mark.parametrize(("kind", "message", "call"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_one_clear_sentence(kind: type[PellucidError], message: str, call: Callable[[], object]) -> None:
    with pytest.raises(kind, match=message) as caught:
        call()
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("output", "change"), [(1, lambda z: (None, z)), ("logits", lambda z: {"logits": z, "aux": None})])
def test_a_part_of_the_output_can_be_picked(output: object, change: Callable[[Tensor], object]) -> None:
    rows = explain("saliency", returning(change, output=output), F.cases(1), F.targets)
    assert torch.equal(rows[0][0].maps["x"], explain("saliency", F.predictor(F.module()), F.cases(1), F.targets)[0][0].maps["x"])


def test_a_model_that_returns_nan_only_when_perturbed_is_refused_too() -> None:
    class Log(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.log(x.flatten(1).amin(1, keepdim=True)).expand(-1, 2)

    p = Predictor(Log().eval(), inputs=["x"], task="classification", classes=["a", "b"])
    case = Case(id="1", inputs={"x": torch.rand(1, 4, 4) + 1})
    explain("saliency", p, [case], [ClassScore(0)])
    with pytest.raises(ModelError, match="NaN or infinite values"):
        explain(Occlusion(window=2, fill="zero"), p, [case], [ClassScore(0)])
