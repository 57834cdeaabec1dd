"""What a recreate would change, as a person reads it before agreeing.

Aspects: only what Git declares is compared · values of Secrets are masked · what is too much is counted, and lines are cut.
"""

from typing import Any

from cvstate_operator.api.change_plan import MAX_CHANGE, MAX_CHANGES
from cvstate_operator.objects.identity import GroupKind
from cvstate_operator.reconcile import recreation

DEPLOYMENT, SECRET = GroupKind("apps", "Deployment"), GroupKind("", "Secret")


def lines(live: dict[str, Any], body: dict[str, Any], kind: GroupKind = DEPLOYMENT) -> tuple[str, ...]:
    """Of an object with these fields, and a manifest with those."""
    meta = {"metadata": {"name": "x"}}
    return recreation.lines(kind, recreation.declared({**meta, **live}, {**meta, **body}))


def test_what_git_does_not_declare_is_no_difference() -> None:
    live = {"spec": {"serviceName": "db", "revisionHistoryLimit": 10}, "status": {"replicas": 1}}
    assert lines(live, {"spec": {"serviceName": "other", "paused": True}}) == (
        "/spec/paused: (none) → true",
        "/spec/serviceName: db → other",
    )
    assert lines(live, {"spec": {"serviceName": "db"}}) == ()


def test_values_of_a_secret_are_masked() -> None:
    assert lines({"data": {"p": "aHVudGVyMg=="}}, {"data": {"p": "b3RoZXI="}}, SECRET) == ("/data/p: *** → ***",)


def test_what_is_too_much_is_counted_and_lines_are_cut() -> None:
    told = lines({"data": {}}, {"data": {f"{n:02}{'k' * 400}": "v" * 1000 for n in range(MAX_CHANGES + 3)}})
    assert (len(told), told[-1]) == (MAX_CHANGES + 1, "… and 3 more")
    assert max(map(len, told)) == MAX_CHANGE


def test_foreign_text_stays_on_its_line() -> None:
    assert lines({"data": {"k": "v"}}, {"data": {"k": "a\nb\x1b[2J"}}) == (r"/data/k: v → a\nb\x1b[2J",)
