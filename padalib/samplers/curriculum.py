"""The control beside PA: its schedule towards the options with weights, without any gradient.

p = delta * fixed + (1 - delta) * uniform with delta = epoch / epochs, where `fixed` is uniform over
the options that have weights ('ops'), or proportional to the square root of their number ('size':
PA's norm is a sum over weights, so part of what PA learns is their size), or to another power of
it. Where every option has weights, 'ops' is SPOS.
"""

from typing import Literal

import torch

from padalib.engine import checked
from padalib.engine.checked import NotNegative
from padalib.samplers.base import ProductPaths
from padalib.spaces import Space
from padalib.spaces.checking import unlearned


class Curriculum(ProductPaths):
    """PA's schedule with fixed scores; ValueError for an unknown `by`.

    Shared by the positions of a table as PA's are, each the mean over these; only where an option
    has weights at some of them and none at others, each position has scores of its own.
    """

    def __init__(
        self, space: Space, epochs: int, by: Literal["ops", "size"] | NotNegative = "ops"
    ) -> None:
        checked.options(type(self), {"by": by})
        power = {"ops": 0.0, "size": 0.5}.get(by, by)
        found: dict[int, list[float]] = {}
        for place, own in enumerate(space.entries().at):
            for option, entry in enumerate(own):
                learned = entry not in space.entries().uniform
                weights = space.weights(place, option) if learned else 0
                score = float(weights) ** power if weights else 0.0
                found.setdefault(entry, []).append(score)
        if not any(map(any, found.values())):
            raise ValueError(unlearned(space))
        alike = all(all(own) or not any(own) for own in found.values())
        super().__init__(space, epochs, shared=alike)
        if alike:
            scores = [sum(found[entry]) / len(found[entry]) for entry in range(len(self.p))]
        else:
            scores = [found[entry].pop(0) for own in space.entries().at for entry in own]
        self.fixed = self.normal(torch.tensor(scores, dtype=torch.float64)).float()

    def new_epoch(self, epoch: int) -> None:
        delta = epoch / self.epochs
        self.p = delta * self.fixed + (1 - delta) * self.normal(torch.ones(len(self.fixed)))
