"""Options of `cvstate run`.

Aspects: every setting that has an option has it here · options reach the settings · lists of hosts, by option and by environment · what is no host · everything that
is wrong is told at once, and nothing is started · how it logs.
"""

import inspect
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from cvstate_operator import settings_file
from cvstate_operator.cli import run as run_command
from cvstate_operator.cli.main import app
from cvstate_operator.operator import app as operator_app
from cvstate_operator.settings import Settings
from cvstate_operator.telemetry import logs

LISTS = {
    "--allow-git-host": ("CVSTATE_ALLOW_GIT_HOSTS", "allow_git_hosts"),
    "--allow-prometheus-host": ("CVSTATE_ALLOW_PROMETHEUS_HOSTS", "allow_prometheus_hosts"),
    "--allow-notice-host": ("CVSTATE_ALLOW_NOTICE_HOSTS", "allow_notice_hosts"),
    "--prometheus-host": ("CVSTATE_PROMETHEUS_HOSTS", "prometheus_hosts"),
}
CONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "c",
    "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
    "users": [{"name": "u", "user": {"token": "t"}}],
    "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
}
lists = pytest.mark.parametrize(("option", "variable", "field"), [(option, *rest) for option, rest in LISTS.items()], ids=LISTS)


class Run:
    """Runs the command up to the point where the operator would begin."""

    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig = kubeconfig
        self.begun: list[Settings] = []
        self.logs: list[dict[str, Any]] = []

    def __call__(self, *options: str, **environment: str) -> Settings:
        """The settings that it would begin with."""
        result = self.invoke(*options, **environment)
        assert result.exit_code == 0, result.output
        return self.begun.pop()

    def invoke(self, *options: str, **environment: str) -> Any:
        found = CliRunner().invoke(app, ["run", "--kubeconfig", str(self._kubeconfig), *options], env=environment)
        if found.exception and not isinstance(found.exception, SystemExit):
            raise found.exception
        return found


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(CONFIG))
    made = Run(kubeconfig)

    async def begin(settings: Settings) -> None:
        made.begun.append(settings)

    monkeypatch.setattr(operator_app, "run", begin)
    monkeypatch.setattr(logs, "configure", lambda **told: made.logs.append(told))
    return made


# -- options ---------------------------------------------------------------------------------------------------------


def test_every_setting_with_an_option_has_it_here_under_the_name_of_its_field() -> None:
    options = [name for name in inspect.signature(run_command.run).parameters if name != "told"]
    assert sorted(options) == sorted(one.field for one in settings_file.SETTINGS if one.options)


def test_help_names_each_option_with_its_variable() -> None:
    shown = CliRunner(env={"COLUMNS": "1000", "NO_COLOR": "1"}).invoke(app, ["run", "--help"]).output
    missing = [name for one in settings_file.SETTINGS for name in (one.option, one.variable) if name and one.options and name not in shown]
    assert missing == []


OPTIONS = {
    "--namespace a -n b": ("namespaces", ("a", "b")),
    "--listen 127.0.0.1:1": ("listen", "127.0.0.1:1"),
    "--cache /c": ("cache", Path("/c")),
    "--cache-bytes 3276Mi": ("cache_bytes", 3276 * 2**20),
    "--memory-bytes 1Gi": ("memory_bytes", 2**30),
    "--allow-file-urls": ("allow_file_urls", True),
    "--no-allow-insecure-sources": ("allow_insecure_sources", False),
    "--webhook-listen 127.0.0.1:2": ("webhook_listen", "127.0.0.1:2"),
    "--writers 3": ("writers", 3),
    "--shutdown-seconds 4.5": ("shutdown_seconds", 4.5),
    "--no-require-service-account": ("require_service_account", False),
    "--default-service-account applier": ("default_service_account", "applier"),
    "--lease-namespace system": ("lease_namespace", "system"),
    "--group blue": ("group", "blue"),
    "--advertise http://[fd00::1]:9292/": ("advertise", "http://[fd00::1]:9292"),
    "--otlp-endpoint http://otel:4318": ("otlp_endpoint", "http://otel:4318"),
    "--log-level debug": ("log_level", "debug"),
    "--log-format text": ("log_format", "text"),
}


@pytest.mark.parametrize("options", OPTIONS)
def test_an_option_reaches_its_setting(run: Run, options: str) -> None:
    field, value = OPTIONS[options]
    assert getattr(run(*options.split()), field) == value
    assert getattr(run(), field) != value


def test_the_file_is_read_and_remembered(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("writers: 3\ngroup: file\n")
    found = run("--config", str(file), "--group", "mine", CVSTATE_WRITERS="4")
    assert (found.config, found.writers, found.group) == (file, 4, "mine")
    assert settings_file.read(found.origin) == found


@lists
def test_hosts_are_told_one_by_one_or_in_the_environment(run: Run, option: str, variable: str, field: str) -> None:
    hosts = ("prometheus.monitoring", "10.0.0.1", "fd12::1")
    assert getattr(run(option, "Prometheus.Monitoring.", option, "10.0.0.1", option, "[fd12::1]"), field) == hosts
    assert getattr(run(**{variable: "prometheus.monitoring 10.0.0.1 fd12::1"}), field) == hosts
    assert getattr(run(), field) == ()


@lists
@pytest.mark.parametrize("host", ["http://prometheus", "prometheus:9090", "prometheus/x", "*.monitoring", "a,b", "me@h", "", "."])
def test_what_is_no_host_is_refused_since_no_url_would_ever_match_it(run: Run, option: str, variable: str, field: str, host: str) -> None:
    result = run.invoke(option, host)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"cvstate: {option}: ")
    assert run.begun == []


# -- what is wrong ---------------------------------------------------------------------------------------------------


def test_everything_that_is_wrong_is_told_one_line_each_and_nothing_is_started(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("logLevel: loud\n")
    result = run.invoke("--writers", "0", "--config", str(file), CVSTATE_LISTEN="here")
    assert result.exit_code == 2
    lines = result.stderr.splitlines()
    assert [line.partition(": ")[2].partition(": ")[0] for line in lines] == ["CVSTATE_LISTEN", "--writers", f"{file}, line 1, logLevel"]
    assert run.begun == []


# -- logs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("told", "as_json"), [("json", True), ("text", False), ("auto", True)])
def test_lines_are_json_where_nobody_looks_unless_told_otherwise(run: Run, told: str, as_json: bool) -> None:
    run("--log-format", told, "--log-level", "warning")
    assert run.logs == [{"level": "warning", "as_json": as_json}]
