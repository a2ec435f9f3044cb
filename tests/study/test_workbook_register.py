"""The tables of one scale: what two processes write at the same time is all there."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[2]

# Registers twenty runs one by one, as twenty cells do; `start` begins both processes at once.
WRITER = """
import sys, time
from dataclasses import dataclass
from pathlib import Path
import pandas as pd
from padalib.engine import paths
from padalib.engine.runs import Run
from padalib.study.workbook import Workbook

folder, name = Path(sys.argv[1]), sys.argv[2]
paths.own_folder = lambda scale, redraw=False: folder

@dataclass(frozen=True)
class Job:
    name: str
    ticks = 1

    @property
    def label(self):
        return self.name

    def inputs(self):
        return {}

    def compute(self, run):
        run.write_table("numbers", pd.DataFrame({"number": [1]}))

book = Workbook("smoke")
runs = [Run(Job(f"{name} {n}")).compute() for n in range(20)]
(folder / f"{name} is ready").touch()
while not (folder / "start").exists():
    time.sleep(0.001)
for n, run in enumerate(runs):
    book.save(f"{name}_{n}", pd.DataFrame({"method": [name], "run": [run.key]}))
    book._register([run])
print(*(run.key for run in runs))
"""


@pytest.fixture
def writers(tmp_path):
    """Two processes that write to one workbook."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, tmp_path, name],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "other")
    ]
    yield started
    for process in started:
        process.kill()
        process.communicate()


def test_runs_that_two_processes_register_at_once_are_all_there(writers, tmp_path):
    names = ("one", "other")
    while not all((tmp_path / f"{name} is ready").exists() for name in names):
        assert all(process.poll() is None for process in writers), "a writer died"
        time.sleep(0.02)
    (tmp_path / "start").touch()
    keys = " ".join(process.communicate(timeout=120)[0] for process in writers).split()
    assert [process.returncode for process in writers] == [0, 0]
    registered = pd.read_csv(tmp_path / "results" / "runs.csv")
    assert len(keys) == 40 and sorted(registered.run) == sorted(keys)
    assert registered.label.tolist() == sorted(registered.label)
