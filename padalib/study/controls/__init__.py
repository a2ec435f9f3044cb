"""The contrasts that decide: PA's gradient norm, or its schedule; bias, or noise?

Fixed before any of these runs was made: the contrasts, the two outcomes, the bound of equivalence,
and seeds at which nobody had looked. A yoked run draws by another seed's probabilities, so PA
differs from it only in gradients that answer to the network being trained. Where every option has
weights PA has no schedule at all, and PA - SPOS is the norm, in which the size of an operation
counts too: a norm is a sum over weights.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from padalib.engine.runs import Config
from padalib.ranking import report
from padalib.ranking.report import Ranked
from padalib.spaces import Space
from padalib.study import claims, outcomes
from padalib.study.claims import Claim, Interval
from padalib.study.controls.compared import (
    ALSO,
    BOUND,
    NORM,
    OTHERS,
    OUTCOMES,
    Contrast,
    compare,
    differences,
    judged,
    measure,
    shares,
)
from padalib.study.scale import YOKED, Scale

FIGURE, ANSWER_FIGURE = "06_controls", "06_answer"
CONTRASTS = (
    Contrast("PA", "yoked PA", "PA ranks better than runs that replay another seed's schedule"),
    Contrast("PA", "curriculum", "PA ranks better than a fixed schedule without gradients"),
    Contrast("PA&DA", "PA", "Drawing images by their gradients (DA) ranks better than PA alone"),
)
GAINS = (  # where replays are left out, the first question is whether there is a gain at all
    Contrast("PA", "SPOS", "Drawing paths by their gradients (PA) ranks better than SPOS"),
    Contrast("PA&DA", "SPOS", "PA&DA ranks better than SPOS"),
)
AFTER = "not among the contrasts fixed beforehand, and corrected with all other differences"
LATER = "asked after a look at all the others, and corrected apart"


def configs(scale: Scale) -> list[Config]:
    """The runs of this study: scores of each method and seed on all held-out images.

    Of the scale's methods, of those in `primary` where some option has no weights (with all seeds),
    and of the secondary ones with theirs.
    """
    methods = dict.fromkeys(scale.methods)
    if scheduled(scale.space):
        methods |= dict.fromkeys(method for c in primary(scale) for method in (c.a, c.b))
    return [scale.scoring(scale.training(*pair)) for pair in scale.pairs_of(list(methods))]


def primary(scale: Scale) -> tuple[Contrast, ...]:
    """What decides in a scale's own space: `CONTRASTS`, but for what it leaves out."""
    asked = (*GAINS, *CONTRASTS) if YOKED in scale.left_out else CONTRASTS
    kept = tuple(c for c in asked if not {c.a, c.b} & set(scale.left_out))
    if not kept:
        raise ValueError(
            f"scale {scale.name} leaves out {', '.join(scale.left_out)}, and with them every "
            "contrast: keep both methods of one"
        )
    return kept


def scheduled(space: Space) -> bool:
    """Whether PA has a schedule there: some option that it learns has no weights."""
    entries = space.entries()
    return any(
        entry not in entries.uniform and not space.weights(place, option)
        for place, own in enumerate(entries.at)
        for option, entry in enumerate(own)
    )


def ranked(scale: Scale, reference: pd.DataFrame) -> Ranked:
    """The architectures with their truth, from `Workbook.reference`."""
    return Ranked(scale.space, tuple(reference.code), reference.accuracy.to_numpy(float))


def cards(scores: pd.DataFrame, known: Ranked) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The report card of each method and of what needs no training; and their biases."""
    found, bias = [], []
    for method, own in scores.groupby("method", sort=False):
        wide = own.pivot(index="code", columns="seed", values=["accuracy", "loss"])
        table = report.card(wide.accuracy, known, wide.loss)
        found.append(table.assign(method=method))
        bias.append(report.bias(wide.accuracy, known).assign(method=method))
    for name, table in report.controls(known).items():
        found.append(table.assign(method=name))
    first = ["method", "measure"]
    every = pd.concat(found)
    return every[first + [c for c in every if c not in first]], pd.concat(bias)


# --- all spaces together ---


def analyse(
    spaces: Mapping[str, tuple[pd.DataFrame, Ranked]],
    looked: int = 0,
    contrasts: Sequence[Contrast] = CONTRASTS,
    seeds: Sequence[int] = (),
) -> tuple[dict[str, pd.DataFrame], list[Claim]]:
    """Tables and claims from (scores, architectures) of each space; the first one has schedules.

    `contrasts` decide in the first, `NORM` in the others; `seeds`: its scale's (or all there are).

    Tables: contrasts (the primary ones, Holm over all spaces and both outcomes), secondary (all
    other differences and measures, Holm among themselves; `fifths`: their levels of FLOPs are
    fifths), also (`ALSO` by all measures, Holm among themselves), cards, bias, gains (Fieller's
    share of PA's gain over SPOS that a control has), counts (methods beside what needs no training,
    by loss and by accuracy; Holm in each space). With `looked`, added: the primary contrasts of the
    first space without its first so many seeds, which were looked at before the rest were trained;
    Holm among themselves.
    """
    main = next(iter(spaces))
    measured = {name: measure(*own) for name, own in spaces.items()}
    known = {name: own for name, (_, own) in spaces.items()}
    tables = differences(measured, known, contrasts, seeds)
    found, biases, gains = [], [], []
    for name, own in spaces.items():
        for rows, table in zip((found, biases), cards(*own), strict=True):
            rows.append(table.assign(space=name))
        gains.append(shares(measured[name], seeds if name == main else ()).assign(space=name))
    for name, rows in {"cards": found, "bias": biases, "gains": gains}.items():
        tables[name] = pd.concat(rows, ignore_index=True)
    if looked:
        scores, own = spaces[main]
        order = seeds or sorted(scores.seed.unique().tolist())
        late = measure(scores[scores.seed.isin(order[looked:])], own)
        rows = compare(late, own, [(c.a, c.b) for c in contrasts], list(OUTCOMES), order)
        tables["added"] = judged([rows]).assign(space=main)
    return tables, [
        *_contrasts(tables, main, contrasts),
        *_error(tables["cards"], main, int(spaces[main][1].clusters.max()) + 1),
    ]


def outcome(measure: str, fifths: bool) -> str:
    """What an outcome is called, where hardly two cost the same (`fifths`) or many do."""
    named = (OUTCOMES | OTHERS)[measure]
    return named.replace("equal FLOPs", "fifths of FLOPs") if fifths else named


def _contrasts(
    tables: dict[str, pd.DataFrame], main: str, contrasts: Sequence[Contrast]
) -> list[Claim]:
    """A claim for each primary contrast and outcome; for `GAINS` and `ALSO` where secondary."""
    found, gains, rest, also = [], tables["gains"], tables["secondary"], tables["also"]
    of = {(c.a, c.b): c.statement for c in (*GAINS, *ALSO, *contrasts)}
    rows = tables["contrasts"].assign(after="")
    if len(rest):
        asked = [(c.a, c.b, name, main) for c in GAINS for name in OUTCOMES]
        after = pd.MultiIndex.from_frame(rest[["a", "b", "measure", "space"]]).isin(asked)
        rows = pd.concat([rows, rest[after].assign(after=AFTER)])
    if len(also):
        kept = also.measure.isin(list(OUTCOMES)) & (also.space == main)
        rows = pd.concat([rows, also[kept].assign(after=LATER)])
    for row in rows.itertuples():
        where = "" if row.space == main else f" (`{row.space}`)"
        named = outcome(row.measure, row.fifths)
        said = f"{row.a} − {row.b}, {named}: {outcomes.told(row)}"
        key = f"06.{claims.slug(row.a, row.b)}.{row.measure}"
        if math.isnan(row.difference):
            said += ", for a run gives all that are compared the same score"
        share = gains[
            (gains.space == row.space) & (gains.measure == row.measure) & (gains.control == row.b)
        ]
        beside = ""
        if row.a == "PA" and len(share) and math.isfinite(share.low.iloc[0]):
            own = share.iloc[0]
            beside = (
                f"{row.b} has {100 * own.share:.0f} % [{100 * own.low:.0f}, {100 * own.high:.0f}] "
                f"of PA's gain over SPOS (over {own.units} "
                f"{'swapped pairs of seeds' if row.b == YOKED else 'seeds'})"
            )
        beside = "; ".join(filter(None, (row.after, beside, _alone(row, tables.get("added")))))
        found.append(
            outcomes.claim(
                key + ("" if row.space == main else f".{row.space}"),
                f"{of[row.a, row.b] if row.space == main else NORM.statement}: {named}{where}",
                row,
                said,
                wanted=1,
                unit="tau",
                figure=FIGURE,
                beside=beside,
            )
        )
    return found


def _alone(row: Any, added: pd.DataFrame | None) -> str:
    """What the seeds say alone that were trained after a first look."""
    if added is None:
        return ""
    same = (added.a == row.a) & (added.b == row.b) & (added.measure == row.measure)
    return "; ".join(
        f"on the {own.seeds} {own.unit} alone that were trained after a first look "
        f"{outcomes.told(own)}, {own.verdict}"
        for own in added[same & (added.space == row.space)].itertuples()
    )


def _error(cards: pd.DataFrame, main: str, functions: int) -> list[Claim]:
    """Bias or noise: what more seeds would add, and what seeds agree on better than the truth."""
    asked = {
        "more_seeds": (f"Infinitely many seeds would add more than {BOUND:g} to tau", BOUND),
        "common_error": ("Seeds agree with each other better than with the truth", 0.0),
    }
    found, own = [], cards[cards.space == main]
    for method in ("SPOS", "PA"):
        for name, (statement, null) in asked.items():
            rows = own[own.method == method].set_index("measure")
            if name not in rows.index or math.isnan(rows.seeds_low[name]):
                continue
            row, limit = rows.loc[name], rows.value.limit
            reached = "unknown" if math.isnan(limit) else f"{limit:.3f}"
            intervals = [
                Interval(row.seeds_low, row.seeds_high, "seeds", int(row.seeds)),
                Interval(row.archs_low, row.archs_high, "distinct architectures", functions),
                Interval(row.low, row.high, "seeds and these", int(row.seeds)),
            ]
            said = (
                f"{method}: tau {rows.value.tau:.3f} with the truth, "
                f"{rows.value.between_seeds:.3f} between seeds, {reached} in the "
                f"limit of infinitely many; {claims.said(row.value, intervals)}"
            )
            key, named = f"06.{name}.{method.lower()}", f"{statement} ({method})"
            look = {"unit": "tau", "null": null, "figure": FIGURE}
            found.append(claims.of(key, named, row.value, intervals, said, **look))
    return found
