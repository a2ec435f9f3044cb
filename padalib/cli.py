"""The command line: `padalib <command>`, the same as `python -m padalib <command>`.

A command is a function below `@command`; what it needs is imported inside, so that nothing heavy is
loaded for a command that does without.
"""

import argparse
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from padalib import __version__

VARIABLES = {
    "PADALIB_DATA": "the data root: images, runs, caches (default: data/ in the project)",
    "PADALIB_WORKERS": "processes that train (default: one a core)",
    "PADALIB_DEVICE": "where supernets train, such as cpu or cuda",
    "PADALIB_FORCE": "1 starts a scale that this machine is too slow for",
    "PADALIB_HEADLESS": "1 prints lines of progress instead of a bar",
}
NOTHING_LOST = (
    "stopped; nothing is lost: finished runs are kept, a cut one goes on from its last checkpoint "
    "when you run the same command again"
)


@dataclass(frozen=True)
class Command:
    """One subcommand: what `--help` says of it, its arguments, and what it does."""

    summary: str
    examples: str
    arguments: tuple[tuple[tuple[str, ...], dict], ...]
    call: Callable[[Namespace], int | None]


COMMANDS: dict[str, Command] = {}


def argument(*names: str, **options: object) -> tuple[tuple[str, ...], dict]:
    """An argument of a command, as argparse takes it."""
    return names, options


def command(summary: str, examples: str, *arguments: tuple[tuple[str, ...], dict]) -> Callable:
    """Make a function the subcommand of its name; it gets the parsed arguments."""

    def register(call: Callable[[Namespace], int | None]) -> Callable:
        COMMANDS[call.__name__] = Command(summary, examples, arguments, call)
        return call

    return register


def positive(text: str) -> int:
    """A whole number from 1."""
    if not (text.isascii() and text.isdecimal()) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, got {text!r}")
    return int(text)


SCALE = argument(
    "--scale",
    default="laptop",
    help="smoke, laptop (default), cifar, or another of notebooks/README.md's scales",
)
WORKERS = argument("--workers", type=positive, help="processes that train (default: one a core)")
NOTEBOOKS = argument(
    "notebooks", nargs="*", type=Path, help="files, or numbers such as 04 (default: all)"
)
VALUE = argument(
    "-p",
    nargs=2,
    action="append",
    default=[],
    metavar=("NAME", "VALUE"),
    help="a parameter of the notebooks' parameters cell",
)


@command(
    "run every notebook: train what is missing, then compare with what is published",
    "padalib run --scale smoke\npadalib run --scale cifar --workers 8\n"
    "padalib run 04\npadalib run notebooks/04_ranking.ipynb",
    SCALE,
    WORKERS,
    VALUE,
    NOTEBOOKS,
)
def run(args: Namespace) -> None:
    from padalib.commands import driver, notebooks

    check_environment()
    only = notebooks.asked(args.notebooks)
    driver.run(args.scale, False, args.workers, only, driver.parse(args.p, only))
    print()
    try:
        compare(args)
    except ValueError as error:  # a comparison that cannot be made is no failure of the run
        print(error)


@command(
    "redraw the figures from the published tables, train nothing, and compare byte for byte",
    "padalib figures\npadalib figures --scale cifar",
    SCALE,
    VALUE,
    NOTEBOOKS,
)
def figures(args: Namespace) -> None:
    from padalib.commands import driver, notebooks, reproduction
    from padalib.engine import paths
    from padalib.study import scales

    home = paths.published_results(scales.get(args.scale).name)
    if not any(home.glob("*.csv")):
        raise ValueError(f"nothing is published at scale {args.scale}, so nothing can be redrawn")
    only = notebooks.asked(args.notebooks)
    driver.run(args.scale, True, None, only, driver.parse(args.p, only))
    print("\n" + reproduction.compare_redrawn(args.scale, whole=not only))


@command(
    "check that the notebooks can be run as they are, without running them",
    "padalib check\npadalib check 00",
    NOTEBOOKS,
)
def check(args: Namespace) -> None:
    from padalib.commands import notebooks
    from padalib.engine.words import counted

    chosen = notebooks.asked(args.notebooks) or notebooks.find()
    for path in chosen:
        notebooks.check(path, {"scale": "laptop"})
    print(f"{counted(len(chosen), 'notebook')} can be run")


@command(
    "render the executed notebooks as pages, with an index of the verdicts",
    "padalib html\npadalib html --scale smoke",
    SCALE,
)
def html(args: Namespace) -> None:
    known(args.scale)
    from padalib.commands import html as pages

    print(pages.write(args.scale))


@command(
    "hold the claims computed here against the published ones",
    "padalib compare\npadalib compare --scale cifar",
    SCALE,
)
def compare(args: Namespace) -> None:
    known(args.scale)
    from padalib.commands import reproduction

    print(reproduction.compare(args.scale))


@command(
    "for maintainers: make what was computed here the published tables, figures and pages",
    "padalib publish --scale laptop\npadalib publish --scale cifar --redrawn",
    SCALE,
    argument("--redrawn", action="store_true", help="what `padalib figures` made, not `run`"),
    argument("--pages", action="store_true", help="write these pages anew, nothing else"),
)
def publish(args: Namespace) -> None:
    from padalib.commands import gallery, publishing, verdicts

    known(args.scale)
    if not args.pages:
        print("\n".join(publishing.publish(args.scale, args.redrawn)))
    else:
        publishing.pages()
    written = f"{verdicts.DETAILS} and {gallery.PAGE}"
    print(f"{written} say what is published; look at `git diff` and commit")


@command(
    "the report card of a supernet, from a CSV: code or arch, score, seed, loss",
    "padalib report scores.csv --space nasbench201 --dataset cifar10\n"
    "padalib report scores.csv --space mini",
    argument("scores", type=Path, help="a row an architecture and seed; higher scores are better"),
    argument("--space", required=True, help="its name, or your own as file.py:NAME"),
    argument("--dataset", help="of the truth, where its table holds several: cifar10, ..."),
    argument("--truth", type=Path, help="a truth table from elsewhere, see data/README.md"),
)
def report(args: Namespace) -> None:
    from padalib.commands import scorecard

    found = scorecard.read(args.scores, args.space, args.dataset, args.truth)
    print(scorecard.text(found))
    folder, replaced = scorecard.write(found)
    print(f"\nTable and figure: {folder}")
    if replaced:
        print("They replace those of other scores: give the next file another name to keep both")


@command("see to the Jupyter kernel and the git filter", "padalib setup")
def setup(args: Namespace) -> None:
    from padalib.commands import environment

    environment.set_up()


@command(
    "train the architectures of a space alone, and make its truth table",
    "padalib truth\npadalib truth mini --seeds 3 --publish\n"
    "padalib truth --space mine.py:SPACE --data photos --seeds 2\n"
    "padalib truth --space nasbench201 --data cifar10-16 --archs 200 --epochs 20",
    argument("spaces", nargs="*", help="their names (default: all whose table the project keeps)"),
    argument("--space", help="one more: a name, or one of your own as file.py:NAME"),
    argument("--data", help="digits (default), cifar10, or a folder of images in the data root"),
    argument("--seeds", type=positive, help="trainings of each (default: as published, else 3)"),
    argument("--archs", type=positive, help="so many architectures, at random (default: all)"),
    argument("--epochs", type=positive, help="of each training (default: 12)"),
    argument("--lr", type=float, help="learning rate at the start (default: 0.2)"),
    WORKERS,
    argument("--publish", action="store_true", help="for maintainers: make it the published one"),
)
def truth(args: Namespace) -> None:
    from padalib.benchmarks import layouts
    from padalib.commands import truth_tables

    check_environment()
    asked = [*args.spaces, *([args.space] if args.space else [])]
    given = {"epochs": args.epochs, "lr": args.lr}
    recipe = {name: value for name, value in given.items() if value is not None}
    plain = not recipe and args.data is None and args.archs is None
    if args.publish and not (plain and set(asked) <= {*layouts.KEPT}):
        raise ValueError(
            f"only the tables of {', '.join(layouts.KEPT)}, on digits and by their own recipe, are "
            "published: leave --publish out"
        )
    truth_tables.check(asked, args.archs, args.seeds)
    for space in asked or layouts.KEPT:
        if plain and space in layouts.KEPT:
            print(truth_tables.make(space, args.seeds, args.workers, args.publish))
        else:
            own = (args.data or "digits", args.seeds, args.archs, args.workers)
            print(truth_tables.make_own(space, *own, **recipe))


@command(
    "pack all finished runs of the data root, without weights, into one file",
    "padalib pack rivals.zip",
    argument("file", type=Path, help="the zip file to write"),
)
def pack(args: Namespace) -> None:
    from padalib.engine import packs

    check_environment()
    print(packs.pack(args.file))


@command(
    "put the runs of a pack into the data root; what is there already stays",
    "padalib unpack rivals.zip",
    argument("file", type=Path, help="what `padalib pack` wrote, here or elsewhere"),
)
def unpack(args: Namespace) -> None:
    from padalib.engine import packs

    check_environment()
    print(packs.unpack(args.file))


def known(scale: str) -> None:
    """Raise ValueError unless a scale has that name; imports nothing heavy where it has run."""
    from padalib.engine import paths

    if not scale.isidentifier() or not (paths.own_folder(scale) / "results").is_dir():
        from padalib.study import scales

        scales.get(scale)


def check_environment() -> None:
    """Raise ValueError for a variable that would be ignored, such as PADALIB_WORKER."""
    odd = [name for name in os.environ if name.startswith("PADALIB_") and name not in VARIABLES]
    if odd:
        raise ValueError(
            f"the environment sets {', '.join(odd)}, which nothing reads; known are "
            f"{', '.join(VARIABLES)}"
        )


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    plain = argparse.RawDescriptionHelpFormatter
    width = max(map(len, VARIABLES))
    variables = "\n".join(f"  {name:{width}}  {what}" for name, what in VARIABLES.items())
    whole = argparse.ArgumentParser(
        prog="padalib",
        description="The PA&DA workbook. `padalib COMMAND --help` has the options and examples.",
        epilog=f"environment variables:\n{variables}",
        formatter_class=plain,
        allow_abbrev=False,
    )
    whole.add_argument("--version", action="version", version=f"padalib {__version__}")
    commands = whole.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, own in COMMANDS.items():
        examples = "examples:\n" + "\n".join(f"  {line}" for line in own.examples.splitlines())
        summary = own.summary[0].upper() + own.summary[1:] + "."
        about = {"help": own.summary, "description": summary, "epilog": examples}
        sub = commands.add_parser(name, formatter_class=plain, allow_abbrev=False, **about)
        for names, options in own.arguments:
            sub.add_argument(*names, **options)
    return whole


def main(argv: Sequence[str] | None = None) -> int:
    """Returns 0, 1 when something failed, 2 when the request was wrong, 130 when interrupted."""
    args = parser().parse_args(argv)
    try:
        return COMMANDS[args.command].call(args) or 0
    except KeyboardInterrupt as error:
        if not error.args:  # a grid of runs has said so itself
            print(f"\n{NOTHING_LOST}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever reads, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except RuntimeError as error:
        if not type(error).__module__.startswith("padalib."):
            raise
        print(f"error: {error}", file=sys.stderr)
        return 1
