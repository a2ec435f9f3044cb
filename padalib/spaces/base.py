"""What a search space is: a product of positions, each a choice among options of its own.

An architecture is a tuple of ints, one per position, each an index into that position's options.
A space of your own: inherit from `Space` (a frozen dataclass with `name`, `size`, `in_channels` and
`classes_out`), give `positions` and `network`; everything else follows from these two. `ChainSpace`
asks for less. `spaces.check` says what is wrong with one.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import groupby, product
from math import prod
from operator import index
from typing import Self

import torch
from torch import nn

from padalib.engine import origin
from padalib.spaces.costs import IMAGES, cost

Arch = tuple[int, ...]
LISTED = 10**6  # a space of at most so many architectures can be listed
IDENTITIES = ("identity", "skip", "skip_connect")  # options that hand on what they get


@dataclass(frozen=True)
class Position:
    """One choice: its name, its own options, and whom it shares a sampler's probabilities with.

    Positions of one `table` have one probability for options of the same name; with the table ''
    nobody learns any: it is drawn uniformly, as the inputs of a block are.
    """

    name: str  # "1<-0", "block 3"
    options: tuple[str, ...]
    table: str = "op"


class Space:
    """A search space; see the module for what a subclass gives. Equal fields make equal spaces."""

    name: str
    size: int  # image height and width, in pixels
    in_channels: int  # of the images
    classes_out: int  # labels
    kind = "position"  # what a position is called in tables
    extent = 1  # consecutive positions that share one set of weights
    shortcuts: tuple[int, ...] = ()  # positions from the input to the output past all others
    benchmark: str | None = None  # the public truth table that lists its architectures

    def __new__(cls, *_: object, **__: object) -> Self:
        fields = getattr(cls, "__dataclass_fields__", {})
        lost = fields.keys() & {*vars(cls), *vars(cls).get("__annotations__", ())}
        if lost and "__dataclass_fields__" not in vars(cls):
            said = f"{cls.__name__} gives {', '.join(sorted(lost))}, which is not taken, for it is"
            raise ValueError(f"{said} no dataclass: write @dataclass(frozen=True) above it")
        return super().__new__(cls)

    # --- what a subclass gives ---

    @cached_property
    def positions(self) -> tuple[Position, ...]:
        """The choices that make an architecture, in order."""
        raise NotImplementedError(f"{type(self).__name__} must define positions")

    def network(self, bn: str, arch: Arch | None, precision: str) -> nn.Module:
        """The untrained `Supernet`, or with `arch` the network of that architecture alone."""
        raise NotImplementedError(f"{type(self).__name__} must define network")

    def live(self, arch: Arch) -> tuple[bool, ...]:
        """For each position, whether what is chosen there takes part in the output."""
        return (True,) * len(arch)

    def canonical(self, arch: Sequence[int]) -> Arch:
        """The representative of architectures that are the same function of a supernet's weights.

        Not of all of them: where skips stand may make no difference either, see `alone_key`.
        """
        return self.validate(arch)

    # --- architectures ---

    @property
    def architectures(self) -> int:
        """How many it has; `len` says so too, where Python can: below 2 ** 63."""
        return prod(len(position.options) for position in self.positions)

    def __len__(self) -> int:
        return self.architectures

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[Arch]:
        if self.architectures > LISTED:
            raise ValueError(
                f"{self.name} has {self.architectures:,} architectures, too many to list: draw "
                "some with `sample`"
            )
        return product(*(range(len(position.options)) for position in self.positions))

    def validate(self, arch: Sequence[int]) -> Arch:
        """`arch` as a tuple; ValueError where it is not an architecture of this space."""
        arch = tuple(arch)
        if len(arch) != len(self.positions):
            raise ValueError(
                f"an architecture of {self.name} has {len(self.positions)} operations, one per "
                f"{self.kind}; got {len(arch)}: {arch}"
            )
        for place, (option, position) in enumerate(zip(arch, self.positions, strict=True)):
            if not (hasattr(option, "__index__") and 0 <= option < len(position.options)):
                raise ValueError(
                    f"operation {option!r} on {self.kind} {place} ({position.name}) of {arch} is "
                    f"not in 0..{len(position.options) - 1} ({', '.join(position.options)})"
                )
        return tuple(map(index, arch))

    def decode(self, arch: Sequence[int]) -> str:
        """Code to a string of names that says what the architecture is, whatever the numbering."""
        arch = self.validate(arch)
        chosen = zip(self.positions, arch, strict=True)
        return "|".join(position.options[option] for position, option in chosen)

    def encode(self, string: str) -> Arch:
        """The inverse of `decode`; ValueError where the string is not of this space."""
        names = string.strip().split("|")
        if len(names) != len(self.positions):
            raise ValueError(
                f"{string!r} names {len(names)} operations, an architecture of {self.name} has "
                f"{len(self.positions)}: write them as {self.decode(next(self.some()))!r}"
            )
        arch = []
        for place, (name, position) in enumerate(zip(names, self.positions, strict=True)):
            if name not in position.options:
                raise ValueError(
                    f"cannot read {name!r} ({self.kind} {place}, {position.name}) in {string!r}: "
                    f"expected one of {', '.join(position.options)}"
                )
            arch.append(position.options.index(name))
        return tuple(arch)

    def code(self, arch: Sequence[int]) -> str:
        """Short name of an architecture in tables: its ints joined by '-'."""
        return "-".join(map(str, self.validate(arch)))

    def parse(self, code: str) -> Arch:
        """The inverse of `code`."""
        try:
            return self.validate(int(k) if k.strip().isdecimal() else k for k in code.split("-"))
        except ValueError as error:
            raise ValueError(f"{code!r} is not an architecture of {self.name}: {error}") from None

    def truth_key(self, arch: Sequence[int]) -> str:
        """Its row in a truth table, which may hold one for several supernet functions."""
        return self.decode(arch)

    def alone_key(self, arch: Sequence[int]) -> str:
        """What architectures that are the same network, trained alone, have in common.

        A supernet may give them different weights, and so different scores.
        """
        return self.truth_key(self.canonical(arch))

    def some(self) -> Iterator[Arch]:
        """Architectures that together name every option of every position, few of them."""
        most = max(len(position.options) for position in self.positions)
        for k in range(most):
            yield tuple(min(k, len(position.options) - 1) for position in self.positions)

    def sample(self, generator: torch.Generator) -> Arch:
        """One architecture, uniformly."""
        arch: list[int] = []
        for count, own in self.entries().alike:
            arch += torch.randint(len(own), (count,), generator=generator).tolist()
        return tuple(arch)

    def restricted(self, names: Iterable[str]) -> Iterator[Arch]:
        """All architectures of some options only; ValueError where a position has none of them."""
        given = list(names)
        names = set(given)
        allowed = [
            [k for k, option in enumerate(position.options) if option in names]
            for position in self.positions
        ]
        known = {option for position in self.positions for option in position.options}
        if not all(allowed) or names - known or len(names) < len(given):
            raise ValueError(
                f"every {self.kind} of {self.name} needs one of the options, each named once, got "
                f"{tuple(given)}; it knows {', '.join(sorted(known))}"
            )
        return product(*allowed)

    def neighbours(self, arch: Sequence[int]) -> Iterator[Arch]:
        """All architectures that differ from `arch` in one position."""
        arch = self.validate(arch)
        for place, position in enumerate(self.positions):
            for option in range(len(position.options)):
                if option != arch[place]:
                    yield (*arch[:place], option, *arch[place + 1 :])

    def classes(self) -> dict[Arch, list[Arch]]:
        """Representative -> architectures that are the same *supernet* function."""
        members: dict[Arch, list[Arch]] = {}
        for arch in self:
            members.setdefault(self.canonical(arch), []).append(arch)
        return members

    # --- options and their weights ---

    def entries(self, shared: bool = True) -> "Entries":
        """What a product sampler has probabilities of.

        `shared`: one for an option's name in each table of positions; else one at each position.
        """
        return _entries(self.positions, shared)

    def weights(self, position: int, option: int) -> int:
        """How many weights that choice owns there, counted in the network; 0: parameter-free."""
        return _weights(self)[position][option]

    def level(self, arch: Sequence[int]) -> int:
        """Complexity: the number of positions whose option has weights and takes part."""
        arch = self.validate(arch)
        return sum(
            live and self.weights(place, option) > 0
            for place, (option, live) in enumerate(zip(arch, self.live(arch), strict=True))
        )

    def depth(self, arch: Sequence[int]) -> int:
        """The most options with weights that a signal passes one after another.

        Here all that take part, as where positions stand in a row; other spaces say otherwise.
        """
        return self.level(arch)

    def predictors(self, arch: Sequence[int]) -> dict[str, float]:
        """What else ranks architectures here without any training, by name.

        FLOPs and weights stand beside every ranking; a space names what is stronger than they are.
        """
        return {}

    # --- networks ---

    def params(self, arch: Sequence[int]) -> int:
        """Weights of the network of `arch` alone."""
        return alone_cost(self, self.validate(arch))[0]

    def flops(self, arch: Sequence[int]) -> int:
        """FLOPs of that network for one image by torch's counter: a multiply-add is two."""
        return alone_cost(self, self.validate(arch))[1]

    def build(
        self,
        seed: int = 0,
        arch: Sequence[int] | None = None,
        bn: str = "batch",
        precision: str = "float32",
    ) -> nn.Module:
        """The `Supernet`, or the network of `arch` alone, with weights drawn from `seed`.

        `bn` is 'batch' (the paper's: batch statistics always), 'running' or 'recalibrated'.
        """
        if not origin.ours(type(self)):
            forget()  # what was counted before its code was edited
        with torch.device("meta"):  # torch's own initialisation would use the global stream
            net = self.network(bn, None if arch is None else self.canonical(arch), precision)
        net.to_empty(device="cpu").initialise(torch.Generator().manual_seed(seed))
        return net


@dataclass(frozen=True)
class Entries:
    """The T entries that have probabilities, and where they stand."""

    names: tuple[str, ...]  # [T]
    at: tuple[tuple[int, ...], ...]  # [P][n_i], the entries of each position's options
    tables: tuple[tuple[int, ...], ...]  # entries whose probabilities sum to one
    alike: tuple[tuple[int, tuple[int, ...]], ...]  # consecutive positions of the same entries
    partial: bool  # whether some position lacks options of its table
    uniform: tuple[int, ...] = ()  # entries that no sampler learns


@lru_cache
def _entries(positions: tuple[Position, ...], shared: bool) -> Entries:
    owners = [p.table if shared and p.table else p.name for p in positions]
    names: dict[tuple[str, str], int] = {}
    at = [
        tuple(names.setdefault((owner, option), len(names)) for option in position.options)
        for owner, position in zip(owners, positions, strict=True)
    ]
    unlearned = {p.name for p in positions if not p.table}
    several = len(set(owners) - unlearned) > 1
    tables = [
        tuple(k for (own, _), k in names.items() if own == owner) for owner in dict.fromkeys(owners)
    ]
    return Entries(
        tuple(
            f"{owner}/{option}" if several or owner in unlearned else option
            for owner, option in names
        ),
        tuple(at),
        tuple(tables),
        tuple((len(list(same)), own) for own, same in groupby(at)),
        any(set(own) not in map(set, tables) for own in at),
        tuple(k for (owner, _), k in names.items() if owner in unlearned),
    )


_REMEMBERED: list[Callable] = []


def remembered(function: Callable) -> Callable:
    """Computed once for each space, until a network of a user's space is built."""
    cached = lru_cache(maxsize=65536)(function)
    _REMEMBERED.append(cached)
    return cached


def forget() -> None:
    """Drop what is remembered of spaces: equal fields do not mean that their code is the same."""
    for cached in _REMEMBERED:
        cached.cache_clear()


@remembered
def _weights(space: Space) -> list[list[int]]:
    """[P][n_i]: numbers of weights, counted in a network without memory."""
    with torch.device("meta"):
        net = space.network("batch", None, "float32")
    found = [[0] * len(position.options) for position in space.positions]
    for arch in space.some():
        for place, option in enumerate(arch):
            found[place][option] = 0
        for place, option, weights, _ in net.owned(arch):
            found[place][option] += sum(weight.numel() for weight in weights)
    return found


@remembered
def alone_cost(space: Space, arch: Arch) -> tuple[int, int]:
    """(weights, FLOPs for one image) of the network of `arch` alone."""
    with torch.device("meta"):
        net = space.network("batch", arch, "float32")
        return cost(net, torch.empty(IMAGES, space.in_channels, space.size, space.size))
