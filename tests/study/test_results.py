"""Result tables and figures: saved, redrawn without training, the same bytes each time."""

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from padalib import data
from padalib.benchmarks import truth
from padalib.engine import launch, paths
from padalib.engine.runs import Run, RunError, identity, versions
from padalib.ranking.scores import ScoreConfig, sample
from padalib.study import limits, optimum, ranking, results, scales, sharing, variance
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
    ceiling = known.agreement("test", rows.code)
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
        variance.probes(scale),
        ranking.scorings(scale),
        ranking.scorings(scale, final=False),
    ]
    lengths = [1, len(scale.keep) + 1, 1, len(scale.keep) + 1]
    more = [sharing.supernets(scale), sharing.probes(scale), sharing.scorings(scale)]
    more += [optimum.exacts(scale), optimum.coupled(scale), optimum.agreements(scale)]
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
