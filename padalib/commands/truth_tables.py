"""Truth tables of our own, made here and, by maintainers, published; and readers' own."""

import math
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from padalib import data as datasets
from padalib import spaces
from padalib.benchmarks import about, alone, layouts, truth
from padalib.benchmarks.layouts import LARGEST
from padalib.commands import named
from padalib.engine import paths
from padalib.spaces import Space

SEEDS = 3  # of each architecture, where no table says how many
LEARNT = 0.1  # of the way from guessing to all right, that the best network should have gone


def check(asked: Iterable[str], drawn: int | None = None, seeds: int | None = None) -> None:
    """ValueError for an unknown or too large space, or too many seeds, before any is trained."""
    alone.check_seeds(range(seeds or SEEDS))
    for each in asked:
        _check_size(named.space(each), drawn or 0)


def make(
    name: str, seeds: int | None = None, workers: int | None = None, publish: bool = False
) -> str:
    """Train every architecture of a space alone and write `build/truth/<name>.csv`; says how good.

    With `publish` the table also becomes `data/truth/<name>.csv`. ValueError for a space that is
    too large for it.
    """
    space = spaces.get(name)
    _check_size(space, 0)
    own, home = paths.project_root() / "build" / "truth" / f"{name}.csv", layouts.own_path(space)
    if seeds is None:
        seeds = len(truth.load(space).seeds) if home.exists() else SEEDS
    table = alone.build(name, range(seeds), workers)
    table = table.drop(columns=about.COLUMNS, errors="ignore")  # its place says it
    alone.save(table, own)
    said = _said(space, own)
    if publish:
        alone.save(table, home)
        said.append(f"published as {home}")
    elif home.exists():
        same = own.read_bytes() == home.read_bytes()
        said.append(f"the published table {home} {'is the same' if same else 'differs'}")
    return "\n".join(said)


def make_own(
    asked: str,
    data: str = "digits",
    seeds: int | None = None,
    drawn: int | None = None,
    workers: int | None = None,
    **recipe: Any,
) -> str:
    """The truth of any space (a name, or `file.py:NAME`) on any data set; says where, how good.

    Written to `about.place`. The space is fitted to the images. `drawn`: so many architectures at
    random (default: all); `recipe`: what differs from `alone.ALONE`. ValueError or
    FileNotFoundError that says what to do, before anything is trained.
    """
    space, seeds = named.space(asked), seeds or SEEDS
    datasets.check(data)
    _check_size(space, drawn or 0)
    images = datasets.load(data)["train"]
    fitted = datasets.fitted(space, images)
    spaces.check(fitted)
    _check_place(fitted, about.place(space.name, data))
    recipe = {"batch": min(alone.ALONE["batch"], len(images))} | recipe
    count, path = drawn or space.architectures, about.place(space.name, data)
    changes = [
        f"{field} {getattr(fitted, field)}"
        for field in ("in_channels", "size", "classes_out")
        if getattr(fitted, field) != getattr(space, field)
    ]
    print(
        f"{space.name} on {data}: {count:,} of {space.architectures:,} architectures, each alone, "
        f"{seeds} seed{'s' * (seeds > 1)}"
        + (", drawn at random, always the same" if drawn and count < space.architectures else "")
        + (f"; for these images with {', '.join(changes)}" if changes else ""),
        flush=True,
    )
    table = alone.build(fitted, range(seeds), workers, drawn or 0, data=data, **recipe)
    alone.save(table, path)
    use = shlex.join(["padalib", "report", "scores.csv", "--space", asked, "--truth", str(path)])
    return "\n".join([*_said(fitted, path), f"use it: {use}"])


def _check_size(space: Space, drawn: int) -> None:
    if drawn > space.architectures:
        raise ValueError(
            f"{space.name} has {space.architectures:,} architectures, got --archs {drawn}"
        )
    if not drawn and space.architectures > LARGEST:
        raise ValueError(
            f"{space.name} has {space.architectures:,} architectures, too many to train each alone "
            f"(at most {LARGEST:,}): draw some, such as --archs 200. A published benchmark may "
            "have its truth, see data/README.md"
        )


def _check_place(space: Space, path: Path) -> None:
    """ValueError where the table that it would replace is none of this space."""
    if path.exists():
        try:
            truth.load(space, path)
        except ValueError as error:
            raise ValueError(
                f"{path} is there, and is no table of this {space.name} ({error}): give the space "
                "another name, or move that table away"
            ) from error


def _said(space: Space, path: Path) -> list[str]:
    """How good the table at `path` is."""
    known = truth.load(space, path)
    seeds = len(known.seeds)
    said = [f"{path}: {len(known.table)} architectures, {seeds} seed{'s' * (seeds > 1)}"]
    best, chance = known.accuracy("test").max(), 100 / space.classes_out
    if best < chance + LEARNT * (100 - chance):
        said.append(
            f"the best network has {best:.1f} % of the test images right, guessing {chance:.1f} %: "
            "they have hardly learnt, so train for longer, such as --epochs 30"
        )
    if seeds < 2:
        said.append("one seed cannot tell how sure its ranking is: take --seeds 2 or more")
        return said
    # One of each class: members that share a run would agree perfectly.
    one: dict = {}
    for code in known.table.index:
        one.setdefault(space.canonical(space.parse(code)), code)
    codes = list(one.values())
    for what, found in (("another table", known.agreement), ("perfect scores", known.perfect)):
        tau, low, high = found("test", codes)
        if math.isnan(tau):
            said.append("the trainings order nothing: train for longer, such as --epochs 30")
            break
        said.append(f"tau with {what} like it {tau:.3f} [{low:.3f}, {high:.3f}]")
        if low <= 0:
            said.append("so they order nothing for certain: train for longer, or with more --seeds")
            break
    return said
