"""The controls: yoked, bootstrap, shuffled data, matched and published balanced schedules."""

from collections import Counter
from dataclasses import replace

import pandas as pd
import pytest
import torch

from padalib import samplers, spaces
from padalib.engine.identity import identity, key
from padalib.engine.runs import Run, pack_state, unpack_state
from padalib.samplers import BalancedPaths, Bootstrap, Curriculum, GradNormData, ReplayedPaths
from padalib.samplers.stepped import SteppedPaths
from padalib.train import TrainConfig, Trainer

MINI, BENCH = spaces.get("mini"), spaces.get("nasbench201")
SMALL = {"space": replace(MINI, channels=4), "data": "digits-small", "epochs": 3, "batch": 128}
PA = TrainConfig("PA", seed=1, **SMALL)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def yoked(**fields):
    return TrainConfig("yoked PA", **SMALL | {"seed": 0, "replay": PA} | fields)


# --- yoked ---


def test_a_yoked_run_draws_by_what_the_other_recorded_to_the_bit():
    other, own = (Run(config).compute().table("curves") for config in (PA, yoked()))
    names = [f"p_{name}" for name in MINI.ops]
    pd.testing.assert_frame_equal(own[names], other[names], check_exact=True)
    assert (own[names].nunique() > 1).all()  # PA's p moves
    mine = Run(TrainConfig("PA", seed=0, **SMALL)).compute().table("curves")
    assert not own[names].equals(mine[names])
    assert not own.loss.equals(other.loss)  # another seed's network, data and paths
    assert own.loss[0] == mine.loss[0]  # in the first epoch both are uniform: the same run


def test_of_paths_that_move_within_an_epoch_a_yoked_run_has_the_mean():
    method = samplers.compose("PA, every step", SteppedPaths)
    other = replace(PA, method=method)
    theirs, own = (Run(c).compute().table("curves") for c in (other, yoked(replay=other)))
    names = [f"p_{name}" for name in MINI.ops]
    pd.testing.assert_frame_equal(own[names], theirs[names], check_exact=True)
    once = Run(PA).compute().table("curves")
    assert theirs[names].iloc[0].tolist() == pytest.approx([0.2] * 5)  # delta is 0
    assert not theirs[names].iloc[1:].equals(once[names].iloc[1:])


def test_a_yoked_run_learns_nothing_from_its_own_gradients():
    trainer = Trainer(yoked())
    trainer.train_epoch()
    net, generator = trainer.net, rng(3)
    for parameter in net.parameters():
        parameter.grad = torch.rand(parameter.shape, generator=generator)
    trainer.paths.observe([(3, 3, 3)], net, 1.0)
    trainer.paths.new_epoch(1)
    recorded = Run(PA).compute().table("curves").loc[1, [f"p_{name}" for name in MINI.ops]]
    assert trainer.paths.p.tolist() == recorded.tolist()


def test_the_replayed_run_is_a_need_and_part_of_the_identity():
    plain, other = yoked(), yoked(replay=replace(PA, seed=2))
    assert plain.needs == (PA,) and key(plain) != key(other)
    assert key(plain) == key(yoked(replay=replace(PA, keep=(1,))))  # what is kept changes nothing
    assert "replay" not in identity(PA)["config"]  # as before there was such a field


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda: TrainConfig("yoked PA", **SMALL), "replays another run's paths: pass replay="),
        (lambda: replace(PA, replay=PA), "PA replays no other run: leave replay out"),
        (lambda: yoked(replay=replace(PA, epochs=4)), "has 4 epochs of mini and this one 3"),
        (lambda: yoked(seed=1), "seed 1 would replay its own seed, which makes it a copy"),
        (lambda: yoked(space=replace(SMALL["space"], channels=8)), "give both the same"),
        (lambda: yoked(replay=replace(PA, method="balanced")), "records no p_none"),
    ],
)
def test_a_run_that_cannot_be_replayed_is_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_curves_without_probabilities_are_refused():
    with pytest.raises(ValueError, match=r"records no p_none.* with the same `shared`"):
        ReplayedPaths(MINI, 2).follow(pd.DataFrame({"p_0_none": [0.2, 0.2]}))


def test_probabilities_of_each_position_are_replayed_too():
    paths = ReplayedPaths(MINI, 2, shared=False)
    curves = pd.DataFrame(
        {f"p_{n}": [0.2, 0.1 + k / 50] for k, n in enumerate(paths.entries.names)}
    )
    paths.follow(curves)
    paths.new_epoch(1)
    assert paths.p.tolist() == pytest.approx([0.1 + k / 50 for k in range(15)])
    with pytest.raises(ValueError, match="has 1 epochs, not 2"):
        paths.follow(curves[:1])
    with pytest.raises(ValueError, match="nothing to replay yet"):
        ReplayedPaths(MINI, 2).new_epoch(0)


# --- data ---


def test_bootstrap_draws_each_image_alike_with_replacement():
    n = 1000
    drawn = Bootstrap(n, 1).draw(200 * n, rng())
    counts = torch.bincount(drawn, minlength=n).double()
    assert counts.mean() == 200 and 0.8 < counts.var() / 200 < 1.2  # Poisson's
    first = Bootstrap(n, 1).draw(n, rng(1))
    assert len(first.unique()) / n == pytest.approx(1 - 2.718281828**-1, abs=0.05)


def test_shuffled_data_keeps_das_weights_and_gives_them_to_images_at_random():
    own, control = (GradNormData(6, 10, permuted=flag) for flag in (False, True))
    for data in (own, control):
        data.scores = torch.arange(6.0)
        data.new_epoch(9)
    before = control.q.clone()
    control.draw(3, rng(4))
    assert torch.equal(own.q, before) and not torch.equal(control.q, before)
    assert sorted(control.q.tolist()) == sorted(before.tolist())
    once = control.q.clone()
    control.draw(9, rng(5))  # the epoch's second refill keeps them
    assert torch.equal(control.q, once)
    wanted = (1 / (6 * once[torch.arange(6)])).tolist()
    assert control.weights(torch.arange(6)).tolist() == pytest.approx(wanted)
    seen = torch.bincount(control.draw(60_000, rng(6)), minlength=6) / 60_000
    assert seen.tolist() == pytest.approx(once.tolist(), abs=0.01)


def test_shuffled_data_is_das_first_epoch_and_goes_on_after_a_cut():
    da, control = (TrainConfig(name, **SMALL) for name in ("DA", "shuffled-data"))
    first, other = (Run(config).compute().table("curves").loss for config in (da, control))
    assert first[0] == other[0] and first[1] != other[1]
    whole, cut = Trainer(control), Trainer(control)
    whole.train_epoch()
    cut.restore(unpack_state(pack_state("cut", whole.state())))
    rows = []
    for trainer in (whole, cut):
        trainer.train_epoch()
        rows.append(trainer.history[-1])
    assert rows[0] == rows[1]


# --- schedules ---


def test_a_schedule_by_a_power_of_size_reaches_the_shares_that_it_is_matched_to():
    control = samplers.get("matched-curriculum").paths.build(MINI, 20)
    p = []
    for epoch in range(20):
        control.new_epoch(epoch)
        p.append(control.p)
    mean = dict(zip(MINI.ops, torch.stack(p).mean(0).tolist(), strict=True))
    # PA's on CIFAR-10, of which the power is made: .386 and .297.
    assert mean["nor_conv_3x3"] == pytest.approx(0.388, abs=0.003)
    assert mean["nor_conv_1x1"] == pytest.approx(0.297, abs=0.003)
    for power, name in ((0, "ops"), (0.5, "size")):
        assert torch.allclose(Curriculum(MINI, 2, by=power).fixed, Curriculum(MINI, 2, name).fixed)


def test_depth_is_the_most_convolutions_on_one_way_by_hand():
    for code, depth in {
        "3-0-0-0-0-0": 0,  # leads nowhere
        "0-0-0-1-0-0": 0,
        "0-0-0-3-0-0": 1,
        "3-0-3-0-0-3": 3,
        "3-2-0-2-2-1": 2,  # 1<-0, 3<-1
        "1-3-4-0-0-2": 2,  # 2<-0, 3<-2
        "3-3-3-3-3-3": 3,
    }.items():
        assert BENCH.depth(BENCH.parse(code)) == depth, code
    assert spaces.get("chain-mini").depth((0, 1, 2, 0, 1)) == 5


def test_sbs_draws_depths_up_to_one_two_and_three_alike_and_nothing_disconnected():
    levels = BalancedPaths(BENCH, 1, by="depth").levels
    assert sorted(levels) == [1, 2, 3]
    connected = [arch for arch in BENCH if any(BENCH.live(arch))]
    assert sum(map(len, levels.values())) == len(connected) < len(BENCH)
    # So a step trains a network without any convolution in 6 % of cases.
    bare = sum(BENCH.depth(arch) == 0 for arch in connected)
    assert bare / len(levels[1]) / 3 == pytest.approx(0.06, abs=0.005)
    paths, generator = BalancedPaths(MINI, 1, by="depth"), rng()
    drawn = Counter(max(1, MINI.depth(paths.draw(generator)[0])) for _ in range(4000))
    assert drawn[1] / 4000 == pytest.approx(1 / 2, abs=0.03) and set(drawn) == {1, 2}
    dead = next(arch for arch in MINI if not any(MINI.live(arch)))
    assert paths.weight(dead) == float("inf")
    p = [1 / (len(MINI) * paths.weight(arch)) for arch in MINI]
    assert sum(p) == pytest.approx(1) and p[list(MINI).index(dead)] == 0
