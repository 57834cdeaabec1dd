"""Parse: the child process that reads manifest files (`isolation/task.py` runs it).

Blobs come straight from Git's object database; nothing is checked out. Each blob becomes one file in the render store, named by its blob id: an index
as one line of JSON, then the bodies. So a blob is parsed once, however many commits and ClusterStates hold it.
"""

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any, Final

import orjson
import pygit2

from cvstate_operator.objects.redaction import one_line
from cvstate_operator.render import documents, yaml_reader

DIGEST_BYTES: Final = 16
"""128 bits: a collision among 10^9 manifests has probability below 10^-20."""

_LFS: Final = b"version https://git-lfs.github.com/spec/"


def handle(request: dict[str, Any]) -> dict[str, Any]:
    """Parse blobs into the store.

    Args:
        request: `repository` (bare, holds the blobs), `store` (directory), `blobs` (ids).

    Returns:
        `{"indexes": {blob id: index}}`; an index is as `parse` describes it.
    """
    repository = pygit2.Repository(request["repository"])
    store = Path(request["store"])
    store.mkdir(parents=True, exist_ok=True, mode=0o700)
    indexes = {}
    for blob_id in request["blobs"]:
        blob = repository[blob_id]
        assert isinstance(blob, pygit2.Blob)  # listed as such by the fetch  # noqa: S101
        index, bodies = parse(blob.data)
        _write(store / blob_id, orjson.dumps(index) + b"\n" + bodies)
        indexes[blob_id] = index
    return {"indexes": indexes}


def parse(text: bytes) -> tuple[dict[str, Any], bytes]:
    """Read one file.

    Returns:
        The index, `{"objects": [[apiVersion, kind, namespace, name, digest, document, line, offset, length]], "problems": [[document, object, reason,
        message, field]]}`, and the bodies as JSON, one after the other; offsets count from the first body.
    """
    if text.startswith(_LFS):
        return {
            "objects": [],
            "problems": [[0, "", "SourceInvalid", "is a Git LFS pointer, not the file itself; commit the file without LFS", ""]],
        }, b""
    found, faults = yaml_reader.read(text)
    objects: list[list[Any]] = []
    problems: list[list[Any]] = [
        [f.document or 0, "", f.reason, f"line {f.line}: {f.message}" if f.line else f.message, ""] for f in faults
    ]
    bodies = bytearray()
    for document in found:
        for item in documents.objects(document.value):
            if isinstance(item, documents.DocumentError):
                problems.append([document.number, one_line(item.name), "BuildFailed", one_line(str(item), 400), item.field])
                continue
            body = orjson.dumps(item)
            meta = item["metadata"]
            digest = hashlib.blake2b(orjson.dumps(item, option=orjson.OPT_SORT_KEYS), digest_size=DIGEST_BYTES).hexdigest()
            identity = [item["apiVersion"], item["kind"], meta.get("namespace") or "", meta["name"], digest]
            objects.append([*identity, document.number, document.line, len(bodies), len(body)])
            bodies += body
    return {"objects": objects, "problems": problems}, bytes(bodies)


def _write(path: Path, content: bytes) -> None:
    """All or nothing, also if two children write the same blob at once."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    os.replace(temporary, path)
