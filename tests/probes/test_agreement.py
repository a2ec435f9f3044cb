"""Sampled probes held against the exact one: the same quantities, and intervals that hold them."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from padalib import spaces
from padalib.engine.runs import Run
from padalib.probes.agreement import AgreementConfig
from padalib.probes.exact import ExactProbe
from padalib.probes.frozen import Frozen
from padalib.samplers.magic import WalkingPaths
from padalib.train import TrainConfig

SPACE = replace(spaces.get("mini"), channels=2, ops=("none", "nor_conv_1x1", "nor_conv_3x3"))
TRAIN = TrainConfig("PA&DA", space=SPACE, data="digits-small", epochs=4, keep=(3,))


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PADALIB_DATA", str(tmp_path_factory.mktemp("data")))
        config = AgreementConfig(TRAIN, 3, images=12, batch=4, paths=64, seeds=20)
        return Run(config).compute().table("agreement"), config.trainer()


def test_what_is_compared_is_the_exact_variance_of_the_held_distributions(table):
    rows, trainer = table
    assert len(rows) == 20 * 2 * 3 and set(rows.epoch) == {3}
    probe = ExactProbe(trainer, Frozen(trainer, 12))
    p, q = probe.held()
    assert np.ptp(p) > 0.01 and np.ptp(q) > 0.01
    raw = probe.unweighted({4: {"held": (p, q)}})[4, "held"]
    for weights, wanted in (("raw", raw), ("importance", probe.population.variance(p, q, 4))):
        for name in ("total", "path", "data"):
            own = rows[(rows.weights == weights) & (rows.quantity == name)]
            assert len(own) == 20 and len(set(own.sampled)) == 20
            assert own.exact.tolist() == pytest.approx([wanted[name]] * 20, rel=1e-5)
            error = own.sampled.std() / np.sqrt(20)
            assert abs(own.sampled.mean() - wanted[name]) < 3.5 * error


def test_intervals_hold_the_exact_value_about_as_often_as_they_say(table):
    rows, _ = table
    held = (rows.low <= rows.exact) & (rows.exact <= rows.high)
    assert rows.covered.tolist() == held.tolist()
    assert 105 <= held.sum() <= 120  # 114 expected, six a seed and those six not independent


def test_steps_of_several_paths_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("PADALIB_DATA", str(tmp_path))
    config = AgreementConfig(replace(TRAIN, method="FairNAS"), 3, images=12, batch=4)
    with pytest.raises(ValueError, match="takes steps of 3 paths"):
        config.compute(Run(config))


def test_paths_of_a_walk_are_drawn_independently(tmp_path, monkeypatch):
    monkeypatch.setenv("PADALIB_DATA", str(tmp_path))
    drawn, draw = [], WalkingPaths.draw

    def watched(self, generator):
        drawn.append(draw(self, generator)[0])
        return [drawn[-1]]

    walk = replace(TRAIN, method="MAGIC-T", epochs=1, keep=())
    config = AgreementConfig(walk, images=12, batch=4, paths=32, seeds=1)
    monkeypatch.setattr(WalkingPaths, "draw", watched)
    Run(config).compute()
    steps, probed = drawn[:-32], drawn[-32:]
    apart = [[sum(map(int.__ne__, *two)) for two in pairwise(own)] for own in (steps, probed)]
    assert len(steps) == 512 // 64 and {*apart[0]} == {1} and {*apart[1]} > {1, 2}
