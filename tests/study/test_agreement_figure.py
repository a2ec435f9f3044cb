"""The figure of the sampled probe's intervals names seeds, of which none is a half."""

import pandas as pd
import pytest

from padalib.study.optimum import plots


@pytest.mark.parametrize("seeds", [3, 5, 9, 10, 24])
def test_ticks_are_seeds_and_few_seeds_are_ticks_each(seeds):
    rows = [
        {"quantity": "total", "epoch": 20, "weights": weights, "probe_seed": seed}
        | {"low": 0.9, "high": 1.2, "exact": 1.0, "ratio": 1.05, "covered": True}
        for weights in ("raw", "importance")
        for seed in range(seeds)
    ]
    for axis in plots.draw_agreement(pd.DataFrame(rows)).axes:
        ticks = list(axis.get_xticks())
        assert ticks == list(range(seeds)) if seeds < 10 else ticks == [round(x) for x in ticks]
