"""A conversion webhook of a CustomResourceDefinition whose versions differ in nothing but their name; it can be made to fail.

Source: Kubernetes documentation, "Versions in CustomResourceDefinitions", webhook conversion.
"""

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.credentials import Authority, server_tls


class Converter:
    """Runs in a thread of its own, from the beginning of a `with` block to its end."""

    def __init__(self) -> None:
        self.works = True
        """Whether it answers; else it says that it failed."""
        authority = Authority()
        converter = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200 if converter.works else 503)
                self.end_headers()
                if converter.works:
                    self.wfile.write(json.dumps(_converted(review)).encode())

            def log_message(self, *arguments: object) -> None:
                """Nobody reads it."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.socket = server_tls(authority.issue("127.0.0.1")).wrap_socket(self._server.socket, server_side=True)
        bundle = base64.b64encode(authority.certificate.encode()).decode()
        where = {"url": f"https://127.0.0.1:{self._server.server_port}/convert", "caBundle": bundle}
        self.conversion = {"strategy": "Webhook", "webhook": {"clientConfig": where, "conversionReviewVersions": ["v1"]}}
        """What `spec.conversion` has to be."""
        self._thread = threading.Thread(target=self._server.serve_forever, name="converter", daemon=True)

    def __enter__(self) -> "Converter":
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


def _converted(review: dict[str, Any]) -> dict[str, Any]:
    request = review["request"]
    objects = [{**one, "apiVersion": request["desiredAPIVersion"]} for one in request["objects"]]
    answer = {"uid": request["uid"], "result": {"status": "Success"}, "convertedObjects": objects}
    return {"apiVersion": review["apiVersion"], "kind": review["kind"], "response": answer}
