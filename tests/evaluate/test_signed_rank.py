"""The signed-rank test over patients is SciPy's, also where ties make SciPy try every sign."""

import numpy as np
import pytest
from scipy.stats import wilcoxon

from pellucid.evaluate.cohort.intervals import signed_rank


@pytest.mark.parametrize("n", [2, 5, 8, 9, 14, 20])
def test_p_is_scipys_with_ties_and_zeros_and_without(n):
    generator = np.random.default_rng(n)
    for values in (generator.integers(-2, 4, n) / 3, generator.normal(size=n), np.r_[0.0, generator.normal(size=n - 1)]):
        assert signed_rank(values, np.arange(n)) == pytest.approx(wilcoxon(values).pvalue, abs=1e-12)


def test_no_difference_is_no_evidence_and_one_patient_has_no_test():
    assert signed_rank(np.zeros(6), np.arange(6)) == 1.0
    assert np.isnan(signed_rank(np.array([1.0, 2.0]), np.zeros(2, int)))
