"""The scalar that is explained."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from contract.families import FAMILIES, explain
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.core.target import ClassScore, Objective, RegionScore, Score, as_target
from pellucid.engine import Engine, Problem
from pellucid.errors import UsageError
from pellucid.explain.gradient.saliency import Saliency
from pellucid.explain.perturbation.occlusion import Occlusion

SEG = Predictor(nn.Identity(), inputs=["x"], task="segmentation", classes=["back", "liver", "tumour"])
CLS = Predictor(nn.Identity(), inputs=["x"], task="classification", classes=["benign", "malignant"])
REG = Predictor(nn.Identity(), inputs=["x"], task="regression")
OUT = torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(0))
CASE = Case(
    id="p1", inputs={"x": torch.zeros(3, 4, 4)}, truth=torch.tensor([[0, 1, 2, 2]] * 4), regions={"box": torch.eye(4)},
)  # fmt: skip


def value(target: RegionScore, out: Tensor = OUT, predictor: Predictor = SEG, case: Case = CASE) -> float:
    objective = Objective(predictor, [case], [target])
    objective.bind(out[None], torch.tensor([0]))
    return float(objective(out[None], torch.tensor([0])))


def test_region_scores_are_what_they_say() -> None:
    predicted = OUT.argmax(0) == 2
    assert predicted.any()
    assert value(RegionScore(2)) == pytest.approx(float(OUT[2][predicted].sum()), rel=1e-5)
    assert value(RegionScore("tumour", reduce="mean")) == pytest.approx(float(OUT[2][predicted].mean()), rel=1e-5)
    p = OUT.softmax(0)[2]
    assert value(RegionScore(2, reduce="probability_weighted")) == pytest.approx(float((p * OUT[2])[predicted].sum()), rel=1e-5)
    assert value(RegionScore(2, region="truth")) == pytest.approx(float(OUT[2, :, 2:].sum()), rel=1e-5)
    assert value(RegionScore(1, region="box")) == pytest.approx(float(OUT[1].diagonal().sum()), rel=1e-5)
    assert value(RegionScore(1, region="image", reduce="mean")) == pytest.approx(float(OUT[1].mean()), rel=1e-5)
    assert value(RegionScore(1, region="image", on="probability")) == pytest.approx(float(OUT.softmax(0)[1].sum()), rel=1e-5)


def test_one_channel_region_is_where_the_probability_exceeds_the_threshold() -> None:
    p = Predictor(nn.Identity(), inputs=["x"], task="segmentation", classes=["lesion"])
    out = OUT[:1]
    assert value(RegionScore(), out, p) == pytest.approx(float(out[out > 0].sum()), rel=1e-5)
    truth = CASE.replace(truth=(CASE.truth == 2).long())
    assert value(RegionScore(region="truth"), out, p, truth) == pytest.approx(float(out[0, :, 2:].sum()), rel=1e-5)


def test_class_and_number_scores() -> None:
    z = torch.tensor([[1.0, 3.0]])
    for target, wanted in (
        (ClassScore(0), 1.0), (ClassScore("malignant"), 3.0), (ClassScore(), 3.0),
        (ClassScore(0, on="probability"), float(z.softmax(1)[0, 0])),
    ):  # fmt: skip
        objective = Objective(CLS, [CASE], [target])
        objective.bind(z, torch.tensor([0]))
        assert float(objective(z, torch.tensor([0]))) == pytest.approx(wanted)
    objective = Objective(REG, [CASE], [Score(1)])
    objective.bind(z, torch.tensor([0]))
    assert float(objective(z, torch.tensor([0]))) == 3.0
    assert objective.bound[0][0].label == "score 1"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ClassScore(0, on="prob"), "choose 'logit' or 'probability'"),
        (lambda: RegionScore(0, on="prob"), "choose 'logit' or 'probability'"),
        (lambda: RegionScore(0, reduce="means"), "did you mean 'mean'"),
        (lambda: Score("zero"), "give the number of an output neuron"),
        (lambda: Objective(CLS, [CASE], []), "no target: give at least one"),
        (lambda: value(RegionScore(3)), "class 3: the model has 3 classes"),
        (lambda: value(RegionScore("tumor")), "unknown class 'tumor'; did you mean 'tumour'"),
        (lambda: value(RegionScore(1, region="truth"), case=CASE.replace(truth=None)), "case p1: region 'truth' asked for, but the case has no true mask"),
        (lambda: value(RegionScore(1, region="truth"), case=CASE.replace(truth=1)), "no true mask"),
        (lambda: value(RegionScore(1, region="box"), OUT[:, :2, :2]), r"case p1: region 'box' is \(4, 4\), the model's output is \(2, 2\)"),
        (lambda: ClassScore(0).bind(SEG, OUT, CASE), "ClassScore explains a classification, this model does segmentation; use RegionScore"),
        (lambda: RegionScore(0).bind(CLS, OUT, CASE), "RegionScore explains a segmentation, this model does classification; use ClassScore"),
        (lambda: Score(4).bind(REG, torch.zeros(2), CASE), r"Score\(4\): the model has 2 outputs, numbered from 0"),
        (lambda: Score(-1).bind(REG, torch.zeros(2), CASE), r"Score\(-1\)"),
    ],
)
def test_targets_that_cannot_be(make, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()


def test_targets_from_plain_values() -> None:
    assert as_target("predicted", CLS) == ClassScore()
    assert as_target("benign", CLS) == ClassScore("benign")
    assert as_target(1, SEG) == RegionScore(1)
    assert as_target(torch.tensor([1]).numpy()[0], CLS) == ClassScore(1)
    assert as_target("predicted", REG) == Score(0)
    assert as_target("1", REG) == Score(1)
    for target in (ClassScore("benign", on="probability"), Score(2), RegionScore(1, region="box", reduce="mean", refresh=True)):
        assert as_target(target.describe(), CLS) == target
    for wrong, message in (
        (None, "target None: give ClassScore, Score, RegionScore, a class or 'predicted'"), (1.5, "target 1.5"), (True, "target True"),
        ({"kind": "clas"}, "target kind 'clas'; did you mean 'class'"), ({"kind": "class", "q": 1}, "target .*q"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=message):
            as_target(wrong, CLS)
    with pytest.raises(UsageError, match="unknown class 'first'"):
        as_target("first", REG)


class Threshold(nn.Module):
    """Two channels: brightness against 0.5, so that what is predicted is what is bright."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([0.5 - x, x - 0.5], 1) * 4


BRIGHT = Predictor(Threshold().eval(), inputs=["x"], task="segmentation", classes=["dark", "bright"])


def bright_case() -> Case:
    x = torch.zeros(1, 6, 6)
    x[0, 1:3, 1:3] = 1.0
    return Case(id="b", inputs={"x": x})


@pytest.mark.parametrize("method", ["saliency", "integrated_gradients", "deeplift", "smoothgrad", "gradient_shap", "occlusion", "feature_ablation", "input_x_gradient"])
def test_an_empty_region_gives_a_zero_map_and_a_flag(method: str) -> None:
    dark = Case(id="d", inputs={"x": torch.full((1, 6, 6), 0.1)})
    for reduce in ("sum", "mean", "probability_weighted"):
        rows = explain(method, BRIGHT, [dark, bright_case()], [RegionScore("bright", reduce=reduce)])
        empty, full = rows[0][0], rows[1][0]
        assert float(empty.maps["x"].abs().max()) == 0
        assert empty.flags == ("empty_target",)
        assert empty.score == 0
        assert empty.checks["not_empty"].status == "warn"
        assert "empty" in empty.checks["not_empty"].sentence
        assert "empty_target" not in full.flags
        assert float(full.maps["x"].abs().max()) > 0


def test_grad_cam_of_an_empty_region() -> None:
    f = FAMILIES["segmentation"]
    case = f.cases(1)[0].replace(regions={"nothing": torch.zeros(16, 16)})
    ((a,),) = explain("grad_cam", f.predictor(), [case], [RegionScore(1, region="nothing")])
    assert a.flags == ("empty_target",)
    assert float(a.maps["x"].abs().max()) == 0


def test_the_region_stays_as_it_was_on_the_clean_image() -> None:
    """Occluding part of the region changes the sum there; with refresh the region itself shrinks."""
    case, fill = bright_case(), 0.4
    fixed = explain(Occlusion(window=1, stride=1, fill=fill), BRIGHT, [case], [RegionScore("bright")])[0][0]
    moved = explain(Occlusion(window=1, stride=1, fill=fill), BRIGHT, [case], [RegionScore("bright", refresh=True)])[0][0]
    inside = torch.zeros(6, 6, dtype=torch.bool)
    inside[1:3, 1:3] = True
    # 4·(1 − 0.5) = 2 at a bright pixel; filled with 0.4 it gives −0.4 where the region is fixed, and leaves it otherwise
    torch.testing.assert_close(fixed.maps["x"][inside], torch.full((4,), 2.4))
    torch.testing.assert_close(moved.maps["x"][inside], torch.full((4,), 2.0))
    assert float(fixed.maps["x"][~inside].abs().max()) == float(moved.maps["x"][~inside].abs().max()) == 0
    assert fixed.score == moved.score == 8.0


def test_no_gradient_flows_through_the_region_or_the_weights() -> None:
    ((a,),) = explain(Saliency(keep_sign=True), BRIGHT, [bright_case()], [RegionScore("bright", reduce="probability_weighted")])
    p = float(torch.tensor([-2.0, 2.0]).softmax(0)[1])
    wanted = torch.zeros(6, 6)
    wanted[1:3, 1:3] = 4 * p
    torch.testing.assert_close(a.maps["x"][0], wanted)


def test_frozen_targets_keep_the_class_and_region_of_another_case() -> None:
    engine = Engine(BRIGHT)
    clean = Problem(engine, [bright_case()], [RegionScore()])
    clean.bind()
    darker = bright_case().replace(inputs={"x": bright_case().inputs["x"] * 0.2})
    frozen = Problem(engine, [darker], [RegionScore()], frozen=[clean.objective.bound[0]])
    free = Problem(engine, [darker], [RegionScore()])
    assert float(frozen.scores) == pytest.approx(4 * 4 * (0.2 - 0.5))
    free.bind()
    assert free.objective.bound[0][0].flags == ("empty_target",)
