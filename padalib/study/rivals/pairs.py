"""Which rivals are told from which: all pairs in one space, their ranks, groups of neighbours."""

import itertools
import math
from collections.abc import Sequence

import pandas as pd

from padalib.ranking.pairs import Estimate
from padalib.ranking.ranked import Ranked
from padalib.study import claims, effects, outcomes
from padalib.study.controls.compared import OUTCOMES, Measured
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

    Of the means over all seeds that each has, with Welch's interval. Methods differ too much in how
    far their seeds lie apart, by loss from 0.003 to 0.1 of tau, for one error of a run for all:
    where nothing differs, that told some pair apart in 21 of 100 simulated tables.
    """
    families = []
    for measure in OUTCOMES:
        runs: dict[str, list[Estimate]] = {}
        for (method, _), one in measured[measure].items():
            if method in METHODS and not math.isnan(one.value):
                runs.setdefault(method, []).append(one)
        order = [name for name in means(measured, measure).index if name in runs]
        rows = []
        for a, b in itertools.combinations(order, 2):
            weights = [sign / len(runs[m]) for m, sign in ((a, 1), (b, -1)) for _ in runs[m]]
            own = outcomes.combine(weights, [*runs[a], *runs[b]])
            over = effects.welch(*([one.value for one in runs[m]] for m in (a, b)))
            fewer = min(len(runs[a]), len(runs[b]))
            row = outcomes.doubted(own, over, fewer, known.clusters)
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
