"""Finished runs as one file: to carry them to another machine, or to share them.

A pack is a zip of run folders without their states: configs, tables, records. Whatever asks for the
weights of such a run trains it again. Equal runs give equal bytes.
"""

import hashlib
import io
import json
import lzma
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from padalib.engine import devices, paths
from padalib.engine.files import exists, is_own, write_bytes
from padalib.engine.identity import digest
from padalib.engine.lock import Busy, held
from padalib.engine.machine import told, versions

FOLDER = re.compile(r"(?:[a-z0-9][a-z0-9.-]{0,99}-)?([0-9a-f]{16})")
TABLE = re.compile(r"\w[\w.-]{0,95}\.csv", re.ASCII)
RECORDS = ("progress.log", "config.json", "done.json")  # the last one is written last
DAMAGE = (zlib.error, lzma.LZMAError, EOFError, OSError, ValueError, RuntimeError)
DATE = (1980, 1, 1, 0, 0, 0)
HERE, BUSY, BEGUN, NEW = "here already", "being computed now", "begun here", "new"


def pack(file: Path) -> str:
    """Pack every finished run of the data root into a file; says what it holds.

    ValueError where there is none, where some are damaged, and where the file is there and is no
    zip: then nothing is written.
    """
    if file.exists() and not zipfile.is_zipfile(file):
        raise ValueError(f"{file} is there and is no pack: give another name, or move it away")
    home = paths.data_root() / "runs"
    folders = [one for one in sorted(home.glob("*")) if FOLDER.fullmatch(one.name)]
    found = {one.name: _of_run(one) for one in folders if is_own(one / "done.json")}
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
    if BUSY in came.values():
        said.append("unpack again later if those that are being computed should fail")
    of: dict[str, set[str]] = {}
    for files in found.values():
        of.setdefault(_device(files), set()).add(_made(files))
    for device, made in sorted(of.items()):
        if not devices.read_by(device):
            said.append(
                f"those of device {device!r} are found where PADALIB_DEVICE={device} is set: "
                "without it they may be trained anew"
            )
        if devices.here(device) and made != {machine := told(versions(device))}:
            said.append(
                f"this machine is {machine}, so what is trained here beside them is of two kinds: "
                "set PADALIB_DATA to another folder before to keep them apart"
            )
    begun = [str(home / run) for run, how in came.items() if how == BEGUN]
    if begun:
        said.append(
            f"to have those begun from the pack, delete {', '.join(begun)} and unpack again"
        )
    return "; ".join(said)


def _device(files: Mapping[str, bytes]) -> str:
    """The device of a run's config; the CPU where it names none that torch knows."""
    try:
        device = json.loads(files["config.json"])["config"]["device"]
        devices.check_name(device)
    except (ValueError, TypeError, KeyError):
        return "cpu"
    return device


def _of_run(folder: Path) -> dict[str, bytes]:
    """Its records and the tables that these name; what else lies there is its owner's."""
    try:
        tables = json.loads((folder / "done.json").read_bytes())["tables"]
        names = sorted({*(f"{table}.csv" for table in tables), *RECORDS})
    except (ValueError, TypeError, KeyError, RecursionError):
        names = sorted(RECORDS)  # and its fault is told
    return {name: (folder / name).read_bytes() for name in names if is_own(folder / name)}


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, DATE)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    return entry


def _read(file: Path) -> dict[str, dict[str, bytes]]:
    """Run -> name -> content."""
    found: dict[str, dict[str, bytes]] = {}
    if not file.is_file():
        raise ValueError(f"there is no file {file}: name one that `padalib pack` wrote")
    content = file.read_bytes()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for entry in (one for one in archive.infolist() if not one.is_dir()):
                run, _, name = entry.filename.partition("/")
                found.setdefault(run, {})[name] = archive.read(entry)
    except (zipfile.BadZipFile, *DAMAGE) as error:
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
    return TABLE.fullmatch(name) is not None


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
        return BUSY
    return NEW


def _made(files: Mapping[str, bytes]) -> str:
    return told(json.loads(files["done.json"])["versions"])


def _told(found: Mapping[str, Mapping[str, bytes]]) -> str:
    """How many runs there are, and what made them."""
    made = Counter(map(_made, found.values()))
    parts = [f"{n} by {how}" for how, n in made.most_common()]
    return f"{len(found)} finished run{'s' * (len(found) != 1)}, {', '.join(parts)}"
