"""NAS-Bench-1Shot1: cells and their strings, counts, NAS-Bench-101's hash, both networks."""

from collections import Counter
from dataclasses import replace
from math import prod

import pytest
import torch
from torch import nn

from padalib import spaces
from padalib.spaces import ShotSpace
from padalib.spaces.base import alone_cost
from padalib.spaces.shot_net import split

ONE, TWO, THREE = (spaces.get(f"nb1shot1-{k}") for k in (1, 2, 3))
# 2 blocks, the second of which chooses between two parents: 1*3 * 2*3 * 3 = 54 architectures.
SMALL = ShotSpace("small", (1, 1), 2, channels=4, alone_channels=7, cells=1, size=8, in_channels=1)
BEST = "0:3|0:m|1:3|23:m|04:3|05"  # of the known cells of the third space


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def images(space, n=3):
    return torch.randn(n, space.in_channels, space.size, space.size, generator=rng())


def draws(space, n):
    generator = rng()
    return [space.sample(generator) for _ in range(n)]


# --- architectures ---


def test_positions_are_inputs_and_operations_in_turn():
    names = [position.name for position in SMALL.positions]
    assert names == ["inputs of 1", "block 1", "inputs of 2", "block 2", "inputs of 3"]
    assert [p.options for p in SMALL.positions[::2]] == [("0",), ("0", "1"), ("01", "02", "12")]
    assert [p.table for p in SMALL.positions] == ["", "op", "", "op", ""]


@pytest.mark.parametrize(
    "space, choices, functions", [(ONE, 14580, 3702), (TWO, 29160, 12474), (THREE, 1312200, 135900)]
)
def test_numbers_of_choices_and_of_supernet_functions(space, choices, functions):
    assert len(space) == choices
    found = list(space.functions())
    assert len(found) == len(set(found)) == functions
    options = [len(position.options) for position in space.positions]
    members, own = 0, found[:: max(1, functions // 2000)]
    assert all(space.canonical(arch) == arch for arch in own)
    for arch in found:  # what is chosen in dead blocks makes the other members
        live = space.live(arch)
        members += prod(n for n, alive in zip(options, live, strict=True) if not alive)
    assert members == choices


def test_functions_are_the_classes_of_a_space_that_can_be_listed():
    assert set(ONE.functions()) == set(ONE.classes())
    with pytest.raises(ValueError, match="1,312,200 architectures, too many to list"):
        THREE.classes()


@pytest.mark.parametrize("space, cells", [(ONE, 2685), (TWO, 7773)])
def test_numbers_of_cells_of_nas_bench_101(space, cells):
    assert len({space.truth_key(arch) for arch in space.functions()}) == cells


def test_the_number_of_cells_in_the_third_space():  # the slow one: 135,900 hashes
    assert len({THREE.truth_key(arch) for arch in THREE.functions()}) == 55854


@pytest.mark.parametrize(
    "space, string, key",
    [  # as the benchmark has them
        (ONE, "0:1|-|-|-|01", "09fc2d10bdd6225e167a6f81a22a3f06"),
        (ONE, "0:1|-|01:3|03:m|14", "02eb39adf4d82bd1fd539aa1c83e388e"),
    ],
)
def test_the_hash_is_the_benchmarks(space, string, key):
    assert space.truth_key(space.encode(string)) == key


def test_isomorphic_cells_are_two_functions_and_one_cell():
    one, other = (THREE.encode(f"0:{a}|0:{b}|-|-|-|12") for a, b in ("31", "13"))
    assert THREE.canonical(one) != THREE.canonical(other)
    assert THREE.truth_key(one) == THREE.truth_key(other)
    third = THREE.encode("0:3|1:1|-|-|-|12")
    assert THREE.truth_key(third) != THREE.truth_key(one)


# --- strings ---


@pytest.mark.parametrize("space", [ONE, TWO, THREE, SMALL])
def test_strings_and_codes_round_trip(space):
    archs = draws(space, 300)
    strings = [space.decode(arch) for arch in archs]
    assert [space.encode(string) for string in strings] == archs
    assert len(set(strings)) == len(set(archs))
    assert [space.parse(space.code(arch)) for arch in archs] == archs
    assert any("-" in space.decode(space.canonical(arch)) for arch in archs)


def test_strings_by_hand():
    assert SMALL.encode("0:3|1:m|12") == (0, 0, 1, 2, 2)
    assert SMALL.decode((0, 2, 0, 1, 1)) == "0:m|0:1|02"  # block 1 is a loose end
    assert SMALL.decode((0, 0, 0, 1, 1)) == "-|0:1|02"
    assert SMALL.encode("0:1|-|01") == (0, 1, 0, 0, 0) == SMALL.encode("0:1|0:3|01")
    assert SMALL.decode((0, 1, 0, 0, 0)) == "0:1|-|01"
    assert SMALL.decode((0, 1, 1, 0, 0)) == "0:1|1:3|01"  # a loose end that is another choice
    assert SMALL.canonical((0, 1, 1, 2, 0)) == (0, 1, 0, 0, 0)
    assert THREE.decode(THREE.encode(BEST)) == BEST


@pytest.mark.parametrize(
    "string, names",
    [
        ("0:3|0:3|0", r"'0' \(inputs of 3\) .* one of 01, 02, 12"),  # too few parents
        ("0:3|2:3|12", r"'2' \(inputs of 2\) .* one of 0, 1"),  # a block that comes later
        ("0:3|0:5|12", r"'5' \(block 2\) .* one of 3, 1, m"),
        ("0:3|0|12", r"'' \(block 2\)"),
        ("1:3|0:3|12", r"'1' \(inputs of 1\)"),
        ("0:3|0:3|21", r"'21' \(inputs of 3\)"),
        ("0:3|-|12", "block 2 .* is left out"),
        ("-|1:3|02", "block 1 .* is left out"),
        ("0:3|0:3|0:3|12", "3 blocks before the output, a cell of small 2"),
        ("", "0 blocks before"),
    ],
)
def test_cells_that_are_none_are_refused_by_position_and_reason(string, names):
    with pytest.raises(ValueError, match=names):
        SMALL.encode(string)


@pytest.mark.parametrize(
    "fields, names",
    [
        ({"parents": ()}, "1 to 9 blocks, got 0"),
        ({"parents": (1,) * 10}, "1 to 9 blocks, got 10"),
        ({"parents": (2, 1)}, "parents of block 1 must be at most 1"),
        ({"parents": (1, 3)}, "parents of block 2 must be at most 2"),
        ({"outputs": 4}, "outputs must be at most 3"),
        ({"outputs": 1}, "outputs"),
        ({"alone_channels": 1}, "alone_channels must be at least outputs, 2"),
        ({"size": 10}, "multiple of 4"),
        ({"channels": 0}, "channels"),
    ],
)
def test_fields_that_make_no_network_are_refused(fields, names):
    with pytest.raises(ValueError, match=names):
        replace(SMALL, **fields)


def test_only_the_papers_three_have_a_benchmark():
    assert {replace(s, channels=4).benchmark for s in (ONE, TWO, THREE)} == {"nb1shot1"}
    assert SMALL.benchmark is None


# --- complexity ---


@pytest.mark.parametrize(
    "string, level, depth, convs",
    [
        (BEST, 3, 3, 3),  # 1 and 3 in a row, then 5; pools between count for nothing
        ("0:m|0:m|-|-|-|12", 0, 0, 0),
        ("0:1|-|-|-|-|01", 1, 1, 0),
        ("0:1|0:3|1:3|23:3|34:1|05", 5, 4, 3),
    ],
)
def test_level_and_depth_by_hand(string, level, depth, convs):
    arch = THREE.encode(string)
    assert (THREE.level(arch), THREE.depth(arch)) == (level, depth)
    assert THREE.predictors(arch) == {"3x3 convolutions": convs}


def test_weights_belong_to_operations_and_the_projection_to_the_inputs():
    widths = (4, 8, 16)  # of a block; what comes in is the stem, then two blocks side by side
    sources = (4, 8, 16)
    own = [SMALL.weights(3, op) for op in range(3)]
    assert own == [9 * sum(w * w for w in widths), sum(w * w for w in widths), 0]
    projection = sum(a * b for a, b in zip(sources, widths, strict=True))
    assert [SMALL.weights(2, k) for k in (0, 1)] == [projection, 0]
    assert [SMALL.weights(4, k) for k in range(3)] == [2 * projection, 2 * projection, 0]


# --- networks ---


def by_hand(net, x, arch):
    """The supernet's path with every block computed, loose ends too, as the released code does."""
    space = net.space
    x = net.stem(x)
    for k, cell in enumerate(net.cells):
        x = nn.functional.max_pool2d(x, 2) if k in (space.cells, 2 * space.cells) else x
        states = [x]
        for block in range(1, len(space.inputs)):
            parents, op = space.inputs[block - 1][arch[2 * block - 2]], arch[2 * block - 1]
            given = [states[p] if p else cell.convs[f"{block}_in"](x) for p in parents]
            y = sum(given)
            conv = cell.convs[f"{block}_{op}"] if op < 2 else nn.MaxPool2d(3, 1, 1)
            states.append(conv(y))
        outputs = space.inputs[-1][arch[-1]]
        y = torch.cat([s * (b in outputs) for b, s in enumerate(states) if b], 1)
        x = y + (0 in outputs) * cell.convs[f"{len(space.inputs)}_in"](x)
    return net.head(net.last(x).mean((2, 3)))


@pytest.mark.parametrize("space", [SMALL, replace(TWO, channels=2, cells=1, size=8)])
@torch.no_grad()
def test_a_path_is_that_of_the_released_supernet(space):
    net, x = space.build(seed=1), images(space)
    for arch in draws(space, 20):
        torch.testing.assert_close(net(x, arch), by_hand(net, x, arch), rtol=1e-4, atol=1e-5)
        assert torch.equal(net(x, arch), net(x, space.canonical(arch)))


@torch.no_grad()
def test_different_functions_have_different_logits():
    net, x, archs = SMALL.build(seed=1), images(SMALL), list(SMALL.functions())
    logits = torch.stack([net(x, arch).flatten() for arch in archs])
    near = (torch.cdist(logits, logits, p=float("inf")) < 1e-5).sum()
    # The output reads 0 and 1; 0 and 2, which reads 0, or 1; 1 and 2, which reads either.
    assert near == len(archs) == 3 + (3 + 9) + 2 * 9


def test_supernet_has_the_papers_sizes():
    net = THREE.build()
    assert len(net.cells) == 9 and net.stem[0].weight.shape == (16, 3, 3, 3)
    assert net.cells[0].convs["1_in"][0].weight.shape == (16, 16, 1, 1)
    assert net.cells[8].convs["6_in"][0].weight.shape == (320, 320, 1, 1)
    assert net.last.conv.weight.shape == (64, 320, 1, 1)


def test_parts_add_up_and_projections_are_one():
    net = SMALL.build()
    sizes = [p.numel() for p in net.parameters()]
    parts = net.parts()
    assert list(parts) == [
        "fixed", "inputs", "conv3x3", "conv1x1",
        "choice 0", "choice 1", "choice 2", "choice 3", "choice 4",
    ]  # fmt: skip
    by_kind = [k for name in ("fixed", "inputs", "conv3x3", "conv1x1") for k in parts[name]]
    assert sorted(by_kind) == list(range(len(sizes)))
    rest = [k for name in parts if name.startswith(("fixed", "choice")) for k in parts[name]]
    assert sorted(rest) == list(range(len(sizes)))


def test_owned_names_what_an_architecture_uses():
    net, arch = SMALL.build(), (0, 1, 0, 2, 0)  # block 2 is a loose end
    found = [(place, option, live) for place, option, _, live in net.owned(arch)]
    one = [(0, 0, True), (1, 1, True), (2, 0, False), (4, 0, True)]
    assert Counter(found) == Counter(one * 3)  # a cell in each of three stacks


@pytest.mark.parametrize("name", ["batch", "recalibrated"])
def test_batch_norm_is_affine_alone_only(name):
    arch = SMALL.encode("0:3|1:1|12")
    for net, affine in ((SMALL.build(bn=name), False), (SMALL.build(arch=arch, bn=name), True)):
        norms = [module for module in net.modules() if isinstance(module, spaces.Norm)]
        assert norms and all(norm.affine == affine for norm in norms)
        assert all(norm.track_running_stats == (name != "batch") for norm in norms)


# --- alone: NAS-Bench-101's network ---


def test_channels_are_split_as_in_the_benchmark():
    assert split(THREE.plan(THREE.encode("0:3|1:3|-|-|-|02")), 128) == {1: 128, 2: 128}
    assert split(THREE.plan(THREE.encode("0:3|0:3|-|-|-|12")), 128) == {1: 64, 2: 64}
    three = TWO.plan(TWO.encode("0:3|0:3|01:3|02:m|234"))
    assert split(three, 128) == {1: 43, 2: 43, 3: 43, 4: 42}  # the first take what is left over
    assert split(three, 256) == {1: 85, 2: 86, 3: 85, 4: 85}


@pytest.mark.parametrize(
    "space, string, params",
    [
        (ONE, "0:1|-|-|-|01", 2_793_866),
        (ONE, "0:1|-|01:3|03:m|14", 3_905_290),
        (THREE, BEST, 31_389_066),
    ],
)
def test_weights_of_known_cells(space, string, params):
    assert space.params(space.encode(string)) == params


@pytest.mark.parametrize("space", [ONE, TWO, THREE, SMALL])
def test_costs_are_those_of_the_network_built(space):
    small = replace(space, alone_channels=7, cells=2, size=8)
    for arch in draws(small, 12):
        costs = alone_cost(small, small.canonical(arch))
        assert (small.params(arch), small.flops(arch)) == costs


def test_full_size_costs_are_those_of_the_network_built():
    arch = THREE.encode(BEST)
    assert alone_cost(THREE, arch) == (THREE.params(arch), THREE.flops(arch))


@torch.no_grad()
def test_alone_by_hand():
    arch = SMALL.encode("0:3|1:m|12")  # 7 channels in two branches: 4 and 3
    net, x = SMALL.build(seed=2, arch=arch), images(SMALL)
    y = net.stem(x)
    for k, cell in enumerate(net.cells):
        y = nn.functional.max_pool2d(y, 2) if k else y
        one = cell.convs["1_0"](cell.convs["1_in"](y))
        two = nn.functional.max_pool2d(one, 3, 1, 1)[:, : 7 * 2**k // 2]
        assert one.shape[1] + two.shape[1] == 7 * 2**k
        y = torch.cat([one, two], 1)
    torch.testing.assert_close(net(x), net.head(y.mean((2, 3))))
    assert set(net.cells[0].convs) == {"1_in", "1_0"}
