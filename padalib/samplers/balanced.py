"""A control that uses no gradient: paths drawn equally often from each level of complexity.

A level is the number of options with weights that take part (`Space.level`). A level is drawn
first, each with the same probability, then one of its architectures, each with the same.
"""

import torch

from padalib.samplers.base import PathSampler
from padalib.spaces import Arch, Space
from padalib.spaces.base import remembered


class BalancedPaths(PathSampler):
    """Uniform over levels of complexity, then within; needs a space that can be listed."""

    @property
    def levels(self) -> dict[int, list[Arch]]:
        """Level -> the architectures that have it."""
        return _levels(self.space)

    def draw(self, generator: torch.Generator) -> list[Arch]:
        levels = list(self.levels.values())
        archs = levels[int(torch.randint(len(levels), (), generator=generator))]
        return [archs[int(torch.randint(len(archs), (), generator=generator))]]

    def weight(self, arch: Arch) -> float:
        size = len(self.levels[self.space.level(arch)])
        return len(self.levels) * size / len(self.space)


@remembered
def _levels(space: Space) -> dict[int, list[Arch]]:
    levels: dict[int, list[Arch]] = {}
    for arch in space:
        levels.setdefault(space.level(arch), []).append(arch)
    return dict(sorted(levels.items()))
