"""What a scale is: what its runs have in common, and how much is spent on each study."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated

import torch

from padalib import samplers
from padalib.benchmarks import truth
from padalib.engine import checked, devices, paths
from padalib.engine.checked import Count, Positive, Whole, Within
from padalib.engine.runs import one_thread
from padalib.ranking.scores import ScoreConfig, sample
from padalib.spaces import Arch, Space
from padalib.train import TrainConfig, build

METHODS = ("SPOS", "FairNAS", "PA", "DA", "PA&DA", "curriculum")
STUDIES = ("sharing", "variance", "optimum", "training", "ranking", "relation", "limits")
YOKED = "yoked PA"  # draws by the schedule of another seed's run
MATCHED = ("controls", "across")  # studies that compare two methods on the seeds of both
TIMED, EPOCH_IMAGES = 3, 50_000  # steps timed for an estimate, and CIFAR's training images


@dataclass(frozen=True)
class Searches:
    """The study of search: how large, and how often; SPOS's own size where nothing is said."""

    evaluations: Count = 1000  # of each search, in scores on all images
    times: Count = 20  # that each is made on a supernet
    rungs: tuple[
        int, ...
    ] = ()  # images of halving's first two rungs, a ninth and a third; none: ()

    def __post_init__(self) -> None:
        checked.check(self)


@dataclass(frozen=True)
class Retraining:
    """The study of retraining: what is trained again, how often, and within which limit."""

    recipe: str = "plain"  # a name of `study.recipes`
    epochs: Count | None = None  # instead of the recipe's
    seeds: tuple[Whole, ...] = (0, 1, 2)  # of the trainings of each architecture
    draws: Count = 4  # random architectures beside
    share: Annotated[float, Within(0, 1)] = 0.5  # of architectures that the limit on FLOPs keeps
    known: bool = False  # whether the space has a truth to look them up in

    def __post_init__(self) -> None:
        checked.check(self)


@dataclass(frozen=True)
class Scale:
    """One scale: what its runs have in common, and how much is spent on each study."""

    name: str
    data: str  # a name that `data.load` knows
    space: Space  # and the network around it
    epochs: int  # of images through forward and backward, the same for every method
    lr: float  # at the start of training
    seeds: tuple[int, ...]  # of every method but the secondary ones
    final_paths: int  # outer draws of the variance probe at the end, where the verdicts are drawn
    batches: int  # inner draws for each path
    pairs: int  # of timed blocks, a method's and SPOS's
    keep: tuple[int, ...] = ()  # epochs whose state is probed and scored; the last one too
    paths: int = 64  # outer draws of the variance probe at the kept epochs
    images: int | None = None  # images that score the states before the last; None: all
    methods: tuple[str, ...] = METHODS
    secondary: tuple[str, ...] = ()  # more methods of `MATCHED` studies, on fewer seeds:
    secondary_seeds: int = 8  # the first so many
    looked: int = 0  # of the seeds, the first so many were looked at before the rest were trained
    batch: int = 64  # images per step and path
    crop: int = 1  # pixels of random shift
    flip: bool = False  # mirror images
    train_split: str = "train"  # what supernets learn from
    rank_split: str = "valid"  # what architectures are scored on
    ranked: int | None = None  # random architectures that are ranked; None: all classes
    listed: bool = False  # ranks one of each training in the truth table, where most have none
    rank_images: int | None = None  # the first so many images score them; None: all
    whole: tuple[str, ...] = ()  # methods whose first seed also ranks all classes
    alone: int = 0  # so many of the ranked architectures (of classes) are also trained alone
    alone_epochs: int = 10  # for so long
    # The study of the budget: lengths of training in epochs (none: its own), how long some train
    # alone besides, and a scale whose results are shown beside.
    lengths: tuple[int, ...] = ()
    alone_longer: int | None = None
    larger: str | None = None
    # The study across spaces: a scale whose finished contrasts are shown beside.
    finished: str | None = None
    # The study of rivals: methods of several passes a step also at SPOS's number of steps, on the
    # first so many seeds.
    equal_steps: int = 0
    near_seeds: tuple[int, ...] = ()  # more seeds of rivals that are near the best, `rivals.near`
    left_out: tuple[str, ...] = ()  # rivals, or methods of `controls`, that it does not train
    split_on: tuple[int, int] = (10, 64)  # batches that decide a split of GM-NAS, images of each
    split_levels: Count = 1  # splits one after another, each of all supernets there are
    # The study of tuning: learning rates, the seeds that choose among them, and epochs of SPOS that
    # cost the FLOPs of PA's.
    rates: tuple[Positive, ...] = ()
    rate_seeds: tuple[int, ...] = ()
    equal_flops: int | None = None
    # The study of the record: candidates that are tried on `rate_seeds`; the one reported, and
    # whether it is so without each of its parts too.
    tried: tuple[str, ...] = ()
    winner: str = ""
    each_part: bool = True
    ablated: tuple[str, ...] = ()  # and PA&DA's options that are changed, see `pada_options`
    # Ranked architectures that `norms` ranks thrice: each is recalibrated by itself, on as many
    # images as score it.
    normed: Count = 300
    # The study of interventions: images, and uniform paths, of a step.
    batch_sizes: tuple[int, ...] = ()
    groups: tuple[int, ...] = ()
    # The study of sharing, with uniform paths: how many edges share one set of operations, how many
    # operations an edge chooses from; and the kept epochs.
    extents: tuple[int, ...] = ()
    candidates: tuple[int, ...] = ()
    sharing_epochs: int = 10
    sharing_keep: tuple[int, ...] = ()
    # The exact probe: of which method and epochs, and over how many images.
    exact: tuple[str, ...] = ()
    exact_epochs: tuple[int, ...] = ()
    exact_images: int = 512
    agreement_seeds: int = 20  # sampled probes that are held against the exact one
    searches: Searches = Searches()
    retraining: Retraining = Retraining()
    rank_batch: int | None = None  # images per forward when scoring, see `ScoreConfig`
    zero_grad: bool = False  # differs: True as torch 1.7 had it, see `samplers.Method`
    truth: str = "digits"  # the data set of the truth table
    studies: tuple[str, ...] = STUDIES  # modules of `padalib.study`, in the order of the notebooks
    # Numbers of notebooks that are run only at scales which name them; and whether it runs those
    # that no scale names.
    notebooks: tuple[str, ...] = ()
    common: bool = True
    beside: "tuple[Scale, ...]" = ()  # other spaces in the same notebooks, each '<name>-<suffix>'
    on_gpu: bool = False  # use one where there is one
    needs_gpu: bool = False  # refuse to start without one

    def __post_init__(self) -> None:
        checked.check(self)
        if twice := set(self.methods) & set(self.secondary):
            raise ValueError(
                f"scale {self.name} has {', '.join(sorted(twice))} among its methods and among the "
                "secondary ones: leave it out of one of them"
            )
        if unknown := set(self.left_out) - set(samplers.METHODS):
            raise ValueError(
                f"scale {self.name} leaves out {', '.join(sorted(unknown))}, which is no method: "
                f"choose of {', '.join(samplers.METHODS)}"
            )
        if self.secondary and (others := set(self.studies) - set(MATCHED)):
            raise ValueError(
                f"scale {self.name} has secondary methods on fewer seeds, which only the studies "
                f"{', '.join(MATCHED)} can compare, and runs {', '.join(sorted(others))}: give "
                "these a scale of their own"
            )
        known = [samplers.METHODS.get(name) for name in (*self.methods, *self.secondary)]
        clears = [own.name for own in known if own and own.update.cls.clears]
        if self.zero_grad and clears:
            raise ValueError(
                f"scale {self.name} leaves gradients at zero between steps (zero_grad), and "
                f"{', '.join(clears)} drops them within a step: leave one of them out"
            )
        parts = self.looked, len(self.seeds)
        if 0 < parts[0] < parts[1] and any(n % 2 for n in parts) and YOKED not in self.left_out:
            raise ValueError(
                f"scale {self.name} was looked at with {self.looked} of {len(self.seeds)} seeds: "
                f"make both even, for two seeds of {YOKED} share schedules, or leave it out"
            )
        if self.listed and self.ranked is not None:
            raise ValueError(
                f"scale {self.name} is listed (it ranks what its truth table has) and ranks "
                f"{self.ranked} random architectures: leave one of them out"
            )

    @property
    def device(self) -> str:
        """Where its runs compute: `PADALIB_DEVICE`, else a GPU if the scale wants one."""
        return devices.asked("cuda" if self.on_gpu and torch.cuda.is_available() else "cpu")

    def training(self, method: str, seed: int) -> TrainConfig:
        """The run of one method and seed; a yoked one replays PA's of `partner(seed)`."""
        chosen = samplers.get(method)
        replays = chosen.paths.cls.replays
        if self.zero_grad:
            chosen = chosen.with_options(method, zero_grad=True)
        return TrainConfig(
            method=chosen,
            seed=seed,
            space=self.space,
            data=self.data,
            epochs=self.epochs,
            batch=self.batch,
            lr=self.lr,
            crop=self.crop,
            flip=self.flip,
            train_split=self.train_split,
            replay=self.training("PA", self.partner(seed)) if replays else None,
            keep=() if replays else (*self.keep, *self.exact_epochs),
            device=self.device,
        )

    def partner(self, seed: int) -> int:
        """The seed whose run is replayed: two and two for each other, the last takes the first.

        ValueError for the only seed, or one that the scale has not.
        """
        if len(self.seeds) < 2 or seed not in self.seeds:
            raise ValueError(f"scale {self.name} has seeds {self.seeds}, none to pair {seed} with")
        return partner(self.seeds, seed)

    def pairs_of(self, methods: Sequence[str]) -> list[tuple[str, int]]:
        """(method, seed) of these methods with every seed, and of the secondary ones with theirs.

        Seed by seed, so that what can be compared is there early.
        """
        few = [method for method in self.secondary if method not in methods]
        return [
            (method, seed)
            for place, seed in enumerate(self.seeds)
            for method in (*methods, *(few if place < self.secondary_seeds else ()))
        ]

    def trainings(self) -> list[TrainConfig]:
        """Every method with every seed that is its own."""
        return [self.training(method, seed) for method, seed in self.pairs_of(self.methods)]

    def ranked_archs(self) -> list[Arch]:
        """The architectures that its runs are compared on."""
        if self.listed:
            return [self.space.parse(code) for code in self._codes]
        if self.ranked is not None:
            return sample(self.space, self.ranked)
        return list(self.space.classes())

    @property
    def _codes(self) -> tuple[str, ...]:
        return _listed(self.space, self.truth, paths.data_root())

    def scoring(self, config: TrainConfig, **changes) -> ScoreConfig:
        """How the scale scores a run at its end."""
        fields = {"splits": (self.rank_split,), "images": self.rank_images, "archs": self.ranked}
        fields["batch"] = self.rank_batch
        if self.listed and config.arch is None and "archs" not in changes:
            fields["codes"] = self._codes
        return ScoreConfig(config, **fields | changes)

    def check_machine(self) -> None:
        """ValueError, with an estimate, where the scale needs a GPU and there is none.

        `PADALIB_FORCE=1` lets it start all the same.
        """
        forced = os.environ.get("PADALIB_FORCE", "0") not in ("", "0")
        if not self.needs_gpu or self.device != "cpu" or forced:
            return
        step = self.step_seconds()
        images = len(self.trainings()) * self.epochs * EPOCH_IMAGES
        days = step * images / self.batch / 86400
        lack = "PADALIB_DEVICE asks for the CPU"
        if not torch.cuda.is_available():
            lack = "torch sees none"
        raise ValueError(
            f"scale {self.name} is made for a GPU, and {lack}. On this machine's CPU the "
            f"{len(self.trainings())} trainings would take about {days:,.0f} days of "
            f"one thread ({step:.1f} s a step, timed now on {TIMED} steps), before any ranking. "
            "Use another machine or scale, or set PADALIB_FORCE=1 to start all the same"
        )

    def step_seconds(self) -> float:
        """Seconds of a training step on random paths and pixels, timed now on one thread."""
        net = build(self.training("SPOS", self.seeds[0]))
        rng = torch.Generator().manual_seed(0)
        shape = (self.batch, self.space.in_channels, self.space.size, self.space.size)
        x = torch.randn(shape, generator=rng).contiguous(memory_format=torch.channels_last)
        with one_thread():
            start = time.perf_counter()
            for _ in range(TIMED):
                net(x, self.space.sample(rng)).sum().backward()
            return (time.perf_counter() - start) / TIMED


def partner(seeds: Sequence[int], seed: int) -> int:
    """Of a scale's seeds, in its order, the one whose run `seed` replays: see `Scale.partner`."""
    place = seeds.index(seed) ^ 1
    return seeds[place if place < len(seeds) else 0]


@lru_cache
def _listed(space: Space, dataset: str, root: Path) -> tuple[str, ...]:
    """`Truth.listed` of the table in a data root, which takes seconds to read and check."""
    return tuple(truth.load(space, dataset=dataset).listed)
