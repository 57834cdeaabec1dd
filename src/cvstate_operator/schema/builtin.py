"""The built-in schemas: every kind that kube-apiserver itself serves, in one compressed file beside this module.

`make schemas` makes the file from a real API server's /openapi/v2: `python -m cvstate_operator.schema.builtin < answer > FILE`.
"""

import lzma
import sys
from importlib import resources
from typing import Any, Final

import orjson

from cvstate_operator.schema import openapi

FILE: Final = "kubernetes.json.xz"


def load() -> dict[str, Any]:
    """The compact form of `openapi.compact`; 10 ms."""
    found: dict[str, Any] = orjson.loads(lzma.decompress(packed()))
    return found


def packed() -> bytes:
    """The file as it is."""
    return resources.files(__package__).joinpath(FILE).read_bytes()


def main() -> None:
    """Read /openapi/v2 on standard input, write the file to standard output; the same input gives the same bytes."""
    answer = orjson.loads(sys.stdin.buffer.read())
    version = ".".join(answer["info"]["version"].removeprefix("v").split(".")[:2])
    document = openapi.compact(answer, version=version)
    text = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    sys.stdout.buffer.write(lzma.compress(text, preset=9 | lzma.PRESET_EXTREME))


if __name__ == "__main__":
    main()
