"""The figure of the study of sharing."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from padalib.ranking import metrics
from padalib.study import figures
from padalib.study.sharing import FACTORS, SCORES, Sharing, along, said


def draw(found: Sharing) -> Figure:
    """A row of panels for each factor: variance and ranking at the end, and along training."""
    epochs = sorted(found.runs.epoch.unique())
    with figures.style():
        figure = Figure(figsize=(6.75, 3.8))
        grid, ends = figure.subplots(2, 4), []
        for axes, (factor, label) in zip(grid, FACTORS.items(), strict=True):
            rows = along(found.runs, factor)
            levels = sorted(rows[factor].unique())
            shades = figures.shades(levels)
            end = rows[rows.epoch == epochs[-1]]
            at_the_end(axes[0], end, factor, "total", shades)
            for score, shift in zip(SCORES, (-0.15, 0.15), strict=True):
                at_the_end(axes[1], end, factor, score, shades, shift)
            for axis, value in ((axes[2], "total"), (axes[3], "tau")):
                for level, shade in shades.items():
                    axis.plot(
                        rows[rows[factor] == level].groupby("epoch")[value].mean(), color=shade
                    )
                axis.set(xlabel="epoch (passes of images)", title="along training", xticks=epochs)
            for axis, title in ((axes[0], "variance"), (axes[1], "ranking")):
                axis.set(xticks=levels, xlabel=label, xlim=(0.5, max(levels) + 0.5), title=title)
            for axis in (axes[0], axes[2]):
                axis.set(yscale="log", ylabel="tr Var[g]")
                figures.log_ticks(axis.yaxis)
            for axis in (axes[1], axes[3]):
                axis.axhline(found.perfect, color="#666666", lw=0.6, ls="--")
                axis.set(ylabel="Kendall's tau")
            means = end.groupby(factor)[["total", "tau"]].mean()
            ends += [(axes[2], means.total, shades), (axes[3], means.tau.dropna(), shades)]
        taus = [*grid[:, 1], *grid[:, 3]]
        for axis in taus:
            axis.set_ylim(lowest(taus), 1.03)
        for axis, values, shades in ends:
            figures.label_ends(axis, values, shades)
    return figure


def lowest(panels: Sequence[Axes]) -> float:
    """A lower end of axes of tau that cuts no point and no bar."""
    return max(-1.05, min(-0.1, *(axis.dataLim.y0 - 0.05 for axis in panels)))


def at_the_end(
    axis: Axes, rows: pd.DataFrame, factor: str, value: str, shades: dict, shift: float = 0.0
) -> None:
    """At each level the seeds (by loss: rings), their mean and its interval."""
    look = {"mfc": "white", "mew": 0.6} if value == "tau_loss" else {"mew": 0}
    for level, shade in shades.items():
        values = rows.loc[rows[factor] == level, value].dropna().to_numpy()
        if not len(values):
            continue
        mean, _, _, low, high = metrics.seeds_summary(values)
        axis.plot([level + shift] * 2, [low, high], color=shade, lw=0.8)
        axis.plot([level + shift] * len(values), values, "o", color=shade, ms=2.5, **look)
        axis.plot(level + shift, mean, "_", color=shade, ms=6)


def caption(found: Sharing, scale: str) -> str:
    """What the figure shows: the changes along each whole factor."""
    last = found.changes[found.changes.planned].groupby(["factor", "value"], sort=False).tail(1)
    words = []
    for factor, own in last.groupby("factor", sort=False):
        row = own.set_index("value")
        words.append(
            f"From {row['first'].iloc[0]} to {row.second.iloc[0]} {FACTORS[factor]}: variance "
            f"changes {said(row.loc['total'], '')} times, tau by {said(row.loc['tau'])} ranked by "
            f"accuracy, by {said(row.loc['tau_loss'])} ranked by loss"
        )
    one = "With one operation one architecture is left: it has no tau. "
    one = one if (found.runs.candidates == 1).any() else ""
    return (
        f"Scale {scale}, {last.architectures.max()} architectures of convolutions. "
        f"{'. '.join(words)}. Brackets: 95 % over {last.seeds.max()} seeds. Filled, and "
        f"lines of tau: by accuracy; rings: by loss. Numbers: level. {one}Dashed: "
        f"a perfect predictor, {found.perfect:.2f} (by the {found.basis})."
    )
