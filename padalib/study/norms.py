"""Does it matter how batch norm is handled when ranking? Trained supernets, each ranked thrice.

Batch statistics are the released code's. Each other way (`ranking.normed`) stands beside them on
the same supernets, images and architectures: what it ranks better or worse, and whether PA&DA's
gain over uniform sampling depends on it. Nothing is trained.
"""

from dataclasses import replace

import numpy as np
import pandas as pd

from padalib.ranking.normed import WAYS, NormScores
from padalib.ranking.report import Ranked
from padalib.ranking.several import what
from padalib.study import controls, outcomes
from padalib.study.claims import Claim
from padalib.study.controls import BOUND, OUTCOMES
from padalib.study.record import slug
from padalib.study.scale import Scale

BASE, GAINER = "SPOS", "PA&DA"
SEEDS = 8
PLAIN, *OTHERS = WAYS
GAIN = f"{GAINER} − {BASE}"


def configs(scale: Scale) -> list[NormScores]:
    """Scores in every way of both methods with the first seeds: ways share a supernet."""
    return [_scores(scale, name, seed) for seed in scale.seeds[:SEEDS] for name in (BASE, GAINER)]


def _scores(scale: Scale, name: str, seed: int) -> NormScores:
    train = replace(scale.training(name, seed), keep=())
    every = scale.ranked_archs()  # spread evenly over those, whatever order they have
    places = np.linspace(0, len(every) - 1, min(len(every), scale.normed)).round().astype(int)
    codes = tuple(scale.space.code(every[k]) for k in places)
    return NormScores(train, **what(scale.scoring(train)) | {"archs": None, "codes": codes})


def among(scores: pd.DataFrame, known: Ranked) -> Ranked:
    """Of the architectures with their truth those that are scored."""
    own = np.isin(known.codes, scores.code.unique())
    return known.only(own)


def analyse(scores: pd.DataFrame, known: Ranked) -> pd.DataFrame:
    """Each way less batch statistics, of each method and of the gain: one family.

    Columns besides those of `outcomes.judged`: of, way, measure, value and plain (means over seeds,
    in that way and by batch statistics).
    """
    few = among(scores, known)
    measured = controls.measure(scores.assign(method=scores.method + ", " + scores.norm), few)
    rows = []
    for way in OTHERS:
        for of, signs in ((BASE, {BASE: 1}), (GAINER, {GAINER: 1}), (GAIN, {GAINER: 1, BASE: -1})):
            for measure in OUTCOMES:
                runs = measured[measure]
                own, plain = (
                    [
                        outcomes.combine(
                            list(signs.values()), [runs[f"{name}, {each}", seed] for name in signs]
                        )
                        for seed in dict.fromkeys(scores.seed)
                    ]
                    for each in (way, PLAIN)
                )
                gaps = [outcomes.combine((1, -1), two) for two in zip(own, plain, strict=True)]
                row = {"of": of, "way": way, "measure": measure, "fifths": not few.equal}
                row["value"], row["plain"] = (
                    float(np.mean([one.value for one in each])) for each in (own, plain)
                )
                rows.append(row | outcomes.mean(gaps, few))
    return outcomes.judged(rows, BOUND, wanted=1)


def conclude(rows: pd.DataFrame) -> list[Claim]:
    """A claim for each row."""
    found = []
    for row in rows.itertuples():
        named = controls.outcome(row.measure, row.fifths)
        does = f"{row.of} ranks better" if row.of != GAIN else f"{GAINER} gains more over {BASE}"
        found.append(
            outcomes.claim(
                f"16.norm.{slug(row.of)}.{row.way}.{row.measure}",
                f"{does} by {row.way} statistics of batch norm than by those of the batch: {named}",
                row,
                f"{row.value:.3f} beside {row.plain:.3f}: {outcomes.told(row)}",
                wanted=1,
                unit="tau",
            )
        )
    return found
