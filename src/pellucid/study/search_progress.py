"""What people see of a search while it runs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from pellucid.study.context import LOG, Context
from pellucid.study.search_trial import Outcome


class Shown:
    """A bar over the trials, the best so far, the time left, and a line for each trial that ends."""

    def __init__(
        self, context: Context, bar: Progress, *, total: int, epochs: int, objective: str, least: bool
    ) -> None:
        self.context, self.bar, self.total, self.epochs = context, bar, total, max(1, epochs)
        self.objective, self.least = objective, least
        self.best: tuple[float, int] | None = None
        self.done: dict[int, float] = {}
        self.before = 0.0
        self.began = time.perf_counter()
        self.row = bar.add_task("", total=total, best="", left="")

    def known(self, number: int, value: float | None) -> None:
        """A trial of an earlier call."""
        self.done[number] = 1.0
        self.before += 1.0
        self._better(number, value)
        self._show()

    def epoch(self, number: int, epoch: float) -> None:
        """A trial has come so far."""
        self.done[number] = min(1.0, epoch / self.epochs)
        self._show()

    def ended(self, number: int, params: Mapping[str, Any], outcome: Outcome) -> None:
        """A trial is over."""
        self.done[number] = 1.0
        new = self._better(number, outcome.value if outcome.state == "complete" else None)
        settings = ", ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in params.items())
        if outcome.state == "complete":
            said = f"{self.objective} {outcome.value:.4g}" + (" [bold]best so far[/]" if new else "")
        elif outcome.state == "pruned":
            said = f"pruned after epoch {len(outcome.history)}"
        else:
            said = f"[yellow]failed:[/] {outcome.reason}"
        task = self.context.task
        self.context.console.print(
            f"{task}: trial {number + 1} of {self.total} [dim]{settings}[/] {said} [dim]{outcome.seconds:.1f} s[/]",
            highlight=False, soft_wrap=True,
        )  # fmt: skip
        LOG.info("%s, search: trial %d of %d %s (%s)", task, number + 1, self.total, outcome.state, settings)
        self._show()

    def _better(self, number: int, value: float | None) -> bool:
        sign = 1 if self.least else -1
        if value is None or (self.best is not None and sign * value >= sign * self.best[0]):
            return False
        self.best = (value, number)
        return True

    def _show(self) -> None:
        done = sum(self.done.values())
        made = done - self.before
        spent = time.perf_counter() - self.began
        left = f"about {duration(spent * (self.total - done) / made)} left" if made > 0 else ""
        best = "" if self.best is None else f"best {self.best[0]:.4g} (trial {self.best[1] + 1})"
        whole = sum(v >= 1 for v in self.done.values())
        now = f"trial {min(self.total, whole + 1)} of {self.total}"
        self.bar.update(self.row, completed=done, best=best, left=left, description=now)


@contextmanager
def shown(context: Context, *, total: int, epochs: int, objective: str, least: bool) -> Iterator[Shown]:
    """The display of a search, on standard error."""
    columns = (
        TextColumn(f"{context.task}: {{task.description}}"), BarColumn(), TextColumn("{task.fields[best]}"),
        TimeElapsedColumn(), TextColumn("{task.fields[left]}"),
    )  # fmt: skip
    with Progress(*columns, console=context.console, disable=context.quiet, transient=True) as bar:
        yield Shown(context, bar, total=total, epochs=epochs, objective=objective, least=least)


def duration(seconds: float) -> str:
    """In words: seconds, minutes or hours."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{max(1, round(seconds))} s"
    return f"{minutes} min" if minutes < 90 else f"{seconds / 3600:.1f} h"
