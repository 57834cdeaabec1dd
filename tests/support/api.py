"""The observer: a plain client of its own, so that the operator is never judged by its own code."""

import base64
import json
import ssl
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

Json = dict[str, Any]
CLUSTER_STATES = "/apis/cvstate.io/v1alpha1/namespaces/{}/clusterstates"


class Api:
    """One user of one API server, by its kubeconfig with embedded certificates."""

    def __init__(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self.server: str = cluster["server"]
        self.authority: str = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self._tls = ssl.create_default_context(cadata=self.authority)
        with tempfile.NamedTemporaryFile("wb") as pair:
            pair.write(base64.b64decode(user["client-certificate-data"]) + b"\n" + base64.b64decode(user["client-key-data"]))
            pair.flush()
            self._tls.load_cert_chain(pair.name)

    def request(self, method: str, path: str, body: Json | None = None, content_type: str = "application/json") -> tuple[int, Json]:
        """HTTP status and answer, whatever it is."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.server + path, data, {"Content-Type": content_type, "User-Agent": "observer"}, method=method)
        try:
            with urllib.request.urlopen(request, context=self._tls, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")
            try:
                return error.code, json.loads(text)
            except ValueError:
                return error.code, {"message": text}

    def get(self, path: str) -> Json | None:
        """An object, or None if it is not there."""
        code, answer = self.request("GET", path)
        assert code in (200, 404), answer
        return answer if code == 200 else None

    def create(self, path: str, body: Json) -> Json:
        """POST that must succeed."""
        code, answer = self.request("POST", path, body)
        assert code < 300, answer
        return answer

    def merge(self, path: str, body: Json, *, manager: str = "observer") -> Json:
        """Merge patch that must succeed, as a field manager of choice."""
        code, answer = self.request("PATCH", f"{path}?fieldManager={manager}", body, "application/merge-patch+json")
        assert code < 300, answer
        return answer

    def apply(self, path: str, body: Json, *, manager: str = "observer") -> tuple[int, Json]:
        """Forced server-side apply; the caller looks at the code."""
        return self.request("PATCH", f"{path}?fieldManager={manager}&force=true", body, "application/apply-patch+yaml")

    def delete(self, path: str) -> None:
        """Delete; a missing object is fine."""
        code, answer = self.request("DELETE", path)
        assert code in (200, 202, 404), answer

    def watch(self, path: str, *, since: str, seconds: int) -> Iterator[Json]:
        """Events of a list after a resourceVersion, bookmarks among them, as they come; ends after so many seconds."""
        query = f"watch=true&allowWatchBookmarks=true&resourceVersion={since}&timeoutSeconds={seconds}"
        request = urllib.request.Request(f"{self.server}{path}?{query}", headers={"User-Agent": "observer"})
        with urllib.request.urlopen(request, context=self._tls, timeout=seconds + 30) as answer:
            yield from map(json.loads, answer)
