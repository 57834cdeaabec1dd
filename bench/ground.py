"""What every run stands on: a fresh cluster, a Git server, one user for whichever tool comes, and bystanders that nobody may touch.

All of it listens on the loopback interface and ends with the `with` block.
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

import yaml

from bench import guard, objects
from cvstate_operator.cli.demo.git_server import GitServer, Repository
from tests.cluster.control_plane import Cluster
from tests.support.api import Api, Json

HOME: Final = "bench"
"""Namespace of the tools' own objects: ServiceAccount, ClusterState, Kustomization."""
ACCOUNT: Final = "tool"
TOKEN_SECONDS: Final = 24 * 3600
"""How long the tools' token is good: longer than any run."""
SEED_FILE: Final = "seed.yaml"
"""The one file, below `Ground.PATH`, of the first commit."""
SEED: Final[Json] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "seed", "namespace": HOME}, "data": {"of": "bench"}}
"""The one object of the first commit. It stays declared: a tool that is asked to prune everything is another scenario."""
_RBAC: Final = "rbac.authorization.k8s.io"


@dataclass(frozen=True, slots=True)
class Ground:
    """See the module."""

    PATH: ClassVar[str] = "apps"
    """Directory in the repository below which everything is declared."""

    cluster: Cluster
    api: Api
    """A client in system:masters: of the benchmark, never of a tool."""
    git: GitServer
    repository: Repository
    """With one commit, that declares SEED."""
    url: str
    """Of the repository, http."""
    kubeconfig: Path
    """Of the tool: the ServiceAccount's token, rights of cluster-admin."""
    user: str
    """What the audit log calls the tool."""
    directory: Path
    """An empty directory for the tool's files, removed after the run."""
    is_quiet: bool
    """Only etcd and the API server run."""

    def commit(self, files: Mapping[str, str | None]) -> str:
        """Commit files (path in the repository → text, None removes one) and return the commit id.

        What is new lies in one pack, as a server keeps what was pushed to it; to pack loose objects at the first fetch is no work of the tools.
        """
        commit = self.repository.commit(files)
        self.repository.git("repack", "-q", "-d")
        return commit

    @property
    def namespace(self) -> str:
        """Where the tool's own objects are; it is there."""
        return HOME


@contextmanager
def prepared(*, is_quiet: bool) -> Iterator[Ground]:
    """A ground for one run.

    Raises:
        ClusterError: the cluster does not start.
    """
    with ExitStack() as stack:
        directory = guard.directory()
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        cluster = stack.enter_context(Cluster.start(quiet=is_quiet))
        api = Api(cluster.admin_kubeconfig)
        for name in (HOME, *objects.NAMESPACES):
            api.create("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        git = stack.enter_context(GitServer(directory / "git"))
        repository = git.repository("platform")
        repository.commit({f"{Ground.PATH}/{SEED_FILE}": yaml.safe_dump(SEED)})
        work = directory / "tool"
        work.mkdir()
        yield Ground(
            cluster=cluster,
            api=api,
            git=git,
            repository=repository,
            url=git.url("platform"),
            kubeconfig=_account(cluster, api, directory / "tool.kubeconfig"),
            user=f"system:serviceaccount:{HOME}:{ACCOUNT}",
            directory=work,
            is_quiet=is_quiet,
        )


def _account(cluster: Cluster, api: Api, file: Path) -> Path:
    """A ServiceAccount with all rights, and a kubeconfig with its token.

    Not the test cluster's operator user: API priority and fairness puts ServiceAccounts into `workload-low`, other users into `global-default`, with
    a fifth of the seats. Source: Kubernetes documentation, "API Priority and Fairness", default configuration.
    """
    api.create(f"/api/v1/namespaces/{HOME}/serviceaccounts", {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT}})
    binding = {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": f"{HOME}-{ACCOUNT}"},
        "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": HOME}],
    }
    api.create(f"/apis/{_RBAC}/v1/clusterrolebindings", binding)
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": TOKEN_SECONDS}}
    token = api.create(f"/api/v1/namespaces/{HOME}/serviceaccounts/{ACCOUNT}/token", request)["status"]["token"]
    config = yaml.safe_load(cluster.admin_kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token}
    file.touch(mode=0o600)
    file.write_text(yaml.safe_dump(config))
    return file
