"""Every test has a data root of its own, one thread and no window."""

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
