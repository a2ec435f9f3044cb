"""What counts as one unit: a seed, or seeds that share schedules."""

from collections.abc import Collection, Mapping, Sequence

from padalib.ranking.pairs import Estimate
from padalib.study import outcomes
from padalib.study.scale import partner


def by_pairs(gaps: Mapping[int, Estimate], seeds: Sequence[int]) -> list[Estimate]:
    """The mean of each two seeds that share schedules, of an estimate by seed; see `swapped`."""
    return [
        outcomes.combine([1 / len(own)] * len(own), [gaps[seed] for seed in own])
        for own in swapped(gaps, seeds)
    ]


def swapped(own: Collection[int], seeds: Sequence[int]) -> list[list[int]]:
    """Those seeds of a scale's `seeds` that are there, by the schedules that they share.

    ValueError for a seed that is none of these, or is there without its `scale.partner`.
    """
    if other := set(own) - set(seeds):
        raise ValueError(f"seeds {sorted(other)} are none of the scale's, which are {seeds}")
    units: dict[frozenset[int], list[int]] = {}
    for seed in (each for each in seeds if each in own):
        beside = partner(seeds, seed)
        if beside not in own:
            raise ValueError(
                f"seed {seed} replays the schedule of seed {beside}, which is not among "
                f"{sorted(own)}: compare both, or neither"
            )
        # The partner's own partner: an odd last seed takes the first one's, and joins its pair.
        units.setdefault(frozenset((beside, partner(seeds, beside))), []).append(seed)
    return list(units.values())
