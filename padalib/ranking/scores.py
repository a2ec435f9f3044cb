"""Scores of architectures with inherited weights (or of one trained alone), and their ranking."""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd
import torch
from torch.nn import functional as F

from padalib import data as datasets
from padalib.data import ImageSet
from padalib.engine.runs import Run
from padalib.spaces import Arch, Space, Supernet, recalibrate
from padalib.train import FromTraining

RECALIBRATION_BATCHES = 10


@dataclass(frozen=True)
class ScoreConfig(FromTraining):
    """Scores of a trained supernet: of every equivalence class, or of a random sample.

    ValueError for unknown splits, or more architectures than there are.
    """

    splits: tuple[str, ...] = ("valid",)  # what is scored on; the paper ranks on 'test'
    images: int | None = None  # only the first so many of a split; all if None
    batch: int = 500  # images per forward: batch statistics depend on it
    # All classes if None; so many random architectures, the same for all runs; or, of names of
    # operations, all architectures with one of them on every edge.
    archs: int | tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        allowed = (*datasets.SPLITS, datasets.WHOLE)
        foreign = set(self.splits) - set(allowed)
        if foreign or not self.splits:
            raise ValueError(f"splits must be some of {allowed}, got {self.splits}")
        space, archs = self.train.space, self.archs
        if isinstance(archs, int) and not 0 < archs <= len(space):
            raise ValueError(f"archs must be in 1..{len(space)} (of {space.name}), got {archs}")
        if isinstance(archs, tuple):
            space.restricted(archs)  # raises for names that it does not know

    @property
    def label(self) -> str:
        """A name for people."""
        return f"scores of {self.train.label}"

    def compute(self, run: Run) -> None:
        """Train if need be, then score."""
        trainer = self.trainer()
        space, arch = self.train.space, self.train.arch
        if arch is not None:
            archs = [arch]
        elif isinstance(self.archs, int):
            archs = sample(space, self.archs)
        elif self.archs is not None:
            archs = list(space.restricted(self.archs))
        else:
            archs = list(space.classes())
        rows = []
        for split in self.splits:
            images = datasets.load(self.train.data)[split].to(self.device)
            images = images if self.images is None else images.first(self.images)
            found = score(trainer.net, archs, images, self.batch, trainer.images)
            for arch, (accuracy, loss) in zip(archs, found, strict=True):
                rows.append(
                    {
                        "code": space.code(arch),
                        "epoch": trainer.epoch,
                        "split": split,
                        "images": len(images),
                        "accuracy": accuracy,
                        "loss": loss,
                    }
                )
        run.log(f"scored {len(archs)} architectures on {', '.join(self.splits)}")
        run.write_table("scores", pd.DataFrame(rows))


def sample(space: Space, n: int, seed: int = 0) -> list[Arch]:
    """`n` different architectures of a space, at random but always the same ones."""
    every = list(space)
    order = torch.randperm(len(every), generator=torch.Generator().manual_seed(seed))
    return [every[place] for place in order[:n].tolist()]


@torch.inference_mode()
def score(
    net: Supernet,
    archs: list[Arch],
    images: ImageSet,
    batch: int = 500,
    calibration: ImageSet | None = None,
) -> list[tuple[float, float]]:
    """Accuracy in % and mean cross-entropy of each architecture on `images`.

    A network with bn='batch' normalises by the statistics of each batch of `batch` images; one
    with 'recalibrated' sets its statistics from `calibration` before each architecture. Those
    that differ on dead edges only are computed once.
    """
    if net.bn == "recalibrated" and calibration is None:
        raise ValueError("bn='recalibrated' needs calibration images: pass the training set")
    net.eval()
    names = [net.space.canonical(arch) for arch in archs]
    classes = sorted(set(names))  # sorted, so that neighbours begin alike
    sums = torch.zeros(len(classes), 2, dtype=torch.float64, device=images.images.device)
    # Statistics that are an architecture's own need a pass each; otherwise a batch serves all.
    groups = [[one] for one in classes] if net.bn == "recalibrated" else [classes]
    for start, group in enumerate(groups):
        if net.bn == "recalibrated":
            few = _batches(calibration, batch, most=RECALIBRATION_BATCHES)
            recalibrate(net, group[0], (x for x, _ in few))
        for x, y in _batches(images, batch):
            for row, logits in enumerate(net.walk(x, group), start):
                sums[row, 0] += (logits.argmax(1) == y).sum()
                sums[row, 1] += F.cross_entropy(logits, y, reduction="sum")
    sums = sums.cpu() / len(images)  # the only wait for the device
    found = {
        one: (100 * accuracy, loss)
        for one, (accuracy, loss) in zip(classes, sums.tolist(), strict=True)
    }
    return [found[name] for name in names]


def _batches(images: ImageSet, size: int, most: int | None = None) -> Iterator:
    starts = range(0, len(images), size)
    for start in starts[:most]:
        yield images.batch(torch.arange(start, min(start + size, len(images))))
