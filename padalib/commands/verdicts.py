"""The published claims as pages: those that decide, all of them, and every number behind each."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import pandas as pd

from padalib import spaces
from padalib.engine import paths
from padalib.engine.runs import write_bytes
from padalib.study import claims, wording
from padalib.study.claims import Claim

SCALES = {  # in this order, and what they are
    "cifar": "CIFAR-10, NAS-Bench-201 (`cifar`)",
    "cifar32": "CIFAR-10 at 32×32, C=16, NAS-Bench-201 (`cifar32`)",
    "laptop": "digits, `mini` (`laptop`)",
    "laptop_chain": "digits, `chain-mini` (`laptop`)",
}
FOLDERS = {  # where two have a claim of one key, the later one is shown
    "cifar": (
        *("cifar", "exposure", "along", "interventions", "controls", "tuning", "budget"),
        *("options-cifar", "spaces", "search", "rivals", "retraining", "record", "full"),
    ),
    "cifar32": ("cifar32",),
    "laptop": ("laptop", "options"),
}
ELSEWHERE = {"chain-mini": "laptop_chain"}  # ends of keys that name another column's space
CHAIN = {column: space for space, column in ELSEWHERE.items()}
# What the paper says, and the claims that answer to it, by the beginnings of their keys.
PAPER = {
    "Large gradient variance spoils the ranking": (
        *("01.extent", "01.candidates", "18", "04.variance", "04.snr", "08"),
        *("06.more_seeds", "06.common_error"),
    ),
    "The variance is least in proportion to the gradient norms": ("02",),
    "PA&DA lowers the variance in training": ("01", "07.steps", "17", "09.variance"),
    "It costs nothing": ("03.cost", "03.flops"),
    "It generalises better": ("03", "06.generalises"),
    "It ranks more consistently": (
        *("04.ranks", "04.path", "04.control", "04.free_tau", "06", "07", "12.made_of", "14", "16"),
    ),
    "It surpasses other improved approaches": ("12",),
    "It does so in various search spaces": ("09",),
    "It finds better architectures": ("04", "10", "13"),
    "Supernets that others trained at full scale (PA&DA is not among them)": ("05",),
    "How far one supernet goes, by parts of ours": ("15",),
    "More": ("",),
}
HEADLINES = (  # the claims that decide, and those that go on from one by a dot
    *("01.candidates", "18.extent", "18.falls", "18.uniform", "18.exposure"),
    *("08.lower_tau_steps", "08.lower_tau_images"),
    *("06.common_error.spos", "02.theorem", "02.scores"),
    *("01.steps", "01.weighted", "01.weighted_schedule", "17.path_all", "07.steps"),
    *("09.variance.raw", "03"),
    *("04.ranks", "04.free_tau", "04.finds", "04.free_finds"),
    *("06.pa_yoked_pa.tau_loss", "06.pa_curriculum.tau_loss", "06.pada_pa.within_flops"),
    *("06.generalises.all.pada_spos", "06.generalises.best.pada_spos"),
    "06.generalises.as_dear.pada_spos",
    "06.generalises.best.pa_curriculum",
    *("06.pa_spos.tau_loss", "06.pada_spos", "14.equal_flops.pa_spos.tau_loss", "05.seeds"),
    *("07.closes_tau", "07.twice_tau", "07.schedule_tau", "07.schedule_within_flops"),
    *("09.over.pada.tau_loss", "09.over.gain.tau_loss", "12.surpasses", "12.controls"),
    *("10.found.pada", "10.gain.pada", "10.limit.flops.pada", "13.retrained.pada", "15.aim"),
    "15.beats.pa_da",
)
DETAILS = "data/results/README.md"  # from the project's root
FULL = "verdicts"  # the folder beside it with a page a notebook: GitHub cuts one of over 500 KiB
ABOUT = """# Verdicts on the paper's claims

Written by `padalib publish` from the tables beside it; the [findings](../../figures/FINDINGS.md)
tell the same in words.

No verdict here is about the paper's own setting. All but `full`, whose supernets others trained
without PA&DA, are small and train briefly, `cifar32` too; the scale `paper` wants hours of a GPU
and was not run yet. Methods see equally many images. Their paths do not cost the same: PA&DA's are
the dearer ones. [What the scales are](../../notebooks/README.md#scales).

- *Shown*: every interval (95 %, over seeds, and over architectures where there are any) excludes no
  effect, after Holm's correction where a table holds many comparisons. *Opposite here*: so on the
  other side. *Mixed*: some exclude it on either side, and the row has both.
- *Equivalent*: every interval lies inside a bound that was set beforehand, and it is neither of
  these: *shown* comes first, so a small effect can be shown and lie inside the bound.
- *Not shown* is no proof of no effect: *smallest visible* is what would have been shown four times
  in five. *{corrected}*: {why}.
- *Not measurable*: there is no effect to judge, and the claim says what was found.

Where a claim rests on several numbers, a row has the one that decides, which is the least certain.
A statement leads to its claim in full: every interval, and what it was found from."""


@dataclass(frozen=True)
class Found:
    """A published claim, and the scale whose folder holds it."""

    claim: Claim
    scale: str


def published() -> dict[str, dict[str, Found]]:
    """Key -> column -> claim, by the scales of `SCALES`; in the order of `PAPER`.

    What a scale shows of a space beside its own has a column of its own.
    """
    found: dict[str, dict[str, Found]] = {}
    for scale, folders in FOLDERS.items():
        beside = [other.removeprefix(scale) for other in SCALES if other.startswith(f"{scale}_")]
        for folder in folders:
            for key, claim in claims.read(paths.published_results(folder)).items():
                suffix = next((one for one in beside if key.endswith(one)), "")
                column = ELSEWHERE.get(key.rpartition(".")[2], scale + suffix)
                found.setdefault(key.removesuffix(suffix), {})[column] = Found(claim, folder)
    return dict(sorted(found.items(), key=lambda item: _place(item[0])))


def group(key: str) -> str:
    """What of the paper a claim answers to: by the longest beginning of its key."""
    starts = {start: title for title, own in PAPER.items() for start in own}
    return starts[max((start for start in starts if key.startswith(start)), key=len)]


def _place(key: str) -> tuple[int, int, str]:
    title = group(key)
    fits = [k for k, start in enumerate(PAPER[title]) if key.startswith(start)]
    return list(PAPER).index(title), max(fits), key.partition(".")[0]


def _grouped(found: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    for title, keys in groupby(found, group):
        yield title, list(keys)


def deciding(found: Mapping[str, Mapping[str, Found]]) -> list[str]:
    """What the paper says, and of `HEADLINES` verdict and effect by scale, as lines of a table."""
    shown = {key: own for key, own in found.items() if _leads(key)}
    notebooks = numbered()
    lines = ["| claim | notebook | what came out, and at which scale |", "|---|---|---|"]
    for title, keys in _grouped(shown):
        lines.append(f"| **{title}** | | |")
        for key in keys:
            own, notebook = found[key], notebooks.get(key[:2])
            statement = claims.cell(next(iter(own.values())).claim.statement)
            said = "<br>".join(_short(own[scale], scale) for scale in SCALES if scale in own)
            where = f"[{key[:2]}](../../notebooks/{notebook.name})" if notebook else ""
            lines.append(f"| [{statement}]({in_full(key)}) | {where} | {said} |")
    return lines


def _leading(found: Mapping[str, Any]) -> int:
    return sum(map(_leads, found))


def _leads(key: str) -> bool:
    return any(key == own or key.startswith(f"{own}.") for own in HEADLINES)


def numbered() -> dict[str, Path]:
    """Number of a notebook, with which its figures and keys of its claims begin -> its file."""
    found = sorted((paths.project_root() / "notebooks").glob("*.ipynb"))
    return {path.stem[:2]: path for path in found}


def details(found: dict[str, dict[str, Found]]) -> dict[str, str]:
    """The pages a reader is sent to, by their place beside `DETAILS`.

    The first has the paper's claims one by one; the others, a page a notebook, each claim in full.
    """
    about = ABOUT.format(corrected=claims.CORRECTED.capitalize(), why=claims.WHY_CORRECTED)
    heading, few = "Those that decide", f"{_leading(found)} of {len(found)}"
    lines = [
        *(about, "", f"- [{heading}](#{anchor(heading)})"),
        *(f"- [{title}](#{anchor(title)})" for title, _ in _grouped(found)),
        "- [What computed them](#what-computed-them)",
        *("", f"## {heading}", "", f"{few}: those that the findings rest on.", ""),
        *deciding(found),
    ]
    for title, keys in _grouped(found):
        lines += ["", f"## {title}", ""]
        lines.append("| asked | scale | verdict | effect [interval] | smallest visible | figure |")
        lines.append("|---" * 6 + "|")
        lines += [_line(key, column, own) for key in keys for column, own in found[key].items()]
    lines += ["", "## What computed them", "", *made()]
    pages, names = {Path(DETAILS).name: lines}, numbered()
    for key, own in found.items():
        page = in_full(key).partition("#")[0]
        if page not in pages:
            notebook = names.get(key[:2])
            title = f"[`{notebook.name}`](../../../notebooks/{notebook.name})" if notebook else key
            back = f"What the words mean: [page of verdicts](../{Path(DETAILS).name})."
            pages[page] = [f"# Claims of {title} in full", "", back]
        pages[page] += ["", f"## {key}", "", f"**{next(iter(own.values())).claim.statement}.**", ""]
        for column, each in own.items():
            claim = each.claim
            told = f"{_where(column, each)}: **{claims.told(claim)}**. {claim.evidence}."
            pages[page] += [f"- {told}", *(f"  - {fact}." for fact in _facts(each))]
    return {page: "\n".join(own) + "\n" for page, own in pages.items()}


def in_full(key: str) -> str:
    """Where a claim stands in full, from the folder of `DETAILS`."""
    return f"{FULL}/{key[:2]}.md#{anchor(key)}"


def made() -> list[str]:
    """What computed the published runs, as a table: a line for each kind of machine and code."""
    lines = [
        "Training amplifies the last bit, and processors differ in it: where a scale has two kinds "
        "of machine, some of its methods or seeds ran on one, some on the other, as its `runs.csv` "
        "says.",
        "",
        "| scale | runs | padalib | torch | Python | machine |",
        "|---" * 6 + "|",
    ]
    for scale in chain.from_iterable(FOLDERS.values()):
        path = paths.published_results(scale) / "runs.csv"
        if path.exists():
            kinds = ["padalib", "torch", "python", "device"]
            counts = pd.read_csv(path, dtype=str)[kinds].value_counts(sort=False, dropna=False)
            for kind, runs in counts.items():
                lines.append(f"| {' | '.join((f'`{scale}`', str(runs), *map(str, kind)))} |")
    return lines


def _where(column: str, found: Found) -> str:
    said = SCALES[column].replace(f"`{column.partition('_')[0]}`", f"`{found.scale}`")
    return said.replace("NAS-Bench-201", _space(found) or "NAS-Bench-201")


def _space(found: Found) -> str:
    """The spaces of a claim where they are not its column's: what its key ends in, or several."""
    key = found.claim.key
    if key.startswith("09.over"):
        return "several spaces"
    ends = key.rpartition(".")[2], key.rpartition("_")[2]  # of a claim, of what stands beside
    return next((f"`{name}`" for name in ends if name in spaces.SPACES), "")


def _line(key: str, column: str, found: Found) -> str:
    """A row of the page's tables."""
    claim = found.claim
    seen = wording.short(claim.visible) if math.isfinite(claim.visible) else ""
    shown = f"[{claim.figure}](../../{_figure(found)})" if claim.figure else ""
    asked = f"[{claims.cell(claim.statement)}]({in_full(key)})"
    numbers = claims.cell(claims.numbers(claim))
    cells = (asked, _where(column, found), claims.told(claim), numbers, seen, shown)
    return f"| {' | '.join(cells)} |"


def _figure(found: Found) -> str:
    """From the project's root."""
    return f"figures/{found.scale}/{found.claim.figure}.png"


def _facts(found: Found) -> list[str]:
    claim, facts = found.claim, []
    if not math.isnan(claim.effect):
        unit = f" {claim.unit}" if claim.unit else ""
        facts.append(f"Effect {wording.short(claim.effect)}{unit}, held against {claim.null:g}")
    facts += [
        f"Interval over {each.n:,} {each.over}: "
        f"[{wording.short(each.low)}, {wording.short(each.high)}]"
        + ("" if math.isnan(each.of) else f", of an effect of {wording.short(each.of)}")
        for each in claim.intervals
    ]
    if math.isfinite(claim.visible):
        facts.append(f"Smallest visible {wording.short(claim.visible)}")
    if math.isfinite(claim.bound):
        facts.append(f"Bound of equivalence {wording.short(claim.bound)}")
    if claim.figure:
        facts.append(f"Figure: [{claim.figure}](../../../{_figure(found)})")
    return facts


def _short(found: Found, column: str) -> str:
    """Verdict, effect and where, on one line: its scale, and its space if it has another one."""
    numbers = claims.cell(claims.numbers(found.claim))
    space = _space(found)
    if not space and column in CHAIN:
        space = f"`{CHAIN[column]}`"
    where = f"`{found.scale}`{', ' + space if space else ''}"
    return " ".join(
        part for part in (f"**{claims.told(found.claim)}**", numbers, f"({where})") if part
    )


def anchor(heading: str) -> str:
    """The link that a heading has on GitHub: letters, digits, `-` and `_`; a space is `-`."""
    kept = heading.lower().replace(" ", "-")
    return "".join(c for c in kept if c.isalnum() or c in "-_")


def update() -> None:
    """Write all pages, each whole or not at all, and drop those of notebooks that claim nothing."""
    folder, pages = (paths.project_root() / DETAILS).parent, details(published())
    for page, own in pages.items():
        write(folder / page, own)
    for old in (folder / FULL).glob("*.md"):
        if f"{FULL}/{old.name}" not in pages:
            old.unlink()


def write(path: Path, text: str) -> None:
    """Write a page whole or not at all, and only if it says something else."""
    content = text.encode()
    if not path.exists() or path.read_bytes() != content:
        write_bytes(path, content)
