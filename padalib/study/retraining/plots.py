"""Figures of the study of retraining: every training, the contrasts, and how large noise is."""

import math
from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from padalib.study import figures, outcomes
from padalib.study.retraining import CONTROLS, MOST

MARKS = {  # column of the noise -> its mark and words
    "sd": ("o", "one architecture trained again (sd)"),
    "searches": ("s", "what searches of one method find (sd)"),
    "methods": ("D", "methods, their largest difference"),
}


@figures.style()
def draw(runs: pd.DataFrame, tables: dict[str, pd.DataFrame]) -> Figure:
    """Each training and the means; and the differences, beside the noise of retraining."""
    height = max(2.6, 1.2 + 0.17 * len(tables["better"]))
    figure, (left, right) = figures.subplots(1, 2, figsize=(6.75, height))
    _trainings(left, runs, tables["retrained"])
    _differences(right, tables["better"], float(tables["noise"].sd.iloc[0]))
    return figure


def _trainings(axes: Axes, runs: pd.DataFrame, means: pd.DataFrame) -> None:
    for place, row in enumerate(means.itertuples()):
        own, shade = runs[runs.name == row.name], _shade(row.name)
        shift = 0.3 * (own.draw - own.draw.mean()) / max(1, own.draw.max())
        axes.plot(place + shift, own.accuracy, "o", color=shade, mfc="none", ms=3, mew=0.7)
        axes.plot([place - 0.35, place + 0.35], [row.accuracy] * 2, color=shade)
        axes.plot([place, place], [row.low, row.high], color=shade, lw=0.8)
    axes.set_xticks(range(len(means)), means.name, rotation=35, ha="right")
    axes.set(ylabel="test accuracy (%)", title="a point for each training")


def _differences(axes: Axes, rows: pd.DataFrame, sd: float) -> None:
    axes.axvspan(-sd, sd, color=figures.BAND, lw=0, zorder=0)
    axes.axvline(0, color="grey", lw=0.5)
    for place, row in enumerate(rows.itertuples()):
        shade = _shade(row.a)
        axes.plot([row.seeds_low, row.seeds_high], [place] * 2, color=shade, lw=2.8)
        axes.plot([row.archs_low, row.archs_high], [place] * 2, color="black", lw=0.7)
        axes.plot(row.difference, place, "o", color=shade, mfc="white", ms=4)
    axes.set_yticks(range(len(rows)), [f"{row.a} − {row.b}" for row in rows.itertuples()])
    axes.set(xlabel="difference (points)", title="grey: ± one sd of retraining")
    axes.invert_yaxis()


def _shade(name: str) -> str:
    return figures.GREY if name in CONTROLS else figures.colour(name)


def caption(tables: Mapping[str, pd.DataFrame], scale: str) -> str:
    """The finding in words, for the figure of one space."""
    spread, rows = tables["noise"].iloc[0], tables["better"]
    counts = rows.verdict.value_counts()
    told = ", ".join(f"{n} {verdict}" for verdict, n in counts.items())
    shorter = rows.archs_high - rows.archs_low < rows.seeds_high - rows.seeds_low
    few = ", which can be shorter where searches are few" if shorter.any() else ""
    most = f"; {MOST}: the dearest of random ones within the limit on FLOPs"
    return (
        f"Scale {scale}, {spread.space}. Architectures trained alone, "
        f"{int(tables['retrained'].seeds.max())} seeds each. One trained again differs by "
        f"{spread.sd:.2f} points (sd); methods differ by up to {spread.methods:.2f}. Of "
        f"{len(rows)} contrasts {told}. {outcomes.seen(rows, ' points')}. Left: points are "
        "trainings, lines and bars means and 95 % over seeds of training, not over searches"
        f"{most if MOST in set(tables['retrained'].name) else ''}. Right, thick bars: 95 % over "
        f"trainings, from that sd; thin: over searches too{few}. Verdicts after Holm's correction."
    )


# --- how large noise is ---


@figures.style()
def draw_noise(noise: pd.DataFrame) -> Figure:
    """Of each space: the noise of training one architecture again, beside the differences."""
    figure, axes = figures.subplots(figsize=(6.75, 1.1 + 0.45 * len(noise)))
    for place, row in enumerate(noise.itertuples()):
        axes.plot([row.low, row.high], [place] * 2, color="black", lw=0.8)
        for column, (mark, words) in MARKS.items():
            shade = figures.GREY if column == "searches" else "black"
            look = {"color": shade, "mfc": "white" if column == "sd" else shade, "ms": 5}
            label = words if place == 0 else None
            axes.plot(getattr(row, column), place, mark, **look, label=label)
    axes.set_yticks(range(len(noise)), noise.space)
    axes.set(xlabel="points of accuracy", ylim=(len(noise) - 0.5, -0.5))
    axes.set_xlim(left=0)
    figure.legend(loc="outside upper center", ncols=3)
    return figure


def caption_noise(noise: pd.DataFrame, scale: str) -> str:
    """What is larger in each space, in words."""
    said = []
    for row in noise.itertuples():
        times = f"{row.methods / row.sd:.1f} times" if row.sd > 0 else "no multiple of"
        own = "" if math.isnan(row.searches) else f", searches of one by {row.searches:.2f} (sd)"
        said.append(
            f"{row.space}: one architecture trained again differs by {row.sd:.2f} points (sd), "
            f"methods by up to {row.methods:.2f}, {times} that{own}"
        )
    return f"Scale {scale}. {'. '.join(said)}. Bars: 95 % of the first, from {_count(noise)}."


def _count(noise: pd.DataFrame) -> str:
    counts = [f"{row.trainings:.0f} trainings ({row.space})" for row in noise.itertuples()]
    return ", ".join(counts)
