"""Variance along training: its parts from path and data, weighted and not, and the signal.

Beside the total stands the part of the weights that every path trains ('fixed'), which all methods
have in common. A signal is told only where the draws suffice.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from padalib.engine.runs import Config
from padalib.probes.sampled import VarianceConfig
from padalib.study import claims, effects, variance
from padalib.study.scale import Scale
from padalib.study.variance import BASE, CLAIMED, PARTS, WEIGHTED
from padalib.train import TrainConfig

METHODS = (BASE, "PA", CLAIMED, WEIGHTED)
ERROR = 0.02  # the variance is not enough: draws go on until the scale's limit, for the signal
SOURCES = {"path": "the path", "data": "the data"}
UNKNOWN = claims.UNMEASURABLE
FIGURE = "17_variance_along"


def trainings(scale: Scale) -> list[TrainConfig]:
    """The methods whose variance is followed, by seed."""
    return [
        replace(scale.training(method, seed), keep=scale.keep)
        for seed in scale.seeds
        for method in METHODS
    ]


def probes(scale: Scale) -> list[VarianceConfig]:
    """Each at every kept epoch and the end, with as many draws as the scale allows."""
    return [
        VarianceConfig(config, epoch, scale.paths, scale.batches, ERROR)
        for config in trainings(scale)
        for epoch in (*config.keep, config.epochs)
    ]


def configs(scale: Scale) -> list[Config]:
    """All runs of this study."""
    return list(probes(scale))


# --- analysis ---


class Along(NamedTuple):
    """Tables and claims of the study."""

    rows: pd.DataFrame  # means over seeds of each method, epoch, kind of step, and part
    compared: pd.DataFrame  # total and signal-to-noise beside SPOS's, see `variance.compare`
    sources: pd.DataFrame  # each source of PA&DA's variance over SPOS's, mean over training
    claims: list[claims.Claim]


def analyse(probed: pd.DataFrame) -> Along:
    """From the rows of the probes."""
    own = probed[probed.part.isin(PARTS)]
    sources = beside(own)
    return Along(means(own), variance.compare(own), sources, list(_claims(sources)))


def means(probed: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds, and whether the signal is measured.

    signal: |E g|², a mean over seeds with its interval over the draws; signal_to_noise beside it,
    NaN where that interval holds zero; `signal_said` then says so.
    """
    rows = []
    for key, own in probed.groupby(["method", "epoch", "weights", "part"], sort=False):
        values = own[["total", "path", "data", "path_share", "signal"]].mean()
        halves = (own.signal_high - own.signal_low).to_numpy() / 2
        half = math.sqrt(np.square(halves).sum()) / len(own)
        known = values.signal - half > 0
        row = dict(zip(("method", "epoch", "weights", "part"), key, strict=True))
        row |= {"seeds": len(own), "paths": own.paths.sum(), **values}
        row |= {"signal_low": values.signal - half, "signal_high": values.signal + half}
        row["signal_to_noise"] = values.signal / values.total if known else math.nan
        row["signal_said"] = claims.short(row["signal_to_noise"]) if known else UNKNOWN
        rows.append(row)
    return pd.DataFrame(rows)


def beside(probed: pd.DataFrame) -> pd.DataFrame:
    """Path part and data part of each method, over SPOS's of the same seed.

    Of their means over training (`over_training`): an estimated path part may be below zero at a
    single epoch. Where even the mean of a seed is, there is no ratio: below and base_below count
    such seeds, own and base are the means over all. A row for each kind of step, part of the
    weights, source and method; Holm's correction is for those of PA&DA as taken, which are claimed,
    and apart from these for the others.
    """
    rows = []
    for (weights, part), own in probed.groupby(["weights", "part"], sort=False):
        for source in SOURCES:
            wide = over_training(own, source)
            for method in [m for m in own.method.unique() if m != BASE and BASE in wide]:
                found = effects.ratio(wide[method], wide[BASE])
                named = {"weights": weights, "part": part, "source": source, "method": method}
                values = {"own": wide[method].mean(), "base": wide[BASE].mean()}
                values["below"] = int((wide[method] <= 0).sum())
                values["base_below"] = int((wide[BASE] <= 0).sum())
                rows.append(named | found._asdict() | values)
    table = pd.DataFrame(rows)
    table["planned"] = (table.method == CLAIMED) & (table.weights == "raw")
    table["holm"] = math.nan
    for _, own in table[table.p.notna()].groupby("planned"):
        table.loc[own.index, "holm"] = claims.holm(own.p.tolist())
    return table


def over_training(probed: pd.DataFrame, value: str) -> pd.DataFrame:
    """Means of each seed and method from the second probed epoch to the last: trapezoid rule.

    In the first epoch all methods draw alike. Each epoch counts for the time around it, so that
    probes which lie close together early do not outweigh the rest.
    """
    wide = probed.pivot(index="epoch", columns=["seed", "method"], values=value).sort_index()
    wide = wide.iloc[1:] if len(wide) > 1 else wide
    epochs = wide.index.to_numpy(dtype=float)
    means = wide.mean()
    if len(wide) > 1:
        means[:] = np.trapezoid(wide.to_numpy(), epochs, axis=0) / (epochs[-1] - epochs[0])
    return means.unstack("method")


def told(row: pd.Series) -> str:
    """A ratio of `beside` with its interval, or what was found where there is none."""
    if not math.isnan(row.change):
        return claims.interval(row.change, row.low, row.high)
    counts = {row.method: row.below, BASE: row.base_below}
    below = " and ".join(f"{n} of {row.seeds} seeds of {name}" for name, n in counts.items() if n)
    return f"{UNKNOWN}: not above zero in {below} (means {row.own:.3g}, {BASE} {row.base:.3g})"


def _claims(sources: pd.DataFrame) -> Iterator[claims.Claim]:
    """Both sources, on all weights and on those that every path trains."""
    rows = sources.set_index(["weights", "part", "source", "method"], drop=False)
    where = {"all": "", "fixed": ", on the weights that every path trains"}
    for _, row in sources[sources.planned].iterrows():
        said = [f"{CLAIMED} {told(row)}"]
        for weights, method, words in (
            ("raw", "PA", "PA"),
            ("importance", WEIGHTED, "weighted, trained with the weights"),
            ("importance", CLAIMED, "weighted, trained without"),
        ):
            if (key := (weights, row.part, row.source, method)) in rows.index:
                said.append(f"{words} {told(rows.loc[key])}")
        yield claims.of(
            f"17.{row.source}_{row.part}",
            f"PA&DA lowers the variance that comes from {SOURCES[row.source]}{where[row.part]}",
            row.change,
            [claims.Interval(row.low, row.high, "seeds", row.seeds)],
            f"Times SPOS's, means over training from the second probed epoch on: "
            f"{', '.join(said)}; over {row.seeds} seeds",
            wanted=-1,
            null=1.0,
            bound=effects.RATIO_BOUND,
            p=row.holm,
            unit="times",
            figure=FIGURE,
        )
