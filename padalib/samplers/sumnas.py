"""SUMNAS: a fair group of paths, each trained a few steps from the same start, and their mean.

Ha et al., "SUMNAS: Supernet with Unbiased Meta-Features for Neural Architecture Search", ICLR 2022.
Reptile (Nichol et al., 2018): from the weights w each path takes its own steps on the batch to w',
and w moves by the mean of w' - w. No code of the authors is public; the defaults are the
re-implementation that was released with PA&DA, without its two handicaps.
"""

from typing import ClassVar, Literal

import torch
from torch import Tensor

from padalib.engine import checked
from padalib.engine.checked import Count, NotNegative, Positive
from padalib.samplers.update import Accumulate, clip_gradients, weights_of
from padalib.spaces import Space

RELEASED = {"redraw": "epoch", "momentum": "kept"}  # the two handicaps


class Reptile(Accumulate):
    """Inner steps by the run's lr (not decayed), momentum and clip; outer ones by `outer`'s cosine.

    Weights that no path of the step holds do not move. Weight decay is the outer step's alone:
    `decay`, not the run's. In the curves `grad_norm` is a mean over passes, and `clipped` the share
    of passes that were. ValueError for an unknown option value.
    """

    refuses: ClassVar = {
        "nesterov": "its inner steps have a momentum of their own",
        "weight_decay": "its outer step has a decay of its own (`decay=`)",
    }

    summed, clears, passes = False, True, 2
    replaces: ClassVar = ("clipped",)  # the loop's own is of the means

    def __init__(
        self,
        space: Space,
        epochs: int,
        inner: Count = 2,
        outer: Positive = 1.0,
        decay: NotNegative = 4e-5,
        momentum: Literal["reset", "kept"] = "reset",
        mean: Literal["all", "holders"] = "all",
    ) -> None:
        super().__init__(space, epochs)
        given = {"inner": inner, "outer": outer, "decay": decay}
        checked.options(type(self), given | {"momentum": momentum, "mean": mean})
        self.passes, self.outer, self.decay = inner, outer, decay
        # differs: in the released code the inner momentum of one path goes on into the next.
        self.momentum = momentum
        # differs: the mean over all paths moves an option by its share of the group, and what all
        # paths hold by the whole; 'holders' averages over the paths that hold a weight.
        self.mean = mean
        self.buffers: dict[int, Tensor] = {}  # the inner momentum
        self.taken, self.clipped = 0, torch.zeros(())  # passes of this epoch

    def new_epoch(self, epoch: int) -> None:
        self.taken, self.clipped = 0, torch.zeros(())

    def log(self) -> dict[str, float]:
        return {"clipped": float(self.clipped) / self.taken}

    def step(self, net, optimizer, clip, archs, index, x, y, paths, data):
        weights = weights_of(optimizer)
        start = [weight.detach().clone() for weight in weights]
        moved = [torch.zeros_like(weight) for weight in start]
        holders, records = [0] * len(weights), []
        for arch in archs:
            if self.momentum == "reset":
                self.buffers = {}
            for _ in range(self.passes):
                for weight in weights:
                    weight.grad = None
                record = self.backward(net, [arch], index, x, y, paths, data)
                norm, scale = clip_gradients(optimizer, clip)
                self.taken, self.clipped = self.taken + 1, self.clipped + (norm > clip)
                paths.observe([arch], net, scale)
                self._inner(weights, optimizer.defaults)
                records.append(torch.stack([*record, norm]))
            with torch.no_grad():
                for k, weight in enumerate(weights):
                    if weight.grad is not None:
                        moved[k] += weight - start[k]
                        holders[k] += 1
                        weight.copy_(start[k])
        cosine = optimizer.param_groups[0]["lr"] / optimizer.defaults["lr"]
        count = [max(1, own) if self.mean == "holders" else len(archs) for own in holders]
        with torch.no_grad():
            for k, weight in enumerate(weights):
                weight.grad = None
                if holders[k]:
                    towards = moved[k] / count[k] - self.decay * weight
                    weight += self.outer * cosine * towards
        if self.momentum == "reset":
            self.buffers = {}
        return torch.stack(records).mean(0).unbind()

    @torch.no_grad()
    def _inner(self, weights: list[torch.nn.Parameter], run: dict) -> None:
        """One step of plain SGD with momentum, of the weights that the path holds."""
        for k, weight in enumerate(weights):
            if weight.grad is not None:
                if k in self.buffers:
                    old = self.buffers[k].to(weight.device)
                    self.buffers[k] = run["momentum"] * old + weight.grad
                else:
                    self.buffers[k] = weight.grad.clone()
                weight -= run["lr"] * self.buffers[k]
