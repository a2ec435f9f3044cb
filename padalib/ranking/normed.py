"""One supernet ranked with batch norm handled in each of three ways; nothing is trained.

Training normalises by the statistics of each batch, whatever is done later, so a trained supernet
can be ranked by any of these: 'batch', the statistics of the images that are scored together, as
the released NAS-Bench-201 code has it; 'running', averages over the paths that training draws, one
for all architectures, as a network alone would have; 'recalibrated', set anew on training images
for each architecture, as SPOS has it (Guo et al., ECCV 2020).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd
import torch

from padalib import spaces
from padalib.engine.runs import Run
from padalib.ranking.partial import Partial
from padalib.ranking.scores import ScoreConfig
from padalib.samplers import checking
from padalib.spaces import Arch, Supernet
from padalib.spaces.network import set_statistics
from padalib.train import STREAMS, Trainer, stream

RUNNING, WAYS = "running", spaces.BN_MODES


@dataclass(frozen=True)
class NormScores(ScoreConfig):
    """Scores as `ScoreConfig`'s, once for each of `WAYS`: the column `norm`.

    ValueError for a run that keeps statistics while it trains: it is ranked by these.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.train.bn != "batch":
            raise ValueError(
                f"{self.train.label} is trained with bn={self.train.bn!r}, which already says how "
                "it is ranked: give a run with bn='batch'"
            )

    changes = 2  # what it computes has changed so often, see `padalib.RECIPE`

    @property
    def label(self) -> str:
        """A name for people."""
        return f"scores by batch norm of {self.train.label}"

    def compute(self, run: Run) -> None:
        """Train if need be, then score in each way."""
        trainer, archs, tables = self.trainer(), self.scored(), []
        plain = trainer.net
        with Partial(run) as partial:
            for way in WAYS:
                trainer.net = plain if way == "batch" else renormed(trainer, plain, way)
                tables.append(self.table(partial, trainer, archs).assign(norm=way))
                run.log(f"scored {len(archs)} architectures, batch norm {way}")
            run.write_table("scores", pd.concat(tables, ignore_index=True))


def renormed(trainer: Trainer, plain: Supernet, way: str) -> Supernet:
    """A network with the weights of `plain` that normalises in another way.

    For 'running' with statistics over the paths that training draws, see `collect`.
    """
    config = trainer.config
    net = config.space.build(0, config.arch, way, config.precision)
    net = net.to(config.device, memory_format=torch.channels_last)
    net.load_state_dict(plain.state_dict(), strict=False)  # which has no statistics
    if way == RUNNING:
        collect(net, trainer)
    return net


def collect(net: Supernet, trainer: Trainer) -> None:
    """Statistics over one more epoch of training's batches and paths, without a step.

    Plain averages: one that forgets, as training's own, would start from mean 0 and variance 1, and
    keep most of these where paths come seldom. What no path visits keeps them.
    """
    set_statistics(net, _passes(trainer))


def _passes(trainer: Trainer) -> Iterator[tuple[torch.Tensor, Arch]]:
    config, paths, data = trainer.config, trainer.paths, trainer.data
    rng = {name: stream(config.seed, f"norm {name}") for name in STREAMS}
    for _ in range(trainer.steps):
        for arch in paths.draw(rng["paths"]):
            index = checking.batch(data, len(trainer.images), config.batch, rng["data"])
            x, _ = trainer.images.batch(
                index, rng["augment"], config.crop, config.flip, config.cutout
            )
            yield x, arch
