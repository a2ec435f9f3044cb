"""The network of a cell space: cells of candidate operations in three stages.

It takes its space as given (edges, operations, plans of live edges); `cell` says what these are.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from padalib.spaces.base import Arch, Space, remembered
from padalib.spaces.costs import IMAGES, count_flops
from padalib.spaces.network import Norm, ReLUConvBN, Supernet
from padalib.spaces.pool import Pool


def make_op(name: str, channels: int, norm: dict, bias: bool) -> nn.Module:
    """One candidate operation by its NAS-Bench-201 name ('none' has no module)."""
    if name == "skip_connect":
        return nn.Identity()
    if name == "avg_pool_3x3":
        return Pool()
    return ReLUConvBN(channels, channels, int(name[-1]), 1, norm, bias)


class Cell(nn.Module):
    """Candidate operations of one cell, one set per group of `extent` consecutive edges."""

    def __init__(self, space: Space, channels: int, norm: dict, only: set | None) -> None:
        super().__init__()
        self.nodes, self.extent = space.nodes, space.extent
        self.ops = nn.ModuleDict()
        for group in range(-(-len(space.edges) // space.extent)):
            for op, name in enumerate(space.ops):
                if name != "none" and (only is None or (group, op) in only):
                    module = make_op(name, channels, norm, space.conv_bias)
                    self.ops[f"{group}_{op}"] = module

    def forward(self, x: Tensor, plan: tuple) -> Tensor:
        nodes: list[Tensor | None] = [x] + [None] * (self.nodes - 1)
        relus: dict[int, Tensor] = {}  # one for all the convolutions that read a node
        for i, j, edge, op in plan:
            module = self.op(edge, op)
            if isinstance(module, ReLUConvBN):
                if i not in relus:
                    relus[i] = F.relu(nodes[i])
                y = module.norm(module.conv(relus[i]))
            else:
                y = module(nodes[i])
            nodes[j] = y if nodes[j] is None else nodes[j] + y
        return torch.zeros_like(x) if nodes[-1] is None else nodes[-1]

    def op(self, edge: int, op: int) -> nn.Module:
        """The operation that an edge shares with the others of its group."""
        return self.ops[f"{edge // self.extent}_{op}"]

    def walk(self, x: Tensor, plans: Iterable[tuple]) -> Iterator[Tensor]:
        """The outputs for many plans, each operation computed once while its input stays the same.

        Of use where neighbouring plans begin alike, as those of sorted architectures do.
        """
        held: dict[int, dict[tuple, Tensor]] = {}  # edge -> (what its source is, op) -> output
        for plan in plans:
            nodes: list[Tensor | None] = [x] + [None] * (self.nodes - 1)
            names: list[tuple] = [()] * self.nodes  # what each node was computed from
            for i, j, edge, op in plan:
                outputs, name = held.setdefault(edge, {}), (names[i], op)
                if name not in outputs:
                    if any(source != names[i] for source, _ in outputs):
                        outputs.clear()  # in order, an input that changed does not come back
                    outputs[name] = self.op(edge, op)(nodes[i])
                nodes[j] = outputs[name] if nodes[j] is None else nodes[j] + outputs[name]
                names[j] = (*names[j], edge, name)
            yield torch.zeros_like(x) if nodes[-1] is None else nodes[-1]


class Residual(nn.Module):
    """NAS-Bench-201's reduction between stages: a basic residual block of stride two."""

    def __init__(self, c_in: int, c_out: int, norm: dict) -> None:
        super().__init__()
        self.a = ReLUConvBN(c_in, c_out, 3, 2, norm, bias=False)
        self.b = ReLUConvBN(c_out, c_out, 3, 1, norm, bias=False)
        self.skip = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(c_in, c_out, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return self.skip(x) + self.b(self.a(x))


def light(c_in: int, c_out: int, norm: dict) -> nn.Module:
    """A reduction with little capacity of its own, so that the cell decides."""
    conv = nn.Conv2d(c_in, c_out, 1, bias=False)
    return nn.Sequential(nn.AvgPool2d(2), conv, Norm(c_out, **norm))


class CellNet(Supernet):
    """Stem, three stages of cells with a reduction between stages, and a linear head.

    Dead edges are not computed; an architecture with no live path gives a constant output. Alone,
    only the architecture's live operations are built.
    """

    def __init__(self, space: Space, bn: str, arch: Arch | None, precision: str) -> None:
        super().__init__(space, bn, arch, precision)
        only = None
        if self.arch is not None:
            only = {(edge // space.extent, op) for *_, edge, op in space.plan(self.arch)}
        norm = self.norm_options
        widths = [space.channels, space.channels * 2, space.channels * 4]
        stem = nn.Conv2d(space.in_channels, widths[0], 3, padding=1, bias=False)
        self.stem = nn.Sequential(stem, Norm(widths[0], **norm))
        self.stages = nn.ModuleList(
            nn.ModuleList(Cell(space, width, norm, only) for _ in range(space.cells))
            for width in widths
        )
        reduce = light if space.skeleton == "light" else Residual
        self.reductions = nn.ModuleList(
            reduce(c_in, c_out, norm) for c_in, c_out in pairwise(widths)
        )
        self.norm = Norm(widths[-1], **norm)
        self.head = nn.Linear(widths[-1], space.classes_out)

    def features(self, x: Tensor, arch: Arch) -> Tensor:
        plan = self.space.plan(arch)
        return self._finish(self.stages[0][0](self.stem(x), plan), plan)

    def walk(self, x: Tensor, archs: Sequence[Arch]) -> Iterator[Tensor]:
        """As `Supernet.walk`: the first cell is computed once for all paths that begin alike."""
        plans = [self.space.plan(arch) for arch in archs]
        with self.autocast(x):
            x = self.stem(x)
        firsts = self.stages[0][0].walk(x, plans)
        for plan in plans:
            with self.autocast(x):  # not held open while the caller has its turn
                y = self._finish(next(firsts), plan)
            yield self.head(y)

    def _finish(self, x: Tensor, plan: tuple) -> Tensor:
        """Features [B, C], float32, from the output of the first cell."""
        for stage, cells in enumerate(self.stages):
            if stage:
                x = self.reductions[stage - 1](x)
            for cell in cells[1:] if stage == 0 else cells:
                x = cell(x, plan)
        return F.relu(self.norm(x)).mean((2, 3), dtype=torch.float32)

    def choices(self) -> dict[tuple[int, int], list[nn.Module]]:
        cells = [cell for cells in self.stages for cell in cells]
        names = {tuple(map(int, name.split("_"))): name for name in cells[0].ops}
        return {key: [cell.ops[name] for cell in cells] for key, name in names.items()}


class _Through(nn.Module):
    """A cell that does nothing."""

    def forward(self, x: Tensor, plan: tuple) -> Tensor:
        return x


@remembered
def cost_table(space: Space) -> dict[str, tuple[int, list[int]]]:
    """'params' and 'flops' -> (cost of the skeleton, cost of each op on one edge of all cells)."""
    image = torch.empty(IMAGES, space.in_channels, space.size, space.size, device="meta")
    norm = {"affine": True, "bn": "batch"}
    per_op: dict[str, list[int]] = {"params": [], "flops": []}
    with torch.device("meta"):
        bare = CellNet(space, "batch", (0,) * len(space.edges), "float32")
        bare.stages = nn.ModuleList(nn.ModuleList([_Through()]) for _ in bare.stages)
        for name in space.ops:
            params = flops = 0
            for stage in range(3) if name != "none" else ():
                width, side = space.channels << stage, space.size >> stage
                op = make_op(name, width, norm, space.conv_bias)
                x = torch.empty(IMAGES, width, side, side)
                params += space.cells * sum(p.numel() for p in op.parameters())
                flops += space.cells * count_flops(op, x) // IMAGES
            per_op["params"].append(params)
            per_op["flops"].append(flops)
    return {
        "params": (sum(p.numel() for p in bare.parameters()), per_op["params"]),
        "flops": (count_flops(bare, image) // IMAGES, per_op["flops"]),
    }
