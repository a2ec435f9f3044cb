"""Density-aware sampling: architectures that many others train along are drawn more rarely.

The idea is that of "Debiased One-Shot NAS by density-aware sampling" (CVPR Findings 2026): a step
on one architecture also trains those whose gradients are alike, so sparse regions get fewer
effective updates. We know its abstract alone, and no code of it: the formula is ours and needs no
gradient. p is proportional to 1 / density, the density of an architecture being its mean likeness
to all of the space.

Were gradients equal weight by weight, the cosine between two of them would be the number of weights
that both architectures use over the geometric mean of their numbers. That is the likeness here.
"""

import torch
from torch import Tensor

from padalib.engine import checked
from padalib.engine.checked import NotNegative
from padalib.samplers.base import PathSampler
from padalib.spaces import Arch, Space
from padalib.spaces.base import LISTED, remembered


class DensityPaths(PathSampler):
    """p proportional to density ** -power; ValueError for a space that cannot be listed."""

    def __init__(self, space: Space, epochs: int, power: NotNegative = 1.0) -> None:
        super().__init__(space, epochs)
        checked.options(type(self), {"power": power})
        if len(space) > LISTED:
            raise ValueError(
                f"{type(self).__name__} weighs every architecture, and {space.name} has "
                f"{len(space):,}, too many to list: use a method that draws each option by itself, "
                f"such as SPOS, or a space of at most {LISTED:,}"
            )
        self.power = power  # 0 is uniform

    def draw(self, generator: torch.Generator) -> list[Arch]:
        archs, _, ends = _chances(self.space, self.power)
        spot = torch.rand((), generator=generator, dtype=torch.float64) * ends[-1]
        found = int(torch.searchsorted(ends, spot, right=True))
        return [archs[min(found, len(archs) - 1)]]

    def weight(self, arch: Arch) -> float:
        _, p, _ = _chances(self.space, self.power)
        return 1 / (len(self.space) * p[tuple(arch)])


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
    rows = torch.zeros(len(archs), 1 + sum(len(p.options) for p in space.positions)).double()
    rows[:, 0] = sum(weights[k].numel() for k in net.parts()["fixed"]) ** 0.5
    for row, arch in zip(rows, archs, strict=True):
        for place, (option, live) in enumerate(zip(arch, space.live(arch), strict=True)):
            if live and (own := space.weights(place, option)):
                key = place // space.extent, option
                row[columns.setdefault(key, 1 + len(columns))] = own**0.5
    rows /= rows.norm(dim=1, keepdim=True)
    return rows @ rows.mean(0)
