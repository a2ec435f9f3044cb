"""What the tables of `full_scale` say, as claims and in words."""

import math

import pandas as pd
from scipy import stats

from padalib.study import claims, contests
from padalib.study.claims import Claim, Interval
from padalib.study.full_scale import BOUND, OUTCOMES

METHODS = ("balanced", "sets")  # contrasts that are claims by every outcome; others by tau alone
SPARSE = ("balanced_short", "thin_short")  # told in the table only: two or three seeds a side


def conclude(made: dict[str, pd.DataFrame]) -> list[Claim]:
    """The claims, from the tables alone; where tau alone is claimed, the rest is told beside it."""
    rows, cards = made["contrasts"], made["cards"]
    labels = dict(zip(cards.family, cards.label, strict=True))
    means = cards.set_index(["label", "measure"]).value
    found = [_more_seeds(cards), *_ordered(made["order"])]
    for row in rows.itertuples():
        a, b = labels[row.a], labels[row.b]
        one, _, other = row.measure.partition(" - ")
        fixed = row.question == "one thing"
        if fixed and (row.key in SPARSE or (row.key not in METHODS and one != "tau")):
            continue
        said = f"{a} {means[a, one]:.3f}, {b} {means[b, other or one]:.3f}: {contests.told(row)}"
        if fixed:
            statement = f"Full scale, by {OUTCOMES[one]}: {row.changed} rank better (from {b})"
            key = f"05.{row.key}" + ("" if one == "tau" else f".{one}")
            beside = "" if row.key in METHODS else _beside(rows[rows.key == row.key])
        else:
            statement, key = _asked(row.key, a, b), f"05.{row.key}"
            beside = "These families were chosen after their cards were seen"
        look = {"unit": "tau", "figure": "05_full_scale", "beside": beside}
        found.append(contests.claim(key, statement, row, said, **look))
    return found


def _beside(rows: pd.DataFrame) -> str:
    """The other outcomes of a contrast."""
    others = [row for row in rows.itertuples() if row.measure != "tau"]
    said = [f"{OUTCOMES[o.measure]} {contests.told(o)}, {o.verdict}" for o in others]
    return f"By {'; by '.join(said)}"


def _asked(key: str, a: str, b: str) -> str:
    return {
        "prior": f"Adding the FLOPs' rank to {a} ranks better than the best alone, {b}",
        "free": f"*Control:* the best supernet alone, {a}, ranks better than no training ({b})",
        "free_prior": f"Even the worst supernet, {a}, adds to the FLOPs' rank",
        "order_alone": f"Alone, {a} ranks better than {b}",
        "order_added": f"With the FLOPs' rank added, {a} ranks better than {b}",
    }[key]


def _more_seeds(cards: pd.DataFrame) -> Claim:
    """What infinitely many seeds would add to tau, the mean over families of three and more.

    Families have seeds of their own, so their errors add up in squares (Satterthwaite's degrees).
    They have the same architectures: the mean of their half-widths is no less than its own.
    """
    rows = cards[(cards.measure == "more_seeds") & (cards.seeds > 2)]
    freedom = rows.seeds.to_numpy() - 1
    squares = (((rows.seeds_high - rows.seeds_low) / 2) / stats.t.ppf(0.975, freedom)) ** 2
    total = float(squares.sum())
    t = stats.t.ppf(0.975, total**2 / (squares**2 / freedom).sum()) if total else 0.0
    effect = float(rows.value.mean())
    intervals = [
        Interval(effect - half, effect + half, over, n)
        for half, over, n in (
            (float(t) * math.sqrt(total) / len(rows), "seeds", int(rows.seeds.sum())),
            (
                float(((rows.archs_high - rows.archs_low) / 2).mean()),
                *("architectures", int(rows.architectures.iloc[0])),
            ),
        )
    ]
    lack = 1 - cards[(cards.measure == "limit") & (cards.seeds > 2)].value
    evidence = (
        f"Mean over {len(rows)} families of three seeds and more {claims.said(effect, intervals)}; "
        f"by family {rows.value.min():+.3f} to {rows.value.max():+.3f}. What the limit lacks to 1: "
        f"{lack.min():.2f} to {lack.max():.2f}"
    )
    statement = (
        f"At full scale, averaging infinitely many seeds would add more than {BOUND:g} to tau"
    )
    look = {"null": BOUND, "unit": "tau", "figure": "05_full_scale"}
    return claims.of("05.seeds", statement, effect, intervals, evidence, **look)


def _ordered(rows: pd.DataFrame) -> list[Claim]:
    found = []
    for row in rows.itertuples():
        intervals = [
            Interval(row.seeds_low, row.seeds_high, "seeds", row.seeds),
            Interval(row.archs_low, row.archs_high, "distinct architectures", row.functions),
        ]
        said = f"Spearman's rho of {row.families} families: {claims.said(row.rho, intervals, 2)}"
        statement = f"Families keep their order: by tau, and by {OUTCOMES[row.outcome]}"
        look = {"unit": "rho", "figure": "05_full_scale"}
        key = f"05.order.{row.outcome}"
        found.append(claims.of(key, statement, row.rho, intervals, said, **look))
    return found


def described(made: dict[str, pd.DataFrame]) -> str:
    """What was looked at, in words."""
    seeds, cards = made["seeds"], made["cards"]
    runs = seeds[["family", "seed"]].drop_duplicates()
    each = runs.groupby("family").size()
    first = cards.iloc[0]
    return (
        f"{len(runs)} supernets of {len(each)} families, {each.min()} to {each.max()} seeds each, "
        f"and {first.architectures:,} architectures of {first.space}, against {first.dataset} test "
        f"accuracy ({first.source}). PA&DA is not among them: no predictions of it at this scale "
        "are public."
    )
