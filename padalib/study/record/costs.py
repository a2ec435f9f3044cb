"""What the paths of a candidate cost: equal images are not equal FLOPs."""

import numpy as np
import pandas as pd

from padalib.spaces import Space
from padalib.study.record import parts
from padalib.study.scale import Scale
from padalib.study.training import sampled


def costs(curves: pd.DataFrame, scale: Scale) -> pd.DataFrame:
    """FLOPs of the paths drawn in training, times SPOS's; a row a method, means over seeds.

    `curves` are those of runs: by logged probabilities, all architectures are weighed; samplers
    that log none do not learn, and many draws stand for them. Each in its own network. `same`: in
    the scale's, so what the paths alone change.
    """
    rows, spaces = [], {}
    for method, own in curves.groupby("method", sort=False):
        drawn = _chances(own, scale.space, method)
        row = {"method": method}
        for name, space in (("flops", parts.shaped(method, scale.space)), ("same", scale.space)):
            if space not in spaces:
                spaces[space] = np.array([space.flops(arch) for arch in space], float)
            row[name] = float(drawn @ spaces[space])
        rows.append(row | {"seeds": own.seed.nunique()})
    table = pd.DataFrame(rows).set_index("method")
    return table.assign(**(table[["flops", "same"]] / table.same[parts.PLAIN])).reset_index()


def _chances(curves: pd.DataFrame, space: Space, method: str) -> np.ndarray:
    """[A] the mean probability of each architecture of the space over training."""
    archs = list(space)
    for shared in (False, True):
        entries = space.entries(shared)
        names = [f"p_{name}" for name in entries.names]
        if set(names) <= {*curves} and curves[names].notna().all(axis=None):
            at = np.array([[own[k] for own, k in zip(entries.at, a, strict=True)] for a in archs])
            p = curves[names].to_numpy()
            return np.mean([row[at].prod(axis=1) for row in p], axis=0)
    held = sampled(parts.method(method).paths.build(space, int(curves.epoch.max())))
    return np.array([held[arch] for arch in archs]) / held.total()
