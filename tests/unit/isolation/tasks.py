"""Tasks for the tests of isolation: each does one thing a real task might."""

import ctypes
import os
import resource
import ssl
import subprocess
import time
from typing import Any

from cvstate_operator import errors
from cvstate_operator.isolation import task

LIMITS = ("RLIMIT_AS", "RLIMIT_DATA", "RLIMIT_FSIZE", "RLIMIT_NOFILE", "RLIMIT_CORE")


def handle(request: dict[str, Any]) -> dict[str, Any]:
    return {
        "echo": echo,
        "environment": environment,
        "error": error,
        "crash": crash,
        "fault": fault,
        "eat": eat,
        "fail_full": fail_full,
        "overflow": overflow,
        "hang": hang,
        "leave": leave,
        "lend": lend,
    }[request["do"]](request)


def echo(request: dict[str, Any]) -> dict[str, Any]:
    return {"text": request["text"], "pid": os.getpid()}


def environment(request: dict[str, Any]) -> dict[str, Any]:
    limits = {name: resource.getrlimit(getattr(resource, name))[0] for name in LIMITS}
    descriptors = len(os.listdir("/proc/self/fd"))
    return {
        "environment": dict(os.environ),
        "cwd": os.getcwd(),
        "limits": limits,
        "descriptors": descriptors,
        "session": os.getsid(0) == os.getpid(),
        "authorities": [ssl.get_default_verify_paths().cafile, ssl.get_default_verify_paths().capath],
    }


def error(request: dict[str, Any]) -> dict[str, Any]:
    raise errors.VerificationFailedError("not signed", verdict="SignatureMissing")


def crash(request: dict[str, Any]) -> dict[str, Any]:
    ctypes.string_at(0)
    return {}


def fault(request: dict[str, Any]) -> dict[str, Any]:
    raise ValueError("a secret that must not be told")


def eat(request: dict[str, Any]) -> dict[str, Any]:
    return {"length": len(bytearray(request["bytes"]))}


def fail_full(request: dict[str, Any]) -> dict[str, Any]:
    """Fail as a C library may that got no memory."""
    taken = b"x" * request["bytes"]
    try:
        raise ValueError(str(len(taken)))
    except ValueError as exc:
        task.raise_if_short(exc)
        raise


def lend(request: dict[str, Any]) -> dict[str, Any]:
    """Whether there is so much memory while it is lent to a program, and afterwards."""

    def is_there() -> bool:
        try:
            return bool(bytearray(request["bytes"]))
        except MemoryError:
            return False

    with task.lending(request["lent"]):
        meanwhile = is_there()
    return {"meanwhile": meanwhile, "afterwards": is_there()}


def overflow(request: dict[str, Any]) -> dict[str, Any]:
    raise task.OutOfRoomError("too much")


def leave(request: dict[str, Any]) -> dict[str, Any]:
    """Leave a process in a session of its own behind, as a daemon does."""
    child = subprocess.Popen(("sleep", "600"), start_new_session=True)
    return {"pid": child.pid}


def hang(request: dict[str, Any]) -> dict[str, Any]:
    child = subprocess.Popen(("sleep", "600"))
    with open(request["pids"], "w") as file:
        file.write(f"{os.getpid()} {child.pid}")
    time.sleep(600)
    return {}
