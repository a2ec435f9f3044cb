"""Verdicts: what notebooks save is what the README shows, and nothing else in it changes."""

import subprocess
from pathlib import Path

import pandas as pd
import pytest

from padalib.engine import paths
from padalib.study import claims, readme

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "data" / "results"


@pytest.fixture
def project(tmp_path, monkeypatch):
    for name in ("01_first.ipynb", "02_second.ipynb"):
        (tmp_path / "notebooks").mkdir(exist_ok=True)
        (tmp_path / "notebooks" / name).touch()
    monkeypatch.setattr(paths, "project_root", lambda: tmp_path)
    return tmp_path


def test_the_table_has_a_row_a_claim_and_a_cell_a_scale(project, capsys):
    readme.save("laptop", "02", [("best", "contradicted", "1.0 [0.9, 1.1]")])
    readme.save("laptop", "01", [("grows", "reproduced", "|g| of 2"), ("own", "yes", "3")])
    readme.save("cifar", "01", [("grows", "not resolved", "4 [3, 5]")])
    readme.save("smoke", "01", [("grows", "reproduced", "means nothing")])
    assert "grows: NOT RESOLVED. 4 [3, 5]\n" in capsys.readouterr().out
    table = pd.read_csv(paths.results_dir("laptop") / "claims_01.csv")
    assert table.verdict.tolist() == ["reproduced", "yes"]
    head, line, *rows = readme.markdown().splitlines()
    assert head.count("|") == line.count("|") == 5
    assert rows == [
        "| grows | [`01`](notebooks/01_first.ipynb) | **not resolved**: 4 [3, 5] "
        "| **reproduced**: \\|g\\| of 2 |",
        "| own | [`01`](notebooks/01_first.ipynb) | not measured | **yes**: 3 |",
        "| best | [`02`](notebooks/02_second.ipynb) | not measured "
        "| **contradicted**: 1.0 [0.9, 1.1] |",
    ]


def test_numbers_are_short():
    wanted = {
        0.013: "0.0130",
        1.2949: "1.29",
        16.65: "16.6",
        325.9: "326",
        12905.4: "12,905",
        5.069e7: "5.07e7",
    }
    assert {number: claims.short(number) for number in wanted} == wanted
    assert claims.interval(0.8, -1, 1000) == "0.800 [-1.00, 1,000]"


def test_only_what_is_between_the_marks_is_written(project):
    readme.save("laptop", "01", [("grows", "reproduced", "2")])
    page = project / "README.md"
    readme.update()
    assert not page.exists()
    for text in ("no marks\n", f"only one {readme.BEGIN}\n"):
        page.write_text(text)
        readme.update()
        assert page.read_text() == text
    page.write_text(f"above\n{readme.BEGIN}old{readme.END}\nbelow\n")
    readme.update()
    once = page.read_text()
    assert once == f"above\n{readme.BEGIN}\n\n{readme.markdown()}\n\n{readme.END}\nbelow\n"
    readme.update()
    assert page.read_text() == once


@pytest.mark.skipif(
    subprocess.run(["git", "diff", "--quiet", "--", RESULTS], cwd=ROOT, check=False).returncode,
    reason="the result tables were made anew here, or this is no git checkout",
)
def test_the_readme_shows_the_committed_verdicts():
    assert readme.markdown() in (ROOT / "README.md").read_text()
