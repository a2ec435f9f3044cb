"""The figure of PA&DA less each rival and less what it is made of, in each space."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from padalib.study import claims, controls, figures, outcomes
from padalib.study.controls import BOUND, OUTCOMES
from padalib.study.controls.plots import SHADES, differences
from padalib.study.scale import Scale
from padalib.study.scales.rivals import OURS

LINE = 0.2  # inches


def lines(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The rows of the figure: rivals, and with a dagger what PA&DA is made of."""
    own = tables["made_of"]
    own = own[own.measure.isin(list(OUTCOMES))]
    return pd.concat([tables["contrasts"], own.assign(b=own.b + " †")], ignore_index=True)


def draw(rows: pd.DataFrame) -> Figure:
    """A panel a space, a line a rival or part, from the one that lies farthest behind by loss."""
    rows = rows[rows.difference.notna()]
    spaces = list(rows.space.unique())
    most = max(own.b.nunique() for _, own in rows.groupby("space"))
    figure, panels = figures.subplots(
        1, len(spaces), figsize=(6.75, 1.1 + LINE * most), squeeze=False
    )
    with figures.style():
        for axes, space in zip(panels[0], spaces, strict=True):
            own = rows[rows.space == space]
            first = own[own.measure == next(iter(OUTCOMES))].set_index("b").difference
            order = first.sort_values(ascending=False).index
            own = own.assign(b=pd.Categorical(own.b, order)).sort_values(["b", "measure"])
            differences(axes, own, own.b.astype(str).tolist())
            seeds = sorted({int(n) for n in own.seeds})
            many = f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else seeds[0]
            axes.set(xlabel=f"tau of {OURS} − tau of the other", title=f"{space}, {many} seeds")
        marks = [
            Line2D([], [], color=SHADES[name], marker="o", mfc="white", ms=4, label=_named(name))
            for name in OUTCOMES
        ]
        figure.legend(handles=marks, loc="outside upper center", ncols=2)
    return figure


def _named(measure: str) -> str:
    return OUTCOMES[measure] + ("" if measure == "tau_loss" else ", by accuracy")


def caption(scale: Scale, tables: dict[str, pd.DataFrame]) -> str:
    """From how many rivals PA&DA is told, in each space, and what is SPOS itself there."""
    rows, cards = tables["contrasts"], tables["cards"]
    rows = rows[rows.difference.notna()]
    said = []
    for space, found in rows.groupby("space", sort=False):
        for measure, own in found.groupby("measure", sort=False):
            told = own.verdict.value_counts()
            words = [f"better than {told.get(claims.SHOWN, 0)} of {len(own)}"]
            if worse := own.b[own.verdict == claims.OPPOSITE].tolist():
                words.append(f"worse than {', '.join(worse)}")
            named = controls.outcome(measure, own.fifths.iloc[0])
            said.append(f"{space}, {named}: {' and '.join(words)}")
        trained = set(cards[cards.space == space].method) & set(scale.methods)
        itself = sorted(trained & set(rows.b) - set(found.b))
        if itself:
            said[-1] += f" ({', '.join(itself)} scored as SPOS did there, to the bit: left out)"
    return (
        f"Scale {scale.name}. {OURS} less each rival, and (†, asked after a look, corrected among "
        f"themselves) less what it is made of; right of zero {OURS} ranks better. Shown, "
        f"after Holm's correction over the rivals of a panel: {'; '.join(said)}. Grey: within "
        f"±{BOUND:g}. Thick bars: 95 % over seeds; {outcomes.THIN}."
    )
