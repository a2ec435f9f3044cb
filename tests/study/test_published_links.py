"""What pages and notebooks link to is there, and so is the figure that a published claim names."""

import json
import re
import subprocess
from pathlib import Path
from urllib.parse import unquote

import pytest

from padalib.study import claims

ROOT = Path(__file__).resolve().parents[2]


def tracked(*what):
    """The files that are committed; none where there is no git, as in an archive."""
    listed = subprocess.run(["git", "ls-files", *what], cwd=ROOT, capture_output=True, text=True)
    return [ROOT / name for name in listed.stdout.splitlines()]


PAGES = sorted(tracked("*.md") or [*ROOT.glob("*.md"), *ROOT.glob("[!.]*/*.md")])
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def text_of(path):
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text
    cells = json.loads(text)["cells"]
    return "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")


def anchors(page):
    """As GitHub makes them: letters, digits, `-`, `_` of headings, and what `id=` names."""
    text = text_of(page)
    heads = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    made = {re.sub(r"[^\w\- ]", "", head.strip().lower()).replace(" ", "-") for head in heads}
    return made | set(re.findall(r'id="([^"]+)"', text))


@pytest.mark.parametrize("path", [*PAGES, *NOTEBOOKS], ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path):
    links = set(re.findall(r"\]\(([^)\s]+)\)", text_of(path)))
    for link in sorted(link for link in links if not link.startswith(("http", "attachment:"))):
        target, _, part = link.partition("#")
        found = path.parent / unquote(target) if target else path
        assert found.exists(), f"{path.name} links to {link}, which is not there"
        if part and found.suffix == ".md":
            assert part in anchors(found), f"{path.name} links to {link}, and no heading is that"


def test_every_published_claim_shows_the_figure_it_names():
    there, named = set(tracked("figures") or ROOT.glob("figures/*/*")), 0
    for folder in sorted((ROOT / "data" / "results").iterdir()):
        if not folder.is_dir() or folder.name == "smoke":
            continue
        for claim in claims.read(folder).values():
            if claim.figure:
                named += 1
                assert ROOT / "figures" / folder.name / f"{claim.figure}.png" in there, claim.key
    assert named > 100
