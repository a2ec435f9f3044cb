"""Does what a method gains last? Ranking and variance against the length of training.

Each length is a training of its own, not a state of a longer one: the cosine of the learning rate,
and the schedules of PA and `curriculum`, are stretched to it. So short trainings end less annealed
(the rate is one for an epoch: 9.5 % of the first in the last of 5, 0.15 % in the last of 40) and
less far along the schedule. The same architectures are ranked after each, on all held-out images.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from padalib.engine.runs import Config
from padalib.probes.sampled import VarianceConfig
from padalib.ranking.pairs import Estimate
from padalib.ranking.report import Ranked
from padalib.ranking.scores import ScoreConfig
from padalib.study import effects, limits, outcomes, ranking, variance
from padalib.study.outcomes import JUDGED
from padalib.study.scale import Scale
from padalib.study.workbook import Workbook
from padalib.train import TrainConfig

BASE, GAINER, CONTROL = "SPOS", "PA", "curriculum"
PAIRS = ((GAINER, BASE), (CONTROL, BASE), ("sbs", BASE), ("PA&DA", BASE), (GAINER, CONTROL))
KEYS = ("method", "epoch")  # of a cell: the epoch is the last, so the length
SCORED = JUDGED | {"with_flops": "loss"}  # and what is shown beside them, by which score
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
    """The tables of the study."""

    runs: pd.DataFrame  # a row for each run and outcome
    cards: pd.DataFrame  # means over seeds, agreement and limit, of each method and length
    free: pd.DataFrame  # the same outcomes of FLOPs and parameters
    differences: pd.DataFrame  # a row for each pair, length and outcome
    pooled: pd.DataFrame  # the mean of a pair's differences over the lengths that decide
    slopes: pd.DataFrame  # for each doubling of the length: of a method, or of a pair's difference
    doublings: pd.DataFrame  # how PA's gain changes from a length to the next
    unequal: pd.DataFrame  # PA less SPOS that trains longer
    steps: pd.DataFrame  # variance and signal-to-noise beside SPOS's, at each length


class Cells(NamedTuple):
    """The estimates of one outcome: (method, length) -> seed -> estimate."""

    outcome: str
    of: dict[tuple[str, int], dict[int, Estimate]]
    ranked: Ranked

    def combine(self, weights: Mapping[tuple[str, int], float]) -> dict[int, Estimate]:
        """By seed that all of these cells have: the weighted sum."""
        own = [self.of.get(cell, {}) for cell in weights]
        seeds = [seed for seed in own[0] if all(seed in each for each in own)]
        numbers = list(weights.values())
        return {seed: outcomes.combine(numbers, [each[seed] for each in own]) for seed in seeds}

    def row(self, weights: Mapping[tuple[str, int], float], **named) -> list[dict]:
        """One row of that sum's mean over seeds, `outcomes.doubted`; none where no seed has all."""
        found = list(self.combine(weights).values())
        named = {"outcome": self.outcome, **named}
        return [named | outcomes.mean(found, self.ranked)] if found else []

    def lengths(self, *methods: str) -> list[int]:
        """Those that all these methods have, the shortest first."""
        own = [{length for method, length in self.of if method == name} for name in methods]
        return sorted(set.intersection(*own))


def analyse(
    scores: pd.DataFrame, probed: pd.DataFrame, ranked: Ranked, known: int | None = None
) -> Budget:
    """From the rows of scores and probes of all runs; `ranked` is what they are held against.

    `known`: a length whose results had been seen before this was planned. It is shown, and does not
    decide whether PA is told from its schedule.
    """
    found = outcomes.by_run(scores, ranked, KEYS)
    cells = [_cells(found, outcome, ranked) for outcome in SCORED]
    own = probed[(probed.weights == "raw") & probed.part.isin(("all", "fixed"))]
    return Budget(
        found.drop(columns="estimate"),
        outcomes.cards(found, scores, ranked, KEYS),
        outcomes.free(ranked),
        differences(cells),
        pooled(cells, known),
        slopes_of(cells),
        doublings(cells),
        unequal(cells),
        variance.compare(own) if own.method.nunique() > 1 else pd.DataFrame(),
    )


def _cells(found: pd.DataFrame, outcome: str, ranked: Ranked) -> Cells:
    own = found[(found.outcome == outcome) & (found.by == SCORED[outcome]) & found.value.notna()]
    groups = own.groupby(list(KEYS), sort=True)
    return Cells(
        outcome, {k: dict(zip(g.seed, g.estimate, strict=True)) for k, g in groups}, ranked
    )


def _judged(rows: list[dict], bound: float, wanted: int) -> pd.DataFrame:
    """The judged outcomes are one family; what is shown beside them is another."""
    parts = [[row for row in rows if (row["outcome"] in JUDGED) == own] for own in (True, False)]
    tables = [outcomes.judged(own, bound, wanted) for own in parts if own]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _together(tables: list[pd.DataFrame]) -> pd.DataFrame:
    full = [table for table in tables if len(table)]
    return pd.concat(full, ignore_index=True) if full else pd.DataFrame()


def differences(cells: Sequence[Cells]) -> pd.DataFrame:
    """a - b at every length; Holm's correction is for all lengths and judged outcomes of a pair."""
    tables = []
    for a, b in PAIRS:
        rows = []
        for own in cells:
            for n in own.lengths(a, b):
                rows += own.row({(a, n): 1, (b, n): -1}, a=a, b=b, epoch=n)
        tables.append(_judged(rows, effects.TAU_BOUND, wanted=1))
    return _together(tables)


def pooled(cells: Sequence[Cells], known: int | None = None) -> pd.DataFrame:
    """The mean over lengths of a - b: all but the `known` one, which is there where it is alone.

    A family is a pair with its judged outcomes. `lengths` says which: '5, 10, 40'.
    """
    tables = []
    for a, b in PAIRS:
        rows = []
        for own in cells:
            every = own.lengths(a, b)
            some = [n for n in every if n != known] or every
            weights = {(m, n): sign / len(some) for n in some for m, sign in ((a, 1), (b, -1))}
            if some:
                rows += own.row(weights, a=a, b=b, lengths=", ".join(map(str, some)))
        tables.append(_judged(rows, effects.TAU_BOUND, wanted=1))
    return _together(tables)


def slopes_of(cells: Sequence[Cells]) -> pd.DataFrame:
    """Change for each doubling of the length: of methods themselves, and of pairs' differences.

    Least squares against log2 of the length within each seed. A family is a pair, or a method (b
    ''), with its judged outcomes. And the same without the shortest length, a family of its own.
    Asked is whether a gain over SPOS shrinks, and whether all else grows.
    """
    tables = []
    for a, b in (*((own, "") for own in (BASE, GAINER, CONTROL)), *PAIRS):
        for left_out in (0, 1):
            rows = [row for own in cells for row in _slope(own, a, b, left_out)]
            tables.append(_judged(rows, outcomes.SLOPE_BOUND, -1 if b == BASE else 1))
    return _together(tables)


def _slope(cells: Cells, a: str, b: str, left_out: int) -> list[dict]:
    lengths = cells.lengths(a, *([b] if b else []))[left_out:]
    if len(lengths) < 2:
        return []
    gaps = [cells.combine({(a, n): 1} | ({(b, n): -1} if b else {})) for n in lengths]
    seeds = [seed for seed in gaps[0] if all(seed in each for each in gaps)]
    x = np.log2(lengths)
    slopes = [outcomes.slope(x, [each[seed] for each in gaps]) for seed in seeds]
    named = {"outcome": cells.outcome, "a": a, "b": b, "asked": "shrinks" if b == BASE else "grows"}
    named |= {"shortest": lengths[0], "longest": lengths[-1]}
    return [named | outcomes.mean(slopes, cells.ranked)] if seeds else []


def doublings(cells: Sequence[Cells]) -> pd.DataFrame:
    """PA's gain over SPOS at each length, less that at the one before."""
    rows = []
    for own in cells:
        lengths = own.lengths(GAINER, BASE)
        for old, new in itertools.pairwise(lengths):
            weights = {(GAINER, new): 1, (BASE, new): -1, (GAINER, old): -1, (BASE, old): 1}
            rows += own.row(weights, a=GAINER, b=BASE, before=old, epoch=new)
    return _judged(rows, effects.TAU_BOUND, wanted=-1)


def unequal(cells: Sequence[Cells]) -> pd.DataFrame:
    """PA less SPOS trained longer: `epoch` beside `b_epoch`, whose images are `times` as many.

    PA's paths cost more, so at equal images SPOS is behind in FLOPs; trained twice as long it is
    ahead. Judged are two kinds, in one family: the shortest PA beside the longest SPOS (`kind`
    'ends'), and the mean over lengths of PA beside SPOS trained twice as long ('twice').
    """
    judged, rest = [], []
    for own in cells:
        lengths = own.lengths(GAINER, BASE)
        for one, other in itertools.combinations(lengths, 2):
            weights = {(GAINER, one): 1, (BASE, other): -1}
            named = {"epoch": one, "b_epoch": other, "times": other / one, "kind": "pair"}
            rest += own.row(weights, **named)
        if len(lengths) > 1:
            one, other = lengths[0], lengths[-1]
            named = {"epoch": one, "b_epoch": other, "times": other / one, "kind": "ends"}
            judged += own.row({(GAINER, one): 1, (BASE, other): -1}, **named)
        twice = [n for n in lengths if 2 * n in lengths]
        weights = {
            cell: sign / len(twice)
            for n in twice
            for cell, sign in (((GAINER, n), 1), ((BASE, 2 * n), -1))
        }
        if twice:
            judged += own.row(weights, times=2.0, kind="twice")
    tables = [_judged(rows, effects.TAU_BOUND, wanted=1) for rows in (judged, rest)]
    return _together(tables)


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


def larger(book: Workbook) -> pd.DataFrame | None:
    """The cards of the scale that is shown beside, if they are there; None otherwise."""
    return book.of_other(book.scale.larger, "budget_cards", "budget_larger")
