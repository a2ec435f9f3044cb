"""One process at a time computes a run; others learn which one does, and since when."""

import json
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from padalib.engine.files import (
    RunError,
    cannot,
    clear_partial,
    drop_unused,
    make_folder,
    write_bytes,
)

PATIENCE = 3.0  # seconds that one waits before a word is said


class Busy(RunError):
    """Another process computes the run; the message says which, and since when."""


@contextmanager
def held(folder: Path, label: str, wait: bool) -> Iterator[None]:
    """Hold the lock of a run's folder, which is made if need be and cleared of cut writes.

    While another process holds it: Busy, or wait for it to end and say so after some seconds. A
    folder that holds nothing in the end is removed.
    """
    lock = FileLock(folder / "lock")
    until = time.monotonic() + PATIENCE
    while not _acquired(lock, folder):
        holder = f"{label} is being computed by {_holder(folder)}"
        if not wait:
            raise Busy(holder)
        if time.monotonic() > until:
            print(f"{holder}; waiting for its end", file=sys.stderr, flush=True)
            until = float("inf")
        time.sleep(0.1)
    try:
        clear_partial(folder)
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        me = {"pid": os.getpid(), "host": platform.node(), "since": since}
        write_bytes(folder / "holder.json", json.dumps(me).encode())
        yield
    finally:
        with suppress(OSError):
            (folder / "holder.json").unlink()
        drop_unused(folder, "lock")  # while it is held: who waits takes no lock that has no name
        lock.release()


def _acquired(lock: FileLock, folder: Path) -> bool:
    make_folder(folder)
    try:
        lock.acquire(blocking=False)
    except (Timeout, FileNotFoundError):  # the latter: its holder removed the folder just now
        return False
    except OSError as error:
        path = Path(lock.lock_file)
        raise cannot(f"write to {path.parent} and lock it", path, error) from error
    return True


def _holder(folder: Path) -> str:
    try:
        found = json.loads((folder / "holder.json").read_text(encoding="utf-8"))
        return f"process {found['pid']} on {found['host']} since {found['since']}"
    except (OSError, ValueError, KeyError, TypeError):  # not there yet
        return "another process"
