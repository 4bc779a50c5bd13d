"""Podman's service with storage of its own, and the image of one static program, as no image can be pulled."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.registry import PROGRAM as REGISTRY

_PROGRAMS = ("podman", "runc", "buildah", "busybox")
NEEDS_PODMAN = pytest.mark.skipif(
    any(shutil.which(program) is None for program in _PROGRAMS) or os.geteuid() != 0,
    reason=f"not all of {', '.join(_PROGRAMS)} here, or not root",
)
NEEDS_A_REGISTRY_TOO = pytest.mark.skipif(REGISTRY is None, reason="no docker-registry here")
_STORAGE = '[storage]\ndriver = "vfs"\ngraphroot = "{folder}/graph"\nrunroot = "{folder}/run"\n'
_CONTAINERS = """
[engine]
runtime = "runc"
events_logger = "none"
lock_type = "file"
tmp_dir = "{folder}/tmp"
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
"""


@dataclass(frozen=True)
class Podman:
    """A service that runs: the variables that lead programs to it."""

    socket: Path
    environment: dict[str, str]

    def build(self, context: Path, name: str) -> None:
        """Makes an image of the directory under this name."""
        self("buildah", "build", "--tag", name, str(context))

    def __call__(self, *words: str) -> str:
        ended = subprocess.run([*words], env=os.environ | self.environment, capture_output=True, text=True, timeout=60)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout


@contextmanager
def podman_service(folder: Path) -> Iterator[Podman]:
    """The service for the block, its files in the folder."""
    storage, containers, path = folder / "storage.conf", folder / "containers.conf", folder / "podman.sock"
    storage.write_text(_STORAGE.format(folder=folder))
    containers.write_text(_CONTAINERS.format(folder=folder))
    environment = {
        "CONTAINERS_STORAGE_CONF": str(storage),
        "CONTAINERS_CONF": str(containers),
        "BUILDAH_ISOLATION": "chroot",
        "DOCKER_HOST": f"unix://{path}",
        "RECONCILER_CONTAINER_NETWORK": "host",
    }
    words = ["podman", "system", "service", "--time", "0", f"unix://{path}"]
    with (folder / "podman.log").open("wb") as log:
        process = subprocess.Popen(
            words,
            cwd=folder,  # conmon leaves a file `oom` where it runs
            env=os.environ | environment,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    podman = Podman(path, environment)
    try:
        _await_socket(path, process)
        yield podman
        podman("podman", "rm", "--all", "--force", "--time", "0")
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=20)


def busybox_context(folder: Path, script: str = "echo the image says $GREETING; exit 5") -> Path:
    """A directory to build an image of: busybox, a greeting, and a script that is the image's own command."""
    folder.mkdir(exist_ok=True)
    (folder / "bin").mkdir(exist_ok=True)
    shutil.copy(str(shutil.which("busybox")), folder / "bin/busybox")
    for name in ("sh", "sleep", "cat", "tr", "head", "httpd", "touch", "ls"):
        (folder / "bin" / name).unlink(missing_ok=True)
        (folder / "bin" / name).symlink_to("busybox")
    (folder / "own.sh").write_text(script)
    dockerfile = [
        "FROM scratch",
        "ENV PATH=/bin GREETING=hello",
        "COPY bin /bin",
        "COPY own.sh /own.sh",
        'CMD ["/bin/sh", "/own.sh"]',
    ]
    (folder / "Dockerfile").write_text("\n".join(dockerfile) + "\n")
    return folder


def _await_socket(path: Path, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(path))
                return
            except OSError:
                time.sleep(0.02)
    raise AssertionError("podman's service does not answer")
