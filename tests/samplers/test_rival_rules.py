"""The rivals' mathematics: each rule beside a slow twin by torch alone, or worked by hand."""

import math
from collections import Counter
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise, product

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from padalib import samplers, spaces
from padalib.engine.runs import Run, pack_state
from padalib.probes.agreement import AgreementConfig
from padalib.probes.cost import paired_times
from padalib.probes.exact import ExactConfig
from padalib.probes.sampled import VarianceConfig, probe
from padalib.samplers import BalancedPaths, FairPaths, compose, sumnas
from padalib.samplers.density import DensityPaths, density
from padalib.samplers.dynas import ByComplexity
from padalib.samplers.magic import WalkingPaths
from padalib.samplers.nsas import ConstrainedPaths, Weighted
from padalib.samplers.sandwich import Distil, SandwichPaths, extreme, soft_loss
from padalib.samplers.sumnas import Reptile
from padalib.samplers.update import clip_gradients
from padalib.study import scales, variance
from padalib.study.own import probes
from padalib.train import TrainConfig, Trainer

MINI = replace(spaces.get("mini"), channels=4, size=8)
NB201 = spaces.get("nasbench201")
CHAIN = spaces.get("chain-mini")
SGD = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}
ARCHS = [(3, 2, 1), (2, 3, 4), (1, 0, 3), (3, 0, 2), (4, 2, 0)]


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def pictures(seed=7, n=6):
    """Normalised images [N, 1, 8, 8] and labels."""
    return torch.randn(n, 1, 8, 8, generator=rng(seed)), torch.arange(n) % 10


def run_rule(rule, net, archs, seed=7, optimizer=None, clip=1e9):
    """One step of an update rule; its record."""
    x, y = pictures(seed)
    optimizer = optimizer or torch.optim.SGD(net.parameters(), lr=0.0)
    optimizer.zero_grad()
    paths, data = samplers.UniformPaths(net.space, 4), samplers.Shuffled(len(y), 4)
    return rule.step(net, optimizer, clip, archs, torch.arange(len(y)), x, y, paths, data)


def assert_gradients(net, loss):
    """The gradients in `net` are those of the loss, by torch alone."""
    weights = list(net.parameters())
    held = [p.grad for p in weights]
    for own, wanted in zip(
        held, torch.autograd.grad(loss, weights, allow_unused=True), strict=True
    ):
        assert (own is None) == (wanted is None)
        if own is not None:
            torch.testing.assert_close(own, wanted, rtol=1e-4, atol=1e-6)


def assert_weights(net, other):
    for own, wanted in zip(net.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(own, wanted, rtol=1e-5, atol=1e-7)


# --- the sandwich rule ---


def test_ends_of_spaces_by_hand():
    assert (extreme(MINI, max), extreme(MINI, min)) == ((3, 3, 3), (1, 1, 1))
    assert (extreme(NB201, max), extreme(NB201, min)) == ((3,) * 6, (1,) * 6)
    first = SandwichPaths(NB201, 1, smallest="first")
    assert first.ends == ((3,) * 6, (3, 1, 1, 1, 1, 1))
    for space in (MINI, CHAIN):  # in a cell a single skip costs as little
        sizes = [space.flops(arch) for arch in space if any(space.live(arch))]
        ends = [space.flops(extreme(space, pick)) for pick in (max, min)]
        assert ends == [max(sizes), min(sizes)] and ends[0] > ends[1]


def test_the_largest_of_a_space_with_inputs_leaves_no_block_unused():
    """By listing all inputs; each block's own have most weights where it takes the first alone."""
    for name in ("nb1shot1-1", "nb1shot1-3"):
        space = spaces.get(name)

        def use(arch, space=space):
            live = space.live(arch)
            return sum(live), sum(space.weights(k, arch[k]) for k, own in enumerate(live) if own)

        largest, smallest = extreme(space, max), extreme(space, min)
        own = [
            range(len(position.options)) if not position.table else (largest[place],)
            for place, position in enumerate(space.positions)
        ]
        assert use(largest) == max(map(use, product(*own)))
        assert use(largest)[0] == use(smallest)[0] == len(space.positions)
        assert use(smallest)[1] < use(largest)[1] / 9


def test_a_space_without_any_signal_is_refused_and_does_not_hang():
    nothing = replace(MINI, ops=("none",))
    with pytest.raises(ValueError, match=r"lets no signal through.* give connected=False"):
        SandwichPaths(nothing, 1)
    assert SandwichPaths(nothing, 1, connected=False).draw(rng()) == [(0, 0, 0)] * 4


def test_a_group_is_largest_smallest_and_paths_that_let_a_signal_through():
    paths, loose = SandwichPaths(MINI, 1, random=3), SandwichPaths(MINI, 1, connected=False)
    one, other = rng(), rng()
    found = [paths.draw(one) for _ in range(200)]
    assert all(len(group) == 5 and group[:2] == [(3, 3, 3), (1, 1, 1)] for group in found)
    drawn = Counter(arch for group in found for arch in group[2:])
    assert all(any(MINI.live(arch)) for arch in drawn) and len(drawn) > 80
    assert not all(any(MINI.live(arch)) for _ in range(100) for arch in loose.draw(other))
    dead = next(arch for arch in MINI if not any(MINI.live(arch)))
    assert paths.weight(dead) == math.inf and loose.weight(dead) == pytest.approx(4 / 2)


def test_soft_targets_by_hand():
    teacher, own = torch.tensor([[0.0, math.log(3)]]), torch.tensor([[0.0, 0.0]])
    p = (0.25, 0.75)
    wanted = sum(q * math.log(q / 0.5) for q in p)
    assert float(soft_loss(own, teacher, 1.0)) == pytest.approx(wanted)
    assert float(soft_loss(teacher, teacher, 2.0)) == pytest.approx(0, abs=1e-6)
    own.requires_grad_()
    (gradient,) = torch.autograd.grad(soft_loss(own, 2 * teacher, 2.0), own)
    # T * (softmax(own / T) - softmax(teacher / T))
    torch.testing.assert_close(gradient, 2 * torch.tensor([[0.25, -0.25]]))


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_others_learn_from_the_largest_through_which_nothing_flows(temperature):
    net, archs = MINI.build(), [(3, 3, 3), (1, 1, 1), (2, 0, 3), (3, 2, 1)]
    record = run_rule(Distil(MINI, 1, temperature=temperature), net, archs)
    x, y = pictures()
    logits = [net(x, arch) for arch in archs]
    target = (logits[0].detach() / temperature).softmax(1)
    total = F.cross_entropy(logits[0], y)
    for own in logits[1:]:
        log = (own / temperature).softmax(1).log()
        total = total + temperature**2 * (target * (target.log() - log)).sum() / len(y)
    assert_gradients(net, total)
    losses = [F.cross_entropy(own, y).item() for own in logits]
    assert float(record[0]) == pytest.approx(sum(losses) / 4)  # the curves' loss is that of labels


def test_with_labels_it_is_the_plain_sum():
    net, archs = MINI.build(), [(3, 3, 3), (1, 1, 1), (2, 0, 3)]
    run_rule(Distil(MINI, 1, targets="labels"), net, archs)
    x, y = pictures()
    assert_gradients(net, sum(F.cross_entropy(net(x, arch), y) for arch in archs))


# --- DYNAS ---


def weights_alone(arch, every=True):
    """Weights of convolutions and the head, one by one; with `every`, those of dead edges too."""
    c = MINI.channels
    fixed = 9 * c + 2 * c * c + 8 * c * c + 10 * 4 * c + 10  # stem, reductions, head and its bias
    ops = [0, 0, 1, 9, 0]
    live = [True] * 3 if every else MINI.live(arch)
    per = [MINI.cells * 21 * c * c * ops[op] for op, own in zip(arch, live, strict=True) if own]
    return fixed + sum(per)


@pytest.mark.parametrize("dead", ["count", "skip"])
def test_rates_fall_from_the_fourth_power_to_the_fourth_root(dead):
    rule = ByComplexity(MINI, 4, dead=dead)
    rule.new_epoch(0)
    assert {rule.rate(arch) for arch in MINI} == {1.0}
    rule.new_epoch(3)
    low, high = math.log(weights_alone((0, 0, 0))), math.log(weights_alone((3, 3, 3)))
    for arch in MINI:
        share = (math.log(weights_alone(arch, dead == "count")) - low) / (high - low)
        assert rule.rate(arch) == pytest.approx(0.25 ** (4 - 3.75 * share))
    assert rule.rate((1, 4, 0)) == 0.25**4 and rule.rate((3, 3, 3)) == pytest.approx(0.25**0.25)
    assert (rule.rate((3, 3, 0)) == rule.rate((3, 0, 3))) == (dead == "count")


def test_a_space_of_one_size_has_one_rate():
    space = replace(MINI, ops=("nor_conv_3x3",))
    rule = ByComplexity(space, 2)
    rule.new_epoch(1)
    assert rule.rate((0, 0, 0)) == 0.5**4


@pytest.mark.parametrize("zeros", [False, True])
def test_momentum_apart_is_one_optimiser_for_each_option(zeros):
    net = MINI.build()
    twin = deepcopy(net)
    rule, mine = ByComplexity(MINI, 4, position=1), torch.optim.SGD(net.parameters(), **SGD)
    five = [torch.optim.SGD(twin.parameters(), **SGD) for _ in MINI.ops]
    paths, data = samplers.UniformPaths(MINI, 4), samplers.Shuffled(6, 4)
    for k in range(16):
        rule.new_epoch(k // 6)
        arch, (x, y) = MINI.sample(rng(k)), pictures(k)
        mine.zero_grad(set_to_none=not zeros)
        rule.step(net, mine, 0.5, [arch], torch.arange(6), x, y, paths, data)
        own = five[arch[1]]
        own.zero_grad(set_to_none=not zeros)
        F.cross_entropy(twin(x, arch), y).backward()
        torch.nn.utils.clip_grad_norm_(twin.parameters(), 0.5)
        own.param_groups[0]["lr"] = 0.1 * rule.rate(arch)
        own.step()
        assert_weights(net, twin)
    assert len(rule.buffers) > 3


def test_momentum_shared_is_one_optimiser():
    found = []
    for momentum in ("shared", "apart"):
        net = MINI.build()
        rule, mine = (
            ByComplexity(MINI, 4, momentum=momentum),
            torch.optim.SGD(net.parameters(), **SGD),
        )
        for k in range(6):
            run_rule(rule, net, [ARCHS[k % 3]], k, mine)
        found.append(net)
    twin = MINI.build()
    one = torch.optim.SGD(twin.parameters(), **SGD)
    for k in range(6):
        run_rule(samplers.Accumulate(MINI, 4), twin, [ARCHS[k % 3]], k, one)
    assert_weights(found[0], twin)
    assert not torch.allclose(found[1].head.weight, twin.head.weight)


def test_its_curves_hold_the_rate_that_was_used():
    training = Trainer(TrainConfig("DYNAS", data="digits-small", epochs=2, batch=128))
    rates, rate = [], training.update.rate

    def watched(arch):
        rates.append(rate(arch))
        return rates[-1]

    training.update.rate = watched
    for epoch in range(2):
        rates.clear()
        training.train_epoch()
        assert len(rates) == 4 and min(rates) > 0
        assert training.history[epoch]["lr"] == pytest.approx(0.05 * sum(rates) / 4)


def test_bad_use_of_dynas_is_named():
    with pytest.raises(ValueError, match="position must be a whole number from 0 to 2, got 3"):
        ByComplexity(MINI, 1, position=3)
    with pytest.raises(ValueError, match="one rate a step, but this one has 2 paths"):
        run_rule(ByComplexity(MINI, 1), MINI.build(), ARCHS[:2])
    with pytest.raises(ValueError, match="DYNAS draws paths or images, or steps in its own way"):
        TrainConfig("DYNAS", arch=(3, 2, 1))
    assert ByComplexity(spaces.get("nb1shot1-1"), 1).position == 1  # inputs are nobody's to learn
    assert ByComplexity(SingleFirst("single", strides=(1, 1)), 1).position == 1


@dataclass(frozen=True)
class SingleFirst(spaces.ChainSpace):
    """Its first block has no choice."""

    @cached_property
    def positions(self):
        return (
            spaces.Position("a", ("conv_3x3",)),
            spaces.Position("b", ("conv_1x1", "conv_3x3")),
        )


# --- SUMNAS ---


def reptile_twin(net, archs, steps, momentum, mean, decay=4e-5, clip=0.5):
    """The weights after outer steps on the given pictures: a copy and an optimiser a path."""
    carried, outer = {}, 0.7
    for k in range(steps):
        x, y = pictures(k)
        names = dict(net.named_parameters())
        moves = {name: [] for name in names}
        for arch in archs:
            own = deepcopy(net)
            inner = torch.optim.SGD(own.parameters(), lr=0.1, momentum=0.9)
            if momentum == "kept":
                for name, weight in own.named_parameters():
                    if name in carried:
                        inner.state[weight]["momentum_buffer"] = carried[name]
            for _ in range(2):
                inner.zero_grad()
                F.cross_entropy(own(x, arch), y).backward()
                torch.nn.utils.clip_grad_norm_(own.parameters(), clip)
                inner.step()
            for name, weight in own.named_parameters():
                if weight.grad is not None:
                    moves[name].append(weight.detach() - names[name].detach())
                    carried[name] = inner.state[weight]["momentum_buffer"].clone()
        with torch.no_grad():
            for name, own in moves.items():
                if own:
                    towards = sum(own) / (len(own) if mean == "holders" else len(archs))
                    names[name] += outer / 2 * (towards - decay * names[name])


@pytest.mark.parametrize("momentum", ["reset", "kept"])
@pytest.mark.parametrize("mean", ["all", "holders"])
def test_reptile_is_copies_of_the_network(momentum, mean):
    net = MINI.build()
    twin = deepcopy(net)
    rule = Reptile(MINI, 4, outer=0.7, momentum=momentum, mean=mean)
    optimizer = torch.optim.SGD(net.parameters(), **SGD)
    optimizer.param_groups[0]["lr"] = 0.05  # half of the run's: the outer step is halved with it
    for k in range(3):
        run_rule(rule, net, ARCHS, k, optimizer, clip=0.5)
    reptile_twin(twin, ARCHS, 3, momentum, mean)
    assert_weights(net, twin)
    assert bool(rule.buffers) == (momentum == "kept")


def test_one_inner_step_is_a_step_of_the_mean_gradient():
    net = MINI.build()
    before, (x, y) = deepcopy(net), pictures()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    run_rule(Reptile(MINI, 1, inner=1, decay=0.0), net, ARCHS, 7, optimizer)
    loss = sum(F.cross_entropy(before(x, arch), y) for arch in ARCHS) / len(ARCHS)
    loss.backward()
    torch.optim.SGD(before.parameters(), lr=0.1).step()
    assert_weights(net, before)


def test_only_one_of_five_fair_paths_moves_an_option():
    training = Trainer(TrainConfig("SUMNAS", data="digits-small", epochs=1, batch=16))
    assert (training.passes, training.steps) == (10, 3)  # 512 / 160 images
    space, archs = training.space, [(k, k, k) for k in range(5)]
    rules = [Reptile(space, 1, mean=mean, decay=0.0) for mean in ("all", "holders")]
    moved = []
    for rule in rules:
        net = deepcopy(training.net)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
        x, y = training.images.batch(torch.arange(16))
        rule.step(net, optimizer, 5.0, archs, torch.arange(16), x, y, training.paths, training.data)
        old = dict(training.net.named_parameters())
        moved.append({name: p.detach() - old[name] for name, p in net.named_parameters()})
    for name, own in moved[0].items():
        # The path without any operation, whose output is constant, holds the head alone.
        times = 5 if ".ops." in name else 1 if "head" in name else 5 / 4
        torch.testing.assert_close(times * own, moved[1][name], rtol=1e-3, atol=1e-6)
        assert own.abs().sum() > 0


def test_what_is_clipped_is_counted_by_pass(monkeypatch):
    norms = []

    def watched(optimizer, clip):
        norm, scale = clip_gradients(optimizer, clip)
        norms.append(float(norm))
        return norm, scale

    monkeypatch.setattr(sumnas, "clip_gradients", watched)
    training = Trainer(TrainConfig("SUMNAS", data="digits-small", epochs=2, batch=16, clip=1.0))
    for epoch in range(2):
        norms.clear()
        training.train_epoch()
        own = np.array(norms)
        assert len(own) == 3 * 10 and 0 < (own > 1).mean() < 1
        assert training.history[epoch]["clipped"] == pytest.approx((own > 1).mean())
        assert training.history[epoch]["grad_norm"] == pytest.approx(own.mean(), rel=1e-4)


def test_gradients_of_zero_have_no_meaning_between_inner_steps():
    with pytest.raises(ValueError, match=r"SUMNAS, zeros drops the gradients .* leave it out"):
        samplers.get("SUMNAS").with_options("SUMNAS, zeros", zero_grad=True)


# --- MAGIC-T ---


@pytest.mark.parametrize("changes", [1, 2])
def test_one_step_changes_so_many_positions_and_all_paths_are_visited_alike(changes):
    space = replace(MINI, ops=("nor_conv_1x1", "nor_conv_3x3", "skip_connect"))
    paths, generator = WalkingPaths(space, 1, changes), rng()
    walk = [paths.draw(generator)[0] for _ in range(6000)]
    steps = [sum(map(int.__ne__, a, b)) for a, b in pairwise(walk)]
    assert set(steps) == {changes}
    seen = Counter(walk)
    assert len(seen) == 27 and max(seen.values()) < 1.4 * 6000 / 27 < 2 * min(seen.values())


def test_a_walk_goes_on_after_a_checkpoint_and_begins_anew_when_forgotten():
    one, other, generator = WalkingPaths(MINI, 1), WalkingPaths(MINI, 1), rng()
    one.draw(generator)
    other.restore(deepcopy(one.state()))
    again = rng(5)
    again.set_state(generator.get_state())
    assert [one.draw(generator) for _ in range(9)] == [other.draw(again) for _ in range(9)]
    one.forget()
    assert one.draw(rng(3)) == [MINI.sample(rng(3))]


def test_more_changes_than_positions_are_refused():
    with pytest.raises(ValueError, match="changes must be a whole number from 1 to 3, got 4"):
        WalkingPaths(MINI, 1, 4)


def test_a_walk_that_never_visits_some_paths_is_refused():
    two = replace(MINI, ops=spaces.CONVS)
    for changes, given in ((2, two), (3, two)):
        with pytest.raises(ValueError, match=f"{changes} changes a step never reach .* such as 1"):
            WalkingPaths(given, 1, changes)
    paths, generator = WalkingPaths(two, 1, 1), rng()
    assert {paths.draw(generator)[0] for _ in range(200)} == {*two}
    paths = WalkingPaths(replace(two, ops=MINI.ops[1:4]), 1, 2)  # three options: any will do
    assert len({paths.draw(generator)[0] for _ in range(900)}) == 27


# --- density ---


def test_density_of_a_space_that_cannot_be_listed_is_refused_at_once():
    with pytest.raises(ValueError, match="nb1shot1-3 has 1,312,200, too many to list: use a met"):
        TrainConfig("density-aware", space="nb1shot1-3", data="cifar10")


def test_density_by_hand():
    space = replace(MINI, ops=("nor_conv_1x1", "nor_conv_3x3"))
    archs = [(0, 0, 0), (1, 1, 1)]
    c = 4
    fixed, small = weights_alone((0, 0, 0)), 21 * c * c
    sizes = fixed + 3 * small, fixed + 27 * small
    both = fixed / math.sqrt(sizes[0] * sizes[1])
    assert density(space, archs).tolist() == pytest.approx([(1 + both) / 2] * 2)


def test_what_many_share_is_drawn_more_rarely():
    uniform, paths = DensityPaths(MINI, 1, power=0.0), DensityPaths(MINI, 1)
    assert {round(uniform.weight(arch), 9) for arch in MINI} == {1.0}
    assert paths.weight((0, 0, 0)) == max(map(paths.weight, MINI))  # in the middle of all
    assert paths.weight((3, 3, 3)) < 1 < paths.weight((2, 2, 2))  # few others are as large


# --- NSAS ---


def test_the_third_path_differs_from_the_second_everywhere():
    paths, generator = ConstrainedPaths(MINI, 1), rng()
    groups = [paths.draw(generator) for _ in range(300)]
    assert all(all(map(int.__ne__, b, c)) for _, b, c in groups)
    assert {option for _, _, third in groups for option in third} == {0, 1, 2, 3, 4}


def test_its_step_follows_two_four_and_four_tenths():
    net, archs = MINI.build(), ARCHS[:3]
    run_rule(Weighted(MINI, 1), net, archs)
    x, y = pictures()
    losses = [F.cross_entropy(net(x, arch), y) for arch in archs]
    assert_gradients(net, 0.2 * losses[0] + 0.4 * losses[1] + 0.4 * losses[2])
    with pytest.raises(ValueError, match="shares are of 3 paths, but a step has 2"):
        run_rule(Weighted(MINI, 1), net, archs[:2])


# --- SBS ---


def test_the_published_balance_in_numbers():
    """Worked out from EFS-NAS's public code: a third each, none disconnected."""
    paths = BalancedPaths(NB201, 1, by="depth")
    p = {arch: 1 / len(NB201) / paths.weight(arch) for arch in NB201}
    assert sum(p.values()) == pytest.approx(1)
    by_depth, dead = Counter(), 0.0
    for arch, own in p.items():
        by_depth[NB201.depth(arch)] += own
        dead += own * (not any(NB201.live(arch)))
    assert dead == 0 and by_depth[2] == pytest.approx(1 / 3) == pytest.approx(by_depth[3])
    assert by_depth[0] == pytest.approx(0.06, abs=0.005)
    cost = {2: 1, 3: 9}
    live = sum(
        own * sum(cost.get(op, 0) for op, used in zip(arch, NB201.live(arch), strict=True) if used)
        for arch, own in p.items()
    )
    assert live == pytest.approx(14.1, abs=0.05)


# --- all of them ---


@pytest.mark.parametrize("method", ["sandwich", "SUMNAS", "NSAS"])
def test_steps_that_are_no_sum_of_gradients_are_not_probed_as_such(method):
    config = TrainConfig(method, data="digits-small", epochs=1, batch=16)
    with pytest.raises(ValueError, match=f"{method} .* not the sum of its paths' gradients"):
        VarianceConfig(config).check()
    VarianceConfig(replace(config, method="DYNAS")).check()


@pytest.mark.parametrize("probe", [ExactConfig, AgreementConfig])
def test_steps_of_one_path_that_are_no_gradients_are_not_probed_exactly(probe):
    method = compose("one by one", update=Reptile)
    config = TrainConfig(method, data="digits-small", epochs=1, batch=16)
    with pytest.raises(ValueError, match=r"one by one .* not the sum of its paths' gradients"):
        probe(config)


def test_a_study_of_variance_leaves_out_what_cannot_be_probed():
    scale = replace(scales.get("smoke"), methods=("SPOS", "sandwich", "DYNAS", "NSAS"))
    assert {probe.train.method.name for probe in variance.probes(scale)} == {"SPOS", "DYNAS"}
    assert {config.method.name for config in scale.trainings()} == set(scale.methods)
    beside = probes(scale.trainings(), 4)
    assert {probe.train.method.name for probe in beside} == {"SPOS", "DYNAS"}


@pytest.mark.parametrize("method", ["DYNAS", "sandwich", "SUMNAS"])
def test_a_short_run_is_timed_over_its_own_epochs(method):
    config = TrainConfig(method, data="digits-small", epochs=2, batch=4)
    assert (paired_times(config, 61, 1) > 0).all()


def test_a_look_in_between_leaves_no_trace(monkeypatch, tmp_path):
    for method in ("MAGIC-T", "density-aware", "DYNAS"):
        config = TrainConfig(method, data="digits-small", epochs=2, batch=128, keep=(1,))
        with monkeypatch.context() as patch:
            patch.setenv("PADALIB_DATA", str(tmp_path / "unprobed"))
            unprobed = Run(config).compute().table("curves")
        run = Run(config)
        with monkeypatch.context() as patch:
            patch.setattr(Run, "log", stop)
            with pytest.raises(KeyboardInterrupt):
                run.compute()  # its first epoch
        trainer = Trainer(config)
        trainer.restore(run.load_state("last"))
        before = pack_state("x", {k: v for k, v in trainer.state().items() if k in KEPT})
        probe(trainer, paths=16, batches=2)
        assert before == pack_state("x", {k: v for k, v in trainer.state().items() if k in KEPT})
        assert run.compute().table("curves").equals(unprobed)


KEPT = ("epoch", "net", "optimizer", "generators", "update", "touched")


def stop(run, line):
    raise KeyboardInterrupt


def test_a_rule_goes_with_other_samplers():
    method = compose("both", FairPaths, samplers.GradNormData, Reptile, inner=1, redraw="epoch")
    training = Trainer(TrainConfig(method, data="digits-small", epochs=2, batch=16))
    assert training.passes == 5 and training.train_epoch() is None
    assert training.data.scores.count_nonzero() > 80


def test_density_counts_weights_that_several_options_have_in_common_as_one():
    space = spaces.get("nb1shot1-1")
    archs = [space.encode(text) for text in ("0:3|01:3|01:3|12:3|34", "0:3|01:3|02:3|12:3|34")]
    with torch.device("meta"):
        net = space.network("batch", None, "float32")
    held = [
        {
            id(weight): weight.numel()
            for place, option in enumerate(arch)
            if space.live(arch)[place]
            for module in net.choices().get((place // space.extent, option), [])
            for weight in module.parameters()
        }
        for arch in archs
    ]
    assert held[0] == held[1]  # the same weights
    assert density(space, archs).tolist() == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize(
    ("method", "field", "value"),
    [
        ("DYNAS", "warmup", 2),
        ("SUMNAS", "nesterov", True),
        ("SUMNAS", "weight_decay", 1e-3),
        ("CLOSE", "start", TrainConfig()),
    ],
)
def test_fields_that_a_rule_does_not_go_by_are_refused(method, field, value):
    with pytest.raises(ValueError, match=f"{method} does not go by {field}, for it.*leave it out"):
        TrainConfig(method, **{field: value})
    assert getattr(TrainConfig("SPOS", **{field: value}), field) == value
    assert TrainConfig("SUMNAS", nesterov=False).nesterov is False
    assert TrainConfig("SUMNAS", weight_decay=2.5e-4).weight_decay == 2.5e-4
