"""What a search asks: scores that are counted and remembered, and limits on what is allowed."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import pandas as pd
import torch

from padalib import spaces
from padalib.data import ImageSet
from padalib.engine import checked
from padalib.ranking import scores
from padalib.spaces import Arch, Space, Supernet
from padalib.spaces.base import LISTED

# An architecture and a share of the images, to its score: higher is better. Equal shares mean the
# same images.
Score = Callable[[Arch, float], float]
TRIES = 10_000  # architectures drawn before it is said that none is allowed
PATIENCE = 1_000  # asked one after another and all known already: the search is over
COLUMNS = ("evaluation", "cost", "code", "share", "score", "found", "best_so_far", "repeats")


def scorer(
    net: Supernet,
    images: ImageSet,
    by: Literal["accuracy", "loss"] = "accuracy",
    batch: int | None = None,
    calibration: ImageSet | None = None,
) -> Score:
    """Scores with inherited weights; a share of the images is the first of them.

    Image sets are in random order, so that is one random subset for all. `batch` and `calibration`
    as in `scores.score`. ValueError for another `by`.
    """
    by = checked.fit("by", by, Literal["accuracy", "loss"])

    def score(arch: Arch, share: float) -> float:
        some = images.first(max(1, round(share * len(images))))
        each = batch and min(batch, len(some))
        ((accuracy, loss),) = scores.score(net, [arch], some, each, calibration)
        return accuracy if by == "accuracy" else -loss

    return score


@dataclass(frozen=True)
class Limits:
    """What an architecture may cost at most, as a predicate.

    `most`: name -> limit; names are 'flops', 'params' and the columns of `table`, which has a row
    for each code (latencies, say). What was not measured (NaN) is within no limit. ValueError for
    a name that is neither, a limit that is no positive number, a code that `table` lacks, or what
    it has twice.
    """

    space: Space | str  # a name becomes the space of that name
    most: Mapping[str, float]
    table: pd.DataFrame | None = None

    def __post_init__(self) -> None:
        if isinstance(self.space, str):
            object.__setattr__(self, "space", spaces.get(self.space))
        known = {"flops", "params", *(() if self.table is None else self.table.columns)}
        foreign = sorted(set(self.most) - known)
        if foreign or not self.most:
            raise ValueError(
                f"limits must be on some of {', '.join(sorted(known))}; got "
                f"{', '.join(foreign) or 'none'}"
            )
        for name, most in self.most.items():
            checked.fit(f"the limit on {name}", most, checked.Positive)
        axes = () if self.table is None else zip(("rows", "columns"), self.table.axes, strict=True)
        for kind, names in axes:
            if names.has_duplicates:
                name = names[names.duplicated()][0]
                raise ValueError(
                    f"the table of costs has {(names == name).sum()} {kind} for {name} of "
                    f"{self.space.name}: keep one of them"
                )

    def costs(self, arch: Arch) -> dict[str, float]:
        """What `arch` costs, of all that is limited."""
        return {name: self._cost(name, arch) for name in self.most}

    def _cost(self, name: str, arch: Arch) -> float:
        if self.table is None or name not in self.table:
            return float(self.space.flops(arch) if name == "flops" else self.space.params(arch))
        code = self.space.code(arch)
        if code not in self.table.index:
            raise ValueError(f"the table of costs has no row for {code} of {self.space.name}")
        return float(self.table.at[code, name])

    def __call__(self, arch: Arch) -> bool:
        return all(self._cost(name, arch) <= most for name, most in self.most.items())

    def __str__(self) -> str:
        return " and ".join(f"{name} of at most {most:g}" for name, most in self.most.items())


class Over(Exception):
    """The budget is spent, or nothing new is found any more: how a search ends."""


@dataclass
class Counted:
    """A score that counts what is asked of it, and remembers.

    `budget` is in scores on all images: one on a third of them costs a third. Architectures that
    are the same supernet function are scored once; asking again is free and counted apart, in the
    column `repeats`. `table` holds the evaluations in order (`COLUMNS`): `cost` is what was spent
    up to there, `found` the code with the best score, `best_so_far`, on the most images so far.

    A search that was cut goes on where its `table` is passed as `known`: what is in there is not
    scored again. ValueError where it is of a search that asked for others, and for a score that is
    no number.
    """

    space: Space | str  # a name becomes the space of that name
    score: Score
    budget: float
    allowed: Callable[[Arch], bool] | None = None
    known: pd.DataFrame | None = None
    repeats: int = field(default=0, init=False)
    cost: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        if isinstance(self.space, str):
            self.space = spaces.get(self.space)
        self.budget = checked.fit("budget", self.budget, checked.Positive)
        lack = [] if self.known is None else [c for c in COLUMNS if c not in self.known]
        if lack:
            raise ValueError(f"known is no table of a search, it lacks {', '.join(lack)}")
        self._rows: list[tuple] = []
        self._scores: dict[tuple[Arch, float], float] = {}
        # On the most images so far: that share, its scores by code, the best of them.
        self._share, self._by_code, self._top = 0.0, {}, ""
        self._in_a_row = 0
        self._named: dict[Arch, tuple[Arch, str]] = {}
        self._drew, self._within = False, None  # whether one was drawn; all within, once listed

    def _names(self, arch: Arch) -> tuple[Arch, str]:
        """Its function's representative, and its own code."""
        if arch not in self._named:
            self._named[arch] = self.space.canonical(arch), self.space.code(arch)
        return self._named[arch]

    @property
    def table(self) -> pd.DataFrame:
        """The evaluations so far, which are the state of the search."""
        return pd.DataFrame(self._rows, columns=list(COLUMNS))

    @property
    def searched(self) -> bool:
        """Whether anything was asked for yet."""
        return bool(self._rows or self.repeats)

    def best(self, n: int) -> list[Arch]:
        """The `n` best on the most images so far; of equals those that came first."""
        ordered = sorted(self._by_code, key=lambda code: -self._by_code[code])
        return [self.space.parse(code) for code in ordered[:n]]

    def fits(self, arch: Arch) -> bool:
        """Whether the limits allow it."""
        return self.allowed is None or bool(self.allowed(arch))

    def new(self, arch: Arch) -> bool:
        """Whether it was never scored on all images; if it was, that counts as a repeat."""
        if (self._names(arch)[0], 1.0) not in self._scores:
            return True
        self._repeat()
        return False

    def __call__(self, arch: Arch, share: float = 1.0) -> float:
        """The score of `arch` on that share of the images; `Over` where the budget lacks it."""
        function, code = self._names(arch)
        key = function, share
        if key in self._scores:
            self._repeat()
            return self._scores[key]
        if self.cost + share > self.budget + 1e-9:
            raise Over
        self._in_a_row = 0
        score = self._scores[key] = self._scored(arch, code, share)
        self.cost += share
        if share > self._share:
            self._share, self._by_code, self._top = share, {}, code
        if share == self._share:
            self._by_code[code] = score
            if score > self._by_code[self._top]:
                self._top = code
        row = (len(self._rows) + 1, self.cost, code, share, score)
        self._rows.append((*row, self._top, self._by_code[self._top], self.repeats))
        return score

    def _scored(self, arch: Arch, code: str, share: float) -> float:
        at = len(self._rows)
        if self.known is None or at >= len(self.known):
            score = self.score(arch, share)
            try:
                number = float(score)
            except (TypeError, ValueError):
                number = math.nan
            if math.isnan(number):
                raise ValueError(f"the score of {code} is {score}: nothing can be found by it")
            return number
        row = self.known.iloc[at]
        if row.code != code or not math.isclose(row.share, share):
            raise ValueError(
                f"known is the table of another search: its evaluation {at + 1} is of {row.code} "
                f"on {row.share:.3g} of the images, and this search asks for {code} on "
                f"{share:.3g}. Pass the table of one with this space, seed, limits and options"
            )
        return float(row.score)

    def _repeat(self) -> None:
        self.repeats += 1
        self._in_a_row += 1
        if self._in_a_row >= PATIENCE:
            raise Over

    def draw(self, rng: torch.Generator) -> Arch:
        """A uniform architecture within the limits.

        After `TRIES` in vain one of all that are, where the space can be listed. ValueError where
        none is; `Over` where that cannot be told, and one was drawn or scored before.
        """
        for _ in range(TRIES if self._within is None else 0):
            if self.fits(arch := self.space.sample(rng)):
                self._drew = True
                return arch
        if self._within is None:
            self._within = self._list_within()
        return self._within[int(torch.randint(len(self._within), (), generator=rng))]

    def draw_new(self, rng: torch.Generator) -> Arch:
        """The same, never scored on all images before."""
        while not self.new(arch := self.draw(rng)):
            pass
        return arch

    def _list_within(self) -> list[Arch]:
        """All that the limits allow, at least one; else how `draw` ends."""
        listable = self.space.architectures <= LISTED
        within = [arch for arch in self.space if self.fits(arch)] if listable else []
        if within:
            return within
        if self._drew or self._rows:
            raise Over
        limits = f" ({self.allowed})" if isinstance(self.allowed, Limits) else ""
        some = "" if listable else f"{TRIES:,} random ones of "
        raise ValueError(
            f"the limits{limits} allow none of {some}the {self.space.architectures:,} "
            f"architectures of {self.space.name}: set higher ones"
        )
