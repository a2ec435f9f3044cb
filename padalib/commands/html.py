"""Executed notebooks as pages that ask for nothing: no script, no font, no formula from elsewhere.

Formulas become MathML, images are inside, and each page forbids requests by its own policy.
"""

import html
import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import nbformat
from bs4 import BeautifulSoup
from jinja2 import pass_context
from latex2mathml import converter
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from pygments.formatters import HtmlFormatter

from padalib.commands import driver, notebooks, reproduction
from padalib.commands.notebooks import NotebookError
from padalib.engine import paths
from padalib.study import claims

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
# Outputs that are programs: they would need scripts, and some of them a network.
LIVE = ("application/vnd.jupyter.widget-view+json", "application/javascript")
KEPT = ("execute_result", "error")  # of cells tagged `progress`: what is not progress
NO_ALT = "No description has been provided for this image"  # nbconvert's
MENDED = {  # in the converter's MathML: a tilde is no letter, and norm bars keep their height
    "<mi>&#x0007E;</mi>": "<mo>&#x0223C;</mo>",
    "<mo>&#x02016;</mo>": '<mo stretchy="false">&#x02016;</mo>',
}
STYLE = """
body { max-width: 54rem; margin: 0 auto; padding: 0 1rem 3rem; line-height: 1.5;
  font-family: system-ui, sans-serif; color: #1a1a1a; background: #fff; }
nav { display: flex; justify-content: space-between; gap: 1rem; padding: .8rem 0; }
h1 { font-size: 1.6rem; line-height: 1.25; }
a { color: #0b5cad; } .anchor-link { visibility: hidden; text-decoration: none; }
img { max-width: 100%; height: auto; }
pre { overflow-x: auto; font-size: .85rem; line-height: 1.35; }
.input_area { background: #f6f6f6; padding: 0 .8rem; border-left: 3px solid #ccc; margin: 1rem 0; }
.output { overflow-x: auto; } .output_stderr pre { color: #7a3500; }
table { border-collapse: collapse; font-size: .9rem; margin: 1rem 0; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid #ddd; text-align: left;
  vertical-align: top; }
math[display=block] { margin: 1rem 0; overflow-x: auto; }
"""


def write(scale: str) -> Path:
    """Render the executed notebooks of a scale, with an index of its verdicts; returns the index.

    Of a notebook that was computed here and redrawn what is newer. Cells tagged `progress` show
    their result alone. NotebookError where nothing was executed.
    """
    folder, executed = paths.own_folder(scale), _newest(scale)
    if not executed:
        redrawn = f", or `make figures SCALE={scale}` to redraw what is published"
        published = any(paths.published_results(scale).glob("*.csv"))
        raise NotebookError(
            f"nothing executed in {folder} yet; run `make reproduce SCALE={scale}`"
            + (redrawn if published else "")
        )
    pages = driver.writable(folder / "html")
    read = {path: nbformat.read(path, as_version=4) for path in executed}
    titles = {path.stem: notebooks.title(notebook, path.stem) for path, notebook in read.items()}
    for old in pages.glob("*.html"):
        old.unlink()
    for place, (path, notebook) in enumerate(read.items()):
        before = executed[place - 1].stem if place else None
        after = executed[place + 1].stem if place + 1 < len(executed) else None
        nav = _nav(titles, before, after)
        main = _warning(scale) + body(notebook, titles[path.stem], titles, pages)
        content = f"{nav}\n<main>{main}</main>\n{nav}"
        _save(pages / f"{path.stem}.html", f"{titles[path.stem]} · {scale}", content)
    _save(pages / "index.html", f"The workbook at scale {scale}", _index(scale, executed, titles))
    return pages / "index.html"


def _newest(scale: str) -> list[Path]:
    """The executed copies of the notebooks, of two the newer."""
    folders = [paths.own_folder(scale), paths.own_folder(scale, redraw=True)]
    each = [[folder / path.name for folder in folders] for path in notebooks.find()]
    found = [[copy for copy in copies if copy.exists()] for copies in each]
    return [max(copies, key=lambda copy: copy.stat().st_mtime_ns) for copies in found if copies]


def _save(path: Path, title: str, content: str) -> None:
    code = HtmlFormatter().get_style_defs(".highlight")
    path.write_text(
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}{code}</style></head>\n"
        f"<body>\n{content}\n</body></html>\n",
        encoding="utf-8",
    )


def _nav(titles: dict[str, str], before: str | None, after: str | None) -> str:
    def link(stem: str | None, text: str) -> str:
        if stem is None:
            return "<span></span>"
        return f'<a href="{html.escape(stem)}.html">{html.escape(text)}</a>'

    return (
        f"<nav>{link(before, f'← {titles.get(before)}')}{link('index', 'index')}"
        f"{link(after, f'{titles.get(after)} →')}</nav>"
    )


def _warning(scale: str) -> str:
    said = f"<p><strong>{reproduction.SMOKE.capitalize()}.</strong></p>\n"
    return said if scale == "smoke" else ""


# --- a notebook ---


class _Renderer(IPythonRenderer):
    """Markdown whose formulas are MathML."""

    def inline_math(self, body: str) -> str:
        return mathml(body)

    def block_math(self, body: str) -> str:
        return mathml(body, "block")

    def latex_environment(self, name: str, body: str) -> str:
        return mathml(f"\\begin{{{name}}}{body}\\end{{{name}}}", "block")


class _Exporter(HTMLExporter):
    @pass_context
    def markdown2html(self, context: dict, source: str) -> str:
        attachments = context.get("cell", {}).get("attachments", {})
        renderer = _Renderer(escape=False, attachments=attachments)
        return MarkdownWithMath(renderer=renderer).render(source)


def mathml(latex: str, display: str = "inline") -> str:
    """A formula as MathML; as its source where it cannot be read."""
    try:
        found = converter.convert(latex.strip(), display=display)
    except Exception:  # the converter has many kinds of its own, and one formula is not the page
        return f"<code>{html.escape(latex)}</code>"
    for theirs, ours in MENDED.items():
        found = found.replace(theirs, ours)
    return found


def body(notebook: nbformat.NotebookNode, title: str, titles: dict[str, str], pages: Path) -> str:
    """The notebook's cells and outputs as HTML, whose links hold from the folder of `pages`."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            busy = "progress" in cell.metadata.get("tags", ())
            seen = [out for out in cell.outputs if not busy or out.output_type in KEPT]
            cell.outputs = [out for out in map(_still, seen) if out is not None]
    exporter = _Exporter(
        template_name="basic", exclude_input_prompt=True, exclude_output_prompt=True
    )
    page = BeautifulSoup(exporter.from_notebook_node(notebook)[0], "html.parser")
    for script in page.find_all("script"):
        script.decompose()
    for image in page.find_all("img"):
        if image.get("alt", NO_ALT) in ("", NO_ALT):
            image["alt"] = f"figure of {title}"
    for link in page.find_all("a", href=True):
        link["href"] = _from_pages(link["href"], titles, pages)
    return str(page)


def _from_pages(link: str, titles: dict[str, str], pages: Path) -> str:
    """A link as it leads from the folder of pages; to the page of a notebook that has one.

    Notebooks write links from where they lie, `notebooks/`.
    """
    target, mark, part = link.partition("#")
    if not target or target.startswith("/") or urlsplit(target).scheme:
        return link
    home = paths.project_root() / "notebooks"
    file = Path(os.path.normpath(home / unquote(target)))
    if file.parent == home and file.suffix == ".ipynb" and file.stem in titles:
        file = pages / f"{file.stem}.html"
    return quote(Path(os.path.relpath(file, pages)).as_posix()) + mark + part


def _still(output: nbformat.NotebookNode) -> nbformat.NotebookNode | None:
    """An output that a page without scripts can show; None where nothing is left."""
    if "data" not in output:
        return output
    data = {kind: value for kind, value in output.data.items() if kind not in LIVE}
    if len(data) < len(output.data) and set(data) <= {"text/plain"}:
        return None
    if "text/latex" in data and "text/html" not in data:
        data["text/html"] = mathml(data["text/latex"].strip().strip("$"), "block")
    output.data = nbformat.from_dict(data)
    return output


# --- the index ---


def _index(scale: str, executed: Sequence[Path], titles: dict[str, str]) -> str:
    redrawn = paths.own_folder(scale, redraw=True)
    folders = {path.parent for path in executed}
    how = "Redrawn from the published tables" if folders == {redrawn} else "Computed here"
    how += ", or redrawn since from the published tables where it says so" * (len(folders) > 1)
    lines = [f"<main><h1>The workbook at scale {html.escape(scale)}</h1>", _warning(scale)]
    lines.append(f"<p>{how}.</p><ul>")
    for path in executed:
        state = " (redrawn)" * (len(folders) > 1 and path.parent == redrawn)
        state += " (did not run to its end)" * (path.stem not in driver.record(path.parent))
        link = f'<a href="{html.escape(path.stem)}.html">{html.escape(titles[path.stem])}</a>'
        lines.append(f"<li>{html.escape(path.stem[:2])} {link}{state}</li>")
    return "\n".join([*lines, "</ul>", _verdicts(scale, executed), "</main>"])


def _inline(text: str) -> str:
    """One line of Markdown, whatever it holds."""
    found = MarkdownWithMath(renderer=_Renderer(escape=True)).render(text).strip()
    return found.removeprefix("<p>").removesuffix("</p>")


def _verdicts(scale: str, executed: Sequence[Path]) -> str:
    """Of each claim what was judged where its page is from."""
    redrawn, own = paths.own_folder(scale, redraw=True), {}
    for folder in dict.fromkeys(path.parent for path in executed):
        for key, claim in claims.read(folder / "results").items():
            page = next((path for path in executed if path.stem[:2] == key[:2]), None)
            if page is None or page.parent == folder:
                own.setdefault(key, (claim, folder, page))
    if not own:
        return "<p>No claim was judged yet.</p>"
    computed = any(folder != redrawn for _, folder, _ in own.values())
    published = claims.read(paths.published_results(scale)) if computed else {}
    heads = ["claim", "verdict", "effect", "evidence", *(["published"] if published else [])]
    rows = []
    for key, (claim, folder, page) in sorted(own.items(), key=lambda each: each[0][:2]):
        statement = _inline(claim.statement)
        if page:
            statement = f'<a href="{html.escape(page.stem)}.html">{statement}</a>'
        cells = [claims.told(claim), claims.numbers(claim), claim.evidence]
        if published and folder == redrawn:
            cells.append("redrawn from it")
        elif published:
            other = published.get(key)
            answer = reproduction.agreement(other, claim)
            said = f"{other.verdict} {claims.numbers(other)}; agrees: {answer}" if other else answer
            cells.append(said)
        rows.append([statement, *map(_inline, cells)])
    body = "\n".join("<tr><td>" + "</td><td>".join(row) + "</td></tr>" for row in rows)
    head = "".join(f"<th>{head}</th>" for head in heads)
    return (
        f"<h2>Verdicts</h2>\n<table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>"
    )
