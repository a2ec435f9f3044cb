"""The network of the DARTS space: a stem, cells of two kinds in a row, a linear head.

Of the released code (cnn/model_search.py and cnn/model.py): what supernet and network alone do
differently. Batch norms of cells have weights alone only; pools have a batch norm in the supernet
only; alone there may be an auxiliary head, and paths may be dropped.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from padalib.spaces.base import Arch, Space
from padalib.spaces.genotype import KINDS
from padalib.spaces.network import Norm, Owned, ReLUConvBN, Supernet
from padalib.spaces.pool import Pool

OPS = (
    "max_pool_3x3", "avg_pool_3x3", "skip_connect", "sep_conv_3x3", "sep_conv_5x5",
    "dil_conv_3x3", "dil_conv_5x5",
)  # fmt: skip


class Depthwise(nn.Module):
    """ReLU, depthwise convolution, pointwise convolution, batch norm."""

    def __init__(self, channels: int, kernel: int, stride: int, dilation: int, norm: dict) -> None:
        super().__init__()
        pad, c = dilation * (kernel // 2), channels
        self.depth = nn.Conv2d(c, c, kernel, stride, pad, dilation, groups=c, bias=False)
        self.point = nn.Conv2d(c, c, 1, bias=False)
        self.norm = Norm(c, **norm)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.point(self.depth(F.relu(x))))


class Halve(nn.Module):
    """ReLU, two 1x1 convolutions of every second pixel, one shifted by one; batch norm."""

    def __init__(self, c_in: int, c_out: int, norm: dict) -> None:
        super().__init__()
        self.even = nn.Conv2d(c_in, c_out // 2, 1, 2, bias=False)
        self.odd = nn.Conv2d(c_in, c_out // 2, 1, 2, bias=False)
        self.norm = Norm(c_out, **norm)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(x)
        return self.norm(torch.cat([self.even(x), self.odd(x[:, :, 1:, 1:])], 1))


def make_op(name: str, channels: int, stride: int, norm: dict, alone: bool) -> nn.Module:
    """One operation by its published name ('none' has no module)."""
    kind, kernel = name[:3], name[-1]
    if name == "skip_connect":
        return nn.Identity() if stride == 1 else Halve(channels, channels, norm)
    if name == "max_pool_3x3":
        pool = nn.MaxPool2d(3, stride, 1)
    elif name == "avg_pool_3x3":
        pool = Pool() if stride == 1 else nn.AvgPool2d(3, stride, 1, count_include_pad=False)
    elif kind == "dil":
        return Depthwise(channels, int(kernel), stride, 2, norm)
    else:
        pair = (Depthwise(channels, int(kernel), each, 1, norm) for each in (stride, 1))
        return nn.Sequential(*pair)
    return pool if alone else nn.Sequential(pool, Norm(channels, **norm))


def matrices(module: nn.Module) -> tuple[nn.Parameter, ...]:
    """The weights of its convolutions."""
    return tuple(p for p in module.parameters() if p.dim() > 1)


class Layer(NamedTuple):
    """Where a cell stands: channels of the two before it and of its nodes, side of its input."""

    kind: str
    before: int
    last: int
    channels: int
    side: int
    halved: bool  # whether the cell before it has halved the image


class Cell(nn.Module):
    """One cell with its operations: all that the space allows, or those of `terms`."""

    def __init__(
        self, space: Space, layer: Layer, terms: tuple | None, norm: dict, alone: bool
    ) -> None:
        super().__init__()
        self.nodes, self.halves = space.nodes, layer.kind == "reduce"
        c = layer.channels
        if layer.halved:
            self.first = Halve(layer.before, c, norm)
        else:
            self.first = ReLUConvBN(layer.before, c, 1, 1, norm, bias=False)
        self.second = ReLUConvBN(layer.last, c, 1, 1, norm, bias=False)
        if terms is None:
            names = [name for name in enumerate(space.ops) if name[1] != "none"]
            every = ((node, s, *op) for node in space.pairs for s in range(node) for op in names)
        else:
            every = ((term.node, term.source, term.op, space.ops[term.op]) for term in terms)
        self.ops = nn.ModuleDict(
            {
                f"{node}_{source}_{op}": make_op(
                    name, c, 1 + space.strided(layer.kind, source), norm, alone
                )
                for node, source, op, name in every
            }
        )

    def forward(self, a: Tensor, b: Tensor, terms: tuple, drop: Callable | None) -> Tensor:
        """The nodes [B, nodes * C, H, W] from the outputs of the two cells before."""
        states = [self.first(a), self.second(b), *[None] * self.nodes]
        for term in terms:
            op = self.ops[f"{term.node}_{term.source}_{term.op}"]
            y = op(states[term.source])
            if drop is not None and not isinstance(op, nn.Identity):
                y = drop(y)
            other = states[term.node]
            states[term.node] = y if other is None else other + y
        if any(state is None for state in states):  # a node of 'none' alone
            side = states[0].shape[-1] // (1 + self.halves)
            zero = states[0].new_zeros(*states[0].shape[:2], side, side)
            states = [zero if state is None else state for state in states]
        return torch.cat(states[2:], 1)


class Auxiliary(nn.Module):
    """The published head on what the second reduction gives, of 2x2 pixels after its pooling.

    # differs: images of less than 24 pixels leave too few for that pooling, and get a mean of 2x2;
    # on ImageNet the released head lacks its second batch norm, by mistake, as it says.
    """

    def __init__(self, c_in: int, side: int, classes: int, norm: dict) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(5, side - 5) if side > 5 else nn.AdaptiveAvgPool2d(2)
        self.point = nn.Conv2d(c_in, 128, 1, bias=False)
        self.norm = Norm(128, **norm)
        self.last = ReLUConvBN(128, 768, 2, 1, norm, bias=False)
        self.last.conv.padding = (0, 0)
        self.head = nn.Linear(768, classes)

    def features(self, x: Tensor) -> Tensor:
        """[B, 768] of [B, C, H, W]."""
        x = self.last(self.norm(self.point(self.pool(F.relu(x)))))
        return F.relu(x).flatten(1)


class DartsNet(Supernet):
    """Stem, `layers` cells, of which those at L//3 and 2L//3 reduce, average and linear head."""

    def __init__(self, space: Space, bn: str, arch: Arch | None, precision: str) -> None:
        super().__init__(space, bn, arch, precision)
        norm, layers = self.norm_options, self.layout(space)
        plan = dict.fromkeys(KINDS) if arch is None else self._by_kind(self.arch)
        self.stems = nn.ModuleList(_stems(space, bn))
        self.cells = nn.ModuleList(
            Cell(space, layer, plan[layer.kind], norm, arch is not None) for layer in layers
        )
        self.kinds = [layer.kind for layer in layers]
        self.middle = 2 * space.layers // 3  # its output is the auxiliary head's input
        last, middle = (space.nodes * layers[k].channels for k in (-1, self.middle))
        self.head = nn.Linear(last, space.classes_out)
        self.aside = None
        if arch is not None and space.auxiliary:
            side = layers[self.middle].side // 2
            self.aside = Auxiliary(middle, side, space.classes_out, norm)
        self.dropped, self.rng = 0.0, None

    @staticmethod
    def layout(space: Space) -> list[Layer]:
        """Where each cell stands."""
        large = space.stem == "imagenet"
        c, side = space.channels, space.size // (8 if large else 1)
        before = last = c if large else 3 * c
        found, halved = [], large
        for k in range(space.layers):
            reduces = k in (space.layers // 3, 2 * space.layers // 3)
            c *= 1 + reduces
            found.append(Layer(KINDS[reduces], before, last, c, side, halved))
            before, last, halved = last, space.nodes * c, reduces
            side //= 1 + reduces
        return found

    def _by_kind(self, arch: Arch) -> dict[str, tuple]:
        return dict(zip(KINDS, self.space.plan(arch), strict=True))

    def _outputs(self, x: Tensor, arch: Arch) -> tuple[Tensor, Tensor]:
        """What the last cell gives, and the second reduction."""
        plan, drop, middle = self._by_kind(arch), None, x
        if self.training and self.dropped:
            drop = partial(drop_path, rate=self.dropped, generator=self.rng)
        a = self.stems[0](x)
        b = self.stems[1](a) if len(self.stems) > 1 else a
        for k, (cell, kind) in enumerate(zip(self.cells, self.kinds, strict=True)):
            a, b = b, cell(a, b, plan[kind], drop)
            if k == self.middle:
                middle = b
        return b, middle

    def features(self, x: Tensor, arch: Arch) -> Tensor:
        return self._outputs(x, arch)[0].mean((2, 3), dtype=torch.float32)

    def heads(self, x: Tensor, arch: Arch) -> tuple[Tensor, list[tuple[float, Tensor]]]:
        if self.aside is None or not self.training:
            return super().heads(x, arch)
        with self.autocast(x):
            last, middle = self._outputs(x, self.space.validate(arch))
            other = self.aside.features(middle)
        logits = self.head(last.mean((2, 3), dtype=torch.float32))
        return logits, [(self.space.auxiliary, self.aside.head(other.float()))]

    def schedule(self, done: float, generator: torch.Generator) -> None:
        if self.arch is not None and self.space.drop_path:
            self.dropped, self.rng = self.space.drop_path * done, generator

    def choices(self) -> dict[tuple[int, int], list[nn.Module]]:
        """(position, option) -> the modules of all edges that it may choose."""
        found: dict[tuple[int, int], list[nn.Module]] = {}
        for place, position in enumerate(self.space.positions):
            kind, node, which = position.name.split("/")
            slot = which == "second"
            sources = sorted({pair[slot] for pair in self.space.pairs[int(node)]})
            own = [cell for cell, each in zip(self.cells, self.kinds, strict=True) if each == kind]
            for option in range(len(position.options)) if position.table else ():
                names = [f"{node}_{source}_{option}" for source in sources]
                found[place, option] = [c.ops[n] for c in own for n in names if n in c.ops]
        return found

    def _named(self, arch: Arch) -> list[Owned]:
        """As `Supernet.owned`: the inputs say which edge's operation the position has chosen.

        With 'none' a cell may read one other or none; those that nobody reads are not live.
        """
        found, live, plan = [], self.space.live(arch), self._by_kind(arch)
        read = {len(self.cells) - 1, self.middle if self.aside else -1}
        for k, kind in reversed([*enumerate(self.kinds)]):
            read |= {k - 2 + t.source for t in plan[kind] if k in read and t.source < 2}
        named = dict(zip(KINDS, self.space.terms(arch), strict=True))
        for k, (cell, kind) in enumerate(zip(self.cells, self.kinds, strict=True)):
            for term in named[kind]:
                name = f"{term.node}_{term.source}_{term.op}"
                if name in cell.ops and (own := matrices(cell.ops[name])):
                    found.append((term.place, term.op, own, live[term.place] and k in read))
        return found


def _stems(space: Space, bn: str) -> list[nn.Module]:
    """Modules one after another; their batch norms have weights in the supernet too."""

    def conv(c_in: int, c_out: int, stride: int) -> list[nn.Module]:
        layer = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False)
        return [layer, Norm(c_out, affine=True, bn=bn)]

    c, c_in = space.channels, space.in_channels
    if space.stem == "cifar":
        return [nn.Sequential(*conv(c_in, 3 * c, 1))]
    first = nn.Sequential(*conv(c_in, c // 2, 2), nn.ReLU(), *conv(c // 2, c, 2))
    return [first, nn.Sequential(nn.ReLU(), *conv(c, c, 2))]


def drop_path(x: Tensor, rate: float, generator: torch.Generator) -> Tensor:
    """x [B, C, H, W] with the whole of some images zero, the others divided by 1 - rate.

    Larsson et al., "FractalNet", ICLR 2017. Draws on the CPU, where `generator` lives.
    """
    kept = (torch.rand(len(x), 1, 1, 1, generator=generator) >= rate).to(x)
    return x * (kept / (1 - rate))
