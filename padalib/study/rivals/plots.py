"""The figures of the study of rivals: critical differences, cost beside tau, what explains tau."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from padalib.study import claims, figures, outcomes, rivals, wording
from padalib.study.controls import OUTCOMES
from padalib.study.rivals import costs as rivals_costs
from padalib.study.rivals import why
from padalib.study.rivals.costs import EQUAL_STEPS
from padalib.study.scale import Scale
from padalib.study.scales.rivals import OURS

LINE = 0.16  # inches
COSTS = {
    "steps": "optimiser\nsteps",
    "flops": "FLOPs of its\nown paths,\n× SPOS's",
    "time": "time on the\nsame paths,\n× SPOS's",
    "peak": "memory at\nthe peak,\n× SPOS's",
}
FAR = ("flops", "time")  # where ten times the images are ten times as much
COUNT = "FLOPs of live options"  # what needs no training


# --- critical differences ---


def draw(tables: dict[str, pd.DataFrame], space: str) -> Figure:
    """A panel an outcome, a line a method from the best on; bars join what is not told apart."""
    ranks, cards = tables["ranks"], tables["cards"]
    counted = cards.query("space == @space and measure == 'tau' and method == @COUNT").value
    n = ranks.method.nunique()
    figure, panels = figures.subplots(1, len(OUTCOMES), figsize=(6.75, 1.3 + LINE * n))
    with figures.style():
        for axes, (measure, named) in zip(panels, OUTCOMES.items(), strict=True):
            own = ranks[ranks.measure == measure].reset_index(drop=True)
            _levels(axes, own)
            _groups(axes, own)
            axes.set(xlabel="Kendall's tau", title=named)
            if measure == "tau_loss":
                axes.axvline(counted.iloc[0], color=figures.GREY, ls=":", lw=1)
                axes.set_title(f"{named}; dotted: FLOPs alone")
            axes.invert_yaxis()
    return figure


def _levels(axes: Axes, own: pd.DataFrame) -> None:
    y, shades = np.arange(len(own)), [figures.colour(method) for method in own.method]
    axes.hlines(y, own.seeds_low, own.seeds_high, color=shades, lw=2.4)
    axes.hlines(y, own.low, own.high, color="black", lw=0.7)
    axes.scatter(own["mean"], y, s=12, edgecolors=shades, facecolors="white", zorder=3)
    more = own.seeds > own.seeds.min()
    labels = zip(own.method, np.where(more, "*", ""), own["rank"], strict=True)
    axes.set_yticks(y, [f"{method}{star}  ({rank:.1f})" for method, star, rank in labels])
    for text, method in zip(axes.get_yticklabels(), own.method, strict=True):
        text.set_fontweight("bold" if method == OURS else "normal")


def _groups(axes: Axes, own: pd.DataFrame) -> None:
    """Bars at the right side, outside of the axes."""
    held: dict[str, list[int]] = {}
    for place, named in enumerate(own["groups"]):
        for group in named.split():
            held.setdefault(group, []).append(place)
    for column, places in enumerate(held.values()):
        x = 1.02 + 0.025 * column
        ends = [places[0] - 0.3, places[-1] + 0.3]
        look = {"transform": axes.get_yaxis_transform(), "clip_on": False}
        axes.plot([x, x], ends, color="black", lw=2, solid_capstyle="butt", **look)


def caption(scale: Scale, tables: dict[str, pd.DataFrame], found: Sequence[claims.Claim]) -> str:
    """The finding in words, from the claims, and what could have been found."""
    by = {claim.key: claim for claim in found}
    said = []
    for measure, named in OUTCOMES.items():
        claim = by[f"12.surpasses.{measure}"]
        told = claims.numbers(claim)
        said.append(f"{OURS} surpasses the others, {named}: {claim.verdict} (least sure: {told}).")
        rows = tables["contrasts"]
        own = rows[(rows.space == scale.space.name) & (rows.measure == measure)]
        said.append(f"{outcomes.seen(own)}.")
    pairs = tables["differences"]
    seeds, near = len(scale.seeds), len(scale.seeds) + len(scale.near_seeds)
    more = f" (*: {near}, of what is within {rivals.NEAR:g} of the best)" if near > seeds else ""
    return (
        f"Scale {scale.name}, {seeds} seeds{more}. {' '.join(said)} In brackets: mean rank over "
        "seeds that all have. Bars at the right join neighbours no two of which are told apart, "
        f"after Holm's correction over {int(pairs.tests.iloc[0])} pairs, by Welch's test: seeds of "
        f"some methods lie farther apart. Thick bars: 95 % over seeds; {outcomes.THIN}."
    )


# --- cost ---


def draw_cost(costs: pd.DataFrame) -> Figure:
    """A line a method, the best on top: tau by loss, then each cost; filled: on the Pareto front.

    A line of grey steps joins a front: along it less is paid, and less is reached.
    """
    rows = costs[costs.tau_loss.notna()].sort_values("tau_loss", ascending=False)
    rows = rows.reset_index(drop=True)
    shades = [figures.colour(rivals_costs.base(name)) for name in rows.method]
    size = (6.75, 0.9 + LINE * len(rows))
    figure, panels = figures.subplots(1, 1 + len(COSTS), figsize=size, sharey=True)
    with figures.style():
        panels[0].hlines(rows.index, rows.tau_loss_low, rows.tau_loss_high, color=shades, lw=0.8)
        look = {"facecolors": "white", "edgecolors": shades, "s": 16, "zorder": 3}
        panels[0].scatter(rows.tau_loss, rows.index, **look)  # filled says something of a cost
        panels[0].set(xlabel=OUTCOMES["tau_loss"], ylim=(len(rows) - 0.5, -0.5))
        panels[0].set_yticks(rows.index, rows.method)
        for axes, (cost, named) in zip(panels[1:], COSTS.items(), strict=True):
            _pareto(axes, rows, cost, shades)
            axes.set(xlabel=named)
    return figure


def _pareto(axes: Axes, rows: pd.DataFrame, cost: str, shades: Sequence[str]) -> None:
    own, best = rows, unbeaten(rows, cost)
    if cost in FAR:  # ten times as far to the right, it would crowd all others
        own = own[own.method != EQUAL_STEPS]
    front = own[own.method.isin(best)]
    axes.plot(front[cost], front.index, color=figures.GREY, lw=0.8, drawstyle="steps-pre")
    for place, row in own.iterrows():
        full = shades[place] if row.method in best else "white"
        if f"{cost}_low" in own:
            ends = [row[f"{cost}_low"], row[f"{cost}_high"]]
            axes.plot(ends, [place] * 2, color=shades[place], lw=0.8)
        axes.plot(row[cost], place, "o", color=shades[place], mfc=full, ms=4)
    axes.xaxis.set_major_locator(MaxNLocator(3))


def unbeaten(costs: pd.DataFrame, cost: str) -> list[str]:
    """The methods at equal images that no other beats in both, that cost and tau by loss.

    Costs are equal where they are so to two decimals: less is not measured.
    """
    own = costs[costs.tau_loss.notna() & (costs.method != EQUAL_STEPS)]
    return own.method[rivals_costs.front(own[cost].round(2), own.tau_loss)].tolist()


def caption_cost(scale: Scale, costs: pd.DataFrame) -> str:
    """The finding in words, for the figure of cost."""
    said = []
    for cost, named in COSTS.items():
        short = " ".join(named.partition(",")[0].split())
        said.append(f"by {short}: {', '.join(unbeaten(costs, cost))}")
    but = "."
    for more in costs[costs.method == EQUAL_STEPS].itertuples():
        but = (
            f", but for {EQUAL_STEPS}: {more.flops:.1f} times SPOS's FLOPs and "
            f"{more.time:.1f} times its time, so it is left out of these two panels."
        )
    return (
        f"Scale {scale.name}. Cost, from the best tau down. Filled, joined by the grey line: not "
        f"beaten on both at once, costs to two decimals, {'; '.join(said)}. "
        f"Bars: 95 %, tau over seeds and architectures. All have the same images{but}"
    )


# --- what explains tau ---


def draw_explained(rows: pd.DataFrame) -> Figure:
    """A panel an outcome, a line a measure: rho over all runs, and within methods."""
    measures = list(dict.fromkeys(rows.measure))
    size = (6.75, 1.4 + 0.24 * len(measures))
    figure, panels = figures.subplots(1, len(OUTCOMES), figsize=size, sharey=True)
    marks = {why.OVER: ("o", "black", -0.14), why.WITHIN: ("s", figures.TWO[1], 0.14)}
    with figures.style():
        for axes, (outcome, named) in zip(panels, OUTCOMES.items(), strict=True):
            axes.axvline(0, color="grey", lw=0.5)
            for how, (mark, shade, shift) in marks.items():
                own = rows[(rows.outcome == outcome) & (rows.how == how)].set_index("measure")
                own = own.loc[measures]
                y = np.arange(len(measures)) + shift
                axes.hlines(y, own.low, own.high, color=shade, lw=1)
                sure = (own.holm <= claims.LEVEL).to_numpy()
                for told, fill in ((sure, shade), (~sure, "white")):
                    label = how if fill == shade else None
                    axes.plot(own.rho[told], y[told], mark, color=shade, mfc=fill, ms=4)
                    axes.plot([], [], mark, color=shade, mfc=fill, ms=4, label=label)
            axes.set(xlabel="Spearman's rho", title=named, xlim=(-1.05, 1.05))
        panels[0].set_yticks(range(len(measures)), [why.named(m) for m in measures])
        panels[0].set_ylim(len(measures) - 0.5, -0.5)
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


def caption_explained(scale: Scale, rows: pd.DataFrame) -> str:
    """The finding in words, for the figure of what explains tau."""
    own = rows[(rows.outcome == "tau_loss") & rows.rho.notna()]
    said = []
    for how in (why.OVER, why.WITHIN):
        most = own[own.how == how].assign(size=lambda t: t.rho.abs()).sort_values("size")
        for row in most.tail(1).itertuples():
            told = wording.interval(row.rho, row.low, row.high)
            but = "" if row.holm <= claims.LEVEL else ", not shown"
            said.append(f"{how} {why.named(row.measure)} ({told}{but})")
    return (
        f"Scale {scale.name}. What goes with tau by loss most, {'; '.join(said)}. Exposure of an "
        "operation: how often it is trained; within a method whose p is fixed it does not vary, so "
        "it is not asked there. Bars: 95 %, "
        "drawing methods over all runs, and runs within methods: there means and scales of methods "
        "and what all have in common at one seed are taken out. "
        f"Filled: p at most {claims.LEVEL:g} after Holm's correction over all rows."
    )
