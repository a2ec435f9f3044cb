"""Vectors of scores: matched by label where they have labels, and numbers all through."""

from collections.abc import Iterable, Mapping
from numbers import Real

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike


def aligned(vectors: Iterable[ArrayLike], names: tuple[str, ...]) -> list[np.ndarray]:
    """The vectors as float arrays, labelled ones in the order of the first of them."""
    vectors = list(vectors)
    if all(type(v) is np.ndarray and v.dtype == float for v in vectors):
        return vectors  # as they are: resamples come by the thousand
    vectors = [pd.Series(v, dtype=object) if isinstance(v, Mapping) else v for v in vectors]
    labelled = {n: v for n, v in zip(names, vectors, strict=True) if isinstance(v, pd.Series)}
    plain = [n for n in names if n not in labelled]
    for name, series in labelled.items():
        if plain and not series.index.equals(pd.RangeIndex(len(series))):
            raise ValueError(
                f"{name} is labelled ({few(series.index)}) and {plain[0]} is a plain vector, which "
                "may be in another order: pass both as Series that name their architectures, or, "
                "where the orders agree, both as plain vectors (`.to_numpy()`)"
            )
    if len(labelled) > 1:
        first, *others = labelled
        for other in others:
            _check_labels(first, labelled[first].index, other, labelled[other].index)
        index = labelled[first].index
        vectors = [v.reindex(index) if isinstance(v, pd.Series) else v for v in vectors]
    return [numbers(v, name) for name, v in zip(names, vectors, strict=True)]


def _check_labels(one: str, index: pd.Index, other: str, labels: pd.Index) -> None:
    for name, own in ((one, index), (other, labels)):
        if not own.is_unique:
            raise ValueError(
                f"{name} has labels more than once ({few(own[own.duplicated()].unique())}): pass "
                "one score for each"
            )
    lacking, extra = index.difference(labels, sort=False), labels.difference(index, sort=False)
    if len(lacking) or len(extra):
        raise ValueError(
            f"{one} and {other} are labelled differently: {len(lacking)} labels of {one} are not "
            f"in {other} ({few(lacking) or 'none'}), {len(extra)} of {other} are not in {one} "
            f"({few(extra) or 'none'}). Pass scores of the same architectures, named alike"
        )


def ranks(vector: np.ndarray) -> np.ndarray:
    """Ranks from 1, ties at their mean rank.

    As `scipy.stats.rankdata`, which takes several times as long for the few scores of a resample.
    """
    _, place, counts = np.unique(vector, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place]


def numbers(vector: ArrayLike, name: str) -> np.ndarray:
    """`vector` as floats; ValueError where it holds anything else, texts of numbers included."""
    if isinstance(vector, np.ma.MaskedArray):
        vector = vector.astype(float).filled(np.nan)  # what is masked has no score
    try:
        # numpy makes 1.0 of a True among numbers
        array = np.asarray(vector, dtype=object if isinstance(vector, (list, tuple)) else None)
        if array.dtype == object:
            odd = [v for v in array.flat if isinstance(v, bool) or not isinstance(v, Real)]
        else:
            odd = array.flat[:1].tolist() if array.dtype.kind not in "iuf" and array.size else []
        if not odd:
            return array.astype(float)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise ValueError(f"{name} is no vector of numbers ({error}): pass one score each") from None
    raise ValueError(
        f"{name} holds {odd[0]!r} ({type(odd[0]).__name__}), which is no number: pass the scores "
        "as numbers"
    )


def few(labels: Iterable) -> str:
    """The first three of some labels, for messages."""
    labels = [str(label)[:80] for label in labels]
    return ", ".join(labels[:3]) + (", ..." if len(labels) > 3 else "")
