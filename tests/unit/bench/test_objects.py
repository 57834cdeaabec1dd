"""The generator: what is declared.

Aspects: the same everywhere, also in another process · mix and number · sizes · where objects go · changes: how many, one value each, only their files,
never the same twice · foreign objects: the same mix, never taken for declared ones.
"""

import hashlib
import os
import subprocess
import sys
from collections import Counter
from typing import Any

import orjson
import pytest

from bench import objects
from bench.witness import ROOT

N = 400
FILES = objects.files(N, seed=7)


def digest(files: dict[str, str]) -> str:
    return hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()


def differences(before: Any, after: Any) -> int:
    """How many scalars differ; the shape must be the same."""
    if isinstance(before, dict):
        assert before.keys() == after.keys()
        return sum(differences(value, after[name]) for name, value in before.items())
    if isinstance(before, list):
        assert len(before) == len(after)
        return sum(map(differences, before, after))
    return int(before != after)


def test_the_same_numbers_give_the_same_bytes_in_another_process():
    code = "from tests.unit.bench.test_objects import FILES, digest; print(digest(FILES))"
    environment = {**os.environ, "PYTHONHASHSEED": "99", "PYTHONPATH": str(ROOT)}
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == digest(FILES)


def test_another_seed_gives_other_objects():
    assert digest(objects.files(N, seed=8)) != digest(FILES)


@pytest.mark.parametrize("n", [1, 49, 50, 51, 300])
def test_there_are_as_many_objects_as_asked_for_and_none_twice(n: int):
    files = objects.files(n, seed=7)
    assert len(objects.parse(files.values())) == n
    assert len(files) == -(-n // objects.OBJECTS_PER_FILE)
    assert all(path.startswith(f"{objects.ROOT}/") for path in files)


def test_the_mix_is_exact_also_in_a_part():
    for part in (FILES, {path: FILES[path] for path in sorted(FILES)[:2]}):
        bodies = objects.parse(part.values()).values()
        kinds = Counter(body["kind"] for body in bodies)
        assert {kind: 20 * count // len(bodies) for kind, count in kinds.items()} == dict(objects.MIX)


def test_objects_are_spread_over_all_namespaces_evenly():
    namespaces = Counter(body["metadata"]["namespace"] for body in objects.parse(FILES.values()).values())
    assert namespaces == dict.fromkeys(objects.NAMESPACES, N // len(objects.NAMESPACES))


@pytest.mark.parametrize(("kind", "kilobytes"), [("ConfigMap", 1.4), ("Deployment", 2.5)])
def test_sizes_are_as_promised_within_a_tenth(kind: str, kilobytes: float):
    sizes = [len(orjson.dumps(body)) for body in objects.parse(FILES.values()).values() if body["kind"] == kind]
    assert all(size == pytest.approx(kilobytes * 1000, rel=0.1) for size in sizes)


def test_nothing_declared_runs_anything():
    bodies = objects.parse(FILES.values()).values()
    assert {body["spec"]["replicas"] for body in bodies if body["kind"] == "Deployment"} == {0}
    assert {body["spec"]["clusterIP"] for body in bodies if body["kind"] == "Service"} == {"None"}


def test_files_use_no_aliases_so_that_every_reader_takes_them():
    assert not any("&id" in text or "*id" in text for text in FILES.values())


@pytest.mark.parametrize("k", [1, 4, N])
def test_a_change_changes_one_value_of_each_of_k_objects_and_gives_only_their_files(k: int):
    changed = objects.change(FILES, seed=1, k=k)
    assert all(text != FILES[path] for path, text in changed.items())
    before, after = objects.parse(FILES.values()), objects.parse({**FILES, **changed}.values())
    assert before.keys() == after.keys()
    found = Counter(differences(body, after[path]) for path, body in before.items())
    assert found == Counter({1: k, 0: N - k})
    assert len(objects.changed(FILES, changed)) == k


def test_changes_with_different_seeds_never_undo_each_other():
    now, seen = dict(FILES), {digest(FILES)}
    for seed in range(5):
        now |= objects.change(now, seed, N)
        assert digest(now) not in seen
        seen.add(digest(now))


def test_the_same_change_gives_the_same_bytes():
    assert objects.change(FILES, seed=3, k=5) == objects.change(FILES, seed=3, k=5)


def test_an_object_is_known_by_its_path_at_the_api_server():
    body = {"kind": "Deployment", "metadata": {"name": "a", "namespace": "b"}}
    assert objects.url_path(body) == "/apis/apps/v1/namespaces/b/deployments/a"
    assert objects.KINDS["ConfigMap"].collection == "/api/v1/configmaps"


def test_foreign_objects_have_the_same_mix_and_sizes_in_the_same_namespaces():
    declared, foreign = list(objects.parse(FILES.values()).values()), list(objects.foreign(N, seed=7))
    assert Counter(body["kind"] for body in foreign) == Counter(body["kind"] for body in declared)
    assert {body["metadata"]["namespace"] for body in foreign} == set(objects.NAMESPACES)
    assert len(orjson.dumps(foreign)) == pytest.approx(len(orjson.dumps(declared)), rel=0.1)


def test_a_foreign_object_is_never_taken_for_a_declared_one():
    foreign = {objects.url_path(body): body["metadata"]["labels"] for body in objects.foreign(N, seed=7)}
    assert len(foreign) == N
    assert not foreign.keys() & objects.parse(FILES.values()).keys()
    assert all(objects.FOREIGN_LABEL in labels and "app.kubernetes.io/name" not in labels for labels in foreign.values())
    assert not any(objects.FOREIGN_LABEL in body["metadata"]["labels"] for body in objects.parse(FILES.values()).values())


def test_an_object_is_made_at_the_collection_of_its_namespace():
    body = {"kind": "Role", "metadata": {"name": "a", "namespace": "b"}}
    assert objects.collection_path(body) == "/apis/rbac.authorization.k8s.io/v1/namespaces/b/roles"


def test_units_have_a_directory_each_and_the_same_objects_as_files():
    found = objects.units(100, seed=7)
    assert list(found)[:2] == ["apps/unit-0000/objects.yaml", "apps/unit-0001/objects.yaml"]
    assert len(found) == 10
    assert objects.parse(found.values()) == objects.parse(objects.files(100, seed=7).values())
