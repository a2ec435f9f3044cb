"""Differences between methods, with both sources of doubt: other seeds, and other architectures.

Over seeds: Student's interval of the paired differences. Over architectures: a percentile bootstrap
that draws the same architectures for all runs. Architectures that are the same function are drawn
together: they say one thing, not several. A difference is shown where both intervals exclude zero,
after Holm's correction for the comparisons of the table.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from padalib.ranking import metrics
from padalib.spaces import Space
from padalib.study import claims
from padalib.study.claims import Interval

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

    `p` is the larger of the two sources' p values, `holm` the same after Holm's correction. A
    method with one run (a count of FLOPs) stands against every seed of the other. `wanted` -1:
    less is better.
    """
    rows = []
    for a, b in pairs:
        if not {a, b} <= set(measured.values.index.get_level_values(0)):
            continue
        first, second = measured.values[a], measured.values[b]
        gaps = first - second if len(second) > 1 else first - second.iloc[0]
        seeds = metrics.seeds_summary(gaps.to_numpy())
        draws = (measured.resampled[a].mean(axis=1) - measured.resampled[b].mean(axis=1)).to_numpy()
        low, high = _quantiles(draws)
        p = max(student(seeds), _sign(draws))
        rows.append([a, b, seeds.mean, seeds.n, seeds.low, seeds.high, low, high, p])
    columns = ["a", "b", "difference", "seeds", "seeds_low", "seeds_high", "archs_low"]
    table = pd.DataFrame(rows, columns=[*columns, "archs_high", "p"])
    table.insert(4, "functions", measured.functions)
    table["holm"] = claims.holm(table.p.tolist())
    table["bound"] = bound
    judged = [
        claims.judge(intervals(row), wanted, bound=bound, p=row.holm) for row in table.itertuples()
    ]
    table["tests"] = len(table)
    seen = [max(i.visible(row.tests) for i in intervals(row)) for row in table.itertuples()]
    return table.assign(visible=seen, verdict=judged)


def intervals(row: Any) -> list[Interval]:
    """The two intervals of a row of `compare`."""
    return [
        Interval(row.seeds_low, row.seeds_high, "seeds", row.seeds),
        Interval(row.archs_low, row.archs_high, "distinct architectures", row.functions),
    ]


def row(table: pd.DataFrame, a: str, b: str) -> Any:
    """The row of one pair, or None where a method was not trained."""
    found = table[(table.a == a) & (table.b == b)]
    return next(found.itertuples(), None)


def told(row: Any, digits: int = 3) -> str:
    """A row's difference with what each interval is over."""
    return claims.said(row.difference, intervals(row), digits)


def claim(
    key: str, statement: str, row: Any, evidence: str, *, wanted: int = 1, **rest
) -> claims.Claim:
    """The claim that a row of `compare` decides."""
    decided = {"wanted": wanted, "bound": row.bound, "p": row.holm, "tests": row.tests}
    return claims.of(key, statement, row.difference, intervals(row), evidence, **decided, **rest)


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


def student(seeds: metrics.Summary) -> float:
    """Two-sided p value of a mean over seeds; 1 where they cannot tell."""
    if math.isnan(seeds.sd):
        return 1.0
    if not seeds.sd:
        return float(seeds.mean == 0)
    t = abs(seeds.mean) / seeds.sd * math.sqrt(seeds.n)
    return float(2 * stats.t(seeds.n - 1).sf(t))


def _sign(draws: np.ndarray) -> float:
    """Two-sided p value of a bootstrap, from how often the difference has the other sign."""
    kept = draws[~np.isnan(draws)]
    if 2 * len(kept) < len(draws):
        return 1.0
    other = min(np.count_nonzero(kept <= 0), np.count_nonzero(kept >= 0))
    return min(1.0, 2 * (other + 1) / (len(kept) + 1))
