"""GitHub's API of comments as far as the action uses it, with the replies in the shape that it documents."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.support.json_server import json_server

BOT = "github-actions[bot]"


@dataclass
class Comments:
    """One pull request's comments. `refused` answers each write with this status."""

    repository: str = "owner/repo"
    number: int = 7
    main: str = "b" * 40
    pulls: list[dict[str, Any]] = field(default_factory=list)
    comments: list[dict[str, Any]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    repository_labels: list[str] = field(default_factory=list)
    refused: int | None = None
    url: str = ""

    def add(self, body: str, login: str = BOT) -> dict[str, Any]:
        comment = {"id": 1000 + len(self.comments), "body": body, "user": {"login": login, "type": "Bot"}}
        self.comments.append(comment)
        return comment

    def answer(self, method: str, target: str, body: Any) -> tuple[int, Any]:
        parts = urlsplit(target)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        path = parts.path.removeprefix(f"/repos/{self.repository}")
        self.requests.append(f"{method} {path}")
        if method != "GET" and self.refused:
            return self.refused, {"message": "Resource not accessible by integration"}
        if method == "GET" and re.fullmatch(r"/commits/\w+/pulls", path):
            return 200, self.pulls
        if method == "GET" and path == "/commits":
            return 200, [{"sha": query["sha"], "parents": []}]
        if method == "GET" and path == "/git/ref/heads/main":
            return 200, {"ref": "refs/heads/main", "object": {"type": "commit", "sha": self.main}}
        if method == "GET" and path == f"/issues/{self.number}/labels":
            return 200, [{"name": name} for name in self.labels]
        if (answered := self._answer_of_labels(method, unquote(path), body)) is not None:
            return answered
        if path == f"/issues/{self.number}/comments":
            if method == "POST":
                return 201, self.add(body["body"])
            size, page = int(query.get("per_page", 30)), int(query.get("page", 1))
            return 200, self.comments[(page - 1) * size : page * size]
        if method == "PATCH" and (found := re.fullmatch(r"/issues/comments/(\d+)", path)):
            comment = next((one for one in self.comments if one["id"] == int(found[1])), None)
            if comment is None:
                return 404, {"message": "Not Found"}
            if comment["user"]["login"] != BOT:
                return 403, {"message": "Resource not accessible by integration"}
            comment["body"] = body["body"]
            return 200, comment
        return 404, {"message": "Not Found"}

    def _answer_of_labels(self, method: str, path: str, body: Any) -> tuple[int, Any] | None:
        """Unlike GitHub it makes no label by setting one, so that a client has to."""
        own = f"/issues/{self.number}/labels"
        if method == "POST" and path == "/labels":
            if body["name"] in self.repository_labels:
                return 422, {"message": "Validation Failed", "errors": [{"code": "already_exists"}]}
            assert re.fullmatch(r"[0-9a-f]{6}", body["color"])
            self.repository_labels.append(body["name"])
            return 201, {"name": body["name"]}
        if method == "POST" and path == own:
            if not set(body["labels"]) <= set(self.repository_labels):
                return 422, {"message": "Validation Failed"}
            self.labels += [name for name in body["labels"] if name not in self.labels]
            return 200, [{"name": name} for name in self.labels]
        if method == "DELETE" and path.startswith(f"{own}/"):
            name = path.removeprefix(f"{own}/")
            if name not in self.labels:
                return 404, {"message": "Label does not exist"}
            self.labels.remove(name)
            return 200, [{"name": name} for name in self.labels]
        return None


@contextmanager
def comments_api() -> Iterator[Comments]:
    """The API on a free port of loopback, for the block."""
    comments = Comments()

    def answer(method: str, path: str, body: Any, authorization: str) -> tuple[int, Any]:
        assert authorization == "Bearer canary-github-token"
        return comments.answer(method, path, body)

    with json_server(answer) as comments.url:
        yield comments
