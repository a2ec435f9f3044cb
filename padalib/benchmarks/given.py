"""Scores of architectures in the forms that people have them in: read, and named."""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from padalib.benchmarks.checks import once
from padalib.benchmarks.matching import PATTERNS, Given, notation_of
from padalib.engine.runs import Run
from padalib.ranking.scores import ScoreConfig
from padalib.ranking.vectors import few, numbers
from padalib.spaces import Space

# Columns of a frame that may name architectures, and in which notation; the plainest first.
LABELS = {
    "string": "string",
    "arch": None,
    "architecture": None,
    "genotype": "genotype",
    "code": "code",
}
HOW = (
    "pass a run of a ScoreConfig, a Series or dict by architecture, a frame with a column of them, "
    "JSON of either, or a vector with archs="
)


def read(
    scores: Any,
    by: str | None = None,
    on: str | None = None,
    archs: Iterable | None = None,
    notation: str | None = None,
    space: Space | str | None = None,
) -> Given:
    """Scores in any of the forms that `truth.compare` lists; ValueError for others.

    space: whose strings may be digits alone, which are not numbers then.
    """
    if notation not in (None, *PATTERNS):
        raise ValueError(f"notation must be one of {', '.join(PATTERNS)}, got {notation!r}")
    name, train, labels = "scores", None, None
    if isinstance(scores, Run):
        config, scores = scores.config, _of_run(scores, on)
        name, train = config.label, config.train
        by = by or "accuracy"
    elif on is not None:
        raise ValueError(f"on={on!r} chooses a split that a run scored on: pass the run itself")
    if isinstance(scores, (str, Path)) or _all(scores, (str, Path)):
        scores = _of_json([scores] if isinstance(scores, (str, Path)) else scores)
    if isinstance(scores, Mapping) and _all(scores.values(), Mapping):
        scores = pd.DataFrame.from_dict(dict(scores), orient="index")
    elif _all(scores, Mapping):
        scores = pd.DataFrame(list(scores))
    if isinstance(scores, pd.DataFrame):
        column = _column(scores, by)
        labels, notation = _labels(scores, notation)
        sign = -1.0 if _is_loss(column) else 1.0
        name, scores = f"{name} by {column}", sign * _numbers(scores[column], labels)
    elif by is not None:
        raise ValueError(f"by={by!r} chooses a column, and these scores have none: leave it out")
    elif isinstance(scores, Mapping):
        labels, scores = list(scores), list(scores.values())
    elif isinstance(scores, pd.Series):
        if _is_loss(scores.name) and (pd.to_numeric(scores, "coerce") > 0).any():
            raise ValueError(
                f"the scores are called {scores.name!r}, and higher must be better: pass their "
                "negative"
            )
        if not scores.index.equals(pd.RangeIndex(len(scores))):
            labels = list(scores.index)
        name = str(scores.name or name)
    if labels is None or archs is not None:
        labels = _named(labels, scores, archs, notation)
    values = _numbers(scores, labels)
    if np.ptp(values) == 0:
        raise ValueError(
            f"all {len(values)} scores are {values[0]:g}, so they rank nothing: a network that has "
            "not learnt, or has diverged, scores all architectures the same"
        )
    return Given(labels, values, notation or notation_of(labels, space), name, train)


def _all(values: Any, kinds: type | tuple[type, ...]) -> bool:
    """Whether `values` are a list (or the like) of nothing but such."""
    if isinstance(values, (str, Mapping, pd.Series, pd.DataFrame, np.ndarray)):
        return False
    try:
        values = list(values)
    except TypeError:
        return False
    return bool(values) and all(isinstance(value, kinds) for value in values)


def _of_run(run: Run, on: str | None) -> pd.DataFrame:
    config = run.config
    if not isinstance(config, ScoreConfig):
        raise ValueError(
            f"{config.label} is a run of {type(config).__name__}, which has no scores: pass that "
            "of ScoreConfig(config), which scores its architectures"
        )
    if (on is None and len(config.splits) > 1) or on not in (None, *config.splits):
        raise ValueError(
            f"{config.label} scored on {', '.join(config.splits)}: pass on=, one of these"
            + (f", got {on!r}" if on else "")
        )
    table = run.table("scores")
    table = table[table.split == (on or config.splits[0])].reset_index(drop=True)
    # A network that gives NaN is right about one class, which looks like an accuracy.
    if broken := list(table.code[~np.isfinite(table.loss)]):
        raise ValueError(
            f"{config.label}: the loss of {len(broken)} architectures is not finite "
            f"({few(broken)}), so their accuracy means nothing: the network has diverged; train it "
            "with a smaller lr"
        )
    return table


def _of_json(texts: Iterable[str | Path]) -> Any:
    """What one or several JSON texts or files hold; several are parts of one."""
    parts = [_parsed(text) for text in texts]
    if len(parts) > 1 and _all(parts, dict):
        return once([pair for part in parts for pair in part.items()])
    return [row for part in parts for row in part] if len(parts) > 1 else parts[0]


def _parsed(text: str | Path) -> Any:
    what = "the text"
    try:
        if isinstance(text, Path) or text.lstrip()[:1] not in ("{", "["):
            what = str(text)[:200]
            text = Path(text).read_text(encoding="utf-8")
        parsed = json.loads(text, object_pairs_hook=once)
    except OSError as error:
        raise ValueError(f"cannot read scores from {what}: {error.strerror}. Or {HOW}") from None
    except RecursionError:
        raise ValueError(f"{what} nests too deep for scores: {HOW}") from None
    except ValueError as error:
        table = ". A table is read first: pd.read_csv" if what.endswith((".csv", ".tsv")) else ""
        raise ValueError(f"{what} holds no scores in JSON ({error}): {HOW}{table}") from None
    if not isinstance(parsed, (dict, list)):
        raise ValueError(f"{what} holds {type(parsed).__name__}, no scores by architecture: {HOW}")
    return parsed


def _is_loss(name: Any) -> bool:
    """Whether a name says that lower is better: 'valid_loss' does, 'lossless' does not."""
    return "loss" in re.split(r"[^a-z]+", str(name).lower())


def _column(frame: pd.DataFrame, by: str | None) -> Any:
    others = [column for column in frame if column not in LABELS]
    if by is not None and by in frame:
        return by
    if by is None and "accuracy" in frame:
        return "accuracy"
    if by is None and len(others) == 1:
        return others[0]
    got = f", got {by!r}" if by is not None else ""
    likely = sorted(others, key=lambda column: not re.search("acc|loss|score", str(column).lower()))
    raise ValueError(f"pass by=, the column of the scores, one of {few(likely)}{got}")


def _labels(frame: pd.DataFrame, notation: str | None) -> tuple[list, str | None]:
    """The labels in a frame's own column of them, or in its index."""
    for column, own in LABELS.items():
        if column in frame and (notation is None or own in (None, notation)):
            labels, notation = list(frame[column]), notation or own
            break
    else:
        if frame.index.equals(pd.RangeIndex(len(frame))):
            raise ValueError(
                f"the frame does not name its architectures: give it one of the columns "
                f"{', '.join(LABELS)}, or an index of them"
            )
        labels = list(frame.index)
    twice = pd.Series(list(map(str, labels)), index=frame.index).duplicated(keep=False)
    if twice.any():
        rows = frame[twice.to_numpy()]
        first = rows[rows.iloc[:, 0] == rows.iloc[0, 0]]
        differ = [c for c in frame if c not in LABELS and first[c].astype(str).nunique() > 1]
        raise ValueError(
            f"{int(twice.sum())} rows name an architecture that another row names too (they differ "
            f"in {few(differ) or 'nothing'}): pass the rows of one predictor and one split"
        )
    return labels, notation


def _named(labels: list | None, scores: Any, archs: Iterable | None, notation: str | None) -> list:
    """Labels for a plain vector: `archs`, or the benchmark's own numbers where these are meant."""
    if labels is not None:
        raise ValueError("the scores name their architectures already: leave archs= out")
    if isinstance(scores, Mapping) or not hasattr(scores, "__len__"):
        raise ValueError(f"cannot read scores from {type(scores).__name__}: {HOW}")
    if archs is None and notation == "index":
        return list(range(len(scores)))
    if archs is None:
        raise ValueError(
            f"{len(scores)} scores without names may be in any order: {HOW}. "
            'notation="index" means the benchmark\'s own order, which is not that of the codes'
        )
    archs = list(archs)
    if len(archs) != len(scores):
        raise ValueError(f"archs names {len(archs)} architectures for {len(scores)} scores")
    return archs


def _numbers(scores: Any, labels: list) -> np.ndarray:
    values = numbers(scores, "the vector of scores")
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(f"scores have shape {values.shape}: pass a score each for two or more")
    if bad := [(labels[k], values[k]) for k in np.flatnonzero(~np.isfinite(values))]:
        raise ValueError(
            f"{len(bad)} scores are not finite, the first {bad[0][1]} of {str(bad[0][0])[:80]}: "
            "the network may have diverged; leave out what has no score"
        )
    return values
