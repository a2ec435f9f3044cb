"""Result tables: the rows of many runs in one tidy table; figures are drawn from them alone."""

import json
from collections.abc import Callable, Sequence

import pandas as pd

from padalib.benchmarks import truth
from padalib.engine import launch, paths
from padalib.engine.runs import Config, Run, RunError, identity, write_bytes
from padalib.study.scales import Scale


def table(
    scale: str,
    name: str,
    configs: Sequence[Config],
    redraw: bool = False,
    workers: int | None = None,
    source: str | None = None,
    columns: Callable[[Config], dict] | None = None,
) -> pd.DataFrame:
    """The table `name` of a scale: from its runs (computed if need be), or as saved if `redraw`.

    Each run gives its table `source` (default: `name`); method, seed, the split it learnt from and
    the run's name are put before its columns, and what `columns` says of its config after them.
    `runs.csv` beside it holds each run's whole config, recipe and versions.
    Saved in `data/results/<scale>/`. RunError where `redraw` finds nothing saved.
    """
    path = paths.results_dir(scale) / f"{name}.csv"
    if not redraw:
        runs = launch.grid(configs, workers)
        own = [_with_origin(run, run.table(source or name)) for run in runs]
        if columns is not None:
            pairs = zip(own, runs, strict=True)
            own = [rows.assign(**columns(run.config)) for rows, run in pairs]
        rows = pd.concat(own)
        save(scale, name, rows)
        _register(scale, runs)
    if not path.exists():
        raise RunError(f"there is no {path} to redraw from: run `make reproduce SCALE={scale}`")
    return pd.read_csv(path)


def reference(scale: str, study: Scale, redraw: bool = False, split: str = "test") -> pd.DataFrame:
    """What rankings of a scale are held against: a row for each ranked architecture.

    Columns: code, accuracy (%, trained alone), ceiling, ceiling_low, ceiling_high (tau),
    ceiling_basis, source, dataset, split. Read from the truth table, or as saved if `redraw`.
    Warns where the truth is of another data set than the supernets learn from.
    """
    if not redraw:
        known = truth.load(study.space, dataset=study.truth)
        truth.check_dataset(known, study.data)
        codes = [study.space.code(arch) for arch in study.ranked_archs()]
        rows = pd.DataFrame({"code": codes, "accuracy": known.accuracy(split)[codes].to_numpy()})
        names = ("ceiling", "ceiling_low", "ceiling_high")
        rows[list(names)] = known.agreement(split, codes)
        rows["ceiling_basis"] = known.agreement_basis
        rows["source"], rows["dataset"], rows["split"] = known.source, known.dataset, split
        save(scale, "reference", rows)
    return table(scale, "reference", [], redraw=True)


def save(scale: str, name: str, rows: pd.DataFrame) -> None:
    """Write a table; equal rows give equal bytes."""
    path = paths.results_dir(scale) / f"{name}.csv"
    write_bytes(path, rows.to_csv(index=False, lineterminator="\n").encode())


def _with_origin(run: Run, rows: pd.DataFrame) -> pd.DataFrame:
    train = getattr(run.config, "train", run.config)
    origin = {
        "method": "alone" if train.arch else train.method.name,
        "seed": train.seed,
        "trained_on": train.train_split,
        "run": run.key,
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
