"""Part of a space: some positions choose among some of their options only, all uniformly.

What the sub-supernets of few-shot NAS are trained with (Zhao et al., "Few-Shot Neural Architecture
Search", ICML 2021), and those of GM-NAS (Hu et al., "Generalizing Few-Shot NAS with Gradient
Matching", ICLR 2022). `ranking.several` makes their runs, and scores by them.
"""

import math
from collections.abc import Sequence

import torch

from padalib.engine import checked
from padalib.engine.checked import Whole
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


def _different(values: Sequence[int]) -> bool:
    return len(values) > 0 and len(set(values)) == len(values)
