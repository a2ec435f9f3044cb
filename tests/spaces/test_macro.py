"""NAS-Bench-Macro: its counts and costs, what it trained, and its supernet."""

from collections import Counter
from dataclasses import replace

import pytest
import torch

from padalib import samplers, spaces
from padalib.spaces import ChainSpace, MacroSpace
from padalib.spaces.base import alone_cost

MACRO, MACRO12 = spaces.get("macro"), spaces.get("macro12")
SMALL = replace(MACRO, channels=2, size=8)
WIDTHS = [(32, 64), (64, 64), (64, 128), (128, 128), (128, 128), (128, 256), (256, 256), (256, 256)]
SIDES = [(32, 16), (16, 16), (16, 8), (8, 8), (8, 8), (8, 4), (4, 4), (4, 4)]  # in, out


def arch(digits):
    return tuple(map(int, digits))


def by_formula(one):
    """(weights, multiply-adds) of the benchmark's network, by its layer table."""
    params, adds = 3 * 32 * 9 + 64 + 256 * 1280 + 2560 + 12_810, 884_736 + 256 * 1280 * 16 + 12_800
    for option, (c, d), (big, small) in zip(one, WIDTHS, SIDES, strict=True):
        if option:
            h, k = ((3 * c, 3), (6 * c, 5))[option - 1]
            params += c * h + 2 * h + h * k * k + 2 * h + h * d + 2 * d
            adds += c * h * big**2 + h * k * k * small**2 + h * d * small**2
        elif c != d:
            params += c * d + 2 * d
            adds += c * d * small**2
    return params, adds


@pytest.mark.parametrize(
    ("digits", "params", "adds"),
    [
        ("00000000", 387_882, 7_713_280),
        ("11111111", 1_588_874, 53_246_464),
        ("22222222", 2_932_586, 105_660_928),
        ("22212202", 1_985_514, 85_164_544),
    ],
)
def test_costs_of_known_networks(digits, params, adds):
    one = arch(digits)
    assert (MACRO.params(one), MACRO.flops(one)) == (params, 2 * adds)
    assert by_formula(one) == (params, adds)
    assert alone_cost(MACRO, one) == (params, 2 * adds)  # of the network itself, counted


def test_costs_of_all():
    assert len(MACRO) == 6_561
    for one in MACRO:
        params, adds = by_formula(one)
        assert (MACRO.params(one), MACRO.flops(one)) == (params, 2 * adds)


def test_the_trained_networks_are_3969_in_classes_of_one_two_and_four():
    sizes = Counter(map(MACRO.truth_key, MACRO))
    assert Counter(sizes.values()) == {1: 2_025, 2: 1_620, 4: 324} and len(sizes) == 3_969
    assert len(MACRO.classes()) == 6_561  # of the supernet all differ
    assert len(set(map(MACRO12.truth_key, MACRO12))) == len(MACRO12) == 256
    assert MACRO.truth_key(arch("22212202")) == "22212220"
    assert MACRO.truth_key(arch("00101012")) == "00110012"  # a stage's first place stays
    assert MACRO12.truth_key((1, 0, 1, 1, 0, 0, 0, 1)) == "21221112"


def test_networks_of_one_truth_are_one_function_alone_and_two_in_the_supernet():
    one, other, x = arch("10120102"), arch("10120120"), torch.randn(2, 3, 8, 8)
    assert SMALL.truth_key(one) == SMALL.truth_key(other)
    a, b = (SMALL.build(seed=0, arch=a).eval() for a in (one, other))
    weights = list(a.parameters())
    assert [w.shape for w in weights] == [w.shape for w in b.parameters()]
    for mine, theirs in zip(b.parameters(), weights, strict=True):
        mine.data = theirs.data
    assert torch.equal(a(x), b(x))
    net = SMALL.build().eval()
    assert not torch.allclose(net(x, one), net(x, other))


def test_identity_has_weights_where_the_width_doubles():
    own = [MACRO.weights(place, 0) for place in range(8)]
    assert own == [32 * 64, 0, 64 * 128, 0, 0, 128 * 256, 0, 0]
    assert MACRO.weights(1, 1) == 64 * 192 * 2 + 192 * 9
    assert MACRO.weights(1, 2) == 64 * 384 * 2 + 384 * 25
    assert all(MACRO12.weights(place, k) for place in range(8) for k in range(2))


def test_the_projection_counts_as_weights_and_not_as_a_block():
    assert [(MACRO.level(arch(d)), MACRO.depth(arch(d))) for d in ("00000000", "01000002")] == [
        (3, 0),
        (5, 2),
    ]
    assert {MACRO.level(one) for one in MACRO} == {*range(3, 9)}
    assert Counter(map(MACRO.depth, MACRO)) == {
        k: n * 2**k for k, n in enumerate([1, 8, 28, 56, 70, 56, 28, 8, 1])
    }
    assert MACRO.predictors(arch("01000002")) == {"non-identity blocks": 2.0}


def test_names_and_the_benchmarks_own_strings():
    one = arch("01200000")
    assert MACRO.decode(one) == "identity|mb3_k3|mb6_k5|" + "|".join(["identity"] * 5)
    assert MACRO.encode(MACRO.decode(one)) == MACRO.encode("01200000") == one
    assert MACRO12.encode("21211111") == (1, 0, 1, 0, 0, 0, 0, 0)
    with pytest.raises(ValueError, match=r"cannot read 'identity' \(block 1, block 1\)"):
        MACRO12.encode("20211111")
    with pytest.raises(ValueError, match=r"options must be some of .* got \['mb9_k9'\]"):
        replace(MACRO, options=("identity", "mb9_k9"))
    assert spaces.label(replace(MACRO, channels=8)) == "macro"
    assert (MACRO.benchmark, MACRO12.benchmark) == ("macro", "macro")
    assert replace(MACRO, strides=(2, 1, 2)).benchmark is None


def test_layers_of_the_supernet():
    net, x = SMALL.build(), torch.randn(4, 3, 8, 8)
    assert net.head.in_features == 80  # 1,280 at 32 channels
    assert MACRO12.build().head.in_features == 1_280
    assert not any(norm.affine for norm in net.modules() if isinstance(norm, spaces.Norm))
    alone = SMALL.build(arch=arch("12012012"))
    assert all(norm.affine for norm in alone.modules() if isinstance(norm, spaces.Norm))
    assert sum(p.numel() for p in alone.parameters()) == SMALL.params(arch("12012012"))
    stem = net.stem(x)
    assert stem.shape == (4, 2, 8, 8) and float(stem.detach().min()) == 0  # after a ReLU
    for one in (arch("00000000"), arch("12121212")):
        assert net(x, one).shape == (4, 10)


def test_a_shortcut_where_the_shape_stays():
    net, x = SMALL.build(), torch.randn(2, 4, 4, 4)
    block = net.blocks[1]["2"]
    torch.nn.init.zeros_(block.project.weight)
    assert torch.equal(block(x), x)
    first = net.blocks[0]["2"]
    torch.nn.init.zeros_(first.project.weight)
    assert not first(torch.randn(2, 2, 8, 8)).any()
    assert first(torch.randn(2, 2, 8, 8)).shape == (2, 4, 4, 4)


def test_the_whole_space_needs_9840_block_passes():
    space = replace(SMALL, channels=1, size=8)
    net, x, passes = space.build(seed=1).eval(), torch.randn(2, 3, 8, 8), []
    archs = sorted(space)
    with torch.inference_mode():
        wanted = {one: net(x, one) for one in archs[::97]}
        for block in net.blocks:
            for module in block.values():
                module.register_forward_hook(lambda *_: passes.append(1))
        found = dict(zip(archs, net.walk(x, archs), strict=True))
    assert len(passes) == sum(3**k for k in range(1, 9)) == 9_840 < 8 * 6_561 == 52_488
    assert all(torch.equal(found[one], logits) for one, logits in wanted.items())


def test_the_schedule_keeps_identities_only_where_they_have_weights():
    paths = samplers.Curriculum(SMALL, 4)
    rows = paths.fixed.reshape(8, 3)
    for place in range(8):
        free = place not in (0, 2, 5)
        assert rows[place].tolist() == pytest.approx([0, 0.5, 0.5] if free else [1 / 3] * 3)
    size = samplers.Curriculum(MACRO, 4, by="size").fixed.reshape(8, 3)
    assert float(size[1, 2] / size[1, 1]) == pytest.approx((58_752 / 26_304) ** 0.5)
    assert float(size[1, 0]) == 0 < float(size[0, 0])


@pytest.mark.parametrize(
    ("options", "share"),
    # Of three identities one has weights: its norm counts whole, or with two zeros.
    [({}, 1), ({"parameter_free": "averaged"}, 3), ({"shared": False}, 1)],
)
def test_what_pa_gives_an_identity(options, share):
    net = SMALL.build()
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    paths = samplers.GradNormPaths(SMALL, 4, **options)
    paths.new_epoch(0)
    paths.observe([(0, 0, 1, 0, 1, 1, 1, 1)], net, 1.0)
    entry = paths.entries.at[0][0]
    norm = SMALL.weights(0, 0) ** 0.5
    assert float(paths.scores[entry]) == pytest.approx(norm / share)
    assert float(paths.scores[paths.entries.at[1][0]]) == pytest.approx(
        0 if "shared" in options else norm / share
    )
    paths.new_epoch(3)
    if paths.shared:
        assert float(paths.p.sum()) == pytest.approx(1)
    else:
        assert paths.p.reshape(8, 3).sum(1).tolist() == pytest.approx([1] * 8)


def test_it_is_a_chain_with_a_stem_and_a_neck_of_its_own():
    assert isinstance(MACRO, ChainSpace) and type(MACRO12) is MacroSpace
    plain = spaces.get("chain-mini").build()
    assert len(plain.stem) == 2 and isinstance(plain.norm, spaces.Norm)
