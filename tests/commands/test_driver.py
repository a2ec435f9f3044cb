"""The driver, on small notebooks; the kernels are real."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import filelock
import nbformat
import pytest
from made_up import outputs, write
from nbformat.v4 import new_code_cell

from padalib import spaces, study
from padalib.cli import main
from padalib.commands import driver, environment
from padalib.commands.notebooks import NotebookError
from padalib.engine import launch, paths
from padalib.engine.runs import RunError
from padalib.study import scales


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """An empty project, in a folder whose name needs care; no study has runs."""
    root = tmp_path / "a {project}"
    (root / "notebooks").mkdir(parents=True)
    monkeypatch.setattr(paths, "project_root", lambda: root)
    monkeypatch.setattr(driver, "studies", lambda: [])
    return root


@pytest.mark.parametrize("name", scales.SCALES)
def test_every_scale_lists_the_runs_of_all_its_spaces(name, monkeypatch):
    if any(each.listed for each in (scales.get(name), *scales.get(name).beside)):
        pytest.skip("what is ranked is read from a truth table, which is no part of the project")
    seen = []
    monkeypatch.setattr(launch, "grid", lambda configs, workers: seen.extend(configs))
    driver.compute_ahead(name, None)
    scale = scales.get(name)
    asked = {spaces.label(each.space) for each in (scale, *scale.beside) if each.methods}
    assert asked <= {spaces.label(getattr(c, "train", c).space) for c in seen}


SAVE = (
    "import pathlib\n"
    "def save(name, text='x'):\n"
    "    path = pathlib.Path('../build') / scale / name\n"
    "    path.parent.mkdir(parents=True, exist_ok=True)\n"
    "    path.write_text(text)\n"
)


def test_a_notebook_that_some_scale_names_is_run_by_such_scales_only(root, capfd, monkeypatch):
    for number in ("01", "05", "09"):
        write(root / f"notebooks/{number}_x.ipynb", "pass")
    smoke = scales.SCALES["smoke"]
    own = {"many": replace(smoke, name="many", notebooks=("05",), common=False)}
    own |= {"both": replace(smoke, name="both", notebooks=("05",))}
    own |= {"none": replace(smoke, name="none", notebooks=("06",), common=False), "smoke": smoke}
    monkeypatch.setattr(scales, "SCALES", own | {"smoke": replace(smoke, notebooks=())})
    found = {name: [path.stem[:2] for path in driver.of_scale(name)] for name in ("many", "both")}
    assert found == {"many": ["05"], "both": ["01", "05", "09"]}
    assert [path.stem[:2] for path in driver.of_scale("smoke")] == ["01", "09"]
    assert main(["run", "--scale", "none"]) == 2
    assert "scale none runs 06_*.ipynb, and notebooks/ has no such" in capfd.readouterr().err
    assert main(["run", str(root / "notebooks/05_x.ipynb"), "--scale", "smoke"]) == 2
    words = "05_x.ipynb is not for scale smoke, but for many, both: add --scale many"
    assert words in capfd.readouterr().err


def test_runs_in_order_and_says_how_long_each_took(root, capfd):
    folder = root / "notebooks"
    look = (
        "import os\n"
        "env = os.environ\n"
        "print('SAW', scale, redraw, env['PADALIB_HEADLESS'], env['PADALIB_WORKERS'])\n"
    )
    write(folder / "01_b.ipynb", look)
    write(folder / "00_a.ipynb", "print('FIRST', scale)", parameters="scale = 'laptop'")
    write(folder / "scratch.ipynb", "1 / 0")
    assert main(["run", "--scale", "smoke", "--workers", "3"]) == 0
    assert not {"PADALIB_HEADLESS", "PADALIB_WORKERS"} & set(os.environ)
    out, err = capfd.readouterr()
    assert out.index("00_a (1 of 2)") < out.index("FIRST smoke") < out.index("00_a: ")
    assert out.index("00_a: ") < out.index("01_b (2 of 2)") < out.index("SAW smoke False 1 3")
    assert err == ""
    assert sorted(p.name for p in (root / "build/smoke").glob("*.ipynb")) == [
        "00_a.ipynb",
        "01_b.ipynb",
    ]
    assert "SAW smoke" in outputs(root / "build/smoke/01_b.ipynb")


def test_times_are_read_by_people():
    assert [driver.duration(s) for s in (0.04, 59.94, 65.4, 3600)] == [
        "0.0 s",
        "59.9 s",
        "1 min 05 s",
        "60 min 00 s",
    ]


def test_redraw_goes_to_a_place_of_its_own_and_skips_what_does_not_declare_it(root, capfd):
    (root / "data/results/laptop").mkdir(parents=True)
    (root / "data/results/laptop/a.csv").touch()
    write(root / "notebooks/00_a.ipynb", "1 / 0", parameters="scale = 'laptop'")
    write(
        root / "notebooks/01_b.ipynb",
        "print(scale, redraw, seeds)",
        parameters="scale = 'laptop'\nredraw: bool = False\nseeds: list[int] = [3]",
    )
    assert main(["figures", "-p", "seeds", "[1, 2]", str(root / "notebooks/01_b.ipynb")]) == 0
    assert main(["figures"]) == 0
    out = capfd.readouterr().out
    assert "00_a: skipped" in out
    assert "laptop True [1, 2]" in out and "laptop True [3]" in out
    assert (root / "build/laptop/redrawn/01_b.ipynb").exists()
    assert not list((root / "build/laptop").glob("*.ipynb"))


def test_nothing_published_is_nothing_to_redraw(root, capfd):
    write(root / "notebooks/00_a.ipynb", "print('ran')")
    assert main(["figures", "--scale", "smoke"]) == 2
    out, err = capfd.readouterr()
    assert out == "" and "nothing is published at scale smoke" in err


def test_failing_cell_is_named_and_the_copy_kept(root, capfd):
    write(root / "notebooks/00_a.ipynb", "print('before')", "x = 3\nx / 0", "print('after')")
    write(root / "notebooks/01_b.ipynb", "print('next')")
    assert main(["run", "--scale", "smoke"]) == 1
    out, err = capfd.readouterr()
    assert err.startswith(
        "error: 00_a.ipynb, cell 5 (`x = 3`): ZeroDivisionError: division by zero"
    )
    assert "Traceback" not in err
    assert "next" not in out
    assert "before" in outputs(root / "build/smoke/00_a.ipynb")
    assert "after" not in outputs(root / "build/smoke/00_a.ipynb")


def test_dead_kernel_is_named(root, capfd):
    write(root / "notebooks/00_a.ipynb", "import os", "os.kill(os.getpid(), 9)", "print('after')")
    assert main(["run", "--scale", "smoke"]) == 1
    assert (
        "00_a.ipynb, cell 5 (`os.kill(os.getpid(), 9)`): the kernel died" in capfd.readouterr().err
    )


@pytest.mark.parametrize(
    ("line", "raised"),
    [("sys.exit(0)", "SystemExit"), ("sys.exit()", "SystemExit"), ("raise SystemExit", "System")],
)
def test_a_notebook_that_ends_early_has_failed(root, capfd, line, raised):
    write(root / "notebooks/00_a.ipynb", "import sys", line, "print('after')")
    assert main(["run", "--scale", "smoke"]) == 1
    out, err = capfd.readouterr()
    assert f"\nerror: 00_a.ipynb, cell 5 (`{line}`): {raised}" in f"\n{err}"
    assert "ended the notebook early" in err
    assert "after" not in out
    assert driver.record(root / "build/smoke") == {}


def test_a_cell_that_is_skipped_has_failed(root, capfd):
    path = write(root / "notebooks/00_a.ipynb", "print('before')", "print('heavy')")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[-1].metadata.tags = ["skip-execution"]
    nbformat.write(notebook, path)
    assert main(["run", "--scale", "smoke"]) == 1
    assert "cell 5 (`print('heavy')`): this cell was not run" in capfd.readouterr().err


def test_an_interrupt_is_one_line(root, capfd):
    write(root / "notebooks/00_a.ipynb", "raise KeyboardInterrupt", "print('after')")
    assert main(["run", "--scale", "smoke"]) == 130
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert "nothing is lost" in line and "same command again" in line


def test_all_are_checked_before_any_is_run(root, capfd):
    write(root / "notebooks/00_a.ipynb", "print('ran')")
    write(root / "notebooks/01_b.ipynb", parameters=None)
    assert main(["run", "--scale", "smoke"]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert "01_b.ipynb has 0 cells tagged `parameters`" in err
    assert not (root / "build").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--scale", "smoke", "-p", "sede", "3"], "declares no parameter 'sede'"),
        (["run", "-p", "redraw", "false"], "redraw is set by `padalib figures` instead"),
        (["run", "-p", "workers", "two"], "workers is set by --workers instead"),
        (["run", "-p", "scale", "smoke"], "scale is set by --scale instead"),
        (["run", "-p", "seeds", "1", "-p", "seeds", "2"], "-p seeds is given twice"),
        (["run", "-p", "seeds", "two"], "seeds is declared as int, got 'two'"),
        (["run", "-p", "seeds", "True"], "seeds is declared as int, got True"),
        (["run", "-p", "fast", "false"], "fast is declared as bool (write True or False)"),
        (["run", "--scale", "huge"], "huge"),
        (["html", "--scale", "smoke"], "run `make reproduce SCALE=smoke`"),
        (["html", "--scale", "huge"], "unknown scale 'huge'"),
        (["html", "--scale", ".."], "unknown scale '..'"),
        (["compare", "--scale", "huge"], "unknown scale 'huge'"),
        (["compare", "--scale", "smoke"], "run `make reproduce SCALE=smoke`"),
        (["publish", "--scale", "smoke"], "scale smoke is not published"),
        (["check", "missing.ipynb"], "cannot read missing.ipynb"),
        (["check", "1"], "no notebook is called 01: choose 00"),
    ],
)
def test_bad_requests_are_sentences(root, capsys, arguments, message):
    write(
        root / "notebooks/00_a.ipynb",
        "used = scale, seeds, fast",
        parameters="scale = 'laptop'\nseeds = 3\nfast: bool = True",
    )
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert message in err
    assert "Traceback" not in err
    assert not (root / "build").exists()


def test_a_notebook_is_found_by_its_number(root, capfd, monkeypatch):
    for number in range(2):
        write(root / f"notebooks/{number:02}_a.ipynb", f"print(scale, 'number {number}')")
    assert main(["run", "--scale", "smoke", "1"]) == 0
    said = capfd.readouterr().out
    assert "smoke number 1" in said and "number 0" not in said
    (root / "01").write_text("a file of that name is taken as it is")
    monkeypatch.chdir(root)
    assert main(["check", "01"]) == 2 and main(["check", "00"]) == 0
    assert "\n1 notebook can be run\n" in "\n" + capfd.readouterr().out
    assert main(["check", "01"]) == 2
    assert "01 is not a valid notebook" in capfd.readouterr().err


def test_a_notebook_is_found_from_another_folder_by_its_path_in_the_project(
    root, tmp_path, capfd, monkeypatch
):
    write(root / "notebooks/00_a.ipynb", "print(scale, 'of the project')")
    monkeypatch.chdir(tmp_path)
    assert main(["run", "--scale", "smoke", "notebooks/00_a.ipynb"]) == 0
    assert "smoke of the project" in capfd.readouterr().out
    write(tmp_path / "notebooks/00_a.ipynb", parameters=None)  # the nearer one is meant
    assert main(["check", "notebooks/00_a.ipynb"]) == 2 and main(["check", "00"]) == 0
    assert main(["check", "notebooks/01_b.ipynb"]) == 2
    assert "cannot read notebooks/01_b.ipynb" in capfd.readouterr().err


def test_a_text_is_passed_as_text(root, capfd):
    parameters = "scale = 'laptop'\nname: str = 'a'\nat: float | None = None"
    write(root / "notebooks/00_a.ipynb", "print(scale, [name, at])", parameters=parameters)
    assert main(["run", "--scale", "smoke", "-p", "name", "3", "-p", "at", "2"]) == 0
    assert "smoke ['3', 2]" in capfd.readouterr().out


def test_no_notebooks(root, capsys):
    (root / "notebooks").rmdir()
    assert main(["check"]) == 2
    assert "run this from a clone" in capsys.readouterr().err


def test_unwritable_build(root, capsys):
    write(root / "notebooks/00_a.ipynb")
    (root / "build").write_text("a file in the way")
    assert main(["run", "--scale", "smoke"]) == 2
    assert "cannot write to the folder" in capsys.readouterr().err


def test_one_driver_at_a_time(root, capsys):
    write(root / "notebooks/00_a.ipynb")
    (root / "build/smoke").mkdir(parents=True)
    with filelock.FileLock(root / "build/smoke/.driver.lock"):
        assert main(["run", "--scale", "smoke"]) == 2
    assert "another process" in capsys.readouterr().err


@pytest.mark.parametrize("workers", ["0", "-1", "two", "²"])
def test_bad_workers(capsys, workers):
    with pytest.raises(SystemExit):
        main(["run", "--workers", workers])
    assert "must be a whole number from 1" in capsys.readouterr().err


def test_kernel_of_another_environment(tmp_path, monkeypatch):
    folder = tmp_path / "kernels" / "python3"
    folder.mkdir(parents=True)
    argv = '["/elsewhere/bin/python", "-m", "ipykernel_launcher", "-f", "{connection_file}"]'
    (folder / "kernel.json").write_text(
        f'{{"argv": {argv}, "display_name": "x", "language": "python"}}'
    )
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    with pytest.raises(NotebookError, match="another environment; run `make setup`"):
        environment.check_kernel()
    argv = argv.replace("/elsewhere/bin/python", sys.executable)
    (folder / "kernel.json").write_text(
        f'{{"argv": {argv}, "display_name": "x", "language": "python"}}'
    )
    environment.check_kernel()


def test_a_scale_that_needs_a_gpu_says_so_before_anything_runs(root, capfd, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(scales.Scale, "step_seconds", lambda self: 2.0)
    write(root / "notebooks/00_a.ipynb", "print('ran')")
    assert main(["run", "--scale", "paper"]) == 2
    out, err = capfd.readouterr()
    assert out == "" and "scale paper is made for a GPU" in err
    days = 2.0 * 9 * 250 * 50_000 / 256 / 86400
    assert f"about {days:.0f} days" in err and "PADALIB_FORCE=1" in err


# --- the record ---


def test_the_record_says_what_each_notebook_made(root):
    path = write(root / "notebooks/00_a.ipynb", f"{SAVE}save('results/a.csv'), save('.hidden')")
    write(root / "notebooks/01_b.ipynb", f"{SAVE}save('results/b.csv'); save('figures/01_b.png')")
    (root / "build/smoke/results").mkdir(parents=True)
    (root / "build/smoke/results/of_yesterday.csv").touch()
    assert main(["run", "--scale", "smoke"]) == 0
    known = driver.record(root / "build/smoke")
    assert {name: sorted(own["files"]) for name, own in known.items()} == {
        "00_a": ["results/a.csv"],
        "01_b": ["figures/01_b.png", "results/b.csv"],
    }
    assert known["00_a"]["code"] == driver.digest(path) and known["00_a"]["parameters"] == {}
    write(path, f"{SAVE}save('results/b.csv')", "1 / 0")
    assert main(["run", "--scale", "smoke", str(path)]) == 1
    assert set(driver.record(root / "build/smoke")) == {"01_b"}
    write(path, f"{SAVE}save('results/b.csv')")
    assert main(["run", "--scale", "smoke", str(path)]) == 0
    known = driver.record(root / "build/smoke")
    assert {name: sorted(own["files"]) for name, own in known.items()} == {
        "00_a": ["results/b.csv"],
        "01_b": ["figures/01_b.png"],
    }


def test_a_digest_follows_code_alone(root):
    path = write(root / "notebooks/00_a.ipynb", "print(1)")
    before = driver.digest(path)
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[0].source = "# Another title"
    notebook.cells[-1].outputs = [nbformat.v4.new_output("stream", text="1")]
    nbformat.write(notebook, path)
    assert driver.digest(path) == before
    notebook.cells.append(new_code_cell("print(2)"))
    nbformat.write(notebook, path)
    assert driver.digest(path) != before


@pytest.mark.parametrize("text", ["", "[]", "null", "{"])
def test_a_damaged_record_is_no_record(tmp_path, text):
    (tmp_path / driver.RECORD).write_text(text)
    assert driver.record(tmp_path) == {}
    (tmp_path / driver.RECORD).write_text(json.dumps({"00_a": {}}))
    assert driver.record(tmp_path) == {"00_a": {}}


# --- runs before the first notebook ---


def test_the_runs_of_all_studies_come_first_in_one_grid(root, monkeypatch, capfd):
    asked = []

    def grid(configs, workers=None):
        print("GRID", os.environ.get("PADALIB_HEADLESS"))
        asked.append((list(configs), workers))

    def module(name):
        own = SimpleNamespace(configs=lambda scale: [f"{name} {scale.name}", f"{name} 2"])
        own.__name__ = f"padalib.study.{name}"
        return own

    asking = replace(scales.get("laptop"), name="smoke", studies=("one", "two"), beside=())
    beside = replace(asking, name="beside", studies=("two",))
    monkeypatch.setitem(scales.SCALES, "smoke", replace(asking, beside=(beside,)))
    monkeypatch.setattr(driver, "studies", lambda: [*map(module, ("none", "one", "two"))])
    monkeypatch.setattr(launch, "grid", grid)
    path = write(root / "notebooks/00_a.ipynb", "print('NOTEBOOK')")
    assert main(["run", "--scale", "smoke", "--workers", "2"]) == 0
    assert asked == [(["one smoke", "one 2", "two smoke", "two 2", "two beside", "two 2"], 2)]
    out = capfd.readouterr().out
    assert out.index("GRID None") < out.index("NOTEBOOK")
    assert main(["run", "--scale", "smoke", str(path)]) == 0
    assert len(asked) == 1, "one notebook needs not the runs of all"


def test_timings_come_after_all_else_and_one_at_a_time(monkeypatch):
    asked, smoke = [], scales.get("smoke")
    timed = SimpleNamespace(configs=lambda scale: ["a"], timings=lambda scale: ["timing"])
    main_only = SimpleNamespace(configs=lambda scale: ["b"], timings=lambda scale: [])
    for name, module in (("timed", timed), ("main_only", main_only)):
        module.__name__ = f"padalib.study.{name}"
    own = replace(smoke, studies=("timed", "main_only"), beside=())
    monkeypatch.setitem(scales.SCALES, "smoke", own)
    monkeypatch.setattr(driver, "studies", lambda: [timed, main_only])
    monkeypatch.setattr(launch, "grid", lambda *given: asked.append(given))
    driver.compute_ahead("smoke", 2)
    assert asked == [(["a", "b"], 2), (["timing"], 1)]


def test_a_run_that_fails_stops_before_the_first_notebook(root, monkeypatch, capfd):
    def grid(configs, workers=None):
        raise RunError("1 of 3 runs failed, the others are finished and kept:\n- PA seed 0: why")

    monkeypatch.setattr(launch, "grid", grid)
    write(root / "notebooks/00_a.ipynb", "print('NOTEBOOK')")
    assert main(["run", "--scale", "smoke"]) == 1
    out, err = capfd.readouterr()
    assert "NOTEBOOK" not in out
    assert err == "error: 1 of 3 runs failed, the others are finished and kept:\n- PA seed 0: why\n"


def test_studies_are_the_modules_with_configs(tmp_path, monkeypatch):
    monkeypatch.setattr(study, "__path__", [str(tmp_path)])
    for name in ("made_up_with", "made_up_without", "made_up_folder"):
        monkeypatch.delitem(sys.modules, f"padalib.study.{name}", raising=False)
    (tmp_path / "made_up_with.py").write_text("def configs(scale):\n    return [scale]\n")
    (tmp_path / "made_up_without.py").write_text("raise SystemError('was imported')\n")
    (tmp_path / "made_up_folder").mkdir()
    (tmp_path / "made_up_folder/__init__.py").write_text(
        "def configs(scale):\n    return [-scale]\n"
    )
    assert [found.configs(3) for found in driver.studies()] == [[-3], [3]]
