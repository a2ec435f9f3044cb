"""Chain spaces: costs, the walk that shares prefixes, and a space of one's own in a few lines."""

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

import pytest
import torch
from torch import nn

from padalib import samplers, spaces
from padalib.spaces import ChainSpace, Norm, Position, Space, Supernet
from padalib.spaces.base import alone_cost

CHAIN = spaces.get("chain-mini")


def images(space, n=4):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, space.in_channels, space.size, space.size, generator=generator)


def test_there_are_243_and_all_options_have_weights():
    archs = list(CHAIN)
    assert len(archs) == len(CHAIN) == len(set(archs)) == 3**5
    assert len(CHAIN.classes()) == 243
    for place, (c_in, c_out) in enumerate([(8, 8), (8, 16), (16, 16), (16, 32), (32, 32)]):
        own = [CHAIN.weights(place, option) for option in range(3)]
        assert own == [c_in * c_out, 9 * c_in * c_out, 25 * c_in + c_in * c_out]
    assert {CHAIN.level(arch) for arch in archs} == {5}


def test_costs_by_hand_and_added_up():
    # stem, blocks, head; affine norms of the network alone
    weights = 9 * 8 + sum(9 * a * b for a, b in [(8, 8), (8, 16), (16, 16), (16, 32), (32, 32)])
    norms = 2 * (8 + 8 + 16 + 16 + 32 + 32 + 32)
    assert CHAIN.params((1,) * 5) == weights + norms + 32 * 10 + 10
    adds = 72 * 256 + 576 * 256 + 1152 * 64 + 2304 * 64 + 4608 * 16 + 9216 * 16 + 320
    assert CHAIN.flops((1,) * 5) == 2 * adds
    for arch in [(0, 1, 2, 0, 1), (2, 2, 0, 1, 0), (1, 0, 1, 2, 2)]:
        assert (CHAIN.params(arch), CHAIN.flops(arch)) == alone_cost(CHAIN, arch)


@pytest.mark.parametrize("order", ["sorted", "as they come"])
def test_the_walk_gives_the_logits_of_each_path_and_computes_prefixes_once(order, monkeypatch):
    net, x = CHAIN.build(seed=1).eval(), images(CHAIN)
    archs = sorted(CHAIN)
    if order != "sorted":
        archs = [archs[k] for k in torch.randperm(243, generator=torch.Generator().manual_seed(0))]
    with torch.inference_mode():
        wanted = [net(x, arch) for arch in archs]
        passes = []
        for block in net.blocks:
            for module in block.values():
                module.register_forward_hook(lambda *_: passes.append(1))
        found = list(net.walk(x, archs))
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
    if order == "sorted":
        assert len(passes) == 3 + 9 + 27 + 81 + 243
    else:
        assert len(passes) < 243 * 5


def test_names_come_back():
    for arch in product(range(3), repeat=5):
        assert CHAIN.encode(CHAIN.decode(arch)) == arch == CHAIN.parse(CHAIN.code(arch))
    assert CHAIN.decode((0, 1, 2, 0, 1)) == "conv_1x1|conv_3x3|sep_5x5|conv_1x1|conv_3x3"
    with pytest.raises(ValueError, match=r"'conv_7x7' \(block 1, block 1\)"):
        CHAIN.encode("conv_1x1|conv_7x7|sep_5x5|conv_1x1|conv_3x3")
    with pytest.raises(ValueError, match="names 2 operations"):
        CHAIN.encode("conv_1x1|conv_3x3")
    with pytest.raises(ValueError, match=r"operation 3 on block 2 .* not in 0\.\.2"):
        CHAIN.validate((0, 0, 3, 0, 0))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"options": ()}, "options must name at least one"),
        ({"strides": (1, 3)}, "strides must be a tuple of"),
        ({"channels": 0}, "channels must be a whole number from 1, got 0"),
        ({"options": ("conv_9x9",)}, "inherit from ChainSpace"),
        ({"options": ("conv_1x1", "conv_1x1")}, "options must be different names"),
    ],
)
def test_fields_that_make_no_network_are_refused(fields, words):
    with pytest.raises(ValueError, match=words):
        replace(CHAIN, **fields)


def test_alone_only_its_own_blocks_are_built():
    arch = (0, 1, 2, 0, 1)
    net = CHAIN.build(arch=arch)
    assert [list(block) for block in net.blocks] == [[str(option)] for option in arch]
    assert sum(p.numel() for p in net.parameters()) == CHAIN.params(arch)


def test_options_may_differ_between_positions_and_share_a_table():
    @dataclass(frozen=True)
    class Uneven(ChainSpace):
        @cached_property
        def positions(self):
            three = ("conv_1x1", "conv_3x3", "sep_5x5")
            return (
                Position("first", three[1:]),
                Position("second", three),
                Position("third", ("conv_3x3",)),
            )

    space = Uneven("uneven", strides=(1, 2, 1))
    assert len(space) == 6 and next(iter(space)) == (0, 0, 0)
    entries = space.entries()
    assert entries.names == ("conv_3x3", "sep_5x5", "conv_1x1") and entries.partial
    assert entries.at == ((0, 1), (2, 0, 1), (0,))
    assert [space.weights(2, 0), space.weights(0, 1)] == [9 * 256, 25 * 8 + 64]
    assert list(space.restricted(["conv_3x3"])) == [(0, 1, 0)]
    with pytest.raises(ValueError, match="every block of uneven needs one of the"):
        space.restricted(["conv_1x1"])
    assert sorted(space.neighbours((0, 0, 0))) == [(0, 1, 0), (0, 2, 0), (1, 0, 0)]


def test_weights_that_nobody_draws_from_the_seed_are_refused():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))

        def forward(self, x):
            return self.scale * x

    @dataclass(frozen=True)
    class Odd(ChainSpace):
        def block(self, position, option, norm):
            return Scaled()

    with pytest.raises(TypeError, match="Scaled has weights or buffers of its own"):
        Odd("odd", strides=(1,), options=("a", "b")).build()


def test_what_a_subclass_must_give_is_named():
    class Bare(Space):
        name = "bare"

    with pytest.raises(NotImplementedError, match="Bare must define positions"):
        len(Bare())
    with pytest.raises(NotImplementedError, match=r"Supernet must define features\(x, arch\)"):
        Supernet(CHAIN)(images(CHAIN), (0,) * 5)
    assert Norm(4, affine=False, bn="batch").weight is None


def test_what_was_counted_before_an_edit_is_forgotten_when_a_network_is_built(monkeypatch):
    class Edited(ChainSpace):
        pass

    space = Edited("edited")
    first = space.weights(0, 0), space.flops((0,) * 5)
    plain = ChainSpace.block
    monkeypatch.setattr(
        Edited, "block", lambda self, p, _, norm: plain(self, p, "conv_3x3", norm), raising=False
    )
    Edited("edited").build()
    assert (space.weights(0, 0), space.flops((0,) * 5)) != first
    assert space.weights(0, 0) == 9 * 64 and space.flops((0,) * 5) == CHAIN.flops((1,) * 5)
    weights = [space.weights(0, option) for option in range(3)]
    paths = samplers.Curriculum(space, 4, by="size")
    assert len(set(weights)) == 1 and paths.fixed.tolist() == pytest.approx([1 / 3] * 3)
