"""Where traces go, and what they say about the process.

Aspects: the endpoint, and what is none · headers and certificates of the environment · nothing secret in messages · attributes of the process.
"""

import pytest

from cvstate_operator import __version__
from cvstate_operator.errors import SettingsError
from cvstate_operator.telemetry import collector


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("http://otel:4318", "http://otel:4318/v1/traces"),
        ("https://otel.example.com/", "https://otel.example.com/v1/traces"),
        ("https://otel.example.com/tenants/7", "https://otel.example.com/tenants/7/v1/traces"),
        ("http://[fd12::1]:4318", "http://[fd12::1]:4318/v1/traces"),
    ],
)
def test_traces_have_their_own_path_below_the_endpoint(endpoint: str, url: str) -> None:
    assert collector.destination(endpoint, {}).url == url


@pytest.mark.parametrize(
    "endpoint", ["", "otel:4318", "grpc://otel:4317", "http://", "http://otel:99999", "http://otel/?x=1", "http://otel/#x"]
)
def test_what_is_no_endpoint_is_refused_with_what_to_write(endpoint: str) -> None:
    with pytest.raises(SettingsError, match="write http://HOST:4318"):
        collector.destination(endpoint, {})


@pytest.mark.parametrize("endpoint", ["http://me:hunter2@otel:4318", "http://me:hunter2@otel:port"])
def test_a_password_in_the_endpoint_is_refused_and_not_repeated(endpoint: str) -> None:
    with pytest.raises(SettingsError) as caught:
        collector.destination(endpoint, {})
    assert "hunter2" not in caught.value.message


def test_headers_are_pairs_that_may_be_percent_encoded() -> None:
    told = "Authorization=Basic%20bWU6aHVudGVyMg==, x-tenant = shop ,"
    found = collector.destination("https://otel:4318", {"OTEL_EXPORTER_OTLP_HEADERS": told})
    assert found.headers == {"Authorization": "Basic bWU6aHVudGVyMg==", "x-tenant": "shop"}
    assert "bWU6" not in repr(found)


@pytest.mark.parametrize("told", ["hunter2", "=hunter2", "a b=hunter2", "x=hunter2%0d%0aEvil: 1", "x=hunter2%C3%A9"])
def test_what_is_no_header_is_refused_and_not_repeated(told: str) -> None:
    with pytest.raises(SettingsError, match="OTEL_EXPORTER_OTLP_HEADERS") as caught:
        collector.destination("http://otel:4318", {"OTEL_EXPORTER_OTLP_HEADERS": told})
    assert "hunter2" not in caught.value.message


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://otel:4318",
        "http://otel.monitoring.svc:4318",
        "http://10.0.0.7:4318",
        "http://[fd12::1]",
        "http://localhost.example.com:4318",
        "http://127.0.0.1.nip.io",
    ],
)
def test_headers_are_not_sent_in_clear_to_another_machine(endpoint: str) -> None:
    with pytest.raises(SettingsError, match="give the collector's https:// address") as caught:
        collector.destination(endpoint, {"OTEL_EXPORTER_OTLP_HEADERS": "Authorization=hunter2"})
    assert "hunter2" not in caught.value.message
    assert collector.destination(endpoint, {}).headers == {}


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:4318", "http://[::1]:4318", "http://localhost:4318", "https://otel.example.com"])
def test_headers_are_sent_by_https_and_within_the_machine(endpoint: str) -> None:
    assert collector.destination(endpoint, {"OTEL_EXPORTER_OTLP_HEADERS": "Authorization=hunter2"}).headers == {"Authorization": "hunter2"}


def test_the_protocol_that_is_not_spoken_is_refused() -> None:
    with pytest.raises(SettingsError, match="4318"):
        collector.destination("http://otel:4317", {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})
    assert collector.destination("http://otel:4318", {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"})


def test_a_process_says_who_it_is() -> None:
    found = collector.resource({"POD_NAME": "cvstate-operator-5d9", "POD_NAMESPACE": "cvstate-system"}, instance="host_1")
    assert found == {
        "service.name": "cvstate-operator",
        "service.version": __version__,
        "service.instance.id": "host_1",
        "k8s.namespace.name": "cvstate-system",
        "k8s.pod.name": "cvstate-operator-5d9",
    }


def test_outside_of_a_pod_there_is_none_to_name() -> None:
    assert collector.resource({}, instance="host_1").keys() == {"service.name", "service.version", "service.instance.id"}


def test_the_environment_has_the_last_word_on_who_it_is() -> None:
    told = {
        "OTEL_RESOURCE_ATTRIBUTES": "k8s.cluster.name=prod%2Ceu,service.name=other,service.instance.id=7",
        "OTEL_SERVICE_NAME": "gitops",
    }
    found = collector.resource(told, instance="host_1")
    assert (found["k8s.cluster.name"], found["service.name"], found["service.instance.id"]) == ("prod,eu", "gitops", "7")


def test_attributes_that_are_no_pairs_are_refused() -> None:
    with pytest.raises(SettingsError, match="OTEL_RESOURCE_ATTRIBUTES"):
        collector.resource({"OTEL_RESOURCE_ATTRIBUTES": "prod"}, instance="host_1")
