"""What "absent" means, in the image's own units."""

from __future__ import annotations

import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import nn

from pellucid.api import evaluate, explain
from pellucid.core.case import Case
from pellucid.core.fill import KINDS, Fill, as_fill, blur
from pellucid.core.predictor import Predictor
from pellucid.errors import InputError, UsageError

X = torch.rand(2, 3, 8, 9, generator=torch.Generator().manual_seed(0)) * 100 - 1000
P = Predictor(nn.Identity(), inputs=["ct", "ehr"], task="regression", normalise={"ct": (-500, 300), "ehr": ([60, 20], [10, 5])})


USUAL = torch.rand(4, 3, 8, 9, generator=torch.Generator().manual_seed(1)) * 50 - 900


def of(fill: Fill, x: torch.Tensor = X, name: str = "ct", seed: int = 0) -> torch.Tensor:
    usual = USUAL if x.shape[1:] == USUAL.shape[1:] else x.repeat(2, *[1] * (x.ndim - 1)) + 1
    return fill.of(name, x, P, [torch.Generator().manual_seed(seed + b) for b in range(len(x))], usual)


def test_fills_are_in_the_images_units() -> None:
    """The normalisation of the model plays no part: zero is 0 HU, not the mean."""
    assert of(Fill()).unique().tolist() == [0]
    assert of(Fill(kind="air")).unique().tolist() == [-1000]
    assert of(Fill(kind="constant", value=40.5)).unique().tolist() == [40.5]
    mean = of(Fill(kind="mean"))
    for b in range(2):
        for c in range(3):
            torch.testing.assert_close(mean[b, c], X[b, c].mean().expand(8, 9))


def test_noise_lies_in_the_channels_range_and_follows_its_seed() -> None:
    noise = of(Fill(kind="noise"))
    low, high = X.amin((2, 3), keepdim=True), X.amax((2, 3), keepdim=True)
    assert ((noise >= low) & (noise <= high)).all()
    assert float(noise.std()) > 10
    assert torch.equal(noise, of(Fill(kind="noise")))
    assert not torch.equal(noise, of(Fill(kind="noise"), seed=9))
    assert not torch.equal(noise[0] - low[0], noise[1] - low[1])


def test_noise_is_another_name_for_uniform() -> None:
    assert Fill(kind="noise") == Fill(kind="uniform")
    assert torch.equal(of(as_fill("noise")), of(as_fill("uniform")))
    assert as_fill("noise").describe() == {"kind": "uniform"}


def test_gaussian_has_the_channels_mean_and_sd_and_follows_its_seed() -> None:
    x = torch.rand(2, 2, 60, 70) * torch.tensor([30.0, 500.0]).view(1, 2, 1, 1) + torch.tensor([0.0, -1000.0]).view(1, 2, 1, 1)
    noise = of(Fill(kind="gaussian"), x)
    assert torch.equal(noise, of(Fill(kind="gaussian"), x))
    assert not torch.equal(noise, of(Fill(kind="gaussian"), x, seed=9))
    for b in range(2):
        for c in range(2):
            z = (noise[b, c] - x[b, c].mean()) / x[b, c].std(correction=0)
            assert abs(float(z.mean())) < 4 / 4200**0.5
            assert float(z.std()) == pytest.approx(1, abs=0.05)
            assert float((z.abs() < 1).float().mean()) == pytest.approx(0.683, abs=0.03)  # normal, not uniform
    flat = torch.full((1, 1, 5, 5), -600.0)
    assert torch.equal(of(Fill(kind="gaussian"), flat), flat)


def test_cohort_is_the_mean_of_the_background_in_the_images_units() -> None:
    filled = of(Fill(kind="cohort"))
    for b in range(2):
        torch.testing.assert_close(filled[b], sum(USUAL) / 4)
    with pytest.raises(UsageError, match=r"fill 'cohort' is the mean of the background cases, and there are none; give background="):
        Fill(kind="cohort").of("ct", X, P, [])


class Total(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1).sum(1, keepdim=True)


def test_cohort_reaches_the_methods() -> None:
    """The sum of a picture: the map is what each pixel has over the mean of the background, in the image's units."""
    p = Predictor(Total().eval(), inputs=["ct"], task="regression", normalise={"ct": (-500, 2)})
    case, *usual = [Case(id=str(i), inputs={"ct": x}) for i, x in enumerate((X[0], *USUAL))]
    a = explain(p, case, method="integrated_gradients", baseline="cohort", background=usual)
    torch.testing.assert_close(a.maps["ct"], (X[0] - USUAL.mean(0)) / 2, rtol=1e-4, atol=1e-3)
    a = explain(p, case, method="occlusion", fill="cohort", window=1, stride=1, background=usual)
    torch.testing.assert_close(a.maps["ct"], ((X[0] - USUAL.mean(0)) / 2).sum(0), rtol=1e-3, atol=1e-1)
    found = evaluate(p, case, a, metrics=["deletion_auc"], fill="cohort", background=usual)
    same = [c.replace(inputs={"ct": USUAL.mean(0)}) for c in usual[:1]]
    assert found == pytest.approx(evaluate(p, case, a, metrics=["deletion_auc"], fill="cohort", background=same))
    assert found != evaluate(p, case, a, metrics=["deletion_auc"], fill="zero")
    with pytest.raises(UsageError, match="fill 'cohort' is the mean of the background cases, and there are none"):
        explain(p, case, method="integrated_gradients", baseline="cohort")
    small = Case(id="small", inputs={"ct": torch.zeros(3, 4, 4)})
    with pytest.raises(InputError, match=r"background case small: input 'ct' is \(3, 4, 4\), that of case 0 is \(3, 8, 9\)"):
        explain(p, case, method="integrated_gradients", baseline="cohort", background=[*usual, small])


@pytest.mark.parametrize("shape", [(1, 1, 20, 17), (1, 2, 9, 12, 10)])
def test_blur_is_a_gaussian(shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for c in range(shape[1]):
        wanted = gaussian_filter(x[0, c].numpy(), 1.7, mode="nearest", radius=5)
        torch.testing.assert_close(blur(x, 1.7)[0, c], torch.as_tensor(wanted))


def test_blur_keeps_a_constant_and_a_flat_axis() -> None:
    flat = torch.full((1, 1, 6, 1, 5), 7.0)
    torch.testing.assert_close(blur(flat, 2.0), flat)
    torch.testing.assert_close(of(Fill(kind="blur"), flat), flat)


@pytest.mark.parametrize("kind", KINDS)
def test_tables_are_filled_with_their_training_mean(kind: str) -> None:
    t = torch.tensor([[71.0, 30.0], [44.0, 18.0]])
    assert of(Fill(kind=kind), t, "ehr").tolist() == [[60, 20], [60, 20]]


@pytest.mark.parametrize("kind", KINDS)
def test_the_input_stays_as_it_was(kind: str) -> None:
    before = X.clone()
    out = of(Fill(kind=kind))
    out += 1
    assert torch.equal(X, before)
    assert out.shape == X.shape


def test_fills_from_plain_values() -> None:
    assert as_fill("mean") == Fill(kind="mean")
    assert as_fill(-1000) == Fill(kind="constant", value=-1000.0)
    assert as_fill({"kind": "blur", "sigma": 2}) == Fill(kind="blur", sigma=2)
    for kind in KINDS:
        fill = Fill(kind=kind, value=3.0 if kind == "constant" else 0.0)
        assert as_fill(fill.describe()) == fill
    for wrong, message in (
        ("men", "unknown fill 'men'; did you mean 'mean'"), (None, "fill None: give one of zero"), (True, "fill True"),
        ({"sgima": 1}, "fill has no option 'sgima'; did you mean 'sigma'"), (float("nan"), "fill value nan: give a finite number"),
        ({"kind": "blur", "sigma": 0}, "fill sigma=0: give a positive number of pixels"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=message):
            as_fill(wrong)
