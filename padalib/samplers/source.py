"""The source of a sampler written in a notebook, which is part of its runs' identity."""

import dis
import inspect
from functools import cached_property
from typing import Any

import torch


def source_of(cls: type) -> str:
    """Source of a class's functions and values, and of all they use from its own module.

    ValueError where the source, or a value's text, is not to be had.
    """
    lines: list[str] = []
    todo, seen = [cls], set()

    def use(name: str, value: Any) -> None:
        value = getattr(value, "__func__", value)  # static and class methods
        value = getattr(value, "fget", None) or value  # properties
        if isinstance(value, cached_property):
            value = value.func
        if not inspect.isfunction(value):
            value = getattr(value, "__wrapped__", value)  # lru_cache
        if inspect.isclass(value) or inspect.isfunction(value):
            if value.__module__ == cls.__module__:
                todo.append(value)
            lines.append(f"{name} is {value.__module__}.{value.__qualname__}")
        elif inspect.isroutine(value):
            lines.append(f"{name} is {value.__module__}.{value.__qualname__}")
        elif not inspect.ismodule(value):
            if type(value).__module__ == cls.__module__ and not isinstance(value, tuple):
                todo.append(type(value))
                value = getattr(value, "__dict__", value)
            lines.append(f"{name} = {_text(name, value)}")

    while todo:
        thing = todo.pop()
        if thing in seen:
            continue
        seen.add(thing)
        if inspect.isclass(thing):
            lines.append(f"class {thing.__name__}")
            todo += [base for base in thing.__bases__ if base.__module__ == cls.__module__]
            for name, value in sorted(vars(thing).items()):
                if inspect.isfunction(value) or not name.startswith("__"):
                    use(name, value)
            continue
        if thing.__code__.co_filename == "<string>":  # made by dataclass from the fields
            continue
        try:
            lines.append(inspect.getsource(thing.__code__))
        except OSError:
            raise ValueError(
                f"cannot read the source of {thing.__qualname__}: it is part of the run's "
                "identity, so define it in a notebook cell or in a file"
            ) from None
        cells = zip(thing.__code__.co_freevars, thing.__closure__ or (), strict=True)
        used = {name: cell.cell_contents for name, cell in cells}
        used |= {n: thing.__globals__[n] for n in _globals(thing) if n in thing.__globals__}
        used |= thing.__kwdefaults__ or {}
        used |= {f"default {n}": value for n, value in enumerate(thing.__defaults__ or ())}
        for name, value in sorted(used.items()):
            use(name, value)
    return "\n".join(lines)


def _globals(function: Any) -> set[str]:
    """Global names that a function looks up, in its inner functions and comprehensions too."""
    codes, names = [function.__code__], set()
    while codes:
        code = codes.pop()
        names |= {i.argval for i in dis.get_instructions(code) if i.opname == "LOAD_GLOBAL"}
        codes += [const for const in code.co_consts if inspect.iscode(const)]
    return names


def _text(name: str, value: Any) -> str:
    """A value as text that is the same in every session, and different for different values."""
    if isinstance(value, dict):
        return str({str(key): _text(name, item) for key, item in value.items()})
    if isinstance(value, (list, tuple, set, frozenset)):
        items = [_text(name, item) for item in value]
        ordered = sorted(items) if isinstance(value, (set, frozenset)) else items
        return f"{type(value).__name__} {ordered}"
    if hasattr(value, "tolist"):
        return f"{value.dtype} {value.tolist()}"
    plain = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device)
    if not isinstance(value, plain):
        raise ValueError(
            f"{name}, a {type(value).__name__}, cannot be part of the run's identity: make it a "
            "number, a string, a tensor, or a list or dict of them"
        )
    return repr(value)
