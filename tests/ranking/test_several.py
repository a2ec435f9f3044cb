"""Several supernets of one space: what they start from, who owns what, what they cost together."""

from copy import deepcopy
from dataclasses import replace
from math import inf

import numpy as np
import pandas as pd
import pytest
import torch

from padalib import samplers, spaces
from padalib.engine.identity import identity, key
from padalib.engine.runs import Run
from padalib.probes.sampled import probe
from padalib.ranking.level_split import efs_nas
from padalib.ranking.scores import ScoreConfig, score
from padalib.ranking.several import by_part, few_shot, mean_flops, part_scores
from padalib.samplers.restricted import LevelPaths, RestrictedPaths
from padalib.train import TrainConfig, Trainer, load

MINI = replace(spaces.get("mini"), channels=4, ops=spaces.OPS[1:4])
FIELDS = {"space": MINI, "data": "digits-small", "batch": 128}
SPOS = TrainConfig("SPOS", epochs=5, **FIELDS)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def same(one, two):
    """Whether two states are equal to the bit."""
    if isinstance(one, torch.Tensor):
        return one.dtype == two.dtype and one.numpy().tobytes() == two.numpy().tobytes()
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(two) and all(map(same, one, two))
    return one == two


# --- a run that starts from another ---


def test_it_starts_from_the_last_weights_with_a_new_optimiser_and_schedule():
    first = replace(SPOS, epochs=2)
    config = replace(SPOS, epochs=3, start=first, lr=0.08)
    trainer, before = Trainer(config), load(Run(first).compute())
    assert same(trainer.net.state_dict(), before.net.state_dict())
    assert not same(trainer.net.state_dict(), Trainer(SPOS).net.state_dict())
    assert before.optimizer.state and not trainer.optimizer.state
    assert (trainer.epoch, trainer.history) == (0, [])
    trainer.train_epoch()
    assert trainer.history[0]["lr"] == 0.08 and before.history[-1]["lr"] < 0.05
    # A second opinion: those weights put by hand into a run that starts from none.
    twin = Trainer(replace(config, start=None))
    twin.net.load_state_dict(before.net.state_dict())
    twin.train_epoch()
    assert same(twin.state(), trainer.state())


def test_the_run_that_is_started_from_is_a_need_and_part_of_the_identity():
    first = replace(SPOS, epochs=2)
    config = replace(SPOS, start=first)
    assert config.needs == (first,) and key(config) != key(SPOS)
    assert key(config) != key(replace(SPOS, start=replace(first, seed=1)))
    assert key(config) == key(replace(SPOS, start=replace(first, keep=(1,))))
    assert "start" not in identity(SPOS)["config"]  # as before there was such a field
    other = replace(SPOS, start=replace(first, data="digits"))
    assert set(identity(config)["inputs"]) == {"data"}
    assert set(identity(other)["inputs"]) == {"data", "start"}


@pytest.mark.parametrize(
    "change", [{"space": replace(MINI, channels=8)}, {"bn": "running"}, {"arch": (1, 1, 1)}]
)
def test_weights_of_another_network_are_refused(change):
    with pytest.raises(ValueError, match="another network: give both the same space, arch and bn"):
        replace(SPOS, start=replace(SPOS, **change))


def test_it_resumes_to_the_bit_and_a_probe_leaves_no_trace(monkeypatch, tmp_path):
    config = few_shot(replace(SPOS, epochs=8))[1]
    assert config.epochs == 2
    with monkeypatch.context() as patch:
        patch.setenv("PADALIB_DATA", str(tmp_path / "unbroken"))
        unbroken = Run(config).compute()
        curves, state = unbroken.table("curves"), unbroken.load_state("last")
    run = Run(config)
    with monkeypatch.context() as patch:
        patch.setattr(Run, "log", stop_after_the_start)
        with pytest.raises(KeyboardInterrupt):
            run.compute()
    trainer = Trainer(config)
    trainer.restore(run.load_state("last"))
    assert trainer.epoch == 1
    before = deepcopy(trainer.state())
    probe(trainer, paths=4, batches=2)
    assert all(
        same(before[name], trainer.state()[name])
        for name in ("net", "optimizer", "paths", "generators")
    )
    assert run.compute().table("curves").equals(curves)
    assert same(run.load_state("last"), state)


def stop_after_the_start(run, line):
    if run.config.start is not None:
        raise KeyboardInterrupt


# --- parts of a space ---


def test_a_part_is_drawn_uniformly_and_nothing_else():
    paths = RestrictedPaths(MINI, 1, only=((0, (2,)), (2, (0, 1))))
    generator = rng()
    drawn = [paths.draw(generator)[0] for _ in range(600)]
    assert {arch[0] for arch in drawn} == {2} and {arch[2] for arch in drawn} == {0, 1}
    counts = pd.Series(drawn).value_counts()
    assert len(counts) == 6 and counts.between(70, 130).all()
    assert [paths.weight(arch) for arch in [(2, 0, 0), (1, 0, 0), (2, 0, 2)]] == [
        pytest.approx(6 / 27), inf, inf,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "only, said",
    [
        (((3, (0,)),), "position must be a whole number from 0 to 2, got 3"),
        (((0, ()),), r"edge 0 of mini chooses among options 0..2: .* got \(\)"),
        (((0, (3,)),), r"0..2: name some of them, each once; got \(3,\)"),
        (((0, (1, 1)),), r"each once; got \(1, 1\)"),
        (((0, (1,)), (0, (2,))), r"names a position twice: \[0, 0\]; join its options"),
        ((0, 3), "only must be a tuple"),
    ],
)
def test_no_part_of_the_space(only, said):
    with pytest.raises(ValueError, match=said):
        RestrictedPaths(MINI, 1, only=only)


# --- few-shot NAS ---


@pytest.mark.parametrize(
    "ops, epochs, one, each",
    [(5, 2100, 600, 300), (5, 20, 5, 3), (5, 7, 2, 1), (5, 6, 1, 1), (5, 11, 1, 2), (3, 20, 8, 4)],
)
def test_the_papers_epochs_are_scaled_to_whole_ones(ops, epochs, one, each):
    space = replace(MINI, ops=spaces.OPS[:ops])
    config = replace(SPOS, space=space, epochs=epochs)
    parts = few_shot(config)
    assert [part.epochs for part in parts] == [each] * ops
    assert {part.start for part in parts} == {replace(config, epochs=one)}
    assert part_scores(parts).epochs == epochs == one + ops * each
    assert len({key(part) for part in parts}) == ops


def test_from_scratch_nothing_is_started_from():
    parts = few_shot(replace(SPOS, epochs=11), position=1, start=False)
    assert [(part.epochs, part.start) for part in parts] == [(3, None)] * 3
    assert [part.method.name for part in parts] == [f"SPOS, 2<-0 {op}" for op in MINI.ops]
    assert [part.method.paths.build(MINI, 1).only for part in parts] == [
        ((1, (k,)),) for k in range(3)
    ]


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda: few_shot(replace(SPOS, epochs=3)), "3 epochs are too few for 3 supernets and the"),
        (lambda: few_shot(replace(SPOS, epochs=2), start=False), "use 3 or more"),
        (lambda: few_shot(SPOS, position=3), "position must be a whole number from 0 to 2, got 3"),
        (lambda: few_shot("SPOS"), "config must be a TrainConfig, got 'SPOS'"),
        (lambda: few_shot(SPOS, start="x"), "start must be True or False, got 'x'"),
        (lambda: part_scores(()), "parts must be one supernet or more, got none"),
        (lambda: part_scores(SPOS), "parts must be a tuple of TrainConfig, got"),
        (lambda: few_shot(replace(SPOS, method="PA")), "PA draws paths in its own way"),
        (lambda: part_scores(few_shot(SPOS)[:2]).check(), "trained on architecture 2-0-0: add"),
        (lambda: part_scores((SPOS, replace(SPOS, data="digits"))), "same space, data and device"),
        (lambda: part_scores((SPOS, replace(SPOS, epochs=6))), "does not keep epoch 5"),
    ],
)
def test_what_makes_no_few_shot_run_is_said(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_each_architecture_is_scored_by_the_supernet_that_owns_it():
    parts = few_shot(replace(SPOS, epochs=4))
    config = part_scores(parts, splits=("valid", "test"), images=64, batch=32)
    assert config.needs == parts and "others" in identity(config)["config"]
    table = Run(config).compute().table("scores")
    assert list(table) == ["code", "epoch", "split", "images", "accuracy", "loss", "part"]
    codes = [MINI.code(arch) for arch in MINI.classes()]
    assert table.code.tolist() == codes * 2 and set(table.epoch) == {1}
    plain = Run(ScoreConfig(SPOS, images=64)).config
    assert plain.scored() == [MINI.parse(code) for code in codes]
    valid = table[table.split == "valid"]
    for k, part in enumerate(parts):
        own = valid[valid.part == part.method.name]
        assert own.code.tolist() == [code for code in codes if code.startswith(f"{k}-")]
        net, images = load(Run(part)).net, config._images("valid")
        wanted = score(net, [MINI.parse(code) for code in own.code], images, 32)
        assert list(zip(own.accuracy, own.loss, strict=True)) == wanted
    again = part_scores(parts, splits=("test",), images=64, batch=32, codes=("2-1-0", "0-1-2"))
    found = Run(again).compute().table("scores")
    assert found.code.tolist() == ["2-1-0", "0-1-2"]
    whole = table[table.split == "test"].set_index("code")
    assert found.part.tolist() == [parts[2].method.name, parts[0].method.name]
    np.testing.assert_allclose(found.loss, whole.loss[found.code], rtol=1e-5)


def test_a_supernet_that_scores_too_high_is_seen_in_the_table():
    """Four architectures by hand: each part in perfect order, one of them 10 too high."""
    scores = pd.DataFrame(
        {"code": ["a", "b", "c", "d"], "part": ["x", "x", "y", "y"], "accuracy": [51, 52, 3, 54]}
    )
    true = pd.Series({"d": 64.0, "c": 63.0, "b": 62.0, "a": 61.0})
    table = by_part(scores, true).set_index("part")
    assert table.loc["x"].tolist() == [2, 51.5, 61.5, 1, 0]  # two pairs of four across are right
    assert table.loc["y"].tolist() == [2, 28.5, 63.5, 1, 0]
    assert table.columns.tolist() == ["architectures", "score", "true", "tau", "tau_across"]
    level = scores.assign(accuracy=[51, 52, 53, 54], loss=[51, 52, 53, 54])
    assert by_part(level, true)[["tau", "tau_across"]].to_numpy().tolist() == [[1, 1], [1, 1]]
    by_loss = by_part(level, true, "loss")  # the lower, the better
    assert by_loss[["tau", "tau_across"]].to_numpy().tolist() == [[-1, -1], [-1, -1]]
    assert by_loss.score.tolist() == [-51.5, -53.5]


def test_what_all_trainings_cost_is_counted_once_each():
    parts = few_shot(replace(SPOS, epochs=4))
    rows = Run(part_scores(parts, images=64)).compute().table("parts")
    assert rows.training.tolist() == ["SPOS", *(part.method.name for part in parts)]
    assert rows.owns.tolist() == [False, True, True, True]
    assert rows.images.tolist() == [512] * 4 and rows.steps.tolist() == [4] * 4
    flops = {option: [] for option in range(3)}
    for arch in MINI:
        flops[arch[0]].append(MINI.flops(arch))
    assert rows.flops[1:].tolist() == pytest.approx([np.mean(own) for own in flops.values()])
    assert rows.flops[0] == pytest.approx(rows.flops[1:].mean())
    huge = replace(SPOS, space=replace(spaces.get("mini"), nodes=5, channels=1))
    assert np.isnan(mean_flops(huge))  # 10 edges: too many architectures to list


# --- EFS-NAS ---

FIVE = replace(MINI, ops=spaces.OPS)
SBS = TrainConfig("sbs", epochs=5, **FIELDS | {"space": FIVE})


def test_a_level_is_drawn_uniformly_and_nothing_else():
    every = {arch: FIVE.depth(arch) for arch in FIVE if any(FIVE.live(arch))}
    for level in (1, 2):
        paths, generator = LevelPaths(FIVE, 1, level=level), rng()
        own = [arch for arch, depth in every.items() if max(1, depth) == level]
        drawn = {paths.draw(generator)[0] for _ in range(3000)}
        assert drawn == set(own)
        assert {paths.weight(arch) for arch in own} == {len(own) / 125}
        assert {paths.weight(arch) for arch in FIVE if arch not in own} == {inf}
    with pytest.raises(ValueError, match="mini has levels 1, 2, got 3"):
        LevelPaths(FIVE, 1, level=3)


def test_each_level_has_a_supernet_that_goes_on_from_a_common_one():
    parts = efs_nas(SBS)
    first = replace(SBS, epochs=3)
    assert [(own.epochs, own.start) for own in parts] == [(1, first)] * 2
    assert [own.method.name for own in parts] == ["sbs, level 1", "sbs, level 2"]
    config = part_scores(parts, images=64)
    assert config.epochs == SBS.epochs
    archs = list(FIVE.classes())
    owned = dict(zip(archs, config.owners(archs), strict=True))
    assert {owned[arch] for arch in archs if FIVE.depth(arch) == 2} == {1}
    assert {owned[arch] for arch in archs if FIVE.depth(arch) < 2} == {0}
    assert owned[0, 0, 0] == 0  # no signal passes, so nobody draws it
    table = Run(config).compute().table("scores").set_index("code")
    assert table.part["3-0-3"] == "sbs, level 2" and table.part["0-0-0"] == "sbs, level 1"
    anew = efs_nas(SBS, start=False)
    assert [(own.epochs, own.start) for own in anew] == [(2, None)] * 2


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda: efs_nas(SPOS), "SPOS draws paths in another way than its levels'"),
        (
            lambda: efs_nas(replace(SBS, space="chain-mini")),
            "all architectures of chain-mini have the same level, 5: there is nothing to split",
        ),
        (lambda: efs_nas(replace(SBS, epochs=2)), "2 epochs are too few for 2 supernets and the"),
    ],
)
def test_what_has_no_levels_to_split_is_said(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_other_data_goes_through_the_parts_too():
    data = samplers.get("DA")
    parts = few_shot(TrainConfig(data, epochs=4, **FIELDS))
    assert {part.method.data for part in parts} == {data.data}
    assert parts[0].start.method == data
