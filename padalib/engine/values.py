"""Values as text: the same in every session and process, different for different values.

Types count (1, True, 1.0 and '1' are four values), and so does the order of a dict.
"""

import copyreg
import dataclasses
import enum
import functools
import hashlib
import inspect
import random
import types
import typing
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

LONG = 200  # characters; longer texts become digests
PLAIN = (type(None), bool, float, complex, str, bytes, type(...), type(NotImplemented))
NAMED = (torch.dtype, torch.layout, torch.memory_format, torch.device, np.dtype)
DESCRIPTORS = (
    types.MemberDescriptorType,
    types.GetSetDescriptorType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    types.ClassMethodDescriptorType,
)
OPERATORS = (torch._ops.OpOverload, torch._ops.OpOverloadPacket)
# The streams that all code of a process shares: they are no values, and everybody has his own.
SHARED = {
    "random": random._inst,
    "numpy.random": np.random.mtrand._rand,
    "torch": torch.default_generator,
}
WEAK = (weakref.WeakKeyDictionary, weakref.WeakValueDictionary, weakref.WeakSet)
CACHED = type(functools.lru_cache(len))


class NoText(ValueError):
    """A value that has no lasting text; the message says of which type it is."""


class Speller:
    """Writes values. `refer` writes functions, classes and modules, which are more than values.

    The caches of functions (`functools.cache`) that it meets are collected in `caches`.
    """

    def __init__(self, refer: Callable[[Any], str], device: bool = True) -> None:
        self.refer, self.device = refer, device
        self.caches: list[Any] = []
        self.memo: dict[int, tuple[Any, str]] = {}  # holds the values, so that no id comes twice

    def spell(self, value: Any) -> str:
        """The text of a value; NoText where it has none."""
        try:
            return self._spell(value)
        except RecursionError:
            raise NoText(f"a {type(value).__name__} nested too deep") from None

    def _spell(self, value: Any) -> str:
        kind = type(value)
        if kind in PLAIN:
            return _short(repr(value))
        if kind is int:
            return _short(repr(value) if value.bit_length() < 4000 else hex(value))
        if isinstance(value, (type, types.FunctionType, types.ModuleType)):
            return self.refer(value)
        if id(value) not in self.memo:
            self.memo[id(value)] = value, f"the {kind.__name__} itself"  # met inside itself
            self.memo[id(value)] = value, _short(self._compound(value, kind))
        return self.memo[id(value)][1]

    def _all(self, values: Any) -> str:
        return ", ".join(map(self._spell, values))

    def _compound(self, value: Any, kind: type) -> str:
        if kind is list:
            return f"[{self._all(value)}]"
        if kind is tuple:
            return f"({self._all(value)},)"
        if kind in (dict, types.MappingProxyType):
            pairs = (f"{self._spell(key)}: {self._spell(item)}" for key, item in value.items())
            return f"{{{', '.join(pairs)}}}"
        if isinstance(value, (set, frozenset)):
            items = ", ".join(sorted(map(self._spell, value)))
            return f"{self.refer(kind)} {{{items}}}{self._extra(value)}"
        for name, stream in SHARED.items():
            if value is stream:
                return f"the stream of {name}"
        if isinstance(value, OPERATORS):
            return f"operator {value}"
        if kind is typing.TypeVar:
            return f"type variable {value.__name__}"
        if isinstance(value, NAMED):
            return f"{kind.__name__} {value!r}"
        if isinstance(value, (np.ndarray, np.generic)) and kind.__module__ == "numpy":
            return self._array(value, kind)
        if isinstance(value, torch.Tensor):
            return self._tensor(value) + self._extra(value)
        return self._wrapper(value, kind) or self._reduced(value, kind)

    def _extra(self, value: Any) -> str:
        return f" with {self._spell(vars(value))}" if getattr(value, "__dict__", None) else ""

    def _array(self, value: Any, kind: type) -> str:
        array = np.asarray(value)
        order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
        head = f"numpy {kind.__name__} {array.dtype!r} {array.dtype.str} {array.shape} {order}"
        if array.dtype.hasobject:
            return f"{head} [{self._all(array.ravel().tolist())}]"
        return f"{head} {_content(array)}"

    def _tensor(self, value: torch.Tensor) -> str:
        if value.layout != torch.strided or value.is_quantized or value.is_meta:
            raise NoText(f"a {value.layout} tensor")
        flat = value.detach().resolve_conj().resolve_neg().cpu().contiguous().reshape(-1)
        place = f" {value.device}" if self.device else ""
        head = f"{self.refer(type(value))} {value.dtype} {tuple(value.shape)} {value.stride()}"
        grad = " grad" if value.requires_grad else ""
        return f"{head}{place}{grad} {_content(flat.view(torch.uint8).numpy())}"

    def _wrapper(self, value: Any, kind: type) -> str | None:
        """What holds a function: methods, properties, caches."""
        spell = self._spell
        if kind is types.MethodType:
            return f"method {spell(value.__func__)} of {spell(value.__self__)}"
        if kind is types.BuiltinFunctionType:
            owner = value.__self__
            of = owner.__qualname__ if isinstance(owner, type) else spell(owner)
            return f"builtin {value.__module__} {value.__qualname__} of {of}"
        if kind in (staticmethod, classmethod):
            return f"{kind.__name__} {spell(value.__func__)}"
        if isinstance(value, property):
            return f"{self.refer(kind)} {self._all((value.fget, value.fset, value.fdel))}"
        if isinstance(value, functools.cached_property):
            return f"{self.refer(kind)} {spell(value.func)}"
        if kind is CACHED:
            self.caches.append(value)
            return f"cached {spell(value.__wrapped__)} {value.cache_parameters()}"
        if kind in DESCRIPTORS:
            return f"{kind.__name__} {value.__objclass__.__qualname__}.{value.__name__}"
        if kind is types.MethodWrapperType:
            return f"method {value.__name__} of {spell(value.__self__)}"
        if isinstance(value, dataclasses.Field):
            names = ("name", "default", "default_factory", "init", "hash", "compare", "metadata")
            return f"field {self._all(getattr(value, name) for name in names)}"
        if isinstance(value, enum.Enum):
            return f"{self.refer(kind)} {value.name} {spell(value.value)}"
        return None

    def _reduced(self, value: Any, kind: type) -> str:
        """Any other object by what pickle would take: its class, and what it holds."""
        if kind is object or isinstance(value, WEAK):
            raise NoText(f"a {kind.__name__}")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                reducer = copyreg.dispatch_table.get(kind)
                found = reducer(value) if reducer else value.__reduce_ex__(4)
        except Exception as error:  # whatever a class raises to say no
            raise NoText(f"a {kind.__name__}") from error
        if isinstance(found, str):
            return f"{getattr(value, '__module__', kind.__module__)}.{found}"
        make, args, state, items, pairs = (*found, None, None, None)[:5]
        text = f"{self._spell(make)}({self._all(args)})"
        if isinstance(state, tuple) and len(state) == 2 and isinstance(state[1], dict):
            state = (state[0] or {}) | state[1]  # of slots; a worker's class has none
        if type(state) is dict:
            state = {name: v for name, v in state.items() if not remembered(kind, name)}
        if state is not None:
            text += f" state {self._spell(state)}"
        if items is not None:
            text += f" items {self._all(items)}"
        if pairs is not None:
            text += f" pairs {self._all(pairs)}"
        return text


def remembered(kind: type, name: Any) -> bool:
    """Whether an attribute is what a cached property found: there once it was asked for."""
    found = inspect.getattr_static(kind, name, None) if isinstance(name, str) else None
    return isinstance(found, functools.cached_property)


def plain(value: Any) -> Any:
    """numpy's numbers as Python's, in lists, tuples and dicts too; all else as it is."""
    if isinstance(value, np.generic) and value.dtype.kind in "biuf":
        return value.item()
    if type(value) in (list, tuple):
        return type(value)(map(plain, value))
    if type(value) is dict:
        return {plain(key): plain(item) for key, item in value.items()}
    return value


def digest(text: str | bytes) -> str:
    """The first 32 hex digits of SHA-256."""
    text = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return hashlib.sha256(text).hexdigest()[:32]


def _short(text: str) -> str:
    return text if len(text) <= LONG else f"{text[:30]}… sha256 {digest(text)}"


def _content(array: np.ndarray) -> str:
    """The bytes of a short array, the digest of a long one."""
    content = array.tobytes()
    return content.hex() if len(content) <= 32 else f"sha256 {digest(content)}"
