"""What a training that was stopped has recorded, read without its weights."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open

from pellucid.errors import ModelError
from pellucid.train.state import NAME


def recorded(folder: Path) -> list[dict[str, float]]:
    """The records of the whole epochs of the training whose state lies in ``folder``; none if there is no state.

    Raises:
        ModelError: the state is damaged.
    """
    path = folder / NAME
    if not path.is_file():
        return []
    try:
        with safe_open(path, framework="pt") as file:
            return list(json.loads(file.metadata()["state"])["history"])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"training state {path} is damaged ({error}); delete it to train anew") from error
