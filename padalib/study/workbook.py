"""The tables, figures and claims of one scale: computed here, or read as published and redrawn.

Everything is written to `build/<scale>/` (`redrawn/` in it where nothing is computed); committed
files are read only.
"""

import json
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace
from functools import cache
from pathlib import Path

import pandas as pd
from filelock import FileLock
from IPython.display import Markdown
from matplotlib.figure import Figure

from padalib.benchmarks import truth
from padalib.engine import launch, paths
from padalib.engine.files import read_table
from padalib.engine.runs import Config, Run, RunError, identity, write_bytes
from padalib.ranking import metrics
from padalib.spaces import Arch
from padalib.study import claims, figures, scales


class Workbook:
    """One scale, opened: `scale` is its `Scale`; tables and figures lie in `folder`.

    Raises ValueError for an unknown scale, for `redraw` or `workers` of another type than they
    should be, and where the scale needs a machine that this one is not.
    """

    def __init__(self, scale: str, redraw: bool = False, workers: int | None = None) -> None:
        if not isinstance(redraw, bool):
            raise ValueError(f"redraw must be True or False, got {redraw!r}")
        if workers is not None and (isinstance(workers, bool) or not isinstance(workers, int)):
            raise ValueError(f"workers must be a whole number or None, got {workers!r}")
        self.name, self.suffix = scale, ""  # the suffix is that of all it writes
        self.scale, self.redraw, self.workers = scales.get(scale), redraw, workers
        if not redraw:
            self.scale.check_machine()
        self.folder = paths.own_folder(scale, redraw)

    @property
    def beside(self) -> list["Workbook"]:
        """The same of each space that the scale shows beside its own.

        Their files lie in the same folder and end in `_chain` or the like.
        """
        return [self._of(scale) for scale in self.scale.beside]

    def _of(self, scale: scales.Scale) -> "Workbook":
        other = copy(self)
        other.scale, other.suffix = scale, "_" + scale.name.rpartition("-")[2]
        return other

    def __repr__(self) -> str:
        how = "redrawn from the published tables" if self.redraw else "computed here"
        return f"Workbook({self.scale.name!r}, {how}, in {self.folder})"

    # --- tables ---

    def table(
        self,
        name: str,
        configs: Sequence[Config],
        source: str | None = None,
        columns: Callable[[Config], dict] | None = None,
        workers: int | None = None,
    ) -> pd.DataFrame:
        """The table `name`: from its runs (computed if need be), or as published when redrawing.

        Each run gives its table `source` (default: `name`); method, seed, the split it learnt from
        and the run's key are put before its columns, and what `columns` says of its config after
        them. `runs.csv` beside it holds each run's whole config, recipe and versions. `workers`
        overrides the workbook's: timings must have the machine for themselves.
        """
        if self.redraw:
            return self.published(name)
        if not configs:
            raise ValueError(
                f"table {name} needs at least one config, got none: scale {self.scale.name} has no "
                "such runs, so open a notebook of its own, or this one at another scale"
            )
        runs = self._computed(configs, self.workers if workers is None else workers)
        own = [_with_origin(run, run.table(source or name)) for run in runs]
        if columns is not None:
            own = [rows.assign(**columns(r.config)) for rows, r in zip(own, runs, strict=True)]
        rows = self.save(name, pd.concat(own))
        self._register(runs)
        return rows

    def side_by_side(
        self,
        name: str,
        configs: Sequence[Config],
        source: str,
        index: str,
        value: Callable[[pd.DataFrame], pd.Series],
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Tables of many runs that have the same rows, one column each: (runs, values).

        `values` has the column `index` of the runs' table `source` as its index, and under each
        run's key the `value` of its rows. `runs`, the table `<name>_runs`, says whose they are, and
        what all rows of each have in common. ValueError where a run has other rows.
        """
        if self.redraw:
            return self.published(f"{name}_runs"), self.published(name).set_index(index)
        runs = self._computed(configs, self.workers)
        own = {run.key: run.table(source).set_index(index) for run in runs}
        rows = next(iter(own.values())).index
        for run in runs:
            if not own[run.key].index.equals(rows):
                raise ValueError(f"{run.config.label} ({run.key}) has other rows than the others")
        values = pd.DataFrame({key: value(table) for key, table in own.items()})
        origins = [_with_origin(run, _constant(own[run.key])) for run in runs]
        origins = self.save(f"{name}_runs", pd.concat(origins))
        values = self.save(name, values.reset_index()).set_index(index)
        self._register(runs)
        return origins, values

    def _computed(self, configs: Sequence[Config], workers: int | None) -> list[Run]:
        """The runs of configs; FileNotFoundError says what else the scale needs."""
        try:
            return launch.grid(configs, workers)
        except FileNotFoundError as error:
            own = self.scale
            raise FileNotFoundError(
                f"{error}. Scale {own.name} needs the images of {own.data}, and the truth of "
                f"{own.space.name}: data/README.md says where to get both. Scale 'smoke' needs "
                "nothing"
            ) from error

    def save(self, name: str, rows: pd.DataFrame) -> pd.DataFrame:
        """Write a table and read it back; equal rows give equal bytes."""
        path = self.folder / "results" / f"{name}{self.suffix}.csv"
        _write(path, rows)
        return read_table(path)

    def published(self, name: str) -> pd.DataFrame:
        """A table as committed; RunError where there is none."""
        path = paths.published_results(self.name) / f"{name}{self.suffix}.csv"
        if not path.exists():
            remedy = f"compute it with `make reproduce SCALE={self.name}`"
            if self.name == "smoke":
                remedy = "smoke is never published, so open it with redraw=False"
            raise RunError(f"no table {path} is published to redraw from: {remedy}")
        return read_table(path)

    def of_other(self, scale: str | None, table: str, name: str) -> pd.DataFrame | None:
        """A table of another scale, kept beside our own as `name`; None where there is none.

        As computed here, if of the same runs as what is published; else as published, and what was
        taken is printed. When redrawing, the copy that is published with ours.
        """
        if scale is None:
            return None
        place = paths.published_results(self.name) / f"{name}.csv"
        if not self.redraw:
            place = _other_folder(scale, table) / f"{table}.csv"
        rows = read_table(place) if place.exists() else None
        return None if rows is None else self.save(name, rows)

    def reference(
        self,
        split: str | None = None,
        archs: Sequence[Arch] | None = None,
        name: str = "reference",
    ) -> pd.DataFrame:
        """What rankings are held against: a row for each ranked architecture, or each of `archs`.

        `split` is 'test' unless said, or 'valid' where the truth has no other.
        Columns: code, accuracy (%, trained alone), ceiling, ceiling_low, ceiling_high (tau of two
        noisy tables: `Truth.agreement`), ceiling_basis, source, dataset, split. From the truth
        table, or as published when redrawing. Derived from these: perfect, perfect_low and
        perfect_high, the tau that a perfect predictor reaches.
        """
        if self.redraw:
            rows = self.published(name)
        else:
            known = truth.load(self.scale.space, dataset=self.scale.truth)
            truth.check_dataset(known, self.scale.data)
            split = split or known.main_split
            archs = self.scale.ranked_archs() if archs is None else archs
            codes = [self.scale.space.code(arch) for arch in archs]
            accuracy = known.accuracy(split)[codes].to_numpy()
            rows = pd.DataFrame({"code": codes, "accuracy": accuracy})
            rows[["ceiling", "ceiling_low", "ceiling_high"]] = known.agreement(split, codes)
            rows["ceiling_basis"] = known.agreement_basis
            rows["source"], rows["dataset"], rows["split"] = known.source, known.dataset, split
        rows = self.save(name, rows)
        ends = ("", "_low", "_high")
        return rows.assign(**{f"perfect{e}": metrics.perfect(rows[f"ceiling{e}"]) for e in ends})

    def _register(self, runs: list[Run]) -> None:
        """Add runs to `runs.csv`, and forget those that no table holds any more."""
        folder = self.folder / "results"
        new = pd.DataFrame(
            {
                "run": run.key,
                "label": run.config.label,
                **run.record()["versions"],
                "identity": json.dumps(identity(run.config), sort_keys=True),
            }
            for run in runs
        )
        with FileLock(folder / ".runs.lock"):  # two notebooks may save at the same moment
            stamps = [(other, other.stat().st_mtime_ns) for other in folder.glob("*.csv")]
            used = {run for stamp in stamps for run in _used(*stamp)}
            path = folder / "runs.csv"
            old = read_table(path) if path.exists() else new.iloc[:0]
            old = old[old.run.isin(used - set(new.run))]
            _write(path, pd.concat([old, new]).sort_values(["label", "run"]))

    # --- figures and claims ---

    def show(self, figure: Figure, name: str, table: pd.DataFrame, caption: str) -> None:
        """Write `figures/<name>.{png,svg,csv}` (the csv being what is plotted) and display it."""
        figures.save(figure, self.folder / "figures", name + self.suffix, table, caption)

    def conclude(self, notebook: str, found: Sequence[claims.Claim]) -> Markdown:
        """Save a notebook's claims as `claims_<NN>.csv`; returns them as text, verdicts first."""
        if self.suffix:
            found = [
                replace(
                    claim,
                    key=claim.key + self.suffix,
                    statement=f"{claim.statement} (`{self.scale.space.name}`)",
                    figure=claim.figure + self.suffix if claim.figure else "",
                )
                for claim in found
            ]
        self.save(f"claims_{notebook}", claims.table(found))
        return Markdown(claims.text(found))


@cache
def _used(path: Path, stamp: int) -> frozenset[str]:
    """The runs behind the rows of a table as it was written at `stamp`; none for other tables."""
    rows = read_table(path)
    return frozenset(rows.run if {"method", "run"} <= set(rows) else ())


def _write(path: Path, rows: pd.DataFrame) -> None:
    write_bytes(path, rows.to_csv(index=False, lineterminator="\n").encode())


def _other_folder(scale: str, table: str) -> Path:
    own, public = paths.own_folder(scale) / "results", paths.published_results(scale)
    if not (own / f"{table}.csv").exists():
        return public
    if (public / f"{table}.csv").exists() and _runs(own) != _runs(public):
        print(f"{table} of {scale} is the published one: {own} holds other runs, of older code?")
        return public
    print(f"{table} of {scale} is the one computed here, in {own}")
    return own


def _runs(folder: Path) -> set[str]:
    """The keys of the runs behind a folder of tables."""
    path = folder / "runs.csv"
    return set(read_table(path).run) if path.exists() else set()


def _constant(rows: pd.DataFrame) -> pd.DataFrame:
    """The columns in which all rows are alike, as one row."""
    return rows.loc[:, rows.nunique() == 1].iloc[:1].reset_index(drop=True)


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
