"""The truth of NAS-Bench-Macro (Su et al., CVPR 2021), from its own JSON; a `layouts.Reader`.

Each architecture was trained with three seeds for 50 epochs on all 50,000 training images of
CIFAR-10. Its accuracy is that of the *best epoch on the test images*, chosen on these: a little too
high, and there is no validation accuracy. Of the 6,561 architectures 3,969 were trained; the others
stand beside them with the same numbers (column `trained`, `MacroSpace.truth_key`).
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from padalib import spaces
from padalib.benchmarks import layouts
from padalib.benchmarks.checks import once
from padalib.ranking.vectors import few
from padalib.spaces import Space

FILE = "nas-bench-macro_cifar10.json"
FROM = "github.com/xiusu/NAS-Bench-Macro, data/"
SOURCE = "NAS-Bench-Macro, official, test accuracy of the best epoch"
WHOLE = spaces.get("macro")
SEEDS, IMAGES = 3, 10_000  # trainings of each; test images
LARGEST = 2**23  # bytes of the file: seven times the official one
FIELDS = {"test_acc", "mean_acc", "std", "params", "flops"}  # flops: multiply-adds, half of ours

SIDES = {"cifar10": 32}
SUFFIXES = (".json",)
LAYOUT = f"NAS-Bench-Macro's {FILE}"


def find(root: Path) -> Path:
    """The benchmark's file in `root`; FileNotFoundError says where to get it."""
    path = root / FILE
    if not path.exists():
        raise FileNotFoundError(
            f"no NAS-Bench-Macro table in {root}: put {FILE} (from {FROM}) there. Or pass its path "
            f"({layouts.PATH})"
        )
    return path


def read(path: Path, space: Space, dataset: str | None) -> tuple[str, pd.DataFrame]:
    """As `layouts.Reader.read`: `test_acc_0` to `_2`; a space of fewer options takes its part.

    Nothing in the file is taken on trust: every architecture must be there once, with numbers that
    fit each other, and weights and multiply-adds that are those of our network.
    """
    layouts.check_dataset(dataset, SIDES, path, SOURCE)
    try:
        table = _table(_parsed(path))
        codes = {space.decode(arch): space.code(arch) for arch in space}
        if unknown := [string for string in codes if string not in table.index]:
            raise ValueError(f"it has no {few(unknown)} of {space.name}")
    except (ValueError, OSError) as error:
        raise ValueError(
            f"{path} is not the table of NAS-Bench-Macro: {error}. Please fetch it again from "
            f"{FROM}"
        ) from error
    table = table.loc[list(codes)].reset_index()
    return SOURCE, table.set_axis(pd.Index(codes.values(), name="code"))


def _parsed(path: Path) -> Any:
    """What the file holds; ValueError where it is too large or no JSON of numbers."""
    if path.stat().st_size > LARGEST:
        raise ValueError(f"it has {path.stat().st_size:,} bytes, more than {LARGEST:,}")
    try:
        return json.loads(
            path.read_text(encoding="utf-8"), object_pairs_hook=once, parse_constant=_refused
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"it is no JSON, or cut off ({error})") from None
    except RecursionError:
        raise ValueError("it nests too deep") from None


def _refused(text: str) -> float:
    raise ValueError(f"it holds {text}, which is no accuracy")


def _table(entries: Any) -> pd.DataFrame:
    """The whole benchmark by `decode`; ValueError for the first thing that is wrong."""
    if not isinstance(entries, dict):
        raise ValueError(f"it holds {type(entries).__name__}, no entries by architecture")
    archs = {"".join(map(str, arch)): arch for arch in WHOLE}
    if foreign := [key for key in entries if key not in archs]:
        raise ValueError(f"{few(foreign)} of its {len(entries):,} keys are no architectures")
    if missing := [key for key in archs if key not in entries]:
        raise ValueError(f"{len(missing):,} of {len(archs):,} architectures are missing, "
                         f"{few(missing)}")  # fmt: skip
    rows: list[tuple] = []
    first: dict[str, tuple[str, list[float]]] = {}
    for key, arch in archs.items():
        try:
            accuracies = _accuracies(entries[key], WHOLE.params(arch), WHOLE.flops(arch) // 2)
            trained = WHOLE.truth_key(arch)
            other, same = first.setdefault(trained, (key, accuracies))
            if accuracies != same:
                raise ValueError(f"test_acc differs from that of {other}, the same network")
        except ValueError as error:
            raise ValueError(f"architecture {key}: {error}") from None
        rows.append((WHOLE.decode(arch), *accuracies, trained))
    columns = ["string", *(f"test_acc_{seed}" for seed in range(SEEDS)), "trained"]
    return pd.DataFrame(rows, columns=columns).set_index("string")


def _accuracies(entry: Any, params: int, multiply_adds: int) -> list[float]:
    """Those of its seeds, %; ValueError for an entry that does not fit itself or our network."""
    if not isinstance(entry, dict) or set(entry) != FIELDS:
        raise ValueError(f"expected {', '.join(sorted(FIELDS))}, got {str(entry)[:120]}")
    for name, own in (("params", params), ("flops", multiply_adds)):
        if entry[name] != own or isinstance(entry[name], bool):
            raise ValueError(f"{name} is {str(entry[name])[:40]}, that of our network {own}")
    found = entry["test_acc"]
    if not isinstance(found, list) or len(found) != SEEDS or not all(map(_is_share, found)):
        raise ValueError(
            f"test_acc must be {SEEDS} accuracies in % on {IMAGES:,} images, got {str(found)[:80]}"
        )
    for name, own in (("mean_acc", float(np.mean(found))), ("std", float(np.std(found)))):
        if not _is_number(entry[name]) or not math.isclose(entry[name], own, abs_tol=1e-6):
            raise ValueError(f"{name} is {str(entry[name])[:40]}, that of its test_acc {own:g}")
    return [float(accuracy) for accuracy in found]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_share(value: Any) -> bool:
    """Whether a number is so many of all test images, in %, as float32 has it."""
    if not _is_number(value) or not 0 <= value <= 100:
        return False
    right = value * IMAGES / 100
    return abs(right - round(right)) < 0.01
