"""Decoded images in one file: a first line that tells what it is, then pixels and labels.

In `cache/` of the data root, wherever the images lie. What stands there and was not written here
is neither read nor replaced.
"""

import json
import os
import re
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from padalib.engine import paths
from padalib.engine.files import PARTIAL, RunError, write_bytes

Pair = tuple[Tensor, Tensor]  # images uint8 [N, 3, H, W] and labels int64 [N]
MAGIC = b"padalib images "
SPLITS = ("train", "test")
LONGEST = 4096  # bytes of a first line


def place(source: str) -> Path:
    """The cache file of a data set; whatever it is called, below `cache/`."""
    name = source
    if not re.fullmatch(
        r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", source
    ):  # a path, or no name for files
        slug = re.sub(r"[^A-Za-z0-9_]+", "-", source)[-40:].strip("-")
        name = f"{slug}-{sha256(source.encode(errors='surrogateescape')).hexdigest()[:12]}"
    return paths.data_root() / "cache" / f"{name}.images"


def read(path: Path, stamp: str) -> dict[str, Pair] | None:
    """What was written with that stamp; None where nothing was, or it is damaged.

    ValueError where there is something else.
    """
    if not os.path.lexists(path):
        return None
    if path.is_symlink() or not path.is_file():
        raise _foreign(path)
    with path.open("rb") as file:
        first = file.readline(LONGEST)
        if first and not first.startswith(MAGIC):
            raise _foreign(path)
        with suppress(ValueError, TypeError, LookupError, RecursionError):  # damaged
            header = json.loads(first[len(MAGIC) :])
            shapes = [tuple(map(int, header["shapes"][split])) for split in SPLITS]
            sizes = [int(np.prod(shape, dtype=object)) + 8 * shape[0] for shape in shapes]
            whole = len(first) + sum(sizes) == path.stat().st_size  # before memory is asked for
            if whole and header["stamp"] == stamp:
                found = [_take(file, shape) for shape in shapes]
                if _digest(found) == header["sha256"]:
                    return dict(zip(SPLITS, found, strict=True))
    return None


def write(path: Path, stamp: str, content: dict[str, Pair]) -> None:
    """The whole file or none; RunError where that cannot be."""
    pairs = [content[split] for split in SPLITS]
    shapes = {split: list(content[split][0].shape) for split in SPLITS}
    header = json.dumps({"stamp": stamp, "sha256": _digest(pairs), "shapes": shapes})
    parts = [MAGIC, header.encode(), b"\n", *(memoryview(a) for a in _arrays(pairs))]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.parent / f".{path.name}.lock"):
            try:
                write_bytes(path, b"".join(parts))
            finally:
                _tidy(path)
    except OSError as error:
        raise RunError(
            f"cannot write to {path.parent}: {error.strerror or error}. Make it a folder that can "
            "be written to, or set PADALIB_DATA to another"
        ) from error


def _tidy(path: Path) -> None:
    """Away with what writes of `path` that were cut have left, under the lock of such writes."""
    for left in path.parent.glob(f".{path.name}.*{PARTIAL}"):  # as `write_bytes` names them
        if left.is_file() and not left.is_symlink():
            with left.open("rb") as file:
                mine = MAGIC.startswith(file.read(len(MAGIC)))
            if mine:
                left.unlink()


def _take(file: Any, shape: tuple[int, ...]) -> Pair:
    pixels = np.fromfile(file, np.uint8, int(np.prod(shape))).reshape(shape)
    return torch.from_numpy(pixels), torch.from_numpy(np.fromfile(file, np.int64, shape[0]))


def _arrays(pairs: list[Pair]) -> list[np.ndarray]:
    return [part.contiguous().numpy().reshape(-1).view(np.uint8) for pair in pairs for part in pair]


def _digest(pairs: list[Pair]) -> str:
    digest = sha256()
    for array in _arrays(pairs):
        digest.update(array)
    return digest.hexdigest()


def _foreign(path: Path) -> ValueError:
    return ValueError(
        f"{path} is not a file that padalib wrote, and its cache belongs there: move it away"
    )
