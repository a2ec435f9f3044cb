"""The control beside PA: its schedule towards the parametrised operations, without any gradient.

p = delta * fixed + (1 - delta) * uniform with delta = epoch / epochs, where `fixed` is uniform over
the operations that have weights, or proportional to the square root of their number (PA's norm is
a sum over weights, so part of what PA learns is their size).
"""

from typing import Literal

import torch

from padalib.samplers.base import EdgePaths
from padalib.spaces import CellSpace


class Curriculum(EdgePaths):
    """PA's schedule with fixed scores; ValueError for an unknown `by`."""

    def __init__(self, space: CellSpace, epochs: int, by: Literal["ops", "size"] = "ops") -> None:
        super().__init__(space, epochs)
        if by not in ("ops", "size"):
            raise ValueError(f"by must be 'ops' or 'size', got {by!r}")
        kernels = [int(op[-1]) if op.startswith("nor_conv") else 0 for op in space.ops]
        fixed = torch.tensor([float(k if by == "size" else k > 0) for k in kernels])
        if not fixed.any():
            raise ValueError(f"no operation of {space.name} has weights: {space.ops}")
        self.fixed = fixed / fixed.sum()

    def new_epoch(self, epoch: int) -> None:
        delta = epoch / self.epochs
        self.p = delta * self.fixed + (1 - delta) / len(self.fixed)
