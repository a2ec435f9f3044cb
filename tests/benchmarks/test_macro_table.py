"""NAS-Bench-Macro's table: read in full, and refused in a sentence where anything is wrong."""

import json
import math
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from padalib import spaces
from padalib.benchmarks import macro, registry, truth
from padalib.cli import main
from padalib.engine import paths
from padalib.ranking import metrics, report

MACRO, MACRO12 = spaces.get("macro"), spaces.get("macro12")
KEYS = ["".join(map(str, arch)) for arch in MACRO]


@pytest.fixture(scope="module")
def entries():
    """A made-up benchmark: the deeper the better, with noise that each training has once."""
    rng, trained, found = np.random.default_rng(0), {}, {}
    for key, arch in zip(KEYS, MACRO, strict=True):
        own = trained.setdefault(
            MACRO.truth_key(arch),
            [round(50 + 5 * MACRO.depth(arch) + x, 2) for x in rng.normal(size=3)],
        )
        found[key] = {
            "test_acc": list(own),
            "mean_acc": sum(own) / 3,
            "std": float(np.std(own)),
            "params": MACRO.params(arch),
            "flops": MACRO.flops(arch) // 2,
        }
    return found


@pytest.fixture
def path():
    path = paths.data_root() / macro.FILE
    path.parent.mkdir(parents=True)
    return path


def test_where_it_is_looked_for():
    words = r"no NAS-Bench-Macro table in .*put nas-bench-macro_cifar10\.json .*xiusu"
    with pytest.raises(FileNotFoundError, match=words):
        truth.load("macro")


def test_every_row_by_code_with_its_seeds(entries, path):
    path.write_text(json.dumps(entries))
    known = truth.load("macro")
    assert (known.dataset, known.seeds, len(known.table)) == ("cifar10", [0, 1, 2], 6_561)
    assert "best epoch" in known.source
    assert list(known.table.index) == [MACRO.code(arch) for arch in MACRO]
    assert list(known.per_seed().loc["0-1-2-0-1-2-0-1"]) == entries["01201201"]["test_acc"]
    assert known.accuracy()["2-2-2-2-2-2-2-2"] == pytest.approx(entries["22222222"]["mean_acc"])
    part = truth.load("macro12", dataset="cifar10")
    assert list(part.table.index) == [MACRO12.code(arch) for arch in MACRO12]
    assert list(part.per_seed().loc["0-1-0-1-0-0-0-0"]) == entries["12121111"]["test_acc"]
    narrow = replace(MACRO, channels=4, size=16)  # whatever the supernet's size
    assert truth.load(narrow).table.equals(known.table)
    # In a space of its own order of options, what counts is the name.
    turned = replace(MACRO12, name="turned", options=("mb6_k5", "mb3_k3"))
    assert list(truth.load(turned).per_seed().loc["1-0-1-0-1-1-1-1"]) == [
        *entries["12121111"]["test_acc"]
    ]


def test_there_is_no_validation_accuracy(entries, path):
    path.write_text(json.dumps(entries))
    known = truth.load("macro")
    for ask in (known.accuracy, known.per_seed, known.agreement):
        with pytest.raises(ValueError, match="has no valid accuracies on cifar10: it has test"):
            ask("valid")
    with pytest.raises(ValueError, match=r"no dataset 'cifar100': .* holds cifar10, so name"):
        truth.load("macro", dataset="cifar100")


def test_agreement_takes_each_training_once(entries, path):
    path.write_text(json.dumps(entries))
    known = truth.load("macro")
    once = known.per_seed()[~known.table.trained.duplicated()].to_numpy()
    assert len(once) == 3_969
    assert known.agreement() == metrics.agreement(once, 400)
    same = ["0-1-0-0-0-0-0-0", "0-0-0-0-0-0-0-0", "0-0-1-0-1-0-0-0", "0-0-1-1-0-0-0-0"]
    assert known.agreement("test", same) == known.agreement("test", same[:3])


def test_the_report_card_shows_what_the_space_knows(entries, path, tmp_path, monkeypatch, capsys):
    path.write_text(json.dumps(entries))
    monkeypatch.setattr(paths, "project_root", lambda: tmp_path)
    rng = np.random.default_rng(1)
    rows = ["arch,score", *(f"{key},{rng.normal()}" for key in rng.choice(KEYS, 300, False))]
    scores = tmp_path / "mine.csv"
    scores.write_text("\n".join(rows))
    assert main(["report", str(scores), "--space", "macro"]) == 0
    told = capsys.readouterr().out
    assert "300 of 6,561 architectures of macro, 1 seed, against cifar10 test accuracy" in told
    assert "of 3 rankings without training; the best of them is non-identity blocks" in told
    card = pd.read_csv(tmp_path / "build" / "report" / "macro" / "mine" / "card.csv")
    tau = card[card.measure == "tau"].set_index("name").value
    assert list(tau.index) == ["mine", *report.CONTROLS, "non-identity blocks"]
    assert tau["non-identity blocks"] > 0.8 > 0.2 > abs(tau["mine"])


def first(change):
    """The file with another first entry."""

    def edit(entries):
        change(entries[KEYS[0]])

    return edit


def set_to(**fields):
    return first(lambda entry: entry.update(fields))


def twin(entries):
    entry = entries["00001000"] = deepcopy(entries["00001000"])
    entry["test_acc"] = [round(x - 1, 2) for x in entry["test_acc"]]
    entry["mean_acc"] -= 1


def shares(entries):
    for entry in entries.values():
        entry["test_acc"] = [x / 100 for x in entry["test_acc"]]
        entry["mean_acc"], entry["std"] = entry["mean_acc"] / 100, entry["std"] / 100


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda e: e.pop("22222222"), "1 of 6,561 architectures are missing, 22222222"),
        (lambda e: e.update({"0000000": e[KEYS[0]]}), "0000000 of its 6,562 keys are no arch"),
        (lambda e: e.update({"33333333": e.pop(KEYS[3])}), "33333333 of its 6,561 keys are no"),
        (set_to(mean_acc=99.0), r"architecture 00000000: mean_acc is 99\.0, that of its test_acc"),
        (set_to(std=3.0), r"00000000: std is 3\.0, that of its test_acc"),
        (set_to(params=387_883), "00000000: params is 387883, that of our network 387882"),
        (set_to(flops=2 * 7_713_280), "00000000: flops is 15426560, that of our network 7713280"),
        (set_to(params=True), "00000000: params is True"),
        (set_to(test_acc=[50.0, 50.1]), "00000000: test_acc must be 3 accuracies in %"),
        (set_to(test_acc=[50.0, 50.1, "x"]), "00000000: test_acc must be 3 accuracies"),
        (set_to(test_acc=[50.0, 50.1, 101.0]), "00000000: test_acc must be 3 accuracies"),
        (set_to(test_acc=[50.0, 50.1, 51.2345]), r"must be 3 .* on 10,000 images, got \[50\.0, "),
        (set_to(test_acc=[True, 50.0, 50.0]), "00000000: test_acc must be 3 accuracies"),
        (set_to(test_acc=7), "00000000: test_acc must be 3 accuracies in % .* got 7"),
        (set_to(mean_acc=None), "00000000: mean_acc is None"),
        (first(dict.clear), r"00000000: expected flops, mean_acc, params, std, test_acc, got \{\}"),
        (lambda e: e.update({KEYS[0]: 3}), "00000000: expected flops, .* got 3"),
        (twin, "00010000: test_acc differs from that of 00001000, the same network"),
        (shares, "test_acc must be 3 accuracies in % on 10,000 images"),
        (set_to(test_acc=[math.nan, 50.0, 50.0]), "it holds NaN, which is no accuracy"),
    ],
)
def test_a_tampered_file_is_refused_with_what_is_wrong(edit, words, entries, path):
    entries = {key: dict(entry) for key, entry in entries.items()}
    edit(entries)
    path.write_text(json.dumps(entries))
    with pytest.raises(ValueError, match=words) as error:
        truth.load("macro")
    assert str(error.value).startswith(f"{path} is not the table of NAS-Bench-Macro: ")
    assert "fetch it again from github.com/xiusu" in str(error.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is no JSON, or cut off"),
        (b"[1, 2]", "it holds list, no entries by architecture"),
        (b"\xff\xfe", "can't decode"),
        (b'{"00000000": 1, "00000000": 2}', "it names 00000000 more than once"),
        (b"[" * 100_000, "it nests too deep"),
        (b"{}", "6,561 of 6,561 architectures are missing, 00000000, "),
        (b" " * (2**23 + 1), "it has 8,388,609 bytes, more than 8,388,608"),
    ],
)
def test_a_foreign_file_is_refused_with_what_is_wrong(content, words, path):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"is not the table of NAS-Bench-Macro: .*{words}"):
        truth.load("macro")


def test_a_truncated_file_is_refused(entries, path):
    path.write_text(json.dumps(entries)[:-2])
    with pytest.raises(ValueError, match="it is no JSON, or cut off"):
        truth.load("macro", path)


def test_other_layouts_are_named(path):
    (path.parent / "x.csv").write_text("epoch,acc\n")
    with pytest.raises(ValueError, match=r"columns code.*nas-bench-macro_cifar10\.json are under"):
        truth.load("macro", path.parent / "x.csv")


def test_a_benchmark_that_nobody_reads_is_named():
    class Odd(spaces.MacroSpace):
        benchmark = "nas-bench-odd"

    with pytest.raises(ValueError, match="odd names the benchmark 'nas-bench-odd', and only nasb"):
        truth.load(Odd("odd"))
    assert registry.reader_of(spaces.get("mini")) is registry.READERS["nasbench201"]


def test_the_official_table(real):
    path = real(macro.FILE)
    known, part = truth.load("macro", path), truth.load("macro12", path)
    acc, seeds = known.accuracy(), known.per_seed().to_numpy()
    anchors = {"00000000": 45.36, "11111111": 91.93, "22222222": 92.95, "22212202": 93.127}
    for digits, accuracy in anchors.items():
        assert acc["-".join(digits)] == pytest.approx(accuracy, abs=5e-3)
    assert acc.max() == acc["2-2-2-1-2-2-0-2"] and known.table.trained.nunique() == 3_969
    pairs = [metrics.tau(seeds[:, a], seeds[:, b]) for a, b in ((0, 1), (0, 2), (1, 2))]
    others = [metrics.tau(seeds[:, k], np.delete(seeds, k, 1).mean(1)) for k in range(3)]
    assert np.mean(pairs) == pytest.approx(0.882, abs=1e-3)
    assert np.mean(others) == pytest.approx(0.897, abs=1e-3)
    assert part.perfect()[0] == pytest.approx(0.69, abs=5e-3)
    for name, tau in (("depth", 0.693), ("flops", 0.556), ("params", 0.218)):
        assert tau_of(MACRO, name, acc) == pytest.approx(tau, abs=5e-4)
    for name, tau in (("flops", 0.543), ("params", 0.286)):
        assert tau_of(MACRO12, name, part.accuracy()) == pytest.approx(tau, abs=5e-4)


def tau_of(space, name, accuracy):
    values = [getattr(space, name)(space.parse(code)) for code in accuracy.index]
    return metrics.tau(np.array(values, float), accuracy.to_numpy())
