"""Small models of every kind that Pellucid explains, with cases and targets: what the contract tests run on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contract.transformers import Vit, VitSegmenter, fusion
from fusion_nets import fusion_network
from pellucid.core.attribution import Attribution
from pellucid.core.case import Case
from pellucid.core.explainer import EXPLAINERS, Explainer
from pellucid.core.predictor import Predictor
from pellucid.core.target import ClassScore, RegionScore, Score, Target
from pellucid.engine import Engine, Problem
from pellucid.explain.make import as_explainer, attributions


class Encoder(nn.Module):
    """Two convolutions with batch norm, an in-place ReLU that is used twice, and a functional pooling between them."""

    def __init__(self, channels: int, axes: int = 2, out: int = 6) -> None:
        super().__init__()
        conv, norm = (nn.Conv2d, nn.BatchNorm2d) if axes == 2 else (nn.Conv3d, nn.BatchNorm3d)
        self.first, self.norm, self.second = conv(channels, 4, 3, padding=1), norm(4), conv(4, out, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.pool = F.max_pool2d if axes == 2 else F.max_pool3d
        self.norm.running_mean.uniform_(-0.3, 0.3)
        self.norm.running_var.uniform_(0.5, 1.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.second(self.pool(self.relu(self.norm(self.first(x))), 2)))


class Fusion(nn.Module):
    """An encoder for each picture, one layer for each table, their features side by side, a linear head."""

    def __init__(self, inputs: dict[str, tuple[int, ...]], outputs: int) -> None:
        super().__init__()
        self.names = list(inputs)
        self.parts = nn.ModuleDict(
            {k: nn.Linear(s[0], 6) if len(s) == 1 else Encoder(s[0], len(s) - 1) for k, s in inputs.items()}
        )
        self.head = nn.Linear(6 * len(inputs), outputs)

    def forward(self, *inputs: Tensor) -> Tensor:
        features = []
        for name, x in zip(self.names, inputs):
            h = self.parts[name](x)
            features.append(torch.tanh(h) if h.ndim == 2 else h.flatten(2).mean(2))
        return self.head(torch.cat(features, 1))


class Segmenter(nn.Module):
    """An encoder at half the resolution, upsampled, with a skip, and a 1×1 head."""

    def __init__(self, channels: int, axes: int, outputs: int) -> None:
        super().__init__()
        conv = nn.Conv2d if axes == 2 else nn.Conv3d
        self.encoder = Encoder(channels, axes)
        self.skip = conv(channels, 4, 3, padding=1)
        self.head = conv(10, outputs, 1)
        self.mode = "bilinear" if axes == 2 else "trilinear"

    def forward(self, x: Tensor) -> Tensor:
        deep = F.interpolate(self.encoder(x), size=x.shape[2:], mode=self.mode, align_corners=False)
        return self.head(torch.cat([deep, torch.tanh(self.skip(x))], 1))


CONVOLUTIONAL = frozenset({"gradient", "layer"})
POOLED = CONVOLUTIONAL | {"linear_head"}
ATTENTIVE = frozenset({"gradient", "attention"})


@dataclass(frozen=True)
class Family:
    """A kind of model: how to make one, its cases and two targets.

    ``offers`` is what methods may need of it (``Explainer.needs``), ``make`` its module; the last linear layer is
    called ``head``, and the features of several inputs go into it side by side. ``inside``: one method is asked for
    each way of looking inside the model; all others see in it what they see in the families before it.
    """

    name: str
    shapes: dict[str, tuple[int, ...]]
    task: str
    outputs: int
    targets: tuple[Target, Target]
    spacing: tuple[float, ...] | None = None
    offers: frozenset[str] = CONVOLUTIONAL
    make: Callable[[Family], nn.Module] | None = None
    inside: bool = False

    def runs(self, method: str) -> bool:
        """Whether a method says that it runs on this kind of model."""
        cls = EXPLAINERS[method]
        offers = self.offers | ({"several_inputs"} if len(self.shapes) > 1 else set())
        axes = {len(s) - 1 for s in self.shapes.values() if len(s) > 1}
        return set(cls.needs) <= offers and self.task in cls.tasks and axes <= set(cls.axes)

    def module(self, seed: int = 0) -> nn.Module:
        """A net in eval mode, its head's bias set so that the cases' outputs are spread around zero."""
        torch.manual_seed(seed)
        if self.make is not None:
            net: nn.Module = self.make(self)
        elif self.task == "segmentation":
            ((channels, *spatial),) = self.shapes.values()
            net = Segmenter(channels, len(spatial), self.outputs)
        else:
            net = Fusion(self.shapes, self.outputs)
        net.eval()
        with torch.no_grad():
            for p in net.head.parameters():
                p.mul_(4)
            x = [torch.stack([c.inputs[k] for c in self.cases(6)]) for k in self.shapes]
            net.head.bias.sub_(net(*x).transpose(0, 1).flatten(1).mean(1))
        return net

    def predictor(self, module: nn.Module | None = None) -> Predictor:
        """Of a module, or of that of seed 0, made once: a test of its own holds that nothing is left on a module."""
        return _usual(self.name) if module is None else self._made(module)

    def _made(self, module: nn.Module) -> Predictor:
        tables = [k for k, s in self.shapes.items() if len(s) == 1]
        return Predictor(
            module,
            inputs=list(self.shapes),
            task=self.task,  # type: ignore[arg-type]
            classes=[f"k{i}" for i in range(self.outputs)],
            normalise={k: (torch.linspace(-1, 1, self.shapes[k][0]), torch.full(self.shapes[k], 2.0)) for k in tables},
        )

    def cases(self, count: int = 3) -> list[Case]:
        out = []
        for i in range(count):
            g = torch.Generator().manual_seed(100 + i)
            inputs = {k: torch.randn(s, generator=g) * (1 + 0.3 * i) + 0.2 * (i - 1) for k, s in self.shapes.items()}
            out.append(Case(id=f"c{i}", inputs=inputs, spacing=self.spacing))
        return out


@cache
def _usual(family: str) -> Predictor:
    f = FAMILIES[family]
    return f._made(f.module())


CLASSES = (ClassScore(0), ClassScore(2))
REGIONS = (RegionScore(1, region="image"), RegionScore(2, region="image"))
FAMILIES = {
    f.name: f
    for f in (
        Family("picture", {"x": (2, 16, 16)}, "classification", 3, CLASSES, offers=POOLED),
        Family(
            "picture_and_table", {"image": (1, 16, 16), "table": (5,)}, "classification", 3, CLASSES, offers=POOLED
        ),
        Family(
            "two_pictures", {"t1": (1, 16, 16), "t2": (2, 12, 12)}, "classification", 3, CLASSES, offers=POOLED
        ),
        Family("regression", {"x": (1, 16, 16)}, "regression", 2, (Score(0), Score(1)), offers=POOLED),
        Family("segmentation", {"x": (1, 16, 16)}, "segmentation", 3, REGIONS),
        Family("one_channel", {"x": (2, 16, 16)}, "segmentation", 1, (RegionScore(0), RegionScore(0, region="image"))),
        Family("volume", {"ct": (1, 6, 10, 8)}, "classification", 3, CLASSES, (3.0, 1.0, 1.0), POOLED),
        Family(
            "vit", {"x": (2, 12, 16)}, "classification", 3, CLASSES, offers=ATTENTIVE,
            make=lambda f: Vit(f.shapes["x"], (4, 4), registers=2),
        ),
        Family(
            "vit_volume", {"ct": (1, 4, 8, 8)}, "regression", 2, (Score(0), Score(1)), (3.0, 1.0, 1.0), ATTENTIVE,
            make=lambda f: Vit(f.shapes["ct"], (2, 4, 4), 2, fused=False),
        ),
        Family(
            "vit_segmentation", {"x": (1, 16, 16)}, "segmentation", 3, REGIONS, offers=ATTENTIVE | {"layer"},
            make=lambda f: VitSegmenter(f.shapes["x"], (4, 4), 3),
        ),
        Family(
            "fused_tokens", {"image": (1, 16, 16), "table": (5,)}, "classification", 3, CLASSES, offers=ATTENTIVE,
            make=lambda _: fusion("table", features=5),
        ),
        Family(
            "fused_pictures", {"t1": (1, 16, 16), "t2": (1, 8, 12)}, "classification", 3, CLASSES,
            offers=ATTENTIVE, make=lambda _: fusion("image"),
        ),
        Family(
            "fusion_network", {"t1": (1, 8, 8), "t2": (2, 8, 8), "table": (3,)}, "classification", 3, CLASSES,
            make=lambda f: fusion_network(f.shapes), inside=True,
        ),
        Family("volume_segmentation", {"ct": (1, 4, 8, 6)}, "segmentation", 3, REGIONS, spacing=(3.0, 1.0, 1.0)),
    )
}
METHODS = list(EXPLAINERS)
# One for each way of looking inside a model.
INSIDE = ("saliency", "guided_backprop", "deeplift", "lrp", "grad_cam", "ablation_cam")
PAIRS = [
    (f, m) for f in FAMILIES for m in METHODS if FAMILIES[f].runs(m) and (m in INSIDE or not FAMILIES[f].inside)
]  # fmt: skip
MISFITS = [(f, m) for f in FAMILIES for m in METHODS if not FAMILIES[f].runs(m)]


def explain(
    method: str | Explainer,
    predictor: Predictor,
    cases: Sequence[Case],
    targets: Sequence[Target],
    *,
    seed: int = 0,
    background: Sequence[Case] = (),
    by: Engine | None = None,
    **engine: object,
) -> list[list[Attribution]]:
    """Maps ``[case][target]`` of a batch, by the engine alone: one of their own, or ``by`` one that made others."""
    own = by or Engine(predictor, **engine)  # type: ignore[arg-type]
    problem = Problem(own, cases, targets, seed=seed, background=background)
    return attributions(problem, as_explainer(method))


# What must hold at any budget is asked at a small one where the usual one takes hundreds of passes; a method that is
# not named here is asked as it is.
SMALL: dict[str, dict[str, Any]] = {
    "expected_gradients": {"most": 24},
    "gradient_shap": {"samples": 6},
    "hierarchical_occlusion": {"levels": [(4, 4), (2, 2)], "min_window": 2, "top_k": 2, "budget": None},
    "integrated_gradients": {"most": 24},
    "kernel_shap": {"segments": 12},
    "lime": {"segments": 12},
    "occlusion": {"window": 4, "stride": 3},
    "partition_shap": {"evaluations": 32, "force": True},
    "rise": {"samples": 32, "force": True},
    "sampled_gradients": {"samples": 8},
    "smoothgrad": {"samples": 6},
    "vargrad": {"samples": 6},
}


def small(method: str) -> Explainer:
    """A method at a budget at which every part of it still runs: levels are refined, blocks split, samples fitted."""
    return as_explainer(method, SMALL.get(method))


# Methods whose small budget differs from the usual one in the number of samples alone: one is asked for all.
SAMPLED = ("rise",)
_known: dict[tuple[str, str, bool], list[list[Attribution]]] = {}


def usual(family: str, method: str, *, brief: bool = False) -> list[list[Attribution]]:
    """The maps of a family by a method with nothing changed, made once; ``brief`` by :func:`small` at that."""
    own = method in SMALL and (brief or method in SAMPLED)
    if (family, method, own) not in _known:
        f = FAMILIES[family]
        made = explain(small(method) if own else as_usual(method), f.predictor(), f.cases(), f.targets)
        _known[family, method, own] = made
    return _known[family, method, own]


def as_usual(method: str) -> Explainer:
    """The method that :func:`usual` asks."""
    return small(method) if method in SAMPLED else as_explainer(method)


def gap(a: Attribution, b: Attribution, *, rounding: float = 0.0) -> float:
    """The largest difference of two maps as a share of the largest value of both.

    ``rounding`` is forgiven, as a share of the score: a map made of differences of scores cannot be finer.
    """
    assert list(a.maps) == list(b.maps)
    top = max(max(float(m.abs().max()) for m in x.maps.values()) for x in (a, b))
    apart = max(float((a.maps[k] - b.maps[k]).abs().max()) for k in a.maps)
    return max(apart - rounding * max(1.0, abs(a.score)), 0.0) / top if top else 0.0


def changed(module: nn.Module, change: Callable[[nn.Module], object]) -> nn.Module:
    """``module`` after a change without gradients."""
    with torch.no_grad():
        change(module)
    return module
