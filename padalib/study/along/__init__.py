"""Variance along training: its parts from path and data, weighted and not, and the signal.

Beside the total stands the part of the weights that no path leaves out by choice ('fixed'), which
all methods have in common. `curriculum` is the control: PA's schedule without any gradient. What a
probe cannot measure is said to be so: a signal by its interval, weighted steps by their error.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from padalib import samplers
from padalib.engine.runs import Config
from padalib.probes.sampled import VarianceConfig
from padalib.study import claims, effects, wording
from padalib.study.scale import Scale
from padalib.study.variance import BASE, CLAIMED, CONTROL, FIXED, PARTS, WEIGHTED, weighs
from padalib.train import TrainConfig

METHODS = (BASE, "PA", CLAIMED, CONTROL, WEIGHTED)
PLAIN = tuple(name for name in METHODS if not weighs(samplers.get(name)))
ERROR = 0.02  # draws go on until both totals are known to this, or until the scale's limit
UNSURE = 0.5  # relative half-width of a total above which nothing is said of it
SOURCES = {"path": "the path", "data": "the data"}
UNKNOWN = claims.UNMEASURABLE
FIGURE = "17_variance_along"
# What is claimed of PA&DA: the source, the part of the weights, and what it stands beside.
ASKED = (
    *((source, part, BASE) for part in PARTS for source in SOURCES),
    *((source, "all", CONTROL) for source in SOURCES),
)


def trainings(scale: Scale) -> list[TrainConfig]:
    """The methods whose variance is followed, by seed."""
    return [
        replace(scale.training(method, seed), keep=scale.keep)
        for seed in scale.seeds
        for method in METHODS
    ]


def probes(scale: Scale) -> list[VarianceConfig]:
    """Each at every kept epoch and the end."""
    return [
        VarianceConfig(config, epoch, scale.paths, scale.batches, ERROR)
        for config in trainings(scale)
        for epoch in (*config.keep, config.epochs)
    ]


def configs(scale: Scale) -> list[Config]:
    """All runs of this study."""
    return [*trainings(scale), *probes(scale)]


# --- analysis ---


class Along(NamedTuple):
    """Tables and claims of the study."""

    probed: pd.DataFrame  # the rows of the probes that were asked about
    rows: pd.DataFrame  # means over seeds of each method, epoch, kind of step, and part
    epochs: pd.DataFrame  # each source beside SPOS's, epoch by epoch, steps as taken
    weighted: pd.DataFrame  # weighted steps beside SPOS's, epoch by epoch
    sources: pd.DataFrame  # each source beside SPOS's and the control's, mean over training
    claims: list[claims.Claim]


def analyse(probed: pd.DataFrame) -> Along:
    """From the rows of the probes."""
    own = probed[probed.part.isin(PARTS)]
    plain = own[(own.weights == "raw") & own.method.isin(PLAIN)]
    sources = over_time(plain)
    return Along(own, means(own), by_epoch(plain), weighted(own), sources, list(_claims(sources)))


def means(probed: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds, and whether the signal is measured.

    signal: |E g|², a mean over seeds with its interval over the draws, of these networks;
    signal_to_noise beside it, NaN where that interval holds zero; `signal_said` then says so, and
    below what it lies. paths_least and paths_most: the draws of a probe.
    """
    rows = []
    for key, own in probed.groupby(["method", "epoch", "weights", "part"], sort=False):
        values = own[["total", "path", "data", "signal"]].mean()
        values["path_share"] = values.path / values.total
        halves = (own.signal_high - own.signal_low).to_numpy() / 2
        half = math.sqrt(np.square(halves).sum()) / len(own)
        low, middle, high = ((values.signal + s * half) / values.total for s in (-1, 0, 1))
        row = dict(zip(("method", "epoch", "weights", "part"), key, strict=True))
        row |= {"seeds": len(own), **values, "error_most": own.error.max()}
        row |= {"paths_least": own.paths.min(), "paths_most": own.paths.max()}
        row |= {"signal_low": values.signal - half, "signal_high": values.signal + half}
        row["signal_to_noise"] = middle if low > 0 else math.nan
        told = f"{middle:.2g} [{low:.2g}, {high:.2g}]"
        row["signal_said"] = told if low > 0 else f"{UNKNOWN}, below {max(high, 0):.2g}"
        rows.append(row)
    return pd.DataFrame(rows)


def by_epoch(plain: pd.DataFrame) -> pd.DataFrame:
    """Each method's path part and data part less SPOS's of the same seed, over SPOS's variance.

    plain: rows of unweighted steps. A row for each epoch, part of the weights, source and method;
    share: the source's own, of the method's variance. There to look at: nothing is corrected.
    """
    rows = []
    for (epoch, part), own in plain.groupby(["epoch", "part"], sort=False):
        total = own.pivot(index="seed", columns="method", values="total")
        for source in SOURCES:
            wide = own.pivot(index="seed", columns="method", values=source)
            for method in wide:
                row = {"epoch": epoch, "part": part, "source": source, "method": method}
                row["share"] = wide[method].mean() / total[method].mean()
                found = relative(wide[method], wide[BASE], total[BASE])
                rows.append(row | found._asdict())
    return pd.DataFrame(rows)


def weighted(probed: pd.DataFrame) -> pd.DataFrame:
    """Importance-weighted steps: their variance, times SPOS's of the same seed, at each epoch.

    A ratio, with the interval of its logarithm over seeds; NaN, and `said` so, where the total of a
    seed is known to less than `UNSURE` only: a mean of so few heavy draws is not one.
    """
    rows = []
    own = probed[probed.weights == "importance"]
    for (epoch, part), each in own.groupby(["epoch", "part"], sort=False):
        total = each.pivot(index="seed", columns="method", values="total")
        path = each.pivot(index="seed", columns="method", values="path")
        error = each.pivot(index="seed", columns="method", values="error").max()
        for method in total.columns.drop(BASE):
            row = {"epoch": epoch, "part": part, "method": method, "error": error[method]}
            row["path_share"] = path[method].mean() / total[method].mean()
            found = effects.ratio(total[method], total[BASE])
            if not error[method] <= UNSURE:
                found = effects.Effect(*(math.nan,) * 4, found.seeds)
            row |= found._asdict()
            row["said"] = UNKNOWN if math.isnan(found.change) else str(found)
            rows.append(row)
    return pd.DataFrame(rows)


def relative(own: pd.Series, base: pd.Series, total: pd.Series) -> effects.Effect:
    """A part of the variance less another, paired by seed, over the mean total variance.

    So it is known where an estimated path part is near zero, or below. That mean is taken as
    known: what it is uncertain by is not in the interval.
    """
    found = effects.difference(own, base)
    change, low, high = (value / total.mean() for value in found[:3])
    return effects.Effect(change, low, high, found.p, found.seeds)


def over_time(plain: pd.DataFrame) -> pd.DataFrame:
    """`relative` parts of the means over training (`over_training`), beside SPOS's and a control's.

    All in units of SPOS's variance. planned: what is claimed (`ASKED`), with Holm's correction over
    all of these; a p that is not known counts as 1.
    """
    rows = []
    for part, own in plain.groupby("part", sort=False):
        total = over_training(own, "total")[BASE]
        for source, other in product(SOURCES, (BASE, CONTROL)):
            wide = over_training(own, source)
            for method in wide.columns.drop(other):
                row = {"part": part, "source": source, "method": method, "beside": other}
                row |= {"own": wide[method].mean(), "base": wide[other].mean()}
                row["share"] = wide[method].mean() / over_training(own, "total")[method].mean()
                row["planned"] = method == CLAIMED and (source, part, other) in ASKED
                rows.append(row | relative(wide[method], wide[other], total)._asdict())
    table = pd.DataFrame(rows)
    table["holm"] = math.nan
    asked = table[table.planned]
    table.loc[asked.index, "holm"] = claims.holm(asked.p.fillna(1.0).tolist())
    return table


def over_training(probed: pd.DataFrame, value: str) -> pd.DataFrame:
    """Means of each seed and method from the second probed epoch to the last: trapezoid rule.

    In the first epoch all methods draw paths alike, and images with equal chance. Each epoch counts
    for the time around it, so that probes which lie close together early do not outweigh the rest.
    """
    wide = probed.pivot(index="epoch", columns=["seed", "method"], values=value).sort_index()
    wide = wide.iloc[1:] if len(wide) > 1 else wide
    epochs = wide.index.to_numpy(dtype=float)
    means = wide.mean()
    if len(wide) > 1:
        means[:] = np.trapezoid(wide.to_numpy(), epochs, axis=0) / (epochs[-1] - epochs[0])
    return means.unstack("method")


def told(row: Any) -> str:
    """A change, in SPOS's variance, with its interval."""
    return wording.interval(row.change, row.low, row.high, null=0)


def in_words(found: Along) -> pd.DataFrame:
    """`by_epoch` in words, an epoch a column: its share, and the change in SPOS's variance."""
    rows = found.epochs
    said = [
        f"{100 * row.share:.1f} %" + f"; {told(row)}" * (row.method != BASE)
        for row in rows.itertuples()
    ]
    keys = ["part", "source", "method"]
    return rows.assign(said=said).pivot(index=keys, columns="epoch", values="said")


# --- claims ---


def _claims(sources: pd.DataFrame) -> Iterator[claims.Claim]:
    """Both sources, on all weights and on the fixed ones; and beside the control, on all."""
    rows = sources.set_index(["source", "part", "beside", "method"], drop=False)
    where = {"all": "", "fixed": f", on {FIXED}"}
    for source, part, other in ASKED:
        row = rows.loc[source, part, other, CLAIMED]
        said = [f"{CLAIMED} {told(row)}"]
        for method in (m for m in PLAIN if m not in (CLAIMED, other)):
            said.append(f"{method} {told(rows.loc[source, part, other, method])}")
        base = rows.loc[source, part, CONTROL, BASE].share
        beyond = f" below that of the schedule without gradients (`{CONTROL}`)" * (other != BASE)
        yield claims.of(
            f"17.{source}_{part}" + "_beyond" * (other != BASE),
            f"PA&DA lowers the variance that comes from {SOURCES[source]}{beyond}{where[part]}",
            row.change,
            [claims.Interval(row.low, row.high, "seeds", row.seeds)],
            f"Less {other}'s, over SPOS's variance on the same weights, means over training from "
            f"the second probed epoch on: {', '.join(said)}; {SOURCES[source]} makes "
            f"{100 * base:.1f} % of SPOS's; brackets: over {row.seeds} seeds",
            wanted=-1,
            bound=effects.RATIO_BOUND if source == "data" else None,
            p=row.holm,
            tests=len(ASKED),
            unit="of SPOS's variance" + " there" * (part == "fixed"),
            figure=FIGURE,
        )
