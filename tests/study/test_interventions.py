"""The interventions: what is trained, and what is made of tables with known answers."""

from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional as F

from padalib import data, spaces
from padalib.engine.runs import Run
from padalib.ranking import metrics
from padalib.ranking.report import Ranked
from padalib.study import claims, interventions, scales
from padalib.study.interventions import END, IMAGES, MIDDLE, STEPS, plots
from padalib.study.interventions import slopes as intervened
from padalib.train import Trainer

SPACE = spaces.get("mini")
CODES = tuple(SPACE.code(arch) for arch in SPACE)
CLASSES = tuple(SPACE.code(SPACE.canonical(arch)) for arch in SPACE)
ORDER = np.random.default_rng(0).permutation(sorted(set(CLASSES)))
RANKED = Ranked(SPACE, CODES, np.array([float(list(ORDER).index(one)) for one in CLASSES]))
VARIANTS = [
    (64, 1, STEPS),
    *((size, 1, rule) for size in (16, 256) for rule in (STEPS, IMAGES)),
    *((64, group, rule) for group in (2, 4) for rule in (STEPS, IMAGES)),
]


def variance(size, group):
    """Of the mean gradient: a quarter from the path, the rest from 64 images."""
    return (0.25 + 0.75 * 64 / size) / group


def probes(seeds=5, total=variance):
    rows = []
    for (size, group, rule), seed, at in product(VARIANTS, range(seeds), (MIDDLE, END)):
        mean = total(size, group) * (1 if at == MIDDLE else 3)
        row = {"size": size, "group": group, "rule": rule, "seed": seed, "at": at}
        row |= {"part": "all", "weights": "raw", "total": mean * group**2}  # of the sum
        row |= {"path": 0.25 * mean * group**2, "data": 0.75 * mean * group**2, "signal": 0.1}
        rows.append(row | {"path_share": 0.25, "signal_to_noise": 0.1})
        rows.append(row | {"part": "fixed", "total": -1.0, "path_share": 0.0})
    return pd.DataFrame(rows)


def scores(spread, seeds=5):
    """Scores that see the truth through noise of `spread(variance, rule)`, each seed its own."""
    rows = []
    for (size, group, rule), seed in product(VARIANTS, range(seeds)):
        rng = np.random.default_rng(seed)
        noise = dict(zip(sorted(set(CLASSES)), rng.normal(size=85), strict=True))
        seen = RANKED.true + spread(variance(size, group), rule) * np.array(
            [noise[one] for one in CLASSES]
        )
        named = {"size": size, "group": group, "rule": rule, "seed": seed}
        rows.append(pd.DataFrame({"code": CODES, "accuracy": seen, "loss": -seen}).assign(**named))
    return pd.concat(rows)


def analyse(spread, seeds=5, total=variance):
    return intervened.analyse(probes(seeds, total), scores(spread, seeds), RANKED)


def claimed(found):
    return {claim.key: claim for claim in found.claims}


# --- runs ---


def test_variants_are_spos_at_equal_images_or_equal_steps(monkeypatch):
    monkeypatch.setattr(data, "fingerprint", lambda name: name)
    scale = scales.get("interventions")
    found = interventions.variants(scale)
    assert len(found) == len(set(found)) == 1 + (3 + 1) + (4 + 2)
    runs = interventions.trainings(scale)
    assert len({Run(config).key for config in runs}) == len(runs) == 11 * len(scale.seeds)
    assert scale.seeds == (5, 6, 7, 8, 9)
    plain = scale.training("SPOS", 5)
    assert Run(interventions.variant(scale, 5, 64)).key == Run(plain).key
    wanted = {  # size, group: images of a step beside SPOS's
        (16, 1): 1 / 4, (32, 1): 1 / 2, (128, 1): 2, (256, 1): 4, (64, 2): 2, (64, 4): 4,
    }  # fmt: skip
    assert {each[:2] for each in found if each[2] == IMAGES} == set(wanted)
    assert {each[:2] for each in found[1:] if each[2] == STEPS} == {
        key for key, times in wanted.items() if times <= 2
    }
    for (size, group), times in wanted.items():
        for rule in (IMAGES, STEPS):
            config = interventions.variant(scale, 5, size, group, rule)
            scaled, longer = (times, 1) if rule == IMAGES else (1, times)
            # Of the mean gradient: rate, clip, decay. The distance, rate x steps, is one for all.
            assert config.lr * group == pytest.approx(0.1 * scaled) and config.batch == size
            assert config.epochs == 20 * longer and config.keep == (10 * longer // 1,)
            assert config.clip / group == plain.clip
            assert config.weight_decay / group == plain.weight_decay
            assert config.momentum == plain.momentum
            steps = config.epochs * 45_000 / (size * group)
            assert config.lr * group * steps == pytest.approx(0.1 * 20 * 45_000 / 64)
            assert config.method.paths.build(config.space, 4).group == group
    level = interventions.level(scale)
    probed = interventions.probes(scale)
    assert len(probed) == len(set(probed)) == 2 * len(runs)
    assert [level(probe)["at"] for probe in probed] == [MIDDLE, END] * len(runs)
    for probe in probed:
        whole = probe.train.epochs
        assert probe.epoch == {MIDDLE: whole // 2, END: whole}[level(probe)["at"]]
    told = [tuple(level(scoring).values()) for scoring in interventions.scorings(scale)]
    assert told == [(*each, END) for each in found] * len(scale.seeds)
    assert {s.images for s in interventions.scorings(scale)} == {None}


def test_equal_steps_that_are_no_whole_epochs_are_refused():
    words = r"1 paths of 48 images at the steps of 2 epochs of 64 images take 1\.5 epochs"
    with pytest.raises(ValueError, match=words):
        interventions.variant(scales.get("smoke"), 0, 48)


def test_a_scale_that_varies_nothing_has_no_runs():
    assert interventions.configs(scales.get("laptop")) == []


def test_the_sum_of_a_group_is_the_mean_at_its_rate_clip_and_decay_included():
    """Three steps of the run as configured, beside plain torch on the mean gradient."""
    scale = replace(scales.get("smoke"), lr=0.5)
    config = replace(interventions.variant(scale, 0, 64, 2, IMAGES), clip=0.2 * 2)
    ours, plain = Trainer(config), Trainer(config)
    net = plain.net
    mean = torch.optim.SGD(
        net.parameters(), lr=0.5 * 2, momentum=config.momentum, weight_decay=2.5e-4
    )
    ours.net.train(), net.train()
    for _ in range(3):
        ours.step(ours.paths.draw(ours.generators["paths"]))
        archs = plain.paths.draw(plain.generators["paths"])
        index = plain.data.draw(config.batch, plain.generators["data"])
        x, y = plain.images.batch(index, plain.generators["augment"], config.crop, config.flip)
        mean.zero_grad()
        torch.stack([F.cross_entropy(net(x, arch), y) for arch in archs]).mean().backward()
        norm = torch.nn.utils.clip_grad_norm_(net.parameters(), 0.2)
        assert norm > 0.2  # clipping does something
        mean.step()
    for one, other in zip(ours.net.parameters(), net.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


# --- tables ---


def test_variance_is_that_of_the_mean_gradient_of_all_weights():
    rows = intervened.of_mean(probes())
    own = rows[rows["at"] == MIDDLE].set_index(["size", "group", "rule", "seed"])
    for size, group, rule in VARIANTS:
        assert own.total[size, group, rule, 0] == pytest.approx(variance(size, group))
    steps = intervened.beside(rows).set_index(["size", "group", "rule", "at"])
    assert steps.change[64, 1, STEPS, MIDDLE] == steps.change[64, 1, STEPS, END] == 1
    assert steps.change[64, 4, IMAGES, END] == pytest.approx(0.25)
    assert steps.change[16, 1, STEPS, MIDDLE] == pytest.approx(3.25)


def test_spos_is_in_every_family_and_rules_are_kept_apart():
    rows = pd.DataFrame(VARIANTS, columns=interventions.KEYS)
    assert interventions.usual(rows) == 64
    found = {
        name: list(interventions.members(rows, name).itertuples(index=False, name=None))
        for name in interventions.FAMILIES
    }
    plain = (64, 1, STEPS)
    assert all(plain in own for own in found.values())
    assert set(found["paths, equal images"]) == {plain, (64, 2, IMAGES), (64, 4, IMAGES)}
    assert set(found["batches, equal steps"]) == {plain, (16, 1, STEPS), (256, 1, STEPS)}
    both = {*found["batches, equal images"], *found["paths, equal images"]}
    assert set(found["equal images"]) == both


def test_slopes_are_least_squares_within_seeds():
    found = analyse(lambda noise, rule: 10 * noise if rule == STEPS else 5.0)
    rows = found.slopes.set_index(["family", "by", "outcome"])
    table = scores(lambda noise, rule: 10 * noise if rule == STEPS else 5.0)
    slopes = []
    for seed in range(5):
        own = table[(table.seed == seed) & (table.rule == STEPS)]
        points = [
            (np.log2(64 / size / group), metrics.tau(-each.loss.to_numpy(), RANKED.true))
            for (size, group), each in own.groupby(["size", "group"])
        ]
        slopes.append(-np.polyfit(*np.transpose(points), 1)[0])  # for each halving
    row = rows.loc["equal steps", "loss", "tau"]
    assert row.difference == pytest.approx(np.mean(slopes)) and row.seeds == 5
    planned = found.slopes[found.slopes.planned & (found.slopes.outcome != "between_seeds")]
    assert set(zip(planned.family, planned.by, planned.outcome, strict=True)) == {
        (family, by, outcome)
        for family in ("equal steps", "equal images")
        for outcome, by in (("tau", "loss"), ("within_flops", "accuracy"))
    }
    assert planned.holm.tolist() == pytest.approx(claims.holm(planned.p.tolist()))


# --- claims ---


def test_noise_that_follows_the_variance_is_shown_and_noise_that_does_not_is_equivalent():
    by = claimed(analyse(lambda noise, rule: 10 * noise if rule == STEPS else 10 * 1.0))
    assert by["08.lower_tau_steps"].verdict == claims.SHOWN
    assert by["08.lower_within_flops_steps"].verdict == claims.SHOWN
    assert by["08.lower_between_seeds_steps"].verdict == claims.SHOWN
    same = by["08.lower_tau_images"]
    assert same.verdict == claims.EQUIVALENT and same.effect == pytest.approx(0, abs=1e-12)
    assert same.bound == pytest.approx(0.01)
    assert "batches alone" in same.evidence and "paths alone" in same.evidence


def test_more_variance_that_ranks_better_is_the_opposite():
    by = claimed(analyse(lambda noise, rule: 10 / noise))
    assert by["08.lower_tau_steps"].verdict == claims.OPPOSITE
    assert by["08.lower_between_seeds_images"].verdict == claims.OPPOSITE


def shrinking(size, group):
    """A variance that is what was set."""
    return 64 / size / group


def test_whether_what_is_set_lasts_is_told_from_what_is_measured():
    found = analyse(lambda noise, rule: 10.0, total=shrinking)
    rows = found.lasting.set_index(["what", "family", "at"]).change
    pairs = set(product(interventions.FAMILIES, (MIDDLE, END)))
    assert set(rows["variance"].index) == set(rows["noise"].index) == pairs
    assert rows["variance"].tolist() == pytest.approx([1.0] * len(pairs))
    for (family, _), noise in rows["noise"].items():  # where the rate is scaled, it cancels
        assert noise == pytest.approx(0 if family.endswith("images") else 1, abs=1e-12)


@pytest.mark.parametrize(
    "power, verdict", [(0.8, claims.SHOWN), (0.2, claims.OPPOSITE), (-1, claims.OPPOSITE)]
)
def test_half_of_what_is_set_has_to_last(power, verdict):
    found = analyse(lambda noise, rule: 10.0, total=lambda *key: shrinking(*key) ** power)
    for key in ("08.lasts_variance_steps", "08.lasts_variance_images"):
        claim = claimed(found)[key]
        assert claim.effect == pytest.approx(power) and claim.verdict == verdict
        assert "batches alone" in claim.evidence and "over 5 seeds" in claim.evidence


def test_a_scaled_rate_takes_the_noise_of_the_weights_back():
    by = claimed(analyse(lambda noise, rule: 10.0, total=shrinking))
    assert by["08.lasts_variance_images"].verdict == claims.SHOWN
    assert by["08.lasts_noise_images"].verdict == claims.OPPOSITE
    assert by["08.lasts_noise_images"].effect == pytest.approx(0, abs=1e-12)
    assert "08.lasts_noise_steps" not in by  # the same as the variance


def test_the_dose_is_what_is_set_and_not_what_is_measured():
    """Measured variance that came back to what it was changes no slope."""
    noisy = {"spread": lambda noise, rule: 10 * noise}
    lasting, gone = analyse(**noisy), analyse(**noisy, total=lambda size, group: 1.0)
    pd.testing.assert_frame_equal(lasting.slopes, gone.slopes)
    doses = dict(lasting.runs.groupby(["size", "group"]).doublings.first())
    assert doses == {(64, 1): 0, (16, 1): 2, (256, 1): -2, (64, 2): -1, (64, 4): -2}


def test_agreement_is_judged_by_leaving_out_seeds_and_needs_three():
    found = analyse(lambda noise, rule: 10 * noise)
    rows = found.slopes[found.slopes.outcome == "between_seeds"]
    assert set(rows.family) == set(interventions.FAMILIES) and set(rows.seeds) == {5}
    assert (rows.seeds_low < rows.difference).all() and (rows.difference > 0).all()
    planned = rows[rows.planned]
    assert set(planned.family) == set(interventions.PLANNED) and set(planned.by) == {"loss"}
    assert planned.holm.tolist() == pytest.approx(claims.holm(planned.p.tolist()))
    two = analyse(lambda noise, rule: 10 * noise, seeds=2)
    assert "between_seeds" not in set(two.slopes.outcome)


def test_the_figure_shows_every_family():
    found = analyse(lambda noise, rule: 10 * noise)
    figure = plots.draw(found)
    assert len(figure.axes) == 6
    names = [text.get_text() for text in figure.legends[0].texts]
    assert names == ["SPOS", *plots.LOOKS]
    assert len(figure.axes[-1].get_yticklabels()) == 6
    assert "(equal steps)" in plots.caption(found, "interventions")
