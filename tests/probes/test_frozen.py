"""Gradients of single images against loops of autograd, finite differences, values by hand."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn
from torch.nn import functional as F

from padalib import spaces
from padalib.probes import frozen as module
from padalib.probes.frozen import Coupled, Frozen, coupling, per_sample
from padalib.train import TrainConfig, Trainer

SPACE = replace(spaces.get("mini"), channels=2)  # none, skip, 1x1, 3x3, pool
ARCHS = ((3, 3, 3), (2, 2, 2), (3, 1, 4), (0, 4, 2), (1, 4, 1), (0, 0, 3), (2, 0, 0))
KINDS = {
    "plain": {},
    "shared": {"extent": 3},  # a convolution takes part up to three times in a path
    "bias": {"conv_bias": True, "extent": 2},
    "residual": {"skeleton": "residual", "cells": 2, "channels": 1},  # convolutions of stride two
}


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 5)  # does not divide 12


def trainer(epochs=1, **fields):
    training = Trainer(TrainConfig("SPOS", data="digits-small", space=replace(SPACE, **fields)))
    for _ in range(epochs):
        training.train_epoch()
    return training


def of_loss(net, loss):
    """The gradient [P], by autograd alone."""
    options = {"retain_graph": True, "allow_unused": True, "materialize_grads": True}
    found = torch.autograd.grad(loss, list(net.parameters()), **options)
    return torch.cat([g.flatten() for g in found])


def one_by_one(net, arch, x, y):
    """Gradients [n, P] and logits [n, L] of images that never meet."""
    logits = [net(image, arch) for image in x.split(1)]
    losses = [F.cross_entropy(*pair) for pair in zip(logits, y.split(1), strict=True)]
    return torch.stack([of_loss(net, loss) for loss in losses]), torch.cat(logits)


# --- frozen ---


@pytest.mark.parametrize("kind", KINDS)
def test_frozen_gradients_are_a_loop_over_single_images(kind):
    training = trainer(0, **KINDS[kind])
    probed, used, before = Frozen(training, 12), set(), {}
    names, sizes = zip(
        *((name, p.numel()) for name, p in training.net.named_parameters()), strict=True
    )
    for arch in ARCHS:
        g, logits = probed.gradients(arch)
        before[arch] = g
        wanted, plain = one_by_one(probed.net, arch, probed.x, probed.y)
        torch.testing.assert_close(logits, plain, rtol=1e-4, atol=1e-6)
        for name, *pair in zip(names, g.split(sizes, 1), wanted.split(sizes, 1), strict=True):
            assert (pair[0] - pair[1]).norm() <= 1e-4 * pair[1].norm(), (arch, name)
            used |= {name} if pair[0].any(1).all() else set()
        whole = of_loss(probed.net, F.cross_entropy(probed.net(probed.x, arch), probed.y))
        assert (g.mean(0) - whole).norm() <= 1e-4 * whole.norm()
    assert all(torch.equal(probed.gradients(arch)[0], g) for arch, g in before.items())
    assert used == set(names)  # no weight but takes part in one of the paths


@pytest.mark.parametrize("kind", KINDS)
def test_frozen_statistics_are_those_of_the_images_through_the_path(kind):
    training, seen = trainer(0, **KINDS[kind]), {}
    probed, layers = Frozen(training, 12), dict(training.net.named_modules())
    norms = {name: m for name, m in probed.net.named_modules() if isinstance(m, nn.BatchNorm2d)}
    for name in norms:
        layers[name].register_forward_pre_hook(
            lambda _, args, name=name: seen.setdefault(name, []).append(args[0].detach())
        )
    for arch in ARCHS:
        seen.clear()
        training.net.train()(probed.x, arch)  # normalised by the batch's own statistics
        probed.set(arch)
        for name, layer in norms.items():
            # Where edges share a layer, the mean of the statistics of its uses; of no use, none.
            given = [(v.mean((0, 2, 3)), v.var((0, 2, 3))) for v in seen.get(name, ())]
            mean, var = map(torch.stack, zip(*given, strict=True)) if given else (None, None)
            mean = torch.zeros(layer.num_features) if mean is None else mean.mean(0)
            var = torch.ones(layer.num_features) if var is None else var.mean(0)
            torch.testing.assert_close(layer.running_mean, mean, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(layer.running_var, var, rtol=1e-4, atol=1e-5)


def test_a_path_without_live_edges_moves_the_bias_of_the_head_only():
    probed = Frozen(trainer(0), 6)
    g, logits = probed.gradients((3, 0, 0))
    assert g[:, :-10].count_nonzero() == 0
    errors = logits.softmax(1) - F.one_hot(probed.y, 10)
    torch.testing.assert_close(g[:, -10:], errors, rtol=1e-4, atol=1e-7)


class Standardised(nn.Conv2d):
    """Another function of its weights than a convolution."""

    def __init__(self):
        super().__init__(3, 3, 3)

    def forward(self, x):
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return F.conv2d(x, weight, self.bias, padding=1)


LAYERS = {  # of 3 channels each
    "circular": lambda: nn.Conv2d(3, 3, 3, padding=1, padding_mode="circular"),
    "reflect": lambda: nn.Conv2d(3, 3, 5, padding=(2, 1), padding_mode="reflect", dilation=(1, 2)),
    "replicate": lambda: nn.Conv2d(3, 3, 3, 2, padding=1, padding_mode="replicate", groups=3),
    "same": lambda: nn.Conv2d(3, 3, 3, padding="same"),
    "same, dilated": lambda: nn.Conv2d(3, 3, (5, 3), padding="same", dilation=2),
    "same, circular": lambda: nn.Conv2d(3, 3, 4, padding="same", padding_mode="circular"),
    "valid": lambda: nn.Conv2d(3, 3, 3, 2, padding="valid"),
    "wide 1x1": lambda: nn.Conv2d(3, 3, 1, padding=1),
    "wide 1x1, reflect": lambda: nn.Conv2d(3, 3, 1, padding=1, padding_mode="reflect"),
    "over pixels": lambda: nn.Linear(3, 3),
}


@dataclass(frozen=True)
class Odd(spaces.Space):
    """One position, whose option is a layer, or a way to use one."""

    name: str = "odd"
    layer: str = "same"
    size: int = 16
    in_channels: int = 1
    classes_out: int = 10

    @cached_property
    def positions(self):
        return (spaces.Position("one", (self.layer, "skip")),)

    def network(self, bn, arch, precision):
        return OddNet(self, bn, arch, precision)


class OddNet(spaces.Supernet):
    def __init__(self, space, bn, arch, precision):
        super().__init__(space, bn, arch, precision)
        self.stem, self.head = nn.Conv2d(1, 3, 3, 2), nn.Linear(3, 10)
        self.norm = spaces.Norm(3, **(self.norm_options | {"affine": False}))
        make = LAYERS.get(space.layer, lambda: nn.Conv2d(3, 3, 3, padding=1))
        make = Standardised if space.layer == "subclass" else make
        self.layer = nn.Identity() if arch == (1,) else make()

    def features(self, x, arch):
        x, layer, how = self.norm(self.stem(x)).relu(), self.layer, self.space.layer
        if arch[0]:
            pass
        elif how == "over pixels":
            x = x + layer(x.flatten(2).transpose(1, 2)).mean(1)[..., None, None]
        elif how == "used besides":
            x = F.conv2d(x, layer.weight, padding=1).sigmoid() + layer(x)
        elif how == "functional":
            x = F.conv2d(x, layer.weight, layer.bias)
        elif how == "in place":
            x = layer(x).sigmoid_()
        elif how == "twice the images":
            x = layer(torch.cat([x, -x]))[: len(x)]
        else:
            x = layer(x)
        return x.sigmoid().mean((2, 3))

    def choices(self):
        return {(0, 0): [self.layer]}


def odd(layer):
    return Frozen(Trainer(TrainConfig(space=Odd(layer=layer), data="digits-small")), 12)


@pytest.mark.parametrize("layer", LAYERS)
def test_every_way_to_pad_and_every_shape_has_its_own_gradients(layer):
    probed = odd(layer)
    g, _ = probed.gradients((0,))
    wanted, _ = one_by_one(probed.net, (0,), probed.x, probed.y)
    assert ((g - wanted).norm(dim=1) <= 1e-4 * wanted.norm(dim=1)).all()


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        ("subclass", "known of convolutions and linear layers only, not of layer.weight"),
        ("functional", "do not add up to that of all of them in layer.weight, .* of the path 0: "),
        ("used besides", "do not add up to that of all of them in layer.weight of the path 0: a l"),
        ("in place", "do not add up to that of all of them in layer.weight, layer.bias of the pa"),
        ("twice the images", r"Conv2d\(3, 3\) gets 4 rows for 2 images, so nobody knows which"),
    ],
)
def test_layers_that_do_something_else_are_refused(layer, said):
    probed = odd(layer)
    if layer != "subclass":
        probed.gradients((1,))  # the other path is as it says
    with pytest.raises(ValueError, match=said):
        probed.gradients((0,))


def test_coupled_images_are_refused_and_no_hook_is_left():
    x, y = torch.randn(4, 1, 16, 16), torch.zeros(4, dtype=torch.long)
    for net in (SPACE.build(bn="batch").eval(), SPACE.build(bn="recalibrated").train()):
        with pytest.raises(ValueError, match="need frozen statistics"):
            per_sample(net, ARCHS[0], x, y)
    net = SPACE.build(bn="recalibrated").eval()
    per_sample(net, ARCHS[0], x, y)
    with pytest.raises(ValueError, match="has 3 operations"):
        per_sample(net, (0, 1), x, y)
    assert not any(layer._forward_hooks for layer in net.modules())


def test_images_are_the_first_as_they_are_and_weights_those_of_the_run():
    training = trainer()
    before = {name: value.clone() for name, value in training.net.state_dict().items()}
    probed = Frozen(training, 7)
    probed.gradients(ARCHS[0])
    for given, n in ((probed, 7), (Coupled(training, 6, 3), 6)):
        x, y = training.images.batch(torch.arange(n))
        assert torch.equal(given.x, x) and torch.equal(given.y, y)
    for name, value in before.items():
        assert torch.equal(training.net.state_dict()[name], value)
        assert torch.equal(probed.net.state_dict()[name], value)
    for n in (1, 513):
        with pytest.raises(ValueError, match=rf"images must be in 2..512 .*, got {n}"):
            Frozen(training, n)
    for n, batch in ((10, 4), (6, 1), (4, 8)):
        with pytest.raises(ValueError, match=f"batches of {batch} do not make {n} images"):
            Coupled(training, n, batch)


# --- coupled ---


def test_the_mean_over_a_batch_is_the_gradient_of_a_training_step():
    training = trainer()
    given = Coupled(training, 8, 4)
    training.optimizer.param_groups[0]["lr"] = 0  # the step leaves the weights alone
    for arch in (*ARCHS, (3, 0, 0)):
        g, logits = given.gradients(arch)
        for index in torch.arange(8).split(4):
            x, y = training.images.batch(index)
            torch.testing.assert_close(logits[index], training.net(x, arch).detach())
            training.optimizer.zero_grad(set_to_none=False)
            training.update.step(
                training.net, training.optimizer, 1e9, [arch], index, x, y,
                training.paths, training.data,
            )  # fmt: skip
            parts = [torch.zeros_like(p) if p.grad is None else p.grad
                     for p in training.net.parameters()]  # fmt: skip
            wanted = torch.cat([part.flatten() for part in parts])
            assert (g[index].mean(0) - wanted).norm() <= 1e-4 * wanted.norm() > 0


def test_coupled_gradients_are_finite_differences_through_the_batch():
    training, arch, h = trainer(), (2, 3, 3), 1e-4
    training.net.double().head.register_forward_pre_hook(lambda _, args: args[0].double())
    given, parameters = Coupled(training, 6, 3), list(training.net.parameters())
    given.x = given.x.double()
    g, _ = given.gradients(arch)
    for way in F.normalize(g):
        losses, parts = [], way.split([p.numel() for p in parameters])
        for shift in (h, -2 * h):  # once forward, twice back
            for p, part in zip(parameters, parts, strict=True):
                p.data += shift * part.view(p.shape)
            logits = torch.cat([training.net(x, arch).detach() for x in given.x.split(3)])
            losses.append(F.cross_entropy(logits, given.y, reduction="none"))
        for p, part in zip(parameters, parts, strict=True):
            p.data += h * part.view(p.shape)
        slope = (losses[0] - losses[1]) / (2 * h)
        torch.testing.assert_close(g @ way, slope, rtol=1e-3, atol=1e-3)


def test_coupled_and_frozen_gradients_are_of_different_functions():
    training = trainer(2)  # both by the statistics of the same eight images
    own, own_logits = Frozen(training, 8).gradients((3, 3, 3))
    g, logits = Coupled(training, 8, 8).gradients((3, 3, 3))
    assert ((own - g).norm(dim=1) > 0.2 * g.norm(dim=1)).all()
    # Above the last statistics, in the head, they differ by Bessel's correction only.
    torch.testing.assert_close(own_logits, logits, rtol=0, atol=0.05)
    assert ((own - g)[:, -90:].norm(dim=1) < 0.05 * g[:, -90:].norm(dim=1)).all()


def test_coupling_by_hand():
    training = trainer()
    frozen = Frozen(training, 12)
    x, y = frozen.x[:5], frozen.y[:5]
    rows = list(coupling(training, frozen, 3, 5))
    assert len({row["code"] for row in rows}) == 3 and rows == list(
        coupling(training, frozen, 3, 5)
    )
    for row in rows:
        arch = SPACE.parse(row["code"])
        assert SPACE.canonical(arch) == arch
        losses = F.cross_entropy(training.net.train()(x, arch), y, reduction="none")
        g = torch.stack([of_loss(training.net, loss) for loss in losses])
        own, _ = one_by_one(frozen.set(arch), arch, x, y)
        norms, own_norms = (v.norm(dim=1).double().numpy() for v in (g, own))
        wanted = {
            "rho": stats.spearmanr(norms, own_norms)[0],
            "ratio": np.median(norms / own_norms),
            "difference": np.median((g - own).norm(dim=1).numpy() / norms),
            "cosine": float(F.normalize(g.mean(0), dim=0) @ F.normalize(own.mean(0), dim=0)),
        }
        assert {name: row[name] for name in wanted} == pytest.approx(wanted, rel=1e-4)
