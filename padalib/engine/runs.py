"""Content-addressed runs: config -> hash -> folder. Nothing here knows what a run means.

A config is a frozen dataclass with `compute(run)`, `inputs()` (what else its result depends on,
such as the data's hash), `label`, `ticks` (progress lines it will write) and, where it has them,
`needs` (configs of the runs that it builds on), `check()` (ValueError for inputs that cannot be
used) and `states` (names of states to find in its folder). A field that changes no result has
metadata {"identity": False}. A run is computed once: under a lock, resumed if it was cut, and read
from its folder ever after.
"""

import errno
import hashlib
import io
import json
import os
import platform
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import torch
from filelock import FileLock

import padalib
from padalib.engine import paths
from padalib.engine.identity import digest, identity, key

MAGIC = b"padalib state of "


class RunError(RuntimeError):
    """A run that cannot be made or read; the message says which, why and what to do."""


class Config(Protocol):
    """What `runs` asks of a config."""

    label: str
    ticks: int

    def inputs(self) -> dict[str, Any]: ...

    def compute(self, run: "Run") -> None: ...


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; RunError when the disk is full or may not be written."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp's own mode shuts out everybody else
        os.replace(temporary, path)
    except OSError as error:
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RunError(
                f"the disk is full: cannot write {path} ({len(content):,} bytes). Free some space, "
                "or set PADALIB_DATA to a folder on another disk; finished work is kept"
            ) from error
        raise RunError(
            f"cannot write {path}: {error.strerror}. Make the folder writable, or set PADALIB_DATA "
            "to one that is"
        ) from error


def pack_state(label: str, state: Any) -> bytes:
    """A state as bytes; RunError where it holds what cannot be read again."""
    buffer = io.BytesIO()
    try:
        torch.save(state, buffer)
        torch.load(io.BytesIO(buffer.getvalue()), weights_only=True)
    except Exception as error:  # pickle raises whatever an object does to say no
        raise RunError(
            f"the state of {label} holds something that cannot be read again: attributes of a "
            "sampler must be tensors, numbers, strings, and lists or dicts of them, or be left "
            f"out by its `state` ({str(error).splitlines()[0]})"
        ) from None
    return buffer.getvalue()


def unpack_state(content: bytes) -> Any:
    """The inverse of `pack_state`, onto the CPU."""
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


def versions(device: str = "cpu") -> dict[str, str]:
    """What made a run, for its record."""
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else _processor()
    return {
        "padalib": padalib.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": name,
    }


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
        return re.search(r"model name\s*:\s*(.+)", text)[1]
    except (OSError, TypeError):
        return platform.processor() or platform.machine()


class Run:
    """The folder of one config's run, and how to read and write it."""

    def __init__(self, config: Config) -> None:
        self.config = config
        label = re.sub(r"[^A-Za-z0-9.]+", "-", config.label).strip("-").lower()
        self.folder = paths.data_root() / "runs" / f"{label}-{self.key}"

    def __repr__(self) -> str:
        return f"Run({self.config.label!r}, {self.key}, {'done' if self.done else 'not done'})"

    @cached_property
    def key(self) -> str:
        """The run's name in result tables."""
        return key(self.config)

    @property
    def done(self) -> bool:
        """Whether all its tables are there, and the states that its config asks for."""
        states = getattr(self.config, "states", ())
        return (self.folder / "done.json").exists() and all(map(self.has_state, states))

    def record(self) -> dict[str, Any]:
        """Versions and table digests of a finished run; RunError where it is damaged."""
        return self._read_json("done.json")

    def _read_json(self, name: str) -> dict[str, Any]:
        try:
            content = json.loads((self.folder / name).read_text())
            return {**content}
        except (ValueError, TypeError) as error:
            raise RunError(
                f"{self.folder / name} is damaged ({error}): delete the folder {self.folder} to "
                "compute the run again"
            ) from None

    # --- tables ---

    def write_table(self, name: str, table: pd.DataFrame) -> None:
        """Write `name`.csv; floats keep every bit."""
        write_bytes(self.folder / f"{name}.csv", table.to_csv(index=False).encode())

    def table(self, name: str) -> pd.DataFrame:
        """Read `name`.csv of a finished run; RunError where it is missing or was edited."""
        if not self.done:
            raise RunError(f"run {self.folder} is not finished: ask `launch.grid` for it first")
        path = self.folder / f"{name}.csv"
        content = path.read_bytes() if path.exists() else None
        if content is None or _sha(content) != self.record()["tables"].get(name):
            state = "is missing" if content is None else "is not what the run wrote"
            raise RunError(f"{path} {state}: delete the folder {self.folder} to compute it again")
        return pd.read_csv(io.BytesIO(content))

    # --- states ---

    def has_state(self, name: str) -> bool:
        """Whether a state was saved under that name."""
        return (self.folder / f"{name}.pt").exists()

    def save_state(self, name: str, state: Any) -> None:
        """Save tensors, numbers, strings and containers of them, sealed with the run's key."""
        content = pack_state(self.config.label, state)
        header = f"{self.key} {_seal(self.key, content)}\n"
        write_bytes(self.folder / f"{name}.pt", MAGIC + header.encode() + content)

    def load_state(self, name: str) -> Any:
        """Load a state onto the CPU; RunError where the file is not what this run saved."""
        path = self.folder / f"{name}.pt"
        if not path.exists():
            raise RunError(f"{path} is missing: delete the folder {self.folder} to train again")
        header, _, content = path.read_bytes().partition(b"\n")
        owner, _, seal = header.removeprefix(MAGIC).decode("utf-8", "replace").partition(" ")
        if header.startswith(MAGIC) and seal == _seal(owner, content):
            if owner == self.key:
                return unpack_state(content)
            raise RunError(
                f"{path} is a state of another run ({owner}): delete the folder {self.folder} to "
                "train again"
            )
        raise RunError(
            f"{path} is truncated or was edited (its digest does not match), or is of an older "
            f"padalib: delete the folder {self.folder} to train again"
        )

    # --- life ---

    def log(self, line: str) -> None:
        """One line of progress, for whoever watches."""
        with (self.folder / "progress.log").open("a") as file:
            file.write(line + "\n")

    def fail(self, reason: str) -> None:
        """Mark the run failed for a reason that a retry would meet again, and raise RunError."""
        write_bytes(self.folder / "failed.json", json.dumps({"reason": reason}).encode())
        raise RunError(self._failure(reason))

    def _failure(self, reason: str) -> str:
        return f"{self.config.label} failed: {reason}. Delete {self.folder} to try it again"

    def _check_folder(self) -> None:
        mine, path = identity(self.config), self.folder / "config.json"
        if digest(mine) != self.key:
            raise RunError(
                f"{self.config.label} is not what it was when its run was asked for: something "
                "that it uses changed in between; ask again"
            )
        if not path.exists():
            write_bytes(path, json.dumps(mine, indent=1, sort_keys=True).encode())
            return
        mine = json.loads(json.dumps(mine))
        try:
            theirs = {**json.loads(path.read_text())}
        except (ValueError, TypeError):
            theirs = {}
        if theirs != mine:
            odd = [name for name in mine if theirs.get(name) != mine[name]]
            raise RunError(
                f"the run folder {self.folder} was made by other code or another config (different "
                f"{', '.join(odd)}): move it away to compute the run again"
            )

    def compute(self) -> "Run":
        """Finish the run if it is not finished. Only one process at a time computes it."""
        if self.done:
            self._check_folder()
            return self
        lock = self._acquire()
        try:
            self._check_folder()
            if self.done:  # another process finished it while we waited
                return self
            if (self.folder / "failed.json").exists():
                raise RunError(self._failure(self._read_json("failed.json").get("reason")))
            for left in self.folder.glob(".*"):  # by a write that was killed
                left.unlink()
            # Finished once, and asked for more states now: until they are there it is unfinished.
            (self.folder / "done.json").unlink(missing_ok=True)
            with one_thread():
                self.config.compute(self)
            tables = {path.stem: _sha(path.read_bytes()) for path in self.folder.glob("*.csv")}
            record = {"tables": tables, "versions": versions(getattr(self.config, "device", "cpu"))}
            write_bytes(self.folder / "done.json", json.dumps(record, indent=1).encode())
        finally:
            lock.release()
        return self

    def _acquire(self) -> FileLock:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / "lock")
            lock.acquire()
        except OSError as error:
            raise RunError(
                f"cannot write to {self.folder}: {error.strerror or error}. Make it writable, or "
                "set PADALIB_DATA to a folder that is"
            ) from error
        return lock


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread: sums depend on the number of threads, and results must not."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _seal(key: str, content: bytes) -> str:
    return _sha(f"{key} ".encode() + content)


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
