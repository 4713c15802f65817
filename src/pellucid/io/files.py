"""Files at the boundary: written whole or not at all; a library's complaint becomes one clear sentence."""

from __future__ import annotations

import os
import secrets
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TypeAlias

from pellucid.errors import InputError, PellucidError

PathLike: TypeAlias = str | os.PathLike[str]

# What the format libraries raise on damaged bytes. A wider net would hide faults of our own.
DAMAGE: tuple[type[Exception], ...] = (
    OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, EOFError, SyntaxError, RuntimeError,
    NotImplementedError, OverflowError, AssertionError, MemoryError, struct.error, zlib.error,
)  # fmt: skip


def extension(path: PathLike) -> str:
    """The suffix in lower case; ``.nii.gz`` counts as one."""
    name = Path(path).name.lower()
    return ".nii.gz" if name.endswith(".nii.gz") else Path(name).suffix


def stem(path: PathLike) -> str:
    """The file name without its :func:`extension`.

    Example:
        >>> stem("scans/p1.nii.gz")
        'p1'
    """
    name = Path(path).name
    suffix = extension(path)
    return name[: -len(suffix)] if suffix else name


@contextmanager
def parsing(
    path: PathLike, what: str, *, extra: tuple[type[Exception], ...] = (), quote: bool = True
) -> Iterator[None]:
    """Turn what a library raises on a damaged file into an InputError that names the file.

    The library's warnings are kept quiet, and its message is passed on only if ``quote``: both can contain pieces of
    the header, and with it the patient.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except InputError as error:
        if str(path) in str(error):
            raise
        raise InputError(f"{path}: {error}") from error  # from the core, which knows of no files
    except PellucidError:
        raise
    except DAMAGE + extra as error:
        said = str(error).strip() if quote else ""
        why = (said or type(error).__name__).splitlines()[0].rstrip(".")[:300]
        raise InputError(
            f"{path}: cannot be read as {what} ({why}); the file is damaged or cut short, fetch it again"
        ) from error


def content(path: PathLike, data: bytes | None = None, *, at_most: int | None = None) -> bytes:
    """The bytes of a file, or of ``data`` where a member of an archive is already in memory.

    Raises:
        InputError: no such file, a folder, or not readable.
    """
    if data is not None:
        return data if at_most is None else data[:at_most]
    try:
        with Path(path).open("rb") as file:
            return file.read() if at_most is None else file.read(at_most)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; check the path") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be opened ({error.strerror})") from error


def handle(path: PathLike, data: bytes | None) -> BytesIO | str:
    """What a library is given to open: the path, or the bytes that stand for it."""
    return os.fspath(path) if data is None else BytesIO(data)


@contextmanager
def atomic(path: PathLike) -> Iterator[Path]:
    """A temporary name beside ``path`` with the same suffix; renamed to it at the end, removed on an error.

    Raises:
        InputError: the folder cannot be written or the disk is full.
    """
    target = Path(path)
    temporary = target.with_name(f".{secrets.token_hex(4)}-{target.name}")
    try:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            temporary.replace(target)
        except PellucidError:
            raise
        except OSError as error:
            reason = error.strerror or str(error)
            raise InputError(
                f"{target}: cannot be written ({reason}); free some space or choose another folder"
            ) from error
    finally:
        if temporary.exists():
            temporary.unlink()
