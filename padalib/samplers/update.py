"""Update rules: how the paths and the batch of a step become one optimiser step."""

import torch
from torch import Tensor
from torch.nn import functional as F

from padalib.samplers.base import DataSampler, PathSampler
from padalib.spaces import Arch, Supernet


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
        loss = (F.cross_entropy(logits, y, reduction="none") * data.weights(index).to(x)).mean()
    else:
        loss = F.cross_entropy(logits, y)
    for weight, other in others:
        loss = loss + weight * F.cross_entropy(other, y)
    if getattr(paths, "importance", False):
        loss = loss * paths.weight(arch)
    return loss, logits


class Accumulate:
    """Sum the gradients of the step's paths, clip, and step once.

    With one path a step this is SPOS's (and PA's) rule, with a fair group FairNAS's.
    """

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
        """One step; returns loss and share of correct answers, means over paths, and the norm."""
        losses, correct = [], []
        for arch in archs:
            loss, logits = path_loss(net, arch, index, x, y, paths, data)
            loss.backward()
            logits = logits.detach()
            data.observe(index, logits, y)
            losses.append(loss.detach())
            correct.append((logits.argmax(1) == y).float().mean())
        # As torch's clip_grad_norm_ does; the optimiser need not search the modules for weights.
        weights = [p for group in optimizer.param_groups for p in group["params"]]
        grads = [p.grad for p in weights if p.grad is not None]
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads)))
        scale = (clip / (norm + 1e-6)).clamp(max=1.0)
        torch._foreach_mul_(grads, scale)
        paths.observe(archs, net, scale)
        optimizer.step()
        if len(archs) == 1:
            return losses[0], correct[0], norm
        return torch.stack(losses).mean(), torch.stack(correct).mean(), norm
