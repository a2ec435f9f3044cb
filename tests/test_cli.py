"""The command line: its help, what it loads, what it refuses, and how it says so."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from padalib import cli
from padalib.cli import COMMANDS, main
from padalib.commands import driver
from padalib.engine.runs import RunError

ROOT = Path(__file__).resolve().parents[1]
HEAVY = {"torch", "pandas", "matplotlib", "scipy", "sklearn"}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_examples(name, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([name, "--help"])
    assert stopped.value.code == 0
    out = capsys.readouterr().out
    examples = out.partition("examples:\n")[2].strip().splitlines()
    assert examples
    for line in examples:
        words = line.split()
        assert words[:2] == ["padalib", name]
        assert cli.parser().parse_args(words[1:]).command == name


def test_the_help_lists_the_commands_and_the_variables(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    out = capsys.readouterr().out
    assert all(f"\n    {name} " in out for name in COMMANDS)
    assert all(f"\n  {name} " in out for name in cli.VARIABLES)


def loaded(*arguments: str) -> set[str]:
    """The heavy packages that a command has imported when it ends."""
    script = (
        "import json, sys\nfrom padalib.cli import main\n"
        "try:\n    code = main(sys.argv[1:])\n"
        "except SystemExit as stopped:\n    code = stopped.code\n"
        "print('\\n' + json.dumps([code, sorted(sys.modules)]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    code, modules = json.loads(done.stdout.splitlines()[-1])
    assert code == 0, done.stderr
    return HEAVY & set(modules)


@pytest.mark.parametrize(
    "arguments", [("--help",), ("--version",), ("run", "--help"), ("check",)], ids=" ".join
)
def test_nothing_heavy_is_loaded_in_vain(arguments):
    assert loaded(*arguments) == set()


@pytest.mark.parametrize("module", ["html", "reproduction", "environment", "driver"])
def test_rooms_of_light_commands_import_neither_torch_nor_matplotlib(module):
    script = f"import sys, padalib.commands.{module}; print(*sys.modules)"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert not {"torch", "matplotlib"} & set(done.stdout.split())


def test_the_script_and_the_module_are_the_same_command():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"padalib": "padalib.cli:main"}
    done = subprocess.run(
        [sys.executable, "-m", "padalib", "check"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.fullmatch(r"\d+ notebooks can be run\n", done.stdout)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["rum"], "invalid choice: 'rum'"),
        (["run", "--sclae", "smoke"], "unrecognized arguments: --sclae"),
        (["run", "--work", "2"], "unrecognized arguments: --work"),  # no guessing
        (["figures", "--workers", "2"], "unrecognized arguments: --workers"),
        (["truth", "--seeds", "0"], "must be a whole number from 1, got '0'"),
    ],
)
def test_unknown_wishes_are_refused_by_name(capsys, arguments, said):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("name", ["run", "truth"])
def test_a_variable_that_nothing_reads_is_refused(monkeypatch, capsys, name):
    monkeypatch.setenv("PADALIB_WORKER", "3")
    assert main([name]) == 2
    assert "the environment sets PADALIB_WORKER, which nothing reads" in capsys.readouterr().err


def test_every_variable_that_the_code_reads_is_known():
    text = "".join(path.read_text() for path in (ROOT / "padalib").rglob("*.py"))
    named = set(re.findall(r"[\"'`](PADALIB_[A-Z]+)\b", text)) - {"PADALIB_WORKER"}
    assert named == set(cli.VARIABLES)


def raising(error: BaseException):
    def call(args):
        raise error

    return cli.Command("fails", "", (), call)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ValueError("no such thing"), 2),
        (OSError("disk full"), 2),
        (driver.CellError("a cell"), 1),
        (RunError("a run"), 1),
    ],
)
def test_errors_are_one_line_and_a_status(monkeypatch, capsys, error, code):
    monkeypatch.setitem(COMMANDS, "check", raising(error))
    assert main(["check"]) == code
    assert capsys.readouterr().err == f"error: {error}\n"


def test_faults_of_ours_keep_their_traceback(monkeypatch):
    monkeypatch.setitem(COMMANDS, "check", raising(RuntimeError("shapes do not match")))
    with pytest.raises(RuntimeError, match="shapes"):
        main(["check"])


def test_an_interrupt_says_that_nothing_is_lost(monkeypatch, capsys):
    monkeypatch.setitem(COMMANDS, "check", raising(KeyboardInterrupt()))
    assert main(["check"]) == 130
    assert capsys.readouterr().err.strip() == cli.NOTHING_LOST
    monkeypatch.setitem(COMMANDS, "check", raising(KeyboardInterrupt("said already")))
    assert main(["check"]) == 130
    assert capsys.readouterr().err == ""


def test_a_command_is_one_entry(monkeypatch, capsys):
    monkeypatch.setattr(cli, "COMMANDS", {})

    @cli.command("greet", "padalib hello you", cli.argument("whom"))
    def hello(args):
        print(f"hello {args.whom}")

    assert main(["hello", "you"]) == 0
    assert capsys.readouterr().out == "hello you\n"
