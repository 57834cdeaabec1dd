"""A real Prometheus with the rules of the chart, which tells the alerts that fire."""

import json
import os
import re
import signal
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import yaml

from tests.support.alert_rules import FILES
from tests.support.api import Json
from tests.support.prometheus import Prometheus
from tests.support.waiting import until

_READ: Final = "Completed loading of configuration file"
"""What its log says after each time. Source: Prometheus, `cmd/prometheus/main.go`, reloadConfig."""


class Watcher(Prometheus):
    """Evaluates each second; what has to last for minutes before it fires has to last for a second. Everything else of the rules is as it is installed."""

    def __init__(self, directory: Path, *targets: str) -> None:
        super().__init__(directory, targets=targets)
        self._config = directory / "prometheus.yml"
        for file in FILES:
            shortened = re.sub(r"^( +for:) \d+[mh]$", r"\1 1s", file.read_text(), flags=re.MULTILINE)
            (directory / file.name).write_text(re.sub(r"^( +interval:) 2m$", r"\1 1s", shortened, flags=re.MULTILINE))
        self._write(rule_files=[file.name for file in FILES])

    def scrape(self, jobs: Sequence[Json]) -> None:
        """Scrape by these jobs, as the configuration says them, from now on."""
        self._write(scrape_configs=list(jobs))
        if self._process:
            read = self._times_read()
            os.kill(self._process.pid, signal.SIGHUP)
            until("the configuration is read anew", lambda: self._times_read() > read)

    def _write(self, **part: object) -> None:
        self._config.write_text(yaml.safe_dump(yaml.safe_load(self._config.read_text()) | part))

    def _times_read(self) -> int:
        return (self._directory / "log").read_text().count(_READ)

    def _get(self, path: str) -> Json:
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}", timeout=10) as answer:
            return dict(json.load(answer)["data"])

    def alerts(self, name: str = "Cvstate.+") -> list[Json]:
        """Those of that name that fire, but for that of a process that gets too little CPU: here all share a few cores."""
        found = [
            one for one in self._get("alerts")["alerts"] if one["state"] == "firing" and re.fullmatch(name, one["labels"]["alertname"])
        ]
        return [one for one in found if one["labels"]["alertname"] != "CvstateEventLoopLag"]

    def rules(self) -> list[Json]:
        """As they were evaluated last."""
        return [rule for group in self._get("rules")["groups"] for rule in group["rules"]]
