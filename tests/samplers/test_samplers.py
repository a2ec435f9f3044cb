"""Samplers: what each draws, learns and weighs, by hand; the update rule; a sampler's identity."""

import io
import linecache
from collections import Counter
from dataclasses import replace
from itertools import count
from math import prod, sqrt

import pandas as pd
import pytest
import torch

from padalib import samplers, spaces
from padalib.engine import runs
from padalib.engine.source import code_of
from padalib.samplers import (
    Accumulate,
    BalancedPaths,
    Bootstrap,
    Curriculum,
    DataSampler,
    FairPaths,
    GradNormData,
    GradNormPaths,
    PathSampler,
    ProductPaths,
    ReplayedPaths,
    ResidualPaths,
    Shuffled,
    UniformPaths,
    compose,
    part,
)
from padalib.samplers.close import Parting
from padalib.samplers.density import DensityPaths
from padalib.samplers.dynas import ByComplexity
from padalib.samplers.magic import WalkingPaths
from padalib.samplers.nsas import ConstrainedPaths, Weighted
from padalib.samplers.sandwich import Distil, SandwichPaths
from padalib.samplers.stepped import SteppedPaths
from padalib.samplers.sumnas import Reptile
from padalib.samplers.update import path_loss
from padalib.study.record import parts
from padalib.train import TrainConfig, Trainer

MINI = spaces.get("mini")
BENCH = spaces.get("nasbench201")
TINY = replace(MINI, channels=4, size=8)
TINY_16 = replace(MINI, channels=4)  # takes the digits


def recorded(names, epochs):
    """Curves of a made-up run: p of each option, another one in each epoch."""
    p = torch.rand(epochs, len(names), generator=rng(9)).softmax(1).tolist()
    return pd.DataFrame(p, columns=[f"p_{name}" for name in names])


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def pictures(n=6):
    """Normalised images [N, 1, 8, 8] and labels of the tiny space."""
    return torch.randn(n, 1, 8, 8, generator=rng(7)), torch.arange(n) % 10


def trainer(method, **fields):
    fields = {"data": "digits-small", "batch": 512, "epochs": 2} | fields
    return Trainer(TrainConfig(method=method, **fields))


def step(net, archs, paths, data, clip=1e9, lr=0.0):
    """One step of the update rule; the gradients stay in `net`."""
    x, y = pictures()
    optimizer = torch.optim.SGD(net.parameters(), lr=lr)
    optimizer.zero_grad()
    return Accumulate(net.space, 1).step(
        net, optimizer, clip, archs, torch.arange(len(y)), x, y, paths, data
    )


def gradients(net, arch):
    """Loss and gradients of one path, by torch alone."""
    x, y = pictures()
    loss = torch.nn.functional.cross_entropy(net(x, arch), y)
    found = torch.autograd.grad(loss, list(net.parameters()), allow_unused=True)
    return loss.item(), [
        torch.zeros_like(p) if g is None else g
        for p, g in zip(net.parameters(), found, strict=True)
    ]


# --- FairNAS ---


@pytest.mark.parametrize("space", [MINI, BENCH, spaces.get("conv64")], ids=lambda s: s.name)
def test_a_fair_group_has_every_operation_once_on_every_edge(space):
    paths, generator = FairPaths(space, epochs=3), rng()
    groups = [paths.draw(generator) for _ in range(50)]
    for group in groups:
        assert len(group) == paths.group == len(space.ops)
        assert all(sorted(edge) == list(range(len(space.ops))) for edge in zip(*group, strict=True))
        assert all(space.validate(arch) == arch for arch in group)
    assert len(set(map(tuple, groups))) > 20  # fresh in each step


def test_edges_of_a_fair_group_are_ordered_independently():
    paths, generator = FairPaths(MINI, epochs=3), rng()
    groups = [paths.draw(generator) for _ in range(5000)]
    seen = Counter(group[0] for group in groups)
    chi2 = sum((seen[arch] - 40) ** 2 / 40 for arch in MINI)
    assert 80 < chi2 < 180  # 124 degrees of freedom: 124 +- 16
    assert len({tuple(arch[0] for arch in group) for group in groups}) == 120  # every order


def test_the_released_handicap_holds_a_group_for_an_epoch():
    paths, generator, epochs = FairPaths(MINI, 3, redraw="epoch"), rng(), []
    for epoch in range(3):
        paths.new_epoch(epoch)
        groups = {tuple(paths.draw(generator)) for _ in range(5)}
        assert len(groups) == 1
        epochs += groups
    assert len(set(epochs)) == 3


# --- paths drawn from probabilities ---


def test_paths_are_drawn_from_p_independently_on_every_edge():
    paths, generator = ProductPaths(MINI, epochs=1), rng()
    paths.p = torch.tensor([0.1, 0.15, 0.2, 0.25, 0.3])
    seen = Counter(paths.draw(generator)[0] for _ in range(6000))
    chi2 = 0.0
    for arch in MINI:
        expected = 6000 * prod(paths.p[op].item() for op in arch)
        chi2 += (seen[arch] - expected) ** 2 / expected
    assert 80 < chi2 < 180  # 124 degrees of freedom: 124 +- 16


def test_importance_weights_of_paths_undo_p():
    paths = ProductPaths(MINI, epochs=1)
    assert paths.weight((0, 3, 4)) == pytest.approx(1)
    paths.p = torch.tensor([0.05, 0.1, 0.2, 0.25, 0.4])
    chance = {arch: prod(paths.p[op].item() for op in arch) for arch in MINI}
    for arch in MINI:
        assert paths.weight(arch) == pytest.approx(1 / (125 * chance[arch]), rel=1e-5)
    assert sum(chance[arch] * paths.weight(arch) for arch in MINI) == pytest.approx(1, rel=1e-5)
    assert sum(chance[arch] * paths.weight(arch) for arch in MINI if arch[0] == 4) == pytest.approx(
        1 / 5, rel=1e-5
    )


# --- PA ---


def give(net, arch, norms):
    """Gradients for the convolutions that `arch` names, of these norms: by stage, then by edge."""
    for parameter in net.parameters():
        parameter.grad = None
    weights = [weight for _, _, own, _ in net.owned(arch) for weight in own]
    for weight, norm in zip(weights, norms, strict=True):
        if norm is not None:
            weight.grad = torch.zeros_like(weight)
            weight.grad.view(-1)[:4] = norm / 2  # four entries of norm / 2 have the norm


def observed(steps, clip_scale=1.0, **options):
    """A PA sampler after these steps, each (arch, norms)."""
    net, paths = TINY.build(), GradNormPaths(TINY, epochs=4, **options)
    for arch, norms in steps:
        give(net, arch, norms)
        paths.observe([arch], net, clip_scale)
    return paths


STEP = ((3, 0, 2), [1, 10, 2, 20, 3, 30])  # conv3x3: mean of 1, 2, 3; conv1x1: of 10, 20, 30


def times(factor):
    return STEP[0], [factor * norm for norm in STEP[1]]


def test_score_is_the_mean_norm_over_an_operations_weights():
    assert observed([STEP]).scores.tolist() == pytest.approx([0, 0, 20, 2, 0])
    both = ((3, 2, 3), [1, 10, 5, 1, 20, 5, 1, 30, 5])  # two edges with a conv3x3
    assert observed([both]).scores.tolist() == pytest.approx([0, 0, 20, 3, 0])


def test_scores_are_averaged_with_half_weight_or_plainly():
    steps = [times(1), times(3), times(5)]
    assert observed(steps).scores[3].item() == pytest.approx(((2 + 6) / 2 + 10) / 2)
    assert observed(steps, average="mean").scores[3].item() == pytest.approx((2 + 6 + 10) / 3)
    skipped = [times(1), ((0, 2, 0), [7, 7, 7])]  # an operation that is not drawn keeps its score
    assert observed(skipped).scores.tolist() == pytest.approx([0, 0, (20 + 7) / 2, 2, 0])


def test_p_follows_the_schedule():
    paths = observed([STEP])
    paths.new_epoch(1)  # delta = 1/4
    wanted = [0.15, 0.15, 0.15 + 0.25 * 20 / 22, 0.15 + 0.25 * 2 / 22, 0.15]
    assert paths.p.tolist() == pytest.approx(wanted)


def test_p_may_follow_one_delta_instead_of_a_growing_one():
    constant, growing = observed([STEP], delta=0.5), observed([STEP])
    constant.new_epoch(1)
    growing.new_epoch(2)  # of 4: a half, too
    assert torch.equal(constant.p, growing.p)
    constant.new_epoch(3)  # nothing was observed
    assert torch.equal(constant.p, growing.p)
    fresh = GradNormPaths(TINY, epochs=4, delta=0.5)
    fresh.new_epoch(0)  # there are no scores yet
    assert fresh.p.tolist() == pytest.approx([0.2] * 5)


def test_scores_may_be_renewed_every_second_epoch():
    """Those of epochs 0 and 1 together hold for 2 and 3, while delta goes on growing."""
    net, paths = TINY.build(), GradNormPaths(TINY, epochs=4, interval=2, average="mean")
    shares = {}
    for epoch, factor in enumerate((1, 3, 50, 50)):
        paths.new_epoch(epoch)
        shares[epoch] = paths.p.tolist()
        arch, norms = ((3, 0, 3), [1, 1, 2, 2, 3, 3]) if epoch == 0 else times(factor)
        give(net, arch, norms)
        paths.observe([arch], net, 1.0)
    assert shares[0] == shares[1] == pytest.approx([0.2] * 5)
    score = [0, 0, 60, (2 + 6) / 2, 0]  # 3x3 in both epochs, 1x1 in the second
    for epoch, delta in ((2, 0.5), (3, 0.75)):
        wanted = [delta * own / 64 + (1 - delta) / 5 for own in score]
        assert shares[epoch] == pytest.approx(wanted)


def test_p_may_be_renewed_after_every_step():
    """By hand: after a step scores 2 and 20, after the next half of these and of 6 and 60."""
    net, paths, generator = TINY.build(), SteppedPaths(TINY, epochs=4), rng()
    assert paths.log()["p_nor_conv_3x3"] == pytest.approx(0.2)
    paths.new_epoch(2)  # delta = 1/2
    found = [paths.p.tolist()]
    for factor in (1, 3):
        paths.draw(generator)
        give(net, *times(factor))
        paths.observe([STEP[0]], net, 1.0)
        found.append(paths.p.tolist())
    assert paths.scores.tolist() == pytest.approx([0, 0, 40, 4, 0])
    same = [0.1, 0.1, 0.1 + 0.5 * 20 / 22, 0.1 + 0.5 * 2 / 22, 0.1]
    assert found[1:] == [pytest.approx(same)] * 2 and found[0] == pytest.approx([0.2] * 5)
    mean = (0.2 + same[2]) / 2  # of the two steps' draws
    assert paths.log()["p_nor_conv_1x1"] == pytest.approx(mean)
    paths.new_epoch(3)  # no score restarts; delta = 3/4 at once; a mean of its own
    later = [0.05, 0.05, 0.05 + 0.75 * 20 / 22, 0.05 + 0.75 * 2 / 22, 0.05]
    assert paths.scores[2] == pytest.approx(40) and paths.p.tolist() == pytest.approx(later)
    assert paths.log()["p_nor_conv_1x1"] == pytest.approx(later[2])


def test_running_means_restart_with_each_epoch():
    paths, net = observed([times(100)]), TINY.build()
    paths.new_epoch(1)
    give(net, *STEP)
    paths.observe([STEP[0]], net, 1.0)
    assert paths.scores.tolist() == pytest.approx([0, 0, 20, 2, 0])
    paths.new_epoch(2)
    held = paths.p.clone()
    paths.new_epoch(3)  # nothing was observed: p stays
    assert torch.equal(paths.p, held)


def test_operations_without_weights_score_zero_or_the_mean():
    paths = observed([STEP], parameter_free="mean")
    paths.new_epoch(2)  # delta = 1/2
    scores = [11, 11, 20, 2, 11]
    assert paths.p.tolist() == pytest.approx([0.5 * s / 55 + 0.1 for s in scores])
    paths = observed([((0, 2, 0), [4, 4, 4])], parameter_free="mean")
    paths.new_epoch(2)  # the mean is over what was seen, and conv3x3 was not
    assert paths.p.tolist() == pytest.approx([0.5 * s / 16 + 0.1 for s in (4, 4, 4, 0, 4)])


def test_norms_are_read_after_or_before_clipping():
    assert observed([STEP], clip_scale=torch.tensor(0.25)).scores[3].item() == pytest.approx(2)
    raw = observed([STEP], clip_scale=torch.tensor(0.25), norm="raw")
    assert raw.scores.tolist() == pytest.approx([0, 0, 80, 8, 0])


def test_norms_may_be_divided_by_size():
    paths = observed([STEP], size="rms")  # stages of 4, 8 and 16 channels
    assert paths.scores[3].item() == pytest.approx((1 / 12 + 2 / 24 + 3 / 48) / 3)
    assert paths.scores[2].item() == pytest.approx((10 / 4 + 20 / 8 + 30 / 16) / 3)


def test_operations_cut_off_count_as_zero_or_not_at_all():
    dead = ((3, 2, 0), [None, 6, None, 6, None, 6])
    assert observed([STEP, dead]).scores.tolist() == pytest.approx([0, 0, 13, 1, 0])
    skip = observed([STEP, dead], dead="skip")
    assert skip.scores.tolist() == pytest.approx([0, 0, 13, 2, 0])
    half = ((3, 3, 0), [None, 2, None, 4, None, 6])  # one of the two conv3x3 is cut off
    assert observed([half]).scores[3].item() == pytest.approx(12 / 6)
    assert observed([half], dead="skip").scores[3].item() == pytest.approx(12 / 3)


def test_operations_cut_off_are_told_by_the_path_and_not_by_their_gradient():
    zero = ((3, 2, 0), [0, 6, 0, 6, 0, 6])  # zero_grad=True leaves gradients of zero
    assert observed([STEP, zero], dead="skip").scores.tolist() == pytest.approx([0, 0, 13, 2, 0])


@pytest.mark.parametrize("options", [{}, {"parameter_free": "mean"}, {"size": "rms"}])
def test_p_is_a_distribution_at_every_epoch(options):
    net, paths, generator = TINY.build(), GradNormPaths(TINY, epochs=10, **options), rng()
    for epoch in range(10):
        paths.new_epoch(epoch)
        assert paths.p.sum().item() == pytest.approx(1)
        assert paths.p.min() >= (1 - epoch / 10) / 5 - 1e-6
        if epoch == 0:
            assert paths.p.tolist() == pytest.approx([0.2] * 5)
        for _ in range(4):
            (arch,) = paths.draw(generator)
            norms = torch.rand(len(net.owned(arch)), generator=generator)
            give(net, arch, norms.tolist())
            paths.observe([arch], net, 1.0)


def test_pa_observes_the_gradients_of_the_step():
    arch, clip = (3, 2, 2), 0.05
    net = TINY.build(seed=1)
    _, grads = gradients(net, arch)
    total = sqrt(sum(g.square().sum().item() for g in grads))
    norms = {
        name: g.norm().item() for (name, _), g in zip(net.named_parameters(), grads, strict=True)
    }

    def mean_norm(op, edges):
        names = [f"stages.{s}.0.ops.{edge}_{op}.conv.weight" for s in range(3) for edge in edges]
        return sum(norms[name] for name in names) / len(names)

    wanted = torch.tensor([0, 0, mean_norm(2, (1, 2)), mean_norm(3, (0,)), 0])
    assert total > clip
    for norm, scale in (("raw", 1.0), ("clipped", clip / total)):
        paths = GradNormPaths(TINY, epochs=4, norm=norm)
        step(net, [arch], paths, Shuffled(6, 4), clip=clip)
        torch.testing.assert_close(paths.scores, scale * wanted, rtol=1e-4, atol=0)


@pytest.mark.parametrize("clip", [0.05, 1e3])
def test_gradients_are_clipped_to_the_bit_as_torch_clips_them(clip):
    arch, net, twin = (3, 2, 2), TINY.build(seed=1), TINY.build(seed=1)
    _, _, norm = step(net, [arch], GradNormPaths(TINY, epochs=4), Shuffled(6, 4), clip=clip)
    step(twin, [arch], GradNormPaths(TINY, epochs=4), Shuffled(6, 4), clip=float("inf"))
    assert torch.equal(norm, torch.nn.utils.clip_grad_norm_(twin.parameters(), clip, foreach=True))
    clipped = [(p.grad, q.grad) for p, q in zip(net.parameters(), twin.parameters(), strict=True)]
    seen = [(a is None, b is None) for a, b in clipped]
    assert set(seen) == {(True, True), (False, False)}
    assert all(torch.equal(a, b) for a, b in clipped if a is not None)


# --- curriculum ---


@pytest.mark.parametrize(
    "by, fixed", [("ops", [0, 0, 1 / 2, 1 / 2, 0]), ("size", [0, 0, 1 / 4, 3 / 4, 0])]
)
def test_curriculum_is_pas_schedule_with_fixed_scores(by, fixed):
    control, generator = Curriculum(MINI, epochs=20, by=by), rng()
    for epoch in range(20):
        control.new_epoch(epoch)
        delta = epoch / 20
        wanted = [delta * f + (1 - delta) / 5 for f in fixed]
        assert control.p.tolist() == pytest.approx(wanted, abs=1e-6)
        paths = GradNormPaths(MINI, epochs=20)
        paths.scores, paths.counts = 7 * torch.tensor(fixed), [1] * 5
        paths.new_epoch(epoch)
        torch.testing.assert_close(control.p, paths.p)
    assert sum(op in (2, 3) for _ in range(100) for op in control.draw(generator)[0]) > 270


def test_curriculum_in_other_spaces():
    control = Curriculum(spaces.get("conv64"), epochs=2, by="size")
    control.new_epoch(1)
    assert control.p.tolist() == pytest.approx([(0.25 + 0.5) / 2, (0.75 + 0.5) / 2])
    with pytest.raises(ValueError, match="no option of mini has weights"):
        Curriculum(replace(MINI, ops=("none", "skip_connect")), epochs=2)


def test_weights_without_a_gradient_are_named():
    net = MINI.build()
    net(torch.randn(2, 1, 16, 16), (3, 3, 3)).sum().backward()
    said = (
        r"^'nor_conv_1x1' of edge 1 got no gradient from the path 3-2-3 \(.*\) of mini: use its "
        r"weights in features\(x, arch\), or say False of that position in live\(arch\)$"
    )
    with pytest.raises(ValueError, match=said):
        GradNormPaths(MINI, epochs=2).observe([(3, 3, 3), (3, 2, 3)], net, 1.0)


class Unlearned(spaces.ChainSpace):
    """A chain of which nobody learns the first blocks."""

    learned = 0

    @property
    def positions(self):
        tables = ["op" if k < self.learned else "" for k in range(5)]
        return tuple(spaces.Position(f"block {k}", self.options, tables[k]) for k in range(5))


class Mixed(Unlearned):
    """One block that is learned, and has no weights."""

    learned = 1

    def weights(self, position, option):
        return 0 if position == 0 else super().weights(position, option)


@pytest.mark.parametrize("paths", [Curriculum, ResidualPaths])
def test_weights_of_which_nobody_learns_probabilities_are_not_called_none(paths):
    with pytest.raises(ValueError, match=r"^no position of own has probabilities that are lea.*: "):
        paths(Unlearned("own"), 2)
    said = "^no position of own has probabilities that are learned and options with weights: "
    with pytest.raises(ValueError, match=said):
        paths(Mixed("own"), 2)


# --- DA ---


def test_score_is_the_distance_of_the_prediction_from_the_label():
    data, logits = GradNormData(5, epochs=2), torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, 0.0]])
    data.observe(torch.tensor([4, 1]), logits, torch.tensor([2, 0]))
    a, b = (row.exp() / row.exp().sum() for row in logits)
    wanted = [
        0,
        sqrt((b[0] - 1) ** 2 + b[1] ** 2 + b[2] ** 2),
        0,
        0,
        sqrt(a[0] ** 2 + a[1] ** 2 + (a[2] - 1) ** 2),
    ]
    assert data.scores.tolist() == pytest.approx(wanted)


def test_score_lies_between_zero_and_root_two():
    data = GradNormData(3, epochs=2)
    logits = torch.tensor([[99.0, 0.0], [99.0, 0.0], [0.0, 0.0]])
    data.observe(torch.arange(3), logits, torch.tensor([0, 1, 1]))
    assert data.scores.tolist() == pytest.approx([0, sqrt(2), sqrt(0.5)])


def test_q_by_hand_and_unseen_images():
    for unseen, later in (("zero", [0, 0, 1, 0]), ("keep", [1, 3, 1, 0])):
        data = GradNormData(4, epochs=4, unseen=unseen)
        data.new_epoch(0)
        assert data.q.tolist() == pytest.approx([1 / 4] * 4)
        data.scores[:2] = torch.tensor([1.0, 3.0])
        data.new_epoch(1)  # delta = 1/4
        assert data.q.tolist() == pytest.approx([1 / 4, 3 / 8, 3 / 16, 3 / 16])
        data.scores[2] = 1.0
        data.new_epoch(2)  # delta = 1/2
        total = sum(later)
        assert data.q.tolist() == pytest.approx([0.5 * s / total + 1 / 8 for s in later])


def test_q_may_follow_one_delta_and_scores_of_two_epochs():
    data = GradNormData(4, epochs=4, interval=2, delta=0.5)
    found = []
    for epoch, (image, score) in enumerate([(0, 1.0), (1, 3.0), (2, 1.0), (3, 9.0)]):
        data.new_epoch(epoch)
        found.append(data.q.tolist())
        data.scores[image] = score
    assert found[:2] == [pytest.approx([1 / 4] * 4)] * 2
    assert found[2:] == [pytest.approx([1 / 4, 1 / 2, 1 / 8, 1 / 8])] * 2  # 1 and 3 of 4
    data.new_epoch(4)
    assert data.q.tolist() == pytest.approx([1 / 8, 1 / 8, 1 / 8 + 1 / 20, 1 / 8 + 9 / 20])


def test_shuffled_scores_stay_with_their_images_until_they_are_renewed():
    data, generator = GradNormData(6, epochs=6, interval=2, permuted=True), rng(1)
    data.scores = torch.arange(6.0)
    places, q = [], {}
    for epoch in (2, 3, 4, 5):
        data.new_epoch(epoch)
        data.draw(6, generator)
        q[epoch] = data.q
        places.append(data.q.argsort().tolist())
        if epoch == 3:
            data.scores = torch.arange(6.0)
    assert places[0] == places[1] != places[2] == places[3]
    for epoch, own in q.items():  # whoever has them, the scores are 0 to 5
        wanted = [epoch / 6 * score / 15 + (1 - epoch / 6) / 6 for score in range(6)]
        assert sorted(own.tolist()) == pytest.approx(wanted)


def test_without_scores_q_is_uniform_again():
    data = GradNormData(4, epochs=4, first="shuffled")
    data.scores[3] = 1.0
    data.new_epoch(2)
    data.new_epoch(3)  # nothing was observed in between
    assert data.q.tolist() == pytest.approx([1 / 4] * 4)
    assert sorted(data.draw(4, rng()).tolist()) == [0, 1, 2, 3]


def test_q_is_a_distribution_at_every_epoch():
    data, generator = GradNormData(50, epochs=10), rng()
    for epoch in range(10):
        data.new_epoch(epoch)
        assert data.q.sum().item() == pytest.approx(1)
        assert data.q.min() >= (1 - epoch / 10) / 50 - 1e-7
        index = data.draw(20, generator)
        data.observe(index, torch.randn(20, 10, generator=generator), index % 10)


def test_images_are_drawn_from_q():
    data, generator = GradNormData(4, epochs=4), rng()
    data.draw(3, generator)  # what is left of an epoch's stream is not used in the next
    data.scores = torch.tensor([0.0, 1.0, 2.0, 5.0])
    data.new_epoch(3)
    assert len(data.stream) == 0
    drawn = torch.bincount(data.draw(8000, generator), minlength=4)
    chi2 = ((drawn - 8000 * data.q).square() / (8000 * data.q)).sum()
    assert chi2 < 16  # 3 degrees of freedom, 1 in 1,000
    uniform = torch.full((4,), 2000.0)
    assert ((drawn - uniform).square() / uniform).sum() > 100


@pytest.mark.parametrize("first, repeats", [("shuffled", False), ("replacement", True)])
def test_the_first_epoch_draws_with_replacement_or_not(first, repeats):
    data, generator = GradNormData(100, epochs=2, first=first), rng()
    data.new_epoch(0)
    assert (len(set(data.draw(100, generator).tolist())) < 100) == repeats
    if not repeats:  # and is SPOS's epoch, draw by draw
        data.new_epoch(0)
        assert torch.equal(data.draw(100, rng(1)), Shuffled(100, 2).draw(100, rng(1)))
    data.scores[:] = 1.0
    data.new_epoch(1)
    assert len(set(data.draw(100, generator).tolist())) < 100


def test_importance_weights_of_images_undo_q():
    data = GradNormData(50, epochs=4)
    assert data.weights(torch.arange(50)).tolist() == pytest.approx([1] * 50)
    data.scores = torch.rand(50, generator=rng())
    data.new_epoch(3)
    weights = data.weights(torch.arange(50))
    assert (weights * data.q).tolist() == pytest.approx([1 / 50] * 50)
    assert data.weights(torch.tensor([7, 7, 3]))[[0, 2]].tolist() == weights[[7, 3]].tolist()
    assert Shuffled(50, 4).weights(torch.arange(50)) is None


def test_effective_share_of_images_is_logged():
    data = GradNormData(4, epochs=2)
    assert data.log() == {"q_effective": pytest.approx(1)}
    data.q = torch.tensor([0.5, 0.5, 0.0, 0.0])
    assert data.log() == {"q_effective": pytest.approx(0.5)}
    assert ProductPaths(MINI, 2).log()["p_nor_conv_3x3"] == pytest.approx(0.2)


# --- importance weights, both at once ---


def test_weighted_gradients_are_unbiased_over_all_paths_and_images():
    # One image a batch: batch norm would let the images of a larger one change each other's loss.
    net = replace(TINY, channels=2).build(seed=1)
    x, y = pictures(2)
    paths = GradNormPaths(TINY, epochs=4, importance=True)
    data = GradNormData(2, epochs=4, importance=True)
    paths.p = torch.tensor([0.1, 0.15, 0.2, 0.25, 0.3])
    data.q = torch.tensor([0.3, 0.7])
    plain = GradNormPaths(TINY, epochs=4), GradNormData(2, epochs=4)
    weighted, uniform, unweighted = 0, 0, 0
    for arch in TINY:
        for k in range(2):
            batch = (net, arch, torch.tensor([k]), x[k : k + 1], y[k : k + 1])
            chance = prod(paths.p[op].item() for op in arch) * data.q[k].item()
            weighted += chance * path_loss(*batch, paths, data)[0]
            loss = path_loss(*batch, *plain)[0]
            uniform += loss / 250
            unweighted += chance * loss
    parameters = list(net.parameters())
    weighted, uniform, unweighted = (
        torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters, retain_graph=True)])
        for loss in (weighted, uniform, unweighted)
    )
    assert (weighted - uniform).norm() < 1e-4 * uniform.norm()
    assert (unweighted - uniform).norm() > 0.05 * uniform.norm()


# --- the update rule ---


class Recorder(UniformPaths):
    """Notes what it is shown."""

    def observe(self, archs, net, clip_scale):
        self.archs, self.clip_scale = archs, float(clip_scale)
        self.grads = [None if p.grad is None else p.grad.clone() for p in net.parameters()]
        self.values = [p.detach().clone() for p in net.parameters()]


def test_a_groups_gradient_is_the_sum_of_its_paths():
    net = TINY.build(seed=1)
    group = FairPaths(TINY, 1).draw(rng())
    singles = [gradients(net, arch) for arch in group]
    loss, accuracy, norm = step(net, group, UniformPaths(TINY, 1), Shuffled(6, 1))
    total = [sum(parts) for parts in zip(*(grads for _, grads in singles), strict=True)]
    for parameter, wanted in zip(net.parameters(), total, strict=True):
        found = torch.zeros_like(wanted) if parameter.grad is None else parameter.grad
        torch.testing.assert_close(found, wanted)
    assert loss.item() == pytest.approx(sum(loss for loss, _ in singles) / 5)
    assert norm.item() == pytest.approx(sqrt(sum(g.square().sum().item() for g in total)), rel=1e-5)
    assert 0 <= accuracy <= 1


def test_clipping_scales_the_whole_step():
    free, clipped = TINY.build(seed=1), TINY.build(seed=1)
    arch, paths = (3, 2, 3), Recorder(TINY, 1)
    _, _, norm = step(free, [arch], UniformPaths(TINY, 1), Shuffled(6, 1))
    _, _, reported = step(clipped, [arch], paths, Shuffled(6, 1), clip=0.1)
    assert reported.item() == pytest.approx(norm.item())  # the norm before clipping
    assert paths.clip_scale == pytest.approx(0.1 / norm.item(), rel=1e-4)
    for a, b in zip(free.parameters(), clipped.parameters(), strict=True):
        if a.grad is not None:
            torch.testing.assert_close(b.grad / paths.clip_scale, a.grad)


def test_paths_observe_clipped_gradients_before_the_step():
    net, paths = TINY.build(seed=1), Recorder(TINY, 1)
    before = [p.detach().clone() for p in net.parameters()]
    step(net, [(3, 0, 2)], paths, Shuffled(6, 1), clip=0.1, lr=1.0)
    assert paths.archs == [(3, 0, 2)]
    norm = sqrt(sum(g.square().sum().item() for g in paths.grads if g is not None))
    assert norm == pytest.approx(0.1, rel=1e-4)
    assert all(torch.equal(a, b) for a, b in zip(before, paths.values, strict=True))
    assert not torch.equal(net.head.weight, before[-2])


def test_every_path_of_a_group_is_observed_by_the_data_sampler():
    seen = []

    class Data(Shuffled):
        def observe(self, index, logits, labels):
            seen.append((index.tolist(), logits.requires_grad, logits.shape, labels.tolist()))

    step(TINY.build(), [(3, 3, 3), (2, 2, 2)], UniformPaths(TINY, 1), Data(6, 1))
    assert seen == [([0, 1, 2, 3, 4, 5], False, (6, 10), [0, 1, 2, 3, 4, 5])] * 2


class InTurn(PathSampler):
    """The conv3x3 path in the first step, then the conv1x1 path."""

    def new_epoch(self, epoch):
        self.arch = (3, 3, 3) if epoch == 0 else (2, 2, 2)

    def draw(self, generator):
        return [self.arch]


@pytest.mark.parametrize("zero_grad", [False, True])
def test_torch_17s_zero_grad_moves_operations_that_were_not_sampled(zero_grad):
    training = trainer(compose("in turn", InTurn, zero_grad=zero_grad), space=TINY_16)
    name = "stages.1.0.ops.1_3.conv.weight"
    training.train_epoch()
    before = dict(training.net.named_parameters())[name].detach().clone()
    training.train_epoch()  # one step of the conv1x1 path
    moved = dict(training.net.named_parameters())[name].detach() - before
    if not zero_grad:
        assert torch.equal(moved, torch.zeros_like(moved))
        return
    lr = training.history[-1]["lr"]
    buffer = training.optimizer.state[training.net.get_parameter(name)]["momentum_buffer"]
    torch.testing.assert_close(moved, -lr * buffer)  # momentum and weight decay, no gradient
    assert moved.abs().sum() > 0


# --- balanced ---

# 0 to 3 convolutions on live edges: the direct edge (2 of 5 operations), and a detour whose two
# edges hold 0, 1 or 2 in 9 + 4, 8 and 4 of 25 cases.
LEVELS = {0: 3 * 13, 1: 3 * 8 + 2 * 13, 2: 3 * 4 + 2 * 8, 3: 2 * 4}


def test_levels_of_the_mini_space_by_hand():
    levels = BalancedPaths(MINI, 1).levels
    assert {level: len(archs) for level, archs in levels.items()} == LEVELS
    assert sorted(arch for archs in levels.values() for arch in archs) == sorted(MINI)
    for arch, level in (
        ((0, 0, 0), 0), ((3, 0, 0), 0), ((3, 2, 0), 1), ((0, 3, 3), 1), ((3, 0, 4), 1),
        ((2, 1, 3), 2), ((3, 3, 3), 3),
    ):  # fmt: skip
        assert arch in levels[level]


def test_balanced_draws_levels_equally_often_and_then_their_architectures():
    paths, generator, n = BalancedPaths(MINI, epochs=1), rng(), 8000
    drawn = [paths.draw(generator) for _ in range(n)]
    assert all(len(group) == 1 for group in drawn) and paths.group == 1
    seen = Counter(arch for (arch,) in drawn)
    chi2 = 0.0
    for level, archs in paths.levels.items():
        share = sum(seen[arch] for arch in archs) / n
        assert abs(share - 1 / 4) < 4 * sqrt(1 / 4 * 3 / 4 / n), level
        expected = n / 4 / LEVELS[level]
        chi2 += sum((seen[arch] - expected) ** 2 / expected for arch in archs)
    assert 80 < chi2 < 180  # 124 degrees of freedom: 124 +- 16
    assert drawn[:20] == [paths.draw(again) for again in [rng()] for _ in range(20)]


@pytest.mark.parametrize("space", [MINI, BENCH, spaces.get("conv64")], ids=lambda s: s.name)
def test_balanced_weights_undo_its_probabilities(space):
    paths = BalancedPaths(space, epochs=1)
    p = {arch: 1 / (len(space) * paths.weight(arch)) for arch in space}
    assert sum(p.values()) == pytest.approx(1)
    levels = [sum(p[arch] for arch in archs) for archs in paths.levels.values()]
    assert levels == pytest.approx([1 / len(paths.levels)] * len(paths.levels))
    if space is MINI:
        for arch, level in (((3, 3, 3), 3), ((3, 2, 0), 1), ((4, 0, 1), 0)):
            assert p[arch] == pytest.approx(1 / 4 / LEVELS[level])


def test_balanced_where_no_edge_is_dead_or_no_operation_has_weights():
    conv64 = BalancedPaths(spaces.get("conv64"), 1)
    assert list(conv64.levels) == [6] and len(conv64.levels[6]) == 64  # uniform
    no_none = replace(MINI, ops=("skip_connect", "nor_conv_3x3"))
    levels = BalancedPaths(no_none, 1).levels
    assert {level: len(archs) for level, archs in levels.items()} == {0: 1, 1: 3, 2: 3, 3: 1}
    free = BalancedPaths(replace(MINI, ops=("none", "skip_connect")), 1)
    assert list(free.levels) == [0] and len(free.draw(rng())[0]) == 3
    assert free.weight((0, 1, 0)) == 1


def test_balanced_saves_nothing_but_what_a_subclass_adds():
    class Mine(BalancedPaths):
        def __init__(self, space, epochs):
            super().__init__(space, epochs)
            self.seen = 0

    assert BalancedPaths(MINI, 1).state() == {"by": "count"}
    one, two = Mine(MINI, 1), Mine(MINI, 1)
    one.seen = 5
    two.restore(one.state())
    assert one.state() == {"by": "count", "seen": 5} and two.seen == 5
    assert two.draw(rng()) == one.draw(rng())


# --- methods and options ---


def test_methods_are_these_compositions():
    found = {name: (m.paths.cls, m.data.cls, m.update.cls) for name, m in samplers.METHODS.items()}
    assert found == {
        "SPOS": (UniformPaths, Shuffled, Accumulate),
        "FairNAS": (FairPaths, Shuffled, Accumulate),
        "FairNAS per epoch": (FairPaths, Shuffled, Accumulate),
        "PA": (GradNormPaths, Shuffled, Accumulate),
        "DA": (UniformPaths, GradNormData, Accumulate),
        "PA&DA": (GradNormPaths, GradNormData, Accumulate),
        "PA&DA weighted": (GradNormPaths, GradNormData, Accumulate),
        "curriculum": (Curriculum, Shuffled, Accumulate),
        "size-curriculum": (Curriculum, Shuffled, Accumulate),
        "matched-curriculum": (Curriculum, Shuffled, Accumulate),
        "balanced": (BalancedPaths, Shuffled, Accumulate),
        "sbs": (BalancedPaths, Shuffled, Accumulate),
        "sandwich": (SandwichPaths, Shuffled, Distil),
        "DYNAS": (UniformPaths, Shuffled, ByComplexity),
        "SUMNAS": (FairPaths, Shuffled, Reptile),
        "SUMNAS as released": (FairPaths, Shuffled, Reptile),
        "MAGIC-T": (WalkingPaths, Shuffled, Accumulate),
        "density-aware": (DensityPaths, Shuffled, Accumulate),
        "NSAS": (ConstrainedPaths, Shuffled, Weighted),
        "CLOSE": (UniformPaths, Shuffled, Parting),
        "RSA": (ResidualPaths, Shuffled, Parting),
        "yoked PA": (ReplayedPaths, Shuffled, Accumulate),
        "bootstrap": (UniformPaths, Bootstrap, Accumulate),
        "shuffled-data": (UniformPaths, GradNormData, Accumulate),
    }
    assert samplers.get("size-curriculum").paths.build(MINI, 2).fixed.tolist() == [
        0, 0, 0.25, 0.75, 0,
    ]  # fmt: skip
    assert not any(method.zero_grad for method in samplers.METHODS.values())


def test_controls_differ_from_their_methods_in_one_option():
    def options(name):
        parts = samplers.get(name).paths.build(MINI, 2), samplers.get(name).data.build(9, 2)
        return [
            {k: v for k, v in vars(part).items() if isinstance(v, (bool, str))} for part in parts
        ]

    (fair, _), (per_epoch, _) = options("FairNAS"), options("FairNAS per epoch")
    assert (fair, per_epoch) == ({"redraw": "step"}, {"redraw": "epoch"})
    released = samplers.get("SUMNAS as released")
    assert released.paths.build(MINI, 2).redraw == "epoch"
    rules = [samplers.get(name).update.build(MINI, 2) for name in ("SUMNAS", released.name)]
    assert [rule.momentum for rule in rules] == ["reset", "kept"]
    released, weighted = options("PA&DA"), options("PA&DA weighted")
    assert [part.pop("importance") for part in released] == [False, False]
    assert [part.pop("importance") for part in weighted] == [True, True]
    assert released == weighted
    assert all(method.name == name for name, method in samplers.METHODS.items())


class NoArguments(Accumulate):
    """As one would write a class that needs nothing."""

    def __init__(self):
        pass


def test_unknown_method_names_the_known():
    with pytest.raises(
        ValueError, match=r"unknown method 'random': choose one of SPOS, .*balanced"
    ):
        samplers.get("random")


@pytest.mark.parametrize(
    "make, names",
    [
        (lambda: FairPaths(MINI, 1, redraw="never"), "redraw must be 'step' or 'epoch'.*'never'"),
        (
            lambda: Curriculum(MINI, 1, by="cost"),
            "by must be 'ops' or 'size' or a finite number from 0.*'cost'",
        ),
        (lambda: GradNormData(9, 1, unseen="drop"), "unseen must be 'zero' or 'keep'.*'drop'"),
        (lambda: GradNormData(9, 1, first="x"), "first must be 'replacement' or 'shuffled'"),
        (
            lambda: GradNormPaths(MINI, 1, parameter_free="x"),
            "parameter_free must be one .*'x'",
        ),
        (lambda: GradNormPaths(MINI, 1, average="x"), "average must be 'recent' or"),
        (lambda: GradNormPaths(MINI, 1, norm="x"), "norm must be 'clipped' or"),
        (lambda: GradNormPaths(MINI, 1, size="x"), "size must be 'sum' or"),
        (lambda: GradNormPaths(MINI, 1, dead="x"), "dead must be 'zero' or"),
        (lambda: GradNormPaths(MINI, 1, delta=1.5), "delta must be .*0 to 1.*got 1.5"),
        (lambda: GradNormData(9, 1, interval=0), "interval must be a whole number from 1, got 0"),
        (lambda: part(FairPaths, every=3).build(MINI, 1), "options of FairPaths.*'every'"),
        (lambda: part(NoArguments).build(MINI, 1), r"of NoArguments.*takes what its base .* space"),
        (lambda: part(FairPaths, redraw=torch.zeros(2)), r"redraw must be .* got tensor\("),
        (lambda: samplers.get("SPOS").with_options("x", nrom="raw"), "no part of SPOS .* nrom"),
        (lambda: compose("x", UniformPaths, redraw="epoch"), "no part of x .* redraw"),
    ],
)
def test_bad_option_is_named(make, names):
    with pytest.raises(ValueError, match=names):
        make()


def test_options_go_to_the_part_that_has_them():
    method = samplers.get("PA&DA").with_options(
        "weighted", importance=True, norm="raw", unseen="keep", zero_grad=True
    )
    paths, data = method.paths.build(MINI, 2), method.data.build(9, 2)
    assert (method.name, method.zero_grad, method.update) == ("weighted", True, part(Accumulate))
    assert paths.importance and data.importance
    assert (paths.norm, paths.dead, data.unseen) == ("raw", "zero", "keep")
    again = method.with_options("more", dead="skip")
    assert again.paths.build(MINI, 2).norm == "raw" and again.zero_grad
    released = samplers.get("PA&DA")
    assert released.paths.options == () and not released.data.build(9, 2).importance


def test_compose_takes_classes_and_parts():
    method = compose("mine", part(FairPaths, redraw="epoch"), GradNormData, first="shuffled")
    assert method.paths.build(MINI, 2).redraw == "epoch"
    assert method.data.build(9, 2).first == "shuffled"
    assert method == compose("mine", FairPaths, GradNormData, first="shuffled", redraw="epoch")
    assert compose("a").paths == compose("b").paths == part(UniformPaths)


@pytest.mark.parametrize("change", [{"paths": InTurn}, {"paths": FairPaths}, {"zero_grad": True}])
def test_the_name_of_a_published_method_is_not_for_another(change):
    with pytest.raises(ValueError, match=r"'SPOS' is the name of a .*: choose another name"):
        compose("SPOS", **change)
    assert compose("my SPOS", **change).name == "my SPOS"


@pytest.mark.parametrize("name", sorted({*samplers.METHODS} & {*parts.NAMED, *parts.PIECES}))
def test_the_same_method_may_be_composed_again_under_its_name(name):
    assert parts.method(name) == samplers.get(name)


RARELY = samplers.get("PA&DA").with_options("rarely", interval=3, delta=0.5)
OPTIONAL = [RARELY, compose("stepped", SteppedPaths, GradNormData, interval=3, permuted=True)]


@pytest.mark.parametrize("method", [*samplers.METHODS.values(), *OPTIONAL], ids=lambda m: m.name)
def test_saved_and_restored_samplers_go_on_the_same(method):

    def build():
        return method.paths.build(TINY, 4), method.data.build(20, 4)

    def live(paths, data, epoch, generator):
        drawn = []
        paths.new_epoch(epoch)
        data.new_epoch(epoch)
        for _ in range(3):
            archs, index = paths.draw(generator), data.draw(6, generator)
            x, y = pictures()
            step(net, archs, paths, data)
            data.observe(index, net(x, archs[0]).detach(), y)
            drawn.append((list(archs), index.tolist()))
        return drawn

    net, generator = TINY.build(seed=1), rng()
    paths, data = build()
    if paths.replays:
        paths.follow(recorded(paths.entries.names, 4))
    live(paths, data, 0, generator)
    live(paths, data, 1, generator)
    file = io.BytesIO()
    torch.save({"paths": paths.state(), "data": data.state(), "rng": generator.get_state()}, file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    again = build()
    again[0].restore(state["paths"])
    again[1].restore(state["data"])
    after = rng()
    after.set_state(state["rng"])
    assert live(*again, 2, after) == live(paths, data, 2, generator)
    assert again[0].log() == paths.log() and again[1].log() == data.log()


def test_what_a_sampler_must_define_is_said():
    with pytest.raises(NotImplementedError, match=r"PathSampler must define draw\(generator\)"):
        PathSampler(MINI, 1).draw(rng())
    with pytest.raises(NotImplementedError, match=r"DataSampler must define refill\(generator\)"):
        DataSampler(9, 1).draw(1, rng())


# --- a sampler written in a notebook ---

CELLS = count()
IMPORTS = "import torch\nfrom padalib.samplers import ProductPaths, PathSampler\n"
MINE = '''
SHARE = 0.5

def order(n, generator):
    return torch.randperm(n, generator=generator)

class Base(PathSampler):
    def draw(self, generator):
        return [tuple(self.pick(generator))]

class Mine(Base):
    """Three different operations."""

    wait = 1

    def pick(self, generator):
        return order(len(self.space.ops), generator)[:3].tolist()

    def new_epoch(self, epoch):
        self.share = SHARE

    @staticmethod
    def unused():
        return 1

    @property
    def double(self):
        return 2 * self.wait
'''


def cell(source, readable=True):
    """The class `Mine` of a notebook cell; its source is kept as IPython keeps it."""
    source, name = IMPORTS + source, f"<ipython-input-{next(CELLS)}>"
    if readable:
        linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    space = {"__name__": "__main__"}
    exec(compile(source, name, "exec"), space)
    return space["Mine"]


def test_same_code_is_the_same_sampler():
    assert code_of(cell(MINE)) == code_of(cell(MINE))
    moved = "\n\nUNUSED = 3\n" + MINE + "\nclass Other(PathSampler):\n    pass\n"
    assert code_of(cell(moved)) == code_of(cell(MINE))


@pytest.mark.parametrize(
    "old, new",
    [
        ("[:3]", "[1:4]"),  # its own function
        ("return torch.randperm(n", "return 1 + torch.randperm(n"),  # a function it calls
        ("SHARE = 0.5", "SHARE = 0.25"),  # a constant
        ("wait = 1", "wait = 2"),  # a value of the class
        ("tuple(self.pick(generator))", "tuple(self.pick(generator)[::-1])"),  # its base class
        ("return 1", "return 2"),  # a static method
        ("2 * self.wait", "3 * self.wait"),  # a property
    ],
)
def test_other_code_under_the_same_name_is_another_sampler(old, new):
    assert MINE.count(old) == 1
    mine, other = cell(MINE), cell(MINE.replace(old, new))
    assert code_of(mine) != code_of(other)
    keys = {runs.key(TrainConfig(method=compose("mine", cls))) for cls in (mine, other)}
    assert len(keys) == 2


INDIRECT = """
from functools import lru_cache

class Scale:
    def __init__(self, value):
        self.value = value

SCALE = Scale(2)

@lru_cache
def table(n):
    return [inner(k) for k in range(n)]

def inner(k):
    return k + 1

class Mine(PathSampler):
    def draw(self, generator, shift=1):
        return [tuple((k + shift) * SCALE.value % 5 for k in table(3))]
"""


@pytest.mark.parametrize(
    "old, new",
    [
        ("Scale(2)", "Scale(3)"),  # what an object holds
        ("self.value = value", "self.value = 2 * value"),  # its class
        ("range(n)", "range(n - 1)"),  # a cached function
        ("k + 1", "k + 2"),  # a function called inside a comprehension
        ("shift=1", "shift=2"),  # a default
    ],
)
def test_what_a_sampler_uses_indirectly_counts(old, new):
    assert INDIRECT.count(old) == 1
    assert code_of(cell(INDIRECT)) == code_of(cell(INDIRECT))
    assert code_of(cell(INDIRECT)) != code_of(cell(INDIRECT.replace(old, new)))


FIRST, DRAW = "class Mine(ProductPaths):\n", "    def draw(self, generator):\n        return "


@pytest.mark.parametrize(
    "source",
    [
        "K = torch.tensor([ONE])\n" + FIRST + DRAW + "K",
        "K = {ONE, 'b'}\n" + FIRST + DRAW + "K",
        "K = ONE\n" + FIRST + DRAW + "sorted((1, 2), key=lambda k: k * K)",
        FIRST + "    class Inner:\n        k = ONE\n" + DRAW + "self.Inner.k",
        "def by(k):\n    return lambda f: lambda *a: k * f(*a)\n"
        "K = ONE\n" + FIRST + "    @by(K)\n" + DRAW + "1",
    ],
    ids=["tensor", "set", "lambda", "inner class", "decorator"],
)
def test_values_out_of_sight_count(source):
    first, again, other = (code_of(cell(source.replace("ONE", n))) for n in ("1", "1", "2"))
    assert first == again != other


def test_globals_called_like_an_attribute_do_not_count():
    source = FIRST + DRAW + "self.epochs"
    assert code_of(cell("epochs = 1\n" + source)) == code_of(cell(source))


def test_a_value_without_a_lasting_text_is_refused():
    with pytest.raises(ValueError, match=r"K in Mine.draw holds a object, .*run's identity: make"):
        code_of(cell("K = object()\n" + FIRST + DRAW + "K"))


def test_samplers_of_padalib_are_known_by_name_and_options():
    assert part(FairPaths).describe() == {"class": "FairPaths", "options": {}}
    assert part(FairPaths, redraw="epoch") != part(FairPaths)
    assert part(cell(MINE)).describe()["code"] == code_of(cell(MINE))


def test_the_code_that_runs_counts_not_the_text_it_came_from():
    assert code_of(cell(MINE, readable=False)) == code_of(cell(MINE))
    other = MINE.replace("[:3]", "[1:4]")
    assert code_of(cell(other, readable=False)) != code_of(cell(MINE, readable=False))


TEN_LINES = """
class Mine(ProductPaths):
    def new_epoch(self, epoch):
        self.p = torch.tensor([0.0, 0.2, 0.8, 0.0, 0.0])
        self.norms = []

    def observe(self, archs, net, clip_scale):
        self.norms.append(float(net.head.weight.grad.norm()) / float(clip_scale))

    def log(self):
        return {"head_norm": sum(self.norms) / len(self.norms)}
"""


def test_a_readers_own_sampler_trains():
    training = trainer(compose("mine", cell(TEN_LINES)), space=TINY_16, batch=64)
    before = {name: p.detach().clone() for name, p in training.net.named_parameters()}
    assert training.train_epoch() is None and training.train_epoch() is None
    assert training.history[1]["loss"] < training.history[0]["loss"]
    assert training.history[1]["head_norm"] > 0 and len(training.paths.norms) == 8
    moved = {
        name for name, p in training.net.named_parameters() if not torch.equal(p, before[name])
    }
    operations = {name.split(".ops.")[1][2] for name in moved if ".ops." in name}
    assert operations == {"2"} and "head.weight" in moved  # conv1x1 was drawn, conv3x3 never


def test_scores_do_not_contain_the_importance_weight():
    found = []
    for importance in (False, True):
        method = compose("x", GradNormPaths, importance=importance, norm="raw")
        training = Trainer(TrainConfig(method=method, data="digits-small", batch=16))
        training.paths.p = torch.tensor([0.1, 0.15, 0.3, 0.25, 0.2])
        x, y = training.images.batch(torch.arange(16))
        training.update.step(
            training.net,
            training.optimizer,
            5.0,
            [(2, 3, 3)],
            torch.arange(16),
            x,
            y,
            training.paths,
            training.data,
        )
        found.append(training.paths.scores)
    torch.testing.assert_close(*found)


def test_operations_cut_off_are_skipped_with_gradients_of_zero_too():
    net, paths = replace(MINI, channels=4).build(), GradNormPaths(MINI, 4, dead="skip")
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)  # as zero_grad=True leaves them
    paths.observe([(3, 2, 0)], net, 1.0)
    assert paths.counts == [0, 0, 1, 0, 0]
