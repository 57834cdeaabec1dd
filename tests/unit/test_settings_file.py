"""Settings from options, environment and file.

Aspects: what wins · the table agrees with Settings · everything that is wrong is told together, with its place · what a file may look like · what lies in a Pod ·
what differs between two readings.
"""

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from cvstate_operator import settings_file
from cvstate_operator.settings import RELOADED, Origin, Settings

ROOT = Path(__file__).parents[2]
Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes the settings file."""

    def written(text: str) -> Path:
        file = tmp_path / "settings.yaml"
        file.write_text(text)
        return file

    return written


def read(file: Path | None = None, /, options: dict[str, Any] | None = None, **environment: str) -> Settings:
    if file:
        environment["CVSTATE_CONFIG"] = str(file)
    return settings_file.read(Origin(options or {}, environment))


def faults(file: Path | None = None, /, options: dict[str, Any] | None = None, **environment: str) -> tuple[str, ...]:
    with pytest.raises(settings_file.WrongSettingsError) as caught:
        read(file, options, **environment)
    assert caught.value.message == "; ".join(caught.value.faults)
    return caught.value.faults


# -- what wins -------------------------------------------------------------------------------------------------------


def test_nothing_told_means_the_defaults() -> None:
    assert read() == Settings()


def test_an_option_wins_over_the_environment_and_that_over_the_file(write: Write) -> None:
    file = write("writers: 3\n")
    assert read(file).writers == 3
    assert read(file, CVSTATE_WRITERS="4").writers == 4
    assert read(file, {"writers": "5"}, CVSTATE_WRITERS="4").writers == 5


def test_a_list_replaces_the_one_it_wins_over(write: Write) -> None:
    file = write("namespaces: [a, b]\n")
    assert read(file).namespaces == ("a", "b")
    assert read(file, {"namespaces": ["c"]}).namespaces == ("c",)
    assert read(file, {"namespaces": ()}).namespaces == ("a", "b"), "no option was given"


def test_an_option_can_turn_off_what_the_file_turns_on(write: Write) -> None:
    assert read(write("allowFileUrls: true\n"), {"allow_file_urls": False}).allow_file_urls is False


def test_an_empty_variable_or_key_tells_nothing(write: Write) -> None:
    assert read(write("logLevel: warning\nlisten:\n"), CVSTATE_LOG_LEVEL="").log_level == "warning"


def test_the_file_is_named_by_option_or_environment(write: Write, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text("group: other\n")
    found = read(write("group: one\n"), {"config": str(other)})
    assert (found.group, found.config) == ("other", other)


def test_what_was_told_is_kept_for_the_next_reading(write: Write) -> None:
    origin = Origin({"group": "mine"}, {"CVSTATE_CONFIG": str(write("group: file\nlogLevel: debug\n"))})
    found = settings_file.read(origin)
    write("group: file\nlogLevel: error\n")
    again = settings_file.read(found.origin)
    assert (again.group, again.log_level) == ("mine", "error")


# -- the table -------------------------------------------------------------------------------------------------------


def test_every_field_of_the_settings_has_its_row_and_the_other_way_round() -> None:
    assert [one.field for one in settings_file.SETTINGS if one.field not in {field.name for field in fields(Settings)}] == []
    assert {field.name for field in fields(Settings)} - {one.field for one in settings_file.SETTINGS} == {"origin"}


@pytest.mark.parametrize("name", ["option", "key", "variable"])
def test_no_two_settings_have_one_name(name: str) -> None:
    told = [getattr(one, name) for one in settings_file.SETTINGS if getattr(one, name)]
    assert len(told) == len(set(told))


def test_what_can_be_changed_while_running_can_stand_in_the_file() -> None:
    assert all(settings_file.BY_FIELD[field].key for field in RELOADED)


@pytest.mark.parametrize("field", ["writers", "shutdown_seconds", "group", "log_level", "log_format", "allow_file_urls"])
def test_the_default_that_is_told_is_the_one_that_holds(field: str) -> None:
    setting = settings_file.BY_FIELD[field]
    assert setting.read(setting.default) == getattr(Settings(), field)


def test_the_values_of_the_chart_are_a_settings_file(write: Write) -> None:
    values = yaml.safe_load((ROOT / "deploy" / "charts" / "cvstate-operator" / "values.yaml").read_text())
    assert read(write(yaml.safe_dump(values["config"]))).require_service_account is True


WHOLE = """
namespaces: [team-a]
listen: 0.0.0.0:8080
tlsDirectory: /etc/cvstate/tls
cache: /var/cache/cvstate
cacheBytes: 4Gi
memoryBytes: 1Gi
allowFileUrls: true
allowInsecureSources: false
allowGitHosts: [git.internal]
allowPrometheusHosts: [prometheus.internal]
allowNoticeHosts: [tickets.internal]
prometheusHosts: [prometheus.monitoring]
webhookListen: 0.0.0.0:9292
writers: 8
shutdownSeconds: 45
requireServiceAccount: false
defaultServiceAccount: applier
leaseNamespace: cvstate-system
group: blue
advertise: http://10.0.0.7:9292
clusterId: hub-1
otlpEndpoint: http://otel:4318
notices: [{name: ops, type: Webhook, url: "https://ops.example.com/hook"}]
logLevel: debug
logFormat: json
"""


def test_every_key_of_the_file_reaches_its_field(write: Write) -> None:
    found, default = read(write(WHOLE)), Settings()
    same = [one.key for one in settings_file.SETTINGS if one.key and getattr(found, one.field) == getattr(default, one.field)]
    assert same == []
    assert found.notices[0].name == "ops"


def test_every_variable_reaches_its_field() -> None:
    told = {
        "CVSTATE_NAMESPACES": "a b",
        "CVSTATE_LISTEN": "127.0.0.1:1",
        "CVSTATE_TLS_DIRECTORY": "/t",
        "CVSTATE_CACHE": "/c",
        "CVSTATE_CACHE_BYTES": "4Gi",
        "CVSTATE_MEMORY_BYTES": "1Gi",
        "CVSTATE_ALLOW_FILE_URLS": "true",
        "CVSTATE_ALLOW_INSECURE_SOURCES": "no",
        "CVSTATE_ALLOW_GIT_HOSTS": "git",
        "CVSTATE_ALLOW_PROMETHEUS_HOSTS": "p",
        "CVSTATE_ALLOW_NOTICE_HOSTS": "n",
        "CVSTATE_PROMETHEUS_HOSTS": "q",
        "CVSTATE_WEBHOOK_LISTEN": "127.0.0.1:2",
        "CVSTATE_WRITERS": "2",
        "CVSTATE_SHUTDOWN_SECONDS": "3",
        "CVSTATE_REQUIRE_SERVICE_ACCOUNT": "1",
        "CVSTATE_DEFAULT_SERVICE_ACCOUNT": "d",
        "CVSTATE_LEASE_NAMESPACE": "l",
        "CVSTATE_GROUP": "g",
        "CVSTATE_ADVERTISE": "http://a:1",
        "CVSTATE_CLUSTER_ID": "c",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://o:1",
        "CVSTATE_LOG_LEVEL": "error",
        "CVSTATE_LOG_FORMAT": "text",
    }
    assert {one.variable for one in settings_file.SETTINGS if one.variable} == {*told, "CVSTATE_CONFIG"}
    found, default = read(None, None, **told), Settings()
    assert [
        one.field for one in settings_file.SETTINGS if one.variable in told and getattr(found, one.field) == getattr(default, one.field)
    ] == []


# -- what is wrong ---------------------------------------------------------------------------------------------------


def test_everything_that_is_wrong_is_told_together_with_its_place(write: Write) -> None:
    file = write("logLevel: loud\nwriters: 0\n\nloglevels: info\nnotices:\n  - {name: X, type: Pigeon}\n")
    told = faults(file, {"listen": "8080", "allow_git_hosts": ["http://git"]}, CVSTATE_WRITERS="many", CVSTATE_ALLOW_FILE_URLS="maybe")
    places = ("--listen: 8080", "CVSTATE_ALLOW_FILE_URLS: maybe", "--allow-git-host: http://git", "CVSTATE_WRITERS: many")
    for place in (
        *places,
        f"{file}, line 1, logLevel: loud",
        f"{file}, line 2, writers: 0",
        f"{file}, line 4: there is no setting 'loglevels'",
    ):
        assert sum(one.startswith(place) for one in told) == 1, (place, told)
    assert sum("notices[0]" in one for one in told) == 1
    assert len(told) == 8
    assert not any("\n" in one for one in told)


def test_a_wrong_value_is_told_although_another_wins_over_it(write: Write) -> None:
    (told,) = faults(write("writers: 0\n"), {"writers": "5"})
    assert "line 1, writers" in told


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("log-level", "logLevel"),
        ("log_level", "logLevel"),
        ("CVSTATE_GROUP", "group"),
        ("namespace", "namespaces"),
        ("webhooklisten", "webhookListen"),
    ],
)
def test_for_a_key_that_is_none_the_nearest_is_proposed(write: Write, key: str, meant: str) -> None:
    (told,) = faults(write(f"{key}: x\n"))
    assert told.endswith(f"there is no setting '{key}'; is {meant} meant?")


def test_for_a_key_like_no_other_all_are_named(write: Write) -> None:
    (told,) = faults(write("zzz: 1\n"))
    assert all(one.key in told for one in settings_file.SETTINGS if one.key)


@pytest.mark.parametrize(
    ("text", "mention"),
    [
        pytest.param("- a\n", "a YAML mapping of settings is expected", id="a list"),
        pytest.param("writers: 3\nwriters: 4\n", "line 2: writers stands there a second time", id="a key twice"),
        pytest.param("a: [\n", "is no YAML", id="no YAML"),
        pytest.param("writers: 3\n---\nwriters: 4\n", "is no YAML", id="two documents"),
        pytest.param("writers: !!python/object/apply:os.system [ls]\n", "is no YAML", id="a tag that would run something"),
        pytest.param("? [a]\n: b\n", "there is no setting", id="a key that is a list"),
        pytest.param("x: " + "a" * 2**20, "is larger than 1 MiB", id="too large"),
    ],
)
def test_a_file_that_holds_no_settings_is_refused(write: Write, text: str, mention: str) -> None:
    file = write(text)
    (told,) = faults(file)
    assert told.startswith(str(file))
    assert mention in told


def test_what_stands_in_a_broken_file_is_not_repeated(write: Write) -> None:
    (told,) = faults(write("notices:\n- {url: https://hooks.example.com/hunter2\n"))
    assert "hunter2" not in told
    (told,) = faults(write("notices:\n- {name: a, type: Slack, url: 'https://hunter2@example.com'}\n"))
    assert "hunter2" not in told


def test_a_file_that_is_not_there_is_told_with_the_remedy(tmp_path: Path) -> None:
    (told,) = faults(tmp_path / "absent.yaml")
    assert "absent.yaml" in told
    assert "--config" in told


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "{}\n"])
def test_an_empty_file_tells_nothing(write: Write, text: str) -> None:
    file = write(text)
    assert read(file) == Settings(config=file)


# -- in a Pod --------------------------------------------------------------------------------------------------------


@pytest.fixture
def in_pod(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    file = tmp_path / "namespace"
    file.write_text("cvstate-system\n")
    monkeypatch.setattr(settings_file, "_POD_NAMESPACE", file)
    return {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}


def test_leases_are_in_the_pods_own_namespace_unless_told_otherwise(in_pod: dict[str, str]) -> None:
    assert read(None, None, **in_pod).lease_namespace == "cvstate-system"
    assert read(None, {"lease_namespace": "other"}, **in_pod).lease_namespace == "other"
    assert read(None, {"lease_namespace": ""}, **in_pod).lease_namespace == ""


def test_for_another_cluster_the_pods_namespace_means_nothing(in_pod: dict[str, str]) -> None:
    assert read(None, {"kubeconfig": "/k"}, **in_pod).lease_namespace is None


def test_outside_a_pod_there_are_no_leases(in_pod: dict[str, str]) -> None:
    assert read().lease_namespace is None


# -- differences -----------------------------------------------------------------------------------------------------


def test_what_differs_between_two_readings_is_told_by_setting(write: Write) -> None:
    before = read(write("logLevel: info\nwriters: 3\n"))
    after = read(write("logLevel: debug\nwriters: 4\n"))
    assert [one.key for one in settings_file.changed(before, after)] == ["writers", "logLevel"]
    assert settings_file.changed(before, before) == ()
