"""Which program is built where: versions, cache folders, digests, and ready programs that need no build."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster import builds, programs, progress, toolchain
from tests.cluster.errors import ClusterError


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        pytest.param("go1.26.8", (1, 26, 8), id="release"),
        pytest.param("1.26.0", (1, 26, 0), id="go-line"),
        pytest.param("1.26", (1, 26, 0), id="go-line-without-patch"),
        pytest.param("go1.27rc1", (1, 27, 0), id="release-candidate"),
        pytest.param("go1.27.3 X:nodwarf5", (1, 27, 3), id="experiment"),
        pytest.param("devel +abc", (0, 0, 0), id="no-number"),
        pytest.param("", (0, 0, 0), id="nothing"),
    ],
)
def test_numbers_of_a_go_version(text: str, numbers: tuple[int, int, int]) -> None:
    assert toolchain.parse_version(text) == numbers


@pytest.mark.parametrize(
    ("version", "is_enough"),
    [
        pytest.param("go1.26.0", True, id="equal"),
        pytest.param("go1.27.0", True, id="newer-minor"),
        pytest.param("go2.0", True, id="newer-major"),
        pytest.param("go1.9.99", False, id="numbers-are-not-compared-as-text"),
        pytest.param("go1.25.12", False, id="older-minor-with-higher-patch"),
        pytest.param("", False, id="unknown"),
    ],
)
def test_a_go_builds_a_module_that_needs_its_version_or_an_older_one(version: str, is_enough: bool) -> None:
    assert toolchain.is_new_enough(version, needed="1.26.0") is is_enough


def test_go_never_downloads_a_toolchain_and_ignores_the_users_build_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOFLAGS", "-tags=mine")
    monkeypatch.setenv("GOOS", "plan9")
    monkeypatch.setenv("GOPROXY", "https://proxy.example")
    environment = toolchain.environment()
    assert environment["GOTOOLCHAIN"] == "local"
    assert environment["GOFLAGS"] == "-mod=readonly"
    assert environment["GOPROXY"] == "https://proxy.example"
    assert "GOOS" not in environment


def test_digest_changes_with_every_input_of_a_build() -> None:
    digests = {
        programs.digest_of(go_mod=b"m", go_sum=b"s", flags=("a",)),
        programs.digest_of(go_mod=b"M", go_sum=b"s", flags=("a",)),
        programs.digest_of(go_mod=b"m", go_sum=b"S", flags=("a",)),
        programs.digest_of(go_mod=b"m", go_sum=b"s", flags=("a", "b")),
        programs.digest_of(go_mod=b"m", go_sum=b"s", flags=("ab",)),
        programs.digest_of(go_mod=b"ms", go_sum=b"", flags=("a",)),
    }
    assert len(digests) == 6


def test_digest_is_the_same_for_the_same_inputs() -> None:
    assert programs.digest_of(go_mod=b"m", go_sum=b"s", flags=("a",)) == programs.digest_of(go_mod=b"m", go_sum=b"s", flags=("a",))


def test_a_program_is_kept_by_module_version_and_digest(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    module = programs.get("etcd").module
    assert programs.get("etcd").path == tmp_path / "cvstate-operator" / "programs" / f"etcd-{module.version}-{module.digest}" / "etcd"


def test_a_relative_cache_folder_is_ignored_as_the_xdg_specification_demands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert programs.get("etcd").path.is_relative_to(tmp_path / ".cache")


@pytest.mark.parametrize("name", programs.CATALOGUE)
def test_every_program_has_a_pinned_version_and_checksums(name: str) -> None:
    module = programs.get(name).module
    assert module.version.startswith("v")
    assert f"{module.path} {module.version} h1:" in (module.directory / "go.sum").read_text()


def test_kubernetes_programs_report_their_version() -> None:
    module = programs.get("kubectl").module
    assert f"component-base/version.gitVersion={module.version}" in module.linker_flags


@pytest.mark.parametrize(("name", "variable"), [("helm", "internal/version.version"), ("kustomize", "api/provenance.version")])
def test_renderers_report_their_version(name: str, variable: str) -> None:
    module = programs.get(name).module
    assert f"{variable}={module.version}" in module.linker_flags


def test_renderers_are_built_when_no_program_is_named() -> None:
    assert set(programs.RENDERERS) <= set(programs.DEFAULT)


def test_the_peer_of_the_benchmark_is_built_on_request_only() -> None:
    assert "kustomize-controller" in programs.CATALOGUE
    assert "kustomize-controller" not in programs.DEFAULT


def test_the_crds_of_the_peer_lie_beside_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    kept = programs.get("kustomize-controller").path.parent / "crds"
    kept.mkdir(parents=True)
    for name in ("b.yaml", "a.yaml", "README.md"):
        (kept / name).touch()
    assert builds.crd_files() == (kept / "a.yaml", kept / "b.yaml")


def test_files_of_a_module_are_kept_with_the_build_and_replace_older_ones(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A stand-in for Go says where the module is, and "builds"."""
    source = tmp_path / "module" / programs.CRD_FOLDER
    source.mkdir(parents=True)
    for name in ("kustomizations.yaml", "kustomization.yaml"):
        (source / name).write_text(name)
    go = tmp_path / "go"
    go.write_text(
        f'#!/bin/sh\ncase $1 in env) echo go9.0;; list) echo {tmp_path}/module;; *) for i; do [ "$o" = -o ] && touch $i; o=$i; done;; esac\n'
    )
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    program = programs.get("kustomize-controller")
    (program.path.parent / "crds").mkdir(parents=True)
    (program.path.parent / "crds" / "old.yaml").touch()
    assert builds.ensure([program.name])[program.name].exists()
    # `kustomization.yaml` is how the module's own manifests are put together, not a CRD.
    assert [path.name for path in builds.crd_files()] == ["kustomizations.yaml"]


def test_unknown_program_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ClusterError) as caught:
        builds.ensure(["kube-proxy"])
    assert "kube-apiserver" in caught.value.remedy


def test_ready_programs_are_used_instead_of_building(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    monkeypatch.setenv(builds.ASSETS_VARIABLE, str(tmp_path))
    for name in builds.ASSETS:
        (tmp_path / name).touch(mode=0o755)
    assert builds.ensure(builds.ASSETS) == {name: tmp_path / name for name in builds.ASSETS}


def test_failed_build_names_the_program_and_a_remedy_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    go = tmp_path / "go"
    go.write_text('#!/bin/sh\n[ "$1" = env ] && echo go9.0 && exit\necho "write: no space left on device" >&2\nexit 1\n')
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(ClusterError) as caught:
        builds.ensure(["etcd"])
    assert "etcd" in caught.value.message
    assert "no space left" in caught.value.message
    assert "free" in caught.value.remedy
    assert [path.name for path in programs.get("etcd").path.parent.iterdir()] == [".lock"]


@pytest.mark.parametrize(("seconds", "words"), [(0, "about 0 s left"), (42, "about 45 s left"), (200, "about 4 min left")])
def test_time_left_is_rounded_up(seconds: float, words: str) -> None:
    assert progress.time_left(seconds) == words
