"""Of which processes /proc is asked, by the numbers that the kernel gives them."""

import os
from pathlib import Path

import pytest

from reconciler.engine.runtime import procfs
from reconciler.engine.runtime.procfs import Owned, is_narrow


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A /proc with processes 100, 200 and 300, all in session 200, on a host that has started 5000."""
    monkeypatch.setattr(procfs, "_PROC", tmp_path)
    for pid in (100, 200, 300):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "stat").write_text(f"{pid} (a b) S 1 200 200 " + "0 " * 20)
        (tmp_path / str(pid) / "environ").write_bytes(b"")
    (tmp_path / "stat").write_text("cpu 1 2\nprocesses 5000\nprocs_running 1\n")
    (tmp_path / "loadavg").write_text("0.00 0.00 0.00 1/100 300\n")
    return tmp_path


@pytest.mark.parametrize(
    ("eldest", "forks_before", "last", "found"),
    [
        (200, 4999, 300, {200, 300}),
        (250, 4990, 300, {300}),
        (200, 904, 300, {200, 300}),
        (200, 903, 300, {100, 200, 300}),  # a whole round may have been given out
        (200, None, 300, {100, 200, 300}),
        (200, 4999, 150, {100, 200, 300}),  # the kernel has begun anew
        (0, None, 300, {100, 200, 300}),
    ],
)
def test_only_processes_as_young_as_the_eldest_are_looked_at(
    proc: Path, eldest: int, forks_before: int | None, last: int, found: set[int]
) -> None:
    (proc / "loadavg").write_text(f"0.00 0.00 0.00 1/100 {last}\n")
    owned = Owned(frozenset({200}), Path("/nowhere"), eldest=eldest, forks_before=forks_before)
    assert procfs._pids_of(owned) == found
    assert is_narrow(owned) == (found != {100, 200, 300})


@pytest.mark.parametrize(
    ("pid", "forks_before", "last", "is_found"),
    [
        (9000, 4999, 300, False),  # given out in the round before
        (9000, 4999, 9000, True),
        (1225, 4999, 300, True),  # 1 start, and 1024 pids that were in use: the last one may be told late
        (1226, 4999, 300, False),
        (1226, 4998, 300, True),
        (9000, 903, 300, True),  # a whole round may have been given out
        (9000, 4999, 150, True),  # the kernel has begun anew
    ],
)
def test_processes_of_the_round_before_are_not_looked_at(
    proc: Path, pid: int, forks_before: int, last: int, is_found: bool
) -> None:
    (proc / "loadavg").write_text(f"0.00 0.00 0.00 1/100 {last}\n")
    (proc / "300").rename(proc / str(pid))
    owned = Owned(frozenset({200}), Path("/nowhere"), eldest=200, forks_before=forks_before)
    assert (pid in (procfs._pids_of(owned) or ())) == is_found


@pytest.mark.parametrize("missing", ["stat", "loadavg"])
def test_without_the_counts_all_are_looked_at(proc: Path, missing: str) -> None:
    (proc / missing).unlink()
    owned = Owned(frozenset({200}), Path("/nowhere"), eldest=200, forks_before=4999)
    assert procfs._pids_of(owned) == {100, 200, 300}


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="there is no /proc here")
def test_this_host_counts_what_it_starts() -> None:
    before = procfs.forks()
    pid = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(pid, 0)
    after = procfs.forks()
    assert before is not None
    assert after is not None
    assert after > before


@pytest.mark.parametrize(
    ("size", "end", "is_found"),
    [(4096, 0, True), (4096, 700, False), (0, 0, False)],
    ids=["begins a program", "has no variables", "is the kernel's"],
)
def test_the_mark_of_a_process_that_begins_a_program_is_waited_for(
    proc: Path, monkeypatch: pytest.MonkeyPatch, size: int, end: int, is_found: bool
) -> None:
    memory = f"{'0 ' * 16}{size} {'0 ' * 27}{end} 0"
    (proc / "300" / "stat").write_text(f"300 (a b) S 1 300 300 {memory}")

    def begin(_: float) -> None:
        (proc / "300" / "environ").write_bytes(b"A=1\0" + f"{procfs.MARK}=/run/1".encode())

    monkeypatch.setattr(f"{procfs.__name__}.time.sleep", begin)
    owned = Owned(frozenset(), Path("/run"))
    assert procfs._pids_of(owned) == ({300} if is_found else set())
