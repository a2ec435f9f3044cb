"""Optimal sampling, exactly: what the best distribution saves, and what those in use save of it.

A population small enough to know every gradient: all paths of the space and a few hundred images.
'Exactly' means with statistics of batch norm frozen, which is another function than in training:
fractions of variance survive that, single gradients do not.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import NamedTuple

import pandas as pd
from scipy import stats

from padalib.engine.runs import Config
from padalib.probes.agreement import AgreementConfig
from padalib.probes.exact import ExactConfig
from padalib.ranking import metrics
from padalib.study import claims, wording
from padalib.study.effects import RATIO_BOUND, Effect, difference, ratio
from padalib.study.scale import Scale

# As they are shown: what families of distributions could reach, then what is in use.
ORDER = (
    "optimum", "best product", "best paths", "best images", "best per edge",
    "best per operation", "norms per edge", "norms per operation", "held paths", "size",
    "softmax error", "held images", "best images, shuffled", "norms per operation, softmax error",
    "held",
)  # fmt: skip
SCORES = "norms per operation, softmax error"  # PA&DA's, measured exactly
CELL = ["epoch", "batch", "weights", "distribution"]
PATHS = 128  # outer draws of a sampled probe that is held against the exact one, at most


# --- runs ---


def exacts(scale: Scale) -> list[ExactConfig]:
    """Exact probes of every seed at every epoch asked for."""
    return [
        _exact(scale, method, seed, epoch, scale.exact_images)
        for method, seed, epoch in product(scale.exact, scale.seeds, scale.exact_epochs)
    ]


def coupled(scale: Scale) -> list[ExactConfig]:
    """The first seed's last exact probe with frozen statistics and with those of batches.

    The latter cost a backward for each path and image, so both are of two batches of images.
    """
    images = min(2 * scale.batch, scale.exact_images)
    return [
        _exact(scale, method, scale.seeds[0], scale.exact_epochs[-1], images, statistics)
        for method, statistics in product(scale.exact, ("frozen", "batch"))
    ]


def agreements(scale: Scale) -> list[AgreementConfig]:
    """Sampled probes against the exact ones, half-way through training and at the end."""
    return [
        AgreementConfig(
            scale.training(method, scale.seeds[0]),
            epoch,
            scale.exact_images,
            min(scale.batch, scale.exact_images),
            min(PATHS, scale.final_paths),
            scale.batches,
            seeds=scale.agreement_seeds,
        )
        for method, epoch in product(scale.exact, scale.exact_epochs[-2:])
    ]


def configs(scale: Scale) -> list[Config]:
    """All runs of this study, the longest first; none where the space is too large to be listed."""
    return [*coupled(scale), *agreements(scale), *exacts(scale)]


def _exact(
    scale: Scale, method: str, seed: int, epoch: int, images: int, statistics: str = "frozen"
) -> ExactConfig:
    batch = min(scale.batch, images)
    return ExactConfig(scale.training(method, seed), epoch, images, batch, statistics)


# --- analysis ---


class Optimum(NamedTuple):
    """Tables and claims of the study."""

    attempts: pd.DataFrame  # to beat the optimum, a row for each population
    fractions: pd.DataFrame  # of uniform sampling's variance, each distribution over seeds
    coupling: pd.DataFrame  # frozen beside batch statistics: medians over paths of each epoch
    statistics: pd.DataFrame  # fractions by frozen and by batch statistics, each distribution
    probes: pd.DataFrame  # sampled ones, with what they estimate over the exact value
    agreed: pd.DataFrame  # how many of their intervals hold it
    claims: list[claims.Claim]


def analyse(
    exact: pd.DataFrame, coupled: pd.DataFrame, statistics: pd.DataFrame, agreement: pd.DataFrame
) -> Optimum:
    """From the rows of the exact and sampled probes; ValueError for runs of several methods."""
    if (methods := exact.method.nunique()) != 1:
        raise ValueError(f"one method's exact probes are looked at together, got {methods}")
    tried, found, gaps = attempts(exact), fractions(exact), coupling(coupled)
    both, probes = by_statistics(statistics), agreement.copy()
    probes["ratio"] = probes.sampled / probes.exact
    agreed = probes_that_hold(probes)
    concluded = [
        *_of_the_optimum(exact, tried, found),
        *_of_what_is_held(found),
        _of_statistics(coupled, gaps, both),
        _of_agreement(agreed),
    ]
    return Optimum(tried, found, gaps, both, probes, agreed, concluded)


def attempts(exact: pd.DataFrame) -> pd.DataFrame:
    """Variance, one weighted image a step, where an optimiser ends and by random changes.

    As fractions of uniform sampling's. apart: the optimiser's distance from the optimum, relative.
    beaten: whether anything was better by more than a millionth.
    """
    rows = exact[(exact.batch == 1) & (exact.weights == "importance")]
    rows = rows.pivot(index=["epoch", "seed"], columns="distribution", values="fraction")
    rows = rows[["optimum", "optimiser", "best perturbation"]]
    lowest = rows[["optimiser", "best perturbation"]].min(axis=1)
    return rows.assign(
        apart=(rows.optimiser / rows.optimum - 1).abs(),
        beaten=lowest < rows.optimum * (1 - 1e-6),
    ).reset_index()


def fractions(exact: pd.DataFrame) -> pd.DataFrame:
    """Geometric mean over seeds and interval; squared bias and cosine to the mean gradient."""
    rows = exact[exact.distribution != "best perturbation"]
    found = []
    for key, own in rows.groupby(CELL, sort=False):
        by_seed = own.set_index("seed")
        row = dict(zip(CELL, key, strict=True)) | ratio(by_seed.fraction)._asdict()
        bias = (by_seed.bias2 / by_seed.signal).mean()
        found.append(row | {"squared_bias": bias, "cosine": by_seed.cosine.mean()})
    return pd.DataFrame(found)


def coupling(coupled: pd.DataFrame) -> pd.DataFrame:
    """Medians over paths and seeds of how frozen gradients differ from those of batches."""
    return coupled.groupby("epoch")[["rho", "ratio", "difference", "cosine"]].median().reset_index()


def by_statistics(statistics: pd.DataFrame) -> pd.DataFrame:
    """Fractions of weighted steps of a batch, frozen beside batch statistics, in their order."""
    own = statistics[statistics.weights == "importance"]
    own = own[(own.batch == own.batch.max()) & own.distribution.isin(ORDER)]
    wide = own.pivot(index="distribution", columns="statistics", values="fraction")
    return wide.loc[list(ORDER)].assign(ratio=wide.batch / wide.frozen).reset_index()


def probes_that_hold(probes: pd.DataFrame) -> pd.DataFrame:
    """How many of the sampled probes' intervals hold the exact value, and their mean over it."""
    rows = probes.groupby(["epoch", "weights", "quantity"], sort=False)
    covered, ratio = rows.covered, rows.ratio
    found = {"held": covered.sum(), "of": covered.count(), "ratio": ratio.mean(), "sd": ratio.std()}
    return pd.DataFrame(found).reset_index()


def proxies_by_epoch(proxies: pd.DataFrame) -> pd.DataFrame:
    """Mean over seeds of Spearman's rho of each score and what it stands for."""
    return proxies.groupby(["over", "proxy", "epoch"], sort=False).rho.mean().unstack("epoch")


# --- claims ---


def at(
    found: pd.DataFrame,
    distribution: str,
    weights: str = "importance",
    batch: int | None = None,
    epoch: int | None = None,
) -> Effect:
    """The fraction of one distribution; steps of a batch at the last epoch unless said."""
    wanted = (
        found.epoch.max() if epoch is None else epoch,
        found.batch.max() if batch is None else batch,
        weights,
        distribution,
    )
    row = found.set_index(CELL).loc[wanted]
    return Effect(row.change, row.low, row.high, row.p, int(row.seeds))


def _lower(key: str, statement: str, effect: Effect, evidence: str, **changes) -> claims.Claim:
    """A claim that a fraction of uniform sampling's variance lies below 1."""
    judged = {"wanted": -1, "null": 1.0, "bound": RATIO_BOUND, "unit": "times"} | changes
    evidence = f"{evidence}; brackets: over {effect.seeds} seeds"
    judged.setdefault("figure", "02_optimal_sampling")
    return claims.of(key, statement, effect.change, [effect.interval], evidence, **judged)


def _of_the_optimum(
    exact: pd.DataFrame, tried: pd.DataFrame, found: pd.DataFrame
) -> Iterator[claims.Claim]:
    batch, least = found.batch.max(), at(found, "optimum", batch=1)
    claim = _lower(
        "02.theorem",
        "The variance is least in proportion to the gradient norm",
        least,
        f"exactly, with frozen statistics, one image a step: {least} of uniform sampling's "
        f"variance; an optimiser that knows no formula ends within {tried.apart.max():.0e} of it, "
        f"{tried.beaten.sum()} of {len(tried)} populations hold anything better; {batch} images a "
        f"step: {at(found, 'optimum')}",
    )
    failed = tried.beaten.any() or tried.apart.max() > 1e-3
    yield replace(claim, verdict=claims.OPPOSITE) if failed else claim
    end = exact[(exact.epoch == exact.epoch.max()) & (exact.batch == batch)]
    end = end[end.weights == "importance"]
    saved = 1 - end.pivot(index="seed", columns="distribution", values="fraction")
    share = difference(saved[SCORES] / saved["optimum"])
    yield claims.of(
        "02.scores",
        "PA&DA's scores, measured exactly and weighted, save half of what can be saved, or more",
        share.change,
        [share.interval],
        f"{share} of the optimum's saving: the scores have {at(found, SCORES)} of uniform "
        f"sampling's variance, the best that one number per operation can do "
        f"{at(found, 'best per operation')}, the optimum {at(found, 'optimum')}; {batch} images a "
        f"step at the end; brackets: over {share.seeds} seeds",
        null=0.5,
        unit="share",
        figure="02_optimal_sampling",
    )


def _of_what_is_held(found: pd.DataFrame) -> Iterator[claims.Claim]:
    epochs = sorted(found.epoch.unique())
    before = f", at epoch {epochs[-2]} {at(found, 'held', epoch=epochs[-2])}" if epochs[1:] else ""
    bias = found[(found.epoch == epochs[-1]) & (found.weights == "raw")]
    bias = bias[bias.batch == bias.batch.max()].set_index("distribution").squared_bias
    yield _lower(
        "02.held",
        "With importance weights, the p and q that PA&DA holds lower the variance",
        at(found, "held"),
        f"{at(found, 'held')} of uniform sampling's on the same network at epoch {epochs[-1]}"
        f"{before}; all weights, {found.batch.max()} images a step",
    )
    for key, statement, name in (
        (
            "02.held_raw",
            "Without weights, as released, the p and q that PA&DA holds lower the variance",
            "held",
        ),
        (
            "02.held_paths_raw",
            "Without weights, the p that PA&DA holds, alone, lowers the variance",
            "held paths",
        ),
    ):
        yield _lower(
            key,
            statement,
            at(found, name, "raw"),
            f"{at(found, name, 'raw')} of uniform sampling's on the same network at epoch "
            f"{epochs[-1]}, all weights; the squared bias of these steps is {bias[name]:.2f} times "
            "the squared mean gradient",
        )


def _of_statistics(coupled: pd.DataFrame, gaps: pd.DataFrame, both: pd.DataFrame) -> claims.Claim:
    """What freezing does to single gradients, and to the fractions that are reported."""
    end = coupled[coupled.epoch == coupled.epoch.max()]
    gap = ratio(end.groupby("seed").difference.median())
    fair = both[~both.distribution.str.startswith("held")]
    rho = metrics.spearman(both.frozen.to_numpy(), both.batch.to_numpy())
    return _lower(
        "02.frozen",
        "*Control:* frozen statistics change an image's gradient by less than its own length",
        gap,
        f"{gap} of its length at epoch {end.epoch.max()}, medians over paths, at all epochs "
        f"{gaps.difference.min():.1f} to {gaps.difference.max():.1f}; cosine of the mean gradients "
        f"{gaps.cosine.min():.2f} to {gaps.cosine.max():.2f}; only fractions of uniform sampling's "
        f"variance survive: their order (rho {rho:+.2f}) and size, within a factor of "
        f"{_factor(fair.ratio):.2f}, of what PA&DA holds {_factor(both.ratio):.2f}",
        bound=None,
        figure="",
    )


def _factor(ratios: pd.Series) -> float:
    return max(ratios.max(), 1 / ratios.min())


def _of_agreement(agreed: pd.DataFrame) -> claims.Claim:
    own = agreed[agreed.quantity == "total"]
    held, of = int(own.held.sum()), int(own.of.sum())
    low, high = stats.binomtest(held, of).proportion_ci()
    return claims.of(
        "02.agreement",
        "*Control:* the sampled probe's 95 % intervals hold the exact variance nine times in ten",
        held / of,
        [claims.Interval(low, high, "probes", of)],
        f"{held} of {of}, {wording.interval(held / of, low, high)}; brackets: over probes; means "
        f"of the estimates are {own.ratio.min():.2f} to {own.ratio.max():.2f} of the exact value",
        null=0.9,
        unit="share",
        figure="02_agreement",
    )
