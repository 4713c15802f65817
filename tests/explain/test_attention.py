"""Attention methods: against literal twins, closed forms, MONAI's own matrices, and what users bring."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contract.families import FAMILIES, explain, gap, usual
from contract.transformers import Vit, fusion
from pellucid.core.case import Case
from pellucid.core.explainer import Explainer
from pellucid.core.predictor import Predictor
from pellucid.core.target import ClassScore, RegionScore, Score
from pellucid.engine import Engine
from pellucid.engine.attention import Use, watch
from pellucid.engine.places import tiles
from pellucid.engine.tokens import Layout
from pellucid.errors import UsageError
from pellucid.explain.attention.attention import Attention
from pellucid.explain.attention.attention_rollout import AttentionRollout
from pellucid.explain.attention.cross_attention import CrossAttention
from pellucid.explain.attention.gradient_rollout import GradientRollout
from reference import attention as literal

EVERY = ("attention", "attention_rollout", "gradient_rollout")


def predictor(module: nn.Module, *inputs: str, classes: int = 3, output: int | None = None) -> Predictor:
    names = [f"k{i}" for i in range(classes)]
    return Predictor(module.eval(), inputs=list(inputs or "x"), task="classification", classes=names, output=output)


def case(*shapes: tuple[int, ...], seed: int = 0, **named: tuple[int, ...]) -> Case:
    g = torch.Generator().manual_seed(seed)
    inputs = dict(zip("xyz", shapes)) | named
    return Case(id=f"c{seed}", inputs={k: torch.randn(s, generator=g) for k, s in inputs.items()})


def one(method: str | Explainer, model: Predictor, shown: Case, target: object = None, **options: object) -> dict[str, Tensor]:
    target = ClassScore(1) if target is None else target
    return explain(method, model, [shown], [target], precision="float64", **options)[0][0].maps  # type: ignore[list-item]


def layout(model: Predictor, shown: Case, **options: object) -> Layout:
    return Engine(model).attention({k: v[None] for k, v in shown.inputs.items()}, **options)  # type: ignore[arg-type]


def by_hand(vit: Vit, x: Tensor) -> tuple[list[Tensor], Tensor]:
    """The matrices ``(H, N, N)`` of a ViT, computed from q and k step by step with a graph, and its output."""
    t = vit.patch_embed(x).flatten(2).transpose(1, 2) + vit.pos_embed
    before = [p for p in (vit.cls_token, vit.reg_token) if p is not None]
    t = torch.cat([*before, t], dim=1)
    found = []
    for block in vit.blocks:
        h = block.norm1(t)
        b, n, c = h.shape
        q, k, v = (z.unflatten(2, (block.attn.heads, -1)).transpose(1, 2) for z in block.attn.qkv(h).split(c, dim=2))
        a = torch.exp(q @ k.transpose(2, 3) * block.attn.scale)
        a = a / a.sum(-1, keepdim=True)
        found.append(a)
        t = t + block.attn.proj((a @ v).transpose(1, 2).reshape(b, n, c))
        t = t + block.mlp(block.norm2(t))
    t = vit.norm(t)
    return found, vit.head(t[:, 0] if vit.cls_token is not None else t.mean(1))


def on_grid(row: np.ndarray, grid: tuple[int, ...], shape: tuple[int, ...]) -> Tensor:
    mode = {2: "bilinear", 3: "trilinear"}[len(grid)]
    return F.interpolate(torch.as_tensor(row).view(1, 1, *grid), size=shape, mode=mode, align_corners=False)[0, 0]


SETUPS = {
    "class and registers, not square": ((2, 12, 20), (4, 4), {"registers": 2}),
    "written out": ((2, 12, 20), (4, 4), {"fused": False, "depth": 3}),
    "no class token": ((1, 8, 8), (4, 2), {"class_token": False}),
    "volume": ((1, 4, 8, 12), (2, 4, 4), {"registers": 1, "heads": 3}),
}


@pytest.mark.parametrize("setup", SETUPS)
def test_literal_twins(setup: str) -> None:
    shape, patch, options = SETUPS[setup]
    torch.manual_seed(3)
    vit = Vit(shape, patch, **options).double().eval()  # type: ignore[arg-type]
    shown, model = case(shape), predictor(vit)
    matrices, out = by_hand(vit, shown.inputs["x"][None].double())
    grads = [g[0].numpy() for g in torch.autograd.grad(out[0, 1], matrices)]
    layers = [m[0].detach().numpy() for m in matrices]
    before = layers[0].shape[-1] - len(vit.pos_embed[0])

    def shown_row(full: np.ndarray) -> Tensor:
        row = full[0] if vit.cls_token is not None else full.mean(0)
        return on_grid(row[before:], vit.grid, shape[1:])

    wanted = {
        "attention": shown_row(layers[-1].mean(0)),
        "attention_rollout": shown_row(literal.rollout(layers)),
        "gradient_rollout": shown_row(literal.gradient_rollout(layers, grads)),
    }
    for name, want in wanted.items():
        got = one(name, model, shown)["x"]
        torch.testing.assert_close(got, want.float(), rtol=1e-5, atol=1e-7, msg=name)
        assert float(want.std() / want.mean()) > 0.01, "flat: the test would see no mistake"


@pytest.mark.parametrize("head", [0, 1])
def test_one_head_of_a_backbone_without_a_head(head: int) -> None:
    """The DINO way: features out, the class token's attention of each head."""
    torch.manual_seed(0)
    vit = Vit((1, 12, 16), (4, 4), None).double().eval()
    features = Predictor(vit, inputs=["x"], task="regression")
    shown = case((1, 12, 16))
    matrices, _ = by_hand(vit, shown.inputs["x"][None].double())
    for heads, row in ((head, matrices[-1][0, head, 0]), ("max", matrices[-1][0].amax(0)[0])):
        want = on_grid(row[1:].detach().numpy(), vit.grid, (12, 16))
        got = one(Attention(heads=heads), features, shown, Score(0))["x"]
        torch.testing.assert_close(got, want.float(), rtol=1e-5, atol=1e-7)


class OneLayer(nn.Module):
    """Attention whose matrix is set from outside, over patches of 2 and a class token, without any residual."""

    def __init__(self, matrix: Tensor, depth: int = 1, *, class_token: bool = True) -> None:
        super().__init__()
        self.register_buffer("scores", matrix.log())
        self.depth = depth
        self.cut = nn.Conv2d(1, 4, 2, stride=2)
        self.cls_token = nn.Parameter(torch.randn(1, 1, 4)) if class_token else None
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        t = self.cut(x).flatten(2).transpose(1, 2)
        if self.cls_token is not None:
            t = torch.cat([self.cls_token.expand(len(t), -1, -1), t], dim=1)
        for _ in range(self.depth):
            t = torch.bmm(torch.softmax(self.scores.expand(len(t), -1, -1), dim=-1), t)
        return self.head(t[:, 0] if self.cls_token is not None else t.mean(1))


def test_uniform_attention_is_a_uniform_map() -> None:
    model = predictor(OneLayer(torch.full((7, 7), 1 / 7), 2))
    for name in ("attention", "attention_rollout"):
        got = one(name, model, case((1, 4, 6)))["x"]
        assert float(got.max() - got.min()) < 1e-7
        assert float(got.mean()) == pytest.approx(1 / 7 if name == "attention" else 3 / 4 / 7, rel=1e-5)


def test_identity_attention_rolls_out_to_the_identity() -> None:
    nearly = torch.eye(6) + 1e-30
    model = predictor(OneLayer(nearly, 2, class_token=False))
    got = one("attention_rollout", model, case((1, 4, 6)))["x"]
    torch.testing.assert_close(got, torch.full((4, 6), 1 / 6))
    model = predictor(OneLayer(torch.eye(7) + 1e-30, 2))
    assert float(one("attention_rollout", model, case((1, 4, 6)))["x"].max()) < 1e-20


def test_one_layer_is_half_of_its_row() -> None:
    torch.manual_seed(0)
    matrix = torch.rand(7, 7).softmax(-1)
    got = one("attention_rollout", predictor(OneLayer(matrix)), case((1, 4, 6)))["x"]
    want = on_grid((matrix[0, 1:] / 2).double().numpy(), (2, 3), (4, 6)).float()
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-7)


def monai_vit(**options: object) -> nn.Module:
    from monai.networks.nets import ViT

    torch.manual_seed(0)
    usual = {
        "in_channels": 1, "img_size": (8, 12), "patch_size": 4, "hidden_size": 8, "mlp_dim": 16, "num_layers": 2,
        "num_heads": 2, "spatial_dims": 2, "classification": True, "num_classes": 3,
    }  # fmt: skip
    net = ViT(**(usual | options)).eval()  # type: ignore[arg-type]
    with torch.no_grad():
        for block in net.blocks:
            block.attn.qkv.weight *= 6
    return net


def test_monai_keeps_the_same_matrices() -> None:
    net = monai_vit(save_attn=True)
    shown = case((1, 8, 12))
    found: list[Use] = []
    with torch.no_grad(), watch(net, found.append):
        net(shown.inputs["x"][None])
    for block, use in zip(net.blocks, found, strict=True):
        assert torch.equal(block.attn.att_mat, use.matrix)
        torch.testing.assert_close(use.matrix.sum(-1), torch.ones(1, 2, 7))
    want = on_grid(net.blocks[-1].attn.att_mat[0].mean(0)[0, 1:].double().numpy(), (2, 3), (8, 12))
    got = one("attention", predictor(monai_vit(), output=0), shown)["x"]
    torch.testing.assert_close(got, want.float(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("proj", ["conv", "perceptron"])
def test_monai_vit_in_three_dimensions(proj: str) -> None:
    net = monai_vit(img_size=(8, 4, 12), spatial_dims=3, proj_type=proj)
    shown = case((1, 8, 4, 12))
    found = layout(predictor(net, output=0), shown)
    grid, covered = tiles(found.first["x"])
    assert (list(grid.shape), covered, int(found.free.sum())) == ([2, 1, 3], [8, 4, 12], 1)
    for name in EVERY:
        m = one(name, predictor(net, output=0), shown)["x"]
        assert m.shape == (8, 4, 12)
        assert float(m.max()) > 0


class Calls(nn.Module):
    """Attention as PyTorch has it."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.kind = kind
        if kind == "encoder":
            layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
            self.inner: nn.Module = nn.TransformerEncoder(layer, 2)
        elif kind != "einsum":
            self.inner = nn.MultiheadAttention(8, 2, batch_first="first" in kind)

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "encoder":
            return self.inner(x)
        if self.kind == "einsum":
            q = x.unflatten(2, (2, 4))
            a = torch.einsum("bihd,bjhd->bhij", q, q).softmax(-1)
            return torch.einsum("b h i j, b j h d -> b i h d", a, q).flatten(2)
        t = x if "first" in self.kind else x.transpose(0, 1)
        out = self.inner(t, t, t, need_weights="weights" in self.kind)[0]
        return out if "first" in self.kind else out.transpose(0, 1)


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("kind", ["encoder", "einsum", "first", "first weights", "last", "last weights"])
def test_watched_attention_computes_the_same(kind: str, grad: bool) -> None:
    net, x = Calls(kind).eval(), torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0))
    seen: list[Use] = []
    with warnings.catch_warnings(), torch.set_grad_enabled(grad):
        warnings.simplefilter("ignore")
        plain = net(x)
        with watch(net, seen.append):
            watched = net(x)
    torch.testing.assert_close(watched, plain, rtol=1e-5, atol=1e-6)
    assert len(seen) == (2 if kind == "encoder" else 1)
    assert all(use.matrix.shape[-2:] == (5, 5) for use in seen)
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in net.modules())


@pytest.mark.parametrize("mask", ["none", "causal", "bool", "float", "nothing to see"])
def test_fused_attention_written_out(mask: str) -> None:
    g = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 3, n, 4, generator=g) for n in (5, 5, 5))
    options: dict[str, object] = {"scale": 0.3}
    allowed = torch.rand(5, 5, generator=g) > 0.4
    allowed[:, 0] = True
    if mask == "nothing to see":
        allowed[2] = False
    if mask == "causal":
        options["is_causal"] = True
    elif mask != "none":
        options["attn_mask"] = torch.randn(5, 5, generator=g) if mask == "float" else allowed

    class Net(nn.Module):
        def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return F.scaled_dot_product_attention(q, k, v, **options)  # type: ignore[arg-type]

    seen: list[Use] = []
    net = Net()
    with watch(net, seen.append):
        got = net(q, k, v)
    torch.testing.assert_close(got, net(q, k, v), rtol=1e-5, atol=1e-6)
    assert len(seen) == 1


def swin(**options: object) -> nn.Module:
    from monai.networks.nets import SwinUNETR

    torch.manual_seed(0)
    usual = {
        "in_channels": 1, "out_channels": 2, "feature_size": 12, "spatial_dims": 2, "depths": (2, 2, 2, 2),
        "num_heads": (1, 2, 4, 8), "window_size": 4,
    }  # fmt: skip
    return SwinUNETR(**(usual | options)).eval()  # type: ignore[arg-type]


def test_shifted_windows_are_put_back() -> None:
    net, shown = swin(), case((1, 64, 64))
    model = Predictor(net, inputs=["x"], task="segmentation", classes=["no", "yes"])
    found = layout(model, shown)
    assert [s.windows for s in found.sites] == [64, 64, 16, 16, 4, 4, 1, 1]
    seen: list[Use] = []
    with torch.no_grad(), watch(net, seen.append):
        net(shown.inputs["x"][None])
    grid, _ = tiles(found.first["x"])
    assert grid.shape == (32, 32)
    want = literal.shifted_windows(seen[1].matrix.double().numpy(), (32, 32), (4, 4), (2, 2)).mean(0)
    site = found.sites[1]
    full = torch.zeros(found.count, found.count, dtype=torch.float64)
    for w in range(64):
        full[site.rows.ids[w][:, None], site.columns.ids[w][None]] = seen[1].matrix[w, 0].double()
    at = grid.flatten()
    torch.testing.assert_close(full[at][:, at], torch.as_tensor(want))


def test_rollout_through_merged_patches() -> None:
    """Two stages of Swin, literally: a merged token starts as the mean of the rows of its four."""
    net, shown = swin(), case((1, 64, 64))
    model = Predictor(net, inputs=["x"], task="segmentation", classes=["no", "yes"])
    seen: list[Use] = []
    with torch.no_grad(), watch(net, seen.append):
        net.double()(shown.inputs["x"][None].double())
    joint, side = None, 32
    for stage in range(4):
        if joint is not None:
            rows = joint.reshape(side, 2, side, 2, -1)
            joint = rows.mean((1, 3)).reshape(side * side, -1)
        full = [
            literal.shifted_windows(seen[2 * stage + i].matrix.numpy(), (side, side), (4, 4), (s, s))
            for i, s in enumerate((0, 2 if side > 4 else 0))
        ]
        step = literal.rollout(full)
        joint = step if joint is None else step @ joint
        side //= 2
    assert joint is not None
    want = on_grid(joint.mean(0), (32, 32), (64, 64))
    got = one("attention_rollout", model, shown, RegionScore(1, region="image"))["x"]
    torch.testing.assert_close(got, want.float(), rtol=1e-4, atol=1e-8)
    assert float(got.sum()) == pytest.approx(4, rel=0.01)  # 4 pixels a token, shares that sum to 1


def test_swin_in_three_dimensions_and_padded_windows() -> None:
    """A grid of 10 × 8 × 8 in windows of 4: padded tokens stand for nothing, all others for their patch."""
    from monai.networks.nets.swin_unetr import SwinTransformer

    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.swin = SwinTransformer(1, 6, (4, 4, 4), (2, 2, 2), (2, 2, 1, 1), (1, 2, 2, 2), use_checkpoint=True)
            self.head = nn.Linear(96, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.swin(x)[-1].flatten(2).mean(2))

    model, shown = predictor(Pooled()), case((1, 20, 16, 16))
    found = layout(model, shown)
    grid, _ = tiles(found.first["x"])
    assert grid.shape == (10, 8, 8)
    assert [s.windows for s in found.sites][:2] == [3 * 2 * 2] * 2
    for site in found.sites[:2]:
        ids = site.rows.ids[~found.free[site.rows.ids]]
        assert sorted(ids.tolist()) == sorted(grid.flatten().tolist())
        assert int(found.free[site.rows.ids].sum()) == (12 - 10) * 8 * 8
    got = one("gradient_rollout", model, shown)["x"]
    assert got.shape == (20, 16, 16)
    assert float(got.max()) > 0


def test_unetr_has_no_class_token() -> None:
    from monai.networks.nets import UNETR

    torch.manual_seed(0)
    net = UNETR(1, 2, (32, 48), feature_size=4, hidden_size=16, mlp_dim=16, num_heads=2, spatial_dims=2).eval()
    model = Predictor(net, inputs=["x"], task="segmentation", classes=["no", "yes"])
    (row,) = explain("gradient_rollout", model, [case((1, 32, 48))], [RegionScore(k, region="image") for k in (0, 1)])
    assert row[0].notes["query"] == "mean over tokens"
    assert row[0].notes["grid"] == {"x": [2, 3]}
    assert not torch.allclose(row[0].maps["x"], row[1].maps["x"])
    raw = one("attention", model, case((1, 32, 48)), RegionScore(1, region="image"))["x"]
    assert float(raw.mean()) == pytest.approx(1 / 6, rel=0.2)


# -- between inputs ------------------------------------------------------------------------------------------


def test_cross_attention_by_hand() -> None:
    torch.manual_seed(1)
    net = fusion("table", features=5).double().eval()
    shown = case(image=(1, 16, 16), table=(5,))
    model = predictor(net, "image", "table")
    seen: dict[str, Tensor] = {}
    with torch.no_grad(), watch(net, lambda use: seen.update({use.name: use.matrix[0]})):
        net(*(v[None].double() for v in shown.inputs.values()))
    got = one("cross_attention", model, shown)
    torch.testing.assert_close(got["table"], seen["to_first"].mean((0, 1)).float(), rtol=1e-5, atol=1e-7)
    want = on_grid(seen["to_second"].mean((0, 1)).numpy(), (4, 4), (16, 16))
    torch.testing.assert_close(got["image"], want.float(), rtol=1e-5, atol=1e-7)
    token = one(CrossAttention(asking="image", at=(9, 2)), model, shown)
    torch.testing.assert_close(token["table"], seen["to_first"].mean(0)[2 * 4 + 0].float(), rtol=1e-5, atol=1e-7)
    assert float(token["image"].abs().max()) == 0
    column = one(CrossAttention(asking="table", at=3, heads=1), model, shown)["image"]
    want = on_grid(seen["to_second"][1, 3].numpy(), (4, 4), (16, 16))
    torch.testing.assert_close(column, want.float(), rtol=1e-5, atol=1e-7)


def test_the_class_tokens_row_is_shared_between_the_inputs() -> None:
    """Shares of the tokens of both inputs, and what the class token keeps of itself, sum to 1."""
    net = fusion("table", features=5)
    (row,) = explain("attention_rollout", predictor(net, "image", "table"), [case(image=(1, 16, 16), table=(5,))], [ClassScore(0)])
    maps = row[0].maps
    assert float(maps["image"].sum() / 16 + maps["table"].sum()) == pytest.approx(0.5, rel=1e-2)
    assert row[0].notes["query"] == "class token"
    assert row[0].notes["grid"] == {"image": [4, 4], "table": 5}


class OneSequence(nn.Module):
    """Patches and one token for a whole table, in one sequence."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.cut, self.columns = nn.Conv2d(1, 8, 4, stride=4), nn.Linear(5, 8)
        self.attend, self.head = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        t = torch.cat([self.cut(x).flatten(2).transpose(1, 2), self.columns(y)[:, None]], dim=1)
        return self.head((t + self.attend(t, t, t)[0]).mean(1))


def test_one_token_of_a_whole_table_is_divided_between_its_columns() -> None:
    net = OneSequence().double()
    shown, model = case((1, 8, 12), (5,)), predictor(net, "x", "y")
    seen: list[Use] = []
    with torch.no_grad(), watch(net, seen.append):
        net.eval()(*(v[None].double() for v in shown.inputs.values()))
    a = seen[0].matrix.mean(0)
    got = one("attention", model, shown)["y"]
    torch.testing.assert_close(got, (a.mean(0)[6] / 5).expand(5).float(), rtol=1e-5, atol=1e-7)
    across = one("cross_attention", model, shown)
    torch.testing.assert_close(across["y"].sum(), a[:6, 6].mean().float(), rtol=1e-5, atol=1e-7)
    want = on_grid(a[6, :6].numpy(), (2, 3), (8, 12))
    torch.testing.assert_close(across["x"], want.float(), rtol=1e-5, atol=1e-7)


# -- what cannot be told, and what is wrong --------------------------------------------------------------------


class Hybrid(nn.Module):
    """A convolutional stem whose fields overlap, then attention: pixels belong to several tokens."""

    def __init__(self, patch: int = 4, *, class_token: bool = True, maps: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.cut = nn.Conv2d(1, 8, 5, padding=2), nn.Conv2d(8, 8, patch, stride=patch)
        self.cls_token = nn.Parameter(torch.randn(1, 1, 8)) if class_token else None
        self.maps = maps
        self.attend, self.head = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv2d(x, self.stem.weight, self.stem.bias, padding=2).relu()
        x = self.cut(x) if self.maps else F.conv2d(x, self.cut.weight, stride=self.cut.stride)
        t = x.flatten(2).transpose(1, 2)
        if self.cls_token is not None:
            t = torch.cat([self.cls_token.expand(len(t), -1, -1), t], dim=1)
        return self.head((t + self.attend(t, t, t)[0])[:, 0])


def test_overlapping_fields_go_by_the_grid_of_the_convolution() -> None:
    shown, model = case((1, 12, 20)), predictor(Hybrid())
    found = layout(model, shown)
    assert tiles(found.first["x"])[0].shape == (3, 5)
    said = one(Attention(grid=(3, 5), prefix=1), model, shown)["x"]
    torch.testing.assert_close(said, one("attention", model, shown)["x"])


WRONG = [
    ("ambiguous grid", r"has 10 tokens, which pixels of 'x' they stand for is not clear: grid=\(3, 3\) with prefix=1 or grid=\(2, 2\) with prefix=6\? Give the options grid and prefix", Attention(), lambda: (Hybrid(maps=False), case((1, 12, 12)))),
    ("grid that does not fit", r"grid=\(5, 5\) with prefix=None: no attention of Hybrid has that many tokens; numbers seen: 16", Attention(grid=(5, 5)), lambda: (Hybrid(), case((1, 12, 20)))),
    ("axes of the grid", r"grid=\(15,\) has 1 axes, input 'x' has 2", Attention(grid=(15,)), lambda: (Hybrid(), case((1, 12, 20)))),
    ("head", r"heads=2: attention 'blocks.1.attn' has 2 heads, numbered from 0", Attention(heads=2), lambda: (Vit((1, 8, 8), (4, 4)), case((1, 8, 8)))),
    ("layer", "layer=2: 2 attentions look at input 'x', numbered 0 to 1", Attention(layer=2), lambda: (Vit((1, 8, 8), (4, 4)), case((1, 8, 8)))),
    ("layers of a rollout", "start=0, stop=3: the model has 2 attentions, numbered 0 to 1", AttentionRollout(stop=3), lambda: (Vit((1, 8, 8), (4, 4)), case((1, 8, 8)))),
    ("no layers", "start=2, stop=None: the model has 2 attentions", GradientRollout(start=2), lambda: (Vit((1, 8, 8), (4, 4)), case((1, 8, 8)))),
    ("no class token", "query='class'.* use 'mean'", GradientRollout(query="class"), lambda: (Vit((1, 8, 8), (4, 4), class_token=False), case((1, 8, 8)))),
    ("one input", "cross_attention needs several inputs that attend to each other; Vit has one", CrossAttention(), lambda: (Vit((1, 8, 8), (4, 4)), case((1, 8, 8)))),
    ("no attention", "Linear has no attention that could be seen: looked for scaled_dot_product_attention, nn.MultiheadAttention, and a softmax", Attention(), lambda: (nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), case((1, 8, 8)))),
]  # fmt: skip


@pytest.mark.parametrize(("message", "method", "make"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_bad_input(message: str, method: Explainer, make: object) -> None:
    torch.manual_seed(0)
    net, shown = make()  # type: ignore[operator]
    with pytest.raises(UsageError, match=message.replace("Linear has", "has")):
        one(method, predictor(net), shown)


class Apart(nn.Module):
    """Two ViTs that never hear of each other."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = Vit((1, 8, 8), (4, 4)), Vit((1, 8, 12), (4, 4))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.a(x) + self.b(y)


def test_inputs_that_never_attend_to_each_other() -> None:
    torch.manual_seed(0)
    model, shown = predictor(Apart(), "x", "y"), case((1, 8, 8), (1, 8, 12))
    with pytest.raises(UsageError, match="Apart never attends between its inputs"):
        one("cross_attention", model, shown)
    for name in EVERY:  # each has its own class token, and is read from it
        assert all(float(m.max()) > 0 for m in one(name, model, shown).values())
    with pytest.raises(UsageError, match="grid and prefix are for models with one picture; Apart has 2"):
        one(Attention(grid=(2, 2)), model, shown)


def test_an_input_that_attention_never_sees() -> None:
    class Beside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.vit, self.table = Vit((1, 8, 8), (4, 4)), nn.Linear(5, 3)

        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return self.vit(x) + self.table(y)

    with pytest.raises(UsageError, match="no attention of Beside has tokens of input 'y'; it has those of x"):
        one("attention", predictor(Beside(), "x", "y"), case((1, 8, 8), (5,)))


@pytest.mark.parametrize(
    ("cls", "options", "message"),
    [
        (Attention, {"heads": "sum"}, "heads='sum': choose 'mean', 'max' or the number of a head"),
        (AttentionRollout, {"heads": -1}, "heads=-1"),
        (GradientRollout, {"query": "all"}, "query='all': choose 'auto', 'class' or 'mean'"),
        (Attention, {"prefix": -1}, "prefix=-1"),
        (Attention, {"grid": (0, 3)}, r"grid=\(0, 3\)"),
        (CrossAttention, {"at": 3}, r"at=\(3,\): say of which input with asking"),
    ],
)
def test_options_that_make_no_sense(cls: type[Explainer], options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        cls(**options)


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (CrossAttention(asking="tabel"), "asking='tabel': no such input; did you mean 'table'"),
        (CrossAttention(asking="image", at=(16, 0)), r"at=\(16, 0\): input 'image' has shape \(16, 16\)"),
        (CrossAttention(layer=1), "layer=1: input 'image' is asked by others in 1 attentions, numbered 0 to 0"),
    ],
)
def test_bad_questions_between_inputs(method: Explainer, message: str) -> None:
    f = FAMILIES["fused_tokens"]
    with pytest.raises(UsageError, match=message):
        explain(method, f.predictor(), f.cases(1), f.targets)


@pytest.mark.parametrize("family", ["vit", "fused_tokens"])
@pytest.mark.parametrize("method", EVERY)
def test_half_precision_finds_the_same_tokens(family: str, method: str) -> None:
    f = FAMILIES[family]
    for rough, fine in zip(explain(method, f.predictor(), f.cases(2), f.targets, precision="bf16"), usual(family, method)):
        for a, b in zip(rough, fine):
            assert {k: v for k, v in a.notes.items() if k == "grid"} == {"grid": b.notes["grid"]}
            assert gap(a, b) < 0.1


def test_the_engines_copy_is_as_it_was() -> None:
    f = FAMILIES["vit"]
    engine = Engine(f.predictor())
    engine.attention(engine.stack(f.cases(1)))
    assert engine.setup.forwards == 1
    assert not any(p.requires_grad or p.grad is not None for p in engine.module.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in engine.module.modules())
    engine.attention(engine.stack(f.cases(2)))
    assert engine.setup.forwards == 1
