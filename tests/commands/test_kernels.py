"""Kernels forked from the server of workers: the processes are real."""

import json
import os
import subprocess
import sys
import time

import psutil
import pytest
from made_up import outputs, write

from padalib.commands import driver, kernels
from padalib.engine import pool

FORKED = pytest.mark.skipif(not pool.can_fork(), reason="nothing can be forked here")
TOLD = """
import json, os, sys
loaded = sorted({"torch", "pandas", "IPython", "matplotlib"} & set(sys.modules))
found = {"pid": os.getpid(), "parent": os.getppid(), "group": os.getpgid(0), "cwd": os.getcwd()}
import matplotlib
found |= {"told": os.environ.get("TOLD"), "backend": matplotlib.rcParams["backend"]}
print(json.dumps(found | {"loaded": loaded}))
"""


def told(folder) -> dict:
    """What a kernel says of itself."""
    path = write(folder / "notebooks" / "00_a.ipynb", TOLD)
    driver.execute(path, folder / "copy.ipynb", {})
    return json.loads(outputs(folder / "copy.ipynb"))


@FORKED
def test_a_kernel_is_a_process_of_its_own_that_finds_its_imports_made(tmp_path, monkeypatch):
    kernels.prepare()
    backend = "module://matplotlib_inline.backend_inline"
    for k in (1, 2):  # the server keeps the environment of its start, and a kernel has its own
        monkeypatch.setenv("TOLD", str(k))
        monkeypatch.setenv("MPLBACKEND", backend)
        found = told(tmp_path)
        assert found["told"] == str(k) and found["backend"] == backend
        assert found["pid"] == found["group"] != found["parent"] != os.getpid()
        assert found["cwd"] == str(tmp_path / "notebooks")
        assert {"torch", "pandas", "IPython"} <= set(found["loaded"])


DRIVER = """
import sys
from pathlib import Path
from padalib.commands import driver, kernels
kernels.prepare()
driver.execute(Path(sys.argv[1]), Path(sys.argv[2]), {})
"""


@FORKED
def test_a_kernel_ends_with_the_driver_that_is_killed(tmp_path):
    told = tmp_path / "pid"
    cell = f"import os, time\nopen({str(told)!r}, 'w').write(f'{{os.getpid()}} ')\ntime.sleep(600)"
    path = write(tmp_path / "00_a.ipynb", cell)
    command = [sys.executable, "-c", DRIVER, str(path), str(tmp_path / "copy.ipynb")]
    with subprocess.Popen(command) as process:
        try:
            until(lambda: told.exists() and told.read_text().endswith(" "))
        finally:
            process.kill()
    kernel = int(told.read_text())
    until(lambda: not psutil.pid_exists(kernel))


def until(true):
    """Wait for it: five minutes at most, for the machine may be busy."""
    for _ in range(3000):
        if true():
            return
        time.sleep(0.1)
    pytest.fail("it did not come about within five minutes")


@pytest.mark.parametrize("lacking", ["no server", "another command"])
def test_elsewhere_a_kernel_starts_as_jupyter_starts_it(lacking, tmp_path, monkeypatch):
    if lacking == "no server":
        monkeypatch.setattr(pool, "can_fork", lambda: False)
    else:
        monkeypatch.setattr(kernels, "LAUNCHER", ["-m", "another"])
    found = told(tmp_path)
    assert found["parent"] == os.getpid() and "torch" not in found["loaded"]


@pytest.mark.skipif(sys.platform == "win32", reason="signals are others there")
def test_a_kernel_hears_an_interrupt(tmp_path):
    stop = "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)"
    path = write(tmp_path / "00_a.ipynb", stop)
    with pytest.raises(KeyboardInterrupt):
        driver.execute(path, tmp_path / "copy.ipynb", {})


@FORKED
def test_a_process_is_told_from_the_signal_that_ended_it():
    process = kernels._Process(pool.start(os.abort))
    assert process.wait() == process.poll() == -6
    process.send_signal(9)  # nobody is there any more: no error
    process = kernels._Process(pool.start(sys.exit, 3))
    assert process.wait() == 3
