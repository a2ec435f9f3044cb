"""Accel-NASBench: 5,138 MobileNet-like ImageNet networks, each trained, to rank predictors on.

Ahmad et al., "Accel-NASBench: Sustainable Benchmarking for Accelerator-Aware NAS", DAC 2024
(Apache-2.0). EfficientNet-B0's skeleton; an architecture is seven stages, each four digits:
expansion (1, 4, 6), kernel (3, 5), layers (1 to 3; the sixth stage to 4), squeeze-and-excitation (0
or 1): "6310-...". Columns: `top1`, `top5` (% of 50,000 validation images after a *shortened*
training, one seed), `params`, `macs` (see `costs`), and measurements on devices: `latency_ms_*` in
ms, `throughput_*` in images a second (NaN where none was made).

Thirteen architectures were trained twice: their top-1 differs by 0.01 to 0.31, once by 1.28. The
draw was not uniform: 1,823 have no squeeze-and-excitation at all.
"""

import hashlib
import re
from pathlib import Path

import numpy as np
import pandas as pd

from padalib.benchmarks import flat
from padalib.benchmarks.pickles import TableError
from padalib.engine import paths
from padalib.ranking import pairs, report
from padalib.ranking.vectors import few

FILE = "accel_nasbench.csv.gz"
WIDTHS, STRIDES = (16, 24, 40, 80, 112, 192, 320), (1, 2, 2, 2, 1, 2, 1)
STEM, LAST, LABELS, SIDE = 32, 1280, 1000, 112  # SIDE: pixels after the stem, of 224
STAGE = re.compile("[146][35][123][01]")
SIXTH = re.compile("[146][35][1234][01]")
ROWS = 5138
DIGEST = "9bd44ea99bc372c3ef35629e3a6b22136b3b829259b0921a8c0c2a5d0aa37d35"
DEVICES = [
    *(f"latency_ms_{device}" for device in ("zcu102", "vck190")),
    *(f"throughput_{d}" for d in ("a100", "3090", "tpuv2", "tpuv3", "zcu102", "vck190")),
]
REMEDY = (
    "fetch anb_dataset/anb_dataset_jsons.tar.gz of github.com/afzalxo/Accel-NASBench and write it "
    f"as {FILE} in the data root, as data/README.md says"
)


def load(path: Path | str | None = None) -> pd.DataFrame:
    """The table; see the module for its columns. From the data root, or from `path`.

    FileNotFoundError where there is none. TableError where a row is missing or foreign, or a number
    is not the published one: parameters and multiply-adds are computed anew.
    """
    path = paths.data_root() / FILE if path is None else Path(path)
    counts = ["top1", "top5", "macs", "params"]
    table = flat.read(path, ["arch"], [*counts, *DEVICES], REMEDY)
    if wrong := _problems(table):
        raise TableError(f"{path} is not Accel-NASBench's table: {wrong}. Please {REMEDY}")
    return table.astype({"macs": int, "params": int})


def _problems(table: pd.DataFrame) -> str:
    """What is wrong first; empty when nothing is."""
    if len(table) != ROWS:
        return f"it has {len(table):,} rows of {ROWS:,}"
    foreign = [arch for arch in table.arch if not _known(arch)]
    if foreign:
        return (
            f"{len(foreign)} rows are no architectures (6310-... of seven stages): {few(foreign)}"
        )
    found = [costs(arch) for arch in table.arch]
    for name, own in zip(("params", "macs"), zip(*found, strict=True), strict=True):
        if bad := list(table.arch[table[name] != np.array(own)]):
            return f"{len(bad)} rows have other {name} than their architecture: {few(bad)}"
    if not (table.top1.between(0, 100) & table.top5.between(table.top1, 100)).all():
        return "top-1 and top-5 are in %, and top-5 is no less"
    if not (table[DEVICES].isna() | (table[DEVICES] > 0)).all(axis=None):
        return "measurements on devices must be above 0"
    if digest(table) != DIGEST:
        return "its accuracies are not the published ones"
    return ""


def _known(arch: str) -> bool:
    stages = arch.split("-")
    patterns = [STAGE] * 5 + [SIXTH, STAGE]
    return len(stages) == len(patterns) and all(
        pattern.fullmatch(stage) for pattern, stage in zip(patterns, stages, strict=True)
    )


def digest(table: pd.DataFrame) -> str:
    """Of architectures and top-1 in any order: a number changed in the file changes it."""
    right = (table.top1 * 500).round().astype(int)  # images of 50,000
    lines = sorted(f"{arch} {count}" for arch, count in zip(table.arch, right, strict=True))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def costs(arch: str) -> tuple[int, int]:
    """(weights, multiply-adds at 224x224) of an architecture, as the benchmark counts them.

    A layer of c channels in, h = expansion * c within and d out: 1x1 convolution to h (not for
    expansion 1), depthwise convolution of stride 2 in the first layer where its stage has one,
    squeeze to c // 4 and excitation (1x1 convolutions with biases), 1x1 convolution to d; batch
    norm after each convolution. Its `macs` count convolutions and the linear layer, 4 for each
    output of a batch norm, and inputs and outputs of each average pool.
    """
    weights, macs, side, width = 27 * STEM + 2 * STEM, (27 + 4) * STEM * SIDE**2, SIDE, STEM
    for stage, out, stride in zip(arch.split("-"), WIDTHS, STRIDES, strict=True):
        expansion, kernel, layers, squeezes = map(int, stage)
        for layer in range(layers):
            after = side // stride if layer == 0 else side
            inner = expansion * width
            if expansion > 1:
                weights += width * inner + 2 * inner
                macs += (width + 4) * inner * side**2
            weights += kernel**2 * inner + 2 * inner + inner * out + 2 * out
            macs += ((kernel**2 + 4) * inner + inner * out + 4 * out) * after**2
            if squeezes:
                squeezed = width // 4
                weights += 2 * inner * squeezed + squeezed + inner
                macs += 2 * inner * squeezed + inner * after**2 + inner
            width, side = out, after
    weights += width * LAST + 2 * LAST + (LAST + 1) * LABELS
    macs += (width + 4) * LAST * side**2 + LAST * (side**2 + 1) + LAST * LABELS
    return weights, macs


def untrained(table: pd.DataFrame) -> pd.DataFrame:
    """[A, K] predictors that need no training: what the table and the architecture tell."""
    stages = table.arch.str.split("-")
    return pd.DataFrame(
        {
            "parameters": table.params,
            "multiply-adds": table.macs,
            "layers": stages.map(lambda own: sum(int(stage[2]) for stage in own)),
            "stages with squeeze": stages.map(lambda own: sum(int(stage[3]) for stage in own)),
        }
    ).astype(float)


def card(scores: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """How well predictors rank: a row for each column of `scores`, higher being better.

    scores: [A, K], rows as in `table`. Columns: predictor, measure ('tau', or 'top_decile': tau
    among the truly best tenth), value, and its 95 % interval over architectures `low`, `high`
    (those trained twice drawn as one). ValueError where rows differ or a score is not finite.
    """
    if not scores.index.equals(table.index):
        raise ValueError(
            f"scores have {len(scores)} rows, the table {len(table)}, or in another order: pass "
            "one score for each row, with the table's index"
        )
    if bad := [name for name in scores if not np.isfinite(scores[name]).all()]:
        raise ValueError(f"scores by {few(bad)} are not all finite: leave out what has none")
    true, clusters = table.top1.to_numpy(), np.unique(table.arch, return_inverse=True)[1]
    rows = []
    for name in scores:
        own = scores[name].to_numpy(float)
        measures = {"tau": pairs.tau(own, true), "top_decile": pairs.tau_among(own, true, 0.1)}
        for measure, estimate in measures.items():
            found = report.measured([estimate], 1, clusters)
            row = {"predictor": name, "measure": measure, "value": found["value"]}
            rows.append(row | {"low": found["archs_low"], "high": found["archs_high"]})
    return pd.DataFrame(rows)
