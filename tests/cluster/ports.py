"""Free ports on loopback for the servers of a cluster."""

from __future__ import annotations

import random
import socket
from pathlib import Path

from tests.cluster.errors import ClusterError

_LOWEST = 20_000
"""Below are many well-known services; above, up to the ephemeral range, few."""

_EPHEMERAL_DEFAULT = 32_768
"""First port Linux gives to outgoing connections unless configured otherwise. Source: kernel documentation, `ip_local_port_range`."""

_ATTEMPTS = 200


def free(count: int) -> tuple[int, ...]:
    """Return so many different ports nobody listens on now.

    They lie below the range for outgoing connections: so no connection takes one between this call and the start of the server, or while a server
    restarts. Chosen at random, so that clusters started at the same time do not choose the same.

    Raises:
        ClusterError: Hardly any port is free.
    """
    chosen: list[int] = []
    draw = random.SystemRandom()
    highest = _ephemeral_start() - 1
    for _ in range(_ATTEMPTS):
        port = draw.randint(_LOWEST, highest)
        if port not in chosen and _is_free(port):
            chosen.append(port)
        if len(chosen) == count:
            return tuple(chosen)
    raise ClusterError(f"found no {count} free ports from {_LOWEST} to {highest}", remedy="end programs that listen on many ports")


def _ephemeral_start() -> int:
    try:
        start = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return _EPHEMERAL_DEFAULT
    # Someone who moved the range down that far leaves no room below it.
    return start if start > _LOWEST + 1000 else _EPHEMERAL_DEFAULT


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
