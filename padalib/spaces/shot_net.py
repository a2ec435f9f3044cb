"""The networks of NAS-Bench-1Shot1: the supernet, and NAS-Bench-101's for a cell alone.

They take their space as given (blocks, sets of inputs, plans); `shot` says what these are.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from padalib.spaces.base import Arch, Space
from padalib.spaces.network import Norm, ReLUConvBN, Supernet

OPS = ("conv3x3", "conv1x1", "maxpool3x3")  # in NAS-Bench-101's order, on which its hash depends
KERNELS = (3, 1, 0)  # of their convolutions
STACKS = 3  # of cells
# (block, its parents, its operation) for all that is computed; last the output, without operation.
Plan = tuple[tuple[int, tuple[int, ...], int | None], ...]


def split(plan: Plan, c_out: int) -> dict[int, int]:
    """Channels of each block of a cell alone, as NAS-Bench-101 splits them.

    Those that the output reads share its `c_out`, the first ones taking what is left over; any
    other is as wide as the widest that reads it. With three branches the order of blocks says
    who takes that, so isomorphic cells differ a little in weights.
    """
    ends = [block for block in plan[-1][1] if block]
    share, rest = divmod(c_out, len(ends))
    found = {block: share + (k < rest) for k, block in enumerate(ends)}
    for block, parents, _ in reversed(plan[:-1]):
        for parent in set(parents) - {0, *ends}:
            found[parent] = max(found.get(parent, 0), found[block])
    return found


def cell_convs(
    plan: Plan, widths: dict[int, int], c_in: int, c_out: int
) -> dict[str, tuple[int, int, int]]:
    """(kernel, channels in, channels out) of a cell's convolutions: '<block>_<operation>' or '_in'.

    The latter project the cell's input, for each block (and the output) that reads it.
    """
    found = {}
    for block, parents, op in plan:
        width = widths.get(block, c_out)
        if 0 in parents:
            found[f"{block}_in"] = 1, c_in, width
        if op is not None and KERNELS[op]:
            found[f"{block}_{op}"] = KERNELS[op], width, width
    return found


def conv_bn_relu(kernel: int, c_in: int, c_out: int, norm: dict) -> nn.Module:
    """The order of NAS-Bench-101."""
    conv = nn.Conv2d(c_in, c_out, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, Norm(c_out, **norm), nn.ReLU())


class ShotCell(nn.Module):
    """All of a `plan`. The output is the blocks of `widths` that `ends` names side by side.

    Of these, what the output does not read is zero; the projected input is added if it reads that.
    """

    def __init__(self, plan: Plan, widths: dict, ends: Sequence[int], c_in: int, norm: dict):
        super().__init__()
        self.widths, self.ends = widths, ends
        self.c_out = sum(widths[block] for block in ends)
        convs = cell_convs(plan, widths, c_in, self.c_out).items()
        self.convs = nn.ModuleDict({name: conv_bn_relu(*conv, norm) for name, conv in convs})

    def forward(self, x: Tensor, plan: Plan) -> Tensor:
        made: dict[int, Tensor] = {}
        for block, parents, op in plan[:-1]:
            # A parent may be one channel wider than what reads it: NAS-Bench-101 drops that one.
            given = [made[parent][:, : self.widths[block]] for parent in parents if parent]
            if 0 in parents:
                given.append(self.convs[f"{block}_in"](x))
            y = sum(given[1:], given[0])
            pooled = KERNELS[op] == 0
            made[block] = F.max_pool2d(y, 3, 1, 1) if pooled else self.convs[f"{block}_{op}"](y)
        last, outputs, _ = plan[-1]
        zeros = torch.zeros_like(made[outputs[-1]])
        y = torch.cat([made[block] if block in outputs else zeros for block in self.ends], 1)
        return y + self.convs[f"{last}_in"](x) if 0 in outputs else y


class ShotNet(Supernet):
    """A stem and three stacks of cells; each but the first halves the image and doubles the width.

    The supernet has all blocks in a cell's output, and ends in ReLU, 1x1 convolution and batch norm
    as in the released code; alone it is NAS-Bench-101's network, which does not.
    """

    # differs: the released supernet pads its pooling between stacks (32, 17, 9 pixels);
    # NAS-Bench-101 does not (32, 16, 8), and neither does this one.

    def __init__(self, space: Space, bn: str, arch: Arch | None, precision: str) -> None:
        super().__init__(space, bn, arch, precision)
        blocks = range(1, len(space.inputs))
        every = [(block, (0,), op) for block in blocks for op in range(len(OPS))]
        plan = (*every, (len(space.inputs), (0,), None)) if arch is None else space.plan(arch)
        ends = blocks if arch is None else [block for block in plan[-1][1] if block]
        first = width = space.channels if arch is None else space.alone_channels
        self.stem = conv_bn_relu(3, space.in_channels, first, self.norm_options)
        self.cells, c_in = nn.ModuleList(), first
        for k in range(STACKS * space.cells):
            width = first << k // space.cells
            widths = dict.fromkeys(blocks, width) if arch is None else split(plan, width)
            self.cells.append(ShotCell(plan, widths, ends, c_in, self.norm_options))
            c_in = self.cells[-1].c_out
        self.last: nn.Module = nn.Identity()
        if arch is None:
            self.last = ReLUConvBN(c_in, width, 1, 1, self.norm_options, bias=False)
        self.head = nn.Linear(width, space.classes_out)

    def features(self, x: Tensor, arch: Arch) -> Tensor:
        plan, x = self.space.plan(arch), self.stem(x)
        for k, cell in enumerate(self.cells):
            if k and k % self.space.cells == 0:
                x = F.max_pool2d(x, 2)
            x = cell(x, plan)
        return self.last(x).mean((2, 3), dtype=torch.float32)

    def choices(self) -> dict[tuple[int, int], list[nn.Module]]:
        """Convolutions; and the projection for all sets of inputs that hold the cell's own."""
        found = {}
        for name in self.cells[0].convs:
            block, what = name.split("_")
            own, place = [cell.convs[name] for cell in self.cells], 2 * int(block) - 2
            if what != "in":
                found[place + 1, int(what)] = own
                continue
            for option, parents in enumerate(self.space.inputs[int(block) - 1]):
                if 0 in parents:
                    found[place, option] = own
        return found
