"""Density-aware sampling: architectures that many others train along are drawn more rarely.

After the density-aware sampling of CVPR Findings 2026, which debiases one-shot NAS: a step on one
architecture also trains those whose gradients are alike, so sparse regions get fewer effective
updates. We know its abstract alone and no code of it, so the formula is ours, and it needs no
gradient. p is proportional to 1 / density, the density of an architecture being its mean likeness
to all of the space.

Were gradients equal weight by weight, the cosine between two of them would be the number of weights
that both architectures use over the geometric mean of their numbers. That is the likeness here.
"""

from collections import Counter

import torch
from torch import Tensor

from padalib.engine import checked
from padalib.engine.checked import NotNegative
from padalib.samplers.base import PathSampler
from padalib.spaces import Arch, Space
from padalib.spaces.base import remembered
from padalib.spaces.checking import BY_OPTION, listed


class DensityPaths(PathSampler):
    """p proportional to density ** -power; ValueError for a space that cannot be listed."""

    def __init__(self, space: Space, epochs: int, power: NotNegative = 1.0) -> None:
        super().__init__(space, epochs)
        checked.options(type(self), {"power": power})
        listed(space, f"{type(self).__name__} weighs every architecture", BY_OPTION)
        # differs: by the paper's abstract its densities are of gradients, these are of weights that
        # are shared; 0 is uniform.
        self.power = power

    def draw(self, generator: torch.Generator) -> list[Arch]:
        archs, _, ends = _chances(self.space, self.power)
        spot = torch.rand((), generator=generator, dtype=torch.float64) * ends[-1]
        found = int(torch.searchsorted(ends, spot, right=True))
        return [archs[min(found, len(archs) - 1)]]

    def weight(self, arch: Arch) -> float:
        _, p, _ = _chances(self.space, self.power)
        return 1 / (self.space.architectures * p[tuple(arch)])


@remembered
def _chances(space: Space, power: float) -> tuple[list[Arch], dict[Arch, float], Tensor]:
    """All architectures, their probabilities, and the running sums of these, float64 [A]."""
    archs = list(space)
    p = density(space, archs) ** -power
    p /= p.sum()
    return archs, dict(zip(archs, p.tolist(), strict=True)), p.cumsum(0)


def density(space: Space, archs: list[Arch]) -> Tensor:
    """Mean likeness of each architecture to all of `archs`, itself among them, float64 [A].

    Weights outside all options are used by all. Positions that share weights use them once.
    """
    with torch.device("meta"):
        net = space.network("batch", None, "float32")
    weights, columns = list(net.parameters()), {}
    owners: dict[Tensor, set] = {}
    for choice, own in net.choices().items():
        for weight in (weight for module in own for weight in module.parameters()):
            owners.setdefault(weight, set()).add(choice)
    sizes: Counter = Counter()  # of the weights that the same choices own
    for weight, choices in owners.items():
        sizes[frozenset(choices)] += weight.numel()
    most = max(len(sizes), sum(len(p.options) for p in space.positions))
    rows = torch.zeros(len(archs), 1 + most).double()
    rows[:, 0] = sum(weights[k].numel() for k in net.parts()["fixed"]) ** 0.5
    for row, arch in zip(rows, archs, strict=True):
        for place, (option, live) in enumerate(zip(arch, space.live(arch), strict=True)):
            for choices in sizes if live else ():
                if (place // space.extent, option) in choices:
                    row[columns.setdefault(choices, 1 + len(columns))] = sizes[choices] ** 0.5
    rows /= rows.norm(dim=1, keepdim=True)
    return rows @ rows.mean(0)
