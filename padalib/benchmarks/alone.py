"""Makes a truth table of our own: every architecture of a space trained alone, with each seed.

`padalib truth` calls it; `truth` has the columns.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from padalib import spaces
from padalib.benchmarks import checks
from padalib.benchmarks.tables import SPLITS
from padalib.engine import launch
from padalib.engine.runs import write_bytes
from padalib.ranking.scores import ScoreConfig
from padalib.ranking.vectors import few
from padalib.spaces import Space
from padalib.train import TrainConfig

# Every architecture alone: twelve epochs leave the best at 95 % of the test images right and
# rising by less than a point an epoch; running statistics, as the benchmark's networks have.
ALONE = {"epochs": 12, "batch": 128, "lr": 0.2, "bn": "running"}


def build(
    space: Space | str = "mini",
    seeds: Sequence[int] = (0, 1, 2),
    workers: int | None = None,
    **recipe,
) -> pd.DataFrame:
    """Train every architecture of a space alone, with each seed, and make the table of them.

    Architectures that differ on dead edges only are one and the same network, so they share the
    run. Resumable; finished runs are reused. Raises RunError when runs fail.
    """
    space = spaces.get(space) if isinstance(space, str) else space
    configs = {
        (arch, seed): ScoreConfig(
            TrainConfig(arch=arch, seed=seed, space=space, **ALONE | recipe), splits=SPLITS
        )
        for seed in seeds
        for arch in space
    }
    rows = []
    for (arch, seed), run in zip(configs, launch.grid(configs.values(), workers), strict=True):
        scores = run.table("scores").set_index("split")
        row = {"code": space.code(arch), "seed": seed}
        for split in SPLITS:
            row[f"{split}_acc"] = scores.accuracy[split]
            row[f"{split}_loss"] = scores.loss[split]
        rows.append(row)
    return assemble(space, rows)


def assemble(space: Space, rows: Iterable[Mapping]) -> pd.DataFrame:
    """The wide table from rows {code, seed, valid_acc, valid_loss, test_acc, test_loss}.

    Rows in any order, one for every architecture and seed 0..S-1; the table is in the order of the
    space. Raises ValueError when rows are missing, doubled, foreign or unusable.
    """
    long = pd.DataFrame(list(rows))
    if absent := [column for column in ("code", "seed", *checks.QUANTITIES) if column not in long]:
        raise ValueError(f"rows lack {few(absent)}: pass one dict for each architecture and seed")
    codes = [space.code(arch) for arch in space]
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
    wide["string"] = [space.decode(arch) for arch in space]
    wide["params"] = [space.params(arch) for arch in space]
    wide["flops"] = [space.flops(arch) for arch in space]
    wide = wide[["string", *checks.own_columns(seeds)]]
    if found := checks.problems(space, wide.reset_index()):
        raise ValueError(f"cannot make a truth table of {space.name}: " + "; ".join(found))
    return wide


def save(table: pd.DataFrame, path: Path | str) -> None:
    """Writes the table as CSV, all or nothing; floats come back to the same bits."""
    write_bytes(Path(path), table.to_csv(index_label="code", lineterminator="\n").encode())
