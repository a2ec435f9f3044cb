"""Packs: what arrives is what was computed, and what was edited does not arrive."""

import hashlib
import json
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from padalib.engine import launch, packs
from padalib.engine.lock import held
from padalib.engine.paths import data_root
from padalib.engine.runs import Run, RunError
from padalib.ranking.scores import ScoreConfig
from padalib.train import TrainConfig, load

ROOT = Path(__file__).resolve().parents[2]
TABLE = pd.DataFrame({"code": ["0-0", "0-1"], "loss": [0.1 + 0.2, 5e-324]})


@dataclass(frozen=True)
class Toy:
    """A run that takes no time."""

    number: int = 0
    cut: bool = False
    label = "toy & co"
    ticks = 1

    def inputs(self):
        return {"data": "abc"}

    def compute(self, run):
        if self.cut:
            run.save_state("last", {"epoch": 1})
            raise KeyError("cut")
        run.log("computed")
        run.write_table("numbers", TABLE.assign(number=self.number))
        run.save_state("last", {"epoch": 3})


@pytest.fixture
def packed(tmp_path):
    """A pack of two runs, which are no longer here."""
    for number in (1, 2):
        Run(Toy(number)).compute()
    packs.pack(tmp_path / "two.zip")
    shutil.rmtree(data_root() / "runs")
    return tmp_path / "two.zip"


def rewritten(file, change):
    """The same pack with other files: `change` gets name -> content."""
    with zipfile.ZipFile(file) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def test_runs_arrive_without_their_weights(packed):
    said = packs.unpack(packed)
    assert "2 finished runs" in said and said.endswith("2 new")
    assert "PADALIB_DATA" not in said  # they are of this machine
    for number in (1, 2):
        run = Run(Toy(number))
        assert run.done and not run.has_state("last")
        pd.testing.assert_frame_equal(run.table("numbers"), TABLE.assign(number=number))
        assert run.compute().progress() == ["computed"]


def test_runs_of_another_machine_are_said_to_be(packed, monkeypatch):
    monkeypatch.setattr(packs, "versions", lambda device: {"torch": "1.0", "device": "an abacus"})
    said = packs.unpack(packed)
    assert "this machine is torch 1.0 on an abacus" in said and "set PADALIB_DATA" in said


@pytest.mark.parametrize("device, asked, gpu, told", [
    ("cuda", None, False, "those of device 'cuda' are found where PADALIB_DEVICE=cuda is set"),
    ("cuda", "cuda", False, ""), ("cuda", None, True, ""), ("cpu", None, False, ""),
    ("cpu", None, True, "those of device 'cpu' are found where PADALIB_DEVICE=cpu is set"),
    ("cpu", "cpu", True, ""),
])  # fmt: skip
def test_what_another_device_computed_is_found_where_that_is_asked_for(
    device, asked, gpu, told, packed, monkeypatch
):
    def of(files):
        for name in [name for name in files if name.endswith("config.json")]:
            files[name] = files[name].replace(
                b'"kind"', b'"device": "%s", "kind"' % device.encode()
            )

    monkeypatch.setattr(packs, "_refuse", lambda *found: None)  # keys are of the real configs
    monkeypatch.setattr("torch.cuda.is_available", lambda: gpu)
    monkeypatch.setattr("torch.cuda.get_device_name", str)
    if asked:
        monkeypatch.setenv("PADALIB_DEVICE", asked)
    rewritten(packed, of)
    said = packs.unpack(packed)
    assert told in said and ("PADALIB_DEVICE" in said) == bool(told)
    assert ("of two kinds" in said) == (device == "cuda" and gpu)  # these were made on a CPU


def test_equal_runs_give_equal_bytes(packed, tmp_path):
    packs.unpack(packed)
    packs.pack(tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == packed.read_bytes()


def test_a_pack_that_was_unzipped_and_zipped_again_is_one(packed):
    with zipfile.ZipFile(packed, "a") as archive:
        for run in {name.partition("/")[0] for name in archive.namelist()}:
            archive.mkdir(run)
    assert "2 new" in packs.unpack(packed)


def test_what_is_here_stays(packed):
    here = Run(Toy(1)).compute()
    (here.folder / "mine.txt").write_text("mine")
    with pytest.raises(KeyError):
        Run(Toy(2, cut=True)).compute()
    begun = Run(Toy(2)).folder  # as if cut before its end
    shutil.copytree(Run(Toy(2, cut=True)).folder, begun)
    said = packs.unpack(packed)
    assert "1 here already" in said and "1 begun here" in said
    assert said.endswith(f"to have those begun from the pack, delete {begun} and unpack again")
    assert (here.folder / "mine.txt").exists() and here.has_state("last")
    assert not (begun / "done.json").exists()
    shutil.rmtree(begun)  # the remedy that it names
    assert "1 new" in packs.unpack(packed)


def test_a_run_that_is_being_computed_is_left_alone(packed):
    folder = Run(Toy(1)).folder
    with held(folder, "toy", wait=False):
        said = packs.unpack(packed)
    assert "1 being computed now" in said and "1 new" in said and "delete" not in said
    assert not (folder / "done.json").exists()


def test_what_its_owner_keeps_beside_a_run_is_not_packed(tmp_path):
    run = Run(Toy(1)).compute()
    (run.folder / "notes.csv").write_text("mine")
    shutil.copytree(run.folder, run.folder.with_name(f"{run.folder.name}.old"))
    assert "1 finished run, " in packs.pack(tmp_path / "one.zip")
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        assert len(archive.namelist()) == 4 and "notes" not in str(archive.namelist())


def test_what_was_computed_elsewhere_is_kept_when_it_is_computed_again(tmp_path, capfd):
    """Weights do not travel; those that are made here may be others, and their tables too."""
    train = TrainConfig("SPOS", space="mini", data="digits-small", epochs=1, batch=128)
    run = Run(train).compute()
    table = run.table("curves").assign(loss=9.0)  # as another processor would have had it
    content = table.to_csv(index=False).encode()
    record = run.record() | {"tables": {"curves": hashlib.sha256(content).hexdigest()}}
    record["versions"]["device"] = "another"
    (run.folder / "curves.csv").write_bytes(content)
    (run.folder / "done.json").write_text(json.dumps(record))
    (run.folder / "last.pt").unlink()
    assert Run(train).done
    again = Run(train.keeping(1)).compute()
    assert again.table("curves").loss.iloc[0] != 9
    kept = run.folder / "replaced"
    assert (kept / "curves.csv").read_bytes() == content
    assert json.loads((kept / "done.json").read_text())["versions"]["device"] == "another"
    said = capfd.readouterr().err
    assert "was computed again" in said and "on another had found" in said and str(kept) in said


def damage(files):
    first, second = sorted({name.partition("/")[0] for name in files})
    files[f"{first}/numbers.csv"] += b"x"
    record = json.loads(files[f"{second}/done.json"])
    record["tables"]["more"] = "0"
    files[f"{second}/done.json"] = json.dumps(record).encode()


def misname(files):
    for name in [*files]:
        run, _, own = name.partition("/")
        files[f"{run[:-1]}{'0' if run[-1] != '0' else '1'}/{own}"] = files.pop(name)


def smuggle(files):
    run = next(iter(files)).partition("/")[0]
    files[f"{run}/../../x.csv"] = b"x"
    files[f"{run}/last.pt"] = b"x"


def strip(files):
    for name in [name for name in files if name.endswith("config.json")]:
        del files[name]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (damage, ("2 of 2 runs", "numbers is not what the run wrote", "differ in more")),
        (misname, ("2 of 2 runs", "its config is of another run")),
        (smuggle, ("1 of 2 runs", "../../x.csv, last.pt cannot be there")),
        (strip, ("2 of 2 runs", "its config or its record is missing")),
    ],
)
def test_what_was_edited_is_refused_whole(packed, change, words):
    rewritten(packed, change)
    with pytest.raises(ValueError) as error:
        packs.unpack(packed)
    assert all(word in str(error.value) for word in words)
    assert not (data_root() / "runs").exists()


def test_what_is_no_pack_is_refused(tmp_path, packed):
    (tmp_path / "text.zip").write_text("hello")
    with pytest.raises(ValueError, match="no pack of runs"):
        packs.unpack(tmp_path / "text.zip")
    packed.write_bytes(packed.read_bytes()[:-100])
    with pytest.raises(ValueError, match="damaged"):
        packs.unpack(packed)
    with zipfile.ZipFile(tmp_path / "none.zip", "w"):
        pass
    with pytest.raises(ValueError, match="holds no runs"):
        packs.unpack(tmp_path / "none.zip")
    with pytest.raises(ValueError, match="there is no file"):
        packs.unpack(tmp_path / "nowhere.zip")
    with pytest.raises(ValueError, match="is there and is no pack"):
        packs.pack(tmp_path / "text.zip")
    assert (tmp_path / "text.zip").read_text() == "hello"
    with pytest.raises(ValueError, match="nothing to pack"):
        packs.pack(tmp_path / "new.zip")


def test_a_damaged_run_is_not_packed(tmp_path):
    run = Run(Toy(1)).compute()
    (run.folder / "numbers.csv").write_text("edited")
    with pytest.raises(ValueError, match="numbers is not what the run wrote"):
        packs.pack(tmp_path / "new.zip")
    assert not (tmp_path / "new.zip").exists()


def test_weights_that_did_not_come_along_are_trained_again(tmp_path):
    train = TrainConfig("SPOS", space="mini", data="digits-small", epochs=1, batch=128)
    score = ScoreConfig(train)
    (scored,) = launch.grid([score], 1)
    before = scored.table("scores")
    packs.pack(tmp_path / "runs.zip")
    shutil.rmtree(data_root() / "runs")
    packs.unpack(tmp_path / "runs.zip")
    assert Run(train).done and Run(score).done  # nothing is computed for what is known
    with pytest.raises(RunError, match=r"last\.pt is missing: .*`launch\.grid\(\[config\.keeping"):
        load(Run(train))
    shutil.rmtree(Run(score).folder)
    (scored,) = launch.grid([score], 1)
    pd.testing.assert_frame_equal(scored.table("scores"), before)
    assert Run(train).has_state("last")


@pytest.mark.parametrize("file", sorted((ROOT / "data/packs").glob("*.zip")), ids=lambda f: f.stem)
def test_packs_of_ours_are_whole(file):
    packs.unpack(file)
    folders = [*(data_root() / "runs").iterdir()]
    assert folders and all((folder / "done.json").exists() for folder in folders)
