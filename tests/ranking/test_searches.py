"""Searches: each finds the best where the truth is its score, and counts what it asks for."""

import functools
import itertools
import sys
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import pytest
import torch

from padalib import data, spaces
from padalib.benchmarks import truth
from padalib.engine import paths
from padalib.ranking import counted as counting
from padalib.ranking import scores as scoring
from padalib.ranking import search
from padalib.ranking.counted import COLUMNS, Counted, Limits, scorer
from padalib.spaces import Position, Space
from padalib.spaces.base import LISTED

MINI, CHAIN = spaces.get("mini"), spaces.get("chain-mini")
NASBENCH = paths.data_root() / "nasbench201.csv"  # before a test gets a root of its own


@dataclass(frozen=True)
class Uneven(Space):
    """Three positions of 3, 1 and 4 options; nothing is built."""

    name: str = "uneven"
    size: int = 8
    in_channels: int = 1
    classes_out: int = 2

    @cached_property
    def positions(self):
        return tuple(
            Position(f"{k}", tuple("abcd"[:n]), table=f"{k}") for k, n in enumerate((3, 1, 4))
        )

    def flops(self, arch):
        return 1 + sum(self.validate(arch))

    def params(self, arch):
        return 10 + arch[2]


UNEVEN = Uneven()


@dataclass(frozen=True)
class Long(Space):
    """Positions of two options each; of 20 there are too many architectures to list."""

    name: str = "long"
    size: int = 8
    in_channels: int = 1
    classes_out: int = 2
    length: int = 20

    @cached_property
    def positions(self):
        return tuple(Position(f"{k}", ("a", "b")) for k in range(self.length))

    def flops(self, arch):
        return 1 + sum(arch)


SMALL = {
    "random": search.random,
    "aging": functools.partial(search.aging, population=4, sample=2),
    "elitist": functools.partial(
        search.elitist, population=4, generations=50, parents=2, mutations=2, crossovers=2
    ),
    "halving": functools.partial(search.halving, eta=2, rungs=2),
}


def value(arch, share=1.0):
    """The best of UNEVEN is (2, 0, 3)."""
    return arch[0] + 10 * arch[2]


def true_score(space):
    """The project's own truth as the score, by canonical architecture."""
    accuracy = truth.load(space).accuracy("valid")
    return lambda arch, share: accuracy[space.code(space.canonical(arch))], accuracy


# --- each finds the best ---


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("name", "budget", "method"),
    [
        ("mini", 85, search.random),
        ("mini", 60, functools.partial(search.aging, population=10, sample=3)),
        ("mini", 80, functools.partial(search.elitist, population=10, mutations=5, crossovers=5)),
        ("mini", 30, search.halving),  # whose first rung is all 85
        ("chain-mini", 243, search.random),
        ("chain-mini", 120, functools.partial(search.aging, population=20, sample=5)),
        (
            "chain-mini",
            120,
            functools.partial(search.elitist, population=20, mutations=10, crossovers=10),
        ),
        ("chain-mini", 81, search.halving),
    ],
)
def test_with_the_truth_as_score_each_finds_the_best(name, budget, method, seed):
    space = spaces.get(name)
    score, accuracy = true_score(space)
    table = method(Counted(space, score, budget), seed)
    assert accuracy[table.found.iloc[-1]] == table.best_so_far.iloc[-1] == accuracy.max()
    assert table.cost.iloc[-1] <= budget + 1e-9


@pytest.mark.parametrize(("method", "budget"), [(search.aging, 500), (search.elitist, 1000)])
def test_evolution_finds_the_best_of_nas_bench_201(method, budget):
    if not NASBENCH.exists():
        pytest.skip(f"{NASBENCH} is not there: see data/README.md")
    accuracy = truth.load("nasbench201", NASBENCH, "cifar10").accuracy("valid")
    space = spaces.get("nasbench201")
    score = lambda arch, share: accuracy[space.code(space.canonical(arch))]  # noqa: E731
    classes = [space.code(arch) for arch in space.classes()]
    table = method(Counted(space, score, budget), seed=0)
    assert table.best_so_far.iloc[-1] == accuracy[classes].max()
    assert len(table) <= budget and table.cost.iloc[-1] == len(table)


# --- counting ---


@pytest.mark.parametrize("name", SMALL)
def test_equal_counted_evaluations(name):
    table = SMALL[name](Counted(CHAIN, true_score(CHAIN)[0], 24), seed=3)
    assert tuple(table) == COLUMNS
    assert table.evaluation.tolist() == list(range(1, len(table) + 1))
    assert table.cost.iloc[-1] == pytest.approx(24) == table.share.sum()
    assert np.allclose(table.cost, table.share.cumsum())
    full = table[table.share == 1]
    assert full.code.is_unique and (name == "halving") == (len(full) < len(table))


@pytest.mark.parametrize("name", ["random", "aging", "elitist"])
def test_the_same_function_is_scored_once_and_repeats_are_counted_apart(name):
    asked = []

    def score(arch, share):
        asked.append(arch)
        return float(len(MINI.plan(arch)))

    table = SMALL[name](Counted(MINI, score, 500), seed=0)
    functions = [MINI.canonical(arch) for arch in asked]
    assert len(set(functions)) == len(functions) == len(table) <= 85
    assert table.repeats.is_monotonic_increasing and table.repeats.iloc[-1] > 0
    assert name != "random" or len(table) == 85  # all there are, and then it stops


def test_best_so_far_is_the_best_on_most_images_and_of_equals_the_first():
    own = Counted(UNEVEN, lambda arch, share: arch[0] if share < 1 else arch[2], 10)
    for arch, share in (((2, 0, 0), 0.5), ((1, 0, 3), 0.5), ((1, 0, 3), 1.0), ((0, 0, 3), 1.0)):
        own(arch, share)
    own((0, 0, 1), 0.5)
    rows = own.table
    assert rows.found.tolist() == ["2-0-0", "2-0-0", "1-0-3", "1-0-3", "1-0-3"]
    assert rows.best_so_far.tolist() == [2, 2, 3, 3, 3]
    assert rows.cost.tolist() == [0.5, 1, 2, 3, 3.5]
    assert own.best(1) == [(1, 0, 3)] and own.best(9) == [(1, 0, 3), (0, 0, 3)]


def test_halving_by_hand():
    """8 in the first rung of a budget of 6: 8/4 + 4/2 + 2 scores on all images."""
    asked = []

    def score(arch, share):
        asked.append((arch, share))
        return value(arch)

    table = search.halving(Counted(UNEVEN, score, 6), seed=0, eta=2, rungs=3)
    assert table.share.tolist() == [0.25] * 8 + [0.5] * 4 + [1.0] * 2
    rungs = [[arch for arch, share in asked if share == own] for own in (0.25, 0.5, 1.0)]
    for before, after in itertools.pairwise(rungs):
        assert after == sorted(before, key=lambda arch: -value(arch))[: len(after)]
    assert table.found.iloc[-1] == UNEVEN.code(rungs[2][0])


def scripted(monkeypatch, numbers):
    """The draws of a search, in order; those that are left at the end."""
    left = list(numbers)

    def pick(rng, n):
        number = left.pop(0)
        assert 0 <= number < n
        return number

    monkeypatch.setattr(search, "_pick", pick)
    return left


def test_aging_by_hand(monkeypatch):
    """Two members, two drawn: the younger child lives on, though the older was better."""
    first = iter([(0, 0, 2), (1, 0, 0)])  # worth 20 and 1
    monkeypatch.setattr(Counted, "draw", lambda self, rng: next(first))
    left = scripted(
        monkeypatch,
        [
            *(0, 1, 1, 0),  # both drawn: the parent is (0, 0, 2); second free place, option 0
            *(0, 1, 0, 1),  # of (1, 0, 0) and (0, 0, 0): the first; first place, 1 skips over 1
            *(0, 0, 1, 2),  # of (0, 0, 0) and (2, 0, 0): the first; second place, 2 becomes 3
            *(1, 1, 0, 0),  # of (2, 0, 0) and (0, 0, 3): the second; first place, 0 becomes 1
            *(0, 0, 0, 0),  # the same once more: it is known, and joins for free
            *(1, 0, 0, 1),  # of (1, 0, 3) twice: it becomes 2, which the budget lacks
        ],
    )
    own = Counted(UNEVEN, value, 6)
    table = search.aging(own, population=2, sample=2)
    assert table.code.tolist() == ["0-0-2", "1-0-0", "0-0-0", "2-0-0", "0-0-3", "1-0-3"]
    assert own.repeats == 1 and not left


def test_agings_sample_is_a_quarter_of_the_population():
    """Theirs is 25 of 100; a few members have one at least."""
    for population, sample in ((100, 25), (10, 2), (2, 1)):
        tables = [
            search.aging(Counted(UNEVEN, value, 40), population=population, **own)
            for own in ({}, {"sample": sample})
        ]
        pd.testing.assert_frame_equal(*tables)


def test_evolutions_children_by_hand(monkeypatch):
    """One mutation and one crossover of the two best, and a random one."""
    first = iter([(0, 0, 2), (1, 0, 0), (2, 0, 0), (1, 0, 3)])
    monkeypatch.setattr(Counted, "draw", lambda self, rng: next(first))
    happens = iter([True, False, True, False, False, True])
    monkeypatch.setattr(search, "_happens", lambda rng, chance: next(happens))
    left = scripted(
        monkeypatch,
        [
            *(0, 0, 2),  # (0, 0, 2) mutates to what it was, so it is known
            *(1, 1),  # the second best, (2, 0, 0), to (2, 0, 1)
            *(0, 1, 1, 0, 1),  # the best crossed with the second best: (2, 0, 0) is known
            *(0, 1, 0, 0, 1),  # and again: (0, 0, 0)
        ],
    )
    own = Counted(UNEVEN, value, 99)
    few = {"population": 3, "generations": 2, "parents": 2, "mutations": 1, "crossovers": 1}
    table = search.elitist(own, **few)
    assert table.code.tolist() == ["0-0-2", "1-0-0", "2-0-0", "2-0-1", "0-0-0", "1-0-3"]
    assert table.repeats.tolist() == [0, 0, 0, 1, 2, 2] and not left


def test_the_published_settings_make_a_thousand_evaluations():
    space = spaces.get("nasbench201")
    table = search.elitist(Counted(space, lambda arch, share: sum(arch), 5000), seed=0)
    assert len(table) == 1000
    few = functools.partial(search.elitist, generations=1)(
        Counted(space, lambda arch, share: 0.0, 5000), seed=0
    )
    assert table.code[:50].tolist() == few.code.tolist()  # the first generation is random


# --- deterministic, resumable ---


@pytest.mark.parametrize("name", SMALL)
def test_cut_and_resumed_is_unbroken(name):
    score, _ = true_score(CHAIN)
    whole = SMALL[name](Counted(CHAIN, score, 20), seed=5)
    calls = []

    def cut(arch, share):
        calls.append(arch)
        if len(calls) == 12:
            raise KeyboardInterrupt
        return score(arch, share)

    broken = Counted(CHAIN, cut, 20)
    with pytest.raises(KeyboardInterrupt):
        SMALL[name](broken, seed=5)
    assert len(broken.table) == 11
    resumed = SMALL[name](Counted(CHAIN, cut, 20, known=broken.table), seed=5)
    pd.testing.assert_frame_equal(resumed, whole)
    assert len(calls) - 1 == len(whole)  # nothing was scored twice, but for the one that was cut
    other = SMALL[name](Counted(CHAIN, score, 20), seed=6)
    assert other.code.tolist() != whole.code.tolist()
    rng = torch.Generator().manual_seed(5)
    pd.testing.assert_frame_equal(SMALL[name](Counted(CHAIN, score, 20), rng), whole)


def test_a_table_of_another_search_is_refused():
    score, _ = true_score(CHAIN)
    known = search.random(Counted(CHAIN, score, 9), seed=1)
    with pytest.raises(ValueError, match="known is the table of another search: its evaluation 1 "):
        search.random(Counted(CHAIN, score, 9, known=known), seed=2)
    with pytest.raises(ValueError, match="no table of a search, it lacks evaluation, share, found"):
        Counted(CHAIN, score, 9, known=known[["cost", "code", "score", "best_so_far", "repeats"]])
    own = Counted(CHAIN, score, 9)
    search.random(own)
    with pytest.raises(ValueError, match="this Counted has 9 evaluations already: make a new one"):
        search.random(own)


# --- limits ---


@pytest.mark.parametrize("name", SMALL)
def test_nothing_over_the_limits_is_asked_for(name):
    limits = Limits(UNEVEN, {"flops": 4, "params": 12})
    table = SMALL[name](Counted(UNEVEN, value, 4, limits), seed=0)
    archs = [UNEVEN.parse(code) for code in table.code]
    assert all(UNEVEN.flops(arch) <= 4 and arch[2] <= 2 for arch in archs)
    assert limits.costs((2, 0, 3)) == {"flops": 6, "params": 13} and not limits((2, 0, 3))


def test_the_best_within_limits_is_found():
    limits = Limits(UNEVEN, {"flops": 4})
    for name in ("random", "aging", "elitist"):
        table = SMALL[name](Counted(UNEVEN, value, 12, limits), seed=0)
        assert table.found.iloc[-1] == "0-0-3"


def test_a_table_of_costs():
    codes = [UNEVEN.code(arch) for arch in UNEVEN]
    table = pd.DataFrame({"phone": np.arange(12.0), "flops": 7.0}, index=codes)
    table.loc["0-0-1", "phone"] = np.nan  # not measured
    limits = Limits(UNEVEN, {"phone": 2.0}, table)
    assert [code for code in codes if limits(UNEVEN.parse(code))] == ["0-0-0", "0-0-2"]
    assert Limits(UNEVEN, {"flops": 7.0}, table)((2, 0, 3))  # the table's, where it has one
    assert str(Limits(UNEVEN, {"phone": 2.5, "params": 9}, table)) == (
        "phone of at most 2.5 and params of at most 9"
    )
    with pytest.raises(ValueError, match="the table of costs has no row for 2-0-3 of uneven"):
        Limits(UNEVEN, {"phone": 2.0}, table[:-1])((2, 0, 3))


def test_what_a_table_of_costs_has_twice_is_named():
    codes = [UNEVEN.code(arch) for arch in UNEVEN]
    table = pd.DataFrame({"phone": np.arange(12.0)}, index=codes)
    with pytest.raises(
        ValueError, match="table of costs has 2 rows for 0-0-3 of uneven: keep one of them"
    ):
        Limits(UNEVEN, {"phone": 2.0}, pd.concat([table, table[3:5]]))
    with pytest.raises(ValueError, match="has 3 columns for phone of uneven: keep one of them"):
        Limits(UNEVEN, {"phone": 2.0}, pd.concat([table] * 3, axis=1))


@pytest.mark.parametrize("name", SMALL)
def test_where_nothing_fits_a_sentence_says_so(name):
    limits = Limits(UNEVEN, {"flops": 0.5})
    with pytest.raises(
        ValueError,
        match=r"limits \(flops of at most 0.5\) allow none of the 12 architectures of uneven: set",
    ):
        SMALL[name](Counted(UNEVEN, value, 4, limits))
    with pytest.raises(ValueError, match="the limits allow none of the 12"):
        SMALL[name](Counted(UNEVEN, value, 4, lambda arch: False))
    long = Long()
    assert long.architectures > LISTED
    with pytest.raises(
        ValueError, match="none of 10,000 random ones of the 1,048,576 architectures of long"
    ):
        SMALL[name](Counted(long, lambda arch, share: 0.0, 4, lambda arch: False))


@pytest.mark.parametrize("name", SMALL)
def test_a_tight_limit_is_met(name, monkeypatch):
    """Three of 2^16 architectures, which random draws do not meet: those that are allowed."""
    space = Long(length=16)
    few = {(1,) * 16, (0,) * 16, (1, 0) * 8}
    drawn = []
    monkeypatch.setattr(Long, "sample", lambda self, rng: drawn.append(1) or (0,) * 15 + (1,))
    own = Counted(space, lambda arch, share: sum(arch), 9, few.__contains__)
    table = SMALL[name](own, seed=0)
    assert {space.parse(code) for code in table.code} == few
    assert table.found.iloc[-1] == space.code((1,) * 16)
    assert len(drawn) == counting.TRIES  # the list is made once


def test_draws_from_the_list_are_uniform(monkeypatch):
    few = [(0, 0, 1), (1, 0, 2), (2, 0, 3)]
    monkeypatch.setattr(Uneven, "sample", lambda self, rng: (0, 0, 0))
    own, rng = Counted(UNEVEN, value, 9, few.__contains__), torch.Generator().manual_seed(0)
    drawn = [own.draw(rng) for _ in range(3000)]
    assert all(abs(drawn.count(arch) - 1000) < 100 for arch in few)


@pytest.mark.parametrize("name", SMALL)
def test_where_no_more_can_be_found_a_search_ends_with_its_table(name, monkeypatch):
    """In a space that cannot be listed, whose draws are allowed a few times only."""
    some = iter(np.eye(20, dtype=int)[:6].tolist())
    monkeypatch.setattr(Long, "sample", lambda self, rng: tuple(next(some, (0,) * 20)))
    allowed = lambda arch: sum(arch) == 1  # noqa: E731
    table = SMALL[name](Counted(Long(), lambda arch, share: arch[0], 9, allowed), seed=0)
    assert len(set(table.code)) >= 6 and table.best_so_far.iloc[-1] == 1


@pytest.mark.parametrize(
    ("most", "said"),
    [
        ({}, "limits must be on some of flops, params; got none"),
        ({"phone": 3.0}, "limits must be on some of flops, params; got phone"),
        ({"flops": 0}, "the limit on flops must be a finite number above 0, got 0"),
        ({"flops": float("nan")}, "the limit on flops must be a finite number above 0"),
    ],
)
def test_bad_limits(most, said):
    with pytest.raises(ValueError, match=said):
        Limits(UNEVEN, most)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda c: search.aging(c, population=0), "population must be a whole number from 1"),
        (lambda c: search.aging(c, population=3, sample=4), "sample must be .* from 1 to 3, got 4"),
        (lambda c: search.elitist(c, parents=0), "parents must be"),
        (lambda c: search.elitist(c, mutations=51), "mutations must be .* 0 to 50, got 51"),
        (lambda c: search.elitist(c, crossovers=26), "crossovers must be .* 0 to 25, got 26"),
        (lambda c: search.elitist(c, chance=1.5), r"chance must be in \[0, 1\], got 1.5"),
        (lambda c: search.halving(c, eta=1), "eta must be"),
        (lambda c: search.halving(c, rungs=5), "5 rungs need a budget of at least 5 scores"),
        (lambda c: search.random(c, seed=-1), "seed must be a whole number"),
    ],
)
def test_impossible_options(call, said):
    with pytest.raises(ValueError, match=said):
        call(Counted(UNEVEN, value, 4))


def test_impossible_budgets_and_scores():
    for budget in (0, -1, float("nan"), "9"):
        with pytest.raises(ValueError, match="budget must be a finite number above 0"):
            Counted(UNEVEN, value, budget)
    with pytest.raises(ValueError, match=r"the score of .-0-. is nan: nothing can be found by it"):
        search.random(Counted(UNEVEN, lambda arch, share: float("nan"), 4))


# --- inherited weights ---


def test_a_share_of_the_images_is_the_first_of_them():
    net, images = MINI.build(seed=1), data.load("digits-small")["valid"]
    arch, n = (3, 1, 2), len(data.load("digits-small")["valid"])
    third = round(n / 3)
    ((accuracy, loss),) = scoring.score(net, [arch], images.first(third))
    assert scorer(net, images)(arch, 1 / 3) == accuracy
    assert scorer(net, images, "loss")(arch, 1 / 3) == -loss
    assert scorer(net, images, batch=n)(arch, 1.0) == scoring.score(net, [arch], images, n)[0][0]
    with pytest.raises(ValueError, match="by must be"):
        scorer(net, images, "tau")
    table = search.halving(Counted(MINI, scorer(net, images), 3), seed=0)
    assert table.cost.iloc[-1] == pytest.approx(3)


# --- front, NSGA-II ---


def test_a_front_by_hand():
    scores = pd.Series({"a": 1.0, "b": 3.0, "c": 2.0, "d": 3.0, "e": 5.0, "f": 9.0})
    costs = pd.Series({"a": 1.0, "b": 2.0, "c": 2.0, "d": 3.0, "e": 4.0, "f": np.nan})
    assert search.front(scores, costs) == ["a", "b", "e"]


def test_nsga_finds_the_front():
    pytest.importorskip("optuna", reason="optuna is not installed: pip install optuna")
    own = Counted(UNEVEN, value, 12)
    table = search.nsga(own, UNEVEN.flops, seed=0, population=4)
    again = search.nsga(Counted(UNEVEN, value, 12), UNEVEN.flops, seed=0, population=4)
    pd.testing.assert_frame_equal(table, again)
    known = pd.Series({UNEVEN.code(arch): value(arch) for arch in UNEVEN})
    costs = pd.Series({UNEVEN.code(arch): UNEVEN.flops(arch) for arch in UNEVEN})
    found = table.set_index("code").score
    assert search.front(found, costs) == search.front(known, costs)
    limited = search.nsga(
        Counted(UNEVEN, value, 12, Limits(UNEVEN, {"flops": 3})), UNEVEN.flops, population=4
    )
    assert costs[limited.code].max() <= 3
    resumed = search.nsga(
        Counted(UNEVEN, None, len(limited), Limits(UNEVEN, {"flops": 3}), limited),
        UNEVEN.flops,
        population=4,
    )
    pd.testing.assert_frame_equal(resumed, limited)
    with pytest.raises(ValueError, match="allow none of the 12 architectures of uneven"):
        search.nsga(Counted(UNEVEN, value, 4, Limits(UNEVEN, {"flops": 0.5})), UNEVEN.flops)


def test_without_optuna_a_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ImportError, match="NSGA-II is Optuna's, which is not installed: `pip inst"):
        search.nsga(Counted(UNEVEN, value, 4), UNEVEN.flops)


def test_nsga_meets_a_tight_limit(monkeypatch):
    pytest.importorskip("optuna", reason="optuna is not installed: pip install optuna")
    space = Long(length=16)
    few = {(1,) * 16, (0,) * 16, (1, 0) * 8}
    own = Counted(space, lambda arch, share: sum(arch), 9, few.__contains__)
    table = search.nsga(own, space.flops, population=20)
    assert {space.parse(code) for code in table.code} == few
    # Of what cannot be listed only what was met; then it ends.
    some = iter(np.eye(20, dtype=int)[:6].tolist())
    monkeypatch.setattr(Long, "sample", lambda self, rng: tuple(next(some, (0,) * 20)))
    met = {tuple(row) for row in np.eye(20, dtype=int)[:6].tolist()}
    own = Counted(Long(), lambda arch, share: arch[0], 9, met.__contains__)
    assert set(search.nsga(own, Long().flops, population=8).code) == set(map(Long().code, met))


def test_patience_is_what_ends_a_search_that_finds_nothing_new():
    table = search.aging(Counted(UNEVEN, value, 100), seed=0, population=3, sample=2)
    assert len(table) <= 12 < 100
    assert 10 * len(UNEVEN) < counting.PATIENCE
