"""What the action says to GitHub, and what it reads there: the pull request's comment, and the hash approved in it.

One comment for each key, found by its first line and changed in place. Its last line holds the plan's hash, the commit
that it is of, and how many machines it was allowed to destroy, so that an apply after the merge can ask for exactly
that plan.
"""

import argparse
import html
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

LIMIT = 65_536
PRE_LIMIT = 50_000
MAX_PAGES = 30
LABEL = "reconciler: allow-destroy"
LAST_LINE = re.compile(r"<!-- plan (sha256:[0-9a-f]{64}) of commit ([0-9a-f]{40})(?: allow-destroy (\d+))? -->")


def marker(key: str) -> str:
    """The first line of the comment with this key."""
    return f"<!-- machines-reconciler {re.sub(r'[^A-Za-z0-9._/-]', '_', key)} -->"


def destroys(plan: dict[str, Any], *, is_allowed: bool) -> int | None:
    """How many machines a plan above the deletion limit destroys, where that is allowed, or where it is not."""
    limit = plan.get("deletion_limit")
    return limit["destroys"] if limit and limit["is_allowed"] is is_allowed else None


def body_of(key: str, shown: str, plan: dict[str, Any], *, commit: str, run: str) -> str:
    """The whole comment. `plan` is empty where there is none to approve."""
    plan_hash = plan.get("plan_sha256")
    told = f" · plan hash `{plan_hash}`" if plan_hash else ""
    allowed = destroys(plan, is_allowed=True)
    last = f"\n<!-- plan {plan_hash} of commit {commit}{f' allow-destroy {allowed}' if allowed else ''} -->"
    last = last if plan_hash else ""
    lacks = destroys(plan, is_allowed=False) is not None
    how = f"\nTo allow what this destroys, add the label `{LABEL}` and plan again.\n" if lacks else ""
    foot = f"{how}\n<sub>commit {commit[:12]} · [run]({run}){told}</sub>\n{last}"
    head = f"{marker(key)}\n"
    return head + shown[: LIMIT - len(head) - len(foot) - 10] + foot


def pre(text: str, title: str | None) -> str:
    """Text as it is, for a page: the end of it where it is long."""
    heading = f"### {title}\n\n" if title else ""
    told = [line for line in text.splitlines() if not line.startswith("::")]  # annotations stand elsewhere
    escaped = html.escape("\n".join(told))
    if len(escaped) > PRE_LIMIT:
        escaped = "…" + escaped[-PRE_LIMIT:].partition("\n")[2]
    return f"{heading}<pre>{escaped}</pre>\n"


class GitHub:
    """The calls that are made. Raises httpx.HTTPError."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._repository = environment["GITHUB_REPOSITORY"]
        self._http = httpx.Client(
            base_url=environment.get("GITHUB_API_URL", "https://api.github.com"),
            headers={
                "Authorization": f"Bearer {environment.get('GITHUB_TOKEN', '')}",
                "Accept": "application/vnd.github+json",
                "X-GitHub-Api-Version": "2022-11-28",
            },
            timeout=30,
        )

    def call(self, method: str, path: str, **options: Any) -> Any:
        reply = self._http.request(method, f"/repos/{self._repository}{path}", **options)
        reply.raise_for_status()
        return reply.json()

    def comments(self, number: int) -> Iterator[dict[str, Any]]:
        """The pull request's comments, the oldest first."""
        for page in range(1, MAX_PAGES + 1):
            found = self.call("GET", f"/issues/{number}/comments", params={"per_page": 100, "page": page})
            yield from found
            if len(found) < 100:
                return

    def own(self, number: int, key: str, author: str) -> list[dict[str, Any]]:
        """This author's comments with this key, the oldest first."""
        first = marker(key) + "\n"
        return [
            one
            for one in self.comments(number)
            if str(one.get("body")).startswith(first) and (one.get("user") or {}).get("login") == author
        ]

    def say(self, number: int, key: str, body: str, *, author: str) -> None:
        """The comment with this key, made or changed. What others have begun in the same way is left alone."""
        for comment in reversed(self.own(number, key, author)):
            try:
                self.call("PATCH", f"/issues/comments/{comment['id']}", json={"body": body})
                return
            except httpx.HTTPStatusError as error:
                if error.response.status_code not in {403, 404}:
                    raise
        self.call("POST", f"/issues/{number}/comments", json={"body": body})

    def labels(self, number: int) -> set[str]:
        """The names of the pull request's labels as they are now: an event's are those of its time."""
        return {str(one["name"]) for one in self.call("GET", f"/issues/{number}/labels", params={"per_page": 100})}

    def merged(self, commit: str) -> dict[str, Any] | None:
        """The pull request that this commit is the merge of."""
        found = self.call("GET", f"/commits/{commit}/pulls")
        return next((one for one in found if one.get("merge_commit_sha") == commit and one.get("merged_at")), None)


def approved(github: GitHub, *, key: str, author: str, commit: str) -> tuple[str, str]:
    """The hash of the plan that was last shown in the merged pull request, for its last commit, and its allowance.

    The allowance is empty where there was none. Raises LookupError.
    """
    pull = github.merged(commit)
    if pull is None:
        raise LookupError(f"commit {commit[:12]} is not the merge of a pull request")
    own = github.own(pull["number"], key, author)
    if not own:
        raise LookupError(f"pull request {pull['number']} has no plan of {key} by {author}")
    found = LAST_LINE.fullmatch(str(own[-1]["body"]).rstrip().rpartition("\n")[2])
    if found is None:
        raise LookupError(f"the last plan in pull request {pull['number']} failed, so nothing was approved")
    if found[2] != pull["head"]["sha"]:
        raise LookupError(f"the last plan in pull request {pull['number']} is of an older commit, {found[2][:12]}")
    return found[1], found[3] or ""


def main(arguments: list[str], environment: dict[str, str]) -> int:
    parser = argparse.ArgumentParser()
    verbs = parser.add_subparsers(dest="verb", required=True)
    parse_pre = verbs.add_parser("pre")
    parse_pre.add_argument("--title")
    parse_pre.add_argument("file", type=Path)
    verbs.add_parser("hash").add_argument("file", type=Path)
    verbs.add_parser("allowance").add_argument("file", type=Path)
    parse_comment = verbs.add_parser("comment")
    parse_comment.add_argument("--key", required=True)
    parse_comment.add_argument("--plan", required=True, type=Path)
    parse_comment.add_argument("--author", required=True)
    parse_comment.add_argument("file", type=Path)
    parse_approved = verbs.add_parser("approved")
    parse_approved.add_argument("--key", required=True)
    parse_approved.add_argument("--author", required=True)
    values = parser.parse_args(arguments)
    match values.verb:
        case "pre":
            sys.stdout.write(pre(values.file.read_text(), values.title))
        case "hash":
            sys.stdout.write(f"{_read(values.file)['plan_sha256']}\n")
        case "allowance":
            sys.stdout.write(_allowance(environment, _read(values.file)))
        case "comment":
            plan = _read(values.plan) if values.plan.is_file() else {}
            _comment(environment, values.key, values.author, plan, values.file.read_text())
        case "approved":
            return _approved(environment, values.key, values.author)
    return 0


def _read(file: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(file.read_text())
    return document


def _pull(environment: dict[str, str]) -> dict[str, Any] | None:
    """The pull request that the workflow runs for."""
    try:
        event = _read(Path(environment.get("GITHUB_EVENT_PATH", "")))
    except (OSError, ValueError):
        return None
    return event.get("pull_request")


def _allowance(environment: dict[str, str], plan: dict[str, Any]) -> str:
    """How many machines the pull request's label lets the plan destroy: as many as it would.

    Empty without the label, or where none is needed.
    """
    lacking, pull = destroys(plan, is_allowed=False), _pull(environment)
    if lacking is None or not pull:
        return ""
    try:
        return str(lacking) if LABEL in GitHub(environment).labels(int(pull["number"])) else ""
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        why = type(error).__name__
        sys.stderr.write(f"::warning title=reconciler::the pull request's labels could not be read: {why}\n")
        return ""


def _comment(environment: dict[str, str], key: str, author: str, plan: dict[str, Any], shown: str) -> None:
    """A comment that cannot be made is no reason to fail: a fork's token may not."""
    pull = _pull(environment)
    if not pull:
        return
    run = (
        f"{environment.get('GITHUB_SERVER_URL', 'https://github.com')}/{environment['GITHUB_REPOSITORY']}"
        f"/actions/runs/{environment.get('GITHUB_RUN_ID', '')}"
    )
    body = body_of(key, shown, plan, commit=str(pull["head"]["sha"]), run=run)
    try:
        GitHub(environment).say(int(pull["number"]), key, body, author=author)
    except httpx.HTTPStatusError as error:
        why = f"GitHub answered {error.response.status_code}"
        sys.stdout.write(f"::warning title=reconciler::the plan could not be put into a comment: {why}\n")
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        why = type(error).__name__
        sys.stdout.write(f"::warning title=reconciler::the plan could not be put into a comment: {why}\n")


def _approved(environment: dict[str, str], key: str, author: str) -> int:
    try:
        plan_hash, allowance = approved(GitHub(environment), key=key, author=author, commit=environment["GITHUB_SHA"])
    except (LookupError, httpx.HTTPError, ValueError, TypeError) as error:
        sys.stderr.write(f"::error title=reconciler::no approved plan: {' '.join(str(error).split())}\n")
        return 1
    sys.stdout.write(f"{plan_hash} {allowance}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], dict(os.environ)))
