"""Truth tables: the accuracy of every architecture of a space, trained alone.

A table has one row per architecture, indexed by `code` ("3-0-2"), with the columns `string` and
accuracy (%) on validation and test: `valid_acc_<seed>`, or `valid_acc` where only means over seeds
are known. Tables of our own (made by `alone`) have seeds 0..S-1, mean losses too, `params` and
`flops`; the benchmark's have its own number of each architecture, `index`, where the file tells it.

Codes number the operations of one space. `compare` holds scores from anywhere against a table.
"""

import math
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from padalib import data as datasets
from padalib import spaces
from padalib.benchmarks import about, given, layouts, matching, registry, tables
from padalib.benchmarks.checks import seeds_of
from padalib.benchmarks.matching import Comparison
from padalib.benchmarks.tables import SPLITS
from padalib.data import images
from padalib.engine import paths
from padalib.ranking import metrics
from padalib.ranking.vectors import few
from padalib.spaces import Space

OWN = "trained alone here"


@dataclass(frozen=True, eq=False)
class Truth:
    """The truth table of a space on one dataset; see the module for the columns."""

    space: str
    dataset: str
    table: pd.DataFrame
    source: str = OWN  # short, for tables and labels of figures
    benchmark: str | None = None  # whose table it is; None: our own

    @property
    def told(self) -> about.About | None:
        """What a table of our own says of itself, if it does."""
        return about.read(self.table)[0]

    @property
    def seeds(self) -> list[int]:
        """The seeds that architectures were trained with; none where only means are known."""
        return seeds_of(self.table)

    def per_seed(self, split: str = "test") -> pd.DataFrame:
        """[A, S] accuracies in %, indexed by code, one column per seed.

        NaN where an architecture lacks a seed, which happens in the NATS-Bench archive only.
        """
        if split not in SPLITS:
            raise ValueError(f"unknown split {split!r}: choose one of {', '.join(SPLITS)}")
        columns = {f"{split}_acc_{seed}": seed for seed in self.seeds}
        held = [column for column in columns if column in self.table]
        if not held:
            self._refuse_absent(split)
            raise ValueError(
                f"the table ({self.source}) has no {split} accuracies seed by seed on "
                f"{self.dataset}: take the means, `accuracy`"
            )
        return self.table[held].rename(columns=columns)

    def accuracy(self, split: str = "test") -> pd.Series:
        """[A] accuracy in %, the mean over seeds, indexed by code; `<dataset>_<split>_acc`."""
        if split in SPLITS and not self.seeds:
            self._refuse_absent(split)
            acc = self.table[f"{split}_acc"]
        else:
            acc = self.per_seed(split).mean(axis=1)
        return acc.rename(f"{self.dataset}_{split}_acc")

    @property
    def main_split(self) -> str:
        """What rankings are held against: test, or validation where nothing else is known."""
        return self._splits[-1]

    @property
    def listed(self) -> list[str]:
        """Codes of one architecture of each training: what to rank where the rest is unknown."""
        if "trained" not in self.table:
            return list(self.table.index)
        return list(self.table.index[~self.table["trained"].duplicated()])

    def of(self, space: Space, codes: Iterable[str], split: str) -> pd.Series:
        """`accuracy` of those of `codes` whose accuracy is known, in their order.

        Where a table holds a part of `space` only, others are left out; an architecture that it
        does not name, but trained as another, has the accuracy of that. ValueError if none is
        known.
        """
        acc = self.accuracy(split)
        found = acc.reindex(pd.Index(codes, name="code"))
        if "trained" in self.table and found.isna().any():
            of_training = acc.groupby(self.table["trained"]).first()
            keys = [space.truth_key(space.parse(code)) for code in found.index]
            found = found.fillna(pd.Series(of_training.reindex(keys).to_numpy(), found.index))
        if found.isna().all():
            raise ValueError(
                f"none of the {len(found):,} architectures is known to {self.source}: score those "
                "that are, `Truth.listed`"
            )
        return found.dropna()

    def agreement(
        self, split: str = "test", codes: Iterable[str] | None = None
    ) -> tuple[float, float, float]:
        """(estimate, low, high): tau between this table and one made anew; NaN if unknown.

        Of all architectures or of `codes`, one of each training, on `agreement_basis`:
        `metrics.agreement` of those with all seeds; else tau with a second table and its bootstrap
        over architectures. Both sides are noisy, so this is no limit for a predictor: see
        `perfect`. Beyond 2,000 architectures an interval rests on 400 draws, not 1,000: seconds,
        not minutes.
        """
        acc = self.accuracy(split)
        if codes is not None:
            codes = list(codes)
            if unknown := [code for code in codes if code not in acc.index]:
                raise ValueError(
                    f"{few(unknown)} not in the truth table of {self.space}: pass codes such as "
                    f"{acc.index[0]!r}"
                )
            acc = acc.loc[codes]
        if "trained" in self.table:  # two of one training agree with a second table as one does
            acc = acc[~self.table.loc[acc.index, "trained"].duplicated()]
        draws = 1000 if len(acc) <= metrics.COUNTS_UP_TO else 400
        if self.seeds:
            complete = self.per_seed(split).loc[acc.index].dropna()
            return metrics.agreement(complete.to_numpy(), draws)
        _, second = self._second(split)
        if second is None:
            return (math.nan,) * 3
        pair = acc, second.loc[acc.index]
        return metrics.tau(*pair), *metrics.bootstrap(metrics.tau, *pair, draws=draws)

    def perfect(
        self, split: str = "test", codes: Iterable[str] | None = None
    ) -> tuple[float, float, float]:
        """(estimate, low, high): tau that a perfect predictor reaches; `metrics.perfect`.

        That of two equally noisy tables that agree as `agreement` says. Where the second table is
        noisier than this one, or made in another way, it is more than this; where both share their
        trainings, less.
        """
        return tuple(map(float, metrics.perfect(self.agreement(split, codes))))

    @property
    def agreement_basis(self) -> str:
        """What `agreement` rests on, short, for the label of a figure."""
        if not self.seeds:
            return self._second(self._splits[-1])[0]
        basis = f"agreement of {len(self.seeds)} seeds"
        complete = len(self.per_seed().dropna())
        if complete < len(self.table):
            basis += f" ({complete:,} of {len(self.table):,} architectures)"
        return basis

    @property
    def _splits(self) -> list[str]:
        return [split for split in SPLITS if not self.table.filter(like=f"{split}_acc").empty]

    def _refuse_absent(self, split: str) -> None:
        if split not in (held := self._splits):
            others = f"{', '.join(held)}, so pass split={held[-1]!r}" if held else "none"
            raise ValueError(
                f"the table ({self.source}) has no {split} accuracies on {self.dataset}: it has "
                f"{others}"
            )

    @cached_property
    def _retrained(self) -> pd.Series | None:
        """Accuracies of an independent retraining, where one is at hand."""
        path = tables.retraining()
        if (self.benchmark, self.dataset) != ("nasbench201", "cifar10") or path is None:
            return None
        if self.source == tables.RETRAINING:
            return None
        _, other = tables.read(path)
        return self.table["string"].map(other.set_index("string")["cifar10_test"])

    def _second(self, split: str) -> tuple[str, pd.Series | None]:
        """What to hold the means of a split against: what it is, and its accuracies."""
        if self._retrained is not None:
            return "agreement with an independent retraining", self._retrained
        if len(self._splits) < len(SPLITS):
            return "unknown: every architecture was trained once", None
        (other,) = set(SPLITS) - {split}
        if self.dataset == "cifar10":
            basis = "agreement of trainings on 25,000 (valid) and on 50,000 images (test)"
        else:
            basis = "agreement of validation and test images, same trainings (image noise only)"
        return basis, self.accuracy(other)


def load(space: Space | str, path: Path | str | None = None, dataset: str | None = None) -> Truth:
    """The truth table of `space`, in its order; architectures are matched by `space.decode`.

    `mini` has the project's own, `data/truth/mini.csv`, on the digits. Spaces of NAS-Bench-201's
    cells take `dataset` (cifar10, cifar100, imagenet16-120) from the first of these that the data
    root holds: the archive `NATS-tss-v1_0-3ffb9-simple/`, `nasbench201.csv`,
    `nasbench201_dict.npy`, else from the installed package analog-nasbench; `tables` says what is
    in them. `path` takes one of these, or a table of our own format, from elsewhere. A space with
    fewer operations takes its part of the table.

    Raises FileNotFoundError when there is none, and ValueError that lists what is wrong with it:
    columns, missing, duplicate or foreign architectures, wrong strings, unusable numbers.
    """
    space = spaces.get(space) if isinstance(space, str) else space
    reader = registry.reader_of(space)
    if path is not None:
        path = Path(path)
        if not path.exists():
            raise FileNotFoundError(f"no truth table of {space.name} at {path}")
        own = layouts.is_own(path, reader)
    elif own := space.benchmark is None:
        whole = layouts.whole_of(space)
        path = layouts.own_path(whole)
        if whole.name in layouts.KEPT and whole is not spaces.get(whole.name):
            raise FileNotFoundError(
                f"the truth table of {whole.name} is of another space of that name: give yours a "
                "name of its own, train its architectures alone with "
                "`alone.save(alone.build(space), path)`, and pass that path="
            )
        if dataset not in (None, "digits"):
            raise ValueError(
                f"the truth table of {space.name} is on digits, got dataset={dataset!r}"
            )
    else:
        path = reader.find(paths.data_root())
    if own:
        table = layouts.read_own(space, path, reader)
        told, _ = about.read(table)
        if told and dataset and _source(dataset) != _source(told.data):
            raise ValueError(
                f"the truth table {path} is on {told.data!r}, got dataset={dataset!r}: leave it out"
            )
        if told and space.name not in spaces.SPACES and about.edited(space, table):
            warnings.warn(
                f"the networks of {path} are not those that {space.name} makes now, by their "
                "numbers of weights: it was edited since. Make it again with `padalib truth`",
                stacklevel=2,
            )
        return Truth(spaces.label(space), told.data if told else dataset or "digits", table)
    if dataset is None and len(reader.SIDES) == 1:
        (dataset,) = reader.SIDES
    source, table = reader.read(path, space, dataset)
    return Truth(spaces.label(space), dataset, table, source, space.benchmark)


def compare(
    scores: Any,
    space: Space | str | None = None,
    dataset: str | None = None,
    split: str | None = None,
    *,
    by: str | None = None,
    on: str | None = None,
    archs: Iterable | None = None,
    notation: str | None = None,
    path: Path | str | None = None,
) -> Comparison:
    """Scores from anywhere beside the true accuracies of the same architectures.

    `scores` is a finished run of a `ScoreConfig`, which says of what space and data it is; or a
    Series or dict by architecture, a frame with a column of them, JSON of either (text, a file, or
    several files), or a plain vector with `archs`. Higher is better. Architectures may be written
    as codes or tuples of `space`, as the benchmark's strings or genotypes, or, if you say
    `notation="index"`, as its own numbers (where the table tells them; a vector is then in its
    order, which is not ours). Any part of a space will do.

    `by` is the column that scores ('accuracy'; one that is called a loss counts negatively); `on`
    the split that a run scored on, where there are several; `split` that of the truth: test, or
    validation where nothing else is known, unless said. `dataset` is what a run was trained on,
    unless said (then a difference warns), and must be said of the benchmark's spaces otherwise;
    `path` as in `load`.

    Raises ValueError for scores that cannot be matched one to one, or rank nothing.
    """
    found = given.read(scores, by, on, archs, notation, space)
    space = matching.space_of(found, space)
    # A file of ours is asked itself of what data it is.
    told = path is None or not layouts.is_own(Path(path), registry.reader_of(space))
    if dataset is None and found.data is not None and told:
        try:
            known = load(space, path, _source(found.data))
        except ValueError as error:
            raise ValueError(f"{found.name} was trained on {found.data!r}: {error}") from error
    else:
        known = load(space, path, dataset)
        if found.data is not None:
            check_dataset(known, found.data)
    pred = matching.match(found, space, known.table.get("index"))
    split = known.main_split if split is None else split
    true = known.of(space, pred.index, split)
    return Comparison(
        pred[true.index],
        true,
        name=found.name,
        notation=found.notation,
        space=known.space,
        dataset=known.dataset,
        split=split,
        source=known.source,
        total=len(known.table),
        classes=matching.classes(space, true.index),
        unknown=len(pred) - len(true),
    )


def check_dataset(truth: Truth, data: str) -> None:
    """Warns when networks trained on `data` are held against a truth on other data.

    Images of another size are the same data ("cifar10-16" is "cifar10"), and so is the part of
    them that the smoke scale takes ("digits-small"). Users met tau near 0.1 this way.
    """
    if _source(data) != _source(truth.dataset):
        warnings.warn(
            f"the supernet was trained on {data!r} and the truth ({truth.source}) is on "
            f"{truth.dataset!r}: tau between them says little about the supernet. Load the truth "
            "with the dataset= that you train on",
            stacklevel=2,
        )
    elif truth.told and data == truth.dataset and about.changed(truth.told):
        warnings.warn(
            f"the images of {data!r} are not those that the truth was made on: they have changed "
            "since, or are others of that name. Make the table again with `padalib truth`",
            stacklevel=2,
        )


def _source(data: str) -> str:
    """The data set that a name stands for, whatever the size of its images or its part."""
    if data in registry.SIDES:
        return data
    if data in datasets.DATASETS:
        return data.removesuffix("-small")
    base, size = images.split_name(data)
    # What cannot be averaged to that size is no smaller version of it, whatever its name.
    return data if size is None or size > 999 or registry.SIDES.get(base, size) % size else base
