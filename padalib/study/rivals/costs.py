"""What each rival costs over all its trainings, beside what it reaches."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from padalib.ranking import metrics
from padalib.ranking.ranked import Ranked
from padalib.study import outcomes, training
from padalib.study.controls.compared import OUTCOMES, Measured
from padalib.study.rivals import supernets
from padalib.study.scale import Scale
from padalib.study.scales.rivals import SEVERAL, STARVED

EQUAL_STEPS = f"{STARVED}, equal steps"


def base(name: str) -> str:
    """The method that a row of a table is of."""
    return STARVED if name == EQUAL_STEPS else name


def table(
    found: Any, scale: Scale, draws: pd.DataFrame, measured: Measured, known: Ranked
) -> pd.DataFrame:
    """What each method costs over its whole training, beside what it reaches in the main space.

    `found` is `rivals.Read`. images through forward and backward, steps of the optimiser; and as
    multiples of SPOS's: flops of the paths that it draws (interval over seeds), time of its passes
    on the same paths (over timed pairs of blocks), memory at the peak of a step, kept from one step
    to the next. Of several supernets all trainings together: kept holds the weights of each.
    """
    cost, memory = found.cost.set_index("method"), found.memory.set_index("method")
    total = found.curves.groupby(["method", "seed"], sort=False)[["images", "steps"]].sum()
    together = supernets.spent(found.parts)
    flops = pd.concat(
        [_flops(found.curves, scale, draws), _flops_of_several(together, total, scale)]
    )
    rows = []
    for method, own in pd.concat([total, together]).groupby(level=0, sort=False):
        name = base(str(method))
        images, steps = own.iloc[0][["images", "steps"]]
        more = images / total.images["SPOS"].iloc[0]
        row = {"method": method, "images": int(images), "steps": int(steps)}
        # Of several supernets all trainings are in it; of one at equal steps, its images are more.
        times = 1.0 if name in SEVERAL else more
        for kind, source, columns, factor in (
            ("flops", flops, ("flops", "low", "high"), times),
            ("time", cost, ("ratio", "ratio_low", "ratio_high"), more),
        ):
            ends = [source.loc[name, column] * factor for column in columns]
            row |= dict(zip((kind, f"{kind}_low", f"{kind}_high"), ends, strict=True))
        others = own.supernets.iloc[0] - 1 if name in SEVERAL else 0
        held = memory.loc[name].kept + others * memory.loc[name].weights
        row["peak"] = memory.peak[name] / memory.peak["SPOS"]
        row["kept"] = held / memory.kept["SPOS"]
        rows.append(row)
    rows.sort(key=lambda row: row["method"] == EQUAL_STEPS)  # last: in no comparison
    return _reached(pd.DataFrame(rows), measured, known)


def _flops(curves: pd.DataFrame, scale: Scale, draws: pd.DataFrame) -> pd.DataFrame:
    """Of methods of one supernet, at equal images."""
    equal = curves[curves.method != EQUAL_STEPS]
    return training.paid(equal, training.path_flops(scale.space), draws).set_index("method")


def _flops_of_several(together: pd.DataFrame, total: pd.DataFrame, scale: Scale) -> pd.DataFrame:
    """Of all trainings of a method, as a multiple of SPOS's with its images."""
    listed = training.path_flops(scale.space)
    uniform = (listed.flops * listed.architectures).sum() / listed.architectures.sum()
    rows = {}
    for method, own in together.paid.groupby(level=0, sort=False):
        ratio = own / (uniform * total.images["SPOS"].iloc[0])
        over = metrics.seeds_summary(np.log(ratio.to_numpy()))
        rows[method] = np.exp([over.mean, over.low, over.high])
    return pd.DataFrame.from_dict(rows, orient="index", columns=["flops", "low", "high"])


def _reached(rows: pd.DataFrame, measured: Measured, known: Ranked) -> pd.DataFrame:
    """With both outcomes and their joint intervals."""
    for measure in OUTCOMES:
        by = {name: [e for (m, _), e in measured[measure].items() if m == name]
              for name in rows.method}  # fmt: skip
        reached = pd.DataFrame([outcomes.mean(by[name], known) for name in rows.method])
        rows[measure] = reached.difference
        for end, ends in zip(("low", "high"), outcomes.joint(reached), strict=True):
            rows[f"{measure}_{end}"] = ends.clip(-1.0, 1.0)
    return rows


def front(cost: Sequence[float], value: Sequence[float]) -> list[bool]:
    """Of each whether none is at least as good on both, and better on one (Pareto)."""
    points = list(zip(cost, value, strict=True))
    return [not any(c <= x and v >= y and (c, v) != (x, y) for c, v in points) for x, y in points]
