"""Is the order of methods one of tuning, or of compute?

Methods at the learning rate that suits each best, and SPOS trained until it has cost what PA costs:
PA's paths are the dearer ones, so equal images are not equal FLOPs.

Fixed beforehand: the rates that are tried; that the one with the highest tau within equal FLOPs is
a method's own, on seeds and on a half of the architectures of which nothing is reported; and the
contrasts, two outcomes, and the bound of `controls`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import pandas as pd

from padalib.ranking import metrics
from padalib.ranking.report import Ranked
from padalib.ranking.scores import ScoreConfig
from padalib.study import claims, controls, outcomes
from padalib.study.claims import Claim
from padalib.study.controls import BOUND, OUTCOMES
from padalib.study.scale import Scale

FIGURE = "14_tuning"
METHODS = ("SPOS", "PA", "curriculum")
CHOOSES = "within_flops"  # the outcome that chooses a rate
COMMON, OWN, FLOPS = "common rate", "own rates", "equal FLOPs"
PAIRS = {
    COMMON: (("PA", "SPOS"), ("PA", "curriculum"), ("curriculum", "SPOS")),
    OWN: (("PA", "SPOS"), ("PA", "curriculum"), ("curriculum", "SPOS")),
    FLOPS: (("PA", "SPOS"),),
}
WHERE = {
    COMMON: "at one learning rate for all",
    OWN: "when each has its own learning rate",
    FLOPS: "when SPOS trains for as many FLOPs",
}

Arms = dict[str, dict[str, tuple[float, int]]]  # arm -> method -> (learning rate, epochs)

# --- runs ---


def tried(scale: Scale) -> list[ScoreConfig]:
    """Each method at each rate, on seeds that nothing is reported on."""
    return [
        scale.scoring(replace(scale.training(method, seed), lr=rate, keep=()))
        for seed in scale.rate_seeds
        for rate in scale.rates
        for method in METHODS
    ]


def reported(scale: Scale, arms: Arms) -> list[ScoreConfig]:
    """The runs of all arms, seed by seed; each once."""
    return [
        scale.scoring(replace(scale.training(method, seed), lr=rate, epochs=epochs, keep=()))
        for seed in scale.seeds
        for method, (rate, epochs) in dict.fromkeys(
            each for arm in arms.values() for each in arm.items()
        )
    ]


def configs(scale: Scale) -> list[ScoreConfig]:
    """All runs that are known before rates are chosen."""
    return [*tried(scale), *reported(scale, _ahead(scale))]


def _ahead(scale: Scale) -> Arms:
    common = {method: (scale.lr, scale.epochs) for method in METHODS}
    longer = {"SPOS": (scale.lr, scale.equal_flops or scale.epochs)}
    return {COMMON: common, FLOPS: common | longer}


def told(config: ScoreConfig) -> dict:
    """What tells the runs of one method apart: columns of the scores."""
    return {"lr": config.train.lr, "epochs": config.train.epochs}


def halves(known: Ranked) -> tuple[Ranked, Ranked]:
    """The architectures that choose, and those that are reported; one function is in one half."""
    report = known.clusters % 2 == 1
    return known.only(~report), known.only(report)


# --- analysis ---


def choose(scores: pd.DataFrame, known: Ranked) -> pd.DataFrame:
    """A row a method and rate: means of the outcomes over seeds, and whether it is chosen.

    `edge`: the chosen rate is the least or the most that was tried, so a better one may lie beyond.
    """
    rows = []
    for rate, own in scores.groupby("lr"):
        measured = controls.measure(own, known)
        for method in METHODS:
            row = {"method": method, "lr": rate}
            for name in OUTCOMES:
                values = [e.value for (m, _), e in measured[name].items() if m == method]
                found = metrics.seeds_summary(values)
                row |= {name: found.mean, f"{name}_low": found.low, f"{name}_high": found.high}
            rows.append(row | {"seeds": found.n})
    table = pd.DataFrame(rows).sort_values(["method", "lr"], kind="stable", ignore_index=True)
    by_method = table.groupby("method")
    table["chosen"] = table.index.isin(by_method[CHOOSES].idxmax())
    ends = by_method.lr.agg(["min", "max"]).loc[table.method]
    at_end = (table.lr.to_numpy() == ends["min"]) | (table.lr.to_numpy() == ends["max"])
    table["edge"] = table.chosen & at_end.to_numpy()
    return table


def arms(scale: Scale, rates: pd.DataFrame) -> Arms:
    """The settings that are compared; own rates only where they are not the common one."""
    own = rates[rates.chosen].set_index("method").lr
    found = _ahead(scale)
    if (own != scale.lr).any():
        found[OWN] = {method: (float(own[method]), scale.epochs) for method in METHODS}
    return {name: found[name] for name in PAIRS if name in found}


def analyse(scores: pd.DataFrame, known: Ranked, compared: Arms) -> dict[str, pd.DataFrame]:
    """Tables: contrasts (Holm over arms, pairs and outcomes), changes, levels.

    changes: by how much PA's gain over SPOS in an arm is larger than at the common rate, in the
    same seeds. levels: each method's outcomes in each arm.
    """
    by_arm = {
        name: controls.measure(pd.concat(_rows(scores, arm)), known)
        for name, arm in compared.items()
    }
    contrasts, changes, levels = [], [], []
    for name, measured in by_arm.items():
        rows = controls.compare(measured, known, PAIRS[name], list(OUTCOMES))
        contrasts += rows.assign(arm=name, fifths=not known.equal).to_dict("records")
        for measure in OUTCOMES:
            runs = measured[measure]
            for method in METHODS:
                own = [e for (m, _), e in runs.items() if m == method]
                setting = dict(zip(("lr", "epochs"), compared[name][method], strict=True))
                row = {"arm": name, "method": method, "measure": measure} | setting
                levels.append(row | outcomes.mean(own, known))
            if name != COMMON:
                gaps = [
                    outcomes.combine((1, -1, -1, 1), each)
                    for each in zip(*_four(runs, by_arm[COMMON][measure]), strict=True)
                ]
                row = {"measure": measure, "a": f"PA − SPOS, {name}", "b": COMMON, "arm": name}
                row["fifths"] = not known.equal
                changes.append(row | outcomes.mean(gaps, known))
    return {
        "contrasts": outcomes.judged(contrasts, BOUND, wanted=1),
        "changes": outcomes.judged(changes, BOUND, wanted=-1),
        "levels": pd.DataFrame(levels).rename(columns={"difference": "value"}),
    }


def _rows(scores: pd.DataFrame, arm: Mapping[str, tuple[float, int]]) -> Iterator[pd.DataFrame]:
    """The scores of each method of an arm; ValueError where it was not run."""
    for method, (rate, epochs) in arm.items():
        own = scores[(scores.method == method) & (scores.lr == rate) & (scores.epochs == epochs)]
        if own.empty:
            raise ValueError(
                f"there are no scores of {method} at learning rate {rate:g} after {epochs} epochs: "
                "run the arms that its rates were chosen for"
            )
        yield own


def _four(runs: Mapping, common: Mapping) -> list[list]:
    seeds = [seed for method, seed in runs if method == "PA"]
    return [
        [own[method, seed] for seed in seeds]
        for own, method in ((runs, "PA"), (runs, "SPOS"), (common, "PA"), (common, "SPOS"))
    ]


# --- claims ---


def conclude(tables: Mapping[str, pd.DataFrame]) -> list[Claim]:
    """A claim for each arm, pair and outcome; then whether PA's gain shrinks."""
    found = []
    for row in tables["contrasts"].itertuples():
        named = controls.outcome(row.measure, row.fifths)
        pair = f"{row.a}_{row.b}".lower()
        found.append(
            outcomes.claim(
                f"14.{claims.slug(row.arm)}.{pair}.{row.measure}",
                f"{row.a} ranks better than {row.b} {WHERE[row.arm]}: {named}",
                row,
                f"{row.a} − {row.b}, {named}: {outcomes.told(row)}",
                wanted=1,
                unit="tau",
                figure=FIGURE,
            )
        )
    for row in tables["changes"].itertuples():
        named = controls.outcome(row.measure, row.fifths)
        found.append(
            outcomes.claim(
                f"14.shrinks.{claims.slug(row.arm)}.{row.measure}",
                f"PA's gain over SPOS is smaller {WHERE[row.arm]}: {named}",
                row,
                f"that gain less the one at the common rate, {named}: {outcomes.told(row)}",
                wanted=-1,
                unit="tau",
                figure=FIGURE,
            )
        )
    return found


def described(scale: Scale, rates: pd.DataFrame) -> str:
    """Which rates were chosen, in a sentence."""
    own = rates[rates.chosen]
    said = ", ".join(f"{row.method} {row.lr:g}" for row in own.itertuples())
    found = f"Chosen of {', '.join(f'{rate:g}' for rate in scale.rates)}: {said}."
    if (own.lr == scale.lr).all():
        found += f" That is the common rate, {scale.lr:g}, so there is no other arm to compare."
    if own.edge.any():
        edge = ", ".join(own.method[own.edge])
        found += f" For {edge} it is at the edge of what was tried: a better one may lie beyond."
    return found
