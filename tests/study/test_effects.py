"""Effects over seeds and the words of a table: small cases by hand."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from padalib.study import effects


def series(*values):
    return pd.Series(values, index=range(len(values)))


def test_a_difference_is_the_paired_t_interval():
    found = effects.difference(series(2.0, 4.0, 6.0), series(1.0, 2.0, 3.0))  # 1, 2, 3
    half = 4.302652729696142 / math.sqrt(3)  # t_.975 of 2 degrees, sd 1
    assert found[:3] == pytest.approx((2, 2 - half, 2 + half))
    # t = 2 sqrt(3); with 2 degrees p = 1 - t / sqrt(t^2 + 2)
    assert found.p == pytest.approx(1 - math.sqrt(12) / math.sqrt(14))
    assert (found.interval.over, found.interval.n) == ("seeds", 3)


def test_a_ratio_is_of_geometric_means():
    found = effects.ratio(series(2.0, 8.0), series(1.0, 1.0))
    assert found.change == pytest.approx(4) and found.low * found.high == pytest.approx(16)
    assert found.p == effects.difference(series(math.log(2), math.log(8))).p


@pytest.mark.parametrize("bad", [0.0, -1.0, math.inf, math.nan])
def test_a_ratio_of_what_is_not_positive_is_not_known(bad):
    found = effects.ratio(series(1.0, bad), series(1.0, 1.0))
    assert all(map(math.isnan, found[:4])) and found.seeds == 2


def test_seeds_are_paired_by_name():
    a, b = series(1.0, 5.0), pd.Series([4.0, 1.0], index=[1, 0])
    assert effects.difference(a, b).change == 0.5
    with pytest.raises(ValueError, match=r"seeds \[0, 1\], the other \[1, 2\]"):
        effects.difference(a, pd.Series([4.0, 1.0], index=[1, 2]))


def test_one_seed_or_equal_ones_have_no_p():
    assert math.isnan(effects.difference(series(1.0)).p)
    assert math.isnan(effects.difference(series(1.0, 1.0)).p)


def test_what_was_planned_stands_alone_and_the_rest_is_corrected_by_family():
    rows = pd.DataFrame(
        {
            "kind": [*"aaaab"],
            "p": [0.04, 0.01, 0.02, 0.04, 0.04],
            "planned": [True, False, False, False, False],
            "change": [1.2, 0.5, 2.0, 2.0, 0.9],
            "null": [1.0] * 5,
        },
        index=[7, 3, 4, 5, 6],
    )
    found = effects.judge_rows(rows, ["kind"])
    assert found.corrected.tolist() == pytest.approx([0.04, 0.03, 0.04, 0.04, 0.04])
    assert found.word.tolist() == ["higher", "lower", "higher", "higher", "lower"]
    found = effects.judge_rows(rows.assign(planned=False), ["kind"])
    assert found.corrected.tolist() == pytest.approx([0.08, 0.04, 0.06, 0.08, 0.04])
    assert found.word.tolist() == ["not shown", "lower", "not shown", "not shown", "lower"]


def test_a_p_that_is_not_known_shows_nothing_and_counts_for_nothing():
    rows = pd.DataFrame({"kind": "a", "p": [math.nan, 0.04], "change": [9.0, 9.0]})
    found = effects.judge_rows(rows.assign(planned=False, null=1.0), ["kind"])
    assert found.word.tolist() == ["not shown", "higher"]


def test_errors_add_up_in_squares_with_satterthwaites_degrees():
    a, b = [0.3, 0.5, 0.45], [0.2, 0.1]
    both = effects.together(effects.spread(a), effects.spread(b))
    found = stats.ttest_ind(a, b, equal_var=False)  # Welch's test is one case of it
    gap = np.mean(a) - np.mean(b)
    assert both.freedom == pytest.approx(found.df) and both.p(gap) == pytest.approx(found.pvalue)
    assert gap - both.half == pytest.approx(found.confidence_interval().low)
    normal = effects.together(effects.Doubt(3.0), effects.Doubt(4.0))
    assert normal == (5.0, math.inf) and normal.half == pytest.approx(5 * 1.959964)
    assert effects.Doubt(0.0).p(0.1) == 0 and effects.Doubt(0.0).p(0.0) == 1
    assert effects.spread([0.4]).p(0.4) == 1 and math.isnan(effects.spread([0.4]).half)


def test_what_is_liked_in_words():
    rows = [("b", "skip", 0.1, -0.05, 0.25), ("b", "conv", -0.3, -0.4, -0.2)]
    rows += [("a", "skip", 0.0, 0.0, 0.0), ("a", "conv", 0.2, 0.1, 0.3)]
    table = pd.DataFrame(rows, columns=["method", "option", "bias", "bias_low", "bias_high"])
    found = effects.liked(table, "method")
    assert list(found.index) == ["b", "a"] and list(found) == ["skip", "conv"]
    assert found.loc["b"].tolist() == ["+0.10 [-0.05, +0.25]", "-0.30 [-0.40, -0.20]"]


def test_welch_is_scipys_and_takes_a_count_as_known():
    a, b = [0.3, 0.5, 0.45], [0.2, 0.1]
    gap, own = np.mean(a) - np.mean(b), effects.welch(a, b)
    found = stats.ttest_ind(a, b, equal_var=False)
    assert own.p(gap) == pytest.approx(found.pvalue)
    ends = gap - own.half, gap + own.half
    assert ends == pytest.approx(tuple(found.confidence_interval()))
    one = stats.ttest_1samp(a, 0.2)
    assert effects.welch(a, [0.2]).p(np.mean(a) - 0.2) == pytest.approx(one.pvalue)
    assert effects.welch([0.4, 0.4], [0.2]).error == 0
    assert math.isnan(effects.welch([0.4], [0.2]).error)
