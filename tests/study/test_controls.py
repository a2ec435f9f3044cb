"""The contrasts that decide, on made-up scores with known answers."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_scores import known, scores

from padalib import spaces
from padalib.engine.identity import key
from padalib.ranking import metrics, pairs
from padalib.study import claims, contests, controls, scales
from padalib.study.controls import inherited, plots
from padalib.study.controls.alike import alike
from padalib.study.controls.units import swapped

MINI, CHAIN = spaces.get("mini"), spaces.get("chain-mini")
SEEDS = range(8)


EQUAL = {"SPOS": 2.0, "PA": 0.1, "yoked PA": 0.1, "curriculum": 0.1, "PA&DA": 1.0}


def analysed(noise=EQUAL, chain=None, common=None):
    mini, other = known(MINI), known(CHAIN, 1)
    chain = chain or {"SPOS": 0.5, "PA": 0.5}
    return controls.analyse(
        {
            "mini": (scores(mini, noise, common=common), mini),
            "chain-mini": (scores(other, chain), other),
        }
    )


def by_key(found):
    return {claim.key: claim for claim in found}


def test_what_only_replays_a_schedule_and_ranks_as_well_is_equivalent():
    tables, found = analysed()
    own = by_key(found)
    for name in controls.OUTCOMES:
        claim = own[f"06.pa_yoked_pa.{name}"]
        assert claim.verdict == claims.EQUIVALENT and abs(claim.effect) < 0.02
        assert own[f"06.pada_pa.{name}"].verdict == claims.OPPOSITE
    assert "of PA's gain over SPOS" in own["06.pa_yoked_pa.tau_loss"].evidence
    gain = own["06.pa_spos.tau_loss"]  # secondary, and the first thing a reader asks
    assert gain.verdict == claims.SHOWN and controls.AFTER in gain.evidence
    also = own["06.pada_curriculum.tau_loss"]
    assert also.verdict == claims.OPPOSITE and controls.LATER in also.evidence
    assert controls.AFTER not in own["06.pa_yoked_pa.tau_loss"].evidence
    gains = tables["gains"].set_index(["space", "measure", "control"])
    gain = gains.loc[("mini", "tau_loss", "yoked PA")]
    assert gain.share == pytest.approx(1, abs=0.05) and gain.low < 1 < gain.high + 0.01
    assert (gain.seeds, gain.units) == (8, 4)


def test_gradients_that_help_are_shown():
    _, found = analysed(EQUAL | {"yoked PA": 0.5, "curriculum": 0.5}, {"SPOS": 0.5, "PA": 0.2})
    own = by_key(found)
    for name in controls.OUTCOMES:
        for pair in ("pa_yoked_pa", "pa_curriculum"):
            assert own[f"06.{pair}.{name}"].verdict == claims.SHOWN
        assert own[f"06.pa_spos.{name}.chain-mini"].verdict == claims.SHOWN
    assert own["06.pa_spos.tau_loss.chain-mini"].statement.endswith("(`chain-mini`)")
    within = own["06.pa_spos.within_flops.chain-mini"]  # hardly two of it cost the same
    assert "tau within fifths of FLOPs" in within.statement + within.evidence
    assert "equal FLOPs" in own["06.pa_yoked_pa.within_flops"].statement


def test_holm_is_over_all_primary_rows_of_all_spaces():
    rows = analysed()[0]["contrasts"]
    assert len(rows) == 3 * 2 + 2
    assert rows.holm.tolist() == pytest.approx(claims.holm(rows.p.tolist()))
    assert set(zip(rows.a, rows.b, rows.space, strict=True)) == {
        ("PA", "yoked PA", "mini"), ("PA", "curriculum", "mini"), ("PA&DA", "PA", "mini"),
        ("PA", "SPOS", "chain-mini"),
    }  # fmt: skip


def test_seeds_that_swap_schedules_are_one_unit():
    own = known(MINI)
    measured = controls.measure(scores(own, {"PA": 0.4, "yoked PA": 0.4}), own)
    (row,) = controls.compare(measured, own, [("PA", "yoked PA")], ["tau"]).itertuples()
    runs = measured["tau"]
    gaps = np.array([runs["PA", s].value - runs["yoked PA", s].value for s in SEEDS])
    pairs = gaps.reshape(4, 2).mean(axis=1)
    half = 3.1824 * np.std(pairs, ddof=1) / 4**0.5  # Student's with 3 degrees
    assert (row.unit, row.seeds) == ("swapped pairs of seeds", 4)
    assert row.difference == pytest.approx(gaps.mean())
    assert row.seeds_high - row.difference == pytest.approx(half, abs=1e-4)
    # Whatever order they are measured in.
    other = {key: runs[key] for key in sorted(runs, key=lambda key: (key[1] * 3) % 8)}
    (again,) = controls.compare({"tau": other}, own, [("PA", "yoked PA")], ["tau"]).itertuples()
    assert again.seeds_high == pytest.approx(row.seeds_high)
    # As the scale pairs them.
    scale = scales.get("controls")
    for one, other in swapped(scale.seeds, scale.seeds):
        assert (scale.partner(one), scale.partner(other)) == (other, one)


def test_units_are_formed_by_the_scales_seeds():
    assert swapped(range(5), range(5)) == [[0, 1, 4], [2, 3]]
    assert swapped([0], [0]) == [[0]]
    assert swapped([5, 3, 9, 1], (1, 9, 4, 7, 3, 5)) == [[1, 9], [3, 5]]
    assert swapped(range(4), range(5)) == [[0, 1], [2, 3]]
    with pytest.raises(ValueError, match="seed 1 replays the schedule of seed 0, which is not"):
        swapped((1, 2, 3), range(4))
    with pytest.raises(ValueError, match="seed 4 replays the schedule of seed 0, which is not"):
        swapped((2, 3, 4), range(5))
    with pytest.raises(ValueError, match=r"seeds \[9\] are none of the scale's"):
        swapped((0, 1, 9), range(4))
    mini, lost = known(MINI), "seed 3 replays the schedule of seed 2"
    table = scores(mini, EQUAL)
    with pytest.raises(ValueError, match=lost):
        controls.analyse({"mini": (table[table.seed != 2], mini)}, seeds=SEEDS)
    with pytest.raises(ValueError, match=lost):
        controls.analyse({"mini": (table, mini)}, looked=3)


def test_a_look_divides_no_pair_of_seeds():
    scale = scales.get("controls")
    assert scale.looked % 2 == len(scale.seeds) % 2 == 0
    for change in ({"looked": 5}, {"seeds": scale.seeds[:-1]}):
        with pytest.raises(ValueError, match="make both even, for two seeds of yoked PA share"):
            replace(scale, **change)
    assert replace(scale, looked=5, left_out=("yoked PA",)).looked == 5


def test_both_doubts_together_are_wider_than_either():
    own = known(MINI)
    measured = controls.measure(scores(own, {"PA": 0.4, "SPOS": 1.0}), own)
    (row,) = controls.compare(measured, own, [("PA", "SPOS")], ["tau"]).itertuples()
    assert row.both_low < min(row.seeds_low, row.archs_low)
    assert row.both_high > max(row.seeds_high, row.archs_high)
    seeds = (row.seeds_high - row.difference) / 2.3646
    archs = (row.archs_high - row.difference) / 1.96
    error = np.hypot(seeds, archs)
    t = (row.both_high - row.difference) / error
    assert 1.96 < t < 2.3646  # between normal and Student's with 7 degrees


def test_a_row_by_hand():
    own = known(MINI)
    table = scores(own, {"PA": 0.4, "SPOS": 1.0})
    measured = controls.measure(table, own)
    row = next(controls.compare(measured, own, [("PA", "SPOS")], ["tau"]).itertuples())
    gaps = [measured["tau"]["PA", s].value - measured["tau"]["SPOS", s].value for s in SEEDS]
    half = 2.3646 * np.std(gaps, ddof=1) / 8**0.5  # Student's with 7 degrees
    assert row.difference == pytest.approx(np.mean(gaps))
    assert (row.seeds_low, row.seeds_high) == pytest.approx(
        (row.difference - half, row.difference + half), abs=1e-4
    )
    assert row.functions == len(MINI.classes()) and row.archs_low < row.difference < row.archs_high
    with pytest.raises(ValueError, match="scores of a run lack architecture 0-0-0"):
        controls.measure(table[table.code != "0-0-0"], own)


def test_the_interval_over_architectures_is_the_bootstraps():
    own = known(CHAIN)
    table = scores(own, {"PA": 0.4, "SPOS": 1.0})
    table = table[table.seed < 3]
    (row,) = controls.compare(
        controls.measure(table, own), own, [("PA", "SPOS")], ["tau"]
    ).itertuples()
    predicted = contests.predictions(table, list(own.codes))
    measured = contests.measure(metrics.tau, predicted, own.true, own.clusters, 1000)
    (other,) = contests.compare(measured, [("PA", "SPOS")], 0.03).itertuples()
    assert row.difference == pytest.approx(other.difference)
    assert row.archs_low == pytest.approx(other.archs_low, abs=0.01)
    assert row.archs_high == pytest.approx(other.archs_high, abs=0.01)


def test_methods_with_fewer_seeds_are_compared_on_those_that_both_have():
    mini, other = known(MINI), known(CHAIN, 1)
    table = scores(mini, EQUAL | {"sbs": 1.0})
    table = table[(table.method != "sbs") | (table.seed < 3)]
    tables, _ = controls.analyse(
        {"mini": (table, mini), "chain-mini": (scores(other, {"SPOS": 0.5, "PA": 0.5}), other)}
    )
    rows = tables["secondary"].set_index(["space", "measure", "a", "b"])
    assert rows.seeds["mini", "tau", "sbs", "SPOS"] == 3
    assert rows.seeds["mini", "tau", "PA", "SPOS"] == 8
    cards = tables["cards"].query("space == 'mini'").drop_duplicates("method").set_index("method")
    assert (cards.seeds["sbs"], cards.seeds["PA"]) == (3, 8)
    plots.draw(tables, "mini")
    scale = replace(scales.get("controls"), secondary=("sbs",), secondary_seeds=3)
    assert " seeds (3 of sbs). " in plots.caption(scale, tables)


def test_seeds_that_were_added_after_a_look_are_judged_alone_too():
    mini, other = known(MINI), known(CHAIN, 1)
    table = scores(mini, EQUAL)
    spaces = {"mini": (table, mini), "chain-mini": (scores(other, {"SPOS": 1, "PA": 1}), other)}
    tables, found = controls.analyse(spaces, looked=4)
    asked = [(c.a, c.b) for c in controls.CONTRASTS]
    late = controls.measure(table[table.seed >= 4], mini)
    wanted = controls.compare(late, mini, asked, list(controls.OUTCOMES))
    added = tables["added"]
    assert added.difference.tolist() == pytest.approx(wanted.difference.tolist())
    assert added.holm.tolist() == pytest.approx(claims.holm(added.p.tolist()))
    assert len(added) == 6 and set(added.space) == {"mini"}
    row = added.set_index(["a", "b", "measure"]).loc["PA&DA", "PA", "tau_loss"]
    said = by_key(found)["06.pada_pa.tau_loss"].evidence
    assert (
        f"on the 4 seeds alone that were trained after a first look {row.difference:+.3f}" in said
    )
    assert said.endswith(row.verdict) or f", {row.verdict}" in said
    assert "swapped pairs of seeds alone" in by_key(found)["06.pa_yoked_pa.tau_loss"].evidence
    assert "first look" not in by_key(found)["06.pa_spos.tau_loss.chain-mini"].evidence
    tables, found = controls.analyse(spaces)
    assert "added" not in tables and not [c for c in found if "first look" in c.evidence]


def test_only_seeds_that_both_have_are_paired():
    own = known(MINI)
    table = scores(own, {"PA": 0.4, "SPOS": 1.0})
    table = table[(table.method != "SPOS") | (table.seed >= 3)]
    rows = controls.compare(controls.measure(table, own), own, [("PA", "SPOS")], ["tau"])
    assert rows.seeds.tolist() == [5]


def test_runs_that_order_nothing_are_not_measurable_and_count_for_no_correction():
    mini, other = known(MINI), known(CHAIN, 1)
    table = scores(mini, EQUAL)
    flat = (table.method == "PA&DA") & (table.seed == 3)
    table.loc[flat, ["accuracy", "loss"]] = 1.0
    tables, found = controls.analyse(
        {"mini": (table, mini), "chain-mini": (scores(other, {"SPOS": 0.5, "PA": 0.5}), other)}
    )
    lost = by_key(found)["06.pada_pa.tau_loss"]
    assert lost.verdict == claims.UNMEASURABLE and lost.intervals == ()
    assert "not measurable, for a run gives all that are compared the same" in lost.evidence
    rows = tables["contrasts"]
    assert len(rows) == 8 and rows.holm.isna().sum() == 2 and set(rows.tests) == {6}
    plots.draw(tables, "mini")


def test_an_error_that_seeds_share_is_told_from_noise():
    own = by_key(analysed(EQUAL | {"SPOS": 0.1}, common={"SPOS": 2.0})[1])
    assert own["06.common_error.spos"].verdict == claims.SHOWN
    over = [interval.over for interval in own["06.common_error.spos"].intervals]
    assert over == ["seeds", "distinct architectures", "seeds and these"]
    assert own["06.more_seeds.spos"].verdict == claims.OPPOSITE  # less than the bound
    own = by_key(analysed(EQUAL, common={"SPOS": 0.5})[1])  # the same tau, nearly all by noise
    assert own["06.common_error.spos"].verdict == claims.OPPOSITE
    assert own["06.more_seeds.spos"].verdict == claims.SHOWN
    own = by_key(analysed(EQUAL)[1])  # by noise alone: the limit may be 1
    assert own["06.common_error.spos"].verdict == claims.OPPOSITE
    assert "unknown in the limit of infinitely many" in own["06.common_error.spos"].evidence
    assert "06.more_seeds.spos" not in own


def test_what_was_not_chosen_beforehand_is_apart():
    tables, _ = analysed()
    primary, rest = tables["contrasts"], tables["secondary"]
    keys = [set(zip(t.space, t.measure, t.a, t.b, strict=True)) for t in (primary, rest)]
    assert not keys[0] & keys[1] and len(keys[1]) == len(rest)
    assert ("mini", "tau_loss", "PA", "SPOS") in keys[1]
    assert ("mini", "with_flops", "PA", "yoked PA") in keys[1]


def test_cards_have_every_method_and_what_needs_no_training():
    cards = analysed()[0]["cards"]
    mini = cards[cards.space == "mini"]
    assert list(mini.method.unique()) == [*EQUAL, "FLOPs of live options", "parameters"]
    assert mini[mini.method == "PA"].seeds.unique() == [8]


def test_the_scale_asks_for_what_the_contrasts_need():
    for name in ("controls", "smoke"):
        scale = scales.get(name)
        for each in (scale, *scale.beside):
            keys = [key(c) for c in controls.configs(each)] if name == "smoke" else []
            assert len(keys) == len(set(keys))
            made = {(c.train.method.name, c.train.seed) for c in controls.configs(each)}
            wanted = {"PA", "SPOS"}
            if each.space.name in ("mini", "nasbench201"):
                wanted |= {"yoked PA", "curriculum", "PA&DA"}
            assert {(m, seed) for m in wanted for seed in each.seeds} <= made
            assert ("yoked PA", each.seeds[0]) in made or "yoked PA" not in wanted


def test_where_replays_are_left_out_the_gains_are_asked_instead():
    scale, mini = scales.get("cifar32"), known(MINI)
    trained = {c.train.method.name for c in controls.configs(scale)}
    assert trained == {"SPOS", "PA", "PA&DA", "curriculum"}
    asked = controls.primary(scale)
    noise = {"SPOS": 2.0, "PA": 0.1, "curriculum": 0.1, "PA&DA": 0.1}
    tables, found = controls.analyse({"mini": (scores(mini, noise), mini)}, 0, asked)
    rows = tables["contrasts"]
    assert list(dict.fromkeys(zip(rows.a, rows.b, strict=True))) == [
        ("PA", "SPOS"), ("PA&DA", "SPOS"), ("PA", "curriculum"), ("PA&DA", "PA"),
    ]  # fmt: skip
    assert set(rows.tests) == {8}
    own = by_key(found)
    gain = own["06.pa_spos.within_flops"]
    assert gain.verdict == claims.SHOWN and gain.statement.startswith("Drawing paths by their")
    assert own["06.pada_spos.tau_loss"].verdict == claims.SHOWN
    assert not set(zip(rows.a, rows.b, rows.measure, strict=True)) & set(
        zip(*(tables["secondary"][name] for name in ("a", "b", "measure")), strict=True)
    )
    said = plots.caption(scale, tables)
    assert "4 seeds. PA − SPOS. tau, ranked by loss: " in said and "PA − curriculum. " in said
    assert "yoked" not in said
    plots.draw(tables, "mini")
    assert controls.primary(scales.get("controls")) == controls.CONTRASTS
    fewer = controls.primary(replace(scale, left_out=("yoked PA", "PA&DA")))
    assert [(c.a, c.b) for c in fewer] == [("PA", "SPOS"), ("PA", "curriculum")]
    with pytest.raises(ValueError, match="leaves out PA, PA&DA, and with them every contrast"):
        controls.primary(replace(scale, left_out=("PA", "PA&DA")))
    with pytest.raises(ValueError, match="leaves out yoked_PA, which is no method: choose of SPOS"):
        replace(scale, left_out=("yoked_PA",))


def test_the_figure_shows_every_contrast_and_method():
    tables, _ = analysed()
    figure = plots.draw(tables, "mini")
    top, levels, bias = figure.axes
    assert [label.get_text() for label in top.get_yticklabels()] == [
        "PA − yoked PA", "PA − curriculum", "PA&DA − PA", "PA − SPOS\nin chain-mini",
    ]  # fmt: skip
    names = [label.get_text() for label in levels.get_yticklabels()]
    assert names == [*EQUAL, "live FLOPs", "parameters"]
    assert len(bias.get_legend().get_texts()) == 5
    said = plots.caption(scales.get("controls"), tables)
    assert "PA − yoked PA" in said and "equivalent" in said
    assert "Yoked PA replays another seed's schedule" in said
    gains = re.search("so only below, tau by loss: PA − SPOS (.*); PA&DA − SPOS (.*?)[.] Br", said)
    rows = tables["secondary"].query("b == 'SPOS' and measure == 'tau_loss' and space == 'mini'")
    for text, name in zip(gains.groups(), ("PA", "PA&DA"), strict=True):
        (row,) = rows[rows.a == name].itertuples()
        assert text.startswith(f"{row.difference:+.2f}"[:4]) and row.verdict in text


def test_what_counts_as_one_architecture_changes_intervals_and_no_difference():
    mini = known(MINI)
    spaces_ = {"mini": (scores(mini, EQUAL), mini)}
    found = alike(spaces_, controls.CONTRASTS)
    assert found.groupby("unit", sort=False).functions.max().to_dict() == {
        "architecture": 125, "function": 85, "network": 58,
    }  # fmt: skip
    parts = [rows.reset_index(drop=True) for _, rows in found.groupby("unit", sort=False)]
    for each in parts[1:]:
        assert each.difference.equals(parts[0].difference)
    usual = controls.analyse(spaces_)[0]["contrasts"]
    own = parts[1][parts[1].table == "contrasts"]
    assert list(own.both_low) == list(usual.both_low) and list(own.verdict) == list(usual.verdict)
    same = found[found.unit == "function"]
    assert list(same.usual) == list(same.verdict)
    wide = found.query("a == 'PA' and b == 'SPOS' and measure == 'tau_loss'")
    errors = (wide.archs_high - wide.archs_low).tolist()
    assert len(set(errors)) == 3  # each unit has an interval of its own


def test_the_answer_has_each_method_with_its_level_and_says_what_needs_no_training():
    tables, _ = analysed()
    rows = plots.answered(tables["cards"], "mini")
    names = ["SPOS", "PA&DA", "PA", "yoked PA", "curriculum", "FLOPs of live options"]
    assert list(rows.method.unique()) == names == list(plots.ROWS)
    assert rows.measure.value_counts().to_dict() == {"tau_loss": 5, "within_flops": 5, "tau": 1}
    levels, within = plots.answer(rows).axes
    assert [tick.get_text() for tick in levels.get_yticklabels()] == list(plots.ROWS.values())
    for axes, own in ((levels, rows[rows.measure != "within_flops"]),
                      (within, rows[rows.measure == "within_flops"])):  # fmt: skip
        assert [text.get_text() for text in axes.texts] == [f"{v:.2f}" for v in own.value]
        drawn = [line.get_xdata()[0] for line in axes.lines if line.get_marker() != "None"]
        assert drawn == list(own.value)
    said = plots.told(scales.get("controls"), rows)
    assert "mean tau of 16 of each method" in said and "counting FLOPs cannot order" in said
    trained = rows[rows.method != "FLOPs of live options"]
    assert "counting" not in plots.told(scales.get("controls"), trained)


# --- accuracy with inherited weights ---


def test_mean_accuracy_is_of_all_and_of_the_truly_best_tenth():
    """By hand: PA&DA is a point below SPOS everywhere, and two above it where the truth is best."""
    own = known(MINI)
    table = scores(own, {"SPOS": 0.2, "PA&DA": 0.2, "curriculum": 0.2}, range(4))
    cut = np.sort(own.true)[-13]  # a tenth of 125, rounded up
    best = table.code.isin(np.array(own.codes)[own.true >= cut])
    mine = table.method == "PA&DA"
    table.loc[mine, "accuracy"] += np.where(best[mine], 12.0, -1.0)
    rows = inherited.differences(table, own).set_index(["measure", "a", "b"])
    wide = table.pivot_table(index=["method", "seed"], values="accuracy", aggfunc="mean").accuracy
    row = rows.loc[("all", "PA&DA", "SPOS")]
    assert row.difference == pytest.approx((wide["PA&DA"] - wide["SPOS"]).mean())
    assert (row.a_mean, row.b_mean) == pytest.approx((wide["PA&DA"].mean(), wide["SPOS"].mean()))
    top = rows.loc[("best", "PA&DA", "SPOS")]
    assert top.difference == pytest.approx(12.0, abs=0.3) and row.difference < 1
    whole = len(set(contests.functions(MINI, own.codes)))
    assert top.functions < row.functions == whole
    dear = pd.Series(own.flops[own.true >= cut]).value_counts()
    table["flops"] = table.code.map(dict(zip(own.codes, own.flops, strict=True)))
    others = table[table.flops.isin(dear.index) & ~best]
    level = others.pivot_table(index="flops", columns=["method", "seed"], values="accuracy")
    share = dear[level.index] / dear[level.index].sum()  # each level as often as in the best tenth
    means = level.mul(share, axis=0).sum()
    wanted = (means["PA&DA"] - means["SPOS"]).mean()
    assert len(level) > 3 and wanted == pytest.approx(-1, abs=0.3)
    assert rows.difference["as_dear", "PA&DA", "SPOS"] == pytest.approx(wanted)
    at = table.flops.map(dear).fillna(0).gt(0) & table.flops.isin(others.flops)
    top = table[best & at].set_index(["method", "seed", "flops"]).accuracy
    cost = others.groupby(["method", "seed", "flops"]).accuracy.mean()
    beyond = (top - cost.reindex(top.index)).groupby(["method", "seed"]).mean()
    row = rows.loc[("beyond", "PA&DA", "SPOS")]
    assert row.difference == pytest.approx((beyond["PA&DA"] - beyond["SPOS"]).mean())
    assert row.difference == pytest.approx(13, abs=0.5) and row.functions == whole
    assert set(rows.tests) == {8} and rows.holm.tolist() == pytest.approx(
        claims.holm(rows.p.tolist())
    )
    found = {claim.key: claim for claim in inherited.conclude(rows.reset_index())}
    assert found["06.generalises.best.pada_spos"].verdict == claims.SHOWN
    same = found["06.generalises.best.curriculum_spos"]
    assert same.verdict == claims.EQUIVALENT and "mean accuracy of the truly best" in same.statement


def test_every_group_says_its_architectures_and_runs_or_that_there_are_none():
    """Where all cost differently nobody is as dear as the best, so two groups are empty."""
    own = known(MINI)
    table = scores(own, {"SPOS": 1.0}, [0])
    for name, size in (("all", 125), ("best", 13)):
        asked, runs = inherited.GROUPS[name].runs(table, own)
        assert len(asked.true) == size and list(runs) == [("SPOS", 0)]
    first = np.unique(own.flops, return_index=True)[1]
    apart = own.only(np.isin(np.arange(len(own.flops)), first))
    found = {name: group.runs(table, apart) for name, group in inherited.GROUPS.items()}
    assert [name for name, runs in found.items() if runs is None] == ["as_dear", "beyond"]


def test_the_doubt_of_what_the_best_gain_is_that_of_leaving_one_out():
    """The influence of each architecture beside what its weight does to the value."""
    own = known(CHAIN)
    table = scores(own, {"SPOS": 1.0}, [0])
    (estimate,) = inherited.beyond_cost(table, own).values()
    accuracy = table.set_index("code").accuracy[list(own.codes)].to_numpy()
    best, (dear, _) = pairs.among(own.true, inherited.BEST), inherited.as_dear(own)
    best &= np.isin(own.flops, own.flops[dear])

    def value(weights):
        gaps = []
        for flops in own.flops[best]:
            same = dear & (own.flops == flops)
            gaps.append(np.average(accuracy[same], weights=weights[same]))
        return np.average(accuracy[best] - gaps, weights=weights[best])

    weights = np.ones(len(accuracy))
    assert estimate.value == pytest.approx(value(weights))
    for k in (*np.flatnonzero(best)[:3], *np.flatnonzero(dear)[:3]):
        more = weights.copy()
        more[k] += 1e-6
        slope = (value(more) - value(weights)) / 1e-6
        assert estimate.influence[k] == pytest.approx(slope, rel=1e-3, abs=1e-6)


def test_the_doubt_of_a_mean_over_architectures_is_its_standard_error():
    own = known(CHAIN)
    table = scores(own, {"SPOS": 1.0}, [0])
    (estimate,) = inherited.accuracies(table, own).values()
    values = table.set_index("code").accuracy[list(own.codes)].to_numpy()
    alone = np.arange(len(values))
    assert estimate.value == pytest.approx(values.mean())
    assert estimate.error(alone) == pytest.approx(values.std() / len(values) ** 0.5)
