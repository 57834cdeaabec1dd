"""A benchmark that ends before its time leaves nothing behind.

Aspects: asked to end (SIGTERM, SIGINT) · killed itself · its work killed, or crashed · a hangup that `nohup` ignores · exit codes · processes of the tool, its
children, servers and observer · temporary directories · no half run is kept, and that is told · what was kept is continued.
"""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from textwrap import indent

import pytest

from bench import count, guard, results
from bench.witness import ROOT
from tests.support.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.long, pytest.mark.timeout(240)]

WANTED = (
    "/etcd ",
    "kube-apiserver",
    "cvstate run",
    "bench.observer",
    "tests.cluster.supervisor",
    "cvstate_operator.isolation.forkserver",
)
"""Parts of command lines, all of which run while a commit is awaited."""


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A run of a thousand commits: it ends only when it is ended."""
    command = (sys.executable, "-m", "bench", "S2", "--n", "20", "--tools", "cvstate", "--rounds", "1000", "--rest", "0.5")
    where = ("--results", str(tmp_path / "results"), "--docs", str(tmp_path / "docs"))
    with subprocess.Popen((*command, *where), cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        yield process
        process.kill()


def commands(pids: set[int]) -> list[str]:
    return [text for pid in pids if (text := command_line(pid))]


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def everything(process: subprocess.Popen[str]) -> set[int]:
    """All its processes, once all that we want to see end is there."""

    def found() -> set[int]:
        assert process.poll() is None, process.stderr and process.stderr.read()
        pids = count.family([process.pid])
        running = commands(pids)
        return pids if all(any(part in command for command in running) for part in WANTED) else set()

    return until("tool, servers and observer run", found, seconds=120)


def directories(process: subprocess.Popen[str]) -> list[Path]:
    return [path for parent in (Path(tempfile.gettempdir()), guard.MEMORY) for path in parent.glob(f"cvstate-bench-{process.pid}-*")]


def worker(process: subprocess.Popen[str]) -> int:
    """The one child of the guard."""
    [pid] = map(int, Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split())
    return pid


@pytest.mark.parametrize(
    ("is_worker", "number", "code"),
    [
        pytest.param(False, signal.SIGTERM, 143, id="asked to end"),
        pytest.param(False, signal.SIGINT, 130, id="interrupted"),
        pytest.param(False, signal.SIGKILL, -9, id="killed"),
        pytest.param(True, signal.SIGKILL, 137, id="its work killed"),
    ],
)
def test_nothing_outlives_a_benchmark(bench: subprocess.Popen[str], tmp_path: Path, *, is_worker: bool, number: signal.Signals, code: int):
    pids = everything(bench)
    assert directories(bench)
    os.kill(worker(bench) if is_worker else bench.pid, number)
    assert bench.wait(60) == code
    until("no process is left", lambda: not [pid for pid in pids if command_line(pid)], seconds=40)
    until("no directory is left", lambda: not directories(bench), seconds=10)
    assert bench.stderr
    told = bench.stderr.read()
    assert "S2 n=20 cvstate turn 1/1, 1 of 1 runs, about" in told
    assert is_worker or "stopped; no run had ended, so nothing was kept" in told
    assert not (tmp_path / "results").exists()


def test_what_was_kept_is_continued(tmp_path: Path):
    command = (sys.executable, "-m", "bench", "S1", "--n", "20", "--tools", "bound", "--width", "1", "--rest", "0.5", "--runs", "2")
    command = (*command, "--results", str(tmp_path), "--docs", str(tmp_path / "docs"))
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        until("a run is kept", lambda: results.read(tmp_path), seconds=100)
        process.terminate()
        assert process.stderr
        told = process.stderr.read()
    session = told.rpartition("--resume ")[2].strip()
    subprocess.run((*command, "--resume", session), cwd=ROOT, check=True, capture_output=True)
    assert [(record.session, record.turn) for record in results.read(tmp_path)] == [(session, 0), (session, 1)]


def held(work: str) -> subprocess.Popen[str]:
    """A guard of a few lines of Python, which print what the test asks about."""
    script = (
        f"import os, signal, subprocess, sys, time\nfrom bench import guard\ndef work():\n{indent(work, '    ')}\nsys.exit(guard.run(work))"
    )
    return subprocess.Popen((sys.executable, "-c", script), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


CRASH = """\
child = subprocess.Popen(["sleep", "600"], start_new_session=True)
print(child.pid, guard.directory(), flush=True)
os.abort()
"""


def test_a_crash_leaves_no_process_in_a_session_of_its_own_and_no_directory():
    with held(CRASH) as process:
        assert process.stdout
        pid, directory = process.stdout.readline().split()
        assert process.wait(30) == 128 + signal.SIGABRT
    assert not command_line(int(pid))
    assert not Path(directory).exists()


@pytest.mark.parametrize(("code", "work"), [(0, "return 0"), (3, "return 3"), (2, "sys.exit(2)")])
def test_work_that_ends_gives_its_exit_code(code: int, work: str):
    with held(work) as process:
        assert process.wait(30) == code


def test_a_hangup_that_is_to_be_ignored_ends_nothing():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        process = held("print('here', flush=True)\ntime.sleep(1)\nreturn 5")
    finally:
        signal.signal(signal.SIGHUP, before)
    with process:
        assert process.stdout
        process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        assert process.wait(30) == 5
