"""The builder's process: what it is called with, what of it is shown, and that it ends with us."""

import asyncio
import json
import os
import time
from pathlib import Path

import pytest

from reconciler.errors import BuildError
from reconciler.images.builder import Builder, find_builder
from reconciler.images.credentials import Credentials
from reconciler.model.image import parse_image
from reconciler.model.secret import Secret
from reconciler.model.spec import Build


def builder(folder: Path, script: str, name: str = "podman") -> tuple[Builder, list[str]]:
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    said: list[str] = []
    return Builder(name=name, program=str(program), say=said.append), said


def test_args_go_by_the_environment_and_lines_are_passed_on(tmp_path: Path) -> None:
    made, said = builder(tmp_path, 'echo "$@"; echo "A=$A" | tr a-z A-Z; echo; printf "no end"')
    build = Build(context=".", target="final", args={"A": "canary", "B": "2"})
    asyncio.run(made.build(build, "r.example/a:1", context=tmp_path, dockerfile=tmp_path / "Dockerfile"))
    assert said[0] == (
        f"build --platform linux/amd64 --tag r.example/a:1 --file {tmp_path}/Dockerfile --layers=false --target final"
        f" --build-arg A --build-arg B {tmp_path}"
    )
    assert said[1:] == ["A=CANARY", "no end"]


def test_a_failed_build_shows_its_last_lines(tmp_path: Path) -> None:
    made, _ = builder(tmp_path, 'for n in $(seq 100); do echo "line $n"; done; echo boom >&2; exit 7')
    with pytest.raises(BuildError, match="the build by podman ended with 7") as caught:
        asyncio.run(made.build(Build(), "a:1", context=tmp_path, dockerfile=tmp_path / "Dockerfile"))
    assert caught.value.lines.splitlines()[-1].strip() == "boom"
    assert len(caught.value.lines.splitlines()) == 20


@pytest.mark.parametrize(
    ("name", "registry"), [("docker", "r.example"), ("podman", "r.example"), ("buildah", "127.0.0.1:5000")]
)
def test_the_registrys_password_is_in_a_file_of_ours_and_in_no_command_line(
    tmp_path: Path, name: str, registry: str
) -> None:
    script = """
echo "$@"
for file in "$DOCKER_CONFIG/config.json" "$3"; do [ -f "$file" ] && stat -c %a "$file" && cat "$file"; done
true
"""
    made, said = builder(tmp_path, script, name)
    image = parse_image(f"{registry}/app:1")
    asyncio.run(made.push(image, Credentials(user="x", password=Secret("canary"))))
    assert "canary" not in said[0]
    assert said[1] == "600"
    assert list(json.loads(said[2])["auths"]) == [registry]
    assert ("--tls-verify=false" in said[0]) is (registry != "r.example")
    path = said[0].split("--authfile ")[1].split()[0] if name != "docker" else None
    assert path is None or not Path(path).exists()


def test_it_is_ended_when_we_are(tmp_path: Path) -> None:
    said: list[str] = []
    begun = asyncio.Event()
    program = builder(tmp_path, "echo $$; exec sleep 1000")[0].program

    def take(line: str) -> None:
        said.append(line)
        begun.set()

    made = Builder(name="podman", program=program, say=take)

    async def scenario() -> None:
        building = asyncio.create_task(made.build(Build(), "a:1", context=tmp_path, dockerfile=tmp_path / "Dockerfile"))
        await begun.wait()
        building.cancel()
        with pytest.raises(asyncio.CancelledError):
            await building

    began = time.monotonic()
    asyncio.run(scenario())
    assert time.monotonic() - began < 20
    with pytest.raises(ProcessLookupError):
        os.kill(int(said[0]), 0)


def test_a_docker_without_an_engine_is_passed_over_unless_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}")
    builder(tmp_path, "exit 1", "docker")
    builder(tmp_path, "exit 0", "podman")
    assert find_builder(None, lambda _line: None).name == "podman"
    assert find_builder("docker", lambda _line: None).name == "docker"
    builder(tmp_path, "exit 0", "docker")
    assert find_builder(None, lambda _line: None).name == "docker"


def test_what_builds_is_found_or_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BuildError, match="there is no builder here"):
        find_builder(None, lambda _line: None)
    builder(tmp_path, "true", "buildah")
    assert find_builder(None, lambda _line: None).name == "buildah"
    with pytest.raises(BuildError, match="there is no docker here"):
        find_builder("docker", lambda _line: None)
