"""Processes of our own: each computes one run after another, and its death touches no other."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import (
    forkserver,
    get_all_start_methods,
    get_context,
    parent_process,
    resource_tracker,
    spawn,
)
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import Any

# What the server of workers imports before it forks any: slow to import, and never edited while
# somebody works. Code that may be (padalib's, the user's) each worker reads anew.
PRELOADED = ["torch", "torch._dynamo", "pandas", "sklearn.datasets", "PIL.Image", "cloudpickle"]


class Pool:
    """`workers` processes, each an executor by itself; submit no more than these at a time."""

    def __init__(self, workers: int) -> None:
        self.context = _context()
        self.slots: list[ProcessPoolExecutor | None] = [None] * workers
        self.futures: list[Future | None] = [None] * workers

    def submit(self, function: Callable, *arguments: Any) -> Future:
        """Call it in a free process, a new one if that has died since its last call.

        Raises what the system says where no process can be started; asking again may help.
        """
        slot = next(n for n, future in enumerate(self.futures) if future is None or future.done())
        old, self.slots[slot] = self.slots[slot], None
        if old is not None:
            try:
                self.futures[slot] = old.submit(function, *arguments)
                self.slots[slot] = old
                return self.futures[slot]
            except BrokenProcessPool:
                old.shutdown()
        new = ProcessPoolExecutor(1, self.context, _start, (dict(os.environ),))
        with _apart():
            self.futures[slot] = new.submit(function, *arguments)
        self.slots[slot] = new
        return self.futures[slot]

    def kill(self) -> None:
        """End all calls now: who interrupts must not wait for runs that take minutes."""
        for pool in filter(None, self.slots):
            for process in list((pool._processes or {}).values()):
                process.terminate()

    def shutdown(self) -> None:
        """Wait for the processes to end."""
        for pool in filter(None, self.slots):
            pool.shutdown(wait=True, cancel_futures=True)


def can_fork() -> bool:
    """Whether processes are forked from a server here, and not started from nothing."""
    return "forkserver" in get_all_start_methods()  # not on Windows


def serve(*more: str) -> None:
    """Start the server of workers, if none runs, with `more` modules imported than they need."""
    if can_fork():
        _context().set_forkserver_preload([*PRELOADED, *more])
        with _apart():
            forkserver.ensure_running()


def start(function: Callable, *arguments: Any) -> BaseProcess:
    """A process of its own, which calls a function that it imports; it does not hear ^C."""
    process = _context().Process(target=function, args=arguments)
    with _apart():
        process.start()
    return process


@contextmanager
def _apart() -> Iterator[None]:
    """Start processes that do not import the user's script, and do not hear the terminal's ^C.

    multiprocessing would run the script again in each, which only a main guard survives, and a
    script from standard input does not; but what comes from it is pickled by value. ^C is for us,
    who end the workers in order.
    """
    prepare = spawn.get_preparation_data

    def without_script(name: str) -> dict[str, Any]:
        return {key: v for key, v in prepare(name).items() if not key.startswith("init_main")}

    spawn.get_preparation_data = without_script
    can_mask = hasattr(signal, "pthread_sigmask")  # not on Windows
    if can_mask:
        resource_tracker.ensure_running()  # unmasks ^C when it starts
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        spawn.get_preparation_data = prepare
        if can_mask:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _context() -> BaseContext:
    """How workers start: forked from a server that has imported torch, which saves seconds each."""
    if not can_fork():
        return get_context("spawn")
    context = get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def _start(environment: dict[str, str]) -> None:
    """Take over the environment as it is now, not as it was when the server started.

    And end with the process that asked: a killed notebook must not leave workers behind.
    """
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where it could not be masked
    end_with_parent()


def end_with_parent() -> None:
    """End this process, which `start` or a pool made, when the one that asked for it ends."""

    def watch() -> None:
        parent_process().join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
