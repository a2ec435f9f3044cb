"""The study of the budget: its configs, and its analysis on made-up tables with known answers."""

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest

from padalib import data, spaces
from padalib.engine import paths
from padalib.engine.runs import Run
from padalib.ranking import metrics
from padalib.ranking.report import Ranked
from padalib.study import budget, claims, limits, outcomes, ranking, scales
from padalib.study.budget import plots, verdicts
from padalib.study.workbook import Workbook

SPACE = spaces.get("mini")
CODES = tuple(SPACE.code(arch) for arch in SPACE)
CLASSES = tuple(SPACE.code(SPACE.canonical(arch)) for arch in SPACE)
RNG = np.random.default_rng(0)
OF_CLASS = {one: 60 + place / 4 for place, one in enumerate(RNG.permutation(sorted(set(CLASSES))))}
RANKED = Ranked(SPACE, CODES, np.array([OF_CLASS[one] for one in CLASSES]))
LENGTHS = (5, 10, 20, 40)


def made_up(spread, seeds=3, methods=("SPOS", "PA", "curriculum"), lengths=LENGTHS):
    """Scores that see the truth through noise of `spread(method, length)`, equal within a class."""
    rows = []
    for method, length, seed in product(methods, lengths, range(seeds)):
        rng = np.random.default_rng(seed)  # the same for all: what differs is the spread
        noise = dict(zip(sorted(set(CLASSES)), rng.normal(size=85), strict=True))
        seen = RANKED.true + spread(method, length) * np.array([noise[one] for one in CLASSES])
        rows.append(
            pd.DataFrame({"code": CODES, "accuracy": seen, "loss": -seen}).assign(
                method=method, seed=seed, epoch=length
            )
        )
    return pd.concat(rows)


def probes(scores):
    """Rows of probes of the same runs: PA's variance is half of SPOS's at every length."""
    rows = scores[["method", "seed", "epoch"]].drop_duplicates()
    total = np.where(rows.method == "PA", 1.0, 2.0) * 1.01**rows.seed
    kept = {"weights": "raw", "part": "all", "group": 1, "signal_to_noise": 0.1}
    return rows.assign(total=total, **kept)


def analyse(spread, known=None, **options):
    scores = made_up(spread, **options)
    return budget.analyse(scores, probes(scores), RANKED, known)


def closing(method, length):
    return {"SPOS": 60 / length, "PA": 3.0, "curriculum": 3.0}[method]


def closing_too(method, length):
    return closing({"PA&DA": "PA"}.get(method, method), length)


def claimed(found):
    return {claim.key: claim for claim in verdicts.conclude(found)}


# --- configs ---


def test_every_length_is_a_training_of_its_own_and_the_usual_one_is_shared(monkeypatch):
    monkeypatch.setattr(data, "fingerprint", lambda name: name)
    scale = scales.get("budget")
    runs = budget.trainings(scale)
    assert scale.lengths == (5, 10, 20, 40) and len(set(runs)) == len(runs) == 4 * 3 * 5
    for config in runs:
        usual = scale.training(config.method.name, config.seed)
        assert replace(config, epochs=usual.epochs) == usual and config.epochs in scale.lengths
    assert [config.epochs for config in runs] == sorted(config.epochs for config in runs)
    controls = {Run(config).key for config in scales.get("controls").trainings()}
    shared = [config for config in runs if Run(config).key in controls]
    assert {(c.method.name, c.seed, c.epochs) for c in shared} == {
        (method, seed, 20) for method in ("SPOS", "PA", "curriculum") for seed in scale.seeds
    }
    assert [scoring.train for scoring in budget.scorings(scale)] == runs
    assert {(s.images, s.archs, s.splits) for s in budget.scorings(scale)} == {
        (None, 1000, ("valid",))
    }
    assert [(probe.train, probe.epoch) for probe in budget.probes(scale)] == [
        (config, config.epochs) for config in runs
    ]
    parts = (budget.scorings(scale), budget.probes(scale), budget.alones(scale))
    assert budget.configs(scale) == [config for part in parts for config in part]


@pytest.mark.parametrize("name, lengths", [("budget", (10, 20)), ("cifar32", (10,))])
def test_networks_are_trained_alone_at_both_scales_and_are_the_same(name, lengths):
    scale = replace(scales.get(name), alone=64, alone_longer=lengths[-1])
    alone = budget.alones(scale)
    assert [scoring.train.epochs for scoring in alone] == [n for n in lengths for _ in range(64)]
    first = [s.train.arch for s in budget.alones(replace(scales.get("cifar32"), alone=64))]
    assert [s.train.arch for s in alone] == first * len(lengths) and len(set(first)) == 64
    assert {scoring.images for scoring in alone} == {None}


def test_whole_images_at_the_papers_width():
    scale = scales.get("cifar32")
    assert (scale.space.channels, scale.space.cells, scale.space.size) == (16, 1, 32)
    assert scale.data == "cifar10" and scale.crop == 4
    assert {config.epochs for config in budget.trainings(scale)} == {scale.epochs}
    assert len(budget.trainings(scale)) == 16 and scales.get("budget").larger == scale.name


# --- analysis ---


def test_a_gain_that_closes_is_shown_to_close():
    found = analyse(closing)
    by = claimed(found)
    assert set(by) == {
        f"07.{key}_{outcome}"
        for key in ("closes", "spos", "ends", "twice", "schedule")
        for outcome in budget.JUDGED
    }
    assert by["07.closes_tau"].verdict == by["07.spos_tau"].verdict == claims.SHOWN
    assert by["07.closes_tau"].effect == pytest.approx(-by["07.spos_tau"].effect)
    scores = made_up(closing).set_index(["method", "epoch", "seed"])
    slopes = []
    for seed in range(3):
        gaps = [
            metrics.tau(-scores.loc["PA", n, seed].loss.to_numpy(), RANKED.true)
            - metrics.tau(-scores.loc["SPOS", n, seed].loss.to_numpy(), RANKED.true)
            for n in LENGTHS
        ]
        slopes.append(np.polyfit(np.log2(LENGTHS), gaps, 1)[0])
    assert by["07.closes_tau"].effect == pytest.approx(np.mean(slopes))
    assert by["07.closes_tau"].bound == pytest.approx(0.01)
    assert "5 to 40 epochs" in by["07.closes_tau"].evidence


def test_evidence_of_a_slope_names_what_else_it_may_be():
    said = claimed(analyse(closing))["07.closes_tau"].evidence
    for part in (
        "without 5 epochs",
        "PA itself",
        "SPOS itself",
        "PA − SPOS by epochs",
        "architectures: 5: +0.",
    ):
        assert part in said
    rows = analyse(closing).slopes.set_index(["a", "b", "outcome", "shortest"])
    whole, part = (rows.loc[("PA", "SPOS", "tau", first)] for first in (5, 10))
    assert whole.difference < part.difference < 0 and whole.tests == part.tests == 2
    assert (whole.asked, rows.loc[("PA", "", "tau", 5)].asked) == ("shrinks", "grows")
    own = {name: rows.loc[(name, "", "tau", 5)].difference for name in ("SPOS", "PA")}
    assert whole.difference == pytest.approx(own["PA"] - own["SPOS"]) and own["PA"] == 0


def test_pa_is_told_from_its_schedule_by_the_mean_over_lengths_that_nobody_had_seen():
    """PA beats the curriculum at 20 epochs only, which are known; or at all others."""

    def spread(best):
        return lambda method, length: 1.0 if method == "PA" and length in best else 20.0

    only, rest = analyse(spread({20}), 20), analyse(spread({5, 10, 40}), 20)
    assert claimed(only)["07.schedule_tau"].verdict == claims.EQUIVALENT
    claim = claimed(rest)["07.schedule_tau"]
    assert claim.verdict == claims.SHOWN and "mean over 5, 10, 40 epochs" in claim.statement
    assert "20: 0" in claim.evidence.replace("+0", "0")  # and what is known stands beside
    rows = rest.differences.query("a == 'PA' and b == 'curriculum' and outcome != 'with_flops'")
    assert len(rows) == len(LENGTHS) * 2
    assert rows.holm.tolist() == pytest.approx(claims.holm(rows.p.tolist()))
    apart = rows[(rows.outcome == "tau") & (rows.epoch != 20)].difference
    assert claim.effect == pytest.approx(apart.mean())
    assert "5, 10, 20, 40" in claimed(analyse(spread({20})))["07.schedule_tau"].statement
    same = claimed(analyse(lambda method, length: 5.0))["07.schedule_tau"]
    assert same.verdict == claims.EQUIVALENT and same.effect == 0


def test_pa_stands_beside_spos_trained_longer():
    found = analyse(closing)
    taus = found.cards.query("by == 'loss' and measure == 'tau'").set_index(["method", "epoch"])
    taus, by = taus.value, claimed(found)
    ends = by["07.ends_tau"]
    assert "after 5 epochs" in ends.statement and "after 40" in ends.statement
    assert ends.effect == pytest.approx(taus["PA", 5] - taus["SPOS", 40])
    twice = np.mean([taus["PA", n] - taus["SPOS", 2 * n] for n in (5, 10, 20)])
    assert by["07.twice_tau"].effect == pytest.approx(twice)
    rows = found.unequal[found.unequal.outcome == "tau"]
    assert rows.kind.value_counts().to_dict() == {"pair": 6, "ends": 1, "twice": 1}
    assert set(found.unequal[found.unequal.kind.isin(["ends", "twice"])].tests) == {4, 2}
    steps = found.doublings[found.doublings.outcome == "tau"]
    gain = {n: taus["PA", n] - taus["SPOS", n] for n in LENGTHS}
    assert steps.difference.tolist() == pytest.approx(
        [gain[10] - gain[5], gain[20] - gain[10], gain[40] - gain[20]]
    )


def test_a_seed_that_a_length_lacks_is_in_no_slope():
    scores = made_up(closing)
    less = scores[~((scores.method == "PA") & (scores.epoch == 5) & (scores.seed == 0))]
    slopes = budget.analyse(less, probes(less), RANKED).slopes
    rows = slopes.set_index(["a", "b", "outcome", "shortest"])
    assert rows.loc[("PA", "SPOS", "tau", 5)].seeds == 2
    assert rows.loc[("PA", "SPOS", "tau", 10)].seeds == 3
    kept = budget.analyse(*(t[t.seed > 0] for t in (scores, probes(scores))), RANKED).slopes
    kept = kept.set_index(["a", "b", "outcome", "shortest"])
    row = ("PA", "SPOS", "tau", 5)
    assert rows.loc[row].difference == pytest.approx(kept.loc[row].difference)


@pytest.mark.parametrize("length", [2, 20])
def test_one_length_has_differences_and_no_slope(length):
    found = analyse(closing, lengths=(length,))
    assert found.slopes.empty and found.unequal.empty and found.doublings.empty
    assert set(found.differences.epoch) == {length}
    assert not claimed(found)  # what one length says is told by the controls
    steps, noise = plots.draw(found).axes
    assert [label.get_text() for label in steps.get_yticklabels()] == ["PA", "curriculum"]
    rings = [line for line in steps.lines if line.get_marker() == "o"]
    assert [line.get_xdata()[0] for line in rings] == pytest.approx([0.5, 1.0])
    assert noise.get_xlabel() == "minus SPOS's"
    said = plots.caption(found, "x")
    assert f"end of {length} epochs" in said and "all weights PA 0.5" in said
    assert set(plots.plotted(found).panel) == {"variance", "snr"}  # and no level of a ranking
    assert verdicts.described(found).startswith(f"- SPOS, {length} epochs: tau")


@pytest.mark.parametrize("factor, verdict", [(0.5, claims.SHOWN), (1.6, claims.OPPOSITE)])
def test_one_length_says_how_steps_of_pada_vary(factor, verdict):
    scores = made_up(closing_too, methods=("SPOS", "PA", "curriculum", "PA&DA"), lengths=(20,))
    rows = probes(scores).reset_index(drop=True)
    rows.loc[rows.method == "PA&DA", "total"] *= factor * (1 + rows.seed / 100)
    (claim,) = verdicts.conclude(budget.analyse(scores, rows, RANKED))
    assert (claim.key, claim.verdict, claim.null) == ("07.steps", verdict, 1.0)
    assert claim.effect == pytest.approx(factor * 1.01, rel=1e-3)
    assert "PA 0.5" in claim.evidence and "times SPOS's at epoch 20" in claim.evidence


@pytest.mark.parametrize("lengths, trained", [((2,), 2), ((), 20)])
def test_a_scale_with_one_length_or_none_trains_each_method_once(lengths, trained):
    scale = replace(scales.get("budget"), lengths=lengths)
    runs = budget.trainings(scale)
    assert {config.epochs for config in runs} == {trained}
    assert len(runs) == len(set(runs)) == len(scale.methods) * len(scale.seeds)


def test_differences_are_drawn_with_both_doubts_together():
    found = analyse(closing)
    own = found.differences.query("a == 'PA' and b == 'SPOS' and outcome == 'tau'")
    lines = plots.draw(found).axes[4].collections[0].get_segments()
    drawn, apart = [line[0][1] for line in lines], own.epoch != 20  # there the two are the same
    assert drawn == pytest.approx(own.both_low.fillna(0.0).tolist())
    assert (own.both_low < own.archs_low)[apart].all()
    without = own.assign(both_low=math.nan, both_high=math.nan)
    low, high = outcomes.joint(without)
    assert low.equals(own.archs_low.rename(None)) and high.equals(own.archs_high.rename(None))


def test_variance_is_beside_spos_at_every_length():
    rows = analyse(closing).steps
    rows = rows[(rows.value == "variance") & (rows.method == "PA")]
    assert rows.epoch.tolist() == list(LENGTHS)
    assert rows.change.tolist() == pytest.approx([0.5] * len(LENGTHS))


def test_cards_and_words_for_every_method_and_length():
    found = analyse(closing)
    rows = found.cards.set_index(["method", "epoch", "by", "measure"]).value
    assert rows["SPOS", 40, "loss", "between_seeds"] > rows["SPOS", 5, "loss", "between_seeds"]
    assert set(found.free.name) == {"FLOPs of live options", "parameters"}
    said = verdicts.described(found)
    assert said.count("limit") == 2 * 3 and "SPOS, 5 and 40 epochs" in said


def test_networks_alone_stand_beside_every_method_and_length():
    known = pd.DataFrame({"code": CODES, "accuracy": RANKED.true, "function": CLASSES})
    known[ranking.PARAMETERS], known[ranking.LIVE_FLOPS] = RANKED.params, RANKED.flops
    few = sorted(set(CLASSES))[:20]
    own = pd.DataFrame({"code": few, "accuracy": [OF_CLASS[one] for one in few]})
    reversed_ = own.assign(accuracy=-own.accuracy)
    alone = pd.concat([own.assign(epoch=10), reversed_.assign(epoch=20)])
    table = budget.proxy(alone, made_up(closing), known)
    first = table[table.method == limits.ALONE].set_index("epoch")["mean"]
    assert first.to_dict() == {10: 1.0, 20: -1.0}
    rest = table[table.method.isin(["SPOS", "PA", "curriculum"])]
    assert rest.groupby("method").epoch.apply(list).to_dict() == {
        name: list(LENGTHS) for name in ("SPOS", "PA", "curriculum")
    }
    assert set(table.architectures) == {20}
    assert len(plots.draw_proxy(table).axes) == 1
    assert "10 epochs 1.00" in plots.caption_proxy(table, "budget")


# --- beside a larger scale ---


def test_a_larger_scale_is_shown_where_its_tables_are(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "project_root", lambda: tmp_path)
    book = Workbook("budget")
    assert budget.larger(book) is None and budget.larger(Workbook("smoke")) is None
    cards = analyse(closing, lengths=(20,)).cards
    published = paths.published_results("cifar32") / "budget_cards.csv"
    published.parent.mkdir(parents=True)
    cards.assign(seeds=9).to_csv(published, index=False)
    assert set(budget.larger(book).seeds) == {9}
    own = paths.own_folder("cifar32") / "results" / "budget_cards.csv"
    own.parent.mkdir(parents=True)
    cards.to_csv(own, index=False)
    assert set(budget.larger(book).seeds) == {3}
    # What is redrawn knows only what was published with the scale itself.
    redrawn = Workbook("budget", redraw=True)
    assert budget.larger(redrawn) is None
    kept = paths.published_results("budget") / "budget_larger.csv"
    kept.parent.mkdir(parents=True)
    cards.assign(seeds=7).to_csv(kept, index=False)
    assert set(budget.larger(redrawn).seeds) == {7}


def test_the_figure_shows_every_method_and_the_larger_scale():
    found = analyse(closing)
    plain = plots.draw(found)
    assert len(plain.axes) == 6
    more = plots.draw(found, analyse(closing, lengths=(80,)).cards)
    opened = [line for line in more.axes[0].lines if line.get_markerfacecolor() == "white"]
    assert [line.get_marker() for line in opened] == ["o", "s", "^"]
    assert [label.get_text() for label in plain.legends[0].texts] == ["SPOS", "PA", "curriculum"]
    said = plots.caption(found, "budget", "cifar32")
    assert "after 5 epochs" in said and "Open marks, in the panels of levels: scale cifar32" in said
