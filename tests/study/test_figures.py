"""Figures: the same bytes wherever they are drawn, shown once, in colours to be told apart."""

import io
import math
import os
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import live
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from fontTools.ttLib import TTFont
from matplotlib.colors import to_rgb
from nbformat.v4 import new_code_cell, new_notebook
from PIL import Image

from padalib import spaces
from padalib.study import figures, scales

FILES = ("figure.csv", "figure.png", "figure.svg")
CAPTION = "The loss falls. " * 12
DRAW = """
import sys
from pathlib import Path
import test_figures
test_figures.draw(Path(sys.argv[1]))
"""


@figures.style()
def draw(folder, saves=1):
    """A figure with all that a figure has: lines, points, labels, a legend, a caption."""
    rows = pd.DataFrame(
        {"method": method, "seed": seed, "epoch": epoch, "loss": 2 / (1 + epoch) + seed / 10}
        for method in ("SPOS", "PA&DA")
        for seed in range(3)
        for epoch in range(6)
    )
    figure, (left, right) = figures.subplots(1, 2, figsize=(3.25, 1.8))
    figures.by_epoch(left, rows, "loss", ["SPOS", "PA&DA"])
    left.set(ylabel="loss − 0 (nats)", title="training", yscale="log")
    left.legend()
    found = figures.by_method(right, rows[rows.epoch == 5], "loss", ["SPOS", "PA&DA"])
    figures.scatter(right, found["sd"], -1000 * found["mean"], figures.GREY)
    right.set_ylabel("loss × 1000 (nats)")
    figures.key(right, ["SPOS", "PA&DA"])
    for _ in range(saves):
        figures.save(figure, folder, "figure", found, CAPTION)
    return found


def contents(folder):
    assert sorted(os.listdir(folder)) == list(FILES)
    return {name: (folder / name).read_bytes() for name in FILES}


# --- bytes ---

HOSTILE = """
backend: TkAgg
interactive: True
timezone: Asia/Tokyo
font.family: serif
font.size: 20
figure.dpi: 200
figure.facecolor: yellow
figure.constrained_layout.use: False
savefig.dpi: 50
savefig.bbox: tight
savefig.transparent: True
savefig.facecolor: red
svg.fonttype: path
svg.hashsalt: other
axes.grid: True
axes.unicode_minus: False
axes.formatter.use_locale: True
axes.formatter.limits: -1, 1
axes.prop_cycle: cycler('color', ['r', 'g'])
axes.xmargin: 0.3
xtick.direction: in
lines.linewidth: 5
lines.markeredgewidth: 3
legend.frameon: True
legend.loc: center
path.sketch: 1, 100, 2
path.simplify_threshold: 1.0
"""


def hostile(folder):
    """The environment of a user who has configured all that can be, another 'DejaVu Sans' too."""
    fonts = folder / "share" / "fonts"
    fonts.mkdir(parents=True)
    font = TTFont(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSansMono.ttf")
    for record in font["name"].names:
        record.string = str(record).replace("DejaVu Sans Mono", "DejaVu Sans")
    font.save(fonts / "DejaVuSans.ttf")
    (folder / "matplotlibrc").write_text(HOSTILE)
    known = subprocess.run(["locale", "-a"], capture_output=True, text=True).stdout.split()
    comma = [name for name in known if name.startswith(("de_", "fr_", "es_"))]
    return {
        "MATPLOTLIBRC": str(folder / "matplotlibrc"),
        "MPLCONFIGDIR": str(folder / "config"),  # no cache of fonts yet
        "MPLBACKEND": "TkAgg",
        "XDG_DATA_HOME": str(folder / "share"),
        "LC_ALL": (*comma, "C")[0],
        "TZ": "Asia/Tokyo",
        "PYTHONHASHSEED": "7",
    }


def test_figures_have_the_same_bytes_whatever_is_configured(tmp_path):
    path = os.pathsep.join([str(live.ROOT), *map(str, Path(__file__).parents[:2])])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", DRAW, tmp_path / "elsewhere"],
        env=os.environ | {"PYTHONPATH": path} | hostile(tmp_path / "user"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    draw(tmp_path / "here")
    assert contents(tmp_path / "elsewhere") == contents(tmp_path / "here")


def test_a_configuration_changes_nothing_in_this_process_either(tmp_path):
    draw(tmp_path / "plain")
    with matplotlib.rc_context({"font.size": 20, "savefig.dpi": 50, "axes.grid": True}):
        draw(tmp_path / "configured")
        assert matplotlib.rcParams["font.size"] == 20  # and is the user's own afterwards
    assert contents(tmp_path / "configured") == contents(tmp_path / "plain")


def test_a_screen_of_many_pixels_changes_nothing(tmp_path):
    figure, _ = figures.subplots(figsize=(2, 2))
    figures.save(figure, tmp_path / "plain", "figure", pd.DataFrame(), "Once.")
    with figures.style():
        figure, _ = plt.subplots(figsize=(2, 2))
        figure.set_dpi(240)  # as a window on such a screen does
    figures.save(figure, tmp_path / "screen", "figure", pd.DataFrame(), "Once.")
    assert contents(tmp_path / "screen") == contents(tmp_path / "plain")


def test_a_figure_saved_twice_has_the_same_bytes(tmp_path):
    draw(tmp_path / "once")
    draw(tmp_path / "twice", saves=2)
    assert contents(tmp_path / "twice") == contents(tmp_path / "once")


def test_a_figure_goes_with_the_numbers_it_shows(tmp_path):
    found = draw(tmp_path)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "figure.csv"), found, check_exact=True)
    svg = (tmp_path / "figure.svg").read_text()
    assert "The loss falls." in svg and "(nats)" in svg  # letters, not outlines
    assert "<dc:date>" not in svg and "Matplotlib v" not in svg


# --- shown ---

CELLS = (
    "import matplotlib.pyplot as plt\n"
    "import pandas as pd\n"
    "from pathlib import Path\n"
    "from padalib.study import figures",
    # pyplot meets its backend for the first time inside the style
    "with figures.style():\n"
    "    figure, axes = plt.subplots()\n"
    "figures.save(figure, Path('out'), 'first', pd.DataFrame(), 'Tau < 1 & \"fine\".')",
    "figure, axes = figures.subplots(figsize=(3.25, 2))\n"
    "figures.save(figure, Path('out'), 'second', pd.DataFrame(), 'Two.')",
    "plt.plot([1, 2]);",
)


def test_what_is_saved_is_shown_once_and_the_readers_own_plots_still_are(tmp_path):
    book = new_notebook(cells=[new_code_cell(source) for source in CELLS])
    live.nbformat.write(book, tmp_path / "notebook.ipynb")
    ran = live.execute(tmp_path / "notebook.ipynb", live.environment(live.ROOT, tmp_path / "data"))
    _, first, second, own = ([o for o in cell.outputs] for cell in ran.cells)
    for (output,), name, width, caption in (
        (first, "first", 810, 'Tau < 1 & "fine".'),
        (second, "second", 390, "Two."),
    ):
        whole, shown = (
            np.asarray(Image.open(file))
            for file in (tmp_path / "out" / f"{name}.png", io.BytesIO(live.png(output)))
        )
        height = len(shown)  # all of it but the caption, which stands below as text
        assert (shown == whole[:height]).all() and (whole[height:] < 128).any()
        assert 0.7 * len(whole) < height < len(whole)
        assert (shown[-3:] == whole[0, 0]).all()
        assert output.metadata["image/png"] == {"width": width, "alt": caption}
        assert output.data["text/plain"] == caption
        assert live.Page.of(output.data["text/html"]).pictures == [(live.png(output), caption)]
        assert live.Page.of(output.data["text/html"]).captions == [caption]
    assert len(own) == 1 and "image/png" in own[0].data


def test_a_caption_that_takes_all_cuts_nothing():
    picture = io.BytesIO()
    Image.new("L", (4, 10)).save(picture, "png")
    for share, height in ((0, 10), (0.5, 5), (0.9, 10), (3, 10)):
        shown = Image.open(io.BytesIO(figures._above(picture.getvalue(), share)))
        assert shown.size == (4, height)


def test_no_pyplot_figure_is_left_open(tmp_path):
    with figures.style():
        figure, _ = plt.subplots()
    figures.save(figure, tmp_path, "figure", pd.DataFrame(), "Once.")
    assert not plt.get_fignums()


def test_leaving_the_style_keeps_what_a_backend_turned_on():
    before = matplotlib.is_interactive()
    try:
        matplotlib.interactive(False)
        with pytest.raises(KeyError), figures.style():
            matplotlib.interactive(True)
            raise KeyError
        assert matplotlib.is_interactive()
    finally:
        matplotlib.interactive(before)


# --- colours ---

# What a reader without the red or the green cones sees: Machado, Oliveira & Fernandes,
# IEEE Trans. Vis. Comput. Graph. 2009, severity 1, in linear RGB.
VIEWS = {
    "all cones": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
}
XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)


def lab(linear):
    """CIE L*a*b* (D65) of linear RGB; a distance of 2.3 is just noticeable."""
    ratio = XYZ @ linear / XYZ.sum(axis=1)
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def distance(a, b, view):
    seen = (lab(np.clip(VIEWS[view] @ live.linear(to_rgb(c)), 0, 1)) for c in (a, b))
    return np.linalg.norm(np.subtract(*seen))


TOGETHER = {  # operations that one figure shows
    name: ["fixed", *spaces.get(name).positions[0].options]
    for name in ("nasbench201", "chain-mini", "macro")
}
GROUPS = {
    "methods": figures.COLOURS | {"my own": figures.OWN},
    **{name: dict(figures.operations(own).values()) for name, own in TOGETHER.items()},
    "two kinds": dict(enumerate(figures.TWO)),
    **{f"{n} levels": figures.shades(range(n)) for n in (1, 2, 3, 4, 5)},
}


@pytest.mark.parametrize(
    ("shade", "wanted"),
    [("#000000", 21.0), ("#FFFFFF", 1.0), ("#767676", 4.54), ("#F0E442", 1.32), ("#E69F00", 2.25)],
)
def test_contrast_is_that_of_the_guidelines(shade, wanted):
    assert live.contrast(shade) == pytest.approx(wanted, abs=0.005)


def test_a_half_transparent_mark_is_paler():
    assert live.contrast("#000000", 0.5) == pytest.approx(live.contrast("#808080"), rel=0.01)


@pytest.mark.parametrize("group", GROUPS)
def test_every_mark_can_be_seen_on_white(group):
    assert {n: live.contrast(c) for n, c in GROUPS[group].items() if live.contrast(c) < 3} == {}


def test_lines_and_words_of_no_method_can_be_read():
    assert live.contrast(figures.GREY) >= 4.5


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("group", GROUPS)
def test_what_appears_together_can_be_told_apart(group, view):
    shades = GROUPS[group]
    close = {
        (a, b): round(distance(shades[a], shades[b], view), 1)
        for a, b in combinations(shades, 2)
        if distance(shades[a], shades[b], view) < 14
    }
    assert close == {}


def test_every_method_has_a_colour_of_its_own():
    known = {method for scale in scales.SCALES.values() for method in scale.methods}
    assert known <= set(figures.COLOURS)
    assert figures.colour("my own") == figures.OWN not in figures.COLOURS.values()


def test_options_of_a_space_of_ones_own_have_colours_that_can_be_seen():
    found = figures.operations(["my_op", "none", "other"])
    assert [label for label, _ in found.values()] == ["my op", "none", "other"]
    assert found["none"] == figures.OPERATIONS["none"]
    assert len({shade for _, shade in found.values()}) == 3


def test_a_legend_names_methods_in_their_colours():
    _, axes = figures.subplots()
    legend = figures.key(axes, ["PA", "mine"])
    assert [text.get_text() for text in legend.get_texts()] == ["PA", "mine"]
    assert [dot.get_color() for dot in legend.legend_handles] == ["#0072B2", figures.OWN]


# --- helpers of drawing ---


def test_what_was_looked_at_once_is_drawn_by_method_and_otherwise_over_time():
    rows = pd.DataFrame({"method": ["SPOS", "PA"] * 4, "seed": [0, 0, 1, 1] * 2, "loss": range(8)})
    with figures.style():
        figure, (left, right) = plt.subplots(1, 2)
    figures.over_time(left, rows.assign(epoch=[1] * 4 + [2] * 4), "loss", ["SPOS", "PA"])
    figures.over_time(right, rows.assign(epoch=2), "loss", ["SPOS", "PA"])
    assert left.get_xlabel() == "epoch (passes of images)" and right.get_xlabel() == ""
    assert [label.get_text() for label in right.get_xticklabels()] == ["SPOS", "PA"]
    plt.close(figure)


def test_logarithmic_ticks_do_not_crowd():
    for high, wanted in ((0.02, [0.001, 0.002, 0.005, 0.01, 0.02]), (1, [0.001, 0.01, 0.1, 1])):
        figure, axes = plt.subplots()
        axes.plot([0, 1], [0.001, high])
        axes.set_yscale("log")
        figures.log_ticks(axes.yaxis)
        low, top = axes.get_ylim()
        shown = [tick for tick in axes.get_yticks() if low <= tick <= top]
        assert shown == pytest.approx(wanted)
        plt.close(figure)


@pytest.mark.parametrize("scaling", ["linear", "log"])
def test_names_of_lines_stand_at_their_ends_and_not_on_each_other(scaling):
    figure, axes = plt.subplots()
    axes.set(yscale=scaling, ylim=(1, 100))
    figures.label_ends(axes, pd.Series({2: 30, 3: 31, 5: 2}), dict.fromkeys((2, 3, 5), "red"))
    heights = {text.get_text(): text.get_position()[1] for text in axes.texts}
    wanted = {n: (n - 1) / 99 if scaling == "linear" else math.log10(n) / 2 for n in (2, 30)}
    assert [heights["5"], heights["2"]] == pytest.approx([wanted[2], wanted[30]])
    assert heights["3"] == pytest.approx(heights["2"] + 0.1)
    figures.label_ends(axes, pd.Series({7: 99.0, 8: 99.5}), {7: "red", 8: "red"})
    assert [text.get_position()[1] for text in axes.texts[-2:]] == pytest.approx(
        [0.9945, 0.8945], abs=0.01
    )
    plt.close(figure)
