"""NAS-Bench-101's accuracies of NAS-Bench-1Shot1's cells; a `layouts.Reader`.

Not of all: a public export holds the 20,001 cells of NAS-Bench-101 (Ying et al., ICML 2019) with
the smallest hashes, 4.72 %, and so a random sample of each space's, complete below that hash. One
training of three, and its accuracy on the 10,000 validation images of CIFAR-10 (40,000 to train
on), of which the benchmark evaluated 9,984; no test accuracy. Isomorphic cells are different
functions of a supernet, with one training: column `trained`, the hash of the cell.
"""

import csv
import hashlib
from pathlib import Path

import pandas as pd

from padalib.benchmarks import layouts
from padalib.benchmarks.pickles import TableError
from padalib.engine import paths
from padalib.spaces import LAYOUTS, ShotSpace, Space

FILE = "nasbench1shot1_sample.csv"
FROM = "github.com/tiga1231/nasbench-vis (static/data/data-20k.json of commit 7aec0e7)"
IMAGES = 9_984  # validation images
EPOCHS = (4, 12, 36, 108)  # lengths of training, each with a schedule of its own
VALID = tuple(f"valid_{epochs}" for epochs in EPOCHS)
COLUMNS = ("space", "arch", "hash", "params", *VALID)
# Of each space: distinct cells in all, and the digest of what the export says of the known ones.
KNOWN = {
    "nb1shot1-1": (2_685, "91b9b09c5ab0d072"),
    "nb1shot1-2": (7_773, "ea4a7d87eef906a8"),
    "nb1shot1-3": (55_854, "0d9158d9e2afc0d9"),
}
SPLIT = 0.01  # by so much, at most, weights of isomorphic cells of three branches differ

SIDES = {"cifar10": 32}
SUFFIXES: tuple[str, ...] = ()
LAYOUT = f"NAS-Bench-101's {FILE} (columns {', '.join(COLUMNS)})"


def find(root: Path) -> Path:
    """The sample in `root`; FileNotFoundError says what belongs there."""
    path = root / FILE
    if not path.exists():
        raise FileNotFoundError(
            f"no table of NAS-Bench-1Shot1's cells in {root}: put {FILE} there (columns "
            f"{', '.join(COLUMNS)}; made of {FROM} as data/README.md says). Or pass its path "
            f"({layouts.PATH})"
        )
    return path


def read(path: Path, space: Space, dataset: str | None) -> tuple[str, pd.DataFrame]:
    """As `layouts.Reader.read`: `valid_acc`, `trained`, `params`; a row for each known function."""
    layouts.check_dataset(dataset, SIDES, path, "NAS-Bench-101")
    table = _rows(path, space)
    cells = table["trained"].nunique()
    source = f"NAS-Bench-101, {cells:,} of {KNOWN[_name(space)][0]:,} cells, a hash-random sample"
    table = table.assign(valid_acc=100 * table[VALID[-1]] / IMAGES)
    return source, table[["string", "valid_acc", "trained", "params"]]


def learning(space: Space, path: Path | str | None = None) -> pd.DataFrame:
    """Validation accuracies in % after 4, 12, 36 and 108 epochs (columns), by code.

    For searches that train longer what looks better, such as successive halving: each number is
    that of a training of this length, whose schedule ends there. Errors as in `truth.load`.
    """
    found = _rows(find(paths.data_root()) if path is None else Path(path), space)
    return 100 * found[list(VALID)].set_axis(list(EPOCHS), axis=1) / IMAGES


def _name(space: Space) -> str:
    """Which of the paper's three spaces a space is, whatever its width."""
    own = isinstance(space, ShotSpace) and (space.parents, space.outputs)
    for name, layout in LAYOUTS.items():
        if layout == own:
            return name
    raise ValueError(f"{space.name} is none of {', '.join(LAYOUTS)}, whose cells are known")


def _rows(path: Path, space: Space) -> pd.DataFrame:
    """The rows of `space` by code, in its order; TableError names the first thing that is wrong."""
    name = _name(space)
    try:
        own = [row for row in _lines(path) if row["space"] == name[-1]]
        full = ShotSpace(name, space.parents, space.outputs)  # whose weights the benchmark counted
        rows = sorted(_checked(row, full) for row in own)
        table = pd.DataFrame(rows, columns=["code", "string", "trained", "params", *VALID])
        _check_whole(table, own, name)
    except (ValueError, OSError, csv.Error) as error:
        raise TableError(
            f"{path} is not the sample of NAS-Bench-101 of {name}: {error}. Please fetch it again"
        ) from error
    table = table.assign(code=[space.code(arch) for arch in table["code"]])
    return table.set_index("code")


def _lines(path: Path) -> list[dict[str, str]]:
    text = path.read_text(encoding="utf-8")
    if not text.endswith("\n"):  # a number cut short is a number still
        raise ValueError("its last line is cut off")
    reader = csv.DictReader(text.splitlines(), strict=True)
    if lack := [column for column in COLUMNS if column not in (reader.fieldnames or ())]:
        raise ValueError(f"it has no column {', '.join(lack)}")
    return list(reader)


def _checked(row: dict[str, str], space: ShotSpace) -> tuple:
    """A row's architecture, and what is known of it; ValueError where they do not fit."""
    string = row["arch"]
    arch = space.encode(string or "")
    if space.decode(arch) != string or space.canonical(arch) != arch:
        raise ValueError(f"cell {string} is written as {space.decode(space.canonical(arch))}")
    if row["hash"] != (own := space.truth_key(arch)):
        raise ValueError(f"the hash of cell {string} is {own}, not {str(row['hash'])[:40]!r}")
    numbers = []
    for column in ("params", *VALID):
        most = IMAGES if column in VALID else 10**9
        value = row[column] or ""
        if not (value.isascii() and value.isdigit() and len(value) < 10 and int(value) <= most):
            raise ValueError(
                f"{column} of cell {string} must be a whole number up to {most:,}, got "
                f"{value[:40]!r}"
            )
        numbers.append(int(value))
    weights, branches = space.params(arch), [block for block in space.plan(arch)[-1][1] if block]
    # The benchmark counted one cell for all that are isomorphic; three branches share unevenly.
    if abs(numbers[0] - weights) > (SPLIT * weights if len(branches) == 3 else 0):
        raise ValueError(f"cell {string} has {weights:,} weights, the file says {numbers[0]:,}")
    return arch, string, own, *numbers


def _check_whole(table: pd.DataFrame, own: list[dict[str, str]], name: str) -> None:
    """ValueError for cells twice or at odds with themselves, or not as exported."""
    if twice := list(table["string"][table["string"].duplicated()]):
        raise ValueError(f"{len(twice)} cells stand in it twice, first {twice[0]}")
    spread = table.groupby("trained")[["params", *VALID]].nunique().max(axis=1)
    if odd := list(spread.index[spread > 1]):
        raise ValueError(f"isomorphic cells of hash {odd[0]} have different numbers")
    lines = sorted(",".join(row[column] for column in COLUMNS) for row in own)
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
    if digest != KNOWN[name][1]:
        raise ValueError(
            f"its {len(lines):,} rows are not those of the export: some are missing or were changed"
        )
