"""The restricted pickle reader: plain content comes back, all else is refused, nothing runs."""

import bz2
import copyreg
import io
import os
import pickle
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

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
    assert type(found["cifar10", 777]) is dict  # which has an order too


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
        assert issubclass(found, pickles.Record)


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


# --- few bytes that ask for much ---


def size(n, width):
    return n.to_bytes(width, "little")


def repeat(what, times):
    """`what` so often, with the number of the round, from 0, for {n}."""
    return b"".join(what.replace(b"{n}", bytes([n])) for n in range(times))


DEEP = b")" + b"\x85" * 200_000  # ((((...))))
DOUBLE = b")" + b"2\x86" * 60  # ((..., ...), (..., ...)), each time the same two
SET, ORDERED, ENCODE, ARRAY = (
    named(*name)[len(STACK) : -1]
    for name in (
        ("builtins", "set"),
        ("collections", "OrderedDict"),
        ("_codecs", "encode"),
        ("numpy", "ndarray"),
    )
)
GREEDY = {
    "lists in lists": b"]" * 200_000 + b"a" * 199_999,
    "tuples in tuples": DEEP,
    "a deep key": b"}" + DEEP + b"Ns",
    "a deep key of several": b"}(" + DEEP + b"Nu",
    "a deep key of a new dict": b"(" + DEEP + b"Nd",
    "a deep item of a set": b"\x8f(" + DEEP + b"\x90",
    "a deep item of a frozenset": b"(" + DEEP + b"\x91",
    "a deep item of a called set": SET + b"]" + DEEP + b"a\x85R",
    "a deep pair of a called dict": ORDERED + b"](" + DEEP + b"N\x86e\x85R",
    "deep arguments": ARRAY * 50_000 + b")R" + b"\x85R" * 49_999,
    "deep states": b"N\x940" + ARRAY + b")\x81" + (ARRAY + b")\x81") * 50_000 + b"b" * 50_000,
    "lists of twice the same": b"]\x94" + repeat(b"](h{n}h{n}e\x94", 60),
    "tuples of twice the same": DOUBLE,
    "a key of twice the same": b"}" + DOUBLE + b"Ns",
    "a state of twice the same": ARRAY + b")\x81" + DOUBLE + b"b",
    "twice the same, the short way first": b"]\x94](" + repeat(b"](h{n}e\x94", 60) + b"e",
    "a list in itself": b"]\x94h\x00a",
    "a list in itself, often": b"]\x94(" + b"h\x00" * 1000 + b"e",
    "a dict in itself": b"}\x94\x8c\x010h\x00s",
    "a distant memo": b"Nr" + size(2**31 - 1, 4),
    "a distant memo in text": b"Np2147483647\n",
    "a long text": b"\x8d" + size(4_500_000_000, 8),
    "long bytes": b"\x8e" + size(4_500_000_000, 8),
    "long bytes of 32 bits": b"B" + size(4_200_000_000, 4),
    "longer than there are numbers": b"\x8e" + size(2**64 - 1, 8),
    "a bytearray": b"\x96" + size(4_500_000_000, 8),
    "a buffer": b"\x97",
    "a frame": b"\x95" + size(4_500_000_000, 8),
    "a long number": b"\x8b" + size(200_000, 4) + b"\x7f" * 200_000,
    "a long number in a dict": b"}\x8c\x010\x8b" + size(200_000, 4) + b"\x7f" * 200_000 + b"s",
    "a long number in text": b"L" + b"9" * 200_000 + b"L\n",
    "a long name": b"c" + b"x" * 200_000 + b"\nx\n",
    "keys of one hash": b"}("
    + b"".join(b"\x8a\x0c" + size(k * (2**61 - 1), 12) + b"N" for k in range(50_000))
    + b"u",
    "calls with a long list": b"](" + b"\x8c\x01kN\x86" * 10_000 + b"e\x940"
    + (ORDERED + b"h\x00\x85R0") * 10_000 + b"N",
    "sets of a long list": b"](" + b"K\x01" * 50_000 + b"e\x940" + (SET + b"h\x00\x85R0") * 10_000
    + b"N",
    "bytes of a long text": b"X" + size(200_000, 4) + b"x" * 200_000 + b"\x940]("
    + (ENCODE + b"h\x00\x8c\x06latin1\x86R") * 20_000 + b"e",
    "states of a long dict": b"}(" + b"".join(b"\x8c\x05%05dN" % k for k in range(20_000))
    + b"u\x940](" + (ORDERED + b")Rh\x00b") * 20_000 + b"e",
    "marks": b"(" * 500_000,
}  # fmt: skip
READ = """
import os, resource, sys
from pathlib import Path
from padalib.benchmarks import tables
for path in map(Path, sys.argv[1:]):
    child = os.fork()
    if not child:
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 2**28,) * 2)  # 256 MiB more
        resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
        try:
            if path.suffix == ".pbz2":
                tables._archived(path)
            else:
                tables.read(path)
            said = "was read"
        except tables.TableError as error:
            said = "" if len(str(error)) < 1000 and str(path) in str(error) else str(error)[:1000]
        except BaseException as error:
            said = repr(error)[:200]
        print(path.stem, "|", said, flush=True)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if status:
        print(path.stem, "| ended by", status, flush=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited as Linux does it")
def test_no_small_file_takes_much_memory_or_time_or_the_process(tmp_path):
    for name, content in GREEDY.items():
        (tmp_path / f"{name}.anb").write_bytes(STACK + content + b".")
    np.save(tmp_path / "object.npy", {"0": 1}, allow_pickle=True)
    whole = (tmp_path / "object.npy").read_bytes()
    start = whole.index(STACK[:1], 10)
    (tmp_path / "deep.npy").write_bytes(whole[:start] + STACK + DEEP + b".")
    header = b"\x93NUMPY\x02\x00" + size(2**32 - 1, 4)
    (tmp_path / "a long header.npy").write_bytes(header + whole[10:])
    packed = bz2.compress(STACK + b"]" * 2**25 + b"a" * (2**25 - 1) + b".")
    (tmp_path / "packed.pbz2").write_bytes(packed)
    files = sorted(set(tmp_path.iterdir()) - {tmp_path / "object.npy"})
    assert all(file.stat().st_size < 1_500_000 for file in files)
    root = Path(pickles.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", READ, *files],
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    found = dict(line.split(" | ", 1) for line in done.stdout.splitlines())
    assert found == {file.stem: "" for file in files}


def test_what_is_shared_and_small_comes_back():
    shared = [1, 2]
    given = {"a": shared, "b": shared, ("k", 1): [[shared] * 3] * 2, "set": {1.5, "x", (1, 2)}}
    assert pickles.unpickle(io.BytesIO(pickle.dumps(given)), Path("x")) == given
