"""Retraining found architectures: recipes as configs, and made-up trainings with known answers."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from padalib import spaces
from padalib.engine.identity import key
from padalib.engine.runs import Run
from padalib.study import claims, retraining
from padalib.study.retraining import CONTROLS, DRAWN, LARGEST, RECIPES, UNTRAINED

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
    made = retraining.configs(found, MINI, RECIPES["darts-short"], "digits", SEEDS, flip=False)
    assert len(made) == len({key(config) for config in made}) == 2 * 3
    assert {config.splits for config in made} == {("test",)}
    assert not any(config.train.flip for config in made)


def test_recipes_refuse_what_they_cannot_train():
    short = RECIPES["darts-short"]
    with pytest.raises(ValueError, match=r"recipe darts-short sets auxiliary, .*use one of plain"):
        short.config(spaces.get("mini"), (1, 2, 3), 0, data="digits")
    with pytest.raises(ValueError, match=r"3 or more different seeds, got \(0, 1\)"):
        retraining.configs({"PA": [ONE]}, MINI, short, "digits", (0, 1))
    with pytest.raises(ValueError, match="different seeds"):
        retraining.configs({"PA": [ONE]}, MINI, short, "digits", (0, 1, 1))
    with pytest.raises(ValueError, match="found by SPOS: leave the name out"):
        retraining.configs({"PA": [ONE], "SPOS": []}, MINI, short, "digits", SEEDS)
    assert RECIPES["plain"].config(spaces.get("mini"), (1, 2, 3), 0).arch == (1, 2, 3)


def test_trainings_from_configs_to_claims():
    found = {"PA": [ONE], "SPOS": [OTHER]}
    space = replace(MINI, size=16)
    quick = {"epochs": 1, "batch": 128, "flip": False}
    recipe = retraining.Recipe("quick", {"auxiliary": 0.4, "drop_path": 0.2}, {"cutout": 8})
    made = retraining.configs(found, space, recipe, "digits-small", SEEDS, **quick)
    scores = pd.concat(
        Run(config).compute().table("scores").assign(seed=config.train.seed) for config in made
    )
    runs = retraining.named(found, space, scores)
    assert list(runs.columns) == ["code", "seed", "accuracy", "name", "draw", "params", "flops"]
    assert len(runs) == 6 and runs.params.nunique() == 2
    tables, found_claims = retraining.analyse(runs)
    assert [claim.key for claim in found_claims] == ["10.retrained.pa.spos"]
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
    return {claim.key: claim for claim in found}


def test_the_noise_of_retraining_by_hand():
    values = {"SPOS": [90.0, 91.0, 92.0], "PA": [93.0, 93.0, 96.0]}
    runs = pd.DataFrame(
        [[n, s, v, n, 0, 1, 1] for n, own in values.items() for s, v in enumerate(own)],
        columns=["code", "seed", "accuracy", "name", "draw", "params", "flops"],
    )
    row = retraining.noise(runs).iloc[0]
    assert row.sd == pytest.approx(((2 * 1 + 2 * 3) / 4) ** 0.5)  # variances 1 and 3
    assert row.low == pytest.approx(row.sd * (4 / 11.1433) ** 0.5, rel=1e-4)  # chi2, 4 degrees
    assert row.high == pytest.approx(row.sd * (4 / 0.484419) ** 0.5, rel=1e-4)
    assert row.methods == pytest.approx(3) and (row.archs, row.trainings) == (2, 6)
    tables, _ = retraining.analyse(runs)
    (better,) = tables["better"].itertuples()
    gaps = np.array([3.0, 2.0, 4.0])
    half = 4.30265 * gaps.std(ddof=1) / 3**0.5  # Student's with 2 degrees
    assert (better.difference, better.seeds_low) == pytest.approx((3, 3 - half), abs=1e-4)
    assert np.isnan(better.archs_low)  # one architecture a side: nothing is known of other searches
    again = pd.concat([runs, runs.assign(name="PA&DA")])  # shared trainings count once
    assert retraining.noise(again).trainings.iloc[0] == 6


def test_an_interval_over_searches_by_hand():
    """Welch's, between the means of four architectures and those of three trainings of one."""
    a, b = [91.0, 92.0, 93.0, 94.0], [90.0, 90.5, 91.0]
    rows = [[f"a{d}", s, v, "PA", d, 1, 1] for d, v in enumerate(a) for s in SEEDS]
    rows += [["b", s, v, LARGEST, 0, 1, 1] for s, v in enumerate(b)]
    columns = ["code", "seed", "accuracy", "name", "draw", "params", "flops"]
    (row,) = retraining.analyse(pd.DataFrame(rows, columns=columns))[0]["better"].itertuples()
    one, two = np.var(a, ddof=1) / 4, np.var(b, ddof=1) / 3
    free = (one + two) ** 2 / (one**2 / 3 + two**2 / 2)
    assert row.difference == pytest.approx(2.0) and 4 < free < 5
    half = (row.archs_high - row.archs_low) / 2
    assert 2.571 < half / (one + two) ** 0.5 < 2.776  # Student's with 5 and 4 degrees
    assert row.functions == 5 and row.archs_freedom == pytest.approx(free)
    assert math.isnan(row.both_low)  # both doubts are in it


def test_what_is_better_is_shown_and_what_is_not_is_equivalent():
    means = {"SPOS": 90.0, "PA": 92.0, "PA&DA": 90.0, LARGEST: 92.0, DRAWN: 89.0, UNTRAINED: 92.5}
    tables, found = retraining.analyse(trained(means, seeds=10))
    own = by_key(found)
    assert own["10.retrained.pa.spos"].verdict == claims.SHOWN
    assert own["10.retrained.pa.random_draws"].verdict == claims.SHOWN
    assert own["10.retrained.pa.untrained"].verdict == claims.OPPOSITE
    assert own["10.retrained.spos.largest_network"].verdict == claims.OPPOSITE
    assert own["10.retrained.pa.largest_network"].verdict in (claims.EQUIVALENT, claims.NOT_SHOWN)
    assert own["10.retrained.pa.largest_network"].statement.startswith("*Control:* what PA finds")
    assert all("Training one architecture again moves it by" in c.evidence for c in found)
    better = tables["better"]
    assert len(better) == 2 + 3 * 3
    assert better.holm.tolist() == pytest.approx(claims.holm(better.p.tolist()))
    assert better.bound.tolist() == pytest.approx([tables["noise"].sd.iloc[0]] * 11, rel=0.05)


def test_noise_of_searches_hides_what_noise_of_training_would_show():
    means = {"SPOS": 90.0, "PA": 90.3}
    one = by_key(retraining.analyse(trained(means, archs=4, noise=0.05, spread=0.0))[1])
    two = by_key(retraining.analyse(trained(means, archs=4, noise=0.05, spread=1.0))[1])
    assert one["10.retrained.pa.spos"].verdict == claims.SHOWN
    assert two["10.retrained.pa.spos"].verdict not in (claims.SHOWN, claims.EQUIVALENT)


def test_the_same_architecture_is_no_difference():
    runs = trained({"SPOS": 90.0})
    tables, (claim,) = retraining.analyse(pd.concat([runs, runs.assign(name="PA")]))
    assert claim.effect == 0 and claim.verdict == claims.EQUIVALENT
    assert tables["better"].p.tolist() == [1.0]


def test_unequal_seeds_are_refused():
    runs = trained({"SPOS": 90.0, "PA": 91.0})
    with pytest.raises(ValueError, match="all need the same seeds"):
        retraining.analyse(runs[(runs.name == "PA") | (runs.seed > 0)])


def test_the_figure_shows_every_training_and_contrast():
    means = {"SPOS": 90.0, "PA": 92.0, **dict.fromkeys(CONTROLS, 91.0)}
    runs = trained(means, archs=2)
    tables, _ = retraining.analyse(runs)
    figure = retraining.draw(runs, tables)
    left, right = figure.axes
    assert [label.get_text() for label in left.get_xticklabels()] == list(means)
    points = [line for line in left.lines if line.get_marker() == "o"]
    assert sum(len(line.get_xdata()) for line in points) == len(runs)
    assert len(right.get_yticklabels()) == len(tables["better"]) == 1 + 2 * 3
    said = retraining.caption(tables)
    assert "5 seeds each" in said and "Of 7 contrasts" in said
