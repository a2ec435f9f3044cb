"""What bounds the speed: bytes moved and operations done, against what the machine can do."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode


class Traffic(TorchDispatchMode):
    """Counts the bytes of all tensors that operations read and write, views left out."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        read = _tensors(args)
        places = [t.untyped_storage().data_ptr() for t in read]
        written = [t for t in _tensors(out) if t.untyped_storage().data_ptr() not in places]
        for argument, value in zip(func._schema.arguments, args, strict=False):
            if argument.alias_info is not None and argument.alias_info.is_write:
                written += _tensors(value)
        if written:
            self.bytes += sum(t.nbytes for t in (*read, *written))
        return out


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def count(work: Callable[[], Any]) -> tuple[float, float]:
    """(bytes, floating-point operations) of a piece of work."""
    with Traffic() as traffic:
        work()
    with FlopCounterMode(display=False) as flops:
        work()
    return float(traffic.bytes), float(flops.get_total_flops())


def _best(work: Callable[[], Any], repeats: int = 7) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def bandwidth() -> float:
    """Bytes a second of b = a + 1 over 256 MB, read and written."""
    a = torch.zeros(64 * 2**20)
    b = torch.empty_like(a)
    return 2 * a.nbytes / _best(lambda: torch.add(a, 1, out=b))


def arithmetic(dtype: torch.dtype) -> float:
    """Floating-point operations a second of a 2048 x 2048 matrix product."""
    a = torch.ones(2048, 2048, dtype=dtype)
    return 2 * 2048**3 / _best(lambda: a @ a)
