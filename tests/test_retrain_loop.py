"""Training networks alone as DARTS does: a second head's loss, dropped paths, hidden squares."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from padalib import spaces
from padalib.engine.identity import key
from padalib.engine.runs import Run
from padalib.probes.exact import ExactConfig
from padalib.probes.sampled import VarianceConfig
from padalib.ranking.scores import ScoreConfig
from padalib.samplers.update import path_loss
from padalib.train import TrainConfig, Trainer

MINI = spaces.get("darts-mini")
ARCH = (3, 5, 1, 4, 2, 0, 3, 2, 6, 2)
SMALL = replace(MINI, nodes=1, channels=2, ops=("skip_connect", "sep_conv_3x3"))


def config(space=MINI, **fields):
    fields = {"arch": ARCH, "bn": "running", "data": "digits-small", "epochs": 4} | fields
    return TrainConfig(space=space, batch=128, **fields)


def test_the_second_head_counts_with_its_weight():
    trainer = Trainer(config(replace(MINI, auxiliary=0.4)))
    index = torch.arange(8)
    x, y = trainer.images.batch(index)
    parts = trainer.paths, trainer.data
    loss, logits = path_loss(trainer.net, ARCH, index, x, y, *parts)
    again, ((_, other),) = trainer.net.heads(x, ARCH)
    assert torch.equal(logits, again)
    wanted = F.cross_entropy(logits, y) + 0.4 * F.cross_entropy(other, y)
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-6)
    loss.backward()
    assert all(parameter.grad is not None for parameter in trainer.net.aside.parameters())


def test_paths_are_dropped_ever_more_often():
    trainer, shares = Trainer(config(replace(MINI, drop_path=0.2))), []
    schedule = trainer.net.schedule

    def seen(done, generator):
        schedule(done, generator)
        shares.append(trainer.net.dropped)

    trainer.net.schedule = seen
    for _ in range(4):
        trainer.train_epoch()
    assert shares == pytest.approx([0, 0.05, 0.10, 0.15])  # published: drop_path * epoch / epochs


def test_what_is_asked_for_changes_the_run_and_what_is_not_does_not():
    plain = config()
    variants = [
        config(cutout=8),
        config(replace(MINI, auxiliary=0.4)),
        config(replace(MINI, drop_path=0.2)),
    ]
    assert len({key(each) for each in (plain, *variants)}) == 4
    assert key(plain) == key(config(cutout=None))
    tables = [Run(each).compute().table("curves").loss.tolist() for each in (plain, *variants)]
    assert tables[3][0] == tables[0][0]  # nothing is dropped in the first epoch
    assert all(table != tables[0] for table in tables[1:])


@pytest.mark.parametrize(("cutout", "message"), [(17, "cutout .of images of 16x16"), (0, "cutout")])
def test_a_square_that_is_no_part_of_an_image_is_refused(cutout, message):
    with pytest.raises(ValueError, match=message):
        config(cutout=cutout).check()


def test_a_supernet_is_trained_scored_and_probed():
    train = TrainConfig("PA&DA", space=SMALL, data="digits-small", batch=128, epochs=2)
    scores = Run(ScoreConfig(train, archs=3, images=64)).compute().table("scores")
    assert scores.code.nunique() == 3 and scores.loss.between(0, 10).all()
    parts = set(Run(VarianceConfig(train, paths=3, batches=2)).compute().table("variance").part)
    positions = {f"position {k}" for k in range(4)}
    assert parts == {"all", "fixed", "sep_conv_3x3", "skip_connect", *positions}
    # The published stem has a batch norm with weights, in the supernet too.
    with pytest.raises(ValueError, match=r"not of stems\.0\.1\.weight.*batch statistics"):
        Run(ExactConfig(train, images=16, batch=8, coupled=2)).compute()
