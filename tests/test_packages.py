"""What is installed is whole: the wheel, the one that the sdist makes, and the one that the image makes.

No index is asked: the wheel is installed alone, and finds its dependencies where the tests have them. What the image
runs is tests/cli/test_entrypoint.py, what the action installs and the hook runs is tests/cli/test_action.py.
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from reconciler.dockerignore import kept, read_ignore

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
ENVIRONMENT = os.environ | {"SOURCE_DATE_EPOCH": "1700000000", "PIP_NO_INDEX": "1"}
DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
BUILDS, RUNS = DOCKERFILE.split("\nFROM ")[-2:]
SPEC = "version: 1\nname: s\napps: {app: {image: i, tasks: {hello: {command: [echo, hello]}}}}\n"


def python(*words: str, cwd: Path, path: Path | None = None) -> str:
    environment = ENVIRONMENT | ({"PYTHONPATH": str(path)} if path else {})
    command = [sys.executable, "-P", *words]
    ended = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=100)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def built(source: Path, target: str, folder: Path) -> Path:
    python("-m", "hatchling", "build", "--target", target, "--directory", str(folder), cwd=source)
    (archive,) = folder.glob("*.whl" if target == "wheel" else "*.tar.gz")
    return archive


def content(wheel: Path) -> dict[str, int]:
    """The checksums of its files."""
    with zipfile.ZipFile(wheel) as archive:
        return {one.filename: one.CRC for one in archive.infolist()}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))


def test_the_wheel_has_every_file_of_the_package_and_the_schemas(wheel: Path) -> None:
    package = [path for path in ROOT.glob("reconciler/**/*") if path.is_file() and "__pycache__" not in path.parts]
    schemas = [ROOT / "reconciler" / path.relative_to(ROOT) for path in ROOT.glob("schemas/*")]
    meant = {str(path.relative_to(ROOT)) for path in (*package, *schemas)}
    assert "reconciler/py.typed" in meant
    assert {name for name in content(wheel) if ".dist-info/" not in name} == meant


def test_the_wheel_installed_alone_is_a_command_that_works(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    python("-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel), cwd=tmp_path)
    assert python("-c", "print(__import__('reconciler').__file__)", cwd=tmp_path, path=site).startswith(f"{site}/")
    (tmp_path / "machines.yaml").write_text(SPEC)
    command = str(site / "bin/reconciler")  # what the pre-commit hook runs too
    assert "machines.yaml is valid" in python(command, "validate", "machines.yaml", cwd=tmp_path, path=site)
    assert python(command, "schema", "spec", cwd=tmp_path, path=site) == (ROOT / "schemas/spec.schema.json").read_text()
    plugins = "from importlib.metadata import distributions as d; print([e.value for one in d(path=[%r]) for e in"
    plugins += " one.entry_points if e.group == 'pytest11'])"
    assert python("-c", plugins % str(site), cwd=tmp_path) == "['reconciler.testing']\n"


def test_the_sdist_makes_the_same_wheel_and_brings_the_tests(wheel: Path, tmp_path: Path) -> None:
    with tarfile.open(built(ROOT, "sdist", tmp_path)) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = (one for one in tmp_path.iterdir() if one.is_dir())
    assert content(built(source, "wheel", tmp_path / "again")) == content(wheel)
    wanted = {"tests/conftest.py", "docs/index.md", "examples/demo.py", ".github/workflows/checks.yml", "Makefile"}
    assert {name for name in wanted if not (source / name).exists()} == set()
    assert not list(source.glob("**/__pycache__"))


def test_the_image_makes_the_same_wheel_of_what_it_copies(wheel: Path, tmp_path: Path) -> None:
    """No base image is pulled here: the lines are read, and what they copy is copied past .dockerignore."""
    context, image = tmp_path / "context", tmp_path / "image"
    for path, name in kept(ROOT, read_ignore(ROOT / ".dockerignore")):
        if path.is_file():
            (context / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, context / name)
    for line in re.findall(r"^COPY (?!--)(.*)", BUILDS, re.MULTILINE):
        *names, target = line.split()
        for name in names:
            place = image / target / (name if target.endswith("/") else "")
            copy = shutil.copytree if (context / name).is_dir() else shutil.copy
            copy(context / name, place)
    assert content(built(image, "wheel", tmp_path / "dist")) == content(wheel)
    assert all((image / name).is_file() for name in re.findall(r" -r (\S+)", BUILDS))
    assert re.findall(r"^RUN pip install .* --no-deps --no-build-isolation \.$", BUILDS, re.MULTILINE)
    copied = re.findall(r"^COPY (?!--)(\S+) ", RUNS, re.MULTILINE)
    assert copied == ["docker/entrypoint.sh"]
    assert os.access(context / copied[0], os.X_OK)
