"""Rank statistics against SciPy, which scikit-learn brings."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from didact.data.check.ranks import auc, chi_square_z, correlation, rank_z, ranks, two_sided

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("levels", [3, 1000])
def test_ranks_auc_and_test_agree_with_scipy(levels):
    first, second = RNG.integers(0, levels, 70).astype(float), RNG.integers(0, levels, 50) + levels / 10
    both = np.concatenate([first, second])
    np.testing.assert_allclose(ranks(both), stats.rankdata(both))
    labels = [0] * len(first) + [1] * len(second)
    assert auc(first, second) == pytest.approx(roc_auc_score(labels, both))
    expected = stats.mannwhitneyu(first, second, use_continuity=False, method="asymptotic").pvalue
    assert two_sided(rank_z(first, second)) == pytest.approx(expected, rel=1e-9)


def test_nothing_varies():
    assert rank_z(np.ones(5), np.ones(7)) == 0
    assert correlation(np.ones(5), np.arange(5.0)) == 0


def test_correlation_agrees_with_numpy():
    first, second = RNG.normal(size=(2, 30))
    assert correlation(first, second) == pytest.approx(np.corrcoef(first, second)[0, 1])


@pytest.mark.parametrize("shift", [0, 12, 40])
def test_chi_square_is_near_scipys(shift):
    first, second = np.array([80.0, 60, 40]), np.array([50.0 + shift, 60, 45])
    exact = stats.chi2_contingency([first, second], correction=False).pvalue
    one_sided = 0.5 * two_sided(chi_square_z(first, second))
    one_sided = one_sided if chi_square_z(first, second) > 0 else 1 - one_sided
    assert one_sided == pytest.approx(exact, abs=0.01)
    assert chi_square_z(first, np.zeros(3)) == 0
