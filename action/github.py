"""The calls of GitHub's API that the action makes, with nothing but the standard library."""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

MAX_PAGES = 30
_PER_PAGE = 100
_TIMEOUT_S = 30


class GitHubError(Exception):
    """A call that failed. `status` is None where GitHub did not answer."""

    def __init__(self, words: str, status: int | None = None) -> None:
        super().__init__(words)
        self.status = status


class GitHub:
    """The repository of the workflow. Each method raises GitHubError."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._base = environment.get("GITHUB_API_URL", "https://api.github.com").rstrip("/")
        self._repository = environment["GITHUB_REPOSITORY"]
        self._token = environment.get("GITHUB_TOKEN", "")

    def call(self, method: str, path: str, *, body: Any = None, **query: Any) -> Any:
        """Return the JSON of the answer."""
        url = f"{self._base}/repos/{self._repository}{path}"
        if query:
            url += f"?{urllib.parse.urlencode(query)}"
        headers = {
            "Authorization": f"Bearer {self._token}",
            "Accept": "application/vnd.github+json",
            "Content-Type": "application/json",
            "User-Agent": "machines-reconciler",
            "X-GitHub-Api-Version": "2022-11-28",
        }
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, content, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            error.close()
            raise GitHubError(f"GitHub answered {error.code} to {method} {path}", error.code) from None
        except (OSError, ValueError) as error:
            raise GitHubError(f"GitHub gave no answer to {method} {path}: {type(error).__name__}") from error

    def pages(self, path: str, **query: Any) -> Iterator[Any]:
        """Yield the items of a list, page by page."""
        for page in range(1, MAX_PAGES + 1):
            found = self.call("GET", path, per_page=_PER_PAGE, page=page, **query)
            yield from found
            if len(found) < _PER_PAGE:
                return

    def comments(self, number: int) -> Iterator[dict[str, Any]]:
        """Yield the pull request's comments, the oldest first."""
        return self.pages(f"/issues/{number}/comments")

    def labels(self, number: int) -> set[str]:
        """Return the names of the pull request's labels as they are now: an event's are those of its time."""
        return {str(one["name"]) for one in self.call("GET", f"/issues/{number}/labels", per_page=_PER_PAGE)}

    def head_of(self, branch: str) -> str:
        """Return the newest commit of the branch."""
        return str(self.call("GET", f"/git/ref/heads/{urllib.parse.quote(branch)}")["object"]["sha"])

    def history(self, commit: str) -> list[dict[str, Any]]:
        """Return the commit and those before it, the newest first: a hundred at most."""
        found: list[dict[str, Any]] = self.call("GET", "/commits", sha=commit, per_page=_PER_PAGE)
        return found

    def closed_pulls(self) -> list[int]:
        """Return the numbers of the pull requests that were closed, the last changed first: a hundred at most."""
        query = {"state": "closed", "sort": "updated", "direction": "desc", "per_page": _PER_PAGE}
        return [int(one["number"]) for one in self.call("GET", "/pulls", **query)]

    def pulls_of(self, commit: str) -> list[dict[str, Any]]:
        """Return the pull requests that the commit belongs to."""
        found: list[dict[str, Any]] = self.call("GET", f"/commits/{commit}/pulls", per_page=_PER_PAGE)
        return found
