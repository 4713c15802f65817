"""Weights of a network from a file, without running anything that the file may hold."""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pellucid.errors import ModelError

NESTED = ("state_dict", "model_state_dict", "model", "network")


def load_weights(module: nn.Module, path: str | Path) -> nn.Module:
    """Load ``.safetensors``, or a state dict in ``.pt`` or ``.pth``, into a module; returns the module.

    A pickle is read with ``weights_only=True``: one that holds code is refused. State dicts inside
    ``{"state_dict": …}`` and the like, and a prefix that all keys share (``"module."``), are dealt with.

    Raises:
        ModelError: no such file, not weights, or weights that do not fit (which keys).
    """
    path = Path(path)
    state = fit_prefix(read_state(path), module.state_dict())
    own = module.state_dict()
    missing = [k for k in own if k not in state]
    unexpected = [k for k in state if k not in own]
    shapes = [
        f"{k} is {tuple(state[k].shape)}, wanted {tuple(own[k].shape)}"
        for k in own
        if k in state and state[k].shape != own[k].shape
    ]
    faults = [_some("missing", missing), _some("unexpected", unexpected), _some("wrong shape", shapes)]
    if any(faults):
        raise ModelError(
            f"weights {path.name} do not fit {type(module).__name__}: {'; '.join(f for f in faults if f)}. "
            "Give the network's own weights, or the options with which it was trained"
        )
    module.load_state_dict(state)
    return module


def read_state(path: Path) -> dict[str, Tensor]:
    """The state dict in a file, on the CPU.

    Raises:
        ModelError: no such file, or not weights.
    """
    if not path.is_file():
        raise ModelError(f"weights {path}: no such file")
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, OSError, ValueError) as error:
            raise ModelError(f"weights {path.name}: not a readable safetensors file ({error})") from error
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"weights {path.name} hold code or objects besides tensors, and are not loaded, since that would "
            "run them; save the state dict alone, best as .safetensors"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise ModelError(f"weights {path.name}: not a readable file of weights ({error})") from error
    return _state_of(content, path)


def _state_of(content: Any, path: Path) -> dict[str, Tensor]:
    for key in NESTED:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping):
        raise ModelError(f"weights {path.name} hold a {type(content).__name__}; a state dict is wanted")
    others = [str(k) for k, v in content.items() if not isinstance(v, Tensor)]
    if others or not content:
        raise ModelError(
            f"weights {path.name}: not a state dict ({_some('not tensors', others) or 'it is empty'}); "
            "save module.state_dict()"
        )
    return {str(k): v for k, v in content.items()}


def fit_prefix(state: dict[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict without a prefix that all of its keys share (``module.``), where no key is one of ``own``."""
    while not set(state) & set(own):
        first = {k.partition(".")[0] for k in state if "." in k}
        if len(first) != 1 or not all("." in k for k in state):
            break
        state = {k.partition(".")[2]: v for k, v in state.items()}
    return state


def _some(what: str, names: Sequence[str], n: int = 4) -> str:
    if not names:
        return ""
    more = f" and {len(names) - n} more" if len(names) > n else ""
    return f"{len(names)} {what}: {', '.join(names[:n])}{more}"


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save_weights(module: nn.Module, path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write all parameters and buffers as safetensors, under a temporary name first."""
    write_tensors({k: v for k, v in module.state_dict().items() if isinstance(v, Tensor)}, path, metadata)


def write_tensors(
    tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors as safetensors, under a temporary name first.

    Raises:
        ModelError: they cannot be written (no space, no permission).
    """
    # Clones, because the format refuses tensors that share memory.
    copies = {k: v.detach().cpu().clone().contiguous() for k, v in tensors.items()}
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        save_file(copies, temporary, metadata=dict(metadata or {}) or None)
        temporary.replace(path)
    except (OSError, SafetensorError) as error:
        temporary.unlink(missing_ok=True)
        raise ModelError(f"weights {path}: cannot be written ({error})") from error
