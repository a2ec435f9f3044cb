"""DYNAS: complex paths keep their learning rate longer, unlike paths have momentum of their own.

Jeon et al., "Subnet-Aware Dynamic Supernet Training for Neural Architecture Search", CVPR 2025. In
the released form the rate of a step is lr * (1 - t / T) ** g, where g falls linearly with the
logarithm of the path's weights, from 4 at the fewest to 1/4 at the most, and momentum is kept apart
for each option of one position.
"""

import math
from typing import ClassVar, Literal

import torch
from torch import Tensor

from padalib.engine import checked
from padalib.engine.checked import Positive, Whole
from padalib.samplers.update import Accumulate, weights_of
from padalib.spaces import Arch, Space
from padalib.spaces.base import remembered


class ByComplexity(Accumulate):
    """One path a step, at its own rate and with the momentum of its group.

    The run's cosine is not used: `lr` in the curves is the mean over the steps of an epoch. t is
    the epoch, as everywhere here, and momentum is the run's (Nesterov's in the public code).
    ValueError for an unknown option value, or several paths a step.
    """

    summed = True  # the rate and the momentum are its own, not what it follows
    replaces: ClassVar = ("lr",)
    refuses: ClassVar = {"warmup": "it sets the learning rate of every step"}

    def __init__(
        self,
        space: Space,
        epochs: int,
        fewest: Positive = 4.0,
        most: Positive = 0.25,
        momentum: Literal["apart", "shared"] = "apart",
        position: Whole | None = None,
        dead: Literal["count", "skip"] = "count",
    ) -> None:
        super().__init__(space, epochs)
        given = {"fewest": fewest, "most": most, "momentum": momentum, "position": position}
        checked.options(type(self), given | {"dead": dead})
        self.fewest, self.most, self.momentum = fewest, most, momentum
        if position is None:
            choices = (own.table and len(own.options) > 1 for own in space.positions)
            position = next((k for k, own in enumerate(choices) if own), 0)
        # differs: the public code draws the position at random once, here it is the first with a
        # choice that somebody learns, or the one that is asked for.
        self.position = checked.whole("position", position, 0, len(space.positions) - 1)
        # differs: the public code counts weights that take no part in the output, too.
        self.dead = dead
        self.buffers: dict[str, dict[int, Tensor]] = {}  # option -> parameter -> its momentum
        self.epoch, self.rates, self.steps = 0, 0.0, 0

    def new_epoch(self, epoch: int) -> None:
        self.epoch, self.rates, self.steps = epoch, 0.0, 0

    def rate(self, arch: Arch) -> float:
        """The share of the run's learning rate that a step of this path has now."""
        fixed, low, high = span(self.space)
        live = self.space.live(arch) if self.dead == "skip" else (True,) * len(arch)
        own = sum(
            self.space.weights(place, option) for place, option in enumerate(arch) if live[place]
        )
        share = 0.0
        if high > low:
            share = math.log((fixed + own) / (fixed + low)) / math.log(
                (fixed + high) / (fixed + low)
            )
        power = self.fewest + min(max(share, 0.0), 1.0) * (self.most - self.fewest)
        return (1 - self.epoch / self.epochs) ** power

    def step(self, net, optimizer, clip, archs, index, x, y, paths, data):
        if len(archs) != 1:
            raise ValueError(
                f"{type(self).__name__} has one rate a step, but this one has {len(archs)} paths: "
                "compose it with paths that are drawn one at a time"
            )
        lr = optimizer.defaults["lr"] * self.rate(archs[0])
        optimizer.param_groups[0]["lr"] = lr
        self.rates, self.steps = self.rates + lr, self.steps + 1
        if self.momentum == "shared":
            return super().step(net, optimizer, clip, archs, index, x, y, paths, data)
        held = self.buffers.setdefault(str(archs[0][self.position]), {})
        self._lend(optimizer, held)
        record = super().step(net, optimizer, clip, archs, index, x, y, paths, data)
        for k, weight in enumerate(weights_of(optimizer)):
            buffer = optimizer.state.get(weight, {}).get("momentum_buffer")
            if buffer is not None:
                held[k] = buffer
        return record

    def _lend(self, optimizer: torch.optim.Optimizer, held: dict[int, Tensor]) -> None:
        """Give the optimiser the momentum of one group, and nothing else."""
        for k, weight in enumerate(weights_of(optimizer)):
            if k in held:
                optimizer.state[weight]["momentum_buffer"] = held[k].to(weight.device)
            elif weight in optimizer.state:
                optimizer.state[weight].pop("momentum_buffer", None)

    def log(self) -> dict[str, float]:
        return {"lr": self.rates / max(1, self.steps)}


@remembered
def span(space: Space) -> tuple[int, int, int]:
    """Weights outside all options; and within them, of the smallest and the largest path."""
    with torch.device("meta"):
        net = space.network("batch", None, "float32")
    weights = list(net.parameters())
    counts = [
        [space.weights(place, option) for option in range(len(position.options))]
        for place, position in enumerate(space.positions)
    ]
    fixed = sum(weights[k].numel() for k in net.parts()["fixed"])
    return fixed, sum(map(min, counts)), sum(map(max, counts))
