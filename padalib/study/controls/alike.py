"""Which architectures count as one, and what other answers would do to the intervals over them.

We draw architectures at random, so each of them alone would do for an interval over this space; one
unit for all that are the same function is longer, and for all that are one network alone longest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from padalib.ranking.ranked import UNITS, Ranked
from padalib.study.controls.compared import COUNTED, Contrast, differences, measure

ENDS = ["archs_low", "archs_high", "both_low", "both_high", "p", "holm", "verdict"]


def alike(
    spaces: Mapping[str, tuple[pd.DataFrame, Ranked]],
    contrasts: Sequence[Contrast],
    seeds: Sequence[int] = (),
) -> pd.DataFrame:
    """The differences of the first space by each unit of `UNITS`, each corrected in its own table.

    A row a unit and difference: all primary ones, methods less SPOS, and methods less counts.
    `functions`: how many units there are. `usual`: the verdict by the unit of all other tables.
    """
    main, rows = next(iter(spaces)), []
    measured = {name: measure(*own) for name, own in spaces.items()}
    for unit in UNITS:
        known = {name: replace(own, unit=unit) for name, (_, own) in spaces.items()}
        tables = differences(measured, known, contrasts, seeds)
        for name in ("contrasts", "secondary", "counts"):
            table = tables[name][tables[name].space == main]
            if name == "secondary":
                table = table[(table.b == "SPOS") & table.a.isin(COUNTED)]
            rows.append(table.assign(table=name, unit=unit))
    first = ["unit", "functions", "table", "measure", "a", "b", "difference"]
    found = pd.concat(rows, ignore_index=True)[first + ENDS]
    usual = found[found.unit == "function"].set_index(["table", "measure", "a", "b"]).verdict
    keys = pd.MultiIndex.from_frame(found[["table", "measure", "a", "b"]])
    return found.assign(usual=usual.reindex(keys).to_numpy())
