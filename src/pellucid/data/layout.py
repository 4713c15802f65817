"""Where the files of a published data set lie below its folder, however it was unpacked."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from pellucid.errors import InputError


class Below:
    """The files below a folder by name, found in one walk.

    Args:
        root: the folder; links to folders are followed.
        skip: whether a folder is left out, with all below it.

    Raises:
        InputError: no such folder.
    """

    def __init__(self, root: str | Path, *, skip: Callable[[Path], bool] = lambda _: False) -> None:
        self.root = Path(root)
        if not self.root.is_dir():
            raise InputError(f"{self.root}: no such folder; check the path")
        self._paths: dict[str, list[Path]] = defaultdict(list)
        seen: set[str] = set()
        for folder, folders, files in os.walk(self.root, followlinks=True):
            real = os.path.realpath(folder)
            if real in seen:  # a link that leads back would be walked for ever
                folders.clear()
                continue
            seen.add(real)
            folders[:] = sorted(f for f in folders if not f.startswith(".") and not skip(Path(folder) / f))
            for name in sorted(files):
                self._paths[name].append(Path(folder) / name)

    def find(self, *names: str, within: str = "") -> Path | None:
        """The first file of the first name that there is; None if there is none.

        Args:
            names: of the file, in the order in which they are preferred.
            within: a file in a folder with this in its name is preferred to others of its name.
        """
        for name in names:
            paths = self._paths.get(name, [])
            inside = [p for p in paths if within and within in str(p.parent.relative_to(self.root)).lower()]
            if paths:
                return (inside or paths)[0]
        return None

    def every(self, name: str) -> list[Path]:
        """All files of that name."""
        return list(self._paths.get(name, []))

    def matching(self, pattern: re.Pattern[str]) -> list[Path]:
        """The files whose whole name fits the pattern; of those of one name the first. Sorted by name."""
        return [self._paths[name][0] for name in sorted(self._paths) if pattern.fullmatch(name)]

    def need(self, *names: str, what: str, layout: str) -> Path:
        """As :meth:`find`.

        Raises:
            InputError: there is none; says what was expected and what was found.
        """
        path = self.find(*names)
        if path is None:
            raise InputError(f"{self.root}: no {what} ({' or '.join(names)}); {layout}; found {self.found()}")
        return path

    def need_any(self, names: Iterable[Sequence[str]], *, what: str, layout: str) -> None:
        """Make sure that one of the files is there, for then it is single cases that lack theirs.

        Args:
            names: of each file those that it may have.
            what: the files are.
            layout: what is expected.

        Raises:
            InputError: there is none; says what was expected and what was found.
        """
        names = list(names)
        if names and not any(self._paths.get(name) for some in names for name in some):
            raise InputError(
                f"{self.root}: none of the {len(names)} {what} is there (the first would be {names[0][0]}); {layout}; "
                f"found {self.found()}"
            )

    def found(self) -> str:
        """What the folder holds, in a few words, with a hint at what is still packed."""
        entries = sorted(p.name + "/" * p.is_dir() for p in self.root.iterdir() if not p.name.startswith("."))
        shown = ", ".join(entries[:8]) + (f" and {len(entries) - 8} more" if len(entries) > 8 else "")
        packed = [name for name in entries if name.lower().endswith((".zip", ".tar", ".tar.gz", ".tgz", ".7z", ".rar"))]
        return (shown or "an empty folder") + (f"; unpack {', '.join(packed[:3])}" if packed else "")
