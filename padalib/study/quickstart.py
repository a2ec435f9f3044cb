"""Notebook 00: two supernets, SPOS's and one of the reader's own sampler, ranked side by side."""

from dataclasses import replace

import pandas as pd
from matplotlib.figure import Figure

from padalib.ranking import metrics
from padalib.ranking.scores import ScoreConfig
from padalib.samplers import Method
from padalib.spaces import Space
from padalib.study import claims, figures, wording
from padalib.study.claims import Claim, Interval
from padalib.study.ranking import LIVE_FLOPS
from padalib.study.scale import Scale

BASELINE = "SPOS"
FREE = LIVE_FLOPS  # what ranks without any training
MEASURES = {  # of `metrics.METRICS`, under the heads that the reader sees
    "tau": "tau",
    "p_at_10": "in the true best tenth",
    "regret_1": "lost by taking its favourite (points)",
}


def configs(scale: Scale, method: Method) -> list[ScoreConfig]:
    """Scores of two supernets, the baseline's and `method`'s, of the first seed.

    ValueError where `method` has a name that the notebook uses for another.
    """
    if method.name in (BASELINE, FREE):
        raise ValueError(
            f"your sampler is beside {BASELINE} and {FREE} here, so it needs a name of its own; "
            f"got {method.name!r}"
        )
    spos = scale.training(BASELINE, scale.seeds[0])
    own = replace(method, zero_grad=method.zero_grad or spos.method.zero_grad)
    return [scale.scoring(spos), scale.scoring(replace(spos, method=own))]


def introduce(space: Space, reference: pd.DataFrame) -> str:
    """The space and the truth about it, in Markdown."""
    true, said = reference.accuracy, reference.iloc[0]
    return (
        f"**{space.name}**: {space.architectures:,} architectures, {len(space.classes()):,} "
        f"different functions. {len(true):,} are ranked here. Trained alone, their {said.split} "
        f"accuracy on {said.dataset} runs from {true.min():.1f} to {true.max():.1f} % "
        f"({said.source})."
    )


def beside(
    scores: pd.DataFrame, reference: pd.DataFrame, space: Space, method: str
) -> pd.DataFrame:
    """A row an architecture (by code): `true` accuracy, both supernets' accuracies, MFLOPs.

    ValueError where `scores` lack a supernet or an architecture.
    """
    wide = scores.pivot(index="code", columns="method", values="accuracy")
    if lack := {BASELINE, method} - set(wide):
        raise ValueError(
            f"there are no scores of {', '.join(sorted(lack))}, only of {', '.join(wide)}: set "
            "redraw = False, for a sampler of your own is in no published table"
        )
    true = reference.set_index("code").accuracy
    if missing := set(true.index) - set(wide.index):
        raise ValueError(f"{len(missing)} architectures have no score, such as {min(missing)}")
    rows = wide.loc[true.index, [BASELINE, method]]
    rows.insert(0, "true", true)
    rows[FREE] = [space.flops(space.parse(code)) / 1e6 for code in rows.index]
    return rows.rename_axis(columns=None)


def best(rows: pd.DataFrame, space: Space, method: str, top: int = 10) -> pd.DataFrame:
    """The `top` architectures by a supernet, beside the truth: what is chosen at each position.

    Equal scores share the better place, and stand in the order of their names: the truth has no
    say in who is shown. Places in the truth count all that are ranked.
    """
    places = rows[[method, "true"]].rank(ascending=False, method="min").astype(int)
    chosen = rows.sort_index().sort_values(method, ascending=False, kind="stable").index[:top]
    columns = {}
    for place, position in enumerate(space.positions):
        names = [label for label, _ in figures.operations(position.options).values()]
        options = [names[space.parse(code)[place]] for code in chosen]
        columns[position.name.replace("<-", "←")] = options
    table = pd.DataFrame(columns)
    table["accuracy, inherited (%)"] = rows.loc[chosen, method].round(1).to_numpy()
    table["alone (%)"] = rows.loc[chosen, "true"].round(1).to_numpy()
    table[f"true place of {len(rows):,}"] = places.loc[chosen, "true"].to_numpy()
    return table.set_index(pd.Index(places.loc[chosen, method], name=f"place by {method}"))


def card(rows: pd.DataFrame) -> pd.DataFrame:
    """How well each column ranks, with 95 % intervals over architectures; a row a column."""
    table = {}
    for name in rows.columns.drop("true"):
        vectors = rows[name].to_numpy(), rows.true.to_numpy()
        table[name] = {
            head: wording.interval(fn(*vectors), *metrics.bootstrap(fn, *vectors))
            for head, fn in ((head, metrics.METRICS[measure]) for measure, head in MEASURES.items())
        }
    return pd.DataFrame(table).T.rename(index={FREE: f"{FREE}, no training"})


def _gain(own, baseline, true) -> float:
    return metrics.tau(own, true) - metrics.tau(baseline, true)


def compare(rows: pd.DataFrame, method: str) -> Claim:
    """Does the sampler rank better than the baseline? One seed, so of these two supernets only."""
    vectors = [rows[column].to_numpy() for column in (method, BASELINE, "true")]
    gain, ends = _gain(*vectors), metrics.bootstrap(_gain, *vectors)
    taus = [metrics.tau(vector, vectors[-1]) for vector in vectors[:2]]
    return claims.of(
        "00.own",
        f"The supernet of “{method}” ranks better than that of {BASELINE}",
        gain,
        [Interval(*ends, "architectures", len(rows))],
        f"tau {taus[0]:.3f} against {taus[1]:.3f}: {gain:+.3f} [{ends[0]:+.3f}, {ends[1]:+.3f}] "
        f"over {len(rows):,} architectures. One seed each: other seeds may turn it",
        unit="tau",
        figure="00_quickstart",
    )


@figures.style()
def draw(rows: pd.DataFrame, reference: pd.DataFrame, space: Space) -> Figure:
    """What each column says of an architecture, against what it reaches when trained alone.

    Those that no signal passes are constant, points far from all others: counted, not drawn.
    """
    names = rows.columns.drop("true")
    figure, panels = figures.subplots(1, len(names), figsize=(6.75, 2.6), sharey=True)
    seen = rows[[any(space.live(space.parse(code))) for code in rows.index]]
    for axes, name in zip(panels, names, strict=True):
        figures.scatter(axes, seen[name], seen.true, figures.colour(name))
        free = name == FREE
        axes.set_title(f"{name}: tau {metrics.tau(rows[name], rows.true):.2f}")
        axes.set_xlabel(
            "FLOPs (millions), no training" if free else "accuracy, inherited weights (%)"
        )
    panels[0].set_ylabel(f"{reference.split.iloc[0]} accuracy, trained alone (%)")
    return figure


def caption(claim: Claim, reference: pd.DataFrame, method: Method) -> str:
    """What the picture shows, with the docstring of the method's sampler; no verdict.

    For it is of one seed each.
    """
    doc = (method.paths.cls.__doc__ or "").partition("\n")[0].strip()
    asked = f"Does the supernet of “{method.name}” rank better than that of {BASELINE}?"
    about = f" “{method.name}” {doc[0].lower()}{doc[1:]}" if doc else ""
    return (
        f"{asked} {claim.evidence}. The interval is over architectures only.{about} A perfect "
        f"predictor would reach tau {reference.perfect.iloc[0]:.2f}, "
        "for the truth has noise of its own."
    )
