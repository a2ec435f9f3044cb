"""Which rivals are told from which: all pairs in one space, their ranks, groups of neighbours."""

import itertools
import math
from collections.abc import Sequence

import pandas as pd

from padalib.ranking.ranked import Ranked
from padalib.study import blocks, claims, outcomes
from padalib.study.controls import OUTCOMES, Measured
from padalib.study.effects import Doubt
from padalib.study.scales.rivals import METHODS


def values(measured: Measured, measure: str) -> pd.DataFrame:
    """[seeds, methods] of one measure, of what is compared: a column a method."""
    runs = {key: one.value for key, one in measured[measure].items() if key[0] in METHODS}
    return pd.Series(runs).unstack(0)


def means(measured: Measured, measure: str) -> pd.Series:
    """Each method's mean over seeds, the best first."""
    return values(measured, measure).mean().sort_values(ascending=False, kind="stable")


def each_pair(measured: Measured, known: Ranked) -> list[pd.DataFrame]:
    """The difference of every two methods, the better one first: a family by each outcome.

    Over seeds that both have, with the error of a run pooled over all methods, see `blocks`.
    """
    families = []
    for measure in OUTCOMES:
        runs = {k: one for k, one in measured[measure].items() if k[0] in METHODS}
        table = pd.Series({k: one.value for k, one in runs.items()}).dropna()
        left = blocks.left(table.to_numpy(), *map(table.index.get_level_values, (0, 1)))
        order, rows = list(means(measured, measure).index), []
        for a, b in itertools.combinations(order, 2):
            seeds = [seed for method, seed in runs if method == a and (b, seed) in runs]
            if not seeds:
                continue
            weights = [sign / len(seeds) for sign in (1, -1) for _ in seeds]
            own = outcomes.combine(weights, [runs[m, seed] for m in (a, b) for seed in seeds])
            over = Doubt(left.sd * math.sqrt(2 / len(seeds)), left.freedom)
            row = outcomes.doubted(own, over, len(seeds), known.clusters)
            rows.append({"measure": measure, "a": a, "b": b} | row)
        families.append(pd.DataFrame(rows))
    return families


def ranks(measured: Measured, differences: pd.DataFrame, cards: pd.DataFrame) -> pd.DataFrame:
    """A row a method and outcome: its mean over its seeds, mean rank over those that all have.

    And its groups and intervals.

    A group is a run of neighbours no two of which are told apart after Holm's correction; `groups`
    names each by its number, counted from the best: '1 2'. The intervals are those of the card.
    """
    rows = []
    for measure in OUTCOMES:
        mean, seeds = means(measured, measure), values(measured, measure).count()
        by_seed = values(measured, measure).dropna().rank(axis=1, ascending=False).mean()
        own = differences[differences.measure == measure]
        told = own[own.verdict.isin((claims.SHOWN, claims.OPPOSITE))]
        apart = {frozenset(pair) for pair in zip(told.a, told.b, strict=True)}
        spans = groups(list(mean.index), apart)
        for place, (method, value) in enumerate(mean.items()):
            held = " ".join(str(k) for k, (a, b) in enumerate(spans, 1) if a <= place <= b)
            rows.append([measure, method, seeds[method], value, by_seed[method], held])
    table = pd.DataFrame(rows, columns=["measure", "method", "seeds", "mean", "rank", "groups"])
    ends = ["seeds_low", "seeds_high", "low", "high"]
    return table.merge(cards[["measure", "method", *ends]], on=["measure", "method"], how="left")


def groups(order: Sequence[str], apart: set[frozenset[str]]) -> list[tuple[int, int]]:
    """(first, last) places of each longest run of neighbours no two of which are `apart`."""
    found: list[tuple[int, int]] = []
    for first in range(len(order)):
        last = first
        while last + 1 < len(order) and not any(
            frozenset((each, order[last + 1])) in apart for each in order[first : last + 1]
        ):
            last += 1
        if last > first and not (found and found[-1][1] >= last):
            found.append((first, last))
    return found
