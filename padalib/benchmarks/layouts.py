"""Where a space's truth table lies, in which layout, and its rows in the order of the space."""

import re
import shlex
from collections.abc import Iterable
from io import StringIO
from pathlib import Path

import pandas as pd

from padalib import spaces
from padalib.benchmarks import tables
from padalib.benchmarks.checks import problems
from padalib.benchmarks.tables import SPLITS
from padalib.engine import paths
from padalib.ranking.vectors import few
from padalib.spaces import Space

KEPT = ("mini", "chain-mini")  # spaces whose table the project keeps; `padalib truth` makes them
LAYOUTS = (
    "tables of our own (columns code, string, valid_acc_0, ...), and of NAS-Bench-201 "
    f"{tables.CSV} (columns arch, cifar10_val, cifar10_test, ...), {tables.NPY}, the folder "
    f"{tables.ARCHIVE}/ and analog-nasbench's data.anb are understood"
)


def own_path(space: Space) -> Path:
    """Where the project keeps its own table of a space."""
    return paths.project_root() / "data" / "truth" / f"{space.name}.csv"


def whole_of(space: Space) -> Space:
    """The space whose table holds the architectures of `space`: it has all of its options.

    Of the same class and strides: names alone do not say what a network is. Else `space` itself.
    """
    strings = [space.decode(arch) for arch in space.some()]
    for known in spaces.SPACES.values():
        strides = (getattr(one, "strides", None) for one in (known, space))
        if type(known) is not type(space) or len(set(strides)) > 1:
            continue
        try:
            for string in strings:
                known.encode(string)
        except ValueError:
            continue
        return known
    return space


def is_own(path: Path) -> bool:
    """Whether a file is laid out as ours (else as one of others); ValueError if as neither."""
    if path.is_dir() or path.suffix in (".npy", ".anb"):
        return False
    with path.open("rb") as file:
        header = file.readline(2**16).decode("utf-8", "replace").strip().split(",")
    if not {"code", "arch"} & set(header):
        raise ValueError(
            f"{path} is laid out as no truth table that can be read: {LAYOUTS}. Convert it to one "
            "of them, or, to hold scores against a table, see `truth.compare`"
        )
    return "arch" not in header


def read_own(space: Space, path: Path) -> pd.DataFrame:
    """A table in our layout: the rows of `space`, by code, in its order."""
    whole = whole_of(space)
    kept, root = own_path(whole), paths.project_root()
    if whole.name not in KEPT:
        remedy = (
            "train its architectures alone with `alone.save(alone.build(space), path)`, and pass "
            f"that path=; {LAYOUTS}"
        )
    elif path.resolve() == kept.resolve():
        inside, place = kept.relative_to(root), shlex.quote(str(root))
        remedy = (
            f"fetch it again with `git -C {place} checkout -- {inside}` or rebuild it with "
            f"`padalib truth {whole.name} --publish`"
        )
    else:
        remedy = f"write it again with `alone.save`, or pass another: {LAYOUTS}"
    if not path.is_file():
        raise FileNotFoundError(f"no truth table of {space.name} at {path}: {remedy}")
    try:
        # pandas reads floats to the last bit from 3.1 on (before: float_precision="round_trip")
        text = path.read_text(encoding="utf-8")
        table = pd.read_csv(StringIO(text), dtype={"code": str, "string": str}, na_filter=False)
    except ValueError as error:  # pandas' parser errors and bad unicode are ValueErrors
        raise ValueError(f"{path} cannot be read as CSV ({error}): {remedy}") from error
    strings = {space.decode(arch): space.code(arch) for arch in space}
    # Its codes are those of the whole space, or, where only this part was trained, of the part.
    found = problems(max((space, whole), key=lambda one: _fitting(one, table)), table)
    if not text.endswith("\n"):  # a number cut short is a number still
        found.append("the last line is cut off")
    _check(found, path, space, remedy)
    # By string: another space numbers its operations in another way.
    table = table.set_index("string", drop=False).loc[list(strings)].assign(code=strings.values())
    return table.set_index("code")


def read_foreign(space: Space, path: Path, dataset: str | None) -> tuple[str, pd.DataFrame]:
    """(source, table) of one of NAS-Bench-201's: the rows of `space` on one dataset, likewise."""
    source, table = tables.read(path)
    held = [name for name in tables.TRIALS if any(c.startswith(f"{name}_") for c in table)]
    if dataset not in held:
        raise ValueError(
            f"pass dataset=, one of {', '.join(held) or 'none'}, got {dataset!r}: "
            f"{path} ({source}) has no other"
        )
    pattern = rf"^{dataset}_({'|'.join(SPLITS)})(_\d+)?$"
    acc = table.filter(regex=pattern).rename(
        columns=lambda name: re.sub(pattern, r"\1_acc\2", name)
    )
    table = pd.concat([table[["string"]], acc, table.filter(["index"])], axis=1)
    codes = {space.decode(arch): space.code(arch) for arch in space}
    # Of a space with fewer operations, the benchmark's other architectures are not foreign.
    table = table[~table["string"].isin(_beyond(whole_of(space), codes))]
    table.insert(0, "code", [codes.get(string, string) for string in table["string"]])
    found = problems(space, table.fillna(0.0), list(acc))
    for split in SPLITS:  # a missing seed is all right, a missing architecture is not
        of_split = table.filter(regex=f"^{split}_acc")
        if not of_split.empty and (empty := list(table["code"][of_split.isna().all(axis=1)])):
            found.append(f"{len(empty)} architectures without {split} accuracy: {few(empty)}")
    _check(found, path, space, "correct it or fetch it again")
    table = table.set_index("code").loc[list(codes.values())]
    return source, table.astype(dict.fromkeys(acc, float))


def _fitting(space: Space, table: pd.DataFrame) -> int:
    """How many rows have the string that their code means in `space`."""
    if not {"code", "string"} <= set(table):
        return 0
    known = {space.code(arch): space.decode(arch) for arch in space}
    return int((table["code"].map(known) == table["string"]).sum())


def _beyond(whole: Space, strings: Iterable[str]) -> set[str]:
    """The architectures of `whole` that are not among `strings`."""
    return {whole.decode(arch) for arch in whole}.difference(strings)


def _check(found: list[str], path: Path, space: Space, remedy: str) -> None:
    if found:
        wrong = "; ".join(found)
        raise ValueError(f"{path} is not a truth table of {space.name}: {wrong}. Please {remedy}")
