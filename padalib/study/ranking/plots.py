"""The figure of the ranking study: methods, differences, two rankings, tau against variance."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from padalib import samplers
from padalib.study import contests, figures, outcomes, relation, variance
from padalib.study.scale import Scale

NEAR, TICKS = 0.05, (-1, -0.3, -0.1, 0, 0.1, 0.3, 1)  # of the axis of differences


def draw(
    known: pd.DataFrame,
    predicted: pd.DataFrame,
    tables: dict[str, pd.DataFrame],
    runs: pd.DataFrame,
) -> Figure:
    """tau by method, the paired differences, two rankings, and tau against variance.

    `known`, `predicted` and `tables` are from `ranking`, `runs` from `relation`.
    """
    ranking, compared = tables["ranking"], tables["comparisons"]
    taus, rows = ranking[ranking.metric == "tau"], compared[compared.metric == "tau"]
    methods = list(taus.method.unique())
    with figures.style():
        figure = Figure(figsize=(6.75, 5.6))
        top, bottom = figure.add_gridspec(2, 1, height_ratios=(1.15, 1))
        top, bottom = (
            [
                figure.add_subplot(place)
                for place in row.subgridspec(1, len(widths), width_ratios=widths)
            ]
            for row, widths in ((top, (1.9, 1)), (bottom, (1, 1, 1.3)))
        )
        _by_method(top[0], taus, methods, known)
        _differences(top[1], rows)
        for axes, method in zip(bottom, ("SPOS", "PA&DA"), strict=False):
            _scatter(axes, predicted[method], known, method)
        bottom[0].set_ylabel(f"{known.split.iloc[0]} accuracy, alone (%)")
        relation.draw_on(bottom[2], runs)
    return figure


def _by_method(axes: Axes, taus: pd.DataFrame, methods: Sequence[str], known: pd.DataFrame) -> None:
    figures.by_method(axes, taus, "value", methods)
    first = known.iloc[0]
    axes.axhspan(first.ceiling_low, first.ceiling_high, color=figures.BAND, lw=0)
    axes.axhline(first.ceiling, color="grey", lw=0.6)
    axes.axhline(first.perfect, color="black", lw=0.6, ls="--")
    look = {"x": -0.4, "fontsize": 6}
    axes.text(y=first.perfect, s="a perfect predictor", va="bottom", **look)
    axes.text(y=first.ceiling_low, s=first.ceiling_basis, va="top", color="#555555", **look)
    axes.set(
        ylim=(min(taus.value.min(), 0.5) - 0.08, 1.03),
        ylabel="Kendall's tau, by accuracy",
        title=f"ranking of {len(known):,} architectures, by method",
    )


def _differences(axes: Axes, rows: pd.DataFrame) -> None:
    """Each difference with its intervals: above over seeds, below over architectures too."""
    for place, (row, low, high) in enumerate(
        zip(rows.itertuples(), *outcomes.joint(rows), strict=True)
    ):
        axes.plot([row.seeds_low, row.seeds_high], [place - 0.14] * 2, color=figures.TWO[1])
        axes.plot([low, high], [place + 0.14] * 2, color="black")
        axes.plot(row.difference, place, "o", color="white", mec="black", ms=3)
    axes.axvline(0, color="grey", lw=0.5)
    axes.set_yticks(range(len(rows)), [f"{row.a} − {row.b}" for row in rows.itertuples()])
    ends = [rows.seeds_low, rows.seeds_high, *outcomes.joint(rows)]
    reach = min(1.0, 1.05 * float(np.nanmax(np.abs(ends))))
    axes.set_xscale("asinh", linear_width=NEAR)  # differences between close methods are seen too
    axes.set(xlim=(-reach, reach), xlabel="difference of tau", title="paired differences")
    axes.set_xticks(ticks := [x for x in TICKS if abs(x) <= reach], [f"{x:g}" for x in ticks])
    axes.set_xticks([], minor=True)
    axes.invert_yaxis()


def _scatter(axes: Axes, scores: pd.DataFrame, known: pd.DataFrame, method: str) -> None:
    seed = scores.columns[0]
    alive = known.alive.to_numpy()  # the others are constant
    x, y = scores[seed].to_numpy()[alive], known.accuracy[alive]
    figures.scatter(axes, x, y, figures.colour(method))
    axes.set(xlabel="inherited accuracy (%)", title=f"{method}, seed {seed}")


def caption(scale: Scale, tables: dict[str, pd.DataFrame]) -> str:
    """The finding in words, for the figure."""
    rows = tables["comparisons"]
    rows = rows[rows.metric == "tau"]
    said = []
    for a, b, of in (("PA&DA", "SPOS", "SPOS's"), ("PA", "curriculum", "its schedule's")):
        if (row := contests.row(rows, a, b)) is not None:
            said.append(f"{a}'s tau differs from {of} by {outcomes.told(row)}: {row.verdict}. ")
    out = [name for name in scale.methods if variance.weighs(samplers.get(name))]
    but = f"; {', '.join(out)}: left out, for it trains on weighted steps" if out else ""
    return (
        f"Scale {scale.name}, ranked by accuracy. {''.join(said)}Top left: rings are seeds, with "
        "mean and 95 % over them. Top right, where the axis shrinks what is far from 0: grey over "
        "seeds, black over seeds and architectures together. Bottom right: a point is a run; the "
        f"variance of a step is divided by its number of paths{but}."
    )
