"""Kernels forked from the server of workers, so that a notebook waits for no import of torch.

Where nothing can be forked (Windows), or the kernel is started by another command than Jupyter's
own, it starts as Jupyter starts it.
"""

import os
import signal
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from uuid import uuid4

import matplotlib
from jupyter_client import AsyncKernelManager
from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning import LocalProvisioner

from padalib.engine import pool

SHARED = ("IPython", "matplotlib.figure")  # what kernels import, and workers do not
LAUNCHER = ["-m", "ipykernel_launcher"]  # what follows python in Jupyter's command


def prepare() -> None:
    """Before any worker or kernel starts: let their server import what kernels need."""
    pool.serve(*SHARED)


class Manager(AsyncKernelManager):
    """Starts kernels as said above; all else is Jupyter's."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        spec = self.kernel_spec
        self.provisioner = _Forked(kernel_id=str(uuid4()), kernel_spec=spec, parent=self)


class _Forked(LocalProvisioner):
    async def launch_kernel(self, cmd: list[str], **options: Any) -> KernelConnectionInfo:
        if not pool.can_fork() or cmd[1:3] != LAUNCHER:
            return await super().launch_kernel(cmd, **options)
        self.cwd = options.get("cwd") or Path.cwd()
        self.process = _Process(pool.start(_run, cmd[3:], dict(options["env"]), str(self.cwd)))
        self.pid = self.pgid = self.process.pid  # the leader of its own group, as `_run` makes it
        return self.connection_info


class _Process:
    """A process as Jupyter expects it, which is like `subprocess.Popen`."""

    stdin = stdout = stderr = None

    def __init__(self, process: BaseProcess) -> None:
        self.process, self.pid = process, process.pid
        self.kill, self.terminate = process.kill, process.terminate

    def poll(self) -> int | None:
        return self.process.exitcode

    def wait(self) -> int | None:
        self.process.join()
        return self.process.exitcode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


def _run(arguments: list[str], environment: dict[str, str], folder: str) -> None:
    """Be a kernel: what `python -m ipykernel_launcher` does, in the process that was forked."""
    os.setsid()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # blocked for workers
    os.environ.clear()
    os.environ.update(environment, JPY_PARENT_PID=str(os.getppid()))
    pool.end_with_parent()  # the server, whose child it is, lives on while it does
    os.chdir(folder)
    sys.argv[1:] = arguments
    if "MPLBACKEND" in environment:  # matplotlib reads it when it is imported, which it is
        matplotlib.rcParams["backend"] = environment["MPLBACKEND"]
    from ipykernel import kernelapp  # reads the environment

    kernelapp.launch_new_instance()
