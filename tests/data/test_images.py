"""Photographs: from a folder or torchvision alike, cached once, and all that is wrong named."""

import io
import os
import pickle
import shutil
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from padalib.data import images
from padalib.engine import paths


def noise(n, side=8, seed=0):
    """Random pixels [n, side, side, 3]."""
    return np.random.RandomState(seed).randint(0, 256, (n, side, side, 3)).astype(np.uint8)


def save(place, pixels, name):
    """One file below the data root."""
    path = paths.data_root() / place / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def picnic(name="picnic", seed=0, side=8):
    """Two classes, three images each to train and two to test; (split, label, pixels) of each."""
    every, pixels = [], iter(noise(10, side, seed))
    for split, n in (("train", 3), ("test", 2)):
        for label, kind in enumerate(("ant", "bee")):
            for k in range(n):
                every.append((split, label, next(pixels)))
                save(f"{name}/{split}/{kind}", every[-1][2], f"{k}.png")
    return every


def listed(found):
    """What was loaded as a sorted list of (split, label, bytes [H, W, 3])."""
    return sorted(
        (split, int(label), image.permute(1, 2, 0).numpy().tobytes())
        for split, (pixels, labels) in found.items()
        for image, label in zip(pixels, labels, strict=True)
    )


def equal(one, two):
    assert list(one) == list(two) == ["train", "test"]
    return all(
        torch.equal(a, b) for split in one for a, b in zip(one[split], two[split], strict=True)
    )


@pytest.fixture
def no_reading(monkeypatch):
    """Call it, and from then on no image may be opened."""

    def install():
        def opened(path):
            raise AssertionError(f"{path} was read")

        monkeypatch.setattr(images.Image, "open", opened)

    return install


# --- a folder ---


def test_a_folder_has_its_pixels_and_labels():
    every = picnic()
    found = images.load("picnic")
    assert listed(found) == sorted((split, label, p.tobytes()) for split, label, p in every)
    for split, n in (("train", 6), ("test", 4)):
        pixels, labels = found[split]
        assert pixels.shape == (n, 3, 8, 8) and pixels.dtype == torch.uint8
        assert labels.shape == (n,) and labels.dtype == torch.int64
        assert pixels.is_contiguous()


def test_labels_are_the_places_of_the_classes_in_the_alphabet():
    for kind in ("zebra", "ant", "Yak"):
        for split in ("train", "test"):
            save(f"zoo/{split}/{kind}", np.full((4, 4, 3), ord(kind[0]), np.uint8), "x.png")
    pixels, labels = images.load("zoo")["train"]
    kinds = [chr(value) for value in pixels[:, 0, 0, 0].tolist()]
    assert dict(zip(kinds, labels.tolist(), strict=True)) == {"Y": 0, "a": 1, "z": 2}


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".webp", ".PPM"])
def test_formats_without_loss_are_alike(suffix):
    for split in ("train", "test"):
        for k, pixels in enumerate(noise(3)):
            save(f"a/{split}/x", pixels, f"{k}.png")
            path = save(f"b/{split}/x", pixels, f"{k}.png").with_suffix("")
            with Image.open(f"{path}.png") as image:
                image.save(f"{path}{suffix}", lossless=True)
            if suffix != ".png":
                os.unlink(f"{path}.png")
    assert equal(images.load("a"), images.load("b"))


def test_order_is_as_good_as_random_and_ignores_file_names():
    every = picnic("a")
    for k, (split, label, pixels) in enumerate(every):
        save(f"b/{split}/{('ant', 'bee')[label]}", pixels, f"{len(every) - k}.png")
    one = images.load("a")
    assert equal(one, images.load("b"))
    for k, pixels in enumerate(noise(200, side=2, seed=1)):  # written in the order of the classes
        save(f"c/train/{k // 100}", pixels, f"{k}.png")
        save(f"c/test/{k // 100}", pixels, f"{k}.png")
    labels = images.load("c")["train"][1]
    assert 35 <= int(labels[:100].sum()) <= 65 and int(labels.sum()) == 100


def test_an_image_twice_is_held_twice():
    pixels = noise(1)[0]
    for split, kind, name in (
        ("train", "a", "1"), ("train", "a", "2"), ("train", "b", "1"), ("test", "a", "1"),
        ("test", "b", "1"),
    ):  # fmt: skip
        save(f"twins/{split}/{kind}", pixels, f"{name}.png")
    found = images.load("twins")
    assert found["train"][1].tolist() == [0, 0, 1] and len(found["test"][1]) == 2


def test_twins_of_different_classes_are_in_the_order_of_their_labels():
    pixels = noise(1).repeat(3, axis=0)
    assert images._ordered(pixels, np.array([2, 0, 1]))[1].tolist() == [0, 1, 2]


def test_hidden_files_and_stray_ones_beside_the_classes_do_not_count():
    picnic()
    before = images.load("picnic")
    root = paths.data_root() / "picnic"
    for place in ("train/ant/.DS_Store", "train/README", "LICENSE"):
        (root / place).write_text("not an image")
    assert equal(images.load("picnic"), before)


# --- its cache ---


def test_a_second_load_reads_no_image(no_reading):
    picnic()
    before = images.load("picnic")
    assert [path.name for path in (paths.data_root() / "cache").iterdir()] == ["picnic.pt"]
    no_reading()
    assert equal(images.load("picnic"), before)
    assert images.load("picnic-4")["test"][0].shape == (4, 3, 4, 4)  # of the same cache


def touch(path):
    """As if written later, whatever the clock's grain."""
    stamp = os.stat(path).st_mtime_ns + 10**9
    os.utime(path, ns=(stamp, stamp))


@pytest.mark.parametrize("change", ["pixels", "added", "removed", "class", "test"])
def test_a_change_on_disk_renews_the_cache(change):
    picnic()
    root = paths.data_root() / "picnic"
    before, (new,) = images.load("picnic"), noise(1, seed=9)
    if change == "pixels":
        path = root / "train" / "bee" / "1.png"
        times = path.stat()
        Image.fromarray(new).save(path)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        touch(path)
    elif change == "added":
        save("picnic/train/bee", new, "3.png")
    elif change == "removed":
        (root / "train" / "bee" / "1.png").unlink()
    elif change == "class":
        for split in ("train", "test"):
            (root / split / "bee").rename(root / split / "aardvark")
    else:
        save("picnic/test/ant", new, "3.png")
    after = images.load("picnic")
    assert listed(after) != listed(before)
    if change in ("pixels", "added", "test"):
        assert new.tobytes() in {pixels for _, _, pixels in listed(after)}
    shutil.rmtree(paths.data_root() / "cache")
    assert equal(after, images.load("picnic"))


def test_a_file_of_another_size_with_an_old_time_renews_the_cache():
    picnic()
    before = images.load("picnic")
    path = paths.data_root() / "picnic" / "train" / "bee" / "1.png"
    times = path.stat()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path)  # compresses well
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert path.stat().st_size != times.st_size
    assert listed(images.load("picnic")) != listed(before)


@pytest.mark.parametrize("damage", ["truncated", "garbage", "empty", "foreign", "split lost"])
@pytest.mark.parametrize("name", ["picnic", "cifar10"])
def test_a_damaged_cache_is_made_again(damage, name, monkeypatch, no_reading):
    picnic()
    tiny_cifar(monkeypatch, "CIFAR10")
    before = images.load(name)
    (cache,) = (paths.data_root() / "cache").iterdir()
    content = cache.read_bytes()
    if damage == "truncated":
        cache.write_bytes(content[: len(content) // 2])
    elif damage == "garbage":
        cache.write_bytes(b"x" * 1000)
    elif damage == "empty":
        cache.write_bytes(b"")
    elif damage == "foreign":
        torch.save([1, 2], cache)
    else:
        held = torch.load(cache)
        del held["test"]
        torch.save(held, cache)
    assert equal(images.load(name), before)
    no_reading()
    monkeypatch.delattr(torchvision.datasets, "CIFAR10")
    assert equal(images.load(name), before)  # from the cache made anew
    assert [path.name for path in cache.parent.iterdir()] == [cache.name]


def test_two_folders_do_not_share_a_cache(no_reading):
    one, two = picnic("a", seed=1), picnic("b", seed=2)
    for name, every in (("a", one), ("b", two)):
        assert listed(images.load(name)) == sorted((s, k, p.tobytes()) for s, k, p in every)
    no_reading()
    assert [listed(images.load(name)) for name in "ab"] == [
        sorted((s, k, p.tobytes()) for s, k, p in every) for every in (one, two)
    ]


# --- smaller images ---


def test_areas_are_averaged_by_hand():
    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[:2, :2, 0] = [[10, 20], [30, 41]]  # 25.25
    pixels[:2, 2:, 0] = [[255, 255], [255, 252]]  # 254.25
    pixels[2:, :2, 1] = [[1, 2], [2, 2]]  # 1.75
    pixels[2:, 2:, 2] = [[0, 1], [2, 3]]  # 1.5, to the even neighbour
    for split in ("train", "test"):
        save(f"grid/{split}/x", pixels, "1.png")
    whole, small = images.load("grid"), images.load("grid-2")
    for split in ("train", "test"):
        wanted = [[[25, 254], [0, 0]], [[0, 0], [2, 0]], [[0, 0], [0, 2]]]
        assert small[split][0].tolist() == [wanted] and small[split][0].dtype == torch.uint8
        assert torch.equal(whole[split][0][0].permute(1, 2, 0), torch.from_numpy(pixels))
    (one,) = images.load("grid-1")["train"][0]
    assert one.flatten().tolist() == [round(float(pixels[..., c].mean())) for c in range(3)]


def test_smaller_images_are_in_the_order_of_the_whole(monkeypatch):
    picnic()
    whole, small = images.load("picnic"), images.load("picnic-4")
    for split in ("train", "test"):
        pixels, labels = whole[split]
        means = pixels.double().reshape(-1, 3, 4, 2, 4, 2).mean((3, 5))
        assert (means - small[split][0]).abs().max() <= 0.5
        assert torch.equal(small[split][1], labels)
    assert equal(images.load("picnic-8"), whole)


def test_many_images_are_averaged_in_parts():
    pixels = torch.from_numpy(noise(4099, side=2)).permute(0, 3, 1, 2)
    found = images._resized("x", pixels, 1)
    assert found.shape == (4099, 3, 1, 1)
    assert torch.equal(found, pixels.double().mean((2, 3), keepdim=True).round().byte())


@pytest.mark.parametrize("size", [3, 16, 5, 0])
def test_a_size_that_does_not_divide_is_refused(size):
    picnic()
    words = rf"picnic has images of 8x8 pixels, .* {size}x{size}: pass a size that divides 8"
    with pytest.raises(ValueError, match=words):
        images.load(f"picnic-{size}")


def test_oblong_images_are_read_but_not_averaged():
    pixels = noise(1)[0][:, :6]
    for split in ("train", "test"):
        save(f"oblong/{split}/x", pixels, "1.png")
    assert images.load("oblong")["train"][0].shape == (1, 3, 8, 6)
    with pytest.raises(ValueError, match="8x6 pixels, which cannot be averaged to 4x4"):
        images.load("oblong-4")


def test_names_and_sizes():
    assert images.split_name("cifar10") == ("cifar10", None)
    assert images.split_name("cifar10-16") == ("cifar10", 16)
    assert images.split_name("my-own-set") == ("my-own-set", None)
    assert images.split_name("my-own-set-8") == ("my-own-set", 8)


def test_a_folder_of_the_very_name_goes_before_a_size(no_reading):
    picnic("album")
    whole, small = images.load("album"), images.load("album-4")
    every, root = picnic("album-4", seed=1), paths.data_root()
    assert images.find("album-4") == images.find("album-4-2") == root / "album-4"
    assert images.find("album-2") == root / "album"
    found = images.load("album-4")
    assert listed(found) == sorted((split, label, p.tobytes()) for split, label, p in every)
    no_reading()
    assert equal(images.load("album"), whole) and equal(images.load("album-4"), found)
    assert not equal(images.load("album-4-2"), images.load("album-2"))
    assert sorted(path.name for path in (root / "cache").iterdir()) == ["album-4.pt", "album.pt"]
    shutil.rmtree(root / "album-4")
    assert equal(images.load("album-4"), small)


def test_an_empty_folder_of_the_very_name_is_the_one_that_is_meant():
    picnic("photos")
    (paths.data_root() / "photos-2024").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no data set 'photos-2024'.*photos-2024/train/"):
        images.load("photos-2024")


# --- all that is wrong, at once ---


def problems(name):
    """The lines of the error, without the first."""
    with pytest.raises(ValueError) as error:
        images.load(name)
    first, *lines = str(error.value).splitlines()
    folder, count = paths.data_root() / name, int(first.split()[0])
    counted = "1 thing is" if count == 1 else f"{count} things are"
    assert first == f"{counted} wrong with the images in {folder}:"
    assert len(lines) == (count if count <= images.SHOWN else images.SHOWN + 1)
    return [line.removeprefix("- ").replace(f"{folder}/", "") for line in lines]


def test_every_bad_file_is_named_in_one_error():
    picnic()
    root = paths.data_root() / "picnic"
    good = (root / "train" / "ant" / "0.png").read_bytes()
    (root / "train" / "ant" / "3.png").write_bytes(good[: len(good) // 2])
    (root / "train" / "ant" / "4.png").write_bytes(b"")
    (root / "train" / "bee" / "notes.txt").write_text("bees")
    for mode in ("L", "RGBA", "P"):
        with Image.open(io.BytesIO(good)) as image:
            image.convert(mode).save(root / "test" / "bee" / f"{mode}.png")
    save("picnic/test/ant", noise(1, side=4)[0], "small.png")
    save("picnic/test/ant", noise(1)[0][:6], "low.png")
    found = problems("picnic")
    assert [line.split()[0] for line in found] == [
        "train/ant/3.png", "train/ant/4.png", "train/bee/notes.txt",
        "test/bee/L.png", "test/bee/P.png", "test/bee/RGBA.png",
        "test/ant/low.png", "test/ant/small.png",
    ]  # fmt: skip
    assert all("cannot be read: " in line for line in found[:3])
    assert found[3:6] == [f"test/bee/{mode}.png is {mode}, not RGB" for mode in ("L", "P", "RGBA")]
    assert found[6:] == [
        "test/ant/low.png is 8x6 pixels, the first image 8x8",
        "test/ant/small.png is 4x4 pixels, the first image 8x8",
    ]
    assert not (paths.data_root() / "cache").exists()  # nothing is kept of it
    for line in found:
        (root / line.split()[0]).unlink()
    assert len(images.load("picnic")["train"][1]) == 6


def test_a_set_with_no_readable_image_is_refused():
    for place in ("train/ant", "test/ant"):
        (paths.data_root() / "none" / place).mkdir(parents=True)
        (paths.data_root() / "none" / place / "a.png").write_bytes(b"no image")
    assert [line.split()[0] for line in problems("none")] == ["train/ant/a.png", "test/ant/a.png"]


def test_a_header_that_claims_too_many_pixels_is_an_image_that_cannot_be_read():
    picnic()
    path = paths.data_root() / "picnic" / "train" / "ant" / "vast.bmp"
    save("picnic/train/ant", noise(1)[0], "vast.bmp")
    content = bytearray(path.read_bytes())
    content[18:26] = (10**6).to_bytes(4, "little") * 2  # width and height
    path.write_bytes(content)
    (line,) = problems("picnic")
    assert line.startswith("train/ant/vast.bmp cannot be read: Image size (1000000000000 ")


def test_missing_and_empty_classes_are_named_in_one_error():
    picnic()
    root = paths.data_root() / "picnic"
    shutil.rmtree(root / "test" / "bee")
    save("picnic/test/cat", noise(1)[0], "1.png")
    (root / "train" / "dog").mkdir()
    (root / "test" / "dog").mkdir()
    (root / "test" / "dog" / ".hidden").write_text("")
    assert problems("picnic") == [
        "train/dog is empty",
        "test/dog is empty",
        f"class 'cat' is missing in {root}/train".replace(f"{root}/", ""),
        f"class 'bee' is missing in {root}/test".replace(f"{root}/", ""),
    ]


@pytest.mark.parametrize("split, other", [("train", "test"), ("test", "train")])
@pytest.mark.parametrize("there", [False, True])
def test_a_split_without_classes_is_one_problem(split, other, there):
    save(f"half/{other}/ant", noise(1)[0], "1.png")
    if there:
        (paths.data_root() / "half" / split).mkdir()
    assert problems("half") == [f"{split} has no folder of a class"]


@pytest.mark.parametrize("extra", [0, 1, 7])
def test_a_long_list_of_problems_is_cut(extra):
    picnic()
    for k in range(images.SHOWN + extra):
        save("picnic/train/ant", noise(1, side=4)[0], f"bad{k:03}.png")
    found = problems("picnic")
    named = found[: images.SHOWN]
    assert [line.split()[0] for line in named] == [
        f"train/ant/bad{k:03}.png" for k in range(images.SHOWN)
    ]
    assert found[images.SHOWN :] == ([f"... and {extra} more"] if extra else [])


@pytest.mark.parametrize("name", ["letters", "letters-16"])
def test_a_set_that_is_nowhere_says_where_to_put_it(name):
    root = paths.data_root()
    for use in (images.load, images.find):
        with pytest.raises(FileNotFoundError) as error:
            use(name)
        for words in (
            "no data set 'letters'", f"{root}/letters/train/<class>/",
            f"{root}/letters/test/<class>/", "PADALIB_DATA", "digits", "cifar10, cifar100",
        ):  # fmt: skip
            assert words in str(error.value)


# --- CIFAR by torchvision ---


def tiny_cifar(monkeypatch, name, n=(7, 5)):
    """torchvision's class with files of so few images in the data root; their (pixels, labels)."""
    base = getattr(torchvision.datasets, name)
    key = "labels" if name == "CIFAR10" else "fine_labels"
    parts = {"train": ["one", "two"], "test": ["last"]}
    meta = {"filename": "names", "key": "names", "md5": None}
    files = {
        "base_folder": "tiny",
        "train_list": [[part, None] for part in parts["train"]],
        "test_list": [[part, None] for part in parts["test"]],
        "meta": meta,
    }
    monkeypatch.setattr(torchvision.datasets, name, type(name, (base,), files))
    folder = paths.data_root() / "tiny"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "names").write_bytes(pickle.dumps({"names": ["ant", "bee"]}))
    content = {}
    for seed, (split, count) in enumerate(zip(parts, n, strict=True)):
        pixels, labels = noise(count, 32, seed=20 + seed), [k % 2 for k in range(count)]
        content[split] = pixels, labels
        cuts = np.array_split(np.arange(count), len(parts[split]))
        for part, own in zip(parts[split], cuts, strict=True):
            data = pixels[own].transpose(0, 3, 1, 2).reshape(len(own), -1)
            entry = {"data": data, key: [labels[k] for k in own]}
            (folder / part).write_bytes(pickle.dumps(entry))
    return content


@pytest.mark.parametrize("name, cls", images.CIFAR.items())
def test_torchvisions_files_and_a_folder_are_the_same_set(name, cls, monkeypatch, tmp_path):
    content = tiny_cifar(monkeypatch, cls)
    assert images.find(name) is None
    found = images.load(name)
    assert listed(found) == sorted(
        (split, label, image.tobytes())
        for split, (pixels, labels) in content.items()
        for image, label in zip(pixels, labels, strict=True)
    )
    small = images.load(f"{name}-16")
    assert small["train"][0].shape == (7, 3, 16, 16)
    assert sorted(path.name for path in (paths.data_root() / "cache").iterdir()) == [
        f"{name}-torchvision.pt"
    ]

    monkeypatch.setenv("PADALIB_DATA", str(tmp_path / "elsewhere"))
    for split, (pixels, labels) in content.items():
        for k, (image, label) in enumerate(zip(pixels, labels, strict=True)):
            save(f"{name}/{split}/{('ant', 'bee')[label]}", image, f"{k}.png")
    assert images.find(name) == images.find(f"{name}-16") == paths.data_root() / name
    monkeypatch.delattr(torchvision.datasets, cls)
    assert equal(images.load(name), found)
    assert equal(images.load(f"{name}-16"), small)


def test_a_folder_goes_before_torchvisions_files(monkeypatch):
    tiny_cifar(monkeypatch, "CIFAR10")
    images.load("cifar10")
    every = picnic("cifar10")
    assert listed(images.load("cifar10")) == sorted((s, k, p.tobytes()) for s, k, p in every)


def test_cifar_is_decoded_once(monkeypatch):
    tiny_cifar(monkeypatch, "CIFAR10")
    before = images.load("cifar10")
    monkeypatch.delattr(torchvision.datasets, "CIFAR10")
    shutil.rmtree(paths.data_root() / "tiny")
    assert equal(images.load("cifar10"), before)


@pytest.mark.parametrize(
    "error",
    [
        URLError("no route to host"),
        RuntimeError("File not found or corrupted."),
        OSError("timed out"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("split", ["train", "test"])
def test_cifar_without_a_network_says_where_to_put_it(error, split, monkeypatch):
    tiny_cifar(monkeypatch, "CIFAR100")
    real, asked = torchvision.datasets.CIFAR100, []

    class Offline(real):
        def __init__(self, root, train=True, download=False):
            asked.append((root, train, download))
            if train == (split == "train"):
                raise error
            super().__init__(root, train=train, download=download)

    monkeypatch.setattr(torchvision.datasets, "CIFAR100", Offline)
    root = paths.data_root()
    with pytest.raises(FileNotFoundError) as raised:
        images.load("cifar100-16")
    for words in (
        f"cifar100 is not in {root} and cannot be downloaded", str(error), "PADALIB_DATA",
        f"{root}/cifar100/train/<class>/", f"{root}/cifar100/test/<class>/", "tiny/",
    ):  # fmt: skip
        assert words in str(raised.value)
    assert raised.value.__cause__ is error
    assert asked[0] == (root, True, True)
    assert not (root / "cache").exists()
