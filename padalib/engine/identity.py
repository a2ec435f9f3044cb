"""What a run's result depends on, as plain JSON, and the key made of it."""

import dataclasses
import hashlib
import json
from typing import Any

import padalib
from padalib.engine import origin
from padalib.engine.source import code_of
from padalib.engine.values import plain


def describe(value: Any) -> Any:
    """A config as plain JSON: the identity of what it stands for.

    Of a class from outside padalib, what it does is part of it.
    """
    value = plain(value)
    if hasattr(value, "describe"):
        return value.describe()
    if dataclasses.is_dataclass(value):
        return _described(value, values=True)
    if isinstance(value, (list, tuple)):
        return [describe(item) for item in value]
    if isinstance(value, dict):
        if all(type(key) is str for key in value):
            return {key: describe(item) for key, item in value.items()}
        return {"pairs": [[describe(key), describe(item)] for key, item in value.items()]}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"a config cannot hold {value!r} ({type(value).__name__}): it has no identity")


def _described(value: Any, values: bool) -> dict[str, Any]:
    named = {
        f.name: describe(getattr(value, f.name))
        for f in dataclasses.fields(value)
        if f.metadata.get("identity", True)
    }
    named = {"kind": type(value).__name__} | named
    return named if origin.known(type(value)) else named | {"code": code_of(type(value), values)}


def identity(config: Any) -> dict[str, Any]:
    """All that a run's result depends on: its config, its inputs and the recipe's version.

    Where only one kind of run has changed, its config counts that in `changes`. Of a kind of
    config from outside padalib the code counts, but not what its module's variables hold.
    """
    recipe = padalib.RECIPE + getattr(config, "changes", 0)
    return {"config": _described(config, values=False), "inputs": config.inputs(), "recipe": recipe}


def key(config: Any) -> str:
    """Hash of the identity, 16 hex digits."""
    return digest(identity(config))


def digest(found: dict[str, Any]) -> str:
    """The key of an identity."""
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:16]
