"""Scores of architectures with inherited weights (or of one trained alone), and their ranking."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import prod
from typing import Any

import pandas as pd
import torch
from torch.nn import functional as F

from padalib import data as datasets
from padalib.data import ImageSet
from padalib.engine import checked
from padalib.engine.checked import Count
from padalib.engine.runs import Run
from padalib.ranking.partial import Partial
from padalib.spaces import Arch, Space, Supernet, recalibrate
from padalib.spaces.base import LISTED
from padalib.spaces.checking import listed
from padalib.train import FromTraining, Trainer

BATCH = 500  # images per forward where no number is given and there are as many
RECALIBRATION_BATCHES = 10


@dataclass(frozen=True)
class ScoreConfig(FromTraining):
    """Scores of a trained supernet: of every equivalence class, a random sample, or a given list.

    A run that is cut goes on after the batches that it had scored, and ends as if it had not been.
    ValueError for unknown splits, or more images or architectures than there are.
    """

    splits: tuple[str, ...] = ("valid",)  # what is scored on; the paper ranks on 'test'
    images: Count | None = None  # only the first so many of a split; all if None
    # Images per forward, on which batch statistics depend; `BATCH`, or all of fewer, if None.
    batch: Count | None = None
    # All classes if None; so many random architectures, the same for all runs; or, of names of
    # operations, all architectures with one of them on every edge.
    archs: int | tuple[str, ...] | None = None
    # Codes of just these, in this order. A list may be long: the identity holds its digest.
    codes: tuple[str, ...] | None = field(default=None, metadata={"identity": "digest"})

    def __post_init__(self) -> None:
        super().__post_init__()
        allowed = (*datasets.SPLITS, datasets.WHOLE)
        foreign = set(self.splits) - set(allowed)
        if foreign or not self.splits or len(set(self.splits)) < len(self.splits):
            raise ValueError(f"splits must be some of {allowed}, each once, got {self.splits}")
        space, archs = self.train.space, self.archs
        if isinstance(archs, int) and not 0 < archs <= space.architectures:
            raise ValueError(
                f"archs must be in 1..{space.architectures} (of {space.name}), got {archs}"
            )
        if isinstance(archs, tuple):
            space.restricted(archs)  # raises for names that it does not know
        if archs is not None and self.train.arch is not None:
            raise ValueError(
                f"{self.train.label} trains one architecture, which is the one to score: leave "
                f"archs out, got {archs}"
            )
        if self.codes is not None:
            object.__setattr__(self, "codes", self._checked_codes(self.codes))

    def _checked_codes(self, codes: tuple[str, ...]) -> tuple[str, ...]:
        """The codes as the space writes them; ValueError for what is no list to score."""
        if self.archs is not None or self.train.arch is not None:
            other = "archs" if self.archs is not None else "an architecture trained alone"
            raise ValueError(f"codes and {other} both say what to score: leave codes out")
        space = self.train.space
        codes = tuple(space.code(space.parse(code)) for code in codes)
        if not codes or len(set(codes)) < len(codes):
            raise ValueError(
                f"codes must be different architectures of {space.name}, at least one; got "
                f"{len(codes)}, {len(set(codes))} of them different"
            )
        return codes

    @property
    def label(self) -> str:
        """A name for people."""
        return f"scores of {self.train.label}"

    @property
    def changes(self) -> int:
        """What it computes has changed so often, see `padalib.RECIPE`: by recalibration, once."""
        return int(self.train.bn == "recalibrated")

    def check(self) -> None:
        """ValueError for fewer images than are asked for, or too many architectures to list."""
        super().check()
        space = self.train.space
        if self.codes is None and self.train.arch is None:
            found, said = self.archs, "all architectures" if self.archs is None else "architectures"
            if isinstance(found, tuple):
                said = f"all architectures of {', '.join(found)}"
                found = prod(len({*found} & {*place.options}) for place in space.positions)
            few = f"pass archs=, how many are drawn, at most {LISTED:,}, or codes=, which"
            listed(space, f"{said} are scored", few, found)
        for split in self.splits:
            batch_size(self._images(split), self.batch)

    def _images(self, split: str) -> ImageSet:
        images = datasets.load(self.train.data)[split]
        return images if self.images is None else images.first(self.images)

    def scored(self) -> list[Arch]:
        """The architectures that are scored, in order."""
        space = self.train.space
        if self.train.arch is not None:
            return [self.train.arch]
        if self.codes is not None:
            return [space.parse(code) for code in self.codes]
        if isinstance(self.archs, int):
            return sample(space, self.archs)
        return list(space.classes() if self.archs is None else space.restricted(self.archs))

    def compute(self, run: Run) -> None:
        """Train if need be, then score; a network that is broken fails the run."""
        trainer, archs = self.trainer(), self.scored()
        with Partial(run) as partial:
            table = self.table(partial, trainer, archs)
            run.log(f"scored {len(archs)} architectures on {', '.join(self.splits)}")
            run.write_table("scores", table)

    def table(self, partial: Partial, trainer: Trainer, archs: list[Arch]) -> pd.DataFrame:
        """A row for each split and architecture, by one network."""
        rows = []
        for split in self.splits:
            images = self._images(split).to(self.device)
            name = f"{Run(trainer.config).key} {trainer.net.bn} {split}"
            known = partial.part(name, trainer.config)
            given = archs, images, self.batch, trainer.images
            try:
                found = score(trainer.net, *given, known, partial.added)
            except BrokenNetwork as error:
                partial.run.fail(f"at epoch {trainer.epoch}, {error}")
            for arch, (accuracy, loss) in zip(archs, found, strict=True):
                rows.append(
                    {
                        "code": self.train.space.code(arch),
                        "epoch": trainer.epoch,
                        "split": split,
                        "images": len(images),
                        "accuracy": accuracy,
                        "loss": loss,
                    }
                )
        return pd.DataFrame(rows)


class BrokenNetwork(ValueError):
    """A network whose outputs are not finite has no score."""


def sample(space: Space, n: int, seed: int = 0) -> list[Arch]:
    """`n` different architectures of a space, at random but always the same ones.

    ValueError for more than there are.
    """
    checked.whole(f"n (of the architectures of {space.name})", n, 0, space.architectures)
    rng = torch.Generator().manual_seed(seed)
    if space.architectures > LISTED:
        found: dict[Arch, None] = {}
        while len(found) < n:
            found[space.sample(rng)] = None
        return list(found)
    every = list(space)
    order = torch.randperm(len(every), generator=rng)
    return [every[place] for place in order[:n].tolist()]


@torch.inference_mode()
def score(
    net: Supernet,
    archs: list[Arch],
    images: ImageSet,
    batch: int | None = None,
    calibration: ImageSet | None = None,
    known: dict[str, Any] | None = None,
    added: Callable[[], None] = lambda: None,
) -> list[tuple[float, float]]:
    """Accuracy in % and mean cross-entropy of each architecture on `images`.

    A network with bn='batch' normalises by the statistics of each batch of `batch` images; one
    with 'recalibrated' sets its statistics from `calibration` before each architecture. Those
    that differ on dead edges only are computed once. BrokenNetwork, a ValueError, where an output
    is not finite: the largest of those is no answer. What is summed so far goes into `known`, from
    which it goes on where that is not empty, and `added` is called after each batch.
    """
    if net.bn == "recalibrated" and calibration is None:
        raise ValueError("bn='recalibrated' needs calibration images: pass the training set")
    net.eval()
    names = [net.space.canonical(arch) for arch in archs]
    classes = sorted(set(names))  # sorted, so that neighbours begin alike
    known = {} if known is None else known
    # Right answers, loss, and images whose outputs are not finite.
    sums = torch.zeros(len(classes), 3, dtype=torch.float64)
    sums = known.get("sums", sums).to(images.images.device)
    # Statistics that are an architecture's own need a pass each; otherwise a batch serves all.
    groups = [[one] for one in classes] if net.bn == "recalibrated" else [classes]
    batches = -(-len(images) // batch_size(images, batch))
    for start, group in enumerate(groups):
        if known.get("batches", 0) >= (start + 1) * batches:
            continue
        if net.bn == "recalibrated":
            few = _batches(calibration, batch, most=RECALIBRATION_BATCHES)
            recalibrate(net, group[0], (x for x, _ in few))
        for count, (x, y) in enumerate(_batches(images, batch), start * batches + 1):
            if known.get("batches", 0) >= count:
                continue
            for row, logits in enumerate(net.walk(x, group), start):
                sums[row, 0] += (logits.argmax(1) == y).sum()
                sums[row, 1] += F.cross_entropy(logits, y, reduction="sum")
                sums[row, 2] += (~logits.isfinite().all(1)).sum()
            known.update(batches=count, sums=sums.clone())
            added()
    sums = sums.cpu()  # the only wait for the device
    _refuse_broken(net.space, classes, sums[:, 2].int().tolist(), images)
    sums /= len(images)
    found = {
        one: (100 * accuracy, loss)
        for one, (accuracy, loss, _) in zip(classes, sums.tolist(), strict=True)
    }
    return [found[name] for name in names]


def _refuse_broken(space: Space, classes: list[Arch], broken: list[int], images: ImageSet) -> None:
    bad = [(arch, count) for arch, count in zip(classes, broken, strict=True) if count]
    if bad:
        (arch, count), others = bad[0], len(bad) - 1
        also = f" (and {others} more of {len(classes)} architectures)" if others else ""
        raise BrokenNetwork(
            f"the outputs of architecture {space.code(arch)}{also} are not finite for {count} of "
            f"{len(images)} images of {images.name}: score an earlier epoch, or train with a lower "
            "lr or clip"
        )


def batch_size(images: ImageSet, batch: int | None) -> int:
    """Images per forward; ValueError for more than there are."""
    n = len(images)
    if batch is None:
        return min(BATCH, n)
    return checked.whole(f"batch (of the {n} images of {images.name})", batch, 1, n)


def _batches(images: ImageSet, batch: int | None, most: int | None = None) -> Iterator:
    step = batch_size(images, batch)
    starts = range(0, len(images), step)
    if most is not None:  # each counts alike, so none may be short
        starts = range(0, len(images) - step + 1, step)
    for start in starts[:most]:
        yield images.batch(torch.arange(start, min(start + step, len(images))))
