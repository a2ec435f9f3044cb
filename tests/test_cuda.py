"""The same on a GPU as on a CPU, but for the last bits. Where there is none, all of it is skipped.

CUDA's sums have no fixed order, so runs are compared by how near they are: for a few steps.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from padalib import data, samplers, spaces
from padalib.engine.launch import grid
from padalib.engine.runs import Run, pack_state, unpack_state
from padalib.probes import exact, sampled
from padalib.probes.cost import CostConfig
from padalib.probes.memory import MemoryConfig
from padalib.ranking.normed import NormScores
from padalib.ranking.scores import ScoreConfig, sample, score
from padalib.study import scales
from padalib.train import TrainConfig, Trainer

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="needs a CUDA device: torch sees none"
)
SPACE = spaces.get("mini")


def config(method="SPOS", device="cuda", **fields):
    """Two epochs of four steps."""
    fields = {"data": "digits-small", "space": SPACE, "epochs": 2, "batch": 128} | fields
    return TrainConfig(method, device=device, **fields)


def on_cpu(trainer):
    """The trainer of the same run on a CPU, in the same state."""
    other = Trainer(replace(trainer.config, device="cpu"))
    other.net.load_state_dict(trainer.net.state_dict())
    return other


ALONE = [name for name, method in samplers.METHODS.items() if not method.paths.cls.replays]


@pytest.mark.parametrize("method", ALONE)
def test_every_method_learns_as_on_a_cpu(method):
    few = {"batch": 32} if method.startswith("SUMNAS") else {}  # its step has many passes
    found = [Trainer(config(method, device, **few)) for device in ("cuda", "cpu")]
    for trainer in found:
        # In the second epoch schedules, probabilities by norm and weights are at work.
        assert trainer.train_epoch() is None and trainer.train_epoch() is None
    for one, other, wide in zip(*(trainer.history for trainer in found), (1, 5), strict=True):
        assert one.keys() == other.keys() and one["images"] == other["images"]
        assert one["loss"] == pytest.approx(other["loss"], rel=wide * 2e-3)
        assert one["grad_norm"] == pytest.approx(other["grad_norm"], rel=wide * 1e-2)
        drawn = [name for name in one if name.startswith(("p_", "q_"))]
        for name in drawn:
            assert one[name] == pytest.approx(other[name], rel=wide * 1e-2, abs=1e-3), name


@pytest.mark.parametrize("name", [name for name in spaces.SPACES if name != "mini"])
def test_every_space_trains_and_scores_as_on_a_cpu(name):
    images = data.load("digits-small")["valid"]
    space = data.fitted(replace(spaces.get(name), **small(spaces.get(name))), images)
    trainer = Trainer(config(space=space, batch=256))
    trainer.train_epoch()
    archs = sample(space, 5)
    one, other = (
        np.array(score(net, archs, where))
        for net, where in ((trainer.net, images.to("cuda")), (on_cpu(trainer).net, images))
    )
    np.testing.assert_allclose(one[:, 0], other[:, 0], rtol=0, atol=0.8)  # two of 256 images
    np.testing.assert_allclose(one[:, 1], other[:, 1], rtol=2e-3)


def small(space):
    """A space's network, cut to what a test can wait for."""
    return {"cells": 1} if hasattr(space, "cells") else {}


def test_convolutions_are_of_float32_and_not_of_tf32():
    rng = torch.Generator().manual_seed(0)
    x, w = torch.randn(8, 64, 16, 16, generator=rng), torch.randn(64, 64, 3, 3, generator=rng)
    truth = torch.nn.functional.conv2d(x.double(), w.double())
    found = torch.nn.functional.conv2d(x.cuda(), w.cuda()).cpu().double()
    assert float((found - truth).norm() / truth.norm()) < 2e-6  # TF32 is off by 3e-4


@pytest.mark.parametrize("method", ["PA&DA", "NSAS"])
def test_a_cut_run_goes_on_as_it_was(method, tmp_path, monkeypatch):
    monkeypatch.setenv("PADALIB_DATA", str(tmp_path))
    whole, cut = Trainer(config(method)), Trainer(config(method))
    whole.train_epoch()
    cut.restore(unpack_state(pack_state("cut", whole.state())))  # a copy, as from a file
    for trainer in (whole, cut):
        trainer.train_epoch()
    assert whole.history is not cut.history
    one, other = (trainer.history[1] for trainer in (whole, cut))
    assert one["loss"] == pytest.approx(other["loss"], rel=2e-4)
    assert one["grad_norm"] == pytest.approx(other["grad_norm"], rel=5e-3)
    assert {k: one[k] for k in ("lr", "steps", "unique_images")} == {
        k: other[k] for k in ("lr", "steps", "unique_images")
    }


def test_the_probes_find_the_variance_that_they_find_on_a_cpu():
    trainer = Trainer(config("PA&DA"))
    trainer.train_epoch()
    other = on_cpu(trainer)
    for own in ("paths", "data"):
        getattr(other, own).restore(getattr(trainer, own).state())
    found = [sampled.probe(each, 16, 2, 1e-9, 0) for each in (trainer, other)]
    whole = range(len(found[0]["raw"].sizes))
    one, two = (each["raw"].moments(whole).summary() for each in found)
    assert one["total"] == pytest.approx(two["total"], rel=1e-2)
    assert one["data"] == pytest.approx(two["data"], rel=1e-2)


def test_runs_of_several_kinds_finish(tmp_path, monkeypatch):
    monkeypatch.setenv("PADALIB_DATA", str(tmp_path))
    monkeypatch.setenv("PADALIB_DEVICE", "cuda")
    train = scales.get("smoke").training("PA", 0)
    assert train.device == "cuda"
    asked = [
        ScoreConfig(train, images=64, archs=4),
        sampled.VarianceConfig(train, paths=4),
        exact.ExactConfig(train, images=128),
        NormScores(train, images=64, archs=4),
        CostConfig(train, pairs=2),
        MemoryConfig(train),
    ]
    made = [run.record()["versions"]["device"] for run in grid(asked, 2)]
    assert made == [torch.cuda.get_device_name()] * len(asked) and Run(train).done
