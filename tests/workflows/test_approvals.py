"""Which merges' plans count as approved, by the commit that was applied last."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
AUTHOR, KEY = "github-actions[bot]", "machines.yaml"


def sha(number: int) -> str:
    return f"{number:040x}"


def text(number: int) -> str:
    return f"sha256:{number:064x}+{number:016x}"


class Fake:
    """A branch of so many commits, each the merge of the pull request of its number."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.pulls = {
            number: {
                "number": number,
                "merged_at": "2026-01-01T00:00:00Z",
                "merge_commit_sha": sha(number),
                "head": {"sha": sha(1000 + number)},
                "base": {"ref": "main"},
            }
            for number in range(1, length + 1)
        }
        self.bodies = {
            number: f"<!-- machines-reconciler {KEY} -->\n<!-- plan {text(number)} of commit {sha(1000 + number)} -->"
            for number in self.pulls
        }
        self.login = AUTHOR

    def history(self, commit: str) -> list[dict[str, Any]]:
        newest = int(commit, 16)
        return [
            {
                "sha": sha(number),
                "parents": [{"sha": sha(number - 1)}, {"sha": sha(1000 + number)}] if number > 1 else [],
            }
            for number in range(newest, max(newest - 100, 0), -1)
        ]

    def pulls_of(self, commit: str) -> list[dict[str, Any]]:
        return [pull for number, pull in self.pulls.items() if sha(number) == commit]

    def comments(self, number: int) -> list[dict[str, Any]]:
        return [{"body": self.bodies[number], "user": {"login": self.login}}] if number in self.bodies else []


@pytest.fixture
def approvals(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module of the action, which imports its neighbours by their bare names."""
    monkeypatch.syspath_prepend(str(ROOT / "action"))
    yield importlib.import_module("approvals")
    for name in ("approvals", "comment", "github"):
        sys.modules.pop(name, None)


def found(module: ModuleType, fake: Fake, applied: str = "") -> Any:
    return module.approved(fake, key=KEY, author=AUTHOR, branch="main", commit=sha(fake.length), applied=applied)


@pytest.mark.parametrize(
    ("applied", "counted"),
    [
        (sha(5)[:12] + "x", [5]),  # of no commit of the branch
        (sha(5), [5]),  # its own apply may have been cut off
        (sha(4), [5]),
        (sha(2), [5, 4, 3]),
        ("", [5, 4, 3, 2, 1]),
    ],
)
def test_the_merges_since_the_applied_commit_count(approvals: ModuleType, applied: str, counted: list[int]) -> None:
    assert found(approvals, Fake(5), applied).lines == [text(number) for number in counted]


def test_no_more_than_the_newest_are_asked_for(approvals: ModuleType) -> None:
    fake = Fake(200)
    assert len(found(approvals, fake, sha(1)).lines) == approvals.MAX_COMMITS
    assert len(found(approvals, fake).lines) == approvals.MAX_COMMITS


def test_what_approves_nothing_is_told(approvals: ModuleType) -> None:
    fake = Fake(4)
    fake.pulls[4]["base"] = {"ref": "other"}
    fake.bodies[3] = fake.bodies[3].replace(sha(1003), sha(7))
    fake.bodies[2] = f"<!-- machines-reconciler {KEY} -->\nfailed"
    del fake.bodies[1]
    result = found(approvals, fake)
    assert result.lines == ["none"]
    assert [note.partition(": ")[2] for note in result.notes] == [
        f"its last plan is of an older commit, {sha(7)[:12]}",
        "its last plan failed",
        f"it has no plan of {KEY} by {AUTHOR}",
    ]
    stranger = Fake(2)
    stranger.login = "mallory"
    assert found(approvals, stranger).lines == ["none"]


def test_sets_say_what_may_be_destroyed_and_hashes_do_not(approvals: ModuleType) -> None:
    fake = Fake(2)
    assert found(approvals, fake).allowance == ""
    for number in fake.bodies:
        bare = fake.bodies[number].replace(f"+{number:016x}", "")
        fake.bodies[number] = bare.removesuffix(" -->") + f" allow-destroy {number + 8} -->"
    assert found(approvals, fake).allowance == "10"
