"""The figure of supernets at full scale: families above, what one change makes of them below."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from padalib.study import figures, outcomes
from padalib.study.full_scale import BOUND, FLOPS, OUTCOMES

TITLES = {
    "tau": "tau",
    "within_flops": "tau among equal FLOPs",
    "with_flops": "tau, FLOPs' rank added",
}


@figures.style()
def draw(made: dict[str, pd.DataFrame]) -> Figure:
    """From the tables of `full_scale.tables`: a column an outcome."""
    cards, seeds, rows = made["cards"], made["seeds"], made["contrasts"]
    rows = rows[rows.question == "one thing"]
    labels = list(seeds.label.unique())
    keys = list(rows.key.unique())
    ratios = {"height_ratios": (len(labels), len(keys) + 1)}
    figure, panels = figures.subplots(2, 3, (6.75, 5.0), sharey="row", gridspec_kw=ratios)
    for column, outcome in enumerate(OUTCOMES):
        above, below = panels[0, column], panels[1, column]
        _families(above, cards, seeds[seeds.measure == outcome], labels, outcome)
        _changes(below, rows[rows.measure == outcome], keys)
        above.set_title(TITLES[outcome])
    panels[0, 0].set_yticks(range(len(labels)), labels)
    panels[0, 0].set_ylabel("channels / batch / epochs")
    changed = rows.drop_duplicates("key").set_index("key")
    named = dict(zip(cards.family, cards.label, strict=True))
    texts = [f"{named[changed.b[key]]} → {_short(changed.changed[key])}" for key in keys]
    panels[1, 0].set_yticks(range(len(keys)), texts)
    panels[1, 0].set_ylabel("one thing changed")
    ends = cards[cards.measure.isin(["tau", "with_flops"]) & cards.label.isin(labels)]
    for column in (0, 2):  # one scale, so that the gain is seen
        panels[0, column].set_xlim(ends.low.min() - 0.02, ends.high.max() + 0.02)
    for row in panels:
        row[0].invert_yaxis()
    panels[1, 1].set_xlabel("difference of tau")
    return figure


def _short(changed: str) -> str:
    """A change in few words, for an axis."""
    new = changed.partition(" instead of ")[0]
    return "balanced" if "equally often" in new else new.removesuffix(" of weights by complexity")


def _families(
    axes: Axes, cards: pd.DataFrame, seeds: pd.DataFrame, labels: Sequence[str], outcome: str
) -> None:
    by = cards.set_index(["label", "measure"])
    for place, label in enumerate(labels):
        shade = figures.colour("balanced" if label.startswith("balanced") else "SPOS")
        mark = "s" if "sets" in label else "o"
        row, own = by.loc[(label, outcome)], seeds[seeds.label == label]
        axes.plot([row.low, row.high], [place + 0.2] * 2, color=shade, lw=0.8)
        axes.plot(row.value, place + 0.2, mark, color=shade, ms=3.5)
        axes.plot(own.value, [place - 0.2] * len(own), mark, color=shade, mfc="none", ms=3, mew=0.7)
        if outcome == "tau":
            limit = by.value[label, "limit"]
            axes.plot(limit, place + 0.2, "|", color=shade, ms=7, mew=1.2)
    free = by.value.get((FLOPS, "tau"))
    if outcome != "within_flops":  # FLOPs alone say nothing there
        axes.axvline(free, color=figures.GREY, ls="--", lw=0.8)
        near = {"xytext": (-2, 2), "textcoords": "offset points", "color": "#555555"}
        axes.annotate(
            "FLOPs\nalone", (free, 0), xycoords=("data", "axes fraction"), ha="right", **near
        )
    axes.set_ylim(-0.6, len(labels) - 0.4)


def _changes(axes: Axes, rows: pd.DataFrame, keys: Sequence[str]) -> None:
    """Each difference with its intervals: above over seeds, below over architectures too."""
    axes.axvspan(-BOUND, BOUND, color=figures.BAND, lw=0)
    axes.axvline(0, color=figures.GREY, lw=0.5)
    for row, low, high in zip(rows.itertuples(), *outcomes.joint(rows), strict=True):
        place = keys.index(row.key)
        axes.plot([row.seeds_low, row.seeds_high], [place - 0.16] * 2, color=figures.TWO[1])
        axes.plot([low, high], [place + 0.16] * 2, color="black")
        axes.plot(row.difference, place, "o", color="white", mec="black", ms=4)
    axes.set(xlim=(-0.2, 0.2), ylim=(-0.6, len(keys) - 0.4))


def caption(made: dict[str, pd.DataFrame]) -> str:
    """The finding in words, for the figure."""
    cards, rows = made["cards"], made["contrasts"].set_index("key")
    value = cards.set_index(["family", "measure"]).value
    labels = dict(zip(cards.family, cards.label, strict=True))
    more = cards[cards.measure == "more_seeds"].value
    said = ""
    if "order_added" in rows.index:
        a, b = rows.a["order_added"], rows.b["order_added"]
        said = (
            f"Alone, {labels[b]} ranks best (tau {value[b, 'tau']:.3f}); with the FLOPs' rank "
            f"added, {labels[a]} ({value[a, 'with_flops']:.3f}). "
        )
    seeds = made["seeds"]
    runs = len(seeds[["family", "seed"]].drop_duplicates())
    return (
        f"Supernets that others trained at full scale; PA&DA is not among them. {said}Infinitely "
        f"many seeds (upright bars, top left) would add {more.min():.3f} to {more.max():.3f}. Top: "
        f"{runs} runs (hollow), and their means with 95 % intervals over seeds and architectures. "
        "Bottom: one thing changed; grey over seeds, black over both together; the band: within "
        f"{BOUND:g}."
    )
