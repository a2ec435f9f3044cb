"""The paper's Fig. 1 with exposure held equal: every ranked architecture is trained equally often.

With n candidates on each of E edges, uniform paths draw the 2^E architectures of convolutions with
probability (2/n)^E: more candidates also mean that what is ranked is hardly trained. So here half
of the steps are theirs where there are others (`FavouredPaths`), and such supernets are trained
twice as long. Beside these stand uniform paths for as many epochs: what exposure itself does.

Two candidates are trained both ways, at equal exposure (half the steps) and as long as the others
(twice the exposure): what falls beside both falls for neither reason. Edges that share have
convolutions alone, so their exposure was equal before: they repeat the study of sharing.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any, NamedTuple

import pandas as pd

from padalib import samplers, spaces
from padalib.engine.runs import Config
from padalib.probes.sampled import VarianceConfig
from padalib.ranking import metrics
from padalib.ranking.scores import ScoreConfig
from padalib.study import claims, effects, sharing
from padalib.study.draws import FavouredPaths
from padalib.study.scale import Scale
from padalib.train import TrainConfig

SHARE = 0.5  # of the steps, for the architectures of convolutions
NAME = "SPOS, equal exposure"
EQUAL, UNIFORM = "equal exposure", "uniform paths"
FIGURE = "18_equal_exposure"
ASKED = ("tau_loss", "tau")  # the first decides, the other stands beside it


def supernets(scale: Scale) -> list[TrainConfig]:
    """Those of `sharing` that rank anything; the ones with more candidates favour convolutions."""
    found = []
    for config in sharing.supernets(scale):
        if len(config.space.ops) > 2:
            paths = samplers.part(FavouredPaths, ops=spaces.CONVS, share=SHARE)
            method = replace(config.method, name=NAME, paths=paths)
            longer = round(config.epochs / SHARE)
            config = replace(config, method=method, epochs=longer, keep=())
        if len(config.space.ops) > 1:
            found.append(replace(config, keep=()))
    return found


def uniform(scale: Scale) -> list[TrainConfig]:
    """Uniform paths in the spaces that differ in candidates, for as long as the longest."""
    longest = round(scale.sharing_epochs / SHARE)
    return [
        replace(config, epochs=longest, keep=())
        for config in sharing.supernets(scale)
        if config.space.extent == 1 and len(config.space.ops) > 1
    ]


def probes(scale: Scale) -> list[VarianceConfig]:
    """The variance of edges that share, at the end.

    Not of more candidates: there half of the steps are on the same paths, by design.
    """
    return [
        VarianceConfig(config, None, scale.final_paths, scale.batches)
        for config in supernets(scale)
        if len(config.space.ops) == 2
    ]


def scorings(scale: Scale) -> list[ScoreConfig]:
    """Scores of all architectures of convolutions, at the end."""
    trained = (*supernets(scale), *uniform(scale))
    return [scale.scoring(config, archs=spaces.CONVS) for config in trained]


def configs(scale: Scale) -> list[Config]:
    """All runs of this study; none where the scale has no factor to vary."""
    return [*probes(scale), *scorings(scale)]


def held(scale: Scale) -> pd.DataFrame:
    """What each supernet holds equal, and what not: a row for each number of candidates and arm.

    In epochs of steps: those that train any one ranked architecture, and any one convolution of an
    edge; and how many steps are on other architectures than the ranked, for each on these.
    """
    rows = []
    for arm, trained in ((EQUAL, supernets(scale)), (UNIFORM, uniform(scale))):
        for config in trained:
            if config.seed != scale.seeds[0] or config.space.extent > 1:
                continue
            ops, edges = config.space.ops, len(config.space.edges)
            sampler = config.method.paths.build(config.space, config.epochs)
            ranked = [ops.index(name) for name in spaces.CONVS]
            p = {
                arch: 1 / sampler.weight(arch) / config.space.architectures
                for arch in product(range(len(ops)), repeat=edges)
            }
            own = [p[arch] for arch in product(ranked, repeat=edges)]
            one = sum(value for arch, value in p.items() if arch[0] == ranked[0])
            rows.append(
                {"operations per edge": len(ops), "drawn": arm, "epochs": config.epochs}
                | {"epochs on one architecture": config.epochs * own[0]}
                | {"epochs on one convolution": config.epochs * one}
                | {"steps on others, for each on these": 1 / sum(own) - 1}
            )
    return pd.DataFrame(rows)


# --- analysis ---


class Exposure(NamedTuple):
    """Tables and claims of the study."""

    extent: sharing.Sharing  # of edges that share
    runs: pd.DataFrame  # tau of each supernet that differs in candidates
    changes: pd.DataFrame  # between levels and arms, see `CONTRASTS`
    perfect: tuple[float, float, float]  # tau of a perfect predictor, and the ends of its interval
    claims: list[claims.Claim]


def analyse(
    probed: pd.DataFrame, scores: pd.DataFrame, truth: pd.DataFrame, ops: tuple[str, ...]
) -> Exposure:
    """From rows of probes and scores with their `sharing.level`, and a reference of their `archs`.

    ops: the operations that the reference's codes count.
    """
    longest = scores.epoch.max()
    plain = (scores.method != NAME) & (scores.epoch == longest)
    extent = sharing.analyse(probed, scores[(scores.candidates == 2) & ~plain], truth, ops)
    own = scores[scores.extent == 1].assign(arm=plain.map({True: UNIFORM, False: EQUAL}))
    own = sharing.renamed(own, truth, ops)
    found = changes(own, truth)
    runs = sharing.taus(own, truth, ["arm", *sharing.RUN])
    perfect = tuple(float(truth[f"perfect{end}"].iloc[0]) for end in ("", "_low", "_high"))
    return Exposure(extent, runs, found, perfect, [*_repeated(extent), *_claims(found)])


def drawn(found: Exposure) -> pd.DataFrame:
    """What the figure shows: a row a supernet, those of edges that share with their variance."""
    return pd.concat([found.extent.runs.assign(arm="edges that share"), found.runs])


def changes(scores: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """Differences of tau, paired by seed: second less first; `asked` says of which.

    falls_short: from the fewest candidates to the most, at equal exposure, so beside fewest that
    are trained half as long. falls: beside fewest trained as long, at twice the exposure. uniform:
    the same fall with uniform paths. exposure: equal exposure less uniform paths, at each number
    from three on.
    """
    levels = sorted(scores.candidates.unique())
    fewest, most = levels[0], levels[-1]
    pairs = [
        ("falls", (EQUAL, most), (UNIFORM, fewest)),
        ("falls_short", (EQUAL, most), (EQUAL, fewest)),
        ("uniform", (UNIFORM, most), (UNIFORM, fewest)),
        *(("exposure", (EQUAL, n), (UNIFORM, n)) for n in levels[::-1] if n > fewest),
    ]
    true, rows = truth.set_index("code").accuracy, []
    wide = {
        (value, *key): own.pivot(index="code", columns="seed", values=value).loc[true.index]
        for value in ASKED
        for key, own in scores.groupby(["arm", "candidates"])
    }
    length = scores.groupby(["arm", "candidates"]).epoch.first()
    for value, (asked, second, first) in product(ASKED, pairs):
        sides = [wide[value, *second], wide[value, *first]]
        taus = [
            side.apply(lambda own: metrics.tau(own.to_numpy(), true.to_numpy())) for side in sides
        ]
        low, high = sharing.over_codes(*sides, true)
        rows.append(
            {"asked": asked, "value": value}
            | {"first_arm": first[0], "first": first[1], "first_epochs": length[first]}
            | {"second_arm": second[0], "second": second[1], "second_epochs": length[second]}
            | {"before": taus[1].mean(), "after": taus[0].mean()}
            | effects.difference(*taus)._asdict()
            | {"archs_low": low, "archs_high": high, "architectures": len(true)}
        )
    return pd.DataFrame(rows)


# --- claims ---


def _repeated(extent: sharing.Sharing) -> Iterator[claims.Claim]:
    """Those of `sharing` on fresh seeds, under names of this study."""
    for claim in extent.claims:
        key = claim.key.replace("01.", "18.")
        said = f"{claim.statement} (fresh seeds)"
        yield replace(claim, key=key, statement=said, figure=FIGURE)


def _claims(found: pd.DataFrame) -> Iterator[claims.Claim]:
    by = {key: own for key, own in found.groupby("asked", sort=False)}
    most = found.second.max()
    yield _claim(
        "falls",
        f"Ranking gets worse from two to {most} operations per edge, every ranked architecture "
        "being trained as often, and beside two trained twice as often",
        [by["falls_short"], by["falls"]],
        -1,
    )
    yield _claim(
        "uniform",
        f"*Control:* with uniform paths for as many steps, ranking gets worse up to {most} "
        "operations per edge",
        [by["uniform"]],
        -1,
    )
    yield _claim(
        "exposure",
        f"With {most} operations per edge, training each ranked architecture as often as with "
        "two ranks better than uniform paths for as many steps",
        [by["exposure"][by["exposure"].second == most]],
        1,
    )


def _claim(key: str, statement: str, asked: list[pd.DataFrame], wanted: int) -> claims.Claim:
    """By loss; over seeds, over architectures and both; where two are asked, each must hold."""
    rows = [next(own[own.value == ASKED[0]].itertuples()) for own in asked]
    words = [
        f"by {name} {' and '.join(map(told, own))}"
        for value, name in zip(ASKED, ("loss", "accuracy"), strict=True)
        if (own := [next(each[each.value == value].itertuples()) for each in asked])
    ]
    return claims.of(
        f"18.{key}",
        statement,
        rows[0].change,
        [interval for row in rows for interval in sharing.intervals(row)],
        f"tau {'; '.join(words)}; brackets: over {rows[0].seeds} seeds, then over "
        f"{rows[0].architectures} architectures",
        wanted=wanted,
        bound=effects.TAU_BOUND,
        unit="tau",
        figure=FIGURE,
    )


def told(row: Any) -> str:
    """A change in words, with both of its intervals, and of what it is."""
    ends = f" [{row.archs_low:+.2f}, {row.archs_high:+.2f}]" * math.isfinite(row.archs_low)
    change = f"{row.before:.2f} to {row.after:.2f}, {sharing.said(row)}{ends}"
    sides = (
        f"{count} ({arm}, {epochs} epochs)"
        for count, arm, epochs in (
            (row.first, row.first_arm, row.first_epochs),
            (row.second, row.second_arm, row.second_epochs),
        )
    )
    between = f"from {' to '.join(sides)}"
    return f"{change}, {between}"
