"""Few-shot NAS: several supernets share a space, and an architecture is scored by its owner.

Zhao et al., "Few-Shot Neural Architecture Search", ICML 2021: one supernet is trained on
everything; then, for each option of one position, another goes on from its weights and is trained
on the architectures with that option. `PartScores` is for any such division.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import inf, nan
from typing import Literal

import numpy as np
import pandas as pd

from padalib.engine import checked
from padalib.engine.runs import Run
from padalib.ranking import pairs
from padalib.ranking.partial import Partial
from padalib.ranking.scores import ScoreConfig
from padalib.ranking.vectors import few
from padalib.samplers import checking
from padalib.samplers.base import PathSampler, part
from padalib.samplers.restricted import Only, RestrictedPaths
from padalib.samplers.spos import UniformPaths
from padalib.spaces import Arch
from padalib.spaces.base import LISTED
from padalib.train import TrainConfig, build_samplers, load

FIRST, EACH = 600, 300  # epochs of the paper: of the one supernet, and of each that follows


def few_shot(config: TrainConfig, position: int = 0, start: bool = True) -> tuple[TrainConfig, ...]:
    """The sub-supernets of few-shot NAS, one for each option of a position, at `config`'s images.

    The paper's 600 epochs, and 300 for each option, are scaled to `config.epochs` in all. Those of
    a sub-supernet are rounded, and what is left is the one supernet's: with five options 20 epochs
    are 5 and five times 3. ValueError for too few epochs, or paths that are not uniform.
    """
    checked.fit("config", config, TrainConfig)
    # differs: the public code splits the first edge, as the default here does; the choice is free.
    checked.whole("position", position, 0, len(config.space.positions) - 1)
    checked.fit("start", start, bool)
    n = len(config.space.positions[position].options)
    each, first = divided(config, n, start)
    return tuple(sub_supernet(config, ((position, (k,)),), each, first) for k in range(n))


def divided(config: TrainConfig, n: int, start: bool = True) -> tuple[int, TrainConfig | None]:
    """Epochs of each of `n` sub-supernets, and the run they start from, in few-shot NAS's shares.

    ValueError for too few epochs.
    """
    if config.epochs < n + start:
        raise ValueError(
            f"{config.epochs} epochs are too few for {n} supernets"
            f"{' and the one they start from' if start else ''}: use {n + start} or more"
        )
    # differs: start=False trains each from scratch, as DYNAS's comparison does; epochs that n does
    # not divide are then left out.
    scaled = round(config.epochs * EACH / (FIRST + EACH * n)) if start else config.epochs
    each = max(1, min(scaled, (config.epochs - start) // n))
    return each, replace(config, epochs=config.epochs - n * each, keep=()) if start else None


def check_uniform(config: TrainConfig) -> None:
    """ValueError for paths that are not uniform: those of a sub-supernet are."""
    if config.method.paths != part(UniformPaths):
        raise ValueError(
            f"{config.method.name} draws paths in its own way, a sub-supernet those of its part "
            "uniformly: pass a config with method='SPOS', or another with uniform paths"
        )


def sub_supernet(
    config: TrainConfig, only: Only, epochs: int, start: TrainConfig | None
) -> TrainConfig:
    """`config` on the architectures with the options of `only`, going on from `start`."""
    check_uniform(config)
    told = []
    for place, options in only:
        own = config.space.positions[place]
        told.append(f"{own.name} {' or '.join(own.options[k] for k in options)}")
    name = ", ".join([config.method.name, *told])
    method = replace(config.method, name=name, paths=part(RestrictedPaths, only=only))
    return replace(config, method=method, epochs=epochs, start=start, keep=())


@dataclass(frozen=True)
class PartScores(ScoreConfig):
    """Scores as `ScoreConfig`'s, each architecture by the first of several supernets that draws it.

    `train` is the first supernet, `others` are the rest, all after the same epoch. Architectures
    that are one function may have several owners; of a class its representative is scored. One
    that none draws, for no signal passes through it, is the first one's. The table has a column
    `part` more; the table `parts` says what each training cost (`spent`). ValueError for supernets
    that cannot stand in one table.
    """

    others: tuple[TrainConfig, ...] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        for other in self.others:
            other.check_kept(self.epoch)
            if _common(other) != _common(self.train):
                raise ValueError(
                    f"{other.label} cannot be scored beside {self.train.label}: give both the same "
                    "space, data and device, and no arch"
                )

    @property
    def parts(self) -> tuple[TrainConfig, ...]:
        """The supernets, in order."""
        return (self.train, *self.others)

    @property
    def needs(self) -> tuple[TrainConfig, ...]:
        """Their runs."""
        return self.parts

    @property
    def label(self) -> str:
        """A name for people."""
        return f"scores of {len(self.parts)} supernets, {self.train.label}"

    @property
    def trainings(self) -> list[TrainConfig]:
        """All that it rests on, those that others start from once and before them."""
        found: dict[TrainConfig, None] = {}

        def add(config: TrainConfig) -> None:
            for need in config.needs:
                add(need)
            found[config] = None

        for own in self.parts:
            add(own)
        return list(found)

    @property
    def epochs(self) -> int:
        """Epochs of all these trainings."""
        return sum(config.epochs for config in self.trainings)

    def inputs(self) -> dict:
        """The data's hash; what a part learns from besides."""
        found = super().inputs()
        told = [other.inputs() for other in self.others]
        return found | ({"others": told} if any(own != found for own in told) else {})

    def check(self) -> None:
        """ValueError where a part cannot be trained, or nobody owns an architecture."""
        super().check()
        for other in self.others:
            other.check()
        self.owners(self.scored())

    def owners(self, archs: list[Arch]) -> list[int]:
        """For each architecture the place of its supernet in `parts`; ValueError where none is."""
        samplers = [build_samplers(own, len(own.images()))[0] for own in self.parts]
        found = []
        for arch in archs:
            own = [k for k, paths in enumerate(samplers) if paths.weight(arch) != inf]
            if not own and not any(self.train.space.live(arch)):
                own = [0]
            if not own:
                raise ValueError(
                    f"none of the {len(samplers)} supernets is trained on architecture "
                    f"{self.train.space.code(arch)}: add the one that is, or leave it out of codes"
                )
            found.append(own[0])
        return found

    def compute(self, run: Run) -> None:
        """Train what is not trained, then score, one supernet after the other."""
        self.check()
        archs = self.scored()
        order = {self.train.space.code(arch): k for k, arch in enumerate(archs)}
        with Partial(run) as partial:
            table = pd.concat(self._tables(partial, archs), ignore_index=True)
            split = table.split.map(self.splits.index)
            table = table.iloc[np.lexsort((table.code.map(order), split))]
            run.log(f"scored {len(archs)} architectures on {', '.join(self.splits)}")
            run.write_table("scores", table.reset_index(drop=True))
            run.write_table("parts", self.spent())

    def _tables(self, partial: Partial, archs: list[Arch]) -> Iterator[pd.DataFrame]:
        """The rows of each supernet's own architectures."""
        owners = self.owners(archs)
        for place, own in enumerate(self.parts):
            mine = [arch for arch, owner in zip(archs, owners, strict=True) if owner == place]
            if mine:
                trainer = load(Run(own.keeping(self.epoch)).compute(), self.epoch)
                yield self.table(partial, trainer, mine).assign(part=own.method.name)

    def spent(self, above: Sequence[TrainConfig] = ()) -> pd.DataFrame:
        """A row a training, all being done: images, steps, and mean FLOPs of the paths drawn.

        `owns`: it is one of the supernets that score, not one that others start from. `above` are
        more trainings that they rest on.
        """
        rows = []
        for config in (*above, *self.trainings):
            curves = Run(config).table("curves")
            row = {"training": config.method.name, "owns": config in self.parts}
            row |= {"images": curves.images.sum(), "steps": curves.steps.sum()}
            rows.append(row | {"flops": mean_flops(config)})
        return pd.DataFrame(rows)


def mean_flops(config: TrainConfig) -> float:
    """Of the paths that a run draws, all through by the same probabilities: exact.

    NaN where the space is too large to list, or its sampler does not say how likely each is, or
    draws otherwise from epoch to epoch.
    """
    space, paths = config.space, build_samplers(config, config.batch)[0]
    fixed = paths.uniform or type(paths).new_epoch is PathSampler.new_epoch
    if space.architectures > LISTED or not fixed or not checking.says(paths, ("draw",), "weight"):
        return nan
    weights = [paths.weight(arch) for arch in space]
    if None in weights:
        return nan
    found = (space.flops(arch) / weight for arch, weight in zip(space, weights, strict=True))
    return sum(found) / space.architectures


def _common(config: TrainConfig) -> tuple:
    return config.space, config.data, config.device, config.arch


def part_scores(parts: tuple[TrainConfig, ...], **fields) -> PartScores:
    """`PartScores` of some supernets, with the fields of `ScoreConfig` as keywords."""
    parts = checked.fit("parts", parts, tuple[TrainConfig, ...])
    if not parts:
        raise ValueError("parts must be one supernet or more, got none: pass those of `few_shot`")
    first, *others = parts
    return PartScores(first, others=tuple(others), **fields)


def what(scoring: ScoreConfig) -> dict:
    """What a config scores, and on which images: the keywords for another that scores the same."""
    return {
        name: getattr(scoring, name) for name in ("splits", "images", "batch", "archs", "codes")
    }


def by_part(
    scores: pd.DataFrame, true: pd.Series, by: Literal["accuracy", "loss"] = "accuracy"
) -> pd.DataFrame:
    """Are scores of different supernets comparable? Means of each beside those of the truth.

    `scores` is a table of `PartScores` on one split, `true` the truth by code; a score is the
    accuracy, or the loss negated. `tau` is that inside a part, `tau_across` that of its
    architectures against all others: it counts pairs of one supernet with another only. It falls
    below the rest where a supernet scores too high or low.
    """
    if not isinstance(true, pd.Series):
        raise ValueError(
            f"the truth must be a Series of accuracies by code, such as `Truth.accuracy()`, got "
            f"{type(true).__name__}"
        )
    if "part" not in scores or scores.code.duplicated().any():
        raise ValueError(
            "the scores must be a table of `part_scores`, with a column `part`, of one split: a "
            "row for each architecture"
        )
    if absent := list(scores.code[~scores.code.isin(true.index)]):
        raise ValueError(f"{few(absent)} have no known accuracy: leave out their rows")
    checked.fit("by", by, Literal["accuracy", "loss"])
    parts = scores.part.to_numpy()
    pred = scores.accuracy.to_numpy(float) if by == "accuracy" else -scores.loss.to_numpy(float)
    truth = true.loc[scores.code].to_numpy(float)
    rows = []
    for name in dict.fromkeys(parts):
        own = parts == name
        rows.append(
            {
                "part": name,
                "architectures": int(own.sum()),
                "score": pred[own].mean(),
                "true": truth[own].mean(),
                "tau": pairs.tau(pred[own], truth[own]).value,
                "tau_across": pairs.tau_between(pred, truth, own).value,
            }
        )
    return pd.DataFrame(rows)
