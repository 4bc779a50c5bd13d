"""The locked requirements do for pyproject.toml, each with its hashes. Whether they are the newest is not asked."""

import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
GROUPS = PROJECT["dependency-groups"]


def grouped(name: str) -> Iterator[str]:
    for one in GROUPS[name]:
        if isinstance(one, str):
            yield one
        else:
            yield from grouped(one["include-group"])


DECLARED = {
    "run": PROJECT["project"]["dependencies"],
    "build": [*PROJECT["build-system"]["requires"], *grouped("build")],
    "coverage": [*grouped("coverage")],
    "docs": [*grouped("docs")],
    "examples": [*PROJECT["project"]["dependencies"], *grouped("examples")],
    "dev": [*PROJECT["project"]["dependencies"], *grouped("dev")],
}


def locked(name: str) -> dict[str, Requirement]:
    """By name, what the file pins."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text().replace("\\\n", " ")
    found = [Requirement(line.partition(" --hash")[0]) for line in text.splitlines() if line.strip()]
    return {canonicalize_name(one.name): one for one in found}


@pytest.mark.parametrize("name", DECLARED)
def test_what_is_declared_is_locked_in_a_version_that_does(name: str) -> None:
    pins = locked(name)
    for text in DECLARED[name]:
        wanted = Requirement(text)
        [pin] = pins[canonicalize_name(wanted.name)].specifier
        assert pin.operator == "=="
        assert wanted.specifier.contains(pin.version, prereleases=True), f"{text}: `make lock` renews the lock"


@pytest.mark.parametrize("name", DECLARED)
def test_each_line_has_hashes_and_names_no_place_to_fetch_from(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text().replace("\\\n", " ")
    for line in text.splitlines():
        assert re.fullmatch(r"[a-z0-9._-]+==\S+( ; [^@]+?)?(\s+--hash=sha256:[0-9a-f]{64})+", line.rstrip()), line
    assert "://" not in text


def test_the_files_agree() -> None:
    every = locked("dev")
    for name in ("run", "build", "coverage", "docs", "examples"):
        for key, pin in locked(name).items():
            assert key in every or name in {"coverage", "docs", "examples"}
            assert pin.specifier == every.get(key, pin).specifier


def test_the_demo_installs_what_the_command_needs_and_nothing_after_an_install(tmp_path: Path) -> None:
    def installed(target: str) -> list[str]:
        command = ["make", "--dry-run", target, f"VENV={tmp_path}"]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=30)
        return re.findall(r" -r requirements/(\w+)\.txt", ended.stdout)

    assert installed("demo") == ["run", "build"]
    assert installed("install") == ["dev"]
    assert installed("examples") == ["examples"]
    for name in (".runnable", ".installed"):  # what `make install` leaves
        (tmp_path / name).touch()
    assert (installed("demo"), installed("install")) == ([], [])
