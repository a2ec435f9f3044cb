"""Truth tables: what goes in comes out, and every kind of damage is named."""

import errno
import math
import os
import re
import subprocess
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from padalib import cli, spaces
from padalib.benchmarks import alone, tables, truth
from padalib.engine import paths
from padalib.engine.runs import RunError
from padalib.ranking import metrics

SPACE = spaces.get("mini")
FEW = spaces.get("conv64")
WHOLE = spaces.get("nasbench201")


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
    return alone.assemble(SPACE, rows())


@pytest.fixture
def path(table, tmp_path):
    alone.save(table, tmp_path / "mini.csv")
    return tmp_path / "mini.csv"


def test_round_trip_is_exact(table, path):
    found = truth.load(SPACE, path)
    assert (found.space, found.dataset, found.seeds) == ("mini", "digits", [0, 1])
    assert (found.source, found.agreement_basis) == ("trained alone here", "agreement of 2 seeds")
    assert list(found.table.index) == [SPACE.code(arch) for arch in SPACE]
    assert list(found.table.columns) == list(table.columns)
    for column in table.columns:
        assert found.table[column].to_list() == table[column].to_list()
    again = path.with_name("again.csv")
    alone.save(found.table, again)
    assert again.read_bytes() == path.read_bytes()
    assert sorted(os.listdir(path.parent)) == ["again.csv", "mini.csv"]  # no temporary file


def test_assembled_row_by_hand(table):
    wanted = next(row for row in rows() if row["code"] == "3-0-2" and row["seed"] == 0)
    row = table.loc["3-0-2"]
    assert row["string"] == "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|"
    assert (row["test_acc_0"], row["valid_loss_0"]) == (wanted["test_acc"], wanted["valid_loss"])
    assert (row["params"], row["flops"]) == (SPACE.params((3, 0, 2)), SPACE.flops((3, 0, 2)))


def test_order_of_the_rows_does_not_matter(table):
    assert alone.assemble(SPACE, reversed(list(rows()))).equals(table)


def test_accuracies(path):
    found = truth.load("mini", path)
    per_seed = found.per_seed("valid")
    assert per_seed.shape == (125, 2) and list(per_seed.columns) == [0, 1]
    np.testing.assert_allclose(found.accuracy("valid"), per_seed.to_numpy().mean(1))
    assert (
        found.accuracy().loc["0-0-0"]
        == found.table.loc["0-0-0", ["test_acc_0", "test_acc_1"]].mean()
    )
    assert found.accuracy().name == "digits_test_acc"
    with pytest.raises(ValueError, match="unknown split 'train'"):
        found.accuracy("train")


def test_agreement(path):
    found = truth.load("mini", path)
    assert found.agreement() == metrics.agreement(found.per_seed().to_numpy())
    codes = [SPACE.code(arch) for arch in SPACE.classes()]
    few = found.per_seed("valid").loc[codes].to_numpy()
    assert found.agreement("valid", codes) == metrics.agreement(few)
    with pytest.raises(ValueError, match="9-9-9 not in the truth table of mini"):
        found.agreement(codes=["0-0-0", "9-9-9"])


def test_a_perfect_predictor_reaches_more_than_the_agreement(path):
    found = truth.load("mini", path)
    codes = [SPACE.code(arch) for arch in SPACE.classes()]
    for args in ((), ("valid", codes)):
        reached, agreed = found.perfect(*args), found.agreement(*args)
        assert reached == pytest.approx(tuple(metrics.perfect(agreed)))
        assert all(more > less for more, less in zip(reached, agreed, strict=True))


def test_the_committed_table_and_a_perfect_predictor():
    found = truth.load("mini").perfect("test", [SPACE.code(arch) for arch in SPACE.classes()])
    assert found[0] == pytest.approx(0.962, abs=5e-4) and 0.94 < found[1] < found[0] < found[2] < 1


def test_default_path(path, monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "project_root", lambda: tmp_path / "project")
    project = tmp_path / "project"
    remedy = (
        rf"`git -C {project} checkout -- data/truth/mini.csv` or .*`padalib truth mini --publish`"
    )
    with pytest.raises(FileNotFoundError, match=r"it is data/truth/mini.csv of a clone"):
        truth.load("mini")  # installed, not cloned
    (project / ".git").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=rf"no truth table of mini at .*{remedy}"):
        truth.load("mini")
    alone.save(truth.load("mini", path).table, tmp_path / "project" / "data" / "truth" / "mini.csv")
    assert truth.load("mini").seeds == [0, 1]
    assert truth.load("mini", dataset="digits").dataset == "digits"
    with pytest.raises(ValueError, match="mini is on digits, got dataset='cifar10'"):
        truth.load("mini", dataset="cifar10")
    assert truth.load("mini", path, "cifar10-16").dataset == "cifar10-16"  # one's own
    with pytest.raises(FileNotFoundError, match=r"no truth table of mini at .*none\.csv"):
        truth.load("mini", tmp_path / "none.csv")


def test_rows_may_come_in_any_order(table, path):
    alone.save(table[::-1], path)
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
        (
            lambda t: t.assign(test_acc_1=t.test_acc_1 / 100),
            "columns test_acc_1 hold nothing above 0.8",
        ),
        (
            lambda t: t.assign(valid_acc_0=1, test_acc_1=1),
            "columns test_acc_1, valid_acc_0 hold noth",
        ),
        (cell("0-0-2", "flops", "many"), "column 'flops' holds 'many'"),
        (lambda t: t.drop(columns="params"), "1 columns are missing: params"),
        (lambda t: t.drop(columns="valid_loss_1"), "1 columns are missing: valid_loss_1"),
        (lambda t: t.drop(columns=[c for c in t if c.endswith("_0")]), "4 columns are missing"),
        (lambda t: t[["string"]], "6 columns are missing: valid_acc_0"),
    ],
)
def test_damage_is_named(edit, message, table, path):
    alone.save(edit(table), path)
    with pytest.raises(ValueError, match=message) as error:
        truth.load(SPACE, path)
    assert "write it again with `alone.save`, or pass another: tables of our own (columns code" in (
        str(error.value)
    )


def test_all_damage_is_reported_at_once(table, path):
    alone.save(cell("0-0-2", "test_acc_0", 1000)(double(drop(table))), path)
    with pytest.raises(ValueError, match=r"4 .* missing: .*; 1 .* duplicate: .*; 1 cells"):
        truth.load(SPACE, path)


@pytest.mark.parametrize("content", [b"code\n\xff\xfe\x00", b'code,string\n"0-0-0,|none'])
def test_unreadable_files(content, path):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"mini.csv cannot be read as CSV .*`alone.save`"):
        truth.load(SPACE, path)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b'{"0-0-0": 10.0}', b"epoch,acc\n1,2\n"])
@pytest.mark.parametrize("name", ["x.json", "x.csv", "x"])
@pytest.mark.parametrize("space", ["mini", "conv64"])
def test_files_of_no_known_layout_are_told_which_layouts_are(content, name, space, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name} is laid out as no truth table") as error:
        truth.load(space, tmp_path / name, "cifar10")
    for word in ("columns code, string", tables.CSV, tables.NPY, tables.ARCHIVE, "data.anb"):
        assert word in str(error.value)
    assert "git" not in str(error.value) and "padalib truth" not in str(error.value)


def commands(error):
    return re.findall(r"`(git [^`]+|padalib [^`]+)`", str(error.value))


def test_the_remedies_for_the_projects_own_table_mend_it(table, monkeypatch, tmp_path):
    root = tmp_path / "a project"
    monkeypatch.setattr(paths, "project_root", lambda: root)
    own = root / "data" / "truth" / "mini.csv"
    alone.save(table, own)
    for step in ("init -q", "add -A", "-c user.name=x -c user.email=x@y commit -qm x"):
        subprocess.run(["git", "-C", root, *step.split()], check=True)
    for damage in (own.unlink, lambda: own.write_text("code,string\n")):
        damage()
        with pytest.raises((FileNotFoundError, ValueError)) as error:
            truth.load("mini")
        fetch, rebuild = commands(error)
        subprocess.run(fetch, shell=True, check=True, cwd=tmp_path)
        assert truth.load("mini").seeds == [0, 1]
    asked = cli.parser().parse_args(rebuild.split()[1:])
    assert (asked.command, asked.spaces, asked.publish) == ("truth", ["mini"], True)


def test_the_remedy_for_a_space_without_a_table_makes_one(tmp_path):
    space = spaces.CellSpace(
        "two", nodes=2, ops=spaces.CONVS, channels=2, cells=1, size=16, in_channels=1
    )
    with pytest.raises(
        FileNotFoundError, match=r"of two at .*`alone.save\(alone.build\(space\), pa"
    ):
        truth.load(space)
    path = tmp_path / "two.csv"
    recipe = {"data": "digits-small", "epochs": 1, "batch": 256}
    alone.save(alone.build(space, seeds=(0,), workers=1, **recipe), path)
    assert list(truth.load(space, path=path).table.index) == ["0", "1"]


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
        alone.assemble(SPACE, spoil(list(rows())))


def test_a_failed_write_leaves_the_old_table(table, path, monkeypatch):
    before = path.read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(RunError, match="the disk is full"):
        alone.save(table, path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["mini.csv"]


# --- the benchmark's tables ---


@pytest.fixture(autouse=True)
def no_retraining(monkeypatch):
    """Whether the package is installed must not matter."""
    monkeypatch.setattr(tables, "retraining", lambda: None)


def official():
    """A table in the official layout: the 64 architectures of conv64, shuffled, and four others."""
    rng = np.random.default_rng(1)
    archs = [WHOLE.encode(FEW.decode(arch)) for arch in FEW]
    archs += [(0,) * 6, (1,) * 6, (4,) * 6, (1, 0, 1, 0, 1, 0)]
    good = rng.uniform(60, 90, len(archs))
    columns = {
        f"{name}_{split}": (good - 20 * k + rng.normal(0, 2, len(archs))).round(5)
        for k, name in enumerate(("cifar10", "cifar100", "imagenet16_120"))
        for split in ("val", "test")
    }
    made = pd.DataFrame({"arch": [WHOLE.decode(arch) for arch in archs], **columns})
    made[["params", "macs"]] = 1
    return made.sample(frac=1, random_state=0).reset_index(drop=True)


@pytest.fixture
def bench():
    """The official layout in the data root."""
    paths.data_root().mkdir(parents=True)
    official().to_csv(paths.data_root() / tables.CSV, index_label="index")
    return paths.data_root() / tables.CSV


@pytest.mark.parametrize("space", ["conv64", replace(FEW, channels=8, cells=1, size=16, extent=3)])
@pytest.mark.parametrize(
    ("dataset", "name"),
    [("cifar10", "cifar10"), ("cifar100", "cifar100"), ("imagenet16-120", "imagenet16_120")],
)
def test_architectures_are_matched_by_string(space, dataset, name, bench):
    found = truth.load(space, dataset=dataset)
    assert (found.space, found.dataset) == ("conv64", dataset)
    assert (found.source, found.seeds) == ("NAS-Bench-201, official", [])
    assert list(found.table.index) == [FEW.code(arch) for arch in FEW]
    assert list(found.table.columns) == ["string", "valid_acc", "test_acc"]
    by_string = official().set_index("arch")
    for split, theirs in (("valid", "val"), ("test", "test")):
        acc = found.accuracy(split)
        assert acc.name == f"{dataset}_{split}_acc"
        for arch in FEW:
            wanted = by_string.loc[FEW.decode(arch), f"{name}_{theirs}"]
            assert acc.loc[FEW.code(arch)] == wanted


def test_of_means_there_are_no_seeds(bench):
    with pytest.raises(ValueError, match="no test accuracies seed by seed on cifar10: take the"):
        truth.load("conv64", dataset="cifar10").per_seed("test")
    with pytest.raises(ValueError, match="unknown split 'train'"):
        truth.load("conv64", dataset="cifar10").accuracy("train")


@pytest.mark.parametrize("dataset", [None, "digits", "cifar", "cifar10-16", "imagenet16"])
def test_datasets_of_the_table_are_listed(dataset, bench):
    given = "no dataset was named" if dataset is None else f"there is no dataset {dataset!r}"
    with pytest.raises(
        ValueError,
        match=rf"{given}: .*nasbench201\.csv .* holds cifar10, cifar100, imagenet16-120, so name",
    ):
        truth.load("conv64", dataset=dataset)


def test_nothing_there():
    with pytest.raises(
        FileNotFoundError, match=r"no NAS-Bench-201 table in .*analog-nasbench.* --truth "
    ):
        truth.load("nasbench201", dataset="cifar10")


def lose(table):
    gone = [FEW.decode(arch) for arch in list(FEW)[:3]] + [WHOLE.decode((0,) * 6)]
    return table[~table["arch"].isin(gone)]


def spoil(column, value, arch=(0, 0, 0, 0, 0, 1)):
    def edit(table):
        table = table.astype({column: object})
        table.loc[table["arch"] == FEW.decode(arch), column] = value
        return table

    return edit


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lose, "3 architectures missing: 0-0-0-0-0-0, 0-0-0-0-0-1, 0-0-0-0-1-0"),
        (lambda t: pd.concat([t, t[t["arch"] == FEW.decode((1,) * 6)]]), "duplicate: 1-1-1-1-1-1"),
        (lambda t: t.replace(WHOLE.decode((1,) * 6), "|conv5~0|"), r"1 .* foreign .*: \|conv5~0"),
        (spoil("cifar10_test", "nan"), r"'0-0-0-0-0-1', column 'test_acc' holds 'nan'"),
        (spoil("cifar10_test", "n/a"), r"column 'test_acc' holds 'n/a'"),
        (spoil("cifar10_val", 100.5), "column 'valid_acc' holds '100.5'"),
        (spoil("cifar10_val", -1), "column 'valid_acc' holds '-1"),
        (spoil("cifar10_test", ""), "1 architectures without test accuracy: 0-0-0-0-0-1"),
        (spoil("cifar10_test", "inf"), "column 'test_acc' holds 'inf'"),
    ],
)
def test_damage_of_the_benchmark_is_named(edit, message, bench):
    edit(official()).to_csv(bench, index_label="index")
    with pytest.raises(ValueError, match=message) as error:
        truth.load("conv64", dataset="cifar10")
    assert str(error.value).startswith(f"{bench} is not a truth table of conv64: 1 ") or (
        edit is lose
    )
    assert str(error.value).endswith("Please correct it or fetch it again")


def test_fractions_are_no_percentages(bench):
    table = official()
    table.assign(cifar10_test=table.cifar10_test / 100).to_csv(bench, index_label="index")
    with pytest.raises(ValueError, match=r"test_acc hold nothing above 0\.9.* by 100"):
        truth.load("conv64", dataset="cifar10")


def test_all_damage_of_the_benchmark_is_reported_at_once(bench):
    bad = spoil("cifar10_val", 500, (1, 1, 1, 1, 1, 0))(lose(official()))
    bad = spoil("cifar10_test", "", (1,) * 6)(bad)
    bad.to_csv(bench, index_label="index")
    with pytest.raises(ValueError, match=r"3 .* missing: .*; 1 cells .*; 1 .* without test"):
        truth.load("conv64", dataset="cifar10")


def test_damage_elsewhere_does_not_matter(bench):
    spoil("cifar100_val", "nan")(official()).to_csv(bench, index_label="index")
    truth.load("conv64", dataset="cifar10")
    with pytest.raises(ValueError, match="column 'valid_acc' holds 'nan'"):
        truth.load("conv64", dataset="cifar100")


def test_a_table_of_another_space(bench, path):
    with pytest.raises(ValueError, match=r"of mini: 125 .* missing: .*; 68 .* foreign"):
        truth.load("mini", bench, "cifar10")
    with pytest.raises(ValueError, match=r"of nasbench201: 15557 architectures missing"):
        truth.load("nasbench201", bench, "cifar10")
    with pytest.raises(ValueError, match=r"of conv64: 64 architectures missing: .*125 .*foreign"):
        truth.load("conv64", path)


def test_own_tables_of_the_benchmarks_cells(bench, tmp_path):
    own = pd.DataFrame({"code": [FEW.code(a) for a in FEW], "string": [FEW.decode(a) for a in FEW]})
    own[["valid_acc_0", "test_acc_0"]], own[["valid_loss_0", "test_loss_0"]] = 50.0, 1.0
    own["params"], own["flops"] = 1, 2
    own.to_csv(tmp_path / "own.csv", index=False)
    found = truth.load("conv64", tmp_path / "own.csv", "cifar10-16")
    assert (found.source, found.seeds, found.dataset) == ("trained alone here", [0], "cifar10-16")


# --- the agreement of tables of means ---


def test_agreement_of_two_trainings(bench):
    found = truth.load("conv64", dataset="cifar10")
    codes = [FEW.code(arch) for arch in list(FEW)[60:3:-2]]
    pair = found.accuracy("valid").loc[codes], found.accuracy("test").loc[codes]
    wanted = metrics.tau(*pair), *metrics.bootstrap(metrics.tau, *pair)
    assert 0.6 < wanted[1] < wanted[0] < wanted[2] < 1
    assert found.agreement("test", codes) == found.agreement("valid", codes) == wanted
    assert found.agreement_basis == (
        "agreement of trainings on 25,000 (valid) and on 50,000 images (test)"
    )
    with pytest.raises(ValueError, match="9-9 not in the truth table of conv64"):
        found.agreement(codes=["9-9"])


def test_agreement_of_one_training(bench):
    found = truth.load("conv64", dataset="cifar100")
    assert found.agreement()[0] == metrics.tau(found.accuracy("valid"), found.accuracy("test"))
    assert found.agreement_basis == (
        "agreement of validation and test images, same trainings (image noise only)"
    )


@pytest.fixture
def retrained(tmp_path, monkeypatch):
    """Another training of all of conv64, by string, as if the package were installed."""
    path = tmp_path / "data.anb"
    path.write_bytes(b"")
    rng = np.random.default_rng(2)
    table = official().rename(columns={"arch": "string"}).sample(frac=1, random_state=3)
    acc = table["cifar10_test"] + rng.normal(0, 1, len(table))
    table = table[["string"]].assign(cifar10_test=acc.round(3))
    monkeypatch.setattr(tables, "retraining", lambda: path)
    monkeypatch.setattr(tables, "_read_retraining", lambda _: table)
    return table.set_index("string")["cifar10_test"]


def test_agreement_from_a_retraining(bench, retrained):
    found = truth.load("conv64", dataset="cifar10")
    other = pd.Series({FEW.code(arch): retrained.loc[FEW.decode(arch)] for arch in FEW})
    for split in ("test", "valid"):
        acc = found.accuracy(split)
        wanted = metrics.tau(acc, other), *metrics.bootstrap(metrics.tau, acc, other)
        assert found.agreement(split) == wanted
    assert found.agreement_basis == "agreement with an independent retraining"
    assert "image noise" in truth.load("conv64", dataset="cifar100").agreement_basis


def test_a_retraining_alone(retrained):
    found = truth.load("conv64", dataset="cifar10")
    assert found.source == "independent retraining (analog-nasbench)"
    assert found.accuracy().to_list() == [retrained.loc[FEW.decode(arch)] for arch in FEW]
    with pytest.raises(ValueError, match=r"\(independent .* has no valid accuracies on cifar10"):
        found.accuracy("valid")
    assert all(map(math.isnan, found.agreement()))
    assert found.agreement_basis == "unknown: every architecture was trained once"
    with pytest.raises(ValueError, match="no dataset 'cifar100'"):
        truth.load("conv64", dataset="cifar100")


@pytest.fixture
def seeded(monkeypatch):
    """The archive, per seed; every fourth architecture lacks a seed."""
    rng = np.random.default_rng(4)
    strings = [FEW.decode(arch) for arch in FEW]
    good = rng.uniform(60, 90, 64)
    table = pd.DataFrame({"string": strings})
    for split in ("valid", "test"):
        for seed in (777, 888, 999):
            acc = good + rng.normal(0, 1, 64)
            acc[:: 4 if seed == 999 else 64] = acc[0] if seed != 999 else np.nan
            table[f"cifar10_{split}_{seed}"] = acc
    (paths.data_root() / tables.ARCHIVE).mkdir(parents=True)
    monkeypatch.setattr(tables, "_read_archive", lambda _: table)
    return table


def test_seeds_of_the_archive(seeded):
    found = truth.load("conv64", dataset="cifar10")
    assert (found.source, found.seeds) == ("NATS-Bench, official", [777, 888, 999])
    per_seed = found.per_seed("valid")
    assert list(per_seed.columns) == [777, 888, 999]
    assert per_seed.isna().sum().to_list() == [0, 0, 16]
    first = seeded.loc[0, ["cifar10_valid_777", "cifar10_valid_888"]]
    assert found.accuracy("valid").iloc[0] == pytest.approx(first.mean())
    complete = per_seed.dropna()
    assert found.agreement("valid") == metrics.agreement(complete.to_numpy())
    assert found.agreement("valid", per_seed.index[:21]) == metrics.agreement(
        complete.iloc[:15].to_numpy()
    )
    assert found.agreement_basis == "agreement of 3 seeds (48 of 64 architectures)"


def test_an_architecture_without_any_seed(seeded):
    seeded.loc[[5, 6], ["cifar10_test_777", "cifar10_test_888", "cifar10_test_999"]] = np.nan
    with pytest.raises(ValueError, match="conv64: 2 architectures without test accuracy: 0-0-0-1"):
        truth.load("conv64", dataset="cifar10")


def test_the_archive_wins_and_a_path_forces(bench, seeded, retrained):
    assert truth.load("conv64", dataset="cifar10").source == "NATS-Bench, official"
    assert truth.load("conv64", bench, "cifar10").source == "NAS-Bench-201, official"
    forced = truth.load("conv64", tables.retraining(), "cifar10")
    assert forced.source == "independent retraining (analog-nasbench)"


def test_the_official_table(real):
    path = real(tables.CSV)
    found = {name: truth.load(name, path, "cifar10") for name in ("nasbench201", "conv64")}
    whole, few = found["nasbench201"], found["conv64"]
    assert len(whole.table) == 15_625 and len(few.table) == 64
    assert whole.accuracy().loc["3-3-3-3-3-3"] == few.accuracy().loc["1-1-1-1-1-1"] > 93
    assert whole.accuracy("valid").max() == 91.60667 and whole.accuracy().max() == 94.37333
    estimate, low, high = whole.agreement()
    assert estimate == pytest.approx(0.891, abs=5e-4) and low < estimate < high < low + 0.01
    for dataset, tau in (("cifar100", 0.933), ("imagenet16-120", 0.938)):
        known = truth.load("nasbench201", path, dataset)
        agreement = metrics.tau(known.accuracy("valid"), known.accuracy("test"))
        assert agreement == pytest.approx(tau, abs=5e-4)


# --- which data ---


@pytest.mark.parametrize(
    ("known", "data"),
    [
        ("cifar10", "cifar10"),
        ("cifar10", "cifar10-16"),
        ("imagenet16-120", "imagenet16-120"),
        ("digits", "digits-small"),
    ],
)
def test_the_same_data_is_no_news(known, data):
    truth.check_dataset(truth.Truth("mini", known, pd.DataFrame()), data)  # warnings are errors


@pytest.mark.parametrize(
    ("known", "data"),
    [
        ("cifar10", "cifar100"),
        ("cifar100", "cifar10-16"),
        ("cifar10", "digits"),
        ("cifar10", "my-photos"),
        ("cifar10", "cifar10-grey"),
        ("photos", "photos-2024"),
    ],
)
def test_other_data_warns(known, data):
    with pytest.warns(
        UserWarning, match=rf"trained on '{data}' and the truth \(made\) .*'{known}'"
    ):
        truth.check_dataset(truth.Truth("nasbench201", known, pd.DataFrame(), "made"), data)


def test_networks_train_alone_where_the_reader_asks(monkeypatch):
    asked = [SPACE, [0], [SPACE.parse("0-0-2")]]
    assert {c.device for c in alone.configs(*asked)} == {"cpu"}
    monkeypatch.setenv("PADALIB_DEVICE", "cuda:0")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert {c.device for c in alone.configs(*asked)} == {"cuda:0"}
    assert {c.device for c in alone.configs(*asked, device="cpu")} == {"cpu"}  # what is said holds
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ValueError, match=r"torch sees no CUDA device: .*unset PADALIB_DEVICE"):
        alone.build(SPACE, [0], drawn=1)
