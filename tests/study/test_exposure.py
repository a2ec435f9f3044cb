"""Equal exposure: configs, and tables with known answers."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from padalib import spaces
from padalib.study import claims, exposure, scales, sharing
from padalib.study.draws import FavouredPaths
from padalib.study.exposure import EQUAL, UNIFORM, plots

SCALE = scales.get("exposure")


def test_every_ranked_architecture_is_trained_equally_often():
    runs = exposure.supernets(SCALE)
    levels = {(c.space.extent, len(c.space.ops)) for c in runs}
    assert levels == {(1, 2), (2, 2), (3, 2), (6, 2), (1, 3), (1, 4), (1, 5)}
    assert len(runs) == len(levels) * len(SCALE.seeds)
    rng = np.random.default_rng(0)
    for config in runs:
        sampler = config.method.paths.build(config.space, config.epochs)
        ops = list(map(config.space.ops.index, spaces.CONVS))
        arch = tuple(rng.choice(ops, size=6).tolist())
        # Of an epoch's steps, 1 / (|A| weight) are its own: five epochs of 1/64 each.
        exposed = config.epochs / sampler.weight(arch) / len(config.space)
        assert exposed == pytest.approx(5 / 64)
        assert (type(sampler) is FavouredPaths) == (len(config.space.ops) > 2)


def test_beside_them_stand_uniform_paths_of_the_same_length():
    plain = exposure.uniform(SCALE)
    assert {(c.space.extent, len(c.space.ops), c.epochs) for c in plain} == {
        (1, count, 10) for count in (2, 3, 4, 5)
    }
    assert {c.method for c in plain} == {SCALE.training("SPOS", 5).method}
    trained = [scoring.train for scoring in exposure.scorings(SCALE)]
    assert trained == [*exposure.supernets(SCALE), *plain]
    assert len(set(trained)) == len(trained) == 55
    assert {scoring.archs for scoring in exposure.scorings(SCALE)} == {spaces.CONVS}
    # What more candidates draw is another mixture: their variance is not asked.
    assert {len(probe.train.space.ops) for probe in exposure.probes(SCALE)} == {2}
    assert exposure.configs(SCALE) == [*exposure.probes(SCALE), *exposure.scorings(SCALE)]


def test_what_is_held_equal_is_told():
    rows = exposure.held(SCALE).set_index(["operations per edge", "drawn"])
    assert (
        rows["epochs on one architecture"].xs(EQUAL, level=1).tolist()
        == [pytest.approx(5 / 64)] * 4
    )
    five = rows.loc[5, UNIFORM]
    assert five["steps on others, for each on these"] == pytest.approx((5 / 2) ** 6 - 1)
    assert five["epochs on one convolution"] == pytest.approx(10 / 5)
    # Half of the steps are on convolutions alone, which are two.
    others = (5**5 - 2**5) / (5**6 - 2**6)
    one = rows.loc[5, EQUAL]["epochs on one convolution"]
    assert one == pytest.approx(10 * (0.5 / 2 + 0.5 * others))


def made_up(tau_of):
    """Probes and scores of two edges: the truth, its reverse, or half of it, as `tau_of` says."""
    codes, true = ["2-2", "2-3", "3-2", "3-3"], np.array([1.0, 2.0, 3.0, 4.0])
    steps, ranks = [], []
    kinds = [(1, 2, 5), (6, 2, 5), (1, 2, 10), (1, 3, 10), (1, 5, 10)]
    arms = [(*kind, "SPOS") for kind in kinds] + [(1, n, 10, exposure.NAME) for n in (3, 5)]
    for (extent, count, epoch, method), seed in product(arms, range(3)):
        level = {"extent": extent, "candidates": count, "seed": seed, "epoch": epoch}
        level["method"] = method
        if count == 2 and epoch == 5:
            steps.append(
                level | {"part": "all", "weights": "raw", "total": 1.0 + seed, "path_share": 0.1}
                | {"signal_to_noise": 0.1}
            )  # fmt: skip
        names = sharing.CANDIDATES[count - 1]
        side = tau_of(extent, count, epoch, method)
        for code, value in zip(codes, side * true, strict=True):
            own = "-".join(str(names.index(spaces.OPS[int(op)])) for op in code.split("-"))
            ranks.append(level | {"code": own, "accuracy": value, "loss": -value})
    truth = pd.DataFrame({"code": codes, "accuracy": true, "ceiling": 0.8, "ceiling_basis": "two"})
    truth = truth.assign(perfect=0.9, perfect_low=0.85, perfect_high=0.95)
    return pd.DataFrame(steps), pd.DataFrame(ranks), truth


def test_a_fall_that_exposure_alone_makes_is_the_exposures():
    # Uniform paths rank five candidates the wrong way round; at equal exposure nothing falls.
    tables = made_up(
        lambda extent, count, epoch, method: -1 if (count, method) == (5, "SPOS") else 1
    )
    found = exposure.analyse(*tables, spaces.OPS)
    by = {claim.key: claim for claim in found.claims}
    assert list(by) == [
        "18.extent.variance", "18.extent.ranking", "18.falls", "18.uniform", "18.exposure"
    ]  # fmt: skip
    assert by["18.falls"].effect == 0 and by["18.falls"].verdict == claims.EQUIVALENT
    assert by["18.uniform"].effect == -2 and by["18.uniform"].verdict == claims.SHOWN
    assert by["18.exposure"].effect == 2 and by["18.exposure"].verdict == claims.SHOWN
    assert {claim.figure for claim in found.claims} == {exposure.FIGURE}


def test_a_fall_counts_only_beside_both_lengths_of_two():
    # Two candidates rank well only when trained as long: the fall may be one of steps.
    def tau_of(extent, count, epoch, method):
        return 1 if extent == 6 or (count, epoch) == (2, 10) else -1

    by = {c.key: c for c in exposure.analyse(*made_up(tau_of), spaces.OPS).claims}
    claim = by["18.falls"]
    assert claim.effect == 0 and claim.verdict == claims.NOT_SHOWN  # at equal exposure none falls
    assert "from 2 (uniform paths, 10 epochs) to 5 (equal exposure, 10 epochs)" in claim.evidence
    assert "from 2 (equal exposure, 5 epochs) to 5 (equal exposure, 10 epochs)" in claim.evidence
    assert by["18.extent.ranking"].effect == 2


def test_tables_hold_the_true_lengths_and_the_figure_tells_them():
    tables = made_up(lambda extent, count, epoch, method: 1 if count == 2 else -1)
    found = exposure.analyse(*tables, spaces.OPS)
    lengths = found.runs.groupby(["candidates", "arm"]).epoch.unique().str[0]
    assert lengths[2, EQUAL] == 5 and lengths[2, UNIFORM] == lengths[5, EQUAL] == 10
    asked = found.changes.set_index(["asked", "value", "second"])
    assert asked.change["falls", "tau_loss", 5] == -2
    assert asked.change["exposure", "tau_loss", 3] == 0
    assert found.perfect == (0.9, 0.85, 0.95)
    figure = plots.draw(found)
    lines = [line.get_ydata()[0] for line in figure.axes[2].lines if line.get_linestyle() == "--"]
    assert lines == [0.9]
    opened = [
        float(line.get_xdata()[0])
        for line in figure.axes[2].lines
        if line.get_markerfacecolor() == "white"
    ]
    assert opened == [2 + plots.LOOKS[EQUAL][2]]
    said = plots.caption(found, "exposure")
    assert "0.90 [0.85, 0.95]" in said and "with equal exposure by -2.00" in said
    assert len(exposure.drawn(found)) == len(found.extent.runs) + len(found.runs)
