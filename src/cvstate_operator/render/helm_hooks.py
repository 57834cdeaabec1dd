"""Helm hooks: what becomes of them where objects are declared, not installed step by step. Pure.

An install or upgrade hook is an object that should exist, so it is kept as one, in the order of its kind; tests, and hooks of deletion and rollback, would run
at the wrong time, so they are left out. Either is told.
"""

import re
from typing import Any, Final

from cvstate_operator.objects.redaction import one_line
from cvstate_operator.render import yaml_reader

HOOK: Final = "helm.sh/hook"
_KEPT: Final = frozenset({"crd-install", "pre-install", "post-install", "pre-upgrade", "post-upgrade"})
_SEPARATOR: Final = re.compile(rb"^---[ \t]*$", re.MULTILINE)


def without_unsuited(text: bytes) -> tuple[bytes, tuple[str, ...]]:
    """The stream without hooks that must not be applied, and a line about each hook, for people.

    A document that cannot be read is kept, for the reader proper to complain about.
    """
    if HOOK.encode() not in text:
        return text, ()
    kept, told = [], []
    for document in _SEPARATOR.split(text):
        hook = _hook(document) if HOOK.encode() in document else None
        if hook is None:
            kept.append(document)
            continue
        name, kinds = hook
        if kinds & _KEPT:
            kept.append(document)
            told.append(f"HookApplied: {name} is a {', '.join(sorted(kinds))} hook; it is applied as an ordinary object, once")
        else:
            told.append(f"HookLeftOut: {name} is a {', '.join(sorted(kinds))} hook; it is not applied")
    return b"---".join(kept), tuple(told)


def _hook(document: bytes) -> tuple[str, frozenset[str]] | None:
    """Object and kinds of hook; None if it is none."""
    found, _ = yaml_reader.read(document)
    value: Any = found[0].value if found else None
    metadata = value.get("metadata") if isinstance(value, dict) else None
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    hook = annotations.get(HOOK) if isinstance(annotations, dict) else None
    if not isinstance(hook, str) or not isinstance(metadata, dict):
        return None
    kinds = frozenset(kind.strip() for kind in hook.split(",") if kind.strip())
    return one_line(f"{value.get('kind')}/{metadata.get('name')}"), kinds
