"""What docs/reference-metrics.md calls the same number is the same number."""

import pytest
import torch

import pellucid as pc
from pages import section


@pytest.fixture(scope="module")
def found():
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 5, stride=2), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten(),
        torch.nn.Linear(64, 2),
    ).eval()  # fmt: skip
    predictor = pc.Predictor(net, inputs=["ct"], task="classification", classes=["benign", "malignant"])
    case = pc.load_dataset("synthetic_classification", n=1, size=48)[0]
    y, x = torch.meshgrid(torch.arange(48), torch.arange(48), indexing="ij")
    disc = (y - 20) ** 2 + (x - 20) ** 2 < 150
    case = pc.Case(id=case.id, inputs={"ct": case.inputs["ct"]}, regions={"lesion": disc})
    a = pc.explain(predictor, case, method="integrated_gradients", checks="full")
    scores = pc.evaluate(predictor, case, a, region="lesion", metrics=[
        "insertion_auc", "deletion_auc", "lerf_auc", "abpc", "aopc", {"selectivity": {"by": "pixels"}},
        {"region_perturbation": {"by": "pixels"}}, "dice_matched", "rank_accuracy", "iou_matched", "segu_matched",
        "mass_accuracy", "mass_in_mask", "attribution_localisation", "hit_rate", {"top_k_intersection": {"top": 0.05}},
        "stability_pearson", "parameter_randomisation", {"mprt": {"over": "last"}}, "completeness", "dice", "iou",
    ])  # fmt: skip
    return scores, a.checks, float(disc.float().mean())


def test_metrics_that_the_page_calls_the_same_are(found):
    s, _, share = found
    same = pytest.approx
    assert s["lerf_auc"] == same(s["insertion_auc"])
    assert s["abpc"] == same(s["insertion_auc"] - s["deletion_auc"])
    assert s["selectivity"] == same(s["deletion_auc"])
    assert s["region_perturbation"] == same(s["aopc"])
    assert s["dice_matched"] == same(s["rank_accuracy"])
    assert s["iou_matched"] == same(s["dice_matched"] / (2 - s["dice_matched"]))
    assert s["iou"] == same(s["dice"] / (2 - s["dice"]))
    assert s["segu_matched"] == same(s["iou_matched"])
    assert s["mass_in_mask"] == same(s["mass_accuracy"])
    assert s["attribution_localisation"] == same(s["mass_accuracy"] / share)
    assert s["hit_rate"] == same(s["top_k_intersection"], abs=1.5 / (0.05 * 48 * 48))  # a pixel more or less
    assert s["mprt"] == same(s["parameter_randomisation"])
    assert 0.05 < s["dice_matched"] < 1  # not the same because both are 0


def test_the_numbers_of_the_verdicts_are_those_of_the_metrics(found):
    s, checks, _ = found
    assert checks["stable"].value == pytest.approx(s["stability_pearson"])
    assert checks["sane"].value == pytest.approx(s["parameter_randomisation"])
    assert checks["complete"].value == pytest.approx(s["completeness"])


def test_the_page_says_so():
    said = section("docs/reference-metrics.md", "The metrics").replace("\n", " ")
    for sentence in (
        "`lerf_auc` is `insertion_auc`", "`selectivity` is `deletion_auc`", "`region_perturbation` is `aopc`",
        "`dice_matched` and `rank_accuracy` are the same number", "`segu_matched` is `iou_matched`",
        "`mass_in_mask` is `mass_accuracy`", "`hit_rate` is `top_k_intersection` with `top=0.05`, to within a pixel",
        "`mprt` with `over=\"last\"` is the same number",
    ):  # fmt: skip
        assert sentence in said
