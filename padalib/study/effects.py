"""Effects over seeds: differences and ratios with their intervals, and words for tables of them.

And what makes an effect doubtful: standard errors, alone and together.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import optimize, stats

from padalib.ranking import metrics
from padalib.study import claims, wording

LEVEL = 0.05  # of every test
# Of equivalence, fixed beforehand: within ±0.03 of tau; variances within a factor of 1.1.
TAU_BOUND, RATIO_BOUND = 0.03, 0.1


class Doubt(NamedTuple):
    """A source of doubt: the standard error that it gives an effect; NaN where none is known."""

    error: float
    freedom: float = math.inf  # degrees of it in Student's t; without end: normal

    @property
    def half(self) -> float:
        """Half of the 95 % interval."""
        return float(stats.t.ppf(1 - LEVEL / 2, self.freedom)) * self.error

    def p(self, effect: float) -> float:
        """Two-sided p value of no effect; 1 where the error is not known."""
        if math.isnan(self.error):
            return 1.0
        if not self.error:
            return float(effect == 0)
        return float(2 * stats.t.sf(abs(effect) / self.error, self.freedom))


def spread(values: Sequence[float]) -> Doubt:
    """That of the mean of independent values."""
    n = len(values)
    return Doubt(metrics.seeds_summary(values).sd / math.sqrt(n), n - 1) if n > 1 else UNKNOWN


def behind(low: float, high: float, freedom: float = math.inf) -> Doubt:
    """That whose 95 % interval has these ends."""
    return Doubt((high - low) / 2 / Doubt(1.0, freedom).half, freedom)


def together(*doubts: Doubt) -> Doubt:
    """That of independent sources: errors add up in squares (Satterthwaite, Biometrics 1946)."""
    squares = [doubt.error**2 for doubt in doubts]
    lost = sum(s**2 / doubt.freedom for s, doubt in zip(squares, doubts, strict=True))
    return Doubt(math.sqrt(sum(squares)), sum(squares) ** 2 / lost if lost else math.inf)


UNKNOWN = Doubt(math.nan)


def welch(a: Sequence[float], b: Sequence[float]) -> Doubt:
    """Of mean(a) - mean(b), seeds unpaired and of unequal spread (Welch, Biometrika 1947).

    A side with one value, such as a count of FLOPs, is taken as known; two such tell nothing.
    """
    sides = [spread(side) for side in (a, b) if len(side) > 1]
    return together(*sides) if sides else UNKNOWN


class Effect(NamedTuple):
    """A mean over seeds, its 95 % interval (Student's) and the p value of no effect."""

    change: float
    low: float
    high: float
    p: float
    seeds: int

    @property
    def interval(self) -> claims.Interval:
        """The interval, for a claim."""
        return claims.Interval(self.low, self.high, "seeds", self.seeds)

    def __str__(self) -> str:
        return wording.interval(self.change, self.low, self.high)


def difference(a: pd.Series, b: pd.Series | float = 0.0) -> Effect:
    """Mean of a - b, Series indexed by seed; ValueError where they do not have the same seeds."""
    if isinstance(b, pd.Series) and set(a.index) != set(b.index):
        raise ValueError(
            f"one side has the seeds {sorted(a.index)}, the other {sorted(b.index)}: compare runs "
            "of the same seeds"
        )
    mean, sd, n, low, high = metrics.seeds_summary(a - b)
    if not sd > 0:  # one seed, or equal ones, or a value that is not known
        return Effect(mean, low, high, math.nan, n)
    return Effect(mean, low, high, float(2 * stats.t.sf(abs(mean) / sd * n**0.5, n - 1)), n)


def ratio(a: pd.Series, b: pd.Series | float = 1.0) -> Effect:
    """Geometric mean of a / b, the interval that of the logarithms; NaN unless all are positive."""
    found = difference(_log(a), _log(b))
    return Effect(*np.exp(found[:3]).tolist(), found.p, found.seeds)


def _log(values: pd.Series | float) -> pd.Series | float:
    if isinstance(values, pd.Series):
        values = values.where((values > 0) & (values < math.inf))
    return np.log(values)


def judge_rows(rows: pd.DataFrame, family: list[str]) -> pd.DataFrame:
    """Add `corrected` p values and a `word` to rows with `change`, `null`, `p` and `planned`.

    What the paper claims was planned, and stands on its own p value. The other comparisons are what
    a reader may pick from: Holm's correction over those that share a `family` (names of columns).
    The word is 'higher' or 'lower' than `null`, or 'not shown'.
    """
    corrected = rows.p.copy()
    picked = rows[~rows.planned & rows.p.notna()]
    for _, own in picked.groupby(family, sort=False):
        corrected[own.index] = claims.holm(own.p.tolist())
    side = np.where(rows.change > rows.null, "higher", "lower")
    word = np.where(corrected <= LEVEL, side, claims.NOT_SHOWN)
    return rows.assign(corrected=corrected, word=word)


def liked(bias: pd.DataFrame, by: str) -> pd.DataFrame:
    """`report.bias` in words: a row for each of `by`, a column an option, +0.12 [+0.05, +0.19]."""
    said = [
        f"{row.bias:+.2f} [{row.bias_low:+.2f}, {row.bias_high:+.2f}]" for row in bias.itertuples()
    ]
    wide = bias.assign(said=said).pivot(index=by, columns="option", values="said")
    return wide.loc[bias[by].unique(), bias.option.unique()]


class Pooled(NamedTuple):
    """A mean over groups that differ: its interval, p of no effect, and how much they differ."""

    mean: float
    low: float
    high: float
    p: float
    groups: int
    between: float  # standard deviation of the groups' true effects
    p_same: float  # p value of one effect in all groups (Cochran's Q)


def pooled(effects: ArrayLike, errors: ArrayLike) -> Pooled:
    """The random-effects mean of [K] effects with standard errors, K at least 2.

    Variance between groups by Paule & Mandel (J. Res. Natl. Bur. Stand. 1982), with which the
    interval of Hartung & Knapp (Statist. Med. 2001), Student's with K - 1 degrees, is the plain
    one: 1 / sum of weights. ValueError for fewer groups, or errors that are not positive.
    """
    y, own = np.asarray(effects, float), np.square(np.asarray(errors, float))
    if len(y) < 2 or len(y) != len(own) or not (np.isfinite(own) & (own > 0)).all():
        raise ValueError(
            f"pass two or more effects, each with an error above 0, got {y} with errors {errors}"
        )

    def spread(between: float) -> float:  # falls with `between`
        weights = 1 / (own + between)
        return float(weights @ np.square(y - weights @ y / weights.sum()))

    q, degrees = spread(0.0), len(y) - 1
    most = float(np.square(np.ptp(y)) * len(y))  # there the spread is below 1
    between = optimize.brentq(lambda b: spread(b) - degrees, 0.0, most) if q > degrees else 0.0
    weights = 1 / (own + between)
    mean, error = float(weights @ y / weights.sum()), float(weights.sum() ** -0.5)
    half = float(stats.t.ppf(0.975, degrees)) * error
    p = float(2 * stats.t.sf(abs(mean) / error, degrees))
    same = float(stats.chi2.sf(q, degrees))
    return Pooled(mean, mean - half, mean + half, p, len(y), between**0.5, same)
