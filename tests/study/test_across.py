"""The contrasts across spaces, on made-up scores and tables with known answers."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_scores import known, scores
from scipy import optimize, stats

from padalib import data, spaces
from padalib.engine.identity import key
from padalib.study import across, claims, controls, effects, scales
from padalib.study.across import ASKED, QUESTIONS, Finished, plots, verdicts
from padalib.study.workbook import Workbook

MINI, CHAIN = spaces.get("mini"), spaces.get("chain-mini")
TINY = replace(spaces.get("macro"), strides=(2, 1, 1, 1), channels=2, size=8)
SEEDS = range(8)
PUBLISHED = Path(__file__).resolve().parents[2] / "data" / "results" / "controls"


SCHEDULED = dict.fromkeys(("PA", "yoked PA", "curriculum", "PA&DA"), 0.02)
SCHEDULED |= {"SPOS": 2.0, "DA": 2.0}
PLAIN = {"SPOS": 0.1, "PA": 0.1, "size-curriculum": 0.1, "PA&DA": 0.1}


def contrast(question, space, difference, error, verdict=claims.NOT_SHOWN, measure="tau_loss", n=9):
    """A row of `contrasts` with that standard error over n seeds, and none over architectures."""
    asked, half = ASKED[question], error * stats.t.ppf(0.975, n - 1)
    row = {"space": space, "scale": "", "question": question, "primary": asked.primary}
    row |= {"measure": measure, "a": asked.a, "b": asked.b, "difference": difference, "seeds": n}
    row |= {"unit": "seeds", "functions": 50, "fifths": False, "verdict": verdict, "holm": 0.01}
    for name in ("seeds", "both"):
        row |= {f"{name}_low": difference - half, f"{name}_high": difference + half}
    row |= {"seeds_freedom": n - 1, "archs_freedom": math.inf}
    return row | {"archs_low": difference, "archs_high": difference, "bound": 0.03, "tests": 6}


# --- what is asked where ---


def test_where_every_option_has_weights_the_curriculum_is_no_question():
    for name, answer in {
        "mini": True, "nasbench201": True, "macro": True, "nb1shot1-3": True,
        "macro12": False, "conv64": False, "chain-mini": False,
    }.items():  # fmt: skip
        assert controls.scheduled(spaces.get(name)) is answer, name
    asked = {own: {(q.a, q.b) for q in across.questions(own)} for own in (True, False)}
    assert ("PA", "curriculum") in asked[True] - asked[False]
    replays = {q.where: q.primary for q in QUESTIONS if (q.a, q.b) == ("PA", "yoked PA")}
    assert replays == {True: True, False: False}  # the second was asked later
    for own in (True, False):  # a pair has one meaning in one space
        assert len(asked[own]) == len(across.questions(own))
        assert {("PA", "SPOS"), ("PA&DA", "PA"), ("PA&DA", "SPOS"), ("DA", "SPOS")} <= asked[own]
    one = {schedule: next(q.key for q in across.questions(schedule) if (q.a, q.b) == ("PA", "SPOS"))
           for schedule in (True, False)}  # fmt: skip
    assert one == {True: "gain", False: "norm"}


def test_inputs_that_nobody_learns_make_no_schedule():
    shot = replace(spaces.get("nb1shot1-1"), channels=2, cells=1, size=8)
    entries = shot.entries()
    free = [p for p in range(len(shot.positions)) if set(entries.at[p]) <= set(entries.uniform)]
    assert any(not shot.weights(p, o) for p in free for o in range(len(shot.positions[p].options)))
    pooled = [p for p in range(len(shot.positions)) if p not in free]
    assert any(not shot.weights(p, o) for p in pooled for o in range(3))  # max pooling does


# --- planted effects ---


@pytest.fixture(scope="module")
def planted():
    """Two spaces with a schedule, in one of which it is worth something; one without."""
    own = {
        "mini": known(MINI, same=True),
        "tiny": known(TINY, same=True),
        "chain-mini": known(CHAIN, same=True),
    }
    runs = {"mini": SCHEDULED, "tiny": dict.fromkeys(SCHEDULED, 0.01), "chain-mini": PLAIN}
    return across.analyse({n: (scores(own[n], runs[n]), own[n]) for n in runs}, {})


def test_planted_effects_are_found_where_they_were_planted(planted):
    rows = planted["contrasts"].set_index(["question", "space", "measure"])
    for measure in controls.OUTCOMES:
        assert rows.verdict["gain", "mini", measure] == claims.SHOWN
        assert rows.verdict["gain", "tiny", measure] == claims.EQUIVALENT
        assert rows.verdict["norm", "chain-mini", measure] == claims.EQUIVALENT
        assert rows.verdict["schedule", "mini", measure] == claims.EQUIVALENT
    assert rows.unit["yoked", "mini", "tau_loss"] == "swapped pairs of seeds"
    assert rows.seeds["yoked", "mini", "tau_loss"] == 4
    assert not {("schedule", "chain-mini"), ("gain", "chain-mini"), ("norm", "mini")} & set(
        zip(planted["contrasts"].question, planted["contrasts"].space, strict=True)
    )


def test_holm_is_over_all_primary_rows_of_all_spaces_and_the_others_apart(planted):
    rows = planted["contrasts"]
    assert set(rows.primary) == {True, False}
    for _, own in rows.groupby("primary"):
        assert own.holm.tolist() == pytest.approx(claims.holm(own.p.tolist()))
        assert set(own.tests) == {len(own)}
    assert set(rows[~rows.primary].question) == {"da", "sizes"}
    found = {claim.key: claim for claim in verdicts.conclude(planted)}
    for row in rows.itertuples():
        claim = found[f"09.{row.question}.{row.measure}.{row.space}"]
        assert (claim.verdict, claim.effect) == (row.verdict, row.difference)
        assert ("beside the primary questions" in claim.statement) != row.primary


def test_two_spaces_must_both_hold_and_one_has_no_claim_over_spaces(planted):
    found = {claim.key: claim for claim in verdicts.conclude(planted)}
    both = found["09.over.gain.tau_loss"]
    assert both.verdict == claims.NOT_SHOWN and "shown in 1 of 2 spaces (mini)" in both.evidence
    assert (
        "equivalent in 1 (tiny)" in both.evidence and "No mean over fewer than 3" in both.evidence
    )
    assert found["09.over.schedule.tau_loss"].verdict == claims.EQUIVALENT
    assert "09.over.norm.tau_loss" not in found  # asked in one space only
    assert found["09.gain.tau_loss.mini"].verdict == claims.SHOWN
    assert found["09.over.data.tau_loss"].verdict == claims.EQUIVALENT  # asked in all three
    over = planted["over"].set_index(["question", "measure"])
    assert over.groups["pada", "tau_loss"] == 3 and math.isnan(over.p["gain", "tau_loss"])


def test_what_needs_no_training_is_beside_every_space(planted):
    cards = planted["cards"]
    tiny = set(cards.method[cards.space == "tiny"])
    assert {"FLOPs of live options", "parameters", "non-identity blocks", "PA"} <= tiny
    own = planted["free"].set_index(["space", "a", "b"])
    row = own.loc["mini", "PA&DA", "FLOPs of live options"]
    tau = cards.set_index(["space", "method", "measure"]).value
    expected = tau["mini", "PA&DA", "tau_loss"] - tau["mini", "FLOPs of live options", "tau"]
    assert row.difference == pytest.approx(expected)
    found = {claim.key: claim for claim in verdicts.conclude(planted)}
    assert found["09.free.mini"].verdict == claims.SHOWN
    free = planted["free"]
    best = free[(free.space == "mini") & (free.a == "PA&DA")].count_tau.max()
    assert f"{best:.3f}" in found["09.free.mini"].evidence


def test_what_was_trained_as_one_is_one_cluster():
    own = known(TINY, same=True)
    table = scores(own, {"PA": 0.4, "SPOS": 1.0})
    measured = controls.measure(table, own)
    rows = across.asked(measured, own, "tiny").set_index(["question", "measure"])
    row, trained = rows.loc["gain", "tau_loss"], [TINY.truth_key(arch) for arch in TINY]
    assert row.functions == len(set(trained)) < len(trained) == len(TINY.classes())
    gap = sum(measured["tau_loss"]["PA", s].influence - measured["tau_loss"]["SPOS", s].influence
              for s in SEEDS) / len(SEEDS)  # fmt: skip
    error = np.sqrt(pd.Series(gap).groupby(trained).sum().pow(2).sum())
    assert (row.archs_high - row.archs_low) / 2 == pytest.approx(1.96 * error, rel=1e-3)
    # Untied scores of a tied truth are no error of the ranking: tau-b leaves such pairs out.
    assert error != pytest.approx(np.sqrt(np.square(gap).sum()))


# --- the mean over spaces ---


def twin(y, s):
    """Paule and Mandel by minimising, and Hartung and Knapp's interval as it is defined."""
    y, s, k = np.asarray(y), np.asarray(s), len(y)

    def q(t2):
        w = 1 / (s**2 + t2)
        return np.sum(w * (y - np.sum(w * y) / np.sum(w)) ** 2)

    t2 = 0.0
    if q(0.0) > k - 1:
        t2 = optimize.minimize_scalar(
            lambda t: (q(t) - (k - 1)) ** 2, bounds=(0, 10), method="bounded",
            options={"xatol": 1e-12},
        ).x  # fmt: skip
    w = 1 / (s**2 + t2)
    mean = np.sum(w * y) / np.sum(w)
    se = math.sqrt(max(1.0, q(t2) / (k - 1)) / np.sum(w))
    return mean, stats.t.ppf(0.975, k - 1) * se, math.sqrt(t2)


@pytest.mark.parametrize("seed", range(20))
def test_the_mean_over_spaces_is_its_slow_twins(seed):
    rng = np.random.default_rng(seed)
    k = int(rng.integers(2, 9))
    s = rng.uniform(0.01, 0.3, k)
    y = rng.normal(0.1, 0.2 * (seed % 3), k) + s * rng.normal(size=k)
    mean, half, between = twin(y, s)
    found = effects.pooled(y, s)
    assert found.mean == pytest.approx(mean, abs=1e-5)
    assert found.high - found.mean == pytest.approx(half, abs=1e-4)
    assert found.between == pytest.approx(between, abs=2e-3)
    assert found.mean - found.low == pytest.approx(found.high - found.mean)


def test_the_mean_over_spaces_by_hand():
    # Equal errors of 1: Q = 8 on 2 degrees, so the variance between is 8/2 - 1 = 3.
    found = effects.pooled([0.0, 2.0, 4.0], [1.0, 1.0, 1.0])
    assert (found.mean, found.between) == (pytest.approx(2.0), pytest.approx(3**0.5))
    assert found.high - 2 == pytest.approx(4.302653 * (4 / 3) ** 0.5, rel=1e-6)
    assert found.p_same == pytest.approx(math.exp(-4))  # chi-square of 8 with 2 degrees
    # Equal effects: no variance between, weights 1 / error^2.
    found = effects.pooled([1.0, 1.0, 1.0], [1.0, 2.0, 2.0])
    assert (found.mean, found.between, found.p_same) == (1.0, 0.0, 1.0)
    assert found.high - 1 == pytest.approx(4.302653 / 1.5**0.5, rel=1e-6)
    for bad in (([1.0], [1.0]), ([1.0, 2.0], [1.0, 0.0]), ([1.0, 2.0], [1.0, math.nan])):
        with pytest.raises(ValueError, match="two or more effects, each with an error above 0"):
            effects.pooled(*bad)


def test_errors_are_read_back_from_intervals():
    (row,) = pd.DataFrame([contrast("gain", "mini", 0.2, 0.03)]).pipe(across.errors)
    assert row == pytest.approx(0.03)
    rows = pd.DataFrame([contrast("gain", "mini", 0.2, 0.03, n=2)])
    rows[["archs_low", "archs_high"]] = 0.2 - 1.96 * 0.04, 0.2 + 1.96 * 0.04
    assert across.errors(rows) == pytest.approx([0.05], rel=1e-4)
    pairs = rows.assign(seeds=2, seeds_freedom=5)  # the intervals know how many units they are over
    assert across.errors(pairs)[0] > across.errors(rows)[0]
    alone = rows.assign(seeds=1, seeds_low=math.nan, seeds_high=math.nan)
    assert np.isnan(across.errors(alone)).all()


def over(rows):
    contrasts = pd.DataFrame(rows)
    table = across.over_spaces(contrasts)
    found = list(verdicts.over(table, contrasts))
    return table, {claim.key: claim for claim in found}


def test_an_effect_that_all_spaces_share_is_shown_over_them():
    table, found = over(
        contrast("gain", name, 0.2 + shift, 0.01, claims.SHOWN)
        for name, shift in zip("abcd", (-0.01, 0.0, 0.0, 0.01), strict=True)
    )
    claim = found["09.over.gain.tau_loss"]
    assert claim.verdict == claims.SHOWN and claim.effect == pytest.approx(0.2)
    assert claim.intervals[0].over == "spaces" and claim.intervals[0].n == 4
    assert "shown in 4 of 4 spaces (a, b, c, d)" in claim.evidence
    assert table.p_same[0] > 0.5 and table.between[0] == 0


def test_spaces_that_disagree_say_so_though_each_is_sure():
    table, found = over(
        contrast("gain", name, value, 0.01, claims.SHOWN if value > 0 else claims.OPPOSITE)
        for name, value in zip("abcd", (0.4, -0.3, 0.3, -0.2), strict=True)
    )
    claim = found["09.over.gain.tau_loss"]
    assert claim.verdict == claims.NOT_SHOWN
    assert "shown in 2 of 4 spaces (a, c), opposite here in 2 (b, d)" in claim.evidence
    assert table.p_same[0] < 1e-9 and table.between[0] == pytest.approx(np.std(
        [0.4, -0.3, 0.3, -0.2], ddof=1), abs=0.01)  # fmt: skip
    assert claim.visible > 0.5  # so few spaces, so far apart


def test_the_correction_over_spaces_is_over_all_means():
    rows = [contrast(q, name, 0.05 + 0.02 * k, 0.01, measure=m)
            for q in ("gain", "schedule") for m in controls.OUTCOMES
            for k, name in enumerate("abc")]  # fmt: skip
    table, found = over(rows)
    assert len(found) == 4 and table.holm.tolist() == pytest.approx(claims.holm(table.p.tolist()))
    assert {claim.p for claim in found.values()} == set(table.holm)


def test_few_spaces_are_students():
    three = claims.Interval(-1.0, 1.0, "spaces", 3)
    assert three.visible() == pytest.approx((4.302653 + 1.060660) / 4.302653, rel=1e-5)


# --- another scale's rows ---


def test_finished_rows_are_taken_of_spaces_that_are_not_ours():
    tables = [pd.read_csv(PUBLISHED / f"{name}.csv") for name in ("contrasts", "secondary")]
    other = Finished("controls", pd.concat(tables), pd.read_csv(PUBLISHED / "cards.csv"))
    own = known(CHAIN, same=True)
    found = across.analyse({"chain-mini": (scores(own, PLAIN), own)}, {}, other)
    rows = found["contrasts"].set_index(["space", "question", "measure"])
    assert set(rows.loc["chain-mini"].scale) == {""}
    asked = found["contrasts"].groupby("space").question.agg(set)
    assert {"gain", "schedule", "yoked", "data", "pada"} <= asked["nasbench201"]
    assert "norm" in asked["conv64"] and "gain" not in asked["conv64"]
    published = tables[1].set_index(["space", "measure", "a", "b"])
    row = rows.loc["nasbench201", "gain", "tau_loss"]
    origin = published.loc["nasbench201", "tau_loss", "PA", "SPOS"]
    assert (row.difference, row.p, row.scale) == (origin.difference, origin.p, "controls")
    assert row.tests == int(found["contrasts"].primary.sum())  # corrected anew, over all
    keys = {claim.key for claim in verdicts.conclude(found)}
    assert not any(k.endswith(("nasbench201", "conv64")) for k in keys)
    assert set(found["cards"].space) == {"chain-mini", "nasbench201", "conv64"}


def test_a_table_of_another_scale_is_the_one_computed_here_if_of_the_published_runs(
    tmp_path, monkeypatch, capsys
):
    own, public = tmp_path / "own", tmp_path / "public"
    monkeypatch.setattr("padalib.engine.paths.own_folder", lambda s, redraw=False: own / s)
    monkeypatch.setattr("padalib.engine.paths.published_results", lambda s: public / s)
    book = Workbook("spaces")
    assert book.of_other(None, "cards", "other") is None
    assert book.of_other("controls", "cards", "other") is None and across.finished(book) is None

    def write(path, value):
        path.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame({"x": [value]}).to_csv(path, index=False)

    def runs(folder, *keys):
        pd.DataFrame({"run": keys}).to_csv(folder / "runs.csv", index=False)

    write(own / "controls" / "results" / "cards.csv", 2)
    assert book.of_other("controls", "cards", "other").x.tolist() == [2]  # nothing is published
    write(public / "controls" / "cards.csv", 1)
    runs(public / "controls", "a", "b")
    capsys.readouterr()
    assert book.of_other("controls", "cards", "other").x.tolist() == [1]
    runs(own / "controls" / "results", "a")  # some of the runs: left over from older code
    assert book.of_other("controls", "cards", "other").x.tolist() == [1]
    assert capsys.readouterr().out.count("is the published one") == 2
    runs(own / "controls" / "results", "b", "a")
    assert book.of_other("controls", "cards", "other").x.tolist() == [2]
    assert "is the one computed here" in capsys.readouterr().out
    assert pd.read_csv(own / "spaces" / "results" / "other.csv").x.tolist() == [2]
    write(public / "spaces" / "other.csv", 3)  # redrawing takes what was published with ours
    assert Workbook("spaces", redraw=True).of_other("controls", "cards", "other").x.tolist() == [3]


def test_redrawing_reads_what_is_published_and_needs_no_truth_table(tmp_path, monkeypatch):
    public = tmp_path / "public" / "spaces"
    monkeypatch.setattr("padalib.engine.paths.own_folder", lambda s, redraw=False: tmp_path / s)
    monkeypatch.setattr("padalib.engine.paths.published_results", lambda s: tmp_path / "public" / s)
    public.mkdir(parents=True)
    space = spaces.get("macro12")
    codes = [space.code(arch) for arch in list(space)[:6]]
    reference = pd.DataFrame({"code": codes, "accuracy": np.arange(6.0)})
    reference[["ceiling", "ceiling_low", "ceiling_high"]] = 0.9
    reference.to_csv(public / "reference.csv", index=False)
    (public / "scores.csv").write_text("method,seed\nSPOS,5\n")
    (public / "steps.csv").write_text("method,seed\nPA,5\n")
    found, steps = across.read([Workbook("spaces", redraw=True)])
    assert list(found) == list(steps) == ["macro12"] and steps["macro12"].method.tolist() == ["PA"]
    assert found["macro12"][0].method.tolist() == ["SPOS"]
    assert found["macro12"][1].codes == tuple(codes)
    assert across.read([Workbook("controls", redraw=True)]) == ({}, {})  # another study's scale


# --- variance ---


def probed(ratio, seeds=SEEDS):
    rows = []
    for method in ("SPOS", "PA", "PA&DA"):
        for seed in seeds:
            for weights in ("raw", "importance"):
                for part in ("all", "fixed", "edge 0"):
                    wobble = 1 + 0.01 * (-1) ** seed if method == "PA" else 1.0
                    total = 2.0 * wobble * (ratio[weights] if method == "PA" else 1.0)
                    rows.append(
                        {"method": method, "seed": seed, "epoch": 3, "weights": weights,
                         "part": part, "total": total, "signal_to_noise": 0.1, "group": 1}
                    )  # fmt: skip
    return pd.DataFrame(rows)


def test_a_lower_variance_without_a_schedule_is_shown():
    rows = {"macro12": {"raw": 0.5, "importance": 1.0}, "conv64": {"raw": 1.0, "importance": 3.0}}
    table = across.variances({name: probed(ratio) for name, ratio in rows.items()})
    assert len(table) == 2 * 2 * 2 and set(table.method) == {"PA"}
    assert table.holm.tolist() == pytest.approx(claims.holm(table.p.tolist()))
    found = {claim.key: claim for claim in verdicts.lowered(table)}
    assert {key.removeprefix("09.variance."): c.verdict for key, c in found.items()} == {
        "raw.macro12": claims.SHOWN, "importance.macro12": claims.EQUIVALENT,
        "raw.conv64": claims.EQUIVALENT, "importance.conv64": claims.OPPOSITE,
    }  # fmt: skip
    claim = found["09.variance.raw.macro12"]
    assert claim.effect == pytest.approx(0.5, rel=1e-3) and claim.null == 1
    assert "on the weights that no path leaves out by choice" in claim.evidence
    assert across.variances({}).empty and not list(verdicts.lowered(across.variances({})))


# --- runs ---


def test_probes_are_of_the_ends_of_spos_and_pa_where_there_is_no_schedule():
    scale = scales.get("smoke")
    (chain,) = scale.beside
    assert across.probes(scale) == []
    assert [(p.train.method.name, p.train.seed, p.epoch) for p in across.probes(chain)] == [
        (method, seed, chain.epochs) for seed in chain.seeds for method in across.PROBED
    ]
    assert set(across.configs(chain)) == {*across.rankings(chain), *across.probes(chain)}


def test_the_scale_trains_nothing_anew_that_controls_has(monkeypatch):
    monkeypatch.setattr(data, "fingerprint", lambda name: name)  # photographs may not be there
    scale, finished = scales.get("spaces"), scales.get("controls")
    assert scale.finished == finished.name
    by = {each.space.name: each for each in (scale, *scale.beside)}
    of_conv64 = next(each for each in finished.beside if each.space.name == "conv64")
    assert {key(c) for c in controls.configs(of_conv64)} <= {
        key(c) for c in across.rankings(by["conv64"])
    }
    for name in ("macro", "macro12"):
        assert by[name].seeds == tuple(range(5, 13))
        own = {q for q in across.questions(controls.scheduled(by[name].space)) if q.primary}
        assert {method for q in own for method in (q.a, q.b)} <= set(by[name].methods)
        assert by[name].space.benchmark == "macro"
        assert by[name].secondary_seeds == 5 and "yoked PA" in by[name].methods
        rest = {q for q in across.questions(controls.scheduled(by[name].space)) if not q.primary}
        there = {*by[name].methods, *by[name].secondary}
        assert {"DA", "FairNAS"} <= set(by[name].secondary) <= there
        assert {method for q in rest for method in (q.a, q.b)} - there <= {"sbs"}  # SPOS itself
        assert (by[name].data, by[name].epochs, by[name].batch, by[name].lr) == (
            "cifar10-16", 10, 64, 0.1
        )  # fmt: skip
        assert (by[name].crop, by[name].flip, by[name].rank_images) == (2, True, None)
    cells = by["nb1shot1-3"]
    assert cells.listed and cells.seeds == (5, 6, 7) and "yoked PA" not in cells.methods
    assert len(by["macro12"].ranked_archs()) == 256 and len(by["macro"].ranked_archs()) == 1000


# --- the figures ---


def test_the_forest_has_a_line_for_each_question_and_space(planted):
    lines = plots.lines(planted)
    assert [space for question, space in lines if question == "gain"] == ["", "mini", "tiny"]
    assert [s for q, s in lines if q == "pada"] == ["", "mini", "tiny", "chain-mini", "mean"]
    figure = plots.draw(planted)
    left, right = figure.axes
    labels = [text.get_text() for text in left.get_yticklabels()]
    assert len(labels) == len(lines)
    assert labels[:2] == ["PA&DA − SPOS", "mini"] and "PA − SPOS (no schedule)" in labels
    assert "DA − SPOS †" in labels and "mean over spaces" in labels
    assert planted["contrasts"].fifths.any()  # so the right panel has two outcomes
    whole = [*controls.OUTCOMES.values()]
    told = [axes.get_title(loc="left") for axes in (left, right)]
    assert told == [whole[0], f"{whole[1]} (or fifths)"]
    equal = planted | {"contrasts": planted["contrasts"].assign(fifths=False)}
    assert plots.draw(equal).axes[1].get_title(loc="left") == whole[1]
    said = plots.caption(scales.get("spaces"), planted)
    assert "PA − SPOS (schedule): shown in 1 of 2 spaces." in said


def test_the_figure_of_variance_has_a_line_for_each_space():
    rows = across.variances({"macro12": probed({"raw": 0.5, "importance": 1.0})})
    figure = plots.draw_variance(rows)
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["macro12"]
    assert "macro12, as taken 0.500" in plots.caption_variance(scales.get("spaces"), rows)


def test_every_question_is_named_once():
    assert len(ASKED) == len(QUESTIONS)
