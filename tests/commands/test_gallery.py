"""The page of the published figures: all are on it, in order, and its links lead somewhere."""

import re
import subprocess
from itertools import pairwise
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from matplotlib.figure import Figure

from padalib.commands import gallery, publishing, verdicts
from padalib.engine import paths
from padalib.study import figures

ROOT = Path(__file__).parents[2]
SAID = {
    "laptop/01_a": "It is, [0, 1].",
    "cifar/01_b": "",
    "cifar/01_a": "So it is – ½.",
    "full/05_c": "No.",
}
UNCHANGED = ["git", "diff", "--quiet", "HEAD", "--", "figures", "notebooks"]


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """Three figures of two scales, by two notebooks; one of them is not there."""
    monkeypatch.setattr(paths, "project_root", lambda: tmp_path)
    for place in ("laptop/01_a", "cifar/01_b", "cifar/01_a", "full/05_c"):
        path = tmp_path / "figures" / place
        figures.save(Figure(), path.parent, path.stem, pd.DataFrame(), SAID[place])
    (tmp_path / "notebooks").mkdir()
    heading = nbformat.v4.new_markdown_cell("# Is it so, PA&DA?\n\nAsked.")
    nbformat.write(nbformat.v4.new_notebook(cells=[heading]), tmp_path / "notebooks/01_asked.ipynb")
    return tmp_path


def test_figures_stand_by_notebook_then_by_name_then_by_scale(project):
    own = [(scale, path.stem) for scale, path in gallery.drawn()]
    assert own == [("cifar", "01_a"), ("laptop", "01_a"), ("cifar", "01_b"), ("full", "05_c")]
    lines = gallery.page().splitlines()
    assert [line for line in lines if line.startswith("## ")] == [
        "## How to read them",
        "## 01: Is it so, PA&DA?",
        "## 05: 05",
    ]
    assert "- [01: Is it so, PA&DA?](#01-is-it-so-pada)" in lines
    assert "Drawn by [`01_asked.ipynb`](../notebooks/01_asked.ipynb)." in lines
    shown = [re.search(r"\(([^()]*)\.png\)", line)[1] for line in lines if line.startswith("![")]
    assert shown == ["cifar/01_a", "laptop/01_a", "cifar/01_b", "full/05_c"]
    assert all(a or b for a, b in pairwise(lines))  # one blank line, never two
    assert lines.count("<details><summary>Its caption as text</summary>") == 3
    assert "![It is, [0, 1].](laptop/01_a.png)".replace("[0, 1]", "(0, 1)") in lines
    assert lines.count("It is, [0, 1].") == 1
    assert "![01_b at scale cifar](cifar/01_b.png)" in lines  # without a caption
    assert "Without a figure yet, for their scales were not run: " not in "".join(lines)


def test_a_notebook_without_a_figure_is_named(project):
    other = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Later?")])
    nbformat.write(other, project / "notebooks/07_later.ipynb")
    assert "not run: [`07_later`](../notebooks/07_later.ipynb)." in gallery.page()


def test_publishing_writes_it(project):
    publishing.pages()
    page = project / gallery.PAGE
    assert page.read_text() == gallery.page()
    (project / "figures/full/05_c.png").unlink()
    publishing.pages()
    assert "05_c" not in page.read_text()


@pytest.mark.skipif(
    subprocess.run(UNCHANGED, cwd=ROOT, check=False).returncode != 0,
    reason="figures or notebooks are being changed here, or this is no clone",
)
def test_the_committed_page_shows_every_figure_and_its_links_lead_somewhere():
    text = (ROOT / gallery.PAGE).read_text()
    assert text == gallery.page()
    pictures = {str(path.relative_to(ROOT / "figures")) for path in ROOT.glob("figures/*/*.png")}
    links = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", text)
    assert {link for link in links if link.endswith(".png")} == pictures
    assert [link for link in links if not (ROOT / "figures" / link).exists()] == []
    headings = {verdicts.anchor(line[3:]) for line in text.splitlines() if line.startswith("## ")}
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) == headings
