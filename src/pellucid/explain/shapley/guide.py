"""What a method looks at to decide where to look next."""

from __future__ import annotations

import torch
from torch import Tensor

from pellucid.core.target import Objective


class Guided(Objective):
    """An objective with further columns beside the targets: all outputs of the model.

    Of a segmentation: each class's mean logit over the voxels that the clean image is predicted to have of it.
    """

    def __init__(self, inner: Objective) -> None:
        self.inner = inner
        self.predictor, self.cases, self.targets = inner.predictor, inner.cases, inner.targets
        self.labels: list[Tensor | None] = [None] * len(inner.cases)

    @property
    def ready(self) -> bool:
        """Whether every case is bound."""
        return self.inner.ready and all(v is not None for v in self.labels)

    def bind(self, output: Tensor, owner: Tensor) -> None:
        """Fix the targets, and where each class is."""
        self.inner.bind(output, owner)
        for b, row in zip(owner.tolist(), output.detach()):
            if self.labels[b] is None:
                self.labels[b] = self.predictor.labels(row[None])[0].flatten() if row.ndim > 1 else row.new_zeros(0)

    def __call__(self, output: Tensor, owner: Tensor) -> Tensor:
        """``(n, K[, *spatial])`` outputs to ``(n, T + K)`` scalars."""
        guide = output if output.ndim == 2 else self._by_class(output, owner)
        return torch.cat([self.inner(output, owner), guide], 1)

    def _by_class(self, output: Tensor, owner: Tensor) -> Tensor:
        labels = torch.stack([v for b in owner.tolist() if (v := self.labels[b]) is not None])
        flat = output.flatten(2)
        if output.shape[1] == 1:
            return (flat[:, 0] * labels).sum(1, keepdim=True) / labels.sum(1, keepdim=True).clamp(min=1)
        own = flat.gather(1, labels[:, None])[:, 0]
        sums = flat.new_zeros(flat.shape[:2])
        size = torch.zeros_like(sums).scatter_add_(1, labels, torch.ones_like(own)).clamp(min=1)
        return sums.scatter_add_(1, labels, own) / size
