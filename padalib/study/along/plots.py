"""The figure of variance along training: its sources, weighted steps, and the signal."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator

from padalib.study import figures
from padalib.study.along import METHODS, PLAIN, SOURCES, UNSURE, Along, told
from padalib.study.variance import BASE, CLAIMED, FIXED, PARTS, WEIGHTED

ROWS = {"all": "all weights", "fixed": "fixed part"}
LINES = {"path": "-", "data": "--"}
WAYS = (CLAIMED, WEIGHTED)  # whose weighted steps are drawn, beside SPOS's, which are as taken


def draw(found: Along) -> Figure:
    """A row for all weights and one for the fixed ones: path, data, weighted steps, signal."""
    probed = found.probed
    with figures.style():
        figure = Figure(figsize=(6.75, 4.4))
        for axes, part in zip(figure.subplots(2, 4, sharex=True), PARTS, strict=True):
            own = probed[probed.part == part]
            raw = own[(own.weights == "raw") & own.method.isin(PLAIN)]
            share = raw.assign(path_share=100 * raw.path_share)
            figures.by_epoch(axes[0], share, "path_share", PLAIN)
            axes[0].axhline(0, color="grey", lw=0.5, zorder=0)
            figures.by_epoch(axes[1], raw, "data", PLAIN)
            _weighted(axes[2], own[own.weights == "importance"])
            rows = found.rows
            rows = rows[(rows.part == part) & (rows.weights == "raw") & rows.method.isin(PLAIN)]
            for method in PLAIN:
                each = rows[rows.method == method].set_index("epoch").signal_to_noise
                look = {"marker": figures.mark(method), "color": figures.colour(method)}
                axes[3].plot(each, ms=3, lw=1, **look)
            for axis in axes[1:]:
                axis.set_yscale("log")
                figures.log_ticks(axis.yaxis)
            axes[0].set_ylabel(f"{ROWS[part]}\n% of tr Var[g]")
            axes[1].set_ylabel("tr Var[g]")
            axes[2].set_ylabel("tr Var[g]")
            axes[3].set_ylabel("|E g|² / tr Var[g]")
        titles = ("from the path", "from the data", "weighted steps", "signal to noise")
        for axis, title in zip(figure.axes[:4], titles, strict=True):
            axis.set_title(title)
        epochs = figures.apart(probed.epoch.unique())
        for axis in figure.axes:
            axis.set_xlabel("epoch" if axis in figure.axes[-4:] else "")
            axis.xaxis.set_major_locator(FixedLocator(epochs))
        _legend(figure)
    return figure


def _weighted(axis: Axes, own: pd.DataFrame) -> None:
    """Path and data apart; open where the total of a seed is not known to `UNSURE`."""
    for method in (BASE, *WAYS):
        rows = own[own.method == method]
        mean = rows.groupby("epoch")[list(SOURCES)].mean()
        sure = rows.groupby("epoch").error.max() <= UNSURE
        shade = figures.colour(method)
        for source in SOURCES:
            values = mean[source].where(mean[source] > 0)
            axis.plot(values, LINES[source], color=shade, lw=1)
            for known, fill in ((sure, shade), (~sure, "white")):
                axis.plot(values[known], figures.mark(method), color=shade, mfc=fill, ms=3)


def _legend(figure: Figure) -> None:
    marks = [
        Line2D([], [], ls="", marker=figures.mark(name), color=figures.colour(name), label=name)
        for name in METHODS
    ]
    lines = [
        Line2D([], [], color="black", lw=1, ls=line, label=f"weighted, {source}")
        for source, line in LINES.items()
    ]
    figure.legend(handles=[*marks, *lines], loc="outside upper center", ncols=4)


def caption(found: Along, scale: str) -> str:
    """PA&DA's sources beside SPOS's, and how many signals could be measured."""
    rows = found.sources[found.sources.planned & (found.sources.part == "all")]
    words = [f"{row.source} beside {row.beside} {told(row)}" for row in rows.itertuples()]
    raw = found.rows[(found.rows.weights == "raw") & found.rows.method.isin(PLAIN)]
    known = int(raw.signal_to_noise.notna().sum())
    share = f"all {known} signals" if known == len(raw) else f"{known} of {len(raw)} signals"
    return (
        f"Scale {scale}. Two left columns: steps as taken. {CLAIMED}'s part less another's, in "
        f"{BASE}'s variance, all weights, means from the second probed epoch on: "
        f"{'; '.join(words)}; brackets: 95 % over {rows.seeds.max()} seeds. Points: seeds in these "
        "columns, means in the others. Weighted steps: as in the theorem, on networks trained "
        f"without the weights and with them{_unknown(found.probed)}. All before clipping. Fixed "
        f"part: {FIXED}. Right: {share} could be measured (over draws, the interval of the "
        "square excludes zero)."
    )


def _unknown(probed: pd.DataFrame) -> str:
    """What open marks and gaps are, where there are any among the weighted steps."""
    own = probed[(probed.weights == "importance") & probed.method.isin((BASE, *WAYS))]
    open_ = (own.groupby(["method", "epoch", "part"]).error.max() > UNSURE).any()
    gaps = (own.groupby(["method", "epoch", "part"])[list(SOURCES)].mean() <= 0).any(axis=None)
    said = f"; open: known no better than to ±{100 * UNSURE:.0f} %" if open_ else ""
    return said + ("; gaps: not above zero" if gaps else "")
