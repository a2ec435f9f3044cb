"""Made-up truths and scores of whole spaces, for the tests of studies that compare methods."""

import numpy as np
import pandas as pd

from padalib.ranking.report import Ranked


def known(space, seed=0, same=False):
    """Truth that FLOPs explain half; `same`: what is trained as one has one truth."""
    codes = tuple(space.code(arch) for arch in space)
    flops = np.array([space.flops(arch) for arch in space], float)
    noise = np.random.default_rng(seed).normal(size=len(codes))
    own = flops / flops.std() + noise
    if same:
        named = [space.truth_key(space.canonical(arch)) for arch in space]
        _, first, at = np.unique(named, return_index=True, return_inverse=True)
        own = own[first[at]]
    return Ranked(space, codes, own)


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
