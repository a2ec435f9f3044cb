"""Scoring: the batched loop against an obvious one, every class once, splits by name."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional as F

from padalib import data, spaces, train
from padalib.engine.identity import identity, key
from padalib.engine.launch import grid
from padalib.engine.runs import Run, RunError
from padalib.ranking import partial, scores
from padalib.ranking.normed import NormScores
from padalib.ranking.scores import ScoreConfig, sample, score
from padalib.spaces import BN_MODES
from padalib.spaces.cell_net import CellNet
from padalib.spaces.network import Norm
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
    for start in range(0, min(len(images) - size + 1, 10 * size), size):
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


class Cut:
    """A walk of a network, cut in the middle of a batch, so many batches on."""

    def __init__(self, after):
        self.left, self.batches = after, 0

    def __call__(self, net, x, group):
        self.batches += 1
        for k, logits in enumerate(WALK(net, x, group)):
            if self.batches == self.left and k == len(group) // 2:
                raise KeyboardInterrupt
            yield logits


WALK = CellNet.walk
EVERY_WAY = {
    "batch": ScoreConfig(TRAIN, splits=("valid", "test"), images=96, batch=32),
    "recalibrated": ScoreConfig(
        dataclasses.replace(TRAIN, bn="recalibrated"), splits=("valid",), images=96, batch=48,
        codes=tuple(SPACE.code(arch) for arch in ARCHS),
    ),
    "each way": NormScores(TRAIN, images=96, batch=48, codes=("0-1-2", "1-1-1", "2-0-2")),
}  # fmt: skip


@pytest.mark.parametrize("name", EVERY_WAY)
@pytest.mark.parametrize("every", [0, 1000])  # saved while it goes on, or when it is cut
def test_scores_that_were_cut_go_on_to_the_same_and_score_nothing_twice(name, every, monkeypatch):
    run, cuts = Run(EVERY_WAY[name]), []
    monkeypatch.setattr(partial, "EVERY", every)
    for after in (1, 2, 3):  # cut three times: at once, after one batch, after two more
        cuts.append(Cut(after))
        monkeypatch.setattr(CellNet, "walk", lambda *given, cut=cuts[-1]: cut(*given))
        with pytest.raises(KeyboardInterrupt):
            run.compute()
        assert not run.done
    last = Cut(0)
    monkeypatch.setattr(CellNet, "walk", lambda *given: last(*given))
    table = run.compute().table("scores")
    assert not (run.folder / "so_far.pt").exists() and run.record()["states"] == []
    whole, again = Cut(0), Run(EVERY_WAY[name])
    monkeypatch.setattr(CellNet, "walk", lambda *given: whole(*given))
    again.folder = run.folder.with_name("whole")
    pd.testing.assert_frame_equal(again.compute().table("scores"), table, check_exact=True)
    assert last.batches == whole.batches - 3  # whole batches before the cuts: 0, 1 and 2


def test_scores_of_a_training_that_was_made_again_begin_anew(monkeypatch):
    run, cut = Run(EVERY_WAY["batch"]), Cut(3)
    monkeypatch.setattr(CellNet, "walk", lambda *given: cut(*given))
    with pytest.raises(KeyboardInterrupt):
        run.compute()
    kept = run.load_state("so_far")
    for part in kept.values():
        part["of"] = {"curves": "of another machine"}
        part["known"]["sums"] += 1e6
    run.save_state("so_far", kept)
    last = Cut(0)
    monkeypatch.setattr(CellNet, "walk", lambda *given: last(*given))
    assert run.compute().table("scores").accuracy.max() <= 100
    assert last.batches == 6


def test_a_kept_epoch_is_scored_on_the_first_images(monkeypatch):
    config = ScoreConfig(TRAIN, epoch=0, images=100)
    monkeypatch.setattr(type(SPACE), "classes", lambda self: dict.fromkeys(ARCHS))
    table = Run(config).compute().table("scores")
    assert (set(table.images), set(table.epoch)) == ({100}, {0})
    wanted = score(Trainer(TRAIN).net, ARCHS, SPLITS["valid"].first(100))
    assert list(zip(table.accuracy, table.loss, strict=True)) == wanted


def test_an_architecture_trained_alone_is_the_only_one_scored():
    config = ScoreConfig(
        dataclasses.replace(TRAIN, method="SPOS", arch=(3, 2, 0), bn="running", keep=())
    )
    table = Run(config).compute().table("scores")
    assert table.code.tolist() == ["0-2-0"]  # the edge before 'none' is dead


def test_only_architectures_of_some_operations_are_scored():
    ops = ("nor_conv_1x1", "nor_conv_3x3")
    table = Run(ScoreConfig(TRAIN, images=20, archs=ops)).compute().table("scores")
    assert table.code.tolist() == [f"{a}-{b}-{c}" for a in (2, 3) for b in (2, 3) for c in (2, 3)]
    for wrong in ((), ("conv",), ("nor_conv_1x1", "nor_conv_1x1")):
        with pytest.raises(ValueError, match="needs one of the options"):
            ScoreConfig(TRAIN, archs=wrong)


@pytest.mark.parametrize("splits", [("validation",), ("valid", "tests"), (), ("test", "test")])
def test_unknown_splits_are_refused(splits):
    with pytest.raises(ValueError, match=r"splits must be some of \(.*'test', 'train\+valid'\)"):
        ScoreConfig(TRAIN, splits=splits)


def test_an_epoch_that_the_training_does_not_keep_is_refused():
    with pytest.raises(ValueError, match="keep"):
        ScoreConfig(TRAIN, epoch=1)


def test_only_so_many_batches_calibrate(monkeypatch):
    seen = []
    monkeypatch.setattr(scores, "recalibrate", lambda net, arch, xs: seen.append(len(list(xs))))
    net = train.build(dataclasses.replace(TRAIN, bn="recalibrated"))
    score(net, ARCHS[:1], SPLITS["valid"].first(20), 20, SPLITS["train"])
    score(net, ARCHS[:1], SPLITS["valid"].first(20), 20, SPLITS["train"].first(45))
    # A short last batch would count as much as the others: it is left out.
    assert seen == [scores.RECALIBRATION_BATCHES, 2]


def test_what_recalibration_computes_has_changed_and_nothing_else():
    plain, calibrated, running = (
        ScoreConfig(dataclasses.replace(TRAIN, bn=bn))
        for bn in ("batch", "recalibrated", "running")
    )
    assert (plain.changes, calibrated.changes, running.changes) == (0, 1, 0)
    recipes = [identity(config)["recipe"] for config in (plain, calibrated)]
    assert recipes[1] == recipes[0] + 1 and key(plain) != key(calibrated)


@torch.no_grad()
def one_by_one(net, archs, images, size, calibration):
    """Each architecture by itself, through the whole network."""
    found = []
    for arch in archs:
        if net.bn == "recalibrated":
            starts = range(0, len(calibration) - size + 1, size)[:10]
            few = [calibration.batch(torch.arange(s, min(s + size, 512)))[0] for s in starts]
            spaces.recalibrate(net, arch, few)
        net.eval()
        right, loss = 0, torch.zeros((), dtype=torch.float64)
        for start in range(0, len(images), size):
            x, y = images.batch(torch.arange(start, min(start + size, len(images))))
            logits = net(x, arch)
            right += int((logits.argmax(1) == y).sum())
            loss += F.cross_entropy(logits, y, reduction="sum")
        found.append((100 * right / len(images), float(loss) / len(images)))
    return found


@pytest.mark.parametrize("trainer", BN_MODES, indirect=True)
def test_scores_of_many_equal_those_of_each_by_itself(trainer):
    images = SPLITS["valid"].first(96)
    archs = [*sample(SPACE, 20), (3, 0, 0), (0, 1, 0), (3, 1, 0), (0, 1, 2), (3, 2, 1)]
    found = score(trainer.net, archs, images, 40, trainer.images)
    for one, two in zip(
        found, one_by_one(trainer.net, archs, images, 40, trainer.images), strict=True
    ):
        assert one[0] == pytest.approx(two[0], rel=1e-12)
        assert one[1] == pytest.approx(two[1], rel=1e-9)
    assert found[-4] == found[-3] == found[-2]  # they differ on dead edges only
    assert len(set(found)) > 15


# --- a random sample of architectures ---


@pytest.mark.parametrize("space", [SPACE, spaces.get("nasbench201")], ids=lambda s: s.name)
def test_a_sample_is_of_different_architectures_and_always_the_same(space):
    state = torch.get_rng_state()
    some = sample(space, 64)
    assert torch.equal(torch.get_rng_state(), state)
    assert len(set(some)) == 64 and all(space.validate(arch) == arch for arch in some)
    assert some == sample(space, 64) == sample(space, min(1000, len(space)))[:64]
    assert some != sample(space, 64, seed=1)
    assert sorted(sample(space, len(space))) == list(space) != sample(space, len(space))
    assert sample(space, 0) == []


def test_of_what_cannot_be_listed_some_are_drawn_and_all_are_refused_before_training():
    large = dataclasses.replace(spaces.get("chain-mini"), strides=(1,) * 20, channels=2)
    some = sample(large, 50)
    assert len(set(some)) == 50 and some == sample(large, 60)[:50] != sample(large, 50, seed=1)
    config = TrainConfig(space=large, data="digits-small", epochs=1)
    with pytest.raises(
        ValueError, match=r"all architectures are scored, and .* too many to list: pass archs="
    ):
        ScoreConfig(config).check()
    ScoreConfig(config, archs=5).check()
    for archs, said in (
        (("conv_1x1", "conv_3x3"), "all architectures of conv_1x1, conv_3x3 are scored, and these"),
        (10**6 + 48576, "^architectures are scored, and these"),
    ):
        with pytest.raises(
            ValueError, match=rf"{said} are 1,048,576 of chain-mini, too many to li"
        ):
            ScoreConfig(config, archs=archs).check()
    ScoreConfig(config, archs=("conv_1x1",)).check()
    ScoreConfig(config, codes=(large.code(some[0]),)).check()
    ScoreConfig(dataclasses.replace(config, arch=some[0])).check()


def test_a_sample_is_uniform_over_architectures_and_not_over_classes():
    seen = torch.zeros(5)
    for seed in range(300):
        for arch in sample(SPACE, 25, seed):
            seen[arch[0]] += 1
    assert (seen / seen.sum() - 1 / 5).abs().max() < 0.02  # deviation .004


@pytest.mark.parametrize("images, batch", [(70, 70), (256, 200), (None, None)])
def test_sampled_architectures_are_scored_by_class_and_reported_each(images, batch, monkeypatch):
    asked, walk = [], CellNet.walk

    def counted(self, x, archs):
        asked.append((len(x), tuple(archs)))
        return walk(self, x, archs)

    monkeypatch.setattr(CellNet, "walk", counted)
    config = ScoreConfig(TRAIN, epoch=0, images=images, batch=batch, archs=60)
    run = Run(config).compute()
    table, archs = run.table("scores"), sample(SPACE, 60)
    assert table.code.tolist() == [SPACE.code(arch) for arch in archs]
    held = images or 256
    assert set(table.images) == {held}
    classes = {SPACE.canonical(arch) for arch in archs}
    assert len(classes) < 60
    assert [n for n, _ in asked] == ([200, 56] if batch == 200 else [held])
    assert all(len(given) == len(classes) and set(given) == classes for _, given in asked)
    found = dict(zip(archs, zip(table.accuracy, table.loss, strict=True), strict=True))
    for arch in archs:
        same = [a for a in archs if SPACE.canonical(a) == SPACE.canonical(arch)]
        assert all(found[a] == found[arch] for a in same)
    assert run.key != Run(dataclasses.replace(config, archs=None)).key


def test_whole_training_split_can_be_scored():
    config = ScoreConfig(TRAIN, epoch=0, splits=("train+valid",), archs=3)
    table = Run(config).compute().table("scores")
    assert set(table.split) == {"train+valid"} and set(table.images) == {768}
    wanted = score(Trainer(TRAIN).net, sample(SPACE, 3), SPLITS["train+valid"])
    assert list(zip(table.accuracy, table.loss, strict=True)) == wanted


@pytest.mark.parametrize("archs", [0, -1, 126])
def test_more_architectures_than_there_are_are_refused(archs):
    with pytest.raises(ValueError, match=rf"archs must be in 1..125 \(of mini\), got {archs}"):
        ScoreConfig(TRAIN, archs=archs)
    assert ScoreConfig(TRAIN, archs=125).archs == 125


@pytest.mark.parametrize("trainer", ["recalibrated"], indirect=True)
def test_each_class_is_calibrated_once(trainer, monkeypatch):
    seen, recalibrate = [], scores.recalibrate
    monkeypatch.setattr(
        scores,
        "recalibrate",
        lambda net, arch, xs: seen.append(arch) or recalibrate(net, arch, xs),
    )
    archs = [(3, 2, 1), (3, 1, 0), (0, 1, 2), (0, 1, 0)]
    score(trainer.net, archs, SPLITS["valid"].first(32), 32, trainer.images)
    assert sorted(seen) == [(0, 1, 0), (3, 2, 1)]


# --- what is no score, and wishes that cannot be met ---


def break_weights(trainer, where, value=float("nan")):
    """Weights of one operation, or of all paths, that are no numbers."""
    with torch.no_grad():
        if where == "head":
            trainer.net.head.bias[3] = value
        else:
            for _, op, own, _ in trainer.net.owned((where, 0, 0)):
                if op == where:
                    own[0].fill_(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("trainer", BN_MODES, indirect=True)
def test_a_network_whose_outputs_are_no_numbers_has_no_score(trainer, value):
    break_weights(trainer, "head", value)
    words = (
        r"of architecture 0-0-0 \(and 2 more of 3 architectures\) are not finite for 256 of 256 "
        "images of digits-small/valid: score an earlier epoch, or train with a lower lr"
    )
    with pytest.raises(ValueError, match=words):
        score(trainer.net, ARCHS, SPLITS["valid"], 128, trainer.images)


@pytest.mark.parametrize("trainer", ["batch"], indirect=True)
def test_only_the_architectures_that_are_broken_are_named(trainer):
    break_weights(trainer, 2)  # the 1x1 convolution of the first edge
    sound = [(0, 0, 0), (3, 2, 1), (1, 1, 1)]
    assert len(score(trainer.net, sound, SPLITS["valid"])) == 3
    words = r"outputs of architecture 2-4-3 are not finite for 256 of 256 images"
    with pytest.raises(scores.BrokenNetwork, match=words):
        score(trainer.net, [*sound, (2, 4, 3)], SPLITS["valid"])


@pytest.mark.parametrize("trainer", ["batch"], indirect=True)
def test_one_output_of_one_image_is_enough(trainer, monkeypatch):
    walk = CellNet.walk

    def spoilt(self, x, archs):
        for logits in walk(self, x, archs):
            logits = logits.clone()
            logits[-1, 5] = -torch.inf  # neither changes who is largest nor makes a loss infinite
            yield logits

    monkeypatch.setattr(CellNet, "walk", spoilt)
    with pytest.raises(scores.BrokenNetwork, match="for 2 of 256 images"):
        score(trainer.net, ARCHS[:1], SPLITS["valid"], 128)


def test_the_run_of_a_broken_network_fails_and_says_so_again(monkeypatch):
    loaded = train.load

    def broken(*arguments):
        trainer = loaded(*arguments)
        break_weights(trainer, "head")
        return trainer

    run = Run(ScoreConfig(TRAIN, archs=3, images=64))
    words = r"failed: at epoch 2, the outputs of architecture .* are not finite for 64 of 64 images"
    with monkeypatch.context() as patch:
        patch.setattr(train, "load", broken)
        with pytest.raises(RunError, match=words):
            run.compute()
    assert not run.done and not list(run.folder.glob("*.csv"))
    with pytest.raises(RunError, match=words):
        run.compute()


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"images": 257}, "images of digits-small/valid must be a whole number from 1 to 256, got"),
        ({"splits": ("test", "valid"), "images": 300}, "images of digits-small/test must be"),
        (
            {"batch": 257},
            r"batch \(of the 256 images of .*/valid\) must be .* to 256, got",
        ),
        (
            {"images": 70, "batch": 71},
            r"batch \(of the 70 images of .*\) must be .* to 70, got 71",
        ),
    ],
)
def test_more_images_than_a_split_has_are_refused_before_training(fields, words, monkeypatch):
    monkeypatch.setattr(Trainer, "train_epoch", lambda self: pytest.fail("trained"))
    config = ScoreConfig(TRAIN, **fields)
    for use in (config.check, Run(config).compute, lambda: grid([config], workers=1)):
        with pytest.raises(ValueError, match=words):
            use()
    assert not Run(config).done


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"batch": -1}, "batch must be a whole number from 1 or None, got -1"),
        ({"batch": 0}, "batch must be a whole number from 1 or None, got 0"),
        ({"batch": 2.5}, "batch must be .* got 2.5"),
        ({"batch": True}, "batch must be .* got True"),
        ({"images": "64"}, "images must be a whole number from 1 or None, got '64'"),
        ({"images": 0}, "images must be .* got 0"),
        ({"splits": "valid"}, "splits must be a tuple of texts, got 'valid'"),
        ({"archs": "nor_conv_3x3"}, "archs must be a whole number, a tuple of texts or None, got"),
        ({"archs": 2.0}, "archs must be .* got 2.0"),
        ({"epoch": 0.0}, "epoch must be a whole number from 0 or None, got 0.0"),
        ({"epoch": -1}, "epoch must be .* got -1"),
    ],
)
def test_nonsense_is_refused_by_name(fields, words):
    with pytest.raises(ValueError, match=words):
        ScoreConfig(TRAIN, **fields)
    with pytest.raises(ValueError, match="train must be a TrainConfig, got 'SPOS'"):
        ScoreConfig("SPOS")


def test_archs_of_a_single_architecture_are_refused():
    alone = dataclasses.replace(TRAIN, method="SPOS", arch=(3, 2, 1))
    for archs in (3, ("nor_conv_3x3",)):
        with pytest.raises(ValueError, match="trains one architecture, which is the one to score"):
            ScoreConfig(alone, archs=archs)


def test_numpy_numbers_are_the_same_run():
    plain = ScoreConfig(TRAIN, epoch=0, images=64, batch=32, archs=5, splits=("valid", "test"))
    numpy = ScoreConfig(
        TRAIN, np.int64(0), np.array(["valid", "test"]), np.int32(64), np.uint8(32), np.int64(5)
    )
    listed = ScoreConfig(TRAIN, 0, ["valid", "test"], 64, 32, 5)
    assert plain == numpy == listed
    assert Run(plain).key == Run(numpy).key == Run(listed).key


@pytest.mark.parametrize("n", [126, -1, 2.0])
def test_a_sample_of_more_than_there_are_is_refused(n):
    with pytest.raises(ValueError, match=r"n \(of the architectures of mini\) must be .* 0 to 125"):
        sample(SPACE, n)


@pytest.mark.parametrize("trainer", ["batch"], indirect=True)
def test_a_batch_of_more_images_than_there_are_is_refused(trainer):
    for batch in (257, 0, -1):
        with pytest.raises(ValueError, match=rf"batch \(of the 256 images .* got {batch}"):
            score(trainer.net, ARCHS, SPLITS["valid"], batch)


# --- a given list of architectures ---

GIVEN = ("3-2-1", "0-0-0", "2-4-3", "0-0-2")  # the second and the last are one function


def test_given_architectures_are_scored_in_their_order():
    whole = Run(ScoreConfig(TRAIN, images=40)).compute().table("scores").set_index("code")
    run = Run(ScoreConfig(TRAIN, images=40, codes=GIVEN)).compute()
    table = run.table("scores").set_index("code")
    assert tuple(table.index) == GIVEN
    for code in GIVEN:
        same = SPACE.code(SPACE.canonical(SPACE.parse(code)))
        assert table.loss[code] == pytest.approx(whole.loss[same], rel=1e-5)


def test_a_given_list_is_in_the_identity_by_its_digest_and_changes_no_other_key():
    plain, given = ScoreConfig(TRAIN), ScoreConfig(TRAIN, codes=GIVEN)
    assert "codes" not in identity(plain)["config"]
    told = identity(given)["config"]["codes"]
    assert told["number"] == 4 and len(told["digest"]) == 16
    keys = {Run(config).key for config in (plain, given, ScoreConfig(TRAIN, codes=GIVEN[::-1]))}
    assert len(keys) == 3
    assert ScoreConfig(TRAIN, codes=list(GIVEN)) == given == ScoreConfig(TRAIN, codes=GIVEN)
    assert ScoreConfig(TRAIN, codes=("03-2-1", *GIVEN[1:])) == given  # the same, oddly written


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"codes": ()}, "at least one; got 0"),
        ({"codes": ("3-2-1", "0-0-0", "3-2-1")}, "got 3, 2 of them different"),
        ({"codes": ("3-2-1", "9-0-0")}, "'9-0-0' is not an architecture of mini"),
        ({"codes": ("3-2",)}, "mini has 3 operations"),
        ({"codes": "3-2-1"}, "codes must be a tuple of texts"),
        ({"codes": (3, 2)}, "codes must be a tuple of texts"),
        ({"codes": GIVEN, "archs": 5}, "codes and archs both say what to score"),
    ],
)
def test_what_is_no_list_to_score_is_refused(fields, words):
    with pytest.raises(ValueError, match=words):
        ScoreConfig(TRAIN, **fields)


def test_an_architecture_alone_takes_no_list():
    alone = dataclasses.replace(TRAIN, method="SPOS", arch=(3, 2, 1))
    with pytest.raises(ValueError, match="an architecture trained alone both say what to score"):
        ScoreConfig(alone, codes=GIVEN)


def test_a_list_of_a_space_too_large_to_be_listed_is_scored():
    third = spaces.get("nb1shot1-3")
    space = dataclasses.replace(third, channels=2, cells=1, size=16, in_channels=1)
    train = TrainConfig(space=space, data="digits-small", epochs=1, batch=128)
    codes = tuple(map(space.code, sample(space, 3)))
    config = ScoreConfig(train, images=32, codes=codes)
    assert tuple(Run(config).compute().table("scores").code) == codes
    with pytest.raises(ValueError, match=r"1,312,200, too many .* or codes="):
        ScoreConfig(train).check()
