"""Result tables and figures: saved, redrawn without training, the same bytes each time."""

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from padalib import data
from padalib.benchmarks import truth
from padalib.engine import launch, paths
from padalib.engine.runs import Run, RunError, identity, versions
from padalib.ranking.scores import ScoreConfig, sample
from padalib.study import figures, limits, ranking, results, scales
from padalib.train import TrainConfig, Trainer

ROOT = Path(__file__).resolve().parents[2]
TRAIN = [
    TrainConfig(method, seed=seed, data="digits-small", epochs=2, batch=256)
    for seed in (0, 1)
    for method in ("SPOS", "PA")
]
SCORES = [ScoreConfig(config, images=64) for config in TRAIN[:2]]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Where results and figures go; runs are computed in this process."""
    monkeypatch.setattr(paths, "results_dir", lambda scale: tmp_path / "results" / scale)
    monkeypatch.setattr(paths, "figures_dir", lambda scale: tmp_path / "figures" / scale)
    monkeypatch.setattr(launch, "grid", lambda configs, _: [Run(c).compute() for c in configs])
    return tmp_path


# --- tables ---


def test_a_table_holds_the_rows_of_its_runs_after_their_origin(folder):
    found = results.table("smoke", "training", TRAIN, source="curves")
    assert list(found)[:5] == ["method", "seed", "trained_on", "run", "epoch"]
    assert found.epoch.tolist() == [1, 2] * 4
    for config in TRAIN:
        run = Run(config)
        rows = found[found.run == run.key]
        assert set(rows.method) == {config.method.name} and set(rows.seed) == {config.seed}
        assert rows.loss.tolist() == run.table("curves").loss.tolist()
    assert pd.read_csv(folder / "results" / "smoke" / "training.csv").equals(found)


def test_a_table_of_scores_names_the_method_of_the_training():
    found = results.table("smoke", "scores", SCORES)
    assert found.groupby("method").size().to_dict() == {"PA": 85, "SPOS": 85}


def test_redraw_reads_the_same_table_and_computes_nothing(monkeypatch):
    computed = results.table("smoke", "curves", TRAIN[:1])
    monkeypatch.setattr(launch, "grid", lambda *_: pytest.fail("it trained"))
    monkeypatch.setenv("PADALIB_DATA", "/nowhere")
    assert results.table("smoke", "curves", TRAIN[:1], redraw=True).equals(computed)


def test_the_same_runs_give_the_same_bytes(folder):
    found = []
    for _ in range(2):
        results.table("smoke", "curves", TRAIN)
        results.table("smoke", "scores", SCORES)
        files = sorted((folder / "results" / "smoke").iterdir())
        found.append({path.name: path.read_bytes() for path in files})
    assert found[0] == found[1]
    assert list(found[0]) == ["curves.csv", "runs.csv", "scores.csv"]


def test_a_table_that_is_not_there_is_named(folder):
    path = folder / "results" / "smoke" / "curves.csv"
    words = f"there is no {path} to redraw from: run `make reproduce SCALE=smoke`"
    with pytest.raises(RunError, match=words):
        results.table("smoke", "curves", TRAIN, redraw=True)


def registered(folder):
    return pd.read_csv(folder / "results" / "smoke" / "runs.csv")


def test_every_run_is_registered_once_with_identity_and_versions(folder):
    results.table("smoke", "curves", TRAIN)
    results.table("smoke", "scores", SCORES)
    results.table("smoke", "curves again", TRAIN, source="curves")
    rows = registered(folder).set_index("run")
    configs = {Run(config).key: config for config in [*TRAIN, *SCORES]}
    assert sorted(rows.index) == sorted(configs)
    for key, config in configs.items():
        row = rows.loc[key]
        assert json.loads(row.identity) == json.loads(json.dumps(identity(config)))
        assert row.label == config.label
        assert row[list(versions())].to_dict() == versions()


def test_runs_that_no_table_holds_any_more_are_forgotten(folder):
    results.table("smoke", "curves", TRAIN)
    results.table("smoke", "scores", SCORES)
    results.table("smoke", "curves", TRAIN[2:])
    kept = {Run(config).key for config in [*TRAIN[2:], *SCORES]}
    assert set(registered(folder).run) == kept


def test_a_table_of_means_over_runs_may_lie_beside(folder):
    results.save("smoke", "ranking", pd.DataFrame({"method": ["PA"], "tau": [0.5]}))
    results.table("smoke", "curves", TRAIN[:1])
    assert set(registered(folder).run) == {Run(TRAIN[0]).key}


def test_a_reference_is_the_truth_of_the_ranked_architectures(folder):
    study = scales.get("smoke")
    rows = results.reference("smoke", study)
    known = truth.load("mini")
    assert rows.code.tolist() == [study.space.code(arch) for arch in study.space.classes()]
    assert rows.accuracy.tolist() == known.accuracy("test")[rows.code].tolist()
    ceiling = known.ceiling("test", rows.code)
    assert rows.iloc[7][["ceiling", "ceiling_low", "ceiling_high"]].tolist() == list(ceiling)
    said = rows[["ceiling_basis", "source", "dataset", "split"]].drop_duplicates()
    assert said.values.tolist() == [["agreement of 3 seeds", known.source, "digits", "test"]]


def test_a_reference_is_redrawn_without_any_truth_table(folder, monkeypatch):
    study = replace(scales.get("smoke"), ranked=10)
    rows = results.reference("smoke", study)
    assert rows.code.tolist() == [study.space.code(a) for a in sample(study.space, 10)]
    monkeypatch.setattr(truth, "load", lambda *_, **__: pytest.fail("it read the truth"))
    assert results.reference("smoke", study, redraw=True).equals(rows)


def test_a_reference_of_another_data_set_warns(folder):
    study = replace(scales.get("smoke"), data="cifar10-16")
    with pytest.warns(UserWarning, match="cifar10"):
        results.reference("smoke", study)


def test_what_is_said_of_configs_becomes_columns(folder):
    rows = results.table(
        "smoke", "curves", TRAIN, columns=lambda c: {"nodes": c.space.nodes + c.seed}
    )
    assert rows.nodes.tolist() == [TRAIN[0].space.nodes + seed for seed in rows.seed]
    assert results.table("smoke", "curves", [], redraw=True).equals(rows)


def test_an_architecture_trained_alone_is_no_method(folder):
    config = replace(TRAIN[0], arch=(3, 2, 1), epochs=1, keep=())
    assert set(results.table("smoke", "alone", [config], source="curves").method) == {"alone"}


# --- figures ---

FILES = ("figure.csv", "figure.png", "figure.svg")
DRAW = """
import sys
from pathlib import Path
import matplotlib
matplotlib.use("Agg")
import test_results
test_results.paths.figures_dir = lambda scale: Path(sys.argv[1])
test_results.draw()
"""


def draw(saves=1):
    """A figure with all that a figure has: lines, points, labels, a legend, a caption."""
    rows = pd.DataFrame(
        {"method": method, "seed": seed, "epoch": epoch, "loss": 2 / (1 + epoch) + seed / 10}
        for method in ("SPOS", "PA&DA")
        for seed in range(3)
        for epoch in range(6)
    )
    with figures.style():
        figure, (left, right) = plt.subplots(1, 2, figsize=(3.25, 1.8))
    figures.by_epoch(left, rows, "loss", ["SPOS", "PA&DA"])
    left.set(ylabel="loss (nats)", title="training", yscale="log")
    left.legend()
    found = figures.by_method(right, rows[rows.epoch == 5], "loss", ["SPOS", "PA&DA"])
    right.set_ylabel("loss × 1 (nats)")
    for _ in range(saves):
        figures.save(figure, "smoke", "figure", found, caption="The loss falls. " * 12)
    plt.close(figure)
    return found


def test_what_was_looked_at_once_is_drawn_by_method_and_otherwise_over_time():
    rows = pd.DataFrame({"method": ["SPOS", "PA"] * 4, "seed": [0, 0, 1, 1] * 2, "loss": range(8)})
    with figures.style():
        figure, (left, right) = plt.subplots(1, 2)
    figures.over_time(left, rows.assign(epoch=[1] * 4 + [2] * 4), "loss", ["SPOS", "PA"])
    figures.over_time(right, rows.assign(epoch=2), "loss", ["SPOS", "PA"])
    assert left.get_xlabel() == "epoch (passes of images)" and right.get_xlabel() == ""
    assert [label.get_text() for label in right.get_xticklabels()] == ["SPOS", "PA"]
    plt.close(figure)


def test_logarithmic_ticks_do_not_crowd():
    for high, wanted in ((0.02, [0.001, 0.002, 0.005, 0.01, 0.02]), (1, [0.001, 0.01, 0.1, 1])):
        figure, axes = plt.subplots()
        axes.plot([0, 1], [0.001, high])
        axes.set_yscale("log")
        figures.log_ticks(axes.yaxis)
        low, top = axes.get_ylim()
        shown = [tick for tick in axes.get_yticks() if low <= tick <= top]
        assert shown == pytest.approx(wanted)
        plt.close(figure)


def contents(folder):
    assert sorted(os.listdir(folder)) == list(FILES)
    return {name: (folder / name).read_bytes() for name in FILES}


def test_figures_have_the_same_bytes_in_every_process(folder):
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"  # not ours
    path = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
    subprocess.run(
        [sys.executable, "-c", DRAW, folder / "elsewhere"],
        env=os.environ | {"PYTHONPATH": path, "PYTHONHASHSEED": seed},
        check=True,
    )
    draw()
    assert contents(folder / "elsewhere") == contents(folder / "figures" / "smoke")


def test_a_figure_saved_twice_has_the_same_bytes(folder):
    draw()
    once = contents(folder / "figures" / "smoke")
    draw(saves=2)
    assert contents(folder / "figures" / "smoke") == once


def test_a_figure_goes_with_the_numbers_it_shows(folder):
    found = draw()
    saved = folder / "figures" / "smoke"
    pd.testing.assert_frame_equal(pd.read_csv(saved / "figure.csv"), found, check_exact=True)
    svg = (saved / "figure.svg").read_text()
    assert "The loss falls." in svg and "loss (nats)" in svg  # letters, not outlines
    assert "<dc:date>" not in svg and "Matplotlib v" not in svg


def test_every_method_has_a_colour_of_its_own():
    colours = [figures.colour(method) for method in scales.METHODS]
    assert len(set(colours)) == len(scales.METHODS)
    assert figures.colour("my own") not in colours


# --- scales ---


def test_an_unknown_scale_is_refused():
    with pytest.raises(ValueError, match="unknown scale 'huge': choose one of smoke, laptop"):
        scales.get("huge")


@pytest.mark.parametrize("name", scales.SCALES)
def test_configs_of_a_scale_are_all_different(name, monkeypatch):
    monkeypatch.setattr(data, "fingerprint", lambda name: name)  # photographs may not be there
    scale = scales.get(name)
    assert scale.name == name
    parts = [
        scale.trainings(),
        scale.probes(),
        ranking.scorings(scale),
        ranking.scorings(scale, final=False),
    ]
    lengths = [1, len(scale.keep) + 1, 1, len(scale.keep) + 1]
    more = [scale.sharings(), scale.sharing_probes(), scale.sharing_scorings()]
    more += [scale.exacts(), scale.coupled(), scale.agreements()]
    runs = len(scale.methods) * len(scale.seeds)
    assert [len(part) for part in parts] == [length * runs for length in lengths]
    for part in (*parts, *more, limits.wholes(scale), limits.alones(scale)):
        keys = [Run(config).key for config in part]
        assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    "name",
    [
        "smoke",
        "laptop",
    ],
)
def test_every_method_passes_as_many_images(name):
    scale = scales.get(name)
    trainers = [Trainer(scale.training(method, seed=0)) for method in scale.methods]
    for trainer in trainers:
        images = trainer.steps * scale.batch * trainer.paths.group
        half_a_step = scale.batch * trainer.paths.group / 2
        assert abs(images - len(trainer.images)) <= (half_a_step if name == "smoke" else 0)


@pytest.mark.parametrize("scaling", ["linear", "log"])
def test_names_of_lines_stand_at_their_ends_and_not_on_each_other(scaling):
    figure, axes = plt.subplots()
    axes.set(yscale=scaling, ylim=(1, 100))
    figures.label_ends(axes, pd.Series({2: 30, 3: 31, 5: 2}), dict.fromkeys((2, 3, 5), "red"))
    heights = {text.get_text(): text.get_position()[1] for text in axes.texts}
    wanted = {n: (n - 1) / 99 if scaling == "linear" else math.log10(n) / 2 for n in (2, 30)}
    assert [heights["5"], heights["2"]] == pytest.approx([wanted[2], wanted[30]])
    assert heights["3"] == pytest.approx(heights["2"] + 0.1)
    figures.label_ends(axes, pd.Series({7: 99.0, 8: 99.5}), {7: "red", 8: "red"})
    assert [text.get_position()[1] for text in axes.texts[-2:]] == pytest.approx(
        [0.9945, 0.8945], abs=0.01
    )
    plt.close(figure)
