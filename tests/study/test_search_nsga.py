"""NSGA-II's fronts on stored scores, on made-up supernets with known answers."""

import importlib.util
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import test_search as made

from padalib.engine.runs import RunError
from padalib.ranking.counted import Counted
from padalib.study import search
from padalib.study.scale import Searches
from padalib.study.search import nsga as search_nsga
from padalib.study.search import plots

SIZE = Searches(20, 1)


def prepared(**changes):
    own = made.made_up()
    predicted = made.foretold(own, **changes)
    return own, predicted, search.fronts(predicted, own)


@pytest.fixture
def asks(monkeypatch):
    """Lets a search ask for given codes, whatever the scores are."""

    def install(*codes):
        def nsga(counted: Counted, cost, seed, population):
            for code in codes:
                arch = counted.space.parse(code)
                if counted.fits(arch):
                    counted(arch)
            return counted.table

        monkeypatch.setattr(search_nsga, "nsga", nsga)

    return install


def test_the_front_of_what_was_asked_by_hand(asks):
    own, predicted, all_of = prepared()
    asks(made.BEST, made.LARGE, made.DEAD)
    rows = search_nsga.fronts(predicted, own, SIZE, all_of)
    assert set(rows.cost) == {"FLOPs"}  # no latency is known here
    for most, each in rows[rows.method == "SPOS"].groupby("most"):
        (row,) = each.itertuples()
        costs = own.table.FLOPs
        best = made.BEST if costs[made.BEST] <= most else made.DEAD
        assert row.accuracy == pytest.approx(own.table.accuracy[best])  # the truth is its score
        inside = own.table.accuracy[costs <= most]
        assert row.whole == pytest.approx(inside.max())
    truth = rows[rows.method == "truth"]
    assert truth.accuracy.is_monotonic_increasing and truth.accuracy.max() == 90
    said = search_nsga.caption(own, rows, SIZE, "smoke")
    assert "20 evaluations for all limits on FLOPs together" in said
    assert "SPOS" in said and "(0.00 of all functions)" in said


def test_limits_within_which_nothing_was_asked_are_left_out(asks):
    own, predicted, all_of = prepared()
    asks(made.LARGE)
    rows = search_nsga.fronts(predicted, own, SIZE, all_of)
    spos = rows[rows.method == "SPOS"].set_index("most").accuracy
    assert spos.dropna().tolist() == [80.0] and spos.index[spos.notna()] == [spos.index.max()]
    assert "SPOS 10.00 (0.00 of all functions)" in search_nsga.caption(own, rows, SIZE, "smoke")
    (axes,) = plots.draw_fronts(own, rows).axes
    assert axes.get_xlabel() == "FLOPs"


def test_the_cost_is_a_latency_where_one_is_known_and_measured(asks):
    own, predicted, _ = prepared()
    own.table["phone_latency"] = np.arange(len(own.table), dtype=float)
    own.table.loc[made.BEST, "phone_latency"] = np.nan
    own = search.Known(own.space, own.table)
    asks(made.BEST, made.LARGE)
    (wide, *_) = predicted.values()
    assert search_nsga.cost_of(own) == "phone_latency"
    assert search_nsga.asked(wide, own, "phone_latency", SIZE, 0) == [made.LARGE]


def test_optuna_asks_for_a_front():
    pytest.importorskip("optuna")
    own, predicted, all_of = prepared()
    rows = search_nsga.fronts(predicted, own, Searches(60, 1), all_of)
    again = search_nsga.fronts(predicted, own, Searches(60, 1), all_of)
    pd.testing.assert_frame_equal(rows, again)
    spos = rows[rows.method == "SPOS"].dropna()
    assert len(spos) > len(all_of.most.unique()) / 4
    assert (spos.accuracy <= spos.whole + 1e-9).all()  # the score is the truth


# --- where there is none ---


class Book:
    """A workbook that has published nothing."""

    def __init__(self, redraw):
        self.redraw, self.scale = redraw, SimpleNamespace(searches=SIZE)

    def published(self, name):
        raise RunError(name)


def test_without_optuna_a_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    said = search_nsga.read(Book(redraw=False), {}, made.made_up(), pd.DataFrame())
    assert said == search_nsga.LACKING and "pip install optuna" in said


def test_redrawing_what_was_not_published_says_so():
    said = search_nsga.read(Book(redraw=True), {}, made.made_up(), pd.DataFrame())
    assert said == search_nsga.UNPUBLISHED
