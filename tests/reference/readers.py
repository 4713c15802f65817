"""Agreement of readers, written out: every pair of ratings, every sum of squares."""

import math


def alpha(units, levels):
    """Krippendorff's alpha, ordinal: ``units`` are lists of ratings, None where there is none."""
    units = [[v for v in unit if v is not None] for unit in units]
    units = [unit for unit in units if len(unit) > 1]
    everything = [v for unit in units for v in unit]
    n = len(everything)

    def distance(a, b):
        low, high = min(a, b), max(a, b)
        between = sum(everything.count(g) for g in levels if low <= g <= high)
        return (between - (everything.count(low) + everything.count(high)) / 2) ** 2

    seen = 0.0
    for unit in units:
        pairs = [distance(unit[i], unit[j]) for i in range(len(unit)) for j in range(len(unit)) if i != j]
        seen += sum(pairs) / (len(unit) - 1)
    chance = sum(distance(everything[i], everything[j]) for i in range(n) for j in range(n) if i != j) / (n - 1)
    return 1 - seen / chance if chance else math.nan


def icc(table):
    """ICC(2,1) and ICC(2,k) of a table of targets × judges, by two-way analysis of variance."""
    n, k = len(table), len(table[0])
    grand = sum(sum(row) for row in table) / (n * k)
    rows = [sum(row) / k for row in table]
    columns = [sum(row[j] for row in table) / n for j in range(k)]
    bms = k * sum((r - grand) ** 2 for r in rows) / (n - 1)
    jms = n * sum((c - grand) ** 2 for c in columns) / (k - 1)
    rest = sum((table[i][j] - rows[i] - columns[j] + grand) ** 2 for i in range(n) for j in range(k))
    ems = rest / ((n - 1) * (k - 1))
    single = (bms - ems) / (bms + (k - 1) * ems + k * (jms - ems) / n)
    return single, (bms - ems) / (bms + (jms - ems) / n)
