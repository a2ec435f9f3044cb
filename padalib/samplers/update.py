"""Update rules: how the paths and the batch of a step become one optimiser step.

A method that trains in another way has an update rule of its own: it weights or replaces the loss
of a path (`Accumulate.objective`), or takes the whole step (`UpdateRule.step`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from itertools import chain
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from padalib.samplers import checking
from padalib.samplers.base import DataSampler, PathSampler
from padalib.spaces import Arch, Space, Supernet


def check(config: Any, paths: PathSampler, data: DataSampler) -> None:
    """ValueError for what a training config asks and its update rule would not go by, or wrongly.

    Fields that the rule does not know, and weights of steps that are drawn otherwise.
    """
    checking.weighted(paths, data)
    rules = [part.cls for part in (config.method.update, config.method.around) if part]
    usual = {own.name: own.default for own in fields(config)}
    for name, why in chain(*(getattr(rule, "refuses", {}).items() for rule in rules)):
        value = getattr(config, name)
        if not (value is None or value is False or value == usual[name]):
            raise ValueError(f"{config.method.name} does not go by {name}, for {why}: leave it out")
    if config.nesterov and not config.momentum:
        raise ValueError("nesterov is a way to take the momentum, which is 0: leave it out")


def path_loss(
    net: Supernet,
    arch: Arch,
    index: Tensor,
    x: Tensor,
    y: Tensor,
    paths: PathSampler,
    data: DataSampler,
) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy of one path, with importance weights where asked for, and its logits."""
    logits, others = net.heads(x, arch)
    if getattr(data, "importance", False):
        loss = (
            F.cross_entropy(logits, y, reduction="none") * checking.weights(data, index).to(x)
        ).mean()
    else:
        loss = F.cross_entropy(logits, y)
    for weight, other in others:
        loss = loss + weight * F.cross_entropy(other, y)
    if getattr(paths, "importance", False):
        if (weight := paths.weight(arch)) is None:
            raise ValueError(f"{type(paths).__name__} trains on weighted steps: write its `weight`")
        loss = loss * weight
    return loss, logits


def weights_of(optimizer: torch.optim.Optimizer) -> list[torch.nn.Parameter]:
    """All that it trains; it need not search the modules for them."""
    return [p for group in optimizer.param_groups for p in group["params"]]


def clip_gradients(optimizer: torch.optim.Optimizer, clip: float) -> tuple[Tensor, Tensor]:
    """Clip as torch's clip_grad_norm_ does; the norm before, and the factor (0 < . <= 1)."""
    grads = [p.grad for p in weights_of(optimizer) if p.grad is not None]
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads)))
    scale = (clip / (norm + 1e-6)).clamp(max=1.0)
    torch._foreach_mul_(grads, scale)
    return norm, scale


class UpdateRule:
    """Your own: inherit and write `step`; what was said of `PathSampler` about attributes holds.

    The optimiser's `param_groups` hold the learning rate of the epoch, its `defaults` the run's.
    What is kept for a weight is kept by its place in `weights_of(optimizer)`: a run that goes on
    has other weights, and gets its tensors back on the CPU.
    """

    passes = 1  # forward and backward passes of each path of a step
    # A step follows the sum of its paths' gradients, as the probes take it: for a class and its
    # bases. One that writes `objective`, `backward` or `step` says it anew, or is not probed.
    summed = True
    clears = False  # it drops gradients between the passes of a step
    replaces: ClassVar[Sequence[str]] = ()  # columns of the curves that its `log` says better
    # Fields of a training config that it does not go by, and why.
    refuses: ClassVar[Mapping[str, str]] = {}

    def __init__(self, space: Space, epochs: int) -> None:
        self.space, self.epochs = space, epochs

    def new_epoch(self, epoch: int) -> None:
        """Called before epoch `epoch` (from 0)."""

    def end_epoch(self, optimizer: torch.optim.Optimizer) -> None:
        """Called after the last step of each epoch."""

    def step(
        self,
        net: Supernet,
        optimizer: torch.optim.Optimizer,
        clip: float,
        archs: list[Arch],
        index: Tensor,
        x: Tensor,
        y: Tensor,
        paths: PathSampler,
        data: DataSampler,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One step; returns loss and share of correct answers, means over paths, and the norm.

        Samplers learn by what it tells them: call `data.observe(index, logits, y)` after each
        forward, and `paths.observe(archs, net, scale)` after clipping, before the step.
        """
        raise NotImplementedError(f"{type(self).__name__} must define step")

    log = PathSampler.log
    state = PathSampler.state
    restore = PathSampler.restore


class Accumulate(UpdateRule):
    """Sum the gradients of the step's paths, clip, and step once.

    With one path a step this is SPOS's (and PA's) rule, with a fair group FairNAS's.
    """

    summed = True

    def objective(self, k: int, loss: Tensor, logits: Sequence[Tensor]) -> Tensor:
        """What the kth path of the step descends on.

        `loss` is its cross-entropy, `logits` those of the paths so far, detached but for its own.
        """
        return loss

    def backward(self, net, archs, index, x, y, paths, data) -> tuple[Tensor, Tensor]:
        """Add up the gradients of the paths; loss and share of correct answers, means over them.

        What it is given is what `step` is.
        """
        losses, correct, seen = [], [], []
        for k, arch in enumerate(archs):
            loss, logits = path_loss(net, arch, index, x, y, paths, data)
            self.objective(k, loss, [*seen, logits]).backward()
            logits = logits.detach()
            seen.append(logits)
            data.observe(index, logits, y)
            losses.append(loss.detach())
            correct.append((logits.argmax(1) == y).float().mean())
        if len(archs) == 1:
            return losses[0], correct[0]
        return torch.stack(losses).mean(), torch.stack(correct).mean()

    def step(self, net, optimizer, clip, archs, index, x, y, paths, data):
        loss, correct = self.backward(net, archs, index, x, y, paths, data)
        norm, scale = clip_gradients(optimizer, clip)
        paths.observe(archs, net, scale)
        optimizer.step()
        return loss, correct, norm
