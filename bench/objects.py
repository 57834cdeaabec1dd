"""What is declared: a seeded set of mixed objects as files, and changes of it. The same numbers give the same bytes, everywhere.

Half ConfigMaps of 1.4 KB, and Services, Deployments of 2.5 KB without replicas, ServiceAccounts and Roles; the mix, sizes and spread over namespaces
stand for an ordinary platform repository. Nothing in it makes the control plane run anything, so a run measures the tools and the API server alone.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import yaml

Body: TypeAlias = dict[str, Any]
Files: TypeAlias = dict[str, str]
"""Path in the repository → YAML text of up to OBJECTS_PER_FILE documents."""

ROOT: Final = "apps"
"""Directory of all files."""
NAMESPACES: Final = tuple(f"team-{index}" for index in range(10))
OBJECTS_PER_FILE: Final = 50
MIX: Final[Mapping[str, int]] = {"ConfigMap": 10, "Service": 3, "Deployment": 3, "ServiceAccount": 2, "Role": 2}
"""Of each 20 objects so many are of this kind; the rest of a number that is not a multiple of 20 follows the same order."""
OBJECTS_PER_UNIT: Final = 10
SETTINGS_PER_MAP: Final = 24
FOREIGN_LABEL: Final = "bench.example/foreign"
FOREIGN_PREFIX: Final = "foreign-"
"""On objects of `foreign` and of their names; no declared object has either."""
_WORDS: Final = (
    "amber",
    "basil",
    "cedar",
    "delta",
    "ember",
    "flint",
    "grove",
    "heath",
    "inlet",
    "jetty",
    "knoll",
    "larch",
    "maple",
    "north",
    "ochre",
)


@dataclass(frozen=True, slots=True)
class Kind:
    """Where the API server keeps objects of a kind, and how one is made and changed."""

    api_version: str
    plural: str
    make: Callable[[random.Random, str], Body]
    """Everything but apiVersion, kind, name and namespace; `metadata` may hold labels."""
    change: Callable[[Body, str], None]
    """Set one scalar of an object to a value that it has not had."""

    @property
    def collection(self) -> str:
        """URL path of all objects in all namespaces."""
        return f"/{'apis' if '/' in self.api_version else 'api'}/{self.api_version}/{self.plural}"


def files(n: int, seed: int) -> Files:
    """Return n objects of the mix as files below ROOT, `part-0000.yaml` and so on."""
    bodies = [_object(index, kind, seed) for index, kind in enumerate(_kinds(n, seed))]
    parts = range(0, n, OBJECTS_PER_FILE)
    return {f"{ROOT}/part-{part // OBJECTS_PER_FILE:04d}.yaml": _text(bodies[part : part + OBJECTS_PER_FILE]) for part in parts}


def units(n: int, seed: int) -> Files:
    """Return n objects of the mix, OBJECTS_PER_UNIT in each directory `apps/unit-0000` and so on, a file each."""
    bodies = [_object(index, kind, seed) for index, kind in enumerate(_kinds(n, seed))]
    parts = range(0, n, OBJECTS_PER_UNIT)
    return {f"{ROOT}/unit-{part // OBJECTS_PER_UNIT:04d}/objects.yaml": _text(bodies[part : part + OBJECTS_PER_UNIT]) for part in parts}


def change(now: Mapping[str, str], seed: int, k: int) -> Files:
    """Return the files in which k objects, spread evenly over all, have one other value each; only files that differ.

    Two changes with different seeds differ from each other, whatever objects they meet.
    """
    chooser = random.Random(f"change-{seed}")
    paths = sorted(now)
    chosen: dict[str, list[int]] = {}
    places = [(path, index) for path in paths for index in range(now[path].count("\nkind: "))]
    for path, index in chooser.sample(places, k):
        chosen.setdefault(path, []).append(index)
    return {path: _changed(now[path], indices, f"changed-{seed}") for path, indices in sorted(chosen.items())}


def changed(now: Mapping[str, str], files: Mapping[str, str]) -> list[str]:
    """Return the URL paths of the objects that these files make other than they are now."""
    before = parse(now[path] for path in files if path in now)
    return [path for path, body in parse(files.values()).items() if before.get(path) != body]


def parse(texts: Iterable[str]) -> dict[str, Body]:
    """Return the objects of these files by their URL path."""
    bodies = (body for text in texts for body in yaml.load_all(text, Loader=yaml.CSafeLoader))
    return {url_path(body): body for body in bodies}


def foreign(m: int, seed: int) -> Iterator[Body]:
    """Return m objects of the same mix, sizes and namespaces that nobody declares, one by one: there may be many."""
    for index, kind in enumerate(_kinds(m, f"foreign-{seed}")):
        body = _object(index, kind, f"foreign-{seed}")
        body["metadata"] |= {"name": f"{FOREIGN_PREFIX}{index:06d}", "labels": {FOREIGN_LABEL: "yes", "app.kubernetes.io/part-of": "bench"}}
        yield body


def url_path(body: Body) -> str:
    """Return where the API server keeps an object of one of KINDS."""
    return f"{collection_path(body)}/{body['metadata']['name']}"


def collection_path(body: Body) -> str:
    """Return where the API server makes such an object: the collection of its namespace."""
    kind = KINDS[body["kind"]]
    root = f"/{'apis' if '/' in kind.api_version else 'api'}/{kind.api_version}"
    return f"{root}/namespaces/{body['metadata']['namespace']}/{kind.plural}"


def _kinds(n: int, seed: int | str) -> list[str]:
    """The kind of each object: exact in number, mixed in order."""
    deck = [kind for kind, count in MIX.items() for _ in range(count)]
    chooser = random.Random(f"kinds-{seed}")
    # One shuffled order for every twenty, so that each beginning of the list has the mix too.
    found: list[str] = []
    while len(found) < n:
        found += chooser.sample(deck, len(deck))
    return found[:n]


def _object(index: int, kind: str, seed: int | str) -> Body:
    source = random.Random(f"object-{seed}-{index}")
    name = f"{source.choice(_WORDS)}-{index:05d}"
    made = KINDS[kind].make(source, name)
    labels = {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "bench"}
    meta = {"name": name, "namespace": NAMESPACES[index % len(NAMESPACES)], "labels": labels, **made.pop("metadata", {})}
    return {"apiVersion": KINDS[kind].api_version, "kind": kind, "metadata": meta, **made}


def _text(bodies: Iterable[Body]) -> str:
    return yaml.dump_all(bodies, Dumper=yaml.CSafeDumper, sort_keys=False, explicit_start=True)


def _changed(text: str, indices: Iterable[int], value: str) -> str:
    bodies = list(yaml.load_all(text, Loader=yaml.CSafeLoader))
    for index in indices:
        KINDS[bodies[index]["kind"]].change(bodies[index], value)
    return _text(bodies)


# -- the kinds -------------------------------------------------------------------------------------------------------------


def _sentence(source: random.Random, words: int) -> str:
    return " ".join(source.choice(_WORDS) for _ in range(words))


def _config_map(source: random.Random, name: str) -> Body:
    return {"data": {f"setting-{index:02d}": _sentence(source, 6) for index in range(SETTINGS_PER_MAP)}}


def _service(source: random.Random, name: str) -> Body:
    ports = [{"name": "http", "port": source.randrange(8000, 9000), "protocol": "TCP", "targetPort": "http"}]
    return {
        "metadata": {"annotations": {"bench.example/note": "as made"}},
        "spec": {"clusterIP": "None", "selector": {"app": name}, "ports": ports},
    }


def _deployment(source: random.Random, name: str) -> Body:
    containers = [_container(source, container) for container in ("app", "proxy")]
    meta = {"labels": {"app": name}, "annotations": {"bench.example/note": _sentence(source, 8)}}
    template = {"metadata": meta, "spec": {"containers": containers}}
    # The strategy is the default, and declared because Flux sends an empty one otherwise, which `gate` would see as a field that nobody declared.
    strategy = {"type": "RollingUpdate"}
    return {"spec": {"replicas": 0, "strategy": strategy, "selector": {"matchLabels": {"app": name}}, "template": template}}


def _container(source: random.Random, name: str) -> Body:
    """About 1 KB of what containers usually have; every default that the API server fills in inside of it is left to it."""
    return {
        "name": name,
        "image": f"registry.example/{source.choice(_WORDS)}/{name}:1.{source.randrange(100)}.0",
        "args": [f"--{word}={source.choice(_WORDS)}" for word in source.sample(_WORDS, 5)],
        "env": [{"name": f"SETTING_{index}", "value": _sentence(source, 4)} for index in range(10)],
        "ports": [{"name": name, "containerPort": 8080 if name == "app" else 9090, "protocol": "TCP"}],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
        "readinessProbe": {"httpGet": {"path": "/ready", "port": name}, "periodSeconds": 10},
        "securityContext": {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "runAsNonRoot": True},
    }


def _service_account(source: random.Random, name: str) -> Body:
    return {"metadata": {"annotations": {"bench.example/note": "as made"}}, "automountServiceAccountToken": False}


def _role(source: random.Random, name: str) -> Body:
    names = sorted({f"{source.choice(_WORDS)}-{source.randrange(100)}" for _ in range(3)})
    reading = {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": names, "verbs": ["get", "watch"]}
    return {"rules": [reading, {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list", "watch"]}]}


def _set_setting(body: Body, value: str) -> None:
    body["data"]["setting-00"] = value


def _set_note(body: Body, value: str) -> None:
    body["metadata"]["annotations"]["bench.example/note"] = value


def _set_variable(body: Body, value: str) -> None:
    body["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] = value


def _set_resource_name(body: Body, value: str) -> None:
    body["rules"][0]["resourceNames"][0] = value


KINDS: Final[Mapping[str, Kind]] = {
    "ConfigMap": Kind("v1", "configmaps", _config_map, _set_setting),
    "Service": Kind("v1", "services", _service, _set_note),
    "Deployment": Kind("apps/v1", "deployments", _deployment, _set_variable),
    "ServiceAccount": Kind("v1", "serviceaccounts", _service_account, _set_note),
    "Role": Kind("rbac.authorization.k8s.io/v1", "roles", _role, _set_resource_name),
}
"""Every kind that is declared, by its name."""
PLURALS: Final = frozenset(kind.plural for kind in KINDS.values())
