"""Files whole or not at all, links that are not followed, and refusals with the right remedy."""

import errno
import fcntl
import os
import tempfile

import pytest
from jobs import Job

from padalib.engine import paths
from padalib.engine.files import RunError, write_bytes
from padalib.engine.runs import Run


def fail(number):
    def call(*_, **__):
        raise OSError(number, os.strerror(number))

    return call


# --- whole files or none ---


@pytest.mark.parametrize("call", ["tempfile.mkstemp", "os.fsync", "os.replace"])
@pytest.mark.parametrize(
    ("number", "words"),
    [
        (
            errno.ENOSPC,
            "the disk is full: cannot write {} .3 bytes.* Free some space, or set PA",
        ),
        (
            errno.EDQUOT,
            "the disk is full: cannot write {} .* PADALIB_DATA .* finished work is",
        ),
        (
            errno.EACCES,
            "cannot write {}: Permission denied. Make the folder writable, or set",
        ),
    ],
)
def test_a_write_that_fails_leaves_the_old_file_alone(monkeypatch, call, number, words):
    path = paths.data_root() / "folder" / "file"
    write_bytes(path, b"old")
    module, name = call.split(".")
    monkeypatch.setattr({"os": os, "tempfile": tempfile}[module], name, fail(number))
    with pytest.raises(RunError, match=words.format(path)):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == ["file"]


def test_an_interrupted_write_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_bytes(tmp_path / "file", b"new")
    assert os.listdir(tmp_path) == []


def test_a_write_replaces_the_file_and_is_readable_by_others(tmp_path):
    path = tmp_path / "folder" / "file"
    write_bytes(path, b"old and long")
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o444 == 0o444
    assert os.listdir(path.parent) == ["file"]


def test_a_name_as_long_as_they_may_be_can_be_written(tmp_path):
    write_bytes(tmp_path / ("x" * 255), b"new")
    assert os.listdir(tmp_path) == ["x" * 255]


def test_a_link_is_replaced_and_what_it_leads_to_stays(tmp_path):
    (tmp_path / "theirs").write_text("theirs")
    (tmp_path / "link").symlink_to("theirs")
    write_bytes(tmp_path / "link", b"new")
    assert (tmp_path / "theirs").read_text() == "theirs"
    assert (tmp_path / "link").read_bytes() == b"new" and not (tmp_path / "link").is_symlink()


# --- remedies ---


def test_moving_the_data_root_is_no_remedy_for_what_lies_elsewhere(tmp_path, monkeypatch):
    for number in (errno.ENOSPC, errno.EACCES):
        monkeypatch.setattr(os, "replace", fail(number))
        with pytest.raises(RunError) as caught:
            write_bytes(tmp_path / "figure.png", b"")
        assert "PADALIB_DATA" not in str(caught.value)


@pytest.mark.parametrize("way", ["parent", "itself"])
def test_what_is_in_the_way_is_to_be_moved(tmp_path, way):
    path = tmp_path / "folder" / "file"
    if way == "parent":
        path.parent.write_text("a file")
    else:
        path.mkdir(parents=True)
    with pytest.raises(RunError, match=f"cannot write {path}: .*is in the way: move it"):
        write_bytes(path, b"new")
    (path.parent if way == "parent" else path).rename(tmp_path / "moved")
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"


def test_a_data_root_that_is_a_file_is_named(tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("PADALIB_DATA", str(file))
    with pytest.raises(RunError, match=f"cannot write to {file}.*set PADALIB_DATA"):
        Run(Job("a")).compute()


def test_a_data_root_in_a_circle_of_links_is_named(tmp_path, monkeypatch):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    monkeypatch.setenv("PADALIB_DATA", str(tmp_path / "a"))
    with pytest.raises((ValueError, RunError), match=f"{tmp_path / 'a'}.*(set|remove)"):
        Run(Job("a")).compute()


def test_a_path_that_is_too_long_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PADALIB_DATA", str(tmp_path / ("x" * 300)))
    with pytest.raises(RunError, match=r"File name too long.* set PADALIB_DATA to .* shorter path"):
        Run(Job("a")).compute()


# --- locks ---


def test_a_lock_that_cannot_be_taken_is_named():
    run = Run(Job("a"))
    (run.folder / "lock").mkdir(parents=True)  # opening it for writing fails, even for root
    with pytest.raises(RunError, match=f"cannot write to {run.folder} and lock it: .*move it"):
        run.compute()


def test_a_disk_without_locks_is_named(monkeypatch):
    monkeypatch.setattr(fcntl, "flock", fail(errno.ENOLCK))
    with pytest.raises(RunError, match=r"lock it: .*keeps no locks.* set PADALIB_DATA to a folder"):
        Run(Job("a")).compute()


# --- links ---


@pytest.fixture
def theirs(tmp_path):
    """A folder of somebody else's, and what is in it."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    for name in (".hidden", ".x.partial", "holder.json", "lock", "progress.log", "numbers.csv"):
        (folder / name).write_text("theirs")
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_nothing_is_written_through_a_run_folder_that_is_a_link(theirs):
    run, before = Run(Job("a")), contents(theirs)
    run.folder.parent.mkdir(parents=True)
    run.folder.symlink_to(theirs)
    with pytest.raises(RunError, match=f"{run.folder} is a link to {theirs}, .*remove the link"):
        run.compute()
    assert contents(theirs) == before
    run.folder.unlink()
    assert run.compute().done


def test_a_finished_run_may_be_read_through_a_link(theirs):
    run = Run(Job("a")).compute()
    run.folder.rename(theirs / "run")
    run.folder.symlink_to(theirs / "run")
    before = contents(theirs / "run")
    assert len(Run(Job("a")).compute().table("process")) == 1
    assert contents(theirs / "run") == before


@pytest.mark.parametrize("name", ["lock", "holder.json", "progress.log", "process.csv"])
def test_files_of_a_run_that_are_links_lead_nowhere(theirs, name):
    run, before = Run(Job("a")), contents(theirs)
    run.folder.mkdir(parents=True)
    (run.folder / name).symlink_to(theirs / name)
    if name in ("lock", "progress.log"):  # opened, not replaced
        with pytest.raises(RunError, match=f"cannot write .*{run.folder}.*remove the link"):
            run.compute()
        (run.folder / name).unlink()
    assert run.compute().done
    assert contents(theirs) == before


def test_a_run_folder_in_a_circle_of_links_is_named():
    run = Run(Job("a"))
    run.folder.parent.mkdir(parents=True)
    run.folder.symlink_to(run.folder)
    with pytest.raises(RunError, match=f"{run.folder} is a link to .*remove the link"):
        run.compute()
