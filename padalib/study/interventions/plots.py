"""The figure of the interventions: the variance that was set, and how the ranking answers."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from padalib.study import figures, outcomes
from padalib.study.interventions import MIDDLE, PLANNED, members, usual
from padalib.study.interventions.slopes import Interventions, dose
from padalib.study.outcomes import JUDGED, NAMES
from padalib.study.variance import BASE

LOOKS = {  # of the families of interventions: colour and mark
    "batches, equal steps": (figures.TWO[0], "o"),
    "paths, equal steps": (figures.TWO[1], "s"),
    "batches, equal images": (figures.TWO[0], "o"),
    "paths, equal images": (figures.TWO[1], "s"),
}
PANELS = ("tau", "within_flops", "between_flops", "between_seeds")
TITLES = NAMES | {
    "between_seeds": "agreement between seeds",
}

SHORT = {"tau": "tau", "within_flops": "within", "between_seeds": "seeds"}


def draw(found: Interventions) -> Figure:
    """The variance that is measured, and each outcome, against the variance that was set."""
    middle = found.steps[found.steps["at"] == MIDDLE]
    with figures.style():
        figure = Figure(figsize=(6.75, 4.4))
        panels = figure.subplots(2, 3).flat
        first = next(panels)
        _against(first, middle.rename(columns={"change": "value"}))
        ends = [2.0 ** dose(middle).min(), 2.0 ** dose(middle).max()]
        first.plot(ends, ends, color=figures.GREY, lw=0.6, ls=":")
        first.set(ylabel="measured, times SPOS's", title="variance in the middle", yscale="log")
        _doublings(first.yaxis)
        for axes, measure in zip(panels, PANELS, strict=False):
            by = JUDGED.get(measure, "loss")
            _against(axes, found.cards[(found.cards.by == by) & (found.cards.measure == measure)])
            axes.set(ylabel=f"Kendall's tau, by {by}", title=TITLES[measure])
        _slopes(figure.axes[-1], found.slopes)
        handles = [
            Line2D([], [], color=shade, marker=mark, ms=3, label=family, **_line(family))
            for family, (shade, mark) in LOOKS.items()
        ]
        dot = Line2D([], [], ls="", marker="o", ms=3.5, color=figures.colour(BASE), label=BASE)
        figure.legend(handles=[dot, *handles], loc="outside upper center", ncols=5)
    return figure


def _line(family: str) -> dict:
    """Filled and solid at equal steps, hollow and dashed at equal images."""
    return {} if family.endswith(PLANNED[0]) else {"ls": "--", "mfc": "white"}


def _against(axes: Axes, rows: pd.DataFrame) -> None:
    """`value` with its interval, a point a variant; families beside one another."""
    if rows.empty:
        axes.text(0.5, 0.5, "not defined here", transform=axes.transAxes, ha="center")
        return
    for place, (family, (shade, mark)) in enumerate(LOOKS.items()):
        own = members(rows, family).assign(set=dose).sort_values("set")
        aside = 0.08 * (place - (len(LOOKS) - 1) / 2)
        at = 2.0 ** (own.set + aside * (own.set != 0))  # the unchanged SPOS is in all
        axes.vlines(at, own.low, own.high, color=shade, lw=0.5)
        axes.plot(at, own.value, marker=mark, color=shade, ms=3, **_line(family))
    plain = rows[(rows.group == 1) & (rows["size"] == usual(rows))]
    axes.plot([1.0] * len(plain), plain.value, "o", color=figures.colour(BASE), ms=3.5, zorder=3)
    axes.set_xscale("log")
    axes.set_xlabel("variance set, times SPOS's")
    _doublings(axes.xaxis)


def _doublings(axis: Axis) -> None:
    axis.set_major_locator(FixedLocator([0.25, 0.5, 1, 2, 4]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _slopes(axes: Axes, slopes: pd.DataFrame) -> None:
    """Planned slopes: above over seeds, below over seeds and architectures together."""
    rows = slopes[slopes.planned] if len(slopes) else slopes
    names = []
    ends = outcomes.joint(rows) if len(rows) else ((), ())
    for place, (row, low, high) in enumerate(zip(rows.itertuples(), *ends, strict=True)):
        axes.plot([row.seeds_low, row.seeds_high], [place - 0.14] * 2, color=figures.TWO[1], lw=0.9)
        axes.plot([low, high], [place + 0.14] * 2, color="black", lw=0.9)
        axes.plot(row.difference, place, "o", color="white", mec="black", ms=4)
        names.append(f"{SHORT[row.outcome]}, {row.family}")
    axes.set_yticks(range(len(names)), names, fontsize=5.5)
    axes.axvline(0, color=figures.GREY, lw=0.5)
    axes.invert_yaxis()
    axes.set(xlabel="tau for each halving", title="slopes")


def caption(found: Interventions, scale: str) -> str:
    """The planned slopes in words."""
    rows = found.slopes[found.slopes.planned] if len(found.slopes) else found.slopes
    words = [
        f"{TITLES[row.outcome]} {row.difference:+.3f} ({row.family})" for row in rows.itertuples()
    ]
    return (
        f"Scale {scale}, SPOS with the variance of its steps set, by the images and paths that "
        f"each averages. Change for each halving of it: {'; '.join(words)}. Dotted: "
        "measured equals set. Bars: 95 % over seeds and architectures together (variance: over "
        "seeds); of slopes grey over seeds, black over both."
    )
