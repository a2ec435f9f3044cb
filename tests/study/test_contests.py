"""Differences between methods on tables made up so that the answer is known."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from padalib import spaces
from padalib.ranking import metrics
from padalib.study import claims, contests, outcomes, wording
from padalib.study.claims import Interval

RNG = np.random.default_rng(0)


def table(**scores):
    """A column a run: `a=[[...], [...]]` gives runs ('a', 0) and ('a', 1)."""
    columns = {(name, seed): run for name, runs in scores.items() for seed, run in enumerate(runs)}
    return pd.DataFrame(columns)


def test_functions_names_the_class_of_each_code():
    space = spaces.get("mini")
    found = contests.functions(space, ["0-3-0", "0-0-0", "3-3-3"])
    assert found.to_dict() == {"0-3-0": "0-3-0", "0-0-0": "0-0-0", "3-3-3": "3-3-3"}
    # Without 1 <- 0 nothing passes 2 <- 1: whatever is there is dead.
    assert contests.functions(space, ["0-3-2"])["0-3-2"] == "0-3-0"


def test_predictions_are_in_the_order_asked_for_and_complete():
    rows = [("a", 0, "x", 1.0), ("a", 0, "y", 2.0), ("b", 1, "y", 4.0), ("b", 1, "x", 3.0)]
    scores = pd.DataFrame(rows, columns=["method", "seed", "code", "accuracy"])
    wide = contests.predictions(scores, ["y", "x"])
    assert list(wide) == [("a", 0), ("b", 1)] and wide.to_numpy().tolist() == [[2, 4], [1, 3]]
    with pytest.raises(ValueError, match="the scores of b seed 1 lack architecture x"):
        contests.predictions(scores[:3], ["x", "y"])


def test_members_of_a_cluster_are_drawn_together_and_equally_often():
    clusters = ["p", "q", "p", "r", "p"]
    for at in contests.resamples(clusters, draws=200):
        held = np.bincount(at, minlength=5)
        assert held[0] == held[2] == held[4]
        assert held[0] + held[1] + held[3] == 3  # as many clusters as there are
    first, again = (contests.resamples(clusters, draws=5, seed=s) for s in (1, 1))
    assert all((a == b).all() for a, b in zip(first, again, strict=True))


@pytest.mark.parametrize("fn", [metrics.tau, metrics.spearman, metrics.METRICS["p_at_10"]])
def test_every_run_is_measured_on_the_same_resamples(fn):
    true = RNG.integers(6, size=30).astype(float)
    predicted = table(a=RNG.integers(5, size=(2, 30)), b=RNG.normal(size=(1, 30)))
    clusters = RNG.integers(12, size=30)
    found = contests.measure(fn, predicted, true, clusters, draws=40)
    assert found.functions == len(set(clusters))
    for run in predicted:
        own = predicted[run].to_numpy(dtype=float)
        assert found.values[run] == pytest.approx(fn(own, true))
        slow = [fn(own[at], true[at]) for at in contests.resamples(clusters, 40)]
        assert np.allclose(found.resampled[run], slow, equal_nan=True, atol=1e-12)


def test_copies_of_one_function_do_not_narrow_the_interval():
    """What made 1,000 architectures look like more evidence than their 699 functions."""
    true, own = RNG.normal(size=(2, 40))
    own = own + true
    single = contests.measure(metrics.tau, table(a=[own]), true, range(40))
    copied = table(a=[np.repeat(own, 5)])
    clusters = np.repeat(np.arange(40), 5)
    together = contests.measure(metrics.tau, copied, np.repeat(true, 5), clusters)
    apart = contests.measure(metrics.tau, copied, np.repeat(true, 5), range(200))

    def width(measured):
        row = contests.summary(measured).iloc[0]
        return row.archs_high - row.archs_low

    assert width(together) == pytest.approx(width(single), rel=0.1)
    assert width(apart) < 0.6 * width(single)


def test_a_difference_is_shown_only_where_seeds_and_architectures_agree():
    true = np.arange(60.0)
    noise = RNG.normal(size=(8, 60))
    good, poor = true + 5 * noise[:4], true + 60 * noise[4:]
    found = contests.measure(metrics.tau, table(good=good, poor=poor), true, range(60))
    compared = contests.compare(found, [("good", "poor"), ("poor", "good"), ("good", "lost")], 0.03)
    assert compared[["a", "b"]].to_numpy().tolist() == [["good", "poor"], ["poor", "good"]]
    better, worse = compared.itertuples()
    assert (better.verdict, worse.verdict) == (claims.SHOWN, claims.OPPOSITE)
    gaps = found.values["good"] - found.values["poor"]
    mean, _, n, low, high = metrics.seeds_summary(gaps)
    assert (better.difference, better.seeds) == (pytest.approx(mean), n)
    assert (better.seeds_low, better.seeds_high) == (pytest.approx(low), pytest.approx(high))
    draws = found.resampled["good"].mean(axis=1) - found.resampled["poor"].mean(axis=1)
    ends = np.quantile(draws, [0.025, 0.975])
    assert (better.archs_low, better.archs_high) == (pytest.approx(ends[0]), pytest.approx(ends[1]))
    p = stats.ttest_1samp(gaps, 0).pvalue
    assert better.p == pytest.approx(max(p, 2 / (contests.DRAWS + 1)))
    assert better.holm == pytest.approx(2 * better.p)
    lower = contests.compare(found, [("poor", "good")], 0.03, wanted=-1)  # where less is better
    assert lower.verdict.tolist() == [claims.SHOWN]


def measured(gaps, draws):
    """Two methods whose seeds differ by `gaps`, and whose means differ by `draws` in resamples."""
    values = pd.Series({("a", s): gap for s, gap in enumerate(gaps)} | {("b", 0): 0.0})
    resampled = pd.DataFrame({("a", s): draws for s in range(len(gaps))} | {("b", 0): 0.0 * draws})
    return contests.Measured(values, resampled, 50)


def test_one_run_stands_against_every_seed_of_the_other():
    sure = np.linspace(0.05, 0.15, 1000)
    (row,) = contests.compare(measured([0.1, 0.11, 0.12], sure), [("a", "b")], 0.03).itertuples()
    assert row.difference == pytest.approx(0.11) and row.verdict == claims.SHOWN
    assert outcomes.told(row) == (
        "+0.110; over 3 seeds [+0.085, +0.135], over 50 distinct architectures [+0.053, +0.147], "
        "over 3 seeds and these [+0.052, +0.168]"
    )


@pytest.mark.parametrize(
    "gaps, draws, verdict",
    [
        ([0.1, 0.11, 0.12], np.linspace(-0.05, 0.25, 1000), claims.NOT_SHOWN),  # architectures
        ([0.1, -0.1, 0.3], np.linspace(0.05, 0.15, 1000), claims.NOT_SHOWN),  # seeds
        ([0.001, 0.002, 0.0], np.linspace(-0.02, 0.02, 1000), claims.EQUIVALENT),
        ([0.1], np.linspace(0.05, 0.15, 1000), claims.NOT_SHOWN),  # one seed tells nothing
        ([0.1, 0.1, 0.1], np.linspace(0.05, 0.15, 1000), claims.SHOWN),  # no spread at all
        ([0.0, 0.0, 0.0], np.zeros(1000), claims.EQUIVALENT),
    ],
)
def test_both_intervals_decide(gaps, draws, verdict):
    (row,) = contests.compare(measured(gaps, draws), [("a", "b")], 0.03).itertuples()
    assert row.verdict == verdict
    assert len(gaps) > 1 or row.p == 1


def test_both_doubts_together_add_up_in_squares_and_can_be_what_decides():
    gaps, draws = [0.08, 0.1, 0.12, 0.1], np.linspace(0.01, 0.19, 1000)
    (row,) = contests.compare(measured(gaps, draws), [("a", "b")], 0.03).itertuples()
    seeds, archs = stats.sem(gaps), np.std(draws, ddof=1)
    error = math.hypot(seeds, archs)
    freedom = error**4 / (seeds**4 / 3)  # Satterthwaite's: architectures lose none
    assert row.both_freedom == pytest.approx(freedom) and row.seeds_freedom == 3
    assert row.both_high - 0.1 == pytest.approx(stats.t.ppf(0.975, freedom) * error)
    assert row.p == pytest.approx(2 * stats.t.sf(0.1 / error, freedom))
    assert row.seeds_low > 0 and row.archs_low > 0 > row.both_low  # either alone would show it
    assert row.verdict == claims.NOT_SHOWN


def test_only_seeds_that_both_have_are_compared():
    runs = {("a", 1): 0.4, ("a", 2): 0.6, ("a", 3): 0.9, ("b", 2): 0.5, ("b", 3): 0.7}
    own = contests.Measured(pd.Series(runs), pd.DataFrame({k: [v] * 4 for k, v in runs.items()}), 9)
    (row,) = contests.compare(own, [("a", "b")], 0.03).itertuples()
    assert (row.difference, row.seeds) == (pytest.approx(0.15), 2)
    assert row.archs_low == row.archs_high == pytest.approx(0.15)


def test_what_resamples_do_not_tell_may_be_anything():
    unknown = measured([0.1, 0.1, 0.1], np.array([0.1] * 10 + [math.nan] * 90))
    (row,) = contests.compare(unknown, [("a", "b")], 0.5).itertuples()
    assert (row.archs_low, row.archs_high, row.p) == (-math.inf, math.inf, 1.0)
    assert row.verdict == claims.NOT_SHOWN
    (lost,) = contests.compare(measured([math.nan] * 3, np.zeros(9)), [("a", "b")], 1).itertuples()
    assert lost.verdict == claims.UNMEASURABLE and outcomes.told(lost) == "not measurable"


def test_many_comparisons_make_each_harder_to_show():
    draws = np.linspace(0.05, 0.15, 1000)
    one = measured([0.08, 0.1, 0.14], draws)
    (row,) = contests.compare(one, [("a", "b")], 0.03).itertuples()
    p = stats.ttest_1samp([0.08, 0.1, 0.14], 0).pvalue
    assert row.p == pytest.approx(p) and 0.025 < p < 0.05 and row.verdict == claims.SHOWN
    (first, second) = contests.compare(one, [("a", "b"), ("a", "b")], 0.03).itertuples()
    assert first.holm == second.holm == pytest.approx(2 * row.p)
    assert first.verdict == claims.NOT_SHOWN
    made = outcomes.claim("k", "it does", first, "x", wanted=1, beside="And this")
    assert made.verdict == claims.NOT_SHOWN and made.p == first.holm and made.bound == 0.03
    assert made.evidence == (
        "x; p 0.053 after Holm's correction; smallest effect that would have been seen "
        f"{wording.short(first.visible)}; equivalence (within 0.03) not shown either. And this"
    )
    assert made.intervals == (
        Interval(row.seeds_low, row.seeds_high, "seeds", 3, freedom=2.0),
        Interval(row.archs_low, row.archs_high, "distinct architectures", 50, freedom=math.inf),
        Interval(row.both_low, row.both_high, "seeds and these", 3, freedom=row.both_freedom),
    )
    shown = outcomes.claim("k", "it does", row, "x", wanted=1, beside="And this")
    assert shown.verdict == claims.SHOWN and shown.evidence == "x. And this"
    assert claims.table([shown, made]).p.tolist() == [row.holm, first.holm]


def test_a_corrected_p_forbids_a_direction_but_not_equivalence():
    inside = [Interval(0.01, 0.02, "seeds", 5)]
    assert claims.judge(inside, bound=0.03, p=0.2) == claims.EQUIVALENT
    assert claims.judge(inside, bound=0.03, p=0.04) == claims.SHOWN
    assert claims.judge(inside) == claims.SHOWN  # it stands alone
    assert claims.judge(inside, p=math.nan) == claims.NOT_SHOWN


def test_fieller_gives_the_ratios_that_the_seeds_do_not_refuse():
    part, whole = np.array([0.30, 0.42, 0.38, 0.45]), np.array([0.35, 0.43, 0.44, 0.46])
    ratio, low, high = contests.fieller(part, whole)
    assert ratio == pytest.approx(part.mean() / whole.mean())
    for end in (low, high):
        assert stats.ttest_1samp(part - end * whole, 0).pvalue == pytest.approx(0.05)
    assert stats.ttest_1samp(part - (low - 0.01) * whole, 0).pvalue < 0.05
    assert low < ratio < high


def test_no_share_can_be_given_of_a_gain_that_may_be_none():
    assert contests.fieller([0.1, 0.2], [0.3, -0.2])[1:] == (-math.inf, math.inf)
    assert contests.fieller([0.1], [0.2]) == (0.5, -math.inf, math.inf)


def test_a_summary_of_one_seed_has_no_interval_over_seeds():
    found = contests.summary(measured([0.1, 0.3], np.linspace(0, 1, 1001)))
    a, b = found.itertuples()
    assert (a.mean, a.seeds, a.archs_low, a.archs_high) == pytest.approx((0.2, 2, 0.025, 0.975))
    assert b.seeds == 1 and math.isnan(b.seeds_low) and b.archs_low == 0
