"""The published figures on one page, in the order of the notebooks that draw them."""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from padalib.commands import notebooks, verdicts
from padalib.engine import paths
from padalib.study import figures

PLAIN = str.maketrans("[]", "()")  # what would end an alternative text
PAGE = "figures/README.md"  # from the project's root
HOW = "- [How to read them](#how-to-read-them)"
KEY = """## How to read them

- *Methods*. SPOS samples paths uniformly. PA draws paths by gradient norm, DA images, PA&DA both;
  *weighted*: each step has the importance weight of the theorem. *Curriculum* is PA's schedule
  towards operations with weights, fixed, and looks at no gradient; *yoked PA* replays what another
  seed's PA drew. *Untrained*: no training at all.
- *Outcomes*. Tau (Kendall's) compares a ranking with the truth, which are the benchmark's
  accuracies, or networks trained alone; 1 is perfect. *By loss*, *by accuracy*: what the supernet
  ranks by, on held-out images. *Within equal FLOPs*: only networks of the same FLOPs are compared.
  *Regret*: points of true accuracy that the chosen network lacks to the best.
- *Variance* is the trace of the covariance of one training step's gradient; *as taken*: of the
  steps that the method trains on. *Live*: what a signal passes. *Fixed part*: weights that no path
  leaves out by choice (stem, reductions, head).
- *Bars* are 95 % intervals: thick over seeds, thin over seeds and architectures together, where
  both are there; the caption says what else. *Shown*, *equivalent*, *not shown*: see the
  [page of verdicts](../data/results/README.md)."""


def drawn() -> list[tuple[str, Path]]:
    """Scale and picture of each published figure: by notebook, then by name, then by scale."""
    scales = [scale for folders in verdicts.FOLDERS.values() for scale in folders]
    found = [(s, path) for s in scales for path in paths.published_figures(s).glob("*.png")]
    order = {scale: k for k, scale in enumerate(scales)}
    return sorted(found, key=lambda each: (each[1].stem, order[each[0]]))


def page() -> str:
    """What GitHub shows below the folder of figures: contents, then a section a notebook."""
    known, pictures = verdicts.numbered(), drawn()
    contents, sections = [], []
    for number, own in groupby(pictures, key=lambda each: each[1].stem[:2]):
        path = known.get(number)
        title = notebooks.title(notebooks.read(path), path.stem) if path else number
        heading = f"{number}: {title}"
        contents.append(f"- [{heading}](#{verdicts.anchor(heading)})")
        sections += ["", f"## {heading}"]
        if path:
            sections += ["", f"Drawn by [`{path.name}`](../notebooks/{path.name})."]
        sections += _figures(own)
    about = (
        "Written by `padalib publish`. Each figure has its caption in it, and the plotted "
        "numbers beside it as a table. What is claimed of it, with all intervals, is on "
        "the [page of verdicts](../data/results/README.md); the [findings](FINDINGS.md) tell "
        "it in words; the [scales](../notebooks/README.md#scales) say what was run. "
        "`make figures SCALE=<scale>` draws them again."
    )
    seen = {path.stem[:2] for _, path in pictures}
    if undrawn := [path for number, path in known.items() if number not in seen]:
        named = ", ".join(f"[`{path.stem}`](../notebooks/{path.name})" for path in undrawn)
        contents += ["", f"Without a figure yet, for their scales were not run: {named}."]
    return "\n".join(["# The figures", "", about, "", HOW, *contents, "", KEY, *sections]) + "\n"


def _figures(own: Iterator[tuple[str, Path]]) -> Iterator[str]:
    for scale, path in own:
        place = f"{scale}/{path.stem}"
        yield ""
        yield f"**`{path.stem}`**, scale `{scale}` ([numbers]({place}.csv), [svg]({place}.svg))"
        yield ""
        said = figures.captioned(path)
        words = said.translate(PLAIN) or f"{path.stem} at scale {scale}"
        yield f"![{words}]({place}.png)"
        if said:
            yield ""
            yield f"<details><summary>Its caption as text</summary>\n\n{said}\n\n</details>"
