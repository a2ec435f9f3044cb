"""The figure of equal exposure: variance and ranking over the extent of sharing."""

from matplotlib.figure import Figure

from padalib.study import figures
from padalib.study.exposure import Exposure
from padalib.study.sharing import FACTORS, SCORES, along, plots, said


def draw(found: Exposure) -> Figure:
    """Variance, and tau by accuracy (dots) and by loss (rings), over both factors."""
    shared = found.shared
    lowest = min(-0.1, shared.runs[list(SCORES)].min().min() - 0.05)
    with figures.style():
        figure = Figure(figsize=(6.75, 2.2))
        panels = iter(figure.subplots(1, 4))
        for factor, label in FACTORS.items():
            rows = along(shared.runs, factor)
            shades = figures.shades(sorted(rows[factor].unique()))
            steps, ranks = next(panels), next(panels)
            plots.at_the_end(steps, rows, factor, "total", shades)
            for score, shift in zip(SCORES, (-0.15, 0.15), strict=True):
                plots.at_the_end(ranks, rows, factor, score, shades, shift)
            ranks.axhline(shared.perfect, color="#666666", lw=0.6, ls="--")
            ranks.set(ylabel="Kendall's tau", ylim=(lowest, 1.03), title="ranking")
            steps.set(yscale="log", ylabel="tr Var[g]", title="variance")
            figures.log_ticks(steps.yaxis)
            for axis in (steps, ranks):
                axis.set(xticks=list(shades), xlabel=label)
                axis.set_xlim(min(shades) - 0.5, max(shades) + 0.5)
    return figure


def caption(found: Exposure, scale: str) -> str:
    """The change of tau along each factor."""
    last = found.shared.changes[found.shared.changes.planned]
    last = last.groupby(["factor", "value"], sort=False).tail(1)
    words = []
    for factor, own in last.groupby("factor", sort=False):
        row = own.set_index("value")
        if "tau_loss" in row.index:
            words.append(
                f"{FACTORS[factor].capitalize()}, {row['first'].iloc[0]} to "
                f"{row.second.iloc[0]}: tau by loss {said(row.loc['tau_loss'])}, by accuracy "
                f"{said(row.loc['tau'])}"
            )
    return (
        f"Scale {scale}, every architecture of convolutions trained equally often; with two "
        "operations an edge at half the steps. "
        f"{'. '.join(words)}. Brackets: 95 % over {last.seeds.max()} seeds. Rings: by loss. "
        f"Dashed: a perfect predictor, {found.shared.perfect:.2f}."
    )
