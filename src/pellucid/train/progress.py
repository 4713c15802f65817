"""A bar on standard error that shows where the training is."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def bar(
    progress: bool | Callable[[dict[str, float]], None], *, epochs: int, start: int, metric: str
) -> Iterator[Callable[[dict[str, float]], None] | None]:
    """What to call with each epoch's record: a bar, the caller's own function, or nothing."""
    if not isinstance(progress, bool):
        yield progress
        return
    if not progress:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("train"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[now]}"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as shown:
        task = shown.add_task("train", total=epochs, completed=start, now="")

        def report(record: dict[str, float]) -> None:
            now = f"loss {record['train_loss']:.3f}"
            if not math.isnan(record["val_loss"]):
                now += f", validation {record['val_loss']:.3f}, {metric} {record['val_metric']:.3f}"
            shown.update(task, advance=1, now=now)

        yield report
