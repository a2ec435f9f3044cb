"""SPOS: one path a step, each operation with equal probability, and shuffled data.

Guo et al., "Single Path One-Shot Neural Architecture Search with Uniform Sampling", ECCV 2020.
"""

import torch
from torch import Tensor

from padalib.samplers.base import DataSampler, ProductPaths


class UniformPaths(ProductPaths):
    """Every architecture with the same probability."""

    uniform = True


class Shuffled(DataSampler):
    """Every image once, in a new order, before any image comes again."""

    uniform = True

    def refill(self, generator: torch.Generator) -> Tensor:
        return torch.randperm(self.n, generator=generator)


class Bootstrap(DataSampler):
    """The control beside DA: every image with the same probability, with replacement.

    DA draws with replacement and loses the images that it does not draw; this one only that.
    """

    uniform = True

    def refill(self, generator: torch.Generator) -> Tensor:
        return torch.randint(self.n, (self.n,), generator=generator)
