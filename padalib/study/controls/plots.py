"""Figures of the controls: what each method reaches, in words; and the contrasts that decide."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from padalib.ranking.report import CONTROLS
from padalib.study import claims, figures, outcomes
from padalib.study.controls import BOUND, FIGURE, OUTCOMES, YOKED
from padalib.study.scale import Scale

SHADES = dict(zip(("tau_loss", "within_flops"), figures.TWO, strict=True))
LEVELS = {  # measures of the left panel: mark, label
    "tau_loss": ("o", "tau, by loss"),
    "within_flops": ("s", "within equal FLOPs, by accuracy"),
    "with_flops": ("^", "with the FLOPs' rank, by accuracy"),
    "between_seeds": ("D", "between seeds, by accuracy"),
}

# What the rows of `answer` are called, from the top; the last needs no training.
ROWS = {
    "SPOS": "uniform sampling (SPOS)",
    "PA&DA": "PA&DA: paths and images by gradient norm",
    "PA": "PA: paths by gradient norm",
    YOKED: "replay of another seed's PA: own gradients unused",
    "curriculum": "fixed schedule: no gradients",
    "FLOPs of live options": "counting FLOPs: no training",
}


def answered(cards: pd.DataFrame, main: str) -> pd.DataFrame:
    """The rows of `cards` that `answer` draws, in the order of `ROWS`.

    What needs no training has no loss, and one tau; among equal FLOPs these cannot rank.
    """
    rows = cards[(cards.space == main) & cards.method.isin(list(ROWS))]
    trained = rows.method.isin(rows.method[rows.measure == "tau_loss"])
    wanted = rows.measure.isin(["within_flops", "tau_loss"]) & trained
    rows = rows[wanted | (rows.measure == "tau") & ~trained]
    return rows.sort_values("method", key=lambda names: names.map([*ROWS].index), kind="stable")


@figures.style()
def answer(rows: pd.DataFrame) -> Figure:
    """Tau by method, over all architectures and among equal FLOPs, from rows of `answered`."""
    methods = list(dict.fromkeys(rows.method))
    height = 0.9 + 0.24 * len(methods)
    figure, panels = figures.subplots(1, 2, figsize=(6.75, height), sharex=True, sharey=True)
    titles = ("all architectures, by loss", "among equal FLOPs, by accuracy")
    for axes, title, within in zip(panels, titles, (False, True), strict=True):
        for row in rows[(rows.measure == "within_flops") == within].itertuples():
            place, shade = methods.index(row.method), figures.colour(_counted(row.method))
            axes.plot([row.seeds_low, row.seeds_high], [place] * 2, color=shade, lw=2.8)
            axes.plot([row.low, row.high], [place] * 2, color="black", lw=0.7)
            axes.plot(row.value, place, figures.mark(row.method), color=shade, mfc="white", ms=4)
            end = (np.nanmax([row.seeds_high, row.high]), place)
            beside = {"xytext": (3, 0), "textcoords": "offset points", "va": "center"}
            axes.annotate(f"{row.value:.2f}", end, fontsize=6, **beside)
        axes.set(xlabel="Kendall's tau", title=title)
        axes.margins(x=0.12)
    panels[0].set_yticks(range(len(methods)), [ROWS[method] for method in methods])
    panels[0].set_ylim(len(methods) - 0.5, -0.5)
    return figure


def told(scale: Scale, rows: pd.DataFrame) -> str:
    """The caption of `answer`."""
    free = ", which counting FLOPs cannot order" if rows.method.isin(CONTROLS).any() else ""
    return (
        f"Scale {scale.name}, {rows.space.iloc[0]}: how well supernets rank architectures; mean "
        f"tau of {len(scale.seeds)} of each method, all trained on equally many images. Thick "
        f"bars: 95 % over seeds; {outcomes.THIN}, 95 %. Differences between methods, over the same "
        f"seeds and architectures, are known better than these levels: {FIGURE}. Right: pairs of "
        f"equal FLOPs{free}."
    )


def draw(tables: dict[str, pd.DataFrame], main: str) -> Figure:
    """Primary differences with their intervals; the methods of the `main` space; their biases."""
    cards, bias = (tables[name][tables[name].space == main] for name in ("cards", "bias"))
    with figures.style():
        figure = Figure(figsize=(6.75, 5.6))
        top, bottom = figure.add_gridspec(2, 1, height_ratios=(1, 1.1))
        _contrasts(figure.add_subplot(top), tables["contrasts"], main)
        left, right = bottom.subgridspec(1, 2, width_ratios=(1.2, 1))
        _levels(figure.add_subplot(left), cards)
        _bias(figure.add_subplot(right), bias)
    return figure


def _contrasts(axes: Axes, rows: pd.DataFrame, main: str) -> None:
    """A line a contrast and space, the outcomes one below the other."""
    names = list(dict.fromkeys(zip(rows.space, rows.a, rows.b, strict=True)))
    axes.axvspan(-BOUND, BOUND, color=figures.BAND, lw=0, zorder=0)
    axes.axvline(0, color="grey", lw=0.5)
    for place, (space, a, b) in enumerate(names):
        own = rows[(rows.space == space) & (rows.a == a) & (rows.b == b)]
        for shift, row in zip((-0.17, 0.17), own.itertuples(), strict=False):
            y, shade = place + shift, SHADES[row.measure]
            axes.plot([row.seeds_low, row.seeds_high], [y, y], color=shade, lw=2.8)
            axes.plot([row.both_low, row.both_high], [y, y], color="black", lw=0.7)
            mark = LEVELS[row.measure][0]
            axes.plot(row.difference, y, mark, color=shade, mfc="white", ms=4)
    labels = [f"{a} − {b}" + ("" if s == main else f"\nin {s}") for s, a, b in names]
    axes.set_yticks(range(len(names)), labels)
    for name, shade in SHADES.items():
        look = {"color": shade, "mfc": "white", "ms": 4, "label": OUTCOMES[name]}
        axes.plot([], [], LEVELS[name][0] + "-", **look)
    axes.legend(loc="best")
    title = f"differences of tau; grey: within ±{BOUND:g}"
    axes.set(xlabel="difference of tau", title=title)
    axes.invert_yaxis()


def differences(axes: Axes, rows: pd.DataFrame, labels: Sequence[str]) -> None:
    """A line a label, from the top: of its rows the differences, an outcome below the other.

    Thick over seeds, thin over seeds and architectures; `labels` holds one for each row.
    """
    names = list(dict.fromkeys(labels))
    shifts = dict(zip(OUTCOMES, np.linspace(-0.17, 0.17, len(OUTCOMES)), strict=True))
    axes.axvspan(-BOUND, BOUND, color=figures.BAND, lw=0, zorder=0)
    axes.axvline(0, color="grey", lw=0.5)
    for label, row in zip(labels, rows.itertuples(), strict=True):
        y, shade = names.index(label) + shifts[row.measure], SHADES[row.measure]
        axes.plot([row.seeds_low, row.seeds_high], [y, y], color=shade, lw=2.4)
        axes.plot([row.both_low, row.both_high], [y, y], color="black", lw=0.7)
        axes.plot(row.difference, y, "o", color=shade, mfc="white", ms=3.5)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)


def _levels(axes: Axes, cards: pd.DataFrame) -> None:
    methods = list(dict.fromkeys(cards.method))
    shades = [figures.colour(_counted(method)) for method in methods]
    for measure, (mark, label) in LEVELS.items():
        free = ~cards.method.isin(cards.method[cards.measure == "tau_loss"])  # counts have no loss
        also = free & (cards.measure == "tau") if measure == "tau_loss" else False
        own = cards[(cards.measure == measure) | also].set_index("method")
        places = [k for k, method in enumerate(methods) if method in own.index]
        own = own.loc[[methods[k] for k in places]]
        for place, row in zip(places, own.itertuples(), strict=True):
            axes.plot(row.value, place, mark, color=shades[place], mfc="none", ms=4)
            axes.plot([row.seeds_low, row.seeds_high], [place] * 2, color=shades[place], lw=0.8)
        axes.plot([], [], mark, color=figures.GREY, mfc="none", ms=4, label=label)
    axes.set_yticks(range(len(methods)), [_short(method) for method in methods])
    axes.set(xlabel="Kendall's tau", title="by method", xlim=(None, 1.0))
    axes.set_ylim(1.45 * len(methods), -0.5)  # room for what the marks are
    axes.legend(loc="lower left", handlelength=1, fontsize=6, ncols=2, columnspacing=1)


def _counted(method: str) -> str:
    """The name in `figures.COLOURS` of what needs no training."""
    return method.replace("live options", "live edges")


def _short(method: str) -> str:
    return method.replace("FLOPs of live options", "live FLOPs") if method in CONTROLS else method


def _bias(axes: Axes, rows: pd.DataFrame) -> None:
    """Change of rank by one more live operation: how much more than in the truth."""
    options = list(dict.fromkeys(rows.option))
    labels = [name for name, _ in figures.operations(options).values()]
    methods = [method for method in figures.MARKS if (rows.method == method).any()]
    for method, shift in zip(methods, np.linspace(-0.3, 0.3, len(methods)), strict=True):
        own = rows[rows.method == method].set_index("option").loc[options]
        y, shade = np.arange(len(options)) + shift, figures.colour(method)
        axes.hlines(y, own.bias_low, own.bias_high, color=shade, lw=0.8)
        axes.plot(own.bias, y, figures.mark(method), color=shade, ms=3.5, label=method)
    axes.axvline(0, color="grey", lw=0.5)
    axes.set_yticks(range(len(options)), labels)
    axes.set(xlabel="change of rank (sd), less the truth's", title="what each overrates (right)")
    axes.invert_yaxis()
    low, high = axes.get_xlim()
    axes.set_xlim(low, high + 0.3 * (high - low))  # the legend's
    axes.legend(handlelength=1, fontsize=6, loc="lower right")


def _told(row: Any) -> str:
    """A difference with the interval that decides, and its verdict.

    Where only the correction withholds a direction, the verdict says so.
    """
    claim = outcomes.claim("", "", row, "", wanted=1, unit="")
    return f"{claims.numbers(claim).strip()}, {claims.told(claim)}"


def caption(scale: Scale, tables: dict[str, pd.DataFrame]) -> str:
    """The finding in words, for the figure."""
    rows, said = tables["contrasts"], []
    replayed = YOKED in set(rows.b)
    first, words, swapped = rows, "", ""
    if replayed:
        first, swapped = rows[rows.b == YOKED], " (of yoked runs over swapped pairs of them)"
        words = (
            "Yoked PA replays another seed's schedule; curriculum is a fixed one, no gradients. "
        )
    elif "curriculum" in set(rows.b):
        words = "curriculum: the fixed schedule, no gradients. "
    for (a, b), own in first.groupby(["a", "b"], sort=False):
        told = [f"{OUTCOMES[row.measure]}: {_told(row)}" for row in own.itertuples()]
        said.append(f"{a} − {b}. {'. '.join(told)}")
    if replayed:  # the gains themselves, see the levels
        rest = tables["secondary"]
        gains = rest[(rest.space == rows.space.iloc[0]) & (rest.b == "SPOS")]
        gains = gains[gains.a.isin(("PA", "PA&DA")) & (gains.measure == "tau_loss")]
        told = [f"{row.a} − SPOS {_told(row)}" for row in gains.itertuples()]
        said.append(f"Of another size, so only below, tau by loss: {'; '.join(told)}")
    said.append("Brackets: the least certain of the intervals")
    few = f" ({scale.secondary_seeds} of {', '.join(scale.secondary)})" if scale.secondary else ""
    return (
        f"Scale {scale.name}, {len(scale.seeds)} seeds{few}. {'. '.join(said)}. "
        f"Top: thick bars over seeds{swapped}, {outcomes.THIN}, 95 %; verdicts after Holm's "
        f"correction over all rows. {words}"
        "Below: means and 95 % over seeds; right: how much more a live operation of a kind moves "
        "the rank than in the truth, over seeds and architectures."
    )
