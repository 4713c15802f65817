"""What this machine offers."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path
from typing import Any

import torch

from pellucid.explain.make import versions


def examine() -> dict[str, Any]:
    """Versions, devices, memory, free space and decoders, as plain values."""
    found: dict[str, Any] = dict(versions())
    found["cpu threads"] = torch.get_num_threads()
    if hasattr(os, "sysconf"):
        found["memory (GiB)"] = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    found["cuda"] = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    found["free space (GiB)"] = round(shutil.disk_usage(Path.cwd()).free / 2**30, 1)
    for module, what in (("openjpeg", "JPEG 2000 in DICOM"), ("PIL", "JPEG in DICOM"), ("captum", "Captum (tests)")):
        found[what] = "yes" if importlib.util.find_spec(module) else "no"
    return found
