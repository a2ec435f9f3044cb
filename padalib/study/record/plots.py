"""The figure of the record: what was tried, what the winner reaches, what its parts are worth."""

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from padalib.study import claims, figures, outcomes, wording
from padalib.study.controls import BOUND, OUTCOMES
from padalib.study.controls.plots import SHADES, differences
from padalib.study.record import AIMS, left, rivals
from padalib.study.record.parts import CLAIMED, JOIN
from padalib.study.scale import Scale

SHORT = {
    "tau_loss": "tau by loss", "with_flops": "with the\nFLOPs' rank",
    "within_flops": "within\nequal FLOPs", "top_decile": "among the\nbest tenth",
}  # fmt: skip


def draw(tried: pd.DataFrame, tables: dict[str, pd.DataFrame], winner: str) -> Figure:
    """Left: candidates where they are chosen. Right: the aims, and each part left out."""
    with figures.style():
        figure = Figure(figsize=(6.75, 5.4))
        left, right = figure.add_gridspec(1, 2, width_ratios=(1, 1.6))
        _tried(figure.add_subplot(left), tried)
        upper, lower = right.subgridspec(2, 1, height_ratios=(1.25, 1.5))
        _reached(figure.add_subplot(upper), tables["cards"], winner)
        _parts(figure.add_subplot(lower), _held_against(tables))
    return figure


def plotted(tried: pd.DataFrame, tables: dict[str, pd.DataFrame], winner: str) -> pd.DataFrame:
    """All numbers of the figure; `panel` says where."""
    cards = tables["cards"]
    shown = cards[cards.method.isin(_methods(winner)) & cards.measure.isin(AIMS)]
    aims = shown.assign(aim=shown.measure.map({name: aim for name, (aim, _) in AIMS.items()}))
    panels = {"tried": tried, "reached": aims, "differences": _held_against(tables)}
    return pd.concat([rows.assign(panel=name) for name, rows in panels.items()], ignore_index=True)


def _held_against(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """A row a method and outcome: what the winner has to beat, and itself without each part."""
    rows = pd.concat([own for own in (tables["contrasts"], tables["parts"]) if len(own)])
    return rows.drop_duplicates(["measure", "b"])


def _methods(winner: str) -> dict[str, str]:
    """The methods whose levels are shown, and what they are called; the chosen one last."""
    named = {"SPOS": "SPOS", CLAIMED: CLAIMED}
    for name in rivals(winner):
        paths = name.partition(JOIN)[0]
        named.setdefault(name, f"{paths}, same parts")
    named.pop(winner, None)
    return named | {winner: "chosen"}


def _tried(axes: Axes, rows: pd.DataFrame) -> None:
    for place, row in enumerate(rows.itertuples()):
        for name in OUTCOMES:
            fill = SHADES[name] if row.chosen else "white"
            axes.plot(getattr(row, name), place, "o", color=SHADES[name], mfc=fill, ms=3.5)
    names = [textwrap.fill(name, 20) for name in rows.candidate]
    axes.set_yticks(range(len(rows)), names, fontsize=6)
    axes.invert_yaxis()
    for name, shade in SHADES.items():
        axes.plot([], [], "o", color=shade, mfc="white", ms=3.5, label=OUTCOMES[name])
    axes.legend(loc="lower center", bbox_to_anchor=(0.3, 1.0), fontsize=6, handlelength=1)
    axes.set(xlabel="Kendall's tau, on the half that chooses")


def _reached(axes: Axes, cards: pd.DataFrame, winner: str) -> None:
    """The winner, what it has to beat, and SPOS, by what has an aim; over both doubts."""
    named = _methods(winner)
    for shift, method in zip(np.linspace(-0.3, 0.3, len(named)), named, strict=True):
        own = cards[cards.method == method].set_index("measure")
        shade = figures.colour(method if method == winner else method.partition(JOIN)[0])
        fill = shade if method in (winner, "SPOS", CLAIMED) else "white"
        for place, measure in enumerate(AIMS):
            if measure in own.index:
                row, y = own.loc[measure], place + shift
                axes.plot([row.low, row.high], [y, y], color=shade, lw=0.8)
                axes.plot(row.value, y, "o", color=shade, mfc=fill, ms=3)
        axes.plot([], [], "o", color=shade, mfc=fill, ms=3, label=named[method])
    for place, (aim, _) in enumerate(AIMS.values()):
        axes.plot([aim, aim], [place - 0.42, place + 0.42], color="grey", lw=1.5, zorder=0)
    axes.set_yticks(range(len(AIMS)), [SHORT[measure] for measure in AIMS], fontsize=6)
    axes.invert_yaxis()
    legend = {"ncols": 2, "handlelength": 1, "columnspacing": 0.8, "loc": "lower center"}
    axes.legend(fontsize=6, bbox_to_anchor=(0.4, 1.0), **legend)
    axes.set(xlabel="Kendall's tau; grey: aim")


def _parts(axes: Axes, rows: pd.DataFrame) -> None:
    """The winner less each method, and less itself without each part."""
    differences(axes, rows, [_label(row) for row in rows.itertuples()])
    axes.tick_params(axis="y", labelsize=6)
    axes.set(xlabel=f"chosen less others; grey: ±{BOUND:g}")


def _label(row) -> str:
    return textwrap.fill(f"without {row.part}" if isinstance(row.part, str) else row.b, 20)


def caption(scale: Scale, tables: dict[str, pd.DataFrame], winner: str) -> str:
    """The finding in words, for the figure."""
    own = tables["cards"][tables["cards"].method == winner].set_index("measure")
    reached = [
        f"{said} {wording.interval(own.value[name], own.low[name], own.high[name])} (aim {aim:g})"
        for name, (aim, said) in AIMS.items()
        if name in own.index and pd.notna(own.value[name])
    ]
    gains = []
    for name in OUTCOMES:
        rows = tables["contrasts"][tables["contrasts"].measure == name]
        told = [
            f"{row.difference:+.3f} [{low:+.3f}, {high:+.3f}] beside {row.b} "
            f"({claims.told(outcomes.claim('', '', row, '', wanted=1))})"
            for row, low, high in zip(rows.itertuples(), *outcomes.joint(rows), strict=True)
        ]
        gains.append(f"Its {OUTCOMES[name]}: {'; '.join(told)}.")
    every = _held_against(tables)
    more = int(every.tests.max()) - len(every)
    lacking = f", of which {more} were not run and count as showing nothing" if more else ""
    return (
        f"Scale {scale.name}, equal images, not equal cost. Chosen: “{winner}”, "
        f"{'; '.join(reached)}. {' '.join(gains)} Left: means over {len(scale.rate_seeds)} seeds "
        "on the half of the architectures that chooses (filled: chosen, so partly by luck). Right: "
        f"{len(scale.seeds)} other seeds, the other half; grey marks are aims, above with 95 % "
        "over seeds and architectures, without correction; below thick bars over seeds, thin ones "
        f"over both, after Holm's correction over {every.tests.max()} rows{lacking}. {left(scale)}"
    ).strip()
