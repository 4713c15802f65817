"""Start a network from weights: torchvision's for ImageNet, or those in a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from torch import nn

from pellucid.errors import ModelError, UsageError
from pellucid.nets.picture_norm import network_of
from pellucid.nets.torchvision_weights import LAST, STEM, fitted, looks_like, other_network, renamed
from pellucid.nets.weights import fit_prefix, load_weights, read_state, sha256

IMAGENET = "imagenet"
FOLDER = "PELLUCID_WEIGHTS"
BASE = "https://download.pytorch.org/models/"
# torchvision's IMAGENET1K_V1; the hexadecimal digits are the beginning of the file's SHA-256.
FILES = {
    "resnet18": "resnet18-f37072fd.pth",
    "resnet50": "resnet50-0676ba61.pth",
    "resnet101": "resnet101-63fe2227.pth",
    "densenet121": "densenet121-a639ec97.pth",
    "efficientnet_b0": "efficientnet_b0_rwightman-7f5810bc.pth",
}


def start_from(module: nn.Module, weights: str | Path, *, network: str) -> dict[str, Any]:
    """Put weights into a network that is to be trained on; its last layer stays new where it is another one.

    Classifiers take torchvision's state dicts and their own (one grey channel by the sum of the RGB filters), and so do
    the encoders of the fusion networks that a file is of; all other networks take their own alone, whole.

    Args:
        module: a network made by ``build_network``; changed in place.
        weights: ``"imagenet"``, for which a file of torchvision's name is looked for in the folder that the
            environment variable ``PELLUCID_WEIGHTS`` names, then in the cache of ``torch.hub``, then on the internet;
            or a file, ``.safetensors`` or a state dict in ``.pt`` or ``.pth``.
        network: the registered name.

    Returns:
        ``file`` (its name), ``sha256`` (of the file), ``loaded`` (how many tensors), ``new`` (the names of those that
        were left as they were), ``channels`` (``"sum of RGB"`` or ``"as they are"``).

    Raises:
        UsageError: ImageNet weights are asked for a network that has none.
        ModelError: no such file, or it cannot be fetched; not weights; of another network (which one).
    """
    core = network_of(module)
    kinds: dict[str, str] = getattr(core, "encoder_names", {})
    fixed = [k for k in kinds.values() if k in LAST]
    path = find_weights(weights, network=fixed[0] if fixed and weights == IMAGENET else network)
    if kinds and not set(read_state(path)) & set(core.state_dict()):
        return _encoders(core, path, kinds)
    new: list[str] = []
    summed = False
    if network not in LAST:
        _whole(core, path, network=network)
        state = core.state_dict()
    else:
        given = fit_prefix(read_state(path), core.state_dict())
        try:
            state, new = fitted(given, core, network=network)
        except ModelError as error:
            raise ModelError(f"weights {path.name}: {error}") from error
        stem = STEM[network] + ".weight"
        summed = renamed(given)[stem].shape[1] != state[stem].shape[1]
        core.load_state_dict(core.state_dict() | state)
    return {
        "file": path.name, "sha256": sha256(path), "loaded": len(state), "new": new,
        "channels": "sum of RGB" if summed else "as they are",
    }  # fmt: skip


def _encoders(core: nn.Module, path: Path, kinds: dict[str, str]) -> dict[str, Any]:
    """Put a published network's weights into those encoders of a fusion network that are of it; the rest stays new."""
    given = read_state(path)
    kind = looks_like(given)
    mine = [name for name, k in kinds.items() if k == kind]
    if not mine:
        raise ModelError(
            f"weights {path.name}: the weights look like those of {kind or 'no network that is known here'}, and the "
            f"network's encoders are {', '.join(dict.fromkeys(kinds.values()))}; give a file of one of these"
        )
    loaded, summed = 0, False
    for name in mine:
        part = core.get_submodule(name)
        own = part.state_dict()
        try:
            state, _ = fitted(fit_prefix(given, own), part, network=str(kind))
        except ModelError as error:
            raise ModelError(f"weights {path.name}, encoder {name!r}: {error}") from error
        stem = STEM[str(kind)] + ".weight"
        summed = summed or renamed(fit_prefix(given, own))[stem].shape[1] != own[stem].shape[1]
        part.load_state_dict(own | state)
        loaded += len(state)
    new = [k for k in core.state_dict() if not any(k.startswith(f"{name}.") for name in mine)]
    return {
        "file": path.name, "sha256": sha256(path), "loaded": loaded, "new": new,
        "channels": "sum of RGB" if summed else "as they are",
    }  # fmt: skip


def find_weights(weights: str | Path, *, network: str) -> Path:
    """The file that ``weights`` means; ImageNet's is fetched if it is nowhere yet.

    Raises:
        UsageError: ImageNet weights are asked for a network that has none.
        ModelError: no such file, or it cannot be fetched, or it is damaged.
    """
    if weights != IMAGENET:
        path = Path(weights)
        if not path.is_file():
            raise ModelError(f"weights {path}: no such file; give a file of weights, or '{IMAGENET}'")
        return path
    if network not in FILES:
        raise UsageError(f"weights: {IMAGENET!r} are there for {', '.join(FILES)}; network {network!r} has none")
    name = FILES[network]
    places = [Path(torch.hub.get_dir()) / "checkpoints" / name]
    if os.environ.get(FOLDER):
        places.insert(0, Path(os.environ[FOLDER]) / name)
    for place in places:
        if place.is_file():
            return _unharmed(place)
    try:
        torch.hub.load_state_dict_from_url(BASE + name, map_location="cpu", check_hash=True, weights_only=True)
    except (URLError, OSError, RuntimeError) as error:
        raise ModelError(
            f"ImageNet weights of {network}: {BASE + name} cannot be fetched ({error}); fetch {name} where there is a "
            f"connection and put it into {places[-1].parent}, or into a folder that the environment variable {FOLDER} "
            "names"
        ) from error
    return places[-1]


def _unharmed(path: Path) -> Path:
    """The file, if its digest begins with the digits in its name."""
    wanted = path.stem.rpartition("-")[2]
    if not sha256(path).startswith(wanted):
        raise ModelError(
            f"weights {path}: not torchvision's file (its SHA-256 does not begin with {wanted}); delete it and fetch "
            f"{BASE + path.name} again, or give another file by its path"
        )
    return path


def _whole(module: nn.Module, path: Path, *, network: str) -> None:
    try:
        load_weights(module, path)
    except ModelError as error:
        found = looks_like(read_state(path))
        if found is None or found == network:
            raise
        raise ModelError(f"weights {path.name}: {other_network(found, network)}") from error
