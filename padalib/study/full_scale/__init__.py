"""What do training methods change at full scale: the order of levels of complexity, or within them?

Supernets that others trained with the benchmark's own network (Few-Shot-NAS, cvlab-yonsei) and
whose predictions for all of NAS-Bench-201 are public. PA&DA is not among them. Nothing is trained:
their report cards, and the contrasts that hold everything fixed but one thing, as far as the names
of the runs tell. Seeds are not paired, so differences over them have Welch's interval.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from padalib.benchmarks import predictions, truth
from padalib.engine import paths
from padalib.ranking import metrics, report
from padalib.ranking.pairs import Estimate
from padalib.ranking.report import Ranked
from padalib.study import effects, outcomes
from padalib.study.workbook import Workbook

BOUND = 0.03  # of tau: differences within it count as none; chosen before any was seen
OUTCOMES = {
    "tau": "tau",
    "within_flops": "tau among equal FLOPs",
    "with_flops": "tau with the FLOPs' rank added",
}
FLOPS = report.CONTROLS[0]
CONTRASTS = (  # key, what is changed, to, from
    ("longer", "500 epochs instead of 250", "baseline-16-64-500", "baseline-16-64-250"),
    ("longest", "1,000 epochs instead of 500", "baseline-16-64-1000", "baseline-16-64-500"),
    ("batch", "batches of 128 instead of 64", "baseline-16-128-1000", "baseline-16-64-1000"),
    ("thin_short", "5 channels instead of 16", "baseline-5-64-250", "baseline-16-64-250"),
    ("thin", "5 channels instead of 16", "baseline-5-128-1000", "baseline-16-128-1000"),
    *(
        (key, "levels of complexity drawn equally often", f"{own}-balanced", own)
        for key, own in (
            ("balanced_short", "baseline-5-64-250"),
            ("balanced", "baseline-5-128-1000"),
        )
    ),
    (
        *("sets", "three sets of weights by complexity instead of one"),
        *("decom5-5-15-20-128-1000-balanced", "baseline-5-128-1000-balanced"),
    ),
)
NAME = re.compile(
    r"(?P<kind>baseline|decom5)-(?P<channels>\d+)(?P<cuts>(?:-\d+)*)-(?P<batch>\d+)-(?P<epochs>\d+)"
    r"(?P<balanced>-balanced)?"
)
DRAWS = 4000  # of the order of families


@dataclass(frozen=True)
class Family:
    """What the name of some runs tells: they differ in their seed only."""

    channels: int
    batch: int
    epochs: int
    balanced: bool  # three levels of complexity are drawn equally often
    cuts: tuple[int, ...]  # in complexity, between the parts that have weights of their own

    @property
    def label(self) -> str:
        """As in tables and figures: method, then channels / batch / epochs."""
        method = "balanced" if self.balanced else "SPOS"
        if self.cuts:
            method += f", {len(self.cuts) + 1} sets"
        return f"{method} {self.channels}/{self.batch}/{self.epochs}"


def family(name: str) -> Family | None:
    """What `name` tells, None where it does not tell all."""
    match = NAME.fullmatch(name)
    if match is None or (match["kind"] == "baseline") == bool(match["cuts"]):
        return None
    cuts = tuple(map(int, match["cuts"].split("-")[1:]))
    channels, batch, epochs = (int(match[k]) for k in ("channels", "batch", "epochs"))
    return Family(channels, batch, epochs, bool(match["balanced"]), cuts)


# --- tables ---


def tables(book: Workbook) -> dict[str, pd.DataFrame]:
    """All tables of this study: computed from the predictions, or as published when redrawing.

    Raises ScoresError where the data root lacks the predictions, ValueError for another scale.
    """
    names = ("cards", "seeds", "bias", "contrasts", "order")
    if book.redraw:
        return {name: book.published(name) for name in names}
    space = book.scale.space
    if space.name != "nasbench201" or book.scale.methods:
        raise ValueError(
            f"scale {book.scale.name} trains supernets of its own; those of others are looked at "
            "by scale='full'"
        )
    predicted = predictions.published(paths.data_root(), space)
    known = truth.load(space, dataset=book.scale.truth)
    accuracy = known.accuracy("test")
    ranked = Ranked(space, tuple(accuracy.index), accuracy.to_numpy())
    made = analyse(predicted, ranked)
    origin = {"space": space.name, "dataset": known.dataset, "source": known.source}
    made["cards"] = made["cards"].assign(**origin)
    return {name: book.save(name, made[name]) for name in names}


def analyse(predicted: pd.DataFrame, ranked: Ranked) -> dict[str, pd.DataFrame]:
    """cards, bias (a row a family and option), seeds (a row a run and outcome), contrasts, order.

    `predicted` has the columns code, score, seed and family; runs whose name does not tell how they
    were trained are left out. Controls have cards too.
    """
    families = {name: own for name in predicted.family.unique() if (own := family(name))}
    families = dict(sorted(families.items(), key=lambda item: _place(item[1])))
    wide = {
        name: predicted[predicted.family == name].pivot(
            index="code", columns="seed", values="score"
        )
        for name in families
    }
    wide = {name: own.loc[list(ranked.codes)] for name, own in wide.items()}
    cards = {name: report.card(own, ranked) for name, own in wide.items()}
    labels = {name: own.label for name, own in families.items()} | {n: n for n in report.CONTROLS}
    fns = {name: fn for name, fn in report.smooth(ranked).items() if name in OUTCOMES}
    found = {
        (name, outcome): [fn(own[seed].to_numpy(float)) for seed in own]
        for name, own in wide.items()
        for outcome, fn in fns.items()
    }
    seeds = [
        {"family": name, "label": labels[name], "seed": seed, "measure": outcome, "value": e.value}
        for (name, outcome), estimates in found.items()
        for seed, e in zip(wide[name], estimates, strict=True)
    ]
    found[FLOPS, "tau"] = [fns["tau"](ranked.flops)]
    biases = [report.bias(own, ranked).assign(family=name) for name, own in wide.items()]
    cards |= report.controls(ranked)
    rows = [own.assign(family=name, label=labels[name]) for name, own in cards.items()]
    return {
        "cards": pd.concat(rows, ignore_index=True),
        "seeds": pd.DataFrame(seeds),
        "bias": pd.concat(biases, ignore_index=True),
        "contrasts": contrasts(found, ranked.clusters),
        "order": order(found, list(families), ranked.clusters),
    }


def _place(own: Family) -> tuple:
    return own.balanced, len(own.cuts), -own.channels, own.batch, own.epochs, own.cuts


Estimates = dict[tuple[str, str], list[Estimate]]  # by family and measure, one a seed


def contrasts(found: Estimates, clusters: np.ndarray) -> pd.DataFrame:
    """A row a difference a - b, as `outcomes.judged` has them; Holm within each question.

    Questions: 'one thing' (`CONTRASTS`, each outcome), and three that were asked after the cards
    were seen, of the families that stand out: 'prior', 'free' and 'order'.
    """
    rows = []
    for key, changed, a, b in CONTRASTS:
        for outcome in OUTCOMES:
            if {(a, outcome), (b, outcome)} <= found.keys():
                asked = {"question": "one thing", "key": key, "changed": changed}
                rows.append(asked | _difference(found, (a, outcome), (b, outcome), clusters))
    alone, added = _best(found, "tau"), _best(found, "with_flops")
    for key, one, other in (
        ("prior", (added, "with_flops"), (alone, "tau")),
        ("free", (alone, "tau"), (FLOPS, "tau")),
        ("free_prior", (_best(found, "with_flops", -1), "with_flops"), (FLOPS, "tau")),
        ("order_alone", (alone, "tau"), (added, "tau")),
        ("order_added", (added, "with_flops"), (alone, "with_flops")),
    ):
        if one == other:  # one family is the best of both
            continue
        asked = {"question": key.partition("_")[0], "key": key, "changed": ""}
        rows.append(asked | _difference(found, one, other, clusters))
    questions = dict.fromkeys(row["question"] for row in rows)
    own = [[row for row in rows if row["question"] == question] for question in questions]
    return pd.concat([outcomes.judged(each, BOUND, wanted=1) for each in own], ignore_index=True)


def _best(found: Estimates, outcome: str, sign: int = 1) -> str:
    """The family with the highest mean of an outcome (`sign` -1: the lowest)."""
    means = {name: _mean(own).value for (name, o), own in found.items() if o == outcome}
    return max(sorted(means.keys() - {FLOPS}), key=lambda name: sign * means[name])


def _mean(estimates: Sequence[Estimate]) -> Estimate:
    influence = np.mean([e.influence for e in estimates], axis=0)
    return Estimate(float(np.mean([e.value for e in estimates])), influence)


def _difference(found: Estimates, one: tuple, other: tuple, clusters: np.ndarray) -> dict:
    """a - b as `outcomes.row` has it; two outcomes of one family are of the same runs, so paired.

    A control has no seeds.
    """
    a, b = found[one], found[other]
    sides = [[e.value for e in side] for side in (a, b)]
    same = one[0] == other[0]
    over = effects.spread(np.subtract(*sides)) if same else effects.welch(*sides)
    seeds = len(a) if same or len(b) == 1 else len(a) + len(b)
    gap = outcomes.combine((1, -1), (_mean(a), _mean(b)))
    return {
        "measure": one[1] if one[1] == other[1] else f"{one[1]} - {other[1]}",
        **{"a": one[0], "b": other[0]},
        **outcomes.doubted(gap, over, seeds, clusters),
    }


def order(found: Estimates, families: list[str], clusters: np.ndarray) -> pd.DataFrame:
    """Does the order of families stay? Spearman's rho of their means by tau and by each outcome.

    One row each other outcome. Percentiles of rho when means are drawn anew around the estimates:
    over seeds (multivariate t of each family: all outcomes are of the same runs), over
    architectures (all families by the same weights of distinct functions), and over both. The
    families themselves stay: they are no sample of anything.
    """
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(DRAWS, clusters.max() + 1))
    own = {name: [found[name, outcome] for outcome in OUTCOMES] for name in families}
    means = np.array([[_mean(e).value for e in each] for each in own.values()])  # [F, O]
    moved = [[np.bincount(clusters, _mean(e).influence) for e in each] for each in own.values()]
    noise = {"archs": np.tensordot(weights, np.array(moved), (1, 2))}
    runs = [np.array([[e.value for e in one] for one in each]).T for each in own.values()]
    noise["seeds"] = np.stack([seed_noise(values, rng) for values in runs], axis=1)
    noise["both"] = noise["archs"] + noise["seeds"]
    rows = []
    for place, outcome in list(enumerate(OUTCOMES))[1:]:
        row = {"outcome": outcome, "families": len(families)}
        row["rho"] = metrics.spearman(means[:, 0], means[:, place])
        for name in ("seeds", "archs", "both"):
            drawn = means + noise[name]
            rhos = [metrics.spearman(each[:, 0], each[:, place]) for each in drawn]
            row[f"{name}_low"], row[f"{name}_high"] = np.quantile(rhos, [0.025, 0.975])
        rows.append(row)
    table = pd.DataFrame(rows).assign(seeds=sum(map(len, runs)))
    return table.assign(functions=int(clusters.max()) + 1)


def seed_noise(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """[DRAWS, O]: what the means of runs [n, O] may be off by, all outcomes jointly; 0 for one run.

    Multivariate t with n - 1 degrees: covariance of the runs over n, in each draw over one chi².
    """
    n = len(values)
    if n == 1:
        return np.zeros((DRAWS, values.shape[1]))
    heavy = np.sqrt((n - 1) / rng.chisquare(n - 1, size=(DRAWS, 1)))
    apart = (values - values.mean(axis=0)) / math.sqrt(n * (n - 1))
    return heavy * (rng.normal(size=(DRAWS, n)) @ apart)
