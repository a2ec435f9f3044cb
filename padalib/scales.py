"""What each scale means, for every notebook: data, space, methods, seeds, budget."""

from dataclasses import dataclass

from padalib.cost import CostConfig
from padalib.rank import ScoreConfig
from padalib.train import TrainConfig
from padalib.variance import VarianceConfig

METHODS = ("SPOS", "FairNAS", "PA", "DA", "PA&DA", "curriculum")


@dataclass(frozen=True)
class Scale:
    """One scale of the study; the configs of all its runs follow from it."""

    name: str
    data: str  # a name that `data.load` knows
    space: str  # a name that `spaces.get` knows
    epochs: int  # of images through forward and backward, the same for every method
    lr: float  # at the start of training
    keep: tuple[int, ...]  # epochs whose state is probed and scored; the last one too
    seeds: tuple[int, ...]  # of every method
    paths: int  # outer draws of the variance probe at the kept epochs
    final_paths: int  # and at the end, where the verdicts are drawn
    batches: int  # inner draws for each path
    images: int  # validation images that score the states before the last
    pairs: int  # of timed blocks, a method's and SPOS's
    methods: tuple[str, ...] = METHODS
    batch: int = 64  # images per step and path

    def training(self, method: str, seed: int) -> TrainConfig:
        """The run of one method and seed."""
        return TrainConfig(
            method=method,
            seed=seed,
            space=self.space,
            data=self.data,
            epochs=self.epochs,
            batch=self.batch,
            lr=self.lr,
            keep=self.keep,
        )

    def trainings(self) -> list[TrainConfig]:
        """Every method with every seed."""
        return [self.training(method, seed) for seed in self.seeds for method in self.methods]

    def probes(self) -> list[VarianceConfig]:
        """The variance of every run at every kept epoch and, with more draws, at the end."""
        return [
            VarianceConfig(config, epoch, paths, self.batches)
            for config in self.trainings()
            for epoch, paths in (
                *((epoch, self.paths) for epoch in self.keep),
                (self.epochs, self.final_paths),
            )
        ]

    def timings(self) -> list[CostConfig]:
        """The cost of a step of every method."""
        return [
            CostConfig(self.training(method, self.seeds[0]), self.pairs) for method in self.methods
        ]

    def scorings(self, final: bool = True) -> list[ScoreConfig]:
        """Scores at the end on the whole validation split, or of the kept epochs on part of it."""
        if final:
            return [ScoreConfig(config) for config in self.trainings()]
        return [
            ScoreConfig(config, epoch, images=self.images)
            for config in self.trainings()
            for epoch in (*self.keep, self.epochs)
        ]


SCALES = {
    # Minutes of CPU spent on nothing but showing that everything runs.
    "smoke": Scale(
        "smoke",
        data="digits-small",
        space="mini",
        epochs=2,
        lr=0.2,
        keep=(1,),
        seeds=(0, 1),
        paths=4,
        final_paths=4,
        batches=2,
        images=128,
        pairs=5,
    ),
    # The default: whole in a quarter of an hour on two cores, with a truth of our own.
    "laptop": Scale(
        "laptop",
        data="digits",
        space="mini",
        epochs=30,
        lr=0.2,
        keep=(5, 15),
        seeds=(0, 1, 2),
        paths=64,
        final_paths=256,
        batches=2,
        images=500,
        pairs=40,
    ),
}


def get(name: str) -> Scale:
    """The scale called `name`."""
    if name not in SCALES:
        raise ValueError(f"unknown scale {name!r}: choose one of {', '.join(SCALES)}")
    return SCALES[name]
