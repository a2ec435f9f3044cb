"""The control beside PA: its schedule towards the options with weights, without any gradient.

p = delta * fixed + (1 - delta) * uniform with delta = epoch / epochs, where `fixed` is uniform over
the options that have weights, or proportional to the square root of their number (PA's norm is a
sum over weights, so part of what PA learns is their size). Where every option has weights, 'ops' is
SPOS.
"""

from typing import Literal

import torch

from padalib.samplers.base import ProductPaths
from padalib.spaces import Space


class Curriculum(ProductPaths):
    """PA's schedule with fixed scores; ValueError for an unknown `by`.

    An option may have weights at some positions only, or more at some: then each position has
    probabilities of its own.
    """

    def __init__(self, space: Space, epochs: int, by: Literal["ops", "size"] = "ops") -> None:
        if by not in ("ops", "size"):
            raise ValueError(f"by must be 'ops' or 'size', got {by!r}")
        scores = [
            [_score(space.weights(place, k), by) for k in range(len(position.options))]
            for place, position in enumerate(space.positions)
        ]
        if not any(map(any, scores)):
            raise ValueError(f"no option of {space.name} has weights: {space.positions[0].options}")
        shares = [[score / (sum(own) or 1) for score in own] for own in scores]
        shared, found = space.entries(), {}
        for own, at in zip(shares, shared.at, strict=True):
            for share, entry in zip(own, at, strict=True):
                found.setdefault(entry, set()).add(round(share, 9))
        alike = not shared.partial and all(len(values) == 1 for values in found.values())
        super().__init__(space, epochs, shared=alike)
        fixed = torch.zeros(len(self.entries.names), dtype=torch.float64)
        for own, at in zip(scores, self.entries.at, strict=True):
            fixed[list(at)] = torch.tensor(own, dtype=torch.float64)
        self.fixed = self.normal(fixed).float()

    def new_epoch(self, epoch: int) -> None:
        delta = epoch / self.epochs
        self.p = delta * self.fixed + (1 - delta) * self.normal(torch.ones(len(self.fixed)))


def _score(weights: int, by: str) -> float:
    return weights**0.5 if by == "size" else float(weights > 0)
