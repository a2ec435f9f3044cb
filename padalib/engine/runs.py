"""Content-addressed runs: config -> hash -> folder. Nothing here knows what a run means.

A config is a frozen dataclass with `compute(run)`, `inputs()` (what else its result depends on,
such as the data's hash), `label`, `ticks` (progress lines it will write) and, where it has them,
`needs` (configs of the runs that it builds on), `check()` (ValueError for inputs that cannot be
used) and `states` (names of states to find in its folder). A field that changes no result has
metadata {"identity": False}; one that does where it is not None has "given". A run is computed
once: under a lock, resumed if it was cut, and read from its folder ever after.
"""

import copy
import hashlib
import io
import json
import os
import re
import sys
from contextlib import suppress
from functools import cached_property
from typing import Any, Protocol

import pandas as pd
import torch

from padalib.engine import devices, paths
from padalib.engine.files import (
    RunError,
    cannot,
    clear_partial,
    drop_unused,
    exists,
    is_own,
    lines,
    make_folder,
    read_table,
    write_bytes,
)
from padalib.engine.identity import digest, identity, key
from padalib.engine.lock import held
from padalib.engine.machine import one_thread, told, versions

MAGIC = b"padalib state of "
SO_FAR = "so_far"  # the state that a run goes on from: of no use once it is done


class Config(Protocol):
    """What `runs` asks of a config."""

    label: str
    ticks: int

    def inputs(self) -> dict[str, Any]: ...

    def compute(self, run: "Run") -> None: ...


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


class Run:
    """The folder of one config's run, and how to read and write it."""

    def __init__(self, config: Config) -> None:
        self.config = config
        label = re.sub(r"[^A-Za-z0-9.]+", "-", config.label)[:100].strip("-.").lower()
        self.folder = paths.data_root() / "runs" / f"{label}-{self.key}"

    def __repr__(self) -> str:
        return f"Run({self.config.label!r}, {self.key}, {'done' if self.done else 'not done'})"

    @cached_property
    def key(self) -> str:
        """The run's name in result tables."""
        return key(self.config)

    @cached_property
    def needs(self) -> list["Run"]:
        """The runs that it builds on."""
        return [Run(config) for config in getattr(self.config, "needs", ())]

    @property
    def done(self) -> bool:
        """Whether its tables are there, and the states asked for that could be made here."""
        return self._finished and not (self._missing() and devices.here(self._device))

    @property
    def _finished(self) -> bool:
        """Whether it was computed to its end, perhaps by a config that asks for fewer states."""
        return exists(self.folder / "done.json")

    @property
    def _device(self) -> str:
        return getattr(self.config, "device", "cpu")

    def _missing(self) -> list[str]:
        return [name for name in getattr(self.config, "states", ()) if not self.has_state(name)]

    def record(self) -> dict[str, Any]:
        """Versions, names of states, digests of tables of a finished run; RunError if damaged."""
        return self._read_json("done.json", tables=dict, versions=dict)

    def _read_json(self, name: str, **kinds: type) -> dict[str, Any]:
        try:
            content = {**json.loads((self.folder / name).read_text(encoding="utf-8"))}
            for field, kind in kinds.items():
                if not isinstance(content.get(field), kind):
                    raise ValueError(f"its {field!r} is no {kind.__name__}")
            return content
        except (ValueError, TypeError, RecursionError, OSError) as error:
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
        if not self._finished:
            raise RunError(f"run {self.folder} is not finished: ask `launch.grid` for it first")
        path = self.folder / f"{name}.csv"
        content = path.read_bytes() if path.is_file() else None
        if content is None or _sha(content) != self.record()["tables"].get(name):
            state = "is missing" if content is None else "is not what the run wrote"
            raise RunError(f"{path} {state}: delete the folder {self.folder} to compute it again")
        return read_table(io.BytesIO(content))

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
            raise RunError(
                f"{path} is missing: weights do not travel in packs. {devices.only(self._device)}"
                "`launch.grid([config.keeping(epoch)])`, with the run's config and the epoch whose "
                "weights are wanted, trains it again"
            )
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
        """One line of progress: one tick of the config's."""
        path = self.folder / "progress.log"
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
        try:
            with open(os.open(path, flags, 0o644), "wb") as file:
                file.write(line.replace("\n", " ").encode(errors="backslashreplace") + b"\n")
        except OSError as error:
            raise cannot(f"write {path}", path, error) from error

    def resume(self, ticks: int) -> None:
        """Say how many ticks are behind it where it goes on: the log may hold more, or fewer."""
        logged = lines(self.folder / "progress.log")
        if len(logged) != ticks:
            logged = [*logged, *["(cut before its line)"] * ticks][:ticks]
            content = "".join(line + "\n" for line in logged).encode()
            write_bytes(self.folder / "progress.log", content)

    def progress(self) -> list[str]:
        """The lines logged by the computation that is under way, or was cut."""
        anew = self._finished and not self.done
        return lines((self._again() if anew else self).folder / "progress.log")

    @property
    def under_way(self) -> bool:
        """Whether somebody seems to compute it now."""
        return exists(self.folder / "holder.json")

    def fail(self, reason: str) -> None:
        """Mark the run failed for a reason that a retry would meet again, and raise RunError."""
        write_bytes(self.folder / "failed.json", json.dumps({"reason": reason}).encode())
        raise RunError(self._failure(reason))

    def _failure(self, reason: str) -> str:
        return f"{self.config.label} failed: {reason}. Delete {self.folder} to try it again"

    def _check_folder(self, mine: dict[str, Any]) -> None:
        try:
            theirs = self._read_json("config.json")
        except RunError:
            theirs = {}
        if theirs != mine:
            odd = [name for name in mine if theirs.get(name) != mine[name]]
            raise RunError(
                f"the run folder {self.folder} was made by other code or another config (different "
                f"{', '.join(odd)}): move it away to compute the run again"
            )

    def compute(self, wait: bool = True) -> "Run":
        """Finish the run if it is not finished. Only one process at a time computes it.

        While another does: wait for its end, or raise Busy.
        """
        mine = identity(self.config)
        if digest(mine) != self.key:
            raise RunError(
                f"{self.config.label} is not what it was when its run was asked for: something "
                "that it uses changed in between; ask again"
            )
        text = json.dumps(mine, indent=1, sort_keys=True)
        mine = json.loads(text)  # as it is read from a folder
        if self.done:
            self._check_folder(mine)
            self.record()
            return self
        with held(self.folder, self.config.label, wait):
            if not exists(self.folder / "config.json"):
                write_bytes(self.folder / "config.json", text.encode())
            self._check_folder(mine)
            again = self._again()
            if again._finished:  # and was cut before all of it had moved
                self._take_over(again)
            if self.done:  # another process finished it while we waited
                return self
            if self._finished:  # others may read it, so it stays as it is until there is more
                again._finish()
                self._take_over(again)
            else:
                self._finish()
        return self

    def _finish(self) -> None:
        make_folder(self.folder)
        if exists(self.folder / "failed.json"):
            raise RunError(self._failure(self._read_json("failed.json", reason=str)["reason"]))
        clear_partial(self.folder)
        try:
            with one_thread():
                self.config.compute(self)
        except BaseException:  # what was refused before it had written anything is no run
            drop_unused(self.folder, "config.json", "holder.json", "lock")
            raise
        if missing := self._missing():
            raise RunError(
                f"{self.config.label} ended without the states {', '.join(missing)}, which its "
                "config asks for: correct `keep`, or the config's `compute`"
            )
        record = {
            "states": sorted(
                path.stem
                for path in self.folder.glob("*.pt")
                if is_own(path) and path.stem != SO_FAR
            ),
            "tables": {
                path.stem: _sha(path.read_bytes())
                for path in self.folder.glob("*.csv")
                if is_own(path)
            },
            "versions": versions(self._device),
        }
        write_bytes(self.folder / "done.json", json.dumps(record, indent=1).encode())
        (self.folder / f"{SO_FAR}.pt").unlink(missing_ok=True)

    def _again(self) -> "Run":
        """The same run computed anew, because of a finished one more states are asked for."""
        again = copy.copy(self)
        again.folder = self.folder / "again"
        return again

    def _take_over(self, again: "Run") -> None:
        """Move what was computed again to where the old was; may be cut anywhere, and repeated.

        Where it is the same, whoever reads meanwhile finds what is on record at every moment.
        Elsewhere (another torch, another machine) the old must not be mixed with the new: its
        tables and its record go to `replaced/`.
        """
        new, mine = again.record(), self.folder / "done.json"
        try:
            if not (self._finished and self.record()["tables"] == new["tables"]):
                if self._finished:
                    self._keep_replaced(new)
                mine.unlink(missing_ok=True)
                for old in self.folder.glob("*.pt"):
                    if old.stem not in new["states"]:
                        old.unlink()
            for pattern in ("*.pt", "*.csv", "done.json", "progress.log"):
                for path in filter(is_own, again.folder.glob(pattern)):
                    path.replace(self.folder / path.name)
            with suppress(OSError):  # somebody keeps something of their own in it
                again.folder.rmdir()
        except OSError as error:
            raise cannot(f"write to {self.folder}", self.folder, error) from error

    def _keep_replaced(self, new: dict[str, Any]) -> None:
        old, kept = self.record(), self.folder / "replaced"
        for name in (*(f"{table}.csv" for table in old["tables"]), "done.json"):
            if is_own(self.folder / name):
                write_bytes(kept / name, (self.folder / name).read_bytes())
        before, now = (told(record["versions"]) for record in (old, new))
        print(
            f"{self.config.label} was computed again, by {now}, and is not what {before} had "
            f"found, which is kept in {kept}; runs that used the old weights stay as they are",
            file=sys.stderr,
            flush=True,
        )


def _seal(key: str, content: bytes) -> str:
    return _sha(f"{key} ".encode() + content)


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
