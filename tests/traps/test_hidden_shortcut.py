"""Masking makes a wrong model look right: one that reads a letter in the corner, seen through the mask of the lesion."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import pellucid as pc
from pellucid.core.case import Case

LETTER, LESION = (slice(1, 6), slice(1, 5)), (slice(14, 22), slice(12, 22))


class ReadsTheLetter(nn.Module):
    """Bright pixels in the corner make it say "malignant"; the lesion hardly counts."""

    def __init__(self) -> None:
        super().__init__()
        weight = torch.zeros(1, 28, 28)
        weight[0][LETTER] = 1.0
        weight[0][LESION] = 0.005
        self.weight = nn.Parameter(weight)

    def forward(self, x: Tensor) -> Tensor:
        seen = (x * self.weight).flatten(1).sum(1, keepdim=True)
        return torch.cat([-seen, seen], 1)


def marked() -> Case:
    x = 0.2 * torch.rand(1, 28, 28, generator=torch.Generator().manual_seed(0))
    x[0][LESION] += 0.6
    x[0][LETTER] += 0.7
    mask = torch.zeros(28, 28, dtype=torch.bool)
    mask[LESION] = True
    return Case(id="c", inputs={"x": x}, regions={"lesion": mask})


def test_the_picture_looks_right_and_everything_beside_it_says_that_it_is_not():
    case = marked()
    predictor = pc.Predictor(ReadsTheLetter().eval(), inputs=["x"], task="classification", classes=["benign", "malignant"])
    a = pc.explain(predictor, case, method="input_x_gradient", target="malignant")
    s = pc.segx(a, "lesion", case=case)

    # What a reader of the masked picture sees: all of it, and its highest values, on the lesion.
    peak = int(s.spatial("x").argmax())
    assert case.regions["lesion"].flatten()[peak]
    whole, cut = pc.evaluate(predictor, case, [a, s], ["pointing_game", "mass_accuracy", "segu", "segu_matched", "mass_in_mask"])
    assert cut["pointing_game"] == cut["mass_accuracy"] == 1
    assert whole["pointing_game"] == 0

    # What stands beside it.
    assert s.refinement["discarded_mass"] > 0.95
    assert "hides_evidence" in s.flags
    assert s.checks["inside"].status == "fail"
    assert "of the evidence" in s.checks["inside"].sentence
    assert torch.equal(s.refinement["unmasked"]["x"], a.maps["x"])
    assert cut["segu"] == whole["segu"] < 0.25  # certainty is not fooled by the mask
    assert cut["mass_in_mask"] == whole["mass_in_mask"] < 0.05
    assert cut["segu_matched"] == whole["segu_matched"] < 1


def test_a_model_that_reads_the_lesion_is_not_accused():
    case = marked()
    model = ReadsTheLetter().eval()
    with torch.no_grad():
        model.weight.copy_(model.weight.flip(0) * 0)
        model.weight[0][LESION] = 1.0
    predictor = pc.Predictor(model, inputs=["x"], task="classification", classes=["benign", "malignant"])
    a = pc.explain(predictor, case, method="input_x_gradient", target="malignant")
    s = pc.segx(a, "lesion", case=case)
    assert s.checks["inside"].status == "pass" and "hides_evidence" not in s.flags
    assert s.refinement["discarded_mass"] < 1e-6
