"""The tables of one scale: saved apart from the published ones, redrawn without training."""

import json
import shutil
from dataclasses import replace

import pandas as pd
import pytest

from padalib.benchmarks import truth
from padalib.engine import launch, paths
from padalib.engine.identity import identity
from padalib.engine.runs import Run, RunError, versions
from padalib.ranking.scores import ScoreConfig, sample
from padalib.study import claims, scales
from padalib.study.workbook import Workbook
from padalib.train import TrainConfig

TRAIN = [
    TrainConfig(method, seed=seed, data="digits-small", epochs=2, batch=256)
    for seed in (0, 1)
    for method in ("SPOS", "PA")
]
SCORES = [ScoreConfig(config, images=64) for config in TRAIN[:2]]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A project of one's own; runs are computed in this process."""
    kept = paths.project_root() / "data" / "truth"
    monkeypatch.setattr(paths, "project_root", lambda: tmp_path)
    shutil.copytree(kept, tmp_path / "data" / "truth")
    monkeypatch.setattr(launch, "grid", lambda configs, _: [Run(c).compute() for c in configs])
    return tmp_path


def book(study="smoke", redraw=False):
    found = Workbook("smoke", redraw)
    found.scale = scales.get(study) if isinstance(study, str) else study
    return found


def publish(folder):
    (folder / "data/results").mkdir(parents=True, exist_ok=True)
    (folder / "build/smoke/results").rename(folder / "data/results/smoke")


def test_a_table_holds_the_rows_of_its_runs_after_their_origin(folder):
    found = book().table("training", TRAIN, source="curves")
    assert list(found)[:5] == ["method", "seed", "trained_on", "run", "epoch"]
    assert found.epoch.tolist() == [1, 2] * 4
    for config in TRAIN:
        run = Run(config)
        rows = found[found.run == run.key]
        assert set(rows.method) == {config.method.name} and set(rows.seed) == {config.seed}
        assert rows.loss.tolist() == run.table("curves").loss.tolist()
    assert pd.read_csv(folder / "build/smoke/results" / "training.csv").equals(found)


def test_a_table_of_scores_names_the_method_of_the_training():
    found = book().table("scores", SCORES)
    assert found.groupby("method").size().to_dict() == {"PA": 85, "SPOS": 85}


def test_runs_stand_side_by_side_with_a_table_of_whose_they_are(folder, monkeypatch):
    def right(rows):
        return (rows.accuracy * rows.images / 100).round().astype(int)

    asked = "scores", SCORES, "scores", "code", right
    runs, values = book().side_by_side(*asked)
    assert runs.method.tolist() == ["SPOS", "PA"] and list(values) == runs.run.tolist()
    assert list(runs) == ["method", "seed", "trained_on", "run", "epoch", "split", "images"]
    for config in SCORES:
        run = Run(config)
        rows = run.table("scores")
        assert values.index.tolist() == rows.code.tolist()
        assert values[run.key].tolist() == [round(a * 64 / 100) for a in rows.accuracy]
    assert set(registered(folder).run) == set(runs.run)  # though no table has a row of theirs
    publish(folder)
    monkeypatch.setattr(launch, "grid", lambda *_: pytest.fail("it trained"))
    again = book(redraw=True).side_by_side(*asked)
    assert again[0].equals(runs) and again[1].equals(values)


def test_runs_of_other_rows_do_not_stand_side_by_side():
    few = replace(SCORES[1], archs=5)
    with pytest.raises(ValueError, match=r"scores of PA .* has other rows than the others"):
        book().side_by_side("scores", [SCORES[0], few], "scores", "code", lambda rows: rows.loss)


def test_redraw_reads_the_published_table_and_computes_nothing(folder, monkeypatch):
    computed = book().table("curves", TRAIN[:1])
    publish(folder)
    monkeypatch.setattr(launch, "grid", lambda *_: pytest.fail("it trained"))
    monkeypatch.setenv("PADALIB_DATA", "/nowhere")
    assert book(redraw=True).table("curves", TRAIN[:1]).equals(computed)


def test_the_same_runs_give_the_same_bytes(folder):
    found = []
    for _ in range(2):
        book().table("curves", TRAIN)
        book().table("scores", SCORES)
        files = sorted((folder / "build/smoke/results").glob("*.csv"))
        found.append({path.name: path.read_bytes() for path in files})
    assert found[0] == found[1]
    assert list(found[0]) == ["curves.csv", "runs.csv", "scores.csv"]


def test_a_table_that_is_not_there_is_named(folder):
    path = folder / "data/results/smoke/curves.csv"
    words = f"no table {path} is published to redraw from: smoke is never published, so open it "
    with pytest.raises(RunError, match=words):
        book(redraw=True).table("curves", TRAIN)
    with pytest.raises(RunError, match="compute it with `make reproduce SCALE=cifar`"):
        Workbook("cifar", redraw=True).table("no such", TRAIN)


def test_a_table_of_nothing_is_refused_and_no_workers_are_passed_on(folder, monkeypatch):
    with pytest.raises(ValueError, match="table curves needs at least one config, got none"):
        book().table("curves", [])
    seen = []
    monkeypatch.setattr(launch, "grid", lambda configs, n: seen.append(n) or 1 / 0)
    for asked in (0, None, 3):
        with pytest.raises(ZeroDivisionError):
            Workbook("smoke", workers=2).table("curves", TRAIN, workers=asked)
    assert seen == [0, 2, 3]  # of 0 the grid says what is wrong


def registered(folder):
    return pd.read_csv(folder / "build/smoke/results" / "runs.csv")


def test_every_run_is_registered_once_with_identity_and_versions(folder):
    book().table("curves", TRAIN)
    book().table("scores", SCORES)
    book().table("curves again", TRAIN, source="curves")
    rows = registered(folder).set_index("run")
    configs = {Run(config).key: config for config in [*TRAIN, *SCORES]}
    assert sorted(rows.index) == sorted(configs)
    for key, config in configs.items():
        row = rows.loc[key]
        assert json.loads(row.identity) == json.loads(json.dumps(identity(config)))
        assert row.label == config.label
        assert row[list(versions())].to_dict() == versions()


def test_runs_that_no_table_holds_any_more_are_forgotten(folder):
    book().table("curves", TRAIN)
    book().table("scores", SCORES)
    book().table("curves", TRAIN[2:])
    kept = {Run(config).key for config in [*TRAIN[2:], *SCORES]}
    assert set(registered(folder).run) == kept


def test_a_table_of_means_over_runs_may_lie_beside(folder):
    book().save("ranking", pd.DataFrame({"method": ["PA"], "tau": [0.5]}))
    book().table("curves", TRAIN[:1])
    assert set(registered(folder).run) == {Run(TRAIN[0]).key}


def test_a_reference_is_the_truth_of_the_ranked_architectures(folder):
    study = scales.get("smoke")
    rows = book(study).reference()
    known = truth.load("mini")
    assert rows.code.tolist() == [study.space.code(arch) for arch in study.space.classes()]
    assert rows.accuracy.tolist() == known.accuracy("test")[rows.code].tolist()
    ceiling = known.agreement("test", rows.code)
    assert rows.iloc[7][["ceiling", "ceiling_low", "ceiling_high"]].tolist() == list(ceiling)
    said = rows[["ceiling_basis", "source", "dataset", "split"]].drop_duplicates()
    assert said.values.tolist() == [["agreement of 3 seeds", known.source, "digits", "test"]]


def test_a_reference_is_redrawn_without_any_truth_table(folder, monkeypatch):
    study = replace(scales.get("smoke"), ranked=10)
    rows = book(study).reference()
    assert rows.code.tolist() == [study.space.code(a) for a in sample(study.space, 10)]
    publish(folder)
    monkeypatch.setattr(truth, "load", lambda *_, **__: pytest.fail("it read the truth"))
    assert book(study, redraw=True).reference().equals(rows)


def test_a_reference_of_another_data_set_warns(folder):
    study = replace(scales.get("smoke"), data="cifar10-16")
    with pytest.warns(UserWarning, match="cifar10"):
        book(study).reference()


def test_what_is_said_of_configs_becomes_columns(folder):
    rows = book().table("curves", TRAIN, columns=lambda c: {"nodes": c.space.nodes + c.seed})
    assert rows.nodes.tolist() == [TRAIN[0].space.nodes + seed for seed in rows.seed]
    publish(folder)
    assert book(redraw=True).table("curves", []).equals(rows)


def test_an_architecture_trained_alone_is_no_method(folder):
    config = replace(TRAIN[0], arch=(3, 2, 1), epochs=1, keep=())
    assert set(book().table("alone", [config], source="curves").method) == {"alone"}


# --- what it refuses, and the space beside ---


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"scale": "huge"}, "unknown scale 'huge'"),
        ({"redraw": "false"}, "redraw must be True or False, got 'false'"),
        ({"redraw": 1}, "redraw must be True or False, got 1"),
        ({"workers": "two"}, "workers must be a whole number or None, got 'two'"),
        ({"workers": True}, "workers must be a whole number or None, got True"),
    ],
)
def test_what_only_looks_like_a_wish_is_refused(given, words):
    with pytest.raises(ValueError, match=words):
        Workbook(**{"scale": "smoke"} | given)


def test_the_space_beside_writes_under_names_of_its_own(folder):
    main = book()
    (other,) = main.beside
    assert other.scale.space.name == "chain-mini" and other.beside == []
    main.save("numbers", pd.DataFrame({"a": [1]}))
    other.save("numbers", pd.DataFrame({"a": [2]}))
    claim = claims.of("04.ranks", "It ranks", 0.1, [claims.Interval(0.05, 0.2, "seeds", 3)], "so")
    other.conclude("04", [replace(claim, figure="04_ranking")])
    files = sorted(path.name for path in (folder / "build/smoke/results").glob("*.csv"))
    assert files == ["claims_04_chain.csv", "numbers.csv", "numbers_chain.csv"]
    (found,) = claims.read(folder / "build/smoke/results").values()
    assert (found.key, found.figure) == ("04.ranks_chain", "04_ranking_chain")
    assert found.statement == "It ranks (`chain-mini`)"
    publish(folder)
    assert book(redraw=True).beside[0].published("numbers").a.tolist() == [2]
