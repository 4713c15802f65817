"""Works for the tests of the runners; here, because other processes have to find them by name."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pellucid.errors import InputError, UsageError
from pellucid.study.runners.base import Do, Tell


@dataclass(frozen=True)
class Odd:
    """Squares a number; with a word, something odd happens instead."""

    folder: str
    device: str = "cpu"

    def open(self) -> Do:
        """Notes in the folder which process was made ready."""
        (Path(self.folder) / f"open-{os.getpid()}").touch()
        return self.do

    def do(self, content: Any, tell: Tell) -> Any:
        """One item."""
        if content == "wrong":
            raise InputError("case p7: no picture; give one")
        if content == "misspelt":
            raise UsageError("unknown network 'resnet'; did you mean 'resnet18'?")
        if content == "bug":
            return {}["never"]
        if content in ("killed", "killed once"):
            begun = Path(self.folder) / f"begun-{content}"
            begun.write_text("again" if begun.exists() else "once")
            if content == "killed" or begun.read_text() == "once":
                os.kill(os.getpid(), signal.SIGKILL)
            return "at the second time"
        for step in (1, 2):
            tell({"epoch": step})
        return content**2
