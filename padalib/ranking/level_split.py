"""EFS-NAS: each level of complexity is trained on by a supernet of its own, from a common one.

EFS-NAS, AAAI 2025. A level is the most convolutions on one way from input to output, 0 and 1
together, as in its strictly balanced sampling (`samplers.balanced`, 'sbs'), by which the common
supernet draws. An architecture is scored by the supernet of its level (`several`).
"""

from dataclasses import replace

from padalib.engine import checked
from padalib.ranking.several import divided
from padalib.samplers.balanced import BalancedPaths
from padalib.samplers.base import part
from padalib.samplers.restricted import LevelPaths
from padalib.train import TrainConfig

PATHS = part(BalancedPaths, by="depth")


def efs_nas(config: TrainConfig, start: bool = True) -> tuple[TrainConfig, ...]:
    """The sub-supernets, one for each level, at `config`'s images; it has to draw as 'sbs' does.

    ValueError for other paths, a space of one level, or too few epochs.
    """
    checked.fit("config", config, TrainConfig)
    # differs: the public code has one network, whose cells after the first stage hold two or three
    # sets of weights. The convolutions on the longest way so far say which set a cell uses; stem,
    # first stage and head are shared to the end. Here a level has one set in all cells, and what is
    # shared is shared at first: for as long as in few-shot NAS.
    if config.method.paths != PATHS:
        raise ValueError(
            f"{config.method.name} draws paths in another way than its levels': pass a config with "
            "method='sbs', or another with such paths"
        )
    levels = list(BalancedPaths(config.space, config.epochs, by="depth").levels)
    if len(levels) < 2:
        raise ValueError(
            f"all architectures of {config.space.name} have the same level, {levels[0]}: there is "
            "nothing to split"
        )
    each, first = divided(config, len(levels), start)
    return tuple(_of_level(config, level, each, first) for level in levels)


def _of_level(
    config: TrainConfig, level: int, epochs: int, start: TrainConfig | None
) -> TrainConfig:
    name, paths = f"{config.method.name}, level {level}", part(LevelPaths, level=level)
    method = replace(config.method, name=name, paths=paths)
    return replace(config, method=method, epochs=epochs, start=start, keep=())
