"""How much of a class's evidence lies outside the class: its context, and the background's part of it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pellucid.aggregate.cohort.cube import BACKGROUND, Cube
from pellucid.aggregate.cohort.matrix import COLUMNS, measured
from pellucid.errors import InputError

PARTS = ("inside", "context", "background", "other classes")


def context_share(
    values: Cube, *, background: str = BACKGROUND, n_boot: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Parts of each class's attribution: inside its region, outside it, and of that in the background and elsewhere.

    ``inside = mass[t, t]``, ``context = 1 − inside``, ``background = mass[t, background]``, ``other classes`` the rest
    of the context. The last two are NaN where the table has no region of that name, and of the background itself.

    Args:
        values: of the measure ``mass``, whose regions cover the volume.
        background: name of its region.
        n_boot, seed: of the draws of patients.

    Returns:
        ``target``, ``part``, ``mean``, ``low``, ``high``, ``n``, ``patients``, ``note``, for every target that is
        also a region.

    Raises:
        InputError: no target is a region.
    """
    both = [t for t in values.targets if t in values.regions]
    if not both:
        raise InputError(
            f"context share: no target ({', '.join(values.targets[:5])}) is also a region "
            f"({', '.join(values.regions[:5])}); it needs the part of each class in its own region"
        )
    behind = values.regions.index(background) if background in values.regions else None
    rows = []
    for target in both:
        own = values.of(target)
        inside = own[:, values.regions.index(target)]
        back = np.full_like(inside, np.nan) if behind is None or target == background else own[:, behind]
        for part, share in zip(PARTS, (inside, 1 - inside, back, 1 - inside - back)):
            rows.append({"target": target, "part": part, **measured(share, values, n_boot=n_boot, seed=seed)})
    return pd.DataFrame(rows, columns=["target", "part", *COLUMNS[2:]])
