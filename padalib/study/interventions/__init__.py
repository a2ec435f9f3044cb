"""Does lower gradient variance rank better? The same SPOS, with more and with less of it.

Variance is set, not found: by the images of a step, and by averaging the gradients of several
paths. Something else has to change with it, so there are two rules. At equal steps the learning
rate is one for all, but steps that are set to vary less cost more forward passes. At equal images
(passes, as everywhere here) the rate is scaled; steps that vary less are then fewer and larger, and
the noise of the weights, which goes with rate times variance, should stay what it was (Smith & Le,
ICLR 2018). Whether what is set lasts, and what comes of it, is worked out in `slopes`.
"""

from collections.abc import Callable
from dataclasses import replace

import pandas as pd

from padalib import samplers
from padalib.engine.runs import Config
from padalib.probes.sampled import VarianceConfig
from padalib.ranking.scores import ScoreConfig
from padalib.study.draws import UniformGroup
from padalib.study.scale import Scale
from padalib.train import TrainConfig

STEPS, IMAGES = "steps", "images"  # what is equal; with equal images the rate is scaled
KEYS = ("size", "group", "rule")  # images of a path and paths of a step; what is equal
FAMILIES = {  # name: rule, and what is varied
    "equal steps": (STEPS, ("size", "group")),
    "equal images": (IMAGES, ("size", "group")),
    "batches, equal steps": (STEPS, ("size",)),
    "paths, equal steps": (STEPS, ("group",)),
    "batches, equal images": (IMAGES, ("size",)),
    "paths, equal images": (IMAGES, ("group",)),
}
PLANNED = ("equal steps", "equal images")
MOST = 2  # times SPOS's images at equal steps: beyond, a run takes too long
MIDDLE, END = "middle", "end"  # of training, where the variance is probed

# --- runs ---


def variant(scale: Scale, seed: int, size: int, group: int = 1, rule: str = STEPS) -> TrainConfig:
    """SPOS with `size` images a path and the mean gradient of `group` paths a step.

    At equal steps it trains for as many more or fewer epochs. At equal images the learning rate
    grows in proportion to the images of a step (Goyal et al., 2017). Gradients of a group are
    summed; the mean of k at a rate is their sum at that rate over k, with k times the clip and k
    times the weight decay, exactly. ValueError where equal steps are no whole epochs.
    """
    plain = scale.training("SPOS", seed)
    if (size, group) == (plain.batch, 1):
        return replace(plain, keep=(*plain.keep, _middle(plain.epochs)))
    times, method = size * group / plain.batch, plain.method
    epochs = plain.epochs * times if rule == STEPS else plain.epochs
    if not float(epochs).is_integer():
        raise ValueError(
            f"{group} paths of {size} images at the steps of {plain.epochs} epochs of "
            f"{plain.batch} images take {epochs:g} epochs: choose sizes that make it whole"
        )
    if group > 1:
        paths = samplers.part(UniformGroup, group=group)
        method = replace(method, name=f"SPOS of {group} paths", paths=paths)
    return replace(
        plain,
        method=method,
        batch=size,
        epochs=int(epochs),
        lr=plain.lr * (times if rule == IMAGES else 1) / group,
        clip=plain.clip * group,
        weight_decay=plain.weight_decay * group,
        keep=(_middle(int(epochs)),),
    )


def _middle(epochs: int) -> int:
    return epochs // 2


def variants(scale: Scale) -> list[tuple[int, int, str]]:
    """(size, group, rule) of all: either is varied alone; the unchanged SPOS is there once."""
    sizes = [(size, 1) for size in scale.batch_sizes if size != scale.batch]
    groups = [(scale.batch, group) for group in scale.groups if group > 1]
    found = [
        (size, group, rule)
        for rule in (STEPS, IMAGES)
        for size, group in (*sizes, *groups)
        if rule == IMAGES or size * group <= MOST * scale.batch
    ]
    return [(scale.batch, 1, STEPS), *found] if found else []


def trainings(scale: Scale) -> list[TrainConfig]:
    """Every variant with every seed; whole seeds first, so that a part is of use."""
    return [variant(scale, seed, *each) for seed in scale.seeds for each in variants(scale)]


def scorings(scale: Scale) -> list[ScoreConfig]:
    """Scores of each at its end."""
    return [scale.scoring(config) for config in trainings(scale)]


def probes(scale: Scale) -> list[VarianceConfig]:
    """The variance of each in the middle of training and at its end."""
    return [
        VarianceConfig(config, epoch, scale.final_paths, scale.batches)
        for config in trainings(scale)
        for epoch in (_middle(config.epochs), config.epochs)
    ]


def configs(scale: Scale) -> list[Config]:
    """All runs of this study; none where the scale varies nothing."""
    return [*scorings(scale), *probes(scale)]


def level(scale: Scale) -> Callable[[Config], dict]:
    """What the columns of a run say of its intervention (see `KEYS`), and `at`: how far it was."""
    found = {
        variant(scale, seed, *each): dict(zip(KEYS, each, strict=True))
        for seed in scale.seeds
        for each in variants(scale)
    }

    def told(config: Config) -> dict:
        early = isinstance(config, VarianceConfig) and config.epoch < config.train.epochs
        return found[config.train] | {"at": MIDDLE if early else END}

    return told


# --- families ---


def usual(rows: pd.DataFrame) -> int:
    """The batch of the unchanged SPOS: the only one that is not among those of equal images."""
    alone = rows[rows.group == 1]
    steps, images = (set(alone[alone.rule == rule]["size"]) for rule in (STEPS, IMAGES))
    return int((steps - images).pop())


def members(rows: pd.DataFrame, family: str) -> pd.DataFrame:
    """The rows of a family; the unchanged SPOS is in all."""
    rule, varied = FAMILIES[family]
    plain = (rows["size"] == usual(rows)) & (rows.group == 1)
    kept = pd.Series(False, rows.index)
    if "size" in varied:
        kept |= rows.group == 1
    if "group" in varied:
        kept |= rows.group > 1
    return rows[plain | (kept & (rows.rule == rule))]
