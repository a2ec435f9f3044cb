"""The DARTS space: its size, published genotypes and numbers of parameters, and its network."""

from collections import Counter
from dataclasses import replace

import pytest
import torch
from torch import nn

from padalib import samplers, spaces
from padalib.spaces.base import alone_cost
from padalib.spaces.darts_net import OPS, DartsNet, drop_path, matrices
from padalib.train import TrainConfig

DARTS, MINI = spaces.get("darts"), spaces.get("darts-mini")
# Published genotypes: darts cnn/genotypes.py, GM-NAS WS-GM/sota/cnn/genotypes.py (SNAS, seed 3).
V1 = (
    "Genotype(normal=[('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 0), "
    "('sep_conv_3x3', 1), ('skip_connect', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
    "('skip_connect', 2)], normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), "
    "('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 0), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('avg_pool_3x3', 0)], reduce_concat=[2, 3, 4, 5])"
)
V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
    "('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), "
    "('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), "
    "('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"
)
SNAS = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_5x5', 1), ('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 2), ('sep_conv_3x3', 1), ('dil_conv_5x5', 3), ('dil_conv_3x3', 2), "
    "('skip_connect', 0)], normal_concat=range(2, 6), reduce=[('max_pool_3x3', 0), "
    "('sep_conv_3x3', 1), ('max_pool_3x3', 0), ('skip_connect', 2), ('dil_conv_5x5', 3), "
    "('skip_connect', 2), ('skip_connect', 2), ('dil_conv_3x3', 3)], reduce_concat=range(2, 6))"
)
PUBLISHED = {"V1": (V1, 3_169_414), "V2": (V2, 3_349_342), "SNAS": (SNAS, 3_718_486)}
NONE = replace(MINI, ops=("none", "skip_connect", "sep_conv_3x3"))


def drawn(space, n, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return [space.sample(rng) for _ in range(n)]


def images(space, n=3, seed=1):
    shape = (n, space.in_channels, space.size, space.size)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# --- architectures ---


def test_there_are_as_many_as_published():
    per_cell = 1 * 3 * 6 * 10 * 7**8
    assert per_cell == 1_037_664_180 and len(DARTS) == per_cell**2 == 1_076_746_950_455_072_400
    assert len(DARTS.positions) == 22 and DARTS.ops == OPS
    assert len(replace(DARTS, ops=("none", *OPS))) == (180 * 8**8) ** 2


def test_paths_are_drawn_by_the_rule_of_randomnas():
    """Two different inputs uniformly, operations independent of them and each other."""
    archs = drawn(DARTS, 4000)
    for node, cells in ((5, 0), (4, 1)):
        own = [[t for t in DARTS.terms(a)[cells] if t.node == node] for a in archs]
        pairs = Counter(tuple(term.source for term in terms) for terms in own)
        assert set(pairs) == set(DARTS.pairs[node])
        expected = len(archs) / len(pairs)
        assert all(abs(n - expected) < 5 * expected**0.5 for n in pairs.values())
        ops = Counter(tuple(term.op for term in terms) for terms in own)
        assert len(ops) == 49 and max(ops.values()) < 4000 / 49 + 5 * (4000 / 49) ** 0.5


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_genotype_is_read_and_written(name):
    text, _ = PUBLISHED[name]
    arch = DARTS.encode(text)
    told = DARTS.decode(arch)
    assert DARTS.encode(told) == arch == DARTS.parse(DARTS.code(arch))
    assert DARTS.encode(told.replace(", ", ",\n  ")) == arch
    if name == "V2":
        assert told.startswith("Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ")
        assert told.endswith(
            "('max_pool_3x3', 1), ('skip_connect', 2)], reduce_concat=[2, 3, 4, 5])"
        )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("('sep_conv_3x3', 1), ('skip_connect', 0)", "('sep_conv_3x3', 0), ('skip_connect', 0)",
         "normal cell, node 4: reads 0 twice"),
        ("('dil_conv_3x3', 2)", "('dil_conv_3x3', 5)", "node 5: it can read 0..4, got 5"),
        ("('dil_conv_3x3', 2)", "('dil_conv_3x3', True)", "node 5: it can read 0..4, got True"),
        ("('dil_conv_3x3', 2)", "('none', 2)", "normal cell, node 5: 'none' is no operation"),
        ("('dil_conv_3x3', 2)", "'dil_conv_3x3'", "normal cell, node 5: expected .opera"),
        ("('dil_conv_3x3', 2)", "", "normal cell: expected 8 terms"),
        ("reduce=[('max_pool_3x3', 0), ", "reduce=[('conv_7x1_1x7', 0), ",
         "reduce cell, node 2: 'conv_7x1_1x7' is no operation"),
        ("reduce_concat=[2, 3, 4, 5]", "reduce_concat=[4, 5]", "reduce cell: reduce_concat must"),
        ("reduce_concat=[2, 3, 4, 5]", "reduce_concat=range(2, 7)", "reduce cell: .*range"),
        ("reduce_concat=[2, 3, 4, 5]", "reduce_concat=range(10**9)", "cannot read .*malformed"),
        (", reduce_concat=[2, 3, 4, 5]", "", "a genotype has the fields .* got normal, normal_con"),
        ("Genotype(", "Genotype([], ", "cannot read .*named fields"),
        ("Genotype(", "print(", "it is no call of Genotype"),
        ("[2, 3, 4, 5])", "__import__('os').sep)", "cannot read"),
        ("[2, 3, 4, 5])", "[2, 3, 4, 5]", "cannot read"),
    ],
)  # fmt: skip
def test_what_is_no_architecture_is_refused_by_cell_and_node(old, new, message):
    assert old in V2
    with pytest.raises(ValueError, match=message):
        DARTS.encode(V2.replace(old, new))


def test_other_peoples_spaces_are_refused():
    five = V2.replace("normal=[", "normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ")
    with pytest.raises(ValueError, match=r"normal cell: expected 8 terms .* 4 nodes"):
        DARTS.encode(five)  # as NASNet's and AmoebaNet's cells
    with pytest.raises(ValueError, match="an architecture of darts has 22 operations"):
        DARTS.validate((0,) * 21)
    with pytest.raises(ValueError, match=r"operation 3 .*normal/3/inputs.* not in 0..2 .0\+1"):
        DARTS.validate((0, 0, 3, *(0,) * 19))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"ops": ("sep_conv_7x7",)}, "ops must be different names out of"),
        ({"ops": ("none",)}, "ops must be"),
        ({"ops": ("skip_connect", "skip_connect")}, "ops must be"),
        ({"size": 18}, "size must be a multiple of 4 from 8 on"),
        ({"size": 224 - 4, "stem": "imagenet"}, "size must be a multiple of 32"),
        ({"channels": 5}, "channels must be even"),
        ({"layers": 2}, "layers must be a whole number from 3"),
        ({"drop_path": 1.0}, "drop_path must be a finite number from 0 to 0.99"),
    ],
)
def test_fields_that_make_no_network_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        replace(DARTS, **fields)


# --- published numbers of parameters ---


def test_the_supernet_has_the_published_weights():
    for ops in (OPS, ("none", *OPS)):
        with torch.device("meta"):
            net = replace(DARTS, ops=ops).network("batch", None, "float32")
        assert sum(p.numel() for p in net.parameters()) == 1_930_618


@pytest.mark.parametrize("name", PUBLISHED)
def test_networks_alone_have_the_published_weights(name):
    text, params = PUBLISHED[name]
    large = replace(DARTS, channels=36, layers=20)
    arch = large.encode(text)
    assert large.params(arch) == params
    assert replace(large, auxiliary=0.4, drop_path=0.2).params(arch) == params  # as they count


def test_the_imagenet_network_has_the_published_weights():
    fields = {"channels": 48, "layers": 14, "size": 224, "stem": "imagenet", "classes_out": 1000}
    large = replace(DARTS, **fields)
    assert large.params(large.encode(V2)) == 4_718_752


@pytest.mark.parametrize("space", [DARTS, MINI, NONE], ids=["darts", "mini", "none"])
def test_costs_add_up_to_those_of_the_network(space):
    for arch in drawn(space, 4):
        assert (space.params(arch), space.flops(arch)) == alone_cost(space, space.canonical(arch))


# --- options and their weights ---


def test_a_skip_has_weights_where_it_halves_the_image():
    skip, sep = DARTS.ops.index("skip_connect"), DARTS.ops.index("sep_conv_3x3")
    at = {position.name: place for place, position in enumerate(DARTS.positions)}
    assert DARTS.weights(at["normal/5/first"], skip) == 0
    # Reduction cells have 32 and 64 channels: C * C weights where input 0 or 1 is read.
    halving = 32 * 32 + 64 * 64
    assert DARTS.weights(at["reduce/2/second"], skip) == halving
    assert DARTS.weights(at["reduce/5/first"], skip) == halving * 7 / 10  # of pairs (0, .), (1, .)
    assert DARTS.weights(at["reduce/5/second"], skip) == halving * 1 / 10  # only (0, 1)
    counted = 2 * sum(2 * (9 * c + c * c) for c in (16, 32, 64))  # two cells of each width
    assert DARTS.weights(at["normal/4/first"], sep) == counted
    assert DARTS.weights(at["normal/4/inputs"], 0) == 0
    assert not any(DARTS.weights(at["normal/2/first"], DARTS.ops.index(op)) for op in OPS[:2])


def test_level_and_depth_by_hand():
    arch = DARTS.encode(V2)
    # Normal: 5 separable and 1 dilated convolution; its skips read 0 and stay free. Reduction:
    # every skip reads node 2, at stride 1.
    assert DARTS.level(arch) == 6
    assert DARTS.depth(arch) == 2  # node 2, then node 5's dilated one; nothing in the reduction
    other = DARTS.encode(V2.replace("reduce=[('max_pool_3x3', 0)", "reduce=[('skip_connect', 0)"))
    assert (DARTS.level(other), DARTS.depth(other)) == (7, 3)


def test_what_is_owned_is_the_op_on_the_edge_that_the_inputs_name():
    net = MINI.build()
    at = {position.name: place for place, position in enumerate(MINI.positions)}
    sep = MINI.ops.index("sep_conv_3x3")
    arch = [sep if position.table else 0 for position in MINI.positions]
    for option, pair in enumerate(MINI.pairs[3]):
        arch[at["normal/3/inputs"]] = option
        owned = net.owned(tuple(arch))
        (own,) = [w for place, _, w, _ in owned if place == at["normal/3/second"]]
        module = net.cells[0].ops[f"3_{pair[1]}_{sep}"]  # the only normal cell
        assert list(map(id, own)) == list(map(id, matrices(module)))
        assert all(MINI.positions[place].table for place, *_ in owned)  # no inputs position
        assert len(owned) == 3 * 4  # terms of a normal and two reduction cells


# --- the network ---


def reference(net, x, arch):
    """The path of `arch` by the published text, cell by cell, without `plan` and `terms`."""
    space = net.space
    fields = eval(space.decode(arch), {"Genotype": dict})
    a = b = net.stems[0](x)
    for k, cell in enumerate(net.cells):
        kind = "reduce" if k in (space.layers // 3, 2 * space.layers // 3) else "normal"
        states, terms = [cell.first(a), cell.second(b)], iter(fields[kind])
        for node in range(2, space.nodes + 2):
            total = 0
            for name, source in (next(terms), next(terms)):
                module = cell.ops[f"{node}_{source}_{space.ops.index(name)}"]
                assert isinstance(module, nn.Identity) == (
                    name == "skip_connect" and (kind == "normal" or source > 1)
                )
                total = total + module(states[source])
            states.append(total)
        a, b = b, torch.cat(states[2:], 1)
    return net.head(b.mean((2, 3)))


@pytest.mark.parametrize("alone", [False, True])
def test_a_path_is_the_published_network(alone):
    for arch in drawn(MINI, 4):
        net, x = MINI.build(0, arch if alone else None), images(MINI)
        assert torch.allclose(net(x, arch), reference(net, x, arch), atol=1e-6)


def test_where_the_cells_stand():
    layout = DartsNet.layout(replace(DARTS, channels=36, layers=20))  # published, retraining
    assert [k for k, layer in enumerate(layout) if layer.kind == "reduce"] == [6, 13]
    assert [layer.channels for layer in layout[::6]] == [36, 72, 72, 144]
    assert [layout[k].side for k in (6, 7, 13, 19)] == [32, 16, 16, 8]
    assert [k for k, layer in enumerate(layout) if layer.halved] == [7, 14]
    large = DartsNet.layout(replace(DARTS, size=224, stem="imagenet"))
    assert (large[0].side, large[0].halved, large[-1].side) == (28, True, 7)


def test_supernet_and_network_alone_differ_as_published():
    arch = MINI.encode(
        "Genotype(normal=[('max_pool_3x3', 0), ('avg_pool_3x3', 1), ('sep_conv_3x3', 0), "
        "('dil_conv_5x5', 2)], normal_concat=[2, 3], reduce=[('avg_pool_3x3', 0), "
        "('skip_connect', 1), ('sep_conv_5x5', 0), ('skip_connect', 2)], reduce_concat=[2, 3])"
    )
    net, alone = MINI.build(), MINI.build(0, arch)
    for which, module in (("supernet", net), ("alone", alone)):
        pools = [
            (cell.ops[name], name)
            for cell in module.cells
            for name in cell.ops
            if MINI.ops[int(name[-1])].endswith("pool_3x3")
        ]
        has_norm = {any(isinstance(m, nn.BatchNorm2d) for m in pool.modules()) for pool, _ in pools}
        assert has_norm == {which == "supernet"}
        affine = {
            norm.affine for cell in module.cells for norm in cell.modules()
            if isinstance(norm, nn.BatchNorm2d)
        }  # fmt: skip
        assert affine == {which == "alone"}
        assert module.stems[0][1].affine
    assert sum(len(cell.ops) for cell in alone.cells) == 3 * 4
    assert all("auxiliary" not in name and "aside" not in name for name in alone.state_dict())


@pytest.mark.parametrize(("space", "n"), [(MINI, 5), (NONE, 30)], ids=["mini", "none"])
def test_gradients_reach_what_is_owned_and_nothing_else_of_the_operations(space, n):
    """Beside 'none' the last cell may read past the one before it, which then takes no part."""
    net = space.build()
    for arch in drawn(space, n, seed=3):
        net.zero_grad(set_to_none=True)
        net(images(space), arch).square().mean().backward()
        owned = {id(w) for _, _, weights, live in net.owned(arch) if live for w in weights}
        for cell in net.cells:
            for parameter in cell.ops.parameters():
                assert (parameter.grad is not None) == (id(parameter) in owned)


def test_parts_add_up_to_all_weights():
    net = MINI.build()
    parts, every = net.parts(), range(len(list(net.parameters())))
    named = ["fixed", *(op for op in MINI.ops if "pool" not in op)]
    assert sorted(k for name in named for k in parts[name]) == list(every)
    assert set(parts) - set(named) == {
        f"position {k}" for k, position in enumerate(MINI.positions) if position.table
    }


# --- with 'none' ---


def test_what_none_cuts_off_is_the_same_function():
    net, x = NONE.build(), images(NONE)
    archs = drawn(NONE, 150, seed=5)
    for arch in archs:
        same = NONE.canonical(arch)
        assert NONE.canonical(same) == same and NONE.plan(same) is not None
        assert torch.equal(net(x, arch), net(x, same))
        assert (NONE.level(arch), NONE.params(arch)) == (NONE.level(same), NONE.params(same))
    assert 20 < sum(NONE.canonical(arch) != arch for arch in archs) < 150


def test_dead_ends_by_hand():
    arch = NONE.encode(
        "Genotype(normal=[('none', 0), ('none', 1), ('sep_conv_3x3', 2), ('sep_conv_3x3', 1)], "
        "normal_concat=[2, 3], reduce=[('none', 0), ('skip_connect', 1), ('none', 2), "
        "('skip_connect', 1)], reduce_concat=[2, 3])"
    )
    live = {p.name for p, on in zip(NONE.positions, NONE.live(arch), strict=True) if on}
    assert live == {
        "normal/3/inputs", "normal/3/first", "reduce/2/second", "reduce/3/inputs", "reduce/3/first",
    }  # fmt: skip
    assert NONE.decode(NONE.canonical(arch)) == (
        "Genotype(normal=[('none', 0), ('none', 1), ('none', 0), ('sep_conv_3x3', 1)], "
        "normal_concat=[2, 3], reduce=[('none', 0), ('skip_connect', 1), ('none', 0), "
        "('skip_connect', 1)], reduce_concat=[2, 3])"
    )
    net = NONE.build()
    dead = [live for place, *_, live in net.owned(arch) if NONE.positions[place].name[0] == "n"]
    assert sorted(dead) == [False, True]
    constant = (0,) * len(NONE.positions)
    logits = net(images(NONE), constant)
    assert torch.equal(logits[0], logits[1])


# --- alone, in training ---


def test_paths_are_dropped_by_image_and_keep_their_mean():
    x = torch.ones(4000, 2, 3, 3)
    y = drop_path(x, 0.2, torch.Generator().manual_seed(0))
    kept = y[:, 0, 0, 0] != 0
    assert torch.equal(y, kept[:, None, None, None] * torch.full_like(x, 1.25))
    assert float(kept.float().mean()) == pytest.approx(0.8, abs=0.03)


def test_nothing_is_dropped_from_identities_in_a_supernet_or_when_scoring():
    fields = {"channels": 4, "ops": ("skip_connect", "sep_conv_3x3")}
    space = replace(MINI, drop_path=0.5, **fields)
    convs = space.encode(
        "Genotype(normal=[('sep_conv_3x3', 0), ('skip_connect', 1), ('skip_connect', 0), "
        "('skip_connect', 2)], normal_concat=[2, 3], reduce=[('skip_connect', 0), "
        "('skip_connect', 1), ('skip_connect', 2), ('sep_conv_3x3', 1)], reduce_concat=[2, 3])"
    )
    net, rng, x = space.build(0, convs), torch.Generator().manual_seed(0), images(space)
    plain = net(x)
    assert torch.equal(plain, replace(space, drop_path=0.0).build(0, convs)(x))
    net.schedule(0.5, rng)
    assert net.dropped == 0.25
    before = rng.get_state()
    dropped = net(x)
    assert not torch.equal(dropped, plain)
    # One convolution in the normal cell; in each reduction two halving skips and a convolution.
    other = torch.Generator()
    other.set_state(before)
    for _ in range(1 + 2 * 3):
        torch.rand(len(x), 1, 1, 1, generator=other)
    assert torch.equal(other.get_state(), rng.get_state())
    net.eval()
    assert torch.equal(net(x), plain)  # statistics of the batch, as in training
    supernet = space.build()
    supernet.schedule(0.5, rng)
    assert supernet.dropped == 0


@pytest.mark.parametrize(("size", "pool"), [(16, nn.AdaptiveAvgPool2d), (32, nn.AvgPool2d)])
def test_the_auxiliary_head_is_there_in_training_only(size, pool):
    space = replace(MINI, auxiliary=0.4, size=size)
    (arch,) = drawn(space, 1)
    net, x = space.build(0, arch), images(space)
    logits, others = net.heads(x, arch)
    ((weight, other),) = others
    assert weight == 0.4 and other.shape == logits.shape == (3, 10)
    assert torch.equal(logits, net(x)) and isinstance(net.aside.pool, pool)
    # As published: 128 channels of 1x1, 768 of 2x2, two batch norms, a linear layer.
    c = 2 * 4 * 4  # nodes, channels after two reductions
    own = c * 128 + 2 * 128 + 128 * 768 * 4 + 2 * 768 + 768 * 10 + 10
    assert sum(p.numel() for p in net.aside.parameters()) == own
    net.eval()
    assert net.heads(x, arch)[1] == []
    assert space.build().heads(x, arch)[1] == [] and space.build().aside is None


def test_every_method_can_be_built_on_it_but_what_lists_it():
    for name, method in samplers.METHODS.items():
        if name in ("balanced", "sbs", "density-aware"):
            with pytest.raises(ValueError, match="too many to list"):
                method.paths.build(DARTS, 4)
            with pytest.raises(
                ValueError, match=r"and darts has [\d,]+, too many to list: use a me"
            ):
                TrainConfig(method, space=DARTS)
        elif name != "yoked PA":
            paths = method.paths.build(DARTS, 4)
            paths.new_epoch(3)
            group = paths.draw(torch.Generator().manual_seed(0))
            assert [DARTS.validate(arch) for arch in group] == list(group)
            # Fair over operations; ten pairs of inputs do not count.
            groups = {"sandwich": 4, "NSAS": 3, "FairNAS": 7, "SUMNAS": 7}
            assert len(group) == groups.get(name.split()[0], 1)
            if name != "sandwich":  # whose weights need the number of those that let a signal by
                assert paths.weight(group[0]) > 0


def test_inputs_stay_uniform_whatever_is_learned():
    paths, net = samplers.GradNormPaths(MINI, 4), MINI.build()
    rng = torch.Generator().manual_seed(0)
    for epoch in range(4):
        paths.new_epoch(epoch)
        for _ in range(5):
            net.zero_grad(set_to_none=True)
            (arch,) = paths.draw(rng)
            net(images(MINI), arch).square().mean().backward()
            paths.observe([arch], net, 1.0)
    at = dict(zip([p.name for p in MINI.positions], paths.entries.at, strict=True))
    inputs, ops = (paths.p[list(at[name])] for name in ("normal/3/inputs", "normal/3/first"))
    assert torch.equal(inputs, torch.full((3,), 1 / 3))
    assert float(ops.max() - ops.min()) > 0.1
