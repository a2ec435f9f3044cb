"""The figure of equal exposure: edges that share, and candidates drawn in two ways."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from padalib.ranking import metrics
from padalib.study import figures, sharing
from padalib.study.exposure import ASKED, EQUAL, UNIFORM, Exposure
from padalib.study.sharing import FACTORS
from padalib.study.sharing import plots as sharing_plots

LOOKS = {EQUAL: (figures.TWO[0], "o", -0.12), UNIFORM: (figures.TWO[1], "s", 0.12)}
TITLES = {"tau_loss": "by loss", "tau": "by accuracy"}


def draw(found: Exposure) -> Figure:
    """Edges that share: variance and tau. Candidates: tau by loss and by accuracy, both arms."""
    extent = found.extent.runs
    shades = figures.shades(sorted(extent.extent.unique()))
    with figures.style():
        figure = Figure(figsize=(6.75, 2.6))
        steps, ranks, *panels = figure.subplots(1, 4)
        sharing_plots.at_the_end(steps, extent, "extent", "total", shades)
        for value, shift in (("tau", -0.15), ("tau_loss", 0.15)):
            sharing_plots.at_the_end(ranks, extent, "extent", value, shades, shift)
        steps.set(yscale="log", ylabel="tr Var[g]", title="variance")
        figures.log_ticks(steps.yaxis)
        ranks.set_title("ranking, both")
        for axis in (steps, ranks):
            axis.set(xticks=list(shades), xlabel=FACTORS["extent"])
            axis.set_xlim(min(shades) - 0.5, max(shades) + 0.5)
        for axis, value in zip(panels, ASKED, strict=True):
            _arms(axis, found.runs, value)
            axis.set(title=f"ranking {TITLES[value]}", xlabel=FACTORS["candidates"])
        for axis in (ranks, *panels):
            axis.axhspan(*found.perfect[1:], color="#dddddd", lw=0, zorder=0)
            axis.axhline(found.perfect[0], color="#666666", lw=0.6, ls="--")
            axis.set(ylabel="Kendall's tau")
        for axis in (taus := [ranks, *panels]):
            axis.set_ylim(sharing_plots.lowest(taus), 1.03)
        keys = [
            Line2D([], [], color=shade, marker=mark, ls="-", ms=3.5, label=arm)
            for arm, (shade, mark, _) in LOOKS.items()
        ]
        keys.append(Line2D([], [], color="#666666", lw=0.6, ls="--", label="perfect predictor"))
        figure.legend(handles=keys, loc="outside upper center", ncols=len(keys))
    return figure


def _arms(axis: Axes, runs: pd.DataFrame, value: str) -> None:
    """Means of an arm, joined where all are trained as long; seeds; the interval over these."""
    longest = runs.epoch.max()
    for arm, (shade, mark, shift) in LOOKS.items():
        own = runs[runs.arm == arm]
        long = own[own.epoch == longest].groupby("candidates")[value].mean()
        axis.plot(long.index + shift, long, color=shade, lw=0.8)
        for level, rows in own.groupby("candidates"):
            mean, _, _, low, high = metrics.seeds_summary(rows[value].to_numpy())
            full = shade if rows.epoch.max() == longest else "white"
            axis.plot([level + shift] * 2, [low, high], color=shade, lw=0.8)
            axis.plot([level + shift] * len(rows), rows[value], ".", color=shade, ms=2)
            axis.plot(level + shift, mean, mark, color=shade, mfc=full, ms=4)
    levels = sorted(runs.candidates.unique())
    axis.set(xticks=levels, xlim=(levels[0] - 0.5, levels[-1] + 0.5))


def caption(found: Exposure, scale: str) -> str:
    """The changes of tau by loss, and what the marks are."""
    last = found.extent.changes[found.extent.changes.planned].set_index(["factor", "value"])
    row = last.loc["extent", "tau_loss"]
    row = row.iloc[-1] if isinstance(row, pd.DataFrame) else row
    by = found.changes[found.changes.value == ASKED[0]].drop_duplicates("asked").set_index("asked")
    by["words"] = [sharing.said(row) for row in by.itertuples()]
    most, fewest = by.second.max(), by["first"].min()
    perfect, low, high = found.perfect
    return (
        f"Scale {scale}, {by.architectures.max()} architectures of convolutions. From "
        f"{row['first']} to {row.second} edges that share tau by loss changes by "
        f"{sharing.said(row)}; from {fewest} to {most} operations per edge with uniform paths by "
        f"{by.words['uniform']}, with equal exposure by {by.words['falls_short']} beside {fewest} "
        f"trained half as long (as often), by {by.words['falls']} beside {fewest} "
        f"trained as long (twice as often). Equal less uniform, at {most}, {by.words['exposure']}. "
        f"Brackets: 95 % over {by.seeds.max()} seeds; the claims' are also over architectures. "
        "Second panel: filled by accuracy, rings by loss; right of it open: trained half as long. "
        "Points: seeds; bars: 95 % over them. Dashed: a perfect predictor, "
        f"{perfect:.2f} [{low:.2f}, {high:.2f}], of full-size networks trained alone (by the "
        f"{found.extent.basis})."
    )
