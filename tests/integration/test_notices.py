"""Notices of a real operator, to receivers in this process: a webhook, a chat and an Alertmanager that are set up in its settings file.

Aspects: trouble is opened and resolved at all of them · signed · a receiver that is away loses nothing and delays nobody · what it counts · a restart opens nothing
again · a ClusterState that is deleted has no incidents · targets are exchanged while it runs.
"""

import hashlib
import hmac
import json
import signal
import threading
import urllib.parse
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from cvstate_operator.cli.demo.git_server import GitServer
from cvstate_operator.telemetry.notice_sender import CHAT_SECONDS
from tests.cluster.control_plane import Cluster
from tests.conftest import install_crd, remove_clusterstates
from tests.support.api import CLUSTER_STATES, Api
from tests.support.objects import config_map, text
from tests.support.operator import Operator
from tests.support.waiting import never, until
from tests.support.world import World

pytestmark = pytest.mark.integration

KEY = "correct horse battery staple"
MIN_DURATION = "1s"
NAMES = ("plain", "well", "old", "lasting")
"""ClusterStates that are well at some time; each declares an object of its own."""
SETTLED_SECONDS = 6.0
"""Longer than anything takes to be told: minDuration, a pass, and the pause in which notices are gathered."""


class Receiver:
    """Takes what is posted to any path, and answers as it is told to."""

    def __init__(self) -> None:
        self.status = 200
        self._posts: list[tuple[str, dict[str, str], bytes]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                receiver._posts.append((self.path, {name.lower(): value for name, value in self.headers.items()}, content))
                self.send_response(receiver.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "Receiver":
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def posts(self, path: str) -> list[tuple[dict[str, str], bytes]]:
        """Headers and bodies of what came to a path."""
        return [(headers, content) for where, headers, content in self._posts if where == path]

    def told(self, path: str, name: str, namespace: str) -> list[dict[str, Any]]:
        """Notices of our own JSON about one ClusterState, in order."""
        found = (one for _, content in self.posts(path) for one in json.loads(content)["notices"])
        return [one for one in found if (one["namespace"], one["name"]) == (namespace, name)]

    def phases(self, path: str, name: str, namespace: str) -> list[tuple[str, str]]:
        return [(one["phase"], one["reason"]) for one in self.told(path, name, namespace)]

    def chat(self, where: str) -> list[str]:
        """What the chat read of one ClusterState: the first words of its lines."""
        texts = (json.loads(content)["text"] for _, content in self.posts("/services/T0/B0/s3cret"))
        return [line.split(" · ")[0] for line in "\n".join(texts).splitlines() if where in line]

    def alerts(self, namespace: str, name: str) -> list[dict[str, Any]]:
        found = (one for _, content in self.posts("/api/v2/alerts") for one in json.loads(content))
        return [one for one in found if (one["labels"]["namespace"], one["labels"]["name"]) == (namespace, name)]


def targets(receiver: Receiver, directory: Path) -> list[dict[str, Any]]:
    """Settings of all three types; secrets stand in files."""
    (directory / "key").write_text(KEY + "\n")
    (directory / "chat").write_text(f"{receiver.url}/services/T0/B0/s3cret\n")
    own = {"minDuration": MIN_DURATION, "labels": {"cluster": "test"}}
    return [
        {"name": "hook", "type": "Webhook", "url": f"{receiver.url}/hook", "secretFile": str(directory / "key"), **own},
        {"name": "chat", "type": "Slack", "urlFile": str(directory / "chat"), **own},
        {"name": "alerts", "type": "Alertmanager", "url": receiver.url, **own},
    ]


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture(scope="module")
def settings(receiver: Receiver, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The operator's settings file."""
    directory = tmp_path_factory.mktemp("settings")
    file = directory / "settings.yaml"
    file.write_text(yaml.safe_dump({"notices": targets(receiver, directory)}))
    return file


@pytest.fixture(scope="module")
def telling(second_cluster: Cluster, git: GitServer, settings: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A corner of the second cluster, with an operator that tells of incidents."""
    api = Api(second_cluster.admin_kubeconfig)
    install_crd(api)
    operator = Operator(second_cluster.operator_kubeconfig, tmp_path_factory.mktemp("notices"), "--config", str(settings))
    with operator:
        world = World(second_cluster, api, git, operator)
        world.commit({f"{name}/all.yaml": text(config_map(name, k="v")) for name in NAMES})
        yield world
        remove_clusterstates(api)
    assert not operator.is_running


def troubled(world: World, name: str) -> None:
    """A ClusterState whose path is in no commit."""
    world.declare(name, git={"path": f"nowhere/{name}"})
    world.wait_failed("PathNotFound", name)


def mended(world: World, name: str) -> None:
    """The ClusterState names its own path."""
    world.declare(name, git={"path": f"apps/{name}"})
    world.wait_ready(name)


def counted(world: World) -> dict[str, float]:
    """`cvstate_notices_total` by result."""
    code, answer = world.operator.http("/metrics")
    assert code == 200
    samples = [sample for family in text_string_to_metric_families(answer) for sample in family.samples]
    return {one.labels["result"]: one.value for one in samples if one.name == "cvstate_notices_total"}


def test_trouble_is_told_to_everybody_and_so_is_its_end(telling: World, receiver: Receiver) -> None:
    began = datetime.now(UTC)
    troubled(telling, "plain")
    opened = until("the webhook is told", lambda: receiver.told("/hook", "plain", telling.name))[0]
    assert (opened["incident"], opened["phase"]) == (f"{telling.name}/plain/PathNotFound", "opened")
    assert opened["severity"] == "Warning"
    assert "nowhere/plain" in opened["message"]
    assert abs(datetime.fromisoformat(opened["startedAt"]) - began) < timedelta(seconds=20)
    alert = until("the Alertmanager is told", lambda: receiver.alerts(telling.name, "plain"))[0]
    assert alert["labels"] == {
        "alertname": "CvstateIncident",
        "cluster": "test",
        "namespace": telling.name,
        "name": "plain",
        "reason": "PathNotFound",
        "severity": "ticket",
        "area": "source",
    }
    assert datetime.fromisoformat(alert["endsAt"]) > datetime.now(UTC)
    mended(telling, "plain")
    until(
        "all is over", lambda: receiver.phases("/hook", "plain", telling.name) == [("opened", "PathNotFound"), ("resolved", "PathNotFound")]
    )
    until("the alert is over", lambda: datetime.fromisoformat(receiver.alerts(telling.name, "plain")[-1]["endsAt"]) <= datetime.now(UTC))
    where = f"`{telling.name}/plain`"
    until("the chat reads of both", lambda: receiver.chat(where) == ["*Opened*", "*Resolved*"], seconds=CHAT_SECONDS + 10)


def test_a_webhook_can_tell_that_it_was_us(telling: World, receiver: Receiver) -> None:
    troubled(telling, "signed")
    until("the webhook is told", lambda: receiver.told("/hook", "signed", telling.name))
    for headers, content in receiver.posts("/hook"):
        assert headers["x-cvstate-signature"] == "sha256=" + hmac.new(KEY.encode(), content, hashlib.sha256).hexdigest()
        assert json.loads(content)["labels"] == {"cluster": "test"}


def test_a_receiver_that_is_away_loses_nothing_and_delays_nobody(telling: World, receiver: Receiver) -> None:
    receiver.status = 503
    before = counted(telling)
    try:
        troubled(telling, "away")
        until("it was tried more than once", lambda: len(receiver.told("/hook", "away", telling.name)) >= 2)
        mended(telling, "well")
        # Alertmanager's own is asked again and again too; what is counted is of all three.
        until("failures are counted", lambda: counted(telling).get("failed", 0) > before.get("failed", 0))
    finally:
        receiver.status = 200
    tried = len(receiver.told("/hook", "away", telling.name))
    until("it is told at last", lambda: len(receiver.told("/hook", "away", telling.name)) > tried)
    assert {phase for phase, _ in receiver.phases("/hook", "away", telling.name)} == {"opened"}
    until("it is counted", lambda: counted(telling).get("ok", 0) > before.get("ok", 0))
    assert "s3cret" not in telling.operator.log.read_text()


def test_the_end_of_a_clusterstate_is_the_end_of_its_incidents(telling: World, receiver: Receiver) -> None:
    troubled(telling, "deleted")
    until("it is opened", lambda: receiver.phases("/hook", "deleted", telling.name))
    telling.api.delete(f"{CLUSTER_STATES.format(telling.name)}/deleted")
    until("it is resolved", lambda: receiver.phases("/hook", "deleted", telling.name)[-1][0] == "resolved")


def test_a_restart_opens_nothing_again_and_an_alert_goes_on(telling: World, receiver: Receiver) -> None:
    troubled(telling, "old")
    until("it is opened", lambda: receiver.phases("/hook", "old", telling.name))
    assert telling.operator.end(signal.SIGTERM) == 0
    since = (datetime.now(UTC) - timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
    status = telling.state("old")["status"]
    aged = [{**condition, "lastTransitionTime": since} for condition in status["conditions"]]
    telling.api.merge(f"{CLUSTER_STATES.format(telling.name)}/old/status", {"status": {"conditions": aged}})
    alerts = len(receiver.alerts(telling.name, "old"))
    telling.operator.start()
    again = until("the Alertmanager is told anew", lambda: receiver.alerts(telling.name, "old")[alerts:])
    assert datetime.fromisoformat(again[0]["startsAt"]) == datetime.fromisoformat(since)
    never("it is opened again", lambda: len(receiver.phases("/hook", "old", telling.name)) > 1, seconds=SETTLED_SECONDS)
    mended(telling, "old")
    until("it is resolved", lambda: receiver.phases("/hook", "old", telling.name)[1:] == [("resolved", "PathNotFound")])


def test_targets_are_exchanged_while_it_runs(telling: World, receiver: Receiver, settings: Path) -> None:
    troubled(telling, "lasting")
    until("it is opened", lambda: receiver.phases("/hook", "lasting", telling.name))
    found = yaml.safe_load(settings.read_text())
    hook = next(one for one in found["notices"] if one["name"] == "hook")
    moved = {**hook, "name": "elsewhere", "url": urllib.parse.urljoin(hook["url"], "/elsewhere")}
    try:
        settings.write_text(yaml.safe_dump({"notices": [moved]}))
        until("the new target is told of what lasts", lambda: receiver.phases("/elsewhere", "lasting", telling.name), seconds=40)
        seen = len(receiver.posts("/hook"))
        mended(telling, "lasting")
        until("and of its end", lambda: receiver.phases("/elsewhere", "lasting", telling.name)[-1][0] == "resolved")
        assert len(receiver.posts("/hook")) == seen
    finally:
        settings.write_text(yaml.safe_dump(found))
