"""``stable`` and ``sane``: pass, warn, fail, not tested, and what is said."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import spearmanr

from contract.families import FAMILIES
from metric_worlds import attribution, evidence, linear_world, of
from pellucid.api import explain, explain_many
from pellucid.core.explainer import EXPLAINERS
from pellucid.core.verdict import Thresholds
from pellucid.evaluate.verdicts import HALF, full, untested

SHAPE = (8, 8)
CLEAN = torch.randn(1, *SHAPE, generator=torch.Generator().manual_seed(1)).abs() + 1


def mixed(clean: torch.Tensor, r: float, seed: int) -> torch.Tensor:
    """A picture whose Pearson r with ``clean`` is exactly r."""
    z = (clean - clean.mean()).flatten().double()
    other = torch.randn(z.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.double)
    other = other - other.mean()
    other = other - (other @ z) / (z @ z) * z
    return (r * z / z.norm() + math.sqrt(1 - r * r) * other / other.norm()).view_as(clean) + 1


def judged(r_noisy: float, r_random: float, **options):
    """Verdicts of a map whose remade maps have given correlations with it (noisy ones Pearson's)."""
    predictor, case, _ = linear_world(SHAPE)
    clean = CLEAN
    a = attribution(case, {"x": clean}, index=1)

    def again(engine, cases, bound):
        r = r_noisy if len(cases) > 1 else r_random
        return [attribution(case, {"x": mixed(clean, r, i).float()}, index=1) for i in range(len(cases))]

    (b,) = full(of(predictor, case, [a], [again], **options))
    return b


@pytest.mark.parametrize(("r", "status"), [(0.99, "pass"), (0.951, "pass"), (0.94, "warn"), (0.72, "warn"), (0.69, "fail"), (-0.5, "fail")])
def test_stable(r, status):
    v = judged(r, 0.0).checks["stable"]
    assert v.status == status and v.value == pytest.approx(r, abs=1e-5) and v.threshold == 0.95
    assert f"{r:.2f}" in v.sentence and v.sentence.endswith(".")
    assert ("unstable" in judged(r, 0.0).flags) == (status != "pass")


@pytest.mark.parametrize(("r", "status"), [(0.0, "pass"), (0.3, "pass"), (0.68, "warn"), (0.9, "fail")])
def test_sane(r, status):
    b = judged(1 - 1e-9, r)
    v = b.checks["sane"]
    rho = spearmanr(CLEAN.flatten(), mixed(CLEAN, r, 0).abs().flatten()).statistic
    assert v.status == status and v.value == pytest.approx(rho, abs=1e-3) and v.threshold == 0.5
    assert ("not_sane" in b.flags) == (status != "pass")
    assert (v.value > HALF) == (status == "fail")


def test_thresholds_move_the_verdicts():
    assert judged(0.9, 0.3, thresholds=Thresholds(stable=0.85)).checks["stable"].status == "pass"
    assert judged(0.9, 0.3, thresholds=Thresholds(sane=0.05)).checks["sane"].status == "warn"


def test_the_other_verdicts_and_flags_stay():
    predictor, case, _ = linear_world()
    a = explain(predictor, case, method="integrated_gradients", checks="cheap")
    b = explain(predictor, case, method="integrated_gradients", checks="full")
    assert a.checks["stable"].status == a.checks["sane"].status == "not tested"
    assert 'checks="full"' in a.checks["sane"].sentence
    for name in ("finite", "not_empty", "not_flat", "complete"):
        assert a.checks[name] == b.checks[name]
    assert untested(b).checks == b.checks  # what was tested stays tested


def test_a_map_without_a_value_is_not_tested_and_says_why():
    predictor, case, _ = linear_world()
    zero = attribution(case, {"x": torch.zeros(1, 8, 8)}, index=1)
    (b,) = full(of(predictor, case, [zero], [lambda engine, cases, bound: [zero] * len(cases)]))
    assert {b.checks[n].status for n in ("stable", "sane")} == {"not tested"}
    assert "same everywhere" in b.checks["stable"].sentence and b.flags == ()


def test_a_random_model_with_nothing_to_find_passes_with_its_own_sentence():
    predictor, case, exact = linear_world()
    nothing = attribution(case, {"x": torch.zeros(1, 8, 8)}, index=1)

    def again(engine, cases, bound):
        return [exact if len(cases) > 1 else nothing] * len(cases)

    (b,) = full(of(predictor, case, [exact], [again]))
    assert b.checks["sane"].status == "pass" and b.checks["sane"].value is None
    assert "finds nothing" in b.checks["sane"].sentence


@pytest.mark.parametrize("where", ["classification 2-D + table", "segmentation 3-D"])
def test_the_controls_get_honest_verdicts(where):
    edge, random = full(evidence(where, ("edge", "random")))
    assert edge.checks["sane"].status == random.checks["sane"].status == "fail"
    assert "does not depend on the model" in edge.checks["sane"].sentence
    assert edge.checks["stable"].status == "pass" and "hardly changes" in edge.checks["stable"].sentence
    # The random control is drawn from the case's id, so noise cannot change it: stable, and said to mean little.
    assert random.checks["stable"].status == "pass" and "does not look at the input" in random.checks["stable"].sentence


def test_every_registered_method_gets_both_verdicts():
    """On a linear model, or, where that has nothing to look at (or no variance), on one that has."""
    predictor, case, _ = linear_world()
    usual = lambda n: set(EXPLAINERS[n].needs) <= {"gradient"} and predictor.task in EXPLAINERS[n].tasks  # noqa: E731
    worlds = [(predictor, case, usual)]
    families = (FAMILIES[name] for name in ("picture", "fused_tokens", "segmentation"))
    worlds += [(f.predictor(), f.cases(1)[0], f.runs) for f in families]
    judged = set()
    for model, one, runs in worlds:
        methods = [n for n in EXPLAINERS if runs(n) and n not in judged]
        for a in explain_many(model, [one], methods=methods, checks="full"):
            verdicts = [a.checks[name] for name in ("stable", "sane")]
            assert all(v.sentence.endswith(".") for v in verdicts)
            if "flat" not in a.flags and "empty" not in a.flags:
                assert all(v.status in ("pass", "warn", "fail") for v in verdicts), (a.method, verdicts)
                judged.add(a.method)
    assert judged == set(EXPLAINERS)
