"""Does lower gradient variance go with a better ranking, over all runs of all methods?

A correlation over runs is no cause: methods that train convolutions more differ in both. So it is
given over all runs, with exposure (how often an edge carries an option with weights) held fixed,
and within methods.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from padalib.engine.runs import Config
from padalib.ranking import metrics
from padalib.study import claims, figures, variance
from padalib.study.claims import Claim, Interval
from padalib.study.scale import Scale

DRAWS, CHUNK = 50_000, 5_000  # with fewer draws the intervals' ends move with the seed
MEASURES = {"variance": "variance", "snr": "signal-to-noise ratio"}
FIXED = "exposure held fixed"
BOUND = 0.1  # correlations within it count as none: a hundredth of the ranks' variance


def configs(scale: Scale) -> list[Config]:
    """The runs of this study: probes and scores of every training."""
    return [*variance.probes(scale), *(scale.scoring(config) for config in scale.trainings())]


def runs(probed: pd.DataFrame, ranking: pd.DataFrame, exposure: pd.Series) -> pd.DataFrame:
    """A row a run: tau, and at the end of training variance and signal-to-noise per path.

    `ranking` is a table of `ranking.analyse`, `exposure` is by (method, seed). What is measured of
    a step of several paths is divided by their number. Methods that train on weighted steps are
    left out: these rest on a few heavy draws, just those that clipping cuts.
    """
    last = (probed.epoch == probed.epoch.max()) & (probed.part == "all")
    ends = variance.of_steps(probed[last & (probed.weights == "raw")])
    ends = ends.assign(snr=ends.signal_to_noise / ends.group, variance=ends.total / ends.group)
    taus = ranking[ranking.metric == "tau"].rename(columns={"value": "tau"})
    both = ends[["method", "seed", *MEASURES]].merge(taus[["method", "seed", "tau"]])
    keys = zip(both.method, both.seed, strict=True)
    return both.assign(exposure=[exposure[key] for key in keys])


def analyse(both: pd.DataFrame, draws: int = DRAWS) -> tuple[pd.DataFrame, list[Claim]]:
    """Spearman's rho of each measure with tau, three ways, and the claims; from `runs`.

    Intervals resample methods, of which there are few; within methods, whose means are taken out,
    they resample runs.
    """
    inner, columns = both.copy(), [*MEASURES, "tau"]
    inner[columns] -= both.groupby("method")[columns].transform("mean")
    methods, single = pd.factorize(both.method)[0], np.arange(len(both))
    rows = []
    for measure in MEASURES:
        for how, table, held, units, over in (
            ("over all runs", both, [], methods, "methods"),
            (FIXED, both, ["exposure"], methods, "methods"),
            ("within methods", inner, [], single, "runs"),
        ):
            vectors = [table[column].to_numpy() for column in (measure, "tau", *held)]
            rho = (metrics.partial_spearman if held else metrics.spearman)(*vectors)
            ends = bootstrap(vectors, units, draws)
            rows.append([measure, how, rho, *ends, over, units.max() + 1])
    columns = ["measure", "how", "rho", "low", "high", "over", "n"]
    related = pd.DataFrame(rows, columns=columns)
    return related, _claims(related)


def _claims(related: pd.DataFrame) -> list[Claim]:
    found = []
    for measure, wanted, statement in (
        ("variance", -1, "Lower variance goes with a better ranking"),
        ("snr", 1, "A higher signal-to-noise ratio goes with a better ranking"),
    ):
        rows = related[related.measure == measure].set_index("how")
        told = {
            how: claims.said(row.rho, [Interval(row.low, row.high, row.over, row.n)], 2)
            for how, row in rows.iterrows()
        }
        row = rows.loc[FIXED]
        evidence = f"Rho of {MEASURES[measure]} and tau, exposure held fixed, {told.pop(FIXED)}. "
        evidence += ". ".join(f"{how[0].upper()}{how[1:]} {said}" for how, said in told.items())
        found.append(
            claims.of(
                f"04.{measure}",
                f"{statement}, exposure to options with weights held fixed",
                row.rho,
                [Interval(row.low, row.high, row.over, int(row.n))],
                evidence,
                wanted=wanted,
                bound=BOUND,
                unit="rho",
                figure="04_ranking",
            )
        )
    return found


def bootstrap(
    vectors: list[np.ndarray], units: np.ndarray, draws: int = DRAWS, seed: int = 0
) -> tuple[float, float]:
    """95 % percentile interval of Spearman's rho of two vectors, a third one (if any) held fixed.

    `units` numbers what is drawn (a method, a run); its rows come together.
    """
    low, high = np.nanquantile(resampled(vectors, units, draws, seed), [0.025, 0.975])
    return float(low), float(high)


def resampled(
    vectors: list[np.ndarray], units: np.ndarray, draws: int = DRAWS, seed: int = 0
) -> np.ndarray:
    """[draws] of the rho that `bootstrap` has the interval of; NaN where nothing varies."""
    rng, size, found = np.random.default_rng(seed), int(units.max()) + 1, []
    for first in range(0, draws, CHUNK):
        number = min(CHUNK, draws - first)
        counts = rng.multinomial(size, np.full(size, 1 / size), size=number)[:, units]
        found.append(rhos(counts.astype(float), *vectors))
    return np.concatenate(found)


def rhos(
    counts: np.ndarray, x: np.ndarray, y: np.ndarray, fixed: np.ndarray | None = None
) -> np.ndarray:
    """[D]: rho of x and y, `fixed` held, where row r counts `counts[:, r]` times in each draw.

    The same as `metrics.spearman` and `metrics.partial_spearman` of the repeated rows; NaN where
    nothing varies.
    """
    own = [_ranks(counts, vector) for vector in (x, y)]
    found = _correlation(counts, *own)
    if fixed is None:
        return found
    third = _ranks(counts, fixed)
    # Where the third does not vary there is nothing to hold fixed.
    with_x, with_y = (np.nan_to_num(_correlation(counts, ranks, third)) for ranks in own)
    left = (1 - with_x**2) * (1 - with_y**2)
    enough = left > 1e-12
    partial = (found - with_x * with_y) / np.sqrt(np.where(enough, left, np.nan))
    return np.clip(partial, -1, 1)


def _ranks(counts: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """[D, N]: the rank of every row among the repeated ones, ties at their mean rank."""
    _, group, many = np.unique(vector, return_inverse=True, return_counts=True)
    together = counts[:, np.argsort(group, kind="stable")]
    sizes = np.add.reduceat(together, np.cumsum(many) - many, axis=1)  # [D, groups] that tie
    return (np.cumsum(sizes, axis=1) - (sizes - 1) / 2)[:, group]


def _correlation(counts: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    total = counts.sum(axis=1, keepdims=True)
    x, y = (v - (counts * v).sum(axis=1, keepdims=True) / total for v in (x, y))
    scale = np.sqrt((counts * x * x).sum(axis=1) * (counts * y * y).sum(axis=1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(scale > 1e-9, (counts * x * y).sum(axis=1) / scale, np.nan)


def draw_on(axes: Axes, both: pd.DataFrame) -> None:
    """tau of every run against the variance of its steps, with a legend beside."""
    dot = {"ms": 4, "mec": "white", "mew": 0.3}  # so that those below show
    for method, own in both.groupby("method", sort=False):
        axes.plot(own.variance, own.tau, "o", color=figures.colour(method), label=method, **dot)
    axes.set(
        xscale="log",
        xlabel="tr Var[g] per path at the end",
        ylabel="Kendall's tau, by accuracy",
        title="ranking against variance",
    )
    figures.log_ticks(axes.xaxis)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), handletextpad=0.2)
