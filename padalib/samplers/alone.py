"""One architecture trained alone: no choice of paths."""

from typing import Any

import torch

from padalib.samplers.base import PathSampler, part
from padalib.samplers.spos import Shuffled, UniformPaths
from padalib.samplers.update import Accumulate
from padalib.spaces import Arch, Space

PLAIN = UniformPaths, Shuffled, Accumulate  # of SPOS


class AlonePath(PathSampler):
    """Always the one architecture."""

    uniform = True

    def __init__(self, space: Space, epochs: int, arch: Arch) -> None:
        super().__init__(space, epochs)
        self.arch = arch

    def draw(self, generator: torch.Generator) -> list[Arch]:
        return [self.arch]

    def restore(self, state: dict[str, Any]) -> None:
        self.arch = tuple(state["arch"])


def check(config: Any) -> None:
    """ValueError for what a training config of a single architecture has no use for."""
    method, space = config.method, config.space
    if [method.paths, method.data, method.update] != [*map(part, PLAIN)]:
        raise ValueError(
            f"{method.name} draws paths or images, or steps in its own way, but an arch "
            "alone has one path and shuffled images: pass method='SPOS', or leave arch out"
        )
    if space.extent > 1:
        raise ValueError(
            f"{space.name} shares operations between edges, an architecture alone cannot: "
            "use dataclasses.replace(space, extent=1), or leave arch out"
        )
