"""From Flux, as docs/migrate-from-flux.md says it, word for word, on a real API server with controllers.

Flux's own kustomize-controller runs where it is built (`python -m tests.cluster build kustomize-controller`). The way is gone without it as well: what it would
do is done, a server-side apply in its name with its labels; and its kind is there with nobody behind it.

Aspects: without consent nothing is taken · the plan calls every object adopted and changes no field · no object is deleted or made anew, no field changes, and no
Pod restarts · the check tells what was not taken · the way back: Flux holds and changes everything as before · Flux lets go, and its labels are gone · what leaves
Git then leaves the cluster, field and object · with the consent gone nothing is taken any more · every command of the page is run.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from cvstate_operator.cli.demo.git_server import GitServer
from tests.support import flux, migration, pages
from tests.support.api import Json
from tests.support.flux import MANAGER, Flux
from tests.support.migration import BACK, CONSENT_BACK, LOOK, NAMESPACE, OURS, SHOP, STRAY, TAKE, Ground
from tests.support.objects import config_map, definition, manifest

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

PAGE: Final = pages.read(pages.DOCS / "migrate-from-flux.md")
LABELS: Final = {"kustomize.toolkit.fluxcd.io/name": "shop", "kustomize.toolkit.fluxcd.io/namespace": flux.HOME}
RESTS: Final = "2. Have Flux rest"
LETS_GO: Final = "4. Have Flux let go"
GOES: Final = "5. Delete the Kustomization"
RUN: Final = (LOOK, RESTS, TAKE, BACK, LETS_GO, GOES, CONSENT_BACK)
KUSTOMIZATION: Final = flux.path("kustomizations", "shop")


@pytest.fixture
def ground(git: GitServer, tmp_path: Path) -> Iterator[Ground]:
    with migration.prepared(git, tmp_path) as found:
        yield found


class FluxItself:
    """kustomize-controller."""

    name = "Flux Kustomization shop"
    is_server_side = True

    def __init__(self, ground: Ground, stack: ExitStack) -> None:
        self._flux = stack.enter_context(
            Flux(ground.cluster, ground.repository, ground.directory / "flux", name="shop", namespace=NAMESPACE)
        )
        ground.declare(*SHOP, STRAY)
        self._flux.declare()
        ground.declare(*SHOP)
        self.apply()

    def apply(self) -> None:
        """See `Tool`."""
        self._flux.apply()

    def act(self) -> None:
        """It is there."""


class FluxByItsMarks:
    """Nobody: what kustomize-controller would have done is done."""

    name = "Flux Kustomization shop"
    is_server_side = True

    def __init__(self, ground: Ground, _: ExitStack) -> None:
        self._ground = ground
        crd = definition("kustomize.toolkit.fluxcd.io", "Kustomization")
        migration.kind(ground.api, crd)
        spec = {"interval": "10m", "path": "./apps", "prune": True}
        body = manifest("Kustomization", "shop", api_version="kustomize.toolkit.fluxcd.io/v1", spec=spec)
        ground.api.create(KUSTOMIZATION.rpartition("/")[0], body)
        self.apply(STRAY)

    def apply(self, *more: Json) -> None:
        """See `Tool`."""
        for body in (*self._ground.declared, *more):
            code, answer = self._ground.api.apply(self._ground.path(body), migration.with_meta(body, labels=LABELS), manager=MANAGER)
            assert code < 300, answer

    def act(self) -> None:
        """See `Tool`."""
        self.apply()


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(FluxByItsMarks, id="by its marks"),
        pytest.param(
            FluxItself,
            id="itself",
            marks=pytest.mark.skipif(not flux.is_built(), reason="not built: python -m tests.cluster build kustomize-controller"),
        ),
    ],
)
def test_from_flux_word_for_word(ground: Ground, make: type[FluxItself | FluxByItsMarks]):
    with ExitStack() as stack:
        tool = make(ground, stack)
        migration.somebody_else_writes(ground)
        before, mark = migration.standing(ground), ground.cluster.audit.mark()
        migration.there_and_back(ground, PAGE, tool, RESTS, BACK)

        left = migration.taken(ground, PAGE, tool, RESTS)
        assert (ground.api.get(KUSTOMIZATION) or {})["spec"]["suspend"] is True
        assert "stray" in left
        assert "web" not in left
        assert all((MANAGER, "Apply") in migration.held(one) for one in ground.all_live()), "Flux is still a holder, as the page says"

        ground.carry_out(PAGE, LETS_GO)
        for one in ground.all_live():
            assert (MANAGER, "Apply") not in migration.held(one)
            assert not LABELS.keys() & one["metadata"]["labels"].keys()
            assert OURS in migration.held(one)
        stray = ground.live(STRAY) or {}
        assert stray["data"] == {"k": "v"}, "what is not ours has lost nothing"
        assert LABELS.items() <= stray["metadata"]["labels"].items()

        ground.carry_out(PAGE, GOES)
        assert ground.api.get(KUSTOMIZATION) is None
        ground.carry_out(PAGE, CONSENT_BACK)
        assert migration.standing(ground) == before
        assert migration.deleted(ground, mark) == []

        migration.leaves_with_git(ground)
        migration.takes_nothing_more(ground, migration.with_meta(config_map("theirs", k="theirs"), labels=LABELS), tool)


def test_no_command_of_the_page_is_left_out():
    assert {section for section in PAGE.sections if PAGE.commands(section)} == {*RUN}
