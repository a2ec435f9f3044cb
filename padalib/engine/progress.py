"""How far a grid of runs is: one bar for people who watch, otherwise few lines."""

import math
import os
import re
import sys
import time
from collections import defaultdict

from tqdm.auto import tqdm

from padalib.engine.runs import Run

GAPS = 10.0, 300.0  # seconds between two lines: a tenth of the time since the start, within these
Kind = tuple[str, str]


class Pace:
    """Seconds a tick takes, by kind of run: a training's is not a probe's.

    A kind is a config's class and its label without numbers (seeds, epochs).
    """

    def __init__(self) -> None:
        self.seconds: dict[Kind, float] = defaultdict(float)
        self.ticks: dict[Kind, int] = defaultdict(int)

    def add(self, kind: Kind, ticks: int, seconds: float) -> None:
        """Count what was seen."""
        self.ticks[kind] += ticks
        self.seconds[kind] += seconds

    def of(self, kind: Kind) -> float | None:
        """Seconds a tick; of a kind not seen yet, the slowest of its class; else None."""
        seen = {k: self.seconds[k] / n for k, n in self.ticks.items() if n}
        return seen.get(kind) or max((s for k, s in seen.items() if k[0] == kind[0]), default=None)

    def left(self, open_runs: list[tuple[Kind, int, float]], parallel: int) -> tuple[float, bool]:
        """Seconds until all have ended, and whether something of every class was seen.

        For each: its kind, its ticks left, and the seconds since its last tick.
        """
        paces = [(self.of(kind), ticks, since) for kind, ticks, since in open_runs]
        each = [max(0.0, pace * ticks - since) for pace, ticks, since in paces if pace is not None]
        return max([sum(each) / max(1, parallel), *each], default=0.0), len(each) == len(paces)


class Progress:
    """Of all runs of a grid, those found finished included.

    In a live kernel and on a terminal: a bar, filled by ticks. Elsewhere: few lines, each when a
    run has ended; where none ends for long, its last line.
    """

    def __init__(self, runs: list[Run]) -> None:
        self.runs = {run.key: run for run in runs}
        self.ended = {run.key for run in runs if run.done}
        self.ticks = {run.key: run.config.ticks if run.done else len(_logged(run)) for run in runs}
        self.found, self.failed = len(self.ended), set()
        self.pace, self.parallel = Pace(), 1
        self.active: dict[str, float | None] = {}  # when each that is under way last ticked
        self.begun = self.said = self.looked = time.monotonic()
        self.news, self.bar = "", None
        if _watched():
            self.bar = tqdm(
                total=sum(run.config.ticks for run in runs),
                initial=sum(self.ticks.values()),
                desc=self._where(),
                bar_format="{desc} {percentage:3.0f}%|{bar}| {elapsed}",
            )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        if kind is None:
            text = f"{len(self.runs)} run" + "s" * (len(self.runs) != 1)
            if self.failed:
                text = f"{len(self.ended)} of {text}"
            elif self.found:
                text += f" ({self.found} found finished)"
            if self.bar is None:
                self.say(f"{text}, {_duration(time.monotonic() - self.begun)}")
            else:
                self._fill(text)
        if self.bar is not None:
            self.bar.close()

    def begin(self, run: Run) -> None:
        """It has a process, or waits for one in an executor's queue."""
        self.active[run.key] = None

    def cut(self, run: Run) -> None:
        """It has to begin once more."""
        del self.active[run.key]

    def end(self, run: Run, failed: bool) -> None:
        """It has ended."""
        if run.key in self.active:
            self._look(run)
            left = 0 if failed else run.config.ticks - self.ticks[run.key]
            self._tick(run, left, self.active.pop(run.key))
        if failed:
            self.failed.add(run.key)
        else:
            self.ended.add(run.key)
            self.ticks[run.key] = run.config.ticks
        self.news = self._where()

    def show(self) -> None:
        """Look at the runs that are under way, and tell what is new."""
        for key in self.active:
            self._look(self.runs[key])
        self.parallel = max(self.parallel, sum(since is not None for since in self.active.values()))
        now = time.monotonic()
        if self.bar is not None:
            if self.news or now - self.said >= 1:  # its clock goes on
                self._fill(self._where())
        elif self.news and now - self.said >= min(max(0.1 * (now - self.begun), GAPS[0]), GAPS[1]):
            self.say(self.news)
            self.news = ""
        self.looked = now

    def say(self, text: str) -> None:
        """Print a line now."""
        if self.bar is not None:
            self.bar.write(text)
            return
        coding = getattr(sys.stdout, "encoding", None) or "utf-8"
        print(text.encode(coding, "backslashreplace").decode(coding), flush=True)
        self.said = time.monotonic()

    def _fill(self, text: str) -> None:
        self.bar.n = sum(self.ticks.values())
        self.bar.set_description_str(text, refresh=False)
        self.bar.refresh()
        self.said, self.news = time.monotonic(), ""

    def _look(self, run: Run) -> None:
        """What a run has logged since one last looked."""
        if self.active[run.key] is None and run.under_way:
            self.active[run.key] = self.looked  # it began at some time since
        lines = _logged(run)
        if new := len(lines) - self.ticks[run.key]:  # below 0: it goes on from further back
            self._tick(run, new, self.active[run.key])
            self.active[run.key] = time.monotonic()
            if not self.news.startswith("run "):
                self.news = f"{run.config.label}: {lines[-1]}" if lines else ""

    def _tick(self, run: Run, new: int, since: float | None) -> None:
        self.pace.add(_kind(run), max(0, new), time.monotonic() - since if since else 0.0)
        self.ticks[run.key] += new

    def _where(self) -> str:
        now, over = time.monotonic(), self.ended | self.failed
        todo = [run for key, run in self.runs.items() if key not in over]
        since = {key: now - last for key, last in self.active.items() if last}
        seconds, seen = self.pace.left(
            [(_kind(r), r.config.ticks - self.ticks[r.key], since.get(r.key, 0.0)) for r in todo],
            self.parallel,
        )
        return f"run {len(over)} of {len(self.runs)}{_left(seconds, seen) if todo else ''}"


def _watched() -> bool:
    if os.environ.get("PADALIB_HEADLESS"):
        return False
    kernel = sys.modules.get("ipykernel.kernelapp")  # imported by those that start one, too
    live = kernel is not None and kernel.IPKernelApp.initialized()
    return live or bool(sys.stderr and sys.stderr.isatty())


def _kind(run: Run) -> Kind:
    return type(run.config).__name__, re.sub(r"\d+", "", run.config.label)


def _logged(run: Run) -> list[str]:
    return run.progress()[: run.config.ticks]


def _left(seconds: float, seen: bool) -> str:
    """In words; `seen` is False where there are runs of which nothing is known."""
    minutes = math.ceil(seconds / 60)
    if minutes <= 1:
        return ", less than a minute left" if seen else ""
    many = f"{minutes} minutes" if minutes <= 100 else f"{minutes / 60:.1f} hours"
    return f", {'about' if seen else 'more than'} {many} left"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
