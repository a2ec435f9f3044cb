"""What every path sampler promises on every space, whatever its positions and options are."""

from collections import Counter
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cache, cached_property

import pandas as pd
import pytest
import torch

from padalib import samplers, spaces
from padalib.samplers import FairPaths, GradNormPaths, ProductPaths, UniformPaths, checking
from padalib.samplers.density import DensityPaths
from padalib.samplers.restricted import RestrictedPaths
from padalib.samplers.sandwich import SandwichPaths
from padalib.samplers.stepped import SteppedPaths
from padalib.spaces import ChainSpace, DartsSpace, MacroSpace, Position, ShotSpace

THREE = ("conv_1x1", "conv_3x3", "sep_5x5")


@dataclass(frozen=True)
class Uneven(ChainSpace):
    """Unequal numbers of options, one of a single option, and a second table."""

    @cached_property
    def positions(self):
        return (
            Position("a", THREE[1:]),
            Position("b", THREE),
            Position("c", ("conv_3x3",)),
            Position("d", THREE[::-1], table="late"),
        )


SPACES = {
    "cell": spaces.get("mini"),
    "cell without free options": replace(spaces.get("mini"), ops=spaces.CONVS),
    "cell that shares": replace(spaces.get("mini"), extent=2),
    "chain": spaces.get("chain-mini"),
    "uneven": Uneven("uneven", strides=(1, 2, 1, 1)),
    "inputs": ShotSpace("inputs", (1, 1), 2, channels=4, cells=1, size=8, in_channels=1),
    # Options whose weights depend on the position: an identity has some where the width doubles.
    "macro, short": MacroSpace("short", strides=(2, 1, 1, 2, 1), channels=2, size=8),
    # Two kinds of cells, and weights that depend on what the inputs position has chosen.
    "darts": DartsSpace(
        "two ops", ops=("sep_conv_3x3", "skip_connect"), nodes=2, layers=3, channels=2, size=8
    ),
    "mobilenet": replace(
        spaces.get("mobilenet"),
        options=("mb3_k3", "mb6_k5", "skip"),
        stages=((16, 3), (24, 2)),
        strides=(2, 1, 1, 2, 1),
        width=0.25,
        size=16,
    ),
}
# A restriction is nobody's default; the first option is there on every position.
PART = samplers.compose("part of a space", RestrictedPaths, only=((0, (0,)),))
STEPPED = samplers.compose("PA, every step", SteppedPaths)
METHODS = samplers.METHODS | {PART.name: PART, STEPPED.name: STEPPED}
EPOCHS = 4


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(params=SPACES)
def space(request):
    return SPACES[request.param]


@pytest.fixture(params=METHODS)
def paths(request, space):
    """A sampler of the method after steps with random gradients, in its last epoch."""
    sampler = METHODS[request.param].paths.build(space, EPOCHS)
    if sampler.replays:
        p = torch.rand(EPOCHS, len(sampler.p), generator=rng(9))
        rows = torch.stack([sampler.normal(row) for row in p])
        sampler.follow(pd.DataFrame(rows, columns=[f"p_{n}" for n in sampler.entries.names]))
    net, generator = space.build(), rng(1)
    for parameter in net.parameters():
        parameter.grad = torch.rand(parameter.shape, generator=generator)
    for epoch in range(EPOCHS):
        sampler.new_epoch(epoch)
        if epoch < EPOCHS - 1:
            for _ in range(30):
                sampler.observe(sampler.draw(generator), net, 1.0)
    return sampler


@cache
def outside(space):
    """Weights of the network that belong to no option."""
    net = space.build()
    own = {id(p) for modules in net.choices().values() for m in modules for p in m.parameters()}
    return sum(p.numel() for p in net.parameters() if id(p) not in own)


@cache
def likeness(space):
    """[A, A]: weights that two architectures use, over the geometric mean of their numbers."""
    net = space.build()
    own = {
        choice: {id(p) for module in modules for p in module.parameters()}
        for choice, modules in net.choices().items()
    }
    uses = [
        set().union(*(own.get((k // space.extent, arch[k]), ()) for k, on in enumerate(live) if on))
        for arch in space
        for live in [space.live(arch)]
    ]
    weights = [p for p in net.parameters() if any(id(p) in held for held in own.values())]
    sizes = torch.tensor([p.numel() for p in weights]).double()
    held = torch.tensor([[id(p) in used for p in weights] for used in uses]).double()
    total = outside(space) + held @ sizes
    both = outside(space) + (held * sizes) @ held.T
    return both / (total[:, None] * total).sqrt()


def chances(paths):
    """p of every architecture, by a formula of its own."""
    space = paths.space
    if isinstance(paths, ProductPaths):
        found = {}
        for arch in space:
            found[arch] = 1.0
            for own, option in zip(paths.entries.at, arch, strict=True):
                p = [float(paths.p[entry]) for entry in own]
                found[arch] *= p[option] / sum(p)
        return found
    if isinstance(paths, samplers.BalancedPaths):
        by = {arch: space.level(arch) for arch in space}
        if paths.by == "depth":
            by = {arch: max(1, space.depth(arch)) for arch in space if any(space.live(arch))}
        sizes = Counter(by.values())
        return dict.fromkeys(space, 0) | {a: 1 / len(sizes) / sizes[k] for a, k in by.items()}
    if isinstance(paths, SandwichPaths):
        passing = [arch for arch in space if any(space.live(arch))]
        found = dict.fromkeys(space, 0) | dict.fromkeys(passing, 1 / 2 / len(passing))
        for arch in paths.draw(rng(3))[:2]:
            found[arch] += 1 / 4
        return found
    if isinstance(paths, RestrictedPaths):
        own = [arch for arch in space if arch[0] == 0]
        return dict.fromkeys(space, 0) | dict.fromkeys(own, 1 / len(own))
    if isinstance(paths, DensityPaths):
        p = 1 / likeness(space).mean(1)
        return dict(zip(space, (p / p.sum()).tolist(), strict=True))
    return dict.fromkeys(space, 1 / len(space))


def test_probabilities_sum_to_one_and_weights_are_their_inverse(paths):
    p = chances(paths)
    assert sum(p.values()) == pytest.approx(1, abs=1e-5)
    p = {arch: own for arch, own in p.items() if own}
    for arch, own in p.items():
        assert paths.weight(arch) == pytest.approx(1 / len(paths.space) / own, rel=1e-4)
    total = sum(own * paths.weight(arch) for arch, own in p.items())
    assert total == pytest.approx(len(p) / len(paths.space), abs=1e-4)


def test_options_are_drawn_as_often_as_their_probabilities_say(paths):
    p, generator, n = chances(paths), rng(2), 3000
    drawn = []
    for _ in range(n // paths.group):
        paths.forget()
        drawn += paths.draw(generator)
    assert all(paths.space.validate(arch) == arch for arch in drawn)
    for place, position in enumerate(paths.space.positions):
        seen = Counter(arch[place] for arch in drawn)
        for option in range(len(position.options)):
            wanted = sum(own for arch, own in p.items() if arch[place] == option)
            assert seen[option] / len(drawn) == pytest.approx(wanted, abs=0.05)


def test_independent_draws_of_ours_need_only_to_forget(paths):
    again = deepcopy(paths)
    anew, a, b = checking.independent(paths), rng(4), rng(4)
    for _ in range(20):
        anew()
        again.forget()
        assert paths.draw(a) == again.draw(b)


def test_pa_with_equal_scores_draws_like_spos(space):
    pa, spos = GradNormPaths(space, EPOCHS), UniformPaths(space, EPOCHS)
    pa.scores, pa.counts = torch.full_like(pa.p, 3.0), [1] * len(pa.p)
    pa.new_epoch(EPOCHS - 1)
    a, b = rng(), rng()
    assert [pa.draw(a) for _ in range(100)] == [spos.draw(b) for _ in range(100)]


def test_where_every_option_has_weights_the_schedule_is_spos(space):
    every = all(
        space.weights(place, option)
        for place, position in enumerate(space.positions)
        for option in range(len(position.options))
    )
    schedule, spos = samplers.Curriculum(space, EPOCHS), UniformPaths(space, EPOCHS)
    schedule.new_epoch(EPOCHS - 1)
    a, b = rng(), rng()
    same = [schedule.draw(a) for _ in range(50)] == [spos.draw(b) for _ in range(50)]
    free = {"none", "identity", "maxpool3x3", "skip", "skip_connect"}
    assert same == every == free.isdisjoint(space.entries().names)


def test_a_fair_group_deals_every_option_in_turn(space):
    paths, generator = FairPaths(space, EPOCHS), rng()
    steps = [paths.draw(generator) for _ in range(60)]
    for place, position in enumerate(space.positions):
        n = len(position.options)
        if n == paths.group:
            assert all(sorted(arch[place] for arch in group) == list(range(n)) for group in steps)
        dealt = [arch[place] for group in steps for arch in group]
        for start in range(0, len(dealt) - n + 1, n):
            assert sorted(dealt[start : start + n]) == list(range(n))


@pytest.mark.parametrize("method", ["PA", "curriculum", "size-curriculum"])
@pytest.mark.parametrize("shared", [True, False])
def test_nobody_learns_which_inputs_a_block_has(method, shared):
    space = SPACES["inputs"]
    options = {"shared": shared} if method == "PA" else {}
    paths = METHODS[method].with_options("own", **options).paths.build(space, EPOCHS)
    net, generator = space.build(), rng(1)
    for parameter in net.parameters():
        parameter.grad = torch.rand(parameter.shape, generator=generator)
    for epoch in range(EPOCHS):
        paths.new_epoch(epoch)
        for _ in range(20):
            paths.observe(paths.draw(generator), net, 1.0)
    learned = {
        position.table: [float(paths.p[entry]) for entry in own]
        for position, own in zip(space.positions, paths.entries.at, strict=True)
        if position.table
    }
    assert all(min(own) < 0.2 for own in learned.values())  # pooling has no weights
    for place in (0, 2, 4):
        own = [float(paths.p[entry]) for entry in paths.entries.at[place]]
        assert own == pytest.approx([1 / len(own)] * len(own))
    names = [f"inputs of {k}/{own}" for k, own in [(1, 0), (2, 0), (2, 1), (3, "01")]]
    assert {f"p_{name}" for name in names} <= paths.log().keys()


def test_inputs_do_not_make_a_fair_group_larger():
    wide = ShotSpace("wide", (1, 2, 2, 2), 2)  # ten sets of inputs of its output
    assert FairPaths(wide, EPOCHS).group == 3


def test_fair_hands_survive_a_checkpoint():
    space = SPACES["uneven"]
    a, b = FairPaths(space, EPOCHS), FairPaths(space, EPOCHS)
    one, other = rng(), rng(5)
    a.draw(one)
    b.restore(deepcopy(a.state()))
    other.set_state(one.get_state())
    assert [a.draw(one) for _ in range(7)] == [b.draw(other) for _ in range(7)]


def test_scores_of_pa_by_position():
    space = SPACES["uneven"]
    paths = GradNormPaths(space, EPOCHS, shared=False)
    assert list(paths.log()) == [
        "p_a/conv_3x3", "p_a/sep_5x5", "p_b/conv_1x1", "p_b/conv_3x3", "p_b/sep_5x5",
        "p_c/conv_3x3", "p_d/sep_5x5", "p_d/conv_3x3", "p_d/conv_1x1",
    ]  # fmt: skip
    net = space.build()
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    paths.new_epoch(0)
    paths.observe([(0, 1, 0, 1)], net, 1.0)
    paths.observe([(1, 2, 0, 1)], net, 1.0)
    weights = {("a", 0): 576, ("a", 1): 264, ("b", 1): 1152, ("b", 2): 328, ("c", 0): 2304}
    names = list(paths.log())
    for (place, option), count in weights.items():
        position = next(p for p in space.positions if p.name == place)
        entry = names.index(f"p_{place}/{position.options[option]}")
        assert float(paths.scores[entry]) == pytest.approx(count**0.5)  # of all its weights
    assert float(paths.scores[names.index("p_b/conv_1x1")]) == 0
