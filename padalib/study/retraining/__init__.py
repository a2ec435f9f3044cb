"""Are found architectures better when trained alone, beyond what training one again would change?

Each method's supernets are searched within a limit on FLOPs, the median of random architectures.
What is found is trained from new weights by one named recipe with several seeds, on all that was
learned or searched from, and reported on the test images. Beside it stand the controls: the largest
network, which no limit holds; the one with most FLOPs within the limit, of so many random ones;
random draws within it; and what the same search finds on an untrained supernet.

Fixed before any run was made: the contrasts, and that differences within one standard deviation
between trainings of one architecture count as none.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from padalib.ranking.scores import ScoreConfig, sample
from padalib.ranking.searched import SearchConfig
from padalib.spaces import Arch, Space
from padalib.study import recipes
from padalib.study.recipes import Recipe
from padalib.study.scale import EPOCH_IMAGES, Scale
from padalib.study.search import UNTRAINED, untrained
from padalib.study.workbook import Workbook

METHODS = ("SPOS", "PA", "PA&DA")
LARGEST, MOST, DRAWN = "largest network", "most FLOPs", "random draws"
CONTROLS = (LARGEST, MOST, DRAWN, UNTRAINED)
LEAST_SEEDS = 3  # of each architecture: with two, an interval says next to nothing
RANDOM = 1000  # architectures that the limit is taken from


# --- what is searched, and trained ---


def configs(scale: Scale) -> list[SearchConfig]:
    """A search on each method's supernet and each seed, and on that seed's untrained one.

    What is trained again depends on what they find: `trainings`.
    """
    how = {"evaluations": scale.searches.evaluations, "flops": limit(scale)}
    how |= {"split": scale.rank_split, "images": scale.rank_images}
    found = []
    for seed in scale.seeds:
        runs = [scale.training(method, seed) for method in METHODS if method in scale.methods]
        found += [SearchConfig(run, seed=seed, **how) for run in runs]
        found.append(SearchConfig(untrained(scale, seed), epoch=0, seed=seed, **how))
    return found


def random(scale: Scale) -> list[Arch]:
    """The random architectures that the limit is taken from, and the draws within it."""
    return sample(scale.space, min(RANDOM, scale.space.architectures))


def limit(scale: Scale) -> float:
    """FLOPs that a share of the random architectures have at most."""
    flops = [scale.space.flops(arch) for arch in random(scale)]
    return float(np.quantile(flops, scale.retraining.share, method="lower"))


def largest(space: Space) -> Arch:
    """The network with most parameters: at each position what adds most, until nothing does."""
    best = [
        max(range(len(position.options)), key=lambda option, k=k: space.weights(k, option))
        for k, position in enumerate(space.positions)
    ]
    before: list[int] = []
    while best != before:
        before = list(best)
        for k, position in enumerate(space.positions):
            tries = [(*best[:k], option, *best[k + 1 :]) for option in range(len(position.options))]
            best = list(max((tuple(best), *tries), key=space.params))
    return tuple(best)


def chosen(scale: Scale, searched: pd.DataFrame) -> dict[str, list[Arch]]:
    """Name -> its architectures: what each search of `searched` found, then the controls.

    `searched` has the rows of `configs`, with the epoch that was looked at (0: untrained).
    """
    space, most = scale.space, limit(scale)
    rows = searched.assign(method=searched.method.where(searched.epoch > 0, UNTRAINED))
    last = rows.groupby(["method", "seed"], sort=False).found.last()
    found = {
        name: [space.parse(code) for code in last[name].sort_index()]
        for name in (*METHODS, UNTRAINED)
        if name in last.index.get_level_values(0)
    }
    allowed = [arch for arch in random(scale) if space.flops(arch) <= most]
    controls = {LARGEST: [largest(space)], MOST: [max(allowed, key=space.flops)]}
    return found | controls | {DRAWN: allowed[: scale.retraining.draws]}


def again(scale: Scale, found: Mapping[str, Sequence[Arch]]) -> list[ScoreConfig]:
    """The trainings that a scale asks for, of what `chosen` gives."""
    asked, recipe = scale.retraining, recipes.get(scale.retraining.recipe)
    changes: dict[str, Any] = {"flip": scale.flip, "device": scale.device}
    changes |= {} if "crop" in recipe.training else {"crop": scale.crop}
    changes |= {} if asked.epochs is None else {"epochs": asked.epochs}
    return trainings(found, scale.space, recipe, scale.data, asked.seeds, **changes)


def hours(scales: Sequence[Scale], cores: int = 2) -> float:
    """Estimated hours of so many cores, from nothing: images times what one costs in a step.

    Timed now, by `Scale.step_seconds`; the networks alone are taken to cost as much as a path, and
    a forward pass as a third of a step.
    """
    seconds = 0.0
    for scale in scales:
        asked, methods = scale.retraining, [m for m in METHODS if m in scale.methods]
        epochs = asked.epochs or recipes.get(asked.recipe).training["epochs"]
        archs = (len(methods) + 1) * len(scale.seeds) + 2 + asked.draws
        supernets = len(methods) * scale.epochs * len(scale.seeds) + len(scale.seeds)
        images = EPOCH_IMAGES * (supernets + archs * len(asked.seeds) * epochs)
        scored = (len(methods) + 1) * len(scale.seeds) * scale.searches.evaluations
        images += scored * (scale.rank_images or EPOCH_IMAGES // 10) / 3
        seconds += scale.step_seconds() / scale.batch * images
    return seconds / 3600 / cores


def trainings(
    found: Mapping[str, Sequence[Arch]],
    space: Space,
    recipe: Recipe,
    data: str,
    seeds: Sequence[int],
    **changes: Any,
) -> list[ScoreConfig]:
    """The runs: each architecture of `found` (name -> its architectures) with each seed.

    What two names share is trained once. `changes` are of the training (digits: `flip=False`).
    ValueError for fewer than three seeds, or a name without architectures.
    """
    if len(set(seeds)) < LEAST_SEEDS or len(set(seeds)) < len(seeds):
        raise ValueError(
            f"pass {LEAST_SEEDS} or more different seeds, got {tuple(seeds)}: the noise of "
            "retraining is what differences are held against"
        )
    if empty := [name for name, archs in found.items() if not len(archs)]:
        raise ValueError(f"no architecture was found by {', '.join(empty)}: leave the name out")
    every = dict.fromkeys(space.canonical(arch) for archs in found.values() for arch in archs)
    changes["data"] = data
    runs = [recipe.config(space, arch, seed, **changes) for arch in every for seed in seeds]
    return [ScoreConfig(run, splits=("test",)) for run in runs]


def named(found: Mapping[str, Sequence[Arch]], space: Space, scores: pd.DataFrame) -> pd.DataFrame:
    """A row for each name, architecture and seed, from the scores of `trainings`.

    Columns name, code, seed, accuracy (%), params, flops (of the searched network). An architecture
    that a name found twice counts twice (`draw` numbers them). ValueError where one was not scored.
    """
    rows = []
    for name, archs in found.items():
        for draw, arch in enumerate(map(space.canonical, archs)):
            own = scores[scores.code == space.code(arch)]
            if own.empty:
                raise ValueError(f"{space.code(arch)}, found by {name}, has no score: train it too")
            cost = {"params": space.params(arch), "flops": space.flops(arch)}
            rows.append(own[["code", "seed", "accuracy"]].assign(name=name, draw=draw, **cost))
    return pd.concat(rows, ignore_index=True)


def read(books: Sequence[Workbook]) -> dict[str, tuple[pd.DataFrame, pd.Series | None]]:
    """By space, of the scales that have this study: `named` rows, and the truth by code if known.

    Searches first, then trains what they found; when redrawing, from the published tables.
    """
    found = {}
    for book in books:
        if __name__.rpartition(".")[2] not in book.scale.studies:
            continue
        asked = [] if book.redraw else configs(book.scale)
        epoch = {"columns": lambda config: {"epoch": config.epoch}}
        searched = book.table("retraining_searches", asked, source="search", **epoch)
        archs, space = chosen(book.scale, searched), book.scale.space
        asked = [] if book.redraw else again(book.scale, archs)
        scores = book.table("retraining_scores", asked, source="scores")
        runs, truth = book.save("retraining_runs", named(archs, space, scores)), None
        if book.scale.retraining.known:
            own = [space.parse(code) for code in runs.code.unique()]
            rows = book.reference(archs=own, name="retraining_truth")
            truth = rows.set_index("code").accuracy
        found[space.name] = runs, truth
    return found
