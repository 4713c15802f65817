"""Cohorts with a bright mark outside the body, and models whose use of it is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from metric_worlds import Counted
from pellucid.api import explain_many
from pellucid.core.attribution import Attribution
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.engine import Engine

METHODS = ("input_x_gradient", "saliency", "random", "edge")


class Reads(nn.Module):
    """A linear reading: ``corner · mean(mark) + inside · mean(lesion) + spread · mean(all)``, as the task wants it."""

    def __init__(
        self, mark: Tensor, lesion: Tensor, *, corner: float, inside: float, spread: float, task: str
    ) -> None:
        super().__init__()
        self.register_buffer("mark", mark.float())
        self.register_buffer("lesion", lesion.float())
        self.corner, self.inside, self.spread, self.task = corner, inside, spread, task

    def forward(self, *pictures: Tensor) -> Tensor:
        x = torch.stack(pictures).mean(0)[:, 0]
        read = lambda m: (x * m).flatten(1).sum(1) / m.sum()  # noqa: E731
        score = self.corner * (read(self.mark) - 0.4) + self.inside * (read(self.lesion) - 0.8)
        score = score + self.spread * (x.flatten(1).mean(1) - 0.2)
        if self.task == "regression":
            return score[:, None]
        if self.task == "classification":
            return torch.stack([-score / 2, score / 2], 1)
        return (4 * (x - 0.7) + score.view(-1, *[1] * (x.ndim - 1)))[:, None]


@dataclass(frozen=True, eq=False)
class World:
    """A cohort, its model and its maps."""

    predictor: Predictor
    cases: list[Case]
    maps: dict[str, list[Attribution]]
    mark: Tensor
    shows: set[str]  # ids of the cases with the mark

    @property
    def engine(self) -> Engine:
        return Engine(self.predictor)

    def maps_of(self, case_id: str) -> list[Attribution]:
        return self.maps[case_id]


def world(
    *, shape: tuple[int, ...] = (24, 26), n: int = 16, corner: float = 8.0, inside: float = 0.0,
    spread: float = 0.0, task: str = "classification", pictures: int = 1, methods: tuple[str, ...] = METHODS, share: float = 0.5, **more: object,
) -> World:  # fmt: skip
    """A body (0.5) in air (0.02); a lesion in it in every second case; the mark in the low corner in ``share`` of all."""
    rng = np.random.default_rng(7)
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, s) for s in shape), indexing="ij"))
    body = (grid**2).sum(0) < 0.55
    mark, lesion = np.zeros(shape, bool), np.zeros(shape, bool)
    mark[tuple(slice(1, 4) for _ in shape)] = True
    lesion[tuple(slice(s // 2 - 1, s // 2 + 2) for s in shape)] = True
    cases, shows = [], set()
    for i in range(n):
        x = np.where(body, 0.5, 0.02) + 0.02 * rng.random(shape)
        x[lesion] = 0.95 if i % 2 else 0.5
        if (i * share) % 1 < share and share > 0:
            x[mark] = 0.9
            shows.add(f"c{i}")
        inputs = {f"im{k}": torch.tensor(x[None], dtype=torch.float32) for k in range(pictures)}
        cases.append(Case(id=f"c{i}", inputs=inputs, group=f"p{i}", **more))  # type: ignore[arg-type]
    net = Reads(torch.tensor(mark), torch.tensor(lesion), corner=corner, inside=inside, spread=spread, task=task)
    classes = {"classification": ["none", "disease"], "regression": ["score"], "segmentation": ["organ"]}[task]
    predictor = Predictor(
        Counted(net).eval(), inputs=[f"im{k}" for k in range(pictures)], task=task, classes=classes  # type: ignore[arg-type]
    )
    found = explain_many(predictor, cases, methods=methods)
    maps: dict[str, list[Attribution]] = {}
    for a in found:
        maps.setdefault(a.case_id, []).append(a)
    return World(predictor, cases, maps, torch.tensor(mark), shows)
