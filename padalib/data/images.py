"""Photographs from disk or torchvision, read once into one uint8 file.

Looked for in the data root (`PADALIB_DATA`, default `data/`): a folder of images
`<name>/{train,test}/<class>/*`, then, for CIFAR, torchvision's files, downloaded if need be.
"""

import hashlib
import io
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from padalib.engine import paths
from padalib.engine.runs import write_bytes

Pair = tuple[Tensor, Tensor]  # images uint8 [N, 3, H, W] and labels int64 [N]
CIFAR = {"cifar10": "CIFAR10", "cifar100": "CIFAR100"}
SHOWN = 20  # problems that an error lists; the rest are counted


def load(name: str) -> dict[str, Pair]:
    """'train' and 'test' of a data set; 'cifar10-16' is 'cifar10' averaged to 16x16 pixels.

    A folder that is itself named so ('photos-2024') is that folder, at its own size.
    Sorted by the hash of their (original) pixels, so that neither file names nor the source
    matter. Raises FileNotFoundError where there is nothing to read, and ValueError that lists all
    files which cannot be used, or for a size that does not divide the images'.
    """
    base, size = split_name(name)
    folder = find(name)
    whole = _torchvision(base) if folder is None else _cached(base, folder, *_listing(folder))
    return {
        split: (_resized(base, images, size), labels) for split, (images, labels) in whole.items()
    }


def find(name: str) -> Path | None:
    """The folder that holds a data set, None where torchvision has to see to it.

    Raises FileNotFoundError where there is neither.
    """
    base, _ = split_name(name)
    folder = paths.data_root() / base
    if any((folder / split).is_dir() for split in ("train", "test")):
        return folder
    if base not in CIFAR:
        raise FileNotFoundError(
            f"no data set {base!r}: expected images in {folder}/train/<class>/ and "
            f"{folder}/test/<class>/ (PADALIB_DATA moves the data root), or one of the names "
            f"digits, digits-small, {', '.join(CIFAR)}"
        )
    return None


def split_name(name: str) -> tuple[str, int | None]:
    """('cifar10', 16) from 'cifar10-16', but ('cifar10-16', None) if a folder has that name."""
    match = re.fullmatch(r"(.+)-(\d+)", name)
    if match is None or (paths.data_root() / name).is_dir():
        return name, None
    return match[1], int(match[2])


def _resized(name: str, images: Tensor, size: int | None) -> Tensor:
    """Area averages, rounded."""
    height, width = images.shape[2:]
    if size in (None, height):
        return images
    if not size or height % size or width != height:
        raise ValueError(
            f"{name} has images of {height}x{width} pixels, which cannot be averaged to "
            f"{size}x{size}: pass a size that divides {height}"
        )
    parts = images.split(4096)
    return torch.cat([F.avg_pool2d(part.float(), height // size).round().byte() for part in parts])


# --- folders ---


def _listing(folder: Path) -> tuple[dict[str, list[str]], list[str]]:
    """'<class>/<file>' of both splits, and the classes; ValueError that lists what is missing."""
    wrong, files, classes = [], {}, {}
    for split in ("train", "test"):
        top = folder / split
        classes[split] = sorted(p.name for p in top.iterdir() if p.is_dir()) if top.is_dir() else []
        if not classes[split]:
            wrong.append(f"{top} has no folder of a class")
        files[split] = []
        for name in classes[split]:
            with os.scandir(top / name) as entries:  # pathlib takes seconds for 60,000 files
                found = sorted(e.name for e in entries if e.is_file() and e.name[0] != ".")
            if not found:
                wrong.append(f"{top / name} is empty")
            files[split] += [f"{name}/{file}" for file in found]
    for split, other in (("train", "test"), ("test", "train")):
        for name in sorted(set(classes[other]) - set(classes[split])):
            if classes[split]:
                wrong.append(f"class {name!r} is missing in {folder / split}")
    _refuse(folder, wrong)
    return files, classes["train"]


def _refuse(folder: Path, wrong: list[str]) -> None:
    if wrong:
        more = f"\n... and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        count = "1 thing is" if len(wrong) == 1 else f"{len(wrong)} things are"
        raise ValueError(
            f"{count} wrong with the images in {folder}:\n- " + "\n- ".join(wrong[:SHOWN]) + more
        )


def _cached(
    name: str, folder: Path, files: dict[str, list[str]], classes: list[str]
) -> dict[str, Pair]:
    """The images of a folder, from the one cache file if no file changed since it was written."""
    stamp = hashlib.sha256()
    for split, own in files.items():
        for file in own:
            info = os.stat(f"{folder}/{split}/{file}")
            stamp.update(f"{split}/{file} {info.st_size} {info.st_mtime_ns}\n".encode())
    cache = paths.data_root() / "cache" / f"{name}.pt"
    if cache.exists():
        try:
            held = torch.load(cache, weights_only=True)
            if held["stamp"] == stamp.hexdigest():
                return {split: tuple(held[split]) for split in ("train", "test")}
        except Exception:  # a damaged cache is made again, whatever is wrong with it
            cache.unlink(missing_ok=True)
    read = {split: _read([folder / split / file for file in own]) for split, own in files.items()}
    first = next(
        (array for images, _ in read.values() for array in images if array is not None), None
    )
    wrong = [line for _, lines in read.values() for line in lines]
    if first is not None:
        usual = f"{first.shape[1]}x{first.shape[0]}"
        wrong += [
            f"{folder / split / file} is {array.shape[1]}x{array.shape[0]} pixels, the first "
            f"image {usual}"
            for split, own in files.items()
            for file, array in zip(own, read[split][0], strict=True)
            if array is not None and array.shape != first.shape
        ]
    _refuse(folder, wrong)
    result = {}
    for split, own in files.items():
        labels = np.array([classes.index(file.partition("/")[0]) for file in own])
        result[split] = _ordered(np.stack(read[split][0]), labels)
    _write(cache, {"stamp": stamp.hexdigest(), **{k: list(pair) for k, pair in result.items()}})
    return result


def _read(files: list[Path]) -> tuple[list[np.ndarray | None], list[str]]:
    """[H, W, 3] arrays of the files, None for the unusable, and what is wrong with those."""

    def one(path: Path) -> np.ndarray | str:
        try:
            with Image.open(path) as image:
                if image.mode != "RGB":
                    return f"{path} is {image.mode}, not RGB"
                return np.asarray(image)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            return f"{path} cannot be read: {str(error).partition(chr(10))[0]}"

    with ThreadPoolExecutor() as pool:
        found = list(pool.map(one, files))
    wrong = [item for item in found if isinstance(item, str)]
    return [None if isinstance(item, str) else item for item in found], wrong


def _ordered(images: np.ndarray, labels: np.ndarray) -> Pair:
    """[N, H, W, 3] arrays as tensors [N, 3, H, W], in the order of the hash of their pixels."""
    digests = [
        hashlib.sha256(image.tobytes()).digest() + bytes([label % 256])
        for image, label in zip(images, labels, strict=True)
    ]
    order = sorted(range(len(digests)), key=digests.__getitem__)
    pixels = torch.from_numpy(np.ascontiguousarray(images[order].transpose(0, 3, 1, 2)))
    return pixels, torch.from_numpy(labels[order]).long()


def _write(cache: Path, content: dict) -> None:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_bytes(cache, buffer.getvalue())


# --- CIFAR by torchvision ---


def _torchvision(name: str) -> dict[str, Pair]:
    """CIFAR from torchvision's files in the data root, downloaded once."""
    cache = paths.data_root() / "cache" / f"{name}-torchvision.pt"
    if cache.exists():
        try:
            held = torch.load(cache, weights_only=True)
            return {split: tuple(held[split]) for split in ("train", "test")}
        except Exception:  # as above
            cache.unlink(missing_ok=True)
    import torchvision

    cls, root = getattr(torchvision.datasets, CIFAR[name]), paths.data_root()
    result = {}
    for split in ("train", "test"):
        try:
            found = cls(root, train=split == "train", download=True)
        except (OSError, RuntimeError) as error:  # URLError is an OSError
            raise FileNotFoundError(
                f"{name} is not in {root} and cannot be downloaded ({error}). Put the images in "
                f"{root}/{name}/train/<class>/ and {root}/{name}/test/<class>/, or torchvision's "
                f"{cls.base_folder}/ into {root} (PADALIB_DATA moves the data root)"
            ) from error
        result[split] = _ordered(np.asarray(found.data), np.asarray(found.targets))
    _write(cache, {k: list(pair) for k, pair in result.items()})
    return result
