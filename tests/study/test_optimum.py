"""The study of optimal sampling: its configs, and its analysis on tables with known answers."""

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from padalib.study import claims, optimum, scales
from padalib.study.optimum import plots

ROOT = Path(__file__).resolve().parents[2]
FRACTIONS = {"optimum": 0.7, optimum.SCORES: 0.97, "held": 9.0, "held paths": 0.6}
WOBBLE = (0.99, 1.0, 1 / 0.99)  # over seeds, of geometric mean 1


def exact(epochs=(0, 5, 10), **changes):
    """Fractions of all distributions; what is held differs without weights."""
    rows = []
    for epoch, seed, batch in product(epochs, range(3), (1, 8)):
        for name, weights in product((*optimum.ORDER, "uniform"), ("importance", "raw")):
            value = ({} if weights == "raw" and name == "optimum" else FRACTIONS).get(name, 1.0)
            if weights == "raw" and name == "held":
                value = 1.0
            rows.append([epoch, seed, batch, name, weights, value * WOBBLE[seed]])
        if batch == 1:
            for name in ("optimiser", "best perturbation"):
                value = changes.get(name, 1 + 1e-9) * 0.7 * WOBBLE[seed]
                rows.append([epoch, seed, 1, name, "importance", value])
    columns = ["epoch", "seed", "batch", "distribution", "weights", "fraction"]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.assign(method="PA&DA", bias2=3.0, signal=2.0, cosine=0.5)


def coupled():
    rows = list(product((0, 10), range(3), range(5)))
    frame = pd.DataFrame(rows, columns=["epoch", "seed", "path"])
    gap = 2 + 0.1 * frame.epoch + 0.1 * frame.seed + 0.01 * frame.path
    return frame.assign(rho=0.7, ratio=0.4, cosine=0.5 - frame.epoch / 100, difference=gap)


def statistics():
    rows = [
        [name, kind, 8, "importance", place + (0.5 if kind == "batch" else 0)]
        for place, name in enumerate(optimum.ORDER, start=1)
        for kind in ("frozen", "batch")
    ]
    columns = ["distribution", "statistics", "batch", "weights", "fraction"]
    return pd.DataFrame(rows, columns=columns)


def agreement(held=19):
    rows = product((5, 10), ("raw", "importance"), ("total", "path"), range(20))
    frame = pd.DataFrame(rows, columns=["epoch", "weights", "quantity", "probe_seed"])
    frame["covered"] = frame.probe_seed < held
    return frame.assign(paths=16, exact=2.0, sampled=3.0, low=1.0, high=np.where(1, 4.0, 0))


def analyse(rows=None, held=19):
    rows = exact() if rows is None else rows
    return optimum.analyse(rows, coupled(), statistics(), agreement(held))


def claimed(found):
    return {claim.key: claim for claim in found.claims}


# --- configs ---


@pytest.mark.parametrize("name", ["smoke", "laptop"])
def test_exact_probes_are_of_runs_that_the_scale_has(name):
    scale = scales.get(name)
    trainings = scale.trainings()
    exacts, coupled = optimum.exacts(scale), optimum.coupled(scale)
    agreements = optimum.agreements(scale)
    assert len(exacts) == len(scale.exact) * len(scale.seeds) * len(scale.exact_epochs)
    assert [c.statistics for c in coupled] == ["frozen", "batch"] * len(scale.exact)
    assert len({c.images for c in coupled}) == 1  # the same population, or they do not compare
    assert optimum.configs(scale) == [*coupled, *agreements, *exacts]
    for config in optimum.configs(scale):
        assert config.train in trainings and config.images <= scale.exact_images
        config.train.check_kept(config.epoch)
    assert {c.epoch for c in coupled} == {scale.exact_epochs[-1]} == {scale.epochs}
    assert {c.seeds for c in agreements} == {scale.agreement_seeds}


def test_a_space_too_large_to_be_listed_has_no_exact_probe():
    assert optimum.configs(scales.get("cifar")) == []


# --- tables ---


def test_fractions_are_geometric_means_over_seeds():
    found = analyse().fractions
    assert optimum.at(found, "optimum").change == pytest.approx(0.7)
    assert optimum.at(found, "held").change == pytest.approx(9)
    assert optimum.at(found, "held", "raw").change == pytest.approx(1)
    assert optimum.at(found, "held", batch=1, epoch=0).seeds == 3
    assert set(found.squared_bias) == {1.5} and "best perturbation" not in set(found.distribution)


def test_runs_of_several_methods_are_refused():
    rows = exact()
    rows.loc[::2, "method"] = "PA"
    with pytest.raises(ValueError, match="one method's exact probes are looked at together, got 2"):
        analyse(rows)


def test_fractions_by_statistics_are_in_their_order():
    both = analyse().statistics
    assert both.distribution.tolist() == list(optimum.ORDER)
    assert both.ratio.iloc[0] == 1.5 and both.frozen.iloc[-1] == len(optimum.ORDER)


def test_probes_that_hold_the_exact_value_are_counted():
    found = analyse()
    assert set(found.agreed.held) == {19} and set(found.agreed.of) == {20}
    assert set(found.agreed.ratio) == {1.5} and set(found.probes.ratio) == {1.5}


# --- claims ---


def test_the_theorem_is_shown_by_numbers_and_fails_when_something_is_better():
    claim = claimed(analyse())["02.theorem"]
    assert claim.verdict == "shown" and claim.effect == pytest.approx(0.7)
    assert "exactly, with frozen statistics" in claim.evidence
    assert "0 of 9 populations hold anything better" in claim.evidence
    for name, factor in (("best perturbation", 0.99), ("optimiser", 0.99), ("optimiser", 1.01)):
        found = analyse(exact(**{name: factor}))
        assert claimed(found)["02.theorem"].verdict == "opposite here"
        assert found.attempts.beaten.all() == (factor < 1)


def test_scores_are_judged_by_their_share_of_what_can_be_saved():
    claim = claimed(analyse())["02.scores"]
    shares = [(1 - 0.97 * w) / (1 - 0.7 * w) for w in WOBBLE]
    assert claim.effect == pytest.approx(np.mean(shares))
    assert (claim.verdict, claim.null) == ("opposite here", 0.5)
    rows = exact()
    rows.loc[rows.distribution == optimum.SCORES, "fraction"] *= 0.75 / 0.97
    assert claimed(analyse(rows))["02.scores"].verdict == "shown"


def test_what_is_held_is_judged_with_weights_without_and_for_paths_alone():
    found = claimed(analyse())
    assert found["02.held"].verdict == "opposite here"
    assert "at epoch 5 9.00" in found["02.held"].evidence
    assert found["02.held_raw"].verdict == "equivalent"
    paths = found["02.held_paths_raw"]
    assert paths.verdict == "shown" and paths.effect == pytest.approx(0.6)
    for words in ("on the same network at epoch 10", "all weights", "squared bias", "1.50 times"):
        assert words in paths.evidence
    assert "at epoch 0" not in claimed(analyse(exact(epochs=(10,))))["02.held"].evidence


def test_frozen_gradients_are_called_other_gradients():
    claim = claimed(analyse())["02.frozen"]
    assert claim.verdict == "opposite here" and claim.effect == pytest.approx(3.12, abs=0.01)
    assert "at all epochs 2.1 to 3.1" in claim.evidence
    assert "cosine of the mean gradients 0.40 to 0.50" in claim.evidence
    assert "their order (rho +1.00) and size, within a factor of 1.50" in claim.evidence


def test_the_sampled_probe_is_judged_by_how_many_intervals_hold():
    assert claimed(analyse(held=20))["02.agreement"].verdict == "shown"
    claim = claimed(analyse(held=18))["02.agreement"]
    assert claim.verdict == "not shown" and claim.effect == 0.9
    assert (claim.intervals[0].over, claim.intervals[0].n) == ("probes", 80)
    assert claimed(analyse(held=10))["02.agreement"].verdict == "opposite here"


# --- figures ---


def test_figures_are_drawn_from_the_tables(monkeypatch):
    monkeypatch.setattr(plots, "MOST", 5.0)
    rows = exact()
    found = analyse(rows)
    left, right = plots.draw(found, rows).axes
    assert [text.get_text() for text in left.texts] == ["9.00 →"] * 2 and not right.texts
    said = plots.caption(found, "smoke", 16)
    assert "held: what the run drew by" in said  # as rows are called
    assert "the optimum has 0.70 of uniform" in said and said.endswith("beyond the axis.")
    monkeypatch.setattr(plots, "MOST", 20.0)
    assert plots.caption(found, "smoke", 16).endswith("with frozen batch norm.")
    panels = plots.draw_agreement(found.probes).axes
    assert [panel.get_title(loc="left") for panel in panels] == [
        "as taken, epoch 5", "weighted, epoch 5", "as taken, epoch 10", "weighted, epoch 10",
    ]  # fmt: skip
    missed = [line for line in panels[0].lines if line.get_linewidth() == plots.MISSED["lw"]]
    assert len(missed) == 1
    said = "in 19 of 20 (as taken, epoch 5), 19 of 20 (weighted, epoch 5), 19 of 20 (as taken"
    assert said in plots.caption_agreement(found)


# --- the published tables ---


@pytest.mark.parametrize("suffix", ["", "_chain"])
def test_published_claims_follow_from_the_published_tables(suffix):
    folder = ROOT / "data" / "results" / "laptop"
    names = ("exact", "coupled", "exact_statistics", "agreement")
    found = optimum.analyse(*(pd.read_csv(folder / f"{name}{suffix}.csv") for name in names))
    published = claims.read(folder)
    assert len(found.claims) == 7
    for claim in found.claims:
        other = published[claim.key + suffix]
        assert (other.verdict, other.evidence) == (claim.verdict, claim.evidence)
        assert other.effect == pytest.approx(claim.effect)
    gaps = found.coupling
    assert gaps.difference.min() > 1.5 and gaps.cosine.max() < 0.8  # frozen is another gradient


def test_the_figure_of_proxies_is_drawn_from_the_published_tables():
    folder = ROOT / "data" / "results" / "laptop"
    names = ("exact_paths", "exact_images", "proxies")
    paths, images, proxies = (pd.read_csv(folder / f"{name}.csv") for name in names)
    assert len(plots.draw_proxies(paths, images, proxies).axes) == 4
    rho = optimum.proxies_by_epoch(proxies)
    assert rho.loc[("images", "softmax error"), 30] > 0.5
    said = plots.caption_proxies(proxies)
    shown = rho.loc[("paths", "held paths"), 30]
    assert f"held p {shown:+.2f}" in said
