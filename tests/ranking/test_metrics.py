"""Metrics against hand-worked cases, slow twins, scipy and simulation."""

import math
from decimal import Decimal
from functools import partial
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from padalib.ranking import metrics, vectors

TRUE = [90.0, 80.0, 95.0, 70.0, 60.0]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def tied(rng, n):
    """Two related vectors with many ties."""
    true = rng.integers(0, max(2, n // 3), n).astype(float)
    return np.round(true + rng.normal(0, n / 8, n)), true


# --- by hand ---


def test_tau_with_ties_by_hand():
    # 7 concordant pairs, none discordant; 3 of 10 pairs tie in pred, 1 in true
    assert metrics.tau([1, 2, 2, 2, 4], [1, 3, 2, 2, 5]) == pytest.approx(7 / math.sqrt(7 * 9))
    # 7 concordant, 1 discordant; 1 of 10 ties in each
    assert metrics.tau([1, 2, 2, 3, 4], [1, 3, 2, 2, 5]) == pytest.approx(6 / 9)


def test_spearman_by_hand():
    # rank differences 0, 1, -1, 0, 0: 1 - 6 * 2 / (5 * 24)
    assert metrics.spearman([1, 2, 3, 4, 5], [10, 30, 20, 40, 50]) == pytest.approx(0.9)


def test_top_and_regret_by_hand():
    pred = [5, 4, 3, 2, 1]
    assert metrics.precision_at(pred, TRUE, 0.4) == 0.5  # {90, 80} against {95, 90}
    assert [metrics.regret(pred, TRUE, k) for k in (1, 2, 3, 10)] == [5, 5, 0, 0]
    # the truly best three are 95, 90, 80, predicted 3rd, 1st, 2nd: one pair of three in order
    assert metrics.top_tau(pred, TRUE, 0.6) == pytest.approx(-1 / 3)


def test_ties_in_pred_count_by_expectation():
    pred = [2, 1, 1, 1, 0]  # 90 is first, then one or two out of 80, 95, 70
    assert metrics.precision_at(pred, TRUE, 0.4) == pytest.approx((1 + 1 / 3) / 2)
    assert metrics.regret(pred, TRUE, 2) == pytest.approx(5 * 2 / 3)
    assert metrics.regret(pred, TRUE, 3) == pytest.approx(5 * 1 / 3)


def test_ties_in_true_count_as_top():
    true = [3.0, 2.0, 2.0, 1.0, 0.0]  # top two: 3 and either 2
    assert metrics.precision_at([5, 0, 4, 1, 2], true, 0.4) == 1
    assert metrics.top_tau([5, 3, 4, 1, 2], true, 0.4) == pytest.approx(2 / math.sqrt(3 * 2))


def test_undefined_is_nan():
    flat, n = np.zeros(5), [1, 2, 3, 4, 5]
    for fn in (metrics.tau, metrics.spearman):
        assert math.isnan(fn(flat, n)) and math.isnan(fn(n, flat))
    assert math.isnan(metrics.tau(np.zeros(500), np.arange(500)))
    assert math.isnan(metrics.top_tau(n, n))  # the top decile of five is one architecture
    assert math.isnan(metrics.top_tau(flat, n, 0.6))


def test_the_top_k_is_not_off_by_rounding():
    pred = np.arange(70.0)  # 0.1 * 70 is 7.000000000000001 in floats
    true = pred.copy()
    true[62] = 100  # predicted 8th
    assert metrics.precision_at(pred, true, 0.1) == pytest.approx(6 / 7)


# --- properties ---


@pytest.mark.parametrize("name", metrics.METRICS)
def test_order_of_the_table_does_not_matter(name, rng):
    pred, true = tied(rng, 60)
    order = rng.permutation(60)
    fn = metrics.METRICS[name]
    assert fn(pred[order], true[order]) == pytest.approx(fn(pred, true), abs=1e-12)


def test_perfect_and_reversed_predictions(rng):
    true = rng.normal(size=80)
    perfect = {name: fn(true, true) for name, fn in metrics.METRICS.items()}
    assert perfect == pytest.approx({n: 0 if n.startswith("regret") else 1 for n in perfect})
    assert metrics.tau(-true, true) == pytest.approx(-1)
    assert metrics.regret(-true, true, 1) == pytest.approx(np.ptp(true))


# --- labels ---


def series(values, prefix="3-0-"):
    return pd.Series(values, index=[f"{prefix}{k}" for k in range(len(values))])


def test_labelled_scores_are_matched_by_label(rng):
    true = series(rng.normal(size=50))
    assert metrics.tau(true.sort_values(), true) == pytest.approx(1)
    assert metrics.tau(dict(true.sort_values()), true) == pytest.approx(1)
    assert metrics.tau(true.to_dict(), dict(true.sort_values())) == pytest.approx(1)
    numbered = true.reset_index(drop=True)
    assert metrics.tau(numbered.sort_values(), numbered) == pytest.approx(1)
    by_tuple = {(k, 0, 1): value for k, value in enumerate(true)}
    assert metrics.tau(by_tuple, dict(reversed(by_tuple.items()))) == pytest.approx(1)


CALLS = metrics.METRICS | {
    "bootstrap": partial(metrics.bootstrap, metrics.tau, draws=50),
    "bootstrap of others": partial(metrics.bootstrap, metrics.spearman, draws=50),
    "paired": metrics.paired_difference,
}


@pytest.mark.parametrize("name", CALLS)
def test_shuffling_a_labelled_side_changes_nothing(name, rng):
    pred, true = map(series, tied(rng, 60))
    wanted = CALLS[name](pred.to_numpy(), true.to_numpy())
    for _ in range(3):
        order = rng.permutation(60)
        assert CALLS[name](pred, true.iloc[order]) == pytest.approx(wanted, nan_ok=True)
        # The first one's order is that of the resamples.
        if "bootstrap" not in name:
            assert CALLS[name](pred.iloc[order], true) == pytest.approx(wanted, nan_ok=True)


def test_shuffling_changes_nothing_among_three(rng):
    a, b, z = (series(rng.normal(size=40)) for _ in range(3))
    wanted = metrics.partial_spearman(*(v.to_numpy() for v in (a, b, z)))
    assert metrics.partial_spearman(a, b[::-1], z.sort_values()) == pytest.approx(wanted)


@pytest.mark.parametrize("call", [metrics.tau, metrics.paired_difference], ids=["tau", "paired"])
@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (series([1, 2, 3]), series([1, 2, 3], "2-0-"), "3 labels of .* are not in .*3-0-0, 3-0-1"),
        (series([1, 2, 3]), series([1, 2]), r"1 labels of \w+ are not in \w+ \(3-0-2\), 0 of "),
        (series([1, 2, 3]), pd.Series([1, 2, 3]), "3 labels of .*3-0-0.* 3 of .*0, 1, 2"),
        (series([1, 2, 3]), [1, 2, 3], "is labelled .3-0-0, .* is a plain vector.*to_numpy"),
        (np.arange(3), series([1, 2, 3]), "is labelled .3-0-0, .* is a plain vector"),
        (pd.Series([3, 2, 1])[::-1], [1, 2, 3], "is labelled .2, 1, 0. and"),
        (series([1, 2, 3]).iloc[[0, 0, 1]], series([1, 2, 3]), "labels more than once .3-0-0."),
        (series([1, 2, 3]).iloc[[0, 0, 1]], series([1, 2, 3]).iloc[[0, 0, 1]], "more than once"),
    ],
)
def test_other_labels_or_none_are_refused(call, a, b, message):
    with pytest.raises(ValueError, match=message):
        call(a, b)


def test_a_series_numbered_from_zero_is_a_plain_vector_too():
    numbered = pd.Series(TRUE)
    assert metrics.tau(numbered, TRUE) == metrics.tau(TRUE, numbered) == pytest.approx(1)
    assert metrics.tau(numbered, torch.tensor(TRUE)) == pytest.approx(1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["1", "2", "3"], "holds '1' .str., which is no number"),
        ([1, "2", 3], "which is no number"),
        ([True, False, True], "holds True .bool., which is no number"),
        (np.array([1, True, 3], dtype=object), "holds True .bool."),
        ([1, None, 3], "holds None .NoneType."),
        ([1 + 1j, 2, 3], "complex"),
        ([Decimal(1), 2, 3], "Decimal"),
        (pd.Series([1, pd.NA, 3], dtype="Int64"), "nan, not finite"),
        ([1.5, True, 3], "holds True .bool."),
        (pd.Series(pd.to_datetime(["2024", "2025", "2026"])), "which is no number"),
        ([[1, 2], [3]], "holds .1, 2. .list., which is no number"),
        (torch.ones(3, requires_grad=True), "is no vector of numbers"),
        (
            np.ma.masked_array([1.0, 2.0, 3.0], [False, True, False]),
            r"pred\[1\] is nan, not finite",
        ),
        ({1, 2, 3}, "no number"),
        ("123", "no number"),
    ],
)
def test_only_numbers_are_numbers(values, message):
    with pytest.raises(ValueError, match=message):
        metrics.tau(values, [1, 2, 3])
    if "nan" not in message:
        with pytest.raises(ValueError, match=message):
            metrics.seeds_summary(values)


# --- twins ---


@pytest.mark.parametrize("n", [2, 3, 9, 50, 200, 201, 300])
def test_tau_equals_scipy_to_the_bit(n, rng):
    for _ in range(10):
        pred, true = tied(rng, n)
        expected = stats.kendalltau(pred, true).statistic
        np.testing.assert_equal(metrics.tau(pred, true), expected)


def test_spearman_equals_scipy(rng):
    pred, true = tied(rng, 50)
    assert metrics.spearman(pred, true) == pytest.approx(stats.spearmanr(pred, true).statistic)


def test_ranks_are_scipys(rng):
    for n in (1, 2, 50):
        for vector in (rng.integers(0, 6, n).astype(float), rng.normal(size=n), np.zeros(n)):
            assert (vectors.ranks(vector) == stats.rankdata(vector)).all()


def test_expectation_over_ties_equals_every_order(rng):
    for _ in range(5):
        pred, true = rng.integers(0, 3, (2, 6)).astype(float)
        for k in (1, 2, 3, 5):
            kth = np.sort(true)[-k]
            share, loss = [], []
            for order in map(list, permutations(range(6))):
                top = true[order][np.argsort(-pred[order], kind="stable")[:k]]
                share.append(np.mean(top >= kth))
                loss.append(true.max() - top.max())
            assert metrics.precision_at(pred, true, k / 6) == pytest.approx(np.mean(share))
            assert metrics.regret(pred, true, k) == pytest.approx(np.mean(loss))


@pytest.mark.parametrize("n", [2, 12, 85, 250])
def test_fast_bootstrap_equals_the_loop(n, rng):
    pred, true = tied(rng, n)
    fast = metrics._replicates(metrics.tau, [pred, true], draws=40, seed=3)
    loop = metrics._replicates(
        lambda p, t: stats.kendalltau(p, t).statistic, [pred, true], draws=40, seed=3
    )
    np.testing.assert_array_equal(fast, loop)


def test_many_architectures_take_the_loop(rng, monkeypatch):
    pred, true = tied(rng, 30)
    fast = metrics.bootstrap(metrics.tau, pred, true, draws=50)
    monkeypatch.setattr(metrics, "COUNTS_UP_TO", 29)
    assert metrics.bootstrap(metrics.tau, pred, true, draws=50) == fast


# --- intervals ---


def test_bootstrap_is_seeded_and_holds_the_estimate(rng):
    pred, true = tied(rng, 100)
    low, high = metrics.bootstrap(metrics.tau, pred, true, seed=1)
    assert low < metrics.tau(pred, true) < high
    assert (low, high) == metrics.bootstrap(metrics.tau, pred, true, seed=1)
    assert (low, high) != metrics.bootstrap(metrics.tau, pred, true, seed=2)
    narrow = metrics.bootstrap(metrics.tau, pred, true, seed=1, level=0.5)
    assert low < narrow[0] < narrow[1] < high


def test_bootstrap_agrees_with_known_spread(rng):
    # independent vectors: sd of tau is sqrt(2 (2n + 5) / (9 n (n - 1))), 0.067 at n = 100
    low, high = metrics.bootstrap(metrics.tau, rng.normal(size=100), rng.normal(size=100))
    assert (high - low) / 2 / 1.96 == pytest.approx(0.067, rel=0.2)


def test_bootstrap_is_paired(rng):
    true = rng.normal(size=80)
    a = true + rng.normal(size=80)
    b = a + rng.normal(0, 0.01, 80)  # nearly the same predictor

    def difference(a, b, t):
        return metrics.tau(a, t) - metrics.tau(b, t)

    low, high = metrics.bootstrap(difference, a, b, true, draws=200)
    alone = metrics.bootstrap(metrics.tau, a, true, draws=200)
    assert high - low < 0.2 * (alone[1] - alone[0])


def test_bootstrap_leaves_out_nan():
    true = np.arange(5.0)
    assert np.isnan(metrics.bootstrap(metrics.tau, np.zeros(5), true)).all()
    one_off = np.array([0.0, 0, 0, 0, 1])  # constant in (4/5)^5 = 33 % of the resamples
    assert np.isfinite(metrics.bootstrap(metrics.tau, one_off, true)).all()


def test_seeds_by_hand():
    summary = metrics.seeds_summary([1, 2, 3])
    half = 4.302653 / math.sqrt(3)  # t at 0.975 with 2 degrees of freedom
    assert summary == pytest.approx((2, 1, 3, 2 - half, 2 + half), rel=1e-6)
    one = metrics.seeds_summary([0.5])
    assert (one.mean, one.n) == (0.5, 1) and np.isnan([one.sd, one.low, one.high]).all()
    assert math.isnan(metrics.seeds_summary([0.5, math.nan]).mean)
    assert metrics.paired_difference([2, 4, 6], [1, 2, 3]) == summary


# --- agreement of noisy tables ---


def test_partial_spearman_by_hand_and_against_regression(rng):
    a, b, z = rng.normal(size=(3, 40))
    ranks = [stats.rankdata(v) for v in (a + z, b + z, z)]
    left = [r - np.polyval(np.polyfit(ranks[2], r, 1), ranks[2]) for r in ranks[:2]]
    wanted = stats.pearsonr(*left).statistic
    assert metrics.partial_spearman(a + z, b + z, z) == pytest.approx(wanted)
    rho = stats.spearmanr(np.stack([a + z, b + z, z]), axis=1).statistic
    ab, az, bz = rho[0, 1], rho[0, 2], rho[1, 2]
    formula = (ab - az * bz) / np.sqrt((1 - az**2) * (1 - bz**2))
    assert wanted == pytest.approx(formula)
    constant = np.ones(40)
    assert metrics.partial_spearman(a, b, constant) == pytest.approx(metrics.spearman(a, b))
    assert np.isnan(metrics.partial_spearman(z, b, z))  # nothing is left of the first
    assert np.isnan(metrics.partial_spearman(a, constant, z))


def test_spearman_brown():
    assert metrics.spearman_brown(0.5, 2) == pytest.approx(2 / 3)
    assert metrics.spearman_brown(0.7, 1) == pytest.approx(0.7)
    np.testing.assert_allclose(metrics.spearman_brown([0, 1, -0.6], 3), [0, 1, np.nan])


def shaped(shape, rng):
    """[125, 1]: true qualities of that distribution."""
    return {
        "normal": rng.normal(size=(125, 1)),
        "skewed": -rng.gamma(1.2, size=(125, 1)),
        "clustered": rng.choice([-2, -1, 0, 0.5], (125, 1)) + rng.normal(0, 0.15, (125, 1)),
    }[shape]


@pytest.mark.parametrize(
    ("shape", "tolerance"), [("normal", 0.01), ("skewed", 0.015), ("clustered", 0.04)]
)
@pytest.mark.parametrize("noise", [0.1, 0.25])
def test_agreement_foretells_tau_between_seed_means(shape, tolerance, noise, rng):
    predicted, real = [], []
    for _ in range(40):
        quality = shaped(shape, rng)
        acc = quality + noise * rng.normal(size=(125, 6))
        predicted.append(metrics.agreement(acc[:, :3], draws=1)[0])
        real.append(metrics.tau(acc[:, :3].mean(1), acc[:, 3:].mean(1)))
    assert np.mean(predicted) == pytest.approx(np.mean(real), abs=tolerance)


def test_agreement_interval(rng):
    acc = rng.normal(size=(125, 1)) + 0.25 * rng.normal(size=(125, 3))
    estimate, low, high = metrics.agreement(acc)
    assert low < estimate < high
    assert high - low < 0.06
    same = np.repeat(acc[:, :1], 2, axis=1)
    assert metrics.agreement(same) == pytest.approx((1, 1, 1))


def test_a_perfect_predictor_by_hand_and_published():
    # Tables that correlate by .81 each correlate by .9 with what they are tables of.
    agreement = 2 / math.pi * math.asin(0.81)
    assert metrics.perfect(agreement) == pytest.approx(2 / math.pi * math.asin(0.9))
    found = metrics.perfect([0.9469468485856642, 0.9174303526442242, 0.588])
    assert found == pytest.approx([0.962, 0.942, 0.703], abs=5e-4)
    assert metrics.perfect([0.0, 1.0]) == pytest.approx([0, 1])
    assert math.isnan(metrics.perfect(-0.1)) and math.isnan(metrics.perfect(math.nan))


@pytest.mark.parametrize(
    ("shape", "tolerance"), [("normal", 0.01), ("skewed", 0.015), ("clustered", 0.04)]
)
@pytest.mark.parametrize("noise", [0.1, 0.25])
def test_what_a_perfect_predictor_reaches_is_foretold(shape, tolerance, noise, rng):
    foretold, real, agreed = [], [], []
    for _ in range(40):
        quality = shaped(shape, rng)
        acc = quality + noise * rng.normal(size=(125, 3))
        agreed.append(metrics.agreement(acc, draws=1)[0])
        foretold.append(metrics.perfect(agreed[-1]))
        real.append(metrics.tau(quality[:, 0], acc.mean(1)))
    assert np.mean(foretold) == pytest.approx(np.mean(real), abs=tolerance)
    assert np.mean(real) > np.mean(agreed) + 0.01


# --- bad input ---


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.tau([1, 2], [1, 2, 3]), "pred has 2 scores and true has 3"),
        (lambda: metrics.tau([1], [1]), "two or more"),
        (lambda: metrics.spearman([[1, 2]], [[1, 2]]), r"shape \(1, 2\)"),
        (lambda: metrics.regret([1, 2, 3], [1, math.nan, 2], 1), r"true\[1\] is nan"),
        (lambda: metrics.precision_at([1, math.inf], [1, 2], 0.5), r"pred\[1\] is inf"),
        (lambda: metrics.precision_at([1, 2], [1, 2], 5), "fraction must be in"),
        (lambda: metrics.regret([1, 2], [1, 2], 0), "k must be at least 1"),
        (lambda: metrics.regret([1, 2, 3], [1, 2, 3], 1.5), "k must be at least 1"),
        (lambda: metrics.regret([1, 2, 3], [1, 2, 3], math.nan), "k must be at least 1"),
        (lambda: metrics.bootstrap(metrics.tau, [1, 2], [1, 2], draws=0), "draws"),
        (lambda: metrics.bootstrap(metrics.tau, [1, 2], [1, 2], level=95), "level"),
        (lambda: metrics.bootstrap(max, [1, 2], [1, math.nan]), r"vector 1\[1\] is nan"),
        (lambda: metrics.seeds_summary([]), "one finite number a seed"),
        (lambda: metrics.seeds_summary([1, math.inf]), "one finite number a seed"),
        (lambda: metrics.paired_difference([1, 2], [1]), "seeds that both methods have"),
        (lambda: metrics.spearman_brown(0.5, 0), "k must be positive"),
        (lambda: metrics.agreement([[1], [2]]), "two or more seeds"),
        (lambda: metrics.agreement([[1, 2], [math.nan, 3]]), r"acc\[:, 0\]\[1\] is nan"),
    ],
)
def test_bad_input_is_a_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()
