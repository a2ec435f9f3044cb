"""The claims across spaces, from the tables of `across` alone."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from padalib.study import across, claims, controls, effects, outcomes, wording
from padalib.study.across import ASKED, LEAST
from padalib.study.claims import Claim, Interval
from padalib.study.controls import BOUND, OUTCOMES
from padalib.study.variance import FIXED

STEPS = {"raw": "the steps it takes", "importance": "its steps, importance-weighted"}


def conclude(tables: Mapping[str, pd.DataFrame]) -> list[Claim]:
    """All claims: over spaces first, then of each space that is not another scale's."""
    return [
        *over(tables["over"], tables["contrasts"]),
        *lowered(tables["variance"]),
        *beyond_counts(tables["free"]),
        *each(tables["contrasts"]),
    ]


def over(pooled: pd.DataFrame, contrasts: pd.DataFrame) -> Iterator[Claim]:
    """Each primary question over its spaces: their mean, or, where they are two, both of them."""
    tests = int(pooled.p.notna().sum())
    for row in pooled.itertuples():
        asked, outcome = ASKED[row.question], OUTCOMES[row.measure]
        own = contrasts[(contrasts.question == row.question) & (contrasts.measure == row.measure)]
        key = f"09.over.{row.question}.{row.measure}"
        look: dict[str, Any] = {"bound": BOUND, "unit": "tau", "figure": across.FIGURE}
        said = f"{asked.a} − {asked.b}, {outcome}: {row.told}"
        if not math.isnan(row.p):
            interval = Interval(row.low, row.high, "spaces", int(row.groups))
            said += (
                f". Mean over spaces {claims.said(row.mean, [interval])}; they differ by "
                f"{row.between:.3f} (sd), p {row.p_same:.2g} if they did not"
            )
            statement = f"{asked.statement}, in the mean of spaces: {outcome}"
            look |= {"p": row.holm, "tests": tests}
            yield claims.of(key, statement, row.mean, [interval], said, **look)
        elif len(own) > 1:
            rows = list(own.itertuples())
            intervals = [replace(i, of=r.difference) for r in rows for i in outcomes.intervals(r)]
            said += ". " + "; ".join(f"{r.space} {outcomes.told(r)}" for r in rows)
            said += f". No mean over fewer than {LEAST} spaces"
            statement = f"{asked.statement}, in each of {len(own)} spaces: {outcome}"
            look |= {"p": own.holm.max(), "tests": rows[0].tests}
            look |= {"verdict": claims.agreed(list(own.verdict))}
            yield claims.of(key, statement, own.difference.mean(), intervals, said, **look)


def each(contrasts: pd.DataFrame) -> Iterator[Claim]:
    """Each question in each space of ours, primary ones first; another scale has its own claims."""
    own = contrasts[contrasts.scale == ""].sort_values("primary", ascending=False, kind="stable")
    for row in own.itertuples():
        asked, outcome = ASKED[row.question], controls.outcome(row.measure, row.fifths)
        beside = "" if row.primary else ", beside the primary questions"
        yield outcomes.claim(
            f"09.{row.question}.{row.measure}.{row.space}",
            f"{asked.statement}{beside}: {outcome} (`{row.space}`)",
            row,
            f"{row.a} − {row.b}, {outcome}: {outcomes.told(row)}",
            wanted=1,
            unit="tau",
            figure=across.FIGURE,
        )


def beyond_counts(free: pd.DataFrame) -> Iterator[Claim]:
    """PA&DA, or PA where it was not trained, beside the count that ranks best in that space."""
    for space, own in free.groupby("space", sort=False):
        method = "PA&DA" if (own.a == "PA&DA").any() else "PA"
        own = own[own.a == method].sort_values("count_tau", kind="stable")
        for row in own.tail(1).itertuples():
            yield outcomes.claim(
                f"09.free.{space}",
                f"{method} ranks better than every count that needs no training (`{space}`)",
                row,
                f"tau by loss − tau of {row.b}, {row.count_tau:.3f}: {outcomes.told(row)}",
                wanted=1,
                unit="tau",
                figure=across.FIGURE,
            )


def lowered(rows: pd.DataFrame) -> Iterator[Claim]:
    """Whether PA's steps vary less than SPOS's where it has no schedule, all weights together."""
    own = rows[rows.part == "all"]
    for row in own[own.change.notna()].itertuples():
        fixed = rows[
            (rows.space == row.space) & (rows.weights == row.weights) & (rows.part == "fixed")
        ]
        beside = "".join(
            f"; {wording.interval(f.change, f.low, f.high)} on {FIXED}" for f in fixed.itertuples()
        )
        yield claims.of(
            f"09.variance.{row.weights}.{row.space}",
            f"With no schedule in the way, PA lowers the variance of {STEPS[row.weights]} "
            f"(`{row.space}`)",
            row.change,
            [Interval(row.low, row.high, "seeds", int(row.seeds))],
            f"{wording.interval(row.change, row.low, row.high)} times SPOS's at the end, each "
            f"method on its own network, all weights{beside}; over {row.seeds} seeds",
            wanted=-1,
            null=1.0,
            bound=effects.RATIO_BOUND,
            p=row.holm,
            tests=len(rows),
            unit="times",
            figure=across.VARIANCE_FIGURE,
        )
