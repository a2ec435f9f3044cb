"""What every supernet has: one path per forward, choices that own weights, batch norm, a head."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from padalib.spaces.base import Arch, Space

BN_MODES = ("batch", "running", "recalibrated")
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
DRAWN = (nn.Conv2d, nn.Linear, _BatchNorm, nn.GroupNorm, nn.LayerNorm)  # what `initialise` knows
Owned = tuple[int, int, tuple[nn.Parameter, ...], bool]
KEPT = 1024  # architectures, at most, whose weights are remembered: they are soon found again


class Norm(nn.BatchNorm2d):
    """Batch norm whose statistics are the batch's own, unless it tracks running ones."""

    def __init__(self, channels: int, affine: bool, bn: str) -> None:
        super().__init__(channels, affine=affine, track_running_stats=bn != "batch")

    def forward(self, x: Tensor) -> Tensor:
        if self.track_running_stats:
            return super().forward(x)
        # Nothing to look up or count: much of a small layer's time.
        return F.batch_norm(x, None, None, self.weight, self.bias, training=True, eps=self.eps)


class ReLUConvBN(nn.Module):
    """ReLU, convolution, batch norm: the order of NAS-Bench-201."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int, norm: dict, bias: bool):
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=bias)
        self.norm = Norm(c_out, **norm)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(F.relu(x)))


class Supernet(nn.Module):
    """The weight-sharing network of a space; built for one architecture, that network alone.

    A subclass gives `features` and `choices`, sets `head`, and makes its batch norms with
    `self.norm_options`: affine in a network alone (as in benchmarks), not in a supernet (as in the
    released code). With precision 'bfloat16' convolutions compute in it (autocast), and statistics,
    logits and weights stay float32. Raises ValueError for an unknown `bn` or `precision`.
    """

    head: nn.Module  # features [B, C] to logits [B, L], in float32

    def __init__(
        self,
        space: Space,
        bn: Literal["batch", "running", "recalibrated"] = "batch",
        arch: Sequence[int] | None = None,
        precision: Literal["float32", "bfloat16"] = "float32",
    ) -> None:
        super().__init__()
        if bn not in BN_MODES:
            raise ValueError(f"bn must be one of {BN_MODES}, got {bn!r}")
        if precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {tuple(PRECISIONS)}, got {precision!r}")
        self.space, self.bn, self.precision = space, bn, precision
        self.arch = None if arch is None else space.canonical(arch)
        self.norm_options = {"affine": arch is not None, "bn": bn}
        self._owned: dict[Arch, list[Owned]] = {}
        self._chosen: dict[tuple[int, int], list[tuple[nn.Parameter, ...]]] = {}

    # --- what a subclass gives ---

    def features(self, x: Tensor, arch: Arch) -> Tensor:
        """Images [B, C, H, W] through the path to features [B, D], float32."""
        raise NotImplementedError(f"{type(self).__name__} must define features(x, arch)")

    def choices(self) -> dict[tuple[int, int], list[nn.Module]]:
        """(group of positions, option) -> the modules of that choice, in order of depth.

        A group is a position, or `space.extent` consecutive ones that share. Options without
        modules may be left out.
        """
        raise NotImplementedError(f"{type(self).__name__} must define choices()")

    # --- what follows ---

    def forward(self, x: Tensor, arch: Sequence[int] | None = None) -> Tensor:
        """Images [B, C, H, W] through the path `arch` (its own one if built alone) to [B, L]."""
        if arch is None:
            arch = self.arch
            if arch is None:
                raise ValueError("a supernet needs to be told the path: supernet(x, arch)")
        with self.autocast(x):
            x = self.features(x, self.space.validate(arch))
        return self.head(x.float())  # autocast leaves what it likes

    def heads(self, x: Tensor, arch: Arch) -> tuple[Tensor, list[tuple[float, Tensor]]]:
        """Logits [B, L] for training, and those of further heads with their weight in the loss."""
        return self(x, arch), []

    def schedule(self, done: float, generator: torch.Generator) -> None:
        """Told before each epoch what share of the training is done, and a stream to draw from."""

    def walk(self, x: Tensor, archs: Sequence[Arch]) -> Iterator[Tensor]:
        """Logits [B, L] of the same images through each path in turn, for use without gradients.

        Networks that can, compute once what neighbouring paths begin with: sort the architectures.
        """
        for arch in archs:
            yield self(x, arch)

    def autocast(self, x: Tensor) -> AbstractContextManager:
        """In which convolutions are computed in `precision`."""
        if self.precision == "float32":  # autocast, even if not enabled, refuses the meta device
            return nullcontext()
        return torch.autocast(x.device.type, PRECISIONS[self.precision])

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> None:
        """Draw all weights anew, from torch's default distributions, and reset the statistics.

        TypeError for a module whose own weights it does not know how to draw.
        """
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_uniform_(module.weight, a=5**0.5, generator=generator)
                if module.bias is not None:
                    bound = module.weight[0].numel() ** -0.5
                    nn.init.uniform_(module.bias, -bound, bound, generator=generator)
            elif isinstance(module, _BatchNorm | nn.GroupNorm | nn.LayerNorm):
                module.reset_parameters()
            elif [*module.parameters(recurse=False), *module.buffers(recurse=False)]:
                raise TypeError(
                    f"{type(module).__name__} has weights or buffers of its own, which nobody "
                    "draws from the run's seed: build it of nn.Conv2d, nn.Linear and norms"
                )

    def owned(self, arch: Arch) -> list[Owned]:
        """(position, option, weights, live) of every module with weights that `arch` names.

        Weights are those of convolutions and linear layers, without biases. What is not live takes
        no part in the forward.
        """
        if arch not in self._owned:
            if len(self._owned) >= KEPT:
                self._owned.clear()
            self._owned[arch] = self._named(arch)
        return self._owned[arch]

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_owned": {}, "_chosen": {}}  # a copy finds its own again

    def _named(self, arch: Arch) -> list[Owned]:
        named = [
            (place, option, live, self._weights_of(place, option))
            for place, (option, live) in enumerate(zip(arch, self.space.live(arch), strict=True))
        ]
        deepest = max((len(own) for *_, own in named), default=0)
        return [
            (place, option, own[depth], live)
            for depth in range(deepest)
            for place, option, live, own in named
            if depth < len(own) and own[depth]
        ]

    def _weights_of(self, position: int, option: int) -> list[tuple[nn.Parameter, ...]]:
        self._chosen = self._chosen or {
            choice: [_matrices(module) for module in modules]
            for choice, modules in self.choices().items()
        }
        return self._chosen.get((position // self.space.extent, option), [])

    def parts(self) -> dict[str, list[int]]:
        """Part -> positions in `list(self.parameters())`.

        Of each option with weights and the 'fixed' rest, which add up to all (options that nobody
        learns are one part, 'inputs'); and of the options of each position ('edge 0', 'block 0'),
        or of positions that share them.
        """
        at = {id(parameter): k for k, parameter in enumerate(self.parameters())}
        options: dict[str, set[int]] = {}
        places: dict[str, set[int]] = {}
        for (group, option), modules in sorted(self.choices().items()):
            position = self.space.positions[group * self.space.extent]
            own = {at[id(p)] for module in modules for p in module.parameters()}
            if own:
                name = position.options[option] if position.table else "inputs"
                options.setdefault(name, set()).update(own)
                places.setdefault(f"{self.space.kind} {group}", set()).update(own)
        taken = {k for own in options.values() for k in own}
        fixed = {"fixed": [k for k in at.values() if k not in taken]}
        return fixed | {name: sorted(own) for name, own in (options | places).items()}


def _matrices(module: nn.Module) -> tuple[nn.Parameter, ...]:
    return tuple(p for p in module.parameters() if p.dim() > 1)


def recalibrate(net: Supernet, arch: Sequence[int], batches: Iterable[Tensor]) -> None:
    """Set the running statistics of `net` to those of `batches` through `arch` (plain averages)."""
    set_statistics(net, ((x, arch) for x in batches))


@torch.no_grad()
def set_statistics(net: Supernet, passes: Iterable[tuple[Tensor, Sequence[int]]]) -> None:
    """Set the running statistics of `net` to plain averages over `passes`, each images and a path.

    What no path visits keeps mean 0 and variance 1. ValueError for no pass, or for bn='batch'.
    """
    if net.bn == "batch":
        raise ValueError("a supernet built with bn='batch' has no statistics to recalibrate")
    norms = [module for module in net.modules() if isinstance(module, _BatchNorm)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch's cumulative average
    net.train()
    seen = 0
    for x, arch in passes:
        net(x, arch)
        seen += 1
    net.eval()
    if not seen:
        raise ValueError("there is no batch to recalibrate on: pass at least one")
    for norm in norms:
        norm.momentum = 0.1
