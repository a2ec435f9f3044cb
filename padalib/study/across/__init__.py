"""Does it hold in various search spaces? The contrasts of `controls`, in each space and over them.

A question is asked where it has an answer. Where every option has weights PA has no schedule: there
its curriculum is SPOS itself, and PA - SPOS is the norm and the sizes in it; elsewhere it is mostly
the schedule. Rows of spaces whose runs belong to another scale are taken from its tables.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from padalib import spaces as known_spaces
from padalib.engine.runs import Config
from padalib.probes.sampled import VarianceConfig
from padalib.ranking.report import Ranked
from padalib.ranking.scores import ScoreConfig
from padalib.study import claims, controls, effects, outcomes, variance
from padalib.study.controls import BOUND, OUTCOMES, scheduled
from padalib.study.controls.compared import COUNTED, Measured
from padalib.study.scale import Scale
from padalib.study.workbook import Workbook

FIGURE, VARIANCE_FIGURE = "09_spaces", "09_variance"
LEAST = 3  # spaces for a mean over them
PROBED = ("SPOS", "PA")


@dataclass(frozen=True)
class Question:
    """A contrast a - b: in which spaces it is asked, and what would be true if a were better."""

    key: str
    a: str
    b: str
    where: bool | None  # asked where PA has a schedule, or has none; None: in both
    statement: str
    primary: bool = True  # chosen before the runs were made


QUESTIONS = (
    Question("pada", "PA&DA", "SPOS", None, "PA&DA ranks better than uniform sampling"),
    Question("gain", "PA", "SPOS", True, "Where PA has a schedule, it beats SPOS"),
    Question("norm", "PA", "SPOS", False, controls.NORM.statement),
    Question("schedule", "PA", "curriculum", True, controls.CONTRASTS[1].statement),
    Question("yoked", "PA", "yoked PA", True, controls.CONTRASTS[0].statement),
    Question(
        *("size", "PA", "size-curriculum", False),
        "Where PA has no schedule, it ranks better than a draw by the size of operations",
    ),
    Question("data", "PA&DA", "PA", None, controls.CONTRASTS[2].statement),
    Question(
        *("replayed", "PA", "yoked PA", False),
        "Where PA has no schedule, it ranks better than a replay of another seed's draws",
        False,
    ),
    Question("da", "DA", "SPOS", None, "DA ranks better than uniform sampling", False),
    Question(
        *("sizes", "size-curriculum", "SPOS", None),
        "A draw by the size of operations ranks better than uniform sampling",
        False,
    ),
    Question(
        *("beyond_size", "PA", "size-curriculum", True),
        "PA ranks better than a schedule by the size of operations",
        False,
    ),
    Question("fairnas", "FairNAS", "SPOS", None, "FairNAS ranks better than SPOS", False),
    Question("sbs", "sbs", "SPOS", None, "Strictly balanced sampling ranks better", False),
)
ASKED = {question.key: question for question in QUESTIONS}


def questions(schedule: bool) -> list[Question]:
    """What is asked of a space whose PA has a schedule, or has none."""
    return [one for one in QUESTIONS if one.where in (None, schedule)]


# --- runs ---


def configs(scale: Scale) -> list[Config]:
    """All runs of this study."""
    return [*rankings(scale), *probes(scale)]


def rankings(scale: Scale) -> list[ScoreConfig]:
    """Scores of each of the scale's methods and seeds."""
    return [scale.scoring(config) for config in scale.trainings()]


def probes(scale: Scale) -> list[VarianceConfig]:
    """The variance of SPOS's and PA's steps at the end, where PA has no schedule."""
    if scheduled(scale.space):
        return []
    found = [probe for probe in variance.probes(scale) if probe.epoch == scale.epochs]
    return [probe for probe in found if probe.train.method.name in PROBED]


# --- what is read ---


def read(
    books: Sequence[Workbook],
) -> tuple[dict[str, tuple[pd.DataFrame, Ranked]], dict[str, pd.DataFrame]]:
    """By space: (scores, architectures with their truth), and the probes where there are any.

    Of the scales that have this study. Redrawing asks for no run, so it needs no truth table.
    """
    spaces, probed = {}, {}
    for book in books:
        if __name__.rpartition(".")[2] not in book.scale.studies:
            continue
        space, redraw = book.scale.space, book.redraw
        scores = book.table("scores", [] if redraw else rankings(book.scale))
        spaces[space.name] = scores, controls.ranked(book.scale, book.reference())
        if not scheduled(space):
            asked = [] if redraw else probes(book.scale)
            probed[space.name] = book.table("steps", asked, source="variance")
    return spaces, probed


@dataclass(frozen=True)
class Finished:
    """Tables of another scale: its contrasts of all kinds, and its cards."""

    scale: str
    contrasts: pd.DataFrame
    cards: pd.DataFrame


def finished(book: Workbook) -> Finished | None:
    """What the scale shows of another one; None where that is neither computed nor published."""
    names = ("contrasts", "secondary", "cards")
    tables = [book.of_other(book.scale.finished, name, f"finished_{name}") for name in names]
    if any(table is None for table in tables):
        return None
    return Finished(str(book.scale.finished), pd.concat(tables[:2], ignore_index=True), tables[2])


# --- analysis ---


def analyse(
    spaces: Mapping[str, tuple[pd.DataFrame, Ranked]],
    probed: Mapping[str, pd.DataFrame],
    other: Finished | None = None,
) -> dict[str, pd.DataFrame]:
    """Tables from (scores, architectures) and probes of each space, and another scale's tables.

    contrasts (a row a question, space and outcome; Holm over all primary rows, and over all
    others apart), over (each primary question over its spaces), free (methods beside counts that
    need no training; Holm in each space), cards, variance.
    """
    rows, found, free = [], [], []
    for name, (scores, known) in spaces.items():
        measured = controls.measure(scores, known)
        rows.append(asked(measured, known, name))
        free += outcomes.against_free(measured["tau_loss"], known, COUNTED, space=name)
        found.append(controls.cards(scores, known)[0].assign(space=name))
    if other is not None:
        rows.append(borrowed(other, spaces))
        found.append(other.cards[~other.cards.space.isin(spaces)])
    every = pd.concat(rows, ignore_index=True)
    judged = [
        outcomes.judged(own.to_dict("records"), BOUND, wanted=1)
        for _, own in every.groupby("primary", sort=False)
    ]
    tables = {
        "contrasts": pd.concat(judged, ignore_index=True),
        "free": outcomes.judged_apart(free, BOUND, 1, by="space"),
        "cards": pd.concat(found, ignore_index=True),
        "variance": variances(probed),
    }
    return tables | {"over": over_spaces(tables["contrasts"])}


def asked(measured: Measured, known: Ranked, name: str) -> pd.DataFrame:
    """A row for each question that the space answers, and outcome."""
    schedule = scheduled(known.space)
    named = {(one.a, one.b): one for one in questions(schedule)}
    rows = controls.compare(measured, known, list(named), list(OUTCOMES))
    return _named(rows.assign(space=name, scale="", fifths=not known.equal), named)


def borrowed(other: Finished, spaces: Mapping[str, tuple]) -> pd.DataFrame:
    """The same from another scale's tables, of the spaces that are not ours."""
    found = []
    for name, own in other.contrasts.groupby("space", sort=False):
        if name not in spaces:
            named = {(q.a, q.b): q for q in questions(scheduled(known_spaces.get(str(name))))}
            kept = [pair in named for pair in zip(own.a, own.b, strict=True)]
            own = own[kept]
            own = own[own.measure.isin(list(OUTCOMES))]
            found.append(_named(own.assign(scale=other.scale), named))
    return pd.concat(found) if found else pd.DataFrame()


def _named(rows: pd.DataFrame, named: Mapping[tuple[str, str], Question]) -> pd.DataFrame:
    own = [named[pair] for pair in zip(rows.a, rows.b, strict=True)]
    return rows.assign(question=[q.key for q in own], primary=[q.primary for q in own])


def variances(probed: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """PA's variance over SPOS's at the end: a row a space, kind of step, and part of the weights.

    Holm's correction is over all of these.
    """
    found = []
    for name, rows in probed.items():
        own = variance.compare(rows[rows.method.isin(PROBED)])
        found.append(own[own.value == "variance"].assign(space=name))
    if not found:
        return pd.DataFrame(columns=["space", "weights", "part", "change", "low", "high", "holm"])
    table = pd.concat(found, ignore_index=True)
    table["holm"] = claims.holm(table.p.fillna(1.0).tolist())
    kept = ["space", "weights", "part", "method", "change", "low", "high", "p", "holm", "seeds"]
    return table[[*kept, "mean", "base"]]


# --- over spaces ---


def errors(rows: pd.DataFrame) -> np.ndarray:
    """[R] standard errors, of seeds and architectures together; NaN for a single seed."""
    ends = (
        rows[[f"{of}_{end}" for end in ("low", "high", "freedom")]] for of in ("seeds", "archs")
    )
    seeds, archs = (
        np.array([effects.behind(*row).error for row in own.itertuples(index=False)])
        for own in ends
    )
    return np.hypot(seeds, np.nan_to_num(archs))


def over_spaces(contrasts: pd.DataFrame) -> pd.DataFrame:
    """Each primary question and outcome over its spaces: where it holds, and `effects.pooled`.

    Rows without a mean where fewer than `LEAST` spaces have an error; Holm over those with one.
    """
    rows = []
    own = contrasts[contrasts.primary]
    for (question, measure), each in own.groupby(["question", "measure"], sort=False):
        told = {word: each.space[each.verdict == word].tolist() for word in claims.VERDICTS}
        row = {"question": question, "measure": measure, "spaces": len(each)}
        row |= {"shown": len(told[claims.SHOWN]), "opposite": len(told[claims.OPPOSITE])}
        row["told"] = _told(told)
        known = errors(each) > 0
        if known.sum() >= LEAST:
            row |= effects.pooled(each.difference[known], errors(each)[known])._asdict()
        rows.append(row)
    first = ["question", "measure", "spaces", "shown", "opposite", "told"]
    table = pd.DataFrame(rows, columns=[*first, *effects.Pooled._fields])
    table["holm"], pooled = math.nan, table.p.notna()
    table.loc[pooled, "holm"] = claims.holm(table.p[pooled].tolist())
    return table


def where(over: pd.DataFrame) -> str:
    """Rows of `over_spaces` as HTML that cuts no text; cells without a number are empty."""
    columns = ["question", "measure", "told", "mean", "low", "high", "holm", "between", "p_same"]
    with pd.option_context("display.max_colwidth", None):
        return over[columns].to_html(na_rep="", float_format="{:.3f}".format)


def _told(names: Mapping[str, Sequence[str]]) -> str:
    """'shown in 2 of 3 spaces (macro, mini), equivalent in 1 (conv64)'."""
    n = sum(map(len, names.values()))
    said = [f"shown in {len(names[claims.SHOWN])} of {n} spaces"]
    if names[claims.SHOWN]:
        said[0] += f" ({', '.join(names[claims.SHOWN])})"
    others = [(verdict, own) for verdict, own in names.items() if own and verdict != claims.SHOWN]
    return ", ".join([*said, *(f"{v} in {len(own)} ({', '.join(own)})" for v, own in others)])
