"""What a truth table of our own says of itself: of which space and data it is, and how it was made.

In columns that hold the same in every row, so the file stays one plain table. Tables that were made
before, and the two that the project keeps (on the digits), are without.
"""

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from urllib.parse import quote

import pandas as pd

from padalib import data as datasets
from padalib.engine import paths
from padalib.ranking.scores import sample
from padalib.spaces import Arch, Space

DIGITS = 16  # of the data's hash


@dataclass(frozen=True)
class About:
    """One table: its space and data by name, and what it holds of the space."""

    space: str
    data: str  # a name that `data.load` knows
    data_hash: str  # of the images and labels: a folder's name says little about what is in it
    drawn: int  # so many random architectures, those of `scores.sample`; 0: all of the space
    recipe: str  # by which each was trained

    def archs(self, space: Space) -> list[Arch]:
        """The architectures of the table; ValueError where the space has fewer."""
        return sample(space, self.drawn) if self.drawn else list(space)


COLUMNS = tuple(field.name for field in fields(About))


def write(table: pd.DataFrame, about: About) -> pd.DataFrame:
    """The table with what is said of it, last."""
    return table.assign(**asdict(about))


def read(table: pd.DataFrame) -> tuple[About | None, list[str]]:
    """What a table says of itself, None where it says nothing; and what is wrong with that."""
    held = [name for name in COLUMNS if name in table]
    if not held:
        return None, []
    if absent := [name for name in COLUMNS if name not in table]:
        return None, [f"of the columns {', '.join(COLUMNS)} it lacks {', '.join(absent)}"]
    said = {name: sorted(set(table[name].astype(str))) for name in COLUMNS}
    mixed = [f"{name} is {' and '.join(own[:3])}" for name, own in said.items() if len(own) != 1]
    if mixed:
        return None, [f"its rows are of several tables: {'; '.join(mixed)}"]
    one = {name: own[0] for name, own in said.items()}
    if not one["drawn"].isdecimal():
        return None, [f"drawn must be a whole number, got {one['drawn']!r}"]
    return About(**one | {"drawn": int(one["drawn"])}), []


def digest(data: str) -> str:
    """The hash of a data set, as a table holds it."""
    return datasets.fingerprint(data)[:DIGITS]


def place(space: str, data: str) -> Path:
    """Where `padalib truth` writes the table of a space on a data set: '<space>@<data>.csv'.

    No two pairs of names have one place: what is no letter, digit or one of '_.-~' is written as
    in addresses of the web.
    """
    name = "@".join(quote(part, safe="") for part in (space, data))
    return paths.project_root() / "build" / "truth" / f"{name}.csv"


def made(space: str) -> list[Path]:
    """The tables of a space that `padalib truth` has written, on whatever data."""
    one = place(space, "")
    return sorted(one.parent.glob(f"{one.stem}*.csv"))


def changed(told: About) -> bool:
    """Whether the data set of that name holds other images now; not where it is gone."""
    try:
        return digest(told.data) != told.data_hash
    except FileNotFoundError:
        return False


def edited(space: Space, table: pd.DataFrame, some: int = 5) -> bool:
    """Whether options cost other numbers of weights than in the table, by some of its rows.

    By differences, for what all have in common depends on the images.
    """
    rows = table.params.iloc[:: max(1, len(table) // some)]
    now = [space.params(space.parse(code)) for code in rows.index]
    return any(new - now[0] != old - rows.iloc[0] for new, old in zip(now, rows, strict=True))
