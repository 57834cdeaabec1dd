"""Program: run an official binary (kustomize, Helm) confined, and get what it wrote.

The caller is a child of `isolation/`, or the command line. The binary gets no network, no other programs, an environment made here, and limits of time,
memory and output; what goes wrong with the limits is one of our errors, a non-zero exit is `ProgramFailedError` for the caller to translate.
"""

import ctypes
import errno
import os
import platform
import resource
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from cvstate_operator import errors
from cvstate_operator.isolation import task
from cvstate_operator.objects.redaction import one_line
from cvstate_operator.render import yaml_reader

_SCAVENGE_INDEX_BYTES: Final = 512 * 2**20
"""Of address space Go's runtime reserves so much if it can, and does not look whether it could. Source: Go 1.26, runtime/mpagealloc_64bit.go, scavengeIndex.sysInit."""
ADDRESS_SPACE_BYTES: Final = {"kustomize": 752 * 2**20 + _SCAVENGE_INDEX_BYTES, "helm": 880 * 2**20 + _SCAVENGE_INDEX_BYTES}
"""Address space that a program has from its start: without that index kustomize v5.8.2 does not start below 741 MiB, Helm v4.3.1 not below 848 MiB (measured). If
only this were added, more memory would be room for the index, and none be left for the program (tried: kustomize did not start with 400 to 500 MiB). Limited besides
what is private: Linux does not count as such what Go's runtime reserved before, however large the piece that it takes into use (tried: 400 MB of 112)."""
OTHER_ADDRESS_SPACE_BYTES: Final = 1024 * 2**20 + _SCAVENGE_INDEX_BYTES
"""Of a program that was not measured."""
MEMORY_BYTES: Final = 1024 * 2**20
"""What a program may use, unless the caller says otherwise. 500 objects take kustomize 37 MB."""
MAX_OUTPUT_BYTES: Final = yaml_reader.Limits().max_bytes
"""YAML that a program may write: no more is read. 5,000 Deployments of 4 KiB each are as much."""
MAX_ERROR_BYTES: Final = 2**16
"""What is kept of standard error; the rest is read and dropped."""
MAX_MESSAGE_CHARACTERS: Final = 500
"""What people are shown of a program's words."""
FILE_BYTES: Final = 16 * 2**20
"""Largest file a program may write; rendering writes none but caches in its home."""
NOWHERE: Final = "/nonexistent"
"""The PATH of a program: it finds neither git nor a plugin."""

_CHUNK_BYTES: Final = 2**16
_ESCAPED_CHARACTERS: Final = 10
"""Longest way to write an unprintable character: `\\U000e0001`."""
_VERSION_SECONDS: Final = 20.0
_VERSION_BYTES: Final = 4096
_OUT_OF_MEMORY: Final = ("out of memory", "cannot allocate memory", "failed to reserve")
"""What Go's runtime says before it gives up."""

_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_SECCOMP: Final = 22
_PR_SET_NO_NEW_PRIVS: Final = 38
_SECCOMP_MODE_FILTER: Final = 2


@dataclass(frozen=True, slots=True)
class Limits:
    """What one run may use."""

    seconds: float = 55.0
    """Wall clock; less than the operator gives the whole render, so that the message can name the program. kustomize takes 0.4 s for 500 objects, Helm 0.1 s for the chart of `helm create` (measured)."""
    max_output_bytes: int = MAX_OUTPUT_BYTES
    """YAML that is written."""
    memory_bytes: int | None = MEMORY_BYTES
    """What it may use besides what Go reserves and does not use (`task.PROGRAM_RESERVE_BYTES`; of 48 MiB Helm used 44, kustomize 41, measured); None for no limit
    of ours. A limit of this process holds for both together: it has so much less meanwhile. An isolated child leaves room above its own for what Go reserves."""


class ProgramMemoryError(errors.RenderTooLargeError):
    """The program needed more memory than it was given."""


class ProgramOutputError(errors.RenderTooLargeError):
    """The program wrote more than it may."""


class ProgramFailedError(errors.BuildFailedError):
    """The program ended with a non-zero exit code. Translated by the caller, who knows what the words mean."""

    def __init__(self, code: int, stderr: str) -> None:
        super().__init__(f"exit code {code}" if code >= 0 else f"signal {-code}")
        self.code = code
        """Exit code; negative: the number of the signal that ended it."""
        self.stderr = stderr
        """The beginning of what it wrote to standard error: foreign text, several lines."""


def run(
    command: Sequence[str],
    *,
    home: Path,
    cwd: Path,
    limits: Limits,
    stdin: bytes = b"",
    environment: Mapping[str, str] | None = None,
) -> bytes:
    """Run a program to its end and return its standard output.

    Until then the output lies in a file: this process has little memory meanwhile (`task.lending`), and what the program used is free by then.

    Args:
        command: path of the program and its arguments; no shell, no search.
        home: a directory for it alone; becomes HOME and TMPDIR. What it writes is kept there meanwhile.
        cwd: where it runs.
        limits: beyond them it is killed with everything it started.
        stdin: what it reads; an empty one is closed at once.
        environment: variables besides HOME, PATH, TMPDIR, LC_ALL and Go's own.

    Raises:
        ToolMissingError: the program is not there or is none.
        RenderTimeoutError: not finished in time.
        ProgramOutputError: too much output.
        ProgramMemoryError: out of memory.
        ProgramFailedError: a non-zero exit.
        OSError: the disk is full.
    """
    deadline = time.monotonic() + limits.seconds
    name = os.path.basename(command[0])
    with tempfile.TemporaryFile(dir=home) as output:
        with tempfile.TemporaryFile(dir=home) as input_file:
            input_file.write(stdin)
            input_file.seek(0)
            process = _start(command, home=home, cwd=cwd, stdin=input_file, memory_bytes=limits.memory_bytes, environment=environment or {})
        code, stderr = _finish(process, output, name, limits, deadline)
        if code != 0:
            if limits.memory_bytes is not None and any(words in stderr for words in _OUT_OF_MEMORY):
                raise ProgramMemoryError(f"{name} needed more than {limits.memory_bytes // 2**20} MiB of memory; split the source")
            raise ProgramFailedError(code, stderr)
        output.seek(0)
        return output.read()


def version(command: Sequence[str], *, wanted: str) -> str:
    """What a program says its version is, like `v5.8.2`.

    Args:
        command: that makes it say so, and nothing else.
        wanted: name and version to install, for people: `kustomize v5.8.2`.

    Raises:
        ToolMissingError: the program is not there, or is something else.
    """
    limits = Limits(seconds=_VERSION_SECONDS, max_output_bytes=_VERSION_BYTES)
    try:
        with tempfile.TemporaryDirectory() as home:
            told = run(command, home=Path(home), cwd=Path(home), limits=limits)
    except errors.ToolMissingError:
        raise
    except errors.BuildFailedError as exc:
        raise errors.ToolMissingError(f"{command[0]} does not tell a version; install {wanted} there") from exc
    return one_line(told.decode(errors="replace").strip(), 40)


def ending(text: str) -> str:
    """What a program said, in one line of at most `MAX_MESSAGE_CHARACTERS`; the cause stands at the end, so the beginning goes first."""
    last = text[-MAX_MESSAGE_CHARACTERS - 1 :]
    shown = one_line(last, len(last) * _ESCAPED_CHARACTERS)
    return shown if len(shown) <= MAX_MESSAGE_CHARACTERS else "…" + shown[-MAX_MESSAGE_CHARACTERS + 1 :]


def _start(
    command: Sequence[str], *, home: Path, cwd: Path, stdin: IO[bytes], memory_bytes: int | None, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    variables = {"HOME": str(home), "PATH": NOWHERE, "TMPDIR": str(home), "LC_ALL": "C.UTF-8", "GOMAXPROCS": "2", **environment}
    if memory_bytes is not None:
        # The collector works harder before the hard limit ends the program.
        variables["GOMEMLIMIT"] = str(memory_bytes * 9 // 10)
    try:
        return subprocess.Popen(
            command,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=variables,
            cwd=cwd,
            start_new_session=True,
            preexec_fn=_confinement(os.path.basename(command[0]), memory_bytes),  # an isolated child has one thread
        )
    except OSError as exc:
        what = "is not there" if exc.errno == errno.ENOENT else "cannot be run"
        raise errors.ToolMissingError(f"program {command[0]} {what}; install it there, or give its path") from exc


def _finish(process: subprocess.Popen[bytes], output: IO[bytes], name: str, limits: Limits, deadline: float) -> tuple[int, str]:
    """Exit code and the beginning of standard error, once the program and everything it started have ended; standard output is in the file."""
    try:
        # Made beforehand: this process may have more than its part already, like a chart in memory, and then gets nothing while the program runs.
        chunk, complaint = bytearray(_CHUNK_BYTES), bytearray(MAX_ERROR_BYTES)
        with task.lending(limits.memory_bytes):
            told = _spool(process, output, chunk, complaint, deadline=deadline, max_output_bytes=limits.max_output_bytes)
            code = process.wait(timeout=max(0.0, deadline - time.monotonic()))
        return code, complaint[:told].decode(errors="replace")
    except (TimeoutError, subprocess.TimeoutExpired):
        raise errors.RenderTimeoutError(
            f"{name} did not finish within {limits.seconds:g} s; make the source smaller, or raise the limit"
        ) from None
    except OverflowError:
        raise ProgramOutputError(f"{name} wrote more than {limits.max_output_bytes // 2**20} MiB; split the source") from None
    finally:
        _end(process)


def _spool(
    process: subprocess.Popen[bytes], output: IO[bytes], chunk: bytearray, complaint: bytearray, *, deadline: float, max_output_bytes: int
) -> int:
    """Standard output into a file and as much of standard error as fits, read side by side until both are closed; how much of the latter there is."""
    assert process.stdout is not None  # asked for as a pipe  # noqa: S101
    assert process.stderr is not None  # noqa: S101
    written = told = 0
    for part, is_output in _parts(process.stdout, process.stderr, chunk, deadline=deadline):
        if is_output:
            written += output.write(part)
            if written > max_output_bytes:
                raise OverflowError
        else:
            kept = part[: len(complaint) - told]
            complaint[told : told + len(kept)] = kept
            told += len(kept)
    return told


def _parts(stdout: IO[bytes], stderr: IO[bytes], chunk: bytearray, *, deadline: float) -> Iterator[tuple[memoryview, bool]]:
    """What comes, and whether it is output; each part is the beginning of the same `chunk`."""
    view = memoryview(chunk)
    with selectors.DefaultSelector() as selector:
        selector.register(stdout, selectors.EVENT_READ, True)
        selector.register(stderr, selectors.EVENT_READ, False)
        while selector.get_map():
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError
            for key, _ in ready:
                if length := os.readv(key.fd, (chunk,)):
                    yield view[:length], key.data
                else:
                    selector.unregister(key.fileobj)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill what still runs, with everything it started, and take leave of it."""
    if process.returncode is None:
        # Not reaped yet, so the number of its group is still its own.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for stream in (process.stdout, process.stderr):
        if stream:
            stream.close()


# -- in the new process, before the program ----------------------------------------------------------------------------


def _confinement(name: str, memory_bytes: int | None) -> Callable[[], None]:
    """What the new process does to itself before it becomes the program."""
    limits = [(resource.RLIMIT_FSIZE, FILE_BYTES), (resource.RLIMIT_CORE, 0)]
    if memory_bytes is not None:
        limits.append((resource.RLIMIT_DATA, memory_bytes + task.PROGRAM_RESERVE_BYTES))
        limits.append((resource.RLIMIT_AS, memory_bytes + ADDRESS_SPACE_BYTES.get(name, OTHER_ADDRESS_SPACE_BYTES)))
    filters, parent = _no_network(), os.getpid()

    def confine() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        for limit, value in limits:
            _, hard = resource.getrlimit(limit)
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(limit, (value, value))
        _LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        if filters is not None:
            _LIBC.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(filters))

    return confine


class _Instruction(ctypes.Structure):
    """`struct sock_filter`. Source: Linux, include/uapi/linux/filter.h."""

    _fields_ = (("code", ctypes.c_uint16), ("jump_true", ctypes.c_uint8), ("jump_false", ctypes.c_uint8), ("value", ctypes.c_uint32))


class _Filter(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.POINTER(_Instruction)))


_SOCKET_CALLS: Final = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
"""Architecture as seccomp names it, and its number of `socket`. Source: Linux, include/uapi/linux/audit.h and the system call tables."""
_IO_URING_SETUP: Final = 425
"""The other way to a socket; the same number everywhere."""
_X32_BIT: Final = 0x40000000
"""Numbers from here on are x86-64's second table, which has a `socket` of its own."""

_LOAD: Final = 0x20
_EQUAL: Final = 0x15
_AT_LEAST: Final = 0x35
_RETURN: Final = 0x06
_ALLOW: Final = 0x7FFF0000
_REFUSE: Final = 0x00050000 | errno.EACCES


def _no_network() -> _Filter | None:
    """A seccomp filter under which no socket can be made; None on a machine whose numbers we do not know.

    The scan of what a source refers to comes first and says where the fault is; this is for what it cannot see, like a URL that a transformer puts together.
    Needs no privilege, unlike a network namespace.
    """
    known = _SOCKET_CALLS.get(platform.machine())
    if known is None:
        return None
    architecture, socket_call = known
    program = (
        _Instruction(_LOAD, 0, 0, 4),
        _Instruction(_EQUAL, 0, 5, architecture),
        _Instruction(_LOAD, 0, 0, 0),
        _Instruction(_AT_LEAST, 3, 0, _X32_BIT),
        _Instruction(_EQUAL, 2, 0, socket_call),
        _Instruction(_EQUAL, 1, 0, _IO_URING_SETUP),
        _Instruction(_RETURN, 0, 0, _ALLOW),
        _Instruction(_RETURN, 0, 0, _REFUSE),
    )
    return _Filter(len(program), (_Instruction * len(program))(*program))
