"""PA&DA's options one at a time, each beside a control that has all of it but what it asks.

Where paper, released code and theory differ, PA and DA have options (`samplers.pa`, `samplers.da`).
A variant of PA stands beside runs that replay the schedule of the same variant of another seed; one
of DA beside runs whose scores are given to images at random. Where it beats its control, gradients
do what they are said to do; where it beats the released form, the option is worth something.

Each option is a question of its own, with Holm's correction over its differences. Where paper, code
and theory differ most (`FIRST`) it has all seeds of the scale, the others the first `FEWER`.

PA with importance weights is not here: a replayed run does not weight its steps. Nor is the length
of training, which `budget` varies; what ranking does with batch norm is in `norms`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from padalib import samplers
from padalib.ranking.report import Ranked
from padalib.ranking.scores import ScoreConfig
from padalib.samplers import ReplayedPaths, part
from padalib.samplers.stepped import SteppedPaths
from padalib.study import controls, figures, outcomes
from padalib.study.claims import EQUIVALENT, NOT_SHOWN, OPPOSITE, SHOWN, Claim
from padalib.study.controls import BOUND, OUTCOMES
from padalib.study.controls.plots import SHADES, differences
from padalib.study.controls.units import by_pairs
from padalib.study.record import slug
from padalib.study.scale import Scale
from padalib.train import TrainConfig

FIGURE = "16_options"
RELEASED = ("PA", "DA")
FIRST = ("raw norms", "live only", "per edge", "every step")
FEWER = 8  # seeds of every other option
SIDES = {"control": "less its control", "released": "less what was released"}
CONTROLS = {"PA": "yoked PA", "DA": "shuffled-data"}


@dataclass(frozen=True)
class Option:
    """One change of a released method: by options of its own, another sampler, or the batch."""

    of: str  # PA or DA
    change: tuple[tuple[str, Any], ...]
    said: str
    paths: type | None = None  # a sampler instead of PA's
    batch: int | None = None  # at equal images; the learning rate grows with it


OPTIONS = {
    "plain mean": Option("PA", (("average", "mean"),), "norms averaged over the whole epoch"),
    "raw norms": Option("PA", (("norm", "raw"),), "norms before clipping"),
    "norms by size": Option("PA", (("size", "rms"),), "root mean square instead of the sum"),
    "live only": Option("PA", (("dead", "skip"),), "what is cut off counts for nothing"),
    "free options": Option(
        "PA", (("parameter_free", "mean"),), "options without weights have the mean score"
    ),
    "per edge": Option("PA", (("shared", False),), "a score for each edge and operation"),
    "scores kept": Option("DA", (("unseen", "keep"),), "images that were not drawn keep theirs"),
    "first shuffled": Option("DA", (("first", "shuffled"),), "the first epoch without replacement"),
    # The same mean over a training as the delta that grows: there are no scores in the first epoch.
    "one delta": Option("PA", (("delta", 0.5),), "half smoothed from the second epoch to the last"),
    "one delta, images": Option("DA", (("delta", 0.5),), "the same for images"),
    "every fifth epoch": Option("PA", (("interval", 5),), "scores renewed every fifth epoch"),
    "every fifth epoch, images": Option("DA", (("interval", 5),), "the same for images"),
    # Its control has another seed's mean p of each epoch, so nothing of what happens within one.
    "every step": Option("PA", (), "scores renewed after every step", paths=SteppedPaths),
    "batch 16": Option("PA", (), "16 images a step instead of 64, a quarter of the rate", batch=16),
    "batch 256": Option("PA", (), "256 images a step, four times the rate", batch=256),
}


def used(scale: Scale) -> dict[str, Option]:
    """The options that the scale changes."""
    return {name: OPTIONS[name] for name in scale.ablated}


# --- runs ---


def variant(scale: Scale, name: str, seed: int) -> TrainConfig:
    """The run of an option, named 'PA, raw norms'; or of PA or DA itself."""
    if name in RELEASED:
        return replace(scale.training(name, seed), keep=())
    own = OPTIONS[name]
    base = scale.training(own.of, seed)
    method, label = base.method, f"{own.of}, {name}"
    if own.paths is not None:
        method = replace(method, paths=part(own.paths))
    method = method.with_options(label, **dict(own.change))
    batch = own.batch or base.batch
    return replace(base, method=method, batch=batch, lr=base.lr * batch / base.batch, keep=())


def control(scale: Scale, name: str, seed: int) -> TrainConfig:
    """The run beside it; of PA and DA themselves those of `controls`."""
    if name in RELEASED:
        return replace(scale.training(CONTROLS[name], seed), keep=())
    own, given = OPTIONS[name], variant(scale, name, seed)
    label = f"{CONTROLS[own.of]}, {name}"
    if own.of == "DA":
        return replace(given, method=given.method.with_options(label, permuted=True))
    shared = dict(own.change).get("shared", True)
    # As `yoked PA` is composed where nothing is changed, so that one schedule is one run.
    paths = part(ReplayedPaths) if shared else part(ReplayedPaths, shared=False)
    replayed = variant(scale, name, scale.partner(seed))
    return replace(given, method=samplers.compose(label, paths), replay=replayed)


def names(scale: Scale) -> list[str]:
    """The options that the scale changes, after what they are changed of."""
    return [*dict.fromkeys(OPTIONS[name].of for name in scale.ablated), *scale.ablated]


def seeds(scale: Scale, name: str) -> tuple[int, ...]:
    """Those of an option, or of PA or DA: what has more is compared on those that both have.

    DA's control has as few in `controls`.
    """
    return scale.seeds if name in ("PA", *FIRST) else scale.seeds[:FEWER]


def configs(scale: Scale) -> list[ScoreConfig]:
    """Each option and its control, with every seed of theirs; seed by seed."""
    return [
        scale.scoring(make(scale, name, seed))
        for seed in scale.seeds
        for name in names(scale)
        if seed in seeds(scale, name)
        for make in (variant, control)
    ]


# --- analysis ---


def analyse(
    scores: pd.DataFrame, known: Ranked, asked: Sequence[str], order: Sequence[int] = ()
) -> pd.DataFrame:
    """Each option (and PA and DA) less its control, and less what it is changed of: a family each.

    Yoked runs swap their schedules two by two, so there the two together are one unit: see
    `controls.compare` for `order`, the scale's seeds. What is `unchanged` is no question.
    """
    order = order or sorted(scores.seed.unique().tolist())
    measured, found = controls.measure(scores, known), []
    same = unchanged(scores, asked)
    for name in [name for name in asked if name not in same]:
        rows = []
        of = name if name in RELEASED else OPTIONS[name].of
        own, beside = _labels(name)
        for against, other in (("control", beside), ("released", of)):
            if own == other:
                continue
            for measure in OUTCOMES:
                runs = measured[measure]
                both = [seed for method, seed in runs if method == own and (other, seed) in runs]
                gaps = {s: outcomes.combine((1, -1), (runs[own, s], runs[other, s])) for s in both}
                unit, each = "seeds", list(gaps.values())
                if against == "control" and of == "PA":
                    unit, each = "swapped pairs of seeds", by_pairs(gaps, order)
                row = {"option": name, "against": against, "measure": measure}
                row |= {"a": own, "b": other, "fifths": not known.equal}
                rows.append(row | outcomes.mean(each, known, unit))
        found.append(outcomes.judged(rows, BOUND, wanted=1))
    return pd.concat(found, ignore_index=True)


def unchanged(scores: pd.DataFrame, asked: Sequence[str]) -> list[str]:
    """The options whose runs scored what those they are changed of did, to the bit, at each seed.

    Raw norms do where no gradient is clipped: then they are the released ones.
    """
    changed = [name for name in asked if name not in RELEASED]
    return [
        name
        for name in changed
        if outcomes.scored_alike(scores, _labels(name)[0], OPTIONS[name].of)
    ]


def _labels(name: str) -> tuple[str, str]:
    """The methods of an option and of its control."""
    if name in RELEASED:
        return name, CONTROLS[name]
    of = OPTIONS[name].of
    return f"{of}, {name}", f"{CONTROLS[of]}, {name}"


def conclude(rows: pd.DataFrame) -> list[Claim]:
    """A claim for each row."""
    return [
        outcomes.claim(
            f"16.option.{slug(row.option)}.{row.against}.{row.measure}",
            f"{row.a} ranks better than {row.b}: {controls.outcome(row.measure, row.fifths)}",
            row,
            f"{row.a} − {row.b}: {outcomes.told(row)}",
            wanted=1,
            unit="tau",
            figure=FIGURE,
        )
        for row in rows.itertuples()
    ]


# --- figure ---


def draw(rows: pd.DataFrame) -> Figure:
    """Left: each variant less its control. Right: less what was released."""
    with figures.style():
        height = 2.2 + 0.3 * rows.option.nunique()  # the caption has eight lines or more
        figure, axes = figures.subplots(1, 2, figsize=(6.75, height))
        for panel, (against, title) in zip(axes, SIDES.items(), strict=True):
            own = rows[rows.against == against]
            differences(panel, own, list(own.option))
            panel.set(title=title, xlabel=f"difference of tau; grey: ±{BOUND:g}")
        for name, shade in SHADES.items():
            axes[1].plot([], [], color=shade, lw=2.4, label=OUTCOMES[name])
        figure.legend(loc="outside upper center", ncols=2, fontsize=6)
    return figure


def caption(scale: Scale, rows: pd.DataFrame) -> str:
    """By side and outcome which variants gain or lose, how many do not, and what each is."""
    said = []
    words = ((SHOWN, "gains"), (OPPOSITE, "loses"), (EQUIVALENT, "as good"), (NOT_SHOWN, "open"))
    for against, of in (("control", "its control"), ("released", "what was released")):
        for measure, named in OUTCOMES.items():
            own = rows[(rows.against == against) & (rows.measure == measure)]
            told = []
            for word, does in words:
                names = own.option[own.verdict == word]
                some = f"{does}: {', '.join(names)}" if word in (SHOWN, OPPOSITE) else ""
                told += [some or f"{len(names)} {does}"] if len(names) else []
            said.append(f"Beside {of}, {named}: {'; '.join(told)}. {outcomes.seen(own)}.")
    if same := [name for name in scale.ablated if name not in set(rows.option)]:
        said.append(f"Left out, for it changed nothing here, to the bit: {', '.join(same)}.")
    first = [name for name in scale.ablated if name in FIRST and name in set(rows.option)]
    few = min(FEWER, len(scale.seeds))
    more = first and len(scale.seeds) > FEWER
    all_seeds = f" ({len(scale.seeds)}: PA, {', '.join(first)})" if more else ""
    tried = [name for name in used(scale) if name in set(rows.option)]
    said.append(f"Changed: {'; '.join(f'{name}: {OPTIONS[name].said}' for name in tried)}.")
    return (
        f"Scale {scale.name}, {few} seeds{all_seeds}. {' '.join(said)} Thick bars over seeds "
        f"(pairs of them where schedules are swapped), {outcomes.THIN}, 95 %; Holm's correction "
        "over the differences of each option."
    )
