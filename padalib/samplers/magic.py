"""MAGIC-T: from step to step the path changes in one position only.

Xu et al., "Analyzing and Mitigating Interference in Neural Architecture Search", ICML 2022: paths
that share weights disturb each other the more, the more of their operations differ. A random walk
over the paths, which visits each equally often in the long run. (MAGIC-A, which aligns what
operations put out with those of an anchor path, is not here.)
"""

import torch

from padalib.engine import checked
from padalib.engine.checked import Count
from padalib.samplers.base import PathSampler
from padalib.spaces import Arch, Space


class WalkingPaths(PathSampler):
    """A uniform start, then `changes` positions at a time get another option, drawn uniformly.

    A position with a single option is never drawn. ValueError for more changes than positions, and
    for so many that some paths are never visited.
    """

    uniform = True

    def __init__(self, space: Space, epochs: int, changes: Count = 1) -> None:
        super().__init__(space, epochs)
        # The paper's is 1.
        self.changes = checked.whole("changes", changes, 1, max(1, len(self.free)))
        # A position of two options has no choice but to flip.
        flips = sum(len(space.positions[place].options) == 2 for place in self.free)
        even = flips == len(self.free) and not changes % 2
        if flips > 1 and (even or changes == len(self.free)):
            raise ValueError(
                f"{changes} changes a step never reach some paths of {space.name}, where "
                f"{flips} positions have two options that always swap: give an odd number below "
                f"{len(self.free)}, such as 1"
            )
        self.forget()

    @property
    def free(self) -> list[int]:
        """Positions that can change."""
        return [k for k, own in enumerate(self.space.positions) if len(own.options) > 1]

    def forget(self) -> None:
        self.last: list[int] = []

    def draw(self, generator: torch.Generator) -> list[Arch]:
        if not self.last:
            self.last = list(self.space.sample(generator))
            return [tuple(self.last)]
        order = torch.randperm(len(self.free), generator=generator)[: self.changes]
        for place in (self.free[k] for k in order.tolist()):
            n = len(self.space.positions[place].options)
            move = 1 + int(torch.randint(n - 1, (), generator=generator))
            self.last[place] = (self.last[place] + move) % n
        return [tuple(self.last)]
