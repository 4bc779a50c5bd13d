"""The engine's files: private, with a version, and explained where they are unusable."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from reconciler.cli.main import run
from reconciler.engine.errors import EngineStartError
from reconciler.engine.server.daemon import read_token, start_engine, stop_engine
from reconciler.engine.store.database import VERSION, open_database
from tests.support.environment import clear_environment

pytestmark = pytest.mark.slow

SPEC = "version: 1\nname: s\napps: {app: {image: i, tasks: {work: {command: [sh, -c, 'echo x > made; echo said']}}}}\n"
COMMAND = (sys.executable, "-m", "reconciler.cli")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    clear_environment(monkeypatch)
    home = tmp_path / "state" / "home"
    monkeypatch.setenv("RECONCILER_HOME", str(home))
    monkeypatch.setenv("RECONCILER_TARGET", "local")
    (tmp_path / "machines.yaml").write_text(SPEC)
    yield home
    stop_engine(home)


def command(directory: Path, *arguments: str, umask: int = 0o022) -> subprocess.CompletedProcess[str]:
    words = [*COMMAND, *arguments]
    return subprocess.run(words, cwd=directory, umask=umask, capture_output=True, text=True, timeout=120, check=False)


def others_may(*places: Path) -> list[str]:
    """What below the places, themselves included, others than its owner may read, write or enter."""
    found = [path for place in places for path in (place, *place.rglob("*")) if not path.is_symlink()]
    assert len(found) > 5
    return [f"{path} {path.stat().st_mode & 0o777:o}" for path in found if path.stat().st_mode & 0o077]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_its_files_are_its_owners_alone_whatever_the_umask(home: Path, tmp_path: Path, umask: int) -> None:
    assert command(tmp_path, "apply", "--yes", umask=umask).returncode == 0
    assert command(tmp_path, "invoke", "work", umask=umask).returncode == 0
    headers = {"Authorization": f"Bearer {read_token(home)}"}
    url = f"{start_engine(home).url}/v1/apps/app/volumes"
    assert httpx.post(url, headers=headers, json={"name": "data", "region": "iad"}, trust_env=False).is_success
    assert others_may(home.parent) == []
    assert [path.name for path in home.rglob("made")] == ["made"]


def test_files_of_an_earlier_version_are_made_its_owners_alone(home: Path) -> None:
    start_engine(home)
    stop_engine(home)
    for path in (home / "engine.db", home / "engine.log", home / "engine.lock", home / "machines"):
        path.chmod(0o755)
    start_engine(home)
    assert others_may(home) == []


def damage(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def done(home: Path) -> None:
        make(home / "engine.db")

    return done


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def overwrite_a_page(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.seek(4096)
        opened.write(b"\xff" * 4096 * 3)


def spoil_a_record(file: Path) -> None:
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("UPDATE machines SET value = '[]'")


def put_another_in_its_place(file: Path) -> None:
    file.unlink()
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("CREATE TABLE apps (id TEXT)")
        database.execute("INSERT INTO apps VALUES ('x')")


def raise_version(file: Path) -> None:
    with closing(sqlite3.connect(file)) as database, database:
        database.execute(f"PRAGMA user_version={VERSION + 1}")


def put_a_directory_there(file: Path) -> None:
    file.unlink()
    file.mkdir()


CASES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "garbage": (lambda file: file.write_bytes(b"not a database\n" * 3000), "is damaged", "mv"),
    "cut": (cut, "is damaged", "mv"),
    "empty": (lambda file: file.write_bytes(b""), "is damaged: it is empty", "mv"),
    "page": (overwrite_a_page, "is damaged", "mv"),
    "record": (spoil_a_record, "is damaged", "mv"),
    "another": (put_another_in_its_place, "is damaged", "mv"),
    "newer": (raise_version, "was written by a newer version", "upgrade machines-reconciler"),
    "directory": (put_a_directory_there, "cannot write", "RECONCILER_HOME"),
}


@pytest.mark.parametrize("name", ["engine.lock", "engine.log", "token"])
def test_a_file_that_is_a_directory_is_one_error_at_once(home: Path, name: str) -> None:
    (home / name).mkdir(parents=True)
    with pytest.raises(EngineStartError, match=r"cannot use .*: Is a directory"):
        start_engine(home)


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that an engine has ended in."""
    home = tmp_path_factory.mktemp("used") / "home"
    start_engine(home)
    headers = {"Authorization": f"Bearer {read_token(home)}"}
    with httpx.Client(base_url=f"{start_engine(home).url}/v1", headers=headers, trust_env=False) as http:
        http.post("/apps", json={"name": "app", "org_slug": "personal"})
        http.post("/apps/app/machines", json={"name": "m", "config": {"image": "i"}, "skip_launch": True})
    stop_engine(home)
    return home


@pytest.mark.parametrize("case", CASES)
def test_a_database_that_cannot_be_used_is_one_error_with_a_remedy(
    home: Path, tmp_path: Path, used: Path, case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil, words, remedy = CASES[case]
    shutil.copytree(used, home)
    spoil(home / "engine.db")
    before = b"" if case == "directory" else (home / "engine.db").read_bytes()
    for arguments in (
        ["engine", "start"],
        ["engine", "run"],
        ["plan", "-C", str(tmp_path)],
        ["runs", "-C", str(tmp_path)],
    ):
        assert run(arguments) == 1
        said = capsys.readouterr().err
        assert "the local engine does not start: " in said
        assert words in said
        assert remedy in said
        assert str(home / "engine.db") in said
        assert "Traceback" not in said
        assert len(said.splitlines()) == 2, said
    if case not in {"record", "directory"}:
        assert (home / "engine.db").read_bytes() == before, "nothing is written over it"


def test_the_remedy_for_a_damaged_database_works(tmp_path: Path, used: Path) -> None:
    home = tmp_path / "a home; of mine"
    shutil.copytree(used, home)
    cut(home / "engine.db")
    with pytest.raises(EngineStartError) as caught:
        start_engine(home)
    assert caught.value.remedy
    subprocess.run(["sh", "-c", caught.value.remedy.split("`")[1]], check=True)
    assert start_engine(home).running
    stop_engine(home)
    assert (home / "damaged" / "engine.db").exists()


def test_what_was_beside_a_database_that_is_gone_is_not_read_into_the_new_one(home: Path, used: Path) -> None:
    """A write-ahead log is whole in itself: SQLite would take what is in it for what is to be written."""
    shutil.copytree(used, home)
    with closing(sqlite3.connect(home / "engine.db")) as database:
        database.execute("UPDATE machines SET app = 'other'")
        database.commit()
        shutil.copy(home / "engine.db-wal", home / "kept")
    (home / "engine.db").unlink()
    shutil.move(home / "kept", home / "engine.db-wal")
    with closing(open_database(home / "engine.db")) as database:
        assert database.execute("SELECT app FROM machines").fetchall() == []


def test_a_database_that_is_in_use_elsewhere_says_so(tmp_path: Path) -> None:
    file = tmp_path / "engine.db"
    open_database(file).close()
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(EngineStartError, match=r"cannot use .*locked") as caught:
            open_database(file)
    assert caught.value.remedy == "end the process that has it open"


DISKS = {
    "read-only": ("mount --bind $0 $0 && mount -o remount,ro,bind $0", "Read-only file system"),
    "full": ("mount -t tmpfs -o size=8k tmpfs $0 && head -c 8192 /dev/zero > $0/full", "No space left on device"),
    "nearly full": ("mount -t tmpfs -o size=24k,nr_inodes=100 tmpfs $0", "disk"),
}
NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount") if os.geteuid() else ("unshare", "--mount")


def can_mount() -> bool:
    words = [*NAMESPACE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return bool(shutil.which("unshare")) and subprocess.run(words, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not can_mount(), reason="no mounts are to be had here")
@pytest.mark.parametrize("disk", DISKS)
def test_a_disk_that_takes_nothing_is_one_error_with_a_remedy(home: Path, tmp_path: Path, disk: str) -> None:
    home.mkdir(parents=True)
    mount, words = DISKS[disk]
    for verb in ("engine start", "plan"):
        script = f"{mount} && exec {' '.join(COMMAND)} {verb}"
        ended = subprocess.run(
            [*NAMESPACE, "sh", "-c", script, str(home)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode == 1
        assert "the local engine does not start: cannot" in ended.stderr
        assert words in ended.stderr
        assert "RECONCILER_HOME" in ended.stderr
        assert len(ended.stderr.splitlines()) == 2, ended.stderr


def test_an_engine_that_does_not_end_is_one_error_with_a_remedy_that_works(home: Path) -> None:
    pid = start_engine(home).pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(EngineStartError, match="did not end within") as caught:
        stop_engine(home, timeout_s=0)
    assert caught.value.remedy
    assert f"`kill -9 {pid}`" in caught.value.remedy
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)  # the lock on its home is free by then
    assert start_engine(home).pid != pid
