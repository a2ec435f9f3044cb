"""What a probe cannot look at, in sentences: steps that are something else, weights unknown."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from padalib.samplers.checking import unsummed
from padalib.spaces import Arch, Space, Supernet
from padalib.spaces.base import remembered
from padalib.train import TrainConfig, Trainer


def check_steps(train: TrainConfig) -> None:
    """ValueError where a step is not the sum of its paths' gradients of the cross-entropy."""
    if advice := unsummed(train):
        raise ValueError(
            f"{train.label} takes steps that are not the sum of its paths' gradients, which is all "
            f"that this probe looks at: {advice}"
        )
    if other := _other_heads(train.space, train.arch, train.bn):
        raise ValueError(
            f"{train.label} trains on what `heads` of {other} gives, which this probe does not "
            "look at: use a space whose network has no `heads` of its own, or look at another run"
        )


@remembered
def _other_heads(space: Space, arch: Arch | None, bn: str) -> str:
    """The name of the network's class where it trains on more or else than its logits, or ''."""
    with torch.device("meta"):
        kind = type(space.network(bn, arch, "float32"))
    if kind.heads is Supernet.heads:
        return ""
    net, rng = space.build(0, arch, bn), torch.Generator().manual_seed(0)
    x = torch.randn(2, space.in_channels, space.size, space.size, generator=rng)
    for path in space.some() if arch is None else [arch]:
        logits, others = net.heads(x, path)
        if others or not torch.equal(logits, net(x, path)):
            return kind.__name__
    return ""


def check_weights(train: TrainConfig, known: bool) -> None:
    """ValueError where the weights are not known."""
    if not known:
        raise ValueError(
            f"{train.label} does not say how likely its draws are, which this probe goes by: "
            "write `weight` in the path sampler's class, and `weights` in the data sampler's"
        )


def weight_of(trainer: Trainer, arch: Arch) -> float:
    """The weight of a path where those of others are known; ValueError where it is not."""
    weight = trainer.paths.weight(arch)
    if weight is None:
        raise ValueError(
            f"`weight` of {type(trainer.paths).__name__} gives None for the path "
            f"{trainer.space.code(arch)} and numbers for others: give a number for each path "
            "(infinite for one that is never drawn), or None for all"
        )
    return weight


NEAR = 0.02  # of single gradients' norms: beyond rounding, also that of a GPU's short floats


def check_rows(layer: nn.Module, given: Tensor, x: Tensor) -> None:
    """ValueError where a layer's rows are not the images."""
    if len(given) != len(x):
        raise ValueError(
            f"{type(layer).__name__}({layer.weight.shape[1]}, {layer.weight.shape[0]}) gets "
            f"{len(given)} rows for {len(x)} images, so nobody knows which gradient is whose: "
            "leave images as the first dimension, or measure with batch statistics"
        )


def check_sums(net: Supernet, arch: Arch, x: Tensor, y: Tensor, found: Tensor) -> None:
    """ValueError where gradients of single images [B, P] do not add up to that of all of them."""
    loss = F.cross_entropy(net(x, arch), y, reduction="sum")
    names, parameters = zip(*net.named_parameters(), strict=True)
    whole = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
    parts = found.split([p.numel() for p in parameters], 1)
    odd = [
        name
        for name, part, wanted in zip(names, parts, whole, strict=True)
        if (part.sum(0) - wanted.flatten()).norm() > NEAR * (part.norm(dim=1).sum() + wanted.norm())
    ]
    if odd:
        raise ValueError(
            "gradients of single images do not add up to that of all of them in "
            f"{', '.join(odd[:3])} of the path {net.space.code(arch)}: a layer's weights must be "
            "used by calling it, and what it returns not be changed in place; build the network "
            "so, or measure with batch statistics"
        )
