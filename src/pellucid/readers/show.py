"""What readers say, for a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from pellucid.readers.items import NAMES
from pellucid.readers.read import Read
from pellucid.report.numbers import interval, number


def print_read(found: Read, console: Console) -> None:
    """The means of every method, how far readers agree, and what is missing."""
    means, agree = found.tables["readers"], found.tables["readers_agreement"]
    console.print(f"{found.task}: mean rating, 1 to 5", highlight=False)
    table = Table(Column("method", no_wrap=True), *NAMES, box=None, pad_edge=False)
    for method in means["method"].unique():
        own = means[means["method"] == method].set_index("item")
        cells = [f"{number(own.loc[i, 'mean'])} {interval(own.loc[i, 'low'], own.loc[i, 'high'])}" for i in NAMES]
        table.add_row(escape(str(method)), *(escape(c) for c in cells))
    console.print(table)
    for row in agree[agree["measure"] == "alpha"].to_dict("records"):
        said = f"{number(row['value'])} {interval(row['low'], row['high'])} {row['note']}".strip()
        console.print(f"agreement in {row['item']}: alpha {escape(said)}", highlight=False)
    for line in found.unfinished:
        console.print(f"[yellow]unfinished:[/] {escape(line)}", highlight=False)
