"""Which architecture a name means, and scores put beside the truth.

An architecture may be written in four notations: `code` ("3-0-2", or the tuple (3, 0, 2)) in the
numbering of one space; `string`, with the names of its options ("|nor_conv_3x3~0|+|..." in
NAS-Bench-201's cells, "conv_1x1|conv_3x3|..." in chains); `genotype`
("[(('nor_conv_3x3', 0),), ...]"), the text of its nodes; `index`, its number in the benchmark,
which is the order in which its authors drew the architectures and not that of their codes. Numbers
are never taken for it unasked: a table's rows have numbers too. Nor are strings that a space
reads as its own ("22212202" in NAS-Bench-Macro).
"""

import ast
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd

from padalib import spaces
from padalib.ranking import metrics
from padalib.ranking.vectors import few
from padalib.spaces import Arch, Space
from padalib.train import TrainConfig

LONGEST = 10_000  # characters of a genotype
PATTERNS = {
    "genotype": r"\[\(\(.*",
    "code": r"\d+(-\d+)+|[(\[]\s*\d+(\s*,\s*\d+)*\s*,?\s*[)\]]",
    "index": r"\d+",
    "string": r".*\D.*",  # the rest: whether it is one is for the space to say
}


@dataclass(frozen=True, eq=False)
class Comparison:
    """Predicted scores beside true accuracies (%), of the same architectures in one order."""

    pred: pd.Series  # by code; higher is better
    true: pd.Series
    name: str  # whose scores they are
    notation: str  # by which architectures were matched
    space: str
    dataset: str
    split: str  # of the truth
    source: str
    total: int  # architectures that the truth has
    classes: int  # different functions among those matched
    unknown: int = 0  # scored architectures that the truth does not know, left out

    @property
    def tau(self) -> float:
        """Kendall's tau-b."""
        return metrics.tau(self.pred, self.true)

    def __repr__(self) -> str:
        rest = f"; {self.unknown:,} more have no known accuracy" if self.unknown else ""
        return (
            f"tau {self.tau:.3f}: {self.name}, {len(self.pred):,} of {self.total:,} architectures "
            f"of {self.space} ({self.classes:,} different functions), matched by {self.notation}, "
            f"against {self.split} accuracy on {self.dataset} ({self.source}){rest}"
        )


@dataclass(frozen=True, eq=False)
class Given:
    """Scores as given: labels in one notation, beside numbers."""

    labels: list
    scores: np.ndarray
    notation: str
    name: str
    train: TrainConfig | None = None  # of the network that gave them, if that is known

    @property
    def data(self) -> str | None:
        """What the network was trained on, if that is known."""
        return self.train.data if self.train else None


def notation_of(labels: Iterable, space: Space | str | None = None) -> str:
    """The one notation that labels are written in; ValueError where there is none, or several.

    space: whose architectures they are, where that is known.
    """
    labels, found = list(labels), {}
    for label in labels:
        found.setdefault(_notation(label), label)
    if "index" in found and _digits(labels, space):
        return "string"
    if "index" in found:
        raise ValueError(
            f"labels such as {found['index']!r} may be numbers of rows: if they are the "
            'benchmark\'s own numbers of its architectures, pass notation="index"'
        )
    if len(found) == 1 and None not in found:
        return next(iter(found))
    seen = ", ".join(f"{kind or 'unknown'}: {str(label)[:80]!r}" for kind, label in found.items())
    raise ValueError(
        f"architectures must be written in one notation ({', '.join(PATTERNS)}), got {seen}"
    )


def _digits(labels: list, space: Space | str | None) -> bool:
    """Whether labels of digits alone are strings of the space, or of one that is known."""
    space = spaces.get(space) if isinstance(space, str) else space
    return all(isinstance(label, str) for label in labels) and any(
        all(_reads(each, label) for label in labels)
        for each in ([space] if isinstance(space, Space) else spaces.SPACES.values())
    )


def _reads(space: Space, label: str) -> bool:
    try:
        space.encode(label)
    except ValueError:
        return False
    return True


def _notation(label: Any) -> str | None:
    if isinstance(label, (tuple, list, np.ndarray)):
        return "code" if all(isinstance(op, Integral) for op in label) else None
    if isinstance(label, Integral) and not isinstance(label, bool):
        return "index"
    if isinstance(label, str):
        return next((k for k, p in PATTERNS.items() if re.fullmatch(p, label.strip())), None)
    return None


def space_of(given: Given, space: Space | str | None) -> Space:
    """The space whose architectures are meant: as said, as the run's, or as the labels tell."""
    space = spaces.get(space) if isinstance(space, str) else space
    if not isinstance(space, (Space, type(None))):
        raise ValueError(
            f"space must be a Space or its name, got {type(space).__name__}: a truth is not given "
            "but read, so say which by dataset=, or by path= of its file"
        )
    if given.train is not None:
        own = given.train.space
        if space not in (None, own):
            raise ValueError(
                f"{given.name} is of {spaces.label(own)}, got space={spaces.label(space)!r}: leave "
                "space= out"
            )
        return own
    if space is not None:
        return space
    if given.notation == "index":
        return spaces.get("nasbench201")
    if given.notation == "code":
        raise ValueError(
            f"a code such as {given.labels[0]!r} numbers the operations of one space: pass space= "
            f"(a Space, or one of {', '.join(spaces.SPACES)}), or the run itself"
        )
    for known in sorted(spaces.SPACES.values(), key=len, reverse=True):
        try:
            _reader(given.notation, known, None)(given.labels[0])
            return known
        except ValueError:
            continue
    raise ValueError(f"{given.labels[0]!r} is of no space that is known: pass space=")


def _reader(notation: str, space: Space, index: pd.Series | None) -> Callable[[Any], Arch]:
    """What turns a label in that notation into an architecture of `space`."""
    if notation == "string":
        return space.encode
    if notation == "genotype":
        return lambda label: _genotype(space, label)
    if notation == "code":
        return lambda label: _code(space, label)
    if index is None:
        raise ValueError(
            "these scores are by the benchmark's own numbers, and the truth table does not tell "
            "them (nasbench201.csv and the archive do): pass strings or codes"
        )
    by_number = dict(zip(index, index.index, strict=True))

    def numbered(label: Any) -> Arch:
        if int(label) not in by_number:
            raise ValueError(f"the table has no number {label}")
        return space.parse(by_number[int(label)])

    return numbered


def _code(space: Space, label: Any) -> Arch:
    if isinstance(label, str) and "-" in label:
        return space.parse(label.strip())
    if isinstance(label, str):
        label = map(int, re.findall(r"\d+", label))
    return space.validate(label)


def _genotype(space: Space, label: str) -> Arch:
    """`[(('op', 0),), (('op', 0), ('op', 1)), ...]`, the operations into each node in turn."""
    try:
        nodes = ast.literal_eval(label[:LONGEST])
        rows = ["|".join(f"{op}~{source}" for op, source in node) for node in nodes]
    except (SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(f"no genotype: {error}") from None
    return space.encode("+".join(f"|{row}|" for row in rows))


def match(given: Given, space: Space, index: pd.Series | None) -> pd.Series:
    """The scores by code of `space`; ValueError unless every label is an architecture of its own.

    index: the benchmark's numbers by code, where they are known.
    """
    reader = _reader(given.notation, space, index)
    codes, wrong = [], []
    for label in given.labels:
        try:
            codes.append(space.code(reader(label)))
        except (ValueError, TypeError) as error:
            wrong.append((label, error))
    if wrong:
        label, error = wrong[0]
        raise ValueError(
            f"{len(wrong)} of {len(given.labels)} are no architectures of {spaces.label(space)} by "
            f"{given.notation}, the first {str(label)[:200]!r} ({str(error)[:300]})"
        )
    pred = pd.Series(given.scores, index=pd.Index(codes, name="code"), name=given.name)
    if twice := list(pred.index[pred.index.duplicated()].unique()):
        raise ValueError(
            f"{len(twice)} architectures are scored more than once ({few(twice)}): pass one score "
            "for each"
        )
    return pred


def classes(space: Space, codes: Iterable[str]) -> int:
    """How many different functions architectures are."""
    return len({space.canonical(space.parse(code)) for code in codes})
