"""The training study on made-up tables: cost in time and FLOPs, accuracy, what p does."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from padalib import spaces
from padalib.study import claims, contests, scales, training
from padalib.study.claims import Interval

SPACE = spaces.get("mini")
NAMES = [f"p_{op}" for op in SPACE.ops]
UNIFORM = dict.fromkeys(NAMES, 0.2)
CONVS = {"p_none": 0.0, "p_skip_connect": 0.0, "p_avg_pool_3x3": 0.0} | {
    "p_nor_conv_1x1": 0.5, "p_nor_conv_3x3": 0.5,
}  # fmt: skip
BARE = dict.fromkeys(NAMES, np.nan)
DRAWS = pd.DataFrame({"exposure": [0.3], "flops": [7e5]}, index=["own"])


def curves(**epochs):
    """`PA=[[p of epoch 1, p of epoch 2], ...]`, a list a seed."""
    rows = [
        {"method": method, "seed": seed, "epoch": epoch, "images": 100, "loss": 2.0, **p}
        for method, seeds in epochs.items()
        for seed, own in enumerate(seeds)
        for epoch, p in enumerate(own, start=1)
    ]
    return pd.DataFrame(rows).assign(unique_images=1.0, q_effective=np.nan)


# --- the paths that a method draws ---


def test_paths_are_counted_by_their_options_and_flops():
    table = training.path_flops(SPACE)
    assert table.architectures.sum() == len(SPACE) == 125
    assert (table[NAMES].sum(axis=1) == 3).all()
    found = Counter()
    for row in table.itertuples():
        found[row.flops] += row.architectures
    assert found == Counter(SPACE.flops(arch) for arch in SPACE)


def test_flops_of_the_paths_drawn_by_enumeration():
    mixed = UNIFORM | {"p_none": 0.0, "p_nor_conv_3x3": 0.4}
    rows = curves(SPOS=[[UNIFORM, UNIFORM]], PA=[[UNIFORM, mixed]], own=[[BARE, BARE]])
    paths = training.paid(rows, training.path_flops(SPACE), DRAWS).set_index("method")
    p = [mixed[name] for name in NAMES]
    last = sum(SPACE.flops(arch) * np.prod([p[op] for op in arch]) for arch in SPACE)
    uniform = np.mean([SPACE.flops(arch) for arch in SPACE])
    assert paths.flops["SPOS"] == paths.last_epoch["SPOS"] == pytest.approx(1)
    assert paths.last_epoch["PA"] == pytest.approx(last / uniform)
    assert paths.flops["PA"] == pytest.approx((1 + last / uniform) / 2)
    assert paths.flops["own"] == pytest.approx(7e5 / uniform)  # it logs no p
    assert paths.images.tolist() == [200, 200, 200]


def test_the_interval_of_the_flops_is_over_seeds():
    less = UNIFORM | {"p_none": 0.4, "p_nor_conv_3x3": 0.0}
    rows = curves(SPOS=[[UNIFORM]] * 2, PA=[[CONVS], [less]])
    paths = training.paid(rows, training.path_flops(SPACE), DRAWS).set_index("method")
    assert paths.low["PA"] < paths.flops["PA"] < paths.high["PA"]
    assert paths.low["SPOS"] == paths.high["SPOS"] == pytest.approx(1)
    assert set(paths.seeds) == {2}


def test_exposure_is_the_mean_over_training_and_a_log_or_a_draw():
    names = training.weighted(SPACE)
    assert names == ["nor_conv_1x1", "nor_conv_3x3"]
    rows = curves(SPOS=[[UNIFORM, UNIFORM]], PA=[[UNIFORM, CONVS]], own=[[BARE, BARE]])
    assert training.unlogged(rows) == ["own"]
    found = training.exposure(rows, names, DRAWS)
    assert found.to_dict() == pytest.approx({("SPOS", 0): 0.4, ("PA", 0): 0.7, ("own", 0): 0.3})


def test_samplers_without_a_p_are_drawn_from():
    scale = scales.get("smoke")
    draws = training.drawn(scale, ["SPOS", "FairNAS", "FairNAS per epoch"])
    uniform = np.mean([SPACE.flops(arch) for arch in SPACE])
    assert draws.exposure["FairNAS"] == pytest.approx(0.4)  # strictly fair, in each group
    # Groups are drawn anew each time, also by a sampler that holds one for an epoch.
    assert draws.flops.to_numpy() == pytest.approx(uniform, rel=0.03)
    assert training.drawn(scale, []).empty
    assert draws[NAMES].to_numpy() == pytest.approx(np.full((3, 5), 0.2), abs=0.02)
    assert draws[NAMES].sum(axis=1).tolist() == pytest.approx([1.0] * 3)


# --- what comes of it ---


def made_up(gap, spread, seeds=4, codes=40):
    """Two methods whose accuracies differ by `gap` points, and by `spread` from seed to seed."""
    rng, rows = np.random.default_rng(0), []
    for method, shift in (("SPOS", 0.0), ("PA&DA", gap)):
        for seed in range(seeds):
            own = shift + spread * rng.normal() + 50 + np.arange(codes) / 10
            rows += [(method, seed, 3, f"c{k}", value) for k, value in enumerate(own)]
    return pd.DataFrame(rows, columns=["method", "seed", "epoch", "code", "accuracy"])


FUNCTIONS = pd.Series({f"c{k}": f"c{k // 2}" for k in range(40)})
COST = pd.DataFrame(
    {"method": ["PA&DA"], "pairs": 40, "ratio": 1.01, "ratio_low": 1.0, "ratio_high": 1.02}
)
PATHS = pd.DataFrame(
    {
        "method": ["PA&DA"], "images": 1000, "flops": 1.5, "low": 1.4, "high": 1.6,
        "last_epoch": 2.0, "seeds": 4,
    }
)  # fmt: skip


def test_the_mean_architecture_is_judged_over_seeds_and_architectures():
    gained = training.gains(made_up(-4.8, 0.2), FUNCTIONS)
    (row,) = gained.itertuples()
    assert row.difference == pytest.approx(-4.8, abs=0.5) and row.functions == 20
    # The same gap on every architecture: no doubt from there.
    assert row.archs_high - row.archs_low < 1e-9 < row.seeds_high - row.seeds_low
    claim, *_ = training.analyse(gained, COST, PATHS)
    assert (claim.key, claim.verdict, claim.unit) == ("03.generalises", claims.OPPOSITE, "points")
    assert "over 4 seeds [" in claim.evidence
    assert "over 20 distinct architectures [" in claim.evidence
    noisy = training.analyse(training.gains(made_up(-1.0, 5.0), FUNCTIONS), COST, PATHS)[0]
    assert noisy.verdict == claims.NOT_SHOWN and "smallest effect" in noisy.evidence
    assert noisy.bound == training.POINTS


@pytest.mark.parametrize(
    "low, high, verdict",
    [
        (1.0, 1.02, claims.SHOWN),
        (1.04, 1.06, claims.NOT_SHOWN),
        (1.06, 1.08, claims.OPPOSITE),
    ],
)
def test_a_step_costs_next_to_nothing_within_one_in_twenty(low, high, verdict):
    cost = COST.assign(ratio_low=low, ratio_high=high)
    found = training.analyse(training.gains(made_up(1, 1), FUNCTIONS), cost, PATHS)
    (claim,) = (one for one in found if one.key == "03.cost")
    assert claim.verdict == verdict
    assert claim.intervals == (Interval(low, high, "timed pairs of blocks", 40),)


@pytest.mark.parametrize(
    "low, high, verdict",
    [(1.4, 1.6, claims.OPPOSITE), (0.97, 1.04, claims.EQUIVALENT), (0.9, 1.2, claims.NOT_SHOWN)],
)
def test_equal_images_are_told_apart_from_equal_compute(low, high, verdict):
    paths = PATHS.assign(flops=(low * high) ** 0.5, low=low, high=high)
    found = training.analyse(training.gains(made_up(1, 1), FUNCTIONS), COST, paths)
    (claim,) = (one for one in found if one.key == "03.flops")
    assert claim.verdict == verdict
    assert "1,000 images" in claim.evidence and "2.00 times in the last epoch" in claim.evidence


def test_the_gradients_chose_only_the_split():
    late = CONVS | {"p_nor_conv_1x1": 0.3, "p_nor_conv_3x3": 0.7}
    rows = curves(PA=[[UNIFORM, CONVS], [UNIFORM, late]], curriculum=[[UNIFORM, CONVS]] * 2)
    found = training.split(pd.concat([rows, curves(own=[[BARE, BARE]])]), training.weighted(SPACE))
    assert list(found.index) == ["PA", "curriculum"]
    assert found["with weights"].tolist() == [1, 1] and found.sd.tolist() == [0, 0]
    assert found["nor_conv_3x3 among them"].tolist() == [0.6, 0.5]
    assert found["sd over seeds"].tolist() == pytest.approx([np.sqrt(0.02), 0])


@pytest.mark.parametrize("epochs", [[3], [1, 3]])
def test_the_figure_shows_both_costs_of_every_method(epochs):
    methods = ("SPOS", "PA", "PA&DA", "curriculum")
    rows = curves(**{method: [[UNIFORM, CONVS]] * 2 for method in methods})
    panel = pd.DataFrame(
        [(m, s, e, 10.0 * e + s) for m in methods for s in (0, 1) for e in epochs],
        columns=["method", "seed", "epoch", "accuracy"],
    )
    cost = pd.concat([COST.assign(method=method) for method in methods])
    paths = training.paid(rows, training.path_flops(SPACE), DRAWS)
    figure = training.draw(rows, panel, cost, paths)
    costs, chosen = figure.axes[2], [axes.get_title(loc="left") for axes in figure.axes[3:5]]
    assert chosen == ["p of each operation, PA", "p of each operation, curriculum"]
    hollow = [line for line in costs.lines if line.get_marker() == "D" and len(line.get_xdata())]
    assert [line.get_ydata()[0] for line in hollow] == pytest.approx(paths.flops.tolist())
    labels = [text.get_text() for text in costs.get_legend().get_texts()]
    assert labels == ["time, same paths", "FLOPs, own paths"]
    found = training.analyse(training.gains(made_up(1, 0.1), FUNCTIONS), COST, PATHS)
    said = training.caption(scales.get("smoke"), found)
    assert "over 20 distinct architectures" in said and "1.50 times the FLOPs" in said


def test_the_mean_accuracy_is_of_every_run_and_epoch():
    panel = training.mean_accuracy(made_up(1.0, 0.0, seeds=1))
    assert panel.accuracy.tolist() == pytest.approx([51.95, 52.95])
    assert panel.method.tolist() == ["SPOS", "PA&DA"] and panel.epoch.tolist() == [3, 3]


def test_functions_are_those_of_the_space():
    codes = ["0-3-2", "0-3-0", "3-3-3"]
    assert contests.functions(SPACE, codes).tolist() == ["0-3-0", "0-3-0", "3-3-3"]
