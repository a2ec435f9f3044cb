"""Scores by a benchmark's own digits, and truths of one split: compared as they are."""

import json

import pandas as pd
import pytest

from padalib import samplers, spaces
from padalib.benchmarks import given, layouts, truth
from padalib.benchmarks.truth import Truth

MACRO = spaces.get("macro")
DIGITS = ["22212202", "00000000", "12121212", "00000001"]
SCORES = [3.0, 1.0, 4.0, 2.0]


@pytest.fixture
def macro(monkeypatch):
    """A made-up truth of all of NAS-Bench-Macro: the sum of the digits."""
    codes = [MACRO.code(arch) for arch in MACRO]
    table = pd.DataFrame({"test_acc_0": [float(sum(arch)) for arch in MACRO]}, codes)
    known = Truth("macro", "cifar10", table, "made up", "macro")
    monkeypatch.setattr(truth, "load", lambda *_: known)


@pytest.mark.parametrize("space", [MACRO, "macro", None])
def test_strings_of_digits_are_no_numbers(macro, space):
    named = dict(zip(DIGITS, SCORES, strict=True))
    for scores in (
        *(named, pd.Series(named), json.dumps(named)),
        pd.DataFrame({"arch": DIGITS, "acc": SCORES}),
        {name: {"mean_acc": score, "std": 1} for name, score in named.items()},
    ):
        by = "mean_acc" if isinstance(scores, dict) and scores is not named else None
        found = truth.compare(scores, space, by=by)
        assert found.notation == "string" and found.space == "macro"
        assert dict(found.true) == {"-".join(name): sum(map(int, name)) for name in DIGITS}
        assert list(found.pred) == SCORES and found.tau == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("labels", "space"),
    [
        (["22212202", "7"], None),  # the second is no string of any
        (["22212202", "33312202"], "macro"),
        ([22212202, 12121212], "macro"),  # numbers, whatever they look like
        (["22212202", "12121212"], "mini"),
    ],
)
def test_other_digits_may_be_numbers_of_rows(labels, space):
    with pytest.raises(ValueError, match="may be numbers of rows"):
        given.read(dict(zip(labels, [1.0, 2.0], strict=True)), space=space)


def test_a_truth_of_one_split_is_held_against_that_one(monkeypatch):
    table = pd.DataFrame({"valid_acc": [1.0, 2.0, 3.0]}, ["0-0-0", "0-0-1", "0-0-2"])
    known = Truth("mini", "cifar10", table, "made up", "mini")
    monkeypatch.setattr(truth, "load", lambda *_: known)
    scores = {"0-0-0": 1, "0-0-1": 3, "0-0-2": 2}
    found = truth.compare(scores, "mini")
    assert (found.split, found.tau) == ("valid", pytest.approx(1 / 3))
    assert "against valid accuracy on cifar10" in repr(found)
    with pytest.raises(ValueError, match="has no test accuracies on cifar10: it has valid"):
        truth.compare(scores, "mini", split="test")


def test_where_test_is_known_it_is_test():
    own = layouts.own_path(spaces.get("mini"))
    scores = truth.load("mini", own).accuracy("valid")
    assert truth.compare(scores, "mini").split == "test"


def test_a_table_is_read_before_it_is_compared(tmp_path):
    path = tmp_path / "scores.csv"
    path.write_text("arch,score\n0-0-0,1\n0-0-1,2\n")
    for each in (path, str(path)):
        with pytest.raises(ValueError, match=r"holds no scores in JSON .* pd\.read_csv"):
            truth.compare(each, "mini")


def test_an_unknown_option_is_answered_by_those_there_are():
    with pytest.raises(ValueError, match=r"option importence: it takes .*importance, .*size"):
        samplers.get("PA").with_options("mine", importence=True)
    with pytest.raises(ValueError, match=r"option x: it takes shared, zero_grad$"):
        samplers.get("SPOS").with_options("mine", x=1)


def test_the_columns_that_may_score_are_named_first():
    frame = pd.DataFrame({"code": ["0-0-0", "0-0-1"], "epoch": 1, "split": "valid", "images": 9})
    frame = frame.assign(valid_loss=[1.0, 2.0], accuracy=[2.0, 1.0])
    with pytest.raises(ValueError, match=r"one of valid_loss, accuracy, epoch, \.{3}, got 'acc'"):
        truth.compare(frame, "mini", by="acc")
