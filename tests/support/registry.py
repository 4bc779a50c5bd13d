"""Debian's docker-registry on loopback, and the few calls that put an image into it."""

import hashlib
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

PROGRAM = shutil.which("docker-registry")
_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIG = """
version: 0.1
storage: {{filesystem: {{rootdirectory: {root}}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""
_LOGIN = """
auth: {{htpasswd: {{realm: test, path: {path}}}}}
"""
USER, PASSWORD = "someone", "canary-password"
_HASH = "$2b$05$abcdefghijklmnopqrstuuTvmw3qcMpAvEgQGhbFMhqjD3R/evDDW"  # bcrypt of the password


class RealRegistry:
    """A running registry; `host` is its name in references."""

    def __init__(self, host: str) -> None:
        self.host = host
        self._http = httpx.Client(base_url=f"http://{host}", trust_env=False, timeout=30)

    def push(self, repository: str, tag: str, content: str, *, architecture: str = "amd64") -> str:
        """Puts an image with this content there; its digest."""
        layer = self._blob(repository, content.encode())
        config = self._blob(repository, json.dumps({"os": "linux", "architecture": architecture}).encode())
        manifest = {
            "schemaVersion": 2,
            "mediaType": _TYPE,
            "config": {"mediaType": "application/vnd.docker.container.image.v1+json", **config},
            "layers": [{"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", **layer}],
        }
        body = json.dumps(manifest).encode()
        reply = self._http.put(f"/v2/{repository}/manifests/{tag}", content=body, headers={"Content-Type": _TYPE})
        assert reply.status_code == 201, reply.text
        return f"sha256:{hashlib.sha256(body).hexdigest()}"

    def _blob(self, repository: str, content: bytes) -> dict[str, str | int]:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        begun = self._http.post(f"/v2/{repository}/blobs/uploads/")
        url = httpx.URL(begun.headers["location"]).copy_merge_params({"digest": digest})
        assert self._http.put(url, content=content).status_code == 201
        return {"digest": digest, "size": len(content)}

    def close(self) -> None:
        self._http.close()


@contextmanager
def real_registry(folder: Path, *, has_login: bool = False) -> Iterator[RealRegistry]:
    """The registry for the block, its files in the folder."""
    assert PROGRAM is not None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = folder / "registry.yml"
    text = _CONFIG.format(root=folder / "registry", port=port)
    if has_login:
        (folder / "htpasswd").write_text(f"{USER}:{_HASH}\n")
        text += _LOGIN.format(path=folder / "htpasswd")
    config.write_text(text)
    with (folder / "registry.log").open("wb") as log:
        process = subprocess.Popen([PROGRAM, "serve", str(config)], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    registry = RealRegistry(f"127.0.0.1:{port}")
    try:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and process.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
            except OSError:
                time.sleep(0.05)
        yield registry
    finally:
        registry.close()
        process.terminate()
        process.wait(timeout=20)
