"""The same architecture with weights that have learned nothing."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from pellucid.core.predictor import Predictor
from pellucid.engine.engine import Engine

_ENGINES: WeakKeyDictionary[Engine, dict[int, Engine]] = WeakKeyDictionary()


def randomised(engine: Engine, seed: int) -> Engine:
    """An engine around the randomised model, made once per engine and seed and then kept with it."""
    known = _ENGINES.setdefault(engine, {})
    if seed not in known:
        known[seed] = engine.like(randomise(engine.predictor, seed))
    return known[seed]


def randomise(predictor: Predictor, seed: int) -> Predictor:
    """The predictor around a copy of its module with every parameter drawn anew (independent of what was learned).

    Matrices and kernels are drawn from ``N(0, rms²)`` with the root mean square of the old values, so that the
    size of the activations stays about the same; biases and scales (one axis) are permuted, so that a scale stays
    positive. Buffers, such as the statistics of batch norm, are kept: they describe the data's scale, and without
    them deep networks saturate. Source: adebayo2018sanity.
    """

    def change(module: nn.Module) -> nn.Module:
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in module.parameters():
                if parameter.is_floating_point():
                    parameter.copy_(_redrawn(parameter, generator))
        return module.eval()

    return predictor.with_module(change)


def _redrawn(p: Tensor, generator: torch.Generator) -> Tensor:
    if p.ndim >= 2:
        rms = p.detach().double().square().mean().sqrt()
        return (torch.randn(p.shape, generator=generator, dtype=torch.double) * rms.cpu()).to(p)
    order = torch.randperm(p.numel(), generator=generator).to(p.device)
    return p.flatten()[order].view_as(p)
