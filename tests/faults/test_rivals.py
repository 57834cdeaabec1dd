"""Others who write: each of them is left alone or put right, once, and nothing becomes a fight.

Aspects: a rival who undoes every repair · an object that is another one when it is written or deleted · a field that cannot be changed · a quota.
"""

import threading
import time
from collections.abc import Callable

import pytest

from tests.faults.runs import WATCHED_SECONDS, Run, edit, is_repaired, judge, some
from tests.support import invariants
from tests.support.api import Json
from tests.support.fault_proxy import Moment, Seen
from tests.support.invariants import Entry
from tests.support.objects import RBAC, config_map, manifest
from tests.support.waiting import until

pytestmark = pytest.mark.integration

REVERSALS = 3
"""`spec.drift.breaker.reversals` by default."""


class Rival(threading.Thread):
    """Sees what is in a ConfigMap, and writes it over as soon as it is ours."""

    def __init__(self, run: Run, name: str) -> None:
        super().__init__(daemon=True)
        self._run, self._name = run, name
        self._done = threading.Event()
        self.writes = 0

    def __enter__(self) -> "Rival":
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._done.set()
        self.join(10)

    def run(self) -> None:
        while not self._done.wait(0.05):
            if is_repaired(self._run, self._name):
                edit(self._run, self._name)
                self.writes += 1


def repairs(run: Run, name: str) -> list[Entry]:
    """Writes to a ConfigMap that was there before."""
    key = f"configmaps {run.name}/{name}"
    return [entry for entry in invariants.managed_writes(run.entries()) if entry.key == key and entry.code == 200]


def test_a_rival_who_undoes_every_repair_sees_few_of_them_before_and_after_a_restart(installed: Run):
    with Rival(installed, "c0") as rival:
        until("the breaker opens", lambda: any("openedAt" in each for each in installed.world.state()["status"].get("breakers", ())))
        assert len(repairs(installed, "c0")) == REVERSALS
        edit(installed, "c1")
        until("another object is repaired", lambda: is_repaired(installed, "c1"))
        installed.restart()
        installed.world.request()
        time.sleep(WATCHED_SECONDS)
        edit(installed, "c1")
        until("another object is repaired", lambda: is_repaired(installed, "c1"))
    assert rival.writes == len(repairs(installed, "c0")) + 1 == REVERSALS + 1
    assert installed.violations() == []
    assert "c0" in installed.world.condition("Drifted")["message"]
    value = installed.world.trigger(reset=True)
    until("the rival is gone, and a person asked for another try", lambda: is_repaired(installed, "c0"))
    until("it is told", lambda: installed.world.state()["status"]["lastHandledReconcileAt"] == value)


# -- replaced in the last moment -------------------------------------------------------------------------------------------


class Replace:
    """Replaces a ConfigMap by another one of the same name just before the operator's write comes to it."""

    def __init__(self, run: Run, name: str, method: str) -> None:
        self._run, self._method = run, method
        self._path = run.world.path("configmaps", name)
        self._body = config_map(name, key="somebody else's")
        self.is_done = False

    def __call__(self, seen: Seen, moment: Moment) -> bool:
        if not self.is_done and (seen.path, seen.method, moment) == (self._path, self._method, Moment.BEFORE):
            self.is_done = True
            api = self._run.ground.api
            api.delete(self._path)
            api.create(self._run.world.path("configmaps"), self._body)
        return False


def changed() -> list[Json]:
    wanted = some()
    wanted[0]["data"]["key"] = "new"
    return wanted


@pytest.mark.parametrize(("method", "wanted"), [("PATCH", changed), ("DELETE", lambda: some(without=("c0",)))], ids=["updated", "pruned"])
def test_an_object_that_somebody_replaces_in_the_last_moment_stays_his(installed: Run, method: str, wanted: Callable[[], list[Json]]):
    api, path = installed.ground.api, installed.world.path("configmaps", "c0")
    replace = installed.ground.proxy.on_write = Replace(installed, "c0", method)
    installed.wish(wanted())
    until("it is replaced", lambda: replace.is_done)
    if method == "PATCH":
        installed.world.wait_failed("FieldConflict", mentions="observer")
    else:
        installed.world.wait_applied(installed.commit)
    installed.world.request()
    live = api.get(path)
    assert live is not None
    assert live["data"] == {"key": "somebody else's"}
    assert repairs(installed, "c0") == []
    api.delete(path)
    installed.world.request()
    judge(installed)


# -- what cannot be done ---------------------------------------------------------------------------------------------------


def claim(storage: str) -> Json:
    resources = {"requests": {"storage": "1Gi"}}
    spec = {"accessModes": ["ReadWriteOnce"], "resources": resources, "storageClassName": storage}
    return manifest("PersistentVolumeClaim", "data", spec=spec)


def test_a_field_that_cannot_be_changed_is_tried_once_and_told_once(installed: Run):
    installed.wish([*some(), claim("fast")])
    installed.converge()
    path = installed.path(claim("fast"))
    since = len(installed.requests())
    installed.wish([*some(), claim("slow")])
    installed.world.wait_failed("Immutable")
    deadline = time.monotonic() + WATCHED_SECONDS
    while time.monotonic() < deadline:
        installed.ground.api.merge(path, {"metadata": {"annotations": {"example.test/at": str(time.monotonic())}}})
        edit(installed, "c0")
        until("others are repaired", lambda: is_repaired(installed, "c0"))
        time.sleep(WATCHED_SECONDS / 3)
    tried = [seen for seen in installed.requests()[since:] if seen.is_write and seen.path == path]
    assert [(seen.method, seen.status) for seen in tried] == [("PATCH", 422)]
    assert len(installed.world.events("Immutable")) == 1
    installed.wish([*some(), claim("fast")])
    judge(installed)


def test_the_role_of_a_binding_cannot_be_changed_either(installed: Run):
    """The API server words it in a way of its own."""
    reference = {"apiGroup": RBAC.partition("/")[0], "kind": "Role", "name": "r0"}
    binding = manifest("RoleBinding", "b0", api_version=RBAC, roleRef=reference)
    installed.wish([*some(), binding])
    installed.converge()
    installed.wish([*some(), {**binding, "roleRef": {**reference, "name": "r1"}}])
    installed.world.wait_failed("Immutable", mentions="cannot change roleRef")


def test_a_real_quota_lets_through_what_fits_and_the_rest_once_it_is_raised(run: Run):
    api, quotas = run.ground.api, run.world.path("resourcequotas")
    allowed = {"count/configmaps": "3"}
    api.create(quotas, manifest("ResourceQuota", "few", spec={"hard": allowed}))
    api.merge(f"{quotas}/few/status", {"status": {"hard": allowed, "used": {"count/configmaps": "0"}}})
    run.wish(some())
    run.declare()
    run.world.wait_failed("QuotaExceeded")
    time.sleep(WATCHED_SECONDS / 3)
    assert len(run.away()) == 2, "three of five ConfigMaps, and everything else"
    more = {"count/configmaps": "10"}
    api.merge(f"{quotas}/few", {"spec": {"hard": more}})
    api.merge(f"{quotas}/few/status", {"status": {"hard": more}})
    run.world.request()
    judge(run)
