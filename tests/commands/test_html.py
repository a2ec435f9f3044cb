"""Pages of executed notebooks: complete, linked, and asking for nothing."""

import base64
import os
import shutil
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from made_up import write
from nbformat.v4 import new_markdown_cell, new_output

from padalib.cli import main
from padalib.commands import driver, html
from padalib.engine import paths
from padalib.study import claims
from padalib.study.claims import Claim, Interval

ROOT = Path(__file__).resolve().parents[2]
PIXEL = base64.b64encode(b"\x89PNG").decode()
# Every tag that makes a browser fetch something, and where it says what.
SOURCES = {"src", "srcset", "data", "poster", "background", "action", "formaction"}


class Page(HTMLParser):
    """What is asked for, linked to and said by a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.asked, self.links, self.images, self.tags = [], [], [], []
        self.text = path.read_text()
        self.feed(self.text)

    def handle_starttag(self, tag, attrs):
        own = dict(attrs)
        self.tags.append(tag)
        self.asked += [value for name, value in own.items() if name in SOURCES]
        if tag == "link":
            self.asked.append(own.get("href"))
        if tag == "a":
            self.links.append(own.get("href"))
        if tag == "img":
            self.images.append(own.get("alt"))


def cell_with(path: Path, *found: nbformat.NotebookNode, tag: str | None = None) -> None:
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[-1].outputs = list(found)
    if tag:
        notebook.cells[-1].metadata.tags = [tag]
    nbformat.write(notebook, path)


def drawn(**metadata) -> nbformat.NotebookNode:
    return new_output("display_data", {"image/png": PIXEL}, metadata={"image/png": metadata})


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(paths, "project_root", lambda: tmp_path)
    folder = tmp_path / "build/smoke"
    path = write(folder / "00_a.ipynb", "figure()")
    cell_with(path, drawn(alt="tau of <both> methods"), drawn())
    notebook = nbformat.read(path, as_version=4)
    text = (
        "# What is α?\n\nSee [next](01_b.ipynb#here), [far](https://example.org/x.ipynb), "
        "$\\alpha \\sim p_i$ and `$5`.\n\n$$\\sum_i \\frac{1}{q_i}$$\n\n"
        "\\begin{align}a &= b\\end{align}\n\n<script src='https://cdn.example/x.js'></script>"
    )
    notebook.cells[0] = new_markdown_cell(text)
    nbformat.write(notebook, path)
    write(folder / "01_b.ipynb", "print('b')")
    path = write(folder / "02_c.ipynb", "bar()")
    result = new_output("execute_result", data={"text/plain": "THE RESULT"})
    cell_with(path, new_output("stream", text="BAR"), result, tag="progress")
    for stem in ("00_a", "01_b", "02_c", "03_not_run"):
        write(tmp_path / f"notebooks/{stem}.ipynb")
    write(folder / "04_renamed_since.ipynb")
    return folder


def test_the_pages_ask_for_nothing(folder, capsys):
    live = {html.LIVE[0]: {"model_id": "x"}, "text/plain": "HBox(...)"}
    cell_with(folder / "01_b.ipynb", new_output("display_data", live))
    assert main(["html", "--scale", "smoke"]) == 0
    assert capsys.readouterr().out.strip() == str(folder / "html/index.html")
    pages = {path.name: Page(path) for path in (folder / "html").iterdir()}
    assert set(pages) == {"index.html", "00_a.html", "01_b.html", "02_c.html"}
    for page in pages.values():
        assert "Smoke shows that it runs; its numbers mean nothing." in page.text
        assert all(asked.startswith("data:") for asked in page.asked)
        assert not {"script", "link", "iframe", "object", "embed"} & set(page.tags)
        assert "url(" not in page.text and "@import" not in page.text
        assert 'http-equiv="Content-Security-Policy" content="default-src \'none\';' in page.text
        assert "MathJax" not in page.text and "require" not in page.text
    assert "HBox" not in pages["01_b.html"].text


def test_formulas_are_mathml(folder):
    assert main(["html", "--scale", "smoke"]) == 0
    text = (folder / "html/00_a.html").read_text()
    assert text.count("<math") == text.count("</math>") == 3
    assert text.count('display="block"') == 2 and "<mfrac>" in text and "<msub>" in text
    assert "<code>$5</code>" in text
    assert html.mathml("\\alpha \\sim p").count("<mo>") == 1
    assert html.mathml("\\lVert g\\rVert^2").count('<mo stretchy="false">') == 2
    assert html.mathml("a < b_") == "<code>a &lt; b_</code>"


def test_pages_have_titles_and_lead_to_each_other(folder):
    assert main(["html", "--scale", "smoke"]) == 0
    first, middle, last = (Page(folder / f"html/{n}.html") for n in ("00_a", "01_b", "02_c"))
    assert "<title>What is α? · smoke</title>" in first.text
    assert first.links[:2] == ["index.html", "01_b.html"] and first.links[-1] == "01_b.html"
    assert middle.links[:3] == ["00_a.html", "index.html", "02_c.html"]
    assert last.links[:2] == ["01_b.html", "index.html"]
    assert "01_b.html#here" in first.links and "https://example.org/x.ipynb" in first.links


def test_relative_links_lead_from_the_page_to_files_of_the_project(folder, tmp_path):
    for name in ("README.md", "tests/test a.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    links = {
        "../README.md#a-part": "../../../README.md#a-part",
        "../tests/test%20a.py": "../../../tests/test%20a.py",
        "01_b.ipynb": "01_b.html",
        "./01_b.ipynb#here": "01_b.html#here",
        "../notebooks/02_c.ipynb": "02_c.html",
        "03_not_run.ipynb": "../../../notebooks/03_not_run.ipynb",
        "#below": "#below",
        "mailto:a@example.org": "mailto:a@example.org",
        "https://example.org/a#b": "https://example.org/a#b",
    }
    notebook = nbformat.read(folder / "00_a.ipynb", as_version=4)
    notebook.cells[0] = new_markdown_cell("# A\n\n" + " ".join(f"[x]({link})" for link in links))
    nbformat.write(notebook, folder / "00_a.ipynb")
    assert main(["html", "--scale", "smoke"]) == 0
    found = [link for link in Page(folder / "html/00_a.html").links if link != "#A"]
    assert found[2:-2] == list(links.values())
    assert dead(folder / "html") == []


def dead(pages: Path) -> list[str]:
    """The relative links of pages that lead nowhere."""
    found = [(path, link) for path in pages.glob("*.html") for link in Page(path).links]
    own = [(path, link) for path, link in found if not urlsplit(link).scheme and link[0] != "#"]
    assert own
    return [link for path, link in own if not (path.parent / unquote(urlsplit(link).path)).exists()]


def test_no_link_of_the_projects_own_notebooks_is_dead_on_its_page(tmp_path, monkeypatch):
    for entry in ROOT.iterdir():
        if entry.name != "build":
            (tmp_path / entry.name).symlink_to(entry)
    monkeypatch.setattr(paths, "project_root", lambda: tmp_path)
    for redraw in (False, True):
        folder = paths.own_folder("smoke", redraw)
        shutil.rmtree(tmp_path / "build", ignore_errors=True)
        folder.mkdir(parents=True)
        for path in ROOT.glob("notebooks/*.ipynb"):
            if "](../" in (text := path.read_text()) or ".ipynb)" in text:
                shutil.copy(path, folder)
        pages = html.write("smoke").parent
        assert pages == tmp_path / "build/smoke/html" and dead(pages) == []


def test_images_have_alt_texts(folder):
    assert main(["html", "--scale", "smoke"]) == 0
    page = Page(folder / "html/00_a.html")
    assert page.images == ["tau of <both> methods", "figure of What is α?"]


def test_progress_is_left_out_and_old_pages_go(folder):
    (folder / "html").mkdir()
    (folder / "html/09_old.html").touch()
    assert main(["html", "--scale", "smoke"]) == 0
    assert "BAR" not in (folder / "html/02_c.html").read_text()
    assert "THE RESULT" in Page(folder / "html/02_c.html").text
    assert ">bar</span>" in Page(folder / "html/02_c.html").text
    assert not (folder / "html/09_old.html").exists()


def test_the_index_has_the_verdicts(folder, tmp_path, monkeypatch):
    own = Claim(
        "01.a", "*it* <grows>", "shown", "by much", 0.4, (Interval(0.3, 0.5, "seeds", 5),), "tau"
    )
    (folder / "results").mkdir()
    claims.table([own]).to_csv(folder / "results/claims_01.csv", index=False)
    monkeypatch.setattr(driver, "record", lambda folder: {"00_a": {}, "01_b": {}})
    assert main(["html", "--scale", "smoke"]) == 0
    index = Page(folder / "html/index.html")
    assert index.links == ["00_a.html", "01_b.html", "02_c.html", "01_b.html"]
    assert (
        "<em>it</em> &lt;grows&gt;</a></td><td>shown</td><td>+0.40 [+0.30, +0.50] tau" in index.text
    )
    assert "its numbers mean nothing" in index.text
    assert index.text.count("did not run to its end") == 1

    home = tmp_path / "data/results/smoke"
    home.mkdir(parents=True)
    claims.table([own]).to_csv(home / "claims_01.csv", index=False)
    assert main(["html", "--scale", "smoke"]) == 0
    assert "agrees: yes, identical" in (folder / "html/index.html").read_text()

    lost = Claim("01.a", "is lost", claims.UNMEASURABLE, "one seed of 3 is below zero")
    claims.table([lost]).to_csv(folder / "results/claims_01.csv", index=False)
    assert main(["html", "--scale", "smoke"]) == 0
    text = (folder / "html/index.html").read_text()
    assert "<td>not measurable</td><td></td><td>one seed of 3 is below zero" in text
    assert "agrees: no: another verdict" in text


def test_what_was_redrawn_is_shown_where_nothing_was_computed(folder, tmp_path):
    folder.rename(tmp_path / "build/redrawn")
    folder.mkdir()
    (tmp_path / "build/redrawn").rename(folder / "redrawn")
    assert main(["html", "--scale", "smoke"]) == 0
    assert "<p>Redrawn from the published tables.</p>" in (folder / "html/index.html").read_text()


def test_of_what_was_computed_and_redrawn_the_newer_is_shown(folder, tmp_path):
    """Of each notebook, with the verdicts that it came to."""
    again = folder / "redrawn"
    for stem, later in (("00_a", 1), ("01_b", -1), ("02_c", 0)):
        path = write(again / f"{stem}.ipynb", f"print('{stem} redrawn')")
        time = (folder / path.name).stat().st_mtime_ns + later * 10**9
        os.utime(path, ns=(time, time))
    homes = {"computed": folder / "results", "redrawn": again / "results"}
    for how, home in homes.items():
        home.mkdir()
        for number in ("00", "01", "07"):
            own = [Claim(f"{number}.a", f"{number} {how}", "not measurable", "too few seeds")]
            claims.table(own).to_csv(home / f"claims_{number}.csv", index=False)
    published = tmp_path / "data/results/smoke"
    shutil.copytree(homes["computed"], published)
    assert main(["html", "--scale", "smoke"]) == 0
    pages = {stem: (folder / f"html/{stem}.html").read_text() for stem in ("00_a", "01_b", "02_c")}
    assert [stem for stem, text in pages.items() if "redrawn" in text] == ["00_a"]
    index = Page(folder / "html/index.html")
    assert "<p>Computed here, or redrawn since from the published tables where" in index.text
    assert index.text.count("</a> (redrawn)") == 1
    shown = [
        f"{n} {how}" for n in ("00", "01", "07") for how in homes if f"{n} {how}" in index.text
    ]
    assert shown[:2] == ["00 redrawn", "01 computed"] and len(shown) == 3
    assert index.text.count("redrawn from it") + index.text.count("agrees:") == 3
    for path in again.glob("*.ipynb"):
        os.utime(path, ns=(time + 10**10, time + 10**10))
    assert main(["html", "--scale", "smoke"]) == 0
    index = Page(folder / "html/index.html")
    assert "<p>Redrawn from the published tables.</p>" in index.text
    assert "agrees" not in index.text and "(redrawn)" not in index.text
