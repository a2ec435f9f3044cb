"""What counts as one unit: a seed, or seeds that share schedules."""

from collections.abc import Sequence

from padalib.ranking.pairs import Estimate
from padalib.study import outcomes


def by_pairs(gaps: Sequence[Estimate]) -> list[Estimate]:
    """The mean of each two seeds that share schedules, of an estimate a seed."""
    return [
        outcomes.combine([1 / len(own)] * len(own), [gaps[k] for k in own])
        for own in swapped(len(gaps))
    ]


def swapped(n: int) -> list[list[int]]:
    """Places of n seeds that share schedules (`Scale.partner`); an odd last one joins the first."""
    groups = [[k, k + 1] for k in range(0, n - 1, 2)]
    if n % 2 and groups:
        groups[0].append(n - 1)
    return groups or [[k] for k in range(n)]
