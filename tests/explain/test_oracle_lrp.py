"""zennit and Captum as independent references for relevance propagation and guided backpropagation, where they can."""

from __future__ import annotations

import pytest
import torch
from captum.attr import LRP as CaptumLrp
from captum.attr import GuidedBackprop as CaptumGuidedBackprop
from captum.attr._utils.lrp_rules import Alpha1_Beta0_Rule, EpsilonRule, GammaRule
from torch import Tensor, nn

from contract.families import explain
from peers import peer
from pellucid.core.case import Case
from pellucid.core.explainer import Explainer
from pellucid.core.predictor import Predictor
from pellucid.core.target import ClassScore
from pellucid.explain.gradient.guided_backprop import GuidedBackprop
from pellucid.explain.gradient.lrp import Lrp

pytestmark = pytest.mark.filterwarnings("ignore")
K = 2


def net(*, norm: bool = True, bias: bool = True) -> nn.Sequential:
    """What the peers can take: every activation a module of its own, each used once."""
    torch.manual_seed(4)
    layers: list[nn.Module] = [nn.Conv2d(2, 6, 3, padding=1, bias=bias)]
    if norm:
        layers.append(nn.BatchNorm2d(6))
        layers[-1].running_mean.uniform_(-0.3, 0.3)
        layers[-1].running_var.uniform_(0.5, 1.5)
        nn.init.uniform_(layers[-1].weight, 0.5, 1.5)
        nn.init.uniform_(layers[-1].bias, -0.2, 0.2)
    layers += [
        nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3, stride=2, bias=bias), nn.ReLU(), nn.AvgPool2d(3),
        nn.Flatten(), nn.Linear(8, 10, bias=bias), nn.ReLU(), nn.Linear(10, 4, bias=bias),
    ]  # fmt: skip
    return nn.Sequential(*layers).eval()


def pictures(count: int = 3) -> Tensor:
    return torch.randn(count, 2, 16, 16, generator=torch.Generator().manual_seed(5))


def ours(method: Explainer, module: nn.Module, x: Tensor) -> Tensor:
    p = Predictor(module, inputs=["x"], task="classification", classes=list("abcd"))
    cases = [Case(id=str(i), inputs={"x": v}) for i, v in enumerate(x)]
    return torch.stack([row[0].maps["x"] for row in explain(method, p, cases, [ClassScore(K)])])


def zennits(composite: object, module: nn.Module, x: Tensor) -> Tensor:
    """Relevance or gradients; zennit starts from the score in place of 1 where it propagates relevance."""
    gradient = peer("zennit.attribution").Gradient
    with gradient(model=module, composite=composite, attr_output=lambda out: _start(out, composite)) as attributor:
        _, relevance = attributor(x.clone())
    return relevance.detach()


def _start(output: Tensor, composite: object) -> Tensor:
    seed = torch.zeros_like(output)
    seed[:, K] = 1 if "Guided" in type(composite).__name__ else output[:, K].detach()
    return seed


def same(a: Tensor, b: Tensor, tolerance: float = 1e-4) -> None:
    assert float(b.abs().max()) > 1e-4
    assert float((a - b).abs().max()) < tolerance * float(b.abs().max())


def layers(**rule_of: object) -> object:
    """A composite of zennit's with the batch norm merged: rules of convolutions, dense layers and the first layer."""
    rules, types, composites = peer("zennit.rules"), peer("zennit.types"), peer("zennit.composites")
    first = rule_of.pop("first", None)
    table = [
        *composites.layer_map_base(1e-6),
        (types.Convolution, rule_of["convolution"]),
        (nn.Linear, rule_of.get("dense", rules.Epsilon(1e-6))),
    ]
    merge = [peer("zennit.canonizers").SequentialMergeBatchNorm()]
    if first is None:
        return composites.LayerMapComposite(table, canonizers=merge)
    return composites.SpecialFirstLayerMapComposite(table, [(types.Linear, first)], canonizers=merge)


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize(("name", "kind"), [("epsilon_plus", "EpsilonPlus"), ("alpha2_beta1", "EpsilonAlpha2Beta1")])
def test_zennits_composites(name: str, kind: str, norm: bool) -> None:
    module, x = net(norm=norm), pictures()
    merge = peer("zennit.canonizers").SequentialMergeBatchNorm()
    composite = getattr(peer("zennit.composites"), kind)(canonizers=[merge])
    same(ours(Lrp(composite=name, epsilon=1e-6), module, x), zennits(composite, module, x))  # type: ignore[arg-type]


@pytest.mark.parametrize("norm", [False, True])
def test_zennits_gamma(norm: bool) -> None:
    module, x = net(norm=norm), pictures()
    theirs = zennits(layers(convolution=peer("zennit.rules").Gamma(gamma=0.4)), module, x)
    same(ours(Lrp(composite="epsilon_gamma", gamma=0.4, epsilon=1e-6), module, x), theirs)


def test_zennits_epsilon_with_a_large_epsilon() -> None:
    rule = peer("zennit.rules").Epsilon(0.25)
    module, x = net(), pictures()
    mine = ours(Lrp(composite="epsilon", epsilon=0.25), module, x)
    same(mine, zennits(layers(convolution=rule, dense=rule), module, x))
    with pytest.raises(AssertionError):  # it does make a difference
        same(mine, ours(Lrp(composite="epsilon"), module, x))


@pytest.mark.parametrize("norm", [False, True])
def test_zennits_first_layers(norm: bool) -> None:
    module, x = net(norm=norm), pictures()
    x[:, :, :5] = 0  # black pixels get relevance all the same
    low, high = -4.0, 5.0
    merge = [peer("zennit.canonizers").SequentialMergeBatchNorm()]
    box = peer("zennit.composites").EpsilonGammaBox(
        low=torch.full((1, 2, 16, 16), low), high=torch.full((1, 2, 16, 16), high), canonizers=merge
    )
    mine = ours(Lrp(composite="epsilon_gamma", first="box", low=low, high=high, epsilon=1e-6), module, x)
    same(mine, zennits(box, module, x))
    flat = ours(Lrp(first="flat", epsilon=1e-6), module, x)
    same(flat, zennits(peer("zennit.composites").EpsilonPlusFlat(canonizers=merge), module, x))
    assert float(mine[:, :, :4].abs().max()) > 0 < float(flat[:, :, :4].abs().max())
    assert float(ours(Lrp(), module, x)[:, :, :4].abs().max()) == 0


def test_zennit_guided_backprop() -> None:
    module, x = net(), pictures()
    same(ours(GuidedBackprop(), module, x), zennits(peer("zennit.composites").GuidedBackprop(), module, x))


def test_captum_guided_backprop() -> None:
    module, x = net(), pictures()
    same(ours(GuidedBackprop(), module, x), CaptumGuidedBackprop(module).attribute(x.requires_grad_(), target=K))


@pytest.mark.parametrize("composite", ["epsilon", "epsilon_plus", "epsilon_gamma"])
def test_captum(composite: str) -> None:
    """Captum keeps biases whole where zennit and we strengthen or clip them, and takes inputs for positive."""
    module, x = net(norm=False, bias=False), pictures().abs()
    for m in module:
        if isinstance(m, nn.Conv2d):
            m.rule = {"epsilon": EpsilonRule, "epsilon_plus": Alpha1_Beta0_Rule, "epsilon_gamma": GammaRule}[composite]()
        elif isinstance(m, nn.Linear | nn.Flatten):
            m.rule = EpsilonRule()
    clean = net(norm=False, bias=False)
    theirs = CaptumLrp(module).attribute(x, target=K).detach()
    same(ours(Lrp(composite=composite, epsilon=1e-9), clean, x), theirs)  # type: ignore[arg-type]
