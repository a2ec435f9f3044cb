"""Samplers typed into a notebook, in a real kernel, trained by real workers."""

import inspect
import os
from pathlib import Path

import nbclient
import nbformat
import pytest

from padalib.engine.runs import Run
from padalib.samplers import pa
from padalib.train import TrainConfig

ROOT = Path(__file__).resolve().parents[2]
FIELDS = {"data": "digits-small", "epochs": 2, "batch": 256}

FULL = """
import abc, enum, functools, itertools, math
from dataclasses import dataclass, field
from typing import NamedTuple
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
import steps
from padalib import samplers, spaces
from padalib.samplers import PathSampler

class Kind(enum.Enum):
    LOW = 1
    HIGH = 2

class Point(NamedTuple):
    place: int = 2

@dataclass(frozen=True)
class Setting:
    width: float = 0.5
    points: list = field(default_factory=lambda: [1, 2])

def twice(function):
    @functools.wraps(function)
    def inner(*arguments):
        return function(*arguments) + function(*arguments)
    return inner

def make(shift):
    def add(k):
        return (k + shift) % 5
    return add

add = make(1)
half = functools.partial(lambda a, b: a // b, b=2)
SETTING, POINT, TABLE = Setting(), Point(), {Kind.LOW: np.arange(3), "x": torch.ones(2)}

@functools.lru_cache(maxsize=None)
def table(n):
    return tuple(range(n))

class Base(PathSampler, abc.ABC):
    @abc.abstractmethod
    def pick(self, generator): ...

    def draw(self, generator):
        return [tuple(self.pick(generator))]

class Mine(Base):
    kinds = (Kind.LOW, Kind.HIGH)

    def __init__(self, space, epochs):
        super().__init__(space, epochs)
        self.seen = torch.zeros(len(self.space.ops))

    @property
    def edges(self):
        return len(self.space.edges)

    @functools.cached_property
    def width(self):
        return int(10 * SETTING.width)

    @staticmethod
    @twice
    def two():
        return 1

    @torch.no_grad()
    def pick(self, generator):
        import steps
        draws = torch.randint(self.width, (self.edges,), generator=generator)
        self.seen[draws] += self.two() + F.relu(TABLE["x"]).sum() + TABLE[Kind.LOW][POINT.place]
        return [add(half(2 * int(k))) + steps.none() for k in draws] if table(3) else []

    def log(self):
        return {"seen": float(self.seen.sum()), "pi": math.pi, "t": nn.Identity()(1.0)}

method = samplers.compose("full", Mine)
"""
OPS = """
import torch
from padalib.samplers import PathSampler, compose
class Mine(PathSampler):
    def draw(self, generator):
        ops = len(self.space.ops)
        torch.ops.aten
        return [tuple(torch.randint(ops, (3,), generator=generator).tolist())]
method = compose("ops", Mine)
"""
PASTED = 'from padalib.samplers import compose\nmethod = compose("pasted", GradNormPaths)\n'
TRAIN = f"""
from padalib.engine import launch
from padalib.train import TrainConfig
configs = [TrainConfig(method, **{FIELDS}) for method in methods]
for run in launch.grid(configs, workers=1):
    print(run.config.method.name, run.key, float(run.table("curves").loss.iloc[-1]).hex())
"""
CHANGED = """
K = 1
class Mine(PathSampler):
    def draw(self, generator):
        return [(K, K, K)]
late = compose("late", Mine)
K = 2
try:
    launch.grid([TrainConfig(late, data="digits-small", epochs=1)])
except ValueError as error:
    print("refused", error)
"""


@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")
def test_samplers_of_a_notebook_train_in_workers(tmp_path, monkeypatch):
    (tmp_path / "steps.py").write_text("def none(): return 0\n")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PADALIB_HEADLESS", "1")
    monkeypatch.chdir(tmp_path)
    cells = ["methods = []"]
    for cell in (FULL, OPS, inspect.getsource(pa) + PASTED):
        cells += [cell, "methods.append(method)"]
    cells += [TRAIN, CHANGED]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = nbclient.NotebookClient(
        notebook, timeout=600, resources={"metadata": {"path": os.fspath(tmp_path)}}
    )
    client.execute()
    said = "".join(output.text for output in notebook.cells[-2].outputs).splitlines()
    losses = {line.split()[0]: line.split()[2] for line in said if line.count(" ") == 2}
    assert set(losses) == {"full", "ops", "pasted"}
    plain = Run(TrainConfig("PA", **FIELDS)).compute().table("curves")
    assert losses["pasted"] == float(plain.loss.iloc[-1]).hex()
    (refused,) = (output.text for output in notebook.cells[-1].outputs)
    assert refused.startswith("refused Mine is not what it was when it was composed (K in Mine.dr")
