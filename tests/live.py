"""A copy of the project for tests that run its notebooks, and what they show and save."""

import base64
import io
import os
import re
import shutil
from collections.abc import Iterable
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import numpy as np
from matplotlib.colors import to_rgb
from nbclient import NotebookClient
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
TIMEOUT = 900  # seconds for one cell: against hanging for ever, not a measure of speed


def copy_project(folder: Path) -> Path:
    """The project's code, notebooks at scale `smoke`, and truth tables in `folder`.

    A notebook of supernets that others trained is redrawn from what is published.
    """
    unwanted = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
    for name in ("padalib", "notebooks", "data/truth", "data/results/full"):
        shutil.copytree(ROOT / name, folder / name, ignore=unwanted)
    for path in notebooks(folder):
        book = nbformat.read(path, as_version=4)
        (cell,) = [c for c in book.cells if "parameters" in c.metadata.get("tags", [])]
        if 'scale: str = "full"' in cell.source:
            cell.source = cell.source.replace("redraw: bool = False", "redraw: bool = True", 1)
        else:
            cell.source, found = re.subn(
                'scale: str = "[a-z]+"', 'scale: str = "smoke"', cell.source
            )
            assert found == 1
        nbformat.write(book, path)
    return folder


def notebooks(project: Path) -> list[Path]:
    """The copy's notebooks, in order."""
    return sorted((project / "notebooks").glob("[0-9][0-9]_*.ipynb"))


def environment(project: Path, data: Path) -> dict[str, str]:
    """For processes in which `padalib` is the copy's, and runs go to `data`."""
    (data / "ipython").mkdir(parents=True, exist_ok=True)
    here = {k: v for k, v in os.environ.items() if not k.startswith(("PADALIB_", "MPL"))}
    return here | {
        "PYTHONPATH": str(project),
        "PADALIB_DATA": str(data),
        "JUPYTER_PREFER_ENV_PATH": "1",  # the kernel of this environment
        "IPYTHONDIR": str(data / "ipython"),  # no start-up files of this user's
    }


def execute(path: Path, env: dict[str, str]) -> nbformat.NotebookNode:
    """The notebook with its outputs; a cell that fails raises nbclient's CellExecutionError."""
    book = nbformat.read(path, as_version=4)
    where = {"metadata": {"path": str(path.parent)}}
    client = NotebookClient(book, timeout=TIMEOUT, kernel_name="python3", resources=where)
    client.execute(env=env)
    return book


def shown(book: nbformat.NotebookNode) -> list[dict]:
    """Outputs of the notebook that hold an image, in order."""
    outputs = [output for cell in book.cells for output in cell.get("outputs", [])]
    return [o for o in outputs if any(kind.startswith("image/") for kind in o.get("data", {}))]


def png(output: dict) -> bytes:
    """The picture of an output."""
    return base64.b64decode(output["data"]["image/png"])


def saved(project: Path, notebook: Path) -> dict[str, bytes]:
    """The png files that a notebook wrote, which begin with its number, by name."""
    return {path.name: path.read_bytes() for path in figures(project, notebook.name, "png")}


def files_of(pictures: Iterable[bytes], saved: dict[str, bytes]) -> list[str]:
    """The saved figures that pictures show, each without its caption, which is at the bottom."""
    whole = {name: np.asarray(Image.open(io.BytesIO(content))) for name, content in saved.items()}
    found = []
    for content in pictures:
        picture = np.asarray(Image.open(io.BytesIO(content)))
        own = [name for name, one in whole.items() if _is_top(picture, one)]
        found.append(own[0] if len(own) == 1 else f"{len(own)} figures")
    return sorted(found)


def _is_top(picture: np.ndarray, whole: np.ndarray) -> bool:
    tops = whole[: len(picture)]
    return len(picture) < len(whole) and np.array_equal(picture, tops)


def figures(project: Path, name: str, kind: str) -> list[Path]:
    """The files of figures that a notebook wrote in the copy."""
    found = project.rglob(f"{name[:2]}_*.{kind}")
    return [path for path in found if {"smoke", "redrawn"} & set(path.parts)]


class Page(HTMLParser):
    """The pictures (bytes, alternative text) and captions of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.pictures: list[tuple[bytes, str | None]] = []
        self.captions: list[str] = []
        self.inside = False

    @classmethod
    def of(cls, text: str) -> "Page":
        page = cls()
        page.feed(text)
        return page

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            found = dict(attrs)
            kind, _, content = found["src"].partition(",")
            assert kind == "data:image/png;base64", kind
            self.pictures.append((base64.b64decode(content), found.get("alt")))
        if tag == "figcaption":
            self.captions.append("")
            self.inside = True

    def handle_endtag(self, tag):
        self.inside &= tag != "figcaption"

    def handle_data(self, data):
        if self.inside:
            self.captions[-1] += data


def linear(rgb: np.ndarray) -> np.ndarray:
    """Linear RGB of sRGB, both in [0, 1]."""
    rgb = np.asarray(rgb)
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def contrast(shade: str, opacity: float = 1.0) -> float:
    """WCAG 2.2's contrast ratio of a colour, laid on white paper, to that paper."""
    rgb = 1 - opacity * (1 - np.array(to_rgb(shade)))
    return 1.05 / (float(linear(rgb) @ [0.2126, 0.7152, 0.0722]) + 0.05)


def pale(svg: str, allowed: tuple[str, ...]) -> dict[str, float]:
    """Contrast, where below 3, of each colour that an svg of matplotlib draws with."""
    found = {}
    for style in re.findall(r'style="([^"]*)"', svg):
        look = dict(entry.split(": ", 1) for entry in style.split("; ") if ": " in entry)
        for part in ("fill", "stroke"):
            shade = look.get(part, "none").lower()
            if not shade.startswith("#") or shade in allowed:  # none, or a hatch, itself in here
                continue
            opacity = float(look.get("opacity", 1)) * float(look.get(f"{part}-opacity", 1))
            if (value := contrast(shade, opacity)) < 3:
                found[f"{shade} at {opacity:g}"] = round(value, 2)
    return found
