"""The paper's Fig. 1 with exposure held equal: every ranked architecture is trained equally often.

With n candidates on each of E edges, uniform paths draw the 2^E architectures of convolutions with
probability (2/n)^E: more candidates also mean that what is ranked is hardly trained. So here half
of the steps are theirs where there are others (`FavouredPaths`), and such supernets are trained
twice as long. Edges that share have convolutions alone, and the shorter training.

So with two candidates what all paths share (stem, reductions, head) has half the steps: that level
is drawn, but what more candidates do is claimed from three on, where all train as long.
"""

from dataclasses import replace
from typing import NamedTuple

import pandas as pd

from padalib import samplers, spaces
from padalib.engine.runs import Config
from padalib.probes.sampled import VarianceConfig
from padalib.ranking.scores import ScoreConfig
from padalib.study import claims, sharing
from padalib.study.draws import FavouredPaths
from padalib.study.scale import Scale
from padalib.train import TrainConfig

SHARE = 0.5  # of the steps, for the architectures of convolutions
NAME = "SPOS, equal exposure"
FIGURE = "18_equal_exposure"


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


def probes(scale: Scale) -> list[VarianceConfig]:
    """The variance of each at its end."""
    return [
        VarianceConfig(config, None, scale.final_paths, scale.batches)
        for config in supernets(scale)
    ]


def scorings(scale: Scale) -> list[ScoreConfig]:
    """Scores of all architectures of convolutions, at the end."""
    return [scale.scoring(config, archs=spaces.CONVS) for config in supernets(scale)]


def configs(scale: Scale) -> list[Config]:
    """All runs of this study; none where the scale has no factor to vary."""
    return [*probes(scale), *scorings(scale)]


class Exposure(NamedTuple):
    """Tables and claims of the study."""

    shared: sharing.Sharing  # as in the study of sharing, of the ends alone
    claims: list[claims.Claim]


def analyse(
    probed: pd.DataFrame, scores: pd.DataFrame, truth: pd.DataFrame, ops: tuple[str, ...]
) -> Exposure:
    """`sharing.analyse` of the ends, however long each was trained; claims under names of ours.

    What ranks worse is claimed here; what varies more is not, for half of the steps are the same.
    """
    end = max(probed.epoch.max(), scores.epoch.max())
    probed, scores = probed.assign(epoch=end), scores.assign(epoch=end)
    found = sharing.analyse(probed, scores, truth, ops)
    parts = {"extent": found}
    long = [rows[(rows.candidates > 2) | (rows.extent > 1)] for rows in (probed, scores)]
    if probed.candidates[probed.candidates > 2].nunique() > 1:
        parts["candidates"] = sharing.analyse(*long, truth, ops)
    kept = [part.changes[part.changes.factor == factor] for factor, part in parts.items()]
    said = [
        claim
        for factor, part in parts.items()
        for claim in part.claims
        if claim.key == f"01.{factor}.ranking"
    ]
    ours = [
        replace(
            claim,
            key=claim.key.replace("01.", "18.exposed_"),
            statement=f"{claim.statement}, every ranked architecture being trained equally often",
            figure=FIGURE,
        )
        for claim in said
    ]
    return Exposure(found._replace(changes=pd.concat(kept, ignore_index=True)), ours)
