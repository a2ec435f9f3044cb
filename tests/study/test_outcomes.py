"""Outcomes by run, and what is linear in them, on small cases with known answers."""

import math

import numpy as np
import pandas as pd
import pytest

from padalib import spaces
from padalib.ranking import metrics, pairs, report
from padalib.ranking.pairs import Estimate
from padalib.ranking.report import Ranked
from padalib.study import claims, effects, outcomes

SPACE = spaces.get("mini")
CODES = tuple(SPACE.code(arch) for arch in SPACE)
RANKED = Ranked(SPACE, CODES, np.random.default_rng(0).permutation(len(CODES)) / 2.0)


def scores(seed=0, spread=10.0):
    rng = np.random.default_rng(seed)
    seen = RANKED.true + spread * rng.normal(size=len(CODES))
    return pd.DataFrame({"code": CODES, "accuracy": seen, "loss": -seen + rng.normal(size=125)})


def estimates(*values, influence=0.0):
    return [Estimate(value, np.full(len(CODES), influence)) for value in values]


def test_outcomes_of_a_run_are_those_of_the_library():
    table = pd.concat(
        scores(seed).assign(method=method, seed=seed) for method in "ab" for seed in (0, 1)
    )
    shuffled = table.sample(frac=1, random_state=0)
    found = outcomes.by_run(shuffled, RANKED, ("method",))
    assert len(found) == 2 * 2 * 2 * len(outcomes.NAMES)
    rows = found.set_index(["method", "seed", "by", "outcome"]).value
    own = scores(1)
    for by, pred in (("accuracy", own.accuracy.to_numpy()), ("loss", -own.loss.to_numpy())):
        wanted = {
            "tau": metrics.tau(pred, RANKED.true),
            "within_flops": report.within_flops(pred, RANKED).value,
        }
        for name, value in wanted.items():
            assert rows["a", 1, by, name] == rows["b", 1, by, name] == pytest.approx(value)
    with pytest.raises(ValueError, match=f"lack architecture {CODES[0]}"):
        outcomes.by_run(table[table.code != CODES[0]], RANKED, ("method",))


def test_means_of_levels_by_hand(monkeypatch):
    monkeypatch.setattr(outcomes, "LEAST_OF_MEANS", 2)
    level = np.array([1, 1, 2, 2, 3, 3, 9])
    true = np.array([1.0, 3.0, 2.0, 4.0, 5.0, 5.0, 0.0])  # means 2, 3, 5; the last level is small
    pred = np.array([0.0, 0.0, 5.0, 5.0, 2.0, 4.0, 9.0])  # means 0, 5, 3
    found = outcomes.tau_of_means(pred, true, level)
    assert found.value == pytest.approx(1 / 3) and np.isnan(found.influence).all()
    assert math.isnan(outcomes.tau_of_means(pred, true, np.zeros(7)).value)


def test_a_slope_is_least_squares_and_its_influence_is_that_of_the_sum():
    x = [2.0, 3.0, 5.0]
    own = [pairs.tau(scores(seed).accuracy.to_numpy(), RANKED.true) for seed in range(3)]
    found = outcomes.slope(x, own)
    assert found.value == pytest.approx(np.polyfit(x, [e.value for e in own], 1)[0])
    weights = np.polyfit(x, np.stack([e.influence for e in own]), 1)[0]
    assert found.influence == pytest.approx(weights)
    gap = outcomes.combine((1, -1), own[:2])
    assert gap.value == own[0].value - own[1].value


def test_a_mean_has_students_interval_and_one_over_architectures():
    row = outcomes.mean(estimates(0.1, 0.2, 0.3, influence=0.01), RANKED)
    assert row["difference"] == pytest.approx(0.2) and row["seeds"] == 3
    half = 4.302652729696142 * 0.1 / 3**0.5
    assert row["seeds_high"] - row["difference"] == pytest.approx(half)
    sizes = np.bincount(RANKED.clusters)
    error = 0.01 * np.sqrt(np.square(sizes).sum())
    assert row["difference"] - row["archs_low"] == pytest.approx(1.96 * error, rel=1e-4)
    assert row["functions"] == 85
    assert outcomes.mean(estimates(0.1), RANKED)["p"] == 1.0


def test_judged_rows_are_corrected_and_need_both_intervals():
    strong = outcomes.mean(estimates(0.50, 0.51, 0.52, influence=1e-4), RANKED)
    rough = outcomes.mean(estimates(0.50, 0.51, 0.52, influence=1.0), RANKED)
    none = outcomes.mean(estimates(0.001, -0.001, 0.0, influence=1e-6), RANKED)
    lost = strong | {"difference": math.nan}
    table = outcomes.judged([strong, rough, none, lost], bound=0.03, wanted=-1)
    wanted = [claims.OPPOSITE, claims.NOT_SHOWN, claims.EQUIVALENT, claims.UNMEASURABLE]
    assert table.verdict.tolist() == wanted and set(table.tests) == {3}
    assert table.holm[:3].tolist() == pytest.approx(claims.holm(table.p[:3].tolist()))
    assert table.loc[3, ["p", "holm", "visible"]].isna().all()
    assert outcomes.claim("k", "s", table.loc[3], "said", wanted=1).intervals == ()
    row = next(table.itertuples())
    claim = outcomes.claim("00.x", "It is so", row, "said", wanted=-1, unit="tau")
    assert claim.verdict == row.verdict and claim.visible == pytest.approx(row.visible)
    over = [interval.over for interval in claim.intervals]
    assert over == ["seeds", "distinct architectures", "seeds and these"]
    assert outcomes.judged([], 0.03, 1).empty


def test_an_outcome_without_influence_is_judged_over_seeds_alone():
    row = outcomes.mean(estimates(0.4, 0.5, 0.6, influence=math.nan), RANKED)
    (own,) = outcomes.judged([row], 0.03, 1).itertuples()
    assert [interval.over for interval in outcomes.intervals(own)] == ["seeds"]
    assert own.verdict == claims.SHOWN


def test_cards_say_agreement_and_limit_for_each_cell():
    table = pd.concat(scores(seed).assign(method="a", epoch=5, seed=seed) for seed in range(3))
    keys = ("method", "epoch")
    found = outcomes.by_run(table, RANKED, keys)
    rows = outcomes.cards(found, table, RANKED, keys).set_index(["by", "measure"])
    wide = np.stack([scores(seed).accuracy for seed in range(3)])
    agreed = np.mean([metrics.tau(wide[a], wide[b]) for a, b in ((0, 1), (0, 2), (1, 2))])
    assert rows.value["accuracy", "between_seeds"] == pytest.approx(agreed)
    taus = [metrics.tau(one, RANKED.true) for one in wide]
    assert rows.value["accuracy", "tau"] == pytest.approx(np.mean(taus))
    assert rows.value["accuracy", "limit"] > np.mean(taus)
    assert set(rows.seeds) == {3} and set(rows.epoch) == {5}
    known = rows[["low", "high"]].notna().all(axis=1)
    assert known.all() and (rows.low <= rows.value).all() and (rows.high >= rows.value).all()


def test_what_needs_no_training_has_the_same_outcomes():
    rows = outcomes.free(RANKED).set_index(["name", "measure"]).value
    flops, params = report.CONTROLS
    assert rows[flops, "tau"] == rows[flops, "with_flops"]
    assert rows[flops, "tau"] == pytest.approx(metrics.tau(RANKED.flops, RANKED.true))
    assert (flops, "within_flops") not in rows  # equal in what they are equal in
    assert rows[params, "tau"] == pytest.approx(metrics.tau(RANKED.params, RANKED.true))


def test_what_could_have_been_seen_by_hand():
    """Of two rows with an error over 5 seeds, half the interval is 2.776 errors: .028 and .278."""
    rows = [
        outcomes.row(0.0, effects.Doubt(error, 4), 5, effects.UNKNOWN, 9) for error in (0.01, 0.1)
    ]
    said = outcomes.seen(outcomes.judged(rows, 0.03, wanted=1), " points")
    # Holm's first step of two: (3.4954 + .9410) errors, Student's with 4 degrees.
    assert said == (
        "Smallest difference that could have been shown 0.0444 points to 0.444 points; "
        "1 of 2 could have been found equivalent"
    )


def test_counts_that_order_alike_are_asked_once_and_a_space_is_a_family():
    """Of `conv64` FLOPs and parameters are one order; what others say changes no p of a space."""
    space = spaces.get("conv64")
    codes = tuple(space.code(arch) for arch in space)
    known = Ranked(space, codes, np.random.default_rng(0).permutation(64) / 1.0)
    pred = known.true + np.random.default_rng(1).normal(size=64)
    runs = {("SPOS", seed): pairs.tau(pred + seed / 9, known.true) for seed in (0, 1)}
    rows = outcomes.against_free(runs, known, ["SPOS", "PA"], space="conv64")
    assert [(row["a"], row["b"]) for row in rows] == [("SPOS", "FLOPs of live options")]
    own = {("SPOS", 0): pairs.tau(RANKED.true, RANKED.true)}
    both = outcomes.against_free(own, RANKED, ["SPOS"])
    assert [row["b"] for row in both] == ["FLOPs of live options", "parameters"]
    each = [
        {"space": name} | outcomes.mean(estimates(value, value + 0.1, influence=1e-3), RANKED)
        for name, value in (("x", 0.2), ("x", 0.1), ("y", 0.3))
    ]
    table = outcomes.judged_apart(each, 0.03, 1, by="space").set_index("space")
    assert table.tests.to_dict() == {"x": 2, "y": 1} and len(table) == 3
    assert table.holm["y"] == table.p["y"]
    assert table.holm["x"].tolist() == pytest.approx(claims.holm(table.p["x"].tolist()))
