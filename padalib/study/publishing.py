"""Makes what was computed here the published tables and figures, and writes the pages on them."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from padalib.engine import paths
from padalib.study import driver, notebooks, readme
from padalib.study.reproduction import SMOKE


def publish(scale: str) -> list[str]:
    """Make what was computed here the published tables and figures; says what changed.

    ValueError where this is no whole run of the notebooks as they are now, without parameters of
    one's own. Files that are no longer made are removed. Both folders are prepared before either
    is put in place, and the README follows.
    """
    if scale == "smoke":
        raise ValueError(f"scale smoke is not published: {SMOKE}")
    folder = paths.own_folder(scale)
    known = driver.record(folder)
    if found := _obstacles(folder, known):
        raise ValueError(
            f"this is no whole run of scale {scale}, so it is not published: {'; '.join(found)}. "
            f"Run `make reproduce SCALE={scale}`, which computes only what is missing"
        )
    names = [name for own in known.values() for name in own["files"]]
    homes = {
        "results": paths.published_results(scale),
        "figures": paths.published_figures(scale),
    }
    said, staged = [], {}
    for kind, home in homes.items():
        files = {Path(n).name: folder / n for n in names if n.startswith(f"{kind}/")}
        said.append(_changes(home, files))
        staged[home] = _stage(home, files)
    for home, new in staged.items():
        _swap(home, new)
    readme.update()
    return said


def _obstacles(folder: Path, known: Mapping[str, dict]) -> list[str]:
    """Why what lies in a scale's folder may not be published."""
    found = []
    for path in notebooks.find():
        own = known.get(path.stem)
        if own is None:
            found.append(f"{path.stem} did not run to its end")
        elif own["parameters"]:
            found.append(f"{path.stem} was run with {', '.join(own['parameters'])} of your own")
        elif own["code"] != driver.digest(path):
            found.append(f"{path.stem} or the package was edited since")
    for name, digest in ((n, d) for own in known.values() for n, d in own["files"].items()):
        path = folder / name
        if not path.exists() or driver.file_digest(path) != digest:
            found.append(f"{name} was {'changed' if path.exists() else 'removed'} since")
    return found


def _changes(home: Path, files: Mapping[str, Path]) -> str:
    old = {path.name for path in home.glob("*.*")}
    added, removed = sorted(files.keys() - old), sorted(old - files.keys())
    changed = [n for n in files if n in old and (home / n).read_bytes() != files[n].read_bytes()]
    parts = [f"{len(files)} files", f"{len(changed)} changed"]
    parts += [f"new: {', '.join(added)}"] if added else []
    parts += [f"removed: {', '.join(removed)}"] if removed else []
    return f"{home}: {', '.join(parts)}"


def _stage(home: Path, files: Mapping[str, Path]) -> Path:
    """A folder beside `home` with the new content, complete."""
    new = home.with_name(f".{home.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    for name, path in files.items():
        shutil.copyfile(path, new / name)
    return new


def _swap(home: Path, new: Path) -> None:
    old = home.with_name(f".{home.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if home.exists():
        home.rename(old)
    try:
        new.rename(home)
    except OSError:
        old.rename(home)
        raise
    shutil.rmtree(old, ignore_errors=True)
