"""Result tables: the rows of many runs in one tidy table; figures are drawn from them alone."""

import json
from collections.abc import Sequence

import pandas as pd

from padalib import launch, paths
from padalib.runs import Config, Run, RunError, identity, write_bytes


def table(
    scale: str,
    name: str,
    configs: Sequence[Config],
    redraw: bool = False,
    workers: int | None = None,
    source: str | None = None,
) -> pd.DataFrame:
    """The table `name` of a scale: from its runs (computed if need be), or as saved if `redraw`.

    Each run gives its table `source` (default: `name`); method, seed, run, recipe and torch version
    are put before its columns. `runs.csv` beside it holds each run's whole config and versions.
    Saved in `data/results/<scale>/`. RunError where `redraw` finds nothing saved.
    """
    path = paths.results_dir(scale) / f"{name}.csv"
    if not redraw:
        runs = launch.grid(configs, workers)
        rows = pd.concat([_with_origin(run, run.table(source or name)) for run in runs])
        save(scale, name, rows)
        _register(scale, runs)
    if not path.exists():
        raise RunError(f"there is no {path} to redraw from: run `make reproduce SCALE={scale}`")
    return pd.read_csv(path)


def save(scale: str, name: str, rows: pd.DataFrame) -> None:
    """Write a table; equal rows give equal bytes."""
    path = paths.results_dir(scale) / f"{name}.csv"
    write_bytes(path, rows.to_csv(index=False, lineterminator="\n").encode())


def _with_origin(run: Run, rows: pd.DataFrame) -> pd.DataFrame:
    train = getattr(run.config, "train", run.config)
    made = run.record()["versions"]
    origin = {
        "method": train.method.name,
        "seed": train.seed,
        "run": run.key,
        "recipe": identity(run.config)["recipe"],
        "torch": made["torch"],
    }
    for column, (key, value) in enumerate(origin.items()):
        rows.insert(column, key, value)
    return rows


def _register(scale: str, runs: list[Run]) -> None:
    path = paths.results_dir(scale) / "runs.csv"
    new = pd.DataFrame(
        {
            "run": run.key,
            "label": run.config.label,
            **run.record()["versions"],
            "identity": json.dumps(identity(run.config), sort_keys=True),
        }
        for run in runs
    )
    tables = [pd.read_csv(other) for other in path.parent.glob("*.csv")]
    used = {run for rows in tables if {"method", "run"} <= set(rows) for run in rows.run}
    old = pd.read_csv(path) if path.exists() else new.iloc[:0]
    old = old[old.run.isin(used - set(new.run))]  # what no table holds any more is forgotten
    save(scale, "runs", pd.concat([old, new]).sort_values(["label", "run"]))
