"""Made-up truths and scores of whole spaces, for the tests of studies that compare methods."""

import numpy as np
import pandas as pd

from padalib.ranking.report import Ranked


def known(space, seed=0):
    """Truth that FLOPs explain half; what is trained as one has one truth."""
    codes = tuple(space.code(arch) for arch in space)
    flops = np.array([space.flops(arch) for arch in space], float)
    named = [space.truth_key(space.canonical(arch)) for arch in space]
    noise = np.random.default_rng(seed).normal(size=len(codes))
    own = flops / flops.std() + noise
    first: dict[str, float] = {}
    pairs = zip(named, own, strict=True)
    return Ranked(space, codes, np.array([first.setdefault(name, v) for name, v in pairs]))


def scores(own, noise, seeds=range(8), common=None):
    """Method -> sd of its noise, other in each seed; `common` is an error that all seeds share."""
    rows, shared = [], np.random.default_rng(9).normal(size=len(own.codes))
    for place, (method, sd) in enumerate(noise.items()):
        for seed in seeds:
            rng = np.random.default_rng([seed, place])
            value = own.true + sd * rng.normal(size=len(own.codes))
            value += (common or {}).get(method, 0.0) * shared
            table = pd.DataFrame({"code": own.codes, "accuracy": value, "loss": -value})
            rows.append(table.assign(method=method, seed=seed))
    return pd.concat(rows)
