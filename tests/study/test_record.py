"""The record: what candidates are, how one is chosen, what is said of it, with known answers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from padalib import data, samplers, spaces
from padalib.engine.identity import key
from padalib.ranking.report import Ranked
from padalib.samplers.stepped import SteppedPaths
from padalib.samplers.together import PartingByComplexity
from padalib.study import claims, contests, controls, pada_options, record, scales
from padalib.study.record import costs, parts, plots
from padalib.study.scales import record as record_scales

MINI = spaces.get("mini")
OPTIONS, SMOKE = map(scales.get, ("options-cifar", "smoke"))
RECORD = record_scales.planned(scales.get("controls"), scales.get("spaces"))
ROOT = Path(__file__).resolve().parents[2]
WINNER = "structure + averaging"


@pytest.fixture
def no_data(monkeypatch):
    monkeypatch.setattr(data, "fingerprint", lambda name: name)


def known():
    codes = tuple(MINI.code(arch) for arch in MINI)
    flops = np.array([MINI.flops(arch) for arch in MINI], float)
    noise = np.random.default_rng(0).normal(size=len(codes))
    return Ranked(MINI, codes, flops / flops.std() + noise)


def scores(noise, seeds=range(6), own=None):
    """Candidate -> sd of the noise around the truth, other in each seed."""
    own, rows = own or known(), []
    for place, (name, sd) in enumerate(noise.items()):
        for seed in seeds:
            value = own.true + sd * np.random.default_rng([seed, place]).normal(size=len(own.true))
            run = pd.DataFrame({"code": own.codes, "accuracy": value, "loss": -value})
            rows.append(run.assign(method=name, seed=seed))
    return pd.concat(rows, ignore_index=True)


NOISE = {
    "SPOS": 2.0, "PA&DA": 1.0, "PA + averaging": 1.0, "curriculum + averaging": 0.8, WINNER: 0.05,
    "averaging": 1.5, "structure": 0.05,
}  # fmt: skip


# --- candidates ---


def test_a_candidate_is_the_method_of_its_parts():
    assert parts.method("SPOS") == samplers.get("SPOS")
    assert parts.method("PA") == samplers.get("PA")
    assert parts.method("sbs") == samplers.get("sbs")
    assert parts.method("PA&DA") == samplers.get("PA&DA")
    assert parts.joined(parts.pieces("PA&DA")) == "PA&DA" and parts.joined([]) == "SPOS"
    both = parts.method("sharing + decay")
    assert both.update.cls is PartingByComplexity
    assert both == replace(parts.method("decay + sharing"), name=both.name)
    rsa = parts.method("structure + sharing + averaging")
    assert replace(rsa, name="RSA") == samplers.get("RSA")
    assert len({parts.method(name) for name in parts.TRIED}) == len(parts.TRIED)


@pytest.mark.parametrize(
    "name, said",
    [
        ("structure + luck", "has unknown parts luck: join some of PA"),
        ("PA + structure", "has PA and structure: leave out all but one"),
        ("averaging + averaging, longer", "leave out all but one"),
    ],
)
def test_what_is_no_candidate_is_said(name, said):
    with pytest.raises(ValueError, match=said):
        parts.method(name)


def test_shapes_cost_what_the_network_of_the_scale_does():
    """To a twentieth, where all is 3x3; and a chain keeps its own."""
    widest = (3,) * 6
    for name in ("two cells", "three cells"):
        space = parts.shaped(name, RECORD.space)
        assert space != RECORD.space
        assert space.flops(widest) == pytest.approx(RECORD.space.flops(widest), rel=0.05)
    chain = RECORD.beside[0].space
    assert parts.fitted("structure + two cells", chain) == "structure"
    assert parts.fitted("two cells", chain) == "SPOS"
    with pytest.raises(ValueError, match="macro cannot have: take 'structure'"):
        parts.shaped("structure + two cells", chain)


def test_a_candidate_trains_on_as_many_images_as_all_others():
    made = [parts.training(RECORD, name, 0) for name in parts.TRIED]
    assert {config.epochs for config in made} == {RECORD.epochs}
    assert {config.batch for config in made} == {64, 32}
    small = parts.training(RECORD, "structure + batch 32", 3)
    assert (small.batch, small.seed, small.data) == (32, 3, RECORD.data)


# --- runs ---


def test_baselines_are_runs_of_other_scales(no_data):
    cifar, fresh = scales.get("cifar"), scales.get("controls")
    for name in ("SPOS", "PA", "PA&DA", "curriculum"):
        assert parts.training(RECORD, name, 0) == cifar.training(name, 0)
        assert key(parts.training(RECORD, name, 5)) == key(fresh.training(name, 5))
    macro, across = RECORD.beside[0], scales.get("spaces").beside[0]
    assert key(parts.training(macro, "PA", 5)) == key(across.training("PA", 5))


def test_what_is_reported_was_not_looked_at_when_it_was_chosen(no_data):
    tried, reported = record.tried(RECORD), record.reported(RECORD)
    assert {c.train.seed for c in tried} == set(record_scales.CHOICE_SEEDS)
    assert {c.train.seed for c in reported} == set(range(5, 10))
    assert not {c.train.seed for c in tried} & set(scales.get("controls").seeds)
    every = record.configs(RECORD)
    runs = {key(config) for config in every}
    assert len(runs) == len(every)
    assert {c.images for c in every} == {None}  # all that are held out


def test_the_winner_stands_beside_itself_without_each_part():
    scale = replace(RECORD, winner="structure + sharing + two cells + batch 32")
    assert record.compared(scale) == [
        "SPOS", "PA", "curriculum", "PA&DA", "PA + sharing + two cells + batch 32",
        "curriculum + sharing + two cells + batch 32", scale.winner,
        "sharing + two cells + batch 32", "structure + two cells + batch 32",
        "structure + sharing + batch 32", "structure + sharing + two cells",
    ]  # fmt: skip
    plain = record.compared(replace(RECORD, winner="PA"))
    assert plain == ["SPOS", "PA", "curriculum", "PA&DA"]
    short = record.compared(replace(scale, each_part=False))
    assert short == record.compared(scale)[: -len(parts.pieces(scale.winner))]


def test_what_was_planned_and_not_run_is_said():
    """And it changes no run of what was: the same scale with less."""
    assert record.left(RECORD) == ""
    few = scales.get("record")
    every = record.reported(RECORD)
    assert set(record.reported(few)) <= set(every) and record.tried(few) == record.tried(RECORD)
    said = record.left(replace(RECORD, each_part=False, beside=()))
    assert said == (
        "Planned, and not run at this scale: the chosen one without each of its parts; another "
        "space."
    )
    own = ("each_part", "whole", "alone", "beside")
    assert replace(few, **{name: getattr(RECORD, name) for name in own}) == RECORD


@pytest.mark.parametrize("name", parts.TRIED)
def test_what_any_paths_could_have_is_given_to_pa_and_its_schedule_too(name):
    """So what is left is the merit of the paths; a winner is not held against itself."""
    assert name not in record.rivals(name) and record.rivals(name)[0] == "PA&DA"
    own = parts.method(name)
    for rival in record.rivals(name)[1:]:
        other = parts.method(rival)
        assert (other.update, other.around, other.data) == (own.update, own.around, own.data)
        assert other.paths in (parts.method("PA").paths, parts.method("curriculum").paths)
        assert parts.shaped(rival, RECORD.space) == parts.shaped(name, RECORD.space)
        changed = replace(parts.training(RECORD, rival, 5), method=own)
        assert changed == parts.training(RECORD, name, 5)


def test_the_network_alone_is_the_scales_and_the_winners():
    shapes = [record.shape(RECORD, config)["shape"] for config in record.alones(RECORD)]
    assert shapes == [record.OWN_SHAPE] * 32 + ["the winner's network"] * 32
    plain = replace(RECORD, winner="PA")
    assert {record.shape(plain, config)["shape"] for config in record.alones(plain)} == {
        record.OWN_SHAPE
    }


def test_networks_alone_are_trained_as_a_supernet_is_and_had_no_part_in_the_choice():
    few = record.alones(RECORD)[:32]
    spos = parts.training(RECORD, "SPOS", RECORD.seeds[0])
    assert {replace(config.train, arch=None, keep=spos.keep) for config in few} == {spos}
    space = RECORD.space
    codes = tuple(map(space.code, RECORD.ranked_archs()))
    chooses, reports = record.halves(Ranked(space, codes, np.arange(len(codes), dtype=float)))
    own, others = ({*contests.functions(space, half.codes)} for half in (reports, chooses))
    alone = {space.code(config.train.arch) for config in few}
    assert len(alone) == 32 and alone <= own and not alone & others


@pytest.mark.skipif(
    not (ROOT / "data/results/record/record_tried.csv").exists(), reason="not published yet"
)
def test_what_is_reported_is_what_the_rule_chose():
    table = pd.read_csv(ROOT / "data/results/record/record_tried.csv")
    assert table.candidate[table.chosen].tolist() == [record_scales.WINNER]
    method = parts.method(record_scales.WINNER)
    assert replace(method, name="RSA") == samplers.get("RSA")


# --- choice and report ---


def test_the_best_candidate_is_chosen_on_the_half_that_chooses():
    own = known()
    half, other = record.halves(own)
    found = scores(NOISE, range(2))
    elsewhere = found.code.isin(other.codes)  # there SPOS would be the best
    exact = pd.Series(own.true, index=own.codes)
    spos = elsewhere & (found.method == "SPOS")
    found.loc[spos, "accuracy"] = exact[found.code[spos]].to_numpy()
    table = record.choose(found, half)
    assert table.candidate[0] in (WINNER, "structure") and table.chosen.tolist() == [
        True, *[False] * 6,
    ]  # fmt: skip
    assert set(table.seeds) == {2} and record.choose(found, other).candidate[0] == "SPOS"
    assert table.within_flops.is_monotonic_decreasing
    said = record.described(table, table.candidate[0])
    assert "Of 7 candidates" in said and "named before" not in said
    assert "`PA`: it was named before, and is not the best" in record.described(table, "PA")


def test_parts_that_help_are_shown_and_others_are_not():
    half = record.halves(known())[1]
    tables = record.analyse(scores(NOISE), half, WINNER)
    assert set(tables["contrasts"].b) == {"PA&DA", "PA + averaging", "curriculum + averaging"}
    assert dict(zip(tables["parts"].part, tables["parts"].b, strict=True)) == {
        "structure": "averaging", "averaging": "structure",
    }  # fmt: skip
    found = {claim.key: claim for claim in record.conclude(tables, WINNER)}
    for name in ("tau_loss", "within_flops"):
        for other in ("pa_da", "pa_averaging", "curriculum_averaging"):
            assert found[f"15.beats.{other}.{name}"].verdict == claims.SHOWN
        assert found[f"15.part.structure.{name}"].verdict == claims.SHOWN
        assert found[f"15.part.averaging.{name}"].verdict == claims.EQUIVALENT
    assert not any(name.startswith(("15.aim", "15.alone")) for name in found)
    every = pd.concat([tables["contrasts"], tables["parts"]])  # one family
    assert every.holm.tolist() == pytest.approx(claims.holm(every.p.tolist()))
    few = scores({name: sd for name, sd in NOISE.items() if name != "averaging"})
    fewer = record.analyse(few, half, WINNER)
    assert fewer["parts"].part.unique().tolist() == ["averaging"]
    some = pd.concat([fewer["contrasts"], fewer["parts"]])
    wanted = claims.holm([*some.p, 1.0, 1.0])[: len(some)]  # two rows are planned: the hardest
    assert some.holm.tolist() == pytest.approx(wanted) and set(some.tests) == {len(every)}
    assert all("At equal images" in found[key].statement for key in found if "beats" in key)
    assert set(tables["cards"].architectures) == {len(half.codes)}


def test_networks_trained_alone_bound_what_is_below_them():
    """Alone they rank exactly; by hand: tau 1 beside the supernets' own."""
    own = known()
    codes = list(dict.fromkeys(MINI.code(MINI.canonical(arch)) for arch in MINI))[:40]
    exact = pd.Series(own.true, index=own.codes)
    alone = pd.DataFrame({"code": codes, "accuracy": exact[codes].to_numpy()})
    alone["shape"] = record.OWN_SHAPE
    # A class has one score, as in a supernet, and here one truth.
    same = [MINI.code(MINI.canonical(arch)) for arch in MINI]
    one = Ranked(MINI, own.codes, exact[same].to_numpy())
    table = record.bound(alone, scores(NOISE, own=one), one).set_index("method")
    assert table.alone.tolist() == [1.0] * len(NOISE) and set(table.functions) == {40}
    assert table.difference["SPOS"] == pytest.approx(table.value["SPOS"] - 1)
    tables = record.analyse(scores(NOISE), own, WINNER) | {"bound": table.reset_index()}
    found = {claim.key: claim for claim in record.conclude(tables, WINNER, aims=True)}
    assert found["15.alone.own"].verdict in (claims.OPPOSITE, claims.EQUIVALENT)
    assert "on 40 architectures" in found["15.alone.own"].evidence
    assert "each for as many epochs" in found["15.alone.own"].statement
    aims = {name: claim for name, claim in found.items() if name.startswith("15.aim")}
    assert {claim.null for claim in aims.values()} <= {0.77, 0.81, 0.65, 0.2}
    assert aims["15.aim.tau_loss"].verdict == claims.SHOWN  # its noise is a twentieth
    worse = {c.key: c for c in record.conclude(tables, "SPOS", aims=True)}
    assert worse["15.aim.tau_loss"].verdict == claims.OPPOSITE


def test_on_all_architectures_copies_have_the_score_of_their_function():
    own = known()
    classes = list(dict.fromkeys(MINI.code(MINI.canonical(arch)) for arch in MINI))
    few = scores({"SPOS": 1.0})
    few = few[few.code.isin(classes)]
    cards = record.everywhere(few, own, []).set_index(["method", "measure"])
    assert cards.architectures["SPOS", "tau"] == 125 > len(classes)
    first = few[few.seed == 0].set_index("code").accuracy
    values = [first[MINI.code(MINI.canonical(arch))] for arch in MINI]
    by_hand = pd.Series(values).corr(pd.Series(own.true), method="kendall")
    one = record.everywhere(few[few.seed == 0], own, []).set_index(["method", "measure"])
    assert one.value["SPOS", "tau"] == pytest.approx(by_hand)
    same = contests.functions(MINI, own.codes)
    copied = same[same.duplicated(keep=False)].iloc[0]  # a function of more codes than one
    left = record.everywhere(few, own, [copied]).set_index(["method", "measure"])
    assert left.architectures["SPOS", "tau"] == 125 - (same == copied).sum() < 124


def test_both_halves_have_as_many_functions_of_each_level():
    own = known()
    chooses, reports = record.halves(own)
    assert {*chooses.codes} | {*reports.codes} == {*own.codes}
    functions = [{*contests.functions(MINI, half.codes)} for half in (chooses, reports)]
    assert not functions[0] & functions[1]
    assert abs(len(functions[0]) - len(functions[1])) <= 1
    levels = [pd.Series(half.flops).groupby(half.clusters).first() for half in (chooses, reports)]
    counts = pd.concat([each.value_counts() for each in levels], axis=1).fillna(0)
    assert len(counts) > 3 and (counts.iloc[:, 0] - counts.iloc[:, 1]).abs().max() <= 1


# --- cost ---


def test_paths_cost_what_their_probabilities_say(no_data):
    """By hand: all 3x3 in the end; SPOS logs nothing and is drawn; a shape costs its own."""
    scale = replace(SMOKE, space=MINI)
    names = [f"p_{name}" for name in MINI.entries(shared=False).names]
    own = pd.DataFrame(0.0, index=[1, 2], columns=names).rename_axis("epoch").reset_index()
    own.loc[:, [name for name in names if name.endswith("nor_conv_3x3")]] = 1.0
    spos = pd.DataFrame({"epoch": [1, 2]})
    shaped = own.assign(method="structure + three cells")
    curves = [spos.assign(method="SPOS"), own.assign(method="structure"), shaped]
    table = costs.costs(pd.concat(curves).assign(seed=0), scale).set_index("method")
    mean = np.mean([MINI.flops(arch) for arch in MINI])
    most = MINI.flops((3,) * 3)
    assert table.flops["SPOS"] == 1 and set(table.seeds) == {1}
    assert table.flops["structure"] == table.same["structure"]
    assert table.flops["structure"] == pytest.approx(most / mean, rel=0.02)
    space = parts.shaped("three cells", MINI)
    other = table.flops["structure + three cells"] / table.flops["structure"]
    assert other == pytest.approx(space.flops((3,) * 3) / most)
    assert table.same["structure + three cells"] == table.same["structure"]


# --- PA&DA's options ---


def test_every_option_stands_beside_a_control_of_its_own(no_data):
    assert set(record_scales.ABLATED) == set(pada_options.OPTIONS)
    for name in pada_options.names(OPTIONS):
        own = pada_options.variant(OPTIONS, name, 6)
        other = pada_options.control(OPTIONS, name, 6)
        same = ("seed", "space", "epochs", "batch", "lr", "data")
        assert all(getattr(own, each) == getattr(other, each) for each in same)
        if own.method.name.startswith("PA"):
            assert other.replay == pada_options.variant(OPTIONS, name, 5)
            assert other.method.update == own.method.update
        else:
            options = dict(other.method.data.options)
            assert options.pop("permuted") and options == dict(own.method.data.options)
    own, other = (make(OPTIONS, "PA", 5) for make in (pada_options.variant, pada_options.control))
    controls_ = scales.get("controls")
    assert own == controls_.training("PA", 5) and key(other) == key(
        controls_.training("yoked PA", 5)
    )
    edge = pada_options.control(OPTIONS, "per edge", 5)
    assert dict(edge.method.paths.options) == {"shared": False}


def test_options_change_one_thing_each(no_data):
    """Samplers by their options; a batch with its rate and nothing else."""
    base = pada_options.variant(OPTIONS, "PA", 5)
    for name, batch, lr in (("batch 16", 16, 0.025), ("batch 256", 256, 0.4)):
        own = pada_options.variant(OPTIONS, name, 5)
        assert (own.batch, own.lr) == (batch, pytest.approx(lr))
        assert replace(own, batch=64, lr=base.lr, method=base.method) == base
        assert own.method == replace(base.method, name=f"PA, {name}")
    step = pada_options.variant(OPTIONS, "every step", 5)
    assert step.method.paths == samplers.part(SteppedPaths)
    assert replace(step, method=base.method) == base
    fifth = pada_options.variant(OPTIONS, "every fifth epoch, images", 5)
    assert dict(fifth.method.data.options) == {"interval": 5}
    assert fifth.method.paths == samplers.get("DA").paths
    # The delta of one number has the mean of the growing one over 20 epochs, of which the first is
    # uniform for lack of scores.
    half = dict(pada_options.OPTIONS["one delta"].change)["delta"]
    assert half * 19 / 20 == pytest.approx(sum(epoch / 20 for epoch in range(20)) / 20)


def test_an_option_that_listens_is_told_from_one_that_does_not():
    noise = {
        "PA": 0.6, "yoked PA": 0.6, "PA, raw norms": 0.05, "yoked PA, raw norms": 1.5,
        "DA": 0.6, "shuffled-data": 0.6, "DA, scores kept": 0.6, "shuffled-data, scores kept": 0.6,
    }  # fmt: skip
    asked = ["PA", "DA", "raw norms", "scores kept"]
    rows = pada_options.analyse(scores(noise, range(8)), known(), asked)
    assert len(rows) == 2 * (2 + 2 * 2)
    found = {claim.key: claim for claim in pada_options.conclude(rows)}
    assert found["16.option.raw_norms.control.tau_loss"].verdict == claims.SHOWN
    assert found["16.option.raw_norms.released.tau_loss"].verdict == claims.SHOWN
    assert found["16.option.pa.control.tau_loss"].verdict != claims.SHOWN
    assert found["16.option.scores_kept.control.tau_loss"].verdict != claims.SHOWN
    units = rows.set_index(["option", "against"]).unit
    assert set(units["raw norms", "control"]) == {"swapped pairs of seeds"}
    assert set(units["raw norms", "released"]) == {"seeds"} == set(units["DA", "control"])
    seeds = rows.set_index(["option", "against"]).seeds
    assert set(seeds["PA", "control"]) == {4} and set(seeds["DA", "control"]) == {8}
    left, right = pada_options.draw(rows).axes
    assert [tick.get_text() for tick in left.get_yticklabels()] == asked
    assert len(left.lines) == 1 + 3 * 2 * 4  # zero; for each row two bars and a point
    assert "less what was released" in right.get_title(loc="left")
    said = pada_options.caption(OPTIONS, rows)
    assert "Beside its control, tau, ranked by loss: gains: raw norms; " in said
    assert said.count("Smallest difference that could have been shown ") == 4
    assert "shown to be gains" not in said and "8 seeds (16: PA, raw norms" in said


def test_an_option_that_changed_nothing_is_named_and_is_no_question():
    """Raw norms where no gradient is clipped: to find it as good would say nothing."""
    found = scores({"PA": 0.6, "yoked PA": 0.6, "PA, per edge": 0.6, "yoked PA, per edge": 0.6},
                   range(8))  # fmt: skip
    twin = found[found.method.isin(("PA", "yoked PA"))]
    found = pd.concat([found, twin.assign(method=twin.method + ", raw norms")])
    asked = ["PA", "raw norms", "per edge"]
    assert pada_options.unchanged(found, asked) == ["raw norms"]
    rows = pada_options.analyse(found, known(), asked)
    assert list(dict.fromkeys(rows.option)) == ["PA", "per edge"]
    said = pada_options.caption(replace(OPTIONS, ablated=("raw norms", "per edge")), rows)
    assert said.count("raw norms") == 1 and "it changed nothing here, to the bit: raw" in said


def test_each_option_is_a_question_with_a_correction_of_its_own():
    """By hand: two differences of PA from its control, four of a variant; no others count."""
    noise = {
        "PA": 0.6, "yoked PA": 0.6, "PA, raw norms": 0.5, "yoked PA, raw norms": 0.6,
        "PA, per edge": 0.6, "yoked PA, per edge": 0.6,
    }  # fmt: skip
    few = scores(noise, range(8))
    more = scores({name: noise[name] for name in ("PA", "yoked PA", "PA, raw norms")}, range(16))
    more = pd.concat([few, more[more.seed >= 8]])
    rows = pada_options.analyse(more, known(), ["PA", "raw norms", "per edge"])
    for name, own in rows.groupby("option"):
        assert set(own.tests) == {2 if name == "PA" else 4}
        assert own.holm.tolist() == pytest.approx(claims.holm(own.p.tolist()))
    seeds = rows.drop_duplicates(["option", "against"]).set_index(["option", "against"]).seeds
    # Pairs of seeds beside a yoked control; one that lacks seeds is compared on those it has.
    assert seeds.to_dict() == {
        ("PA", "control"): 8, ("raw norms", "control"): 4, ("raw norms", "released"): 16,
        ("per edge", "control"): 4, ("per edge", "released"): 8,
    }  # fmt: skip


@pytest.mark.parametrize(("scale", "most"), [(OPTIONS, 16), (scales.get("options"), 12)])
def test_what_differs_most_has_all_seeds(no_data, scale, most):
    asked = [config.train.method.name for config in pada_options.configs(scale)]
    assert set(pada_options.FIRST) < set(scale.ablated) == set(pada_options.OPTIONS)
    for name in scale.ablated:
        method = pada_options.variant(scale, name, 5).method.name
        assert asked.count(method) == (most if name in pada_options.FIRST else 8), name
    assert asked.count("PA") == asked.count("yoked PA") == most and asked.count("DA") == 8
    assert set(OPTIONS.seeds) == set(scales.get("controls").seeds)  # whose runs it takes


# --- figure ---


def test_the_figure_shows_every_candidate_aim_and_part():
    own, half = known(), record.halves(known())
    tried = record.choose(scores(NOISE, range(2)), half[0])
    tables = record.analyse(scores(NOISE), half[1], WINNER)
    figure = plots.draw(tried, tables, WINNER)
    left, upper, lower = figure.axes
    names = [text.get_text().replace("\n", " ") for text in left.get_yticklabels()]
    assert names == tried.candidate.tolist()
    assert len(upper.get_yticks()) == len(record.AIMS)
    assert [text.get_text().replace("\n", " ") for text in lower.get_yticklabels()] == [
        "PA&DA", "PA + averaging", "curriculum + averaging", "without structure",
        "without averaging",
    ]  # fmt: skip
    caption = plots.caption(RECORD, tables, WINNER)
    assert WINNER in caption and "without averaging" not in caption
    assert "beside PA&DA (shown)" in caption and "(aim 0.77)" in caption
    assert caption.endswith(f"correction over {2 * 5} rows.") and "were not run" not in caption
    short = plots.caption(replace(RECORD, beside=()), tables, WINNER)
    assert short.endswith("rows. Planned, and not run at this scale: another space.")
    table = plots.plotted(tried, tables, WINNER)
    assert table.panel.value_counts().to_dict() == {
        "tried": 7, "reached": 5 * len(record.AIMS), "differences": 10,
    }  # fmt: skip
    assert set(table.aim.dropna()) == {aim for aim, _ in record.AIMS.values()}
    few = scores({"SPOS": 2.0, "PA&DA": 1.0, "curriculum + DA": 1.0, "DA": 1.5, "PA": 1.0})
    alone = plots.draw(tried, record.analyse(few, half[1], "PA&DA"), "PA&DA")
    assert [t.get_text() for t in alone.axes[1].get_legend().get_texts()] == [
        "SPOS", "curriculum, same parts", "chosen",
    ]  # fmt: skip
    assert controls.BOUND == 0.03 and len(own.codes) == 125


def test_the_parts_that_are_told_are_those_that_are_tried():
    assert list(parts.used(["SPOS", "structure + averaging", "batch 32"])) == [
        *("structure", "averaging", "batch 32"),
    ]
    assert set(parts.used(RECORD.tried)) < set(parts.PIECES)
