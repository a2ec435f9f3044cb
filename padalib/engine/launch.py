"""A grid of runs over processes, or over any executor with `submit(fn, *args)`."""

import os
import sys
import threading
import time
import traceback
from collections.abc import Iterable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import replace
from multiprocessing import get_all_start_methods, get_context, parent_process
from multiprocessing.context import BaseContext

import psutil
from tqdm.auto import tqdm

from padalib.engine import pickling
from padalib.engine.runs import Config, Run, RunError

MEMORY_PER_WORKER = 1.25  # GiB; the workers of the laptop scale peak at 1.2


def grid(
    configs: Iterable[Config], workers: int | None = None, executor: Executor | None = None
) -> list[Run]:
    """Finished runs of all configs, in their order; each is computed once, ever.

    The runs that they need (a config's `needs`) are computed first. Without an executor: `workers`
    processes of one thread each (`PADALIB_WORKERS`, else one a core). A run that fails does
    not stop the others; when all have ended, RunError says which failed and why.
    ValueError for more workers than memory allows.
    """
    runs = [Run(config) for config in configs]
    todo = _unfinished(runs)
    for run in runs:
        if run.done:
            run.compute()  # checks that the folder is what it says
    if not todo:
        return runs
    for run in todo:  # now, not after hours spent on what it needs
        if hasattr(run.config, "check"):
            run.config.check()
    needs = [need for run in todo for need in getattr(run.config, "needs", ())]
    if needs:
        with suppress(RunError):  # whoever needs the failed run fails too, and says why
            grid(needs, workers, executor)
    with _Progress(todo) as progress:
        if executor is not None:
            futures = {run.key: executor.submit(_compute, pickling.pack(run)) for run in todo}
            while not all(future.done() for future in futures.values()):
                progress.show()
                time.sleep(0.2)
            errors = {
                run.key: _reason(future) for run, future in zip(todo, futures.values(), strict=True)
            }
        else:
            errors = _own_pool(todo, _workers(workers, len(todo)), progress)
    failed = [f"- {run.config.label}: {errors[run.key]}" for run in todo if errors[run.key]]
    if failed:
        raise RunError(
            f"{len(failed)} of {len(runs)} runs failed, the others are finished and kept:\n"
            + "\n".join(failed)
        )
    return runs


def _unfinished(runs: list[Run]) -> list[Run]:
    """One of each run, to keep the states that any of its configs asks for."""
    found: dict[str, Run] = {}
    for run in runs:
        if run.done:
            continue
        other = found.setdefault(run.key, run).config
        kept, wanted = (getattr(config, "keep", ()) for config in (other, run.config))
        if kept != wanted:
            found[run.key] = Run(replace(other, keep=(*kept, *wanted)))
    return list(found.values())


def _compute(packed: bytes) -> str | None:
    """Compute a packed run; what went wrong comes back as text: not every exception pickles."""
    try:
        pickling.unpack(packed).compute()
    except RunError as error:
        return str(error)
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {error} ({place.filename}, line {place.lineno})"
    return None


def _reason(future: Future) -> str | None:
    error = future.exception()
    if isinstance(error, BrokenProcessPool):
        return "its process died (killed, or out of memory); ask again to go on where it was cut"
    return f"{type(error).__name__}: {error}" if error else future.result()


def _workers(asked: int | None, runs: int) -> int:
    if asked is None:
        text = os.environ.get("PADALIB_WORKERS") or str(cores())
        try:
            asked = int(text)
        except ValueError:
            raise ValueError(
                f"PADALIB_WORKERS must be a number of processes, got {text!r}"
            ) from None
    if asked < 1:
        raise ValueError(f"workers must be at least 1, got {asked}")
    needed = min(asked, runs)
    free = psutil.virtual_memory().available / 2**30
    if needed * MEMORY_PER_WORKER > free:
        raise ValueError(
            f"{needed} workers need about {needed * MEMORY_PER_WORKER:.1f} GiB, but {free:.1f} GiB "
            f"are free: ask for at most {max(1, int(free / MEMORY_PER_WORKER))} (workers=, or "
            "PADALIB_WORKERS)"
        )
    return needed


def cores() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1


def _own_pool(todo: list[Run], workers: int, progress: "_Progress") -> dict[str, str | None]:
    """Run key -> what went wrong, or None.

    One single-process pool for each worker, so that a death costs one run and not the pool.
    """
    queue, errors = iter(todo), {}
    context = _context()
    pools: list[ProcessPoolExecutor | None] = [None] * workers
    busy: dict[int, tuple[Run, Future]] = {}
    try:
        while len(errors) < len(todo):
            for slot in range(workers):
                if slot in busy and busy[slot][1].done():
                    run, future = busy.pop(slot)
                    errors[run.key] = _reason(future)
                    if isinstance(future.exception(), BrokenProcessPool):
                        pools[slot] = None
                if slot not in busy and (run := next(queue, None)) is not None:
                    if pools[slot] is None:
                        start = (_start, (dict(os.environ),))
                        pools[slot] = ProcessPoolExecutor(1, context, *start)
                    busy[slot] = run, pools[slot].submit(_compute, pickling.pack(run))
            progress.show()
            time.sleep(0.1)
    except BaseException:  # an interrupt must not wait for runs that take minutes
        for pool in filter(None, pools):
            for process in list((pool._processes or {}).values()):
                process.terminate()
        raise
    finally:
        for pool in filter(None, pools):
            pool.shutdown(wait=True, cancel_futures=True)
    return errors


def _context() -> BaseContext:
    """How workers start: forked from a server that has imported torch, which saves seconds each."""
    if "forkserver" not in get_all_start_methods():  # Windows
        return get_context("spawn")
    context = get_context("forkserver")
    # The kinds of run that are in use, and what torch's optimizers import when the first is made.
    mine = sorted(name for name in sys.modules if name.startswith("padalib."))
    context.set_forkserver_preload([*mine, "torch._dynamo"])
    return context


def _start(environment: dict[str, str]) -> None:
    """Take over the environment as it is now, not as it was when the server started.

    And end with the process that asked: a killed notebook must not leave workers behind.
    """
    os.environ.clear()
    os.environ.update(environment)

    def watch() -> None:
        parent_process().join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class _Progress:
    """One bar in a live kernel or terminal; headless, the lines that the runs write."""

    def __init__(self, runs: list[Run]) -> None:
        self.runs, self.read, self.bar = runs, dict.fromkeys((run.key for run in runs), 0), None
        if not os.environ.get("PADALIB_HEADLESS") and (
            "ipykernel" in sys.modules or sys.stderr.isatty()
        ):
            self.bar = tqdm(total=sum(run.config.ticks for run in runs), unit="epoch")

    def __enter__(self) -> "_Progress":
        for run in self.runs:  # what an earlier, cut attempt wrote is not news
            path = run.folder / "progress.log"
            self.read[run.key] = path.stat().st_size if path.exists() else 0
        return self

    def __exit__(self, *_: object) -> None:
        self.show()
        if self.bar is not None:
            self.bar.close()

    def show(self) -> None:
        """Print what is new."""
        for run in self.runs:
            path = run.folder / "progress.log"
            if not path.exists() or path.stat().st_size <= self.read[run.key]:
                continue
            with path.open() as file:
                file.seek(self.read[run.key])
                lines = file.read()
                self.read[run.key] = file.tell()
            for line in lines.splitlines():
                if self.bar is None:
                    print(f"{run.config.label}: {line}", flush=True)
                else:
                    self.bar.set_postfix_str(run.config.label, refresh=False)
                    self.bar.update()
