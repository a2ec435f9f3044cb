"""Scores of architectures with inherited weights (or of one trained alone), and their ranking."""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd
import torch
from torch.nn import functional as F

from padalib import data as datasets
from padalib.data import ImageSet
from padalib.runs import Run
from padalib.spaces import Arch, Supernet, recalibrate
from padalib.train import FromTraining

RECALIBRATION_BATCHES = 10


@dataclass(frozen=True)
class ScoreConfig(FromTraining):
    """Scores of every equivalence class of a trained supernet; ValueError for unknown splits."""

    splits: tuple[str, ...] = ("valid",)  # what is scored on; the paper ranks on 'test'
    images: int | None = None  # only the first so many of a split; all if None
    batch: int = 500  # images per forward: batch statistics depend on it

    def __post_init__(self) -> None:
        super().__post_init__()
        foreign = set(self.splits) - set(datasets.SPLITS)
        if foreign or not self.splits:
            raise ValueError(f"splits must be some of {datasets.SPLITS}, got {self.splits}")

    @property
    def label(self) -> str:
        """A name for people."""
        return f"scores of {self.train.label}"

    def compute(self, run: Run) -> None:
        """Train if need be, then score."""
        trainer = self.trainer()
        space, arch = self.train.space, self.train.arch
        archs = list(space.classes()) if arch is None else [arch]
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


@torch.no_grad()
def score(
    net: Supernet,
    archs: list[Arch],
    images: ImageSet,
    batch: int = 500,
    calibration: ImageSet | None = None,
) -> list[tuple[float, float]]:
    """Accuracy in % and mean cross-entropy of each architecture on `images`.

    A network with bn='batch' normalises by the statistics of each batch of `batch` images; one
    with 'recalibrated' sets its statistics from `calibration` before each architecture.
    """
    if net.bn == "recalibrated" and calibration is None:
        raise ValueError("bn='recalibrated' needs calibration images: pass the training set")
    net.eval()
    sums = torch.zeros(len(archs), 2, dtype=torch.float64, device=images.images.device)
    for row, arch in enumerate(archs):
        if net.bn == "recalibrated":
            recalibrate(
                net, arch, (x for x, _ in _batches(calibration, batch, most=RECALIBRATION_BATCHES))
            )
        for x, y in _batches(images, batch):
            logits = net(x, arch).float()
            sums[row, 0] += (logits.argmax(1) == y).sum()
            sums[row, 1] += F.cross_entropy(logits, y, reduction="sum")
    sums = sums.cpu() / len(images)  # the only wait for the device
    return [(100 * accuracy, loss) for accuracy, loss in sums.tolist()]


def _batches(images: ImageSet, size: int, most: int | None = None) -> Iterator:
    starts = range(0, len(images), size)
    for start in starts[:most]:
        yield images.batch(torch.arange(start, min(start + size, len(images))))
