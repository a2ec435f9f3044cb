"""Claims as data: what notebooks save is what the README shows, and nothing else in it changes."""

import math
import subprocess
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from bs4 import BeautifulSoup
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

from padalib.commands import verdicts
from padalib.engine import paths
from padalib.engine.runs import RunError
from padalib.study import claims, scales, wording
from padalib.study.claims import Claim, Interval

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "data" / "results"


@pytest.fixture
def project(tmp_path, monkeypatch):
    for name in ("01_first.ipynb", "02_second.ipynb"):
        (tmp_path / "notebooks").mkdir(exist_ok=True)
        (tmp_path / "notebooks" / name).touch()
    monkeypatch.setattr(paths, "project_root", lambda: tmp_path)
    return tmp_path


def claim(key: str, effect: float, low: float, high: float, **more) -> Claim:
    intervals = [Interval(low, high, "seeds", 5)]
    return claims.of(key, f"{key} is so", effect, intervals, f"it is {effect}", **more)


def save(folder: Path, notebook: str, *found: Claim) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    claims.table(found).to_csv(folder / f"claims_{notebook}.csv", index=False)


MANY = [
    claim("01.tau", 0.44, 0.28, 0.59, unit="tau", figure="01_fig"),
    claim("01.times", 0.9, 0.8, 1.3, unit="times", null=1.0, bound=0.2, wanted=-1),
    claims.of(
        "01.both",
        "both, they say",
        0.05,
        [Interval(0.01, 0.09, "seeds", 5), Interval(-0.03, 0.13, "architectures", 1000)],
        'a "quoted", long | one',
        bound=0.1,
    ),
    Claim("01.none", "is open", claims.UNMEASURABLE, "it was below zero"),
]


def test_claims_come_back_as_they_were_saved(tmp_path):
    save(tmp_path, "01", *MANY)
    save(tmp_path, "00", claim("00.a", 0.1, math.nan, math.nan))
    found = claims.read(tmp_path)
    assert list(found) == ["00.a", "01.tau", "01.times", "01.both", "01.none"]
    assert repr(found["00.a"]) == repr(claim("00.a", 0.1, math.nan, math.nan))
    for one in MANY:
        assert repr(found[one.key]) == repr(one)  # NaN is equal to nothing, so by text


def test_a_notebook_that_claims_nothing_leaves_a_table_that_can_be_read(tmp_path):
    save(tmp_path, "00")
    save(tmp_path, "01", MANY[0])
    assert list(claims.read(tmp_path)) == [MANY[0].key] and claims.text([]) == ""


def test_a_table_of_another_layout_is_named(tmp_path):
    pd.DataFrame({"claim": ["grows"], "verdict": ["reproduced"]}).to_csv(tmp_path / "claims_01.csv")
    with pytest.raises(ValueError, match=r"claims_01\.csv is no table of claims .* lacks key"):
        claims.read(tmp_path)
    assert claims.read(tmp_path / "nowhere") == {}


def test_the_interval_that_decides_is_printed():
    tau, times, both, none = MANY
    assert claims.numbers(tau) == "+0.44 [+0.28, +0.59] tau"
    assert claims.numbers(times) == "0.90 [0.80, 1.30] times"
    assert claims.numbers(both) == "+0.050 [-0.030, +0.130]"
    assert claims.numbers(none) == ""
    below = claims.of(
        "k", "s", -0.2, [Interval(-0.3, -0.1, "a", 5), Interval(-0.5, -0.02, "b", 5)], "e"
    )
    assert claims.deciding(below).over == "b"


def test_equivalence_is_told_by_the_end_that_is_nearest_to_the_bound():
    """As of two spaces: the second reaches to +0.023, of a bound of 0.03."""
    near, far = Interval(-0.015, 0.015, "seeds", 5, 0.0), Interval(-0.011, 0.023, "seeds", 5, 0.006)
    both = claims.of("k", "s", 0.003, [near, far], "e", bound=0.03)
    assert both.verdict == claims.EQUIVALENT and claims.deciding(both) == far
    assert claims.numbers(both) == "+0.006 [-0.011, +0.023]"
    # Of ratios by the logarithm: 1 / 0.92 is 1.087, and farther from 1 than 1.08.
    low, high = Interval(0.92, 1.01, "seeds", 5, 0.97), Interval(0.99, 1.08, "seeds", 5, 1.03)
    ratio = claims.of("k", "s", 1.0, [high, low], "e", null=1.0, bound=0.1)
    assert ratio.verdict == claims.EQUIVALENT and claims.deciding(ratio) == low


def test_a_small_effect_keeps_its_sign():
    """-0.00294 is less than nothing, on every page."""
    less = claims.of("k", "s", -0.00294, [Interval(-0.12, 0.114, "seeds", 5)], "e")
    assert claims.numbers(less) == "-0.00 [-0.12, +0.11]"
    none = claims.of("k", "s", -0.0, [Interval(-0.1, 0.1, "seeds", 5)], "e")
    assert claims.numbers(none) == "+0.00 [-0.10, +0.10]"


def test_intervals_of_one_effect_are_never_mixed():
    """Over seeds and over architectures are not two effects, whatever p is."""
    three = [
        Interval(0.02, 0.20, "a", 5),
        Interval(0.01, 0.21, "b", 5),
        Interval(-0.25, -0.01, "c", 5),
    ]
    for p in (0.9, 0.001, math.nan):
        assert claims.judge(three, p=p) == claims.NOT_SHOWN


def test_a_p_that_is_not_known_or_rests_on_equal_seeds_shows_no_direction():
    equal, wide = Interval(0.1, 0.1, "seeds", 5), Interval(0.05, 0.2, "architectures", 50)
    for own in ([equal], [equal, wide]):
        assert claims.judge(own, p=math.nan) == claims.NOT_SHOWN
        assert claims.judge(own) == claims.SHOWN  # alone: every interval excludes no effect
    assert claims.judge([equal], p=0.0) == claims.NOT_SHOWN
    assert claims.judge([equal, wide], p=0.01) == claims.SHOWN  # p knows of the other doubt
    assert claims.judge([equal], bound=0.2, p=math.nan) == claims.EQUIVALENT
    seeds = replace(equal, high=0.3)
    alone, unknown = (claims.of("k", "s", 0.2, [seeds], "e", p=p) for p in (None, math.nan))
    assert (alone.verdict, unknown.verdict) == (claims.SHOWN, claims.NOT_SHOWN)
    assert math.isnan(alone.p) and math.isnan(unknown.p)
    assert claims.judge([seeds], bound=0.5, p=math.nan) == claims.EQUIVALENT


def test_several_effects_are_judged_one_by_one():
    up, down = Interval(0.1, 0.3, "seeds", 5, 0.2), Interval(-0.3, -0.1, "seeds", 5, -0.2)
    open_ = [Interval(-0.02, 0.06, "seeds", 5, 0.02), Interval(0.001, 0.04, "archs", 50, 0.02)]
    assert claims.judge([up, down]) == claims.MIXED
    assert claims.judge([up, down], p=0.9) == claims.NOT_SHOWN  # corrected, neither is told
    assert claims.judge([down, *open_]) == claims.NOT_SHOWN  # one interval of the other is not it
    assert claims.judge([up, replace(up, of=0.25)]) == claims.SHOWN
    words = claims.SHOWN, claims.OPPOSITE, claims.EQUIVALENT, claims.NOT_SHOWN
    assert [claims.agreed([word] * 2) for word in words] == list(words)
    assert claims.agreed(words) == claims.MIXED
    assert claims.agreed([claims.OPPOSITE, claims.EQUIVALENT]) == claims.NOT_SHOWN
    mixed = claims.of("k", "s", 0.2, [up, down], "e", unit="tau")  # both are told, no one alone
    assert claims.numbers(mixed) == "+0.20 [+0.10, +0.30]; -0.20 [-0.30, -0.10] tau"
    given = claims.of("k", "s", 0.0, [up, down], "e", verdict=claims.NOT_SHOWN)
    assert given.verdict == claims.NOT_SHOWN and "smallest effect" in given.evidence


def test_it_is_said_where_only_the_correction_withholds_a_direction():
    sure, unsure = Interval(0.1, 0.3, "seeds", 5), Interval(-0.1, 0.5, "architectures", 9)
    cases = (
        ([sure], 0.2, "not shown, corrected"),
        ([sure], 0.01, "shown"),
        ([sure], None, "shown"),
        ([sure, unsure], 0.2, "not shown"),
        ([unsure], 0.01, "not shown"),
    )
    for intervals, p, told in cases:
        assert claims.told(claims.of("k", "s", 0.2, intervals, "e", p=p)) == told
    below = claims.of("k", "s", -0.2, [Interval(-0.3, -0.1, "seeds", 5)], "e", p=0.2)
    assert claims.told(below) == "not shown, corrected"
    assert claims.told(replace(below, verdict=claims.EQUIVALENT)) == claims.EQUIVALENT
    found = [replace(below, key=str(k)) for k in range(7)]
    assert "*Not shown, corrected*: the intervals exclude no effect" in claims.text(found)
    assert claims.WHY_CORRECTED not in claims.text([replace(c, verdict="shown") for c in found])


def test_the_table_has_a_row_a_claim_and_a_line_a_scale(project, monkeypatch):
    save(project / "data/results/laptop", "02", claim("02.best", -1.0, -1.1, -0.9))
    save(project / "data/results/laptop", "01", MANY[2], MANY[3])
    save(project / "data/results/cifar", "01", MANY[0], claim("01.both", 4, 3, 5))
    save(project / "data/results/controls", "06", claim("06.both", 4, 3, 5))
    save(project / "data/results/controls", "06", claim("06.both.chain-mini", 4, 3, 5))
    save(project / "data/results/smoke", "01", claim("01.smoke", 4, 3, 5))
    monkeypatch.setattr(verdicts, "HEADLINES", ("01", "02", "06"))
    head, line, *rows = verdicts.deciding(verdicts.published())
    assert head.count("|") == line.count("|") == 4
    assert rows == [
        "| **The variance is least in proportion to the gradient norms** | | |",
        "| [02.best is so](verdicts/02.md#02best) | [02](../../notebooks/02_second.ipynb) "
        "| **opposite here** -1.00 [-1.10, -0.90] (`laptop`) |",
        "| **PA&DA lowers the variance in training** | | |",
        "| [01.tau is so](verdicts/01.md#01tau) | [01](../../notebooks/01_first.ipynb) "
        "| **shown** +0.44 [+0.28, +0.59] tau (`cifar`) |",
        "| [01.both is so](verdicts/01.md#01both) | [01](../../notebooks/01_first.ipynb) "
        "| **shown** +4.0 [+3.0, +5.0] (`cifar`)<br>"
        "**not shown** +0.050 [-0.030, +0.130] (`laptop`) |",
        "| [is open](verdicts/01.md#01none) | [01](../../notebooks/01_first.ipynb) "
        "| **not measurable** (`laptop`) |",
        "| **It ranks more consistently** | | |",
        "| [06.both.chain-mini is so](verdicts/06.md#06bothchain-mini) |  "
        "| **shown** +4.0 [+3.0, +5.0] (`controls`, `chain-mini`) |",
    ]
    words = [cell.split("](")[0].split("<br>") for row in rows for cell in row.split("|")]
    assert max(len(part) for parts in words for part in parts) <= 65, "fits a page's width"


def test_every_claim_stands_under_what_of_the_paper_it_answers_to(project):
    save(
        project / "data/results/cifar",
        "04",
        claim("04.ranks", 1, 0.5, 2),
        claim("04.finds", 1, 0, 2),
    )
    save(project / "data/results/cifar", "01", claim("01.extent.ranking", 1, 0.5, 2))
    save(project / "data/results/controls", "06", claim("06.pa_yoked_pa.tau_loss", 1, 0.5, 2))
    save(project / "data/results/full", "05", claim("05.longer", 1, 0.5, 2))
    save(project / "data/results/laptop", "99", claim("99.mine", 1, 0.5, 2))
    found = verdicts.published()
    assert [(key, verdicts.group(key)) for key in found] == [
        ("01.extent.ranking", "Large gradient variance spoils the ranking"),
        ("04.ranks", "It ranks more consistently"),
        ("06.pa_yoked_pa.tau_loss", "It ranks more consistently"),
        ("04.finds", "It finds better architectures"),
        ("05.longer", "Supernets that others trained at full scale (PA&DA is not among them)"),
        ("99.mine", "More"),
    ]
    rows = "\n".join(verdicts.deciding(found))
    assert "| **shown** +1.00 [+0.50, +2.00] (`controls`) |" in rows and "[99.mine" not in rows
    pages = verdicts.details(found)
    page = pages["README.md"]
    assert f"\n3 of 6: those that the findings rest on.\n\n{rows}\n" in page
    assert (
        "| [06.pa_yoked_pa.tau_loss is so](verdicts/06.md#06pa_yoked_patau_loss) "
        "| CIFAR-10, NAS-Bench-201 (`controls`) | shown |"
    ) in page
    assert "## 06.pa_yoked_pa.tau_loss" in pages["verdicts/06.md"]
    assert list(pages)[1:] == [f"verdicts/{key}.md" for key in ("01", "04", "06", "05", "99")]
    save(
        project / "data/results/controls", "07", claim("07.a.chain-mini", 1, 0.5, 2),
        claim("07.a.conv64", 1, 0.5, 2),
    )  # fmt: skip
    found = verdicts.published()
    assert list(found["07.a.chain-mini"]) == ["laptop_chain"]
    assert "CIFAR-10, `conv64` (`controls`)" in verdicts.details(found)["README.md"]
    save(project / "data/results/search", "10", claim("10.found.pada_macro12", 1, 0.5, 2))
    assert "CIFAR-10, `macro12` (`search`)" in verdicts.details(verdicts.published())["README.md"]
    titles = [line[3:] for line in page.splitlines() if line.startswith("## ")][1:6]
    assert titles == list(dict.fromkeys(verdicts.group(key) for key in found if key[:2] != "07"))


def test_every_scale_that_can_be_published_has_a_place_on_the_pages():
    """But for the paper's own, which were not run."""
    own = {name for name in scales.SCALES if not name.startswith(("smoke", "paper"))}
    named = [folder for folders in verdicts.FOLDERS.values() for folder in folders]
    assert sorted(named) == sorted(own)


def test_the_details_hold_every_number(project):
    save(project / "data/results/laptop", "01", *MANY)
    page = verdicts.details(verdicts.published())["verdicts/01.md"]
    assert page.startswith("# Claims of [`01_first.ipynb`](../../../notebooks/01_first.ipynb) in ")
    assert "## 01.both\n\n**both, they say.**\n" in page
    for said in (
        '- digits, `mini` (`laptop`): **not shown**. a "quoted", long | one; smallest effect',
        "  - Effect 0.440 tau, held against 0.",
        "  - Interval over 5 seeds: [0.0100, 0.0900].",
        "  - Interval over 1,000 architectures: [-0.0300, 0.130].",
        "  - Bound of equivalence 0.100.",
        "  - Figure: [01_fig](../../../figures/laptop/01_fig.png).",
        "**not measurable**. it was below zero.",
    ):
        assert said in page


def test_among_many_tests_a_visible_effect_is_larger():
    one = Interval(-0.1, 0.1, "seeds", 6)  # Student's with 5 degrees
    assert one.visible() == pytest.approx(0.1 * (2.5706 + 0.9195) / 2.5706, abs=1e-4)
    assert one.visible(10) == pytest.approx(0.1 * (4.7733 + 0.9195) / 2.5706, abs=1e-4)
    told = claims.of("k", "s", 0.0, [one], "e", p=0.5, tests=10)
    assert told.visible == pytest.approx(one.visible(10))


def test_a_visible_effect_has_the_degrees_of_freedom_of_its_interval():
    known = Interval(-0.1, 0.1, "seeds", 40, freedom=5.0)  # as of unequal spreads
    assert known.visible() == Interval(-0.1, 0.1, "seeds", 6).visible()
    both = Interval(-0.1, 0.1, "seeds and these", 40, freedom=5.0)
    assert both.visible(10) == known.visible(10)
    normal = Interval(-0.1, 0.1, "seeds", 6, freedom=math.inf)
    assert normal.visible() == pytest.approx(0.1 * (1.95996 + 0.84162) / 1.95996, abs=1e-6)


def test_an_interval_that_is_not_there_is_not_written_in_numbers():
    given = [Interval(math.nan, math.nan, "seeds", 1), Interval(0.1, 0.3, "architectures", 1250)]
    said = "+0.200; over 1 seeds no interval, over 1,250 architectures [+0.100, +0.300]"
    assert claims.said(0.2, given) == said


def test_an_effect_that_is_not_known_is_not_measurable():
    interval = Interval(math.nan, math.nan, "seeds", 3)
    for null in (0.0, 1.0):
        made = claims.of("k", "s", math.nan, [interval], "two of 3 are below zero", null=null)
        assert (made.verdict, made.intervals) == (claims.UNMEASURABLE, ())
        assert math.isnan(made.visible) and made.evidence == "two of 3 are below zero"
        assert claims.numbers(made) == ""


def test_an_end_never_looks_like_no_effect():
    near = claims.of("k", "s", 0.2, [Interval(0.0004, 0.4, "seeds", 5)], "e")
    assert near.verdict == claims.SHOWN and claims.numbers(near) == "+0.2000 [+0.0004, +0.4000]"
    at = claims.of("k", "s", -0.1, [Interval(-0.2, 0.0, "seeds", 5)], "e")
    assert claims.numbers(at) == "-0.10 [-0.20, +0.00]"
    large = claims.of("k", "s", 2e7, [Interval(1e6, 4e7, "seeds", 5)], "e", null=1)
    assert claims.numbers(large) == "2.00e7 [1.00e6, 4.00e7]"


def test_numbers_are_short():
    wanted = {
        0.013: "0.0130",
        1.2949: "1.29",
        16.65: "16.6",
        325.9: "326",
        12905.4: "12,905",
        5.069e7: "5.07e7",
    }
    assert {number: wording.short(number) for number in wanted} == wanted
    assert wording.interval(0.8, -1, 1000) == "0.800 [-1.00, 1,000]"


def test_an_interval_has_the_digits_that_it_is_known_to():
    assert wording.interval(0.000902, -0.0288, 0.0306, null=0) == "+0.001 [-0.029, +0.031]"
    assert wording.interval(0.4712, 0.378, 0.564, null=0) == "+0.471 [+0.378, +0.564]"
    assert wording.interval(1.29, 0.788, 2.25) == "1.29 [0.79, 2.25]"
    assert wording.interval(1.10, 1.004, 1.19, null=1) == "1.100 [1.004, 1.190]"
    assert wording.interval(3e-4, 1e-7, 0.1) == "0.000300 [1.00e-07, 0.100]"  # ends far apart
    assert wording.interval(0.5, math.nan, math.nan, null=0) == "+0.500 [nan, nan]"


def test_pages_are_written_and_those_of_no_claim_are_dropped(project):
    save(project / "data/results/laptop", "01", *MANY)
    wanted, results = verdicts.details(verdicts.published()), (project / verdicts.DETAILS).parent
    gone = results / verdicts.FULL / "77.md"
    gone.parent.mkdir(parents=True)
    gone.write_text("of a notebook that claims nothing any more")
    verdicts.update()
    assert {name: (results / name).read_text() for name in wanted} == wanted and not gone.exists()


def test_a_page_is_written_whole_or_not_at_all(project, monkeypatch):
    save(project / "data/results/laptop", "01", *MANY)
    page = project / verdicts.DETAILS
    page.write_text("before")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(RunError, match="the disk is full"):
        verdicts.update()
    assert page.read_text() == "before"
    assert [path.name for path in page.parent.iterdir() if path.is_file()] == ["README.md"]


def _published() -> bool:
    clean = subprocess.run(["git", "diff", "--quiet", "--", RESULTS], cwd=ROOT, check=False)
    heads = [path.read_text().split(",")[0] for path in RESULTS.glob("*/claims_*.csv")]
    return clean.returncode == 0 and set(heads) == {"key"}


@pytest.mark.skipif(
    not _published(), reason="no table of claims is published in this layout, or this is no clone"
)
def test_the_pages_show_the_published_verdicts():
    pages, folder = verdicts.details(verdicts.published()), (ROOT / verdicts.DETAILS).parent
    assert {name: (folder / name).read_text() for name in pages} == pages
    written = {f"{verdicts.FULL}/{path.name}" for path in (folder / verdicts.FULL).glob("*")}
    assert written == pages.keys() - {"README.md"}


def test_no_page_is_so_long_that_github_cuts_it():
    """It shows 500 KiB; half of that leaves room for what is not published yet."""
    tracked = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True)
    pages = [ROOT / name for name in tracked.stdout.splitlines()] or [*ROOT.glob("*.md")]
    long = {page.name: page.stat().st_size for page in pages if page.exists()}
    assert long and max(long.values()) < 250 * 1024, long


def test_claims_of_many_spaces_name_theirs():
    def shown(key):
        found = verdicts.Found(claims.of(key, "It holds", 0.1, [clear], "said"), "spaces")
        return verdicts._where("cifar", found), verdicts._short(found, "cifar")

    clear = claims.Interval(0.05, 0.15, "seeds", 5)
    for key, name in {
        "09.gain.tau_loss.macro": "`macro`", "09.over.gain.tau_loss": "several spaces",
    }.items():  # fmt: skip
        where, cell = shown(key)
        assert where == f"CIFAR-10, {name} (`spaces`)" and cell.endswith(f"(`spaces`, {name})")
    assert verdicts.group("09.gain.tau_loss.macro") == "It does so in various search spaces"
    assert verdicts.group("09.variance.raw.macro12") == "PA&DA lowers the variance in training"


def test_many_claims_are_a_table_with_each_in_full_behind_it():
    one = Claim(
        "a", "It | grows", "shown", "by much", 0.4, (Interval(0.3, 0.5, "seeds", 5),), "tau"
    )
    assert claims.text([one] * claims.FULL) == "\n\n".join(["**It | grows: shown.** by much."] * 6)
    said = claims.text([one] * (claims.FULL + 1))
    made = MarkdownWithMath(renderer=IPythonRenderer(escape=False)).render(said)
    page = BeautifulSoup(made, "html.parser")
    rows = [[cell.text for cell in row.find_all("td")] for row in page.table.find_all("tr")[1:]]
    assert rows == [["It | grows", "shown", "+0.40 [+0.30, +0.50] tau"]] * 7
    assert [p.text for p in page.details.find_all("p")] == ["It | grows: shown. by much."] * 7
