"""A control that uses no gradient: paths drawn equally often from each level of complexity.

A level is drawn first, each with the same probability, then one of its architectures, each with the
same. By 'count' a level is the number of options with weights that take part (`Space.level`).

By 'depth' it is that of the published strictly balanced sampling (SBS, of EFS-NAS, AAAI 2025): the
most convolutions on one way from input to output (`Space.depth`), 0 and 1 together, and
architectures without any such way are not trained.
"""

import math
from typing import Literal

import torch

from padalib.engine import checked
from padalib.samplers.base import PathSampler
from padalib.spaces import Arch, Space
from padalib.spaces.base import remembered
from padalib.spaces.checking import BY_OPTION, listed


class BalancedPaths(PathSampler):
    """Uniform over levels of complexity, then within; needs a space that can be listed.

    ValueError for another space, and for an unknown `by`.
    """

    def __init__(self, space: Space, epochs: int, by: Literal["count", "depth"] = "count") -> None:
        super().__init__(space, epochs)
        checked.options(type(self), {"by": by})
        listed(space, f"{type(self).__name__} draws from lists of each level", BY_OPTION)
        self.by = by

    @property
    def levels(self) -> dict[int, list[Arch]]:
        """Level -> the architectures that have it."""
        return _levels(self.space, self.by)

    def draw(self, generator: torch.Generator) -> list[Arch]:
        levels = list(self.levels.values())
        archs = levels[int(torch.randint(len(levels), (), generator=generator))]
        return [archs[int(torch.randint(len(archs), (), generator=generator))]]

    def weight(self, arch: Arch) -> float:
        """1 / (|A| p(arch)); infinite for what is never drawn."""
        level = _level(self.space, arch, self.by)
        if level is None:
            return math.inf
        return len(self.levels) * len(self.levels[level]) / self.space.architectures


def _level(space: Space, arch: Arch, by: str) -> int | None:
    """The level of an architecture; None where it is not trained."""
    if by == "count":
        return space.level(arch)
    return max(1, space.depth(arch)) if any(space.live(arch)) else None


@remembered
def _levels(space: Space, by: str) -> dict[int, list[Arch]]:
    levels: dict[int, list[Arch]] = {}
    for arch in space:
        if (level := _level(space, arch, by)) is not None:
            levels.setdefault(level, []).append(arch)
    return dict(sorted(levels.items()))
