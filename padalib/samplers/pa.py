"""PA: paths drawn in proportion to the gradient norms of their operations.

PA&DA (CVPR 2023): one score per operation, shared by all positions, the mean gradient norm of its
weights where it was sampled; p = delta * score / sum(scores) + (1 - delta) * uniform, with
delta = epoch / epochs, renewed once an epoch. The defaults follow the released NAS-Bench-201 code.
"""

from typing import Annotated, Literal

import torch
from torch import Tensor

from padalib.engine import checked
from padalib.engine.checked import Count, Within
from padalib.samplers.base import ProductPaths
from padalib.spaces import Arch, Space, Supernet
from padalib.spaces.checking_net import unused


class GradNormPaths(ProductPaths):
    """Gradient-norm path sampling; each option is a place where code and theory differ.

    Raises ValueError for an unknown option value.
    """

    def __init__(
        self,
        space: Space,
        epochs: int,
        parameter_free: Literal["zero", "mean", "averaged"] = "zero",
        average: Literal["recent", "mean"] = "recent",
        norm: Literal["clipped", "raw"] = "clipped",
        size: Literal["sum", "rms"] = "sum",
        dead: Literal["zero", "skip"] = "zero",
        importance: bool = False,
        shared: bool = True,
        interval: Count = 1,
        delta: Annotated[float, Within(0, 1)] | None = None,
    ) -> None:
        # differs: the released code has one score for an operation on all edges; False: one each
        super().__init__(space, epochs, shared)
        options = {
            # differs: in the released code operations without parameters always score 0;
            # 'mean' gives them the mean score of the others. An option with weights at some
            # positions only scores by these, or, 'averaged', with 0 where it has none.
            "parameter_free": parameter_free,
            # differs: the released running mean has half weight, so it reflects the last few steps.
            "average": average,
            # differs: the released code reads norms after clipping.
            "norm": norm,
            # differs: the released norm sums over weights, so that a 3x3 has nine times a 1x1's.
            "size": size,
            # differs: in the released code an operation cut off by 'none' counts as gradient 0.
            "dead": dead,
            # differs: the paper renews scores once an epoch; here every so many.
            "interval": interval,
            # differs: the paper's delta grows from 0 as epoch / epochs; here it is one number.
            "delta": delta,
        }
        vars(self).update(checked.options(type(self), options))
        # differs: the theorem's estimator weights each step by 1 / (|A| p); the released does not.
        self.importance = importance
        self.scores = torch.zeros(len(self.p))
        self.counts = [0] * len(self.p)
        self.held = self.scores  # those that p is made of

    def new_epoch(self, epoch: int) -> None:
        if epoch % self.interval == 0:
            self.held = self.found()
            self.scores = torch.zeros_like(self.scores)
            self.counts = [0] * len(self.counts)
        self.renew(epoch / self.epochs if self.delta is None else self.delta)

    def found(self) -> Tensor:
        """The scores [T] so far, with those of options without weights."""
        scores = self.scores.to("cpu", copy=True)
        scores[list(self.entries.uniform)] = 0
        for own in map(list, self.entries.tables):
            seen = [entry for entry in own if self.counts[entry]]
            if self.parameter_free == "mean" and seen:
                free = [entry for entry in own if entry not in self._weighted]
                scores[free] = scores[seen].mean()
        return scores

    def renew(self, delta: float) -> None:
        """p from the scores that are held; where these are all 0 it stays."""
        for own in map(list, self.entries.tables):
            if self.held[own].sum() > 0:
                p = self.held[own] / self.held[own].sum()
                self.p[own] = delta * p + (1 - delta) * torch.full_like(p, 1 / len(own))

    @property
    def _weighted(self) -> set[int]:
        """Entries that have weights at some position."""
        return {
            entry
            for place, own in enumerate(self.entries.at)
            for option, entry in enumerate(own)
            if self.space.weights(place, option)
        }

    def observe(self, archs: list[Arch], net: Supernet, clip_scale: Tensor | float) -> None:
        at, found = self.entries.at, {}
        sampled = [
            (at[place][option], weights, live)
            for arch in archs
            for place, option, weights, live in net.owned(arch)
        ]
        counted = [entry for entry, *_, is_live in sampled if is_live or self.dead == "zero"]
        if self.parameter_free == "averaged":
            counted += [
                at[place][option]
                for arch in archs
                for place, option in enumerate(arch)
                if not self.space.weights(place, option) and at[place][option] in self._weighted
            ]
        live = [(entry, weights) for entry, weights, is_live in sampled if is_live]
        gradients = [weight.grad for _, weights in live for weight in weights]
        if any(gradient is None for gradient in gradients):
            raise ValueError(unused(net, archs))
        norms = iter(torch._foreach_norm(gradients) if live else [])
        for entry, weights in live:
            own = [next(norms) for _ in weights]
            norm = own[0] if len(own) == 1 else torch.stack(own).norm()
            if self.size == "rms":
                norm = norm / sum(weight.numel() for weight in weights) ** 0.5
            found.setdefault(entry, []).append(norm)
        for entry in dict.fromkeys(counted):
            value = sum(found.get(entry, [])) / counted.count(entry)
            if self.norm == "raw":
                value = value / clip_scale
            if self.importance:  # the optimum is proportional to the unweighted gradient's norm
                value = value / self.weight(archs[0])
            self._update(entry, value)

    def _update(self, entry: int, value: Tensor | float) -> None:
        count = self.counts[entry]
        keep = 0.0 if count == 0 else 0.5 if self.average == "recent" else count / (count + 1)
        if self.scores.device != getattr(value, "device", self.scores.device):
            self.scores = self.scores.to(value.device)
        self.scores[entry] = keep * self.scores[entry] + (1 - keep) * value
        self.counts[entry] += 1
