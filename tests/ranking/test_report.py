"""The report card: planted rankings come out as what they are."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from padalib import spaces
from padalib.ranking import metrics, report

MINI = spaces.get("mini")
CODES = tuple(MINI.code(arch) for arch in MINI)


def ranked(true=None, space=MINI):
    codes = tuple(space.code(arch) for arch in space)
    rng = np.random.default_rng(0)
    true = rng.normal(size=len(codes)) if true is None else true
    return report.Ranked(space, codes, np.asarray(true, float))


def seeds(own, noise, n=4):
    rng = np.random.default_rng(1)
    columns = {seed: own.true + noise * rng.normal(size=len(own.true)) for seed in range(n)}
    return pd.DataFrame(columns, index=list(own.codes))


def test_a_perfect_ranking_has_a_perfect_card():
    own = ranked()
    card = report.card(seeds(own, 0), own).set_index("measure").value
    lost = ["regret_1", "regret_10", "more_seeds", "common_error"]
    assert card.drop([*lost, "with_flops"]).tolist() == pytest.approx([1] * 10)
    assert card[lost].tolist() == pytest.approx([0] * 4)
    assert card.regret_1 == card.regret_10 == 0 and card.with_flops < 1


def test_values_are_means_of_the_metrics_over_seeds():
    own = ranked()
    scores = seeds(own, 1.0)
    card = report.card(scores, own, -scores).set_index("measure")
    for name in ("tau", "p_at_5", "p_at_10", "regret_1", "regret_10"):
        fn = metrics.METRICS[name]
        summary = metrics.seeds_summary([fn(scores[s].to_numpy(), own.true) for s in scores])
        assert card.value[name] == pytest.approx(summary.mean)
        if summary.low > 0:
            assert card.seeds_low[name] == pytest.approx(summary.low)
    assert card.value.tau_loss == pytest.approx(card.value.tau)
    assert (card.low <= card.seeds_low + 1e-9).all() and (card.archs_low <= card.value).all()
    assert set(card.index) == set(report.MEASURES)


def test_the_limit_is_what_the_mean_of_many_seeds_reaches():
    own = ranked(np.random.default_rng(3).normal(size=125))
    card = report.card(seeds(own, 1.0, 5), own).set_index("measure")
    many = seeds(own, 1.0, 2000).mean(axis=1)
    assert metrics.tau(many.to_numpy(), own.true) > 0.95
    assert card.low.limit < 0.97 and card.value.limit > card.value.tau + 0.2
    # A common error stays, however many seeds there are.
    wrong = own.true + np.random.default_rng(4).normal(size=125)
    common = pd.DataFrame({s: wrong for s in range(3)}, index=list(CODES))
    card = report.card(common, own).set_index("measure").value
    assert card.between_seeds == 1 and card.limit == pytest.approx(card.tau)


def test_one_seed_has_no_agreement_and_no_interval_over_seeds():
    own = ranked()
    card = report.card(seeds(own, 1.0, 1), own).set_index("measure")
    assert "limit" not in card.index and card.seeds_low.isna().all()
    assert (card.low.loc["tau"], card.high.loc["tau"]) == pytest.approx(
        (card.archs_low.loc["tau"], card.archs_high.loc["tau"])
    )


def test_of_many_seeds_some_are_compared_and_all_are_averaged(monkeypatch):
    own = ranked()
    scores = seeds(own, 1.0, 40)
    drawn = report.drawn_seeds(40)
    assert len(set(drawn)) == report.MOST_SEEDS and drawn == report.drawn_seeds(40)
    assert report.drawn_seeds(30) == list(range(30))
    card, some = report.card(scores, own), report.card(scores[drawn], own)
    value, few = (each.set_index("measure").value for each in (card, some))
    assert value.tau == np.mean([metrics.tau(scores[s].to_numpy(), own.true) for s in scores])
    assert value.between_seeds == few.between_seeds and value.tau != few.tau
    widths = [(c.archs_high - c.archs_low)[c.measure == "regret_10"].item() for c in (card, some)]
    assert widths[0] == pytest.approx(widths[1])


def test_pairs_lie_within_a_level_or_between_levels():
    own = ranked()
    fns = report.smooth(own)
    flops_first = own.flops * 100 + own.true  # errs within no level, and not on the truth
    assert fns["within_flops"](flops_first).value == pytest.approx(1)
    assert fns["between_flops"](own.flops).value == pytest.approx(
        fns["between_flops"](flops_first).value
    )


def test_the_order_of_rows_does_not_matter_and_other_architectures_are_refused():
    own = ranked()
    scores = seeds(own, 1.0)
    shuffled = scores.sample(frac=1, random_state=0)
    assert report.card(shuffled, own).equals(report.card(scores, own))
    with pytest.raises(ValueError, match="124 architectures, the truth of 125, and 1 are in one"):
        report.card(scores.iloc[1:], own)
    scores.iloc[3, 1] = math.nan
    with pytest.raises(ValueError, match=r"score of 0-0-3, seed 1, is nan"):
        report.card(scores, own)


def test_bias_finds_what_was_planted():
    counts = np.array(
        [[sum(op == k for *_, op in MINI.plan(a)) for k in range(1, 5)] for a in MINI]
    )
    own = ranked(counts @ [0, 1, 2, -1] + 1e-3 * np.arange(125))
    likes_skip = pd.DataFrame(
        {0: counts @ [2.0, 1, 2, -1] + 1e-3 * np.arange(125)}, index=list(CODES)
    )
    found = report.bias(likes_skip, own).set_index("option")
    assert list(found.index) == ["skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"]
    assert found.low["skip_connect"] > found.true_high["skip_connect"]
    assert found.bias_low["skip_connect"] > 0 > found.bias_high["nor_conv_3x3"]
    assert found.true["nor_conv_3x3"] > found.true["nor_conv_1x1"] > found.true["avg_pool_3x3"]


def test_where_all_positions_are_live_the_first_option_is_the_reference():
    chain = spaces.get("chain-mini")
    own = ranked(np.arange(243.0), chain)
    found = report.bias(pd.DataFrame({0: own.true}, index=list(own.codes)), own)
    assert found.option.tolist() == ["conv_3x3", "sep_5x5"]
    assert (found.value == found.true).all() and (found.value > 0).all()
    assert (found.filter(like="bias").drop(columns=["bias_seeds_low", "bias_seeds_high"]) == 0).all(
        axis=None
    )


def test_a_bias_is_a_paired_difference():
    """As of the differences of ranks, by least squares with errors by cluster."""
    own, wide = ranked(), seeds(ranked(), 0.5)
    found = report.bias(wide, own).set_index("option")
    assert found.bias.tolist() == pytest.approx((found.value - found.true).tolist())
    counts = [[sum(op == k for *_, op in MINI.plan(a)) for k in range(1, 5)] for a in MINI]
    design = np.column_stack([counts, np.ones(125)])

    def standard(values):
        ranks = pd.Series(values).rank()
        return ((ranks - ranks.mean()) / ranks.std(ddof=0)).to_numpy()

    gaps = np.stack([standard(wide[s].to_numpy()) - standard(own.true) for s in wide])
    effects = np.linalg.lstsq(design, gaps.T, rcond=None)[0].T  # [seeds, options + 1]
    assert found.bias.tolist() == pytest.approx(effects.mean(0)[:-1].tolist())
    summary = metrics.seeds_summary(effects[:, 0])
    assert found.bias_seeds_low["skip_connect"] == pytest.approx(summary.low)
    left = gaps.mean(0) - design @ effects.mean(0)
    summed = pd.DataFrame(design * left[:, None]).groupby(own.clusters).sum().to_numpy()
    inverse = np.linalg.inv(design.T @ design)
    errors = np.sqrt(np.diag(inverse @ summed.T @ summed @ inverse))[:-1]
    assert (found.bias_archs_high - found.bias).tolist() == pytest.approx(list(1.96 * errors))
    halves = np.hypot(found.bias_seeds_high - found.bias, found.bias_archs_high - found.bias)
    assert (found.bias_high - found.bias).tolist() == pytest.approx(halves.tolist())


def test_a_ranking_that_has_all_alike_has_no_known_bias():
    own = ranked()
    found = report.bias(pd.DataFrame({0: np.ones(125)}, index=list(CODES)), own)
    assert found.bias.isna().all() and found.true.notna().all()


def test_controls_are_cards_without_training():
    own = ranked(np.array([MINI.flops(arch) for arch in MINI]) + 0.0)
    found = report.controls(own)
    assert found["FLOPs of live options"].set_index("measure").value.tau == pytest.approx(1)
    assert found["parameters"].set_index("measure").value.tau < 1


def test_a_space_may_name_what_else_ranks_without_training():
    macro = replace(spaces.get("macro"), strides=(2, 1, 1), channels=2, size=8)
    own = ranked(np.array([macro.depth(arch) for arch in macro]) + 1e-3 * np.arange(27), macro)
    assert list(own.free) == [*report.CONTROLS, "non-identity blocks"]
    tau = report.controls(own)["non-identity blocks"].set_index("measure").value.tau
    assert tau == pytest.approx(metrics.tau(own.free["non-identity blocks"], own.true))
    deep = replace(macro, options=("mb3_k3", "mb6_k5"))  # all equally deep
    assert list(ranked(np.arange(8.0), deep).free) == list(report.CONTROLS)


def test_functions_of_one_truth_are_one_cluster():
    macro = replace(spaces.get("macro"), strides=(2, 1, 1), channels=2, size=8)
    own = ranked(np.arange(27.0), macro)
    by = dict(zip(own.archs, own.clusters.tolist(), strict=True))
    assert by[0, 1, 0] == by[0, 0, 1] != by[1, 0, 0]
    assert len(set(by.values())) == 3 * 7 and len(set(ranked().clusters)) == len(MINI.classes())


@pytest.mark.parametrize(
    "name, levels, left_out",
    [("nasbench201", 19, 96), ("conv64", 5, 2), ("mini", 6, 8), ("chain-mini", 5, 0)],
)
def test_equal_flops_are_levels_that_hold_enough_architectures_or_else_fifths(
    name, levels, left_out
):
    space = spaces.get(name)
    own = ranked(np.arange(len(space)), space)
    used = own.level[own.level >= 0]
    for level in set(used.tolist()) if name != "chain-mini" else ():
        assert len(set(own.flops[own.level == level])) == 1
    assert (len(set(used.tolist())), (own.level < 0).sum()) == (levels, left_out)


def test_what_is_within_equal_flops_is_not_helped_by_flops():
    own = ranked(np.array([MINI.flops(arch) for arch in MINI]) + 1e-3 * np.arange(125))
    assert report.within_flops(own.flops, own).value != report.within_flops(own.flops, own).value
    assert report.within_flops(own.true, own).value == pytest.approx(1)
    assert report.within_flops(-own.true + 9 * own.flops, own).value == pytest.approx(-1)
    estimate = report.within_flops(own.true, own)
    assert (estimate.influence[own.level < 0] == 0).all()


def test_common_error_and_what_more_seeds_add_are_differences_of_the_card():
    own = ranked()
    card = report.card(seeds(own, 1.0, 4), own).set_index("measure")
    value = card.value
    assert value.more_seeds == pytest.approx(value.limit - value.tau)
    assert value.common_error == pytest.approx(value.between_seeds - value.tau)
    assert value.common_error < 0 < card.low.more_seeds  # all error is noise here
    wrong = own.true + np.random.default_rng(4).normal(size=125)
    rng = np.random.default_rng(5)
    common = pd.DataFrame({s: wrong + 0.05 * rng.normal(size=125) for s in range(4)})
    card = report.card(common.set_index(pd.Index(CODES)), own).set_index("measure")
    assert card.low.common_error > 0.2 and card.high.more_seeds < 0.05


def test_bias_is_of_what_blocks_compute_and_not_of_their_inputs():
    space = spaces.ShotSpace("small", (1, 1), 2, size=8)
    archs = list(space)
    pools = [
        sum(
            option == 2 and live and position.options[option] == "maxpool3x3"
            for position, option, live in zip(space.positions, arch, space.live(arch), strict=True)
        )
        for arch in archs
    ]
    own = report.Ranked(space, tuple(map(space.code, archs)), -np.array(pools, float))
    found = report.bias(seeds(own, 0), own).set_index("option")
    assert set(found.index) <= {"conv3x3", "conv1x1", "maxpool3x3"}
    assert found.true["maxpool3x3"] < min(0, *found.true.drop("maxpool3x3"))


def test_scores_that_rank_against_the_truth_keep_the_size_of_what_they_have_in_common():
    own = ranked()
    scores = pd.DataFrame({0: -own.true, 1: -own.true}, index=list(own.codes))
    found = report.card(scores, own).set_index("measure")
    assert found.value["tau"] == -1 and found.value["between_seeds"] == 1
    assert found.value["common_error"] == 2 == found.high["common_error"]


def agreed(columns, true=None):
    """The rows of agreement between vectors of scores."""
    own = ranked(true)
    fn = report.smooth(own)["tau"]
    return report.agreement(columns, [fn(column) for column in columns], own.clusters)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_noise_has_no_limit(n):
    """It has one only where seeds agree by chance, and then one that is not certain."""
    known = []
    for seed in range(20):
        rows = agreed(list(np.random.default_rng(seed).normal(size=(n, 125))))
        limit, between = rows["limit"], rows["between_seeds"]
        assert math.isnan(limit["value"]) == math.isnan(rows["more_seeds"]["value"])
        assert not math.isnan(rows["common_error"]["value"])
        if not math.isnan(limit["value"]):
            known.append(limit)
            assert between["low"] > 0 and limit["high"] - limit["low"] > 0.2
        else:
            assert all(map(math.isnan, limit.values()))
    assert len(known) <= 3


def test_what_is_beyond_a_correlation_of_one_is_no_limit():
    """Seeds that agree with the truth more than noise alone would let them."""
    own, rng = ranked(), np.random.default_rng(7)
    noise = rng.normal(size=125)
    for sign in (1, -1):
        rows = agreed([sign * own.true + 0.5 * noise, sign * own.true - 0.5 * noise])
        assert rows["between_seeds"]["low"] > 0 and math.isnan(rows["limit"]["value"])
        assert math.isnan(rows["more_seeds"]["low"])


def test_a_limit_that_one_seed_decides_is_not_certain_over_seeds():
    own = ranked()
    columns = list(own.true + np.random.default_rng(1).normal(size=(5, 125)))
    rows = agreed(columns)
    assert rows["limit"]["value"] == pytest.approx(0.8995, abs=1e-3)
    alone = [agreed(columns[:k] + columns[k + 1 :])["limit"]["value"] for k in range(5)]
    assert list(map(math.isnan, alone)) == [False, False, True, False, False]
    assert rows["limit"]["seeds_low"] == -math.inf and rows["limit"]["high"] == math.inf
    assert math.isfinite(rows["between_seeds"]["high"] + rows["common_error"]["high"])
    wide = pd.DataFrame(dict(enumerate(columns)), index=list(CODES))
    card = report.card(wide, own).set_index("measure")
    assert (card.low["limit"], card.high["limit"]) == (-1, 1)
    assert (card.low["more_seeds"], card.high["more_seeds"]) == (-2, 2)


def test_a_limit_close_to_one_is_not_certain():
    """Right below where it ends the slope is steep, not 0."""
    tau = 0.5
    r = math.sin(math.pi / 2 * tau) / (1 - 1e-8)
    between = 2 / math.pi * math.asin(r**2)
    for sign in (1, -1):
        slopes = report._slopes(sign * tau, between)
        assert abs(slopes[0][1]) > 100 and abs(slopes[1][1]) > 100


def test_a_seed_that_orders_nothing_has_no_limit():
    own = ranked()
    rows = agreed([own.true, np.ones(125)])
    assert math.isnan(rows["limit"]["value"]) and math.isnan(rows["more_seeds"]["value"])
    flat = agreed([own.true, own.true], np.ones(125))  # nor where the truth does
    assert flat["between_seeds"]["value"] == 1 and math.isnan(flat["limit"]["value"])


def test_no_more_is_lost_than_there_is():
    own = ranked(np.where(np.arange(125) < 60, 50.0, 52.5))
    rng = np.random.default_rng(2)
    card = report.card(pd.DataFrame(rng.normal(size=(125, 3)), index=list(CODES)), own)
    rows = card[card.measure.str.match("regret")]
    ends = rows[["seeds_low", "seeds_high", "archs_low", "archs_high", "low", "high"]]
    assert ends.max(axis=None) == 2.5 and ends.min(axis=None) == 0


def test_where_all_have_as_many_of_each_option_no_bias_is_told():
    chain = spaces.get("chain-mini")
    codes = ["-".join(code) for code in sorted(set(itertools.permutations("00112")))]
    own = report.Ranked(chain, tuple(codes), np.arange(len(codes)) + 0.0)
    none = report.bias(pd.DataFrame({0: own.true}, index=codes), own)
    some = report.bias(pd.DataFrame({0: ranked().true}, index=list(CODES)), ranked())
    assert none.empty and list(none) == list(some) == list(report.BIAS)
    assert pd.concat([none, some]).equals(some)  # as of several spaces: of the same types
