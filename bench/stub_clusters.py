"""Many clusters on one machine: servers that hold ConfigMaps in memory as an API server does, as far as a GitOps tool notices, each on a port of its own.

Served are discovery, lists and watches by label, server-side apply with its `managedFields`, reads and deletes; no admission, no storage, no other kinds. So what a run
shows is the tool's own cost for each cluster, and not that of a hundred real control planes, for which one machine is too small. (What real ones cost, and that all
this works with them: tests/integration/test_remote_clusters.py.)

    python -m bench.stub_clusters ALIVE DEAD DIRECTORY

writes `ca.pem` into the directory and then one line of JSON: `{"alive": [port, ...], "dead": [port, ...], "state": port}`. A dead one takes connections and never answers.
`GET /` at the port `state` (HTTP) gives, for each that is alive, what it holds and what it was asked (`StubCluster.seen`). Ends with its standard input.

Sources: Kubernetes API concepts (list, watch, bookmarks, aggregated discovery); "Server-Side Apply" (FieldsV1; entries of an apply name leaves only).
"""

import asyncio
import hashlib
import itertools
import ssl
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

import orjson
import uvloop
from aiohttp import web

from tests.cluster.certificates import Authority

HOST: Final = "127.0.0.1"
VERSION: Final = "v1.36.3"
BOOKMARK_SECONDS: Final = 60.0
"""Between two bookmarks of a watch; as the API server has it. Source: staging/src/k8s.io/apiserver/pkg/storage/cacher, bookmarkFrequency."""
_KIND: Final = {
    "resource": "configmaps",
    "responseKind": {"group": "", "version": "v1", "kind": "ConfigMap"},
    "scope": "Namespaced",
    "verbs": ["create", "delete", "get", "list", "patch", "update", "watch"],
}
_GROUPS: Final = {"/api": [{"metadata": {}, "versions": [{"version": "v1", "resources": [_KIND]}]}], "/apis": []}


def digest(content: Mapping[str, Any]) -> str:
    """Return a digest of all data of a cluster, by `namespace/name`."""
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()


class StubCluster:
    """One of them."""

    def __init__(self) -> None:
        self._requests: Counter[str] = Counter()
        """`PATCH`, `WATCH` … → how many."""
        self._changed = 0.0
        """When something changed last, CLOCK_MONOTONIC."""
        self._digest = ""
        self._bodies: dict[str, dict[str, Any]] = {}
        self._versions = itertools.count(1000)
        self._told: list[tuple[int, bytes]] = []
        """Version and line of each event so far."""
        self._watches: set[asyncio.Queue[bytes]] = set()
        self._version = next(self._versions)

    def seen(self) -> dict[str, Any]:
        """A digest of what it holds, when that changed last (0 for never), and how often it was asked what."""
        self._digest = self._digest or digest({key: body.get("data") for key, body in self._bodies.items()})
        return {"digest": self._digest, "changed": self._changed, "requests": self._requests}

    def app(self) -> web.Application:
        """What it serves."""
        app = web.Application(client_max_size=4 * 2**20)
        app.router.add_get("/version", self._tell_version)
        app.router.add_get("/{root:api|apis}", self._discover)
        app.router.add_get("/api/v1/configmaps", self._list_or_watch)
        one = "/api/v1/namespaces/{namespace}/configmaps/{name}"
        app.router.add_get(one, self._read)
        app.router.add_patch(one, self._apply)
        app.router.add_delete(one, self._delete)
        app.router.add_route("*", "/{tail:.*}", self._unserved)
        return app

    async def _tell_version(self, request: web.Request) -> web.Response:
        return self._answer(request, {"gitVersion": VERSION, "major": "1", "minor": "36"})

    async def _discover(self, request: web.Request) -> web.Response:
        found = {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": _GROUPS[request.path]}
        return self._answer(request, found, content_type="application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")

    async def _list_or_watch(self, request: web.Request) -> web.StreamResponse:
        if request.query.get("watch"):
            return await self._watch(request)
        items = [body for body in self._bodies.values() if _has_label(body, request.query.get("labelSelector", ""))]
        listed = [{key: value for key, value in body.items() if key not in ("kind", "apiVersion")} for body in items]
        return self._answer(
            request, {"kind": "ConfigMapList", "apiVersion": "v1", "metadata": {"resourceVersion": str(self._version)}, "items": listed}
        )

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        """Tell what happened since the version that is named, and what happens. All that are here have the label that is asked for."""
        self._requests["WATCH"] += 1
        since = int(request.query["resourceVersion"])
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        for version, line in self._told:
            if version > since:
                queue.put_nowait(line)
        self._watches.add(queue)
        try:
            await response.prepare(request)
            while True:
                try:
                    line = await asyncio.wait_for(queue.get(), BOOKMARK_SECONDS)
                except TimeoutError:
                    meta = {"resourceVersion": str(self._version)}
                    line = orjson.dumps({"type": "BOOKMARK", "object": {"kind": "ConfigMap", "apiVersion": "v1", "metadata": meta}}) + b"\n"
                await response.write(line)
        finally:
            self._watches.discard(queue)

    async def _read(self, request: web.Request) -> web.Response:
        found = self._bodies.get(_key(request))
        return self._answer(request, found) if found else self._missing(request)

    async def _apply(self, request: web.Request) -> web.Response:
        key, wanted = _key(request), orjson.loads(await request.read())
        now, meta = self._bodies.get(key), wanted["metadata"]
        precondition = {name: meta.pop(name) for name in ("uid", "resourceVersion") if name in meta}
        if (now is None) != (precondition.get("resourceVersion") is not None) or (
            now and precondition.get("uid") != now["metadata"]["uid"]
        ):
            self._requests["PATCH"] += 1
            return self._refuse(409, "Conflict", "the object is not the one that was meant")
        if request.query.get("dryRun"):
            return self._answer(request, self._applied(wanted, now, request.query["fieldManager"], str(self._version)))
        content = {name: meta.get(name) for name in ("labels", "annotations")}
        if now and now.get("data") == wanted.get("data") and content == {name: now["metadata"].get(name) for name in content}:
            return self._answer(request, now)
        self._version = next(self._versions)
        body = self._bodies[key] = self._applied(wanted, now, request.query["fieldManager"], str(self._version))
        self._tell("MODIFIED" if now else "ADDED", body)
        return self._answer(request, body, status=200 if now else 201)

    async def _delete(self, request: web.Request) -> web.Response:
        key = _key(request)
        body = self._bodies.pop(key, None)
        if body is None:
            return self._missing(request)
        self._version = next(self._versions)
        body["metadata"]["resourceVersion"] = str(self._version)
        self._tell("DELETED", body)
        return self._answer(request, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"})

    async def _unserved(self, request: web.Request) -> web.Response:
        return self._missing(request)

    @staticmethod
    def _applied(wanted: dict[str, Any], now: dict[str, Any] | None, manager: str, version: str) -> dict[str, Any]:
        """The object after an apply of the only one who applies to it."""
        body = deepcopy(wanted)
        meta = body["metadata"]
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        known = now["metadata"] if now else {"uid": f"00000000-0000-4000-8000-{int(version):012d}", "creationTimestamp": stamp}
        fields = _leaves({key: value for key, value in body.items() if key not in ("kind", "apiVersion", "metadata")})
        fields["f:metadata"] = _leaves({key: meta[key] for key in ("labels", "annotations") if meta.get(key)})
        entry = {"manager": manager, "operation": "Apply", "apiVersion": "v1", "time": stamp, "fieldsType": "FieldsV1", "fieldsV1": fields}
        meta |= {"uid": known["uid"], "creationTimestamp": known["creationTimestamp"], "resourceVersion": version, "managedFields": [entry]}
        return body

    def _tell(self, event: str, body: dict[str, Any]) -> None:
        self._changed, self._digest = time.monotonic(), ""
        line = orjson.dumps({"type": event, "object": body}) + b"\n"
        self._told.append((self._version, line))
        for queue in self._watches:
            queue.put_nowait(line)

    def _missing(self, request: web.Request) -> web.Response:
        self._requests[request.method] += 1
        return self._refuse(404, "NotFound", f"{request.path} is not there")

    def _answer(
        self, request: web.Request, body: dict[str, Any], *, status: int = 200, content_type: str = "application/json"
    ) -> web.Response:
        self._requests[request.method] += 1
        return web.Response(body=orjson.dumps(body), status=status, headers={"Content-Type": content_type})

    @staticmethod
    def _refuse(code: int, reason: str, message: str) -> web.Response:
        body = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "reason": reason,
            "message": message,
            "code": code,
        }
        return web.json_response(body, status=code)


def _leaves(value: dict[str, Any]) -> dict[str, Any]:
    """FieldsV1 of something without lists."""
    return {f"f:{key}": _leaves(below) if isinstance(below, dict) else {} for key, below in value.items()}


def _key(request: web.Request) -> str:
    return f"{request.match_info['namespace']}/{request.match_info['name']}"


def _has_label(body: dict[str, Any], selector: str) -> bool:
    """Whether an object has a label of this name: the one form of selector that watches of a GitOps tool need."""
    return not selector or selector in (body["metadata"].get("labels") or {})


async def _listen(app: web.Application, tls: ssl.SSLContext | None) -> tuple[web.AppRunner, int]:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0, ssl_context=tls).start()
    return runner, runner.addresses[0][1]


def _tls(directory: Path) -> ssl.SSLContext:
    """A server's certificate; who vouches for it is written to `ca.pem`."""
    authority = Authority("stub clusters")
    directory.joinpath("ca.pem").write_bytes(authority.certificate)
    pair = authority.server("stub cluster", addresses=(HOST,), names=())
    both = directory / "server.pem"
    both.touch(mode=0o600)
    both.write_bytes(pair.certificate + pair.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    return context


async def _never(request: web.Request) -> web.Response:
    await asyncio.Event().wait()
    raise AssertionError("nobody sets that event")


def _dead() -> web.Application:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", _never)
    return app


async def serve(alive: int, dead: int, directory: Path) -> None:
    """Serve until the standard input ends."""
    tls = _tls(directory)
    stubs = [StubCluster() for _ in range(alive)]

    async def state(request: web.Request) -> web.Response:
        return web.Response(body=orjson.dumps([stub.seen() for stub in stubs]), content_type="application/json")

    teller = web.Application()
    teller.router.add_get("/", state)
    listening = [await _listen(app, tls) for app in _apps(stubs, dead)]
    told, state_port = await _listen(teller, None)
    ports = [port for _, port in listening]
    sys.stdout.buffer.write(orjson.dumps({"alive": ports[:alive], "dead": ports[alive:], "state": state_port}) + b"\n")
    sys.stdout.buffer.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)
    for runner in (told, *(runner for runner, _ in listening)):
        await runner.cleanup()


def _apps(stubs: list[StubCluster], dead: int) -> Iterator[web.Application]:
    yield from (stub.app() for stub in stubs)
    yield from (_dead() for _ in range(dead))


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])))
