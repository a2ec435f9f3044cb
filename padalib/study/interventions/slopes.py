"""What comes of the interventions: how long the variance that they set lasts, and the ranking.

The dose is what was set, not what is measured later: the variance of a step at one and the same
weights, which goes with one over the images and paths that it averages (but for the part of the
path, where images vary). Variance that is measured in training is an answer to the dose as the
ranking is: weights that were trained with less noise have other gradients.
"""

import math
from collections.abc import Collection, Iterator
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd

from padalib.ranking import pairs
from padalib.ranking.pairs import Estimate
from padalib.ranking.report import Ranked
from padalib.study import claims, effects, outcomes, wording
from padalib.study.interventions import (
    FAMILIES,
    IMAGES,
    KEYS,
    MIDDLE,
    PLANNED,
    STEPS,
    members,
    usual,
)
from padalib.study.outcomes import BY, JUDGED, NAMES

FIGURE = "08_interventions"


class Interventions(NamedTuple):
    """Tables and claims of the study."""

    runs: pd.DataFrame  # a row for each run and outcome, with its variance
    cards: pd.DataFrame  # means over seeds, agreement and limit, of each variant
    steps: pd.DataFrame  # variance of each variant beside SPOS's, and its parts
    lasting: pd.DataFrame  # doublings of variance, and of noise, measured for each that is set
    slopes: pd.DataFrame  # change of an outcome for each halving of the variance that is set
    claims: list[claims.Claim]


def analyse(probed: pd.DataFrame, scores: pd.DataFrame, ranked: Ranked) -> Interventions:
    """From the rows of probes and scores with their `level`."""
    noise = of_mean(probed)
    lasting = lasts(noise)
    middle = noise[noise["at"] == MIDDLE]
    found = outcomes.by_run(scores, ranked, KEYS)
    found = found.merge(middle[[*KEYS, "seed", "total"]], on=[*KEYS, "seed"])
    found["doublings"] = dose(found)
    slopes = pd.concat([slopes_of(found, ranked), agreement_slopes(scores, found, ranked)])
    slopes = slopes.reset_index(drop=True)
    return Interventions(
        found.drop(columns="estimate"),
        outcomes.cards(found, scores, ranked, KEYS),
        beside(noise),
        lasting,
        slopes,
        [*_lasts(lasting), *_lower(slopes)],
    )


def dose(rows: pd.DataFrame) -> pd.Series:
    """Doublings of the variance that a variant sets, at the same weights; SPOS's is 0."""
    return np.log2(usual(rows) / (rows["size"] * rows.group))


def of_mean(probed: pd.DataFrame) -> pd.DataFrame:
    """Variance of the mean gradient of a step, all weights: of a sum of k it is k² times that.

    A group of paths is one draw of the probe.
    """
    own = probed[(probed.part == "all") & (probed.weights == "raw")].copy()
    for name in ("total", "path", "data", "signal"):
        own[name] = own[name] / own.group**2
    return own


def beside(noise: pd.DataFrame) -> pd.DataFrame:
    """Each variant's variance as a multiple of the unchanged SPOS's, paired by seed.

    A row for each variant, in the middle and at the end: ratio with its interval over seeds, and
    mean parts.
    """
    rows = []
    plain = noise[(noise.group == 1) & (noise["size"] == usual(noise))]
    plain = plain.set_index(["at", "seed"]).total
    for (*key, at), own in noise.groupby([*KEYS, "at"], sort=False):
        found = effects.ratio(own.set_index("seed").total, plain[at])
        means = own[["total", "path", "data", "path_share", "signal_to_noise"]].mean()
        named = dict(zip(KEYS, key, strict=True)) | {"at": at}
        rows.append(named | found._asdict() | means.to_dict())
    return pd.DataFrame(rows)


def lasts(noise: pd.DataFrame) -> pd.DataFrame:
    """How much of the dose is still there: doublings that are measured for each that is set.

    1: all of it; 0: nothing. Of the variance, and of the noise of the weights, which goes with rate
    times variance. A row for each, family, and the middle and the end of training: least squares
    over the variants within each seed, Student's interval over seeds.
    """
    rows = []
    noise = noise.assign(doublings=dose(noise), variance=np.log2(noise.total))
    scaled = np.where(noise.rule == IMAGES, noise.doublings, 0.0)  # the rate goes with one over it
    noise["noise"] = noise.variance - scaled
    for what, family in product(("variance", "noise"), FAMILIES):
        for at, own in members(noise, family).groupby("at", sort=False):
            if own.groupby("seed").size().min() < 2:
                continue
            slopes = pd.Series(
                {
                    seed: np.polyfit(each.doublings, each[what], 1)[0]
                    for seed, each in own.groupby("seed")
                }
            )
            found = effects.difference(slopes)._asdict()
            found.pop("p")  # of none at all, which nobody asks
            rows.append({"what": what, "family": family, "at": at} | found)
    return pd.DataFrame(rows)


def slopes_of(found: pd.DataFrame, ranked: Ranked) -> pd.DataFrame:
    """Change of each outcome for each halving of a step's variance that is set (`dose`).

    Least squares over the variants within each seed; intervals over seeds, which are the clusters,
    and over architectures. Holm's correction is for the planned ones (see `_holm`).
    """
    rows = []
    for family in FAMILIES:
        own = members(found, family)
        for (by, outcome), each in own.groupby(["by", "outcome"], sort=False):
            if each.value.isna().any() or each.groupby("seed").size().min() < 2:
                continue
            slopes = [
                outcomes.slope(-seed.doublings, seed.estimate) for _, seed in each.groupby("seed")
            ]
            named = {"family": family, "by": by, "outcome": outcome}
            rows.append(named | outcomes.mean(slopes, ranked))
    return _holm(rows)


def _holm(rows: list[dict], judged: Collection[tuple] = tuple(JUDGED.items())) -> pd.DataFrame:
    """Planned: the judged (outcome, by), by either rule; the rest is there to pick from."""
    planned = [
        row for row in rows if row["family"] in PLANNED and (row["outcome"], row["by"]) in judged
    ]
    others = [row for row in rows if row not in planned]
    tables = [
        outcomes.judged(own, outcomes.SLOPE_BOUND, wanted=1).assign(planned=own is planned)
        for own in (planned, others)
        if own
    ]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def agreement_slopes(scores: pd.DataFrame, found: pd.DataFrame, ranked: Ranked) -> pd.DataFrame:
    """The same of the agreement between seeds: tau of two, the mean over all pairs of them.

    Over seeds by leaving out one at a time (jackknife): two pairs that share a seed are not
    independent. None with fewer than three seeds.
    """
    x = -found.groupby([*KEYS, "seed"]).doublings.first()
    agreed = {by: _pairs(scores, ranked, by) for by in BY}
    rows = []
    for family in FAMILIES:
        keys = list(members(found, family)[list(KEYS)].drop_duplicates().itertuples(index=False))
        if len(keys) < 2 or found.seed.nunique() < 3:
            continue
        for by in BY:
            named = {"family": family, "by": by, "outcome": "between_seeds"}
            rows.append(named | _jackknife([(x[key], agreed[by][key]) for key in keys], ranked))
    if not rows:
        return pd.DataFrame()
    return _holm(rows, {("between_seeds", "loss")})


def _pairs(scores: pd.DataFrame, ranked: Ranked, by: str) -> dict[tuple, dict[tuple, Estimate]]:
    """By variant and pair of seeds: tau of the two rankings."""
    found: dict[tuple, dict[tuple, Estimate]] = {}
    for key, own in scores.groupby(list(KEYS), sort=False):
        preds = {seed: dict(outcomes.vectors(run, ranked))[by] for seed, run in own.groupby("seed")}
        seeds = sorted(preds)
        found[key] = {
            (a, b): pairs.tau(preds[a], preds[b])
            for place, a in enumerate(seeds)
            for b in seeds[place + 1 :]
        }
    return found


def _jackknife(levels: list[tuple[pd.Series, dict[tuple, Estimate]]], ranked: Ranked) -> dict:
    """Slope of agreement against the mean of x, as `outcomes.doubted` has it."""
    seeds = sorted(levels[0][0].index)

    def of(kept: list[int]) -> Estimate:
        own = [
            [estimate for pair, estimate in agreed.items() if set(pair) <= set(kept)]
            for _, agreed in levels
        ]
        means = [outcomes.combine([1 / len(some)] * len(some), some) for some in own]
        return outcomes.slope([x[kept].mean() for x, _ in levels], means)

    n, whole = len(seeds), of(seeds)
    left = np.array([of([s for s in seeds if s != out]).value for out in seeds])
    error = math.sqrt((n - 1) / n * np.square(left - left.mean()).sum())
    return outcomes.doubted(whole, effects.Doubt(error, n - 1), n, ranked.clusters)


# --- claims ---


def _lasts(lasting: pd.DataFrame) -> Iterator[claims.Claim]:
    """Whether half of what is set, or more, is still there in the middle of training.

    At equal steps the rate is one for all, so variance and noise are the same.
    """
    named = {
        "variance": "the variance of a step",
        "noise": "the noise of the weights (rate times variance)",
    }
    for what, family in product(named, PLANNED) if len(lasting) else ():
        own = lasting[(lasting.what == what) & lasting.family.str.endswith(family)]
        own = own.set_index(["at", "family"])
        rule = FAMILIES[family][0]
        if (MIDDLE, family) not in own.index or (what, rule) == ("noise", STEPS):
            continue
        row = own.loc[(MIDDLE, family)]
        said = "Doublings measured in the middle of training for each that is set: "
        said += wording.interval(row.change, row.low, row.high)
        for (at, name), other in own.drop((MIDDLE, family)).iterrows():
            part = "all" if name == family else name.partition(",")[0] + " alone"
            told = wording.interval(other.change, other.low, other.high)
            said += f"; {part}{'' if at == MIDDLE else ', at the end'} {told}"
        yield claims.of(
            f"08.lasts_{what}_{rule}",
            "Half or more of what is set (in doublings) lasts until the middle of training, at "
            f"{family}: {named[what]}",
            row.change,
            [claims.Interval(row.low, row.high, "seeds", int(row.seeds))],
            f"{said}; 1 would be all of it, over {int(row.seeds)} seeds",
            null=0.5,
            unit="doublings",
            figure=FIGURE,
        )


def _lower(slopes: pd.DataFrame) -> Iterator[claims.Claim]:
    """The paper's causal claim, by both rules, and agreement of seeds."""
    if slopes.empty:
        return
    statements = {
        STEPS: "Averaging each step over more ranks better at equal steps (more forward passes)",
        IMAGES: "Averaging each step over more ranks better at equal images (fewer, larger steps)",
    }
    names = NAMES | {"between_seeds": "agreement between seeds"}
    rows = slopes[slopes.planned].set_index(["family", "outcome"])
    for family in PLANNED:
        rule = FAMILIES[family][0]
        for outcome in (*JUDGED, "between_seeds"):
            if (family, outcome) not in rows.index:
                continue
            row = rows.loc[(family, outcome)]
            parts = slopes[(slopes.outcome == outcome) & (slopes.by == row.by)]
            parts = parts[parts.family.isin([f for f in FAMILIES if f.endswith(f", {family}")])]
            said = f"Change of {names[outcome]} by {row.by} for each halving of the variance set: "
            said += outcomes.told(row)
            for part in parts.itertuples():
                said += f"; {part.family.partition(',')[0]} alone {outcomes.told(part)}"
            look = {"wanted": 1, "unit": "tau for each halving of the variance", "figure": FIGURE}
            statement = f"{statements[rule]}: {names[outcome]}"
            if outcome not in JUDGED:
                statement = f"Seeds agree better where each step averages over more, at {family}"
            yield outcomes.claim(f"08.lower_{outcome}_{rule}", statement, row, said, **look)
