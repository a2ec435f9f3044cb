"""The notebooks as their reader meets them: JupyterLab in a browser, at scale `smoke`.

Runs that other tests of the session have made are found finished; what is edited here is trained.
"""

import base64
import shutil
import time

import lab
import live
import nbformat
import pandas as pd
import pytest

pytest.importorskip(
    "playwright", reason="Playwright is not installed: pip install -c constraints.txt -e '.[dev]'"
)
if lab.browser_path() is None:
    pytest.skip(
        "no Chromium or Chrome is installed: `apt install chromium`, or name one in "
        "PADALIB_BROWSER",
        allow_module_level=True,
    )

NAMES = [path.name for path in live.notebooks(live.ROOT)]
PLAY = "00_play.ipynb"  # the first notebook as it is in the project: its reader edits the scale
# What readers may have configured: nothing of it may reach a figure.
CONFIGURED = "backend: TkAgg\nfont.size: 20\nfont.family: serif\nsavefig.dpi: 50\naxes.grid: True\n"

PATIENT = '''
class NoWaste(samplers.PathSampler):
    """Notes its epochs, and waits in the second one until a file is there."""

    def new_epoch(self, epoch):
        import pathlib
        import time

        with open({diary!r}, "a") as diary:
            print(epoch, file=diary)
        while epoch == 1 and not pathlib.Path({go!r}).exists():
            time.sleep(0.05)

    def draw(self, generator):
        return [self.space.sample(generator)]


method = samplers.compose("patient", paths=NoWaste)
'''


@pytest.fixture(scope="module")
def page(project, tmp_path_factory):
    folder = tmp_path_factory.mktemp("jupyter")
    (folder / "matplotlibrc").write_text(CONFIGURED)
    shutil.copy(live.ROOT / "notebooks" / "00_quickstart.ipynb", project / "notebooks" / PLAY)
    env = live.environment(project, project / "data")
    env |= {"MATPLOTLIBRC": str(folder / "matplotlibrc"), "TZ": "Asia/Tokyo"}
    with (
        lab.server(project, env, folder) as address,
        lab.browser(lab.browser_path(), address) as opened,
    ):
        yield opened


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_of_a_notebook_is_seen(page, executed, project, name):
    executed(name)  # its runs are then finished, and its figures known
    before = live.saved(project, project / "notebooks" / name)
    page.open(project / "notebooks" / name)
    page.run_all()
    assert page.failed() == []
    saved = live.saved(project, project / "notebooks" / name)
    assert saved == before  # whatever this user's matplotlib is told
    images = page.images()
    shown = [base64.b64decode(image["src"].partition(",")[2]) for image in images]
    assert saved and live.files_of(shown, saved) == sorted(saved)
    for image in images:
        assert image["alt"] and image["alt"] in page.text()  # the caption, as both
        assert 0 < image["width"] <= min(image["natural"], image["room"])


def runs(project):
    return {path.name for path in (project / "data" / "runs").iterdir() if path.is_dir()}


def quickstart(project):
    return pd.read_csv(project / "build" / "smoke" / "results" / "quickstart.csv")


def wait_until(happened):
    """Wait for what a process of the notebook's does; no bound is ever reached unless it failed."""
    end = time.monotonic() + lab.TIMEOUT
    while not happened():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.1)


def test_a_sampler_is_edited_interrupted_and_resumed(page, executed, project, tmp_path):
    executed("00_quickstart.ipynb")
    old, first = runs(project), quickstart(project)
    diary, go = tmp_path / "diary", tmp_path / "go"
    source = PATIENT.strip().format(diary=str(diary), go=str(go))

    def epochs():
        return diary.read_text().split() if diary.exists() else []

    page.open(project / "notebooks" / PLAY)
    page.edit("scale: str", 'scale = "smoke"\nredraw = False\nworkers = None')
    page.edit("class NoWaste", source)
    before = page.count()
    page.run_all(wait=False)
    wait_until(lambda: "1" in epochs())
    begun = epochs().count("0")
    page.menu("Kernel", "Interrupt Kernel")
    page.idle(before)
    assert page.failed() and "“patient”" not in page.text()

    go.touch()
    page.run_all()
    assert page.failed() == [] and "“patient”" in page.text()
    assert epochs().count("0") == begun  # it went on from the end of the first epoch
    resumed = quickstart(project)
    assert old < runs(project) and set(resumed.method) == {"SPOS", "patient"}

    unbroken = live.copy_project(tmp_path / "unbroken")
    path = unbroken / "notebooks" / "00_quickstart.ipynb"
    book = nbformat.read(path, as_version=4)
    (cell,) = [cell for cell in book.cells if cell.source.startswith("class NoWaste")]
    cell.source = source
    nbformat.write(book, path)
    live.execute(path, live.environment(unbroken, unbroken / "data"))
    pd.testing.assert_frame_equal(resumed, quickstart(unbroken), check_exact=True)

    (taken_back,) = [
        cell.source
        for cell in nbformat.read(live.notebooks(live.ROOT)[0], as_version=4).cells
        if cell.source.startswith("class NoWaste")
    ]
    known = runs(project)
    page.edit("class NoWaste", taken_back)
    page.run_all()
    assert page.failed() == [] and runs(project) == known
    pd.testing.assert_frame_equal(quickstart(project), first, check_exact=True)
