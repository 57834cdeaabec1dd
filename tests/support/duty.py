"""Who is on duty: a Prometheus with our rules, which fire within seconds, and a shell that runs what stands in a runbook.

Rules are as they are installed, but for times that are longer than a test may take: each `for` is a second (`watcher`), each window is WINDOW, and each age that something must have
reached is AGE_SECONDS. Where a window looks for what was well before (KEPT), it stays as it is.
"""

import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import yaml

from tests.cluster import builds
from tests.support.alert_rules import ALERTS, FILES, Runbook, runbooks
from tests.support.api import Json
from tests.support.operator import CVSTATE
from tests.support.waiting import until
from tests.support.watcher import Watcher
from tests.support.world import World

RUNBOOKS: Final = {runbook.name: runbook for runbook in runbooks()}
_LABELS: Final = re.compile(r"NAMESPACE=team-a NAME=shop\b")
_MARK: Final = "=== "
_SECONDS: Final = 90.0
"""Longest wait for an alert to come or go; the slowest burn rates need a minute."""

WINDOW: Final = "15s"
AGE_SECONDS: Final = 5
KEPT: Final = frozenset(
    {"CvstateReconcileFailingWithImpact", "CvstateUnhealthyAfterChange", "CvstateSourceRefused", "cvstate:reconcile_budget:remaining_ratio"}
)
"""Rules whose windows stay."""
_WINDOW: Final = re.compile(r"\[\d+[mhd]\]")
_AGE: Final = re.compile(r"> \d{3,}\b")


class QuickWatcher(Watcher):
    """Scrapes the operators that a file lists, and evaluates our rules each second with the times of this module."""

    def __init__(self, directory: Path, *, operators: Path, exporter: str) -> None:
        """
        Args:
            directory: for its data and files; made.
            operators: for file_sd_configs, the operators' addresses.
            exporter: HOST:PORT of what else is scraped.
        """
        super().__init__(directory)
        found = {"files": [str(operators)], "refresh_interval": "1s"}
        other = {"job_name": "app", "static_configs": [{"targets": [exporter]}]}
        self.scrape([{"job_name": "cvstate-operator", "honor_labels": True, "file_sd_configs": [found]}, other])
        for file in FILES:
            document = yaml.safe_load((directory / file.name).read_text())
            for group in document["groups"]:
                group["rules"] = [_quick(rule) for rule in group["rules"]]
            (directory / file.name).write_text(yaml.safe_dump(document, sort_keys=False))

    def firing(self, name: str) -> list[Json]:
        """The alerts of that name that fire."""
        return [one for one in self._get("alerts")["alerts"] if one["state"] == "firing" and one["labels"]["alertname"] == name]


def _quick(rule: Json) -> Json:
    expr = _AGE.sub(f"> {AGE_SECONDS}", rule["expr"])
    if (rule.get("alert") or rule["record"]) not in KEPT:
        expr = _WINDOW.sub(f"[{WINDOW}]", expr)
    return {**rule, "expr": expr}


@dataclass
class Duty:
    """Somebody with a shell, kubectl, cvstate and the page of the alert."""

    world: World
    prometheus: QuickWatcher
    directory: Path
    """Where lines are run: a checkout of the team's repository."""
    variables: dict[str, str] = field(default_factory=dict)
    """Placeholders of runbooks that somebody fills in."""

    def is_told(self, alert: str, name: str = "") -> list[Json]:
        """The alert as it fires: of a ClusterState if one is named, else of whatever it concerns."""
        return [one for one in self.prometheus.firing(alert) if not name or one["labels"].get("name") == name]

    def await_told(self, alert: str, name: str = "", *, seconds: float = _SECONDS) -> Json:
        """Wait until it fires."""
        return until(f"{alert} of {name or 'the operator'} fires", lambda: self.is_told(alert, name), seconds=seconds, every=0.2)[0]

    def await_over(self, alert: str, name: str = "", *, seconds: float = _SECONDS) -> None:
        """Wait until it does not fire any more."""
        until(f"{alert} of {name or 'the operator'} ends", lambda: not self.is_told(alert, name), seconds=seconds, every=0.2)

    def diagnose(self, alert: str, name: str = "", *, without: tuple[str, ...] = (), silent: tuple[str, ...] = ()) -> str:
        """Do all that stands under Diagnose: every line succeeds, every query is answered by something.

        Args:
            alert: whose runbook.
            name: of the ClusterState.
            without: beginnings of lines that need what is not there; the caller says what.
            silent: beginnings of queries that have no answer in this case.

        Returns:
            What was shown.
        """
        lines = [line for line in RUNBOOKS[alert].lines("Diagnose") if not _LABELS.match(line) and not line.startswith(without or ("\0",))]
        shown = self.shell(*lines, name=name, alert=alert)
        for query in _queries(RUNBOOKS[alert], "Diagnose"):
            found = self.prometheus.ask(query)
            assert found or query.startswith(silent or ("\0",)), f"nothing is answered to {query}"
        return shown

    def mend(self, alert: str, beginning: str, name: str = "", *, more: str = "") -> str:
        """Run the line of Mend that begins so, of which there has to be one; `more` is what one types when asked. Where the page has one choose a ClusterState, it is `name`.

        Returns:
            What was shown.
        """
        (line,) = (line for line in RUNBOOKS[alert].lines("Mend") if line.startswith(beginning))
        needed = [one for one in RUNBOOKS[alert].lines("Diagnose") if re.match(r"[A-Z_]+=\"\$", one)]
        chosen = [f"NAMESPACE={self.world.name} NAME={name}" for one in RUNBOOKS[alert].lines("Mend") if _LABELS.match(one)][:1]
        return self.shell(*needed, *chosen, line.partition("   #")[0] + more, name=name, alert=alert)

    def shell(self, *lines: str, name: str = "", alert: str = "") -> str:
        """Run lines in one shell, each of which has to succeed; what they print. Those from the page of an alert about no ClusterState get no name of one."""
        labels = {"NAMESPACE": self.world.name, "NAME": name} if not alert or ALERTS[alert]["labels"]["area"] != "operator" else {}
        programs = [CVSTATE, builds.ensure(["kubectl"])["kubectl"]]
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("GIT_") and key not in ("NAMESPACE", "NAME")},
            "PATH": os.pathsep.join([*(str(program.parent) for program in programs), os.environ["PATH"]]),
            "KUBECONFIG": str(self.world.cluster.admin_kubeconfig),
            "COLUMNS": "200",
            **labels,
            **self.variables,
        }
        script = "\n".join(f"echo '{_MARK}{number}'\n{line}" for number, line in enumerate(lines))
        command = ("bash", "-eu", "-o", "pipefail", "-c", script)
        done = subprocess.run(
            command, cwd=self.directory, env=environment, capture_output=True, text=True, timeout=240, check=False, stdin=subprocess.DEVNULL
        )
        reached = max((int(number) for number in re.findall(rf"^{_MARK}(\d+)$", done.stdout, re.MULTILINE)), default=0)
        assert done.returncode == 0, f"{lines[reached]}: exit code {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        return done.stdout + done.stderr


def _queries(runbook: Runbook, section: str) -> list[str]:
    return [line for block in runbook.blocks("promql", section) for line in block.splitlines() if line.strip()]
