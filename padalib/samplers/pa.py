"""PA: paths drawn in proportion to the gradient norms of their operations.

PA&DA (CVPR 2023): one score per operation, shared by all edges, the mean gradient norm of its
weights where it was sampled; p = delta * score / sum(scores) + (1 - delta) * uniform, with
delta = epoch / epochs, renewed once an epoch. The defaults follow the released NAS-Bench-201 code.
"""

from typing import Literal

import torch
from torch import Tensor

from padalib.samplers.base import EdgePaths
from padalib.spaces import Arch, CellSpace, Supernet


class GradNormPaths(EdgePaths):
    """Gradient-norm path sampling; each option is a place where code and theory differ.

    Raises ValueError for an unknown option value.
    """

    def __init__(
        self,
        space: CellSpace,
        epochs: int,
        parameter_free: Literal["zero", "mean"] = "zero",
        average: Literal["recent", "mean"] = "recent",
        norm: Literal["clipped", "raw"] = "clipped",
        size: Literal["sum", "rms"] = "sum",
        dead: Literal["zero", "skip"] = "zero",
        importance: bool = False,
    ) -> None:
        super().__init__(space, epochs)
        options = {
            # differs: in the released code operations without parameters always score 0;
            # 'mean' gives them the mean score of the others.
            "parameter_free": (parameter_free, ("zero", "mean")),
            # differs: the released running mean has half weight, so it reflects the last few steps.
            "average": (average, ("recent", "mean")),
            # differs: the released code reads norms after clipping.
            "norm": (norm, ("clipped", "raw")),
            # differs: the released norm sums over weights, so that a 3x3 has nine times a 1x1's.
            "size": (size, ("sum", "rms")),
            # differs: in the released code an operation cut off by 'none' counts as gradient 0.
            "dead": (dead, ("zero", "skip")),
        }
        for name, (value, allowed) in options.items():
            if value not in allowed:
                raise ValueError(f"{name} must be one of {allowed}, got {value!r}")
            setattr(self, name, value)
        # differs: the theorem's estimator weights each step by 1 / (|A| p); the released does not.
        self.importance = importance
        self.scores = torch.zeros(len(space.ops))
        self.counts = [0] * len(space.ops)

    def new_epoch(self, epoch: int) -> None:
        scores = self.scores.cpu()
        seen = [op for op, count in enumerate(self.counts) if count]
        if self.parameter_free == "mean" and seen:
            for op, name in enumerate(self.space.ops):
                if not name.startswith("nor_conv"):
                    scores[op] = scores[seen].mean()
        uniform = torch.full_like(self.p, 1 / len(self.p))
        delta = epoch / self.epochs
        if scores.sum() > 0:
            self.p = delta * scores / scores.sum() + (1 - delta) * uniform
        self.scores = torch.zeros_like(self.scores)
        self.counts = [0] * len(self.counts)

    def observe(self, archs: list[Arch], net: Supernet, clip_scale: Tensor | float) -> None:
        sampled = [entry for arch in archs for entry in net.op_weights(arch)]
        live = [(op, weight) for op, weight, is_live in sampled if is_live]
        norms = torch._foreach_norm([weight.grad for _, weight in live]) if live else []
        found: dict[int, list[Tensor]] = {}
        for (op, weight), norm in zip(live, norms, strict=True):
            found.setdefault(op, []).append(
                norm if self.size == "sum" else norm / weight.numel() ** 0.5
            )
        named = [op for op, *_ in sampled]
        for op in dict.fromkeys(named):
            if op not in found and self.dead == "skip":
                continue
            total = sum(found.get(op, []))
            value = total / (named.count(op) if self.dead == "zero" else len(found[op]))
            if self.norm == "raw":
                value = value / clip_scale
            if self.importance:  # the optimum is proportional to the unweighted gradient's norm
                value = value / self.weight(archs[0])
            self._update(op, value)

    def _update(self, op: int, value: Tensor | float) -> None:
        count = self.counts[op]
        keep = 0.0 if count == 0 else 0.5 if self.average == "recent" else count / (count + 1)
        if self.scores.device != getattr(value, "device", self.scores.device):
            self.scores = self.scores.to(value.device)
        self.scores[op] = keep * self.scores[op] + (1 - keep) * value
        self.counts[op] += 1
