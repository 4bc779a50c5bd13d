"""A repository on GitHub: a git repository on disk, its pull requests, and the events that they make."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NAME = "owner/repo"
BOT = "github-actions[bot]"
_STEP_S = 60  # between two commits: those of one second have no order


@dataclass
class Pull:
    """A pull request."""

    number: int
    branch: str
    is_fork: bool = False
    base: str = ""
    head: str = ""
    state: str = "open"
    merge_commit: str | None = None
    labels: list[str] = field(default_factory=list)
    comments: list[dict[str, Any]] = field(default_factory=list)

    @property
    def json(self) -> dict[str, Any]:
        """It as the API and events spell it."""
        return {
            "number": self.number,
            "state": self.state,
            "head": {
                "sha": self.head,
                "ref": self.branch,
                "repo": {"full_name": "stranger/repo" if self.is_fork else NAME, "fork": self.is_fork},
            },
            "base": {"ref": "main", "repo": {"full_name": NAME}},
            "labels": [{"name": name} for name in self.labels],
            "merged_at": "2026-01-01T00:00:00Z" if self.merge_commit else None,
            "merge_commit_sha": self.merge_commit,
        }


@dataclass(frozen=True)
class Event:
    """What starts workflows. `sha` is the commit that is checked out."""

    name: str
    sha: str
    ref: str = "refs/heads/main"
    pull: Pull | None = None
    payload: Mapping[str, Any] = field(default_factory=dict)


class Repository:
    """The repository. Its branch is `main`; each commit is made a minute after the one before."""

    def __init__(self, directory: Path, files: Mapping[str, str]) -> None:
        self.directory = directory
        self.pulls: dict[int, Pull] = {}
        self._time_s = 1_790_000_000
        directory.mkdir()
        self.git("init", "-q", "-b", "main")
        for setting in ("uploadpack.allowAnySHA1InWant", "uploadpack.allowReachableSHA1InWant"):
            self.git("config", setting, "true")
        self.commit("main", files)

    @property
    def main(self) -> str:
        return self.git("rev-parse", "main")

    def git(self, *words: str) -> str:
        self._time_s += _STEP_S if words[0] in {"commit", "merge", "revert"} else 0
        date = f"{self._time_s} +0000"
        who = {"NAME": "t", "EMAIL": "t@example.org", "DATE": date}
        variables = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in who.items()}
        environment = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1", **variables}
        ended = subprocess.run(
            ["git", *words], cwd=self.directory, env=environment, capture_output=True, text=True, timeout=30
        )
        assert ended.returncode == 0, (words, ended.stderr)
        return ended.stdout.strip()

    def commit(self, branch: str, files: Mapping[str, str]) -> str:
        """Change files on a branch."""
        if self.git("branch", "--list", branch):
            self.git("checkout", "-q", branch)
        for path, text in files.items():
            (self.directory / path).write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", f"change {branch}")
        return self.git("rev-parse", "HEAD")

    def push(self, files: Mapping[str, str]) -> Event:
        """Change files on main without a pull request."""
        return Event("push", self.commit("main", files))

    def open(self, files: Mapping[str, str], *, is_fork: bool = False) -> Pull:
        number = len(self.pulls) + 1
        pull = Pull(number, f"pull-{number}", is_fork, base=self.main)
        self.pulls[number] = pull
        self.git("checkout", "-q", "-b", pull.branch, "main")
        self.update(pull, files)
        return pull

    def update(self, pull: Pull, files: Mapping[str, str]) -> None:
        pull.head = self.commit(pull.branch, files)

    def merge(self, pull: Pull, *, squash: bool = False) -> Event:
        self.git("checkout", "-q", "main")
        if squash:
            self.git("merge", "-q", "--squash", pull.head)
            self.git("commit", "-q", "--allow-empty", "-m", f"squash {pull.number}")
        else:
            self.git("merge", "-q", "--no-ff", pull.head, "-m", f"merge {pull.number}")
        pull.merge_commit, pull.state = self.main, "closed"
        return Event("push", self.main)

    def event(self, pull: Pull, action: str) -> Event:
        """The event `pull_request`: its commit is a merge with main that nobody has made yet."""
        self.git("checkout", "-q", "--detach", "main")
        self.git("merge", "-q", "--no-ff", pull.head, "-m", "test merge")
        payload = {"action": action, "number": pull.number, "pull_request": pull.json}
        return Event(
            "pull_request", self.git("rev-parse", "HEAD"), f"refs/pull/{pull.number}/merge", pull=pull, payload=payload
        )

    def close(self, pull: Pull) -> Event:
        pull.state = "closed"
        return self.event(pull, "closed")

    def schedule(self) -> Event:
        return Event("schedule", self.main)

    def dispatch(self, **inputs: str) -> Event:
        return Event("workflow_dispatch", self.main, payload={"inputs": inputs})
