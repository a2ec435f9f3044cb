"""Where things lie on disk: the project's root, and the data root with its caches and runs."""

import os
from pathlib import Path


def project_root() -> Path:
    """The folder that holds `notebooks/` and `padalib/`: above this file, else above the cwd."""
    for start in (Path(__file__).resolve(), Path.cwd() / "x"):
        for folder in start.parents:
            if (folder / "notebooks").is_dir() and (folder / "padalib").is_dir():
                return folder
    return Path.cwd()


def data_root() -> Path:
    """`PADALIB_DATA`, or `data/` in the project: downloads, caches and run folders go there."""
    return Path(os.environ.get("PADALIB_DATA") or project_root() / "data").expanduser().resolve()


def results_dir(scale: str) -> Path:
    """The committed result tables of a scale, from which its figures are drawn."""
    return project_root() / "data" / "results" / scale


def figures_dir(scale: str) -> Path:
    """The committed figures of a scale."""
    return project_root() / "figures" / scale
