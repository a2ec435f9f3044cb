"""The instruments: several uniform paths a step, and a favoured few."""

import math
from collections import Counter
from dataclasses import replace

import pytest
import torch

from padalib import spaces
from padalib.samplers import UniformPaths, part
from padalib.study.draws import FavouredPaths, UniformGroup

SPACE = spaces.get("mini")


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def test_a_group_is_as_many_draws_of_spos():
    alone, few = UniformPaths(SPACE, 4), UniformGroup(SPACE, 4, group=3)
    one, other = rng(), rng()
    drawn = few.draw(one)
    assert few.group == len(drawn) == 3
    assert drawn == [alone.draw(other)[0] for _ in range(3)]
    assert [few.weight(arch) for arch in SPACE] == pytest.approx([1.0] * 125)
    again = UniformGroup(SPACE, 4, group=3)
    again.restore(few.state())
    assert again.draw(rng(1)) == few.draw(rng(1))


@pytest.mark.parametrize("group", [0, -1, 1.5, True])
def test_a_group_is_a_whole_number_of_paths(group):
    with pytest.raises(ValueError, match="group must be"):
        part(UniformGroup, group=group)


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_the_favoured_get_their_share_and_each_the_same(share):
    paths = FavouredPaths(SPACE, 4, ops=spaces.CONVS, share=share)
    few, n, generator = set(SPACE.restricted(spaces.CONVS)), 8000, rng()
    counts = Counter(paths.draw(generator)[0] for _ in range(n))
    for arch in SPACE:
        p = share / 8 if arch in few else (1 - share) / 117
        assert abs(counts[arch] - n * p) <= 4.5 * math.sqrt(n * p * (1 - p))
        assert paths.weight(arch) == (pytest.approx(1 / 125 / p) if p else math.inf)


def test_where_there_are_no_others_it_is_spos():
    two = replace(SPACE, ops=spaces.CONVS)
    paths, generator = FavouredPaths(two, 4, ops=spaces.CONVS, share=0.5), rng()
    counts = Counter(paths.draw(generator)[0] for _ in range(4000))
    assert len(counts) == 8 and {paths.weight(arch) for arch in two} == {1.0}
    assert min(counts.values()) > 500 - 4.5 * math.sqrt(4000 * 7 / 64)


@pytest.mark.parametrize("options", [{"share": 0.0}, {"share": 1.1}, {"ops": ("swish",)}])
def test_a_share_that_cannot_be_is_refused(options):
    with pytest.raises(ValueError, match=r"share must be in|needs one of the options"):
        FavouredPaths(SPACE, 4, **{"ops": spaces.CONVS} | options)
