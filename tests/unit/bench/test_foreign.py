"""When a tool touched what is foreign.

Aspects: writes of foreign objects · whole collections · reads, dry runs and its own objects are no fault · how many are named.
"""

import dataclasses

import pytest

from bench import foreign
from tests.cluster.audit import Request
from tests.unit.bench.builders import request


def of(name: str, made: Request) -> Request:
    return dataclasses.replace(made, namespace="team-0", name=name)


@pytest.mark.parametrize("verb", ["patch", "update", "delete"])
def test_a_foreign_object_that_was_written_is_a_fault(verb: str):
    assert foreign.faults([of("foreign-000001", request(verb))]) == (f"{verb} configmaps team-0/foreign-000001: is foreign",)


def test_to_delete_a_whole_collection_is_a_fault():
    assert len(foreign.faults([request("deletecollection")])) == 1


@pytest.mark.parametrize(
    "harmless",
    [
        of("foreign-000001", request("get")),
        of("foreign-000001", request("patch", is_dry_run=True)),
        of("amber-00001", request("patch")),
        of("foreign-000001", request("patch", "clusterstates")),
    ],
    ids=["read", "dry run", "declared", "other kind"],
)
def test_what_changes_nothing_foreign_is_no_fault(harmless: Request):
    assert foreign.faults([harmless]) == ()


def test_of_many_faults_a_few_are_named():
    many = [of(f"foreign-{number:06d}", request("delete")) for number in range(50)]
    assert len(foreign.faults(many)) == foreign.MOST_FAULTS
