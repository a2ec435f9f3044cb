"""A reproduction held against what is published; and how it becomes what is published."""

import json
import math
from dataclasses import replace
from pathlib import Path

import filelock
import pytest
from made_up import write

from padalib.cli import main
from padalib.commands import driver, publishing, reproduction
from padalib.commands.reproduction import agreement, inside
from padalib.engine import paths
from padalib.study import claims
from padalib.study.claims import Claim, Interval


def made(key: str, effect: float, *intervals: tuple, null: float = 0.0, verdict="shown") -> Claim:
    found = tuple(Interval(low, high, *over) for low, high, *over in intervals)
    return Claim(key, f"{key} is so", verdict, "evidence", effect, found, null=null)


SEEDS = ("seeds", 5)


@pytest.mark.parametrize(
    ("published", "own", "wanted"),
    [
        # [.3, .5] widened by half of [.2, .4], which is .1
        (made("a", 0.4, (0.3, 0.5, *SEEDS)), made("a", 0.3, (0.2, 0.4, *SEEDS)), True),
        (made("a", 0.4, (0.3, 0.5, *SEEDS)), made("a", 0.21, (0.11, 0.31, *SEEDS)), True),
        (made("a", 0.4, (0.3, 0.5, *SEEDS)), made("a", 0.19, (0.09, 0.29, *SEEDS)), False),
        (made("a", 0.4, (0.3, 0.5, *SEEDS)), made("a", 0.61, (0.51, 0.71, *SEEDS)), False),
        # of two intervals one is enough, widened by its own kind
        (
            made("a", 0.4, (0.39, 0.41, *SEEDS), (0.1, 0.7, "architectures", 9)),
            made("a", 0.2, (0.19, 0.21, *SEEDS), (0.1, 0.3, "architectures", 9)),
            True,
        ),
        # no interval of its own kind: not widened
        (made("a", 0.4, (0.3, 0.5, *SEEDS)), made("a", 0.29, (0.0, 0.6, "images", 9)), False),
        # ratios by logarithms: [2, 8] widened by a factor of 2 is [1, 16]
        (made("a", 4, (2, 8, *SEEDS), null=1), made("a", 15, (7.5, 30, *SEEDS), null=1), True),
        (made("a", 4, (2, 8, *SEEDS), null=1), made("a", 17, (8.5, 34, *SEEDS), null=1), False),
        (made("a", 4, (2, 8, *SEEDS), null=1), made("a", 0.9, (0.45, 1.8, *SEEDS), null=1), False),
        # nothing to compare
        (made("a", math.nan), made("a", math.nan), None),
        (made("a", 0.4), made("a", 0.5), None),
        (made("a", 0.4, (math.nan, math.nan, *SEEDS)), made("a", 0.5), None),
        (made("a", 0.4, (0.3, 0.5, *SEEDS)), made("a", math.nan), False),
    ],
)
def test_an_estimate_lies_inside_the_published_interval_widened_by_its_own(published, own, wanted):
    assert inside(published, own) is wanted


def test_what_is_not_measurable_agrees_with_what_is_not_measurable_either():
    lost = made("a", math.nan, verdict=claims.UNMEASURABLE)
    assert agreement(lost, replace(lost, effect=float("nan"))) == "yes"
    found = made("a", 0.4, (0.3, 0.5, *SEEDS))
    assert agreement(found, lost).startswith("no: another verdict")
    assert agreement(lost, found).startswith("no: another verdict")


def test_agreement_in_words():
    published, near = made("a", 0.4, (0.3, 0.5, *SEEDS)), made("a", 0.35, (0.3, 0.4, *SEEDS))
    far = made("a", 2.0, (1.9, 2.1, *SEEDS))
    assert agreement(published, published) == "yes, identical"
    assert agreement(published, near) == "yes"
    assert agreement(published, far) == "no: estimate outside"
    assert agreement(published, replace(near, verdict="not shown")) == "no: another verdict"
    both = agreement(published, replace(far, verdict="not shown"))
    assert both == "no: another verdict, estimate outside"
    assert agreement(None, near) == "not published"
    assert agreement(near, None) == "not here"


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """A project of one notebook that concludes, draws and tabulates what `RESULT` says."""
    root = tmp_path / "project"
    monkeypatch.setattr(paths, "project_root", lambda: root)
    monkeypatch.setattr(driver, "studies", lambda: [])
    root.mkdir()
    return root


def save(folder: Path, *found: Claim) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    claims.table(found).to_csv(folder / "claims_01.csv", index=False, lineterminator="\n")


def notebook(root: Path, effect: float, figure: str = "png") -> Path:
    """A notebook that writes a figure, a table and a claim, where the workbook would."""
    own = made("01.a", effect, (effect - 0.1, effect + 0.1, *SEEDS))
    text = claims.table([own]).to_csv(index=False, lineterminator="\n")
    source = (
        "import pathlib\n"
        "home = pathlib.Path('../build') / scale / ('redrawn' if redraw else '.')\n"
        f"files = {{'figures/01_a.png': {figure!r}, 'results/claims_01.csv': {text!r}}}\n"
        "files |= {} if redraw else {'results/rows.csv': 'x\\n1\\n'}\n"
        "for name, text in files.items():\n"
        "    (home / name).parent.mkdir(parents=True, exist_ok=True)\n"
        "    (home / name).write_text(text)\n"
    )
    return write(root / "notebooks/01_a.ipynb", source)


def tree(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


def test_a_run_ends_with_the_comparison_and_leaves_what_is_published(root, capfd):
    save(root / "data/results/laptop", made("01.a", 0.42, (0.3, 0.5, *SEEDS)), made("01.b", 1.0))
    notebook(root, 0.4)
    before = tree(root / "data")
    assert main(["run"]) == 0
    assert tree(root / "data") == before
    out = capfd.readouterr().out
    *_, last, odd = out.strip().splitlines()
    assert last == (
        "1 of 2 published claims agree: the same verdict, and your estimate inside the published "
        "interval widened by half of yours."
    )
    assert odd == "Look at: 01.b (not here)."
    assert "claim " in out and "published " in out and "yours " in out and "agrees?" in out
    line = next(line for line in out.splitlines() if line.startswith("01.a is so (01.a)"))
    assert line.split()[-1] == "yes" and line.count("shown") == 2
    assert "+0.42 [+0.30, +0.50]" in out and "+0.40 [+0.30, +0.50]" in out
    assert main(["compare"]) == 0
    assert capfd.readouterr().out.strip() == out[out.index("claim ") :].strip()


def test_findings_that_differ_are_said_plainly_and_no_failure(root, capfd):
    save(root / "data/results/laptop", made("01.a", 5.0, (4.9, 5.1, *SEEDS), verdict="equivalent"))
    notebook(root, 0.4)
    assert main(["run"]) == 0
    out = capfd.readouterr().out
    assert out.strip().endswith("Look at: 01.a (no: another verdict, estimate outside).")
    assert "0 of 1 published claims agree" in out


def test_smoke_means_nothing(root, capfd):
    notebook(root, 0.4)
    assert main(["run", "--scale", "smoke"]) == 0
    last = capfd.readouterr().out.strip().splitlines()[-1]
    assert last.startswith("Claims judged: 1, in ")
    assert last.endswith("Smoke shows that it runs; its numbers mean nothing.")
    for verdict in claims.VERDICTS:
        assert verdict.upper() not in last


def test_notebooks_that_did_not_end_are_named(root, capfd):
    save(root / "build/laptop/results", made("01.a", 0.4))
    notebook(root, 0.4)
    assert main(["compare"]) == 0
    out = capfd.readouterr().out
    assert "Nothing is published at scale laptop to compare with." in out
    assert "Not run to the end here: 01_a; their claims may be old." in out


def test_columns_are_wrapped(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    rows = [["one two three four five six seven eight nine ten", "a\nb", "yes"]]
    text = reproduction.columns(["claim", "x", "y"], rows, (0, 10, 30)).splitlines()
    assert text == [
        "claim                                 x           y",
        f"{'-' * 36}  {'-' * 10}  {'-' * 30}",
        "one two three four five six seven     a           yes",
        "eight nine ten                        b",
    ]


# --- redrawn ---


def test_redrawn_figures_are_compared_byte_for_byte(root, capfd):
    notebook(root, 0.4)
    assert main(["run"]) == 0
    assert main(["publish"]) == 0
    before = tree(root / "data") | tree(root / "figures")
    capfd.readouterr()
    assert main(["figures"]) == 0
    out = capfd.readouterr().out
    assert "1 of 1 figures byte-identical to the published ones" in out
    assert "1 of 1 redrawn tables byte-identical to the published ones" in out
    assert (root / "build/laptop/redrawn/figures/01_a.png").exists()

    (root / "figures/laptop/02_b.png").touch()
    notebook(root, 0.4, figure="another")
    assert main(["figures"]) == 0
    out = capfd.readouterr().out
    assert "0 of 2 figures byte-identical to the published ones" in out
    assert "  01_a: differs (.png)\n" in out and "  02_b: was not redrawn\n" in out
    assert main(["figures", str(root / "notebooks/01_a.ipynb")]) == 0
    assert "0 of 1 figures byte-identical" in capfd.readouterr().out
    (root / "figures/laptop/02_b.png").unlink()
    assert tree(root / "data") | tree(root / "figures") == before


def test_last_digits_are_those_of_the_processor(root, capfd):
    """They are counted and not listed, and publishing what was redrawn leaves them as they were."""
    notebook(root, 0.4)
    assert main(["run"]) == 0
    assert main(["publish"]) == 0
    before = tree(root / "data")
    notebook(root, 0.4 + 1e-13)
    capfd.readouterr()
    assert main(["figures"]) == 0
    out = capfd.readouterr().out
    said = "0 of 1 redrawn tables byte-identical to the published ones, 1 but for last digits"
    assert said in out and "claims_01" not in out
    assert main(["publish", "--redrawn"]) == 0
    assert "2 files, 0 changed" in capfd.readouterr().out
    assert tree(root / "data") == before
    notebook(root, 0.4001)
    assert main(["figures"]) == 0
    assert "  claims_01: differs (.csv)" in capfd.readouterr().out
    assert main(["publish", "--redrawn"]) == 0
    assert claims.read(root / "data/results/laptop")["01.a"].effect == 0.4001


@pytest.mark.parametrize(
    ("own", "theirs", "same"),
    [
        (b"x,y\n10000000001,a\n", b"x,y\n10000000002,a\n", False),  # whole: no last digits
        (b"x,y\n0123,a\n", b"x,y\n123,a\n", False),
        (b"p\n3e-12\n", b"p\n9e-10\n", False),
        (b"x,y\n0.3,None\n", b"x,y\n0.3,\n", False),
        (b"x,y\n0.3,a\n", b"x,y\n0.3,a,b\n0.3\n", False),
        (b"x,y\n0.3,a\n", b"x,y\n0.30000000000000004,a\n", True),
        (b"x,y\n1e-17,a\n", b"x,y\n0.0,a\n", True),
        (b"x,y\n0.3,a\n", b"x,y\n0.3001,a\n", False),
        (b"x,y\n0.3,a\n", b"x,y\n0.3,b\n", False),
        (b"x,y\n0.3,a\n", b"x,y\n0.3,a\n0.3,a\n", False),
        (b"x,y\n0.3,a\n", b"y,x\na,0.3\n", False),
        (b"x,y\n,a\n", b"x,y\n0.0,a\n", False),
        (b"x\n1\n", b"", False),
        (b"", b"", True),
    ],
)
def test_tables_are_alike_but_for_their_last_digits(own, theirs, same):
    assert reproduction.alike(own, theirs) is same


# --- published ---


def test_publishing_replaces_both_folders_and_the_pages(root, capfd):
    home = root / "data/results/laptop"
    save(home, made("01.a", 9.0))
    (home / "stale.csv").touch()
    (root / "figures/laptop").mkdir(parents=True)
    (root / "figures/laptop/stale.svg").touch()
    notebook(root, 0.4)
    (root / "build/laptop/results").mkdir(parents=True)
    (root / "build/laptop/results/of_yesterday.csv").touch()
    assert main(["run"]) == 0
    capfd.readouterr()
    assert main(["publish"]) == 0
    out = capfd.readouterr().out
    assert f"{home}: 2 files, 1 changed, new: rows.csv, removed: stale.csv\n" in out
    assert set(tree(root / "data/results")) == {
        "README.md",
        "laptop/claims_01.csv",
        "laptop/rows.csv",
        "verdicts/01.md",
    }
    assert tree(root / "figures/laptop") == {"01_a.png": "png"}
    assert claims.read(home)["01.a"].effect == 0.4
    assert "+0.40 [+0.30, +0.50]" in (root / "data/results/README.md").read_text()
    assert "\n0 of 1: those" in (root / "data/results/README.md").read_text()


def test_only_whole_and_own_runs_are_published(root, capfd):
    path = notebook(root, 0.4)
    other = write(
        root / "notebooks/02_b.ipynb",
        "print(scale, seed)",
        parameters="scale = 'laptop'\nseed = 3",
    )

    def refused(why: str) -> None:
        capfd.readouterr()
        before = tree(root / "data") if (root / "data").exists() else None
        assert main(["publish"]) == 2
        err = capfd.readouterr().err
        assert err.startswith("error: this is no whole run of scale laptop") and why in err
        assert (tree(root / "data") if (root / "data").exists() else None) == before

    refused("01_a did not run to its end; 02_b did not run to its end")
    assert main(["run", str(path)]) == 0
    refused("published: 02_b did not run to its end. Run `make reproduce SCALE=laptop`")
    assert main(["run", str(other), "-p", "seed", "4"]) == 0
    refused("02_b was run with seed of your own")
    assert main(["run", str(other)]) == 0
    assert main(["publish"]) == 0
    rows = root / "build/laptop/results/rows.csv"
    rows.write_text("x\n2\n")
    refused("results/rows.csv was changed since")
    rows.unlink()
    refused("results/rows.csv was removed since")
    notebook(root, 0.5)
    refused("01_a or the package was edited since")


def test_what_was_redrawn_can_be_published_beside_the_tables_it_was_drawn_from(root, capfd):
    notebook(root, 0.4)
    assert main(["run"]) == 0
    assert main(["publish"]) == 0
    (root / "figures/laptop/stale.svg").touch()
    notebook(root, 0.7, figure="another")
    write(root / "notebooks/02_b.ipynb", "print(scale)", parameters="scale = 'laptop'")
    assert main(["publish", "--redrawn"]) == 2
    assert "Run `make figures SCALE=laptop`" in capfd.readouterr().err
    assert main(["figures"]) == 0
    assert main(["publish", "--redrawn"]) == 0
    home = root / "data/results/laptop"
    assert claims.read(home)["01.a"].effect == 0.7
    assert (home / "rows.csv").read_text() == "x\n1\n"
    assert tree(root / "figures/laptop") == {"01_a.png": "another"}


def test_what_a_notebook_made_that_is_gone_is_not_published(root):
    path = notebook(root, 0.4)
    assert main(["run"]) == 0
    path.rename(path.with_name("02_a.ipynb"))
    assert main(["publish"]) == 2
    assert main(["run"]) == 0
    assert main(["publish"]) == 0


def test_nothing_is_published_while_it_is_made(root, capfd):
    notebook(root, 0.4)
    assert main(["run"]) == 0
    with filelock.FileLock(root / "build/laptop/.driver.lock"):
        assert main(["publish"]) == 2
    assert "another process" in capfd.readouterr().err


def test_a_failure_while_publishing_leaves_what_was_published(root, monkeypatch, capfd):
    save(root / "data/results/laptop", made("01.a", 9.0))
    (root / "figures/laptop").mkdir(parents=True)
    (root / "figures/laptop/01_a.png").write_text("old")
    notebook(root, 0.4)
    assert main(["run"]) == 0
    before = {kind: tree(root / kind / rest) for kind, rest in (("data", "results/laptop"),)}
    before["figures"] = tree(root / "figures/laptop")
    real = publishing.shutil.copyfile

    def full(source, target):
        if Path(source).suffix == ".png":
            raise OSError(28, "No space left on device", str(target))
        return real(source, target)

    monkeypatch.setattr(publishing.shutil, "copyfile", full)
    assert main(["publish"]) == 2
    assert "No space left on device" in capfd.readouterr().err
    assert tree(root / "data/results/laptop") == before["data"]
    assert tree(root / "figures/laptop") == before["figures"]


def test_smoke_is_not_published(root, capsys):
    notebook(root, 0.4)
    assert main(["publish", "--scale", "smoke"]) == 2
    assert "its numbers mean nothing" in capsys.readouterr().err


def test_pages_alone_can_be_written(root):
    save(root / "data/results/laptop", made("01.a", 9.0))
    notebook(root, 0.4)
    assert main(["publish", "--pages"]) == 0
    assert "| +9.00" in (root / "data/results/README.md").read_text()
    assert "\n0 of 1: those" in (root / "data/results/README.md").read_text()
    assert json.dumps(tree(root / "data/results")).count("01.a") >= 2
