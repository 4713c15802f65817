"""A task's context, to be made again in another process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from rich.console import Console

from pellucid.study.context import Context
from pellucid.study.recipe import Recipe, Work
from pellucid.study.store import Run


@dataclass(frozen=True)
class Elsewhere:
    """What a process needs to know to make a task's context: plain values, so that it travels.

    The split lies in the run folder; the cases are loaded from where the recipe says.
    """

    folder: str
    recipe: dict[str, Any]
    work: dict[str, Any]
    base: str

    @classmethod
    def of(cls, context: Context) -> Elsewhere:
        """Of a context of this process."""
        plain = context.recipe.model_dump(mode="json"), context.work.model_dump(mode="json")
        return cls(str(context.run.folder.resolve()), *plain, str(context.base.resolve()))

    def context(self) -> Context:
        """The context; it shows nothing, and goes on from what is there."""
        recipe, work = Recipe.model_validate(self.recipe), Work.model_validate(self.work)
        console = Console(quiet=True)
        return Context(Run(self.folder), recipe, work, Path(self.base), console, quiet=True, resume=True)


@dataclass(frozen=True)
class TaskWork:
    """A runner's work on one task; ``here`` is the context of this process, which does not travel to another."""

    elsewhere: Elsewhere
    device: str
    here: Context | None = None

    @classmethod
    def of(cls, context: Context) -> Self:
        """Of a task."""
        return cls(Elsewhere.of(context), context.recipe.device, context)

    def __reduce__(self) -> Any:
        """Without the context."""
        return type(self), (self.elsewhere, self.device)

    def context(self) -> Context:
        """That of this process, or one with a copy of its cases."""
        return self.here or self.elsewhere.context()
