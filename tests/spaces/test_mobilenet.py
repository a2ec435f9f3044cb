"""The MobileNet space: published networks to the last weight, counts, and where skips are."""

from dataclasses import replace
from itertools import product
from math import prod

import pytest
import torch

from padalib import samplers, spaces
from padalib.engine.runs import Run
from padalib.probes.agreement import AgreementConfig
from padalib.probes.cost import CostConfig
from padalib.probes.exact import ExactConfig
from padalib.probes.sampled import VarianceConfig
from padalib.ranking.scores import ScoreConfig
from padalib.spaces.base import alone_cost
from padalib.spaces.macro import MBConv
from padalib.spaces.mobilenet import MBCONVS, OPTIONS
from padalib.train import TrainConfig

SPACE = spaces.get("mobilenet")
WITHOUT = spaces.get("mobilenet6")
SMALL = replace(
    SPACE, stages=((16, 3), (24, 2)), strides=(2, 1, 1, 2, 1), width=0.25, size=16, classes_out=10
)
DIGITS = replace(
    SPACE,
    options=("mb3_k3", "mb6_k5", "skip"),
    stages=((16, 2), (24, 1)),
    strides=(1, 1, 2),
    width=0.25,
    last=64,
    stem_stride=1,
    size=16,
    in_channels=1,
    classes_out=10,
)
DEPTHS = (4, 4, 4, 4, 4, 1)


def named(text):
    """An architecture of kernel and expansion a block, stage by stage; 's' is a skip."""
    names = ["skip" if b == "s" else f"mb{b[1]}_k{b[0]}" for b in text.split()]
    return SPACE.encode("|".join(names))


# The three networks that ProxylessNAS published: stem, channels, and blocks as kernel, expansion.
PUBLISHED = {
    "GPU": (
        {"channels": 40, "first": 24, "last": 1728},
        (32, 56, 112, 128, 256, 432),
        "53 s s s 73 s s 33 76 s s 53 56 s 33 53 76 76 76 56 76",
        (7_119_848, 465_260_160),
    ),
    "Mobile": (
        {},
        (32, 40, 80, 96, 192, 320),
        "53 33 s s 73 33 53 53 76 53 53 53 56 53 53 53 76 76 73 73 76",
        (4_080_512, 320_427_584),
    ),
    "CPU": (
        {"channels": 40, "first": 24, "last": 1432},
        (32, 48, 88, 104, 216, 360),
        "36 33 33 33 36 33 33 53 36 s s 33 56 33 33 33 56 53 53 33 56",
        (4_361_648, 439_243_864),
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_networks(name):
    fields, channels, text, (params, multiply_adds) = PUBLISHED[name]
    space = replace(SPACE, stages=tuple(zip(channels, DEPTHS, strict=True)), **fields)
    assert space.params(named(text)) == params
    assert space.flops(named(text)) == 2 * multiply_adds
    assert alone_cost(space, named(text)) == (params, 2 * multiply_adds)


@pytest.mark.parametrize(
    ("first", "arch", "params", "multiply_adds"),
    [
        (
            32,
            (4, 0, 6, 2, 2, 1, 0, 0, 4, 4, 2, 6, 4, 2, 0, 4, 1, 5, 4, 2, 3),
            3_929_504,
            328_984_160,
        ),
        (
            24,
            (1, 0, 2, 0, 5, 0, 0, 0, 4, 2, 0, 0, 4, 4, 2, 2, 4, 3, 0, 4, 5),
            3_876_048,
            326_627_456,
        ),
    ],
)
def test_networks_that_others_retrained(first, arch, params, multiply_adds):
    space = replace(SPACE, stages=((first, 4), *SPACE.stages[1:]))
    assert (space.params(arch), space.flops(arch)) == (params, 2 * multiply_adds)


def test_an_architecture_alone_is_built_as_counted():
    arch = SMALL.encode("mb3_k3|skip|mb6_k5|mb6_k7|skip")
    net = SMALL.build(arch=arch)
    assert sum(p.numel() for p in net.parameters()) == SMALL.params(arch)
    # stem 8, fixed MBConv to 4, stages of 4 and 6, last 320; two weights a norm
    convs = 27 * 8 + (72 + 32) + (48 + 108 + 48) + (96 + 600 + 96) + (96 + 1176 + 144) + 6 * 320
    norms = 2 * (8 + (8 + 4) + (12 + 12 + 4) + (24 + 24 + 4) + (24 + 24 + 6) + 320)
    assert SMALL.params(arch) == convs + norms + 3210


def test_costs_added_up_are_those_of_the_network():
    for arch in [(0, 6, 2, 5, 0), (5, 1, 6, 3, 6), (2, 6, 6, 0, 6)]:
        assert (SMALL.params(arch), SMALL.flops(arch)) == alone_cost(SMALL, arch)


def test_counts():
    assert len(SPACE) == 6**6 * 7**15
    assert len(WITHOUT) == 6**21
    firsts = [k for k, position in enumerate(SPACE.positions) if len(position.options) == 6]
    assert firsts == [0, 4, 8, 12, 16, 20] == list(SPACE.firsts)
    assert {len(position.options) for position in WITHOUT.positions} == {6}
    assert spaces.label(replace(SPACE, options=MBCONVS)).startswith("mobilenet of mb3_k3, mb6_k3")
    with pytest.raises(ValueError, match="too many to list"):
        next(iter(SPACE))
    arch = SPACE.sample(torch.Generator().manual_seed(0))
    assert SPACE.encode(SPACE.decode(arch)) == arch == SPACE.canonical(arch)


def test_where_a_stage_skips_does_not_matter_for_the_truth():
    base, counts = named("33 " * 21), []
    for start, depth in zip(SPACE.firsts, DEPTHS, strict=True):
        own = [range(len(p.options)) for p in SPACE.positions[start : start + depth]]
        archs = [(*base[:start], *part, *base[start + depth :]) for part in product(*own)]
        counts.append(len({SPACE.truth_key(arch) for arch in archs}))
    assert prod(counts) == (6 * sum(6**k for k in range(4))) ** 5 * 6
    a = named("33 s 53 s 73 s s 36 33 s s s 33 33 33 33 33 33 s 33 33")
    b = named("33 53 s s 73 36 s s 33 s s s 33 33 33 33 33 33 33 s 33")
    assert SPACE.truth_key(a) == SPACE.truth_key(b) != SPACE.truth_key(named("33 " * 21))
    assert SPACE.encode(SPACE.truth_key(a)) == b
    c = named("33 53 s s 73 36 s s 33 s s s 33 33 33 33 33 33 33 33 33")
    assert SPACE.truth_key(c) != SPACE.truth_key(a)


def test_networks_of_one_truth_key_are_one_function_alone():
    a, b = (SMALL.encode(f"mb3_k3|{two}|mb3_k3|skip") for two in ("skip|mb3_k5", "mb3_k5|skip"))
    assert SMALL.truth_key(a) == SMALL.truth_key(b)
    one, other = SMALL.build(1, a).eval(), SMALL.build(2, b).eval()
    for own, theirs in zip(one.parameters(), other.parameters(), strict=True):
        theirs.data.copy_(own)
    x = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(one(x), other(x))
    assert SMALL.canonical(a) != SMALL.canonical(b)  # in a supernet other weights


def test_skips_have_no_weights_and_the_rest_does():
    assert SPACE.weights(1, 6) == 0 and SPACE.level(named("33 " + "s s s 33 " * 5)) == 6
    # kernel 7, expansion 6, 16 channels to 32
    assert SPACE.weights(0, 5) == 96 * (16 + 49 + 32)
    assert all(WITHOUT.weights(place, option) for place in (0, 1, 20) for option in range(6))


def test_shortcuts_stand_where_the_shape_stays():
    net = SMALL.build()
    kept = [net.blocks[place]["0"].shortcut for place in range(5)]
    assert kept == [False, True, True, False, True]
    fixed = net.stem[-1]
    assert isinstance(fixed, MBConv) and not fixed.shortcut and not hasattr(fixed, "expand")


def test_a_block_by_hand():
    space = replace(SMALL, stages=((4, 2),), strides=(1, 1), width=1.0, first=4)
    block = space.build(arch=(0, 0)).blocks[1]["0"].eval()
    x = 9 * torch.randn(5, 4, 6, 6, generator=torch.Generator().manual_seed(0))

    def norm(y):
        return (y - y.mean((0, 2, 3), keepdim=True)) / (
            y.var((0, 2, 3), keepdim=True, correction=0) + 1e-5
        ).sqrt()

    y = torch.einsum("bchw,dc->bdhw", x, block.expand.weight[..., 0, 0])
    y = norm(y).clamp(0, 6)
    y = torch.nn.functional.conv2d(y, block.depth.weight, padding=1, groups=12)
    y = torch.einsum("bchw,dc->bdhw", norm(y).clamp(0, 6), block.project.weight[..., 0, 0])
    torch.testing.assert_close(block(x), x + norm(y))


def test_the_shared_p_is_renormalised_where_skip_is_missing():
    paths = samplers.GradNormPaths(SPACE, epochs=4)
    assert paths.entries.names == OPTIONS and paths.entries.partial
    paths.scores, paths.counts = torch.arange(1.0, 8.0), [1] * 7
    paths.new_epoch(3)
    generator = torch.Generator().manual_seed(0)
    drawn = [paths.draw(generator)[0] for _ in range(2000)]
    p = paths.p / paths.p.sum()
    for place in (0, 1, 20):
        options = len(SPACE.positions[place].options)
        seen = torch.bincount(torch.tensor([arch[place] for arch in drawn]), minlength=options)
        assert torch.allclose(seen / 2000, p[:options] / p[:options].sum(), atol=0.04)
    arch = drawn[0]
    chance = 1.0
    for place, option in enumerate(arch):
        own = p[: len(SPACE.positions[place].options)]
        chance *= float(own[option] / own.sum())
    assert paths.weight(arch) == pytest.approx(1 / len(SPACE) / chance, rel=1e-3)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"options": (*OPTIONS, "mb9_k3")}, "options must be some of mb3_k3"),
        ({"options": ("skip",)}, "not the skip alone"),
        ({"strides": (2, 1)}, "one for each of the 5 blocks of the stages"),
        ({"strides": (2, 1, 2, 2, 1)}, r"2 only for the first of a stage \(blocks 0, 3\)"),
        ({"stages": ((16, 0),)}, "stages must be a tuple of"),
        ({"width": 0.0}, "width must be a finite number above 0"),
    ],
)
def test_fields_that_make_no_network_are_refused(fields, words):
    with pytest.raises(ValueError, match=words):
        replace(SMALL, **fields)


def config(method, **fields):
    return TrainConfig(method, space=DIGITS, data="digits-small", epochs=2, batch=64, **fields)


@pytest.mark.parametrize("method", samplers.METHODS)
def test_every_method_trains_and_ranks_a_small_one(method):
    yoked = {"replay": config("PA", seed=1)} if method == "yoked PA" else {}
    scores = Run(ScoreConfig(config(method, **yoked))).compute().table("scores")
    assert len(scores) == len(DIGITS) == 2 * 3 * 2 and scores.loss.between(0, 10).all()


@pytest.mark.parametrize("method", ["SPOS", "PA&DA", "size-curriculum"])
def test_every_probe_looks_at_a_small_one(method):
    train = config(method)
    probes = {
        "variance": VarianceConfig(train, paths=4),
        "exact": ExactConfig(train, images=16, batch=8, coupled=2),
        "agreement": AgreementConfig(train, images=16, batch=8, paths=8, seeds=1),
        "cost": CostConfig(train, pairs=2, paths=2),
    }
    tables = {name: Run(probe).compute().table(name) for name, probe in probes.items()}
    parts = {"all", "fixed", "mb3_k3", "mb6_k5", *(f"block {k}" for k in range(3))}
    assert set(tables["variance"].part) == parts  # a skip has none
    exact = tables["exact"].query("weights == 'importance' and batch == 1")
    fraction = exact.set_index("distribution").fraction
    assert fraction["optimum"] < fraction["best per operation"] <= fraction["uniform"] == 1


def test_a_sample_of_the_whole_space_is_scored():
    train = replace(
        config("SPOS"),
        space=replace(
            DIGITS,
            stages=((16, 10), (24, 9)),
            options=OPTIONS,
            strides=(2, *(1,) * 9, 2, *(1,) * 8),
        ),
    )
    assert len(train.space) == 6**2 * 7**17
    scores = Run(ScoreConfig(train, archs=5, images=50)).compute().table("scores")
    assert len(scores) == 5 and scores.loss.between(0, 10).all()
    with pytest.raises(
        ValueError, match=r"all architectures are scored, and .* too many to list: pass archs="
    ):
        ScoreConfig(train).check()
