"""Kendall's tau of many architectures, and its error over them, without resampling.

tau-b is made of sums over pairs, C / sqrt(P T): concordance, and pairs untied on either side. With
a weight on each architecture its derivative is tau (2 c_i / C - p_i / P - t_i / T), where c_i, p_i
and t_i are sums over the pairs of architecture i. The sum of the squares of these, added up first
within a cluster of architectures that are one function, is the variance of tau over architectures
(infinitesimal jackknife; Efron, "The Jackknife, the Bootstrap and Other Resampling Plans", 1982).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


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
    return _ratio(_sums(pred, true))


def tau_between(pred: np.ndarray, true: np.ndarray, level: np.ndarray) -> Estimate:
    """tau-b of the pairs whose levels differ; NaN where there are none."""
    sums = np.stack(_sums(pred, true))
    for value in np.unique(level):
        own = np.flatnonzero(level == value)
        sums[:, own] -= _sums(pred[own], true[own])
    return _ratio(sums)


def _ratio(sums: Sequence[np.ndarray]) -> Estimate:
    """tau-b from the sums of `_sums`."""
    c, p, t = sums
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
    own = np.flatnonzero(among(true, fraction))
    influence = np.zeros(len(pred))
    if len(own) < 2:
        return Estimate(math.nan, influence)
    estimate = tau(pred[own], true[own])
    influence[own] = estimate.influence
    return Estimate(estimate.value, influence)


def among(true: np.ndarray, fraction: float) -> np.ndarray:
    """[A] bool: the truly best ceil(fraction * A), and what ties with the last of them."""
    k = max(1, math.ceil(fraction * len(true) - 1e-9))
    return true >= np.partition(true, len(true) - k)[len(true) - k]


def _sums(pred: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """[A] each: sums over the others of the concordance, and of what is untied in pred and true."""
    n = len(pred)
    pred, true = (np.unique(v, return_inverse=True)[1] for v in (pred, true))
    p_below, p_upto = _counted(pred)
    t_below, t_upto = _counted(true)
    order = np.argsort(pred, kind="stable")
    corner = _Corner(true[order])  # counts among the lowest in pred
    low_low, low_upto = corner.count(p_below, true), corner.count(p_below, true + 1)
    upto_low, upto_upto = corner.count(p_upto, true), corner.count(p_upto, true + 1)
    agree = low_low + (n - p_upto) - (t_upto - upto_upto)
    differ = (p_below - low_upto) + (t_below - upto_low)
    found = (agree - differ, n - (p_upto - p_below), n - (t_upto - t_below))
    return tuple(each.astype(float) for each in found)


def _counted(ranks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[A] each: how many are below, and how many at most as high."""
    upto = np.cumsum(np.bincount(ranks))
    return np.concatenate([[0], upto[:-1]])[ranks], upto[ranks]


class _Corner:
    """How many of the first k of some ranks lie below r, for many (k, r) in n log n.

    A wavelet matrix (Claude, Navarro & Ordonez, Information Systems 2015): one stable partition by
    each bit, from the highest; a query walks down with its own bits.
    """

    def __init__(self, ranks: np.ndarray) -> None:
        self.bits = int(ranks.max() + 1).bit_length()
        self.zeros = []  # by bit: how many zeros precede each place
        for bit in reversed(range(self.bits)):
            zero = (ranks >> bit & 1) == 0
            self.zeros.append(np.concatenate([[0], np.cumsum(zero)]))
            ranks = np.concatenate([ranks[zero], ranks[~zero]])

    def count(self, k: np.ndarray, r: np.ndarray) -> np.ndarray:
        """How many of the first `k` are below `r`, at most one above the highest rank."""
        start, end, found = np.zeros_like(k), k, np.zeros_like(k)
        for bit, zeros in zip(reversed(range(self.bits)), self.zeros, strict=True):
            one = (r >> bit & 1).astype(bool)
            left, right = zeros[start], zeros[end]
            found = found + np.where(one, right - left, 0)
            start = np.where(one, start - left + zeros[-1], left)
            end = np.where(one, end - right + zeros[-1], right)
        return found
