"""Architectures with their truth, and what ranks them without any training."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pandas as pd

from padalib.spaces import Space

Unit = Literal["architecture", "function", "network"]  # from fine to coarse
UNITS = get_args(Unit)
CONTROLS = ("FLOPs of live options", "parameters")  # need no training, in any space
QUINTILES = 5
LEAST = (31, 5)  # architectures of a level of equal FLOPs; the second in small spaces


@dataclass(frozen=True)
class Ranked:
    """A set of architectures with their truth: what any prediction of them is held against.

    `clusters` [A] numbers the units of intervals over architectures. 'function': those that have
    the same live options, or one training in the truth, are one. 'network': those are that are the
    same network alone (`Space.alone_key`). ValueError where a code is not of the space.
    """

    space: Space
    codes: tuple[str, ...]
    true: np.ndarray  # [A] accuracy in %, trained alone
    unit: Unit = "function"

    def __post_init__(self) -> None:
        fill = object.__setattr__
        archs = [self.space.parse(code) for code in self.codes]
        fill(self, "archs", archs)
        fill(self, "flops", np.array([self.space.flops(arch) for arch in archs], float))
        fill(self, "params", np.array([self.space.params(arch) for arch in archs], float))
        fill(self, "clusters", self._clusters())
        fill(self, "level", self._level())
        levels = [self.flops[self.level == k] for k in set(self.level.tolist()) - {-1}]
        fill(self, "equal", all(np.ptp(flops) == 0 for flops in levels))  # or fifths

    def _clusters(self) -> np.ndarray:
        if self.unit == "architecture":
            return np.arange(len(self.archs))
        same = [self.space.canonical(arch) for arch in self.archs]
        key = self.space.truth_key if self.unit == "function" else self.space.alone_key
        first: dict[str, str] = {}
        names = [first.setdefault(key(arch), self.space.code(arch)) for arch in same]
        return np.unique(names, return_inverse=True)[1]

    def _level(self) -> np.ndarray:
        """[A] what counts as equal FLOPs: levels that hold enough architectures, -1 for the others.

        Of at least 31 each where such hold half of all, else of at least 5; where not even these
        hold half, fifths stand for them.
        """
        level, size = np.unique(self.flops, return_inverse=True, return_counts=True)[1:]
        for least in LEAST:
            if (held := size[level] >= least).mean() >= 0.5:
                return np.where(held, level, -1)
        return self.quintile

    def only(self, kept: np.ndarray) -> "Ranked":
        """The architectures at which `kept` [A] is True; what counts as equal FLOPs is theirs."""
        return Ranked(self.space, tuple(np.array(self.codes)[kept]), self.true[kept], self.unit)

    @property
    def free(self) -> dict[str, np.ndarray]:
        """Name -> [A] what ranks them without any training: `CONTROLS`, and what the space names.

        Without what is the same for all.
        """
        own = pd.DataFrame([self.space.predictors(arch) for arch in self.archs])
        named = {name: own[name].to_numpy(float) for name in own}
        return dict(zip(CONTROLS, (self.flops, self.params), strict=True)) | {
            name: values for name, values in named.items() if np.ptp(values) > 0
        }

    @property
    def quintile(self) -> np.ndarray:
        """[A] fifth of the FLOPs, 0 to 4; equal FLOPs fall in one."""
        ends = np.quantile(self.flops, np.arange(1, QUINTILES) / QUINTILES)
        return np.searchsorted(ends, self.flops, side="left")
