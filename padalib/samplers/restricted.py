"""Part of a space, uniformly: some positions choose among some of their options, or one level.

What the sub-supernets of few-shot NAS are trained with (Zhao et al., "Few-Shot Neural Architecture
Search", ICML 2021), and those of GM-NAS (Hu et al., "Generalizing Few-Shot NAS with Gradient
Matching", ICLR 2022); one level of complexity is what those of EFS-NAS (AAAI 2025) are trained
with. `ranking.several` scores by them.
"""

import math
from collections.abc import Sequence

import torch

from padalib.engine import checked
from padalib.engine.checked import Whole
from padalib.samplers.balanced import BalancedPaths
from padalib.samplers.base import PathSampler
from padalib.spaces import Arch, Space

Only = tuple[tuple[Whole, tuple[Whole, ...]], ...]


class RestrictedPaths(PathSampler):
    """Uniform over the architectures that have one of the options told at each position told.

    `only` is pairs of a position and its options: `only=((0, (3,)),)` fixes the first position to
    its fourth option. ValueError for what is not there, or named twice, or no option at all.
    """

    def __init__(self, space: Space, epochs: int, only: Only = ()) -> None:
        super().__init__(space, epochs)
        self.only = checked.options(type(self), {"only": only})["only"]
        places = [place for place, _ in self.only]
        for place, options in self.only:
            checked.whole("position", place, 0, len(space.positions) - 1)
            known = range(len(space.positions[place].options))
            if not _different(options) or not {*options} <= {*known}:
                raise ValueError(
                    f"{space.kind} {place} of {space.name} chooses among options "
                    f"0..{len(known) - 1}: name some of them, each once; got {options}"
                )
        if places and not _different(places):
            raise ValueError(f"only names a position twice: {places}; join its options in one pair")

    def draw(self, generator: torch.Generator) -> list[Arch]:
        arch = list(self.space.sample(generator))
        for place, options in self.only:
            arch[place] = options[int(torch.randint(len(options), (), generator=generator))]
        return [tuple(arch)]

    def weight(self, arch: Arch) -> float:
        """1 / (|A| p(arch)); infinite for what is never drawn."""
        share = 1.0
        for place, options in self.only:
            if arch[place] not in options:
                return math.inf
            share *= len(options) / len(self.space.positions[place].options)
        return share


class LevelPaths(BalancedPaths):
    """Uniform over the architectures of one level of `BalancedPaths` by depth.

    ValueError for a level that the space has not.
    """

    def __init__(self, space: Space, epochs: int, level: Whole = 1) -> None:
        super().__init__(space, epochs, by="depth")
        self.level = checked.options(type(self), {"level": level})["level"]
        if self.level not in super().levels:
            raise ValueError(
                f"{space.name} has levels {', '.join(map(str, super().levels))}, got {self.level}"
            )

    @property
    def levels(self) -> dict[int, list[Arch]]:
        return {self.level: super().levels[self.level]}

    def weight(self, arch: Arch) -> float:
        """1 / (|A| p(arch)); infinite for what is never drawn."""
        own = any(self.space.live(arch)) and max(1, self.space.depth(arch)) == self.level
        return len(self.levels[self.level]) / self.space.architectures if own else math.inf


def _different(values: Sequence[int]) -> bool:
    return len(values) > 0 and len(set(values)) == len(values)
