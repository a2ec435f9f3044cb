"""Which method ranks best, and is it the gradient norm that does it?

Every ranked architecture is scored with inherited weights and held against its accuracy trained
alone. Beside PA and PA&DA stand their schedules without gradients, and counts that need no
training.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from padalib.ranking import metrics
from padalib.ranking.scores import ScoreConfig
from padalib.spaces import Space
from padalib.study import contests, outcomes
from padalib.study.claims import Claim
from padalib.study.scale import Scale

PARAMETERS, LIVE_FLOPS = "parameters", "FLOPs of live edges"
FREE = (PARAMETERS, LIVE_FLOPS)  # rankings without any training
PAIRS = (
    ("PA&DA", "SPOS"),
    ("PA", "SPOS"),
    ("DA", "SPOS"),
    ("FairNAS", "SPOS"),
    ("FairNAS", "FairNAS per epoch"),
    ("balanced", "SPOS"),
    ("curriculum", "SPOS"),
    ("size-curriculum", "SPOS"),
    ("PA", "curriculum"),
    ("PA", "size-curriculum"),
    ("PA&DA", "curriculum"),
    ("PA&DA", "size-curriculum"),
    ("PA&DA weighted", "PA&DA"),
)


@dataclass(frozen=True)
class Judged:
    """A measure that claims are made of."""

    bound: float  # differences within it count as none; chosen before any was seen
    wanted: int = 1  # -1: less is better
    unit: str = "tau"


JUDGED = {
    "tau": Judged(0.03),
    "p_at_10": Judged(0.05, unit="share of the top tenth"),
    # What two seeds of one network differ by on CIFAR-10, in points of accuracy.
    "regret_1": Judged(0.2, -1, "points"),
    "regret_10": Judged(0.2, -1, "points"),
}
SAID = {
    "tau": "Tau",
    "p_at_10": "Precision in the top tenth",
    "regret_1": "Regret of the first choice, in points,",
    "regret_10": "Regret of the first ten, in points,",
}
CLAIMS = (  # key, what would be true, measure, and whose difference; None: the best of `FREE`
    ("ranks", "It ranks more consistently than uniform sampling", "tau", "PA&DA", "SPOS"),
    ("finds", "It finds better architectures: its top tenth", "p_at_10", "PA&DA", "SPOS"),
    (
        "regret",
        "It finds better architectures: the best of its first ten",
        "regret_10",
        "PA&DA",
        "SPOS",
    ),
    (
        "control",
        "*Control:* it ranks better than PA's schedule without gradients",
        *("tau", "PA&DA", "curriculum"),
    ),
    (
        "control_path",
        "*Control:* PA alone ranks better than its schedule without gradients",
        *("tau", "PA", "curriculum"),
    ),
    ("path", "PA alone ranks better than uniform sampling", "tau", "PA", "SPOS"),
    (
        "control_size",
        "*Control:* PA alone ranks better than a schedule by the size of operations",
        *("tau", "PA", "size-curriculum"),
    ),
    ("free_tau", "*Control:* it ranks better than no training at all", "tau", "PA&DA", None),
    ("free_finds", "*Control:* its top tenth beats no training at all", "p_at_10", "PA&DA", None),
    ("free_regret", "*Control:* its first ten beat no training at all", "regret_10", "PA&DA", None),
)


def configs(scale: Scale) -> list[ScoreConfig]:
    """The runs of this study."""
    return scorings(scale)


def scorings(scale: Scale, final: bool = True) -> list[ScoreConfig]:
    """Scores of every run at the end, or at the kept epochs and the end on fewer images."""
    if final:
        return [scale.scoring(config) for config in scale.trainings()]
    return [
        scale.scoring(config, epoch=epoch, images=scale.images or scale.rank_images)
        for config in scale.trainings()
        for epoch in (*scale.keep, scale.epochs)
    ]


def architectures(space: Space, reference: pd.DataFrame) -> pd.DataFrame:
    """The reference (`Workbook.reference`) with what the space says of each architecture.

    Columns more: function (the class it belongs to), alive (a signal passes), and the counts of
    `FREE`.
    """
    archs = [space.parse(code) for code in reference.code]
    known = reference.assign(
        function=contests.functions(space, reference.code).to_numpy(),
        alive=[any(space.live(arch)) for arch in archs],
    )
    known[PARAMETERS] = [float(space.params(arch)) for arch in archs]
    known[LIVE_FLOPS] = [float(space.flops(arch)) for arch in archs]
    return known


def described(scale: Scale, known: pd.DataFrame) -> str:
    """What is ranked, what it is held against, and how far a ranking can agree with it."""
    first = known.iloc[0]
    ends = f"{first.ceiling:.3f} [{first.ceiling_low:.3f}, {first.ceiling_high:.3f}]"
    return (
        f"{len(known):,} architectures, {known.function.nunique():,} of them distinct functions. "
        f"Supernets learn from '{scale.train_split}' and are scored on '{scale.rank_split}'. "
        f"Truth: {first.source}, {first.dataset} {first.split} accuracy. It agrees with a second "
        f"table like it by tau {ends} ({first.ceiling_basis}). A perfect predictor would reach "
        f"{first.perfect:.3f}."
    )


def predictions(scores: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """`contests.predictions` of all runs, and of the counts of `FREE` as runs of seed 0."""
    predicted = contests.predictions(scores, known.code)
    for name in FREE:
        predicted[name, 0] = known[name].to_numpy()
    return predicted


def analyse(
    scores: pd.DataFrame, known: pd.DataFrame, every: pd.DataFrame | None = None
) -> tuple[dict[str, pd.DataFrame], list[Claim]]:
    """Tables and claims, from the scores of all runs and `architectures`.

    Tables: ranking (a row a run and measure), ranking_methods (a row a method and measure),
    comparisons (a row a pair and judged measure; Holm's correction
    is for the pairs of one question and measure), shares (of a gain that a schedule explains).
    `every` is `limits.whole`, cited where it is there.
    """
    predicted, clusters = predictions(scores, known), known.function
    runs, methods, compared = [], [], []
    for name, fn in metrics.METRICS.items():
        draws = contests.DRAWS if name in JUDGED else contests.DRAWS // 4
        measured = contests.measure(fn, predicted, known.accuracy, clusters, draws)
        low, high = measured.resampled.quantile([0.025, 0.975]).to_numpy()
        rows = measured.values.rename_axis(["method", "seed"]).rename("value").reset_index()
        rows.insert(2, "metric", name)
        runs.append(rows.assign(low=low, high=high))
        methods.append(contests.summary(measured).assign(metric=name))
        if (judged := JUDGED.get(name)) is not None:
            free = _best(methods[-1], judged)
            for question, pairs in (
                ("methods", PAIRS),
                ("no training", [("PA&DA", free), ("PA", free)]),
            ):
                rows = contests.compare(measured, pairs, judged.bound, judged.wanted)
                rows.insert(0, "metric", name)
                rows.insert(1, "question", question)
                compared.append(rows)
    tables = {
        "ranking": pd.concat(runs),
        "ranking_methods": pd.concat(methods),
        "comparisons": pd.concat(compared),
    }
    tables["shares"] = shares(tables["ranking"])
    return tables, _claims(tables, every)


def _best(summary: pd.DataFrame, judged: Judged) -> str:
    """The better one of the rankings without training."""
    values = judged.wanted * summary.set_index("method")["mean"][list(FREE)]
    return str(values.idxmax())


def shares(ranking: pd.DataFrame) -> pd.DataFrame:
    """What share of a method's gain in tau over SPOS a schedule without gradients has too.

    The interval is Fieller's over seeds, without end where the gain itself is not told from zero.
    """
    taus = ranking[ranking.metric == "tau"].pivot(index="seed", columns="method", values="value")
    rows = []
    for method in ("PA", "PA&DA"):
        for control in ("curriculum", "size-curriculum"):
            if {"SPOS", method, control} <= set(taus):
                gains = taus[[control, method]].sub(taus.SPOS, axis=0).dropna()
                found = contests.fieller(gains[control], gains[method])
                rows.append([method, control, *found, len(gains)])
    return pd.DataFrame(rows, columns=["method", "control", "share", "low", "high", "seeds"])


def _claims(tables: dict[str, pd.DataFrame], every: pd.DataFrame | None) -> list[Claim]:
    """What `CLAIMS` asks, where both methods were trained."""
    rows = tables["comparisons"]
    means = tables["ranking_methods"].set_index(["metric", "method"])["mean"]
    free = rows[rows.b.isin(FREE)].groupby("metric").b.first()
    beside = {
        "ranks": _all(every),
        "regret": _other(rows, "regret_1", "PA&DA", "SPOS"),
        "control": _other(rows, "tau", "PA&DA", "size-curriculum"),
        "control_path": _explained(tables),
    }
    found = []
    for key, statement, metric, a, b in CLAIMS:
        other = b or free.get(metric)
        row = contests.row(rows[rows.metric == metric], a, other)
        if row is None:
            continue
        values = f"of {a} {means[metric, a]:.3f}, of {other} {means[metric, other]:.3f}"
        said = f"{SAID[metric]} {values}: {outcomes.told(row)}"
        look = {"wanted": JUDGED[metric].wanted, "unit": JUDGED[metric].unit}
        look["beside"] = beside.get(key, "") if b else _other(rows, metric, "PA", other)
        look["figure"] = "04_ranking"
        found.append(outcomes.claim(f"04.{key}", statement, row, said, **look))
    return found


def _other(rows: pd.DataFrame, metric: str, a: str, b: str) -> str:
    """Another comparison, told beside the one that is judged; empty where it is not there."""
    row = contests.row(rows[rows.metric == metric], a, b)
    if row is None:
        return ""
    return f"{SAID[metric]} of {a} − {b}: {outcomes.told(row)}, {row.verdict}"


def _all(every: pd.DataFrame | None) -> str:
    if every is None:
        return ""
    rows = every[(every.metric == "tau") & (every.protocol == "all architectures")]
    values = ", ".join(f"{row.method} {row.value:.3f}" for row in rows.itertuples())
    return f"All {rows.architectures.iloc[0]:,} architectures, one seed: {values}"


def _explained(tables: dict[str, pd.DataFrame]) -> str:
    """What share of PA's gain its schedule explains, and what rest is left possible."""
    shares, rows = tables["shares"], tables["comparisons"]
    found = shares[(shares.method == "PA") & (shares.control == "curriculum")]
    row = contests.row(rows[rows.metric == "tau"], "PA", "curriculum")
    if found.empty or row is None:
        return ""
    share = next(found.itertuples())
    most = np.nanmax([interval.high for interval in outcomes.intervals(row)])
    rest = f"a rest of up to {most:.3f} is not excluded"
    if not np.isfinite(share.low):
        return f"PA's gain over SPOS is not told from zero, so no share of it is given; {rest}"
    of = f"{100 * share.share:.0f} % [{100 * share.low:.0f}, {100 * share.high:.0f}]"
    return f"The schedule explains {of} of PA's gain over SPOS (over {share.seeds} seeds); {rest}"
