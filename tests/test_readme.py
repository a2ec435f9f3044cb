"""The README's own code runs, and its numbers are those of the committed tables."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from padalib import samplers
from padalib.study import claims

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
RESULTS = ROOT / "data" / "results"


def test_the_snippet_runs(tmp_path):
    (snippet,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    script = tmp_path / "snippet.py"
    script.write_text(snippet)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PADALIB_HEADLESS": "1"}
    done = subprocess.run(
        [sys.executable, script], env=environment, capture_output=True, text=True, check=True
    )
    said = r"tau -?[01]\.\d+: scores of PA&DA, weighted mini seed 0 by accuracy, 85 of 125 archite"
    assert re.match(said, done.stdout.splitlines()[-1])


def test_every_option_of_a_sampler_is_in_the_table():
    named = set(re.findall(r"(\w+)=`", README)) | set(re.findall(r"`(\w+)=`", README))
    for part in (samplers.GradNormPaths, samplers.GradNormData, samplers.FairPaths):
        options = part.__init__.__annotations__.keys() - {"space", "n", "epochs", "return"}
        assert options <= named


def test_files_that_it_names_exist():
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), f"README names {target}, which is not there"


@pytest.mark.skipif(
    subprocess.run(["git", "diff", "--quiet", "--", RESULTS], cwd=ROOT, check=False).returncode,
    reason="the result tables were made anew here, or this is no git checkout",
)
@pytest.mark.parametrize(
    "scale", sorted({path.name for path in RESULTS.iterdir() if path.is_dir()} - {"smoke"})
)
def test_its_numbers_are_those_of_the_committed_tables(scale):
    tables = RESULTS / scale
    ranking = pd.read_csv(tables / "ranking.csv")
    means = ranking[ranking.metric == "tau"].groupby("method").value.mean()
    compared = pd.read_csv(tables / "comparisons.csv").set_index("comparison")
    variance = pd.read_csv(tables / "variance_compared.csv").set_index(["weights", "method"])
    cost = pd.read_csv(tables / "cost.csv").set_index("method")
    for method in ("SPOS", "PA", "PA&DA", "curriculum"):
        assert f"{means[method]:.3f}" in README
    assert f"{means[['parameters', 'FLOPs']].max():.3f}" in README
    for name in ("PA&DA - SPOS", "PA - curriculum", "curriculum - SPOS"):
        row = compared.loc[name]
        assert f"{row.difference:+.3f} [{row.seeds_low:+.3f}, {row.seeds_high:+.3f}]" in README
    for weights in ("raw", "importance"):
        row = variance.loc[(weights, "PA&DA")]
        assert claims.interval(row.variance_ratio, row.ratio_low, row.ratio_high) in README
    row = cost.loc["PA&DA"]
    assert f"{row.ratio:.3f} [{row.ratio_low:.3f}, {row.ratio_high:.3f}]" in README
