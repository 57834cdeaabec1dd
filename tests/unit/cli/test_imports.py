"""What is left out of the process, each time in an interpreter of its own.

Aspects: what is not loaded · what is used works without it · whoever loaded it before keeps it.
"""

import subprocess
import sys
from pathlib import Path

import yaml

LEFT_OUT = {
    "kubernetes.client",
    "kubernetes.config",
    "requests",
    "oauthlib",
    "websocket",
    "urllib3",
    "dateutil",
    "kubernetes.aio.client.rest",
}


def printed(program: str) -> str:
    done = subprocess.run((sys.executable, "-c", f"import sys\n{program}"), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_operator_does_without_the_synchronous_client() -> None:
    program = "from cvstate_operator.cli import imports\nimports.leave_out_unused()\nfrom cvstate_operator.operator import app\n"
    loaded = set(printed(f"{program}print(*(name for name, module in sys.modules.items() if module))").split())
    assert {"kopf", "kubernetes.aio.config.kube_config"} <= loaded
    assert not LEFT_OUT & loaded


def test_a_kubeconfig_with_an_exec_plugin_is_read_all_the_same(tmp_path: Path) -> None:
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "printf",
        "args": ['{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"t1"}}'],
        "interactiveMode": "Never",
    }
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1", "insecure-skip-tls-verify": True}}],
        "users": [{"name": "u", "user": {"exec": plugin}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }
    file = tmp_path / "config"
    file.write_text(yaml.safe_dump(config))
    program = (
        "import asyncio, pathlib\nfrom cvstate_operator.cli import imports\nimports.leave_out_unused()\n"
        "from cvstate_operator.kube.connection import connect\n"
        f"async def read():\n    made = await connect(pathlib.Path({str(file)!r}))\n"
        "    print(made.server, await made.authorize())\n    await made.close()\nasyncio.run(read())"
    )
    assert printed(program) == "https://127.0.0.1:1 Bearer t1"


def test_where_the_client_is_loaded_already_it_stays() -> None:
    program = "import kubernetes\nfrom cvstate_operator.cli import imports\nimports.leave_out_unused()\n"
    assert printed(f"{program}from kubernetes import client\nprint(client.V1ObjectMeta.__name__)") == "V1ObjectMeta"


def test_to_ask_twice_changes_nothing() -> None:
    program = (
        "from cvstate_operator.cli import imports\nimports.leave_out_unused()\nbefore = dict(sys.modules)\nimports.leave_out_unused()\n"
    )
    assert printed(f"{program}print(before == sys.modules)") == "True"


def test_aiohttp_is_loaded_without_authorities_and_trusts_nobody_for_that() -> None:
    program = (
        "import ssl\nbefore = ssl.create_default_context\nfrom cvstate_operator.cli import imports\nimports.load_aiohttp()\n"
        "from aiohttp import connector\nmade = connector._SSL_CONTEXT_VERIFIED\n"
    )
    told = "print(len(made.get_ca_certs()), made.verify_mode.name, made.check_hostname, ssl.create_default_context is before)"
    assert printed(program + told) == "0 CERT_REQUIRED True True"


def test_what_the_operator_is_loaded_without_is_there_for_whoever_asks_later() -> None:
    program = (
        "from cvstate_operator.cli import imports\nfrom cvstate_operator.isolation.imports import without\nimports.leave_out_unused()\n"
        "with without(*imports.UNUSED):\n    imports.load_aiohttp()\n    from cvstate_operator.operator import app\n"
        "left = [name for name in imports.UNUSED if name in sys.modules]\n"
    )
    assert printed(
        f"{program}import argparse, html.entities, pickle, zipfile\nprint(left, len(html.entities.html5) > 2000, zipfile.ZIP_STORED)"
    ) == ("[] True 0")
