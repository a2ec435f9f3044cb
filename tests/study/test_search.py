"""Searches on stored scores, on made-up supernets with known answers."""

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from padalib import data, spaces
from padalib.engine.identity import key
from padalib.ranking import metrics
from padalib.study import claims, ranking, scales, search
from padalib.study.scale import Searches
from padalib.study.search import DRAWN, FREE, LARGEST, MAIN, UNTRAINED, Known, plots, verdicts

MINI, CHAIN = spaces.get("mini"), spaces.get("chain-mini")
BEST, LARGE, DEAD = "1-3-2", "3-3-3", "0-0-0"
COUNTS = (20, 60, 180)


def made_up(space=MINI, best=BEST, largest=80.0):
    """Random accuracies below 70, but of the best, 90, and of the largest network."""
    classes = space.classes()
    codes = [space.code(arch) for arch in classes]
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"accuracy": 20 + 50 * rng.random(len(codes))}, index=codes)
    table["noise"], table["trainings"] = 0.25, 4
    table["members"] = [len(members) for members in classes.values()]
    table["FLOPs"] = [space.flops(arch) for arch in classes]
    table["parameters"] = [space.params(arch) for arch in classes]
    table.loc[table.parameters.idxmax(), "accuracy"] = largest
    table.loc[best, "accuracy"] = 90.0
    return Known(space, table)


METHODS = ("SPOS", "PA&DA", UNTRAINED)


def scored(own, boosted=(), noise=0.0, seeds=range(3), counts=COUNTS, methods=METHODS):
    """Method -> scores: the truth with noise, and for some (method, code, count) a boost of 100."""
    rows = []
    for place, method in enumerate(methods):
        for seed in seeds:
            rng = np.random.default_rng([seed, place])
            sd = 30.0 if method == UNTRAINED else noise
            value = own.table.accuracy + sd * rng.normal(size=len(own.table))
            for count in counts:
                raised = value.copy()
                for name, code, at in boosted:
                    if name == method and at in (None, count):
                        raised[code] += 100
                rows.append(
                    pd.DataFrame({"code": raised.index, "accuracy": raised.to_numpy()}).assign(
                        method="SPOS" if method == UNTRAINED else method,
                        seed=seed,
                        images=count,
                        epoch=0 if method == UNTRAINED else 2,
                    )
                )
    return pd.concat(rows)


def sides(rows):
    """(runs, right answers) as of `Workbook.side_by_side`, of the rows of `scored`."""
    keys = ["method", "seed", "epoch", "images"]
    rows = rows.assign(run=[f"{m} {s} {e} {i}" for m, s, e, i in rows[keys].to_numpy()])
    rights = rows.assign(right=rows.accuracy * rows.images / 100)
    return rows[[*keys, "run"]].drop_duplicates(), rights.pivot(
        index="code", columns="run", values="right"
    )


def foretold(own, **changes):
    """What the supernets of `scored` predict."""
    return search.predictions(*sides(scored(own, **changes)), own)


def judged(own, predicted, size):
    made = dict(
        zip(("search_curves", "search_found"), search.simulate(predicted, own, size), strict=True)
    )
    return verdicts.analyse(predicted, own, made)


def analysed(own=None, budget=30, draws=2, **changes):
    own = own or made_up()
    return judged(own, foretold(own, **changes), Searches(budget, draws))


@pytest.fixture(scope="module")
def perfect():
    """Scores that are the truth, and evaluations for all."""
    return analysed(budget=85, draws=1)


def final(tables, method, name=MAIN, limit=FREE):
    rows = tables["finals"].set_index(["method", "search", "limit"])
    return rows.loc[(method, name, limit)]


# --- regret, of the search and of the supernet ---


def test_a_perfect_supernet_searched_whole_has_no_regret(perfect):
    tables, _ = perfect
    row = final(tables, "SPOS", "random")
    assert (row.regret, row.supernet, row.loss) == (0, 0, 0)
    curves = tables["search_curves"].query("method == 'SPOS' and search == 'random'")
    assert curves.evaluations.min() == 1 and curves.evaluations.max() == 85
    for _, each in curves.groupby(["seed", "limit"]):
        assert each.regret.is_monotonic_decreasing  # for the score is the truth


def test_the_supernets_error_is_told_from_the_searchs():
    """A favourite that is bad: the more the search finds it, the less it loses on top."""
    own = made_up()
    wrong = 90 - own.table.accuracy[DEAD]
    tables, found = analysed(own, boosted=[("PA&DA", DEAD, None)])
    row = final(tables, "PA&DA", "random")
    assert row.supernet == row.regret == pytest.approx(wrong) and row.loss == 0
    few, _ = analysed(own, budget=3, draws=5, boosted=[("PA&DA", DEAD, None)])
    row = final(few, "PA&DA", "random")
    assert row.supernet == pytest.approx(wrong) and row.loss == pytest.approx(row.regret - wrong)
    assert row.loss < 0  # good luck
    assert final(few, "SPOS", "random").loss > 0
    own_claims = {claim.key: claim for claim in found}
    assert own_claims["10.found.pada"].verdict == claims.OPPOSITE
    gain = final(tables, "SPOS").regret - wrong
    assert own_claims["10.gain.pada"].effect == pytest.approx(gain)


def test_a_favourite_beyond_the_limit_does_no_harm_within_it():
    own = made_up()
    inside = own.within("FLOPs")
    assert LARGE not in inside.index and len(inside) >= len(own.table) / 2
    tables, _ = analysed(own, boosted=[("PA&DA", LARGE, None)])
    assert final(tables, "PA&DA").supernet == 10
    row = final(tables, "PA&DA", limit="FLOPs")
    assert row.supernet == 0 and row.regret < 40
    ends = tables["search_found"].query("limit == 'FLOPs'")
    assert set(ends.code) <= set(inside.index)
    assert np.allclose(ends.groupby(["method", "seed"]).share.sum(), 1)


def test_equal_favourites_count_by_their_mean():
    own = made_up()
    rows = scored(own)
    rows.loc[rows.method == "SPOS", "accuracy"] = 5.0
    predicted = search.predictions(*sides(rows), own)
    found = search.supernets(predicted, own).query("method == 'SPOS' and limit == @FREE")
    assert found.regret.tolist() == pytest.approx([90 - own.table.accuracy.mean()] * 3)


def test_halving_looks_at_few_images_first():
    """What few images hide is lost to halving, and to no other search."""
    own = made_up()
    rest = [code for code in own.table.index if code != BEST]
    hidden = [("SPOS", code, count) for code in rest for count in COUNTS[:1]]
    tables, _ = analysed(own, budget=40, draws=2, boosted=hidden)
    assert final(tables, "SPOS", "halving").regret >= 10
    assert final(tables, "PA&DA", "halving").regret == 0
    only = analysed(own, budget=20, draws=1, counts=(180,))[0]["search_curves"]
    assert set(only.search) == {"random", "elitist", "aging"}


def test_search_seeds_are_averaged_before_supernet_seeds():
    tables, _ = analysed(budget=10, draws=4, noise=5.0)
    curves = tables["search_curves"].query("evaluations == 10 and search == @MAIN")
    own = curves.query("method == 'SPOS' and limit == @FREE").regret
    assert len(own) == 3
    mean, _, _, low, high = metrics.seeds_summary(own)
    row = final(tables, "SPOS")
    assert (row.regret, row.regret_low, row.regret_high) == pytest.approx((mean, low, high))
    again, _ = analysed(budget=10, draws=4, noise=5.0)
    pd.testing.assert_frame_equal(tables["search_curves"], again["search_curves"])


def test_published_settings_at_the_published_budget():
    own = search.searches(1000, 3)
    assert own["elitist"].keywords == {
        "population": 50, "generations": 20, "parents": 10, "mutations": 25, "crossovers": 25,
    }  # fmt: skip
    assert own["aging"].keywords == {"population": 100, "sample": 25}
    assert own["halving"].keywords == {"eta": 3, "rungs": 3}


# --- controls ---


def test_controls_by_hand():
    own = made_up()
    rows = search.controls(own).set_index(["limit", "control"]).regret
    assert rows[FREE, LARGEST] == rows[FREE, "most FLOPs"] == 10
    every = [own.table.accuracy[MINI.code(MINI.canonical(arch))] for arch in MINI]
    assert rows[FREE, DRAWN] == pytest.approx(90 - np.mean(every))
    inside = own.within("parameters")
    most = inside[inside.parameters == inside.parameters.max()]
    best = inside.accuracy.max()
    assert rows["parameters", LARGEST] == pytest.approx(best - most.accuracy.mean())


def test_what_was_not_measured_is_within_no_limit():
    own = made_up()
    own.table["phone_latency"] = np.arange(len(own.table), dtype=float)
    own.table.loc[BEST, "phone_latency"] = math.nan
    assert BEST not in own.within("phone_latency").index
    assert list(own.limits) == [FREE, "FLOPs", "parameters", "phone_latency"]
    tables, found = judged(own, foretold(own), Searches(20, 1))
    assert "10.limit.phone_latency.spos" in {claim.key for claim in found}
    assert BEST not in set(tables["search_found"].query("limit == 'phone_latency'").code)


def test_fronts_by_hand():
    own = made_up()
    predicted = foretold(own)
    rows = search.fronts(predicted, own).query("cost == 'parameters'")
    for most, each in rows.groupby("most"):
        worth, allowed = each.set_index("method").accuracy, own.table[own.table.parameters <= most]
        assert worth.truth == worth.SPOS == allowed.accuracy.max()
        costly = allowed.accuracy[allowed.parameters == allowed.parameters.max()]
        assert worth[LARGEST] == pytest.approx(costly.mean())
    assert rows.most.max() == own.table.parameters.max()


# --- claims ---


def test_claims_and_their_families(perfect):
    tables, found = perfect
    own = {claim.key: claim for claim in found}
    assert all(name.startswith("10.") for name in own)
    claim = own["10.found.spos"]
    assert claim.verdict == claims.SHOWN and claim.effect == pytest.approx(10)
    assert claim.unit == "points" and claim.bound == verdicts.BOUND
    assert "differ by 0.25 points" in claim.evidence
    assert own["10.gain.pada"].verdict == claims.EQUIVALENT
    assert own["10.untrained.spos"].effect > 0
    assert own["10.loss.spos"].verdict == claims.EQUIVALENT
    for name, keys in (
        ("search_better", ("found", "gain", "untrained")),
        ("search_limits", ("limit", "limitgain")),
        ("search_loss", ("loss", "evolution")),
    ):
        rows = tables[name]
        assert {row.key.split(".")[1] for row in rows.itertuples()} == set(keys)
        assert rows.holm.tolist() == pytest.approx(claims.holm(rows.p.tolist()))
    level = made_up()
    level.table["accuracy"] = 80.0
    for noise, verdict in ((0.1, claims.EQUIVALENT), (0.5, claims.NOT_SHOWN)):
        level.table["noise"] = noise  # too few trainings of too noisy networks decide nothing
        own = {claim.key: claim for claim in analysed(level, budget=4, draws=1)[1]}
        assert own["10.found.spos"].verdict == verdict
        assert "over 4 trainings of the truth" in own["10.found.spos"].evidence


def test_the_schedule_is_a_control_also_within_the_limit_on_flops():
    own = made_up()
    inside = own.within("FLOPs")
    good = inside.accuracy.idxmax()
    boosted = [("PA&DA", LARGE, None), ("curriculum", DEAD, None)]
    named = (*METHODS, "curriculum")
    _, found = analysed(own, budget=85, draws=1, boosted=boosted, methods=named)
    found = {claim.key: claim for claim in found}
    lost = 80 - own.table.accuracy[DEAD]
    assert found["10.schedule.pada"].effect == pytest.approx(lost)
    assert found["10.schedule.pada"].statement.startswith("*Control:* ")
    assert found["10.gain.pada"].effect == pytest.approx(-10)  # SPOS finds the best
    lost = own.table.accuracy[good] - own.table.accuracy[DEAD]
    assert found["10.limitschedule.flops.pada"].effect == pytest.approx(lost)
    assert found["10.limitgain.flops.pada"].effect == 0
    assert "within the median of FLOPs" in found["10.limitgain.flops.pada"].statement
    assert not [key for key in found if "schedule.spos" in key or "limitgain.parameters" in key]


def test_the_truths_noise_is_a_doubt_of_what_was_chosen():
    own = made_up()
    same = search.alike([BEST])
    assert own.doubt(same.sub(same, fill_value=0.0)).error == 0
    apart = same.sub(search.alike([LARGE, DEAD]), fill_value=0.0)
    # Three functions with shares 1, -1/2 and -1/2, each the mean of 4 trainings of sd 0.25.
    assert own.doubt(apart).error == pytest.approx(0.25 / 2 * (1 + 1 / 4 + 1 / 4) ** 0.5)
    assert own.worth(search.alike([BEST, LARGE])) == pytest.approx(85)
    own.table["noise"] = np.nan
    assert np.isnan(own.doubt(apart).error)


def test_equal_finds_show_nothing_without_the_truths_noise():
    own = made_up()
    own.table["noise"] = own.table["trainings"] = np.nan
    tables, _ = analysed(own, budget=85, draws=1)
    rows = tables["search_better"].set_index("key")
    assert rows.difference["10.found.spos"] == pytest.approx(10)
    assert rows.verdict["10.found.spos"] == claims.NOT_SHOWN and rows.p["10.found.spos"] == 1


def test_one_seed_shows_nothing():
    _, found = analysed(budget=10, draws=1, seeds=(0,))
    assert {claim.verdict for claim in found} == {claims.NOT_SHOWN}


# --- what is refused ---


def test_scores_that_lack_something_are_refused():
    own = made_up()
    runs, rights = sides(scored(own))
    with pytest.raises(ValueError, match="the scores lack architecture 1-3-2"):
        search.predictions(runs, rights.drop(index=BEST), own)
    wide = foretold(own, counts=(50, 60, 180))["SPOS", 0]
    with pytest.raises(ValueError, match=r"scores on 50, 60, 180 images, none on 0.111 of 180"):
        search.stored(wide, own)((1, 3, 2), 1 / 9)
    assert search.stored(wide, own)((1, 3, 2), 1 / 3) == pytest.approx(90)


# --- configs ---


@pytest.mark.parametrize("name", ["smoke", "laptop", "search"])
def test_all_architectures_are_scored_and_untrained_supernets_too(name, monkeypatch):
    monkeypatch.setattr(data, "load", lambda name: pytest.fail("something was read"))
    scale = scales.get(name)
    for each in (scale, *scale.beside):
        made = search.configs(each)
        assert len(made) == len(set(made)) and {config.archs for config in made} == {None}
        methods = [m for m in search.METHODS if m in each.methods]
        assert len(made) == (len(methods) + 1) * len(each.seeds) * (1 + len(each.searches.rungs))
        start = [config for config in made if config.epoch == 0]
        assert len(start) == len(each.seeds) * (1 + len(each.searches.rungs))
        assert {config.train.method.name for config in start} == {"SPOS"}
        assert "search" in each.studies and each.searches.evaluations < len(each.space)
    if name != "search":
        shared = set(ranking.configs(scale)) & set(search.configs(scale))
        assert len(shared) == 4 * len(scale.seeds)  # nothing is scored anew on all images


def test_the_supernets_searched_on_cifar_are_those_of_other_scales(monkeypatch):
    monkeypatch.setattr(data, "fingerprint", lambda name: "")
    scale, controls, across = (scales.get(name) for name in ("search", "controls", "spaces"))
    macro, macro12 = scale.beside
    have = {key(c) for each in (controls, across, *across.beside) for c in each.trainings()}
    for each in (scale, macro, macro12):
        trained = {c.train for c in search.configs(each) if c.epoch != 0}
        assert len(trained) == len(each.methods) * 5 and {key(c) for c in trained} <= have
        assert set(each.methods) <= set(search.METHODS)


def test_the_start_of_a_run_is_looked_at_without_changing_the_run(monkeypatch):
    monkeypatch.setattr(data, "fingerprint", lambda name: "")
    laptop = scales.get("laptop")
    starts = {c.train for c in search.configs(laptop) if c.epoch == 0}
    assert {key(c) for c in starts} <= {key(c) for c in laptop.trainings()}
    (chain,) = laptop.beside
    starts = [c.train for c in search.configs(chain) if c.epoch == 0]
    assert {(c.epochs, c.keep) for c in starts} == {(1, (0,))}


def test_rungs_are_a_ninth_and_a_third_of_the_images():
    for name in ("smoke", "laptop", "search"):
        scale = scales.get(name)
        for each in (scale, *scale.beside):
            n = each.rank_images or len(data.load(each.data)[each.rank_split])
            assert each.searches.rungs in ((), (round(n / 9), round(n / 3)))


# --- what is known of a space ---


class Book:
    """A workbook whose tables are kept in memory."""

    def __init__(self, space, truth):
        self.scale = SimpleNamespace(space=space, truth=truth, data=truth)
        self.redraw, self.saved = False, {}

    def save(self, name, rows):
        self.saved[name] = rows
        return rows

    def published(self, name):
        return self.saved[name]


def test_right_answers_are_counted_and_read_back():
    own = made_up()
    for n in (111, 333, 1000):
        counts = np.arange(len(own.table)) % (n + 1)
        rows = pd.DataFrame({"accuracy": 100 * (counts / n), "images": n})
        assert search.right(rows).tolist() == counts.tolist()
    runs = pd.DataFrame(
        {"method": "PA", "seed": 1, "epoch": 2, "images": [60, 20], "run": list("ab")}
    )
    rights = pd.DataFrame({"a": 30, "b": 5}, index=[*reversed(own.table.index), "other"])
    wide = search.predictions(runs, rights, own)["PA", 1]
    assert wide.columns.tolist() == [20, 60] and wide.loc[BEST].tolist() == [25, 50]
    assert wide.index.equals(own.table.index)


def test_searches_are_made_once_and_redrawn_as_published():
    own, size = made_up(), Searches(20, 1)
    book = Book(MINI, "digits")
    book.scale.searches = size
    made = search.simulated(book, foretold(own), own)
    assert list(made) == ["search_curves", "search_found"] == list(book.saved)
    curves, found = search.simulate(foretold(own), own, size)
    pd.testing.assert_frame_equal(made["search_curves"], curves)
    pd.testing.assert_frame_equal(made["search_found"], found)
    book.redraw = True
    assert search.simulated(book, {}, own)["search_found"] is made["search_found"]


def test_latencies_are_found_by_operation_not_by_number(monkeypatch, capsys):
    whole = spaces.get("nasbench201")
    codes = [whole.code(arch) for arch in whole]
    costs = pd.DataFrame({"phone_latency": np.arange(len(codes), dtype=float)}, index=codes)
    accuracy = pd.Series(50.0, [whole.code(arch) for arch in whole])
    alike = SimpleNamespace(
        seeds=[], main_split="test", accuracy=lambda _: accuracy, told=None, dataset="cifar10"
    )
    monkeypatch.setattr(search.truth, "load", lambda space, dataset: alike)
    monkeypatch.setattr(search.latency, "load", lambda: costs)
    book = Book(spaces.get("conv64"), "cifar10")
    own = search.known(book)
    assert own.table.phone_latency["1-1-1-1-1-1"] == costs.phone_latency["3-3-3-3-3-3"]
    assert own.table.phone_latency["0-1-0-0-0-0"] == costs.phone_latency["2-3-2-2-2-2"]
    book.redraw = True
    pd.testing.assert_frame_equal(search.known(book).table, own.table)

    def missing():
        raise FileNotFoundError

    monkeypatch.setattr(search.latency, "load", missing)
    without = search.known(Book(spaces.get("conv64"), "cifar10"))
    assert list(without.limits) == [FREE, "FLOPs", "parameters"]
    assert "No latencies in the data root" in capsys.readouterr().out


def test_the_projects_own_truth_has_its_noise():
    book = Book(MINI, "digits")
    own = search.known(book)
    assert len(own.table) == 85 and own.table.members.sum() == len(MINI)
    assert list(book.saved) == ["functions"]  # and no second table of the same accuracies
    assert own.table.noise[LARGE] > 0 and own.table.FLOPs[LARGE] == own.table.FLOPs.max()
    said = verdicts.described(own, Searches(24, 10), (0, 1, 2))
    assert "125 architectures, 85 distinct functions" in said and "3 supernets" in said


# --- figures ---


def test_figures_show_every_method_search_and_control():
    own = made_up()
    tables, _ = analysed(own, budget=20, draws=2, boosted=[("SPOS", DEAD, None)])
    figure = plots.draw(tables)
    left, middle, right = figure.axes
    labels = [text.get_text().strip() for text in figure.legends[0].get_texts()]
    searches = [*search.NAMES.values(), "the supernet's favourite"]  # the second line of words
    assert labels[1::2] == searches and labels[::2] == [*METHODS, "", ""]
    figure.draw_without_rendering()
    assert figure.legends[0].get_window_extent().y0 > left.get_window_extent().y1  # covers no line
    assert len(middle.lines) == 3
    names = [label.get_text() for label in right.get_yticklabels()]
    assert names == ["SPOS", "PA&DA", UNTRAINED, "largest", "random draw"]
    assert "largest network 10.00" in plots.caption(own, tables, "laptop")
    fronts = plots.draw_fronts(own, tables["fronts"])
    assert [axes.get_xlabel() for axes in fronts.axes] == ["FLOPs"]  # parameters: the same order
    assert "limits on FLOPs, in points: the dearest" in plots.caption_fronts(
        own, tables["fronts"], "laptop"
    )
    assert "SPOS" in plots.caption_fronts(own, tables["fronts"], "laptop")


def test_every_line_of_a_front_is_seen():
    own = made_up()
    tables, _ = analysed(own, budget=20, draws=2)
    rows = tables["fronts"]
    (axes,) = plots.draw_fronts(own, rows).axes
    low, high = axes.get_ylim()
    lines = rows[rows.method != LARGEST].accuracy
    assert (rows.method == UNTRAINED).any() and low < lines.min() and lines.max() < high < 100
    assert len(axes.get_yticks()) > 1
    own.table["accuracy"] += 10.0  # the best has no error at all
    plots.draw_fronts(own, rows.assign(accuracy=rows.accuracy + 10.0)).draw_without_rendering()


def test_a_few_that_cost_next_to_nothing_do_not_squeeze_a_front():
    own = made_up()
    own.table["phone_latency"] = np.linspace(10.0, 20.0, len(own.table))
    own.table.loc[DEAD, "phone_latency"] = 0.01
    own = Known(own.space, own.table)
    tables, _ = judged(own, foretold(own), Searches(20, 1))
    flops, latency = plots.draw_fronts(own, tables["fronts"]).axes
    assert 1 < latency.get_xlim()[0] < 11 and flops.get_xlim()[0] < own.table.FLOPs.min()
    assert latency.get_xlabel() == "phone latency (ms)"
    assert "and over 2 costs, in points: the dearest" in plots.caption_fronts(
        own, tables["fronts"], "x"
    )


def test_found_cells_are_drawn_with_their_live_options_only():
    own = made_up()
    tables, _ = analysed(own, boosted=[("SPOS", DEAD, None)])
    found = plots.finds(own, tables)
    assert found.name.tolist() == ["the best there is", LARGEST, "SPOS", "PA&DA", UNTRAINED]
    assert found.code.tolist()[:4] == [BEST, LARGE, DEAD, BEST]
    assert found.share[2] == 1 and found.accuracy[0] == 90
    panels = plots.draw_found(MINI, found).axes
    assert [len(axes.patches) for axes in panels[:4]] == [3, 3, 0, 3]
    figure = plots.draw_found(MINI, found.assign(code="1-3-4"))  # colours alone are alike in grey
    assert len({str(patch.get_linestyle()) for patch in figure.axes[0].patches}) == 3
    assert [text.get_text() for text in panels[2].texts] == ["no signal passes"]
    assert "SPOS 0-0-0" in plots.caption_found(own, found, "laptop")
    chain = pd.DataFrame({"name": ["x"], "code": ["0-1-2-1-0"], "share": [0.5], "accuracy": [1.0]})
    assert len(plots.draw_found(CHAIN, chain).axes[0].patches) == 5
