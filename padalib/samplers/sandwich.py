"""The sandwich rule with in-place distillation: largest, smallest and random paths in one step.

Yu & Huang, "Universally Slimmable Networks and Improved Training Techniques", ICCV 2019. The
largest path learns from labels; the others learn from its outputs, as soft targets through which no
gradient flows. Their gradients are summed.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from padalib.engine import checked
from padalib.engine.checked import Count, Positive
from padalib.samplers.base import PathSampler
from padalib.samplers.update import Accumulate
from padalib.spaces import Arch, Space
from padalib.spaces.base import remembered


class SandwichPaths(PathSampler):
    """The largest path, the smallest, and `random` uniform ones, in this order.

    Largest and smallest have at every position an option with the most weights, or the fewest; of
    those that tie the one that leaves the most positions live, so in a cell of NAS-Bench-201 the
    smallest is all skips. Inputs that nobody learns are chosen to leave the most positions live,
    and only then by their weights. ValueError for an unknown option value, or a space none of whose
    operations lets a signal through.
    """

    def __init__(
        self,
        space: Space,
        epochs: int,
        random: Count = 2,
        smallest: Literal["least", "first"] = "least",
        connected: bool = True,
    ) -> None:
        super().__init__(space, epochs)
        given = {"random": random, "smallest": smallest, "connected": connected}
        checked.options(type(self), given)
        self.random, self.smallest = random, smallest
        # differs: paths through which no signal passes have one output for all images, which no
        # target can teach; public code draws them too.
        self.connected = connected
        self.group = 2 + random
        if connected and not any(space.live(self.ends[0])):
            raise ValueError(
                f"the largest path of {space.name}, {space.decode(self.ends[0])}, lets no signal "
                "through, and random ones may not either: give connected=False"
            )

    @property
    def ends(self) -> tuple[Arch, Arch]:
        """The largest path and the smallest."""
        largest, smallest = extreme(self.space, max), extreme(self.space, min)
        # differs: public code for NAS-Bench-201 keeps a 3x3 on the first edge of the smallest.
        return largest, largest[:1] + smallest[1:] if self.smallest == "first" else smallest

    def draw(self, generator: torch.Generator) -> list[Arch]:
        drawn = list(self.ends)
        while len(drawn) < self.group:
            arch = self.space.sample(generator)
            if not self.connected or any(self.space.live(arch)):
                drawn.append(arch)
        return drawn

    def weight(self, arch: Arch) -> float:
        """1 / (|A| p(arch)) of a path of the group; infinite for what is never drawn."""
        if self.connected:
            uniform = any(self.space.live(arch)) / connected(self.space)
        else:
            uniform = 1 / self.space.architectures
        p = (self.ends.count(arch) + self.random * uniform) / self.group
        return 1 / (self.space.architectures * p) if p else torch.inf


@remembered
def extreme(space: Space, pick: Callable) -> Arch:
    """The architecture of the most weights (`pick` is max) or the fewest (min)."""
    best = []
    for place, position in enumerate(space.positions):
        counts = [space.weights(place, option) for option in range(len(position.options))]
        best.append([option for option, count in enumerate(counts) if count == pick(counts)])
    ties = range(max(map(len, best)))
    archs = [tuple(own[min(k, len(own) - 1)] for own in best) for k in ties]

    def rank(arch: Arch) -> tuple[int, float]:
        live = space.live(arch)
        total = sum(
            space.weights(*at) for at, own in zip(enumerate(arch), live, strict=True) if own
        )
        return sum(live), total * pick(-1, 1)

    return max((_with_inputs(space, arch, rank) for arch in archs), key=rank)


def _with_inputs(space: Space, arch: Arch, rank: Callable) -> Arch:
    """`arch` with other inputs, as long as changing those of one position ranks higher."""
    while True:
        others = [
            (*arch[:place], option, *arch[place + 1 :])
            for place, position in enumerate(space.positions)
            if not position.table
            for option in range(len(position.options))
        ]
        best = max([arch, *others], key=rank)
        if best == arch:
            return arch
        arch = best


@remembered
def connected(space: Space) -> int:
    """How many architectures let a signal through."""
    return sum(any(space.live(arch)) for arch in space)


class Distil(Accumulate):
    """The first path of a step learns from labels, the others from the first one's outputs.

    With soft targets, importance weights of images reach the first path alone. ValueError for an
    unknown option value.
    """

    summed = False

    def __init__(
        self,
        space: Space,
        epochs: int,
        targets: Literal["soft", "labels"] = "soft",
        temperature: Positive = 1.0,
    ) -> None:
        super().__init__(space, epochs)
        checked.options(type(self), {"targets": targets, "temperature": temperature})
        # differs: 'labels' is the sandwich rule without distillation.
        self.targets = targets
        self.temperature = temperature  # of both outputs; the gradient keeps its size

    def objective(self, k: int, loss: Tensor, logits: Sequence[Tensor]) -> Tensor:
        if k == 0 or self.targets == "labels":
            return loss
        return soft_loss(logits[k], logits[0], self.temperature)


def soft_loss(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Kullback-Leibler divergence of softmaxed logits [B, L] from the teacher's, mean over B."""
    own, target = (z / temperature for z in (logits, teacher))
    found = F.kl_div(own.log_softmax(1), target.log_softmax(1), reduction="none", log_target=True)
    return temperature**2 * found.sum(1).mean()
