"""What a class written by the user does, as text: part of the identity of the runs that use it.

Followed are its bases, attributes and functions (their code as it runs, defaults, closures,
attributes), all that these use by name, the values of it, and the whole text of each file of the
user's that is met or imported there. Code of padalib counts where it was changed at run time,
installed packages only by name; but one that holds the class itself, or another that inherits from
padalib's, counts as the user's.

Not seen are files read and environment variables asked for at run time, the clock, the process
itself (its number, the order of sets of strings), modules found by names that are made at run
time, changes made to installed packages from outside, and changes made at run time to padalib's own
spaces and networks (write a subclass).
"""

import builtins
import dis
import enum
import importlib
import types
from collections.abc import Mapping
from types import CodeType, FunctionType, MemberDescriptorType, ModuleType
from typing import Any

from padalib.engine import origin
from padalib.engine.values import CACHED, WEAK, NoText, Speller

# Attributes of a class that Python makes itself, some of them only once they are asked for.
OWN = {
    *("__dict__", "__weakref__", "__module__", "__qualname__", "__slotnames__", "_abc_impl"),
    *("__firstlineno__", "__static_attributes__", "__annotate__", "__annotate_func__"),
    *("__annotations_cache__", "__conditional_annotations__", "__classdictcell__"),
}
GLOBAL = {"LOAD_GLOBAL", "STORE_GLOBAL", "DELETE_GLOBAL"}
LOCAL, STORE = {"LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}, {"STORE_NAME"}
SIMPLE = (FunctionType, bool, int, float, str, tuple)
IMPORTERS = {"import_module", "__import__", "modules"}


def code_of(
    cls: type, values: bool = True, held: Mapping[str, Any] = types.MappingProxyType({})
) -> dict[str, str]:
    """Names -> texts of all that makes a class behave as it does; {} for one of padalib's own.

    Without `values` only its code. `held`: what an instance of it has, by name. ValueError for a
    value that has no lasting text.
    """
    walk = Walk(values).follow(cls)
    for name, value in held.items():
        walk.use(f"{name} of an instance", value)
    return walk.finish().entries


class Walk:
    """Follows classes, functions and modules to all that they use."""

    def __init__(self, values: bool = True, device: bool = True) -> None:
        self.values = values
        self.speller = Speller(self._refer, device)
        self.entries: dict[str, str] = {}
        self.used: dict[str, Any] = {}  # the values behind the entries
        self.labels: dict[int, str] = {}
        self.queue: list[Any] = []
        self.met: list[Any] = []  # holds what was met, so that no id comes twice
        self.modules: dict[str, ModuleType] = {}
        self.names: set[str] = set()  # attributes and strings in the code that was met
        self.files: set[str] = set()
        self.packages: set[str] = set()  # that are installed and count as the user's
        self.named: list[Any] = []  # what is known by its name alone

    @property
    def caches(self) -> list[Any]:
        """The functions with a cache (`functools.cache`) that were met."""
        return self.speller.caches

    def follow(self, *things: type) -> "Walk":
        """Write down classes and all that they use."""
        for thing in things:
            self._adopt(thing)
            self._refer(thing)
        return self.finish()

    def finish(self) -> "Walk":
        """Follow what was met so far to the end."""
        looked: set[tuple[str, str, str]] = set()
        while True:
            while self.queue:
                thing = self.queue.pop(0)
                label = self.labels[id(thing)]
                (self._class if isinstance(thing, type) else self._function)(thing, label)
            asked = {(m, n) for m, one in self.modules.items() for n in self._asked(one)}
            new = {(m, n, self._home(m)) for m, n in asked} - looked
            if not new:
                break
            looked |= new
            for module, name, _ in sorted(new):
                self._in_module(self.modules[module], module, name)
        texts = origin.files(self.files, self._home)
        self.entries |= {f"file {name}": text for name, text in texts.items()}
        self.entries = dict(sorted(self.entries.items()))
        return self

    def use(self, name: str, value: Any, soft: bool = False) -> None:
        """Write down a value under a name; where it is `soft`, its type if it has no text."""
        followed = isinstance(value, (type, FunctionType, ModuleType, staticmethod, classmethod))
        if not (self.values or followed or isinstance(value, (property, CACHED))):
            return
        self.used[name] = value
        try:
            self.entries[name] = self.speller.spell(value)
        except NoText as error:
            if not soft:
                raise ValueError(
                    f"{name} holds {error}, which cannot be part of the run's identity: make it a "
                    "number, a string, a tensor, or a list or dict of them, or make it where it "
                    "is used"
                ) from None
            self.entries[name] = str(error)

    # --- references ---

    def _home(self, name: str | None) -> origin.Home:
        """Whose module that is, with the installed packages that count as the user's."""
        found = origin.home(name)
        mine = found == "installed" and origin.root_of(name) in self.packages
        return "file" if mine else found

    def _users(self, thing: Any) -> bool:
        return self._home(thing.__module__) in ("file", "typed")

    def _adopt(self, cls: type) -> None:
        """Count an installed package of code for padalib as the user's: it is, to padalib."""
        new = origin.package_of(cls)
        if new and new not in self.packages:
            self.packages.add(new)
            again = [thing for thing in self.named if origin.root_of(thing.__module__) == new]
            self.queue += again
            self.named = [thing for thing in self.named if thing not in again]
            self.files |= {m for m in self.modules if origin.root_of(m) == new}

    def _refer(self, thing: Any) -> str:
        if id(thing) in self.labels:
            return self.labels[id(thing)]
        if isinstance(thing, ModuleType):
            return self._module(thing)
        home = origin.home(thing.__module__)
        if home == "installed" and isinstance(thing, type) and _inherits(thing):
            self._adopt(thing)
        known = not self._users(thing) and origin.importable(thing)
        # A worker does not get to know in which class or function another class was written.
        own = thing.__name__ if isinstance(thing, type) and not known else thing.__qualname__
        name = f"{thing.__module__}.{own}".removeprefix("__main__.")
        label, count = name, 1
        while label in self.labels.values():
            count += 1
            label = f"{name} ({count})"
        self.labels[id(thing)] = label
        self.met.append(thing)
        # Known by their name; what was changed in a class of padalib is looked for all the same.
        if not known:
            self.queue.append(thing)
        elif home == "installed":
            self.named.append(thing)
        elif isinstance(thing, type):
            self._changes(thing, label)
            for base in thing.__mro__[1:]:
                self._refer(base)
        return label

    def _module(self, module: ModuleType) -> str:
        name = module.__name__
        if name not in self.modules:
            self.modules[name] = module
            if self._home(name) == "file":
                self.files.add(name)
        return f"module {name}"

    def _asked(self, module: ModuleType) -> set[str]:
        """Names of a module that the code met so far asks for; all of one that has no file."""
        name = module.__name__
        typed = self._home(name) == "typed" and name != "__main__"
        asked = set(vars(module)) if typed else (self.names | {"__getattr__"}) & vars(module).keys()
        return asked - {"__builtins__", "__spec__", "__loader__"}

    def _in_module(self, module: ModuleType, label: str, name: str) -> None:
        value, where = vars(module)[name], self._home(label)
        if where in ("file", "typed"):  # a worker reads a file anew: what has no text is in it
            self.use(f"{name} in {label}", value, soft=where == "file")
        elif isinstance(value, (type, FunctionType)) and self._users(value):
            # It was put there at run time.
            self.use(f"{name} in {label}", value)

    # --- classes ---

    def _class(self, cls: type, label: str) -> None:
        bases = [self._refer(base) for base in cls.__mro__[1:]]
        self.entries[label] = f"class of {self._refer(type(cls))}, bases {', '.join(bases)}"
        if self._home(cls.__module__) == "file":
            self.files.add(cls.__module__)
        attributes = {
            name: value
            for name, value in vars(cls).items()
            if name not in OWN and not isinstance(value, MemberDescriptorType)  # `__slots__` names
        }
        if isinstance(cls, enum.EnumMeta):  # its tables are made of its members
            members = {name: member.value for name, member in cls.__members__.items()}
            attributes = {n: v for n, v in attributes.items() if isinstance(v, FunctionType)}
            attributes["members"] = members
        for name, value in sorted(attributes.items()):
            if name == "__annotations__":
                value = {key: _annotation(note) for key, note in value.items()}
            self.use(f"{name} of {label}", value)
        for base in cls.__mro__[1:]:
            if self._home(base.__module__) == "installed":
                self._put_in(base)

    def _put_in(self, base: type) -> None:
        """Functions of the user's in a class of an installed package."""
        for name, value in sorted(vars(base).items()):
            function = getattr(value, "__func__", value)
            if isinstance(function, FunctionType) and self._users(function):
                self.use(f"{name} of {base.__qualname__}", value)

    def _changes(self, cls: type, label: str) -> None:
        """What differs in a class of padalib, and in its module's functions, from its file."""
        module = importlib.import_module(cls.__module__)
        written = origin.pristine(cls.__module__)
        original: Any = written
        for part in cls.__qualname__.split("."):
            original = getattr(original, part, _Nothing)
        for found, before, owner in ((cls, original, label), (module, written, cls.__module__)):
            names = vars(found).keys() | (vars(before).keys() if found is cls else set())
            for name in sorted(names - OWN - {"__annotations__"}):
                value, old = (vars(one).get(name, _MISSING) for one in (found, before))
                if found is module and not isinstance(value, SIMPLE):
                    continue
                if not origin.alike(value, old):
                    self.entries[f"{name} of {owner}"] = "removed"
                    if value is not _MISSING:
                        self.use(f"{name} of {owner}", value)

    # --- functions ---

    def _function(self, function: FunctionType, label: str) -> None:
        code = function.__code__
        name = origin.file_of(function, self._home)
        self.entries[label] = f"in file {name}" if name else f"code {origin.fingerprint(code)}"
        if name:
            self.files.add(name)
        for free, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            try:
                value = cell.cell_contents
            except ValueError:
                value = "nothing yet"
            self._hold(f"{free} in {label}", value)
        if function.__defaults__:
            self.use(f"defaults of {label}", function.__defaults__)
        if function.__kwdefaults__:
            self.use(f"keyword defaults of {label}", function.__kwdefaults__)
        for attribute, value in sorted(vars(function).items()):
            self._hold(f"{attribute} of {label}", value)
        if self._home(function.__globals__.get("__name__")) in ("file", "typed"):
            self._globals(function, label)

    def _hold(self, name: str, value: Any) -> None:
        """What a function has beside its code, but not what functools.singledispatch remembers."""
        if not isinstance(getattr(value, "__self__", value), WEAK):
            self.use(name, value)

    def _globals(self, function: FunctionType, label: str) -> None:
        space, strings, attributes = function.__globals__, set(), set()
        for name in sorted(globals_of(function.__code__)):
            if name in space:
                self.use(f"{name} in {label}", space[name])
            elif not hasattr(builtins, name):
                self.entries[f"{name} in {label}"] = "nothing yet"
            elif isinstance(getattr(builtins, name), FunctionType):  # put there at run time
                self.use(f"{name} in builtins", getattr(builtins, name))
        for code in origin.nested(function.__code__):
            attributes |= set(code.co_names)
            strings |= {const for const in code.co_consts if isinstance(const, str)}
            for name in origin.imported(code, space):
                self._import(name)
        self.names |= strings | attributes
        if attributes & IMPORTERS:
            for name in sorted(strings):
                self._import(name)

    def _import(self, name: str) -> None:
        """A module of the user's that a function imports itself."""
        if not all(part.isidentifier() for part in name.split(".")) or self._home(name) != "file":
            return
        try:
            self._refer(importlib.import_module(name))
        except Exception as error:  # it says so again when it is used
            self.entries[f"import of {name}"] = type(error).__name__


_MISSING = object()


class _Nothing:
    """In place of a class that its file does not hold (any more)."""


def _inherits(cls: type) -> bool:
    """Whether it was written for padalib."""
    return any(origin.home(base.__module__) == "padalib" for base in cls.__mro__)


def globals_of(code: CodeType) -> set[str]:
    """Global names that code looks up or sets, in all that is defined inside it too."""
    names = set()
    for one in origin.nested(code):
        asked = [(i.opname, i.argval) for i in dis.get_instructions(one)]
        names |= {name for op, name in asked if op in GLOBAL}
        # The body of a class looks up its own names first.
        names |= {n for op, n in asked if op in LOCAL} - {n for op, n in asked if op in STORE}
    return names - {"__name__"}


def _annotation(note: Any) -> str:
    """Annotations change nothing unless they are read; their text will do."""
    if isinstance(note, type) and not hasattr(note, "__origin__"):
        return f"{note.__module__}.{note.__qualname__}"
    text = str(note)
    return type(note).__qualname__ if " at 0x" in text else text


def difference(old: dict[str, str], new: dict[str, str]) -> str:
    """What differs between two texts of code, in words; '' where nothing does."""
    words = []
    for name in sorted(old.keys() | new.keys()):
        was, now = (texts.get(name, "nothing") for texts in (old, new))
        if was == now:
            continue
        short = max(len(was), len(now)) < 60 and not name.startswith("file ")
        plain = short and not was.startswith(("code ", "in file "))
        words.append(f"{name} was {was} and is {now}" if plain else f"{name} is another")
    shown = "; ".join(words[:3])
    return shown + (f"; and {len(words) - 3} more" if len(words) > 3 else "")
