"""Truth tables: the accuracy of every architecture of a space, trained alone with several seeds.

A table has one row per architecture, indexed by `code` ("3-0-2"), with the columns `string`, for
every seed 0..S-1 accuracy (%) and mean loss on validation and test, `params` and `flops`.
"""

import argparse
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd

from padalib import launch, metrics, paths, spaces
from padalib.rank import ScoreConfig
from padalib.runs import RunError, write_bytes
from padalib.spaces import CellSpace
from padalib.train import TrainConfig

SPLITS = ("valid", "test")
QUANTITIES = ("valid_acc", "valid_loss", "test_acc", "test_loss")


@dataclass(frozen=True, eq=False)
class Truth:
    """The truth table of a space on a dataset; see the module for the columns."""

    space: str
    dataset: str
    table: pd.DataFrame

    @property
    def seeds(self) -> list[int]:
        """The seeds that every architecture was trained with."""
        return _seeds(self.table)

    def per_seed(self, split: str = "test") -> pd.DataFrame:
        """[A, S] accuracies in %, indexed by code, one column per seed."""
        if split not in SPLITS:
            raise ValueError(f"unknown split {split!r}: choose one of {', '.join(SPLITS)}")
        seeds = self.seeds
        return self.table[[f"{split}_acc_{seed}" for seed in seeds]].set_axis(seeds, axis=1)

    def accuracy(self, split: str = "test") -> pd.Series:
        """[A] accuracy in %, the mean over seeds, indexed by code."""
        return self.per_seed(split).mean(axis=1).rename(f"{split}_acc")

    def ceiling(
        self, split: str = "test", codes: Iterable[str] | None = None
    ) -> tuple[float, float, float]:
        """(estimate, low, high) of `metrics.noise_ceiling`, of all architectures or of `codes`."""
        acc = self.per_seed(split)
        if codes is not None:
            codes = list(codes)
            if unknown := [code for code in codes if code not in acc.index]:
                raise ValueError(
                    f"{_few(unknown)} not in the truth table of {self.space}: pass codes such as "
                    f"{acc.index[0]!r}"
                )
            acc = acc.loc[codes]
        return metrics.noise_ceiling(acc.to_numpy())


def load(space: CellSpace | str, path: Path | str | None = None, dataset: str = "digits") -> Truth:
    """The truth table of `space`, in its order; by default the project's `data/truth/<space>.csv`.

    Raises FileNotFoundError when there is none, and ValueError that lists what is wrong with it:
    columns, missing, duplicate or foreign architectures, wrong strings, unusable numbers.
    """
    space = spaces.get(space) if isinstance(space, str) else space
    path = Path(path or paths.project_root() / "data" / "truth" / f"{space.name}.csv")
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
    if found:
        raise ValueError(
            f"{path} is not a truth table of {space.name}: "
            + "; ".join(found)
            + f". Please {remedy}"
        )
    order = [space.code(arch) for arch in space]
    return Truth(space.name, dataset, table.set_index("code").loc[order])


def problems(space: CellSpace, table: pd.DataFrame) -> list[str]:
    """What is wrong with a table (`code` as a column) of `space`; empty when nothing is."""
    seeds = _seeds(table)
    needed = ["code", "string", *_columns(range(max(seeds, default=0) + 1)), "params", "flops"]
    if absent := [column for column in needed if column not in table.columns]:
        return [f"{len(absent)} columns are missing: {_few(absent)}"]
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
    found = [f"{len(bad)} architectures {kind}: {_few(bad)}" for kind, bad in kinds.items() if bad]
    return found + _bad_cells(table[needed].drop(columns="string"))


def _bad_cells(table: pd.DataFrame) -> list[str]:
    """A line on the cells that are no number of their range, or none."""
    cells = table.set_index("code")
    values = cells.apply(pd.to_numeric, errors="coerce").to_numpy(dtype=float)
    top = np.where(["_acc_" in column for column in cells.columns], 100.0, np.finfo(float).max)
    rows, columns = np.nonzero(~((values >= 0) & (values <= top)))
    if not len(rows):
        return []
    first = [
        f"row {cells.index[row]!r}, column {cells.columns[column]!r} holds "
        f"{str(cells.iat[row, column])!r}"
        for row, column in list(zip(rows, columns, strict=True))[:3]
    ]
    return [
        f"{len(rows)} cells are not finite numbers from 0 up (accuracies: to 100): "
        + ", ".join(first)
    ]


def _seeds(table: pd.DataFrame) -> list[int]:
    """The seeds that any column of the table names."""
    pattern = re.compile(rf"(?:{'|'.join(QUANTITIES)})_(\d+)")
    return sorted({int(match[1]) for match in map(pattern.fullmatch, table.columns) if match})


def _columns(seeds: Iterable[int]) -> list[str]:
    return [f"{quantity}_{seed}" for seed in seeds for quantity in QUANTITIES]


def _few(names: list[str]) -> str:
    return ", ".join(map(str, names[:3])) + (", ..." if len(names) > 3 else "")


def assemble(space: CellSpace, rows: Iterable[Mapping]) -> pd.DataFrame:
    """The wide table from rows {code, seed, valid_acc, valid_loss, test_acc, test_loss}.

    Rows in any order, one for every architecture and seed 0..S-1; the table is in the order of the
    space. Raises ValueError when rows are missing, doubled, foreign or unusable.
    """
    long = pd.DataFrame(list(rows))
    if absent := [column for column in ("code", "seed", *QUANTITIES) if column not in long]:
        raise ValueError(f"rows lack {_few(absent)}: pass one dict for each architecture and seed")
    keys = list(zip(long["code"], map(int, long["seed"]), strict=True))
    codes = {space.code(arch): arch for arch in space}
    wanted = [(code, seed) for code in codes for seed in range(max(seed for _, seed in keys) + 1)]
    missing, foreign = sorted(set(wanted) - set(keys)), sorted(set(keys) - set(wanted))
    if missing or foreign or len(keys) > len(wanted):
        raise ValueError(
            f"expected one row for each (architecture, seed) of {space.name}, {len(wanted)} in "
            f"all, got {len(keys)}; missing: {_few(missing) or 'none'}; not in the space: "
            f"{_few(foreign) or 'none'}. Pass every pair exactly once"
        )
    wide = long.pivot(index="code", columns="seed", values=list(QUANTITIES)).loc[list(codes)]
    wide.columns = [f"{quantity}_{seed}" for quantity, seed in wide.columns]
    wide = wide[_columns(sorted(set(long["seed"])))].astype(float)
    wide.insert(0, "string", [space.decode(arch) for arch in codes.values()])
    wide["params"] = [space.params(arch) for arch in codes.values()]
    wide["flops"] = [space.flops(arch) for arch in codes.values()]
    if found := problems(space, wide.reset_index()):
        raise ValueError(f"cannot make a truth table of {space.name}: " + "; ".join(found))
    return wide


def save(table: pd.DataFrame, path: Path | str) -> None:
    """Writes the table as CSV, all or nothing; floats come back to the same bits."""
    write_bytes(Path(path), table.to_csv(index_label="code", lineterminator="\n").encode())


# --- making the table: `python -m padalib.truth` ---

# Every architecture alone: twelve epochs leave the best at 95 % of the test images right and
# rising by less than a point an epoch; running statistics, as the benchmark's networks have.
ALONE = {"epochs": 12, "batch": 128, "lr": 0.2, "bn": "running"}


def build(
    name: str = "mini", seeds: Sequence[int] = (0, 1, 2), workers: int | None = None, **recipe
) -> pd.DataFrame:
    """Train every architecture of a space alone, with each seed, and make the table of them.

    Architectures that differ on dead edges only are one and the same network, so they share the
    run. Resumable; finished runs are reused. Raises RunError when runs fail.
    """
    space = spaces.get(name)
    configs = {
        (arch, seed): ScoreConfig(
            TrainConfig(arch=arch, seed=seed, space=space, **ALONE | recipe), splits=SPLITS
        )
        for seed in seeds
        for arch in space
    }
    rows = []
    for (arch, seed), run in zip(configs, launch.grid(configs.values(), workers), strict=True):
        scores = run.table("scores").set_index("split")
        row = {"code": space.code(arch), "seed": seed}
        for split in SPLITS:
            row[f"{split}_acc"] = scores.accuracy[split]
            row[f"{split}_loss"] = scores.loss[split]
        rows.append(row)
    return assemble(space, rows)


def main() -> None:
    """`make truth`: the committed table of the mini space."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="seeds of every architecture")
    parser.add_argument("--workers", type=int, help="processes; one a core by default")
    asked = parser.parse_args()
    path = paths.project_root() / "data" / "truth" / "mini.csv"
    try:
        save(build("mini", range(asked.seeds), asked.workers), path)
    except (RunError, ValueError) as error:
        raise SystemExit(f"error: {error}") from None
    space = spaces.get("mini")  # one of each class: members that share a run would agree perfectly
    ceiling = load(space).ceiling("test", [space.code(arch) for arch in space.classes()])
    print(f"{path}: noise ceiling tau {ceiling[0]:.3f} [{ceiling[1]:.3f}, {ceiling[2]:.3f}]")


if __name__ == "__main__":
    main()
