"""The record: a single supernet of chosen parts at equal images, what they are for, what bounds it.

Fixed before any candidate's scores were seen: the candidates (`parts.TRIED`); that the one with the
highest tau within equal FLOPs is reported, chosen on other seeds and on another half of the
architectures than its results; what it is held against; the seeds; the measures, their aims, and
the declared prior: the rank averaged with that of live FLOPs, weight 1. All train on as many
images; their paths do not cost the same (`costs`). Other shapes cost as many FLOPs, to a
twentieth, where all operations are 3x3.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from padalib.ranking import pairs
from padalib.ranking.pairs import Estimate
from padalib.ranking.report import Ranked
from padalib.ranking.scores import ScoreConfig
from padalib.study import claims, contests, controls, outcomes
from padalib.study.claims import Claim, Interval
from padalib.study.controls.compared import BOUND, OTHERS, OUTCOMES
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
    """What is reported: methods of the library, the winner, and what it is held against.

    That is `rivals`, and, if the scale has it so, itself once without each part.
    """
    own, less = scale.winner, parts.without(scale.winner).values() if scale.each_part else ()
    return list(dict.fromkeys([parts.PLAIN, "PA", "curriculum", *rivals(own), own, *less]))


def rivals(winner: str) -> list[str]:
    """Whom a winner has to beat: PA&DA, and other paths with all that it has beside its paths.

    Those of PA, and those of PA's schedule without gradients.
    """
    shared = parts.common(winner)
    others = [parts.joined([paths, *shared]) for paths in ("PA", "curriculum")]
    return [name for name in (parts.CLAIMED, *others) if name != winner]


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
    known = halves(Ranked(scale.space, codes, np.zeros(len(codes))))[1]
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


def left(scale: Scale) -> str:
    """A sentence on what was planned for every scale of this study, and this one leaves out."""
    wanted = {
        "the chosen one without each of its parts": scale.each_part,
        "all architectures of the space": bool(scale.whole),
        "networks trained alone": bool(scale.alone),
        "another space": any("record" in each.studies for each in scale.beside),
    }
    missing = [name for name, there in wanted.items() if not there]
    return f"Planned, and not run at this scale: {'; '.join(missing)}." if missing else ""


def shape(scale: Scale, config: ScoreConfig) -> dict[str, str]:
    """In which network a run trains one alone: a column of its table."""
    own = config.train.space == scale.space
    return {"shape": OWN_SHAPE if own else "the winner's network"}


def _scored(scale: Scale, name: str, seed: int, **changes) -> ScoreConfig:
    return scale.scoring(replace(parts.training(scale, name, seed), keep=()), **changes)


# --- analysis ---


def halves(known: Ranked) -> tuple[Ranked, Ranked]:
    """The architectures that choose, and those that are reported; one function is in one half.

    Functions in the order of their FLOPs go to either in turn, so that both halves have as many of
    each level, and measures mean the same on both.
    """
    first = np.unique(known.clusters, return_index=True)[1]  # of each function an architecture
    turn = np.empty(len(first), int)
    turn[np.lexsort((first, known.flops[first]))] = np.arange(len(first)) % 2
    report = turn[known.clusters] == 1
    return known.only(~report), known.only(report)


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
    """Tables: contrasts (the winner less its `rivals`), parts, cards.

    parts: the winner less itself without each part, so more than 0 is what a part is worth; none
    of a part that was not run. Holm's correction is over the rows of both: what was not run counts
    too, as if it had shown nothing. So what is shown now, on either side, stays so when it is
    there; what is not shown after correction may be shown then.
    """
    measured = controls.measure(scores, known)
    of = {name: part for part, name in parts.without(winner).items()}
    others = list(dict.fromkeys([*rivals(winner), *of]))
    run = [name for name in others if name not in of or name in set(scores.method)]
    rows = controls.compare(measured, known, [(winner, b) for b in run], list(OUTCOMES))
    rows["fifths"] = not known.equal
    more = (len(others) - len(run)) * len(OUTCOMES)
    rows = outcomes.judged(rows.to_dict("records"), BOUND, wanted=1, planned=more)
    rows["part"] = rows.b.map(of)
    found = {"contrasts": rows[rows.b.isin(rivals(winner))], "parts": rows[rows.part.notna()]}
    own = scores[scores.code.isin(known.codes)]
    return found | {"cards": controls.cards(own, known)[0]}


def everywhere(scores: pd.DataFrame, known: Ranked, looked: Sequence[str]) -> pd.DataFrame:
    """The cards on all architectures but `looked` and their copies, at which others had looked.

    Those that are one supernet function have one score.
    """
    seen = set(contests.functions(known.space, looked))
    same = contests.functions(known.space, known.codes)
    known = known.only(~same.isin(seen).to_numpy())
    same = same[list(known.codes)]
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
    found = []
    if aims:
        functions = int(tables["contrasts"].functions.iloc[0])
        found += _aims(tables["cards"], winner, functions)
    beats = f"At equal images the chosen supernet ({winner}) ranks better than"
    for table, kind, other, statement, less in (
        ("contrasts", "beats", "b", beats, "{0}, less {1}"),
        ("parts", "part", "part", "It ranks worse without", "{0}, with {1} less without"),
    ):
        for row in tables[table].itertuples():
            named, own = controls.outcome(row.measure, row.fifths), getattr(row, other)
            key, said = f"15.{kind}.{slug(own)}.{row.measure}", less.format(named, own)
            found.append(_claim(key, f"{statement} {own}: {named}", row, said))
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


def _aims(cards: pd.DataFrame, winner: str, functions: int) -> list[Claim]:
    """A claim for each aim, by itself: without correction."""
    own, found = cards[cards.method == winner].set_index("measure"), []
    for measure, (aim, said) in AIMS.items():
        if measure not in own.index:
            continue
        row = own.loc[measure]
        intervals = [
            Interval(row[f"{kind}low"], row[f"{kind}high"], over, n, freedom=freedom)
            for kind, over, n, freedom in (
                ("seeds_", "seeds", row.seeds, row.seeds - 1),
                ("archs_", "distinct architectures", functions, np.inf),
                ("", "seeds and these", row.seeds, row.seeds - 1),  # it has these or more
            )
            if pd.notna(row[f"{kind}low"])
        ]
        told = f"{claims.said(row.value, intervals)}; without correction"
        statement = f"The chosen supernet reaches {aim:g} at equal images: {said}"
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
