"""Small models and cases for the tests of metrics: 2-D and 3-D, one and several inputs, three tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.api import evidence_of, explain
from pellucid.core.attribution import Attribution
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.engine import Engine
from pellucid.evaluate.evidence import Evidence

ROWS = {"seen": 0}  # inputs that went through a Counted module, counted by the module itself


class Counted(nn.Module):
    """Counts the rows that reach it, independently of the engine (whose deep copies share this counter)."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, *x: Tensor) -> Tensor:
        ROWS["seen"] += len(x[0])
        return self.inner(*x)


class Net(nn.Module):
    """A convolution for every picture, a linear layer for a table, and a head for the task."""

    def __init__(self, axes: int, images: int, table: int, task: str) -> None:
        super().__init__()
        conv = nn.Conv2d if axes == 2 else nn.Conv3d
        self.convs = nn.ModuleList(conv(1, 4, 3, padding=1) for _ in range(images))
        self.table = nn.Linear(table, 4) if table else None
        self.task, self.axes = task, axes
        width = 4 * (images + bool(table))
        self.head = conv(width, 3, 1) if task == "segmentation" else nn.Linear(width, 3 if task[0] == "c" else 1)

    def forward(self, *x: Tensor) -> Tensor:
        seen = [torch.tanh(c(v)) for c, v in zip(self.convs, x)]
        if self.task == "segmentation":
            return self.head(torch.cat(seen, 1))
        # A maximum, so that places matter and the output is not linear in the picture.
        flat = [v.flatten(2).amax(2) + v.flatten(2).mean(2) for v in seen]
        if self.table is not None:
            flat.append(torch.tanh(self.table(x[-1])))
        return self.head(torch.cat(flat, 1))


@dataclass(frozen=True)
class World:
    """A predictor and a case with a lesion."""

    predictor: Predictor
    case: Case


SPECS: dict[str, dict[str, Any]] = {
    "classification 2-D": {"shape": (10, 12), "images": 1, "table": 0, "task": "classification"},
    "classification 2-D + table": {"shape": (10, 12), "images": 1, "table": 5, "task": "classification"},
    "classification 3-D": {"shape": (6, 7, 5), "images": 1, "table": 0, "task": "classification"},
    "regression 2 pictures": {"shape": (9, 9), "images": 2, "table": 0, "task": "regression"},
    "regression 3-D": {"shape": (6, 7, 5), "images": 1, "table": 0, "task": "regression"},
    "segmentation 2 pictures": {"shape": (9, 9), "images": 2, "table": 0, "task": "segmentation"},
    "segmentation 3-D": {"shape": (6, 7, 5), "images": 1, "table": 0, "task": "segmentation"},
}


@cache
def world(name: str) -> World:
    spec = SPECS[name]
    torch.manual_seed(3)
    shape, images, table, task = spec["shape"], spec["images"], spec["table"], spec["task"]
    inputs: dict[str, Tensor] = {f"im{i}": torch.randn(1, *shape) for i in range(images)}
    if table:
        inputs["tab"] = torch.randn(table)
    lesion = torch.zeros(shape, dtype=torch.bool)
    lesion[tuple(slice(1, 4) for _ in shape)] = True
    net = Counted(Net(len(shape), images, table, task)).eval()
    classes = [] if task == "regression" else ["a", "b", "c"]
    predictor = Predictor(net, inputs=list(inputs), task=task, classes=classes)
    return World(predictor, Case(id="w1", inputs=inputs, regions={"lesion": lesion}))


@cache
def evidence(name: str, methods: tuple[str, ...] = ("saliency", "input_x_gradient", "random")) -> Evidence:
    w = world(name)
    maps = [explain(w.predictor, w.case, method=m, seed=1) for m in methods]
    return evidence_of(Engine(w.predictor), w.case, maps, steps=6)


def attribution(case: Case, maps: dict[str, Tensor], *, method: str = "made", signed: bool = True, index: int = 0,
                kind: str = "class") -> Attribution:  # fmt: skip
    """A map out of nothing."""
    described = {"class": {"kind": "class", "k": index, "on": "logit"}, "score": {"kind": "score", "i": index},
                 "region": {"kind": "region", "k": index, "region": "image"}}[kind]  # fmt: skip
    return Attribution(
        maps={k: v.float() for k, v in maps.items()}, method=method, case_id=case.id,
        target={**described, "index": index, "label": "made"}, score=0.0, signed=signed,
        image_axes=len(case.spatial),
    )  # fmt: skip


def never(*_: Any) -> list[Attribution]:
    raise AssertionError("this map should not have been made again")


def of(predictor: Predictor, case: Case, maps: Sequence[Attribution], again: Sequence[Callable[..., Any]] | None = None,
       **options: Any) -> Evidence:  # fmt: skip
    """Evidence of maps that were made by hand, each on its own target."""
    from pellucid.core.target import as_target
    from pellucid.engine import Problem

    engine = Engine(predictor)
    targets = [as_target({k: v for k, v in a.target.items() if k not in ("index", "label")}, predictor) for a in maps]
    problem = Problem(engine, [case], targets)
    problem.bind()
    return Evidence(engine, case, maps, problem.objective.bound[0], again or [never] * len(maps), **options)


def linear_world(shape: tuple[int, ...] = (8, 8), gain: float = 6.0) -> tuple[Predictor, Case, Attribution]:
    """A model that adds up the lesion's pixels and nothing else, a case, and its exact attribution.

    The picture has mean 0 outside and inside the lesion in such a way that the lesion is bright; class 1 is "lesion".
    """
    generator = torch.Generator().manual_seed(5)
    lesion = torch.zeros(shape, dtype=torch.bool)
    lesion[tuple(slice(2, 5) for _ in shape)] = True
    x = 0.1 * torch.rand(shape, generator=generator)
    x = torch.where(lesion, 1 - x, x)[None]
    net = nn.Sequential(nn.Flatten(), nn.Linear(x.numel(), 2))
    with torch.no_grad():
        net[1].weight.zero_()
        net[1].weight[1] = gain * lesion.flatten() / lesion.sum()
        net[1].bias.copy_(torch.tensor([0.0, -gain / 2]))
    predictor = Predictor(Counted(net).eval(), inputs=["x"], task="classification", classes=["none", "lesion"])
    case = Case(id="lin", inputs={"x": x}, regions={"lesion": lesion})
    exact = net[1].weight[1].detach().view(1, *shape) * (x - x.mean())
    return predictor, case, attribution(case, {"x": exact}, method="exact", index=1)
