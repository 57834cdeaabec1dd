"""Recreate: whether an object is deleted and made anew because a field would have to change that cannot.

    its annotation says Disabled                            never
    a kind that holds data (vital/facts/stateful.py)              with approval, if the annotation or the spec wants it at all
    its annotation says Enabled                             at once
    spec.apply.recreate: IfImmutable                        at once
    spec.apply.recreate: Approve                            with approval
    spec.apply.recreate: Never                              never

Only what carries our entry in `managedFields` and belongs to no controller is recreated, adopted objects among it.
"""

from enum import StrEnum

from cvstate_operator.api.apply import Recreate
from cvstate_operator.objects import directives
from cvstate_operator.objects.live import Live
from cvstate_operator.objects.manifest import Manifest
from cvstate_operator.vital.facts.stateful import is_stateful


class Verdict(StrEnum):
    """What is done."""

    NEVER = "Never"
    NOW = "Now"
    APPROVE = "Approve"


def decide(policy: Recreate, manifest: Manifest, live: Live | None) -> Verdict:
    """The table at the top of this module."""
    wish = manifest.directives.recreate
    if live is None or not live.is_certain or wish is directives.Recreate.DISABLED:
        return Verdict.NEVER
    if wish is None and policy is Recreate.NEVER:
        return Verdict.NEVER
    if is_stateful(manifest.gvk.group_kind) or (wish is None and policy is Recreate.APPROVE):
        return Verdict.APPROVE
    return Verdict.NOW
