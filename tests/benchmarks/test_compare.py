"""Scores in every form and order give the one right tau, or a sentence."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
import torch

from padalib import spaces
from padalib.benchmarks import tables, truth
from padalib.engine import paths
from padalib.engine.runs import Run
from padalib.ranking import metrics
from padalib.ranking.scores import ScoreConfig
from padalib.spaces import ChainSpace
from padalib.train import TrainConfig

MINI, WHOLE = spaces.get("mini"), spaces.get("nasbench201")
PART = replace(MINI, ops=MINI.ops[1:])  # without 'none': 0-0-0 is another architecture here
TRUE = truth.load("mini").accuracy("test")  # the committed table
SMALL = replace(MINI, channels=2)


@pytest.fixture(autouse=True)
def no_retraining(monkeypatch):
    """Whether the package is installed must not matter."""
    monkeypatch.setattr(tables, "retraining", lambda: None)


def predictions(space=MINI, n=60):
    """{architecture: score}: related to the truth of all, in no order."""
    rng = np.random.default_rng(0)
    archs = [list(space)[k] for k in rng.permutation(len(space))[:n]]
    codes = [MINI.code(MINI.encode(space.decode(arch))) for arch in archs]
    return dict(zip(archs, TRUE[codes] + rng.normal(0, 8, n), strict=True))


def genotype(space, arch):
    ops = iter(arch)
    nodes = [tuple((space.ops[next(ops)], i) for i in range(j)) for j in range(1, space.nodes)]
    return str(nodes)


GIVEN = predictions()
RIGHT = metrics.tau(
    list(GIVEN.values()), [TRUE[f"{a}-{b}-{c}"] for a, b, c in GIVEN]
)  # 'pred' beside 'true', in one order
NAMED = {
    "tuple": GIVEN,
    "code": {MINI.code(arch): score for arch, score in GIVEN.items()},
    "text of a tuple": {str(arch): score for arch, score in GIVEN.items()},
    "text of a list": {str(list(arch)): score for arch, score in GIVEN.items()},
    "string": {MINI.decode(arch): score for arch, score in GIVEN.items()},
    "line": {MINI.decode(arch) + "\n": score for arch, score in GIVEN.items()},
    "genotype": {genotype(MINI, arch): score for arch, score in GIVEN.items()},
}


def forms(named, tmp_path):
    """The same scores in every form."""
    labels, scores = list(named), list(named.values())
    series = pd.Series(scores, index=pd.Index(labels, tupleize_cols=False))
    yield "dict", named, {}
    yield "series", series, {}
    yield "shuffled", series.sample(frac=1, random_state=3), {}
    yield "sorted", series.sort_values(), {}
    yield "frame by index", pd.DataFrame({"accuracy": series, "loss": -series}), {}
    yield "frame with a column", pd.DataFrame({"arch": labels, "acc": scores}), {}
    yield "by", pd.DataFrame({"arch": labels, "a": scores, "b": 1.0}), {"by": "a"}
    yield (
        "by loss",
        pd.DataFrame({"arch": labels, "a": 1, "loss": np.exp(-series.values)}),
        {"by": "loss"},
    )
    yield "lossless", pd.DataFrame({"arch": labels, "lossless_acc": scores}), {"by": "lossless_acc"}
    yield "vector and archs", scores, {"archs": labels}
    yield "array and archs", np.array(scores), {"archs": labels}
    yield "tensor and archs", torch.tensor(scores), {"archs": labels}
    yield "numbered series and archs", pd.Series(scores), {"archs": labels}
    yield "dict of dicts", {label: {"accuracy": s, "n": 1} for label, s in named.items()}, {}
    if all(isinstance(label, str) for label in labels):
        yield "text", json.dumps(named), {}
        path = tmp_path / "scores.json"
        path.write_text(json.dumps(named))
        yield "path", path, {}
        yield "path as text", str(path), {}
        rows = [{"arch": label, "acc": score} for label, score in named.items()]
        yield "rows", rows, {}
        yield "rows in JSON", json.dumps(rows), {}
        parts = [tmp_path / f"part_{k}" for k in range(3)]
        for k, part in enumerate(parts):
            part.write_text(json.dumps(dict(list(named.items())[k::3])))
        yield "parts", parts, {}


@pytest.mark.parametrize("notation", NAMED)
def test_every_form_and_notation_gives_the_right_tau(notation, tmp_path):
    for form, scores, options in forms(NAMED[notation], tmp_path):
        found = truth.compare(scores, "mini", **options)
        assert found.tau == pytest.approx(RIGHT), form
        assert list(found.pred.index) == list(found.true.index)
        kind = "string" if notation == "line" else notation
        assert found.notation == (kind if kind in ("string", "genotype") else "code")


def test_it_says_what_it_matched():
    found = truth.compare(pd.Series(NAMED["string"], name="mine"))
    classes = len({MINI.canonical(arch) for arch in GIVEN})
    assert (found.space, found.dataset, found.split) == ("mini", "digits", "test")
    assert (found.total, len(found.pred), found.classes) == (125, 60, classes)
    assert repr(found) == (
        f"tau {RIGHT:.3f}: mine, 60 of 125 architectures of mini ({classes} different functions), "
        "matched by string, against test accuracy on digits (trained alone here)"
    )
    assert found.pred.to_dict() == NAMED["code"]
    assert found.true.equals(TRUE[found.pred.index])
    other = truth.compare(NAMED["string"], split="valid")
    assert other.true.equals(truth.load("mini").accuracy("valid")[found.pred.index])


# --- codes belong to one space ---


def test_a_part_of_a_space_is_matched_by_string():
    given = predictions(PART)
    archs = [MINI.encode(PART.decode(arch)) for arch in given]
    right = metrics.tau(list(given.values()), [TRUE[MINI.code(arch)] for arch in archs])
    codes = {PART.code(arch): score for arch, score in given.items()}
    for scores, space in (
        (codes, PART),
        (given, PART),
        ({PART.decode(arch): score for arch, score in given.items()}, PART),
        ({PART.decode(arch): score for arch, score in given.items()}, "mini"),
        ({PART.decode(arch): score for arch, score in given.items()}, None),
    ):
        found = truth.compare(scores, space)
        assert found.tau == pytest.approx(right)
        assert found.total == (64 if space is PART else 125)
    # What looking these codes up in the whole space's table would give.
    assert abs(metrics.tau(codes, TRUE[list(codes)]) - right) > 0.3
    assert repr(truth.compare(codes, PART)).count("mini of skip_connect, nor_conv_1x1") == 1


@pytest.mark.parametrize("notation", ["tuple", "code", "text of a tuple"])
def test_codes_do_not_say_of_which_space_they_are(notation):
    with pytest.raises(ValueError, match=r"numbers the operations of one space: pass space="):
        truth.compare(NAMED[notation])


def test_the_table_of_a_part_is_in_its_own_codes():
    part = truth.load(PART).accuracy()
    assert len(part) == 64
    for arch in PART:
        assert part[PART.code(arch)] == TRUE[MINI.code(MINI.encode(PART.decode(arch)))]
    turned = replace(MINI, name="turned", ops=MINI.ops[::-1])
    assert truth.load(turned).accuracy()["0-4-1"] == TRUE["4-0-3"]


@pytest.mark.parametrize("name", ["mini", "chain-mini"])
def test_every_space_with_a_table_is_matched_by_string_and_by_code(name):
    space, rng = spaces.get(name), np.random.default_rng(2)
    known = truth.load(space).accuracy()
    given = (known + rng.normal(0, 5, len(known))).sample(50, random_state=1)
    right = metrics.tau(given, known[given.index])
    strings = {space.decode(space.parse(code)): score for code, score in given.items()}
    for scores, where in ((given, name), (strings, name), (strings, None)):
        found = truth.compare(scores, where)
        assert (found.tau, found.space) == (pytest.approx(right), name)
    other = next(s for s in ("mini", "chain-mini") if s != name)
    for scores in (given, strings):
        with pytest.raises(ValueError, match=f"50 of 50 are no architectures of {other} by"):
            truth.compare(scores, other)


@dataclass(frozen=True)
class Blunt(ChainSpace):
    """Options of a known space by name, but other networks."""

    def block(self, position, option, norm):
        return super().block(position, "conv_1x1", norm)


@pytest.mark.parametrize("name", ["chain-mini", "blunt"])
@pytest.mark.parametrize("make", [Blunt, lambda name: ChainSpace(name, strides=(1,) * 5)])
def test_the_truth_of_other_networks_is_not_taken(name, make):
    given = truth.load("chain-mini").accuracy()
    with pytest.raises(FileNotFoundError, match=r"alone\.save"):
        truth.compare(given, make(name))


def test_a_space_is_a_space_or_its_name():
    with pytest.raises(ValueError, match="unknown space 'minni'"):
        truth.compare(NAMED["code"], "minni")
    with pytest.raises(ValueError, match="or its name, got Truth: a truth is not given"):
        truth.compare(NAMED["code"], truth.load("mini"))


# --- runs ---


def scored(space=SMALL, data="digits-small", **changes):
    """A run of a barely trained network and its scores, made once."""
    config = TrainConfig(space=space, data=data, epochs=1, batch=256, lr=0.2)
    return Run(ScoreConfig(config, **({"images": 64} | changes))).compute()


def test_a_run_knows_its_space_and_data():
    run = scored(splits=("valid", "test"))
    table = run.table("scores")
    for on in ("valid", "test"):
        rows = table[table.split == on]
        true = TRUE[list(rows.code)].to_numpy()
        found = truth.compare(run, on=on)
        assert found.tau == pytest.approx(metrics.tau(rows.accuracy.to_numpy(), true))
        assert (len(found.pred), found.classes, found.total) == (85, 85, 125)
        by_loss = truth.compare(run, by="loss", on=on)
        assert by_loss.tau == pytest.approx(metrics.tau(-rows.loss.to_numpy(), true))
        assert repr(by_loss).startswith(
            f"tau {by_loss.tau:.3f}: scores of SPOS mini seed 0 by loss"
        )
    for on in (None, "train"):
        with pytest.raises(ValueError, match=r"seed 0 scored on valid, test: pass on="):
            truth.compare(run, on=on)


def test_a_run_in_a_part_of_a_space_is_not_looked_up_by_code():
    space = replace(SMALL, ops=PART.ops)
    run = scored(space)
    rows = run.table("scores")
    assert rows.code.isin(TRUE.index).all()  # so a look-up would say nothing
    strings = [space.decode(space.parse(code)) for code in rows.code]
    true = [TRUE[MINI.code(MINI.encode(string))] for string in strings]
    assert truth.compare(run).tau == pytest.approx(metrics.tau(rows.accuracy.to_numpy(), true))
    name = "SPOS mini of skip_connect, nor_conv_1x1, nor_conv_3x3, avg_pool_3x3 seed 0"
    assert run.config.train.label == name and name in repr(truth.compare(run))
    with pytest.raises(ValueError, match=r"is of mini of skip_connect.*got space='mini'"):
        truth.compare(run, "mini")


def test_the_data_of_a_run_are_checked(monkeypatch):
    run = scored()
    on = object.__setattr__
    on(run.config.train, "data", "my-photos")
    with pytest.raises(ValueError, match=r"seed 0.* was trained on 'my-photos': .* is on digits"):
        truth.compare(run)
    with pytest.warns(UserWarning, match="trained on 'my-photos' and the truth"):
        truth.compare(run, dataset="digits")
    on(run.config.train, "data", "cifar10-218")
    with pytest.raises(ValueError, match=r"was trained on 'cifar10-218'"):
        truth.compare(run)


def test_a_file_of_our_layout_does_not_become_a_truth_on_the_runs_data(tmp_path):
    path = paths.project_root() / "data" / "truth" / "mini.csv"
    own = tmp_path / "own.csv"
    own.write_bytes(path.read_bytes())
    run = scored()
    assert truth.compare(run, path=own).dataset == "digits"
    object.__setattr__(run.config.train, "data", "my-photos")
    with pytest.warns(UserWarning, match="trained on 'my-photos' and the truth"):
        truth.compare(run, path=own)
    assert truth.compare(run, path=own, dataset="my-photos").dataset == "my-photos"


def test_scores_of_a_broken_network_are_no_scores(monkeypatch):
    run = scored()
    table = run.table("scores")
    table.loc[[3, 7], "loss"] = np.nan  # the accuracy is a number still: that of one class
    codes = f"{table.code[3]}, {table.code[7]}"
    monkeypatch.setattr(Run, "table", lambda self, name: table)
    with pytest.raises(ValueError, match=f"the loss of 2 architectures is not finite .{codes}."):
        truth.compare(run)
    table["loss"], table["accuracy"] = 2.3, 10.0
    with pytest.raises(ValueError, match="all 85 scores are 10, so they rank nothing"):
        truth.compare(run)


def test_other_runs_are_told_to_be_scored():
    config = TrainConfig(space=SMALL, data="digits-small", epochs=1)
    with pytest.raises(ValueError, match=r"a run of TrainConfig, which has no scores: .*ScoreConf"):
        truth.compare(Run(config))
    with pytest.raises(ValueError, match="cannot read scores from ScoreConfig: pass a run of a Sc"):
        truth.compare(ScoreConfig(config))


# --- what cannot be matched one to one ---


def change(**new):
    return {**NAMED["code"], **{key.strip("_").replace("_", "-"): v for key, v in new.items()}}


TWICE = pd.DataFrame(
    {"code": ["0-0-1", "0-0-1", "3-3-3"], "seed": [0, 1, 0], "accuracy": [1, 2, 3]}
)
BAD = {
    "plain vector": (list(GIVEN.values()), {}, "60 scores without names may be in any order"),
    "as many as there are": (np.arange(125.0), {}, "125 scores without names may be in any order"),
    "numbered series": (pd.Series(range(125)), {}, "without names may be in any order"),
    "numbered frame": (pd.DataFrame({"acc": range(5)}), {}, "does not name its architectures"),
    "numbers of rows": (pd.Series({5: 1.0, 7: 2.0}), {}, "may be numbers of rows.*notation=.index"),
    "numbers in JSON": ('{"5": 1, "7": 2}', {}, "may be numbers of rows"),
    "index of mini": ({5: 1.0, 7: 2.0}, {"notation": "index"}, "truth table does not tell them"),
    "one too many": ([1, 2, 3], {"archs": ["0-0-0", "0-0-1"]}, "archs names 2 .* for 3 scores"),
    "named twice": (NAMED["code"], {"archs": list(GIVEN)}, "name their architectures already"),
    "foreign": (change(_0_0_9=1.0), {}, r"1 of 61 are no architectures of mini by code, .*'0-0-9'"),
    "of another space": ({"0-0-0-0-0-0": 1, "1-0-0-0-0-0": 2}, {}, "2 of 2 are no architectures"),
    "several notations": ({**NAMED["code"], MINI.decode((0, 0, 0)): 1}, {}, "in one notation"),
    "no notation": ({("a", 1): 1.0, ("b", 1): 2.0}, {}, "in one notation .*unknown: .*'a', 1"),
    "no names of here": ({"resnet": 1.0, "vgg": 2.0}, {}, "2 of 2 are no architectures of mini"),
    "same one": ({(0, 0, 1): 1, (0, 0, 2): 2, "0-0-1": 3}, {}, "scored more than once .0-0-1"),
    "rows of two seeds": (TWICE, {}, r"2 rows name .* another .*differ in seed, accuracy"),
    "twice in JSON": ('{"0-0-1": 1, "0-0-1": 2}', {}, "names 0-0-1 more than once"),
    "twice in a series": (pd.Series([1, 2], ["0-0-1"] * 2), {}, "scored more than once"),
    "nan": (change(_0_0_1=np.nan), {}, "1 scores are not finite, the first nan of 0-0-1"),
    "inf": (change(_0_0_1=np.inf), {}, "not finite, the first inf of 0-0-1"),
    "NaN in JSON": ('{"0-0-1": NaN, "0-0-2": 2}', {}, "not finite"),
    "null in JSON": ('{"0-0-1": null, "0-0-2": 2}', {}, "holds None .NoneType., which is no numb"),
    "text": ({"0-0-1": "93.2", "0-0-2": "90"}, {}, "holds '93.2' .str., which is no number"),
    "bool": ('{"0-0-1": true, "0-0-2": 0.5}', {}, "holds True .bool., which is no number"),
    "constant": ({"0-0-1": 10.0, "0-0-2": 10.0}, {}, "all 2 scores are 10, so they rank nothing"),
    "one": ({"0-0-1": 10.0}, {}, "two or more"),
    "none": ({}, {}, "two or more"),
    "a loss": (pd.Series({"0-0-1": 1.0, "0-0-2": 2.0}, name="loss"), {}, "pass their negative"),
    "columns": (TWICE.rename(columns={"accuracy": "x"}), {}, "pass by=, .* one of seed, x"),
    "no such column": (TWICE, {"by": "acc"}, "one of accuracy, seed, got 'acc'"),
    "by of a dict": (NAMED["code"], {"by": "accuracy"}, "chooses a column"),
    "on of a dict": (NAMED["code"], {"on": "valid"}, "pass the run itself"),
    "no notation of that name": (NAMED["code"], {"notation": "hash"}, "notation must be one of"),
    "nothing": (None, {}, "cannot read scores from NoneType"),
    "a number in JSON": ("[1, 2, 3]", {}, "3 scores without names"),
    "no JSON": ("{'0-0-1': 2}", {}, "holds no scores in JSON"),
    "deep JSON": ("[" * 100_000, {}, "nests too deep"),
    "no file": ("scores.json", {}, r"cannot read scores from scores\.json: No such file"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_matched_is_a_sentence(name):
    scores, options, message = BAD[name]
    with pytest.raises(ValueError, match=message) as error:
        truth.compare(scores, "mini", **options)
    assert len(str(error.value)) < 1000


def test_a_negative_loss_is_a_score():
    scores = -pd.Series({"0-0-1": 1.0, "3-3-3": 0.5}, name="valid_loss")
    assert truth.compare(scores, "mini").tau == 1


@pytest.mark.parametrize("split", ["train", "tests"])
def test_other_splits_are_refused(split):
    with pytest.raises(ValueError, match=f"unknown split '{split}'"):
        truth.compare(NAMED["string"], split=split)


@pytest.mark.parametrize(
    "text",
    [
        "[(('none', 0),), (('none', 0),)]",
        "[(('none', 1),), (('none', 0), ('none', 1))]",
        "[(('none~0|+|none', 0),)]",
        "[((" + "(" * 5000,
        "[(('none', 0),), (('none', 0), ('none', __import__('os')))]",
        "[(('none', 0),), 3]",
    ],
)
def test_other_genotypes_are_refused(text):
    scores = {**NAMED["genotype"], text: 1.0}
    with pytest.raises(ValueError, match=r"1 of 61 are no architectures of mini by genotype"):
        truth.compare(scores, "mini")


# --- the benchmark's own numbers ---


@pytest.fixture
def numbered(tmp_path):
    """A table of the whole benchmark in an order of its own, with what its numbers are known by."""
    rng = np.random.default_rng(1)
    every = list(WHOLE)
    archs = [every[k] for k in rng.permutation(len(every))]
    for number, arch in tables.NUMBERS.items():
        other = archs.index(arch)
        archs[number], archs[other] = archs[other], archs[number]
    table = pd.DataFrame({"arch": [WHOLE.decode(arch) for arch in archs]})
    table["cifar10_val"], table["cifar10_test"] = rng.uniform(10, 90, (2, len(table)))
    path = tmp_path / "nasbench201.csv"
    table.to_csv(path, index_label="index")
    return path, table


def test_the_benchmarks_numbers_are_those_of_its_table(numbered):
    path, table = numbered
    assert truth.load(WHOLE, path, "cifar10").table["index"].is_unique
    scores = table.cifar10_test.to_numpy()
    found = truth.compare(scores, dataset="cifar10", notation="index", path=path)
    assert (found.tau, found.notation, found.total) == (pytest.approx(1), "index", 15_625)
    some = pd.Series(scores).sample(100, random_state=0)
    for given in (some, some.to_dict(), json.dumps(some.to_dict())):
        found = truth.compare(given, "nasbench201", "cifar10", notation="index", path=path)
        assert found.tau == pytest.approx(1) and len(found.pred) == 100
    with pytest.raises(ValueError, match=r"1 of 2 are .*'99999' .the table has no number 99999"):
        truth.compare({0: 1, "99999": 2}, dataset="cifar10", notation="index", path=path)
    part = truth.load("conv64", path, "cifar10").table["index"]
    assert all(table.arch[k] == spaces.get("conv64").decode(map(int, c.split("-"))) for c, k in
               part.items())  # fmt: skip


def test_numbers_of_rows_are_not_taken_for_the_benchmarks(numbered):
    path, table = numbered
    for wrong in (table.sort_values("arch"), table.iloc[::-1]):
        wrong.reset_index(drop=True).to_csv(path, index_label="index")
        assert "index" not in truth.load(WHOLE, path, "cifar10").table
        with pytest.raises(ValueError, match="the truth table does not tell them"):
            truth.compare(np.arange(15_625.0), dataset="cifar10", notation="index", path=path)


# --- which data ---


@pytest.mark.parametrize("data", ["cifar10-218", "cifar10-24", "imagenet16-64", "digits-smaller"])
def test_names_that_only_look_alike_are_other_data(data):
    for name in ("cifar10", "digits", "imagenet16-120"):
        with pytest.warns(UserWarning, match=f"trained on '{data}'"):
            truth.check_dataset(truth.Truth("mini", name, pd.DataFrame(), "made"), data)


def test_a_folder_of_that_name_is_its_own_data():
    (paths.data_root() / "cifar10-16").mkdir(parents=True)
    with pytest.warns(UserWarning, match="trained on 'cifar10-16'"):
        truth.check_dataset(truth.Truth("mini", "cifar10", pd.DataFrame(), "made"), "cifar10-16")


# --- what others published ---


def test_published_predictions_in_their_own_form(real, monkeypatch):
    folder = real("few-shot-nas-logs")
    path = real(tables.CSV)
    files = sorted(folder.iterdir())
    found = truth.compare(files, dataset="cifar10", path=path)
    assert (len(found.pred), found.notation, found.classes) == (15_625, "genotype", 9_445)
    assert found.tau == pytest.approx(0.587, abs=5e-4)
    part = truth.compare(files[0], dataset="cifar10", path=path)
    assert len(part.pred) == 3_125 and all(code.startswith("0-") for code in part.pred.index)


@pytest.mark.parametrize(
    ("family", "tau"),
    [
        ("baseline-16-64-250", 0.592),
        ("baseline-16-64-1000", 0.667),
        ("baseline-16-128-1000", 0.683),
        ("baseline-5-64-250-balanced", 0.726),
    ],
)
def test_published_supernets_reach_what_is_known_of_them(family, tau, real):
    table = pd.read_csv(real("published_supernets.csv.gz"))
    path, columns = real(tables.CSV), [c for c in table if c.startswith(family + "/")]
    found = [truth.compare(table, "nasbench201", "cifar10", by=c, path=path).tau for c in columns]
    assert len(found) >= 2 and np.mean(found) == pytest.approx(tau, abs=0.002)


def test_the_numbers_of_the_official_table(real):
    path = real(tables.CSV)
    raw = pd.read_csv(path)
    found = truth.compare(
        raw.cifar10_test.to_numpy(), dataset="cifar10", notation="index", path=path
    )
    assert found.tau == pytest.approx(1)
    assert truth.load(WHOLE, path, "cifar10").table["index"]["4-2-1-2-1-1"] == 0
