"""metrics_in_3d: in Quantus 0.6, 21 of 21 metrics fail by default on a volume. Ours all run, in 2-D as in 3-D."""

from __future__ import annotations

import math

import pytest
import torch

from metric_worlds import attribution, linear_world, of
from pellucid.core.metric import METRICS
from pellucid.evaluate.run import as_metric

# Metrics that a lone, hand-made map cannot have: other cases, another model, the account of a run. Tested where they are.
LONE = [n for n, c in METRICS.items() if {"cohort", "shuffled"} & set(c.needs) or c.question == "cost"]
# What eight equal slices do to metrics that count pixels.
COUNTS = {
    "effective_voxels": lambda flat: 8 * flat, "effective_complexity": lambda flat: 8 * flat,
    "entropy": lambda flat: flat + math.log(8),
}  # fmt: skip
ROUNDED = {"top_k_intersection"}  # the top 2 % of 64 pixels is one; of 512 it is ten, not eight
ALONE = ("plausibility", "complexity")


@pytest.mark.parametrize("name", [n for n in METRICS if n not in LONE])
def test_a_slice_repeated_scores_like_the_slice(name):
    """A volume of equal slices is the picture in 3-D: what does not depend on the model's size is equal."""
    values = {}
    for shape in [(8, 8), (8, 8, 8)]:
        predictor, case, exact = linear_world(shape)
        again = lambda engine, cases, bound, a=exact, **more: [a] * len(cases)  # noqa: E731
        values[len(shape)] = of(predictor, case, [exact], [again]).view(0).scores([as_metric(name)])
    for label, s in values[3].items():
        flat = values[2][label]
        assert math.isnan(s.value) == math.isnan(flat.value), s.reason
        if "inputs" not in METRICS[name].needs:
            assert math.isfinite(s.value), s.reason


@pytest.mark.parametrize(
    "name", [n for n, c in METRICS.items() if c.question in ALONE and n not in LONE and n not in ROUNDED]
)
def test_repeating_a_picture_along_depth_changes_nothing(name):
    p2, flat, _ = linear_world((8, 8))
    p3, deep, _ = linear_world((8, 8, 8))
    m = torch.rand(8, 8, generator=torch.Generator().manual_seed(0))
    mask = flat.regions["lesion"]
    flat = flat.replace(regions={"lesion": mask})
    deep = deep.replace(regions={"lesion": mask[..., None].expand(8, 8, 8)})
    one = of(p2, flat, [attribution(flat, {"x": m[None]}, index=1)]).view(0).scores([as_metric(name)])
    two = of(p3, deep, [attribution(deep, {"x": m[None, ..., None].expand(1, 8, 8, 8)}, index=1)]).view(0)
    assert two.scores([as_metric(name)])[name].value == pytest.approx(COUNTS.get(name, float)(one[name].value))
