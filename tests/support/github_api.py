"""GitHub's REST API as far as the action uses it: one repository, and tokens that may no more than their job says.

Paths, parameters and replies are in the shape that GitHub documents.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.support.github_repository import BOT, NAME, Pull, Repository
from tests.support.json_server import json_server

_REFUSED = (403, {"message": "Resource not accessible by integration"})
_NOT_FOUND = (404, {"message": "Not Found"})


@dataclass
class GitHubApi:
    """`tokens` are those given out, with the permissions of their jobs; `requests` are those answered."""

    repository: Repository
    tokens: dict[str, Mapping[str, str]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    url: str = ""
    _ids: "count[int]" = field(default_factory=lambda: count(1000))

    def token(self, permissions: Mapping[str, str]) -> str:
        token = f"canary-github-{len(self.tokens)}"
        self.tokens[token] = permissions
        return token

    def comment(self, pull: Pull, body: str, login: str = BOT) -> dict[str, Any]:
        made = {"id": next(self._ids), "body": body, "user": {"login": login, "type": "Bot"}}
        pull.comments.append(made)
        return made

    def answer(self, method: str, target: str, body: Any, token: str) -> tuple[int, Any]:
        parts = urlsplit(target)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        path = unquote(parts.path).removeprefix(f"/repos/{NAME}")
        self.requests.append(f"{method} {path}")
        may = self.tokens.get(token)
        if may is None:
            return 401, {"message": "Bad credentials"}
        for verb, pattern, scope, answer in self._routes():
            if verb == method and (found := re.fullmatch(pattern, path)):
                needed = "read" if method == "GET" else "write"
                if may.get(scope, "none") not in {needed, "write"}:
                    return _REFUSED
                return answer(*found.groups(), query if method == "GET" else body)
        return _NOT_FOUND

    def _routes(self) -> list[tuple[str, str, str, Callable[..., tuple[int, Any]]]]:
        return [
            ("GET", r"/issues/(\d+)/comments", "pull-requests", self._comments),
            ("POST", r"/issues/(\d+)/comments", "pull-requests", self._add),
            ("PATCH", r"/issues/comments/(\d+)", "pull-requests", self._change),
            ("GET", r"/issues/(\d+)/labels", "pull-requests", self._labels),
            ("POST", r"/issues/(\d+)/labels", "pull-requests", self._add_labels),
            ("DELETE", r"/issues/(\d+)/labels/(.+)", "pull-requests", self._remove_label),
            ("GET", r"/pulls", "pull-requests", self._pulls),
            ("GET", r"/commits/([0-9a-f]+)/pulls", "pull-requests", self._pulls_of),
            ("GET", r"/commits", "contents", self._commits),
            ("GET", r"/git/ref/heads/(.+)", "contents", self._branch),
        ]

    def _comments(self, number: str, query: dict[str, str]) -> tuple[int, Any]:
        return 200, _page(self.repository.pulls[int(number)].comments, query)

    def _add(self, number: str, body: Any) -> tuple[int, Any]:
        return 201, self.comment(self.repository.pulls[int(number)], body["body"])

    def _change(self, number: str, body: Any) -> tuple[int, Any]:
        every = (one for pull in self.repository.pulls.values() for one in pull.comments)
        comment = next((one for one in every if one["id"] == int(number)), None)
        if comment is None:
            return _NOT_FOUND
        if comment["user"]["login"] != BOT:
            return _REFUSED
        comment["body"] = body["body"]
        return 200, comment

    def _labels(self, number: str, _query: dict[str, str]) -> tuple[int, Any]:
        return 200, self.repository.pulls[int(number)].json["labels"]

    def _add_labels(self, number: str, body: Any) -> tuple[int, Any]:
        pull = self.repository.pulls[int(number)]
        pull.labels += [name for name in body["labels"] if name not in pull.labels]
        return 200, pull.json["labels"]

    def _remove_label(self, number: str, name: str, _body: Any) -> tuple[int, Any]:
        pull = self.repository.pulls[int(number)]
        if name not in pull.labels:
            return _NOT_FOUND
        pull.labels.remove(name)
        return 200, pull.json["labels"]

    def _pulls(self, query: dict[str, str]) -> tuple[int, Any]:
        state = query.get("state", "open")
        found = [pull.json for pull in self.repository.pulls.values() if state in {"all", pull.state}]
        return 200, _page(found[::-1], query)

    def _pulls_of(self, commit: str, query: dict[str, str]) -> tuple[int, Any]:
        """Those that the commit merges, or that it was a part of."""
        git = self.repository
        found = [
            pull.json
            for pull in git.pulls.values()
            if pull.merge_commit == commit or commit in git.git("rev-list", f"{pull.base}..{pull.head}").split()
        ]
        return 200, _page(found, query)

    def _commits(self, query: dict[str, str]) -> tuple[int, Any]:
        """The newest first."""
        lines = self.repository.git("log", "--format=%H %P", query.get("sha", "main")).splitlines()
        commits = [{"sha": line.split()[0], "parents": [{"sha": one} for one in line.split()[1:]]} for line in lines]
        return 200, _page(commits, query)

    def _branch(self, name: str, _query: dict[str, str]) -> tuple[int, Any]:
        if not self.repository.git("branch", "--list", name):
            return _NOT_FOUND
        sha = self.repository.git("rev-parse", name)
        return 200, {"ref": f"refs/heads/{name}", "object": {"type": "commit", "sha": sha}}


def _page(items: list[Any], query: Mapping[str, str]) -> list[Any]:
    size, page = int(query.get("per_page", 30)), int(query.get("page", 1))
    return items[(page - 1) * size : page * size]


@contextmanager
def github_api(repository: Repository) -> Iterator[GitHubApi]:
    """The API on a free port of loopback, for the block."""
    api = GitHubApi(repository)

    def answer(method: str, path: str, body: Any, authorization: str) -> tuple[int, Any]:
        return api.answer(method, path, body, authorization.removeprefix("Bearer "))

    with json_server(answer) as api.url:
        yield api
