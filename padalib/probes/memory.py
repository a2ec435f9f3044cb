"""What a step holds in memory: the tensors that a method keeps, and those alive at its peak.

Counted by the tensors that torch makes, in bytes, so it is the same at every time and on every
machine that computes the same; what kernels take for themselves is not seen.
"""

import weakref
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from padalib.engine import checked
from padalib.engine.runs import Run
from padalib.spaces import Arch, Space
from padalib.train import TrainConfig, Trainer


class Alive(TorchDispatchMode):
    """While it is entered: bytes of the tensors made that are alive `now`, and their `peak`."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        given = {tensor.untyped_storage() for tensor in _tensors((args, kwargs))}
        out = func(*args, **(kwargs or {}))
        for storage in {tensor.untyped_storage() for tensor in _tensors(out)} - given:
            self._made(storage)  # neither a view nor in place
        return out

    def _made(self, storage: torch.UntypedStorage) -> None:
        size = storage.nbytes()
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._gone, size)

    def _gone(self, size: int) -> None:
        self.now -= size


def _tensors(values: Any) -> list[Tensor]:
    return [value for value in tree_iter(values) if isinstance(value, Tensor)]


def size(values: Any) -> int:
    """Bytes of the tensors in nested lists and dicts; those that share memory count once."""
    held = {t.untyped_storage() for t in _tensors(values)}
    return sum(storage.nbytes() for storage in held)


def alike(space: Space) -> list[Arch]:
    """As many architectures as there are options: each has at every position its kth, the last."""
    counts = [len(position.options) for position in space.positions]
    return [tuple(min(k, n - 1) for n in counts) for k in range(max(counts))]


@dataclass(frozen=True)
class MemoryConfig:
    """The memory of one method's steps, on the same architectures whatever it draws itself."""

    train: TrainConfig  # the method and its network
    device: str = field(init=False)  # the training run's

    ticks = 1

    def __post_init__(self) -> None:
        checked.check(self)
        object.__setattr__(self, "device", self.train.device)

    @property
    def label(self) -> str:
        """A name for people."""
        return f"memory of {self.train.label}"

    def check(self) -> None:
        """ValueError where the images do not fit."""
        self.train.check()

    def inputs(self) -> dict[str, Any]:
        """The data's hash."""
        return self.train.inputs()

    def compute(self, run: Run) -> None:
        """Measure."""
        row = measure(Trainer(self.train))
        run.log(f"{row['peak'] / 2**20:.2f} MiB at the peak of a step")
        run.write_table("memory", pd.DataFrame([row]))


def measure(trainer: Trainer) -> dict[str, int]:
    """Bytes: weights, kept (these and all else from one step to the next), peak (of a step)."""
    samplers = (trainer.paths, trainer.data, trainer.update)
    for part in samplers:
        part.new_epoch(0)

    def kept() -> int:
        held = [trainer.net.state_dict(), trainer.optimizer.state_dict()["state"]]
        return size(held + [part.state() for part in samplers])

    archs, group = alike(trainer.space), trainer.paths.group
    archs += archs[: -len(archs) % group]
    groups = [archs[first : first + group] for first in range(0, len(archs), group)]
    for some in groups:  # momentum is made by the first step, and what torch remembers
        trainer.step(some)
    trainer.optimizer.zero_grad()
    before = kept()
    with Alive() as alive:
        for some in groups:
            trainer.step(some)
        trainer.optimizer.zero_grad()
    weights = size(trainer.net.state_dict())
    return {"weights": weights, "kept": kept(), "peak": before + alive.peak}
