"""Trap: zero after normalisation is a mid-grey or a tissue; "absent" is meant in the image's own units."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from contract.families import explain
from pellucid.core.case import Case
from pellucid.core.fill import Fill
from pellucid.core.predictor import Predictor
from pellucid.core.target import Score
from pellucid.explain.gradient.integrated_gradients import IntegratedGradients
from pellucid.explain.perturbation.occlusion import Occlusion


class Mean(nn.Module):
    """The mean of what the network is shown."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1).mean(1)


CT = Predictor(Mean().eval(), inputs=["ct"], task="regression", normalise={"ct": (-600.0, 400.0)})
CASE = Case(id="1", inputs={"ct": torch.full((1, 4, 4), 40.0)})  # soft tissue


@pytest.mark.parametrize(("fill", "hu"), [("zero", 0.0), ("air", -1000.0), (-600, -600.0), (Fill(kind="constant", value=300), 300.0)])
def test_a_fill_is_in_hounsfield_units(fill: object, hu: float) -> None:
    """The network is shown (HU + 600) / 400: replacing one of 16 pixels changes the mean by (40 − fill) / 400 / 16."""
    ((a,),) = explain(Occlusion(window=1, stride=1, fill=fill), CT, [CASE], [Score()])
    torch.testing.assert_close(a.maps["ct"], torch.full((4, 4), (40 - hu) / 400 / 16), rtol=1e-3, atol=1e-6)
    ((a,),) = explain(IntegratedGradients(baseline=fill), CT, [CASE], [Score()])
    torch.testing.assert_close(a.maps["ct"], torch.full((1, 4, 4), (40 - hu) / 400 / 16), rtol=1e-3, atol=1e-6)
    assert a.provenance["parameters"]["baseline"]["kind"] in ("zero", "air", "constant")


def test_water_is_not_what_the_network_sees_as_zero() -> None:
    """The normalised zero is −600 HU, lung; a baseline of zero is 0 HU, water."""
    ((water,),) = explain(IntegratedGradients(baseline="zero"), CT, [CASE], [Score()])
    ((lung,),) = explain(IntegratedGradients(baseline=-600), CT, [CASE], [Score()])
    assert float(lung.maps["ct"].sum()) == pytest.approx(1.6, rel=1e-4)
    assert float(water.maps["ct"].sum()) == pytest.approx(0.1, rel=1e-4)
