"""Binary values.

Aspects: which fields of which kinds · what Go takes for base64.
"""

from typing import Any

import pytest

from cvstate_operator.objects.binary import bad_base64
from cvstate_operator.objects.identity import GroupKind

SECRET = GroupKind("", "Secret")
CONFIG_MAP = GroupKind("", "ConfigMap")


@pytest.mark.parametrize(
    ("kind", "body", "field"),
    [
        pytest.param(SECRET, {"data": {"b": "no base64", "a": "aHVudGVyMg=="}}, "data.b", id="secret"),
        pytest.param(SECRET, {"data": {"z": "!", "b": "!"}}, "data.b", id="first-by-name"),
        pytest.param(SECRET, {"data": {"a": "aHVudGVyMg"}}, "data.a", id="without-padding"),
        pytest.param(SECRET, {"data": {"a": "aHVu\r\ndGVyMg==\n"}}, "", id="line-ends"),
        pytest.param(SECRET, {"data": {"a": ""}}, "", id="empty"),
        pytest.param(SECRET, {"data": {"a": "é"}}, "data.a", id="not-ascii"),
        pytest.param(SECRET, {"data": {"a": 1}}, "", id="another-fault"),
        pytest.param(SECRET, {"data": "x"}, "", id="no-map"),
        pytest.param(SECRET, {}, "", id="none"),
        pytest.param(CONFIG_MAP, {"data": {"a": "!"}, "binaryData": {"b": "!"}}, "binaryData.b", id="config-map"),
        pytest.param(
            GroupKind("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
            {"webhooks": [{"clientConfig": {"caBundle": "aHVudGVyMg=="}}, {"clientConfig": {}}, {"clientConfig": {"caBundle": "${CA}"}}]},
            "webhooks[2].clientConfig.caBundle",
            id="webhook",
        ),
        pytest.param(
            GroupKind("apiextensions.k8s.io", "CustomResourceDefinition"),
            {"spec": {"conversion": {"webhook": {"clientConfig": {"caBundle": "\n"}}}}},
            "",
            id="definition-with-none",
        ),
        pytest.param(GroupKind("apiregistration.k8s.io", "APIService"), {"spec": {"caBundle": "Cg"}}, "spec.caBundle", id="api-service"),
        pytest.param(GroupKind("apiregistration.k8s.io", "APIService"), {"spec": ["caBundle"]}, "", id="another-shape"),
        pytest.param(SECRET, {"data": {1: "!", "a": "!"}}, "data.1", id="keys-that-are-no-texts"),
        pytest.param(GroupKind("x", "Secret"), {"data": {"a": "!"}}, "", id="secret-of-another-group"),
    ],
)
def test_the_first_value_that_is_no_base64_is_named(kind: GroupKind, body: dict[str, Any], field: str) -> None:
    assert bad_base64(kind, body) == field
