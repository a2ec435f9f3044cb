"""What searches say: final regrets, and claims whether a method finds better architectures."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from padalib.ranking import metrics
from padalib.study import claims, effects, outcomes, search
from padalib.study.claims import Claim
from padalib.study.scale import Searches
from padalib.study.search import FREE, LARGEST, MAIN, NAMES, UNTRAINED, Known, Predicted

FIGURE = "10_search"
BOUND = 0.2  # points of accuracy: the sd between trainings of one network of NAS-Bench-Macro is .21
CLAIMED = ("SPOS", "PA", "PA&DA")
SCHEDULE = "curriculum"  # PA's, without gradients


def analyse(
    predicted: Predicted, own: Known, simulated: Mapping[str, pd.DataFrame]
) -> tuple[dict[str, pd.DataFrame], list[Claim]]:
    """Tables and claims from what supernets score, and the searches on it (`search.simulated`).

    Tables: those of the searches, supernets, search_controls, fronts, finals (`finals`), and three
    of judged differences, search_better, search_limits and search_loss: Holm's correction is over
    the rows of each.
    """
    tables = dict(simulated) | {
        "supernets": search.supernets(predicted, own),
        "search_controls": search.controls(own),
        "fronts": search.fronts(predicted, own),
    }
    tables["finals"] = finals(tables)
    judged = {
        "search_better": [*_better(tables, own)],
        "search_limits": [*_limited(tables, own)],
        "search_loss": [*_lost(tables, own, predicted)],
    }
    for name, rows in judged.items():
        tables[name] = outcomes.judged(rows, BOUND, wanted=1)
    return tables, [
        outcomes.claim(
            row.key,
            row.statement,
            row,
            f"{row.said}: {outcomes.told(row)}",
            wanted=1,
            unit="points",
            figure=FIGURE,
            beside=_noise(own) if row.key.startswith("10.found") else "",
        )
        for name in judged
        for row in tables[name].itertuples()
    ]


def finals(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Regret at the end, a row a method, search and limit; means and 95 % over supernet seeds.

    `supernet` is the regret of the supernet's own favourite, `loss` what the search adds to it; it
    is below zero where missing the favourite is good luck.
    """
    curves, rows = tables["search_curves"], []
    last = curves[curves.evaluations == curves.evaluations.max()]
    for key, runs in last.groupby(["method", "search", "limit"], sort=False):
        regret = runs.set_index("seed").regret
        favourite = _favourites(tables, key[0], key[2])
        row = dict(zip(("method", "search", "limit"), key, strict=True))
        for name, values in (
            ("regret", regret),
            ("supernet", favourite),
            ("loss", regret - favourite),
        ):
            mean, _, _, low, high = metrics.seeds_summary(values)
            row |= {name: mean, f"{name}_low": low, f"{name}_high": high}
        rows.append(row | {"seeds": len(regret)})
    return pd.DataFrame(rows)


def _favourites(tables: dict[str, pd.DataFrame], method: str, limit: str) -> pd.Series:
    rows = tables["supernets"]
    return rows[(rows.method == method) & (rows.limit == limit)].set_index("seed").regret


@dataclass(frozen=True, eq=False)
class Choice:
    """What somebody chose: regret by seed, or one without seeds; and mean shares by code."""

    regret: pd.Series | float
    shares: pd.Series

    @property
    def mean(self) -> float:
        return float(np.mean(self.regret))


def _finds(
    tables: dict[str, pd.DataFrame], method: str, limit: str = FREE, name: str = MAIN
) -> Choice:
    """What a search had found at its end."""
    key = {"method": method, "limit": limit, "search": name}
    rows, found = (_of(tables[one], key) for one in ("search_curves", "search_found"))
    rows = rows[rows.evaluations == rows.evaluations.max()].set_index("seed")
    return Choice(rows.regret, found.groupby("code").share.sum() / len(rows))


def _of(rows: pd.DataFrame, key: Mapping[str, str]) -> pd.DataFrame:
    return rows[np.logical_and.reduce([rows[name] == value for name, value in key.items()])]


def _favourite(predicted: Predicted, tables: dict[str, pd.DataFrame], method: str) -> Choice:
    """What a method's supernets score highest of all."""
    chosen = []
    for (other, _), wide in predicted.items():
        if other == method:
            last = wide.iloc[:, -1]
            chosen.append(search.alike(last.index[last == last.max()]))
    shares = pd.concat(chosen).groupby(level=0).sum() / len(chosen)
    return Choice(_favourites(tables, method, FREE), shares)


def _largest(tables: dict[str, pd.DataFrame], own: Known, limit: str = FREE) -> Choice:
    controls = tables["search_controls"].set_index(["limit", "control"]).regret
    shares = own.choice(limit, "parameters" if limit == FREE else limit)
    return Choice(float(controls[limit, LARGEST]), shares)


def _better(tables: dict[str, pd.DataFrame], own: Known) -> Iterator[dict]:
    """Differences of true accuracy between what a method's search found and its controls."""
    budget = int(tables["search_curves"].evaluations.max())
    untrained = ("untrained", "*Control:* it finds better than on an untrained supernet", UNTRAINED)
    for method in _claimed(tables):
        found, largest = _finds(tables, method), _largest(tables, own)
        others = [("found", "It finds better architectures than the largest network", LARGEST)]
        for slug, statement, name in (*others, *_beside(tables, method), untrained):
            other = largest if name == LARGEST else _finds(tables, name)
            yield _row(
                f"10.{slug}.{claims.slug(method)}",
                f"{statement} ({method}, {NAMES[MAIN]})",
                f"{method} − {name}, accuracy of what {budget:,} evaluations found (regret "
                f"{found.mean:.2f} and {other.mean:.2f} points)",
                *(found, other, own),
            )


def _claimed(tables: dict[str, pd.DataFrame]) -> list[str]:
    methods = set(tables["search_curves"].method)
    return [method for method in CLAIMED if method in methods]


def _beside(tables: dict[str, pd.DataFrame], method: str) -> Iterator[tuple[str, str, str]]:
    """(slug, statement, name) of the methods that a gain is over."""
    methods = set(tables["search_curves"].method)
    if method != "SPOS" and "SPOS" in methods:
        yield "gain", "It finds better architectures than uniform sampling", "SPOS"
    if method != "SPOS" and SCHEDULE in methods:
        said = "*Control:* it finds better than PA's schedule without gradients"
        yield "schedule", said, SCHEDULE


def _limited(tables: dict[str, pd.DataFrame], own: Known) -> Iterator[dict]:
    """The same beside the network that costs most within the same limit.

    And, within that on FLOPs, beside other methods: what they gain is not more FLOPs alone.
    """
    for limit in [limit for limit in own.limits if limit != FREE]:
        for method in _claimed(tables):
            found, largest = _finds(tables, method, limit), _largest(tables, own, limit)
            most = f"both of at most {_amount(own.limits[limit])} (regret {found.mean:.2f} and"
            slug = f"{claims.slug(limit)}.{claims.slug(method)}"
            yield _row(
                f"10.limit.{slug}",
                f"Within the median of {limit}, it finds better than the network with most "
                f"({method}, {NAMES[MAIN]})",
                f"{method} − most {limit}, {most} {largest.mean:.2f} points)",
                *(found, largest, own),
            )
            for kind, statement, name in _beside(tables, method) if limit == "FLOPs" else ():
                other = _finds(tables, name, limit)
                yield _row(
                    f"10.limit{kind}.{slug}",
                    f"{statement}, within the median of {limit} ({method}, {NAMES[MAIN]})",
                    f"{method} − {name}, {most} {other.mean:.2f} points)",
                    *(found, other, own),
                )


def _lost(tables: dict[str, pd.DataFrame], own: Known, predicted: Predicted) -> Iterator[dict]:
    """What searches lose on top of their supernets, and whether evolution beats random draws."""
    budget = int(tables["search_curves"].evaluations.max())
    for method in _claimed(tables):
        found, favourite = _finds(tables, method), _favourite(predicted, tables, method)
        drawn, slug = _finds(tables, method, name="random"), claims.slug(method)
        yield _row(
            f"10.loss.{slug}",
            f"A search finds worse than ranking everything ({method}, {NAMES[MAIN]})",
            f"regret of what {budget:,} evaluations found − of the supernet's own favourite "
            f"({found.mean:.2f} and {favourite.mean:.2f} points)",
            *(favourite, found, own),
        )
        yield _row(
            f"10.evolution.{slug}",
            f"Evolution finds better than random draws ({method})",
            f"{NAMES[MAIN]} − {NAMES['random']}, accuracy of what {budget:,} evaluations found "
            f"(regret {found.mean:.2f} and {drawn.mean:.2f} points)",
            *(found, drawn, own),
        )


def _row(key: str, statement: str, said: str, a: Choice, b: Choice, own: Known) -> dict:
    """How much better a is than b, as `outcomes.judged` takes it.

    Two doubts: seeds, and the truth, which rests on few trainings of what was chosen. Seeds that
    all chose the same say nothing of the first, so without the second there is no verdict.
    """
    gaps = (b.regret - a.regret).dropna()  # seeds that both have
    noise = own.doubt(a.shares.sub(b.shares, fill_value=0.0))
    over = effects.spread(gaps)
    if not over.error and math.isnan(noise.error):
        over = effects.UNKNOWN
    trainings = own.table.trainings.min()
    n = 0 if math.isnan(trainings) else int(trainings)
    row = outcomes.row(gaps.mean(), over, len(gaps), noise, n, second="trainings of the truth")
    return {"key": key, "statement": statement, "said": said} | row


def _noise(own: Known) -> str:
    """How much a network's accuracy differs between trainings, among the best."""
    best = own.table.sort_values("accuracy", ascending=False)
    sd = float(np.median(best.noise[: -(-len(best) // 10)]))
    if math.isnan(sd):
        return ""
    return f"Trainings of one network of the best tenth differ by {sd:.2f} points (sd, median)"


def _amount(cost: float) -> str:
    return f"{cost:,.0f}" if cost >= 1e6 else f"{cost:,.6g}"


def described(own: Known, size: Searches, seeds: Sequence[int]) -> str:
    """What is searched, how often, and within which limits."""
    limits = [f"{name} {_amount(most)}" for name, most in own.limits.items() if name != FREE]
    return (
        f"{own.space.architectures:,} architectures, {len(own.table):,} distinct functions, "
        f"the best of {own.table.accuracy.max():.2f} %. A search has {size.evaluations} "
        f"evaluations, and is made {size.times} times on each of {len(seeds)} supernets of a "
        f"method. Limits, each the median of all: {', '.join(limits)}."
    )
