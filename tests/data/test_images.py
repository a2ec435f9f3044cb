"""Photographs: from a folder or torchvision alike, cached once, and all that is wrong named."""

import errno
import io
import os
import pickle
import shutil
import subprocess
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision
from PIL import EpsImagePlugin, Image

from padalib.data import cache, images
from padalib.engine import paths
from padalib.engine.runs import RunError


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


def cached():
    """Names of the cache files."""
    return sorted(path.name for path in (paths.data_root() / "cache").glob("[!.]*"))


@pytest.fixture
def no_reading(monkeypatch):
    """Call it, and from then on no image may be opened."""

    def install():
        def opened(path, **_):
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
    assert cached() == ["picnic.images"]
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


def damaged(content, damage):
    first, line, rest = content.partition(b"\n")
    return {
        "truncated": content[: len(content) // 2],
        "empty": b"",
        "first line alone": first,
        "a bit": content[:-5] + bytes([content[-5] ^ 1]) + content[-4:],
        "longer": content + b"x",
        "no header": first[:20] + line + rest,
        "split lost": first.replace(b'"test"', b'"text"') + line + rest,
        "vast": first.replace(b"[4, 3, 8, 8]", b"[4, 3, 8, 9999999999]") + line + rest,
        "deep": first[: len(cache.MAGIC)] + b"[" * 4000 + line + rest,
    }[damage]


@pytest.mark.parametrize(
    "damage",
    [
        "truncated", "empty", "first line alone", "a bit", "longer", "no header", "split lost",
        "vast", "deep",
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["picnic", "cifar10"])
def test_a_damaged_cache_is_made_again(damage, name, monkeypatch, no_reading):
    picnic()
    tiny_cifar(monkeypatch, "CIFAR10", n=(7, 4))
    before = images.load(name)
    (path,) = (paths.data_root() / "cache").glob("[!.]*")
    content = path.read_bytes()
    path.write_bytes(damaged(content, damage))
    assert equal(images.load(name), before)
    assert path.read_bytes() == content
    no_reading()
    monkeypatch.delattr(torchvision.datasets, "CIFAR10")
    assert equal(images.load(name), before)  # from the cache made anew
    assert cached() == [path.name]


def _unread(path):
    """What replacing or writing a file changes, and reading it does not."""
    found = path.lstat()
    return found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns


@pytest.mark.parametrize("what", ["text", "pickle", "link", "link to nowhere", "folder", "pipe"])
@pytest.mark.parametrize("name", ["picnic", "cifar10"])
def test_what_is_no_cache_is_not_replaced(what, name, monkeypatch, tmp_path):
    picnic()
    tiny_cifar(monkeypatch, "CIFAR10")
    images.load(name)
    (path,) = (paths.data_root() / "cache").glob("[!.]*")
    own, other = path.read_bytes(), tmp_path / "other"
    path.unlink()
    if what == "text":
        path.write_text("my notes")
    elif what == "pickle":
        torch.save([1, 2], path)
    elif what == "folder":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)
    else:
        if what == "link":
            other.write_bytes(own)
        path.symlink_to(other)
    before = _unread(path)
    with pytest.raises(ValueError, match=f"{path} is not a file that padalib wrote.*move it away"):
        images.load(name)
    assert _unread(path) == before and other.exists() == (what == "link")


def test_a_file_beside_a_folder_that_is_named_by_its_path_is_left_alone(tmp_path):
    photos = tmp_path / "elsewhere" / "photos"
    every = picnic(photos)
    for name in ("photos.pt", "photos.images"):
        (tmp_path / "elsewhere" / name).write_text("mine")
    found = images.load(str(photos))
    assert listed(found) == sorted((split, label, p.tobytes()) for split, label, p in every)
    assert sorted(path.name for path in photos.parent.iterdir()) == [
        "photos", "photos.images", "photos.pt",
    ]  # fmt: skip
    for name in ("photos.pt", "photos.images"):
        assert (tmp_path / "elsewhere" / name).read_text() == "mine"
    picnic(paths.data_root() / ".." / "beside", seed=1)
    images.load("../beside")
    assert len(cached()) == 2 and not (paths.data_root().parent / "beside.images").exists()
    assert all(len(name) < 70 for name in cached())


def test_two_paths_that_look_alike_have_two_caches(tmp_path, no_reading):
    names = [str(tmp_path / "a" / "b"), str(tmp_path / "a-b")]
    every = [picnic(name, seed=seed) for seed, name in enumerate(names)]
    found = [listed(images.load(name)) for name in names]
    assert found == [sorted((s, k, p.tobytes()) for s, k, p in one) for one in every]
    no_reading()
    assert [listed(images.load(name)) for name in names] == found and len(cached()) == 2


def test_a_folder_called_like_torchvisions_cache_is_not_taken_for_it(monkeypatch):
    picnic("cifar10-torchvision")
    images.load("cifar10-torchvision")
    content = tiny_cifar(monkeypatch, "CIFAR10")
    assert len(images.load("cifar10")["train"][1]) == len(content["train"][1])


@pytest.mark.parametrize("cut", ["killed", "half killed", "full", "interrupted"])
def test_a_cache_write_that_is_cut_leaves_nothing_for_ever(cut, monkeypatch):
    picnic()
    folder, size = paths.data_root() / "cache", 0

    def fsync(handle):
        if cut == "full":
            raise OSError(errno.ENOSPC, "No space left on device")
        if cut == "interrupted":
            raise KeyboardInterrupt
        if cut == "half killed":
            os.ftruncate(handle, os.fstat(handle).st_size // 2)
        os._exit(9)

    if "killed" in cut:
        pid = os.fork()
        if pid == 0:
            os.fsync = fsync
            images.load("picnic")
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
        (left,) = (path for path in folder.iterdir() if not path.name.endswith("lock"))
        size = left.stat().st_size
        assert size > 100
    else:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fsync)
            with pytest.raises(KeyboardInterrupt if cut == "interrupted" else RunError):
                images.load("picnic")
        assert [path.name for path in folder.iterdir()] == [".picnic.images.lock"]
    others = [
        folder / ".picnic.images.mynotes1.partial",
        folder / ".picnic.images.original1.partial",
    ]
    for other in others:
        other.write_text("not of a write")
    (folder / ".picnic.images.linked_1.partial").symlink_to(others[0])
    images.load("picnic")
    assert sorted(path.name for path in folder.iterdir()) == [
        ".picnic.images.linked_1.partial", ".picnic.images.lock", ".picnic.images.mynotes1.partial",
        ".picnic.images.original1.partial", "picnic.images",
    ]  # fmt: skip


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
    assert cached() == ["album-4.images", "album.images"]
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


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"


@pytest.mark.parametrize("name", ["drawing.png", "drawing.eps", "drawing.jpg"])
def test_postscript_is_handed_to_no_other_program(name, monkeypatch):
    picnic()
    (paths.data_root() / "picnic" / "train" / "ant" / name).write_bytes(POSTSCRIPT)

    def started(*arguments, **_):
        raise AssertionError(f"{arguments} was started")

    for function in ("Popen", "check_call", "run", "call"):
        monkeypatch.setattr(subprocess, function, started)
    for function in ("system", "fork", "posix_spawn", "execve"):
        monkeypatch.setattr(os, function, started)
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", started)
    assert problems("picnic") == [
        f"train/ant/{name} cannot be read: it is none of PNG, JPEG, BMP, PPM, TIFF, WEBP"
    ]


@pytest.mark.parametrize("kind", ["GIF", "DDS", "AVIF", "ICO", "TGA", "PDF"])
def test_other_formats_are_refused_by_name_whatever_they_are_called(kind):
    picnic()
    path = paths.data_root() / "picnic" / "train" / "ant" / "x.png"
    if kind == "AVIF":
        path.write_bytes(b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miafMA1B")
    else:
        Image.fromarray(noise(1, side=16)[0]).save(path, kind)
    (line,) = problems("picnic")
    assert line.startswith("train/ant/x.png cannot be read: it is none of PNG, JPEG,")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "PPM", "TIFF", "WEBP"])
def test_a_corrupt_image_is_a_sentence_and_nothing_else(kind):
    picnic()
    buffer = io.BytesIO()
    Image.fromarray(noise(1)[0]).save(buffer, kind)
    content, rng = buffer.getvalue(), np.random.RandomState(0)
    folder = paths.data_root() / "picnic" / "train" / "ant"
    for k in range(40):  # bytes changed anywhere, and cut anywhere
        damaged = bytearray(content)
        for place in rng.randint(len(content), size=4):
            damaged[place] = rng.randint(256)
        (folder / f"{k}.{kind}").write_bytes(damaged[: rng.randint(8, 2 * len(content))])
    try:
        images.load("picnic")
    except ValueError as error:
        assert all("train/ant/" in line for line in str(error).splitlines()[1:21])


def test_a_decoder_that_fails_in_its_own_way_is_a_sentence(monkeypatch):
    picnic()

    class Odd(Exception):
        pass

    opened = Image.open

    def broken(path, **options):
        if str(path).endswith("ant/0.png"):
            raise Odd
        return opened(path, **options)

    monkeypatch.setattr(images.Image, "open", broken)
    assert problems("picnic") == [
        "train/ant/0.png cannot be read: Odd",
        "test/ant/0.png cannot be read: Odd",
    ]


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_a_file_of_several_pictures_is_refused(kind):
    picnic()
    path = paths.data_root() / "picnic" / "test" / "bee" / "film.x"
    frames = [Image.fromarray(pixels) for pixels in noise(3)]
    frames[0].save(path, kind, save_all=True, append_images=frames[1:])
    assert problems("picnic") == ["test/bee/film.x holds 3 pictures, not one"]


def test_links_that_lead_nowhere_and_what_is_no_file_are_named():
    picnic()
    root = paths.data_root() / "picnic"
    (root / "train" / "ant" / "gone.png").symlink_to("nowhere.png")
    (root / "train" / "ant" / "loop.png").symlink_to("loop.png")
    (root / "train" / "ant" / "more").mkdir()
    os.mkfifo(root / "train" / "bee" / "pipe.png")
    (root / "train" / "cat").symlink_to(root / "cats")
    (root / "train" / "dog").symlink_to("dog")
    nowhere = "is a link that leads nowhere"
    assert problems("picnic") == [
        f"train/cat {nowhere}: No such file or directory",
        f"train/dog {nowhere}: Too many levels of symbolic links",
        f"train/ant/gone.png {nowhere}: No such file or directory",
        f"train/ant/loop.png {nowhere}: Too many levels of symbolic links",
        "train/ant/more is a folder, not an image",
        "train/bee/pipe.png is a pipe or device, not an image",
    ]


def test_links_that_lead_to_images_and_classes_are_followed(tmp_path):
    every = picnic()
    root = paths.data_root() / "picnic"
    (root / "train" / "ant").rename(tmp_path / "ants")
    (root / "train" / "ant").symlink_to(tmp_path / "ants")
    (root / "test" / "bee" / "0.png").rename(tmp_path / "bee.png")
    (root / "test" / "bee" / "0.png").symlink_to(tmp_path / "bee.png")
    assert listed(images.load("picnic")) == sorted((s, k, p.tobytes()) for s, k, p in every)


def test_a_split_that_is_a_loop_is_named():
    picnic()
    shutil.rmtree(paths.data_root() / "picnic" / "test")
    (paths.data_root() / "picnic" / "test").symlink_to("test")
    assert problems("picnic") == [
        "test cannot be read: Too many levels of symbolic links",
        "test has no folder of a class",
    ]


def test_names_that_are_not_utf_8_are_read_and_can_be_printed():
    every = picnic()
    root = paths.data_root() / "picnic"
    odd = os.fsdecode(b"caf\xe9")
    try:
        (root / "train" / "ant" / "0.png").rename(root / "train" / "ant" / f"{odd}.png")
    except OSError:
        pytest.skip("this file system holds no names that are not UTF-8")
    for split in ("train", "test"):
        (root / split / "bee").rename(root / split / odd)
    found = images.load("picnic")
    assert listed(found) == sorted((s, k, p.tobytes()) for s, k, p in every)
    assert equal(images.load("picnic"), found)
    (root / "train" / odd / f"{odd}.png").write_text("no image")
    (root / "test" / odd / "x").symlink_to("nowhere")
    (line,) = problems("picnic")
    assert line.encode() and line.startswith(r"test/caf\udce9/x is a link that leads nowhere")
    (root / "test" / odd / "x").unlink()
    (line,) = problems("picnic")
    assert line.encode() and line.startswith(r"train/caf\udce9/caf\udce9.png cannot be read: it is")


@pytest.mark.parametrize("name", ["x" * 300, "a" * 300 + "-16", "y/" * 3000])
def test_names_that_are_too_long_are_refused(name):
    paths.data_root().mkdir()
    for use in (images.load, images.find):
        with pytest.raises(ValueError, match=r"cannot look for images in .*: File name too long"):
            use(name)


def test_a_name_that_is_nearly_too_long_has_a_cache(no_reading):
    name = "x" * 250
    every = picnic(name)
    found = images.load(name)
    no_reading()
    assert (
        listed(images.load(name))
        == listed(found)
        == sorted((s, k, p.tobytes()) for s, k, p in every)
    )
    assert all(len(file) < 70 for file in cached())


def test_oblong_images_are_not_taken_for_square_ones():
    for split in ("train", "test"):
        save(f"oblong/{split}/x", noise(1)[0][:, :6], "1.png")
    with pytest.raises(ValueError, match="8x6 pixels, which cannot be averaged to 8x8"):
        images.load("oblong-8")


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
    assert cached() == [f"{name}-torchvision.images"]

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
