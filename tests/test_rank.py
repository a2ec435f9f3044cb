"""Scoring: the batched loop against an obvious one, every class once, splits by name."""

import dataclasses

import pytest
import torch

from padalib import data, rank, spaces, train
from padalib.rank import ScoreConfig, score
from padalib.runs import Run
from padalib.spaces import BN_MODES
from padalib.spaces.supernet import Norm
from padalib.train import TrainConfig, Trainer

SPACE = dataclasses.replace(spaces.get("mini"), channels=4)
TRAIN = TrainConfig("PA", data="digits-small", space=SPACE, epochs=2, batch=128, lr=0.2, keep=(0,))
ARCHS = [(3, 2, 1), (0, 0, 0), (2, 4, 3)]
SPLITS = data.load("digits-small")


@pytest.fixture
def trainer(request):
    trainer = Trainer(dataclasses.replace(TRAIN, bn=request.param))
    trainer.train_epoch()
    return trainer


def normalised(images, start, stop):
    pixels = images.images[start:stop].float() / 255
    return (pixels - images.mean[0]) / images.std[0]


def averaged_statistics(net, arch, images, size):
    """Sets each norm's statistics to the mean over ten batches of what comes in."""
    norms = [module for module in net.modules() if isinstance(module, Norm)]
    seen = {norm: [] for norm in norms}
    hooks = [norm.register_forward_pre_hook(lambda n, x: seen[n].append(x[0])) for norm in norms]
    net.train()
    for start in range(0, min(len(images), 10 * size), size):
        net(normalised(images, start, start + size), arch)
    for hook in hooks:
        hook.remove()
    for norm in norms:
        if seen[norm]:
            norm.running_mean = torch.stack([x.mean((0, 2, 3)) for x in seen[norm]]).mean(0)
            norm.running_var = torch.stack([x.var((0, 2, 3)) for x in seen[norm]]).mean(0)


@torch.no_grad()
def plainly(net, archs, images, size, calibration):
    """Batch by batch, and then image by image."""
    found = []
    for arch in archs:
        if net.bn == "recalibrated":
            averaged_statistics(net, arch, calibration, size)
        net.eval()
        right, loss = 0, 0.0
        for start in range(0, len(images), size):
            logits = net(normalised(images, start, start + size), arch)
            labels = images.labels[start : start + size].tolist()
            for row, label in zip(logits, labels, strict=True):
                right += int(row.argmax()) == label
                loss -= float(row.double().log_softmax(0)[label])
        found.append((100 * right / len(images), loss / len(images)))
    return found


@pytest.mark.parametrize("trainer", BN_MODES, indirect=True)
@pytest.mark.parametrize("size", [100, 50])  # of 256 images, 512 to calibrate with
def test_scores_equal_those_of_a_plain_loop(trainer, size):
    calibration = trainer.images
    found = score(trainer.net, ARCHS, SPLITS["valid"], size, calibration)
    wanted = plainly(trainer.net, ARCHS, SPLITS["valid"], size, calibration)
    for (accuracy, loss), (plain_accuracy, plain_loss) in zip(found, wanted, strict=True):
        assert abs(accuracy - plain_accuracy) < 0.8  # at a tie of logits the last bit decides
        assert loss == pytest.approx(plain_loss, rel=1e-5)
    assert found[0] != found[2]


@pytest.mark.parametrize("trainer", BN_MODES, indirect=True)
def test_an_architecture_scores_the_same_whatever_came_before(trainer):
    together = score(trainer.net, ARCHS, SPLITS["valid"], 128, trainer.images)
    alone = score(trainer.net, ARCHS[2:], SPLITS["valid"], 128, trainer.images)
    assert alone == together[2:]


@pytest.mark.parametrize("trainer", ["batch"], indirect=True)
def test_accuracy_is_in_percent_of_the_images(trainer):
    with torch.no_grad():
        trainer.net.head.weight.zero_()
        trainer.net.head.bias.copy_(torch.arange(10) == 7)
    ((accuracy, loss),) = score(trainer.net, ARCHS[:1], SPLITS["valid"])
    share = (SPLITS["valid"].labels == 7).double().mean().item()
    assert accuracy == pytest.approx(100 * share)
    e = torch.e
    assert loss == pytest.approx(torch.tensor(e + 9).log().item() - share, rel=1e-5)


@pytest.mark.parametrize("trainer", ["recalibrated"], indirect=True)
def test_recalibration_without_images_is_refused(trainer):
    with pytest.raises(ValueError, match="needs calibration images: pass the training set"):
        score(trainer.net, ARCHS, SPLITS["valid"])


def test_every_class_is_scored_once_on_every_split():
    config = ScoreConfig(TRAIN, splits=("valid", "test"), images=64, batch=32)
    table = Run(config).compute().table("scores")
    assert list(table) == ["code", "epoch", "split", "images", "accuracy", "loss"]
    codes = [SPACE.code(arch) for arch in SPACE.classes()]
    assert len(codes) == 85
    assert table.code.tolist() == codes * 2
    assert table.split.tolist() == ["valid"] * 85 + ["test"] * 85
    assert (set(table.images), set(table.epoch)) == ({64}, {2})
    net = train.load(Run(TRAIN)).net
    for row in table.iloc[[3, 80, 85, 169]].itertuples():
        images = SPLITS[row.split].first(64)
        wanted = score(net, [SPACE.parse(row.code)], images, 32)
        assert wanted == [(row.accuracy, row.loss)]


def test_a_kept_epoch_is_scored_on_the_first_images(monkeypatch):
    config = ScoreConfig(TRAIN, epoch=0, images=100)
    monkeypatch.setattr(type(SPACE), "classes", lambda self: dict.fromkeys(ARCHS))
    table = Run(config).compute().table("scores")
    assert (set(table.images), set(table.epoch)) == ({100}, {0})
    wanted = score(Trainer(TRAIN).net, ARCHS, SPLITS["valid"].first(100))
    assert list(zip(table.accuracy, table.loss, strict=True)) == wanted


def test_an_architecture_trained_alone_is_the_only_one_scored():
    config = ScoreConfig(dataclasses.replace(TRAIN, arch=(3, 2, 0), bn="running", keep=()))
    table = Run(config).compute().table("scores")
    assert table.code.tolist() == ["0-2-0"]  # the edge before 'none' is dead


@pytest.mark.parametrize("splits", [("validation",), ("valid", "tests"), ()])
def test_unknown_splits_are_refused(splits):
    with pytest.raises(ValueError, match=r"splits must be some of \('train', 'valid', 'test'\)"):
        ScoreConfig(TRAIN, splits=splits)


def test_an_epoch_that_the_training_does_not_keep_is_refused():
    with pytest.raises(ValueError, match="keep"):
        ScoreConfig(TRAIN, epoch=1)


def test_only_so_many_batches_calibrate(monkeypatch):
    seen = []
    monkeypatch.setattr(rank, "recalibrate", lambda net, arch, xs: seen.append(len(list(xs))))
    net = train.build(dataclasses.replace(TRAIN, bn="recalibrated"))
    score(net, ARCHS[:1], SPLITS["valid"].first(20), 20, SPLITS["train"])
    assert seen == [rank.RECALIBRATION_BATCHES]
