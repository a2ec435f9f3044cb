"""Makes what was computed here the published tables and figures, and writes the pages on them."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from padalib.commands import driver, gallery, notebooks, verdicts
from padalib.commands.reproduction import SMOKE, alike
from padalib.engine import paths


def publish(scale: str, redrawn: bool = False) -> list[str]:
    """Make what was computed here the published tables and figures; says what changed.

    ValueError where this is no whole run of the notebooks as they are now, without parameters of
    one's own. Files that are no longer made are removed. Both folders are prepared before either
    is put in place, and `pages` follow.

    With `redrawn`, what was redrawn from the published tables takes the place of what it follows
    from: figures, claims, and tables derived from other tables; the others stay, and so do tables
    that differ in their last digits only, as those of another processor do.
    """
    if scale == "smoke":
        raise ValueError(f"scale smoke is not published: {SMOKE}")
    folder = paths.own_folder(scale, redrawn)
    chosen = driver.of_scale(scale)
    if redrawn:
        chosen = [path for path in chosen if "redraw" in notebooks.declared(path)]
    known = driver.record(folder)
    found = _obstacles(folder, {path: known.get(path.stem) for path in chosen})
    if found:
        command = "make figures" if redrawn else "make reproduce"
        raise ValueError(
            f"this is no whole run of scale {scale}, so it is not published: {'; '.join(found)}. "
            f"Run `{command} SCALE={scale}`, which computes only what is missing"
        )
    names = [name for path in chosen for name in known[path.stem]["files"]]
    tables, figures = paths.published_results(scale), paths.published_figures(scale)
    files = {
        home: {Path(name).name: folder / name for name in names if name.startswith(f"{kind}/")}
        for kind, home in (("results", tables), ("figures", figures))
    }
    if redrawn:
        files[tables] = {path.name: path for path in tables.glob("*.csv")} | files[tables]
        files = {home: _changed(home, own) for home, own in files.items()}
    with driver.alone(folder, scale):
        said = [_changes(home, own) for home, own in files.items()]
        staged = {home: _stage(home, own) for home, own in files.items()}
        for home, new in staged.items():
            _swap(home, new)
        pages()
    return said


def pages() -> None:
    """Write the page of verdicts and that of figures, from what is published."""
    verdicts.update()
    verdicts.write(paths.project_root() / gallery.PAGE, gallery.page())


def _changed(home: Path, files: Mapping[str, Path]) -> dict[str, Path]:
    """The files, with the published ones in place of tables that are alike."""
    olds = {name: home / name for name in files if name.endswith(".csv")}
    kept = {
        name: old
        for name, old in olds.items()
        if old.exists() and alike(files[name].read_bytes(), old.read_bytes())
    }
    return {**files, **kept}


def _obstacles(folder: Path, known: Mapping[Path, dict | None]) -> list[str]:
    """Why what lies in a scale's folder may not be published; `known` is notebook -> record."""
    found = []
    for path, own in known.items():
        if own is None:
            found.append(f"{path.stem} did not run to its end")
        elif own["parameters"]:
            found.append(f"{path.stem} was run with {', '.join(own['parameters'])} of your own")
        elif own["code"] != driver.digest(path):
            found.append(f"{path.stem} or the package was edited since")
    whole = [own for own in known.values() if own]
    for name, digest in ((n, d) for own in whole for n, d in own["files"].items()):
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
