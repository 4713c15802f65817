"""Where the many items of a work are done: this process, several of this machine, or Ray."""

from __future__ import annotations

from pellucid.errors import UsageError, nearest
from pellucid.study.runners.base import Done, Item, Runner, Work
from pellucid.study.runners.local import LocalRunner

RUNNERS = ("local", "ray")

__all__ = ["RUNNERS", "Done", "Item", "LocalRunner", "Runner", "Work", "make_runner"]


def make_runner(name: str = "local", jobs: int | None = None) -> Runner:
    """A runner by its name.

    Args:
        name: ``local`` or ``ray``.
        jobs: items at a time; 1 of ``local``, and as many as there are CPUs of ``ray``, if None.

    Raises:
        UsageError: an unknown name, no jobs, or Ray is not installed.
    """
    if name not in RUNNERS:
        raise UsageError(f"unknown runner {name!r}; {nearest(name, RUNNERS)}")
    if name == "ray":
        from pellucid.study.runners.ray import RayRunner

        return RayRunner(jobs)
    return LocalRunner(1 if jobs is None else jobs)
