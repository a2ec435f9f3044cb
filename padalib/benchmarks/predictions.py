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

from padalib.benchmarks.checks import once
from padalib.engine import words
from padalib.ranking.vectors import few
from padalib.spaces import SPACES, Space

LEAST = 20  # architectures of a card
SHOWN = 3  # rows of one problem that an error quotes; the rest are named
QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|-?[\d.]+(?:-\d+)*")  # what differs in one problem's words
NAMES = {
    "code": ("code",),
    "string": ("arch", "string", "architecture"),
    "score": ("score", "accuracy"),
}
CLONE = "few-shot-nas"  # in the name of a clone's folder, in small letters
PREFIX = "opt5-wotrash-"  # of their names: without architectures that no signal passes
SUFFIX = re.compile(r"(?:seed-(?P<seed>\d+)-)?(?P<name>.+)_(?P<part>\d+)")


class ScoresError(ValueError):
    """A file of scores that cannot be used; the message lists every problem, by row."""


def read_scores(path: Path | str, space: Space) -> tuple[pd.DataFrame, list[str]]:
    """Scores in a CSV file: `code` or the benchmark's string (`arch`), `score` (or `accuracy`).

    Optional: `seed` (whole numbers; one seed if absent) and `loss`, which also stands for a score
    where there is none. Higher scores are better, lower losses. Returns the table, and notes: what
    was left aside. Raises ScoresError that lists all that is wrong, by row (the header is row 1):
    what is no architecture of `space`, numbers that are none, doubled rows, seeds that do not score
    the same architectures.
    """
    path = Path(path)
    try:
        raw = pd.read_csv(path, dtype=str, keep_default_na=False, skipinitialspace=True)
    except FileNotFoundError:
        raise ScoresError(f"there is no file {path}") from None
    except (ValueError, OSError) as error:
        raise ScoresError(f"{path} cannot be read as CSV: {str(error).strip()}") from error
    raw.columns = [str(name).strip().lower() for name in raw.columns]
    named = {key: next((n for n in names if n in raw), None) for key, names in NAMES.items()}
    wrong = []
    if named["code"] is None and named["string"] is None:
        wrong.append("it needs one column of architectures: `code` (3-0-2) or `arch` (a string)")
    elif named["code"] and named["string"]:
        wrong.append(f"`code` and `{named['string']}` both name architectures: leave one out")
    if named["score"] is None and "loss" not in raw:
        wrong.append(
            "it needs a column `score` (or `accuracy`), higher being better, or `loss`, lower "
            "being better"
        )
    if raw.columns.has_duplicates:
        wrong.append("two columns have one name")
    if not wrong and raw.empty:
        wrong.append("it has no rows")
    if wrong:
        found = ", ".join(raw.columns) or "none"
        if len(raw.columns) == 1 and re.search(r"[;\t]", found):
            found += ". Separate them by commas"
        raise ScoresError(f"{path} holds no scores: {'; '.join(wrong)}. Its columns: {found}")
    column = named["code"] or named["string"]
    read = space.parse if named["code"] else space.encode
    table = pd.DataFrame(
        {"code": list(_each(raw[column], lambda text: space.code(read(text)), wrong))}
    )
    foreign = 2 * len(wrong) > len(raw)
    table["seed"] = list(_each(raw["seed"], _whole, wrong)) if "seed" in raw else 0
    for name, own in (("score", named["score"]), ("loss", "loss")):
        if own in raw:
            table[name] = list(_each(raw[own], _finite, wrong))
    notes, used = [], {column, "seed", named["score"], "loss"}
    if others := [name for name in raw if name not in used]:
        notes.append(f"Not used: column {', '.join(others)}")
    double = table.dropna().duplicated(["code", "seed"])
    for row in double.index[double]:
        own = table.loc[row]
        wrong.append((row + 2, f"{own.code}, seed {int(own.seed)}, stands in a row above too"))
    hint = ""
    if double.any():
        several = [name for name in others if raw[name].nunique() > 1]
        hint = several and f"They differ in {few(several)}: pass the rows of one of each"
    elif foreign and not named["code"] and raw[column].str.fullmatch(r"\s*\d+(-\d+)*\s*").all():
        hint = f"These are codes: call the column `code`, not `{column}`"
    elif foreign:
        hint = _elsewhere(raw[column], space, bool(named["code"]))
    if not wrong:
        wrong += _uneven(table)
    refuse(path, wrong, hint or "")
    if "score" not in table:
        table["score"] = -table.loss
        notes.insert(0, _by_loss(raw[others]))
    _check_enough(path, table)
    return table.astype({"seed": int}), notes


def _by_loss(unused: pd.DataFrame) -> str:
    """That the loss ranks, and which of the columns left aside may have been meant as scores."""
    said = "There is no column `score`, so architectures are ranked by loss, the lowest first"
    likely = []
    for name in unused:
        values = pd.to_numeric(unused[name], errors="coerce")
        if values.notna().all() and values.nunique() > 1 and not name.startswith("unnamed:"):
            likely.append(f"`{name}`")  # unnamed: pandas' index
    if not likely:
        return said
    it = "it" if len(likely) == 1 else "that one"
    return f"{said}; if {' or '.join(likely)} is the score, call {it} `score`"


def _elsewhere(cells: pd.Series, space: Space, codes: bool) -> str:
    """What to say of rows most of which are no architectures of a space."""
    what = "codes" if codes else "architectures"
    if fit := [name for name, other in SPACES.items() if _all_of(cells, other, codes)]:
        named = " and ".join(f"`{name}`" for name in fit)
        return f"These {what} fit {named}: --space {' or '.join(fit)}"
    if not codes:
        return ""
    form = space.code(next(iter(space.some())))
    return f"A code of {space.name} has a number for each {space.kind}, such as {form}"


def _all_of(cells: pd.Series, space: Space, codes: bool) -> bool:
    try:
        for cell in cells.unique():
            (space.parse if codes else space.encode)(cell.strip())
    except ValueError:
        return False
    return True


def _check_enough(path: Path, table: pd.DataFrame) -> None:
    """ScoresError for too few architectures, or a seed that ranks nothing."""
    count = table.code.nunique()
    if count < LEAST:
        raise ScoresError(
            f"{path} scores {count} architecture{'s' * (count != 1)}, too few for intervals: at "
            f"least {LEAST} are needed"
        )
    for name, what in (("score", "scores"), ("loss", "losses")):
        if name not in table:
            continue
        values = table.groupby("seed")[name].nunique()
        if (values == 1).any():
            raise ScoresError(
                f"{path}: all {what} of seed {int(values.idxmin())} are equal, so they rank "
                "nothing; was the network trained, and the column the right one?"
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
    short = counts[counts < table.seed.nunique()]
    first = table.drop_duplicates("code").reset_index().set_index("code")["index"]
    return [
        (int(first[code]) + 2, f"{code} has scores of {n} of {table.seed.nunique()} seeds only")
        for code, n in short.items()
    ]


def refuse(path: Path, wrong: list[tuple[int, str]], hint: str = "") -> None:
    """Raise a ScoresError that names every row where something is wrong, if anything is.

    The hint stands first. Of rows that are wrong in one way `SHOWN` are quoted.
    """
    if not wrong:
        return
    kinds: dict[str, list[tuple[int, str]]] = {}
    for row, reason in sorted(wrong):
        kinds.setdefault(QUOTED.sub("", reason), []).append((row, reason))
    lines = [hint] if hint else []
    for own in kinds.values():
        lines += [f"- row {row}: {reason}" for row, reason in own[:SHOWN]]
        if rest := [row for row, _ in own[SHOWN:]]:
            lines.append(f"- {_named(rest)}: likewise")
    rows = words.counted(len({row for row, _ in wrong}), "bad row")
    raise ScoresError(f"{path} has {rows}:\n" + "\n".join(lines))


def _named(rows: list[int]) -> str:
    """Rows in words, those that follow each other as one: 'rows 2, 5 to 86'."""
    spans: list[list[int]] = []
    for row in dict.fromkeys(rows):
        if spans and row == spans[-1][1] + 1:
            spans[-1][1] = row
        else:
            spans.append([row, row])
    said = [f"{first} to {last}" if first < last else str(first) for first, last in spans]
    return f"row{'s' * (len(set(rows)) > 1)} {', '.join(said)}"


# --- published prediction files ---


def published(root: Path, space: Space) -> pd.DataFrame:
    """What supernets of others predict for all of `space`: code, score, seed and family.

    From a clone of cvlab-yonsei/Few-Shot-NAS in `root`, else from the same runs as one table,
    `published_supernets.csv.gz`: `code`, then a column `<family>/<seed>` each. Raises ScoresError
    where there is neither.
    """
    table = root / "published_supernets.csv.gz"
    if found := _log_folders(root):
        every = pd.concat([few_shot_logs(folder, space) for folder in found], ignore_index=True)
        return every.drop_duplicates(["family", "seed", "code"], ignore_index=True)
    if table.exists():
        return _converted(table, space)
    raise ScoresError(
        f"the predictions of published supernets are not in {root}: clone "
        f"https://github.com/cvlab-yonsei/Few-Shot-NAS into it as {root / 'Few-Shot-NAS'}. What is "
        "published here is drawn again without them, with redraw=True"
    )


def _log_folders(root: Path) -> list[Path]:
    """The folders of prediction files beneath a clone in `root`."""
    clones = [p for p in sorted(root.glob("*")) if p.is_dir() and CLONE in p.name.lower()]
    files = (p for clone in clones for p in clone.rglob("*_0") if "baseline" in p.name)
    return sorted({p.parent for p in files if p.is_file() and SUFFIX.fullmatch(p.name)})


def _converted(path: Path, space: Space) -> pd.DataFrame:
    try:
        raw = pd.read_csv(path, dtype={"code": str}).set_index("code")
        runs = [column.rsplit("/", 1) for column in raw]
        long = [
            pd.DataFrame({"code": raw.index, "score": raw[column].to_numpy(float)}).assign(
                seed=int(seed), family=family
            )
            for column, (family, seed) in zip(raw, runs, strict=True)
        ]
    except (KeyError, ValueError, OSError, EOFError) as error:
        raise ScoresError(f"{path} is no table of predictions ({error}): fetch it again") from error
    if not long or set(raw.index) != set(map(space.code, space)) or raw.isna().any(axis=None):
        raise ScoresError(
            f"{path} holds {len(long)} runs of {len(raw):,} architectures, not every run a score "
            f"of each of the {space.architectures:,} of {space.name}: fetch it again"
        )
    return pd.concat(long, ignore_index=True)


def few_shot_logs(folder: Path | str, space: Space) -> pd.DataFrame:
    """The prediction files of cvlab-yonsei/Few-Shot-NAS, `cell_based/SuperNet/logs`.

    Each run lies in parts `[seed-<seed>-]<family>_<k>`: JSON of genotype -> accuracy in % with
    inherited weights on CIFAR-10's test images. Adds the column `family`, without what is the same
    in all names. Runs that do not hold every architecture of `space` are left out. Raises
    ScoresError where nothing is there, or a file is damaged.
    """
    folder = Path(folder)
    runs: dict[tuple[str, int], list[Path]] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.is_file() and (match := SUFFIX.fullmatch(path.name)):
            family = match["name"].removeprefix(PREFIX)
            runs.setdefault((family, int(match["seed"] or 0)), []).append(path)
    tables: list[pd.DataFrame] = []
    codes: dict[str, str] = {}  # by genotype: the same ones stand in every run
    for (family, seed), parts in runs.items():
        scores: dict[str, float] = {}
        for path in parts:
            own = _genotypes(path, space, codes)
            if twice := scores.keys() & own.keys():
                raise ScoresError(
                    f"{path} scores {few(sorted(twice))}, as another part of its run does: leave "
                    "one of them out"
                )
            scores |= own
        if len(scores) == space.architectures:
            own = pd.DataFrame({"code": list(scores), "score": list(scores.values())})
            tables.append(own.assign(seed=seed, family=family))
    if not tables:
        raise ScoresError(
            f"no complete run of prediction files in {folder}: clone cvlab-yonsei/Few-Shot-NAS "
            "into the data root, and name its cell_based/SuperNet/logs"
        )
    return pd.concat(tables, ignore_index=True)


def _genotypes(path: Path, space: Space, codes: dict[str, str]) -> dict[str, float]:
    """Code -> accuracy of one file; what each genotype means is noted in `codes`."""
    try:
        content = json.loads(path.read_text(), object_pairs_hook=once)
        for genotype in content.keys() - codes.keys():
            nodes = ast.literal_eval(genotype)
            string = "+".join("|" + "|".join(f"{op}~{i}" for op, i in node) + "|" for node in nodes)
            codes[genotype] = space.code(space.encode(string))
        return once([(codes[genotype], _finite(own)) for genotype, own in content.items()])
    except (AttributeError, OSError, RecursionError, SyntaxError, TypeError, ValueError) as error:
        raise ScoresError(f"{path} is no file of predictions ({error}): fetch it again") from error
