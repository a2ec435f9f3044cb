"""GM-NAS: options of a position whose gradients agree stay in one supernet, the others get another.

Hu et al., "Generalizing Few-Shot NAS with Gradient Matching", ICLR 2022. After a first training,
two options at a position disagree by 1 - cosine of the gradients that all other weights get on the
same images, with the same random options elsewhere. The position is split where two groups of
options disagree most; then each group is trained on by a supernet of its own (`several`).
"""

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from padalib.engine import checked
from padalib.engine.checked import Count
from padalib.engine.runs import Run
from padalib.ranking.scores import ScoreConfig
from padalib.ranking.several import mean_flops, part_scores, sub_supernet, what
from padalib.spaces import Arch
from padalib.train import FromTraining, TrainConfig, Trainer, stream


@dataclass(frozen=True)
class GradientSplit(FromTraining):
    """How much options disagree at each position: a table of `distance` by position and pair.

    It costs `images` through forward and backward. ValueError for a space that shares operations
    between positions, where an option's weights are not those of one position.
    """

    repeats: Count = 10  # batches, each with a path of its own; differs: 100 in the public code
    batch: Count = 64  # images of each

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.train.space.extent > 1:
            raise ValueError(
                f"{self.train.space.name} shares operations between positions, so no position can "
                "be split: use dataclasses.replace(space, extent=1)"
            )

    @property
    def label(self) -> str:
        """A name for people."""
        return f"gradient distances of {self.train.label}"

    @property
    def images(self) -> int:
        """Images through forward and backward."""
        counts = [len(position.options) for position in self.train.space.positions]
        return self.repeats * self.batch * sum(n for n in counts if n > 1)

    def compute(self, run: Run) -> None:
        """Train if need be, then measure."""
        trainer, rows = self.trainer(), []
        rng = stream(self.train.seed, "split")
        for place, position in enumerate(self.train.space.positions):
            n, total = len(position.options), 0
            for _ in range(self.repeats if n > 1 else 0):
                index = torch.randint(len(trainer.images), (self.batch,), generator=rng)
                x, y = trainer.images.batch(index)
                total = total + distances(trainer, place, trainer.space.sample(rng), x, y)
            rows += [
                {"position": place, "a": a, "b": b, "distance": float(total[a, b]) / self.repeats}
                for a, b in combinations(range(n), 2)
            ]
        run.log(f"{len(rows)} pairs of options compared on {self.images} images")
        run.write_table("distances", pd.DataFrame(rows))


def distances(trainer: Trainer, place: int, arch: Arch, x: Tensor, y: Tensor) -> Tensor:
    """[n, n]: 1 - cosine of what each two options at `place` of `arch` ask of all other weights.

    0 where the place takes no part in the output: positions that seldom do are seldom split.
    """
    net = trainer.net.train()
    own = {*net.parts().get(f"{net.space.kind} {place}", ())}
    shared = [weight for k, weight in enumerate(net.parameters()) if k not in own]
    found = []
    for option in range(len(net.space.positions[place].options)):
        loss = F.cross_entropy(net(x, (*arch[:place], option, *arch[place + 1 :])), y)
        gradients = torch.autograd.grad(loss, shared, materialize_grads=True, allow_unused=True)
        found.append(F.normalize(torch.cat([each.flatten() for each in gradients]), dim=0))
    unit = torch.stack(found)
    return (1 - unit @ unit.T).clamp(min=0)  # of equal ones rounding may say less


def partition(distance: np.ndarray, halves: bool = True) -> tuple[float, tuple, tuple]:
    """The two groups of options [n, n] whose members disagree most across: that mean, and both.

    ValueError for fewer than two options.
    """
    # differs: halves=False lets groups have any sizes; the public code's differ by one at most, and
    # it adds up what is cut instead of averaging, which for equal sizes chooses the same.
    n, best = len(distance), None
    if n < 2:
        raise ValueError(f"there is nothing to split in {n} option: choose another position")
    for size in [n // 2] if halves else range(1, n // 2 + 1):
        for one in combinations(range(n), size):
            other = tuple(k for k in range(n) if k not in one)
            cut = float(distance[np.ix_(one, other)].mean())
            if best is None or cut > best[0]:
                best = cut, one, other
    return best


def best_split(table: pd.DataFrame, halves: bool = True) -> tuple[int, tuple, tuple]:
    """From a table of `GradientSplit` the position that is split, and its two groups of options."""
    found = []
    for place, own in table.groupby("position"):
        matrix = np.zeros((own.b.max() + 1,) * 2)
        matrix[own.a, own.b] = matrix[own.b, own.a] = own.distance
        found.append((*partition(matrix, halves), int(place)))
    _, one, other, place = max(found, key=lambda each: each[0])  # of equal ones the first
    return place, one, other


def gm_nas(
    config: TrainConfig,
    repeats: int = 10,
    size: int | None = None,
    start: bool = True,
    halves: bool = True,
) -> tuple[TrainConfig, ...]:
    """The two sub-supernets of one split, at `config`'s images, one epoch being for the split.

    Trains the first supernet and measures, on `repeats` batches of `size` images (None: the run's
    batch), if that is not done. With one split of its two or more levels this is its cheapest form.
    ValueError below four epochs.
    """
    checked.fit("config", config, TrainConfig)
    # differs: the public code copies the optimiser, too, and at the end trains anew (start=False).
    each, split = _plan(config, repeats, size)
    place, *groups = best_split(Run(split).compute().table("distances"), halves)
    return tuple(
        sub_supernet(config, ((place, tuple(own)),), each, split.train if start else None)
        for own in groups
    )


def _plan(config: TrainConfig, repeats: int, size: int | None) -> tuple[int, GradientSplit]:
    """Epochs of each sub-supernet, and the split. A third each, as the public code's first 60."""
    if config.epochs < 4:
        raise ValueError(
            f"{config.epochs} epochs are too few for three trainings and a split: use 4 or more"
        )
    each = round((config.epochs - 1) / 3)
    first = replace(config, epochs=config.epochs - 1 - 2 * each, keep=())
    return each, GradientSplit(first, repeats=repeats, batch=size or config.batch)


@dataclass(frozen=True)
class SplitScores(ScoreConfig):
    """Scores by the two supernets of `gm_nas`, with the tables of `PartScores`.

    `train` says how they are trained, and in how many epochs in all; it is not trained itself.
    Which positions they own is known after the first training only, so they are trained when this
    is computed. ValueError for a split that takes more images than the epoch that is left for it.
    """

    repeats: Count = 10  # batches that decide the split
    size: Count | None = None  # images of each; as in training if None
    start: bool = True  # from the first supernet; else anew
    halves: bool = True  # groups of equal size

    @property
    def split(self) -> GradientSplit:
        """What decides where to split."""
        return _plan(self.train, self.repeats, self.size)[1]

    @property
    def needs(self) -> tuple[GradientSplit]:
        """The split."""
        return (self.split,)

    @property
    def label(self) -> str:
        """A name for people."""
        return f"scores of 2 supernets, {self.train.label}"

    def check(self) -> None:
        """ValueError where the images do not fit, or the split takes too many."""
        super().check()
        self.split.check()
        images, n = self.split.images, len(self.train.images())
        if images > n:
            raise ValueError(
                f"{self.label}: the split takes {images} images, an epoch has {n}; use fewer "
                "`repeats`, or a smaller `size`"
            )

    def compute(self, run: Run) -> None:
        """Train what is not trained, then score."""
        self.check()
        parts = gm_nas(self.train, self.repeats, self.size, self.start, self.halves)
        own = part_scores(parts, **what(self))
        own.compute(run)
        split = {"training": "split", "owns": False, "images": self.split.images, "steps": 0}
        split |= {"flops": mean_flops(self.split.train)}  # its paths are as those
        run.write_table("parts", pd.concat([own.spent(), pd.DataFrame([split])]))
