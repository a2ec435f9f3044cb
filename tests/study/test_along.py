"""Variance along training and equal exposure: configs, and tables with known answers."""

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest

from padalib import data, spaces
from padalib.engine.runs import Run
from padalib.study import along, claims, exposure, scales, sharing
from padalib.study.along import plots as along_plots
from padalib.study.draws import FavouredPaths
from padalib.study.exposure import plots as exposure_plots

METHODS, EPOCHS = along.METHODS, (1, 2, 5)


def probes(part_of, signal=(0.5, 0.3, 0.7), seeds=3):
    """Rows of probes; `part_of(source, method, weights, part, epoch)`; all but SPOS wobble."""
    rows = []
    kinds = product(METHODS, range(seeds), EPOCHS, ("raw", "importance"), ("all", "fixed", "x"))
    for method, seed, epoch, weights, part in kinds:
        key = (method, weights, part, epoch)
        wobble = 1.0 if method == "SPOS" else 1.02 ** (seed - 1)  # of geometric mean 1
        path, own = (part_of(source, *key) * wobble for source in along.SOURCES)
        rows.append(
            {"method": method, "seed": seed, "epoch": epoch, "weights": weights, "part": part}
            | {"path": path, "data": own, "total": path + own, "path_share": path / (path + own)}
            | dict(zip(("signal", "signal_low", "signal_high"), signal, strict=True))
            | {"signal_to_noise": 0.1, "group": 1, "paths": 100}
        )
    return pd.DataFrame(rows)


def halved(source, method, weights, part, epoch):
    """PA&DA has half the path part; its data part is SPOS's. A single path part is negative."""
    if source == "path" and epoch == 1 and method == "PA":
        return -0.1
    return 0.5 if (source, method) == ("path", "PA&DA") else 1.0


# --- along training ---


def test_runs_are_those_of_scale_cifar_kept_more_often(monkeypatch):
    monkeypatch.setattr(data, "fingerprint", lambda name: name)
    scale, cifar = scales.get("along"), scales.get("cifar")
    kept = (1, 2, 5, 10, 15)
    wanted = [
        replace(cifar.training(method, seed), keep=kept)
        for seed in (5, 6, 7)
        for method in ("SPOS", "PA", "PA&DA", "PA&DA weighted")
    ]
    assert along.trainings(scale) == wanted
    found = along.probes(scale)
    assert [(probe.train, probe.epoch) for probe in found] == list(product(wanted, (*kept, 20)))
    assert {probe.paths for probe in found} == {1024} and {p.error for p in found} == {0.02}
    assert len({Run(probe).key for probe in found}) == len(found)


def test_sources_are_ratios_of_means_over_training():
    found = along.analyse(probes(halved))
    rows = found.sources.set_index(["weights", "part", "source", "method"])
    assert rows.change["raw", "all", "path", "PA&DA"] == pytest.approx(0.5)
    assert rows.change["raw", "fixed", "data", "PA&DA"] == pytest.approx(1.0)
    assert rows.change["raw", "all", "path", "PA"] == pytest.approx(
        1
    )  # the first epoch is left out
    assert "x" not in found.sources.part.unique() and "x" not in found.rows.part.unique()
    by = {claim.key: claim for claim in found.claims}
    assert list(by) == [f"17.{s}_{p}" for p in ("all", "fixed") for s in ("path", "data")]
    assert by["17.path_all"].verdict == by["17.path_fixed"].verdict == claims.SHOWN
    assert by["17.data_all"].verdict == claims.EQUIVALENT
    for words in ("PA 1.00", "trained with the weights 1.00", "trained without 0.500"):
        assert words in by["17.path_all"].evidence
    planned = found.sources[found.sources.planned]
    assert len(planned) == 4
    assert planned.holm.tolist() == pytest.approx(claims.holm(planned.p.tolist()))


def test_a_mean_over_training_counts_epochs_by_the_time_around_them():
    rows = pd.DataFrame({"epoch": [1, 2, 5, 20], "path": [99.0, 1.0, 3.0, 1.0], "seed": 7})
    found = along.over_training(rows.assign(method="PA"), "path")
    assert found.loc[7, "PA"] == pytest.approx((3 * 2 + 15 * 2) / 18)
    alone = along.over_training(rows.iloc[:1].assign(method="PA"), "path")
    assert alone.loc[7, "PA"] == 99


@pytest.mark.parametrize(
    "signal, known", [((0.5, 0.3, 0.7), True), ((0.5, 0.0, 1.0), True), ((0.2, -0.3, 0.7), False)]
)
def test_a_signal_is_told_only_where_its_interval_excludes_zero(signal, known):
    rows = along.analyse(probes(halved, signal)).rows
    row = rows.set_index(["method", "epoch", "weights", "part"]).loc["SPOS", 5, "raw", "all"]
    half = (signal[2] - signal[1]) / 2 / math.sqrt(3)  # three independent probes
    assert row.signal_high - row.signal == pytest.approx(half)
    assert (row.signal_said != along.UNKNOWN) == known == bool(np.isfinite(row.signal_to_noise))
    if known:
        assert row.signal_to_noise == pytest.approx(row.signal / row.total)
    assert row.paths == 300


def test_a_source_below_zero_in_one_seed_is_claimed_as_not_measurable():
    rows = probes(halved)
    odd = (rows.method == "PA&DA") & (rows.seed == 1) & (rows.weights == "raw")
    rows.loc[odd & (rows.part == "all"), "path"] = -0.25
    found = along.analyse(rows)
    by = {claim.key: claim for claim in found.claims}
    assert list(by) == [f"17.{s}_{p}" for p in ("all", "fixed") for s in ("path", "data")]
    lost = by["17.path_all"]
    assert lost.verdict == claims.UNMEASURABLE and lost.intervals == ()
    mean = (0.5 / 1.02 + 0.5 * 1.02 - 0.25) / 3
    said = f"not above zero in 1 of 3 seeds of PA&DA (means {mean:.3g}, SPOS 1)"
    assert said in lost.evidence and "PA 1.00" in lost.evidence
    assert said in along_plots.caption(found, "along")
    # The others are corrected among themselves.
    rest = found.sources[found.sources.planned & found.sources.p.notna()]
    assert len(rest) == 3 and rest.holm.tolist() == pytest.approx(claims.holm(rest.p.tolist()))
    assert by["17.path_fixed"].verdict == claims.SHOWN


def test_a_source_of_spos_below_zero_leaves_nothing_to_divide_by():
    found = along.analyse(probes(lambda source, *_: -1.0 if source == "path" else 2.0))
    by = {claim.key: claim for claim in found.claims}
    assert by["17.data_all"].verdict == claims.EQUIVALENT
    assert "3 of 3 seeds of PA&DA and 3 of 3 seeds of SPOS" in by["17.path_all"].evidence


def test_its_figure_leaves_out_what_is_not_positive():
    found = along.analyse(probes(halved))
    figure = along_plots.draw(found, METHODS)
    path = figure.axes[0].lines
    assert [len(line.get_xdata()) for line in path] == [3, 2, 3, 3]
    said = along_plots.caption(found, "along")
    assert "from the path, all weights, 0.500 [" in said and "24 of 24 means" in said


# --- equal exposure ---


def test_every_ranked_architecture_is_trained_equally_often():
    scale = scales.get("exposure")
    runs = exposure.supernets(scale)
    levels = {(c.space.extent, len(c.space.ops)) for c in runs}
    assert levels == {(1, 2), (2, 2), (3, 2), (6, 2), (1, 3), (1, 4), (1, 5)}
    assert len(runs) == len(levels) * len(scale.seeds)
    rng = np.random.default_rng(0)
    for config in runs:
        sampler = config.method.paths.build(config.space, config.epochs)
        ops = list(map(config.space.ops.index, spaces.CONVS))
        arch = tuple(rng.choice(ops, size=6).tolist())
        # Of an epoch's steps, 1 / (|A| weight) are its own: five epochs of 1/64 each.
        exposed = config.epochs / sampler.weight(arch) / len(config.space)
        assert exposed == pytest.approx(5 / 64)
        assert (type(sampler) is FavouredPaths) == (len(config.space.ops) > 2)
    assert [scoring.train for scoring in exposure.scorings(scale)] == runs
    assert {scoring.archs for scoring in exposure.scorings(scale)} == {spaces.CONVS}
    assert exposure.configs(scale) == [*exposure.probes(scale), *exposure.scorings(scale)]


def made_up(tau_of):
    """Probes and scores of two edges: the truth, or its reverse where `tau_of` says so."""
    codes, true = ["2-2", "2-3", "3-2", "3-3"], np.array([1.0, 2.0, 3.0, 4.0])
    steps, ranks = [], []
    for (extent, count), seed in product([(1, 2), (6, 2), (1, 3), (1, 5)], range(3)):
        level = {"extent": extent, "candidates": count, "seed": seed}
        level["epoch"] = 5 if count == 2 else 10
        steps.append(
            level | {"part": "all", "weights": "raw", "total": 1.0 + seed, "path_share": 0.1}
            | {"signal_to_noise": 0.1}
        )  # fmt: skip
        names = sharing.CANDIDATES[count - 1]
        for code, value in zip(codes, tau_of(extent, count) * true, strict=True):
            own = "-".join(str(names.index(spaces.OPS[int(op)])) for op in code.split("-"))
            ranks.append(level | {"code": own, "accuracy": value, "loss": -value})
    truth = pd.DataFrame({"code": codes, "accuracy": true, "ceiling": 0.8})
    return pd.DataFrame(steps), pd.DataFrame(ranks), truth


def test_levels_of_other_lengths_are_compared_and_claimed_under_names_of_their_own():
    # Two candidates rank as five do, but had half the steps: the claim is from three to five.
    tables = made_up(lambda extent, count: -1 if extent == 1 and count in (2, 5) else 1)
    found = exposure.analyse(*tables, spaces.OPS)
    by = {claim.key: claim for claim in found.claims}
    assert list(by) == ["18.exposed_extent.ranking", "18.exposed_candidates.ranking"]
    assert by["18.exposed_candidates.ranking"].effect == -2
    assert by["18.exposed_candidates.ranking"].verdict == claims.SHOWN
    assert by["18.exposed_extent.ranking"].effect == 2
    changes = found.shared.changes
    assert set(changes[changes.factor == "candidates"]["first"]) == {3}
    assert set(changes[changes.factor == "extent"]["first"]) == {1}
    assert set(found.shared.runs.candidates) == {2, 3, 5}
    assert "trained equally often" in by["18.exposed_extent.ranking"].statement
    assert {claim.figure for claim in found.claims} == {exposure.FIGURE}
    figure = exposure_plots.draw(found)
    lines = [line.get_ydata()[0] for line in figure.axes[1].lines if line.get_linestyle() == "--"]
    assert lines == [found.shared.perfect]
    assert "tau by loss -2.00" in exposure_plots.caption(found, "exposure")
