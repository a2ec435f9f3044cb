"""Batch norm when ranking, as a study: made-up scores with known answers, and which runs it is."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_scores import known, scores

from padalib import data, spaces
from padalib.engine.identity import key
from padalib.study import claims, norms, scales

MINI = spaces.get("mini")
ON_CIFAR, ON_DIGITS = scales.get("options-cifar"), scales.get("options")


def made(noise):
    """(method, way) -> sd of the noise; what is not told has 0.3."""
    own, tables = known(MINI), []
    for way in norms.WAYS:
        sd = {name: noise.get((name, way), 0.3) for name in (norms.BASE, norms.GAINER)}
        tables.append(scores(own, sd).assign(norm=way))  # the same draws in each way
    return pd.concat(tables, ignore_index=True)


def by_key(rows):
    return {claim.key: claim for claim in norms.conclude(rows)}


def test_a_way_that_ruins_one_method_is_told_from_one_that_changes_nothing():
    found = made({("SPOS", "running"): 5.0})
    rows = norms.analyse(found, known(MINI))
    assert len(rows) == 2 * 3 * 2 and set(rows.tests) == {12}
    told = by_key(rows)
    assert told["16.norm.spos.running.tau_loss"].verdict == claims.OPPOSITE
    # PA&DA is as before, so that its gain over SPOS has grown by what SPOS has lost.
    assert told["16.norm.pa_da_spos.running.tau_loss"].verdict == claims.SHOWN
    same = [claim.verdict for name, claim in told.items() if ".recalibrated." in name]
    assert same == [claims.EQUIVALENT] * 6
    wide = rows.set_index(["of", "way", "measure"])
    lost = wide.loc[("SPOS", "running", "tau_loss")]
    assert lost.difference == pytest.approx(lost.value - lost.plain) and lost.difference < -0.3
    gained = wide.loc[(norms.GAIN, "running", "tau_loss")]
    assert gained.difference == pytest.approx(-lost.difference)
    assert gained.plain == pytest.approx(
        wide.loc[("PA&DA", "running", "tau_loss")].plain - lost.plain
    )


def test_only_what_is_scored_is_held_against_the_truth():
    own = known(MINI)
    few = np.array(own.codes)[::3]
    found = made({})
    found = found[found.code.isin(few)]
    some = norms.among(found, own)
    assert list(some.codes) == list(few) and some.true.tolist() == own.true[::3].tolist()
    assert set(norms.analyse(found, own).functions) == {int(some.clusters.max()) + 1}


def test_it_scores_runs_that_other_studies_train(monkeypatch):
    monkeypatch.setattr(data, "fingerprint", lambda name: name)
    found, trained = norms.configs(ON_CIFAR), scales.get("controls")
    assert len(found) == 2 * norms.SEEDS < 2 * len(ON_CIFAR.seeds)
    for config in found:
        name, seed = config.train.method.name, config.train.seed
        assert key(config.train) == key(trained.training(name, seed))
        assert config.images is None and config.splits == (ON_CIFAR.rank_split,)
    every = ON_CIFAR.ranked_archs()
    places = [round(k * (len(every) - 1) / 299) for k in range(300)]
    assert found[0].scored() == [every[k] for k in places] and places[-1] == len(every) - 1
    assert len({config.codes for config in found}) == 1 and len(set(places)) == 300
    few = replace(ON_CIFAR, ranked=512)  # less than twice as many: not the first 300 of them
    assert norms.configs(few)[0].scored()[-1] == few.ranked_archs()[-1]
    assert norms.configs(replace(ON_CIFAR, ranked=40))[0].scored() == every[:40]
    (all_of_them, *_) = norms.configs(ON_DIGITS)
    assert len(all_of_them.scored()) == 85 and all_of_them.train.data == "digits"
    (small, *_) = norms.configs(scales.get("smoke"))
    assert len(small.codes) == 16 and {*small.scored()} <= {*MINI.classes()}
