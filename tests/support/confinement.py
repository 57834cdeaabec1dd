"""Becomes a container's process: run by `container.py` under `unshare`, in mount namespaces of its own, with its order as JSON.

Mounts the root read-only with the volumes in it, changes into it, lays down every right, and executes the command. Standard library only; every step
fails loudly.
"""

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

_PR_SET_NO_NEW_PRIVS = 38
_PR_CAPBSET_DROP = 24
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
"""Source: Linux, include/uapi/linux/prctl.h."""
_CAPABILITY_VERSION_3 = 0x20080522
"""Source: Linux, include/uapi/linux/capability.h."""
_CAPABILITIES = Path("/proc/sys/kernel/cap_last_cap")


def entering() -> list[str]:
    """The command that brings us here with the right to mount.

    As root in a mount namespace; else in a user namespace too, where the caller is the container's user.
    """
    if os.geteuid() == 0:
        return ["unshare", "--mount"]
    return ["unshare", "--user", "--map-user=65532", "--map-group=65532", "--keep-caps", "--mount"]


def main() -> None:
    """Carry out the order."""
    order = json.loads(sys.argv[1])
    root = Path(order["at"])
    _mount("--bind", order["root"], root)
    for mount in order["mounts"]:
        # The runtime makes the places it mounts at; here they have to be in the root, which is bound read-only.
        target = root / mount["path"].lstrip("/")
        _volume(mount, target, order["uid"])
    for special in ("proc", "dev"):
        _mount("--rbind", f"/{special}", root / special)
    _mount("-o", "remount,bind,ro", root)
    last = int(_CAPABILITIES.read_text())
    os.chroot(root)
    os.chdir(order["directory"])
    _lay_down(order["uid"], order["gid"], last)
    command = order["command"]
    os.execvpe(command[0], command, order["environment"])  # noqa: S606 - no shell is meant


def _volume(mount: dict[str, Any], target: Path, uid: int) -> None:
    if "source" in mount:
        _mount("--bind", mount["source"], target)
        _mount("-o", "remount,bind,ro" if mount["read_only"] else "remount,bind", target)
        return
    # As an emptyDir with a size: full when it is, and the Pod's group may write.
    options = f"size={mount['tmpfs_bytes']},mode=2777,uid={uid},gid={mount['gid']}"
    _mount("-t", "tmpfs", "-o", options, "tmpfs", target)


def _mount(*arguments: str | Path) -> None:
    subprocess.run(["mount", *map(str, arguments)], check=True)


def _lay_down(uid: int, gid: int, last_capability: int) -> None:
    """Become the user, without groups, capabilities, or a way to get any."""
    libc = ctypes.CDLL(None, use_errno=True)

    def prctl(*values: int) -> None:
        if libc.prctl(*(ctypes.c_ulong(value) for value in (*values, 0, 0, 0, 0)[:5])) != 0:
            raise OSError(ctypes.get_errno(), f"prctl {values}")

    for capability in range(last_capability + 1):
        prctl(_PR_CAPBSET_DROP, capability)
    if os.geteuid() != uid:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    header, none = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0), (ctypes.c_uint32 * 6)()
    if libc.capset(header, none) != 0:
        raise OSError(ctypes.get_errno(), "capset")
    prctl(_PR_SET_NO_NEW_PRIVS, 1)


if __name__ == "__main__":
    main()
