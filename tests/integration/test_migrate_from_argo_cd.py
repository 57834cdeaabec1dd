"""From Argo CD, as docs/migrate-from-argo-cd.md says it, word for word, on a real API server with controllers.

Argo CD does not run: what it would do is done, an apply of either kind in the name of argocd-controller with its annotation; and its kind is there with nobody
behind it.

Aspects: without consent nothing is taken · the plan calls every object adopted and changes no field · no object is deleted or made anew, no field changes, and no
Pod restarts · the check tells what was not taken · the way back: Argo CD changes everything as before · its marks go, and what it holds besides us · what leaves
Git then leaves the cluster, field and object · with the consent gone nothing is taken any more · every command of the page is run.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from cvstate_operator.cli.demo.git_server import GitServer
from tests.support import migration, pages
from tests.support.api import Json
from tests.support.migration import BACK, CONSENT_BACK, LAST_APPLIED, LOOK, NAMESPACE, OURS, STRAY, TAKE, Ground
from tests.support.objects import config_map, definition, manifest

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

PAGE: Final = pages.read(pages.DOCS / "migrate-from-argo-cd.md")
TRACKING: Final = "argocd.argoproj.io/tracking-id"
MANAGER: Final = "argocd-controller"
RESTS: Final = "2. End the automatic sync"
GOES: Final = "4. Delete the Application, not its objects"
STEPS: Final = (LOOK, RESTS, TAKE, BACK, GOES, CONSENT_BACK)
APPLICATION: Final = "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications/shop"
AUTOMATED: Final = {"automated": {"prune": True}, "retry": {"limit": 2}}


@pytest.fixture
def ground(git: GitServer, tmp_path: Path) -> Iterator[Ground]:
    with migration.prepared(git, tmp_path) as found:
        yield found


def tracked(body: Json) -> Json:
    """The object as Argo CD applies it. Source: Argo CD, "Resource Tracking"."""
    group = "apps" if body["kind"] == "Deployment" else ""
    return migration.with_meta(body, annotations={TRACKING: f"shop:{group}/{body['kind']}:{NAMESPACE}/{body['metadata']['name']}"})


class ArgoCd:
    """Nobody: what Argo CD would have done is done, by one of its two ways to apply."""

    name = "Argo CD application shop"

    def __init__(self, ground: Ground, *, is_server_side: bool) -> None:
        self._ground, self.is_server_side = ground, is_server_side
        crd = definition("argoproj.io", "Application")
        crd["spec"]["versions"][0]["name"] = "v1alpha1"
        migration.kind(ground.api, crd)
        body = manifest("Application", "shop", api_version="argoproj.io/v1alpha1", spec={"syncPolicy": AUTOMATED})
        body["metadata"]["finalizers"] = ["resources-finalizer.argocd.argoproj.io"]
        ground.api.create(APPLICATION.rpartition("/")[0], body)
        self.apply(STRAY)

    def apply(self, *more: Json) -> None:
        """See `Tool`."""
        bodies = [tracked(body) for body in (*self._ground.declared, *more)]
        if not self.is_server_side:
            listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": bodies})
            self._ground.cluster.kubectl("apply", "-n", NAMESPACE, f"--field-manager={MANAGER}", "-f", "-", input=listed)
            return
        for body in bodies:
            code, answer = self._ground.api.apply(self._ground.path(body), body, manager=MANAGER)
            assert code < 300, answer

    def act(self) -> None:
        """See `Tool`."""
        self.apply()

    def section(self, before: str) -> str:
        """The heading of what is to be done where it applies as it does."""
        return f"{before} {'server-side' if self.is_server_side else 'client-side'}"


@pytest.mark.parametrize("is_server_side", [pytest.param(False, marks=pytest.mark.long), True], ids=["client-side", "server-side"])
def test_from_argo_cd_word_for_word(ground: Ground, is_server_side: bool):
    tool = ArgoCd(ground, is_server_side=is_server_side)
    migration.somebody_else_writes(ground)
    before, mark = migration.standing(ground), ground.cluster.audit.mark()
    migration.there_and_back(ground, PAGE, tool, RESTS, BACK, tool.section("The way back,"))
    assert (ground.api.get(APPLICATION) or {})["spec"]["syncPolicy"] == AUTOMATED

    left = migration.taken(ground, PAGE, tool, RESTS)
    assert (ground.api.get(APPLICATION) or {})["spec"]["syncPolicy"] == {"retry": {"limit": 2}}
    assert left.split() == [tracked(STRAY)["metadata"]["annotations"][TRACKING]]

    ground.carry_out(PAGE, GOES)
    assert ground.api.get(APPLICATION) is None
    ground.carry_out(PAGE, tool.section("It applied"))
    for one in ground.all_live():
        assert not {TRACKING, LAST_APPLIED} & one["metadata"].get("annotations", {}).keys()
        assert OURS in migration.held(one)
        theirs = [fields for (manager, _), fields in migration.held(one).items() if manager == MANAGER]
        assert not [shared for fields in theirs if (shared := migration.held_by_both(migration.held(one)[OURS], fields))]
    assert TRACKING in (ground.live(STRAY) or {})["metadata"]["annotations"]

    ground.carry_out(PAGE, CONSENT_BACK)
    assert migration.standing(ground) == before
    assert migration.deleted(ground, mark) == []

    migration.leaves_with_git(ground)
    migration.takes_nothing_more(ground, tracked(config_map("theirs", k="theirs")), tool)


def test_no_command_of_the_page_is_left_out():
    by_kind_of_apply = {f"{before} {how}" for before in ("The way back,", "It applied") for how in ("client-side", "server-side")}
    assert {section for section in PAGE.sections if PAGE.commands(section)} == {*STEPS, *by_kind_of_apply}
