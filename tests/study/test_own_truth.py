"""A truth of one's own: any space, also one from a file, on any data, made by the command."""

import re
import sys
import warnings
import zlib

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from padalib import data, spaces
from padalib.benchmarks import about, alone, truth
from padalib.cli import main
from padalib.commands import named
from padalib.data import sets
from padalib.engine import paths
from padalib.engine.runs import Run
from padalib.ranking.scores import ScoreConfig, sample
from padalib.spaces import ChainSpace
from padalib.train import TrainConfig

MINE = """
from dataclasses import dataclass
from functools import cached_property
from torch import nn
from padalib.spaces import ChainSpace, Position

@dataclass(frozen=True)
class Mine(ChainSpace):
    name: str = "mine"
    channels: int = 4

    @cached_property
    def positions(self):
        wide = "conv_1x1", "conv_3x3", "sep_3x3", "skip"
        each = wide, wide[:2], wide[1:]
        return tuple(Position(f"block {k}", own) for k, own in enumerate(each))

    def block(self, position, option, norm):
        return nn.Identity() if option == "skip" else super().block(position, option, norm)

SPACE, NUMBER = Mine(strides=(1, 2, 1)), 3
"""
TRUTH = ["truth", "--space", "{file}:SPACE", "--data", "photos", "--epochs", "1", "--workers", "1"]


@pytest.fixture
def file(tmp_path, monkeypatch, request):
    """A file with a space, beside a project without any table."""
    monkeypatch.setattr(paths, "project_root", lambda: tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    path = tmp_path / f"own_{zlib.crc32(request.node.name.encode())}.py"
    path.write_text(MINE)
    yield path
    sys.modules.pop(path.stem, None)


@pytest.fixture
def photos():
    """Twelve by twelve coloured pixels, three classes."""
    return draw("photos")


def draw(name, seed=0):
    rng, folder = np.random.default_rng(seed), paths.data_root() / name
    for split, count in (("train", 20), ("test", 5)):
        for label, kind in enumerate(("ant", "bee", "cat")):
            (folder / split / kind).mkdir(parents=True, exist_ok=True)
            for k in range(count):
                pixels = rng.integers(0, 100, (12, 12, 3)) + 70 * np.eye(3)[label]
                Image.fromarray(pixels.astype(np.uint8)).save(folder / split / kind / f"{k}.png")
    return folder


def run(*arguments, file=None):
    return main([word.format(file=file.name if file else "") for word in arguments])


def test_a_space_of_a_file_on_a_folder_of_images(file, photos, capsys, tmp_path):
    assert run(*TRUTH, "--seeds", "2", "--archs", "5", file=file) == 0
    out = capsys.readouterr().out
    path = tmp_path / "build/truth/mine@photos.csv"
    assert out.startswith(
        "mine on photos: 5 of 24 architectures, each alone, 2 seeds, drawn at random, always the "
        "same; for these images with in_channels 3, size 12, classes_out 3\n"
    )
    assert f"{path}: 5 architectures, 2 seeds\n" in out
    space = named.space(f"{file.name}:SPACE")
    known = truth.load(space, path)
    assert (known.space, known.dataset, known.seeds) == ("mine", "photos", [0, 1])
    assert list(known.table.index) == [space.code(arch) for arch in sample(space, 5)]
    told = known.told
    assert (told.space, told.data, told.drawn) == ("mine", "photos", 5)
    assert told.data_hash == data.fingerprint("photos")[:16]
    assert "epochs=1" in told.recipe and "batch=54" in told.recipe  # of 54 images
    # A row is what that network scores, trained alone.
    fitted = data.fitted(space, data.load("photos")["train"])
    train = TrainConfig(
        space=fitted,
        arch=sample(space, 5)[4],
        seed=1,
        data="photos",
        **alone.ALONE | {"epochs": 1, "batch": 54},
    )
    row = Run(ScoreConfig(train, splits=("valid", "test"))).compute().table("scores")
    assert list(row.loss) == [known.table[f"{s}_loss_1"].iloc[4] for s in ("valid", "test")]
    # Asked again, nothing is trained, and the bytes are the same.
    before, kept = path.read_bytes(), len(list((paths.data_root() / "runs").iterdir()))
    path.unlink()
    assert run(*TRUTH, "--seeds", "2", "--archs", "5", file=file) == 0
    assert path.read_bytes() == before
    assert len(list((paths.data_root() / "runs").iterdir())) == kept
    with pytest.raises(ValueError, match="is on 'photos', got dataset='digits'"):
        truth.load(space, path, "digits")
    assert truth.load(space, path, "photos").dataset == "photos"


def test_the_report_card_takes_both(file, photos, capsys, tmp_path):
    assert run(*TRUTH, "--seeds", "1", file=file) == 0
    space = named.space(f"{file.name}:SPACE")
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"code": [space.code(a) for a in space], "score": rng.normal(size=24)})
    rows.to_csv("scores.csv", index=False)
    table = tmp_path / "build/truth/mine@photos.csv"
    report = ["report", "scores.csv", "--space", "{file}:SPACE", "--truth", str(table)]
    capsys.readouterr()
    assert run(*report, file=file) == 0
    out = capsys.readouterr().out
    assert "24 of 24 architectures of mine, 1 seed, against photos test accuracy" in out
    # A random sample: the others have no truth.
    assert run(*TRUTH, "--seeds", "1", "--archs", "20", file=file) == 0
    out = capsys.readouterr().out
    assert "mine on photos: 20 of 24 architectures, each alone, 1 seed, drawn at random" in out
    assert run(*report, file=file) == 0
    out = capsys.readouterr().out
    assert "20 of 24 architectures of mine" in out
    assert "Left out: 4 architectures whose accuracy nobody knows" in out
    known = truth.load(space, table)
    assert list(known.table.index) == [space.code(arch) for arch in sample(space, 20)]
    scores = {code: float(k) for k, code in enumerate(rows.code)}
    found = truth.compare(scores, space, path=table)
    assert (len(found.pred), found.total) == (20, 20)
    assert dict(found.pred) == {code: scores[code] for code in known.table.index}
    out = set(rows.code) - set(known.table.index)
    with pytest.raises(ValueError, match="none of the 4 architectures is known"):
        truth.compare({code: scores[code] for code in out}, space, path=table)
    rows[~rows.code.isin(known.table.index[:4])].to_csv("scores.csv", index=False)
    assert run(*report, file=file) == 2
    err = capsys.readouterr().err
    assert "scores 20 architectures, and the truth of 16 of them is known, too few for" in err


def table_of(space, name, drawn=0, **changes):
    """A made-up table that says of itself what is asked."""
    archs = sample(space, drawn) if drawn else list(space)
    row = {"seed": 0, "valid_acc": 50.0, "valid_loss": 1.0, "test_acc": 50.0, "test_loss": 1.0}
    table = alone.assemble(space, [{"code": space.code(a)} | row for a in archs], archs)
    said = {"space": space.name, "data": name, "data_hash": "0", "drawn": drawn, "recipe": "none"}
    return about.write(table, about.About(**said | changes))


TINY = ChainSpace("tiny", options=("conv_1x1", "conv_3x3"), strides=(1, 1), channels=2)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda t: t.assign(space="other"), "of the space 'other'. Please ask for that space"),
        (lambda t: t.drop(columns="data"), "it lacks data"),
        (
            lambda t: t.assign(data=["a", "a", "b", "a"]),
            "of several tables: data is a and b",
        ),
        (lambda t: t.assign(drawn="-1"), "drawn must be a whole number, got '-1'"),
        (lambda t: t.assign(drawn=9), r"not a truth table of tiny: .* must be .*, got 9"),
        (lambda t: t.iloc[1:], "1 architectures missing: 0-0"),
        (lambda t: t.assign(drawn=2), r"2 architectures foreign"),
    ],
)
def test_a_table_that_is_not_what_it_says_is_refused(edit, said, tmp_path):
    path = tmp_path / "t.csv"
    alone.save(edit(table_of(TINY, "photos")), path)
    with pytest.raises(ValueError, match=said):
        truth.load(TINY, path)


def test_names_that_look_like_numbers_stay_what_they_are(tmp_path):
    path = tmp_path / "t.csv"
    alone.save(table_of(TINY, "0123", data_hash="0000000000000012"), path)
    told = truth.load(TINY, path).told
    assert (told.data, told.data_hash) == ("0123", "0000000000000012")


def test_a_large_space_is_drawn_from_without_being_listed(tmp_path):
    huge = ChainSpace("huge", strides=(1,) * 13, channels=2, size=4)
    path = tmp_path / "t.csv"
    alone.save(table_of(huge, "digits", 3), path)
    known = truth.load(huge, path)
    assert list(known.table.index) == [huge.code(arch) for arch in sample(huge, 3)]


def test_other_images_of_the_same_name_are_noticed(file, photos):
    fitted = data.fitted(TINY, data.load("photos")["train"])
    path = about.place("tiny", "photos")
    table = alone.build(fitted, (0,), 1, data="photos", epochs=1, batch=20)
    alone.save(table.assign(test_acc_0=[1.0, 2.0, 3.0, 4.0]), path)
    config = TrainConfig(space=fitted, data="photos", epochs=3, batch=20)

    def compare():
        truth.compare(Run(ScoreConfig(config)).compute(), path=path, by="loss")

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compare()
    draw("photos", seed=1)
    sets._load.cache_clear()  # as in another process
    with pytest.warns(UserWarning, match="images of 'photos' are not those that the truth was"):
        compare()
    other = TrainConfig(space=fitted, data=draw("birds").name, epochs=1, batch=20)
    with pytest.warns(UserWarning, match="was trained on 'birds' and the truth .* is on 'photos'"):
        truth.compare(Run(ScoreConfig(other)).compute(), path=path, by="loss")


def test_a_space_edited_since_is_noticed(tmp_path):
    path = tmp_path / "t.csv"
    alone.save(table_of(TINY, "photos"), path)
    truth.load(TINY, path)
    wider = ChainSpace("tiny", options=TINY.options, strides=TINY.strides, channels=3)
    with pytest.warns(UserWarning, match="not those that tiny makes now, .* edited since"):
        truth.load(wider, path)
    coloured = data.fitted(TINY, data.load("digits-small")["train"])
    assert coloured == TINY


def test_a_table_that_was_made_here_is_named_where_none_was_given(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "project_root", lambda: tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no truth table of tiny at .*: train its"):
        truth.load(TINY)
    alone.save(table_of(TINY, "photos"), about.place("tiny", "photos"))
    alone.save(table_of(TINY, "photos"), about.place("tiny2", "photos"))  # another space's
    with pytest.raises(FileNotFoundError, match=r"one that was made here .*tiny@photos\.csv; "):
        truth.load(TINY)
    assert len(truth.load(TINY, about.made("tiny")[0]).table) == TINY.architectures


def test_no_two_pairs_of_names_share_a_place():
    names = ["a", "a@b", "b", "a%40b", "a/b", "a-b", "Größe", "a b", ".."]
    places = {about.place(space, folder) for space in names for folder in names}
    assert len(places) == len(names) ** 2
    assert {path.parent for path in places} == {about.place("a", "b").parent}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--space", "none"], "unknown space 'none'"),
        (["--space", "none.py:SPACE"], "there is no Python file none.py: write it as file.py:NAME"),
        (["--space", "{file}"], "does not say which space of the file"),
        (["--space", "{file}:OTHER"], "has no space 'OTHER', but SPACE: write it as"),
        (["--space", "{file}:NUMBER"], "has no space 'NUMBER', but SPACE"),
        (["--space", "{file}:Mine"], "Mine in own_.*is a class: write it as file.py:NAME"),
        (["--space", "json.py:SPACE"], "json.py has the name of another module: rename the file"),
        (["--space", "my-own.py:SPACE"], "cannot be imported: give it a name of letters, digits"),
        (["--space", "broken.py:SPACE"], "broken.py stops with ZeroDivisionError: "),
        (
            ["--space", "{file}:SPACE", "--data", "nowhere"],
            "no data set 'nowhere': expected",
        ),
        (["--space", "{file}:SPACE", "--archs", "25"], "mine has 24 architectures, got --archs 25"),
        (["--space", "{file}:SPACE", "--lr", "0"], "lr must be a finite number above 0.*, got 0"),
        (["--space", "nasbench201"], "15,625 architectures, too many .* such as --archs 200"),
        (
            ["mini", "--data", "digits-small", "--publish"],
            "only the tables of mini, chain-mini",
        ),
        (
            ["--space", "{file}:SPACE", "--publish"],
            "only the tables of mini, chain-mini",
        ),
    ],
)
def test_bad_wishes_are_refused_before_anything_is_trained(arguments, said, file, capsys):
    for name in ("json.py", "my-own.py"):
        (file.parent / name).write_text(MINE)
    (file.parent / "broken.py").write_text("1 / 0\n")
    assert run("truth", *arguments, file=file) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and re.search(said, err), err
    assert not (paths.data_root() / "runs").exists()


def test_what_cannot_be_fitted_is_told_what_it_lacks(photos):
    images = data.load("photos")["train"]
    assert data.fitted(spaces.get("mini"), images).in_channels == 3
    with pytest.raises(ValueError, match=r"Fixed has no field size, .*such as `size: int = 12`"):
        data.fitted(Fixed(), images)


class Fixed(spaces.Space):
    """Made for other images, and no dataclass."""

    name, size, in_channels, classes_out = "fixed", 16, 3, 3


def test_members_of_a_class_that_were_not_drawn_are_known_by_those_that_were(tmp_path):
    space = spaces.get("mini")
    drawn = sample(space, 40)
    other = next(a for a in drawn if space.canonical(a) != a and space.canonical(a) not in drawn)
    table = table_of(space, "digits", 40)
    table["test_acc_0"] = [50.0 + k for k in range(40)]
    table["trained"] = [space.truth_key(space.canonical(arch)) for arch in drawn]
    path = tmp_path / "t.csv"
    alone.save(table, path)
    code = space.code(space.canonical(other))
    found = truth.load(space, path).of(space, [code], "test")
    first = next(a for a in drawn if space.canonical(a) == space.canonical(other))
    assert found[code] == table.test_acc_0[space.code(first)]


@pytest.mark.parametrize("seeds", [(1, 2), (0, 2), ()])
def test_seeds_that_make_no_table_are_refused_before_anything_is_trained(seeds):
    with pytest.raises(ValueError, match=r"seeds must be 0, 1, \.\.\. without a gap, got \["):
        alone.build(TINY, seeds, data="digits-small", epochs=1)
    assert not (paths.data_root() / "runs").exists()


def test_a_table_of_another_space_of_that_name_is_not_replaced(file, photos, capsys, tmp_path):
    assert run(*TRUTH, "--seeds", "1", "--archs", "3", file=file) == 0
    path = tmp_path / "build/truth/mine@photos.csv"
    before = path.read_bytes()
    other = file.with_name(f"other_{file.name}")
    other.write_text(MINE.replace('"skip"', '"none"'))
    assert run(*TRUTH, "--seeds", "1", "--archs", "3", file=other) == 2
    said = capsys.readouterr().err
    assert f"{path} is there, and is no table of this mine (" in said
    assert "give the space another name, or move that table away" in said
    assert path.read_bytes() == before
    sys.modules.pop(other.stem, None)
    other.write_text(MINE.replace('"skip"', '"none"').replace('"mine"', '"mine2"'))
    assert run(*TRUTH, "--seeds", "1", "--archs", "3", file=other) == 0  # the remedy
    sys.modules.pop(other.stem, None)
