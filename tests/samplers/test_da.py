"""Draws by weight: exact however many images, from one generator, never of what has no weight."""

import itertools

import pytest
import torch

from padalib.samplers import GradNormData
from padalib.samplers.da import categorical


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def twice(n):
    """DA at its ninth of ten epochs, the second half of the images with twice the score."""
    sampler = GradNormData(n, 10)
    sampler.scores = torch.ones(n)
    sampler.scores[n // 2 :] = 2
    sampler.new_epoch(9)
    return sampler


@pytest.mark.parametrize("n", [10**6, 4_200_000])
def test_half_the_images_with_half_the_weight_come_as_often_as_they_should(n):
    index = twice(n).draw(n, rng())
    share = (index < n // 2).double().mean().item()
    # 0.9 / 3 + 0.1 / 2, of n draws: four standard deviations.
    assert share == pytest.approx(0.35, abs=4 * (0.35 * 0.65 / n) ** 0.5)
    tenths = torch.histc(index.double(), 10, 0, n) / n
    wanted = torch.tensor([0.07] * 5 + [0.13] * 5, dtype=torch.float64)
    assert (tenths - wanted).abs().max() < 5 * (0.13 * 0.87 / n) ** 0.5


def test_more_images_than_float32_can_count():
    n = 2**24 + 1000
    q = torch.zeros(n)
    q[-500:] = 1e-7
    q[7] = 1e-4
    index = categorical(q, 3000, rng())
    assert set(index.tolist()) <= {7, *range(n - 500, n)}
    share = (index == 7).double().mean().item()
    assert share == pytest.approx(1e-4 / 1.5e-4, abs=4 * (2 / 9 / 3000) ** 0.5)
    uniform = categorical(torch.full((n,), 1 / n), 2000, rng(1))
    assert uniform.double().mean().item() / n == pytest.approx(0.5, abs=4 / (12 * 2000) ** 0.5)
    assert int(uniform.max()) > 0.99 * n > 0.01 * n > int(uniform.min())


def plainly(q, size, generator):
    """One by one, in Python's own floats."""
    spots = torch.rand(size, generator=generator, dtype=torch.float64).tolist()
    found = []
    for spot in spots:
        left = spot * sum(q)
        ends = itertools.accumulate(q)
        found.append(next(k for k, end in enumerate(ends) if left < end))
    return found


@pytest.mark.parametrize("q", [[1.0], [0.0, 2.0, 0.0, 1.0, 5.0, 0.0], [3.0] * 7, [1e-30, 1e-31]])
def test_draws_are_those_of_a_plain_loop(q):
    for seed in range(5):
        found = categorical(torch.tensor(q), 50, rng(seed))
        assert found.dtype == torch.int64
        assert found.tolist() == plainly(torch.tensor(q).double().tolist(), 50, rng(seed))


def test_a_spot_at_the_very_end_belongs_to_the_last_that_has_weight(monkeypatch):
    def rand(size, **_):
        return torch.full((size,), 1.0, dtype=torch.float64)  # as rounding can make it

    monkeypatch.setattr(torch, "rand", rand)
    assert categorical(torch.tensor([0.3, 0.7, 0.1, 0.0, 0.0]), 2, rng()).tolist() == [2, 2]


def test_draws_follow_the_generator_alone():
    q, state = torch.rand(1000, generator=rng(1)), torch.get_rng_state()
    one = categorical(q, 500, rng(3))
    assert torch.equal(one, categorical(q.double(), 500, rng(3)))
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(one, categorical(q, 500, rng(4)))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_weights_on_a_device_draw_the_same():
    q = torch.rand(1000, generator=rng(1))
    found = categorical(q.cuda(), 500, rng(3))
    assert found.device.type == "cpu" and torch.equal(found, categorical(q, 500, rng(3)))


@pytest.mark.parametrize("q", [[], [0, 0], [1, -0.1], [1, float("nan")], [float("inf"), 1]])
def test_weights_that_are_none_are_refused(q):
    with pytest.raises(ValueError, match="must be finite, none below 0 and not all 0"):
        categorical(torch.tensor(q, dtype=torch.float32), 3, rng())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_scores_that_are_not_finite_do_not_become_uniform(value):
    sampler = GradNormData(5, 4)
    sampler.scores = torch.tensor([1.0, value, 2.0, value, 1.0])
    with pytest.raises(ValueError, match="gradient norms of 2 images are not finite: training has"):
        sampler.new_epoch(2)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_images_and_the_first_epoch_are_as_uniform_as_they_can_be(n):
    sampler, generator = GradNormData(n, 4), rng()
    sampler.new_epoch(0)
    counts = sampler.draw(3000, generator).bincount(minlength=n)
    assert (counts / 3000 - 1 / n).abs().max() < 0.04
    shuffled = GradNormData(n, 4, first="shuffled")
    shuffled.new_epoch(0)
    assert sorted(shuffled.draw(n, generator).tolist()) == list(range(n))


def test_options_of_another_type_are_refused():
    with pytest.raises(ValueError, match="importance must be True or False, got 'no'"):
        GradNormData(9, 1, importance="no")


def test_a_stream_goes_on_where_it_was_saved():
    whole, cut, generator = twice(1000), twice(1000), rng()
    whole.draw(300, generator)
    state, again = whole.state(), rng()
    again.set_state(generator.get_state())
    cut.restore(state)
    assert torch.equal(whole.draw(2500, generator), cut.draw(2500, again))
