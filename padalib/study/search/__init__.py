"""Does a method's supernet find better architectures, and what does the search itself lose?

Where all architectures are scored, a search need not score any again: it is simulated on the stored
scores, so one supernet is searched many times. And the supernet's own error, the regret of the
architecture that it scores highest of all, is told apart from what a search with few evaluations
loses on top. Regret: what the true accuracy of the found one lacks to the best within the same
limit, in points. Controls: the largest network; the one with most FLOPs within the same limit; the
mean of random draws; the same search on an untrained supernet.

Dead edges are not built: costs and truth are those of the class's representative.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from padalib import spaces
from padalib.benchmarks import latency, truth
from padalib.engine.machine import cores
from padalib.ranking import metrics, search
from padalib.ranking.counted import Counted
from padalib.ranking.scores import ScoreConfig
from padalib.spaces import Arch, Space
from padalib.study.effects import Doubt
from padalib.study.scale import Scale, Searches
from padalib.study.workbook import Workbook
from padalib.train import TrainConfig

METHODS = ("SPOS", "PA", "PA&DA", "curriculum")  # whose supernets are searched, where they are
UNTRAINED = "untrained"  # SPOS's initial weights; those of all methods with the same seed
MAIN = "elitist"  # the search that limits and claims are about: SPOS's own
NAMES = {
    "random": "random draws",
    "elitist": "SPOS's evolution",
    "aging": "aging evolution",
    "halving": "successive halving",
}
FREE, LARGEST, DRAWN = "none", "largest network", "mean of random draws"
BENCHMARK = spaces.get("nasbench201")  # whose latencies are known
KNOWN = ("accuracy", "noise", "trainings", "members")  # of a function; the rest are its costs
SHARE = 0.5  # of the architectures that a limit allows
POINTS = 24  # of a curve, at most
MANY = 1000  # functions from which searches are spread over processes
# (method, seed) -> accuracies, a row a function, a column a number of images, most last.
Predicted = Mapping[tuple[str, int], pd.DataFrame]


def configs(scale: Scale) -> list[ScoreConfig]:
    """Scores of all architectures by each searched method, and by untrained supernets.

    On all images, and for `halving` on those of its first rungs.
    """
    found = []
    for seed in scale.seeds:
        runs = [(scale.training(m, seed), None) for m in METHODS if m in scale.methods]
        for config, epoch in (*runs, (untrained(scale, seed), 0)):
            for images in (*scale.searches.rungs, scale.rank_images):
                found.append(scale.scoring(config, archs=None, images=images, epoch=epoch))
    return found


def untrained(scale: Scale, seed: int) -> TrainConfig:
    """A run whose start is looked at: SPOS's where that is kept, else one of a single epoch."""
    plain = scale.training("SPOS", seed)
    return plain if 0 in plain.keep else replace(plain, epochs=1, keep=(0,))


# --- what is searched ---


@dataclass(frozen=True, eq=False)
class Known:
    """A space's functions: true accuracy and costs by code, and within which limits they are.

    `table` is indexed by the code of each class's representative; columns accuracy (%), noise (sd
    between trainings, NaN if unknown), trainings (that accuracies are the mean of), members
    (architectures of the class) and the costs.
    """

    space: Space
    table: pd.DataFrame

    @cached_property
    def functions(self) -> dict[Arch, str]:
        """Architecture -> code of its class's representative, of all."""
        classes = self.space.classes().items()
        return {arch: self.space.code(first) for first, members in classes for arch in members}

    @cached_property
    def limits(self) -> dict[str, float]:
        """Cost -> its limit, which `SHARE` of the functions keep; none at all first."""
        costs = [name for name in self.table if name not in KNOWN]
        return {FREE: np.inf} | {name: self.table[name].quantile(SHARE) for name in costs}

    def within(self, limit: str) -> pd.DataFrame:
        """The functions that a limit allows; what was not measured it does not."""
        return self.table if limit == FREE else self.table[self.table[limit] <= self.limits[limit]]

    def choice(self, limit: str, by: str) -> pd.Series:
        """Share by code of the allowed function with most of `by`; of equals alike."""
        own = self.within(limit)[by]
        return alike(own.index[own == own.max()])

    def worth(self, shares: pd.Series) -> float:
        """Mean true accuracy of a choice: shares by code."""
        return float(shares @ self.table.accuracy[shares.index])

    def doubt(self, shares: pd.Series) -> Doubt:
        """Of a difference of choices (shares that add up to 0), for the truth's own noise.

        The variance between trainings is the mean of the eleven functions that are nearest in
        accuracy: that of a single one rests on two or three trainings. UNKNOWN without any.
        """
        own = self.table.sort_values("accuracy", kind="stable")
        variance = own.noise.pow(2).rolling(11, center=True, min_periods=1).mean() / own.trainings
        squares = shares.pow(2) * variance[shares.index]
        return Doubt(float(np.sqrt(squares.sum(skipna=False))))


def alike(codes: Iterable[str]) -> pd.Series:
    """Equal shares."""
    codes = list(codes)
    return pd.Series(1 / len(codes), index=codes)


def known(book: Workbook) -> Known:
    """The functions of a workbook's space, computed or as published; saves them as `functions`.

    With the latencies of HW-NAS-Bench where they are of its network, NAS-Bench-201's
    on 32x32 images, as in the truth; and are in the data root.
    """
    space = book.scale.space
    if book.redraw:
        return Known(space, book.published("functions").set_index("code"))
    classes = space.classes()
    own = truth.load(space, dataset=book.scale.truth)
    truth.check_dataset(own, book.scale.data)
    codes = pd.Index([space.code(arch) for arch in classes], name="code")
    accuracy = own.accuracy(own.main_split)[codes].to_numpy()
    table = pd.DataFrame({"accuracy": accuracy, "noise": np.nan, "trainings": np.nan}, index=codes)
    if own.seeds:
        table["noise"] = own.per_seed("test").std(axis=1, ddof=1)
        table["trainings"] = own.per_seed("test").notna().sum(axis=1)
    table["members"] = [len(members) for members in classes.values()]
    table["FLOPs"] = [space.flops(arch) for arch in classes]
    table["parameters"] = [space.params(arch) for arch in classes]
    if space.benchmark == BENCHMARK.name and book.scale.truth == "cifar10":
        try:
            devices = latency.load()
        except FileNotFoundError:
            print("No latencies in the data root: limits are on FLOPs and parameters only.")
        else:  # its codes number the operations of the whole space
            whole = [BENCHMARK.code(BENCHMARK.encode(space.decode(arch))) for arch in classes]
            devices = devices.filter(like="_latency").loc[whole]
            table[list(devices)] = devices.to_numpy()
    return Known(space, book.save("functions", table.reset_index()).set_index("code"))


def read(book: Workbook, own: Known) -> Predicted:
    """What the supernets of `configs` score everything; saves their right answers."""
    made = configs(book.scale)
    return predictions(*book.side_by_side("search_scores", made, "scores", "code", right), own)


def right(scores: pd.DataFrame) -> pd.Series:
    """How many images each architecture has right: shorter to write than its accuracy."""
    return (scores.accuracy * scores.images / 100).round().astype(int)


def predictions(runs: pd.DataFrame, rights: pd.DataFrame, own: Known) -> Predicted:
    """Accuracies of each supernet from right answers, see `Workbook.side_by_side`.

    The untrained ones have their own name. ValueError where a function has no score.
    """
    lacking = own.table.index.difference(rights.index)
    if len(lacking):
        raise ValueError(f"the scores lack architecture {lacking[0]}: compute them again")
    rights = rights.loc[own.table.index]
    runs = runs.assign(method=runs.method.where(runs.epoch > 0, UNTRAINED))
    found = {}
    for key, rows in runs.groupby(["method", "seed"], sort=False):
        counts = dict(sorted(zip(rows.images, rows.run, strict=True)))
        found[key] = pd.DataFrame({n: 100 * rights[run] / n for n, run in counts.items()})
    return found


# --- searches ---


def searches(budget: int, rungs: int) -> dict[str, Callable[..., pd.DataFrame]]:
    """The searches by name; their populations are the published ones at 1,000 evaluations.

    Smaller budgets scale them. `halving` where there are scores on fewer images, on `rungs`.
    """
    elitist = search.scaled(budget)
    aging = {"population": 2 * elitist["population"], "sample": elitist["mutations"]}
    found = {"random": search.random, "elitist": partial(search.elitist, **elitist)}
    found["aging"] = partial(search.aging, **aging)
    if rungs > 1:
        found["halving"] = partial(search.halving, eta=3, rungs=rungs)
    return found


def stored(wide: pd.DataFrame, own: Known) -> Callable[[Arch, float], float]:
    """Stored scores, as a search asks for them.

    ValueError for a share of the images that is not among them.
    """
    counts = list(wide.columns)
    by_count = {count: wide[count].to_dict() for count in counts}

    def score(arch: Arch, share: float) -> float:
        count = min(counts, key=lambda count: abs(count - share * counts[-1]))
        if abs(count - share * counts[-1]) > 1:
            raise ValueError(
                f"there are scores on {', '.join(map(str, counts))} images, none on {share:.3g} of "
                f"{counts[-1]}: give the scale these `rungs`"
            )
        return by_count[count][own.functions[arch]]

    return score


def simulated(book: Workbook, predicted: Predicted, own: Known) -> dict[str, pd.DataFrame]:
    """The tables search_curves and search_found of `simulate`.

    As published when redrawing: with thousands of functions they take minutes.
    """
    names = ("search_curves", "search_found")
    if book.redraw:
        return {name: book.save(name, book.published(name)) for name in names}
    made = simulate(predicted, own, book.scale.searches)
    return {name: book.save(name, rows) for name, rows in zip(names, made, strict=True)}


def simulate(predicted: Predicted, own: Known, size: Searches) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Every search on every supernet, `size.times` times; under limits the `MAIN` one.

    Curves: a row for each method, seed, search, limit and number of evaluations, with the regret
    (mean over times). And how often each function was found at the end: method, search, limit,
    code, share. On all cores where there are thousands of functions.
    """
    asked = [
        (limit, key, wide, name)
        for limit in own.limits
        for key, wide in predicted.items()
        for name in (searches(size.evaluations, len(wide.columns)) if limit == FREE else (MAIN,))
    ]
    own.functions  # noqa: B018 (once, not in each process)
    jobs = cores() if len(own.table) > MANY else 1
    made = Parallel(jobs)(delayed(_repeated)(own, size, *each) for each in asked)
    return tuple(pd.concat(tables, ignore_index=True) for tables in zip(*made, strict=True))


def _repeated(
    own: Known, size: Searches, limit: str, key: tuple[str, int], wide: pd.DataFrame, name: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One search on one supernet, `size.times` times: its part of both tables of `simulate`."""
    grid = np.unique(np.geomspace(1, size.evaluations, POINTS).round().astype(int))
    allowed, score = own.within(limit), stored(wide, own)
    inside, regret = set(allowed.index), allowed.accuracy.max() - own.table.accuracy
    limits = None if limit == FREE else lambda arch: own.functions[arch] in inside
    run = searches(size.evaluations, len(wide.columns))[name]
    found = [  # [times][grid]
        _course(run(Counted(own.space, score, size.evaluations, limits), seed=start), grid, own)
        for start in range(size.times)
    ]
    named = {"method": key[0], "seed": key[1], "search": name, "limit": limit}
    values = regret[np.ravel(found)].to_numpy().reshape(len(found), -1)
    means = values.mean(axis=0).round(9)  # so that equal runs are equal
    last = pd.Series([codes[-1] for codes in found]).value_counts(sort=False)
    ends = {"code": last.index, "share": last.to_numpy() / size.times}
    return (
        pd.DataFrame({**named, "evaluations": grid, "regret": means}),
        pd.DataFrame({**named, **ends}),
    )


def _course(table: pd.DataFrame, grid: np.ndarray, own: Known) -> list[str]:
    """What a search had found by each number of evaluations, as representatives' codes."""
    at = np.searchsorted(table.cost, grid + 1e-9, side="right") - 1
    return [own.functions[own.space.parse(code)] for code in table.found.to_numpy()[at]]


def supernets(predicted: Predicted, own: Known) -> pd.DataFrame:
    """Regret of what each supernet scores highest of all: a row a method, seed and limit.

    Where several share the highest score, the mean of picking among them.
    """
    rows = []
    for limit in own.limits:
        allowed = own.within(limit)
        for (method, seed), wide in predicted.items():
            scores = wide.loc[allowed.index].iloc[:, -1]
            rows.append([method, seed, limit, metrics.regret(scores, allowed.accuracy, 1)])
    return pd.DataFrame(rows, columns=["method", "seed", "limit", "regret"]).round(9)


def controls(own: Known) -> pd.DataFrame:
    """Regret of what needs no supernet: columns limit, control, regret.

    The largest by the cost that is limited (by parameters where none is), by FLOPs, and the mean of
    uniform draws of architectures.
    """
    rows = []
    for limit in own.limits:
        allowed = own.within(limit)
        best, named = allowed.accuracy.max(), "parameters" if limit == FREE else limit
        mean = np.average(allowed.accuracy, weights=allowed.members)
        for control, accuracy in (
            (LARGEST, own.worth(own.choice(limit, named))),
            ("most FLOPs", own.worth(own.choice(limit, "FLOPs"))),
            (DRAWN, float(mean)),
        ):
            rows.append([limit, control, best - accuracy])
    return pd.DataFrame(rows, columns=["limit", "control", "regret"])


def fronts(predicted: Predicted, own: Known) -> pd.DataFrame:
    """What a supernet's favourite within each limit is truly worth, as the limit rises.

    Columns: cost (its name), most, method ('truth': the best there is; `LARGEST`: the one that
    costs most), accuracy (mean over seeds).
    """
    rows = []
    for cost in [name for name in own.limits if name != FREE]:
        steps = np.linspace(0.05, 1, 20)
        for most in dict.fromkeys(own.table[cost].quantile(steps, interpolation="lower")):
            allowed = own.table[own.table[cost] <= most]
            best = allowed.accuracy.max()
            largest = allowed.accuracy[allowed[cost] == allowed[cost].max()].mean()
            rows += [[cost, most, "truth", best], [cost, most, LARGEST, largest]]
            means: dict[str, list[float]] = {}
            for (method, _), wide in predicted.items():
                scores = wide.loc[allowed.index].iloc[:, -1]
                lost = metrics.regret(scores, allowed.accuracy, 1) if len(allowed) > 1 else 0.0
                means.setdefault(method, []).append(best - lost)
            rows += [[cost, most, method, np.mean(each)] for method, each in means.items()]
    return pd.DataFrame(rows, columns=["cost", "most", "method", "accuracy"])
