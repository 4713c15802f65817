"""Sanity beside Quantus 0.6: the same maps given to both, the reductions to 1e-4; and where Quantus differs, that it does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from metric_worlds import attribution, of
from peers import peer
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.evaluate.run import as_metric

SHAPE, LAYERS = (9, 10), 3
QUIET = {"disable_warnings": True, "display_progressbar": False}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Tanh(), nn.Conv2d(3, 3, 3), nn.Flatten(), nn.Linear(3 * 5 * 6, 4)).eval()
    p = Predictor(net, inputs=["x"], task="classification", classes=["a", "b", "c", "d"])
    return p, Case(id="q", inputs={"x": torch.rand(1, *SHAPE)})


def draw(seed, *, signed=False):
    """A map without ties, all of it above 1 % of its maximum, where both compare all pixels."""
    rng = torch.Generator().manual_seed(seed)
    m = torch.rand(1, *SHAPE, generator=rng) + 0.2
    return m * torch.where(torch.rand(m.shape, generator=rng) > 0.5, 1, -1) if signed else m


class Given:
    """Hands out maps in turn, to both: as an explainer of ours and as Quantus' function."""

    def __init__(self, maps):
        self.maps, self.at = maps, 0

    def quantus(self, model, inputs, targets, **_):
        self.at += 1
        return self.maps[self.at - 1][None].numpy()

    def ours(self, case):
        def again(engine, cases, bound, **more):
            first, self.at = self.at, self.at + len(cases)
            return [attribution(case, {"x": m}, signed=True) for m in self.maps[first : self.at]]

        return again


def of_quantus(metric, model, maps, clean, given=None):
    p, case = model
    given = given or Given(maps)
    scores = metric(
        model=p.module, x_batch=case.inputs["x"][None].numpy(), y_batch=np.zeros(1, int), a_batch=clean[None].numpy(),
        explain_func=given.quantus, device="cpu", channel_first=True,
    )  # fmt: skip
    assert given.at == len(maps)  # it asked for all of them, in this order
    return scores


def of_ours(name, model, maps, clean, **options):
    p, case = model
    given = Given(maps)
    a = attribution(case, {"x": clean}, signed=True)
    (score,) = of(p, case, [a], [given.ours(case)]).view(0).scores([as_metric({name: options})]).values()
    assert given.at == len(maps)
    return score


@pytest.mark.parametrize("order", ["top_down", "bottom_up", "independent"])
def test_mprt_layer_by_layer(model, order):
    clean, maps = draw(0, signed=True), [draw(i + 1, signed=True) for i in range(LAYERS)]
    metric = peer("quantus").MPRT(layer_order=order, abs=True, normalise=True, **QUIET)
    found = of_quantus(metric, model, [clean, *maps], clean)
    mine = of_ours("mprt", model, maps, clean, order=order)
    assert [name for name, _, _ in mine.parts] == list(found)[1:]
    assert [v for _, _, v in mine.parts] == pytest.approx([found[k][0] for k in list(found)[1:]], abs=1e-4)


def test_the_mean_over_the_layers_of_quantus_counts_the_model_itself(model):
    clean, maps = draw(0), [draw(i + 1) for i in range(LAYERS)]
    metric = peer("quantus").MPRT(return_average_correlation=True, **QUIET)
    (theirs,) = of_quantus(metric, model, [clean, *maps], clean)
    mine = of_ours("mprt", model, maps, clean)
    values = [v for _, _, v in mine.parts]
    assert mine.value == pytest.approx(np.mean(values))
    assert theirs == pytest.approx((1 + sum(values)) / (1 + LAYERS), abs=1e-4)  # when this fails, it has been mended


def test_layers_of_one_shape_get_the_same_numbers_in_quantus(model):
    layer = peer("quantus").helpers.utils.get_wrapped_model
    net = nn.Sequential(nn.Flatten(), nn.Linear(90, 90), nn.Linear(90, 90))
    *_, (_, last) = layer(net, channel_first=True, softmax=False).get_random_layer_generator("bottom_up", 0)
    assert torch.equal(last[1].weight, last[2].weight)
    p = Predictor(net, inputs=["x"], task="regression")
    from pellucid.evaluate.shared.randomise import randomise

    mine = randomise(p, 0).module
    assert not torch.equal(mine[1].weight, mine[2].weight)


def test_smooth_mprt(model, monkeypatch):
    """Quantus' own explains by its own functions, whatever function it is given: these are stood in for."""
    samples = 3
    maps = [draw(i) for i in range(samples * (1 + LAYERS))]
    clean = torch.stack(maps[:samples]).mean(0)
    metric = peer("quantus").SmoothMPRT(nr_samples=samples, **QUIET)
    given = Given(maps)
    monkeypatch.setattr(peer("quantus"), "explain", given.quantus)
    found = of_quantus(metric, model, maps, clean, given)
    mine = of_ours("smooth_mprt", model, maps, draw(99), samples=samples)
    assert [v for _, _, v in mine.parts] == pytest.approx([found[k][0] for k in list(found)[1:]], abs=1e-4)


def test_efficient_mprt(model):
    clean, other = draw(0, signed=True) ** 3, draw(1, signed=True)
    metric = peer("quantus").EfficientMPRT(**QUIET)
    (theirs,) = of_quantus(metric, model, [clean, other], clean)
    mine = of_ours("efficient_mprt", model, [other], clean)
    assert mine.value == pytest.approx(theirs, abs=1e-4) != 0


def test_random_logit(model):
    quantus = peer("quantus")
    clean, other = draw(0, signed=True), draw(1, signed=True)
    metric = quantus.RandomLogit(num_classes=4, similarity_func=quantus.similarity_func.correlation_spearman, **QUIET)
    (theirs,) = of_quantus(metric, model, [other], clean)
    assert of_ours("random_logit", model, [other], clean).value == pytest.approx(theirs, abs=1e-4)


def test_the_ssim_of_quantus_has_its_windows_on_the_flattened_map(model):
    """Turning both maps by a quarter changes no likeness: it changes that of Quantus."""
    ssim = peer("quantus").similarity_func.ssim
    a, b = draw(0)[0].numpy(), draw(1)[0].numpy()
    b = (a + 0.5 * b) / 1.5
    assert abs(ssim(a.ravel(), b.ravel()) - ssim(a.T.ravel(), b.T.ravel())) > 1e-3
    mine = [
        of_ours("random_logit", (model[0], case), [torch.tensor(y)[None]], torch.tensor(x)[None], similarity="ssim").value
        for x, y, case in (
            (a, b, model[1]), (a.T.copy(), b.T.copy(), Case(id="t", inputs={"x": torch.rand(1, *SHAPE[::-1])})),
        )
    ]  # fmt: skip
    assert mine[0] == pytest.approx(mine[1])
