"""The variance of the steps that methods take, beside SPOS's: as taken, and importance-weighted.

`curriculum` is the control: PA's schedule towards operations with weights, without any gradient.
What a schedule alone does to weighted steps is arithmetic, and worked out here from the logged p.
A method that trains on weighted steps has no others: of it the weighted draws count alone. They are
before clipping, which cuts the heaviest, so what it really takes is not measured.
"""

from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd

from padalib import samplers
from padalib.engine.runs import Config
from padalib.probes.sampled import VarianceConfig
from padalib.samplers.checking import unsummed
from padalib.spaces import Space
from padalib.study import claims, wording
from padalib.study.effects import RATIO_BOUND, Effect, difference, judge_rows, ratio
from padalib.study.scale import Scale

BASE, CLAIMED = "SPOS", "PA&DA"  # what is compared with, and what the paper claims something of
CONTROL, WEIGHTED = "curriculum", "PA&DA weighted"  # trained with the weights of the theorem
FIXED = "the weights that no path leaves out by choice"  # only one that is cut off
PARTS = ("all", "fixed")  # of the weights: all, or `FIXED`
BLOCK = ["epoch", "weights", "part"]  # one comparison of all methods


def probes(scale: Scale) -> list[VarianceConfig]:
    """The variance of every run at every kept epoch and, with more draws, at the end.

    Not of methods whose steps are not sums of gradients, which the probe refuses.
    """
    return [
        VarianceConfig(config, epoch, paths, scale.batches)
        for config in scale.trainings()
        if not unsummed(config)
        for epoch, paths in (
            *((epoch, scale.paths) for epoch in scale.keep),
            (scale.epochs, scale.final_paths),
        )
    ]


def configs(scale: Scale) -> list[Config]:
    """All runs of this study."""
    return [*scale.trainings(), *probes(scale)]


def weighs(method: samplers.Method) -> bool:
    """Whether a method trains on steps with importance weights: an option, or its class says so."""
    return any(
        ("importance", True) in part.options or getattr(part.cls, "importance", False) is True
        for part in (method.paths, method.data)
    )


def of_steps(probed: pd.DataFrame) -> pd.DataFrame:
    """The rows of probes that are of steps which the library's methods could take."""
    weighted = [name for name, method in samplers.METHODS.items() if weighs(method)]
    return probed[(probed.weights != "raw") | ~probed.method.isin(weighted)]


def places(space: Space) -> list[str]:
    """Names of the space's positions, short, in the order of a code."""
    names = (position.name.removeprefix(space.kind) for position in space.positions)
    return [name.strip().replace("<-", "←") for name in names]


# --- analysis ---


class Variance(NamedTuple):
    """Tables and claims of the study."""

    steps: pd.DataFrame  # as taken, all weights: a row for each run and epoch
    compared: pd.DataFrame  # each method with SPOS, each epoch
    schedule: pd.DataFrame  # what weighted steps must cost by the logged p alone
    parts: pd.DataFrame  # a row for each method and part of the weights, at the end
    claims: list[claims.Claim]


def analyse(variance: pd.DataFrame, curves: pd.DataFrame, places: int) -> Variance:
    """From the rows of the probes and of the training curves; `places` a path has operations at."""
    variance = of_steps(variance)
    compared = compare(variance)
    arithmetic = schedule(variance, curves, places)
    own = variance[(variance.weights == "raw") & (variance.epoch == variance.epoch.max())]
    parts = own.groupby(["method", "part"], sort=False)[["path", "data", "total"]].mean()
    found = list(_claims(compared, arithmetic))
    return Variance(as_taken(variance), compared, arithmetic, parts.reset_index(), found)


def as_taken(variance: pd.DataFrame) -> pd.DataFrame:
    """Steps as taken, of all weights, with what the figure adds; NaN where there are none.

    snr: signal-to-noise per path trained, so that a step of several paths is not credited with the
    averaging it paid for. total_weighted: of the importance-weighted steps. bias: squared, over the
    squared gradient that weighted steps estimate; NaN where either estimate is not positive.
    """
    whole = variance[variance.part == "all"]
    raw, weighted = (whole[whole.weights == kind] for kind in ("raw", "importance"))
    raw = raw.assign(snr=raw.signal_to_noise / raw.group)
    kept = ["run", "method", "seed", "epoch", "total", "signal"]
    rows = raw.merge(weighted[kept], "outer", kept[:4], suffixes=("", "_weighted"), sort=False)
    known = (rows.bias2 > 0) & (rows.signal_weighted > 0)
    rows["bias"] = (rows.bias2 / rows.signal_weighted).where(known)
    return rows.astype(dict.fromkeys(("paths", "batches", "group"), "Int64"))  # some have none


def compare(variance: pd.DataFrame) -> pd.DataFrame:
    """Each method with SPOS, paired by seed: ratio of the variance, gain in signal-to-noise.

    Signal-to-noise is per path trained, and of all weights. Planned are the comparisons of PA&DA at
    the end; the other methods and epochs are there to pick from.
    """
    if BASE not in set(variance.method):
        raise ValueError(
            f"these are probes of {', '.join(variance.method.unique())}, and not of {BASE}, which "
            f"each is held against: probe {BASE} too, with the same seeds"
        )
    rows, end = [], variance.epoch.max()
    variance = variance.assign(snr=variance.signal_to_noise / variance.group)
    for key, own in variance[variance.part.isin(PARTS)].groupby(BLOCK, sort=False):
        for value, column, of in (("variance", "total", ratio), ("snr", "snr", difference)):
            if value == "snr" and "all" not in key:
                continue
            wide = own.pivot(index="seed", columns="method", values=column)
            for method in own.method.unique():
                if method == BASE:
                    continue
                row = dict(zip(BLOCK, key, strict=True)) | {"value": value, "method": method}
                named = method == (WEIGHTED if key[1] == "importance" else CLAIMED)
                row |= {"planned": key[0] == end and (named or method == CLAIMED)}
                row |= {
                    "null": float(value == "variance"),
                    **of(wide[method], wide[BASE])._asdict(),
                }
                rows.append(row | {"mean": wide[method].mean(), "base": wide[BASE].mean()})
    return judge_rows(pd.DataFrame(rows), [*BLOCK, "value"])


def schedule(variance: pd.DataFrame, curves: pd.DataFrame, places: int) -> pd.DataFrame:
    """What importance weights must cost by the logged p alone, whatever the gradients are.

    second_moment: E_p[(u/p)^2] = E_u[u/p], by which the mean square of steps grows if all paths'
    gradients are equally long. starved: its share from paths of which every operation is drawn less
    often than uniformly; starved_draws: so many of the probe's uniform draws are such paths. A p
    that is logged once for all is that of each of `places` alike.
    """
    key = ["method", "seed", "epoch"]
    draws = variance[(variance.weights == "importance") & (variance.part == "all")]
    rows = curves.merge(draws[[*key, "paths"]], on=key)
    found = []
    for _, own in rows.groupby("method", sort=False):
        logged = own.filter(regex="^p_").dropna(axis="columns")
        tables = _tables(list(logged), places)
        if not tables:  # it draws by no p
            continue
        own = own[[*key, "paths"]].assign(second_moment=1.0, starved=1.0, starved_draws=own.paths)
        for names in tables:
            p, u = logged[names].to_numpy(), 1 / len(names)
            cost, few = u**2 / p, p < u * (1 - 1e-6)  # logged in float32
            own["second_moment"] *= cost.sum(1)
            own["starved"] *= (cost * few).sum(1) / cost.sum(1)
            own["starved_draws"] *= few.mean(1)
        found.append(own)
    columns = ["paths", "second_moment", "starved", "starved_draws"]
    if not found:
        return pd.DataFrame(columns=["epoch", "method", *columns])
    return pd.concat(found).groupby(["epoch", "method"], sort=False)[columns].mean().reset_index()


def _tables(logged: list[str], places: int) -> list[list[str]]:
    """Columns of p of each position: 'p_block 0/conv_3x3', or 'p_conv_3x3' for all of them."""
    own: dict[str, list[str]] = {}
    for name in logged:
        own.setdefault(name.rpartition("/")[0], []).append(name)
    return [own[""]] * places if "" in own else list(own.values())


# --- claims ---


def _claims(compared: pd.DataFrame, arithmetic: pd.DataFrame) -> Iterator[claims.Claim]:
    if CLAIMED not in set(compared.method):
        return
    end, early = compared.epoch.max(), sorted(compared.epoch.unique())[:-1]
    rows = compared.set_index(["value", *BLOCK, "method"])
    over = f"brackets: over {compared.seeds.max()} seeds"

    def at(method: str, weights: str, epoch: int = end, part: str = "all") -> Effect:
        row = rows.loc[("variance", epoch, weights, part, method)]
        return Effect(*(row[name] for name in Effect._fields))

    def all_of(methods: tuple[str, ...], weights: str, epoch: int = end, part: str = "all") -> str:
        words = {CONTROL: f"PA's schedule without gradients (`{CONTROL}`)"}
        own = [method for method in methods if method in set(compared.method)]
        found = [f"{words.get(m, m)} {at(m, weights, epoch, part)}" for m in own]
        return ", ".join(found) + f" times SPOS's at epoch {epoch}"

    def lower(key: str, statement: str, effect: Effect, evidence: str, wanted: int = -1):
        judged = {"wanted": wanted, "null": 1.0, "bound": RATIO_BOUND}
        named = {"unit": "times", "figure": "01_gradient_variance"}
        evidence = f"{evidence}; {over}"
        return claims.of(
            key, statement, effect.change, [effect.interval], evidence, **judged, **named
        )

    three = (CLAIMED, "PA", CONTROL)
    before = "".join(f"; PA&DA at epoch {epoch} {at(CLAIMED, 'raw', epoch)}" for epoch in early)
    yield lower(
        "01.steps",
        "PA&DA lowers the variance of the steps it takes",
        at(CLAIMED, "raw"),
        f"{all_of(three, 'raw')}, each method on its own network, all weights{before}",
    )
    yield lower(
        "01.steps_fixed",
        f"PA&DA lowers the variance on {FIXED}",
        at(CLAIMED, "raw", part="fixed"),
        f"{all_of(three, 'raw', part='fixed')}, each method on its own network, its fixed "
        "part alone",
    )
    gain = rows.loc[("snr", end, "raw", "all", CLAIMED)]
    yield claims.of(
        "01.signal_to_noise",
        "PA&DA raises the signal-to-noise of the steps it takes",
        gain.change,
        [claims.Interval(gain.low, gain.high, "seeds", int(gain.seeds))],
        f"{gain.change:+.2g} [{gain.low:+.2g}, {gain.high:+.2g}] per path trained at epoch {end}, "
        f"{gain['mean']:.2g} against SPOS's {gain.base:.2g}; {over}",
        figure="01_gradient_variance",
    )
    trained = WEIGHTED if WEIGHTED in set(compared.method) else CLAIMED
    how = f"with these weights; trained without them {at(CLAIMED, 'importance')}"
    yield lower(
        "01.weighted",
        "With importance weights, as in the theorem, PA&DA's steps vary less",
        at(trained, "importance"),
        f"{at(trained, 'importance')} times SPOS's at epoch {end}, all weights, on networks "
        "trained " + (how if trained == WEIGHTED else "without these weights"),
    )
    if CONTROL in set(compared.method):
        known = arithmetic[(arithmetic.epoch == end) & (arithmetic.method == CONTROL)].iloc[0]
        yield lower(
            "01.weighted_schedule",
            "*Control:* weighted, PA's schedule alone raises the variance",
            at(CONTROL, "importance"),
            f"{all_of((CONTROL,), 'importance')}; by arithmetic of its p alone, whatever the "
            f"gradients, {wording.short(known.second_moment)}, of which "
            f"{100 * known.starved:.0f} % rests on paths of starved operations only, about "
            f"{known.starved_draws:.0f} of {known.paths:.0f} draws",
            wanted=1,
        )
    if early:
        yield lower(
            "01.weighted_early",
            "Early in training, weighted, PA&DA's steps vary less",
            at(CLAIMED, "importance", early[0]),
            f"{all_of(three, 'importance', early[0])} of {end}, all weights",
        )
