"""Learning rates chosen on one half, reported on the other: made-up scores with known answers."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from padalib import data, spaces
from padalib.engine.identity import key
from padalib.ranking.report import Ranked
from padalib.study import claims, scales, tuning
from padalib.study.tuning import plots

MINI = spaces.get("mini")
SCALE = replace(scales.get("tuning"), space=MINI, data="digits", lr=0.1, epochs=20, equal_flops=31)


def known():
    codes = tuple(MINI.code(arch) for arch in MINI)
    flops = np.array([MINI.flops(arch) for arch in MINI], float)
    noise = np.random.default_rng(0).normal(size=len(codes))
    return Ranked(MINI, codes, flops / flops.std() + noise)


def scores(own, noise, seeds=range(8)):
    """(method, lr, epochs) -> sd of its noise, other in each seed."""
    rows = []
    for place, ((method, rate, epochs), sd) in enumerate(noise.items()):
        for seed in seeds:
            value = own.true + sd * np.random.default_rng([seed, place]).normal(size=len(own.true))
            run = pd.DataFrame({"code": own.codes, "accuracy": value, "loss": -value})
            rows.append(run.assign(method=method, seed=seed, lr=rate, epochs=epochs))
    return pd.concat(rows, ignore_index=True)


BEST = {"SPOS": 0.2, "PA": 0.1, "curriculum": 0.05}
TRIED = {
    (method, rate, 20): 0.3 if rate == best else 1.5
    for method, best in BEST.items()
    for rate in (0.05, 0.1, 0.2)
}


def test_each_function_is_in_one_half():
    own = known()
    one, other = tuning.halves(own)
    assert sorted((*one.codes, *other.codes)) == sorted(own.codes)
    same = [{MINI.code(MINI.canonical(arch)) for arch in half.archs} for half in (one, other)]
    assert not same[0] & same[1] and abs(len(same[0]) - len(same[1])) <= 1


def test_the_best_rate_of_each_is_chosen_and_its_edge_is_told():
    half = tuning.halves(known())[0]
    rates = tuning.choose(scores(known(), TRIED), half)
    own = rates[rates.chosen].set_index("method")
    assert own.lr.to_dict() == BEST and own.edge.to_dict() == {
        "SPOS": True, "PA": False, "curriculum": True,
    }  # fmt: skip
    said = tuning.described(SCALE, rates)
    assert "SPOS 0.2" in said and "For SPOS, curriculum it is at the edge" in said.replace(
        "curriculum, SPOS", "SPOS, curriculum"
    )
    arms = tuning.arms(SCALE, rates)
    assert arms[tuning.OWN] == {name: (rate, 20) for name, rate in BEST.items()}
    assert arms[tuning.FLOPS] == {"SPOS": (0.1, 31), "PA": (0.1, 20), "curriculum": (0.1, 20)}


def test_where_the_common_rate_is_best_for_all_there_is_no_second_arm():
    one = {(m, r, 20): 0.3 if r == 0.1 else 1.5 for m in BEST for r in (0.05, 0.1, 0.2)}
    rates = tuning.choose(scores(known(), one), tuning.halves(known())[0])
    assert list(tuning.arms(SCALE, rates)) == [tuning.COMMON, tuning.FLOPS]
    assert "no other arm" in tuning.described(SCALE, rates)


def planted(spos_own, spos_longer):
    """All rank alike at their own rates but SPOS, whose noise is given; at the common rate 2."""
    rates = tuning.choose(scores(known(), TRIED), tuning.halves(known())[0])
    arms = tuning.arms(SCALE, rates)
    exact = (("PA", 0.1, 20), ("curriculum", 0.1, 20), ("curriculum", 0.05, 20))
    noise = dict.fromkeys(exact, 0.02)
    noise |= {("SPOS", 0.1, 20): 2.0, ("SPOS", 0.2, 20): spos_own, ("SPOS", 0.1, 31): spos_longer}
    tables = tuning.analyse(scores(known(), noise), tuning.halves(known())[1], arms)
    return rates, tables, {claim.key: claim for claim in tuning.conclude(tables)}


def test_a_gain_that_is_one_of_the_rate_is_gone_at_own_rates():
    _, tables, found = planted(0.02, 2.0)
    for name in ("tau_loss", "within_flops"):
        assert found[f"14.common_rate.pa_spos.{name}"].verdict == claims.SHOWN
        assert found[f"14.own_rates.pa_spos.{name}"].verdict == claims.EQUIVALENT
        assert found[f"14.equal_flops.pa_spos.{name}"].verdict == claims.SHOWN
        assert found[f"14.shrinks.own_rates.{name}"].verdict == claims.SHOWN
        assert found[f"14.shrinks.equal_flops.{name}"].verdict != claims.SHOWN
        assert found[f"14.common_rate.pa_curriculum.{name}"].verdict == claims.EQUIVALENT
    rows = tables["contrasts"]
    assert len(rows) == 2 * (3 + 3 + 1)
    assert rows.holm.tolist() == pytest.approx(claims.holm(rows.p.tolist()))
    change = tables["changes"].set_index(["arm", "measure"]).difference["own rates", "tau_loss"]
    at = rows[(rows.a == "PA") & (rows.b == "SPOS") & (rows.measure == "tau_loss")]
    at = at.set_index("arm").difference
    assert change == pytest.approx(at["own rates"] - at["common rate"])


def test_an_arm_that_was_not_run_is_refused():
    arms = {tuning.COMMON: {"SPOS": (0.3, 20)}}
    with pytest.raises(ValueError, match=r"no scores of SPOS at learning rate 0\.3 after 20 epoch"):
        tuning.analyse(scores(known(), TRIED), known(), arms)


def test_the_common_arm_is_the_runs_of_controls(monkeypatch):
    monkeypatch.setattr(data, "fingerprint", lambda name: name)
    scale, controls = scales.get("tuning"), scales.get("controls")
    rates = tuning.choose(scores(known(), TRIED), tuning.halves(known())[0])
    reported = {config.train for config in tuning.reported(scale, tuning.arms(scale, rates))}
    shared = {controls.training(m, s) for m in tuning.METHODS for s in scale.seeds}
    assert shared <= reported and len(reported) == 8 * (3 + 2 + 1)
    tried = {config.train for config in tuning.tried(scale)}
    assert len(tried) == 4 * 3 * 2 and not {c.seed for c in tried} & {c.seed for c in reported}
    assert not {c.seed for c in tried} & set(controls.seeds)
    assert len({key(config) for config in (*tried, *reported)}) == 24 + 48


def test_the_figure_shows_every_rate_and_contrast():
    rates, tables, _ = planted(0.02, 2.0)
    figure = plots.draw(rates, tables)
    one, other, right = figure.axes
    assert one.get_legend_handles_labels()[1] == list(tuning.METHODS)
    assert len(other.lines) == 3 + 9
    assert len(right.get_yticks()) == 3 + 3 + 1
    assert "own rates" in plots.caption(SCALE, tables)
