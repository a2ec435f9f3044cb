"""Does it generalise better? Accuracy with inherited weights: of all architectures, of the best.

The mean over all is what `03` asks on fewer seeds. A method that trains some operations more and
others less moves good architectures and poor ones apart; so the truly best tenth is asked too,
which was added after a look at the first. The best are also the dearest, so beside them stand
others that cost as much, and what the best gain beyond these.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from padalib.ranking import pairs
from padalib.ranking.pairs import Estimate
from padalib.ranking.report import Ranked
from padalib.study import claims, controls, outcomes
from padalib.study.claims import Claim
from padalib.study.training import POINTS

BEST = 0.1  # of the architectures, by their true accuracy
ASKED = {
    ("PA&DA", "SPOS"): "PA&DA generalises better than SPOS",
    ("PA", "SPOS"): "PA generalises better than SPOS",
    ("curriculum", "SPOS"): "A fixed schedule without gradients generalises better than SPOS",
    ("PA", "curriculum"): "PA generalises better than a fixed schedule without gradients",
    ("PA", "yoked PA"): "PA generalises better than runs that replay another seed's schedule",
    ("PA&DA", "PA"): "PA&DA generalises better than PA alone",
}


def accuracies(
    scores: pd.DataFrame, known: Ranked, weights: np.ndarray | None = None
) -> dict[tuple[str, int], Estimate]:
    """Mean accuracy of every run in percent, by (method, seed), with each one's influence.

    With `weights` [A], which sum to 1 and are given by levels of equal FLOPs, the mean of those of
    the levels.
    """
    level = np.zeros(len(known.true), int)
    if weights is None:
        weights = np.full(len(level), 1 / len(level))
    else:
        level = np.unique(known.flops, return_inverse=True)[1]
    found = {}
    for key, own in scores.groupby(["method", "seed"], sort=False):
        accuracy = dict(outcomes.vectors(own, known))["accuracy"]
        means = np.bincount(level, accuracy) / np.bincount(level)
        found[key] = Estimate(float(accuracy @ weights), weights * (accuracy - means[level]))
    return found


def as_dear(known: Ranked) -> tuple[np.ndarray, np.ndarray]:
    """[A] bool, weights: others at levels of FLOPs that the best tenth has, each as often as it."""
    best = pairs.among(known.true, BEST)
    kept = ~best & np.isin(known.flops, known.flops[best])
    dear = known.flops[kept]
    weights = np.array([(known.flops[best] == own).sum() / (dear == own).sum() for own in dear])
    return kept, weights / weights.sum()


def beyond_cost(scores: pd.DataFrame, known: Ranked) -> dict[tuple[str, int], Estimate]:
    """By (method, seed): mean accuracy of the best tenth less that of others of equal FLOPs.

    Level by level, so those of the best that nobody else costs as much as are left out.
    """
    dear, weights = as_dear(known)
    level = np.unique(known.flops, return_inverse=True)[1]
    best = pairs.among(known.true, BEST) & np.isin(level, level[dear])
    found = {}
    for key, own in scores.groupby(["method", "seed"], sort=False):
        accuracy = dict(outcomes.vectors(own, known))["accuracy"]
        means = pd.Series(accuracy[dear]).groupby(level[dear]).mean().reindex(level).to_numpy()
        beyond, influence = accuracy - means, np.zeros(len(accuracy))
        value = float(beyond[best].mean())
        influence[best] = (beyond[best] - value) / best.sum()
        influence[dear] = -weights * beyond[dear]
        found[key] = Estimate(value, influence)
    return found


Runs = tuple[Ranked, dict[tuple[str, int], Estimate]]  # architectures, and what each run reaches


def _all(scores: pd.DataFrame, known: Ranked) -> Runs:
    return known, accuracies(scores, known)


def _best(scores: pd.DataFrame, known: Ranked) -> Runs:
    own = known.only(pairs.among(known.true, BEST))
    return own, accuracies(scores, own)


def _as_dear(scores: pd.DataFrame, known: Ranked) -> Runs | None:
    kept, weights = as_dear(known)
    own = known.only(kept) if kept.any() else None
    return own and (own, accuracies(scores, own, weights))


def _beyond(scores: pd.DataFrame, known: Ranked) -> Runs | None:
    return (known, beyond_cost(scores, known)) if as_dear(known)[0].any() else None


@dataclass(frozen=True)
class Group:
    """Which architectures are asked of, or what of them; points are differences already."""

    name: str
    runs: Callable[[pd.DataFrame, Ranked], Runs | None]  # None: there are no such architectures
    unit: str = "%"


GROUPS = {
    "all": Group("all architectures", _all),
    "best": Group("the truly best tenth", _best),
    "as_dear": Group("others of the FLOPs of the best tenth, in its proportions", _as_dear),
    "beyond": Group("the truly best tenth, less that of others of its FLOPs", _beyond, "points"),
}


def differences(scores: pd.DataFrame, known: Ranked) -> pd.DataFrame:
    """A row for each group and pair (a, b) of methods that are there, as in `controls.compare`.

    In points; `a_mean` and `b_mean` are the means over the seeds that both have. Holm's correction
    is over all rows.
    """
    rows = []
    for name, group in GROUPS.items():
        found = group.runs(scores, known)
        if found is None:
            continue
        own, runs = found
        for row in controls.compare({name: runs}, own, list(ASKED), [name]).to_dict("records"):
            seeds = [s for method, s in runs if method == row["a"] and (row["b"], s) in runs]
            means = {
                f"{side}_mean": float(np.mean([runs[row[side], s].value for s in seeds]))
                for side in ("a", "b")
            }
            rows.append(row | means)
    return outcomes.judged(rows, POINTS, wanted=1)


def conclude(rows: pd.DataFrame) -> list[Claim]:
    """A claim a row."""
    found = []
    for row in rows.itertuples():
        pair = claims.slug(row.a, row.b)
        group = GROUPS[row.measure]
        statement = f"{ASKED[row.a, row.b]}: mean accuracy of {group.name}"
        said = (
            f"{row.a} {row.a_mean:.1f} {group.unit}, {row.b} {row.b_mean:.1f} {group.unit} with "
            f"inherited weights: {outcomes.told(row, 2)}"
        )
        found.append(
            outcomes.claim(
                f"06.generalises.{row.measure}.{pair}",
                f"{statement}, inherited weights",
                row,
                said,
                wanted=1,
                unit="points",
            )
        )
    return found
