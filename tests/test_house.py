"""The house: which room may use which, told from the code's own imports."""

import ast
import io
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FLOORS = {
    "engine": 0, "spaces": 1,
    "samplers": 2, "data": 2,
    "train": 3,
    "ranking": 4,
    "probes": 5, "benchmarks": 5,
    "study": 6,
    "commands": 7, "bench": 7,
    "cli": 8, "__main__": 9,
}  # fmt: skip
# The last lines let a training start from another's weights, which no further file can do, and say
# what an update rule of one's own must not hold; that a rule may go around another, and is told
# when an epoch ends; which options of a space hand on what they get; refuse at once to replay a run
# that records no probabilities; let PA and DA renew their scores more seldom, or smooth by one
# number, which only they can do; tell who writes a sampler what its draws are not; and refuse steps
# of no path or of more than are counted, options that a rule would not go by, a network that draws
# from streams of its own or goes by more than its weights, and importance weights that nobody has
# said; say which name was meant, or is taken; say whose weights got no gradient, or why no
# probabilities are learned; refuse a class that lost its decorator, or a space too large to list;
# take the gradients of single images for every padding, and test that they add up; and bound what a
# network remembers of paths.
CORE, CORE_LINES = ("spaces", "samplers", "train.py", "probes"), 2828
# What one can leave unread: each further space or method is a file of its own.
FURTHER, FURTHER_LINES = (
    (
        "spaces/chain.py",
        "spaces/macro.py",
        "spaces/shot.py",
        "spaces/shot_net.py",
        "spaces/darts.py",
        "spaces/darts_net.py",
        "spaces/genotype.py",
        "spaces/mobilenet.py",
        "samplers/averaged.py",
        "samplers/close.py",
        "samplers/density.py",
        "samplers/dynas.py",
        "samplers/magic.py",
        "samplers/nsas.py",
        "samplers/residual.py",
        "samplers/restricted.py",
        "samplers/rsa.py",
        "samplers/sandwich.py",
        "samplers/stepped.py",
        "samplers/sumnas.py",
        "samplers/together.py",
        "probes/memory.py",  # an instrument that no other needs
    ),
    200,
)
# Sentences for mistakes in a space or a method of one's own, and for what a probe cannot look at.
MESSAGES = (
    "spaces/checking.py",
    "spaces/checking_net.py",
    "spaces/checking_drawn.py",
    "samplers/checking.py",
    "probes/checking.py",
)
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef)
SPACE = {
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
    tokenize.ENDMARKER,
}  # fmt: skip
FILES = sorted([*ROOT.glob("padalib/**/*.py"), *ROOT.glob("bench/*.py")])


def name_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in FILES}


def imports(path):
    """The project's modules that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            inner = whole & MODULES.keys()
            found |= inner | ({node.module} if len(inner) < len(node.names) else set())
    return {name for name in found if name in MODULES and name != "padalib"}


def room(name):
    parts = name.split(".")
    return parts[0] if parts[0] == "bench" else parts[1]


GRAPH = {name: imports(path) for name, path in MODULES.items()}


def test_every_file_is_in_a_room():
    assert {room(name) for name in MODULES if name != "padalib"} <= FLOORS.keys()


@pytest.mark.parametrize("name", [name for name in MODULES if name != "padalib"])
def test_imports_point_down(name):
    for other in GRAPH[name]:
        below = FLOORS[room(other)] < FLOORS[room(name)]
        assert below or room(other) == room(name), f"{name} may not import {other}"


def test_there_is_no_circle():
    left = {name: set(others) - {name} for name, others in GRAPH.items()}
    while left:
        free = [name for name, others in left.items() if not others & left.keys()]
        assert free, f"these import each other in a circle: {sorted(left)}"
        for name in free:
            del left[name]


def bound(path):
    """The names that a module's own lines bind, each with the module that it is imported from."""
    found = []
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom):
            found += [(alias.asname or alias.name, node.module) for alias in node.names]
        elif isinstance(node, ast.Import):
            found += [(alias.asname or alias.name.partition(".")[0], "") for alias in node.names]
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.append((node.name, ""))
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [inner for target in targets for inner in ast.walk(target)]
            found += [(inner.id, "") for inner in names if isinstance(inner, ast.Name)]
    return found


def test_a_folder_gives_no_name_of_its_files_to_something_else():
    """Whoever imports the file would change what the folder's own code finds under that name."""
    for path in FILES:
        if path.name == "__init__.py":
            files = {other.stem for other in path.parent.glob("*.py")}
            files |= {other.parent.name for other in path.parent.glob("*/__init__.py")}
            taken = {n for n, module in bound(path) if n in files and module != name_of(path)}
            assert not taken, f"{path}: {sorted(taken)} are also files of this folder"


def test_files_of_tests_have_names_of_their_own():
    """Of two of one name, pytest takes neither."""
    names = [path.name for path in ROOT.glob("tests/**/test_*.py")]
    assert [name for name in names if names.count(name) > 1] == []


def test_a_cell_names_its_operations_in_its_own_room_only():
    for path in FILES:
        if room(name_of(path) + ".") not in ("spaces", "bench", "benchmarks"):
            assert 'startswith("nor_conv' not in path.read_text(), path


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_module_is_over_350_lines(path):
    assert len(path.read_text().splitlines()) <= 350


def lines_of_code(path):
    """Lines that hold code: no blanks, comments or docstrings."""
    text, told = path.read_text(), set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node) is not None:
            told |= {*range(node.body[0].lineno, node.body[0].end_lineno + 1)}
    found = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in SPACE:
            found |= {*range(token.start[0], token.end[0] + 1)}
    return len(found - told)


def test_the_core_can_be_read_in_an_afternoon():
    own = [path for path in FILES if {*path.relative_to(ROOT).parts} & {*CORE}]
    own = [path for path in own if not path.as_posix().endswith(FURTHER + MESSAGES)]
    assert 1500 < sum(map(lines_of_code, own)) <= CORE_LINES


def test_a_further_space_or_method_is_short_and_no_core_file_needs_it():
    further = [path for path in FILES if path.as_posix().endswith(FURTHER)]
    names = {name_of(path) for path in further}
    for path in further:
        assert lines_of_code(path) <= FURTHER_LINES, path
    for name in MODULES.keys() - {"padalib"}:
        others, in_core = (
            GRAPH[name],
            room(name) in ("spaces", "samplers", "train", "probes") and name not in names,
        )
        if in_core and not name.endswith((".spaces", ".samplers")):  # which list them
            assert not others & names, f"{name} may not need {sorted(others & names)}"
