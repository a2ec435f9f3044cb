"""Recipes by which found architectures are trained alone: published ones, and short ones."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from padalib.benchmarks.alone import ALONE
from padalib.data import WHOLE
from padalib.engine import words
from padalib.spaces import Arch, Space
from padalib.train import TrainConfig

SIDE = 32  # pixels of the images that recipes give crop and cutout for


@dataclass(frozen=True)
class Recipe:
    """How architectures are trained to be compared: fields of their space and `TrainConfig`."""

    name: str
    network: Mapping[str, Any] = field(default_factory=dict)  # instead of the searched space's
    training: Mapping[str, Any] = field(default_factory=dict)  # crop and cutout for 32x32 pixels

    def config(self, space: Space, arch: Arch, seed: int, **changes: Any) -> TrainConfig:
        """The run of one architecture and seed; `changes` are of the training.

        Crop and cutout shrink with the image. ValueError for a space whose network cannot be so.
        """
        unknown = sorted(set(self.network) - {own.name for own in fields(space)})
        if unknown:
            raise ValueError(
                f"recipe {self.name} sets {', '.join(unknown)}, which {space.name} does not have: "
                f"use one of {', '.join(name for name, r in RECIPES.items() if not r.network)}"
            )
        own = dict(self.training)
        for name in {"crop", "cutout"} & set(own):
            own[name] = max(1, own[name] * space.size // SIDE)
        own |= {"train_split": WHOLE} | changes
        return TrainConfig(seed=seed, space=replace(space, **self.network), arch=arch, **own)


# DARTS, cnn/train.py of its released code; batch norm by running statistics, as there.
_DARTS = {
    "batch": 96, "lr": 0.025, "momentum": 0.9, "weight_decay": 3e-4, "clip": 5.0, "crop": 4,
    "flip": True, "cutout": 16, "bn": "running",
}  # fmt: skip
_HEADS = {"auxiliary": 0.4, "drop_path": 0.2}
RECIPES = {
    # The published one: days on a CPU.
    "darts": Recipe("darts", {"channels": 36, "layers": 20} | _HEADS, {"epochs": 600} | _DARTS),
    # All its parts at a size for a CPU.
    "darts-short": Recipe(
        "darts-short", {"channels": 8, "layers": 5} | _HEADS, _DARTS | {"epochs": 15}
    ),
    # The same parts in the network of the search and few epochs, hence larger steps.
    "darts-brief": Recipe("darts-brief", _HEADS, _DARTS | {"epochs": 4, "lr": 0.1}),
    # ProxylessNAS (240 epochs, batch 1,024, lr 0.5), short: lr in proportion to the batch.
    # differs: no label smoothing, dropout, colour jitter or Nesterov's momentum.
    "mobilenet-short": Recipe(
        "mobilenet-short",
        {},
        {"epochs": 4, "batch": 128, "lr": 0.0625, "weight_decay": 4e-5, "bn": "running"}
        | {"crop": 4, "flip": True},
    ),
    # For any space: its own network, by the recipe of our truth tables.
    "plain": Recipe("plain", {}, ALONE),
}


def get(name: str) -> Recipe:
    """The recipe called `name`; ValueError where there is none."""
    if name not in RECIPES:
        raise ValueError(words.unknown("recipe", name, RECIPES))
    return RECIPES[name]
