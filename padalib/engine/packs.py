"""Finished runs as one file: to carry them to another machine, or to share them.

A pack is a zip of run folders without their states: configs, tables, records. Whatever asks for the
weights of such a run trains it again. Equal runs give equal bytes.
"""

import hashlib
import io
import json
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from padalib.engine import paths
from padalib.engine.files import exists, is_own, write_bytes
from padalib.engine.identity import digest
from padalib.engine.lock import Busy, held

FOLDER = re.compile(r"(?:[a-z0-9.-]*-)?([0-9a-f]{16})")
RECORDS = ("progress.log", "config.json", "done.json")  # the last one is written last
DATE = (1980, 1, 1, 0, 0, 0)
HERE, BEGUN, NEW = "here already", "begun here", "new"


def pack(file: Path) -> str:
    """Pack every finished run of the data root into a file; says what it holds.

    ValueError where there is none, and where some are damaged: then no file is written.
    """
    home = paths.data_root() / "runs"
    found = {
        folder.name: {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if _goes(p)}
        for folder in sorted(home.glob("*"))
        if (folder / "done.json").is_file()
    }
    if not found:
        raise ValueError(f"no run in {home} is finished, so there is nothing to pack")
    _refuse(home, found, "delete their folders to compute them again")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for run, files in found.items():
            for name, content in files.items():
                archive.writestr(_entry(f"{run}/{name}"), content)
    write_bytes(file, buffer.getvalue())
    size = file.stat().st_size / 2**20
    return f"{file}: {_told(found)}; {size:.1f} MiB, without weights"


def unpack(file: Path) -> str:
    """Put the runs of a pack into the data root; says how many are new, and what made them.

    What is there already stays: finished runs, and those that were begun. ValueError for a file
    that is no pack, or was edited: all that is wrong at once, and nothing is put anywhere.
    """
    found = _read(file)
    _refuse(file, found, "get the file again")
    home = paths.data_root() / "runs"
    came = {run: _put(home / run, files) for run, files in found.items()}
    said = [f"{file}: {_told(found)}"]
    said += [f"{n} {how}" for how, n in sorted(Counter(came.values()).items())]
    if BEGUN in came.values():
        said.append("delete the folders of begun ones and unpack again to have these")
    return "; ".join(said)


def _goes(path: Path) -> bool:
    return is_own(path) and (path.suffix == ".csv" or path.name in RECORDS)


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, DATE)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    return entry


def _read(file: Path) -> dict[str, dict[str, bytes]]:
    """Run -> name -> content."""
    found: dict[str, dict[str, bytes]] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(file.read_bytes())) as archive:
            for entry in (one for one in archive.infolist() if not one.is_dir()):
                run, _, name = entry.filename.partition("/")
                found.setdefault(run, {})[name] = archive.read(entry)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ValueError(
            f"{file} is no pack of runs, or is damaged ({error}): get the file again"
        ) from None
    if not found:
        raise ValueError(f"{file} holds no runs")
    return found


def _refuse(where: Path, found: Mapping[str, Mapping[str, bytes]], remedy: str) -> None:
    faults = {run: _fault(run, files) for run, files in found.items()}
    if wrong := [f"- {run}: {fault}" for run, fault in faults.items() if fault]:
        raise ValueError(
            f"{len(wrong)} of {len(found)} runs of {where} are not as they were computed; "
            f"{remedy}:\n" + "\n".join(wrong)
        )


def _fault(run: str, files: Mapping[str, bytes]) -> str | None:
    """Why files cannot be those of a finished run of that name."""
    if not (named := FOLDER.fullmatch(run)):
        return "no name of a run"
    if odd := [name for name in files if name not in RECORDS and not _is_table(name)]:
        return f"{', '.join(odd)} cannot be there"
    try:
        config, record = (json.loads(files[name]) for name in ("config.json", "done.json"))
        tables = {**record["tables"]}
        {**record["versions"]}
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        return f"its config or its record is missing or damaged ({error})"
    if digest(config) != named[1]:
        return "its config is of another run"
    there = {name.removesuffix(".csv") for name in files if _is_table(name)}
    if there != tables.keys():
        return f"its record and its tables differ in {', '.join(sorted(there ^ tables.keys()))}"
    edited = [n for n in tables if hashlib.sha256(files[f"{n}.csv"]).hexdigest() != tables[n]]
    return f"{', '.join(edited)} is not what the run wrote" if edited else None


def _is_table(name: str) -> bool:
    return name.endswith(".csv") and re.fullmatch(r"\w[\w.-]*", name) is not None


def _put(folder: Path, files: Mapping[str, bytes]) -> str:
    if exists(folder / "done.json"):
        return HERE
    try:
        with held(folder, folder.name, wait=False):
            if exists(folder / "done.json"):
                return HERE
            if any(folder.glob("*.pt")) or exists(folder / "failed.json"):
                return BEGUN
            tables = [name for name in files if name not in RECORDS]
            for name in (*tables, *(name for name in RECORDS if name in files)):
                write_bytes(folder / name, files[name])
    except Busy:
        return BEGUN
    return NEW


def _told(found: Mapping[str, Mapping[str, bytes]]) -> str:
    """How many runs there are, and what made them."""
    made = Counter()
    for files in found.values():
        versions = json.loads(files["done.json"])["versions"]
        made[f"torch {versions.get('torch')} on {versions.get('device')}"] += 1
    parts = [f"{n} by {how}" for how, n in made.most_common()]
    return f"{len(found)} finished run{'s' * (len(found) != 1)}, {', '.join(parts)}"
