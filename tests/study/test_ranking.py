"""The ranking study on made-up tables: what it measures, claims and draws; and its limits."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from padalib import spaces
from padalib.ranking import metrics
from padalib.ranking.scores import sample
from padalib.study import claims, contests, limits, ranking, relation, scales
from padalib.study.ranking import LIVE_FLOPS, PARAMETERS, plots

SPACE = spaces.get("mini")
CODES = [SPACE.code(arch) for arch in SPACE]
SPREAD = {"SPOS": 3.0, "PA": 0.5, "PA&DA": 0.5, "curriculum": 0.7}


@pytest.fixture(scope="module", autouse=True)
def few_draws():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contests, "DRAWS", 400)
        yield


def reference():
    """A truth that parameters tell nothing about, of all 125 architectures."""
    rng, classes = np.random.default_rng(1), contests.functions(SPACE, CODES)
    of_class = dict(zip(dict.fromkeys(classes), rng.permutation(85), strict=True))
    return pd.DataFrame(
        {
            "code": CODES,
            "accuracy": [50 + of_class[one] / 4 for one in classes],
            "ceiling": 0.9, "ceiling_low": 0.85, "ceiling_high": 0.95, "perfect": 0.95,
            "ceiling_basis": "agreement of 2 seeds", "source": "made up", "dataset": "digits",
            "split": "test",
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def known():
    return ranking.architectures(SPACE, reference())


def made_up(known, seeds=4, **spreads):
    """Scores that see the truth through noise of some spread, the same for one function."""
    rows = []
    for method, spread in spreads.items():
        for seed in range(seeds):
            rng = np.random.default_rng([seed, *map(ord, method)])
            noise = dict(zip(dict.fromkeys(known.function), rng.normal(size=85), strict=True))
            seen = known.accuracy + 4 * spread * known.function.map(noise)
            rows.append(known[["code"]].assign(method=method, seed=seed, accuracy=seen))
    return pd.concat(rows)[["method", "seed", "code", "accuracy"]]


@pytest.fixture(scope="module")
def analysed(known):
    return ranking.analyse(made_up(known, **SPREAD), known)


# --- what is ranked, and against what ---


def test_architectures_say_their_function_and_cost(known):
    rows = known.set_index("code")
    assert known.function.nunique() == 85
    assert rows.loc["0-3-2", "function"] == "0-3-0" and not rows.alive["0-0-3"]
    assert rows.loc["0-3-2", LIVE_FLOPS] == rows.loc["0-3-0", LIVE_FLOPS]
    assert rows.loc["0-3-2", PARAMETERS] > rows.loc["0-3-0", PARAMETERS]
    assert rows.loc["3-3-3", LIVE_FLOPS] == SPACE.flops((3, 3, 3))


@pytest.mark.parametrize("agreement, limit", [(0.947, 0.962), (0.9174, 0.942), (0.588, 0.703)])
def test_a_perfect_predictor_agrees_better_than_two_noisy_tables_do(agreement, limit):
    assert metrics.perfect(agreement) == pytest.approx(limit, abs=1e-3)


def test_a_perfect_predictor_by_simulation():
    """Two noisy tables, and what both measure: 3 standard errors over 40 simulations."""
    rng, found = np.random.default_rng(0), []
    for _ in range(40):
        true = rng.normal(size=400)
        one, two = true + 0.3 * rng.normal(size=(2, 400))
        found.append(metrics.tau(true, one) - metrics.perfect(metrics.tau(one, two)))
    assert abs(np.mean(found)) < 3 * np.std(found) / math.sqrt(len(found)) + 0.003


def test_no_agreement_gives_no_limit_and_a_given_one_is_taken():
    assert math.isnan(metrics.perfect(math.nan))
    given = ranking.architectures(SPACE, reference().assign(perfect=0.5))
    assert set(given.perfect) == {0.5}
    assert "perfect predictor would reach 0.500" in ranking.described(scales.get("smoke"), given)


# --- tables and claims ---


def test_every_measure_of_every_run_is_that_of_the_library(known, analysed):
    tables, _ = analysed
    predicted = ranking.predictions(made_up(known, **SPREAD), known)
    rows = tables["ranking"].set_index(["method", "seed", "metric"])
    true = known.accuracy.to_numpy()
    assert len(rows) == (4 * len(SPREAD) + 2) * len(metrics.METRICS)
    for run in predicted:
        for name, fn in metrics.METRICS.items():
            assert rows.value[(*run, name)] == pytest.approx(fn(predicted[run].to_numpy(), true))
    taus = rows.xs("tau", level="metric")
    assert ((taus.low < taus.value) & (taus.value < taus.high)).all()


def test_each_claim_is_judged_on_its_own_comparison(analysed):
    tables, found = analysed
    by = {claim.key: claim for claim in found}
    trained = set(SPREAD) | {None}  # claims about others are left out
    assert list(by) == [f"04.{key}" for key, *_, a, b in ranking.CLAIMS if {a, b} <= trained]
    rows = tables["comparisons"].set_index(["metric", "a", "b"])
    for key, metric, a, b in (
        ("04.ranks", "tau", "PA&DA", "SPOS"),
        ("04.finds", "p_at_10", "PA&DA", "SPOS"),
        ("04.regret", "regret_10", "PA&DA", "SPOS"),
        ("04.control", "tau", "PA&DA", "curriculum"),
        ("04.control_path", "tau", "PA", "curriculum"),
    ):
        row, claim = rows.loc[(metric, a, b)], by[key]
        assert claim.effect == row.difference and claim.verdict == row.verdict
        over = [interval.over for interval in claim.intervals]
        assert over == ["seeds", "distinct architectures", "seeds and these"]
        assert [i.n for i in claim.intervals] == [4, 85, 4]
        assert (claim.intervals[1].low, claim.intervals[1].high) == (row.archs_low, row.archs_high)
        assert f"[{row.archs_low:+.3f}, {row.archs_high:+.3f}]" in claim.evidence
        assert f"[{row.seeds_low:+.3f}, {row.seeds_high:+.3f}]" in claim.evidence
    assert by["04.ranks"].verdict == claims.SHOWN
    assert by["04.ranks"].bound == 0.03


def test_the_better_ranking_without_training_is_the_one_to_beat(analysed):
    tables, found = analysed
    means = tables["ranking_methods"].set_index(["metric", "method"])["mean"]
    rows = tables["comparisons"][tables["comparisons"].question == "no training"]
    for metric, best in (("tau", max), ("p_at_10", max), ("regret_10", min)):
        own = rows[rows.metric == metric]
        assert own.a.tolist() == ["PA&DA", "PA"] and own.b.nunique() == 1
        free = [means[metric, name] for name in ranking.FREE]
        assert means[metric, own.b.iloc[0]] == best(free)
    by = {claim.key: claim for claim in found}
    # Parameters tell nothing here, and there is an interval that says so.
    assert by["04.free_tau"].verdict == claims.SHOWN and len(by["04.free_tau"].intervals) == 3


def test_holms_correction_is_for_the_comparisons_of_one_question(analysed):
    tables, _ = analysed
    for _, rows in tables["comparisons"].groupby(["metric", "question"]):
        assert rows.holm.tolist() == pytest.approx(claims.holm(rows.p.tolist()))
    assert set(tables["comparisons"].metric) == set(ranking.JUDGED)


def test_counts_win_where_they_are_the_truth(known):
    """The control that `max > max` over ten methods could not lose."""
    truth = known.assign(accuracy=known[LIVE_FLOPS] / 1e5)
    rough = made_up(truth, **{"SPOS": 3.0, "PA": 1.0, "PA&DA": 1.0})
    _, found = ranking.analyse(rough, truth)
    by = {claim.key: claim for claim in found}
    assert by["04.free_tau"].verdict == claims.OPPOSITE
    assert "04.control" not in by  # no curriculum was trained


def test_a_schedule_explains_the_share_that_it_was_given():
    rows = [
        ("tau", method, seed, value + shift)
        for seed, shift in enumerate((0.0, 0.05, 0.1))
        for method, value in (("SPOS", 0.2), ("curriculum", 0.56), ("PA", 0.6))
    ]
    runs = pd.DataFrame(rows, columns=["metric", "method", "seed", "value"])
    (row,) = ranking.shares(runs).itertuples()
    assert (row.method, row.control, row.seeds) == ("PA", "curriculum", 3)
    assert (row.share, row.low, row.high) == pytest.approx((0.9, 0.9, 0.9))


def test_the_control_says_share_and_rest(analysed):
    tables, found = analysed
    (claim,) = (one for one in found if one.key == "04.control_path")
    shares = tables["shares"].set_index(["method", "control"])
    row = shares.loc[("PA", "curriculum")]
    wanted = f"explains {100 * row.share:.0f} % [{100 * row.low:.0f}, {100 * row.high:.0f}]"
    assert wanted in claim.evidence and "a rest of up to" in claim.evidence
    poor = {"PA": 3.0, "curriculum": 3.0, "SPOS": 3.0}
    known = ranking.architectures(SPACE, reference())
    _, found = ranking.analyse(made_up(known, seeds=2, **poor), known)
    (claim,) = (one for one in found if one.key == "04.control_path")
    assert "not told from zero, so no share" in claim.evidence
    assert claim.verdict == claims.NOT_SHOWN and "smallest effect" in claim.evidence


# --- the figure ---


def test_the_figure_shows_the_perfect_predictor_and_names_every_method(known, analysed):
    tables, _ = analysed
    predicted = ranking.predictions(made_up(known, **SPREAD), known)
    runs = pd.DataFrame({"method": [*SPREAD], "tau": 0.5, "variance": [1.0, 2.0, 3.0, 4.0]})
    figure = plots.draw(known, predicted, tables, runs)
    methods, differences, *_, against = figure.axes
    heights = {line.get_ydata()[0] for line in methods.lines if len(set(line.get_ydata())) == 1}
    assert {known.ceiling.iloc[0], known.perfect.iloc[0]} <= heights
    assert "noise ceiling" not in " ".join(text.get_text() for text in methods.texts)
    names = [label.get_text() for label in methods.get_xticklabels()]
    assert names == [*SPREAD, PARAMETERS, LIVE_FLOPS]
    legend = [text.get_text() for text in against.get_legend().get_texts()]
    assert legend == [*SPREAD]
    assert len(differences.get_yticklabels()) == (tables["comparisons"].metric == "tau").sum()
    said = plots.caption(scales.get("smoke"), tables)
    assert said.count("over 85 distinct architectures") == 2


# --- what these architectures do not say ---


def test_the_first_classes_of_the_ranked_are_trained_alone():
    scale = scales.get("cifar")
    assert scale.alone >= 64
    ranked = scale.ranked_archs()
    assert ranked == sample(scale.space, scale.ranked) and len(set(ranked)) == scale.ranked
    trained = [scoring.train for scoring in limits.alones(scale)]
    classes = [scale.space.canonical(arch) for arch in ranked]
    first = [arch for n, arch in enumerate(classes) if arch not in classes[:n]][: scale.alone]
    assert [config.arch for config in trained] == first
    own = scale.training("SPOS", scale.seeds[0])
    for scoring, config in zip(limits.alones(scale), trained, strict=True):
        assert scoring.archs is None and scoring.images == scale.rank_images
        assert config.bn == "running" and config.epochs == scale.alone_epochs
        assert replace(config, arch=None, bn=own.bn, epochs=own.epochs, keep=own.keep) == own


def test_all_rankings_of_the_proxy_are_of_the_same_architectures(known):
    scores = made_up(known, **SPREAD)
    predicted = ranking.predictions(scores, known)
    few = known.drop_duplicates("function").iloc[:20]
    alone = pd.DataFrame({"code": few.function, "accuracy": few.accuracy})[::-1]  # in any order
    table = limits.proxy(alone, predicted, known).set_index("method")
    assert set(table.architectures) == {20} and table["mean"][limits.ALONE] == 1
    at = predicted["PA"].loc[few.code]
    wanted = np.mean([metrics.tau(at[seed], few.set_index("code").accuracy) for seed in at])
    assert table["mean"]["PA"] == pytest.approx(wanted)
    assert list(table.index) == [limits.ALONE, *SPREAD, PARAMETERS, LIVE_FLOPS]
    figure = limits.draw(table.reset_index())
    assert "20 architectures" in figure.axes[0].get_title(loc="left")
    said = limits.caption(scales.get("laptop"), table.reset_index())
    assert "trained alone for 10 epochs rank with tau 1.00" in said


def test_the_whole_space_in_two_protocols(known, monkeypatch):
    monkeypatch.setattr(metrics, "bootstrap", lambda *a, **k: (0.0, 1.0))
    true = known.set_index("code").accuracy
    scores = made_up(known, seeds=1, SPOS=1.0)
    classes = scores[scores.code.isin(known.function)]
    table = limits.whole(classes, true, SPACE).set_index(["protocol", "metric"])
    seen = scores.set_index("code").accuracy
    assert set(table.architectures) == {85, 125}
    every = table.value["all architectures", "tau"]
    assert every == pytest.approx(metrics.tau(seen[true.index], true))
    own = classes.set_index("code").accuracy
    assert table.value["classes", "tau"] == pytest.approx(metrics.tau(own, true[own.index]))
    _, found = ranking.analyse(made_up(known, **SPREAD), known, table.reset_index())
    assert f"All 125 architectures, one seed: SPOS {every:.3f}" in found[0].evidence


# --- tau against variance ---

BOTH = pd.DataFrame(
    {
        "method": np.repeat(list("abcdef"), 3),
        "seed": [0, 1, 2] * 6,
        "variance": np.random.default_rng(0).normal(size=18).round(1),
        "snr": np.random.default_rng(1).normal(size=18),
        "tau": np.random.default_rng(2).normal(size=18).round(1),
        "exposure": np.repeat([0.4, 0.4, 0.7, 0.6, 0.7, 0.5], 3),
    }
)


def test_rho_of_counted_rows_is_that_of_the_repeated_ones():
    counts = np.random.default_rng(0).integers(4, size=(50, len(BOTH)))
    x, y, z = (BOTH[name].to_numpy() for name in ("variance", "tau", "exposure"))
    plain, held = relation.rhos(counts.astype(float), x, y), relation.rhos(counts * 1.0, x, y, z)
    for row, at in enumerate(counts):
        again = [np.repeat(vector, at) for vector in (x, y, z)]
        assert plain[row] == pytest.approx(metrics.spearman(*again[:2]), abs=1e-9)
        assert held[row] == pytest.approx(metrics.partial_spearman(*again), abs=1e-9)
    everywhere = np.ones_like(x)  # every option has weights: nothing to hold fixed
    assert np.allclose(relation.rhos(counts * 1.0, x, y, everywhere), plain)
    alone = np.eye(len(BOTH))[:1] * 3
    assert np.isnan(relation.rhos(alone, x, y)).all()


def test_the_interval_does_not_move_with_the_seed_of_the_bootstrap():
    vectors = [BOTH[name].to_numpy() for name in ("variance", "tau", "exposure")]
    units = pd.factorize(BOTH.method)[0]
    ends = np.array([relation.bootstrap(vectors, units, seed=seed) for seed in range(4)])
    assert np.ptp(ends, axis=0).max() < 0.01


def test_methods_are_drawn_whole():
    """Six methods of three runs each are six things, not eighteen."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 6))
    tripled = [np.repeat(x, 3), np.repeat(y, 3)]
    ends = relation.bootstrap(tripled, np.repeat(np.arange(6), 3), draws=20_000)
    single = relation.bootstrap([x, y], np.arange(6), draws=20_000)
    assert ends == pytest.approx(single, abs=0.03)


def test_variance_and_signal_to_noise_are_judged_each():
    related, found = relation.analyse(BOTH, draws=2000)
    assert related.groupby("measure", sort=False).size().to_dict() == {"variance": 3, "snr": 3}
    assert related.over.tolist() == ["methods", "methods", "runs"] * 2
    assert related.n.tolist() == [6, 6, 18] * 2
    assert [claim.key for claim in found] == ["04.variance", "04.snr"]
    rows = related.set_index(["measure", "how"])
    for claim, measure in zip(found, ("variance", "snr"), strict=True):
        row = rows.loc[(measure, relation.FIXED)]
        assert claim.effect == row.rho and claim.intervals[0].over == "methods"
        assert claim.evidence.count("over 6 methods") == 2 and "over 18 runs" in claim.evidence


def test_lower_variance_that_ranks_better_is_shown_and_the_other_way_is_opposite():
    rng = np.random.default_rng(0)
    falls = BOTH.assign(variance=-BOTH.tau + 0.01 * rng.normal(size=18), snr=-BOTH.tau)
    _, (variance, snr) = relation.analyse(falls, draws=2000)
    assert (variance.verdict, snr.verdict) == (claims.SHOWN, claims.OPPOSITE)


def test_runs_join_the_end_of_training_by_path():
    variance = pd.DataFrame(
        {
            "method": ["a", "a", "a", "a"], "seed": 0, "epoch": [1, 2, 2, 2],
            "part": ["all", "all", "fixed", "all"], "weights": ["raw", "raw", "raw", "importance"],
            "group": 5, "total": [1.0, 10.0, 3.0, 4.0], "signal_to_noise": [1.0, 2.0, 3.0, 4.0],
        }
    )  # fmt: skip
    taus = pd.DataFrame({"method": "a", "seed": 0, "metric": ["tau", "p_at_5"], "value": [0.5, 9]})
    (row,) = relation.runs(variance, taus, pd.Series({("a", 0): 0.4})).itertuples()
    assert (row.variance, row.snr, row.tau, row.exposure) == (2.0, 0.4, 0.5, 0.4)


def test_runs_of_weighted_steps_are_left_out_for_what_they_take_is_not_measured():
    ends = {"epoch": 2, "part": "all", "weights": "raw", "group": 1, "signal_to_noise": 1.0}
    rows = pd.DataFrame({"method": ["PA&DA", "PA&DA weighted"], "seed": 0, "total": [1.0, 2.0]})
    taus = rows[["method", "seed"]].assign(metric="tau", value=0.5)
    exposure = pd.Series({("PA&DA", 0): 0.4, ("PA&DA weighted", 0): 0.4})
    assert relation.runs(rows.assign(**ends), taus, exposure).method.tolist() == ["PA&DA"]
