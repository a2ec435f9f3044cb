"""Weight averaging: beside a slow twin that keeps every weight of every step."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch

from padalib import data, samplers, spaces
from padalib.engine.identity import identity, key
from padalib.engine.runs import Run
from padalib.samplers import Accumulate, compose, part
from padalib.samplers.averaged import Averaged
from padalib.samplers.sumnas import Reptile
from padalib.samplers.together import PartingByComplexity
from padalib.train import TrainConfig, Trainer, load

MINI = replace(spaces.get("mini"), channels=4)
SMALL = {"space": MINI, "data": "digits-small", "batch": 128, "epochs": 4}


def twin(method, begin, decay):
    """The mean of each weight over the steps in which it was trained, and the last weights.

    Each value beside its share: the plain mean of the first n, then an exponential one.
    """
    trainer = Trainer(TrainConfig(method, **SMALL))
    seen = [[] for _ in trainer.net.parameters()]
    step = trainer.step

    def watched(archs):
        record = step(archs)
        if trainer.epoch >= begin:
            for own, weight in zip(seen, trainer.net.parameters(), strict=True):
                if weight.grad is not None:
                    own.append(weight.detach().clone().double())
        return record

    trainer.step = watched
    for _ in range(trainer.config.epochs):
        trainer.train_epoch()
    last = [weight.detach() for weight in trainer.net.parameters()]
    found = []
    for own, weight in zip(seen, last, strict=True):
        shares = [1.0]
        for n in range(2, len(own) + 1):
            new = max(1 - decay, 1 / n)
            shares = [old * (1 - new) for old in shares] + [new]
        pairs = zip(shares, own, strict=True) if own else [(1.0, weight.double())]
        found.append(sum(share * value for share, value in pairs))
    return found, last, [len(own) for own in seen]


@pytest.mark.parametrize("decay, since", [(1.0, 0.5), (0.6, 0.25), (0.0, 0.0)])
@pytest.mark.parametrize(
    "method",
    [
        compose("SPOS"),
        compose("parting", update=PartingByComplexity, until=0.5),
        compose("FairNAS", samplers.FairPaths),
        compose("zeros", zero_grad=True),
    ],
    ids=lambda method: method.name,
)
def test_the_run_ends_with_the_mean_of_what_was_trained(method, decay, since):
    wanted, last, counts = twin(method, round(since * 4), decay)
    average = part(Averaged, decay=decay, since=since)
    trainer = Trainer(TrainConfig(replace(method, around=average), **SMALL))
    for _ in range(4):
        trainer.train_epoch()
    found = [weight.detach() for weight in trainer.net.parameters()]
    for own, mean in zip(found, wanted, strict=True):
        torch.testing.assert_close(own.double(), mean, rtol=1e-4, atol=1e-6)
    same = all(torch.allclose(a, b, atol=1e-6) for a, b in zip(found, last, strict=True))
    assert same == (decay == 0) and max(counts) > (min(counts) if method.name == "SPOS" else 0)
    assert trainer.update.means == {}  # they are in the network now


def test_a_weight_that_nothing_trained_keeps_its_value():
    only = compose("only", samplers.UniformPaths, around=part(Averaged, since=0.0))
    trainer = Trainer(TrainConfig(only, **SMALL | {"epochs": 1}))
    start = {name: weight.clone() for name, weight in trainer.net.state_dict().items()}
    trainer.paths.draw = lambda generator: [(3, 3, 3)]
    trainer.train_epoch()
    for (_, option), modules in trainer.net.choices().items():
        for weight in (w for module in modules for w in module.parameters()):
            name = next(n for n, own in trainer.net.named_parameters() if own is weight)
            assert torch.equal(weight, start[name]) == (option != 3)


def test_kept_states_have_the_weights_as_trained_and_the_last_one_the_means():
    average = part(Averaged, since=0.25)
    plain = TrainConfig("SPOS", keep=(2,), **SMALL)
    config = replace(plain, method=replace(plain.method, around=average))
    runs = [Run(each).compute() for each in (plain, config)]
    weights = [[load(run, epoch).net.state_dict() for run in runs] for epoch in (2, 4)]
    for epoch, (own, other) in zip((2, 4), weights, strict=True):
        same = all(torch.equal(own[name], other[name]) for name in own)
        assert same == (epoch == 2)
    assert runs[0].table("curves").equals(runs[1].table("curves"))  # it disturbs no step


def test_keys_of_runs_without_it_are_what_they_were():
    method = compose("averaged", around=Averaged)
    plain, averaged = TrainConfig("SPOS", **SMALL), TrainConfig(method, **SMALL)
    told = identity(plain)["config"]
    assert "around" not in told["method"] and not {"nesterov", "warmup"} & set(told)
    assert len({key(plain), key(averaged), key(replace(plain, nesterov=True))}) == 3
    own = method.with_options("later", since=0.9)
    assert own.around == part(Averaged, since=0.9) and own.update == method.update


class Halved(Accumulate):
    """A rule of one's own, with something to remember."""

    def __init__(self, space, epochs):
        super().__init__(space, epochs)
        self.steps = 0

    def objective(self, k, loss, logits):
        self.steps += 1
        return loss / 2


def test_it_goes_around_a_rule_of_ones_own_which_resumes_to_the_bit():
    method = compose("mine", update=Halved, around=part(Averaged, since=0.25))
    config = TrainConfig(method, **SMALL)
    run = Run(config).compute()  # it is watched
    unbroken, again = Trainer(config), Trainer(config)
    for _ in range(2):
        unbroken.train_epoch()
    again.restore(deepcopy(unbroken.state()))
    for trainer in (unbroken, again):
        trainer.train_epoch(), trainer.train_epoch()
        assert trainer.update.rule.steps == 4 * trainer.steps
        for own, other in zip(trainer.net.parameters(), load(run).net.parameters(), strict=True):
            assert torch.equal(own, other)


@pytest.mark.parametrize(
    "options, said",
    [
        ({"update": Reptile}, "Reptile drops the gradients of a step.*leave averaging out"),
        ({"decay": 1.5}, "decay must be a finite number from 0 to 1, got 1.5"),
        ({"since": -1}, "since must be a finite number from 0 to 1, got -1"),
    ],
)
def test_what_cannot_be_is_said(options, said):
    with pytest.raises(ValueError, match=said):
        TrainConfig(compose("it", around=Averaged, **options), **SMALL)


def test_the_learning_rate_warms_up_by_epochs_and_nesterov_is_torchs():
    config = TrainConfig("SPOS", warmup=2, nesterov=True, **SMALL)
    trainer, plain = Trainer(config), Trainer(replace(config, warmup=None, nesterov=None))
    for _ in range(4):
        trainer.train_epoch(), plain.train_epoch()
    rates = [
        own["lr"] / other["lr"] for own, other in zip(trainer.history, plain.history, strict=True)
    ]
    assert rates == pytest.approx([1 / 3, 2 / 3, 1, 1])
    assert trainer.optimizer.defaults["nesterov"] and not plain.optimizer.defaults["nesterov"]
    assert data.fingerprint("digits-small")
