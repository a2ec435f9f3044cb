"""The figures across spaces: a forest of contrasts, and PA's variance where it has no schedule."""

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from padalib.study import claims, effects, figures, outcomes, wording
from padalib.study.across import ASKED, QUESTIONS
from padalib.study.controls import BOUND, OUTCOMES
from padalib.study.scale import Scale

LINE = 0.125  # inches
NEAR = 1 + effects.RATIO_BOUND  # ratios that count as one
WHERE = {True: " (schedule)", False: " (no schedule)", None: ""}  # of a question
STEPS = {"raw": "as taken", "importance": "importance-weighted"}
PARTS = {"all": ("o", "all weights"), "fixed": ("s", "those no path leaves out by choice")}


def lines(tables: dict[str, pd.DataFrame]) -> list[tuple[str, str]]:
    """(question, space) from top to bottom: '' heads a question, 'mean' ends it if there is one."""
    rows, over, found = tables["contrasts"], tables["over"], []
    for question in QUESTIONS:
        own = rows[rows.question == question.key]
        if len(own):
            found += [(question.key, place) for place in ("", *own.space.unique())]
        if over[over.question == question.key].p.notna().any():
            found.append((question.key, "mean"))
    return found


def draw(tables: dict[str, pd.DataFrame]) -> Figure:
    """A panel an outcome, a line a question and space; diamonds are means over spaces."""
    places = lines(tables)
    size = (6.75, 1.5 + LINE * len(places))
    figure, panels = figures.subplots(1, len(OUTCOMES), figsize=size, sharey=True)
    with figures.style():
        for axes, (measure, named) in zip(panels, OUTCOMES.items(), strict=True):
            _panel(axes, tables, measure, {line: k for k, line in enumerate(places)})
            fifths = measure == "within_flops" and tables["contrasts"].fifths.any()
            title = f"{named}{' (or fifths)' if fifths else ''}"
            axes.set(xlabel="difference of tau", title=title)
            axes.tick_params(axis="y", length=0)
        labels = [_label(*line) for line in places]
        panels[0].set_yticks(range(len(places)), labels)
        for text, (_, space) in zip(panels[0].get_yticklabels(), places, strict=True):
            text.set_fontweight("normal" if space else "bold")
        panels[0].set_ylim(len(places) - 0.4, -0.6)
        _legend(figure)
    return figure


def _label(question: str, space: str) -> str:
    asked = ASKED[question]
    if not space:
        return f"{asked.a} − {asked.b}{WHERE[asked.where]}{'' if asked.primary else ' †'}"
    return "mean over spaces" if space == "mean" else space


def _panel(axes: Axes, tables: dict[str, pd.DataFrame], measure: str, at: dict) -> None:
    axes.axvspan(-BOUND, BOUND, color=figures.BAND, lw=0, zorder=0)
    axes.axvline(0, color="grey", lw=0.5)
    rows = tables["contrasts"]
    for row in rows[rows.measure == measure].itertuples():
        y = at[row.question, row.space]
        axes.plot([row.seeds_low, row.seeds_high], [y, y], color=figures.TWO[1], lw=2.4)
        axes.plot([row.both_low, row.both_high], [y, y], color="black", lw=0.7)
        axes.plot(row.difference, y, "o", color="black", mfc=_filled(row.verdict), ms=3.5)
    over = tables["over"]
    for row in over[(over.measure == measure) & over.p.notna()].itertuples():
        y = at[row.question, "mean"]
        own = claims.Interval(row.low, row.high, "spaces", int(row.groups))
        fill = _filled(claims.judge([own], bound=BOUND, p=row.holm))
        axes.plot([row.low, row.high], [y, y], color="black", lw=0.7)
        axes.plot(row.mean, y, "D", color="black", mfc=fill, ms=4)


def _filled(verdict: str) -> str:
    known = {claims.SHOWN: "black", claims.OPPOSITE: "black", claims.EQUIVALENT: figures.GREY}
    return known.get(verdict, "white")


def _legend(figure: Figure) -> None:
    axes = figure.axes[0]
    for fill, label in (
        ("black", "a direction is shown"),
        (figures.GREY, f"equivalent, within ±{BOUND:g}"),
        ("white", "not shown"),
    ):
        axes.plot([], [], "o", color="black", mfc=fill, ms=3.5, label=label)
    axes.plot([], [], "D", color="black", mfc="white", ms=4, label="mean over spaces")
    figure.legend(loc="outside upper center", ncols=4)


def caption(scale: Scale, tables: dict[str, pd.DataFrame]) -> str:
    """The finding in words, for the figure."""
    rows = tables["contrasts"]
    fifths = rows.space[rows.fifths].unique()
    within = f" (fifths of FLOPs in {', '.join(fifths)})" if len(fifths) else ""
    return (
        f"Scale {scale.name}, ranked by loss. {' '.join(_said(tables, 'tau_loss'))} Within equal "
        f"FLOPs{within}, by accuracy. {' '.join(_said(tables, 'within_flops'))} Thick bars: 95 % "
        f"over seeds (of yoked runs over swapped pairs of them); {outcomes.THIN}; of means over "
        "spaces. Verdicts after Holm's correction over all rows, those with † among themselves."
    )


def _said(tables: dict[str, pd.DataFrame], measure: str) -> Iterator[str]:
    """Each primary question, by one outcome."""
    over = tables["over"]
    for row in over[over.measure == measure].itertuples():
        asked = ASKED[row.question]
        mean = (
            ""
            if math.isnan(row.p)
            else f"; mean {wording.interval(row.mean, row.low, row.high, null=0)}"
        )
        against = f", opposite in {row.opposite}" if row.opposite else ""
        told = f"shown in {row.shown} of {row.spaces} spaces{against}"
        yield f"{asked.a} − {asked.b}{WHERE[asked.where]}: {told}{mean}."


def draw_variance(rows: pd.DataFrame) -> Figure:
    """PA's variance over SPOS's, a panel a kind of step, a line a space."""
    spaces = list(dict.fromkeys(rows.space))
    size = (6.75, 1.6 + 0.25 * len(spaces))
    figure, panels = figures.subplots(1, len(STEPS), figsize=size, sharey=True)
    with figures.style():
        for axes, (weights, named) in zip(panels, STEPS.items(), strict=True):
            axes.axvspan(1 / NEAR, NEAR, color=figures.BAND, lw=0, zorder=0)
            axes.axvline(1, color="grey", lw=0.5)
            for (part, (mark, label)), shift in zip(PARTS.items(), (-0.12, 0.12), strict=True):
                own = rows[(rows.weights == weights) & (rows.part == part)].set_index("space")
                own = own.reindex(spaces)
                y = np.arange(len(spaces)) + shift
                shade = figures.colour("PA") if part == "all" else figures.OPERATIONS["fixed"][1]
                axes.hlines(y, own.low, own.high, color=shade, lw=1)
                axes.plot(own.change, y, mark, color=shade, mfc="white", ms=4, label=label)
            axes.set_xscale("log")
            figures.log_ticks(axes.xaxis)
            axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))  # near 1
            axes.set(xlabel="variance, times SPOS's", title=f"steps {named}")
        panels[0].set_yticks(range(len(spaces)), spaces)
        panels[0].set_ylim(len(spaces) - 0.5, -0.5)
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


def caption_variance(scale: Scale, rows: pd.DataFrame) -> str:
    """The finding in words, for the figure of variance."""
    own = rows[rows.part == "all"]
    said = "; ".join(
        f"{row.space}, {STEPS[row.weights]} {wording.interval(row.change, row.low, row.high)}"
        for row in own.itertuples()
    )
    return (
        f"Scale {scale.name}. Variance of PA's steps at the end of training, times SPOS's, where "
        f"PA has no schedule: {said}. Bars: 95 % over seeds; grey: within a factor of {NEAR:g}."
    )
