"""Runs that take no time or end in some way, and ways to wait that end."""

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import psutil

ROOT = Path(__file__).resolve().parents[2]


class Fussy(Exception):
    """An exception that cannot be unpickled, as many libraries have them."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what} because of {why}")


@dataclass(frozen=True)
class Job:
    """A run that does what its name says. `folder` is where it meets others."""

    name: str
    folder: str = field(default="", metadata={"identity": False})
    needs: tuple = ()
    ticks: int = 1

    @property
    def label(self):
        return f"job {self.name}"

    def inputs(self):
        return {}

    def compute(self, run):
        run.log("at work")
        first = len(attempts(run)) == 1
        if self.name == "raises":
            raise ValueError("the moon is full")
        if self.name == "is fussy":
            raise Fussy("no", "the moon")
        if self.name == "is killed" or (self.name == "is killed once" and first):
            os.kill(os.getpid(), signal.SIGKILL)
        if self.name == "dies after":
            die = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGKILL))
            die.daemon = True
            die.start()
        if self.name.startswith("waits"):
            wait_until((Path(self.folder) / "go").exists)
        if self.name == "waits for the dead":
            wait_until(lambda: not psutil.pid_exists(int((Path(self.folder) / "go").read_text())))
        run.write_table("process", pd.DataFrame({"pid": [os.getpid()]}))


def attempts(run):
    """The lines of its log: one for each time that it was begun."""
    return (run.folder / "progress.log").read_text().splitlines()


def wait_until(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


def python(*arguments, **options):
    """A process of its own that knows the project and these jobs."""
    path = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    options = {"env": os.environ | {"PYTHONPATH": path}} | pipes | options
    return subprocess.Popen([sys.executable, *map(str, arguments)], text=True, **options)
