"""Does what a method gains last? Ranking and variance against the length of training.

Each length is a training of its own, from nothing to a learning rate of zero; PA and its schedules
stretch theirs to it. The same architectures are ranked after each, on all held-out images.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from padalib.engine.runs import Config
from padalib.probes.sampled import VarianceConfig
from padalib.ranking.report import Ranked
from padalib.ranking.scores import ScoreConfig
from padalib.study import claims, effects, limits, outcomes, ranking, variance
from padalib.study.outcomes import JUDGED, NAMES
from padalib.study.scale import Scale
from padalib.study.workbook import Workbook
from padalib.train import TrainConfig

BASE, GAINER, CONTROL = "SPOS", "PA", "curriculum"
PAIRS = ((GAINER, BASE), (CONTROL, BASE), ("sbs", BASE), ("PA&DA", BASE), (GAINER, CONTROL))
KEYS = ("method", "epoch")  # of a cell: the epoch is the last, so the length
FIGURE = "07_budget"

# --- runs ---


def trainings(scale: Scale) -> list[TrainConfig]:
    """Every method and seed for every length; the shortest first, so that all is seen early."""
    return [
        replace(scale.training(method, seed), epochs=length, keep=())
        for length in scale.lengths or (scale.epochs,)
        for seed in scale.seeds
        for method in scale.methods
    ]


def scorings(scale: Scale) -> list[ScoreConfig]:
    """Scores of each at its end."""
    return [scale.scoring(config) for config in trainings(scale)]


def probes(scale: Scale) -> list[VarianceConfig]:
    """The variance of each at its end."""
    return [
        VarianceConfig(config, None, scale.final_paths, scale.batches)
        for config in trainings(scale)
    ]


def alones(scale: Scale) -> list[ScoreConfig]:
    """Some of the architectures trained alone, for each of the lengths that the scale names."""
    lengths = dict.fromkeys((scale.alone_epochs, scale.alone_longer or scale.alone_epochs))
    return [
        scoring
        for length in lengths
        for scoring in limits.alones(replace(scale, alone_epochs=length))
    ]


def configs(scale: Scale) -> list[Config]:
    """All runs of this study."""
    return [*scorings(scale), *probes(scale), *alones(scale)]


# --- analysis ---


class Budget(NamedTuple):
    """Tables and claims of the study."""

    runs: pd.DataFrame  # a row for each run and outcome
    cards: pd.DataFrame  # means over seeds, agreement and limit, of each method and length
    free: pd.DataFrame  # the same outcomes of FLOPs and parameters
    differences: pd.DataFrame  # a row for each pair, length and judged outcome
    slopes: pd.DataFrame  # for each doubling of the length: of a method, or of a pair's difference
    steps: pd.DataFrame  # variance and signal-to-noise beside SPOS's, at each length
    claims: list[claims.Claim]


def analyse(scores: pd.DataFrame, probed: pd.DataFrame, ranked: Ranked) -> Budget:
    """From the rows of scores and probes of all runs; `ranked` is what they are held against."""
    found = outcomes.by_run(scores, ranked, KEYS)
    apart, slopes = differences(found, ranked), slopes_of(found, ranked)
    own = probed[(probed.weights == "raw") & (probed.part == "all")]
    steps = variance.compare(own) if own.method.nunique() > 1 else pd.DataFrame()
    return Budget(
        found.drop(columns="estimate"),
        outcomes.cards(found, scores, ranked, KEYS),
        outcomes.free(ranked),
        apart,
        slopes,
        steps,
        [*_closes(slopes, apart), *_schedule(apart)],
    )


def differences(found: pd.DataFrame, ranked: Ranked) -> pd.DataFrame:
    """a - b at every length; Holm's correction is for all lengths and judged outcomes of a pair."""
    tables = []
    for a, b in PAIRS:
        rows = [
            {"a": a, "b": b, "outcome": outcome, "epoch": epoch} | outcomes.mean(gaps, ranked)
            for outcome in JUDGED
            for epoch, gaps in _gaps(found, a, b, outcome).items()
        ]
        tables.append(outcomes.judged(rows, effects.TAU_BOUND, wanted=1))
    return pd.concat(tables, ignore_index=True)


def slopes_of(found: pd.DataFrame, ranked: Ranked) -> pd.DataFrame:
    """Change for each doubling of the length: of SPOS itself, and of each pair's difference.

    Least squares against log2 of the length within each seed. A family is a pair with its judged
    outcomes.
    """
    tables = []
    for a, b in ((BASE, ""), *PAIRS):
        rows = []
        for outcome in JUDGED:
            gaps = _gaps(found, a, b, outcome)
            if len(gaps) < 2:
                continue
            x = np.log2(list(gaps))
            slopes = [outcomes.slope(x, own) for own in zip(*gaps.values(), strict=True)]
            row = {"a": a, "b": b, "outcome": outcome, "shortest": min(gaps), "longest": max(gaps)}
            rows.append(row | outcomes.mean(slopes, ranked))
        wanted = -1 if b == BASE else 1  # a gain over it that shrinks
        tables.append(outcomes.judged(rows, outcomes.SLOPE_BOUND, wanted))
    return pd.concat(tables, ignore_index=True)  # empty where there is one length


def _gaps(found: pd.DataFrame, a: str, b: str, outcome: str) -> dict[int, list]:
    """By length: the estimates of a - b (b '': of a), a list over the seeds that both have."""
    own = found[(found.outcome == outcome) & (found.by == JUDGED[outcome]) & found.value.notna()]
    wide = {
        name: rows.set_index(["epoch", "seed"]).estimate for name, rows in own.groupby("method")
    }
    if a not in wide or (b and b not in wide):
        return {}
    keys = [key for key in sorted(wide[a].index) if not b or key in wide[b].index]
    gaps: dict[int, list] = {}
    for epoch, seed in keys:
        sides = [wide[name][epoch, seed] for name in (a, b) if name]
        gaps.setdefault(epoch, []).append(outcomes.combine((1, -1)[: len(sides)], sides))
    return gaps


def proxy(alone: pd.DataFrame, scores: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """tau of networks trained alone, and of supernets and counts on the same few architectures.

    `limits.proxy` for each length of training alone; columns more: epoch (of the training).
    """
    name = scores.method + ", " + scores.epoch.astype(str)
    predicted = ranking.predictions(scores.assign(method=name), known)
    tables = [
        limits.proxy(own, predicted, known).assign(alone=epoch)
        for epoch, own in alone.groupby("epoch")
    ]
    table = pd.concat(tables, ignore_index=True)
    table = table[(table.method == limits.ALONE) | (table.alone == table.alone.min())]
    told = table.method.str.extract(r"^(.*), (\d+)$")
    table["epoch"] = told[1].astype(float).fillna(table.alone.where(table.method == limits.ALONE))
    return table.assign(method=told[0].fillna(table.method)).drop(columns="alone")


# --- claims ---


def _along(rows: pd.DataFrame) -> str:
    """A difference at every length: 5: +0.123 [+0.1, +0.2]."""
    said = (
        f"{row.epoch}: {row.difference:+.3f} [{row.seeds_low:+.3f}, {row.seeds_high:+.3f}]"
        for row in rows.itertuples()
    )
    return ", ".join(said)


def _of(rows: pd.DataFrame, a: str, b: str, outcome: str) -> pd.DataFrame:
    if rows.empty:
        return rows
    return rows[(rows.a == a) & (rows.b == b) & (rows.outcome == outcome)]


def _closes(slopes: pd.DataFrame, apart: pd.DataFrame) -> Iterator[claims.Claim]:
    """Whether PA's gain over SPOS shrinks, and whether SPOS itself gets better, with training."""
    for a, b, key, statement, wanted in (
        (GAINER, BASE, "closes", "PA's gain over uniform sampling shrinks as training grows", -1),
        (BASE, "", "spos", "Longer training alone makes uniform sampling rank better", 1),
    ):
        for outcome in JUDGED:
            own, levels = _of(slopes, a, b, outcome), _of(apart, a, b, outcome)
            for row in own.itertuples():
                said = (
                    f"Change of {NAMES[outcome]}, ranked by {JUDGED[outcome]}, for each doubling "
                    f"of the training, {row.shortest} to {row.longest} epochs: {outcomes.told(row)}"
                )
                if len(levels):
                    said += f"; the gain over seeds by epochs {_along(levels)}"
                look = {"wanted": wanted, "unit": "tau a doubling", "figure": FIGURE}
                name = f"{statement} ({NAMES[outcome]})"
                yield outcomes.claim(f"07.{key}_{outcome}", name, row, said, **look)


def _schedule(apart: pd.DataFrame) -> Iterator[claims.Claim]:
    """PA beside its schedule, judged at the length where it is clearest."""
    for outcome in JUDGED:
        own = _of(apart, GAINER, CONTROL, outcome)
        if own.empty:
            continue
        better = own[own.difference > 0] if (own.difference > 0).any() else own
        row = next(better.sort_values(["holm", "p", "difference"]).itertuples())
        inside = own.verdict.eq(claims.EQUIVALENT).all()
        row = row._replace(bound=row.bound if inside else math.nan, visible=own.visible.max())
        said = (
            f"{NAMES[outcome]}, ranked by {JUDGED[outcome]}, PA − curriculum by epochs: "
            f"{_along(own)} (over {row.seeds} seeds); clearest at {row.epoch} epochs, "
            f"{outcomes.told(row)}"
        )
        look = {"wanted": 1, "unit": "tau", "figure": FIGURE}
        statement = (
            "*Control:* at some length of training PA ranks better than its schedule without "
            f"gradients ({NAMES[outcome]})"
        )
        yield outcomes.claim(f"07.schedule_{outcome}", statement, row, said, **look)


def described(found: Budget) -> str:
    """Agreement between seeds and the limit of many seeds, shortest and longest, in words."""
    rows = found.cards[(found.cards.by == "loss")].set_index(["measure", "method", "epoch"]).value
    said = []
    for method in found.cards.method.unique():
        epochs = sorted(found.cards[found.cards.method == method].epoch.unique())
        ends = [
            ", ".join(
                f"{name} {rows.get((measure, method, epoch), math.nan):.2f}"
                for measure, name in (("tau", "tau"), ("between_seeds", "seeds agree"),
                                      ("limit", "limit"))
            )
            for epoch in dict.fromkeys((epochs[0], epochs[-1]))
        ]  # fmt: skip
        lengths = " and ".join(f"{epoch}" for epoch in dict.fromkeys((epochs[0], epochs[-1])))
        said.append(f"- {method}, {lengths} epochs: {'; '.join(ends)}.")
    return "\n".join(said)


def larger(book: Workbook) -> pd.DataFrame | None:
    """The cards of the scale that is shown beside, if they are there; None otherwise."""
    return book.of_other(book.scale.larger, "budget_cards", "budget_larger")
