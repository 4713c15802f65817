"""A run folder with an aggregated region table, made up: cases alike but for noise, and one whose evidence lies elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from pellucid.study.store import Run

TARGETS = ("background", "heart", "left lung", "right lung", "spine")
SHARES = (0.55, 0.05, 0.15, 0.15, 0.10)  # of the volume
ODD = "p05"


def long_table(n: int = 24, *, seed: int = 0, odd: str | None = ODD, first: str = "p") -> pd.DataFrame:
    """One method, one label map: mass, mean and enrichment in every region, Dice and IoU; ``odd`` looks at the spine.

    The Dice of the heart falls with how far its map lies on the background; ``p02`` has no left lung.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        case = f"{first}{i:02d}"
        for k, target in enumerate(TARGETS):
            weights = np.array(SHARES) + 0.45 * (np.arange(len(TARGETS)) == k) + 0.1 * (abs(np.arange(len(TARGETS)) - k) == 1)
            mass = rng.dirichlet(150 * weights / weights.sum())
            if case == odd and target == "heart":
                mass = np.array([0.2, 0.1, 0.08, 0.07, 0.55])
            key = {"case": case, "method": "smoothgrad", "target_index": k, "target": target, "of": "predicted"}
            if case == "p02" and target == "left lung":
                rows += [{**key, "region": r, "measure": m, "value": np.nan} for r in TARGETS for m in ("mass", "mean", "enrichment")]
                rows.append({**key, "region": "*", "measure": "never_predicted", "value": 1.0})
                continue
            for region, share, m in zip(TARGETS, SHARES, mass):
                found = {"mass": m, "mean": m / share / 1000, "enrichment": m / share, "share": share}
                rows += [{**key, "region": region, "measure": name, "value": float(v)} for name, v in found.items()]
            dice = 0.95 - 0.4 * max(0.0, mass[0] - 0.35) + 0.005 * rng.standard_normal() - (0.3 if case == odd and target == "heart" else 0)
            whole = {"dice": dice, "iou": dice / (2 - dice), "map_var": 1e-4, "map_mean": 1e-5}
            rows += [{**key, "region": "*", "measure": name, "value": float(v)} for name, v in whole.items()]
    return pd.DataFrame(rows)


def people(n: int = 24, *, first: str = "p", seed: int = 1) -> pd.DataFrame:
    """The table of cases: half of them in training, the rest in the test part; age and sex at random."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame({
        "case": [f"{first}{i:02d}" for i in range(n)], "part": ["train" if i >= n // 2 else "test" for i in range(n)],
        "group": [f"secret-patient-{i}" for i in range(n)], "truth": "1", "shape": "8×8×8", "regions": "",
        "meta_age": rng.integers(30, 85, n).astype(float), "meta_sex": rng.choice(["F", "M"], n),
    })  # fmt: skip


def aggregate(run: Run, task: str = "volume", table: pd.DataFrame | None = None, *, n: int = 24) -> Run:
    """Put the aggregated table and its cases into a run, beside the rows of the stage that has no ``of``."""
    own = long_table(n) if table is None else table
    old = run.table("regions", task)
    run.put_table("regions", task, pd.concat([old, own], ignore_index=True) if len(old) else own)
    data = run.table("data", task)
    run.put_table("data", task, pd.concat([data, people(n)], ignore_index=True))
    return run


def context_of(folder: Path, run: Run, task: str = "volume"):
    """What an analysis is given."""
    import io

    from rich.console import Console

    from pellucid.study.context import Context
    from pellucid.study.recipe import Recipe

    recipe = Recipe.model_validate(run.info["recipe"])
    work = next(t for t in recipe.tasks if t.name == task)
    return Context(run, recipe, work, folder, Console(file=io.StringIO()), quiet=True)
