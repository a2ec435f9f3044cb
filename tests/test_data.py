"""Images: the pinned bytes, honest splits, batches against a loop, the stream of indices."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from padalib import data
from padalib.data import ImageSet
from padalib.samplers import Shuffled

FINGERPRINT = "facd5c1637d42840c8918edfbdb1a8077d8570a4eecfcf631cbbd6c9c4d2ac0d"


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def colour():
    """Twelve images of 3 channels, 5 pixels high and 7 wide."""
    images = torch.randint(1, 256, (12, 3, 5, 7), generator=rng(), dtype=torch.uint8)
    return ImageSet("colour", images, torch.arange(12) % 4, (0.5, 0.25, 0.0), (0.5, 2.0, 1.0))


# --- the digits ---


def test_the_bytes_of_the_digits_are_pinned():
    assert data.fingerprint("digits") == FINGERPRINT


def test_splits_of_the_digits():
    digits = data.load("digits")
    assert [len(digits[split]) for split in data.SPLITS] == [8000, 2000, 4000]
    for split, images in digits.items():
        assert images.images.shape == (len(images), 1, 16, 16)
        assert images.images.dtype == torch.uint8 and images.name == f"digits/{split}"
        counts = Counter(images.labels.tolist())
        assert sorted(counts) == list(range(10))
        assert min(counts.values()) > len(images) / 15
    train = digits["train"].images / 255
    for images in digits.values():  # the other splits are normalised by the training split's
        assert images.mean == pytest.approx([train.mean().item()], abs=1e-5)
        assert images.std == pytest.approx([train.std().item()], abs=1e-4)


def test_no_source_digit_serves_two_splits(monkeypatch):
    given = []

    def compose(rng, pixels, labels, size):
        given.append([image.tobytes() for image in pixels])
        assert len(labels) == len(pixels)

    monkeypatch.setattr(data, "_compose", compose)
    monkeypatch.setattr(data, "_normalised", lambda name, drawn: drawn)
    assert list(data.cluttered_digits()) == ["train", "valid", "test"]
    assert [len(own) for own in given] == [1078, 359, 360]
    assert len(set().union(*given)) == sum(map(len, given)) == 1797


class NoNoise(np.random.RandomState):
    def standard_normal(self, size=None):
        return np.zeros(size)


def test_composition_is_one_whole_digit_among_fragments_of_other_classes():
    labels = np.arange(20) % 10  # two source digits of each class, each of its own grey level
    levels = 12 * np.arange(1, 21)
    pixels = np.ones((20, 8, 8)) * levels[:, None, None] / 255
    canvas, found = data._compose(NoNoise(0), pixels, labels, 400)
    assert canvas.shape == (400, 16, 16) and canvas.dtype == np.uint8
    fragments = Counter()
    for image, label in zip(canvas, found, strict=True):
        own = Counter(image[np.isin(image, levels[labels == label])].tolist())
        assert list(own.values()) == [64]  # the digit whole, and nothing else of its class
        rows, cols = np.nonzero(image == next(iter(own)))
        assert np.ptp(rows) == np.ptp(cols) == 7
        others = set(image.ravel().tolist()) - set(own) - {0}
        assert others <= set(levels)
        fragments[len(others)] += 1
    assert max(fragments) == 6 and fragments[0] == 0


def test_noise_has_its_deviation():
    grey, labels = np.full((2, 8, 8), 0.5), np.arange(2)
    clean, _ = data._compose(NoNoise(0), grey, labels, 100)
    noisy, _ = data._compose(np.random.RandomState(0), grey, labels, 100)  # the same but for noise
    noise = (noisy.astype(float) - clean)[clean == 128] / 255  # grey is 3.3 deviations from a clip
    assert len(noise) > 6400
    assert noise.mean() == pytest.approx(0, abs=0.01) and noise.std() == pytest.approx(
        0.15, abs=0.005
    )


def test_another_seed_draws_other_digits():
    assert data.cluttered_digits(1)["test"].fingerprint != data.load("digits")["test"].fingerprint


def test_small_digits_are_the_first_of_the_digits():
    small, whole = data.load("digits-small"), data.load("digits")
    assert [len(small[split]) for split in data.SPLITS] == [512, 256, 256]
    for split in data.SPLITS:
        assert torch.equal(small[split].images, whole[split].images[: len(small[split])])
        assert small[split].mean == whole[split].mean
    assert data.fingerprint("digits-small") != FINGERPRINT


def test_unknown_data_set_names_the_known():
    with pytest.raises(
        ValueError, match=r"unknown data set 'mnist': choose .*digits, digits-small"
    ):
        data.load("mnist")


# --- one image set ---


@pytest.mark.parametrize(
    "fields, names",
    [
        ({"images": torch.zeros(12, 3, 5, 7)}, r"images must be uint8 .* got torch.float32"),
        ({"images": torch.zeros(12, 5, 7, dtype=torch.uint8)}, r"\[N, C, H, W\], got .*12, 5, 7"),
        ({"labels": torch.zeros(12, dtype=torch.int32)}, r"int64 \[12\], got torch.int32"),
        ({"labels": torch.zeros(11, dtype=torch.long)}, r"int64 \[12\], got torch.int64 \(11,\)"),
        ({"labels": torch.zeros(12, 1, dtype=torch.long)}, r"got torch.int64 \(12, 1\)"),
        ({"mean": (0.5,)}, "each of 3 channels"),
        ({"std": (1.0, 1.0)}, "each of 3 channels"),
    ],
)
def test_fields_that_do_not_fit_are_named(colour, fields, names):
    with pytest.raises(ValueError, match=names):
        replace(colour, **fields)


def test_first_keeps_images_with_their_labels(colour):
    few = colour.first(5)
    assert len(few) == 5 and len(colour) == 12
    assert torch.equal(few.images, colour.images[:5]) and few.labels.tolist() == [0, 1, 2, 3, 0]
    assert (few.mean, few.std) == (colour.mean, colour.std)


@pytest.mark.parametrize("change", ["pixel", "label", "shape"])
def test_fingerprint_sees_every_change(colour, change):
    images, labels = colour.images.clone(), colour.labels.clone()
    if change == "pixel":
        images[3, 1, 2, 4] += 1
    elif change == "label":
        labels[3] += 1
    else:
        images = images.reshape(12, 3, 7, 5)
    assert replace(colour, images=images, labels=labels).fingerprint != colour.fingerprint
    assert replace(colour, images=colour.images.clone()).fingerprint == colour.fingerprint


# --- batches ---


def test_batch_is_normalised_by_hand(colour):
    index = torch.tensor([7, 0, 7])
    x, y = colour.batch(index)
    assert y.tolist() == [3, 0, 3] and x.dtype == torch.float32
    for channel, (mean, std) in enumerate(zip(colour.mean, colour.std, strict=True)):
        wanted = (colour.images[index, channel].double() / 255 - mean) / std
        torch.testing.assert_close(x[:, channel].double(), wanted, rtol=0, atol=1e-6)


def one_by_one(images, index, generator, crop, flip):
    """The batch as a loop over images that replays the draws: all flips, then all shifts."""
    b, (_, _, h, w) = len(index), images.images.shape
    mirrored = torch.randint(2, (b, 1), generator=generator).flatten().tolist() if flip else [0] * b
    shifts = torch.zeros(2, b, dtype=torch.long) + crop
    if crop:
        shifts = torch.randint(2 * crop + 1, (2, b, 1), generator=generator).squeeze(2)
    batch = []
    for k, n in enumerate(index.tolist()):
        image = images.images[n]
        padded = torch.zeros(image.shape[0], h + 2 * crop, w + 2 * crop, dtype=torch.uint8)
        padded[:, crop : crop + h, crop : crop + w] = image
        top, left = shifts[:, k].tolist()
        image = padded[:, top : top + h, left : left + w]
        batch.append(image.flip(2) if mirrored[k] else image)
    pixels = torch.stack(batch).float() / 255
    mean, std = torch.tensor(images.mean), torch.tensor(images.std)
    return (pixels - mean[:, None, None]) / std[:, None, None]


@pytest.mark.parametrize("crop, flip", [(0, False), (2, False), (0, True), (1, True), (4, True)])
def test_batch_is_that_of_a_plain_loop(colour, crop, flip):
    index = torch.randint(12, (64,), generator=rng(3))
    x, y = colour.batch(index, rng(1), crop, flip)
    wanted = one_by_one(colour, index, rng(1), crop, flip)
    torch.testing.assert_close(x, wanted, rtol=0, atol=1e-6)
    assert torch.equal(y, colour.labels[index])


def test_augmentation_takes_every_shift_and_both_directions(colour):
    x, _ = colour.batch(torch.zeros(400, dtype=torch.long), rng(), crop=1, flip=True)
    assert len({image.numpy().tobytes() for image in x}) == 18  # 3 x 3 shifts, mirrored or not
    x, _ = colour.batch(torch.zeros(4, dtype=torch.long), rng(), flip=True)
    assert torch.equal(colour.batch(torch.zeros(4, dtype=torch.long), rng(), flip=True)[0], x)


@pytest.mark.parametrize("options", [{}, {"crop": 1, "flip": True}])
def test_batch_is_channels_last_and_leaves_the_set_alone(colour, options):
    before = colour.images.clone()
    x, _ = colour.batch(torch.arange(6), rng(), **options)
    assert x.shape == (6, 3, 5, 7) and x.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(colour.images, before)


@pytest.mark.parametrize("options", [{"crop": 1}, {"flip": True}])
def test_augmentation_needs_a_generator(colour, options):
    with pytest.raises(ValueError, match="crop and flip need a generator"):
        colour.batch(torch.arange(2), **options)


# --- the stream of indices ---


def test_every_image_once_before_any_comes_again():
    data_sampler, generator = Shuffled(10, epochs=2), rng()
    drawn = torch.cat([data_sampler.draw(4, generator) for _ in range(10)])  # 4 rounds of 10
    rounds = drawn.view(4, 10)
    assert all(sorted(one) == list(range(10)) for one in rounds.tolist())
    assert len({tuple(one) for one in rounds.tolist()}) == 4  # in a new order each time


def test_a_batch_larger_than_the_set_goes_round():
    drawn = Shuffled(3, epochs=1).draw(8, rng())
    assert drawn.shape == (8,) and sorted(Counter(drawn.tolist()).values()) == [2, 3, 3]


def test_stream_goes_on_where_it_was_saved():
    whole, cut, generator = Shuffled(10, epochs=1), Shuffled(10, epochs=1), rng()
    whole.draw(4, generator)
    state = whole.state()
    cut.restore(state)
    assert state["stream"].untyped_storage().nbytes() == 6 * 8  # not the view's whole storage
    again = rng()
    again.set_state(generator.get_state())
    assert torch.equal(whole.draw(9, generator), cut.draw(9, again))
