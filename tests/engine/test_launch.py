"""A grid of runs: order, failures that stay with their run, other processes, any executor."""

import linecache
import os
import shutil
import signal
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from types import SimpleNamespace

import jobs
import psutil
import pytest
import torch
from jobs import ROOT, Job, attempts, wait_until

from padalib import samplers, spaces
from padalib.engine import launch
from padalib.engine.launch import grid
from padalib.engine.lock import Busy
from padalib.engine.runs import Run, RunError
from padalib.train import TrainConfig


class Counting(ThreadPoolExecutor):
    """Threads, and how often they were asked."""

    asked = 0

    def submit(self, *arguments, **named):
        self.asked += 1
        return super().submit(*arguments, **named)


def starts(run):
    return attempts(run).count("at work")


@pytest.fixture
def threads():
    with Counting(2) as executor:
        yield executor


# --- any executor ---


def test_runs_come_in_the_order_of_the_configs_and_duplicates_are_computed_once(threads):
    configs = [Job("c"), Job("a"), Job("c"), Job("b"), Job("c")]
    found = grid(configs, executor=threads)
    assert [run.config for run in found] == configs
    assert all(run.done and starts(run) == 1 for run in found)
    assert threads.asked == 3


def test_done_runs_are_not_asked_for_again(threads):
    grid([Job("a")], executor=threads)
    grid([Job("a"), Job("b")], executor=threads)
    assert threads.asked == 2
    assert grid([]) == []


def test_a_failure_in_an_executor_of_ones_own_is_reported(threads):
    words = "1 of 2 runs failed, the others are finished and kept:\n- job raises: ValueError: the m"
    with pytest.raises(RunError, match=words):
        grid([Job("raises"), Job("a")], executor=threads)
    assert Run(Job("a")).done and not Run(Job("raises")).done


def test_where_all_runs_fail_no_others_are_spoken_of(threads):
    with pytest.raises(RunError, match=r"^1 of 1 run failed:\n- job raises: ValueError: the m"):
        grid([Job("raises")], executor=threads)
    with pytest.raises(RunError, match=r"^2 of 2 runs failed:\n- job raises"):
        grid([Job("raises"), Job("is fussy")], executor=threads)


def test_a_finished_run_of_other_code_is_refused_and_the_others_are_computed(threads):
    (run,) = grid([Job("a")], executor=threads)
    (run.folder / "config.json").write_text("{}")
    with pytest.raises(RunError, match="was made by other code"):
        grid([Job("a"), Job("b")], executor=threads)
    assert Run(Job("b")).done


def test_a_finished_run_whose_record_is_damaged_is_named(threads):
    (run,) = grid([Job("a")], executor=threads)
    (run.folder / "done.json").write_text("{}")
    with pytest.raises(RunError, match=r"job a: .*done\.json is damaged .*delete the folder"):
        grid([Job("a")], executor=threads)


def test_an_executor_that_takes_no_calls_is_reported():
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    words = "job a: no process could be started .*cannot schedule new futures after shutdown"
    with pytest.raises(RunError, match=words):
        grid([Job("a")], executor=executor)


def test_a_call_that_the_executor_cancels_is_reported():
    class Cancelling:
        def submit(self, *_):
            future = Future()
            future.cancel()
            return future

    with pytest.raises(RunError, match="job a: it was cancelled"):
        grid([Job("a")], executor=Cancelling())


def test_a_config_that_cannot_be_sent_is_reported_and_the_others_are_computed(threads):
    @dataclass(frozen=True)
    class Unsendable(Job):
        def __reduce__(self):
            raise TypeError("cannot pickle the moon")

    words = r"1 of 2 .*\n- job moon: it cannot be sent to .*\(cannot pickle the moon\)"
    with pytest.raises(RunError, match=words):
        grid([Unsendable("moon"), Job("a")], executor=threads)
    assert Run(Job("a")).done


def test_threads_do_not_share_a_random_stream(monkeypatch):
    def weights(seed):
        return spaces.get("mini").build(seed=seed).stem[0].weight.detach().clone()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(4) as executor:
            found = list(executor.map(weights, range(100)))
    finally:
        sys.setswitchinterval(interval)
    assert all(torch.equal(one, weights(seed)) for seed, one in enumerate(found))


# --- what comes back is finished ---


@dataclass(frozen=True)
class Vanishing(Job):
    """A run whose folder somebody deletes as soon as it is done."""

    def compute(self, run):
        super().compute(run)
        threading.Thread(target=self.delete, args=(run,)).start()

    def delete(self, run):
        wait_until((run.folder / "done.json").exists)
        (run.folder / "done.json").unlink()
        (run.folder / "deleted").touch()


@pytest.fixture
def slow_threads(threads):
    """Threads whose calls end when the folder has been deleted."""

    class Slow:
        def submit(self, function, *arguments):
            def call():
                result = function(*arguments)
                wait_until((Run(Vanishing("a")).folder / "deleted").exists)
                return result

            return threads.submit(call)

    return Slow()


def test_a_run_that_is_not_there_after_all_is_an_error(slow_threads):
    with pytest.raises(RunError, match=r"job a: it ended without an error, but .* no finished run"):
        grid([Vanishing("a")], executor=slow_threads)


def test_a_run_whose_inputs_change_under_way_is_an_error(threads, monkeypatch):
    inputs = iter([{"images": 10}])  # as it is asked for; more are there when it is computed
    monkeypatch.setattr(Job, "inputs", lambda self: next(inputs, {"images": 11}))
    with pytest.raises(RunError, match="job a: "):
        grid([Job("a")], executor=threads)


def test_one_run_keeps_what_either_of_its_configs_asks_for():
    config = TrainConfig(data="digits-small", epochs=2)
    asked = [replace(config, keep=(0,)), config, replace(config, keep=(1,))]
    runs = grid(asked, executor=ThreadPoolExecutor(1))
    assert len({run.key for run in runs}) == 1
    assert all(run.done and run.has_state(f"epoch_{n}") for run in runs for n in (0, 1))


# --- what a run needs ---


def order(runs):
    return sorted(runs, key=lambda run: (run.folder / "done.json").stat().st_mtime_ns)


def test_what_a_run_needs_is_computed_once_and_before_it(monkeypatch, capsys):
    monkeypatch.setenv("PADALIB_HEADLESS", "1")
    base = Job("base")
    middle = [Job(f"middle {n}", needs=(base,)) for n in range(2)]
    top = Job("top", needs=tuple(middle))
    with Counting(2) as executor:
        grid([top, *middle], executor=executor)
        assert executor.asked == 4
    runs = [Run(config) for config in (base, *middle, top)]
    done = order(runs)
    assert (done[0].key, done[-1].key) == (runs[0].key, runs[-1].key)
    assert all(starts(run) == 1 for run in runs)
    assert capsys.readouterr().out.startswith("4 runs, ")  # in one count


def test_every_kind_of_run_is_met_early(threads):
    trainings = [Job(f"training {n}") for n in range(3)]
    scores = [Job(f"score {n}", needs=(one,)) for n, one in enumerate(trainings)]
    assert [run.config.name for run in launch._with_needs(map(Run, scores)).values()] == [
        f"{what} {n}" for n in range(3) for what in ("training", "score")
    ]


def test_what_needs_a_failed_run_fails_and_is_not_begun(threads):
    needy = Job("needy", needs=(Job("raises"),))
    words = "2 of 3 .*\n- job raises: ValueError: the moon.*\n- job needy: it needs job raises, whi"
    with pytest.raises(RunError, match=words):
        grid([needy, Job("a")], executor=threads)
    assert not Run(needy).folder.exists() and starts(Run(Job("raises"))) == 1
    assert Run(Job("a")).done


def test_what_finished_runs_needed_is_not_computed(threads):
    needy = Job("needy", needs=(Job("base"),))
    Run(needy).compute()
    grid([needy], executor=threads)
    assert threads.asked == 0


# --- runs of other processes ---

HOLD = """
import sys
from jobs import Job
from padalib.engine.runs import Run
run = Run(Job("waits", sys.argv[1])).compute()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that computes a run, which waits for the file `go`."""
    process = jobs.python("-c", HOLD, tmp_path)
    run = Run(Job("waits", str(tmp_path)))
    wait_until(lambda: run.progress() == ["at work"])
    yield process
    process.kill()
    process.communicate()


def grid_meanwhile(configs, then, **options):
    """A grid in which `then` happens as soon as the others than the first are finished."""
    others = [Run(config) for config in configs[1:]]

    def watch():
        wait_until(lambda: all(run.done for run in others))
        then()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        return grid(configs, **options)
    finally:
        thread.join()


@pytest.mark.parametrize("own", [True, False], ids=["processes", "threads"])
def test_a_run_of_another_process_is_waited_for_while_others_are_computed(
    holder, tmp_path, own, threads, monkeypatch, capsys
):
    monkeypatch.setattr(launch, "PATIENCE", 0.0)
    monkeypatch.setenv("PADALIB_HEADLESS", "1")
    configs = [Job("waits", str(tmp_path)), Job("a"), Job("b", needs=(Job("a"),))]
    options = {"workers": 1} if own else {"executor": threads}
    found = grid_meanwhile(configs, (tmp_path / "go").touch, **options)
    assert all(run.done and starts(run) == 1 for run in found)
    assert found[0].table("process").pid[0] == holder.pid
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "waiting" in line][:1]
    start = f"job waits is being computed by process {holder.pid} on {os.uname().nodename} since 20"
    assert line.startswith(start) and line.endswith("; waiting for its end")


def test_a_run_of_another_process_that_dies_is_computed_here(holder, tmp_path, threads):
    def die():
        (tmp_path / "go").touch()
        holder.send_signal(signal.SIGKILL)

    holder.send_signal(signal.SIGSTOP)  # it shall not see `go`
    configs = [Job("waits", str(tmp_path)), Job("a")]
    run, _ = grid_meanwhile(configs, die, executor=threads)
    assert starts(run) == 2 and run.table("process").pid[0] == os.getpid()


def test_what_needs_a_run_of_another_process_comes_after_it(holder, tmp_path, threads):
    base = Job("waits", str(tmp_path))
    configs = [Job("needy", needs=(base,)), Job("a")]
    needy, _ = grid_meanwhile(configs, (tmp_path / "go").touch, executor=threads)
    assert needy.done and order([needy, Run(base)])[0].key == Run(base).key


def test_who_computes_a_run_without_a_grid_is_told_too(holder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("padalib.engine.lock.PATIENCE", 0.0)
    run = Run(Job("waits", str(tmp_path)))
    with pytest.raises(Busy, match=f"job waits is being computed by process {holder.pid} on"):
        run.compute(wait=False)
    monkeypatch.setattr(
        "padalib.engine.lock.time",
        SimpleNamespace(
            monotonic=time.monotonic,
            strftime=time.strftime,
            sleep=lambda _: (tmp_path / "go").touch(),
        ),
    )
    run.compute()
    assert run.done and starts(run) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) <= 1 and all("; waiting for its end" in line for line in said)


# --- how many workers ---


@pytest.mark.parametrize("workers", [0, -1])
def test_fewer_than_one_worker_is_refused(workers, monkeypatch):
    with pytest.raises(ValueError, match=f"workers must be at least 1, got {workers}"):
        grid([Job("a")], workers=workers)
    monkeypatch.setenv("PADALIB_WORKERS", str(workers))
    with pytest.raises(ValueError, match=f"PADALIB_WORKERS must be at least 1, got {workers}"):
        grid([Job("a")])


def test_more_workers_than_memory_allows_are_refused(monkeypatch):
    free = SimpleNamespace(available=int(2.5 * 2**30))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    words = "4 workers need about 5.0 GiB, but 2.5 GiB are free: ask for at most 2 .*PADALIB_WORKE"
    with pytest.raises(ValueError, match=words):
        grid([Job(name) for name in "abcd"], workers=4)
    assert not any(Run(Job(name)).folder.exists() for name in "abcd")
    assert launch._workers(100, runs=2) == 2  # more workers than runs do not count


def test_a_number_of_workers_that_is_none_is_refused(monkeypatch):
    monkeypatch.setenv("PADALIB_WORKERS", "two")
    with pytest.raises(ValueError, match="PADALIB_WORKERS"):
        grid([Job("a")])


# --- processes of our own ---

CELL = """
import os
from padalib.samplers import ProductPaths

STRIDE = 2

class EveryOther(ProductPaths):
    "A sampler typed into a cell."

    def __init__(self, space, epochs):
        super().__init__(space, epochs)
        self.place = 0

    def draw(self, generator):
        self.place += STRIDE
        return [list(self.space)[self.place % len(self.space)]]

    def log(self):
        return {"process": os.getpid(), "place": self.place}
"""


def cell(source, name):
    """What a notebook does with a cell: its classes are of `__main__`, which no worker imports."""
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    namespace = {"__name__": "__main__"}
    exec(compile(source, name, "exec"), namespace)
    return namespace["EveryOther"]


@pytest.fixture(scope="module")
def troubled(tmp_path_factory):
    """(runs by name, what the error said) of a grid in which much goes wrong."""
    names = ["a", "raises", "is killed", "is fussy", "is killed once", "b"]
    method = samplers.compose("typed", cell(CELL, "<cell 1>"))
    configs = [*map(Job, names), TrainConfig(method, data="digits-small", epochs=2, batch=128)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PADALIB_DATA", str(tmp_path_factory.mktemp("data")))
        with pytest.raises(RunError) as caught:
            grid(configs, workers=2)
        return dict(zip([*names, "typed"], map(Run, configs), strict=True)), str(caught.value)


def test_a_run_that_raises_is_reported_by_label_and_reason(troubled):
    _, text = troubled
    assert text.startswith("3 of 7 runs failed, the others are finished and kept:\n")
    assert "- job raises: ValueError: the moon is full" in text


def test_a_run_under_which_workers_die_is_reported(troubled):
    runs, text = troubled
    assert "- job is killed: its process died 2 times (killed, or out of memory)" in text
    assert starts(runs["is killed"]) == 2 and not runs["is killed"].done


def test_a_run_whose_worker_dies_once_goes_on(troubled):
    run = troubled[0]["is killed once"]
    assert run.done and starts(run) == 2


def test_an_exception_that_cannot_be_pickled_is_no_death(troubled):
    assert "- job is fussy: Fussy: no because of the moon" in troubled[1]


@pytest.mark.parametrize("name", ["a", "b"])
def test_the_other_runs_finish_in_other_processes(troubled, name):
    runs, _ = troubled
    assert runs[name].table("process").pid[0] != os.getpid()
    assert starts(runs[name]) == 1


def test_a_sampler_from_a_notebook_is_trained_in_a_worker(troubled):
    curves = troubled[0]["typed"].table("curves")
    assert curves.place.tolist() == [8, 16]  # four steps an epoch
    assert curves.process.nunique() == 1 and curves.process[0] != os.getpid()


def test_a_sampler_from_a_notebook_is_part_of_the_identity():
    keys = {
        Run(TrainConfig(samplers.compose("mine", cell(source, f"<cell {n}>")))).key
        for n, source in enumerate([CELL, CELL.replace("STRIDE = 2", "STRIDE = 3"), CELL])
    }
    assert len(keys) == 2


def test_a_worker_that_dies_between_two_runs_is_replaced(tmp_path):
    """The first worker has nothing to do when it dies, and is the first to be asked again."""
    first, second = Job("dies after"), Job("waits for the dead", str(tmp_path))

    def tell():
        wait_until(lambda: Run(first).done)
        (tmp_path / "pid").write_text(str(Run(first).table("process").pid[0]))
        (tmp_path / "pid").rename(tmp_path / "go")

    thread = threading.Thread(target=tell)
    thread.start()
    try:
        runs = grid([first, second, Job("a", needs=(second,))], workers=2)
    finally:
        thread.join()
    assert [starts(run) for run in runs] == [1, 1, 1]


def server():
    """The process that workers are forked from."""
    marks = ("multiprocessing.forkserver",)
    for process in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            if any(mark in " ".join(process.cmdline()) for mark in marks):
                return process
    return None


def test_the_death_of_the_server_of_workers_is_survived(tmp_path):
    configs = [Job(f"waits {n}", str(tmp_path)) for n in range(2)]
    runs = [Run(config) for config in configs]

    def kill():
        wait_until(lambda: all(run.progress() for run in runs))
        server().kill()
        (tmp_path / "go").touch()

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        assert all(run.done for run in grid([*configs, Job("a")], workers=2))
    finally:
        thread.join()


def test_a_start_that_a_dying_server_refuses_is_no_death_of_the_run(monkeypatch):
    submit, refused = launch.Pool.submit, []

    def refuse(self, function, *arguments):
        if len(refused) < 5:
            refused.append(ConnectionRefusedError(111, "Connection refused"))
            raise refused[-1]
        return submit(self, function, *arguments)

    monkeypatch.setattr(launch.Pool, "submit", refuse)
    monkeypatch.setattr(launch, "LIVES", 1)  # a death would end it
    monkeypatch.setattr(launch, "DYING", 0.01)
    (run,) = grid([Job("a")], workers=1)
    assert run.done and len(refused) == 5


def test_a_server_that_dies_while_it_starts_a_worker_is_replaced():
    grid([Job("first")], workers=1)
    asleep = server()
    asleep.suspend()  # it takes the call and does not answer

    def kill():
        wait_until(lambda: waits_for_server(main))
        asleep.kill()

    main = threading.get_ident()
    thread = threading.Thread(target=kill)
    thread.start()
    try:
        (run,) = grid([Job("a")], workers=1)
    finally:
        thread.join()
    assert run.done and starts(run) == 1


def waits_for_server(thread):
    """Whether that thread reads the pid of a new worker."""
    frame, names = sys._current_frames()[thread], []
    while frame:
        names.append(frame.f_code.co_name)
        frame = frame.f_back
    return "read_signed" in names


# --- scripts ---

SCRIPT = """
import os, sys
from dataclasses import dataclass
import pandas as pd
from padalib.engine import launch

print("script", flush=True)

@dataclass(frozen=True)
class Own:
    name: str
    ticks = 1

    @property
    def label(self):
        return self.name

    def inputs(self):
        return {}

    def compute(self, run):
        run.write_table("process", pd.DataFrame({"pid": [os.getpid()]}))

runs = launch.grid([Own("a"), Own("b")], workers=2)
print(len({run.table("process").pid[0] for run in runs} | {os.getpid()}))
"""


@pytest.mark.parametrize("how", ["file", "standard input"])
def test_a_script_needs_no_main_guard_and_is_run_once(tmp_path, how):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    with script.open() as file:
        process = jobs.python(
            script if how == "file" else "-",
            stdin=file,
        )
        out, error = process.communicate(timeout=300)
    assert (process.returncode, out.splitlines()[0]) == (0, "script"), error
    assert out.count("script") == 1 and out.splitlines()[-1] == "3"


FOREVER = """
import os, sys, time
from dataclasses import dataclass
from padalib.engine import launch

@dataclass(frozen=True)
class Forever:
    name: str
    ticks = 1
    @property
    def label(self):
        return self.name
    def inputs(self):
        return {}
    def compute(self, run):
        run.log("at work")
        while not os.path.exists("go"):
            time.sleep(0.1)

if "prompt" in sys.argv:
    sys.ps1 = ">>> "
print("ready", flush=True)
launch.grid([Forever("a"), Forever("b")], workers=2)
print("done")
"""
STOPPED = "stopped; nothing is lost: finished runs are kept, cut ones go on when you ask again"


def stopped(folder, *arguments):
    """(exit status, standard error) of a grid that ^C hits, with all its workers at work."""
    own = {"cwd": folder, "start_new_session": True}
    process = jobs.python("-c", FOREVER, *arguments, **own)
    try:
        wait_until(lambda: len(list(folder.glob("data/runs/*/progress.log"))) == 2)
        workers = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        _, error = process.communicate(timeout=120)
        assert not psutil.wait_procs(workers, timeout=60)[1]
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, error


def test_an_interrupted_script_says_one_line_and_goes_on_later(tmp_path):
    assert stopped(tmp_path) == (130, STOPPED + "\n")
    (tmp_path / "go").touch()
    again = jobs.python("-c", FOREVER, cwd=tmp_path)
    out, _ = again.communicate(timeout=300)
    assert again.returncode == 0 and out.splitlines()[-1] == "done"


def test_at_a_prompt_an_interrupt_is_one(tmp_path):
    status, error = stopped(tmp_path, "prompt")
    assert status != 130 and error.splitlines()[-1].endswith(f"Stopped: {STOPPED}")


def test_an_interrupt_in_a_notebook_shows_one_line(monkeypatch):
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    monkeypatch.setattr(launch, "_grid", interrupt)
    with pytest.raises(KeyboardInterrupt) as caught:
        grid([Job("a")])
    assert caught.value._render_traceback_() == [STOPPED]  # which is what IPython shows
    assert not isinstance(caught.value, SystemExit)


def test_an_interrupt_can_be_caught_as_any_other(monkeypatch):
    monkeypatch.setattr(launch, "_grid", interrupt)
    with pytest.raises(KeyboardInterrupt) as caught:
        grid([Job("a")])
    assert isinstance(caught.value, SystemExit) and caught.value.code == 130


def interrupt(*_):
    raise KeyboardInterrupt


# --- what workers know ---

EDITED = """
import os
from dataclasses import dataclass
from pathlib import Path
import pandas as pd
import padalib
from padalib.engine import launch
import mine

@dataclass(frozen=True)
class Reading:
    name: str
    ticks = 1
    @property
    def label(self):
        return self.name
    def inputs(self):
        return {}
    def compute(self, run):
        from padalib.engine import paths
        import mine
        run.write_table("found", pd.DataFrame({"found": [paths.MARK + mine.MARK]}))

for round in range(2):
    for module in ("mine.py", "padalib/engine/paths.py"):
        with open(module, "a") as file:
            file.write(f"\\nMARK = {10 ** (module == 'mine.py') * (round + 1)}\\n")
    (run,) = launch.grid([Reading(f"round {round}")], workers=1)
    print(run.table("found").found[0])
"""


def test_workers_read_modules_as_they_are_now(tmp_path):
    shutil.copytree(ROOT / "padalib", tmp_path / "padalib")
    (tmp_path / "mine.py").touch()
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    process = jobs.python("-c", EDITED, cwd=tmp_path, env=environment)
    out, error = process.communicate(timeout=300)
    assert [line for line in out.splitlines() if line.isdecimal()] == ["11", "22"], error


@pytest.mark.parametrize("moment", ["starting", "at work"])
def test_workers_end_when_their_parent_is_killed(tmp_path, moment):
    parent = jobs.python("-c", FOREVER, cwd=tmp_path)
    process, left = psutil.Process(parent.pid), []
    try:
        assert parent.stdout.readline() == "ready\n"
        wait_until(lambda: len(process.children(recursive=True)) >= 2)  # a tracker and a worker
        if moment == "at work":
            wait_until(lambda: list(tmp_path.glob("data/runs/*/progress.log")))
        workers = process.children(recursive=True)
        parent.kill()
        parent.wait()
        _, left = psutil.wait_procs(workers, timeout=20 if moment == "starting" else 120)
        assert not left
    finally:
        for survivor in [*left, parent]:
            survivor.kill()
        parent.communicate()
