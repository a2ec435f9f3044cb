"""What a grid says while it works: how far it is, how long it will take, and not too often."""

import io
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
from jobs import Job

from padalib.engine import progress
from padalib.engine.progress import Pace, Progress
from padalib.engine.runs import Run


class Clock:
    now = 1000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    """The module's clock, which stands still unless a test moves it."""
    own = Clock()
    monkeypatch.setattr(progress, "time", own)
    return own


@pytest.fixture
def bars(monkeypatch):
    """Somebody watches; the bars that they see."""
    made = []

    class Bar:
        def __init__(self, total, initial, desc, bar_format):
            self.total, self.n, self.text, self.open = total, initial, desc, True
            self.seen, self.lines = [], []
            made.append(self)

        def set_description_str(self, text, refresh):
            self.text = text

        def refresh(self):
            self.seen.append((self.n, self.text))

        def write(self, text):
            self.lines.append(text)

        def close(self):
            self.open = False

    kernel(monkeypatch, True)
    monkeypatch.setattr(progress, "tqdm", Bar)
    return made


def kernel(monkeypatch, live):
    """Imported, and running in this process or not."""
    app = SimpleNamespace(initialized=lambda: live)
    monkeypatch.setitem(sys.modules, "ipykernel.kernelapp", SimpleNamespace(IPKernelApp=app))


@pytest.fixture
def lines(monkeypatch, capsys, clock):
    """What headless runs print: a function that gives (clock, line) of all lines so far."""
    monkeypatch.setenv("PADALIB_HEADLESS", "1")
    said = []
    say = Progress.say

    def noted(self, text):
        said.append((clock.now - Clock.now, text))
        say(self, text)

    monkeypatch.setattr(Progress, "say", noted)
    yield said
    assert capsys.readouterr().out.splitlines() == [text for _, text in said]


def start(run):
    run.folder.mkdir(parents=True, exist_ok=True)
    (run.folder / "holder.json").write_text("{}")


def simulate(shown, runs, clock, seconds, workers=1, poll=0.5):
    """Let workers compute `runs`, which take `seconds` each and log their ticks evenly."""
    waiting, busy = list(runs), {}
    while waiting or busy:
        while waiting and len(busy) < workers:
            run = waiting.pop(0)
            shown.begin(run)
            start(run)
            busy[run.key] = run, clock.now
        clock.now += poll
        for key, (run, since) in list(busy.items()):
            ticks, takes = run.config.ticks, seconds(run)
            run.resume(min(ticks, int(ticks * (clock.now - since) / takes)))
            if clock.now - since >= takes:
                (run.folder / "done.json").write_text("{}")
                shown.end(busy.pop(key)[0], failed=False)
        shown.show()


# --- how long it will take ---

TRAINING, OTHER, SCORING = ("Train", "PA seed "), ("Train", "SPOS seed "), ("Score", "of PA seed ")


def test_each_kind_has_its_own_pace():
    pace = Pace()
    pace.add(TRAINING, 30, 60.0)
    pace.add(SCORING, 2, 10.0)
    todo = [(TRAINING, 30, 0.0), (TRAINING, 20, 1.5), (SCORING, 1, 0.0)]
    assert pace.left(todo, parallel=1) == (60 + 38.5 + 5, True)
    assert pace.left([*todo, todo[1]], parallel=2) == (142 / 2, True)
    assert pace.left(todo, parallel=2) == (60, True)  # no run is cut in two
    assert pace.left([(SCORING, 1, 7.0)], parallel=1) == (0, True)  # late, but never negative


def test_what_was_not_seen_takes_as_long_as_the_slowest_of_its_class_or_is_left_out():
    pace = Pace()
    assert pace.left([(TRAINING, 30, 0.0)], 1) == (0, False)
    pace.add(TRAINING, 10, 20.0)
    pace.add(("Train", "FairNAS seed "), 10, 50.0)
    assert pace.left([(OTHER, 10, 0.0)], 1) == (50, True)
    assert pace.left([(TRAINING, 10, 0.0), (SCORING, 1, 0.0)], 1) == (20, False)


def test_the_time_left_is_right_for_runs_of_two_kinds(lines, clock):
    first = [Job(f"a{n}") for n in range(20)]
    runs = [Run(config) for one in first for config in (one, Probe(f"p{one.name}"))]
    with Progress(runs) as shown:
        simulate(shown, runs, clock, lambda run: 45 if isinstance(run.config, Probe) else 15)
    assert lines[0] == (15, "run 1 of 40, more than 5 minutes left")  # 19 x 15 s, and the probes
    assert lines[1] == (60, "run 2 of 40, about 19 minutes left")
    for when, text in lines[1:-2]:  # never too little, nor more than a minute and a wait too much
        told = 60 * int(text.split()[-3])
        assert told - 100 <= 1200 - when <= told
    assert lines[-2][1] == "run 39 of 40, less than a minute left"
    assert lines[-1] == (1200, "40 runs, 20 min 0 s")


class Probe(Job):
    """Another kind of run."""


def test_lines_are_ten_seconds_apart_and_few(lines, clock):
    runs = [Run(Job(f"{n}")) for n in range(300)]
    with Progress(runs) as shown:
        simulate(shown, runs, clock, lambda run: 3, workers=2)
    times = [when for when, _ in lines[:-1]]
    assert all(b - a >= max(10, 0.1 * (b - 1)) for a, b in zip([0, *times], times, strict=False))
    assert len(times) == 24
    assert lines[0] == (10, "run 6 of 300, about 8 minutes left")
    assert lines[-1] == (450, "300 runs, 7 min 30 s")


def test_a_long_run_gives_signs_of_life(lines, clock):
    run = Run(Job("long", ticks=6))
    with Progress([run]) as shown:
        simulate(shown, [run], clock, lambda run: 240)
    assert [when for when, _ in lines] == [40, 80, 120, 160, 200, 240, 240]
    assert lines[1][1].startswith("job long: ")
    assert [text for _, text in lines[-2:]] == ["run 1 of 1", "1 run, 4 min 0 s"]


@pytest.mark.parametrize(
    ("seconds", "seen", "words"),
    [
        (20, True, ", less than a minute left"),
        (20, False, ""),
        (61, True, ", about 2 minutes left"),
        (61, False, ", more than 2 minutes left"),
        (6000, True, ", about 100 minutes left"),
        (9000, True, ", about 2.5 hours left"),
    ],
)
def test_the_time_left_in_words(seconds, seen, words):
    assert progress._left(seconds, seen) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (59.6, "1 min 0 s"), (370, "6 min 10 s"), (7260, "2 h 1 min")],
)
def test_the_time_taken_in_words(seconds, words):
    assert progress._duration(seconds) == words


# --- the last line ---


def test_the_last_line_tells_what_was_found_finished(lines, clock):
    runs = [Run(Job(name)).compute() for name in "ab"] + [Run(Job("c"))]
    with Progress(runs) as shown:
        simulate(shown, runs[2:], clock, lambda run: 20)
    assert lines == [(20, "run 3 of 3"), (20, "3 runs (2 found finished), 20 s")]


def test_the_last_line_tells_how_many_failed(lines):
    runs = [Run(Job("a")), Run(Job("b"))]
    with Progress(runs) as shown:
        for run in runs:
            shown.begin(run)
            shown.end(run, failed=run is runs[0])
    assert [text for _, text in lines] == ["1 of 2 runs, 0 s"]


def test_an_interrupt_has_no_last_line(lines):
    with pytest.raises(KeyboardInterrupt), Progress([Run(Job("a"))]):
        raise KeyboardInterrupt
    assert lines == []


def test_a_label_that_the_terminal_cannot_show_is_no_error(monkeypatch, clock):
    monkeypatch.setenv("PADALIB_HEADLESS", "1")
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    with Progress([]) as shown:
        shown.say("job \udcff \u00fc")
    sys.stdout.seek(0)
    assert sys.stdout.readline() == "job \\udcff \\xfc\n"


# --- the bar ---


def test_a_bar_is_filled_by_ticks_and_ends_full(bars, clock, capsys):
    runs = [Run(Job("a", ticks=30)), Run(Job("b"))]
    with Progress(runs) as shown:
        simulate(shown, runs, clock, lambda run: 30)
    (bar,) = bars
    assert (bar.total, bar.n, bar.open, bar.text) == (31, 31, False, "2 runs")
    counts = [n for n, _ in bar.seen]
    assert counts == sorted(counts) and {1, 15, 29, 30} <= set(counts)
    assert (29, "run 0 of 2, less than a minute left") in bar.seen
    assert capsys.readouterr().out == ""


def test_a_run_that_goes_on_starts_where_it_was_and_ends_full(bars, clock):
    done, cut = Run(Job("done", ticks=4)).compute(), Run(Job("cut", ticks=30))
    start(cut)
    cut.resume(15)
    with Progress([done, cut]) as shown:
        (bar,) = bars
        assert (bar.n, bar.total, bar.text) == (19, 34, "run 1 of 2")
        shown.begin(cut)
        shown.show()
        clock.now += 10
        cut.resume(16)
        shown.show()
        assert bar.seen[-1] == (20, "run 1 of 2, about 3 minutes left")
        cut.resume(10)  # it could only go on from further back
        shown.show()
        assert bar.seen[-1][0] == 14
        shown.end(cut, failed=False)
    assert (bar.n, bar.text) == (34, "2 runs (1 found finished)")


def test_a_bar_of_a_failed_run_does_not_look_complete(bars, clock):
    run = Run(Job("a", ticks=3))
    with Progress([run]) as shown:
        shown.begin(run)
        shown.end(run, failed=True)
    assert (bars[0].n, bars[0].total, bars[0].text) == (0, 3, "0 of 1 run")


def test_a_word_does_not_break_the_bar(bars, clock, capsys):
    with Progress([Run(Job("a"))]) as shown:
        shown.say("one moment")
    assert bars[0].lines == ["one moment"] and capsys.readouterr().out == ""


def test_a_pipe_has_lines_though_a_kernel_was_imported(bars, clock, monkeypatch, capsys):
    kernel(monkeypatch, False)
    monkeypatch.setattr(sys, "stderr", SimpleNamespace(isatty=lambda: False))
    with Progress([Run(Job("a"))]):
        assert not bars


@pytest.mark.parametrize("headless", [True, False])
def test_a_terminal_has_a_bar_unless_headless(bars, clock, monkeypatch, headless):
    kernel(monkeypatch, False)
    monkeypatch.setattr(sys, "stderr", SimpleNamespace(isatty=lambda: True))
    if headless:
        monkeypatch.setenv("PADALIB_HEADLESS", "1")
    with Progress([Run(replace(Job("a"), ticks=2))]):
        assert len(bars) == (not headless)
