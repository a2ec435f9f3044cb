"""Run folders: identity, one computation per run, nothing lost, and damage that is named."""

import dataclasses
import json
import os
import shutil
import threading
from dataclasses import dataclass, field
from pathlib import Path

import jobs
import numpy as np
import pandas as pd
import pytest
import torch
from jobs import wait_until

import padalib
from padalib import data, spaces
from padalib.engine import lock, runs
from padalib.engine.files import read_table
from padalib.engine.paths import data_root
from padalib.engine.runs import Run, RunError, key
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
            wait_until((Path(self.meet) / "asked").exists)
        run.write_table("numbers", TABLE)
        run.save_state("last", {"weights": torch.arange(1000.0), "epoch": 3, "name": "x"})


def computations(run):
    return (run.folder / "progress.log").read_text().count("computed")


@pytest.fixture
def done():
    return Run(Toy()).compute()


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
    fields = [field.name for field in told if field.metadata.get("identity", True) is True]
    variants = [dataclasses.replace(config, **{name: OTHER[config][name]}) for name in fields]
    assert len({key(one) for one in [config, *variants]}) == 1 + len(fields)


def test_states_that_are_kept_are_no_part_of_the_key():
    assert key(TRAIN) == key(dataclasses.replace(TRAIN, keep=(0, 1)))
    told = {f.name: f.metadata["identity"] for f in dataclasses.fields(TRAIN) if f.metadata}
    assert told == dict.fromkeys(("replay", "start", "cutout", "nesterov", "warmup"), "given") | {
        "keep": False
    }


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


# --- tables and states ---


NAMES = ["NA", "null", "None", "nan", "N/A", "<NA>", "all", ""]


def test_names_that_mean_nothing_elsewhere_come_back_as_names(tmp_path):
    """An option may be called NA; what is empty is what no number was found for."""
    table = pd.DataFrame({"part": NAMES, "code": [*"01234567"], "total": [0.1, np.nan] * 4})
    table["kind"] = [None, "raw"] * 4
    path = tmp_path / "table.csv"
    path.write_bytes(table.to_csv(index=False).encode())
    found = read_table(path)
    assert found.part.tolist()[:-1] == NAMES[:-1] and found.part.isna().tolist()[-1]
    assert found.total.equals(table.total) and found.code.equals(table.code)
    assert found.kind.isna().tolist() == [True, False] * 4
    run = Run(Named()).compute()
    pd.testing.assert_frame_equal(run.table("names"), found)


@dataclass(frozen=True)
class Named:
    """Writes names that mean nothing elsewhere."""

    label, ticks = "names", 0

    def inputs(self):
        return {}

    def compute(self, run):
        kind = [None, "raw"] * 4
        rows = {"part": NAMES, "code": [*"01234567"], "total": [0.1, np.nan] * 4, "kind": kind}
        run.write_table("names", pd.DataFrame(rows))


def test_published_tables_are_read_as_before():
    """None of them has a name that was taken for nothing."""
    files = sorted((ROOT / "data" / "results").rglob("*.csv"))
    assert len(files) > 50
    for path in files:
        before = pd.read_csv(path, dtype={"code": str}, low_memory=False)
        pd.testing.assert_frame_equal(read_table(path), before, check_exact=True)


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
@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"{}", b"[]", b"null", b'{"reason": 3, "tables": []}', b"\xff", b"[" * 100_000],
    ids=range(8),
)
def test_a_damaged_record_is_refused(done, name, content):
    for record in ("done.json", "failed.json"):
        (done.folder / record).unlink(missing_ok=True)
    (done.folder / name).write_bytes(content)
    words = f"{done.folder / name} is damaged .*: delete the folder {done.folder} to compute"
    with pytest.raises(RunError, match=words):
        Run(Toy()).compute()
    if name == "done.json":
        with pytest.raises(RunError, match=words):
            done.table("numbers")


def test_a_record_that_cannot_be_read_is_refused(done):
    (done.folder / "done.json").unlink()
    (done.folder / "done.json").mkdir()
    with pytest.raises(RunError, match=r"done\.json is damaged .*delete the folder"):
        Run(Toy()).compute()


def test_what_a_killed_write_left_is_cleared_away_and_nothing_else(done, tmp_path):
    (done.folder / "done.json").unlink()
    (done.folder / ".last.pt.x8fk2_1a.partial").write_bytes(b"half a state")
    (done.folder / ".ipynb_checkpoints").mkdir()
    (done.folder / ".notes").write_text("mine")
    (tmp_path / "elsewhere").touch()
    (done.folder / ".linked.partial").symlink_to(tmp_path / "elsewhere")
    (done.folder / ".folder.partial").mkdir()
    done.compute()
    left = {path.name for path in done.folder.glob(".*")}
    assert left == {".ipynb_checkpoints", ".notes", ".linked.partial", ".folder.partial"}


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


def test_of_a_run_that_is_refused_before_it_began_nothing_is_left(monkeypatch):
    refused = Run(TrainConfig(data="digits-small", epochs=1, batch=10_000))
    with pytest.raises(ValueError, match="batch"):
        refused.compute()
    assert not refused.folder.exists()
    monkeypatch.setattr("padalib.engine.runs.write_bytes", lambda *_: refused._read_json("no"))
    with pytest.raises(RunError, match="damaged"):  # before its config is written
        refused.compute()
    assert not refused.folder.exists()
    monkeypatch.undo()
    few = Run(Keeping()).compute()
    monkeypatch.setitem(DOES, "compute", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        Run(Keeping(keep=(1,))).compute()
    assert held_by(few) == {"last": 1.0, "table": 1.0} and not (few.folder / "again").exists()


def test_who_waits_for_a_folder_that_goes_away_holds_the_new_one(tmp_path):
    def wait():
        with lock.held(tmp_path / "run", "mine", wait=True):
            held.append(sorted(path.name for path in (tmp_path / "run").iterdir()))

    waiting, held = threading.Thread(target=wait), []
    with lock.held(tmp_path / "run", "mine", wait=True):
        waiting.start()
        with pytest.raises(lock.Busy), lock.held(tmp_path / "run", "mine", wait=False):
            pass
        assert (tmp_path / "run/holder.json").exists()
    waiting.join(60)
    assert held == [["holder.json", "lock"]] and not (tmp_path / "run").exists()


# --- more states are asked for ---


# What `Keeping` does. In a variable, because other code of a config's class is another run.
DOES = {"compute": lambda keeping, run: keeping.work(run), "content": lambda: 1.0}


@dataclass(frozen=True)
class Keeping(Toy):
    """A run that may keep states, of a content that does not depend on it."""

    keep: tuple = field(default=(), metadata={"identity": False})
    label = "keeping"

    @property
    def states(self):
        return [f"epoch_{epoch}" for epoch in self.keep]

    def compute(self, run):
        DOES["compute"](self, run)

    def work(self, run):
        run.resume(0)
        for name in self.states:
            run.save_state(name, {"content": DOES["content"]()})
        run.save_state("last", {"content": DOES["content"]()})
        run.write_table("numbers", pd.DataFrame({"content": [DOES["content"]()]}))
        run.log("computed")


def held_by(run):
    """The contents of a run's table and states."""
    names = [path.stem for path in run.folder.glob("*.pt")]
    states = {name: run.load_state(name)["content"] for name in names}
    return states | {"table": run.table("numbers").content[0]}


def test_a_finished_run_can_be_read_while_more_states_are_made(monkeypatch):
    few, seen = Run(Keeping()).compute(), []
    monkeypatch.setitem(DOES, "content", lambda: seen.append(held_by(few)) or 1.0)
    more = Run(Keeping(keep=(1,))).compute()
    assert seen == [{"last": 1.0, "table": 1.0}] * 3
    assert few.done and more.done and few.folder == more.folder
    assert held_by(few) == {"epoch_1": 1.0, "last": 1.0, "table": 1.0}
    assert not (few.folder / "again").exists() and more.progress() == ["computed"]


def test_a_failure_on_the_way_to_more_states_takes_nothing_away(monkeypatch):
    few, more = Run(Keeping()).compute(), Run(Keeping(keep=(1,)))
    monkeypatch.setitem(DOES, "compute", lambda _, run: run.fail("the moon is full"))
    for _ in range(2):
        words = f"keeping failed: the moon is full. Delete {few.folder / 'again'} to try it again"
        with pytest.raises(RunError, match=words):
            more.compute()
    assert few.compute().done and held_by(few) == {"last": 1.0, "table": 1.0}


class Killed(BaseException):
    """The process ends here: nothing that it would do afterwards is done."""


def killed_at(moment, call, monkeypatch):
    """Whether `call` was killed before its file operation number `moment`."""
    count = 0

    def dying(operation):
        def counted(*arguments, **named):
            nonlocal count
            count += 1
            if count > moment:
                raise Killed
            return operation(*arguments, **named)

        return counted

    with monkeypatch.context() as patch:
        for name in ("replace", "unlink", "mkdir", "rmdir", "fsync"):
            patch.setattr(os, name, dying(getattr(os, name)))
        try:
            call()
        except Killed:
            return True
    return False


@pytest.mark.parametrize("new", [1.0, 2.0], ids=["the same", "of another machine"])
def test_old_and_new_are_never_mixed_wherever_the_making_of_more_is_killed(monkeypatch, new):
    moment, alive = 0, False
    while not alive:
        old = Run(Keeping(keep=(0,))).compute()
        with monkeypatch.context() as patch:
            patch.setitem(DOES, "content", lambda: new)
            more = Run(Keeping(keep=(1,)))
            alive = not killed_at(moment, more.compute, monkeypatch)
            found = held_by(Run(Keeping()).compute())  # as another notebook does meanwhile
            assert set(found.values()) in ({1.0}, {new}), moment
            assert {"last", "table"} <= set(found)
            more.compute()
            assert held_by(more) == {name: new for name in held_by(more)}
            assert {"epoch_1", "last", "table"} <= set(held_by(more))
            assert ("epoch_0" in held_by(more)) == (new == 1.0)
        assert more.done and not list(old.folder.glob(".*"))
        shutil.rmtree(old.folder)
        moment += 1
    assert moment > 20


def test_a_run_that_lacks_states_in_the_end_is_an_error(monkeypatch):
    run = Run(Keeping(keep=(1,)))
    monkeypatch.setitem(DOES, "compute", Toy.compute)
    with pytest.raises(RunError, match="keeping ended without the states epoch_1, which its conf"):
        run.compute()
    assert not run.done


def test_a_training_that_is_asked_for_more_gives_the_same_and_stays_readable():
    few = TrainConfig(data="digits-small", epochs=2, batch=512)
    run = Run(few).compute()
    curves = (run.folder / "curves.csv").read_bytes()
    more = Run(dataclasses.replace(few, keep=(0, 1))).compute()
    assert more.folder == run.folder and (run.folder / "curves.csv").read_bytes() == curves
    assert more.load_state("epoch_1")["epoch"] == 1 and more.load_state("last")["epoch"] == 2


# --- progress ---


def test_a_log_has_as_many_lines_as_ticks_are_behind(done):
    assert done.progress() == ["computed"]
    done.log("two\nlines")
    assert done.progress() == ["computed", "two lines"]
    done.resume(3)  # it was cut between a checkpoint and its line
    assert done.progress() == ["computed", "two lines", "(cut before its line)"]
    done.resume(1)  # it goes on from further back
    assert done.progress() == ["computed"]


def test_a_training_that_goes_on_logs_each_epoch_once():
    config = TrainConfig(data="digits-small", epochs=3, batch=512)
    run = Run(config).compute()
    (run.folder / "done.json").unlink()
    (run.folder / "progress.log").write_text("epoch 1\nepoch 2\nepoch 3\nepoch 4, of long ago\n")
    run.compute()
    assert len(run.progress()) == 3


@pytest.mark.parametrize("label", ["x" * 1000, "\udcff\udcfe", "é" * 300, "../../etc", ".", "a/b"])
def test_any_label_gives_a_folder_in_its_place(label, monkeypatch):
    monkeypatch.setattr(Toy, "label", label)
    run = Run(Toy()).compute()
    run.log(label)
    assert run.done and run.folder.parent == data_root() / "runs"
    assert run.folder.name.endswith(run.key) and len(run.folder.name) < 130


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


def test_two_processes_agree_on_the_key_and_compute_a_run_once(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONHASHSEED", "1")
    other = jobs.python("-c", ANOTHER_PROCESS, tmp_path)
    run = Run(Toy("meet", str(tmp_path))).compute()  # goes on when the other has asked for it too
    out, _ = other.communicate(timeout=120)
    assert out.split() == [key(PA_DA), "1", str(len(TABLE))]
    assert computations(run) == 1
