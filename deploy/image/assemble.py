"""Assembles the root filesystem of the image: this Python with the operator, kustomize and Helm, the libraries they load, certificates and a user;
nothing else.

    python deploy/image/assemble.py DEST --tools DIR [--site DIR] [--epoch SECONDS] [--sbom CYCLONEDX_PY]

Run by the Dockerfile in a Debian with the packages installed, and by tests/integration/test_installed.py, which starts the operator in the tree it
makes. A list of what goes in is short and can be read; a list of what to take out of a distribution is never complete. So there is no shell, no
package manager and no other program.
"""

import argparse
import compileall
import os
import py_compile
import re
import shutil
import site
import ssl
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

USER: Final = 65532
"""The user `nonroot` of distroless images, which the chart names too."""

PREFIX: Final = Path("/usr/local")
"""Where Python is, as in the Docker official images; the image's PATH names its `bin`."""
VERSION: Final = f"python{sys.version_info.major}.{sys.version_info.minor}"
CERTIFICATES: Final = Path("/etc/ssl/certs/ca-certificates.crt")
LEFT_OUT: Final = (
    "test",
    "idlelib",
    "tkinter",
    "turtledemo",
    "ensurepip",
    "lib2to3",
    "pydoc_data",
    "site-packages",
    "__pycache__",
    "config-*",
    "_tkinter.*",
    "nis.*",
    "_test*",
    "_xxtestfuzz.*",
)
"""Parts of the standard library that a server never imports, and that bring libraries of their own. `site-packages` is copied by itself."""
NOT_RUN: Final = frozenset({"pip", "setuptools", "wheel", "_distutils_hack", "distutils-precedence", "pkg_resources"})
"""What is in the builder's site-packages only to install others."""
SBIN: Final = "/sbin:/usr/sbin"
"""Where ldconfig is; not on everybody's PATH."""
_LOADED: Final = re.compile(r"(?:=> )?(/\S+) \(0x[0-9a-f]+\)")
"""A line of `ldd`."""
_INSTALLED: Final = re.compile(r"(-[0-9].*)?(\.dist-info|\.pth)?$")
"""What stands behind a distribution's name in site-packages."""
_ELF: Final = b"\x7fELF"


def main() -> None:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(description="Assemble the root filesystem of the image.")
    parser.add_argument("dest", type=Path, help="directory to fill; must not exist")
    parser.add_argument("--tools", type=Path, required=True, help="directory with kustomize and helm")
    parser.add_argument(
        "--site", type=Path, default=Path(site.getsitepackages()[0]), help="site-packages with the operator and what it needs"
    )
    parser.add_argument("--epoch", type=int, default=0, help="time of every file, seconds since 1970")
    parser.add_argument("--sbom", help="cyclonedx-py, to write down which Python packages there are; without it that is left out")
    given = parser.parse_args()
    assemble(given.dest, tools=given.tools, packages=given.site, epoch=given.epoch, cyclonedx=given.sbom)


def assemble(dest: Path, *, tools: Path, packages: Path, epoch: int, cyclonedx: str | None = None) -> None:
    """Fill a directory that does not exist yet.

    Args:
        dest: the root of the image.
        tools: where kustomize and helm are.
        packages: site-packages with the operator and all it needs, and at most `NOT_RUN` besides.
        epoch: time of every file, seconds since 1970.
        cyclonedx: program cyclonedx-py; None: no list of Python packages is made.

    Raises:
        FileExistsError: `dest` is there.
        CalledProcessError: ldd or cyclonedx-py failed.
    """
    dest.mkdir(parents=True)
    for link in ("bin", "sbin", "lib", "lib64"):
        # As on the machine: the kernel looks for the loader at /lib64, and paths in packages may name either.
        if Path("/", link).is_symlink():
            (dest / link).symlink_to(os.readlink(f"/{link}"))
    home = _python(dest, packages)
    python = _commands(dest, tools)
    libraries = _libraries(dest)
    _settings(dest)
    _written_down(dest, libraries, python, cyclonedx)
    # By content, not by time: the root is never written, and times are all the same.
    compileall.compile_dir(home, quiet=2, workers=0, stripdir=str(dest), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    for path in (dest, *dest.rglob("*")):
        os.utime(path, (epoch, epoch), follow_symlinks=False)


def _python(dest: Path, packages: Path) -> Path:
    """The standard library and the packages; returns the directory of the library.

    Python finds it from where its program lies, so its place may differ from here.
    """
    stdlib = Path(sysconfig.get_path("stdlib"))
    home = dest / PREFIX.relative_to("/") / "lib" / VERSION
    shutil.copytree(stdlib, home, symlinks=True, ignore=shutil.ignore_patterns(*LEFT_OUT))

    def ignored(directory: str, names: list[str]) -> set[str]:
        # Only at the top: further down the same words are modules of somebody else.
        at_top = Path(directory) == packages
        return {name for name in names if name == "__pycache__" or (at_top and _INSTALLED.sub("", name) in NOT_RUN)}

    shutil.copytree(packages, home / "site-packages", symlinks=True, ignore=ignored)
    return home


def _commands(dest: Path, tools: Path) -> Path:
    """The programs: Python under its names, cvstate, and what renders, which the operator looks for beside Python; returns Python's path in the tree."""
    bin_ = dest / PREFIX.relative_to("/") / "bin"
    bin_.mkdir(parents=True)
    shutil.copy2((Path(sys.base_prefix) / "bin" / VERSION).resolve(), bin_ / VERSION)
    for name in ("python3", "python"):
        (bin_ / name).symlink_to(VERSION)
    # As pip writes it, but for this Python.
    entry = f"#!{PREFIX}/bin/{VERSION}\nimport sys\n\nfrom cvstate_operator.cli.main import main\n\nsys.exit(main())\n"
    (bin_ / "cvstate").write_text(entry)
    (bin_ / "cvstate").chmod(0o755)
    for name in ("kustomize", "helm"):
        shutil.copy(tools / name, bin_ / name)
    return bin_ / VERSION


def _libraries(dest: Path) -> list[Path]:
    """Copy what the programs and extension modules load, at the paths where they look for it; returns the paths on this machine."""
    found: set[Path] = set()
    for path in _elf_files(dest):
        done = subprocess.run(("ldd", path), check=False, capture_output=True, text=True)
        if done.returncode != 0 and "not a dynamic executable" not in done.stderr:
            raise subprocess.CalledProcessError(done.returncode, ("ldd", str(path)), done.stdout, done.stderr)
        if "not found" in done.stdout and not _brought_along(path, done.stdout):
            raise FileNotFoundError(f"{path} needs a library that is not on this machine: {done.stdout}")
        found.update(Path(name) for name in _LOADED.findall(done.stdout) if not name.startswith(str(dest)))
    for library in sorted(found):
        target = _inside(dest, library)
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            shutil.copy2(library.resolve(), target)
    # Libraries outside of the loader's own directories, such as libpython, are found by its cache.
    (dest / "etc").mkdir(exist_ok=True)
    places = sorted({str(library.parent.resolve()) for library in found})
    (dest / "etc" / "ld.so.conf").write_text("".join(f"{place}\n" for place in places))
    subprocess.run((shutil.which("ldconfig", path=SBIN) or "ldconfig", "-X", "-r", str(dest)), check=True)
    # What ldconfig remembers for its next run: numbers of files on this machine.
    shutil.rmtree(dest / "var" / "cache" / "ldconfig", ignore_errors=True)
    return sorted(found)


def _elf_files(dest: Path) -> Iterator[Path]:
    for path in sorted(dest.rglob("*")):
        if path.is_file() and not path.is_symlink() and (path.stat().st_mode & stat.S_IXUSR or ".so" in path.name):
            with path.open("rb") as file:
                if file.read(4) == _ELF:
                    yield path


def _brought_along(path: Path, told: str) -> bool:
    """Whether the libraries that `ldd` did not find lie beside the module, as wheels bring theirs; the module that loads them has them loaded by then."""
    missing = re.findall(r"(\S+) => not found", told)
    places = [directory for parent in path.parents[:3] for directory in (parent, *parent.glob("*.libs"))]
    return all(any((place / name).exists() for place in places) for name in missing)


def _settings(dest: Path) -> None:
    """Who there is, where names come from, whom TLS trusts, and the directories that are mounted over."""
    etc = dest / "etc"
    (etc / "passwd").write_text(f"root:x:0:0:root:/nonexistent:/nonexistent\nnonroot:x:{USER}:{USER}:nonroot:/tmp:/nonexistent\n")
    (etc / "group").write_text(f"root:x:0:\nnonroot:x:{USER}:\n")
    (etc / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")
    target = _inside(dest, CERTIFICATES)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(CERTIFICATES, target)
    # Where OpenSSL looks by itself: child processes are told nothing by their environment.
    default = _inside(dest, Path(ssl.get_default_verify_paths().openssl_cafile))
    if not default.exists():
        default.parent.mkdir(parents=True, exist_ok=True)
        default.symlink_to(CERTIFICATES)
    for directory in ("dev", "proc", "sys", "run", "tmp", "etc/cvstate-operator", "etc/cvstate-operator-tls", "var/cache/cvstate-operator"):
        (dest / directory).mkdir(parents=True, exist_ok=True)
    (dest / "tmp").chmod(0o1777)


def _written_down(dest: Path, libraries: Iterable[Path], python: Path, cyclonedx: str | None) -> None:
    """Write down what is in here where scanners look: Debian's packages as in distroless images, Python's as CycloneDX.

    Go programs carry their own list (`go version -m`).
    """
    if shutil.which("dpkg-query"):
        status = dest / "var" / "lib" / "dpkg" / "status.d"
        status.mkdir(parents=True)
        told = subprocess.run(("dpkg-query", "--status", *_packages_of(libraries)), check=True, capture_output=True, text=True).stdout
        for stanza in told.strip().split("\n\n"):
            (status / stanza.partition("\n")[0].removeprefix("Package: ")).write_text(f"{stanza}\n")
    if cyclonedx:
        where = dest / "usr" / "share" / "sbom"
        where.mkdir(parents=True)
        options = ("environment", "--output-reproducible", "--spec-version", "1.6", "--output-format", "JSON")
        # Asked is the Python in the tree, which finds its packages from where it lies.
        subprocess.run((cyclonedx, *options, "--output-file", str(where / "python.cdx.json"), str(python)), check=True)


def _packages_of(libraries: Iterable[Path]) -> list[str]:
    """Debian packages that the libraries belong to; what was built here, such as libpython, belongs to none, of which dpkg-query makes a failure."""
    paths = sorted({str(path) for library in libraries for path in (library, library.resolve())})
    told = subprocess.run(("dpkg-query", "--search", *paths), check=False, capture_output=True, text=True).stdout
    return sorted({line.split(": ")[0] for line in told.splitlines() if not line.startswith("diversion ")})


def _inside(dest: Path, path: Path) -> Path:
    """Where an absolute path of this machine lies in the image; directories that are links there are links here too."""
    return dest / (path.parent.resolve() / path.name).relative_to("/")


if __name__ == "__main__":
    main()
