"""Spaces: strings and codes, which architectures are one function, costs, sharing, batch norm."""

import copy
import csv
import itertools
import os
import weakref
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from padalib import spaces
from padalib.ranking.scores import ScoreConfig, sample
from padalib.spaces import CellSpace, network, pool, recalibrate
from padalib.spaces.network import Norm
from padalib.spaces.pool import Pool
from padalib.train import TrainConfig

MINI = spaces.get("mini")
BENCH = spaces.get("nasbench201")
NARROW = replace(BENCH, channels=4, cells=1, size=16)
TINY = replace(BENCH, channels=4, cells=1, size=8)
CONV64 = replace(spaces.get("conv64"), channels=4, cells=1, size=8)
CONV_ONLY = [arch for arch in MINI.classes() if set(arch) <= {0, 2, 3}]


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def images(space, n=4, seed=0):
    return torch.randn(n, space.in_channels, space.size, space.size, generator=rng(seed))


def draws(space, n, seed=0):
    generator = rng(seed)
    return [space.sample(generator) for _ in range(n)]


def size(net):
    return sum(p.numel() for p in net.parameters())


# --- codes and strings ---


def test_edges_are_in_the_benchmarks_order():
    assert MINI.edges == ((0, 1), (0, 2), (1, 2))
    assert BENCH.edges == ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))


def test_string_by_hand():
    text = "|nor_conv_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|none~0|avg_pool_3x3~1|none~2|"
    assert BENCH.encode(text) == (3, 2, 1, 0, 4, 0)
    assert BENCH.decode((3, 2, 1, 0, 4, 0)) == text
    assert MINI.decode((0, 4, 3)) == "|none~0|+|avg_pool_3x3~0|nor_conv_3x3~1|"
    assert MINI.code((0, 4, 3)) == "0-4-3"


@pytest.mark.parametrize(
    "space, archs",
    [
        (MINI, list(MINI)),
        (BENCH, draws(BENCH, 300)),
        (spaces.get("conv64"), list(spaces.get("conv64"))),
    ],
    ids=["mini", "nasbench201", "conv64"],
)
def test_strings_and_codes_round_trip(space, archs):
    strings = [space.decode(arch) for arch in archs]
    assert [space.encode(string) for string in strings] == archs
    assert len(set(strings)) == len(set(archs))
    assert [space.parse(space.code(arch)) for arch in archs] == archs


def test_sizes_and_order_of_enumeration():
    assert [len(space) for space in (MINI, BENCH, spaces.get("conv64"))] == [125, 15625, 64]
    archs = list(MINI)
    assert len(set(archs)) == 125 and archs == sorted(archs)


@pytest.mark.parametrize(
    "string, names",
    [
        ("|none~0|+|none~0|nor_conv_5x5~1|", "nor_conv_5x5~1"),  # an op of no space
        ("|none~1|+|none~0|none~1|", "none~1"),  # input 1 where 0 belongs
        ("|none~0|none~1|+|none~0|none~1|", "none~1"),  # node 1 has one input only
        ("|none~0|+|none~0|", "got 2"),  # too few
        ("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|", "got 6"),  # of another space
        ("", "''"),
        ("none", "none"),
    ],
)
def test_bad_string_is_named(string, names):
    with pytest.raises(ValueError) as error:
        MINI.encode(string)
    assert names in str(error.value) and "mini" in str(error.value)


def test_op_of_another_space_is_refused():
    string = BENCH.decode((2, 3, 2, 3, 2, 0))
    with pytest.raises(ValueError, match=r"none~2.*conv64: nor_conv_1x1, nor_conv_3x3"):
        spaces.get("conv64").encode(string)


@pytest.mark.parametrize(
    "arch, names",
    [
        ((1, 2), "mini has 3 operations.*got 2"),
        ((1, 2, 3, 4), "got 4"),
        ((1, 2, 5), r"operation 5 on edge 2 .* not in 0..4"),
        ((-1, 2, 3), "operation -1 on edge 0"),
        ((1, 2.0, 3), "operation 2.0 on edge 1"),
        ((1, "2", 3), "operation '2' on edge 1"),
    ],
)
@pytest.mark.parametrize("use", ["decode", "code", "canonical", "params", "flops"])
def test_bad_architecture_is_named(use, arch, names):
    with pytest.raises(ValueError, match=names):
        getattr(MINI, use)(arch)


@pytest.mark.parametrize("code", ["", "1-2", "1-2-9", "1-x-3"])
def test_bad_code_is_named(code):
    with pytest.raises(ValueError, match=f"'{code}' is not an architecture of mini"):
        MINI.parse(code)


def test_unknown_space_names_the_known():
    with pytest.raises(ValueError, match=r"'maxi'.*conv64, .*mini, .*nasbench201"):
        spaces.get("maxi")


@pytest.mark.parametrize(
    "fields, names",
    [
        ({"nodes": 1}, "nodes"),
        ({"ops": ()}, "ops"),
        ({"ops": ("none", "none")}, "ops"),
        ({"ops": ("none", "conv")}, "ops"),
        ({"extent": 0}, "extent must be in 1..3"),
        ({"extent": 4}, "extent must be in 1..3"),
        ({"skeleton": "dense"}, "skeleton"),
        ({"channels": 0}, "channels"),
        ({"cells": 0}, "cells"),
        ({"size": 0}, "size"),
        ({"in_channels": 0}, "in_channels"),
        ({"classes_out": 0}, "classes_out"),
    ],
)
def test_fields_that_make_no_network_are_refused(fields, names):
    with pytest.raises(ValueError, match=names):
        replace(MINI, **fields)


def test_sample_is_uniform_and_from_the_generator_alone():
    state = torch.get_rng_state()
    sampled = draws(MINI, 5000)
    assert torch.equal(torch.get_rng_state(), state)
    assert sampled[:20] == draws(MINI, 20) != draws(MINI, 20, seed=1)
    expected = 5000 / 125
    counts = Counter(sampled)
    chi2 = sum((counts[arch] - expected) ** 2 / expected for arch in MINI)
    assert 80 < chi2 < 180  # 124 degrees of freedom: 124 +- 16


# --- which architectures are the same function ---


@pytest.mark.parametrize("space, n", [(MINI, 85), (BENCH, 9445), (spaces.get("conv64"), 64)])
def test_classes_partition_the_space(space, n):
    classes = space.classes()
    assert len(classes) == n
    assert sum(map(len, classes.values())) == len(space)
    assert all(rep in members for rep, members in classes.items())
    assert all(space.canonical(rep) == rep for rep in classes)


def test_dead_edges_by_hand():
    assert MINI.canonical((3, 1, 0)) == (0, 1, 0)  # node 1 leads nowhere
    assert MINI.canonical((0, 1, 3)) == (0, 1, 0)  # nothing reaches node 1
    assert MINI.canonical((3, 0, 0)) == MINI.canonical((0, 0, 3)) == (0, 0, 0)
    assert MINI.canonical((3, 0, 3)) == (3, 0, 3)
    assert BENCH.canonical((1, 0, 2, 0, 0, 0)) == (0,) * 6  # node 2 is reached, but not needed
    assert BENCH.canonical((1, 0, 2, 4, 0, 0)) == (0, 0, 0, 4, 0, 0)


def every_edge(net, x, arch):
    """The supernet's forward with every edge computed, dead or not, and 'none' as zeros."""
    space = net.space

    def cell(ops, x):
        nodes = [x]
        for j in range(1, space.nodes):
            total = torch.zeros_like(x)
            for i in range(j):
                edge = space.edges.index((i, j))
                if space.ops[arch[edge]] != "none":
                    total = total + ops[f"{edge // space.extent}_{arch[edge]}"](nodes[i])
            nodes.append(total)
        return nodes[-1]

    x = net.stem(x)
    for stage, cells in enumerate(net.stages):
        x = net.reductions[stage - 1](x) if stage else x
        for one in cells:
            x = cell(one.ops, x)
    return net.head(net.norm(x).relu().mean((2, 3)))


@pytest.mark.parametrize("space", [MINI, NARROW, replace(MINI, extent=2)], ids=lambda s: s.name)
@torch.no_grad()
def test_every_member_of_a_class_has_its_logits(space):
    net, x = space.build(seed=1), images(space)
    classes = list(space.classes().items())
    if space is NARROW:
        order = torch.randperm(len(classes), generator=rng())
        classes = [classes[k] for k in order if len(classes[k][1]) > 1][:25]
    for rep, members in classes:
        wanted = net(x, rep)
        for arch in members[:6]:
            assert torch.equal(net(x, arch), wanted)
            torch.testing.assert_close(every_edge(net, x, arch), wanted, rtol=1e-4, atol=1e-5)


def functions(space, archs):
    """How many different functions the architectures are, by their logits."""
    net, x = space.build(seed=1), images(space)
    with torch.no_grad():
        logits = torch.stack([net(x, arch).flatten() for arch in archs])
    same = torch.cdist(logits, logits, p=float("inf")) < 3e-5
    return len({tuple(row) for row in same.tolist()})


def test_different_classes_of_convolutions_have_different_logits():
    assert len(CONV_ONLY) == 3 * (2 * 2 + 1)  # the direct edge, and a whole detour or none
    assert functions(MINI, CONV_ONLY) == 15


def test_operations_without_weights_can_be_moved():
    # skip then pool is pool then skip, and doubling is undone by the next batch norm: the classes
    # are the same function for certain within, but not different for certain between.
    assert functions(MINI, [(1, 0, 4), (4, 0, 1), (0, 4, 0)]) == 1
    assert functions(MINI, [(0, 1, 0), (1, 0, 1), (1, 1, 1)]) == 1
    assert functions(MINI, list(MINI.classes())) == 76


@pytest.mark.parametrize(
    "arch, live", [((3, 0, 2), 2), ((3, 3, 0), 1), ((0, 2, 3), 1), ((3, 0, 0), 0), ((2, 2, 3), 3)]
)
def test_dead_edges_are_not_computed(arch, live):
    net, calls = MINI.build(), []
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda *_, name=name: calls.append(name))
    net(images(MINI), arch)
    assert sum(".ops." in name for name in calls) == 3 * live  # one cell in each of three stages
    assert sum(".ops." not in name for name in calls) == 3  # stem and two reductions


@pytest.mark.parametrize("space", [MINI, NARROW], ids=lambda s: s.name)
@pytest.mark.parametrize("alone", [False, True])
def test_no_live_path_gives_a_constant_and_a_backward(space, alone):
    arch = (3,) + (0,) * (len(space.edges) - 1)
    net = space.build(arch=arch if alone else None)
    logits = torch.cat([net(images(space, seed=seed), arch) for seed in (0, 1)])
    assert torch.equal(logits, logits[:1].expand_as(logits))
    logits.square().sum().backward()
    assert net.head.bias.grad.abs().sum() > 0
    assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())


# --- what an architecture costs ---


@pytest.mark.parametrize(
    "arch, params",
    [
        ((0, 0, 0, 0, 0, 0), 73_306),
        ((1, 4, 0, 4, 1, 0), 73_306),
        ((2, 0, 0, 0, 0, 0), 73_306 + 28_000),
        ((3, 3, 3, 3, 3, 3), 73_306 + 6 * 243_040),
        ((2, 3, 2, 3, 3, 4), 73_306 + 2 * 28_000 + 3 * 243_040),
    ],
)
def test_parameters_of_the_benchmark_by_hand(arch, params):
    assert BENCH.params(arch) == params


def test_parameters_of_every_benchmark_architecture():
    folder = os.environ.get("PADALIB_TEST_DATA")
    if not folder:
        pytest.skip("PADALIB_TEST_DATA is not set: no NAS-Bench-201 table")
    with (Path(folder) / "nasbench201.csv").open() as file:
        table = {BENCH.encode(row["arch"]): int(row["params"]) for row in csv.DictReader(file)}
    assert table == {arch: BENCH.params(arch) for arch in BENCH}


def test_the_benchmarks_largest_network_is_built_as_counted():
    assert size(BENCH.build(arch=(3,) * 6)) == BENCH.params((3,) * 6) == 1_531_546


@pytest.mark.parametrize(
    "space",
    [MINI, NARROW, replace(MINI, conv_bias=True), replace(NARROW, cells=2)],
    ids=["mini", "nasbench201", "bias", "cells"],
)
def test_parameters_are_those_of_the_network_alone(space):
    archs = [arch for arch in draws(space, 40) if space.canonical(arch) == arch]
    assert len(archs) > 5
    for arch in archs:
        assert space.params(arch) == size(space.build(arch=arch))


def test_parameters_count_dead_edges_too():
    assert MINI.params((3, 1, 0)) > MINI.params((0, 1, 0))
    assert size(MINI.build(arch=(3, 1, 0))) == MINI.params((0, 1, 0))


@pytest.mark.parametrize(
    "space",
    [MINI, NARROW, replace(MINI, conv_bias=True), replace(NARROW, cells=2, classes_out=7)],
    ids=["mini", "nasbench201", "bias", "cells"],
)
def test_flops_are_torchs_own_count(space):
    fixed = [(3,) * len(space.edges), (0,) * len(space.edges), (3,) + (0,) * (len(space.edges) - 1)]
    for arch in fixed + draws(space, 8):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            space.build(arch=arch)(images(space, n=3))
        assert 3 * space.flops(arch) == counter.get_total_flops()


def test_flops_of_the_least_size_are_counted_too():
    least = replace(MINI, size=4)  # whose last stage has one pixel
    for arch in filter(lambda arch: 4 not in arch, least):  # of pools we count none
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            least.build(arch=arch)(images(least, n=3))
        assert 3 * least.flops(arch) == counter.get_total_flops()


# --- which are one network alone ---


def _alone(arch):
    """Its network alone, and its convolutions by operation."""
    net = LEAST.build(arch=arch)
    edges = [edge for *_, edge, op in LEAST.plan(arch) if "conv" in LEAST.ops[op]]
    return net, [[net.stages[k][0].ops[f"{e}_{arch[e]}"] for k in range(3)] for e in edges]


LEAST = replace(MINI, channels=2, size=4)
FEW = [arch for arch in LEAST.classes() if any(LEAST.live(arch))]


def test_networks_that_are_one_alone_are_the_same_for_some_order_of_their_convolutions():
    """By brute force, and no others are: with all weights of one given to the other."""
    x = torch.randn(4, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    outputs = {}
    for arch in FEW:
        net, convs = _alone(arch)
        found = []
        for order in itertools.permutations(range(len(convs))):
            fixed = torch.Generator().manual_seed(5)
            others = [p for name, p in net.named_parameters() if "ops" not in name]
            drawn = [torch.randn(2000, generator=fixed) for _ in convs]
            for weights in others:
                weights.data = torch.randn(weights.shape, generator=fixed)
            for k, own in zip(order, convs, strict=True):
                at = 0
                for weights in (p for module in own for p in module.parameters()):
                    weights.data = drawn[k][at : at + weights.numel()].view_as(weights).clone()
                    at += weights.numel()
            with torch.no_grad():
                found.append(net(x, arch).flatten())
        outputs[arch] = torch.stack(found)
    for a, b in itertools.combinations(FEW, 2):
        ops = [sorted(op for *_, op in LEAST.plan(arch) if op in (2, 3)) for arch in (a, b)]
        same = ops[0] == ops[1] and any(
            torch.allclose(outputs[a][0], other, atol=1e-3) for other in outputs[b]
        )
        assert same == (LEAST.alone_key(a) == LEAST.alone_key(b)), (a, b)


def test_networks_that_are_one_alone_are_fewer_than_functions():
    for space, functions, networks in ((MINI, 85, 58), (spaces.get("conv64"), 64, 64)):
        assert len(space.classes()) == functions
        assert len(set(map(space.alone_key, space))) == networks
    skipped = ("|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|skip_connect~2|",
               "|none~0|+|none~0|none~1|+|nor_conv_3x3~0|none~1|none~2|")  # fmt: skip
    assert len({BENCH.alone_key(BENCH.encode(string)) for string in skipped}) == 1
    doubled = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|nor_conv_3x3~0|none~1|skip_connect~2|"
    once = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|skip_connect~1|skip_connect~2|"
    two, one = (BENCH.alone_key(BENCH.encode(string)) for string in (doubled, once))
    assert two != one  # two convolutions of one input; one, twice
    for space in (spaces.get("macro"), spaces.get("nb1shot1-3")):
        arch = space.sample(torch.Generator().manual_seed(3))
        assert space.alone_key(arch) == space.truth_key(space.canonical(arch))


# --- the supernet ---


def test_operations_by_hand():
    ops = MINI.build().stages[0][0].ops
    x = images(replace(MINI, in_channels=8))
    assert torch.equal(ops["0_1"](x), x)
    pooled = ops["0_4"](x)
    assert torch.allclose(pooled[0, 0, 0, 0], x[0, 0, :2, :2].mean())  # no zeros at the border
    assert torch.allclose(pooled[0, 0, 3, 3], x[0, 0, 2:5, 2:5].mean())
    for op, kernel in (("0_2", 1), ("0_3", 3)):
        y = F.conv2d(x.relu(), ops[op].conv.weight, padding=kernel // 2)
        mean, var = y.mean((0, 2, 3), keepdim=True), y.var((0, 2, 3), keepdim=True, correction=0)
        wanted = (y - mean) / (var + 1e-5).sqrt()
        torch.testing.assert_close(ops[op](x), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("extent, groups", [(1, 6), (2, 3), (3, 2), (4, 2), (6, 1)])
def test_sharing_extent_sets_the_number_of_weights(extent, groups):
    net = replace(NARROW, extent=extent).build()
    shared = sum(p.numel() for name, p in net.named_parameters() if ".ops." in name)
    assert shared == groups * (1 + 9) * (4**2 + 8**2 + 16**2)


@pytest.mark.parametrize(
    "extent, calls",
    [(1, {"0_3": 1, "1_3": 1, "2_3": 1}), (2, {"0_3": 2, "1_3": 1}), (3, {"0_3": 3})],
)
def test_edges_of_a_group_use_the_same_operation(extent, calls):
    net, seen = replace(MINI, extent=extent).build(), Counter()
    for name, op in net.stages[0][0].ops.items():
        if name.endswith("_3"):
            op.conv.register_forward_hook(lambda *_, name=name: seen.update([name]))
    net(images(MINI), (3, 3, 3))
    assert seen == calls


def test_network_alone_has_its_live_operations_only():
    net = MINI.build(arch=(3, 2, 0))
    assert [list(cell.ops) for cells in net.stages for cell in cells] == [["1_2"]] * 3
    x = images(MINI)
    assert torch.equal(net(x), net(x, (3, 2, 0)))
    assert net.norm.affine and not MINI.build().norm.affine


def test_a_supernet_must_be_told_the_path():
    with pytest.raises(ValueError, match=r"supernet\(x, arch\)"):
        MINI.build()(images(MINI))


def test_weights_of_a_path_are_listed_by_operation():
    net = replace(MINI, cells=2).build()
    weights = net.owned((3, 2, 0))  # 3 is dead, and listed all the same
    assert [(edge, op, live) for edge, op, _, live in weights] == [(0, 3, False), (1, 2, True)] * 6
    assert all(own[0].shape[2:] == {2: (1, 1), 3: (3, 3)}[op] for _, op, own, _ in weights)
    assert len({id(weight) for _, _, own, _ in weights for weight in own}) == 12
    net(images(MINI), (3, 2, 0)).sum().backward()
    assert all((own[0].grad is not None) == live for _, _, own, live in weights)
    assert net.owned((0, 1, 4)) == []


def told(found):
    return [
        (place, option, [id(weight) for weight in weights], live)
        for owned in found
        for place, option, weights, live in owned
    ]


@pytest.mark.parametrize("name", ["mini", "darts-mini"])
def test_what_is_remembered_of_paths_is_bounded_and_no_part_of_a_copy(name, monkeypatch):
    """The copy that is made each epoch took longer with each path that was trained."""
    monkeypatch.setattr(network, "KEPT", 4)
    space, rng = spaces.get(name), torch.Generator().manual_seed(0)
    net = space.build()
    archs = [space.sample(rng) for _ in range(20)]
    found = [[net.owned(arch) for arch in archs] for _ in range(2)]
    assert 0 < len(net._owned) <= 4 and told(found[0]) == told(found[1])
    again = copy.deepcopy(net)
    assert not again._owned and not again._chosen
    mine = {id(weight) for weight in again.parameters()}
    assert all(id(w) in mine for arch in archs for *_, own, _ in again.owned(arch) for w in own)


def test_parts_hold_every_parameter_once():
    net = MINI.build()
    parts, names = net.parts(), [name for name, _ in net.named_parameters()]
    edges = {part: parts.pop(part) for part in ("edge 0", "edge 1", "edge 2")}
    assert sorted(parts) == ["fixed", "nor_conv_1x1", "nor_conv_3x3"]
    assert sorted(k for part in parts.values() for k in part) == list(range(len(names)))
    for edge, positions in edges.items():
        assert len(positions) == 6  # two convolutions in each of three cells
        assert all(f".ops.{edge[-1]}_" in names[k] for k in positions)
    assert all(".ops." not in names[k] for k in parts["fixed"])
    for op in ("nor_conv_1x1", "nor_conv_3x3"):
        shapes = [list(net.parameters())[k].shape[2:] for k in parts[op]]
        assert shapes == [(int(op[-1]),) * 2] * 9  # one for each edge of three cells


def test_build_depends_on_the_seed_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = MINI.build(seed=3).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    again, other = MINI.build(seed=3).state_dict(), MINI.build(seed=4).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])


def test_weights_start_as_torchs_own_layers_do():
    net = replace(MINI, channels=16, conv_bias=True).build(bn="running")
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            bound = module.weight[0].numel() ** -0.5  # uniform within 1 / sqrt(fan in)
            for values in (module.weight, module.bias):
                if values is not None:
                    assert 0.7 * bound < values.abs().max() <= bound
        elif isinstance(module, nn.BatchNorm2d):
            assert module.running_mean.eq(0).all() and module.running_var.eq(1).all()
    alone = MINI.build(arch=(3, 3, 3)).norm
    assert alone.weight.eq(1).all() and alone.bias.eq(0).all()


# --- batch norm ---


def test_only_modes_with_statistics_have_buffers():
    assert list(MINI.build(bn="batch").buffers()) == []
    for bn in ("running", "recalibrated"):
        names = {name.split(".")[-1] for name, _ in MINI.build(bn=bn).named_buffers()}
        assert names == {"running_mean", "running_var", "num_batches_tracked"}
    with pytest.raises(ValueError, match=r"'batch', 'running', 'recalibrated'.*'group'"):
        MINI.build(bn="group")


@pytest.mark.parametrize("bn, alone", [("batch", False), ("running", True)])
@torch.no_grad()
def test_in_evaluation_images_meet_in_batch_mode_only(bn, alone):
    net, x = MINI.build(bn=bn).eval(), images(MINI, n=8)
    same = torch.allclose(net(x, (3, 3, 3))[:4], net(x[:4], (3, 3, 3)), atol=1e-5)
    assert same == alone


@torch.no_grad()
def test_recalibration_takes_plain_averages_over_batches():
    net, batches = MINI.build(bn="recalibrated"), [images(MINI, n=n, seed=n) for n in (3, 5, 8)]
    recalibrate(net, (3, 3, 3), [images(MINI, seed=1)])  # what was there before must not matter
    recalibrate(net, (3, 0, 2), iter(batches))
    maps = [net.stem[0](x) for x in batches]
    means = torch.stack([y.mean((0, 2, 3)) for y in maps])
    variances = torch.stack([y.var((0, 2, 3), correction=1) for y in maps])
    torch.testing.assert_close(net.stem[1].running_mean, means.mean(0))
    torch.testing.assert_close(net.stem[1].running_var, variances.mean(0))
    assert not net.training and net.stem[1].momentum == 0.1


@torch.no_grad()
def test_recalibration_on_the_batch_itself_gives_batch_statistics():
    x = images(MINI, n=64)
    batch, net = MINI.build(bn="batch").eval(), MINI.build(bn="recalibrated")
    recalibrate(net, (3, 2, 3), [x])
    # not equal: a running variance is the unbiased one
    torch.testing.assert_close(net(x, (3, 2, 3)), batch(x, (3, 2, 3)), rtol=0, atol=5e-3)


def test_recalibration_needs_statistics():
    with pytest.raises(ValueError, match="bn='batch' has no statistics"):
        recalibrate(MINI.build(), (3, 3, 3), [images(MINI)])


def test_conv64_is_the_papers_figure_1():
    space = spaces.get("conv64")
    assert space.ops == ("nor_conv_1x1", "nor_conv_3x3") and space.edges == BENCH.edges
    assert space.params((0,) * 6) == BENCH.params((2,) * 6)
    assert space.flops((1,) * 6) == BENCH.flops((3,) * 6)


def test_spaces_are_values():
    assert replace(MINI) == MINI != replace(MINI, channels=4)
    assert CellSpace("x", ops=["none", "nor_conv_1x1"]).ops == ("none", "nor_conv_1x1")


def test_none_may_stand_anywhere_among_the_operations():
    space = CellSpace("x", nodes=3, ops=("nor_conv_3x3", "none", "skip_connect"))
    assert space.canonical((1, 2, 0)) == (1, 2, 1)
    assert len(space.classes()) == 3 * (2 * 2 + 1)


@pytest.mark.parametrize("arch", [(9, 0, 0), (-1, 2, 2), (1, 2), (1, 2, 3, 4)])
def test_a_supernet_names_a_bad_path(arch):
    with pytest.raises(ValueError, match=r"architecture of mini has|operation"):
        MINI.build()(torch.zeros(2, 1, 16, 16), arch)


@pytest.mark.parametrize("size", [1, 2, 15])
def test_images_must_halve_twice(size):
    with pytest.raises(ValueError, match="size"):
        replace(MINI, size=size, skeleton="residual")


# --- the benchmark's own network, at any size ---


@pytest.mark.parametrize(
    "c, n, size, labels, bias",
    [(16, 5, 32, 10, 0), (16, 5, 32, 100, 1), (8, 1, 16, 10, 0), (4, 3, 8, 7, 1), (6, 2, 12, 3, 0)],
)
def test_costs_of_the_benchmarks_network_by_hand(c, n, size, labels, bias):
    space = replace(BENCH, channels=c, cells=n, size=size, classes_out=labels, conv_bias=bool(bias))
    stem = 3 * 9 * c + 2 * c
    blocks = sum(9 * w * 2 * w + 4 * w + 9 * 4 * w * w + 4 * w + w * 2 * w for w in (c, 2 * c))
    head = 2 * 4 * c + 4 * c * labels + labels
    bare = stem + blocks + head
    widths, areas = (c, 2 * c, 4 * c), (size**2, size**2 // 4, size**2 // 16)
    one, three = (n * sum(k * w * w + 2 * w + bias * w for w in widths) for k in (1, 9))
    assert space.params((0,) * 6) == space.params((1, 4, 1, 4, 1, 4)) == bare
    assert space.params((2,) + (1,) * 5) == bare + one
    assert space.params((2, 3, 2, 3, 3, 4)) == bare + 2 * one + 3 * three
    skeleton = 2 * (
        3 * 9 * c * areas[0]
        + sum(
            (9 * w * 2 * w + 9 * 4 * w * w + w * 2 * w) * area
            for w, area in zip(widths[:2], areas[1:], strict=True)
        )
        + 4 * c * labels
    )
    work = n * sum(2 * w * w * area for w, area in zip(widths, areas, strict=True))
    assert space.flops((0,) * 6) == space.flops((1, 4, 1, 4, 1, 4)) == skeleton
    assert space.flops((2, 3, 2, 3, 3, 4)) == skeleton + (2 + 3 * 9) * work


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("bn", ["batch", "running"])
def test_batch_norm_is_torchs_to_the_bit(bn, affine, training):
    ours = Norm(3, affine, bn).train(training)
    torchs = nn.BatchNorm2d(3, affine=affine, track_running_stats=bn != "batch").train(training)
    for k in range(2):
        x = torch.randn(5, 3, 4, 4, generator=torch.Generator().manual_seed(k)).mul(3).add(1)
        assert torch.equal(ours(x), torchs(x))
    assert all(map(torch.equal, ours.buffers(), torchs.buffers()))


def batch_norm(x):
    return F.batch_norm(x, None, None, training=True)


@pytest.mark.parametrize("space", [TINY, replace(BENCH, channels=6, cells=2, size=12)])
@torch.no_grad()
def test_the_benchmarks_network_layer_by_layer(space):
    net, x = space.build(seed=2), images(space)
    arch = (3, 2, 1, 4, 0, 3)
    wanted = net(x, arch)
    x = batch_norm(F.conv2d(x, net.stem[0].weight, padding=1))
    for stage, cells in enumerate(net.stages):
        width = space.channels << stage
        if stage:
            block = net.reductions[stage - 1]
            y = batch_norm(F.conv2d(x.relu(), block.a.conv.weight, stride=2, padding=1))
            y = batch_norm(F.conv2d(y.relu(), block.b.conv.weight, padding=1))
            x = y + F.conv2d(F.avg_pool2d(x, 2), block.skip[1].weight)
        assert len(cells) == space.cells
        assert x.shape == (4, width, space.size >> stage, space.size >> stage)
        for cell in cells:
            convs = {name: op.conv.weight for name, op in cell.ops.items() if name[-1] in "23"}
            assert all(weight.shape[:2] == (width, width) for weight in convs.values())
            one = batch_norm(F.conv2d(x.relu(), convs["0_3"], padding=1))
            two = batch_norm(F.conv2d(x.relu(), convs["1_2"])) + one
            three = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
            x = three + batch_norm(F.conv2d(two.relu(), convs["5_3"], padding=1))
    found = net.head(batch_norm(x).relu().mean((2, 3)))
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_members_of_a_class_have_equal_logits_in_the_benchmarks_own_supernet():
    net, x = BENCH.build(seed=1).to(memory_format=torch.channels_last), images(BENCH, n=2)
    classes = [pair for pair in BENCH.classes().items() if len(pair[1]) > 1]
    logits = []
    for place in torch.randperm(len(classes), generator=rng())[:3].tolist():
        rep, members = classes[place]
        logits.append(net(x, rep))
        for arch in (members[0], members[-1]):
            assert torch.equal(net(x, arch), logits[-1])
    assert not torch.equal(logits[0], logits[1])


@pytest.mark.parametrize("extent, sets", [(1, 6), (2, 3), (3, 2), (6, 1)])
@torch.no_grad()
def test_conv64_at_every_sharing_extent(extent, sets):
    space = replace(CONV64, extent=extent)
    net, x = space.build(seed=1), images(space)
    for cells in net.stages:
        for cell in cells:
            assert sorted(cell.ops) == [f"{k}_{op}" for k in range(sets) for op in range(2)]
    assert len({id(own[0]) for a in space for _, _, own, _ in net.owned(a)}) == 3 * 2 * sets
    logits = torch.stack([net(x, arch).flatten() for arch in space])
    assert logits.shape == (64, 40) and logits.isfinite().all()
    same = torch.cdist(logits, logits, p=float("inf")) < 1e-4
    assert int(same.sum()) == 64  # 64 different functions, even of one set of weights


# --- one ReLU for all that read a node ---


def test_a_node_meets_one_relu_however_many_convolutions_read_it(monkeypatch):
    relu, calls = F.relu, []
    monkeypatch.setattr(F, "relu", lambda x: calls.append(x.shape[1]) or relu(x))
    MINI.build()(images(MINI), (3, 2, 3))
    # Node 0 and node 1 of three cells, and before the head.
    assert calls == [8, 8, 16, 16, 32, 32, 32]


@pytest.mark.parametrize("space", [MINI, TINY, replace(MINI, extent=2)], ids=lambda s: s.name)
def test_gradients_are_those_of_operations_with_a_relu_each(space):
    net, x = space.build(seed=1), images(space)
    parameters = list(net.parameters())
    for arch in [(3,) * len(space.edges), (2,) * len(space.edges), *draws(space, 6)]:
        found, wanted = (
            torch.autograd.grad(
                logits.square().sum(), parameters, allow_unused=True, materialize_grads=True
            )
            for logits in (net(x, arch), every_edge(net, x, arch))
        )
        for one, two in zip(found, wanted, strict=True):
            torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-4 * float(1 + two.abs().max()))


# --- many paths over the same images ---


def orders(archs):
    """In order, backwards, and shuffled."""
    shuffled = [archs[k] for k in torch.randperm(len(archs), generator=rng(5)).tolist()]
    return {"sorted": sorted(archs), "reversed": sorted(archs)[::-1], "shuffled": shuffled}


@pytest.mark.parametrize("order", ["sorted", "reversed", "shuffled"])
@pytest.mark.parametrize("mode", ["batch", "running", "bfloat16"])
@pytest.mark.parametrize(
    "space, archs",
    [
        (replace(MINI, channels=4, size=8), list(MINI)),
        (replace(MINI, channels=4, size=8, cells=2, extent=2), draws(MINI, 30)),
        (TINY, draws(TINY, 40)),
        (replace(CONV64, extent=3), draws(CONV64, 20)),
    ],
    ids=["mini", "cells", "nasbench201", "conv64"],
)
@torch.no_grad()
def test_all_paths_at_once_have_the_logits_of_each(space, archs, mode, order):
    net = space.build(
        seed=1,
        bn="running" if mode == "running" else "batch",
        precision="bfloat16" if mode == "bfloat16" else "float32",
    )
    net.to(memory_format=torch.channels_last)
    x = images(space).contiguous(memory_format=torch.channels_last)
    if mode == "running":
        for arch in archs[:10]:
            net(x, arch)
    net.eval()
    archs = orders(archs)[order]
    found = list(net.walk(x, archs))
    assert len(found) == len(archs)
    for arch, logits in zip(archs, found, strict=True):
        assert torch.equal(logits, net(x, arch)), arch


@torch.no_grad()
def test_each_operation_of_the_first_cell_is_computed_once():
    net, calls = MINI.build(), Counter()
    for name, module in net.named_modules():
        if name.count(".") == 4 or name == "stem":
            module.register_forward_hook(lambda *_, name=name: calls.update([name]))
    logits = list(net.walk(images(MINI), sorted(MINI)))
    assert len(logits) == 125
    first = {name[-3:]: n for name, n in calls.items() if name.startswith("stages.0.0.ops")}
    # From the input each once; from node 1 once for each of the four that can reach it.
    assert first == {f"{edge}_{op}": (1, 1, 4)[edge] for edge in range(3) for op in range(1, 5)}
    assert calls["stem"] == 1


def test_a_walk_in_order_computes_few_operations_and_holds_few_outputs():
    cell = TINY.build().stages[0][0]
    alive, calls = weakref.WeakSet(), Counter()

    class Output:
        """Stands for a tensor: a sum of what it was made from."""

        def __init__(self, *parts):
            self.parts = parts
            alive.add(self)

        def __add__(self, other):
            return Output("+", self.parts, other.parts)

    def op(edge, number):
        def apply(x):
            calls[edge] += 1
            return Output(edge, number, x.parts)

        return apply

    cell.op = op
    plans = [TINY.plan(arch) for arch in sorted(TINY.classes())[1:]]  # the first has no path
    x, most, wanted = Output("x"), 0, Counter()
    for plan, found in zip(plans, cell.walk(x, plans), strict=True):
        nodes = {0: ("x",)}
        for i, j, edge, number in plan:
            made = (edge, number, nodes[i])
            nodes[j] = ("+", nodes[j], made) if j in nodes else made
            wanted[edge] += 1
        assert found.parts == nodes[3]
        most = max(most, len(alive))
    # (1<-0), (2<-0), (3<-0) always read the input; (2<-1), (3<-1) one of the four ways to node 1.
    assert [calls[edge] for edge in (0, 1, 3)] == [4, 4, 4]
    assert [calls[edge] for edge in (2, 4)] == [16, 16]
    assert sum(calls.values()) < sum(wanted.values()) / 40
    assert most <= 6 * 4 + 4 + 1  # of each edge its four operations', the nodes, the input


@torch.no_grad()
def test_a_walk_can_be_left_and_begun_anew():
    net, x = MINI.build(seed=1), images(MINI)
    first = next(net.walk(x, [(3, 2, 3), (9, 9, 9)][:1]))
    again = net.walk(x, [(3, 2, 3), (0, 0, 0), (3, 2, 3)])
    found = list(again)
    assert torch.equal(found[0], first) and torch.equal(found[2], first)
    assert torch.equal(found[1], net(x, (0, 0, 0)))
    assert list(net.walk(x, [])) == []
    with pytest.raises(ValueError, match="operation 9 on edge 0"):
        next(net.walk(x, [(1, 1, 1), (9, 9, 9)]))  # before anything is computed


# --- precision ---


@pytest.mark.parametrize("space", [MINI, NARROW], ids=lambda s: s.name)
@pytest.mark.parametrize("bn", ["batch", "running"])
def test_bfloat16_is_close_to_float32_and_keeps_weights_and_logits_in_it(space, bn):
    plain, net = (space.build(seed=1, bn=bn, precision=p) for p in ("float32", "bfloat16"))
    assert net.precision == "bfloat16" and plain.precision == space.build().precision == "float32"
    dtypes = set()
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda *given: dtypes.add(given[-1].dtype))
    x = images(space, n=16)
    for arch in [(3,) * len(space.edges), (0,) * len(space.edges), *draws(space, 6)]:
        logits, wanted = net(x, arch), plain(x, arch)
        assert logits.dtype == torch.float32
        assert (logits - wanted).abs().max() < 0.05
        assert space.plan(arch) == () or not torch.equal(logits, wanted)
        net.zero_grad()
        plain.zero_grad()
        logits.square().sum().backward()
        wanted.square().sum().backward()
        for one, two in zip(net.parameters(), plain.parameters(), strict=True):
            assert one.dtype == torch.float32 and (one.grad is None) == (two.grad is None)
            assert one.grad is None or one.grad.dtype == torch.float32
        found, exact = (
            torch.cat([p.grad.flatten() for p in which.parameters() if p.grad is not None])
            for which in (net, plain)
        )
        assert F.cosine_similarity(found, exact, dim=0) > 0.9
    assert dtypes == {torch.bfloat16}
    assert all(b.dtype == torch.float32 for b in net.buffers() if b.is_floating_point())
    for one, two in zip(net.modules(), plain.modules(), strict=True):
        if isinstance(one, Norm) and bn == "running":
            torch.testing.assert_close(one.running_mean, two.running_mean, rtol=0.05, atol=0.05)


@torch.no_grad()
def test_autocast_is_over_when_the_caller_has_its_turn():
    net, x = MINI.build(precision="bfloat16"), images(MINI)
    conv = nn.Conv2d(1, 2, 3)
    for logits in net.walk(x, [(3, 2, 3), (1, 1, 1)]):
        assert logits.dtype == conv(x).dtype == torch.float32
        assert not torch.is_autocast_enabled("cpu")
    net(x, (3, 2, 3))
    assert not torch.is_autocast_enabled("cpu")


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match=r"precision must be one of .*bfloat16.*got 'float16'"):
        MINI.build(precision="float16")


# --- pooling ---

SHAPES = [(2, 3, 5, 7), (4, 8, 16, 16), (3, 4, 1, 1), (2, 5, 1, 4), (1, 1, 3, 2), (2, 16, 2, 2)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format], ids=str)
@pytest.mark.parametrize(
    "dtype, rounding",
    [(torch.float32, 1e-6), (torch.bfloat16, 0.02), (torch.float64, 1e-14)],
    ids=["float32", "bfloat16", "float64"],
)
def test_pooling_is_torchs_own(shape, layout, dtype, rounding):
    values = torch.randn(shape, generator=rng(), dtype=torch.float64).to(dtype)
    x = values.contiguous(memory_format=layout).requires_grad_()
    exact = values.double().requires_grad_()
    y, wanted = Pool()(x), F.avg_pool2d(exact, 3, 1, 1, count_include_pad=False)
    assert y.dtype == dtype and y.is_contiguous(memory_format=layout)
    torch.testing.assert_close(y.double(), wanted, rtol=0, atol=rounding)
    for back in (
        torch.randn(shape, generator=rng(1), dtype=torch.float64).to(dtype),  # contiguous
        torch.ones((), dtype=dtype).expand(shape),  # as the gradient of a sum is
    ):
        (found,) = torch.autograd.grad(y, x, back, retain_graph=True)
        (other,) = torch.autograd.grad(wanted, exact, back.double(), retain_graph=True)
        torch.testing.assert_close(found.double(), other, rtol=0, atol=2 * rounding)
        if layout is torch.channels_last:
            assert found.is_contiguous(memory_format=layout)


def test_pooling_takes_the_fast_way_where_the_layout_allows():
    x = torch.randn(2, 4, 6, 6, requires_grad=True)
    last = x.contiguous(memory_format=torch.channels_last)
    assert type(Pool()(last).grad_fn).__name__ == "_DepthwiseMeanBackward"
    assert type(Pool()(x).grad_fn).__name__ == "AvgPool2DBackward0"
    with torch.device("meta"):
        assert Pool()(torch.empty(2, 4, 6, 6)).shape == (2, 4, 6, 6)


def test_pooling_has_second_derivatives_even_after_inference():
    pool._ones.cache_clear()
    pool._inverse_counts.cache_clear()
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        Pool()(x)
    x.requires_grad_()
    assert torch.autograd.gradcheck(Pool(), x)
    assert torch.autograd.gradgradcheck(lambda x: Pool()(x).square(), x)


def test_pooling_in_float32_is_exact_after_autocast():
    pool._ones.cache_clear()
    pool._inverse_counts.cache_clear()
    x = images(replace(MINI, in_channels=4)).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        Pool()(x)
    wanted = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    torch.testing.assert_close(Pool()(x), wanted, rtol=0, atol=1e-6)


def test_a_space_of_more_architectures_than_python_can_give_a_length_says_so_everywhere():
    vast = replace(spaces.get("darts-mini"), nodes=5, size=16, in_channels=1)
    assert vast and vast.architectures > 2**63
    for tried in (
        lambda: iter(vast),
        lambda: ScoreConfig(TrainConfig(space=vast, data="digits-small"), archs=None).check(),
        lambda: TrainConfig("density-aware", space=vast, data="digits-small"),
    ):
        with pytest.raises(ValueError, match=r"has [\d,]+.* too many to (list|score)"):
            tried()
    assert len(sample(vast, 3)) == 3
