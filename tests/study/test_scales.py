"""Scales: their configs without any data, the paper's own setting, machines too small for one."""

import re
from dataclasses import replace

import pandas as pd
import pytest
import torch

from padalib import data, samplers, spaces
from padalib.benchmarks import truth
from padalib.data import images
from padalib.engine import launch, paths
from padalib.engine.identity import describe
from padalib.engine.runs import Run
from padalib.study import controls as study_controls
from padalib.study import limits, optimum, ranking, relation, scales, sharing, training, variance
from padalib.study import scale as scale_module
from padalib.study.scale import TIMED, Scale
from padalib.study.sharing import CANDIDATES
from padalib.study.workbook import Workbook
from padalib.train import Trainer

PAPERS = ("paper", "paper-cifar100")
# Without those that rank what is listed in a truth table.
TRAINING = [name for name, own in scales.SCALES.items() if own.methods and not own.listed]
SMALL = replace(spaces.get("nasbench201"), channels=2, cells=1, size=8)


@pytest.fixture(autouse=True)
def bare_machine(monkeypatch):
    """No GPU, no data and no wishes."""
    for name in ("PADALIB_DEVICE", "PADALIB_FORCE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture
def seconds(monkeypatch):
    """Sets what a step takes; without it, to time one is an error."""

    def install(value):
        monkeypatch.setattr(Scale, "step_seconds", lambda self: value)

    monkeypatch.setattr(Scale, "step_seconds", lambda self: pytest.fail("timed a step"))
    return install


# --- configs ---


def probed(scale):
    """Trainings whose steps are sums of gradients, which is what the variance probe looks at."""
    return [config for config in scale.trainings() if config.method.update.cls.summed]


@pytest.mark.parametrize("name", TRAINING)
def test_configs_are_made_without_reading_anything(name, monkeypatch):
    def read(*arguments):
        raise AssertionError("something was read")

    for place, attribute in (
        (images, "load"), (images, "_torchvision"), (images, "_cached"), (data, "load"),
        (data, "fingerprint"),
    ):  # fmt: skip
        monkeypatch.setattr(place, attribute, read)
    scale = scales.get(name)
    few = {(name, s) for name in scale.secondary for s in scale.seeds[: scale.secondary_seeds]}
    wanted = {(method, seed) for method in scale.methods for seed in scale.seeds} | few
    runs = len(wanted)
    assert len(scale.trainings()) == len(set(scale.trainings())) == runs
    assert {(c.method.name, c.seed) for c in scale.trainings()} == wanted
    early = ranking.scorings(scale, final=False)
    assert len(early) == runs * (1 + len(scale.keep))
    assert len(variance.probes(scale)) == len(probed(scale)) * (1 + len(scale.keep))
    assert training.kept(scale) == (early if scale.keep else [])
    assert len(ranking.configs(scale)) == runs
    assert len(training.timings(scale)) == len(scale.methods)
    assert len(limits.wholes(scale)) == len(scale.whole)
    assert len(limits.alones(scale)) == scale.alone
    assert len(scale.ranked_archs()) == (scale.ranked or len(scale.space.classes()))
    for study in (training, ranking, relation, limits):
        assert scale.notebooks or study.__name__.rpartition(".")[2] in scale.studies
        assert {config.device for config in study.configs(scale)} <= {"cpu"}
    assert not paths.data_root().exists()


@pytest.mark.parametrize("name", TRAINING)
def test_configs_agree_with_one_another(name):
    scale = scales.get(name)
    trainings = scale.trainings()
    for config in trainings:
        assert (config.data, config.space) == (scale.data, scale.space)
        assert config.train_split == scale.train_split != scale.rank_split
        assert set(config.keep) == {*scale.keep, *scale.exact_epochs}
        assert config.arch is None
        assert config.method.zero_grad == scale.zero_grad
        plain = samplers.get(config.method.name)
        assert config.method == replace(plain, zero_grad=scale.zero_grad)
    assert [scoring.train for scoring in ranking.scorings(scale)] == trainings
    for scoring in (*ranking.scorings(scale), *limits.wholes(scale), *limits.alones(scale)):
        assert scoring.splits == (scale.rank_split,) and scoring.batch == scale.rank_batch
        assert scoring.images == scale.rank_images
        assert scoring.epoch == scoring.train.epochs
    assert {scoring.archs for scoring in ranking.scorings(scale)} == {scale.ranked}
    for early in ranking.scorings(scale, final=False):
        assert early.images == (scale.images or scale.rank_images)
    last = [probe for probe in variance.probes(scale) if probe.epoch == scale.epochs]
    assert [probe.train for probe in last] == probed(scale)
    assert {probe.paths for probe in last} == {scale.final_paths}
    assert {probe.paths for probe in variance.probes(scale) if probe not in last} <= {scale.paths}
    for scoring, method in zip(limits.wholes(scale), scale.whole, strict=True):
        assert scoring.train == scale.training(method, scale.seeds[0])
        assert scoring.archs is None and scoring.train in trainings


@pytest.mark.parametrize("name", ["smoke", "laptop", "cifar"])
def test_studies_ask_for_what_their_notebooks_read(name):
    scale = scales.get(name)
    assert set(training.configs(scale)) >= {*scale.trainings(), *training.kept(scale)}
    assert set(relation.configs(scale)) == {*variance.probes(scale), *ranking.scorings(scale)}
    assert not set(training.configs(scale)) & set(training.timings(scale))  # these run alone
    assert set(limits.configs(scale)) == {*limits.wholes(scale), *limits.alones(scale)}


@pytest.mark.parametrize("name", ["smoke", "laptop", "cifar"])
def test_supernets_that_share_more_are_trained_alike_and_ranked_on_convolutions(name):
    scale = scales.get(name)
    runs = sharing.supernets(scale)
    found = [(c.space.extent, len(c.space.ops), c.seed) for c in runs]
    levels = {(extent, 2) for extent in scale.extents} | {(1, k) for k in scale.candidates}
    assert len(found) == len(set(found)) == len(levels) * len(scale.seeds)
    assert set(found) == {(*level, seed) for level in levels for seed in scale.seeds}
    assert scale.extents[-1] == len(scale.space.edges)  # all edges share at the end
    bare = {"name": "", "ops": spaces.OPS, "extent": 1}
    for config in runs:
        own = replace(scale.training("SPOS", config.seed), epochs=1, keep=())
        assert replace(config, epochs=1, keep=(), space=own.space) == own
        assert replace(config.space, **bare) == replace(scale.space, **bare)
        assert set(config.space.ops) <= set(scale.space.ops)
    for count, ops in enumerate(CANDIDATES, start=1):
        assert len(ops) == count and list(ops) == [op for op in spaces.OPS if op in ops]
        assert count == 1 or set(spaces.CONVS) <= set(ops)
    epochs = (*scale.sharing_keep, scale.sharing_epochs)
    assert [(p.train, p.epoch) for p in sharing.probes(scale)] == [
        (config, epoch) for config in runs for epoch in epochs
    ]
    scored = [config for config in runs if len(config.space.ops) > 1]
    assert [(s.train, s.epoch) for s in sharing.scorings(scale)] == [
        (config, epoch) for config in scored for epoch in epochs
    ]
    assert {s.archs for s in sharing.scorings(scale)} == {spaces.CONVS}


def test_all_operations_to_choose_from_is_the_scales_own_supernet():
    changes = {"extents": (), "candidates": (5,), "sharing_epochs": 20, "sharing_keep": ()}
    scale = replace(scales.get("cifar"), **changes)
    assert sharing.supernets(scale) == [scale.training("SPOS", seed) for seed in scale.seeds]


@pytest.mark.parametrize("name", ["smoke", "laptop"])
def test_exact_probes_are_of_runs_that_the_scale_has(name):
    scale = scales.get(name)
    trainings = scale.trainings()
    exacts, coupled = optimum.exacts(scale), optimum.coupled(scale)
    assert len(exacts) == len(scale.exact) * len(scale.seeds) * len(scale.exact_epochs)
    assert [c.statistics for c in coupled] == ["frozen", "batch"] * len(scale.exact)
    assert len({c.images for c in coupled}) == 1  # the same population, or they do not compare
    for config in (*exacts, *coupled, *optimum.agreements(scale)):
        assert config.train in trainings and config.images <= scale.exact_images
        config.train.check_kept(config.epoch)
    assert {c.epoch for c in coupled} == {scale.exact_epochs[-1]} == {scale.epochs}
    assert {c.seeds for c in optimum.agreements(scale)} == {scale.agreement_seeds}


# --- cifar ---


def test_cifar_compares_all_methods_and_controls_with_enough_of_everything():
    scale = scales.get("cifar")
    assert set(scale.methods) <= set(samplers.METHODS) and len(scale.methods) == 10
    assert len(set(scale.seeds)) == len(scale.seeds) >= 5
    assert scale.ranked >= 1000
    assert set(scale.whole) <= set(scale.methods)
    assert (scale.data, scale.truth) == ("cifar10-16", "cifar10")
    assert scale.space == replace(spaces.get("nasbench201"), channels=8, cells=1, size=16)
    assert (scale.train_split, scale.rank_split) == ("train", "valid")
    assert scale.on_gpu and not scale.needs_gpu


# --- the paper's own setting ---


@pytest.mark.parametrize("name, labels", [("paper", 10), ("paper-cifar100", 100)])
def test_the_paper_scale_is_the_released_recipe(name, labels):
    scale = scales.get(name)
    assert scale.data == scale.truth == f"cifar{labels}"
    assert scale.space == replace(
        spaces.get("nasbench201"), conv_bias=True, classes_out=labels, channels=16, cells=5,
        size=32, skeleton="residual", in_channels=3, extent=1,
    )  # fmt: skip
    assert scale.seeds == (0, 1, 2)
    recipe = {
        "epochs": 250, "batch": 256, "lr": 0.05, "momentum": 0.9, "weight_decay": 2.5e-4,
        "clip": 5.0, "crop": 4, "flip": True, "bn": "batch", "precision": "float32",
        "train_split": "train+valid",  # all 50,000
        "keep": (),  # the last checkpoint
    }  # fmt: skip
    for config in scale.trainings():
        assert {field: getattr(config, field) for field in recipe} == recipe
        assert config.method.zero_grad
    for scoring in ranking.scorings(scale):  # all architectures, on all 10,000 test images
        assert (scoring.splits, scoring.batch, scoring.images) == (("test",), 512, None)
        assert scoring.archs is None
    assert len(scale.ranked_archs()) == 9445
    assert {"SPOS", "PA&DA", "curriculum"} <= set(scale.methods)


def test_torch_17s_zero_grad_is_in_the_runs_identity(monkeypatch):
    monkeypatch.setattr(data, "fingerprint", lambda name: "")
    paper = scales.get("paper")
    with_it, without = paper.training("PA&DA", 0), replace(paper, zero_grad=False)
    assert describe(with_it)["method"]["zero_grad"] is True
    assert Run(with_it).key != Run(without.training("PA&DA", 0)).key


def test_zeros_that_a_method_drops_are_refused_by_the_scale():
    smoke = scales.get("smoke")
    with pytest.raises(ValueError, match=r"smoke leaves .* \(zero_grad\), and SUMNAS drops them"):
        replace(smoke, zero_grad=True, methods=("SPOS", "SUMNAS"))
    assert replace(smoke, zero_grad=True).training("SPOS", 0).method.zero_grad


# --- devices ---


def test_a_scale_takes_a_gpu_only_where_it_wants_one(monkeypatch):
    assert {scales.get(name).device for name in scales.SCALES} == {"cpu"}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    found = {name: scales.get(name).device for name in scales.SCALES}
    wanted = {"smoke": "cpu", "laptop": "cpu", "cifar": "cuda"} | dict.fromkeys(PAPERS, "cuda")
    assert found.items() >= wanted.items() and set(found.values()) == {"cpu", "cuda"}
    assert {c.device for c in ranking.scorings(scales.get("cifar"))} == {"cuda"}
    monkeypatch.setenv("PADALIB_DEVICE", "cpu")
    assert {scales.get(name).device for name in scales.SCALES} == {"cpu"}
    monkeypatch.setenv("PADALIB_DEVICE", "cuda:0")
    assert scales.get("smoke").training("SPOS", 0).device == "cuda:0"


def test_a_gpu_asked_for_and_absent_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("PADALIB_DEVICE", "cuda")
    asked = scales.get("smoke").trainings()
    with pytest.raises(ValueError, match="'cuda' asked for, but torch sees no CUDA device"):
        launch.grid(asked)


# --- a machine that is too small ---


@pytest.mark.parametrize("name", PAPERS)
def test_the_paper_scale_is_refused_without_a_gpu_and_says_how_long_it_would_take(name, seconds):
    seconds(200.0)
    with pytest.raises(ValueError) as error:
        scales.get(name).check_machine()
    runs, steps = 9, 250 * 50_000 / 256
    days = f"{runs * steps * 200 / 86400:,.0f}"
    assert days == "1,017"
    for words in (
        f"scale {name} is made for a GPU", f"{runs} trainings", f"about {days} days",
        "200.0 s a step", "PADALIB_FORCE=1", "torch sees none",
    ):  # fmt: skip
        assert words in str(error.value)


def test_the_estimate_grows_with_the_work(seconds):
    seconds(1000.0)
    paper, found = scales.get("paper"), []
    for scale in (paper, replace(paper, epochs=500), replace(paper, batch=512)):
        with pytest.raises(ValueError) as error:
            scale.check_machine()
        found.append(int(re.search(r"about ([\d,]+) days", str(error.value))[1].replace(",", "")))
    assert found == [5086, 10173, 2543]


def test_force_a_gpu_or_another_device_let_it_start(monkeypatch, seconds):
    paper = scales.get("paper")
    with monkeypatch.context() as patch:
        patch.setenv("PADALIB_FORCE", "1")
        paper.check_machine()
    with monkeypatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: True)
        paper.check_machine()
        patch.setenv("PADALIB_DEVICE", "cpu")
        seconds(1.0)
        for off in ("", "0"):
            patch.setenv("PADALIB_FORCE", off)
            with pytest.raises(ValueError, match="made for a GPU, and PADALIB_DEVICE asks for"):
                paper.check_machine()
    monkeypatch.setenv("PADALIB_DEVICE", "cuda:0")
    paper.check_machine()


@pytest.mark.parametrize("name", ["smoke", "laptop", "cifar"])
def test_scales_for_a_cpu_start_without_timing(name, seconds):
    scales.get(name).check_machine()


def test_steps_are_timed_forward_and_backward_on_one_thread(monkeypatch):
    scale = replace(scales.get("paper"), space=SMALL, batch=4)
    seen, built = [], scale_module.build

    def build(config):
        net = built(config)
        net.stem.register_forward_hook(
            lambda _, given, y: seen.append((tuple(given[0].shape), torch.get_num_threads()))
        )
        net.stem[0].weight.register_hook(lambda grad: seen.append("backward"))
        return net

    monkeypatch.setattr(scale_module, "build", build)
    state, ticks = torch.get_rng_state(), iter((10.0, 16.0))
    monkeypatch.setattr(scale_module.time, "perf_counter", lambda: next(ticks))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert scale.step_seconds() == 6.0 / TIMED
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    forward = [entry for entry in seen if entry != "backward"]
    assert forward == [((4, 3, 8, 8), 1)] * TIMED
    assert seen.count("backward") >= 1  # a random path may be cut off
    assert torch.equal(torch.get_rng_state(), state)


def test_an_unknown_scale_is_refused():
    with pytest.raises(ValueError, match="unknown scale 'huge': choose one of smoke, laptop"):
        scales.get("huge")


@pytest.mark.parametrize("name", TRAINING)
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
    kept = 1 + len(scale.keep)
    cell = isinstance(scale.space, spaces.CellSpace)  # only its edges share in degrees
    shared = (sharing.supernets, sharing.probes, sharing.scorings) if cell else ()
    more = [study(scale) for study in shared]
    more += [optimum.exacts(scale), optimum.coupled(scale), optimum.agreements(scale)]
    runs = len(scale.methods) * len(scale.seeds)
    runs += len(scale.secondary) * len(scale.seeds[: scale.secondary_seeds])
    assert [len(part) for part in parts] == [runs, len(probed(scale)) * kept, runs, runs * kept]
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


# --- the contrasts that decide ---


def test_yoked_runs_replay_another_seed_of_the_scale_two_and_two():
    scale = replace(scales.get("controls"), seeds=(5, 6, 7, 8, 9))
    found = {seed: scale.training("yoked PA", seed).replay for seed in scale.seeds}
    assert {seed: run.seed for seed, run in found.items()} == {5: 6, 6: 5, 7: 8, 8: 7, 9: 5}
    assert all(run == scale.training("PA", run.seed) for run in found.values())
    with pytest.raises(ValueError, match="none to pair 4 with"):
        scale.training("yoked PA", 4)
    with pytest.raises(ValueError, match="none to pair 5 with"):
        replace(scale, seeds=(5,)).training("yoked PA", 5)


def test_the_contrasts_are_on_seeds_that_no_constant_was_chosen_on():
    controls = scales.get("controls")
    for scale in (controls, *controls.beside):
        assert not set(scale.seeds) & set(scales.get("cifar").seeds)
        assert set(controls.seeds) <= set(scale.seeds) and len(set(scale.seeds)) >= 6
        assert scale.rank_images is None  # all that are held out
    same = replace(scales.get("cifar"), seeds=controls.seeds)
    assert controls.trainings() == [
        (same if method != "yoked PA" else controls).training(method, seed)
        for seed in controls.seeds
        for method in controls.methods
    ]


# --- a truth that knows a part of a space ---


@pytest.fixture
def listed(monkeypatch):
    """A scale whose truth knows three architectures, two of which were trained as one."""
    codes = ("3-0-0", "0-0-3", "1-2-3")
    table = pd.DataFrame(
        {"valid_acc": [50.0, 50.0, 70.0], "trained": ["a", "a", "b"]}, pd.Index(codes, name="code")
    )
    known = truth.Truth("mini", "digits", table, "a sample")
    monkeypatch.setattr(truth, "load", lambda space, dataset: known)
    scale_module._listed.cache_clear()
    yield replace(scales.get("smoke"), listed=True, ranked=None)
    scale_module._listed.cache_clear()


def test_a_listed_scale_ranks_one_of_each_training(listed):
    assert listed.ranked_archs() == [(3, 0, 0), (1, 2, 3)]
    config = listed.training("SPOS", listed.seeds[0])
    scoring = listed.scoring(config)
    assert (scoring.codes, scoring.archs) == (("3-0-0", "1-2-3"), None)
    assert listed.scoring(config, archs=5).codes is None
    alone = replace(config, arch=(1, 2, 3), keep=())
    assert listed.scoring(alone).codes is None


def test_its_reference_is_what_the_truth_knows_by_validation(listed, tmp_path):
    book = Workbook("smoke")
    book.scale, book.folder = listed, tmp_path
    reference = book.reference()
    assert list(reference.code) == ["3-0-0", "1-2-3"] and list(reference.accuracy) == [50.0, 70.0]
    assert set(reference.split) == {"valid"} and reference.ceiling.isna().all()


def test_a_listed_scale_draws_none_at_random():
    with pytest.raises(ValueError, match=r"is listed .* and ranks 5 random architectures"):
        replace(scales.get("smoke"), listed=True, ranked=5)


def test_secondary_methods_run_on_the_first_seeds_only(monkeypatch):
    monkeypatch.setattr(data, "fingerprint", lambda name: name)
    controls = scales.get("controls")
    names = ("DA", "size-curriculum", "matched-curriculum", "balanced", "sbs", "FairNAS")
    names += ("bootstrap", "shuffled-data")
    more = replace(controls, seeds=tuple(range(5, 21)), secondary=names)
    runs = more.trainings()
    assert len(runs) == len(set(runs)) == 5 * 16 + 8 * 8
    seeds = {name: [c.seed for c in runs if c.method.name == name] for name in ("PA", "sbs")}
    assert seeds == {"PA": list(range(5, 21)), "sbs": list(range(5, 13))}
    plain = replace(more, secondary=())
    assert [config for config in runs if config.method.name not in names] == plain.trainings()
    scored = [scoring.train for scoring in study_controls.configs(more)]
    assert set(scored) == set(runs) and len({Run(config).key for config in runs}) == len(runs)
    few = replace(more, secondary_seeds=3)
    assert len(few.trainings()) == 5 * 16 + 8 * 3
    # A method of the primary contrasts has all seeds, wherever it is named.
    named = replace(more, methods=("SPOS", "PA"), secondary=("curriculum", "sbs"))
    found = [config.train for config in study_controls.configs(named)]
    assert len(found) == len(set(found)) == 5 * 16 + 8
    conv = replace(controls.beside[0], secondary=("size-curriculum",))
    assert len(study_controls.configs(conv)) == 2 * len(conv.seeds) + min(8, len(conv.seeds))


def test_secondary_methods_are_named_once_and_for_studies_that_match_seeds():
    controls = scales.get("controls")
    with pytest.raises(ValueError, match="has PA among its methods and among the secondary ones"):
        replace(controls, secondary=("PA", "sbs"))
    with pytest.raises(ValueError, match="studies controls, across can compare, and runs budget"):
        replace(scales.get("budget"), secondary=("DA",))


def test_the_estimate_counts_secondary_methods_with_their_seeds(seconds):
    seconds(100.0)
    scale = replace(scales.get("controls"), needs_gpu=True, secondary=("DA",), secondary_seeds=2)
    with pytest.raises(ValueError, match=f"the {5 * len(scale.seeds) + 2} trainings would take"):
        scale.check_machine()


def test_a_notebook_runs_where_it_has_something_to_show():
    for name, scale in scales.SCALES.items():
        assert scales.runs(scale, "02") == bool(scale.exact), name
        assert scales.runs(scale, "08") == bool(scale.batch_sizes), name
