"""PA renewed after every step instead of once an epoch: p is made of the scores so far.

PA&DA (CVPR 2023) renews p once an epoch (`pa`). Here the running means are never restarted, so a
score is half of the last step that drew its operation. What is recorded for an epoch is the mean
of the p that it drew by: who replays it has the schedule, and none of what happens within epochs.
"""

import torch
from torch import Tensor

from padalib.samplers.pa import GradNormPaths
from padalib.spaces import Arch, Space, Supernet


class SteppedPaths(GradNormPaths):
    """`GradNormPaths`, as released but for when p is renewed."""

    def __init__(self, space: Space, epochs: int) -> None:
        super().__init__(space, epochs)
        self.now = 0.0  # delta
        self.drawn, self.steps = torch.zeros_like(self.p), 0  # sum of p over the epoch's steps

    def new_epoch(self, epoch: int) -> None:
        self.now = epoch / self.epochs
        self.renew(self.now)
        self.drawn, self.steps = torch.zeros_like(self.p), 0

    def draw(self, generator: torch.Generator) -> list[Arch]:
        self.drawn, self.steps = self.drawn + self.p, self.steps + 1
        return super().draw(generator)

    def observe(self, archs: list[Arch], net: Supernet, clip_scale: Tensor | float) -> None:
        super().observe(archs, net, clip_scale)
        self.held = self.found()
        self.renew(self.now)

    def log(self) -> dict[str, float]:
        """The mean p of the epoch; before it has drawn, p."""
        mean = self.drawn / self.steps if self.steps else self.p
        return {f"p_{name}": p for name, p in zip(self.entries.names, mean.tolist(), strict=True)}
