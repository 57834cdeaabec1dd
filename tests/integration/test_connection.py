"""How the operator finds and enters a cluster.

Aspects: a kubeconfig with inline certificates, twice in one process · a Pod's service account, whose token is renewed · an exec plugin.
"""

import asyncio
import json
import stat

import pytest
import yaml
from kubernetes.aio.config import incluster_config

from cvstate_operator.kube.client import Client
from cvstate_operator.kube.connection import Connection, connect, in_cluster
from tests.support import accounts
from tests.support.api import Api
from tests.support.world import World

pytestmark = pytest.mark.integration


async def who_am_i(connection: Connection) -> str:
    client = Client(connection, observe=lambda **_: None)
    try:
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        answer = await client.create("/apis/authentication.k8s.io/v1/selfsubjectreviews", review)
        return str(answer["status"]["userInfo"]["username"])
    finally:
        await client.close()
        await connection.close()
        await asyncio.sleep(0.1)  # TLS takes leave of the server before the loop ends


def test_a_kubeconfig_with_inline_certificates_works_again_and_again(world: World):
    async def twice() -> list[str]:
        return [await who_am_i(await connect(world.cluster.operator_kubeconfig)) for _ in range(2)]

    assert asyncio.run(twice()) == ["cvstate-operator"] * 2


def test_in_a_pod_the_service_account_speaks_for_us(world: World, tmp_path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "token").write_text(accounts.token(world, "pod"))
    (tmp_path / "ca.crt").write_text(Api(world.cluster.admin_kubeconfig).authority)
    host, port = world.cluster.url.removeprefix("https://").split(":")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
    assert in_cluster()

    async def ask() -> str:
        return await who_am_i(await connect())

    assert asyncio.run(ask()) == f"system:serviceaccount:{world.name}:pod"


def test_an_exec_plugin_of_the_users_own_kubeconfig_gives_the_token(world: World, tmp_path):
    credential = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": accounts.token(world, "exec")},
    }
    plugin = tmp_path / "plugin"
    plugin.write_text(f"#!/bin/sh\ncat <<'EOF'\n{json.dumps(credential)}\nEOF\n")
    plugin.chmod(plugin.stat().st_mode | stat.S_IXUSR)
    config = yaml.safe_load(world.cluster.operator_kubeconfig.read_text())
    version = "client.authentication.k8s.io/v1"
    config["users"][0]["user"] = {"exec": {"apiVersion": version, "command": str(plugin), "interactiveMode": "Never"}}
    file = tmp_path / "kubeconfig"
    file.write_text(yaml.safe_dump(config))

    async def ask() -> str:
        return await who_am_i(await connect(file))

    assert asyncio.run(ask()) == f"system:serviceaccount:{world.name}:exec"
