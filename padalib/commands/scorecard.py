"""The report card of anybody's supernet: from a file of scores to a table, a figure, and its place.

Beside it stand the rankings that need no training, FLOPs of what is live, parameters, and what else
the space names (`Space.predictors`); and the published cards of supernets that ranked the same
architectures against the same truth.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from padalib.benchmarks import predictions, truth
from padalib.benchmarks.truth import Truth
from padalib.commands import named, reproduction
from padalib.engine import paths
from padalib.engine.files import read_table, write_bytes
from padalib.engine.words import counted
from padalib.ranking import metrics, report
from padalib.study import effects, figures, scales

BY_FLOPS = ("within_flops", "within_flops_loss", "between_flops", "within_quintiles", "with_flops")
SHORT = {  # titles of the figure's panels
    "tau": "tau",
    "within_flops": "tau, equal\nFLOPs",
    "with_flops": "tau with\nFLOPs",
    "upper_half": "tau, upper\nhalf",
    "top_decile": "tau, top\ntenth",
    "p_at_10": "top tenth\nfound",
}


@dataclass(frozen=True, eq=False)
class Scored:
    """A file of scores, aligned with the truth: cards by name (the file's own first), and bias."""

    name: str
    space: str
    cards: dict[str, pd.DataFrame]  # its own, those without training, the published ones
    bias: pd.DataFrame
    about: str  # what was held against what
    notes: tuple[str, ...] = ()  # what to know before the card is believed
    free: tuple[str, ...] = report.CONTROLS  # names of those without training


def read(
    path: Path | str,
    space: str,
    dataset: str | None = None,
    table: Path | str | None = None,
) -> Scored:
    """Hold a file of scores (see `predictions.read_scores`) against the truth of its space.

    ValueError that lists, by row, what is wrong with the file; as `truth.load` for the truth.
    """
    path, own = Path(path), named.space(space)
    rows, notes = predictions.read_scores(path, own)
    known = truth.load(own, table, dataset)
    wide = rows.pivot(index="code", columns="seed", values="score")
    loss = rows.pivot(index="code", columns="seed", values="loss") if "loss" in rows else None
    split = known.main_split
    true = known.of(own, wide.index, split)
    if unknown := len(wide) - len(true):
        notes.append(f"Left out: {unknown:,} architectures whose accuracy nobody knows")
    if len(true) < predictions.LEAST:
        raise ValueError(
            f"{path} scores {len(wide):,} architectures, and the truth of {len(true)} of them is "
            f"known, too few for intervals: at least {predictions.LEAST} are needed"
        )
    wide, loss = wide.loc[true.index], None if loss is None else loss.loc[true.index]
    ranked = report.Ranked(own, tuple(true.index), true.to_numpy())
    card = report.card(wide, ranked, loss)
    free = report.controls(ranked)
    others, apart = published(known, wide.index, free[report.CONTROLS[0]])
    others = {label: card for label, card in others.items() if card.family.iloc[0] not in free}
    others = free | others
    name = re.sub(r"[^\w.-]+", "_", path.stem).strip(".") or "scores"
    shown = f"{name} (yours)" if name in others else name
    about = (
        f"{path.name}: {len(wide):,} of {len(own):,} architectures of {own.name}, "
        f"{counted(wide.shape[1], 'seed')}, against {known.dataset} {split} accuracy "
        f"({known.source})"
    )
    notes += [*_doubts(card, wide.shape[1]), *apart, *_noise(known, split, wide.index)]
    cards, bias = {shown: card} | others, report.bias(wide, ranked)
    return Scored(name, own.name, cards, bias, about, tuple(notes), tuple(free))


def published(
    known: Truth, codes: Collection[str], flops: pd.DataFrame | None = None
) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """The published cards of the same space, truth and architectures, by name; and why not others.

    tau of different sets of architectures must not be compared; nor are measures `BY_FLOPS` where
    the FLOPs, whose card of the same architectures is `flops`, were those of other networks.
    """
    found: dict[str, pd.DataFrame] = {}
    notes = []
    for name in scales.SCALES:
        folder = paths.published_results(name)
        rows = read_table(folder / "cards.csv") if (folder / "cards.csv").exists() else None
        if rows is None or (rows := rows[rows.space == known.space]).empty:
            continue
        what, count = f"The published supernets of scale {name}", rows.architectures.iloc[0]
        if "source" in rows:  # of a whole space
            dataset, source = rows.dataset.iloc[0], rows.source.iloc[0]
            same, theirs = count == len(codes) == len(known.table), "all of the space"
        else:
            rows = rows.assign(family=rows.method, label=rows.method + f" ({name})")
            path = _reference(folder, known, count)
            if path is None:  # it shows them of another scale
                continue
            reference, theirs = read_table(path), f"those of {path}"
            dataset, source = reference.dataset.iloc[0], reference.source.iloc[0]
            same = set(reference.code) == set(codes)
        if (dataset, source) != (known.dataset, known.source):
            notes.append(
                f"{what} were held against {dataset} ({source}), so yours is not placed among them"
            )
        elif not same:
            others = f"{len(codes):,}" if count != len(codes) else f"{count:,} others"
            notes.append(
                f"{what} rank {count:,} architectures, your file {others}: tau of different sets "
                f"must not be compared, so yours is not placed among them: score {theirs} to be so"
            )
        else:
            if flops is not None and _other_flops(rows, flops):
                rows = rows[~rows.measure.isin(BY_FLOPS)]
                notes.append(
                    f"{what} had smaller networks, whose FLOPs are in another order, so yours is "
                    "placed among them by other measures only"
                )
            for label, card in rows.groupby("label", sort=False):
                found |= {} if _twice(card, found) else {label: card}
    if not found and not notes:
        notes.append(f"No report card of a supernet of {known.space} is published to stand beside")
    return found, notes


def _reference(folder: Path, known: Truth, count: int) -> Path | None:
    """The table of the architectures that the cards of a space rank; None if not there."""
    for path in sorted(folder.glob("reference*.csv")):
        codes = read_table(path).code
        if len(codes) == count and codes.isin(known.table.index).all():
            return path
    return None


def _other_flops(rows: pd.DataFrame, flops: pd.DataFrame) -> bool:
    """Whether published rows rank by other FLOPs: alone these reach another tau."""
    own, theirs = (
        table[table.measure == "tau"].value
        for table in (flops, rows[rows.family == report.CONTROLS[0]])
    )
    return not theirs.empty and not np.isclose(own.iloc[0], theirs.iloc[0], atol=1e-9)


def _twice(card: pd.DataFrame, found: dict[str, pd.DataFrame]) -> bool:
    """Whether these numbers are there already: scales show runs of each other.

    And a method may be another one in a space; but what needs no training may count alike.
    """
    family, values = card.family.iloc[0], list(card.value.dropna())
    return any(
        list(other.value.dropna()) == values
        and (other.family.iloc[0] == family or family not in report.CONTROLS)
        for other in found.values()
    )


def _doubts(card: pd.DataFrame, seeds: int) -> list[str]:
    """What makes one doubt that the card is of what its owner thinks."""
    notes, by = [], card.set_index("measure")
    if by.high["tau"] < 0:
        notes.append(
            "The scores rank against the truth. Are lower ones better, such as losses? Then name "
            "their column loss"
        )
    if "tau_loss" in by.index and by.high["tau_loss"] < 0:
        notes.append("The losses rank against the truth: lower ones must be better")
    if seeds > report.MOST_SEEDS:
        notes.append(
            f"Of the {seeds:,} seeds {report.MOST_SEEDS} were drawn at random (the same each time) "
            "for between_seeds, limit, more_seeds, and the intervals over architectures of p_at "
            "and regret"
        )
    if seeds > 1 and np.isnan(by.value["limit"]):
        notes.append(_no_limit(by))
    return notes


def _no_limit(by: pd.DataFrame) -> str:
    """Why a card has no limit of infinitely many seeds, by measure."""
    why = (
        f"seeds agree with each other by tau {_cell(by, 'between_seeds', interval=True)} and with "
        f"the truth by {by.value['tau']:.3f}"
    )
    if by.low["between_seeds"] > 0:
        more = "so all that parts them from it, or from its opposite, may be noise"
    else:
        more = "so they may be nothing but noise. Score more seeds, or train each longer"
    return f"What infinitely many seeds would reach (limit) cannot be told: {why}, {more}"


def _noise(known: Truth, split: str, codes: Collection[str]) -> Iterator[str]:
    """What the truth's own noise leaves to be reached."""
    if len(known.seeds) == 1:
        yield "The truth is of one training each, so how noisy it is nobody knows"
        return
    same, low, high = known.agreement(split, list(codes))
    if np.isnan(same):
        return
    ends = "" if np.isnan(low) else f" [{low:.3f}, {high:.3f}]"
    if same <= 0 or low <= 0:
        yield (
            f"The truth's own trainings agree by tau {same:.3f}{ends}: they order nothing for "
            "certain, so no score can be judged by them. Train each longer, or more often"
        )
    else:
        yield (
            f"The truth is noisy: a second table like it would agree with it by tau {same:.3f}"
            f"{ends}, and the true accuracies themselves by about {metrics.perfect(same):.3f}"
        )


def text(scored: Scored) -> str:
    """The card for a terminal: each measure with its interval, and the controls beside it."""
    own, *others = scored.cards.items()
    by = {name: card.set_index("measure") for name, card in scored.cards.items()}
    names = [own[0], *scored.free]
    rows = []
    for measure, meaning in report.MEASURES.items():
        value = by[own[0]].value.get(measure)  # unknown ones that a note tells of are shown
        if value is None or (np.isnan(value) and measure not in ("limit", "more_seeds")):
            continue
        cells = [f"{meaning} ({measure})"]
        cells += [_cell(by[name], measure, interval=name == own[0]) for name in names]
        rows.append(cells)
    lines = [scored.about, *(f"Note: {note}." for note in scored.notes), ""]
    widths = (0, 24, *(12 for _ in scored.free))
    lines += [reproduction.columns(["measure", *names], rows, widths), ""]
    measures = ("tau", "within_flops", "with_flops") if others else ()
    lines += [_place(by, measure, scored.free) for measure in measures]
    lines += ["", *_liked(scored.bias)]
    return "\n".join(line for line in lines if line is not None)


def _liked(bias: pd.DataFrame) -> list[str]:
    """The options that a ranking likes more than the truth does, or why that cannot be told."""
    if bias.empty:
        return [
            "What it likes more than the truth does cannot be told: these architectures do not "
            "differ in how many of each option they have"
        ]
    more = effects.liked(bias.assign(name=""), "name").loc[""]
    said = [
        [row.option, f"{row.value:+.2f}", f"{row.true:+.2f}", more[row.option]]
        for row in bias.itertuples()
    ]
    heads = ["option", "yours", "truth", "yours - truth"]
    return [
        "What it likes more than the truth does: change of rank (sd) by one more option",
        reproduction.columns(heads, said, (0, 8, 8, 28)),
    ]


def _cell(card: pd.DataFrame, measure: str, interval: bool) -> str:
    if measure not in card.index or np.isnan(card.value[measure]):
        return "-"
    row = card.loc[measure]
    shown = f"{row.value:.3f}"
    return f"{shown} [{row.low:.3f}, {row.high:.3f}]" if interval else shown


def _place(by: dict[str, pd.DataFrame], measure: str, names: tuple[str, ...]) -> str | None:
    """How many of the others are better, and who is best; None where there is nothing to say."""
    values = pd.Series({name: card.value.get(measure) for name, card in by.items()}, dtype=float)
    (own, *_), others = values, values.iloc[1:].dropna()
    if np.isnan(own) or others.empty:
        return None
    free = others.index.isin(names)
    kinds = ((~free, "published supernet", ""), (free, "ranking", " without training"))
    above = " and ".join(
        f"{int((others[kind] > own).sum())} of {counted(kind.sum(), noun)}{rest}"
        for kind, noun, rest in kinds
        if kind.any()
    )
    return (
        f"{measure}: yours {own:.3f}; better are {above}; the best of them is {others.idxmax()} "
        f"with {others.max():.3f}"
    )


@figures.style()
def draw(scored: Scored) -> Figure:
    """A panel a measure: yours with its interval, and the others as a row of points each."""
    names = list(scored.cards)
    by = {name: card.set_index("measure") for name, card in scored.cards.items()}
    shown = [m for m in SHORT if m in by[names[0]].index and not np.isnan(by[names[0]].value[m])]
    height = 1.0 + 0.13 * len(names)
    figure, panels = figures.subplots(1, len(shown), figsize=(6.75, height), sharey=True)
    for axes, measure in zip(np.atleast_1d(panels), shown, strict=True):
        for place, name in enumerate(names):
            if measure not in by[name].index:
                continue
            row = by[name].loc[measure]
            shade = figures.OWN if place == 0 else "black" if name in scored.free else figures.GREY
            axes.plot([row.low, row.high], [place, place], color=shade, lw=0.8)
            axes.plot(row.value, place, "o", color=shade, ms=3)
        axes.set_title(SHORT[measure])
    np.atleast_1d(panels)[0].set_yticks(range(len(names)), names)
    np.atleast_1d(panels)[0].set_ylim(len(names) - 0.5, -0.5)
    return figure


def write(scored: Scored) -> tuple[Path, bool]:
    """Write `build/report/<space>/<name>/`: card.csv, bias.csv, the figure.

    Returns the folder, and whether a card of other scores stood there. Names of spaces are written
    as in addresses of the web, so they lead nowhere else.
    """
    space = quote(scored.space, safe="")
    if not space.strip("."):  # of dots alone: a way up
        space = space.replace(".", "%2E")
    folder = paths.project_root() / "build" / "report" / space / scored.name
    rows = pd.concat(card.assign(name=name) for name, card in scored.cards.items())
    earlier = folder / "card.csv"
    before = earlier.read_bytes() if earlier.exists() else b""
    for name, table in (("card", rows), ("bias", scored.bias)):
        content = table.to_csv(index=False, lineterminator="\n").encode()
        write_bytes(folder / f"{name}.csv", content)
    caption = f"{scored.about}. Points with 95 % intervals, over seeds and architectures together."
    figures.save(draw(scored), folder, "report", rows, caption)
    return folder, before not in (b"", earlier.read_bytes())
