"""The curriculum by structure: its end worked by hand, and the way there."""

from dataclasses import replace

import pytest
import torch

from padalib import spaces
from padalib.samplers.residual import ResidualPaths
from padalib.spaces import CellSpace

NB201, MACRO = spaces.get("nasbench201"), spaces.get("macro")


def end(space, **options):
    """Position -> option -> its probability at the end."""
    paths = ResidualPaths(space, 4, **options)
    return {
        position.name: {
            name: round(float(paths.fixed[entry]), 4)
            for name, entry in zip(position.options, own, strict=True)
        }
        for position, own in zip(space.positions, paths.entries.at, strict=True)
    }


def test_a_cell_ends_as_an_identity_beside_a_branch_of_convolutions():
    found = end(NB201)
    wide = 9 ** (1 / 3)  # a 3x3 has nine times the weights of a 1x1
    for name, shares in found.items():
        skip = 0.6 if name == "3<-0" else 0.2  # past all others
        assert shares == {
            "none": 0.0,
            "skip_connect": skip,
            "nor_conv_1x1": pytest.approx((1 - skip) / (1 + wide), abs=1e-4),
            "nor_conv_3x3": pytest.approx((1 - skip) * wide / (1 + wide), abs=1e-4),
            "avg_pool_3x3": 0.0,
        }
    assert NB201.shortcuts == (3,) and spaces.get("mini").shortcuts == (1,)
    assert replace(spaces.get("mini"), nodes=2).shortcuts == ()


def test_a_chain_ends_with_blocks_and_some_identities():
    """An identity has the same share where it is a projection, which has weights."""
    assert MACRO.weights(0, 0) and not MACRO.weights(1, 0) and MACRO.shortcuts == ()
    for place, shares in enumerate(end(MACRO, power=1).values()):
        small, large = (MACRO.weights(place, option) for option in (1, 2))
        assert list(shares.values()) == pytest.approx(
            [0.2, 0.8 * small / (small + large), 0.8 * large / (small + large)], abs=1e-4
        )


def test_without_identity_or_weights_the_others_have_all():
    both = replace(spaces.get("mini"), ops=("nor_conv_1x1", "nor_conv_3x3"))
    assert all(
        own == {"nor_conv_1x1": 0.5, "nor_conv_3x3": 0.5} for own in end(both, power=0).values()
    )
    for name in ("darts-mini", "nb1shot1-1", "mobilenet"):
        paths = ResidualPaths(spaces.get(name), 4)
        for table in paths.entries.tables:
            assert float(paths.fixed[list(table)].sum()) == pytest.approx(1, abs=1e-5)
    with pytest.raises(ValueError, match="no option of none has weights"):
        ResidualPaths(CellSpace("none", ops=("none", "avg_pool_3x3")), 2)
    with pytest.raises(ValueError, match="skip must be a finite number from 0 to 1, got 2"):
        ResidualPaths(NB201, 2, skip=2)


def test_it_goes_there_by_epochs_up_to_the_cap():
    paths = ResidualPaths(NB201, 10, ramp=0.5, cap=0.9)
    uniform = torch.full_like(paths.fixed, 0.2)
    for epoch, delta in ((0, 0.0), (1, 0.2), (4, 0.8), (5, 0.9), (9, 0.9)):
        paths.new_epoch(epoch)
        torch.testing.assert_close(paths.p, delta * paths.fixed + (1 - delta) * uniform)
    assert "p_3<-0/skip_connect" in paths.log()
