"""Images: the pinned bytes, honest splits, batches against a loop, the stream of indices."""

import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from padalib.data import ImageSet
from padalib.data import images as files
from padalib.data import sets as data
from padalib.engine import paths
from padalib.samplers import Shuffled
from padalib.study import scales

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


@pytest.mark.parametrize("use", [data.load, data.check, data.fingerprint])
def test_unknown_data_set_names_the_known(use):
    with pytest.raises(FileNotFoundError, match=r"no data set 'mnist'.*names digits, ") as raised:
        use("mnist")
    _, _, named = str(raised.value).partition("or one of the names ")
    used = {each.data for each in scales.SCALES.values()}
    assert {*data.DATASETS, *files.CIFAR} | used <= set(re.findall(r"[\w-]+", named))


@pytest.mark.parametrize("use", [data.load, data.check, data.fingerprint])
def test_a_folder_with_the_name_of_a_set_of_the_workbook_is_not_passed_over(use):
    photos("digits-small")
    words = "digits-small has images, but 'digits-small' is the name .*: rename the folder"
    with pytest.raises(ValueError, match=words):
        use("digits-small")
    data.check("digits")


# --- photographs ---


def photos(name, seed=0):
    """A folder of random photographs: 3 classes, 40 to train and 20 to test."""
    pixels = np.random.RandomState(seed).randint(0, 256, (60, 8, 8, 3)).astype(np.uint8)
    for k, image in enumerate(pixels):
        place = paths.data_root() / name / ("train", "test")[k >= 40] / f"class {k % 3}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{k}.png")


def album(monkeypatch, sizes, side=2, seed=0):
    """Random photographs, so many of each class; what `images.load` gives, in random order."""
    raw = {}
    for split in ("train", "test"):
        labels = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
        labels = labels[torch.randperm(len(labels), generator=rng(seed))]
        shape = (len(labels), 3, side, side)
        pixels = torch.randint(256, shape, generator=rng(seed + len(split)), dtype=torch.uint8)
        raw[split] = pixels, labels
    monkeypatch.setattr(files, "load", lambda name: raw)
    return raw


def tiles(images):
    """(label, bytes) of each image."""
    return [
        (int(label), image.numpy().tobytes())
        for image, label in zip(images.images, images.labels, strict=True)
    ]


def test_a_tenth_of_each_class_is_held_out(monkeypatch):
    album(monkeypatch, sizes := [100, 94, 96, 7, 14, 16, 2, 35])
    sets = data.photographs("album")
    held = [10, 9, 10, 1, 1, 2, 1, 4]  # 3.5 to the even neighbour
    assert sets["valid"].labels.bincount().tolist() == held
    assert sets["train"].labels.bincount().tolist() == [
        n - k for n, k in zip(sizes, held, strict=True)
    ]
    assert sets["test"].labels.bincount().tolist() == sizes


def test_no_photograph_is_in_two_splits_and_none_is_lost(monkeypatch):
    raw = album(monkeypatch, [50, 30, 20])
    sets = data.photographs("album")
    assert list(sets) == list(data.SPLITS)
    train, valid, test = (tiles(sets[split]) for split in data.SPLITS)
    assert len({*train, *valid, *test}) == len(train) + len(valid) + len(test) == 200
    both = replace(sets["train"], images=raw["train"][0], labels=raw["train"][1])
    assert sorted(train + valid) == sorted(tiles(both))
    assert torch.equal(sets["test"].images, raw["test"][0])
    # The first of each class in the order of the hash, which stays the order of each split.
    for label in range(3):
        own = [tile for tile in tiles(both) if tile[0] == label]
        held = [tile for tile in valid if tile[0] == label]
        assert held == own[: len(held)]
        assert [tile for tile in train if tile[0] == label] == own[len(held) :]
    assert [tile for tile in tiles(both) if tile in valid] == valid


def test_photographs_are_normalised_by_their_training_split(monkeypatch):
    album(monkeypatch, [40, 40])
    sets = data.photographs("album")
    pixels = sets["train"].images.double() / 255
    for images in sets.values():
        assert images.mean == pytest.approx(pixels.mean((0, 2, 3)).tolist(), rel=1e-12)
        deviation = pixels.transpose(0, 1).flatten(1).std(1, correction=0)
        assert images.std == pytest.approx(deviation.tolist(), rel=1e-12)
    x, _ = sets["train"].batch(torch.arange(len(sets["train"])))
    assert x.mean((0, 2, 3)).abs().max() < 1e-5
    assert (x.transpose(0, 1).flatten(1).std(1, correction=0) - 1).abs().max() < 1e-5


def test_moments_by_hand():
    pixels = torch.tensor([0, 255, 255, 0, 51, 51, 51, 51], dtype=torch.uint8).view(2, 1, 2, 2)
    both = torch.cat([pixels, torch.full_like(pixels, 204)], dim=1)
    (mean, other), (std, constant) = data._moments(both)
    assert mean == pytest.approx(0.35, rel=1e-14) and other == pytest.approx(0.8, rel=1e-14)
    assert std == pytest.approx(0.1475**0.5, rel=1e-14)  # .27 - .35**2
    assert constant == 1


def test_a_channel_of_one_value_is_centred_and_not_scaled(monkeypatch):
    photographs = album(monkeypatch, [40, 40])
    photographs["train"][0][:, 1] = 51
    sets = data.photographs("album")
    assert sets["test"].std[1] == 1 and min(sets["test"].std) > 0.2
    x, _ = sets["train"].batch(torch.arange(len(sets["train"])))
    assert x.isfinite().all() and x[:, 1].abs().max() < 1e-6
    x, _ = sets["test"].batch(torch.arange(80))  # where it may vary
    wanted = sets["test"].images[:, 1] / 255 - 0.2
    torch.testing.assert_close(x[:, 1], wanted, rtol=0, atol=1e-6)


def test_grey_photographs_may_be_of_one_value(monkeypatch):
    monkeypatch.setattr(data.images, "load", lambda name: raw([0, 0, 1, 1], [1, 5, 2, 5]))
    sets = data.photographs("grey")
    assert sets["train"].std == (1, 1, 1)
    assert sets["train"].batch(torch.arange(2))[0].abs().max() < 1e-6


@pytest.mark.parametrize("name", ["digits-small", "folder-of-photographs", "folder-of-those-4"])
def test_train_and_valid_together(name):
    if name != "digits-small":
        photos(name.removesuffix("-4"))
    data.check(name)
    sets = data.load(name)
    assert list(sets) == [*data.SPLITS, data.WHOLE] and data.WHOLE == "train+valid"
    train, valid, whole = sets["train"], sets["valid"], sets[data.WHOLE]
    assert all(images.name == f"{name}/{split}" for split, images in sets.items())
    assert torch.equal(whole.images, torch.cat([train.images, valid.images]))
    assert torch.equal(whole.labels, torch.cat([train.labels, valid.labels]))
    assert (whole.mean, whole.std) == (train.mean, train.std)
    assert not set(tiles(whole)) & set(tiles(sets["test"]))
    if name != "digits-small":
        assert (len(train), len(valid), len(sets["test"])) == (37, 3, 20)
        assert whole.images.shape[2:] == ((4, 4) if name.endswith("-4") else (8, 8))


def test_another_data_root_holds_other_photographs(monkeypatch, tmp_path):
    photos("garden")
    first, here = data.fingerprint("garden"), paths.data_root()
    digits = data.load("digits")
    monkeypatch.setenv("PADALIB_DATA", str(tmp_path / "elsewhere"))
    for use in (data.load, data.fingerprint):
        with pytest.raises(FileNotFoundError, match=f"{tmp_path}/elsewhere/garden/train"):
            use("garden")
    photos("garden", seed=1)
    assert data.fingerprint("garden") != first
    assert data.load("digits") is digits  # made once: no data root matters to them
    monkeypatch.setenv("PADALIB_DATA", str(here))
    assert data.fingerprint("garden") == first and data.load("garden") is data.load("garden")


def test_a_folder_of_the_very_name_goes_before_a_size_once_it_is_there():
    photos("park")
    small = data.load("park-4")
    photos("park-4", seed=1)
    assert small["test"].images.shape == (20, 3, 4, 4)
    assert data.load("park-4")["test"].images.shape == (20, 3, 8, 8)


def test_the_fingerprint_of_photographs_sees_splits_and_size(monkeypatch):
    album(monkeypatch, [20, 20])
    one = data.fingerprint("an-album")
    album(monkeypatch, [20, 20], side=4)
    assert data.fingerprint("a-larger-album") != one
    album(monkeypatch, [20, 20], seed=1)
    assert data.fingerprint("another-album") != one
    album(monkeypatch, [20, 20])
    assert data.fingerprint("the-first-album-again") == one


@pytest.mark.parametrize("name", [*data.DATASETS, "cifar10", "cifar100", "cifar10-16", "garden-8"])
def test_a_check_reads_and_downloads_nothing(name, monkeypatch):
    (paths.data_root() / "garden" / "test").mkdir(parents=True)

    def used(*arguments):
        raise AssertionError("something was read")

    for place, attribute in (
        (files, "load"), (files, "_cached"), (files, "_torchvision"), (files, "_listing"),
        (data, "load"),
    ):  # fmt: skip
        monkeypatch.setattr(place, attribute, used)
    assert data.check(name) is None
    assert [path.name for path in paths.data_root().iterdir()] == ["garden"]


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


@pytest.mark.parametrize("n", [13, 0, -1, 2.0, True])
def test_more_images_than_there_are_are_refused(colour, n):
    words = f"images of {colour.name} must be a whole number from 1 to 12, got {n}"
    with pytest.raises(ValueError, match=words):
        colour.first(n)
    assert len(colour.first(12)) == len(colour.first(torch.tensor([3]).numpy()[0])) + 9 == 12


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


@pytest.mark.parametrize("side", [1, 2, 3, 4, 9])
def test_cutout_hides_a_square_after_all_else(colour, side):
    index = torch.randint(12, (64,), generator=rng(3))
    x, _ = colour.batch(index, rng(1), 1, True, side)
    generator = rng(1)
    whole, _ = colour.batch(index, generator, 1, True)  # whose draws are the same
    h, w = whole.shape[2:]
    rows, columns = (torch.randint(n, (64, 1), generator=generator).flatten() for n in (h, w))
    for image, plain, row, column in zip(x, whole, rows.tolist(), columns.tolist(), strict=True):
        top, left = row - side // 2, column - side // 2
        wanted = plain.clone()
        wanted[:, max(0, top) : max(0, top + side), max(0, left) : max(0, left + side)] = 0
        assert torch.equal(image, wanted)


@pytest.mark.parametrize("options", [{}, {"crop": 1, "flip": True}])
def test_batch_is_channels_last_and_leaves_the_set_alone(colour, options):
    before = colour.images.clone()
    x, _ = colour.batch(torch.arange(6), rng(), **options)
    assert x.shape == (6, 3, 5, 7) and x.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(colour.images, before)


@pytest.mark.parametrize("options", [{"crop": 1}, {"flip": True}, {"cutout": 2}])
def test_augmentation_needs_a_generator(colour, options):
    with pytest.raises(ValueError, match="crop, flip and cutout need a generator"):
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


def raw(labels, pixels):
    """Training images of one grey value each, and as many test images."""
    images = torch.tensor(pixels, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 8, 8)
    return {split: (images.contiguous(), torch.tensor(labels)) for split in ("train", "test")}


def test_a_class_with_nothing_left_to_learn_from_is_refused(monkeypatch):
    monkeypatch.setattr(data.images, "load", lambda name: raw([0, 0, 0, 1], [1, 2, 3, 4]))
    with pytest.raises(ValueError, match="class 1 of tiny"):
        data.photographs("tiny")


def test_twins_are_held_out_together(monkeypatch):
    pixels = [5, 5, 5, 6, 7, 8, 9, 10, 11, 12]
    monkeypatch.setattr(data.images, "load", lambda name: raw([0] * 10, pixels))
    sets = data.photographs("twins")
    assert len(sets["valid"]) == 3 and len(sets["train"]) == 7
    assert set(sets["valid"].images.unique().tolist()) == {5}


def test_many_copies_do_not_take_a_class_into_what_is_held_out(monkeypatch):
    """The cut goes to the nearer end of the copies, which may be their beginning."""
    copies = [1] + [5] * 6 + [7, 8, 9] + [10] * 20
    monkeypatch.setattr(data.images, "load", lambda name: raw([0] * 30, copies))
    assert data.photographs("copies")["valid"].images.unique().tolist() == [1]
    monkeypatch.setattr(data.images, "load", lambda name: raw([0] * 10, [5] * 8 + [6, 7]))
    with pytest.raises(ValueError, match=r"10 training images, 8 of them cop.*most of them"):
        data.photographs("copies")
