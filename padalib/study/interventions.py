"""Does lower gradient variance rank better? The same SPOS, with more and with less of it.

Variance is set, not found: by the images of a step, and by averaging the gradients of several
paths. All variants pass as many images; those of larger steps take fewer of them. What comes of it
is worked out in `intervened`.
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

SCALED, FIXED = "scaled", "fixed"  # the learning rate: with the images of a step, or one for all
KEYS = ("size", "group", "rate")  # images of a path and paths of a step; the rule of the rate
FAMILIES = {  # name: rule of the rate, and what is varied
    "scaled rate": (SCALED, ("size", "group")),
    "one rate": (FIXED, ("size", "group")),
    "batches, scaled rate": (SCALED, ("size",)),
    "paths, scaled rate": (SCALED, ("group",)),
    "batches, one rate": (FIXED, ("size",)),
    "paths, one rate": (FIXED, ("group",)),
}
PLANNED = ("scaled rate", "one rate")

# --- runs ---


def variant(scale: Scale, seed: int, size: int, group: int = 1, rate: str = SCALED) -> TrainConfig:
    """SPOS with `size` images a path and the mean gradient of `group` paths a step.

    The learning rate grows in proportion to the images of a step ('scaled'; Goyal et al., 2017), or
    is SPOS's ('fixed'). Gradients of a group are summed; the mean of k at a rate is their sum at
    that rate over k, with k times the clip and k times the weight decay, exactly.
    """
    plain = scale.training("SPOS", seed)
    middle = scale.epochs // 2
    if (size, group) == (plain.batch, 1):
        return replace(plain, keep=(*plain.keep, middle))
    method = plain.method
    if group > 1:
        paths = samplers.part(UniformGroup, group=group)
        method = replace(method, name=f"SPOS of {group} paths", paths=paths)
    grown = size * group / plain.batch if rate == SCALED else 1
    return replace(
        plain,
        method=method,
        batch=size,
        lr=plain.lr * grown / group,
        clip=plain.clip * group,
        weight_decay=plain.weight_decay * group,
        keep=(middle,),
    )


def variants(scale: Scale) -> list[tuple[int, int, str]]:
    """(size, group, rate) of all: either is varied alone; the unchanged SPOS is there once."""
    sizes = [(size, 1) for size in scale.batch_sizes if size != scale.batch]
    groups = [(scale.batch, group) for group in scale.groups if group > 1]
    varied = [(*each, rate) for rate in (SCALED, FIXED) for each in (*sizes, *groups)]
    return [(scale.batch, 1, SCALED), *varied] if varied else []


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
        for epoch in (scale.epochs // 2, scale.epochs)
    ]


def configs(scale: Scale) -> list[Config]:
    """All runs of this study; none where the scale varies nothing."""
    return [*scorings(scale), *probes(scale)]


def level(scale: Scale) -> Callable[[Config], dict]:
    """What the columns of a run say of its intervention, see `KEYS`."""
    found = {
        variant(scale, seed, *each): dict(zip(KEYS, each, strict=True))
        for seed in scale.seeds
        for each in variants(scale)
    }
    return lambda config: found[config.train]


# --- families ---


def usual(rows: pd.DataFrame) -> int:
    """The batch of the unchanged SPOS: the only one of which no variant has one rate."""
    alone = rows[rows.group == 1]
    scaled, fixed = (set(alone[alone.rate == rate]["size"]) for rate in (SCALED, FIXED))
    return int((scaled - fixed).pop())


def members(rows: pd.DataFrame, family: str) -> pd.DataFrame:
    """The rows of a family; the unchanged SPOS is in all."""
    rate, varied = FAMILIES[family]
    plain = (rows["size"] == usual(rows)) & (rows.group == 1)
    kept = pd.Series(False, rows.index)
    if "size" in varied:
        kept |= rows.group == 1
    if "group" in varied:
        kept |= rows.group > 1
    return rows[plain | (kept & (rows.rate == rate))]
