"""What the variance probes refuse to look at, rather than give another's numbers."""

from dataclasses import dataclass, fields, replace

import pytest
import torch

from padalib import spaces
from padalib.engine.runs import Run
from padalib.probes.agreement import AgreementConfig
from padalib.probes.checking import weight_of
from padalib.probes.exact import ExactConfig, check_population
from padalib.probes.sampled import VarianceConfig, probe
from padalib.samplers import METHODS, Accumulate, PathSampler, Shuffled, UpdateRule, compose
from padalib.samplers.averaged import Averaged
from padalib.samplers.checking import unsummed
from padalib.samplers.dynas import ByComplexity
from padalib.samplers.rsa import PARTS
from padalib.samplers.sandwich import Distil
from padalib.samplers.together import PartingByComplexity
from padalib.spaces import CellSpace
from padalib.spaces.cell_net import CellNet
from padalib.train import TrainConfig, Trainer

SMALL = {"data": "digits-small", "epochs": 1, "batch": 64}


def config(**parts):
    return TrainConfig(compose("mine", **parts), **SMALL)


# --- rules ---


class Ten(Accumulate):
    def objective(self, k, loss, logits):
        return 10 * loss


class Backward(Accumulate):
    def backward(self, *given):
        loss, correct = super().backward(*given)
        for weight in given[0].parameters():
            weight.grad = None if weight.grad is None else 10 * weight.grad
        return loss, correct


class Step(UpdateRule):
    def step(self, net, optimizer, clip, archs, index, x, y, paths, data):
        raise NotImplementedError


class Says(Ten):
    """Says it of itself, and so of its base."""

    summed = True


class Below(Says):
    """Changes what the class above has spoken for."""

    def objective(self, k, loss, logits):
        return loss


class Beside(ByComplexity, Distil):
    """The first base says it, the second is another objective."""


class Mixed:
    """No rule by itself."""

    def objective(self, k, loss, logits):
        return 10 * loss


class WithMixed(Mixed, Accumulate):
    pass


class Put(Accumulate):
    """Has the objective from outside its class."""

    def __init__(self, space, epochs):
        super().__init__(space, epochs)
        self.objective = max


class SaysNot(Accumulate):
    """Says it of an instance."""

    def __init__(self, space, epochs):
        super().__init__(space, epochs)
        self.summed = False


class Around(Averaged):
    def step(self, net, *rest):
        return super().step(net, *rest)


class Kept(Accumulate):
    """Changes nothing of a step."""

    def log(self):
        return {"kept": 1.0}


WRITE = "if these are, write `summed = True` in {}$"
UNSAID = {
    "objective": ({"update": Ten}, WRITE.format("Ten")),
    "backward": ({"update": Backward}, WRITE.format("Backward")),
    "step": ({"update": Step}, WRITE.format("Step")),
    "below": ({"update": Below}, WRITE.format("Below")),
    "beside": ({"update": Beside}, WRITE.format("Beside")),
    "mixed": ({"update": WithMixed}, WRITE.format("WithMixed")),
    "put": ({"update": Put}, WRITE.format("Put")),
    "said of an instance": ({"update": SaysNot}, "look at a method whose steps are$"),
    "within": ({"update": Ten, "around": Averaged}, WRITE.format("Ten")),
    "around": ({"around": Around}, WRITE.format("Around")),
}


@pytest.mark.parametrize("name", UNSAID)
def test_steps_that_nobody_says_are_sums_are_refused(name):
    parts, said = UNSAID[name]
    train = config(**parts)
    said = f"mine .* not the sum of its paths' gradients, .* this probe looks at: .*{said}"
    with pytest.raises(ValueError, match=said):
        VarianceConfig(train).check()
    for kind in (ExactConfig, AgreementConfig):
        with pytest.raises(ValueError, match=said):
            kind(train)


def test_a_class_that_says_so_is_believed():
    for parts in ({"update": Says}, {"update": Kept}, {"update": Says, "around": Averaged}):
        VarianceConfig(config(**parts)).check()
        check_population(config(**parts))


def test_what_is_built_in_is_probed_or_not_as_its_classes_say():
    refused = {"sandwich", "SUMNAS", "SUMNAS as released", "NSAS", "CLOSE", "RSA"}
    found = {
        name
        for name, method in METHODS.items()
        if name != "yoked PA" and unsummed(TrainConfig(method, **SMALL))
    }
    assert found == refused
    assert unsummed(config(update=PartingByComplexity)) == "look at a method whose steps are"
    assert not unsummed(config(around=Averaged)) and unsummed(config(**PARTS))


# --- networks ---


@dataclass(frozen=True)
class Headed(CellSpace):
    """The space `mini`, whose network has heads of its own."""

    kind: str = "same"
    channels: int = 4

    def network(self, bn, arch, precision):
        return HeadedNet(self, bn, arch, precision)


class HeadedNet(CellNet):
    def heads(self, x, arch):
        logits = self(x, arch)
        further = [(0.5, logits)] if self.space.kind == "further" else []
        return logits / (1 + (self.space.kind == "other")), further


def headed(kind):
    mini = {own.name: getattr(spaces.get("mini"), own.name) for own in fields(CellSpace)}
    return TrainConfig(space=Headed(**mini | {"name": kind, "kind": kind, "channels": 4}), **SMALL)


@pytest.mark.parametrize("kind", ["further", "other"])
def test_networks_that_train_on_more_than_their_logits_are_refused(kind):
    said = f"SPOS {kind} .* trains on what `heads` of HeadedNet gives, which this probe does not"
    with pytest.raises(ValueError, match=said):
        VarianceConfig(headed(kind)).check()
    with pytest.raises(ValueError, match=said):
        ExactConfig(headed(kind))


def test_heads_that_give_the_logits_alone_are_not_refused():
    VarianceConfig(headed("same")).check()
    ExactConfig(headed("same"))


def test_the_further_head_of_darts_matters_for_a_network_alone():
    space = replace(spaces.get("darts-mini"), auxiliary=0.4)
    arch = next(iter(space.some()))
    VarianceConfig(TrainConfig(space=space, **SMALL)).check()
    alone = TrainConfig(space=space, arch=arch, **SMALL)
    with pytest.raises(ValueError, match="trains on what `heads` of DartsNet gives"):
        VarianceConfig(alone).check()
    VarianceConfig(replace(alone, space=replace(space, auxiliary=0.0))).check()


# --- paths ---


@pytest.mark.parametrize("kind", [ExactConfig, AgreementConfig])
def test_a_space_of_too_many_paths_is_refused_before_anything_is_trained(kind):
    train = TrainConfig(space="darts-mini", **SMALL)
    with pytest.raises(
        ValueError, match=r"every path, and darts-mini has [\d,]+, too many to list: draw some by V"
    ):
        kind(train)
    VarianceConfig(train).check()


# --- weights ---


class Silent(PathSampler):
    """Says that it does not know."""

    def draw(self, generator):
        return [max(self.space.sample(generator) for _ in range(2))]

    def weight(self, arch):
        return None


class Half(Silent):
    """Knows the weights of some paths."""

    def weight(self, arch):
        return None if arch[0] == 4 else 1.5


class Later(Silent):
    """Knows them once it has begun."""

    def __init__(self, space, epochs):
        super().__init__(space, epochs)
        self.begun = False

    def new_epoch(self, epoch):
        self.begun = True

    def weight(self, arch):
        return 1.5 if self.begun else None


class SilentData(Shuffled):
    """The same of images."""

    uniform = False

    def refill(self, generator):
        return torch.randint(self.n // 2, (self.n,), generator=generator)

    def weights(self, index):
        return None


@pytest.mark.parametrize("parts", [{"paths": Silent}, {"paths": Half}, {"data": SilentData}])
def test_weights_that_are_none_are_not_known(parts):
    train = config(**parts)
    table = Run(VarianceConfig(train, paths=3)).compute().table("variance")
    assert set(table.weights) == {"raw"} and table.bias2.isna().all() and table.total.notna().all()
    with pytest.raises(ValueError, match=r"mine .* does not say how likely its draws are"):
        Run(ExactConfig(train, images=4, batch=2, coupled=0)).compute()


def test_weights_may_be_known_later_than_at_the_start():
    train = config(paths=Later)
    assert set(Run(VarianceConfig(train, paths=3)).compute().table("variance").weights) == {
        "raw",
        "importance",
    }
    assert set(probe(Trainer(train), 3, 2)) == {"raw"}


def test_a_path_whose_weight_is_none_beside_others_is_named():
    trainer = Trainer(config(paths=Half))
    assert weight_of(trainer, (3, 3, 3)) == 1.5
    with pytest.raises(
        ValueError, match=r"`weight` of Half gives None for the path .* None for all"
    ):
        weight_of(trainer, (4, 3, 3))
