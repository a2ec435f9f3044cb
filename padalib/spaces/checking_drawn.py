"""What of a space only numbers tell: whether `canonical` and `live` say what paths compute.

A few images pass through one supernet with drawn weights, on the CPU.
"""

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from padalib.engine.machine import one_thread
from padalib.spaces.base import Arch, Space
from padalib.spaces.network import Supernet

HINTS = {  # what torch or Python says, and what to do about it
    "before Module.__init__": "begin __init__ with super().__init__(space, bn, arch, precision)",
    "positional argument": "the signatures are network(self, bn, arch, precision) of the space, "
    "and __init__(self, space, bn, arch, precision), features(self, x, arch), choices(self) of "
    "the network",
    "channel": "each layer takes the channels that the one before gives; the first one takes "
    "space.in_channels",
    "broadcast": "what is added must have equal shapes: mind strides, widths and padding",
    "reduction dim": "the head must be as wide as the features: in a chain, as the last of "
    "`widths`, so an option must give its block's width (an identity that changes width or stride "
    "cannot be one)",
}
DRAWS = 8  # architectures at random besides, of which `canonical` is asked
IMAGES = 4  # that are computed: by the statistics of fewer, unlike features look more alike
NEAR = 1e-4  # of the largest feature: beyond rounding, and below what another option changes


class Drawn:
    """The supernet with drawn weights on the CPU; it is made when it is asked for."""

    def __init__(self, space: Space, net: Supernet) -> None:
        self.space, self.names = space, {p: name for name, p in net.named_parameters()}

    @cached_property
    def net(self) -> Supernet:
        with torch.device("meta"):
            net = self.space.network("batch", None, "float32")
        net.to_empty(device="cpu").initialise(torch.Generator().manual_seed(0))
        return net

    def features(self, arch: Arch) -> Tensor:
        """[B, D] of a few random images: what a head adds to all paths would hide what they add."""
        rng, space = torch.Generator().manual_seed(0), self.space
        x = torch.randn(IMAGES, space.in_channels, space.size, space.size, generator=rng)
        said = f"computing the path {space.code(arch)} ({space.decode(arch)})"
        # One thread: so few images are not parted faster than they are computed.
        with one_thread(), torch.random.fork_rng(devices=[]):
            return tried(space, said, lambda: self.net.eval().features(x, arch))

    def moves(self, arch: Arch, weight: nn.Parameter) -> bool:
        """Whether the features go by a weight; `x * 0` names one, and they do not."""
        own = dict(self.net.named_parameters())[self.names[weight]]
        squares = self.features(arch).square().sum()
        (found,) = torch.autograd.grad(squares, own, allow_unused=True)
        return found is not None and bool(found.any())


def merged(space: Space, paths: Iterable[Arch], drawn: Drawn) -> None:
    """That `canonical` gives one representative to what gives the same features only."""
    rng = torch.Generator().manual_seed(0)
    for arch in dict.fromkeys([*paths, *(space.sample(rng) for _ in range(DRAWS))]):
        what = f"canonical({arch})"
        same = tried(space, what, lambda arch=arch: space.validate(space.canonical(arch)))
        if same == arch:
            continue
        with torch.no_grad():
            one, other = drawn.features(arch), drawn.features(same)
        if not torch.allclose(one, other, 0, NEAR * float(one.abs().max()), equal_nan=True):
            raise ValueError(
                f"canonical of {space.name} gives {same} ({space.decode(same)}) for {arch} "
                f"({space.decode(arch)}), and from the same weights these two compute unlike "
                "outputs, so they would share one score: give one representative to codes of the "
                "same function only, or leave canonical out"
            )


def tried(space: Space, what: str, make: Callable[[], Any]) -> Any:
    """What `make` gives; ValueError, with advice where there is some, for whatever it raises."""
    try:
        return make()
    except Exception as error:
        said = str(error).partition("\n")[0] or "no reason given"
        hint = next((f": {hint}" for part, hint in HINTS.items() if part in said), "")
        raise ValueError(
            f"{what} of {space.name} fails ({type(error).__name__}: {said}){hint}"
        ) from error
