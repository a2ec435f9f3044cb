"""Notebooks as files: what is checked before anything is run."""

import nbformat
import pytest
from made_up import write
from nbformat.v4 import new_code_cell

from padalib.commands.notebooks import NotebookError, Parameter, check, declared

SMOKE = {"scale": "smoke"}


def test_annotated_parameters_count_as_declared(tmp_path):
    path = write(
        tmp_path / "a.ipynb",
        "print(scale, lr)",
        parameters="# a comment\nscale: str = 'laptop'\nlr: float = -1e-3",
    )
    assert declared(path) == {
        "scale": Parameter("scale", "laptop", "str"),
        "lr": Parameter("lr", -1e-3, "float"),
    }
    check(path, {"scale": "smoke", "lr": 1})
    with pytest.raises(
        NotebookError, match="no parameter 'seed'; its parameters cell has scale, lr"
    ):
        check(path, {"seed": 3})


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


def test_a_parameter_is_declared_once_and_with_its_own_type(tmp_path):
    path = write(tmp_path / "a.ipynb", parameters="scale = 'a'\nscale = 'b'")
    with pytest.raises(NotebookError, match="parameter scale twice"):
        declared(path)
    write(path, parameters="redraw: bool = 'no'")
    with pytest.raises(NotebookError, match="redraw is declared as bool"):
        declared(path)
    write(path, parameters="seeds = (1, 2)")  # papermill would pass the text '(1, 2)'
    with pytest.raises(NotebookError, match="type 'tuple' of a parameter is not understood"):
        declared(path)


@pytest.mark.parametrize(
    ("kind", "fitting", "others"),
    [
        ("bool", [True, False], ["false", 0, 1, None]),
        ("int", [0, -3], [True, 2.0, "2", None]),
        ("float", [2, 0.5], [True, "2", None]),
        ("str", ["", "3"], [3, None, ["a"]]),
        ("int | None", [2, None], ["two", 2.5, False]),
        ("list", [[], [1, "a"]], ["[]", None, [(1, 2)]]),
        ("list[int]", [[], [1, 2]], [[True], [1, "a"], 1]),
        ("dict[str, list[float]]", [{"a": [1, 0.5]}], [{1: [1]}, {"a": 1}, []]),
        ("", [None, 1, "a", [{"a": 1}]], [{1, 2}, b"a", (1,), [(1,)]]),
    ],
)
def test_types_of_parameters(kind, fitting, others):
    parameter = Parameter("x", None, kind)
    assert [parameter.allows(value) for value in fitting] == [True] * len(fitting)
    assert [parameter.allows(value) for value in others] == [False] * len(others)


@pytest.mark.parametrize("kind", ["np.ndarray", "set", "list[Path]", "1"])
def test_types_that_are_not_understood_are_named(kind):
    with pytest.raises(NotebookError, match="is not understood"):
        Parameter("x", None, kind).allows([3])


def test_values_of_the_wrong_type_are_refused(tmp_path):
    path = write(tmp_path / "a.ipynb")
    check(path, {"scale": "smoke", "redraw": True})
    with pytest.raises(
        NotebookError,
        match=r"a\.ipynb: parameter redraw is declared as bool \(write True or False\), got 'false",
    ):
        check(path, {"scale": "smoke", "redraw": "false"})


@pytest.mark.parametrize(
    "reader",
    [
        "print(seed)",
        "def f():\n    return seed",
        "[seed for _ in 'a']",
        "f'{seed}'",
        "seed.x = 3",
        "%timeit f(seed)",
        "class A:\n    x = seed",
        "lambda: (lambda: seed)",
    ],
)
def test_a_parameter_must_be_read(tmp_path, reader):
    given = "scale = 'laptop'\nseed = 0"
    path = write(tmp_path / "a.ipynb", "print(scale)", reader, parameters=given)
    check(path, SMOKE)
    for blind in ("pass", "def f(seed):\n    return seed", "'seed'", "[seed for seed in 'a']"):
        write(path, "print(scale)", blind, parameters=given)
        with pytest.raises(NotebookError, match="no cell reads parameter seed"):
            check(path, SMOKE)


@pytest.mark.parametrize(
    "line",
    [
        "seed = 3",
        "seed += 1",
        "seed: int = 3",
        "for seed in range(3):\n    pass",
        "del seed",
        "import os as seed",
        "(seed := 3)",
        "def seed():\n    pass",
        "class seed:\n    pass",
        "with open('a') as seed:\n    pass",
        "def f():\n    global seed\n    seed = 3",
        "a, (*seed, b) = 1, (2, 3)",
        "try:\n    pass\nexcept OSError as seed:\n    pass",
        "match 3:\n    case seed:\n        pass",
        "[seed := 3 for _ in 'a']",
    ],
)
def test_no_cell_may_overwrite_a_parameter(tmp_path, line):
    given = "scale = 'laptop'\nseed = 0"
    path = write(tmp_path / "a.ipynb", "print(scale, seed)", line, parameters=given)
    with pytest.raises(NotebookError, match=r"a\.ipynb, cell 4 overwrites parameter seed"):
        check(path, SMOKE)


def test_what_papermill_injected_is_no_overwriting(tmp_path):
    path = write(tmp_path / "a.ipynb")
    notebook = nbformat.read(path, as_version=4)
    injected = new_code_cell("scale = 'smoke'", metadata={"tags": ["injected-parameters"]})
    notebook.cells.insert(2, injected)
    nbformat.write(notebook, path)
    check(path, SMOKE)


def test_a_cell_that_is_no_python_is_named(tmp_path):
    path = write(tmp_path / "a.ipynb", "print(")
    with pytest.raises(NotebookError, match=r"a\.ipynb, cell 4 is no Python"):
        check(path, SMOKE)


def test_one_parameters_cell(tmp_path):
    path = write(tmp_path / "a.ipynb")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(new_code_cell("x = 1", metadata={"tags": ["parameters"]}))
    nbformat.write(notebook, path)
    with pytest.raises(NotebookError, match="has 2 cells tagged `parameters`"):
        check(path, SMOKE)


def test_kernel_must_be_python3(tmp_path):
    path = write(tmp_path / "a.ipynb", kernel="my-env")
    with pytest.raises(NotebookError, match="asks for kernel 'my-env', needs 'python3'"):
        check(path, SMOKE)


@pytest.mark.parametrize("text", ["", "[]", "{}", "not json", '{"nbformat": 3, "cells": []}'])
def test_not_a_notebook(tmp_path, text):
    path = tmp_path / "a.ipynb"
    path.write_text(text)
    with pytest.raises(NotebookError, match=r"a\.ipynb is not a valid notebook"):
        check(path, {})


def test_missing_cell_id(tmp_path):
    path = write(tmp_path / "a.ipynb")
    path.write_text(path.read_text().replace('"id"', '"idea"'))
    with pytest.raises(NotebookError, match="not a valid notebook"):
        check(path, {})
