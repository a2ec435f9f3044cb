"""Foreign tables: every layout is read as its makers wrote it, and no file can run code."""

import bz2
import pickle
import sys
from collections import OrderedDict
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from padalib import spaces
from padalib.benchmarks import tables
from padalib.engine import paths
from padalib.ranking import metrics

SPACE = spaces.get("nasbench201")
ARCHS = [(3, 1, 0, 2, 4, 0), (0, 1, 2, 3, 4, 0), (1, 1, 1, 1, 1, 1), (4, 0, 3, 2, 1, 2)]
STRINGS = [SPACE.decode(arch) for arch in ARCHS]
RAN = []


def ran():
    RAN.append(True)


class Evil:
    """Pickles as a call of `ran`."""

    def __reduce__(self):
        return ran, ()


@pytest.fixture(autouse=True)
def nothing_runs():
    RAN.clear()
    yield
    assert not RAN


def npy(path, content, **kwargs):
    np.save(path, content, allow_pickle=True, **kwargs)
    return path


def entries():
    """As in PA&DA's file: text keys, operations as ints, a matrix, accuracies of two digits."""
    return {
        str(i): {
            "arch": string + "\n",
            "adj_matrix": np.ones((4, 4)),
            "operation": list(arch),
            **{
                f"{name}_{split}": round(10 * k + i + 0.01 * j, 2)
                for k, name in enumerate(("cifar10", "cifar100", "imagenet16"), start=1)
                for j, split in enumerate(("train", "valid", "test"))
            },
        }
        for i, (arch, string) in enumerate(zip(ARCHS, STRINGS, strict=True))
    }


# --- every layout ---


def test_npy(tmp_path):
    source, table = tables.read(npy(tmp_path / "nasbench201_dict.npy", entries()))
    assert source == "NAS-Bench-201, PA&DA's copy"
    assert list(table["string"]) == STRINGS
    assert list(table["cifar10_valid"]) == [10.01, 11.01, 12.01, 13.01]
    assert list(table["cifar10_test"]) == [10.02, 11.02, 12.02, 13.02]
    assert table.loc[2, "imagenet16-120_test"] == 32.02
    assert len(table.columns) == 7


def test_npy_with_numpy_numbers_and_without_strings(tmp_path):
    given = entries()
    for entry in given.values():
        entry["cifar10_test"] = np.float32(entry["cifar10_test"])
        del entry["arch"]
    _, table = tables.read(npy(tmp_path / "x.npy", given))
    np.testing.assert_array_equal(table["cifar10_test"], np.float32([10.02, 11.02, 12.02, 13.02]))


def test_npy_names_operations_that_do_not_exist(tmp_path):
    given = entries()
    given["1"]["operation"] = [0, 1, 2, 3, 4, 5]
    _, table = tables.read(npy(tmp_path / "x.npy", given))
    assert list(table["string"]) == [STRINGS[0], "(0, 1, 2, 3, 4, 5)", *STRINGS[2:]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"0": {"cifar10_test": 90.0}}, "is not laid out as NAS-Bench-201, PA&DA's copy is"),
        ([1, 2, None], "is not laid out as"),
        ({"0": 3}, "is not laid out as"),
        (np.arange(4.0), "cannot be read"),
    ],
)
def test_other_npy_files_are_named(content, message, tmp_path):
    with pytest.raises(tables.TableError, match=rf"x\.npy {message}"):
        tables.read(npy(tmp_path / "x.npy", content))


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"PK\x03\x04 something else"])
def test_files_that_are_no_npy(content, tmp_path):
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(tables.TableError, match=r"x\.npy"):
        tables.read(tmp_path / "x.npy")


def test_csv(tmp_path):
    (tmp_path / "nasbench201.csv").write_text(
        "index,arch,cifar10_val,cifar10_test,imagenet16_120_val,imagenet16_120_test,params,macs\n"
        f"0,{STRINGS[0]},81.5,85.25,,nan,5,6\n1,{STRINGS[1]},1,2,3,4,5,6\n"
    )
    source, table = tables.read(tmp_path / "nasbench201.csv")
    assert source == "NAS-Bench-201, official"
    assert list(table["string"]) == STRINGS[:2]
    assert list(table["cifar10_valid"]) == [81.5, 1] and list(table["cifar10_test"]) == [85.25, 2]
    assert table["imagenet16-120_valid"].isna().to_list() == [True, False]
    assert table.loc[0, "imagenet16-120_test"] == "nan"  # not taken for missing


def test_other_csv_files_are_named(tmp_path):
    for content, message in (
        (b"", "cannot be read as CSV"),
        (b"arch\n\xff\xfe", "cannot be read as CSV"),
        (b'arch,cifar10_val\n"|none', "cannot be read as CSV"),
        (b"architecture,cifar10_val\n1,2\n", "has no column 'arch'"),
    ):
        (tmp_path / "x.csv").write_bytes(content)
        with pytest.raises(tables.TableError, match=rf"x\.csv {message}"):
            tables.read(tmp_path / "x.csv")


def trial(epochs, last, sets):
    """The fields of the benchmark's record of one training; `last` is its final accuracy."""
    return {
        "name": "cifar10",
        "net_state_dict": None,
        "train_acc1es": {epoch: 1.0 for epoch in range(epochs)},
        "train_acc5es": None,
        "train_losses": {epoch: 1.0 for epoch in range(epochs)},
        "train_times": None,
        "arch_config": {"channel": 16, "num_cells": 5, "arch_str": "", "class_num": 10},
        "params": np.float64(0.8),  # numpy's numbers are in the real files too
        "flop": np.float64(117.3),
        "seed": "777",
        "epochs": epochs,
        "latency": [0.01],
        "eval_names": list(sets),
        "eval_acc1es": {
            f"{name}@{epoch}": last[name] if epoch == epochs - 1 else 5.0
            for name in sets
            for epoch in range(epochs)
        },
        "eval_losses": {f"{name}@{epoch}": 1.0 for name in sets for epoch in range(epochs)},
        "eval_times": {f"{name}@{epoch}": 1.0 for name in sets for epoch in range(epochs)},
    }


def record(index, string, seeds, acc, epochs=3):
    """An architecture's record: all four trainings of the benchmark, with every seed."""
    sets = {
        "cifar10-valid": ("x-valid", "ori-test"),
        "cifar10": ("ori-test",),
        "cifar100": ("ori-test", "x-valid", "x-test"),
        "ImageNet16-120": ("ori-test", "x-valid", "x-test"),
    }
    return {
        "arch_index": index,
        "arch_str": string,
        "all_results": {
            (training, seed): trial(
                epochs, {name: acc(index, training, name, seed) for name in names}, names
            )
            for training, names in sets.items()
            for seed in seeds
        },
        "dataset_seed": {training: list(seeds) for training in sets},
        "clear_net_done": True,
    }


def accuracy(index, training, name, seed):
    trainings = ("cifar10-valid", "cifar10", "cifar100", "ImageNet16-120")
    names = ("ori-test", "x-valid", "x-test")
    return 20 * trainings.index(training) + 5 * names.index(name) + index / 64 + seed / 1000


def write(path, content):
    with bz2.open(path, "wb") as file:
        pickle.dump(content, file, protocol=4)


def archive(root, strings=STRINGS, seeds=lambda index: (777, 888, 999), acc=accuracy):
    """An archive as the benchmark's own script writes it, of few architectures and epochs."""
    folder = root / tables.ARCHIVE
    folder.mkdir(parents=True)
    meta = {"meta_archs": list(strings), "total_archs": len(strings), "arch2infos": None}
    write(folder / "meta.pickle.pbz2", meta | {"evaluated_indexes": set()})
    for index, string in enumerate(strings):
        content = OrderedDict(
            {
                "12": record(index, string, (111, 777), lambda *_: 1.0),
                "200": record(index, string, seeds(index), acc),
            }
        )
        write(folder / f"{index:06d}.pickle.pbz2", content)
    return folder


def test_archive(tmp_path):
    nats_bench = pytest.importorskip("nats_bench")
    folder = archive(tmp_path, seeds=lambda index: (777, 888, 999)[: 3 - index % 3])
    source, table = tables.read(folder)
    assert source == "NATS-Bench, official"
    assert list(table["string"]) == STRINGS
    assert len(table.columns) == 1 + 3 * 2 * 3
    assert table["cifar10_valid_888"].isna().to_list() == [False, False, True, False]
    assert table["cifar10_valid_999"].isna().to_list() == [False, True, True, False]
    assert list(table["cifar10_valid_777"]) == [5 + i / 64 + 0.777 for i in range(4)]
    # The API itself, on the same files.
    api = nats_bench.create(str(folder), "tss", fast_mode=True, verbose=False)
    theirs = {
        ("cifar10", "valid"): "cifar10-valid",
        ("cifar10", "test"): "cifar10",
        ("cifar100", "valid"): "cifar100",
        ("cifar100", "test"): "cifar100",
        ("imagenet16-120", "valid"): "ImageNet16-120",
        ("imagenet16-120", "test"): "ImageNet16-120",
    }
    for index in range(4):
        for (dataset, split), training in theirs.items():
            info = api.get_more_info(index, training, hp="200", is_random=777)
            assert table.loc[index, f"{dataset}_{split}_777"] == info[f"{split}-accuracy"]


def test_archive_is_kept_as_csv(tmp_path, monkeypatch):
    pytest.importorskip("nats_bench")
    folder = archive(tmp_path)
    _, first = tables.read(folder)
    (kept,) = (paths.data_root() / "cache").iterdir()

    def slow(file):
        raise AssertionError(f"{file} is read again")

    with monkeypatch.context() as patch:
        patch.setattr(tables, "_archived", slow)
        pd.testing.assert_frame_equal(tables.read(folder)[1], first)
    content = {"200": record(0, STRINGS[0], (777,), lambda *_: 50.0)}
    write(folder / "000000.pickle.pbz2", content)
    assert tables.read(folder)[1].loc[0, "cifar10_test_777"] == 50.0
    assert kept.exists()


def test_archive_keeps_a_nan_apart_from_a_missing_seed(tmp_path):
    pytest.importorskip("nats_bench")
    folder = archive(tmp_path, acc=lambda index, *_: float("nan") if index == 2 else 60.0)
    assert tables.read(folder)[1].loc[2, "cifar10_test_888"] == "nan"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"12": {}}, r"is not laid out as NATS-Bench, official is \(KeyError"),
        ([1, 2], "is not laid out as"),
        ({"200": {"arch_str": "x", "dataset_seed": {"cifar10": [777]}}}, "is not laid out as"),
        ({"200": {"arch_str": "x", "get_dataset_names": 3}}, "is not laid out as"),
    ],
)
def test_other_archives_are_named(content, message, tmp_path):
    pytest.importorskip("nats_bench")
    folder = archive(tmp_path)
    write(folder / "000001.pickle.pbz2", content)
    with pytest.raises(tables.TableError, match=message):
        tables.read(folder)


def test_an_empty_archive(tmp_path):
    with pytest.raises(tables.TableError, match=r"holds no \*\.pickle\.pbz2: unpack the archive"):
        tables.read(tmp_path)


def test_a_damaged_archive(tmp_path):
    pytest.importorskip("nats_bench")
    folder = archive(tmp_path)
    file = folder / "000002.pickle.pbz2"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(tables.TableError, match=r"000002\.pickle\.pbz2 cannot be read \(EOFError"):
        tables.read(folder)
    assert not (paths.data_root() / "cache").exists()


def test_archive_without_the_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "nats_bench", None)
    with pytest.raises(ModuleNotFoundError, match=r"`pip install nats-bench`, or pass the path="):
        tables.read(archive(tmp_path))


@pytest.fixture
def analog(tmp_path, monkeypatch):
    """A data file as in the package: a pickle of objects of two classes of its own."""
    module = ModuleType("analognasbench.data")
    for name in ("Architecture", "DriftMeasurement"):
        setattr(module, name, type(name, (), {"__module__": module.__name__}))

    def of(cls, **fields):
        made = cls()
        vars(made).update(fields)
        return made

    drift = of(module.DriftMeasurement, value=10.0, uncertainty=0.0)
    # Edges by source, operations in another order: the first is 3x3, skip, 1x1, none, pool, none.
    keys = [(2, 0, 3, 1, 4, 1), (1, 0, 2, 3, 4, 1)]
    content = {
        key: of(
            module.Architecture,
            architecture=key,
            baseline_accuracy=90.5 + i,
            noisy_accuracy=10.0,
            baseline_drift_60=drift,
        )
        for i, key in enumerate(keys)
    }
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "analognasbench", ModuleType("analognasbench"))
        patch.setitem(sys.modules, module.__name__, module)
        (tmp_path / "data.anb").write_bytes(pickle.dumps(content, protocol=4))
    return tmp_path / "data.anb"


def test_retraining(analog):
    source, table = tables.read(analog)
    assert source == "independent retraining (analog-nasbench)"
    assert table.to_dict("list") == {
        "string": STRINGS[:2],
        "cifar10_test": [90.5, 91.5],
    }


def test_the_package_is_found_and_not_imported(tmp_path, monkeypatch):
    package = tmp_path / "analognasbench"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "analognasbench", raising=False)
    assert tables.retraining() is None  # a package without its data
    (package / "data.anb").write_bytes(b"")
    assert tables.retraining() == package / "data.anb"


def test_the_real_retraining_agrees_with_the_official_table(real):
    official, path = real(tables.CSV), tables.retraining()
    if not path:
        pytest.skip("needs the package analog-nasbench")
    official, other = (tables.read(source)[1].set_index("string") for source in (official, path))
    assert len(official) == len(other) == 15_625 and set(official.index) == set(other.index)
    other = other["cifar10_test"].loc[official.index]
    assert metrics.tau(official["cifar10_test"], other) == pytest.approx(0.924, abs=5e-4)
    assert metrics.tau(official["cifar10_valid"], other) == pytest.approx(0.901, abs=5e-4)


def test_which_table_wins(tmp_path, monkeypatch):
    package = tmp_path / "site" / "data.anb"
    monkeypatch.setattr(tables, "retraining", lambda: package if package.exists() else None)
    with pytest.raises(FileNotFoundError) as error:
        tables.find(tmp_path)
    for word in (str(tmp_path), tables.ARCHIVE, tables.CSV, tables.NPY, "pip install analog-nas"):
        assert word in str(error.value)
    package.parent.mkdir()
    for path in (package, tmp_path / tables.NPY, tmp_path / tables.CSV):
        path.write_bytes(b"")
        assert tables.find(tmp_path) == path
    (tmp_path / tables.ARCHIVE).mkdir()
    assert tables.find(tmp_path) == tmp_path / tables.ARCHIVE


def test_the_benchmarks_numbers_are_kept_where_they_are_known_to_be_its_own(tmp_path, monkeypatch):
    npy(tmp_path / "x.npy", entries())
    pd.DataFrame({"index": range(4), "arch": STRINGS}).to_csv(tmp_path / "x.csv", index=False)
    for name in ("x.npy", "x.csv"):
        assert "index" not in tables.read(tmp_path / name)[1]  # of four architectures
    monkeypatch.setattr(tables, "NUMBERS", {0: ARCHS[0], 3: ARCHS[3]})
    for name in ("x.npy", "x.csv"):
        assert list(tables.read(tmp_path / name)[1]["index"]) == [0, 1, 2, 3]
    for wrong in ([0, 1, 2, 4], [3, 2, 1, 0], [0, 1, 1, 3], [0, 1.5, 2, 3], [0, "", 2, 3]):
        pd.DataFrame({"index": wrong, "arch": STRINGS}).to_csv(tmp_path / "x.csv", index=False)
        assert "index" not in tables.read(tmp_path / "x.csv")[1]


def test_the_archives_files_are_named_by_the_benchmarks_numbers(tmp_path, monkeypatch):
    pytest.importorskip("nats_bench")
    monkeypatch.setattr(tables, "NUMBERS", {0: ARCHS[0], 3: ARCHS[3]})
    assert list(tables.read(archive(tmp_path))[1]["index"]) == [0, 1, 2, 3]


# --- pickles that nobody vouches for ---


def test_every_reader_refuses(tmp_path):
    evil = {"0": entries()["0"] | {"cifar10_test": Evil()}}
    (tmp_path / "data.anb").write_bytes(pickle.dumps({(0,) * 6: Evil()}))
    for path in (npy(tmp_path / "x.npy", evil), tmp_path / "data.anb"):
        with pytest.raises(tables.TableError, match=rf"{path} was refused: it asks for .*ran"):
            tables.read(path)


def test_the_archive_is_refused_before_the_package_sees_it(tmp_path):
    pytest.importorskip("nats_bench")
    folder = archive(tmp_path)
    write(folder / "000003.pickle.pbz2", {"200": Evil()})
    with pytest.raises(tables.TableError, match=r"000003\.pickle\.pbz2 was refused"):
        tables.read(folder)
    assert not (paths.data_root() / "cache").exists()


def test_a_name_of_a_file_is_not_followed(tmp_path):
    pytest.importorskip("nats_bench")
    folder = archive(tmp_path)
    write(tmp_path / "evil.pickle.pbz2", Evil())
    write(folder / "000003.pickle.pbz2", {"200": str(tmp_path / "evil.pickle.pbz2")})
    with pytest.raises(tables.TableError, match=r"000003\.pickle\.pbz2 holds no records of 200"):
        tables.read(folder)
