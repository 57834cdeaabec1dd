"""A bounded fuzzer: whatever stands in Git or in a spec ends in objects, problems or an error of our tree, never in another exception.

Aspects: bytes of manifests, mutated and spliced out of good and bad ones · refs and version ranges · paths and URLs · globs.
"""

import contextlib
import random
from collections.abc import Mapping
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from cvstate_operator import errors
from cvstate_operator.api.source import GitSource
from cvstate_operator.objects.address import AddressPolicy
from cvstate_operator.render.globs import matcher
from cvstate_operator.render.parse import Options, parse
from cvstate_operator.source.address import check_url
from cvstate_operator.source.refs import choose
from tests.corpus.commits import COMMITS

SEED = 20261121
MUTANTS = 10_000
"""About a second of a core."""

_WEBSHOP = Path(__file__).parents[2] / "src" / "cvstate_operator" / "cli" / "demo" / "webshop"
_TOKENS = (b"${a}", b"${a:=b}", b"$${", b"<<: *a", b"&a ", b"*a", b"---\n", b"...\n", b"? ", b"!!binary ", b"|\n", b">-\n", b"\t", b"{", b"]", b"'", b'"', b"\0", b"\xff", b"\xef\xbb\xbf")  # fmt: skip


def seeds() -> list[bytes]:
    good = [path.read_bytes() for path in sorted(_WEBSHOP.rglob("*.y*ml"))]
    bad = []
    for case in COMMITS.values():
        tree = {} if callable(case.tree) else case.tree
        texts = [value.encode() if isinstance(value, str) else value for value in tree.values() if isinstance(value, str | bytes)]
        bad += [text for text in texts if len(text) < 20_000]
    return good + bad


def mutants(count: int) -> list[bytes]:
    chance, sources = random.Random(SEED), seeds()
    found = []
    for _ in range(count):
        text = bytearray(chance.choice(sources))
        for _ in range(chance.randint(1, 8)):
            where = chance.randrange(len(text) + 1)
            match chance.randrange(5):
                case 0:
                    text[where:where] = chance.choice(_TOKENS)
                case 1:
                    del text[where : where + chance.randint(1, 20)]
                case 2 if text:
                    text[where - 1] = chance.randrange(256)
                case 3:
                    other = chance.choice(sources)
                    begin = chance.randrange(len(other) + 1)
                    text[where:where] = other[begin : begin + chance.randint(1, 200)]
                case _:
                    text[where:where] = text[max(0, where - 30) : where] * chance.randint(1, 5)
        found.append(bytes(text))
    return found


@pytest.mark.parametrize(
    "options", [Options(), Options({"a": "x: y\n- z"}, common_labels={"l": "v"}, target_namespace="n")], ids=["plain", "substituted"]
)
def test_no_manifest_makes_parsing_fail(options: Options) -> None:
    for text in mutants(MUTANTS):
        index, bodies = parse(text, options)
        for *identity, _, _, offset, length in index["objects"]:
            body = orjson.loads(bodies[offset : offset + length])
            assert [body["apiVersion"], body["kind"], body["metadata"].get("namespace") or "", body["metadata"]["name"]] == identity[:4]
        for _, _, reason, message, _ in index["problems"]:
            assert reason
            assert message
            assert "\n" not in message
        orjson.dumps(index)


anything = st.text(max_size=40)
heads = st.dictionaries(
    st.one_of(anything, anything.map("refs/tags/{}".format), anything.map("refs/heads/{}".format)), st.just("1" * 40), max_size=8
)


@settings(max_examples=400, deadline=None)
@given(field=st.sampled_from(["branch", "tag", "semver", "name", "commit"]), value=anything, there=heads)
def test_no_ref_makes_choosing_fail(field: str, value: str, there: Mapping[str, str]) -> None:
    try:
        source = GitSource.model_validate({"url": "https://example.com/a", "ref": {field: value}})
    except ValidationError:
        return
    assert "\n" not in source.ref.selector
    try:
        chosen = choose(source.ref.model_dump(exclude_none=True), there, url="u")
    except errors.RefNotFoundError:
        return
    assert chosen.name in there


@settings(max_examples=400, deadline=None)
@given(url=st.one_of(anything, anything.map("https://{}".format), anything.map("ssh://{}/a".format)), path=anything)
def test_no_url_or_path_makes_checking_fail(url: str, path: str) -> None:
    try:
        source = GitSource.model_validate({"url": url, "path": path})
    except ValidationError:
        return
    assert ".." not in source.path.split("/")
    try:
        check_url(source.url, AddressPolicy(), has_credentials=False)
    except errors.InvalidSpecError:
        return
    assert source.url.startswith(("https://", "ssh://"))


@settings(max_examples=400, deadline=None)
@given(globs=st.lists(st.text(alphabet="ab/*?[]!^-.\\", min_size=1, max_size=20), max_size=4), path=st.text(alphabet="ab/.", max_size=20))
def test_no_glob_makes_matching_fail(globs: list[str], path: str) -> None:
    with contextlib.suppress(errors.InvalidSpecError):
        matcher(globs, globs)(path)
