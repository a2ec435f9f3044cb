"""The DARTS space: a normal and a reduction cell, whose nodes choose two inputs and an op for each.

Liu, Simonyan & Yang, "DARTS: Differentiable Architecture Search", ICLR 2019, section 3.1, and its
released code. Uniform options are RandomNAS's paths (Li & Talwalkar, UAI 2019): two different
inputs a node, operations and cells independent. A cell's inputs are 0 and 1 and its nodes 2, 3, ...
as in published genotypes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import Annotated, Literal, NamedTuple

import torch

from padalib.engine import checked
from padalib.engine.checked import Count, NotNegative, Within
from padalib.spaces import genotype
from padalib.spaces.base import Arch, Position, Space, alone_cost, remembered
from padalib.spaces.costs import count_flops
from padalib.spaces.darts_net import OPS, DartsNet, make_op, matrices
from padalib.spaces.genotype import KINDS


class Term(NamedTuple):
    """One of the two terms of a node: `op` of the state `source`, and the positions that say so."""

    node: int
    source: int
    op: int
    place: int  # that chooses the operation
    inputs: int | None  # that chooses what the node reads, where there is a choice


@dataclass(frozen=True)
class DartsSpace(Space):
    """All pairs of cells over a list of operations, and the network around them.

    Defaults are those of the published search. ValueError for fields that make no network.
    """

    name: str
    ops: tuple[str, ...] = OPS  # 'none' may be added: the published search has it
    nodes: Count = 4  # of a cell, each the sum of two terms
    layers: Annotated[int, Within(3)] = 8  # cells; published when retraining: 20, ImageNet 14
    channels: Count = 16  # of the first cells' nodes; published when retraining: 36, ImageNet 48
    size: Count = 32  # image height and width, in pixels
    in_channels: Count = 3  # of the images
    classes_out: Count = 10  # labels
    stem: Literal["cifar", "imagenet"] = "cifar"  # 'imagenet' halves the image three times
    # Of a network alone, in training: weight of a second head's loss (published: 0.4), and the
    # share of an operation's outputs that is dropped at the end, rising from 0 (published: 0.2).
    auxiliary: NotNegative = 0.0
    drop_path: Annotated[float, Within(0, 0.99)] = 0.0

    def __post_init__(self) -> None:
        checked.check(self)
        foreign = [op for op in self.ops if op not in ("none", *OPS)]
        if foreign or not set(self.ops) - {"none"} or len(set(self.ops)) < len(self.ops):
            raise ValueError(
                f"ops must be different names out of {', '.join(OPS)}, and none, got {self.ops}"
            )
        halved = 4 if self.stem == "cifar" else 32
        if self.size % halved or self.size < 2 * halved:
            raise ValueError(
                f"size must be a multiple of {halved} from {2 * halved} on (the image is halved "
                f"again and again), got {self.size}"
            )
        if self.channels % 2:
            raise ValueError(f"channels must be even (two halves are joined), got {self.channels}")

    # --- what an architecture is ---

    @cached_property
    def pairs(self) -> dict[int, tuple[tuple[int, int], ...]]:
        """Node -> the pairs of inputs that it chooses from; the first has one, and no choice."""
        return {node: tuple(combinations(range(node), 2)) for node in range(2, self.nodes + 2)}

    @cached_property
    def positions(self) -> tuple[Position, ...]:
        """Of each cell and node: its inputs, where there is a choice, and two operations."""
        found = []
        for kind in KINDS:
            for node, pairs in self.pairs.items():
                if len(pairs) > 1:
                    options = tuple(f"{a}+{b}" for a, b in pairs)
                    found.append(Position(f"{kind}/{node}/inputs", options, table=""))
                for which in ("first", "second"):
                    found.append(Position(f"{kind}/{node}/{which}", self.ops))
        return tuple(found)

    def terms(self, arch: Sequence[int]) -> tuple[tuple[Term, ...], ...]:
        """Of each kind of cell, all its terms, in order of computation."""
        return _terms(self, tuple(arch))  # which validates it, once

    def plan(self, arch: Sequence[int]) -> tuple[tuple[Term, ...], ...]:
        """Of each kind of cell, the terms that are not zero whatever the image is.

        Those are 'none', and what reads a node without any other term.
        """
        return _plan(self, tuple(arch))

    def decode(self, arch: Sequence[int]) -> str:
        """The published form: Genotype(normal=[('sep_conv_3x3', 0), ...], normal_concat=...)."""
        cells = ([(self.ops[t.op], t.source) for t in terms] for terms in self.terms(arch))
        return genotype.write(cells)

    def encode(self, string: str) -> Arch:
        """The inverse of `decode`, inputs of a node in any order.

        ValueError names the cell, the node and the reason where it is none of this space.
        """
        arch: list[int] = []
        for nodes in genotype.read(string, self.name, self.ops, self.nodes):
            for pairs, terms in zip(self.pairs.values(), nodes, strict=True):
                if len(pairs) > 1:
                    arch.append(pairs.index(tuple(source for source, _ in terms)))
                arch += [op for _, op in terms]
        return tuple(arch)

    # --- which architectures are the same function ---

    def live(self, arch: Sequence[int]) -> tuple[bool, ...]:
        used = {place for terms in self.plan(arch) for term in terms for place in term[-2:]}
        return tuple(place in used for place in range(len(self.positions)))

    def canonical(self, arch: Sequence[int]) -> Arch:
        """`arch` with 'none' for what is zero, which reads the first input that is free."""
        arch = self.validate(arch)
        if "none" not in self.ops:
            return arch
        found: list[int] = []
        for terms in self.plan(arch):
            for node, pairs in self.pairs.items():
                own = {term.source: term.op for term in terms if term.node == node}
                free = (source for source in range(node) if source not in own)
                while len(own) < 2:
                    own[next(free)] = self.ops.index("none")
                if len(pairs) > 1:
                    found.append(pairs.index(tuple(sorted(own))))
                found += [own[source] for source in sorted(own)]
        return tuple(found)

    # --- complexity and cost ---

    def weights(self, position: int, option: int) -> float:
        """As `Space.weights`, mean over the inputs: a skip has some where it halves the image."""
        kind, node, which = self.positions[position].name.split("/")
        if which == "inputs":
            return 0
        slot, table = ("first", "second").index(which), _costs(self._bare)
        sources = [pair[slot] for pair in self.pairs[int(node)]]
        own = [table[KINDS.index(kind), self.strided(kind, s), option][0] for s in sources]
        return sum(own) / len(own)

    @staticmethod
    def strided(kind: str, source: int) -> bool:
        """Whether what reads `source` halves the image."""
        return kind == "reduce" and source < 2

    def _spent(self, arch: Sequence[int]) -> Iterator[tuple[int, Term, tuple[int, int, int]]]:
        """(kind of cell, term, its cost in all such cells) of every live term."""
        table = _costs(self._bare)
        for k, terms in enumerate(self.plan(arch)):
            for term in terms:
                yield k, term, table[k, self.strided(KINDS[k], term.source), term.op]

    def level(self, arch: Sequence[int]) -> int:
        return sum(cost[0] > 0 for *_, cost in self._spent(arch))

    def depth(self, arch: Sequence[int]) -> int:
        """As `Space.depth`, through one cell of each kind."""
        deepest = [[0] * (self.nodes + 2) for _ in KINDS]
        for k, term, cost in self._spent(arch):
            through = deepest[k][term.source] + (cost[0] > 0)
            deepest[k][term.node] = max(deepest[k][term.node], through)
        return sum(map(max, deepest))

    def params(self, arch: Sequence[int]) -> int:
        """Weights of the network of `arch` alone, without the auxiliary head, as published."""
        return self._cost(arch, 1)

    def flops(self, arch: Sequence[int]) -> int:
        return self._cost(arch, 2)

    def _cost(self, arch: Sequence[int], which: int) -> int:
        own = sum(cost[which] for *_, cost in self._spent(arch))
        return _fixed(self._bare)[which - 1] + own

    @property
    def _bare(self) -> "DartsSpace":
        """The same without what only training has, so that its costs are counted once."""
        return replace(self, auxiliary=0.0, drop_path=0.0)

    def network(self, bn: str, arch: Arch | None, precision: str) -> DartsNet:
        return DartsNet(self, bn, arch, precision)


@remembered
def _terms(space: DartsSpace, arch: Arch) -> tuple[tuple[Term, ...], ...]:
    left, found = list(enumerate(space.validate(arch))), []
    for _ in KINDS:
        terms = []
        for node, pairs in space.pairs.items():
            inputs, chosen = left.pop(0) if len(pairs) > 1 else (None, 0)
            for source in pairs[chosen]:
                place, op = left.pop(0)
                terms.append(Term(node, source, op, place, inputs))
        found.append(tuple(terms))
    return tuple(found)


@remembered
def _plan(space: DartsSpace, arch: Arch) -> tuple[tuple[Term, ...], ...]:
    found = []
    for terms in space.terms(arch):
        reached, live = {0, 1}, []
        for term in terms:
            if term.source in reached and space.ops[term.op] != "none":
                reached.add(term.node)
                live.append(term)
        found.append(tuple(live))
    return tuple(found)


@remembered
def _costs(space: DartsSpace) -> dict[tuple[int, bool, int], tuple[int, int, int]]:
    """(kind, halves, op) -> its (weights of convolutions, all weights, FLOPs) in all such cells."""
    found = {}
    with torch.device("meta"):
        for k, kind in enumerate(KINDS):
            cells = [cell for cell in DartsNet.layout(space) if cell.kind == kind]
            for halves in (False, True)[: 1 + k]:
                for op, name in enumerate(space.ops):
                    total = [0, 0, 0]
                    for cell in cells if name != "none" else ():
                        norm = {"affine": True, "bn": "batch"}
                        module = make_op(name, cell.channels, 1 + halves, norm, alone=True)
                        side = cell.side if halves or kind == "normal" else cell.side // 2
                        x = torch.empty(1, cell.channels, side, side)
                        total[0] += sum(p.numel() for p in matrices(module))
                        total[1] += sum(p.numel() for p in module.parameters())
                        total[2] += count_flops(module, x)
                    found[k, halves, op] = tuple(total)
    return found


@remembered
def _fixed(space: DartsSpace) -> tuple[int, int]:
    """(weights, FLOPs) of a network alone without its operations."""
    first = space.canonical(next(space.some()))
    total, spent = alone_cost(space, first), [cost for *_, cost in space._spent(first)]
    return total[0] - sum(cost[1] for cost in spent), total[1] - sum(cost[2] for cost in spent)
