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

from padalib.ranking import metrics, pairs, report
from padalib.ranking.pairs import Estimate
from padalib.ranking.report import Ranked
from padalib.study import claims, effects, wording
from padalib.study.claims import Interval
from padalib.study.effects import Doubt

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
# Of equivalence, fixed beforehand: 0.01 of tau for each doubling (of the training length; of the
# variance for each halving), so that an eightfold change moves tau by no more than the bound of a
# difference.
SLOPE_BOUND = effects.TAU_BOUND / 3
# Of a figure's bars: both doubts together have more degrees of freedom than few seeds alone.
THIN = (
    "thin ones over seeds and architectures together, which can be shorter where seeds are few "
    "(the longer decides)"
)


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


def against_free(
    runs: Mapping[tuple[str, int], Estimate], ranked: Ranked, methods: Sequence[str], **named
) -> list[dict]:
    """A method's tau minus that of each count that needs no training: a row for each of the two.

    `runs` has the estimate of each method and seed; what was not run has no row, nor has a count
    that orders all as another one does.
    """
    rows, orders = [], {}
    for count, values in ranked.free.items():
        orders.setdefault(stats.rankdata(values).tobytes(), count)
    counts = {count: pairs.tau(ranked.free[count], ranked.true) for count in orders.values()}
    for method in methods:
        own = [estimate for (other, _), estimate in runs.items() if other == method]
        for count, estimate in counts.items() if own else ():
            gaps = [combine((1, -1), (each, estimate)) for each in own]
            row = {**named, "a": method, "b": count, "count_tau": estimate.value}
            rows.append(row | mean(gaps, ranked))
    return rows


def _known(rows: Sequence[Mapping]) -> pd.DataFrame:
    """Rows that have a value; where architectures have no influence, seeds are all the doubt."""
    table = pd.DataFrame(rows)
    for end in ("low", "high"):
        table[end] = table[end].fillna(table[f"seeds_{end}"])
    ends = [name for name in table if name.endswith(("low", "high"))]
    table[ends] = table[ends].clip(-1.0, 1.0)
    return table[table.value.notna()].reset_index(drop=True)


# --- what is linear in outcomes ---


def scored_alike(scores: pd.DataFrame, a: str, b: str) -> bool:
    """Whether two methods scored the same losses, to the bit, with all seeds that both have."""
    own = scores[scores.method.isin((a, b))]  # few of many
    wide = own.pivot_table(index=["seed", "code"], columns="method", values="loss")
    if not {a, b} <= {*wide}:
        return False
    both = wide[[a, b]].dropna()
    return len(both) > 0 and bool((both[a] == both[b]).all())


def combine(weights: Sequence[float], estimates: Sequence[Estimate]) -> Estimate:
    """The weighted sum."""
    value = float(sum(w * e.value for w, e in zip(weights, estimates, strict=True)))
    return Estimate(value, sum(w * e.influence for w, e in zip(weights, estimates, strict=True)))


def slope(x: Sequence[float], estimates: Sequence[Estimate]) -> Estimate:
    """Least squares: the change of an outcome with one more of x; exactly 0 of equal ones."""
    x, (first, *_) = np.asarray(x, float), estimates
    beyond = [Estimate(e.value - first.value, e.influence - first.influence) for e in estimates]
    return combine((x - x.mean()) / np.square(x - x.mean()).sum(), beyond)


def mean(by_seed: Sequence[Estimate], ranked: Ranked, unit: str = "seeds") -> dict[str, Any]:
    """The mean over seeds (or over another independent `unit`) as a row, see `doubted`."""
    values = [estimate.value for estimate in by_seed]
    own = Estimate(float(np.mean(values)), np.mean([e.influence for e in by_seed], axis=0))
    return doubted(own, effects.spread(values), len(values), ranked.clusters, unit)


# --- rows of differences and slopes ---


def doubted(
    effect: Estimate, over: Doubt, n: int, clusters: np.ndarray, unit: str = "seeds"
) -> dict[str, Any]:
    """`row` of an effect whose doubt over architectures is that of its influence."""
    return row(effect.value, over, n, Doubt(effect.error(clusters)), int(clusters.max()) + 1, unit)


def row(
    effect: float,
    over: Doubt,
    n: int,
    archs: Doubt,
    functions: int,
    unit: str = "seeds",
    resampled: tuple[float, float, float] | None = None,
    second: str = "distinct architectures",
) -> dict[str, Any]:
    """An effect with its doubts over n seeds, over architectures, and over both together.

    `second` says what the second doubt is over, where that is not architectures.

    Each has an interval: Student's, normal, and by Satterthwaite's degrees of freedom; NaN where
    the effect has no doubt of that kind. `resampled` are low, high and p over architectures, where
    these were drawn anew. p is the largest of the three.
    """
    low, high, p = resampled or (effect - archs.half, effect + archs.half, archs.p(effect))
    known = archs.error > 0 and over.error > 0
    both = effects.together(over, archs) if known else Doubt(math.nan, math.nan)
    found = [over.p(effect)]
    found += [p] if resampled or not math.isnan(archs.error) else []
    found += [both.p(effect)] if known else []
    return {
        **{"difference": effect, "seeds": n, "functions": functions, "unit": unit},
        **{"second": second},
        **{"seeds_low": effect - over.half, "seeds_high": effect + over.half},
        **{"archs_low": low, "archs_high": high},
        **{"both_low": effect - both.half, "both_high": effect + both.half},
        **{"seeds_freedom": over.freedom, "archs_freedom": archs.freedom},
        **{"both_freedom": both.freedom, "p": max(found)},
    }


def judged(rows: Sequence[Mapping], bound: float, wanted: int, planned: int = 0) -> pd.DataFrame:
    """Rows of one family: Holm's correction, smallest visible effect, and verdict.

    Rows without an effect are not measurable, and count for no correction. `planned` rows more
    belong to the family, and have no numbers yet: they count as if they had shown nothing, which
    leaves the others the hardest correction.
    """
    table = pd.DataFrame(list(rows))
    if table.empty:
        return table
    known = table.difference.notna()
    table["holm"], table["bound"], table["tests"] = math.nan, bound, int(known.sum()) + planned
    corrected = claims.holm([*table.p[known], *[1.0] * planned])
    table.loc[known, "holm"] = corrected[: int(known.sum())]
    table.loc[~known, "p"] = math.nan
    made = [claim("", "", own, "", wanted=wanted) for own in table.itertuples()]
    table["visible"] = [one.visible for one in made]
    table["verdict"] = [one.verdict for one in made]
    return table


def judged_apart(rows: Sequence[Mapping], bound: float, wanted: int, by: str) -> pd.DataFrame:
    """`judged`, a family for each value of the column `by`: others beside it change nothing."""
    table = pd.DataFrame(list(rows))
    if table.empty:
        return table
    families = [own.to_dict("records") for _, own in table.groupby(by, sort=False)]
    return pd.concat([judged(own, bound, wanted) for own in families], ignore_index=True)


def intervals(row: Any) -> list[Interval]:
    """The intervals of a row; those over architectures, and over both, only where there are any."""
    found = []
    for kind, over, n in (
        ("seeds", row.unit, row.seeds),
        ("archs", getattr(row, "second", "distinct architectures"), row.functions),
        ("both", f"{row.unit} and these", row.seeds),
    ):
        low, high, freedom = (getattr(row, f"{kind}_{end}") for end in ("low", "high", "freedom"))
        if kind == "seeds" or not math.isnan(low):
            found.append(Interval(low, high, over, n, freedom=freedom))
    return found


def joint(rows: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Ends of the interval over seeds and architectures together; else over what there is."""
    low, high = (
        rows[f"both_{end}"].fillna(rows[f"archs_{end}"]).fillna(rows[f"seeds_{end}"])
        for end in ("low", "high")
    )
    return low, high


def seen(rows: pd.DataFrame, unit: str = "") -> str:
    """What rows of `judged` could have shown, whatever they do show: in words."""
    own = rows[rows.difference.notna() & rows.visible.notna()]
    if own.empty:
        return "No difference could have been shown, for lack of seeds"
    least, most = (wording.short(end) for end in (own.visible.min(), own.visible.max()))
    halves = [max((i.high - i.low) / 2 for i in intervals(row)) for row in own.itertuples()]
    able = int((np.array(halves) < own.bound).sum())
    return (
        f"Smallest difference that could have been shown {least}{unit}"
        + (f" to {most}{unit}" if most != least else "")
        + f"; {able} of {len(own)} could have been found equivalent"
    )


def told(row: Any, digits: int = 3) -> str:
    """A row's effect with what each interval is over; or that it cannot be measured."""
    if math.isnan(row.difference):
        return claims.UNMEASURABLE
    return claims.said(row.difference, intervals(row), digits)


def claim(key: str, statement: str, row: Any, evidence: str, *, wanted: int, **rest: Any):
    """The claim that a row of `judged` decides."""
    bound = None if math.isnan(row.bound) else row.bound
    decided = {"wanted": wanted, "bound": bound, "p": row.holm, "tests": row.tests}
    return claims.of(key, statement, row.difference, intervals(row), evidence, **decided, **rest)
