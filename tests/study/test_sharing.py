"""The study of sharing: its configs, and its analysis on small tables with known answers."""

import math
import re
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from padalib import spaces
from padalib.engine import paths
from padalib.ranking import metrics
from padalib.study import scales, sharing, wording
from padalib.study.sharing import plots
from padalib.study.workbook import Workbook

ROOT = Path(__file__).resolve().parents[2]
OPS = spaces.OPS
LEVELS = [(1, 2), (2, 2), (3, 2), (1, 1), (1, 5)]  # extent, candidates
TRUE = np.array([10.0, 20.0, 30.0, 40.0])
CODES = ["2-2", "2-3", "3-2", "3-3"]  # of two edges, as OPS counts them


def reference(agreement=0.8):
    return pd.DataFrame(
        {"code": CODES, "accuracy": TRUE, "ceiling": agreement, "ceiling_basis": "agreement of two"}
    )


def variance(total, seeds=3):
    """Probes of all levels; `total(extent, candidates)` times a wobble that differs by seed."""
    rows = [
        {
            "extent": extent, "candidates": count, "seed": seed, "epoch": epoch, "part": part,
            "weights": weights, "total": total(extent, count) * 1.01 ** (seed * extent * count),
            "path_share": 0.1 * seed, "signal_to_noise": 0.01 * count + 0.001 * seed * extent,
        }
        for (extent, count), seed, epoch in product(LEVELS, range(seeds), (1, 2))
        for part, weights in (("all", "raw"), ("fixed", "raw"), ("all", "importance"))
    ]  # fmt: skip
    frame = pd.DataFrame(rows)
    frame.loc[(frame.part != "all") | (frame.weights != "raw"), "total"] = -1.0  # must not be read
    return frame


def scores(accuracy, loss=None, seeds=3):
    """Scores of all levels that rank: lists in the order of CODES, of level and seed."""
    loss = loss or (lambda *level: -accuracy(*level))
    rows = []
    for (extent, count), seed, epoch in product(LEVELS, range(seeds), (1, 2)):
        if count == 1:
            continue
        names = sharing.CANDIDATES[count - 1]
        own = ["-".join(str(names.index(OPS[int(op)])) for op in code.split("-")) for code in CODES]
        level = (extent, count, seed)
        for code, a, b in zip(own, accuracy(*level), loss(*level), strict=True):
            row = {"extent": extent, "candidates": count, "seed": seed, "epoch": epoch}
            rows.append(row | {"code": code, "accuracy": a, "loss": b})
    return pd.DataFrame(rows)


def right(extent, count, seed):
    return TRUE


def analyse(total=lambda extent, count: 1.0, accuracy=right, loss=None, agreement=0.8):
    tables = variance(total), scores(accuracy, loss), reference(agreement)
    return sharing.analyse(*tables, OPS)


# --- configs ---


@pytest.mark.parametrize("name", ["smoke", "laptop", "cifar"])
def test_supernets_that_share_more_are_trained_alike_and_ranked_on_convolutions(name):
    scale = scales.get(name)
    runs = sharing.supernets(scale)
    found = [(c.space.extent, len(c.space.ops), c.seed) for c in runs]
    levels = {(extent, 2) for extent in scale.extents} | {(1, k) for k in scale.candidates}
    assert len(found) == len(set(found)) == len(levels) * len(scale.seeds)
    assert set(found) == {(*level, seed) for level in levels for seed in scale.seeds}
    bare = {"name": "", "ops": OPS, "extent": 1}
    for config in runs:
        own = replace(scale.training("SPOS", config.seed), epochs=1, keep=())
        assert replace(config, epochs=1, keep=(), space=own.space) == own
        assert replace(config.space, **bare) == replace(scale.space, **bare)
    epochs = (*scale.sharing_keep, scale.sharing_epochs)
    probes, scored = sharing.probes(scale), sharing.scorings(scale)
    assert [(p.train, p.epoch) for p in probes] == list(product(runs, epochs))
    ranked = [config for config in runs if len(config.space.ops) > 1]
    assert [(s.train, s.epoch) for s in scored] == list(product(ranked, epochs))
    assert sharing.configs(scale) == [*probes, *scored]
    assert sharing.level(probes[0]) == {"extent": 1, "candidates": 2}
    archs = sharing.archs(scale)
    assert len(archs) == len(set(archs)) == 2 ** len(scale.space.edges)
    assert {scale.space.ops[op] for arch in archs for op in arch} == set(spaces.CONVS)


def test_a_scale_without_factors_has_no_runs():
    assert sharing.configs(scales.get("paper")) == []


def test_candidates_grow_one_by_one():
    for count, ops in enumerate(sharing.CANDIDATES, start=1):
        assert len(ops) == count and list(ops) == [op for op in OPS if op in ops]
        assert count == 1 or set(spaces.CONVS) <= set(ops)


def test_the_truth_of_convolutions_is_a_published_table_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "own_folder", lambda scale, redraw=False: tmp_path / str(redraw))
    found = []
    for redraw in (False, True):
        book = Workbook("laptop", redraw)
        found.append(book.reference(archs=sharing.archs(book.scale), name="sharing_truth"))
        assert (book.folder / "results" / "sharing_truth.csv").exists()
    pd.testing.assert_frame_equal(*found)
    assert len(found[0]) == 8 and found[0].accuracy.is_unique


# --- tables ---


def test_scores_are_renamed_to_the_truths_codes():
    table = sharing.renamed(scores(right), reference(), OPS)
    assert set(table.code) == set(CODES)
    by_code = table.groupby("code").accuracy
    assert (
        by_code.first().to_dict() == by_code.last().to_dict() == dict(zip(CODES, TRUE, strict=True))
    )


def test_scores_and_truth_of_other_architectures_are_refused():
    with pytest.raises(ValueError, match="1 are in one of them only, first 3-3"):
        sharing.renamed(scores(right), reference()[:3], OPS)


def test_changes_have_known_values():
    found = analyse(
        total=lambda extent, count: {1: 1.0, 2: 2.0, 3: 4.0}[extent] * {1: 8, 2: 1, 5: 0.5}[count],
        accuracy=lambda extent, count, seed: TRUE if extent < 3 else -TRUE,
        loss=lambda extent, count, seed: -TRUE if count < 5 else TRUE,
    )
    rows = found.changes.set_index(["factor", "value", "first", "second"])
    assert rows.planned[rows.planned].index.tolist() == [
        ("extent", "total", 1, 3), ("extent", "path_share", 1, 3),
        ("extent", "signal_to_noise", 1, 3), ("extent", "tau", 1, 3), ("extent", "tau_loss", 1, 3),
        ("candidates", "total", 1, 2), ("candidates", "total", 2, 5),
        ("candidates", "path_share", 1, 2), ("candidates", "path_share", 2, 5),
        ("candidates", "signal_to_noise", 1, 2), ("candidates", "signal_to_noise", 2, 5),
        ("candidates", "tau", 2, 5), ("candidates", "tau_loss", 2, 5),
    ]  # fmt: skip
    wobble = 1.01 ** np.mean([0, 1, 2])
    assert rows.change["extent", "total", 1, 3] == pytest.approx(4 * wobble ** (2 * (3 - 1)))
    assert rows.change["extent", "total", 1, 2] == pytest.approx(2 * wobble**2)
    assert rows.change["candidates", "total", 1, 2] == pytest.approx(wobble / 8)
    assert rows.change["candidates", "total", 2, 5] == pytest.approx(0.5 * wobble**3)
    assert rows.change["extent", "tau", 1, 3] == -2 and rows.change["extent", "tau_loss", 1, 3] == 0
    assert rows.change["candidates", "tau", 2, 5] == 0
    assert rows.change["candidates", "tau_loss", 2, 5] == -2
    archs = rows.loc["extent", "tau", 1, 3]
    assert (archs.archs_low, archs.archs_high, archs.architectures) == (-2, -2, 4)
    runs = found.runs.set_index(["extent", "candidates", "seed", "epoch"])
    assert runs.tau[3, 2, 0, 2] == -1 and math.isnan(runs.tau[1, 1, 0, 2])


def test_two_candidates_and_more_need_no_bend():
    changes = sharing.changes(
        pd.DataFrame(
            {"extent": 1, "candidates": count, "seed": seed, "total": count + 0.1 * seed}
            | dict.fromkeys(("path_share", "signal_to_noise", "tau", "tau_loss"), 0.1 * seed)
            for count, seed in product((2, 3, 5), range(2))
        )
    )
    total = changes[changes.value == "total"]
    assert list(zip(total["first"], total.second, total.planned, strict=True)) == [
        (2, 5, True), (2, 3, False), (3, 5, False),
    ]  # fmt: skip


def test_a_perfect_predictor_beats_the_agreement_of_two_noisy_tables():
    assert metrics.perfect(1.0) == 1 and math.isnan(metrics.perfect(-0.1))
    assert metrics.perfect(0.5875931) == pytest.approx(0.7028, abs=1e-4)
    assert metrics.perfect(0.9174304) == pytest.approx(0.942, abs=1e-3)
    rng = np.random.default_rng(0)
    truth = rng.normal(size=3000)
    one, two = truth + rng.normal(size=(2, 3000))
    found = metrics.perfect(metrics.tau(one, two))
    assert found == pytest.approx(metrics.tau(truth, one), abs=0.02)


# --- claims ---


def claimed(found):
    return {claim.key: claim for claim in found.claims}


def test_variance_that_falls_along_one_step_and_rises_along_the_other_is_mixed():
    found = claimed(analyse(total=lambda extent, count: {1: 8.0, 2: 1.0, 5: 4.0}[count]))
    assert found["01.candidates.variance"].verdict == "mixed"
    found = claimed(analyse(total=lambda extent, count: {1: 1.0, 2: 2.0, 5: 4.0}[count]))
    assert found["01.candidates.variance"].verdict == "shown"
    found = claimed(analyse(total=lambda extent, count: 1.0 / count))
    assert found["01.candidates.variance"].verdict == "opposite here"


def test_an_interval_that_holds_gains_and_losses_is_called_wide_not_zero():
    """As on CIFAR: by accuracy anything is possible, by loss the ranking gets worse."""
    orders = [TRUE, -TRUE, TRUE[[1, 0, 3, 2]]]

    def accuracy(extent, count, seed):
        return orders[(seed + extent) % 3]

    def loss(extent, count, seed):
        return -TRUE if extent < 3 else TRUE

    claim = claimed(analyse(accuracy=accuracy, loss=loss))["01.extent.ranking"]
    assert claim.verdict == "not shown" and claim.bound == 0.03
    accuracy, loss = claim.evidence.split("; ")[:2]
    assert "(wide) from 1 to 3" in accuracy and "(wide)" not in loss
    assert loss == "by loss 1.00 to -1.00, -2.00 [-2.00, -2.00] [-2.00, -2.00] from 1 to 3"
    assert "over 3 seeds, then over 4 architectures" in claim.evidence
    assert f"would have been seen {wording.short(claim.visible)}" in claim.evidence
    assert [(i.over, i.n) for i in claim.intervals] == [
        ("seeds", 3),
        ("architectures", 4),
        ("seeds and these", 3),
    ] * 2


def test_a_ranking_gets_worse_only_where_both_scores_say_so_over_seeds_and_architectures():
    def worse(extent, count, seed):
        return TRUE if extent < 3 else -TRUE

    found = claimed(analyse(accuracy=worse))
    assert found["01.extent.ranking"].verdict == "shown"
    assert found["01.extent.ranking"].effect == -2
    found = claimed(analyse(accuracy=worse, loss=lambda *_: -TRUE))
    assert found["01.extent.ranking"].verdict == "not shown"
    assert claimed(analyse())["01.extent.ranking"].verdict == "equivalent"


def test_the_largest_step_is_named_with_its_corrected_p():
    def bend(extent, count, seed):
        return TRUE if extent == 2 else np.array([[20, 10, 40, 30], [10, 20, 40, 30], TRUE][seed])

    claim = claimed(analyse(accuracy=bend))["01.extent.ranking"]
    assert re.search(
        r"most by accuracy from 1 to 2, \+0\.33 .* p 0\.\d\d after Holm's", claim.evidence
    )


# --- figure ---


def test_the_figure_draws_the_perfect_predictor_and_every_shade_is_seen_on_white():
    figure = plots.draw(found := analyse())
    assert len(figure.axes) == 8
    for axes in figure.axes:
        dashed = [line for line in axes.lines if line.get_linestyle() == "--"]
        assert [list(line.get_ydata()) for line in dashed] == (
            [[found.perfect] * 2] if "tau" in axes.get_ylabel() else []
        )
        for line in axes.lines:
            assert contrast(line.get_color()) >= 3
    assert "a perfect predictor, 0.86" in plots.caption(found, "smoke")


def contrast(colour):
    """With white, as WCAG 2 defines it."""
    parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return 1.05 / (0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2] + 0.05)


# --- the published tables ---


def test_published_numbers_are_those_of_an_audit_by_other_code():
    tables = ("sharing_variance", "sharing_scores", "sharing_truth")
    folder = ROOT / "data" / "results" / "cifar"
    found = sharing.analyse(*(pd.read_csv(folder / f"{name}.csv") for name in tables), OPS)
    assert found.perfect == pytest.approx(0.703, abs=5e-4)
    rows = found.changes.set_index(["value", "factor", "first", "second"])
    for key, wanted in {
        ("tau_loss", "extent", 1, 6): (-0.226, -0.437, -0.014),
        ("tau", "extent", 1, 2): (0.20, 0.02, 0.38),
    }.items():
        assert tuple(rows.loc[key, ["change", "low", "high"]]) == pytest.approx(wanted, abs=5e-3)
    assert tuple(rows.loc["tau_loss", "extent", 1, 6][["before", "after"]]) == pytest.approx(
        (0.457, 0.231), abs=5e-4
    )
    assert claimed(found)["01.extent.ranking"].verdict == "not shown"
