"""The settings file, and what wins over it: how options, environment and file become the settings of one process.

A setting can be told by an option of `cvstate run`, by a variable of the environment and by a key of one YAML file; the first of the three that tells it wins.
Every value that is told is checked, also one that another wins over, and everything that is wrong is told together: docs/settings.md.
"""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cvstate_operator import errors, settings_values
from cvstate_operator.objects.redaction import one_line
from cvstate_operator.settings import Origin, Settings
from cvstate_operator.settings_values import Read

MAX_BYTES: Final = 2**20
"""Largest file that is read: as much as a ConfigMap holds. Source: Kubernetes, "ConfigMaps"."""
_NEAR: Final = 0.6
"""How much alike two names must be for one to be proposed for the other; difflib's own measure and default."""
_POD_MARK: Final = "KUBERNETES_SERVICE_HOST"
_POD_NAMESPACE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
"""Both are there in every Pod with a service account. Source: Kubernetes, "Accessing the Kubernetes API from a Pod"."""


class WrongSettingsError(errors.SettingsError):
    """Everything that is wrong with what was told."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = tuple(faults)
        """One line each: where it was told, what is wrong, and what to write; in the order of the table."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting as users name it."""

    field: str
    """Of Settings."""
    read: Read
    """Checks a value and gives it its type."""
    options: tuple[str, ...]
    """As they are declared, the one that messages name first: `--writers`, or `--x/--no-x` for a flag. Empty: none."""
    key: str
    """In the file; empty: it cannot stand there."""
    variable: str
    """Of the environment; empty: none of ours."""
    meaning: str
    """What it does: whole sentences, for `--help` and docs/settings.md."""
    default: str
    """What holds where nothing tells it."""

    @property
    def option(self) -> str:
        """The option that messages name; empty: there is none."""
        return self.options[0].partition("/")[0] if self.options else ""


def _targets(told: Any) -> Any:
    from cvstate_operator.api.notices import parse_targets  # brings pydantic, which takes long to load

    return parse_targets(told)


def _setting(
    field: str, read: Read, option: str, key: str, meaning: str, default: str, *, variable: str | None = None, more: str = ""
) -> Setting:
    """A row of the table; its variable is named after the field unless another is told."""
    return Setting(
        field,
        read,
        tuple(part for part in (option, more) if part),
        key,
        f"CVSTATE_{field.upper()}" if variable is None else variable,
        meaning,
        default,
    )


SETTINGS: Final = (
    _setting(
        "config",
        settings_values.path,
        "--config",
        "",
        "YAML file with settings, read again when it changes: see docs/settings.md.",
        "none",
    ),
    _setting(
        "kubeconfig",
        settings_values.path,
        "--kubeconfig",
        "",
        "Kubeconfig of the cluster.",
        "the Pod's service account, else $KUBECONFIG or ~/.kube/config",
        variable="",
    ),
    _setting("context", settings_values.text, "--context", "", "Context of the kubeconfig.", "its current one", variable=""),
    _setting(
        "namespaces",
        settings_values.each(settings_values.namespace),
        "--namespace",
        "namespaces",
        "Act only on ClusterStates of this namespace; may be repeated.",
        "all",
        more="-n",
    ),
    _setting(
        "listen",
        settings_values.host_and_port,
        "--listen",
        "listen",
        "HOST:PORT of /metrics, /healthz and /readyz.",
        "port 8080, outside a Pod on 127.0.0.1 only",
    ),
    _setting(
        "tls_directory",
        settings_values.path,
        "--tls-directory",
        "tlsDirectory",
        "Directory with tls.crt and tls.key, to serve --listen by TLS.",
        "none; plain HTTP",
    ),
    _setting(
        "cache",
        settings_values.directory,
        "--cache",
        "cache",
        "Directory for repositories and rendered objects.",
        "~/.cache/cvstate-operator/operator",
    ),
    _setting(
        "cache_bytes",
        settings_values.size(64 * 2**20),
        "--cache-bytes",
        "cacheBytes",
        "What that directory may hold at most, in bytes or as 4Gi: what was used least recently goes first.",
        "10Gi",
    ),
    _setting(
        "memory_bytes",
        settings_values.size(64 * 2**20),
        "--memory-bytes",
        "memoryBytes",
        "What the operator, with its renders and fetches, may have at most, in bytes or as 4Gi; half is for these.",
        "the limit of the container, else what the machine has",
    ),
    _setting(
        "allow_file_urls",
        settings_values.flag,
        "--allow-file-urls/--no-allow-file-urls",
        "allowFileUrls",
        "Allow file:// sources. They reach whatever this user can read.",
        "false",
    ),
    _setting(
        "allow_insecure_sources",
        settings_values.flag,
        "--allow-insecure-sources/--no-allow-insecure-sources",
        "allowInsecureSources",
        "Allow http:// sources, sources and Prometheus on this machine, and passwords for Prometheus over http://.",
        "only outside a Pod",
    ),
    _setting(
        "allow_git_hosts",
        settings_values.each(settings_values.host),
        "--allow-git-host",
        "allowGitHosts",
        "Allow this host as a source, whatever address it has; may be repeated.",
        "none",
    ),
    _setting(
        "allow_prometheus_hosts",
        settings_values.each(settings_values.host),
        "--allow-prometheus-host",
        "allowPrometheusHosts",
        "Allow this host for spec.vital.prometheus, whatever address it has; may be repeated.",
        "none",
    ),
    _setting(
        "allow_notice_hosts",
        settings_values.each(settings_values.host),
        "--allow-notice-host",
        "allowNoticeHosts",
        "Allow this host for notices, whatever address it has; may be repeated.",
        "none",
    ),
    _setting(
        "prometheus_hosts",
        settings_values.each(settings_values.host),
        "--prometheus-host",
        "prometheusHosts",
        "Ask no other host than this for spec.vital.prometheus; may be repeated.",
        "any that is not refused by its address",
    ),
    _setting(
        "webhook_listen",
        settings_values.host_and_port,
        "--webhook-listen",
        "webhookListen",
        "HOST:PORT of the push webhook (POST /hook).",
        "none",
    ),
    _setting("writers", settings_values.whole(1, 256), "--writers", "writers", "Objects written at a time, 1 to 256.", "16"),
    _setting(
        "shutdown_seconds",
        settings_values.seconds(3600),
        "--shutdown-seconds",
        "shutdownSeconds",
        "Seconds that objects in hand may take after SIGTERM, up to 3600; less than the grace period of the Pod.",
        "20",
    ),
    _setting(
        "require_service_account",
        settings_values.flag,
        "--require-service-account/--no-require-service-account",
        "requireServiceAccount",
        "Refuse a ClusterState without an account instead of acting with the operator's own rights.",
        "only in a Pod",
    ),
    _setting(
        "default_service_account",
        settings_values.or_empty(settings_values.account),
        "--default-service-account",
        "defaultServiceAccount",
        "Account, of the ClusterState's own namespace, for those without spec.serviceAccountName.",
        "none",
    ),
    _setting(
        "lease_namespace",
        settings_values.or_empty(settings_values.namespace),
        "--lease-namespace",
        "leaseNamespace",
        'Namespace of the Leases by which replicas find each other; "" for a process that is alone.',
        "in a Pod its own, elsewhere none",
    ),
    _setting(
        "group",
        settings_values.group,
        "--group",
        "group",
        "Replicas of the same group share the ClusterStates among them.",
        "cvstate-operator",
    ),
    _setting(
        "advertise",
        settings_values.or_empty(settings_values.address_of_ours),
        "--advertise",
        "advertise",
        "URL at which other replicas reach the webhook of this one.",
        "none",
    ),
    _setting(
        "cluster_id",
        settings_values.or_empty(settings_values.text),
        "--cluster-id",
        "clusterId",
        "What tells this cluster from others, on objects in remote clusters: see docs/remote-clusters.md.",
        "the uid of its namespace kube-system",
    ),
    _setting(
        "otlp_endpoint",
        settings_values.or_empty(settings_values.url),
        "--otlp-endpoint",
        "otlpEndpoint",
        "Base URL of a collector that traces are sent to by OTLP/HTTP.",
        "none; tracing is off then",
        variable="OTEL_EXPORTER_OTLP_ENDPOINT",
    ),
    _setting("notices", _targets, "", "notices", "Who is told of incidents: see docs/notices.md.", "nobody", variable=""),
    _setting(
        "log_level",
        settings_values.choice("debug", "info", "warning", "error"),
        "--log-level",
        "logLevel",
        "Least important lines that are logged: debug, info, warning or error.",
        "info",
    ),
    _setting(
        "log_format",
        settings_values.choice("auto", "json", "text"),
        "--log-format",
        "logFormat",
        "auto, json or text; auto: text on a terminal, JSON elsewhere.",
        "auto",
    ),
)
"""Every setting, in the order of `--help` and of the page."""

BY_FIELD: Final = {setting.field: setting for setting in SETTINGS}
_BY_KEY: Final = {setting.key: setting for setting in SETTINGS if setting.key}


@dataclass(frozen=True, slots=True)
class _Told:
    """A value, and where it stands."""

    place: str
    value: Any


def read(origin: Origin) -> Settings:
    """The settings of a process.

    Args:
        origin: options and environment; they name the file as well.

    Raises:
        WrongSettingsError: something that was told is wrong, or the file cannot be read; names all of it.
    """
    faults: list[str] = []
    found: dict[str, Any] = {}
    in_file: Mapping[str, _Told] = {}
    for setting in SETTINGS:
        for told in _told(setting, origin, in_file):
            try:
                value = setting.read(told.value)
            except ValueError as exc:
                faults.append(f"{told.place}: {exc}")
            except errors.SettingsError as exc:  # its text names the key, and what below it is meant
                faults.append(f"{told.place.removesuffix(f', {setting.key}')}: {exc.message}")
            else:
                found.setdefault(setting.field, value)
        if setting.field == "config" and (file := found.get("config")):
            in_file = _in_file(file, faults)
    if faults:
        raise WrongSettingsError(faults)
    if "kubeconfig" not in found:
        found.setdefault("lease_namespace", _own_namespace(origin.environment))
    return Settings(**found, origin=origin)


def _own_namespace(environment: Mapping[str, str]) -> str | None:
    """Namespace of the Pod that this process runs in; None outside of one."""
    if _POD_MARK not in environment:
        return None
    try:
        return _POD_NAMESPACE.read_text().strip() or None
    except OSError:
        return None


def changed(before: Settings, after: Settings) -> tuple[Setting, ...]:
    """Settings whose values differ, in the order of the table."""
    return tuple(one for one in SETTINGS if getattr(before, one.field) != getattr(after, one.field))


def _told(setting: Setting, origin: Origin, in_file: Mapping[str, _Told]) -> Iterator[_Told]:
    """Every value that a setting is told, the one that wins first."""
    option = origin.options.get(setting.field)
    if option is not None and option != () and option != []:
        yield _Told(setting.option, option)
    if setting.variable and (text := origin.environment.get(setting.variable)):
        yield _Told(setting.variable, text)
    if setting.key in in_file:
        yield in_file[setting.key]


# -- the file ------------------------------------------------------------------------------------------------------


def _in_file(file: Path, faults: list[str]) -> Mapping[str, _Told]:
    """What a file tells, by key; what is wrong with the file itself comes to the faults. A key without a value tells nothing."""
    import yaml

    found: dict[str, _Told] = {}
    seen: set[str] = set()
    try:
        for key, line, value in _entries(file):
            where = f"{file}, line {line}"
            if key not in _BY_KEY:
                faults.append(f"{where}: there is no setting {one_line(key)!r}; {_proposal(key)}")
            elif key in seen:
                faults.append(f"{where}: {key} stands there a second time; leave one of them")
            elif value is not None:
                found[key] = _Told(f"{where}, {key}", value)
            seen.add(key)
    except OSError as exc:
        faults.append(f"{file}: the settings file cannot be read: {exc.strerror}; name another with --config or CVSTATE_CONFIG")
    except yaml.YAMLError as exc:
        faults.append(f"{file}{_fault(exc)}")
    except _NotSettingsError as exc:
        faults.append(f"{file}: {exc}")
    return found


class _NotSettingsError(Exception):
    """The file holds something else."""


def _entries(file: Path) -> Iterator[tuple[str, int, Any]]:
    """Keys of the file with their lines (from 1) and values; none if it is empty."""
    import yaml

    with file.open("rb") as stream:
        content = stream.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise _NotSettingsError(
            f"is larger than {MAX_BYTES // 2**20} MiB, which no settings file is; name another with --config or CVSTATE_CONFIG"
        )
    loader = yaml.CSafeLoader(content)
    try:
        node = loader.get_single_node()
        if node is None:
            return
        if not isinstance(node, yaml.MappingNode):
            raise _NotSettingsError("a YAML mapping of settings is expected; write such as logLevel: debug")
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else "that is no text"
            yield name, key.start_mark.line + 1, loader.construct_object(value, deep=True)
    finally:
        loader.dispose()


def _fault(error: Exception) -> str:
    """Where the file is no YAML, and why; without its text, which may be secret."""
    mark = getattr(error, "problem_mark", None)
    line = f", line {mark.line + 1}" if mark else ""
    return f"{line}: is no YAML: {one_line(str(getattr(error, 'problem', None) or 'it holds what is no text'))}; mend it"


def _proposal(key: str) -> str:
    """What may have been meant."""
    plain = {_plain(known): known for known in _BY_KEY}
    near = difflib.get_close_matches(_plain(key), plain, n=1, cutoff=_NEAR)
    return f"is {plain[near[0]]} meant?" if near else f"there are {', '.join(_BY_KEY)}"


def _plain(key: str) -> str:
    """A key without what people write differently: `log-level` and `LOG_LEVEL` are much like `logLevel`."""
    return re.sub(r"[^a-z0-9]", "", key.lower()).removeprefix("cvstate")
