"""Makes a truth table of our own: every architecture of a space trained alone, with each seed.

`padalib truth` calls it; `truth` has the columns.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path

import pandas as pd

from padalib import spaces
from padalib.benchmarks import about, checks
from padalib.benchmarks.about import About
from padalib.benchmarks.tables import SPLITS
from padalib.engine import devices, launch
from padalib.engine.runs import write_bytes
from padalib.ranking.scores import ScoreConfig, sample
from padalib.ranking.vectors import few
from padalib.spaces import Arch, Space
from padalib.train import TrainConfig

# Every architecture alone: twelve epochs leave the best at 95 % of the test images right and
# rising by less than a point an epoch; running statistics, as the benchmark's networks have.
ALONE = {"epochs": 12, "batch": 128, "lr": 0.2, "bn": "running"}
MOST_SEEDS = 1000  # their mean errs by a thirtieth of what one training does


def configs(
    space: Space, seeds: Sequence[int], archs: Iterable[Arch], **recipe
) -> list[ScoreConfig]:
    """One run for each seed and architecture: trained alone, scored on validation and test."""
    recipe = ALONE | {"device": devices.asked()} | recipe
    return [
        ScoreConfig(TrainConfig(arch=arch, seed=seed, space=space, **recipe), splits=SPLITS)
        for seed in seeds
        for arch in archs
    ]


def check_seeds(seeds: Sequence[int]) -> None:
    """ValueError unless they are 0, 1, ... without a gap, and no more than `MOST_SEEDS`."""
    some = list(islice(seeds, MOST_SEEDS + 1))
    if some != list(range(len(some))) or not some:
        raise ValueError(f"seeds must be 0, 1, ... without a gap, got [{few(some)}]")
    if len(some) > MOST_SEEDS:
        raise ValueError(
            f"an architecture can be trained with {MOST_SEEDS:,} seeds at most, got "
            f"{seeds[-1] + 1:,}: ask for fewer"
        )


def build(
    space: Space | str = "mini",
    seeds: Sequence[int] = (0, 1, 2),
    workers: int | None = None,
    drawn: int = 0,
    **recipe,
) -> pd.DataFrame:
    """Train the architectures of a space alone, with each seed, and make the table of them.

    All of them, or so many random ones as are `drawn`, always the same; `recipe` as in
    `TrainConfig`, such as data= and epochs=. Architectures that differ on dead edges only are one
    and the same network, so they share the run. The table says of which space and data it is
    (`about`). Resumable; finished runs are reused. Raises RunError when runs fail.
    """
    check_seeds(seeds)
    space = spaces.usable(space)
    archs = sample(space, drawn) if drawn else list(space)
    asked = configs(space, seeds, archs, **recipe)
    pairs = [(seed, arch) for seed in seeds for arch in archs]
    rows = []
    for (seed, arch), run in zip(pairs, launch.grid(asked, workers), strict=True):
        scores = run.table("scores").set_index("split")
        row = {"code": space.code(arch), "seed": seed}
        for split in SPLITS:
            row[f"{split}_acc"] = scores.accuracy[split]
            row[f"{split}_loss"] = scores.loss[split]
        rows.append(row)
    data = asked[0].train.data
    said = " ".join(f"{name}={value}" for name, value in (ALONE | recipe).items() if name != "data")
    told = About(space.name, data, about.digest(data), drawn, said)
    table = assemble(space, rows, archs)
    if drawn:  # so that members which were not drawn are known by those that were
        table["trained"] = [space.truth_key(space.canonical(arch)) for arch in archs]
    return about.write(table, told)


def assemble(
    space: Space, rows: Iterable[Mapping], archs: Sequence[Arch] | None = None
) -> pd.DataFrame:
    """The wide table from rows {code, seed, valid_acc, valid_loss, test_acc, test_loss}.

    Rows in any order, one for every architecture (of the space, or of `archs`) and seed 0..S-1; the
    table is in their order. Raises ValueError when rows are missing, doubled, foreign or unusable.
    """
    long = pd.DataFrame(list(rows))
    if absent := [column for column in ("code", "seed", *checks.QUANTITIES) if column not in long]:
        raise ValueError(f"rows lack {few(absent)}: pass one dict for each architecture and seed")
    archs = list(space) if archs is None else archs
    codes = [space.code(arch) for arch in archs]
    keys = list(zip(long["code"], map(int, long["seed"]), strict=True))
    seeds = range(max(seed for _, seed in keys) + 1)
    wanted = [(code, seed) for code in codes for seed in seeds]
    missing, foreign = sorted(set(wanted) - set(keys)), sorted(set(keys) - set(wanted))
    if missing or foreign or len(keys) > len(wanted):
        raise ValueError(
            f"expected one row for each (architecture, seed) of {space.name}, {len(wanted)} in "
            f"all, got {len(keys)}; missing: {few(missing) or 'none'}; not in the space: "
            f"{few(foreign) or 'none'}. Pass every pair exactly once"
        )
    wide = long.pivot(index="code", columns="seed", values=list(checks.QUANTITIES)).loc[codes]
    wide.columns = [f"{quantity}_{seed}" for quantity, seed in wide.columns]
    wide = wide.astype(float)
    wide["string"] = [space.decode(arch) for arch in archs]
    wide["params"] = [space.params(arch) for arch in archs]
    wide["flops"] = [space.flops(arch) for arch in archs]
    wide = wide[["string", *checks.own_columns(seeds)]]
    if found := checks.problems(space, wide.reset_index(), archs=archs):
        raise ValueError(f"cannot make a truth table of {space.name}: " + "; ".join(found))
    return wide


def save(table: pd.DataFrame, path: Path | str) -> None:
    """Writes the table as CSV, all or nothing; floats come back to the same bits."""
    write_bytes(Path(path), table.to_csv(index_label="code", lineterminator="\n").encode())
