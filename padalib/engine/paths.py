"""Where things lie on disk: the project's root, the data root, and whose results are whose.

Published: the committed tables and figures, written by `padalib publish` alone. Own: what this
clone computed or redrew, in `build/<scale>/`, never tracked.
"""

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
    """`PADALIB_DATA`, or `data/` in the project: downloads, caches and run folders go there.

    ValueError where it leads nowhere.
    """
    path = Path(os.environ.get("PADALIB_DATA") or project_root() / "data")
    try:
        return path.expanduser().resolve()
    except (RuntimeError, OSError) as error:  # a circle of links, or nobody's home folder
        raise ValueError(
            f"{path} leads to no folder ({error}): set PADALIB_DATA to another"
        ) from None


def published_results(scale: str) -> Path:
    """The committed result tables of a scale, from which its figures are redrawn."""
    return project_root() / "data" / "results" / scale


def published_figures(scale: str) -> Path:
    """The committed figures of a scale."""
    return project_root() / "figures" / scale


def own_folder(scale: str, redraw: bool = False) -> Path:
    """What this clone made of a scale: `results/`, `figures/`, executed notebooks and `html/`.

    What is redrawn from the published tables lies apart from what was computed here.
    """
    return project_root() / "build" / scale / ("redrawn" if redraw else ".")
