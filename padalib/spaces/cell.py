"""Cell spaces: a DAG of `nodes` with one operation on every edge, as in NAS-Bench-201.

An architecture is a tuple of ints, one per edge, in the order (1<-0), (2<-0), (2<-1), (3<-0), ...;
each int indexes `CellSpace.ops`. Source: Dong & Yang, NAS-Bench-201, ICLR 2020.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import product
from operator import index
from typing import Annotated, Literal

import torch

from padalib.engine import checked
from padalib.engine.checked import Count, Within

Arch = tuple[int, ...]
OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")


@dataclass(frozen=True)
class CellSpace:
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

    def __len__(self) -> int:
        return len(self.ops) ** len(self.edges)

    def __iter__(self) -> Iterator[Arch]:
        return product(range(len(self.ops)), repeat=len(self.edges))

    def validate(self, arch: Sequence[int]) -> Arch:
        """`arch` as a tuple; ValueError where it is not an architecture of this space."""
        arch = tuple(arch)
        if len(arch) != len(self.edges):
            raise ValueError(
                f"an architecture of {self.name} has {len(self.edges)} operations, one per edge "
                f"{self.edges}; got {len(arch)}: {arch}"
            )
        for edge, op in enumerate(arch):
            if not (hasattr(op, "__index__") and 0 <= op < len(self.ops)):
                raise ValueError(
                    f"operation {op!r} on edge {edge} of {arch} is not in 0..{len(self.ops) - 1} "
                    f"({', '.join(self.ops)})"
                )
        return tuple(map(index, arch))

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

    def code(self, arch: Sequence[int]) -> str:
        """Short name of an architecture in tables: its ints joined by '-'."""
        return "-".join(map(str, self.validate(arch)))

    def parse(self, code: str) -> Arch:
        """The inverse of `code`."""
        try:
            return self.validate(int(op) for op in code.split("-"))
        except ValueError as error:
            raise ValueError(f"{code!r} is not an architecture of {self.name}: {error}") from None

    def sample(self, generator: torch.Generator) -> Arch:
        """One architecture, uniformly."""
        shape = (len(self.edges),)
        return tuple(torch.randint(len(self.ops), shape, generator=generator).tolist())

    # --- which architectures are the same function ---

    def plan(self, arch: Arch) -> tuple[tuple[int, int, int, int], ...]:
        """The live edges (source, target, edge, op) of `arch`, in order of computation.

        An edge is live when a signal can reach it from the input and go on to the output.
        """
        return _plan(self, tuple(arch))  # which validates it, once

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

    def classes(self) -> dict[Arch, list[Arch]]:
        """Representative -> architectures that are the same *supernet* function.

        Two architectures are the same when they differ on dead edges only: supernet weights sit on
        edges, so the benchmark's isomorphisms do not count.
        """
        members: dict[Arch, list[Arch]] = {}
        for arch in self:
            members.setdefault(self.canonical(arch), []).append(arch)
        return members

    # --- what an architecture costs, trained alone ---

    def params(self, arch: Sequence[int]) -> int:
        """Weights of the network of `arch` alone, with every edge built as in the benchmark."""
        from padalib.spaces.supernet import cost_table  # that module imports this one

        fixed, per_op = cost_table(self)["params"]
        return fixed + sum(per_op[op] for op in self.validate(arch))

    def flops(self, arch: Sequence[int]) -> int:
        """FLOPs for one image by torch's counter (a multiply-add is two), live edges only."""
        from padalib.spaces.supernet import cost_table

        fixed, per_op = cost_table(self)["flops"]
        return fixed + sum(per_op[op] for *_, op in self.plan(self.validate(arch)))

    def build(
        self,
        seed: int = 0,
        arch: Sequence[int] | None = None,
        bn: str = "batch",
        precision: str = "float32",
    ):
        """The supernet, or the network of `arch` alone, with weights drawn from `seed`.

        `bn` is 'batch' (the paper's: batch statistics always), 'running' or 'recalibrated'.
        """
        from padalib.spaces.supernet import Supernet

        with torch.device("meta"):  # torch's own initialisation would use the global stream
            # Alone, no two edges have anything to share.
            space = self if arch is None else replace(self, extent=1)
            net = Supernet(space, bn, arch, precision)
        net.to_empty(device="cpu").initialise(torch.Generator().manual_seed(seed))
        return net


@lru_cache(maxsize=65536)
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
