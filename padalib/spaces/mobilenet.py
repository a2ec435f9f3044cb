"""The MobileNet space of ProxylessNAS and SPOS: 21 MBConvs in a row, 15 of which may be left out.

Cai et al., "ProxylessNAS", ICLR 2019, section 3.1; layout as in its released code, whose search
defaults to 24 channels in the first stage where its published Mobile network has 32, as here. Its
GPU and CPU networks have widths of their own: they are fields.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from torch import nn
from torch.nn import functional as F

from padalib.engine.checked import Count, Positive
from padalib.spaces.base import Position
from padalib.spaces.chain import ChainSpace
from padalib.spaces.macro import MBConv
from padalib.spaces.network import Norm

SKIP = "skip"
MBCONVS = ("mb3_k3", "mb6_k3", "mb3_k5", "mb6_k5", "mb3_k7", "mb6_k7")  # expansion and kernel
OPTIONS = (*MBCONVS, SKIP)
STAGES = (32, 4), (40, 4), (80, 4), (96, 4), (192, 4), (320, 1)
STRIDES = (2, 1, 1, 1) * 3 + (1, 1, 1, 1) + (2, 1, 1, 1) + (1,)


@dataclass(frozen=True)
class MobileNetSpace(ChainSpace):
    """The full-size network for 224x224 images; a `width` below 1 or a smaller `size` shrinks it.

    The first block of a stage cannot be a skip, so the positions have six or seven options: 6^6 *
    7^15 architectures, all different supernet functions; without 'skip' among `options` 6^21. Batch
    norm has torch's constants (the released code: eps 1e-3). ValueError for fields that make no
    network.
    """

    options: tuple[str, ...] = OPTIONS
    strides: tuple[Literal[1, 2], ...] = STRIDES  # of the blocks
    stages: tuple[tuple[Count, Count], ...] = STAGES  # channels, and how many blocks
    channels: Count = 32  # of the stem
    first: Count = 16  # after the fixed MBConv that follows it
    last: Count = 1280  # before the average
    width: Positive = 1.0  # multiplies all channels
    stem_stride: Literal[1, 2] = 2  # 1 keeps the pixels of small images
    size: Count = 224
    in_channels: Count = 3
    classes_out: Count = 1000

    def __post_init__(self) -> None:
        super().__post_init__()
        foreign = set(self.options) - set(OPTIONS)
        if foreign or set(self.options) == {SKIP}:
            raise ValueError(
                f"options must be some of {', '.join(OPTIONS)}, not the skip alone, got "
                f"{self.options}: inherit from ChainSpace and write `block` for others"
            )
        count = sum(blocks for _, blocks in self.stages)
        within = [
            k for k, stride in enumerate(self.strides) if stride == 2 and k not in self.firsts
        ]
        if count != len(self.strides) or within:
            raise ValueError(
                f"strides must name one for each of the {count} blocks of the stages, 2 only for "
                f"the first of a stage (blocks {', '.join(map(str, self.firsts))}), got "
                f"{self.strides}"
            )

    @cached_property
    def firsts(self) -> tuple[int, ...]:
        """The positions that begin a stage, where width or stride changes."""
        return tuple(sum(n for _, n in self.stages[:k]) for k in range(len(self.stages)))

    @cached_property
    def positions(self) -> tuple[Position, ...]:
        some = tuple(option for option in self.options if option != SKIP)
        return tuple(
            Position(f"block {k}", some if k in self.firsts else self.options)
            for k in range(len(self.strides))
        )

    @cached_property
    def widths(self) -> tuple[int, ...]:
        named = [channels for channels, blocks in self.stages for _ in range(blocks)]
        return tuple(map(self._scaled, (self.first, *named)))

    def _scaled(self, channels: int) -> int:
        return max(1, round(self.width * channels))

    def stem(self, norm: dict) -> nn.Module:
        inner = self._scaled(self.channels)
        conv = nn.Conv2d(self.in_channels, inner, 3, self.stem_stride, 1, bias=False)
        fixed = MBConv(inner, self.widths[0], 1, 3, 1, norm, F.relu6)
        return nn.Sequential(conv, Norm(inner, **norm), nn.ReLU6(), fixed)

    def block(self, position: int, option: str, norm: dict) -> nn.Module:
        if option == SKIP:
            return nn.Identity()
        where = self.widths[position : position + 2]
        stride = self.strides[position]
        return MBConv(*where, int(option[2]), int(option[-1]), stride, norm, F.relu6)

    def neck(self, norm: dict) -> tuple[nn.Module, int]:
        width = self._scaled(self.last)
        conv = nn.Conv2d(self.widths[-1], width, 1, bias=False)
        return nn.Sequential(conv, Norm(width, **norm), nn.ReLU6()), width

    def truth_key(self, arch: Sequence[int]) -> str:
        """`decode` of the same network alone, the skips of each stage at its end."""
        names = self.decode(arch).split("|")
        ends = (*self.firsts[1:], len(names))
        for start, end in zip(self.firsts, ends, strict=True):
            names[start:end] = sorted(names[start:end], key=lambda name: name == SKIP)
        return "|".join(names)
