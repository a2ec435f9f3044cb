"""What do the samplers do to supernet training, and what do they cost?

Methods that train different paths cannot be compared by their training loss, so all architectures
are scored with inherited weights. Cost is told twice: the time of a step on the same paths, and the
FLOPs of the paths that a method comes to prefer.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from padalib import samplers
from padalib.engine.runs import Config
from padalib.probes.cost import CostConfig
from padalib.ranking import metrics
from padalib.samplers import PathSampler, checking
from padalib.spaces import Arch, Space
from padalib.study import claims, contests, figures, outcomes
from padalib.study.claims import Claim, Interval
from padalib.study.ranking import scorings
from padalib.study.scale import Scale
from padalib.study.variance import weighs

FIGURE = "03_supernet_training"
POINTS = 0.5  # differences of mean accuracy within it count as none
NEXT_TO_NOTHING = 1.05  # one step in twenty
STEPS = 10_000  # drawn from samplers that log no p


def configs(scale: Scale) -> list[Config]:
    """The runs of this study but its timings, which must not compete for the machine."""
    return [*scale.trainings(), *scorings(scale), *kept(scale)]


def kept(scale: Scale) -> list[Config]:
    """Scores at the kept epochs and the end, on fewer images; none where only the end is kept."""
    return scorings(scale, final=False) if scale.keep else []


def timings(scale: Scale) -> list[CostConfig]:
    """The cost of a step of every method: give these one worker."""
    seed = scale.seeds[0]
    return [CostConfig(scale.training(method, seed), scale.pairs) for method in scale.methods]


# --- the paths that a method draws ---


def weighted(space: Space) -> list[str]:
    """The options of a space that have weights, as `curves` names them."""
    entries = space.entries()
    owned = {
        entry
        for place, own in enumerate(entries.at)
        for option, entry in enumerate(own)
        if space.weights(place, option)
    }
    return [name for entry, name in enumerate(entries.names) if entry in owned]


def path_flops(space: Space) -> pd.DataFrame:
    """FLOPs of live edges by how often each option is in a path: a row for each difference.

    Columns: `p_<option>` (how often), flops, architectures (so many). Lists the whole space.
    """
    entries, found = space.entries(), Counter()
    for arch in space:
        named = [own[option] for own, option in zip(entries.at, arch, strict=True)]
        counts = np.bincount(named, minlength=len(entries.names)).tolist()
        found[*counts, space.flops(arch)] += 1
    columns = [*(f"p_{name}" for name in entries.names), "flops"]
    return pd.DataFrame(list(found), columns=columns).assign(architectures=list(found.values()))


def sampled(paths: PathSampler) -> Counter[Arch]:
    """Architecture -> how often it is drawn in many steps, each independent of the last."""
    archs, rng = Counter[Arch](), torch.Generator()
    rng.manual_seed(0)
    anew = checking.independent(paths)
    for _ in range(STEPS):
        anew()
        archs.update(paths.draw(rng))
    return archs


def drawn(scale: Scale, methods: Sequence[str]) -> pd.DataFrame:
    """By method: share of options with weights, mean FLOPs, and p of each, over many draws.

    For samplers that log no p and do not learn.
    """
    space, rows = scale.space, {}
    entries = space.entries()
    named = [f"p_{name}" for name in entries.names]
    for method in methods:
        config = scale.training(method, scale.seeds[0])
        archs = sampled(config.method.paths.build(space, config.epochs))
        weighted, flops, held = 0, 0, Counter()
        for arch, times in archs.items():
            weighted += times * sum(space.weights(*at) > 0 for at in enumerate(arch))
            flops += times * space.flops(arch)
            for own, k in zip(entries.at, arch, strict=True):
                held[own[k]] += times
        drawn = archs.total()
        rows[method] = {"exposure": weighted / (drawn * len(arch)), "flops": flops / drawn}
        for table in entries.tables:
            total = sum(held[entry] for entry in table)
            rows[method] |= {named[entry]: held[entry] / total for entry in table}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["exposure", "flops", *named])


def unlogged(curves: pd.DataFrame) -> list[str]:
    """The methods whose curves hold no p."""
    empty = curves.filter(regex="^p_").isna().all(axis=1)
    return list(curves.method[empty].unique())


def exposure(curves: pd.DataFrame, names: Sequence[str], draws: pd.DataFrame) -> pd.Series:
    """By (method, seed): how often an edge carries one of the options `names`, over training."""
    logged = curves[[f"p_{name}" for name in names]].sum(axis=1, min_count=1)
    shown = curves.assign(exposure=logged.fillna(curves.method.map(draws.exposure)))
    return shown.groupby(["method", "seed"], sort=False).exposure.mean()


def sampled_flops(curves: pd.DataFrame, table: pd.DataFrame, draws: pd.DataFrame) -> pd.Series:
    """Mean FLOPs of the paths drawn, of each row of the curves.

    `table` is `path_flops`: the edges of a path are independent draws from the p of its epoch.
    """
    names = [name for name in table if name.startswith("p_")]
    p = curves[names].to_numpy()
    # 0 ** 0 is 1: an option that is never drawn rules out the paths that have it, no others.
    chance = np.prod(p[:, None, :] ** table[names].to_numpy()[None], axis=2)
    flops = pd.Series(chance @ (table.flops * table.architectures).to_numpy(), curves.index)
    return flops.fillna(curves.method.map(draws.flops))


def paid(curves: pd.DataFrame, table: pd.DataFrame, draws: pd.DataFrame) -> pd.DataFrame:
    """FLOPs of the paths drawn, as a multiple of SPOS's of the same seed; a row a method.

    Columns: images, flops and its interval over seeds, last_epoch. As `sampled_flops` has them.
    """
    rows = curves.assign(flops=sampled_flops(curves, table, draws))
    mean = rows.groupby(["method", "seed"], sort=False).flops.mean().unstack(0, sort=False)
    last = rows[rows.epoch == rows.epoch.max()].groupby("method").flops.mean()
    out = []
    for method in mean:
        ratio = metrics.seeds_summary(np.log(mean[method] / mean.SPOS))
        images = curves[curves.method == method].groupby("seed").images.sum().iloc[0]
        ends = np.exp([ratio.mean, ratio.low, ratio.high])
        out.append([method, images, *ends, last[method] / last.SPOS, ratio.n])
    columns = ["method", "images", "flops", "low", "high", "last_epoch", "seeds"]
    return pd.DataFrame(out, columns=columns)


# --- what comes of it ---


def gains(scores: pd.DataFrame, functions: pd.Series) -> pd.DataFrame:
    """Mean accuracy of all architectures at the end, each method's minus SPOS's, in points.

    As `contests.compare` has it; `functions` names the function of each code.
    """
    codes = scores.code.unique()
    predicted = contests.predictions(scores, codes)
    zeros = np.zeros(len(codes))
    means = contests.measure(lambda own, _: own.mean(), predicted, zeros, functions[codes])
    methods = [name for name in scores.method.unique() if name != "SPOS"]
    return contests.compare(means, [(name, "SPOS") for name in methods], POINTS)


def split(curves: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """In the last epoch, of methods with a p: chance of an option with weights, and who chose it.

    `among`: the share of the last of `names` among them, mean and sd over seeds. Where `weighted`
    is the same for PA and its schedule, the gradients chose only `among`.
    """
    last = curves[curves.epoch == curves.epoch.max()].dropna(subset=[f"p_{names[0]}"])
    total = last[[f"p_{name}" for name in names]].sum(axis=1)
    rows = last.assign(weighted=total, among=last[f"p_{names[-1]}"] / total)
    grouped = rows.groupby("method", sort=False)
    return pd.DataFrame(
        {
            "with weights": grouped.weighted.mean(),
            "sd": grouped.weighted.std(),
            f"{names[-1]} among them": grouped.among.mean(),
            "sd over seeds": grouped.among.std(),
        }
    )


def analyse(
    gained: pd.DataFrame, cost: pd.DataFrame, paths: pd.DataFrame, method: str = "PA&DA"
) -> list[Claim]:
    """The claims, from `gains`, the table of timings and `paid`."""
    found = []
    if (row := contests.row(gained, method, "SPOS")) is not None:
        statement = "It generalises better: mean accuracy of all architectures, inherited weights"
        said = f"{method} − SPOS in points: {outcomes.told(row, 2)}"
        look = {"unit": "points", "figure": FIGURE}
        found.append(outcomes.claim("03.generalises", statement, row, said, wanted=1, **look))
    timed = cost.set_index("method").loc[method]
    over = Interval(timed.ratio_low, timed.ratio_high, "timed pairs of blocks", int(timed.pairs))
    found.append(
        claims.of(
            "03.cost",
            "It costs next to nothing: a step on the same paths, at most 5 % longer",
            timed.ratio,
            [over],
            f"A step takes {timed.ratio:.3f} [{over.low:.3f}, {over.high:.3f}] of SPOS's time, "
            f"over {over.n} {over.over}",
            wanted=-1,
            null=NEXT_TO_NOTHING,
            unit="times",
            figure=FIGURE,
        )
    )
    own = paths.set_index("method").loc[method]
    ends = Interval(own.low, own.high, "seeds", int(own.seeds))
    found.append(
        claims.of(
            "03.flops",
            "Equal images are equal compute: the paths it draws cost no more than SPOS's",
            own.flops,
            [ends],
            f"At {int(own.images):,} images each, its paths cost {own.flops:.2f} "
            f"[{own.low:.2f}, {own.high:.2f}] times SPOS's FLOPs, over {ends.n} seeds; "
            f"{own.last_epoch:.2f} times in the last epoch",
            wanted=-1,
            null=1,
            bound=NEXT_TO_NOTHING - 1,
            unit="times",
            figure=FIGURE,
        )
    )
    return found


# --- the figure ---


def draw(
    curves: pd.DataFrame, panel: pd.DataFrame, cost: pd.DataFrame, paths: pd.DataFrame
) -> Figure:
    """Loss, mean accuracy and cost by method; how p and q move. `panel` is `mean_accuracy`."""
    methods = list(curves.method.unique())
    with figures.style():
        figure, axes = figures.subplots(2, 3, figsize=(6.75, 5.0))
        figures.by_epoch(axes[0, 0], curves, "loss", methods)
        axes[0, 0].set(ylabel="cross-entropy", title="training loss, own paths")
        lines = axes[0, 0].get_legend_handles_labels()  # in the panel they would cover lines
        figure.legend(*lines, loc="outside upper center", ncols=5, handlelength=1)
        figures.over_time(axes[0, 1], panel, "accuracy", methods, label=False)
        axes[0, 1].set(ylabel="validation accuracy (%)", title="mean over ranked architectures")
        _costs(axes[0, 2], methods, cost, paths)
        learns = [name for name in ("PA", "curriculum", "size-curriculum") if name in methods]
        for place, method in zip(axes[1], learns[:2], strict=False):
            _probabilities(place, curves[curves.method == method], f"p of each operation, {method}")
        axes[1, 0].legend(handlelength=1, ncols=2)
        _images(axes[1, 2], curves)
    return figure


def mean_accuracy(scores: pd.DataFrame) -> pd.DataFrame:
    """Of every run and epoch: the mean accuracy of all its architectures."""
    keys = ["method", "seed", "epoch"]
    return scores.groupby(keys, sort=False).accuracy.mean().reset_index()


def _costs(axes: Axes, methods: Sequence[str], cost: pd.DataFrame, paths: pd.DataFrame) -> None:
    """Filled: time of a step on the same paths. Hollow: FLOPs of a method's own paths."""
    flops = paths.set_index("method").flops
    for row in cost.itertuples():
        place, shade = methods.index(row.method), figures.colour(row.method)
        axes.plot([place] * 2, [row.ratio_low, row.ratio_high], lw=0.8, color=shade)
        axes.plot(place, row.ratio, "o", color=shade)
        axes.plot(place, flops[row.method], "D", color=shade, mfc="white")
    axes.plot([], [], "o", color="black", label="time, same paths")
    axes.plot([], [], "D", color="black", mfc="white", label="FLOPs, own paths")
    axes.axhline(1, color="grey", lw=0.5, zorder=0)
    axes.set_xticks(range(len(methods)), methods, rotation=35, ha="right")
    axes.set(ylabel="relative to SPOS", title="cost of a path")
    axes.legend(handlelength=1, loc="upper left")
    axes.set_ylim(top=axes.get_ylim()[1] + 0.4 * np.diff(axes.get_ylim())[0])


def _probabilities(axes: Axes, rows: pd.DataFrame, title: str) -> None:
    names = [column.removeprefix("p_") for column in rows.filter(regex="^p_")]
    widths = np.linspace(3.0, 1.0, len(names))  # where lines are one, all are seen
    for (name, (label, shade)), width in zip(
        figures.operations(names).items(), widths, strict=True
    ):
        p = rows.groupby("epoch")[f"p_{name}"].mean()
        axes.plot(p, color=shade, label=label, lw=width)
    axes.set(ylim=(0, 1), xlabel="epoch (passes of images)", ylabel="probability", title=title)


def _images(axes: Axes, curves: pd.DataFrame) -> None:
    for method in [name for name in ("SPOS", "DA", "PA&DA") if (curves.method == name).any()]:
        own = curves[curves.method == method].groupby("epoch")
        shade, width = figures.colour(method), 2.4 if method == "DA" else 1.2
        axes.plot(own.unique_images.mean(), color=shade, label=method, lw=width)
    if "q_effective" in curves and (curves.method == "DA").any():
        q = curves[curves.method == "DA"].groupby("epoch").q_effective.mean()
        axes.plot(q, color=figures.colour("DA"), ls=":", label="DA, effective size")
    axes.set(
        ylim=(0, 1.05),
        xlabel="epoch (passes of images)",
        ylabel="share of the images",
        title="images seen in an epoch",
    )
    axes.legend(handlelength=1.5, labelspacing=0.3)


def caption(scale: Scale, found: Sequence[Claim]) -> str:
    """The finding in words, for the figure, from the claims."""
    by = {claim.key: claim for claim in found}
    said = [f"Scale {scale.name}, PA&DA beside SPOS."]
    if (gain := by.get("03.generalises")) is not None:
        told = claims.said(gain.effect, gain.intervals, 1)
        said.append(f"Mean accuracy of the ranked ones, in points: {told}; {gain.verdict}.")
    time, flops = by["03.cost"].effect, by["03.flops"].effect
    said.append(
        f"A step on the same paths takes {time:.3f} times as long; its own paths cost "
        f"{flops:.2f} times the FLOPs."
    )
    if heavy := [name for name in scale.methods if weighs(samplers.get(name))]:
        said.append(f"The loss of {', '.join(heavy)} is weighted: not comparable with the others'.")
    if "DA" in scale.methods:
        said.append("Effective size: 1 / (N Σq²), 1 where all N images have the same q.")
    marks = (
        "small marks: seeds"
        if scale.keep
        else "rings: seeds; dashes and bars: means and 95 % of them"
    )
    return " ".join([*said, f"Lines: means over seeds. Top middle, {marks}."])
