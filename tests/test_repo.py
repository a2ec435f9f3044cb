"""The repository itself: git filter, Makefile, environments and README agree."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
import yaml
from ipykernel.ipkernel import IPythonKernel
from nbformat.v4 import new_code_cell, new_notebook

from padalib import __version__
from padalib.commands.driver import execute
from padalib.commands.environment import EXTRA_KEYS, install_filter
from padalib.commands.notebooks import check
from padalib.study import scales

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

needs_git = pytest.mark.skipif(
    not (ROOT / ".git").exists() or shutil.which("git") is None, reason="not in a git checkout"
)
needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="no make here")


def call(*command: str, cwd: Path = ROOT, input: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command in this environment, as if neither make nor git had called us."""
    environment = {
        k: v for k, v in os.environ.items() if not k.startswith(("GIT_", "MAKE", "MFLAGS"))
    }
    environment["VIRTUAL_ENV"] = sys.prefix
    more = {"input": input, "capture_output": True, "text": True}
    return subprocess.run(command, cwd=cwd, env=environment, **more)


def targets() -> dict[str, str]:
    return dict(re.findall(r"^([a-z]+):.*## (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE))


@needs_git
def test_filter_is_installed_and_required():
    def config(key):
        return call("git", "config", "--local", "--get", key).stdout.strip()

    assert config("filter.nbstripout.clean").endswith("-m nbstripout"), "run `make setup`"
    assert Path(config("filter.nbstripout.clean").split('"')[1]).exists(), "run `make setup` again"
    assert config("filter.nbstripout.required") == "true"
    assert config("filter.nbstripout.smudge") == "cat"
    assert config("filter.nbstripout.extrakeys") == EXTRA_KEYS
    assert call("git", "check-attr", "filter", "x.ipynb").stdout.strip().endswith("nbstripout")


@needs_git
def test_filter_strips_an_executed_notebook(tmp_path):
    def git(*arguments):
        return call("git", *arguments, cwd=tmp_path)

    git("init", "--quiet")
    shutil.copy(ROOT / ".gitattributes", tmp_path)
    install_filter(tmp_path)
    before = (tmp_path / ".git/config").stat().st_mtime_ns
    install_filter(tmp_path)
    assert (tmp_path / ".git/config").stat().st_mtime_ns == before

    spec = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    cells = [
        new_code_cell("scale = 'laptop'", metadata={"tags": ["parameters"]}),
        new_code_cell("print('bulky')", metadata={"tags": ["progress"]}),
    ]
    source, copy = tmp_path / "source.ipynb", tmp_path / "copy.ipynb"
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": spec}), source)
    execute(source, copy, {"scale": "smoke"})
    assert "papermill" in copy.read_text()
    assert "bulky\\n" in copy.read_text()

    assert git("add", "copy.ipynb").returncode == 0
    text = git("cat-file", "blob", ":copy.ipynb").stdout
    stripped = json.loads(text)
    assert "papermill" not in text
    assert "bulky\\n" not in text
    assert stripped["metadata"]["kernelspec"] == spec
    assert [c["metadata"]["tags"] for c in stripped["cells"]] == [
        ["parameters"],
        ["injected-parameters"],
        ["progress"],
    ]
    assert all(c["outputs"] == [] and c["execution_count"] is None for c in stripped["cells"])
    assert git("status", "--porcelain", "copy.ipynb").stdout.startswith("A ")

    git("config", "filter.nbstripout.clean", "false")
    copy.write_text(copy.read_text() + "\n")
    assert git("add", "copy.ipynb").returncode != 0, "a broken filter must stop git add"


@needs_git
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_notebook_is_what_the_filter_writes(path):
    staged = call("git", "cat-file", "blob", f":notebooks/{path.name}")
    if staged.returncode:
        pytest.skip("not committed yet")
    assert "papermill" not in staged.stdout
    filtered = call(sys.executable, "-m", "nbstripout", input=staged.stdout)
    assert filtered.stdout == staged.stdout, "run `make setup`, then `git add --renormalize .`"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_can_be_run(path):
    check(path, {"scale": "laptop"})


@needs_make
def test_make_is_self_documenting():
    listed = call("make").stdout
    for target in targets():
        assert f"make {target} " in listed
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(targets()) == set(phony[1].split()) - {"venv"}


@needs_git
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_run_and_saved_in_jupyterlab_leaves_git_clean(path, tmp_path):
    """What JupyterLab adds: the kernel's `language_info`, counts, outputs, a cell's marks."""
    staged = call("git", "cat-file", "blob", f":notebooks/{path.name}")
    if staged.returncode:
        pytest.skip("not committed yet")
    notebook = nbformat.reads(staged.stdout, as_version=4)
    info = dict(IPythonKernel.language_info)
    assert {"mimetype", "codemirror_mode", "pygments_lexer", "nbconvert_exporter"} <= set(info)
    notebook.metadata.language_info = nbformat.from_dict(info)
    for count, cell in enumerate(notebook.cells, start=1):
        cell.metadata |= {"editable": True, "slideshow": {"slide_type": ""}, "trusted": True}
        if cell.cell_type == "code":
            cell.metadata["jupyter"] = {"outputs_hidden": True}
            cell.metadata["execution"] = {"iopub.execute_input": "2026-01-01T00:00:00Z"}
            cell.execution_count = count
            cell.outputs = [nbformat.v4.new_output("stream", text="bulky")]
    saved = nbformat.writes(notebook) + "\n"
    assert saved != staged.stdout
    command = [sys.executable, "-m", "nbstripout", "--extra-keys", EXTRA_KEYS]
    assert call(*command, cwd=tmp_path, input=saved).stdout == staged.stdout


@needs_make
def test_make_dry_run_is_readable():
    done = call("make", "-n", "reproduce", "SCALE=smoke")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert '-m padalib run --scale "$SCALE"' in lines[-1]
    assert len(lines) <= 8


@pytest.fixture
def made(tmp_path):
    """Calls make in a copy of the project whose python writes down its arguments."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "padalib").mkdir()
    environment = tmp_path / "an 'env' $(touch OWNED)"
    python = environment / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(
        '#!/bin/sh\ncase "$1" in -c) echo "$MADE/padalib" ;; esac\n'
        'for word in "$@"; do printf "%s\\n" "$word" >> "$MADE/calls"; done\n'
    )
    python.chmod(0o755)

    def make(*arguments):
        own = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS", "CONDA"))}
        own |= {"VIRTUAL_ENV": str(environment), "MADE": str(tmp_path)}
        (tmp_path / "calls").unlink(missing_ok=True)
        done = subprocess.run(
            ["make", *arguments], cwd=tmp_path, env=own, capture_output=True, text=True
        )
        calls = tmp_path / "calls"
        said = calls.read_text().splitlines() if calls.exists() else []
        return done, said, sorted(path.name for path in tmp_path.rglob("*OWNED*"))

    return make


@needs_make
@pytest.mark.parametrize(
    "evil",
    [
        "smoke; touch OWNED",
        "$(touch OWNED)",
        "$(shell touch OWNED)",
        "`touch OWNED`",
        '"; touch OWNED; "',
        "a' b",
        "$$x",
        "smoke\ntouch OWNED",
        "|touch OWNED",
        "&touch OWNED&",
        "*",
    ],
)
def test_make_passes_values_and_runs_none_of_them(made, evil):
    *_, known = made("help")
    for target in ("reproduce", "figures", "html", "compare", "publish"):
        done, said, found = made(target, f"SCALE={evil}")
        assert done.returncode == 2 and "--scale" not in said and found == known
    done, said, found = made("reproduce", f"WORKERS={evil}")
    assert said[-1 - evil.count("\n") - 1] == "--workers" and found == known
    for target in ("help", "lab"):
        made(target, f"SCALE={evil}", f"LAB={evil}", f"PYTHON={evil}")
        assert made("help")[2] == known


def test_make_knows_the_scales_and_no_others():
    (line,) = re.findall(r"^NAMES := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert sorted(line.split()) == sorted(scales.SCALES)


@needs_make
@pytest.mark.parametrize("typo", ["labtop", "", "smoke laptop", "%", "paper%"])
def test_make_refuses_an_unknown_scale_before_anything_else(made, typo):
    done, said, _ = made("reproduce", f"SCALE={typo}")
    assert done.returncode == 2 and said == []  # no python was started, so nothing installed
    assert f"unknown scale '{typo}': choose one of smoke laptop" in done.stderr
    assert made("help", f"SCALE={typo}")[0].returncode == 0


@needs_make
@pytest.mark.parametrize("name", scales.SCALES)
def test_make_knows_every_scale(made, name):
    options = {"reproduce": "run", "figures": "figures", "html": "html"}
    for target, option in options.items() if name == "smoke" else [("compare", "compare")]:
        done, said, _ = made(target, f"SCALE={name}")
        assert done.returncode == 0, done.stderr
        assert said[-5:] == ["-m", "padalib", option, "--scale", name]


@needs_make
def test_lab_takes_options_and_opens_the_project(made):
    done, said, _ = made("lab", "LAB=--ip 0.0.0.0 --allow-root")
    assert done.returncode == 0
    assert said[-6:] == ["-m", "jupyter", "lab", "--ip", "0.0.0.0", "--allow-root"]


@needs_make
@pytest.mark.parametrize("wish", ["SCALES=cifar", "scale=smoke", "WORKER=2"])
def test_make_refuses_what_nothing_reads(made, wish):
    done, said, _ = made("reproduce", wish)
    assert done.returncode == 2 and said[-1:] != ["laptop"]
    assert f"nothing reads {wish.partition('=')[0]}; known are SCALE" in done.stderr


@needs_make
def test_readme_commands_exist():
    readme = ROOT / "README.md"
    if not readme.exists():
        pytest.skip("no README.md")
    blocks = re.findall(r"^```bash\n(.*?)^```", readme.read_text(), re.MULTILINE | re.DOTALL)
    commands = re.findall(
        r"(?:^|&& )(?:\w+=\S+ )*make\b([^#&|;\n]*)", "".join(blocks), re.MULTILINE
    )
    named = [word for words in commands for word in words.split() if re.fullmatch("[a-z]+", word)]
    assert set(named) <= set(targets())


def test_the_tests_say_how_many_ran_where():
    picked = (
        "tests/test_repo.py::test_conda_gets_the_same_packages",
        "tests/test_repo.py::test_citation_names_the_paper",
    )
    done = call(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *picked)
    assert re.search(r"^=+ ran on \d+ cores, .+ =+$", done.stdout, re.MULTILINE), done.stdout
    assert "\ntests: 2 passed\n" in done.stdout


def test_constraints_pin_every_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["dev"]
    pinned = re.findall(r"^([\w.-]+)==\S+$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    names = {re.match(r"[\w.-]+", requirement)[0] for requirement in wanted}
    assert names <= set(pinned)
    assert not [name for name in pinned if re.match("nvidia|cuda|triton", name)]


def test_conda_gets_the_same_packages():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    *conda, pip = environment["dependencies"]
    assert conda == ["python=3.11", "pip"]
    assert pip == {"pip": ["-c constraints.txt", "-e .[dev]"]}


def test_citation_names_the_paper():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == __version__
    assert citation["references"][0]["title"].startswith("PA&DA: Jointly Sampling PAth and DAta")
