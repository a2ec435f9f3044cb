"""Variance along training: configs, and tables with known answers."""

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest

from padalib import data
from padalib.engine.runs import Run
from padalib.study import along, claims, scales
from padalib.study.along import plots

METHODS, EPOCHS = along.METHODS, (1, 2, 5)
CLAIMS = [f"17.{s}_{p}" for p in ("all", "fixed") for s in ("path", "data")]
CLAIMS += ["17.path_all_beyond", "17.data_all_beyond"]


def probes(part_of, signal=(0.5, 0.3, 0.7), seeds=3):
    """Rows of probes; `part_of(source, method, weights, part, epoch)`; all but SPOS wobble."""
    rows = []
    kinds = product(METHODS, range(seeds), EPOCHS, ("raw", "importance"), ("all", "fixed", "x"))
    for method, seed, epoch, weights, part in kinds:
        key = (method, weights, part, epoch)
        wobble = 0.0 if method == "SPOS" else 0.01 * (seed - 1)  # of mean 0
        path, own = (part_of(source, *key) + wobble for source in along.SOURCES)
        rows.append(
            {"method": method, "seed": seed, "epoch": epoch, "weights": weights, "part": part}
            | {"path": path, "data": own, "total": path + own, "path_share": path / (path + own)}
            | dict(zip(("signal", "signal_low", "signal_high"), signal, strict=True))
            | {"signal_to_noise": 0.1, "group": 1, "paths": 100 + seed, "error": 0.02}
        )
    return pd.DataFrame(rows)


def halved(source, method, weights, part, epoch):
    """PA&DA has half the path part; its data part is SPOS's. A single path part is negative."""
    if source == "path" and epoch == 1 and method == "PA":
        return -0.1
    if source == "path" and method == "PA&DA":
        return 0.5
    return 1.0 if source == "path" else 3.0


def test_runs_are_those_of_scale_controls_kept_more_often(monkeypatch):
    monkeypatch.setattr(data, "fingerprint", lambda name: name)
    scale, controls = scales.get("along"), scales.get("controls")
    kept = (1, 2, 5, 10, 15)
    wanted = [
        replace(controls.training(method, seed), keep=kept)
        for seed in (5, 6, 7)
        for method in ("SPOS", "PA", "PA&DA", "curriculum", "PA&DA weighted")
    ]
    assert along.trainings(scale) == wanted
    found = along.probes(scale)
    assert [(probe.train, probe.epoch) for probe in found] == list(product(wanted, (*kept, 20)))
    assert {probe.paths for probe in found} == {1024} and {p.error for p in found} == {0.02}
    assert len({Run(probe).key for probe in found}) == len(found)
    assert along.configs(scale) == [*wanted, *found]


def test_sources_are_differences_in_the_variance_of_spos():
    found = along.analyse(probes(halved))
    rows = found.sources.set_index(["part", "source", "beside", "method"])
    # SPOS's variance is 4: half of the path part is an eighth of it.
    assert rows.change["all", "path", "SPOS", "PA&DA"] == pytest.approx(-0.125)
    assert rows.change["fixed", "data", "SPOS", "PA&DA"] == pytest.approx(0)
    assert rows.change["all", "path", "curriculum", "PA&DA"] == pytest.approx(-0.125)
    # The first epoch, where PA's path part is negative, is left out.
    assert rows.change["all", "path", "SPOS", "PA"] == pytest.approx(0)
    assert rows.share["all", "path", "SPOS", "PA&DA"] == pytest.approx(0.5 / 3.5)
    # Weighted training takes other steps than these.
    assert "PA&DA weighted" not in set(found.sources.method) | set(found.epochs.method)
    assert "x" not in found.sources.part.unique() and "x" not in found.rows.part.unique()
    by = {claim.key: claim for claim in found.claims}
    assert list(by) == CLAIMS
    assert by["17.path_all"].verdict == by["17.path_all_beyond"].verdict == claims.SHOWN
    assert by["17.data_all"].verdict == claims.EQUIVALENT
    assert "the path makes 25.0 % of SPOS's" in by["17.path_all"].evidence
    assert "curriculum +0.0000 [" in by["17.path_all"].evidence


def test_all_that_is_claimed_is_corrected_together_and_its_power_is_told_for_that():
    found = along.analyse(probes(halved))
    planned = found.sources[found.sources.planned]
    assert len(planned) == len(along.ASKED) == 6
    assert planned.holm.tolist() == pytest.approx(claims.holm(planned.p.tolist()))
    assert found.sources[~found.sources.planned].holm.isna().all()
    claim = next(c for c in found.claims if c.key == "17.data_all")
    (interval,) = claim.intervals
    assert claim.visible == pytest.approx(interval.visible(6))
    assert claim.visible > interval.visible()


def test_a_path_part_below_zero_is_a_number_like_any_other():
    rows = probes(halved)
    odd = (rows.method == "PA&DA") & (rows.seed == 1) & (rows.weights == "raw")
    rows.loc[odd & (rows.part == "all"), "path"] = -0.25
    found = along.analyse(rows)
    row = found.sources[found.sources.planned].iloc[0]
    assert (row.part, row.source) == ("all", "path")
    assert row.change == pytest.approx(((0.49 + 0.51 - 0.25) / 3 - 1) / 4)
    assert row.low < row.change < row.high
    assert [claim.key for claim in found.claims] == CLAIMS


def test_what_is_not_known_of_one_claim_does_not_ease_the_others():
    rows = probes(lambda *key: 1.0)
    rows.loc[rows.method == "PA&DA", ["path", "data"]] = 0.9  # no spread: no p
    planned = along.analyse(rows).sources.query("planned")
    assert planned.p.isna().sum() >= 1
    assert (planned.holm[planned.p.isna()] == 1).all()


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
    assert row.signal_said.startswith(along.UNKNOWN) != known
    assert known == bool(np.isfinite(row.signal_to_noise))
    if known:
        assert row.signal_to_noise == pytest.approx(row.signal / row.total)
        assert row.signal_said.startswith(f"{row.signal / 4:.2g} [")
    else:
        assert row.signal_said.endswith(f"below {row.signal_high / 4:.2g}")
    assert (row.paths_least, row.paths_most) == (100, 102)


def test_each_epoch_has_its_share_and_its_difference():
    found = along.analyse(probes(halved))
    rows = found.epochs.set_index(["epoch", "part", "source", "method"])
    assert set(rows.index.get_level_values("epoch")) == {*EPOCHS}
    assert rows.change[1, "all", "path", "PA"] == pytest.approx(-1.1 / 4)
    assert rows.share[5, "fixed", "data", "SPOS"] == pytest.approx(3 / 4)
    words = along.in_words(found)
    assert words.loc[("all", "path", "SPOS"), 5] == "25.0 %"
    assert words.loc[("all", "path", "PA&DA"), 5].startswith("14.3 %; -0.1250 [")


def test_weighted_steps_are_told_only_where_every_seed_is_measured():
    def heavy(source, method, weights, part, epoch):
        return 4.0 if weights == "importance" and method == "PA&DA" else 1.0

    rows = probes(heavy)
    unsure = (rows.method == "PA&DA weighted") & (rows.seed == 2) & (rows.epoch == 5)
    rows.loc[unsure, "error"] = 0.9
    found = along.analyse(rows).weighted.set_index(["epoch", "part", "method"])
    assert found.change[5, "all", "PA&DA"] == pytest.approx(4, rel=1e-3)
    assert found.said[5, "all", "PA&DA weighted"] == along.UNKNOWN
    assert math.isnan(found.change[5, "fixed", "PA&DA weighted"])
    assert found.change[2, "all", "PA&DA weighted"] == pytest.approx(1, rel=1e-3)


def test_its_figure_draws_steps_as_taken_and_weighted_ones_apart():
    rows = probes(halved)
    rows.loc[(rows.method == "PA&DA weighted") & (rows.epoch == 5), "error"] = 0.9
    found = along.analyse(rows)
    figure = plots.draw(found)
    path, data, weighted, signal = figure.axes[:4]
    means = [line for line in path.lines if len(line.get_xdata()) == len(EPOCHS)]
    assert len(means) == len(along.PLAIN)
    (pa,) = [x for x in means if x.get_color() == plots.figures.colour("PA")]
    assert pa.get_ydata()[0] == pytest.approx(100 * -0.1 / 2.9, rel=0.01)  # below zero, and there
    assert data.get_yscale() == weighted.get_yscale() == signal.get_yscale() == "log"
    own = [x for x in weighted.lines if x.get_color() == plots.figures.colour("PA&DA weighted")]
    opened = [x for x in own if x.get_markerfacecolor() == "white"]
    assert [list(x.get_xdata()) for x in opened] == [[5], [5]]
    assert len(signal.lines) == len(along.PLAIN)
    said = plots.caption(found, "along")
    assert "path beside SPOS -0.1250 [" in said and "all 24 signals could be measured" in said
