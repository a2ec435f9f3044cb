"""NSGA-II on stored scores: one search for a whole front of accuracy against cost (Optuna's).

The other searches find one architecture within one limit. This one is asked for all limits at
once; beside it stands what the supernet scores highest within each limit of *all* functions
(`search.fronts`), so what it lacks to that is the search's loss.
"""

import importlib.util

import numpy as np
import pandas as pd

from padalib.engine.runs import RunError
from padalib.ranking.counted import Counted
from padalib.ranking.search import nsga
from padalib.spaces import Arch
from padalib.study.scale import Searches
from padalib.study.search import FREE, LARGEST, Known, Predicted, stored
from padalib.study.workbook import Workbook

TABLE, FIGURE = "search_nsga", "10_nsga"
LACKING = (
    "NSGA-II was left out: it is Optuna's, which is not installed here (`pip install optuna`)."
)
UNPUBLISHED = "NSGA-II is not among the published tables: compute it, with Optuna installed."


def cost_of(own: Known) -> str:
    """The first latency that is known, else FLOPs."""
    costs = [name for name in own.limits if name != FREE]
    return next((name for name in costs if name.endswith("latency")), "FLOPs")


def read(
    book: Workbook,
    predicted: Predicted,
    own: Known,
    all_of: pd.DataFrame,
) -> pd.DataFrame | str:
    """The rows of `fronts`, computed or as published; or the sentence why there are none."""
    if book.redraw:
        try:
            return book.published(TABLE)
        except RunError:
            return UNPUBLISHED
    if importlib.util.find_spec("optuna") is None:
        return LACKING
    return book.save(TABLE, fronts(predicted, own, book.scale.searches, all_of))


def fronts(
    predicted: Predicted,
    own: Known,
    size: Searches,
    all_of: pd.DataFrame,
) -> pd.DataFrame:
    """What the favourite within each limit, of those that NSGA-II asked for, is truly worth.

    Columns as in `search.fronts`, whose rows `all_of` say where the limits are: cost, most, method,
    accuracy (mean over supernet seeds; NaN where a seed asked for none within the limit), and
    `whole`, the same of all functions. 'truth' and `LARGEST` as there.
    """
    cost = cost_of(own)
    all_of = all_of[all_of.cost == cost].assign(whole=lambda rows: rows.accuracy)
    found = {key: asked(wide, own, cost, size, key[1]) for key, wide in predicted.items()}
    rows = all_of[all_of.method.isin(("truth", LARGEST))].to_dict("records")
    for row in all_of[~all_of.method.isin(("truth", LARGEST))].to_dict("records"):
        worth = []
        for (method, _), codes in found.items():
            if method == row["method"]:
                scores = predicted[method, _].loc[codes].iloc[:, -1]
                scores = scores[own.table[cost][codes] <= row["most"]]
                best = scores.index[scores == scores.max()]
                worth.append(own.table.accuracy[best].mean() if len(best) else np.nan)
        rows.append(row | {"accuracy": float(np.mean(worth))})
    return pd.DataFrame(rows)


def asked(wide: pd.DataFrame, own: Known, cost: str, size: Searches, seed: int) -> list[str]:
    """The functions that NSGA-II scores, by code, within its evaluations."""

    def spent(arch: Arch) -> float:
        return float(own.table.at[own.functions[arch], cost])

    def known(arch: Arch) -> bool:  # what was not measured has no place on a front
        return not np.isnan(spent(arch))

    counted = Counted(own.space, stored(wide, own), size.evaluations, known)
    table = nsga(counted, spent, seed, population=max(4, size.evaluations // 20))
    return list(dict.fromkeys(own.functions[own.space.parse(code)] for code in table.code))


def caption(own: Known, rows: pd.DataFrame, size: Searches, scale: str) -> str:
    """How far the found fronts lie below the truth, and how much of it is the supernet's."""
    best = rows[rows.method == "truth"].set_index("most").accuracy
    said = []
    for method, each in rows[~rows.method.isin(("truth", LARGEST))].groupby("method", sort=False):
        each = each.set_index("most").dropna(subset=["accuracy"])
        lost, whole = (
            float((best[each.index] - each[name]).mean()) for name in ("accuracy", "whole")
        )
        said.append(f"{method} {lost:.2f} ({whole:.2f} of all functions)")
    return (
        f"Scale {scale}, {own.space.name}. As in 10_fronts, but lines are what a supernet scores "
        f"highest of those that NSGA-II asked for, {size.evaluations} evaluations for all limits "
        f"on {rows.cost.iloc[0].replace('_', ' ')} together. Mean regret over the limits that it "
        f"reached, in points: {', '.join(said)}."
    )
