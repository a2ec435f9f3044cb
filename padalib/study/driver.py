"""The notebooks' driver: `python -m padalib.study.driver run|check|html|setup`.

Every notebook is checked before any is run: papermill ignores a parameter that no cell declares and
exits 0, so a misspelt name would give the default's results under another name.
"""

import argparse
import ast
import logging
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat

from padalib.engine.paths import figures_dir, project_root

KERNEL = "python3"
# What papermill and Jupyter write beside the outputs, and nbstripout keeps unless told.
EXTRA_KEYS = "metadata.papermill metadata.language_info.version cell.metadata.papermill"


class NotebookError(ValueError):
    """A notebook, or a request about notebooks, that cannot be run as it is."""


class CellError(RuntimeError):
    """A notebook that was run and stopped before its end."""


def find() -> list[Path]:
    """The project's notebooks, `notebooks/NN_*.ipynb`, in order."""
    folder = project_root() / "notebooks"
    if found := sorted(folder.glob("[0-9][0-9]_*.ipynb")):
        return found
    raise NotebookError(f"no NN_*.ipynb in {folder}; run this from a clone of the project")


def read(path: Path) -> nbformat.NotebookNode:
    """A notebook that follows the nbformat schema, cell ids included."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # nbformat mends a missing id with a warning
            notebook = nbformat.v4.reads_json(path.read_text(encoding="utf-8"))
            nbformat.validate(notebook, version=4)
    except OSError as error:
        raise NotebookError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, AttributeError, nbformat.ValidationError, Warning) as error:
        reason = str(error).partition("\n")[0]
        raise NotebookError(f"{path.name} is not a valid notebook: {reason}") from error
    return notebook


def declared(path: Path) -> dict[str, Any]:
    """Names and defaults in the cell tagged `parameters`; `x = 3` and `x: int = 3` both count."""
    cells = [c for c in read(path).cells if "parameters" in c.metadata.get("tags", [])]
    if len(cells) != 1 or cells[0].cell_type != "code":
        raise NotebookError(
            f"{path.name} has {len(cells)} cells tagged `parameters`, needs exactly one, of code; "
            "set or remove the tag in JupyterLab's property inspector"
        )
    names: dict[str, Any] = {}
    wrong = f"{path.name}: its parameters cell may hold only comments and `name = literal`, not"
    try:
        statements = ast.parse(cells[0].source).body
    except SyntaxError as error:
        raise NotebookError(f"{wrong} `{(error.text or '').strip()}`") from error
    for statement in statements:
        target = statement.targets[0] if isinstance(statement, ast.Assign) else None
        target = statement.target if isinstance(statement, ast.AnnAssign) else target
        try:
            names[target.id] = ast.literal_eval(statement.value)
        except (AttributeError, TypeError, ValueError) as error:
            raise NotebookError(f"{wrong} `{ast.unparse(statement)}`") from error
    return names


def check(path: Path, parameters: Iterable[str]) -> None:
    """Raise a NotebookError unless `path` can be run with these parameters."""
    names = declared(path)
    kernel = read(path).metadata.get("kernelspec", {}).get("name")
    if kernel != KERNEL:
        raise NotebookError(
            f"{path.name} asks for kernel {kernel!r}, needs {KERNEL!r}; choose "
            "`Python 3 (ipykernel)` in JupyterLab and save"
        )
    if unknown := [repr(name) for name in parameters if name not in names]:
        raise NotebookError(
            f"{path.name} declares no parameter {', '.join(unknown)}; "
            f"its parameters cell has {', '.join(names) or 'none'}"
        )


def check_kernel() -> None:
    """Raise a NotebookError unless kernel `python3` is this very python."""
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    remedy = "run `make setup`, or `python -m ipykernel install --sys-prefix` in this environment"
    try:
        command = KernelSpecManager().get_kernel_spec(KERNEL).argv[0]
    except NoSuchKernel:
        raise NotebookError(f"there is no Jupyter kernel {KERNEL!r}; {remedy}") from None
    # Jupyter itself replaces a bare `python` by the interpreter that starts the kernel.
    if os.sep in command and Path(command).parent != Path(sys.executable).parent:
        raise NotebookError(f"kernel {KERNEL!r} is {command}, another environment; {remedy}")


@contextmanager
def _kernel_environment(workers: int | None) -> Iterator[None]:
    before = dict(os.environ)
    os.environ |= {
        "PADALIB_HEADLESS": "1",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "JUPYTER_PREFER_ENV_PATH": "1",
    }
    if workers is not None:
        os.environ["PADALIB_WORKERS"] = str(workers)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _writable(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NotebookError(f"cannot make the folder {folder}: {error.strerror}") from error
    if not os.access(folder, os.W_OK):
        raise NotebookError(f"cannot write to {folder}; give yourself write permission there")
    return folder


def execute(path: Path, copy: Path, parameters: dict[str, Any]) -> None:
    """Run one notebook by papermill, its streams shown as they come; `copy` stays on failure."""
    import papermill

    logging.getLogger("papermill").setLevel(logging.CRITICAL)
    try:
        papermill.execute_notebook(
            *(str(p).replace("{", "{{").replace("}", "}}") for p in (path, copy)),
            parameters,
            kernel_name=KERNEL,
            language="python",
            progress_bar=False,
            extra_arguments=["--IPKernelApp.log_level=CRITICAL"],
            stdout_file=sys.stdout,
            stderr_file=sys.stderr,
            cwd=path.parent,
        )
    except papermill.PapermillExecutionError as error:
        # One injected cell precedes it, so the index from 0 there is the number from 1 here.
        line = error.source.strip().partition("\n")[0]
        raise CellError(
            f"{path.name}, cell {error.cell_index} (`{line}`): {error.ename}: {error.evalue}\n"
            f"The executed copy is {copy}"
        ) from error
    except RuntimeError as error:
        begun = [c for c in nbformat.read(copy, 4).cells if c.metadata.papermill.start_time]
        line = begun[-1].source.strip().partition("\n")[0] if begun else "before the first"
        raise CellError(
            f"{path.name}, cell {len(begun) - 1} (`{line}`): the kernel died, perhaps out of memory"
            f" ({error})\nThe executed copy is {copy}"
        ) from error
    except OSError as error:
        raise CellError(f"{path.name}: {copy} was not written: {error}") from error


def run_all(
    scale: str,
    redraw: bool = False,
    workers: int | None = None,
    notebooks: Sequence[Path] = (),
    out: Path | None = None,
    extra: dict[str, Any] | None = None,
) -> None:
    """Check all notebooks, then run them in order; the first that fails raises a CellError."""
    parameters = {"scale": scale, **({"redraw": True} if redraw else {}), **(extra or {})}
    paths = [path.resolve() for path in notebooks] or find()
    if redraw:
        for path in [path for path in paths if "redraw" not in declared(path)]:
            print(f"{path.stem}: skipped, it draws from no committed table")
            paths.remove(path)
    for path in paths:
        check(path, parameters)
    folder = _writable((out or project_root() / "build") / scale)

    figures = figures_dir(scale)
    before = {f: f.stat().st_mtime_ns for f in figures.glob("*.*")}
    with _kernel_environment(workers):
        check_kernel()
        for path in paths:
            print(f"{path.stem}: running at scale {scale}", flush=True)
            start = time.perf_counter()
            execute(path, folder / path.name, parameters)
            print(f"{path.stem}: {time.perf_counter() - start:.1f} s", flush=True)
    written = [f.name for f in sorted(figures.glob("*.*")) if f.stat().st_mtime_ns != before.get(f)]
    print(f"{figures}: {', '.join(written) or 'no figure was written'}")


def html(scale: str, out: Path | None = None) -> None:
    """Render the executed notebooks of a scale, without the outputs of cells tagged `progress`."""
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    folder = (out or project_root() / "build") / scale
    if not (executed := sorted(folder.glob("*.ipynb"))):
        raise NotebookError(f"nothing executed in {folder} yet; run `make reproduce SCALE={scale}`")
    remove = {"enabled": True, "remove_all_outputs_tags": {"progress"}}
    exporter = HTMLExporter(config=Config({"TagRemovePreprocessor": remove}))
    for path in executed:
        page = _writable(folder / "html") / f"{path.stem}.html"
        page.write_text(exporter.from_filename(str(path))[0], encoding="utf-8")
        print(page)


def install_filter(root: Path) -> None:
    """Make nbstripout the required git filter of the checkout at `root`, if it is one."""
    if not (root / ".git").exists():
        print("no git checkout here, so no git filter to install")
        return
    strip = f'"{Path(sys.executable).as_posix()}" -m nbstripout'
    for key, value in {
        "filter.nbstripout.clean": strip,
        "filter.nbstripout.smudge": "cat",
        "filter.nbstripout.required": "true",
        "filter.nbstripout.extrakeys": EXTRA_KEYS,
        "diff.ipynb.textconv": f"{strip} -t",
    }.items():
        config = ["git", "-C", str(root), "config", "--local"]
        old = subprocess.run([*config, "--get", key], capture_output=True, text=True)
        if old.stdout.rstrip("\n") != value:
            subprocess.run([*config, "--replace-all", key, value], check=True)


def set_up() -> None:
    """See to the kernel and the git filter; changes nothing where they are in place."""
    with _kernel_environment(None):
        try:
            check_kernel()
        except NotebookError:
            command = [sys.executable, "-m", "ipykernel", "install", "--sys-prefix"]
            subprocess.run(command, check=True)
            check_kernel()
    install_filter(project_root())
    print(f"environment: {sys.prefix}")


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, got {text!r}")
    return int(text)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns 0, 1 when a notebook failed, 2 when the request was wrong."""
    parser = argparse.ArgumentParser(prog="python -m padalib.study.driver", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="check all, then execute in order")
    run.add_argument("--redraw", action="store_true", help="draw from the committed tables only")
    run.add_argument("--workers", type=_positive, help="processes for training")
    run.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
    for sub in (run, commands.add_parser("html", help="render the executed copies")):
        sub.add_argument("--scale", default="laptop")
    for sub in (run, commands.add_parser("check", help="check only")):
        sub.add_argument("notebooks", nargs="*", type=Path, help="default: all of notebooks/")
    commands.add_parser("setup", help="kernel and git filter")
    args = parser.parse_args(argv)
    try:
        if args.command in ("run", "html"):
            from padalib.study import readme, scales  # setup and check must be quick

            study = scales.get(args.scale)
            if args.command == "run" and not args.redraw:
                study.check_machine()
        if args.command == "run":
            extra = {name: _literal(value) for name, value in args.p}
            run_all(args.scale, args.redraw, args.workers, args.notebooks, extra=extra)
            readme.update()
        elif args.command == "html":
            html(args.scale)
        elif args.command == "check":
            for path in args.notebooks or find():
                check(path, ["scale"])
        else:
            set_up()
    except (ValueError, CellError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1 if isinstance(error, CellError) else 2
    except KeyboardInterrupt:
        print("stopped; run it again to go on from the last checkpoint", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
