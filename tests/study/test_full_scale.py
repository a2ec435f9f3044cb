"""Supernets of others: contrasts on made-up families with known answers, and the true ones."""

import math
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from padalib import spaces
from padalib.benchmarks import predictions, truth
from padalib.benchmarks.predictions import ScoresError
from padalib.ranking.pairs import Estimate
from padalib.ranking.report import Ranked
from padalib.study import claims, full_scale, scales
from padalib.study.full_scale import plots, verdicts
from padalib.study.workbook import Workbook

MINI = spaces.get("mini")
CODES = tuple(map(MINI.code, MINI))
DATA = Path(os.environ.get("PADALIB_DATA") or "data")  # before tests get one of their own
BEST = "decom5-5-15-20-128-1000-balanced"


def made_up(noise):
    """Families by name -> noise of a seed, on a truth that follows the FLOPs of `mini`."""
    rng = np.random.default_rng(0)
    flops = np.array([MINI.flops(arch) for arch in MINI], float)
    true = stats.rankdata(flops) / 125 + 0.3 * rng.normal(size=125)
    rows = [
        pd.DataFrame({"code": CODES, "score": true + sd * rng.normal(size=125)}).assign(
            seed=seed, family=name
        )
        for name, sd in noise.items()
        for seed in range(4)
    ]
    return pd.concat(rows), Ranked(MINI, CODES, true)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """All tables, as they come back from disk."""
    noise = {"baseline-16-64-250": 2.0, "baseline-16-64-500": 0.2, "baseline-5-128-1000": 0.5}
    noise |= {f"{'baseline-5-128-1000'}-balanced": 0.5, "last200": 0.1}
    tables = full_scale.analyse(*made_up(noise))
    origin = {"space": "mini", "dataset": "digits", "source": "made up"}
    tables["cards"] = tables["cards"].assign(**origin)
    folder = tmp_path_factory.mktemp("tables")
    for name, rows in tables.items():
        rows.to_csv(folder / f"{name}.csv", index=False)
    return {name: pd.read_csv(folder / f"{name}.csv") for name in tables}


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("baseline-16-64-250", "SPOS 16/64/250"),
        ("baseline-5-128-1000-balanced", "balanced 5/128/1000"),
        ("decom5-8-15-64-500-balanced", "balanced, 2 sets 8/64/500"),
        (BEST, "balanced, 3 sets 5/128/1000"),
        ("decom5-5-15-20-128-1000rand", None),
        ("decom5-5-64-500", None),  # no cut, so no sets
        ("baseline-5-15-64-500", None),
        ("last200128", None),
    ],
)
def test_a_name_tells_how_a_family_was_trained(name, label):
    found = full_scale.family(name)
    assert (found.label if found else None) == label


def test_contrasts_change_one_thing_as_far_as_names_tell():
    for key, _, a, b in full_scale.CONTRASTS:
        one, other = vars(full_scale.family(a)), vars(full_scale.family(b))
        assert sum(one[field] != other[field] for field in one) == 1, key
    assert len({key for key, *_ in full_scale.CONTRASTS}) == len(full_scale.CONTRASTS)


def test_what_was_planted_is_found(made):
    rows = made["contrasts"].set_index(["key", "measure"])
    assert rows.verdict["longer", "tau"] == claims.SHOWN
    assert rows.verdict["balanced", "tau"] != claims.SHOWN
    tau = made["cards"].set_index(["family", "measure"]).value
    gap = tau["baseline-16-64-500", "tau"] - tau["baseline-16-64-250", "tau"]
    assert rows.difference["longer", "tau"] == pytest.approx(gap)
    assert set(made["seeds"].family) == {name for name in made["bias"].family}
    assert "last200" not in set(made["seeds"].family)
    one = made["contrasts"].query("question == 'one thing'")
    assert len(one) == 2 * 3 and one.holm.tolist() == claims.holm(one.p.tolist())


def test_claims_are_of_tables_that_were_read_again(made):
    found = {claim.key: claim for claim in verdicts.conclude(made)}
    assert {"05.seeds", "05.longer", "05.balanced", "05.balanced.within_flops"} <= found.keys()
    assert {"05.free", "05.free_prior", "05.order.with_flops"} <= found.keys()
    assert "05.longer.within_flops" not in found  # told beside
    assert "By tau among equal FLOPs" in found["05.longer"].evidence
    assert found["05.longer"].verdict == claims.SHOWN and found["05.seeds"].null == 0.03
    said = "".join(claim.statement + claim.evidence for claim in found.values())
    assert "nan" not in said and "chosen after their cards were seen" in said
    assert "16 supernets of 4 families, 4 to 4 seeds" in verdicts.described(made)
    assert "PA&DA is not among them" in plots.caption(made)
    assert len(plots.draw(made).axes) == 6


def few(name, values, influence=0.0):
    return {(name, "tau"): [Estimate(value, np.full(4, influence)) for value in values]}


def test_a_visible_difference_has_welchs_degrees_of_freedom():
    a, b, clusters = [0.3, 0.5, 0.45], [0.2, 0.1, 0.12, 0.3], np.arange(4)
    found = few("a", a, 1e-6) | few("b", b)
    row = full_scale._difference(found, ("a", "tau"), ("b", "tau"), clusters)
    (own,) = full_scale.outcomes.judged([row], 0.03, 1).itertuples()
    freedom = stats.ttest_ind(a, b, equal_var=False).df
    assert 2 < freedom < 5 and own.seeds == 7  # not 6 degrees
    half, t = (own.seeds_high - own.seeds_low) / 2, stats.t(freedom)
    assert own.seeds_freedom == pytest.approx(freedom)
    assert own.visible == pytest.approx(half * (1 + t.ppf(0.8) / t.ppf(0.975)), rel=1e-4)


def test_two_outcomes_of_one_family_are_of_the_same_runs():
    found = few("a", [0.3, 0.5, 0.7])
    found["a", "with_flops"] = [Estimate(e.value + 0.1, e.influence) for e in found["a", "tau"]]
    row = full_scale._difference(found, ("a", "with_flops"), ("a", "tau"), np.arange(4))
    assert (row["seeds"], row["seeds_low"]) == (3, pytest.approx(0.1))  # all differ by as much


def test_seed_noise_of_the_outcomes_of_a_run_is_joint(monkeypatch):
    monkeypatch.setattr(full_scale, "DRAWS", 100_000)
    values, rng = np.array([[0.1, 0.5], [0.2, 0.3], [0.4, 0.2]]), np.random.default_rng(0)
    found = full_scale.seed_noise(values, rng)
    ends = np.quantile(found, [0.025, 0.975], axis=0)
    t = stats.t.ppf(0.975, 2)
    half = t * values.std(axis=0, ddof=1) / math.sqrt(3)
    assert ends == pytest.approx(np.array([-half, half]), rel=0.03)
    gap = np.quantile(found[:, 0] - found[:, 1], 0.975)  # of the runs' own differences
    assert gap == pytest.approx(t * stats.sem(values[:, 0] - values[:, 1]), rel=0.03)
    assert (full_scale.seed_noise(values[:1], rng) == 0).all()


def test_the_order_of_families_stays_where_both_outcomes_move_together():
    """Seeds differ a lot, but a run that is better by tau is so by the other outcome too."""
    found = {}
    for k, seeds in enumerate(([0.3, 0.5, 0.7], [0.35, 0.55, 0.75], [0.4, 0.6, 0.8])):
        for outcome in full_scale.OUTCOMES:
            found[str(k), outcome] = [Estimate(value, np.zeros(4)) for value in seeds]
    rows = full_scale.order(found, ["0", "1", "2"], np.arange(4))
    assert set(rows.rho) == set(rows.seeds_low) == set(rows.both_low) == {1.0}


def test_contrasts_with_few_seeds_are_told_in_the_table_only(made):
    keys = {claim.key for claim in verdicts.conclude(made)}
    assert verdicts._sparse(made) == {} and "05.longer" in keys
    cards = made["cards"].copy()
    cards.loc[cards.family == "baseline-16-64-250", "seeds"] = 2
    short = made | {"cards": cards}
    assert "05.longer" not in {claim.key for claim in verdicts.conclude(short)}
    said = verdicts.described(short)
    assert said.endswith(
        "In the table only, for fewer than 3 seeds on a side: SPOS 16/64/500 (4) against "
        "SPOS 16/64/250 (2)."
    )


def test_seeds_of_families_add_up_in_squares():
    rows = {"measure": ["more_seeds"] * 2 + ["limit"] * 2, "seeds": 5, "architectures": 100}
    ends = {"seeds_low": -0.01, "seeds_high": 0.03, "archs_low": 0.0, "archs_high": 0.02}
    cards = pd.DataFrame(rows | ends | {"value": [0.01, 0.01, 0.7, 0.8]})
    found = verdicts._more_seeds(cards, 85)
    half = stats.t.ppf(0.975, 8) * math.sqrt(2) * 0.02 / stats.t.ppf(0.975, 4) / 2
    assert found.intervals[0].high == pytest.approx(0.01 + half)
    assert found.intervals[1].high == pytest.approx(0.02) and found.intervals[1].n == 85
    assert found.intervals[2].high > found.intervals[0].high and found.verdict == claims.OPPOSITE
    assert "lacks to 1: 0.20 to 0.30" in found.evidence
    unknown = cards.iloc[::2].assign(value=np.nan, **dict.fromkeys(ends, np.nan))
    assert verdicts._more_seeds(pd.concat([cards, unknown]), 85) == found


# --- where they come from ---


def cells(op):
    return f"[(('{op}', 0),)]"


def test_clones_and_converted_tables_give_the_same(tmp_path):
    space = spaces.CellSpace("two", nodes=2, ops=spaces.CONVS)
    with pytest.raises(ScoresError, match=r"clone https://github\.com/cvlab-yonsei/Few-Shot-NAS"):
        predictions.published(tmp_path, space)
    table = pd.DataFrame({"code": ["0", "1"], "baseline-16-64-250/7": [50.0, 60.5]})
    table.to_csv(tmp_path / "published_supernets.csv.gz", index=False)
    converted = predictions.published(tmp_path, space)
    logs = tmp_path / "Few-Shot-NAS" / "cell_based" / "SuperNet" / "logs"
    logs.mkdir(parents=True)
    (logs / "seed-7-last_arch320").write_text("no JSON, and no part of a run")
    for part, (op, score) in enumerate((("nor_conv_1x1", 50.0), ("nor_conv_3x3", 60.5))):
        name = f"seed-7-opt5-wotrash-baseline-16-64-250_{part}"
        (logs / name).write_text(f'{{"{cells(op)}": {score}}}')
    assert predictions.published(tmp_path, space).to_dict("list") == converted.to_dict("list")
    assert converted.family.unique().tolist() == ["baseline-16-64-250"]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ({"code": ["0"], "a/0": [1.0]}, "1 runs of 1 architectures, not every run a score of each"),
        ({"code": ["0", "1"], "a/0": [1.0, None]}, "not every run a score of each of the 2"),
        ({"code": ["0", "1"], "a": [1.0, 2.0]}, "is no table of predictions"),
    ],
)
def test_a_damaged_table_of_predictions_is_refused(tmp_path, rows, words):
    path = tmp_path / "published_supernets.csv.gz"
    pd.DataFrame(rows).to_csv(path, index=False)
    space = spaces.CellSpace("two", nodes=2, ops=spaces.CONVS)
    with pytest.raises(ScoresError, match=words):
        predictions.published(tmp_path, space)


def test_without_predictions_only_what_is_published_can_be_drawn(tmp_path, monkeypatch):
    with pytest.raises(ScoresError, match="with redraw=True"):
        full_scale.tables(Workbook("full"))
    trains = SimpleNamespace(scale=scales.get("smoke"), redraw=False)
    with pytest.raises(ValueError, match="scale smoke trains supernets of its own"):
        full_scale.tables(trains)
    found = full_scale.tables(Workbook("full", redraw=True))
    assert len(found["seeds"]) == 39 * 3
    assert len(verdicts.conclude(found)) == 3 + 5 + 2 * 3 + 5


KNOWN = {  # tau, between seeds, limit, with the FLOPs' rank, among equal FLOPs, top decile
    "baseline-16-64-250": (0.592, 0.828, 0.608, 0.786, 0.603, 0.210),
    "baseline-16-64-500": (0.653, 0.897, 0.660, 0.814, 0.639, 0.200),
    "baseline-16-64-1000": (0.667, 0.892, 0.675, 0.818, 0.654, 0.217),
    "baseline-16-128-1000": (0.683, 0.877, 0.694, 0.813, 0.640, 0.161),
    "baseline-5-64-250": (0.614, 0.770, 0.646, 0.775, 0.551, 0.131),
    "baseline-5-64-250-balanced": (0.726, 0.869, 0.741, 0.789, 0.573, 0.047),
    "baseline-5-128-1000": (0.714, 0.915, 0.720, 0.792, 0.585, 0.039),
    "baseline-5-128-1000-balanced": (0.740, 0.927, 0.745, 0.790, 0.587, 0.099),
    BEST: (0.755, 0.926, 0.760, 0.791, 0.602, 0.148),
    "decom5-8-15-64-500-balanced": (0.750, 0.913, 0.757, 0.797, 0.607, 0.149),
}
ORDER = ("tau", "between_seeds", "limit", "with_flops", "within_flops", "top_decile")


def test_the_published_cards_are_what_other_code_found():
    cards = pd.read_csv(full_scale.paths.published_results("full") / "cards.csv")
    found = cards.pivot(index="family", columns="measure", values="value")
    for family, values in KNOWN.items():
        assert found.loc[family, list(ORDER)].tolist() == pytest.approx(values, abs=0.002), family
    assert found.loc["FLOPs of live options", "tau"] == pytest.approx(0.653, abs=0.002)


def test_published_cards_follow_from_the_predictions(monkeypatch):
    try:
        predicted = predictions.published(DATA, spaces.get("nasbench201"))
        monkeypatch.setenv("PADALIB_DATA", str(DATA))
        true = truth.load("nasbench201", dataset="cifar10").accuracy()
    except (ScoresError, FileNotFoundError) as error:
        pytest.skip(f"the data root that tests were started with lacks them: {error}")
    space = spaces.get("nasbench201")
    ranked = Ranked(space, tuple(true.index), true.to_numpy())
    family = "baseline-16-64-250"
    own = predicted[predicted.family == family].pivot(index="code", columns="seed", values="score")
    card = full_scale.report.card(own, ranked).set_index("measure").value
    assert card[list(ORDER)].tolist() == pytest.approx(KNOWN[family], abs=0.002)
