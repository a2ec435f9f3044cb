"""Differences between methods, with both sources of doubt: other seeds, and other architectures.

Over seeds: Student's interval of the paired differences. Over architectures: a percentile bootstrap
that draws the same architectures for all runs. Architectures that are the same function are drawn
together: they say one thing, not several. And over both together. A difference is shown where all
intervals exclude zero, after Holm's correction for the comparisons of the table.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from padalib.ranking import metrics
from padalib.spaces import Space
from padalib.study import effects, outcomes

DRAWS = 2000
COUNTED_UP_TO = 4000  # architectures: sums of pairs are then exact in float32


class Measured(NamedTuple):
    """A measure of every run: by (method, seed), and on every resample of the architectures."""

    values: pd.Series
    resampled: pd.DataFrame  # [draws, runs]
    functions: int  # distinct ones among the architectures, the units that are drawn


def functions(space: Space, codes: Sequence[str]) -> pd.Series:
    """By code: the representative of the architectures that are the same supernet function."""
    return pd.Series({code: space.code(space.canonical(space.parse(code))) for code in codes})


def predictions(scores: pd.DataFrame, codes: Sequence[str]) -> pd.DataFrame:
    """A row an architecture, a column a run (method, seed): accuracy with inherited weights.

    ValueError where a run lacks one of `codes`.
    """
    order = scores[["method", "seed"]].drop_duplicates().itertuples(index=False, name=None)
    wide = scores.pivot(index="code", columns=["method", "seed"], values="accuracy")
    wide = wide.reindex(index=codes)[list(order)]
    if wide.isna().any(axis=None):
        lack = wide.columns[wide.isna().any()][0]
        code = wide.index[wide[lack].isna()][0]
        raise ValueError(f"the scores of {lack[0]} seed {lack[1]} lack architecture {code}")
    return wide


def resamples(clusters: Sequence, draws: int = DRAWS, seed: int = 0) -> list[np.ndarray]:
    """Places of the architectures in each bootstrap sample; members of a cluster come together.

    `clusters` names the cluster of every architecture. As many clusters are drawn as there are.
    """
    labels, names = pd.factorize(np.asarray(clusters))
    members = [np.flatnonzero(labels == k) for k in range(len(names))]
    rng = np.random.default_rng(seed)
    picks = rng.integers(len(names), size=(draws, len(names)))
    return [np.concatenate([members[k] for k in picked]) for picked in picks]


def measure(
    fn: Callable, predicted: pd.DataFrame, true: np.ndarray, clusters: Sequence, draws: int = DRAWS
) -> Measured:
    """`fn(scores, true)` of every run, on all architectures and on every resample of them.

    `predicted` has a row an architecture and a column a run, named (method, seed).
    """
    true, scores = np.asarray(true, dtype=float), predicted.to_numpy(dtype=float)
    samples = resamples(clusters, draws)
    if fn is metrics.tau and len(true) <= COUNTED_UP_TO:
        found = _taus(scores, true, samples)
    else:
        found = np.array([[fn(run[at], true[at]) for run in scores.T] for at in samples])
    values = pd.Series([fn(run, true) for run in scores.T], index=predicted.columns)
    functions = len(set(clusters))
    return Measured(values, pd.DataFrame(found, columns=predicted.columns), functions)


def _taus(scores: np.ndarray, true: np.ndarray, samples: list[np.ndarray]) -> np.ndarray:
    """[draws, runs]: tau-b on each resample, from how often it holds each architecture.

    With counts c, and P and T the signs of all pairwise differences, it is
    c'(P*T)c / sqrt(c'|P|c c'|T|c). Copies tie in both, as they do in the resample.
    """
    counts = np.stack([np.bincount(at, minlength=len(true)) for at in samples])
    counts = counts.astype(np.float32)  # [draws, A]

    def signs(vector: np.ndarray) -> np.ndarray:
        return np.sign(np.subtract.outer(vector, vector)).astype(np.float32)

    def form(matrix: np.ndarray) -> np.ndarray:
        return np.einsum("da,da->d", counts @ matrix, counts).astype(float)

    target = signs(true)
    of_target, found = form(abs(target)), []
    for run in scores.T:
        own = signs(run)
        with np.errstate(invalid="ignore"):  # 0 / 0 where one side is constant
            found.append(form(own * target) / np.sqrt(form(abs(own)) * of_target))
    return np.stack(found, axis=1)


def summary(measured: Measured) -> pd.DataFrame:
    """A row a method: mean, sd and the interval over seeds; the mean's interval over architectures.

    Where there is one seed only, sd and interval over seeds are NaN.
    """
    rows = []
    for method, values in measured.values.groupby(level=0, sort=False):
        mean, sd, n, low, high = metrics.seeds_summary(values)
        archs = _quantiles(measured.resampled[method].mean(axis=1).to_numpy())
        rows.append([method, mean, sd, n, low, high, *archs])
    columns = ["method", "mean", "sd", "seeds", "seeds_low", "seeds_high", "archs_low"]
    return pd.DataFrame(rows, columns=[*columns, "archs_high"])


def compare(
    measured: Measured, pairs: Sequence[tuple[str, str]], bound: float, wanted: int = 1
) -> pd.DataFrame:
    """A row for each pair (a, b) of methods that are there: a - b, its intervals, the verdict.

    As `outcomes.judged` has them. Seeds that both have are paired; a method with one run (a count
    of FLOPs) stands against every seed of the other. `wanted` -1: less is better.
    """
    rows = []
    for a, b in pairs:
        if not {a, b} <= set(measured.values.index.get_level_values(0)):
            continue
        first, second = measured.values[a], measured.values[b]
        alone = len(second) == 1
        seeds = first.index if alone else first.index.intersection(second.index)
        gaps = first[seeds] - (second.iloc[0] if alone else second[seeds])
        against = measured.resampled[b] if alone else measured.resampled[b][seeds]
        draws = measured.resampled[a][seeds].mean(axis=1) - against.mean(axis=1)
        resampled = _resampled(draws.to_numpy())
        doubts = effects.spread(gaps), len(gaps), effects.Doubt(float(draws.std()))
        found = outcomes.row(gaps.mean(), *doubts, measured.functions, resampled=resampled)
        rows.append({"a": a, "b": b} | found)
    return outcomes.judged(rows, bound, wanted)


def row(table: pd.DataFrame, a: str, b: str) -> Any:
    """The row of one pair, or None where a method was not trained."""
    if table.empty:
        return None
    found = table[(table.a == a) & (table.b == b)]
    return next(found.itertuples(), None)


def fieller(part: Sequence[float], whole: Sequence[float]) -> tuple[float, float, float]:
    """(ratio, low, high): mean(part) / mean(whole) over paired seeds, and its 95 % interval.

    All ratios r for which Student's interval of part - r whole holds zero (Fieller 1954). Without
    end, (-inf, inf), where the whole is not told from zero.
    """
    x, y = np.asarray(whole, dtype=float), np.asarray(part, dtype=float)
    ratio = float(y.mean() / x.mean())
    if len(x) < 2:
        return ratio, -math.inf, math.inf
    t2 = float(stats.t.ppf(0.975, len(x) - 1)) ** 2
    (var_x, cov), (_, var_y) = np.cov(x, y) / len(x)
    a = x.mean() ** 2 - t2 * var_x
    b, c = x.mean() * y.mean() - t2 * cov, y.mean() ** 2 - t2 * var_y
    if a <= 0:
        return ratio, -math.inf, math.inf
    half = math.sqrt(max(0.0, b**2 - a * c))
    return ratio, float((b - half) / a), float((b + half) / a)


def _quantiles(draws: np.ndarray) -> tuple[float, float]:
    kept = draws[~np.isnan(draws)]
    if 2 * len(kept) < len(draws):
        return math.nan, math.nan
    low, high = np.quantile(kept, [0.025, 0.975])
    return float(low), float(high)


def _resampled(draws: np.ndarray) -> tuple[float, float, float]:
    """(low, high, p) of a difference, p from how often it has the other sign.

    Where most resamples do not tell it, anything is possible.
    """
    low, high = _quantiles(draws)
    if math.isnan(low):
        return -math.inf, math.inf, 1.0
    kept = draws[~np.isnan(draws)]
    other = min(np.count_nonzero(kept <= 0), np.count_nonzero(kept >= 0))
    return low, high, min(1.0, 2 * (other + 1) / (len(kept) + 1))
