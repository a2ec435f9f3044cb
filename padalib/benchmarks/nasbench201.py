"""The truth of NAS-Bench-201's cells, from the tables that `tables` reads; a `layouts.Reader`."""

import re
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from padalib.benchmarks import layouts, tables
from padalib.benchmarks.checks import problems
from padalib.benchmarks.tables import SPLITS
from padalib.ranking.vectors import few
from padalib.spaces import Space

SIDES = {"cifar10": 32, "cifar100": 32, "imagenet16-120": 16}
SUFFIXES = (".npy", ".anb")
LAYOUT = (
    f"of NAS-Bench-201 {tables.CSV} (columns arch, cifar10_val, cifar10_test, ...), {tables.NPY}, "
    f"the folder {tables.ARCHIVE}/ and analog-nasbench's data.anb"
)
find = tables.find


def read(path: Path, space: Space, dataset: str | None) -> tuple[str, pd.DataFrame]:
    """As `layouts.Reader.read`; a space with fewer operations takes its part of the table."""
    source, table = tables.read(path)
    held = [name for name in tables.TRIALS if any(c.startswith(f"{name}_") for c in table)]
    layouts.check_dataset(dataset, held, path, source)
    pattern = rf"^{dataset}_({'|'.join(SPLITS)})(_\d+)?$"
    acc = table.filter(regex=pattern).rename(
        columns=lambda name: re.sub(pattern, r"\1_acc\2", name)
    )
    table = pd.concat([table[["string"]], acc, table.filter(["index"])], axis=1)
    codes = {space.decode(arch): space.code(arch) for arch in space}
    # Of a space with fewer operations, the benchmark's other architectures are not foreign.
    table = table[~table["string"].isin(_beyond(layouts.whole_of(space), codes))]
    table.insert(0, "code", [codes.get(string, string) for string in table["string"]])
    found = problems(space, table.fillna(0.0), list(acc))
    for split in SPLITS:  # a missing seed is all right, a missing architecture is not
        of_split = table.filter(regex=f"^{split}_acc")
        if not of_split.empty and (empty := list(table["code"][of_split.isna().all(axis=1)])):
            found.append(f"{len(empty)} architectures without {split} accuracy: {few(empty)}")
    layouts.refuse(found, path, space, "correct it or fetch it again")
    table = table.set_index("code").loc[list(codes.values())]
    return source, table.astype(dict.fromkeys(acc, float))


def _beyond(whole: Space, strings: Iterable[str]) -> set[str]:
    """The architectures of `whole` that are not among `strings`."""
    return {whole.decode(arch) for arch in whole}.difference(strings)
