"""The memory of a step, counted: tensors by hand, and methods whose copies are known."""

import pytest
import torch

from padalib.engine.runs import Run
from padalib.probes import memory
from padalib.probes.memory import Alive, MemoryConfig
from padalib.study import scales
from padalib.train import Trainer

SMOKE = scales.get("smoke")


def test_what_is_made_counts_while_it_lives():
    before = torch.zeros(100)
    with Alive() as alive:
        a = torch.zeros(1000)
        assert alive.now == 4000
        view = a.view(10, 100)  # the same memory
        a += 1
        before += 1  # was there
        assert alive.now == alive.peak == 4000
        b = a + view.flatten()
        del a
        assert alive.now == 8000  # the view still holds it
        del view
        assert alive.now == 4000
        del b
    assert (alive.now, alive.peak) == (0, 8000)


def test_tensors_that_share_memory_have_its_size_once():
    a = torch.zeros(10)
    assert memory.size([a, {"x": a[:5], "y": (torch.zeros(3), "text", 7)}]) == 40 + 12


def test_every_option_is_among_the_architectures_that_are_alike():
    archs = memory.alike(SMOKE.space)
    assert archs == [(k, k, k) for k in range(5)]


def measured(name):
    return memory.measure(Trainer(SMOKE.training(name, 0)))


def test_copies_that_methods_keep_are_seen():
    plain, apart, reptile = map(measured, ("SPOS", "DYNAS", "SUMNAS"))
    weights = plain["weights"]
    assert apart["weights"] == reptile["weights"] == weights
    assert plain == measured("SPOS")
    # SPOS keeps weights, their momentum, and the rest of its stream of images.
    assert 2 * weights - 100 <= plain["kept"] <= 2 * weights + 8 * 512 + 200
    # DYNAS has momentum for each of five options, so five of what all paths hold; but from a path
    # of 'none' only the head gets any.
    net = Trainer(SMOKE.training("SPOS", 0)).net
    fixed = sum(4 * list(net.parameters())[k].numel() for k in net.parts()["fixed"])
    assert 3 * fixed <= apart["kept"] - plain["kept"] <= 4 * fixed
    # SUMNAS's momentum ends with each path, and in a step it holds the start and the way moved.
    assert reptile["kept"] < 1.2 * weights
    assert reptile["peak"] - plain["peak"] == pytest.approx(2 * weights, rel=0.3)


def test_as_a_run_it_is_a_row(tmp_path):
    config = MemoryConfig(SMOKE.training("PA", 0))
    row = Run(config).compute().table("memory").iloc[0]
    assert 0 < row.weights < row.kept < row.peak
    assert config.label.startswith("memory of PA")
