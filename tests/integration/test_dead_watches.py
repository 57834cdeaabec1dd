"""What is told of objects that were seen, and of which the API server tells nothing any more: never that they are well.

Aspects: the API server is killed · it is frozen, and keeps its connections open · one kind cannot be read any more, since the webhook that converts it fails, or
since its definition names one that is not there. Of each: metrics while nothing can be written, how long it takes, what goes on, and the way back. For the one kind also conditions, status and command line.

Each fault has a control plane and a thread of its own: all of them take the minute and a half that a watch may be silent for.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cvstate_operator.cli.demo.git_server import GitServer
from cvstate_operator.kube.informer import ANSWER_SECONDS, SILENCE_SECONDS
from tests.cluster.control_plane import Cluster
from tests.conftest import install_crd
from tests.support import telling
from tests.support.api import Api, Json
from tests.support.converter import Converter
from tests.support.objects import config_map, definition, manifest, text
from tests.support.operator import Operator
from tests.support.versions import words
from tests.support.waiting import until
from tests.support.world import World

pytestmark = [pytest.mark.integration, pytest.mark.timeout(500)]

KNOWN_SECONDS = SILENCE_SECONDS + ANSWER_SECONDS
NOTICED_SECONDS = KNOWN_SECONDS + 60
"""Until it is told: by then a request that hangs has given up, the API server has ended watches that it cannot go on with (30 s, measured), and a pass was made."""
BACK_SECONDS = 120
"""The longest pause of a pass that could not tell its status is a minute."""
_COMMAND_LINE = threading.Lock()
"""The runner of commands puts its own streams in the place of the process's."""
THINGS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/things.example.io"


@dataclass
class Story:
    """What was told."""

    before: Mapping[str, float] = field(default_factory=dict)
    during: Mapping[str, float] = field(default_factory=dict)
    after: Mapping[str, float] = field(default_factory=dict)
    """Metrics."""
    noticed_after: float = 0.0
    """Seconds."""
    claims: int = 0
    """How often it was claimed that all is well later than it could be known."""
    status: Json = field(default_factory=dict)
    """While the fault lasts, as far as it can be told, and after it."""
    text: str = ""
    healed: Json = field(default_factory=dict)


def is_well(told: Mapping[str, float]) -> bool:
    return (told["cvstate_healthy"], told["cvstate_score"], told["cvstate_confidence"]) == (1, 100, 100)


def lasts(world: World, story: Story, *, unknown: int) -> None:
    """The fault was just made: wait until the metrics tell that so many objects are not known, and a little longer."""
    begun = time.monotonic()

    def noticed() -> bool:
        story.during = telling.metrics(world)
        return story.during.get("cvstate_objects_by_health Unknown") == unknown

    until("it is noticed", noticed, seconds=NOTICED_SECONDS, every=0.5)
    story.noticed_after = time.monotonic() - begun
    for _ in range(20):
        story.claims += telling.metrics(world)["cvstate_healthy"] == 1
        time.sleep(0.5)


def heals(world: World, story: Story) -> None:
    """The fault is over: wait until all is well again, by metrics and status."""
    until("the metrics tell that all is well", lambda: is_well(telling.metrics(world)), seconds=BACK_SECONDS, every=0.5)
    until("the status tells it", lambda: world.condition("Healthy").get("status") == "True", seconds=BACK_SECONDS)
    story.after, story.healed = telling.metrics(world), world.state()["status"]


def begins(world: World, *objects: Json) -> Story:
    """Declare these objects, and wait until all is well."""
    world.commit({"all.yaml": text(*objects)})
    world.declare()
    until("all is well", lambda: world.condition("Healthy").get("status") == "True" and is_well(telling.metrics(world)), seconds=60)
    return Story(before=telling.metrics(world))


def killed(world: World) -> Story:
    story = begins(world, config_map("a", k="v"), config_map("b", k="v"))
    world.cluster.kill("kube-apiserver")
    lasts(world, story, unknown=2)
    world.cluster.restart("kube-apiserver")
    heals(world, story)
    return story


def frozen(world: World) -> Story:
    story = begins(world, config_map("a", k="v"), config_map("b", k="v"))
    world.cluster.pause("kube-apiserver")
    try:
        lasts(world, story, unknown=2)
    finally:
        world.cluster.resume("kube-apiserver")
    heals(world, story)
    return story


def misdefined(world: World) -> Story:
    """The definition of a kind comes to name a webhook that is not there, and is mended."""
    story = begins_with_a_thing(world, {"strategy": "None"})
    webhook = {"clientConfig": {"url": "https://127.0.0.1:1/convert"}, "conversionReviewVersions": ["v1"]}
    world.api.merge(THINGS, {"spec": {"conversion": {"strategy": "Webhook", "webhook": webhook}}})
    lasts_for_things(world, story)
    world.api.merge(THINGS, {"spec": {"conversion": {"strategy": "None", "webhook": None}}})
    heals(world, story)
    return story


def unconverted(world: World) -> Story:
    """The webhook that converts a kind fails, and works again. The API server finds that when somebody makes an object of the kind."""
    with Converter() as converter:
        story = begins_with_a_thing(world, converter.conversion)
        converter.works = False
        world.api.create(world.path("things", group="example.io/v1"), manifest("Thing", "strange", api_version="example.io/v1"))
        lasts_for_things(world, story)
        converter.works = True
        heals(world, story)
        return story


def begins_with_a_thing(world: World, conversion: Json) -> Story:
    """Things are kept in v1 and declared in v2."""
    crd = definition("example.io", "Thing")
    crd["spec"]["versions"].append({**crd["spec"]["versions"][0], "name": "v2", "storage": False})
    code, _ = world.api.apply(THINGS, {**crd, "spec": {**crd["spec"], "conversion": conversion}})
    assert code < 300
    until("it is served", lambda: world.api.request("GET", "/apis/example.io/v2/things")[0] == 200)
    return begins(world, config_map("a", k="v"), manifest("Thing", "t", api_version="example.io/v2", spec={"k": "v"}))


def lasts_for_things(world: World, story: Story) -> None:
    """Things cannot be read; everything else goes on."""
    lasts(world, story, unknown=1)
    world.api.merge(world.path("configmaps", "a"), {"data": {"k": "edited"}}, manager="kubectl-edit")
    until("an edit of another kind is repaired", lambda: "edited" not in str(world.api.get(world.path("configmaps", "a"))), seconds=10)
    with _COMMAND_LINE:
        story.status, story.text = world.state()["status"], telling.status(world)


FAULTS: tuple[Callable[[World], Story], ...] = (killed, frozen, misdefined, unconverted)


def played(fault: Callable[[World], Story], git: GitServer, directory: Path) -> Story:
    with Cluster.start(quiet=True) as cluster:
        api = Api(cluster.admin_kubeconfig)
        install_crd(api)
        with Operator(cluster.operator_kubeconfig, directory) as operator:
            return fault(World(cluster, api, git, operator))


@pytest.fixture(scope="module")
def stories(git: GitServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Future[Story]]]:
    with ThreadPoolExecutor(len(FAULTS)) as threads:
        yield {one.__name__: threads.submit(played, one, git, tmp_path_factory.mktemp(one.__name__)) for one in FAULTS}


@pytest.fixture(params=FAULTS, ids=lambda one: one.__name__)
def story(stories: Mapping[str, Future[Story]], request: pytest.FixtureRequest) -> Story:
    try:
        return stories[request.param.__name__].result()
    except Exception as exc:  # one and the same for all who ask
        raise AssertionError("the fault was not played to its end") from exc


@pytest.fixture(params=(misdefined, unconverted), ids=lambda one: one.__name__)
def unread(stories: Mapping[str, Future[Story]], request: pytest.FixtureRequest) -> Story:
    return stories[request.param.__name__].result()


# -- whatever the fault is -----------------------------------------------------------------------------------------------


def test_what_is_not_told_of_any_more_is_soon_not_claimed_to_be_well(story: Story):
    assert is_well(story.before)
    assert story.noticed_after <= NOTICED_SECONDS
    assert story.during["cvstate_healthy"] == -1
    assert story.claims == 0


def test_the_score_stays_and_the_confidence_falls(story: Story):
    assert story.during["cvstate_score"] <= 100
    assert story.during["cvstate_confidence"] < 80
    assert story.during["cvstate_accepted"] == -1


def test_it_is_told_how_much_of_the_telemetry_is_missing_and_why(story: Story):
    assert story.during["cvstate_telemetry_completeness_ratio"] < 1
    assert story.during["cvstate_telemetry_missing_sources Unreachable"] == 1
    assert story.before["cvstate_telemetry_completeness_ratio"] == 1


def test_all_is_known_again_when_the_fault_is_over(story: Story):
    assert is_well(story.after)
    assert story.after["cvstate_telemetry_completeness_ratio"] == 1
    assert words(story.healed, "TelemetryComplete") == ("True", "TelemetryComplete")
    assert story.healed["vital"]["objects"] == {"ready": 2}
    assert words(story.healed, "Ready") == ("True", "Reconciled")
    assert words(story.healed, "Drifted") == ("False", "NoDriftDetected")


# -- one kind among others -----------------------------------------------------------------------------------------------


def test_one_kind_that_is_not_told_of_is_named_in_conditions_and_status(unread: Story):
    assert words(unread.status, "Healthy") == ("Unknown", "TelemetryGap")
    assert words(unread.status, "TelemetryComplete") == ("False", "TelemetryGap")
    for kind in ("Ready", "Drifted"):
        assert words(unread.status, kind) == ("Unknown", "TelemetryGap"), "nobody knows whether it is as declared"
    for kind in ("Healthy", "TelemetryComplete", "Ready", "Drifted"):
        (message,) = (one["message"] for one in unread.status["conditions"] if one["type"] == kind)
        assert "Thing.example.io" in message
        assert "ConfigMap" not in message
        assert "Unreachable" in message
    assert unread.status["vital"]["objects"] == {"ready": 1, "unknown": 1}
    assert unread.status["cv"]["completeness"] == 50


def test_the_command_line_tells_the_kind(unread: Story):
    (row,) = (line for line in unread.text.splitlines() if line.split()[:1] == ["Healthy"])
    assert row.split()[1] == "Unknown"
    assert "Thing.example.io" in unread.text
