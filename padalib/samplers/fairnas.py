"""FairNAS: in each step every operation of every edge is trained exactly once.

Chu et al., "FairNAS: Rethinking Evaluation Fairness of Weight Sharing NAS", ICCV 2021: as many
paths as there are operations, drawn without replacement at each position; their gradients are
summed.
"""

from typing import Literal

import torch

from padalib.samplers.base import PathSampler
from padalib.spaces import Arch, Space


class FairPaths(PathSampler):
    """A strictly fair group of paths, as many as the longest list of options that is learned.

    Each position deals its options in random order, and deals anew when all are gone, so that a
    position of fewer options is fair over several steps. `redraw='epoch'` is the released code's
    handicap.
    """

    uniform = True

    def __init__(
        self, space: Space, epochs: int, redraw: Literal["step", "epoch"] = "step"
    ) -> None:
        super().__init__(space, epochs)
        if redraw not in ("step", "epoch"):
            raise ValueError(f"redraw must be 'step' or 'epoch', got {redraw!r}")
        # differs: the released PA&DA code draws one group an epoch for its FairNAS and SUMNAS
        self.redraw = redraw
        learned = [position for position in space.positions if position.table]
        self.group = max(len(position.options) for position in learned or space.positions)
        self.forget()

    def new_epoch(self, epoch: int) -> None:
        self.forget()

    def forget(self) -> None:
        self.held: list[Arch] = []
        self.hands: list[list[int]] = [[] for _ in self.space.positions]  # dealt, not yet used

    def draw(self, generator: torch.Generator) -> list[Arch]:
        if not self.held or self.redraw == "step":
            for hand, position in zip(self.hands, self.space.positions, strict=True):
                while len(hand) < self.group:
                    hand += torch.randperm(len(position.options), generator=generator).tolist()
            dealt = [[hand.pop(0) for _ in range(self.group)] for hand in self.hands]
            self.held = list(zip(*dealt, strict=True))
        return self.held
