"""Path samplers that serve as instruments: what they change is the variance, or the exposure.

Nobody proposes them as training methods; those are in `padalib.samplers`.
"""

import math
from collections.abc import Sequence

import torch

from padalib.engine import checked
from padalib.engine.checked import Count
from padalib.samplers import PathSampler, UniformPaths
from padalib.spaces import Arch, Space


class UniformGroup(UniformPaths):
    """`group` independent uniform paths a step, all of them on the images of one batch.

    FairNAS's are not independent. So the part of the variance that comes from the path falls in
    proportion to their number; at equal images the steps are fewer too. ValueError for less than
    one.
    """

    def __init__(self, space: Space, epochs: int, group: Count = 2) -> None:
        super().__init__(space, epochs)
        checked.options(type(self), {"group": group})
        self.group = group

    uniform = True

    def draw(self, generator: torch.Generator) -> list[Arch]:
        found: list[Arch] = []
        for _ in range(self.group):
            found += super().draw(generator)
        return found


class FavouredPaths(PathSampler):
    """`share` of the draws from the architectures of the options `ops` alone, each as likely.

    The rest is uniform over all other architectures; where the space has no others, all draws are
    from these. With uniform paths the architectures of two operations are trained the less often
    the more operations an edge chooses from; here they are not. ValueError for a share outside
    (0, 1], and where a position has none of the options.
    """

    def __init__(
        self, space: Space, epochs: int, ops: Sequence[str] = (), share: float = 0.5
    ) -> None:
        super().__init__(space, epochs)
        if not 0 < share <= 1:
            raise ValueError(f"share must be in (0, 1], got {share}: it is that of the draws")
        next(iter(space.restricted(ops)))  # raises for names that it does not know
        self.ops, self.share = list(ops), share

    @property
    def allowed(self) -> list[list[int]]:
        """The options at each position that are among `ops`."""
        return [
            [k for k, name in enumerate(position.options) if name in self.ops]
            for position in self.space.positions
        ]

    def draw(self, generator: torch.Generator) -> list[Arch]:
        allowed = self.allowed
        alone = math.prod(map(len, allowed)) == self.space.architectures
        if alone or torch.rand((), generator=generator) < self.share:
            return [tuple(own[torch.randint(len(own), (), generator=generator)] for own in allowed)]
        while self._favoured(arch := self.space.sample(generator)):
            pass
        return [arch]

    def weight(self, arch: Arch) -> float:
        """1 / (|A| p(arch)); infinite for what is never drawn."""
        size = math.prod(map(len, self.allowed))
        others = self.space.architectures - size
        if not others:
            return 1.0
        own, share = (size, self.share) if self._favoured(arch) else (others, 1 - self.share)
        return own / share / self.space.architectures if share else math.inf

    def _favoured(self, arch: Arch) -> bool:
        return all(option in own for option, own in zip(arch, self.allowed, strict=True))
