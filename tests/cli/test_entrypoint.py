"""The image's entrypoint: reconciler runs as the owner of the directory that is mounted, and writes there as such."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENTRYPOINT = ROOT / "docker/entrypoint.sh"
OWNER = 12_345

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root, and setpriv"),
]


@pytest.fixture
def workspace() -> Iterator[Path]:
    """A directory in which anyone may look, with a stand-in for reconciler that says who it runs as."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        stand_in = root / "bin/reconciler"
        stand_in.parent.mkdir()
        stand_in.write_text('#!/bin/sh\necho "$(id -u) $(id -g) $(id -G) $*" > plan.json\n')
        (root / "work").mkdir()
        for one in (root, stand_in.parent, stand_in, root / "work"):
            one.chmod(0o755)
        yield root / "work"


def written(workspace: Path, *words: str) -> tuple[list[str], int]:
    """What the stand-in wrote there, and to whom the file belongs."""
    environment = {"PATH": f"{workspace.parent / 'bin'}:{os.environ['PATH']}"}
    line = [str(ENTRYPOINT), *words]
    subprocess.run(["sh", *line], cwd=workspace, env=environment, check=True, timeout=30)
    plan = workspace / "plan.json"
    return plan.read_text().split(), plan.stat().st_uid


def test_a_mounted_checkout_gets_files_of_its_owner(workspace: Path) -> None:
    os.chown(workspace, OWNER, OWNER + 1)
    told = [str(OWNER), str(OWNER + 1), str(OWNER + 1), "plan", "--out", "plan", "json"]
    assert written(workspace, "plan", "--out", "plan json") == (told, OWNER)


def test_a_checkout_of_root_is_roots(workspace: Path) -> None:
    assert written(workspace, "plan")[1] == 0


def test_another_user_stays_that_user(workspace: Path) -> None:
    os.chown(workspace, OWNER, OWNER)
    shutil.copy(ENTRYPOINT, workspace / "entrypoint.sh")
    environment = {"PATH": f"{workspace.parent / 'bin'}:{os.environ['PATH']}"}
    line = ["sh", str(workspace / "entrypoint.sh"), "plan"]
    subprocess.run(line, cwd=workspace, env=environment, check=True, timeout=30, user=OWNER)
    assert (workspace / "plan.json").stat().st_uid == OWNER


def test_the_image_has_git_and_begins_there() -> None:
    text = (ROOT / "Dockerfile").read_text()
    last = text.rpartition("FROM ")[2]
    assert " git " in last
    assert 'ENTRYPOINT ["entrypoint"]' in last
    assert "COPY docker/entrypoint.sh /usr/local/bin/entrypoint" in last
    assert os.access(ENTRYPOINT, os.X_OK)
    assert "!docker\n" in (ROOT / ".dockerignore").read_text()
