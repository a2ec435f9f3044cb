"""Every rival at equal compute: does PA&DA surpass other improved approaches?

Fixed before any of these runs was made: the rivals, the seeds, which of them have more seeds
(`near`), the two outcomes and the bound of `controls`. All methods have the same images through
forward and backward. One of several passes a step, SUMNAS, takes so few steps then that it is also
trained as many steps as SPOS, on more images: that run stands beside, and is in no comparison.
Methods of several supernets divide the images among them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from padalib.engine.runs import Config
from padalib.probes.cost import CostConfig
from padalib.probes.memory import MemoryConfig
from padalib.ranking.ranked import Ranked
from padalib.ranking.scores import ScoreConfig
from padalib.study import controls, outcomes, training
from padalib.study.controls import BOUND, OUTCOMES, scheduled
from padalib.study.controls.compared import OTHERS, Measured
from padalib.study.rivals import costs, pairs, supernets, why
from padalib.study.rivals.costs import EQUAL_STEPS
from padalib.study.scale import Scale
from padalib.study.scales.rivals import (
    METHODS,
    OURS,
    PARTS,
    RIVALS,
    SEVERAL,
    SINGLE,
    SPOS_ITSELF,
    STARVED,
)
from padalib.study.workbook import Workbook
from padalib.train import TrainConfig

FIGURE, COST_FIGURE, WHY_FIGURE = "12_rivals", "12_cost", "12_explained"
EACH_FIGURE = "12_each"
NEAR = 0.05  # of tau: what is as close to the best has more seeds


# --- runs ---


def methods(scale: Scale) -> tuple[str, ...]:
    """Those of one supernet: all where PA has a schedule; elsewhere those of the scale."""
    every = SINGLE if scheduled(scale.space) else scale.methods
    return tuple(name for name in every if name not in scale.left_out)


def of_several(scale: Scale) -> tuple[str, ...]:
    """Those of several supernets, but for what is SPOS itself where PA has no schedule."""
    itself = () if scheduled(scale.space) else SPOS_ITSELF
    return tuple(name for name in SEVERAL if name not in (*scale.left_out, *itself))


def trainings(scale: Scale) -> list[TrainConfig]:
    """Each method of one supernet with each seed, and the starved one at equal steps."""
    every = [scale.training(name, seed) for seed in scale.seeds for name in methods(scale)]
    return [*every, *at_equal_steps(scale)]


def at_equal_steps(scale: Scale) -> list[TrainConfig]:
    """The starved method, for as many times the images as it has passes in a step."""
    found = []
    for seed in scale.seeds[: scale.equal_steps]:
        config = scale.training(STARVED, seed)
        passes = config.method.paths.build(config.space, 1).group
        passes *= config.method.update.build(config.space, 1).passes
        method = replace(config.method, name=EQUAL_STEPS)
        found.append(replace(config, method=method, epochs=scale.epochs * passes))
    return found


def scorings(scale: Scale) -> list[ScoreConfig]:
    """Scores of each of these at its end."""
    return [scale.scoring(config) for config in trainings(scale)]


def scorings_of_several(scale: Scale) -> dict[ScoreConfig, str]:
    """Scores of several supernets, and the method that each is of."""
    asked = [(name, seed) for seed in scale.seeds for name in of_several(scale)]
    return {supernets.scoring(scale, *own): own[0] for own in asked}


def near(measured: Measured, seeds: Sequence[int]) -> list[str]:
    """The rule: PA&DA, and whatever is within `NEAR` of the best by either outcome.

    By means over `seeds`, the first ones. Far ones need no more seeds to be told from the best.
    """
    found = {OURS}
    for measure in OUTCOMES:
        mean = pairs.values(measured, measure).loc[list(seeds)].mean()
        found |= set(mean.index[mean >= mean.max() - NEAR])
    return [name for name in METHODS if name in found]


def more(scale: Scale, names: Sequence[str]) -> dict[ScoreConfig, str]:
    """Scores of the methods that are near the best, with the seeds that only they have."""
    asked = [(name, seed) for seed in scale.near_seeds for name in names]
    return {
        supernets.scoring(scale, name, seed)
        if name in SEVERAL
        else scale.scoring(scale.training(name, seed)): name
        for name, seed in asked
    }


def timings(scale: Scale) -> list[CostConfig]:
    """The cost of a step of each method, in the main space: give these one worker."""
    if not scheduled(scale.space):
        return []
    own = training.timings(replace(scale, methods=methods(scale)))
    return [*own, *(supernets.timing(scale, name) for name in of_several(scale))]


def memories(scale: Scale) -> list[MemoryConfig]:
    """What a step of each method holds in memory."""
    own = [MemoryConfig(scale.training(name, scale.seeds[0])) for name in methods(scale)]
    return [*own, *(supernets.held(scale, name) for name in of_several(scale))]


def configs(scale: Scale) -> list[Config]:
    """The runs of this study but its timings, which must not compete for the machine.

    And but those that depend on what these say: `more`.
    """
    scored = [*scorings(scale), *scorings_of_several(scale)]
    return [*trainings(scale), *scored, *(memories(scale) if scheduled(scale.space) else ())]


# --- what is read ---


@dataclass(frozen=True)
class Read:
    """What the notebook reads: by space (scores, architectures with their truth), and more."""

    spaces: dict[str, tuple[pd.DataFrame, Ranked]]  # the main one first
    curves: pd.DataFrame  # of the main space
    cost: pd.DataFrame
    memory: pd.DataFrame
    parts: pd.DataFrame  # a row a training of each method of several supernets


def read(book: Workbook) -> Read:
    """All tables of the scale and of those beside it; redrawing asks for no run."""
    spaces = {}
    for each in (book, *book.beside):
        if __name__.rpartition(".")[2] not in each.scale.studies:
            continue
        several = {} if book.redraw else scorings_of_several(each.scale)
        asked = [] if book.redraw else [*scorings(each.scale), *several]
        scores = each.table("scores", asked, columns=_named(several))
        known = controls.ranked(each.scale, each.reference())
        if each.scale.near_seeds and not book.redraw:
            first = scores[scores.method.isin(METHODS)]
            further = more(each.scale, near(controls.measure(first, known), each.scale.seeds))
            scores = each.table("scores", [*asked, *further], columns=_named(several | further))
        spaces[each.scale.space.name] = scores, known
    several = {} if book.redraw else scorings_of_several(book.scale)
    parts = book.table("parts", list(several), columns=_named(several))
    asked = [[], [], []]
    if not book.redraw:
        asked = [trainings(book.scale), timings(book.scale), memories(book.scale)]
    curves, cost, memory = (
        book.table(name, own, workers=workers)
        for name, own, workers in zip(
            ("curves", "cost", "memory"), asked, (None, 1, None), strict=True
        )
    )
    return Read(spaces, curves, cost, memory, parts)


def _named(several: Mapping[ScoreConfig, str]) -> Callable[[Config], dict[str, str]]:
    """For `Workbook.table`: the method's name, where its first supernet has another."""
    return lambda config: {"method": several[config]} if config in several else {}


# --- analysis ---


def analyse(found: Read, scale: Scale) -> dict[str, pd.DataFrame]:
    """The tables of the notebook. ValueError where a row has a value and no interval.

    contrasts: PA&DA less each rival, in every space, both outcomes (Holm over the rivals, in each
    space and by each outcome). more: the same by other measures. made_of: PA&DA less what it is
    made of, asked after a look (Holm over all of a space's parts and measures). differences: all
    pairs of methods in the main space (Holm over the pairs, by each outcome). near: which methods
    have more seeds, and their means over the first ones. ranks: each method's place in that space.
    cards; costs; by_part, comparable: see `supernets`. runs_explained, explained: see `why`.
    """
    measured = {name: controls.measure(*own) for name, own in found.spaces.items()}
    cards = [controls.cards(*own)[0].assign(space=name) for name, own in found.spaces.items()]
    main = next(iter(found.spaces))
    of_main = measured[main], found.spaces[main][1]
    differences = judged(pairs.each_pair(*of_main))
    equal = found.curves[found.curves.method != EQUAL_STEPS]
    draws = training.drawn(scale, training.unlogged(equal))
    tables = {
        "contrasts": against_rivals(measured, found.spaces, list(OUTCOMES)),
        "more": against_rivals(measured, found.spaces, list(OTHERS)),
        "made_of": against_parts(measured, found.spaces),
        "differences": differences,
        "ranks": pairs.ranks(of_main[0], differences, cards[0]),
        "cards": pd.concat(cards, ignore_index=True),
        "costs": costs.table(found, scale, draws, *of_main),
        "by_part": supernets.by_part(*found.spaces[main]),
        "comparable": supernets.comparable(*found.spaces[main], BOUND),
        "near": nearest(of_main[0], scale),
        "runs_explained": why.runs(equal, draws, found.spaces[main], of_main[0], scale.space),
    }
    tables["explained"] = why.related(tables["runs_explained"])
    for name in ("contrasts", "more", "made_of", "differences", "cards", "comparable"):
        complete(tables[name], name)
    return tables


def against_rivals(
    measured: Mapping[str, Measured],
    spaces: Mapping[str, tuple[pd.DataFrame, Ranked]],
    names: Sequence[str],
) -> pd.DataFrame:
    """PA&DA less each rival that a space has; by each of the measures `names` a family.

    What scored as SPOS did, to the bit, is SPOS itself there, and no rival: so CLOSE, where no two
    positions have weights of equal shapes.
    """
    rows = []
    for space, (scores, known) in spaces.items():
        others = [name for name in RIVALS if not outcomes.scored_alike(scores, name, "SPOS")]
        asked = [(OURS, rival) for rival in others]
        for name in names:
            own = controls.compare(measured[space], known, asked, [name])
            rows.append(own.assign(space=space, fifths=not known.equal))
    return judged(rows)


def against_parts(
    measured: Mapping[str, Measured], spaces: Mapping[str, tuple[pd.DataFrame, Ranked]]
) -> pd.DataFrame:
    """PA&DA less each of `PARTS` that a space has, by all measures: each space a family."""
    rows = []
    for space, (_, known) in spaces.items():
        asked = [(OURS, part) for part in PARTS]
        own = controls.compare(measured[space], known, asked, [*OUTCOMES, *OTHERS])
        rows.append(own.assign(space=space, fifths=not known.equal))
    return judged(rows)


def judged(rows: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Each of `rows` a family of differences, by the rule and the bound of `controls`."""
    every = [outcomes.judged(own.to_dict("records"), BOUND, wanted=1) for own in rows]
    return pd.concat(every, ignore_index=True)


def complete(rows: pd.DataFrame, name: str) -> None:
    """ValueError where a row has a value and lacks the interval that it is judged by.

    What needs no training has no seeds; all else has at least two.
    """
    value = "difference" if "difference" in rows else "value"
    low = "seeds_low" if "difference" in rows else "low"
    bad = rows[rows[value].notna() & rows[low].isna()]
    if "method" in rows:  # cards: one seed of a supernet has an interval over architectures alone
        one = rows.method.isin((*METHODS, EQUAL_STEPS)) & (rows.seeds < 2) & rows[value].notna()
        bad = pd.concat([bad, rows[one]])
    if len(bad):
        row = bad.iloc[0]
        who = row.method if "method" in rows else f"{row.a} - {row.b}"
        raise ValueError(
            f"{name}: {row.measure} of {who} in {row.space if 'space' in rows else 'its space'} "
            f"has the value {row[value]:.3f} and no interval: train it with two seeds or more"
        )


def nearest(measured: Measured, scale: Scale) -> pd.DataFrame:
    """A row a method: its means over the first seeds, and whether it has more (`near`)."""
    seeds = list(scale.seeds)
    table = pd.DataFrame(
        {name: pairs.values(measured, name).loc[seeds].mean() for name in OUTCOMES}
    )
    table["near"] = table.index.isin(near(measured, seeds))
    table["seeds"] = pairs.values(measured, next(iter(OUTCOMES))).notna().sum()
    return table.rename_axis("method").reset_index()
