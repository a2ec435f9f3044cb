"""The textbook way is the same computation, or its times mean nothing."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader

import bench.__main__ as bench
from bench import roofline, textbook
from padalib import spaces
from padalib.ranking import scores

SPACE = replace(spaces.get("nasbench201"), channels=4, cells=2, size=8)
IMAGES = replace(
    bench.noise()["train"].first(64), images=bench.noise()["train"].images[:64, :, :8, :8]
)


@pytest.fixture(scope="module")
def nets():
    ours = SPACE.build(3).to(memory_format=torch.channels_last)
    return ours, textbook.Textbook(SPACE).take_weights(ours)


@pytest.mark.parametrize("arch", scores.sample(SPACE, 12))
def test_textbook_and_our_supernet_are_the_same_function(nets, arch):
    x, y = IMAGES.batch(torch.arange(32))
    for net in nets:
        net.zero_grad()
    losses = [F.cross_entropy(net(x, arch), y) for net in nets]
    for loss in losses:
        loss.backward()
    assert losses[0].item() == pytest.approx(losses[1].item(), abs=1e-5)
    grads = [
        [m.weight.grad for m in net.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
        for net in nets
    ]
    assert len(grads[0]) == len(grads[1]) > 20
    for mine, theirs in zip(*grads, strict=True):
        # An operation on a dead edge has no gradient in ours; the textbook multiplies it by zero.
        mine = torch.zeros_like(theirs) if mine is None and theirs is not None else mine
        if theirs is not None:
            torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-5)
        else:
            assert mine is None


def test_textbook_ranking_gives_our_scores(nets):
    ours, plain = nets
    archs = scores.sample(SPACE, 8)
    loader = DataLoader(textbook.Pictures(IMAGES, False, 0), 32)
    theirs = [textbook.accuracy(plain, arch, loader) for arch in archs]
    mine = [accuracy for accuracy, _ in scores.score(ours, archs, IMAGES, 32)]
    assert mine == pytest.approx(theirs, abs=1e-6)


def test_one_by_one_gives_the_scores_of_the_walk(capsys, monkeypatch):
    space = replace(spaces.get("macro"), strides=(2, 1, 1), channels=2, size=8)
    net, plain = space.build(0), bench.OneByOne(space, "batch", None, "float32")
    plain.load_state_dict(net.state_dict())
    passes = []
    for one in (net, plain):
        for block in one.blocks:
            for module in block.values():
                module.register_forward_hook(lambda own, *_: passes.append(own))
    archs = list(space)
    assert scores.score(net, archs, IMAGES, 32) == scores.score(plain, archs, IMAGES, 32)
    count = sum(module in set(net.modules()) for module in passes)
    assert (count, len(passes) - count) == (2 * (3 + 9 + 27), 2 * 3 * 27)  # of two batches
    monkeypatch.setattr(bench, "missed", [])
    bench.prefixes(space, 2, 64, part=3)
    assert "ranking all 27 of macro, C=2, 8x8, on 64 images" in capsys.readouterr().out


def test_textbook_training_learns():
    torch.manual_seed(0)
    trainer = textbook.Trainer(SPACE, IMAGES, batch=32, crop=1, lr=0.05)
    losses = [trainer.step((3, 1, 2, 1, 1, 3)) for _ in range(40)]
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.1


def test_another_skeleton_is_refused():
    with pytest.raises(ValueError, match="residual skeleton"):
        textbook.Textbook(spaces.get("mini"))


def test_pairs_are_all_timed():
    done = {"a": [], "b": []}
    times = bench.paired(done["a"].append, done["b"].append, 5)
    assert times.shape == (5, 2) and (times > 0).all()
    assert done["a"] == done["b"] == list(range(6))


@pytest.mark.parametrize(
    ("values", "most", "met"), [([3, 4, 5], False, True), ([3, 4, 5], True, False)]
)
def test_a_missed_bar_is_remembered(capsys, monkeypatch, values, most, met):
    monkeypatch.setattr(bench, "missed", [])
    bench.report("speed", np.array(values), 3.5, most)
    assert bench.missed == ([] if met else ["speed"])
    out = capsys.readouterr().out
    assert "4.000" in out and out.rstrip().endswith("met" if met else "MISSED")


def test_traffic_counts_what_is_read_and_written_and_no_views():
    a = torch.zeros(100)
    assert roofline.count(lambda: a + 1)[0] == 800
    assert roofline.count(lambda: a.view(10, 10).t())[0] == 0
    assert roofline.count(lambda: a.add_(1))[0] == 800
    assert roofline.count(lambda: a.view(10, 10) @ a.view(10, 10))[1] == 2000


def test_the_machine_does_something_a_second():
    assert roofline.bandwidth() > 1e8
    assert roofline.arithmetic(torch.float32) > 1e8


class Asked(Exception):
    """What a grid was asked for."""


@pytest.mark.filterwarnings("ignore:.*no bfloat16 instructions")
def test_precisions_are_compared_on_the_same_runs(monkeypatch):
    def quietly(configs, workers):
        raise Asked(configs)

    monkeypatch.setattr(bench, "precision", lambda: "bfloat16")
    monkeypatch.setattr(bench, "quietly", quietly)
    with pytest.raises(Asked) as asked:
        bench.halves(seeds=2, epochs=3)
    trainings = [config.train for config in asked.value.args[0]]
    assert [(t.seed, t.precision) for t in trainings] == [
        (seed, kind) for seed in (0, 1) for kind in ("bfloat16", "float32")
    ]
    assert {(t.epochs, t.keep) for t in trainings} == {(3, ())}
