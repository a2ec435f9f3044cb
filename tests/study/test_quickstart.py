"""The first notebook's functions, on tables made up so that the right answers are known."""

import pandas as pd
import pytest

from padalib import samplers, spaces
from padalib.study import figures, quickstart, scales
from padalib.study.claims import SHOWN
from padalib.study.quickstart import FREE

SPACE = spaces.get("mini")
CODES = ["3-3-3", "3-0-3", "1-1-1", "0-0-0", "4-2-1"]
TRUE = [90.0, 80.0, 70.0, 10.0, 60.0]
REFERENCE = pd.DataFrame({"code": CODES, "accuracy": TRUE}).assign(
    perfect=0.96,
    source="trained alone here",
    dataset="digits",
    split="test",
)
MINE = [50.0, 40.0, 40.0, 5.0, 20.0]  # in the truth's order, but for one tie
SPOS = [10.0, 20.0, 30.0, 40.0, 50.0]  # every pair turned round, but for the last two


def table(**columns):
    return pd.concat(
        pd.DataFrame({"method": name, "seed": 0, "code": CODES[::-1], "accuracy": values[::-1]})
        for name, values in columns.items()
    )


@pytest.fixture
def rows():
    return quickstart.beside(table(SPOS=SPOS, mine=MINE), REFERENCE, SPACE, "mine")


def test_scores_stand_beside_the_truth_of_their_own_architecture(rows):
    assert list(rows) == ["true", "SPOS", "mine", FREE]
    assert rows.index.tolist() == CODES
    assert rows.true.tolist() == TRUE and rows.SPOS.tolist() == SPOS and rows.mine.tolist() == MINE
    assert rows[FREE]["3-3-3"] == SPACE.flops((3, 3, 3)) / 1e6


def test_a_table_without_the_sampler_is_refused_by_name():
    words = "no scores of other, only of SPOS, mine: set redraw = False"
    with pytest.raises(ValueError, match=words):
        quickstart.beside(table(SPOS=SPOS, mine=MINE), REFERENCE, SPACE, "other")


def test_an_architecture_without_a_score_is_refused():
    scores = table(SPOS=SPOS, mine=MINE)
    with pytest.raises(ValueError, match="1 architectures have no score, such as 0-0-0"):
        quickstart.beside(scores[scores.code != "0-0-0"], REFERENCE, SPACE, "mine")


def test_the_best_by_the_supernet_come_first_with_their_true_places(rows):
    best = quickstart.best(rows, SPACE, "mine", top=4)
    assert best.index.tolist() == [1, 2, 2, 4] and best.index.name == "place by mine"
    # Equal scores stand by name, not by what the truth says.
    assert best["true place of 5"].tolist() == [1, 3, 2, 4]
    assert best["alone (%)"].tolist() == [90.0, 70.0, 80.0, 60.0]
    assert best["accuracy, inherited (%)"].tolist() == [50.0, 40.0, 40.0, 20.0]
    assert list(best)[:3] == ["1←0", "2←0", "2←1"]
    assert best.iloc[3, :3].tolist() == ["avg pool", "conv 1×1", "skip"]  # 4-2-1
    assert best.iloc[2, :3].tolist() == ["conv 3×3", "none", "conv 3×3"]  # 3-0-3
    worst = quickstart.best(rows, SPACE, "SPOS", top=2)
    assert worst["true place of 5"].tolist() == [4, 5]


def test_the_card_measures_each_column_against_the_truth(rows):
    card = quickstart.card(rows)
    assert card.index.tolist() == ["SPOS", "mine", f"{FREE}, no training"]
    # of ten pairs SPOS has one right (the last two); `mine` has nine and ties in one
    assert card.tau["SPOS"].startswith("-0.80 [") and card.tau["mine"].startswith("0.9")
    assert card["in the true best tenth"]["mine"].startswith("1.00 [")
    assert card["lost by taking its favourite (points)"]["SPOS"].startswith("30 [")


def test_the_claim_names_the_sampler_and_compares_its_tau(rows):
    claim = quickstart.compare(rows, "mine")
    assert claim.effect == pytest.approx(0.9 / 0.9**0.5 + 0.8)
    assert claim.statement == "The supernet of “mine” ranks better than that of SPOS"
    assert claim.verdict == SHOWN and claim.intervals[0].over == "architectures"
    assert "tau 0.949 against -0.800: +1.749 [" in claim.evidence


def test_the_same_scores_are_no_better(rows):
    claim = quickstart.compare(rows.assign(mine=rows.SPOS), "mine")
    assert claim.effect == 0 and claim.verdict != SHOWN


def test_the_picture_has_a_panel_a_column_in_its_colour(rows):
    figure = quickstart.draw(rows, REFERENCE, SPACE)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert [title.partition(":")[0] for title in titles] == ["SPOS", "mine", FREE]
    assert titles[1].endswith("tau 0.95")
    assert [axes.lines[0].get_color() for axes in figure.axes] == [
        figures.colour(name) for name in ("SPOS", "mine", FREE)
    ]
    assert figure.axes[1].lines[0].get_xydata().tolist() == [
        [x, y]
        for x, y in zip(MINE, TRUE, strict=True)
        if y > 10  # the last has no live edge
    ]

    class Mine(samplers.UniformPaths):
        """Draws as I like.

        And this is not told.
        """

    claim = quickstart.compare(rows, "mine")
    caption = quickstart.caption(claim, REFERENCE, samplers.compose("mine", paths=Mine))
    assert "that of SPOS?" in caption and "reach tau 0.96" in caption
    assert " “mine” draws as I like. A perfect" in caption and "not told" not in caption
    Mine.__doc__ = None  # a sampler need not say anything
    silent = quickstart.caption(claim, REFERENCE, samplers.compose("mine", paths=Mine))
    assert "only. A perfect predictor" in silent


def test_two_supernets_are_trained_alike_but_for_the_sampler():
    method = samplers.compose("mine", paths=samplers.FairPaths)
    spos, own = quickstart.configs(scales.get("smoke"), method)
    assert own.train.method == method and spos.train.method == samplers.get("SPOS")
    assert (spos.train.seed, spos.train.epochs) == (own.train.seed, own.train.epochs) == (0, 2)
    for scoring in quickstart.configs(scales.get("paper"), method):
        assert scoring.train.method.zero_grad  # as that scale has it
    wish = method.with_options("mine", zero_grad=True)
    assert quickstart.configs(scales.get("smoke"), wish)[1].train.method.zero_grad


@pytest.mark.parametrize("name", ["SPOS", FREE])
def test_a_sampler_may_not_take_the_name_of_what_it_is_held_against(name):
    with pytest.raises(ValueError, match=f"a name of its own; got '{name}'"):
        quickstart.configs(scales.get("smoke"), samplers.compose(name))


def test_the_space_is_introduced_in_numbers():
    text = quickstart.introduce(SPACE, REFERENCE)
    assert "125 architectures, 85 different functions. 5 are ranked" in text
    assert "test accuracy on digits runs from 10.0 to 90.0 % (trained alone here)" in text
