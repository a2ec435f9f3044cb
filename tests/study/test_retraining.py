"""Retraining found architectures: recipes and searches as configs, made-up trainings."""

import math
import shutil
from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from padalib import data, spaces
from padalib.engine import launch
from padalib.engine.identity import key
from padalib.engine.runs import Run, RunError
from padalib.ranking import search
from padalib.ranking.counted import Counted, Limits, scorer
from padalib.ranking.scores import BrokenNetwork
from padalib.ranking.searched import SearchConfig
from padalib.study import claims, recipes, retraining, scales
from padalib.study.recipes import RECIPES
from padalib.study.retraining import CONTROLS, DRAWN, LARGEST, MOST, UNTRAINED, plots, verdicts
from padalib.study.scale import Retraining
from padalib.train import TrainConfig, load

MINI, DARTS = spaces.get("darts-mini"), spaces.get("darts")
ONE, OTHER = (3, 3, 0, 3, 3, 3, 3, 0, 3, 3), (0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
SEEDS = (0, 1, 2)


# --- recipes ---


def test_the_published_recipe_is_a_config():
    config = RECIPES["darts"].config(DARTS, tuple([0] * 22), 1, data="cifar10")
    space = config.space
    assert (space.channels, space.layers, space.auxiliary, space.drop_path) == (36, 20, 0.4, 0.2)
    assert (config.epochs, config.batch, config.lr, config.weight_decay) == (600, 96, 0.025, 3e-4)
    assert (config.clip, config.crop, config.cutout, config.flip) == (5, 4, 16, True)
    assert (config.bn, config.train_split, config.momentum) == ("running", "train+valid", 0.9)


def test_a_short_recipe_has_the_same_parts():
    full, short = (RECIPES[name].config(MINI, ONE, 0, data="digits") for name in list(RECIPES)[:2])
    assert full.space.auxiliary == short.space.auxiliary
    assert full.space.drop_path == short.space.drop_path
    assert (short.space.channels, short.space.layers, short.epochs) == (8, 5, 15)
    assert (short.crop, short.cutout) == (full.crop, full.cutout) == (2, 8)  # of 16 pixels


def test_what_two_names_share_is_trained_once():
    found = {"PA": [ONE, OTHER], "SPOS": [ONE], LARGEST: [ONE]}
    made = retraining.trainings(found, MINI, RECIPES["darts-short"], "digits", SEEDS, flip=False)
    assert len(made) == len({key(config) for config in made}) == 2 * 3
    assert {config.splits for config in made} == {("test",)}
    assert not any(config.train.flip for config in made)


def test_recipes_refuse_what_they_cannot_train():
    short = RECIPES["darts-short"]
    with pytest.raises(
        ValueError, match=r"recipe darts-short sets auxiliary, .*use one of mobilenet-"
    ):
        short.config(spaces.get("mini"), (1, 2, 3), 0, data="digits")
    with pytest.raises(ValueError, match=r"3 or more different seeds, got \(0, 1\)"):
        retraining.trainings({"PA": [ONE]}, MINI, short, "digits", (0, 1))
    with pytest.raises(ValueError, match="different seeds"):
        retraining.trainings({"PA": [ONE]}, MINI, short, "digits", (0, 1, 1))
    with pytest.raises(ValueError, match="found by SPOS: leave the name out"):
        retraining.trainings({"PA": [ONE], "SPOS": []}, MINI, short, "digits", SEEDS)
    assert RECIPES["plain"].config(spaces.get("mini"), (1, 2, 3), 0).arch == (1, 2, 3)


def test_trainings_from_configs_to_claims():
    found = {"PA": [ONE], "SPOS": [OTHER]}
    space = replace(MINI, size=16)
    quick = {"epochs": 1, "batch": 128, "flip": False}
    recipe = retraining.Recipe("quick", {"auxiliary": 0.4, "drop_path": 0.2}, {"cutout": 8})
    made = retraining.trainings(found, space, recipe, "digits-small", SEEDS, **quick)
    scores = pd.concat(
        Run(config).compute().table("scores").assign(seed=config.train.seed) for config in made
    )
    runs = retraining.named(found, space, scores)
    assert list(runs.columns) == ["code", "seed", "accuracy", "name", "draw", "params", "flops"]
    assert len(runs) == 6 and runs.params.nunique() == 2
    tables, found_claims = verdicts.analyse(runs, "darts-mini")
    assert [claim.key for claim in found_claims] == ["13.retrained.pa.spos.darts-mini"]
    assert set(tables["better"].space) == {"darts-mini"}
    assert len(tables["better"]) == 1
    with pytest.raises(ValueError, match="found by random draws, has no score"):
        retraining.named({DRAWN: [tuple([1] * 10)]}, space, scores)


# --- analysis ---


def trained(means, archs=1, noise=0.1, spread=0.0, seeds=5):
    """Made-up trainings: name -> its mean; sd between trainings and between architectures."""
    rows, rng = [], np.random.default_rng(0)
    for name, mean in means.items():
        for draw in range(archs):
            own = mean + spread * rng.normal()
            for seed in range(seeds):
                accuracy = own + noise * rng.normal()
                rows.append([f"{name} {draw}", seed, accuracy, name, draw, 10, 100])
    columns = ["code", "seed", "accuracy", "name", "draw", "params", "flops"]
    return pd.DataFrame(rows, columns=columns)


def by_key(found):
    return {claim.key.removesuffix("."): claim for claim in found}  # of a space without a name


def test_the_noise_of_retraining_by_hand():
    values = {"SPOS": [90.0, 91.0, 92.0], "PA": [93.0, 93.0, 96.0]}
    runs = pd.DataFrame(
        [[n, s, v, n, 0, 1, 1] for n, own in values.items() for s, v in enumerate(own)],
        columns=["code", "seed", "accuracy", "name", "draw", "params", "flops"],
    )
    row = verdicts.noise(runs).iloc[0]
    assert row.sd == pytest.approx(((2 * 1 + 2 * 3) / 4) ** 0.5)  # variances 1 and 3
    assert row.low == pytest.approx(row.sd * (4 / 11.1433) ** 0.5, rel=1e-4)  # chi2, 4 degrees
    assert row.high == pytest.approx(row.sd * (4 / 0.484419) ** 0.5, rel=1e-4)
    assert row.methods == pytest.approx(3) and (row.archs, row.trainings) == (2, 6)
    tables, _ = verdicts.analyse(runs)
    (better,) = tables["better"].itertuples()
    half = 2.77645 * 2**0.5 * (1 / 3 + 1 / 3) ** 0.5  # Student's with 4 degrees, sd the root of 2
    assert (better.difference, better.seeds_low) == pytest.approx((3, 3 - half), abs=1e-4)
    assert (better.unit, better.seeds, better.seeds_freedom) == ("trainings", 6, 4)
    assert np.isnan(better.archs_low)  # one architecture a side: nothing is known of other searches
    again = pd.concat([runs, runs.assign(name="PA&DA")])  # shared trainings count once
    assert verdicts.noise(again).trainings.iloc[0] == 6


def test_an_interval_over_searches_by_hand():
    """Welch's, between the means of four architectures and one's, which has the pooled noise."""
    a, b = [91.0, 92.0, 93.0, 94.0], [90.0, 90.5, 91.0]
    rows = [[f"a{d}", s, v + s - 1, "PA", d, 1, 1] for d, v in enumerate(a) for s in SEEDS]
    rows += [["b", s, v, LARGEST, 0, 1, 1] for s, v in enumerate(b)]
    columns = ["code", "seed", "accuracy", "name", "draw", "params", "flops"]
    (row,) = verdicts.analyse(pd.DataFrame(rows, columns=columns))[0]["better"].itertuples()
    variance = (4 * 1.0 + 0.25) / 5  # of one training: five architectures, 2 degrees each
    one, two = np.var(a, ddof=1) / 4, variance / 3
    free = (one + two) ** 2 / (one**2 / 3 + two**2 / 10)
    assert row.difference == pytest.approx(2.0) and row.archs_freedom == pytest.approx(free)
    half = stats.t.ppf(0.975, free) * (one + two) ** 0.5
    assert (row.archs_high - row.archs_low) / 2 == pytest.approx(half)
    assert math.isnan(row.both_low)  # both doubts are in it
    # With these architectures: 12 trainings beside 3.
    half = stats.t.ppf(0.975, 10) * (variance * (1 / 12 + 1 / 3)) ** 0.5
    assert (row.seeds_high - row.seeds_low) / 2 == pytest.approx(half)
    assert (row.seeds, row.functions, row.second) == (15, 5, "searches and trainings")


@pytest.mark.parametrize("again", [4, 3])  # of PA's four searches: all find one, or all but one
def test_an_architecture_that_is_found_again_is_no_new_training(again):
    """By hand: the trainings of one have sd 1, and the mean of its searches has all their noise."""
    found = {"PA": ["x"] * again + ["y"] * (4 - again), LARGEST: ["b"]}
    rows = [
        [code, s, 90.0 + (name == "PA") + s, name, d, 1, 1]
        for name, own in found.items()
        for d, code in enumerate(own)
        for s in SEEDS
    ]
    columns = ["code", "seed", "accuracy", "name", "draw", "params", "flops"]
    (row,) = verdicts.analyse(pd.DataFrame(rows, columns=columns))[0]["better"].itertuples()
    square = (again / 4) ** 2 + (1 - again / 4) ** 2  # of the shares
    degrees = 2 * (2 if again == 4 else 3)  # of the pooled noise: two of each architecture
    free = degrees * (square + 1) ** 2 / (square**2 + 1)
    half = stats.t.ppf(0.975, free) * ((square + 1) / 3) ** 0.5
    assert (row.archs_high - row.archs_low) / 2 == pytest.approx(half)


def test_what_both_sides_trained_has_no_noise():
    """Two searches a side, one found by both: a difference of halves of the other two alone."""
    rows = [
        [code, s, v + s, name, d, 1, 1]
        for name, own in {
            "SPOS": [("x", 90.0), ("y", 91.0)],
            "PA": [("x", 90.0), ("z", 93.0)],
        }.items()
        for d, (code, v) in enumerate(own)
        for s in SEEDS
    ]
    columns = ["code", "seed", "accuracy", "name", "draw", "params", "flops"]
    (row,) = verdicts.analyse(pd.DataFrame(rows, columns=columns))[0]["better"].itertuples()
    half = stats.t.ppf(0.975, 6) * ((1 / 4 + 1 / 4) / 3) ** 0.5  # variance 1, three architectures
    assert row.difference == pytest.approx(1.0) and row.seeds == 6
    assert (row.seeds_high - row.seeds_low) / 2 == pytest.approx(half)


def test_what_is_better_is_shown_and_what_is_not_is_equivalent():
    means = {"SPOS": 90.0, "PA": 92.0, "PA&DA": 90.0, LARGEST: 92.0, DRAWN: 89.0, UNTRAINED: 92.5}
    tables, found = verdicts.analyse(trained(means, seeds=10))
    own = by_key(found)
    assert own["13.retrained.pa.spos"].verdict == claims.SHOWN
    assert own["13.retrained.pa.random_draws"].verdict == claims.SHOWN
    assert own["13.retrained.pa.untrained"].verdict == claims.OPPOSITE
    assert own["13.retrained.spos.largest_network"].verdict == claims.OPPOSITE
    assert own["13.retrained.pa.largest_network"].verdict in (claims.EQUIVALENT, claims.NOT_SHOWN)
    assert own["13.retrained.pa.largest_network"].statement.startswith("*Control:* what PA finds")
    assert all("Training one architecture again moves it by" in c.evidence for c in found)
    better = tables["better"]
    assert len(better) == 2 + 3 * 3
    assert better.holm.tolist() == pytest.approx(claims.holm(better.p.tolist()))
    assert better.bound.tolist() == pytest.approx([tables["noise"].sd.iloc[0]] * 11, rel=0.05)


def test_noise_of_searches_hides_what_noise_of_training_would_show():
    means = {"SPOS": 90.0, "PA": 90.3}
    one = by_key(verdicts.analyse(trained(means, archs=4, noise=0.05, spread=0.0))[1])
    two = by_key(verdicts.analyse(trained(means, archs=4, noise=0.05, spread=1.0))[1])
    assert one["13.retrained.pa.spos"].verdict == claims.SHOWN
    assert two["13.retrained.pa.spos"].verdict not in (claims.SHOWN, claims.EQUIVALENT)


def test_the_same_architecture_is_no_difference():
    runs = trained({"SPOS": 90.0})
    tables, (claim,) = verdicts.analyse(pd.concat([runs, runs.assign(name="PA")]))
    assert claim.effect == 0 and claim.verdict == claims.EQUIVALENT
    assert tables["better"].p.tolist() == [1.0]


def test_unequal_seeds_are_refused():
    runs = trained({"SPOS": 90.0, "PA": 91.0})
    with pytest.raises(ValueError, match="all need the same seeds"):
        verdicts.analyse(runs[(runs.name == "PA") | (runs.seed > 0)])


def test_the_figure_shows_every_training_and_contrast():
    means = {"SPOS": 90.0, "PA": 92.0, **dict.fromkeys(CONTROLS, 91.0)}
    runs = trained(means, archs=2)
    tables, _ = verdicts.analyse(runs, "mini")
    figure = plots.draw(runs, tables)
    left, right = figure.axes
    assert [label.get_text() for label in left.get_xticklabels()] == list(means)
    points = [line for line in left.lines if line.get_marker() == "o"]
    assert sum(len(line.get_xdata()) for line in points) == len(runs)
    assert len(right.get_yticklabels()) == len(tables["better"]) == 1 + 2 * 4
    said = plots.caption(tables, "smoke")
    assert "Scale smoke, mini." in said and "5 seeds each" in said and "Of 9 contrasts" in said
    assert "Smallest difference that could have been shown " in said and " points" in said


def test_the_noise_figure_has_each_space_and_its_three_numbers():
    results = {
        name: verdicts.analyse(trained({"SPOS": 90.0, "PA": 90.5}, archs, 0.2), name)[0]
        for name, archs in (("mini", 3), ("darts-mini", 1))
    }
    tables = verdicts.together(results)
    rows = tables["noise"].set_index("space")
    assert list(rows.index) == ["mini", "darts-mini"]
    assert rows.searches.isna().tolist() == [False, True]  # one search says nothing of others
    (axes,) = plots.draw_noise(tables["noise"]).axes
    drawn = {
        line.get_marker(): float(line.get_xdata()[0])
        for line in axes.lines
        if len(line.get_xdata()) == 1 and line.get_ydata()[0] == 0
    }
    mini = rows.loc["mini"]
    assert drawn == pytest.approx({"o": mini.sd, "s": mini.searches, "D": mini.methods})
    assert [label.get_text() for label in axes.get_yticklabels()] == ["mini", "darts-mini"]
    said = plots.caption_noise(tables["noise"], "smoke")
    assert f"methods by up to {mini.methods:.2f}, {mini.methods / mini.sd:.1f} times that" in said
    assert "30 trainings (mini), 10 trainings (darts-mini)" in said


def test_how_much_searches_differ_by_hand():
    """Means 90, 92 and 94, each of trainings that differ by an sd of 1."""
    rows = [
        [f"{draw}", seed, 90 + 2 * draw + off, "PA", draw, 1, 1]
        for draw in range(3)
        for seed, off in enumerate((-1.0, 0.0, 1.0))
    ]
    columns = ["code", "seed", "accuracy", "name", "draw", "params", "flops"]
    row = verdicts.noise(pd.DataFrame(rows, columns=columns)).iloc[0]
    assert row.sd == pytest.approx(1)
    assert row.searches == pytest.approx((4 - 1 / 3) ** 0.5)


# --- where the truth is known ---


def test_the_truth_beside_by_hand():
    runs = trained({"SPOS": 90.0, "PA": 92.0, LARGEST: 94.0, MOST: 96.0}, noise=0.01)
    codes = [f"{name} 0" for name in ("SPOS", "PA", LARGEST, MOST)]
    truth = pd.Series([70.0, 71.0, 73.0, 72.0], codes)
    tables, found = verdicts.analyse(runs, "mini", truth)
    true = tables["better"].set_index(["a", "b"])["true"]
    assert true["PA", "SPOS"] == pytest.approx(1) and true["PA", MOST] == pytest.approx(-1)
    row = tables["check"].iloc[0]
    assert (row.tau, row.archs, row.space) == (pytest.approx(2 / 3), 4, "mini")  # 5 of 6 pairs
    assert row.low < row.tau < row.high <= 1
    claim = by_key(found)["13.check.mini"]
    assert claim.effect == row.tau and claim.figure == verdicts.NOISE_FIGURE
    few, found = verdicts.analyse(trained({"SPOS": 90.0, "PA": 92.0}), "mini", truth)
    assert np.isnan(few["check"].tau.iloc[0])
    assert by_key(found)["13.check.mini"].verdict == claims.UNMEASURABLE


# --- what is searched, and what is trained ---


def searched(scale, found):
    """Made-up searches: (method, epoch) -> the code that each seed finds; two looks each."""
    rows = [
        {"method": method, "seed": seed, "epoch": epoch, "found": code}
        for (method, epoch), code in found.items()
        for seed in scale.seeds
        for code in (scale.space.code((0, 0, 0)), code)
    ]
    return pd.DataFrame(rows)


def test_the_last_found_is_trained_again_beside_the_controls():
    scale = scales.get("smoke")
    found = {("SPOS", 2): "1-1-1", ("PA", 2): "1-3-2", ("SPOS", 0): "0-3-1"}
    archs = retraining.chosen(scale, searched(scale, found))
    assert list(archs) == ["SPOS", "PA", UNTRAINED, *CONTROLS[:3]]
    assert archs["SPOS"] == [(1, 1, 1)] * 2 and archs["PA"] == [(1, 3, 2)] * 2
    assert archs[UNTRAINED] == [(0, 3, 1)] * 2 and archs[LARGEST] == [(3, 3, 3)]
    space, most = scale.space, retraining.limit(scale)
    allowed = [arch for arch in space if space.flops(arch) <= most]
    assert len(allowed) >= len(space) / 2  # all are among the random ones
    assert space.flops(archs[MOST][0]) == max(map(space.flops, allowed)) == most
    assert len(set(archs[DRAWN])) == scale.retraining.draws and {*archs[DRAWN]} <= {*allowed}
    runs = retraining.again(scale, archs)
    functions = {space.canonical(arch) for own in archs.values() for arch in own}
    assert len(runs) == 3 * len(functions)
    assert {(c.train.epochs, c.train.crop, c.train.data) for c in runs} == {(1, 1, "digits-small")}
    assert {c.train.train_split for c in runs} == {"train+valid"}


@pytest.mark.parametrize("name", ["smoke", "retraining"])
def test_every_method_and_the_untrained_are_searched_alike(name):
    scale = scales.get(name)
    for each in (scale, *scale.beside):
        made = retraining.configs(each)
        asked = [(c.train.method.name, c.epoch > 0, c.seed) for c in made]
        wanted = {(m, True, s) for m in retraining.METHODS for s in each.seeds}
        assert len(asked) == len(set(asked))
        assert set(asked) == wanted | {("SPOS", False, s) for s in each.seeds}
        assert len({(c.evaluations, c.flops, c.images, c.split) for c in made}) == 1
        assert all(c.seed == c.train.seed for c in made)
        assert len(each.retraining.seeds) >= retraining.LEAST_SEEDS
        recipes.get(each.retraining.recipe).config(each.space, each.space.sample(rng()), 0)


def rng():
    return torch.Generator().manual_seed(0)


def test_the_scale_takes_the_supernets_of_controls_and_holds_back_the_test_images():
    scale, controls = scales.get("retraining"), scales.get("controls")
    for seed in scale.seeds:
        for method in scale.methods:
            assert scale.training(method, seed) == controls.training(method, seed)
    for each in (scale, *scale.beside):
        assert each.data == "cifar10-16" and each.rank_split == "valid"
    darts, mobile = scale.beside
    assert len(darts.space) == len(MINI) and len(mobile.space) == 6**8
    assert not scale.retraining.known or scale.space.benchmark == "nasbench201"


@pytest.mark.parametrize("name", ["mini", "chain-mini", "nasbench201", "macro", "darts-mini"])
def test_the_largest_network_has_most_parameters(name):
    space = spaces.get(name)
    found = space.params(retraining.largest(space))
    if len(space) <= 243:
        assert found == max(map(space.params, space))
    own = rng()
    others = [space.sample(own) for _ in range(50)]
    assert all(space.params(arch) <= found for arch in others)
    assert len(set(map(space.params, others))) > 1


def test_the_largest_mobilenet_is_widest_and_has_the_largest_kernels():
    space = scales.get("retraining").beside[-1].space
    assert set(space.decode(retraining.largest(space)).split("|")) == {"mb6_k7"}


def test_hours_by_hand(monkeypatch):
    scale = replace(scales.get("smoke"), retraining=Retraining(epochs=2, draws=3), rank_images=300)
    monkeypatch.setattr(type(scale), "step_seconds", lambda self: 0.064)  # a millisecond an image
    supernets = 3 * 2 * 2 + 2  # methods, seeds, epochs; an untrained one trains one epoch
    alone = ((3 + 1) * 2 + 2 + 3) * 3 * 2  # found and controls, seeds, epochs
    scored = (3 + 1) * 2 * 16 * 300 / 3
    seconds = (50_000 * (supernets + alone) + scored) / 1000
    assert retraining.hours([scale]) == pytest.approx(seconds / 3600 / 2)
    assert retraining.hours([scale, scale], cores=4) == pytest.approx(seconds / 3600 / 2)


def test_unknown_recipes_are_refused():
    with pytest.raises(
        ValueError, match=r"unknown recipe 'dart': did you mean darts\? choose one of darts"
    ):
        recipes.get("dart")


def test_mobilenets_recipe_scales_the_published_one():
    config = RECIPES["mobilenet-short"].config(spaces.get("mobilenet6"), (0,) * 21, 0)
    assert config.lr == pytest.approx(0.5 * config.batch / 1024)
    assert (config.weight_decay, config.bn, config.train_split) == (4e-5, "running", "train+valid")


def test_a_search_run_finds_what_the_search_finds():
    train = TrainConfig(data="digits-small", epochs=1)
    config = SearchConfig(train, evaluations=10, flops=1e6, images=64, seed=3)
    run = Run(config).compute()
    found = run.table("search")
    net = load(Run(train)).net
    images = data.load("digits-small")["valid"].first(64)
    limits = Limits(train.space, {"flops": 1e6})
    own = Counted(train.space, scorer(net, images), 10, limits)
    again = search.elitist(own, 3, **search.scaled(10))
    pd.testing.assert_frame_equal(found, again, check_dtype=False)
    assert len(found) == 10
    assert all(train.space.flops(train.space.parse(code)) <= 1e6 for code in found.code)


def test_a_limit_that_nothing_meets_is_refused_before_anything_is_trained():
    train = TrainConfig(data="digits-small", epochs=1, seed=7)
    config = SearchConfig(train, evaluations=10, flops=1.0)
    with pytest.raises(ValueError, match=r"flops of at most 1\) allow none of the 125 archit"):
        launch.grid([config], workers=1)
    assert not Run(train).folder.exists()
    least = min(map(train.space.flops, train.space))  # of one function alone
    run = Run(SearchConfig(train, evaluations=10, flops=least)).compute()
    found = run.table("search")
    assert len(found) >= 1 and {train.space.flops(train.space.parse(c)) for c in found.code} == {
        least
    }


@pytest.mark.parametrize("error", [BrokenNetwork("its weights are no numbers"), KeyError("odd")])
def test_what_was_scored_is_kept_whatever_ends_a_search(error, monkeypatch):
    train = TrainConfig(data="digits-small", epochs=1)
    run, scored = Run(SearchConfig(train, evaluations=10, images=32, seed=5)), []

    def score(arch, share):
        if len(scored) == 3:
            raise error
        scored.append(arch)
        return float(sum(arch))

    monkeypatch.setattr("padalib.ranking.searched.scorer", lambda *_, **__: score)
    with pytest.raises((RunError, KeyError)):
        run.compute()
    assert not run.done
    kept = pd.read_csv(run.folder / "search.csv")
    assert [train.space.parse(code) for code in kept.code] == scored


def test_a_search_that_was_cut_goes_on_to_the_same_and_scores_nothing_twice(monkeypatch):
    train = TrainConfig(data="digits-small", epochs=1)
    run, asked, cut = Run(SearchConfig(train, evaluations=12, images=32, seed=5)), [], [4, 9]

    def counting(*given, **named):
        def score(arch, share):
            if len(asked) in cut:
                cut.remove(len(asked))
                raise KeyboardInterrupt
            asked.append(arch)
            return scorer(*given, **named)(arch, share)

        return score

    monkeypatch.setattr("padalib.ranking.searched.scorer", counting)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run.compute()
        (run.folder / "search.csv").unlink()  # as where it was killed
    found = run.compute().table("search")
    assert [train.space.parse(code) for code in found.code] == asked and not cut
    before = (run.folder / "search.csv").read_bytes()
    shutil.rmtree(run.folder)
    assert run.compute().table("search").equals(found) and len(asked) == 2 * len(found)
    assert (run.folder / "search.csv").read_bytes() == before

    def cut_before_its_record():
        shutil.rmtree(run.folder)
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr("padalib.engine.runs.versions", Mock(side_effect=KeyboardInterrupt))
            run.compute()

    cut_before_its_record()
    assert run.compute().table("search").equals(found) and len(asked) == 3 * len(found)
    cut_before_its_record()
    record = Run(train).folder / "done.json"  # trained again, by another machine
    record.write_text(record.read_text().replace('"curves": "', '"curves": "0'))
    assert run.compute().done and len(asked) == 5 * len(found)


def test_searches_refuse_what_cannot_be_searched():
    alone = TrainConfig(data="digits-small", arch=(1, 2, 3))
    with pytest.raises(ValueError, match="trains one architecture, so there is nothing to search"):
        SearchConfig(alone)
    with pytest.raises(ValueError, match=r"split must be one of .*, got 'validation'"):
        SearchConfig(TrainConfig(data="digits-small"), split="validation")
    with pytest.raises(ValueError, match=r"10\D?000"):
        SearchConfig(TrainConfig(data="digits-small"), images=10_000).check()


class Book:
    """A workbook whose tables are made up; notes which runs it was asked for."""

    def __init__(self, scale, redraw):
        self.scale, self.redraw, self.asked, self.saved = scale, redraw, {}, {}

    def table(self, name, configs, source, columns=None):
        self.asked[name] = configs
        if name == "retraining_searches":
            return searched(self.scale, {("SPOS", 2): "1-1-1", ("SPOS", 0): "0-3-1"})
        archs = retraining.chosen(self.scale, self.table("retraining_searches", [], source))
        space = self.scale.space
        codes = {space.code(space.canonical(arch)) for own in archs.values() for arch in own}
        rows = [[code, seed, 50.0 + seed] for code in sorted(codes) for seed in SEEDS]
        return pd.DataFrame(rows, columns=["code", "seed", "accuracy"])

    def reference(self, archs, name):
        codes = [self.scale.space.code(arch) for arch in archs]
        return pd.DataFrame({"code": codes, "accuracy": np.arange(len(codes), dtype=float)})

    def save(self, name, rows):
        self.saved[name] = rows
        return rows


@pytest.mark.parametrize("redraw", [True, False])
def test_what_was_found_is_read_with_its_truth_and_redrawn_without_any_run(redraw):
    scale = scales.get("smoke")
    lacks = replace(scale, studies=("search",))
    book = Book(scale, redraw)
    ((space, (runs, truth)),) = retraining.read([book, Book(lacks, redraw)]).items()
    assert space == "mini" and list(runs.name.unique()) == ["SPOS", UNTRAINED, *CONTROLS[:3]]
    assert set(truth.index) == set(runs.code) and truth.is_unique
    assert len(runs) == (2 + 2 + 1 + 1 + scale.retraining.draws) * 3
    assert book.saved["retraining_runs"] is runs
    assert bool(book.asked["retraining_scores"]) == (not redraw)
