"""A control that uses no gradient: paths drawn equally often from each level of complexity.

A level is the number of convolutions on live edges. A level is drawn first, each with the same
probability, then one of its architectures, each with the same probability.
"""

from functools import lru_cache
from typing import Any

import torch

from padalib.samplers.base import PathSampler
from padalib.spaces import Arch, CellSpace


class BalancedPaths(PathSampler):
    """Uniform over the number of convolutions that take part; needs a space that can be listed."""

    def __init__(self, space: CellSpace, epochs: int) -> None:
        super().__init__(space, epochs)
        self.levels = _levels(space)

    def draw(self, generator: torch.Generator) -> list[Arch]:
        levels = list(self.levels.values())
        archs = levels[int(torch.randint(len(levels), (), generator=generator))]
        return [archs[int(torch.randint(len(archs), (), generator=generator))]]

    def weight(self, arch: Arch) -> float:
        size = len(self.levels[_convolutions(self.space, arch)])
        return len(self.levels) * size / len(self.space)

    def state(self) -> dict[str, Any]:
        return {k: v for k, v in super().state().items() if k != "levels"}  # the space has them


def _convolutions(space: CellSpace, arch: Arch) -> int:
    return sum(space.ops[op].startswith("nor_conv") for *_, op in space.plan(arch))


@lru_cache
def _levels(space: CellSpace) -> dict[int, list[Arch]]:
    """Number of live convolutions -> the architectures that have it."""
    levels: dict[int, list[Arch]] = {}
    for arch in space:
        levels.setdefault(_convolutions(space, arch), []).append(arch)
    return dict(sorted(levels.items()))
