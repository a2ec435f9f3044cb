"""tau by sums over pairs: scipy's value, and an error that resampling confirms."""

import math

import numpy as np
import pytest
from scipy import stats

from padalib.ranking import pairs


def vectors(n=300, seed=0):
    rng = np.random.default_rng(seed)
    true = rng.normal(size=n)
    return (true + rng.normal(size=n)).round(1), true.round(1)  # with ties


@pytest.mark.parametrize("n", [2, 7, 300, 1100])
def test_tau_is_scipys(n):
    pred, true = vectors(n)
    assert pairs.tau(pred, true).value == pytest.approx(stats.kendalltau(pred, true).statistic)


def weighted(pred, true, w, of=True):
    p, t = np.sign(pred[:, None] - pred), np.sign(true[:, None] - true)
    w = w[:, None] * w * of
    return (w * p * t).sum() / math.sqrt((w * abs(p)).sum() * (w * abs(t)).sum())


def test_influence_is_the_derivative_by_the_weight_of_an_architecture():
    pred, true = vectors(40)
    found = pairs.tau(pred, true).influence
    for k in range(40):
        w = np.ones(40)
        w[k] += 1e-6
        slope = (weighted(pred, true, w) - weighted(pred, true, np.ones(40))) / 1e-6
        assert found[k] == pytest.approx(slope, abs=1e-5)


def test_error_is_that_of_resampled_clusters():
    pred, true = vectors(400)
    clusters = np.arange(400) // 4
    order = np.lexsort((pred, clusters))
    pred, true = pred[order], true[order]
    rng, drawn = np.random.default_rng(1), []
    for _ in range(400):
        at = (4 * rng.integers(100, size=100)[:, None] + np.arange(4)).ravel()
        drawn.append(stats.kendalltau(pred[at], true[at]).statistic)
    assert pairs.tau(pred, true).error(clusters) == pytest.approx(np.std(drawn), rel=0.12)


def test_within_levels_by_hand():
    pred = np.array([1.0, 2, 3, 4, 9, 8, 7, 0])
    true = np.array([1.0, 2, 3, 5, 1, 2, 3, 0])
    level = np.array([0, 0, 0, 0, 1, 1, 1, 2])
    found = pairs.tau_within(pred, true, level, least=3)
    assert found.value == pytest.approx((4 * 1 + 3 * -1) / 7)
    assert found.influence[7] == 0
    assert math.isnan(pairs.tau_within(pred, true, level, least=5).value)


def test_among_the_best_and_what_ties_with_them():
    true = np.array([1.0, 2, 3, 4, 4, 5])
    pred = np.array([9.0, 9, 9, 2, 3, 1])
    own = stats.kendalltau(pred[3:], true[3:]).statistic
    assert pairs.tau_among(pred, true, 1 / 3).value == pytest.approx(own)
    assert math.isnan(pairs.tau_among(pred, true, 0.1).value)


def test_a_constant_side_is_nan():
    found = pairs.tau(np.ones(5), np.arange(5.0))
    assert math.isnan(found.value) and np.isnan(found.influence).all()


@pytest.mark.parametrize(("n", "values"), [(1, 1), (2, 2), (50, 3), (257, 40), (600, 10**6)])
def test_sums_over_pairs_are_those_of_all_pairs_at_once(n, values):
    rng = np.random.default_rng(n)
    pred, true = rng.integers(values, size=(2, n)).astype(float)
    p, t = np.sign(pred[:, None] - pred), np.sign(true[:, None] - true)
    for found, slow in zip(pairs._sums(pred, true), (p * t, abs(p), abs(t)), strict=True):
        assert found.tolist() == slow.sum(1).tolist()


def test_tau_between_levels_is_that_of_the_pairs_of_unequal_level():
    pred, true = vectors(60)
    level = np.arange(60) % 4
    apart = level[:, None] != level
    found = pairs.tau_between(pred, true, level)
    assert found.value == pytest.approx(weighted(pred, true, np.ones(60), apart))
    for k in (0, 13):
        w = np.ones(60)
        w[k] += 1e-6
        slope = (weighted(pred, true, w, apart) - found.value) / 1e-6
        assert found.influence[k] == pytest.approx(slope, abs=1e-5)
    assert math.isnan(pairs.tau_between(pred, true, np.zeros(60)).value)
