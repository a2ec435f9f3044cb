"""A space of one's own in a notebook: its cell in a kernel, edited and run again; its tables."""

import json
import os
from pathlib import Path

import nbclient
import nbformat
import numpy as np
import pandas as pd
import pytest

from padalib import data, samplers, spaces
from padalib.benchmarks.truth import Truth
from padalib.probes.sampled import QUANTITIES
from padalib.ranking.ranked import Ranked
from padalib.samplers import GradNormPaths
from padalib.spaces import ChainSpace
from padalib.study import own, scales
from padalib.study.own import BASE, MEASURES
from padalib.train import TrainConfig

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "notebooks" / "11_your_own.ipynb"
TINY = ChainSpace("tiny", options=("conv_1x1", "conv_3x3"), strides=(1, 2, 1, 1, 1), channels=2)


# --- the notebook's cell ---


def cell(start):
    """The source of the notebook's code cell that begins so."""
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    (found,) = [
        "".join(one["source"])
        for one in cells
        if one["cell_type"] == "code" and "".join(one["source"]).startswith(start)
    ]
    return found


SPACE = cell("@dataclass")
TRAIN = """
from padalib.engine import launch
from padalib.ranking.scores import ScoreConfig
try:
    config = TrainConfig("PA", space=Mine(), data="digits-small", epochs=1, batch=256)
    (run,) = launch.grid([ScoreConfig(config)], workers=1)
    scores = run.table("scores")
    print("run", run.key, len(scores), float(scores.loss.sum()).hex())
except ValueError as error:
    print("refused", error)
"""


def test_a_space_is_at_most_thirty_lines():
    assert len(SPACE.splitlines()) <= 30


@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")
def test_its_cell_can_be_edited_and_run_again(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PADALIB_HEADLESS", "1")
    edited = SPACE.replace("kernel // 2, bias=False", "kernel // 2, bias=True")
    broken = SPACE.replace("nn.Identity()", "nn.Dropout()")
    assert SPACE != edited != broken != SPACE
    cells = [cell("from dataclasses import")]
    for space in (SPACE, edited, SPACE, broken):
        cells += [space, TRAIN]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(one) for one in cells])
    where = {"metadata": {"path": os.fspath(tmp_path)}}
    nbclient.NotebookClient(book, timeout=600, resources=where).execute()
    said = ["".join(out.text for out in one.outputs) for one in book.cells[2::2]]
    first, other, again, refused = [text.splitlines()[-1] for text in said]
    assert first == again != other and first.split()[2] == other.split()[2] == "27"
    assert first.split()[1] != other.split()[1] and first.split()[3] != other.split()[3]
    assert refused.startswith("refused blocks.1.2 of ChainNet draws from no stream of the run's")


def test_it_is_run_at_the_scales_that_anybody_can_afford():
    names = [name for name, scale in scales.SCALES.items() if scales.runs(scale, "11")]
    assert names == ["smoke", "laptop"]


# --- tables ---


def test_a_data_set_in_one_sentence():
    assert own.describe(data.load("digits-small")) == (
        "**digits-small**: 16×16 pixels, grey, 10 classes; 512 to learn from, 256 to rank on, 256 "
        "to tell the truth."
    )


def test_weights_of_options_that_differ_between_positions():
    table = own.options(spaces.get("mini"))
    assert list(table.columns) == list(spaces.OPS) and (table.skip_connect == "0").all()
    made = {}
    exec("from dataclasses import dataclass\nfrom torch import nn\n"
         "from padalib.spaces import ChainSpace, Norm, Position\n" + SPACE, made)  # fmt: skip
    table = own.options(made["Mine"]())
    assert table.loc["first"].to_dict() == {
        "conv 1": "128", "conv 3": "1,152", "conv 5": "3,200", "skip": "",
    }  # fmt: skip
    assert table.loc["third"].to_dict() == {
        "conv 1": "256", "conv 3": "2,304", "conv 5": "", "skip": "0",
    }  # fmt: skip


def test_every_architecture_with_its_cost_the_cheapest_first():
    table = own.costs(TINY)
    assert len(table) == 32 and table.MFLOPs.is_monotonic_increasing
    assert table.code.iloc[0] == "0-0-0-0-0" and table.code.iloc[-1] == "1-1-1-1-1"
    assert table.weights["|".join(["conv_3x3"] * 5)] == TINY.params((1,) * 5)


@pytest.fixture
def known():
    codes = tuple(TINY.code(arch) for arch in TINY)
    return Ranked(TINY, codes, np.random.default_rng(0).permutation(32).astype(float))


@pytest.fixture
def scores(known):
    """`mine` is right; SPOS orders at random."""
    rng, tables = np.random.default_rng(1), []
    for seed in range(4):
        for method in (BASE, "mine"):
            noise = rng.normal(0, 0.5, 32)
            accuracy = known.true + noise if method == "mine" else rng.permutation(32) + noise
            rows = {"method": method, "seed": seed, "code": known.codes, "accuracy": accuracy}
            tables.append(pd.DataFrame(rows | {"loss": -accuracy}))
    return pd.concat(tables)


def test_the_card_has_a_row_for_each_method_and_control(scores, known):
    card = own.cards(scores, known)
    assert list(card.index) == [BASE, "mine", "FLOPs of live options", "parameters"]
    assert list(card.columns) == list(MEASURES.values())
    assert card.tau["mine"] > 0.9 and card["lost by the favourite (points)"]["mine"] == 0
    assert card["tau, by loss"]["mine"] == pytest.approx(card.tau["mine"])


def test_verdicts_follow_from_the_scores(scores, known):
    def by(table):
        return {c.statement: c.verdict for c in own.verdicts(own.gains(table, known))}

    better, than = "mine ranks better than SPOS", " ranks better than FLOPs of live options"
    found = by(scores)
    assert set(found) == {better, f"mine{than}", f"SPOS{than}"}
    assert found[better] == found[f"mine{than}"] == "shown" != found[f"SPOS{than}"]
    turned = scores.assign(method=scores.method.map({BASE: "mine", "mine": BASE}))
    assert by(turned)[better] == "opposite here" and by(turned)[f"SPOS{than}"] == "shown"
    alike = scores[scores.method == "mine"]
    alike = pd.concat(alike.assign(method=name) for name in (BASE, "mine"))
    assert by(alike)[better] not in ("shown", "opposite here")


def test_counting_is_held_against_the_same_truth(scores, known):
    flops = pd.Series(known.flops, known.codes)
    counted = scores.assign(accuracy=flops[scores.code].to_numpy(), loss=0.0)
    rows = own.gains(counted, known).set_index(["a", "b"]).difference
    assert (rows == 0).all()


@pytest.fixture
def probed():
    """The variance of `mine` is twice SPOS's, weighted twenty times, whatever the seed and part."""
    rows = [
        {"method": method, "seed": seed, "epoch": 2, "weights": weights, "part": part, "group": 1}
        | dict.fromkeys(QUANTITIES, 1.0)
        | {"total": (seed + 1) * (1 if method == BASE else 2 if weights == "raw" else 20)}
        for method in (BASE, "mine")
        for seed in range(3)
        for weights in ("raw", "importance")
        for part in ("all", "fixed")
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def times(probed):
    return own.ratios(probed, [])


def test_the_variance_beside_that_of_spos(times):
    assert list(times.index) == ["mine"] and times.times["mine"] == pytest.approx(2)


def test_a_method_of_ones_own_that_weights_its_steps_takes_weighted_ones(probed):
    paths = samplers.part(GradNormPaths, importance=True)
    mine = TrainConfig(samplers.compose("mine", paths=paths), 0)
    times = own.ratios(probed, [mine, TrainConfig(BASE, 0)])
    assert list(times.index) == ["mine"] and times.times["mine"] == pytest.approx(20)


def test_the_figure_holds_what_is_plotted(scores, known, times):
    figure, plotted = own.draw(scores, known, times)
    left, right = figure.axes
    free = [line.get_label() for line in left.lines if not line.get_label().startswith("_")]
    assert free == ["FLOPs of live options", "parameters"]
    assert [tick.get_text() for tick in right.get_xticklabels()] == ["mine"]
    assert plotted.what.value_counts().to_dict() == {"tau": 10, "variance, times": 1}
    found = own.verdicts(own.gains(scores, known))
    truth = Truth("tiny", "photos", pd.DataFrame())
    said = own.caption(TINY, truth, found)
    assert said.startswith("32 architectures of “tiny” on photos: mine ranks better than ")
    assert "mine ranks better than SPOS. Left, a point is a seed, and" in said
    assert "no method is shown to rank better than SPOS or counting" in own.caption(TINY, truth, [])
