"""Figures of the study of the budget."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator

from padalib.ranking import report
from padalib.study import figures, limits, outcomes, wording
from padalib.study.budget import PAIRS, Budget
from padalib.study.outcomes import JUDGED
from padalib.study.variance import FIXED

PANELS = {
    "tau": "tau",
    "within_flops": "tau within equal FLOPs",
    "with_flops": "rank + rank of FLOPs",
    "between_seeds": "agreement between seeds, by loss",
}


def draw(found: Budget, larger: pd.DataFrame | None = None) -> Figure:
    """Outcomes, PA's differences and the variance, against the length of training.

    Open marks: `larger`, the cards of a larger scale, where there are any. Of one length only the
    steps.
    """
    if _alone(found):
        return _draw_steps(found.steps)
    cards = _shown(found.cards)
    methods, lengths = list(cards.method.unique()), sorted(cards.epoch.unique())
    larger = None if larger is None else _shown(larger)
    with figures.style():
        figure = Figure(figsize=(6.75, 4.6))
        (tau, within, added), (seeds, apart, steps) = figure.subplots(2, 3)
        for axes, measure in zip((tau, within, added, seeds), PANELS, strict=True):
            _lines(axes, cards[cards.measure == measure], methods)
            if larger is not None:
                _points(axes, larger[larger.measure == measure])
            level = found.free[
                (found.free.measure == measure) & (found.free.name == report.CONTROLS[0])
            ]
            if len(level):
                axes.axhline(level.value.iloc[0], color=figures.GREY, lw=0.6, ls="--", zorder=0)
            axes.set(ylabel="Kendall's tau", title=PANELS[measure])
        _differences(apart, found.differences)
        if len(found.steps):
            _variance(steps, found.steps)
        steps.set(ylabel="times SPOS's", title="variance of a step")
        for axes in (tau, within, added, seeds, apart, steps):
            more = [] if larger is None else list(larger.epoch.unique())
            _lengths(axes, [*lengths, *more])
        more = [] if larger is None else [m for m in larger.method.unique() if m not in methods]
        look = {"loc": "outside upper center", "ncols": 6}
        figures.key(figure, [*methods, *more], marks=True, **look)
    return figure


def _alone(found: Budget) -> bool:
    """Whether there is one length only, of which the steps are shown: the controls rank."""
    return found.cards.epoch.nunique() == 1 and len(found.steps) > 0


def _draw_steps(rows: pd.DataFrame) -> Figure:
    """Variance and signal-to-noise of a step beside SPOS's; squares: `FIXED`."""
    methods = list(rows.method.unique())
    with figures.style():
        figure = Figure(figsize=(6.75, 0.4 * len(methods) + 1.2))
        panels = figure.subplots(1, 2, sharey=True)
        for axes, value, null in zip(panels, ("variance", "snr"), (1, 0), strict=True):
            for part, mark, shift in (("all", "o", -0.14), ("fixed", "s", 0.14)):
                own = rows[(rows.value == value) & (rows.part == part)]
                for row in own.itertuples():
                    y, shade = methods.index(row.method) + shift, figures.colour(row.method)
                    axes.plot([row.low, row.high], [y, y], color=shade, lw=0.8)
                    full = shade if part == "all" else "white"
                    axes.plot(row.change, y, mark, color=shade, mfc=full, ms=4)
            axes.axvline(null, color=figures.GREY, lw=0.5, zorder=0)
        panels[0].set(yticks=range(len(methods)), ylim=(len(methods) - 0.5, -0.5))
        panels[0].set_yticklabels(methods)
        panels[0].set(xlabel="times SPOS's", title="variance of a step")
        panels[1].set(xlabel="minus SPOS's", title="signal-to-noise of a step")
        marks = [
            Line2D([], [], ls="", marker="o", color="black", ms=4, label="all weights"),
            Line2D([], [], ls="", marker="s", color="black", mfc="white", ms=4, label="fixed part"),
        ]
        figure.legend(handles=marks, loc="outside upper center", ncols=2)
    return figure


def _shown(cards: pd.DataFrame) -> pd.DataFrame:
    """Each measure by the score that it is judged by, by loss if it is not."""
    return cards[cards.by == cards.measure.map(JUDGED).fillna("loss")]


def _lengths(axes: Axes, lengths: list[int]) -> None:
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(sorted(set(lengths))))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set(xlabel="epochs of training", xlim=(min(lengths) / 1.25, max(lengths) * 1.25))


def _lines(axes: Axes, rows: pd.DataFrame, methods: list[str]) -> None:
    """A line a method, with intervals over seeds and architectures together."""
    for place, method in enumerate(methods):
        own = rows[rows.method == method].sort_values("epoch")
        x = own.epoch * 1.03 ** (place - (len(methods) - 1) / 2)
        axes.vlines(x, own.low, own.high, color=figures.colour(method), lw=0.7)
        look = {"marker": figures.mark(method), "color": figures.colour(method), "ms": 3}
        axes.plot(x, own.value, **look)


def _points(axes: Axes, rows: pd.DataFrame) -> None:
    for place, row in enumerate(rows.itertuples()):
        x, shade = row.epoch * 1.03**place, figures.colour(row.method)
        axes.vlines(x, row.low, row.high, color=shade, lw=0.7)
        axes.plot(x, row.value, figures.mark(row.method), color=shade, mfc="white", ms=4)


def _differences(axes: Axes, rows: pd.DataFrame) -> None:
    """PA beside SPOS and beside its schedule: solid tau, dashed within equal FLOPs."""
    looks = dict(zip(JUDGED, ((1 / 1.02, "-", "o"), (1.02, "--", "s")), strict=True))
    for pair, shade in zip((PAIRS[0], PAIRS[-1]), figures.TWO, strict=True):
        for outcome, (shift, line, mark) in looks.items():
            own = rows[(rows.a == pair[0]) & (rows.b == pair[1]) & (rows.outcome == outcome)]
            x, label = own.epoch * shift, " − ".join(pair) if line == "-" else None
            axes.vlines(x, *outcomes.joint(own), color=shade, lw=0.7)
            axes.plot(x, own.difference, line, marker=mark, color=shade, ms=2.5, label=label)
    axes.plot([], [], "--s", color="black", ms=2.5, label=PANELS["within_flops"])
    axes.axhline(0, color=figures.GREY, lw=0.5)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.45 * (high - low))  # the legend's
    axes.legend(fontsize=5.5, handlelength=2.5, ncols=1, loc="upper right")
    axes.set(ylabel="difference of tau", title="what PA gains")


def _variance(axes: Axes, rows: pd.DataFrame) -> None:
    rows = rows[(rows.value == "variance") & (rows.part == "all")]
    for method, own in rows.groupby("method", sort=False):
        own, shade = own.sort_values("epoch"), figures.colour(method)
        axes.vlines(own.epoch, own.low, own.high, color=shade, lw=0.7)
        axes.plot(own.epoch, own.change, marker=figures.mark(method), color=shade, ms=3)
    axes.axhline(1, color=figures.GREY, lw=0.5)


def caption(found: Budget, scale: str, larger: str = "") -> str:
    """The finding in words: PA's gain and PA beside its schedule, at the shortest and longest."""
    if _alone(found):
        return _caption_steps(found.steps, scale)
    said = []
    for a, b in (PAIRS[0], PAIRS[-1]):
        rows = found.differences
        rows = rows[(rows.a == a) & (rows.b == b) & (rows.outcome == "tau")]
        ends = rows[rows.epoch.isin([rows.epoch.min(), rows.epoch.max()])]
        words = [
            f"{wording.interval(row.difference, low, high, null=0)} after {row.epoch} epochs"
            for row, low, high in zip(ends.itertuples(), *outcomes.joint(ends), strict=True)
        ]
        if words:
            said.append(f"Tau of {a} − {b}: {', '.join(words)}. ")
    if len(found.steps):
        rows = found.steps[(found.steps.value == "variance") & (found.steps.part == "all")]
        rows = rows[rows.epoch == rows.epoch.max()]
        words = [_ratio(row) for row in rows.itertuples()]
        said.append(f"Variance after {rows.epoch.max()} epochs, times SPOS's: {', '.join(words)}. ")
    more = f" Open marks, in the panels of levels: scale {larger}." if larger else ""
    return (
        f"Scale {scale}, ranked by loss, within equal FLOPs by accuracy. {''.join(said)}"
        "Each length is a training of its own, to which schedules are stretched. "
        "Bars: 95 % over seeds and architectures together, of the variance over seeds. Dashed: "
        "live FLOPs, no training. Lower middle: dashed lines and squares within equal "
        f"FLOPs.{more}"
    )


def _caption_steps(rows: pd.DataFrame, scale: str) -> str:
    """How much the steps vary, on all weights and on those that no path leaves out by choice."""
    own = rows[rows.value == "variance"]
    said = "; ".join(
        f"{of} {', '.join(_ratio(row) for row in own[own.part == part].itertuples())}"
        for part, of in (("all", "all weights"), ("fixed", "the fixed part"))
        if (own.part == part).any()
    )
    return (
        f"Scale {scale}. Variance of a step at the end of {rows.epoch.max()} epochs, each method "
        f"on its own network, times SPOS's: {said}. Fixed part: {FIXED}. One length of training "
        f"says nothing of longer ones; how these rank is in 06_controls. Signal-to-noise: the "
        f"squared length of the mean gradient, over the variance. Bars: 95 % over "
        f"{rows.seeds.max()} seeds."
    )


def _ratio(row: tuple) -> str:
    return f"{row.method} {wording.interval(row.change, row.low, row.high)}"


def plotted(found: Budget) -> pd.DataFrame:
    """The numbers of the figure, a column `panel` says of which."""
    steps = found.steps
    if _alone(found):
        return steps.assign(panel=steps.value)
    parts = {
        "levels": found.cards,
        "differences": found.differences,
        "variance": steps[steps.value == "variance"] if len(steps) else steps,
        "without training": found.free,
    }
    return pd.concat([rows.assign(panel=name) for name, rows in parts.items() if len(rows)])


def draw_proxy(table: pd.DataFrame) -> Figure:
    """tau on the few architectures that were also trained alone, from `budget.proxy`."""
    alone = table[table.method == limits.ALONE]
    rows = table[table.epoch.notna() & (table.method != limits.ALONE)]
    methods, lengths = list(rows.method.unique()), sorted(rows.epoch.unique())
    with figures.style():
        figure = Figure(figsize=(3.25, 2.6))
        axes = figure.subplots()
        for place, (method, own) in enumerate(rows.groupby("method", sort=False)):
            x = own.epoch * 1.03 ** (place - (len(methods) - 1) / 2)
            axes.vlines(x, own.archs_low, own.archs_high, color=figures.colour(method), lw=0.7)
            axes.plot(x, own["mean"], "o-", color=figures.colour(method), ms=2.5)
        for row, line in zip(alone.itertuples(), ("--", ":"), strict=False):
            axes.axhspan(
                row.archs_low, row.archs_high, color=figures.BAND, lw=0, zorder=0, alpha=0.6
            )
            label = f"alone, {row.epoch:.0f} epochs"
            axes.axhline(row.mean, color="#555555", ls=line, lw=0.8, label=label)
        _lengths(axes, lengths)
        axes.legend(loc="lower right")
        title = f"on the same {table.architectures.iloc[0]:,} architectures"
        axes.set(ylabel="Kendall's tau, by accuracy", title=title)
        figures.key(figure, methods, loc="outside upper center", ncols=4)
    return figure


def caption_proxy(table: pd.DataFrame, scale: str) -> str:
    """What training alone reaches at this scale, and the best supernet."""
    alone = table[table.method == limits.ALONE]
    rows = table[table.epoch.notna() & (table.method != limits.ALONE)]
    best = rows.loc[rows["mean"].idxmax()]

    def ends(row: pd.Series) -> str:
        return f"{row['mean']:.2f} [{row.archs_low:.2f}, {row.archs_high:.2f}]"

    said = ", ".join(f"{row.epoch:.0f} epochs {ends(row)}" for _, row in alone.iterrows())
    return (
        f"Scale {scale}. Networks trained alone rank with tau: {said}; the best supernet "
        f"({best.method}, {best.epoch:.0f} epochs) {ends(best)}. Bars and bands: 95 % over "
        "architectures."
    )
