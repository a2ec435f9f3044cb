"""Weight averaging: the run ends with the mean of the weights of its last part, not the last ones.

Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization", UAI 2018. The
last weights carry the noise of the last steps; their mean does not, and costs no step. In a
supernet a step trains the weights of its paths alone, so each weight is averaged over the steps in
which it was trained: an option that no path took for a while does not count twice.

It goes around any update rule, with any samplers: `compose(..., around=Averaged)`.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import torch
from torch import Tensor

from padalib.engine import checked
from padalib.engine.checked import Within
from padalib.samplers.update import UpdateRule, weights_of
from padalib.spaces import Space


class Averaged(UpdateRule):
    """`rule`, and from the share `since` of training on (whole epochs) the mean of each weight.

    `decay` 1 is the plain mean, which spans the same epochs for every weight; less makes it an
    exponential one over the steps in which a weight was trained, a plain one until it is that old.
    The means are swapped in after the last epoch, so that all that reads the end of the run sees
    them; states that are kept before have the weights as trained. A weight that was not trained
    since keeps its last value, and running statistics of batch norm are the run's last.

    ValueError for options out of bounds, and around rules that drop the gradients of a step
    (SUMNAS): what it trained cannot be told from them.
    """

    summed = True  # where those of `rule` are

    def __init__(
        self,
        space: Space,
        epochs: int,
        rule: UpdateRule,
        decay: Annotated[float, Within(0, 1)] = 1.0,
        since: Annotated[float, Within(0, 1)] = 0.8,
    ) -> None:
        super().__init__(space, epochs)
        given = checked.options(type(self), {"decay": decay, "since": since})
        if rule.clears:
            raise ValueError(
                f"{type(rule).__name__} drops the gradients of a step, which tell the weights that "
                "it has trained: leave averaging out, or use another update rule"
            )
        self.rule, self.passes, self.summed = rule, rule.passes, rule.summed
        # Of one epoch there is always something to average.
        self.begin = min(round(given["since"] * epochs), epochs - 1)
        self.decay, self.epoch = given["decay"], 0
        self.means: dict[int, Tensor] = {}  # place in `weights_of` -> mean
        self.counts: dict[int, int] = {}  # steps that are in it

    @property
    def replaces(self) -> Sequence[str]:
        return self.rule.replaces

    def new_epoch(self, epoch: int) -> None:
        self.epoch = epoch
        self.rule.new_epoch(epoch)

    def step(self, net, optimizer, *rest):
        record = self.rule.step(net, optimizer, *rest)
        if self.epoch >= self.begin:
            self._add(weights_of(optimizer))
        return record

    @torch.no_grad()
    def _add(self, weights: list[torch.nn.Parameter]) -> None:
        """Move the mean of each weight that the step has trained towards its value."""
        trained = [k for k, weight in enumerate(weights) if weight.grad is not None]
        for k in trained:
            if k not in self.means:
                self.means[k] = torch.zeros_like(weights[k])
            elif self.means[k].device != weights[k].device:  # it comes from a saved state
                self.means[k] = self.means[k].to(weights[k].device)
            self.counts[k] = self.counts.get(k, 0) + 1
        means = [self.means[k] for k in trained]
        away = torch._foreach_sub([weights[k] for k in trained], means)
        torch._foreach_mul_(away, [max(1 - self.decay, 1 / self.counts[k]) for k in trained])
        torch._foreach_add_(means, away)

    @torch.no_grad()
    def end_epoch(self, optimizer: torch.optim.Optimizer) -> None:
        self.rule.end_epoch(optimizer)
        if self.epoch == self.epochs - 1:
            weights = weights_of(optimizer)
            for k, mean in self.means.items():
                weights[k].copy_(mean)
            self.means, self.counts = {}, {}

    def log(self) -> dict[str, float]:
        return self.rule.log()

    def state(self) -> dict[str, Any]:
        return super().state() | {"rule": self.rule.state()}

    def restore(self, state: dict[str, Any]) -> None:
        self.rule.restore(state["rule"])
        super().restore({name: value for name, value in state.items() if name != "rule"})
