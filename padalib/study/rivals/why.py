"""What explains tau over all runs of all methods? Correlations, and the same within methods.

A correlation over runs is no cause: a method moves several things at once. So intervals over all
runs draw methods, of which there are few, with all runs of each; and beside stands the control
*within methods*, with intervals over runs. There each method's mean and scale are taken out, and
what all methods have in common at one seed: its runs share initial weights and the order of data,
so that a lucky seed alone would move both sides together. What does not vary between the seeds of a
method, such as a fixed probability, says nothing there and is left out.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from padalib.ranking import metrics, pairs
from padalib.ranking.ranked import Ranked
from padalib.spaces import Space
from padalib.study import blocks, claims, effects, figures, relation, training
from padalib.study.controls.compared import OUTCOMES, Measured
from padalib.study.scales.rivals import METHODS

DRAWS = 10_000
LEAST = 5  # methods, or runs, for an interval that draws them
OVER, WITHIN = "over all runs", "within methods"
CONVS = "weighted"  # exposure of options with weights, together
NAMED = {
    CONVS: "exposure of options with weights",
    "flops": "mean FLOPs of the paths drawn",
    "train_loss": "training loss at the end, own paths",
    "loss": "mean held-out loss at the end",
    "agreement": "agreement with the method's other seeds",
}


def named(measure: str) -> str:
    """What a measure is called."""
    if measure in NAMED:
        return NAMED[measure]
    ((label, _),) = figures.operations([measure.removeprefix("p_")]).values()
    return f"exposure of {label}"


def runs(
    curves: pd.DataFrame,
    draws: pd.DataFrame,
    scored: tuple[pd.DataFrame, Ranked],
    measured: Measured,
    space: Space,
) -> pd.DataFrame:
    """A row a run at equal images: method, seed, the two outcomes, and what may explain them.

    `p_<option>`: how often a position carries it, mean over training; of samplers that log none
    by `training.drawn`.
    """
    scores, known = scored
    scores = scores[scores.method.isin(METHODS)]
    options = [f"p_{name}" for name in space.entries().names]
    shown = curves[["method", "seed", "epoch"]].assign(
        flops=training.sampled_flops(curves, training.path_flops(space), draws),
        train_loss=curves.loss,
        **{name: curves[name].fillna(curves.method.map(draws[name])) for name in options},
    )
    shown[CONVS] = shown[[f"p_{name}" for name in training.weighted(space)]].sum(axis=1)
    keys = ["method", "seed"]
    table = shown.groupby(keys, sort=False)[[*options, CONVS, "flops"]].mean()
    table["train_loss"] = shown[shown.epoch == shown.epoch.max()].set_index(keys).train_loss
    table["loss"] = scores.groupby(keys).loss.mean()
    table["agreement"] = pd.Series(agreement(scores, known))
    for outcome in OUTCOMES:
        own = {key: one.value for key, one in measured[outcome].items()}
        table[outcome] = [own[key] for key in table.index]
    return table.reset_index()


def agreement(scores: pd.DataFrame, known: Ranked) -> Mapping[tuple[str, int], float]:
    """(method, seed) -> mean tau, by loss, with the other seeds of the method; NaN for one seed."""
    found = {}
    for method, own in scores.groupby("method", sort=False):
        wide = own.pivot(index="code", columns="seed", values="loss").loc[list(known.codes)]
        vectors, n = wide.to_numpy().T, len(wide.columns)
        tau = np.zeros((n, n))
        for a in range(n):
            for b in range(a):
                tau[a, b] = tau[b, a] = pairs.tau(vectors[a], vectors[b]).value
        mean = tau.sum(axis=1) / (n - 1) if n > 1 else [np.nan]
        found |= {(method, seed): own for seed, own in zip(wide, mean, strict=True)}
    return found


def related(rows: pd.DataFrame, draws: int = DRAWS) -> pd.DataFrame:
    """Spearman's rho of each measure with each outcome, over all runs and within methods.

    Columns: outcome, measure, how, rho, low, high, p, over, n, holm (over all rows that have a
    rho), tests. NaN where the measure is not known of, or does not vary in, `LEAST` methods
    or runs.
    """
    given = [name for name in rows if name not in ("method", "seed", *OUTCOMES)]
    found = []
    for outcome in OUTCOMES:
        for measure in given:
            own = rows[rows[[measure, outcome]].notna().all(axis=1)]
            methods = pd.factorize(own.method)[0]
            vectors = [own[name].to_numpy(float) for name in (measure, outcome)]
            for how, over, rho in (
                (OVER, "methods", _rho(vectors, methods, draws)),
                (WITHIN, "runs", within(own, measure, outcome, draws)),
            ):
                row = {"outcome": outcome, "measure": measure, "how": how, "over": over}
                found.append(row | rho)
    table = pd.DataFrame(found)
    known = table.rho.notna()
    table["holm"], table["tests"] = np.nan, int(known.sum())
    table.loc[known, "holm"] = claims.holm(table.p[known].tolist())
    return table


def within(rows: pd.DataFrame, measure: str, outcome: str, draws: int) -> dict[str, float]:
    """rho of what method, scale and seed leave of both, of the methods in which both vary.

    Runs are drawn anew; what was fitted leaves fewer degrees of freedom than runs, so the error of
    Fisher's z is larger by the root of their ratio, and the interval Student's. A method's scale
    takes none: where nothing is linked, directions vary as freely whatever their lengths are.
    """
    columns = [measure, outcome]
    each = rows.groupby("method")[columns]
    spread = each.transform("max") - each.transform("min")
    own = rows[(spread > 1e-9 * rows[columns].abs().max()).all(axis=1)]
    each = own.groupby("method")[columns]
    scaled = ((own[columns] - each.transform("mean")) / each.transform("std")).to_numpy()
    inner = blocks.left(scaled, own.method, own.seed)
    unknown = dict.fromkeys(("rho", "low", "high", "p"), np.nan) | {"n": len(own)}
    if inner.freedom <= LEAST or not np.ptp(inner.values, axis=0).all():
        return unknown
    vectors = list(inner.values.T)
    drawn, rho = relation.resampled(vectors, np.arange(len(own)), draws), metrics.spearman(*vectors)
    z, widen = float(_fisher(rho)), np.sqrt(len(own) / inner.freedom)
    doubt = effects.Doubt(widen * float(np.nanstd(_fisher(drawn))), inner.freedom - 1)
    ends = {"low": float(np.tanh(z - doubt.half)), "high": float(np.tanh(z + doubt.half))}
    return unknown | {"rho": rho, "p": doubt.p(z)} | ends


def _fisher(rho: np.ndarray | float) -> np.ndarray:
    """Fisher's z, finite at 1 too."""
    return np.arctanh(np.clip(rho, 1e-9 - 1, 1 - 1e-9))


def _rho(vectors: list[np.ndarray], units: np.ndarray, draws: int) -> dict[str, float]:
    """rho of two vectors with its interval, `units` drawn anew."""
    n = int(units.max()) + 1 if len(units) else 0
    if n < LEAST or not all(map(np.ptp, vectors)):
        return dict.fromkeys(("rho", "low", "high", "p"), np.nan) | {"n": n}
    drawn = relation.resampled(vectors, units, draws)
    drawn = drawn[~np.isnan(drawn)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    other = min(np.count_nonzero(drawn <= 0), np.count_nonzero(drawn >= 0))
    p = min(1.0, 2 * (other + 1) / (len(drawn) + 1))
    return {"rho": metrics.spearman(*vectors), "low": low, "high": high, "p": p, "n": n}
