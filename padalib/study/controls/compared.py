"""Differences between methods, by seed and outcome: the numbers that `controls` judges."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from padalib.ranking.pairs import Estimate
from padalib.ranking.report import Ranked
from padalib.study import contests, outcomes
from padalib.study.controls.units import by_pairs, swapped
from padalib.study.scale import YOKED

COUNTED = ("SPOS", "PA", "PA&DA")  # held against what needs no training, too
BOUND = 0.03  # of tau, in which differences count as none
OUTCOMES = {"tau_loss": "tau, ranked by loss", "within_flops": "tau within equal FLOPs"}
OTHERS = {
    "tau": "tau, ranked by accuracy",
    "within_flops_loss": "tau within equal FLOPs, ranked by loss",
    "between_flops": "tau between unequal FLOPs",
    "with_flops": "tau of the rank averaged with the FLOPs' rank",
}


@dataclass(frozen=True)
class Contrast:
    """One primary contrast, and what would be true if the first were better."""

    a: str
    b: str
    statement: str


NORM = Contrast("PA", "SPOS", "Where PA has no schedule (only norms and sizes), it beats SPOS")
SECONDARY = (
    ("PA", "SPOS"),
    ("yoked PA", "SPOS"),
    ("curriculum", "SPOS"),
    ("PA&DA", "SPOS"),
    ("yoked PA", "curriculum"),
    ("matched-curriculum", "curriculum"),
    ("PA", "matched-curriculum"),
    ("PA", "size-curriculum"),
    ("DA", "SPOS"),
    ("DA", "shuffled-data"),
    ("bootstrap", "SPOS"),
    ("sbs", "SPOS"),
    ("balanced", "SPOS"),
    ("FairNAS", "SPOS"),
)
ALSO = (  # asked after a look at all others, so they are a family of their own
    Contrast("PA&DA", "curriculum", "PA&DA ranks better than a fixed schedule without gradients"),
)

Measured = dict[str, dict[tuple[str, int], Estimate]]  # measure -> (method, seed) -> estimate


def measure(scores: pd.DataFrame, known: Ranked) -> Measured:
    """Every measure of every run, with the influence of each architecture."""
    found = outcomes.by_run(scores, known, ["method"])
    runs: Measured = {name: {} for name in (*OUTCOMES, *OTHERS)}
    for row in found.itertuples():
        name = row.outcome if row.by == "accuracy" else f"{row.outcome}_loss"
        if name in runs:
            runs[name][row.method, row.seed] = row.estimate
    return runs


def _seeds(measured: Measured) -> list[int]:
    return sorted({seed for runs in measured.values() for _, seed in runs})


def compare(
    measured: Measured,
    known: Ranked,
    asked: Sequence[tuple[str, str]],
    names: Sequence[str],
    order: Sequence[int] = (),
) -> pd.DataFrame:
    """A row for each measure and pair (a, b) of methods that are there: a - b, its intervals, p.

    Seeds that both have are paired. Yoked runs swap their schedules two by two, so there the two
    together are one unit, by the scale's seeds in their `order` (those that are there, if none are
    given). NaN where a run orders nothing: all its scores are equal.
    """
    rows, order = [], order or _seeds(measured)
    for name in names:
        runs = measured[name]
        for a, b in asked:
            seeds = [seed for method, seed in runs if method == a and (b, seed) in runs]
            if not seeds:
                continue
            gaps = {s: outcomes.combine((1, -1), (runs[a, s], runs[b, s])) for s in seeds}
            unit, each = "seeds", list(gaps.values())
            if YOKED in (a, b):
                unit, each = "swapped pairs of seeds", by_pairs(gaps, order)
            rows.append({"measure": name, "a": a, "b": b} | outcomes.mean(each, known, unit))
    return pd.DataFrame(rows)


def differences(
    measured: Mapping[str, Measured],
    known: Mapping[str, Ranked],
    contrasts: Sequence[Contrast],
    seeds: Sequence[int] = (),
) -> dict[str, pd.DataFrame]:
    """The tables of `analyse` that compare two: contrasts, secondary, also, counts."""
    primary, secondary, also, counts = [], [], [], []
    for name, own in measured.items():
        main = name == next(iter(measured))
        asked = [(c.a, c.b) for c in (contrasts if main else (NORM,))]
        order = seeds if main else ()
        first = compare(own, known[name], asked, list(OUTCOMES), order)
        both = [*OUTCOMES, *OTHERS]
        rest = compare(own, known[name], [*asked, *SECONDARY], both, order)
        known_rows = set(zip(first.measure, first.a, first.b, strict=True))
        new = [key not in known_rows for key in zip(rest.measure, rest.a, rest.b, strict=True)]
        rest = rest[new].drop_duplicates(["measure", "a", "b"])
        later = compare(own, known[name], [(c.a, c.b) for c in ALSO], both, order)
        for rows, table in ((primary, first), (secondary, rest), (also, later)):
            rows.append(table.assign(space=name, fifths=not known[name].equal))
        for by in ("tau_loss", "tau"):
            named = {"space": name, "measure": by}
            counts += outcomes.against_free(own[by], known[name], COUNTED, **named)
    return {
        "contrasts": judged(primary),
        "secondary": judged(secondary),
        "also": judged(also),
        "counts": outcomes.judged_apart(counts, BOUND, 1, by="space"),
    }


def judged(rows: Sequence[pd.DataFrame]) -> pd.DataFrame:
    return outcomes.judged(pd.concat(rows).to_dict("records"), BOUND, wanted=1)


def shares(measured: Measured, order: Sequence[int]) -> pd.DataFrame:
    """What share of PA's gain over SPOS each control has too; Fieller's interval over seeds."""
    rows, order = [], order or _seeds(measured)
    for name in (*OUTCOMES, *OTHERS):
        runs = {key: estimate.value for key, estimate in measured[name].items()}
        for control in ("yoked PA", "curriculum", "matched-curriculum"):
            wanted = ("SPOS", "PA", control)
            seeds = [s for method, s in runs if method == "PA"]
            seeds = [s for s in seeds if all((method, s) in runs for method in wanted)]
            units = swapped(seeds, order) if control == YOKED else [[s] for s in seeds]
            if len(units) > 1:
                base, whole, part = (
                    np.array([np.mean([runs[m, seed] for seed in own]) for own in units])
                    for m in wanted
                )
                share = contests.fieller(part - base, whole - base)
                rows.append([name, control, *share, len(seeds), len(units)])
    columns = ["measure", "control", "share", "low", "high", "seeds", "units"]
    return pd.DataFrame(rows, columns=columns)
