"""The control that decides about PA: another seed's probabilities, replayed epoch by epoch.

A yoked run draws its paths by the p that a PA run of another seed recorded. It has PA's schedule,
in the mean and in its course, and nothing in it comes from its own gradients: what PA ranks better
than its yoked runs is due to gradients that answer to the network being trained. Yoked controls are
psychology's (Church, "Systematic effect of random error in the yoked control design", 1964).
"""

from typing import Any

import pandas as pd
import torch

from padalib.samplers.base import PathSampler, ProductPaths
from padalib.spaces import Space, label


class ReplayedPaths(ProductPaths):
    """Draws by recorded probabilities; `follow` takes them from the curves of a run.

    `shared` is that run's: one probability for an option on all positions, or one each.
    """

    replays = True

    def __init__(self, space: Space, epochs: int, shared: bool = True) -> None:
        super().__init__(space, epochs, shared)
        self.schedule = torch.empty(0, len(self.p))  # [epochs, T]

    def follow(self, curves: pd.DataFrame) -> None:
        """Replay what a run's `curves` recorded, a row an epoch.

        ValueError where they record no probabilities of these options, or too few epochs.
        """
        names = [f"p_{name}" for name in self.entries.names]
        if lack := [name for name in names if name not in curves]:
            raise ValueError(
                f"the run to replay records no {', '.join(lack)}: replay a method that draws each "
                "option by a probability, such as PA, with the same `shared`"
            )
        if len(curves) != self.epochs:
            raise ValueError(f"the run to replay has {len(curves)} epochs, not {self.epochs}")
        self.schedule = torch.tensor(curves[names].to_numpy(), dtype=torch.float32)

    def new_epoch(self, epoch: int) -> None:
        if not len(self.schedule):
            raise ValueError("there is nothing to replay yet: pass a run's curves to `follow`")
        self.p = self.schedule[epoch].clone()


def check(config: Any, paths: PathSampler) -> None:
    """ValueError where a training config lacks the run that it replays, or has one too many."""
    name, other = config.method.name, config.replay
    if paths.replays != (other is not None):
        lack = "replays another run's paths: pass replay=, the config of that run"
        none = "replays no other run: leave replay out, or use method='yoked PA'"
        raise ValueError(f"{name} {lack if paths.replays else none}")
    if other is not None and other.seed == config.seed:
        raise ValueError(
            f"{name} of seed {config.seed} would replay its own seed, which makes it a copy: give "
            "the run to replay another seed"
        )
    if other is not None and (other.epochs, other.space) != (config.epochs, config.space):
        own, theirs = (f"{each.epochs} epochs of {label(each.space)}" for each in (config, other))
        raise ValueError(
            f"{name} replays epoch by epoch in one space, but the run to replay has {theirs} and "
            f"this one {own}: give both the same"
        )
    if other is not None:  # as what it records at its start
        begun = other.method.paths.build(other.space, other.epochs)
        paths.follow(pd.DataFrame([begun.log()] * other.epochs))
