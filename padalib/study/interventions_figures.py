"""The figure of the interventions: the variance that was set, and how the ranking answers."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from padalib.study import figures, outcomes
from padalib.study.intervened import Interventions
from padalib.study.interventions import IMAGES, KEYS, MIDDLE, PLANNED, members, usual
from padalib.study.outcomes import JUDGED, NAMES
from padalib.study.variance import BASE

LOOKS = {  # of the families of interventions: colour and mark
    "batches, equal steps": ("#0072B2", "o"),
    "paths, equal steps": ("#D55E00", "s"),
    "batches, equal images": ("#0072B2", "o"),
    "paths, equal images": ("#D55E00", "s"),
}
PANELS = ("tau", "within_flops", "between_flops", "between_seeds")
TITLES = NAMES | {
    "between_seeds": "agreement between seeds",
}

SHORT = {"tau": "tau", "within_flops": "within", "between_seeds": "seeds"}


def draw(found: Interventions) -> Figure:
    """The variance that was set, and each outcome against it, a point a variant."""
    middle = found.steps[found.steps["at"] == MIDDLE]
    with figures.style():
        figure = Figure(figsize=(6.75, 4.4))
        panels = figure.subplots(2, 3).flat
        _set(next(panels), middle)
        for axes, measure in zip(panels, PANELS, strict=False):
            by = JUDGED.get(measure, "loss")
            cards = found.cards[(found.cards.by == by) & (found.cards.measure == measure)]
            _against(axes, cards, middle)
            axes.set(xlabel="variance, times SPOS's", ylabel="Kendall's tau")
            axes.set_title(TITLES[measure])
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


def _set(axes: Axes, middle: pd.DataFrame) -> None:
    """Path part and data part of SPOS and each variant of equal images, which are all there."""
    plain = (middle.group == 1) & (middle["size"] == usual(middle))
    rows = middle[plain | (middle.rule == IMAGES)].sort_values(["group", "size"])
    names = [
        f"{row['size']}" if row.group == 1 else f"{row.group} paths" for _, row in rows.iterrows()
    ]
    axes.bar(names, rows.path.clip(lower=0), color="#56616B", label="from the path")
    bottom = rows.path.clip(lower=0)
    axes.bar(names, rows.data, bottom=bottom, color="#8A939B", label="from the data")
    axes.tick_params(axis="x", rotation=35)
    axes.legend()
    axes.set(ylabel="tr Var[g]", title="variance of a step")


def _against(axes: Axes, cards: pd.DataFrame, middle: pd.DataFrame) -> None:
    if cards.empty:
        axes.text(0.5, 0.5, "not defined here", transform=axes.transAxes, ha="center")
        return
    both = cards.merge(middle[[*KEYS, "change"]], on=list(KEYS), how="left")
    for family, (shade, mark) in LOOKS.items():
        own = members(both, family).sort_values("change")
        axes.vlines(own.change, own.low, own.high, color=shade, lw=0.5)
        axes.plot(own.change, own.value, marker=mark, color=shade, ms=3, **_line(family))
    plain = both[(both.group == 1) & (both["size"] == usual(both))]
    axes.plot(plain.change, plain.value, "o", color=figures.colour(BASE), ms=3.5)
    axes.set_xscale("log")
    figures.log_ticks(axes.xaxis)


def _slopes(axes: Axes, slopes: pd.DataFrame) -> None:
    """Planned slopes: above over seeds, below over seeds and architectures together."""
    rows = slopes[slopes.planned] if len(slopes) else slopes
    names = []
    ends = outcomes.joint(rows) if len(rows) else ((), ())
    for place, (row, low, high) in enumerate(zip(rows.itertuples(), *ends, strict=True)):
        axes.plot([row.seeds_low, row.seeds_high], [place - 0.14] * 2, color="#D55E00", lw=0.9)
        axes.plot([low, high], [place + 0.14] * 2, color="black", lw=0.9)
        axes.plot(row.difference, place, "o", color="white", mec="black", ms=4)
        names.append(f"{SHORT[row.outcome]}, {row.family}")
    axes.set_yticks(range(len(names)), names, fontsize=5.5)
    axes.axvline(0, color=figures.GREY, lw=0.5)
    axes.invert_yaxis()
    axes.set(xlabel="tau for each doubling", title="slopes")


def caption(found: Interventions, scale: str) -> str:
    """The planned slopes in words."""
    rows = found.slopes[found.slopes.planned] if len(found.slopes) else found.slopes
    words = [
        f"{TITLES[row.outcome]} {row.difference:+.3f} ({row.family})" for row in rows.itertuples()
    ]
    return (
        f"Scale {scale}, SPOS with the variance of its steps set. Change for each doubling of the "
        f"variance in the middle of training: {'; '.join(words)}. Bars: 95 % over seeds and "
        "architectures together; of slopes orange over seeds, black over architectures."
    )
