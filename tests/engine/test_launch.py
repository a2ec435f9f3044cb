"""A grid of runs: order, failures that stay with their run, dead workers, any executor."""

import linecache
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import psutil
import pytest
import torch

from padalib import samplers, spaces
from padalib.engine import launch
from padalib.engine.launch import grid
from padalib.engine.runs import Run, RunError
from padalib.train import TrainConfig

ROOT = Path(__file__).resolve().parents[2]


class Fussy(Exception):
    """An exception that cannot be unpickled, as many libraries have them."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what} because of {why}")


@dataclass(frozen=True)
class Job:
    """A run that takes no time, or ends in some way."""

    name: str
    ticks = 1

    @property
    def label(self):
        return f"job {self.name}"

    def inputs(self):
        return {}

    def compute(self, run):
        run.log("at work")
        if self.name == "raises":
            raise ValueError("the moon is full")
        if self.name == "is fussy":
            raise Fussy("no", "the moon")
        if self.name == "is killed":
            os.kill(os.getpid(), signal.SIGKILL)
        run.write_table("process", pd.DataFrame({"pid": [os.getpid()]}))


class Counting(ThreadPoolExecutor):
    """Threads, and how often they were asked."""

    asked = 0

    def submit(self, *arguments, **named):
        self.asked += 1
        return super().submit(*arguments, **named)


def starts(run):
    return (run.folder / "progress.log").read_text().count("at work")


@pytest.fixture
def threads():
    with Counting(2) as executor:
        yield executor


# --- any executor ---


def test_runs_come_in_the_order_of_the_configs_and_duplicates_are_computed_once(threads):
    configs = [Job("c"), Job("a"), Job("c"), Job("b"), Job("c")]
    found = grid(configs, executor=threads)
    assert [run.config for run in found] == configs
    assert all(run.done and starts(run) == 1 for run in found)
    assert threads.asked == 3


def test_done_runs_are_not_asked_for_again(threads):
    grid([Job("a")], executor=threads)
    grid([Job("a"), Job("b")], executor=threads)
    assert threads.asked == 2
    assert grid([]) == []


def test_a_failure_in_an_executor_of_ones_own_is_reported(threads):
    words = "1 of 2 runs failed, the others are finished and kept:\n- job raises: ValueError: the m"
    with pytest.raises(RunError, match=words):
        grid([Job("raises"), Job("a")], executor=threads)
    assert Run(Job("a")).done and not Run(Job("raises")).done


def test_a_finished_run_of_other_code_is_refused(threads):
    (run,) = grid([Job("a")], executor=threads)
    (run.folder / "config.json").write_text("{}")
    with pytest.raises(RunError, match="was made by other code"):
        grid([Job("a")], executor=threads)


def test_threads_do_not_share_a_random_stream(monkeypatch):
    def weights(seed):
        return spaces.get("mini").build(seed=seed).stem[0].weight.detach().clone()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(4) as executor:
            found = list(executor.map(weights, range(100)))
    finally:
        sys.setswitchinterval(interval)
    assert all(torch.equal(one, weights(seed)) for seed, one in enumerate(found))


# --- progress ---


def test_headless_runs_print_one_line_an_epoch(threads, monkeypatch, capsys):
    monkeypatch.setenv("PADALIB_HEADLESS", "1")
    config = TrainConfig(data="digits-small", epochs=2, batch=256)
    folder = Run(config).folder
    folder.mkdir(parents=True)
    (folder / "progress.log").write_text("epoch 1/2 of an attempt that was cut\n")
    grid([config], executor=threads)
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition("  ")[0] for line in lines] == [
        "SPOS mini seed 0: epoch 1/2",
        "SPOS mini seed 0: epoch 2/2",
    ]


def test_a_live_kernel_has_one_bar_for_all_epochs(threads, monkeypatch, capsys):
    bars = []

    class Bar:
        def __init__(self, total, unit):
            self.total, self.unit, self.n, self.open = total, unit, 0, True
            bars.append(self)

        def set_postfix_str(self, text, refresh):
            self.text = text

        def update(self):
            self.n += 1

        def close(self):
            self.open = False

    monkeypatch.setitem(sys.modules, "ipykernel", SimpleNamespace())
    monkeypatch.setattr(launch, "tqdm", Bar)
    grid([Job("a"), Job("b"), Job("a")], executor=threads)
    (bar,) = bars
    assert (bar.total, bar.unit, bar.n, bar.open) == (2, "epoch", 2, False)
    assert capsys.readouterr().out == ""


# --- how many workers ---


@pytest.mark.parametrize("workers", [0, -1])
def test_fewer_than_one_worker_is_refused(workers, monkeypatch):
    with pytest.raises(ValueError, match=f"workers must be at least 1, got {workers}"):
        grid([Job("a")], workers=workers)
    monkeypatch.setenv("PADALIB_WORKERS", str(workers))
    with pytest.raises(ValueError, match=f"workers must be at least 1, got {workers}"):
        grid([Job("a")])


def test_more_workers_than_memory_allows_are_refused(monkeypatch):
    free = SimpleNamespace(available=int(2.5 * 2**30))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    words = "4 workers need about 5.0 GiB, but 2.5 GiB are free: ask for at most 2 .*PADALIB_WORKE"
    with pytest.raises(ValueError, match=words):
        grid([Job(name) for name in "abcd"], workers=4)
    assert not any(Run(Job(name)).folder.exists() for name in "abcd")
    assert launch._workers(100, runs=2) == 2  # more workers than runs do not count


def test_a_number_of_workers_that_is_none_is_refused(monkeypatch):
    monkeypatch.setenv("PADALIB_WORKERS", "two")
    with pytest.raises(ValueError, match="PADALIB_WORKERS"):
        grid([Job("a")])


# --- processes of our own ---

CELL = """
import os
from padalib.samplers import ProductPaths

STRIDE = 2

class EveryOther(ProductPaths):
    "A sampler typed into a cell."

    def __init__(self, space, epochs):
        super().__init__(space, epochs)
        self.place = 0

    def draw(self, generator):
        self.place += STRIDE
        return [list(self.space)[self.place % len(self.space)]]

    def log(self):
        return {"process": os.getpid(), "place": self.place}
"""


def cell(source, name):
    """What a notebook does with a cell: its classes are of `__main__`, which no worker imports."""
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    namespace = {"__name__": "__main__"}
    exec(compile(source, name, "exec"), namespace)
    return namespace["EveryOther"]


@pytest.fixture(scope="module")
def troubled(tmp_path_factory):
    """(runs by name, what the error said) of a grid in which much goes wrong."""
    jobs = [Job(name) for name in ("a", "raises", "is killed", "is fussy", "b")]
    method = samplers.compose("typed", cell(CELL, "<cell 1>"))
    configs = [*jobs, TrainConfig(method, data="digits-small", epochs=2, batch=128)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PADALIB_DATA", str(tmp_path_factory.mktemp("data")))
        with pytest.raises(RunError) as caught:
            grid(configs, workers=2)
        names = [*(job.name for job in jobs), "typed"]
        return dict(zip(names, map(Run, configs), strict=True)), str(caught.value)


def test_a_run_that_raises_is_reported_by_label_and_reason(troubled):
    _, text = troubled
    assert text.startswith("3 of 6 runs failed, the others are finished and kept:\n")
    assert "- job raises: ValueError: the moon is full" in text


def test_a_worker_that_dies_is_reported_with_its_run(troubled):
    runs, text = troubled
    assert "- job is killed: its process died" in text
    assert starts(runs["is killed"]) == 1 and not runs["is killed"].done


def test_an_exception_that_cannot_be_pickled_is_no_death(troubled):
    assert "- job is fussy: Fussy: no because of the moon" in troubled[1]


@pytest.mark.parametrize("name", ["a", "b"])
def test_the_other_runs_finish_in_other_processes(troubled, name):
    runs, _ = troubled
    assert runs[name].table("process").pid[0] != os.getpid()
    assert starts(runs[name]) == 1


def test_a_sampler_from_a_notebook_is_trained_in_a_worker(troubled):
    curves = troubled[0]["typed"].table("curves")
    assert curves.place.tolist() == [8, 16]  # four steps an epoch
    assert curves.process.nunique() == 1 and curves.process[0] != os.getpid()


def test_a_sampler_from_a_notebook_is_part_of_the_identity():
    keys = {
        Run(TrainConfig(samplers.compose("mine", cell(source, f"<cell {n}>")))).key
        for n, source in enumerate([CELL, CELL.replace("STRIDE = 2", "STRIDE = 3"), CELL])
    }
    assert len(keys) == 2


def test_one_run_keeps_what_either_of_its_configs_asks_for(tmp_path, monkeypatch):
    monkeypatch.setenv("PADALIB_DATA", str(tmp_path))
    config = TrainConfig(data="digits-small", epochs=2)
    asked = [replace(config, keep=(0,)), config, replace(config, keep=(1,))]
    runs = grid(asked, executor=ThreadPoolExecutor(1))
    assert len({run.key for run in runs}) == 1
    assert all(run.done and run.has_state(f"epoch_{n}") for run in runs for n in (0, 1))


FOREVER = """
import os, time
from dataclasses import dataclass
from padalib.engine import launch

@dataclass(frozen=True)
class Forever:
    label, ticks = "forever", 1
    def inputs(self):
        return {}
    def compute(self, run):
        run.log("at work")
        while True:
            time.sleep(0.1)

print("ready", flush=True)
launch.grid([Forever()], workers=1)
"""


def wait_until(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


@pytest.mark.parametrize(
    "moment",
    [
        "starting",
        "at work",
    ],
)
def test_workers_end_when_their_parent_is_killed(tmp_path, moment):
    parent = subprocess.Popen(
        [sys.executable, "-c", FOREVER],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    process, left = psutil.Process(parent.pid), []
    try:
        assert parent.stdout.readline() == b"ready\n"
        wait_until(lambda: len(process.children(recursive=True)) >= 2)  # a tracker and a worker
        if moment == "at work":
            wait_until(lambda: list(tmp_path.glob("data/runs/*/progress.log")))
        workers = process.children(recursive=True)
        parent.kill()
        parent.wait()
        _, left = psutil.wait_procs(workers, timeout=20 if moment == "starting" else 120)
        assert not left
    finally:
        for survivor in [*left, parent]:
            survivor.kill()
        parent.communicate()
