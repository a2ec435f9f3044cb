"""The exact probe against brute force with all gradients of a small population in memory."""

from dataclasses import replace
from functools import cache, partial
from itertools import product

import numpy as np
import pytest
import torch
from scipy import stats

from padalib import spaces
from padalib.engine.runs import Run
from padalib.probes import exact
from padalib.probes.exact import ExactConfig, ExactProbe
from padalib.probes.frozen import Coupled, Frozen
from padalib.ranking import metrics
from padalib.train import TrainConfig, Trainer

N, BATCH = 9, 3
OPS = ("nor_conv_1x1", "none", "nor_conv_3x3")
SPACE = replace(spaces.get("mini"), channels=2, ops=OPS)  # 27 paths of 15 classes


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr(metrics, "bootstrap", partial(metrics.bootstrap, draws=100))
    monkeypatch.setattr(exact, "PERTURBATIONS", 50)


@cache
def trained(method="PA&DA", epochs=2, space=SPACE):
    training = Trainer(TrainConfig(method, data="digits-small", space=space, epochs=4))
    for _ in range(epochs):
        training.train_epoch()
    return training


@cache
def probed(statistics="frozen", method="PA&DA", epochs=2, space=SPACE):
    """The probe, and gradients [A, n, P] and logits [A, n, L] of each architecture by itself."""
    training = trained(method, epochs, space)
    images = Frozen(training, N) if statistics == "frozen" else Coupled(training, N, BATCH)
    found = zip(*map(images.gradients, space), strict=True)
    return ExactProbe(training, images), *(torch.stack(part).double().numpy() for part in found)


def moments(g, p, q, b):
    """Mean of steps, and variance of the path means and within paths, of draws from p and q."""
    q = np.broadcast_to(q, g.shape[:2])
    centres = np.einsum("ai,aip->ap", q, g)
    path = p @ ((centres - p @ centres) ** 2).sum(1)
    data = p @ (q * ((g - centres[:, None]) ** 2).sum(2)).sum(1) / b
    return p @ centres, {"total": path + data, "path": path, "data": data}


# --- the table ---


@pytest.mark.parametrize("statistics", ["frozen", "batch"])
def test_the_table_is_that_of_all_gradients_in_memory(statistics):
    probe, g, _ = probed(statistics)
    target, n = g.mean((0, 1)), len(g) * N
    table, signal = probe.measure(BATCH)["exact"], target @ target
    cells = table.set_index(["batch", "distribution", "weights"])
    assert cells.index.is_unique and len(table) == 2 * (17 + 16) + 1
    assert table["signal"].to_numpy() == pytest.approx(signal, rel=1e-5)
    for b in (1, BATCH):
        for name, (p, q) in probe.distributions(b).items():
            assert p.sum() == pytest.approx(1) and q.sum(-1) == pytest.approx(1)
            pi = p[:, None] * q
            weights = np.divide(1, n * pi, out=np.zeros_like(pi), where=pi > 0)
            for kind, steps in (("raw", g), ("importance", g * weights[..., None])):
                mean, wanted = moments(steps, p, q, b)
                row = cells.loc[b, name, kind]
                assert {key: row[key] for key in wanted} == pytest.approx(wanted, rel=1e-4), name
                bias2 = ((mean - target) ** 2).sum()
                assert row["bias2"] == pytest.approx(bias2, rel=1e-3, abs=1e-8 * signal)
                cosine = mean @ target / np.sqrt(mean @ mean * signal)
                assert row["cosine"] == pytest.approx(cosine, abs=1e-5)
                base = cells.loc[b, "uniform", "importance"]["total"]
                assert row["fraction"] == row["total"] / base
    assert cells.loc[BATCH, "held", "raw"]["bias2"] > 0.01 * signal  # not by chance
    best, near, uniform = (
        cells.loc[1, name, "importance"]["total"]
        for name in ("optimum", "best perturbation", "uniform")
    )
    assert best <= near < 1.01 * best
    assert cells.loc[1, "best perturbation", "importance"]["fraction"] == near / uniform
    assert cells.loc[1, "optimiser", "importance"]["total"] == pytest.approx(best, rel=1e-6)


@pytest.mark.parametrize("statistics", ["frozen", "batch"])
def test_architectures_of_one_class_share_gradients(statistics):
    probe, g, _ = probed(statistics)
    members = SPACE.classes()
    assert probe.archs == list(SPACE) and probe.classes == list(members) and len(members) == 15
    for k, arch in enumerate(probe.archs):
        own = probe.classes[probe.of_class[k]]
        assert arch in members[own]
        np.testing.assert_allclose(g[k], g[probe.archs.index(own)], rtol=1e-4, atol=1e-6)
    found = probe.population
    np.testing.assert_allclose(found.squares, (g**2).sum(2), rtol=1e-5)
    np.testing.assert_allclose(found.means, (g.mean(1) ** 2).sum(1), rtol=1e-5)
    np.testing.assert_allclose(probe.mean, g.mean((0, 1)), rtol=1e-4, atol=1e-6)
    assert (found.u == 1 / 27).all()


# --- the distributions ---


@pytest.mark.parametrize("method", ["PA&DA", "SPOS", "balanced"])
def test_held_are_the_samplers_own_probabilities(method):
    training = trained(method, 2 if method == "PA&DA" else 0)
    p, q = ExactProbe(training, Frozen(training, N)).held()
    of_paths, of_images = np.full(27, 1 / 27), np.full(N, 1 / N)
    if method == "balanced":
        level = [len(SPACE.plan(arch)) for arch in SPACE]  # all live edges are convolutions
        of_paths = np.array([1 / len(set(level)) / level.count(k) for k in level])
    if method == "PA&DA":
        of_paths = training.paths.p[torch.tensor(list(SPACE))].prod(1).numpy()
        of_images = (training.data.q[:N] / training.data.q[:N].sum()).numpy()
        assert np.ptp(p) > 0.01 and np.ptp(q) > 0.01
    assert p.tolist() == pytest.approx(of_paths.tolist(), rel=1e-5)
    assert q.tolist() == pytest.approx(of_images.tolist(), rel=1e-5)


def slow_scores(space, net, g, shared):
    """Operation scores [E, O] for steps of two images, over all pairs of images."""
    sizes = [p.numel() for p in net.parameters()]
    names = [name for name, _ in net.named_parameters()]
    norms = {}  # name of a weight -> its gradient's root mean square norm for each path
    for name, own in zip(names, np.split(g, np.cumsum(sizes)[:-1], axis=2), strict=True):
        steps = (own[:, :, None] + own[:, None]) / 2  # [A, n, n, ...]
        norms[name] = np.sqrt((steps**2).sum(3).mean((1, 2)))
    found, weighted = {}, [op for op, name in enumerate(space.ops) if "conv" in name]
    for k, arch in enumerate(space):
        live = {edge for *_, edge, _ in space.plan(arch)}
        for (edge, op), stage, cell in product(enumerate(arch), range(3), range(space.cells)):
            if op in weighted:
                name = f"stages.{stage}.{cell}.ops.{edge // space.extent}_{op}.conv.weight"
                score = norms[name][k] if edge in live else 0
                found.setdefault((op, 0 if shared else edge), []).append(score)
    scores = np.zeros((len(space.edges), len(space.ops)))
    for edge, op in product(range(len(space.edges)), weighted):
        scores[edge, op] = np.mean(found[op, 0 if shared else edge])
    rest = [op for op in range(len(space.ops)) if op not in weighted]
    scores[:, rest] = scores[:, weighted].mean(1, keepdims=True)
    return scores


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("fields", [{}, {"extent": 2, "cells": 2, "channels": 1}])
def test_operation_scores_by_their_definition(fields, shared):
    space = replace(SPACE, **fields)
    probe, g, _ = probed(space=space)
    scores = slow_scores(space, probe.images.net, g, shared)
    p = scores / scores.sum(1, keepdims=True)
    wanted = [p[0, a] * p[1, b] * p[2, c] for a, b, c in space]
    assert np.ptp(p) > 0.01
    assert probe.operation_scores(2, shared).tolist() == pytest.approx(wanted, rel=1e-4)


def test_operations_without_weights_have_no_scores():
    probe, *_ = probed(space=replace(SPACE, ops=("none", "skip_connect")), epochs=0)
    for shared in (True, False):
        assert (probe.operation_scores(2, shared) == 1 / 8).all()


@pytest.mark.parametrize("b", [1, BATCH])
def test_distributions_are_what_they_are_called(b):
    probe, _, logits = probed()
    known, archs, uniform = probe.population, np.array(list(SPACE)), np.full(N, 1 / N)
    found = probe.distributions(b)
    errors = torch.tensor(logits).softmax(2).numpy() - np.eye(10)[probe.images.y]
    errors = np.linalg.norm(errors, axis=2).mean(0)
    per_op, per_edge = (probe.operation_scores(b, shared) for shared in (True, False))
    for name, p, q in (
        ("uniform", known.u, uniform),
        ("optimum", *known.best(b)),
        ("best paths", known.best_paths(b), uniform),
        ("best images", known.u, known.best_images()),
        ("best product", *known.best_product(b)),
        ("best per operation", known.best_operations(archs, SPACE.entries().at, b), uniform),
        ("best per edge", known.best_operations(archs, SPACE.entries(False).at, b), uniform),
        ("norms per operation", per_op, uniform),
        ("norms per edge", per_edge, uniform),
        ("size", probe.size(), uniform),
        ("softmax error", known.u, errors / errors.sum()),
        ("norms per operation, softmax error", per_op, errors / errors.sum()),
        ("held paths", probe.held()[0], uniform),
        ("held images", known.u, probe.held()[1]),
        ("held", *probe.held()),
    ):
        np.testing.assert_allclose(found[name][0], p, rtol=1e-5, err_msg=name)
        np.testing.assert_allclose(found[name][1], q, rtol=1e-5, err_msg=name)
    p, q = found["best images, shuffled"]
    assert (p == known.u).all() and sorted(q) == sorted(known.best_images())
    assert (q != known.best_images()).any() and ("optimiser" in found) == (b == 1)


# --- the proxies ---


def weights_used(arch):
    """Weights outside the operations, and of those that a signal passes, from their names."""
    live = {f"{edge}_{arch[edge]}" for *_, edge, _ in SPACE.plan(arch)}
    return sum(
        weight.numel()
        for name, weight in trained().net.named_parameters()
        if ".ops." not in name or name.split(".ops.")[1].split(".")[0] in live
    )


def test_proxies_are_ranked_against_the_best():
    probe, g, logits = probed()
    tables = probe.measure(BATCH)
    squares, means = (g**2).sum(2), (g.mean(1) ** 2).sum(1)
    onehot, soft = np.eye(10)[probe.images.y], torch.tensor(logits).softmax(2).numpy()
    pairs = {"softmax error": np.linalg.norm(soft - onehot, axis=2)}  # [A, n]
    pairs["loss"] = -np.log((soft * onehot).sum(2))
    first = [probe.archs.index(arch) for arch in probe.classes]
    of_class = [[probe.archs.index(a) for a in same] for same in SPACE.classes().values()]
    by_path = {
        "best": np.sqrt(means + (squares.mean(1) - means) / BATCH),
        "held paths": probe.held()[0],
        "norms per operation": probe.operation_scores(BATCH, True),
        "norms per edge": probe.operation_scores(BATCH, False),
        "size": np.sqrt([weights_used(arch) for arch in SPACE]),
    }
    by_path = {k: [(v / v.sum())[same].mean() for same in of_class] for k, v in by_path.items()}
    best = np.sqrt(squares.sum(0))
    by_image = {"best": best / best.sum()} | {name: v.mean(0) for name, v in pairs.items()}
    by_image["held images"] = probe.held()[1]
    rhos = tables["proxies"].set_index(["over", "proxy"])
    assert len(rhos) == 4 + 3 + 2
    for what, wanted in (("paths", by_path), ("images", by_image)):
        table = tables[f"exact_{what}"]
        assert list(table)[1:] == list(wanted)
        for name, values in wanted.items():
            np.testing.assert_allclose(table[name], values, rtol=1e-4)
            if name != "best":
                rho, low, high = rhos.loc[what, name]
                assert rho == pytest.approx(stats.spearmanr(table["best"], table[name])[0])
                assert -1 <= low < high <= 1
    for name, values in pairs.items():
        found = [stats.spearmanr(values[k], squares[k])[0] for k in first]
        wanted = np.quantile(found, [0.5, 0.025, 0.975])
        assert rhos.loc["within paths", name].tolist() == pytest.approx(wanted.tolist())
    assert tables["exact_paths"]["code"].tolist() == [SPACE.code(arch) for arch in probe.classes]


# --- the config ---


@pytest.mark.filterwarnings("ignore:.*no bfloat16 instructions")
def test_a_run_in_bfloat16_is_probed_in_float32():
    config = TrainConfig(data="digits-small", space=SPACE, epochs=4, precision="bfloat16")
    probe = ExactProbe(Trainer(config), Frozen(Trainer(config), N))
    plain = ExactProbe(trained("SPOS", 0), Frozen(trained("SPOS", 0), N))
    np.testing.assert_array_equal(probe.population.squares, plain.population.squares)


def test_what_makes_no_population_is_refused():
    train = TrainConfig(data="digits-small", epochs=3, keep=(1,))
    for fields, words in (
        ({"images": 1}, "images must be a whole number from 2, got 1"),
        ({"batch": 0}, "batch must be a whole number from 1, got 0"),
        ({"coupled": -1}, "coupled must be a whole number from 0, got -1"),
        ({"statistics": "own"}, "statistics must be 'frozen' or 'batch', got 'own'"),
        ({"epoch": 2}, "does not keep epoch 2"),
        ({"batch": 1}, "at least 2 and at most all images, got 1 of 512"),
        ({"images": 8}, "at most all images, got 64 of 8"),
        ({"images": 100, "statistics": "batch"}, "batches of 64 do not make 100 images"),
    ):
        with pytest.raises(ValueError, match=words):
            ExactConfig(train, **fields)
    with pytest.raises(ValueError, match="is one architecture: it has no paths to draw"):
        ExactConfig(TrainConfig(data="digits-small", arch=(3, 3, 3)))
    assert ExactConfig(train, batch=1, coupled=0).batch == 1
    shared = replace(SPACE, name="shared", extent=3)
    with pytest.raises(ValueError, match="shared shares operations between edges"):
        ExactConfig(replace(train, space=shared))
    with pytest.raises(ValueError, match="takes steps of 3 paths"):
        probed(method="FairNAS", epochs=0)
    assert [ExactConfig(train, epoch).label.split()[-1] for epoch in (1, None)] == ["1", "3"]


def test_a_run_writes_all_its_tables_and_the_same_again(tmp_path, monkeypatch):
    train = TrainConfig("PA&DA", space=SPACE, data="digits-small", epochs=1, keep=(0,))
    written, names = [], {"exact", "proxies", "exact_paths", "exact_images"}
    for folder, statistics, coupled in ((1, "frozen", 2), (2, "frozen", 2), (3, "batch", 0)):
        monkeypatch.setenv("PADALIB_DATA", str(tmp_path / str(folder)))
        run = Run(ExactConfig(train, 0, N, BATCH, statistics, coupled)).compute()
        written.append({path.stem: path.read_bytes() for path in run.folder.glob("*.csv")})
        assert set(written[-1]) == names | ({"coupled"} if coupled else set())
        for table in map(run.table, written[-1]):
            assert (table["epoch"] == 0).all() and (table["statistics"] == statistics).all()
        target = probed(statistics, epochs=0)[0].population.target
        assert run.table("exact")["signal"].to_numpy() == pytest.approx(target)
        assert not coupled or len(run.table("coupled")) == coupled
    assert written[0] == written[1]
