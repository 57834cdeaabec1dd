"""The project's charts, and the real Helm to work with them."""

import json
import os
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from tests.cluster import builds
from tests.support.api import Api, Json
from tests.support.objects import RBAC

ROOT: Final = Path(__file__).parents[2]
OPERATOR: Final = ROOT / "deploy" / "charts" / "cvstate-operator"
CRDS: Final = ROOT / "deploy" / "charts" / "cvstate-operator-crds"
NAMESPACE: Final = "cvstate-system"
RELEASE: Final = "cvstate-operator"
SERVED: Final = ("--api-versions", "cvstate.io/v1alpha1")
"""For `template`: as in a cluster with the kinds."""


class HelmFailedError(Exception):
    """Helm ended with another code than 0; the text is what it said."""


def helm(*arguments: str | Path, values: Mapping[str, Any] | None = None, kubeconfig: Path | None = None, home: Path) -> str:
    """Run Helm, of the version that the operator renders with, and return what it prints.

    Args:
        arguments: of the command line.
        values: given in place of a file of values.
        kubeconfig: of the cluster it works on; None for commands that need none.
        home: where it keeps its cache.

    Raises:
        HelmFailedError: it failed.
    """
    program = builds.ensure(["helm"])["helm"]
    command = [str(program), *map(str, arguments)]
    if kubeconfig:
        command += ["--kubeconfig", str(kubeconfig)]
    if values is not None:
        command += ["--values", "-"]
    kept = {f"HELM_{kind}_HOME": str(home / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")}
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("HELM_", "KUBE"))} | kept
    done = subprocess.run(
        command,
        input=json.dumps(values or {}),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        env={**variables, "HOME": str(home)},
    )
    if done.returncode != 0:
        raise HelmFailedError(f"{done.stdout}{done.stderr}")
    return done.stdout


def make_room(api: Api) -> None:
    """Take away what tests/cluster has under a name of the chart's: the binding that makes its own operator user cluster-admin."""
    api.delete(f"/apis/{RBAC}/clusterrolebindings/{RELEASE}")


def rendered(chart: Path, values: Mapping[str, Any] | None = None, *options: str, home: Path) -> list[Json]:
    """The objects of a chart, as `helm template` makes them.

    Raises:
        HelmFailedError: it does not take the values, or cannot render.
    """
    text = helm("template", RELEASE, chart, "--namespace", NAMESPACE, *SERVED, *options, values=values or {}, home=home)
    return [found for found in yaml.safe_load_all(text) if found]


def one(objects: Iterable[Json], kind: str, name: str = RELEASE) -> Json:
    """The only object of that kind and name.

    Raises:
        AssertionError: there is none, or more than one.
    """
    found = [each for each in objects if each["kind"] == kind and each["metadata"]["name"] == name]
    assert len(found) == 1, f"{kind} {name}: {len(found)} of them"
    return found[0]
