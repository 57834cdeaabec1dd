"""A program that is run confined.

Aspects: what it gets and gives · its surroundings · no network, no other programs · limits · how it ends, and that nothing of it is left.
"""

import ast
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from cvstate_operator import errors
from cvstate_operator.render import program
from cvstate_operator.render.program import Limits


def run(
    tmp_path: Path,
    code: str,
    *,
    seconds: float = 20,
    max_output_bytes: int = 2**20,
    stdin: bytes = b"",
    memory_bytes: int | None = None,
    environment: Mapping[str, str] | None = None,
) -> bytes:
    """Run Python code as the program."""
    return program.run(
        [sys.executable, "-I", "-c", code],
        home=tmp_path,
        cwd=tmp_path,
        limits=Limits(seconds, max_output_bytes, memory_bytes),
        stdin=stdin,
        environment=environment,
    )


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


# -- what it gets and gives --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stdin", [b"", b"values: 1\n", b"\xff" * 300_000], ids=["nothing", "text", "more-than-a-pipe-holds"])
def test_standard_input_comes_back_through_standard_output(tmp_path: Path, stdin: bytes) -> None:
    assert run(tmp_path, "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())", stdin=stdin) == stdin


def test_complaints_do_not_mix_with_output_and_do_not_block_it(tmp_path: Path) -> None:
    assert run(tmp_path, "import sys; sys.stderr.write('e' * 500_000); print('out')") == b"out\n"


def test_a_failure_carries_its_code_and_the_beginning_of_what_was_said(tmp_path: Path) -> None:
    with pytest.raises(program.ProgramFailedError) as caught:
        run(tmp_path, "import sys; print('half of it'); sys.stderr.write('because ' * 100_000); sys.exit(3)")
    assert caught.value.code == 3
    assert caught.value.stderr.startswith("because because")
    assert len(caught.value.stderr) == program.MAX_ERROR_BYTES


def test_a_program_ended_by_a_signal_has_its_number(tmp_path: Path) -> None:
    with pytest.raises(program.ProgramFailedError) as caught:
        run(tmp_path, "import os; os.kill(os.getpid(), 9)")
    assert caught.value.code == -9


# -- surroundings ------------------------------------------------------------------------------------------------------


def test_the_environment_is_made_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSWORD", "s3cret")
    monkeypatch.setenv("KUBECONFIG", "/somewhere")
    told = run(tmp_path, "import os; print(dict(os.environ))", environment={"HELM_NAMESPACE": "a"}, memory_bytes=2**30)
    found = ast.literal_eval(told.decode())
    assert found == {
        "HOME": str(tmp_path),
        "TMPDIR": str(tmp_path),
        "PATH": "/nonexistent",
        "LC_ALL": "C.UTF-8",
        "GOMAXPROCS": "2",
        "GOMEMLIMIT": str(2**30 * 9 // 10),
        "HELM_NAMESPACE": "a",
    }


def test_it_runs_where_it_is_told_in_a_session_of_its_own(tmp_path: Path) -> None:
    told = run(tmp_path, "import os; print([os.getcwd(), os.getsid(0) == os.getpid(), len(os.listdir('/proc/self/fd'))])")
    where, is_own_session, descriptors = ast.literal_eval(told.decode())
    assert where == str(tmp_path.resolve())
    assert is_own_session
    assert descriptors == 4  # the three, and the one that lists them


@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK"])
def test_it_can_make_no_socket(tmp_path: Path, family: str) -> None:
    code = f"import socket\ntry: socket.socket(socket.{family}, socket.SOCK_RAW if {family!r} == 'AF_NETLINK' else socket.SOCK_STREAM)"
    assert run(tmp_path, f"{code}\nexcept PermissionError: print('refused')") == b"refused\n"


def test_it_gains_no_rights_by_starting_something_else(tmp_path: Path) -> None:
    assert b"NoNewPrivs:\t1\n" in run(tmp_path, "print(open('/proc/self/status').read())")


# -- limits ------------------------------------------------------------------------------------------------------------


def test_a_program_that_does_not_end_is_killed_with_what_it_started(tmp_path: Path) -> None:
    code = "/bin/sleep 600 & echo $! > inner; echo $$ > outer; wait"
    started = time.monotonic()
    with pytest.raises(errors.RenderTimeoutError):
        program.run(["/bin/sh", "-c", code], home=tmp_path, cwd=tmp_path, limits=Limits(seconds=2, max_output_bytes=1))
    assert time.monotonic() - started < 10
    assert not is_running(int((tmp_path / "outer").read_text()))
    inner = int((tmp_path / "inner").read_text())
    deadline = time.monotonic() + 10
    while is_running(inner) and time.monotonic() < deadline:
        os.sched_yield()
    assert not is_running(inner)


def test_a_program_does_not_outlive_the_process_that_runs_it(tmp_path: Path) -> None:
    """An isolated child is killed without warning at its deadline; what it runs is in another session and must go as well."""
    sleeper = "import os, time; print(os.getpid(), file=open('new', 'w')); os.rename('new', 'pid'); time.sleep(600)"
    code = (
        "import sys\nfrom pathlib import Path\nfrom cvstate_operator.render import program\nhere = Path(sys.argv[1])\n"
        f"program.run([sys.executable, '-I', '-c', {sleeper!r}], home=here, cwd=here, limits=program.Limits(600, 1))"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) as runner:
        deadline = time.monotonic() + 20
        while not (tmp_path / "pid").exists() and time.monotonic() < deadline:
            os.sched_yield()
        inner = int((tmp_path / "pid").read_text())
        assert is_running(inner)
        runner.kill()
    while is_running(inner) and time.monotonic() < deadline:
        os.sched_yield()
    assert not is_running(inner)


def test_a_program_that_closes_its_output_and_stays_is_killed(tmp_path: Path) -> None:
    with pytest.raises(errors.RenderTimeoutError):
        run(tmp_path, "import os, time; os.close(1); os.close(2); time.sleep(600)", seconds=1)


def test_output_up_to_the_limit_is_taken_and_more_is_refused(tmp_path: Path) -> None:
    assert len(run(tmp_path, "print('x' * 1000, end='')", max_output_bytes=1000)) == 1000
    with pytest.raises(errors.RenderTooLargeError):
        run(tmp_path, "print('x' * 1001, end='')", max_output_bytes=1000)
    with pytest.raises(errors.RenderTooLargeError):
        run(tmp_path, "while True: print('x' * 100_000)")


def test_memory_beyond_the_limit_is_not_given(tmp_path: Path) -> None:
    code = "import sys\ntry: bytearray(3 * 2**30)\nexcept MemoryError: print('refused')"
    assert run(tmp_path, code, memory_bytes=2**30) == b"refused\n"


@pytest.mark.parametrize("held", [0, 30], ids=["little", "more than is its part"])
def test_a_process_whose_memory_the_program_has_gets_all_that_it_writes(tmp_path: Path, held: int) -> None:
    """As in an isolated child: of 64 MiB the program has 48 while it runs, and the output is more than the rest."""
    code = (
        "import resource, sys\nfrom pathlib import Path\nfrom cvstate_operator.isolation import task\nfrom cvstate_operator.render import program\n"
        f"held = b'x' * ({held} * 2**20)\nhere, most = Path(sys.argv[1]), task.status_bytes('VmData') + (64 - {held}) * 2**20\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (most, most + task.PROGRAM_RESERVE_BYTES))\n"
        "told = program.run([sys.executable, '-I', '-c', 'for _ in range(24): print(\"x\" * (2**20 - 1))'], home=here, cwd=here,"
        " limits=program.Limits(20, 2**25, 48 * 2**20))\nprint(len(told))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, check=False, timeout=60)
    assert (done.stdout, done.stderr) == (b"%d\n" % (24 * 2**20), b"")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", ["fatal error: runtime: out of memory", "fatal error: runtime: cannot allocate memory"])
def test_a_go_program_that_ran_out_of_memory_is_told_as_too_large(tmp_path: Path, words: str) -> None:
    with pytest.raises(errors.RenderTooLargeError):
        run(tmp_path, f"import sys; sys.exit({words!r})", memory_bytes=2**30)


def test_files_beyond_the_limit_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(program.ProgramFailedError):
        run(tmp_path, f"with open('big', 'wb') as file: file.write(b'x' * {program.FILE_BYTES + 1})")
    assert (tmp_path / "big").stat().st_size <= program.FILE_BYTES


# -- no program --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make", [None, lambda path: path.mkdir(), lambda path: path.write_text("no program")], ids=["missing", "directory", "text"]
)
def test_what_is_no_program_is_told_with_its_path(tmp_path: Path, make: object) -> None:
    path = tmp_path / "kustomize"
    if callable(make):
        make(path)
    with pytest.raises(errors.ToolMissingError) as caught:
        program.run([str(path)], home=tmp_path, cwd=tmp_path, limits=Limits(seconds=5, max_output_bytes=10))
    assert str(path) in caught.value.message


@pytest.mark.parametrize("code", ["import sys; sys.exit(2)", "print('v' * 10_000)"], ids=["no such command", "something else"])
def test_what_tells_no_version_is_not_the_program(tmp_path: Path, code: str) -> None:
    with pytest.raises(errors.ToolMissingError, match=r"install kustomize v5\.8\.2"):
        program.version([sys.executable, "-I", "-c", code], wanted="kustomize v5.8.2")


def test_a_version_is_one_short_line() -> None:
    assert program.version([sys.executable, "-I", "-c", "print('v1.2.3')"], wanted="x") == "v1.2.3"
    assert program.version([sys.executable, "-I", "-c", "print('a\\x1b' * 99)"], wanted="x").isprintable()


def test_of_a_long_complaint_the_end_is_told() -> None:
    told = program.ending("first " + "x" * 1000 + "\nthe cause")
    assert told.startswith("…x")
    assert told.endswith("\\nthe cause")
    assert len(told) == program.MAX_MESSAGE_CHARACTERS
