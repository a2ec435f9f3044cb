"""A space of one's own: two short classes, and every method, probe and ranking works on it."""

from dataclasses import dataclass
from functools import cached_property

import pytest
import torch
from torch import nn

from padalib import samplers
from padalib.engine.runs import Run
from padalib.probes.agreement import AgreementConfig
from padalib.probes.cost import CostConfig
from padalib.probes.exact import ExactConfig
from padalib.probes.sampled import VarianceConfig
from padalib.ranking.scores import ScoreConfig
from padalib.spaces import Norm, Position, Space, Supernet
from padalib.train import TrainConfig


@dataclass(frozen=True)
class Branches(Space):
    """A stem, then the sum of two branches of unequal choice; 'off' is without weights."""

    name: str = "branches"
    size: int = 16
    in_channels: int = 1
    classes_out: int = 10

    @cached_property
    def positions(self):
        return Position("left", ("conv3", "conv1", "off")), Position("right", ("conv3", "conv5"))

    def network(self, bn, arch, precision):
        return BranchNet(self, bn, arch, precision)


class BranchNet(Supernet):
    def __init__(self, space, bn, arch, precision):
        super().__init__(space, bn, arch, precision)
        self.stem, self.head = nn.Conv2d(1, 6, 3, 2), nn.Linear(6, 10)
        self.norm = Norm(6, **self.norm_options)
        self.branches = nn.ModuleList()
        for place, position in enumerate(space.positions):
            # A supernet has the modules of all options, an architecture alone those of its own.
            own = position.options if arch is None else [position.options[arch[place]]]
            sizes = {name: int(name[-1]) for name in own if name != "off"}
            convs = {name: nn.Conv2d(6, 6, k, padding=k // 2) for name, k in sizes.items()}
            self.branches.append(nn.ModuleDict(convs))

    def features(self, x, arch):
        x, out = self.norm(self.stem(x)).relu(), 0
        for branch, position, option in zip(self.branches, self.space.positions, arch, strict=True):
            name = position.options[option]
            out = out + (x if name == "off" else branch[name](x))
        return out.relu().mean((2, 3))

    def choices(self):
        return {
            (place, option): [self.branches[place][name]]
            for place, position in enumerate(self.space.positions)
            for option, name in enumerate(position.options)
            if name in self.branches[place]
        }


SPACE = Branches()


def config(method="SPOS", **fields):
    return TrainConfig(method, space=SPACE, data="digits-small", epochs=2, batch=64, **fields)


@pytest.mark.parametrize("method", samplers.METHODS)
def test_every_method_trains_and_ranks_it(method):
    yoked = {"replay": config("PA", seed=1)} if method == "yoked PA" else {}
    scores = Run(ScoreConfig(config(method, **yoked))).compute().table("scores")
    assert len(scores) == len(SPACE) == 6 and scores.loss.between(0, 10).all()


@pytest.mark.parametrize("method", ["SPOS", "PA&DA", "size-curriculum"])
def test_every_probe_looks_at_it(method):
    train = config(method)
    probes = {
        "variance": VarianceConfig(train, paths=4),
        "exact": ExactConfig(train, images=16, batch=8, coupled=2),
        "agreement": AgreementConfig(train, images=16, batch=8, paths=8, seeds=1),
        "cost": CostConfig(train, pairs=2, paths=2),
    }
    tables = {name: Run(probe).compute().table(name) for name, probe in probes.items()}
    parts = set(tables["variance"].part)
    assert parts == {"all", "fixed", "conv1", "conv3", "conv5", "position 0", "position 1"}
    exact = tables["exact"].query("weights == 'importance' and batch == 1")
    fraction = exact.set_index("distribution").fraction
    assert fraction["optimum"] < fraction["best per operation"] <= fraction["uniform"] == 1


def test_convolutions_in_half_precision_leave_the_head_alone():
    net, x = SPACE.build(precision="bfloat16"), torch.randn(3, 1, 16, 16)
    assert net(x, (0, 0)).dtype == torch.float32


def test_alone_it_has_its_own_weights_only():
    run = Run(ScoreConfig(config(arch=(2, 1)))).compute()
    assert len(run.table("scores")) == 1
    assert SPACE.weights(0, 0) == 9 * 36 and SPACE.weights(0, 2) == 0 and SPACE.weights(1, 1) == 900
    assert [SPACE.level(arch) for arch in SPACE] == [2, 2, 2, 2, 1, 1]
    sizes = [[9, 1, 0], [9, 25]]  # of a convolution that adds a bias
    own = {arch: [k[option] for k, option in zip(sizes, arch, strict=True)] for arch in SPACE}
    fixed = 60 + 12 + 70  # the stem, the norm and the head
    assert {arch: SPACE.params(arch) for arch in SPACE} == {
        arch: fixed + sum(36 * k + 6 for k in kernels if k) for arch, kernels in own.items()
    }
    net, x = SPACE.build(), torch.randn(3, 1, 16, 16)
    walked = zip(SPACE, net.walk(x, list(SPACE)), strict=True)
    assert all(torch.equal(logits, net(x, arch)) for arch, logits in walked)
