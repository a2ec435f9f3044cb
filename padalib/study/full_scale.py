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
from scipy import stats

from padalib.benchmarks import predictions, truth
from padalib.engine import paths
from padalib.ranking import metrics, report
from padalib.ranking.pairs import Estimate
from padalib.ranking.report import Ranked
from padalib.study import claims, contests
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
    """A row a difference a - b, as `contests.compare` has them; Holm within each question.

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
    table = pd.DataFrame(rows)
    table["holm"] = table.groupby("question", sort=False).p.transform(
        lambda own: claims.holm(own.tolist())
    )
    table["bound"] = BOUND
    table["tests"] = table.groupby("question").p.transform("size")
    every = list(table.itertuples())
    table["visible"] = [max(i.visible(row.tests) for i in contests.intervals(row)) for row in every]
    table["verdict"] = [
        claims.judge(contests.intervals(row), bound=BOUND, p=row.holm) for row in every
    ]
    return table


def _best(found: Estimates, outcome: str, sign: int = 1) -> str:
    """The family with the highest mean of an outcome (`sign` -1: the lowest)."""
    means = {name: _mean(own).value for (name, o), own in found.items() if o == outcome}
    return max(sorted(means.keys() - {FLOPS}), key=lambda name: sign * means[name])


def _mean(estimates: Sequence[Estimate]) -> Estimate:
    influence = np.mean([e.influence for e in estimates], axis=0)
    return Estimate(float(np.mean([e.value for e in estimates])), influence)


def _difference(found: Estimates, one: tuple, other: tuple, clusters: np.ndarray) -> dict:
    """a - b with Welch's interval over seeds (a control has none) and one over architectures."""
    a, b = found[one], found[other]
    gap = _mean(a).value - _mean(b).value
    error = Estimate(gap, _mean(a).influence - _mean(b).influence).error(clusters)
    low, high, p = welch([e.value for e in a], [e.value for e in b])
    by_archs = float(2 * stats.norm.sf(abs(gap) / error)) if error else float(gap == 0)
    return {
        "measure": one[1] if one[1] == other[1] else f"{one[1]} - {other[1]}",
        **{"a": one[0], "b": other[0], "difference": gap},
        "seeds": len(a) + (len(b) if len(b) > 1 else 0),
        "functions": int(clusters.max()) + 1,
        **{"seeds_low": low, "seeds_high": high},
        **{"archs_low": gap - 1.96 * error, "archs_high": gap + 1.96 * error},
        "p": max(p, by_archs),
    }


def welch(a: Sequence[float], b: Sequence[float]) -> tuple[float, float, float]:
    """(low, high, p) of mean(a) - mean(b), seeds unpaired and of unequal spread (Welch 1947).

    A side with one value, such as a count of FLOPs, is taken as known; two such give NaN and 1.
    """
    gap, parts = float(np.mean(a) - np.mean(b)), []
    for side in (a, b):
        if len(side) > 1:
            parts.append((float(np.var(side, ddof=1)) / len(side), len(side) - 1))
    variance = sum(part for part, _ in parts)
    if not parts:
        return math.nan, math.nan, 1.0
    if not variance:
        return gap, gap, float(gap == 0)
    freedom = variance**2 / sum(part**2 / n for part, n in parts)
    error, t = math.sqrt(variance), stats.t(freedom)
    half = float(t.ppf(0.975)) * error
    return gap - half, gap + half, float(2 * t.sf(abs(gap) / error))


def order(found: Estimates, families: list[str], clusters: np.ndarray) -> pd.DataFrame:
    """Does the order of families stay? Spearman's rho of their means by tau and by each outcome.

    One row each other outcome. Percentiles of rho when means are drawn anew around the estimates:
    over seeds (Student's t of each family), and over architectures (all families by the same
    weights of distinct functions). The families themselves stay: they are no sample of anything.
    """
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(DRAWS, clusters.max() + 1))
    means, by_seeds, by_archs = {}, {}, {}
    for outcome in OUTCOMES:
        mean = [_mean(found[name, outcome]) for name in families]
        means[outcome] = np.array([e.value for e in mean])
        moved = np.stack([np.bincount(clusters, e.influence) for e in mean], axis=1)
        by_archs[outcome] = means[outcome] + weights @ moved
        noise = []
        for name in families:
            values = [e.value for e in found[name, outcome]]
            n, sd = len(values), metrics.seeds_summary(values).sd
            noise.append(sd / math.sqrt(n) * rng.standard_t(n - 1, DRAWS) if n > 1 else [0] * DRAWS)
        by_seeds[outcome] = means[outcome] + np.stack(noise, axis=1)
    rows = []
    for outcome in list(OUTCOMES)[1:]:
        row = {"outcome": outcome, "families": len(families)}
        row["rho"] = metrics.spearman(means["tau"], means[outcome])
        for name, drawn in (("seeds", by_seeds), ("archs", by_archs)):
            pairs = zip(drawn["tau"], drawn[outcome], strict=True)
            rhos = [metrics.spearman(x, y) for x, y in pairs]
            row[f"{name}_low"], row[f"{name}_high"] = np.quantile(rhos, [0.025, 0.975])
        rows.append(row)
    functions = int(clusters.max()) + 1
    return (
        pd.DataFrame(rows)
        .assign(seeds=sum(len(found[f, "tau"]) for f in families))
        .assign(functions=functions)
    )
