"""The published claims as pages: a table in the README, and every number behind it."""

import math
from pathlib import Path

from padalib.engine import paths
from padalib.engine.runs import write_bytes
from padalib.study import claims
from padalib.study.claims import Claim

SCALES = {  # in the README, in this order, under these heads
    "cifar": "CIFAR-10, NAS-Bench-201 (`cifar`)",
    "laptop": "digits, `mini` (`laptop`)",
    "laptop_chain": "digits, `chain-mini` (`laptop`)",
}
BEGIN, END = "<!-- claims: written by `padalib publish` -->", "<!-- claims end -->"
DETAILS = "data/results/README.md"  # from the project's root


def published() -> dict[str, dict[str, Claim]]:
    """Key -> column -> claim, of the scales that the README shows; ordered by notebook.

    What a scale shows of a space beside its own has a column too.
    """
    found: dict[str, dict[str, Claim]] = {}
    for column in SCALES:
        scale = column.partition("_")[0]
        beside = [other.removeprefix(scale) for other in SCALES if other.startswith(f"{scale}_")]
        for key, claim in claims.read(paths.published_results(scale)).items():
            suffix = next((one for one in beside if key.endswith(one)), "")
            if scale + suffix == column:
                found.setdefault(key.removesuffix(suffix), {})[column] = claim
    return dict(sorted(found.items(), key=lambda item: item[0].partition(".")[0]))


def markdown(found: dict[str, dict[str, Claim]]) -> str:
    """The README's table: statement, and for each scale verdict and effect."""
    scales = [scale for scale in SCALES if any(scale in own for own in found.values())]
    lines = [
        f"| claim | {' | '.join(SCALES[scale] for scale in scales)} |",
        "|---" * (1 + len(scales)) + "|",
    ]
    for key, own in found.items():
        statement = _cell(next(iter(own.values())).statement)
        cells = [_short(own[scale]) if scale in own else "not measured" for scale in scales]
        lines.append(f"| [{statement}]({DETAILS}#{anchor(key)}) | {' | '.join(cells)} |")
    return "\n".join(lines)


def details(found: dict[str, dict[str, Claim]]) -> str:
    """A page with all that is known of each claim."""
    lines = [
        "# The claims in full",
        "",
        "Written by `padalib publish` from the tables beside it. An interval is of 95 %. *Shown*: "
        "every interval excludes no effect. *Equivalent*: every one lies inside the bound. "
        "*Smallest visible*: an effect of that size would have been shown four times in five.",
    ]
    names = {path.stem[:2]: path.name for path in (paths.project_root() / "notebooks").iterdir()}
    for key, own in found.items():
        notebook = names.get(key[:2])
        where = f" Notebook: [`{notebook}`](../../notebooks/{notebook})." if notebook else ""
        lines += ["", f"## {key}", "", f"{next(iter(own.values())).statement}.{where}", ""]
        for scale, claim in own.items():
            lines.append(f"- {SCALES[scale]}: **{claim.verdict}**. {claim.evidence}.")
            lines += [f"  {fact}." for fact in _facts(scale, claim)]
    return "\n".join(lines) + "\n"


def _facts(scale: str, claim: Claim) -> list[str]:
    facts = []
    if not math.isnan(claim.effect):
        unit = f" {claim.unit}" if claim.unit else ""
        facts.append(f"Effect {claims.short(claim.effect)}{unit}, none would be {claim.null:g}")
    facts += [
        f"Interval over {each.n:,} {each.over}: "
        f"[{claims.short(each.low)}, {claims.short(each.high)}]"
        for each in claim.intervals
    ]
    if math.isfinite(claim.visible):
        facts.append(f"Smallest visible {claims.short(claim.visible)}")
    if math.isfinite(claim.bound):
        facts.append(f"Bound of equivalence {claims.short(claim.bound)}")
    if claim.figure:
        facts.append(
            f"Figure: [{claim.figure}](../../figures/{scale.partition('_')[0]}/{claim.figure}.png)"
        )
    return facts


def _short(claim: Claim) -> str:
    numbers = claims.numbers(claim)
    return f"**{claim.verdict}**" + (f"<br>{_cell(numbers)}" if numbers else "")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def anchor(key: str) -> str:
    """The link that a heading of this key has on GitHub: letters, digits, `-` and `_`."""
    return "".join(c for c in key.lower() if c.isalnum() or c in "-_")


def update() -> None:
    """Write both pages, each whole or not at all; the README only between its marks.

    ValueError where the README lacks the marks.
    """
    found, readme = published(), paths.project_root() / "README.md"
    text = readme.read_text(encoding="utf-8") if readme.exists() else ""
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{readme} has no place for the claims: put {BEGIN} and {END} into it")
    _write(readme, f"{head}{begin}\n\n{markdown(found)}\n\n{end}{tail}")
    _write(paths.project_root() / DETAILS, details(found))


def _write(path: Path, text: str) -> None:
    content = text.encode()
    if not path.exists() or path.read_bytes() != content:
        write_bytes(path, content)
