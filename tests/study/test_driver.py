"""The driver, on small notebooks; the kernels are real."""

import os
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from padalib.study import driver, scales
from padalib.study.driver import NotebookError, check, declared, main

PARAMETERS = "scale = 'laptop'  # how large\nredraw: bool = False"


def write(path: Path, *sources: str, parameters: str | None = PARAMETERS, kernel="python3") -> Path:
    cells = [new_markdown_cell("# A question")]
    if parameters is not None:
        cells.append(new_code_cell(parameters, metadata={"tags": ["parameters"]}))
    cells += [new_code_cell(source) for source in sources]
    spec = {"name": kernel, "display_name": "Python 3 (ipykernel)", "language": "python"}
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": spec}), path)
    return path


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """An empty project, in a folder whose name needs care."""
    root = tmp_path / "a {project}"
    (root / "notebooks").mkdir(parents=True)
    monkeypatch.setattr(driver, "project_root", lambda: root)
    monkeypatch.setattr(driver, "figures_dir", lambda scale: root / "figures" / scale)
    return root


def outputs(path: Path) -> str:
    cells = nbformat.read(path, as_version=4).cells
    found = [out for cell in cells for out in cell.get("outputs", [])]
    return "".join(out.get("text", "") for out in found)


def test_runs_in_order_and_lists_the_figures(root, capfd):
    folder = root / "notebooks"
    draw = (
        "import os, pathlib\n"
        "env = os.environ\n"
        "print('SAW', scale, redraw, env['PADALIB_HEADLESS'], env['PADALIB_WORKERS'])\n"
        "figure = pathlib.Path('../figures') / scale / '01_b.png'\n"
        "figure.parent.mkdir(parents=True)\n"
        "_ = figure.write_bytes(b'png')"
    )
    write(folder / "01_b.ipynb", draw)
    write(folder / "00_a.ipynb", "print('FIRST', scale)", parameters="scale = 'laptop'")
    write(folder / "scratch.ipynb", "1 / 0")
    assert main(["run", "--scale", "smoke", "--workers", "3"]) == 0
    assert not {"PADALIB_HEADLESS", "PADALIB_WORKERS"} & set(os.environ)
    out, err = capfd.readouterr()
    assert out.index("FIRST smoke") < out.index("SAW smoke False 1 3") < out.index("01_b.png")
    assert err == ""
    assert sorted(p.name for p in (root / "build/smoke").iterdir()) == ["00_a.ipynb", "01_b.ipynb"]
    assert "SAW smoke" in outputs(root / "build/smoke/01_b.ipynb")


def test_redraw_skips_what_does_not_declare_it(root, capfd):
    write(root / "notebooks/00_a.ipynb", "1 / 0", parameters="scale = 'laptop'")
    write(
        root / "notebooks/01_b.ipynb", "print(redraw, seeds)", parameters=f"{PARAMETERS}\nseeds=3"
    )
    assert main(["run", "--redraw", "-p", "seeds", "[1, 2]"]) == 0
    out = capfd.readouterr().out
    assert "00_a: skipped" in out
    assert "True [1, 2]" in out
    assert "no figure was written" in out


def test_failing_cell_is_named_and_the_copy_kept(root, capfd):
    write(root / "notebooks/00_a.ipynb", "print('before')", "x = 3\nx / 0", "print('after')")
    write(root / "notebooks/01_b.ipynb", "print('next')")
    assert main(["run", "--scale", "smoke"]) == 1
    out, err = capfd.readouterr()
    assert err.startswith(
        "error: 00_a.ipynb, cell 4 (`x = 3`): ZeroDivisionError: division by zero"
    )
    assert "Traceback" not in err
    assert "next" not in out
    assert "before" in outputs(root / "build/smoke/00_a.ipynb")
    assert "after" not in outputs(root / "build/smoke/00_a.ipynb")


def test_dead_kernel_is_named(root, capfd):
    write(root / "notebooks/00_a.ipynb", "import os", "os.kill(os.getpid(), 9)", "print('after')")
    assert main(["run", "--scale", "smoke"]) == 1
    assert (
        "00_a.ipynb, cell 4 (`os.kill(os.getpid(), 9)`): the kernel died" in capfd.readouterr().err
    )


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
        (["run", "--scale", "huge"], "huge"),
        (["html", "--scale", "smoke"], "run `make reproduce SCALE=smoke`"),
        (["check", "missing.ipynb"], "cannot read missing.ipynb"),
    ],
)
def test_bad_requests_are_sentences(root, capsys, arguments, message):
    write(root / "notebooks/00_a.ipynb")
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert message in err
    assert "Traceback" not in err


def test_no_notebooks(root, capsys):
    (root / "notebooks").rmdir()
    assert main(["check"]) == 2
    assert "run this from a clone" in capsys.readouterr().err


def test_unwritable_build(root, capsys):
    write(root / "notebooks/00_a.ipynb")
    (root / "build").write_text("a file in the way")
    assert main(["run", "--scale", "smoke"]) == 2
    assert "cannot make the folder" in capsys.readouterr().err


@pytest.mark.parametrize("workers", ["0", "-1", "two"])
def test_bad_workers(capsys, workers):
    with pytest.raises(SystemExit):
        main(["run", "--workers", workers])
    assert "must be a whole number from 1" in capsys.readouterr().err


def test_annotated_parameters_count_as_declared(tmp_path):
    path = write(
        tmp_path / "a.ipynb", parameters="# a comment\nscale: str = 'laptop'\nlr: float = -1e-3"
    )
    assert declared(path) == {"scale": "laptop", "lr": -1e-3}
    check(path, ["scale", "lr"])
    with pytest.raises(
        NotebookError, match="no parameter 'seed'; its parameters cell has scale, lr"
    ):
        check(path, ["seed"])


@pytest.mark.parametrize(
    "line",
    ["scale: str", "scale = str(3)", "import os", "%time", "a, b = 1, 2", "a += 1", "print()"],
)
def test_parameters_are_literals(tmp_path, line):
    path = write(tmp_path / "a.ipynb", parameters=f"redraw = False\n{line}")
    with pytest.raises(
        NotebookError, match="may hold only comments and `name = literal`, not"
    ) as info:
        declared(path)
    assert line.split()[0] in str(info.value)


def test_one_parameters_cell(tmp_path):
    path = write(tmp_path / "a.ipynb")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(new_code_cell("x = 1", metadata={"tags": ["parameters"]}))
    nbformat.write(notebook, path)
    with pytest.raises(NotebookError, match="has 2 cells tagged `parameters`"):
        check(path, ["scale"])


def test_kernel_must_be_python3(tmp_path):
    path = write(tmp_path / "a.ipynb", kernel="my-env")
    with pytest.raises(NotebookError, match="asks for kernel 'my-env', needs 'python3'"):
        check(path, ["scale"])


@pytest.mark.parametrize("text", ["", "[]", "{}", "not json", '{"nbformat": 3, "cells": []}'])
def test_not_a_notebook(tmp_path, text):
    path = tmp_path / "a.ipynb"
    path.write_text(text)
    with pytest.raises(NotebookError, match=r"a\.ipynb is not a valid notebook"):
        check(path, [])


def test_missing_cell_id(tmp_path):
    path = write(tmp_path / "a.ipynb")
    path.write_text(path.read_text().replace('"id"', '"idea"'))
    with pytest.raises(NotebookError, match="not a valid notebook"):
        check(path, [])


def test_kernel_of_another_environment(tmp_path, monkeypatch):
    folder = tmp_path / "kernels" / "python3"
    folder.mkdir(parents=True)
    argv = '["/elsewhere/bin/python", "-m", "ipykernel_launcher", "-f", "{connection_file}"]'
    (folder / "kernel.json").write_text(
        f'{{"argv": {argv}, "display_name": "x", "language": "python"}}'
    )
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    with pytest.raises(NotebookError, match="another environment; run `make setup`"):
        driver.check_kernel()
    argv = argv.replace("/elsewhere/bin/python", sys.executable)
    (folder / "kernel.json").write_text(
        f'{{"argv": {argv}, "display_name": "x", "language": "python"}}'
    )
    driver.check_kernel()


def test_html_drops_progress(root, capsys):
    folder = root / "build/smoke"
    folder.mkdir(parents=True)
    path = write(folder / "00_a.ipynb", "print('kept')", "bar()")
    notebook = nbformat.read(path, as_version=4)
    for cell, text in zip(notebook.cells[-2:], ["KEPT", "BAR"], strict=True):
        cell.outputs = [nbformat.v4.new_output("stream", text=text)]
    notebook.cells[-1].metadata.tags = ["progress"]
    nbformat.write(notebook, path)
    assert main(["html", "--scale", "smoke"]) == 0
    page = (folder / "html/00_a.html").read_text()
    assert "KEPT" in page
    assert "BAR" not in page


def test_a_scale_that_needs_a_gpu_says_so_before_anything_runs(root, capfd, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(scales.Scale, "step_seconds", lambda self: 2.0)
    write(root / "notebooks/00_a.ipynb", "print('ran')")
    assert main(["run", "--scale", "paper"]) == 2
    out, err = capfd.readouterr()
    assert out == "" and "scale paper is made for a GPU" in err
    days = 2.0 * 9 * 250 * 50_000 / 256 / 86400
    assert f"about {days:.0f} days" in err and "PADALIB_FORCE=1" in err
