"""Truth tables: the accuracy of every architecture of a space, trained alone.

A table has one row per architecture, indexed by `code` ("3-0-2"), with the columns `string` and
accuracy (%) on validation and test: `valid_acc_<seed>`, or `valid_acc` where only means over seeds
are known. Tables of our own (made by `alone`) have seeds 0..S-1, mean losses too, `params` and
`flops`.
"""

import math
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd

from padalib import spaces
from padalib.benchmarks import tables
from padalib.benchmarks.tables import BENCHMARK, SPLITS
from padalib.engine import paths
from padalib.ranking import metrics
from padalib.spaces import Space

OWN = "trained alone here"
QUANTITIES = ("valid_acc", "valid_loss", "test_acc", "test_loss")


@dataclass(frozen=True, eq=False)
class Truth:
    """The truth table of a space on one dataset; see the module for the columns."""

    space: str
    dataset: str
    table: pd.DataFrame
    source: str = OWN  # short, for tables and labels of figures

    @property
    def seeds(self) -> list[int]:
        """The seeds that architectures were trained with; none where only means are known."""
        return _seeds(self.table)

    def per_seed(self, split: str = "test") -> pd.DataFrame:
        """[A, S] accuracies in %, indexed by code, one column per seed.

        NaN where an architecture lacks a seed, which happens in the NATS-Bench archive only.
        """
        if split not in SPLITS:
            raise ValueError(f"unknown split {split!r}: choose one of {', '.join(SPLITS)}")
        columns = {f"{split}_acc_{seed}": seed for seed in self.seeds}
        held = [column for column in columns if column in self.table]
        if not held:
            raise ValueError(
                f"the table ({self.source}) has no {split} accuracies seed by seed on "
                f"{self.dataset}: take the means, `accuracy`"
            )
        return self.table[held].rename(columns=columns)

    def accuracy(self, split: str = "test") -> pd.Series:
        """[A] accuracy in %, the mean over seeds, indexed by code; `<dataset>_<split>_acc`."""
        if split in SPLITS and not self.seeds:
            if split not in self._splits:
                raise ValueError(
                    f"the table ({self.source}) has no {split} accuracies on {self.dataset}: it "
                    f"has {', '.join(self._splits)}"
                )
            acc = self.table[f"{split}_acc"]
        else:
            acc = self.per_seed(split).mean(axis=1)
        return acc.rename(f"{self.dataset}_{split}_acc")

    def ceiling(
        self, split: str = "test", codes: Iterable[str] | None = None
    ) -> tuple[float, float, float]:
        """(estimate, low, high): tau that the table's own noise leaves room for; NaN if unknown.

        Of all architectures or of `codes`, on `ceiling_basis`: `metrics.noise_ceiling` of those
        with all seeds; else tau with a second table and its bootstrap over architectures, to be
        read as a floor of the ceiling where that table was trained or tested in another way.
        Beyond 2,000 architectures an interval rests on 400 draws, not 1,000: seconds, not minutes.
        """
        acc = self.accuracy(split)
        if codes is not None:
            codes = list(codes)
            if unknown := [code for code in codes if code not in acc.index]:
                raise ValueError(
                    f"{few(unknown)} not in the truth table of {self.space}: pass codes such as "
                    f"{acc.index[0]!r}"
                )
            acc = acc.loc[codes]
        draws = 1000 if len(acc) <= metrics.COUNTS_UP_TO else 400
        if self.seeds:
            complete = self.per_seed(split).loc[acc.index].dropna()
            return metrics.noise_ceiling(complete.to_numpy(), draws)
        _, second = self._second(split)
        if second is None:
            return (math.nan,) * 3
        pair = acc, second.loc[acc.index]
        return metrics.tau(*pair), *metrics.bootstrap(metrics.tau, *pair, draws=draws)

    @property
    def ceiling_basis(self) -> str:
        """What `ceiling` rests on, short, for the label of a figure."""
        if not self.seeds:
            return self._second(self._splits[-1])[0]
        basis = f"agreement of {len(self.seeds)} seeds"
        complete = len(self.per_seed().dropna())
        if complete < len(self.table):
            basis += f" ({complete:,} of {len(self.table):,} architectures)"
        return basis

    @property
    def _splits(self) -> list[str]:
        return [split for split in SPLITS if f"{split}_acc" in self.table]

    @cached_property
    def _retrained(self) -> pd.Series | None:
        """Accuracies of an independent retraining, where one is at hand."""
        path = tables.retraining()
        if self.dataset != "cifar10" or self.source == tables.RETRAINING or path is None:
            return None
        _, other = tables.read(path)
        return self.table["string"].map(other.set_index("string")["cifar10_test"])

    def _second(self, split: str) -> tuple[str, pd.Series | None]:
        """What to hold the means of a split against: what it is, and its accuracies."""
        if self._retrained is not None:
            return "agreement with an independent retraining", self._retrained
        if len(self._splits) < len(SPLITS):
            return "unknown: every architecture was trained once", None
        (other,) = set(SPLITS) - {split}
        if self.dataset == "cifar10":
            basis = "agreement of trainings on 25,000 (valid) and on 50,000 images (test)"
        else:
            basis = "agreement of validation and test images, same trainings (image noise only)"
        return basis, self.accuracy(other)


def load(space: Space | str, path: Path | str | None = None, dataset: str | None = None) -> Truth:
    """The truth table of `space`, in its order; architectures are matched by `space.decode`.

    `mini` has the project's own, `data/truth/mini.csv`, on the digits. Spaces of NAS-Bench-201's
    cells take `dataset` (cifar10, cifar100, imagenet16-120) from the first of these that the data
    root holds: the archive `NATS-tss-v1_0-3ffb9-simple/`, `nasbench201.csv`,
    `nasbench201_dict.npy`, else from the installed package analog-nasbench; `tables` says what is
    in them. `path` takes one of these, or a table of our own format, from elsewhere.

    Raises FileNotFoundError when there is none, and ValueError that lists what is wrong with it:
    columns, missing, duplicate or foreign architectures, wrong strings, unusable numbers.
    """
    space = spaces.get(space) if isinstance(space, str) else space
    if path is not None:
        path = Path(path)
        if not path.exists():
            raise FileNotFoundError(f"no truth table of {space.name} at {path}")
        return (_load_own if _is_own(path) else _load_foreign)(space, path, dataset)
    if space.nodes == BENCHMARK.nodes:
        return _load_foreign(space, tables.find(paths.data_root()), dataset)
    if dataset not in (None, "digits"):
        raise ValueError(f"the truth table of {space.name} is on digits, got dataset={dataset!r}")
    return _load_own(space, own_path(space), dataset)


def own_path(space: Space) -> Path:
    """Where the project keeps its own table of a space."""
    return paths.project_root() / "data" / "truth" / f"{space.name}.csv"


def _is_own(path: Path) -> bool:
    if path.is_dir() or path.suffix in (".npy", ".anb"):
        return False
    with path.open("rb") as file:
        return b"arch" not in file.readline().strip().split(b",")


def _load_own(space: Space, path: Path, dataset: str | None) -> Truth:
    remedy = f"fetch it again with `git checkout -- {path}` or rebuild it with `make truth`"
    if not path.is_file():
        raise FileNotFoundError(f"no truth table of {space.name} at {path}: {remedy}")
    try:
        # pandas reads floats to the last bit from 3.1 on (before: float_precision="round_trip")
        text = path.read_text(encoding="utf-8")
        table = pd.read_csv(StringIO(text), dtype={"code": str, "string": str}, na_filter=False)
    except ValueError as error:  # pandas' parser errors and bad unicode are ValueErrors
        raise ValueError(f"{path} cannot be read as CSV ({error}): {remedy}") from error
    found = problems(space, table)
    if not text.endswith("\n"):  # a number cut short is a number still
        found.append("the last line is cut off")
    _check(found, path, space, remedy)
    order = [space.code(arch) for arch in space]
    return Truth(space.name, dataset or "digits", table.set_index("code").loc[order])


def _load_foreign(space: Space, path: Path, dataset: str | None) -> Truth:
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
    table = pd.concat([table["string"], acc], axis=1)
    codes = {space.decode(arch): space.code(arch) for arch in space}
    # Of a space with fewer operations, the benchmark's other architectures are not foreign.
    if space.nodes == BENCHMARK.nodes:
        rest = {BENCHMARK.decode(arch) for arch in BENCHMARK} - codes.keys()
        table = table[~table["string"].isin(rest)]
    table.insert(0, "code", [codes.get(string, string) for string in table["string"]])
    found = problems(space, table.fillna(0.0), list(acc))
    for split in SPLITS:  # a missing seed is all right, a missing architecture is not
        of_split = table.filter(regex=f"^{split}_acc")
        if not of_split.empty and (empty := list(table["code"][of_split.isna().all(axis=1)])):
            found.append(f"{len(empty)} architectures without {split} accuracy: {few(empty)}")
    _check(found, path, space, "fetch it again from its source")
    table = table.set_index("code").loc[list(codes.values())]
    return Truth(space.name, dataset, table.astype(dict.fromkeys(acc, float)), source)


def _check(found: list[str], path: Path, space: Space, remedy: str) -> None:
    if found:
        wrong = "; ".join(found)
        raise ValueError(f"{path} is not a truth table of {space.name}: {wrong}. Please {remedy}")


def check_dataset(truth: Truth, data: str) -> None:
    """Warns when networks trained on `data` are held against a truth on other data.

    A size of up to three digits does not count ("cifar10-16" is "cifar10"), nor the mark of a
    smoke-scale part ("digits-small"). Users met tau near 0.1 this way.
    """
    if len({re.sub(r"-(\d{1,3}|small)$", "", name) for name in (data, truth.dataset)}) > 1:
        warnings.warn(
            f"the supernet was trained on {data!r} and the truth ({truth.source}) is on "
            f"{truth.dataset!r}: tau between them says little about the supernet. Load the truth "
            "with the dataset= that you train on",
            stacklevel=2,
        )


def problems(space: Space, table: pd.DataFrame, columns: Iterable[str] | None = None) -> list[str]:
    """What is wrong with a table (`code` as a column) of `space`; empty when nothing is.

    `columns` must hold usable numbers: by default all that a table of our own has.
    """
    if columns is None:
        columns = own_columns(range(max(_seeds(table), default=0) + 1))
    needed = ["code", "string", *columns]
    if absent := [column for column in needed if column not in table.columns]:
        return [f"{len(absent)} columns are missing: {few(absent)}"]
    strings = {space.code(arch): space.decode(arch) for arch in space}
    rows = table["code"].value_counts()
    kinds = {
        "missing": [code for code in strings if code not in rows.index],
        "duplicate": list(rows.index[rows > 1]),
        f"foreign (codes look like {next(iter(strings))})": [
            code for code in rows.index if code not in strings
        ],
        "with another one's string": [
            code
            for code, string in zip(table["code"], table["string"], strict=True)
            if strings.get(code, string) != string
        ],
    }
    found = [f"{len(bad)} architectures {kind}: {few(bad)}" for kind, bad in kinds.items() if bad]
    return found + _bad_cells(table[needed].drop(columns="string"))


def _bad_cells(table: pd.DataFrame) -> list[str]:
    """A line on the cells that are no number of their range, or none."""
    cells = table.set_index("code").astype(object).stack()  # one a row
    is_acc = cells.index.get_level_values(1).str.contains("_acc")
    top = np.where(is_acc, 100.0, np.finfo(float).max)
    bad = cells[~pd.to_numeric(cells, errors="coerce").between(0, top)]
    if bad.empty:
        return []
    first = ", ".join(
        f"row {code!r}, column {column!r} holds {str(cell)!r}"
        for (code, column), cell in bad[:3].items()
    )
    return [f"{len(bad)} cells are not finite numbers from 0 up (accuracies: to 100): {first}"]


def _seeds(table: pd.DataFrame) -> list[int]:
    """The seeds that any column of the table names."""
    pattern = re.compile(rf"(?:{'|'.join(QUANTITIES)})_(\d+)")
    return sorted({int(match[1]) for match in map(pattern.fullmatch, table.columns) if match})


def own_columns(seeds: Iterable[int]) -> list[str]:
    """The numbers in a table of our own, in their order."""
    return [f"{quantity}_{seed}" for seed in seeds for quantity in QUANTITIES] + ["params", "flops"]


def few(names: list) -> str:
    """The first three of a list, for messages."""
    return ", ".join(map(str, names[:3])) + (", ..." if len(names) > 3 else "")
