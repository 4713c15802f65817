"""Volumes as they come out of a data set's loader, kept in files: a second start reads them where they lie."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from pellucid.io import atomic

LOG = logging.getLogger("pellucid")
_FORM = 1  # of the files; another number, and they are made anew


@dataclass(frozen=True, kw_only=True)
class VolumeCache:
    """A folder with one file a case, named by the case and by what the file was made from.

    What is read from it stays on the disk until it is looked at (mapped into memory), so that the operating system can
    drop it again: a cohort larger than the memory can be gone through.

    Attributes:
        folder: made if absent.
        options: that the loader was called with, as plain values. With others, other files are made.
    """

    folder: Path
    options: Mapping[str, Any]

    def path(self, id: str, sources: Sequence[Path]) -> Path:
        """The file of a case that is made from these files, as they are now (name, size, time of the last change)."""
        facts = [(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in sorted(sources)]
        digest = hashlib.sha256(json.dumps([_FORM, dict(self.options), facts], sort_keys=True).encode()).hexdigest()
        return self.folder / f"{id}-{digest[:16]}.safetensors"

    def load(self, path: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Tensors and facts; None where there is no such file, or one that cannot be read, which is said."""
        if not path.is_file():
            return None
        try:
            with safetensors.safe_open(path, framework="pt") as file:
                facts = json.loads((file.metadata() or {})["facts"])
                return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118
        except (safetensors.SafetensorError, OSError, KeyError, ValueError) as error:
            LOG.warning("%s: cannot be read (%s) and is made anew", path, type(error).__name__)
            return None

    def save(self, path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Write them whole or not at all.

        Raises:
            InputError: the folder cannot be written.
        """
        with atomic(path) as temporary:
            values = {name: t.contiguous() for name, t in tensors.items()}
            safetensors.torch.save_file(values, temporary, metadata={"facts": json.dumps(facts)})
