"""Runs the notebooks of a scale, in order, and keeps a record of those that ended well.

Every notebook is checked before any is run. The runs of all studies are computed first, in one
grid: so no core waits while a notebook starts, thinks or draws.
"""

import hashlib
import importlib
import json
import logging
import pkgutil
import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import filelock
import nbformat

import padalib
from padalib import study
from padalib.commands import environment, notebooks
from padalib.commands.notebooks import KERNEL, NotebookError
from padalib.engine import paths
from padalib.engine.words import counted

RECORD = "record.json"  # in the folder of a scale: which notebooks ended well, and their files
OWN_OPTIONS = {"scale": "--scale", "redraw": "`padalib figures`", "workers": "--workers"}


class CellError(RuntimeError):
    """A notebook that was run and stopped before its end."""


def execute(path: Path, copy: Path, parameters: dict[str, Any]) -> None:
    """Run one notebook by papermill, its streams shown as they come; `copy` stays on failure.

    CellError where a cell fails, the kernel dies, or a cell is left that was not run.
    """
    import papermill

    from padalib.commands import kernels

    for name in ("papermill", "asyncio"):  # the latter: that nobody asked how a cut cell ended
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        papermill.execute_notebook(
            *(str(p).replace("{", "{{").replace("}", "}}") for p in (path, copy)),
            parameters,
            kernel_name=KERNEL,
            kernel_manager_class=kernels.Manager,
            language="python",
            progress_bar=False,
            extra_arguments=["--IPKernelApp.log_level=CRITICAL"],
            stdout_file=sys.stdout,
            stderr_file=sys.stderr,
            cwd=path.parent,
        )
    except papermill.PapermillExecutionError as error:
        if error.ename in ("KeyboardInterrupt", "Stopped"):  # the latter: in a grid of runs
            raise KeyboardInterrupt from error
        # One injected cell precedes it, so the index from 0 there is the number from 1 here.
        where = _where(path, error.cell_index, error.source)
        raise CellError(
            f"{where}: {error.ename}: {error.evalue}\nThe executed copy is {copy}"
        ) from error
    except RuntimeError as error:
        begun = [c for c in nbformat.read(copy, 4).cells if c.metadata.papermill.start_time]
        where = _where(path, len(begun) - 1, begun[-1].source if begun else "before the first")
        raise CellError(
            f"{where}: the kernel died, killed or out of memory ({error})\n"
            f"The executed copy is {copy}"
        ) from error
    except OSError as error:
        raise CellError(f"{path.name}: {copy} was not written: {error}") from error
    _check_finished(path, copy)


def _where(path: Path, number: int, source: str) -> str:
    return f"{path.name}, cell {number} (`{source.strip().partition(chr(10))[0]}`)"


def _check_finished(path: Path, copy: Path) -> None:
    """For papermill, `sys.exit(0)` is success, and so is a cell that was skipped."""
    for number, cell in enumerate(nbformat.read(copy, 4).cells):
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        errors = [out.ename for out in cell.outputs if out.output_type == "error"]
        if errors or cell.execution_count is None:
            raised = f"{errors[0]} ended the notebook early" if errors else "this cell was not run"
            raise CellError(
                f"{_where(path, number, cell.source)}: {raised}, so it counts as failed; let every "
                f"cell run to its end\nThe executed copy is {copy}"
            )


def run(
    scale: str,
    redraw: bool = False,
    workers: int | None = None,
    only: Sequence[Path] = (),
    extra: dict[str, Any] | None = None,
) -> Path:
    """Check all notebooks (or `only` these), then run them in order; returns the scale's folder.

    NotebookError for what cannot be run as asked, before anything is; the first notebook that
    fails raises CellError. With `redraw`, notebooks that draw from no table are left out.
    """
    from padalib.commands import kernels
    from padalib.study import scales  # import torch, and `padalib check` must be quick

    asked = scales.get(scale)
    if not redraw:
        asked.check_machine()
    parameters = {"scale": scale, **({"redraw": True} if redraw else {}), **(extra or {})}
    chosen = [path.resolve() for path in only] or of_scale(scale)
    for path in chosen:
        _fits(path, scale)
    if redraw:
        for path in [path for path in chosen if "redraw" not in notebooks.declared(path)]:
            print(f"{path.stem}: skipped, it draws from no published table")
            chosen.remove(path)
    for path in chosen:
        notebooks.check(path, parameters)
    folder = writable(paths.own_folder(scale, redraw))
    print(
        f"{counted(len(chosen), 'notebook')} at scale {scale}; what is made goes to {folder}",
        flush=True,
    )
    with alone(folder, scale):
        with environment.for_kernels(workers):
            environment.check_kernel()
        kernels.prepare()
        if not redraw and not only:
            compute_ahead(scale, workers)
        with environment.for_kernels(workers):
            for place, path in enumerate(chosen, start=1):
                print(f"{path.stem} ({place} of {len(chosen)})", flush=True)
                start = time.perf_counter()
                with _recorded(path, folder, extra or {}):
                    execute(path, folder / path.name, parameters)
                print(f"{path.stem}: {duration(time.perf_counter() - start)}", flush=True)
    return folder


def of_scale(name: str) -> list[Path]:
    """The notebooks that a scale runs, in order; NotebookError where it has none."""
    from padalib.study import scales

    scale = scales.get(name)
    if found := [path for path in notebooks.find() if scales.runs(scale, path.stem[:2])]:
        return found
    named = ", ".join(f"{number}_*.ipynb" for number in scale.notebooks)
    raise NotebookError(f"scale {name} runs {named or 'none'}, and notebooks/ has no such")


def _fits(path: Path, name: str) -> None:
    """NotebookError for a notebook of the project that the scale does not run."""
    from padalib.study import scales

    number = path.stem[:2]
    if path not in [one.resolve() for one in notebooks.find()]:
        return
    if not scales.runs(scales.get(name), number):
        own = [other for other in scales.SCALES if scales.runs(scales.get(other), number)]
        raise NotebookError(
            f"{path.name} is not for scale {name}, but for {', '.join(own)}: add --scale {own[0]} "
            "(or another of them)"
        )


def parse(pairs: Sequence[Sequence[str]], chosen: Sequence[Path]) -> dict[str, Any]:
    """Parameters from a command line, each of the type that the notebooks declare."""
    values: dict[str, Any] = {}
    for name, text in pairs:
        if name in OWN_OPTIONS:
            raise NotebookError(f"-p {name} {text}: {name} is set by {OWN_OPTIONS[name]} instead")
        if name in values:
            raise NotebookError(f"-p {name} is given twice")
        for path in chosen or notebooks.find():
            if name in (known := notebooks.declared(path)):
                values[name] = known[name].parse(text)
        values.setdefault(name, text)  # no notebook has it; `check` says so
    return values


def studies() -> list[ModuleType]:
    """What in `study` defines `configs(scale)`, in a file or a folder: a notebook's runs."""
    (folder,) = study.__path__
    at = {True: "{}/__init__.py", False: "{}.py"}
    files = {
        m.name: Path(folder) / at[m.ispkg].format(m.name) for m in pkgutil.iter_modules([folder])
    }
    defined = re.compile(r"^def configs\(", re.MULTILINE)
    found = [name for name, file in files.items() if defined.search(file.read_text("utf-8"))]
    return [importlib.import_module(f"{study.__name__}.{name}") for name in sorted(found)]


def compute_ahead(scale: str, workers: int | None) -> None:
    """Compute the runs of all studies of a scale in one grid; CellError where some fail.

    After them their `timings`, one at a time, which must have the machine for themselves.
    """
    from padalib.engine import launch, runs
    from padalib.study import scales

    chosen = scales.get(scale)
    asked = [
        (module, each)
        for each in (chosen, *chosen.beside)
        for module in studies()
        if module.__name__.rpartition(".")[2] in each.studies
    ]
    timed = [(module, each) for module, each in asked if hasattr(module, "timings")]
    try:
        launch.grid([c for module, each in asked for c in module.configs(each)], workers)
        if timings := [c for module, each in timed for c in module.timings(each)]:
            launch.grid(timings, 1)
    except runs.RunError as error:
        raise CellError(str(error)) from error


def duration(seconds: float) -> str:
    """Seconds as people read them: 12.3 s, 4 min 05 s."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"


def writable(folder: Path) -> Path:
    """The folder, made if need be; NotebookError where it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".probe").touch()
        (folder / ".probe").unlink()
    except OSError as error:
        raise NotebookError(
            f"cannot write to the folder {folder}: {error.strerror}; give yourself write "
            "permission there, or move away what is in its place"
        ) from error
    return folder


@contextmanager
def alone(folder: Path, scale: str) -> Iterator[None]:
    """Nobody else runs or publishes a scale meanwhile; NotebookError where somebody does."""
    lock = filelock.FileLock(folder / ".driver.lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise NotebookError(
            f"another process runs or publishes the notebooks of scale {scale}, in {folder}: wait "
            "for it, or stop it"
        ) from None
    try:
        yield
    finally:
        lock.release()


# --- the record ---


def record(folder: Path) -> dict[str, dict[str, Any]]:
    """Notebook -> code (digest), parameters, files (digests); of those that ended well here."""
    try:
        return {**json.loads((folder / RECORD).read_text(encoding="utf-8"))}
    except (OSError, ValueError, TypeError):
        return {}


def digest(path: Path) -> str:
    """Of a notebook's code and of the package: what is computed, drawn and said follows from it."""
    found = hashlib.sha256(notebooks.code(notebooks.read(path)).encode())
    root = Path(padalib.__file__).parent
    for file in sorted([*root.rglob("*.py"), *root.rglob("*.mplstyle")]):
        found.update(f"\0{file.relative_to(root).as_posix()}\0".encode() + file.read_bytes())
    return found.hexdigest()


def file_digest(path: Path) -> str:
    """Of one file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextmanager
def _recorded(path: Path, folder: Path, extra: dict[str, Any]) -> Iterator[None]:
    """Forget what is known of a notebook; when it has ended well, note what it wrote.

    A file that several write, such as `runs.csv`, is noted with the last of them.
    """

    def note(entry: dict[str, Any] | None) -> None:
        known = {name: own for name, own in record(folder).items() if name != path.stem}
        if entry:
            for own in known.values():
                own["files"] = {n: d for n, d in own["files"].items() if n not in entry["files"]}
            known[path.stem] = entry
        temporary = folder / f".{RECORD}"
        temporary.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        temporary.replace(folder / RECORD)

    note(None)
    code, before = digest(path), _stamps(folder)
    yield
    new = [name for name, stamp in _stamps(folder).items() if before.get(name) != stamp]
    files = {name: file_digest(folder / name) for name in new}
    note({"code": code, "parameters": extra, "files": files})


def _stamps(folder: Path) -> dict[str, int]:
    """Tables and figures of a scale's folder, and when each was written last."""
    found = [*folder.glob("results/*.csv"), *folder.glob("figures/*.*")]
    shown = [file for file in found if not file.name.startswith(".")]
    return {file.relative_to(folder).as_posix(): file.stat().st_mtime_ns for file in shown}
