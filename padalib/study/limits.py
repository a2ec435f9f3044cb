"""What one set of architectures does not say: all of the space, and what is lost without sharing.

Some methods rank the whole space with their first seed. And some architectures are trained alone
at this scale: what those runs rank worse than the truth is not the fault of weight sharing.
"""

from dataclasses import replace

import pandas as pd
from matplotlib.figure import Figure

from padalib.ranking import metrics
from padalib.ranking.scores import ScoreConfig
from padalib.spaces import Space
from padalib.study import contests, figures
from padalib.study.scale import Scale

ALONE = "trained alone"


def configs(scale: Scale) -> list[ScoreConfig]:
    """The runs of this study; none where the scale asks for neither part."""
    return [*wholes(scale), *alones(scale)]


def wholes(scale: Scale) -> list[ScoreConfig]:
    """Scores of every class of the space, by the first seed of some methods."""
    seed = scale.seeds[0]
    return [scale.scoring(scale.training(method, seed), archs=None) for method in scale.whole]


def alones(scale: Scale) -> list[ScoreConfig]:
    """Scores of the first few classes among the ranked architectures, trained alone here.

    Affine batch norm and running statistics, as the benchmark's networks have; as many images of
    the rank split as score a supernet.
    """
    classes = list(dict.fromkeys(map(scale.space.canonical, scale.ranked_archs())))
    own = {"epochs": scale.alone_epochs, "keep": (), "bn": "running"}
    plain = scale.training("SPOS", scale.seeds[0])
    return [
        scale.scoring(replace(plain, arch=arch, **own), archs=None)
        for arch in classes[: scale.alone]
    ]


def whole(scores: pd.DataFrame, true: pd.Series, space: Space) -> pd.DataFrame:
    """Every measure of a ranking of all of the space, in two protocols that are often confused.

    Every class once, and every architecture (copies tie with each other, which changes tau). `true`
    is the accuracy of every architecture, by code. Intervals are over architectures.
    """
    classes = contests.functions(space, true.index)
    rows = []
    for method, own in scores.groupby("method", sort=False):
        by_class = own.set_index("code").accuracy
        by_arch = pd.Series(by_class[classes].to_numpy(), index=classes.index)
        for protocol, predicted in (("classes", by_class), ("all architectures", by_arch)):
            target = true[predicted.index]
            for name, fn in metrics.METRICS.items():
                ends = metrics.bootstrap(fn, predicted, target, draws=100)
                value = fn(predicted, target)
                rows.append([method, protocol, len(target), name, value, *ends])
    columns = ["method", "protocol", "architectures", "metric", "value", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def proxy(alone: pd.DataFrame, predicted: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """tau of the runs trained alone, of all methods and of FLOPs, on the same few architectures.

    `predicted` and `known` are `ranking.predictions` and `ranking.architectures`. A row a method,
    as in `contests.summary`; a supernet's interval over seeds is Student's.
    """
    accuracy = alone.set_index("code").accuracy
    few = known[known.function.isin(accuracy.index) & ~known.function.duplicated()]
    table = predicted.loc[few.code].copy()
    table.insert(0, (ALONE, 0), accuracy[few.function].to_numpy())
    measured = contests.measure(metrics.tau, table, few.accuracy, few.function)
    return contests.summary(measured).assign(architectures=len(few))


def draw(table: pd.DataFrame) -> Figure:
    """tau by method on the few architectures that were also trained alone, from `proxy`."""
    with figures.style():
        figure, axes = figures.subplots(figsize=(3.25, 2.6))
        for place, row in enumerate(table.itertuples()):
            shade = "#555555" if row.method == ALONE else figures.colour(row.method)
            axes.plot([place] * 2, [row.archs_low, row.archs_high], color=shade, lw=0.8)
            axes.plot(place, row.mean, "o", color=shade, ms=4)
        first = table.iloc[0]
        axes.axhspan(first.archs_low, first.archs_high, color=figures.BAND, lw=0, zorder=0)
        axes.set_xticks(range(len(table)), table.method, rotation=35, ha="right")
        axes.set(
            ylabel="Kendall's tau",
            title=f"on the same {first.architectures:,} architectures",
        )
    return figure


def caption(scale: Scale, table: pd.DataFrame) -> str:
    """The finding in words, for the figure."""
    first = table.iloc[0]
    best = table[table.method.isin(scale.methods)].sort_values("mean").iloc[-1]
    return (
        f"Scale {scale.name}. Networks trained alone for {scale.alone_epochs} epochs rank with tau "
        f"{first['mean']:.2f} [{first.archs_low:.2f}, {first.archs_high:.2f}], the best supernet "
        f"({best.method}) with {best['mean']:.2f} [{best.archs_low:.2f}, {best.archs_high:.2f}]. "
        "Bars: 95 % over architectures; grey band: that of training alone."
    )
