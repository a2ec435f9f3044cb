"""Image sets held whole on the device as uint8: digits that ship with the workbook, photographs."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn import functional as F

from padalib.data import images
from padalib.engine import checked, paths

SPLITS = ("train", "valid", "test")
WHOLE = "train+valid"  # the paper's protocol learns from it, and ranks on 'test'


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images uint8 [N, C, H, W] with labels int64 [N]; mean and std [C] are the training split's.

    Raises ValueError where shapes, types or labels do not fit together.
    """

    name: str
    images: Tensor
    labels: Tensor
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        if images.dtype != torch.uint8 or images.ndim != 4:
            raise ValueError(
                f"images must be uint8 [N, C, H, W], got {images.dtype} {images.shape}"
            )
        if labels.dtype != torch.int64 or labels.shape != images.shape[:1]:
            raise ValueError(
                f"labels must be int64 [{len(images)}], got {labels.dtype} {tuple(labels.shape)}"
            )
        if len(self.mean) != images.shape[1] or len(self.std) != images.shape[1]:
            raise ValueError(f"mean and std need one value for each of {images.shape[1]} channels")

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: str | torch.device) -> "ImageSet":
        """The same set on another device."""
        return replace(self, images=self.images.to(device), labels=self.labels.to(device))

    def first(self, n: int) -> "ImageSet":
        """The first `n` images (all sets here are in random order); ValueError where are fewer."""
        n = checked.whole(f"images of {self.name}", n, 1, len(self))
        return replace(self, images=self.images[:n], labels=self.labels[:n])

    def batch(
        self,
        index: Tensor,
        generator: torch.Generator | None = None,
        crop: int = 0,
        flip: bool = False,
        cutout: int | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Normalised float32 images [B, C, H, W] (channels last in memory) and labels [B].

        `crop` shifts each image by up to that many pixels (zeros move in); `flip` mirrors each
        with probability one half; `cutout` then hides a square of that side, around a random pixel
        of each, behind the mean (DeVries & Taylor 2017). All draw from `generator`, which lives on
        the CPU.
        """
        index = index.to(self.images.device)
        x, y = self.images.index_select(0, index), self.labels.index_select(0, index)
        b, _, h, w = x.shape
        if (crop or flip or cutout) and generator is None:
            raise ValueError("crop, flip and cutout need a generator")
        if crop or flip:
            if flip:
                mirror = torch.randint(2, (b, 1, 1, 1), generator=generator).bool().to(x.device)
            if crop:
                row, col = torch.randint(2 * crop + 1, (2, b), generator=generator).to(x.device)
                windows = F.pad(x, (crop,) * 4).unfold(2, h, 1).unfold(3, w, 1)
                x = windows[torch.arange(b, device=x.device), :, row, col]
            if flip:
                x = torch.where(mirror, x.flip(3), x)
        scale = torch.tensor([1 / (255 * s) for s in self.std], device=x.device)
        shift = torch.tensor([-m / s for m, s in zip(self.mean, self.std, strict=True)]).to(
            x.device
        )
        x = x.float().mul_(scale[:, None, None]).add_(shift[:, None, None])
        if cutout:
            x *= ~hidden(b, h, w, cutout, generator).to(x.device)
        return x.contiguous(memory_format=torch.channels_last), y

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of shape, pixels and labels."""
        digest = hashlib.sha256(str(tuple(self.images.shape)).encode())
        digest.update(self.images.cpu().numpy().tobytes())
        digest.update(self.labels.cpu().numpy().tobytes())
        return digest.hexdigest()


def hidden(b: int, h: int, w: int, side: int, generator: torch.Generator) -> Tensor:
    """bool [B, 1, H, W]: a square around a uniform pixel of each; parts of it may lie outside."""
    spans = []
    for size in (h, w):
        first = torch.randint(size, (b, 1), generator=generator) - side // 2
        at = torch.arange(size) - first  # [B, size]
        spans.append((at >= 0) & (at < side))
    return (spans[0][:, :, None] & spans[1][:, None, :])[:, None]


def cluttered_digits(seed: int = 0) -> dict[str, ImageSet]:
    """Scikit-learn's 8x8 handwritten digits in clutter: 16x16, 10 classes, 8,000/2,000/4,000.

    On each canvas: six 4x4 fragments of other digits, the digit at a random place, Gaussian noise
    of standard deviation 0.15. No source digit serves two splits, neither whole nor as a fragment.
    Deterministic: a test pins the hash.
    """
    # RandomState, because numpy guarantees its stream; default_rng's may change with a release.
    rng = np.random.RandomState(seed)
    digits = load_digits()
    pixels, labels = digits.images / 16.0, digits.target
    order = rng.permutation(len(labels))
    first, second = int(0.6 * len(order)), int(0.8 * len(order))
    sources = np.split(order, [first, second])  # 1078, 359 and 360 source digits
    drawn = {
        split: _compose(rng, pixels[own], labels[own], size)
        for split, own, size in zip(SPLITS, sources, (8000, 2000, 4000), strict=True)
    }
    return _normalised("digits", drawn)


def _compose(
    rng: np.random.RandomState, pixels: np.ndarray, labels: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
    pick = rng.randint(len(labels), size=size)
    canvas = np.zeros((size, 16, 16))
    place = rng.randint(0, 9, size=(size, 2))
    other = rng.randint(len(labels), size=(size, 6))
    corner = rng.randint(0, 5, size=(size, 6, 2))
    spot = rng.randint(0, 13, size=(size, 6, 2))
    for n, k in zip(*np.nonzero(labels[other] == labels[pick][:, None]), strict=True):
        while labels[other[n, k]] == labels[pick[n]]:  # a fragment must not help the label
            other[n, k] = rng.randint(len(labels))
    one, four, eight = np.arange(size)[:, None, None], np.arange(4), np.arange(8)
    for k in range(6):
        (i, j), (r, c) = corner[:, k].T[..., None, None], spot[:, k].T[..., None, None]
        here = one, r + four[:, None], c + four
        piece = pixels[other[:, k, None, None], i + four[:, None], j + four]
        canvas[here] = np.maximum(canvas[here], piece)
    r, c = place.T[..., None, None]
    canvas[one, r + eight[:, None], c + eight] = pixels[pick]
    canvas += 0.15 * rng.standard_normal(canvas.shape)
    return np.rint(255 * canvas.clip(0, 1)).astype(np.uint8), labels[pick]


def _normalised(name: str, drawn: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, ImageSet]:
    train = drawn["train"][0] / 255.0
    mean, std = (float(train.mean()),), (float(train.std()),)
    return {
        split: ImageSet(
            f"{name}/{split}",
            torch.from_numpy(images)[:, None].contiguous(),
            torch.from_numpy(labels).long(),
            mean,
            std,
        )
        for split, (images, labels) in drawn.items()
    }


def small_digits() -> dict[str, ImageSet]:
    """The first 512/256/256 cluttered digits, for tests and the smoke scale."""
    sizes = zip(SPLITS, (512, 256, 256), strict=True)
    return {split: load("digits")[split].first(n) for split, n in sizes}


def photographs(name: str) -> dict[str, ImageSet]:
    """CIFAR or a folder of images: see `images.load` for where they are looked for, and errors.

    A tenth of each class's training images, rounded, is held out as 'valid', or as near to that as
    copies of one image allow, which stay together. Images are in the order of their pixels' hash,
    which is as good as random and the same wherever they came from.
    """
    raw = images.load(name)
    pixels, labels = raw["train"]
    held_out = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique():
        own = (labels == label).nonzero()[:, 0]
        held_out[own[: _tenth(pixels[own], f"class {int(label)} of {name}")]] = True
    mean, std = _moments(pixels[~held_out])
    return {
        split: ImageSet(f"{name}/{split}", *both, mean, std)
        for split, both in {
            "train": (pixels[~held_out], labels[~held_out]),
            "valid": (pixels[held_out], labels[held_out]),
            "test": raw["test"],
        }.items()
    }


def _tenth(pixels: Tensor, what: str) -> int:
    """How many of these to hold out; ValueError where copies leave nothing near to a tenth."""
    wanted = max(1, round(len(pixels) / 10))
    other = (pixels[1:] != pixels[:-1]).flatten(1).any(1)  # twins lie side by side
    cuts = (other.nonzero()[:, 0] + 1).tolist()
    size = min(cuts, key=lambda cut: (abs(cut - wanted), cut), default=len(pixels))
    if not cuts or size > max(1, len(pixels) // 2):
        many = f", {size} of them copies of few" if len(pixels) > 1 else ""
        raise ValueError(
            f"{what} has {len(pixels)} training images{many}: to hold a tenth out, at least 2 "
            "different ones are needed, and no one picture may be most of them. Add images, or "
            "remove the copies"
        )
    return size


def _moments(pixels: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel of [N, C, H, W], in [0, 1], exactly.

    A channel of one value has a deviation of 0, by which nothing can be divided: it gets 1.
    """
    values = torch.arange(256, dtype=torch.float64) / 255
    mean, std = [], []
    for channel in range(pixels.shape[1]):
        counts = pixels[:, channel].flatten().bincount(minlength=256).double()
        share = counts / counts.sum()
        mean.append(float(share @ values))
        std.append(float(share @ (values - mean[-1]).square()) ** 0.5 or 1.0)
    return tuple(mean), tuple(std)


DATASETS: dict[str, Callable[[], dict[str, ImageSet]]] = {
    "digits": cluttered_digits,
    "digits-small": small_digits,
}


def check(name: str) -> None:
    """FileNotFoundError where no data set of that name can be; reads and downloads nothing.

    ValueError for a folder that cannot be told from a data set of the workbook.
    """
    if not _embedded(name):
        images.find(name)


def _embedded(name: str) -> bool:
    """Whether a data set ships with the workbook; ValueError where a folder has its name."""
    if name in DATASETS and images.has_splits(folder := paths.data_root() / name):
        raise ValueError(
            f"{folder} has images, but {name!r} is the name of the data set that ships with the "
            "workbook: rename the folder"
        )
    return name in DATASETS


def load(name: str) -> dict[str, ImageSet]:
    """The splits of a data set, each an `ImageSet`: 'train', 'valid', 'test' and 'train+valid'.

    `name` is one of `DATASETS`, 'cifar10', 'cifar100', or a folder of images in the data root;
    'cifar10-16' is the same at 16x16 pixels. Raises as `images.load` does. Held in memory: images
    that change on the disk meanwhile are seen by the next process, or kernel.
    """
    found = () if _embedded(name) else (paths.data_root(), images.split_name(name))
    return _load(name, *found)


@lru_cache
def _load(name: str, *found: object) -> dict[str, ImageSet]:
    """`found` tells apart what one name stands for, as folders come and `PADALIB_DATA` moves."""
    sets = DATASETS[name]() if name in DATASETS else photographs(name)
    train, valid = sets["train"], sets["valid"]
    pixels = torch.cat([train.images, valid.images])
    labels = torch.cat([train.labels, valid.labels])
    sets = sets | {WHOLE: replace(train, images=pixels, labels=labels)}
    return {split: replace(own, name=f"{name}/{split}") for split, own in sets.items()}


def fingerprint(name: str) -> str:
    """SHA-256 over the splits of a data set; part of every run's identity."""
    parts = [load(name)[split].fingerprint for split in SPLITS]
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def check_fit(images: ImageSet, space: Any) -> None:
    """ValueError unless the network of `space` is made for such images and labels."""
    channels, height, width = images.images.shape[1:]
    found = {
        "in_channels": (space.in_channels, channels),
        "size": (space.size, height if height != space.size else width),
        "classes_out": (space.classes_out, int(images.labels.max()) + 1),
    }
    for field_name, (built, given) in found.items():
        if built != given and not (field_name == "classes_out" and given < built):
            raise ValueError(
                f"{images.name} has {field_name} {given}, but {space.name} is built for {built}: "
                f"use dataclasses.replace(space, {field_name}={given})"
            )


def fitted(space: Any, images: ImageSet) -> Any:
    """The space with the network for such images and labels; ValueError where they are not square.

    Raises where its class lacks one of these fields: write `in_channels`, `size` and `classes_out`.
    """
    channels, height, _ = images.images.shape[1:]
    wanted = {
        "in_channels": channels,
        "size": height,
        "classes_out": int(images.labels.max()) + 1,
    }
    changes = {name: value for name, value in wanted.items() if getattr(space, name) != value}
    known = {field.name for field in fields(space)} if is_dataclass(space) else set()
    if absent := changes.keys() - known:
        raise ValueError(
            f"{type(space).__name__} has no field {', '.join(sorted(absent))}, so it cannot be "
            f"fitted to {images.name}: give it one, such as `size: int = {height}`, and use it in "
            "its network"
        )
    space = replace(space, **changes)
    check_fit(images, space)
    return space
