"""A sampler of the user's is refused, or a run that was cut goes on as if it had not been."""

import shutil
import sys
from dataclasses import replace

import pytest
import torch
from cells import cell

from padalib.engine import runs
from padalib.engine.runs import Run, RunError
from padalib.samplers import PathSampler, compose
from padalib.samplers import watch as watched
from padalib.train import TrainConfig, Trainer

PATHS = """
class Mine(PathSampler):
    def draw(self, generator):
        return [tuple(torch.randint(5, (3,), generator=generator).tolist())]
"""
OP = "        return [(OP % 5, 1, 1)]\n"


def body(text, before=""):
    """A path sampler whose `draw` is `text`; `k` is a number to draw."""
    lines = "".join(f"        {line}\n" for line in text.strip().splitlines())
    return (
        f"{before}\nclass Mine(PathSampler):\n    def draw(self, generator):\n{lines}"
        "        return [(int(k) % 5, 1, 1)]\n"
    )


def made(text, draw="k = self.k"):
    """One whose `__init__` is `text`."""
    return body(draw) + (
        "    def __init__(self, space, epochs):\n        super().__init__(space, epochs)\n"
        f"        {text}\n"
    )


ADDS = "def count():\n    {}\n    return C\n"
REFUSED = {
    # the streams that all share
    "np.random": (body("k = np.random.randint(5)"), "draws from a stream .*np.random"),
    "random": (body("k = random.randrange(5)"), "draws from a stream .*Python's `random`"),
    "torch": (body("k = torch.randint(5, ())"), "draws from a stream .*torch's default"),
    "imported from random": (
        body("k = f()", "from random import random as f"),
        "draws from a stream .*Python's `random`",
    ),
    "imported from numpy": (body("k = f(5)", "f = np.random.randint"), "np.random"),
    "seeded anew": (body("torch.manual_seed(3)\nk = torch.randint(5, ())"), "torch's default"),
    "in an epoch": (
        body("k = 1") + "    def new_epoch(self, epoch): self.k = random.random()\n",
        "Python's `random`",
    ),
    "in observe": (
        body("k = 1") + "    def observe(self, *a): self.k = float(torch.rand(()))\n",
        "torch's default",
    ),
    "in __init__": (made("self.k = random.randrange(5)"), "Python's `random`"),
    # streams of its own, and the clock
    "unseeded": (body("k = np.random.default_rng().integers(2**40)"), "does not draw the same"),
    "time": (body("import time\nk = time.time_ns() // 1000"), "does not draw the same"),
    "unseeded in __init__": (made("self.k = np.random.SeedSequence().entropy % 2**40"), "another"),
    "generator beside it": (
        body("k = torch.randint(5, (), generator=G)", "G = torch.Generator().manual_seed(0)"),
        "changes what is not saved .*G in Mine.draw",
    ),
    "generator of the class": (
        body("k = self.g.randint(5)") + "    g = np.random.RandomState(0)\n",
        "changes what is not saved .*g of Mine",
    ),
    # counters
    "global": (body("global C\nC += 1\nk = C", "C = 0"), "C in Mine.draw was 0 and is"),
    "list": (body("C.append(1)\nk = len(C)", "C = []"), "C in Mine.draw was .* and is"),
    "counter": (body("k = next(C)", "C = itertools.count()"), "C in Mine.draw was"),
    "class": (body("type(self).c += 1\nk = self.c") + "    c = 0\n", "c of Mine was 0 and is"),
    "class of padalib": (
        body("PathSampler.c = k = getattr(PathSampler, 'c', 0) + 1"),
        "c of padalib.samplers.base.PathSampler was nothing and is",
    ),
    "default": (body("k = f()", "def f(c=[0]):\n    c[0] += 1\n    return c[0]"), "defaults of f"),
    "attribute of a function": (
        body("f.c += 1\nk = f.c", "def f(): 0\nf.c = 0"),
        "c of f was 0 and is",
    ),
    "closure": (
        body("k = f()", "def make():\n    c = [0]\n    def f():\n        c[0] += 1\n"
             "        return c[0]\n    return f\nf = make()"),
        "c in make.<locals>.f was",
    ),
    "nonlocal": (
        body("k = f()", "def make(c):\n    def f():\n        nonlocal c\n        c += 1\n"
             "        return c\n    return f\nf = make(0)"),
        "c in make.<locals>.f was 0 and is",
    ),
    "object": (
        body("O.c += 1\nk = O.c", "class A:\n    c = 0\nO = A()"),
        "O in Mine.draw was",
    ),
    "module of the user's": (
        body("import counting\ncounting.C += 1\nk = counting.C"),
        "C in counting was 0 and is",
    ),
    "in an epoch, on the class": (
        body("k = self.c") + "    c = 0\n"
        "    def new_epoch(self, epoch): type(self).c += 1\n",
        "c of Mine was 0",
    ),
    # attributes that are not saved
    "epochs": (
        body("self.epochs += 1\nk = self.epochs"),
        "is another when it is made again .*epochs was 3 and is",
    ),
    "left out of its state": (
        made("self.k = 0", "self.k += 1\nk = self.k") + "    def state(self): return {}\n",
        "k was 0 and is",
    ),
    "restored by half": (
        made("self.k = 0", "self.k += 1\nk = self.k")
        + "    def restore(self, state): self.k = state['k'] // 2\n",
        "k was .* and is",
    ),
    "slots": (
        made("self.k = 0", "self.k += 1\nk = self.k").replace(
            "PathSampler):\n", "PathSampler):\n    __slots__ = ('k',)\n", 1
        ),
        "k was 0 and is",
    ),
    "on the space": (
        body("c = getattr(self.space, 'c', 0) + 1\nobject.__setattr__(self.space, 'c', c)\nk = c"),
        "c of the space was nothing and is",
    ),
    "on the network": (
        body("k = 1") + "    def observe(self, archs, net, clip): net.c = id(archs)\n",
        "c of the network was nothing and is",
    ),
    "another space": (
        body("self.space = dataclasses.replace(self.space, name='x')\nk = 1"),
        "space was .* and is",
    ),
}  # fmt: skip
# Accepted, and then the same after a cut.
ACCEPTED = {
    "the generator": PATHS,
    "counter on self": made("self.k = 0", "self.k += 1\nk = self.k"),
    "list on self": made("self.k = []", "self.k.append(1)\nk = len(self.k)"),
    "tensor on self": made("self.k = torch.zeros(2)", "self.k += 1\nk = self.k[0]"),
    "seeded by what it saves": made(
        "self.k = 0",
        "self.k += 1\nk = np.random.RandomState(self.k).randint(5)",
    ),
    "cached, with the generator": (
        body("k = f(generator)",
             "@functools.cache\ndef f(g): return torch.randint(5, (), generator=g)")
    ),
    "cached counter": body(
        "k = f(self.n, generator)\nself.n += 1",
        "@functools.lru_cache(None)\ndef f(n, g): return int(torch.randint(5, (), generator=g))",
    ) + "    def __init__(self, *a):\n        super().__init__(*a)\n        self.n = 0\n",
    "its own state": made("self.k = 0", "self.k += 1\nk = self.k")
    + "    def state(self): return {'twice': 2 * self.k}\n"
    "    def restore(self, state): self.k = state['twice'] // 2\n",
    "cached property": body("k = self.p + 1")
    + "    @functools.cached_property\n    def p(self): return 2\n",
    "from observe": made("self.k = 0.0", "k = self.k")
    + "    def observe(self, archs, net, clip):\n"
    "        self.k = float(net.head.weight.grad.norm() * 1e4)\n",
    "a base of padalib": "class Mine(GradNormPaths):\n    def log(self): return {}\n",
    "told from its arguments": made("self.k = [epochs] * 9", "k = len(self.k)")
    + "    def state(self): return {}\n",
}  # fmt: skip
DATA = """
class Mine(DataSampler):
    def refill(self, generator):
        {}
"""


def config(source, role="paths", epochs=3):
    method = compose("mine", **{role: cell(source)})
    return TrainConfig(method, data="digits-small", epochs=epochs, batch=256)


@pytest.fixture(autouse=True)
def counting(tmp_path, monkeypatch):
    """A module of the user's that counts."""
    (tmp_path / "counting.py").write_text("C = 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("counting", None)
    for cls in config(PATHS).method.paths.cls.__mro__:
        if "c" in vars(cls):
            del cls.c
    vars(config(PATHS).space).pop("c", None)


def cut(config, tmp_path, monkeypatch):
    """The curves of a run, and of the same run cut after its first epoch."""
    whole = Run(config).compute().table("curves")
    folder = Run(config).folder
    shutil.rmtree(folder)

    class Cut(Exception):
        pass

    log = Run.log

    def stop(self, line):
        log(self, line)
        raise Cut

    with monkeypatch.context() as patch:
        patch.setattr(Run, "log", stop)
        with pytest.raises(Cut):
            Run(config).compute()
    return whole, Run(config).compute().table("curves")


@pytest.mark.parametrize("name", REFUSED)
def test_hidden_state_is_refused_by_name(name):
    source, words = REFUSED[name]
    with pytest.raises(RunError, match=rf"^Mine .*{words}.* a run that was cut would go on differ"):
        Run(config(source, epochs=3)).compute()


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_is_accepted_goes_on_after_a_cut_as_if_there_was_none(name, tmp_path, monkeypatch):
    whole, again = cut(config(ACCEPTED[name]), tmp_path, monkeypatch)
    assert whole.equals(again) and len(whole) == 3


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("return torch.randperm(self.n)", "torch's default"),
        ("self.epochs += 1\n        return torch.randperm(self.n, generator=generator)", "epochs"),
        ("return torch.from_numpy(np.random.permutation(self.n))", "np.random"),
    ],
)
def test_data_samplers_are_watched_too(line, words):
    with pytest.raises(RunError, match=rf"^Mine .*{words}"):
        Run(config(DATA.format(line), "data")).compute()


def test_a_data_sampler_goes_on_after_a_cut(tmp_path, monkeypatch):
    source = DATA.format("return torch.randperm(self.n, generator=generator)")
    whole, again = cut(config(source, "data"), tmp_path, monkeypatch)
    assert whole.equals(again)


COUNTS = """
from padalib.samplers import Accumulate
class Mine(Accumulate):
    n = 0
    def step(self, *a):
        {}.n += 1
        return super().step(*a)
    def log(self):
        return {{"n": self.n}}
"""


def rule_that_counts(where):
    """A method whose update rule counts its steps, two an epoch."""
    return TrainConfig(compose("mine", update=cell(COUNTS.format(where))), data="digits-small",
                       epochs=3, batch=256)  # fmt: skip


def test_an_update_rule_that_counts_beside_itself_is_refused():
    with pytest.raises(RunError, match=r"^Mine changes what is not saved .*n of Mine was 0 and is"):
        Run(rule_that_counts("type(self)")).compute()


def test_an_update_rule_that_counts_goes_on_after_a_cut(tmp_path, monkeypatch):
    whole, again = cut(rule_that_counts("self"), tmp_path, monkeypatch)
    assert whole.equals(again) and whole.n.tolist() == [2, 4, 6]


HOLDS = """
from padalib.samplers import Accumulate
from padalib.samplers.update import weights_of
class Mine(Accumulate):
    def step(self, net, optimizer, *rest):
        self.held = {}
        return super().step(net, optimizer, *rest)
"""


@pytest.mark.parametrize(
    "held",
    [
        "dict.fromkeys(net.parameters(), 0)",
        "{'head': [weight.detach() for weight in weights_of(optimizer)]}",
    ],
)
def test_an_update_rule_that_holds_the_networks_own_weights_is_refused(held):
    """They would be read again as copies, which nobody trains."""
    source = HOLDS.replace("{}", held)
    with pytest.raises(RunError, match=r"^Mine holds weights of the network, .* clones of them"):
        Run(config(source, "update")).compute()


@pytest.mark.parametrize(
    "held",
    [
        "dict.fromkeys(range(len(weights_of(optimizer))), 0)",
        "[weight.detach().clone() for weight in weights_of(optimizer)]",
    ],
)
def test_places_of_weights_and_clones_are_kept(held, tmp_path, monkeypatch):
    whole, again = cut(config(HOLDS.replace("{}", held), "update"), tmp_path, monkeypatch)
    assert whole.equals(again)


@pytest.mark.parametrize("drawn", ["(1, 1, 1)", "torch.zeros(3)", "None", "7"])
def test_what_is_no_list_of_architectures_is_told_so(drawn):
    text = PATHS.replace("[tuple(torch.randint(5, (3,), generator=generator).tolist())]", drawn)
    with pytest.raises(RunError, match=r"Mine draws .*, which is no list of architectures: return"):
        Run(config(text)).compute()


def test_watching_changes_no_result_and_samplers_of_padalib_are_not_watched(
    monkeypatch,
):
    own = TrainConfig(compose("mine", cell("class Mine(GradNormPaths): 0")), data="digits-small",
                      epochs=2, batch=256)  # fmt: skip
    plain = TrainConfig("PA", data="digits-small", epochs=2, batch=256)
    tables = [Run(own).compute().table("curves")]
    monkeypatch.setattr(watched, "_Watch", lambda *_: pytest.fail("it was watched"))
    tables += [Run(plain).compute().table("curves")]
    assert tables[0].equals(tables[1])
    with pytest.raises(pytest.fail.Exception):
        Run(config(PATHS)).compute()


def test_streams_are_told_apart():
    before = watched.streams()
    assert watched.streams() == before
    torch.rand(1)
    assert {name for name in before if watched.streams()[name] != before[name]} == {
        "torch's default generator"
    }


def test_what_cannot_be_saved_is_refused_before_it_is_lost():
    with pytest.raises(RunError, match="the state of Mine holds something that cannot be read"):
        Run(config(made("self.k = object()", "k = 1"))).compute()
    assert runs.unpack_state(runs.pack_state("x", {"a": 1})) == {"a": 1}


def test_a_step_of_more_paths_than_are_counted_is_refused():
    source = body("k = 1").replace("return [(int(k) % 5, 1, 1)]", "return [(1, 1, 1)] * 5")
    with pytest.raises(
        RunError,
        match=r"Mine draws 5 paths for a step and said it draws 1, .*a list of 1 path from",
    ):
        Run(config(source)).compute()
    late = source.replace("return [(", "self.group = 5\n        return [(")
    with pytest.raises(RunError, match=r"Mine draws 5 paths for a step and said it draws 1"):
        Run(config(late)).compute()
    said = source.replace("class Mine(PathSampler):", "class Mine(PathSampler):\n    group = 5")
    assert Run(replace(config(said), batch=64)).compute().done
    with pytest.raises(RunError, match=r"Mine draws 1 path for .* 2, .* a list of 2 paths from"):
        Run(replace(config(body("k = 1") + "    group = 2\n"), batch=64)).compute()


def test_a_step_without_a_path_is_refused():
    empty = body("k = 1").replace("[(int(k) % 5, 1, 1)]", "[]")
    with pytest.raises(RunError, match=r"`draw` of Mine returns an empty list, .* at least one"):
        Run(config(empty)).compute()


@pytest.mark.parametrize("group", ["0", "-1", "1.5", "None", "True"])
def test_a_group_that_is_no_number_of_paths_is_refused(group):
    source = body("k = 1") + f"    group = {group}\n"
    words = rf"group of Mine .*`draw` returns\) must be a whole number from 1, got {group}"
    with pytest.raises(ValueError, match=words):
        Run(config(source)).compute()


SPACES = """
import itertools
import numpy as np
import torch
from dataclasses import dataclass
from torch.nn import functional as F
from padalib.spaces import ChainSpace, chain

RNG, COUNT = np.random.default_rng(0), itertools.count(1)

class Net(chain.ChainNet):
    done, rng = 0.0, None
    def schedule(self, done, generator):
        self.done = done
    def features(self, x, arch):
        return {}

@dataclass(frozen=True)
class Mine(ChainSpace):
    def network(self, bn, arch, precision):
        return Net(self, bn, arch, precision)
"""


def in_space(line, method, tmp_path, monkeypatch):
    (tmp_path / "noisy.py").write_text(SPACES.format(line))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "noisy", raising=False)
    import noisy

    space = noisy.Mine("noisy", strides=(1, 2), channels=4)
    return TrainConfig(method, space=space, data="digits-small", epochs=2, batch=256)


@pytest.mark.parametrize("own", [False, True])
def test_a_network_that_draws_from_a_shared_stream_is_refused(own, tmp_path, monkeypatch):
    method = compose("mine", paths=cell(PATHS.replace("5, (3,)", "3, (2,)"))) if own else "SPOS"
    noisy = in_space("F.dropout(super().features(x, arch), 0.1)", method, tmp_path, monkeypatch)
    with pytest.raises(
        RunError, match=r"draws from a stream that all code shares .*torch's default"
    ):
        Run(noisy).compute()


@pytest.mark.parametrize(
    "line",
    {
        "afresh": "super().features(x, arch) * np.random.default_rng().uniform(0.9, 1)",
        "its own": "super().features(x, arch) * RNG.uniform(0.9, 1)",
        "one option": "super().features(x, arch) * (RNG.uniform(0.9, 1) if arch[-1] == 2 else 1)",
        "late": "super().features(x, arch) * (RNG.uniform(0.9, 1) if self.done else 1)",
        "counts": "super().features(x, arch) * next(COUNT)",
        "held": "super().features(x, arch) * self.__dict__.setdefault"
        "('rng', np.random.default_rng(0)).uniform(0.9, 1)",
    }.values(),
)
def test_a_network_that_draws_from_a_source_of_its_own_is_refused(line, tmp_path, monkeypatch):
    noisy = in_space(line, "SPOS", tmp_path, monkeypatch)
    with pytest.raises(
        RunError, match=r"made again from its weights, gives other outputs .*Leave that"
    ):
        Run(noisy).compute()


@pytest.mark.parametrize("seeded", ["generator", "torch.Generator().manual_seed(int(7 * done))"])
def test_a_network_may_draw_from_what_it_is_told(seeded, tmp_path, monkeypatch):
    monkeypatch.setattr(
        sys.modules[__name__], "SPACES", SPACES.replace("self.done = done", f"self.rng = {seeded}")
    )
    line = "super().features(x, arch) * (torch.rand((), generator=self.rng) if self.rng else 1)"
    quiet = in_space(line, "SPOS", tmp_path, monkeypatch)
    assert Run(quiet).compute().done


def test_a_network_may_keep_what_it_is_told_beside_a_sampler_of_ones_own(tmp_path, monkeypatch):
    method = compose("mine", paths=cell(PATHS.replace("5, (3,)", "3, (2,)")))
    quiet = in_space("super().features(x, arch)", method, tmp_path, monkeypatch)
    assert Run(quiet).compute().done


KINDS = {
    "ints": "tuple(arch.tolist())",
    "a list": "arch.tolist()",
    "tensors": "tuple(arch)",
    "a tensor": "arch",
    "of numpy": "arch.numpy()",
}


@pytest.mark.parametrize("kind", KINDS)
def test_paths_of_any_whole_numbers_are_the_same_paths(kind):
    """A tensor equals none but itself as a key, so each step was remembered as a new path."""
    draw = f"        return [{KINDS[kind]}]\n"
    mine = cell(
        "class Mine(PathSampler):\n    def draw(self, generator):\n"
        "        arch = torch.randint(5, (3,), generator=generator)\n"
        + draw
        + "    def observe(self, archs, net, clip_scale):\n"
        "        assert all(type(option) is int for arch in archs for option in arch)\n"
        "        net.owned(archs[0])\n"
    )
    ends = []
    for paths in (mine, Plain):
        trainer = Trainer(TrainConfig(compose("mine", paths=paths), data="digits-small", epochs=2))
        while trainer.epoch < 2:
            trainer.train_epoch()
        ends.append(trainer.history)
        assert all(type(option) is int for arch in trainer.net._owned for option in arch)
    assert ends[0] == ends[1]


class Plain(PathSampler):
    """Draws a tuple of ints."""

    def draw(self, generator):
        return [tuple(torch.randint(5, (3,), generator=generator).tolist())]
