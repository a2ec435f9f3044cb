"""What others' supernets predict: a file of scores of anybody's, and published prediction files.

Every reader gives a table with the columns code, seed, score and, where given, loss.
"""

import ast
import json
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd

from padalib.spaces import Space

LEAST = 20  # architectures of a card
SHOWN = 20  # problems that an error lists; the rest are counted
NAMES = {
    "code": ("code",),
    "string": ("arch", "string", "architecture"),
    "score": ("score", "accuracy"),
}
SUFFIX = re.compile(r"(?:seed-(?P<seed>\d+)-)?(?P<name>.+)_(?P<part>\d+)")


class ScoresError(ValueError):
    """A file of scores that cannot be used; the message lists every problem, by row."""


def read_scores(path: Path | str, space: Space) -> pd.DataFrame:
    """Scores in a CSV file: `code` or the benchmark's string (`arch`), `score` (or `accuracy`).

    Optional: `seed` (whole numbers; one seed if absent) and `loss`. Higher scores are better, lower
    losses. Raises ScoresError that lists all that is wrong, by row (the header is row 1):
    what is no architecture of `space`, numbers that are none, doubled rows, seeds that do not score
    the same architectures.
    """
    path = Path(path)
    try:
        raw = pd.read_csv(path, dtype=str, keep_default_na=False, skipinitialspace=True)
    except FileNotFoundError:
        raise ScoresError(f"there is no file {path}") from None
    except (ValueError, OSError) as error:
        raise ScoresError(f"{path} cannot be read as CSV: {error}") from error
    raw.columns = [str(name).strip().lower() for name in raw.columns]
    named = {key: next((n for n in names if n in raw), None) for key, names in NAMES.items()}
    wrong = []
    if (named["code"] is None) == (named["string"] is None):
        wrong.append("it needs one column of architectures: `code` (3-0-2) or `arch` (a string)")
    if named["score"] is None:
        wrong.append("it needs a column `score` (or `accuracy`), higher being better")
    if raw.columns.has_duplicates:
        wrong.append("two columns have one name")
    if not wrong and raw.empty:
        wrong.append("it has no rows")
    if wrong:
        found = ", ".join(raw.columns) or "none"
        raise ScoresError(f"{path} holds no scores: {'; '.join(wrong)}. Its columns: {found}")
    column = named["code"] or named["string"]
    read = space.parse if named["code"] else space.encode
    table = pd.DataFrame(
        {"code": list(_each(raw[column], lambda text: space.code(read(text)), wrong))}
    )
    table["seed"] = list(_each(raw["seed"], _whole, wrong)) if "seed" in raw else 0
    for name in ("score", "loss"):
        if (named[name] if name == "score" else name) in raw:
            table[name] = list(_each(raw[named.get(name, name)], _finite, wrong))
    double = table.dropna().duplicated(["code", "seed"])
    for row in double.index[double]:
        own = table.loc[row]
        wrong.append((row + 2, f"{own.code}, seed {int(own.seed)}, stands in a row above too"))
    if not wrong:
        wrong += _uneven(table)
    refuse(path, wrong)
    _check_enough(path, table)
    return table.astype({"seed": int})


def _check_enough(path: Path, table: pd.DataFrame) -> None:
    """ScoresError for too few architectures, or a seed that ranks nothing."""
    count = table.code.nunique()
    if count < LEAST:
        raise ScoresError(
            f"{path} scores {count} architectures, too few for intervals: at least {LEAST} are "
            "needed"
        )
    values = table.groupby("seed").score.nunique()
    if (values == 1).any():
        raise ScoresError(
            f"{path}: all scores of seed {int(values.idxmin())} are equal, so they rank nothing; "
            "was the network trained, and the column the right one?"
        )


def _each(cells: pd.Series, read: Callable, wrong: list) -> Iterator:
    for row, cell in enumerate(cells, start=2):
        try:
            yield read(cell.strip())
        except ValueError as error:
            reason = str(error)
            if read in (_whole, _finite):
                kind = "a whole number" if read is _whole else "a finite number"
                reason = f"{cells.name} must be {kind}, got {cell!r}"
            wrong.append((row, reason))
            yield None


def _whole(text: str) -> int:
    value = int(text)
    if not _plain(text) or abs(value) >= 2**63:  # a table holds 64 bits
        raise ValueError(text)
    return value


def _plain(text: str) -> bool:
    """Whether a number is written as everybody writes it: Python also reads 1_000 and ٣."""
    return text.isascii() and "_" not in text


def _finite(text: str) -> float:
    value = float(text)
    if not _plain(str(text)) or not math.isfinite(value):
        raise ValueError(text)
    return value


def _uneven(table: pd.DataFrame) -> list[tuple[int, str]]:
    """Architectures that some seed has no score of, at the row where they first stand."""
    counts = table.groupby("code").seed.nunique()
    few = counts[counts < table.seed.nunique()]
    first = table.drop_duplicates("code").reset_index().set_index("code")["index"]
    return [
        (int(first[code]) + 2, f"{code} has scores of {n} of {table.seed.nunique()} seeds only")
        for code, n in few.items()
    ]


def refuse(path: Path, wrong: list[tuple[int, str]]) -> None:
    """Raise a ScoresError that lists what is wrong in which row, if anything is."""
    if wrong:
        lines = [f"- row {row}: {reason}" for row, reason in sorted(wrong)]
        more = f"\n... and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
        raise ScoresError(f"{path} has {len(lines)} bad rows:\n" + "\n".join(lines[:SHOWN]) + more)


# --- published prediction files ---


def few_shot_logs(folder: Path | str, space: Space) -> pd.DataFrame:
    """The prediction files of cvlab-yonsei/Few-Shot-NAS, `cell_based/SuperNet/logs`.

    Each run lies in parts `[seed-<seed>-]<family>_<k>`: JSON of genotype -> accuracy in % with
    inherited weights on CIFAR-10's test images. Adds the column `family`. Runs that do not hold
    every architecture of `space` are left out. Raises ScoresError where nothing is there, or a file
    is damaged.
    """
    folder = Path(folder)
    runs: dict[tuple[str, int], list[Path]] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.is_file() and (match := SUFFIX.fullmatch(path.name)):
            runs.setdefault((match["name"], int(match["seed"] or 0)), []).append(path)
    tables = []
    for (family, seed), parts in runs.items():
        scores: dict[str, float] = {}
        for path in parts:
            scores |= dict(_genotypes(path, space))
        if len(scores) == len(space):
            own = pd.DataFrame({"code": list(scores), "score": list(scores.values())})
            tables.append(own.assign(seed=seed, family=family))
    if not tables:
        raise ScoresError(
            f"no complete run of prediction files in {folder}: clone cvlab-yonsei/Few-Shot-NAS "
            "into the data root, and name its cell_based/SuperNet/logs"
        )
    return pd.concat(tables, ignore_index=True)


def _genotypes(path: Path, space: Space) -> Iterator[tuple[str, float]]:
    try:
        content = json.loads(path.read_text())
        for genotype, accuracy in content.items():
            nodes = ast.literal_eval(genotype)
            string = "+".join("|" + "|".join(f"{op}~{i}" for op, i in node) + "|" for node in nodes)
            yield space.code(space.encode(string)), _finite(accuracy)
    except (AttributeError, OSError, RecursionError, SyntaxError, TypeError, ValueError) as error:
        raise ScoresError(f"{path} is no file of predictions ({error}): fetch it again") from error
