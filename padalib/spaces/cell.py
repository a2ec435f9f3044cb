"""Cell spaces: a DAG of `nodes` with one operation on every edge, as in NAS-Bench-201.

An architecture is a tuple of ints, one per edge, in the order (1<-0), (2<-0), (2<-1), (3<-0), ...;
each int indexes `CellSpace.ops`. Source: Dong & Yang, NAS-Bench-201, ICLR 2020.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import permutations, product
from math import gcd
from typing import Annotated, Literal

from padalib.engine import checked
from padalib.engine.checked import Count, Within
from padalib.spaces.base import Arch, Position, Space, remembered
from padalib.spaces.cell_net import CellNet, cost_table

OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")


@dataclass(frozen=True)
class CellSpace(Space):
    """All cells of a given number of nodes over a list of operations, and the network around them.

    Raises ValueError for fields that make no network.
    """

    name: str
    nodes: Annotated[int, Within(2)] = 4  # nodes of the cell, input and output included
    ops: tuple[str, ...] = OPS  # candidate operations of every edge, by NAS-Bench-201 name
    extent: int = 1  # consecutive edges that share one set of operation weights (paper, Fig. 1)
    skeleton: Literal["light", "residual"] = "light"  # residual: NAS-Bench-201's own network
    channels: Count = 16  # of the first stage; the other two have twice and four times as many
    cells: Count = 5  # per stage
    size: Count = 32  # image height and width, in pixels
    in_channels: Count = 3  # of the images
    classes_out: Count = 10  # labels
    conv_bias: bool = False  # differs: the released code has it on; batch norm cancels it

    kind = "edge"

    def __post_init__(self) -> None:
        checked.check(self)
        foreign = [op for op in self.ops if op not in OPS]
        if foreign or not self.ops or len(set(self.ops)) != len(self.ops):
            raise ValueError(f"ops must be different names out of {OPS}, got {self.ops}")
        if not 1 <= self.extent <= len(self.edges):
            raise ValueError(f"extent must be in 1..{len(self.edges)} edges, got {self.extent}")
        if self.size % 4:
            raise ValueError(f"size must be a multiple of 4 (it is halved twice), got {self.size}")

    # --- what an architecture is ---

    @cached_property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """(source, target) of every edge, in code order."""
        return tuple((i, j) for j in range(1, self.nodes) for i in range(j))

    @cached_property
    def positions(self) -> tuple[Position, ...]:
        return tuple(Position(f"{j}<-{i}", self.ops) for i, j in self.edges)

    @property
    def shortcuts(self) -> tuple[int, ...]:
        """The edge from the cell's input to its output, where there are others."""
        return (self.edges.index((0, self.nodes - 1)),) if self.nodes > 2 else ()

    @property
    def benchmark(self) -> str | None:
        """NAS-Bench-201 lists all cells of four nodes over its operations, and nothing else."""
        return "nasbench201" if self.nodes == 4 else None

    def decode(self, arch: Sequence[int]) -> str:
        """Code to the benchmark's string: `|op~0|+|op~0|op~1|+...`."""
        arch = iter(self.validate(arch))
        rows = ([f"{self.ops[next(arch)]}~{i}" for i in range(j)] for j in range(1, self.nodes))
        return "+".join("|" + "|".join(row) + "|" for row in rows)

    def encode(self, string: str) -> Arch:
        """The benchmark's string to a code; ValueError where it is not of this space."""
        arch = []
        for j, row in enumerate(string.strip().split("+"), start=1):
            for i, token in enumerate(row.strip("|").split("|")):
                match = re.fullmatch(r"(\w+)~(\d+)", token)
                if not match or int(match[2]) != i or i >= j or match[1] not in self.ops:
                    raise ValueError(
                        f"cannot read {token!r} (node {j}, input {i}) in {string!r}: expected "
                        f"'<op>~{i}' with an op of {self.name}: {', '.join(self.ops)}"
                    )
                arch.append(self.ops.index(match[1]))
        arch = self.validate(arch)
        if self.decode(arch) != string.strip():
            raise ValueError(
                f"{string!r} is not written as {self.decode(arch)!r}: did bars get lost?"
            )
        return arch

    # --- which architectures are the same function ---

    def plan(self, arch: Arch) -> tuple[tuple[int, int, int, int], ...]:
        """The live edges (source, target, edge, op) of `arch`, in order of computation.

        An edge is live when a signal can reach it from the input and go on to the output.
        """
        return _plan(self, tuple(arch))  # which validates it, once

    def live(self, arch: Arch) -> tuple[bool, ...]:
        used = {edge for *_, edge, _ in self.plan(arch)}
        return tuple(edge in used for edge in range(len(self.edges)))

    def canonical(self, arch: Sequence[int]) -> Arch:
        """`arch` with 'none' on its dead edges, the representative of its class.

        In a space without 'none' every edge is live.
        """
        arch = self.validate(arch)
        live = {edge for *_, edge, _ in self.plan(arch)}
        if len(live) == len(self.edges):
            return arch
        none = self.ops.index("none")  # without it no edge is dead
        return tuple(op if edge in live else none for edge, op in enumerate(arch))

    def alone_key(self, arch: Sequence[int]) -> str:
        """What is computed, as sums of convolutions of sums, whatever edges they are on.

        A skip adds its source as it is; pooling is linear, so that it is one of each summand; and
        batch norm makes twice a sum the same as that sum, but for its epsilon.
        """
        return _network(self, self.canonical(arch))

    def depth(self, arch: Sequence[int]) -> int:
        deepest = [0] * self.nodes  # of what reaches each node
        for i, j, edge, op in self.plan(self.validate(arch)):
            deepest[j] = max(deepest[j], deepest[i] + (self.weights(edge, op) > 0))
        return deepest[-1]

    # --- its network, and what an architecture costs, trained alone ---

    def network(self, bn: str, arch: Arch | None, precision: str) -> CellNet:
        # Alone, no two edges have anything to share.
        space = self if arch is None else replace(self, extent=1)
        return CellNet(space, bn, arch, precision)

    def params(self, arch: Sequence[int]) -> int:
        """Weights of the network of `arch` alone, with every edge built as in the benchmark."""
        fixed, per_op = cost_table(self)["params"]
        return fixed + sum(per_op[op] for op in self.validate(arch))

    def flops(self, arch: Sequence[int]) -> int:
        """FLOPs for one image by torch's counter (a multiply-add is two), live edges only."""
        fixed, per_op = cost_table(self)["flops"]
        return fixed + sum(per_op[op] for *_, op in self.plan(self.validate(arch)))


@remembered
def _network(space: CellSpace, arch: Arch) -> str:
    """The first of its descriptions in which convolutions that look alike have numbers in turn."""
    inside: list[tuple[str, Counter]] = []  # each convolution: its name, and what it takes
    sums = [Counter({(-1, 0): 1})] + [Counter() for _ in range(space.nodes - 1)]
    for i, j, _, op in space.plan(arch):  # a summand: which convolution (-1: the input), pools
        name, source = space.ops[op], sums[i]
        if name == "avg_pool_3x3":
            source = {(own, pools + 1): n for (own, pools), n in source.items()}
        elif name != "skip_connect":
            inside.append((name, source))
            source = {(len(inside) - 1, 0): 1}
        sums[j].update(source)

    def told(terms: Counter, names: Sequence[str]) -> str:
        least = gcd(*terms.values()) or 1
        said = (f"{n // least} p{pools} {names[own]}" for (own, pools), n in terms.items())
        return " + ".join(sorted(said))

    looks: list[str] = []
    for name, source in inside:
        looks.append(f"{name}({told(source, [*looks, 'x'])})")
    alike = [[k for k, look in enumerate(looks) if look == one] for one in sorted(set(looks))]
    described = []
    for turns in product(*map(permutations, alike)):
        order = [k for turn in turns for k in turn]
        names = [str(order.index(k)) for k in range(len(inside))] + ["x"]
        own = [f"{inside[k][0]}({told(inside[k][1], names)})" for k in order]
        described.append("; ".join([*own, told(sums[-1], names)]))
    return min(described)


@remembered
def _plan(space: CellSpace, arch: Arch) -> tuple[tuple[int, int, int, int], ...]:
    arch = space.validate(arch)
    used = [
        (i, j, edge, op)
        for edge, ((i, j), op) in enumerate(zip(space.edges, arch, strict=True))
        if space.ops[op] != "none"
    ]
    reached = {0}
    for i, j, *_ in used:  # code order is topological
        if i in reached:
            reached.add(j)
    needed = {space.nodes - 1}
    for i, j, *_ in sorted(used, key=lambda edge: -edge[1]):
        if j in needed:
            needed.add(i)
    return tuple(edge for edge in used if edge[0] in reached and edge[1] in needed)
