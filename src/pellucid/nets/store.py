"""A Predictor as a folder: ``weights.safetensors`` and ``model.json``."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from torch import Tensor

from pellucid.core.predictor import Predictor
from pellucid.errors import ModelError, PellucidError, unknown
from pellucid.nets.registry import NETWORKS, build_network
from pellucid.nets.weights import load_weights, save_weights, sha256

FORMAT = 1
FIELDS = ("inputs", "task", "classes", "activation", "thresholds", "temperature", "features", "output", "name")


def save_predictor(
    predictor: Predictor,
    folder: str | Path,
    *,
    network: str,
    options: Mapping[str, Any] | None = None,
    info: Mapping[str, Any] | None = None,
) -> Path:
    """Write a predictor whose network is registered; returns the folder.

    Args:
        predictor: what to write.
        folder: made if absent; an older model in it is replaced.
        network: the registered name of the network.
        options: with which it was built.
        info: anything plain to keep with it, such as metrics. NaN becomes null.

    Raises:
        UsageError: unknown network.
        ModelError: the folder cannot be written.
    """
    if network not in NETWORKS:
        raise unknown("network", network, NETWORKS)
    folder = Path(folder)
    weights, description = folder / "weights.safetensors", folder / "model.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_weights(predictor.module, weights)
        text = json.dumps(
            {
                "format": FORMAT,
                "network": network,
                "options": _plain(dict(options or {})),
                "predictor": {k: _plain(getattr(predictor, k)) for k in FIELDS}
                | {"normalise": _plain(predictor.normalise)}
                | ({"windows": predictor.windows.describe()} if predictor.windows else {}),
                "weights": {"sha256": sha256(weights), "hash": predictor.weights_hash()},
                "versions": _versions(),
                "info": _plain(dict(info or {})),
            },
            indent=1,
            allow_nan=False,
        )
        temporary = folder / f".model.json.{os.getpid()}.tmp"
        temporary.write_text(text + "\n", encoding="utf-8")
        temporary.replace(description)
    except OSError as error:
        raise ModelError(f"model folder {folder}: cannot be written ({error})") from error
    return folder


def load_predictor(folder: str | Path) -> Predictor:
    """Read what ``save_predictor`` wrote.

    Raises:
        ModelError: a file is missing or damaged, or the weights are not those that were saved.
    """
    folder = Path(folder)
    content = read_description(folder)
    weights = folder / "weights.safetensors"
    try:
        fields, wanted = dict(content["predictor"]), content["weights"]["sha256"]
        if not weights.is_file():
            raise ModelError(f"model folder {folder}: weights.safetensors is missing")
        if sha256(weights) != wanted:
            raise ModelError(
                f"model folder {folder}: weights.safetensors is not the file that model.json describes "
                "(its SHA-256 differs); copy the folder again, or train anew"
            )
        module = load_weights(build_network(content["network"], content["options"]), weights)
        return Predictor(module.eval(), **fields)
    except (KeyError, TypeError) as error:
        raise ModelError(f"model folder {folder}: model.json is incomplete ({error!r})") from error
    except PellucidError as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"model folder {folder}: {error}") from error


def read_description(folder: str | Path) -> dict[str, Any]:
    """The content of ``model.json``: network, options, predictor, versions, info.

    Raises:
        ModelError: missing, not JSON, or of a later format.
    """
    path = Path(folder) / "model.json"
    if not path.is_file():
        raise ModelError(f"model folder {folder}: model.json is missing; save_predictor writes it")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"model folder {folder}: model.json is not JSON ({error})") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format") if isinstance(content, dict) else None
        raise ModelError(f"model folder {folder}: format {found}, this version reads format {FORMAT}")
    return content


def _versions() -> dict[str, str]:
    found = {}
    for name in ("pellucid", "torch", "monai", "lightning", "safetensors"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _plain(value: Any) -> Any:
    """JSON's own types; NaN and infinity become null."""
    if isinstance(value, Tensor):
        return _plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) or (hasattr(value, "item") and not isinstance(value, str)):
        value = value if isinstance(value, float) else value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
