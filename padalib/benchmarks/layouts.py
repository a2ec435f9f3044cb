"""Where a space's own truth table lies, and what a reader of somebody else's is."""

import shlex
from collections.abc import Iterable, Mapping
from io import StringIO
from pathlib import Path
from typing import Protocol

import pandas as pd

from padalib import spaces
from padalib.benchmarks import about
from padalib.benchmarks.checks import problems
from padalib.engine import paths
from padalib.spaces import Arch, Space

LARGEST = 1000  # architectures to train alone, one by one, unless a number is asked for
PATH = "path=, or --truth on the command line"  # how a table elsewhere is given
KEPT = ("mini", "chain-mini")  # spaces whose table the project keeps; `padalib truth` makes them


class Reader(Protocol):
    """A module that reads a published benchmark; `registry` names it for `Space.benchmark`."""

    SIDES: Mapping[str, int]  # its data sets, and the pixels of their images
    SUFFIXES: tuple[str, ...]  # of its files that are no CSV; a CSV of others has a column `arch`
    LAYOUT: str  # what it understands, to be named beside our own layout

    @staticmethod
    def find(root: Path) -> Path:
        """Its table in a data root; FileNotFoundError says where to get it and where to put it."""

    @staticmethod
    def read(path: Path, space: Space, dataset: str | None) -> tuple[str, pd.DataFrame]:
        """(source in a few words, table) of the architectures of `space`, by code, in its order.

        Columns: `string`; accuracies in %, `<split>_acc_<seed>` or `<split>_acc` where only means
        are known; where the benchmark tells them, `index`, its own numbers, and `trained`, alike
        where rows are one and the same training. ValueError in one sentence for what is not the
        benchmark's, or for another data set.
        """


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


def understood(reader: Reader) -> str:
    """Which layouts can be read, for an error."""
    own = "tables of our own (columns code, string, valid_acc_0, ...)"
    return f"{own}, and {reader.LAYOUT} are understood"


def check_dataset(dataset: str | None, held: Iterable[str], path: Path, source: str) -> None:
    """ValueError unless the data set is one of those that a file holds."""
    if dataset not in (held := list(held)):
        given = "no dataset was named" if dataset is None else f"there is no dataset {dataset!r}"
        raise ValueError(
            f"{given}: {path} ({source}) holds {', '.join(held) or 'none'}, so name one of them "
            "(dataset=, on the command line --dataset)"
        )


def is_own(path: Path, reader: Reader) -> bool:
    """Whether a file is laid out as ours (else as the reader's); ValueError if as neither."""
    if path.is_dir() or path.suffix in reader.SUFFIXES:
        return False
    with path.open("rb") as file:
        header = file.readline(2**16).decode("utf-8", "replace").strip().split(",")
    if not {"code", "arch"} & set(header):
        raise ValueError(
            f"{path} is laid out as no truth table that can be read: {understood(reader)}. "
            "Convert it to one of them, or, to hold scores against a table, see `truth.compare`"
        )
    return "arch" not in header


def read_own(space: Space, path: Path, reader: Reader) -> pd.DataFrame:
    """A table in our layout: the rows of `space`, by code, in its order; or those it has drawn."""
    whole = whole_of(space)
    kept, root = own_path(whole), paths.project_root()
    if whole.name not in KEPT:
        named = space.name if space.name in spaces.SPACES else "<file.py:NAME>"
        some = " --archs 200" if space.architectures > LARGEST else ""
        code = "" if some else "or `alone.save(alone.build(space), path)`, "
        remedy = (
            f"train its architectures alone with `padalib truth --space {named} --data <name>"
            f"{some}`, {code}and pass the path of that table "
            f"({PATH})" + (f"; {understood(reader)}" if space.benchmark else "")
        )
    elif path.resolve() == kept.resolve():
        inside, place = kept.relative_to(root), shlex.quote(str(root))
        remedy = (
            f"fetch it again with `git -C {place} checkout -- {inside}` or rebuild it with "
            f"`padalib truth {whole.name} --publish`"
        )
        if not (root / ".git").exists():
            remedy = f"it is {inside} of a clone of the project: work in one (`pip install -e .`)"
    else:
        remedy = f"write it again with `alone.save`, or pass another: {understood(reader)}"
    if not path.is_file():
        if whole.name not in KEPT and (made := about.made(whole.name)):
            one = ", ".join(map(str, made[:3]))
            remedy = f"pass one that was made here ({PATH}), {one}; or {remedy}"
        raise FileNotFoundError(f"no truth table of {space.name} at {path}: {remedy}")
    try:
        # pandas reads floats to the last bit from 3.1 on (before: float_precision="round_trip")
        text = path.read_text(encoding="utf-8")
        texts = dict.fromkeys(("code", "string", *about.COLUMNS), str)
        table = pd.read_csv(StringIO(text), dtype=texts, na_filter=False)
    except ValueError as error:  # pandas' parser errors and bad unicode are ValueErrors
        raise ValueError(f"{path} cannot be read as CSV ({error}): {remedy}") from error
    told, found = about.read(table)
    if told and told.space not in (space.name, whole.name):
        other = f"ask for that space (by --space), or give {space.name}'s own table"
        refuse([f"it is of the space {told.space!r}"], path, space, other)
    refuse(found, path, space, remedy)
    archs = _held(told, space, path)
    if told and told.drawn:
        found = problems(space, table, archs=archs)
    else:
        # Its codes are those of the whole space, or, where only this part was trained, of the part.
        found = problems(max((space, whole), key=lambda one: _fitting(one, table)), table)
    if not text.endswith("\n"):  # a number cut short is a number still
        found.append("the last line is cut off")
    refuse(found, path, space, remedy)
    strings = {space.decode(arch): space.code(arch) for arch in archs}
    # By string: another space numbers its operations in another way.
    table = table.set_index("string", drop=False).loc[list(strings)].assign(code=strings.values())
    return table.set_index("code")


def _held(told: about.About | None, space: Space, path: Path) -> Iterable[Arch]:
    """The architectures of `space` that a table should hold."""
    try:
        return told.archs(space) if told else list(space)
    except ValueError as error:
        raise ValueError(f"{path} is not a truth table of {space.name}: {error}") from None


def _fitting(space: Space, table: pd.DataFrame) -> int:
    """How many rows have the string that their code means in `space`."""
    if not {"code", "string"} <= set(table):
        return 0
    known = {space.code(arch): space.decode(arch) for arch in space}
    return int((table["code"].map(known) == table["string"]).sum())


def refuse(found: list[str], path: Path, space: Space, remedy: str) -> None:
    if found:
        wrong = "; ".join(found)
        raise ValueError(f"{path} is not a truth table of {space.name}: {wrong}. Please {remedy}")
