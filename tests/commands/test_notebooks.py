"""Every notebook, executed at scale `smoke`, or redrawn: what it saves is what its reader sees."""

import live
import pytest

from padalib.study import figures

NAMES = [path.name for path in live.notebooks(live.ROOT)]
# Paper, the edges of points and bars, and areas behind the marks: nothing is read off them.
PAPER = ("#ffffff", figures.BAND.lower())


@pytest.mark.parametrize("name", NAMES)
def test_the_images_shown_are_the_figures_saved(executed, project, name):
    images = [live.png(output) for output in live.shown(executed(name))]
    saved = live.saved(project, project / "notebooks" / name)
    assert saved and live.files_of(images, saved) == sorted(saved)


@pytest.mark.parametrize("name", NAMES)
def test_every_image_has_its_caption_as_text_and_as_alternative_text(executed, name):
    for output in live.shown(executed(name)):
        caption = output["data"]["text/plain"]
        page = live.Page.of(output["data"]["text/html"])
        assert caption and output["metadata"]["image/png"]["alt"] == caption
        assert page.pictures == [(live.png(output), caption)]
        assert page.captions == [caption]


@pytest.mark.parametrize("name", NAMES)
def test_every_mark_of_every_figure_can_be_seen_on_white(executed, project, name):
    executed(name)
    drawings = live.figures(project, name, "svg")
    assert drawings
    assert {p.name: live.pale(p.read_text(), PAPER) for p in drawings} == {
        p.name: {} for p in drawings
    }
