"""How figures look: one colour for one method everywhere, and deterministic bytes."""

import io
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from padalib.engine import paths
from padalib.engine.runs import write_bytes
from padalib.ranking import metrics

# Okabe & Ito's colour-blind-safe palette.
COLOURS = {
    "SPOS": "#000000",
    "FairNAS": "#999999",
    "PA": "#0072B2",
    "DA": "#E69F00",
    "PA&DA": "#D55E00",
    "curriculum": "#009E73",
    "size-curriculum": "#CC79A7",
    "parameters": "#56B4E9",
    "FLOPs": "#F0E442",
    # Variants and further controls, beyond the palette: darker than what they vary.
    "FairNAS per epoch": "#555555",
    "PA&DA weighted": "#7A3500",
    "balanced": "#004D38",
    "FLOPs of live edges": "#7A6A00",
}
OPERATIONS = {
    "none": ("none", "#000000"),
    "skip_connect": ("skip", "#999999"),
    "nor_conv_1x1": ("conv 1×1", "#56B4E9"),
    "nor_conv_3x3": ("conv 3×3", "#0072B2"),
    "avg_pool_3x3": ("avg pool", "#E69F00"),
}


def colour(method: str) -> str:
    """A method's colour; methods of your own get the remaining one."""
    return COLOURS.get(method, "#CC79A7")


@contextmanager
def style() -> Iterator[None]:
    """The project's matplotlib style, for the figures made inside."""
    with plt.style.context(Path(__file__).with_name("padalib.mplstyle")):
        yield


def save(
    figure: Figure, folder: str | Path, name: str, table: pd.DataFrame, caption: str | None = None
) -> None:
    """Write `<folder>/<name>.{png,svg,csv}`, the csv being the plotted numbers.

    The same table gives the same bytes: dates and program names are left out. `caption` is set
    below the axes.
    """
    if caption:
        lines = textwrap.fill(caption, int(17 * figure.get_figwidth()))
        if figure.get_supxlabel() != lines:  # setting it again would move it
            figure.supxlabel(lines, x=0.01, ha="left", fontsize=7)
    with style():
        figure.draw_without_rendering()  # lays out, once: a second layout would start from this one
    figure.set_layout_engine("none")
    folder = paths.figures_dir(folder) if isinstance(folder, str) else folder
    for kind, metadata in (("png", {"Software": None}), ("svg", {"Date": None, "Creator": None})):
        buffer = io.BytesIO()
        with style():
            figure.savefig(buffer, format=kind, metadata=metadata)
        write_bytes(folder / f"{name}.{kind}", buffer.getvalue())
    write_bytes(folder / f"{name}.csv", table.to_csv(index=False, lineterminator="\n").encode())


def log_ticks(axis: Axis) -> None:
    """Few, plainly written ticks for an axis in log scale, also over less than a decade."""
    low, high = axis.get_view_interval()
    dense = (1, 1.5, 2, 3, 4, 5, 6, 8) if high < 3 * low else (1, 2, 5)
    axis.set_major_locator(LogLocator(subs=dense if high < 30 * low else (1,)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def label_ends(axes: Axes, ends: pd.Series, shades: Mapping) -> None:
    """Write each line's name (the index of `ends`) right of its last value, in its shade.

    Call it when scale and limits are final; names that would overlap are moved apart.
    """
    bottom, top = axes.get_ylim()
    places = axes.transScale.transform([(0, y) for y in (bottom, top, *ends)])[:, 1]
    heights = pd.Series((places[2:] - places[0]) / (places[1] - places[0]), ends.index)
    heights, gap = heights.sort_values(), 0.1
    for k in range(1, len(heights)):
        heights.iloc[k] = max(heights.iloc[k], heights.iloc[k - 1] + gap)
    top = 1.0
    for name, height in heights[::-1].items():
        look = {"color": shades[name], "va": "center", "transform": axes.transAxes}
        axes.text(1.02, min(height, top), str(name), **look)
        top = min(height, top) - gap


def by_epoch(
    axes: Axes, rows: pd.DataFrame, value: str, methods: Sequence[str], label: bool = True
) -> None:
    """One line per method over epochs: the mean over seeds, a point for each seed."""
    for place, method in enumerate(methods):
        own = rows[rows.method == method]
        mean = own.groupby("epoch")[value].mean()
        axes.plot(mean.index, mean, color=colour(method), label=method if label else None)
        if own.groupby("epoch").size().max() > 1 and len(mean) <= 8:
            axes.plot(own.epoch, own[value], ".", color=colour(method), ms=2, zorder=1 + place / 99)
    axes.set_xlabel("epoch (passes of images)")
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))


def over_time(
    axes: Axes, rows: pd.DataFrame, value: str, methods: Sequence[str], label: bool = True
) -> None:
    """`by_epoch` where several epochs were looked at, else `by_method`."""
    if rows.epoch.nunique() > 1:
        by_epoch(axes, rows, value, methods, label)
    else:
        by_method(axes, rows, value, methods)


def by_method(axes: Axes, rows: pd.DataFrame, value: str, methods: Sequence[str]) -> pd.DataFrame:
    """A column per method: a point for each seed, the mean with its t interval over seeds.

    Returns the means and intervals.
    """
    out = []
    for place, method in enumerate(methods):
        values = rows.loc[rows.method == method, value].to_numpy()
        mean, sd, n, low, high = metrics.seeds_summary(values)
        axes.plot([place] * n, values, ".", color=colour(method), ms=4, alpha=0.6, mew=0)
        axes.plot([place - 0.25, place + 0.25], [mean, mean], color=colour(method))
        axes.plot([place, place], [low, high], color=colour(method), lw=0.8)
        out.append({"method": method, "mean": mean, "sd": sd, "seeds": n, "low": low, "high": high})
    axes.set_xticks(range(len(methods)), methods, rotation=35, ha="right")
    return pd.DataFrame(out)
