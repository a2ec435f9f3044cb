"""The study of variance: its configs, and its analysis on small tables with known answers."""

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from padalib import samplers, spaces
from padalib.study import claims, scales, variance
from padalib.study.variance import plots

ROOT = Path(__file__).resolve().parents[2]
METHODS = ("SPOS", "FairNAS", "PA&DA", "curriculum")
P = {"SPOS": (0.2,) * 5, "PA&DA": (0.01, 0.01, 0.4, 0.57, 0.01)}
P |= {"PA&DA weighted": P["PA&DA"], "curriculum": (0.01, 0.01, 0.485, 0.485, 0.01)}
WOBBLE = (0.98, 1.0, 1 / 0.98)  # over seeds, of geometric mean 1

TRAINING = [name for name, scale in scales.SCALES.items() if scale.methods]


def probes(total, methods=METHODS, epochs=(1, 2)):
    """Rows of probes: `total(method, weights, part, epoch)` times a wobble by seed."""
    parts = ("all", "fixed", "nor_conv_3x3", "edge 0", "edge 1")
    rows = []
    for method, seed, epoch in product(methods, range(3), epochs):
        for weights, part in product(("raw", "importance"), parts):
            value = total(method, weights, part, epoch)
            # SPOS does not wobble: what is paired by seed is seen.
            value *= 1 if method == "SPOS" else WOBBLE[seed]
            group = 5 if method == "FairNAS" else 1
            rows.append(
                {
                    "method": method, "seed": seed, "run": f"{method} {seed} {epoch}",
                    "epoch": epoch, "weights": weights, "part": part, "paths": 128, "batches": 2,
                    "group": group, "total": value, "path": 0.25 * value, "data": 0.75 * value,
                    "path_share": 0.25, "signal": 0.5, "signal_to_noise": 0.1 * group + seed / 100,
                    "bias2": 0.2 if weights == "raw" else 0.0,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def curves(methods=METHODS, epochs=(1, 2), p=P):
    names = [f"p_{op}" for op in spaces.OPS]
    none = (np.nan,) * len(names)
    return pd.DataFrame(
        {"method": method, "seed": seed, "epoch": epoch, "loss": 1.0}
        | dict(zip(names, p.get(method, none) if epoch == 2 else P["SPOS"], strict=True))
        for method, seed, epoch in product(methods, range(3), epochs)
    )


def flat(method, weights, part, epoch):
    return 2.0


def analyse(total=flat, methods=METHODS, epochs=(1, 2)):
    return variance.analyse(probes(total, methods, epochs), curves(methods, epochs), 6)


def claimed(found):
    return {claim.key: claim for claim in found.claims}


# --- configs ---


@pytest.mark.parametrize("name", TRAINING)
def test_every_run_is_probed_at_every_kept_epoch_and_with_more_draws_at_the_end(name):
    scale = scales.get(name)
    found = variance.probes(scale)
    own = [config for config in scale.trainings() if config.method.update.cls.summed]
    assert len(found) == len(own) * (1 + len(scale.keep))
    last = [probe for probe in found if probe.epoch == scale.epochs]
    assert [probe.train for probe in last] == own
    assert {probe.paths for probe in last} == {scale.final_paths}
    assert {probe.paths for probe in found if probe not in last} <= {scale.paths}
    assert variance.configs(scale) == [*scale.trainings(), *found]


def test_places_are_named_as_the_code_counts_them():
    assert variance.places(spaces.get("mini")) == ["1←0", "2←0", "2←1"]
    assert variance.places(spaces.get("chain-mini")) == ["0", "1", "2", "3", "4"]


# --- tables ---


def test_probes_without_spos_are_refused_with_what_to_add():
    with pytest.raises(
        ValueError, match=r"probes of PA&DA, curriculum, and not of SPOS.* SPOS too"
    ):
        variance.compare(probes(flat, ("PA&DA", "curriculum")))


def test_methods_are_compared_with_spos_seed_by_seed():
    found = analyse(lambda method, *_: {"SPOS": 2.0, "FairNAS": 10.0}.get(method, 3.0)).compared
    rows = found.set_index(["epoch", "weights", "part", "value", "method"])
    assert len(rows) == 2 * 2 * (2 + 1) * 3  # snr is of all weights only
    pada = rows.loc[2, "raw", "all", "variance", "PA&DA"]
    assert pada.change == pytest.approx(1.5) and pada.base == 2 and pada.seeds == 3
    half = 4.302652729696142 * np.log(1 / 0.98) / 3**0.5  # Student's, 2 degrees; sd log(1/.98)
    assert (pada.low, pada.high) == pytest.approx((1.5 / np.exp(half), 1.5 * np.exp(half)))
    assert rows.change[2, "raw", "fixed", "variance", "FairNAS"] == pytest.approx(5)
    # Per path trained: 0.1 for both; the seed's hundredth counts a fifth with five paths.
    assert rows.change[2, "raw", "all", "snr", "FairNAS"] == pytest.approx(-0.8 * 0.01)
    assert rows.change[2, "raw", "all", "snr", "PA&DA"] == 0


def test_only_what_the_paper_claims_is_planned_and_the_rest_is_corrected():
    methods = (*METHODS, "PA&DA weighted")
    rows = analyse(methods=methods).compared
    planned = rows[rows.planned]
    assert set(planned.method[planned.weights == "raw"]) == {"PA&DA"}
    assert set(planned.method[planned.weights == "importance"]) == {"PA&DA", "PA&DA weighted"}
    assert set(planned.epoch) == {2}
    assert (planned.corrected.fillna(9) == planned.p.fillna(9)).all()
    block = rows[(rows.epoch == 1) & (rows.weights == "raw") & (rows.part == "all")]
    block = block[block.value == "variance"]
    assert block.corrected.tolist() == claims.holm(block.p.tolist())


def test_a_method_that_trains_on_weighted_steps_has_no_others():
    assert variance.weighs(samplers.get("PA&DA weighted"))
    others = map(samplers.get, (*METHODS, "curriculum"))
    assert not any(map(variance.weighs, (*others, samplers.compose("my own"))))

    class Weighted(samplers.PathSampler):
        importance = True

    assert variance.weighs(samplers.compose("my own", paths=Weighted))
    found = analyse(methods=(*METHODS, "PA&DA weighted"))
    own = found.compared[found.compared.method == "PA&DA weighted"]
    assert set(own.weights) == {"importance"} and set(own.epoch) == {1, 2}
    rows = found.steps[found.steps.method == "PA&DA weighted"]
    assert len(rows) == 6 and rows.total.isna().all() and rows.total_weighted.notna().all()
    assert rows.paths.isna().all() and str(found.steps.paths.dtype) == "Int64"  # "128", not "128.0"
    assert "PA&DA weighted" not in set(found.parts.method)
    whole = (*METHODS, "PA&DA weighted")
    left, weighted, *_ = plots.draw(found, whole, ["2←0", "2←1"]).axes
    assert (len(left.lines), len(weighted.lines)) == (2 * len(METHODS), 2 * len(whole))


def test_what_the_schedule_costs_is_arithmetic_of_the_logged_p():
    rows = analyse().schedule.set_index(["epoch", "method"])
    assert (2, "FairNAS") not in rows.index  # it holds no p
    assert rows.loc[2, "SPOS"].tolist() == pytest.approx([128, 1, 0, 0])
    found = rows.loc[2, "curriculum"]
    # E_u[u/p] on one edge: (3 * .2 / .01 + 2 * .2 / .485) / 5; six edges.
    edge = (3 * 0.2 / 0.01 + 2 * 0.2 / 0.485) / 5
    assert found.second_moment == pytest.approx(edge**6) == pytest.approx(3.2409e6, rel=1e-4)
    assert found.starved == pytest.approx((12 / edge) ** 6) == pytest.approx(0.921, abs=1e-3)
    assert found.starved_draws == pytest.approx(128 * 0.6**6)
    assert rows.second_moment[1, "curriculum"] == pytest.approx(1)
    # By enumeration on two edges.
    p = np.array(P["PA&DA"])
    both = [0.04**2 / (p[a] * p[b]) for a, b in product(range(5), repeat=2)]
    two = variance.schedule(probes(flat), curves(), 2).set_index(["epoch", "method"])
    assert two.second_moment[2, "PA&DA"] == pytest.approx(sum(both))


def test_a_p_for_each_position_is_a_product_over_them():
    rows = pd.DataFrame({"method": "SPOS", "seed": [0, 1, 2], "epoch": 2})
    p = {"p_block 0/a": 0.1, "p_block 0/b": 0.9, "p_block 1/a": 0.5, "p_block 1/b": 0.5}
    found = variance.schedule(probes(flat, ("SPOS",)), rows.assign(**p, p_none=np.nan), 2)
    assert found.second_moment.tolist() == pytest.approx([0.25 / 0.1 + 0.25 / 0.9])
    assert found.starved_draws.tolist() == [0]
    bare = variance.schedule(probes(flat, ("SPOS",)), rows.assign(p_none=np.nan), 2)
    assert bare.empty and list(bare) == list(found)


def test_bias_is_drawn_only_where_both_estimates_are_positive():
    rows = probes(flat)
    raw = (rows.weights == "raw") & (rows.part == "all")
    rows.loc[raw & (rows.method == "PA&DA"), "bias2"] = -0.1
    rows.loc[~raw & (rows.method == "FairNAS"), "signal"] = -0.1
    found = variance.as_taken(rows).groupby("method").bias.agg(["count", "mean"])
    assert found["count"].to_dict() == {"SPOS": 6, "FairNAS": 0, "PA&DA": 0, "curriculum": 6}
    assert found["mean"]["curriculum"] == pytest.approx(0.4)


# --- claims ---


def test_what_is_said_of_steps_names_epoch_network_and_part():
    """All weights vary more, those that no path leaves out do not: two claims."""

    def total(method, weights, part, epoch):
        more = 1.2 if method == "PA&DA" and part == "all" else 1.0
        return 2.0 * more

    found = claimed(analyse(total))
    steps, fixed = found["01.steps"], found["01.steps_fixed"]
    assert (steps.verdict, fixed.verdict) == ("opposite here", "equivalent")
    assert steps.effect == pytest.approx(1.2) and steps.bound == 0.1
    for words in ("at epoch 2", "each method on its own network", "all weights", "over 3 seeds"):
        assert words in steps.evidence
    assert "PA&DA at epoch 1 1.20" in steps.evidence
    assert "its fixed part alone" in fixed.evidence
    assert found["01.signal_to_noise"].verdict == "not shown"


def test_weighted_steps_are_those_of_networks_trained_with_weights_where_there_are_any():
    def total(method, weights, part, epoch):
        if weights == "raw" or method == "SPOS" or epoch == 1:
            return 1.0
        return {"PA&DA": 5e7, "PA&DA weighted": 1.2e7, "curriculum": 7e6}.get(method, 1.0)

    found = claimed(analyse(total, (*METHODS, "PA&DA weighted")))
    weighted = found["01.weighted"]
    assert weighted.effect == pytest.approx(1.2e7) and weighted.verdict == "opposite here"
    assert "trained with these weights; trained without them 5.00e7" in weighted.evidence
    alone = claimed(analyse(total))["01.weighted"]
    assert alone.effect == pytest.approx(5e7) and "without these weights" in alone.evidence
    control = found["01.weighted_schedule"]
    assert control.effect == pytest.approx(7e6) and control.verdict == "shown"
    for words in ("3.24e6", "92 %", "about 6 of 128 draws"):
        assert words in control.evidence
    assert found["01.weighted_early"].verdict == "equivalent"
    assert "at epoch 1 of 2" in found["01.weighted_early"].evidence


def test_there_is_no_early_claim_without_an_early_epoch_and_none_without_the_method():
    assert "01.weighted_early" not in claimed(analyse(epochs=(2,)))
    assert analyse(methods=("SPOS", "FairNAS")).claims == []
    assert "01.weighted_schedule" not in claimed(analyse(methods=("SPOS", "PA&DA")))


# --- figures ---


@pytest.mark.parametrize("epochs", [(1, 2), (2,)])
def test_figures_are_drawn_from_the_tables(epochs):
    found = analyse(epochs=epochs)
    some = (*METHODS, "sandwich")  # which cannot be probed
    figure = plots.draw(found, some, ["2←0", "2←1"])
    assert len(figure.axes) == 6
    lines = figure.axes[-1].lines
    assert [list(line.get_ydata()) for line in lines] == [[1, 1]] * len(METHODS)
    words = plots.caption(found, "smoke")
    assert (
        "PA&DA's steps: 1.00 times SPOS's" in words and "curriculum (no gradients): 1.00" in words
    )
    bars = plots.draw_parts(found, some).axes[0].patches
    assert [bar.get_height() for bar in bars[:4]] == pytest.approx([0.25, 0.75] * 2)
    assert "fixed part 100\u00a0%, conv 3×3 100\u00a0%" in plots.caption_parts(found)


# --- the published tables ---


def published(scale, places):
    folder = ROOT / "data" / "results" / scale
    tables = (pd.read_csv(folder / f"{name}.csv") for name in ("variance", "curves"))
    found = variance.analyse(*tables, places)
    return found, found.compared.set_index(["value", "epoch", "weights", "part", "method"])


def test_published_numbers_are_those_of_an_audit_by_other_code():
    found, rows = published("cifar", 6)
    for key, wanted in {
        ("raw", "fixed", "PA&DA"): (0.96, 0.88, 1.04),
        ("importance", "all", "PA&DA"): (5.07e7, 2.57e7, 9.99e7),
        ("importance", "all", "PA&DA weighted"): (1.21e7, 4.9e6, 3.0e7),
        ("importance", "all", "curriculum"): (7.2e6, 3.44e6, 1.50e7),
    }.items():
        own = rows.loc[("variance", 20, *key), ["change", "low", "high"]]
        assert tuple(own) == pytest.approx(wanted, rel=0.01)
    arithmetic = found.schedule.set_index("method").loc["curriculum"]
    assert arithmetic.second_moment == pytest.approx(3.2e6, rel=0.02)
    assert arithmetic.starved_draws == pytest.approx(6, abs=0.05)
    assert claimed(found)["01.steps_fixed"].verdict == "not shown"
    _, rows = published("laptop", 3)
    early = rows.loc[("variance", 5, "importance", "all", "PA"), ["change", "low", "high"]]
    assert tuple(early) == pytest.approx((0.97, 0.83, 1.13), abs=5e-3)
