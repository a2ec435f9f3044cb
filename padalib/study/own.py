"""Notebook 11: a space of the reader's own, on data of her own, through all that there is here.

Nothing here knows her space: what it shows follows from `positions` and `network`.
"""

from collections.abc import Mapping, Sequence
from itertools import cycle

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from padalib.benchmarks import alone, truth
from padalib.benchmarks.truth import Truth
from padalib.data import ImageSet
from padalib.engine import paths
from padalib.probes.sampled import VarianceConfig
from padalib.ranking import report
from padalib.ranking.ranked import CONTROLS, Ranked
from padalib.ranking.scores import ScoreConfig
from padalib.samplers.checking import unsummed
from padalib.spaces import Space
from padalib.study import controls, figures, outcomes, variance
from padalib.study.claims import Claim
from padalib.study.effects import TAU_BOUND
from padalib.study.workbook import Workbook
from padalib.train import TrainConfig

FIGURE, BASE, TRUTH = "11_your_own", "SPOS", "own_truth"
OWN = "deeper"  # the method that the notebook composes
COUNTED = CONTROLS[0]  # what every supernet has to beat
MEASURES = {  # of the report card, under the heads that the reader sees
    "tau": "tau",
    "tau_loss": "tau, by loss",
    "within_flops": "within equal FLOPs",
    "with_flops": "with the FLOPs' rank",
    "p_at_10": "in the true best tenth",
    "regret_1": "lost by the favourite (points)",
    "between_seeds": "tau between seeds",
    "limit": "limit of many seeds",
}


# --- the space ---


def describe(images: Mapping[str, ImageSet]) -> str:
    """A data set in one sentence."""
    channels, height, width = images["train"].images.shape[1:]
    counts = ", ".join(f"{len(images[split]):,} to {what}" for split, what in _SPLITS.items())
    colours = "grey" if channels == 1 else f"{channels} channels"
    name, labels = images["train"].name.rpartition("/")[0], int(images["train"].labels.max()) + 1
    return f"**{name}**: {height}×{width} pixels, {colours}, {labels} classes; {counts}."


_SPLITS = {"train": "learn from", "valid": "rank on", "test": "tell the truth"}


def options(space: Space) -> pd.DataFrame:
    """How many weights each option owns at each position; blank where a position lacks it."""
    table = {
        position.name: {
            option: f"{space.weights(place, k):,}" for k, option in enumerate(position.options)
        }
        for place, position in enumerate(space.positions)
    }
    return pd.DataFrame(table).T.fillna("").rename_axis(index="weights of")


def costs(space: Space) -> pd.DataFrame:
    """Every architecture: its code, weights and MFLOPs; the cheapest first."""
    rows = [
        {
            "architecture": space.decode(arch),
            "code": space.code(arch),
            "weights": space.params(arch),
            "MFLOPs": space.flops(arch) / 1e6,
        }
        for arch in space
    ]
    return pd.DataFrame(rows).sort_values(["MFLOPs", "code"]).set_index("architecture")


# --- runs ---


def make_truth(book: Workbook, space: Space, data: str, seeds: Sequence[int], epochs: int) -> Truth:
    """Every architecture trained alone, as `own_truth.csv` in the results; or as published."""
    place = paths.published_results(book.name) / f"{TRUTH}.csv"
    if not book.redraw:
        place = book.folder / "results" / f"{TRUTH}.csv"
        table = alone.build(space, seeds, book.workers, data=data, epochs=epochs)
        alone.save(table, place)
    return truth.load(space, place)


def ranked(space: Space, known: Truth) -> Ranked:
    """One architecture of each function, with its true test accuracy."""
    codes = tuple(space.code(arch) for arch in space.classes())
    return Ranked(space, codes, known.accuracy("test")[list(codes)].to_numpy())


def scorings(trainings: Sequence[TrainConfig]) -> list[ScoreConfig]:
    """All architectures with the weights of each supernet, on the held-out images."""
    return [ScoreConfig(config) for config in trainings]


def probes(trainings: Sequence[TrainConfig], paths: int) -> list[VarianceConfig]:
    """The variance of each supernet's steps at its end, from so many paths.

    Not of methods whose steps are not sums of gradients, which the probe refuses.
    """
    sums = [config for config in trainings if not unsummed(config)]
    return [VarianceConfig(config, paths=paths) for config in sums]


# --- tables, verdicts, figure ---


def cards(scores: pd.DataFrame, known: Ranked) -> pd.DataFrame:
    """A row a method and control, a column a measure (means over seeds)."""
    found = {}
    for method, own in scores.groupby("method", sort=False):
        wide = own.pivot(index="code", columns="seed", values=["accuracy", "loss"])
        found[method] = report.card(wide.accuracy, known, wide.loss)
    found |= report.controls(known)
    rows = {name: card.set_index("measure").value for name, card in found.items()}
    return pd.DataFrame(rows).T.reindex(columns=list(MEASURES)).rename(columns=MEASURES)


def gains(scores: pd.DataFrame, known: Ranked) -> pd.DataFrame:
    """tau of each method minus that of SPOS, paired by seed, and minus that of counting FLOPs.

    Holm's correction over all.
    """
    methods, seeds = list(dict.fromkeys(scores.method)), dict.fromkeys(scores.seed)
    measured = controls.measure(scores, known)
    counted = outcomes.of(known.free[COUNTED], known)["tau"]
    measured["tau"] |= {(COUNTED, seed): counted for seed in seeds}
    asked = [(name, COUNTED) for name in methods]
    asked += [(name, BASE) for name in methods if name != BASE]
    rows = controls.compare(measured, known, asked, ["tau"])
    return outcomes.judged(rows.to_dict("records"), TAU_BOUND, wanted=1)


def verdicts(table: pd.DataFrame) -> list[Claim]:
    """A claim for each row of `gains`."""
    return [
        outcomes.claim(
            f"11.{row.a}.{row.b}",
            f"{row.a} ranks better than {row.b}",
            row,
            f"difference of tau {outcomes.told(row)}",
            wanted=1,
            unit="tau",
            figure=FIGURE,
        )
        for row in table.itertuples()
    ]


def ratios(probed: pd.DataFrame, trainings: Sequence[TrainConfig]) -> pd.DataFrame:
    """The variance of each method's steps, as taken, over SPOS's; paired by seed.

    A method that trains with importance weights takes weighted steps; those of SPOS need none.
    """
    rows = variance.compare(probed)
    weighted = [each.method.name for each in trainings if variance.weighs(each.method)]
    taken = rows.method.isin(weighted).map({True: "importance", False: "raw"})
    kept = (rows.weights == taken) & (rows.part == "all") & (rows.value == "variance")
    columns = ["method", "change", "low", "high", "seeds", "word"]
    return rows.loc[kept, columns].rename(columns={"change": "times"}).set_index("method")


@figures.style()
def draw(scores: pd.DataFrame, known: Ranked, times: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Each method's tau by seed beside the controls, and its variance; and what is plotted."""
    figure, (left, right) = figures.subplots(1, 2, figsize=(6.75, 2.6))
    by_run = outcomes.by_run(scores, known, ["method"])
    taus = by_run[(by_run.outcome == "tau") & (by_run.by == "accuracy")]
    free = outcomes.free(known).query("measure == 'tau'")
    methods = list(dict.fromkeys(scores.method))
    figures.by_method(left, taus, "value", methods)
    _controls(left, free, len(methods))
    left.set(ylabel="Kendall's tau with the truth", title="ranking")
    for place, row in enumerate(times.itertuples()):
        shade = figures.colour(row.Index)
        right.plot([place, place], [row.low, row.high], color=shade, lw=0.8)
        right.plot(place, row.times, "o", color=shade, ms=4)
    right.axhline(1, color="grey", lw=0.5)
    right.set_yscale("log")
    figures.log_ticks(right.yaxis)
    right.set_xticks(range(len(times)), list(times.index), rotation=35, ha="right")
    right.set(ylabel=f"times {BASE}'s", title="variance of the last steps")
    right.set_xlim(-0.5, len(times) - 0.5)
    plotted = [
        taus[["method", "seed", "value"]].assign(what="tau"),
        free[["name", "value"]].rename(columns={"name": "method"}).assign(what="tau"),
        times.reset_index()[["method", "times"]]
        .rename(columns={"times": "value"})
        .assign(what="variance, times"),
    ]
    return figure, pd.concat(plotted, ignore_index=True)


def _controls(axes: Axes, free: pd.DataFrame, methods: int) -> None:
    """A line for each ranking that needs no training; equal ones share it."""
    lines = free.groupby(free.value.round(6), sort=False).name.agg(", ".join)
    for (value, name), dash in zip(lines.items(), cycle(("--", ":", "-.")), strict=False):
        axes.axhline(value, color="#5F5F5F", lw=0.8, ls=dash, label=name)
    axes.set_xlim(-0.5, methods - 0.5)
    axes.legend(loc="best", fontsize=6)


def caption(space: Space, known: Truth, found: Sequence[Claim]) -> str:
    """What the figure shows, in few sentences."""
    shown = [claim.statement for claim in found if claim.verdict == "shown"]
    own = any(claim.key.startswith(f"11.{OWN}.") for claim in found)
    about = f" {OWN}: the sampler that the notebook adds." if own else ""
    said = "; ".join(shown) or f"no method is shown to rank better than {BASE} or counting FLOPs"
    return (
        f"{space.architectures:,} architectures of “{space.name}” on {known.dataset}: {said}. "
        "Left, a point is a seed, and a line across what needs no training; right, a point is the "
        f"mean over seeds. Bars: 95 % over seeds.{about}"
    )
