"""Every error that Pellucid raises on purpose. A message says what was wrong, where, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class PellucidError(Exception):
    """Base of all errors raised on purpose.

    ``exit_status`` is what the command line returns: 2 the call or the recipe is wrong, 3 nothing could be done.
    """

    exit_status = 3


class UsageError(PellucidError, ValueError):
    """The call or the recipe is wrong: an unknown name, an option out of range, shapes that do not fit."""

    exit_status = 2


class InputError(PellucidError, ValueError):
    """A file or a case cannot be used: missing, corrupt, not finite, on another grid."""


class ModelError(PellucidError, RuntimeError):
    """The model cannot be used: wrong weights, wrong output, not finite, too large for the memory."""


def nearest(name: str, known: Iterable[str], *, n: int = 3) -> str:
    """A hint that names the near misses, or lists what there is.

    Example:
        >>> nearest("grad_cm", ["grad_cam", "saliency"])
        "did you mean 'grad_cam'?"
    """
    known = sorted(str(k) for k in known)
    close = difflib.get_close_matches(str(name), known, n=n, cutoff=0.6)
    if close:
        return "did you mean " + " or ".join(repr(c) for c in close) + "?"
    return "known: " + (", ".join(known) if known else "none")


def unknown(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """The error for a name that is not registered."""
    return UsageError(f"unknown {kind} {name!r}; {nearest(name, known)}")
