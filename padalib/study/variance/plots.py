"""Figures of the study of variance."""

import re
from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from padalib.ranking import metrics
from padalib.study import figures
from padalib.study.variance import BASE, CLAIMED, CONTROL, Variance

LOGARITHMIC = ("total", "total_weighted", "bias", "snr")  # panels of runs with such an axis


def draw(found: Variance, methods: Sequence[str], places: Sequence[str]) -> Figure:
    """Variance, bias and signal-to-noise of the methods' steps; shares of the path and of places.

    Along training where several epochs were probed, else at the end; of the methods that were.
    """
    rows, named = found.steps, methods
    methods = _probed(found, methods)
    with figures.style():
        figure = Figure(figsize=(6.75, 5.0))
        (left, weighted, biased), (middle, right, edges) = figure.subplots(2, 3)
        for axis, value, label, title in (
            (left, LOGARITHMIC[0], "tr Var[g]", "variance, steps as taken"),
            (weighted, LOGARITHMIC[1], "tr Var[g]", "variance, importance-weighted"),
            (biased, LOGARITHMIC[2], "|bias|² / |E g|²", "bias of steps as taken"),
            (middle, LOGARITHMIC[3], "|E g|² / tr Var[g], per path", "signal to noise"),
        ):
            own = rows.dropna(subset=[value])
            drawn = [method for method in named if method in set(own.method)]
            figures.over_time(axis, own, value, drawn, label=axis is weighted)
            axis.set(yscale="log", ylabel=label, title=title)
            figures.log_ticks(axis.yaxis)
        look = {"loc": "outside upper center", "ncols": 6, "handlelength": 1}
        figures.key(figure, named, **look)
        figures.by_method(right, rows[rows.epoch == rows.epoch.max()], "path_share", methods)
        right.axhline(0, color="grey", lw=0.5)
        right.set(ylabel="share of the variance", title="part that comes from the path")
        shares = found.parts.pivot(index="method", columns="part", values="total")
        shares = shares.div(shares["all"], axis=0)
        of_places = [part for part in found.parts.part.unique() if _is_place(part)]
        kind = of_places[0].split()[0]
        for method in methods:
            edges.plot(places, shares.loc[method, of_places], color=figures.colour(method))
        edges.set(ylabel="share of the variance", xlabel=kind)
        edges.set_title(f"part that sits on each {kind}")
    return figure


def caption(found: Variance, scale: str) -> str:
    """PA&DA and its control beside SPOS."""
    end = found.compared[found.compared.epoch == found.compared.epoch.max()]
    rows = end[(end.weights == "raw") & (end.part == "all")].set_index(["method", "value"])

    def said(method: str) -> str:
        ratio, gain = rows.loc[(method, "variance")], rows.loc[(method, "snr")]
        return (
            f"{ratio.change:.2f} times SPOS's [{ratio.low:.2f}, {ratio.high:.2f}]; "
            f"signal-to-noise {gain['mean']:.4f} against {gain.base:.4f}, {gain.word}"
        )

    text = f"Scale {scale}, {end.seeds.max()} seeds, end of training."
    if (CLAIMED, "snr") in rows.index:
        text += f" Variance of PA&DA's steps: {said(CLAIMED)}."
    if (CONTROL, "snr") in rows.index:
        text += f" {CONTROL} (no gradients): {said(CONTROL)}."
    steps = found.steps
    for paths, own in steps[steps.group > 1].groupby("group"):
        text += f" A step of {' and of '.join(own.method.unique())} has {paths} paths."
    for name in steps.method[steps.total.isna()].unique():
        text += f" {name} trains on weighted steps: it has no others."
    text += " Brackets and bars: 95 % over seeds; rings: seeds; dashes: means."
    text += " Variance, bias and signal have log axes."
    if steps.epoch.nunique() > 1:
        text += " Lines: means; small marks: seeds."
    elif _below(steps):
        text += " A bar that ends on the axis below reaches zero."
    if (steps.snr <= 0).any():
        text += " Signals below zero are not drawn."
    return text


def _below(steps: pd.DataFrame) -> bool:
    """Whether the interval of a method reaches zero, which no log axis does."""
    for _, own in steps.groupby("method"):
        for value in LOGARITHMIC:
            if own[value].notna().any() and metrics.seeds_summary(own[value].dropna()).low <= 0:
                return True
    return False


def draw_parts(found: Variance, methods: Sequence[str]) -> Figure:
    """Where the variance of a step sits at the end: which operations, and path or data."""
    methods = _probed(found, methods)
    means = found.parts.set_index(["method", "part"])
    whole = means.xs("all", level="part")[["path", "data"]].sum(axis=1)
    looks = _looks(found)
    with figures.style():
        figure = Figure(figsize=(6.75, 2.4))
        axes = figure.subplots()
        for place, method in enumerate(methods):
            bottom = 0.0
            for part, (_, shade) in looks.items():
                for source, hatch in (("path", ""), ("data", "////")):
                    height = max(0.0, means.loc[(method, part), source] / whole[method])
                    look = {"color": shade, "hatch": hatch, "ec": "white", "lw": 0.3}
                    axes.bar(place, height, 0.7, bottom, **look)
                    bottom += height
        key = [Patch(color=shade, label=name) for name, shade in looks.values()]
        key += [Patch(fc="white", ec="grey", label="from the path")]
        key += [Patch(fc="white", ec="grey", hatch="////", label="from the data")]
        turned = {"rotation": 35, "ha": "right"} if len(methods) > 6 else {}
        axes.set_xticks(range(len(methods)), methods, **turned)
        axes.set_ylabel("share of tr Var[g]")
        axes.legend(handles=key, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def caption_parts(found: Variance) -> str:
    """Which parts hold most of SPOS's variance."""
    own = found.parts[found.parts.method == BASE].set_index("part").total
    looks = _looks(found)
    shares = (own[list(looks)] / own["all"]).sort_values(ascending=False)
    words = ", ".join(
        f"{looks[part][0]} {100 * share:.0f}\u00a0%" for part, share in shares.items()
    )
    return (
        "Where the variance of a step sits at the end of training, means over seeds. Of SPOS's: "
        f"{words}."
    )


def _probed(found: Variance, methods: Sequence[str]) -> list[str]:
    """The methods that were probed: not those whose steps are no sums of gradients."""
    own = set(found.parts.method)
    return [method for method in methods if method in own]


def _is_place(part: str) -> bool:
    """Whether a part is that of a position: 'edge 0', 'block 3'."""
    return re.fullmatch(r"[a-z]+ \d+", part) is not None


def _looks(found: Variance) -> dict[str, tuple[str, str]]:
    """Name and colour of the fixed part and of each operation that has weights."""
    parts = [part for part in found.parts.part.unique() if part not in ("all", "fixed")]
    return figures.operations(["fixed", *(part for part in parts if not _is_place(part))])
