"""The paper's Fig. 1: variance and ranking of supernets that share more, or choose from more.

Two factors, both with uniform paths (SPOS): the *extent*, how many consecutive edges of a cell have
one set of operations between them; and the *candidates*, how many operations an edge chooses from.
All of these supernets contain the architectures of convolutions, and are ranked on those alone.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise, product
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from padalib import spaces
from padalib.engine.runs import Config
from padalib.probes.sampled import VarianceConfig
from padalib.ranking import metrics
from padalib.ranking.scores import ScoreConfig
from padalib.spaces import Arch
from padalib.study import claims
from padalib.study.effects import (
    RATIO_BOUND,
    TAU_BOUND,
    behind,
    difference,
    judge_rows,
    ratio,
    together,
)
from padalib.study.scale import Scale
from padalib.train import TrainConfig

# Candidate operations of an edge, from one to all; two are the paper's Fig. 1.
CANDIDATES = (
    spaces.CONVS[1:],
    spaces.CONVS,
    ("skip_connect", *spaces.CONVS),
    ("skip_connect", *spaces.CONVS, "avg_pool_3x3"),
    spaces.OPS,
)
FACTORS = {"extent": "edges that share", "candidates": "operations per edge"}
SCORES = ("tau", "tau_loss")  # the ranking by accuracy and by loss
RUN = ["extent", "candidates", "seed", "epoch"]

# --- runs ---


def supernets(scale: Scale) -> list[TrainConfig]:
    """SPOS in spaces whose edges share more operations, or choose from more."""
    two = replace(scale.space, name=f"{scale.space.name} of 2", ops=spaces.CONVS)
    found = [
        two if extent == 1 else replace(two, name=f"{two.name} extent {extent}", extent=extent)
        for extent in scale.extents
    ]
    for count in scale.candidates:
        ops = CANDIDATES[count - 1]
        name = scale.space.name if count == len(spaces.OPS) else f"{scale.space.name} of {count}"
        found.append(replace(scale.space, name=name, ops=ops))
    changes = {"epochs": scale.sharing_epochs, "keep": scale.sharing_keep}
    return [
        replace(scale.training("SPOS", seed), space=space, **changes)
        for seed in scale.seeds
        for space in dict.fromkeys(found)
    ]


def probes(scale: Scale) -> list[VarianceConfig]:
    """The variance of those supernets at every kept epoch and the end."""
    return [
        VarianceConfig(config, epoch, scale.paths, scale.batches)
        for config in supernets(scale)
        for epoch in (*config.keep, config.epochs)
    ]


def scorings(scale: Scale) -> list[ScoreConfig]:
    """Scores of all architectures of convolutions; a space of one operation has none to rank."""
    return [
        scale.scoring(config, epoch=epoch, archs=spaces.CONVS)
        for config in supernets(scale)
        for epoch in (*config.keep, config.epochs)
        if len(config.space.ops) > 1
    ]


def configs(scale: Scale) -> list[Config]:
    """All runs of this study; none where the scale has no factor to vary."""
    return [*probes(scale), *scorings(scale)]


def level(config: VarianceConfig | ScoreConfig) -> dict[str, int]:
    """Columns that say which supernet a run's rows are of."""
    space = config.train.space
    return {"extent": space.extent, "candidates": len(space.ops)}


def archs(scale: Scale) -> list[Arch]:
    """The architectures of convolutions, as the scale's own space writes them."""
    ops = list(map(scale.space.ops.index, spaces.CONVS))
    return list(product(ops, repeat=len(scale.space.edges)))


# --- analysis ---


class Sharing(NamedTuple):
    """Tables and claims of the study."""

    runs: pd.DataFrame  # a row for each supernet and epoch: variance and both taus
    changes: pd.DataFrame  # from level to level, at the end
    perfect: float  # tau of a perfect predictor on these architectures
    basis: str  # what that is estimated from
    claims: list[claims.Claim]


def analyse(
    variance: pd.DataFrame, scores: pd.DataFrame, truth: pd.DataFrame, ops: tuple[str, ...]
) -> Sharing:
    """From rows of probes and scores with their `level`, and a reference of their `archs`.

    ops: the operations that the reference's codes count.
    """
    scores = renamed(scores, truth, ops)
    whole = variance[(variance.part == "all") & (variance.weights == "raw")]
    columns = [*RUN, "total", "path_share", "signal_to_noise"]
    runs = whole[columns].merge(taus(scores, truth), how="left", on=RUN)
    last = runs.epoch.max()
    found = changes(runs[runs.epoch == last])
    ends = over_architectures(found, scores[scores.epoch == last], truth)
    found = found.join(ends).assign(architectures=len(truth))
    ceiling = float(metrics.perfect(float(truth.ceiling.iloc[0])))
    return Sharing(runs, found, ceiling, truth.ceiling_basis.iloc[0], list(_claims(found)))


def along(rows: pd.DataFrame, factor: str) -> pd.DataFrame:
    """The supernets along which a factor varies: edges that share have two operations."""
    return rows[rows.candidates == 2] if factor == "extent" else rows[rows.extent == 1]


def renamed(scores: pd.DataFrame, truth: pd.DataFrame, ops: tuple[str, ...]) -> pd.DataFrame:
    """Scores under the truth's codes, which count `ops`: each supernet counts its own operations.

    Adds `tau` and `tau_loss`, what is ranked by. ValueError unless both are of the same
    architectures.
    """
    kinds = scores[["candidates", "code"]].drop_duplicates()
    name = {
        (count, code): "-".join(
            str(ops.index(CANDIDATES[count - 1][int(op)])) for op in code.split("-")
        )
        for count, code in kinds.itertuples(index=False)
    }
    codes = [name[key] for key in zip(scores.candidates, scores.code, strict=True)]
    if apart := sorted(set(codes) ^ set(truth.code)):
        raise ValueError(
            f"scores and truth are not of the same architectures: {len(apart)} are in one of them "
            f"only, first {apart[0]}. Pass the truth of `sharing.archs(scale)`"
        )
    return scores.assign(code=codes, tau=scores.accuracy, tau_loss=-scores.loss)


def taus(scores: pd.DataFrame, truth: pd.DataFrame, by: Sequence[str] = RUN) -> pd.DataFrame:
    """tau of each supernet and epoch, from `renamed` scores; `by`: the columns that tell them."""
    true = truth.set_index("code").accuracy
    rows = [
        [*key, *(metrics.tau(own[score].to_numpy(), true[own.code].to_numpy()) for score in SCORES)]
        for key, own in scores.groupby(list(by), sort=False)
    ]
    return pd.DataFrame(rows, columns=[*by, *SCORES])


def changes(end: pd.DataFrame) -> pd.DataFrame:
    """Ratio (of the variance) or difference (of the rest) between levels, paired by seed.

    Planned are the change along a whole factor, and that from a single operation, which is one
    network and no supernet, to two. Steps between neighbours are there to pick from.
    """
    rows = []
    for factor in FACTORS:
        for value in ("total", "path_share", "signal_to_noise", *SCORES):
            wide = along(end, factor).pivot(index="seed", columns=factor, values=value)
            levels = list(wide.columns[wide.notna().any()])
            if len(levels) < 2:
                continue
            bends = levels[:1] if factor == "extent" or levels[0] > 1 else levels[:2]
            planned = list(pairwise(dict.fromkeys([*bends, levels[-1]])))
            for first, second in dict.fromkeys([*planned, *pairwise(levels)]):
                effect = (ratio if value == "total" else difference)(wide[second], wide[first])
                row = {"factor": factor, "value": value, "first": first, "second": second}
                row |= {"planned": (first, second) in planned, "null": float(value == "total")}
                row |= {"before": wide[first].mean(), "after": wide[second].mean()}
                rows.append(row | effect._asdict())
    return judge_rows(pd.DataFrame(rows), ["value"])


def over_architectures(
    found: pd.DataFrame, scores: pd.DataFrame, truth: pd.DataFrame
) -> pd.DataFrame:
    """Ends of a paired bootstrap over architectures of each planned change of tau, else NaN.

    scores: `renamed`, at the end. The seeds are those at hand; their mean is resampled.
    """
    true = truth.set_index("code").accuracy
    ends = [
        _bootstrap(along(scores, row.factor), row, true)
        if row.planned and row.value in SCORES
        else (math.nan, math.nan)
        for row in found.itertuples()
    ]
    return pd.DataFrame(ends, columns=["archs_low", "archs_high"], index=found.index)


def _bootstrap(scores: pd.DataFrame, row, true: pd.Series) -> tuple[float, float]:
    """Of the mean over seeds of tau at the level `row.second`, less that at `row.first`."""
    sides = [
        scores[scores[row.factor] == level].pivot(index="code", columns="seed", values=row.value)
        for level in (row.second, row.first)
    ]
    return over_codes(*sides, true)


def over_codes(second: pd.DataFrame, first: pd.DataFrame, true: pd.Series) -> tuple[float, float]:
    """Ends of a paired bootstrap over architectures of the mean over seeds of tau, less another.

    second, first: scores, a line a code and a column a seed. true: accuracies, by code.
    """
    seeds = second.shape[1]

    def gap(*vectors: np.ndarray) -> float:
        found = [metrics.tau(scores, vectors[-1]) for scores in vectors[:-1]]
        return float(np.mean(found[:seeds]) - np.mean(found[seeds:]))

    columns = [side.loc[true.index, seed].to_numpy() for side in (second, first) for seed in side]
    return metrics.bootstrap(gap, *columns, true.to_numpy())


# --- claims ---


def _claims(found: pd.DataFrame) -> Iterator[claims.Claim]:
    for factor, label in FACTORS.items():
        own = found[(found.factor == factor) & found.planned]
        total = own[own.value == "total"][::-1]  # along the whole factor first
        rank = own[own.value.isin(SCORES)]
        if len(total):
            yield claims.of(
                f"01.{factor}.variance",
                f"Variance grows with the number of {label}",
                total.change.iloc[0],
                [
                    claims.Interval(row.low, row.high, "seeds", row.seeds, row.change)
                    for row in total.itertuples()
                ],
                f"{told(own, 'total')}, over {total.seeds.iloc[0]} seeds; share that comes from "
                f"the path {told(own, 'path_share')}",
                null=1.0,
                bound=RATIO_BOUND,
                unit="times",
                figure="01_sharing",
            )
        if len(rank):
            yield claims.of(
                f"01.{factor}.ranking",
                f"Ranking gets worse with the number of {label}",
                rank.change.iloc[0],
                [interval for row in rank.itertuples() for interval in intervals(row)],
                f"tau by accuracy {told(own, 'tau')}; by loss {told(own, 'tau_loss')}; brackets: "
                f"over {rank.seeds.iloc[0]} seeds, then over {rank.architectures.iloc[0]} "
                "architectures" + _bend(found[(found.factor == factor) & (found.value == "tau")]),
                wanted=-1,
                bound=TAU_BOUND,
                unit="tau",
                figure="01_sharing",
            )


def intervals(row: Any) -> list[claims.Interval]:
    """Of a change of tau: over seeds, over architectures, and over both together."""
    both = together(behind(row.low, row.high, row.seeds - 1), behind(row.archs_low, row.archs_high))
    ends, of = (row.change - both.half, row.change + both.half), row.change
    return [
        claims.Interval(row.low, row.high, "seeds", row.seeds, of),
        claims.Interval(row.archs_low, row.archs_high, "architectures", row.architectures, of),
        claims.Interval(*ends, "seeds and these", row.seeds, of, both.freedom),
    ]


def _bend(steps: pd.DataFrame) -> str:
    """The largest change between levels in words, where it was not planned."""
    if not steps.change.notna().any():
        return ""
    row = steps.loc[steps.change.abs().idxmax()]
    if row.planned:
        return ""
    return (
        f"; most by accuracy from {row['first']} to {row.second}, {said(row)} over seeds, p "
        f"{row.corrected:.2f} after Holm's correction"
    )


def told(planned: pd.DataFrame, value: str) -> str:
    """The planned changes of a quantity, in words.

    An interval is *wide* that holds gains and losses alike beyond the bound of equivalence.
    """
    words = []
    for row in planned[planned.value == value].itertuples():
        sign, unit = ("", " times") if value == "total" else ("+", "")
        text = said(row, sign) + unit
        if math.isnan(row.change):
            text = claims.UNMEASURABLE
        elif value in SCORES:
            text = f"{row.before:.2f} to {row.after:.2f}, {text}"
            text += f" [{row.archs_low:+.2f}, {row.archs_high:+.2f}]"
            text += " (wide)" * (row.low < -TAU_BOUND and row.high > TAU_BOUND)
        words.append(f"{text} from {row.first} to {row.second}")
    return " and ".join(words)


def said(row: pd.Series, sign: str = "+") -> str:
    """A change and its interval over seeds."""
    if math.isnan(row.change):
        return claims.UNMEASURABLE
    return f"{row.change:{sign}.2f} [{row.low:{sign}.2f}, {row.high:{sign}.2f}]"
