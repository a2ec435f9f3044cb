"""What a probe cannot look at, in sentences: steps that are something else, weights unknown."""

import torch

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
