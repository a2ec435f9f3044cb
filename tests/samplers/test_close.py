"""CLOSE: what shares is one weight, and parting changes nothing but what may come after."""

from collections import Counter
from copy import deepcopy
from dataclasses import replace

import pytest
import torch

from padalib import samplers, spaces
from padalib.engine.runs import Run
from padalib.probes.sampled import VarianceConfig
from padalib.samplers import Accumulate, GradNormPaths, Shuffled, UniformPaths, compose
from padalib.samplers.close import Parting, copies
from padalib.train import TrainConfig, Trainer

MINI = replace(spaces.get("mini"), channels=4, size=8)
SHARING = replace(MINI, extent=3)
ARCHS = [(3, 2, 1), (2, 3, 3), (3, 3, 0), (2, 2, 3), (1, 4, 2)]
SGD = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}
CLIP = 0.4
SMALL = {"space": MINI, "data": "digits-small", "batch": 128}


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def take(rule, net, optimizer, arch, seed, paths):
    """One step on random images; its loss and its gradient's norm."""
    x, y = torch.randn(6, 1, 8, 8, generator=rng(seed)), torch.arange(6)
    optimizer.zero_grad()
    rule.new_epoch(0)
    data = Shuffled(6, 4)
    loss, _, norm = rule.step(net, optimizer, CLIP, [arch], torch.arange(6), x, y, paths, data)
    return float(loss), float(norm)


def follow(own, other):
    """Give the net that shares the weights of one that does not, of its first edge."""
    names = own.state_dict()
    other.load_state_dict({name: names[name] for name in other.state_dict()})


def test_to_share_is_to_have_one_weight():
    """A second opinion: the network of the space whose edges share for good."""
    own, one = MINI.build(3), SHARING.build(5)
    follow(own, one)
    rules = Parting(MINI, 1, until=1), Accumulate(SHARING, 1)
    steps = [torch.optim.SGD(net.parameters(), **SGD) for net in (own, one)]
    scores = [GradNormPaths(space, 1) for space in (MINI, SHARING)]
    clipped = 0
    for seed, arch in enumerate(ARCHS):
        mine, wanted = (
            take(rule, net, optimizer, arch, seed, paths)
            for rule, net, optimizer, paths in zip(rules, (own, one), steps, scores, strict=True)
        )
        assert mine == pytest.approx(wanted, rel=1e-4)
        clipped += mine[1] > CLIP
    assert clipped
    for group in copies(own, 3):
        assert len(group) == 3 and all(torch.equal(group[0], other) for other in group)
    shared, state = one.state_dict(), own.state_dict()
    for name, value in shared.items():
        torch.testing.assert_close(state[name], value, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(scores[0].scores, scores[1].scores, rtol=1e-4, atol=1e-6)


def test_right_after_they_part_the_function_is_the_same_to_the_bit():
    method = samplers.get("CLOSE").with_options("CLOSE", until=0.5)
    trainer = Trainer(TrainConfig(method, epochs=4, **SMALL | {"space": replace(MINI, size=16)}))
    trainer.train_epoch()
    trainer.train_epoch()
    net, momentum = trainer.net, trainer.optimizer.state
    groups = list(copies(net, 3))
    assert len(groups) == 2 * 3  # two operations with weights, three stages
    for first, *others in groups:
        for other in others:
            assert torch.equal(first, other)
            held = [momentum[each]["momentum_buffer"] for each in (first, other)]
            assert torch.equal(*held) and held[0].any() and held[0] is not held[1]
    one = replace(SHARING, size=16).build().to(memory_format=torch.channels_last)
    follow(net, one)
    x = torch.randn(6, 1, 16, 16, generator=rng())
    for arch in MINI:
        assert torch.equal(net(x, arch), one(x, arch))
    trainer.train_epoch()  # and now each goes its own way
    assert not any(torch.equal(first, other) for first, *others in groups for other in others)


@pytest.mark.parametrize(
    "space, extent, sizes",
    [
        ("mini", 3, {3: 6}),
        ("mini", 2, {2: 6, 1: 6}),
        ("nasbench201", 6, {6: 2 * 15}),
        ("chain-mini", 5, {1: 20}),  # a block has the width of no other
        ("darts-mini", 100, {2: 40}),  # of the second node both positions choose the same modules
        # Six choices; in each of five stages three blocks have one width, but for the first.
        ("mobilenet", 21, {1: 6 * 3 * 6, 3: 5 * 3 * 6}),
    ],
)
def test_what_shares(space, extent, sizes):
    space = spaces.get(space)
    with torch.device("meta"):
        net = space.network("batch", None, "float32")
    groups = list(copies(net, extent))
    assert Counter(map(len, groups)) == sizes
    assert all(len({weight.shape for weight in group}) == 1 for group in groups)
    found = [weight for group in groups for weight in group]
    modules = [module for own in net.choices().values() for module in own]
    owned = {weight for module in modules for weight in module.parameters()}
    assert len(found) == len(set(found)) and set(found) <= owned
    assert (set(found) == owned) == (space.name != "darts-mini")


def test_never_to_share_is_spos_and_the_ends_are_rounded():
    never = samplers.get("CLOSE").with_options("never", until=0.0)
    config = TrainConfig(never, epochs=1, **SMALL | {"space": replace(MINI, size=16)})
    one, two = Trainer(config), Trainer(replace(config, method="SPOS"))
    one.train_epoch(), two.train_epoch()
    for own, other in zip(one.net.parameters(), two.net.parameters(), strict=True):
        assert torch.equal(own, other)
    assert [Parting(MINI, epochs).alike for epochs in (20, 10, 1)] == [6, 3, 0]


def test_it_resumes_to_the_bit_before_and_after_they_part():
    config = TrainConfig("CLOSE", epochs=4, **SMALL | {"space": replace(MINI, size=16)})
    config = replace(config, method=config.method.with_options("CLOSE", until=0.5))
    unbroken = Trainer(config)
    states = []
    for _ in range(4):
        unbroken.train_epoch()
        states.append(deepcopy(unbroken.state()))
    for epoch in (1, 2):
        trainer = Trainer(config)
        trainer.restore(deepcopy(states[epoch - 1]))
        for _ in range(epoch, 4):
            trainer.train_epoch()
        assert trainer.history == unbroken.history
        for own, other in zip(trainer.net.parameters(), unbroken.net.parameters(), strict=True):
            assert torch.equal(own, other)


def test_it_goes_with_other_samplers():
    method = compose("both", samplers.Curriculum, samplers.GradNormData, Parting, extent=2)
    config = TrainConfig(method, epochs=3, **SMALL | {"space": replace(MINI, size=16)})
    curves = Run(config).compute().table("curves")
    assert curves.shared.tolist() == [2 * 3, 0, 0] and method.paths.cls is samplers.Curriculum
    assert UniformPaths is samplers.get("CLOSE").paths.cls


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda: Parting(SHARING, 2), "mini shares operations between positions for good: use"),
        (lambda: Parting(MINI, 2, extent=0), "extent must be"),
        (lambda: Parting(MINI, 2, until=1.5), "until must be a finite number from 0 to 1, got 1.5"),
        (
            lambda: VarianceConfig(TrainConfig("CLOSE", epochs=1, **SMALL)).check(),
            "CLOSE .* not the sum of its paths' gradients",
        ),
    ],
)
def test_what_cannot_be_is_said(make, said):
    with pytest.raises(ValueError, match=said):
        make()
