"""Every test has a data root of its own, one thread, no window, and a terminal of 100 columns."""

import os
from collections import Counter, defaultdict
from functools import cache

import live
import matplotlib
import pytest
import torch

matplotlib.use("Agg")
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def data_root(tmp_path, monkeypatch):
    monkeypatch.setenv("PADALIB_DATA", str(tmp_path / "data"))
    for name in ("PADALIB_WORKERS", "PADALIB_HEADLESS", "PADALIB_DEVICE", "PADALIB_FORCE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "100")  # tables are as wide here as where nobody looks on


@pytest.fixture(scope="session")
def project(tmp_path_factory):
    """A copy of the project at scale `smoke`; its runs are kept for all tests of a session."""
    return live.copy_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="session")
def executed(project):
    """The notebook of a name with its outputs, executed in the copy once a session."""
    return cache(
        lambda name: live.execute(
            project / "notebooks" / name, live.environment(project, project / "data")
        )
    )


def pytest_terminal_summary(terminalreporter):
    """How many tests ran in which folder, and on what machine."""
    rooms = defaultdict(Counter)
    for outcome in ("passed", "failed", "error", "skipped"):
        for report in terminalreporter.getreports(outcome):
            if outcome != "passed" or report.when == "call":
                rooms[report.nodeid.partition("::")[0].rpartition("/")[0]][outcome] += 1
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    terminalreporter.section(f"ran on {os.cpu_count()} cores, {gpu}")
    for room, counts in sorted(rooms.items()):
        line = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
        terminalreporter.line(f"{room}: {line}")
