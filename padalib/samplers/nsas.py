"""NSAS: the loss of a path is joined by that of others, so that learning it does not unlearn them.

Zhang et al., "Overcoming Multi-Model Forgetting in One-Shot NAS with Diversity Maximization",
CVPR 2020. This is the public code's form for NAS-Bench-201: one path, a second, and a third that
differs from the second in every position; the step follows .2, .4 and .4 of their losses. (Its
form for DARTS adds the others' losses as numbers, through which no gradient flows: it is not here.)
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from padalib.engine import checked
from padalib.engine.checked import Positive
from padalib.samplers.base import PathSampler
from padalib.samplers.update import Accumulate
from padalib.spaces import Arch, Space


class ConstrainedPaths(PathSampler):
    """A uniform path, a second, and one that has another option in every position that has any."""

    uniform = True
    group = 3

    def draw(self, generator: torch.Generator) -> list[Arch]:
        path, second = self.space.sample(generator), self.space.sample(generator)
        third = []
        for option, position in zip(second, self.space.positions, strict=True):
            n = len(position.options)
            move = 1 + int(torch.randint(n - 1, (), generator=generator)) if n > 1 else 0
            third.append((option + move) % n)
        return [path, second, tuple(third)]


class Weighted(Accumulate):
    """The step follows the sum of `shares` of the paths' losses, one for each path of the group."""

    summed = False

    def __init__(
        self, space: Space, epochs: int, shares: Sequence[Positive] = (0.2, 0.4, 0.4)
    ) -> None:
        super().__init__(space, epochs)
        self.shares = list(checked.options(type(self), {"shares": shares})["shares"])

    def objective(self, k: int, loss: Tensor, logits: Sequence[Tensor]) -> Tensor:
        return self.shares[k] * loss

    def step(self, net, optimizer, clip, archs, *rest):
        if len(archs) != len(self.shares):
            raise ValueError(
                f"shares are of {len(self.shares)} paths, but a step has {len(archs)}: give one "
                "for each"
            )
        return super().step(net, optimizer, clip, archs, *rest)
