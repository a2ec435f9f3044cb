"""Gradient variance: estimators against brute force, the bootstrap, the probe of real steps."""

from dataclasses import replace
from itertools import product
from math import comb, prod

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from padalib import spaces
from padalib.samplers import PathSampler, compose, get
from padalib.train import STREAMS, TrainConfig, Trainer, stream
from padalib.variance import QUANTITIES, Moments, Nested, VarianceConfig, probe, step_gradients

PARTS = ("all", "fixed", "nor_conv_1x1", "nor_conv_3x3")
ADDITIVE = ("total", "path", "data", "signal")


def nested(gradients):
    """The moments of gradients [A, B, P]."""
    collected = Nested()
    for of_path in gradients:
        collected.add(of_path)
    return collected.moments()


def some(a=5, b=3, p=4, seed=0):
    """Gradients [A, B, P] with a mean, differences between paths, and noise."""
    generator = torch.Generator().manual_seed(seed)
    shape = {"generator": generator, "dtype": torch.float64}
    return 1 + torch.randn(a, 1, p, **shape) + torch.randn(a, b, p, **shape)


# --- the estimators ---


@pytest.mark.parametrize(
    "p, q", [([1 / 3, 1 / 3, 1 / 3], [1 / 3, 1 / 3, 1 / 3]), ([0.5, 0.3, 0.2], [0.1, 0.2, 0.7])]
)
def test_estimators_are_unbiased_over_all_draws_from_a_small_population(p, q):
    # Three paths, three batches of each, three parameters: g [path, batch, parameter].
    g = torch.randn(3, 3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    p, q = (torch.tensor(chances, dtype=torch.float64) for chances in (p, q))
    of_path = torch.einsum("b,abk->ak", q, g)
    mean = p @ of_path
    true = {
        "total": torch.einsum("a,b,abk->", p, q, (g - mean) ** 2),
        "path": p @ ((of_path - mean) ** 2).sum(1),
        "data": torch.einsum("a,b,abk->", p, q, (g - of_path[:, None]) ** 2),
        "signal": mean @ mean,
    }
    expected, mass = dict.fromkeys(true, 0.0), 0.0
    for paths in product(range(3), repeat=2):
        for first, second in product(product(range(3), repeat=2), repeat=2):
            chance = float(p[list(paths)].prod() * q[[*first, *second]].prod())
            drawn = torch.stack([g[paths[0], list(first)], g[paths[1], list(second)]])
            found = nested(drawn).estimates()
            expected = {k: expected[k] + chance * found[k][0] for k in expected}
            mass += chance
    assert mass == pytest.approx(1, abs=1e-12)
    for name, value in true.items():
        assert expected[name] == pytest.approx(float(value), abs=1e-9), name


def test_moments_are_those_of_the_plain_formulas():
    g = some(a=6, b=3, p=4)
    means = g.mean(1)
    data = g.var(1).sum(1).mean()
    path = means.var(0).sum() - data / 3
    pairs = [means[i] @ means[j] for i in range(6) for j in range(6) if i != j]
    wanted = {"total": path + data, "path": path, "data": data, "signal": sum(pairs) / 30}
    found = nested(g).estimates()
    assert list(found) == list(QUANTITIES)
    for name, value in wanted.items():
        assert found[name].tolist() == pytest.approx([float(value)])
    ratio, share = wanted["total"] / wanted["signal"], wanted["path"] / wanted["total"]
    assert found["noise_to_signal"].tolist() == pytest.approx([float(ratio)])
    assert found["signal_to_noise"].tolist() == pytest.approx([float(1 / ratio)])
    assert found["path_share"].tolist() == pytest.approx([float(share)])


def test_small_case_by_hand():
    # Two paths of two batches, one parameter: means 2 and 6, variances within 2 and 8.
    found = nested(torch.tensor([[[1.0], [3.0]], [[4.0], [8.0]]])).estimates()
    assert found["data"] == 5 and found["signal"] == 12  # the product of the two means
    assert found["path"] == 8 - 5 / 2 and found["total"] == 10.5
    assert found["noise_to_signal"] == 10.5 / 12 and found["path_share"] == pytest.approx(
        5.5 / 10.5
    )


def test_a_signal_that_is_not_positive_gives_an_infinite_ratio():
    opposed = torch.tensor([[[1.0], [2.0]], [[-1.0], [-2.0]]])
    moments = nested(opposed)
    assert moments.estimates()["signal"] < 0
    assert moments.estimates()["noise_to_signal"] == np.inf
    row = moments.summary(draws=50)
    assert row["noise_to_signal"] == row["noise_to_signal_high"] == np.inf
    assert np.isfinite(row["total_high"]) and np.isfinite(row["signal_to_noise"])


def test_no_gradient_at_all_is_no_variance():
    row = nested(torch.zeros(3, 2, 4)).summary(draws=20)
    assert [row[name] for name in ADDITIVE] == [0, 0, 0, 0]
    assert row["noise_to_signal"] == np.inf and np.isnan(row["path_share"])


# --- the bootstrap ---


@pytest.mark.parametrize("a", [2, 4, 5])
def test_resamples_are_centred_on_the_estimate(a):
    moments = nested(some(a=a, b=2))
    counts = [c for c in product(range(a + 1), repeat=a) if sum(c) == a]
    chances = np.array(
        [prod(comb(sum(c[k:]), n) for k, n in enumerate(c)) / float(a) ** a for c in counts]
    )
    assert chances.sum() == pytest.approx(1)
    point, resampled = moments.estimates(), moments.estimates(np.array(counts, float))
    for name in ADDITIVE:
        assert chances @ resampled[name] == pytest.approx(point[name][0], abs=1e-9), name
        assert np.ptp(resampled[name]) > 0


def test_a_resample_is_that_of_the_repeated_paths():
    # Up to the corrections: differences between paths a / (a - 1) larger, data the same.
    g, counts = some(a=4, b=2), np.array([[2.0, 0, 1, 1]])
    found = nested(g).estimates(counts)
    plain = nested(g[[0, 0, 2, 3]]).estimates()
    between = {name: e["path"] + e["data"] / 2 for name, e in (("c", found), ("p", plain))}
    assert found["data"] == pytest.approx(plain["data"])
    assert between["c"] == pytest.approx(between["p"] * 4 / 3)


def test_summary_holds_the_estimates_and_ordered_intervals():
    moments = nested(some(a=30, b=2))
    row, point = moments.summary(draws=200), moments.estimates()
    assert len(row) == 3 * len(QUANTITIES)
    for name in QUANTITIES:
        assert row[name] == point[name][0]
        assert row[f"{name}_low"] < row[name] < row[f"{name}_high"]
    assert moments.summary(draws=200) == row != moments.summary(draws=200, seed=1)
    narrow = moments.summary(draws=200, level=0.5)
    assert row["total_low"] < narrow["total_low"] < narrow["total_high"] < row["total_high"]


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    generator = torch.Generator().manual_seed(0)
    true = {"total": 6, "path": 3, "data": 3, "signal": 3, "noise_to_signal": 2, "path_share": 0.5}
    covered, estimates = dict.fromkeys(true, 0), {name: [] for name in true}
    for seed in range(200):
        noise = torch.randn(64, 3, 3, generator=generator, dtype=torch.float64)
        row = nested(1 + noise[:, :1] + noise[:, 1:]).summary(draws=200, seed=seed)
        for name, value in true.items():
            covered[name] += row[f"{name}_low"] <= value <= row[f"{name}_high"]
            estimates[name].append(row[name])
    for name, value in true.items():  # 190 of 200 expected, give or take 3; percentiles fall short
        assert 172 <= covered[name] <= 199, name
        assert np.mean(estimates[name]) == pytest.approx(value, rel=0.06), name


# --- the probe ---


def trainer(method="SPOS", **fields):
    fields = {"data": "digits-small", "batch": 16, "epochs": 4} | fields
    return Trainer(TrainConfig(method=method, **fields))


def skewed(**fields):
    """A PA&DA trainer whose p and q are far from uniform."""
    training, generator = trainer("PA&DA", **fields), torch.Generator().manual_seed(2)
    training.paths.p = torch.tensor([0.1, 0.15, 0.3, 0.25, 0.2])
    q = 0.1 + torch.rand(512, generator=generator)
    training.data.q, training.data.uniform = q / q.sum(), False
    return training


def batch(training, seed=0):
    generator = torch.Generator().manual_seed(seed)
    index = torch.randint(512, (training.config.batch,), generator=generator)
    return index, *training.images.batch(index)


def close(found, wanted):
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(torch.zeros_like(b) if a is None else a, b, rtol=1e-4, atol=1e-6)
    assert any(b.abs().sum() > 0 for b in wanted)


@pytest.mark.parametrize("method", ["SPOS", "FairNAS", "PA&DA"])
def test_step_gradients_are_those_of_the_update_rule(method):
    training = trainer(method)
    index, x, y = batch(training)
    archs = training.paths.draw(training.generators["paths"])
    found = step_gradients(training, archs, index, x, y)
    assert set(found) == {"raw", "importance"}
    training.update.step(
        training.net, training.optimizer, 1e9, archs, index, x, y, training.paths, training.data
    )
    close([p.grad for p in training.net.parameters()], found["raw"])
    close(found["importance"], found["raw"])  # p and q are still uniform


def test_a_fair_groups_step_is_the_sum_of_its_five_paths():
    training = trainer("FairNAS")
    index, x, y = batch(training)
    archs = training.paths.draw(training.generators["paths"])
    single = [step_gradients(training, [arch], index, x, y)["raw"] for arch in archs]
    wanted = [sum(of_parameter) for of_parameter in zip(*single, strict=True)]
    assert len(archs) == 5
    close(step_gradients(training, archs, index, x, y)["raw"], wanted)


def test_importance_weighted_step_by_hand():
    training, arch = skewed(), (2, 3, 4)
    index, x, y = batch(training)
    losses = F.cross_entropy(training.net(x, arch), y, reduction="none")
    of_images = 1 / (512 * training.data.q[index])
    of_path = 1 / (125 * 0.3 * 0.25 * 0.2)
    loss = sum(w * loss for w, loss in zip(of_images, losses, strict=True)) / 16 * of_path
    wanted = torch.autograd.grad(loss, list(training.net.parameters()), allow_unused=True)
    found = step_gradients(training, [arch], index, x, y)
    close(wanted, found["importance"])
    assert not torch.allclose(found["raw"][-1], found["importance"][-1], rtol=0.1)


def test_training_with_importance_takes_the_importance_weighted_step():
    plain = skewed()
    method = plain.config.method.with_options("weighted", importance=True)
    training = trainer(method)
    training.paths.p, training.data.q = plain.paths.p, plain.data.q
    index, x, y = batch(training)
    found = step_gradients(plain, [(3, 2, 3)], index, x, y)["importance"]
    training.update.step(
        training.net, training.optimizer, 1e9, [(3, 2, 3)], index, x, y,
        training.paths, training.data,
    )  # fmt: skip
    close([p.grad for p in training.net.parameters()], found)


def test_a_path_without_weights_gives_its_operations_no_gradient():
    training = trainer()
    index, x, y = batch(training)
    for arch in ((1, 4, 1), (0, 0, 0), (3, 1, 0)):  # the conv3x3 of the last is cut off
        found = step_gradients(training, [arch], index, x, y)["raw"]
        for part, positions in training.net.parts().items():
            size = sum(found[k].abs().sum() for k in positions)
            assert (size > 0) == (part == "fixed")


def test_the_traces_of_the_parts_add_up():
    for training, alike in ((trainer(), True), (skewed(), False)):
        found = probe(training, paths=4, batches=2)
        assert set(found) == set(product(("raw", "importance"), PARTS))
        for weights in ("raw", "importance"):
            estimates = {part: found[weights, part].estimates() for part in PARTS}
            for name in ADDITIVE:
                whole = sum(estimates[part][name][0] for part in PARTS[1:])
                assert estimates["all"][name][0] == pytest.approx(whole, rel=1e-4, abs=1e-7)
            assert estimates["all"]["total"] > 0
        for part in PARTS:
            same = np.allclose(found["raw", part].gram, found["importance", part].gram)
            assert same == alike


def test_the_probe_is_deterministic_and_leaves_weights_alone():
    training = trainer("DA")
    before = [p.detach().clone() for p in training.net.parameters()]
    first, again = (probe(training, 3, 2, seed=5)["raw", "all"] for _ in range(2))
    assert np.array_equal(first.gram, again.gram) and np.array_equal(first.within, again.within)
    assert not np.array_equal(first.gram, probe(training, 3, 2, seed=6)["raw", "all"].gram)
    assert all(torch.equal(a, b) for a, b in zip(before, training.net.parameters(), strict=True))
    assert all(p.grad is None for p in training.net.parameters())


def test_the_probe_draws_from_the_methods_own_samplers():
    training = skewed(crop=0)
    training.paths.p = torch.eye(5)[3]  # always the path (3, 3, 3)
    training.data.q = torch.eye(512)[7]  # always the image 7
    found = probe(training, paths=3, batches=2)["raw", "all"].estimates()
    assert found["signal"] > 0 and abs(found["total"]) < 1e-6 * found["signal"]


class One(PathSampler):
    """Always the same path."""

    def draw(self, generator):
        return [(3, 3, 3)]


def test_a_single_path_has_no_path_part():
    config = {"space": replace(spaces.get("mini"), channels=4), "batch": 64}
    one = probe(trainer(compose("one", One), **config), paths=32, batches=2)["raw", "all"].summary()
    assert one["path_low"] < 0 < one["path_high"]  # so the batches of a path are independent
    assert one["data_low"] > 0
    many = probe(trainer(**config), paths=32, batches=2)["raw", "all"].summary()
    assert many["path_low"] > 0


def test_the_probe_is_nested_draws_replayed():
    training = trainer()
    found = probe(training, paths=3, batches=2, seed=9)
    rng = {name: stream(9, f"probe 0 {name}") for name in STREAMS}
    parameters = [name for name, _ in training.net.named_parameters()]
    drawn = []
    for _ in range(3):
        archs, of_path = training.paths.draw(rng["paths"]), []
        for _ in range(2):
            index = torch.randperm(512, generator=rng["data"])[:16]  # of a fresh order each time
            x, y = training.images.batch(index, rng["augment"], crop=1)
            of_path.append(step_gradients(training, archs, index, x, y)["raw"])
        drawn.append(of_path)
    for part, within in (("all", ""), ("nor_conv_1x1", "_2.conv"), ("nor_conv_3x3", "_3.conv")):
        kept = [k for k, name in enumerate(parameters) if within in name]
        flat = [[torch.cat([g[k].flatten() for k in kept]) for g in gs] for gs in drawn]
        wanted = nested(torch.stack([torch.stack(gs) for gs in flat]))
        np.testing.assert_allclose(found["raw", part].gram, wanted.gram, rtol=1e-4, atol=1e-8)
        np.testing.assert_allclose(found["raw", part].within, wanted.within, rtol=1e-4, atol=1e-8)


# --- the config ---


def test_too_few_draws_are_refused():
    config = TrainConfig(data="digits-small")
    for draws in ({"paths": 1}, {"batches": 1}, {"paths": 0, "batches": 0}):
        with pytest.raises(ValueError, match="at least 2 paths of 2 batches"):
            VarianceConfig(config, **draws)
    assert VarianceConfig(config, paths=2, batches=2).device == "cpu"


def test_the_label_names_the_epoch():
    config = TrainConfig(data="digits-small", epochs=3, keep=(0, 1))
    labels = [VarianceConfig(config, epoch).label for epoch in (0, 1, 3, None)]
    assert [label.split()[-1] for label in labels] == ["0", "1", "3", "3"]
    with pytest.raises(ValueError, match="does not keep epoch 2"):
        VarianceConfig(config, 2)


def test_the_probe_pairs_methods_and_not_seeds():
    # The same draws for every method, so that they are compared pairwise; others for each seed.
    seen = {}
    for method, seed in (("SPOS", 0), ("curriculum", 0), ("SPOS", 1)):
        training = trainer(method, seed=seed)
        draw, drawn = training.paths.draw, seen.setdefault((method, seed), [])
        training.paths.draw = lambda rng, draw=draw, drawn=drawn: (
            drawn.append(draw(rng)) or drawn[-1]
        )
        probe(training, 4, 2)
    assert seen["SPOS", 0] == seen["curriculum", 0] != seen["SPOS", 1]


def test_moments_need_no_gradients():
    # gram and within are all: two paths with orthogonal unit means and no noise.
    found = Moments(np.eye(2), np.zeros(2), batches=2).estimates()
    assert [found[name][0] for name in ADDITIVE] == [1, 1, 0, 0]


def test_a_group_held_for_an_epoch_is_drawn_anew_by_the_probe():
    method = get("FairNAS").with_options("held", redraw="epoch")
    training = Trainer(TrainConfig(method=method, data="digits-small", batch=16))
    seen, draw = [], training.paths.draw
    training.paths.draw = lambda generator: seen.append(tuple(draw(generator))) or list(seen[-1])
    probe(training, 4, 2)
    assert len(set(seen)) == 4


def test_intervals_of_a_small_signal_are_not_blown_up():
    generator, points, spread = torch.Generator().manual_seed(0), [], []
    for seed in range(60):
        noise = torch.randn(64, 3, 300, generator=generator, dtype=torch.float64)
        collected = Nested()
        for of_path in 0.05 + noise[:, :1] + noise[:, 1:]:
            collected.add(of_path)
        moments = collected.moments()
        counts = np.random.default_rng(seed).multinomial(64, np.full(64, 1 / 64), size=200)
        points.append(moments.estimates()["signal"][0])
        spread.append(moments.estimates(counts)["signal"].std())
    assert np.mean(spread) < 2 * np.std(points)  # 1.6 times; 2.6 if a path met its own copy
