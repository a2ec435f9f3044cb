"""Batch norm when ranking: each way beside a twin, and statistics by hand."""

from dataclasses import replace

import pandas as pd
import pytest
import torch

from padalib import spaces
from padalib.engine.runs import Run
from padalib.ranking.normed import WAYS, NormScores, collect, renormed
from padalib.ranking.scores import ScoreConfig, score
from padalib.spaces.network import Norm
from padalib.train import TrainConfig, load

MINI = replace(spaces.get("mini"), channels=4)
CODES = tuple(MINI.code(arch) for arch in ((3, 0, 2), (2, 3, 1), (1, 0, 0), (3, 3, 3)))
SMALL = {"space": MINI, "data": "digits-small", "epochs": 2, "batch": 128}
SPOS = TrainConfig("SPOS", **SMALL)
CONFIG = NormScores(SPOS, images=64, codes=CODES)


def shown(table, norm):
    return table[table.norm == norm].drop(columns="norm").reset_index(drop=True)


def test_batch_statistics_are_the_plain_scores_and_each_way_is_another():
    table = Run(CONFIG).compute().table("scores")
    plain = Run(ScoreConfig(SPOS, images=64, codes=CODES)).compute().table("scores")
    pd.testing.assert_frame_equal(shown(table, "batch"), plain, check_exact=True)
    assert table.norm.tolist() == [way for way in WAYS for _ in CODES]
    losses = [tuple(shown(table, way).loss) for way in WAYS]
    assert len(set(losses)) == 3 and table.loss.notna().all()


def test_recalibrated_is_what_a_run_trained_with_it_scores():
    """Training normalises by the batch in any way, so the weights of such a run are the same."""
    table = Run(CONFIG).compute().table("scores")
    other = ScoreConfig(replace(SPOS, bn="recalibrated"), images=64, codes=CODES)
    twin = Run(other).compute().table("scores")
    assert shown(table, "recalibrated").loss.tolist() == pytest.approx(twin.loss.tolist(), rel=1e-5)


def test_running_statistics_are_averages_over_paths_that_training_draws():
    """The first layer sees every batch; of an edge, plain means over the batches that come by."""
    trainer, twin = (load(Run(SPOS).compute()) for _ in range(2))
    net = renormed(trainer, trainer.net, "recalibrated")  # any that has statistics
    norms = {name: own for name, own in net.named_modules() if isinstance(own, Norm)}
    seen = {name: [] for name in norms}
    for name, own in norms.items():
        own.register_forward_pre_hook(
            lambda _, given, name=name: seen[name].append(
                (given[0].mean((0, 2, 3)), given[0].var((0, 2, 3)))
            )
        )
    collect(net, trainer)
    first = next(iter(norms))
    assert len(seen[first]) == trainer.steps == 4 and not net.training
    # Some are seldom visited: nothing of the 0 and 1 of the start may be left in them.
    assert {1, 4} <= {len(own) for own in seen.values()}
    for name, own in seen.items():
        if own:
            means, variances = (torch.stack(each).mean(0) for each in zip(*own, strict=True))
            torch.testing.assert_close(norms[name].running_mean, means)
            torch.testing.assert_close(norms[name].running_var, variances)
    again = renormed(twin, twin.net, "running")  # the same paths and batches again
    assert torch.equal(again.get_submodule(first).running_mean, norms[first].running_mean)
    for key, value in trainer.net.state_dict().items():  # nothing was trained
        assert torch.equal(net.state_dict()[key], value)


def test_statistics_of_one_path_alone_are_those_of_its_recalibration():
    """Were one architecture all that is drawn, running averages over many batches are its own."""
    trainer = load(Run(SPOS).compute())
    arch = (3, 0, 2)
    trainer.paths.draw = lambda generator: [arch]
    trainer.config = replace(SPOS, crop=0, batch=512)  # each batch is all images
    net = renormed(trainer, trainer.net, "running")
    other = renormed(trainer, trainer.net, "recalibrated")
    images = trainer.images
    (own,), (twin,) = (score(each, [arch], images, 512, images) for each in (net, other))
    assert own == pytest.approx(twin, rel=1e-3)


def test_a_run_that_keeps_statistics_is_refused():
    with pytest.raises(ValueError, match="bn='running', which already says how it is ranked"):
        NormScores(replace(SPOS, bn="running"))


def test_runs_of_any_method_can_be_ranked():
    for method in ("FairNAS", "PA&DA"):
        config = NormScores(
            TrainConfig(method, **SMALL | {"batch": 64}), images=32, codes=CODES[:2]
        )
        assert len(Run(config).compute().table("scores")) == 6
