"""Outcomes of a ranking, run by run, and what moves them: differences and slopes with both doubts.

An outcome is an `Estimate`: a value, and its influence by architecture. So everything linear in
outcomes (a mean over seeds, a difference, a slope over training lengths) has an interval over
architectures without resampling, beside Student's over seeds.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from padalib.ranking import metrics, report
from padalib.ranking.pairs import Estimate
from padalib.ranking.report import Ranked
from padalib.study import claims, contests, effects
from padalib.study.claims import Interval

NAMES = {
    "tau": "tau",
    "within_flops": "tau within equal FLOPs",
    "between_flops": "tau between unequal FLOPs",
    "with_flops": "tau of the rank averaged with that of FLOPs",
    "level_means": "tau of the means of levels of FLOPs",
}
BY = ("accuracy", "loss")  # what is ranked by
# What claims are made of, and by which score: fixed beforehand, and the same as in `controls`.
JUDGED = {"tau": "loss", "within_flops": "accuracy"}
LEAST_OF_MEANS = 10  # architectures of a level of equal FLOPs, for its mean to count
# Of equivalence, fixed beforehand: 0.01 of tau for each doubling (of the training length, of the
# variance), so that an eightfold change moves tau by no more than the bound of a difference.
SLOPE_BOUND = effects.TAU_BOUND / 3


def of(pred: np.ndarray, ranked: Ranked) -> dict[str, Estimate]:
    """The outcomes of one run's scores [A]; NaN where the architectures do not allow one."""
    fns = report.smooth(ranked)
    found = {name: fns[name](pred) for name in NAMES if name in fns}
    return found | {"level_means": tau_of_means(pred, ranked.true, ranked.flops)}


def tau_of_means(pred: np.ndarray, true: np.ndarray, level: np.ndarray) -> Estimate:
    """tau between the means of levels: whether they are in order, whatever is so within them.

    The levels are few and given, so there is no influence of architectures.
    """
    _, at, sizes = np.unique(level, return_inverse=True, return_counts=True)
    kept = sizes >= LEAST_OF_MEANS
    means = [(np.bincount(at, values) / sizes)[kept] for values in (pred, true)]
    value = metrics.tau(*means) if kept.sum() > 1 else math.nan
    return Estimate(value, np.full(len(pred), math.nan))


def vectors(scores: pd.DataFrame, ranked: Ranked) -> Iterator[tuple[str, np.ndarray]]:
    """(by, [A]): one run's scores in the order of `ranked`, higher is better.

    ValueError where the run lacks an architecture.
    """
    rows = scores.set_index("code").reindex(list(ranked.codes))
    if rows.accuracy.isna().any():
        code = rows.index[rows.accuracy.isna()][0]
        raise ValueError(f"the scores of a run lack architecture {code}: score it like the others")
    yield "accuracy", rows.accuracy.to_numpy()
    yield "loss", -rows.loss.to_numpy()


def by_run(scores: pd.DataFrame, ranked: Ranked, keys: Sequence[str]) -> pd.DataFrame:
    """A row for each run, `by` and outcome: keys, seed, by, outcome, value, estimate."""
    rows = []
    for key, own in scores.groupby([*keys, "seed"], sort=False):
        for by, pred in vectors(own, ranked):
            for outcome, estimate in of(pred, ranked).items():
                rows.append([*key, by, outcome, estimate.value, estimate])
    return pd.DataFrame(rows, columns=[*keys, "seed", "by", "outcome", "value", "estimate"])


def cards(
    found: pd.DataFrame, scores: pd.DataFrame, ranked: Ranked, keys: Sequence[str]
) -> pd.DataFrame:
    """Means over seeds of `by_run`, agreement between seeds, and the limit of many seeds.

    A row for each combination of keys, `by` and measure, with intervals over seeds, over
    architectures and over both, as in `report.card`.
    """
    rows, runs = [], dict(list(scores.groupby(list(keys), sort=False)))
    for (*key, by), own in found.groupby([*keys, "by"], sort=False):
        seeds = own.groupby("outcome", sort=False).estimate.apply(list)
        n, clusters = own.seed.nunique(), ranked.clusters
        measures = {name: report.measured(each, n, clusters) for name, each in seeds.items()}
        each_seed = runs[tuple(key)].groupby("seed", sort=False)
        preds = [dict(vectors(run, ranked))[by] for _, run in each_seed]
        measures |= report.agreement(preds, seeds["tau"], clusters)
        for name, row in measures.items():
            named = {"by": by, "measure": name, "seeds": n}
            rows.append(dict(zip(keys, key, strict=True)) | named | row)
    return _known(rows)


def free(ranked: Ranked) -> pd.DataFrame:
    """The outcomes of what needs no training: columns name, measure and those of `cards`."""
    rows = []
    for name, values in ranked.free.items():
        for measure, estimate in of(values, ranked).items():
            row = report.measured([estimate], 1, ranked.clusters)
            rows.append({"name": name, "measure": measure} | row)
    return _known(rows)


def _known(rows: Sequence[Mapping]) -> pd.DataFrame:
    """Rows that have a value; where architectures have no influence, seeds are all the doubt."""
    table = pd.DataFrame(rows)
    for end in ("low", "high"):
        table[end] = table[end].fillna(table[f"seeds_{end}"])
    ends = [name for name in table if name.endswith(("low", "high"))]
    table[ends] = table[ends].clip(-1.0, 1.0)
    return table[table.value.notna()].reset_index(drop=True)


# --- what is linear in outcomes ---


def combine(weights: Sequence[float], estimates: Sequence[Estimate]) -> Estimate:
    """The weighted sum."""
    value = float(sum(w * e.value for w, e in zip(weights, estimates, strict=True)))
    return Estimate(value, sum(w * e.influence for w, e in zip(weights, estimates, strict=True)))


def slope(x: Sequence[float], estimates: Sequence[Estimate]) -> Estimate:
    """Least squares: the change of an outcome with one more of x."""
    x = np.asarray(x, float)
    return combine((x - x.mean()) / np.square(x - x.mean()).sum(), estimates)


def mean(by_seed: Sequence[Estimate], ranked: Ranked, unit: str = "seeds") -> dict[str, Any]:
    """The mean over seeds as a row of `contests.compare`, with the p value of no effect.

    Two doubts: Student's over seeds (or over another independent `unit`), and normal over
    architectures where there is an influence. `both_low` and `both_high` hold both: their errors
    add up in squares, with Satterthwaite's degrees of freedom. p is the largest of the three.
    """
    over = metrics.seeds_summary([estimate.value for estimate in by_seed])
    influence = np.mean([estimate.influence for estimate in by_seed], axis=0)
    error = Estimate(over.mean, influence).error(ranked.clusters)
    row = {"difference": over.mean, "seeds": over.n, "functions": int(ranked.clusters.max()) + 1}
    row |= {"unit": unit, "seeds_low": over.low, "seeds_high": over.high}
    half = 1.96 * error
    row |= {"archs_low": over.mean - half, "archs_high": over.mean + half}
    p, both = contests.student(over), math.nan
    if error > 0:
        p = max(p, float(2 * stats.norm.sf(abs(over.mean) / error)))
    if error > 0 and over.sd > 0:
        squares = over.sd**2 / over.n, error**2
        t = stats.t(sum(squares) ** 2 / (squares[0] ** 2 / (over.n - 1)))
        both = float(t.ppf(0.975)) * math.sqrt(sum(squares))
        p = max(p, float(2 * t.sf(abs(over.mean) / math.sqrt(sum(squares)))))
    return row | {"both_low": over.mean - both, "both_high": over.mean + both, "p": p}


def judged(rows: Sequence[Mapping], bound: float, wanted: int) -> pd.DataFrame:
    """Rows of `mean`, one family: Holm's correction, smallest visible effect, and verdict."""
    table = pd.DataFrame(list(rows))
    if table.empty:
        return table
    table = table[table.difference.notna()].reset_index(drop=True)
    table["holm"], table["bound"] = claims.holm(table.p.tolist()), bound
    table["tests"] = len(table)
    both = [intervals(row) for row in table.itertuples()]
    table["visible"] = [max(one.visible(len(table)) for one in own) for own in both]
    table["verdict"] = [
        claims.judge(own, wanted, bound=bound, p=p) for own, p in zip(both, table.holm, strict=True)
    ]
    return table


def intervals(row: Any) -> list[Interval]:
    """The intervals of a row; those over architectures, and over both, only where there are any."""
    found = [Interval(row.seeds_low, row.seeds_high, row.unit, row.seeds)]
    if not math.isnan(row.archs_low):
        over = "distinct architectures"
        found.append(Interval(row.archs_low, row.archs_high, over, row.functions))
    if not math.isnan(row.both_low):
        found.append(Interval(row.both_low, row.both_high, f"{row.unit} and these", row.seeds))
    return found


def told(row: Any) -> str:
    """A row's effect with what each interval is over."""
    return claims.said(row.difference, intervals(row))


def claim(key: str, statement: str, row: Any, evidence: str, *, wanted: int, **rest: Any):
    """The claim that a row of `judged` decides."""
    bound = None if math.isnan(row.bound) else row.bound
    decided = {"wanted": wanted, "bound": bound, "p": row.holm, "tests": row.tests}
    return claims.of(key, statement, row.difference, intervals(row), evidence, **decided, **rest)
