"""Kendall's tau of many architectures, and its error over them, without resampling.

tau-b is made of sums over pairs, C / sqrt(P T): concordance, and pairs untied on either side. With
a weight on each architecture its derivative is tau (2 c_i / C - p_i / P - t_i / T), where c_i, p_i
and t_i are sums over the pairs of architecture i. The sum of the squares of these, added up first
within a cluster of architectures that are one function, is the variance of tau over architectures
(infinitesimal jackknife; Efron, "The Jackknife, the Bootstrap and Other Resampling Plans", 1982).
"""

import math
from dataclasses import dataclass

import numpy as np

ROWS = 512  # of the matrix of pairs held at once


@dataclass(frozen=True)
class Estimate:
    """A value, and how it would change with the weight of each architecture: `influence` [A]."""

    value: float
    influence: np.ndarray

    def error(self, clusters: np.ndarray) -> float:
        """Standard deviation over architectures, drawn by cluster (int labels [A] from 0)."""
        return float(np.sqrt(np.square(np.bincount(clusters, self.influence)).sum()))


def tau(pred: np.ndarray, true: np.ndarray) -> Estimate:
    """tau-b of two vectors [A]; NaN, without influence, where one is constant."""
    c, p, t = _sums(pred, true)
    total, product = c.sum(), p.sum() * t.sum()
    if not product:
        return Estimate(math.nan, np.full(len(c), math.nan))
    root = math.sqrt(product)
    value = total / root
    return Estimate(value, 2 * c / root - value * (p / p.sum() + t / t.sum()))


def tau_within(pred: np.ndarray, true: np.ndarray, level: np.ndarray, least: int = 31) -> Estimate:
    """Mean of tau over the levels of at least `least` architectures, weighted by their number.

    NaN where there is no such level. Levels where one side is constant are left out.
    """
    influence, sizes, found = np.zeros(len(pred)), [], []
    for value in np.unique(level):
        own = np.flatnonzero(level == value)
        estimate = tau(pred[own], true[own]) if len(own) >= least else Estimate(math.nan, own)
        if not math.isnan(estimate.value):
            sizes.append(len(own))
            found.append((own, estimate))
    if not found:
        return Estimate(math.nan, np.full(len(pred), math.nan))
    n = sum(sizes)
    mean = sum(len(own) * estimate.value for own, estimate in found) / n
    for own, estimate in found:
        influence[own] = len(own) / n * estimate.influence + (estimate.value - mean) / n
    return Estimate(mean, influence)


def tau_among(pred: np.ndarray, true: np.ndarray, fraction: float) -> Estimate:
    """tau among the truly best ceil(fraction * A), and what ties with the last of them."""
    k = max(1, math.ceil(fraction * len(true) - 1e-9))
    own = np.flatnonzero(true >= np.partition(true, len(true) - k)[len(true) - k])
    influence = np.zeros(len(pred))
    if len(own) < 2:
        return Estimate(math.nan, influence)
    estimate = tau(pred[own], true[own])
    influence[own] = estimate.influence
    return Estimate(estimate.value, influence)


def _sums(pred: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """[A] each: sums over the others of the concordance, and of what is untied in pred and true."""
    n = len(pred)
    found = np.zeros((3, n))
    # Ranks of few bytes compare faster than floats.
    pred, true = (np.unique(v, return_inverse=True)[1].astype(np.int32) for v in (pred, true))
    for start in range(0, n, ROWS):
        rows = slice(start, start + ROWS)
        p = np.sign(pred[rows, None] - pred).astype(np.int8)
        t = np.sign(true[rows, None] - true).astype(np.int8)
        for row, signs in zip(found, (p * t, abs(p), abs(t)), strict=True):
            row[rows] = signs.sum(1, dtype=np.int32)
    return found[0], found[1], found[2]
