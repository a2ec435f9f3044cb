"""NAS-Bench-1Shot1: cells of choice blocks, which choose their inputs and an operation each.

Zela, Siems & Hutter, "NAS-Bench-1Shot1", ICLR 2020, section 3, and its released code. Alone, a cell
is one of NAS-Bench-101's (Ying et al., ICML 2019), whose network splits the output's channels among
the blocks that reach it: it is not the supernet's path. Blocks are numbered from 1 in the order of
computation; 0 is the input of the cell, and the output the number after the last block.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Annotated

from padalib.engine import checked
from padalib.engine.checked import Count, Within
from padalib.spaces.base import Arch, Position, Space, remembered
from padalib.spaces.shot_net import KERNELS, OPS, STACKS, Plan, ShotNet, cell_convs, split

LETTERS = ("3", "1", "m")  # what they are called in the string of a cell
MOST = 9  # blocks, so that each has one digit
LAYOUTS = {  # parents of each block, and of the output
    "nb1shot1-1": ((1, 2, 2, 2), 2),
    "nb1shot1-2": ((1, 1, 2, 2), 3),
    "nb1shot1-3": ((1, 1, 1, 2, 2), 2),
}


@dataclass(frozen=True)
class ShotSpace(Space):
    """All cells whose blocks and output have given numbers of parents, loose ends included.

    ValueError for fields that make no network.
    """

    name: str
    parents: tuple[Count, ...] = LAYOUTS["nb1shot1-1"][0]  # of each block, of those before it
    outputs: Annotated[int, Within(2)] = LAYOUTS["nb1shot1-1"][1]  # parents of the cell's output
    channels: Count = 16  # of the supernet's stem, and of each block in the first stack
    alone_channels: Count = 128  # of the stem of a network alone
    cells: Count = 3  # in each of three stacks
    size: Count = 32
    in_channels: Count = 3
    classes_out: Count = 10

    kind = "choice"

    def __post_init__(self) -> None:
        checked.check(self)
        if not 0 < len(self.parents) <= MOST:
            raise ValueError(f"parents must be of 1 to {MOST} blocks, got {len(self.parents)}")
        for block, count in enumerate((*self.parents, self.outputs), start=1):
            if count > block:
                whose = "outputs" if block > len(self.parents) else f"parents of block {block}"
                raise ValueError(f"{whose} must be at most {block}, all before it; got {count}")
        if self.alone_channels < self.outputs:
            raise ValueError(f"alone_channels must be at least outputs, {self.outputs}")
        if self.size % 4:
            raise ValueError(f"size must be a multiple of 4 (it is halved twice), got {self.size}")

    # --- what an architecture is ---

    @property
    def benchmark(self) -> str | None:
        """The sample of NAS-Bench-101, for the three spaces of the paper at any width."""
        return "nb1shot1" if (self.parents, self.outputs) in LAYOUTS.values() else None

    @cached_property
    def inputs(self) -> tuple[tuple[tuple[int, ...], ...], ...]:
        """The sets of parents that each block, and last the output, chooses from."""
        counts = (*self.parents, self.outputs)
        return tuple(tuple(combinations(range(k), n)) for k, n in enumerate(counts, start=1))

    @cached_property
    def positions(self) -> tuple[Position, ...]:
        """Inputs and operation of each block, then the output's inputs. Nobody learns inputs."""
        found = []
        for block, options in enumerate(self.inputs, start=1):
            names = tuple("".join(map(str, parents)) for parents in options)
            found.append(Position(f"inputs of {block}", names, table=""))
            found.append(Position(f"block {block}", OPS))
        return tuple(found[:-1])

    @cached_property
    def _words(self) -> tuple[tuple[str, ...], ...]:
        return tuple(LETTERS if p.options == OPS else p.options for p in self.positions)

    def decode(self, arch: Sequence[int]) -> str:
        """`inputs:operation` of each block, then the output's: '0:3|0:m|1:3|23:m|04:3|05'.

        A block that misses the output is '-' where it has its first options.
        """
        arch = self.validate(arch)
        *words, last = (own[option] for own, option in zip(self._words, arch, strict=True))
        live, blocks = self.live(arch), []
        for k in range(0, len(words), 2):
            bare = not live[k] and not any(arch[k : k + 2])
            blocks.append("-" if bare else ":".join(words[k : k + 2]))
        return "|".join([*blocks, last])

    def encode(self, string: str) -> Arch:
        """The inverse of `decode`; ValueError names the block that is none of this space."""
        *blocks, last = string.strip().split("|")
        if len(blocks) != len(self.parents):
            raise ValueError(
                f"{string!r} has {len(blocks)} blocks before the output, a cell of {self.name} "
                f"{len(self.parents)}, as {self.decode(next(self.some()))!r}"
            )
        words: list[str] = []
        for block, word in enumerate(blocks, start=1):
            first = self._words[2 * block - 2][0], LETTERS[0]
            words += first if word == "-" else word.partition(":")[::2]
        arch = []
        for word, own, position in zip([*words, last], self._words, self.positions, strict=True):
            if word not in own:
                raise ValueError(
                    f"cannot read {word!r} ({position.name}) in {string!r}: expected one of "
                    f"{', '.join(own)}"
                )
            arch.append(own.index(word))
        live = self.live(arch)[::2]
        if lost := [k for k, word in enumerate(blocks, start=1) if word == "-" and live[k - 1]]:
            raise ValueError(
                f"block {lost[0]} in {string!r} is left out ('-'), but what reaches the output "
                "reads it: write its inputs and operation"
            )
        return tuple(arch)

    # --- which architectures are the same function ---

    def plan(self, arch: Sequence[int]) -> Plan:
        """The blocks that reach the output, and it."""
        return _plan(self, tuple(arch))  # which validates it, once

    def live(self, arch: Sequence[int]) -> tuple[bool, ...]:
        used = {block for block, *_ in self.plan(arch)}
        return tuple(place // 2 + 1 in used for place in range(len(self.positions)))

    def canonical(self, arch: Sequence[int]) -> Arch:
        """`arch` with the first options in blocks that miss the output."""
        arch = self.validate(arch)
        return tuple(own if live else 0 for own, live in zip(arch, self.live(arch), strict=True))

    def functions(self) -> Iterator[Arch]:
        """Every *supernet* function once, by its canonical architecture.

        Grown from the output backwards: the third space has too many architectures to list.
        """

        def grow(block: int, needed: frozenset[int], tail: Arch) -> Iterator[Arch]:
            if not block:
                yield tail
            elif block not in needed:
                yield from grow(block - 1, needed, (0, 0, *tail))
            else:
                for option, parents in enumerate(self.inputs[block - 1]):
                    for op in range(len(OPS)):
                        yield from grow(block - 1, needed.union(parents), (option, op, *tail))

        for option, parents in enumerate(self.inputs[-1]):
            yield from grow(len(self.parents), frozenset(parents), (option,))

    def truth_key(self, arch: Sequence[int]) -> str:
        """NAS-Bench-101's hash of the cell, alike for isomorphic cells.

        A vertex's label is hashed with its neighbours', as often as there are vertices.
        """
        into = {0: ()} | {block: parents for block, parents, _ in self.plan(arch)}
        labels = {0: -1} | {b: -2 if op is None else op for b, _, op in self.plan(arch)}
        out = {v: [w for w in into if v in into[w]] for v in into}
        found = {v: _md5(str((len(out[v]), len(into[v]), labels[v]))) for v in into}
        for _ in into:
            around = {
                v: ["".join(sorted(found[w] for w in ends[v])) for ends in (into, out)]
                for v in into
            }
            found = {v: _md5("|".join([*around[v], found[v]])) for v in into}
        return _md5(str(sorted(found.values())))

    # --- complexity, and what an architecture costs, trained alone ---

    def level(self, arch: Sequence[int]) -> int:
        """How many blocks that reach the output are convolutions; projections do not count."""
        return sum(KERNELS[op] > 0 for *_, op in self.plan(arch)[:-1])

    def depth(self, arch: Sequence[int]) -> int:
        deepest = {0: 0}
        for block, parents, op in self.plan(arch):
            own = op is not None and KERNELS[op] > 0
            deepest[block] = max(deepest[parent] for parent in parents) + own
        return deepest[len(self.inputs)]

    def predictors(self, arch: Sequence[int]) -> dict[str, float]:
        """The number of 3x3 convolutions: tau .41 over the known cells of the third space."""
        return {"3x3 convolutions": float(sum(op == 0 for *_, op in self.plan(arch)))}

    def _convs(self, arch: Sequence[int]) -> Iterator[tuple[int, int, int, int]]:
        """(kernel, channels in, channels out, side) of every convolution of the network alone."""
        plan, c_in = self.plan(arch), self.alone_channels
        yield 3, self.in_channels, c_in, self.size
        for k in range(STACKS * self.cells):
            c_out = self.alone_channels << k // self.cells
            for conv in cell_convs(plan, split(plan, c_out), c_in, c_out).values():
                yield *conv, self.size >> k // self.cells
            c_in = c_out

    def params(self, arch: Sequence[int]) -> int:
        convs = sum(k * k * c_in * c_out + 2 * c_out for k, c_in, c_out, _ in self._convs(arch))
        return convs + ((self.alone_channels << STACKS - 1) + 1) * self.classes_out

    def flops(self, arch: Sequence[int]) -> int:
        convs = sum((k * side) ** 2 * c_in * c_out for k, c_in, c_out, side in self._convs(arch))
        return 2 * (convs + (self.alone_channels << STACKS - 1) * self.classes_out)

    def network(self, bn: str, arch: Arch | None, precision: str) -> ShotNet:
        return ShotNet(self, bn, arch, precision)


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


@remembered
def _plan(space: ShotSpace, arch: Arch) -> Plan:
    arch = space.validate(arch)
    outputs = space.inputs[-1][arch[-1]]
    needed, found = set(outputs), [(len(space.inputs), outputs, None)]
    for block in range(len(space.parents), 0, -1):
        if block in needed:
            option, op = arch[2 * block - 2 : 2 * block]
            found.append((block, space.inputs[block - 1][option], op))
            needed.update(found[-1][1])
    return tuple(reversed(found))
