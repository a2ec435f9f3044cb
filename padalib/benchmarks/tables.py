"""Readers of NAS-Bench-201's tables as others publish them; nothing in a file can run code.

Every reader gives one row per architecture: `string`, the benchmark's notation, and accuracies in %
after 200 epochs, `<dataset>_<split>` (a mean over seeds) or `<dataset>_<split>_<seed>` (NaN where
a seed is missing); and `index`, the benchmark's own number of each, where the file tells it. What
is behind them (Dong & Yang, ICLR 2020, section 2; NATS-Bench, TPAMI 2021):

- `cifar10_valid`: 25,000 images, networks trained on the other 25,000 ('cifar10-valid' there);
- `cifar10_test`: the 10,000 test images, *other* networks, trained on all 50,000;
- `cifar100_valid`, `_test`: the two halves of the 10,000 test images, one and the same network;
- `imagenet16-120_valid`, `_test`: the two halves of its 6,000 images, one and the same network.

Seeds are 777, 888 and 999; only about half of the architectures have all three.
"""

import bz2
import hashlib
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm.auto import tqdm

from padalib import spaces
from padalib.benchmarks import layouts
from padalib.benchmarks.pickles import TableError, unpickle, unpickle_npy
from padalib.engine import paths
from padalib.engine.runs import write_bytes

BENCHMARK = spaces.get("nasbench201")
SPLITS = ("valid", "test")
ARCHIVE = "NATS-tss-v1_0-3ffb9-simple"
CSV = "nasbench201.csv"
NPY = "nasbench201_dict.npy"
RECORD = 2**22  # bytes of an architecture's record in the archive, unpacked: seven times the usual
RETRAINING = "independent retraining (analog-nasbench)"

# The benchmark's own numbers follow the order in which its authors drew the architectures: no rule,
# only its files tell them (names in the archive, `index` in the CSV, keys in PA&DA's copy). Columns
# of row numbers look alike, so a file is believed if it has these: number 0 as `api.arch(0)` in the
# benchmark's documentation; and as others report, the best by validation accuracy on CIFAR-10
# (91.61), CIFAR-100 (73.49) and ImageNet16-120 (46.73).
NUMBERS = {
    0: (4, 2, 1, 2, 1, 1),
    6111: (3, 3, 3, 1, 3, 2),
    9930: (3, 3, 3, 1, 3, 3),
    10676: (3, 2, 2, 1, 3, 3),
}

# Our name: the archive's (training, images evaluated on) of validation and of test.
TRIALS = {
    "cifar10": (("cifar10-valid", "x-valid"), ("cifar10", "ori-test")),
    "cifar100": (("cifar100", "x-valid"), ("cifar100", "x-test")),
    "imagenet16-120": (("ImageNet16-120", "x-valid"), ("ImageNet16-120", "x-test")),
}
# analog-nasbench has its edges by source and counts the operations its own way.
RETRAINED_EDGES = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
RETRAINED_OPS = ("skip_connect", "none", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3")


def find(root: Path) -> Path:
    """The table in `root` that wins: archive (per seed), CSV, npy, then analog-nasbench's.

    Raises FileNotFoundError that says what to put where.
    """
    for path in (root / ARCHIVE, root / CSV, root / NPY, retraining()):
        if path and path.exists():
            return path
    raise FileNotFoundError(
        f"no NAS-Bench-201 table in {root}: put one there, either the unpacked folder {ARCHIVE}/ "
        "(from github.com/D-X-Y/NATS-Bench; needs `pip install nats-bench`), or "
        f"{CSV} (columns arch, cifar10_val, cifar10_test, ...), or {NPY} (from "
        "github.com/ShunLu91/PA-DA). Or `pip install analog-nasbench`: an independent retraining "
        f"on CIFAR-10 that needs no download. Or pass a table's path ({layouts.PATH})"
    )


def retraining() -> Path | None:
    """The data file of the installed package analog-nasbench, which is not imported for it."""
    spec = find_spec("analognasbench")
    path = Path(spec.origin).with_name("data.anb") if spec and spec.origin else None
    return path if path and path.is_file() else None


def read(path: Path) -> tuple[str, pd.DataFrame]:
    """(source, table) of a file or an archive's folder; see the module for the columns.

    Raises TableError for what cannot be read, or asks for a class on reading.
    """
    if path.is_dir():
        source, reader = "NATS-Bench, official", _read_archive
    elif path.suffix == ".npy":
        source, reader = "NAS-Bench-201, PA&DA's copy", _read_npy
    elif path.suffix == ".anb":
        source, reader = RETRAINING, _read_retraining
    else:
        source, reader = "NAS-Bench-201, official", _read_csv
    try:
        return source, _with_numbers(reader(path))
    except TableError:
        raise
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise TableError(
            f"{path} is not laid out as {source} is ({error!r}): fetch it again from its source"
        ) from error


def _with_numbers(table: pd.DataFrame) -> pd.DataFrame:
    """The table, its `index` as ints where these are the benchmark's own numbers, else without."""
    if "index" not in table:
        return table
    number = pd.to_numeric(table["index"], errors="coerce")
    named = dict(zip(number, table["string"], strict=True))
    if (
        number.is_unique
        and all(named.get(k) == BENCHMARK.decode(arch) for k, arch in NUMBERS.items())
        and (number == number.round()).all()
    ):
        return table.assign(index=number.astype(int))
    return table.drop(columns="index")


def _read_csv(path: Path) -> pd.DataFrame:
    try:  # only blanks are missing: a 'nan' must be seen by whoever checks the numbers
        table = pd.read_csv(path, dtype={"arch": str}, keep_default_na=False, na_values=[""])
    except ValueError as error:  # pandas' parser errors and bad unicode are ValueErrors
        raise TableError(f"{path} cannot be read as CSV ({error}): fetch it again") from error
    if "arch" not in table:
        raise TableError(
            f"{path} has no column 'arch' with the benchmark's strings: fetch it again"
        )
    names = table.columns.str.replace("imagenet16_120", "imagenet16-120")
    table.columns = names.str.replace("_val$", "_valid", regex=True)
    return table.rename(columns={"arch": "string"})


def _read_archive(folder: Path) -> pd.DataFrame:
    """The archive seed by seed: minutes the first time, then from a CSV in the data root."""
    files = sorted(folder.glob("[0-9]*.pickle.pbz2"))
    if not files:
        raise TableError(f"{folder} holds no *.pickle.pbz2: unpack the archive {ARCHIVE}.tar there")
    stats = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    digest = hashlib.sha256(repr(stats).encode()).hexdigest()[:16]
    cache = paths.data_root() / "cache" / f"{folder.name}-{digest}.csv"
    if not cache.is_file():
        rows = map(_archived, tqdm(files, unit="architecture", disable=None))
        write_bytes(cache, pd.DataFrame(rows).to_csv(index=False, lineterminator="\n").encode())
    return _read_csv(cache)


def _archived(file: Path) -> dict[str, Any]:
    """One architecture of the archive, by the benchmark's own reading of its records."""
    with bz2.open(file) as content:
        records = unpickle(content, file, RECORD)["200"]
    try:
        from nats_bench import ArchResults
    except ImportError as error:
        raise ModuleNotFoundError(
            f"{file.parent} is read with the package nats-bench: `pip install nats-bench`, or "
            "pass the path= of another table"
        ) from error
    if not isinstance(records, dict):  # a string would be the name of a file to unpickle
        raise TableError(f"{file} holds no records of 200 epochs: fetch the archive again")
    results = ArchResults.create_from_state_dict(records)
    row = {"index": int(file.name.split(".")[0]), "arch": results.arch_str}
    for dataset, evaluations in TRIALS.items():
        for split, (training, images) in zip(SPLITS, evaluations, strict=True):
            if training in results.get_dataset_names():
                for seed, trial in results.query(training).items():
                    acc = trial.get_eval(images)["accuracy"]
                    # A float nan would pass for a missing seed.
                    row[f"{dataset}_{split}_{seed}"] = "nan" if acc != acc else acc
    return row


def _read_npy(path: Path) -> pd.DataFrame:
    """{"0": {"operation": six ints, "cifar10_valid": accuracy, ...}, ...}, saved by numpy.

    The ints number edges and operations as `spaces` does. Accuracies are rounded to 0.01.
    """
    return pd.DataFrame(
        {"index": number, "string": _string(entry["operation"])}
        | {
            f"{dataset}_{split}": entry.get(f"{dataset.removesuffix('-120')}_{split}")
            for dataset in TRIALS
            for split in SPLITS
        }
        for number, entry in unpickle_npy(path).items()
    )


def _read_retraining(path: Path) -> pd.DataFrame:
    """{six ints: record}; of the record only `baseline_accuracy`, of the network in software."""
    number = [BENCHMARK.ops.index(op) for op in RETRAINED_OPS]
    order = [RETRAINED_EDGES.index(edge) for edge in BENCHMARK.edges]
    with path.open("rb") as file:
        records = unpickle(file, path)
    return pd.DataFrame(
        {
            "string": _string(number[key[edge]] for edge in order),
            "cifar10_test": record.state["baseline_accuracy"],
        }
        for key, record in records.items()
    )


def _string(ops: Iterable[int]) -> str:
    ops = tuple(ops)
    try:
        return BENCHMARK.decode(ops)
    except ValueError:
        return str(ops)  # of no architecture, and reported as such
