"""Truth tables: what goes in comes out, and every kind of damage is named."""

import errno
import os

import numpy as np
import pytest

from padalib import metrics, paths, spaces, truth
from padalib.runs import RunError

SPACE = spaces.get("mini")


def rows(seeds=2):
    """Made-up results: better with larger ops, noise by seed."""
    rng = np.random.default_rng(0)
    for seed in range(seeds):
        for arch in SPACE:
            acc = 40 + 4 * sum(arch) + rng.normal(0, 1, 2)
            yield {
                "code": SPACE.code(arch),
                "seed": seed,
                "valid_acc": acc[0],
                "valid_loss": 2 - acc[0] / 100,
                "test_acc": acc[1],
                "test_loss": 2 - acc[1] / 100,
            }


@pytest.fixture
def table():
    return truth.assemble(SPACE, rows())


@pytest.fixture
def path(table, tmp_path):
    truth.save(table, tmp_path / "mini.csv")
    return tmp_path / "mini.csv"


def test_round_trip_is_exact(table, path):
    found = truth.load(SPACE, path)
    assert (found.space, found.dataset, found.seeds) == ("mini", "digits", [0, 1])
    assert list(found.table.index) == [SPACE.code(arch) for arch in SPACE]
    assert list(found.table.columns) == list(table.columns)
    for column in table.columns:
        assert found.table[column].to_list() == table[column].to_list()
    again = path.with_name("again.csv")
    truth.save(found.table, again)
    assert again.read_bytes() == path.read_bytes()
    assert sorted(os.listdir(path.parent)) == ["again.csv", "mini.csv"]  # no temporary file


def test_assembled_row_by_hand(table):
    wanted = next(row for row in rows() if row["code"] == "3-0-2" and row["seed"] == 0)
    row = table.loc["3-0-2"]
    assert row["string"] == "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|"
    assert (row["test_acc_0"], row["valid_loss_0"]) == (wanted["test_acc"], wanted["valid_loss"])
    assert (row["params"], row["flops"]) == (SPACE.params((3, 0, 2)), SPACE.flops((3, 0, 2)))


def test_order_of_the_rows_does_not_matter(table):
    assert truth.assemble(SPACE, reversed(list(rows()))).equals(table)


def test_accuracies(path):
    found = truth.load("mini", path)
    per_seed = found.per_seed("valid")
    assert per_seed.shape == (125, 2) and list(per_seed.columns) == [0, 1]
    np.testing.assert_allclose(found.accuracy("valid"), per_seed.to_numpy().mean(1))
    assert (
        found.accuracy().loc["0-0-0"]
        == found.table.loc["0-0-0", ["test_acc_0", "test_acc_1"]].mean()
    )
    with pytest.raises(ValueError, match="unknown split 'train'"):
        found.accuracy("train")


def test_ceiling(path):
    found = truth.load("mini", path)
    assert found.ceiling() == metrics.noise_ceiling(found.per_seed().to_numpy())
    codes = [SPACE.code(arch) for arch in SPACE.classes()]
    few = found.per_seed("valid").loc[codes].to_numpy()
    assert found.ceiling("valid", codes) == metrics.noise_ceiling(few)
    with pytest.raises(ValueError, match="9-9-9 not in the truth table of mini"):
        found.ceiling(codes=["0-0-0", "9-9-9"])


def test_default_path(path, monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "project_root", lambda: tmp_path / "project")
    with pytest.raises(FileNotFoundError, match=r"no truth table of mini at .*`make truth`"):
        truth.load("mini")
    truth.save(truth.load("mini", path).table, tmp_path / "project" / "data" / "truth" / "mini.csv")
    assert truth.load("mini").seeds == [0, 1]


def test_rows_may_come_in_any_order(table, path):
    truth.save(table[::-1], path)
    assert list(truth.load(SPACE, path).table.index) == list(table.index)


def drop(table):
    return table.drop(["0-0-0", "0-1-0", "1-1-1", "4-4-4"])


def double(table):
    return table.loc[[*table.index, "0-0-1"]]


def rename(**codes):
    return lambda table: table.rename({k.strip("_").replace("_", "-"): v for k, v in codes.items()})


def cell(code, column, value):
    def edit(table):
        table = table.astype({column: object})
        table.loc[code, column] = value
        return table

    return edit


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (drop, r"4 architectures missing: 0-0-0, 0-1-0, 1-1-1, \.\.\."),
        (double, "1 architectures duplicate: 0-0-1"),
        (rename(_0_0_1="0-0"), r"1 architectures foreign \(codes look like 0-0-0\): 0-0"),
        (rename(_0_0_1="0-0-5"), "1 architectures missing: 0-0-1; 1 .* foreign .*: 0-0-5"),
        (cell("0-0-2", "string", "|none~0|+|none~0|none~1|"), "another one's string: 0-0-2"),
        (cell("0-0-2", "test_acc_1", ""), "1 cells .* row '0-0-2', column 'test_acc_1' holds ''"),
        (cell("0-0-2", "test_acc_1", "nan"), "row '0-0-2', column 'test_acc_1' holds 'nan'"),
        (cell("0-0-2", "valid_acc_0", 100.5), "column 'valid_acc_0' holds '100.5'"),
        (cell("0-0-2", "valid_acc_0", -1), "column 'valid_acc_0' holds '-1"),
        (cell("0-0-2", "test_loss_0", "inf"), "column 'test_loss_0' holds 'inf'"),
        (cell("0-0-2", "flops", "many"), "column 'flops' holds 'many'"),
        (lambda t: t.drop(columns="params"), "1 columns are missing: params"),
        (lambda t: t.drop(columns="valid_loss_1"), "1 columns are missing: valid_loss_1"),
        (lambda t: t.drop(columns=[c for c in t if c.endswith("_0")]), "4 columns are missing"),
        (lambda t: t[["string"]], "6 columns are missing: valid_acc_0"),
    ],
)
def test_damage_is_named(edit, message, table, path):
    truth.save(edit(table), path)
    with pytest.raises(ValueError, match=message) as error:
        truth.load(SPACE, path)
    assert str(error.value).endswith(f"`git checkout -- {path}` or rebuild it with `make truth`")


def test_all_damage_is_reported_at_once(table, path):
    truth.save(cell("0-0-2", "test_acc_0", 1000)(double(drop(table))), path)
    with pytest.raises(ValueError, match=r"4 .* missing: .*; 1 .* duplicate: .*; 1 cells"):
        truth.load(SPACE, path)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b'code,string\n"0-0-0,|none'])
def test_unreadable_files(content, path):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"mini.csv cannot be read as CSV .*`make truth`"):
        truth.load(SPACE, path)


@pytest.mark.parametrize("lost", [1, 2, 40, 5000])
def test_a_truncated_file(lost, path):
    path.write_bytes(path.read_bytes()[:-lost])
    with pytest.raises(ValueError, match="the last line is cut off"):
        truth.load(SPACE, path)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda r: r[:-1], r"250 in all, got 249; missing: \('4-4-4', 1\)"),
        (lambda r: [*r, r[0]], "250 in all, got 251; missing: none"),
        (lambda r: [*r, {**r[0], "code": "7-7-7"}], r"not in the space: \('7-7-7', 0\)"),
        (lambda r: [{**r[0], "test_acc": float("nan")}, *r[1:]], "'test_acc_0' holds 'nan'"),
        (lambda r: [{"code": "0-0-0", "seed": 0}], "rows lack valid_acc"),
        (lambda r: [], "rows lack code"),
    ],
)
def test_bad_rows(spoil, message):
    with pytest.raises(ValueError, match=message):
        truth.assemble(SPACE, spoil(list(rows())))


def test_a_failed_write_leaves_the_old_table(table, path, monkeypatch):
    before = path.read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(RunError, match="the disk is full"):
        truth.save(table, path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["mini.csv"]
