"""Run folders: identity, whole files or none, one computation per run, and damage that is named."""

import dataclasses
import errno
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import padalib
from padalib import data, spaces
from padalib.engine import runs
from padalib.engine.runs import Run, RunError, key, write_bytes
from padalib.probes.sampled import VarianceConfig
from padalib.ranking.scores import ScoreConfig
from padalib.train import TrainConfig

ROOT = Path(__file__).resolve().parents[2]
RANDOM = np.random.RandomState(0)
TABLE = pd.DataFrame(
    {
        "float": RANDOM.standard_normal(2000) * 10.0 ** RANDOM.randint(-300, 300, 2000),
        "small": RANDOM.uniform(0, 1, 2000),
        "int": RANDOM.randint(-(2**62), 2**62, 2000),
        "text": ['a "quoted", word', "PA&DA — ü", "0-0-1", "|none~0|"] * 500,
    }
)
TABLE.loc[:4, "float"] = [np.nan, np.inf, -np.inf, 5e-324, 0.1 + 0.2]


@dataclass(frozen=True)
class Toy:
    """A run that takes no time. `act` names what happens in it."""

    act: str = "finish"
    meet: str = ""  # a folder where two processes meet
    label = "toy"
    ticks = 1

    def inputs(self):
        return {}

    def compute(self, run):
        run.log("computed")
        if self.act == "fail":
            run.fail("the moon is full")
        if self.act == "raise":
            raise KeyError("once")
        if self.act == "meet":
            wait_for(Path(self.meet) / "asked")
        run.write_table("numbers", TABLE)
        run.save_state("last", {"weights": torch.arange(1000.0), "epoch": 3, "name": "x"})


def wait_for(path, seconds=120):
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} never came"
        time.sleep(0.02)


def computations(run):
    return (run.folder / "progress.log").read_text().count("computed")


@pytest.fixture
def done():
    return Run(Toy()).compute()


def python(code, *arguments, **environment):
    """A process of its own, started in no particular folder."""
    path = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": path} | environment,
        stdout=subprocess.PIPE,
        text=True,
    )


# --- identity ---

TRAIN = TrainConfig(data="digits-small", epochs=5, keep=(2,))
OTHER = {
    TRAIN: {
        "method": "FairNAS",
        "seed": 1,
        "space": dataclasses.replace(spaces.get("mini"), channels=4),
        "data": "digits",
        "arch": (3, 0, 0),
        "epochs": 6,
        "batch": 32,
        "lr": 0.1,
        "momentum": 0.8,
        "weight_decay": 0.0,
        "clip": 1.0,
        "crop": 0,
        "flip": True,
        "bn": "running",
        "precision": "bfloat16",
        "train_split": "valid",
        "device": "cuda:1",
    },
    ScoreConfig(TRAIN): {
        "train": dataclasses.replace(TRAIN, seed=1),
        "epoch": 2,
        "splits": ("test",),
        "images": 100,
        "batch": 100,
        "archs": 10,
        "only": ("nor_conv_3x3",),
    },
    VarianceConfig(TRAIN): {
        "train": dataclasses.replace(TRAIN, seed=1),
        "epoch": 2,
        "paths": 32,
        "batches": 4,
        "error": 0.2,
        "seed": 1,
    },
}


@pytest.mark.parametrize("config", OTHER, ids=lambda config: type(config).__name__)
def test_key_depends_on_every_field(config, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    told = [field for field in dataclasses.fields(config) if field.init]
    fields = [field.name for field in told if field.metadata.get("identity", True)]
    variants = [dataclasses.replace(config, **{name: OTHER[config][name]}) for name in fields]
    assert len({key(one) for one in [config, *variants]}) == 1 + len(fields)


def test_states_that_are_kept_are_no_part_of_the_key():
    assert key(TRAIN) == key(dataclasses.replace(TRAIN, keep=(0, 1)))
    assert {field.name for field in dataclasses.fields(TRAIN) if field.metadata} == {"keep"}


def test_the_last_epoch_has_one_key_by_number_and_by_default():
    for kind in (ScoreConfig, VarianceConfig):
        assert key(kind(TRAIN)) == key(kind(TRAIN, epoch=5))


def test_key_depends_on_options_of_the_method():
    methods = [TRAIN.method.with_options("SPOS", zero_grad=zero) for zero in (False, True)]
    assert len({key(dataclasses.replace(TRAIN, method=method)) for method in methods}) == 2


@pytest.mark.parametrize("config", OTHER, ids=lambda config: type(config).__name__)
def test_key_depends_on_data_and_recipe(config, monkeypatch):
    keys = {key(config)}
    monkeypatch.setattr(data, "fingerprint", lambda name: "another")
    keys.add(key(config))
    monkeypatch.setattr(padalib, "RECIPE", padalib.RECIPE + 1)
    keys.add(key(config))
    monkeypatch.setattr(type(config), "changes", getattr(config, "changes", 0) + 1, raising=False)
    keys.add(key(config))
    assert len(keys) == 4


def test_a_config_with_no_identity_is_refused():
    with pytest.raises(TypeError, match=r"a config cannot hold .* it has no identity"):
        key(Toy(act=object()))


# --- whole files or none ---


@pytest.mark.parametrize("call", ["tempfile.mkstemp", "os.fsync", "os.replace"])
@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full: cannot write {} .3 bytes.* Free some space"),
        (errno.EDQUOT, "the disk is full: cannot write {} .* PADALIB_DATA"),
        (errno.EACCES, "cannot write {}: Permission denied. Make the folder writable"),
    ],
)
def test_a_write_that_fails_leaves_the_old_file_alone(tmp_path, monkeypatch, call, number, words):
    def fail(*_, **__):
        raise OSError(number, os.strerror(number))

    path = tmp_path / "folder" / "file"
    write_bytes(path, b"old")
    module, name = call.split(".")
    monkeypatch.setattr({"os": os, "tempfile": tempfile}[module], name, fail)
    with pytest.raises(RunError, match=words.format(path)):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == ["file"]


def test_a_write_replaces_the_file_and_is_readable_by_others(tmp_path):
    path = tmp_path / "folder" / "file"
    write_bytes(path, b"old and long")
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o444 == 0o444
    assert os.listdir(path.parent) == ["file"]


def test_a_place_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(RunError, match=f"cannot write {file}/x: .*Make the folder writable"):
        write_bytes(file / "x", b"")
    monkeypatch.setenv("PADALIB_DATA", str(file))
    with pytest.raises(RunError, match=f"cannot write to {file}.*set PADALIB_DATA"):
        Run(Toy()).compute()


def test_a_lock_that_cannot_be_taken_is_named():
    run = Run(Toy())
    (run.folder / "lock").mkdir(parents=True)  # opening it for writing fails, even for root
    with pytest.raises(RunError, match=f"cannot write to {run.folder}"):
        run.compute()


# --- tables and states ---


def test_tables_come_back_bit_for_bit(done):
    found = done.table("numbers")
    for column in TABLE:
        if TABLE[column].dtype == float:
            assert found[column].to_numpy().tobytes() == TABLE[column].to_numpy().tobytes()
        else:
            assert found[column].tolist() == TABLE[column].tolist()


@pytest.mark.parametrize("damage", ["digit", "line", "missing"])
def test_a_damaged_table_is_refused(done, damage):
    path = done.folder / "numbers.csv"
    text = path.read_text()
    path.write_text(text.replace("7", "8", 1) if damage == "digit" else text + "1,2,3,x\n")
    if damage == "missing":
        path.unlink()
    word = "is missing" if damage == "missing" else "is not what the run wrote"
    with pytest.raises(RunError, match=f"{path} {word}: delete the folder {done.folder}"):
        done.table("numbers")


def test_a_table_of_an_unfinished_run_is_refused(done):
    (done.folder / "done.json").unlink()
    with pytest.raises(RunError, match=r"is not finished: ask `launch\.grid`"):
        done.table("numbers")


def test_states_come_back(done):
    state = done.load_state("last")
    assert torch.equal(state.pop("weights"), torch.arange(1000.0))
    assert state == {"epoch": 3, "name": "x"}
    assert done.has_state("last") and not done.has_state("epoch_1")


def test_a_truncated_state_is_refused(done):
    path = done.folder / "last.pt"
    content = path.read_bytes()
    for size in (0, 10, len(runs.MAGIC) + 64, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(RunError, match=f"{path} is truncated or was edited.*delete the folder"):
            done.load_state("last")


@pytest.mark.parametrize("mask", [0x01, 0xFF])
def test_an_edited_state_is_refused(done, mask):
    path = done.folder / "last.pt"
    content = path.read_bytes()
    start = len(runs.MAGIC)
    for place in (0, start - 1, start, start + 63, start + 64, start + 65, len(content) - 1):
        path.write_bytes(content[:place] + bytes([content[place] ^ mask]) + content[place + 1 :])
        with pytest.raises(RunError, match=f"{path} is truncated or was edited.*delete the folder"):
            done.load_state("last")


def test_a_missing_state_is_refused(done):
    with pytest.raises(RunError, match=r"epoch_1\.pt is missing"):
        done.load_state("epoch_1")


# --- the life of a run ---


def test_a_done_run_is_not_computed_again(done):
    before = {path.name: path.read_bytes() for path in done.folder.iterdir()}
    again = Run(Toy()).compute()
    assert again.done and again.folder == done.folder
    assert computations(done) == 1
    assert {path.name: path.read_bytes() for path in done.folder.iterdir()} == before


def test_a_run_of_other_code_is_refused(done):
    path = done.folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"recipe": 0}))
    for state in ("done", "cut"):
        with pytest.raises(
            RunError, match=rf"{done.folder} was made by other code .*\(different r"
        ):
            Run(Toy()).compute()
        if state == "done":
            (done.folder / "done.json").unlink()
    assert computations(done) == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
    ],
)
def test_a_damaged_config_is_refused(done, text):
    (done.folder / "config.json").write_text(text)
    with pytest.raises(RunError, match="was made by other code or another config"):
        Run(Toy()).compute()


@pytest.mark.parametrize("name", ["done.json", "failed.json"])
def test_a_damaged_record_is_refused(done, name):
    for record in ("done.json", "failed.json"):
        (done.folder / record).unlink(missing_ok=True)
    (done.folder / name).write_text("{")
    with pytest.raises(RunError, match=f"{name}.*delete the folder {done.folder}"):
        Run(Toy()).compute().table("numbers")


def test_what_a_killed_write_left_is_cleared_away(done):
    (done.folder / "done.json").unlink()
    (done.folder / ".last.pt.x8fk2_1a").write_bytes(b"half a state")
    done.compute()
    assert not list(done.folder.glob(".*"))


def test_a_failed_run_repeats_its_reason_until_it_is_deleted():
    run = Run(Toy("fail"))
    for _ in range(2):
        words = f"toy failed: the moon is full. Delete {run.folder} to try it again"
        with pytest.raises(RunError, match=words):
            Run(Toy("fail")).compute()
    assert computations(run) == 1 and not run.done


def test_a_run_that_was_cut_is_computed_again():
    run = Run(Toy("raise"))
    for _ in range(2):
        with pytest.raises(KeyError, match="once"):
            run.compute()
    assert computations(run) == 2 and not run.done


def test_a_run_computes_on_one_thread_and_leaves_the_number_as_it_was(monkeypatch):
    seen = []
    monkeypatch.setattr(Toy, "compute", lambda *_: seen.append(torch.get_num_threads()))
    torch.set_num_threads(2)
    try:
        Run(Toy()).compute()
        assert (seen, torch.get_num_threads()) == ([1], 2)
    finally:
        torch.set_num_threads(1)


ANOTHER_PROCESS = """
import sys
from pathlib import Path
import test_runs
from padalib.engine.runs import Run, key
run = Run(test_runs.Toy("meet", sys.argv[1]))
Path(sys.argv[1], "asked").touch()
run.compute()
print(key(test_runs.PA_DA), test_runs.computations(run), len(run.table("numbers")))
"""
PA_DA = TrainConfig("PA&DA", data="digits-small", keep=(0, 2), bn="recalibrated")


def test_two_processes_agree_on_the_key_and_compute_a_run_once(tmp_path):
    other = python(ANOTHER_PROCESS, tmp_path, PYTHONHASHSEED="1")
    run = Run(Toy("meet", str(tmp_path))).compute()  # goes on when the other has asked for it too
    out, _ = other.communicate(timeout=120)
    assert out.split() == [key(PA_DA), "1", str(len(TABLE))]
    assert computations(run) == 1
