"""Searches over scores: which architectures to look at when not all of them can be.

`random`; `aging`, regularised evolution (Real et al., AAAI 2019, algorithm 1); `elitist`, the
evolution of SPOS (Guo et al., ECCV 2020, algorithm 1); `halving`, successive halving (Karnin et
al., ICML 2013) on growing subsets of images; `nsga`, NSGA-II for a high score at a low cost, by
Optuna. Each asks a `Counted` score, so that a budget means the same for all, and returns its table.

    from padalib.ranking.counted import Counted, Limits

    counted = Counted(space, score, budget=100, allowed=Limits(space, {"flops": 2e6}))
    table = search.aging(counted, seed=0)

`seed` is a number, or (but for `nsga`, whose numbers are Optuna's) a generator of the caller's.
"""

import contextlib
from collections.abc import Callable

import pandas as pd
import torch

from padalib.engine import checked
from padalib.ranking.counted import PATIENCE, TRIES, Counted, Over
from padalib.spaces import Arch

Seed = int | torch.Generator


def random(counted: Counted, seed: Seed = 0) -> pd.DataFrame:
    """Uniform draws, each function once."""

    def steps(rng: torch.Generator) -> None:
        while True:
            counted(counted.draw_new(rng))

    return _run(counted, steps, seed)


def aging(
    counted: Counted, seed: Seed = 0, population: int = 100, sample: int | None = None
) -> pd.DataFrame:
    """Regularised evolution (Real et al., AAAI 2019, algorithm 1), with their population.

    The best of `sample` members (None: a quarter, as theirs), drawn with replacement, has a child
    that differs in one position; it joins, and the oldest leaves. A child that is known already
    joins for free. ValueError for a `sample` above the `population`, or either below one.
    """
    checked.whole("population", population, 1, TRIES)
    sample = max(1, population // 4) if sample is None else sample
    checked.whole("sample", sample, 1, population)

    def steps(rng: torch.Generator) -> None:
        members: list[tuple[Arch, float]] = []  # oldest first
        while True:
            if len(members) < population:
                child = counted.draw(rng)
            else:
                drawn = [members[_pick(rng, population)] for _ in range(sample)]
                child = _child(counted, rng, max(drawn, key=lambda member: member[1])[0])
            members = [*members, (child, counted(child))][-population:]

    return _run(counted, steps, seed)


def elitist(
    counted: Counted,
    seed: Seed = 0,
    population: int = 50,
    generations: int = 20,
    parents: int = 10,
    mutations: int = 25,
    crossovers: int = 25,
    chance: float = 0.1,
) -> pd.DataFrame:
    """SPOS's evolution, with the settings of its released search: 1,000 evaluations.

    In each generation the best `parents` of all so far have children: `mutations`, where each
    position has a `chance` to become a uniform option, and uniform `crossovers` of two. What is
    known or not allowed is drawn anew, up to ten times as often as children are wanted; what then
    lacks of the `population` is drawn at random, as is the whole first generation. ValueError for
    more children than the population has places, and other impossible numbers.
    """
    wanted = {"population": population, "generations": generations, "parents": parents}
    for name, value in wanted.items():
        checked.whole(name, value, 1, TRIES)
    checked.whole("mutations", mutations, 0, population)
    checked.whole("crossovers", crossovers, 0, population - mutations)
    if not 0 <= chance <= 1:
        raise ValueError(f"chance must be in [0, 1], got {chance}: it is of each position")

    def mutated(rng: torch.Generator, top: list[Arch]) -> Arch:
        arch = top[_pick(rng, len(top))]
        return tuple(
            _pick(rng, len(position.options)) if _happens(rng, chance) else option
            for option, position in zip(arch, counted.space.positions, strict=True)
        )

    def crossed(rng: torch.Generator, top: list[Arch]) -> Arch:
        pair = top[_pick(rng, len(top))], top[_pick(rng, len(top))]
        return tuple(options[_pick(rng, 2)] for options in zip(*pair, strict=True))

    def breed(make: Callable, most: int, rng: torch.Generator, top: list[Arch]) -> int:
        made = 0
        for _ in range(10 * most):
            if made == most:
                break
            child = make(rng, top)
            if counted.fits(child) and counted.new(child):
                counted(child)
                made += 1
        return made

    def steps(rng: torch.Generator) -> None:
        for generation in range(generations):
            left, top = population, counted.best(parents)
            if generation:
                left -= breed(mutated, mutations, rng, top)
                left -= breed(crossed, crossovers, rng, top)
            for _ in range(left):
                counted(counted.draw_new(rng))

    return _run(counted, steps, seed)


def scaled(evaluations: int) -> dict[str, int]:
    """Settings of `elitist` for that many evaluations: in proportion to SPOS's for 1,000."""
    n = max(4, evaluations // 20)
    own = {"population": n, "generations": -(-evaluations // n), "parents": max(2, n // 5)}
    return own | {"mutations": n // 2, "crossovers": n // 2}


def halving(counted: Counted, seed: Seed = 0, eta: int = 3, rungs: int = 3) -> pd.DataFrame:
    """Successive halving (Karnin et al., ICML 2013): the budget in equal parts over `rungs`.

    The first rung scores many random architectures on few images; each further one the best
    1 / `eta` of them on `eta` times as many, the last on all. ValueError for a budget too small to
    score one architecture in the last rung.
    """
    checked.whole("eta", eta, 2, TRIES)
    checked.whole("rungs", rungs, 1, 20)
    last = eta ** (rungs - 1)
    size = int(counted.budget * last / rungs + 1e-9)
    if size < last:
        raise ValueError(
            f"{rungs} rungs need a budget of at least {rungs} scores on all images, got "
            f"{counted.budget:g}: take fewer rungs, or a larger budget"
        )

    def steps(rng: torch.Generator) -> None:
        drawn: dict[Arch, Arch] = {}  # by function
        known = 0  # of the draws, one after another
        with contextlib.suppress(Over):  # where no more are found, these are halved
            while len(drawn) < size and known < PATIENCE:
                arch = counted.draw(rng)
                before = len(drawn)
                drawn.setdefault(counted.space.canonical(arch), arch)
                known = 0 if len(drawn) > before else known + 1
        kept = list(drawn.values())
        for rung in range(rungs):
            scores = [counted(arch, eta**rung / last) for arch in kept]
            order = sorted(range(len(kept)), key=lambda k, scores=scores: -scores[k])
            kept = [kept[k] for k in order[: max(1, len(kept) // eta)]]

    return _run(counted, steps, seed)


def nsga(
    counted: Counted, cost: Callable[[Arch], float], seed: int = 0, population: int = 50
) -> pd.DataFrame:
    """NSGA-II (Deb et al., 2002): high scores at a low `cost`, by Optuna's ask and tell.

    What is not allowed is told to have failed; where nearly nothing is, the first generation is
    drawn at random from what is. ImportError, with what to install, without Optuna.
    """
    try:
        import optuna
    except ImportError:
        raise ImportError(
            "NSGA-II is Optuna's, which is not installed: `pip install optuna`"
        ) from None
    checked.whole("population", population, 2, TRIES)

    def steps(rng: torch.Generator) -> None:
        sampler = optuna.samplers.NSGAIISampler(population_size=population, seed=seed)
        study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
        members = refused = 0
        filled = False  # whether the first generation had to be drawn within the limits
        while True:
            if refused >= PATIENCE:
                if filled or members >= population:
                    raise Over
                filled, refused = True, 0
                with contextlib.suppress(Over):
                    for _ in range(population - members):
                        study.enqueue_trial(dict(zip(names, counted.draw(rng), strict=True)))
            trial, spent = study.ask(), counted.cost
            arch = tuple(
                trial.suggest_categorical(name, range(len(position.options)))
                for name, position in zip(names, counted.space.positions, strict=True)
            )
            if fits := counted.fits(arch):
                study.tell(trial, (counted(arch), float(cost(arch))))
                members += 1
            else:
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
            good = counted.cost > spent if filled else fits  # of few, most are known soon
            refused = 0 if good else refused + 1

    names = [str(k) for k in range(len(counted.space.positions))]
    loud = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return _run(counted, steps, seed)
    finally:
        optuna.logging.set_verbosity(loud)


def stream(seed: int) -> torch.Generator:
    """The draws of a search with that seed; ValueError where it is none."""
    return torch.Generator().manual_seed(checked.whole("seed", seed, 0, 2**63 - 1))


def front(scores: pd.Series, costs: pd.Series) -> list[str]:
    """The codes that no other beats in both, cheapest first: a higher score at no higher cost."""
    known = pd.DataFrame({"score": scores, "cost": costs}, dtype=float).dropna()
    known = known.sort_values(["cost", "score"], ascending=[True, False], kind="stable")
    above = known.score > known.score.cummax().shift(fill_value=float("-inf"))
    return known.index[above].tolist()


# --- parts ---


def _run(counted: Counted, steps: Callable[[torch.Generator], None], seed: Seed) -> pd.DataFrame:
    if counted.searched:
        raise ValueError(
            f"this Counted has {len(counted.table)} evaluations already: make a new one, with its "
            "table as known= to go on with a search that was cut"
        )
    rng = seed if isinstance(seed, torch.Generator) else stream(seed)
    with contextlib.suppress(Over):
        steps(rng)
    return counted.table


def _child(counted: Counted, rng: torch.Generator, arch: Arch) -> Arch:
    """`arch` with another option in one position, within the limits; else any that is."""
    sizes = [len(position.options) for position in counted.space.positions]
    free = [place for place, size in enumerate(sizes) if size > 1]
    for _ in range(PATIENCE if free else 0):
        place = free[_pick(rng, len(free))]
        option = _pick(rng, sizes[place] - 1)
        child = (*arch[:place], option + (option >= arch[place]), *arch[place + 1 :])
        if counted.fits(child):
            return child
    return counted.draw(rng)


def _pick(rng: torch.Generator, n: int) -> int:
    return int(torch.randint(n, (), generator=rng))


def _happens(rng: torch.Generator, chance: float) -> bool:
    return float(torch.rand((), generator=rng)) < chance
