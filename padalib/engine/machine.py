"""The machine that runs are computed on: what made them, on how many cores, on one thread each."""

import os
import platform
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch

import padalib


def versions(device: str = "cpu") -> dict[str, str]:
    """What made a run, for its record."""
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else _processor()
    return {
        "padalib": padalib.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": name,
    }


def told(versions: Mapping[str, str]) -> str:
    """What made a run, of its record, in words."""
    return f"torch {versions.get('torch')} on {versions.get('device')}"


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
        return re.search(r"model name\s*:\s*(.+)", text)[1]
    except (OSError, TypeError):
        return platform.processor() or platform.machine()


def cores() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread: sums depend on the number of threads, and results must not."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
