"""What is wrong with a part of a method of one's own: where, and what to do."""

from typing import Any

import torch
from torch import Tensor

WHOLE = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def indices(sampler: Any, found: Any, n: int) -> Tensor:
    """What `refill` of a data sampler returned; ValueError where it is no indices of n images."""
    who, good = type(sampler).__name__, False
    got = f"an object of type {type(found).__name__}"
    if isinstance(found, Tensor):
        got = f"{found.dtype} of shape {tuple(found.shape)}"
        good = found.dtype in WHOLE and found.dim() == 1
    if good and len(found) == 0:
        raise ValueError(f"refill of {who} returned no index")
    if good:
        low, high = (int(end) for end in found.aminmax())
        good, got = low >= 0 and high < n, f"numbers from {low} to {high}"
    if not good:
        raise ValueError(
            f"refill of {who} must return a tensor [k] of whole numbers from 0 to {n - 1}, got "
            f"{got}: return indices, of a mask `mask.nonzero()[:, 0]`"
        )
    return found
