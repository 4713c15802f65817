"""The table of ``pellucid methods`` says what runs: it is held to the same models as the methods themselves.

That a method runs where its class says so, and refuses in a sentence where not, is what test_every_method.py shows;
here the table, as printed, has to give the same answer.
"""

from __future__ import annotations

import pytest

import pellucid as pc
from contract.families import FAMILIES, METHODS, usual

TABLE = pc.methods()


@pytest.mark.parametrize("method", METHODS)
def test_the_table_says_where_a_method_runs(method: str) -> None:
    row = TABLE.loc[method]
    for f in FAMILIES.values():
        offers = {x.replace("_", " ") for x in f.offers}
        fits = (
            f.task in row["tasks"].split(", ")
            and all(row[f"{len(s) - 1}-D"] for s in f.shapes.values() if len(s) > 1)
            and (row["inputs"] == "any" or len(f.shapes) > 1)
            and set(filter(None, row["needs"].split(", "))) <= offers
            and (not row["gradients"] or "gradient" in offers)
        )
        assert fits == f.runs(method), f.name


@pytest.mark.parametrize("method", METHODS)
def test_the_table_says_what_a_map_is_like(method: str) -> None:
    row = TABLE.loc[method]
    for f in (f for f in FAMILIES.values() if f.runs(method)):
        maps = [a for r in usual(f.name, method) for a in r]
        tables = [k for k, s in f.shapes.items() if len(s) == 1]
        assert all((t in a.maps) == bool(row["tables"]) for a in maps for t in tables), f.name
        if not row["signed"]:
            assert all(float(m.min()) >= 0 for a in maps for m in a.maps.values()), f.name
        assert (max(a.cost.backwards for a in maps) > 0) == bool(row["gradients"]), f.name


def test_every_method_is_in_the_table_with_all_its_cells() -> None:
    assert list(TABLE.index) == METHODS
    assert TABLE[["family", "tasks", "passes", "resolution", "source", "summary"]].map(bool).all(axis=None)
