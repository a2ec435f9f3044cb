"""The restricted pickle reader: plain content comes back, all else is refused, nothing runs."""

import copyreg
import os
import pickle
from collections import OrderedDict

import numpy as np
import pandas as pd
import pytest

from padalib.benchmarks import pickles

RAN = []


def ran(*args):
    RAN.append(args)


@pytest.fixture(autouse=True)
def nothing_runs():
    RAN.clear()
    yield
    assert not RAN


def load(content, tmp_path):
    path = tmp_path / "table.pkl"
    path.write_bytes(content)
    with path.open("rb") as file:
        return pickles.unpickle(file, path)


class Call:
    """Pickles as a call of `function`."""

    def __init__(self, function, *args):
        self.reduced = function, args

    def __reduce__(self):
        return self.reduced


@pytest.mark.parametrize("protocol", range(6))
def test_plain_content_comes_back(protocol, tmp_path):
    given = {
        "a": [1, 2.5, -3, 10**30, True, None, "text"],
        ("cifar10", 777): OrderedDict(x={1, 2}),
        "n": [np.float64(1.5), np.float32(0.25), np.int64(-7), np.uint8(200), np.bool_(True)],
    }
    found = load(pickle.dumps(given, protocol), tmp_path)
    assert found == given
    assert [type(number) for number in found["n"]] == [float, float, int, int, bool]
    assert type(found["cifar10", 777]) is OrderedDict


def test_big_endian_and_old_numpy_numbers(tmp_path):
    number = pickle.dumps(np.dtype(">f8").type(2.5), 2).replace(b"numpy._core", b"numpy.core")
    swapped = number.replace(b"U\x01<", b"U\x01>").replace(b"X\x01\0\0\0<", b"X\x01\0\0\0>")
    assert load(number, tmp_path) == 2.5
    assert swapped != number
    assert load(swapped, tmp_path) == np.array(2.5).byteswap()


def test_arrays_stay_inert(tmp_path):
    found = load(pickle.dumps({"matrix": np.ones((4, 4))}, 4), tmp_path)
    assert type(found["matrix"]) is pickles.Record


STACK = b"\x80\x04"


def named(module, name):
    """A protocol 4 pickle of that name."""
    parts = (b"\x8c" + bytes([len(part)]) + part.encode() for part in (module, name))
    return STACK + b"".join(parts) + b"\x93."


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    ("evil", "name"),
    [
        (Call(ran, "called"), r"\w*test_pickles\.ran"),
        (Call(os.system, "false"), "(posix|nt).system"),
        (Call(eval, "1"), r"(builtins|__builtin__)\.eval"),
        (Call(getattr, "x", "upper"), r"(builtins|__builtin__)\.getattr"),
        (Call(pickle.loads, "x"), r"_?pickle\.loads"),
        (Call(np.load, "x.npy"), r"numpy\.load"),
        (Call(np.frombuffer, b"12345678"), r"numpy\.(_core\.multiarray\.)?frombuffer"),
        (np.array([[1.0]]).view(np.matrix), r"numpy.*\.matrix"),
        (np.array([Call(ran)], dtype=object), r"\w*test_pickles\.ran"),
        ({"a": [{"b": (1, Call(ran))}]}, r"\w*test_pickles\.ran"),
        (pd.Series([1.0]), r"(pandas|copy_?reg|functools)\."),
    ],
    ids=lambda value: value.replace("\\", "") if isinstance(value, str) else "",
)
def test_code_is_refused(evil, name, protocol, tmp_path):
    content = pickle.dumps(evil, protocol)
    with pytest.raises(
        pickles.TableError, match=rf"table\.pkl was refused: it asks for {name}"
    ) as error:
        load(content, tmp_path)
    assert "can run code when it is read" in str(error.value)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("collections", "OrderedDict.__init__"),
        ("collections", "OrderedDict.__class__.__base__"),
        ("collections", "abc.sys.modules"),
        ("collections", "_sys"),
        ("builtins", "set.__class__"),
        ("builtins", "type"),
        ("builtins", "object"),
        ("numpy", "dtype.__class__"),
        ("numpy", "ndarray.__array_function__"),
        ("numpy", "os.system"),
        ("numpy.core.multiarray", "_reconstruct.__self__"),
        ("numpy.core", "multiarray.scalar"),
        ("numpy._core.numeric", "_frombuffer"),
        ("analognasbench.data", "os.system"),
        ("analognasbench.data", "AnalogNASBench"),
        ("analognasbench", "data.Architecture"),
        ("padalib.benchmarks.pickles", "pickle.loads"),
        ("padalib.benchmarks.pickles", "Record"),
        ("copyreg", "_reconstructor"),
        ("functools", "partial"),
        ("", ""),
    ],
)
def test_names_that_lead_elsewhere_are_refused(module, name, tmp_path):
    with pytest.raises(pickles.TableError, match=rf"refused: it asks for {module}\.{name},"):
        load(named(module, name), tmp_path)


def test_other_ways_to_a_class_are_refused(tmp_path):
    for content in (b"(S'false'\nios\nsystem\n.", b"cos\nsystem\n(S'false'\ntR."):
        with pytest.raises(pickles.TableError, match=r"refused: it asks for os\.system"):
            load(content, tmp_path)
    copyreg.add_extension(__name__, "ran", 240)  # a class by number
    try:
        with pytest.raises(pickles.TableError, match=r"refused: it asks for \w*test_pickles\.ran"):
            load(pickle.dumps(ran, 4), tmp_path)
    finally:
        copyreg.remove_extension(__name__, "ran", 240)
    with pytest.raises(pickles.TableError, match="persistent"):
        load(b"\x80\x04\x8c\x01xQ.", tmp_path)


def test_nothing_of_numpy_is_handed_out(tmp_path):
    for module, name in pickles.STAND_INS:
        found = load(named(module, name), tmp_path)
        assert found in (set, OrderedDict) or issubclass(found, pickles.Record)


@pytest.mark.parametrize("name", ["Architecture", "DriftMeasurement"])
@pytest.mark.parametrize("attribute", ["__setstate__", "__new__", "state", "new"])
def test_a_pickle_cannot_change_the_stand_ins(name, attribute, tmp_path):
    before = dict(vars(pickles.Record))
    kind = named("analognasbench.data", name)[len(STACK) : -1]
    value = b"\x8c" + bytes([len(attribute)]) + attribute.encode() + named("builtins", "set")[2:-1]
    with pytest.raises(pickles.TableError):  # (None, {attribute: set}) sets attributes
        load(STACK + kind + b"N}" + value + b"s\x86b.", tmp_path)
    with pytest.raises(pickles.TableError):  # a plain dict fills __dict__
        load(STACK + kind + b"}" + value + b"sb.", tmp_path)
    assert dict(vars(pickles.Record)) == before
    with pytest.raises(pickle.UnpicklingError, match=f"it sets '{attribute}' of a class"):
        setattr(pickles.Record, attribute, None)


@pytest.mark.parametrize(
    ("code", "order", "data"),
    [
        ("O", "|", bytes(8)),  # a pointer
        ("V8", "|", bytes(8)),
        ("O8", "|", bytes(8)),
        ("f8, O", "<", bytes(16)),
        ("f8", "<", bytes(4)),
        ("f8", "<", bytes(16)),
        ("f8", "O", bytes(8)),
        ("f8", None, bytes(8)),
        ("f8", "f8,", bytes(16)),
        (None, "<", bytes(8)),
        ("f8", "<", 8),
    ],
)
def test_forged_numbers_are_refused(code, order, data, tmp_path):
    def put(value):
        return pickle.dumps(value, 3)[2:-1]

    dtype = named("numpy", "dtype")[2:-1] + put((code,)) + b"R"
    dtype += put((3, order, None, None, None, -1, -1, 0)) + b"b"
    scalar = named("numpy._core.multiarray", "scalar")[2:-1] + dtype
    if (code, order) == ("f8", "<"):  # all is well but for the data
        assert load(STACK + scalar + put(bytes(8)) + b"\x86R.", tmp_path) == 0.0
    with pytest.raises(pickles.TableError, match=r"table\.pkl cannot be read"):
        load(STACK + scalar + put(data) + b"\x86R.", tmp_path)
