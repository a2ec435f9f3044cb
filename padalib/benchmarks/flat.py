"""Reading a flat table of numbers, with a sentence for what cannot be read."""

import gzip
import zlib
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

import pandas as pd

from padalib.benchmarks.pickles import TableError
from padalib.ranking.vectors import few

GZIP = b"\x1f\x8b"  # what compressed files begin with


def read(path: Path, texts: Sequence[str], numbers: Sequence[str], remedy: str) -> pd.DataFrame:
    """The columns `texts` and `numbers` of a CSV file, compressed or not; empty cells are NaN.

    FileNotFoundError where there is none; TableError where it is damaged, lacks a column, or holds
    something else than numbers. `remedy` ends both sentences.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}: {remedy}")
    try:
        content = path.read_bytes()
        text = (gzip.decompress(content) if content[:2] == GZIP else content).decode()
        table = pd.read_csv(StringIO(text), dtype=str, keep_default_na=False)
    except (ValueError, OSError, EOFError, zlib.error) as error:
        raise TableError(f"{path} is damaged ({error}): {remedy}") from error
    if not text.endswith("\n"):  # a number cut short is a number still
        raise TableError(f"the last line of {path} is cut off: {remedy}")
    if absent := [name for name in (*texts, *numbers) if name not in table]:
        raise TableError(f"{path} lacks the columns {few(absent)}: {remedy}")
    table = table[[*texts, *numbers]]
    for name in numbers:
        cells = table[name].where(table[name] != "")
        values = pd.to_numeric(cells, errors="coerce")
        bad = table.index[values.isna() & cells.notna() | values.abs().eq(float("inf"))]
        if len(bad):
            raise TableError(
                f"{path}: column {name!r} holds {len(bad)} cells that are no finite numbers, the "
                f"first {table.at[bad[0], name]!r} in row {bad[0] + 2}: {remedy}"
            )
        table = table.assign(**{name: values})
    return table
