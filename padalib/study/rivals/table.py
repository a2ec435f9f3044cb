"""The table that the field lacks: each method's paper, what it adds, cost, card, and its file.

What it says of a method is read from that method's own file: the docstring, and the comments that
mark where its public code, or its paper, does something else (`# differs:`).
"""

import inspect
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pandas as pd

import padalib
from padalib import samplers
from padalib.ranking import gradient_split, level_split, several
from padalib.samplers import Accumulate, Shuffled, UniformPaths
from padalib.samplers.base import Method
from padalib.study.scales.rivals import CONTROLS, METHODS

OF_SEVERAL = {"few-shot NAS": several, "GM-NAS": gradient_split, "EFS-NAS": level_split}
PLAIN = (UniformPaths, Shuffled, Accumulate)  # SPOS's own parts
VENUE = re.compile(
    r"\b(?:AAAI|CVPR|ECCV|ICCV|ICLR|ICML|NeurIPS)(?: Findings)? (?:19|20)\d\d\)?", re.ASCII
)
MARK = "# differs:"


@dataclass(frozen=True)
class About:
    """What a method's own file says of it."""

    adds: str  # the first sentence of its docstring
    paper: str  # as the docstring cites it
    differs: tuple[str, ...]  # where public code or paper do something else
    options: str  # that the method sets
    files: tuple[str, ...]  # from the project's root
    lines: int  # of these


def about(method: Method | str) -> About:
    """Of one method; ValueError where its file has no docstring."""
    if method in OF_SEVERAL:
        return _of([OF_SEVERAL[method]], [], cited=True)
    method = samplers.get(method) if isinstance(method, str) else method
    parts = (method.paths, method.data, method.update)
    set_here = [f"{name}={value}" for part in parts for name, value in part.options]
    return _of(own_modules(method), set_here, cited=method.name not in CONTROLS)


def _of(modules: Sequence[ModuleType], set_here: Sequence[str], cited: bool) -> About:
    told = [" ".join(_paragraphs(module)[0].split()) for module in modules]
    paper = next(filter(None, map(citation, modules)), "") if cited else ""
    root = Path(padalib.__file__).parents[1]
    files = [Path(inspect.getfile(module)) for module in modules]
    return About(
        " ".join(told),
        paper or "none: a control of ours",
        tuple(text for module in modules for text in (*departures(module), *_of_code(module))),
        ", ".join(set_here),
        tuple(file.relative_to(root).as_posix() for file in files),
        sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files),
    )


def own_modules(method: Method) -> list[ModuleType]:
    """The files that make it what it is: its update rule's, or else its samplers'."""
    if method.update.cls not in PLAIN:
        classes = [method.update.cls]
    else:
        classes = [part.cls for part in (method.paths, method.data) if part.cls not in PLAIN]
    names = dict.fromkeys(cls.__module__ for cls in classes or [method.paths.cls])
    return [sys.modules[name] for name in names]


def _paragraphs(module: ModuleType) -> list[str]:
    text = inspect.getdoc(module)
    if not text:
        raise ValueError(
            f"{module.__name__} has no docstring: say there what the method does, and its paper"
        )
    return [" ".join(part.split()) for part in text.split("\n\n")]


def citation(module: ModuleType) -> str:
    """The paper that the docstring cites first, up to venue and year; '' where there is none."""
    for text in _paragraphs(module)[1:]:
        if found := VENUE.search(text):
            return text[: found.end()]
    return ""


def departures(module: ModuleType) -> list[str]:
    """The comments that begin with `# differs:`, each whole, with the option that they are of.

    That is the attribute or key which one of the next two lines of code names, if any.
    """
    lines, found = inspect.getsource(module).splitlines(), []
    for at, line in enumerate(lines):
        if not line.strip().startswith(MARK):
            continue
        words, rest = [line.strip().removeprefix(MARK)], lines[at + 1 :]
        while rest and rest[0].strip().startswith("#") and not rest[0].strip().startswith(MARK):
            words.append(rest.pop(0).strip().removeprefix("#"))
        option = re.search(r'self\.(\w+)|"(\w+)":', "\n".join(rest[:2]))
        text = _sentence(" ".join("".join(words).split()))
        found.append(f"`{option[1] or option[2]}`: {text}" if option else text)
    return found


def _of_code(module: ModuleType) -> Iterator[str]:
    """The sentences of the docstring that speak of code, public or not."""
    for text in _paragraphs(module)[1:]:
        for sentence in re.split(r"(?<=[.)]) (?=[A-Z(])", text):
            if re.search(r"\bcode\b", sentence):
                yield _sentence(sentence.strip("()"))


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:].rstrip(".") + "."


# --- beside what it costs and what it reaches ---

COLUMNS = {  # of the table's costs, in multiples of SPOS's
    "flops": "FLOPs",
    "time": "time",
    "peak": "memory",
}
CARD = {
    "tau_loss": "tau, by loss",
    "within_flops": "within equal FLOPs",
    "with_flops": "with the FLOPs' rank",
}


def table(tables: Mapping[str, pd.DataFrame], space: str) -> pd.DataFrame:
    """A row a method that was trained: what its file says, its cost in SPOS's, its card."""
    costs = tables["costs"].set_index("method")
    cards = tables["cards"].query("space == @space").set_index(["method", "measure"])
    rows = []
    for name in METHODS:
        if name not in costs.index:
            continue
        own = about(name)
        row = {"method": name, "paper": own.paper, "adds": own.adds}
        row |= {head: f"{costs.loc[name, key]:.2f}" for key, head in COLUMNS.items()}
        for measure, head in CARD.items():
            card = cards.loc[name, measure]
            row[head] = f"{card.value:.3f} [{card.low:.3f}, {card.high:.3f}]"
        links = [f"[{Path(file).name}](../{file})" for file in own.files]
        row["file"] = f"{' and '.join(links)}, {own.lines} lines"
        rows.append(row)
    return pd.DataFrame(rows)


def markdown(rows: pd.DataFrame) -> str:
    """A table of strings for `IPython.display.Markdown`, whose links work."""
    lines = [rows.columns, ["---"] * len(rows.columns), *rows.itertuples(index=False)]
    return "\n".join(
        f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in line)} |"
        for line in lines
    )


def code_differs() -> str:
    """By method: what its public code or its paper does otherwise, as a list in Markdown."""
    said, told = [], {}
    for name in METHODS:
        own = about(name)
        options = f" ({own.options})" if own.options else ""
        earlier = [told[file] for file in own.files if file in told]
        words = " ".join(own.differs) or "nothing is named."
        if len(earlier) == len(own.files):
            words = f"as {' and '.join(earlier)}."
        for file in own.files:
            told.setdefault(file, name)
        said.append(f"- **{name}**{options}: {words}")
    return "\n".join(said)
