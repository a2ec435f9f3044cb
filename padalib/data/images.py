"""Photographs from disk or torchvision, read once into one uint8 file.

Looked for in the data root (`PADALIB_DATA`, default `data/`): a folder of images
`<name>/{train,test}/<class>/*`, then, for CIFAR, torchvision's files, downloaded if need be.
"""

import hashlib
import os
import re
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional as F

from padalib.data import cache
from padalib.data.cache import SPLITS, Pair
from padalib.engine import paths

CIFAR = {"cifar10": "CIFAR10", "cifar100": "CIFAR100"}
# Whatever a file is called, it is read as one of these or not at all: others (EPS) are handed to
# another program.
FORMATS = ("PNG", "JPEG", "BMP", "PPM", "TIFF", "WEBP")
SHOWN = 20  # problems that an error lists; the rest are counted
Listing = dict[str, list[tuple[str, os.stat_result]]]  # split -> '<class>/<file>' of its images


def load(name: str) -> dict[str, Pair]:
    """'train' and 'test' of a data set; 'cifar10-16' is 'cifar10' averaged to 16x16 pixels.

    A folder that is itself named so ('photos-2024') is that folder, at its own size.
    Sorted by the hash of their (original) pixels, so that neither file names nor the source
    matter. Raises FileNotFoundError where there is nothing to read, and ValueError that lists all
    files which cannot be used, or for a size that does not divide the images'.
    """
    base, size = split_name(name)
    folder = find(name)
    whole = _torchvision(base) if folder is None else _cached(base, folder)
    return {
        split: (_resized(base, images, size), labels) for split, (images, labels) in whole.items()
    }


def find(name: str) -> Path | None:
    """The folder that holds a data set, None where torchvision has to see to it.

    Raises FileNotFoundError where there is neither.
    """
    base, _ = split_name(name)
    folder = paths.data_root() / base
    if has_splits(folder):
        return folder
    if base not in CIFAR:
        place = shown(folder)
        raise FileNotFoundError(
            f"no data set {base!r}: expected images in {place}/train/<class>/ and "
            f"{place}/test/<class>/ (PADALIB_DATA moves the data root), or one of the names "
            f"digits, digits-small, {', '.join(CIFAR)}, or the latter at another size, such as "
            "cifar10-16 (averaged to 16x16 pixels)"
        )
    return None


def split_name(name: str) -> tuple[str, int | None]:
    """('cifar10', 16) from 'cifar10-16', but ('cifar10-16', None) if a folder has that name."""
    match = re.fullmatch(r"(.+)-(\d+)", name)
    if match is None or _is_folder(paths.data_root() / name):
        return name, None
    return match[1], int(match[2])


def has_splits(folder: Path) -> bool:
    """Whether a folder is a data set, whole or in part."""
    return any(_is_folder(folder / split) for split in SPLITS)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError as error:  # a name that is too long, a folder that may not be entered
        raise ValueError(f"cannot look for images in {shown(path)}: {error.strerror}") from None


def shown(path: Path | str) -> str:
    """A path that can be printed, though its name may not be text."""
    return str(path).encode(errors="backslashreplace").decode()


def _resized(name: str, images: Tensor, size: int | None) -> Tensor:
    """Area averages, rounded."""
    height, width = images.shape[2:]
    if size is None or size == height == width:
        return images
    if not size or height % size or width != height:
        raise ValueError(
            f"{name} has images of {height}x{width} pixels, which cannot be averaged to "
            f"{size}x{size}: pass a size that divides {height}"
        )
    parts = images.split(4096)
    return torch.cat([F.avg_pool2d(part.float(), height // size).round().byte() for part in parts])


# --- folders ---


def _listing(folder: Path) -> tuple[Listing, list[str]]:
    """The images of both splits, and the classes; ValueError that lists what is missing."""
    wrong, files, classes = [], {}, {}
    for split in SPLITS:
        top = folder / split
        entries = _entries(top, wrong) if os.path.lexists(top) else []
        classes[split] = [e.name for e in entries if _kind(e, wrong) == "folder"]
        if not classes[split]:
            wrong.append(f"{shown(top)} has no folder of a class")
        files[split] = []
        for name in classes[split]:
            count = len(wrong)
            own = _entries(top / name, wrong)
            for entry in own:
                kind = _kind(entry, wrong)
                if kind == "file":
                    files[split].append((f"{name}/{entry.name}", entry.stat()))
                elif kind is not None:
                    wrong.append(f"{shown(entry.path)} is a {kind}, not an image")
            if not own and len(wrong) == count:
                wrong.append(f"{shown(top / name)} is empty")
    for split, other in (("train", "test"), ("test", "train")):
        for name in sorted(set(classes[other]) - set(classes[split])):
            if classes[split]:
                wrong.append(f"class {shown(name)!r} is missing in {shown(folder / split)}")
    _refuse(folder, wrong)
    return files, classes["train"]


def _entries(folder: Path, wrong: list[str]) -> list[os.DirEntry]:
    """What lies in a folder and is not hidden, by name."""
    try:
        with os.scandir(folder) as entries:  # pathlib takes seconds for 60,000 files
            return sorted((e for e in entries if e.name[0] != "."), key=lambda e: e.name)
    except OSError as error:
        wrong.append(f"{shown(folder)} cannot be read: {error.strerror}")
        return []


def _kind(entry: os.DirEntry, wrong: list[str]) -> str | None:
    """What an entry is, through links; None, and a line in `wrong`, where that is not to be had."""
    try:
        mode = entry.stat().st_mode
    except OSError as error:
        what = "is a link that leads nowhere" if entry.is_symlink() else "cannot be read"
        wrong.append(f"{shown(entry.path)} {what}: {error.strerror}")
        return None
    if stat.S_ISREG(mode):
        return "file"
    return "folder" if stat.S_ISDIR(mode) else "pipe or device"


def _refuse(folder: Path, wrong: list[str]) -> None:
    if wrong:
        more = f"\n... and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        count = "1 thing is" if len(wrong) == 1 else f"{len(wrong)} things are"
        raise ValueError(
            f"{count} wrong with the images in {shown(folder)}:\n- "
            + "\n- ".join(wrong[:SHOWN])
            + more
        )


def _cached(name: str, folder: Path) -> dict[str, Pair]:
    """The images of a folder, from the one cache file if no file changed since it was written."""
    files, classes = _listing(folder)
    stamp = hashlib.sha256()
    for split, own in files.items():
        for file, info in own:
            line = f"{split}/{file} {info.st_size} {info.st_mtime_ns}\n"
            stamp.update(os.fsencode(line))
    path = cache.place(name)
    found = cache.read(path, stamp.hexdigest())
    if found is not None:
        return found
    read = {
        split: _read([folder / split / file for file, _ in own]) for split, own in files.items()
    }
    first = next(
        (array for images, _ in read.values() for array in images if array is not None), None
    )
    wrong = [line for _, lines in read.values() for line in lines]
    if first is not None:
        usual = f"{first.shape[1]}x{first.shape[0]}"
        wrong += [
            f"{shown(folder / split / file)} is {array.shape[1]}x{array.shape[0]} pixels, the "
            f"first image {usual}"
            for split, own in files.items()
            for (file, _), array in zip(own, read[split][0], strict=True)
            if array is not None and array.shape != first.shape
        ]
    _refuse(folder, wrong)
    result = {}
    for split, own in files.items():
        labels = np.array([classes.index(file.partition("/")[0]) for file, _ in own])
        result[split] = _ordered(np.stack(read[split][0]), labels)
    cache.write(path, stamp.hexdigest(), result)
    return result


def _read(files: list[Path]) -> tuple[list[np.ndarray | None], list[str]]:
    """[H, W, 3] arrays of the files, None for the unusable, and what is wrong with those."""
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(_decode, files))
    wrong = [item for item in found if isinstance(item, str)]
    return [None if isinstance(item, str) else item for item in found], wrong


def _decode(path: Path) -> np.ndarray | str:
    """Pixels [H, W, 3], or a line that says what is wrong."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            count = getattr(image, "n_frames", 1)
            if count > 1 and image.format != "MPO":  # a photograph with its small copies
                return f"{shown(path)} holds {count} pictures, not one"
            if image.mode != "RGB":
                return f"{shown(path)} is {image.mode}, not RGB"
            return np.asarray(image)
    except UnidentifiedImageError:
        return f"{shown(path)} cannot be read: it is none of {', '.join(FORMATS)}"
    except Exception as error:  # decoders raise whatever they like on a damaged file
        reason = str(error).partition("\n")[0] or type(error).__name__
        return f"{shown(path)} cannot be read: {shown(reason)}"


def _ordered(images: np.ndarray, labels: np.ndarray) -> Pair:
    """[N, H, W, 3] arrays as tensors [N, 3, H, W], in the order of the hash of their pixels."""
    digests = [
        hashlib.sha256(image.tobytes()).digest() + bytes([label % 256])
        for image, label in zip(images, labels, strict=True)
    ]
    order = sorted(range(len(digests)), key=digests.__getitem__)
    pixels = torch.from_numpy(np.ascontiguousarray(images[order].transpose(0, 3, 1, 2)))
    return pixels, torch.from_numpy(labels[order]).long()


# --- CIFAR by torchvision ---


def _torchvision(name: str) -> dict[str, Pair]:
    """CIFAR from torchvision's files in the data root, downloaded once."""
    path, stamp = cache.place(f"{name}-torchvision"), "torchvision"
    found = cache.read(path, stamp)
    if found is not None:
        return found
    import torchvision

    cls, root = getattr(torchvision.datasets, CIFAR[name]), paths.data_root()
    result = {}
    for split in SPLITS:
        try:
            found = cls(root, train=split == "train", download=True)
        except (OSError, RuntimeError) as error:  # URLError is an OSError
            raise FileNotFoundError(
                f"{name} is not in {root} and cannot be downloaded ({error}). Put the images in "
                f"{root}/{name}/train/<class>/ and {root}/{name}/test/<class>/, or torchvision's "
                f"{cls.base_folder}/ into {root} (PADALIB_DATA moves the data root)"
            ) from error
        result[split] = _ordered(np.asarray(found.data), np.asarray(found.targets))
    cache.write(path, stamp, result)
    return result
