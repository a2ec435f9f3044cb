"""The training loop: what is cut goes on to the bit, bad input is a sentence, compute is equal."""

import dataclasses
import itertools
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from padalib import data as datasets
from padalib import samplers, spaces, train
from padalib.data import ImageSet
from padalib.engine.devices import check_device
from padalib.engine.launch import grid
from padalib.engine.runs import Run, RunError
from padalib.ranking.scores import ScoreConfig
from padalib.samplers import compose, update
from padalib.samplers.averaged import Averaged
from padalib.samplers.together import PartingByComplexity
from padalib.train import TrainConfig, Trainer

ROOT = Path(__file__).resolve().parents[1]
SPACE = dataclasses.replace(spaces.get("mini"), channels=4)


ROWS = pd.DataFrame({"epoch": [1, 2], "loss": [2.0, 1.0]})


def small(method="SPOS", **fields):
    """Three epochs of four steps."""
    return TrainConfig(
        method, **{"data": "digits-small", "space": SPACE, "epochs": 3, "batch": 128} | fields
    )


def variant(method, **options):
    return samplers.get(method).with_options(f"{method} variant", **options)


def same(one, two):
    """Whether two states are equal to the bit."""
    if isinstance(one, torch.Tensor):
        equal = one.dtype == two.dtype and one.shape == two.shape
        return equal and one.numpy().tobytes() == two.numpy().tobytes()
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(two) and all(map(same, one, two))
    return one == two


def assert_same_run(one, two):
    """Equal tables, records and states."""
    for pattern, reading in (("*.csv", Path.read_bytes), ("done.json", Path.read_text)):
        files = [{p.name: reading(p) for p in run.folder.glob(pattern)} for run in (one, two)]
        assert files[0] and files[0] == files[1]
    states = [sorted(path.stem for path in run.folder.glob("*.pt")) for run in (one, two)]
    assert states[0] == states[1]
    for name in states[0]:
        assert same(one.load_state(name), two.load_state(name)), name


def elsewhere(config, monkeypatch, folder):
    """The run of a config under another data root."""
    with monkeypatch.context() as patch:
        patch.setenv("PADALIB_DATA", str(folder))
        return Run(config)


@pytest.fixture
def broken_loss(monkeypatch):
    """Sets the factor on the loss of the nth path trained from now on."""

    def install(n, factor):
        count, original = iter(range(10**6)), torch.nn.functional.cross_entropy

        def cross_entropy(*arguments):
            return original(*arguments) * (factor if next(count) == n else 1)

        # Not a function of padalib's: that would make it another run.
        monkeypatch.setattr(torch.nn.functional, "cross_entropy", cross_entropy)

    return install


# --- what is cut goes on to the bit ---

CONFIGS = {
    "SPOS": small(keep=(0, 2)),
    "FairNAS": small("FairNAS"),
    "PA&DA": small("PA&DA"),
    "theory": small(
        variant("PA&DA", norm="raw", average="mean", unseen="keep", first="shuffled"), batch=96
    ),
    "importance": small(variant("PA&DA", importance=True)),
    "sandwich": small("sandwich", batch=64),
    "DYNAS": small("DYNAS"),
    "DYNAS, zeros": small(variant("DYNAS", zero_grad=True)),
    "SUMNAS": small("SUMNAS", batch=16),
    "SUMNAS, kept": small(variant("SUMNAS", momentum="kept"), batch=16),
    "MAGIC-T": small("MAGIC-T"),
    "density-aware": small("density-aware"),
    "NSAS": small("NSAS", batch=64),
    "averaged": small(compose("averaged", around=Averaged, since=0.3, decay=0.9), keep=(2,)),
    "averaged DYNAS": small(
        compose("averaged DYNAS", update=PartingByComplexity, around=Averaged, since=0.3)
    ),
    "RSA": small("RSA", nesterov=True, warmup=1),
    "running": small(bn="running"),
    "alone": small(arch=(3, 0, 2), bn="running"),
    "zero_grad": small(variant("SPOS", zero_grad=True)),
    "retraining": small(
        space=dataclasses.replace(spaces.get("darts-mini"), auxiliary=0.4, drop_path=0.5),
        arch=(3, 5, 1, 4, 2, 0, 3, 2, 6, 2),
        bn="running",
        flip=True,
        cutout=8,
    ),
}


class Cut(Exception):
    pass


@pytest.mark.parametrize("name", CONFIGS)
def test_resumed_after_each_epoch_equals_unbroken(name, monkeypatch, tmp_path):
    unbroken = elsewhere(CONFIGS[name], monkeypatch, tmp_path / "unbroken").compute()
    run, log = Run(CONFIGS[name]), Run.log

    def cut(self, line):
        log(self, line)
        raise Cut

    with monkeypatch.context() as patch:
        patch.setattr(Run, "log", cut)
        for _ in range(3):
            with pytest.raises(Cut):
                run.compute()
    run.compute()
    assert [line[:9] for line in (run.folder / "progress.log").read_text().splitlines()] == [
        f"epoch {epoch}/3" for epoch in (1, 2, 3)
    ]
    assert_same_run(run, unbroken)


def test_resumed_within_an_epoch_equals_unbroken(monkeypatch, tmp_path):
    unbroken = elsewhere(CONFIGS["PA&DA"], monkeypatch, tmp_path / "unbroken").compute()
    run, step, count = Run(CONFIGS["PA&DA"]), Trainer.step, iter(range(100))

    def cut(*arguments):
        if next(count) == 6:  # in the second epoch
            raise Cut
        return step(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", cut)
        with pytest.raises(Cut):
            run.compute()
    assert run.load_state("last")["epoch"] == 1
    assert_same_run(run.compute(), unbroken)


def test_the_same_config_twice_gives_equal_tables_and_weights(monkeypatch, tmp_path):
    found = [
        elsewhere(CONFIGS["PA&DA"], monkeypatch, tmp_path / name).compute() for name in ("a", "b")
    ]
    assert_same_run(*found)


FEW = dataclasses.replace(SPACE, ops=("none", "nor_conv_1x1", "nor_conv_3x3"))
KILLED = ScoreConfig(small("PA&DA", space=FEW, keep=(0, 2)), images=64)
# A process that has done it all once, so that each job is a quick fork of it, killed for real.
SERVER = """
import json, os, sys
import torch
import test_train
torch.set_num_threads(1)
test_train.work(sys.argv[1])
for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        test_train.work(*json.loads(line))
        os._exit(0)
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


def work(root, call=None, count=0):
    """Train and score, but kill this very process at the `count`th `call`."""
    os.environ["PADALIB_DATA"] = root
    calls = itertools.count(1)

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    def batch(*arguments, original=ImageSet.batch):
        return die() if next(calls) == count else original(*arguments)

    def fsync(handle, original=os.fsync):
        if next(calls) == count:
            os.ftruncate(handle, os.fstat(handle).st_size // 2)
            die()
        original(handle)

    def replace(*arguments, original=os.replace):
        original(*arguments)
        if next(calls) == count:
            die()

    if call == "batch":  # a step of training or of scoring
        ImageSet.batch = batch
    elif call == "half-written":
        os.fsync = fsync
    elif call == "written":
        os.replace = replace
    Run(KILLED).compute()


class Server:
    def __init__(self, root):
        path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER, root],
            env=os.environ | {"PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, *job):
        """Start a job; its process id."""
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def end(self):
        """Wait for the job; its exit code, -9 where it was killed."""
        return int(self.process.stdout.readline())

    def call(self, *job):
        self.start(*job)
        return self.end()


@pytest.fixture(scope="module")
def unbroken_root(tmp_path_factory):
    return tmp_path_factory.mktemp("unbroken")


@pytest.fixture(scope="module")
def server(unbroken_root):
    server = Server(str(unbroken_root))
    yield server
    server.process.communicate()


@pytest.fixture
def finish(server, monkeypatch, unbroken_root):
    """Runs the killed run again and compares it with the one that was never killed."""

    def check():
        assert not Run(KILLED).done
        assert server.call(os.environ["PADALIB_DATA"]) == 0
        for config in (KILLED, KILLED.train):
            assert_same_run(Run(config), elsewhere(config, monkeypatch, unbroken_root))

    return check


@pytest.mark.parametrize(
    ("call", "count"),
    [
        ("batch", 1),  # the first step, before anything is saved
        ("batch", 7),  # within the second epoch
        ("batch", 12),  # the last step of all
        ("batch", 12 + 1),  # scoring
        ("written", 10),  # scored, but not yet marked as done
    ],
)
def test_killed_and_run_again_equals_unbroken(call, count, server, finish):
    assert server.call(os.environ["PADALIB_DATA"], call, count) == -signal.SIGKILL
    finish()


@pytest.mark.parametrize("call", ["written", "half-written"])
def test_killed_again_and_again_while_writing_equals_unbroken(call, server, finish):
    for count in range(1, 5):  # at the nth file of the nth attempt
        assert server.call(os.environ["PADALIB_DATA"], call, count) == -signal.SIGKILL
    finish()


@pytest.mark.parametrize("sign", ["progress.log", ".last.pt.*"])
def test_killed_from_outside_and_run_again_equals_unbroken(sign, server, finish):
    pid = server.start(os.environ["PADALIB_DATA"])
    folder, deadline = Run(KILLED.train).folder, time.monotonic() + 120
    while not list(folder.glob(sign)) and time.monotonic() < deadline:
        pass  # a file that is being written is not there for long
    os.kill(pid, signal.SIGKILL)
    assert server.end() == -signal.SIGKILL
    finish()


# --- states that are kept ---


def test_kept_states_are_those_of_their_epochs():
    run = Run(small("PA&DA", keep=(2, 0))).compute()
    trainer = Trainer(run.config)
    for epoch in range(4):
        if epoch != 1:
            assert same(train.load(run, epoch).state(), trainer.state())
        trainer.train_epoch()
    assert same(train.load(run).state(), train.load(run, 3).state())
    assert sorted(path.name for path in run.folder.glob("*.pt")) == [
        "epoch_0.pt",
        "epoch_2.pt",
        "last.pt",
    ]
    (run.folder / "epoch_2.pt").unlink()
    with pytest.raises(RunError, match=r"epoch_2\.pt is missing"):
        train.load(run, 2)


@pytest.mark.parametrize("cut", (None, 2))
def test_a_run_that_kept_too_few_states_trains_again_to_the_same(cut):
    config = small("PA&DA", keep=(2,))
    before = Run(config).compute()
    tables, last = before.record()["tables"], train.load(before).state()
    early = small("PA&DA", keep=(0, 1, 2))
    run = Run(early)
    assert before.done and run.folder == before.folder and not run.done
    if cut is not None:  # as a training that was killed after two epochs would leave it
        (run.folder / "done.json").unlink()
        shutil.copy(run.folder / f"epoch_{cut}.pt", run.folder / "last.pt")
    run.compute()
    assert run.done and before.done and run.record()["tables"] == tables
    assert same(train.load(run).state(), last)
    trainer = Trainer(early)
    for epoch in range(3):
        assert same(train.load(run, epoch).state(), trainer.state())
        trainer.train_epoch()


def test_the_state_in_which_a_run_was_cut_can_be_asked_for(monkeypatch):
    run = Run(small("PA&DA", keep=(2,))).compute()
    kept, last = run.load_state("epoch_2"), run.load_state("last")
    (run.folder / "done.json").unlink()  # as one that keeps nothing, killed after two epochs
    (run.folder / "epoch_2.pt").replace(run.folder / "last.pt")
    begun, original = [], Trainer.train_epoch

    def train_epoch(self, *rest):
        begun.append(self.epoch)
        return original(self, *rest)

    monkeypatch.setattr(Trainer, "train_epoch", train_epoch)
    run.compute()
    assert begun == [2] and same(run.load_state("epoch_2"), kept)
    assert same(run.load_state("last"), last)


def test_a_run_that_fails_to_train_again_for_more_states_keeps_what_it_has(broken_loss):
    before = Run(small(keep=())).compute()
    last = train.load(before).state()
    run = Run(small(keep=(1,)))
    broken_loss(0, float("nan"))
    with pytest.raises(RunError, match="loss was nan"):
        run.compute()
    assert before.done and not run.done
    assert same(train.load(before).state(), last) and len(before.table("curves")) == 3


def test_an_epoch_that_was_not_kept_says_what_to_do():
    run = Run(small(epochs=1)).compute()
    with pytest.raises(ValueError, match="keep"):
        train.load(run, 0)


def test_a_sampler_whose_state_cannot_be_saved_is_refused_at_once(monkeypatch):
    draw = samplers.UniformPaths.draw

    def learned(self, generator):
        self.seen = (draw,)  # no number, string or tensor
        return draw(self, generator)

    monkeypatch.setattr(samplers.UniformPaths, "draw", learned)
    with pytest.raises((RunError, ValueError), match=r"seen|state"):
        Run(small(epochs=1)).compute()


# --- losses that are not finite ---


@pytest.mark.parametrize("factor", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_the_run(factor, broken_loss):
    broken_loss(4 + 2, factor)
    run = Run(small())
    words = f"the loss was {factor} in step 2 of epoch 2 .* lower lr or clip"
    with pytest.raises(RunError, match=words):
        run.compute()
    assert not run.done and run.load_state("last")["epoch"] == 1
    assert words[:30] in json.loads((run.folder / "failed.json").read_text())["reason"]


def test_a_run_that_diverged_says_so_again_without_training(monkeypatch):
    words = (
        r"SPOS mini seed 0 failed: the loss was \S+ in step \d of epoch 1 .* Delete .* to try it"
    )
    with pytest.raises(RunError, match=words):
        Run(small(lr=1e30, clip=1e30)).compute()
    monkeypatch.setattr(Trainer, "train_epoch", lambda self: pytest.fail("trained again"))
    with pytest.raises(RunError, match=words):
        Run(small(lr=1e30, clip=1e30)).compute()
    with pytest.raises(RunError, match=words):
        Run(ScoreConfig(small(lr=1e30, clip=1e30))).compute()


def test_a_gradient_that_is_not_finite_in_the_last_step_stops_the_run(monkeypatch):
    def step(self, net, *rest):
        net.head.weight.data.fill_(math.nan)
        return torch.tensor(1.0), torch.tensor(0.5), torch.tensor(math.nan)

    monkeypatch.setattr(update.Accumulate, "step", step)
    with pytest.raises(RunError, match="gradient"):
        Run(small(epochs=1, batch=512)).compute()


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("name", ["head.bias", "stem.0.weight"])
def test_a_weight_that_is_not_finite_after_the_last_step_is_not_saved(name, value, monkeypatch):
    original, count = update.Accumulate.step, itertools.count(1)

    def step(self, net, *rest):
        found = original(self, net, *rest)
        if next(count) == 8:  # the last of the second epoch, which its loss does not tell
            dict(net.named_parameters())[name].data.view(-1)[-1] = value
        return found

    monkeypatch.setattr(update.Accumulate, "step", step)
    run = Run(small(keep=(2,)))
    words = f"the {name} of the network was not finite after the last step of epoch 2 .* lower lr"
    with pytest.raises(RunError, match=words):
        run.compute()
    assert not run.done and not run.has_state("epoch_2")
    assert run.load_state("last")["epoch"] == 1


def test_one_step_that_overflows_is_not_a_finished_run():
    config = small(epochs=1, batch=512, lr=3e38, clip=1e30, weight_decay=100)
    assert Trainer(config).train_epoch() is None  # its only loss was finite
    run = Run(config)
    with pytest.raises(RunError, match=r"the \S+ of the network was not finite after the last"):
        run.compute()
    assert not run.done and not run.has_state("last")


# --- bad input ---


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"method": "spos"}, r"unknown method 'spos': did you mean SPOS\? choose one of SPOS"),
        ({"space": "maxi"}, "unknown space 'maxi': choose one of .*mini"),
        ({"arch": (0, 1)}, "an architecture of mini has 3 operations.*got 2"),
        ({"arch": (0, 1, 5)}, r"operation 5 on edge 2 .2<-1. of \(0, 1, 5\) is not in 0..4"),
        ({"epochs": 0}, "epochs must be a whole number from 1, got 0"),
        ({"epochs": 2.5}, "epochs must be a whole number from 1, got 2.5"),
        ({"batch": -1}, "batch must be a whole number from 1, got -1"),
        ({"momentum": -0.1}, "momentum must be a finite number from 0 to 1, got -0.1"),
        ({"crop": -1}, "crop must be a whole number from 0, got -1"),
        ({"lr": 0.0}, "lr must be a finite number above 0, got 0.0"),
        ({"lr": math.nan}, "lr must be a finite number above 0, got nan"),
        ({"clip": 0}, "clip must be a finite number above 0, got 0"),
        ({"bn": "layer"}, "bn must be one of .*batch.* got 'layer'"),
        ({"precision": "half"}, "precision must be 'float32' or 'bfloat16', got 'half'"),
        ({"keep": (1, 4)}, r"keep must be epochs in 0..3, got \(1, 4\): change it"),
        ({"keep": (-1,)}, "keep must be a tuple of whole numbers from 0, got"),
    ],
)
def test_values_that_make_no_run_are_refused(fields, words):
    with pytest.raises(ValueError, match=words):
        small(**fields)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"epochs": "3"}, "epochs must be a whole number from 1, got '3'"),
        ({"epochs": 3.0}, "epochs must be .* got 3.0"),
        ({"epochs": True}, "epochs must be .* got True"),
        ({"seed": 0.5}, "seed must be a whole number, got 0.5"),
        ({"seed": None}, "seed must be a whole number, got None"),
        ({"flip": "no"}, "flip must be True or False, got 'no'"),
        ({"flip": 1}, "flip must be True or False, got 1"),
        ({"lr": math.inf}, "lr must be a finite number above 0, got inf"),
        ({"lr": "0.1"}, "lr must be .* got '0.1'"),
        ({"lr": True}, "lr must be .* got True"),
        ({"momentum": 1.5}, "momentum must be a finite number from 0 to 1, got 1.5"),
        ({"weight_decay": math.nan}, "weight_decay must be a finite number from 0, got nan"),
        ({"crop": 1.5}, "crop must be a whole number from 0, got 1.5"),
        ({"keep": (1.0,)}, r"keep must be a tuple of whole numbers from 0, got \(1.0,\)"),
        ({"keep": 1}, "keep must be a tuple of whole numbers from 0, got 1"),
        ({"arch": "0-1-2"}, "arch must be a tuple of whole numbers or None, got '0-1-2'"),
        ({"arch": (0, 1.0, 2)}, "arch must be .* got"),
        ({"method": None}, "method must be a Method or a text, got None"),
        ({"space": 3}, "space must be a .* or a text, got 3"),
        ({"data": None}, "data must be a text, got None"),
        ({"device": None}, "device must be a text, got None"),
    ],
)
def test_values_of_another_type_are_refused_by_name(fields, words):
    with pytest.raises(ValueError, match=words):
        small(**fields)


def test_an_option_that_a_sampler_does_not_know_is_refused_when_the_method_is_made():
    with pytest.raises(ValueError, match="norm must be 'clipped' or 'raw', got 'rwa'"):
        variant("PA", norm="rwa")
    with pytest.raises(ValueError, match="importance must be True or False, got 'no'"):
        variant("PA", importance="no")
    with pytest.raises(ValueError, match="zero_grad must be True or False, got 'false'"):
        variant("PA", zero_grad="false")


def test_what_means_the_same_is_the_same_run():
    plain = small(seed=3, lr=1.0, batch=64, flip=True, keep=(0, 2), bn="running", arch=(3, 2, 1))
    other = small(
        seed=np.int64(3),
        lr=1,
        batch=np.uint16(64),
        flip=np.bool_(True),
        keep=[np.int32(2), 0, 2],
        bn=np.str_("running"),
        arch=np.array([3, 2, 1]),
    )
    assert plain == other and hash(plain) == hash(other)
    assert Run(plain).key == Run(other).key
    assert type(other.seed) is type(other.batch) is type(other.keep[0]) is int
    assert (type(other.lr), type(other.flip), type(other.bn)) == (float, bool, str)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"batch": 513}, r"batch \(of the 512 images of digits-small/train\) must be .* got 513"),
        ({"crop": 16}, r"crop \(of images of 16x16\) must be a whole number from 0 to 15, got 16"),
        (
            {"method": "FairNAS", "batch": 210},
            r"an epoch of 512 images is less than half a step of FairNAS \(5 passes of 210 images"
            r"\): use a batch of at most 204",
        ),
    ],
)
def test_more_than_the_images_allow_is_refused_before_anything_is_made(fields, words):
    config = small(**fields)
    for use in (config.check, lambda: Trainer(config), lambda: grid([config], workers=1)):
        with pytest.raises(ValueError, match=words):
            use()
    assert not Run(config).folder.exists()
    small(batch=512, crop=15).check()
    small("FairNAS", batch=204).check()


@pytest.mark.parametrize("method", ["PA", "DA", "PA&DA", "FairNAS", "curriculum"])
def test_a_method_that_an_architecture_alone_has_no_use_for_is_refused(method):
    with pytest.raises(ValueError, match=f"{method} draws paths or images, .* pass method='SPOS'"):
        small(method, arch=(3, 2, 1))
    assert small(variant("SPOS", zero_grad=True), arch=(3, 2, 1)).method.zero_grad


def test_sharing_that_an_architecture_alone_cannot_is_refused():
    shared = dataclasses.replace(SPACE, extent=3)
    with pytest.raises(ValueError, match=r"mini shares operations .*replace\(space, extent=1\)"):
        small(space=shared, arch=(3, 2, 1))


def test_a_data_set_that_is_nowhere_is_refused_before_training():
    with pytest.raises(FileNotFoundError, match=r"no data set 'letters'.*or one of .*digits"):
        small(data="letters")


def test_an_unknown_split_is_refused():
    words = r"train_split must be one of .*'test', 'train\+valid', got 'training'"
    with pytest.raises(ValueError, match=words):
        small(train_split="training")


def test_an_unknown_field_is_refused():
    with pytest.raises(TypeError, match="learning_rate"):
        small(learning_rate=0.1)


# --- devices and precision ---


@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_a_device_that_is_not_there_is_refused(device, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    words = f"device '{device}' asked for, but torch sees no CUDA device: .*unset PADALIB_DEVICE"
    config = small(device=device)  # what another machine has finished can be read here
    with pytest.raises(ValueError, match=words):
        config.check()


def test_what_a_gpu_has_finished_is_read_where_there_is_none(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    config = small(device="cuda")
    with monkeypatch.context() as there:
        there.setattr(TrainConfig, "check", lambda self: None)
        there.setattr(TrainConfig, "compute", lambda self, run: run.write_table("curves", ROWS))
        there.setattr("torch.cuda.get_device_name", str)
        Run(config).compute()
    (run,) = grid([config])
    assert run.table("curves").equals(ROWS)
    words = "1 of 2 runs are not finished here, first scores of SPOS .*: device 'cuda' asked for"
    with pytest.raises(ValueError, match=words):  # nothing is begun
        grid([config, ScoreConfig(config)])


def test_weights_that_a_gpu_has_made_are_read_where_there_is_none(monkeypatch):
    """And of a pack, in which they do not come along, the tables; nothing is trained for either."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    before = small(device="cuda", seed=1)
    config = small(device="cuda", start=before, epochs=2, keep=(1,))
    twin = Trainer(dataclasses.replace(config, device="cpu", start=None))

    def finish(self, run):
        for name in ("epoch_1", "last"):
            run.save_state(name, twin.state())
        run.write_table("curves", ROWS)

    with monkeypatch.context() as there:
        there.setattr(TrainConfig, "compute", finish)
        there.setattr("torch.cuda.get_device_name", str)
        run = Run(config).compute()
    for epoch in (None, 1):
        net = train.load(run, epoch).net.state_dict()
        assert all(torch.equal(net[name], value) for name, value in twin.net.state_dict().items())
    for state in run.folder.glob("*.pt"):
        state.unlink()
    (run,) = grid([config])
    assert run.table("curves").equals(ROWS)
    words = r"epoch_1.pt is missing: .* On a machine with device 'cuda', `launch.grid\("
    with pytest.raises(RunError, match=words):
        train.load(run, 1)
    for asked in (before, ScoreConfig(config), ScoreConfig(config, epoch=1)):
        with pytest.raises(ValueError, match="read without it, but this has to be computed"):
            Run(asked).compute()
    assert list(run.folder.parent.iterdir()) == [run.folder]


def test_tables_of_a_run_whose_states_did_not_come_along_are_read():
    config = small(keep=(1,))
    run = Run(config).compute()
    (run.folder / "epoch_1.pt").unlink()
    assert not run.done and len(run.table("curves")) == config.epochs
    with pytest.raises(RunError, match=r"missing: weights do not travel in packs. `launch.grid\("):
        train.load(run, 1)


def test_a_number_of_no_device_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for n, seen in ((1, "only 1 CUDA device"), (2, "only 2 CUDA devices")):
        monkeypatch.setattr(torch.cuda, "device_count", lambda n=n: n)
        check_device("cuda:0")
        with pytest.raises(ValueError, match=f"'cuda:2' asked for, but torch sees {seen}: what is"):
            check_device("cuda:2")


@pytest.mark.parametrize("device", ["gpu", "", "CUDA", "cpu:x"])
def test_a_device_that_torch_does_not_know_is_refused(device):
    with pytest.raises(
        ValueError, match=f"'{device}' is no device that torch knows: pass 'cpu' or"
    ):
        small(device=device)


BFLOAT16 = {"architecture": "x86_64", "cpu_name": "Old One", "avx512_f": True}


@pytest.mark.parametrize("able", ["avx512_bf16", "amx_bf16", None])
def test_bfloat16_on_a_processor_without_it_warns(able, monkeypatch):
    has = BFLOAT16 | {"avx512_bf16": False, "amx_bf16": False} | ({able: True} if able else {})
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has)
    if able is None:
        with pytest.warns(UserWarning, match=r"\(Old One\) has no bfloat16.* is slower here than"):
            small(precision="bfloat16").check()
        small(precision="bfloat16").check()  # it is said once
    else:
        small(precision="bfloat16").check()
    small().check()  # float32 warns nowhere


def test_bfloat16_on_another_architecture_does_not_warn(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"architecture": "aarch64"})
    small(precision="bfloat16").check()


@pytest.mark.parametrize("able", [False, True])
def test_bfloat16_on_a_gpu_without_it_is_refused(able, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda emulated=True: emulated or able)
    check_device("cuda")
    if able:
        check_device("cuda", "bfloat16")
    else:
        with pytest.raises(ValueError, match="'cuda' cannot compute in bfloat16: pass precision="):
            check_device("cuda", "bfloat16")


def test_precision_is_part_of_the_run_and_reaches_its_network(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    trainers = {p: Trainer(small(precision=p)) for p in ("float32", "bfloat16")}
    assert small() == small(precision="float32")
    assert Run(small()).key != Run(small(precision="bfloat16")).key
    assert [trainer.net.precision for trainer in trainers.values()] == list(trainers)
    start, same_start = (trainer.net.state_dict() for trainer in trainers.values())
    assert same(start, same_start)
    for trainer in trainers.values():
        assert trainer.train_epoch() is None
        assert all(p.dtype == torch.float32 for p in trainer.net.parameters())
    losses = [trainer.history[0]["loss"] for trainer in trainers.values()]
    assert losses[0] != losses[1] == pytest.approx(losses[0], rel=0.02)


# --- images and the network for them ---


def of(channels=1, size=16, labels=10):
    return ImageSet(
        "album/train",
        torch.zeros(labels, channels, size, size, dtype=torch.uint8),
        torch.arange(labels),
        (0.5,) * channels,
        (0.5,) * channels,
    )


def test_a_space_for_other_images_is_refused():
    words = (
        r"has in_channels 1, but nasbench201 is built for 3: use .*replace\(space, in_channels=1\)"
    )
    with pytest.raises(ValueError, match=words):
        Run(small(space="nasbench201")).compute()
    with pytest.raises(ValueError, match=r"has size 16, but mini is built for 32.*size=16\)"):
        Trainer(small(space=dataclasses.replace(SPACE, size=32)))


@pytest.mark.parametrize(
    ("fields", "field_name", "given", "built"),
    [
        ({"channels": 3}, "in_channels", 3, 1),
        ({"size": 32}, "size", 32, 16),
        ({"size": 8}, "size", 8, 16),
        ({"labels": 100}, "classes_out", 100, 10),
        ({"labels": 11}, "classes_out", 11, 10),
    ],
)
def test_each_thing_that_does_not_fit_is_named_with_its_cure(fields, field_name, given, built):
    words = (
        f"album/train has {field_name} {given}, but mini is built for {built}: "
        f"use dataclasses.replace\\(space, {field_name}={given}\\)"
    )
    with pytest.raises(ValueError, match=words):
        datasets.check_fit(of(**fields), SPACE)
    datasets.check_fit(of(**fields), dataclasses.replace(SPACE, **{field_name: given}))


def test_fewer_labels_than_the_network_has_outputs_do_no_harm():
    datasets.check_fit(of(labels=7), SPACE)


def test_the_papers_protocol_learns_from_train_and_valid():
    config = small("PA&DA", train_split="train+valid")
    trainer = Trainer(config)
    assert len(trainer.images) == trainer.data.n == 512 + 256 and trainer.steps == 6
    assert Run(config).key != Run(small("PA&DA")).key
    drawn, step = set(), trainer.step

    def watched(archs):
        index, record = step(archs)
        drawn.update(index.tolist())
        return index, record

    trainer.step = watched
    assert trainer.train_epoch() is None
    assert trainer.history[0]["images"] == 768 and max(drawn) >= 512


# --- compute and randomness ---


METHODS = ["SPOS", "FairNAS", "PA&DA", "sandwich", "DYNAS", "SUMNAS", "NSAS"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("batch", [16, 64])
def test_an_epoch_is_the_training_set_once_through_forward_and_backward(method, batch, monkeypatch):
    passed, original = [], update.path_loss

    def path_loss(net, arch, index, x, *rest):
        passed.append(len(x))
        return original(net, arch, index, x, *rest)

    monkeypatch.setattr(update, "path_loss", path_loss)
    trainer = Trainer(small(method, batch=batch))
    trainer.train_epoch()
    row = trainer.history[0]
    assert sum(passed) == row["images"]
    passes = {"FairNAS": 5, "sandwich": 4, "SUMNAS": 5 * 2, "NSAS": 3}.get(method, 1)
    assert abs(row["images"] - 512) <= batch * passes / 2
    assert len(passed) == row["steps"] * passes


def test_another_sampler_changes_neither_the_first_weights_nor_the_other_streams():
    trainers = {name: Trainer(small(name)) for name in ("SPOS", "PA", "DA", "PA&DA", "FairNAS")}
    start = trainers["SPOS"].net.state_dict()
    assert all(same(trainer.net.state_dict(), start) for trainer in trainers.values())

    for trainer in trainers.values():
        trainer.train_epoch()
    states = {
        name: {purpose: stream.get_state() for purpose, stream in trainer.generators.items()}
        for name, trainer in trainers.items()
    }
    for name in ("PA", "DA", "PA&DA"):  # as many steps as SPOS
        assert same(states[name]["augment"], states["SPOS"]["augment"])
    assert same(states["PA"]["data"], states["SPOS"]["data"])
    assert same(states["DA"]["paths"], states["SPOS"]["paths"])
    assert not same(states["DA"]["data"], states["SPOS"]["data"])
    assert not same(states["FairNAS"]["paths"], states["SPOS"]["paths"])


def test_streams_differ_by_seed_and_purpose():
    drawn = {
        tuple(torch.randperm(100, generator=train.stream(seed, name)).tolist())
        for seed in (0, 1)
        for name in train.STREAMS
    }
    assert len(drawn) == 2 * len(train.STREAMS)
    nets = [train.build(small(seed=seed)).stem[0].weight for seed in (0, 0, 1)]
    assert torch.equal(nets[0], nets[1]) and not torch.equal(nets[0], nets[2])


def test_an_architecture_alone_is_trained_as_that_one_only(monkeypatch):
    seen = set()
    original = update.path_loss

    def path_loss(net, arch, *rest):
        seen.add(arch)
        return original(net, arch, *rest)

    monkeypatch.setattr(update, "path_loss", path_loss)
    config = small(arch=(3, 2, 0))  # edge 1 -> 2 is 'none', so edge 0 -> 1 is dead
    assert config.arch == (0, 2, 0) and config == small(arch=(0, 2, 0))
    trainer = Trainer(config)
    trainer.train_epoch()
    assert seen == {(0, 2, 0)}
    assert trainer.history[0]["images"] == 512
