"""What methods and seeds leave of a measure: runs of one seed share weights and order of data.

The additive model of a randomised block design, method + seed, by least squares, so that methods
may lack seeds.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd


class Left(NamedTuple):
    """What is left of each run, and its degrees of freedom: runs less what was fitted."""

    values: np.ndarray  # [N], or [N, K] of several measures
    freedom: int


def left(values: np.ndarray, *factors: Sequence) -> Left:
    """`values` [N] or [N, K] less the additive fit of `factors`, each [N] labels."""
    values = np.asarray(values, dtype=float)
    columns = [pd.get_dummies(pd.factorize(np.asarray(own))[0]).to_numpy(float) for own in factors]
    design = np.concatenate(columns, axis=1)  # [N, levels]
    fit, _, rank, _ = np.linalg.lstsq(design, values, rcond=None)
    return Left(values - design @ fit, len(values) - int(rank))
