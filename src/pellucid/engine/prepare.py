"""The engine's own copy of a module, and what is to be known of it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pellucid.core.module_copy import copied
from pellucid.errors import ModelError

# Parts run again during the backward pass, out of sight of hooks and of function modes.
CHECKPOINTS = ("use_checkpoint", "gradient_checkpointing", "grad_checkpointing", "memory_efficient")


def prepared(module: nn.Module, name: str, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """A copy in eval mode whose functions overwrite nothing, recompute nothing and ask for no weight gradient.

    Raises:
        ModelError: the module cannot be copied.
    """
    try:
        own = copied(module)
    except (RuntimeError, TypeError) as error:
        first = str(error).strip().splitlines()[0]
        raise ModelError(
            f"{name} cannot be copied ({first}); take off it what is no part of the network (a lock, an open file)"
        ) from error
    own.eval().to(device, dtype)
    for part in own.modules():
        if getattr(part, "inplace", False) is True:
            part.inplace = False  # type: ignore[assignment]
        for switch in CHECKPOINTS:
            if not isinstance(part, torch.jit.ScriptModule) and getattr(part, switch, None) is True:
                setattr(part, switch, False)
    for parameter in own.parameters():  # one by one: a scripted module has no requires_grad_ of its own
        parameter.requires_grad_(False)
        parameter.grad = None
    return own


def chance(device: torch.device) -> list[Tensor]:
    """The states of the random generators: a model that has drawn from them has moved them."""
    states = [torch.get_rng_state()]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    return states


def not_differentiable(name: str, error: Exception) -> ModelError:
    """The error for a backward pass that failed."""
    first = str(error).strip().splitlines()[0]
    if "checkpoint" in f"{type(error).__name__} {first}".lower():
        return ModelError(
            f"{name} runs parts of itself again during the backward pass (torch.utils.checkpoint), which this method "
            "cannot follow; switch checkpointing off in the model: the engine sees to the memory itself"
        )
    return ModelError(f"{name} cannot be differentiated ({first}); use a method without gradients, such as occlusion")
