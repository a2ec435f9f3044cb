"""One check of all settings: each is of its annotated type, within its bounds, and plain Python.

Bounds stand in the annotation: `epochs: Annotated[int, Within(1)]`, or an alias of it from here.
What means the same becomes the same, so that it is one run: numpy's scalars Python's own, whole
numbers floats where a float is asked for, lists tuples. A bool is no number, a NaN no float.
"""

import dataclasses
import inspect
import math
import reprlib
import types
import typing
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Annotated, Any, Literal

import numpy as np


@dataclasses.dataclass(frozen=True)
class Within:
    """From `low` to `high`, either end open if None; with `above` the low end itself is out."""

    low: float | None = None
    high: float | None = None
    above: bool = False

    def holds(self, value: float) -> bool:
        """Whether a number is within."""
        low = self.low is None or (value > self.low if self.above else value >= self.low)
        return low and (self.high is None or value <= self.high)

    def __str__(self) -> str:
        low = "" if self.low is None else f" {'above' if self.above else 'from'} {self.low}"
        return low + ("" if self.high is None else f" to {self.high}")


Whole = Annotated[int, Within(0)]
Count = Annotated[int, Within(1)]
NotNegative = Annotated[float, Within(0)]
Positive = Annotated[float, Within(0, above=True)]

_NO = object()  # what does not fit
_NOUNS = {
    int: ("a whole number", "whole numbers"),
    float: ("a finite number", "finite numbers"),
    bool: ("True or False", "True or False"),
    str: ("a text", "texts"),
    type(None): ("None", "None"),
}


def fit(name: str, value: Any, hint: Any) -> Any:
    """`value` as plain Python of the annotated type; ValueError that names it where it is not.

    What an annotation says that is not known here (`Callable`, type variables) is not checked.
    """
    found = _fit(value, hint)
    if found is _NO:
        raise ValueError(f"{name} must be {_words(hint)}, got {_shown(value)}")
    return found


def whole(name: str, value: Any, low: int, high: int) -> int:
    """`fit` a whole number whose bounds are known only now."""
    return fit(name, value, Annotated[int, Within(low, high)])


def check(config: Any) -> None:
    """`fit` every field of a dataclass; for its `__post_init__`, frozen or not."""
    hints = _hints(type(config))
    for field in dataclasses.fields(config):
        if field.init:
            value = fit(field.name, getattr(config, field.name), hints[field.name])
            object.__setattr__(config, field.name, value)


def options(cls: type, given: dict[str, Any]) -> dict[str, Any]:
    """`fit` keyword arguments of a class; those that it does not take are left to its call.

    What its `__init__` does not name is as its bases say, to whom it may hand it on.
    """
    hints: dict[str, Any] = {}
    for init in _inits(cls):
        hints = {name: _hints(init).get(name, Any) for name in _named(init)} | hints
    return {name: fit(name, value, hints.get(name, Any)) for name, value in given.items()}


def takes(cls: type) -> set[str]:
    """The names of its keyword arguments: its bases' too, where it hands on any other (`**`)."""
    found, handed_on = _named(cls), _any_other(cls)
    for init in _inits(cls) if handed_on else ():
        found |= _named(init, 1)
        if not _any_other(init):
            break
    return found


def _inits(cls: type) -> list[Callable]:
    """Its `__init__` and those of its bases, in the order in which each calls the next."""
    return [vars(own)["__init__"] for own in cls.__mro__[:-1] if "__init__" in vars(own)]


def _parameters(call: Callable) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(call).parameters.values())
    except ValueError:  # of one that is not written in Python
        return []


def _any_other(call: Callable) -> bool:
    return inspect.Parameter.VAR_KEYWORD in [one.kind for one in _parameters(call)]


def _named(call: Callable, first: int = 0) -> set[str]:
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {one.name for one in _parameters(call)[first:] if one.kind in by_name}


@lru_cache
def _hints(thing: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(thing, include_extras=True)
    except Exception:  # a user's annotation may be anything, and is then none
        if inspect.isclass(thing):
            raise
        return {}


def _fit(value: Any, hint: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        found = _fit(value, arguments[0])
        bounds = [extra for extra in arguments[1:] if isinstance(extra, Within)]
        return found if found is _NO or all(bound.holds(found) for bound in bounds) else _NO
    if origin in (typing.Union, types.UnionType):
        return next((f for f in (_fit(value, one) for one in arguments) if f is not _NO), _NO)
    if origin is Literal:
        same = (one for one in arguments if type(one) is type(value) and one == value)
        return next(same, _NO)
    if hint in (int, float, bool, str):
        return _fit_scalar(value, hint)
    if (origin or hint) in (tuple, list, Sequence):
        return _fit_sequence(value, list if list in (origin, hint) else tuple, arguments)
    try:
        known = hint in (None, Any) or isinstance(value, origin or hint)
    except TypeError:  # nothing that a value can be an instance of
        known = True
    return _plain(value) if known else _NO


def _fit_scalar(value: Any, kind: type) -> Any:
    if isinstance(value, bool) or kind is bool:
        return value if kind is bool and isinstance(value, bool) else _NO
    if kind is not float:
        return kind(value) if isinstance(value, kind) else _NO
    try:
        value = float(value) if isinstance(value, (int, float)) else math.nan
    except OverflowError:
        return _NO
    return value if math.isfinite(value) else _NO


def _fit_sequence(value: Any, kind: type, hints: tuple) -> Any:
    if not isinstance(value, (list, tuple, range, np.ndarray)) or _is_scalar(value):
        return _NO
    if not hints:
        return kind(map(_plain, value))
    if kind is list or hints[1:] == (...,) or len(hints) == 1:
        hints = hints[:1] * len(value)
    if len(hints) != len(value):
        return _NO
    found = [_fit(item, hint) for item, hint in zip(value, hints, strict=True)]
    return _NO if any(item is _NO for item in found) else kind(found)


def _is_scalar(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.ndim == 0


def _plain(value: Any) -> Any:
    """Numpy's scalars as Python's own, within lists, tuples and dicts too."""
    if isinstance(value, np.generic):
        return value.item()
    if type(value) in (list, tuple):
        return type(value)(map(_plain, value))
    if type(value) is dict:
        return {_plain(key): _plain(item) for key, item in value.items()}
    return value


def _words(hint: Any, plural: bool = False) -> str:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        bounds = [str(extra) for extra in arguments[1:] if isinstance(extra, Within)]
        return _words(arguments[0], plural) + "".join(bounds)
    if origin in (typing.Union, types.UnionType):
        *most, last = (_words(one, plural) for one in arguments)
        return f"{', '.join(most)} or {last}"
    if origin is Literal:
        *most, last = map(repr, arguments)
        if len(most) < 2:
            return " or ".join([*most, last])
        return f"one of {', '.join(most)}, {last}"
    if (origin or hint) in (tuple, list, Sequence):
        kind = "list" if list in (origin, hint) else "tuple"
        items = list(dict.fromkeys(_words(one, True) for one in arguments if one is not ...))
        return f"a {kind}" + (f" of {' and '.join(items)}" if items else "")
    if hint in _NOUNS:
        return _NOUNS[hint][plural]
    name = getattr(hint, "__name__", str(hint))
    return name if plural else f"{'an' if name[0] in 'AEIOU' else 'a'} {name}"


def _shown(value: Any) -> str:
    shown = reprlib.Repr()
    shown.maxstring = shown.maxother = 80
    return shown.repr(value)
