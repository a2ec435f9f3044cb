"""Truth tables made by the command: to a place of their own, published only when asked."""

from pathlib import Path

import numpy as np
import pytest

from padalib import spaces
from padalib.benchmarks import alone, checks, layouts, truth
from padalib.cli import main
from padalib.commands import truth_tables
from padalib.engine import paths


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """The published table is of two seeds; `build` gives the first ones of the real table."""
    real = truth.load("mini").table

    def build(name, seeds, workers):
        asked.append((name, list(seeds), workers))
        keep = [*(f"{quantity}_{seed}" for quantity in checks.QUANTITIES for seed in seeds)]
        return real[["string", *keep, "params", "flops"]]

    asked = build.asked = []
    monkeypatch.setattr(alone, "build", build)
    monkeypatch.setattr(paths, "project_root", lambda: tmp_path)
    alone.save(build("mini", range(2), None), tmp_path / "data/truth/mini.csv")
    asked.clear()
    return tmp_path


def test_a_table_is_made_beside_the_published_one(root, capsys):
    home, own = root / "data/truth/mini.csv", root / "build/truth/mini.csv"
    before = home.read_bytes()
    assert main(["truth", "mini", "--seeds", "2"]) == 0
    out = capsys.readouterr().out
    assert f"{own}: 125 architectures, 2 seeds\n" in out and "perfect scores like it 0." in out
    assert f"the published table {home} is the same" in out
    assert main(["truth", "mini", "--seeds", "3", "--workers", "2"]) == 0
    assert f"the published table {home} differs" in capsys.readouterr().out
    assert home.read_bytes() == before != own.read_bytes()
    assert main(["truth", "mini", "--seeds", "3", "--publish"]) == 0
    assert f"published as {home}" in capsys.readouterr().out
    assert home.read_bytes() == own.read_bytes() != before
    assert main(["truth", "mini"]) == 0  # as many seeds as the published one
    seeds = [0, 1, 2]
    assert alone.build.asked == [
        ("mini", [0, 1], None),
        ("mini", seeds, 2),
        ("mini", seeds, None),
        ("mini", seeds, None),
    ]


def test_a_space_that_is_too_large_is_refused(root, capsys):
    assert main(["truth", "nasbench201"]) == 2
    assert "15,625 architectures, too many to train each alone" in capsys.readouterr().err
    assert main(["truth", "nowhere"]) == 2
    assert "unknown space 'nowhere'" in capsys.readouterr().err
    assert alone.build.asked == []


def test_more_seeds_than_anybody_trains_are_refused(root, capsys):
    for more in (["--archs", "3"], []):
        assert main(["truth", "mini", "--seeds", f"{10**20 - 1}", *more]) == 2
        said = capsys.readouterr()
        assert "1,000 seeds at most, got 99,999,999,999,999,999,999: ask for fewer" in said.err
        assert not said.out
    assert alone.build.asked == []
    with pytest.raises(ValueError, match=r"1,000 seeds at most, got 1,001: ask"):
        alone.check_seeds(range(1001))
    alone.check_seeds(range(1000))
    for seeds in ((), (1, 2), (0, 2), range(1, 10**20)):
        with pytest.raises(ValueError, match=r"seeds must be 0, 1, \.\.\. without a gap, got \["):
            alone.check_seeds(seeds)


def test_without_a_name_all_kept_tables_are_made(root, monkeypatch):
    made = []
    monkeypatch.setattr("padalib.commands.truth_tables.make", lambda name, *_: made.append(name))
    assert main(["truth"]) == 0
    assert made == list(layouts.KEPT)


@pytest.mark.parametrize(
    "level, spread, said",
    [
        (60.0, 10.0, ()),
        (12.0, 1.0, ("the best network has 1", "guessing 10.0 %: they have hardly learnt")),
        (60.0, 0.0, ("they order nothing for certain", "more --seeds")),
    ],
)
def test_a_truth_that_nothing_can_be_held_against_is_told(tmp_path, level, spread, said):
    space, rng = spaces.get("mini"), np.random.default_rng(0)
    archs, true = list(space), rng.normal(size=125)
    rows = [
        {"code": space.code(space.canonical(arch)), "seed": seed}
        for seed in range(3)
        for arch in archs
    ]
    kinds = {row["code"]: (k, rng.normal(0, 0.2, 3)) for k, row in enumerate(rows[:125])}
    for row, arch in zip(rows, archs * 3, strict=True):
        place, noise = kinds[row["code"]]
        accuracy = level + spread * true[place] / 3 + noise[row["seed"]]
        row |= {"code": space.code(arch), "valid_loss": 1.0, "test_loss": 1.0}
        row |= {"valid_acc": accuracy, "test_acc": accuracy}
    path = tmp_path / "own.csv"
    alone.save(alone.assemble(space, rows), path)
    found = "; ".join(truth_tables._said(space, path))
    assert all(part in found for part in said) and ("tau with" in found)
    assert ("hardly learnt" in found, "for certain" in found) == (level < 20, spread == 0)
