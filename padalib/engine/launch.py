"""A grid of runs over processes, or over any executor with `submit(fn, *args)`."""

import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from dataclasses import replace
from typing import NamedTuple

import psutil

from padalib.engine import devices, pickling
from padalib.engine.lock import PATIENCE, Busy
from padalib.engine.machine import cores
from padalib.engine.pool import Pool
from padalib.engine.progress import Progress
from padalib.engine.runs import Config, Run, RunError
from padalib.engine.words import counted

MEMORY_PER_WORKER = 1.25  # GiB; the workers of the laptop scale peak at 1.2
LIVES = 2  # processes that may die under a run: the first may be another's fault
DYING, TRIES = 0.3, 20  # seconds until a start that failed is tried again; how often
STOPPED = "stopped; nothing is lost: finished runs are kept, cut ones go on when you ask again"


class Stopped(KeyboardInterrupt):
    """^C in a grid. A notebook shows its one line, and not where in the library it was."""

    def _render_traceback_(self) -> list[str]:  # what IPython asks for
        return [str(self)]


class ScriptStopped(Stopped, SystemExit):
    """The same in a script: it ends without a traceback."""

    code = 130


def grid(
    configs: Iterable[Config], workers: int | None = None, executor: Executor | None = None
) -> list[Run]:
    """Finished runs of all configs, in their order; each is computed once, ever.

    The runs that they need (a config's `needs`) are computed before them. Without an executor:
    `workers` processes of one thread each (`PADALIB_WORKERS`, else one a core). A run that fails
    does not stop the others; when all have ended, RunError says which failed and why. What another
    process computes is left to it. Workers do not import the calling script: what it defines is
    sent to them. ValueError for more workers than memory allows, and for what is no config.
    """
    try:
        return _grid([Run(config) for config in _listed(configs)], workers, executor)
    except KeyboardInterrupt:
        raise _stopped() from None


def _listed(configs: Iterable[Config]) -> list[Config]:
    """Configs as a list; ValueError for one alone, and for what is none."""
    if hasattr(configs, "compute"):
        raise ValueError(f"a grid is of several configs, got one, {configs.label}: pass [config]")
    for each in (listed := list(configs)):
        if not hasattr(each, "compute"):
            raise ValueError(
                f"a grid is of configs of runs, such as TrainConfig(method={each!r}), got {each!r}"
                if isinstance(each, str)
                else f"a grid is of configs of runs, such as TrainConfig(), got {each!r}"
            )
    return listed


def _grid(runs: list[Run], workers: int | None, executor: Executor | None) -> list[Run]:
    every = _with_needs(runs)
    errors = {run.key: _damage(run) for run in every.values() if run.done}
    todo = [run for run in every.values() if not run.done]
    for run in todo:  # now, not after hours spent on what it needs
        if hasattr(run.config, "check"):
            _check(run, len(todo), len(every))
    if todo:
        pool = Pool(_workers(workers, len(todo))) if executor is None else None
        limit = len(pool.slots) if pool else len(todo)
        try:
            with Progress(list(every.values())) as progress:
                errors |= _Work(todo, pool or executor, limit, progress).finish()
        except BaseException:
            if pool:
                pool.kill()
            raise
        finally:
            if pool:
                pool.shutdown()
    for run in runs:
        errors[run.key] = errors[run.key] or _unfinished(run)
    if failed := [f"- {every[key].config.label}: {why}" for key, why in errors.items() if why]:
        others = ", the others are finished and kept" if len(failed) < len(every) else ""
        said = f"{len(failed)} of {counted(len(every), 'run')} failed{others}:"
        raise RunError("\n".join([said, *failed]))
    return runs


def _check(run: Run, left: int, every: int) -> None:
    """The config's own check; where it fails for its device, with how many runs are not there."""
    try:
        run.config.check()
    except ValueError as error:
        if devices.here(getattr(run.config, "device", "cpu")):
            raise
        raise ValueError(
            f"{left} of {every} runs are not finished here, first {run.config.label}: {error}"
        ) from None


def _with_needs(runs: Iterable[Run]) -> dict[str, Run]:
    """Run by key, to keep the states that any of its configs asks for, and what it needs.

    What a run needs comes right before it: so every kind of run is met early.
    """
    found: dict[str, Run] = {}

    def add(run: Run) -> None:
        other = found.get(run.key, run).config
        kept, wanted = (getattr(config, "keep", ()) for config in (other, run.config))
        if kept != wanted:
            run = Run(replace(other, keep=(*kept, *wanted)))
        elif run.key in found:
            return
        if not run.done:
            for need in run.needs:
                if not need.done:
                    add(need)
        found[run.key] = run

    for run in runs:
        add(run)
    return found


class _Elsewhere(NamedTuple):
    who: str  # computes it
    since: float  # when one first found it so
    again: float  # when to look again


class _Work:
    """What is left to do of a grid, and what came of the rest."""

    def __init__(
        self, todo: list[Run], executor: Executor | Pool, limit: int, progress: Progress
    ) -> None:
        self.executor, self.limit, self.progress = executor, limit, progress
        self.waiting, self.busy = list(todo), {}
        self.errors: dict[str, str | None] = {}  # of those that have ended, by key
        self.open = {run.key for run in todo}
        self.deaths: Counter[str] = Counter()
        self.elsewhere: dict[str, _Elsewhere] = {}  # what other processes compute, by key
        self.quiet_until = 0.0

    def finish(self) -> dict[str, str | None]:
        """Run key -> what went wrong, or None."""
        try:
            while self.open:
                for future in [future for future in self.busy if future.done()]:
                    self._receive(self.busy.pop(future), future)
                for run in [run for run in self.waiting if self._ready(run)]:
                    if len(self.busy) >= self.limit:
                        break
                    self.waiting.remove(run)
                    self._submit(run)
                self.progress.show()
                self._tell()
                self._pause()
        except BaseException:
            for future in self.busy:
                future.cancel()
            raise
        return self.errors

    def _pause(self) -> None:
        """Until a run has ended, a tenth of a second at most: short runs leave no core idle."""
        if self.busy and isinstance(self.executor, Pool):
            wait(self.busy, 0.1, FIRST_COMPLETED)
        else:  # futures that need not be Python's own
            time.sleep(0.1)

    def _ready(self, run: Run) -> bool:
        other = self.elsewhere.get(run.key)
        if other and time.monotonic() < other.again:
            return False
        return not any(need.key in self.open for need in run.needs)

    def _submit(self, run: Run) -> None:
        lacking = [need.config.label for need in run.needs if self.errors.get(need.key)]
        if lacking or run.done:  # done: by another process
            self._end(run, f"it needs {lacking[0]}, which failed" if lacking else _damage(run))
            return
        try:
            packed = pickling.pack(run)
        except Exception as error:
            self._end(run, _words(error))
            return
        try:
            future = self._started(packed)
        except Exception as error:  # no process to be had
            self._died(run, f"no process could be started ({_words(error)})")
            return
        self.busy[future] = run
        self.progress.begin(run)

    def _started(self, packed: bytes) -> Future:
        """Of a server that was just killed the system may not know yet: a failed start is no death.

        So it is tried again, which starts a new server; for seconds, for on a machine that has no
        core to spare a process takes as long to end.
        """
        for _ in range(TRIES):
            try:
                return self.executor.submit(_compute, packed)
            except OSError:
                time.sleep(DYING)
        return self.executor.submit(_compute, packed)

    def _receive(self, run: Run, future: Future) -> None:
        error = None if future.cancelled() else future.exception()
        if isinstance(error, Busy):
            self._wait(run, error)
        elif isinstance(error, BrokenExecutor):
            self._died(run, f"its process died {LIVES} times (killed, or out of memory)")
        elif future.cancelled():
            self._end(run, "it was cancelled")
        elif error:
            self._end(run, _words(error))
        else:
            self._end(run, future.result() or _unfinished(run))

    def _wait(self, run: Run, busy: Busy) -> None:
        """Another process computes it: see to the others, and look again."""
        now = time.monotonic()
        since = self.elsewhere[run.key].since if run.key in self.elsewhere else now
        self.elsewhere[run.key] = _Elsewhere(str(busy), since, now + 1)
        self.waiting.append(run)
        self.progress.cut(run)

    def _tell(self) -> None:
        """Say now and then what is waited for, if anything is."""
        now = time.monotonic()
        waited = [it for it in self.elsewhere.values() if now - it.since >= PATIENCE]
        if waited and now >= self.quiet_until:
            self.progress.say(f"{waited[0].who}; waiting for its end")
            self.quiet_until = now + 20 * PATIENCE

    def _died(self, run: Run, why: str) -> None:
        self.deaths[run.key] += 1
        if self.deaths[run.key] >= LIVES:
            self._end(run, f"{why}; ask again to go on where it was cut")
        else:
            self.waiting.insert(0, run)
            if run.key in self.progress.active:
                self.progress.cut(run)

    def _end(self, run: Run, error: str | None) -> None:
        self.errors[run.key] = error
        self.open.remove(run.key)
        self.elsewhere.pop(run.key, None)
        self.progress.end(run, failed=error is not None)


def _words(error: BaseException) -> str:
    """An error as text; one of ours is a sentence by itself."""
    return str(error) if isinstance(error, RunError) else f"{type(error).__name__}: {error}"


def _unfinished(run: Run) -> str | None:
    """What to say of a run that should be finished by now and is not."""
    if run.done:
        return None
    return (
        f"it ended without an error, but {run.folder} holds no finished run: its data or its code "
        "changed meanwhile, or what it wrote was deleted; ask again"
    )


def _damage(run: Run) -> str | None:
    """What is wrong with a finished run, or None."""
    try:
        run.compute()  # checks that the folder is what it says
    except RunError as error:
        return str(error)
    return None


def _stopped() -> Stopped:
    if hasattr(sys, "ps1"):  # Python's or IPython's prompt, or a notebook
        return Stopped(STOPPED)
    print(STOPPED, file=sys.stderr, flush=True)
    return ScriptStopped(STOPPED)


def _compute(packed: bytes) -> str | None:
    """Compute a packed run; what went wrong comes back as text: not every exception pickles."""
    try:
        pickling.unpack(packed).compute(wait=False)
    except Busy:
        raise
    except RunError as error:
        return str(error)
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {error} ({place.filename}, line {place.lineno})"
    return None


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
            raise ValueError(f"PADALIB_WORKERS must be at least 1, got {asked}")
    if asked < 1:
        raise ValueError(f"workers must be at least 1, got {asked}")
    needed = min(asked, runs)
    free = psutil.virtual_memory().available / 2**30
    if needed > 1 and needed * MEMORY_PER_WORKER > free:
        raise ValueError(
            f"{needed} workers need about {needed * MEMORY_PER_WORKER:.1f} GiB, but {free:.1f} GiB "
            f"are free: ask for at most {max(1, int(free / MEMORY_PER_WORKER))} (workers=, or "
            "PADALIB_WORKERS)"
        )
    return needed
