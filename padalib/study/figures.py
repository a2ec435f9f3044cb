"""How figures look, how they are saved and shown: the same bytes wherever they are drawn.

Draw inside `style()`, or decorate the function that draws with it: `@figures.style()`.
"""

import html
import io
import textwrap
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython import get_ipython
from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import ArrayLike
from PIL import Image, UnidentifiedImageError

from padalib.engine.runs import write_bytes
from padalib.ranking import metrics

# Every colour of a mark has a contrast of at least 3 to white paper (WCAG 2.2, 1.4.11), and any two
# methods differ for readers with and without red-green blindness. Four are Okabe & Ito's.
COLOURS = {
    "SPOS": "#000000",
    "FairNAS": "#866579",
    "PA": "#0072B2",
    "DA": "#945425",
    "PA&DA": "#D55E00",
    "curriculum": "#009E73",
    "size-curriculum": "#CD1FB5",
    "parameters": "#4B47CD",
    "FLOPs of live edges": "#54A029",
    "FairNAS per epoch": "#522E6C",
    "PA&DA weighted": "#6B1026",
    "balanced": "#115347",
    "yoked PA": "#050075",
    "sbs": "#0898FA",
    "sandwich": "#EB5CA3",
    "DYNAS": "#3D99A3",
    "SUMNAS": "#3D7AFF",
    "SUMNAS as released": "#0A338F",
    "MAGIC-T": "#47A352",
    "density-aware": "#665C3D",
    "NSAS": "#66290A",
    "CLOSE": "#6C5484",
    "few-shot NAS": "#0C0CC0",
    "GM-NAS": "#5454FC",
    "EFS-NAS": "#3C3C54",
}
OWN = "#4F23F9"  # methods of your own
# Marks of the methods that are drawn most often side by side; others have a dot.
MARKS = {
    **{"SPOS": "o", "PA": "s", "yoked PA": "D", "curriculum": "^", "PA&DA": "v"},
    "PA&DA weighted": "P",
}
OPERATIONS = {
    "fixed": ("fixed part", "#8A8A8A"),
    "none": ("none", "#000000"),
    "skip_connect": ("skip", "#5F5F5F"),
    "nor_conv_1x1": ("conv 1×1", "#3D8FD6"),
    "nor_conv_3x3": ("conv 3×3", "#004F87"),
    "avg_pool_3x3": ("avg pool", "#C06000"),
    "conv_1x1": ("conv 1×1", "#3D8FD6"),
    "conv_3x3": ("conv 3×3", "#004F87"),
    "sep_5x5": ("separable 5×5", "#7A2E1F"),
    "identity": ("identity", "#5F5F5F"),
    "mb3_k3": ("expand 3, 3×3", "#3D8FD6"),
    "mb6_k5": ("expand 6, 5×5", "#004F87"),
}
GREY = "#767676"  # of lines and words that are no method's
# Two kinds of what is no method: two measures, two kinds of interval. Colours are methods'.
TWO = ("#404040", "#909090")
BAND = "#DDDDDD"  # of areas behind the marks, and no mark's
SHOWN_AT = 120  # pixels an inch in a notebook, where 7 pt are then read with ease
MOST_WORDS = 0.7  # share of a figure that a caption may take: more, and the layout has collapsed


def colour(method: str) -> str:
    """A method's colour; methods of your own get the remaining one."""
    return COLOURS.get(method, OWN)


def mark(method: str) -> str:
    """A method's mark, so that colour is not all that tells it from another."""
    return MARKS.get(method, "o")


def operations(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Label and colour of each option; those of a space of your own take what colours there are."""
    known = {name: OPERATIONS[name] for name in names if name in OPERATIONS}
    taken = {shade for _, shade in known.values()}
    spare = cycle(shade for shade in COLOURS.values() if shade not in taken)
    return {name: known.get(name) or (name.replace("_", " "), next(spare)) for name in names}


def shades(levels: Iterable) -> dict[Any, str]:
    """A colour for each level, in their order, from dark to as light as a mark may be."""
    levels = list(levels)
    ramp = plt.get_cmap("inferno")(np.linspace(0.1, 0.66, len(levels)))
    return dict(zip(levels, map(to_hex, ramp), strict=True))


@contextmanager
def style() -> Iterator[None]:
    """The project's style on matplotlib's own defaults, whatever is configured on this machine."""
    live = matplotlib.is_interactive()
    try:
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            plt.style.use(Path(__file__).with_name("padalib.mplstyle"))
            try:
                yield
            finally:  # a kernel's backend turns this on when it is first used, perhaps in here
                live = matplotlib.is_interactive()
    finally:
        matplotlib.interactive(live)


@style()
def subplots(
    rows: int = 1, columns: int = 1, figsize: tuple[float, float] = (6.75, 2.4), **options: Any
) -> tuple[Figure, Any]:
    """`plt.subplots` without pyplot: no backend is needed, and nothing is shown until saved."""
    figure = Figure(figsize=figsize)
    return figure, figure.subplots(rows, columns, **options)


@style()
def save(figure: Figure, folder: Path, name: str, table: pd.DataFrame, caption: str) -> None:
    """Write `<folder>/<name>.{png,svg,csv}`, the csv being the plotted numbers, and show the png.

    The same table gives the same bytes: dates and program names are left out. `caption` is set
    below the axes, and held in the file (`captioned`); in a notebook it is text below the picture
    instead, and its alternative text.
    """
    kept = caption.replace(" %", "\u00a0%")  # a number keeps its unit, and a name is not cut
    lines = textwrap.fill(kept, int(17 * figure.get_figwidth()), break_on_hyphens=False)
    if figure.get_supxlabel() != lines:  # setting it again would move it
        figure.supxlabel(lines, x=0.01, ha="left", fontsize=7)
    figure.set_dpi(matplotlib.rcParams["figure.dpi"])  # not that of this machine's screen
    figure.draw_without_rendering()  # lays out, once: a second layout would start from this one
    figure.set_layout_engine("none")
    files = {}
    said = {"Description": caption}
    for kind, metadata in (
        ("png", said | {"Software": None}),
        ("svg", said | {"Date": None, "Creator": None}),
    ):
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, metadata=metadata)
        files[kind] = buffer.getvalue()
    files["csv"] = table.to_csv(index=False, lineterminator="\n").encode()
    for kind, content in files.items():
        write_bytes(folder / f"{name}.{kind}", content)
    plt.close(figure)  # pyplot's backend would show it once more, at the end of the cell
    if get_ipython() is not None:
        own = [text for text in figure.texts if lines and text.get_text() == lines]
        words = min((text.get_window_extent().y1 for text in own), default=0) / figure.bbox.height
        _show(_above(files["png"], words), round(SHOWN_AT * figure.get_figwidth()), caption)


def captioned(png: Path) -> str:
    """The caption that a picture was saved with; '' where it holds none, or is no picture."""
    try:
        with Image.open(png) as picture:
            return str(picture.info.get("Description", ""))
    except UnidentifiedImageError:
        return ""


def _above(png: bytes, share: float) -> bytes:
    """A picture without that share of its height at the bottom; all of it where that is most."""
    if share > MOST_WORDS:
        return png
    picture, buffer = Image.open(io.BytesIO(png)), io.BytesIO()
    cut = picture.crop((0, 0, picture.width, round((1 - share) * picture.height)))
    cut.save(buffer, "png")
    return buffer.getvalue()


def _show(png: bytes, width: int, caption: str) -> None:
    """One output: as HTML, for pages drop the alternative text of a bare image."""
    picture, words = b64encode(png).decode(), html.escape(caption)
    page = (
        f'<figure style="margin: 0"><img src="data:image/png;base64,{picture}" alt="{words}" '
        f'width="{width}" style="max-width: 100%"/><figcaption style="max-width: {width}px">'
        f"{words}</figcaption></figure>"
    )
    display(
        {"image/png": picture, "text/html": page, "text/plain": caption},
        metadata={"image/png": {"width": width, "alt": caption}},
        raw=True,
    )


def log_ticks(axis: Axis) -> None:
    """Few, plainly written ticks for an axis in log scale, also over less than a decade."""
    low, high = axis.get_view_interval()
    decades = np.floor(np.log10(high)) - np.ceil(np.log10(low)) + 1
    dense = (1, 1.5, 2, 3, 4, 5, 6, 8) if high < 6 * low else (1, 2, 5)
    few = high < 30 * low or decades < 2  # a single tick would say no scale
    axis.set_major_locator(LogLocator(subs=dense if few else (1,)))
    if high < 2 * low:
        axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def apart(values: Iterable[float], share: float = 0.1) -> list[float]:
    """Of these values, for ticks, those that lie apart by that share of their range."""
    values = sorted(set(values))
    kept = values[:1]
    for value in values[1:]:
        if value - kept[-1] >= share * (values[-1] - values[0]):
            kept.append(value)
    return kept


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


def scatter(axes: Axes, x: ArrayLike, y: ArrayLike, shade: str, label: str | None = None) -> None:
    """A point for each pair, opaque so that it is seen, edged in white so that each is seen."""
    size = 5 if len(np.asarray(x)) < 200 else 3
    axes.plot(x, y, "o", color=shade, ms=size, mec="white", mew=0.3, label=label)


def key(owner: Axes | Figure, methods: Iterable[str], marks: bool = False, **look: Any) -> Legend:
    """A legend of methods: a dot in the colour of each, or where `marks`, each one's mark."""
    dots = [
        Line2D([], [], ls="", marker=mark(n) if marks else "o", color=colour(n), label=n)
        for n in methods
    ]
    return owner.legend(handles=dots, **look)


def by_epoch(
    axes: Axes, rows: pd.DataFrame, value: str, methods: Sequence[str], label: bool = True
) -> None:
    """One line per method over epochs: the mean over seeds, a point for each seed."""
    for place, method in enumerate(methods):
        own = rows[rows.method == method]
        mean = own.groupby("epoch")[value].mean()
        axes.plot(mean.index, mean, color=colour(method), label=method if label else None)
        if own.groupby("epoch").size().max() > 1 and len(mean) <= 8:
            look = {"marker": mark(method), "ls": "", "color": colour(method), "ms": 1.5}
            axes.plot(own.epoch, own[value], zorder=1 + place / 99, **look)
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
        axes.plot([place] * n, values, "o", color=colour(method), mfc="none", ms=3, mew=0.7)
        axes.plot([place - 0.25, place + 0.25], [mean, mean], color=colour(method))
        axes.plot([place, place], [low, high], color=colour(method), lw=0.8)
        out.append({"method": method, "mean": mean, "sd": sd, "seeds": n, "low": low, "high": high})
    axes.set_xticks(range(len(methods)), methods, rotation=35, ha="right")
    return pd.DataFrame(out)
