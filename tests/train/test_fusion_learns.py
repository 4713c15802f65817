"""The fusion transformer learns the embedded data, and its maps find what was planted there."""

from __future__ import annotations

import pytest
import torch

import pellucid as pc
from pellucid.engine import Engine
from pellucid.train import Trained, fit

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def two_pictures() -> tuple[Trained, list[pc.Case]]:
    cases = pc.load_dataset("synthetic_regression", n=324, size=64)
    got = fit(
        cases[:270], cases[270:300], network="fusion_transformer", inputs=["t1", "t2"], task="regression", epochs=16,
        lr=2e-3, batch_size=8, options={"second": "image", "classes": 1}, progress=False,
    )  # fmt: skip
    return got, cases[300:]


def test_it_learns_from_two_pictures(two_pictures: tuple[Trained, list[pc.Case]]) -> None:
    got, test = two_pictures
    out = Engine(got.predictor).predict(test)[:, 0]
    truth = torch.tensor([float(c.truth) for c in test])
    assert float((out - truth).square().mean().sqrt()) < 0.5 * float(truth.std())


def test_its_rollout_points_at_the_lesions_and_chance_does_not(two_pictures: tuple[Trained, list[pc.Case]]) -> None:
    got, test = two_pictures
    hits, share = {}, {}
    for method in ("gradient_rollout", "random"):
        maps = [pc.explain(got.predictor, c, method=method).spatial("t2") for c in test]
        masks = [c.region("lesion") for c in test]
        hits[method] = sum(bool(m.flatten()[v.argmax()]) for v, m in zip(maps, masks))
        share[method] = sum(float(v[m].sum() / v.sum()) for v, m in zip(maps, masks)) / len(test)
    assert hits["gradient_rollout"] >= hits["random"] + 8, hits
    assert share["gradient_rollout"] > 1.5 * share["random"]
