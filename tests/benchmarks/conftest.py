"""Real tables, where they are at hand."""

import os
from pathlib import Path

import pytest

# Before any test is given a data root of its own.
ROOTS = [os.environ[name] for name in ("PADALIB_TEST_DATA", "PADALIB_DATA") if name in os.environ]


@pytest.fixture
def real():
    """Name -> the file or folder of that name in the data root; skips where it is not there."""

    def find(name):
        for root in ROOTS:
            if (Path(root) / name).exists():
                return Path(root) / name
        pytest.skip(f"needs {name} in PADALIB_DATA")

    return find
