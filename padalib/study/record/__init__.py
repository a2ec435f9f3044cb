"""The record: the best single supernet at equal images, what its parts are for, and what bounds it.

Fixed beforehand: the candidates (`parts.TRIED`); that the one with the highest tau within
equal FLOPs is reported, chosen on seeds and on a half of the architectures of which nothing is;
the measures, their aims, and the declared prior: the rank averaged with that of live FLOPs, weight
1. All train on as many images; other shapes cost as many FLOPs, to a twentieth.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from padalib.ranking import pairs
from padalib.ranking.pairs import Estimate
from padalib.ranking.report import Ranked
from padalib.ranking.scores import ScoreConfig
from padalib.study import claims, contests, controls, outcomes, tuning
from padalib.study.claims import Claim, Interval
from padalib.study.controls import BOUND, OTHERS, OUTCOMES
from padalib.study.record import parts
from padalib.study.scale import Scale

FIGURE = "15_record"
CHOOSES = "within_flops"  # the outcome that chooses
WHOLE_SEEDS = 2  # so many seeds rank the whole space
AIMS = {  # measure of the report card -> what was aimed at before any candidate was trained
    "tau_loss": (0.77, "tau by loss, by training alone"),
    "with_flops": (0.81, "tau of its rank averaged with the FLOPs' rank"),
    "within_flops": (0.65, "tau within equal FLOPs"),
    "top_decile": (0.2, "tau among the best tenth"),
}
OWN_SHAPE = "the scale's network"

# --- runs ---


def tried(scale: Scale) -> list[ScoreConfig]:
    """Every candidate, on seeds that nothing is reported on; seed by seed."""
    return [_scored(scale, name, seed) for seed in scale.rate_seeds for name in scale.tried]


def compared(scale: Scale) -> list[str]:
    """What is reported: SPOS, PA, PA with what any method could have, the winner, and its parts.

    Of the winner once without each part.
    """
    own, shared = scale.winner, parts.common(scale.winner)
    names = [parts.PLAIN, "PA", parts.joined(["PA", *shared]), own, *parts.without(own).values()]
    return list(dict.fromkeys(names))


def reported(scale: Scale) -> list[ScoreConfig]:
    """These with every seed of the scale."""
    return [_scored(scale, name, seed) for seed in scale.seeds for name in compared(scale)]


def wholes(scale: Scale) -> list[ScoreConfig]:
    """Scores of every class of the space by the scale's methods for it and the winner."""
    methods = (*scale.whole, scale.winner) if scale.whole else ()
    return [
        _scored(scale, name, seed, archs=None)
        for seed in scale.seeds[:WHOLE_SEEDS]
        for name in methods
    ]


def alones(scale: Scale) -> list[ScoreConfig]:
    """A few functions of the half that reports, alone: in the scale's network, and the winner's.

    Trained as SPOS trains its supernet, but for the sharing: each for as many epochs, and with the
    statistics of batches.
    """
    shapes = dict.fromkeys((scale.space, parts.shaped(scale.winner, scale.space)))
    codes = tuple(map(scale.space.code, scale.ranked_archs()))
    known = tuning.halves(Ranked(scale.space, codes, np.zeros(len(codes))))[1]
    few = list(dict.fromkeys(contests.functions(known.space, known.codes)))[: scale.alone]
    plain = replace(scale.training(parts.PLAIN, scale.seeds[0]), keep=())
    return [
        scale.scoring(replace(plain, space=space, arch=scale.space.parse(code)), archs=None)
        for space in shapes
        for code in few
    ]


def configs(scale: Scale) -> list[ScoreConfig]:
    """All runs of this study but those of PA&DA's options."""
    return [*tried(scale), *reported(scale), *wholes(scale), *alones(scale)]


def shape(scale: Scale, config: ScoreConfig) -> dict[str, str]:
    """In which network a run trains one alone: a column of its table."""
    own = config.train.space == scale.space
    return {"shape": OWN_SHAPE if own else "the winner's network"}


def _scored(scale: Scale, name: str, seed: int, **changes) -> ScoreConfig:
    return scale.scoring(replace(parts.training(scale, name, seed), keep=()), **changes)


# --- analysis ---


def choose(scores: pd.DataFrame, known: Ranked) -> pd.DataFrame:
    """A row a candidate, the best first: means over seeds of the outcomes, and which is chosen."""
    measured = controls.measure(scores, known)
    names = (*OUTCOMES, *OTHERS)
    values = {
        name: pd.Series({key: one.value for key, one in measured[name].items()}) for name in names
    }
    table = pd.DataFrame({name: own.groupby(level=0).mean() for name, own in values.items()})
    table["seeds"] = values[CHOOSES].groupby(level=0).size()
    table = table.sort_values(CHOOSES, ascending=False, kind="stable")
    table["chosen"] = np.arange(len(table)) == 0
    return table.rename_axis("candidate").reset_index()


def analyse(scores: pd.DataFrame, known: Ranked, winner: str) -> dict[str, pd.DataFrame]:
    """Tables: contrasts (the winner less what it is held against), parts, cards.

    parts: the winner less itself without each part, so more than 0 is what a part is worth. Each is
    a family of its own for Holm's correction, over both outcomes.
    """
    measured = controls.measure(scores, known)
    lacking = parts.without(winner)
    of = {name: part for part, name in lacking.items()}
    rivals = [name for name in scores.method.unique() if name not in (winner, *of)]
    rivals += [name for name in ("PA", parts.PLAIN) if name in of]
    found = {}
    for table, others in (("contrasts", rivals), ("parts", lacking.values())):
        rows = controls.compare(measured, known, [(winner, b) for b in others], list(OUTCOMES))
        rows["fifths"] = not known.equal
        found[table] = outcomes.judged(rows.to_dict("records"), BOUND, wanted=1)
    if len(found["parts"]):
        found["parts"]["part"] = found["parts"].b.map(of)
    own = scores[scores.code.isin(known.codes)]
    return found | {"cards": controls.cards(own, known)[0]}


def everywhere(scores: pd.DataFrame, known: Ranked) -> pd.DataFrame:
    """The cards on all architectures; those that are one supernet function have one score."""
    same = contests.functions(known.space, known.codes)
    names = ["method", "seed", "accuracy", "loss"]
    own = same.rename_axis("member").rename("code").reset_index()
    every = own.merge(scores[["code", *names]], on="code").drop(columns="code")
    return controls.cards(every.rename(columns={"member": "code"}), known)[0]


def bound(alone: pd.DataFrame, scores: pd.DataFrame, known: Ranked) -> pd.DataFrame:
    """tau by accuracy on the architectures that were trained alone too, a row a method and network.

    value: a supernet's mean over seeds, or of those trained alone (no seeds: one run each); and
    `difference`, the supernet less them, with its intervals; `architectures`: how many. A supernet
    that beats networks trained alone as long is not bounded by sharing, but by what so short a
    training can tell. `known` is the half on which results are reported.
    """
    same = contests.functions(known.space, known.codes)
    true = pd.Series(known.true, index=list(known.codes))
    rows = []
    for network, own in alone.groupby("shape", sort=False):
        accuracy = own.set_index("code").accuracy
        few = same[same.isin(accuracy.index) & ~same.duplicated()]
        ranked = Ranked(known.space, tuple(few.index), true[few.index].to_numpy())
        base = pairs.tau(accuracy[few].to_numpy(), ranked.true)
        for method, runs in scores.groupby("method", sort=False):
            taus = [_tau(run, ranked) for _, run in runs.groupby("seed", sort=False)]
            gaps = [outcomes.combine((1, -1), (each, base)) for each in taus]
            row = {"network": network, "method": method, "alone": base.value}
            row["architectures"] = len(few)
            row["value"] = float(np.mean([each.value for each in taus]))
            rows.append(row | outcomes.mean(gaps, ranked))
    return outcomes.judged(rows, BOUND, wanted=1)


def _tau(run: pd.DataFrame, ranked: Ranked) -> Estimate:
    return pairs.tau(dict(outcomes.vectors(run, ranked))["accuracy"], ranked.true)


# --- claims ---


def conclude(tables: Mapping[str, pd.DataFrame], winner: str, aims: bool = False) -> list[Claim]:
    """Whom the winner beats, what its parts are worth, the bound; and whether `aims` are reached.

    Aims are the main space's alone.
    """
    found = _aims(tables["cards"], winner) if aims else []
    for row in tables["contrasts"].itertuples():
        named = controls.outcome(row.measure, row.fifths)
        found.append(
            _claim(
                f"15.beats.{slug(row.b)}.{row.measure}",
                f"The chosen supernet ({winner}) ranks better than {row.b}: {named}",
                row,
                f"{named}, less {row.b}",
            )
        )
    for row in tables["parts"].itertuples():
        named = controls.outcome(row.measure, row.fifths)
        found.append(
            _claim(
                f"15.part.{slug(row.part)}.{row.measure}",
                f"It ranks worse without {row.part}: {named}",
                row,
                f"{named}, with {row.part} less without",
            )
        )
    if "bound" in tables:
        for row in tables["bound"].itertuples():
            if row.method == winner:
                network = "own" if row.network == OWN_SHAPE else "winner"
                found.append(
                    _claim(
                        f"15.alone.{network}",
                        "The chosen supernet ranks better than networks trained alone, each for as "
                        f"many epochs ({row.network})",
                        row,
                        f"tau by accuracy {row.value:.3f} beside {row.alone:.3f}, on "
                        f"{row.architectures} architectures",
                    )
                )
    return found


def _claim(key: str, statement: str, row, said: str) -> Claim:
    evidence = f"{said}: {outcomes.told(row)}"
    return outcomes.claim(key, statement, row, evidence, wanted=1, unit="tau", figure=FIGURE)


def _aims(cards: pd.DataFrame, winner: str) -> list[Claim]:
    own, found = cards[cards.method == winner].set_index("measure"), []
    for measure, (aim, said) in AIMS.items():
        if measure not in own.index:
            continue
        row = own.loc[measure]
        intervals = [
            Interval(row[f"{kind}low"], row[f"{kind}high"], over, n)
            for kind, over, n in (
                ("seeds_", "seeds", row.seeds),
                ("archs_", "architectures", row.architectures),
                ("", "seeds and these", row.seeds),
            )
            if pd.notna(row[f"{kind}low"])
        ]
        told = claims.said(row.value, intervals)
        statement = f"The chosen supernet reaches {aim:g}: {said}"
        look = {"null": aim, "unit": "tau", "figure": FIGURE}
        found.append(claims.of(f"15.aim.{measure}", statement, row.value, intervals, told, **look))
    return found


def slug(name: str) -> str:
    """A candidate or a part in the key of a claim."""
    words = "".join(c if c.isalnum() else " " for c in name.lower()).split()
    return "_".join(words)


def described(table: pd.DataFrame, winner: str) -> str:
    """What was chosen, in a sentence; and where it is not what is reported."""
    best = table.iloc[0]
    told = (
        f"Of {len(table)} candidates `{best.candidate}` is chosen, with tau within equal FLOPs "
        f"{best[CHOOSES]:.3f} on the half and the {best.seeds} seeds that choose."
    )
    if best.candidate != winner:
        told += f" What is reported below is `{winner}`: it was named before, and is not the best."
    return told
