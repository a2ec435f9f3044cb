"""The reference of a ranking: agreement of noisy tables, and what a perfect predictor reaches."""

import pandas as pd
import pytest

from padalib.engine import paths
from padalib.study.workbook import Workbook


def test_what_a_perfect_predictor_reaches_follows_from_the_published_agreement(
    tmp_path, monkeypatch
):
    published = {name: paths.published_results(name) for name in ("laptop", "cifar")}
    monkeypatch.setattr(paths, "own_folder", lambda scale, redraw: tmp_path / scale)
    for scale, reached in (("laptop", 0.962), ("cifar", 0.942)):
        rows = Workbook(scale, redraw=True).reference()
        (found,) = rows[["perfect", "perfect_low", "perfect_high"]].drop_duplicates().to_numpy()
        assert found[0] == pytest.approx(reached, abs=5e-4)
        assert found[1] < found[0] < found[2] < 1
        saved = pd.read_csv(tmp_path / scale / "results" / "reference.csv")
        pd.testing.assert_frame_equal(saved, pd.read_csv(published[scale] / "reference.csv"))
