"""What goes with being an outlier: poor segmentation, age, sex. Patients are the units."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from pellucid.core.statistics import FEWEST, Array, draws_of, holm, spearman

FEW = 3  # outliers, or others: of fewer no test is made
TESTS = ("spearman", "mann_whitney", "welch", "fisher", "chi2")
FAMILIES = (("spearman",), ("mann_whitney", "fisher"), ("welch", "chi2"))  # each is corrected over all classes
COLUMNS = [
    "target", "variable", "test", "effect", "is", "low", "high", "p", "p_holm", "outliers", "others", "note",
]  # fmt: skip
SEXES = {"f": "f", "female": "f", "w": "f", "woman": "f", "m": "m", "male": "m", "man": "m"}


def associations(
    outliers: pd.DataFrame, people: pd.DataFrame | None = None, *, n_boot: int = 2000, n_perm: int = 4999, seed: int = 0
) -> pd.DataFrame:
    """Whether outliers are segmented worse, older or younger, more often women or men, for each class.

    Args:
        outliers: of :func:`~pellucid.aggregate.outliers.find_outliers`.
        people: ``case`` and, where known, ``group`` (the patient), ``age`` in years and ``sex``.
        n_boot: draws of the interval of Spearman's ρ, patients with replacement.
        n_perm: permutations of its test.
        seed: of both.

    Returns:
        One row per class and test: ``spearman`` of score with Dice (positive: outliers are segmented worse; 95 %
        percentile interval, two-sided permutation p); ``mann_whitney`` of age (effect: how often an outlier is older
        than another patient, ties half); ``welch`` of age (effect: difference of means in years, with its interval);
        ``fisher`` of sex (effect: odds ratio of being a woman, with its exact interval), and ``chi2`` where every
        expected count is 5 or more (effect: Cramér's V). ``p_holm`` is Holm's correction over all classes of the
        Spearman tests; of Mann–Whitney and Fisher together; of Welch and χ² together, which ask the same again.
        ``note`` says why a number is not there. A patient with several cases counts once: by the mean score and
        Dice, and as an outlier if one case is.
    """
    rows: list[dict[str, Any]] = []
    for target, own in outliers.groupby("target", sort=False):
        each = _patients(own, people)
        found = [_with_dice(each, n_boot, n_perm, seed)]
        if "age" in each:
            found += [_age(each, "mann_whitney"), _age(each, "welch")]
        if "sex" in each:
            found += [_sex(each, "fisher"), _sex(each, "chi2")]
        flagged = each["outlier"].astype(bool)
        rows += [
            {"target": target, "outliers": int(flagged.sum()), "others": int((~flagged).sum()), **row} for row in found
        ]
    table = pd.DataFrame(rows, columns=COLUMNS).astype(dict.fromkeys(("effect", "low", "high", "p", "p_holm"), float))
    for family in FAMILIES:
        mine = table["test"].isin(family)
        table.loc[mine, "p_holm"] = holm(table.loc[mine, "p"].to_numpy(float))
    return table


def _patients(own: pd.DataFrame, people: pd.DataFrame | None) -> pd.DataFrame:
    """One row per patient with a score."""
    own = own[own["score"].notna()]
    known = pd.DataFrame({"case": own["case"]}) if people is None else people.drop_duplicates("case")
    both = own[["case", "score", "dice", "outlier"]].merge(known, on="case", how="left")
    owner = both["group"].fillna(both["case"]) if "group" in both else both["case"]
    how = {"score": "mean", "dice": "mean", "outlier": "any"}
    if "age" in both:
        both["age"], how["age"] = pd.to_numeric(both["age"], errors="coerce"), "mean"
    if "sex" in both:
        both["sex"], how["sex"] = both["sex"].map(lambda s: SEXES.get(str(s).strip().lower())), "first"
    return both.groupby(owner.astype(str).to_numpy(), sort=False).agg(how)


def _row(variable: str, test: str, means: str, **more: Any) -> dict[str, Any]:
    return {"variable": variable, "test": test, "is": means, "note": "", **more}


def _with_dice(each: pd.DataFrame, n_boot: int, n_perm: int, seed: int) -> dict[str, Any]:
    row = _row("dice", "spearman", "ρ of score and Dice")
    known = each.dropna(subset=["score", "dice"])
    x, y = known["score"].to_numpy(float), known["dice"].to_numpy(float)
    if len(known) < FEWEST:
        return row | {"note": f"{len(known)} patients with a Dice, fewer than {FEWEST}: too few"}
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return row | {"note": f"{'the score' if np.ptp(x) == 0 else 'the Dice'} is the same in all: no correlation"}
    rho = float(spearman(x, y, np.ones((1, len(x))))[0])
    drawn = spearman(x, y, draws_of(len(x), n_boot, seed))
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return row | {"effect": rho, "low": float(low), "high": float(high), "p": _permuted(x, y, rho, n_perm, seed)}


def _permuted(x: Array, y: Array, rho: float, n_perm: int, seed: int) -> float:
    """Share of the permutations whose ρ is at least as far from 0, the observed one counted."""
    a, b = (stats.rankdata(v) for v in (x, y))
    a, b = ((r - r.mean()) / np.sqrt(((r - r.mean()) ** 2).sum()) for r in (a, b))
    shuffled = np.random.default_rng(seed).permuted(np.tile(b, (n_perm, 1)), axis=1)
    return float((1 + (np.abs(shuffled @ a) >= abs(rho) - 1e-12).sum()) / (1 + n_perm))


def _age(each: pd.DataFrame, test: str) -> dict[str, Any]:
    means = "how often an outlier is older" if test == "mann_whitney" else "years, outliers less others"
    row = _row("age", test, means)
    known = each.dropna(subset=["age"])
    out = known.loc[known["outlier"].astype(bool), "age"].to_numpy(float)
    rest = known.loc[~known["outlier"].astype(bool), "age"].to_numpy(float)
    few = _few(len(out), len(rest), FEW if test == "mann_whitney" else FEWEST, "whose age is known")
    if few:
        return row | {"note": few}
    if np.ptp(np.concatenate([out, rest])) == 0:
        return row | {"note": "all are of one age"}
    if test == "mann_whitney":
        found = stats.mannwhitneyu(out, rest)
        return row | {"effect": float(found.statistic / (len(out) * len(rest))), "p": float(found.pvalue)}
    if np.ptp(out) == 0 and np.ptp(rest) == 0:
        return row | {"note": "no spread of age within the outliers and within the others"}
    welch = stats.ttest_ind(out, rest, equal_var=False)
    low, high = welch.confidence_interval(0.95)
    return row | {"effect": float(out.mean() - rest.mean()), "low": float(low), "high": float(high),
                  "p": float(welch.pvalue)}  # fmt: skip


def _sex(each: pd.DataFrame, test: str) -> dict[str, Any]:
    row = _row("sex", test, "odds ratio of being a woman" if test == "fisher" else "Cramér’s V")
    known = each.dropna(subset=["sex"])
    out, woman = known["outlier"].astype(bool).to_numpy(), (known["sex"] == "f").to_numpy()
    few = _few(int(out.sum()), int((~out).sum()), FEW, "whose sex is known")
    if few:
        return row | {"note": few}
    if woman.all() or not woman.any():
        return row | {"note": f"all are {'women' if woman.all() else 'men'}"}
    counts = np.array([[(o & w).sum() for w in (woman, ~woman)] for o in (out, ~out)])
    if test == "fisher":
        ratio = stats.contingency.odds_ratio(counts)
        ends: Mapping[str, float] = ratio.confidence_interval(0.95)._asdict()
        return row | {"effect": float(ratio.statistic), **{k: float(v) for k, v in ends.items()},
                      "p": float(stats.fisher_exact(counts).pvalue)}  # fmt: skip
    expected = stats.contingency.expected_freq(counts)
    if expected.min() < 5:
        return row | {"note": f"an expected count is {expected.min():.1f}, below 5: Fisher’s exact test alone"}
    found = stats.chi2_contingency(counts, correction=False)
    return row | {"effect": float(np.sqrt(found.statistic / counts.sum())), "p": float(found.pvalue)}


def _few(out: int, rest: int, least: int, who: str) -> str:
    if out >= least and rest >= least:
        return ""
    return f"{out} outliers and {rest} others {who}: too few (fewer than {least} on one side)"
