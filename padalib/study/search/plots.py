"""Figures of the study of search: regret, what was found, and accuracy within limits."""

import math
from itertools import chain, zip_longest

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch
from matplotlib.patheffects import withStroke
from matplotlib.ticker import EngFormatter

from padalib.ranking import metrics
from padalib.spaces import Arch, Space
from padalib.study import figures
from padalib.study.search import DRAWN, FREE, LARGEST, MAIN, NAMES, UNTRAINED, Known

LINES = {"random": ":", "elitist": "-", "aging": "--", "halving": "-."}
LOOKED_AT = ("PA&DA", "SPOS")  # whose searches are compared, the first that is there
ACROSS = 4  # cells in a row
DASHES = {  # told apart also in grey
    **{"skip_connect": (0, (3, 1)), "identity": (0, (3, 1))},
    "avg_pool_3x3": (0, (1, 1.8)),
}
RARE, FAR = 0.01, 5  # share of functions that a front may leave out, if they cost so much less
DEAREST = "the dearest"  # within a limit; free of one, the largest network
UNITS = {"latency": "ms", "energy": "mJ"}  # of costs that are looked up
NO_ERROR = 0.1  # percent: less is drawn as this
ACCURACIES = (0, 50, 70, 80, 85, 90, 92, 94, 96, 98, 99)  # where a front may have a tick


def draw(tables: dict[str, pd.DataFrame]) -> Figure:
    """Regret against evaluations, by search and by method; and what is left at the end."""
    curves = tables["search_curves"]
    curves, methods = curves[curves.limit == FREE], list(dict.fromkeys(curves.method))
    shown = next((m for m in LOOKED_AT if m in methods), methods[0])
    with figures.style():
        figure = Figure(figsize=(6.75, 2.9))
        left, middle, right = figure.subplots(1, 3)
        own = curves[curves.method == shown]
        for name in dict.fromkeys(own.search):
            rows = _over_seeds(own[own.search == name])
            left.plot(
                rows.index, rows["mean"], LINES[name], color=_colour(shown), label=NAMES[name]
            )
        level = tables["supernets"].query("limit == @FREE and method == @shown").regret.mean()
        left.axhline(level, color="black", lw=0.5, label="the supernet's favourite")
        for method in methods:
            rows = _over_seeds(curves[(curves.method == method) & (curves.search == MAIN)])
            middle.plot(rows.index, rows["mean"], color=_colour(method))
        for axes in (left, middle):
            axes.set_yscale("asinh", linear_width=1)
            top = np.sinh(1.05 * np.arcsinh(axes.get_ylim()[1]))
            axes.set(xlabel="evaluations", ylabel="regret (points)", ylim=(0, top))
            _ticks(axes, axes.yaxis)
        left.set_title(f"searches, on {shown}'s supernets")
        middle.set_title(f"methods, by {NAMES[MAIN]}")
        _finals(right, tables, methods)
        shades = [Line2D([], [], color=_colour(m), label=m) for m in methods]
        _key(figure, shades, left.get_legend_handles_labels()[0])
    return figure


def _key(figure: Figure, *rows: list[Line2D]) -> None:
    """A legend above all panels, so that it covers no line: a line of words for each of `rows`."""
    empty = Line2D([], [], ls="", label=" ")
    handles = list(chain(*zip_longest(*rows, fillvalue=empty)))  # it is filled by columns
    look = {"handlelength": 2.5, "columnspacing": 1.2}
    figure.legend(handles=handles, loc="outside upper center", ncols=max(map(len, rows)), **look)


def _over_seeds(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.groupby("evaluations").regret.agg(["mean"])


def _ticks(axes: Axes, axis: object) -> None:
    """Plain numbers on an axis that is linear below one and logarithmic above."""
    top = (axes.get_ylim() if axis is axes.yaxis else axes.get_xlim())[1]
    marks = (0, 1, 5, 20, 100) if top > 20 else (0, 0.5, 1, 2, 5, 10, 20)
    ticks = [tick for tick in marks if tick <= top]
    axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.set_ticks([], minor=True)


def _colour(method: str) -> str:
    return figures.GREY if method == UNTRAINED else figures.colour(method)


def _finals(axes: Axes, tables: dict[str, pd.DataFrame], methods: list[str]) -> None:
    """What was found (circles), what the supernet likes best (squares), what needs no supernet."""
    curves, favourites = tables["search_curves"], tables["supernets"].query("limit == @FREE")
    last = curves[curves.evaluations == curves.evaluations.max()]
    last = last[(last.limit == FREE) & (last.search == MAIN)]
    axes.set_xscale("asinh", linear_width=1)
    for place, method in enumerate(methods):
        shade = _colour(method)
        for rows, mark, shift in ((last, "o", -0.14), (favourites, "s", 0.14)):
            mean, _, _, low, high = metrics.seeds_summary(rows[rows.method == method].regret)
            ends = [max(0.0, low), high] if math.isfinite(low) else [mean, mean]
            axes.plot(ends, [place + shift] * 2, color=shade, lw=0.8)
            look = {"mfc": "white", "ms": 4, "clip_on": False, "zorder": 3}  # whole also at zero
            axes.plot(mean, place + shift, mark, color=shade, **look)
    free = tables["search_controls"].query("limit == @FREE").set_index("control").regret
    names = [*methods, "largest", "random draw"]
    for place, control in enumerate((LARGEST, DRAWN), start=len(methods)):
        axes.plot(free[control], place, "D", color=figures.GREY, ms=4, clip_on=False)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="regret (points)", title="end: ○ search, □ favourite", xlim=(0, None))
    _ticks(axes, axes.xaxis)
    axes.set_ylim(len(names) - 0.5, -0.5)


def caption(own: Known, tables: dict[str, pd.DataFrame], scale: str) -> str:
    """The finding in words."""
    finals = tables["finals"].query("limit == @FREE and search == @MAIN")
    said = [f"{row.method} {row.regret:.2f} ({row.supernet:.2f})" for row in finals.itertuples()]
    free = tables["search_controls"].query("limit == @FREE").set_index("control").regret
    return (
        f"Scale {scale}, {own.space.name}. Regret, what the found one lacks to the best there is, "
        f"after {NAMES[MAIN]} (of the supernet's own favourite): {', '.join(said)} points; "
        f"the {LARGEST} {free[LARGEST]:.2f}, the {DRAWN} {free[DRAWN]:.2f}. "
        "Lines: means over supernet and search seeds; bars: 95 % over supernet seeds. "
        "Right: circles, what a search ends with; squares, the supernet's favourite of all. "
        "Axes of regret are linear below one point, logarithmic above."
    )


# --- what was found ---


def finds(own: Known, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """What each method's searches found most often: columns name, code, accuracy, share.

    Above them the best there is and the largest network.
    """
    true = own.table.accuracy
    largest = own.table.sort_values(["parameters", "FLOPs"], kind="stable").index[-1]
    rows = [["the best there is", true.idxmax(), math.nan], [LARGEST, largest, math.nan]]
    ends = tables["search_found"].query("limit == @FREE and search == @MAIN")
    for method, own_rows in ends.groupby("method", sort=False):
        shares = own_rows.groupby("code", sort=False).share.sum() / own_rows.seed.nunique()
        rows.append([method, shares.idxmax(), shares.max()])
    found = pd.DataFrame(rows, columns=["name", "code", "share"])
    return found.assign(accuracy=true[found.code].to_numpy())


def draw_found(space: Space, found: pd.DataFrame) -> Figure:
    """Each found architecture: nodes and the live options between them."""
    names = [name for position in space.positions for name in position.options]
    looks = figures.operations(list(dict.fromkeys(names)))
    rows = -(-len(found) // ACROSS)
    with figures.style():
        figure = Figure(figsize=(6.75, (1.3 if hasattr(space, "edges") else 0.8) * rows + 0.5))
        panels = list(figure.subplots(rows, ACROSS, squeeze=False).flat)
        for axes in panels:
            axes.set_axis_off()
        drawn: set[str] = set()
        for axes, row in zip(panels, found.itertuples(), strict=False):
            arch = space.parse(row.code)
            drawn |= _graph(axes, space, arch, looks)
            often = "" if math.isnan(row.share) else f", {100 * row.share:.0f} % of searches"
            axes.set_title(f"{row.name}\n{row.accuracy:.2f} %{often}", fontweight="normal")
        handles = [
            Line2D([], [], color=shade, lw=2, ls=DASHES.get(name, "-"), label=label)
            for name, (label, shade) in looks.items()
            if name in drawn
        ]
        if handles:
            figure.legend(handles=handles, loc="outside upper center", ncols=6)
    return figure


def _graph(axes: Axes, space: Space, arch: Arch, looks: dict[str, tuple[str, str]]) -> set[str]:
    """Arrows from node to node in the colours of their options; the options that are live.

    A cell has its `edges`; in other spaces one choice follows another.
    """
    edges = getattr(space, "edges", None) or [(k, k + 1) for k in range(len(arch))]
    nodes, drawn = 1 + max(max(edge) for edge in edges), set()
    for (i, j), option, live, position in zip(
        edges, arch, space.live(arch), space.positions, strict=True
    ):
        if not live:
            continue
        name = position.options[option]
        bend = -0.45 * (j - i - 1) / max(1, nodes - 2)
        arrow = FancyArrowPatch(
            (i, 0),
            (j, 0),
            connectionstyle=f"arc3,rad={bend}",
            arrowstyle="-|>",
            mutation_scale=7,
            shrinkA=4,
            shrinkB=4,
            lw=1.6,
            ls=DASHES.get(name, "-"),
            color=looks[name][1],
        )
        axes.add_patch(arrow)
        drawn.add(name)
    axes.plot(range(nodes), [0] * nodes, "o", color=figures.GREY, ms=5)
    if not drawn:
        axes.text((nodes - 1) / 2, 0.1, "no signal passes", ha="center")
    axes.set(xlim=(-0.3, nodes - 0.7), ylim=(-0.3, 0.9) if nodes <= len(edges) else (-0.3, 0.3))
    return drawn


def caption_found(own: Known, found: pd.DataFrame, scale: str) -> str:
    """What was found, in words."""
    said = "; ".join(f"{r.name} {r.code}" for r in found.itertuples())
    cut = any("none" in position.options for position in own.space.positions)
    left = " Edges with none, or that no signal passes, are not drawn." if cut else ""
    return (
        f"Scale {scale}, {own.space.name}. Found most often by {NAMES[MAIN]} on each "
        f"supernet; above each its accuracy alone.{left} Codes: {said}."
    )


# --- within limits ---


def draw_fronts(own: Known, fronts: pd.DataFrame) -> Figure:
    """Accuracy alone against each cost: all functions, the best within a limit, the favourites.

    Heights are the logarithm of the error, so that the best are told apart where lines go far down.
    """
    costs = _orders(own, fronts)
    columns = min(3, len(costs))
    rows = -(-len(costs) // columns)
    floor = _floor(fronts)
    with figures.style():
        figure = Figure(figsize=(6.75, 2.2 * rows + 0.3))
        panels = list(figure.subplots(rows, columns, squeeze=False).flat)
        for axes in panels[len(costs) :]:
            axes.set_axis_off()
        for axes, cost in zip(panels, costs, strict=False):
            axes.plot(
                own.table[cost],
                own.table.accuracy,
                ".",
                color=figures.TWO[1],
                ms=1,
                rasterized=True,
                zorder=1,
            )
            for name, line in _lines(fronts).items():
                each = fronts[(fronts.cost == cost) & (fronts.method == name)]
                axes.plot(each.most, each.accuracy, **line)
            axes.set(xlabel=_with_unit(cost), ylabel="accuracy alone (%)")
            axes.set_yscale("function", functions=(_height, lambda y: 100 - np.exp(-y)))
            axes.set_ylim(*_room(floor, own.table.accuracy.max()))
            low, high = axes.get_ylim()
            axes.set_yticks([tick for tick in ACCURACIES if low <= tick <= high])
            axes.set_xscale("log")
            least, usual = own.table[cost].min(), own.table[cost].quantile(RARE)
            if usual > FAR * least:  # a few that cost next to nothing would squeeze the rest
                axes.set_xlim(left=usual)
            figures.log_ticks(axes.xaxis)
            if least >= 1000:  # as 1M, 20k
                axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        handles = [
            Line2D([], [], label=DEAREST if name == LARGEST else name, **line)
            for name, line in _lines(fronts).items()
        ]
        figure.legend(handles=handles, loc="outside upper center", ncols=7)
    return figure


def _floor(fronts: pd.DataFrame) -> float:
    """The lowest accuracy of any line."""
    return float(fronts.accuracy[fronts.method != LARGEST].min())


def _height(accuracy: np.ndarray) -> np.ndarray:
    return -np.log(np.maximum(100 - np.asarray(accuracy, float), NO_ERROR))


def _room(low: float, high: float) -> tuple[float, float]:
    """Limits of accuracy with a little room below the lowest and above the highest."""
    ends = _height(np.array([low, high]))
    below, above = ends + 0.05 * (ends[1] - ends[0]) * np.array([-1, 1])
    return 100 - math.exp(-below), 100 - math.exp(-above)


def _orders(own: Known, fronts: pd.DataFrame) -> list[str]:
    """The costs, without those that put all functions in the order of an earlier one."""
    found: dict[bytes, str] = {}
    for cost in dict.fromkeys(fronts.cost):
        found.setdefault(own.table[cost].rank().to_numpy().tobytes(), cost)
    return list(found.values())


def _with_unit(cost: str) -> str:
    """Name of a cost on an axis; what is looked up has its unit at the end of its name."""
    kind = cost.rpartition("_")[2]
    return cost.replace("_", " ") + (f" ({UNITS[kind]})" if kind in UNITS else "")


def _lines(fronts: pd.DataFrame) -> dict[str, dict]:
    looks = {
        "truth": {"color": "black", "lw": 0.8, "ls": "--", "drawstyle": "steps-post"},
        LARGEST: {"color": "black", "ls": "", "marker": "x", "ms": 3, "zorder": 3},
    }
    line = {"drawstyle": "steps-post"}
    edge = [withStroke(linewidth=2.6, foreground="white")]  # grey on grey dots
    looks[UNTRAINED] = line | {"color": _colour(UNTRAINED), "path_effects": edge, "zorder": 1.5}
    return {
        name: looks.get(name, line | {"color": _colour(name), "lw": 1.2})
        for name in dict.fromkeys(fronts.method)
    }


def caption_fronts(own: Known, fronts: pd.DataFrame, scale: str) -> str:
    """How far each method's favourites lie below the front, on average over limits and costs."""
    names, costs = [n for n in dict.fromkeys(fronts.method) if n != "truth"], _orders(own, fronts)
    lost = pd.Series(0.0, names)
    for cost in costs:
        wide = fronts[fronts.cost == cost].pivot(index="most", columns="method", values="accuracy")
        lost += wide.rsub(wide.truth, axis=0).mean()[names] / len(costs)
    said = ", ".join(f"{DEAREST if n == LARGEST else n} {x:.2f}" for n, x in lost.items())
    below = 100 * (own.table.accuracy < _floor(fronts)).mean()
    only = f", and over {len(costs)} costs" if len(costs) > 1 else f" on {_with_unit(costs[0])}"
    return (
        f"Scale {scale}, {own.space.name}. Dots: functions, but for the {below:.0f} % that are "
        f"below all lines and, where they would squeeze the rest, the cheapest {100 * RARE:.0f} %; "
        "dashed: the best within a limit; crosses: what costs most within it; lines: what a "
        "supernet scores highest within it. Heights: the logarithm of the error. "
        f"Mean regret (what is lacking to the best within the limit) over the limits{only}, in "
        f"points: {said}."
    )
