"""FairNAS: in each step every operation of every edge is trained exactly once.

Chu et al., "FairNAS: Rethinking Evaluation Fairness of Weight Sharing NAS", ICCV 2021: as many
paths as there are operations, drawn without replacement on each edge; their gradients are summed.
"""

from typing import Literal

import torch

from padalib.samplers.base import PathSampler
from padalib.spaces import Arch, CellSpace


class FairPaths(PathSampler):
    """A strictly fair group of |ops| paths; `redraw='epoch'` is the released code's handicap."""

    def __init__(
        self, space: CellSpace, epochs: int, redraw: Literal["step", "epoch"] = "step"
    ) -> None:
        super().__init__(space, epochs)
        if redraw not in ("step", "epoch"):
            raise ValueError(f"redraw must be 'step' or 'epoch', got {redraw!r}")
        # differs: the released PA&DA code draws one group an epoch for its FairNAS and SUMNAS
        self.redraw = redraw
        self.group = len(space.ops)
        self.held: list[Arch] = []

    def new_epoch(self, epoch: int) -> None:
        self.forget()

    def forget(self) -> None:
        self.held = []

    def draw(self, generator: torch.Generator) -> list[Arch]:
        if not self.held or self.redraw == "step":
            orders = [torch.randperm(self.group, generator=generator) for _ in self.space.edges]
            self.held = [tuple(arch) for arch in torch.stack(orders, dim=1).tolist()]
        return self.held
