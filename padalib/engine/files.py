"""Files written whole or not at all, and what to say where that cannot be done."""

import errno
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO

import pandas as pd

from padalib.engine import paths

PARTIAL = ".partial"  # ends the name of a file that is being written, and of no other
FULL = (errno.ENOSPC, errno.EDQUOT)
SPACE = "Free some space", "a folder on another disk"
LOCKS = "The disk keeps no locks, as some network disks do: use a local one", "a folder on one"
IN_THE_WAY = "Something of that name is in the way: move it", "another folder"
# What to do, and where the data root would be better off, if that helps.
REMEDIES = {
    **dict.fromkeys(FULL, SPACE),
    **dict.fromkeys((errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP), LOCKS),
    **dict.fromkeys((errno.EEXIST, errno.ENOTDIR, errno.EISDIR), IN_THE_WAY),
    errno.ELOOP: ("It is a link, or lies behind links that go in a circle: remove the link", None),
    errno.ENAMETOOLONG: ("Use shorter names", "a folder with a shorter path"),
    errno.EFBIG: ("Files may not be so large here: raise the limit (`ulimit -f`)", None),
}


class RunError(RuntimeError):
    """A run that cannot be made or read; the message says which, why and what to do."""


def read_table(source: Path | IO[bytes]) -> pd.DataFrame:
    """A table as it was written: only what is empty is missing, for 'NA' and 'null' are names.

    And a code is a text: "3", where a space has one choice.
    """
    codes = {"code": str}
    empty = {"keep_default_na": False, "na_values": [""]}
    return pd.read_csv(source, dtype=codes, low_memory=False, **empty)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; RunError when the disk is full or may not be written.

    A link of that name is replaced, not followed.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(PARTIAL, f".{path.name[:50]}.", path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp's own mode shuts out everybody else
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        size = f" ({len(content):,} bytes)" if error.errno in FULL else ""
        raise cannot(f"write {path}{size}", path, error) from error
    finally:
        if temporary:
            with suppress(OSError):
                os.unlink(temporary)


def clear_partial(folder: Path) -> None:
    """Remove what killed writes left in a folder that nobody else writes to now."""
    for left in folder.glob(f".*{PARTIAL}"):
        if is_own(left):
            left.unlink()


def is_own(path: Path) -> bool:
    """Whether it can be a file that `write_bytes` made: no link, no folder."""
    return path.is_file() and not path.is_symlink()


def exists(path: Path) -> bool:
    """Whether it is there; RunError where that cannot be told."""
    try:
        return path.exists()
    except OSError as error:
        raise cannot(f"look for {path}", path, error) from error


def make_folder(folder: Path) -> None:
    """Make a folder to write to; RunError where that fails, or where it is a link."""
    if folder.is_symlink():
        raise RunError(
            f"{folder} is a link to {os.readlink(folder)}, and nothing is written through links: "
            "put the folder itself there, or remove the link to begin anew"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot(f"write to {folder}", folder, error) from error


def drop_unused(folder: Path, *files: str) -> None:
    """Remove a folder that holds none but these files, with them; where it holds more, nothing."""
    with suppress(OSError):
        if {path.name for path in folder.iterdir()} <= {*files}:
            for name in files:
                (folder / name).unlink(missing_ok=True)
            folder.rmdir()


def lines(path: Path) -> list[str]:
    """The lines of a text file; none where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def cannot(do: str, path: Path, error: OSError) -> RunError:
    """What to say where the file system refused, and the remedy for that refusal."""
    remedy, elsewhere = REMEDIES.get(error.errno, ("Make the folder writable", "one that is"))
    if elsewhere and path.is_relative_to(paths.data_root()):
        remedy += f", or set PADALIB_DATA to {elsewhere}"
    if error.errno in FULL:
        return RunError(f"the disk is full: cannot {do}. {remedy}; finished work is kept")
    return RunError(f"cannot {do}: {error.strerror or error}. {remedy}")
