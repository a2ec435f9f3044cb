"""Spaces: strings and codes, which architectures are one function, costs, sharing, batch norm."""

import csv
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from padalib import spaces
from padalib.spaces import CellSpace, recalibrate

MINI = spaces.get("mini")
BENCH = spaces.get("nasbench201")
NARROW = replace(BENCH, channels=4, cells=1, size=16)
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
    with pytest.raises(ValueError, match=r"'maxi'.*conv64, mini, nasbench201"):
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
        op.register_forward_hook(lambda *_, name=name: seen.update([name]))
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
    weights = net.op_weights((3, 2, 0))  # 3 is dead, and listed all the same
    assert [(op, live) for op, _, live in weights] == [(3, False), (2, True)] * 6
    assert all(weight.shape[2:] == {2: (1, 1), 3: (3, 3)}[op] for op, weight, _ in weights)
    assert len({id(weight) for _, weight, _ in weights}) == 12
    net(images(MINI), (3, 2, 0)).sum().backward()
    assert all((weight.grad is not None) == live for _, weight, live in weights)
    assert net.op_weights((0, 1, 4)) == []


def test_parts_hold_every_parameter_once():
    net = MINI.build()
    parts, names = net.parts(), [name for name, _ in net.named_parameters()]
    assert sorted(parts) == ["fixed", "nor_conv_1x1", "nor_conv_3x3"]
    assert sorted(k for part in parts.values() for k in part) == list(range(len(names)))
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
