"""Whoever knows a metric by Quantus's name finds ours."""

from __future__ import annotations

import re
from pathlib import Path

from peers import peer
from pellucid.core.metric import METRICS

PAGE = Path(__file__).parents[2] / "docs" / "reference-metrics.md"


def test_every_metric_of_quantus_has_its_row_and_every_row_names_ours():
    text = PAGE.read_text(encoding="utf-8").split("## What others call them")[1].split("\n## ")[0]
    rows = [re.split(r"(?<!\\)\|", line)[1:3] for line in text.splitlines() if line.startswith("| ") and "---" not in line]
    theirs = {name.strip().split(",")[0] for cell, _ in rows[1:] for name in cell.split(",")}
    quantus = peer("quantus")
    classes = {getattr(c, "__name__", str(c)) for f in quantus.AVAILABLE_METRICS.values() for c in f.values()}
    assert len(classes) > 35
    for cls in classes:
        assert cls in theirs, f"{cls} of Quantus has no row"
    for _, ours in rows[1:]:
        named = set(re.findall(r"`([a-z_]+)`", ours))
        assert named & set(METRICS), ours
