"""What a step costs: wall time of a method's steps beside SPOS's, on the same architectures."""

import time
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from padalib.engine import checked
from padalib.engine.checked import Count
from padalib.engine.runs import Run
from padalib.ranking import metrics
from padalib.train import TrainConfig, Trainer, stream


@dataclass(frozen=True)
class CostConfig:
    """A timing of one method against SPOS; ValueError for no pairs, or for one architecture.

    Times differ from one measurement to the next, so this is the one kind of run whose table is
    not the same when it is computed again.
    """

    train: TrainConfig  # the method and its network
    pairs: Count = 60  # pairs of blocks, one of each method, in random order
    paths: Count = 10  # paths trained in one block, rounded up to whole steps of either method
    device: str = field(init=False)  # the training run's

    ticks = 1

    def __post_init__(self) -> None:
        checked.check(self)
        object.__setattr__(self, "device", self.train.device)
        if self.train.arch is not None:
            raise ValueError(f"{self.train.label} is one architecture: it has no paths to time")

    @property
    def label(self) -> str:
        """A name for people."""
        return f"cost of {self.train.label}"

    def check(self) -> None:
        """ValueError where the images do not fit."""
        self.train.check()

    def inputs(self) -> dict[str, Any]:
        """The data's hash."""
        return self.train.inputs()

    def compute(self, run: Run) -> None:
        """Measure."""
        times = paired_times(self.train, self.pairs, self.paths)
        ratio = times[:, 1] / times[:, 0]
        low, high = metrics.bootstrap(np.median, ratio)
        row = {"pairs": self.pairs, "spos_ms": 1e3 * np.median(times[:, 0])}
        row |= {"ms": 1e3 * np.median(times[:, 1]), "ratio": np.median(ratio)}
        run.log(f"a path costs {row['ratio']:.3f} of SPOS's [{low:.3f}, {high:.3f}]")
        run.write_table("cost", pd.DataFrame([row | {"ratio_low": low, "ratio_high": high}]))


def paired_times(config: TrainConfig, pairs: int, paths: int) -> np.ndarray:
    """Seconds per path and pass [pairs, 2] of SPOS and of the config's method, block against block.

    Both train the same architectures in each pair of blocks, drawn uniformly; which one goes first
    is drawn too. What a method does at the start of an epoch counts at every 20th pair.
    """
    rng = stream(config.seed, "cost")
    trainers = [Trainer(replace(config, method="SPOS", replay=None)), Trainer(config)]
    groups = [trainer.paths.group for trainer in trainers]
    paths = -(-paths // max(groups)) * max(groups)
    times = np.zeros((pairs + 1, 2))
    for pair in range(pairs + 1):  # the first one is a warm-up
        archs = [config.space.sample(rng) for _ in range(paths)]
        order = [0, 1] if torch.randint(2, (), generator=rng) else [1, 0]
        for k in order:
            trainer, group = trainers[k], groups[k]
            start = time.perf_counter()
            if pair % 20 == 0:
                epoch = pair // 20 % config.epochs  # a short run has no later ones
                for part in (trainer.paths, trainer.data, trainer.update):
                    part.new_epoch(epoch)
            for first in range(0, paths, group):
                trainer.step(archs[first : first + group])
            if config.device.startswith("cuda"):
                torch.cuda.synchronize()
            times[pair, k] = (time.perf_counter() - start) / (paths * trainer.update.passes)
    return times[1:]
