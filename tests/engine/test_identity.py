"""What runs is what the identity names: files of the user's, changes on the way, the run store."""

import importlib
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from cells import CLASS, DRAW, HEAD, cell

from padalib import spaces
from padalib.engine import origin, pickling, runs
from padalib.engine.identity import describe, key
from padalib.engine.launch import grid
from padalib.engine.runs import Run, RunError
from padalib.engine.source import code_of
from padalib.samplers import UniformPaths, compose, part
from padalib.spaces import CellSpace
from padalib.train import TrainConfig

ROOT = Path(__file__).resolve().parents[2]


def config(cls, name="mine", **options):
    return TrainConfig(
        compose(name, part(cls, **options)), data="digits-small", epochs=1, batch=512
    )


@pytest.fixture
def session(tmp_path, monkeypatch):
    """Runs a cell in a session of its own: the files are written, nothing of them is imported."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # two versions within one second
    before = set(sys.modules)

    def forget():
        for name in set(sys.modules) - before:
            if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
                del sys.modules[name]
        importlib.invalidate_caches()

    def run(files, source):
        forget()
        taken = {name.removesuffix(".py").split("/")[-1] for name in files} & set(sys.modules)
        assert not taken, f"modules of other tests have these names: {taken}"
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return cell(source)

    yield run
    forget()


# --- files of the user's ---

FROM, USE = "from helper import f\n" + DRAW + "f()", "import helper\n" + DRAW + "helper.f()"
F = "def f(): return 1\n"
FILES = {
    "function": ({"helper.py": F}, FROM),
    "function of a module": ({"helper.py": F}, USE),
    "base": (
        {"helper.py": HEAD + CLASS.replace("Mine", "Base") + "    def draw(self, g): return 1\n"},
        "from helper import Base\nclass Mine(Base): 0",
    ),
    "the class itself": (
        {"helper.py": HEAD + CLASS + "    def draw(self, g): return 1\n"},
        "from helper import Mine",
    ),
    "constant": ({"helper.py": "K = 1\n"}, "from helper import K\n" + DRAW + "K"),
    "constant of a function": ({"helper.py": "K = 1\ndef f(): return K\n"}, FROM),
    "all by name": ({"helper.py": "TABLE = dict(f=lambda: 1)\n"}, USE.replace(".f()", ".TABLE")),
    "made at run time": (
        {"helper.py": "def _f(): return 1\ndef f(): return globals()['_' + 'f']()\n"},
        FROM,
    ),
    "what it imports": ({"helper.py": "from other import f\n", "other.py": F}, FROM),
    "what it imports inside": (
        {"helper.py": "def f():\n    import other\n    return other.f()\n", "other.py": F},
        FROM,
    ),
    "everything of": ({"helper.py": F}, "from helper import *\n" + DRAW + "f()"),
    "in a package": (
        {"pack/__init__.py": "", "pack/sub.py": F},
        "from pack.sub import f\n" + DRAW + "f()",
    ),
    "beside it in a package": (
        {
            "pack/__init__.py": "",
            "pack/sub.py": "from . import b\nfrom .b import f\n",
            "pack/b.py": F,
        },
        "import pack.sub\n" + DRAW + "pack.sub.f()",
    ),
    "above it in a package": (
        {"pack/__init__.py": F, "pack/sub.py": "from . import f\n"},
        "import pack.sub\n" + DRAW + "pack.sub.f()",
    ),
    "imported in draw": (
        {"helper.py": F},
        CLASS + "    def draw(self, g):\n        import helper\n        return helper.f()",
    ),
    "imported from in draw": (
        {"pack/__init__.py": "", "pack/sub.py": F},
        CLASS + "    def draw(self, g):\n        from pack import sub\n        return sub.f()",
    ),
    "imported by a text": (
        {"helper.py": F},
        "import importlib\n" + DRAW + "importlib.import_module('helper').f()",
    ),
    "asked for by a text": ({"helper.py": F}, "import helper\n" + DRAW + "getattr(helper, 'f')()"),
    "done while it is imported": (
        {"helper.py": "import torch\nTHREADS = []\nTHREADS.append(1)\nTHREADS.append(2)\n"},
        "import helper\n" + DRAW + "helper",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_an_edited_file_is_another_sampler(session, name):
    files, source = FILES[name]
    first = code_of(session(files, source))
    again = code_of(session(files, source))
    old, new = ("append(1)", "append(3)") if "while" in name else ("1", "2")
    edited = {file: text.replace(old, new) for file, text in files.items()}
    assert edited != files
    other = code_of(session(edited, source))
    assert first == again != other


def test_a_file_that_is_not_used_does_not_count(session):
    files, source = FILES["function"]
    first = code_of(session(files | {"unused.py": "K = 1"}, source))
    assert code_of(session(files | {"unused.py": "K = 2"}, source)) == first


def test_a_function_edited_after_the_import_is_refused(session, tmp_path):
    session(*FILES["function of a module"])
    (tmp_path / "helper.py").write_text("def f(): return 2\n")
    with pytest.raises(ValueError, match=r"f is not what .*helper.py says now: reload that module"):
        compose("mine", cell(USE))
    importlib.reload(sys.modules["helper"])
    compose("mine", cell(USE))


def test_a_base_from_before_a_reload_is_refused(session, tmp_path):
    mine = session(*FILES["base"])
    path = tmp_path / "helper.py"
    path.write_text(path.read_text().replace("return 1", "return 2"))
    importlib.reload(sys.modules["helper"])
    with pytest.raises(ValueError, match=r"Base.draw is not what .*helper.py says now"):
        compose("mine", mine)


# --- between composing and computing ---


def test_what_changes_after_composing_is_refused():
    mine = cell("OP = 3\n" + DRAW + "[(OP, OP, OP)]")
    asked = config(mine)
    run, space = Run(asked), mine.draw.__globals__
    space["OP"] = 2
    words = r"Mine is not what it was .*OP in Mine.draw was 3 and is 2.*: compose it again"
    for ask in (lambda: grid([asked]), run.compute, lambda: key(asked)):
        with pytest.raises(ValueError, match=words):
            ask()
    with pytest.raises(ValueError, match=words):
        asked.method.with_options("other", zero_grad=True)
    assert not (run.folder / "config.json").exists()
    two = config(mine)
    space["OP"] = 3
    assert key(config(mine)) == key(asked) == run.key
    with pytest.raises(ValueError, match=r"OP in Mine.draw was 2 and is 3"):
        key(two)


def test_a_file_edited_after_composing_is_refused(session, tmp_path):
    asked = config(session({"helper.py": F}, USE))
    before = key(asked)
    (tmp_path / "helper.py").write_text("K = 2\n" + F)
    with pytest.raises(ValueError, match=r"Mine is not what it was .*file helper is another"):
        grid([asked])
    assert key(config(session({"helper.py": F}, USE))) == before


def test_a_run_is_not_computed_under_the_name_of_another(monkeypatch):
    run = Run(TrainConfig(data="digits-small", epochs=1))
    monkeypatch.setattr(UniformPaths, "group", 2, raising=False)
    with pytest.raises(RunError, match="SPOS mini seed 0 is not what it was when its run was ask"):
        run.compute()
    assert not (run.folder / "config.json").exists()


# --- on the way to a worker ---

ARRIVE = """
import pickle, sys
from padalib.engine import pickling
for packed in pickle.load(open(sys.argv[1], "rb")):
    try:
        print(pickling.unpack(packed).key)
    except Exception as error:
        print(type(error).__name__, error)
"""


def arrive(path, *packed):
    """What a process of its own says to runs that were packed."""
    path.write_bytes(pickle.dumps(packed))
    done = subprocess.run(
        [sys.executable, "-c", ARRIVE, path],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.splitlines()


def test_files_are_found_by_a_worker_and_changes_at_run_time_are_refused(
    session, tmp_path, monkeypatch
):
    source = "import helper\n" + DRAW + "[(helper.K,) * 3]"
    files = {"helper.py": "K = 1\n"}
    run = Run(config(session(files, source)))
    as_it_is = pickling.pack(run)
    sys.modules["helper"].K = 2  # not in the file
    changed = pickling.pack(Run(config(cell(source))))
    (tmp_path / "helper.py").write_text("K = 3\n")  # after the import
    edited = pickling.pack(Run(config(cell(source))))
    monkeypatch.setattr(UniformPaths, "group", 2, raising=False)
    patched = pickling.pack(Run(config(UniformPaths)))
    said = arrive(tmp_path / "packed", changed, edited, patched)
    assert "K in helper was 2 and is 3" in said[0] and "file helper is another" in said[0]
    assert said[1].startswith("RunError on arrival in a worker Mine is not what it was")
    assert "K in helper was 2 and is 3" in said[1]
    assert said[2].startswith("RunError the worker has something else than was sent (group of pad")
    (tmp_path / "helper.py").write_text("K = 1\n")
    said = arrive(tmp_path / "packed", as_it_is, changed)
    assert said[0] == run.key
    assert "K in helper was 2 and is 1" in said[1]


def test_every_use_of_a_file_arrives_as_it_was_sent(session, tmp_path):
    sent = {}
    for n, (files, source) in enumerate(FILES.values()):
        texts = [json.dumps(files), source]
        for word in ("helper", "other", "pack"):  # all at once: each has its own modules
            texts = [re.sub(rf"\b{word}\b", f"{word}_{n}", text) for text in texts]
        run = Run(config(session(json.loads(texts[0]), texts[1])))
        sent[run.key] = pickling.pack(run)
    assert len(sent) == len(FILES)
    assert arrive(tmp_path / "packed", *sent.values()) == list(sent)


def test_what_cannot_be_pickled_is_named():
    source = "class A:\n    def __reduce__(s): return (len, ())\n"
    source += "    def __reduce_ex__(s, n):\n        if n > 4: raise TypeError('no')\n"
    source += "        return (len, ())\nK = A()\n" + DRAW + "K"
    words = r"it cannot be sent to another process: K in Mine.draw cannot be pickled"
    with pytest.raises(RunError, match=words):
        pickling.pack(Run(config(cell(source))))


# --- the store ---


def test_a_state_of_another_run_is_refused(tmp_path):
    one, two = (
        Run(TrainConfig(data="digits-small", epochs=1, batch=512, seed=seed)).compute()
        for seed in (0, 1)
    )
    (two.folder / "done.json").unlink()
    shutil.copy(one.folder / "last.pt", two.folder / "last.pt")
    with pytest.raises(RunError, match=rf"last.pt is a state of another run \({one.key}\): delete"):
        two.compute()
    path = two.folder / "last.pt"  # its name alone does not make it one's own
    path.write_bytes(path.read_bytes().replace(one.key.encode(), two.key.encode(), 1))
    with pytest.raises(RunError, match=r"last.pt is truncated or was edited"):
        two.compute()


def test_numbers_of_numpy_are_numbers():
    plain = TrainConfig(data="digits-small", epochs=5, lr=0.5, arch=(1, 2, 3))
    numpy = TrainConfig(
        data="digits-small", epochs=5, seed=np.int64(0), lr=np.float64(0.5), flip=np.bool_(False)
    )
    assert key(replace(plain, arch=None)) == key(numpy)
    assert key(plain) == key(replace(plain, arch=tuple(np.array([1, 2, 3]))))
    assert describe({"a": (np.int8(3), np.float32(0.5))}) == {"a": [3, 0.5]}
    assert part(UniformPaths, k=np.int64(3)) == part(UniformPaths, k=3)
    assert type(dict(part(UniformPaths, k=[np.int64(3)]).options)["k"][0]) is int


OPTION = "class Mine(UniformPaths):\n    def __init__(self, space, epochs, k):\n"
OPTION += "        super().__init__(space, epochs)\n        self.k = k\n"


def test_options_are_told_apart_by_type_and_content():
    mine = cell(OPTION)
    values = [1, 1.0, True, "1", None, [1], (1,), {"1": 1}, {1: 1}, {"a": 1, "b": 2}]
    values += [{"b": 2, "a": 1}, [[1]], -0.0, 0.0, float("nan")]
    assert len({key(config(mine, k=value)) for value in values}) == len(values)
    assert describe({1: 2}) != describe({"1": 2})


def test_options_are_those_of_the_time_of_composing():
    given = [1]
    asked = config(cell(OPTION), k=given)
    before = key(asked)
    given.append(2)
    asked.method.paths.build(spaces.get("mini"), 1).k.append(3)
    assert key(asked) == before
    assert asked.method.paths.build(spaces.get("mini"), 1).k == [1]


SPACE = """
from dataclasses import dataclass
from padalib.spaces import CellSpace
@dataclass(frozen=True)
class Mine(CellSpace):
    def build(self, *arguments):
        return 1
"""


def test_a_space_of_the_users_counts_with_its_code():
    spaces_ = [
        cell(text)("mini", nodes=3, channels=8, cells=1, size=16, in_channels=1)
        for text in (SPACE, SPACE.replace("return 1", "return 2"), SPACE)
    ]
    one, other, again = (key(TrainConfig(space=space, data="digits-small")) for space in spaces_)
    assert one == again != other
    assert "code" not in describe(CellSpace("x"))


KIND = """
from dataclasses import dataclass
K = []
@dataclass(frozen=True)
class Mine:
    label, ticks = "mine", 1
    def inputs(self):
        return {}
    def compute(self, run):
        K.append(1)
        return step()
def step():
    return 1
"""


SPACE_HEAD = """
from dataclasses import dataclass
from functools import cached_property
from padalib.spaces import ChainSpace, Position
K = 3
@dataclass(frozen=True)
class Mine(ChainSpace):
"""
FOUND = """
    @cached_property
    def positions(self):
        return tuple(Position(str(k), self.options[:K]) for k in range(2))
"""
MADE = """
    def __post_init__(self):
        object.__setattr__(self, "kept", K)
"""


def test_a_space_that_found_something_before_a_change_is_refused():
    cls = cell(SPACE_HEAD + FOUND)
    kept, typed = cls("mine"), vars(cls)["positions"].func.__globals__
    before = describe(kept)
    assert len(kept) == 9 and describe(kept) == before  # whether it was found already or not
    typed["K"] = 2
    with pytest.raises(ValueError, match=r"positions of Mine was found before .* make it anew"):
        describe(kept)
    assert len(cls("mine")) == 4 and describe(cls("mine")) != before


def test_what_a_space_was_made_with_counts():
    cls = cell(SPACE_HEAD + MADE)
    kept = cls("mine")
    cls.__post_init__.__globals__["K"] = 2
    assert describe(kept) != describe(cls("mine"))


def test_a_kind_of_run_of_the_users_counts_with_its_code_alone():
    one, other = (cell(text)() for text in (KIND, KIND.replace("return 1", "return 2")))
    before = key(one)
    one.compute(None)  # the variables of its module are its own affair
    assert key(one) == before != key(other)


@dataclass(frozen=True)
class Fields:
    """Holds anything."""

    value: object
    label = "fields"

    def inputs(self):
        return {}


def test_a_grid_over_threads_computes_what_was_typed():
    with ThreadPoolExecutor(1) as executor:
        (run,) = grid([config(cell("OP = 3\n" + DRAW + "[(OP,) * 3]"))], executor=executor)
        (other,) = grid([config(cell("OP = 2\n" + DRAW + "[(OP,) * 3]"))], executor=executor)
    losses = [float(one.table("curves").loss[0]) for one in (run, other)]
    assert run.key != other.key and losses[0] != losses[1]
    assert runs.key(Fields(np.int64(1))) == runs.key(Fields(1)) != runs.key(Fields("1"))


PACKAGED = """
from padalib.samplers import UniformPaths

class Mine(UniformPaths):
    def draw(self, generator):
        return super().draw(generator)[:{}]
"""


@pytest.mark.parametrize("folder, name", [("site-packages", "grp_{}"), (".", "sched")])
def test_a_class_of_a_package_or_of_a_file_named_as_one_is_known_by_its_code(
    folder, name, tmp_path, monkeypatch
):
    """A module of the standard library is one that lies there."""
    place, keys = tmp_path / folder, []
    place.mkdir(exist_ok=True)
    monkeypatch.syspath_prepend(place)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for module, last in (("a", 1), ("b", 2), ("b", 3)):
        named = name.format(module)
        (place / f"{named}.py").write_text(PACKAGED.format(last))
        monkeypatch.delitem(sys.modules, named, raising=False)
        importlib.invalidate_caches()
        cls = importlib.import_module(named).Mine
        keys.append(key(config(cls)))
        assert f"file {named}" in dict(compose("mine", cls).paths.code)
    assert len(set(keys)) == 3


# --- code for padalib in installed packages ---

LAB = {
    "group/__init__.py": "",
    "group/parts.py": "from group.helper import f\nfrom padalib.samplers import PathSampler\n"
    "class Mine(PathSampler):\n    def draw(self, generator): return [(f(), 1, 1)]\n",
    "group/helper.py": "def f(): return 1\n",
    "other.py": "from group.parts import Mine as Base\nclass Mine(Base): pass\n",
}
PACKAGES = {
    "what it uses": "from group.parts import Mine",
    "a base of what is typed": "from group.parts import Mine as Base\nclass Mine(Base): pass",
    "a base in another package": "from other import Mine",
    "used by what is typed": "from group.parts import Mine as Base\n" + DRAW + "Base.draw",
    "met before its package is": "import group.helper as h\n" + DRAW
    + "h.f(), Base\nfrom group.parts import Mine as Base",
}  # fmt: skip


@pytest.fixture
def packages(session, tmp_path, monkeypatch):
    """A session whose files are installed packages."""
    monkeypatch.syspath_prepend(tmp_path / "site-packages")
    return lambda files, source: session(
        {f"site-packages/{name}": text for name, text in files.items()}, source
    )


@pytest.mark.parametrize("name", PACKAGES)
def test_an_edited_package_is_another_sampler(packages, name):
    first, again = (code_of(packages(LAB, PACKAGES[name])) for _ in range(2))
    edited = LAB | {"group/helper.py": "def f(): return 2\n"}
    assert first == again != code_of(packages(edited, PACKAGES[name]))


def test_a_helper_of_a_package_edited_after_the_import_is_refused(packages, tmp_path):
    mine = packages(LAB, PACKAGES["what it uses"])
    (tmp_path / "site-packages/group/helper.py").write_text("def f(): return 2\n")
    with pytest.raises(ValueError, match=r"f is not what .*helper.py says now: reload that module"):
        compose("mine", mine)


def test_a_package_that_keeps_a_counter_beside_the_sampler_is_refused(packages):
    counts = (
        "import group.helper as h\nfrom padalib.samplers import PathSampler\n"
        "class Mine(PathSampler):\n    def draw(self, generator): return [(h.C[0] % 5, 1, 1)]\n"
        "    def observe(self, *given): h.C[0] += 1\n"
    )
    files = LAB | {"group/parts.py": counts, "group/helper.py": "C = [0]\n"}
    mine = packages(files, PACKAGES["what it uses"])
    with pytest.raises(RunError, match=r"changes what is not saved with it \(C in group.helper"):
        Run(config(mine)).compute()


def test_other_packages_count_by_their_name(packages):
    """They are hundreds of files, and have versions."""
    use = "import group.helper\n" + DRAW + "group.helper.f()"
    first = code_of(packages(LAB, use))
    assert code_of(packages(LAB | {"group/helper.py": "def f(): return 2\n"}, use)) == first


def test_of_a_file_that_cannot_be_read_the_version_counts(monkeypatch):
    monkeypatch.setattr(origin, "_read", lambda file: None)
    found = origin.files(["cloudpickle"], lambda name: "file")
    assert found == {"cloudpickle": f"cloudpickle {metadata.version('cloudpickle')}"}


def test_a_packages_space_is_looked_at_as_one_of_ones_own(packages):
    space = "import dataclasses\nfrom padalib.spaces import ChainSpace\n"
    packages({"group.py": space + "class Mine(ChainSpace):\n    architectures = 3\n"}, "Mine = 0")
    with pytest.raises(ValueError, match="Mine names one of its fields architectures"):
        spaces.usable(importlib.import_module("group").Mine("mine"))
