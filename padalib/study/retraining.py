"""Are found architectures better when trained alone, beyond what training one again would change?

Each architecture is trained from new weights by one named recipe with several seeds, on all that
was learned or searched from, and reported on the test images. Beside what the methods found stand
the controls: the largest network, random draws, and what the same search finds on an untrained
supernet.

Fixed before any run was made: the contrasts, and that differences within one standard deviation
between trainings of one architecture count as none.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from padalib.benchmarks.alone import ALONE
from padalib.data import WHOLE
from padalib.ranking import metrics
from padalib.ranking.scores import ScoreConfig
from padalib.spaces import Arch, Space
from padalib.study import claims, effects, figures, outcomes
from padalib.study.claims import Claim
from padalib.train import TrainConfig

FIGURE = "10_retraining"
BASE, METHODS = "SPOS", ("SPOS", "PA", "PA&DA")
LARGEST, DRAWN, UNTRAINED = "largest network", "random draws", "untrained"
CONTROLS = (LARGEST, DRAWN, UNTRAINED)
LEAST_SEEDS = 3  # of each architecture: with two, an interval says next to nothing
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
    # For any space: its own network, by the recipe of our truth tables.
    "plain": Recipe("plain", {}, ALONE),
}


def configs(
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
    """A row for each name, architecture and seed, from the scores of `configs`.

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


# --- analysis ---


def contrasts(names: Sequence[str]) -> list[tuple[str, str]]:
    """(a, b) of names that are there: the methods against SPOS, then each against the controls."""
    methods = [name for name in METHODS if name in names]
    pairs = [(name, BASE) for name in methods if name != BASE and BASE in names]
    return pairs + [(name, control) for name in methods for control in CONTROLS if control in names]


def analyse(runs: pd.DataFrame) -> tuple[dict[str, pd.DataFrame], list[Claim]]:
    """Tables and claims from `named`.

    Tables: retrained (each name's mean with its interval over seeds), noise (one row: sd between
    trainings of one architecture, pooled, with its interval, and the largest difference between
    methods), better (the contrasts, with Holm's correction). Two intervals: over seeds, with these
    architectures; and over searches too, where a name has several. ValueError where architectures
    were trained with different seeds.
    """
    seeds = runs.groupby(["name", "draw"]).seed.apply(lambda own: tuple(sorted(own)))
    if seeds.nunique() > 1:
        raise ValueError(f"all need the same seeds, got {sorted(set(seeds))}: train what lacks")
    spread = noise(runs)
    rows = [_difference(runs, a, b) for a, b in contrasts(list(runs.name.unique()))]
    tables = {
        "retrained": _means(runs),
        "noise": spread,
        "better": outcomes.judged(rows, float(f"{spread.sd.iloc[0]:.2g}"), wanted=1),
    }
    return tables, [*_claims(tables)]


def noise(runs: pd.DataFrame) -> pd.DataFrame:
    """One row: sd between trainings of one architecture, pooled, and its 95 % interval.

    From chi squared, so for normal errors. `methods`: the largest difference between two of them.
    """
    once = runs.drop_duplicates(["code", "seed"]).groupby("code").accuracy
    free = int((once.size() - 1).sum())
    sd = math.sqrt(float(((once.size() - 1) * once.var(ddof=1)).sum()) / free)
    low, high = (sd * math.sqrt(free / stats.chi2(free).ppf(p)) for p in (0.975, 0.025))
    means = runs[runs.name.isin(METHODS)].groupby("name").accuracy.mean()
    between = float(means.max() - means.min()) if len(means) else math.nan
    row = {"sd": sd, "low": low, "high": high, "archs": len(once), "trainings": len(once) + free}
    return pd.DataFrame([row | {"methods": between}])


def _means(runs: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for name, own in runs.groupby("name", sort=False):
        over = metrics.seeds_summary(own.groupby("seed").accuracy.mean())
        row = {"name": name, "archs": own.draw.nunique(), "seeds": over.n, "accuracy": over.mean}
        row |= {"low": over.low, "high": over.high}
        rows.append(row | {c: float(own[c].mean()) for c in ("params", "flops")})
    return pd.DataFrame(rows)


def _difference(runs: pd.DataFrame, a: str, b: str) -> dict[str, Any]:
    """a - b as a row that `outcomes.judged` takes.

    Over seeds: Student's, of differences in one seed. Over searches: Welch's, whose units are a
    side's architectures, each by its mean over seeds (so both doubts are in it), or the seeds of
    its only one.
    """
    wide = runs.pivot(index=["name", "draw"], columns="seed", values="accuracy")
    sides = [wide.loc[name] for name in (a, b)]
    gaps, functions = sides[0].mean() - sides[1].mean(), sum(map(len, sides))
    mean = float(gaps.mean())
    row = outcomes.row(mean, effects.spread(gaps), len(gaps), effects.UNKNOWN, functions)
    if any(len(side) > 1 for side in sides):
        units = [side.mean(axis=1 if len(side) > 1 else 0) for side in sides]
        searches = effects.together(*map(effects.spread, units))
        if searches.error > 0:
            row |= {"archs_low": mean - searches.half, "archs_high": mean + searches.half}
            row |= {"archs_freedom": searches.freedom, "p": max(row["p"], searches.p(mean))}
    return {"a": a, "b": b} | row


def _claims(tables: dict[str, pd.DataFrame]) -> Iterator[Claim]:
    spread = tables["noise"].iloc[0]
    beside = (
        "Training one architecture again moves it by "
        f"{claims.interval(spread.sd, spread.low, spread.high)} points (sd of "
        f"{spread.trainings:.0f} trainings of {spread.archs:.0f} architectures)"
    )
    means = tables["retrained"].set_index("name").accuracy
    for row in tables["better"].itertuples():
        key = f"10.retrained.{row.a}.{row.b}".lower().replace(" ", "_").replace("&", "")
        control = "*Control:* w" if row.b in CONTROLS else "W"
        yield outcomes.claim(
            key,
            f"{control}hat {row.a} finds is better than {_what(row.b)}, trained alone",
            row,
            f"{row.a} − {row.b}, test accuracy {means[row.a]:.2f} and {means[row.b]:.2f} %: "
            f"{outcomes.told(row)}",
            wanted=1,
            unit="points",
            figure=FIGURE,
            beside=beside,
        )


def _what(name: str) -> str:
    known = {LARGEST: "the largest network", DRAWN: "random draws"}
    return known.get(name, f"what {'an untrained supernet' if name == UNTRAINED else name} finds")


# --- figure ---


@figures.style()
def draw(runs: pd.DataFrame, tables: dict[str, pd.DataFrame]) -> Figure:
    """Each training and the means; and the differences, beside the noise of retraining."""
    figure, (left, right) = figures.subplots(1, 2, figsize=(6.75, 2.9))
    _trainings(left, runs, tables["retrained"])
    _differences(right, tables["better"], float(tables["noise"].sd.iloc[0]))
    return figure


def _trainings(axes: Axes, runs: pd.DataFrame, means: pd.DataFrame) -> None:
    for place, row in enumerate(means.itertuples()):
        own, shade = runs[runs.name == row.name], _shade(row.name)
        shift = 0.3 * (own.draw - own.draw.mean()) / max(1, own.draw.max())
        axes.plot(place + shift, own.accuracy, "o", color=shade, mfc="none", ms=3, mew=0.7)
        axes.plot([place - 0.35, place + 0.35], [row.accuracy] * 2, color=shade)
        axes.plot([place, place], [row.low, row.high], color=shade, lw=0.8)
    axes.set_xticks(range(len(means)), means.name, rotation=35, ha="right")
    axes.set(ylabel="test accuracy (%)", title="a point for each training")


def _differences(axes: Axes, rows: pd.DataFrame, sd: float) -> None:
    axes.axvspan(-sd, sd, color=figures.BAND, lw=0, zorder=0)
    axes.axvline(0, color="grey", lw=0.5)
    for place, row in enumerate(rows.itertuples()):
        shade = _shade(row.a)
        axes.plot([row.seeds_low, row.seeds_high], [place] * 2, color=shade, lw=2.8)
        axes.plot([row.archs_low, row.archs_high], [place] * 2, color="black", lw=0.7)
        axes.plot(row.difference, place, "o", color=shade, mfc="white", ms=4)
    axes.set_yticks(range(len(rows)), [f"{row.a} − {row.b}" for row in rows.itertuples()])
    axes.set(xlabel="difference (points)", title="grey: ± one sd of retraining")
    axes.invert_yaxis()


def _shade(name: str) -> str:
    return figures.GREY if name in CONTROLS else figures.colour(name)


def caption(tables: dict[str, pd.DataFrame]) -> str:
    """The finding in words, for the figure."""
    spread, rows = tables["noise"].iloc[0], tables["better"]
    counts = rows.verdict.value_counts()
    told = ", ".join(f"{n} {verdict}" for verdict, n in counts.items())
    return (
        f"Architectures trained alone, {int(tables['retrained'].seeds.max())} seeds each. One "
        f"architecture trained again differs by {spread.sd:.2f} points (sd); methods differ by up "
        f"to {spread.methods:.2f}. Of {len(rows)} contrasts {told}. Thick bars: 95 % over seeds; "
        "thin: over searches too. Verdicts after Holm's correction."
    )
