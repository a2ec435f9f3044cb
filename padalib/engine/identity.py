"""What a run's result depends on, as plain JSON, and the key made of it."""

import dataclasses
import hashlib
import json
from typing import Any

import padalib
from padalib.engine import origin
from padalib.engine.source import code_of
from padalib.engine.values import plain, remembered


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
        f.name: _field(f, describe(getattr(value, f.name)))
        for f in dataclasses.fields(value)
        if _counts(f, getattr(value, f.name))
    }
    named = {"kind": type(value).__name__} | named
    if origin.ours(type(value)):
        return named
    return named | {"code": code_of(type(value), values, _held(value) if values else {})}


def _counts(f: dataclasses.Field, value: Any) -> bool:
    """Whether a field is part of the identity; 'given' or 'digest': where it is not None.

    So a field that is new changes no key of the configs that leave it out.
    """
    asked = f.metadata.get("identity", True)
    return value is not None if asked in ("given", "digest") else asked


def _field(f: dataclasses.Field, described: Any) -> Any:
    """What a field says in the identity; with 'digest' the hash of a long list, and its length."""
    if f.metadata.get("identity") != "digest":
        return described
    return {"number": len(described), "digest": digest(described)}


def _held(value: Any) -> dict[str, Any]:
    """What an instance has beside its fields: it was made by its class as that was then.

    What a cached property has found is refused where its class would find something else now.
    """
    fields = {f.name for f in dataclasses.fields(value)}
    state = getattr(value, "__dict__", {})
    cached = {name for name in state if remembered(type(value), name)}
    if cached:
        anew = object.__new__(type(value))
        vars(anew).update({name: v for name, v in state.items() if name not in cached})
    for name in sorted(cached):
        if _text(state[name]) != _text(getattr(anew, name)):
            raise ValueError(
                f"{name} of {type(value).__name__} was found before something that it uses "
                "changed: make it anew, and what was made of it"
            )
    return {name: v for name, v in state.items() if name not in fields | cached}


def _text(value: Any) -> dict[str, str] | None:
    try:
        return code_of(object, held={"": value})
    except ValueError:  # it has none, so nothing can be told
        return None


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


def digest(found: Any) -> str:
    """The key of an identity, or of a part of one."""
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:16]
