"""DA: training images drawn in proportion to a bound on their gradient norms.

PA&DA (CVPR 2023), with the score of Katharopoulos & Fleuret, "Not All Samples Are Created Equal",
ICML 2018: |softmax(z) - onehot(y)|_2, in [0, sqrt(2)]; q = delta * score / sum(scores) +
(1 - delta) * uniform, with delta = epoch / epochs, renewed once an epoch.
"""

from typing import Annotated, Literal

import torch
from torch import Tensor

from padalib.engine import checked
from padalib.engine.checked import Count, Within
from padalib.samplers.base import DataSampler


def categorical(q: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Indices int64 [size], drawn with replacement in proportion to q [n], n of any size.

    By inverse of the cumulative sum in float64: `torch.multinomial` sums in q's own precision, is
    off by percents at a million float32 weights, and ends at 2^24. Drawn on the CPU. ValueError for
    weights that are negative, not finite, or all zero.
    """
    q = q.detach().cpu().double()
    ends = q.cumsum(0)
    if not (len(q) and (q >= 0).all() and 0 < ends[-1] < torch.inf):
        raise ValueError("weights to draw by must be finite, none below 0 and not all 0")
    spots = torch.rand(size, generator=generator, dtype=torch.float64) * ends[-1]
    # Rounding can put a spot on the very end, which belongs to nobody.
    spots = spots.clamp(max=torch.nextafter(ends[-1], torch.zeros_like(ends[-1])))
    return torch.searchsorted(ends, spots, right=True)


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
        permuted: bool = False,
        interval: Count = 1,
        delta: Annotated[float, Within(0, 1)] | None = None,
    ) -> None:
        super().__init__(n, epochs)
        given = {"unseen": unseen, "first": first, "importance": importance, "permuted": permuted}
        checked.options(type(self), given | {"interval": interval, "delta": delta})
        # differs: in the released code an image that was not drawn in an epoch scores 0.
        self.unseen = unseen
        # differs: the released code draws with replacement even while q is uniform, so that its
        # first epoch is not SPOS's; 'shuffled' makes it so.
        self.first = first
        # differs: the theorem's estimator weights each loss by 1 / (N q); the released does not.
        self.importance = importance
        # A control: the same scores, each given to an image at random whenever they are renewed.
        self.permuted = permuted
        # differs: the paper renews scores once an epoch; here every so many.
        self.interval = interval
        # differs: the paper's delta grows from 0 as epoch / epochs; here it is one number.
        self.delta = delta
        self.q = torch.full((n,), 1 / n)
        self.scores = self.held = torch.zeros(n)  # `held`: those that q is made of
        self.uniform, self.shuffled = True, False

    def new_epoch(self, epoch: int) -> None:
        if epoch % self.interval == 0:
            self.held, self.shuffled = self.scores.to(self.q.device, copy=True), False
            if self.unseen == "zero":
                self.scores = torch.zeros_like(self.scores)
        scores = self.held
        delta = epoch / self.epochs if self.delta is None else self.delta
        total = scores.sum()
        if not total.isfinite():
            raise ValueError(
                f"the gradient norms of {int((~scores.isfinite()).sum())} images are not finite: "
                "training has diverged, lower lr or clip"
            )
        self.uniform = delta == 0 or not bool(total > 0)
        self.q = torch.full((self.n,), 1 / self.n)
        if not self.uniform:
            self.q = delta * scores / total + (1 - delta) * self.q
        self.forget()

    def refill(self, generator: torch.Generator) -> Tensor:
        if self.uniform and self.first == "shuffled":
            return torch.randperm(self.n, generator=generator)
        if self.permuted and not self.uniform and not self.shuffled:
            order = torch.randperm(self.n, generator=generator)
            self.q, self.held, self.shuffled = self.q[order], self.held[order], True
        return categorical(self.q, self.n, generator)

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
