"""Binary values: fields of built-in kinds that hold base64. The API server refuses others without naming the field."""

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from cvstate_operator.objects.identity import GroupKind

_ADMISSION: Final = "admissionregistration.k8s.io"
_FIELDS: Final = {
    GroupKind("", "Secret"): "data.*",
    GroupKind("", "ConfigMap"): "binaryData.*",
    GroupKind(_ADMISSION, "MutatingWebhookConfiguration"): "webhooks.*.clientConfig.caBundle",
    GroupKind(_ADMISSION, "ValidatingWebhookConfiguration"): "webhooks.*.clientConfig.caBundle",
    GroupKind("apiextensions.k8s.io", "CustomResourceDefinition"): "spec.conversion.webhook.clientConfig.caBundle",
    GroupKind("apiregistration.k8s.io", "APIService"): "spec.caBundle",
    GroupKind("certificates.k8s.io", "CertificateSigningRequest"): "spec.request",
}
"""Where the built-in kinds that people write have fields of `format: byte`; `*` stands for any key or index. Source: OpenAPI of kube-apiserver 1.36."""


def bad_base64(kind: GroupKind, body: Mapping[str, Any]) -> str:
    """Path of the first value that should be base64 and is not, as in `data.password` or `webhooks[0].clientConfig.caBundle`; empty if there is none."""
    path = _FIELDS.get(kind, "").split(".")
    return next((where for where, value in _values(body, path) if not is_base64(value)), "").removeprefix(".")


def _values(value: Any, path: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Every text at `path`, and where it is; maps by key, lists by index."""
    if not path:
        if isinstance(value, str):
            yield "", value
        return
    head, *rest = path
    below: list[tuple[str, Any]] = []
    if isinstance(value, Mapping):
        names = sorted(value, key=str) if head == "*" else [head] if head in value else []
        below = [(f".{name}", value[name]) for name in names]
    elif isinstance(value, list) and head == "*":
        below = [(f"[{index}]", item) for index, item in enumerate(value)]
    for where, item in below:
        yield from ((where + further, text) for further, text in _values(item, rest))


def is_base64(text: str) -> bool:
    """Whether `text` is base64 by Go's base64.StdEncoding: padded, and line ends are passed over."""
    try:
        base64.b64decode(text.replace("\r", "").replace("\n", ""), validate=True)
    except (binascii.Error, ValueError):
        return False
    return True
