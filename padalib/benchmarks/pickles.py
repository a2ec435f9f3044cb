"""Reads pickles that nobody vouches for: nothing in them is imported or run, or takes for ever.

Numpy's arrays, and objects of the packages that wrote the file, come back as inert `Record`s.
Python's own reader in C trusts lengths and numbers in the file before it has read on, and hashes
whatever a file makes a key; so this is the one in Python, with a bound wherever a few bytes can ask
for more.
"""

import io
import os
import pickle
import re
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import numpy as np

MOST = 2**25  # bytes of one pickle: six times the largest table known
DEEPEST = 30  # containers in containers; the archive's records have ten
LONGEST_KEY = 16  # items of a tuple, or of what a call is given
LARGEST_KEY = 2**32  # numbers below it cannot share a hash
LARGEST = 1024  # bits of a number
ATOMS = (str, bytes, int, float, bool, type(None))


class TableError(ValueError):
    """A file that cannot be read as a table: which one, and what is wrong with it."""


class _Sealed(type):
    """Makes classes that a pickle cannot change, should it take one for an object to fill."""

    def __setattr__(cls, name: str, value: Any) -> None:
        raise pickle.UnpicklingError(f"it sets {name!r} of a class")


class Record(metaclass=_Sealed):
    """Stands in for an object: keeps what the file says of it and does nothing."""

    __slots__ = ("args", "state")

    def __new__(cls, *args: Any) -> "Record":
        record = super().__new__(cls)
        record.args, record.state = args, None
        return record

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Scalar(Record):
    """Stands in for a numpy scalar: becomes the plain number."""

    __slots__ = ()

    def __new__(cls, dtype: Record, data: bytes) -> bool | int | float:
        code, order = dtype.args[0], dtype.state[1]
        if not re.fullmatch("[biuf][1248]", code) or order not in ("<", ">", "|"):
            raise pickle.UnpicklingError(f"a number of type {order}{code}")
        (number,) = np.frombuffer(data, np.dtype(order + code))
        return number.item()


# A call costs a few bytes of a file, however much it is given: so each is given little.


class _Bytes(Record):
    """Stands in for the call that older pickles write for bytes; long ones stay inert."""

    __slots__ = ()

    def __new__(cls, text: str, encoding: str) -> "bytes | Record":
        if len(text) > LONGEST_KEY:
            return Record.__new__(Record, text, encoding)
        return text.encode("latin1")


class _Set(Record):
    """Stands in for the call that older pickles write for sets, of few items only."""

    __slots__ = ()

    def __new__(cls, items: list = ()) -> set:
        if len(items) > LONGEST_KEY:
            raise pickle.UnpicklingError(f"it has a set of {len(items)} items")
        return set(_keys(list(items)))


class _Ordered(Record):
    """Stands in for an OrderedDict: becomes a dict, which has an order too."""

    __slots__ = ()

    def __new__(cls) -> dict:
        return {}


# Numpy itself is not handed out: a forged dtype makes it take bytes for pointers.
STAND_INS = {
    ("builtins", "set"): _Set,
    ("__builtin__", "set"): _Set,
    ("_codecs", "encode"): _Bytes,
    ("collections", "OrderedDict"): _Ordered,
    ("numpy", "dtype"): Record,
    ("numpy", "ndarray"): Record,
    ("numpy.core.multiarray", "_reconstruct"): Record,
    ("numpy._core.multiarray", "_reconstruct"): Record,
    ("numpy.core.multiarray", "scalar"): _Scalar,
    ("numpy._core.multiarray", "scalar"): _Scalar,
    ("analognasbench.data", "Architecture"): Record,
    ("analognasbench.data", "DriftMeasurement"): Record,
}


class _Refused(Exception):
    """A class that no table needs."""


class _Unpickler(pickle._Unpickler):
    def find_class(self, module: str, name: str) -> type:
        """A stand-in; nothing is ever imported, whatever dots are in the name."""
        if (module, name) not in STAND_INS:
            raise _Refused(f"{module}.{name}")
        return STAND_INS[module, name]

    def _no_buffer(self) -> None:
        raise pickle.UnpicklingError("it has a buffer, whose memory is taken before it is read")

    # What makes keys; `self.stack` holds what came after the last mark.

    def _set_one(self) -> None:
        _keys(self.stack[-2:-1])
        self.load_setitem()

    def _set_some(self) -> None:
        _keys(self.stack[::2])
        self.load_setitems()

    def _make_dict(self) -> None:
        _keys(self.stack[::2])
        self.load_dict()

    def _add_some(self) -> None:
        _keys(self.stack)
        self.load_additems()

    def _make_frozenset(self) -> None:
        _keys(self.stack)
        self.load_frozenset()

    dispatch = pickle._Unpickler.dispatch | {
        pickle.BYTEARRAY8[0]: _no_buffer,
        pickle.NEXT_BUFFER[0]: _no_buffer,
        pickle.READONLY_BUFFER[0]: _no_buffer,
        pickle.SETITEM[0]: _set_one,
        pickle.SETITEMS[0]: _set_some,
        pickle.DICT[0]: _make_dict,
        pickle.ADDITEMS[0]: _add_some,
        pickle.FROZENSET[0]: _make_frozenset,
    }


def _keys(keys: list) -> list:
    """`keys`, if hashing them takes no time and no two of them are made to share a hash."""
    for key in keys:
        if type(key) is str:
            continue
        parts = key if type(key) is tuple else (key,)
        if len(parts) > LONGEST_KEY or not all(
            type(part) in ATOMS and (type(part) is not int or -LARGEST_KEY < part < LARGEST_KEY)
            for part in parts
        ):
            raise pickle.UnpicklingError(
                "it has a key that is no text, no small number and no short tuple of them"
            )
    return keys


def _check_size(value: Any, most: int) -> None:
    """UnpicklingError for nests too deep, or with more than `most` items when written out.

    A container that stands at several places counts as often: whoever prints, compares or copies
    the content meets it so.
    """
    known: dict[int, tuple[int, int]] = {}

    def measure(value: Any, depth: int) -> tuple[int, int]:
        """(items, height)."""
        if type(value) is int and value.bit_length() > LARGEST:
            raise pickle.UnpicklingError(f"it has a number of {value.bit_length()} bits")
        if id(value) in known:
            items, height = known[id(value)]
        else:
            items, height = 1, 0
            for part in _parts(value) if depth <= DEEPEST else ():
                if type(part) in ATOMS and type(part) is not int:
                    items += 1
                    continue
                more, below = measure(part, depth + 1)
                items, height = items + more, max(height, below + 1)
            known[id(value)] = items, height
        if depth + height > DEEPEST:
            raise pickle.UnpicklingError(f"it nests more than {DEEPEST} deep")
        if items > most:
            raise pickle.UnpicklingError("it repeats itself until it is far larger than its file")
        return items, height

    measure(value, 0)


def _parts(value: Any) -> Iterable:
    if isinstance(value, dict):
        return (part for pair in value.items() for part in pair)
    if isinstance(value, Record):
        return (*value.args, value.state)
    return value if isinstance(value, (list, tuple, set, frozenset)) else ()


def unpickle(file: IO[bytes], path: Path, most: int = MOST) -> Any:
    """Numbers, strings, containers and `Record`s out of an open pickle of up to `most` bytes.

    Raises TableError that names the file, and the class that it asks for where it wants more.
    """
    try:
        content = file.read(most + 1)
        if len(content) > most:
            raise pickle.UnpicklingError(f"it holds more than {most:,} bytes")
        value = _Unpickler(io.BytesIO(content)).load()
        _check_size(value, 1000 + 4 * len(content))
        return value
    except _Refused as error:
        raise TableError(
            f"{path} was refused: it asks for {str(error)[:200]}, and a table needs numbers, "
            "strings and containers only; what asks for more can run code when it is read. Fetch "
            "the file again from its source, and do not open it otherwise"
        ) from None
    except Exception as error:  # a damaged pickle can raise nearly anything, says its manual
        raise TableError(
            f"{path} cannot be read ({type(error).__name__}: {str(error)[:200]}): fetch it again "
            "from its source"
        ) from error


def unpickle_npy(path: Path) -> Any:
    """The same out of a .npy file in which numpy has saved one object."""
    with path.open("rb") as file:
        major, _ = np.lib.format.read_magic(file)
        length = int.from_bytes(file.read(2 if major == 1 else 4), "little")
        file.seek(length, os.SEEK_CUR)  # past the header
        return unpickle(file, path).state[4][0]  # the one item of an array of shape ()
