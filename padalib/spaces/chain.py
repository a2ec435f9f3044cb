"""Chain spaces: one choice after another, as in NAS-Bench-Macro or the MobileNet spaces."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from padalib.engine import checked
from padalib.engine.checked import Count
from padalib.spaces.base import Arch, Position, Space, alone_cost, remembered
from padalib.spaces.costs import IMAGES, cost
from padalib.spaces.network import Norm, ReLUConvBN, Supernet


class Separable(nn.Module):
    """ReLU, depthwise convolution, pointwise convolution, batch norm."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int, norm: dict) -> None:
        super().__init__()
        pad = kernel // 2
        self.depth = nn.Conv2d(c_in, c_in, kernel, stride, pad, groups=c_in, bias=False)
        self.point = nn.Conv2d(c_in, c_out, 1, bias=False)
        self.norm = Norm(c_out, **norm)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.point(self.depth(F.relu(x))))


@dataclass(frozen=True)
class ChainSpace(Space):
    """One block for each of `strides`, each a choice among `options`; every option has weights.

    So PA's schedule, which favours options with weights, is SPOS's here. A chain of your own:
    inherit, give `block`, and `positions`, `stem` or `neck` where they differ. ValueError for
    fields that make no network.
    """

    name: str
    options: tuple[str, ...] = ("conv_1x1", "conv_3x3", "sep_5x5")
    strides: tuple[Literal[1, 2], ...] = (
        1,
        2,
        1,
        2,
        1,
    )  # of the blocks; a stride of two doubles the width
    channels: Count = 8  # of the stem
    size: Count = 16
    in_channels: Count = 1
    classes_out: Count = 10
    kind: ClassVar[str] = "block"

    def __post_init__(self) -> None:
        checked.check(self)
        for field in ("options", "strides"):
            if not getattr(self, field):
                raise ValueError(f"{field} must name at least one, got none")
        if len(set(self.options)) < len(self.options):
            raise ValueError(f"options must be different names, got {self.options}")
        foreign = set(self.options) - {"conv_1x1", "conv_3x3", "sep_5x5"}
        if type(self) is ChainSpace and foreign:
            raise ValueError(
                f"options must be some of conv_1x1, conv_3x3, sep_5x5, got {sorted(foreign)}: "
                "inherit from ChainSpace and write `block` for others"
            )

    @cached_property
    def positions(self) -> tuple[Position, ...]:
        return tuple(Position(f"block {k}", self.options) for k in range(len(self.strides)))

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """Channels before each block, and after the last."""
        found = [self.channels]
        for stride in self.strides:
            found.append(found[-1] * stride)
        return tuple(found)

    def block(self, position: int, option: str, norm: dict) -> nn.Module:
        """The module of one option: `widths[position]` channels in, `widths[position + 1]` out."""
        kind, kernel = option[:4], int(option[-1])
        where = self.widths[position], self.widths[position + 1], kernel, self.strides[position]
        if kind == "sep_":
            return Separable(*where, norm)
        return ReLUConvBN(*where, norm, bias=False)

    def stem(self, norm: dict) -> nn.Module:
        """Images to `widths[0]` channels."""
        first = nn.Conv2d(self.in_channels, self.widths[0], 3, padding=1, bias=False)
        return nn.Sequential(first, Norm(self.widths[0], **norm))

    def neck(self, norm: dict) -> tuple[nn.Module, int]:
        """What stands between the last block and the ReLU before the average, and its channels."""
        return Norm(self.widths[-1], **norm), self.widths[-1]

    def network(self, bn: str, arch: Arch | None, precision: str) -> "ChainNet":
        return ChainNet(self, bn, arch, precision)

    def params(self, arch: Sequence[int]) -> int:
        return self._cost(arch, 0)

    def flops(self, arch: Sequence[int]) -> int:
        return self._cost(arch, 1)

    def _cost(self, arch: Sequence[int], which: int) -> int:
        """In a chain each choice costs the same whatever the others are."""
        base, extra = _costs(self)
        chosen = enumerate(self.validate(arch))
        return base[which] + sum(extra[place][option][which] for place, option in chosen)


@remembered
def _costs(space: ChainSpace) -> tuple[tuple[int, int], list[list[tuple[int, int]]]]:
    """(weights, FLOPs) of the first architecture, and what each option adds to it."""
    first = (0,) * len(space.positions)
    base, extra = alone_cost(space, first), []
    with torch.device("meta"):
        net = space.network("batch", first, "float32")
        x = net.stem(torch.empty(IMAGES, space.in_channels, space.size, space.size))
        for place, position in enumerate(space.positions):
            blocks = [space.block(place, option, net.norm_options) for option in position.options]
            costs = [cost(block, x) for block in blocks]
            extra.append(
                [tuple(o - b for o, b in zip(own, costs[0], strict=True)) for own in costs]
            )
            x = blocks[0](x)
    return base, extra


class ChainNet(Supernet):
    """A stem, one block after another, a neck, average over pixels and a linear head."""

    def __init__(self, space: ChainSpace, bn: str, arch: Arch | None, precision: str) -> None:
        super().__init__(space, bn, arch, precision)
        norm = self.norm_options
        self.stem = space.stem(norm)
        self.blocks = nn.ModuleList(
            nn.ModuleDict(
                {
                    str(k): space.block(place, option, norm)
                    for k, option in enumerate(position.options)
                    if self.arch is None or k == self.arch[place]
                }
            )
            for place, position in enumerate(space.positions)
        )
        self.norm, width = space.neck(norm)
        self.head = nn.Linear(width, space.classes_out)

    def features(self, x: Tensor, arch: Arch) -> Tensor:
        x = self.stem(x)
        for block, option in zip(self.blocks, arch, strict=True):
            x = block[str(option)](x)
        return self._finish(x)

    def walk(self, x: Tensor, archs: Sequence[Arch]) -> Iterator[Tensor]:
        """As `Supernet.walk`: depth first, so that what sorted architectures begin with is kept."""
        held: list[Tensor] = []  # the outputs of stem and blocks of the last path
        before: Arch = ()
        for arch in map(self.space.validate, archs):
            with self.autocast(x):
                held = held or [self.stem(x)]
                same = 0
                while same < len(before) and arch[same] == before[same]:
                    same += 1
                del held[same + 1 :]
                for block, option in zip(self.blocks[same:], arch[same:], strict=True):
                    held.append(block[str(option)](held[-1]))
                y = self._finish(held[-1])
            before = arch
            yield self.head(y)

    def _finish(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(x)).mean((2, 3), dtype=torch.float32)

    def choices(self) -> dict[tuple[int, int], list[nn.Module]]:
        return {
            (place, int(option)): [module]
            for place, block in enumerate(self.blocks)
            for option, module in block.items()
        }
