"""Gradient variance: estimators against brute force, the bootstrap, the probe of real steps."""

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from padalib import spaces
from padalib.engine.runs import Run
from padalib.probes.agreement import AgreementConfig
from padalib.probes.exact import ExactConfig
from padalib.probes.sampled import (
    QUANTITIES,
    Moments,
    Nested,
    VarianceConfig,
    collect,
    knows_weights,
    probe,
    step_gradients,
)
from padalib.ranking.several import mean_flops
from padalib.samplers import PathSampler, Shuffled, UniformPaths, compose, get
from padalib.train import STREAMS, TrainConfig, Trainer, build_samplers, stream

PARTS = ("all", "fixed", "nor_conv_1x1", "nor_conv_3x3")
ADDITIVE = ("total", "path", "data", "signal")


def nested(gradients, groups=None, weights=None):
    """The moments of gradients [A, B, P], by default in a group for each path."""
    collected = Nested([gradients.shape[-1]], groups or len(gradients))
    weights = [1.0] * len(gradients) if weights is None else weights
    for of_path, weight in zip(gradients, weights, strict=True):
        collected.add(of_path, weight)
    return collected.moments()


def plain(gradients):
    """The quantities of gradients [A, B, P] by the textbook's formulas."""
    a, b, _ = gradients.shape
    means = gradients.mean(1)
    data = gradients.var(1).sum(1).mean()
    path = means.var(0).sum() - data / b
    pairs = [means[i] @ means[j] for i in range(a) for j in range(a) if i != j]
    found = {"total": path + data, "path": path, "data": data}
    found["signal"] = sum(pairs) / (a * (a - 1))
    return {name: float(value) for name, value in found.items()}


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


def test_weighted_estimators_are_unbiased_too_with_paths_drawn_from_the_target():
    # Steps u / p g of paths from p and batches from q; u draws the paths of the estimator.
    g = torch.randn(3, 3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    u, p, q = (
        torch.tensor(chances, dtype=torch.float64)
        for chances in ([0.5, 0.25, 0.25], [0.09, 0.01, 0.9], [0.1, 0.2, 0.7])
    )
    steps = g * (u / p)[:, None, None]
    of_path = torch.einsum("b,abk->ak", q, steps)
    mean = p @ of_path
    true = {
        "total": torch.einsum("a,b,abk->", p, q, (steps - mean) ** 2),
        "path": p @ ((of_path - mean) ** 2).sum(1),
        "data": torch.einsum("a,b,abk->", p, q, (steps - of_path[:, None]) ** 2),
        "signal": mean @ mean,
    }
    expected = dict.fromkeys(true, 0.0)
    for paths in product(range(3), repeat=2):
        for first, second in product(product(range(3), repeat=2), repeat=2):
            chance = float(u[list(paths)].prod() * q[[*first, *second]].prod())
            drawn = torch.stack([g[paths[0], list(first)], g[paths[1], list(second)]])
            found = nested(drawn, weights=(u / p)[list(paths)].tolist()).estimates()
            expected = {k: expected[k] + chance * found[k][0] for k in expected}
    for name, value in true.items():
        assert expected[name] == pytest.approx(float(value), rel=1e-9), name


def test_a_path_that_is_never_drawn_makes_the_variance_infinite():
    g = some(a=4, b=2)
    found = nested(g, weights=[1, 1, np.inf, 1])
    row = found.summary()
    assert row["total"] == row["data"] == np.inf and np.isnan(row["total_low"])
    assert row["signal"] == nested(g).summary()["signal"]
    g[2] = 0  # no gradient, no matter
    assert nested(g, weights=[1, 1, np.inf, 1]).summary() == nested(g).summary()
    assert collect(lambda: {"raw": (g[0] + 1, np.inf)}, [4], 32, 0.1)["raw"].paths == 32


@pytest.mark.parametrize("groups", [2, 3, 4, 7])
def test_moments_are_those_of_the_plain_formulas_however_paths_are_grouped(groups):
    g = some(a=7, b=3, p=4)
    wanted = plain(g)
    found = nested(g, groups).estimates()
    assert list(found) == list(QUANTITIES)
    for name, value in wanted.items():
        assert found[name].tolist() == pytest.approx([value])
    ratio, share = wanted["total"] / wanted["signal"], wanted["path"] / wanted["total"]
    assert found["noise_to_signal"].tolist() == pytest.approx([ratio])
    assert found["signal_to_noise"].tolist() == pytest.approx([1 / ratio])
    assert found["path_share"].tolist() == pytest.approx([share])


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
    moments = nested(torch.cat([opposed, opposed]))
    assert moments.estimates()["signal"] < 0
    assert moments.estimates()["noise_to_signal"] == np.inf
    row = moments.summary()
    assert row["noise_to_signal"] == row["noise_to_signal_high"] == np.inf
    assert np.isfinite(row["total_high"]) and np.isfinite(row["signal_to_noise"])


def test_no_gradient_at_all_is_no_variance():
    row = nested(torch.zeros(3, 2, 4)).summary()
    assert [row[name] for name in ADDITIVE] == [0, 0, 0, 0]
    assert row["noise_to_signal"] == np.inf and np.isnan(row["path_share"])


# --- intervals: leaving out one group at a time ---


@pytest.mark.parametrize("a, groups", [(6, 3), (7, 3), (5, 5)])
def test_estimates_without_a_group_are_those_of_the_other_paths(a, groups):
    g = some(a=a, b=2)
    found = nested(g, groups).estimates(1 - np.eye(groups))
    for left in range(groups):
        kept = [k for k in range(a) if k % groups != left]
        for name, value in plain(g[kept]).items():
            assert found[name][left] == pytest.approx(value), name


def test_summary_by_hand():
    g = some(a=12, b=2)
    row = nested(g, groups=4).summary()
    assert len(row) == 3 * len(QUANTITIES)
    without = [plain(g[[k for k in range(12) if k % 4 != left]]) for left in range(4)]
    t = 3.182446  # Student's, three degrees of freedom
    for name, value in plain(g).items():
        middle, left = value, np.array([one[name] for one in without])
        if name in ("total", "data"):
            middle, left = np.log(middle), np.log(left)
        half = t * np.sqrt(3 / 4 * ((left - left.mean()) ** 2).sum())
        low, high = middle - half, middle + half
        if name in ("total", "data"):
            low, high = np.exp(low), np.exp(high)
        assert row[name] == pytest.approx(value)
        assert row[f"{name}_low"] == pytest.approx(low, rel=1e-5)
        assert row[f"{name}_high"] == pytest.approx(high, rel=1e-5)
    assert 1 / row["noise_to_signal"] == pytest.approx(row["signal_to_noise"])
    for end, other in (("low", "high"), ("high", "low")):
        inverse = row[f"signal_to_noise_{other}"]
        wanted = 1 / inverse if inverse > 0 else np.inf
        assert row[f"noise_to_signal_{end}"] == pytest.approx(wanted)


def test_a_narrower_level_gives_a_narrower_interval():
    moments = nested(some(a=30, b=2), groups=10)
    row, narrow = moments.summary(), moments.summary(level=0.5)
    assert row["total_low"] < narrow["total_low"] < narrow["total_high"] < row["total_high"]


@pytest.mark.parametrize("paths, groups", [(64, 16), (40, 8)])
def test_intervals_cover_the_truth_about_as_often_as_they_say(paths, groups):
    generator = torch.Generator().manual_seed(0)
    true = {"total": 6, "path": 3, "data": 3, "signal": 3, "noise_to_signal": 2, "path_share": 0.5}
    covered, estimates = dict.fromkeys(true, 0), {name: [] for name in true}
    for _ in range(400):
        noise = torch.randn(paths, 3, 3, generator=generator, dtype=torch.float64)
        row = nested(1 + noise[:, :1] + noise[:, 1:], groups).summary()
        for name, value in true.items():
            covered[name] += row[f"{name}_low"] <= value <= row[f"{name}_high"]
            estimates[name].append(row[name])
    for name, value in true.items():  # 380 of 400 expected, give or take 4
        assert 368 <= covered[name] <= 392, name
        assert np.median(estimates[name]) == pytest.approx(value, rel=0.06), name


# --- how many draws ---


def source(spread, p=3, seed=0):
    """Draws of paths whose gradients differ by `spread`."""
    generator = torch.Generator().manual_seed(seed)

    def draw():
        scale = torch.exp(spread * torch.randn(1, 1, generator=generator, dtype=torch.float64))
        noise = torch.randn(2, p, generator=generator, dtype=torch.float64)
        return {"raw": (scale * noise, 1.0), "difference": (1e6 * scale**9 * noise, 1.0)}

    return draw


@pytest.mark.parametrize("spread", [0.0, 0.3])
def test_draws_go_on_until_the_variance_is_known_well_enough(spread):
    counts = []
    for error in (0.4, 0.2, 0.1):
        nested = collect(source(spread), [3], 10**6, error)["raw"]
        row = nested.moments().summary()
        assert (row["total_high"] - row["total_low"]) / 2 <= error * row["total"]
        assert nested.paths % 16 == 0
        counts.append(nested.paths)
    assert counts == sorted(counts) and counts[-1] > 3 * counts[0]
    assert counts[-1] < 8000  # not by far too many


def test_draws_stop_at_the_most_that_is_allowed():
    for most, wanted in ((160, 160), (170, 160), (17, 16), (5, 5)):
        assert collect(source(2.0), [3], most, 1e-9)["raw"].paths == wanted


def test_memory_is_that_of_the_groups_and_not_of_the_draws():
    nested = collect(source(0.3), [3], 640, 1e-9)["raw"]
    assert nested.paths == 640 and nested.sums.shape == (16, 3)


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
    loss = sum(w * loss for w, loss in zip(of_images, losses, strict=True)) / 16
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
    of_path = 1 / (125 * 0.25 * 0.3 * 0.25)
    found = step_gradients(plain, [(3, 2, 3)], index, x, y)["importance"]
    found = [of_path * g for g in found]
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


def of_part(training, nested, part="all"):
    """The moments of a part of the network."""
    return nested.moments(None if part == "all" else training.net.parts()[part])


def test_the_traces_of_the_parts_add_up():
    edges = [f"edge {edge}" for edge in range(3)]
    for training, alike in ((trainer(), True), (skewed(), False)):
        found = probe(training, paths=4, batches=2)
        assert set(found) == {"raw", "importance", "difference"}
        assert set(training.net.parts()) == {*PARTS[1:], *edges}
        for nested in found.values():
            parts = {p: of_part(training, nested, p).estimates() for p in (*PARTS, *edges)}
            for name in ADDITIVE:
                for whole, some in (("all", PARTS[1:]), ("convs", edges)):
                    wanted = sum(parts[part][name][0] for part in some)
                    given = parts["all"][name][0]
                    if whole == "convs":
                        given -= parts["fixed"][name][0]
                    scale = 1e-4 * abs(parts["all"]["total"][0])
                    assert given == pytest.approx(wanted, abs=scale + 1e-9)
        assert found["raw"].moments().estimates()["total"] > 0
        same = torch.allclose(found["raw"].sums, found["importance"].sums)
        assert same == alike == (float(found["difference"].sums.abs().max()) == 0)


def test_bias_is_that_of_the_mean_step():
    # Always one path and image: what the mean over all paths, weighted by 1 / 512, lacks of it.
    training = skewed(crop=0)
    training.paths.p, training.data.q = torch.eye(5)[3], torch.eye(512)[7]
    index = torch.full((16,), 7)
    x, y = training.images.batch(index)
    raw, *others = (
        torch.cat([g.flatten() for g in step_gradients(training, [arch], index, x, y)["raw"]])
        for arch in ((3, 3, 3), *training.space)
    )
    wanted = (raw - torch.stack(others).mean(0) / 512).square().sum()
    found = probe(training, paths=64, batches=2)
    bias, total = (
        found[kind].moments().estimates()[name][0]
        for kind, name in (("difference", "signal"), ("importance", "total"))
    )
    assert bias == pytest.approx(float(wanted), rel=1e-3)
    assert abs(float(wanted) - float(raw.square().sum())) > 1e-3 * float(wanted)
    assert total == np.inf  # no weight makes up for paths that are never drawn


def test_weighted_variance_is_found_where_paths_are_hardly_ever_drawn():
    # Operations without weights as rare as PA makes them: all 125 paths, one image, by hand.
    training = skewed(crop=0)
    training.paths.p = torch.tensor([0.001, 0.001, 0.5, 0.497, 0.001])
    training.data.q = torch.eye(512)[7]
    index = torch.full((16,), 7)
    x, y = training.images.batch(index)
    steps = [step_gradients(training, [arch], index, x, y)["raw"] for arch in training.space]
    g = torch.stack([torch.cat([part.flatten() for part in step]) for step in steps]) / 512
    weights = torch.tensor([training.paths.weight(arch) for arch in training.space])
    wanted = float((weights * g.square().sum(1)).mean() - g.mean(0).square().sum())
    row = probe(training, paths=512, batches=2)["importance"].moments().summary()
    assert row["total_low"] < wanted < row["total_high"] < 5 * wanted


def test_the_probe_is_deterministic_and_leaves_weights_alone():
    training = trainer("DA")
    before = [p.detach().clone() for p in training.net.parameters()]
    first, again, other = (probe(training, 3, 2, seed=k)["raw"] for k in (5, 5, 6))
    assert torch.equal(first.sums, again.sums) and torch.equal(first.within, again.within)
    assert not torch.equal(first.sums, other.sums)
    assert all(torch.equal(a, b) for a, b in zip(before, training.net.parameters(), strict=True))
    assert all(p.grad is None for p in training.net.parameters())


def test_the_probe_draws_from_the_methods_own_samplers():
    training = skewed(crop=0)
    training.paths.p = torch.eye(5)[3]  # always the path (3, 3, 3)
    training.data.q = torch.eye(512)[7]  # always the image 7
    found = probe(training, paths=3, batches=2)["raw"].moments().estimates()
    assert found["signal"] > 0 and abs(found["total"]) < 1e-6 * found["signal"]


class One(PathSampler):
    """Always the same path."""

    def draw(self, generator):
        return [(3, 3, 3)]


def test_a_single_path_has_no_path_part():
    config = {"space": replace(spaces.get("mini"), channels=4), "batch": 64}
    one = probe(trainer(compose("one", One), **config), paths=32, batches=2)
    one = one["raw"].moments().summary()
    assert one["path_low"] < 0 < one["path_high"]  # so the batches of a path are independent
    assert one["data_low"] > 0
    many = probe(trainer(**config), paths=32, batches=2)["raw"].moments().summary()
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
    for part, within in (("all", ""), ("nor_conv_1x1", "_2.conv"), ("edge 1", ".ops.1_")):
        kept = [k for k, name in enumerate(parameters) if within in name]
        flat = [[torch.cat([g[k].flatten() for k in kept]) for g in gs] for gs in drawn]
        wanted = plain(torch.stack([torch.stack(gs) for gs in flat]).double())
        estimates = of_part(training, found["raw"], part).estimates()
        for name in ADDITIVE:
            assert estimates[name][0] == pytest.approx(wanted[name], rel=1e-3, abs=1e-8), name


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("method", ["SPOS", "PA&DA", "FairNAS"])
def test_a_network_that_is_broken_has_no_variance(method, value):
    trainer = Trainer(TrainConfig(method, data="digits-small", epochs=2, batch=64))
    with torch.no_grad():
        trainer.net.head.bias[3] = value
    with pytest.raises(ValueError, match=r"of a step of \d-\d-\d.* are not finite: probe an epoch"):
        probe(trainer, 4, 2)


# --- the config ---


def test_too_few_draws_are_refused():
    config = TrainConfig(data="digits-small")
    for draws, least in (({"paths": 2}, 3), ({"batches": 1}, 2)):
        with pytest.raises(ValueError, match=f"must be a whole number from {least}, got"):
            VarianceConfig(config, **draws)
    for error in (0, -0.1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="error must be a finite number above 0"):
            VarianceConfig(config, error=error)
    assert VarianceConfig(config, paths=3, batches=2).device == "cpu"


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
    # Two paths with orthogonal unit means and no noise, a group each.
    found = Moments(np.eye(2), np.ones(2), np.ones(2), np.zeros(2), np.ones(2), 2).estimates()
    assert [found[name][0] for name in ADDITIVE] == [1, 1, 0, 0]


def test_the_table_has_a_row_for_each_part_and_its_own_error():
    config = TrainConfig("PA&DA", data="digits-small", epochs=2, batch=128)
    rows = Run(VarianceConfig(config, paths=6, error=0.01)).compute().table("variance")
    edges = [f"edge {edge}" for edge in range(3)]
    assert rows.part.tolist() == 2 * [*PARTS[:1], "fixed", *PARTS[2:], *edges]
    assert set(rows.paths) == {6} and set(rows.batches) == {2}
    half = (rows.total_high - rows.total_low) / 2
    assert rows.error.tolist() == pytest.approx((half / rows.total).tolist())
    raw = rows.weights == "raw"
    assert (rows.bias2[~raw] == 0).all() and (rows.bias2[raw] != 0).all()
    assert (rows.bias2_low[raw] < rows.bias2[raw]).all()


def test_a_group_held_for_an_epoch_is_drawn_anew_by_the_probe():
    method = get("FairNAS").with_options("held", redraw="epoch")
    training = Trainer(TrainConfig(method=method, data="digits-small", batch=16))
    seen, draw = [], training.paths.draw
    training.paths.draw = lambda generator: seen.append(tuple(draw(generator))) or list(seen[-1])
    probe(training, 4, 2)
    assert len(set(seen)) == 4


class InTurn(PathSampler):
    """Paths one after another: each draw goes on from the last, and nothing is forgotten."""

    def __init__(self, space, epochs):
        super().__init__(space, epochs)
        self.every, self.at = [list(arch) for arch in space], 0

    def draw(self, generator):
        self.at += 1
        return [tuple(self.every[self.at])]


class Halves(Shuffled):
    """The first half of the images, then the second, in turn."""

    def __init__(self, n, epochs):
        super().__init__(n, epochs)
        self.turn = torch.zeros(1, dtype=torch.long)

    def refill(self, generator):
        self.turn += 1
        return torch.arange(self.n // 2) + (self.turn.item() % 2) * (self.n // 2)


def test_samplers_with_a_memory_are_probed_where_training_left_them():
    training = Trainer(
        TrainConfig(compose("in turn", InTurn, Halves), data="digits-small", batch=16, crop=0)
    )
    training.paths.at, training.data.turn[0] = 30, 5
    archs, images = [], []
    paths, data = training.paths.draw, training.data.draw
    training.paths.draw = lambda rng: archs.append(paths(rng)) or archs[-1]
    training.data.draw = lambda size, rng: images.append(data(size, rng)) or images[-1]
    found = probe(training, paths=4, batches=3)["raw"].moments().estimates()
    every = list(training.space)
    assert archs == [[every[31]]] * 4
    assert len(images) == 12 and all(torch.equal(one, torch.arange(16)) for one in images)
    assert found["signal"] > 0 and abs(found["total"]) < 1e-6 * found["signal"]


class Bent(One):
    """Not uniform, and says no weights."""

    def draw(self, generator):
        two = [self.space.sample(generator) for _ in range(2)]
        return [max(two)]


class Weighted(Bent):
    """The same with the weights of another, so they are known."""

    def weight(self, arch):
        return 1.0 + sum(arch)


def test_without_importance_weights_there_are_no_weighted_steps_and_no_bias():
    bent, known = compose("bent", Bent), compose("known", Weighted)
    assert not knows(bent) and knows(known) and not knows(get("sandwich"))
    assert all(map(knows, map(get, ("SPOS", "FairNAS", "PA&DA", "density-aware"))))
    found = probe(trainer(bent), paths=3, batches=2)
    assert set(found) == {"raw"}
    whole = probe(trainer(known), paths=3, batches=2)
    assert set(whole) == {"raw", "importance", "difference"}
    config = TrainConfig(bent, space="mini", data="digits-small", epochs=1, batch=256)
    asked = VarianceConfig(config, paths=3, batches=2)
    table = Run(asked).compute().table("variance")
    assert set(table.weights) == {"raw"} and table.bias2.isna().all() and table.total.notna().all()
    others = bent, get("sandwich"), get("SPOS")
    changes = [VarianceConfig(replace(config, method=other)).changes for other in others]
    assert changes == [3, 2, 1]


def knows(method):
    config = TrainConfig(method, space="mini", data="digits-small")
    return knows_weights(*build_samplers(config, 64)[:2])


class Elsewhere(UniformPaths):
    """Draws otherwise than the class whose weights it inherits."""

    def draw(self, generator):
        return [(3, 3, 3)]


class Told(Elsewhere):
    def weight(self, arch):
        return 1 / 125


class First(Shuffled):
    def refill(self, generator):
        return torch.zeros(self.n, dtype=torch.long)


def test_weights_are_those_of_the_class_that_draws():
    assert not knows(compose("a", Elsewhere)) and knows(compose("b", Told))
    assert not knows(compose("c", data=First)) and knows(compose("d", data=Shuffled))
    assert not knows(compose("e", Elsewhere, data=Shuffled))
    plain = TrainConfig(compose("f", Bent), space="mini", data="digits-small")
    for probe_of in (ExactConfig, AgreementConfig):
        with pytest.raises(
            ValueError, match=r"does not say how likely its draws are.* write `weig"
        ):
            probe_of(plain).check()
    assert math.isnan(mean_flops(plain)) and mean_flops(TrainConfig()) > 0
