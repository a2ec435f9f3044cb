"""The figure of tuning: outcomes against the learning rate, and the contrasts arm by arm."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

from padalib.study import figures, outcomes, wording
from padalib.study.controls import BOUND, OUTCOMES
from padalib.study.controls.plots import SHADES
from padalib.study.scale import Scale
from padalib.study.tuning import COMMON, METHODS


def draw(rates: pd.DataFrame, tables: dict[str, pd.DataFrame]) -> Figure:
    """Left: means over the seeds that choose, filled where chosen. Right: contrasts, reported."""
    with figures.style():
        figure = Figure(figsize=(6.75, 3.9))
        left, right = figure.add_gridspec(1, 2, width_ratios=(1, 1.15))
        panels = left.subgridspec(2, 1, hspace=0.12)
        for place, (name, title) in enumerate(OUTCOMES.items()):
            axes = figure.add_subplot(panels[place])
            _rates(axes, rates, name, title)
            if place == 0:
                axes.legend(
                    fontsize=6,
                    handlelength=1.2,
                    ncols=3,
                    loc="lower center",
                    bbox_to_anchor=(0.5, 1.0),
                )
                axes.tick_params(labelbottom=False)
            else:
                axes.set_xlabel("learning rate at the start")
        _contrasts(figure.add_subplot(right), tables["contrasts"])
    return figure


def _rates(axes: Axes, rates: pd.DataFrame, name: str, title: str) -> None:
    for method in METHODS:
        own, shade = rates[rates.method == method], figures.colour(method)
        axes.plot(own.lr, own[name], color=shade, lw=1, label=method)
        for row in own.itertuples():
            fill = shade if row.chosen else "white"
            axes.plot(row.lr, getattr(row, name), figures.mark(method), color=shade, mfc=fill, ms=4)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(sorted(rates.lr.unique())))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.set(ylabel=title.replace("ranked ", "").replace(" within ", "\nwithin "))


def _contrasts(axes: Axes, rows: pd.DataFrame) -> None:
    lines = list(dict.fromkeys(zip(rows.arm, rows.a, rows.b, strict=True)))
    axes.axvspan(-BOUND, BOUND, color=figures.BAND, lw=0, zorder=0)
    axes.axvline(0, color="grey", lw=0.5)
    for place, line in enumerate(lines):
        own = rows[[each == line for each in zip(rows.arm, rows.a, rows.b, strict=True)]]
        for shift, row in zip(np.linspace(-0.17, 0.17, len(own)), own.itertuples(), strict=True):
            y, shade = place + shift, SHADES[row.measure]
            axes.plot([row.seeds_low, row.seeds_high], [y, y], color=shade, lw=2.6)
            axes.plot([row.both_low, row.both_high], [y, y], color="black", lw=0.7)
            axes.plot(row.difference, y, "o", color=shade, mfc="white", ms=4)
    labels = [f"{a} − {b}" + (f"\n({arm})" if arm != COMMON else "") for arm, a, b in lines]
    axes.set_yticks(range(len(lines)), labels)
    for name, shade in SHADES.items():
        axes.plot([], [], "o-", color=shade, mfc="white", ms=4, label=OUTCOMES[name])
    # Above, for the rows leave no corner free, nor does the band.
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, fontsize=6)
    title = f"other seeds and architectures; grey: ±{BOUND:g}"
    axes.set_title(title, pad=18)
    axes.set(xlabel="difference of tau")
    axes.invert_yaxis()


def caption(scale: Scale, tables: dict[str, pd.DataFrame]) -> str:
    """The finding in words, for the figure."""
    rows = tables["contrasts"]
    own = rows[(rows.a == "PA") & (rows.b == "SPOS") & (rows.measure == "tau_loss")]
    said = [
        f"{row.arm} {wording.interval(row.difference, low, high, null=0)}"
        for row, low, high in zip(own.itertuples(), *outcomes.joint(own), strict=True)
    ]
    return (
        f"Scale {scale.name}. PA − SPOS, tau by loss: {', '.join(said)}. "
        f"Left: means over {len(scale.rate_seeds)} seeds, "
        "on the half of the architectures that chooses; filled: chosen, by tau within equal FLOPs. "
        f"Right: {len(scale.seeds)} other seeds, the other half; thick bars over seeds, thin ones "
        "over seeds and architectures together, 95 %."
    )
