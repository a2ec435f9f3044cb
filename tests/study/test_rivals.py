"""The comparison of rivals, on made-up scores and tables with known answers."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_scores import known, scores
from scipy import stats

from padalib import data, samplers, spaces
from padalib.engine.identity import key
from padalib.ranking import pairs, report
from padalib.ranking.gradient_split import planned
from padalib.samplers import Accumulate, Shuffled
from padalib.study import claims, controls, effects, outcomes, rivals, scales, training
from padalib.study.rivals import Read, forest, plots, supernets, verdicts, why
from padalib.study.rivals import costs as rivals_costs
from padalib.study.rivals import pairs as rivals_pairs
from padalib.study.rivals import table as rivals_table
from padalib.study.rivals.costs import EQUAL_STEPS
from padalib.study.scales import rivals as rival_scales
from padalib.study.scales.rivals import (
    METHODS,
    OURS,
    PUBLISHED,
    RIVALS,
    SEVERAL,
    SINGLE,
    SPOS_ITSELF,
)

MINI, CHAIN = spaces.get("mini"), spaces.get("chain-mini")
SMOKE = scales.get("smoke")
SEEDS = range(6)
ROOT = Path(__file__).resolve().parents[2]


def curves(names, seeds=SEEDS):
    """Two epochs a run: half the steps, and no p, for those of several paths."""
    rows = []
    for method in names:
        for seed in seeds:
            for epoch in (1, 2):
                few = method in ("FairNAS", "SUMNAS")
                row = {"method": method, "seed": seed, "epoch": epoch, "loss": 2.0 - 0.1 * seed}
                row |= {"images": 640, "steps": 5 if few else 10}
                logged = method in ("SPOS", "PA", "PA&DA", "DA", "curriculum", "size-curriculum")
                row |= {f"p_{op}": 0.2 if logged else np.nan for op in MINI.ops}
                rows.append(row)
    return pd.DataFrame(rows)


def of_several(table):
    """`table` with the supernet that scored: one for each option of the first edge."""
    several = table.method.isin(SEVERAL)
    return table.assign(part=("part " + table.code.str[0]).where(several))


def parts(seeds=SEEDS):
    """Trainings of each seed: one common, two that score; and the split of GM-NAS."""
    rows = [
        {"method": name, "seed": seed, "training": training, "owns": owns, "images": images,
         "steps": steps, "flops": flops}
        for name in SEVERAL for seed in seeds
        for training, owns, images, steps, flops in (
            ("all", False, 256, 4, 10.0), ("a", True, 512, 8, 20.0), ("b", True, 512, 8, 40.0),
            *([("split", False, 64, 0, 10.0)] if name == "GM-NAS" else ()),
        )
    ]  # fmt: skip
    return pd.DataFrame(rows)


NOISE = dict.fromkeys(METHODS, 1.0) | {"PA&DA": 0.05, "PA": 0.05, "sandwich": 0.05}
CHAIN_NOISE = {"SPOS": 1.0, "PA": 0.1, "PA&DA": 0.1, "size-curriculum": 0.1}


def read(noise=NOISE, chain=CHAIN_NOISE):
    mini, other = known(MINI), known(CHAIN, 1)
    steps = curves([EQUAL_STEPS], (0, 1)).assign(images=6400, steps=50)
    names = [name for name in noise if name in SINGLE]
    cost = pd.DataFrame({"method": METHODS, "ratio": 1.0, "ratio_low": 0.9, "ratio_high": 1.1})
    cost.loc[cost.method == "NSAS", "ratio"] = 1.2
    memory = pd.DataFrame({"method": METHODS, "weights": 10, "kept": 20, "peak": 100})
    memory.loc[memory.method == "SUMNAS", "peak"] = 130
    own = of_several(scores(mini, noise, SEEDS))
    more = scores(mini, {EQUAL_STEPS: 0.5}, (0, 1))
    return Read(
        {
            "mini": (pd.concat([own, more]), mini),
            "chain-mini": (scores(other, chain, SEEDS), other),
        },
        pd.concat([curves(names), steps]),
        cost,
        memory,
        parts(),
    )


@pytest.fixture(scope="module")
def few():
    """Fewer draws: what is asked here does not need their number."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "STEPS", 200)
        patch.setattr(report, "DRAWS", 20)
        patch.setattr(why, "DRAWS", 400)
        patch.setattr(why.related, "__defaults__", (400,))
        yield


@pytest.fixture(scope="module")
def planted(few):
    """PA&DA, PA and the sandwich rank well, all others alike and worse."""
    return rivals.analyse(read(), SMOKE)


def by_key(tables):
    return {claim.key: claim for claim in verdicts.conclude(tables, "mini")}


def compared(noise):
    """The claims about rivals in one space, by key."""
    own = known(MINI)
    table = scores(own, noise, SEEDS)
    rows = rivals.against_rivals(
        {"mini": controls.measure(table, own)}, {"mini": (table, own)}, list(controls.OUTCOMES)
    )
    found = [*verdicts.together(rows, "mini"), *verdicts.each(rows, "mini")]
    return {claim.key: claim for claim in found}


# --- PA&DA beside each, and beside all ---


def test_what_it_is_made_of_stands_beside_the_rivals_and_in_a_family_of_its_own(planted):
    rows = planted["made_of"]
    assert rows.groupby("space").b.agg(set).to_dict() == {
        "mini": {"SPOS", "PA", "DA"}, "chain-mini": {"SPOS", "PA"},
    }  # fmt: skip
    for _, own in rows.groupby("space"):
        assert own.measure.nunique() == 6 and set(own.tests) == {len(own)}
        assert own.holm.tolist() == pytest.approx(claims.holm(own.p.tolist()))
    found = by_key(planted)
    assert found["12.made_of.spos.tau_loss.chain-mini"].verdict == claims.SHOWN
    assert found["12.made_of.pa.tau_loss.chain-mini"].verdict == claims.EQUIVALENT
    asked = [key for key in found if key.startswith("12.made_of.")]
    assert len(asked) == 12 and all(key.endswith(".chain-mini") for key in asked)
    assert "asked after a look" in found[asked[0]].statement
    drawn = forest.lines(planted)
    assert {"SPOS †", "PA †", "DA †", "sandwich"} <= set(drawn.b[drawn.space == "mini"])
    assert set(drawn.measure) == set(controls.OUTCOMES)


def test_one_rival_that_is_as_good_is_enough_that_it_does_not_surpass_the_others(planted):
    found = by_key(planted)
    for measure in controls.OUTCOMES:
        assert found[f"12.each.fairnas.{measure}"].verdict == claims.SHOWN
        assert found[f"12.each.sandwich.{measure}"].verdict == claims.EQUIVALENT
        whole = found[f"12.surpasses.{measure}"]
        assert whole.verdict == claims.NOT_SHOWN and whole.bound == controls.BOUND
        assert abs(whole.effect) < 0.02 and "equivalent beside sandwich" in whole.evidence
        assert np.isfinite(whole.visible) and len(whole.intervals) == 3  # what keeps it from that
        assert found[f"12.controls.{measure}"].verdict == claims.SHOWN


def test_what_is_better_than_every_rival_surpasses_them():
    found = compared(NOISE | {"sandwich": 1.0})
    for measure in controls.OUTCOMES:
        whole = found[f"12.surpasses.{measure}"]
        assert whole.verdict == claims.SHOWN and np.isnan(whole.p)  # no correction is needed
        assert len(whole.intervals) == 3 * len(PUBLISHED)
        rows = [found[f"12.each.{claims.slug(r)}.{measure}"] for r in PUBLISHED]
        assert whole.effect == pytest.approx(min(row.effect for row in rows))


def test_one_rival_that_is_better_refutes_it():
    whole = compared(NOISE | {"PA&DA": 1.0, "DYNAS": 3.0})["12.surpasses.tau_loss"]
    assert whole.verdict == claims.OPPOSITE and whole.effect < -0.1
    assert f"{OURS} − sandwich" in whole.evidence and "shown beside DYNAS" in whole.evidence
    assert len(whole.intervals) == 3 and whole.p <= 0.05  # the sandwich's, which decide


def against(*p_values, signs=None, space="mini"):
    """Rows of contrasts as `rivals` has them, each with its p over seeds alone, none else known."""
    rows = []
    for k, p in enumerate(p_values):
        sign = signs[k] if signs else 1
        over = effects.Doubt(0.1 / stats.t.isf(p / 2, 4), 4)
        row = outcomes.row(0.1 * sign, over, 5, effects.UNKNOWN, 50)
        row |= {"measure": "tau_loss", "a": OURS, "b": PUBLISHED[k], "space": space}
        rows.append(row | {"fifths": False})
    return rivals.judged([pd.DataFrame(rows)])


def surpasses(rows):
    return next(verdicts.together(rows, "mini"))


def test_better_than_every_one_needs_no_correction_and_a_refutation_does():
    """By hand: p .04 each; Holm of three is .12, so no pair is told and all at once are."""
    rows = against(0.04, 0.04, 0.04)
    assert rows.holm.tolist() == pytest.approx([0.12] * 3)
    assert set(rows.verdict) == {claims.NOT_SHOWN}
    whole = surpasses(rows)
    assert whole.verdict == claims.SHOWN and "largest p is 0.04" in whole.evidence
    lacks = surpasses(against(0.04, 0.06, 0.01))
    assert lacks.verdict == claims.NOT_SHOWN and [i.n for i in lacks.intervals] == [5]
    # One rival better with p .02 is one of three: .06. With p .01 it is .03.
    open_ = surpasses(against(0.02, 0.02, 0.02, signs=(1, 1, -1)))
    assert claims.told(open_) == claims.CORRECTED and open_.p == pytest.approx(0.06)
    refuted = surpasses(against(0.02, 0.02, 0.01, signs=(1, 1, -1)))
    assert refuted.verdict == claims.OPPOSITE and refuted.effect == pytest.approx(-0.1)
    # A row has one verdict: corrected with all rows of its panel, also those of no published rival.
    rows = against(0.02, 0.3, 0.3, signs=(-1, 1, 1)).replace({PUBLISHED[1]: "balanced"})
    (whole, control), refutes = verdicts.together(rows, "mini"), rows.verdict[0]
    assert refutes == whole.verdict == control.verdict == claims.NOT_SHOWN
    elsewhere = pd.concat([against(0.04, 0.04), against(0.9, space="chain-mini")])
    assert surpasses(elsewhere).verdict == claims.SHOWN  # its p is no other space's


def test_holm_is_over_the_rivals_by_each_outcome_in_each_space(planted):
    rows = planted["contrasts"]
    assert len(rows) == 2 * len(RIVALS) + 2 * 1  # of the chain's, one is a rival
    for (space, _), own in rows.groupby(["space", "measure"]):
        assert own.holm.tolist() == pytest.approx(claims.holm(own.p.tolist()))
        assert set(own.tests) == {len(RIVALS) if space == "mini" else 1}
    found = by_key(planted)
    assert found["12.controls.tau_loss.chain-mini"].statement.endswith("(`chain-mini`)")
    assert "12.surpasses.tau_loss.chain-mini" not in found  # no published rival was trained there
    within = found["12.each.size-curriculum.within_flops.chain-mini"]
    assert "fifths of FLOPs" in within.statement


def test_what_has_more_images_is_in_no_comparison(planted):
    for name in ("contrasts", "differences", "more"):
        assert EQUAL_STEPS not in {*planted[name].a, *planted[name].b}
    assert EQUAL_STEPS not in set(planted["ranks"].method)
    assert EQUAL_STEPS not in set(planted["runs_explained"].method)
    assert EQUAL_STEPS in set(planted["cards"].method) & set(planted["costs"].method)


# --- critical differences ---


def test_groups_by_hand():
    def apart(*pairs):
        return {frozenset(pair) for pair in pairs}

    assert rivals_pairs.groups("abcd", apart()) == [(0, 3)]
    assert rivals_pairs.groups("abcd", apart("ad")) == [(0, 2), (1, 3)]
    assert rivals_pairs.groups("abcd", apart("ab", "bc", "cd", "ac", "bd", "ad")) == []
    # b and c are told apart, though a and d are not: no group holds both.
    assert rivals_pairs.groups("abcd", apart("bc")) == [(0, 1), (2, 3)]
    assert rivals_pairs.groups("abc", apart("ab", "ac")) == [(1, 2)]


def estimates(runs):
    """As `controls.measure` has them, from (method, seed) -> value; no doubt over architectures."""
    found = {key: pairs.Estimate(value, np.zeros(125)) for key, value in runs.items()}
    return {name: dict(found) for name in controls.OUTCOMES}


def test_of_all_pairs_the_better_one_comes_first():
    runs = {"PA": (1.0, 2.0), "sbs": (3.0, 6.0), "DYNAS": (2.0, 4.0)}
    measured = estimates({(m, s): v for m, own in runs.items() for s, v in enumerate(own)})
    first, _ = rivals_pairs.each_pair(measured, known(MINI))
    rows = first.set_index(["a", "b"])
    assert list(rows.index) == [("sbs", "DYNAS"), ("sbs", "PA"), ("DYNAS", "PA")]
    assert rows.difference.tolist() == pytest.approx([1.5, 3.0, 1.5])


def test_what_is_near_the_best_has_more_seeds():
    """By hand: the best has .60; .56 is within .05 of it, .54 is not; and PA&DA in any case."""
    first = {"PA": 0.60, "sbs": 0.56, "DYNAS": 0.54, OURS: 0.2, "GM-NAS": 0.57}
    measured = estimates({(m, s): v for m, v in first.items() for s in (5, 6)})
    # What later seeds say does not change who had them.
    measured["tau_loss"] |= {("DYNAS", 7): pairs.Estimate(0.9, np.zeros(125))}
    assert rivals.near(measured, (5, 6)) == ["PA", OURS, "sbs", "GM-NAS"]
    scale = replace(SMOKE, seeds=(5, 6), near_seeds=(7,))
    table = rivals.nearest(measured, scale).set_index("method")
    assert table.near.to_dict() == {m: m != "DYNAS" for m in first}
    assert table.seeds["DYNAS"] == 3 and table.tau_loss["DYNAS"] == pytest.approx(0.54)
    asked = rivals.more(scale, ["PA", "GM-NAS"])
    assert list(asked.values()) == ["PA", "GM-NAS"]
    assert {config.train.seed for config in asked} == {7}
    own = scales.get("rivals")
    assert {*own.seeds, *own.near_seeds} < {*scales.get("controls").seeds}
    assert not {*own.seeds} & {*own.near_seeds}


def test_every_pair_is_tested_once_and_groups_follow(planted):
    rows, ranks = planted["differences"], planted["ranks"]
    n = len(METHODS)
    assert len(rows) == n * (n - 1) and set(rows.tests) == {n * (n - 1) / 2}  # two outcomes
    assert rows.seeds_freedom.between(len(SEEDS) - 1, 2 * (len(SEEDS) - 1)).all()  # Welch's
    for measure in controls.OUTCOMES:
        own = ranks[ranks.measure == measure].set_index("method")
        assert set(own.index[:3]) == {"PA&DA", "PA", "sandwich"}
        assert own["mean"].is_monotonic_decreasing
        assert own["groups"].iloc[:3].str.startswith("1").all()
        if measure == "tau_loss":  # by the other, few architectures say less
            assert "1" not in own["groups"].iloc[3]
        assert own["rank"].sum() == pytest.approx(n * (n + 1) / 2)


def test_where_nothing_differs_but_how_far_seeds_lie_apart_no_pair_is_told_apart():
    """A quiet method beside noisy ones: one error for all would tell noise from noise."""
    rng = np.random.default_rng(0)
    spread = {"PA": 0.002, "sbs": 0.02, "SPOS": 0.1, "CLOSE": 0.1}
    found = []
    for _ in range(400):
        runs = {(m, k): rng.normal(0.4, sd) for m, sd in spread.items() for k in range(3)}
        rows = rivals_pairs.each_pair(estimates(runs), known(MINI))[0]
        found.append((claims.holm(rows.p.tolist()), rows.p.tolist()))
    together, alone = (np.array(each) for each in zip(*found, strict=True))
    assert (together.min(axis=1) <= 0.05).mean() <= 0.07  # of 400: chance alone reaches .07
    assert (alone <= 0.05).mean(axis=0).max() <= 0.08


def test_a_difference_is_of_the_means_of_all_seeds_with_welchs_interval():
    values = {"PA": [0.5, 0.6, 0.7, 0.8], "SPOS": [0.1, 0.3]}
    measured = estimates({(m, k): v for m, own in values.items() for k, v in enumerate(own)})
    (row,) = rivals_pairs.each_pair(measured, known(MINI))[0].itertuples()
    twin = stats.ttest_ind(values["PA"], values["SPOS"], equal_var=False)
    assert (row.a, row.b, row.seeds) == ("PA", "SPOS", 2)
    assert row.difference == pytest.approx(0.45) and row.p == pytest.approx(twin.pvalue)
    ends = row.seeds_low, row.seeds_high
    assert ends == pytest.approx(tuple(twin.confidence_interval()))


# --- report cards ---


def test_cards_have_every_method_and_what_needs_no_training(planted):
    cards = planted["cards"]
    for space in ("mini", "chain-mini"):
        own = set(cards.method[cards.space == space])
        assert {"FLOPs of live options", "parameters", "PA&DA"} <= own
    own = cards.query("space == 'mini'").set_index(["method", "measure"])
    for name in (*METHODS, "FLOPs of live options"):
        assert np.isfinite(own.loc[(name, "with_flops"), ["low", "high"]].astype(float)).all()
    assert ("PA&DA", "within_flops") in own.index


def test_a_row_without_an_interval_is_an_error():
    own = known(MINI)
    table = scores(own, {"PA&DA": 0.1, "NSAS": 0.2}, (0,))
    rows = rivals.against_rivals(
        {"mini": controls.measure(table, own)}, {"mini": (table, own)}, ["tau"]
    )
    with pytest.raises(ValueError, match=r"of PA&DA - NSAS in mini has the value .* two seeds"):
        rivals.complete(rows, "contrasts")
    cards = pd.DataFrame(
        {"method": ["NSAS"], "space": ["mini"], "measure": ["tau"], "value": [0.5], "low": [0.4]}
    )
    rivals.complete(cards.assign(seeds=2), "cards")
    with pytest.raises(ValueError, match=r"cards: tau of NSAS in mini has the value 0\.500"):
        rivals.complete(cards.assign(seeds=1), "cards")
    rivals.complete(cards.assign(seeds=1, method="parameters"), "cards")  # it has no seeds


# --- cost ---


def test_cost_is_counted_in_spos(planted):
    costs = planted["costs"].set_index("method")
    assert costs.steps["SUMNAS"] == 10 and costs.steps["SPOS"] == 20
    assert costs.images[EQUAL_STEPS] == 10 * costs.images["SPOS"]
    assert costs.time["NSAS"] == pytest.approx(1.2)
    assert costs.time[EQUAL_STEPS] == pytest.approx(10 * costs.time["SUMNAS"])
    assert costs.peak[EQUAL_STEPS] == costs.peak["SUMNAS"] == pytest.approx(1.3)
    assert costs.flops["PA"] == pytest.approx(1)  # the made-up p are uniform
    assert costs.flops[EQUAL_STEPS] == pytest.approx(10 * costs.flops["SUMNAS"])
    assert costs.flops["sandwich"] != pytest.approx(1, abs=0.02)
    card = planted["cards"].query("space == 'mini' and measure == 'tau_loss'").set_index("method")
    assert costs.tau_loss.to_dict() == pytest.approx(card.value[costs.index].to_dict())
    assert (costs.tau_loss_low < costs.tau_loss).all()


def test_the_front_by_hand():
    # (1, .5) and (3, .7) stand; (2, .4) is beaten by the first, (3, .6) by the second.
    assert rivals_costs.front([1, 2, 3, 3], [0.5, 0.4, 0.7, 0.6]) == [True, False, True, False]
    assert rivals_costs.front([1, 1], [0.5, 0.5]) == [True, True]  # equal ones beat nobody


def test_the_cost_of_several_supernets_is_that_of_all_their_trainings(planted):
    costs = planted["costs"].set_index("method")
    few, gm = costs.loc["few-shot NAS"], costs.loc["GM-NAS"]
    assert (few.images, few.steps) == (costs.images["SPOS"], 20) and gm.images == few.images + 64
    uniform = np.mean([MINI.flops(arch) for arch in MINI]) * few.images
    paid = 256 * 10 + 512 * 20 + 512 * 40
    assert few.flops == pytest.approx(paid / uniform)
    assert gm.flops == pytest.approx((paid + 640) / uniform)
    assert gm.time == pytest.approx(gm.images / few.images) and few.time == pytest.approx(1)
    assert few.kept == pytest.approx((20 + 10) / 20)  # one other supernet's weights
    assert few.peak == pytest.approx(1)


# --- are scores of several supernets comparable? ---


def shifted(table, by):
    """Scores of several supernets, those of the second part too high by so much."""
    wrong = table.method.isin(SEVERAL) & (table.part == "part 1")
    return table.assign(loss=table.loss - by * wrong, accuracy=table.accuracy + by * wrong)


def test_a_supernet_on_a_level_of_its_own_is_seen_beside_one_supernet():
    own = known(MINI)
    noise = {"SPOS": 0.05, "sbs": 0.05, "few-shot NAS": 0.05, "EFS-NAS": 0.05}
    level = of_several(scores(own, noise, SEEDS))
    for table, verdict in ((level, claims.EQUIVALENT), (shifted(level, 5.0), claims.SHOWN)):
        rows = supernets.comparable(table, own, controls.BOUND)
        assert list(rows.method) == ["few-shot NAS", "EFS-NAS"]
        assert list(rows.control) == ["SPOS", "sbs"] and set(rows.tests) == {2}
        assert list(rows.verdict) == [verdict] * 2
        for claim in verdicts.comparable(rows):
            assert claim.verdict == verdict and "of one; s" in claim.evidence.lower()
    row = rows.iloc[0]
    assert row.difference == pytest.approx(
        (row.across - row.within) - (row.control_across - row.control_within)
    )
    by_hand, first = [], np.array([code[0] for code in own.codes])
    for _, run in shifted(level, 5.0).query("method == 'few-shot NAS'").groupby("seed"):
        by_hand.append(pairs.tau_between(-run.loss.to_numpy(), own.true, first).value)
    assert row.across == pytest.approx(np.mean(by_hand))


def test_pairs_that_are_hard_for_anybody_are_no_fault_of_several_supernets():
    own = known(MINI)
    first = np.array([code[0] for code in own.codes]) == "1"
    table = of_several(scores(own, {"SPOS": 0.05, "GM-NAS": 0.05}, SEEDS))
    hard = table.code.isin(np.array(own.codes)[first])  # both methods like the second part too much
    table = table.assign(loss=table.loss - 5.0 * hard)
    (row,) = supernets.comparable(table, own, controls.BOUND).itertuples()
    assert row.across - row.within < -0.1 and row.verdict == claims.EQUIVALENT


def test_the_parts_of_each_seed_are_shown(planted):
    rows = planted["by_part"]
    assert len(rows) == len(SEVERAL) * len(SEEDS) * 5
    assert set(rows.architectures) == {25} and rows.tau.between(-1, 1).all()
    assert len(planted["comparable"]) == len(SEVERAL)
    assert "12.comparable.gm-nas" in by_key(planted)
    none = supernets.by_part(scores(known(MINI), {"SPOS": 1.0}, (0,)), known(MINI))
    assert none.empty and "tau_across" in none


def test_methods_of_several_supernets_have_the_images_of_the_others():
    scale = scales.get("rivals")
    for name in SEVERAL:
        config = supernets.scoring(scale, name, 5)
        assert config.archs == scale.ranked and config.splits == (scale.rank_split,)
        if name == "GM-NAS":
            assert config.levels == 2 and planned(config.train, 2) == (1, 1, 4)
            assert config.train.epochs == scale.epochs and config.split.train.epochs == 1
            assert config.most == 8 * 64 * (30 + 2 * 25) <= 45_000  # images of an epoch
        else:
            assert config.epochs == scale.epochs == 20
    found = rivals.scorings_of_several(SMOKE)
    assert list(found.values()) == [*SEVERAL] * len(SMOKE.seeds)
    assert [sum(c.epochs for c in own.trainings) for own, name in found.items()
            if name != "GM-NAS"] == [6, 3] * 2  # fmt: skip
    (chain,) = SMOKE.beside  # one level of complexity: EFS-NAS would be one supernet
    assert rivals.of_several(chain) == ("few-shot NAS", "GM-NAS")
    assert list(rivals.scorings_of_several(chain).values()) == ["few-shot NAS", "GM-NAS"] * 2
    names = [config.train.method.name for config in rivals.memories(SMOKE)]
    assert names == [*(name for name in SINGLE if name not in SMOKE.left_out), *SEVERAL]
    assert [config.train.method.name for config in rivals.timings(SMOKE)] == names


# --- other spaces ---


def test_what_is_left_out_elsewhere_is_spos_there():
    for name in ("macro12", "chain-mini"):
        space = spaces.get(name)
        archs = [space.sample(np_rng(k)) for k in range(20)]
        for method in SINGLE:
            paths = samplers.get(method).paths.build(space, 4)
            paths.new_epoch(3)
            plain = samplers.get(method)
            alike = paths.group == 1 and (plain.data.cls, plain.update.cls) == (
                Shuffled, Accumulate,
            )  # fmt: skip
            if method in SPOS_ITSELF:
                assert alike and [paths.weight(a) for a in archs] == pytest.approx([1.0] * 20)
    uneven = samplers.get("sbs").paths.build(MINI, 4)
    assert uneven.weight((3, 3, 3)) != pytest.approx(1)


def np_rng(seed):
    import torch

    return torch.Generator().manual_seed(seed)


# --- what explains tau ---


def explained(rows, draws=400):
    return why.related(pd.DataFrame(rows), draws).set_index(["measure", "outcome", "how"])


def test_what_differs_between_methods_alone_says_nothing_within_them():
    rng = np.random.default_rng(0)
    rows = [
        {"method": f"m{k}", "seed": s, "flops": float(k), "agreement": rng.normal(),
         "tau_loss": k + 0.1 * rng.normal(), "within_flops": rng.normal()}
        for k in range(8) for s in range(6)
    ]  # fmt: skip
    found = explained(rows)
    over = found.loc["flops", "tau_loss", why.OVER]
    assert over.rho > 0.9 and over.low > 0.8 and (over.over, over.n) == ("methods", 8)
    assert np.isnan(found.rho["flops", "tau_loss", why.WITHIN])
    assert found.n["flops", "tau_loss", why.WITHIN] == 0
    assert abs(found.rho["agreement", "within_flops", why.OVER]) < 0.4
    assert set(found.tests) == {6} and found.holm.isna().sum() == 2


@pytest.mark.parametrize("uneven", [False, True])
def test_runs_that_share_a_seed_are_not_taken_for_independent(uneven):
    """Nothing is linked, half of each variance is the seed's: one in twenty may be told."""
    rng, told, rounds = np.random.default_rng(3), 0, 80
    keys = pd.DataFrame({"method": np.repeat(np.arange(17), 5), "seed": np.tile(np.arange(5), 17)})
    for _ in range(rounds):
        scale = np.exp(rng.normal(size=17))[keys.method] if uneven else 1.0
        x, y = (scale * (rng.normal(size=5)[keys.seed] + rng.normal(size=85)) for _ in range(2))
        row = why.within(keys.assign(x=x, y=y), "x", "y", 150)
        told += row["p"] <= 0.05
        assert (row["p"] <= 0.05) == (row["low"] > 0 or row["high"] < 0)
    assert told / rounds < 0.125  # above it with one chance in a hundred, were it .05


def test_a_link_within_methods_is_found_beside_the_seed():
    rng, seeds = np.random.default_rng(4), np.tile(np.arange(5), 8)
    own = rng.normal(size=40)
    x, y = (own + 0.3 * rng.normal(size=40) + 3 * rng.normal(size=5)[seeds] for _ in range(2))
    rows = pd.DataFrame({"method": np.repeat(np.arange(8), 5), "seed": seeds, "x": x, "y": y})
    row = why.within(rows, "x", "y", 300)
    assert row["low"] > 0.3 and row["p"] < 0.001 and row["n"] == 40


def test_what_goes_with_tau_within_methods_and_against_it_between_them():
    rng = np.random.default_rng(1)
    rows = []
    for k in range(6):
        for s in range(8):
            own = rng.normal()
            rows.append({"method": f"m{k}", "seed": s, "loss": -10 * k + own,
                         "tau_loss": 10 * k + own, "within_flops": own})  # fmt: skip
    found = explained(rows)
    assert found.high["loss", "tau_loss", why.OVER] < 0
    within = found.loc["loss", "tau_loss", why.WITHIN]
    assert within.rho == pytest.approx(1) and (within.over, within.n) == ("runs", 48)


def test_the_measures_of_a_run(planted):
    rows = planted["runs_explained"].set_index(["method", "seed"])
    assert len(rows) == len(SINGLE) * len(SEEDS)
    assert not {*rows.index.unique(0)} & {*SEVERAL}  # their weights learn from different images
    assert rows.weighted["SPOS", 0] == pytest.approx(0.4)  # two of five options
    assert rows.flops["SPOS", 0] == pytest.approx(np.mean([MINI.flops(arch) for arch in MINI]))
    assert rows.train_loss["PA", 3] == pytest.approx(1.7)
    options = [f"p_{name}" for name in MINI.ops]
    assert rows[options].sum(axis=1).tolist() == pytest.approx([1.0] * len(rows))
    assert rows.p_nor_conv_3x3["FairNAS", 0] == pytest.approx(0.2)
    assert rows.p_nor_conv_3x3["sandwich", 0] > 0.3
    own = known(MINI)
    table = scores(own, {"PA": 0.4}, (0, 1, 2))
    wide = table.pivot(index="code", columns="seed", values="loss").loc[list(own.codes)]
    expected = np.mean([pairs.tau(wide[0].to_numpy(), wide[k].to_numpy()).value for k in (1, 2)])
    assert why.agreement(table, own)["PA", 0] == pytest.approx(expected)
    assert np.isnan(why.agreement(table[table.seed == 0], own)["PA", 0])


def test_claims_of_what_explains_tau_say_both(planted):
    found = by_key(planted)
    own = found["12.explained.agreement.tau_loss"]
    assert own.intervals[0].over == "methods" and own.intervals[0].n == len(SINGLE)
    assert "Within methods" in own.evidence and own.unit == "rho"
    assert own.effect > 0  # less noise agrees more, and ranks better
    flops = found["12.explained.flops.tau_loss"]
    assert f"Within methods {claims.UNMEASURABLE}" in flops.evidence  # fixed for each method


# --- the table of methods ---


def test_each_method_is_read_from_its_own_file():
    for name in METHODS:
        own = rivals_table.about(name)
        assert own.adds.endswith(".") and own.lines > 20
        for file in own.files:
            assert (ROOT / file).exists()
        controlled = name in ("curriculum", "size-curriculum", "balanced")
        assert (own.paper == "none: a control of ours") is controlled, name
        assert controlled or re.search(r"20\d\d\)?$", own.paper), name
    own = rivals_table.about("SUMNAS as released")
    assert own.files == ("padalib/samplers/sumnas.py",)
    assert own.options == "redraw=epoch, momentum=kept" and own.paper.endswith("ICLR 2022")
    assert own.adds.startswith("SUMNAS: a fair group of paths")
    assert any(text.startswith("`momentum`: In the released code") for text in own.differs)
    assert rivals_table.about("PA&DA").files == (
        "padalib/samplers/pa.py", "padalib/samplers/da.py",
    )  # fmt: skip


def test_departures_are_the_marked_comments_whole():
    found = rivals_table.departures(samplers.sandwich)
    source = Path(samplers.sandwich.__file__).read_text()
    assert len(found) == source.count("# differs:")
    assert found[0] == (
        "`connected`: Paths through which no signal passes have one output for all images, which "
        "no target can teach; public code draws them too."
    )


def test_the_table_has_a_line_for_each_method_with_cost_and_card(planted):
    rows = rivals_table.table(planted, "mini").set_index("method")
    assert list(rows.index) == list(METHODS)
    assert rows.time["NSAS"] == "1.20" and rows.memory["SUMNAS"] == "1.30"
    assert re.fullmatch(r"0\.\d{3} \[0\.\d{3}, 0\.\d{3}\]", rows["tau, by loss"]["PA"])
    text = rivals_table.markdown(rows.reset_index())
    assert text.count("\n") == len(METHODS) + 1
    links = re.findall(r"\]\(\.\./([^)]+)\)", text)
    assert all((ROOT / link).exists() for link in links) and len(links) == len(METHODS) + 1
    said = rivals_table.code_differs()
    assert "- **PA&DA**: as PA and DA." in said
    assert "- **SUMNAS as released** (redraw=epoch, momentum=kept): as SUMNAS." in said


# --- runs and scales ---


def test_the_study_asks_for_each_method_and_the_starved_one_at_equal_steps():
    found = rivals.trainings(SMOKE)
    pairs_of = {(config.method.name, config.seed) for config in found}
    assert len(SMOKE.left_out) == 6 and {*SMOKE.left_out} < {*SINGLE}
    trained = {*SINGLE} - {*SMOKE.left_out}
    assert pairs_of == {(name, s) for name in (*trained, EQUAL_STEPS) for s in SMOKE.seeds}
    longer = [config for config in found if config.method.name == EQUAL_STEPS]
    assert [config.seed for config in longer] == list(SMOKE.seeds)
    own = SMOKE.training("SUMNAS", 0)
    assert longer[0].epochs == 10 * own.epochs  # five paths, two passes each
    assert replace(longer[0], epochs=own.epochs, method=own.method) == own
    (chain,) = SMOKE.beside
    assert {c.method.name for c in rivals.trainings(chain)} == set(chain.methods)
    keys = [key(config) for config in rivals.configs(SMOKE)]
    assert len(keys) == len(set(keys))
    single = [c for c in rivals.memories(SMOKE) if c.train.method.name in SINGLE]
    assert {c.train for c in single} <= {*found} and len(single) == len(trained)


def test_the_scale_shares_its_runs_with_controls_and_spaces(monkeypatch):
    monkeypatch.setattr(data, "fingerprint", lambda name: name)  # photographs may not be there
    scale, finished, across = (scales.get(name) for name in ("rivals", "controls", "spaces"))
    own = {key(config) for config in rivals.scorings(scale)}
    for method in ("SPOS", "PA", "PA&DA", "curriculum"):
        for seed in scale.seeds:
            assert key(finished.scoring(finished.training(method, seed))) in own
    assert scale.seeds == finished.seeds[: len(scale.seeds)] and scale.ranked == 1000
    assert scale.rank_images is None and set(scale.methods) == set(SINGLE)
    planned = rival_scales.planned(finished, across)
    assert scale == replace(planned, equal_steps=0, beside=planned.beside[:1])
    chain, macro12 = planned.beside
    assert {key(c) for c in rivals.scorings(macro12)} >= {
        key(across.scoring(across.training(m, s))) for m in ("SPOS", OURS) for s in across.seeds
    }
    (of_chain,) = [each for each in finished.beside if each.space.name == "chain-mini"]
    assert {key(c) for c in rivals.scorings(chain)} >= {
        key(of_chain.scoring(of_chain.training("SPOS", s))) for s in chain.seeds
    }
    assert chain.seeds == of_chain.seeds[:16]
    for each in (macro12, chain):
        trained = {*rivals.methods(each), *rivals.of_several(each)}
        assert trained == {"SPOS", "PA", OURS, *RIVALS} - {*SPOS_ITSELF}
        assert len(trained & {*PUBLISHED}) == 11
        images = {"digits": 8_000, "cifar10-16": 45_000}[each.data]  # of an epoch
        assert supernets.scoring(each, "GM-NAS", 5).most <= images


class Book:
    """A workbook whose tables say who asked for what."""

    def __init__(self, scale, redraw, beside=()):
        self.scale, self.redraw, self.beside, self.asked = scale, redraw, beside, {}

    def table(self, name, asked, columns=None, workers=None):
        self.asked[name] = len(asked), workers
        self.named = {columns(config).get("method") for config in asked} if columns else set()
        return pd.DataFrame({"scale": [self.scale.name], "method": [OURS]})

    def reference(self):
        return self.scale.name


@pytest.mark.parametrize("redraw", [True, False])
def test_a_table_of_scores_is_read_for_each_space(monkeypatch, redraw):
    monkeypatch.setattr(controls, "ranked", lambda scale, reference: reference)
    monkeypatch.setattr(controls, "measure", lambda scores, known: known)
    monkeypatch.setattr(rivals, "near", lambda measured, seeds: [OURS, "GM-NAS"])
    planned = rival_scales.planned(scales.get("controls"), scales.get("spaces"))
    scale = replace(planned, equal_steps=2, near_seeds=(8, 9))
    others = [Book(each, redraw) for each in scale.beside]
    book = Book(scale, redraw, others)
    found = rivals.read(book)
    assert list(found.spaces) == ["nasbench201", "chain-mini", "macro12"]
    assert {name: known for name, (_, known) in found.spaces.items()} == {
        "nasbench201": "rivals", "macro12": "rivals-macro12", "chain-mini": "rivals-chain",
    }  # fmt: skip
    runs = 0 if redraw else len(SINGLE) * len(scale.seeds) + 2
    more = 0 if redraw else len(SEVERAL) * len(scale.seeds)
    timed = 0 if redraw else len(METHODS)
    near = 0 if redraw else 2 * len(scale.near_seeds)
    assert book.asked == {
        "scores": (runs + more + near, None), "parts": (more, None), "curves": (runs, None),
        "cost": (timed, 1), "memory": (timed, None),
    }  # fmt: skip
    there = others[0].scale  # few-shot NAS and GM-NAS have several supernets there, too
    scored = 0 if redraw else (len(there.methods) + 2) * len(there.seeds)
    assert others[0].asked == {"scores": (scored, None)}
    assert others[0].named == (set() if redraw else {None, "few-shot NAS", "GM-NAS"})


# --- the figures ---


COSTLY = {"steps": 1, "flops": 0, "time": 0, "peak": 1}  # is SUMNAS at equal steps shown?


def test_the_figures_show_every_method_cost_and_measure(planted):
    figure = plots.draw(planted, "mini")
    for axes in figure.axes:
        labels = [text.get_text() for text in axes.get_yticklabels()]
        assert len(labels) == len(METHODS) and labels[0].partition("  ")[0] in (
            "PA&DA", "PA", "sandwich",
        )  # fmt: skip
    said = plots.caption(SMOKE, planted, verdicts.conclude(planted, "mini"))
    assert "PA&DA surpasses the others, tau, ranked by loss: not shown (" in said
    assert "Smallest difference that could have been shown " in said
    assert f"of {len(RIVALS)} could have been found equivalent" in said
    assert f"{len(METHODS) * (len(METHODS) - 1) // 2} pairs" in said
    figure = plots.draw_cost(planted["costs"])
    first, *panels = figure.axes
    names = [text.get_text() for text in first.get_yticklabels()]
    assert sorted(names) == sorted([*METHODS, EQUAL_STEPS])
    for axes, (cost, more) in zip(panels, COSTLY.items(), strict=True):
        dots = [line for line in axes.lines if line.get_marker() == "o"]
        places = {names[int(dot.get_ydata()[0])]: dot for dot in dots}
        assert len(dots) == len(places) == len(METHODS) + more  # two lack what costs tenfold
        filled = {name for name, dot in places.items() if dot.get_markerfacecolor() != "white"}
        assert filled == set(plots.unbeaten(planted["costs"], cost))
    costs = planted["costs"]
    said = plots.caption_cost(SMOKE, costs)
    assert "not beaten on both" in said and "but for SUMNAS, equal steps" in said
    none = plots.caption_cost(SMOKE, costs[costs.method != EQUAL_STEPS])
    assert none.endswith("All have the same images.")
    rows = planted["explained"]
    figure = plots.draw_explained(rows)
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert "exposure of conv 3×3" in labels and len(labels) == rows.measure.nunique()
    assert "within methods" in plots.caption_explained(SMOKE, rows)
