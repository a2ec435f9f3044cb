"""Reads pickles that nobody vouches for: nothing in them is imported or run.

Numpy's arrays, and objects of the packages that wrote the file, come back as inert `Record`s.
"""

import pickle
import re
from collections import OrderedDict
from pathlib import Path
from typing import IO, Any

import numpy as np


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


class _Bytes(Record):
    """Stands in for the call that older pickles write for bytes."""

    __slots__ = ()

    def __new__(cls, text: str, _encoding: str) -> bytes:
        return text.encode("latin1")


# Numpy itself is not handed out: a forged dtype makes it take bytes for pointers.
STAND_INS = {
    ("builtins", "set"): set,
    ("__builtin__", "set"): set,
    ("_codecs", "encode"): _Bytes,
    ("collections", "OrderedDict"): OrderedDict,
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


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type:
        """A stand-in; nothing is ever imported, whatever dots are in the name."""
        if (module, name) not in STAND_INS:
            raise _Refused(f"{module}.{name}")
        return STAND_INS[module, name]


def unpickle(file: IO[bytes], path: Path) -> Any:
    """Numbers, strings, containers and `Record`s out of an open pickle.

    Raises TableError that names the file, and the class that it asks for where it wants more.
    """
    try:
        return _Unpickler(file).load()
    except _Refused as error:
        raise TableError(
            f"{path} was refused: it asks for {error}, and a table needs numbers, strings and "
            "containers only; what asks for more can run code when it is read. Fetch the file "
            "again from its source, and do not open it otherwise"
        ) from None
    except Exception as error:  # a damaged pickle can raise nearly anything, says its manual
        raise TableError(
            f"{path} cannot be read ({type(error).__name__}: {error}): fetch it again"
        ) from error


def unpickle_npy(path: Path) -> Any:
    """The same out of a .npy file in which numpy has saved one object."""
    with path.open("rb") as file:
        major, _ = np.lib.format.read_magic(file)
        file.read(int.from_bytes(file.read(2 if major == 1 else 4), "little"))  # past the header
        return unpickle(file, path).state[4][0]  # the one item of an array of shape ()
