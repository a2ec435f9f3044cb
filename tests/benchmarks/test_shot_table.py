"""The sample of NAS-Bench-101: read in full, refused in a sentence where anything is wrong."""

import hashlib
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from padalib import spaces
from padalib.benchmarks import shot, truth
from padalib.commands import scorecard
from padalib.engine import paths
from padalib.ranking import report

ONE, TWO = (spaces.get(f"nb1shot1-{k}") for k in (1, 2))
HEADER = "space,arch,hash,params,valid_4,valid_12,valid_36,valid_108,seconds_108"


def digest(lines):
    """Of the columns that are read."""
    kept = sorted(line.rpartition(",")[0] for line in lines)
    return hashlib.sha256("\n".join(kept).encode()).hexdigest()[:16]


@pytest.fixture(scope="module")
def rows():
    """Rows of a made-up sample: every function of 60 cells of the first space, larger is better."""
    cells, rows = {}, []
    for arch in ONE.functions():
        cells.setdefault(ONE.truth_key(arch), []).append(arch)
    for k, key in enumerate(sorted(cells)[:60]):
        weights = ONE.params(cells[key][0])
        right = [1000 + k, 2000 + k, 3000 + k, 3000 + weights // 10_000]
        for arch in cells[key]:
            string = ONE.decode(arch)
            rows.append(",".join(map(str, ["1", string, key, weights, *right, 99])))
    return rows


@pytest.fixture
def lines(rows, monkeypatch):
    """Those rows, as if they were the export."""
    monkeypatch.setitem(shot.KNOWN, "nb1shot1-1", (2_685, digest(rows)))
    return rows


@pytest.fixture
def path():
    path = paths.data_root() / shot.FILE
    path.parent.mkdir(parents=True)
    return path


def write(path, rows):
    path.write_text("\n".join([HEADER, *rows]) + "\n")


def test_where_it_is_looked_for():
    words = r"no table of NAS-Bench-1Shot1's cells in .*put nasbench1shot1_sample\.csv there"
    with pytest.raises(FileNotFoundError, match=words):
        truth.load("nb1shot1-3")


def test_every_known_function_by_code_with_its_accuracy(lines, path):
    write(path, lines[::-1])  # whatever the order of the file
    known = truth.load("nb1shot1-1")
    assert (known.dataset, known.seeds, known.main_split) == ("cifar10", [], "valid")
    assert known.source == "NAS-Bench-101, 60 of 2,685 cells, a hash-random sample"
    assert len(known.table) == len(lines) > 60 == known.table.trained.nunique()
    archs = [ONE.parse(code) for code in known.table.index]
    assert archs == sorted(archs) and all(ONE.canonical(arch) == arch for arch in archs)
    found = dict(zip(known.table.string, known.accuracy("valid"), strict=True))
    for line in lines:
        _, string, *_, right, _ = line.split(",")
        assert found[string] == pytest.approx(100 * int(right) / 9_984)
    with pytest.raises(ValueError, match="no test accuracies on cifar10: it has valid"):
        known.accuracy()
    assert np.isnan(known.agreement("valid")).all()
    assert known.agreement_basis == "unknown: every architecture was trained once"


def test_a_narrow_space_has_the_same_truth(lines, path):
    write(path, lines)
    small = replace(ONE, channels=2, cells=1, size=8, alone_channels=8)
    assert truth.load(small).table.equals(truth.load(ONE).table)


def test_other_layouts_of_blocks_have_none(path):
    with pytest.raises(FileNotFoundError, match="no truth table of own"):
        truth.load(replace(ONE, name="own", parents=(1, 1)))


def test_the_first_of_each_cell_is_listed(lines, path):
    write(path, lines)
    known = truth.load(ONE)
    assert len(known.listed) == 60 == known.table.trained[known.listed].nunique()
    first = known.table.groupby("trained").head(1)
    assert known.listed == list(first.index)


def test_learning_is_the_accuracy_after_fewer_epochs(lines, path):
    write(path, lines)
    found = shot.learning(ONE)
    assert list(found.columns) == [4, 12, 36, 108]
    assert found[108].tolist() == truth.load(ONE).accuracy("valid").tolist()
    first = lines[0].split(",")
    code = ONE.code(ONE.encode(first[1]))
    right = [100 * int(number) / 9_984 for number in first[4:8]]
    assert found.loc[code].tolist() == pytest.approx(right)


def change(column, value, row=0):
    def changed(rows):
        cells = rows[row].split(",")
        cells[HEADER.split(",").index(column)] = value
        return [*rows[:row], ",".join(cells), *rows[row + 1 :]]

    return changed


def isomorphic(rows):
    """A row whose cell stands in another one too."""
    keys = [row.split(",")[2] for row in rows]
    return next(k for k, key in enumerate(keys) if keys.count(key) > 1)


WRONG = {
    "another accuracy": (change("valid_108", "4321"), "not those of the export"),
    "fewer epochs": (change("valid_4", "7"), "not those of the export"),
    "an accuracy of one function": (
        lambda rows: change("valid_108", "4321", isomorphic(rows))(rows),
        "isomorphic cells of hash .* different numbers",
    ),
    "more than there are images": (change("valid_36", "9985"), "valid_36 .* up to 9,984, .*'9985'"),
    "negative": (change("valid_12", "-1"), "valid_12 .* whole number"),
    "a fraction": (change("valid_12", "0.5"), "valid_12 .* whole number"),
    "no number": (change("valid_108", "nan"), "valid_108 .* whole number"),
    "empty": (change("params", ""), "params .* got ''"),
    "other digits": (change("valid_4", "\u0663"), "valid_4 .* whole number"),
    "weights": (change("params", "1"), r"has [\d,]+ weights, the file says 1"),
    "hash": (change("hash", "0" * 32), "the hash of cell .* not '0000"),
    "no cell": (change("arch", "0:1|-|-|-|04"), "block 4 .* is left out"),
    "another space's": (change("arch", "0:1|-|-|-|-|01"), "5 blocks before the output"),
    "a loose end": (change("arch", "0:1|01:m|-|-|01"), "is written as 0:1"),
    "no architecture": (change("arch", ""), "'' has 0 blocks"),
    "a row short": (lambda rows: rows[:-1], "rows are not those of the export"),
    "no rows": (lambda rows: [], "its 0 rows are not those of the export"),
    "a row twice": (lambda rows: [*rows, rows[3]], "1 cells stand in it twice"),
    "a row cut": (lambda rows: [*rows[:-1], rows[-1][:20]], "hash of cell|2 parts|blocks|read"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_tampered_table_is_refused(lines, path, kind):
    tamper, words = WRONG[kind]
    write(path, tamper(lines))
    start = r"nasbench1shot1_sample.csv is not the sample of NAS-Bench-101 of nb1shot1-1: "
    with pytest.raises(ValueError, match=f"{start}.*({words}).*Please fetch it again"):
        truth.load(ONE)


@pytest.mark.parametrize(
    "text, words",
    [
        (f"{HEADER}\n1,0:1|-", "last line is cut off"),
        ("", "no truth table that can be read|last line is cut off"),
        ("arch,hash\n", "no column space, params, valid_4"),
        (f'{HEADER}\n1,"0:1\n', "not the sample"),
    ],
)
def test_a_truncated_file_is_refused(path, text, words):
    path.write_text(text)
    with pytest.raises(ValueError, match=words):
        truth.load(ONE)


def test_bytes_that_are_no_text_are_refused(path):
    path.write_bytes(f"{HEADER}\n".encode() + b"1,\xff\n")
    with pytest.raises(ValueError, match=r"is not the sample of NAS-Bench-101.*utf-8"):
        truth.load(ONE)


def test_another_data_set_is_refused(lines, path):
    write(path, lines)
    with pytest.raises(ValueError, match="no dataset 'cifar100'"):
        truth.load(ONE, dataset="cifar100")


# --- scores of what it knows, and of what it does not ---


def test_scores_are_compared_where_a_truth_is_known(lines, path):
    write(path, lines)
    known = truth.load(ONE)
    scores = {code: float(ONE.params(ONE.parse(code))) for code in known.listed}
    found = truth.compare(scores, ONE, split="valid")
    assert found.tau == pytest.approx(1) and len(found.pred) == 60 and found.unknown == 0
    assert "60 of 2,685 cells, a hash-random sample" in repr(found)
    rng = torch.Generator().manual_seed(0)
    others = {ONE.code(ONE.sample(rng)): 0.0 for _ in range(200)}
    found = truth.compare(others | scores, ONE, split="valid")
    assert found.unknown + len(found.pred) == len(others | scores)
    assert found.unknown > 100 and f"; {found.unknown:,} more have no known" in repr(found)


def test_a_loose_end_has_the_accuracy_of_its_cell(lines, path):
    write(path, lines)
    known = truth.load(ONE)
    code = next(c for c in known.table.index if not all(ONE.live(ONE.parse(c))))
    live = ONE.live(ONE.parse(code))
    arch = list(ONE.parse(code))
    arch[max(k for k, alive in enumerate(live) if not alive)] = 2  # pools, and nobody reads it
    assert ONE.code(arch) not in known.table.index
    assert known.of(ONE, [ONE.code(arch)], "valid").tolist() == [known.accuracy("valid")[code]]


def test_scores_of_unknown_cells_only_are_refused(lines, path):
    write(path, lines)
    known = truth.load(ONE)
    keys = set(known.table.trained)
    unknown = [ONE.code(a) for a in ONE.functions() if ONE.truth_key(a) not in keys][:5]
    with pytest.raises(ValueError, match="none of the 5 architectures is known to NAS-Bench-101"):
        truth.compare({code: k for k, code in enumerate(unknown)}, ONE, split="valid")


def test_the_card_of_a_file_of_scores_says_what_was_left_out(lines, path, tmp_path):
    write(path, lines)
    known, file = truth.load(ONE), tmp_path / "mine.csv"
    codes = known.listed
    unknown = next(a for a in ONE.functions() if ONE.truth_key(a) not in set(known.table.trained))
    rows = [(code, ONE.params(ONE.parse(code))) for code in codes] + [(ONE.code(unknown), 1)]
    pd.DataFrame(rows, columns=["code", "score"]).to_csv(file, index=False)
    scored = scorecard.read(file, "nb1shot1-1")
    assert "against cifar10 valid accuracy (NAS-Bench-101, 60 of 2,685 cells" in scored.about
    assert any("1 architectures whose accuracy nobody knows" in note for note in scored.notes)
    card = scored.cards["mine"].set_index("measure")
    assert card.value["tau"] == pytest.approx(1) and card.architectures.iloc[0] == 60
    assert "3x3 convolutions" in scored.free


# --- the real one ---

ANCHORS = {  # cells, functions; tau of weights, after 36 epochs, and of the 3x3 convolutions
    "nb1shot1-1": (131, 185, 0.653, 0.753, None),
    "nb1shot1-2": (381, 606, 0.597, 0.725, None),
    "nb1shot1-3": (2698, 6679, 0.512, 0.705, 0.413),
}


@pytest.mark.parametrize("name", ANCHORS)
def test_the_real_sample(name, real):
    path, space = real(shot.FILE), spaces.get(name)
    known = truth.load(space, path)
    cells, functions, weights, after_36, convs = ANCHORS[name]
    assert (len(known.listed), len(known.table)) == (cells, functions)
    assert known.source.startswith(f"NAS-Bench-101, {cells:,} of {shot.KNOWN[name][0]:,} cells")
    codes = known.listed
    true = known.accuracy("valid")[codes]
    ranked = report.Ranked(space, tuple(codes), true.to_numpy())
    assert len(set(ranked.clusters)) == cells  # one of each training

    def tau(scores, own=slice(None)):
        return stats.kendalltau(np.asarray(scores)[own], true.to_numpy()[own])[0]

    assert tau(known.table.params[codes]) == pytest.approx(weights, abs=6e-4)
    learning = shot.learning(space, path).loc[codes]
    assert tau(learning[36]) == pytest.approx(after_36, abs=6e-4)
    if convs:
        found = [space.predictors(space.parse(code))["3x3 convolutions"] for code in codes]
        assert tau(found) == pytest.approx(convs, abs=6e-4)
        assert [tau(learning[e]) for e in (12, 4)] == pytest.approx([0.481, 0.379], abs=6e-4)
        top = (true >= true.quantile(0.9)).to_numpy()
        assert tau(ranked.params, top) == pytest.approx(0.310, abs=6e-4)
        assert tau(learning[36], top) == pytest.approx(0.169, abs=6e-4)


@pytest.mark.parametrize("name", ANCHORS)
def test_weights_are_the_benchmarks(name, real):
    space = spaces.get(name)
    table = truth.load(space, real(shot.FILE)).table
    own = np.array([space.params(space.parse(code)) for code in table.index])
    exact = own == table.params.to_numpy()
    if name != "nb1shot1-2":
        assert exact.all()
        return
    # Where three branches share 128 channels, the order of blocks says which one is wider, and the
    # benchmark has one order of many isomorphic ones.
    three = np.array([string.split("|")[-1].count("0") == 0 for string in table.string])
    assert exact[~three].all() and exact.sum() == 524 and len(exact) == 606
    assert np.abs(own / table.params - 1).max() < 0.009


def test_a_real_sample_with_a_digit_changed_is_refused(real, path):
    text = real(shot.FILE).read_text()
    at = text.rindex(",", 0, text.rindex(",")) - 1  # the last digit of the last row's valid_36
    path.write_text(text[:at] + str((int(text[at]) + 1) % 10) + text[at + 1 :])
    truth.load("nb1shot1-1")  # whose rows are what they were
    with pytest.raises(ValueError, match=r"isomorphic cells|not those of the export"):
        truth.load("nb1shot1-3")
