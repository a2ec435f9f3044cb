"""GM-NAS: options of a position whose gradients agree stay in one supernet, the others get another.

Hu et al., "Generalizing Few-Shot NAS with Gradient Matching", ICLR 2022. After a first training,
two options at a position disagree by 1 - cosine of the gradients that all other weights get on the
same images, with the same random options elsewhere. The position is split where two groups of
options disagree most; then each group is trained on by a supernet of its own (`several`). With two
levels each of these is split again, at another position, so that four supernets score.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
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
from padalib.ranking.several import check_uniform, mean_flops, part_scores, sub_supernet, what
from padalib.samplers.restricted import Only, RestrictedPaths
from padalib.spaces import Arch, Space
from padalib.train import FromTraining, TrainConfig, Trainer, stream


@dataclass(frozen=True)
class GradientSplit(FromTraining):
    """How much options disagree at each position: a table of `distance` by position and pair.

    Of a sub-supernet, at the positions that are not split, on paths of its part. It costs `images`
    through forward and backward. ValueError for a space that shares operations between positions,
    where an option's weights are not those of one position.
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

    def check(self) -> None:
        """ValueError where no position can be split, or a batch has more images than there are."""
        super().check()
        if not self.open:
            raise ValueError(
                f"every {self.train.space.kind} of {self.train.space.name} has one option only, or "
                "is split already, so there is nothing to split: score one supernet, by ScoreConfig"
            )
        if self.batch > (n := len(self.train.images())):
            raise ValueError(
                f"batch must be at most {n:,} (of the training set), got {self.batch:,}"
            )

    @property
    def images(self) -> int:
        """Images through forward and backward."""
        counts = choices(self.train.space)
        return self.repeats * self.batch * sum(counts[place] for place in self.open)

    @property
    def open(self) -> list[int]:
        """The positions that can be split."""
        split = dict(part_of(self.train))
        return [place for place in choices(self.train.space) if place not in split]

    def compute(self, run: Run) -> None:
        """Train if need be, then measure."""
        trainer, rows = self.trainer(), []
        rng = stream(self.train.seed, "split")
        paths = RestrictedPaths(trainer.space, 1, part_of(self.train))
        for place in self.open:
            n, total = len(trainer.space.positions[place].options), 0
            for _ in range(self.repeats):
                index = torch.randint(len(trainer.images), (self.batch,), generator=rng)
                x, y = trainer.images.batch(index)
                total = total + distances(trainer, place, *paths.draw(rng), x, y)
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


Decided = tuple[int, tuple[int, ...], tuple[int, ...]]  # a position, and its two groups


def choices(space: Space) -> dict[int, int]:
    """The positions with a choice, and among how many options."""
    counts = {place: len(position.options) for place, position in enumerate(space.positions)}
    return {place: n for place, n in counts.items() if n > 1}


def part_of(config: TrainConfig) -> Only:
    """The positions that are split already, and the options that a sub-supernet has there."""
    paths = config.method.paths
    return dict(paths.options).get("only", ()) if paths.cls is RestrictedPaths else ()


def gm_nas(
    config: TrainConfig,
    repeats: int = 10,
    size: int | None = None,
    start: bool = True,
    halves: bool = True,
    levels: int = 1,
) -> tuple[TrainConfig, ...]:
    """The supernets at the ends of the tree, at `config`'s images, one epoch being for the splits.

    Trains all above them and measures, on `repeats` batches of `size` images (None: the run's
    batch), if that is not done. Two levels, hence four supernets, are the public code's for
    NAS-Bench-201; one is the cheapest form. ValueError below 2 ** (levels + 1) epochs, or where
    there are fewer positions to split.
    """
    checked.fit("config", config, TrainConfig)
    given = {"repeats": repeats, "size": size, "start": start, "halves": halves, "levels": levels}
    SplitScores(config, **given).check()
    # differs: the public code has two levels on NAS-Bench-201; one is the default here.
    return tuple(grow(config, planned(config, levels), start, _decider(repeats, size, halves))[0])


def grow(
    config: TrainConfig,
    epochs: tuple[int, ...],
    start: bool,
    decide: Callable[[TrainConfig], Decided],
) -> tuple[list[TrainConfig], list[TrainConfig]]:
    """The ends of a tree of supernets, and those that are split, from the first one.

    `epochs` are those of each training, by level. `decide` says of a trained supernet where it is
    split. Each goes on from the weights of the one above it; those at the ends only with `start`.
    """
    # differs: the public code copies the optimiser, too, and at the end trains anew (start=False).
    level, inner = [replace(config, epochs=epochs[0], keep=())], []
    for depth, each in enumerate(epochs[1:], 1):
        kept, inner, below = start or depth < len(epochs) - 1, [*inner, *level], []
        for parent in level:
            place, *groups = decide(parent)
            below += [
                sub_supernet(
                    config, (*part_of(parent), (place, own)), each, parent if kept else None
                )
                for own in map(tuple, groups)
            ]
        level = below
    return level, inner


def planned(config: TrainConfig, levels: int) -> tuple[int, ...]:
    """Epochs of each training by level: of the first supernet, of each of two, each of four...

    As the public code's: 20 for each above the last level, where each has 50; with one level a
    third each, as its first 60. One epoch in all is left for the splits. ValueError for too few.
    """
    checked.whole("levels", levels, 1, max(1, len(choices(config.space))))
    if config.epochs < 2 ** (levels + 1):
        n = 2 ** (levels + 1) - 1
        raise ValueError(
            f"{config.epochs} epochs are too few for {'three' if levels == 1 else n} trainings and "
            f"a split: use {n + 1} or more"
        )
    shares = [2] * levels + [2 if levels == 1 else 5]
    unit = (config.epochs - 1) / sum(2**depth * share for depth, share in enumerate(shares))
    left, found = config.epochs - 1, []
    for depth in range(levels, 0, -1):  # those above have an epoch each at least
        above = 2**depth - 1
        found.append(max(1, min(round(unit * shares[depth]), (left - above) // 2**depth)))
        left -= 2**depth * found[-1]
    return (left, *reversed(found))


def _split(parent: TrainConfig, repeats: int, size: int | None) -> GradientSplit:
    return GradientSplit(parent, repeats=repeats, batch=parent.batch if size is None else size)


def _decider(repeats: int, size: int | None, halves: bool) -> Callable[[TrainConfig], Decided]:
    def decide(parent: TrainConfig) -> Decided:
        table = Run(_split(parent, repeats, size)).compute().table("distances")
        return best_split(table, halves)

    return decide


@dataclass(frozen=True)
class SplitScores(ScoreConfig):
    """Scores by the supernets of `gm_nas`, with the tables of `PartScores`.

    `train` says how they are trained, and in how many epochs in all; it is not trained itself.
    Which positions they own is known after the trainings above them only, so they are trained when
    this is computed. ValueError for splits that take more images than the epoch left for them.
    """

    repeats: Count = 10  # batches that decide a split
    size: Count | None = None  # images of each; as in training if None
    start: bool = True  # from the supernet above; else anew
    halves: bool = True  # groups of equal size
    # Splits one after another, each of all supernets there are; one if None.
    levels: Count | None = field(default=None, metadata={"identity": "given"})

    @property
    def split(self) -> GradientSplit:
        """What decides where the first supernet is split."""
        epochs = planned(self.train, self.levels or 1)[0]
        return _split(replace(self.train, epochs=epochs, keep=()), self.repeats, self.size)

    @property
    def needs(self) -> tuple[GradientSplit]:
        """The first split."""
        return (self.split,)

    @property
    def label(self) -> str:
        """A name for people."""
        return f"scores of {2 ** (self.levels or 1)} supernets, {self.train.label}"

    @property
    def most(self) -> int:
        """Images that the splits take at most: those of the positions with most options."""
        counts = sorted(choices(self.train.space).values())
        each = self.repeats * self.split.batch
        return each * sum(2**depth * sum(counts[depth:]) for depth in range(self.levels or 1))

    def check(self) -> None:
        """ValueError where the images do not fit, or the splits take too many."""
        super().check()
        check_uniform(self.train)
        self.split.check()
        n = len(self.train.images())
        if self.most > n:
            raise ValueError(
                f"{self.label}: the split takes {self.most} images, an epoch has {n}; use fewer "
                "`repeats`, or a smaller `size`"
            )

    def compute(self, run: Run) -> None:
        """Train what is not trained, then score."""
        self.check()
        plan = planned(self.train, self.levels or 1)
        decide = _decider(self.repeats, self.size, self.halves)
        parts, inner = grow(self.train, plan, self.start, decide)
        own = part_scores(tuple(parts), **what(self))
        own.compute(run)
        rows = []
        for parent in inner:
            images = _split(parent, self.repeats, self.size).images
            row = {"training": "split", "owns": False, "images": images, "steps": 0}
            rows.append(row | {"flops": mean_flops(parent)})  # its paths are as those
        above = [each for each in inner if each not in own.trainings]  # that none starts from
        run.write_table("parts", pd.concat([own.spent(above), pd.DataFrame(rows)]))
