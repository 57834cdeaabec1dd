"""The command line: clusters for demo, benchmarks and looking around. See ``python -m tests.cluster --help``.

What machines read goes to stdout, what people read on the way (builds, start) to stderr. Exit codes: 0 ok, 2 error with a remedy on stderr.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from tests.cluster import builds, control_plane, programs, state
from tests.cluster.control_plane import Cluster
from tests.cluster.errors import ClusterError
from tests.cluster.state import StateDirectory

_DESCRIPTION = (
    "A real Kubernetes control plane on this machine, without containers: etcd, the API server, controllers, and simulated nodes."
)

_EXAMPLES = """\
examples:
  python -m tests.cluster up                      start a cluster named "default"; it stays until `down`
  python -m tests.cluster up --name a --quiet     etcd and the API server only: less memory, nothing reacts to objects
  export KUBECONFIG=$(python -m tests.cluster kubeconfig)
  python -m tests.cluster kubeconfig --user operator
  python -m tests.cluster status
  $(python -m tests.cluster path kubectl) get nodes
  python -m tests.cluster down --all

environment:
  CVSTATE_KUBECONFIG   use the cluster of this kubeconfig; nothing is started or stopped
  KUBEBUILDER_ASSETS   a folder with etcd, kube-apiserver and kubectl to use instead of building them
  XDG_CACHE_HOME       where built programs are kept (below cvstate-operator/; about 700 MB)
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. `arguments` are those of the command line, None for the process's own."""
    chosen = _parser().parse_args(arguments)
    try:
        chosen.run(chosen)
    except ClusterError as error:
        print(f"error: {error.message}\nremedy: {error.remedy}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; nothing was left running", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=_DESCRIPTION, epilog=_EXAMPLES, formatter_class=raw)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    up = commands.add_parser("up", help="start a cluster that stays until `down`, or show the one that runs")
    _add_name(up)
    up.add_argument("--quiet", action="store_true", help="etcd and the API server only")
    up.add_argument(
        "--nodes", type=int, default=control_plane.DEFAULT_NODES, metavar="N", help="how many nodes to simulate (default: %(default)s)"
    )
    up.add_argument("--json", action="store_true", help="print one JSON object")
    up.set_defaults(run=_up)

    down = commands.add_parser("down", help="stop a cluster started with `up` and remove its directory")
    which = down.add_mutually_exclusive_group()
    _add_name(which)
    which.add_argument(
        "--all", action="store_true", help="every cluster started with `up`, and what crashed ones left; running tests keep theirs"
    )
    down.set_defaults(run=_down)

    kubeconfig = commands.add_parser("kubeconfig", help="print the path of a kubeconfig")
    _add_name(kubeconfig)
    users = "admin (system:masters) or operator (an ordinary user bound to cluster-admin); default: %(default)s"
    kubeconfig.add_argument("--user", choices=("admin", "operator"), default="admin", help=users)
    kubeconfig.set_defaults(run=_kubeconfig)

    status = commands.add_parser("status", help="list clusters, their programs and memory")
    status.set_defaults(run=_status)

    build = commands.add_parser("build", help="build programs that are missing", epilog=f"programs: {', '.join(programs.CATALOGUE)}")
    build.add_argument("programs", nargs="*", metavar="PROGRAM", help=f"default: {' '.join(programs.DEFAULT)}")
    build.set_defaults(run=_build)

    path = commands.add_parser("path", help="print the path of a program, after building it if it is missing")
    path.add_argument("program", metavar="PROGRAM", help=f"one of {', '.join(programs.CATALOGUE)}")
    path.set_defaults(run=_path)
    return parser


def _add_name(parser: argparse.ArgumentParser | argparse._MutuallyExclusiveGroup) -> None:
    parser.add_argument("--name", default="default", help="the cluster's name (default: %(default)s)")


def _up(chosen: argparse.Namespace) -> None:
    started = time.monotonic()
    cluster, was_running = Cluster.start_detached(name=chosen.name, quiet=chosen.quiet, nodes=chosen.nodes)
    note = "was running" if was_running else f"is ready after {time.monotonic() - started:.1f} s"
    print(f"cluster {cluster.name} {note}", file=sys.stderr)
    facts = {
        "name": cluster.name,
        "url": cluster.url,
        "admin-kubeconfig": str(cluster.admin_kubeconfig),
        "operator-kubeconfig": str(cluster.operator_kubeconfig),
        "audit-log": None if cluster.audit_log is None else str(cluster.audit_log),
    }
    if chosen.json:
        print(json.dumps({**facts, "was-running": was_running}))
        return
    for key in ("admin-kubeconfig", "operator-kubeconfig", "audit-log"):
        print(f"{key}: {facts[key] or 'none'}")


def _down(chosen: argparse.Namespace) -> None:
    if not chosen.all:
        directory = state.at(chosen.name)
        if not directory.path.exists():
            if control_plane.is_external():
                print("external: left alone")  # so that scripts with `up` and `down` work with it
                return
            raise ClusterError(f"no cluster named {chosen.name}", remedy="`python -m tests.cluster status` lists them")
        _take_down(directory)
        return
    for directory in state.listed():
        if directory.is_detached or directory.supervisor is None:
            _take_down(directory)


def _take_down(directory: StateDirectory) -> None:
    was_running = control_plane.take_down(directory)
    print(f"{directory.name}: {'stopped' if was_running else 'was not running; removed what it left'}")


def _kubeconfig(chosen: argparse.Namespace) -> None:
    cluster = Cluster.attach(chosen.name)
    print(cluster.admin_kubeconfig if chosen.user == "admin" else cluster.operator_kubeconfig)


def _status(_: argparse.Namespace) -> None:
    clusters = state.listed()
    if not clusters:
        print("no clusters; start one with `python -m tests.cluster up`")
        return
    table = Table("cluster", "state", "url", "program", "pid", "memory", box=None, pad_edge=False)
    for directory in clusters:
        for row in _rows(directory):
            table.add_row(*row)
    Console(soft_wrap=True).print(table)


def _rows(directory: StateDirectory) -> list[tuple[str, str, str, str, str, str]]:
    """Return the lines of `status` for one cluster: one per program, or one if there is none."""
    record = directory.record()
    if directory.supervisor is None:
        return [(directory.name, "stale", "", "", "", "")]
    if record is None:
        return [(directory.name, "starting", "", "", "", "")]
    kind = "up" if directory.is_detached else "owned"
    rows = []
    for program, identity in record.programs.items():
        memory = f"{identity.resident_bytes / 2**20:.0f} MiB" if identity.is_alive else "ended"
        rows.append((directory.name, kind, record.url, program, str(identity.pid), memory))
    return rows


def _build(chosen: argparse.Namespace) -> None:
    for name, path in builds.ensure(chosen.programs or programs.DEFAULT).items():
        print(f"{name}: {path}")


def _path(chosen: argparse.Namespace) -> None:
    print(builds.ensure([chosen.program])[chosen.program])


if __name__ == "__main__":
    sys.exit(main())
