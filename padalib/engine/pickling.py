"""A run on its way to another process, and the check that what arrives is what was sent.

What was typed (in a notebook, in the script that runs) travels by value, modules by name: the
worker imports them from the places that the sender knows.
"""

import importlib
import io
import json
import os
import sys
from functools import cached_property, lru_cache
from types import FunctionType, ModuleType
from typing import Any

import cloudpickle

from padalib.engine import origin
from padalib.engine.identity import identity
from padalib.engine.runs import Run, RunError
from padalib.engine.source import Walk, difference, globals_of
from padalib.engine.values import CACHED, OPERATORS, SHARED, WEAK


class _Pickler(cloudpickle.Pickler):
    """cloudpickle, and what it leaves out.

    Modules of every class by their name: where code uses `torch` and an attribute called `ops`,
    cloudpickle takes the module `torch.ops` along, which is of a class of its own.
    """

    def reducer_override(self, thing: Any) -> Any:
        if isinstance(thing, ModuleType) and type(thing) is not ModuleType:
            return _module, (thing.__name__,)
        if isinstance(thing, CACHED) and not _by_name(thing):
            return _cached, (thing.__wrapped__, thing.cache_parameters())
        if isinstance(thing, cached_property):
            return _property, (type(thing), thing.func, thing.attrname)
        if isinstance(thing, OPERATORS):
            return _module, (f"torch.ops.{thing}",)
        for name, stream in SHARED.items():
            if thing is stream:  # the worker's own, not a copy of the sender's
                return _stream, (name,)
        if isinstance(thing, WEAK):  # in functools.singledispatch, which fills it anew
            return type(thing), ()
        return super().reducer_override(thing)

    def _dynamic_function_reduce(self, function: FunctionType) -> tuple:
        """With the globals that a class defined in the function looks up."""
        reduced = super()._dynamic_function_reduce(function)
        space = function.__globals__
        more = {name: space[name] for name in globals_of(function.__code__) if name in space}
        reduced[2][1]["__globals__"].update(more)
        return reduced


def _by_name(thing: Any) -> bool:
    return origin.home(thing.__module__) != "typed" and origin.importable(thing)


def _stream(name: str) -> Any:
    return SHARED[name]


def _cached(function: Any, parameters: dict[str, Any]) -> Any:
    return lru_cache(**parameters)(function)


def _property(kind: type, function: Any, name: str) -> Any:
    made = kind(function)
    made.attrname = name
    return made


def _module(name: str) -> Any:
    """A module, or what an attribute of a module looks like one (`torch.ops.aten`)."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        parent, _, last = name.rpartition(".")
        if not parent:
            raise
        return getattr(_module(parent), last)


def dumps(value: Any) -> bytes:
    """Pickle a value, with classes and functions that were typed."""
    file = io.BytesIO()
    _Pickler(file).dump(value)
    return file.getvalue()


def pack(run: Run) -> bytes:
    """A run for `unpack` in another process; RunError naming what cannot travel."""
    where = [os.path.abspath(place) for place in sys.path]
    try:
        config = dumps(run.config)
    except Exception as error:  # whatever an object raises to say that it stays
        raise RunError(
            f"it cannot be sent to another process: {_culprit(run.config)} cannot "
            f"be pickled ({str(error).splitlines()[0]}); make it where it is used, or keep "
            "it in a module of your own"
        ) from error
    return cloudpickle.dumps((where, run.key, json.dumps(identity(run.config)), config))


def unpack(packed: bytes) -> Run:
    """The run that was packed; RunError where it is another one in this process."""
    where, key, sent, config = cloudpickle.loads(packed)
    sys.path += [place for place in where if place not in sys.path]
    importlib.invalidate_caches()
    try:
        run = Run(cloudpickle.loads(config))
    except (ImportError, AttributeError) as error:
        raise RunError(
            f"the worker cannot find what the run uses ({error}): put the module where "
            "`sys.path` of the notebook finds it, as a file"
        ) from None
    except ValueError as error:  # what a class does is another thing here
        raise RunError(
            f"on arrival in a worker {error}; what was changed at run time in an imported module "
            "does not travel, and what classes do when they are made is done there again"
        ) from None
    if run.key != key:
        found = json.loads(json.dumps(identity(run.config)))
        changes = difference(_flat(json.loads(sent)), _flat(found))
        raise RunError(
            f"the worker has something else than was sent ({changes}): what was changed in an "
            "imported module at run time, or edited after the import, does not travel; restart, "
            "run the cells again and compose again"
        )
    return run


def _culprit(config: Any) -> str:
    """The name of the first thing that a config's classes use and that cannot be pickled."""
    walk = Walk()
    for cls in _classes(config):
        walk.follow(cls)
    functions = (type, FunctionType, staticmethod, classmethod, property)
    for name, value in sorted(walk.used.items(), key=lambda item: isinstance(item[1], functions)):
        try:
            dumps(value)
        except Exception:
            return name
    return "something in it"


def _classes(value: Any) -> list[type]:
    """The classes that a config names, at any depth."""
    if isinstance(value, type):
        return [value]
    if isinstance(value, (list, tuple)):
        return [cls for item in value for cls in _classes(item)]
    return [cls for item in getattr(value, "__dict__", {}).values() for cls in _classes(item)]


def _flat(value: Any, name: str = "") -> dict[str, str]:
    """Nested JSON as names and texts."""
    if not isinstance(value, dict):
        return {name: json.dumps(value)}
    found: dict[str, str] = {}
    for key, item in value.items():
        found |= _flat(item, key if not name or name.endswith("code") else f"{name}.{key}")
    return found
