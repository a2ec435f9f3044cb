"""The code on the pages runs, and their numbers are those of the committed tables."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from padalib import samplers, spaces
from padalib.commands import scorecard
from padalib.engine import launch
from padalib.ranking import metrics, report
from padalib.ranking.ranked import LEAST, Ranked
from padalib.study import claims, scales
from padalib.study.scales import record as record_scales
from padalib.study.scales import rivals as rival_scales

ROOT = Path(__file__).resolve().parents[1]
NAMES = ("README.md", "figures/FINDINGS.md", "notebooks/README.md", "padalib/README.md")
README, FINDINGS, SCALES, LIBRARY = ((ROOT / name).read_text() for name in NAMES)
FIRST = README.partition("## What the paper claims")[0] + FINDINGS
RESULTS = ROOT / "data" / "results"


def test_the_snippet_runs(tmp_path):
    (snippet,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    script = tmp_path / "snippet.py"
    script.write_text(snippet)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PADALIB_HEADLESS": "1"}
    done = subprocess.run(
        [sys.executable, script], env=environment, capture_output=True, text=True, check=True
    )
    said = r"tau -?[01]\.\d+: scores of PA&DA, weighted mini seed 0 by accuracy, 85 of 125 archite"
    assert re.match(said, done.stdout.splitlines()[-1])


def test_the_snippet_of_several_seeds_writes_a_file_for_the_report(monkeypatch, tmp_path):
    (snippet,) = re.findall(r"```text\n(from dataclasses .*?)```", LIBRARY, re.DOTALL)
    assert 'scales.get("controls")' in snippet
    monkeypatch.chdir(tmp_path)
    method = samplers.get("PA&DA").with_options("mine", importance=True)
    exec(snippet.replace('"controls"', '"smoke"'), {"method": method, "launch": launch})
    found = scorecard.read(tmp_path / "scores.csv", "mini")
    card = found.cards["scores"].set_index("measure")
    assert card.seeds["tau"] == 2 and card.architectures["tau"] > 50
    assert {"tau_loss", "within_flops"} <= set(card.index)


def test_every_option_of_a_sampler_is_in_the_table():
    named = set(re.findall(r"(\w+)=`", LIBRARY)) | set(re.findall(r"`(\w+)=`", LIBRARY))
    for part in (samplers.GradNormPaths, samplers.GradNormData, samplers.FairPaths):
        options = part.__init__.__annotations__.keys() - {"space", "n", "epochs", "return"}
        assert options <= named


def test_the_table_of_spaces_has_each_with_its_number_of_architectures():
    (table,) = re.findall(r"\| space \| what is chosen .*\n\|[-|]+\|\n((?:\|.*\n)+)", README)
    told = {}
    for line in table.splitlines():
        names, _, counts, _ = (cell.strip() for cell in line.strip("|").split(" | "))
        first, *others = re.findall(r"`([^`]+)`", names)
        names = [first, *(first[:-2] + own if own[0] == "-" else own for own in others)]
        counts = counts.split("; ") * (len(names) if ";" not in counts else 1)
        told |= dict(zip(names, counts, strict=True))
    assert set(told) == set(spaces.SPACES)
    for name, count in told.items():
        real = len(spaces.get(name))
        assert count == (f"{real:,}" if real < 1e7 else f"{Decimal(real):.1e}").replace(
            "e+", "e"
        ), name


def test_the_example_of_a_report_is_published_scores():
    """Written from them: the last epoch of SPOS, to five decimals."""
    own = pd.read_csv(ROOT / "data/example/scores.csv", dtype={"code": str})
    every = pd.read_csv(RESULTS / "laptop/scores.csv", dtype={"code": str})
    wanted = every[(every.method == "SPOS") & (every.epoch == every.epoch.max())]
    wanted = wanted.rename(columns={"accuracy": "score"}).reset_index(drop=True)
    pd.testing.assert_frame_equal(own, wanted[own.columns], atol=1e-5, rtol=0)
    assert "padalib report data/example/scores.csv --space mini" in README
    card = scorecard.read(ROOT / "data/example/scores.csv", "mini").cards["scores"]
    assert card.set_index("measure").seeds["tau"] == 3


HERE, WIDE, OTHERS = range(1, 4)  # columns of the first table
BETTER = "Does PA&DA rank better than uniform sampling?"
VARIANCE = "Is the variance lower at the end of training?"


def cell(asked, column):
    """A cell of the first table; each question names its finding."""
    (line,) = [line for line in README.splitlines() if line.startswith(f"| {asked} ([")]
    return line.strip("| ").split(" | ")[column]


def told(scale, key):
    """A published claim as the pages write it: effect and deciding interval."""
    return claims.numbers(claims.read(RESULTS / scale)[key])


def test_the_first_screen_says_what_was_published():
    said = {
        told("cifar", "04.ranks"): "the gain",
        told("controls", "06.pa_curriculum.tau_loss"): "a fixed schedule",
        told("controls", "06.pa_curriculum.within_flops"): "a fixed schedule, equal FLOPs",
        told("controls", "06.pa_yoked_pa.tau_loss"): "a replayed schedule",
        told("controls", "06.pa_spos.tau_loss.chain-mini"): "without a schedule",
        told("controls", "06.pa_spos.tau_loss.conv64"): "without a schedule, on CIFAR-10",
        told("controls", "06.pada_pa.within_flops"): "the data half",
        told("spaces", "09.gain.tau_loss.macro"): "another space",
        told("spaces", "09.yoked.tau_loss.macro"): "another space, replayed",
        told("spaces", "09.gain.tau_loss.nb1shot1-3"): "a third space",
        told("spaces", "09.over.gain.tau_loss"): "the mean over spaces",
        told("spaces", "09.norm.tau_loss.macro12"): "a third space without a schedule",
        told("spaces", "09.variance.raw.macro12"): "the variance without a schedule",
        told("spaces", "09.variance.raw.conv64"): "the same, in the smaller space",
        told("tuning", "14.own_rates.pa_spos.tau_loss"): "at rates of their own",
        told("tuning", "14.equal_flops.pa_spos.tau_loss"): "at equal FLOPs",
        told("full", "05.seeds"): "more seeds, at full scale",
        told("cifar", "01.steps"): "the variance",
        told("cifar", "04.free_finds").removesuffix(" share of the top tenth"): "no training",
    }
    for name in ("found", "gain", "limitschedule.flops", "limit.flops"):
        for space in ("", "_macro"):
            said[told("search", f"10.{name}.pada{space}")] = f"searches: {name}{space}"
    said |= {
        told("search", "10.limit.flops.pada_macro12"): "searches without a schedule",
        told("tuning", "14.common_rate.pa_spos.tau_loss"): "at one rate",
        told("spaces", "09.free.macro"): "counting, elsewhere",
        told("cifar", "04.free_tau"): "counting",
        told("laptop", "02.scores").removesuffix(" share"): "what the scores save",
        told("spaces", "09.schedule.tau_loss.macro"): "another space, its schedule",
        told("spaces", "09.free.nb1shot1-3"): "counting ranks better there",
        told("laptop", "04.free_tau_chain"): "counting, on digits",
        told("laptop", "01.steps"): "the variance, on digits",
        told("laptop", "10.gain.pada"): "searches, on digits",
        told("search", "10.limitgain.flops.pada"): "searches within a limit",
        told("search", "10.limitgain.flops.pada_macro"): "the same, in another space",
    }
    for numbers, what in said.items():
        bare = numbers.removesuffix(" tau").removesuffix(" times").removesuffix(" points")
        assert bare in FIRST, what
    own = claims.read(RESULTS / "controls")
    for key in (
        *("06.pa_yoked_pa.tau_loss", "06.pa_curriculum.within_flops"),
        *("06.pa_spos.tau_loss.chain-mini", "06.pa_spos.tau_loss.conv64"),
    ):
        assert own[key].verdict == claims.EQUIVALENT
    assert own["06.pa_curriculum.tau_loss"].verdict == claims.SHOWN
    across = claims.read(RESULTS / "spaces")
    for key in ("yoked.tau_loss.macro", "variance.raw.macro12", "variance.raw.conv64"):
        assert across[f"09.{key}"].verdict == claims.EQUIVALENT
    assert across["09.gain.tau_loss.macro"].verdict == claims.SHOWN
    for key in ("gain.tau_loss.nb1shot1-3", "over.gain.tau_loss", "norm.tau_loss.macro12"):
        assert across[f"09.{key}"].verdict == claims.NOT_SHOWN
    searched = claims.read(RESULTS / "search")
    assert searched["10.found.pada_macro"].verdict == claims.OPPOSITE
    assert searched["10.found.pada"].verdict == claims.NOT_SHOWN
    finals = {
        space: pd.read_csv(RESULTS / "search" / f"finals{space}.csv") for space in ("", "_macro")
    }
    for space, rows in finals.items():
        assert searched[f"10.limit.flops.pada{space}"].verdict == claims.SHOWN
        for name in ("limitschedule.flops", "gain"):
            assert searched[f"10.{name}.pada{space}"].verdict == claims.NOT_SHOWN
        rows = rows[(rows.method == "curriculum") & (rows.limit == "FLOPs")]
        free = pd.read_csv(RESULTS / "search" / f"search_controls{space}.csv")
        free = free[(free.limit == "FLOPs") & (free.control == "largest network")]
        assert (rows.regret_high < free.regret.item()).all()  # "and so are those of the schedule"
    tuned = claims.read(RESULTS / "tuning")
    equal, common = (
        tuned[f"14.{name}.pa_spos.tau_loss"].effect for name in ("equal_flops", "common_rate")
    )
    at_cost = cell("At equal cost, too?", HERE)
    assert f"loss {equal:+.2f} where" in at_cost
    assert f"({common:+.2f} at equal images" in at_cost
    for key in ("own_rates.pa_spos", "equal_flops.pa_spos", "shrinks.equal_flops"):
        assert tuned[f"14.{key}.tau_loss"].verdict == claims.SHOWN
    shrinks = claims.numbers(tuned["14.shrinks.equal_flops.tau_loss"]).removesuffix(" tau")
    assert shrinks == "-0.095 [-0.155, -0.035]" and "less by 0.095 [0.035, 0.155]" in FIRST
    rates = pd.read_csv(RESULTS / "tuning" / "rates.csv").query("method == 'SPOS'")
    rates = rates.set_index("lr")
    assert rates.tau_loss.idxmax() == rates.index.min() and rates.index[rates.chosen] == [0.1]
    other = pd.read_csv(RESULTS / "tuning" / "rates.csv").query("method == 'PA'").set_index("lr")
    assert other.tau_loss.idxmax() == other.index.min()  # "and so is PA"
    said = f"({rates.tau_loss.max():.3f}, not {rates.tau_loss[0.1]:.3f}, on two other seeds)"
    assert said in FIRST and set(rates.seeds) == {2}
    late = pd.read_csv(RESULTS / "controls" / "added.csv").set_index(["a", "b", "measure"])
    row = late.loc[("PA", "curriculum", "tau_loss")]
    ends = f"{row.difference:+.4f} [{row.both_low:+.4f}, {row.both_high:+.4f}]"
    assert f"{ends}, {claims.EQUIVALENT};" in FIRST and row.verdict == claims.EQUIVALENT
    assert row.seeds == 10
    assert own["06.pada_pa.within_flops"].verdict == claims.OPPOSITE
    gains = pd.read_csv(RESULTS / "controls" / "gains.csv").set_index(["measure", "control"])
    row = gains.loc[("tau_loss", "curriculum")]
    assert f"{100 * row.share:.0f} % [{100 * row.low:.0f}, {100 * row.high:.0f}]" in FIRST
    cards = pd.read_csv(RESULTS / "controls" / "cards.csv").query("space == 'nasbench201'")
    spos = cards[cards.method == "SPOS"].set_index("measure").value
    for name in ("tau", "between_seeds", "limit"):
        assert f"{spos[name]:.3f}" in FIRST, name
    pada = cards[cards.method == "PA&DA"].set_index("measure").value
    assert f"tau by loss {pada.tau_loss:.2f} beside {spos.tau_loss:.2f}" in cell(BETTER, HERE)
    rows = pd.read_csv(RESULTS / "controls" / "secondary.csv").set_index(["a", "b", "measure"])
    own = rows[rows.space == "nasbench201"]
    row = own.loc[("PA", "SPOS", "tau_loss")]
    assert f"{row.difference:+.3f} [{row.both_low:+.3f}, {row.both_high:+.3f}]" in FIRST
    assert own.loc[("PA&DA", "PA", "tau"), "verdict"] == claims.EQUIVALENT
    for a, b, measure in (
        *(("PA&DA", "SPOS", "tau_loss"), ("PA&DA", "SPOS", "within_flops")),
        ("PA", "curriculum", "tau"),
    ):
        row = own.loc[(a, b, measure)]
        assert f"{row.difference:+.3f} [{row.both_low:+.3f}, {row.both_high:+.3f}]" in FIRST
        assert row.verdict == (claims.NOT_SHOWN if b == "curriculum" else claims.SHOWN)
    assert own.loc[("PA&DA", "SPOS", "within_flops_loss"), "verdict"] == claims.NOT_SHOWN
    row = late.loc[("PA", "curriculum", "within_flops")]
    ends = f"{row.difference:+.3f} [{row.both_low:+.3f}, {row.both_high:+.3f}]"
    assert f"{ends}, {claims.NOT_SHOWN}." in FIRST and row.verdict == claims.NOT_SHOWN
    cards = pd.read_csv(RESULTS / "spaces" / "cards.csv").query("measure == 'more_seeds'")
    cards = cards.set_index(["space", "method"])
    for space in ("macro", "macro12"):
        for method in ("SPOS", "PA&DA"):
            row = cards.loc[(space, method)]
            assert f"{row.value:.3f} [{row.low:.3f}, {row.high:.3f}]" in FIRST
            assert space != "macro" or 0.045 < row.value < 0.085  # "0.05 to 0.08"
    varied = pd.read_csv(RESULTS / "cifar" / "variance_compared.csv").query(
        "part == 'fixed' and weights == 'raw' and value == 'variance' and epoch == 20"
    )
    varied = varied.set_index("method")
    row = varied.loc["PA"]
    assert f"{row.change:.3f} [{row.low:.3f}, {row.high:.3f}] times" in FIRST
    assert row.word == varied.word["curriculum"] == "lower"
    assert across["09.free.macro"].verdict == claims.SHOWN
    assert across["09.free.nb1shot1-3"].verdict == claims.OPPOSITE
    for key in ("over.pada.tau_loss", "free.macro12", "free.conv64"):
        assert across[f"09.{key}"].verdict == claims.NOT_SHOWN
    for measure in ("tau_loss", "within_flops"):  # "not shown after correction", in no other space
        for space in ("macro", "macro12", "nb1shot1-3"):
            own = across[f"09.pada.{measure}.{space}"]
            assert own.verdict == claims.NOT_SHOWN and own.effect > 0
            if measure == "tau_loss":
                assert claims.numbers(own).removesuffix(" tau") in FIRST
        over = claims.numbers(across[f"09.over.pada.{measure}"]).removesuffix(" tau")
        assert over in FIRST, measure
    sizes = across["09.over.size.tau_loss"]
    assert claims.numbers(sizes).partition("; ")[2].removesuffix(" tau") in FIRST
    assert across["09.schedule.tau_loss.macro"].verdict == claims.NOT_SHOWN
    assert claims.read(RESULTS / "cifar")["04.free_tau"].verdict == claims.NOT_SHOWN
    ranks = pd.read_csv(RESULTS / "rivals" / "ranks.csv").query("measure == 'tau_loss'")
    for row in ranks.head(6).itertuples():
        assert re.search(rf"{row.method}`? \({row.mean:.3f}\)", FIRST), row.method
    pairs = pd.read_csv(RESULTS / "rivals" / "differences.csv")
    assert set(pairs.tests) == {190}
    told_apart = pairs[pairs.verdict.isin((claims.SHOWN, claims.OPPOSITE))]
    many = told_apart.groupby("measure").size()
    assert f"{many.tau_loss} are told apart by loss and {many.within_flops} among" in FIRST
    better = told_apart[told_apart.a == "PA&DA"]
    few = better[better.b.isin(rival_scales.PUBLISHED)].groupby("measure").size()
    said = f"from {few.tau_loss} published rivals by loss and from {few.within_flops} among equal"
    assert said in FIRST
    contrasts = pd.read_csv(RESULTS / "rivals" / "contrasts.csv").query("measure == 'tau_loss'")
    here = contrasts[contrasts.space == "nasbench201"]
    one_by_one = here[here.b.isin(rival_scales.PUBLISHED)]
    surely = one_by_one[one_by_one.verdict == claims.SHOWN]
    assert len(one_by_one) == 13 and set(one_by_one.tests) == {16}
    assert f"with correction over 16, it is better than {len(surely)}." in FIRST
    assert f"(one by one, corrected, {len(surely)})" in cell(
        "Better than 13 published rivals?", HERE
    )
    elsewhere = contrasts[contrasts.space == "chain-mini"]
    published = elsewhere[elsewhere.b.isin(rival_scales.PUBLISHED)]
    assert set(elsewhere.tests) == {11} and len(published) == 10
    assert published.b[published.verdict != claims.SHOWN].tolist() == ["sandwich"]
    within = pd.read_csv(RESULTS / "rivals" / "contrasts.csv").query(
        "measure == 'within_flops' and space == 'chain-mini'"
    )
    within = within[within.b.isin(rival_scales.PUBLISHED) & (within.verdict == claims.SHOWN)]
    assert "than nine of ten published rivals by loss and than eight among fifths" in FIRST
    assert len(within) == 8
    rivals = claims.read(RESULTS / "rivals")
    verdicts = {
        "surpasses.tau_loss": claims.SHOWN, "surpasses.within_flops": claims.NOT_SHOWN,
        "controls.tau_loss": claims.NOT_SHOWN, "controls.within_flops": claims.NOT_SHOWN,
        "surpasses.tau_loss.chain-mini": claims.NOT_SHOWN,
        "surpasses.within_flops.chain-mini": claims.NOT_SHOWN,
        "controls.tau_loss.chain-mini": claims.NOT_SHOWN,
        "controls.within_flops.chain-mini": claims.NOT_SHOWN,
    }  # fmt: skip
    for name, verdict in verdicts.items():
        assert rivals[f"12.{name}"].verdict == verdict
        for numbers in told("rivals", f"12.{name}").removesuffix(" tau").split("; "):
            assert numbers in FIRST
    costs = pd.read_csv(RESULTS / "rivals" / "costs.csv").set_index("method")
    few = costs.index[costs.steps <= costs.steps["SPOS"] / 2.95]
    assert set(few) == {"FairNAS", "sandwich", "SUMNAS", "SUMNAS as released", "NSAS"}
    curriculum, sized = costs.flops[["curriculum", "size-curriculum"]]
    assert f"`curriculum` {curriculum:.2f} and of size-curriculum {sized:.2f} times" in FIRST
    of_all = pd.read_csv(RESULTS / "rivals" / "contrasts.csv").query("measure == 'within_flops'")
    of_all = of_all[of_all.space == "nasbench201"]
    schedules = of_all[of_all.b.isin(["curriculum", "size-curriculum"])]
    assert set(schedules.verdict) == {claims.NOT_SHOWN} and set(schedules.tests) == {16}
    cost = costs.loc["PA&DA"]
    assert f"{cost.flops:.2f} [{cost.flops_low:.2f}, {cost.flops_high:.2f}] times SPOS's" in FIRST
    for least, outcome in (("close", "tau_loss"), ("few-shot_nas", "within_flops")):
        same = told("rivals", f"12.each.{least}.{outcome}")
        assert same == told("rivals", f"12.surpasses.{outcome}")
    own = rivals["12.explained.weighted.tau_loss"]
    assert own.verdict == claims.SHOWN
    low, high = own.intervals[0].low, own.intervals[0].high
    assert f"(rho {own.effect:.2f} [{low:.2f}, {high:.2f}])" in FIRST


def test_what_it_says_of_the_wide_supernets_is_published():
    found = claims.read(RESULTS / "cifar32")
    verdicts = {
        "06.pa_spos.tau_loss": claims.SHOWN, "06.pa_spos.within_flops": claims.SHOWN,
        "06.pada_pa.within_flops": claims.OPPOSITE, "07.steps": claims.OPPOSITE,
        "06.pada_spos.within_flops": claims.NOT_SHOWN,
        "06.pa_curriculum.tau_loss": claims.NOT_SHOWN, "06.pada_spos.tau_loss": claims.SHOWN,
    }  # fmt: skip
    assert {name: found[name].verdict for name in verdicts} == verdicts
    for name in verdicts:
        assert told("cifar32", name).removesuffix(" tau") in FIRST, name
    assert claims.told(found["06.pa_curriculum.tau_loss"]) == claims.CORRECTED
    assert f"({found['06.pada_spos.within_flops'].visible:.3f} would have been seen)" in FIRST
    assert round(found["07.steps"].effect, 1) == 1.8 and "1.8 times" in cell(VARIANCE, WIDE)
    here = claims.read(RESULTS / "cifar")["01.steps"].effect
    assert f"{here:.1f} times" in cell(VARIANCE, HERE)
    assert found["06.more_seeds.pa"].verdict == claims.NOT_SHOWN  # "open"
    rows = pd.read_csv(RESULTS / "cifar32" / "gains.csv").set_index(["measure", "control"])
    for measure, which in (("tau_loss", "(over seeds) of the first"), ("within_flops", "of the")):
        row = rows.loc[(measure, "curriculum")]
        share = f"{100 * row.share:.0f} % [{100 * row.low:.0f}, {100 * row.high:.0f}]"
        assert f"{share} {which}" in FIRST
    share = f"{100 * rows.loc[('tau_loss', 'curriculum')].share:.0f} %"
    assert f"(at 32×32 {share}) of it" in FIRST
    assert f"{share} of the gain" in cell("Does PA gain by its own run's gradients?", WIDE)
    cards = pd.read_csv(RESULTS / "cifar32" / "cards.csv").set_index(["method", "measure"]).value
    spos, pada = (cards[method, "tau_loss"] for method in ("SPOS", "PA&DA"))
    assert f"{pada:.2f} beside {spos:.2f}" in cell(BETTER, WIDE)
    visible = found["06.pada_spos.within_flops"].visible
    assert f"({visible:.2f} would have been seen)" in cell("Also among equal FLOPs?", WIDE)
    data = found["06.pada_pa.within_flops"].effect
    assert f"{data:.2f}" in cell("Does drawing images by gradient norm help?", WIDE)
    steps = pd.read_csv(RESULTS / "cifar32" / "budget_steps.csv").query("value == 'variance'")
    steps = steps.set_index(["method", "part"])
    for key in (("PA", "all"), ("PA&DA", "fixed")):
        row = steps.loc[key]
        assert f"{row.change:.3f} [{row.low:.3f}, {row.high:.3f}]" in FIRST
    assert steps.word["PA", "fixed"] == claims.NOT_SHOWN


def test_what_it_says_of_inherited_accuracy_is_published():
    found, wide = claims.read(RESULTS / "controls"), claims.read(RESULTS / "cifar32")
    wanted = {  # pair -> its verdict over all, the best tenth, others as dear
        "pada_spos": (claims.OPPOSITE, claims.SHOWN, claims.NOT_SHOWN),
        "pa_spos": (claims.OPPOSITE, claims.SHOWN, claims.SHOWN),
        "curriculum_spos": (claims.OPPOSITE, claims.SHOWN, claims.SHOWN),
        "pada_pa": (claims.OPPOSITE, claims.OPPOSITE, None),
        "pa_curriculum": (None, claims.NOT_SHOWN, None),
        "pa_yoked_pa": (None, claims.EQUIVALENT, None),
    }
    for pair in ("pada_spos", "pa_spos", "curriculum_spos"):
        wanted[pair] += (claims.SHOWN,)  # beyond others as dear
    for pair, verdicts in wanted.items():
        for group, verdict in zip(("all", "best", "as_dear", "beyond"), verdicts, strict=False):
            own = found[f"06.generalises.{group}.{pair}"]
            if verdict is not None:
                assert claims.told(own) == verdict, (pair, group)
                assert claims.numbers(own).removesuffix(" points") in FIRST, (pair, group)
    far = {
        ("all", "pada"): claims.OPPOSITE, ("best", "pada"): claims.NOT_SHOWN,
        ("all", "pa"): claims.CORRECTED, ("best", "pa"): claims.NOT_SHOWN,
    }  # fmt: skip
    for (group, method), verdict in far.items():
        own = wide[f"06.generalises.{group}.{method}_spos"]
        assert claims.told(own) == verdict
        said = claims.numbers(own).removesuffix(" points")
        over = claims.deciding(own).over
        assert said + (" (over seeds)" if over == "seeds" else "") in FIRST, (group, method)
    asked = "Are accuracies with inherited weights higher?"
    pada, schedule = (f"06.generalises.{{}}.{m}_spos" for m in ("pada", "curriculum"))
    for group in ("all", "best"):
        for key in (pada, schedule):
            assert f"{found[key.format(group)].effect:+.1f}" in cell(asked, HERE)
    assert f"{wide[pada.format('all')].effect:.1f}" in cell(asked, WIDE)
    digits = claims.read(RESULTS / "laptop")
    assert {claims.told(c) for k, c in digits.items() if k.startswith("03.generalises")} == {
        claims.NOT_SHOWN
    }


def test_what_it_says_of_the_record_is_published():
    found = claims.read(RESULTS / "record")
    beaten = {key: claims.told(claim) for key, claim in found.items() if "beats" in key}
    assert {told for key, told in beaten.items() if key.endswith("tau_loss")} == {claims.CORRECTED}
    assert {told for key, told in beaten.items() if key.endswith("flops")} == {claims.NOT_SHOWN}
    aims = {key.removeprefix("15.aim."): own.verdict for key, own in found.items() if "aim" in key}
    missed = {name for name, verdict in aims.items() if verdict == claims.OPPOSITE}
    assert missed == {"tau_loss"} and claims.SHOWN not in aims.values()
    for key, claim in found.items():
        both = claim.intervals[-1]
        if key.startswith("15.aim"):
            numbers = f"{claim.effect:.3f} [{both.low:.3f}, {both.high:.3f}]"
            assert numbers in FIRST and f"{claim.null:g}" in FIRST, key
        else:
            assert f"{claim.effect:+.3f} [{both.low:+.3f}, {both.high:+.3f}]" in FIRST, key
    rows = pd.read_csv(RESULTS / "record" / "record_cards.csv").set_index(["method", "measure"])
    level, own = rows.value, record_scales.WINNER
    parts = own.removeprefix("structure")
    loss, within = "tau_loss", "within_flops"
    for said in (
        f"by loss {level[own, loss]:.2f} beside {level['PA&DA', loss]:.2f} (worse before the "
        f"correction), among equal FLOPs "
        f"{level[own, within]:.2f} beside {level['PA&DA', within]:.2f} ("
        f"{found['15.beats.pa_da.within_flops'].visible:.2f} would have been seen",
        f"has {level['curriculum' + parts, loss]:.3f} by loss and "
        f"{level['curriculum' + parts, within]:.3f} among equal FLOPs, PA with them "
        f"{level['PA' + parts, loss]:.3f} and {level['PA' + parts, within]:.3f}.",
        f"where PA&DA has {level['PA&DA', 'top_decile']:.3f} and uniform sampling "
        f"{level['SPOS', 'top_decile']:.3f}",
    ):
        assert said in FIRST, said
    flops = pd.read_csv(RESULTS / "record" / "record_costs.csv").set_index("method").flops
    cost = f"(its paths have {flops[own]:.2f} times SPOS's FLOPs, PA&DA's {flops['PA&DA']:.2f})"
    assert cost in FIRST
    tried = pd.read_csv(RESULTS / "record" / "record_tried.csv")
    assert f"`{tried.candidate[tried.chosen].item()}` ranked best" in FIRST and len(tried) == 12
    rows = pd.read_csv(RESULTS / "record" / "record_contrasts.csv")
    assert set(rows.tests) == {14} and len(rows) == 6 and set(rows.seeds) == {5}


def test_what_it_says_of_longer_training_is_published():
    found = claims.read(RESULTS / "budget")
    verdicts = {
        "closes_tau": claims.SHOWN, "closes_within_flops": claims.NOT_SHOWN,
        "spos_tau": claims.SHOWN, "twice_tau": claims.SHOWN, "twice_within_flops": claims.SHOWN,
        "ends_tau": claims.SHOWN, "ends_within_flops": claims.OPPOSITE,
        "schedule_tau": claims.EQUIVALENT, "schedule_within_flops": claims.NOT_SHOWN,
    }  # fmt: skip
    assert {name: found[f"07.{name}"].verdict for name in verdicts} == verdicts
    for name in verdicts:
        numbers = told("budget", f"07.{name}").removesuffix(" tau a doubling").removesuffix(" tau")
        assert numbers in FIRST, name
    rows = pd.read_csv(RESULTS / "budget" / "budget_slopes.csv").query("a == 'PA' and b.isna()")
    row = rows.query("outcome == 'tau' and shortest == 5").squeeze()
    assert f"PA by {row.difference:+.3f} [{row.both_low:+.3f}, {row.both_high:+.3f}]" in FIRST
    rows = pd.read_csv(RESULTS / "budget" / "budget_differences.csv")
    rows = rows.query("a == 'PA' and b == 'SPOS' and outcome == 'tau'").set_index("epoch")
    for epoch, row in rows.loc[[5, 40]].iterrows():
        assert (
            f"{row.difference:+.3f} [{row.both_low:+.3f}, {row.both_high:+.3f}] at {epoch}" in FIRST
        )
        assert f"{row.difference:+.2f} at {epoch}" in FIRST.partition("## What we found")[0]


def test_what_it_says_of_counting_is_published():
    wanted = {
        ("controls", "PA&DA", "tau_loss"): claims.SHOWN,
        ("controls", "PA&DA", "tau"): claims.SHOWN,
        ("cifar32", "PA&DA", "tau_loss"): claims.SHOWN,
        ("controls", "SPOS", "tau_loss"): claims.OPPOSITE,
        ("cifar32", "SPOS", "tau_loss"): claims.OPPOSITE,
        ("controls", "PA", "tau_loss"): claims.SHOWN,
    }
    column = {"controls": HERE, "cifar32": WIDE}
    for (scale, method, measure), verdict in wanted.items():
        rows = pd.read_csv(RESULTS / scale / "counts.csv").query("space == 'nasbench201'")
        assert set(rows.tests) == {12}
        rows = rows.set_index(["a", "b", "measure"])
        row = rows.loc[(method, "FLOPs of live options", measure)]
        assert row.verdict == verdict
        assert f"{row.difference:+.3f} [{row.both_low:+.3f}, {row.both_high:+.3f}]" in FIRST
        if (method, measure) == ("PA&DA", "tau_loss"):
            own = cell("Better than counting FLOPs, without training?", column[scale])
            assert f"{row.difference:+.2f}" in own and "**Yes**" in own
    chain = pd.read_csv(RESULTS / "controls" / "counts.csv").query("space == 'chain-mini'")
    chain = chain[chain.b.str.startswith("FLOPs") & (chain.measure == "tau_loss")].set_index("a")
    row = chain.loc["SPOS"]
    ends = f"{row.difference:+.3f} [{row.both_low:+.3f}, {row.both_high:+.3f}]"
    assert ends in FIRST and row.verdict == claims.SHOWN


def test_what_counts_as_equal_flops_is_as_said():
    table = pd.read_csv(RESULTS / "controls" / "reference.csv", dtype={"code": str})
    space = replace(spaces.get("nasbench201"), channels=8, cells=1, size=16)
    known = Ranked(space, tuple(table.code), table.accuracy.to_numpy())
    kept, best = known.level >= 0, known.true >= np.sort(known.true)[-100]
    assert best.sum() == 100 and LEAST[0] == 31
    said = f"of our {len(kept):,} networks that leaves {kept.sum()}, the cheaper ones, and of the"
    assert f"{said} best 100 it leaves {(kept & best).sum()}." in FIRST
    curves = pd.read_csv(RESULTS / "cifar" / "curves.csv").query("method == 'PA'")
    drawn = curves.groupby("epoch")[["p_none", "p_skip_connect", "p_avg_pool_3x3"]].mean()
    start, end = (f"{100 * share:.0f} %" for share in drawn.sum(axis=1).iloc[[0, -1]])
    assert f"{start} of all at first and {end} at the end" in FIRST
    assert known.flops[kept].max() < np.quantile(known.flops, 0.95)  # "the cheaper"
    rows = pd.read_csv(RESULTS / "controls" / "cards.csv")
    rows = rows.query("space == 'nasbench201' and measure == 'within_quintiles'")
    level = rows.set_index("method").value
    said = "uniform sampling has {:.3f}, PA&DA {:.3f}, PA {:.3f} and the schedule {:.3f}"
    assert said.format(*level[["SPOS", "PA&DA", "PA", "curriculum"]]) in FIRST
    added = pd.concat(
        pd.read_csv(RESULTS / scale / "cards.csv").query("measure == 'more_seeds'")
        for scale in ("spaces",)
    )
    added = added[(added.method == "SPOS") & (added.space != "nasbench201")]
    assert (round(added.value.min(), 2), round(added.value.max(), 2)) == (0.02, 0.15)
    own = added.set_index("space").value[["chain-mini", "conv64", "nb1shot1-3"]]
    assert "`chain-mini` {:.3f}, `conv64` {:.3f}, NAS-Bench-1Shot1 {:.3f}".format(*own) in FIRST


def test_what_it_says_of_room_above_the_largest_is_published():
    found = claims.read(RESULTS / "search")
    room, seen = [], []
    for space in ("", "_macro"):
        free = pd.read_csv(RESULTS / "search" / f"search_controls{space}.csv")
        free = free.query("limit == 'none' and control == 'largest network'")
        room.append(free.regret.item())
        seen.append(found[f"10.found.pada{space}"].visible)
        assert room[-1] < seen[-1]
    assert f"has {room[0]:.2f} and {room[1]:.2f} points more than the largest" in FIRST
    assert f"less than the {seen[0]:.2f} and {seen[1]:.2f} that" in FIRST


def test_what_it_says_of_the_limit_is_published():
    """The means of all seeds, beside the model's limit; and where that is too low."""
    for scale, tables, space in (
        ("controls", ("scores", "reference"), "nasbench201"),
        ("spaces", ("scores_macro", "reference_macro"), "macro"),
    ):
        scores, true = (pd.read_csv(RESULTS / scale / f"{name}.csv") for name in tables)
        means = scores.groupby(["method", "code"]).accuracy.mean()
        true = true.set_index("code").accuracy
        found = [metrics.tau(means[m].reindex(true.index), true) for m in ("SPOS", "PA&DA")]
        cards = pd.read_csv(RESULTS / scale / "cards.csv")
        limits = cards[(cards.space == space) & (cards.measure == "limit")].set_index("method")
        ends = [limits.value[m] for m in ("SPOS", "PA&DA")]
        assert "{:.3f} and {:.3f} in".format(*found) in FINDINGS, space
        assert "{:.3f} and {:.3f})".format(*ends) in FINDINGS, space
        if space == "nasbench201":
            assert f"the mean of the 16 has {found[0]:.3f}" in FINDINGS
            known = Ranked(spaces.get(space), tuple(true.index), true.to_numpy())
            noise = np.random.default_rng(0).normal(0, 5, (8, len(true)))
            noisy = pd.DataFrame({k: true + own for k, own in enumerate(noise)})
            low = report.card(noisy, known).set_index("measure").value["limit"]
            assert low < 0.85 and f"{low:.2f}, and it is 1" in FINDINGS


def test_what_it_says_of_what_counts_as_one_architecture_is_published():
    found = pd.read_csv(RESULTS / "controls" / "alike.csv")
    units = found.groupby("unit").functions.max()
    assert f"count as one ({units['network']})" in FINDINGS
    assert f"Here functions count ({units['function']} of 1,000)" in FINDINGS
    (row,) = found[found.verdict != found.usual].itertuples()  # one, and it is that
    named = ("network", "secondary", "within_flops", "PA&DA", "SPOS", "not shown", "shown")
    assert named == (row.unit, row.table, row.measure, row.a, row.b, row.verdict, row.usual)
    said = f"{row.difference:+.3f} [{row.both_low:+.3f}, {row.both_high:+.3f}]"
    assert f"{said}, not shown after correction" in FINDINGS
    assert "not shown where networks that" in cell("Also among equal FLOPs?", 1)


def test_what_it_says_of_training_again_is_published():
    found = claims.read(RESULTS / "retraining")
    wanted = {
        ("spos", "nasbench201"): claims.NOT_SHOWN, ("spos", "mobilenet6"): claims.NOT_SHOWN,
        ("spos", "darts-mini"): claims.NOT_SHOWN, ("random_draws", "darts-mini"): claims.NOT_SHOWN,
        ("untrained", "darts-mini"): claims.NOT_SHOWN,
        ("most_flops", "nasbench201"): claims.SHOWN,
        ("largest_network", "nasbench201"): claims.OPPOSITE,
        ("random_draws", "nasbench201"): claims.NOT_SHOWN,
        ("untrained", "nasbench201"): claims.NOT_SHOWN,
        ("random_draws", "mobilenet6"): claims.NOT_SHOWN,
        ("untrained", "mobilenet6"): claims.NOT_SHOWN,
    }  # fmt: skip
    for (other, space), verdict in wanted.items():
        own = found[f"13.retrained.pada.{other}.{space}"]
        assert own.verdict == verdict, (other, space)
        assert claims.numbers(own).removesuffix(" points") in FIRST, (other, space)
    others, seen = ("spos", "random_draws", "untrained"), []
    for space in ("darts-mini", "mobilenet6"):
        own = {key: claim for key, claim in found.items() if key.endswith(space)}
        assert {claim.verdict for claim in own.values()} == {claims.NOT_SHOWN}  # "nothing is"
        ends = [own[f"13.retrained.pada.{other}.{space}"].visible for other in others]
        seen.append(f"{min(ends):.1f} to {max(ends):.1f}")
    said = f"where {' and '.join(seen)} points would have been seen"
    assert said in cell("Is what it finds better when trained again, briefly?", OTHERS)
    check = found["13.check.nasbench201"]
    assert claims.numbers(check).replace("+", "").removesuffix(" tau") in FIRST
    noise = pd.read_csv(RESULTS / "retraining" / "retraining_noise.csv").set_index("space")
    sd = [f"{noise.sd[space]:.2f}" for space in ("nasbench201", "darts-mini", "mobilenet6")]
    assert f"differs by {sd[0]}, {sd[1]} and {sd[2]} points (sd)" in FIRST
    assert noise.archs["nasbench201"] == 18 and "these 18" in FIRST


def test_what_it_says_of_other_choices_inside_pa_and_da_is_published():
    rows = pd.read_csv(RESULTS / "options" / "options.csv").query("option not in ('PA', 'DA')")
    loss = rows.query("against == 'control' and measure == 'tau_loss'").verdict.value_counts()
    assert loss.to_dict() == {claims.EQUIVALENT: 10, claims.NOT_SHOWN: 4}
    assert set(rows.query("measure == 'within_flops'").verdict) == {claims.NOT_SHOWN}
    asked = "Do other choices inside PA or DA make their gradients matter?"
    assert "of 14, none" in cell(asked, OTHERS) and "(ten as well, four" in cell(asked, OTHERS)
    seen = rows.query("against == 'control' and measure == 'within_flops'").visible
    assert f"where {seen.min():.2f} to {seen.max():.2f} would have been seen" in FIRST
    beside = rows.query("against == 'released' and verdict == @claims.OPPOSITE")
    assert beside.option.tolist() == ["batch 256"] and rows.verdict.ne(claims.SHOWN).all()
    ablated = {*scales.get("options").ablated}
    assert ablated - {*rows.option} == {"raw norms"}  # "changed nothing"
    found = claims.read(RESULTS / "options")
    for key in (
        "16.option.batch_256.released.tau_loss", "16.norm.pa_da_spos.recalibrated.tau_loss",
        "16.norm.pa_da_spos.running.tau_loss",
    ):  # fmt: skip
        assert claims.numbers(found[key]).removesuffix(" tau") in FIRST, key
    norms = pd.read_csv(RESULTS / "options" / "norms.csv").set_index(["of", "way", "measure"])
    for name in ("SPOS", "PA&DA"):
        own = norms.loc[name, "running", "tau_loss"]
        assert f"from {own.plain:.3f} to {own.value:.3f}" in FIRST


def test_what_the_first_table_says_with_intervals_is_published():
    for key, scale, asked, column in (
        ("06.pada_spos.tau_loss", "controls", BETTER, HERE),
        ("06.pada_spos.tau_loss", "cifar32", BETTER, WIDE),
        ("06.pada_spos.within_flops", "controls", "Also among equal FLOPs?", HERE),
        ("06.pada_pa.within_flops", "controls", "Does drawing images by gradient norm help?", HERE),
        ("06.pada_pa.within_flops", "cifar32", "Does drawing images by gradient norm help?", WIDE),
        ("09.pada.tau_loss.macro", "spaces", BETTER, OTHERS),
        ("09.pada.tau_loss.macro12", "spaces", BETTER, OTHERS),
        ("09.pada.tau_loss.nb1shot1-3", "spaces", BETTER, OTHERS),
        ("09.gain.tau_loss.macro", "spaces", BETTER, OTHERS),
    ):
        own = claims.read(RESULTS / scale)[key]
        sure = claims.deciding(own)
        ends = f"{own.effect:+.2f} [{sure.low:+.2f}, {sure.high:+.2f}]"
        assert ends in cell(asked, column), (key, ends)


def test_what_it_says_of_digits_in_favour_of_the_claim_is_published():
    own = claims.read(RESULTS / "laptop")
    noise = own["01.signal_to_noise"]
    assert noise.verdict == claims.SHOWN
    low, high = noise.intervals[0].low, noise.intervals[0].high
    assert f"by {noise.effect:.4f} [{low:.4f}, {high:.4f}] in `mini`" in FIRST
    assert claims.read(RESULTS / "cifar")["01.signal_to_noise"].verdict == claims.NOT_SHOWN
    wanted = {"held_paths_raw": claims.SHOWN, "held_raw": claims.NOT_SHOWN}
    for key, verdict in wanted.items():
        assert own[f"02.{key}"].verdict == verdict
        assert claims.numbers(own[f"02.{key}"]) in FIRST
    rates = claims.read(RESULTS / "tuning")["14.own_rates.pa_curriculum.tau_loss"]
    assert rates.verdict == claims.EQUIVALENT
    assert f"{claims.numbers(rates).removesuffix(' tau')}, equivalent (`tuning`)" in FIRST


def test_what_it_says_of_the_interventions_is_published():
    found = claims.read(RESULTS / "interventions")
    verdicts = {
        "lasts_variance_steps": claims.OPPOSITE, "lasts_variance_images": claims.SHOWN,
        "lasts_noise_images": claims.OPPOSITE,
        "lower_tau_images": claims.OPPOSITE, "lower_tau_steps": claims.SHOWN,
        "lower_within_flops_images": claims.OPPOSITE, "lower_within_flops_steps": claims.SHOWN,
    }  # fmt: skip
    assert {name: found[f"08.{name}"].verdict for name in verdicts} == verdicts
    for name, sign in (("lower_tau_images", -1), ("lower_tau_steps", 1)):  # "takes away", "adds"
        own = found[f"08.{name}"]
        ends = sorted(sign * end for end in (claims.deciding(own).low, claims.deciding(own).high))
        assert f"{sign * own.effect:.3f} [{ends[0]:.3f}, {ends[1]:.3f}]" in FIRST
    for name in ("variance_steps", "noise_images"):
        assert told("interventions", f"08.lasts_{name}").removesuffix(" doublings") in FIRST
    slopes = pd.read_csv(RESULTS / "interventions" / "intervened_slopes.csv")
    row = slopes.query("family == 'paths, equal images' and outcome == 'tau' and by == 'loss'")
    row = row.squeeze()
    assert row.seeds_low < row.both_low and row.both_high < row.seeds_high  # the widest is told
    assert f"{-row.difference:.3f} [{-row.seeds_high:.3f}, {-row.seeds_low:.3f}]" in FIRST
    assert f"(`interventions`, {row.seeds} seeds)" in FIRST


def test_what_it_says_of_the_variance_along_training_is_published():
    found = claims.read(RESULTS / "along")
    for name, other in (("path_all", claims.NOT_SHOWN), ("path_all_beyond", claims.NOT_SHOWN)):
        assert found[f"17.{name}"].verdict == other
    path, beyond, own = (found[f"17.{n}"] for n in ("path_all", "path_all_beyond", "data_all"))
    ends = path.intervals[0]
    assert f"takes off {-path.effect:.3f} [{-ends.high:.3f}, {-ends.low:.3f}]" in FIRST
    ends = beyond.intervals[0]
    assert f"{beyond.effect:+.3f} [{ends.low:+.3f}, {ends.high:+.3f}]" in FIRST
    ends = own.intervals[0]
    assert f"adds {own.effect:.3f} [{ends.low:.3f}, {ends.high:.3f}]" in FIRST
    assert all(found[f"17.{n}"].p > claims.LEVEL for n in ("path_all", "data_all"))
    means = pd.read_csv(RESULTS / "along" / "along_means.csv")
    own = means.query("method == 'SPOS' and weights == 'raw' and part == 'all'")
    share = 100 * own.set_index("epoch").path_share
    assert f"{share.iloc[0]:.0f} % in the first, {share.iloc[-1]:.1f} % in the last" in FIRST
    assert f"The path makes {path.evidence.partition('the path makes ')[2][:5]} of" in FIRST


def test_what_it_says_of_equal_exposure_is_published():
    found = claims.read(RESULTS / "exposure")
    verdicts = {
        "extent.variance": claims.EQUIVALENT,
        "extent.ranking": claims.NOT_SHOWN,
        "falls": claims.NOT_SHOWN,
        "uniform": claims.SHOWN,
        "exposure": claims.SHOWN,
    }
    assert {name: found[f"18.{name}"].verdict for name in verdicts} == verdicts
    rows = pd.read_csv(RESULTS / "exposure" / "exposure_changes.csv").query("value == 'tau_loss'")
    rows = rows[rows.second == 5].set_index("asked")
    for asked in ("exposure", "falls_short"):
        row = rows.loc[asked]
        assert f"{row.change:+.2f} [{row.low:+.2f}, {row.high:+.2f}]" in FIRST
    row = rows.loc["falls"]
    assert f"{row.change:+.2f} [{row.low:+.2f}, {row.high:+.2f}] beside two trained twice" in FIRST
    own = found["18.uniform"]
    ends = claims.deciding(own)
    assert f"by {-own.effect:.2f} [{-ends.high:.2f}, {-ends.low:.2f}] under uniform" in FIRST
    assert f"a fall of {found['18.falls'].visible:.2f} would have been seen" in FIRST
    own = claims.read(RESULTS / "cifar")["01.candidates.variance"]
    ends = own.intervals[0]
    assert f"{own.effect:.2f} [{ends.low:.2f}, {ends.high:.2f}] times at `cifar`" in FIRST
    assert own.verdict == claims.OPPOSITE
    own = found["18.extent.variance"]
    ends = own.intervals[0]
    assert f"{own.effect:.3f} [{ends.low:.3f}, {ends.high:.3f}] times (equivalent)" in FIRST
    falls = []  # by loss, over seeds and architectures
    for scale, key in (("cifar", "01.extent.ranking"), ("exposure", "18.extent.ranking")):
        end = claims.read(RESULTS / scale)[key].intervals[-1]
        falls.append(f"{-end.of:.2f} [{-end.high:.2f}, {-end.low:.2f}]")
    assert (
        f"not shown ({told('exposure', '18.extent.ranking').removesuffix(' tau')}; by loss the "
        f"first seeds, at `cifar`, had fallen by {falls[0]}, which these did not repeat: "
        f"{falls[1]})"
    ) in FIRST


def test_what_hangs_on_the_rows_that_are_corrected_together_is_said():
    rows = pd.read_csv(RESULTS / "spaces" / "contrasts.csv")
    rows = rows[rows.primary]
    own = rows[rows.space == "nb1shot1-3"]
    among = dict(zip(own.question + own.measure, claims.holm(own.p.tolist()), strict=True))
    ends = f"p {among['gaintau_loss']:.3f}, and so would PA&DA's, p {among['padatau_loss']:.3f})"
    assert ends in FIRST and max(own.holm[own.measure == "tau_loss"][:2]) > claims.LEVEL
    for space in ("macro", "macro12"):  # elsewhere the narrower correction changes no verdict
        own = rows[(rows.space == space) & (rows.question == "pada")]
        narrow = claims.holm(rows.p[rows.space == space].tolist())
        at = (rows.question[rows.space == space] == "pada").tolist()
        assert min(p for p, here in zip(narrow, at, strict=True) if here) > claims.LEVEL, space
    counts = pd.read_csv(RESULTS / "controls" / "counts.csv").set_index(["space", "measure"])
    counts = counts.loc["nasbench201", "tau_loss"]
    row = counts[(counts.a == "PA&DA") & (counts.b == "FLOPs of live options")].iloc[0]
    assert row.verdict == claims.SHOWN and "the verdict hangs on what is corrected" in FIRST


def test_what_the_schedule_has_of_the_gain_in_macro_is_published():
    rows = pd.read_csv(RESULTS / "spaces" / "contrasts.csv")
    rows = rows[rows.space == "macro"].set_index(["question", "measure"])
    share = {m: 1 - rows.difference["schedule", m] / rows.difference["gain", m] for m in (
        "tau_loss", "within_flops")}  # fmt: skip
    assert f"it has {share['tau_loss']:.0%}".replace("%", " %") in FIRST
    assert share["within_flops"] < 0 and "and in fifths none" in FIRST
    row = rows.loc["schedule", "within_flops"]
    assert f"{row.difference:+.3f} [{row.both_low:+.3f}, {row.both_high:+.3f}]" in FIRST
    assert set(rows.verdict["schedule"]) == {claims.NOT_SHOWN}


def test_how_many_rivals_rank_below_uniform_sampling_is_published():
    cards = pd.read_csv(RESULTS / "rivals" / "cards.csv").set_index(["space", "method", "measure"])
    means = cards.value.xs("tau_loss", level="measure")
    main, chain = means["nasbench201"], means["chain-mini"]
    below = [name for name in rival_scales.PUBLISHED if main[name] < main["SPOS"]]
    assert len(below) == 7 and len(rival_scales.PUBLISHED) == 13
    assert f"Uniform sampling has {main['SPOS']:.3f}: seven of the 13 rank below it" in FIRST
    others = [name for name in rival_scales.PUBLISHED if name in chain and name != "CLOSE"]
    assert [name for name in others if chain[name] > chain["SPOS"]] == ["sandwich"]
    assert len(others) == 10 and f"below uniform sampling ({chain['SPOS']:.3f})" in FIRST


def test_what_speaks_for_the_paper_on_the_fixed_part_is_published():
    rows = pd.read_csv(RESULTS / "spaces" / "variance.csv").query("weights == 'raw'")
    rows = rows[rows.part == "fixed"].set_index("space")
    row = rows.loc["conv64"]
    assert row.holm < claims.LEVEL < rows.holm["macro12"]
    assert f"in `conv64`, {row.change:.3f} [{row.low:.3f}, {row.high:.3f}] times" in FIRST
    steps = pd.read_csv(RESULTS / "along" / "along.csv").query("weights == 'raw'")
    steps = steps[(steps.part == "fixed") & (steps.epoch == steps.epoch.max())]
    wide = np.log(steps.pivot(index="seed", columns="method", values="total"))
    found = (wide["PA&DA"] - wide["SPOS"]).to_numpy()
    half = stats.t.ppf(0.975, len(found) - 1) * stats.sem(found)
    ends = np.exp([found.mean(), found.mean() - half, found.mean() + half])
    assert "of `along`, have {:.3f} [{:.3f}, {:.3f}], not planned".format(*ends) in FIRST


def test_what_the_largest_and_the_schedule_find_on_digits_is_published():
    found = claims.read(RESULTS / "laptop")
    for key, verdict in (
        ("10.schedule.pada", claims.NOT_SHOWN),
        ("10.limitgain.flops.pada", claims.EQUIVALENT),
    ):
        own = found[key]
        ends = claims.deciding(own)
        said = f"{own.effect:+.2f} [{ends.low:+.2f}, {ends.high:+.2f}], {verdict}"
        assert said in FIRST and own.verdict == verdict, key
    assert "and 0.00 points)" in found["10.found.pada"].evidence  # the largest's regret


def test_what_rates_of_their_own_reach_is_published():
    rows = pd.read_csv(RESULTS / "tuning" / "tuning_levels.csv").query("method == 'PA'")
    rows = rows.set_index(["arm", "measure"]).value
    for measure, lead in (("tau_loss", ""), ("within_flops", "among equal FLOPs ")):
        own, common = rows["own rates", measure], rows["common rate", measure]
        assert own < common and f"{lead}{own:.3f}, not {common:.3f}" in FIRST


def test_what_drawing_images_adds_where_there_is_no_schedule_is_published():
    found = claims.read(RESULTS / "rivals")
    for key, verdict in {
        "pa.within_flops_loss": claims.SHOWN,
        "pa.within_flops": claims.NOT_SHOWN,
        "pa.tau_loss": claims.NOT_SHOWN,
        "spos.tau_loss": claims.NOT_SHOWN,
    }.items():
        own = found[f"12.made_of.{key}.chain-mini"]
        assert claims.numbers(own).removesuffix(" tau") in FINDINGS and own.verdict == verdict, key
    own = found["12.made_of.pa.within_flops_loss.chain-mini"]
    ends = claims.deciding(own)
    said = f"**yes**, {own.effect:+.2f} [{ends.low:+.2f}, {ends.high:+.2f}]"
    assert said in cell("Does drawing images by gradient norm help?", OTHERS)
    rows = pd.read_csv(RESULTS / "rivals" / "made_of.csv").query("space == 'chain-mini'")
    assert set(rows.tests) == {12} and "corrected over twelve rows" in FINDINGS


def test_what_it_says_of_the_fixed_schedule_beside_it_is_published():
    asked = "Better than fixed schedules without gradients?"
    for scale, column, words in (("controls", HERE, {}), ("cifar32", WIDE, {})):
        found = claims.read(RESULTS / scale)
        for measure in ("tau_loss", "within_flops"):
            own = found[f"06.pada_curriculum.{measure}"]
            ends = claims.deciding(own)
            two = f"{own.effect:+.2f} [{ends.low:+.2f}, {ends.high:+.2f}]"
            assert two in cell(asked, column) and claims.numbers(own).removesuffix(" tau") in FIRST
            words[measure] = claims.told(own)
        wanted = (claims.EQUIVALENT, claims.OPPOSITE)
        wanted = wanted if scale == "controls" else (claims.NOT_SHOWN, claims.CORRECTED)
        assert tuple(words.values()) == wanted
    rows = pd.read_csv(RESULTS / "cifar32" / "also.csv").set_index("measure")
    assert f"(p {rows.holm['within_flops']:.4f})" in FINDINGS and set(rows.tests) == {6}
    rows = pd.read_csv(RESULTS / "rivals" / "contrasts.csv")
    rows = rows[(rows.space == "chain-mini") & (rows.measure == "tau_loss")].set_index("b")
    for name in ("sandwich", "size-curriculum"):
        assert f"by loss p {rows.holm[name]:.3f})" in FINDINGS


def test_what_it_says_of_other_methods_in_other_spaces_is_published():
    rows = pd.read_csv(RESULTS / "spaces" / "contrasts.csv")
    rows = rows[~rows.primary]
    assert set(rows.verdict) == {claims.NOT_SHOWN} and len(rows) == 18
    said = f"would have shown {rows.visible.min():.2f} to {rows.visible.max():.2f}."
    assert said in FINDINGS
    few = rows[(rows.space == "macro") & (rows.b == "SPOS")]
    assert set(few.a) == {"DA", "FairNAS", "sbs", "size-curriculum"} and set(few.seeds) == {5}
    own = told("spaces", "09.replayed.tau_loss.macro12").removesuffix(" tau")
    assert f"PA less its replays, {own} by loss (8)" in FINDINGS
    cards = pd.read_csv(RESULTS / "spaces" / "cards.csv").query("measure == 'tau_loss'")
    own = cards[cards.space == "macro"].set_index("method").value
    best = f"{own['size-curriculum']:.3f}, PA&DA {own['PA&DA']:.3f}.)"
    assert own.idxmax() == "size-curriculum" and best in FINDINGS
