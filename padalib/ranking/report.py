"""The report card of a supernet's ranking: how good, where, how certain, and wrong in which way.

Every measure stands beside its controls: what FLOPs or weights give without any training, tau among
architectures of equal complexity, the supernet's rank averaged with that of the FLOPs (weight 1,
never fitted), and what infinitely many seeds of it would reach. 95 % intervals over seeds
(Student's), over architectures (drawn by distinct function, those of one truth together), and over
both, whose half is the root of the sum of their squared halves (MOVER: Zou & Donner, Statistics in
Medicine 2008).
"""

import math
from collections.abc import Callable, Iterable
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from padalib.ranking import metrics, pairs
from padalib.ranking.pairs import Estimate
from padalib.ranking.ranked import CONTROLS as CONTROLS
from padalib.ranking.ranked import Ranked

DRAWS = 400
MOST_SEEDS = 30  # whose pairs are compared, and that are resampled; of more, so many are drawn
MEASURES = {
    "tau": "Kendall's tau-b with the truth",
    "tau_loss": "the same, ranked by loss",
    "within_flops": "tau among architectures of equal live FLOPs",
    "within_flops_loss": "the same, ranked by loss",
    "between_flops": "tau among architectures of unequal live FLOPs",
    "within_quintiles": "tau within fifths of live FLOPs",
    "with_flops": "tau of the mean of the rank and the FLOPs' rank",
    "upper_half": "tau among the truly better half",
    "top_decile": "tau among the truly best tenth",
    "p_at_5": "share of the predicted best 5 % that is in the true best 5 %",
    "p_at_10": "share of the predicted best 10 % that is in the true best 10 %",
    "regret_1": "points of accuracy lost by taking the favourite",
    "regret_10": "points lost by taking the best of ten favourites",
    "between_seeds": "mean tau between two seeds",
    "limit": "tau that the mean of infinitely many seeds would reach",
    "more_seeds": "what infinitely many seeds would add: limit - tau",
    "common_error": "what seeds agree on better than with the truth: between seeds - tau",
}

BIAS = (
    "option", "value", "low", "high", "true", "true_low", "true_high", "bias", "bias_seeds_low",
    "bias_seeds_high", "bias_archs_low", "bias_archs_high", "bias_low", "bias_high",
)  # fmt: skip


def card(scores: pd.DataFrame, ranked: Ranked, loss: pd.DataFrame | None = None) -> pd.DataFrame:
    """The report card: a row for each of `MEASURES`.

    scores: [A, S], higher is better, indexed by code, a column a seed; loss: the same, lower is
    better. Columns: measure, value (mean over seeds), and intervals `seeds_low`, `seeds_high`,
    `archs_low`, `archs_high`, `low`, `high` (both together); NaN where there is one seed only.
    ValueError where the architectures are not those of `ranked`, or a score is not finite.
    """
    vectors = _columns(scores, ranked)
    fns, n, clusters = smooth(ranked), len(vectors), ranked.clusters
    rows = {name: measured(map(fn, vectors), n, clusters) for name, fn in fns.items()}
    if loss is not None:
        losses = [-x for x in _columns(loss, ranked)]
        for name in ("tau", "within_flops"):
            rows[f"{name}_loss"] = measured(map(fns[name], losses), n, clusters)
    some = [vectors[k] for k in drawn_seeds(n)]
    rows |= _picked(vectors, some, ranked)
    rows |= agreement(some, [fns["tau"](x) for x in some], clusters)
    table = pd.DataFrame([{"measure": name} | rows[name] for name in MEASURES if name in rows])
    apart = table.measure.isin(("more_seeds", "common_error"))  # differences of two taus
    at_least = np.where(table.measure.str.match("p_at|regret"), 0.0, np.where(apart, -2.0, -1.0))
    most_lost = np.ptp(ranked.true)
    at_most = np.where(table.measure.str.match("regret"), most_lost, np.where(apart, 2.0, 1.0))
    for column in table.columns[2:]:  # an interval may not leave the range of its measure
        table[column] = table[column].clip(at_least, at_most)
    return table.assign(seeds=n, architectures=len(ranked.true))


def smooth(ranked: Ranked) -> dict[str, Callable[[np.ndarray], Estimate]]:
    """The measures whose error over architectures needs no resampling, as functions of scores."""
    true, prior, quintile = ranked.true, stats.rankdata(ranked.flops), ranked.quintile
    return {
        "tau": lambda x: pairs.tau(x, true),
        "within_flops": lambda x: within_flops(x, ranked),
        "between_flops": lambda x: pairs.tau_between(x, true, ranked.flops),
        "within_quintiles": lambda x: pairs.tau_within(x, true, quintile),
        "with_flops": lambda x: pairs.tau(stats.rankdata(x) + prior, true),
        "upper_half": lambda x: pairs.tau_among(x, true, 0.5),
        "top_decile": lambda x: pairs.tau_among(x, true, 0.1),
    }


def drawn_seeds(n: int) -> list[int]:
    """Places of the seeds that are compared in pairs: all, or `MOST_SEEDS` drawn at random."""
    if n <= MOST_SEEDS:
        return list(range(n))
    return sorted(np.random.default_rng(0).choice(n, MOST_SEEDS, replace=False).tolist())


def within_flops(scores: np.ndarray, ranked: Ranked) -> Estimate:
    """Mean tau over levels of equal FLOPs (see `Ranked.level`), weighted by their number."""
    own = ranked.level >= 0
    estimate = pairs.tau_within(scores[own], ranked.true[own], ranked.level[own], least=2)
    influence = np.zeros(len(own))
    influence[own] = estimate.influence
    return Estimate(estimate.value, influence)


def controls(ranked: Ranked) -> dict[str, pd.DataFrame]:
    """The cards of what needs no training, see `Ranked.free`."""
    return {
        name: card(pd.DataFrame({0: values}, index=list(ranked.codes)), ranked)
        for name, values in ranked.free.items()
    }


def bias(scores: pd.DataFrame, ranked: Ranked) -> pd.DataFrame:
    """Which options a ranking likes more than the truth does.

    The change of an architecture's rank, in standard deviations of ranks, by one more live option
    of each kind (least squares over architectures; in a space where all positions are always live
    the first option is what the others are held against). Columns: option, value (mean over seeds),
    low, high (over seeds and architectures), true, true_low, true_high; and what is judged: bias,
    value - true, on the same architectures, with intervals bias_seeds_low, bias_seeds_high,
    bias_archs_low, bias_archs_high, bias_low, bias_high (both together). NaN where a ranking has
    all alike; no rows where all architectures have as many of each option.
    """
    names = list(dict.fromkeys(o for p in ranked.space.positions for o in p.options))
    counts = np.zeros((len(ranked.codes), len(names)))
    for row, arch in zip(counts, ranked.archs, strict=True):
        for position, option, live in zip(
            ranked.space.positions, arch, ranked.space.live(arch), strict=True
        ):
            if position.table:  # what a block computes, not what it reads
                row[names.index(position.options[option])] += live
    kept = np.flatnonzero(np.ptp(counts, axis=0) > 0)
    if (counts.sum(1) == counts.sum(1)[0]).all():
        kept = kept[1:]
    design = np.column_stack([counts[:, kept], np.ones(len(counts))])
    seeds = [_effects(design, x) for x in _columns(scores, ranked)]
    rows = []
    for place, true, *own in zip(kept, _effects(design, ranked.true), *seeds, strict=True):
        apart = [Estimate(e.value - true.value, e.influence - true.influence) for e in own]
        value, bias = (measured(each, len(own), ranked.clusters) for each in (own, apart))
        near = 1.96 * true.error(ranked.clusters)
        rows.append(
            {"option": names[place], **{name: value[name] for name in ("value", "low", "high")}}
            | {"true": true.value, "true_low": true.value - near, "true_high": true.value + near}
            | {"bias" if name == "value" else f"bias_{name}": bias[name] for name in bias}
        )
    found = pd.DataFrame(rows, columns=BIAS)
    return found.astype({"option": str} | dict.fromkeys(BIAS[1:], float))  # also of none


# --- parts ---


def _columns(scores: pd.DataFrame, ranked: Ranked) -> list[np.ndarray]:
    """One vector a seed, in the order of `ranked`."""
    codes = list(ranked.codes)
    if scores.index.has_duplicates or set(scores.index) != set(codes):
        raise ValueError(
            f"scores are of {len(scores)} architectures, the truth of {len(codes)}, and "
            f"{len(set(scores.index) ^ set(codes))} are in one of them only: pass one score for "
            "each architecture of the truth"
        )
    values = scores.loc[codes].to_numpy(float)
    if not np.isfinite(values).all():
        row, seed = np.argwhere(~np.isfinite(values))[0]
        raise ValueError(f"the score of {codes[row]}, seed {seed}, is {values[row, seed]}")
    return list(values.T)


def _half(summary: metrics.Summary) -> float:
    """Half the interval over seeds; 0 for one seed."""
    return 0.0 if summary.n == 1 else (summary.high - summary.low) / 2


def _row(values: np.ndarray, archs_half: float) -> dict[str, float]:
    spread = metrics.seeds_summary(values)
    half = math.hypot(_half(spread), archs_half)
    return {
        "value": spread.mean,
        "seeds_low": spread.low,
        "seeds_high": spread.high,
        "archs_low": spread.mean - archs_half,
        "archs_high": spread.mean + archs_half,
        "low": spread.mean - half,
        "high": spread.mean + half,
    }


def measured(estimates: Iterable[Estimate], n: int, clusters: np.ndarray) -> dict[str, float]:
    """The mean over n seeds, with its intervals over seeds, architectures, and both."""
    values, influence = [], np.zeros(len(clusters))
    for estimate in estimates:  # one at a time: there may be thousands of seeds
        values.append(estimate.value)
        influence += estimate.influence / n
    return _row(np.array(values), 1.96 * Estimate(0.0, influence).error(clusters))


def _picked(
    vectors: list[np.ndarray], some: list[np.ndarray], ranked: Ranked
) -> dict[str, dict[str, float]]:
    """What is decided by few architectures at the top: bootstrap over distinct functions.

    `some` of the seeds are resampled; the interval is moved to the mean of all.
    """
    true, names = ranked.true, ("p_at_5", "p_at_10", "regret_1", "regret_10")
    order = np.argsort(ranked.clusters, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(ranked.clusters))[:-1])
    rng = np.random.default_rng(0)
    drawn: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(DRAWS):
        at = np.concatenate([members[k] for k in rng.integers(len(members), size=len(members))])
        found = [metrics.picked(x[at], true[at]) for x in some]
        for name in names:
            drawn[name].append(np.mean([own[name] for own in found]))
    rows, whole = {}, [metrics.picked(x, true) for x in vectors]
    for name in names:
        values = np.array([own[name] for own in whole])
        row = _row(values, 0.0)
        moved = (
            0.0
            if len(some) == len(vectors)
            else values.mean() - np.mean([metrics.METRICS[name](x, true) for x in some])
        )
        low, high = np.quantile(drawn[name], [0.025, 0.975]) + moved
        half = _half(metrics.seeds_summary(values))
        row |= {"archs_low": low, "archs_high": high}
        row["low"] = row["value"] - math.hypot(half, max(0.0, row["value"] - low))
        row["high"] = row["value"] + math.hypot(half, max(0.0, high - row["value"]))
        rows[name] = row
    return rows


def agreement(
    vectors: list[np.ndarray], taus: list[Estimate], clusters: np.ndarray
) -> dict[str, dict[str, float]]:
    """Agreement between seeds, and tau in the limit of infinitely many of them.

    Kendall's tau as a correlation, r = sin(pi/2 tau) (Greiner 1909); the mean of many seeds
    correlates with the truth by r / sqrt(r between seeds) (Spearman 1904). Both hold for Gaussian
    scores: of others, where seeds agree little, the limit is too low, and its intervals, over
    architectures from the influence of each, over seeds by leaving out one at a time, do not show
    it. Look at tau of the seeds' mean, too.

    `limit` and `more_seeds` are NaN where the interval of the agreement reaches 0, or where seeds
    agree by less than they would if noise were all that parts them from the truth. Where that is so
    without one of the seeds, their interval over seeds has no ends.
    """
    if len(vectors) < 2:
        return {}
    between = {
        (a, b): pairs.tau(vectors[a], vectors[b]) for a, b in combinations(range(len(vectors)), 2)
    }

    def values(kept: tuple[int, ...]) -> np.ndarray:
        agreed = np.mean([e.value for pair, e in between.items() if set(pair) <= set(kept)])
        return _agreed(float(np.mean([taus[k].value for k in kept])), float(agreed))

    n = len(vectors)
    every = tuple(range(n))
    tau = Estimate(float(np.mean([e.value for e in taus])), np.mean([e.influence for e in taus], 0))
    agreed = Estimate(
        float(np.mean([e.value for e in between.values()])),
        np.mean([e.influence for e in between.values()], axis=0),
    )
    point, slopes = values(every), _slopes(tau.value, agreed.value)
    estimates = [
        Estimate(value, a * tau.influence + b * agreed.influence)
        for value, a, b in zip(point, *slopes, strict=True)
    ]
    names = ("between_seeds", "limit", "more_seeds", "common_error")
    rows = {}
    left = [values(every[:k] + every[k + 1 :]) for k in every] if n > 2 else []
    for place, (name, estimate) in enumerate(zip(names, estimates, strict=True)):
        own = 1.96 * estimate.error(clusters)
        over_seeds = math.nan
        if left:
            each = np.array(left)[:, place]
            t = stats.t.ppf(0.975, n - 1)
            over_seeds = t * math.sqrt((n - 1) / n * np.square(each - each.mean()).sum())
            if np.isnan(each).any():
                over_seeds = math.inf
        half = math.hypot(0.0 if math.isnan(over_seeds) else over_seeds, own)
        value = estimate.value
        rows[name] = {"value": value, "seeds_low": value - over_seeds}
        rows[name] |= {"seeds_high": value + over_seeds, "archs_low": value - own}
        rows[name] |= {"archs_high": value + own, "low": value - half, "high": value + half}
    if not rows["between_seeds"]["low"] > 0:
        rows |= {name: dict.fromkeys(rows[name], math.nan) for name in ("limit", "more_seeds")}
    return rows


def _agreed(tau: float, between: float) -> np.ndarray:
    """Agreement, limit, and how far each lies above tau."""
    limit = _limit(tau, between)
    return np.array([between, limit, limit - tau, between - tau])


def _slopes(tau: float, between: float, step: float = 1e-5) -> list[np.ndarray]:
    """How `_agreed` changes with tau, and with the agreement; NaN where it is."""
    point, slopes = _agreed(tau, between), []
    for more in (np.array([step, 0.0]), np.array([0.0, step])):
        up, down = (_agreed(*(np.array([tau, between]) + sign * more)) for sign in (1, -1))
        slopes.append(np.where(np.isnan(up), point - down, up - point) / step)
    return slopes


def _limit(tau: float, between: float) -> float:
    """NaN where seeds do not agree, or the correlation of their mean would be above 1."""
    agreed = math.sin(math.pi / 2 * between)
    r = math.sin(math.pi / 2 * tau) / math.sqrt(agreed) if agreed > 0 else math.nan
    if not abs(r) <= 1 + 1e-9:  # of seeds that err by nothing it is 1, but for rounding
        return math.nan
    return 2 / math.pi * math.asin(max(-1.0, min(1.0, r)))


def _effects(design: np.ndarray, values: np.ndarray) -> list[Estimate]:
    """Least-squares effects on the standardised rank; NaN for values that are all equal."""
    ranks = stats.rankdata(values)
    ranks = (ranks - ranks.mean()) / (ranks.std() or math.nan)
    inverse = np.linalg.pinv(design.T @ design)
    effects = inverse @ design.T @ ranks
    influence = design * (ranks - design @ effects)[:, None] @ inverse
    return [Estimate(float(e), own) for e, own in zip(effects, influence.T, strict=True)][:-1]
