"""Relevance is kept, layer by layer: against literal twins, and by the account that every map carries."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contract.families import FAMILIES, explain
from pellucid.core.attribution import Attribution
from pellucid.core.case import Case
from pellucid.core.explainer import Explainer
from pellucid.core.predictor import Predictor
from pellucid.core.target import ClassScore
from pellucid.errors import UsageError
from pellucid.explain.gradient.lrp import Lrp
from reference import relevance as literal

COMPOSITES = ["epsilon_plus", "epsilon_gamma", "alpha2_beta1", "epsilon"]
EPS = 1e-6


class Residual(nn.Module):
    """A small residual net with everything that peers trip over; ``plan`` says how its activations are written."""

    def __init__(self, plan: str = "functional") -> None:
        super().__init__()
        torch.manual_seed(7)
        self.a, self.na = nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.b, self.nb = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.head = nn.Linear(3, 2)
        self.relu = nn.ReLU(inplace=plan == "in place")
        self.plan = plan
        for norm in (self.na, self.nb):
            norm.running_mean.uniform_(-0.3, 0.3)
            norm.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.uniform_(norm.bias, -0.2, 0.2)
        self.eval()

    def act(self, h: Tensor) -> Tensor:
        if self.plan == "overwriting":
            return torch.relu_(h)
        return torch.relu(h) if self.plan == "functional" else self.relu(h)

    def forward(self, x: Tensor) -> Tensor:
        h = F.max_pool2d(self.act(self.na(self.a(x))), 2)
        deep = self.nb(self.b(h))
        deep += h
        return self.head(self.act(deep).mean((2, 3)))


PLANS = ["functional", "reused", "in place", "overwriting"]
RULES = {
    "epsilon": lambda x, w, b, r: literal.epsilon(x, w, b, r, EPS),
    "epsilon_plus": lambda x, w, b, r: literal.alpha_beta(x, w, b, r, EPS, 1, 0),
    "alpha2_beta1": lambda x, w, b, r: literal.alpha_beta(x, w, b, r, EPS, 2, 1),
    "epsilon_gamma": lambda x, w, b, r: literal.gamma(x, w, b, r, EPS, 0.25),
}


def by_hand(net: Residual, x: np.ndarray, k: int, composite: str) -> np.ndarray:
    """The relevance of ``(1, h, w)`` pixels, one neuron at a time."""
    rule = RULES[composite]
    layers = []
    for conv, norm in ((net.a, net.na), (net.b, net.nb)):
        parts = (conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.weight, norm.bias)
        layers.append(literal.merged(*(p.detach().double().numpy() for p in parts), norm.eps))
    w1, b1, shape = literal.conv_matrix(*layers[0], x.shape[1:], 1, 1)
    z1 = (w1 @ x.ravel() + b1).reshape(shape)
    h, _ = literal.max_pool(np.maximum(z1, 0), np.zeros((shape[0], shape[1] // 2, shape[2] // 2)), 2)
    w2, b2, _ = literal.conv_matrix(*layers[1], h.shape[1:], 1, 1)
    z2 = (w2 @ h.ravel() + b2).reshape(h.shape)
    top = np.maximum(z2 + h, 0)
    head, bias = net.head.weight.detach().double().numpy(), net.head.bias.detach().double().numpy()
    mean = top.mean((1, 2))
    score = np.zeros(2)
    score[k] = head[k] @ mean + bias[k]
    r_mean = literal.epsilon(mean, head, bias, score, EPS)
    total = top.sum((1, 2))
    r_top = top / np.where(total == 0, 1, total)[:, None, None] * r_mean[:, None, None]
    r_z2, r_h = literal.shared_by_value(z2, h, r_top)
    r_h = r_h + rule(h.ravel(), w2, b2, r_z2.ravel()).reshape(h.shape)
    _, r_z1 = literal.max_pool(np.maximum(z1, 0), r_h, 2)
    return rule(x.ravel(), w1, b1, r_z1.ravel()).reshape(x.shape)


def one(method: Explainer, net: nn.Module, x: Tensor, k: int = 1, **predictor: object) -> Attribution:
    classes = [str(i) for i in range(int(net(x[None].float()).shape[1]))]
    p = Predictor(net, inputs=["x"], task="classification", classes=classes, **predictor)  # type: ignore[arg-type]
    ((a,),) = explain(method, p, [Case(id="1", inputs={"x": x})], [ClassScore(k)], precision="float64")
    return a


def picture(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("composite", COMPOSITES)
def test_a_residual_net_however_its_activations_are_written(composite: str, plan: str) -> None:
    net, x = Residual(plan), picture(1, 6, 6)
    with torch.no_grad():
        plain = float(net(x[None])[0, 1])
    a = one(Lrp(composite=composite, epsilon=EPS), net, x)  # type: ignore[arg-type]
    wanted = by_hand(net, x.double().numpy(), 1, composite)
    assert a.score == pytest.approx(plain, rel=1e-5)
    assert np.abs(a.maps["x"].numpy() - wanted).max() < 1e-5 * np.abs(wanted).max()
    assert a.notes["unknown"] == []
    assert a.notes["leak"] < 1e-9


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("composite", COMPOSITES)
def test_the_map_biases_and_epsilon_hold_the_score(composite: str, family: str) -> None:
    f = FAMILIES[family]
    for row in explain(Lrp(composite=composite), f.predictor(), f.cases(), f.targets, precision="float64"):  # type: ignore[arg-type]
        for a in row:
            kept = a.notes["absorbed_by_biases"] + a.notes["absorbed_by_epsilon"]
            total = sum(float(m.double().sum()) for m in a.maps.values())
            assert total + kept == pytest.approx(a.score, rel=1e-4, abs=1e-4 * abs(kept))
            assert a.notes["leak"] < 1e-9
            assert a.notes["unknown"] == []
            assert "incomplete" not in a.flags


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("composite", COMPOSITES)
def test_the_forward_pass_is_the_models_own(composite: str, family: str) -> None:
    f = FAMILIES[family]
    plain = explain("saliency", f.predictor(), f.cases(), f.targets)
    ruled = explain(Lrp(composite=composite), f.predictor(), f.cases(), f.targets)  # type: ignore[arg-type]
    guided = explain("guided_backprop", f.predictor(), f.cases(), f.targets)
    for x, y, z in zip(plain, ruled, guided):
        assert [a.score for a in x] == [a.score for a in y] == [a.score for a in z]


def without_biases(net: nn.Module) -> nn.Module:
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.running_mean.zero_()
        if getattr(m, "bias", None) is not None:
            nn.init.zeros_(m.bias)
    return net


@pytest.mark.parametrize("composite", ["epsilon", "epsilon_plus", "epsilon_gamma"])
def test_without_biases_the_map_adds_up_to_the_score(composite: str) -> None:
    net, x = without_biases(Residual()), picture(1, 8, 8)
    a = one(Lrp(composite=composite, epsilon=1e-12), net, x)  # type: ignore[arg-type]
    assert float(a.maps["x"].double().sum()) == pytest.approx(a.score, rel=1e-4)
    assert abs(a.notes["absorbed_by_biases"]) < 1e-9 * abs(a.score)


def test_epsilon_without_biases_is_input_times_gradient() -> None:
    """A ReLU net without biases is linear around its input (Ancona et al., 2018)."""
    net, x = without_biases(Residual()), picture(1, 8, 8)
    a = one(Lrp(composite="epsilon", epsilon=1e-12), net, x)
    b = one(_method("input_x_gradient"), net, x)
    assert float((a.maps["x"] - b.maps["x"]).abs().max()) < 1e-5 * float(b.maps["x"].abs().max())


def _method(name: str) -> Explainer:
    from pellucid.explain.make import as_explainer

    return as_explainer(name)


class Block(nn.Module):
    """Attention, layer norm, GELU, a gate: ``attention`` says who does it."""

    def __init__(self, attention: str) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.embed, self.norm = nn.Conv2d(1, 8, 4, stride=4), nn.LayerNorm(8)
        self.heads = nn.MultiheadAttention(8, 2, batch_first=attention == "heads, batch first")
        self.qkv, self.out = nn.Linear(8, 24), nn.Linear(8, 8)
        self.place = nn.Parameter(torch.randn(1, 16, 8) / 4)
        self.mlp, self.gate, self.head = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 2)
        self.attention = attention
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        h = self.embed(x).flatten(2).transpose(1, 2) + self.place
        n = self.norm(h)
        if self.attention == "heads, batch first":
            mixed = self.heads(n, n, n)[0]
        elif self.attention == "heads":
            s = n.transpose(0, 1)
            mixed = self.heads(s, s, s, need_weights=False)[0].transpose(0, 1)
        else:
            q, k, v = self.qkv(n).chunk(3, -1)
            if self.attention == "sdpa":
                mixed = F.scaled_dot_product_attention(q, k, v)
            elif self.attention == "einsum":
                weights = torch.einsum("bid,bjd->bij", q, k / math.sqrt(8)).softmax(-1)
                mixed = torch.einsum("bij,bjd->bid", weights, v)
            else:
                mixed = (q @ k.transpose(1, 2) * 8**-0.5).softmax(-1) @ v
            mixed = self.out(mixed)
        h = h + mixed
        h += F.gelu(self.mlp(h)) * torch.sigmoid(self.gate(h))
        return self.head(F.normalize(h.mean(1), dim=1))


ATTENTION = ["heads, batch first", "heads", "sdpa", "matmul", "einsum"]


@pytest.mark.parametrize("attention", ATTENTION)
def test_a_transformer_keeps_account_too(attention: str) -> None:
    net, x = Block(attention), picture(1, 16, 16)
    a = one(Lrp(), net, x)
    assert a.notes["unknown"] == []
    assert a.notes["leak"] < 1e-6
    assert a.score == pytest.approx(float(net(x[None])[0, 1].detach()), rel=1e-5)


def test_attention_is_the_same_by_whoever_computes_it() -> None:
    """One transformer, its attention written in five ways with the same weights."""
    maps = []
    for attention in ATTENTION:
        net = Block(attention)
        if attention.startswith("heads"):
            net.heads = nn.MultiheadAttention(8, 1, batch_first="first" in attention).eval()
        else:
            torch.manual_seed(1)
        maps.append((attention, net))
    reference = maps[2][1]
    for attention, net in maps:
        net.load_state_dict({k: v for k, v in reference.state_dict().items() if not k.startswith("heads")}, strict=False)
        if attention.startswith("heads"):
            with torch.no_grad():
                net.heads.in_proj_weight.copy_(reference.qkv.weight)
                net.heads.in_proj_bias.copy_(reference.qkv.bias)
                net.heads.out_proj.weight.copy_(reference.out.weight)
                net.heads.out_proj.bias.copy_(reference.out.bias)
    x = picture(1, 16, 16)
    found = [one(Lrp(), net, x) for _, net in maps]
    for a in found[1:]:
        assert float((a.maps["x"] - found[0].maps["x"]).abs().max()) < 1e-5 * float(a.maps["x"].abs().max())


NORMS = {
    "group": nn.GroupNorm(2, 4), "instance": nn.InstanceNorm2d(4, affine=True), "batch": nn.BatchNorm2d(4),
    "instance, running": nn.InstanceNorm2d(4, track_running_stats=True), "rms": nn.RMSNorm([4, 12, 12]),
}  # fmt: skip


@pytest.mark.parametrize("name", NORMS)
@pytest.mark.parametrize("composite", COMPOSITES)
def test_norms_in_front_of_a_layer(name: str, composite: str) -> None:
    torch.manual_seed(2)
    norm = NORMS[name]
    for p in norm.parameters():
        nn.init.uniform_(p, 0.2, 1.0)
    layers = [nn.Conv2d(1, 4, 3, padding=1), nn.ELU(), norm, nn.ConvTranspose2d(4, 4, 2, stride=2, groups=2)]
    net = nn.Sequential(*layers, nn.BatchNorm2d(4), nn.SiLU(), nn.Flatten(), nn.Linear(4 * 576, 2)).eval()
    net[4].running_mean.uniform_(-1, 1)
    a = one(Lrp(composite=composite), net, picture(1, 12, 12))  # type: ignore[arg-type]
    assert a.notes["unknown"] == []
    assert a.notes["leak"] < 1e-9


def test_a_batch_norm_behind_a_layer_is_merged_into_it() -> None:
    """The same net with the batch norm folded into the weights by hand, also behind a grouped transposed convolution."""
    torch.manual_seed(2)
    for layer in (nn.Conv2d(2, 4, 3, groups=2), nn.ConvTranspose2d(2, 4, 3, groups=2), nn.ConvTranspose2d(2, 4, 3)):
        norm = nn.BatchNorm2d(4)
        norm.running_mean.uniform_(-1, 1)
        norm.running_var.uniform_(0.5, 2)
        nn.init.uniform_(norm.weight, -1, 1)
        x = picture(2, 7, 7)
        side = layer(x[None]).shape[2]
        head = nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Linear(4 * side * side, 2))
        if isinstance(layer, nn.Conv2d):
            fused: nn.Module = nn.utils.fusion.fuse_conv_bn_eval(layer.eval(), norm.eval())
        else:
            fused = _fused_transpose(layer, norm)
        for composite in COMPOSITES:
            a = one(Lrp(composite=composite), nn.Sequential(layer, norm, head).eval(), x)  # type: ignore[arg-type]
            b = one(Lrp(composite=composite), nn.Sequential(fused, head).eval(), x)  # type: ignore[arg-type]
            assert float((a.maps["x"] - b.maps["x"]).abs().max()) < 1e-5 * float(b.maps["x"].abs().max())


def _fused_transpose(layer: nn.ConvTranspose2d, norm: nn.BatchNorm2d) -> nn.ConvTranspose2d:
    """Output channel by output channel: channel o is the j-th of its group."""
    import copy

    fused = copy.deepcopy(layer)
    per_group, inputs = 4 // layer.groups, 2 // layer.groups
    with torch.no_grad():
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        for o in range(4):
            g, j = divmod(o, per_group)
            fused.weight[g * inputs : (g + 1) * inputs, j] *= scale[o]
        fused.bias.copy_((layer.bias - norm.running_mean) * scale + norm.bias)
    return fused


class Twice(nn.Module):
    """A convolution whose output is used behind a batch norm, and besides; then changed in place before another."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm, self.head = nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Linear(3, 2)
        self.norm.running_mean.uniform_(-1, 1)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        z = self.conv(x)
        h = self.norm(z) + torch.relu(z)
        z.tanh_()
        return self.head((h + self.norm(z)).mean((2, 3)))


@pytest.mark.parametrize("composite", COMPOSITES)
def test_a_layers_output_used_twice_and_then_overwritten(composite: str) -> None:
    a = one(Lrp(composite=composite), Twice(), picture(1, 6, 6))  # type: ignore[arg-type]
    assert a.notes["leak"] < 1e-9


class Constants(nn.Module):
    """What a model may put beside what it computes: a class token, a fill, a border, a sum, a mask."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.token, self.head = nn.Conv2d(1, 3, 3), nn.Parameter(torch.randn(1, 3, 1)), nn.Linear(3, 2)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        h = 2 * F.pad(self.conv(x), (1, 1, 0, 0), value=0.7) - 0.3
        h = torch.where(h > 0, h, torch.full_like(h, -0.2)).masked_fill(h > 1.5, 1.5)
        h.masked_fill_(h == 1.5, 1.2)
        h = torch.cat([self.token.expand(len(x), -1, -1), h.flatten(2)], 2)
        h += 0.1
        h *= 1.5
        weights = (h.transpose(1, 2) @ h).masked_fill(torch.ones(h.shape[2], h.shape[2]).triu(1) > 0, -math.inf)
        h = (weights.softmax(-1) @ h.transpose(1, 2)).relu()
        return self.head((1 - h / h.norm(dim=2, keepdim=True).clamp(min=1e-3)).mean(1))


@pytest.mark.parametrize("composite", COMPOSITES)
def test_constants_beside_what_is_computed_keep_their_share(composite: str) -> None:
    a = one(Lrp(composite=composite), Constants(), picture(1, 6, 6))  # type: ignore[arg-type]
    assert a.notes["unknown"] == []
    assert a.notes["leak"] < 1e-9
    assert abs(a.notes["absorbed_by_biases"]) > 0.01


class Odd(nn.Module):
    """A product of the values along an axis, which has no rule, in a side path of a given weight."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.head, self.weight = nn.Conv2d(1, 3, 3), nn.Linear(3, 2), weight
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.conv(x)).mean((2, 3))
        return self.head(h) + self.weight * torch.logsumexp(h, 1, keepdim=True)


def test_what_has_no_rule_is_named_and_weighed() -> None:
    x = picture(1, 6, 6)
    used, unused = one(Lrp(), Odd(1.0), x), one(Lrp(), Odd(0.0), x)
    assert used.notes["unknown"] == ["logsumexp"]
    assert used.notes["leak"] > 0.05
    assert "incomplete" in used.flags
    assert unused.notes["unknown"] == []
    assert unused.notes["leak"] < 1e-9
    assert "incomplete" not in unused.flags


def test_a_target_on_the_probability_is_named() -> None:
    p = FAMILIES["picture"]
    ((a,),) = explain("lrp", p.predictor(), p.cases(1), [ClassScore(0, on="probability")])
    assert a.notes["unknown"] == ["probability of the target"]
    assert "incomplete" in a.flags


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_scripted_or_compiled_part_is_refused() -> None:
    plain = Residual("reused")
    traced = torch.jit.trace(plain, picture(1, 1, 8, 8))
    mixed = nn.Sequential(torch.jit.trace(plain.a, picture(1, 1, 8, 8)), nn.Flatten(), nn.Linear(192, 2)).eval()
    for module, where in ((traced, "the module"), (mixed, "0"), (torch.compile(plain), "the module")):
        p = Predictor(module, inputs=["x"], task="classification", classes=["a", "b"])
        for method in ("lrp", "guided_backprop"):
            with pytest.raises(UsageError, match=rf"{method}: {where} is .*; give the plain nn.Module"):
                explain(method, p, [Case(id="1", inputs={"x": picture(1, 8, 8)})], [ClassScore(0)])


@pytest.mark.parametrize("first", ["same", "flat", "box"])
def test_normalising_in_the_predictor_is_normalising_before(first: str) -> None:
    """Relevance is that of the input as the network sees it; limits are in the image's units."""
    net, x = Residual(), 100 + 20 * picture(1, 8, 8)
    limits = {"low": 0.0, "high": 200.0} if first == "box" else {}
    inside = one(Lrp(first=first, **limits), net, x, normalise={"x": (90.0, 25.0)})  # type: ignore[arg-type]
    limits = {k: (v - 90) / 25 for k, v in limits.items()}
    before = one(Lrp(first=first, **limits), net, (x - 90) / 25)  # type: ignore[arg-type]
    assert float((inside.maps["x"] - before.maps["x"]).abs().max()) < 1e-4 * float(before.maps["x"].abs().max())
    for key in ("absorbed_by_biases", "absorbed_by_epsilon"):
        assert inside.notes[key] == pytest.approx(before.notes[key], rel=1e-4, abs=1e-6)
    assert inside.notes["leak"] < 1e-6


def test_limits_of_the_box_are_the_pictures_own_by_default() -> None:
    net, x = Residual(), picture(1, 8, 8)
    own = one(Lrp(first="box"), net, x)
    given = one(Lrp(first="box", low=float(x.min()), high=float(x.max())), net, x)
    assert torch.equal(own.maps["x"], given.maps["x"])
    assert float(one(Lrp(first="box", low=-9, high=9), net, x).maps["x"].sub(own.maps["x"]).abs().max()) > 1e-4


class Flipped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = Residual()

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.flip(2))


def test_a_first_layer_that_does_not_see_the_picture_itself() -> None:
    with pytest.raises(UsageError, match=r"first='flat' needs a convolution or dense layer that sees input 'x' itself"):
        one(Lrp(first="flat"), Flipped().eval(), picture(1, 8, 8))
    assert one(Lrp(), Flipped().eval(), picture(1, 8, 8)).notes["leak"] < 1e-9


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"composite": "epsilon_pluss"}, "epsilon_plus"), ({"epsilon": 0}, "above 0"), ({"gamma": -1}, "0 or more"),
        ({"first": "zb"}, "'box'"), ({"low": 0}, "limits of first='box'"), ({"first": "box", "low": 2, "high": 1}, "under"),
    ],
)  # fmt: skip
def test_options_that_make_no_sense(options: dict, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Lrp(**options)


def test_finite_at_large_logits_and_where_everything_is_zero() -> None:
    net = Residual()
    with torch.no_grad():
        net.head.weight.mul_(1e6)
    for x in (picture(1, 8, 8), torch.zeros(1, 8, 8), 1e4 * picture(1, 8, 8)):
        for composite in COMPOSITES:
            a = one(Lrp(composite=composite), net, x)  # type: ignore[arg-type]
            assert torch.isfinite(a.maps["x"]).all()
            assert a.notes["leak"] < 1e-9


def test_bf16_runs() -> None:
    f = FAMILIES["picture"]
    full, half = (explain("lrp", f.predictor(), f.cases(), f.targets, precision=p) for p in ("float32", "bf16"))
    for a, b in zip(full, half):
        for x, y in zip(a, b):
            assert torch.corrcoef(torch.stack([x.maps["x"].flatten(), y.maps["x"].flatten()]))[0, 1] > 0.95


class Dense(nn.Module):
    """Batch norm, ReLU, convolution, twelve times, each seeing all that came before."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.head = nn.Conv2d(1, 4, 3), nn.Linear(4 * 13, 2)
        self.norms = nn.ModuleList(nn.BatchNorm2d(4 * i) for i in range(1, 13))
        self.layers = nn.ModuleList(nn.Conv2d(4 * i, 4, 3, padding=1, bias=False) for i in range(1, 13))
        for norm in self.norms:
            norm.running_mean.uniform_(-0.1, 0.1)
            norm.running_var.uniform_(0.05, 0.2)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        h = self.stem(x)
        for norm, layer in zip(self.norms, self.layers):
            h = torch.cat([h, layer(torch.relu(norm(h)))], 1)
        return self.head(h.mean((2, 3)))


@pytest.mark.parametrize("composite", COMPOSITES)
def test_batch_norms_on_their_own_do_not_multiply_relevance(composite: str) -> None:
    """Found on DenseNet-121: with α = 2 each of its batch norms doubled it, and the map was 1000 times the score."""
    a = one(Lrp(composite=composite), Dense(), picture(1, 12, 12))  # type: ignore[arg-type]
    assert float(a.maps["x"].abs().sum()) < 3 * abs(a.score)
    assert a.notes["leak"] < 1e-9
