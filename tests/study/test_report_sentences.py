"""What `padalib report` and `padalib truth` say to what they cannot use."""

import re

import pandas as pd
import pytest

from padalib import spaces
from padalib.benchmarks import layouts, truth
from padalib.benchmarks.predictions import ScoresError, read_scores
from padalib.cli import main
from padalib.commands import scorecard, truth_tables
from padalib.engine import paths
from padalib.ranking import report
from padalib.ranking.several import by_part
from padalib.study import across, effects

MINI = spaces.get("mini")
CODES = [MINI.code(arch) for arch in MINI]
ROWS = pd.DataFrame({"code": CODES, "score": range(len(CODES))})


def refused(tmp_path, table, **layout):
    path = tmp_path / "scores.csv"
    table.to_csv(path, index=False, **layout)
    with pytest.raises(ScoresError) as caught:
        read_scores(path, MINI)
    return str(caught.value)


def test_architectures_named_twice_over(tmp_path):
    table = ROWS.assign(string=[MINI.decode(arch) for arch in MINI])
    assert "`code` and `string` both name architectures: leave" in refused(tmp_path, table)


@pytest.mark.parametrize("mark", [";", "\t"])
def test_columns_that_are_not_separated_by_commas(tmp_path, mark):
    assert refused(tmp_path, ROWS, sep=mark).endswith("Separate them by commas")


def test_codes_in_the_column_of_strings(tmp_path):
    said = refused(tmp_path, ROWS.rename(columns={"code": "arch"}))
    hint = "These are codes: call the column `code`, not `arch`"
    assert f"has 125 bad rows:\n{hint}\n- row 2: cannot read '0-0-0'" in said
    assert said.endswith("\n- rows 5 to 126: likewise") and len(said.splitlines()) == 6
    strings = ROWS.rename(columns={"code": "arch"}).replace({"arch": {CODES[0]: "abc"}})
    assert "These are codes" not in refused(tmp_path, strings)


def test_rows_of_several_methods_in_one_file(tmp_path):
    both = pd.concat([ROWS.assign(method=name, split="valid") for name in ("SPOS", "PA")])
    said = refused(tmp_path, both)
    hint = "They differ in method: pass the rows of one of each"
    assert said.startswith(
        f"{tmp_path / 'scores.csv'} has 125 bad rows:\n{hint}\n- row 127: 0-0-0,"
    )
    assert said.endswith("\n- rows 130 to 251: likewise")
    assert "They differ" not in refused(tmp_path, pd.concat([ROWS, ROWS]))


def test_every_row_is_named_where_some_are_wrong_in_one_way_and_some_in_others(tmp_path):
    table = ROWS.astype({"code": object, "score": object}).assign(seed="0")
    table.loc[[3, 5, 7, 8, 9, 20, 21, 40], "score"] = ["nan", "x", "'", "inf", "", "y", "z", "w"]
    table.loc[[4, 30], "code"] = ["9-9-9", "1-1"]
    table.loc[[1, 8], "seed"] = ["one", "two"]
    lines = refused(tmp_path, table).splitlines()
    assert lines[0].endswith("has 11 bad rows:")
    assert [line.partition(":")[0] for line in lines[1:]] == [
        *("- row 3", "- row 10"),  # seeds
        *("- row 5", "- row 7", "- row 9", "- rows 10 to 11, 22 to 23, 42"),
        *("- row 6", "- row 32"),  # no digit of mini, and too few digits
    ]
    assert lines[6] == "- rows 10 to 11, 22 to 23, 42: likewise"
    assert "score must be a finite number, got 'nan'" in lines[3] and "'1-1'" in lines[8]


@pytest.mark.parametrize(
    ("own", "given", "column", "hint"),
    [
        ("mini", "nasbench201", "code", "These codes fit `mini`: --space mini"),
        ("mini", "conv64", "arch", "These architectures fit `mini`: --space mini"),
        ("chain-mini", "mini", "code", "These codes fit `chain-mini`: --space chain-mini"),
    ],
)
def test_a_file_of_another_space_is_told_which(tmp_path, own, given, column, hint):
    own = spaces.get(own)
    name = own.code if column == "code" else own.decode
    path = tmp_path / "scores.csv"
    rows = [{column: name(arch), "score": n} for n, arch in enumerate(own)]
    pd.DataFrame(rows).to_csv(path, index=False)
    with pytest.raises(ScoresError) as caught:
        read_scores(path, spaces.get(given))
    assert str(caught.value).splitlines()[1] == hint
    spans = re.findall(r"(\d+)(?: to (\d+))?[,:]", re.sub(r": .*", ":", str(caught.value)))
    said = {row for first, last in spans for row in range(int(first), int(last or first) + 1)}
    assert said == set(range(2, len(rows) + 2)) and len(str(caught.value).splitlines()) < 20


def test_a_column_that_may_have_been_meant_as_scores_is_named_before_all_else(tmp_path):
    path = tmp_path / "scores.csv"
    table = ROWS.rename(columns={"score": "points"}).assign(loss=range(125), epoch=3, by="PA")
    table.to_csv(path)  # with pandas' index
    rows, notes = read_scores(path, MINI)
    said = "There is no column `score`, so architectures are ranked by loss, the lowest first"
    assert notes[0] == f"{said}; if `points` is the score, call it `score`"
    assert rows.score.tolist() == [-loss for loss in range(125)]
    table.assign(mark=range(125, 250)).to_csv(path, index=False)
    assert read_scores(path, MINI)[1][0] == (
        f"{said}; if `points` or `mark` is the score, call that one `score`"
    )


def test_one_bad_row_is_one(tmp_path):
    said = refused(tmp_path, ROWS.astype(object).replace({"code": {"0-0-1": "x-1"}}))
    assert "has 1 bad row:\n- row 3: 'x-1' is not an architecture of mini: an architecture" in said
    assert said.endswith("has 3 operations, one per edge; got 2: ('x', 1)")
    with pytest.raises(ValueError, match=r"operation '' on edge 2 \(2<-1\) of \(1, 0, ''\) is not"):
        MINI.parse("1-0-")
    assert MINI.parse("1 - 0-2") == (1, 0, 2)
    assert "scores 1 architecture, too few" in refused(tmp_path, ROWS[:1])


def test_losses_that_are_all_equal(tmp_path):
    said = refused(tmp_path, ROWS.assign(loss=2.3))
    assert "all losses of seed 0 are equal, so they rank nothing" in said


def test_a_ragged_file_has_a_sentence_without_a_gap(tmp_path):
    path = tmp_path / "scores.csv"
    path.write_text("code,score\n0-0-0,1\n0-0-1,2,3\n")
    with pytest.raises(ScoresError, match=r"cannot be read as CSV: .* in line 3, saw 3\Z"):
        read_scores(path, MINI)


def test_the_option_is_named_where_the_data_set_is_not(tmp_path):
    with pytest.raises(ValueError, match="on the command line --dataset"):
        layouts.check_dataset(None, ["cifar10", "cifar100"], tmp_path, "official")


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("darts", "--space darts --data <name> --archs 200`, and pass the path"),
        ("mobilenet6", "--space mobilenet6 --data <name> --archs 200`, and pass the path"),
    ],
)
def test_where_there_is_no_truth_a_command_that_makes_one_is_named(name, command):
    with pytest.raises(FileNotFoundError, match=re.escape(command)) as caught:
        truth.load(name)
    assert "NAS-Bench-201" not in str(caught.value) and "--truth" in str(caught.value)


def test_all_spaces_are_looked_at_before_one_is_trained(monkeypatch, capsys):
    made = []
    monkeypatch.setattr(truth_tables, "make", lambda name, *_: made.append(name))
    assert main(["truth", "mini", "nosuch"]) == 2 and not made
    assert "unknown space 'nosuch'" in capsys.readouterr().err
    assert main(["truth", "mini", "--space", "darts"]) == 2 and not made
    assert "--archs 200" in capsys.readouterr().err
    assert main(["truth", "mini", "chain-mini"]) == 0 and made == ["mini", "chain-mini"]


def test_the_note_names_the_architectures_that_can_be_placed():
    """Of our 1,000 of NAS-Bench-201 the table is named, also where one of them is missing."""
    path = paths.published_results("controls") / "reference.csv"
    reference = pd.read_csv(path)
    table = pd.DataFrame({"test_acc": 90.0}, index=pd.Index(reference.code, name="code"))
    known = truth.Truth(
        "nasbench201", reference.dataset[0], table, reference.source[0], "nasbench201"
    )
    notes = scorecard.published(known, reference.code[1:])[1]
    assert any(note.endswith(f": score those of {path} to be so") for note in notes)
    assert any(note.endswith(": score all of the space to be so") for note in notes)


def test_one_ranking_is_one():
    rows = {"mine": 0.2, "FLOPs": 0.5}
    by = {name: pd.DataFrame({"value": {"tau": value}}) for name, value in rows.items()}
    said = scorecard._place(by, "tau", ("FLOPs",))
    assert said.startswith("tau: yours 0.200; better are 1 of 1 ranking without training; the best")


def test_pages_are_redrawn_only_where_something_is_published(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(paths, "own_folder", lambda scale, redraw=False: tmp_path / scale)
    assert main(["html", "--scale", "controls"]) == 2
    assert "`make figures SCALE=controls` to redraw" in capsys.readouterr().err
    monkeypatch.setattr(paths, "published_results", lambda scale: tmp_path / "none")
    assert main(["html", "--scale", "controls"]) == 2
    assert "make figures" not in capsys.readouterr().err


@pytest.mark.parametrize(("space", "same"), [("chain-mini", True), ("macro12", False)])
def test_places_by_flops_are_taken_only_where_the_flops_are_the_same(space, same):
    """Published rows of small networks: where FLOPs alone reach another tau, they say less."""
    scale, file = ("controls", "reference_chain") if same else ("spaces", "reference")
    folder = paths.published_results(scale)
    reference = pd.read_csv(folder / f"{file}.csv")
    own = spaces.get(space)
    ranked = report.Ranked(own, tuple(reference.code), reference.accuracy.to_numpy())
    table = pd.DataFrame({"test_acc": 90.0}, index=pd.Index(reference.code, name="code"))
    known = truth.Truth(space, reference.dataset[0], table, reference.source[0], "official")
    flops = report.controls(ranked)["FLOPs of live options"]
    found, notes = scorecard.published(known, reference.code, flops)
    measures = {measure for card in found.values() for measure in card.measure}
    assert {"tau", "tau_loss"} <= measures and (set(scorecard.BY_FLOPS) <= measures) == same
    assert any("whose FLOPs are in another order" in note for note in notes) != same


def test_a_split_that_a_table_lacks_is_named_with_one_that_it_has():
    table = pd.DataFrame({"valid_acc": [90.0, 91.0]}, index=pd.Index(["0", "1"], name="code"))
    known = truth.Truth("own", "cifar10", table, "one training")
    with pytest.raises(ValueError, match="it has valid, so pass split='valid'"):
        known.accuracy("test")


def test_where_it_holds_is_written_out():
    """A sentence of many spaces is not cut, and a mean that is not there is an empty cell."""
    told = "shown in 0 of 4 spaces, not shown in 4 (macro, macro12, nasbench201, nb1shot1-3)"
    row = {"question": "pada", "measure": "tau_loss", "told": told, "mean": 0.12345}
    page = across.where(
        pd.DataFrame([row]).reindex(columns=[*row, *effects.Pooled._fields, "holm"])
    )
    assert f"<td>{told}</td>" in page and "<td>0.123</td>" in page
    assert "NaN" not in page and "..." not in page


SCORES = pd.DataFrame({"code": ["0", "1"], "accuracy": [1.0, 2.0], "part": ["a", "b"]})


@pytest.mark.parametrize(
    ("scores", "true", "words"),
    [
        (SCORES, {"0": 1.0, "1": 2.0}, "a Series of accuracies by code, .* got dict"),
        (SCORES.drop(columns="part"), pd.Series({"0": 1.0, "1": 2.0}), "with a column `part`"),
        (pd.concat([SCORES, SCORES]), pd.Series({"0": 1.0, "1": 2.0}), "of one split: a row for"),
        (SCORES, pd.Series({"0": 1.0}), "1 have no known accuracy: leave out their rows"),
    ],
)
def test_parts_that_cannot_be_compared(scores, true, words):
    with pytest.raises(ValueError, match=words):
        by_part(scores, true)
