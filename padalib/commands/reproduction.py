"""What was computed or redrawn here, held against what is published."""

import io
import math
import re
import shutil
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from padalib.commands import driver
from padalib.engine import paths
from padalib.study import claims
from padalib.study.claims import Claim, Interval

SMOKE = "smoke shows that it runs; its numbers mean nothing"
AGREES = ("yes", "yes, identical")
LAST_DIGITS, NOTHING = 1e-9, 1e-12  # relative; absolute: what equal numbers may leave, subtracted


def agreement(published: Claim | None, own: Claim | None) -> str:
    """In words whether a reproduced claim agrees: the same verdict, and an estimate near enough."""
    if published is None or own is None:
        return "not published" if published is None else "not here"
    if (published.verdict, published.effect) == (own.verdict, own.effect):
        return "yes, identical"
    odd = [] if published.verdict == own.verdict else ["another verdict"]
    odd += ["estimate outside"] if inside(published, own) is False else []
    return f"no: {', '.join(odd)}" if odd else "yes"


def inside(published: Claim, own: Claim) -> bool | None:
    """Whether the own effect lies in a published interval, widened by half of the own one.

    Of several intervals one is enough: each is what another source of doubt leaves open. Ratios
    are compared by their logarithms. None where there is nothing to compare.
    """
    if math.isnan(published.effect) or math.isnan(own.effect):
        return None if math.isnan(published.effect) == math.isnan(own.effect) else False
    ratio = published.null == 1 and all(
        value > 0
        for claim in (published, own)
        for value in (claim.effect, *(interval.low for interval in claim.intervals))
    )
    scaled = math.log if ratio else float
    halves = {i.over: (scaled(i.high) - scaled(i.low)) / 2 for i in own.intervals}

    def holds(interval: Interval) -> bool:
        half = halves.get(interval.over, 0.0)
        half = 0.0 if math.isnan(half) else half
        return scaled(interval.low) - half <= scaled(own.effect) <= scaled(interval.high) + half

    known = [
        i
        for i in published.intervals
        if not math.isnan(i.low + i.high) and claims.own_effect(published, i) == published.effect
    ]
    return any(map(holds, known)) if known else None


def compare(scale: str) -> str:
    """The claims of a scale as computed here, beside the published ones; ValueError for none."""
    folder = paths.own_folder(scale)
    own = claims.read(folder / "results")
    if not own:
        raise ValueError(
            f"no claim was computed at scale {scale} here yet: run `make reproduce SCALE={scale}`"
        )
    if scale == "smoke":
        return f"Claims judged: {len(own)}, in {folder / 'results'}. {SMOKE.capitalize()}."
    published = claims.read(paths.published_results(scale))
    rows, answers = [], {}
    for key in dict.fromkeys([*published, *own]):
        pair = published.get(key), own.get(key)
        answers[key] = agreement(*pair)
        statement = next(claim for claim in pair if claim).statement
        rows.append([f"{statement} ({key})", *map(_said, pair), answers[key]])
    text = columns(["claim", "published", "yours", "agrees?"], rows, (0, 27, 27, 15))
    return "\n".join([text, "", *_summary(scale, published, answers), *_unfinished(scale, folder)])


def _said(claim: Claim | None) -> str:
    return f"{claim.verdict}\n{claims.numbers(claim)}" if claim else "-"


def _summary(scale: str, published: Mapping, answers: Mapping[str, str]) -> list[str]:
    if not published:
        return [f"Nothing is published at scale {scale} to compare with."]
    agreeing = [key for key, answer in answers.items() if answer in AGREES]
    lines = [
        f"{len(agreeing)} of {len(published)} published claims agree: the same verdict, and your "
        "estimate inside the published interval widened by half of yours."
    ]
    odd = [f"{key} ({answer})" for key, answer in answers.items() if answer not in AGREES]
    return lines + ([f"Look at: {'; '.join(odd)}."] if odd else [])


def _unfinished(scale: str, folder: Path) -> list[str]:
    known = driver.record(folder)
    left = [path.stem for path in driver.of_scale(scale) if path.stem not in known]
    return [f"Not run to the end here: {', '.join(left)}; their claims may be old."] if left else []


def columns(heads: Sequence[str], rows: Iterable[Sequence[str]], widths: Sequence[int]) -> str:
    """A table for a terminal; the column of width 0 takes what is left, and cells are wrapped."""
    whole = max(80, min(120, shutil.get_terminal_size((100, 24)).columns))
    left = whole - sum(widths) - 2 * (len(widths) - 1)
    widths = [width or left for width in widths]

    def lines(cells: Sequence[str]) -> list[str]:
        wrapped = [
            [part for line in cell.splitlines() for part in textwrap.wrap(line, width)] or [""]
            for cell, width in zip(cells, widths, strict=True)
        ]
        height = max(map(len, wrapped))
        padded = [parts + [""] * (height - len(parts)) for parts in wrapped]
        return [
            "  ".join(part.ljust(w) for part, w in zip(parts, widths, strict=True)).rstrip()
            for parts in zip(*padded, strict=True)
        ]

    found = [*lines(heads), "  ".join("-" * width for width in widths)]
    for row in rows:
        found += lines(row)
    return "\n".join(found)


def compare_redrawn(scale: str, whole: bool = True) -> str:
    """Whether redrawn figures and tables are the published ones; `whole` expects all figures.

    Processors differ in the last bits of a sum: what differs so little is counted, not listed.
    """
    folder = paths.own_folder(scale, redraw=True)
    known = driver.record(folder)
    new = sorted(name for own in known.values() for name in own["files"])
    homes = {
        "figures": paths.published_figures(scale),
        "results": paths.published_results(scale),
    }
    lines = []
    for kind, home in homes.items():
        own = _by_stem(folder / name for name in new if name.startswith(f"{kind}/"))
        theirs = _by_stem(path for path in home.glob("*.*"))
        wanted = theirs if kind == "figures" and whole else theirs.keys() & own.keys()
        same = [stem for stem in wanted if own.get(stem) == theirs[stem]]
        near = [stem for stem in wanted if stem not in same and stem in own]
        near = [stem for stem in near if _alike(own[stem], theirs[stem])]
        odd = sorted((set(wanted) | set(own)) - {*same, *near})
        what = "figures" if kind == "figures" else "redrawn tables"
        said = f"{len(same)} of {len(wanted)} {what} byte-identical to the published ones"
        if near:
            said += f", {len(near)} but for last digits, in which processors differ"
        lines.append(said)
        lines += [f"  {stem}: {_difference(own.get(stem), theirs.get(stem))}" for stem in odd]
    return "\n".join([f"Redrawn in {folder}:", *lines])


def _by_stem(files: Iterable[Path]) -> dict[str, dict[str, bytes]]:
    found: dict[str, dict[str, bytes]] = {}
    for path in files:
        found.setdefault(path.stem, {})[path.suffix] = path.read_bytes()
    return found


def alike(own: bytes, theirs: bytes) -> bool:
    """Whether two tables differ in no more than the last digits of numbers that are not whole."""
    if own == theirs:
        return True
    try:
        a, b = (
            pd.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False)
            for content in (own, theirs)
        )
    except ValueError:  # no table
        return False
    if a.shape != b.shape or list(a) != list(b):
        return False
    odd = (a != b).to_numpy()
    return all(map(_near, a.to_numpy()[odd], b.to_numpy()[odd]))


def _near(a: str, b: str) -> bool:
    """Whether two numbers as written differ in their last digits only; whole ones have none."""
    if not all(re.search("[.e]", text) for text in (a, b)):
        return False
    try:
        return math.isclose(float(a), float(b), rel_tol=LAST_DIGITS, abs_tol=NOTHING)
    except ValueError:
        return False


def _alike(own: Mapping[str, bytes], theirs: Mapping[str, bytes]) -> bool:
    """The same of the files of one name: tables alike, all else equal."""
    return own.keys() == theirs.keys() and all(
        alike(own[end], theirs[end]) if end == ".csv" else own[end] == theirs[end] for end in own
    )


def _difference(own: dict[str, bytes] | None, theirs: dict[str, bytes] | None) -> str:
    if own is None or theirs is None:
        return "was not redrawn" if own is None else "is not published"
    odd = sorted(end for end in own.keys() | theirs.keys() if own.get(end) != theirs.get(end))
    return f"differs ({', '.join(odd)})"
