"""What the tables of `full_scale` say, as claims and in words."""

import pandas as pd

from padalib.study import claims, effects, outcomes
from padalib.study.claims import Claim, Interval
from padalib.study.effects import Doubt
from padalib.study.full_scale import BOUND, OUTCOMES

METHODS = ("balanced", "sets")  # contrasts that are claims by every outcome; others by tau alone
LEAST = 3  # seeds on either side; contrasts with fewer are told in the table only


def conclude(made: dict[str, pd.DataFrame]) -> list[Claim]:
    """The claims, from the tables alone; where tau alone is claimed, the rest is told beside it."""
    rows, cards = made["contrasts"], made["cards"]
    labels = dict(zip(cards.family, cards.label, strict=True))
    means = cards.set_index(["label", "measure"]).value
    functions, few = int(made["order"].functions.iloc[0]), _sparse(made)
    found = [_more_seeds(cards, functions), *_ordered(made["order"])]
    for row in rows.itertuples():
        a, b = labels[row.a], labels[row.b]
        one, _, other = row.measure.partition(" - ")
        fixed = row.question == "one thing"
        if fixed and (row.key in few or (row.key not in METHODS and one != "tau")):
            continue
        said = f"{a} {means[a, one]:.3f}, {b} {means[b, other or one]:.3f}: {outcomes.told(row)}"
        if fixed:
            statement = f"Full scale, by {OUTCOMES[one]}: {row.changed} rank better (from {b})"
            key = f"05.{row.key}" + ("" if one == "tau" else f".{one}")
            beside = "" if row.key in METHODS else _beside(rows[rows.key == row.key])
        else:
            statement, key = _asked(row.key, a, b), f"05.{row.key}"
            beside = "These families were chosen after their cards were seen"
        look = {"unit": "tau", "figure": "05_full_scale", "beside": beside}
        found.append(outcomes.claim(key, statement, row, said, wanted=1, **look))
    return found


def _sparse(made: dict[str, pd.DataFrame]) -> dict[str, str]:
    """The contrasts with fewer than `LEAST` seeds on a side: key -> what they compare, in words."""
    cards = made["cards"].drop_duplicates("family").set_index("family")
    rows = made["contrasts"].query("question == 'one thing'").drop_duplicates("key")
    return {
        row.key: " against ".join(f"{cards.label[f]} ({cards.seeds[f]})" for f in (row.a, row.b))
        for row in rows.itertuples()
        if min(cards.seeds[row.a], cards.seeds[row.b]) < LEAST
    }


def _beside(rows: pd.DataFrame) -> str:
    """The other outcomes of a contrast."""
    others = [row for row in rows.itertuples() if row.measure != "tau"]
    said = [f"{OUTCOMES[o.measure]} {outcomes.told(o)}, {o.verdict}" for o in others]
    return f"By {'; by '.join(said)}"


def _asked(key: str, a: str, b: str) -> str:
    return {
        "prior": f"Adding the FLOPs' rank to {a} ranks better than the best alone, {b}",
        "free": f"*Control:* the best supernet alone, {a}, ranks better than no training ({b})",
        "free_prior": f"Even the worst supernet, {a}, adds to the FLOPs' rank",
        "order_alone": f"Alone, {a} ranks better than {b}",
        "order_added": f"With the FLOPs' rank added, {a} ranks better than {b}",
    }[key]


def _more_seeds(cards: pd.DataFrame, functions: int) -> Claim:
    """What infinitely many seeds would add to tau, the mean over families of three and more.

    Families have seeds of their own, so their errors add up in squares. They have the same
    architectures: the mean of their half-widths is no less than its own.
    """
    cards = cards[(cards.seeds > 2) & cards.value.notna()]  # what cannot be told has no share
    rows = cards[cards.measure == "more_seeds"]
    families = zip(rows.seeds_low, rows.seeds_high, rows.seeds - 1, strict=True)
    error, freedom = effects.together(*(effects.behind(*own) for own in families))
    over = Doubt(error / len(rows), freedom)
    archs = effects.behind(rows.archs_low.mean(), rows.archs_high.mean())
    effect = float(rows.value.mean())
    row = outcomes.row(effect, over, int(rows.seeds.sum()), archs, functions)
    intervals = outcomes.intervals(pd.Series(row))
    lack = 1 - cards[cards.measure == "limit"].value
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
            Interval(row.both_low, row.both_high, "seeds and these", row.seeds),
        ]
        said = f"Of {row.families} families' means {claims.said(row.rho, intervals, 2)}"
        statement = (
            f"Families that rank better by tau do so by {OUTCOMES[row.outcome]}: Spearman's rho of "
            "their means is above zero"
        )
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
    ) + (
        f" In the table only, for fewer than {LEAST} seeds on a side: {'; '.join(few)}."
        if (few := _sparse(made).values())
        else ""
    )
