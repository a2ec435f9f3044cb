"""The weight-sharing network of a cell space; built for one architecture, that network alone."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from padalib.spaces.cell import Arch, CellSpace
from padalib.spaces.pool import Pool

BN_MODES = ("batch", "running", "recalibrated")
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class Norm(nn.BatchNorm2d):
    """Batch norm whose statistics are the batch's own, unless it tracks running ones."""

    def __init__(self, channels: int, affine: bool, bn: str) -> None:
        super().__init__(channels, affine=affine, track_running_stats=bn != "batch")


class ReLUConvBN(nn.Module):
    """ReLU, convolution, batch norm: the order of NAS-Bench-201."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int, norm: dict, bias: bool):
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=bias)
        self.norm = Norm(c_out, **norm)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(F.relu(x)))


def make_op(name: str, channels: int, norm: dict, bias: bool) -> nn.Module:
    """One candidate operation by its NAS-Bench-201 name ('none' has no module)."""
    if name == "skip_connect":
        return nn.Identity()
    if name == "avg_pool_3x3":
        return Pool()
    return ReLUConvBN(channels, channels, int(name[-1]), 1, norm, bias)


class Cell(nn.Module):
    """Candidate operations of one cell, one set per group of `extent` consecutive edges."""

    def __init__(self, space: CellSpace, channels: int, norm: dict, only: set | None) -> None:
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


class Supernet(nn.Module):
    """Stem, three stages of cells with a reduction between stages, and a linear head.

    One path per forward. Dead edges are not computed; an architecture with no live path gives a
    constant output. With `arch` only that architecture's live operations are built (affine batch
    norm, as in the benchmark); the supernet's own batch norm is not affine, as in the released
    code. With precision 'bfloat16' convolutions compute in it (autocast), and statistics, logits
    and weights stay float32. Raises ValueError for an unknown `bn` or `precision`.
    """

    def __init__(
        self,
        space: CellSpace,
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
        only = None
        if self.arch is not None:
            only = {(edge // space.extent, op) for *_, edge, op in space.plan(self.arch)}
        norm = {"affine": arch is not None, "bn": bn}
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
        self._weights: dict[Arch, list[tuple[int, nn.Parameter, bool]]] = {}

    def forward(self, x: Tensor, arch: Sequence[int] | None = None) -> Tensor:
        """Images [B, C, H, W] through the path `arch` (its own one if built alone) to [B, L]."""
        if arch is None:
            arch = self.arch
            if arch is None:
                raise ValueError("a supernet needs to be told the path: supernet(x, arch)")
        plan = self.space.plan(arch)
        with self._autocast(x):
            x = self.stem(x)
            x = self._finish(self.stages[0][0](x, plan), plan)
        return self.head(x)

    def forward_all(self, x: Tensor, archs: Sequence[Sequence[int]]) -> Iterator[Tensor]:
        """Logits [B, L] of the same images through each path in turn, for use without gradients.

        The first cell is computed once for all paths that begin alike: sort the architectures.
        """
        plans = [self.space.plan(arch) for arch in archs]
        with self._autocast(x):
            x = self.stem(x)
        firsts = self.stages[0][0].walk(x, plans)
        for plan in plans:
            with self._autocast(x):  # not held open while the caller has its turn
                y = self._finish(next(firsts), plan)
            yield self.head(y)

    def _autocast(self, x: Tensor) -> AbstractContextManager:
        if self.precision == "float32":  # autocast, even if not enabled, refuses the meta device
            return nullcontext()
        return torch.autocast(x.device.type, PRECISIONS[self.precision])

    def _finish(self, x: Tensor, plan: tuple) -> Tensor:
        """Features [B, C], float32, from the output of the first cell."""
        for stage, cells in enumerate(self.stages):
            if stage:
                x = self.reductions[stage - 1](x)
            for cell in cells[1:] if stage == 0 else cells:
                x = cell(x, plan)
        return F.relu(self.norm(x)).mean((2, 3), dtype=torch.float32)

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> None:
        """Draw all weights anew, from torch's default distributions, and reset the statistics."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_uniform_(module.weight, a=5**0.5, generator=generator)
                if module.bias is not None:
                    bound = module.weight[0].numel() ** -0.5
                    nn.init.uniform_(module.bias, -bound, bound, generator=generator)
            elif isinstance(module, Norm):
                module.reset_parameters()

    def op_weights(self, arch: Arch) -> list[tuple[int, nn.Parameter, bool]]:
        """(op, convolution weight, live) of every parametrised operation that `arch` names.

        The weights of an operation on a dead edge take no part in the forward.
        """
        if arch not in self._weights:
            live = {edge for *_, edge, _ in self.space.plan(arch)}
            self._weights[arch] = [
                (op, cell.ops[f"{edge // self.space.extent}_{op}"].conv.weight, edge in live)
                for cells in self.stages
                for cell in cells
                for edge, op in enumerate(arch)
                if self.space.ops[op].startswith("nor_conv")
            ]
        return self._weights[arch]

    def parts(self) -> dict[str, list[int]]:
        """Part -> positions in `list(self.parameters())`.

        Of each convolution operation and the 'fixed' rest, which add up to all; and of the
        operations of each edge ('edge 0', in code order), or of edges that share them.
        """
        parts: dict[str, list[int]] = {"fixed": []}
        edges: dict[str, list[int]] = {}
        for position, (name, _) in enumerate(self.named_parameters()):
            if ".ops." in name:
                group, op = map(int, name.split(".ops.")[1].split(".")[0].split("_"))
                parts.setdefault(self.space.ops[op], []).append(position)
                edges.setdefault(f"edge {group}", []).append(position)
            else:
                parts["fixed"].append(position)
        return parts | edges


@torch.no_grad()
def recalibrate(net: Supernet, arch: Sequence[int], batches: Iterable[Tensor]) -> None:
    """Set the running statistics of `net` to those of `batches` through `arch` (plain averages)."""
    if net.bn == "batch":
        raise ValueError("a supernet built with bn='batch' has no statistics to recalibrate")
    norms = [module for module in net.modules() if isinstance(module, Norm)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch's cumulative average
    net.train()
    seen = 0
    for x in batches:
        net(x, arch)
        seen += 1
    net.eval()
    if not seen:
        raise ValueError("there is no batch to recalibrate on: pass at least one")
    for norm in norms:
        norm.momentum = 0.1


class _Through(nn.Module):
    """A cell that does nothing."""

    def forward(self, x: Tensor, plan: tuple) -> Tensor:
        return x


@lru_cache
def cost_table(space: CellSpace) -> dict[str, tuple[int, list[int]]]:
    """'params' and 'flops' -> (cost of the skeleton, cost of each op on one edge of all cells)."""
    image = torch.empty(1, space.in_channels, space.size, space.size, device="meta")
    norm = {"affine": True, "bn": "batch"}
    per_op: dict[str, list[int]] = {"params": [], "flops": []}
    with torch.device("meta"):
        bare = Supernet(space, arch=(0,) * len(space.edges))
        bare.stages = nn.ModuleList(nn.ModuleList([_Through()]) for _ in bare.stages)
        for name in space.ops:
            params = flops = 0
            for stage in range(3) if name != "none" else ():
                width, side = space.channels << stage, space.size >> stage
                op = make_op(name, width, norm, space.conv_bias)
                x = torch.empty(1, width, side, side)
                params += space.cells * sum(p.numel() for p in op.parameters())
                flops += space.cells * _count_flops(op, x)
            per_op["params"].append(params)
            per_op["flops"].append(flops)
    return {
        "params": (sum(p.numel() for p in bare.parameters()), per_op["params"]),
        "flops": (_count_flops(bare, image), per_op["flops"]),
    }


def _count_flops(module: nn.Module, *inputs: Tensor) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(*inputs)
    return counter.get_total_flops()
