"""The record: the best single supernet at equal images, what its parts are for, and what bounds it.

Fixed beforehand: the candidates (`record_parts.TRIED`); that the one with the highest tau within
equal FLOPs is reported, chosen on seeds and on a half of the architectures of which nothing is;
the measures, the aims and the declared prior: the rank averaged with that of live FLOPs, weight 1.
"""

from dataclasses import replace

from padalib.ranking.scores import ScoreConfig
from padalib.study import record_parts
from padalib.study.scale import Scale

# --- runs ---


def tried(scale: Scale) -> list[ScoreConfig]:
    """Every candidate, on seeds that nothing is reported on; seed by seed."""
    return [_scored(scale, name, seed) for seed in scale.rate_seeds for name in scale.tried]


def _scored(scale: Scale, name: str, seed: int) -> ScoreConfig:
    return scale.scoring(replace(record_parts.training(scale, name, seed), keep=()))
