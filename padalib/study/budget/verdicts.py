"""What the study of the budget says: its claims, and the agreement of seeds in words."""

import math
from collections.abc import Iterator

import pandas as pd

from padalib.study import claims, effects, outcomes, wording
from padalib.study.budget import BASE, CONTROL, FIGURE, GAINER, SCORED, Budget
from padalib.study.claims import Claim, Interval
from padalib.study.outcomes import JUDGED, NAMES
from padalib.study.variance import FIXED


def conclude(found: Budget) -> list[Claim]:
    """The claims; of one length only on its steps: how it ranks is the controls' to tell."""
    if found.slopes.empty:
        return list(_steps(found))
    return [*_closes(found), *_longer(found), *_schedule(found)]


def _rows(table: pd.DataFrame, outcome: str, **own: object) -> pd.DataFrame:
    """The rows of an outcome with these values."""
    if table.empty:
        return table
    kept = table.outcome == outcome
    for column, value in own.items():
        kept &= table[column] == value
    return table[kept]


def _along(rows: pd.DataFrame) -> str:
    """A difference at every length, with the interval over seeds and architectures together."""
    ends = zip(rows.itertuples(), *outcomes.joint(rows), strict=True)
    return ", ".join(
        f"{row.epoch:.0f}: {wording.interval(row.difference, low, high, null=0)}"
        for row, low, high in ends
    )


def _levels(found: Budget, method: str, outcome: str) -> str:
    """What a method reaches at every length."""
    rows = found.cards[(found.cards.method == method) & (found.cards.measure == outcome)]
    rows = rows[rows.by == SCORED[outcome]].sort_values("epoch")
    return ", ".join(
        f"{row.epoch}: {wording.interval(row.value, row.low, row.high)}"
        for row in rows.itertuples()
    )


def _slope(found: Budget, outcome: str, a: str, b: str = "") -> pd.DataFrame:
    """The slopes of a method or a pair, that over all lengths first."""
    rows = _rows(found.slopes, outcome, a=a, b=b)
    return rows.sort_values("shortest") if len(rows) else rows


def _closes(found: Budget) -> Iterator[Claim]:
    """Whether PA's gain over SPOS shrinks, and whether SPOS itself gets better, with training."""
    look = {"unit": "tau a doubling", "figure": FIGURE}
    for outcome in JUDGED:
        rows = _slope(found, outcome, GAINER, BASE)
        if rows.empty:
            continue
        row = next(rows.itertuples())
        named = f"{NAMES[outcome]}, ranked by {JUDGED[outcome]}"
        said = (
            f"Change of PA's gain in {named}, for each doubling of the training, {row.shortest} to "
            f"{row.longest} epochs: {outcomes.told(row)}"
        )
        for other in rows.iloc[1:].itertuples():
            said += f"; without {row.shortest} epochs {outcomes.told(other)}"
        for method in (GAINER, BASE):
            own = next(_slope(found, outcome, method).itertuples())
            said += f"; {method} itself {outcomes.told(own)}"
        levels = _rows(found.differences, outcome, a=GAINER, b=BASE)
        said += f". PA − SPOS by epochs, over seeds and architectures: {_along(levels)}"
        steps = _rows(found.doublings, outcome)
        said += f"; each less the one before {_along(steps)}"
        statement = (
            "PA's gain over uniform sampling is smaller after longer training, on average over "
            f"{row.shortest} to {row.longest} epochs ({NAMES[outcome]})"
        )
        yield outcomes.claim(f"07.closes_{outcome}", statement, row, said, wanted=-1, **look)
    for outcome in JUDGED:
        for row in _slope(found, outcome, BASE).iloc[:1].itertuples():
            said = (
                f"Change of SPOS's {NAMES[outcome]}, ranked by {JUDGED[outcome]}, for each "
                f"doubling: {outcomes.told(row)}; by epochs {_levels(found, BASE, outcome)}"
            )
            statement = f"Uniform sampling ranks better when trained longer ({NAMES[outcome]})"
            yield outcomes.claim(f"07.spos_{outcome}", statement, row, said, wanted=1, **look)


def _longer(found: Budget) -> Iterator[Claim]:
    """PA beside SPOS that trains longer: what the schedule is worth in training."""
    look = {"wanted": 1, "unit": "tau", "figure": FIGURE}
    for outcome in JUDGED:
        named = f"{NAMES[outcome]}, ranked by {JUDGED[outcome]}"
        for row in _rows(found.unequal, outcome, kind="ends").itertuples():
            statement = (
                f"PA after {row.epoch:.0f} epochs ranks better than uniform sampling after "
                f"{row.b_epoch:.0f} ({NAMES[outcome]})"
            )
            said = f"{named}: {outcomes.told(row)}"
            yield outcomes.claim(f"07.ends_{outcome}", statement, row, said, **look)
        for row in _rows(found.unequal, outcome, kind="twice").itertuples():
            pairs = _rows(found.unequal, outcome, kind="pair", times=2.0)
            statement = (
                "PA ranks better than uniform sampling trained twice as long, which costs more "
                f"FLOPs than PA's dearer paths ({NAMES[outcome]})"
            )
            said = f"{named}, mean over lengths: {outcomes.told(row)}; by PA's epochs "
            said += _along(pairs)
            yield outcomes.claim(f"07.twice_{outcome}", statement, row, said, **look)


def _schedule(found: Budget) -> Iterator[Claim]:
    """PA beside its schedule: the mean over the lengths that decide."""
    look = {"wanted": 1, "unit": "tau", "figure": FIGURE}
    for outcome in JUDGED:
        for row in _rows(found.pooled, outcome, a=GAINER, b=CONTROL).itertuples():
            levels = _rows(found.differences, outcome, a=GAINER, b=CONTROL)
            said = (
                f"{NAMES[outcome]}, ranked by {JUDGED[outcome]}, PA − curriculum, mean over "
                f"{row.lengths} epochs: {outcomes.told(row)}; by epochs {_along(levels)}"
            )
            for slope in _slope(found, outcome, GAINER, CONTROL).iloc[:1].itertuples():
                said += f"; for each doubling {outcomes.told(slope)}"
            statement = (
                f"*Control:* in the mean over {row.lengths} epochs of training PA ranks better "
                f"than its schedule without gradients ({NAMES[outcome]})"
            )
            said += ". A gain over it need not be the gradients': replays in 06 tell"
            yield outcomes.claim(f"07.schedule_{outcome}", statement, row, said, **look)


def _steps(found: Budget) -> Iterator[Claim]:
    """The paper's first claim, that PA&DA's steps vary less than SPOS's, each on its network."""
    if found.steps.empty:
        return
    rows = found.steps[found.steps.value == "variance"]
    own, fixed = (
        ", ".join(
            f"{row.method} {wording.interval(row.change, row.low, row.high)}"
            for row in rows[rows.part == part].itertuples()
        )
        for part in ("all", "fixed")
    )
    for row in rows[rows.planned & (rows.part == "all")].itertuples():
        yield claims.of(
            "07.steps",
            "Steps of PA&DA vary less than uniform ones",
            row.change,
            [Interval(row.low, row.high, "seeds", int(row.seeds))],
            f"{own} times SPOS's at epoch {row.epoch}, each method on its own network, all weights"
            f"{f'; on {FIXED} {fixed}' if fixed else ''}; over {row.seeds} seeds",
            wanted=-1,
            null=1.0,
            bound=effects.RATIO_BOUND,
            unit="times",
            figure=FIGURE,
        )


def described(found: Budget) -> str:
    """Agreement between seeds and the limit of many seeds, shortest and longest, in words."""
    rows = found.cards[found.cards.by == "loss"].set_index(["measure", "method", "epoch"])
    said = []
    for method in found.cards.method.unique():
        epochs = sorted(found.cards[found.cards.method == method].epoch.unique())
        ends = [
            ", ".join(
                f"{name} {_interval(rows, (measure, method, epoch))}"
                for measure, name in (("tau", "tau"), ("between_seeds", "seeds agree"),
                                      ("limit", "limit"))
            )
            for epoch in dict.fromkeys((epochs[0], epochs[-1]))
        ]  # fmt: skip
        lengths = " and ".join(f"{epoch}" for epoch in dict.fromkeys((epochs[0], epochs[-1])))
        said.append(f"- {method}, {lengths} epochs: {'; '.join(ends)}.")
    return "\n".join(said)


def _interval(rows: pd.DataFrame, key: tuple) -> str:
    if key not in rows.index:
        return f"{math.nan:.2f}"
    return wording.interval(*rows.loc[key, ["value", "low", "high"]])
