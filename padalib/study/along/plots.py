"""The figure of variance along training: its sources, weighted steps, and the signal."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from padalib.study import figures
from padalib.study.along import Along, told
from padalib.study.variance import BASE, CLAIMED


def draw(found: Along, methods: Sequence[str]) -> Figure:
    """A row for all weights and one for the fixed ones: path, data, weighted steps, signal."""
    rows = found.rows
    with figures.style():
        figure = Figure(figsize=(6.75, 4.2))
        for axes, part in zip(figure.subplots(2, 4, sharex=True), ("all", "fixed"), strict=True):
            own = rows[rows.part == part]
            raw, weighted = (own[own.weights == kind] for kind in ("raw", "importance"))
            for axis, table, value, title in (
                (axes[0], raw, "path", "from the path"),
                (axes[1], raw, "data", "from the data"),
                (axes[2], weighted, "total", "importance-weighted"),
                (axes[3], raw, "signal_to_noise", "signal to noise"),
            ):
                for method in methods:
                    each = table[(table.method == method) & (table[value] > 0)]
                    shade = figures.colour(method)
                    axis.plot(each.epoch, each[value], "o-", color=shade, ms=2.5)
                axis.set(yscale="log", title=title)
                figures.log_ticks(axis.yaxis)
            axes[0].set_ylabel(f"tr Var[g], {part} weights")
            axes[3].set_ylabel("|E g|² / tr Var[g]")
        for axis in figure.axes[-4:]:
            axis.set_xlabel("epoch")
            axis.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        figures.key(figure, methods, loc="outside upper center", ncols=4)
    return figure


def caption(found: Along, scale: str) -> str:
    """PA&DA's sources beside SPOS's, and how many signals could be measured."""
    words = []
    for _, row in found.sources[found.sources.planned].iterrows():
        words.append(f"from the {row.source}, {row.part} weights, {told(row)}")
    raw = found.rows[found.rows.weights == "raw"]
    known = int(raw.signal_to_noise.notna().sum())
    return (
        f"Scale {scale}. {CLAIMED}'s variance as taken, times {BASE}'s, mean from the second "
        "probed epoch to the end: "
        f"{'; '.join(words)}. Right: where the interval of the squared signal excludes zero, "
        f"{known} of {len(raw)} means. Brackets: 95 % over seeds."
    )
