"""Do the methods agree, as a panel for the page."""

from __future__ import annotations

import numpy as np

from pellucid.report.judge import is_control
from pellucid.report.matrix import agreement_matrix, clustered
from pellucid.report.numbers import is_number, number
from pellucid.report.pieces import Panel, count, panel, picture
from pellucid.study.store import Run


def agreement_panel(run: Run, task: str) -> list[Panel]:
    """Mean rank correlation of each two methods' maps of the same case."""
    table = run.table("agreement", task)
    if not len(table):
        return []
    if "case" in table:  # not yet averaged
        table = table.groupby(["a", "b", "case"], sort=False)["rho"].mean().groupby(level=[0, 1], sort=False).agg(
            rho="mean", n="count").reset_index()  # fmt: skip
    names = list(dict.fromkeys([*table["a"].astype(str), *table["b"].astype(str)]))
    rho = np.full((len(names), len(names)), np.nan)
    for r in table.to_dict("records"):
        i, j = names.index(str(r["a"])), names.index(str(r["b"]))
        rho[i, j] = rho[j, i] = r["rho"]
    order = clustered(rho)
    shown, rho = [names[i] for i in order], rho[np.ix_(order, order)]
    pairs = [
        (float(rho[i, j]), shown[i], shown[j])
        for i in range(len(shown)) for j in range(i)
        if np.isfinite(rho[i, j]) and not any(is_control(shown[k]) for k in (i, j))
    ]  # fmt: skip
    line = "no two methods could be compared."
    if pairs:
        high, low = max(pairs), min(pairs)
        line = f"most alike {high[2]} and {high[1]} (ρ {number(high[0])})"
        line += f"; least {low[2]} and {low[1]} ({number(low[0])})." if len(pairs) > 1 else "."
    cases = int(table["n"].max()) if is_number(table["n"].max()) else 0
    alt = f"Mean rank correlation of the maps of two methods over {count(cases, 'case')}: " + ", ".join(
        f"{b} and {a} {number(v)}" for v, a, b in sorted(pairs, reverse=True)[:40]
    )
    note = (
        f"Mean over {count(cases, 'case')} of the rank correlation of what two maps of the same case mark as speaking "
        "for the output. Methods that agree are neighbours. Agreement is no proof: methods that are computed alike "
        "agree also where they are wrong."
    )
    shown_as = picture(agreement_matrix(shown, rho, controls=[m for m in shown if is_control(m)]), alt, colours=255)
    return [panel("Do the methods agree?", line, picture=shown_as, notes=[note])]
