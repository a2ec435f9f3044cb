"""CLOSE's sharing with DYNAS' rates: each alone is a special case, and shared weights are one."""

from dataclasses import replace

import pytest
import torch

from padalib import samplers, spaces
from padalib.samplers import compose
from padalib.samplers.close import copies
from padalib.samplers.dynas import ByComplexity
from padalib.samplers.together import PartingByComplexity
from padalib.train import TrainConfig, Trainer

MINI = replace(spaces.get("mini"), channels=4)
SMALL = {"data": "digits-small", "batch": 128, "epochs": 4}


def trained(method, space=MINI, epochs=3):
    trainer = Trainer(TrainConfig(method, space=space, **SMALL))
    for _ in range(epochs):
        trainer.train_epoch()
    return trainer


def assert_same(one, two):
    for own, other in zip(one.net.parameters(), two.net.parameters(), strict=True):
        assert torch.equal(own, other)


def test_never_to_share_is_dynas():
    assert_same(trained(compose("never", update=PartingByComplexity, until=0.0)), trained("DYNAS"))


def test_one_rate_for_all_is_close():
    """Where both ends have one power, the rate is (1 - t / T) ** power; here 0: never less."""
    flat = compose("flat", update=PartingByComplexity, momentum="shared", until=0.5)
    flat = flat.with_options("flat", fewest=1e-9, most=1e-9)
    two = Trainer(TrainConfig("CLOSE", space=MINI, **SMALL))
    two.update.alike, step = 2, two.update.step

    def at_full_rate(net, optimizer, *rest):
        optimizer.param_groups[0]["lr"] = optimizer.defaults["lr"] * (1 - two.epoch / 4) ** 1e-9
        return step(net, optimizer, *rest)

    two.update.step = at_full_rate
    for _ in range(3):
        two.train_epoch()
    assert_same(trained(flat), two)


def test_while_they_share_they_are_dynas_with_one_set_of_weights():
    """A second opinion: the network of the space whose edges share for good."""
    sharing = replace(MINI, extent=3)
    rule = samplers.part(PartingByComplexity, until=1.0)
    one = Trainer(TrainConfig(compose("both", update=rule), space=MINI, **SMALL))
    two = Trainer(TrainConfig(compose("own", update=ByComplexity), space=sharing, **SMALL))
    names = one.net.state_dict()
    two.net.load_state_dict({name: names[name] for name in two.net.state_dict()})
    for trainer in (one, two):
        trainer.train_epoch(), trainer.train_epoch()
    names = one.net.state_dict()
    for name, value in two.net.state_dict().items():
        torch.testing.assert_close(names[name], value, rtol=1e-3, atol=1e-5)
    for first, *others in copies(one.net, 3):
        assert others and all(torch.equal(first, other) for other in others)
    assert {"lr", "shared"} <= set(one.history[0])


def test_several_paths_a_step_are_refused():
    trainer = Trainer(
        TrainConfig(
            compose("fair", samplers.FairPaths, update=PartingByComplexity),
            space=MINI,
            **SMALL | {"batch": 32},
        )
    )
    with pytest.raises(ValueError, match="has one rate a step, but this one has 5 paths"):
        trainer.train_epoch()
