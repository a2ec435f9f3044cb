"""Verdicts of all scales as the table that the README shows."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from padalib.engine import paths
from padalib.study import results

SCALES = {  # in the README, in this order, under these heads
    "cifar": "CIFAR-10, NAS-Bench-201 (`cifar`)",
    "laptop": "digits, `mini` (`laptop`)",
}
BEGIN, END = (
    "<!-- claims: written by `make reproduce` and `make figures` -->",
    "<!-- claims end -->",
)


def save(scale: str, notebook: str, rows: Sequence[tuple[str, str, str]]) -> None:
    """Print a notebook's verdicts and save them: claim, verdict, evidence with its interval."""
    for claim, verdict, evidence in rows:
        print(f"{claim}: {verdict.upper()}. {evidence}\n")
    table = pd.DataFrame(rows, columns=["claim", "verdict", "evidence"])
    results.save(scale, f"claims_{notebook}", table)


def markdown() -> str:
    """All verdicts as one table, from the saved ones of the scales that the README shows."""
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for scale in SCALES:
        for path in sorted(paths.results_dir(scale).glob("claims_*.csv")):
            for row in pd.read_csv(path).itertuples():
                notebook = path.stem.removeprefix("claims_")
                own = cells.setdefault((notebook, row.claim), {})
                own[scale] = f"**{row.verdict}**: {row.evidence}"
    names = {path.stem[:2]: path.name for path in (paths.project_root() / "notebooks").iterdir()}
    lines = [
        f"| claim | notebook | {' | '.join(SCALES.values())} |",
        "|---" * (2 + len(SCALES)) + "|",
    ]
    for (notebook, claim), own in sorted(cells.items(), key=lambda item: item[0][0]):
        shown = " | ".join(own.get(scale, "not measured").replace("|", "\\|") for scale in SCALES)
        lines.append(f"| {claim} | [`{notebook}`](notebooks/{names.get(notebook)}) | {shown} |")
    return "\n".join(lines)


def update(readme: Path | None = None) -> None:
    """Put that table between the marks of the README, if it has them."""
    readme = readme or paths.project_root() / "README.md"
    text = readme.read_text(encoding="utf-8") if readme.exists() else ""
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    new = f"{head}{begin}\n\n{markdown()}\n\n{end}{tail}"
    if begin and end and new != text:
        readme.write_text(new, encoding="utf-8")
