"""The claims about rivals, from the tables of `rivals` alone."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from padalib.study import claims, controls, outcomes, relation, rivals
from padalib.study.claims import OPPOSITE, Claim, Interval
from padalib.study.controls import BOUND, OUTCOMES
from padalib.study.rivals import why
from padalib.study.scales.rivals import CONTROLS, OURS, PUBLISHED

SETS = {  # of rivals, and what would be true if PA&DA were better than each
    "surpasses": (PUBLISHED, f"{OURS} surpasses other improved approaches"),
    "controls": (CONTROLS, f"{OURS} surpasses every schedule that looks at no gradient"),
}
# What may explain tau: which sign would help, and the statement.
EXPLAINED = {
    why.CONVS: (1, "Runs that train options with weights more rank better"),
    "flops": (1, "Runs whose paths cost more FLOPs rank better"),
    "loss": (-1, "Runs with a lower held-out loss rank better"),
    "agreement": (1, "Runs that agree more with the method's other seeds rank better"),
}


def conclude(tables: Mapping[str, pd.DataFrame], main: str) -> list[Claim]:
    """All claims; `main` is the space that has all rivals."""
    return [
        *together(tables["contrasts"], main),
        *comparable(tables["comparable"]),
        *explained(tables["explained"]),
        *each(tables["contrasts"], main),
        *parts(tables["made_of"], main),
    ]


def together(contrasts: pd.DataFrame, main: str) -> Iterator[Claim]:
    """PA&DA beside all rivals at once, in each space: shown where it is better than every one.

    The effect is the smallest of the differences; see `_all_of`.
    """
    for space, found in contrasts.groupby("space", sort=False):
        for name, (rivals_of, statement) in SETS.items():
            for measure in OUTCOMES:
                own = found[found.b.isin(rivals_of) & (found.measure == measure)]
                own = own[own.difference.notna()]
                if len(own):
                    where = ("", "") if space == main else (f".{space}", f" (`{space}`)")
                    named = controls.outcome(measure, own.fifths.iloc[0])
                    key = f"12.{name}.{measure}{where[0]}"
                    yield _all_of(key, f"{statement}: {named}{where[1]}", own)


def _all_of(key: str, statement: str, own: pd.DataFrame) -> Claim:
    """Better than every one: an intersection-union test (Berger, Technometrics 1982).

    It needs each comparison at its own p value and no correction: all must hold. One rival that is
    surely better refutes it, after the correction of its own row, for any may be that one.
    """
    own = own.sort_values("difference", kind="stable")
    rows, p = list(own.itertuples()), None
    alone = [claims.judge(outcomes.intervals(row), bound=BOUND, p=row.p) for row in rows]
    verdict = alone[0] if len(set(alone)) == 1 else claims.NOT_SHOWN
    surely = [k for k, row in enumerate(rows) if row.verdict == OPPOSITE]
    if OPPOSITE in alone:  # better than PA&DA: that is shown where the correction leaves it
        verdict = OPPOSITE if surely else claims.NOT_SHOWN
        p = rows[surely[0] if surely else alone.index(OPPOSITE)].holm
    lack = surely or [k for k, word in enumerate(alone) if word != claims.SHOWN]
    decide = [rows[k] for k in lack] or rows  # what refutes it, or keeps it from being shown
    told = {word: own.b[own.verdict == word].tolist() for word in claims.VERDICTS}
    said = "; ".join(f"{word} beside {', '.join(names)}" for word, names in told.items() if names)
    claim = claims.of(
        key,
        statement,
        decide[0].difference,
        [replace(i, of=row.difference) for row in decide for i in outcomes.intervals(row)],
        f"Of {len(rows)} rival{'s' * (len(rows) > 1)}, each alone, after Holm's correction over "
        f"{rows[0].tests} rows: {said}. Smallest, {OURS} − {decide[0].b}: "
        f"{outcomes.told(decide[0])}. All at once need no correction: the largest p is "
        f"{own.p.max():.2g}",
        bound=BOUND,
        p=p,
        tests=1 if p is None else rows[0].tests,
        unit="tau",
        figure=rivals.FIGURE,
        verdict=verdict,
    )
    sure = next(row for row in decide if row.difference == claims.deciding(claim).of)
    more = "" if sure is decide[0] else f". Least sure, {OURS} − {sure.b}: {outcomes.told(sure)}"
    return replace(claim, evidence=claim.evidence + more)


def each(contrasts: pd.DataFrame, main: str) -> Iterator[Claim]:
    """PA&DA beside each rival."""
    for row in contrasts.itertuples():
        named = controls.outcome(row.measure, row.fifths)
        where = ("", "") if row.space == main else (f".{row.space}", f" (`{row.space}`)")
        said = f"{row.a} − {row.b}, {named}: {outcomes.told(row)}"
        yield outcomes.claim(
            f"12.each.{claims.slug(row.b)}.{row.measure}{where[0]}",
            f"{row.a} ranks better than {row.b}: {named}{where[1]}",
            row,
            said,
            wanted=1,
            unit="tau",
            figure=rivals.EACH_FIGURE,
        )


def parts(made_of: pd.DataFrame, main: str) -> Iterator[Claim]:
    """PA&DA beside what it is made of, where `06` does not ask it: elsewhere than in `main`."""
    for row in made_of[made_of.space != main].itertuples():
        named = controls.outcome(row.measure, row.fifths)
        yield outcomes.claim(
            f"12.made_of.{claims.slug(row.b)}.{row.measure}.{row.space}",
            f"{row.a} ranks better than {row.b}, asked after a look: {named} (`{row.space}`)",
            row,
            f"{row.a} − {row.b}, {named}: {outcomes.told(row)}",
            wanted=1,
            unit="tau",
            figure=rivals.EACH_FIGURE,
        )


def comparable(rows: pd.DataFrame) -> Iterator[Claim]:
    """Scores of several supernets beside those of one, a claim a method that has several."""
    for row in rows.itertuples():
        said = (
            f"tau by loss is {row.across:.3f} over pairs that two of its supernets score and "
            f"{row.within:.3f} over pairs of one; {row.control}'s, on the same pairs, "
            f"{row.control_across:.3f} and {row.control_within:.3f}. Difference of the differences "
            f"{outcomes.told(row)}"
        )
        yield outcomes.claim(
            f"12.comparable.{claims.slug(row.method)}",
            f"Scores of different supernets of {row.method} are less comparable than one's",
            row,
            said,
            wanted=-1,
            unit="tau",
        )


def explained(rows: pd.DataFrame) -> Iterator[Claim]:
    """What goes with tau over all runs, methods being drawn; within methods is said beside."""
    found = rows.set_index(["measure", "outcome", "how"])
    for measure, (wanted, statement) in EXPLAINED.items():
        for outcome, named in OUTCOMES.items():
            row = found.loc[measure, outcome, why.OVER]
            inner = found.loc[measure, outcome, why.WITHIN]
            look: dict[str, Any] = {"wanted": wanted, "bound": relation.BOUND, "unit": "rho"}
            look |= {"p": row.holm, "tests": int(row.tests), "figure": rivals.WHY_FIGURE}
            yield claims.of(
                f"12.explained.{measure}.{outcome}",
                f"{statement}: {named}",
                row.rho,
                [Interval(row.low, row.high, row.over, int(row.n))],
                f"Rho over all runs {_told(row)}. Within methods {_told(inner)}",
                **look,
            )


def _told(row: Any) -> str:
    if pd.isna(row.rho):
        return claims.UNMEASURABLE
    return claims.said(row.rho, [Interval(row.low, row.high, row.over, int(row.n))], 2)
