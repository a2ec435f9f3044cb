"""What retraining says: means, the noise of training one again, and claims about differences."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from padalib.ranking import metrics, pairs
from padalib.study import claims, effects, outcomes, wording
from padalib.study.claims import Claim, Interval
from padalib.study.effects import Doubt
from padalib.study.retraining import CONTROLS, DRAWN, LARGEST, METHODS, MOST
from padalib.study.search import UNTRAINED

FIGURE, NOISE_FIGURE = "13_retraining", "13_noise"
BASE = "SPOS"


def contrasts(names: Sequence[str]) -> list[tuple[str, str]]:
    """(a, b) of names that are there: the methods against SPOS, then each against the controls."""
    methods = [name for name in METHODS if name in names]
    pairs = [(name, BASE) for name in methods if name != BASE and BASE in names]
    return pairs + [(name, control) for name in methods for control in CONTROLS if control in names]


def analyse(
    runs: pd.DataFrame, space: str = "", truth: pd.Series | None = None, figure: str = FIGURE
) -> tuple[dict[str, pd.DataFrame], list[Claim]]:
    """Tables and claims from `named`, of a space and, where it is known, its truth by code.

    Tables: retrained (each name's mean with its interval over seeds), noise (one row: sd between
    trainings of one architecture, pooled, with its interval, and the largest difference between
    methods), better (the contrasts, with Holm's correction). Two intervals: over trainings, of
    these architectures, from that pooled noise; and over searches too, where a name has several.
    With a truth also check (`checked`). ValueError where architectures were trained with different
    seeds.
    """
    seeds = runs.groupby(["name", "draw"]).seed.apply(lambda own: tuple(sorted(own)))
    if seeds.nunique() > 1:
        raise ValueError(f"all need the same seeds, got {sorted(set(seeds))}: train what lacks")
    spread, asked = noise(runs), contrasts(list(runs.name.unique()))
    again = Doubt(float(spread.sd.iloc[0]), int(spread.trainings.iloc[0] - spread.archs.iloc[0]))
    rows = [_difference(runs, a, b, again) for a, b in asked]
    tables = {
        "retrained": _means(runs),
        "noise": spread,
        "better": outcomes.judged(rows, float(f"{spread.sd.iloc[0]:.2g}"), wanted=1),
    }
    found = [*_claims(tables, space, figure)]
    if truth is not None:
        tables["better"]["true"] = [
            _worth(runs, truth, a) - _worth(runs, truth, b) for a, b in asked
        ]
        tables["check"] = checked(runs, truth)
        found.append(_agrees(tables["check"].iloc[0], space))
    for table in tables.values():
        table.insert(0, "space", space)
    return tables, found


def together(
    results: Mapping[str, Mapping[str, pd.DataFrame]],
) -> dict[str, pd.DataFrame]:
    """The tables of all spaces, by name, those of one kind one below the other."""
    names = dict.fromkeys(name for tables in results.values() for name in tables)
    return {
        name: pd.concat([own[name] for own in results.values() if name in own], ignore_index=True)
        for name in names
    }


def noise(runs: pd.DataFrame) -> pd.DataFrame:
    """One row: sd between trainings of one architecture, pooled, and its 95 % interval.

    From chi squared, so for normal errors. `methods`: the largest difference between two of them.
    `searches`: sd between what the searches of one method find, less what retraining adds to it;
    NaN where each has one.
    """
    once = runs.drop_duplicates(["code", "seed"]).groupby("code").accuracy
    free = int((once.size() - 1).sum())
    sd = math.sqrt(float(((once.size() - 1) * once.var(ddof=1)).sum()) / free)
    low, high = (sd * math.sqrt(free / stats.chi2(free).ppf(p)) for p in (0.975, 0.025))
    means = runs[runs.name.isin(METHODS)].groupby("name").accuracy.mean()
    between = float(means.max() - means.min()) if len(means) else math.nan
    row = {"sd": sd, "low": low, "high": high, "archs": len(once), "trainings": len(once) + free}
    return pd.DataFrame([row | {"methods": between, "searches": _searches(runs, sd)}])


def _searches(runs: pd.DataFrame, sd: float) -> float:
    own = runs[runs.name.isin(METHODS)].groupby(["name", "draw"]).accuracy.agg(["mean", "size"])
    draws = own.groupby("name")["mean"]
    if not (free := (draws.size() - 1).sum()):
        return math.nan
    variance = ((draws.size() - 1) * draws.var(ddof=1).fillna(0.0)).sum() / free
    return math.sqrt(max(0.0, float(variance) - sd**2 / float(own["size"].iloc[0])))


def checked(runs: pd.DataFrame, truth: pd.Series) -> pd.DataFrame:
    """One row: tau between accuracies of retraining, means over seeds, and the truth by code.

    With its 95 % interval over the distinct architectures (`archs`); NaN for fewer than three.
    """
    means = runs.drop_duplicates(["code", "seed"]).groupby("code").accuracy.mean()
    row = {"tau": math.nan, "low": math.nan, "high": math.nan, "archs": len(means)}
    if len(means) > 2:
        found = pairs.tau(means.to_numpy(), truth[means.index].to_numpy())
        half = effects.Doubt(found.error(np.arange(len(means)))).half
        ends = {"low": max(-1.0, found.value - half), "high": min(1.0, found.value + half)}
        row |= {"tau": found.value} | ends
    return pd.DataFrame([row])


def _worth(runs: pd.DataFrame, truth: pd.Series, name: str) -> float:
    """Mean true accuracy of what a name stands for."""
    own = runs[runs.name == name].drop_duplicates("draw")
    return float(truth[own.code].mean())


def _means(runs: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for name, own in runs.groupby("name", sort=False):
        over = metrics.seeds_summary(own.groupby("seed").accuracy.mean())
        row = {"name": name, "archs": own.draw.nunique(), "seeds": over.n, "accuracy": over.mean}
        row |= {"low": over.low, "high": over.high}
        rows.append(row | {c: float(own[c].mean()) for c in ("params", "flops")})
    return pd.DataFrame(rows)


def _difference(runs: pd.DataFrame, a: str, b: str, again: Doubt) -> dict[str, Any]:
    """a - b as a row that `outcomes.judged` takes; `again` is that of one training.

    Over trainings: from the noise of training one architecture again, pooled over all of them, for
    trainings of different networks with one seed are hardly a pair; of those that both sides have
    nothing is left. Over searches: Welch's, whose units are a side's architectures, each by its
    mean over trainings (so both doubts are in it); a side's only one has the pooled noise, and
    where searches found one again, no less: its trainings are there once.
    """
    wide = runs.pivot(index=["name", "draw"], columns="seed", values="accuracy")
    sides, seeds = [wide.loc[name] for name in (a, b)], len(wide.columns)
    mean = float(sides[0].mean(axis=1).mean() - sides[1].mean(axis=1).mean())
    shares = pd.concat([_shares(runs, a), -_shares(runs, b)]).groupby(level=0).sum()
    error = again.error * math.sqrt(float(np.square(shares).sum()) / seeds)
    trained, functions = int((shares != 0).sum()) * seeds, sum(map(len, sides))
    over = Doubt(error, again.freedom)
    row = outcomes.row(mean, over, trained, effects.UNKNOWN, functions, "trainings")
    if trained and any(len(side) > 1 for side in sides):
        units = [_over_searches(wide.loc[name], _shares(runs, name), again) for name in (a, b)]
        searches = effects.together(*units)
        if searches.error > 0:
            row |= {"archs_low": mean - searches.half, "archs_high": mean + searches.half}
            row |= {"archs_freedom": searches.freedom, "p": max(row["p"], searches.p(mean))}
    return {"a": a, "b": b} | row | {"second": "searches and trainings"}


def _over_searches(side: pd.DataFrame, shares: pd.Series, again: Doubt) -> Doubt:
    """That of a side [searches, seeds], whose distinct architectures have these shares of it."""
    error = again.error * math.sqrt(float(np.square(shares).sum())) / math.sqrt(len(side.columns))
    trained, found = Doubt(error, again.freedom), effects.spread(side.mean(axis=1))
    if len(shares) == len(side) > 1:
        return found
    return found if found.error > trained.error else trained  # NaN of a single one


def _shares(runs: pd.DataFrame, name: str) -> pd.Series:
    """What share of a name's mean each architecture has, by code."""
    own = runs[runs.name == name].drop_duplicates("draw")
    return own.code.value_counts(normalize=True)


def _claims(tables: dict[str, pd.DataFrame], space: str, figure: str) -> Iterator[Claim]:
    spread = tables["noise"].iloc[0]
    beside = (
        "Training one architecture again moves it by "
        f"{wording.interval(spread.sd, spread.low, spread.high)} points (sd of "
        f"{spread.trainings:.0f} trainings of {spread.archs:.0f} architectures)"
    )
    means = tables["retrained"].set_index("name").accuracy
    for row in tables["better"].itertuples():
        key = f"13.retrained.{claims.slug(row.a)}.{claims.slug(row.b)}"
        control = "*Control:* w" if row.b in CONTROLS else "W"
        yield outcomes.claim(
            f"{key}.{space}",
            f"{control}hat {row.a} finds is better than {_what(row.b)}, trained alone (`{space}`)",
            row,
            f"{row.a} − {row.b}, test accuracy {means[row.a]:.2f} and {means[row.b]:.2f} %: "
            f"{outcomes.told(row)}",
            wanted=1,
            unit="points",
            figure=figure,
            beside=beside,
        )


def _what(name: str) -> str:
    known = {
        LARGEST: "the largest network, beyond the limit",
        MOST: "the network with most FLOPs within the limit",
        DRAWN: "random draws",
    }
    return known.get(name, f"what {'an untrained supernet' if name == UNTRAINED else name} finds")


def _agrees(row: Any, space: str) -> Claim:
    known = not math.isnan(row.tau)
    interval = Interval(row.low, row.high, "distinct architectures", int(row.archs))
    said = claims.said(row.tau, [interval]) if known else f"{row.archs:.0f} architectures, too few"
    return claims.of(
        f"13.check.{space}",
        f"Retraining briefly orders the architectures as the truth does (`{space}`)",
        row.tau,
        [interval] if known else [],
        f"tau between accuracies of retraining and the truth: {said}",
        unit="tau",
        figure=NOISE_FIGURE,
    )
