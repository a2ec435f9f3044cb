"""What is wrong with a truth table; see `truth` for its columns."""

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from padalib.ranking.vectors import few
from padalib.spaces import Arch, Space

QUANTITIES = ("valid_acc", "valid_loss", "test_acc", "test_loss")


def problems(
    space: Space,
    table: pd.DataFrame,
    columns: Iterable[str] | None = None,
    archs: Iterable[Arch] | None = None,
) -> list[str]:
    """What is wrong with a table (`code` as a column) of `space`; empty when nothing is.

    `columns` must hold usable numbers: by default all that a table of our own has. `archs`: what it
    should hold, by default the whole space.
    """
    if columns is None:
        columns = own_columns(range(max(seeds_of(table), default=0) + 1))
    needed = ["code", "string", *columns]
    if absent := [column for column in needed if column not in table.columns]:
        return [f"{len(absent)} columns are missing: {few(absent)}"]
    strings = {space.code(arch): space.decode(arch) for arch in archs or space}
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
    """A line on cells that are no number of their range, or on columns of fractions; or none."""
    cells = table.set_index("code").astype(object).stack()  # one a row
    is_acc = cells.index.get_level_values(1).str.contains("_acc")
    top = np.where(is_acc, 100.0, np.finfo(float).max)
    bad = cells[~pd.to_numeric(cells, errors="coerce").between(0, top)]
    if not bad.empty:
        first = ", ".join(
            f"row {code!r}, column {column!r} holds {str(cell)[:80]!r}"
            for (code, column), cell in bad[:3].items()
        )
        return [f"{len(bad)} cells are not finite numbers from 0 up (accuracies: to 100): {first}"]
    best = pd.to_numeric(cells[is_acc]).groupby(level=1).max()
    if (fractions := best[best <= 1]).empty:
        return []
    return [
        f"columns {few(fractions.index)} hold nothing above {fractions.max():g}: accuracies are in "
        "%, so multiply fractions by 100"
    ]


def seeds_of(table: pd.DataFrame) -> list[int]:
    """The seeds that any column of the table names."""
    pattern = re.compile(rf"(?:{'|'.join(QUANTITIES)})_(\d+)")
    return sorted({int(match[1]) for match in map(pattern.fullmatch, table.columns) if match})


def own_columns(seeds: Iterable[int]) -> list[str]:
    """The numbers in a table of our own, in their order."""
    return [f"{quantity}_{seed}" for seed in seeds for quantity in QUANTITIES] + ["params", "flops"]


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A dict of `pairs`, as JSON's `object_pairs_hook`; ValueError where a key is there twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = pd.Series([key for key, _ in pairs])
        raise ValueError(f"it names {few(keys[keys.duplicated()].unique())} more than once")
    return found
