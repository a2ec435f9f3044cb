"""How well do predicted scores rank architectures? Pure functions of score vectors.

`pred` and `true` hold one score per architecture, higher is better. Where they are labelled
(pandas Series, dicts) they are matched by label, whatever their order. Plain vectors have no
labels: they must be in one order, and are refused beside labelled ones (a Series that is numbered
0, 1, 2, ... counts as either).
No metric depends on the order: where architectures tie at a cut, the metric says what it does.
Compare methods on one set of architectures only; tau changes a lot from set to set.
"""

import math
from collections.abc import Callable, Iterable
from functools import partial
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from padalib.ranking.vectors import aligned, ranks

PAIRS_UP_TO = 200  # below it all pairs at once are faster than scipy's sort
COUNTS_UP_TO = 2000  # beyond it the [A, A] sign matrices cost more than the plain loop


class Summary(NamedTuple):
    """Mean and standard deviation (ddof=1) of n values, and the t interval of the mean."""

    mean: float
    sd: float
    n: int
    low: float
    high: float


def _vectors(*vectors: ArrayLike, names: tuple[str, ...] = ("pred", "true")) -> list[np.ndarray]:
    """The vectors as float arrays in one order; ValueError unless 1-D, finite, n >= 2 of each."""
    arrays = aligned(vectors, names)
    for name, array in zip(names, arrays, strict=True):
        if array.ndim != 1 or len(array) < 2:
            raise ValueError(f"{name} has shape {array.shape}, pass a vector of two or more scores")
        if not np.isfinite(array).all():
            at = int(np.argmin(np.isfinite(array)))
            raise ValueError(f"{name}[{at}] is {array[at]}, not finite: score it again or drop it")
        if len(array) != len(arrays[0]):
            raise ValueError(
                f"{names[0]} has {len(arrays[0])} scores and {name} has {len(array)}: pass the "
                "same architectures in the same order"
            )
    return arrays


def _top_k(n: int, fraction: float) -> int:
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction must be in (0, 1], got {fraction}: 0.1 means the top 10 %")
    # 0.1 * 70 is 7.000000000000001 and must not be rounded up to 8
    return max(1, math.ceil(fraction * n - 1e-9))


def _kth_best(scores: np.ndarray, k: int) -> float:
    return np.partition(scores, len(scores) - k)[len(scores) - k]


def _tau_b(concordance: ArrayLike, pred_pairs: ArrayLike, true_pairs: ArrayLike) -> np.ndarray:
    """tau-b from (concordant - discordant) and the pairs untied in each; NaN where a count is 0."""
    with np.errstate(invalid="ignore"):  # 0 / 0, a constant side
        ratio = concordance / np.sqrt(pred_pairs) / np.sqrt(true_pairs)
    return np.clip(ratio, -1.0, 1.0)


def _signs(scores: np.ndarray) -> np.ndarray:
    """[A, A] of -1, 0, 1: the sign of every pairwise difference."""
    column = scores[:, None]
    return np.subtract(column > scores, column < scores, dtype=np.int8)


def tau(pred: ArrayLike, true: ArrayLike) -> float:
    """Kendall's tau-b, as `scipy.stats.kendalltau`; NaN when one side is constant.

    (concordant - discordant) / sqrt(pairs untied in pred * pairs untied in true);
    Kendall, "The treatment of ties in ranking problems", Biometrika 1945.
    """
    pred, true = _vectors(pred, true)
    if len(pred) > PAIRS_UP_TO:
        return float(stats.kendalltau(pred, true).statistic)
    p, t = _signs(pred), _signs(true)
    counts = [int(np.count_nonzero(s)) // 2 for s in (p, t)]  # each pair stands there twice
    return float(_tau_b(int((p * t).sum(dtype=np.int64)) // 2, *np.float64(counts)))


def spearman(pred: ArrayLike, true: ArrayLike) -> float:
    """Spearman's rank correlation, ties at their mean rank; NaN when one side is constant."""
    p, t = (ranks(vector) for vector in _vectors(pred, true))
    p, t = p - p.mean(), t - t.mean()
    scale = math.sqrt((p @ p) * (t @ t))
    return float(np.clip(p @ t / scale, -1.0, 1.0)) if scale else math.nan


def partial_spearman(a: ArrayLike, b: ArrayLike, fixed: ArrayLike) -> float:
    """Spearman's rho of a and b with a third vector held fixed, in [-1, 1].

    Pearson's correlation of what is left of their ranks after a linear fit to the ranks of `fixed`.
    NaN where nothing is left of one.
    """
    found = [ranks(x) for x in _vectors(a, b, fixed, names=("a", "b", "fixed"))]
    x, y, z = (rank - rank.mean() for rank in found)
    x, y = (v - z * (v @ z) / (z @ z) if z.any() else v for v in (x, y))
    scale = np.linalg.norm(x) * np.linalg.norm(y)
    return float(x @ y / scale) if scale > 1e-9 else math.nan


def top_tau(pred: ArrayLike, true: ArrayLike, fraction: float = 0.1) -> float:
    """tau-b among the truly best ceil(fraction * n) architectures and all that tie with the last.

    Near 0 when a predictor separates good from bad but not good from better. NaN when fewer than
    two architectures are left, or one side is constant among them.
    """
    pred, true = _vectors(pred, true)
    top = true >= _kth_best(true, _top_k(len(true), fraction))
    return tau(pred[top], true[top]) if np.count_nonzero(top) > 1 else math.nan


def precision_at(pred: ArrayLike, true: ArrayLike, fraction: float) -> float:
    """Share of the predicted top k that is in the true top k, k = max(1, ceil(fraction * n)).

    What ties with the k-th best in `true` is as good, and counts as in the true top. Ties at the
    cut of `pred` count by their expected value, as if broken at random.
    """
    pred, true = _vectors(pred, true)
    return _precision(pred, true, _top_k(len(pred), fraction))


def _precision(pred: np.ndarray, true: np.ndarray, k: int) -> float:
    good = true >= _kth_best(true, k)
    cut = _kth_best(pred, k)
    above = pred > cut
    free = k - np.count_nonzero(above)  # places left to those tied at the cut
    return float((np.count_nonzero(good & above) + free * good[pred == cut].mean()) / k)


def regret(pred: ArrayLike, true: ArrayLike, k: int) -> float:
    """Best true score minus the best true score among the predicted top k, in units of `true`.

    Ties at the cut of `pred` are broken at random and the expectation is returned, exactly. k
    larger than the number of architectures means all of them: no regret.
    """
    pred, true = _vectors(pred, true)
    if not (k >= 1 and k == int(k)):
        raise ValueError(f"k must be at least 1, got {k}: it counts the architectures looked at")
    return _regret(pred, true, int(k))


def _regret(pred: np.ndarray, true: np.ndarray, k: int) -> float:
    k = min(k, len(pred))
    cut = _kth_best(pred, k)
    sure = true[pred > cut]
    found = np.maximum(np.sort(true[pred == cut])[::-1], sure.max(initial=-np.inf))
    free, among = k - len(sure), len(found)
    if free == among:  # all of them are taken
        return float(true.max() - found[0])
    # missed[j]: `free` of the tied, drawn without replacement, hold none of the best j + 1 of them
    j = np.arange(among)
    missed = np.cumprod(np.maximum(among - free - j, 0) / (among - j))
    first = np.concatenate([[1.0], missed[:-1]]) - missed  # the best one drawn is number j
    return float(first @ (true.max() - found))


METRICS: dict[str, Callable[[ArrayLike, ArrayLike], float]] = {
    "tau": tau,
    "spearman": spearman,
    "top_decile_tau": top_tau,
    "p_at_5": partial(precision_at, fraction=0.05),
    "p_at_10": partial(precision_at, fraction=0.10),
    "regret_1": partial(regret, k=1),
    "regret_5": partial(regret, k=5),
    "regret_10": partial(regret, k=10),
}


def picked(pred: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """The measures of the top, of vectors that are known to be finite and of one length."""
    found = {f"p_at_{p}": _precision(pred, true, _top_k(len(pred), p / 100)) for p in (5, 10)}
    return found | {f"regret_{k}": _regret(pred, true, k) for k in (1, 10)}


def bootstrap(
    fn: Callable[..., float],
    *vectors: ArrayLike,
    draws: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[float, float]:
    """(low, high): percentile interval of `fn(*vectors)` over resampled architectures.

    All vectors get the same resample, so differences are paired:
    `bootstrap(lambda a, b, t: tau(a, t) - tau(b, t), a, b, t)`. Draws that give NaN are left out;
    when they are more than half, the interval is (NaN, NaN). Efron & Tibshirani 1993, chapter 13.
    Rough for the regret of few architectures: a resample lacks the best one 37 % of the time.
    """
    arrays = _vectors(*vectors, names=tuple(f"vector {i}" for i in range(len(vectors))))
    return _interval(_replicates(fn, arrays, draws, seed), level)


def _interval(values: np.ndarray, level: float) -> tuple[float, float]:
    _check_level(level)
    kept = values[~np.isnan(values)]
    if 2 * len(kept) < len(values):
        return math.nan, math.nan
    low, high = np.quantile(kept, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level must be in (0, 1), got {level}: 0.95 means a 95 % interval")


def _replicates(
    fn: Callable[..., float], vectors: list[np.ndarray], draws: int, seed: int
) -> np.ndarray:
    """[draws]: fn on every resample; tau goes through counts, which is exact and far faster."""
    if draws < 1:
        raise ValueError(f"draws must be at least 1, got {draws}: 1000 is usual")
    n, rng = len(vectors[0]), np.random.default_rng(seed)
    resamples = (rng.integers(n, size=n) for _ in range(draws))
    if fn is tau and n <= COUNTS_UP_TO:
        return _tau_by_counts(*vectors, resamples)
    return np.array([fn(*(vector[at] for vector in vectors)) for at in resamples])


def _tau_by_counts(
    pred: np.ndarray, true: np.ndarray, resamples: Iterable[np.ndarray]
) -> np.ndarray:
    """[draws]: tau-b on each resample, from how often it holds each architecture.

    With counts c, the pairs add up to quadratic forms: c'(P*T)c / sqrt(c'|P|c * c'|T|c), P and T
    the sign matrices. Copies of one architecture tie in both, as they do in the resample.
    """
    counts = np.stack([np.bincount(at, minlength=len(pred)) for at in resamples])  # [D, A]
    counts = counts.astype(np.float32)  # exact: no sum exceeds A**2, far below 2**24
    p, t = _signs(pred), _signs(true)
    forms = (((counts @ m.astype(np.float32)) * counts).sum(1) for m in (p * t, abs(p), abs(t)))
    return _tau_b(*(form.astype(float) / 2 for form in forms))


def seeds_summary(values: ArrayLike, level: float = 0.95) -> Summary:
    """Mean, sd (ddof=1), n and t interval of the mean over seeds.

    sd and interval are NaN for one seed; a NaN among the values (a metric that was undefined for
    one seed) makes all but n NaN.
    """
    _check_level(level)
    (values,) = aligned([values], ("values",))
    if values.ndim != 1 or not len(values) or np.isinf(values).any():
        raise ValueError(f"values must be a vector of one finite number a seed, got {values!r}")
    n, mean = len(values), float(values.mean())
    if n == 1:
        return Summary(mean, math.nan, 1, math.nan, math.nan)
    sd = float(values.std(ddof=1))
    half = float(stats.t.ppf((1 + level) / 2, n - 1)) * sd / math.sqrt(n)
    return Summary(mean, sd, n, mean - half, mean + half)


def paired_difference(a: ArrayLike, b: ArrayLike, level: float = 0.95) -> Summary:
    """`seeds_summary` of a - b, matched by seed where they are labelled, else in one order."""
    a, b = aligned([a, b], ("a", "b"))
    if a.shape != b.shape:
        raise ValueError(
            f"a has shape {a.shape} and b has {b.shape}: pass the seeds that both methods have"
        )
    return seeds_summary(a - b, level)


def spearman_brown(r: ArrayLike, k: float) -> np.ndarray | float:
    """k r / (1 + (k-1) r): the reliability of a mean of k measurements that correlate by r.

    For Pearson correlations, independent errors of equal size (Spearman 1910, Brown 1910). NaN
    where 1 + (k-1) r <= 0: no k measurements can all correlate so.
    """
    if k <= 0:
        raise ValueError(f"k must be positive, got {k}: it is the number of measurements averaged")
    r = np.asarray(r, dtype=float)
    scale = 1 + (k - 1) * r
    return np.divide(k * r, scale, out=np.full_like(r, np.nan), where=scale > 0)[()]


def agreement(
    acc: ArrayLike, draws: int = 1000, seed: int = 0, level: float = 0.95
) -> tuple[float, float, float]:
    """(estimate, low, high): tau-b to expect between two independent S-seed means.

    acc: [A, S] accuracies by architecture and seed, S >= 2. This is the reliability of the seed
    mean as a truth table, no limit to what a predictor can reach: that is `perfect` of it. tau
    between single seeds, averaged over all pairs, is stepped up to S seeds by Spearman-Brown; the
    interval is a bootstrap over architectures.

    # differs: Spearman-Brown holds for correlations; on tau itself it promises 0.02 to 0.07 too
    much (simulated). So tau goes to the correlation of a normal pair with that tau and back, rho =
    sin(pi tau / 2) (Greiner 1909; Kruskal 1958). Assumes exchangeable seeds and independent errors
    of about equal size; tight clusters of architectures raise it (0.01 at tau 0.9, 0.03 at 0.8).
    """
    acc = np.asarray(acc, dtype=float)
    if acc.ndim != 2 or acc.shape[1] < 2:
        raise ValueError(
            f"acc has shape {acc.shape}, expected [architectures, seeds]: train two or more seeds"
        )
    columns = _vectors(*acc.T, names=tuple(f"acc[:, {s}]" for s in range(acc.shape[1])))
    pairs = list(combinations(columns, 2))

    def step_up(mean_tau: np.ndarray | float) -> np.ndarray:
        return _tau_of(spearman_brown(_rho_of(mean_tau), len(columns)))

    estimate = step_up(np.mean([tau(*pair) for pair in pairs]))
    single = np.mean([_replicates(tau, pair, draws, seed) for pair in pairs], axis=0)
    return float(estimate), *_interval(step_up(single), level)


def perfect(agreement: ArrayLike) -> np.ndarray | float:
    """tau-b that a perfect predictor reaches against one of two noisy tables that agree by tau.

    A perfect predictor gives each architecture's expected accuracy. Only one side is noisy then, so
    its correlation with a table is the root of that table's reliability; both ways go through rho =
    sin(pi tau / 2), as in `agreement`. Rising, so the ends of an interval may be passed too; NaN
    where tables agree by less than nothing. Assumes independent errors of equal size: of two
    unequal tables it is too low for the better one.
    """
    rho = _rho_of(np.asarray(agreement, dtype=float))
    return _tau_of(np.sqrt(rho, out=np.full_like(rho, np.nan), where=rho >= 0))[()]


def _rho_of(tau: np.ndarray | float) -> np.ndarray:
    """The correlation of a normal pair with that tau (Greiner 1909)."""
    return np.sin(np.pi / 2 * tau)


def _tau_of(rho: np.ndarray | float) -> np.ndarray:
    return 2 / np.pi * np.arcsin(np.clip(rho, -1.0, 1.0))


def verdict(
    low: float,
    high: float,
    above: str = "higher",
    below: str = "lower",
    neither: str = "not resolved",
    zero: float = 0.0,
) -> str:
    """What an interval says about a difference (or, with `zero=1`, about a ratio)."""
    return above if low > zero else below if high < zero else neither
