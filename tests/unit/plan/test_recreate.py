"""Whether an object is made anew.

Aspects: every row of the table in plan/recreate.py · only what is surely ours.
"""

from dataclasses import replace

import pytest

from cvstate_operator.api.apply import Recreate
from cvstate_operator.objects.directives import Directives
from cvstate_operator.objects.directives import Recreate as Wish
from cvstate_operator.objects.identity import ApiResource
from cvstate_operator.objects.live import Live
from cvstate_operator.plan.recreate import Verdict, decide
from tests.unit.builders import CONFIG_MAP, CRD, NAMESPACE, STATEFUL_SET, live, manifest

NEVER, NOW, APPROVE = Verdict.NEVER, Verdict.NOW, Verdict.APPROVE


@pytest.mark.parametrize(
    ("wish", "policy", "usual", "stateful"),
    [
        pytest.param(None, Recreate.NEVER, NEVER, NEVER, id="never"),
        pytest.param(None, Recreate.IF_IMMUTABLE, NOW, APPROVE, id="if-immutable"),
        pytest.param(None, Recreate.APPROVE, APPROVE, APPROVE, id="approve"),
        pytest.param(Wish.ENABLED, Recreate.NEVER, NOW, APPROVE, id="enabled-against-never"),
        pytest.param(Wish.ENABLED, Recreate.IF_IMMUTABLE, NOW, APPROVE, id="enabled"),
        pytest.param(Wish.ENABLED, Recreate.APPROVE, NOW, APPROVE, id="enabled-against-approve"),
        pytest.param(Wish.DISABLED, Recreate.IF_IMMUTABLE, NEVER, NEVER, id="disabled"),
        pytest.param(Wish.DISABLED, Recreate.APPROVE, NEVER, NEVER, id="disabled-against-approve"),
    ],
)
@pytest.mark.parametrize("of", [CONFIG_MAP, STATEFUL_SET, NAMESPACE, CRD], ids=lambda of: of.gvk.kind)
def test_each_row_has_its_verdict(of: ApiResource, wish: Wish | None, policy: Recreate, usual: Verdict, stateful: Verdict) -> None:
    wanted = replace(manifest(of=of), directives=Directives(recreate=wish))
    assert decide(policy, wanted, live(of=of)) is (usual if of is CONFIG_MAP else stateful)


@pytest.mark.parametrize(
    "there",
    [
        pytest.param(None, id="absent"),
        pytest.param(replace(live(), applied=False), id="managed-fields-stripped"),
        pytest.param(replace(live(), controller="Database d"), id="of-a-controller"),
    ],
)
@pytest.mark.parametrize("policy", Recreate)
def test_only_what_is_surely_ours_is_made_anew(there: Live | None, policy: Recreate) -> None:
    assert decide(policy, replace(manifest(), directives=Directives(recreate=Wish.ENABLED)), there) is NEVER
