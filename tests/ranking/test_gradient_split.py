"""GM-NAS: distances beside a slow twin, partitions by hand, two supernets of one space."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional as F

from padalib import samplers, spaces
from padalib.engine.identity import key
from padalib.engine.runs import Run
from padalib.ranking.gradient_split import (
    GradientSplit,
    SplitScores,
    best_split,
    distances,
    gm_nas,
    grow,
    part_of,
    partition,
    planned,
)
from padalib.ranking.several import part_scores
from padalib.samplers.restricted import RestrictedPaths
from padalib.train import TrainConfig, load, stream

MINI = replace(spaces.get("mini"), channels=4)
SPOS = TrainConfig("SPOS", epochs=4, space=MINI, data="digits-small", batch=128)
FIRST = replace(SPOS, epochs=1)


def test_distances_equal_those_of_a_plain_loop():
    trainer = load(Run(FIRST).compute())
    x, y = trainer.images.batch(torch.arange(32))
    place, arch = 1, (3, 0, 2)
    found = distances(trainer, place, arch, x, y)
    net, vectors = trainer.net, []
    for option in range(5):
        net.zero_grad()
        F.cross_entropy(net(x, (3, option, 2)), y).backward()
        vectors.append(
            np.concatenate(
                [
                    np.zeros(p.numel()) if p.grad is None else p.grad.double().numpy().ravel()
                    for name, p in net.named_parameters()
                    if ".ops.1_" not in name  # edge 1 of every cell
                ]
            )
        )
    for a, b in combinations(range(5), 2):
        cosine = (
            vectors[a] @ vectors[b] / np.sqrt((vectors[a] ** 2).sum() * (vectors[b] ** 2).sum())
        )
        assert float(found[a, b]) == pytest.approx(1 - cosine, abs=1e-4)
    assert float(found.diagonal().abs().max()) < 1e-5
    assert len({round(float(found[a, b]), 3) for a, b in combinations(range(5), 2)}) > 5


def matrix(n, near, far, group):
    """[n, n] with `near` inside `group` and inside the rest, `far` across."""
    inside = np.isin(np.arange(n), group)
    return np.where(inside[:, None] == inside, near, far) * (1 - np.eye(n))


def test_partitions_by_hand():
    assert partition(matrix(5, 0.1, 0.9, [1, 3])) == (pytest.approx(0.9), (1, 3), (0, 2, 4))
    assert partition(matrix(4, 0.1, 0.9, [0, 2])) == (pytest.approx(0.9), (0, 2), (1, 3))
    odd = matrix(5, 0.1, 0.9, [2])  # one option against four
    assert partition(odd, halves=False) == (pytest.approx(0.9), (2,), (0, 1, 3, 4))
    cut, one, _ = partition(odd)
    assert len(one) == 2 and 2 in one and cut == pytest.approx((3 * 0.9 + 3 * 0.1) / 6)
    with pytest.raises(ValueError, match="nothing to split in 1 option"):
        partition(np.zeros((1, 1)))


def test_the_position_that_disagrees_most_is_split():
    rows = [
        {"position": place, "a": a, "b": b, "distance": distance[a, b]}
        for place, distance in [
            (0, matrix(5, 0.1, 0.6, [0, 1])),
            (2, matrix(3, 0.2, 0.8, [1])),
        ]
        for a, b in combinations(range(len(distance)), 2)
    ]
    assert best_split(pd.DataFrame(rows)) == (2, (1,), (0, 2))
    assert best_split(pd.DataFrame(rows[:10])) == (0, (0, 1), (2, 3, 4))


def test_two_supernets_of_one_split_own_the_space_between_them():
    parts = gm_nas(SPOS, repeats=2, size=16)
    assert [(part.epochs, part.start) for part in parts] == [(1, FIRST)] * 2
    (place, one), (same, other) = (part.method.paths.build(MINI, 1).only[0] for part in parts)
    assert place == same and sorted(one + other) == [0, 1, 2, 3, 4] and len(one) == 2
    split = GradientSplit(FIRST, repeats=2, batch=16)
    table = Run(split).table("distances")  # it is there
    assert len(table) == 3 * 10 and table.distance.between(0, 2).all()
    assert best_split(table) == (place, one, other)
    assert split.images == 2 * 16 * 15
    scores = part_scores(parts, images=64)
    assert scores.epochs == SPOS.epochs - 1  # and one for the split
    found = Run(scores).compute().table("scores")
    owned = found.part == parts[0].method.name
    assert [MINI.parse(code)[place] in one for code in found.code] == owned.tolist()
    anew = gm_nas(SPOS, repeats=2, size=16, start=False)
    assert [part.start for part in anew] == [None, None] and key(anew[0]) != key(parts[0])
    assert [part.method for part in anew] == [part.method for part in parts]


def test_a_tree_of_two_levels_by_hand():
    """The first edge is split 1, 3 | 0, 2, 4; one side at the third edge, the other at the second.

    Four supernets, each of the options of two edges; of 19 epochs 1, twice 1 and four times 4.
    """
    config = replace(SPOS, epochs=20)
    asked = []

    def decide(parent):
        asked.append(part_of(parent))
        if not asked[-1]:
            return 0, (1, 3), (0, 2, 4)
        return (2, (0, 4), (1, 2, 3)) if 3 in asked[-1][0][1] else (1, (2, 3), (0, 1, 4))

    ends, inner = grow(config, planned(config, 2), True, decide)
    own = [{place: tuple(options) for place, options in part_of(end)} for end in ends]
    assert own == [
        {0: (1, 3), 2: (0, 4)}, {0: (1, 3), 2: (1, 2, 3)},
        {0: (0, 2, 4), 1: (2, 3)}, {0: (0, 2, 4), 1: (0, 1, 4)},
    ]  # fmt: skip
    first, left, right = inner
    assert [dict(part_of(each)) for each in inner] == [{}, {0: (1, 3)}, {0: (0, 2, 4)}]
    assert first == replace(config, epochs=1) and first.start is None
    assert [each.start for each in (left, right, *ends)] == [
        first, first, left, left, right, right,
    ]  # fmt: skip
    scores = part_scores(tuple(ends), images=64)
    assert scores.trainings == [first, left, *ends[:2], right, *ends[2:]]
    assert sum(each.epochs for each in scores.trainings) == 19
    archs = [(3, 1, 4), (1, 0, 2), (0, 3, 4), (4, 4, 4)]
    assert scores.owners(archs) == [0, 1, 2, 3]
    assert sorted(set(scores.owners(list(MINI)))) == [0, 1, 2, 3]  # nobody is left out
    anew, _ = grow(config, planned(config, 2), False, decide)
    assert [each.start for each in anew] == [None] * 4
    assert [each.method for each in anew] == [each.method for each in ends]


@pytest.mark.parametrize(
    ("levels", "epochs", "plan"),
    [
        (1, 4, (1, 1)),
        (1, 20, (7, 6)),
        (2, 8, (1, 1, 1)),
        (2, 20, (1, 1, 4)),
        (2, 261, (20, 20, 50)),
    ],
)
def test_epochs_of_each_level_are_in_the_shares_of_the_public_code(levels, epochs, plan):
    assert planned(replace(SPOS, epochs=epochs), levels) == plan


def test_every_plan_spends_all_epochs_but_one_and_leaves_none_out():
    for levels in (1, 2, 3):
        for epochs in range(2 ** (levels + 1), 70):
            plan = planned(replace(SPOS, epochs=epochs), levels)
            assert sum(2**depth * each for depth, each in enumerate(plan)) == epochs - 1
            assert len(plan) == levels + 1 and min(plan) >= 1
    for epochs in range(4, 100):  # one level: a third each
        plan = planned(replace(SPOS, epochs=epochs), 1)
        assert plan[1] == round((epochs - 1) / 3)


def test_two_levels_are_a_run_of_seven_trainings_and_three_splits():
    config = SplitScores(replace(SPOS, epochs=8), repeats=1, size=8, images=64, levels=2)
    assert config.label == "scores of 4 supernets, SPOS mini seed 0"
    assert config.most == 8 * (15 + 2 * 10)
    assert key(config) != key(replace(config, levels=3))
    once = SplitScores(SPOS, repeats=1, size=8, images=64)
    assert key(once) == key(replace(once, levels=None)) != key(replace(once, levels=2))
    run = Run(config).compute()
    parts = gm_nas(config.train, repeats=1, size=8, levels=2)
    twin = Run(part_scores(parts, images=64)).compute()
    assert run.table("scores").equals(twin.table("scores"))
    rows = run.table("parts")
    assert rows.owns.sum() == 4 and (rows.training == "split").sum() == 3
    assert rows.images[rows.training == "split"].tolist() == [120, 80, 80]
    assert rows.images.sum() == 7 * 512 + config.most <= 8 * 512
    # The second splits are of trained sub-supernets, at edges that are not split, on their paths.
    first = {place for place, _ in part_of(parts[0].start)}
    again = Run(GradientSplit(parts[0].start, repeats=1, batch=8)).table("distances")
    assert set(again.position) == {0, 1, 2} - first and len(again) == 2 * 10
    assert parts[0].start == parts[1].start != parts[2].start == parts[3].start


def test_the_second_split_compares_on_paths_of_its_part():
    """With one option left at each other edge only one path is drawn: the distance by hand."""
    only = ((0, (2,)), (1, (3,)))
    method = samplers.compose("part", samplers.part(RestrictedPaths, only=only))
    split = GradientSplit(replace(FIRST, method=method), repeats=1, batch=16)
    table = Run(split).compute().table("distances")
    assert set(table.position) == {2} and split.images == 16 * 5
    trainer, rng = load(Run(split.train)), stream(0, "split")
    x, y = trainer.images.batch(torch.randint(len(trainer.images), (16,), generator=rng))
    found = distances(trainer, 2, (2, 3, 0), x, y)
    assert table.distance.tolist() == [float(found[a, b]) for a, b in combinations(range(5), 2)]


def test_scores_are_a_run_whose_split_is_known_only_later():
    config = SplitScores(SPOS, repeats=1, size=32, images=64)
    assert config.needs == (GradientSplit(FIRST, repeats=1, batch=32),)
    assert config.label == "scores of 2 supernets, SPOS mini seed 0"
    run = Run(config).compute()
    parts = gm_nas(SPOS, repeats=1, size=32)
    twin = Run(part_scores(parts, images=64)).compute()
    assert run.table("scores").equals(twin.table("scores"))
    rows = run.table("parts")
    assert rows.training.tolist() == ["SPOS", *(part.method.name for part in parts), "split"]
    assert rows.images.tolist() == [512, 512, 512, 480] and rows.images.sum() <= 4 * 512
    assert rows.steps.tolist() == [4, 4, 4, 0] and rows.owns.tolist() == [False, True, True, False]
    assert rows[:3].equals(twin.table("parts"))
    assert not Run(SPOS).done  # what it says is how, and no training
    assert key(config) != key(replace(config, start=False)) != key(replace(config, repeats=2))


def test_what_is_trained_above_supernets_from_scratch_is_paid_for_too():
    config = SplitScores(SPOS, repeats=1, size=8, images=64, start=False)
    rows = Run(config).compute().table("parts")
    assert rows.training.tolist()[0] == "SPOS" and rows.owns.tolist() == [False, True, True, False]
    assert rows.images.tolist() == [512, 512, 512, 120]
    longer = replace(SPOS, epochs=8)
    two = SplitScores(longer, repeats=1, size=8, images=64, start=False, levels=2)
    rows = Run(two).compute().table("parts")
    assert rows.images.sum() == 7 * 512 + two.most and rows.owns.sum() == 4


def test_measuring_leaves_no_trace_and_is_the_same_again(monkeypatch, tmp_path):
    first = Run(FIRST).compute()
    before = (first.folder / "last.pt").read_bytes()
    found = Run(GradientSplit(FIRST, repeats=2)).compute().table("distances")
    assert (first.folder / "last.pt").read_bytes() == before
    monkeypatch.setenv("PADALIB_DATA", str(tmp_path / "elsewhere"))
    assert Run(GradientSplit(FIRST, repeats=2)).compute().table("distances").equals(found)


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda: gm_nas("SPOS"), "config must be a TrainConfig, got 'SPOS'"),
        (lambda: gm_nas(replace(SPOS, epochs=3)), "3 epochs are too few for three trainings and a"),
        (lambda: gm_nas(replace(SPOS, epochs=7), levels=2), "7 trainings and a split: use 8 or"),
        (lambda: gm_nas(SPOS, levels=4), "levels must be a whole number from 1 to 3, got 4"),
        (
            lambda: SplitScores(SPOS).check(),
            "takes 19200 images, an epoch has 512; use fewer",
        ),
        (lambda: gm_nas(SPOS, size=10**6), "batch must be at most 512 .of the training set., got"),
        (lambda: gm_nas(SPOS, size=64), "takes 9600 images, an epoch has 512; use fewer"),
        (lambda: gm_nas(SPOS, size=0), "size must be a whole number from 1 or None, got 0"),
        (lambda: gm_nas(SPOS, start="no"), "start must be True or False, got 'no'"),
        (lambda: gm_nas(SPOS, halves="x"), "halves must be True or False, got 'x'"),
        (lambda: gm_nas(replace(SPOS, method="PA")), "PA draws paths in its own way"),
        (lambda: SplitScores(replace(SPOS, method="PA")).check(), "PA draws paths in its own way"),
        (
            lambda: GradientSplit(replace(SPOS, space=replace(MINI, extent=3))),
            "mini shares operations between positions, so no position can be split",
        ),
    ],
)
def test_what_cannot_be_split_is_said(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_where_no_position_has_a_choice_nothing_is_trained_for_a_split():
    config = replace(SPOS, space=replace(MINI, ops=("nor_conv_3x3",)))
    said = "every edge of mini has one option only, or is split already, so there is nothing to spl"
    for asked in (
        lambda: SplitScores(config, repeats=1, size=16).check(),
        lambda: gm_nas(config, repeats=1, size=16),
        lambda: Run(GradientSplit(replace(config, epochs=1), repeats=1, batch=16)).compute(),
    ):
        with pytest.raises(ValueError, match=said):
            asked()
