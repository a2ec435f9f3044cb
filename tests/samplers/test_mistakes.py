"""Mistakes in parts of a method of one's own: a sentence says where, and what to do."""

import json

import numpy as np
import pytest
import torch

from padalib.engine.identity import describe
from padalib.engine.runs import Run, RunError
from padalib.ranking.several import mean_flops
from padalib.samplers import (
    METHODS,
    Accumulate,
    DataSampler,
    GradNormData,
    GradNormPaths,
    Method,
    Part,
    PathSampler,
    Shuffled,
    UniformPaths,
    UpdateRule,
    compose,
    part,
)
from padalib.samplers.averaged import Averaged
from padalib.samplers.dynas import ByComplexity
from padalib.train import TrainConfig, Trainer

SMALL = {"data": "digits-small", "epochs": 1, "batch": 128}


def trained(**parts):
    """The curves of a run of a method of these parts."""
    return Run(TrainConfig(compose("mine", **parts), **SMALL)).compute().table("curves")


# --- images ---


class Given(DataSampler):
    """Returns what it is told to."""

    def __init__(self, n, epochs, kind="int64"):
        super().__init__(n, epochs)
        self.kind = kind

    def refill(self, generator):
        order = torch.randperm(self.n, generator=generator)
        return {
            "mask": order < 100,
            "float": order.float(),
            "column": order[:, None],
            "list": order.tolist(),
            "array": order.numpy(),
            "below": order - 1,
            "from 1": order + 1,
            "one number": order[0],
            "none": order[:0],
        }.get(self.kind, order.to(getattr(torch, self.kind, torch.int64)))


@pytest.mark.parametrize(
    "kind, got",
    [
        ("mask", r"got torch.bool of shape \(512,\): .*`mask.nonzero\(\)\[:, 0\]`"),
        ("float", r"got torch.float32 of shape \(512,\)"),
        ("column", r"got torch.int64 of shape \(512, 1\)"),
        ("one number", r"got torch.int64 of shape \(\)"),
        ("list", "got an object of type list"),
        ("array", "got an object of type ndarray"),
        ("below", "got numbers from -1 to 510"),
        ("from 1", "got numbers from 1 to 512"),
    ],
)
def test_what_refill_returns_must_be_indices(kind, got):
    with pytest.raises(
        ValueError, match=f"refill of Given must .* whole numbers from 0 to 511, {got}"
    ):
        trained(data=part(Given, kind=kind))


def test_a_sampler_that_returns_no_image_says_so():
    with pytest.raises(ValueError, match="refill of Given returned no index"):
        trained(data=part(Given, kind="none"))


@pytest.mark.parametrize("kind", ["int32", "int16", "int64"])
def test_whole_numbers_of_any_kind_are_indices(kind):
    generators = [torch.Generator().manual_seed(3) for _ in range(2)]
    drawn = [
        s.draw(64, g)
        for s, g in zip((Given(512, 1, kind), Shuffled(512, 1)), generators, strict=True)
    ]
    assert drawn[0].dtype == torch.int64 and torch.equal(*drawn)


class Draws(Shuffled):
    """Draws what it is told to, and weighs as it is told to."""

    def __init__(self, n, epochs, kind="", importance=False):
        super().__init__(n, epochs)
        self.kind, self.importance = kind, importance

    def draw(self, size, generator):
        index = super().draw(size, generator)
        return {
            "short": index[1:],
            "mask": torch.arange(self.n) < size,
            "float": index.float(),
            "column": index[:, None],
            "list": index.tolist(),
            "below": index - 512,
            "far": index + 512,
            "int32": index.int(),
            "nothing": None,
        }.get(self.kind, index)

    def weights(self, index):
        ones = torch.ones(len(index))
        return {
            "no weights": None,
            "one weight": ones[0],
            "more weights": torch.ones(self.n),
            "nan": ones * torch.nan,
            "infinite": ones / 0,
            "negative": -ones,
        }.get(self.kind, ones)


DRAWN = r"draw of Draws must return a tensor \[128\] of whole numbers from 0 to 511, got "
WEIGHED = r"weights of Draws must return a tensor \[128\] of finite numbers, none below 0, got "


@pytest.mark.parametrize(
    "kind, said",
    [
        ("short", DRAWN + r"torch.int64 of shape \(127,\): return as many as `size` says"),
        ("mask", DRAWN + r"torch.bool of shape \(512,\): .*`mask.nonzero\(\)\[:, 0\]`"),
        ("float", DRAWN + r"torch.float32 of shape \(128,\)"),
        ("column", DRAWN + r"torch.int64 of shape \(128, 1\)"),
        ("list", DRAWN + "an object of type list"),
        ("nothing", DRAWN + "an object of type NoneType"),
        ("below", DRAWN + "numbers from -5"),
        ("far", DRAWN + "numbers from 5"),
        ("no weights", WEIGHED + "an object of type NoneType: return 1 / "),
        ("one weight", WEIGHED + r"torch.float32 of shape \(\)"),
        ("more weights", WEIGHED + r"torch.float32 of shape \(512,\)"),
        ("nan", WEIGHED + "nan for image "),
        ("infinite", WEIGHED + "inf for image "),
        ("negative", WEIGHED + "-1.0 for image "),
    ],
)
def test_what_draw_and_weights_return_is_checked(kind, said):
    with pytest.raises(ValueError, match=said):
        trained(data=part(Draws, kind=kind, importance=said.startswith("weights")))
    config = TrainConfig(compose("mine", data=part(Draws, kind=kind, importance=True)), **SMALL)
    with pytest.raises(ValueError, match=said):
        Trainer(config).step([(3, 3, 3)])


def test_draws_of_another_whole_type_train_as_those_of_int64():
    ways = [part(Draws, kind="int32"), part(Draws), Shuffled]
    curves = [trained(data=way) for way in ways]
    assert curves[0].equals(curves[1]) and curves[1].equals(curves[2])


# --- curves ---


class Logs(PathSampler):
    """Logs what it is told to."""

    def __init__(self, space, epochs, kind="number"):
        super().__init__(space, epochs)
        self.kind = kind

    def draw(self, generator):
        return [self.space.sample(generator)]

    def log(self):
        return {
            "taken": {"mine": 1.0, "loss": 0.0},
            "text": {"mine": "high"},
            "tensor": {"mine": torch.ones(())},
            "none": {"mine": None},
            "number for a name": {3: 1.0},
            "nothing": None,
            "numbers": {"mine": np.float32(0.5), "whole": 3, "yes": True, "nan": float("nan")},
        }[self.kind]


class AlsoLogs(Accumulate):
    """Logs under a name that its path sampler has taken."""

    def log(self):
        return {"mine": 2.0}


@pytest.mark.parametrize(
    "kind, said",
    [
        ("taken", "returns 'loss', which the curves have already: give it another name"),
        ("text", "must return a dict of names and numbers, got high for 'mine'"),
        ("tensor", r"got tensor\(1.\) for 'mine': .* `float\(tensor\)`"),
        ("none", "got None for 'mine'"),
        ("number for a name", "got 1.0 for 3"),
        ("nothing", "must return a dict of names and numbers, got None"),
    ],
)
def test_what_log_returns_must_be_numbers_by_new_names(kind, said):
    with pytest.raises(RunError, match=f"`log` of Logs {said}" if kind == "taken" else said):
        trained(paths=part(Logs, kind=kind))


def test_two_parts_may_not_log_under_one_name():
    with pytest.raises(RunError, match="`log` of AlsoLogs returns 'mine', which the curves have"):
        trained(paths=part(Logs, kind="numbers"), update=AlsoLogs)
    with pytest.raises(RunError, match="`log` of Averaged around AlsoLogs returns 'mine'"):
        trained(paths=part(Logs, kind="numbers"), update=AlsoLogs, around=Averaged)


def test_numbers_of_any_kind_are_logged():
    row = trained(paths=part(Logs, kind="numbers")).iloc[0]
    assert (row.mine, row.whole, row.yes) == (0.5, 3, 1) and np.isnan(row.nan)


class Slower(ByComplexity):
    """Logs the rate, as the class it inherits from does, and more."""

    def log(self):
        return super().log() | {"slow": 1.0}


@pytest.mark.parametrize("around", [None, Averaged])
def test_a_rule_may_say_better_what_it_says_it_replaces(around):
    curves = trained(update=Slower, around=around)
    assert curves.lr.item() == Trainer(TrainConfig(**SMALL)).config.lr and curves.slow.item() == 1
    assert METHODS["SUMNAS"].update.cls.replaces == ("clipped",)


# --- steps ---


class Returns(Accumulate):
    """Steps as its base does, and returns what it is told to."""

    def __init__(self, space, epochs, kind="three"):
        super().__init__(space, epochs)
        self.kind = kind

    def step(self, *given):
        loss, correct, norm = super().step(*given)
        return {
            "nothing": None,
            "floats": (float(loss), float(correct), float(norm)),
            "two": (loss, norm),
            "one": (loss,),
            "of images": (loss.expand(128), correct, norm),
            "loss": loss,
            "list": [loss, correct, norm],
            "with a graph": (loss.clone().requires_grad_(), correct, norm),
        }[self.kind]


@pytest.mark.parametrize("kind", ["nothing", "floats", "two", "one", "of images", "loss"])
def test_a_step_must_return_three_tensors(kind):
    method = {"update": part(Returns, kind=kind)}
    said = r"must return three tensors of one number each: the loss, .*; got .*`torch.tensor\("
    with pytest.raises(RunError, match=f"`step` of Returns {said}"):
        trained(**method)
    with pytest.raises(RunError, match=f"`step` of Averaged around Returns {said}"):
        trained(**method, around=Averaged)


def test_a_step_may_return_a_list_and_no_graph_is_kept():
    plain = trained(update=Accumulate).loss.tolist()
    for kind in ("list", "with a graph"):
        method = compose("mine", update=part(Returns, kind=kind))
        assert Run(TrainConfig(method, **SMALL)).compute().table("curves").loss.tolist() == plain
        trainer = Trainer(TrainConfig(method, **SMALL))
        assert not trainer.step([(3, 3, 3)])[1].requires_grad


# --- roles ---


@pytest.mark.parametrize(
    "parts, said",
    [
        ({"paths": Shuffled}, r"paths of 'x' .* PathSampler, which Shuffled .*give it as `data=`"),
        ({"data": UniformPaths}, r"data of 'x' .* DataSampler, which .*give it as `paths=`"),
        ({"update": part(Shuffled)}, r"update of 'x' .* UpdateRule, which .*give it as `data=`"),
        ({"around": UniformPaths}, r"around of 'x' .* UpdateRule, which .*give it as `paths=`"),
        ({"paths": Accumulate}, r"which Accumulate .*give it as `update=`"),
        ({"paths": dict}, "PathSampler, which dict does not: inherit from that"),
        ({"paths": Logs(None, 3)}, "of type Logs: give the class itself"),
        ({"data": Shuffled(8, 3)}, "of type Shuffled: give the class itself, and its options"),
        ({"paths": lambda generator: 1}, "must be a class, got .*, of type function"),
        ({"paths": "PA"}, "must be a class, got PA, of type str"),
        ({"paths": None}, "must be a class, got None, of type NoneType"),
    ],
)
def test_each_role_has_a_class_of_its_own(parts, said):
    with pytest.raises(ValueError, match=said):
        compose("x", **parts)


def test_a_part_is_a_class():
    with pytest.raises(ValueError, match="of type Logs: give the class itself"):
        Part(Logs(None, 3))
    assert isinstance(compose("x", around=None), Method) and UpdateRule.summed


# --- what learns and is not told; what is weighted by another's weights ---


class Deaf(Accumulate):
    """A step of its own that tells nobody what it saw."""

    def step(self, net, optimizer, clip, archs, index, x, y, paths, data):
        loss, correct = torch.zeros(()), torch.zeros(())
        for arch in archs:
            logits = net(x, arch)
            loss = torch.nn.functional.cross_entropy(logits, y)
            loss.backward()
            correct = (logits.argmax(1) == y).float().mean()
        optimizer.step()
        return loss, correct, torch.zeros(())


class Hearing(Deaf):
    """The same, after the remedy."""

    def step(self, net, optimizer, clip, archs, index, x, y, paths, data):
        found = super().step(net, optimizer, clip, archs, index, x, y, paths, data)
        with torch.no_grad():
            data.observe(index, net(x, archs[0]), y)
        paths.observe(archs, net, 1.0)
        return found


@pytest.mark.parametrize("role, cls", [("paths", GradNormPaths), ("data", GradNormData)])
def test_a_sampler_that_is_told_nothing_is_not_said_to_learn(role, cls):
    call = {"paths": r"paths\.observe\(archs, net, scale\)", "data": r"data\.observe\(index, log"}
    with pytest.raises(RunError, match=f"{cls.__name__} learns .* `step` of Deaf .*{call[role]}"):
        trained(update=Deaf, **{role: cls})
    assert len(trained(update=Hearing, **{role: cls})) == 1
    assert len(trained(update=Deaf)) == 1  # nobody learns


class Best(GradNormPaths):
    """Draws the better of two, and inherits the weights of one."""

    def draw(self, generator):
        return [max(*super().draw(generator), *super().draw(generator))]


class Weighed(Best):
    """After the remedy."""

    def weight(self, arch):
        return 0.5


class Twice(GradNormData):
    """Draws every index twice."""

    def refill(self, generator):
        return super().refill(generator).repeat_interleave(2)


def test_weights_of_a_base_are_not_those_of_what_is_drawn_otherwise():
    TrainConfig(compose("mine", paths=Best), **SMALL)  # no weights
    with pytest.raises(ValueError, match=r"Best draws in its own way .* write `weight` in it, 1 /"):
        TrainConfig(compose("mine", paths=Best, importance=True), **SMALL)
    TrainConfig(compose("mine", paths=Weighed, importance=True), **SMALL)
    with pytest.raises(ValueError, match=r"Twice draws in its own way .* write `weights` in it"):
        TrainConfig(compose("mine", data=part(Twice, importance=True)), **SMALL)
    assert np.isnan(mean_flops(TrainConfig(compose("mine", paths=Best), **SMALL)))
    assert mean_flops(TrainConfig("SPOS", **SMALL)) > 0


# --- options ---


def test_no_weight_decay_is_a_value_too():
    with pytest.raises(ValueError, match="SUMNAS does not go by weight_decay"):
        TrainConfig("SUMNAS", weight_decay=0.0, **SMALL)


class HandsOn(GradNormPaths):
    """Hands on what its base takes."""

    def __init__(self, space, epochs, mine=1, **others):
        super().__init__(space, epochs, **others)
        self.mine = mine


def test_what_is_handed_on_by_keyword_is_an_option():
    method = compose("mine", paths=HandsOn, norm="raw", mine=2)
    assert dict(method.paths.options) == {"norm": "raw", "mine": 2}
    assert method.with_options("other", size="rms").paths.options
    with pytest.raises(ValueError, match=r"has an option nrom: it takes") as refused:
        compose("mine", paths=HandsOn, nrom="raw")
    assert "others" not in str(refused.value) and "norm" in str(refused.value)


class Listed(UniformPaths):
    def __init__(self, space, epochs, levels=()):
        super().__init__(space, epochs)
        assert isinstance(levels, list)


def test_options_may_be_lists_and_configs_are_keys_all_the_same():
    one, other = (compose("mine", paths=Listed, levels=[1, [2, 3]]) for _ in range(2))
    assert hash(TrainConfig(one, **SMALL)) == hash(TrainConfig(other, **SMALL)) and one == other
    assert list(one.paths.describe()["options"]) == ["levels"]
    assert hash(one) != hash(compose("mine", paths=Listed, levels=[1, [2, 4]]))


def test_what_is_handed_on_is_checked_as_the_base_says():
    with pytest.raises(ValueError, match=r"norm must be .*, got 'rwa'"):
        compose("mine", paths=HandsOn, norm="rwa")
    one, same = (compose("mine", paths=HandsOn, delta=delta) for delta in (1, 1.0))
    assert describe(one) == describe(same)


class Fixed(GradNormPaths):
    """Gives its base what nobody has checked."""

    def __init__(self, space, epochs):
        super().__init__(space, epochs, norm="rwa")


def test_what_is_given_to_a_base_is_checked_too():
    with pytest.raises(ValueError, match=r"norm must be .*, got 'rwa'"):
        TrainConfig(compose("mine", paths=Fixed), **SMALL)


class Valued(UniformPaths):
    def __init__(self, space, epochs, k=0):
        super().__init__(space, epochs)


def test_methods_of_options_of_other_types_are_others():
    """Their runs are."""
    values = (1, True, 1.0, [1], [True])
    made = [compose("mine", paths=Valued, k=value) for value in values]
    assert len({*made}) == len({json.dumps(describe(one)) for one in made}) == len(values)
    assert part(Valued, k=2) == part(Valued, k=2) != part(Valued, k=3)


class Learned(GradNormPaths):
    """Says the weights of some paths only."""

    def weight(self, arch):
        return None if arch[0] else 1.0


@pytest.mark.parametrize("paths", [GradNormPaths, Learned])
def test_mean_flops_are_not_told_where_probabilities_change_or_are_not_said(paths):
    assert np.isnan(mean_flops(TrainConfig(compose("mine", paths=paths), **SMALL)))


def test_mean_flops_of_a_fair_group_are_those_of_uniform_paths():
    fair, uniform = (mean_flops(TrainConfig(name, **SMALL)) for name in ("FairNAS", "SPOS"))
    assert fair == uniform > 0
