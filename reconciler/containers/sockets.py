"""Find container engines: by DOCKER_HOST, else at the usual sockets."""

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from reconciler.containers.errors import ContainerError

_HINT = "write it like unix:///var/run/docker.sock, or tcp://127.0.0.1:2375"


def addresses(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the addresses to try, as unix:// or http:// URLs, the likeliest first.

    Raises ContainerError for an invalid one in the environment.
    """
    for name in ("DOCKER_HOST", "CONTAINER_HOST"):
        if named := environment.get(name, "").strip():
            return (_usable(name, named),)
    return tuple(f"unix://{path}" for path in _usual(environment) if _is_socket(path))


def _usable(name: str, address: str) -> str:
    scheme, _, rest = address.partition("://")
    if scheme == "unix" and rest.startswith("/"):
        return address
    if scheme in {"tcp", "http"} and rest:
        return f"http://{rest.rstrip('/')}"
    raise ContainerError(f"{name} is {address!r}, and only unix:// and tcp:// are understood: {_HINT}")


def _usual(environment: Mapping[str, str]) -> Iterator[Path]:
    home = Path(environment.get("HOME") or "~").expanduser()
    runtime = Path(environment.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}")
    yield from (Path("/var/run/docker.sock"), runtime / "docker.sock")
    yield from (home / ".docker/run/docker.sock", home / ".docker/desktop/docker.sock")
    yield from (home / ".orbstack/run/docker.sock", home / ".colima/default/docker.sock", home / ".rd/docker.sock")
    yield from (runtime / "podman/podman.sock", Path("/run/podman/podman.sock"))
    yield home / ".local/share/containers/podman/machine/podman.sock"


def _is_socket(path: Path) -> bool:
    try:
        return stat.S_ISSOCK(path.stat().st_mode)
    except OSError:
        return False
