"""Where code comes from: padalib, an installed package, a file of the user's, or a notebook.

The user's files are all modules that are neither padalib's nor installed (site-packages, dist-
packages, the standard library). Where a file lies decides, not what it is called.
"""

import ast
import dis
import hashlib
import importlib
import importlib.util
import os
import site
import sys
import sysconfig
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from importlib.machinery import PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, Literal

import padalib
from padalib.engine.values import NoText, Speller

Home = Literal["padalib", "installed", "file", "typed"]
PADALIB = os.path.dirname(os.path.realpath(padalib.__file__))


def home(name: str | None) -> Home:
    """Whose module that is; 'typed' where no file holds it: a notebook, a script that runs."""
    if not name or name in ("__main__", "__mp_main__"):
        return "typed"
    root, file = root_of(name), locate(name)
    if file is not None:
        place = _place(file)
        return "installed" if place == "standard" else place
    if root in sys.stdlib_module_names:  # built in
        return "installed"
    return home(root) if root != name else "typed"


def root_of(name: str) -> str:
    """The package that a module is in, or itself."""
    return name.partition(".")[0]


def package_of(thing: Any) -> str:
    """The installed package of a function or class; '' for padalib's, Python's and the user's."""
    name = thing.__module__
    if home(name) != "installed":
        return ""
    file = locate(name) or locate(root_of(name))
    return "" if file is None or _place(file) == "standard" else root_of(name)


def locate(name: str) -> str | None:
    """The file of a module, imported or not, without importing it."""
    if name in sys.modules:
        spec = getattr(sys.modules[name], "__spec__", None)
        file = getattr(sys.modules[name], "__file__", None) or getattr(spec, "origin", None)
        return file if file and os.path.isabs(file) else None
    root, *rest = name.split(".")
    try:
        spec = None if root in sys.modules else importlib.util.find_spec(root)
        places = getattr(sys.modules.get(root, spec), "__path__", None)
        places = places or getattr(spec, "submodule_search_locations", None)
        for part in rest:
            root = f"{root}.{part}"
            spec = PathFinder.find_spec(root, list(places)) if places else None
            places = spec.submodule_search_locations if spec else None
    except (ImportError, AttributeError, ValueError):
        return None
    return spec.origin if spec and spec.origin and os.path.isabs(spec.origin) else None


@lru_cache
def _place(file: str) -> Literal["padalib", "installed", "standard", "file"]:
    paths = {Path(os.path.abspath(file)), Path(os.path.realpath(file))}
    if any(path.is_relative_to(PADALIB) for path in paths):
        return "padalib"
    if any({"site-packages", "dist-packages"} & set(path.parts) for path in paths):
        return "installed"
    packages = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    packages += [site.getusersitepackages(), *site.getsitepackages()]
    standard = [sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")]
    for place, folders in (("installed", packages), ("standard", standard)):
        folders = [os.path.realpath(folder) for folder in folders if folder]
        if any(path.is_relative_to(folder) for path in paths for folder in folders):
            return place
    return "file"


def importable(thing: Any) -> bool:
    """Whether a function or class is found under its own module and name."""
    found = sys.modules.get(getattr(thing, "__module__", None) or "")
    for part in getattr(thing, "__qualname__", "").split("."):
        found = getattr(found, part, None)
    return found is thing


def ours(thing: Any) -> bool:
    """Whether a function or class is padalib's own, by its name."""
    return home(thing.__module__) == "padalib" and importable(thing)


# --- files ---


@dataclass(frozen=True)
class _Parsed:
    codes: frozenset[str]  # fingerprints of all functions
    imports: frozenset[tuple[str, int]]  # (name, level)


@lru_cache(maxsize=256)
def _parsed(content: bytes) -> _Parsed:
    try:
        tree = ast.parse(content)
        codes = frozenset(map(fingerprint, nested(compile(tree, "x", "exec", dont_inherit=True))))
    except (SyntaxError, ValueError):  # no Python
        return _Parsed(frozenset(), frozenset())
    imports = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports |= {(alias.name, 0) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            imports.add((base, node.level))
            imports |= {(f"{base}.{alias.name}".strip("."), node.level) for alias in node.names}
    return _Parsed(codes, frozenset(imports))


def _read(file: str) -> bytes | None:
    try:
        return Path(file).read_bytes()
    except OSError:  # in an archive, or gone
        return None


def files(names: Iterable[str], home: Callable[[str], Home] = home) -> dict[str, str]:
    """The user's modules among `names` and all that they import -> digest of the file's content.

    `home` says which modules are the user's ('file').
    """
    found: dict[str, str] = {}
    todo = list(names)
    while todo:
        name = todo.pop()
        file = locate(name)
        if name in found or file is None or home(name) != "file":
            continue
        content = _read(file)
        found[name] = _version(name) if content is None else _digest(content)
        package = (
            name if os.path.basename(file).startswith("__init__.") else name.rpartition(".")[0]
        )
        for imported, level in _parsed(content or b"").imports if file.endswith(".py") else ():
            todo += parents(absolute(imported, level, package))
        todo += parents(name)
    return found


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


def _version(name: str) -> str:
    """The version of what was installed with a module whose file cannot be read."""
    owners = sorted(set(metadata.packages_distributions().get(root_of(name), ())))
    return ", ".join(f"{owner} {metadata.version(owner)}" for owner in owners) or "gone"


def absolute(name: str, level: int, package: str) -> str:
    """The full name of a module imported `level` dots above in `package`."""
    if not level:
        return name
    base = package.split(".")[: len(package.split(".")) - level + 1]
    return ".".join([*base, name]).strip(".")


def parents(name: str) -> list[str]:
    """`a.b.c` -> a, a.b, a.b.c."""
    parts = name.split(".")
    return [".".join(parts[: n + 1]) for n in range(len(parts))] if name else []


def file_of(function: FunctionType, home: Callable[[str | None], Home] = home) -> str | None:
    """The module whose file holds a function as it runs; None for one typed or made by code.

    None too where the file cannot be read, and tells nothing. `home` as in `files`. ValueError
    where the file has changed since it was imported.
    """
    name = function.__globals__.get("__name__")
    module = sys.modules.get(name)
    file = locate(name) if name else None
    if home(name) != "file" or file is None or module.__dict__ is not function.__globals__:
        return None
    content, made_in = _read(file), os.path.abspath(function.__code__.co_filename)
    if content is None or made_in != os.path.abspath(file):
        return None
    # A loader that rewrites what it loads (pytest's does) leaves nothing to compare.
    plain = type(getattr(module.__spec__, "loader", None)) is SourceFileLoader
    if plain and fingerprint(function.__code__) not in _parsed(content).codes:
        raise ValueError(
            f"{function.__qualname__} is not what {file} says now: reload that module "
            "(importlib.reload) or restart, then run the cells that use it and compose again"
        )
    return name


# --- code ---


def nested(code: CodeType) -> list[CodeType]:
    """A code object and all that are defined inside it."""
    found = [code]
    for one in found:
        found += [const for const in one.co_consts if isinstance(const, CodeType)]
    return found


def imported(code: CodeType, space: dict[str, Any]) -> list[str]:
    """Full names of the modules that code imports, and of those that `from` may name."""
    found, last = [], [0, ()]
    package = space.get("__package__") or ""
    for instruction in dis.get_instructions(code):
        if instruction.opname == "IMPORT_NAME":
            level, names = last
            base = absolute(instruction.argval, level, package)
            found += parents(base)
            found += [f"{base}.{name}" for name in names or () if name != "*"]
        last = [last[1], instruction.argval]
    # `from a import b` may name a value of a: only what has a file is a module
    return [name for name in found if locate(name)]


@lru_cache(maxsize=4096)
def fingerprint(code: CodeType) -> str:
    """A digest of what code does; its place in the file and comments do not count."""
    parts = [
        code.co_name,
        code.co_argcount,
        code.co_posonlyargcount,
        code.co_kwonlyargcount,
        code.co_flags,
        code.co_code.hex(),
        code.co_names,
        code.co_varnames,
        code.co_freevars,
        code.co_cellvars,
        getattr(code, "co_exceptiontable", b"").hex(),
        [_constant(value) for value in code.co_consts],
    ]
    return hashlib.sha256(repr(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _constant(value: Any) -> str:
    if isinstance(value, CodeType):
        return fingerprint(value)
    if isinstance(value, tuple):
        return f"({', '.join(map(_constant, value))})"
    if isinstance(value, frozenset):
        return f"{{{', '.join(sorted(map(_constant, value)))}}}"
    return repr(value)


# --- padalib as it was written ---


@lru_cache
def pristine(name: str) -> ModuleType:
    """A module of padalib loaded a second time, to see what was changed in the one in use."""
    spec = importlib.util.spec_from_file_location(name, locate(name))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def alike(value: Any, old: Any) -> bool:
    """Whether a value is as the pristine one, functions by their code.

    Asked thousands of times in a grid of runs, and it nearly always is: so texts are made only of
    what no glance tells.
    """
    if value is old:
        return True
    if type(value) is type(old) in (str, bool, int):
        return value == old
    bare = [
        isinstance(f, FunctionType) and not (f.__defaults__ or f.__kwdefaults__)
        for f in (value, old)
    ]
    return (all(bare) and value.__code__ == old.__code__) or _outline(value) == _outline(old)


def _outline(value: Any) -> str:
    """A value as text, functions by their code."""

    def refer(thing: Any) -> str:
        if not isinstance(thing, FunctionType):
            return f"{getattr(thing, '__module__', '')}.{thing.__name__}"
        parts = (thing.__defaults__, thing.__kwdefaults__)
        return f"{fingerprint(thing.__code__)} {list(map(spell, parts))}"

    def spell(one: Any) -> str:
        try:
            return Speller(refer).spell(one)
        except NoText as error:
            return str(error)

    return spell(value)
