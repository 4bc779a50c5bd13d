"""Where credentials come from: Docker's and Podman's files, helpers, the Fly token; and what is odd in them."""

import base64
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from reconciler.errors import RegistryError
from reconciler.images.credentials import Credentials, find_credentials
from reconciler.model.secret import Secret


def auth(user: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def write(home: Path, config: Any, name: str = ".docker/config.json") -> dict[str, str]:
    path = home / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(config if isinstance(config, str) else json.dumps(config))
    return {"HOME": str(home)}


def found(environment: dict[str, str], registry: str, name: str = "app", **options: Any) -> tuple[str, str] | None:
    credentials = find_credentials(registry, name, environment, **options)
    return (credentials.user, credentials.password.reveal()) if credentials else None


@pytest.mark.parametrize(
    ("key", "registry"),
    [
        ("registry.example", "registry.example"),
        ("https://registry.example", "registry.example"),
        ("https://registry.example/v2/", "registry.example"),
        ("127.0.0.1:5000", "127.0.0.1:5000"),
        ("https://index.docker.io/v1/", "docker.io"),
        ("docker.io", "docker.io"),
    ],
)
def test_docker_keeps_a_registry_under_one_of_several_names(tmp_path: Path, key: str, registry: str) -> None:
    environment = write(tmp_path, {"auths": {key: auth("me", "p:w"), "other.example": auth("you", "x")}})
    assert found(environment, registry) == ("me", "p:w")
    assert found(environment, "third.example") is None


def test_other_places_and_forms(tmp_path: Path) -> None:
    environment = write(tmp_path, {"auths": {"r.example": {"identitytoken": "t"}}}, "elsewhere/config.json")
    assert found(environment | {"DOCKER_CONFIG": str(tmp_path / "elsewhere")}, "r.example") == ("", "t")
    podman = write(
        tmp_path, {"auths": {"r.example/team": auth("t", "1"), "r.example": auth("r", "2")}}, "p/containers/auth.json"
    )
    podman |= {"XDG_RUNTIME_DIR": str(tmp_path / "p")}
    assert found(podman, "r.example", "team/app") == ("t", "1")
    assert found(podman, "r.example", "teams/app") == ("r", "2")
    assert found({"REGISTRY_AUTH_FILE": str(tmp_path / "p/containers/auth.json"), "HOME": "/nowhere"}, "r.example")


@pytest.mark.parametrize(
    "config",
    ["", "[]", "{", '{"auths": []}', '{"auths": {"r.example": {"auth": "%%"}}}', '{"auths": {"r.example": 1}}'],
)
def test_a_file_that_makes_no_sense_is_no_credential(tmp_path: Path, config: str) -> None:
    assert found(write(tmp_path, config), "r.example") is None


def test_flys_registry_takes_the_fly_token_and_no_other_host_does(tmp_path: Path) -> None:
    environment, token = write(tmp_path, {}), Secret("fm2_x")
    assert found(environment, "registry.fly.io", fly_token=token) == ("x", "fm2_x")
    assert found(environment, "registry.fly.io.evil.example", fly_token=token) is None
    assert found(environment, "docker.io", fly_token=token) is None
    assert found(environment | {"FLY_REGISTRY_HOST": "r.example"}, "r.example", fly_token=token) == ("x", "fm2_x")
    assert found(environment | {"FLY_REGISTRY_HOST": "r.example"}, "registry.fly.io", fly_token=token) is None


def helper(folder: Path, name: str, script: str) -> None:
    path = folder / f"docker-credential-{name}"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_a_credential_helper_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    helper(tmp_path, "good", 'read server; echo "{\\"Username\\": \\"$server\\", \\"Secret\\": \\"s\\"}"')
    helper(tmp_path, "token", 'echo "{\\"Username\\": \\"<token>\\", \\"Secret\\": \\"s\\"}"')
    helper(tmp_path, "none", "echo credentials not found; exit 1")
    helper(tmp_path, "odd", "echo what")
    asked = {"credHelpers": {"a.example": "good", "b.example": "token", "c.example": "none", "d.example": "odd"}}
    environment = write(tmp_path, asked)
    assert found(environment, "a.example") == ("a.example", "s")
    assert found(environment, "b.example") == ("", "s")
    assert found(environment, "c.example") is None
    assert found(environment, "d.example") is None
    assert found(write(tmp_path, {"credsStore": "good"}), "docker.io") == ("https://index.docker.io/v1/", "s")
    assert found(write(tmp_path, {"credHelpers": {"a.example": "../../bin/sh"}}), "a.example") is None
    with pytest.raises(RegistryError, match="docker-credential-missing cannot be run"):
        found(write(tmp_path, {"credHelpers": {"a.example": "missing"}}), "a.example")


def test_credentials_do_not_show_themselves() -> None:
    assert "canary" not in repr(Credentials(user="me", password=Secret("canary")))
