"""What a spec refers to, put together.

Aspects: credentials and keys · recipes · variables, and who wins · values of charts · what is missing or no text.
"""

from typing import Any

import pytest

from cvstate_operator import errors
from cvstate_operator.objects.access import Access
from cvstate_operator.objects.recipe import Capabilities, HelmRecipe, Recipe
from cvstate_operator.reconcile import inputs
from tests.unit.reconcile.fakes import FakeReferences, spec


def references(**data: dict[str, bytes]) -> FakeReferences:
    """ConfigMaps and Secrets, all by the same names."""
    return FakeReferences({(kind, "team", name): dict(found) for kind in ("ConfigMap", "Secret") for name, found in data.items()})


SERVED = Capabilities("v1.36.3", ("apps/v1", "v1"))


async def recipe(known: FakeReferences, render: dict[str, Any], **more: Any) -> Recipe:
    return await inputs.recipe(known, spec(render=render, **more), name="state", namespace="team", capabilities=SERVED, max_age=60.0)


# -- access ------------------------------------------------------------------------------------------------------------


async def access(known: FakeReferences, **git: Any) -> Access:
    return await inputs.access(known, spec(git=git).source.git, "team", max_age=7.0)


async def test_a_public_source_needs_nothing() -> None:
    known = references()
    assert await access(known) == Access(namespace="team")
    assert known.reads == []


async def test_credentials_and_keys_are_read_from_the_own_namespace() -> None:
    known = references(auth={"username": b"u", "password": b"p"}, keys={"a.sshpub": b"k"})
    found = await access(known, secretRef={"name": "auth"}, verify={"secretRef": {"name": "keys"}})
    assert found == Access("team/auth", {"username": b"u", "password": b"p"}, {"a.sshpub": b"k"}, "team")
    assert known.reads == [("Secret", "auth", 7.0), ("Secret", "keys", 7.0)]


async def test_what_is_secret_is_not_shown() -> None:
    found = await access(references(auth={"password": b"canary"}), secretRef={"name": "auth"})
    assert "canary" not in repr(found)


@pytest.mark.parametrize("git", [{"secretRef": {"name": "no"}}, {"verify": {"secretRef": {"name": "no"}}}])
async def test_a_missing_secret_is_told_by_name(git: dict[str, Any]) -> None:
    with pytest.raises(errors.ReferenceMissingError, match="Secret team/no"):
        await access(references(), **git)


# -- recipes -----------------------------------------------------------------------------------------------------------


async def test_a_bare_spec_gives_the_bare_recipe() -> None:
    assert await recipe(references(), {}) == Recipe(
        helm=HelmRecipe("state", "team", kube_version="v1.36.3", api_versions=("apps/v1", "v1"))
    )


async def test_every_field_of_the_spec_is_in_the_recipe() -> None:
    render = {
        "type": "Helm",
        "strictVariables": False,
        "commonLabels": {"a": "b"},
        "targetNamespace": "target",
        "helm": {"releaseName": "r", "namespace": "n", "values": {"x": [1]}, "valuesFiles": ["prod.yaml"]},
    }
    found = await recipe(references(), render, git={"include": ["a/*"], "exclude": ["b/*"]})
    assert found == Recipe(
        type="Helm",
        include=("a/*",),
        exclude=("b/*",),
        strict=False,
        common_labels={"a": "b"},
        target_namespace="target",
        helm=HelmRecipe("r", "n", {"x": [1]}, ("prod.yaml",), kube_version="v1.36.3", api_versions=("apps/v1", "v1")),
    )


@pytest.mark.parametrize(
    ("render", "namespace"),
    [({}, "team"), ({"targetNamespace": "t"}, "t"), ({"targetNamespace": "t", "helm": {"namespace": "h"}}, "h")],
)
async def test_the_release_goes_where_its_objects_go(render: dict[str, Any], namespace: str) -> None:
    assert (await recipe(references(), render)).helm.namespace == namespace


# -- variables ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("render", "expected"),
    [
        pytest.param({}, None, id="none-are-asked-for"),
        pytest.param({"substitute": {}}, {}, id="an-empty-list-asks-for-them"),
        pytest.param({"substitute": {"a": "inline"}}, {"a": "inline"}, id="inline"),
        pytest.param({"substituteFrom": [{"kind": "ConfigMap", "name": "one"}]}, {"a": "1", "b": "1"}, id="from"),
        pytest.param(
            {"substituteFrom": [{"kind": "Secret", "name": n} for n in ("one", "two")]}, {"a": "1", "b": "2"}, id="later-ones-win"
        ),
        pytest.param(
            {"substituteFrom": [{"kind": "Secret", "name": n} for n in ("two", "one")]}, {"a": "1", "b": "1"}, id="in-their-order"
        ),
        pytest.param(
            {"substitute": {"b": "inline"}, "substituteFrom": [{"kind": "ConfigMap", "name": "one"}]},
            {"a": "1", "b": "inline"},
            id="inline-wins",
        ),
    ],
)
async def test_variables_come_from_the_spec_and_from_references(render: dict[str, Any], expected: dict[str, str] | None) -> None:
    known = references(one={"a": b"1", "b": b"1"}, two={"b": b"2"})
    assert (await recipe(known, render)).variables == expected


async def test_keys_that_are_no_names_of_variables_are_passed_over() -> None:
    known = references(one={"a-b": b"x", "1a": b"x", "ä": b"x", "tls.crt": b"\xff", "_ok1": b"v"})
    assert (await recipe(known, {"substituteFrom": [{"kind": "Secret", "name": "one"}]})).variables == {"_ok1": "v"}


async def test_values_are_not_shown() -> None:
    assert "canary" not in repr(await recipe(references(), {"substitute": {"a": "canary"}}))


async def test_a_value_that_is_no_text_is_told_without_it() -> None:
    with pytest.raises(errors.InvalidSpecError, match="Secret one: key a is not UTF-8 text") as caught:
        await recipe(references(one={"a": b"canary\xff"}), {"substituteFrom": [{"kind": "Secret", "name": "one"}]})
    assert "canary" not in caught.value.message


@pytest.mark.parametrize("field", ["substituteFrom", "valuesFrom"])
async def test_what_is_missing_is_an_error_unless_it_is_optional(field: str) -> None:
    def render(**more: Any) -> dict[str, Any]:
        found = [{"kind": "ConfigMap", "name": "no", **more}]
        return {field: found} if field == "substituteFrom" else {"helm": {field: found}}

    with pytest.raises(errors.ReferenceMissingError, match="ConfigMap team/no"):
        await recipe(references(), render())
    found = await recipe(references(), render(optional=True))
    assert found.helm.values_documents == ()
    assert not found.variables


@pytest.mark.parametrize("field", ["substituteFrom", "valuesFrom"])
async def test_an_optional_reference_that_cannot_be_read_is_an_error_all_the_same(field: str) -> None:
    """Otherwise a refused request would look like a ConfigMap that was deleted, and change what is applied."""

    class Refused(FakeReferences):
        async def read(self, *args: Any, **kwargs: Any) -> dict[str, bytes]:
            raise errors.ForbiddenError("no right")

    found = [{"kind": "Secret", "name": "one", "optional": True}]
    with pytest.raises(errors.ForbiddenError):
        await recipe(Refused(), {field: found} if field == "substituteFrom" else {"helm": {field: found}})


# -- values of charts --------------------------------------------------------------------------------------------------


async def test_values_are_taken_in_order_by_key_and_place() -> None:
    known = references(one={"values.yaml": b"a: 1", "tag": b"v2"}, two={"values.yaml": b"b: 2"})
    values_from = [
        {"kind": "Secret", "name": "two"},
        {"kind": "ConfigMap", "name": "one"},
        {"kind": "ConfigMap", "name": "one", "valuesKey": "tag", "targetPath": "image.tag"},
    ]
    found = await recipe(known, {"helm": {"valuesFrom": values_from}})
    assert found.helm.values_documents == (("", "b: 2"), ("", "a: 1"), ("image.tag", "v2"))
    assert "a: 1" not in repr(found)


async def test_a_missing_key_is_an_error_unless_it_is_optional() -> None:
    one = {"kind": "ConfigMap", "name": "one", "valuesKey": "other"}
    with pytest.raises(errors.ReferenceMissingError, match="ConfigMap team/one has no key other"):
        await recipe(references(one={}), {"helm": {"valuesFrom": [one]}})
    assert (await recipe(references(one={}), {"helm": {"valuesFrom": [{**one, "optional": True}]}})).helm.values_documents == ()


async def test_an_empty_document_is_a_document() -> None:
    found = await recipe(references(one={"values.yaml": b""}), {"helm": {"valuesFrom": [{"kind": "ConfigMap", "name": "one"}]}})
    assert found.helm.values_documents == (("", ""),)
