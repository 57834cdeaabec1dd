"""Pictures of the dashboards for docs/pictures: a real operator with ClusterStates that are well and ill, a real Prometheus, and the preview.

    python -m tests.e2e.dashboard_pictures docs/pictures      (`make dashboard-pictures`; about seven minutes)

Three teams: what payments runs is well, rolled out again and again and drifts now and then; of shop everything is broken in another way; platform holds things
back on purpose, or is fought with. It all happens in minutes, so that graphs have something to show.
"""

import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from cvstate_operator.cli.demo.git_server import GitServer
from tests.cluster.control_plane import Cluster
from tests.conftest import install_crd
from tests.support import dashboards
from tests.support.api import Api, Json
from tests.support.beside import beside
from tests.support.dashboards import BOARDS, preview
from tests.support.exporter import Exporter
from tests.support.objects import RBAC, config_map, deployment, manifest, text
from tests.support.operator import Operator
from tests.support.prometheus import Prometheus
from tests.support.waiting import until
from tests.support.world import World

PLAY_SECONDS: Final = 330.0
"""From the first roll-out to the picture."""
_ROUND_SECONDS: Final = 20.0
"""Between two things that happen to what is well."""
_TRAFFIC: Final = {"ledger": (997, 3), "web": (70, 30)}
"""Good and bad requests in a second."""
_NOTE: Final = "Drawn by deploy/monitoring/preview.py, not by Grafana: a real operator and a real Prometheus, with {count} ClusterStates of which many are broken on purpose."
_RULE: Final[Json] = {"verbs": ["get"], "apiGroups": [""], "resources": ["configmaps"]}


def _slo(service: str, objective: str) -> Json:
    return {
        "name": "availability",
        "objective": objective,
        "good": f'{service}_requests_total{{code="200"}}',
        "total": f"{service}_requests_total",
    }


@contextmanager
def _traffic(exporter: Exporter) -> Iterator[None]:
    """Requests all the time, some of them bad."""

    def serve(is_over: threading.Event) -> None:
        while not is_over.wait(1.0):
            for service, (good, bad) in _TRAFFIC.items():
                exporter.add(f"{service}_requests_total", good, code="200")
                exporter.add(f"{service}_requests_total", bad, code="500")

    with beside(serve):
        yield


class Play:
    """What happens to three teams."""

    def __init__(self, cluster: Cluster, api: Api, git: GitServer, operator: Operator, prometheus: Prometheus) -> None:
        self.payments, self.shop, self.platform = (
            World(cluster, api, git, operator, name=name) for name in ("payments", "shop", "platform")
        )
        self._prometheus = {"prometheus": {"url": prometheus.url}}
        self._rounds = 0

    def _declare(self, world: World, name: str, *, signals: tuple[Json, ...] = (), slos: tuple[Json, ...] = (), **spec: Any) -> None:
        vital = {**self._prometheus, "signals": [*signals], "slos": [*slos], "degradedAfter": "30s"}
        world.declare(name, git={"path": f"apps/{name}", "interval": "10s", **spec.pop("git", {})}, vital=vital, **spec)

    def begin(self) -> None:
        """Everything is declared; most of it is well at first."""
        well = {"name": "latency", "query": "latency_seconds", "max": "0.5", "interval": "5s"}
        evictions = {"name": "evictions", "indicator": "Evictions", "max": "0"}
        self.payments.commit(
            {
                "ledger/all.yaml": text(deployment("ledger", replicas=2), config_map("settings", round="0")),
                "rights/all.yaml": text(manifest("Role", "reader", api_version=RBAC, rules=[_RULE])),
            }
        )
        self._declare(
            self.payments, "ledger", signals=(well, evictions), slos=(_slo("ledger", "99"),), drift={"breaker": {"reversals": 20}}
        )
        self._declare(self.payments, "rights", drift={"rules": [{"match": {"kinds": ["Role"]}, "action": "Approve"}]})
        crashes = deployment("web", replicas=3)
        crashes["spec"]["template"]["metadata"]["labels"] = {"app": "web", "test.cvstate.io/fate": "crash-loop"}
        refused = manifest("Service", "cart", spec={"ports": [{"port": 99999}], "selector": {"app": "cart"}})
        self.shop.commit(
            {
                "web/all.yaml": text(crashes),
                "cart/all.yaml": text(refused, config_map("cart", k="v")),
                "recommend/all.yaml": text(config_map("recommend", k="v")),
            }
        )
        self._declare(self.shop, "web", slos=(_slo("web", "90"),))
        self._declare(self.shop, "cart")
        self._declare(self.shop, "search")
        self._declare(self.shop, "recommend", signals=({"name": "hits", "query": "nobody_measures_this", "min": "1", "interval": "5s"},))
        self.platform.commit(
            {
                "base/all.yaml": text(*(config_map(f"base{number}", k="v") for number in range(8))),
                "quota/all.yaml": text(config_map("quota", limit="10")),
                "mesh/all.yaml": text(config_map("mesh", k="v")),
            }
        )
        self._declare(self.platform, "base", prune={"maxDeletes": 2})
        self._declare(self.platform, "quota", drift={"breaker": {"reversals": 3, "within": "10m"}})
        self._declare(self.platform, "mesh")
        for world, name in ((self.payments, "ledger"), (self.payments, "rights"), (self.platform, "base"), (self.platform, "mesh")):
            world.wait_ready(name)

    def ail(self) -> None:
        """What people do to it: rights by hand, a directory that is lost, a suspension, a fight."""
        api = self.payments.api
        api.merge(
            self.payments.path("roles", "reader", group=RBAC),
            {"rules": [_RULE, {**_RULE, "resources": ["secrets"]}]},
            manager="kubectl-edit",
        )
        self.platform.commit({"base/all.yaml": text(config_map("base0", k="v"))})
        self.platform.declare("mesh", git={"path": "apps/mesh"}, suspend=True)
        path = self.platform.path("configmaps", "quota")
        for _ in range(4):
            api.merge(path, {"data": {"limit": "99"}}, manager="quota-controller")
            time.sleep(2)
        api.merge(self.platform.path("configmaps", "mesh"), {"data": {"k": "by hand"}}, manager="kubectl-edit")

    def go_on(self) -> None:
        """A change of what is well: a commit, a drift, by turns."""
        self._rounds += 1
        if self._rounds % 2:
            replicas = 2 + self._rounds % 3
            self.payments.commit(
                {"ledger/all.yaml": text(deployment("ledger", replicas=replicas), config_map("settings", round=str(self._rounds)))}
            )
        else:
            self.payments.api.merge(self.payments.path("configmaps", "settings"), {"data": {"round": "by hand"}}, manager="kubectl-edit")


def main(directory: Path) -> None:
    """Make the pictures."""
    with tempfile.TemporaryDirectory() as place, GitServer(Path(place) / "git") as git, Cluster.start() as cluster, Exporter() as exporter:
        api = Api(cluster.admin_kubeconfig)
        install_crd(api)
        exporter.set("latency_seconds", 0.12)
        for service in _TRAFFIC:
            for code in ("200", "500"):
                exporter.set(f"{service}_requests_total", 0, code=code)
        with Operator(cluster.operator_kubeconfig, Path(place) / "operator", "--webhook-listen", "127.0.0.1:0") as operator:
            target = next(line["http"] for line in operator.lines() if line["message"] == "started").removeprefix("http://")
            with Prometheus(Path(place) / "prometheus", targets=[exporter.target, target]) as prometheus, _traffic(exporter):
                prometheus.knows("cvstate_build_info and on () latency_seconds")
                began = time.time()
                play = Play(cluster, api, git, operator, prometheus)
                play.begin()
                play.ail()
                while time.time() - began < PLAY_SECONDS:
                    play.go_on()
                    time.sleep(_ROUND_SECONDS)
                until("all are told of", lambda: len(prometheus.ask("cvstate_ready")) == 9)
                _draw(prometheus, directory, began)


def _draw(prometheus: Prometheus, directory: Path, began: float) -> None:
    now = time.time()
    with tempfile.TemporaryDirectory() as pages:
        asking = preview.Asking(prometheus.url, preview.Span(began, now))
        note = _NOTE.format(count=len(prometheus.ask("cvstate_ready")))
        for name in BOARDS:
            wanted = {"namespace": "payments", "name": "ledger"} if name == "debug" else {}
            picture = preview.draw(name, asking, Path(pages), wanted=wanted, note=note)
            (directory / f"dashboard-{picture.name}").write_bytes(picture.read_bytes())
    dashboards.note_drawn(directory)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
