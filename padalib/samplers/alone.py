"""One architecture trained alone: no choice of paths."""

from typing import Any

import torch

from padalib.samplers.base import PathSampler
from padalib.spaces import Arch, Space


class AlonePath(PathSampler):
    """Always the one architecture."""

    def __init__(self, space: Space, epochs: int, arch: Arch) -> None:
        super().__init__(space, epochs)
        self.arch = arch

    def draw(self, generator: torch.Generator) -> list[Arch]:
        return [self.arch]

    def restore(self, state: dict[str, Any]) -> None:
        self.arch = tuple(state["arch"])
