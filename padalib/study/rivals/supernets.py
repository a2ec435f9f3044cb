"""Rivals that train several supernets: at equal images in all, scored by the owning supernet.

The images are divided among the trainings as `ranking` says: a common one, then those that go on
from it, each on a part; GM-NAS has two levels of these. What a run of one supernet has, such as
curves and exposure, has no meaning over several, whose weights learn from different images: they
are left out of what explains tau.

Scores of one supernet share all that they are made of; those of two may lie on different levels.
So `comparable` asks whether pairs that two supernets score are in order as well as pairs of one,
and what the method that was split, one supernet for all, does on the same pairs: pairs of two parts
may be harder, or easier, for anybody.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from padalib.engine.runs import Run
from padalib.probes import memory
from padalib.probes.cost import CostConfig
from padalib.probes.memory import Alive, MemoryConfig
from padalib.ranking import pairs, several
from padalib.ranking.gradient_split import SplitScores, distances
from padalib.ranking.level_split import efs_nas
from padalib.ranking.pairs import Estimate
from padalib.ranking.ranked import Ranked
from padalib.ranking.scores import ScoreConfig
from padalib.samplers.base import part
from padalib.samplers.restricted import RestrictedPaths
from padalib.study import outcomes
from padalib.study.scale import Scale
from padalib.study.scales.rivals import SEVERAL
from padalib.train import TrainConfig, Trainer

SPLIT_FROM = {"few-shot NAS": "SPOS", "GM-NAS": "SPOS", "EFS-NAS": "sbs"}
SPLIT = "GM-NAS"  # what is split is decided by gradients


# --- runs ---


def scoring(scale: Scale, name: str, seed: int) -> ScoreConfig:
    """Scores of one method and seed, at the scale's epochs in all.

    Where these are fewer than its trainings, as at `smoke`, each has one, and the table of costs
    says how many images that is.
    """
    whole = replace(scale.training(SPLIT_FROM[name], seed), keep=())
    fields = several.what(scale.scoring(whole))
    if name == SPLIT:
        repeats, size = scale.split_on
        levels = scale.split_levels
        least = 2 ** (levels + 1)  # trainings and the splits
        whole = replace(whole, epochs=max(least, whole.epochs))
        fields["levels"] = levels if levels > 1 else None
        return SplitScores(whole, repeats=repeats, size=size, **fields)
    divide = {"few-shot NAS": several.few_shot, "EFS-NAS": efs_nas}[name]
    least = 1 + len(divide(replace(whole, epochs=LONG)))
    return several.part_scores(divide(replace(whole, epochs=max(least, whole.epochs))), **fields)


LONG = 1000  # epochs: enough for any number of parts


def stand_in(scale: Scale, name: str) -> TrainConfig:
    """A training of one part, for the time and memory of a step; it is not trained.

    The paths of every part are drawn alike, and steps are those of the method that was split.
    """
    config = scale.training(SPLIT_FROM[name], scale.seeds[0])
    paths = part(RestrictedPaths, only=((0, (0,)),))
    return replace(config, method=replace(config.method, name=name, paths=paths), keep=())


def timing(scale: Scale, name: str) -> CostConfig:
    """Of the steps of one part."""
    return CostConfig(stand_in(scale, name), scale.pairs)


class SplitMemory(MemoryConfig):
    """Of the steps of one part, or of a comparison of gradients where that holds more."""

    def compute(self, run: Run) -> None:
        """Measure."""
        trainer = Trainer(self.train)
        row = memory.measure(trainer)
        x, y = trainer.images.batch(torch.arange(self.train.batch))
        with Alive() as alive:
            distances(trainer, 0, memory.alike(trainer.space)[-1], x, y)
        row["peak"] = max(row["peak"], row["kept"] + alive.peak)
        run.log(f"{row['peak'] / 2**20:.2f} MiB at the peak")
        run.write_table("memory", pd.DataFrame([row]))


def held(scale: Scale, name: str) -> MemoryConfig:
    """The memory of one part's steps."""
    return (SplitMemory if name == SPLIT else MemoryConfig)(stand_in(scale, name))


# --- what all runs of a method cost together ---


def spent(parts: pd.DataFrame) -> pd.DataFrame:
    """By (method, seed): images, steps, paid (FLOPs of the paths), supernets that score."""
    rows = parts.assign(paid=parts.images * parts.flops, supernets=parts.owns)
    return rows.groupby(["method", "seed"], sort=False)[
        ["images", "steps", "paid", "supernets"]
    ].sum()


# --- are scores of different supernets comparable? ---


def by_part(scores: pd.DataFrame, known: Ranked) -> pd.DataFrame:
    """`several.by_part` by loss, of each method, seed and part."""
    true = pd.Series(known.true, list(known.codes))
    rows = [
        several.by_part(own, true, "loss").assign(method=method, seed=seed)
        for (method, seed), own in _runs(scores)
    ]
    columns = ["method", "seed", "part", "architectures", "score", "true", "tau", "tau_across"]
    return pd.concat(rows)[columns] if rows else pd.DataFrame(columns=columns)


def comparable(scores: pd.DataFrame, known: Ranked, bound: float) -> pd.DataFrame:
    """A row a method: tau by loss of pairs of two parts less that of pairs of one.

    `difference` is that less the same of the method that was split, on the same pairs and seeds,
    with its intervals; one family for Holm. across, within, control_across and control_within are
    the four taus, means over seeds.
    """
    of = {key: own for key, own in scores.groupby(["method", "seed"], sort=False)}
    gaps: dict[str, list[Estimate]] = {}
    taus: dict[str, list[list[float]]] = {}
    for (method, seed), own in _runs(scores):
        control = of.get((SPLIT_FROM[method], seed))
        if control is None:
            continue
        level = own.set_index("code").part[list(known.codes)].to_numpy()
        level = np.unique(level.astype(str), return_inverse=True)[1]
        found = [*_both(own, known, level), *_both(control, known, level)]
        gaps.setdefault(method, []).append(outcomes.combine((1, -1, -1, 1), found))
        taus.setdefault(method, []).append([one.value for one in found])
    rows = []
    for method, each in gaps.items():
        names = ("across", "within", "control_across", "control_within")
        row: dict[str, Any] = {
            "method": method,
            "control": SPLIT_FROM[method],
            "measure": "tau_loss",
        }
        row |= dict(zip(names, np.mean(taus[method], axis=0), strict=True))
        rows.append(row | outcomes.mean(each, known))
    return outcomes.judged(rows, bound, wanted=-1)


def _runs(scores: pd.DataFrame) -> Iterator[tuple[tuple[str, int], pd.DataFrame]]:
    own = scores[scores.method.isin(SEVERAL)]
    yield from own.groupby(["method", "seed"], sort=False)


def _both(scores: pd.DataFrame, known: Ranked, level: np.ndarray) -> tuple[Estimate, Estimate]:
    """tau by loss of pairs of two parts, and of pairs of one."""
    pred = dict(outcomes.vectors(scores, known))["loss"]
    return (
        pairs.tau_between(pred, known.true, level),
        pairs.tau_within(pred, known.true, level, least=2),
    )
