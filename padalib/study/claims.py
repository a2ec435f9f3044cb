"""Claims as data: statement, effect, its intervals, what could have been seen, and the verdict.

A claim is judged by one rule for all of them, `judge`; nobody types a verdict. Notebooks save
theirs with `Workbook.conclude`; README, HTML and `padalib compare` are made of the saved ones.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
from scipy import stats

from padalib.study import wording
from padalib.study.wording import short

SHOWN, OPPOSITE, EQUIVALENT, NOT_SHOWN = "shown", "opposite here", "equivalent", "not shown"
MIXED, UNMEASURABLE = "mixed", "not measurable"
CORRECTED = f"{NOT_SHOWN}, corrected"
WHY_CORRECTED = (
    "the intervals exclude no effect, but one of so many comparisons may do so by chance "
    "(Holm's correction)"
)
VERDICTS = (SHOWN, OPPOSITE, EQUIVALENT, NOT_SHOWN, MIXED, UNMEASURABLE)
LEVEL = 0.05  # of a test, two-sided
FEW = ("seeds", "runs", "swapped pairs of seeds", "spaces")  # their intervals are Student's
FULL = 6  # claims of a notebook that are shown in full at once
KEPT = ("key", "statement", "verdict", "evidence", "effect", "unit", "null")  # of every claim
POWER = 0.8  # chance of an effect of size `visible` to be shown


@dataclass(frozen=True)
class Interval:
    """A 95 % interval of an effect, and what it is over; ValueError where its ends are crossed."""

    low: float
    high: float
    over: str  # 'seeds', 'architectures', ...
    n: int  # so many of them
    of: float = math.nan  # the effect that it is of, where a claim rests on several
    freedom: float = math.nan  # degrees of it behind Student's t; NaN: as `over` and `n` tell

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError(f"low must not be above high, got {self.low} and {self.high}")

    def visible(self, tests: int = 1) -> float:
        """The smallest effect that would be shown with a chance of 80 % (two-sided, 5 %).

        From the interval's own half-width: half * (t_a + t_.80) / t_.975, Student's with `freedom`
        degrees; where these are not given, n - 1 over what is in `FEW`, normal over anything
        else. a is .975 for a claim that stands alone; among `tests`, Holm's first step,
        1 - .025 / tests. On the interval's own scale, so pass logarithms for ratios.
        """
        own = self.n - 1 if self.over in FEW and self.n > 1 else math.inf
        freedom = own if math.isnan(self.freedom) else self.freedom
        shares = [1 - LEVEL / 2 / tests, POWER, 0.975]
        shown, seen, half = stats.t.ppf(shares, freedom)
        return float((self.high - self.low) / 2 * (shown + seen) / half)


def judge(
    intervals: Sequence[Interval],
    wanted: int = 1,
    null: float = 0.0,
    bound: float | None = None,
    p: float | None = None,
) -> str:
    """What the intervals say of a claim that the effect lies above `null` (`wanted` -1: below).

    'shown' or 'opposite here' where every interval excludes `null` on that side; 'equivalent' where
    every one lies within `bound` of it (for a ratio, `null` 1: within a factor of 1 + bound); 'not
    shown' otherwise. Where many comparisons share a table, `p` is the corrected p value: above 0.05
    or not known (NaN) no direction is shown; None: the claim stands alone. Intervals of several
    effects (`of`) are judged effect by effect, see `agreed`. ValueError for no interval.
    """
    if not intervals:
        raise ValueError("a claim needs at least one interval to be judged by")
    effects = dict.fromkeys(None if math.isnan(i.of) else i.of for i in intervals)
    if len(effects) > 1:
        each = [[i for i in intervals if i.of == effect] for effect in effects]
        return agreed([judge(own, wanted, null, bound, p) for own in each])
    if side := _side(intervals, null, p):
        return SHOWN if side * wanted > 0 else OPPOSITE
    if bound is not None:
        ends = (null / (1 + bound), 1 + bound) if null == 1 else (null - bound, null + bound)
        if all(ends[0] < i.low and i.high < ends[1] for i in intervals):
            return EQUIVALENT
    return NOT_SHOWN


def _side(intervals: Sequence[Interval], null: float, p: float | None = None) -> int:
    """1 where all lie above `null`, -1 below; 0 otherwise, or where p or equal seeds tell none."""
    equal = [i.over in FEW and i.low == i.high for i in intervals]
    if p is not None and (all(equal) or not p <= LEVEL):
        return 0
    return all(i.low > null for i in intervals) - all(i.high < null for i in intervals)


def agreed(verdicts: Sequence[str]) -> str:
    """The verdict on a claim about several effects, such as one a space, each judged by itself.

    The one that all have; 'mixed' where one is shown and another opposite; else 'not shown'.
    """
    if len(set(verdicts)) == 1:
        return verdicts[0]
    return MIXED if {SHOWN, OPPOSITE} <= set(verdicts) else NOT_SHOWN


@dataclass(frozen=True)
class Claim:
    """One statement of the paper, or one control, and what was found at one scale."""

    key: str  # the same at every scale and in every run, such as '04.ranks': compared by it
    statement: str  # what would be true
    verdict: str  # one of VERDICTS, from `judge`
    evidence: str  # the numbers, in words; each says what its interval is over
    effect: float = math.nan  # what is judged
    intervals: tuple[Interval, ...] = ()  # that decide
    unit: str = ""  # of the effect: 'tau', 'times', 'points'
    null: float = 0.0  # the effect that would mean nothing; 1 for ratios
    visible: float = math.nan  # smallest effect that would have been shown (80 % power)
    bound: float = math.nan  # of equivalence; NaN where none was set beforehand
    p: float = math.nan  # corrected for its table's comparisons; NaN: it stands alone, or not known
    figure: str = ""  # its file's stem

    def __post_init__(self) -> None:
        if self.verdict not in VERDICTS:
            raise ValueError(f"verdict must be one of {VERDICTS}, got {self.verdict!r}")


def of(
    key: str,
    statement: str,
    effect: float,
    intervals: Sequence[Interval],
    evidence: str,
    *,
    wanted: int = 1,
    null: float = 0.0,
    bound: float | None = None,
    p: float | None = None,
    tests: int = 1,
    unit: str = "",
    figure: str = "",
    beside: str = "",
    verdict: str = "",
) -> Claim:
    """The claim, judged; where it is not shown, its evidence says what could have been seen.

    `beside` is said after that: whole sentences about something else. `tests` is how many `p` was
    corrected for. `verdict` is given where several effects have their own ones (`agreed`). An
    effect that is NaN is not measurable: it has no intervals; the evidence says what was found.
    """
    if unknown := math.isnan(effect):
        intervals = ()
    judged = UNMEASURABLE if unknown else verdict or judge(intervals, wanted, null, bound, p)
    if unknown:
        visible = math.nan
    elif null == 1:
        logs = [replace(i, low=math.log(i.low), high=math.log(i.high)) for i in intervals]
        visible = math.exp(max(log.visible(tests) for log in logs))
    else:
        visible = max(interval.visible(tests) for interval in intervals)
    if judged == NOT_SHOWN and (null == 1) < visible < math.inf:
        seen = f"a factor of {short(visible)}" if null == 1 else short(visible)
        if p is not None and p > LEVEL:
            evidence += f"; p {p:.2g} after Holm's correction"
        evidence += f"; smallest effect that would have been seen {seen}"
        if bound is not None:
            near = f"a factor of {1 + bound:g}" if null == 1 else f"{bound:g}"
            evidence += f"; equivalence (within {near}) not shown either"
    evidence += f". {beside}" if beside else ""
    limit = math.nan if bound is None else bound
    rest = (unit, null, visible, limit, math.nan if p is None else p, figure)
    return Claim(key, statement, judged, evidence, effect, tuple(intervals), *rest)


def table(claims: Sequence[Claim]) -> pd.DataFrame:
    """One row a claim; its intervals side by side (`low`, `high`, `over`, `n`, `low_2`, ...)."""
    rows = []
    for claim in claims:
        row = {name: getattr(claim, name) for name in KEPT}
        for place, interval in enumerate(claim.intervals, start=1):
            mark = "" if place == 1 else f"_{place}"
            row |= {f"{name}{mark}": value for name, value in vars(interval).items()}
        row |= {name: getattr(claim, name) for name in ("visible", "bound", "p", "figure")}
        rows.append(row)
    return pd.DataFrame(rows or {name: [] for name in KEPT})  # a table of none can be read again


def text(claims: Sequence[Claim]) -> str:
    """Markdown: each claim in full; more than `FULL` as a table first, and in full behind it."""
    full = "\n\n".join(f"**{c.statement}: {c.verdict}.** {c.evidence}." for c in claims)
    if len(claims) <= FULL:
        return full
    rows = [f"| {cell(c.statement)} | **{told(c)}** | {cell(numbers(c))} |" for c in claims]
    lines = ["| claim | verdict | effect [95 % interval that decides] |", "|---|---|---|", *rows]
    if CORRECTED in map(told, claims):
        lines += ["", f"*{CORRECTED.capitalize()}*: {WHY_CORRECTED}."]
    summary = "<details><summary>Each in full: all intervals, p, what could have been seen"
    return "\n".join(lines) + f"\n\n{summary}</summary>\n\n{full}\n\n</details>"


def told(claim: Claim) -> str:
    """The verdict; where only the correction of its p value withholds a direction, with that."""
    sure = _side(claim.intervals, claim.null)
    return CORRECTED if claim.verdict == NOT_SHOWN and sure else claim.verdict


def cell(said: str) -> str:
    """A text as a cell of a Markdown table."""
    return said.replace("|", "\\|").replace("\n", " ")


def said(effect: float, intervals: Sequence[Interval], digits: int = 3) -> str:
    """An effect with what each interval is over: +0.438; over 5 seeds [+0.283, +0.594], over ..."""
    ends = [
        f"over {i.n:,} {i.over} "
        + ("no interval" if math.isnan(i.low) else f"[{i.low:+.{digits}f}, {i.high:+.{digits}f}]")
        for i in intervals
    ]
    return f"{effect:+.{digits}f}; {', '.join(ends)}"


def read(folder: Path) -> dict[str, Claim]:
    """The claims that are saved in `folder` as `claims_<NN>.csv`, by key and in that order.

    ValueError where a file is no table of claims.
    """
    found: dict[str, Claim] = {}
    for path in sorted(folder.glob("claims_*.csv")):
        rows = pd.read_csv(path, keep_default_na=False, na_values={"effect": [""]})
        if odd := [name for name in KEPT if name not in rows]:
            raise ValueError(
                f"{path} is no table of claims as this version writes them, it lacks "
                f"{', '.join(odd)}: compute it again"
            )
        found |= {row["key"]: _of_row(row) for row in rows.to_dict("records")}
    return found


def _of_row(row: dict) -> Claim:
    """The inverse of a row of `table`."""
    texts = {name: row[name] for name in ("key", "statement", "verdict", "evidence", "unit")}
    numbers = {name: _number(row[name]) for name in ("effect", "null", "visible", "bound", "p")}
    intervals = []
    for mark in ("", *(f"_{place}" for place in range(2, len(row)))):
        if not row.get(f"over{mark}"):
            break
        low, high, n, *rest = (
            _number(row.get(f"{name}{mark}", "")) for name in ("low", "high", "n", "of", "freedom")
        )
        intervals.append(Interval(low, high, row[f"over{mark}"], int(n), *rest))
    return Claim(**texts, **numbers, intervals=tuple(intervals), figure=row["figure"])


def _number(cell: object) -> float:
    return math.nan if cell == "" else float(cell)


def deciding(claim: Claim) -> Interval | None:
    """Of a claim's intervals the one that comes nearest to its null, or crosses it farthest.

    Where it is equivalent, the one that reaches farthest from the null, so nearest to the bound.
    """

    def margin(interval: Interval) -> float:
        if claim.verdict == EQUIVALENT and claim.null == 1:  # a ratio: by its logarithm
            return -max(interval.high, 1 / interval.low)
        if claim.verdict == EQUIVALENT:
            return -max(interval.high - claim.null, claim.null - interval.low)
        above = interval.low - claim.null
        return above if own_effect(claim, interval) >= claim.null else claim.null - interval.high

    known = [interval for interval in claim.intervals if not math.isnan(margin(interval))]
    return min(known, key=margin, default=None)


def own_effect(claim: Claim, interval: Interval | None) -> float:
    """The effect that an interval is of."""
    if interval is None or math.isnan(interval.of):
        return claim.effect
    return interval.of


def numbers(claim: Claim) -> str:
    """Effect and deciding interval, as `wording.interval` writes them; '' if unknown.

    Two effects that say different things: both.
    """
    if math.isnan(claim.effect):
        return ""
    effects = dict.fromkeys(own_effect(claim, i) for i in claim.intervals)
    each = [tuple(i for i in claim.intervals if own_effect(claim, i) == e) for e in effects]
    apart = len(each) == 2 and len({judge(own, null=claim.null) for own in each}) == 2
    parts = [replace(claim, intervals=own) for own in each] if apart else [claim]
    return f"{'; '.join(map(_numbers, parts))} {claim.unit}".rstrip()


def _numbers(claim: Claim) -> str:
    """`numbers` of one effect, without its unit."""
    decides = deciding(claim)
    value = own_effect(claim, decides)
    if decides is None:
        return ("+" if claim.null == 0 and value >= 0 else "") + short(value)
    return wording.interval(value, decides.low, decides.high, claim.null)


def slug(*names: str) -> str:
    """Names in the key of a claim: of "PA&DA" and "yoked PA" pada_yoked_pa."""
    return "_".join(names).lower().replace(" ", "_").replace("&", "")


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's corrected p values (Scand. J. Statist. 1979), in the given order."""
    corrected, highest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = highest
    return corrected
