"""The CronJob of docs/backup.md, as an API server sees it.

Aspects: every object is valid, with no field too many · its Pod may run where the restricted Pod Security Standard is enforced · its account may do what the command does,
and nothing else · what the command does if it goes wrong.
"""

import re
from pathlib import Path
from typing import Final

import pytest
import yaml

from cvstate_operator import errors
from tests.support import accounts, commands
from tests.support.alert_rules import ROOT
from tests.support.api import CLUSTER_STATES, Json
from tests.support.world import World

pytestmark = pytest.mark.integration

_PLURALS: Final = {
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "PersistentVolumeClaim": "/api/v1/namespaces/{}/persistentvolumeclaims",
    "CronJob": "/apis/batch/v1/namespaces/{}/cronjobs",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
}
CHECK: Final = "?dryRun=All&fieldValidation=Strict"


@pytest.fixture(scope="module")
def documented() -> dict[str, Json]:
    """The objects, by kind."""
    (found,) = re.findall(r"```yaml\n(apiVersion: v1\nkind: ServiceAccount\n.*?)```", (ROOT / "docs" / "backup.md").read_text(), re.DOTALL)
    return {one["kind"]: one for one in yaml.safe_load_all(found)}


def test_the_api_server_takes_every_object(own: World, documented: dict[str, Json]) -> None:
    assert set(documented) == set(_PLURALS)
    for kind, one in documented.items():
        body = yaml.safe_load(yaml.safe_dump(one).replace("cvstate-system", own.name))
        code, answer = own.api.request("POST", _PLURALS[kind].format(own.name) + CHECK, body)
        assert code == 201, answer
    broken = {**documented["CronJob"], "spec": {**documented["CronJob"]["spec"], "shedule": "x"}}
    broken["metadata"] = {"name": "x", "namespace": own.name}
    assert own.api.request("POST", _PLURALS["CronJob"].format(own.name) + CHECK, broken)[0] == 400


def test_its_pod_may_run_under_the_restricted_standard(own: World, documented: dict[str, Json]) -> None:
    own.api.merge(f"/api/v1/namespaces/{own.name}", {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}})
    spec = documented["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    own.api.apply(
        own.path("serviceaccounts", spec["serviceAccountName"]),
        documented["ServiceAccount"] | {"metadata": {"name": spec["serviceAccountName"]}},
    )
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "backup"}, "spec": spec}
    code, answer = own.api.request("POST", own.path("pods") + CHECK, pod)
    assert code == 201, answer
    root = {**pod, "spec": {**spec, "securityContext": {**spec["securityContext"], "runAsNonRoot": False}}}
    assert own.api.request("POST", own.path("pods") + CHECK, root)[0] == 403


def test_its_account_can_back_up_and_nothing_else_and_a_bad_night_costs_no_backup(
    own: World, documented: dict[str, Json], tmp_path: Path
) -> None:
    own.declare()
    accounts.grant(own, "backup", documented["ClusterRole"]["rules"])
    user = accounts.kubeconfig(own, accounts.token(own, "backup"), tmp_path / "backup.kubeconfig")
    (container,) = documented["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    (mount,) = container["volumeMounts"]
    volume = tmp_path / "volume"
    volume.mkdir()
    arguments = [word.replace(mount["mountPath"], str(volume)) for word in container["args"]]
    assert commands.run(own, *arguments, "-n", own.name, user=user)[0] == 0
    (file,) = volume.iterdir()
    good = file.read_text()
    assert "kind: ClusterState\n" in good
    assert commands.run(own, *arguments, user=user)[0] == 0, "also of the whole cluster"
    file.write_text(good)
    code, output = commands.run(own, "restore", str(file), user=user)
    assert (code, "may not create clusterstates" in output) == (2, True)
    own.api.delete(f"{CLUSTER_STATES.format(own.name)}/state")
    with pytest.raises(errors.SettingsError, match="left as it is"):
        commands.run(own, *arguments, "-n", own.name, user=user)
    nobody = accounts.kubeconfig(own, accounts.token(own, "nobody"), tmp_path / "nobody.kubeconfig")
    with pytest.raises(errors.ForbiddenError):
        commands.run(own, *arguments, user=nobody)
    assert {one.name: one.read_text() for one in volume.iterdir()} == {file.name: good}
