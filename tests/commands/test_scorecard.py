"""The card of anybody's scores: aligned by architecture, told in words, and written."""

import itertools
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from padalib import spaces
from padalib.benchmarks import truth
from padalib.benchmarks.predictions import ScoresError, few_shot_logs, read_scores
from padalib.cli import main
from padalib.commands import scorecard
from padalib.engine import paths
from padalib.ranking import metrics, report

MINI = spaces.get("mini")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def scores(tmp_path):
    """Perfect scores of two seeds, in no order, by the benchmark's strings."""
    true = truth.load("mini").accuracy()
    rows = [
        {"arch": MINI.decode(MINI.parse(code)), "seed": seed, "score": value, "loss": -value}
        for seed in (7, 9)
        for code, value in true.items()
    ]
    path = tmp_path / "mine.csv"
    pd.DataFrame(rows).sample(frac=1, random_state=0).to_csv(path, index=False)
    return path


def test_perfect_scores_have_a_perfect_card_whatever_their_order(scores, tmp_path, monkeypatch):
    found = scorecard.read(scores, "mini")
    card = found.cards["mine"].set_index("measure")
    assert card.value[["tau", "tau_loss", "p_at_10", "between_seeds"]].tolist() == [1] * 4
    assert card.value.regret_1 == 0 and set(card.seeds) == {2} and set(card.architectures) == {125}
    assert list(found.cards)[1:] == ["FLOPs of live options", "parameters"]
    assert np.allclose(found.bias.value, found.bias.true)
    told = scorecard.text(found)
    assert "125 of 125 architectures of mini, 2 seeds" in told
    assert (
        "tau: yours 1.000; better are 0 of 2 rankings without training" in told
        and "nan" not in told
    )
    monkeypatch.setattr(paths, "project_root", lambda: tmp_path)
    folder, replaced = scorecard.write(found)
    assert not replaced
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["bias.csv", "card.csv", "report.csv", "report.png", "report.svg"]


def test_every_bad_row_is_named(tmp_path, capsys):
    path = tmp_path / "bad.csv"
    path.write_text(
        "code,seed,score,loss\n0-0-1,0,5,1\n0-9-1,0,5,1\n0-0-1,0,7,1\n1-1-1,x,3,1\n"
        "1-1-2,0,nan,1\n2-2-2,1,five,inf\n"
    )
    assert main(["report", str(path), "--space", "mini"]) == 2
    said = capsys.readouterr().err
    for row, reason in {
        3: "'0-9-1' is not an architecture of mini",
        4: "0-0-1, seed 0, stands in a row above too",
        5: "seed must be a whole number, got 'x'",
        6: "score must be a finite number, got 'nan'",
        7: "loss must be a finite number, got 'inf'",
    }.items():
        assert f"row {row}: {reason}" in said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seed,score\n0,1\n", "it needs one column of architectures"),
        ("code,seed\n0-0-1,1\n", "it needs a column `score` .* or `loss`, lower"),
        ("code,score\n", "it has no rows"),
        ("code,score\n0-0-1,1_000\n", "score must be a finite number, got '1_000'"),
        ("code,seed,score\n0-0-1,1_0,5\n", "seed must be a whole number, got '1_0'"),
        (f"code,seed,score\n0-0-1,{10**20},5\n", "seed must be a whole number, got '1000"),
        ("code,seed,score\n0-0-1,0,5\n0-0-1,1,7\n1-1-1,1,3\n", "row 4: 1-1-1 has scores of 1 of 2"),
    ],
)
def test_what_a_file_lacks_is_named(tmp_path, text, words):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(ScoresError, match=words):
        read_scores(path, MINI)
    with pytest.raises(ScoresError, match="there is no file"):
        read_scores(tmp_path / "none.csv", MINI)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([(code, 50.0) for code in map(MINI.code, MINI)], "all scores of seed 0 are equal"),
        ([("0-0-1", 1.0), ("0-0-2", 2.0)], "scores 2 architectures, too few for intervals"),
    ],
)
def test_what_ranks_nothing_has_no_card(tmp_path, rows, words):
    path = tmp_path / "flat.csv"
    pd.DataFrame(rows, columns=["code", "score"]).to_csv(path, index=False)
    with pytest.raises(ScoresError, match=words):
        read_scores(path, MINI)


def test_published_prediction_files_are_read_by_run(tmp_path):
    space = spaces.CellSpace("two", nodes=2, ops=spaces.CONVS)
    for seed in (0, 118):
        for part, (op, score) in enumerate((("nor_conv_1x1", 50.0), ("nor_conv_3x3", 60.5))):
            name = f"seed-{seed}-baseline-16_{part}"
            (tmp_path / name).write_text(f"{{\"[(('{op}', 0),)]\": {score}}}")
    (tmp_path / "seed-5-baseline-16_0").write_text("{\"[(('nor_conv_1x1', 0),)]\": 1.0}")
    found = few_shot_logs(tmp_path, space)  # the run of seed 5 is not whole
    assert found.to_dict("list") == {
        "code": ["0", "1"] * 2,
        "score": [50.0, 60.5] * 2,
        "seed": [0, 0, 118, 118],
        "family": ["baseline-16"] * 4,
    }
    both = "{\"[(('nor_conv_1x1', 0),)]\": 2.0, \"[(('nor_conv_3x3', 0),)]\": 3.0}"
    (tmp_path / "seed-5-baseline-16_1").write_text(both)
    with pytest.raises(ScoresError, match="16_1 scores 0, as another part of its run does"):
        few_shot_logs(tmp_path, space)
    for twice, name in (("", "nor_conv_3x3"), (" ", "more than once")):  # the same text, or not
        text = both.replace("1x1', 0", f"3x3',{twice} 0")
        (tmp_path / "seed-5-baseline-16_1").write_text(text)
        with pytest.raises(ScoresError, match=f"16_1 is no file of .*names .*{name}"):
            few_shot_logs(tmp_path, space)
    (tmp_path / "seed-5-baseline-16_1").write_text("{not json")
    with pytest.raises(ScoresError, match="seed-5-baseline-16_1 is no file of predictions"):
        few_shot_logs(tmp_path, space)
    with pytest.raises(ScoresError, match="no complete run of prediction files"):
        few_shot_logs(tmp_path / "nowhere", space)


# --- notes, and the place among published cards ---


def write(path, **columns):
    true = truth.load("mini").accuracy()
    rows = pd.DataFrame({"code": true.index, "score": true.to_numpy()})
    rows.assign(**{k: v(true.to_numpy()) for k, v in columns.items()}).to_csv(path, index=False)
    return path


def test_what_is_left_aside_is_said(tmp_path):
    path = write(tmp_path / "both.csv", accuracy=lambda t: -t, epoch=lambda t: 3)
    _, notes = read_scores(path, MINI)
    assert notes == ["Not used: column accuracy, epoch"]
    told = scorecard.text(scorecard.read(path, "mini"))
    assert "Note: Not used: column accuracy, epoch." in told and "mini, 1 seed, against" in told


def test_scores_that_rank_against_the_truth_are_doubted_and_losses_rank(tmp_path):
    path = write(tmp_path / "wrong.csv", score=lambda t: 100 - t)
    assert "Are lower ones better" in scorecard.text(scorecard.read(path, "mini"))
    rows = pd.read_csv(path).rename(columns={"score": "loss"})
    rows.to_csv(path, index=False)
    found = scorecard.read(path, "mini")
    assert found.cards["wrong"].set_index("measure").value.tau == 1
    said = "There is no column `score`, so architectures are ranked by loss, the lowest first"
    assert found.notes[0] == said


def test_many_seeds_are_said_to_be_drawn(tmp_path):
    true = truth.load("mini").accuracy()
    rng = np.random.default_rng(0)
    rows = [
        pd.DataFrame({"code": true.index, "seed": s, "score": true + rng.normal(size=125)})
        for s in range(35)
    ]
    pd.concat(rows).to_csv(tmp_path / "many.csv", index=False)
    (note, *_) = scorecard.read(tmp_path / "many.csv", "mini").notes
    assert "Of the 35 seeds 30 were drawn at random" in note


def test_what_the_truths_noise_leaves_to_be_reached_is_said(scores, tmp_path):
    notes = scorecard.read(scores, "mini").notes
    same, low, high = truth.load("mini").agreement("test")
    best = metrics.perfect(same)
    assert f"agree with it by tau {same:.3f} [{low:.3f}, {high:.3f}]" in notes[1]
    assert f"by about {best:.3f}" in notes[1] and 0.9 < same < best < 1
    assert (
        "The published supernets of scale laptop rank 85 architectures, your file 125" in notes[0]
    )
    own = truth.load("mini").table
    columns = [c for c in own if c.startswith("test_acc")]
    noise = np.random.default_rng(1).normal(size=(len(own), len(columns)))
    empty = replace(
        truth.load("mini"), table=own.assign(**dict(zip(columns, noise.T, strict=True)))
    )
    (note,) = scorecard._noise(empty, "test", own.index)
    assert "order nothing for certain" in note and "Train each longer" in note


def test_codes_that_are_none_are_told_their_form(tmp_path):
    pd.DataFrame({"code": ["000", "010"] * 20, "score": range(40)}).to_csv(tmp_path / "c.csv")
    with pytest.raises(
        ValueError, match=r"A code of mini has a number for each edge, such as 0-0-"
    ):
        scorecard.read(tmp_path / "c.csv", "mini")


@pytest.mark.parametrize(
    ("file", "name", "shown"),
    [
        ("...csv", "scores", "scores"),
        ("my run (2).csv", "my_run_2_", "my_run_2_"),
        ("parameters.csv", "parameters", "parameters (yours)"),
    ],
)
def test_odd_names_of_files_lead_nowhere_else(tmp_path, monkeypatch, file, name, shown):
    found = scorecard.read(write(tmp_path / file), "mini")
    assert found.name == name and next(iter(found.cards)) == shown
    monkeypatch.setattr(paths, "project_root", lambda: tmp_path)
    wanted = tmp_path / "build" / "report" / "mini" / name
    assert scorecard.write(found) == scorecard.write(found) == (wanted, False)
    other = replace(found, cards={n: card.assign(value=0.5) for n, card in found.cards.items()})
    assert scorecard.write(other) == (wanted, True)


def cards(folder, **changes):
    """Published cards of three supernets, of scale `smoke`."""
    rows = [
        {"family": f, "label": f, "measure": m, "value": v, "low": v - 0.1, "high": v + 0.1}
        for f, v in (("a", 0.5), ("b", 0.9), ("parameters", 0.6))
        for m in ("tau", "within_flops", "with_flops")
    ]
    about = {"architectures": 125, "space": "mini", "dataset": "digits", "source": truth.OWN}
    home = folder / "data" / "results" / "smoke"
    home.mkdir(parents=True)
    pd.DataFrame(rows).assign(**about | changes).to_csv(home / "cards.csv", index=False)


def test_a_supernet_is_placed_among_published_ones(tmp_path, monkeypatch):
    path = write(tmp_path / "mine.csv", score=lambda t: t + 20 * np.sin(7 * t))
    monkeypatch.setattr(paths, "published_results", lambda s: tmp_path / "data/results" / s)
    cards(tmp_path)
    found = scorecard.read(path, "mini")
    assert list(found.cards) == ["mine", "FLOPs of live options", "parameters", "a", "b"]
    own = found.cards["mine"].set_index("measure").value.tau
    above = sum(value > own for value in (0.5, 0.9))
    assert f"better are {above} of 2 published supernets and" in scorecard.text(found)
    labels = [text.get_text() for text in scorecard.draw(found).axes[0].get_yticklabels()]
    assert labels == list(found.cards)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"architectures": 1000}, "rank 1,000 architectures, your file 125: tau of different sets"),
        ({"source": "another table"}, r"held against digits \(another table\), so yours is not"),
        ({"space": "conv64"}, None),
    ],
)
def test_it_is_not_placed_where_other_things_were_ranked(tmp_path, monkeypatch, changes, words):
    path = write(tmp_path / "mine.csv")
    monkeypatch.setattr(paths, "published_results", lambda s: tmp_path / "data/results" / s)
    cards(tmp_path, **changes)
    found = scorecard.read(path, "mini")
    assert len(found.cards) == 3
    assert re.search(words or "No report card of a supernet of mini", found.notes[0])
    assert found.notes[1].startswith("The truth is noisy")


def known_of(space, reference, everything=False):
    """The truth that published rows were held against, as if its table were at hand."""
    codes = reference.code
    if everything:
        codes = [space.code(arch) for arch in space]
    table = pd.DataFrame({"test_acc": 90.0}, index=pd.Index(codes, name="code"))
    return truth.Truth(space.name, reference.dataset[0], table, reference.source[0], "official")


@pytest.mark.parametrize(
    ("name", "scale", "file", "names"),
    [
        ("nasbench201", "controls", "reference", {"PA (controls)", "yoked PA (controls)"}),
        ("conv64", "controls", "reference_conv64", {"SPOS (controls)", "PA (controls)"}),
        ("macro", "spaces", "reference_macro", {"PA&DA (spaces)", "curriculum (spaces)"}),
        ("macro12", "spaces", "reference", {"SPOS (spaces)", "size-curriculum (spaces)"}),
        ("chain-mini", "controls", "reference_chain", {"PA (controls)"}),
    ],
)
def test_scores_of_our_architectures_stand_beside_our_published_supernets(name, scale, file, names):
    """Of every space of which cards are published; with no table of its truth at hand."""
    space = spaces.get(name)
    reference = pd.read_csv(ROOT / "data" / "results" / scale / f"{file}.csv")
    found, notes = scorecard.published(known_of(space, reference), reference.code)
    assert names <= set(found), notes
    cards = [c for c in found.values() if c.family.iloc[0] not in report.CONTROLS]
    numbers = [tuple(card.value.dropna()) for card in cards]
    assert len(set(numbers)) == len(numbers)  # none twice, though scales show runs of each other
    few, notes = scorecard.published(known_of(space, reference), reference.code[1:])
    assert not few and re.search("your file [0-9,]+: tau of different sets", notes[0])
    other = known_of(space, reference.assign(source="another table"))
    few, notes = scorecard.published(other, reference.code)
    assert not few and "yours is not placed among them" in notes[0]


def test_scores_of_the_whole_space_stand_beside_those_of_full_scale():
    reference = pd.read_csv(ROOT / "data" / "results" / "controls" / "reference.csv")
    known = known_of(spaces.get("nasbench201"), reference, everything=True)
    found, notes = scorecard.published(known, known.table.index)
    assert "SPOS 16/64/1000" in found and not any("controls" in label for label in found)
    assert any("rank 1,000 architectures, your file 15,625" in note for note in notes)


# --- what cannot be told ---


def test_noise_is_said_to_have_no_limit(tmp_path):
    rng = np.random.default_rng(1)
    rows = [
        pd.DataFrame(
            {"code": [MINI.code(a) for a in MINI], "seed": k, "score": rng.normal(size=125)}
        )
        for k in (0, 1)
    ]
    pd.concat(rows).to_csv(tmp_path / "noise.csv", index=False)
    told = scorecard.text(scorecard.read(tmp_path / "noise.csv", "mini"))
    assert re.search(
        r"\(limit\) cannot be told: seeds agree .* nothing but noise\. Score more", told
    )
    assert re.search(r"infinitely many seeds +- +- +-\n", told) and "nan" not in told
    assert re.search(r"would add: limit - +- +- +-\n", told)


def test_seeds_that_may_err_by_noise_alone_are_said_to_have_no_limit(tmp_path):
    true = truth.load("mini").accuracy()
    noise = 0.5 * true.std() * np.random.default_rng(7).normal(size=125)
    rows = [
        pd.DataFrame({"code": true.index, "seed": k, "score": true + sign * noise})
        for k, sign in enumerate((1, -1))
    ]
    pd.concat(rows).to_csv(tmp_path / "two.csv", index=False)
    notes = scorecard.read(tmp_path / "two.csv", "mini").notes
    assert any(note.endswith("or from its opposite, may be noise") for note in notes)


def test_where_no_options_effect_can_be_told_the_rest_is(tmp_path, monkeypatch, capsys):
    """Architectures that have the same options in another order."""
    codes = ["-".join(code) for code in sorted(set(itertools.permutations("00112")))]
    scores = np.random.default_rng(0).normal(size=len(codes))
    pd.DataFrame({"code": codes, "score": scores}).to_csv(tmp_path / "same.csv", index=False)
    root = truth.load("chain-mini")
    monkeypatch.setattr(truth, "load", lambda *_: root)
    monkeypatch.setattr(paths, "project_root", lambda: tmp_path)
    assert main(["report", str(tmp_path / "same.csv"), "--space", "chain-mini"]) == 0
    said = capsys.readouterr().out
    assert "cannot be told: these architectures do not differ in how many of each option" in said
    folder = tmp_path / "build/report/chain-mini/same"
    assert pd.read_csv(folder / "bias.csv").columns.tolist() == list(report.BIAS)
    assert (folder / "report.png").exists() and len(pd.read_csv(folder / "card.csv")) > 20


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("../../odd name", "..%2F..%2Fodd%20name"),
        ("..", "%2E%2E"),
        (".", "%2E"),
        ("/tmp/odd", "%2Ftmp%2Fodd"),
        ("ours", "ours"),
    ],
)
def test_odd_names_of_spaces_lead_nowhere_else(scores, tmp_path, monkeypatch, name, place):
    found = replace(scorecard.read(scores, "mini"), space=name)
    monkeypatch.setattr(paths, "project_root", lambda: tmp_path)
    folder = scorecard.write(found)[0].resolve()
    assert folder == tmp_path.resolve() / "build" / "report" / place / "mine"
    assert (folder / "card.csv").exists()
