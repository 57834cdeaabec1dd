"""Options of `cvstate run`.

Aspects: lists of hosts, by option and by environment · what is no host.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from cvstate_operator.cli.main import app
from cvstate_operator.errors import SettingsError
from cvstate_operator.operator import app as operator_app
from cvstate_operator.settings import Settings
from cvstate_operator.telemetry import logs

LISTS = {
    "--allow-git-host": ("CVSTATE_ALLOW_GIT_HOSTS", "allow_git_hosts"),
    "--allow-prometheus-host": ("CVSTATE_ALLOW_PROMETHEUS_HOSTS", "allow_prometheus_hosts"),
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


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Runs the command, and gives the settings that the operator would begin with."""
    begun: list[Settings] = []
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(CONFIG))

    async def begin(settings: Settings) -> None:
        begun.append(settings)

    monkeypatch.setattr(operator_app, "run", begin)
    monkeypatch.setattr(logs, "configure", lambda **_: None)

    def settings(*options: str, **environment: str) -> Settings:
        found = CliRunner().invoke(app, ["run", "--kubeconfig", str(kubeconfig), *options], env=environment)
        if found.exception and not isinstance(found.exception, SystemExit):
            raise found.exception
        return begun.pop()

    return settings


@lists
def test_hosts_are_told_one_by_one_or_in_the_environment(run: Any, option: str, variable: str, field: str) -> None:
    hosts = ("prometheus.monitoring", "10.0.0.1", "fd12::1")
    assert getattr(run(option, "Prometheus.Monitoring.", option, "10.0.0.1", option, "[fd12::1]"), field) == hosts
    assert getattr(run(**{variable: "prometheus.monitoring 10.0.0.1 fd12::1"}), field) == hosts
    assert getattr(run(), field) == ()


@lists
@pytest.mark.parametrize("host", ["http://prometheus", "prometheus:9090", "prometheus/x", "*.monitoring", "a,b", "me@h", "", "."])
def test_what_is_no_host_is_refused_since_no_url_would_ever_match_it(run: Any, option: str, variable: str, field: str, host: str) -> None:
    with pytest.raises(SettingsError) as caught:
        run(option, host)
    assert option in caught.value.message
