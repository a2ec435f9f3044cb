"""DA: training images drawn in proportion to a bound on their gradient norms.

PA&DA (CVPR 2023), with the score of Katharopoulos & Fleuret, "Not All Samples Are Created Equal",
ICML 2018: |softmax(z) - onehot(y)|_2, in [0, sqrt(2)]; q = delta * score / sum(scores) +
(1 - delta) * uniform, with delta = epoch / epochs, renewed once an epoch.
"""

from typing import Literal

import torch
from torch import Tensor

from padalib.samplers.base import DataSampler


class GradNormData(DataSampler):
    """Importance sampling of images; defaults as in the released code.

    Raises ValueError for an unknown option value.
    """

    def __init__(
        self,
        n: int,
        epochs: int,
        unseen: Literal["zero", "keep"] = "zero",
        first: Literal["replacement", "shuffled"] = "replacement",
        importance: bool = False,
    ) -> None:
        super().__init__(n, epochs)
        if unseen not in ("zero", "keep"):
            raise ValueError(f"unseen must be 'zero' or 'keep', got {unseen!r}")
        if first not in ("replacement", "shuffled"):
            raise ValueError(f"first must be 'replacement' or 'shuffled', got {first!r}")
        # differs: in the released code an image that was not drawn in an epoch scores 0.
        self.unseen = unseen
        # differs: the released code draws with replacement even while q is uniform, so that its
        # first epoch is not SPOS's; 'shuffled' makes it so.
        self.first = first
        # differs: the theorem's estimator weights each loss by 1 / (N q); the released does not.
        self.importance = importance
        self.q = torch.full((n,), 1 / n)
        self.scores = torch.zeros(n)
        self.uniform = True

    def new_epoch(self, epoch: int) -> None:
        scores = self.scores.to(self.q.device)
        delta = epoch / self.epochs
        total = scores.sum()
        self.uniform = delta == 0 or not bool(total > 0)
        self.q = torch.full((self.n,), 1 / self.n)
        if not self.uniform:
            self.q = delta * scores / total + (1 - delta) * self.q
        self.forget()
        if self.unseen == "zero":
            self.scores = torch.zeros_like(self.scores)

    def refill(self, generator: torch.Generator) -> Tensor:
        if self.uniform and self.first == "shuffled":
            return torch.randperm(self.n, generator=generator)
        return torch.multinomial(self.q, self.n, replacement=True, generator=generator)

    def observe(self, index: Tensor, logits: Tensor, labels: Tensor) -> None:
        error = logits.float().softmax(1)
        error[torch.arange(len(labels), device=labels.device), labels] -= 1
        if self.scores.device != error.device:
            self.scores = self.scores.to(error.device)
        self.scores[index.to(error.device)] = error.norm(dim=1)

    def weights(self, index: Tensor) -> Tensor:
        return 1 / (self.n * self.q[index])

    def log(self) -> dict[str, float]:
        return {"q_effective": float(1 / (self.n * self.q.square().sum()))}
