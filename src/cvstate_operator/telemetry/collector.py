"""The collector: where traces go, and what they say about this process, as settings and environment tell. `otlp.py` sends them.

The variables are those of OpenTelemetry (specification/configuration/sdk-environment-variables.md, protocol/exporter.md), as far as docs/traces.md names them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

from yarl import URL

from cvstate_operator import __version__, errors
from cvstate_operator.objects.address import as_address

_HEADER_NAME: Final = re.compile(r"[-!#$%&'*+.^_`|~0-9A-Za-z]+")
"""RFC 9110, section 5.6.2."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where traces go."""

    url: str
    """Of the collector's trace endpoint, in full."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Sent with each request, as credentials are."""
    authorities: str = ""
    """PEM file of the certificates that the collector's must be signed by; empty: the system's."""

    @property
    def origin(self) -> str:
        """Scheme, host and port, for messages."""
        return str(URL(self.url).origin())


def destination(endpoint: str, environment: Mapping[str, str]) -> Destination:
    """The collector that the settings name.

    Args:
        endpoint: its base URL, as of OTEL_EXPORTER_OTLP_ENDPOINT; `/v1/traces` is appended.
        environment: variables; OTEL_EXPORTER_OTLP_HEADERS and OTEL_EXPORTER_OTLP_CERTIFICATE are read.

    Raises:
        SettingsError: one of them cannot be meant, or headers would be sent by http:// to another machine.
    """
    what = "the OTLP endpoint"
    try:
        url = URL(endpoint)
        is_whole = url.scheme in ("http", "https") and bool(url.host) and bool(url.port)
    except (ValueError, TypeError) as exc:  # its text repeats the URL, and a password may stand in it
        raise errors.SettingsError(f"{what} is no URL; write http://HOST:4318") from exc
    if not is_whole or url.raw_query_string or url.raw_fragment:
        raise errors.SettingsError(f"{what} must be http:// or https:// with a host, without query and fragment; write http://HOST:4318")
    if url.raw_user is not None or url.raw_password is not None:
        raise errors.SettingsError(f"{what} holds a user or password, which would be shown; give them in OTEL_EXPORTER_OTLP_HEADERS")
    if environment.get("OTEL_EXPORTER_OTLP_PROTOCOL", "").strip() == "grpc":
        raise errors.SettingsError(
            "OTEL_EXPORTER_OTLP_PROTOCOL is grpc, but traces are sent by HTTP; set it to http/json and give the collector's HTTP port, usually 4318"
        )
    headers = _pairs("OTEL_EXPORTER_OTLP_HEADERS", environment)
    if not all(_HEADER_NAME.fullmatch(name) and value.isascii() and value.isprintable() for name, value in headers.items()):
        raise errors.SettingsError("OTEL_EXPORTER_OTLP_HEADERS holds what no header may hold; write name=value,name=value in ASCII")
    if headers and url.scheme == "http" and not _is_this_machine(url.host or ""):
        raise errors.SettingsError(
            f"OTEL_EXPORTER_OTLP_HEADERS would be sent in clear to {url.origin()}, and a token may be among them; give the collector's https:// address,"
            " or have a collector in the Pod add them (http://127.0.0.1:4318), or take them out"
        )
    return Destination(f"{endpoint.rstrip('/')}/v1/traces", headers, environment.get("OTEL_EXPORTER_OTLP_CERTIFICATE", ""))


def resource(environment: Mapping[str, str], *, instance: str) -> dict[str, str]:
    """What tells this process apart from others, by the names of OpenTelemetry's semantic conventions.

    Args:
        environment: POD_NAME and POD_NAMESPACE, as the chart sets them, OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES, which wins.
        instance: differs from process to process.

    Raises:
        SettingsError: OTEL_RESOURCE_ATTRIBUTES is no list of pairs.
    """
    found = {
        "service.name": environment.get("OTEL_SERVICE_NAME") or "cvstate-operator",
        "service.version": __version__,
        "service.instance.id": instance,
        "k8s.namespace.name": environment.get("POD_NAMESPACE", ""),
        "k8s.pod.name": environment.get("POD_NAME", ""),
    }
    told = _pairs("OTEL_RESOURCE_ATTRIBUTES", environment)
    if environment.get("OTEL_SERVICE_NAME"):
        told.pop("service.name", None)  # the specification has it win
    return {key: value for key, value in {**found, **told}.items() if value}


def _is_this_machine(host: str) -> bool:
    """Whether what is sent there stays on the loopback interface. A name is none but `localhost`: where others lead is not in our hands."""
    address = as_address(host)
    return host.lower() == "localhost" if address is None else address.is_loopback


def _pairs(name: str, environment: Mapping[str, str]) -> dict[str, str]:
    """`key=value,key=value` of a variable, percent-decoded (W3C Baggage without properties); empty if there is no such variable.

    Raises:
        SettingsError: something in it is no pair; what stands there is not repeated, since it may be a credential.
    """
    found = {}
    for part in filter(None, (one.strip() for one in environment.get(name, "").split(","))):
        key, separator, value = part.partition("=")
        if not separator or not key.strip():
            raise errors.SettingsError(f"{name} is no list of pairs; write key=value,key=value")
        found[unquote(key.strip())] = unquote(value.strip())
    return found
