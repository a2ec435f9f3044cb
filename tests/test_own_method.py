"""A method of one's own: one file, one line, and it trains, resumes, ranks and is timed."""

import sys

import pytest

from padalib import samplers, spaces
from padalib.engine.runs import Run
from padalib.probes.cost import CostConfig
from padalib.probes.sampled import VarianceConfig
from padalib.ranking.scores import ScoreConfig
from padalib.train import TrainConfig, Trainer

FILE = '''
"""Twins: two paths that differ in one position; the second one counts less and less."""

import torch

from padalib.samplers import PathSampler
from padalib.samplers.update import Accumulate


class TwinPaths(PathSampler):
    group = 2

    def draw(self, generator):
        arch = self.space.sample(generator)
        others = list(self.space.neighbours(arch))
        return [arch, others[int(torch.randint(len(others), (), generator=generator))]]


class Fading(Accumulate):
    summed = False

    def __init__(self, space, epochs, rate=0.5):
        super().__init__(space, epochs)
        self.rate, self.share = rate, 1.0

    def objective(self, k, loss, logits):
        return loss * self.share if k else loss

    def step(self, *given):
        self.share *= self.rate
        return super().step(*given)

    def log(self):
        return {"share": self.share}
'''


@pytest.fixture
def method(tmp_path, monkeypatch):
    (tmp_path / "twins.py").write_text(FILE)
    monkeypatch.syspath_prepend(tmp_path)
    import twins

    yield samplers.compose("twins", twins.TwinPaths, update=twins.Fading)
    sys.modules.pop("twins")


def config(method, **fields):
    return TrainConfig(method, **{"data": "digits-small", "epochs": 3, "batch": 64} | fields)


def test_it_trains_and_ranks(method):
    scores = Run(ScoreConfig(config(method))).compute().table("scores")
    assert len(scores) == len(spaces.get("mini").classes())
    curves = Run(config(method)).table("curves")
    assert curves.images.tolist() == [512] * 3 and curves.steps.tolist() == [4] * 3
    assert curves.share.tolist() == [0.5**4, 0.5**8, 0.5**12]
    assert curves.loss.between(0, 10).all()


def test_it_goes_on_after_a_checkpoint_to_the_bit(method):
    unbroken = Run(config(method)).compute().table("curves")
    state = {}
    for _ in range(3):
        trainer = Trainer(config(method))
        if state:
            trainer.restore(state)
        trainer.train_epoch()
        state = trainer.state()
    assert state["update"] == {"rate": 0.5, "share": 0.5**12}
    assert [row["loss"] for row in state["history"]] == unbroken.loss.tolist()


def test_its_options_and_its_code_are_its_identity(method):
    other = method.with_options("slower", rate=0.9)
    keys = {Run(config(each)).key for each in (method, other, samplers.get("SPOS"))}
    assert len(keys) == 3
    with pytest.raises(ValueError, match="no part of twins has an option pace"):
        method.with_options("slower", pace=1)
    assert set(method.update.describe()) == {"class", "options", "code"}


def test_it_is_timed_and_not_probed_for_what_it_is_not(method):
    table = Run(CostConfig(config(method), pairs=2, paths=2)).compute().table("cost")
    assert table.ratio.item() > 0
    with pytest.raises(ValueError, match=r"twins .* not the sum of its paths' gradients"):
        VarianceConfig(config(method)).check()
